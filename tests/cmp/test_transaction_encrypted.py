"""Proof of possession by the indirect method: the certificate comes encrypted to its key."""

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bulkcmp.cmp import algorithms, encryptedvalue, envelope, messages, popo, recipient
from bulkcmp.cmp.algorithms import KemKey, PrivateKey
from bulkcmp.cmp.asn1 import TLV, ObjectIdentifier, decode, explicit, wrap
from bulkcmp.cmp.checks import Judgement, Reason, Verdict
from bulkcmp.cmp.encapsulation import Encapsulated, encapsulate
from bulkcmp.cmp.events import Finish, Send, TimerFired
from bulkcmp.cmp.messages import BodyType, CertStatus
from bulkcmp.errors import RemoteCmpError
from bulkcmp.model import OutcomeClass, Popo

if TYPE_CHECKING:
    from tests.cmp.conftest import Answer, MakeRun, Pki, Run

DATA = ObjectIdentifier("1.2.840.113549.1.7.1")
KEY = bytes(range(32))
IV = bytes(range(16))
METHODS = {
    "rsa": Popo.KEY_ENCIPHERMENT,
    "ml-kem-768": Popo.KEY_ENCIPHERMENT,
    "ml-kem-1024": Popo.KEY_ENCIPHERMENT,
    "ec": Popo.KEY_AGREEMENT,
}
KINDS = pytest.mark.parametrize("kind", METHODS)


def key_of(pki: "Pki", kind: str) -> PrivateKey:
    return pki.kem_keys[kind] if kind in pki.kem_keys else pki.keys[kind]


def run_of(make_run: "MakeRun", pki: "Pki", kind: str, **options: Any) -> "Run":
    key = pki.pkcs8(key_of(pki, kind))
    return make_run(new_key=key, popo=METHODS[kind], **options)


def recipient_info(certificate: x509.Certificate, key: PrivateKey) -> bytes:
    if isinstance(key, KemKey):
        shared_secret, ciphertext = key.public_key().encapsulate()
        return encapsulate(KEY, certificate, Encapsulated(ciphertext, shared_secret))
    if isinstance(key, rsa.RSAPrivateKey):
        return recipient.transport(KEY, certificate)
    return recipient.agree(KEY, certificate, ec.generate_private_key(ec.SECP256R1()))


def sealed(
    pki: "Pki",
    kind: str,
    octets: bytes,
    *,
    holder: PrivateKey | None = None,
    content: ObjectIdentifier = DATA,
) -> bytes:
    """DER EncryptedKey with octets, for the holder of a key."""
    key = holder or key_of(pki, kind)
    certificate = x509.load_der_x509_certificate(pki.certificate("holder", key, pki.root))
    info = recipient_info(certificate, key)
    return envelope.encrypted_key(envelope.encrypt(octets, content, [info], key=KEY, iv=IV))


def answer(run: "Run", encrypted: bytes) -> "Answer":
    """The ip with an encryptedCert."""
    response = run.peer.response(run.peer.status(0), explicit(1, encrypted))
    return run.answer(run.peer.cert_rep(response))


@KINDS
def test_a_certificate_is_decrypted_checked_stored_and_confirmed(
    make_run: "MakeRun", pki: "Pki", kind: str
) -> None:
    verdicts: list[Verdict] = []
    run = run_of(make_run, pki, kind, verdicts=verdicts)
    certificate = pki.certificate("device", key_of(pki, kind), pki.root)
    run.start()
    # EnvelopedData is what cmp2021 has
    assert run.message.header.pvno == 3
    sent = run.receive(answer(run, sealed(pki, kind, certificate)).signed(pki.signer))
    assert isinstance(sent, Send)
    # durable, and in the clear, before its hash tells that we could open it
    assert run.kept.certificate == certificate
    assert run.kept.chain == (pki.root.certificate,)
    assert sent.label == "certConf"
    assert run.message.header.pvno == 3
    (status,) = messages.decode_cert_confirm_content(run.message.body)
    assert isinstance(status, CertStatus)
    parsed = x509.load_der_x509_certificate(certificate)
    assert status.certHash == algorithms.certificate_hash(parsed, certificate)[0]
    finish = run.end(run.confirmed().signed(pki.signer))
    assert finish.outcome.outcome is OutcomeClass.ISSUED
    told = [one for one in verdicts if one.reason is Reason.CERTIFICATE_SEALED]
    assert [one.judgement for one in told] == [Judgement.PASSED]


@KINDS
def test_it_may_come_after_polling_and_in_another_session(
    make_run: "MakeRun", pki: "Pki", kind: str
) -> None:
    first = run_of(make_run, pki, kind)
    first.start()
    first.receive(first.answer(first.peer.waiting()).signed(pki.signer))
    run = run_of(make_run, pki, kind, checkpoint=first.stored[-1])
    run.start()
    run.go(TimerFired(run.now))
    assert (run.message.body_type, run.message.header.pvno) == (BodyType.POLL_REQ, 3)
    certificate = pki.certificate("device", key_of(pki, kind), pki.root)
    run.receive(answer(run, sealed(pki, kind, certificate)).signed(pki.signer))
    assert run.kept.certificate == certificate
    # and what was stored can be confirmed without the key
    last = run_of(make_run, pki, kind, checkpoint=run.stored[-1])
    last.start()
    assert last.message.body_type is BodyType.CERT_CONF
    finish = last.end(last.confirmed().signed(pki.signer))
    assert finish.outcome.outcome is OutcomeClass.ISSUED


@KINDS
def test_a_ca_may_do_without_the_proof(make_run: "MakeRun", pki: "Pki", kind: str) -> None:
    run = run_of(make_run, pki, kind)
    run.start()
    certificate = pki.certificate("device", key_of(pki, kind), pki.root)
    run.receive(run.granted(certificate).signed(pki.signer))
    finish = run.end(run.confirmed().signed(pki.signer))
    assert finish.outcome.outcome is OutcomeClass.ISSUED


def test_the_form_of_cmp2000_is_read(make_run: "MakeRun", pki: "Pki") -> None:
    run = run_of(make_run, pki, "rsa")
    run.start()
    key = pki.keys["rsa"]
    assert isinstance(key, rsa.RSAPrivateKey)
    certificate = pki.certificate("device", key, pki.root)
    encrypted = encryptedvalue.encrypt(certificate, key.public_key(), key=KEY, iv=IV)
    run.receive(answer(run, encrypted).signed(pki.signer))
    assert run.kept.certificate == certificate


def refused(run: "Run", pki: "Pki", encrypted: bytes) -> Finish:
    """The end by an answer that is to be refused before anything is stored."""
    run.start()
    finish = run.end(answer(run, encrypted).signed(pki.signer))
    assert finish.outcome.outcome is OutcomeClass.BAD_RESPONSE
    assert finish.outcome.reason == Reason.CERTIFICATE_SEALED
    assert finish.checkpoint is not None
    assert finish.checkpoint.parts[0].certificate is None
    return finish


@KINDS
def test_one_that_is_encrypted_for_another(make_run: "MakeRun", pki: "Pki", kind: str) -> None:
    others: dict[str, PrivateKey] = {
        "rsa": rsa.generate_private_key(65537, 2048),
        "ec": ec.generate_private_key(ec.SECP256R1()),
        "ml-kem-768": pki.kem_keys["ml-kem-1024"],
        "ml-kem-1024": pki.kem_keys["ml-kem-768"],
    }
    certificate = pki.certificate("device", key_of(pki, kind), pki.root)
    encrypted = sealed(pki, kind, certificate, holder=others[kind])
    finish = refused(run_of(make_run, pki, kind), pki, encrypted)
    assert finish.outcome.detail.startswith("the encrypted certificate: ")


@KINDS
@pytest.mark.parametrize("octets", [b"", b"a secret of another protocol", b"\x30\x00"])
def test_what_is_no_certificate_is_not_even_hashed(
    make_run: "MakeRun", pki: "Pki", kind: str, octets: bytes
) -> None:
    run = run_of(make_run, pki, kind)
    finish = refused(run, pki, sealed(pki, kind, octets))
    assert "not a certificate" in finish.outcome.detail
    assert [send.label for send in run.sent] == ["ir"]


@KINDS
@pytest.mark.parametrize(
    "encrypted", [b"", b"\x05\x00", b"\xa0\x00", b"\x30\x00", wrap(0xA0, b"\x02\x01\x00")]
)
def test_what_is_no_encrypted_key(
    make_run: "MakeRun", pki: "Pki", kind: str, encrypted: bytes
) -> None:
    refused(run_of(make_run, pki, kind), pki, encrypted)


@KINDS
def test_one_for_another_key_is_rejected_by_its_hash(
    make_run: "MakeRun", pki: "Pki", kind: str
) -> None:
    run = run_of(make_run, pki, kind)
    run.start()
    certificate = pki.certificate("device", pki.keys["ed25519"], pki.root)
    run.receive(answer(run, sealed(pki, kind, certificate)).signed(pki.signer))
    (status,) = messages.decode_cert_confirm_content(run.message.body)
    assert status.statusInfo is not None
    assert status.statusInfo.status == 2
    finish = run.end(run.confirmed().signed(pki.signer))
    assert finish.outcome.outcome is OutcomeClass.ISSUED_REFUSED
    assert finish.outcome.reason == Reason.PUBLIC_KEY


def test_a_key_that_can_not_prove_itself_so(make_run: "MakeRun", pki: "Pki") -> None:
    for kind, method in (("ec", Popo.KEY_ENCIPHERMENT), ("rsa", Popo.KEY_AGREEMENT)):
        run = make_run(new_key=pki.pkcs8(pki.keys[kind]), popo=method)
        finish = run.start()
        assert isinstance(finish, Finish)
        assert finish.outcome.outcome is OutcomeClass.LOCAL_ERROR
        assert f"no proof of possession by {method}" in finish.outcome.detail


@KINDS
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_whatever_is_changed_ends_in_a_remote_error_or_in_octets(
    pki: "Pki", kind: str, data: st.DataObject
) -> None:
    encrypted = bytearray(sealed(pki, kind, b"a certificate"))
    place = data.draw(st.integers(0, len(encrypted) - 1))
    encrypted[place] ^= data.draw(st.integers(1, 255))
    with suppress(RemoteCmpError):
        assert isinstance(popo.decrypt(decode(TLV, bytes(encrypted)), key_of(pki, kind)), bytes)
