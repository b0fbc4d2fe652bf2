"""Keys that the CA makes: for whom, and of which type; the matrix has them taken."""

from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from pyasn1.codec.der import decoder
from pyasn1_modules import rfc5652

from bulkcmp.cmp import algorithms, envelope, package, recipient
from bulkcmp.cmp.asn1 import (
    TLV,
    BitString,
    any_from,
    content,
    decode,
    decode_sequence_of,
    encode,
    wrap,
)
from bulkcmp.cmp.messages import (
    CONTROL_REG_TOKEN,
    AttributeTypeAndValue,
    BodyType,
    CertRepMessage,
    SubjectPublicKeyInfo,
)
from bulkcmp.cmp.trust import Trust, TrustStore
from bulkcmp.model import KeySpec, Popo
from bulkcmp.testca.aliases import Behaviour
from tests.testca.conftest import Peer, assert_refused, poll_req

if TYPE_CHECKING:
    from tests.testca.conftest import Ca, Reply

SPECS = [
    "rsa:2048", "ec:P-256", "ec:P-384", "ec:P-521", "ed25519", "ed448", "ml-dsa-44", "ml-dsa-65",
    "ml-dsa-87", "ml-kem-768", "ml-kem-1024",
]  # fmt: skip


def wanted(spec: str) -> SubjectPublicKeyInfo:
    """A type of key in a template, without a key."""
    algorithm = decode_sequence_of(algorithms.key_identifier(KeySpec.parse(spec)))
    return SubjectPublicKeyInfo(algorithm=algorithm, subjectPublicKey=BitString(b"", 0))


def asked(peer: "Peer", public_key: SubjectPublicKeyInfo | None = None, **crmf: Any) -> "Reply":
    return peer.enroll(prove=Popo.NONE, publicKey=public_key, **crmf)


def sealed_in(reply: "Reply") -> bytes:
    """DER of the EnvelopedData beside a certificate."""
    (response,) = decode(CertRepMessage, reply.message.body).response
    assert response.certifiedKeyPair is not None
    _, private_key = response.certifiedKeyPair
    return envelope.enveloped_data(decode(TLV, content(private_key)))


def opened(ca: "Ca", reply: "Reply", holder: envelope.Recipient) -> algorithms.PrivateKey:
    octets = envelope.decrypt(sealed_in(reply), holder).octets
    store = TrustStore([ca.root.der])
    return package.verify(octets, Trust(store, store), (), ca.now, allow_weak=False)


@pytest.mark.parametrize("spec", [None, *SPECS])
def test_a_key_of_the_type_that_is_asked_for(ca: "Ca", spec: str | None) -> None:
    peer = ca.ra_hmac()
    reply = asked(peer, None if spec is None else wanted(spec))
    key = opened(ca, reply, recipient.PasswordRecipient(ca.ra_secret()))
    assert algorithms.public_bytes(reply.certificate.public_key()) == algorithms.public_key_info(
        key
    )
    info = decode_sequence_of(algorithms.public_key_info(key))
    assert encode(info[0]) == algorithms.key_identifier(KeySpec.parse(spec or "ec:P-256"))
    assert peer.confirm(reply).type is BodyType.PKICONF


def test_what_is_sent_is_as_rfc_9483_has_it(ca: "Ca") -> None:
    reply = asked(ca.ra_hmac())
    sealed, rest = decoder.decode(sealed_in(reply), asn1Spec=rfc5652.EnvelopedData())
    assert not rest
    info = sealed["recipientInfos"][0]
    assert len(sealed["recipientInfos"]) == 1
    assert info.getName() == "pwri"
    kind = sealed["encryptedContentInfo"]["contentType"]
    assert kind == rfc5652.id_signedData
    octets = envelope.decrypt(sealed_in(reply), recipient.PasswordRecipient(ca.ra_secret())).octets
    signed, rest = decoder.decode(octets, asn1Spec=rfc5652.SignedData())
    assert not rest
    first = x509.load_der_x509_certificate(_certificates(octets)[0])
    usages = [
        one.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        for one in map(x509.load_der_x509_certificate, _certificates(octets))
        if one.subject != one.issuer
    ]
    assert [list(one) for one in usages] == [[package.CM_KGA]]
    assert first.issuer == ca.root.certificate.subject
    assert len(signed["certificates"]) == 2


def _certificates(signed: bytes) -> list[bytes]:
    (found,) = [one for one in decode_sequence_of(signed) if one.tag_bytes == b"\xa0"]
    return [encode(one) for one in decode_sequence_of(wrap(0x30, content(found)))]


@pytest.mark.parametrize("pwri_kek", [False, True])
def test_how_the_key_is_wrapped_for_a_secret(ca: "Ca", pwri_kek: bool) -> None:
    ca.behave(Behaviour(pwri_kek=pwri_kek))
    reply = asked(ca.ra_hmac())
    assert opened(ca, reply, recipient.PasswordRecipient(ca.ra_secret()))
    sealed, _ = decoder.decode(sealed_in(reply), asn1Spec=rfc5652.EnvelopedData())
    algorithm = sealed["recipientInfos"][0]["pwri"]["keyEncryptionAlgorithm"]["algorithm"]
    known = {False: "2.16.840.1.101.3.4.1.45", True: "1.2.840.113549.1.9.16.3.9"}
    assert str(algorithm) == known[pwri_kek]


def test_a_bare_key_is_pkcs8_as_data(ca: "Ca") -> None:
    ca.behave(Behaviour(bare_keys=True))
    reply = asked(ca.ra_hmac())
    holder = recipient.PasswordRecipient(ca.ra_secret())
    assert opened(ca, reply, holder)
    signed, rest = decoder.decode(
        envelope.decrypt(sealed_in(reply), holder).octets, asn1Spec=rfc5652.SignedData()
    )
    assert not rest
    assert signed["encapContentInfo"]["eContentType"] == rfc5652.id_data
    assert signed["version"] == signed["signerInfos"][0]["version"]
    made = bytes(signed["encapContentInfo"]["eContent"])
    key = serialization.load_der_private_key(made, None)
    assert key.public_key() == reply.certificate.public_key()


@pytest.mark.parametrize(("spec", "kind"), [("rsa:2048", "ktri"), ("ec:P-384", "kari")])
def test_who_signs_gets_it_for_its_certificate(ca: "Ca", spec: str, kind: str) -> None:
    peer = ca.client_cert(spec=spec)
    assert peer.cert is not None
    assert isinstance(peer.key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey)
    reply = asked(peer)
    holder = recipient.KeyRecipient(peer.key, x509.load_der_x509_certificate(peer.cert))
    assert opened(ca, reply, holder)
    sealed, _ = decoder.decode(sealed_in(reply), asn1Spec=rfc5652.EnvelopedData())
    assert sealed["recipientInfos"][0].getName() == kind


def test_an_ra_and_a_device_of_a_vendor_get_theirs(ca: "Ca") -> None:
    for peer in (ca.ra_cert(), ca.station()):
        assert peer.cert is not None
        assert isinstance(peer.key, ec.EllipticCurvePrivateKey)
        reply = asked(peer)
        own = x509.load_der_x509_certificate(peer.cert)
        assert opened(ca, reply, recipient.KeyRecipient(peer.key, own))


def test_it_comes_after_polling_too(ca: "Ca") -> None:
    ca.behave(Behaviour(poll_count=1))
    peer = ca.ra_hmac()
    assert asked(peer).responses == {0: (3, ())}
    reply = peer.send(BodyType.POLL_REQ, poll_req(0))
    assert opened(ca, reply, recipient.PasswordRecipient(ca.ra_secret()))


@pytest.mark.parametrize("spec", ["ed25519", "ml-dsa-44"])
def test_who_signs_with_what_nobody_can_encrypt_for(ca: "Ca", spec: str) -> None:
    reply = asked(ca.client_cert(spec=spec))
    assert_refused(reply, BodyType.IP, "badRequest", "signature", "keys are made for certificates")
    known = [one for one in ca.store.certificates() if one.user == "dev1"]
    assert len(known) == 1, "nothing was issued"


@pytest.mark.parametrize("spec", ["rsa:2048", "ec:P-256"])
def test_a_certificate_whose_key_usage_says_no(ca: "Ca", spec: str) -> None:
    usage = x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, key_cert_sign=False, crl_sign=False,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip
    peer = ca.client_cert(
        spec=spec, extensions=[(x509.KeyUsage.oid.dotted_string, True, usage.public_bytes())]
    )
    reply = asked(peer)
    assert_refused(reply, BodyType.IP, "notAuthorized", "signature", "has a keyUsage without key")


def test_who_is_known_by_a_token_only(ca: "Ca") -> None:
    ca.register("dev1")
    token = AttributeTypeAndValue(type=CONTROL_REG_TOKEN, value=any_from(wrap(0x0C, b"pw1")))
    reply = asked(Peer(ca, "client-regtoken"), other_controls=(token,))
    assert_refused(reply, BodyType.IP, "badRequest", "signature", "who has a secret")


def test_a_type_that_is_not_made(ca: "Ca") -> None:
    algorithm = decode_sequence_of(wrap(0x30, b"\x06\x03\x2b\x65\x6e"))
    info = SubjectPublicKeyInfo(algorithm=algorithm, subjectPublicKey=BitString(b"", 0))
    reply = asked(ca.ra_hmac(), info)
    assert_refused(reply, BodyType.IP, "badCertTemplate", "mac", "keys of this type")


@pytest.mark.parametrize("method", [Popo.RA_VERIFIED, Popo.SIGNATURE])
def test_a_proof_of_what_is_not_there(ca: "Ca", method: Popo) -> None:
    reply = ca.ra_hmac().enroll(prove=method, publicKey=None)
    assert_refused(reply, BodyType.IP, "badPOP", "mac", "a key that is to be made here")


def test_unique_keys_are_made(ca: "Ca") -> None:
    ca.behave(Behaviour(unique_keys=True))
    holder = recipient.PasswordRecipient(ca.ra_secret())
    keys = {
        algorithms.public_key_info(opened(ca, asked(ca.ra_hmac(), subject=f"/CN=dev{n}"), holder))
        for n in range(3)
    }
    assert len(keys) == 3
