"""The requests of each operation: what is in them, and what is not."""

import datetime as dt
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bulkcmp.cmp import algorithms, messages, popo, protection
from bulkcmp.cmp.algorithms import Pss, SigningKey
from bulkcmp.cmp.asn1 import decode, decode_sequence_of, encode, explicit, wrap
from bulkcmp.cmp.messages import (
    NULL_DN,
    BodyType,
    CertRequest,
    CertTemplate,
    PKIMessage,
    decode_message,
)
from bulkcmp.cmp.request import (
    Applicant,
    Asked,
    MacCredential,
    NoCredential,
    Protector,
    Request,
    SignatureCredential,
    build,
)
from bulkcmp.errors import LocalCmpError, RemoteCmpError
from bulkcmp.model import (
    EndEntity,
    Operation,
    Popo,
    Profile,
    RequestedExtension,
    RevocationReason,
    RsaPadding,
    Secret,
)

if TYPE_CHECKING:
    from tests.cmp.conftest import Peer, Pki

SAN = RequestedExtension("2.5.29.17", False, wrap(0x30, wrap(0x82, b"device.example")))


def _entity(operation: Operation, **values: Any) -> EndEntity:
    return EndEntity(1, 2, "device", operation, **values)


def _build(
    pki: "Pki", operation: Operation, profile: Profile | None = None, **values: Any
) -> Request:
    new_key = pki.pkcs8(pki.keys["ec"])
    return build([Applicant(_entity(operation, **values), new_key)], profile or Profile(), pki.now)


def _csr(pki: "Pki", key: SigningKey) -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(pki.name("device"))
    hashed = isinstance(key, ec.EllipticCurvePrivateKey)
    request = builder.sign(key, hashes.SHA256() if hashed else None)
    return request.public_bytes(serialization.Encoding.DER)


def _cert_request(asked: Request) -> CertRequest:
    (message,) = messages.decode_cert_req_messages(asked.body)
    assert popo.check(message, None) is Popo.SIGNATURE
    return decode(CertRequest, message.certReq)


def test_an_applicant_shows_no_key(pki: "Pki") -> None:
    assert "PRIVATE" not in repr(Applicant(_entity(Operation.IR), b"PRIVATE"))


def test_a_key_that_signs_elsewhere_proves_itself(pki: "Pki") -> None:
    key = pki.device.elsewhere()
    entity = _entity(Operation.IR, subject=pki.name("device").public_bytes())
    asked = build([Applicant(entity, key)], Profile(), pki.now)
    template = _cert_request(asked).certTemplate
    assert template.publicKey is not None
    assert encode(template.publicKey) == algorithms.public_key_info(pki.device.key)
    indirect = replace(entity, popo=Popo.KEY_AGREEMENT)
    with pytest.raises(LocalCmpError, match="Opaque has no proof of possession by keyAgreement"):
        build([Applicant(indirect, key)], Profile(), pki.now)


def test_several_requests_in_one_message(pki: "Pki") -> None:
    names = [pki.name(f"device {number}").public_bytes() for number in range(3)]
    key = pki.pkcs8(pki.keys["ec"])
    entities = [_entity(Operation.CR, subject=name, profile="P1") for name in names]
    request = build([Applicant(entity, key) for entity in entities], Profile(), pki.now)
    found = messages.decode_cert_req_messages(request.body)
    for number, message in enumerate(found):
        assert popo.check(message, None) is Popo.SIGNATURE
        cert_request = decode(CertRequest, message.certReq)
        assert cert_request.certReqId == number
        assert messages.name_of(cert_request.certTemplate.subject or []) == names[number]
    public_key = algorithms.public_key_info(pki.keys["ec"])
    assert request.asked == tuple(
        Asked((number,), public_key, name) for number, name in enumerate(names)
    )
    # a certificate profile for each
    assert request.general_info.count(b"\x0c\x02P1") == 3


# --- templates ----------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", [Operation.IR, Operation.CR])
def test_the_least_request_asks_for_a_key_alone(pki: "Pki", operation: Operation) -> None:
    asked = _build(pki, operation)
    cert_request = _cert_request(asked)
    public_key = algorithms.public_key_info(pki.keys["ec"])
    assert cert_request.certReqId == 0
    assert cert_request.controls is None
    null_dn = explicit(5, messages.NULL_DN)
    assert encode(cert_request.certTemplate) == wrap(0x30, null_dn, b"\xa6" + public_key[1:])
    assert asked == Request(operation, asked.body, b"", (Asked((0,), public_key, None),))


def test_a_request_with_all_in_it(pki: "Pki") -> None:
    subject = pki.name("device").public_bytes()
    usage = RequestedExtension("2.5.29.15", True, b"\x03\x02\x07\x80")
    asked = _build(
        pki,
        Operation.IR,
        subject=subject,
        issuer=pki.root.subject,
        extensions=(SAN, usage),
        days=30,
    )
    template = _cert_request(asked).certTemplate
    assert messages.name_of(template.issuer or []) == pki.root.subject
    assert messages.name_of(template.subject or []) == subject == asked.asked[0].subject
    assert [
        RequestedExtension(one.extnID.dotted_string, one.critical, one.extnValue)
        for one in template.extensions or []
    ] == [SAN, usage]
    assert template.validity is not None
    assert [encode(time) for time in template.validity] == [
        explicit(0, wrap(0x17, b"260601120000Z")),
        explicit(1, wrap(0x17, b"260701120000Z")),
    ]
    assert (template.version, template.serialNumber, template.signingAlg) == (None, None, None)


@pytest.mark.parametrize("subject", [None, NULL_DN])
def test_a_san_without_a_subject_is_critical(pki: "Pki", subject: bytes | None) -> None:
    asked = _build(pki, Operation.IR, subject=subject, extensions=(SAN,))
    (extension,) = _cert_request(asked).certTemplate.extensions or []
    assert extension.critical is True


def test_a_time_from_2050_on_is_a_generalizedtime(pki: "Pki") -> None:
    validity = _cert_request(_build(pki, Operation.IR, days=365 * 24)).certTemplate.validity
    assert [encode(time)[2] for time in validity or []] == [0x17, 0x18]
    assert encode((validity or [])[1]).endswith(b"20500526120000Z")


@pytest.mark.parametrize(
    ("values", "times"),
    [
        ({"not_before": 1}, {0: b"270102030405Z"}),
        ({"not_after": 1}, {1: b"270102030405Z"}),
        ({"not_before": 1, "days": 2}, {0: b"270102030405Z", 1: b"270104030405Z"}),
        ({"not_before": 1, "not_after": 1}, {0: b"270102030405Z", 1: b"270102030405Z"}),
    ],
)
def test_a_validity_as_the_row_says_it(
    pki: "Pki", values: dict[str, int], times: dict[int, bytes]
) -> None:
    instant = dt.datetime(2027, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
    fields: dict[str, Any] = {
        name: value if name == "days" else instant for name, value in values.items()
    }
    validity = _cert_request(_build(pki, Operation.IR, **fields)).certTemplate.validity
    assert [encode(one) for one in validity or []] == [
        explicit(number, wrap(0x17, time)) for number, time in times.items()
    ]


def test_times_outside_1950_to_2049_are_generalizedtimes(pki: "Pki") -> None:
    fields: dict[str, Any] = {
        "not_before": dt.datetime(1949, 12, 31, 23, 59, 59, tzinfo=dt.UTC),
        "not_after": dt.datetime(9999, 12, 31, 23, 59, 59, tzinfo=dt.UTC),
    }
    validity = _cert_request(_build(pki, Operation.IR, **fields)).certTemplate.validity
    assert [encode(one) for one in validity or []] == [
        explicit(0, wrap(0x18, b"19491231235959Z")),
        explicit(1, wrap(0x18, b"99991231235959Z")),
    ]


def test_controls_and_reg_info(pki: "Pki") -> None:
    asked = _build(
        pki,
        Operation.KUR,
        old_cert=pki.device.certificate,
        reg_token=Secret("t\xf6ken".encode()),
        authenticator=Secret(b"Smith"),
        reg_info="version?1%",
    )
    (message,) = messages.decode_cert_req_messages(asked.body)
    assert popo.check(message, None) is Popo.SIGNATURE, "the proof covers the controls"
    found = decode(CertRequest, message.certReq).controls or []
    assert [one.type for one in found] == [
        messages.CONTROL_REG_TOKEN,
        messages.CONTROL_AUTHENTICATOR,
        messages.CONTROL_OLD_CERT_ID,
    ]
    assert [encode(one.value) for one in found[:2]] == [
        wrap(0x0C, b"t\xc3\xb6ken"),
        wrap(0x0C, b"Smith"),
    ]
    (info,) = message.regInfo
    assert info.type == messages.REG_INFO_UTF8_PAIRS
    assert encode(info.value) == wrap(0x0C, b"version?1%")


def test_a_request_without_proof_of_possession(pki: "Pki") -> None:
    asked = _build(pki, Operation.IR, popo=Popo.NONE)
    (message,) = messages.decode_cert_req_messages(asked.body)
    assert message.popo is None
    with pytest.raises(RemoteCmpError, match="no proof of possession"):
        popo.check(message, None)


def test_a_kur_names_the_certificate_that_it_updates(pki: "Pki") -> None:
    old = x509.load_der_x509_certificate(pki.device.certificate)
    asked = _build(pki, Operation.KUR, old_cert=pki.device.certificate)
    assert asked.asked[0].subject == pki.device.subject, (
        "the old subject, where no other is asked for"
    )
    (control,) = _cert_request(asked).controls or []
    assert control.type == messages.CONTROL_OLD_CERT_ID
    cert_id = decode(messages.CertId, control.value)
    assert messages.directory_name_of(cert_id.issuer) == old.issuer.public_bytes()
    assert cert_id.serialNumber == old.serial_number


def test_a_kur_without_oldcert_updates_its_credential(pki: "Pki") -> None:
    by_credential = _build(pki, Operation.KUR, cert=(pki.device.certificate, pki.root.certificate))
    by_name = _build(pki, Operation.KUR, old_cert=pki.device.certificate)
    assert _cert_request(by_credential).controls is not None
    assert by_credential.asked[0].subject == by_name.asked[0].subject
    other = pki.name("renamed").public_bytes()
    renamed = _build(pki, Operation.KUR, old_cert=pki.device.certificate, subject=other)
    assert renamed.asked[0].subject == other


def test_a_p10cr_is_the_csr_as_it_is(pki: "Pki") -> None:
    csr = _csr(pki, pki.keys["ed25519"])
    assert build([Applicant(_entity(Operation.P10CR, csr=csr), None)], Profile(), 0) == Request(
        Operation.P10CR,
        csr,
        b"",
        (
            Asked(
                (-1, 0),
                algorithms.public_key_info(pki.keys["ed25519"]),
                pki.name("device").public_bytes(),
            ),
        ),
    )


@pytest.mark.parametrize("reason", [None, *RevocationReason])
def test_an_rr_names_the_certificate_and_the_reason(
    pki: "Pki", reason: RevocationReason | None
) -> None:
    old = x509.load_der_x509_certificate(pki.device.certificate)
    entity = _entity(Operation.RR, old_cert=pki.device.certificate, revocation_reason=reason)
    asked = build([Applicant(entity, None)], Profile(implicit_confirm=True), pki.now)
    (details,) = messages.decode_rev_req_content(asked.body)
    wanted = CertTemplate(
        serialNumber=old.serial_number,
        issuer=messages.name_elements(pki.root.subject),
        subject=messages.name_elements(pki.device.subject),
    )
    assert encode(details.certDetails) == encode(wanted)
    (extension,) = details.crlEntryDetails
    assert extension.extnID.dotted_string == "2.5.29.21"
    assert extension.extnValue == bytes((0x0A, 1, 0 if reason is None else reason.value))
    assert extension.critical is False
    assert asked.asked == (Asked((0,)),)
    assert asked.general_info == b"", "there is nothing to confirm"


@pytest.mark.parametrize("by_certificate", [True, False])
def test_an_rr_of_issuer_and_serial_number_alone(pki: "Pki", by_certificate: bool) -> None:
    old = x509.load_der_x509_certificate(pki.device.certificate)
    entity = (
        _entity(Operation.RR, old_cert=pki.device.certificate)
        if by_certificate
        else _entity(
            Operation.RR,
            serial=old.serial_number,
            issuer=pki.root.subject,
            subject=pki.device.subject,
        )
    )
    asked = build([Applicant(entity, None)], Profile(rr_serial_only=True), pki.now)
    (details,) = messages.decode_rev_req_content(asked.body)
    wanted = CertTemplate(
        serialNumber=old.serial_number, issuer=messages.name_elements(pki.root.subject)
    )
    assert encode(details.certDetails) == encode(wanted)


@pytest.mark.parametrize("subject", [None, b"\x30\x00"])
def test_an_rr_by_serial_number(pki: "Pki", subject: bytes | None) -> None:
    entity = _entity(Operation.RR, serial=0x80, issuer=pki.root.subject, subject=subject)
    asked = build([Applicant(entity, None)], Profile(), pki.now)
    (details,) = messages.decode_rev_req_content(asked.body)
    wanted = CertTemplate(
        serialNumber=0x80,
        issuer=messages.name_elements(pki.root.subject),
        subject=None if subject is None else [],
    )
    assert encode(details.certDetails) == encode(wanted)
    with pytest.raises(LocalCmpError, match="without its issuer"):
        build([Applicant(_entity(Operation.RR, serial=1), None)], Profile(), pki.now)


def test_ra_verified_is_said_in_place_of_a_signature(pki: "Pki") -> None:
    asked = _build(pki, Operation.IR, popo=Popo.RA_VERIFIED)
    (message,) = messages.decode_cert_req_messages(asked.body)
    assert popo.check(message, None) is Popo.RA_VERIFIED


def test_general_info(pki: "Pki") -> None:
    entity = _entity(Operation.P10CR, csr=_csr(pki, pki.keys["ec"]), profile="tls-server")
    asked = build([Applicant(entity, None)], Profile(implicit_confirm=True), pki.now)
    confirm = wrap(0x30, encode(messages.IT_IMPLICIT_CONFIRM), b"\x05\x00")
    profile = wrap(0x30, encode(messages.IT_CERT_PROFILE), wrap(0x30, wrap(0x0C, b"tls-server")))
    assert asked.general_info == confirm + profile


# --- what can't be built ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "values", "what"),
    [
        (Operation.KUR, {}, "kur without the certificate that it is about"),
        (Operation.KUR, {"old_cert": b"x"}, "oldcert: not a certificate: "),
        (Operation.RR, {}, "rr without the certificate that it is about"),
        (Operation.P10CR, {}, "p10cr without a PKCS#10 request"),
        (Operation.P10CR, {"csr": b"x"}, "not a usable PKCS#10 request: "),
        (Operation.IR, {"days": 10**9}, "1000000000 days from 2026-06-01 is no date"),
        (Operation.IR, {"days": 10**7}, "10000000 days from 2026-06-01 is no date"),
    ],
)
def test_what_is_missing_or_wrong_is_named(
    pki: "Pki", operation: Operation, values: dict[str, Any], what: str
) -> None:
    with pytest.raises(LocalCmpError) as caught:
        _build(pki, operation, **values)
    assert caught.value.what.startswith(what)


def test_a_csr_for_a_key_of_no_known_kind(pki: "Pki") -> None:
    prime256v1 = bytes.fromhex("06082a8648ce3d030107")
    csr = _csr(pki, pki.keys["ec"]).replace(prime256v1, prime256v1[:-1] + b"\x7f")
    with pytest.raises(LocalCmpError, match=r"^not a usable PKCS#10 request: "):
        _build(pki, Operation.P10CR, csr=csr)


@pytest.mark.parametrize("operation", [Operation.IR, Operation.CR, Operation.KUR])
def test_an_enrollment_needs_a_key(pki: "Pki", operation: Operation) -> None:
    entity = _entity(operation, old_cert=pki.device.certificate)
    with pytest.raises(LocalCmpError, match=f"^{operation} without a key to certify$"):
        build([Applicant(entity, None)], Profile(), pki.now)


# --- the message around it ----------------------------------------------------------------------


def _message(protector: Protector, **changes: Any) -> messages.PKIMessage:
    values: dict[str, Any] = {
        "now": 1780315200.9,
        "transaction_id": b"t" * 16,
        "sender_nonce": b"s" * 16,
        "recip_nonce": None,
        **changes,
    }
    return decode_message(protector.message(BodyType.PKICONF, b"\x05\x00", **values))


def _mac_protector(peer: "Peer", ref: str = "device", profile: Profile | None = None) -> Protector:
    credential = MacCredential(ref, peer.secret, peer.own_mac)
    key = protection.derive(credential.derivation)
    return Protector(credential, profile or Profile(), key)


def test_a_message_under_a_mac(pki: "Pki", peer: "Peer") -> None:
    message = _message(_mac_protector(peer))
    header = message.header
    assert header.pvno == 2
    assert message.sender == pki.name("device").public_bytes()
    assert message.recipient == NULL_DN
    assert header.senderKID == b"device"
    assert header.messageTime is not None
    assert header.messageTime.as_datetime() == dt.datetime(2026, 6, 1, 12, tzinfo=dt.UTC)
    assert (header.transactionID, header.senderNonce) == (b"t" * 16, b"s" * 16)
    assert (header.recipNonce, header.recipKID, header.freeText) == (None, None, None)
    assert header.generalInfo is None
    assert message.extra_certs == ()
    assert protection.mac_parameters(message) == peer.own_mac
    protection.check_mac(
        message,
        peer.own_mac,
        protection.derive(MacCredential("", peer.secret, peer.own_mac).derivation),
    )


def test_options_of_a_message(pki: "Pki", peer: "Peer") -> None:
    profile = Profile(recipient=pki.root.subject, extra_certs=(pki.root.certificate,))
    confirm = wrap(0x30, encode(messages.IT_IMPLICIT_CONFIRM), b"\x05\x00")
    message = _message(
        _mac_protector(peer, profile=profile),
        recip_nonce=b"r" * 16,
        general_info=confirm,
        pvno=3,
    )
    assert message.header.pvno == 3
    assert message.recipient == pki.root.subject
    assert message.header.recipNonce == b"r" * 16
    assert message.info(messages.IT_IMPLICIT_CONFIRM) is not None
    assert message.extra_certs == (pki.root.certificate,)


@pytest.mark.parametrize("ref", ["", "x" * 65])
def test_a_reference_that_is_no_cn_stands_as_sender_kid_alone(peer: "Peer", ref: str) -> None:
    message = _message(_mac_protector(peer, ref))
    assert message.sender == NULL_DN
    assert message.header.senderKID == ref.encode()


@pytest.mark.parametrize("kind", ["rsa", "ec", "ed25519", "ed448", "ml-dsa-65"])
def test_a_signed_message(pki: "Pki", kind: str) -> None:
    party = pki.certify("device", pki.keys[kind], pki.root)
    chain = (party.certificate, pki.root.certificate)
    profile = Profile(extra_certs=(pki.root.certificate, pki.signer.certificate), send_root=True)
    message = _message(Protector(SignatureCredential(party.pkcs8, chain), profile))
    certificate = x509.load_der_x509_certificate(party.certificate)
    identifier = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    assert message.sender == pki.name("device").public_bytes()
    assert message.header.senderKID == identifier.value.digest
    assert message.extra_certs == (*chain, pki.signer.certificate), "each of them once"
    protection.check_signature(message, certificate)


def test_the_root_of_a_chain_is_left_out_unless_it_is_asked_for(pki: "Pki") -> None:
    middle = pki.certify("sub CA", pki.keys["ec"], pki.root, ca=True)
    party = pki.certify("device", pki.keys["ec"], middle)
    root = pki.root.certificate
    chain = (party.certificate, middle.certificate, root, b"\x30\x00")
    credential = SignatureCredential(party.pkcs8, chain)

    def sent(**profile: Any) -> tuple[bytes, ...]:
        return _message(Protector(credential, Profile(**profile))).extra_certs

    assert sent() == (party.certificate, middle.certificate, b"\x30\x00")
    assert sent(send_root=True) == chain
    # what is given with --extracerts is always sent
    assert sent(extra_certs=(root,)) == (*sent(), root)
    own = pki.certify("device", pki.keys["ec"])
    alone = Protector(SignatureCredential(own.pkcs8, (own.certificate,)), Profile())
    assert _message(alone).extra_certs == (own.certificate,), "a signer is sent, self-signed or not"


def test_a_message_without_protection(pki: "Pki") -> None:
    message = _message(Protector(NoCredential(), Profile(extra_certs=(pki.root.certificate,))))
    assert (message.protection, message.header.protectionAlg) == (None, None)
    assert (message.sender, message.header.senderKID) == (NULL_DN, None)
    assert message.extra_certs == (pki.root.certificate,)
    message = _message(Protector(NoCredential(pki.device.certificate, ref="u1"), Profile()))
    assert (message.sender, message.header.senderKID) == (pki.device.subject, b"u1")


def test_a_signer_without_a_key_identifier_sends_none(pki: "Pki") -> None:
    party = pki.certify("device", pki.keys["ec"], pki.root, identified=False)
    message = _message(Protector(SignatureCredential(party.pkcs8, (party.certificate,)), Profile()))
    assert message.header.senderKID is None


SUBJECT_KEY_IDENTIFIER = bytes.fromhex("0603551d0e")
KEY_USAGE = bytes.fromhex("0603551d0f")


@pytest.mark.parametrize("how", ["no certificate", "an extension twice", "a BIT STRING for a CN"])
def test_a_credential_that_can_not_be_used(pki: "Pki", how: str) -> None:
    good = pki.device.certificate
    spoiled = {
        "no certificate": b"x",
        "an extension twice": good.replace(KEY_USAGE, SUBJECT_KEY_IDENTIFIER),
        "a BIT STRING for a CN": good.replace(b"\x0c\x06device", b"\x03\x06\x00evice"),
    }[how]
    assert spoiled != good
    with pytest.raises(LocalCmpError, match=r"^the certificate can't be used: "):
        Protector(SignatureCredential(pki.device.pkcs8, (spoiled,)), Profile())


def test_a_mac_credential_needs_its_key(peer: "Peer") -> None:
    with pytest.raises(LocalCmpError, match=r"^a MAC credential without its derived key$"):
        Protector(MacCredential("ref", peer.secret, peer.own_mac), Profile())


def test_no_secret_is_shown(pki: "Pki", peer: "Peer") -> None:
    credential = MacCredential("ref", peer.secret, peer.own_mac)
    assert peer.secret.reveal().decode() not in repr(credential)
    signature = SignatureCredential(pki.device.pkcs8, (pki.device.certificate,))
    assert repr(pki.device.pkcs8) not in repr(signature)


# --- RSASSA-PSS ---------------------------------------------------------------------------------

PSS_OID = x509.ObjectIdentifier("1.2.840.113549.1.1.10")
PSS = Profile(rsa_padding=RsaPadding.PSS, digest="sha384")


def _certified_for_pss(pki: "Pki", *parameters: bytes) -> SignatureCredential:
    """A credential whose certificate says that its key is for RSASSA-PSS."""
    party = pki.certify("device", pki.keys["rsa"], pki.root)
    body, *_ = decode_sequence_of(party.certificate)
    elements = [encode(element) for element in decode_sequence_of(body)]
    _, bits = decode_sequence_of(elements[6])
    elements[6] = wrap(0x30, wrap(0x30, encode(PSS_OID), *parameters), encode(bits))
    signed = wrap(0x30, *elements)
    signature = algorithms.sign(pki.root.key, "sha256", signed)
    identifier = algorithms.signature_identifier(pki.root.key, "sha256")
    certificate = wrap(0x30, signed, identifier, wrap(0x03, b"\0", signature))
    return SignatureCredential(party.pkcs8, (certificate,))


def _signed_by(message: PKIMessage, credential: SignatureCredential) -> str:
    """The OID of the signature, after it was checked."""
    protection.check_signature(message, x509.load_der_x509_certificate(credential.chain[0]))
    assert message.header.protectionAlg is not None
    return decode(x509.ObjectIdentifier, message.header.protectionAlg[0]).dotted_string


@pytest.mark.parametrize("kind", ["rsa", "ec", "ed25519"])
def test_pss_is_for_rsa_keys_that_are_asked_for_it(pki: "Pki", kind: str) -> None:
    party = pki.certify("device", pki.keys[kind], pki.root)
    credential = SignatureCredential(party.pkcs8, (party.certificate,))
    plain, asked = (
        _signed_by(_message(Protector(credential, profile)), credential)
        for profile in (Profile(digest="sha384"), PSS)
    )
    assert plain != PSS_OID.dotted_string
    assert asked == (PSS_OID.dotted_string if kind == "rsa" else plain)


def test_possession_is_proven_by_pss_where_it_is_asked_for(pki: "Pki") -> None:
    key = pki.pkcs8(pki.keys["rsa"])
    for profile, wanted in ((Profile(), "1.2.840.113549.1.1.11"), (PSS, PSS_OID.dotted_string)):
        asked = build([Applicant(_entity(Operation.IR), key)], profile, pki.now)
        (request,) = messages.decode_cert_req_messages(asked.body)
        assert popo.check(request, None) is Popo.SIGNATURE
        assert request.popo is not None
        proof = request.popo.value
        assert isinstance(proof, messages.POPOSigningKey)
        identifier = decode(x509.ObjectIdentifier, proof.algorithmIdentifier[0])
        assert identifier.dotted_string == wanted


def test_a_key_that_is_certified_for_pss_signs_by_pss_unasked(pki: "Pki") -> None:
    credential = _certified_for_pss(pki)
    message = _message(Protector(credential, Profile(digest="sha512")))
    assert _signed_by(message, credential) == PSS_OID.dotted_string
    # and a signature of the same key by another scheme does not count
    plain = SignatureCredential(
        credential.key, (pki.certify("device", pki.keys["rsa"], pki.root).certificate,)
    )
    other = _message(Protector(plain, Profile()))
    with pytest.raises(RemoteCmpError, match=r"^the key is for RSASSA-PSS only"):
        _signed_by(other, credential)


def test_a_key_that_is_certified_for_certain_parameters_signs_by_them(pki: "Pki") -> None:
    wanted = Pss("sha384", "sha1", 33)
    parameters = encode(decode_sequence_of(wanted.identifier())[1])
    credential = _certified_for_pss(pki, parameters)
    message = _message(Protector(credential, Profile()))
    assert _signed_by(message, credential) == PSS_OID.dotted_string
    assert protection.algorithm_of(message) == wanted.identifier()


def test_a_key_that_is_certified_for_unusable_parameters(pki: "Pki") -> None:
    trailer = wrap(0x30, explicit(3, encode(2)))
    with pytest.raises(LocalCmpError, match=r"can't be used: RSASSA-PSS with trailerField 2$"):
        Protector(_certified_for_pss(pki, trailer), Profile())
