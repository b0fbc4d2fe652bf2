"""Transactions that go well: what is answered, how it is protected, what stands in the books."""

import datetime as dt
import itertools
import secrets
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING
from unittest.mock import ANY

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import ExtensionOID
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bulkcmp.cmp import algorithms, protection
from bulkcmp.cmp.algorithms import SigningKey
from bulkcmp.cmp.asn1 import ObjectIdentifier, any_from, decode, decode_sequence_of, encode, wrap
from bulkcmp.cmp.messages import (
    IT_IMPLICIT_CONFIRM,
    AttributeTypeAndValue,
    BodyType,
    CertRepMessage,
    CertStatus,
    PKIStatus,
    PKIStatusInfo,
    RevRepContent,
    decode_poll_rep_content,
    directory_name_of,
)
from bulkcmp.cmp.protection import MacParameters
from bulkcmp.cmp.request import Applicant, Credential, MacCredential, SignatureCredential
from bulkcmp.cmp.transaction import Transaction
from bulkcmp.cmp.trust import Trust, TrustStore
from bulkcmp.inputs.name import format_name, parse_name
from bulkcmp.model import (
    EndEntity,
    Operation,
    Outcome,
    OutcomeClass,
    PasswordMac,
    Popo,
    Profile,
    RevocationReason,
    RsaPadding,
    Secret,
)
from bulkcmp.testca.aliases import ALIASES, Behaviour, PollingNonce
from bulkcmp.testca.identity import key_usage
from bulkcmp.testca.store import CertificateStatus, EndEntityStatus, IssuedCertificate
from tests.testca.conftest import cert_status, converse, poll_req, rev_req, shared_new_key

if TYPE_CHECKING:
    from tests.testca.conftest import Ca, Reply

HOUR = dt.timedelta(hours=1)
DAY = dt.timedelta(days=1)


def entry(ca: "Ca", reply: "Reply") -> IssuedCertificate:
    found = ca.store.certificate(reply.certificate.serial_number)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("alias", "protected_by"),
    [
        ("client-hmac", "signature"),
        ("client-cert", "signature"),
        ("ra-hmac", "mac"),
        ("ra-cert", "signature"),
    ],
)
def test_enrollment_with_explicit_confirmation(ca: "Ca", alias: str, protected_by: str) -> None:
    peer = ca.requester(alias)
    issued = peer.enroll(BodyType.IR)
    assert (issued.type, issued.protection) == (BodyType.IP, protected_by)
    assert issued.status == (PKIStatus.ACCEPTED, (), "")
    assert issued.cert_req_id == 0
    pending = entry(ca, issued)
    assert pending.status is CertificateStatus.PENDING
    assert (pending.alias, pending.user) == (alias, "dev1")
    assert pending.transaction_id == peer.transaction_id
    assert pending.der == issued.der
    confirmed = peer.confirm(issued)
    assert (confirmed.type, confirmed.protection) == (BodyType.PKICONF, protected_by)
    assert confirmed.message.body == b"\x05\x00"
    assert entry(ca, issued).status is CertificateStatus.CONFIRMED
    registration = ca.store.registration("dev1")
    assert registration is not None
    assert registration.status is EndEntityStatus.GENERATED


@pytest.mark.parametrize("pvno", [2, 3])
def test_the_header_answers_the_requests(
    ca: "Ca", key: Callable[..., SigningKey], pvno: int
) -> None:
    peer = ca.ra_hmac()
    nonce = b"n" * 16
    reply = peer.send(BodyType.IR, ca.crmf(key("ec:P-256")), pvno=pvno, senderNonce=nonce)
    header = reply.message.header
    assert header.pvno == pvno
    assert header.transactionID == peer.transaction_id
    assert header.recipNonce == nonce
    assert header.senderNonce is not None
    assert len(header.senderNonce) == 16
    assert directory_name_of(header.sender) == ca.root.name
    assert directory_name_of(header.recipient) == b"\x30\x00"
    assert header.senderKID == b"ra1"
    assert header.messageTime is not None
    assert header.messageTime.as_datetime() == ca.now


def test_the_recipient_is_the_requests_sender(ca: "Ca") -> None:
    peer = ca.client_cert()
    assert peer.cert is not None
    subject = x509.load_der_x509_certificate(peer.cert).subject.public_bytes()
    assert directory_name_of(peer.enroll().message.header.recipient) == subject


def test_a_mac_is_answered_with_the_same_algorithms_and_a_fresh_salt(ca: "Ca") -> None:
    salts = set()
    for _ in range(3):
        reply = ca.ra_hmac().enroll()
        parameters = protection.mac_parameters(reply.message)
        assert parameters is not None
        assert (parameters.digest, parameters.mac, parameters.iterations) == (
            "sha256",
            "sha256",
            100,
        )
        assert len(parameters.salt) == 16
        salts.add(parameters.salt)
    assert len(salts) == 3
    assert b"0123456789abcdef" not in salts


def test_pbmac1_is_answered_with_the_same_parameters_and_a_fresh_salt(ca: "Ca") -> None:
    peer = replace(ca.ra_hmac(), mac=PasswordMac.PBMAC1)
    issued = peer.enroll()
    confirmed = peer.confirm(issued)
    assert (issued.status[0], issued.protection) == (PKIStatus.ACCEPTED, "mac")
    assert (confirmed.type, confirmed.protection) == (BodyType.PKICONF, "mac")
    assert entry(ca, issued).status is CertificateStatus.CONFIRMED
    asked = MacParameters.choose(b"0123456789abcdef", kind=PasswordMac.PBMAC1, iterations=100)
    salts = set()
    for reply in (issued, confirmed):
        parameters = protection.mac_parameters(reply.message)
        assert parameters is not None
        assert parameters == asked.with_salt(parameters.salt)
        salts.add(parameters.salt)
    assert len({len(salt) for salt in salts}) == 1
    assert len(salts - {asked.salt}) == 2


def test_a_client_may_use_pbmac1(ca: "Ca") -> None:
    peer = replace(ca.client_hmac(), mac=PasswordMac.PBMAC1)
    assert peer.enroll().status == (PKIStatus.ACCEPTED, (), "")


def test_a_key_may_sign_by_pss(ca: "Ca", key: Callable[..., SigningKey]) -> None:
    rsa_key = key("rsa:2048")
    der = ca.crmf(rsa_key, scheme=RsaPadding.PSS)
    first = ca.ra_hmac().send(BodyType.IR, der, implicit=True)
    assert first.status == (PKIStatus.ACCEPTED, (), "")
    # and its next request is protected by PSS
    peer = ca.client_cert(spec="rsa:2048")
    for scheme in (RsaPadding.PSS, algorithms.Pss("sha512", "sha1", 20)):
        again = replace(peer.again(), scheme=scheme)
        reply = again.enroll(BodyType.KUR, spec="rsa:2048", scheme=scheme)
        assert reply.status[0] == PKIStatus.ACCEPTED
        assert again.confirm(reply).type is BodyType.PKICONF
        again = replace(peer.again(), key=rsa_key, cert=reply.der, scheme=scheme)
        spoiled = again.send(BodyType.KUR, der, spoil=True)
        assert spoiled.status == (PKIStatus.REJECTION, ("badMessageCheck",), ANY)
        peer = replace(peer, cert=reply.der)


def test_a_pkcs_10_request_may_be_signed_by_pss(ca: "Ca", key: Callable[..., SigningKey]) -> None:
    rsa_key = key("rsa:2048")
    assert isinstance(rsa_key, rsa.RSAPrivateKey)
    name = x509.Name.from_bytes(parse_name("/CN=dev1/O=Acme/C=SE"))
    csr = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(name)
        .sign(
            rsa_key,
            hashes.SHA256(),
            rsa_padding=padding.PSS(padding.MGF1(hashes.SHA256()), 32),
        )
    )
    reply = ca.ra_hmac().send(BodyType.P10CR, csr.public_bytes(serialization.Encoding.DER))
    assert reply.status == (PKIStatus.ACCEPTED, (), "")


def transact(
    ca: "Ca",
    alias: str,
    operation: Operation,
    credential: Credential,
    profile: Profile,
    new_key: SigningKey,
) -> Outcome:
    """The end of a transaction of bulkcmp's own client."""
    store = TrustStore([ca.root.der])
    entity = EndEntity(
        1,
        2,
        "dev1",
        operation,
        subject=parse_name("/CN=dev1/O=Acme/C=SE"),
        cert=credential.chain if isinstance(credential, SignatureCredential) else (),
    )
    key = new_key.private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    transaction = Transaction(
        [Applicant(entity, key)],
        credential,
        profile,
        Trust(store, store),
        transaction_id=secrets.token_bytes(16),
        nonces=iter(lambda: secrets.token_bytes(16), None),
        jitter=itertools.repeat(0.0),
    )
    return converse(transaction, ca.now, partial(ca.answer, alias)).outcome


def test_our_client_and_the_ca_agree_on_pbmac1(ca: "Ca", key: Callable[..., SigningKey]) -> None:
    new_key = key("ec:P-256")
    parameters = MacParameters.choose(bytes(16), kind=PasswordMac.PBMAC1)
    for secret, wanted in (
        (ca.ra_secret(), OutcomeClass.ISSUED),
        (Secret(b"wrong"), OutcomeClass.CREDENTIALS_REFUSED),
    ):
        credential = MacCredential("ra1", secret, parameters)
        outcome = transact(ca, "ra-hmac", Operation.IR, credential, Profile(), new_key)
        assert outcome.outcome is wanted


def test_our_client_and_the_ca_agree_on_pss(ca: "Ca", key: Callable[..., SigningKey]) -> None:
    peer = ca.client_cert(spec="rsa:2048")
    assert peer.cert is not None
    assert peer.key is not None
    pkcs8 = peer.key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    credential = SignatureCredential(pkcs8, (peer.cert,))
    profile = Profile(rsa_padding=RsaPadding.PSS, digest="sha384")
    outcome = transact(ca, "client-cert", Operation.KUR, credential, profile, key("rsa:2048", 1))
    assert outcome == Outcome(OutcomeClass.ISSUED, pki_status=0)


def test_ca_pubs_are_in_an_ip_only(ca: "Ca") -> None:
    for request, wanted in ((BodyType.IR, [ca.root.der]), (BodyType.CR, None)):
        reply = ca.ra_hmac().enroll(request)
        pubs = decode(CertRepMessage, reply.message.body).caPubs
        assert (None if pubs is None else [encode(one) for one in pubs]) == wanted
        assert reply.message.extra_certs == (ca.root.der,)


@pytest.mark.parametrize(
    "spec",
    [
        "rsa:2048", "ec:P-256", "ec:P-384", "ec:P-521", "ed25519", "ed448", "ml-dsa-44",
        "ml-dsa-65", "ml-dsa-87",
    ],
)  # fmt: skip
def test_the_certificate_is_for_the_key_asked_for(
    ca: "Ca", key: Callable[..., SigningKey], spec: str
) -> None:
    reply = ca.ra_hmac().enroll(spec=spec)
    certificate = reply.certificate
    assert certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    ) == algorithms.public_key_info(key(spec))
    assert TrustStore([ca.root.der]).chain(reply.der, (), ca.now) == (ca.root.der,)
    # and that key may sign the next request
    renewed = ca.client_cert(spec=spec).enroll(BodyType.KUR, spec=spec)
    assert renewed.status[0] == PKIStatus.ACCEPTED


@pytest.mark.parametrize("spec", ["ml-kem-768", "ml-kem-1024"])
def test_a_kem_key_is_certified_for_key_encipherment_alone(ca: "Ca", spec: str) -> None:
    certificate = ca.ra_hmac().enroll(spec=spec, prove=Popo.RA_VERIFIED).certificate
    public_key = algorithms.public_bytes(certificate.public_key())
    assert public_key == algorithms.public_key_info(shared_new_key(spec))
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage == key_usage(digital_signature=False, key_encipherment=True)
    signing = key_usage(digital_signature=True, key_encipherment=True).public_bytes()
    extensions = [("2.5.29.15", True, signing)]
    refused = ca.ra_hmac().enroll(spec=spec, prove=Popo.RA_VERIFIED, extensions=extensions)
    assert refused.status == (2, ("unacceptedExtension",), "a KEM key is for keyEncipherment alone")


@pytest.mark.parametrize(
    "spec", ["rsa:2048", "ec:P-384", "ec:P-521", "ed25519", "ed448", "ml-dsa-65"]
)
def test_a_ca_with_a_key_of_another_type(make_ca: "Callable[[str], Ca]", spec: str) -> None:
    ca = make_ca(spec)
    peer = ca.client_hmac()
    issued = peer.enroll()
    assert issued.protection == "signature"
    assert TrustStore([ca.root.der]).chain(issued.der, (), ca.now) == (ca.root.der,)
    assert peer.confirm(issued).type is BodyType.PKICONF
    # a client of pvno 2, which has no hashAlg, uses the hash that goes with the algorithm
    peer = peer.again()
    issued = peer.enroll()
    assert peer.confirm(issued, hashAlg=None).type is BodyType.PKICONF


def test_the_root_certificate(ca: "Ca") -> None:
    root = ca.root.certificate
    extensions = root.extensions
    assert extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    usage = extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.key_cert_sign
    assert usage.crl_sign
    assert usage.digital_signature
    assert root.issuer == root.subject
    root.verify_directly_issued_by(root)


def test_what_the_ca_puts_into_every_certificate(ca: "Ca") -> None:
    reply = ca.ra_hmac().enroll()
    certificate = reply.certificate
    assert certificate.version is x509.Version.v3
    assert certificate.issuer.public_bytes() == ca.root.name
    assert certificate.subject.public_bytes() == parse_name("/CN=dev1/O=Acme/C=SE")
    assert 0 < certificate.serial_number < 1 << 128
    assert certificate.not_valid_before_utc == ca.now - dt.timedelta(minutes=5)
    assert certificate.not_valid_after_utc == ca.now + dt.timedelta(days=365)
    extensions = certificate.extensions
    public_key = certificate.public_key()
    assert extensions.get_extension_for_class(
        x509.SubjectKeyIdentifier
    ).value == x509.SubjectKeyIdentifier.from_public_key(public_key)
    authority = extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    assert authority.key_identifier == ca.root.key_identifier
    constraints = extensions.get_extension_for_class(x509.BasicConstraints)
    assert not constraints.value.ca
    assert constraints.critical
    assert extensions.get_extension_for_class(x509.KeyUsage).value.digital_signature


def test_serials_do_not_repeat(ca: "Ca") -> None:
    serials = [ca.ra_hmac().enroll().certificate.serial_number for _ in range(50)]
    assert len(set(serials)) == 50
    assert max(serial.bit_length() for serial in serials) > 100


def extension(value: x509.ExtensionType, *, critical: bool = False) -> tuple[str, bool, bytes]:
    return value.oid.dotted_string, critical, value.public_bytes()


def test_extensions_asked_for_are_certified(ca: "Ca") -> None:
    san = x509.SubjectAlternativeName([x509.DNSName("dev1.example")])
    usage = x509.KeyUsage(
        digital_signature=True, content_commitment=True, key_encipherment=False,
        data_encipherment=False, key_agreement=False, key_cert_sign=False, crl_sign=False,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip
    eku = x509.ExtendedKeyUsage([x509.OID_SERVER_AUTH])
    asked = [extension(san), extension(usage, critical=True), extension(eku)]
    reply = ca.ra_hmac().enroll(extensions=asked)
    assert reply.status[0] == PKIStatus.ACCEPTED
    extensions = reply.certificate.extensions
    for value, critical in ((san, False), (usage, True), (eku, False)):
        found = extensions.get_extension_for_oid(value.oid)
        assert (found.value, found.critical) == (value, critical)


def test_a_subject_alt_name_stands_for_an_absent_subject(ca: "Ca") -> None:
    san = x509.SubjectAlternativeName([x509.DNSName("dev1.example")])
    reply = ca.ra_hmac().enroll(subject=None, extensions=[extension(san)])
    certificate = reply.certificate
    assert certificate.subject == x509.Name([])
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert found.critical
    assert found.value == san
    assert entry(ca, reply).user is None


def test_an_unknown_extension_that_is_not_critical_is_left_out_and_it_is_said(ca: "Ca") -> None:
    asked = [("1.2.3.4", False, b"\x05\x00")]
    reply = ca.ra_hmac().enroll(extensions=asked)
    assert reply.status[0] == PKIStatus.GRANTED_WITH_MODS
    oids = [one.oid.dotted_string for one in reply.certificate.extensions]
    assert "1.2.3.4" not in oids


def test_identifiers_and_constraints_are_the_cas_own(ca: "Ca") -> None:
    asked = [
        extension(x509.BasicConstraints(ca=False, path_length=None)),
        extension(x509.SubjectKeyIdentifier(b"other")),
        (ExtensionOID.AUTHORITY_KEY_IDENTIFIER.dotted_string, False, b"junk"),
    ]
    reply = ca.ra_hmac().enroll(extensions=asked)
    assert reply.status[0] == PKIStatus.ACCEPTED
    ski = reply.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    assert ski.value.digest != b"other"


def test_the_validity_asked_for_is_certified_within_the_roots(ca: "Ca") -> None:
    begin, end = ca.now - HOUR / 60, ca.now + 10 * DAY
    reply = ca.ra_hmac().enroll(not_before=begin, not_after=end)
    assert reply.status[0] == PKIStatus.ACCEPTED
    assert reply.certificate.not_valid_before_utc == begin
    assert reply.certificate.not_valid_after_utc == end
    root = ca.root.certificate
    reply = ca.ra_hmac().enroll(not_before=ca.now - 900 * DAY, not_after=ca.now + 36500 * DAY)
    assert reply.status[0] == PKIStatus.GRANTED_WITH_MODS
    assert reply.certificate.not_valid_before_utc == root.not_valid_before_utc
    assert reply.certificate.not_valid_after_utc == root.not_valid_after_utc


def test_client_mode_issues_the_registered_subject(ca: "Ca") -> None:
    for peer in (ca.client_hmac(), ca.client_cert()):
        for subject in ("/CN=dev1/O=Other", None, "/O=No user name here"):
            reply = peer.again().enroll(subject=subject)
            assert reply.status[0] == PKIStatus.ACCEPTED
            name = reply.certificate.subject.public_bytes()
            assert format_name(name) == "C=SE,O=Acme,CN=dev1"


def test_ra_mode_makes_end_entities_known(ca: "Ca") -> None:
    assert ca.store.registration("new1") is None
    ca.ra_hmac().enroll(subject="/CN=new1/O=Acme")
    registration = ca.store.registration("new1")
    assert registration is not None
    assert (registration.alias, registration.secret) == ("ra-hmac", None)
    assert registration.subject == parse_name("/CN=new1/O=Acme")


@pytest.mark.parametrize("alias", ["ra-hmac", "ra-cert"])
def test_an_ra_may_vouch_for_possession(ca: "Ca", alias: str) -> None:
    reply = ca.requester(alias).enroll(prove=Popo.RA_VERIFIED)
    assert reply.status[0] == PKIStatus.ACCEPTED


@pytest.mark.parametrize("p10cr_id", [-1, 0])
def test_p10cr(ca: "Ca", key: Callable[..., SigningKey], p10cr_id: int) -> None:
    ca.behave(Behaviour(p10cr_cert_req_id=p10cr_id))
    san = x509.SubjectAlternativeName([x509.DNSName("dev1.example")])
    private = key("ed25519")
    builder = x509.CertificateSigningRequestBuilder(
        x509.Name.from_bytes(parse_name("/CN=dev1/O=Acme/C=SE"))
    ).add_extension(san, critical=False)
    csr = builder.sign(private, None)
    peer = ca.ra_hmac()
    reply = peer.send(BodyType.P10CR, csr.public_bytes(serialization.Encoding.DER))
    assert (reply.type, reply.cert_req_id) == (BodyType.CP, p10cr_id)
    assert reply.certificate.subject == csr.subject
    assert reply.certificate.public_key() == csr.public_key()
    found = reply.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert found.value == san
    assert peer.confirm(reply).type is BodyType.PKICONF


@pytest.mark.parametrize("alias", ["client-cert", "ra-cert"])
def test_kur(ca: "Ca", alias: str) -> None:
    old = ca.client_cert()
    assert old.cert is not None
    serial = x509.load_der_x509_certificate(old.cert).serial_number
    peer = ca.requester(alias)
    reply = peer.enroll(BodyType.KUR, None, "ec:P-384", old=(ca.root.name, serial))
    assert (reply.type, reply.status[0]) == (BodyType.KUP, PKIStatus.ACCEPTED)
    assert format_name(reply.certificate.subject.public_bytes()) == "C=SE,O=Acme,CN=dev1"
    assert entry(ca, reply).user == "dev1"
    assert peer.confirm(reply).type is BodyType.PKICONF


def test_other_controls_are_passed_over(ca: "Ca") -> None:
    token = AttributeTypeAndValue(
        type=ObjectIdentifier("1.3.6.1.5.5.7.5.1.1"), value=any_from(b"\x0c\x01x")
    )
    peer = ca.client_cert()
    assert peer.cert is not None
    serial = x509.load_der_x509_certificate(peer.cert).serial_number
    old = (ca.root.name, serial)
    reply = peer.enroll(BodyType.KUR, None, other_controls=(token,), old=old)
    assert reply.status[0] == PKIStatus.ACCEPTED


@pytest.mark.parametrize(
    ("tag", "value"),
    [(0x0C, "ä".encode()), (0x13, b"a"), (0x14, b"a"), (0x1E, b"\0a"), (0x1C, b"\0\0\0a")],
)
def test_the_subject_is_certified_octet_for_octet(ca: "Ca", tag: int, value: bytes) -> None:
    attribute = wrap(0x30, b"\x06\x03\x55\x04\x03", wrap(tag, value))
    rdn = wrap(0x31, attribute)
    reply = ca.ra_hmac().enroll(subject=[any_from(rdn)])
    assert wrap(0x30, rdn) in reply.der
    assert entry(ca, reply).subject == wrap(0x30, rdn)


def test_kur_without_old_cert_id_updates_the_signers_certificate(ca: "Ca") -> None:
    assert ca.client_cert().enroll(BodyType.KUR, None).status[0] == PKIStatus.ACCEPTED


# --- confirmation


def test_implicit_confirmation_is_granted_when_asked_for(ca: "Ca") -> None:
    peer = ca.ra_hmac()
    reply = peer.enroll(implicit=True)
    assert reply.message.info(IT_IMPLICIT_CONFIRM) is not None
    assert entry(ca, reply).status is CertificateStatus.CONFIRMED
    assert peer.confirm(reply).status[1] == ("certConfirmed",)


def test_implicit_confirmation_is_not_granted_unasked_or_where_it_is_switched_off(
    ca: "Ca",
) -> None:
    assert ca.ra_hmac().enroll().message.info(IT_IMPLICIT_CONFIRM) is None
    ca.behave(Behaviour(implicit_confirm=False))
    reply = ca.ra_hmac().enroll(implicit=True)
    assert reply.message.info(IT_IMPLICIT_CONFIRM) is None
    assert entry(ca, reply).status is CertificateStatus.PENDING


def test_a_repeated_cert_conf_is_told_that_the_first_arrived(ca: "Ca") -> None:
    peer = ca.ra_hmac()
    issued = peer.enroll()
    assert peer.confirm(issued).type is BodyType.PKICONF
    for _ in range(2):
        # the client lost the pkiconf: what it knows is the nonce of the ip
        peer.last = issued
        again = peer.confirm(issued)
        assert (again.type, again.status[1]) == (BodyType.ERROR, ("certConfirmed",))
        assert again.protection == "mac"
    assert entry(ca, issued).status is CertificateStatus.CONFIRMED


@pytest.mark.parametrize("algorithm", ["sha384", "sha3-256"])
def test_a_hash_of_another_algorithm_counts_when_it_is_named(ca: "Ca", algorithm: str) -> None:
    peer = ca.ra_hmac()
    issued = peer.enroll()
    identifier = algorithms.DIGEST_IDENTIFIERS[algorithm]
    reply = peer.confirm(
        issued,
        certHash=algorithms.hash_by(identifier, issued.der),
        hashAlg=decode_sequence_of(identifier),
    )
    assert reply.type is BodyType.PKICONF


def test_a_certificate_that_its_end_entity_rejects_is_marked(ca: "Ca") -> None:
    peer = ca.client_hmac()
    issued = peer.enroll()
    refusal = PKIStatusInfo(status=PKIStatus.REJECTION)
    assert peer.confirm(issued, statusInfo=refusal).type is BodyType.PKICONF
    rejected = entry(ca, issued)
    assert (rejected.status, rejected.revoked_at) == (CertificateStatus.REJECTED, ca.now)
    registration = ca.store.registration("dev1")
    assert registration is not None
    assert registration.status is EndEntityStatus.FAILED
    peer.last = issued
    assert peer.confirm(issued).status[1] == ("certConfirmed",)


def test_an_empty_cert_conf_rejects(ca: "Ca") -> None:
    peer = ca.ra_hmac()
    issued = peer.enroll()
    assert peer.send(BodyType.CERT_CONF, b"\x30\x00").type is BodyType.PKICONF
    assert entry(ca, issued).status is CertificateStatus.REJECTED


def test_an_end_entity_without_a_user_name_rejects(ca: "Ca") -> None:
    peer = ca.ra_hmac()
    issued = peer.enroll(subject="/O=Acme")
    assert peer.send(BodyType.CERT_CONF, b"\x30\x00").type is BodyType.PKICONF
    assert entry(ca, issued).status is CertificateStatus.REJECTED


def test_granted_with_mods_in_a_cert_conf_accepts(ca: "Ca") -> None:
    peer = ca.ra_hmac()
    issued = peer.enroll()
    accepted = PKIStatusInfo(status=PKIStatus.GRANTED_WITH_MODS)
    peer.confirm(issued, statusInfo=accepted)
    assert entry(ca, issued).status is CertificateStatus.CONFIRMED


def test_a_pending_confirmation_survives_a_restart(ca: "Ca") -> None:
    peer = ca.ra_hmac()
    issued = peer.enroll()
    ca.restart()
    assert peer.confirm(issued).type is BodyType.PKICONF
    assert entry(ca, issued).status is CertificateStatus.CONFIRMED


# --- polling


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("nonce", list(PollingNonce))
def test_polling(ca: "Ca", key: Callable[..., SigningKey], count: int, nonce: PollingNonce) -> None:
    behaviour = Behaviour(poll_count=count, check_after=7, polling_nonce=nonce)
    ca.behave(behaviour)
    peer = ca.ra_hmac()
    reply = peer.send(
        BodyType.IR, ca.crmf(key("ec:P-256"), cert_req_id=5), senderNonce=b"original-request"
    )
    assert (reply.type, reply.status[0], reply.cert_req_id) == (BodyType.IP, PKIStatus.WAITING, 5)
    assert list(ca.store.certificates())[1:] == []
    for number in range(count):
        ca.restart(behaviour)
        reply = peer.send(BodyType.POLL_REQ, poll_req(5), senderNonce=b"poll-%011d" % number)
        if number < count - 1:
            assert reply.type is BodyType.POLL_REP
            (one,) = decode_poll_rep_content(reply.message.body)
            assert (one.certReqId, one.checkAfter) == (5, 7)
    assert (reply.type, reply.status[0]) == (BodyType.IP, PKIStatus.ACCEPTED)
    assert reply.message.header.recipNonce == (
        b"poll-%011d" % (count - 1) if nonce is PollingNonce.POLL else b"original-request"
    )
    assert peer.confirm(reply).type is BodyType.PKICONF


def test_implicit_confirmation_asked_for_before_polling_is_granted_after_it(ca: "Ca") -> None:
    ca.behave(Behaviour(poll_count=1))
    peer = ca.ra_hmac()
    assert peer.enroll(implicit=True).message.info(IT_IMPLICIT_CONFIRM) is None
    reply = peer.send(BodyType.POLL_REQ, poll_req(0))
    assert reply.message.info(IT_IMPLICIT_CONFIRM) is not None
    assert entry(ca, reply).status is CertificateStatus.CONFIRMED


def test_a_request_may_go_bad_while_it_waits(ca: "Ca") -> None:
    ca.behave(Behaviour(poll_count=1))
    peer = ca.ra_hmac()
    assert peer.enroll(not_after=ca.now + HOUR).status[0] == PKIStatus.WAITING
    ca.now += 2 * HOUR
    reply = peer.send(BodyType.POLL_REQ, poll_req(0))
    assert (reply.type, reply.status[:2]) == (BodyType.IP, (2, ("badCertTemplate",)))
    assert ca.store.open_transactions() == 0
    assert peer.send(BodyType.POLL_REQ, poll_req(0)).status[1] == ("badRequest",)


# --- rr


@pytest.mark.parametrize("alias", ["client-hmac", "client-cert", "ra-hmac", "ra-cert"])
def test_revocation(ca: "Ca", alias: str) -> None:
    issued = ca.client_hmac().enroll(implicit=True)
    serial = issued.certificate.serial_number
    peer = ca.requester(alias)
    reply = peer.send(BodyType.RR, rev_req(serial, ca.root.name, 4))
    assert (reply.type, reply.status) == (BodyType.RP, (PKIStatus.ACCEPTED, (), "revoked"))
    certs = decode(RevRepContent, reply.message.body).revCerts
    assert certs is not None
    assert [(directory_name_of(one.issuer), one.serialNumber) for one in certs] == [
        (ca.root.name, serial)
    ]
    revoked = entry(ca, issued)
    assert revoked.status is CertificateStatus.REVOKED
    assert (revoked.reason, revoked.revoked_at) == (RevocationReason.SUPERSEDED, ca.now)
    again = peer.again().send(BodyType.RR, rev_req(serial, ca.root.name))
    assert (again.type, again.status) == (
        BodyType.RP,
        (PKIStatus.REJECTION, ("certRevoked",), "Already revoked."),
    )


def test_revocation_without_a_reason_is_unspecified(ca: "Ca") -> None:
    issued = ca.ra_hmac().enroll()
    ca.ra_hmac().send(BodyType.RR, rev_req(issued.certificate.serial_number, ca.root.name))
    assert entry(ca, issued).reason is RevocationReason.UNSPECIFIED


def test_a_certificate_on_hold_comes_back_or_is_revoked_for_good(ca: "Ca") -> None:
    def rr(serial: int, reason: RevocationReason) -> tuple[int, tuple[str, ...]]:
        der = rev_req(serial, ca.root.name, reason.value)
        return ca.ra_hmac().send(BodyType.RR, der).status[:2]

    issued = ca.ra_hmac().enroll(implicit=True)
    serial = issued.certificate.serial_number
    assert rr(serial, RevocationReason.REMOVE_FROM_CRL) == (2, ("badCertId",))
    assert rr(serial, RevocationReason.CERTIFICATE_HOLD) == (0, ())
    assert rr(serial, RevocationReason.REMOVE_FROM_CRL) == (0, ())
    back = entry(ca, issued)
    assert (back.status, back.reason) == (CertificateStatus.CONFIRMED, None)
    assert rr(serial, RevocationReason.CERTIFICATE_HOLD) == (0, ())
    assert rr(serial, RevocationReason.KEY_COMPROMISE) == (0, ())
    assert rr(serial, RevocationReason.REMOVE_FROM_CRL) == (2, ("certRevoked",))


# --- signers


def test_other_certificates_may_follow_the_signers(
    ca: "Ca", key: Callable[..., SigningKey]
) -> None:
    peer = ca.client_cert(spec="ec:P-384")
    other = ca.client_cert("dev2")
    assert peer.cert is not None
    assert other.cert is not None
    der = ca.crmf(key("ec:P-256"))
    reply = peer.send(BodyType.IR, der, extra_certs=(peer.cert, other.cert, ca.root.der))
    assert reply.status[0] == PKIStatus.ACCEPTED


def test_a_later_message_may_leave_the_signers_certificate_out(ca: "Ca") -> None:
    peer = ca.client_cert(spec="ec:P-384")
    issued = peer.enroll()
    der = wrap(0x30, encode(cert_status(0, issued.der)))
    assert peer.send(BodyType.CERT_CONF, der, extra_certs=()).type is BodyType.PKICONF


# --- behaviour


def test_answers_to_macs_may_be_signed_or_not_as_told(ca: "Ca") -> None:
    ca.behave(Behaviour(sign_answers=True), client_hmac=Behaviour(sign_answers=False))
    peer = ca.ra_hmac()
    issued = peer.enroll()
    assert issued.protection == "signature"
    assert peer.confirm(issued).protection == "signature"
    assert ca.client_hmac().enroll().protection == "mac"


def test_one_shot_is_in_ejbcas_words(ca: "Ca") -> None:
    ca.behave(Behaviour(one_shot=True))
    peer = ca.client_hmac("dev10")
    first = peer.enroll(subject="/CN=dev10")
    assert first.status[0] == PKIStatus.ACCEPTED
    second = peer.again().enroll(subject="/CN=dev10")
    assert second.type is BodyType.ERROR
    assert second.status == (
        PKIStatus.REJECTION,
        ("badRequest",),
        "Got request with status GENERATED (40). Status NEW, FAILED or INPROCESS required: dev10.",
    )
    # renewal is no enrollment
    peer.confirm(first)
    signer = ca.client_cert("dev11")
    assert signer.enroll(BodyType.KUR, None).status[0] == PKIStatus.ACCEPTED


def test_one_shot_lets_those_try_again_who_rejected_their_certificate(ca: "Ca") -> None:
    ca.behave(Behaviour(one_shot=True))
    peer = ca.client_hmac()
    peer.enroll()
    peer.send(BodyType.CERT_CONF, b"\x30\x00")
    assert peer.again().enroll().status[0] == PKIStatus.ACCEPTED


def test_requests_are_rejected_as_told(ca: "Ca") -> None:
    ca.behave(Behaviour(reject="systemUnavail", reject_every=3))
    found = [ca.ra_hmac().enroll(BodyType.CR).status[:2] for _ in range(6)]
    rejected = (2, ("systemUnavail",))
    assert found == [(0, ()), (0, ()), rejected, (0, ()), (0, ()), rejected]
    serial = next(one.serial for one in ca.store.certificates() if not one.is_ra)
    ca.behave(Behaviour(reject="systemFailure"))
    reply = ca.ra_hmac().send(BodyType.RR, rev_req(serial, ca.root.name))
    assert (reply.type, reply.status[:2]) == (BodyType.RP, (2, ("systemFailure",)))


def test_a_rejected_request_may_be_sent_again_in_its_transaction(ca: "Ca") -> None:
    ca.behave(Behaviour(reject="systemUnavail"))
    peer = ca.ra_hmac()
    assert peer.enroll().status[0] == PKIStatus.REJECTION
    ca.behave(Behaviour())
    assert peer.enroll().status[0] == PKIStatus.ACCEPTED


# --- whatever comes


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.binary(max_size=300), alias=st.sampled_from(sorted(ALIASES)))
def test_random_octets_are_answered_by_an_error(ca: "Ca", data: bytes, alias: str) -> None:
    assert ca.ask(alias, data).status[1] == ("badDataFormat",)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300
)
@given(
    position=st.integers(0, 2000),
    octet=st.integers(0, 255),
    kind=st.sampled_from([BodyType.IR, BodyType.P10CR, BodyType.RR, BodyType.CERT_CONF]),
)
def test_a_changed_octet_in_an_authenticated_body_never_breaks_the_ca(
    ca: "Ca", key: Callable[..., SigningKey], position: int, octet: int, kind: BodyType
) -> None:
    san = x509.SubjectAlternativeName([x509.DNSName("dev1.example")])
    bodies = {
        BodyType.IR: lambda: ca.crmf(
            key("ec:P-256"), extensions=[extension(san)], not_after=ca.now + DAY
        ),
        BodyType.P10CR: lambda: (
            x509.CertificateSigningRequestBuilder(x509.Name.from_bytes(parse_name("/CN=dev1")))
            .add_extension(san, critical=False)
            .sign(key("ed25519"), None)
            .public_bytes(serialization.Encoding.DER)
        ),
        BodyType.RR: lambda: rev_req(12345, ca.root.name, 4),
        BodyType.CERT_CONF: lambda: wrap(0x30, encode(CertStatus(certHash=b"h" * 32, certReqId=0))),
    }
    der = bytearray(bodies[kind]())
    der[position % len(der)] = octet
    # the MAC is over the changed octets: the body gets past authentication
    reply = ca.ra_hmac().send(kind, bytes(der))
    assert reply.protection == "mac"
