"""A second opinion: all that bulkcmp sends, read by pyasn1 (modules of RFC 4210 and 4211)."""

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyasn1.codec.der import decoder, encoder
from pyasn1.type import namedtype, tag, univ
from pyasn1_modules import rfc4210, rfc4211, rfc5280

from bulkcmp.cmp import algorithms, messages, nested, protection
from bulkcmp.cmp.algorithms import PrivateKey
from bulkcmp.cmp.asn1 import decode, decode_sequence_of, encode, explicit, wrap
from bulkcmp.cmp.events import TimerFired
from bulkcmp.cmp.general import QUESTIONS, RootCaKeyUpdate, crl_status_list, decode_infos
from bulkcmp.cmp.messages import BodyType, CertRequest, CertTemplate, PKIMessage, decode_message
from bulkcmp.cmp.protection import MacParameters, algorithm_of
from bulkcmp.cmp.request import (
    Credential,
    MacCredential,
    NoCredential,
    Protector,
    SignatureCredential,
)
from bulkcmp.cmp.trust import Trust, TrustStore
from bulkcmp.inspect import syntax
from bulkcmp.model import (
    Itav,
    KeyFamily,
    KeySpec,
    Operation,
    PasswordMac,
    Popo,
    Profile,
    RequestedExtension,
    RevocationReason,
    RsaPadding,
    Secret,
    SubjectCheck,
)

if TYPE_CHECKING:
    from tests.cmp.conftest import MakeRun, Peer, Pki

FAIL_INFO_NAMES = {int(bit): str(name) for name, bit in rfc4210.PKIFailureInfo.namedValues.items()}
KINDS = ["rsa", "ec", "ed25519", "ed448", "ml-dsa-44", "ml-dsa-65", "ml-dsa-87"]


class CertStatus(univ.Sequence):  # type: ignore[misc]  # pyasn1 has no types
    """RFC 4210's, and the hashAlg of RFC 9480, which pyasn1-modules 0.4.2 does not have."""

    componentType = namedtype.NamedTypes(  # noqa: N815
        namedtype.NamedType("certHash", univ.OctetString()),
        namedtype.NamedType("certReqId", univ.Integer()),
        namedtype.OptionalNamedType("statusInfo", rfc4210.PKIStatusInfo()),
        namedtype.OptionalNamedType(
            "hashAlg",
            rfc5280.AlgorithmIdentifier().subtype(
                explicitTag=tag.Tag(tag.tagClassContext, tag.tagFormatConstructed, 0)
            ),
        ),
    )


class CertConfirmContent(univ.SequenceOf):  # type: ignore[misc]  # pyasn1 has no types
    componentType = CertStatus()  # noqa: N815


NULL_DN_SUBJECT = explicit(5, messages.NULL_DN)


def _read(der: bytes, spec: object) -> Any:
    """What pyasn1 makes of `der`; that its encoding is the same says that ours is DER."""
    value, rest = decoder.decode(der, asn1Spec=spec)
    assert rest == b""
    # pyasn1 takes an optional SEQUENCE OF that is empty, a NULL-DN, for an absent one
    assert encoder.encode(value) == der or NULL_DN_SUBJECT in der
    return value


def _der(value: Any) -> bytes | None:
    """DER of a constructed value; None for an absent one."""
    return encoder.encode(value) if value.isValue else None


def _octets(value: Any) -> bytes | None:
    return bytes(value) if value.isValue else None


def _same_header(theirs: Any, ours: PKIMessage) -> None:
    header = ours.header
    assert int(theirs["pvno"]) == header.pvno
    assert _der(theirs["sender"]) == encode(header.sender)
    assert _der(theirs["recipient"]) == encode(header.recipient)
    assert header.messageTime is not None
    assert theirs["messageTime"].asDateTime == header.messageTime.as_datetime()
    # under the [1] of the header, the SEQUENCE's own tag stands inside
    algorithm = _der(theirs["protectionAlg"])
    assert (algorithm is None) == (header.protectionAlg is None)
    assert algorithm is None or algorithm.endswith(algorithm_of(ours) or b"?")
    for field in ("senderKID", "recipKID", "transactionID", "senderNonce", "recipNonce"):
        assert _octets(theirs[field]) == getattr(header, field), field
    infos = [encoder.encode(info) for info in theirs["generalInfo"]]
    assert infos == [encode(info) for info in header.generalInfo or ()]


def _same_template(theirs: Any, ours: CertTemplate) -> None:
    assert (int(theirs["serialNumber"]) if theirs["serialNumber"].isValue else None) == (
        ours.serialNumber
    )
    for field in ("issuer", "subject"):
        elements = getattr(ours, field)
        name = None if elements is None else messages.name_of(elements)
        if name == messages.NULL_DN:
            continue
        der = _der(theirs[field])
        assert (der is None) == (name is None), field
        assert name is None or (der or b"").endswith(name), field
    validity = theirs["validity"]
    times = [
        encoder.encode(validity[field])
        for field in ("notBefore", "notAfter")
        if validity[field].isValue
    ]
    assert times == [encode(time) for time in ours.validity or ()]
    spki = _der(theirs["publicKey"])
    assert (spki or b"\xa6")[1:] == (b"" if ours.publicKey is None else encode(ours.publicKey)[1:])
    assert [encoder.encode(extension) for extension in theirs["extensions"]] == [
        encode(extension) for extension in ours.extensions or ()
    ]


CONTROLS = {
    rfc4211.id_regCtrl_regToken: rfc4211.RegToken(),
    rfc4211.id_regCtrl_authenticator: rfc4211.Authenticator(),
    rfc4211.id_regCtrl_oldCertID: rfc4211.OldCertId(),
}


def _same_cert_request(der: bytes) -> None:
    # pyasn1-modules has a wrong POPOPrivKey
    theirs = _read(der, syntax.CertReqMessages())
    (ours,) = messages.decode_cert_req_messages(der)
    assert len(theirs) == 1
    request = decode(CertRequest, ours.certReq)
    assert int(theirs[0]["certReq"]["certReqId"]) == request.certReqId == 0
    _same_template(theirs[0]["certReq"]["certTemplate"], request.certTemplate)
    controls = theirs[0]["certReq"]["controls"]
    assert [(str(one["type"]), bytes(one["value"])) for one in controls] == [
        (one.type.dotted_string, encode(one.value)) for one in request.controls or ()
    ]
    for control in controls:
        _read(bytes(control["value"]), CONTROLS[control["type"]])
    infos = theirs[0]["regInfo"]
    assert [(str(one["type"]), bytes(one["value"])) for one in infos] == [
        (one.type.dotted_string, encode(one.value)) for one in ours.regInfo or ()
    ]
    for info in infos:
        assert info["type"] == rfc4211.id_regInfo_utf8Pairs
        _read(bytes(info["value"]), rfc4211.UTF8Pairs())
    if not theirs[0]["popo"].isValue:
        assert ours.popo is None
        return
    method = theirs[0]["popo"].getName()
    assert method == ours.popo.tag
    if method == "signature":
        proof = theirs[0]["popo"]["signature"]
        assert not proof["poposkInput"].isValue
        assert encoder.encode(proof["algorithmIdentifier"]) == wrap(
            0x30, *map(encode, ours.popo.value.algorithmIdentifier)
        )
        assert proof["signature"].asOctets() == ours.popo.value.signature.as_bytes()
    elif Popo(method).is_indirect:
        assert theirs[0]["popo"][method].getName() == "subsequentMessage"
        assert theirs[0]["popo"][method]["subsequentMessage"] == 0, "encrCert"


def _same_confirmation(der: bytes) -> None:
    (theirs,) = _read(der, CertConfirmContent())
    (ours,) = messages.decode_cert_confirm_content(der)
    assert bytes(theirs["certHash"]) == ours.certHash
    assert int(theirs["certReqId"]) == ours.certReqId
    hashed = _der(theirs["hashAlg"])
    assert (hashed is None) == (ours.hashAlg is None)
    if ours.hashAlg is not None:
        assert (hashed or b"").endswith(wrap(0x30, *map(encode, ours.hashAlg)))
    info = theirs["statusInfo"]
    assert info.isValue == (ours.statusInfo is not None)
    if ours.statusInfo is not None:
        assert int(info["status"]) == ours.statusInfo.status
        assert [str(text) for text in info["statusString"]] == ours.statusInfo.statusString
        bits = [number for number, bit in enumerate(info["failInfo"]) if bit]
        assert tuple(FAIL_INFO_NAMES[bit] for bit in bits) == (
            messages.fail_info_names(ours.statusInfo.failInfo)
        )


def _same_revocation(der: bytes) -> None:
    theirs = _read(der, rfc4210.RevReqContent())
    (ours,) = messages.decode_rev_req_content(der)
    assert len(theirs) == 1
    _same_template(theirs[0]["certDetails"], ours.certDetails)
    assert [encoder.encode(extension) for extension in theirs[0]["crlEntryDetails"]] == [
        encode(extension) for extension in ours.crlEntryDetails or ()
    ]


def _same_poll(der: bytes) -> None:
    (theirs,) = _read(der, rfc4210.PollReqContent())
    (ours,) = messages.decode_poll_req_content(der)
    assert int(theirs["certReqId"]) == ours.certReqId


def _same_general_message(der: bytes) -> None:
    theirs = _read(der, rfc4210.GenMsgContent())
    assert [(str(one["infoType"]), _octets(one["infoValue"])) for one in theirs] == [
        (one.oid, one.value) for one in decode_infos(der)
    ]


def _same_pkcs10(der: bytes) -> None:
    assert x509.load_der_x509_csr(der).is_signature_valid


def _same_nested(der: bytes) -> None:
    theirs = [bytes(one) for one in _read(der, rfc4210.NestedMessageContent())]
    assert wrap(0x30, *theirs) == der
    for one in theirs:
        _same(one)


SAME = {
    BodyType.NESTED: _same_nested,
    BodyType.IR: _same_cert_request,
    BodyType.CR: _same_cert_request,
    BodyType.KUR: _same_cert_request,
    BodyType.P10CR: _same_pkcs10,
    BodyType.RR: _same_revocation,
    BodyType.GENM: _same_general_message,
    BodyType.POLL_REQ: _same_poll,
    BodyType.CERT_CONF: _same_confirmation,
}


def _same(der: bytes) -> None:
    """pyasn1 and we read the same in `der`."""
    ours = decode_message(der)
    SAME[ours.body_type](ours.body)
    if ours.header.pvno == messages.PVNO_CMP2021:
        # with a hashAlg, which RFC 4210 does not know
        header = encode(decode_sequence_of(ours.protected_part)[0])
        _same_header(_read(header, rfc4210.PKIHeader()), ours)
        return
    theirs = _read(der, rfc4210.PKIMessage())
    _same_header(theirs["header"], ours)
    assert theirs["body"].getName() == ours.body_type.label
    protection = theirs["protection"]
    assert (protection.asOctets() if protection.isValue else None) == ours.protection
    assert tuple(encoder.encode(one) for one in theirs["extraCerts"]) == (ours.extra_certs)


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
EXTENSIONS = st.lists(
    st.builds(
        RequestedExtension,
        st.sampled_from(["2.5.29.17", "2.5.29.15", "2.5.29.37", "1.3.6.1.4.1.99999.1"]),
        st.booleans(),
        OCTETS.map(lambda octets: wrap(0x04, octets)),
    ),
    max_size=4,
    unique_by=lambda one: one.oid,
).map(tuple)
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
def credentials(draw: st.DrawFn, pki: "Pki") -> Credential:
    kind = draw(st.sampled_from([MacCredential, NoCredential, SignatureCredential]))
    if kind is NoCredential:
        return NoCredential(
            draw(st.none() | st.just(pki.device.certificate)),
            draw(NAMES),
            draw(st.none() | TEXTS),
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
    key = pki.keys[draw(st.sampled_from(KINDS))]
    party = pki.certify("device", key, pki.root, identified=draw(st.booleans()))
    chain = (party.certificate, pki.root.certificate)
    return SignatureCredential(party.pkcs8, chain[: draw(st.integers(1, 2))])


SPECS = st.sampled_from(["rsa:2048", "ec:P-384", "ed25519", "ml-dsa-65"]).map(KeySpec.parse)
PROFILES = st.builds(
    Profile,
    recipient=st.none() | NAMES,
    digest=st.sampled_from(["sha1", "sha224", "sha256", "sha384", "sha512"]),
    rsa_padding=st.sampled_from(RsaPadding),
    send_root=st.booleans(),
    implicit_confirm=st.booleans(),
    subject_check=st.sampled_from(SubjectCheck),
)
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


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_pyasn1_reads_the_same_in_all_that_is_sent(
    make_run: "MakeRun", pki: "Pki", peer: "Peer", data: st.DataObject
) -> None:
    operation = data.draw(st.sampled_from(Operation))
    issuer = pki.certify("CA", pki.keys[data.draw(st.sampled_from(KINDS))], ca=True)
    store = TrustStore([issuer.certificate])
    keys: dict[str, PrivateKey] = {**pki.keys, **pki.kem_keys}
    popo = data.draw(st.sampled_from(Popo))
    kinds = [kind for kind in keys if KeyFamily("-".join(kind.split("-")[:2])).proves_by(popo)]
    new_key = keys[data.draw(st.sampled_from(kinds))]
    run = make_run(
        operation,
        data.draw(credentials(pki)),
        profile=data.draw(PROFILES),
        trust=Trust(TrustStore([pki.root.certificate]), store),
        new_key=pki.pkcs8(new_key),
        popo=popo,
        **data.draw(ENTITIES),
    )

    run.start()
    run.receive(
        run.answer(peer.waiting(run.stored[0].parts[0].cert_req_id)).signed(pki.signer)
    ) if operation.certifies else run.receive(
        run.answer(peer.error(peer.status(3)), BodyType.ERROR).signed(pki.signer)
    )
    run.go(TimerFired(run.now))
    if operation.certifies:
        certificate = pki.certificate("device", new_key, issuer)
        run.receive(run.granted(certificate).signed(pki.signer))
    labels = [send.label for send in run.sent]
    assert labels == [operation.value, "pollReq", *["certConf"] * operation.certifies]
    for send in run.sent:
        _same(send.message)

    # and in what RAs put around it
    profile = run.profile
    layers = []
    for credential in data.draw(st.lists(credentials(pki), min_size=1, max_size=3)):
        key: bytes | None = None
        if isinstance(credential, MacCredential):
            key = protection.derive(credential.derivation)
        layers.append(Protector(credential, profile, key))
    sealed = nested.seal(
        [send.message for send in run.sent[: data.draw(st.integers(1, 3))]],
        layers,
        now=run.now,
        transaction_id=data.draw(st.binary(min_size=16, max_size=16)),
        nonce=data.draw(st.binary(min_size=16, max_size=16)),
    )
    _same(sealed.message)
    assert decode_message(sealed.message).body_type is BodyType.NESTED


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_pyasn1_reads_the_same_where_the_ca_makes_the_key(
    make_run: "MakeRun", pki: "Pki", data: st.DataObject
) -> None:
    # who can't open what the CA sends is not asked for
    credential = data.draw(
        credentials(pki).filter(
            lambda one: (
                isinstance(one, MacCredential)
                or (isinstance(one, SignatureCredential) and _opens(one))
            )
        )
    )
    run = make_run(
        data.draw(st.sampled_from([Operation.IR, Operation.CR, Operation.KUR])),
        credential,
        profile=data.draw(PROFILES),
        central_keygen=True,
        new_key_spec=data.draw(st.none() | SPECS),
        **data.draw(ENTITIES),
    )
    run.start()
    (send,) = run.sent
    _same(send.message)


def _opens(credential: SignatureCredential) -> bool:
    key = x509.load_der_x509_certificate(credential.chain[0]).public_key()
    return isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey)


def test_what_a_general_message_holds_is_read_by_pyasn1(pki: "Pki") -> None:
    """By the types of `bulkcmp.inspect`, which pyasn1-modules does not have."""
    root, device = pki.root.certificate, pki.device.certificate
    (status,) = _read(crl_status_list(device, None), syntax.INFO_TYPES["1.3.6.1.5.5.7.4.22"])
    assert status["source"].getName() == "issuer"
    (name,) = status["source"]["issuer"]
    assert encoder.encode(name["directoryName"]["rdnSequence"]) == pki.root.subject
    assert not status["thisUpdate"].isValue
    update = RootCaKeyUpdate(root, device, pki.signer.certificate)
    theirs = _read(update.encode(), syntax.INFO_TYPES["1.3.6.1.5.5.7.4.18"])
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
        _read(b"\x30\x81\x05\x30\x03\x02\x01\x00", rfc4210.PollReqContent())
