"""Requests that are refused: failInfo, kind of message, and how the refusal is protected."""

import datetime as dt
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa, x25519

from bulkcmp.cmp import algorithms
from bulkcmp.cmp.algorithms import SigningKey
from bulkcmp.cmp.asn1 import (
    TLV,
    BitString,
    GeneralizedTime,
    ObjectIdentifier,
    any_from,
    decode,
    decode_sequence_of,
    encode,
    explicit,
    wrap,
)
from bulkcmp.cmp.messages import (
    BodyType,
    CertTemplate,
    Extension,
    PKIStatusInfo,
    RevDetails,
    SubjectPublicKeyInfo,
    name_elements,
)
from bulkcmp.cmp.messages import fail_info as make_fail_info
from bulkcmp.inputs.name import parse_name
from bulkcmp.model import Popo, RevocationReason, Secret
from bulkcmp.testca.aliases import Behaviour
from bulkcmp.testca.store import CertificateStatus, IssuedCertificate
from tests.testca.conftest import assert_refused, poll_req, rev_details, rev_req, shared_key

if TYPE_CHECKING:
    from tests.testca.conftest import Ca, Peer, Reply

Keys = Callable[..., SigningKey]
DAY = dt.timedelta(days=1)
ISSUER = parse_name("/CN=Another CA")
SHA256 = algorithms.DIGEST_IDENTIFIERS["sha256"]


# --- authentication


def test_garbage_is_answered_by_a_signed_error(ca: "Ca") -> None:
    reply = ca.ask("ra-hmac", b"\x30\x03abc")
    assert_refused(reply, BodyType.ERROR, "badDataFormat", "signature")
    assert reply.message.header.transactionID is None


@pytest.mark.parametrize("alias", ["client-hmac", "client-cert", "ra-hmac", "ra-cert"])
def test_an_unprotected_request(ca: "Ca", key: Keys, alias: str) -> None:
    reply = ca.requester(alias).send(BodyType.IR, ca.crmf(key("ec:P-256")), protect=False)
    assert_refused(reply, BodyType.ERROR, "badMessageCheck", "signature", "not protected")


@pytest.mark.parametrize("alias", ["client-hmac", "client-cert", "ra-hmac", "ra-cert"])
def test_wrong_protection(ca: "Ca", key: Keys, alias: str) -> None:
    reply = ca.requester(alias).send(BodyType.IR, ca.crmf(key("ec:P-256")), spoil=True)
    assert_refused(reply, BodyType.ERROR, "badMessageCheck", "signature")


def test_a_wrong_secret_names_the_user(ca: "Ca") -> None:
    peer = ca.client_hmac()
    peer.secret = Secret(b"other")
    assert_refused(peer.enroll(), BodyType.ERROR, "badMessageCheck", "signature", "dev1.")


@pytest.mark.parametrize(
    ("request_type", "response_type"),
    [(BodyType.IR, BodyType.IP), (BodyType.CR, BodyType.CP)],
)
def test_an_unknown_user_is_rejected_in_ejbcas_words(
    ca: "Ca", request_type: BodyType, response_type: BodyType
) -> None:
    peer = ca.client_hmac()
    peer.ref = b"nobody"
    reply = peer.enroll(request_type, cert_req_id=7)
    text = "Wrong username or password"
    assert_refused(reply, response_type, "incorrectData", "signature", text)
    assert reply.cert_req_id == 7


def test_an_unknown_user_who_asks_for_no_certificate_gets_an_error(ca: "Ca") -> None:
    peer = ca.client_hmac()
    peer.ref = b"nobody\xff"
    reply = peer.send(BodyType.CERT_CONF, b"\x30\x00")
    assert_refused(reply, BodyType.ERROR, "incorrectData", "signature")


def test_an_unknown_user_with_a_request_that_has_no_id(ca: "Ca") -> None:
    peer = ca.client_hmac()
    peer.ref = b"nobody"
    for der in (b"\x30\x00", b"\x04\x00"):
        reply = peer.send(BodyType.IR, der)
        assert_refused(reply, BodyType.ERROR, "incorrectData", "signature")


def test_a_client_without_reference(ca: "Ca") -> None:
    peer = ca.client_hmac()
    peer.ref = None
    assert_refused(peer.enroll(), BodyType.ERROR, "badMessageCheck", "signature", "senderKID")


def test_an_end_entity_without_a_secret_has_none(ca: "Ca") -> None:
    ca.ra_hmac().enroll()
    peer = ca.ra_hmac()
    peer.alias, peer.ref = "client-hmac", b"dev1"
    assert_refused(peer.enroll(), BodyType.IP, "incorrectData", "signature")


@pytest.mark.parametrize("alias", ["client-hmac", "ra-hmac"])
def test_too_many_iterations(ca: "Ca", alias: str) -> None:
    peer = ca.requester(alias)
    peer.iterations = 100_001
    reply = peer.enroll()
    assert_refused(reply, BodyType.ERROR, "badAlg", "signature", "100001 iterations")


@pytest.mark.parametrize(
    ("alias", "with_credential_of"),
    [("client-hmac", "ra-cert"), ("ra-hmac", "ra-cert"), ("ra-cert", "ra-hmac"),
     ("client-cert", "ra-hmac")],
)  # fmt: skip
def test_protection_of_the_other_kind(ca: "Ca", alias: str, with_credential_of: str) -> None:
    peer = ca.requester(with_credential_of)
    peer.alias = alias
    assert_refused(peer.enroll(), BodyType.ERROR, "wrongIntegrity", "signature")


@pytest.mark.parametrize("alias", ["client-cert", "ra-cert"])
def test_parameters_of_an_unknown_mac_at_an_alias_for_signatures(ca: "Ca", alias: str) -> None:
    peer = ca.ra_hmac()
    peer.alias, peer.iterations = alias, 0
    assert_refused(peer.enroll(), BodyType.ERROR, "badAlg", "signature")


@pytest.mark.parametrize(
    ("signer", "alias", "text"),
    [("ra-cert", "client-cert", "an RA"), ("client-cert", "ra-cert", "not an authorized RA")],
)
def test_a_signer_of_the_wrong_kind(ca: "Ca", signer: str, alias: str, text: str) -> None:
    peer = ca.requester(signer)
    peer.alias = alias
    assert_refused(peer.enroll(), BodyType.ERROR, "notAuthorized", "signature", text)


def test_a_revoked_signer(ca: "Ca") -> None:
    peer = ca.client_cert()
    assert peer.cert is not None
    serial = x509.load_der_x509_certificate(peer.cert).serial_number
    ca.store.set_certificate_status(
        serial,
        CertificateStatus.REVOKED,
        reason=RevocationReason.KEY_COMPROMISE,
        revoked_at=ca.now,
    )
    assert_refused(peer.enroll(), BodyType.ERROR, "certRevoked", "signature")
    # nor is it found where it does not come along
    reply = peer.send(BodyType.CERT_CONF, b"\x30\x00", extra_certs=())
    assert_refused(reply, BodyType.ERROR, "badMessageCheck", "signature")


def test_an_expired_signer(ca: "Ca") -> None:
    peer = ca.client_cert(not_after=ca.now + DAY)
    assert peer.enroll(now=ca.now + DAY).type is BodyType.IP
    ca.now += DAY + dt.timedelta(seconds=1)
    assert_refused(peer.again().enroll(), BodyType.ERROR, "signerNotTrusted", "signature")


def test_a_signer_whose_certificate_was_never_confirmed(ca: "Ca", key: Keys) -> None:
    from_ra = ca.ra_hmac()
    issued = from_ra.enroll(spec="ec:P-384")
    peer = type(from_ra)(ca, "client-cert", key=key("ec:P-384"), cert=issued.der)
    reply = peer.enroll()
    assert_refused(reply, BodyType.ERROR, "signerNotTrusted", "signature", "pending confirmation")


def test_a_signer_without_the_right_to_sign(ca: "Ca") -> None:
    usage = x509.KeyUsage(
        digital_signature=False, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=True, key_cert_sign=False, crl_sign=False,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip
    asked = (usage.oid.dotted_string, True, usage.public_bytes())
    peer = ca.client_cert(extensions=[asked])
    reply = peer.enroll()
    assert_refused(reply, BodyType.ERROR, "signerNotTrusted", "signature", "keyUsage")


JUNK = {
    "keyUsage": x509.UnrecognizedExtension(x509.OID_KEY_USAGE, b"junk"),
    # of which cryptography makes a KeyError
    "TLS feature": x509.UnrecognizedExtension(
        x509.ObjectIdentifier("1.3.6.1.5.5.7.1.24"), bytes.fromhex("3003020173")
    ),
}


def self_signed(key: Any, serial: int, *, junk: str | None = None) -> bytes:
    name = x509.Name.from_bytes(parse_name("/CN=dev1/O=Acme/C=SE"))
    now = dt.datetime(2027, 3, 1, tzinfo=dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(now)
        .not_valid_after(now + 10 * DAY)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if junk is not None:
        builder = builder.add_extension(JUNK[junk], critical=True)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def test_a_foreign_signer(ca: "Ca", key: Keys) -> None:
    peer = ca.client_cert()
    assert peer.cert is not None
    peer.key = key("ec:P-256", 1)
    # of the serial number of one of the CA's own
    for serial in (5, x509.load_der_x509_certificate(peer.cert).serial_number):
        peer.cert = self_signed(peer.key, serial)
        reply = peer.enroll()
        assert_refused(reply, BodyType.ERROR, "signerNotTrusted", "signature", "not of this CA")


@pytest.mark.parametrize("junk", JUNK)
def test_a_foreign_signer_with_junk_for_an_extension(ca: "Ca", key: Keys, junk: str) -> None:
    peer = ca.client_cert()
    peer.key = key("ec:P-256")
    der = self_signed(peer.key, 5, junk=junk)
    reply = peer.send(BodyType.IR, ca.crmf(peer.key), extra_certs=(der,))
    assert_refused(reply, BodyType.ERROR, "badMessageCheck", "signature", "can't be read")


@pytest.mark.parametrize("header", [{}, {"senderKID": None}])
def test_a_signer_without_certificate(ca: "Ca", key: Keys, header: dict[str, Any]) -> None:
    der = ca.crmf(key("ec:P-256"))
    reply = ca.ra_cert().send(BodyType.IR, der, extra_certs=(), **header)
    assert_refused(reply, BodyType.ERROR, "badMessageCheck", "signature", "came along")


@pytest.mark.parametrize("junk", [b"\x30\x03\x02\x01\x05", b"\x30\x00"])
def test_a_signer_whose_certificate_is_none(ca: "Ca", key: Keys, junk: bytes) -> None:
    reply = ca.ra_cert().send(BodyType.IR, ca.crmf(key("ec:P-256")), extra_certs=(junk,))
    assert_refused(reply, BodyType.ERROR, "badMessageCheck", "signature", "not a certificate")


def test_an_end_entity_that_no_user_stands_behind(ca: "Ca", key: Keys) -> None:
    san = x509.SubjectAlternativeName([x509.DNSName("x")])
    issued = ca.ra_hmac().enroll(
        subject=None, implicit=True, extensions=[(san.oid.dotted_string, False, san.public_bytes())]
    )
    peer = ca.ra_cert()
    peer.alias, peer.key, peer.cert = "client-cert", key("ec:P-256"), issued.der
    reply = peer.enroll()
    assert_refused(reply, BodyType.ERROR, "notAuthorized", "signature", "no registered end entity")


# --- header


@pytest.mark.parametrize(
    ("field", "value", "fail_info"),
    [
        ("pvno", 1, "unsupportedVersion"),
        ("pvno", 4, "unsupportedVersion"),
        ("transactionID", None, "badDataFormat"),
        ("transactionID", b"x" * 15, "badRequest"),
        ("senderNonce", None, "badSenderNonce"),
        ("senderNonce", b"x" * 15, "badSenderNonce"),
    ],
)
@pytest.mark.parametrize(("alias", "protection"), [("ra-hmac", "mac"), ("ra-cert", "signature")])
def test_headers(
    ca: "Ca", key: Keys, alias: str, protection: str, field: str, value: Any, fail_info: str
) -> None:
    peer = ca.requester(alias)
    reply = peer.send(BodyType.IR, ca.crmf(key("ec:P-256")), **{field: value})
    assert_refused(reply, BodyType.ERROR, fail_info, protection)
    assert reply.message.header.pvno == (3 if value == 4 else 2)


@pytest.mark.parametrize("seconds", [-301, 301])
def test_a_message_time_that_is_off(ca: "Ca", key: Keys, seconds: int) -> None:
    when = GeneralizedTime(ca.now + dt.timedelta(seconds=seconds))
    der = ca.crmf(key("ec:P-256"))
    reply = ca.ra_hmac().send(BodyType.IR, der, messageTime=when)
    assert_refused(reply, BodyType.ERROR, "badTime", "mac", "301 s")
    ca.behave(Behaviour(time_tolerance=None))
    assert ca.ra_hmac().send(BodyType.IR, der, messageTime=when).type is BodyType.IP


@pytest.mark.parametrize("seconds", [-300, 300, None])
def test_a_message_time_within_bounds_or_absent(ca: "Ca", key: Keys, seconds: int | None) -> None:
    time = None
    if seconds is not None:
        time = GeneralizedTime(ca.now + dt.timedelta(seconds=seconds))
    reply = ca.ra_hmac().send(BodyType.IR, ca.crmf(key("ec:P-256")), messageTime=time)
    assert reply.type is BodyType.IP


@pytest.mark.parametrize("implicit", [True, False])
def test_a_transaction_id_that_was_used(ca: "Ca", implicit: bool) -> None:
    peer = ca.ra_hmac()
    peer.enroll(implicit=implicit)
    assert_refused(peer.enroll(), BodyType.ERROR, "transactionIdInUse", "mac")
    other = ca.client_hmac()
    other.transaction_id = peer.transaction_id
    assert_refused(other.enroll(), BodyType.ERROR, "transactionIdInUse", "signature")


@pytest.mark.parametrize("body_type", [BodyType.IP, BodyType.KRR])
def test_messages_that_are_not_answered(ca: "Ca", body_type: BodyType) -> None:
    reply = ca.ra_hmac().send(body_type, b"\x30\x00")
    assert_refused(reply, BodyType.ERROR, "badRequest", "mac", body_type.label)


@pytest.mark.parametrize(
    "body_type", [BodyType.IR, BodyType.P10CR, BodyType.CERT_CONF, BodyType.POLL_REQ, BodyType.RR]
)
def test_bodies_that_are_malformed(ca: "Ca", body_type: BodyType) -> None:
    peer = ca.ra_hmac()
    if body_type in (BodyType.CERT_CONF, BodyType.POLL_REQ):
        peer.enroll()
    reply = peer.send(body_type, b"\x30\x02\x05\x00")
    assert_refused(reply, BodyType.ERROR, "badDataFormat", "mac")


# --- what is asked for


@pytest.mark.parametrize(("count", "text"), [(0, "no request"), (2, "twice")])
def test_no_request_or_two_of_the_same_cert_req_id(ca: "Ca", count: int, text: str) -> None:
    reply = ca.ra_hmac().enroll(count=count)
    assert_refused(reply, BodyType.ERROR, "badRequest", "mac", text)


@pytest.mark.parametrize(
    ("body_type", "response_type"),
    [(BodyType.IR, BodyType.IP), (BodyType.CR, BodyType.CP)],
)
@pytest.mark.parametrize(
    "proof", [None, b"\xa1\x0f\x30\x0a\x06\x08*\x86H\xce=\x04\x03\x02\x03\x01\x00"]
)
def test_bad_proof_of_possession(
    ca: "Ca", body_type: BodyType, response_type: BodyType, proof: bytes | None
) -> None:
    reply = ca.ra_hmac().enroll(body_type, prove=proof, cert_req_id=3)
    assert_refused(reply, response_type, "badPOP", "mac")
    assert reply.cert_req_id == 3


def test_a_proof_with_another_key(ca: "Ca", key: Keys) -> None:
    spki = algorithms.public_key_info(key("ec:P-256", 1))
    reply = ca.ra_hmac().enroll(public_key=spki)
    assert_refused(reply, BodyType.IP, "badPOP", "mac", "signature is wrong")


@pytest.mark.parametrize("alias", ["client-hmac", "client-cert"])
def test_a_client_that_vouches_for_itself(ca: "Ca", alias: str) -> None:
    reply = ca.requester(alias).enroll(prove=Popo.RA_VERIFIED)
    assert_refused(reply, BodyType.IP, "notAuthorized", "signature")


def extension(value: x509.ExtensionType) -> tuple[str, bool, bytes]:
    return value.oid.dotted_string, False, value.public_bytes()


CA_USAGE = x509.KeyUsage(
    digital_signature=True, content_commitment=False, key_encipherment=False,
    data_encipherment=False, key_agreement=False, key_cert_sign=True, crl_sign=False,
    encipher_only=False, decipher_only=False,
)  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "fail_info"),
    [
        ([extension(x509.BasicConstraints(ca=True, path_length=None))], "unacceptedExtension"),
        ([extension(CA_USAGE)], "unacceptedExtension"),
        ([("1.2.3.4", True, b"\x05\x00")], "unacceptedExtension"),
        ([("2.5.29.19", False, b"junk")], "badCertTemplate"),
        ([("2.5.29.17", False, b"junk")], "badCertTemplate"),
        ([("2.5.29.15", False, b"junk")], "badCertTemplate"),
        ([("2.5.29.37", False, b"junk")], "badCertTemplate"),
        ([("2.5.29.17", False, b"\x30\x03\x82\x01a")] * 2, "badCertTemplate"),
    ],
)
def test_extensions_that_are_not_certified(
    ca: "Ca", asked: list[tuple[str, bool, bytes]], fail_info: str
) -> None:
    reply = ca.ra_hmac().enroll(extensions=asked)
    assert_refused(reply, BodyType.IP, fail_info, "mac")
    assert [one for one in ca.store.certificates() if not one.is_ra] == []


@pytest.mark.parametrize(("begin", "end"), [(-20, -10), (20, 10), (9000, 9001), (-1, None), (0, 0)])
def test_validities_that_are_over_or_empty(ca: "Ca", begin: int, end: int | None) -> None:
    reply = ca.ra_hmac().enroll(
        not_before=ca.now + begin * DAY,
        not_after=None if end is None else ca.now + end * DAY,
    )
    if end is None:
        assert reply.status[0] == 1
    else:
        assert_refused(reply, BodyType.IP, "badCertTemplate", "mac", "validity")


@pytest.mark.parametrize(
    "time",
    [
        wrap(0x17, b"270301120000+0000"),
        wrap(0x17, b"\xff"),
        wrap(0x17, b"279901120000Z"),
        wrap(0x0C, b"270301120000Z"),
        wrap(0x17, b"530301120000Z"),
    ],
)
def test_times_that_are_none_or_long_past(ca: "Ca", time: bytes) -> None:
    reply = ca.ra_hmac().enroll(validity=[any_from(explicit(1, time))])
    assert_refused(reply, BodyType.IP, "badCertTemplate", "mac", "validity")


def common_name(value: bytes) -> TLV:
    attribute = wrap(0x30, b"\x06\x03\x55\x04\x03", wrap(0x0C, value))
    return any_from(wrap(0x31, attribute))


@pytest.mark.parametrize(
    ("template", "fail_info", "text"),
    [
        ({"serialNumber": 5}, "badCertTemplate", "serial number"),
        ({"issuerUID": BitString(b"x", 0)}, "badCertTemplate", "unique identifiers"),
        ({"subjectUID": BitString(b"x", 0)}, "badCertTemplate", "unique identifiers"),
        ({"issuer": name_elements(ISSUER)}, "wrongAuthority", "another issuer"),
        ({"publicKey": None}, "badPOP", "a proof of possession of a key that is to be made here"),
        ({"subject": None}, "badCertTemplate", "neither subject"),
        ({"subject": []}, "badCertTemplate", "neither subject"),
        ({"subject": [any_from(b"\x31\x00")]}, "badCertTemplate", "no Name"),
        ({"subject": [common_name(b"x" * 65)]}, "badCertTemplate", "no Name"),
        ({"subject": [common_name(b"")]}, "badCertTemplate", "no Name"),
    ],
)
def test_templates_that_are_not_met(
    ca: "Ca", template: dict[str, Any], fail_info: str, text: str
) -> None:
    reply = ca.ra_hmac().enroll(prove=Popo.RA_VERIFIED, **template)
    assert_refused(reply, BodyType.IP, fail_info, "mac", text)


def spki_of(key: Any) -> bytes:
    der: bytes = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return der


def test_keys_that_are_not_certified(ca: "Ca") -> None:
    short = spki_of(rsa.generate_private_key(65537, 1024))
    exchange = spki_of(x25519.X25519PrivateKey.generate())
    unknown = wrap(0x30, wrap(0x30, b"\x06\x03\x2a\x03\x04"), b"\x03\x02\x00\x01")
    for spki, text in ((short, "1024 bits"), (exchange, "X25519"), (unknown, "can't be read")):
        reply = ca.ra_hmac().enroll(public_key=spki, prove=Popo.RA_VERIFIED)
        assert_refused(reply, BodyType.IP, "badCertTemplate", "mac", text)


@pytest.mark.parametrize("alias", ["client-hmac", "client-cert"])
def test_a_client_that_asks_for_another(ca: "Ca", alias: str) -> None:
    reply = ca.requester(alias).enroll(subject="/CN=dev2/O=Acme/C=SE")
    assert_refused(reply, BodyType.IP, "notAuthorized", "signature")


def test_p10cr_with_a_wrong_signature(ca: "Ca", key: Keys) -> None:
    builder = x509.CertificateSigningRequestBuilder(x509.Name.from_bytes(parse_name("/CN=dev1")))
    csr = builder.sign(key("ed25519"), None)
    der = csr.public_bytes(serialization.Encoding.DER)
    spoiled = der[:-1] + bytes((der[-1] ^ 1,))
    reply = ca.ra_hmac().send(BodyType.P10CR, spoiled)
    assert_refused(reply, BodyType.CP, "badPOP", "mac")
    assert reply.cert_req_id == -1


def test_p10cr_signed_by_an_unknown_algorithm(ca: "Ca", key: Keys) -> None:
    builder = x509.CertificateSigningRequestBuilder(x509.Name.from_bytes(parse_name("/CN=dev1")))
    der = builder.sign(key("ed25519"), None).public_bytes(serialization.Encoding.DER)
    ed25519, unknown = b"\x06\x03\x2b\x65\x70", b"\x06\x03\x2b\x65\x7f"
    begin, _, end = der.rpartition(ed25519)
    reply = ca.ra_hmac().send(BodyType.P10CR, begin + unknown + end)
    assert_refused(reply, BodyType.CP, "badPOP", "mac")


@pytest.mark.parametrize("junk", JUNK)
def test_p10cr_with_junk_for_an_extension(ca: "Ca", key: Keys, junk: str) -> None:
    builder = x509.CertificateSigningRequestBuilder(
        x509.Name.from_bytes(parse_name("/CN=dev1"))
    ).add_extension(JUNK[junk], False)
    csr = builder.sign(key("ed25519"), None)
    reply = ca.ra_hmac().send(BodyType.P10CR, csr.public_bytes(serialization.Encoding.DER))
    assert_refused(reply, BodyType.CP, "badCertTemplate", "mac")


# --- kur


@pytest.mark.parametrize(
    ("alias", "protection"), [("ra-hmac", "mac"), ("client-hmac", "signature")]
)
def test_a_kur_with_a_mac(ca: "Ca", alias: str, protection: str) -> None:
    reply = ca.requester(alias).enroll(BodyType.KUR)
    assert_refused(reply, BodyType.ERROR, "wrongIntegrity", protection)


def old_of(peer: "Peer") -> int:
    assert peer.cert is not None
    return x509.load_der_x509_certificate(peer.cert).serial_number


@pytest.mark.parametrize("alias", ["client-cert", "ra-cert"])
def test_a_kur_for_a_certificate_that_is_not_here(ca: "Ca", alias: str) -> None:
    peer = ca.requester(alias)
    ra = old_of(ca.ra_cert())
    for issuer, serial in ((ca.root.name, 5), (ISSUER, old_of(peer)), (ca.root.name, ra)):
        reply = peer.enroll(BodyType.KUR, None, old=(issuer, serial))
        assert_refused(reply, BodyType.KUP, "badCertId", "signature", "no certificate of this CA")


@pytest.mark.parametrize("alias", ["client-cert", "ra-cert"])
@pytest.mark.parametrize(
    ("status", "fail_info"),
    [
        (CertificateStatus.REVOKED, "certRevoked"),
        (CertificateStatus.PENDING, "badCertId"),
        (CertificateStatus.REJECTED, "badCertId"),
    ],
)
def test_a_kur_for_a_certificate_that_is_not_active(
    ca: "Ca", alias: str, status: CertificateStatus, fail_info: str
) -> None:
    old = ca.client_cert()
    ca.store.set_certificate_status(old_of(old), status)
    peer = ca.requester(alias)
    reply = peer.enroll(BodyType.KUR, None, old=(ca.root.name, old_of(old)))
    assert_refused(reply, BodyType.KUP, fail_info, "signature")


def test_a_kur_for_an_expired_certificate(ca: "Ca") -> None:
    old = ca.client_cert(not_after=ca.now + DAY)
    peer = ca.client_cert()
    ca.now += 2 * DAY
    reply = peer.enroll(BodyType.KUR, None, old=(ca.root.name, old_of(old)))
    assert_refused(reply, BodyType.KUP, "badCertId", "signature", "expired")


def test_a_kur_for_another_end_entitys_certificate(ca: "Ca") -> None:
    other = ca.client_cert("dev2")
    reply = ca.client_cert().enroll(BodyType.KUR, None, old=(ca.root.name, old_of(other)))
    assert_refused(reply, BodyType.KUP, "badCertId", "signature", "another end entity")
    reply = ca.ra_cert().enroll(BodyType.KUR, "/CN=dev1", old=(ca.root.name, old_of(other)))
    assert_refused(reply, BodyType.KUP, "badCertId", "signature", "another end entity")


def test_an_ras_kur_without_old_cert_id(ca: "Ca") -> None:
    reply = ca.ra_cert().enroll(BodyType.KUR)
    assert_refused(reply, BodyType.KUP, "badCertId", "signature", "oldCertID")


# --- certConf and pollReq


def entry(ca: "Ca", reply: "Reply") -> IssuedCertificate:
    found = ca.store.certificate(reply.certificate.serial_number)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("fields", "fail_info"),
    [
        ({"certHash": b"foo123"}, "badCertId"),
        ({"certHash": b""}, "badPOP"),
        ({"certReqId": 1}, "badRequest"),
        ({"certReqId": -1}, "badRequest"),
        ({"hashAlg": [any_from(b"\x06\x03\x2a\x03\x04")], "pvno": 3}, "badAlg"),
        ({"hashAlg": decode_sequence_of(SHA256), "pvno": 2}, "badRequest"),
        ({"statusInfo": PKIStatusInfo(status=0, failInfo=make_fail_info("badPOP"))}, "badRequest"),
    ],
)
def test_a_cert_conf_for_another_certificate_or_a_contradiction(
    ca: "Ca", fields: dict[str, Any], fail_info: str
) -> None:
    peer = ca.ra_hmac()
    issued = peer.enroll()
    assert_refused(peer.confirm(issued, **fields), BodyType.ERROR, fail_info, "mac")
    assert entry(ca, issued).status is CertificateStatus.PENDING
    peer.last = issued
    assert peer.confirm(issued).type is BodyType.PKICONF


def test_a_cert_conf_with_two_statuses(ca: "Ca") -> None:
    peer = ca.ra_hmac()
    peer.enroll()
    status = wrap(0x30, b"\x04\x01x\x02\x01\x00")
    reply = peer.send(BodyType.CERT_CONF, wrap(0x30, status, status))
    assert_refused(reply, BodyType.ERROR, "badRequest", "mac", "more than one")


@pytest.mark.parametrize("nonce", [None, b"x" * 16])
def test_a_cert_conf_with_another_nonce(ca: "Ca", nonce: bytes | None) -> None:
    peer = ca.ra_hmac()
    peer.enroll()
    reply = peer.send(BodyType.CERT_CONF, b"\x30\x00", recipNonce=nonce)
    assert_refused(reply, BodyType.ERROR, "badRecipientNonce", "mac")


def test_a_cert_conf_of_no_transaction_or_another_requesters(ca: "Ca") -> None:
    peer = ca.ra_hmac()
    issued = peer.enroll()
    confirmation = peer.transaction_id
    peer.transaction_id = secrets.token_bytes(16)
    assert_refused(peer.confirm(issued), BodyType.ERROR, "badRequest", "mac", "no such transaction")
    thief = ca.client_hmac("dev2")
    by_alias = ca.ra_cert()
    by_ref = ca.ra_hmac()
    by_ref.ref = b"ra2"
    for other in (thief, by_alias, by_ref):
        other.transaction_id, other.last = confirmation, issued
        reply = other.confirm(issued)
        wanted = "badMessageCheck" if other is by_ref else "badRequest"
        assert_refused(reply, BodyType.ERROR, wanted, "mac" if other is by_ref else "signature")
    assert entry(ca, issued).status is CertificateStatus.PENDING


def test_a_cert_conf_after_revocation(ca: "Ca") -> None:
    peer = ca.ra_hmac()
    issued = peer.enroll()
    ca.store.set_certificate_status(issued.certificate.serial_number, CertificateStatus.REVOKED)
    assert_refused(peer.confirm(issued), BodyType.ERROR, "certRevoked", "mac")


def test_a_cert_conf_while_the_request_waits(ca: "Ca") -> None:
    ca.behave(Behaviour(poll_count=2))
    peer = ca.ra_hmac()
    peer.enroll()
    reply = peer.send(BodyType.CERT_CONF, b"\x30\x00")
    assert_refused(reply, BodyType.ERROR, "badRequest", "mac", "no certificate")


def test_a_poll_for_nothing(ca: "Ca") -> None:
    peer = ca.ra_hmac()
    peer.enroll()
    reply = peer.send(BodyType.POLL_REQ, poll_req(0))
    assert_refused(reply, BodyType.ERROR, "badRequest", "mac", "nothing waits")


@pytest.mark.parametrize("ids", [[], [1], [0, 0]])
def test_a_poll_for_another_request(ca: "Ca", ids: list[int]) -> None:
    ca.behave(Behaviour(poll_count=2))
    peer = ca.ra_hmac()
    peer.enroll()
    assert_refused(
        peer.send(BodyType.POLL_REQ, poll_req(*ids)), BodyType.ERROR, "badRequest", "mac"
    )


# --- rr


def test_a_rr_for_nothing(ca: "Ca") -> None:
    reply = ca.ra_hmac().send(BodyType.RR, b"\x30\x00")
    assert_refused(reply, BodyType.RP, "badRequest", "mac", "no certificate")


@pytest.mark.parametrize(("serial", "with_issuer"), [(None, True), (5, False), (None, False)])
def test_a_rr_that_names_no_certificate(ca: "Ca", serial: int | None, with_issuer: bool) -> None:
    der = rev_req(serial, ca.root.name if with_issuer else None)
    reply = ca.ra_hmac().send(BodyType.RR, der)
    assert_refused(reply, BodyType.RP, "addInfoNotAvailable", "mac")


def described(ca: "Ca", issued: "Reply", **template: Any) -> bytes:
    """A rr that says more of a certificate than is needed."""
    fields: dict[str, Any] = {
        "serialNumber": issued.certificate.serial_number,
        "issuer": name_elements(ca.root.name),
    }
    details = RevDetails(certDetails=CertTemplate(**(fields | template)))
    return wrap(0x30, encode(details))


OTHER_EXTENSION = Extension(
    extnID=ObjectIdentifier("2.5.29.19"), critical=False, extnValue=b"\x30\x00"
)


@pytest.mark.parametrize(
    ("field", "value", "fail_info"),
    [
        ("version", 1, "badRequest"),
        ("subject", name_elements(parse_name("/CN=dev2")), "badCertId"),
        ("publicKey", "another", "badCertId"),
        ("extensions", [OTHER_EXTENSION], "badCertId"),
    ],
)
def test_a_rr_that_describes_another_certificate(
    ca: "Ca", key: Keys, field: str, value: Any, fail_info: str
) -> None:
    issued = ca.ra_hmac().enroll(implicit=True)
    if field == "publicKey":
        value = decode(SubjectPublicKeyInfo, algorithms.public_key_info(key("ec:P-256", 1)))
    der = described(ca, issued, **{field: value})
    assert_refused(ca.ra_hmac().send(BodyType.RR, der), BodyType.RP, fail_info, "mac")
    assert entry(ca, issued).status is CertificateStatus.CONFIRMED


def test_a_rr_that_describes_the_certificate(ca: "Ca") -> None:
    issued = ca.ra_hmac().enroll(implicit=True)
    certificate = issued.certificate
    der = described(
        ca,
        issued,
        version=2,
        subject=name_elements(certificate.subject.public_bytes()),
        publicKey=decode(SubjectPublicKeyInfo, spki_of(shared_key("ec:P-256"))),
        extensions=[
            Extension(
                extnID=ObjectIdentifier(one.oid.dotted_string),
                critical=one.critical,
                extnValue=one.value.public_bytes(),
            )
            for one in certificate.extensions
        ],
    )
    assert ca.ra_hmac().send(BodyType.RR, der).status == (0, (), "revoked")


def test_a_rr_for_a_certificate_that_is_not_here(ca: "Ca") -> None:
    serial = ca.ra_hmac().enroll().certificate.serial_number
    ra = old_of(ca.ra_cert())
    name = ca.root.name
    for der in (rev_details(5, name), rev_details(serial, ISSUER), rev_details(ra, name)):
        reply = ca.ra_hmac().send(BodyType.RR, wrap(0x30, der))
        assert_refused(reply, BodyType.RP, "badCertId", "mac")


@pytest.mark.parametrize("alias", ["client-hmac", "client-cert"])
def test_a_rr_for_another_end_entitys_certificate(ca: "Ca", alias: str) -> None:
    issued = ca.ra_hmac().enroll(subject="/CN=dev2")
    der = rev_details(issued.certificate.serial_number, ca.root.name)
    reply = ca.requester(alias).send(BodyType.RR, wrap(0x30, der))
    assert_refused(reply, BodyType.RP, "notAuthorized", "signature")
    assert entry(ca, issued).status is CertificateStatus.PENDING


def test_a_rr_with_an_entry_that_is_no_reason(ca: "Ca") -> None:
    issued = ca.ra_hmac().enroll()
    invalidity_date = ObjectIdentifier("2.5.29.24")
    template = CertTemplate(
        serialNumber=issued.certificate.serial_number, issuer=name_elements(ca.root.name)
    )
    extra = Extension(extnID=invalidity_date, critical=False, extnValue=b"\x05\x00")
    der = encode(RevDetails(certDetails=template, crlEntryDetails=[extra]))
    assert ca.ra_hmac().send(BodyType.RR, wrap(0x30, der)).status[:2] == (0, ())
    assert entry(ca, issued).reason is RevocationReason.UNSPECIFIED


def test_a_rr_with_two_reasons(ca: "Ca") -> None:
    serial = ca.ra_hmac().enroll().certificate.serial_number
    der = rev_req(serial, ca.root.name, b"\x0a\x01\x01", b"\x0a\x01\x08")
    assert_refused(ca.ra_hmac().send(BodyType.RR, der), BodyType.RP, "badRequest", "mac")


@pytest.mark.parametrize(
    "value", [b"\x0a\x01\x07", b"\x02\x01\x01", b"\x0a\x01\x0b", b"\x0a\x02\x01"]
)
def test_a_rr_with_an_unknown_reason(ca: "Ca", value: bytes) -> None:
    serial = ca.ra_hmac().enroll().certificate.serial_number
    reply = ca.ra_hmac().send(BodyType.RR, rev_req(serial, ca.root.name, value))
    assert_refused(reply, BodyType.RP, "badDataFormat", "mac")


# --- protection of refusals


def test_refusals_are_unprotected_as_told(ca: "Ca", key: Keys) -> None:
    ca.behave(Behaviour(unprotected_errors=True))
    assert_refused(ca.ask("ra-hmac", b"x"), BodyType.ERROR, "badDataFormat", "none")
    for alias, reply_type in (("ra-hmac", BodyType.IP), ("ra-cert", BodyType.IP)):
        reply = ca.requester(alias).enroll(prove=None)
        assert_refused(reply, reply_type, "badPOP", "none")
    reply = ca.ra_hmac().send(BodyType.RR, rev_req(5, ca.root.name))
    assert_refused(reply, BodyType.RP, "badCertId", "none")
    # what is granted stays protected
    assert ca.ra_hmac().enroll().protection == "mac"


def test_a_client_may_be_refused_by_mac(ca: "Ca") -> None:
    ca.behave(Behaviour(sign_answers=False))
    reply = ca.client_hmac().enroll(prove=None)
    assert_refused(reply, BodyType.IP, "badPOP", "mac")
