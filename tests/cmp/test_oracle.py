"""A second opinion: all that bulkcmp sends, read by pyasn1 (modules of RFC 4210 and 4211)."""

import datetime as dt
import ipaddress
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa, x448, x25519
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyasn1.codec.der import encoder
from pyasn1_modules import rfc4210, rfc5280

from bulkcmp.cmp import algorithms, messages, nested, protection
from bulkcmp.cmp.algorithms import AgreementKey, PrivateKey, SigningKey
from bulkcmp.cmp.asn1 import explicit, wrap
from bulkcmp.cmp.dhmac import DhMacParameters
from bulkcmp.cmp.events import TimerFired
from bulkcmp.cmp.general import QUESTIONS, RootCaKeyUpdate, crl_status_list
from bulkcmp.cmp.kemmac import CaSecret, KemMacParameters, ciphertext_info
from bulkcmp.cmp.messages import BodyType, PKIStatus, decode_message
from bulkcmp.cmp.protection import MacParameters
from bulkcmp.cmp.request import (
    Credential,
    DhCredential,
    KemCredential,
    MacCredential,
    NoCredential,
    Protector,
    SignatureCredential,
)
from bulkcmp.cmp.trust import Trust, TrustStore
from bulkcmp.inputs.extension import (
    parse_ext_key_usage,
    parse_extensions,
    parse_key_usage,
    parse_policies,
)
from bulkcmp.inputs.name import parse_name
from bulkcmp.inputs.san import parse_sans
from bulkcmp.inspect import syntax
from bulkcmp.model import (
    Itav,
    KeyFamily,
    KeySpec,
    Operation,
    PasswordMac,
    Popo,
    Profile,
    RevocationReason,
    RsaPadding,
    Secret,
    SubjectCheck,
)
from tests.oracle import BODIES, FAIL_INFO_NAMES, read, same

if TYPE_CHECKING:
    from tests.cmp.conftest import MakeRun, Peer, Pki

OTHER_CURVES = [ec.generate_private_key(curve) for curve in (ec.SECP384R1(), ec.SECP521R1())]
ANSWERS = frozenset(
    {
        BodyType.IP, BodyType.CP, BodyType.KUP, BodyType.RP, BodyType.GENP, BodyType.POLL_REP,
        BodyType.PKICONF, BodyType.ERROR,
    }
)  # fmt: skip
"""What only a CA says: tests/testca has pyasn1 read it."""


TEXTS = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20
)
NAMES = st.lists(TEXTS, min_size=1, max_size=3).map(
    lambda texts: x509.Name(
        [
            x509.RelativeDistinguishedName([x509.NameAttribute(kind, text)])
            for kind, text in zip(
                (
                    x509.NameOID.COMMON_NAME,
                    x509.NameOID.ORGANIZATION_NAME,
                    x509.NameOID.ORGANIZATIONAL_UNIT_NAME,
                ),
                texts,
                strict=False,
            )
        ]
    ).public_bytes()
)
OCTETS = st.binary(max_size=40)
WORDS = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=12)
OIDS = st.lists(st.integers(0, 1 << 40), max_size=4).map(
    lambda arcs: ".".join(map(str, (1, 3, *arcs)))
)
GENERAL_NAMES = st.one_of(
    WORDS.map(lambda word: f"dns:{word}.example"),
    st.ip_addresses().map(lambda address: f"ip:{address}"),
    WORDS.map(lambda word: f"uri:https://{word}.example/{word}"),
    WORDS.map(lambda word: f"email:{word}@a.example"),
    OIDS.map(lambda oid: f"rid:{oid}"),
    WORDS.map(lambda word: f"dirName:/CN={word}/O=Acme"),
    WORDS.map(lambda word: f"upn:{word}@a.example"),
    st.builds(lambda oid, word: f"otherName:{oid};UTF8:{word}", OIDS, WORDS),
)
"""Of every kind, as `--sans` takes them."""
CRITICAL = st.sampled_from(["", "critical,"])


def _listed(entries: st.SearchStrategy[str], parse: Callable[[str], Any]) -> Any:
    several = st.lists(entries, min_size=1, max_size=4, unique=True).map(",".join)
    return st.builds(lambda critical, text: parse(critical + text), CRITICAL, several)


EXTENSIONS = st.tuples(
    st.none() | _listed(GENERAL_NAMES, parse_sans),
    st.none()
    | _listed(
        st.sampled_from(["digitalSignature", "keyAgreement", "keyEncipherment", "cRLSign"]),
        parse_key_usage,
    ),
    st.none() | _listed(st.sampled_from(["clientAuth", "cmKGA"]) | OIDS, parse_ext_key_usage),
    st.none() | _listed(OIDS, parse_policies),
    st.none()
    | OCTETS.map(
        lambda octets: parse_extensions(f"1.3.6.1.4.1.99999.1=DER:{wrap(4, octets).hex()}")[0]
    ),
).map(lambda found: tuple(one for one in found if one is not None))
TIMES = st.integers(0, 8_000 * 365 * 86_400).map(
    lambda seconds: dt.datetime(1900, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=seconds)
)
INFOS = st.builds(
    Itav,
    st.sampled_from([*QUESTIONS.values(), "1.2.3"]),
    st.none() | OCTETS.map(lambda octets: wrap(0x04, octets)),
)
SECRETS = TEXTS.map(lambda text: Secret(text.encode()))


@st.composite
def credentials(draw: st.DrawFn, pki: "Pki", *kinds: type[Credential]) -> Credential:
    kind = draw(st.sampled_from(kinds))
    secret = draw(st.none() | SECRETS)
    if kind is NoCredential:
        return NoCredential(
            draw(st.none() | st.just(pki.device.certificate)),
            draw(NAMES),
            draw(st.none() | TEXTS),
            secret,
        )
    if kind is MacCredential:
        parameters = MacParameters.choose(
            draw(OCTETS),
            kind=draw(st.sampled_from(PasswordMac)),
            owf=draw(st.sampled_from(sorted(algorithms.DIGESTS))),
            iterations=draw(st.integers(1, 300)),
            mac=draw(st.sampled_from(algorithms.MACS)),
        )
        return MacCredential(draw(TEXTS), Secret(draw(OCTETS)), parameters)
    if kind is KemCredential:
        kem_key = pki.kem_keys[draw(st.sampled_from(sorted(pki.kem_keys)))]
        certificate = pki.certificate("device", kem_key, pki.root, identified=draw(st.booleans()))
        chain = (certificate, pki.root.certificate)[: draw(st.integers(1, 2))]
        chosen = KemMacParameters.choose(draw(st.sampled_from(algorithms.MACS)))
        return KemCredential(pki.pkcs8(kem_key), chain, chosen, secret)
    if kind is DhCredential:
        owf = draw(st.sampled_from(sorted(algorithms.DIGESTS)))
        agreed = DhMacParameters.choose(owf, draw(st.sampled_from(algorithms.MACS)))
        own, ca = AGREEMENT_KEYS[draw(st.sampled_from(sorted(AGREEMENT_KEYS)))]
        certificate = pki.certificate("device", own, pki.root, identified=draw(st.booleans()))
        theirs = pki.certificate("CA", ca, pki.root, sign=None, identified=draw(st.booleans()))
        return DhCredential.with_ca(pki.pkcs8(own), (certificate,), theirs, agreed, secret)
    key = draw(_signing_keys(pki))
    party = pki.certify("device", key, pki.root, identified=draw(st.booleans()))
    chain = (party.certificate, pki.root.certificate)
    return SignatureCredential(party.pkcs8, chain[: draw(st.integers(1, 2))], secret)


LAYERS: tuple[type[Credential], ...] = (MacCredential, SignatureCredential, NoCredential)
EVERY: tuple[type[Credential], ...] = (*LAYERS, KemCredential, DhCredential)
AGREEMENT_KEYS: dict[str, tuple[AgreementKey, AgreementKey]] = {
    "x25519": (x25519.X25519PrivateKey.generate(), x25519.X25519PrivateKey.generate()),
    "x448": (x448.X448PrivateKey.generate(), x448.X448PrivateKey.generate()),
    "P-384": (ec.generate_private_key(ec.SECP384R1()), ec.generate_private_key(ec.SECP384R1())),
}
"""Those of a requester and of the CA."""


@st.composite
def ca_secrets(draw: st.DrawFn, pki: "Pki") -> CaSecret | None:
    """What is encapsulated for the CA, if it has a KEM key."""
    kind = draw(st.none() | st.sampled_from(sorted(pki.kem_keys)))
    if kind is None:
        return None
    public_key = pki.kem_keys[kind].public_key()
    shared_secret, ciphertext = public_key.encapsulate()
    return CaSecret(ciphertext_info(public_key, ciphertext), shared_secret)


def _signing_keys(pki: "Pki") -> st.SearchStrategy[SigningKey]:
    return st.sampled_from([*pki.keys.values(), *OTHER_CURVES])


SPECS = st.sampled_from(["rsa:2048", "ec:P-384", "ed25519", "ml-dsa-65"]).map(KeySpec.parse)
PROFILES = st.builds(
    Profile,
    recipient=st.none() | NAMES,
    digest=st.sampled_from(sorted(algorithms.DIGESTS)),
    rsa_padding=st.sampled_from(RsaPadding),
    send_root=st.booleans(),
    implicit_confirm=st.booleans(),
    subject_check=st.sampled_from(SubjectCheck),
)
BY_SERIAL: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries({}) | st.fixed_dictionaries(
    {"serial": st.integers(1, 1 << 159), "issuer": NAMES}
)
"""What is to be revoked: a certificate, or the one with that serial number."""
ENTITIES = st.fixed_dictionaries(
    {},
    optional={
        "subject": st.none() | NAMES,
        "issuer": NAMES,
        "extensions": EXTENSIONS,
        "days": st.integers(0, 20_000),
        "not_before": TIMES,
        "not_after": TIMES,
        "reg_token": SECRETS,
        "authenticator": SECRETS,
        "reg_info": TEXTS,
        "cert_profile": TEXTS,
        "revocation_reason": st.sampled_from(RevocationReason),
        "infos": st.lists(INFOS, min_size=1, max_size=3).map(tuple),
    },
)


# many messages: a busy machine that counts branches too takes minutes
@pytest.mark.timeout(900)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_pyasn1_reads_the_same_in_all_that_is_sent(
    make_run: "MakeRun", pki: "Pki", peer: "Peer", data: st.DataObject
) -> None:
    operation = data.draw(st.sampled_from(Operation))
    count = 1 if operation in (Operation.P10CR, Operation.GENM) else data.draw(st.integers(1, 3))
    issuer = pki.certify("CA", data.draw(_signing_keys(pki)), ca=True)
    store = TrustStore([issuer.certificate])
    keys: dict[str, PrivateKey] = {**pki.keys, **pki.kem_keys}
    popo = data.draw(st.sampled_from(Popo))
    kinds = [kind for kind in keys if KeyFamily("-".join(kind.split("-")[:2])).proves_by(popo)]
    new_key = keys[data.draw(st.sampled_from(kinds))]
    credential = data.draw(credentials(pki, *EVERY))
    others = data.draw(st.sampled_from([(), (pki.signer.certificate,)]))
    profile = replace(data.draw(PROFILES), extra_certs=others)
    run = make_run(
        operation,
        credential,
        profile=profile,
        trust=Trust(TrustStore([pki.root.certificate]), store),
        new_key=pki.pkcs8(new_key),
        popo=popo,
        count=count,
        ca_secret=data.draw(ca_secrets(pki)),
        **(data.draw(ENTITIES) | (data.draw(BY_SERIAL) if operation is Operation.RR else {})),
    )

    run.start()
    if isinstance(credential, KemCredential):
        run.receive(run.ciphertext().plain())
    numbers = [part.cert_req_id for part in run.stored[0].parts]
    if operation.certifies and data.draw(st.booleans()):
        waiting = [peer.response(peer.status(PKIStatus.WAITING), b"", n) for n in numbers]
        run.receive(run.answer(peer.cert_rep(*waiting)).signed(pki.signer))
    else:
        error = peer.error(peer.status(PKIStatus.WAITING))
        run.receive(run.answer(error, BodyType.ERROR).signed(pki.signer))
    run.go(TimerFired(run.now))
    if operation.certifies:
        granted = [
            peer.response(
                peer.status(PKIStatus.ACCEPTED),
                explicit(0, pki.certificate("device", new_key, signer)),
                number,
            )
            for number in numbers
            for signer in [data.draw(st.sampled_from([issuer, pki.stranger]))]
        ]
        run.receive(run.answer(peer.cert_rep(*granted)).signed(pki.signer))
    assert [send.label for send in run.sent] == [
        *["genm"] * isinstance(credential, KemCredential),
        operation.value,
        "pollReq",
        *["certConf"] * operation.certifies,
    ]
    for send in run.sent:
        same(send.message)

    # and in what RAs put around it
    layers = []
    for layer in data.draw(st.lists(credentials(pki, *LAYERS), min_size=1, max_size=3)):
        key: bytes | None = None
        if isinstance(layer, MacCredential):
            key = protection.derive(layer.derivation)
        layers.append(Protector(layer, profile, key))
    sealed = nested.seal(
        [send.message for send in run.sent[: data.draw(st.integers(1, 4))]],
        layers,
        now=run.now,
        transaction_id=data.draw(st.binary(min_size=16, max_size=16)),
        nonce=data.draw(st.binary(min_size=16, max_size=16)),
    )
    same(sealed.message)
    assert decode_message(sealed.message).body_type is BodyType.NESTED


def test_nothing_that_is_sent_goes_unread() -> None:
    """Each body that the client has a word for is among those that are read."""
    sent = {BodyType[operation.name] for operation in Operation}
    assert sent | {BodyType.POLL_REQ, BodyType.CERT_CONF, BodyType.NESTED} == set(BODIES) - ANSWERS


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_pyasn1_reads_the_same_where_the_ca_makes_the_key(
    make_run: "MakeRun", pki: "Pki", data: st.DataObject
) -> None:
    # who can't open what the CA sends is not asked for
    credential = data.draw(credentials(pki, *EVERY).filter(_opens))
    run = make_run(
        data.draw(st.sampled_from([Operation.IR, Operation.CR, Operation.KUR])),
        credential,
        profile=data.draw(PROFILES),
        central_keygen=True,
        new_key_spec=data.draw(st.none() | SPECS),
        count=data.draw(st.integers(1, 3)),
        **data.draw(ENTITIES),
    )
    run.start()
    if isinstance(credential, KemCredential):
        run.receive(run.ciphertext().plain())
    for send in run.sent:
        same(send.message)


def _opens(credential: Credential) -> bool:
    """Whether the CA can encrypt a private key for it."""
    if credential.secret is not None:
        return True
    if not isinstance(credential, SignatureCredential | DhCredential):
        return False
    key = x509.load_der_x509_certificate(credential.chain[0]).public_key()
    return isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey)


@given(st.lists(WORDS, min_size=8, max_size=8), st.ip_addresses(), OIDS)
def test_pyasn1_reads_the_names_that_were_written(
    words: list[str], address: ipaddress.IPv4Address | ipaddress.IPv6Address, oid: str
) -> None:
    dns, uri, email, directory, upn, other, *_ = words
    text = (
        f"dns:{dns},ip:{address},uri:https://{uri}/,email:{email}@a,rid:{oid},"
        f"dirName:/CN={directory},upn:{upn},otherName:{oid};UTF8:{other}"
    )
    names = read(parse_sans(text).value, rfc5280.SubjectAltName())
    assert [name.getName() for name in names] == [
        "dNSName", "iPAddress", "uniformResourceIdentifier", "rfc822Name", "registeredID",
        "directoryName", "otherName", "otherName",
    ]  # fmt: skip
    values = [name.getComponent() for name in names]
    assert [str(values[0]), bytes(values[1])] == [dns, address.packed]
    assert [str(value) for value in values[2:5]] == [f"https://{uri}/", f"{email}@a", oid]
    assert encoder.encode(values[5]["rdnSequence"]) == parse_name(f"/CN={directory}")
    assert [(str(one["type-id"]), bytes(one["value"])) for one in values[6:]] == [
        ("1.3.6.1.4.1.311.20.2.3", wrap(0x0C, upn.encode())),
        (oid, wrap(0x0C, other.encode())),
    ]


def test_what_a_general_message_holds_is_read_by_pyasn1(pki: "Pki") -> None:
    """By the types of `bulkcmp.inspect`, which pyasn1-modules does not have."""
    root, device = pki.root.certificate, pki.device.certificate
    (status,) = read(crl_status_list(device, None), syntax.INFO_TYPES["1.3.6.1.5.5.7.4.22"])
    assert status["source"].getName() == "issuer"
    (name,) = status["source"]["issuer"]
    assert encoder.encode(name["directoryName"]["rdnSequence"]) == pki.root.subject
    assert not status["thisUpdate"].isValue
    update = RootCaKeyUpdate(root, device, pki.signer.certificate)
    theirs = read(update.encode(), syntax.INFO_TYPES["1.3.6.1.5.5.7.4.18"])
    for field, der in (
        ("newWithNew", root),
        ("newWithOld", device),
        ("oldWithNew", pki.signer.certificate),
    ):
        assert encoder.encode(theirs[field]).endswith(der)


def test_the_names_of_fail_info_bits_are_the_same() -> None:
    assert tuple(FAIL_INFO_NAMES[bit] for bit in range(27)) == messages.FAIL_INFO


def test_a_second_opinion_can_differ() -> None:
    """The oracle is one: what is not DER, it does not give back."""
    with pytest.raises(AssertionError):
        read(b"\x30\x81\x05\x30\x03\x02\x01\x00", rfc4210.PollReqContent())
