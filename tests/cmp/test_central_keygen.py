"""Transactions in which the CA makes the private key (RFC 9483, 4.1.6)."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bulkcmp.cmp import algorithms, envelope, messages, package, protection, recipient
from bulkcmp.cmp.algorithms import SigningKey
from bulkcmp.cmp.asn1 import ObjectIdentifier, any_from, decode, encode, explicit, wrap
from bulkcmp.cmp.checks import Judgement, Reason, Verdict
from bulkcmp.cmp.events import (
    DeriveKey,
    Finish,
    KeyDerived,
    Received,
    Send,
    Start,
    Store,
    Stored,
    TimerFired,
)
from bulkcmp.cmp.messages import BodyType, CertReqMsg, CertRequest, CertTemplate, PKIStatus
from bulkcmp.cmp.protection import Pbkdf2
from bulkcmp.cmp.request import NoCredential, SignatureCredential
from bulkcmp.cmp.state import State
from bulkcmp.io.keyworker import make_keys
from bulkcmp.model import KeySpec, Operation, OutcomeClass, Profile, Secret
from tests.cmp.conftest import NOW, SECRET

if TYPE_CHECKING:
    from tests.cmp.conftest import MakeRun, Party, Pki, Run

CONTENT_KEY = bytes(range(32))
IV = bytes(range(16))
SALT = b"salt of an envelope"
RSA = KeySpec.parse("rsa:2048")
P256 = KeySpec.parse("ec:P-256")
QUICK = Profile(implicit_confirm=True)
IMPLICIT = wrap(0x30, encode(messages.IT_IMPLICIT_CONFIRM), b"\x05\x00")


@pytest.fixture(scope="module")
def kga(pki: "Pki") -> "Party":
    return pki.certify("kga", pki.keys["ec"], pki.root, purposes=[package.CM_KGA])


@pytest.fixture(scope="module")
def new_key() -> SigningKey:
    return ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
def central(make_run: "MakeRun") -> Any:
    def make(operation: Operation = Operation.IR, credential: Any = "mac", **changes: Any) -> "Run":
        return make_run(operation, credential, central_keygen=True, **changes)

    return make


def for_secret(secret: Secret = SECRET, *, iterations: int = 5, salt: bytes = SALT) -> bytes:
    return recipient.password(CONTENT_KEY, secret, salt, iterations=iterations)


def for_holder(holder: "Party") -> bytes:
    certificate = x509.load_der_x509_certificate(holder.certificate)
    if isinstance(holder.key, ec.EllipticCurvePrivateKey):
        ephemeral = ec.generate_private_key(holder.key.curve)
        return recipient.agree(CONTENT_KEY, certificate, ephemeral)
    return recipient.transport(CONTENT_KEY, certificate)


def sealed(
    key: SigningKey,
    kga: "Party",
    *infos: bytes,
    made: bytes | None = None,
    kind: ObjectIdentifier = envelope.SIGNED_DATA,
) -> bytes:
    """DER EncryptedKey with a private key."""
    signed = package.sign(package.encode_package(key), kga.key, (kga.certificate,), "sha256")
    octets = signed if made is None else made
    der = envelope.encrypt(octets, kind, infos, key=CONTENT_KEY, iv=IV)
    return envelope.encrypted_key(der)


def certificate(pki: "Pki", key: SigningKey, subject: str = "device") -> bytes:
    return pki.certify(subject, key, pki.root).certificate


def with_key(run: "Run", certificate: bytes, private_key: bytes, *after: bytes) -> bytes:
    """DER CertRepMessage with a certificate and its private key."""
    pair = (explicit(0, certificate), explicit(0, private_key), *after)
    return run.peer.cert_rep(run.peer.response(run.peer.status(0), b"".join(pair)))


def template_of(run: "Run") -> tuple[CertReqMsg, CertTemplate]:
    (request,) = messages.decode_cert_req_messages(run.message.body)
    return request, decode(CertRequest, request.certReq).certTemplate


# --- what is asked for ----------------------------------------------------------------------


@pytest.mark.parametrize("operation", [Operation.IR, Operation.CR, Operation.KUR])
def test_the_ca_may_choose_the_type(central: Any, operation: Operation) -> None:
    run = central(operation, "signature")
    run.start()
    request, template = template_of(run)
    assert template.publicKey is None
    assert request.popo is None
    # EnvelopedData is expected (RFC 9483, 3.1)
    assert run.message.header.pvno == 3


SPECS = [
    "rsa:2048", "ec:P-256", "ec:P-384", "ec:P-521", "ed25519", "ed448", "ml-dsa-44", "ml-dsa-65",
    "ml-dsa-87", "ml-kem-768", "ml-kem-1024",
]  # fmt: skip


@pytest.mark.parametrize("spec", SPECS)
def test_a_type_is_asked_for_by_its_algorithm(central: Any, spec: str) -> None:
    run = central(new_key_spec=KeySpec.parse(spec))
    run.start()
    request, template = template_of(run)
    assert request.popo is None
    assert template.publicKey is not None
    assert template.publicKey.subjectPublicKey.as_bytes() == b""
    assert template.publicKey.subjectPublicKey.padding_bits() == 0
    assert encode_identifier(template.publicKey) == algorithms.key_identifier(KeySpec.parse(spec))


def encode_identifier(info: messages.SubjectPublicKeyInfo) -> bytes:
    return wrap(0x30, *map(encode, info.algorithm))


@pytest.mark.parametrize("spec", SPECS)
def test_that_algorithm_is_the_keys_own(spec: str) -> None:
    key = algorithms.load_private_key(make_keys(KeySpec.parse(spec), 1)[0])
    info = decode(messages.SubjectPublicKeyInfo, algorithms.public_key_info(key))
    assert encode_identifier(info) == algorithms.key_identifier(KeySpec.parse(spec))


def test_rows_with_keys_of_their_own_keep_the_older_version(make_run: "MakeRun") -> None:
    run = make_run()
    run.start()
    assert run.message.header.pvno == 2


# --- how it comes ---------------------------------------------------------------------------


def test_a_key_for_a_secret_step_by_step(
    central: Any, pki: "Pki", kga: "Party", new_key: SigningKey
) -> None:
    run = central()
    run.start()
    body = with_key(run, certificate(pki, new_key), sealed(new_key, kga, for_secret()))
    answer = run.answer(body).macced(parameters=run.peer.own_mac)
    wanted = Pbkdf2(SALT, "sha256", 5, 32).derivation(SECRET)
    # its key is derived where those of MACs are
    assert run.tell(Received(run.now, answer, run.now)) == [DeriveKey(wanted)]
    assert run.state is State.OPENING
    (store,) = run.tell(KeyDerived(run.now, protection.derive(wanted)))
    assert isinstance(store, Store)
    (part,) = store.checkpoint.parts
    assert part.key == pki.pkcs8(new_key)
    assert part.granted is not None
    assert part.granted.outcome is OutcomeClass.ISSUED
    # durable before the certConf leaves
    (send,) = run.tell(Stored(run.now))
    assert isinstance(send, Send)
    assert send.label == "certConf"
    assert run.message.header.pvno == 3
    finish = run.end(run.confirmed().macced())
    assert finish.outcome.outcome is OutcomeClass.ISSUED
    assert "PRIVATE" not in repr(finish)
    assert repr(part.key)[2:20] not in repr(store)


@pytest.mark.parametrize("kind", ["rsa", "ec"])
@pytest.mark.parametrize("operation", [Operation.IR, Operation.CR, Operation.KUR])
@pytest.mark.parametrize("spec", [None, P256])
def test_a_key_for_a_certificate(
    central: Any,
    pki: "Pki",
    kga: "Party",
    new_key: SigningKey,
    kind: str,
    operation: Operation,
    spec: KeySpec | None,
) -> None:
    holder = pki.certify("device", pki.keys[kind], pki.root)
    credential = SignatureCredential(holder.pkcs8, (holder.certificate,))
    run = central(operation, credential, new_key_spec=spec)
    run.start()
    body = with_key(
        run, certificate(pki, new_key), sealed(new_key, kga, for_holder(holder)), explicit(1, b"")
    )
    run.receive(run.answer(body).signed(pki.signer))
    assert run.kept.key == pki.pkcs8(new_key)
    finish = run.end(run.confirmed().signed(pki.signer))
    assert finish.outcome.outcome is OutcomeClass.ISSUED


def test_who_signs_and_shares_a_secret_takes_either(
    central: Any, pki: "Pki", kga: "Party", new_key: SigningKey
) -> None:
    credential = SignatureCredential(pki.device.pkcs8, (pki.device.certificate,), SECRET)
    for info in (for_secret(), for_holder(pki.device)):
        run = central(Operation.IR, credential)
        run.start()
        body = with_key(run, certificate(pki, new_key), sealed(new_key, kga, info))
        run.receive(run.answer(body).signed(pki.signer))
        assert run.kept.key == pki.pkcs8(new_key)


def test_who_is_known_otherwise_takes_a_key_for_its_secret(
    central: Any, pki: "Pki", kga: "Party", new_key: SigningKey
) -> None:
    run = central(Operation.IR, NoCredential(secret=SECRET))
    run.start()
    body = with_key(run, certificate(pki, new_key), sealed(new_key, kga, for_secret()))
    run.receive(run.answer(body).signed(pki.signer))
    assert run.kept.key == pki.pkcs8(new_key)


def test_several_keys_in_one_message(central: Any, pki: "Pki", kga: "Party") -> None:
    run = central(count=3)
    run.start()
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(3)]
    # the last two have the same salt: one derivation
    salts = (SALT, b"another salt", b"another salt")
    responses = [
        run.peer.response(
            run.peer.status(0),
            explicit(0, certificate(pki, key))
            + explicit(0, sealed(key, kga, for_secret(salt=salt))),
            number,
        )
        for number, (key, salt) in enumerate(zip(keys, salts, strict=True))
    ]
    answer = run.answer(run.peer.cert_rep(*responses)).macced(parameters=run.peer.own_mac)
    derivations = []
    (instruction,) = run.tell(Received(run.now, answer, run.now))
    while isinstance(instruction, DeriveKey):
        derivations.append(instruction.derivation.salt)
        key = protection.derive(instruction.derivation)
        (instruction,) = run.tell(KeyDerived(run.now, key))
    assert derivations == [SALT, b"another salt"]
    assert isinstance(instruction, Store)
    assert [part.key for part in instruction.checkpoint.parts] == [pki.pkcs8(key) for key in keys]


def test_a_key_comes_after_polling_too(
    central: Any, pki: "Pki", kga: "Party", new_key: SigningKey
) -> None:
    run = central(profile=QUICK)
    run.start()
    run.receive(run.answer(run.peer.waiting()).macced())
    run.go(TimerFired(run.now + 1))
    assert run.message.header.pvno == 3
    body = with_key(run, certificate(pki, new_key), sealed(new_key, kga, for_secret()))
    answer = replace(run.answer(body), general_info=(IMPLICIT,))
    finish = run.end(answer.macced(parameters=run.peer.own_mac))
    assert finish.outcome.outcome is OutcomeClass.ISSUED
    assert run.kept.key == pki.pkcs8(new_key)


def test_each_check_is_told(central: Any, pki: "Pki", kga: "Party", new_key: SigningKey) -> None:
    verdicts: list[Verdict] = []
    run = central(verdicts=verdicts)
    run.start()
    body = with_key(run, certificate(pki, new_key), sealed(new_key, kga, for_secret()))
    run.receive(run.answer(body).macced())
    told = [one.reason for one in verdicts if one.judgement is Judgement.PASSED]
    ours = [
        Reason.KEY_MISSING,
        Reason.KEY_SEALED,
        Reason.KEY_SIGNATURE,
        Reason.KGA_NOT_TRUSTED,
        Reason.KEY_MALFORMED,
        Reason.CERTIFICATE_MALFORMED,
        Reason.PUBLIC_KEY,
    ]
    assert [one for one in told if one in ours] == ours


# --- what is refused ------------------------------------------------------------------------


def refused(run: "Run", body: bytes) -> tuple[str, bytes | None, tuple[str, ...]]:
    """Reason and key of the row, and the failInfo of the certConf that rejects its certificate."""
    run.receive(run.answer(body).macced())
    part = run.kept
    assert part.granted is not None
    assert part.granted.outcome is OutcomeClass.ISSUED_REFUSED
    # it is stored, for its revocation
    assert part.certificate is not None
    assert run.message.body_type is BodyType.CERT_CONF
    (status,) = messages.decode_cert_confirm_content(run.message.body)
    assert status.statusInfo.status == PKIStatus.REJECTION
    finish = run.end(run.confirmed().macced())
    assert finish.outcome.outcome is OutcomeClass.ISSUED_REFUSED
    return part.granted.reason, part.key, messages.fail_info_names(status.statusInfo.failInfo)


def test_a_certificate_without_its_key(central: Any, pki: "Pki", new_key: SigningKey) -> None:
    run = central()
    run.start()
    body = run.peer.granted(certificate(pki, new_key))
    assert refused(run, body) == ("no private key", None, ("incorrectData",))


def test_no_key_to_a_malformed_certificate_which_can_not_be_confirmed(central: Any) -> None:
    run = central()
    run.start()
    finish = run.end(run.answer(run.peer.granted(b"\x30\x00")).macced())
    assert finish.outcome.outcome is OutcomeClass.ISSUED_REFUSED
    assert finish.outcome.reason == Reason.KEY_MISSING
    assert run.kept.certificate == b"\x30\x00"


def test_a_publication_is_no_key(central: Any, pki: "Pki", new_key: SigningKey) -> None:
    run = central()
    run.start()
    pair = explicit(0, certificate(pki, new_key)) + explicit(1, wrap(0x30, encode(0)))
    body = run.peer.cert_rep(run.peer.response(run.peer.status(0), pair))
    assert refused(run, body)[0] == "no private key"


@pytest.mark.parametrize("private_key", [wrap(0x30, wrap(0x03, b"\0x")), b"", wrap(0xA1)])
def test_an_encrypted_value_is_no_enveloped_data(
    central: Any, pki: "Pki", new_key: SigningKey, private_key: bytes
) -> None:
    run = central()
    run.start()
    body = with_key(run, certificate(pki, new_key), private_key)
    assert refused(run, body)[0] == "no private key"


@pytest.mark.parametrize(
    "info",
    [
        for_secret(Secret(b"of somebody else")),
        recipient.password(CONTENT_KEY, SECRET, SALT, iterations=1 << 40 >> 20),
        wrap(envelope.PWRI),
        wrap(0xA2),
    ],
    ids=["another secret", "too many iterations", "malformed", "another kind"],
)
def test_a_key_that_can_not_be_decrypted(
    central: Any, pki: "Pki", kga: "Party", new_key: SigningKey, info: bytes
) -> None:
    run = central()
    run.start()
    body = with_key(run, certificate(pki, new_key), sealed(new_key, kga, info))
    wanted = ("private key can't be decrypted", None, ("incorrectData",))
    assert refused(run, body) == wanted


def test_an_envelope_that_is_none(central: Any, pki: "Pki", new_key: SigningKey) -> None:
    run = central()
    run.start()
    body = with_key(run, certificate(pki, new_key), wrap(0xA0, encode(0)))
    assert refused(run, body)[0] == "private key can't be decrypted"


def test_a_key_that_nobody_signed(
    central: Any, pki: "Pki", kga: "Party", new_key: SigningKey
) -> None:
    run = central()
    run.start()
    bare = package.encode_package(new_key)
    body = with_key(run, certificate(pki, new_key), sealed(new_key, kga, for_secret(), made=bare))
    assert refused(run, body) == ("private key not signed", None, ("incorrectData",))


def test_the_envelope_says_what_is_in_it(
    central: Any, pki: "Pki", kga: "Party", new_key: SigningKey
) -> None:
    for kind, good in (
        (envelope.SIGNED_DATA, True),
        # as OpenSSL 3.5 has it
        (envelope.DATA, True),
        (ObjectIdentifier("2.16.840.1.101.2.1.2.78.5"), False),
        (ObjectIdentifier("1.2.840.113549.1.7.3"), False),
    ):
        run = central()
        run.start()
        key = sealed(new_key, kga, for_secret(), kind=kind)
        body = with_key(run, certificate(pki, new_key), key)
        if good:
            run.receive(run.answer(body).macced())
            assert run.kept.key is not None
        else:
            assert refused(run, body) == ("private key not signed", None, ("incorrectData",))


def test_a_key_that_somebody_signed(central: Any, pki: "Pki", new_key: SigningKey) -> None:
    for somebody in (pki.signer, pki.stranger):
        run = central()
        run.start()
        body = with_key(run, certificate(pki, new_key), sealed(new_key, somebody, for_secret()))
        wanted = ("key generation authority not trusted", None, ("signerNotTrusted",))
        assert refused(run, body) == wanted


def test_what_is_signed_is_no_key(
    central: Any, pki: "Pki", kga: "Party", new_key: SigningKey
) -> None:
    run = central()
    run.start()
    made = package.sign(b"no key", kga.key, (kga.certificate,), "sha256")
    body = with_key(run, certificate(pki, new_key), sealed(new_key, kga, for_secret(), made=made))
    assert refused(run, body) == ("malformed private key", None, ("incorrectData",))


def test_a_key_of_another_certificate_is_not_kept(
    central: Any, pki: "Pki", kga: "Party", new_key: SigningKey
) -> None:
    run = central()
    run.start()
    body = with_key(run, pki.issue(), sealed(new_key, kga, for_secret()))
    assert refused(run, body) == ("another public key", None, ("badCertTemplate",))


def test_a_key_of_another_type(central: Any, pki: "Pki", kga: "Party", new_key: SigningKey) -> None:
    run = central(new_key_spec=RSA)
    run.start()
    body = with_key(run, certificate(pki, new_key), sealed(new_key, kga, for_secret()))
    assert refused(run, body) == ("another public key", None, ("badCertTemplate",))
    assert run.kept.granted is not None
    assert "another type" in run.kept.granted.detail


def test_an_rsa_key_as_long_as_wanted(central: Any, pki: "Pki", kga: "Party") -> None:
    run = central(new_key_spec=RSA)
    run.start()
    made = pki.keys["rsa"]
    body = with_key(run, certificate(pki, made), sealed(made, kga, for_secret()))
    run.receive(run.answer(body).macced())
    assert run.kept.granted is not None
    assert run.kept.granted.outcome is OutcomeClass.ISSUED


def test_an_rsa_key_that_is_shorter_than_wanted(central: Any, pki: "Pki", kga: "Party") -> None:
    run = central(new_key_spec=KeySpec.parse("rsa:3072"))
    run.start()
    made = pki.keys["rsa"]
    body = with_key(run, certificate(pki, made), sealed(made, kga, for_secret()))
    assert refused(run, body) == ("another public key", None, ("badCertTemplate",))
    assert run.kept.granted is not None
    assert "2048 bits, and 3072 are wanted" in run.kept.granted.detail


def test_a_good_key_of_a_refused_certificate_is_kept(
    central: Any, pki: "Pki", kga: "Party", new_key: SigningKey
) -> None:
    run = central()
    run.start()
    body = with_key(run, certificate(pki, new_key, "another"), sealed(new_key, kga, for_secret()))
    reason, key, _ = refused(run, body)
    assert (reason, key) == ("another subject", pki.pkcs8(new_key))


def test_a_row_with_a_key_of_its_own_takes_no_other(
    make_run: "MakeRun", pki: "Pki", kga: "Party", new_key: SigningKey
) -> None:
    run = make_run()
    run.start()
    run.receive(run.answer(with_key(run, pki.issue(), sealed(new_key, kga, for_secret()))).macced())
    assert run.kept.key is None
    assert run.kept.granted is not None
    assert run.kept.granted.outcome is OutcomeClass.ISSUED


def test_a_rejection_is_a_rejection(central: Any) -> None:
    run = central()
    run.start()
    status = run.peer.status(PKIStatus.REJECTION, "badCertTemplate")
    finish = run.end(run.answer(run.peer.cert_rep(run.peer.response(status))).macced())
    assert finish.outcome.outcome is OutcomeClass.REJECTED


@pytest.mark.parametrize("kind", ["ed25519", "ml-dsa-65"])
def test_a_credential_for_which_nobody_can_encrypt(central: Any, pki: "Pki", kind: str) -> None:
    holder = pki.certify("device", pki.keys[kind], pki.root)
    for credential in (
        SignatureCredential(holder.pkcs8, (holder.certificate,)),
        SignatureCredential(pki.device.elsewhere(), (pki.device.certificate,)),
        NoCredential(pki.device.certificate),
    ):
        run = central(Operation.IR, credential)
        finish = run.go(Start(NOW))
        assert isinstance(finish, Finish)
        assert finish.outcome.outcome is OutcomeClass.LOCAL_ERROR
        assert "the CA can't send a private key" in finish.outcome.detail
        assert not run.sent


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_whatever_comes_in_place_of_a_key_ends_in_an_instruction(
    central: Any, pki: "Pki", given_key: tuple[SigningKey, bytes], data: st.DataObject
) -> None:
    key, good = given_key
    changed = bytearray(good)
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    run = central(profile=Profile(max_pbm_iterations=1000))
    run.start()
    pair = explicit(0, certificate(pki, key)) + wrap(0xA0, bytes(changed))
    body = run.peer.cert_rep(run.peer.response(run.peer.status(0), pair))
    assert isinstance(run.receive(run.answer(body).macced()), Send | Finish)


@pytest.fixture(scope="module")
def given_key(kga: "Party", new_key: SigningKey) -> tuple[SigningKey, bytes]:
    return new_key, encode(any_from(sealed(new_key, kga, for_secret())))
