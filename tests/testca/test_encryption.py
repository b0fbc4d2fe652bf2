"""The indirect proof of possession at the CA: certificates go encrypted, their hash comes back."""

from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from bulkcmp.cmp import algorithms, envelope, popo
from bulkcmp.cmp.asn1 import TLV, content, decode, encode, explicit, tag, wrap
from bulkcmp.cmp.messages import BodyType, PKIStatus
from bulkcmp.model import KeySpec, Popo
from bulkcmp.testca.identity import key_usage
from bulkcmp.testca.store import CertificateStatus, IssuedCertificate
from tests.testca.conftest import cert_status, shared_new_key

if TYPE_CHECKING:
    from tests.testca.conftest import Ca, Peer, Reply

METHODS = {
    "rsa:2048": Popo.KEY_ENCIPHERMENT,
    "ml-kem-768": Popo.KEY_ENCIPHERMENT,
    "ml-kem-1024": Popo.KEY_ENCIPHERMENT,
    "ec:P-256": Popo.KEY_AGREEMENT,
    "ec:P-521": Popo.KEY_AGREEMENT,
}
SPECS = pytest.mark.parametrize("spec", METHODS)
KEY_USAGE = "2.5.29.15"


def issues(ca: "Ca") -> list[IssuedCertificate]:
    return [one for one in ca.store.certificates() if not one.is_ra]


def enroll(peer: "Peer", spec: str, *, pvno: int = 3, implicit: bool = False) -> "Reply":
    der = peer.ca.crmf(shared_new_key(spec), prove=METHODS[spec])
    return peer.send(BodyType.IR, der, pvno=pvno, implicit=implicit)


def opened(reply: "Reply", spec: str) -> bytes:
    """The certificate in the answer's encryptedCert."""
    return popo.decrypt(decode(TLV, reply.der), shared_new_key(spec))


def confirm(peer: "Peer", certificate: bytes, **fields: object) -> "Reply":
    status = cert_status(0, certificate, **fields)
    return peer.send(BodyType.CERT_CONF, wrap(0x30, encode(status)), pvno=3)


@SPECS
@pytest.mark.parametrize("alias", ["ra-hmac", "client-hmac"])
def test_the_hash_of_what_was_encrypted_is_the_proof(ca: "Ca", alias: str, spec: str) -> None:
    peer = ca.requester(alias)
    reply = enroll(peer, spec, implicit=True)
    assert reply.status[0] == PKIStatus.ACCEPTED
    assert reply.message.header.pvno == 3
    # not granted, though it was asked for
    assert not reply.message.header.generalInfo
    (issued,) = issues(ca)
    assert issued.der not in reply.message.protected_part
    assert issued.status is CertificateStatus.PENDING
    certificate = opened(reply, spec)
    assert certificate == issued.der
    parsed = x509.load_der_x509_certificate(certificate)
    public_key = algorithms.public_bytes(parsed.public_key())
    assert public_key == algorithms.public_key_info(shared_new_key(spec))
    usage = parsed.extensions.get_extension_for_class(x509.KeyUsage).value
    method = METHODS[spec]
    assert usage.key_agreement is (method is Popo.KEY_AGREEMENT)
    assert usage.key_encipherment is (method is Popo.KEY_ENCIPHERMENT)
    assert confirm(peer, certificate).type is BodyType.PKICONF
    (issued,) = issues(ca)
    assert issued.status is CertificateStatus.CONFIRMED


@SPECS
def test_another_hash_is_no_proof(ca: "Ca", spec: str) -> None:
    peer = ca.ra_hmac()
    reply = enroll(peer, spec)
    refused = confirm(peer, opened(reply, spec), certHash=b"not that one")
    assert (refused.type, refused.status[1]) == (BodyType.ERROR, ("badCertId",))
    (issued,) = issues(ca)
    assert issued.status is CertificateStatus.PENDING


@pytest.mark.parametrize("spec", ["ml-kem-768", "ec:P-256"])
def test_cmp2000_has_no_envelope(ca: "Ca", spec: str) -> None:
    refused = enroll(ca.ra_hmac(), spec, pvno=2)
    assert refused.status == (
        PKIStatus.REJECTION,
        ("badRequest",),
        "EnvelopedData came with cmp2021, that is pvno 3",
    )
    assert not issues(ca)


def test_cmp2000_has_an_encrypted_value(ca: "Ca") -> None:
    peer = ca.ra_hmac()
    reply = enroll(peer, "rsa:2048", pvno=2)
    assert tag(decode(TLV, reply.der)) == 0x30
    assert confirm(peer, opened(reply, "rsa:2048")).type is BodyType.PKICONF


@SPECS
def test_there_is_one_recipient(ca: "Ca", spec: str) -> None:
    """RFC 9810, 5.2.2."""
    reply = enroll(ca.ra_hmac(), spec)
    infos = envelope.recipient_infos(envelope.enveloped_data(decode(TLV, reply.der)))
    kinds = {"rsa": envelope.KTRI, "ec": envelope.KARI, "ml-kem": envelope.ORI}
    assert [tag(one) for one in infos] == [kinds[KeySpec.parse(spec).family]]


@pytest.mark.parametrize(
    ("spec", "bits"),
    [
        ("rsa:2048", {"digital_signature": True}),
        ("rsa:2048", {"digital_signature": False, "key_agreement": True}),
        ("ec:P-256", {"digital_signature": True}),
        ("ec:P-256", {"digital_signature": False, "key_encipherment": True}),
    ],
)
def test_a_key_that_may_not_decrypt_can_not_prove_itself_so(
    ca: "Ca", spec: str, bits: dict[str, bool]
) -> None:
    usage = key_usage(**bits).public_bytes()
    der = ca.crmf(shared_new_key(spec), prove=METHODS[spec], extensions=[(KEY_USAGE, True, usage)])
    refused = ca.ra_hmac().send(BodyType.IR, der, pvno=3)
    assert refused.status == (
        PKIStatus.REJECTION,
        ("badPOP",),
        f"proof by {METHODS[spec]}, and the keyUsage does not allow that",
    )
    assert not issues(ca)


@pytest.mark.parametrize(
    "proof",
    [
        explicit(2, b"\x81\x01\x01"),
        explicit(2, b"\x80\x01\x00"),
        explicit(3, b"\x81\x01\x00"),
    ],
    ids=["challengeResp", "thisMessage", "keyAgreement"],
)
def test_other_proofs_of_a_key_that_does_not_sign(ca: "Ca", proof: bytes) -> None:
    der = ca.crmf(shared_new_key("ml-kem-768"), prove=proof)
    refused = ca.ra_hmac().send(BodyType.IR, der, pvno=3)
    assert refused.status[:2] == (PKIStatus.REJECTION, ("badPOP",))


def test_one_that_is_unproven_makes_all_wait_for_their_certconf(ca: "Ca") -> None:
    peer = ca.ra_hmac()
    signing, sealing = "ed25519", "ml-kem-768"
    asked = [
        ca.crmf(shared_new_key(signing), cert_req_id=0),
        ca.crmf(shared_new_key(sealing), prove=Popo.KEY_ENCIPHERMENT, cert_req_id=1),
    ]
    messages = wrap(0x30, *(content(decode(TLV, one)) for one in asked))
    reply = peer.send(BodyType.IR, messages, pvno=3, implicit=True)
    assert not reply.message.header.generalInfo
    assert {one.status for one in issues(ca)} == {CertificateStatus.PENDING}
    certificates = {
        0: reply.issued[0],
        1: popo.decrypt(decode(TLV, reply.issued[1]), shared_new_key(sealing)),
    }
    statuses = [encode(cert_status(*one)) for one in certificates.items()]
    assert peer.send(BodyType.CERT_CONF, wrap(0x30, *statuses), pvno=3).type is BodyType.PKICONF
    assert {one.status for one in issues(ca)} == {CertificateStatus.CONFIRMED}
