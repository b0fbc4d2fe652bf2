"""Proof of possession (RFC 4211, 4; RFC 9810, 5.2.8): by signature, by the indirect method, by the
word of an RA, or none.

The indirect method (RFC 9810, 5.2.8.3.2) is for keys that can't sign: the certificate comes
encrypted to the key that it is for, and who can tell its hash in the certConf has that key.
"""

from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from bulkcmp.cmp import algorithms, encryptedvalue, envelope
from bulkcmp.cmp.algorithms import KemKey, KemPublicKey, OpaqueKey, PrivateKey, RsaScheme
from bulkcmp.cmp.asn1 import SEQUENCE, TLV, encode, encode_sequence_of, tag, wrap
from bulkcmp.cmp.encapsulation import KemRecipient
from bulkcmp.cmp.envelope import Recipient
from bulkcmp.cmp.messages import CertReqMsg, POPOSigningKey, SubjectPublicKeyInfo
from bulkcmp.cmp.recipient import KeyRecipient
from bulkcmp.errors import LocalCmpError, RemoteCmpError
from bulkcmp.model import Popo, RsaPadding

_RA_VERIFIED: Final = wrap(0x80)

# POPOPrivKey ::= CHOICE {
#     thisMessage       [0] BIT STRING,         -- deprecated
#     subsequentMessage [1] SubsequentMessage,
#     dhMAC             [2] BIT STRING,         -- deprecated
#     agreeMAC          [3] PKMACValue,
#     encryptedKey      [4] EnvelopedData }
# SubsequentMessage ::= INTEGER { encrCert (0), challengeResp (1) }
_ENCR_CERT: Final = wrap(0x81, b"\0")

_INDIRECT: Final = {Popo.KEY_ENCIPHERMENT: 0xA2, Popo.KEY_AGREEMENT: 0xA3}
"""Tags of the two methods in the ProofOfPossession CHOICE."""

_PRIVATE_KEYS: Final = {
    Popo.KEY_ENCIPHERMENT: rsa.RSAPrivateKey | KemKey,
    Popo.KEY_AGREEMENT: ec.EllipticCurvePrivateKey,
}
_PUBLIC_KEYS: Final = {
    Popo.KEY_ENCIPHERMENT: rsa.RSAPublicKey | KemPublicKey,
    Popo.KEY_AGREEMENT: ec.EllipticCurvePublicKey,
}
"""The keys that each of them is for."""


def prove(
    cert_request: bytes,
    key: PrivateKey | OpaqueKey,
    digest: str,
    method: Popo,
    scheme: RsaScheme = RsaPadding.PKCS1,
) -> bytes:
    """DER ProofOfPossession for a DER CertRequest; nothing where there is to be none.

    The signature is over the CertRequest, whose template holds subject and public key, so
    poposkInput is absent (RFC 4211, 4.1).

    Raises:
        LocalCmpError: the key can't prove itself so.
    """
    if method is Popo.NONE:
        return b""
    if method is Popo.RA_VERIFIED:
        return _RA_VERIFIED
    if method in _INDIRECT:
        if not isinstance(key, _PRIVATE_KEYS[method]):
            raise LocalCmpError(f"{type(key).__name__} has no proof of possession by {method}")
        return wrap(_INDIRECT[method], _ENCR_CERT)
    if isinstance(key, KemKey):
        raise LocalCmpError(f"{type(key).__name__} can't sign: no proof of possession by signature")
    algorithm = algorithms.signature_identifier(key, digest, scheme)
    signature = algorithms.sign(key, digest, cert_request, scheme)
    return wrap(0xA1, algorithm, wrap(0x03, b"\0", signature))


def check(request: CertReqMsg, sender: bytes | None) -> Popo:
    """Check a request's proof.

    Args:
        request: the received CertReqMsg.
        sender: DER of the GeneralName in the message's header, against which the authInfo of a
            POPOSigningKeyInput is compared; None where there is nothing to compare.

    Returns:
        The method. The signature is a good one. Who may say raVerified is for the caller to
        decide, and that the certificate goes encrypted where the method is indirect.

    Raises:
        RemoteCmpError: no proof, a wrong one, or one of a method that is not known here.
    """
    if request.popo is None:
        raise RemoteCmpError("no proof of possession")
    if request.popo.tag == "raVerified":
        return Popo.RA_VERIFIED
    proof = request.popo.value
    template = request.request.certTemplate
    if template.publicKey is None:
        raise RemoteCmpError("proof of possession without a public key")
    try:
        public_key = template.publicKey.key
    except Exception as error:
        raise RemoteCmpError(f"the public key can't be read: {error}") from error
    if not isinstance(proof, POPOSigningKey):
        method = Popo(request.popo.tag)
        if not isinstance(public_key, _PUBLIC_KEYS[method]):
            raise RemoteCmpError(f"proof of possession by {method} is not for this type of key")
        if not isinstance(proof, TLV) or encode(proof) != _ENCR_CERT:
            raise RemoteCmpError(f"proof of possession by {method} other than encrCert")
        return method
    signed = encode(request.certReq)
    if proof.poposkInput is not None:
        signed = _signing_key_input(proof, template.publicKey, sender)
    identifier = encode_sequence_of(proof.algorithmIdentifier)
    if proof.signature.padding_bits():
        raise RemoteCmpError("the proof's signature is not a whole number of octets")
    algorithms.verify(
        public_key,
        identifier,
        proof.signature.as_bytes(),
        signed,
        key_identifier=encode_sequence_of(template.publicKey.algorithm),
    )
    return Popo.SIGNATURE


def decrypt(encrypted_cert: TLV, key: PrivateKey) -> bytes:
    """The certificate in an encryptedCert, DER or whatever was encrypted.

    Args:
        encrypted_cert: EncryptedKey.
        key: that was to be certified.

    Raises:
        UndecryptableError: it is for another key, or was changed.
        RemoteCmpError: it is malformed, or has an algorithm that is not known here.
    """
    if tag(encrypted_cert) == SEQUENCE and isinstance(key, rsa.RSAPrivateKey):
        return encryptedvalue.decrypt(encrypted_cert, key)
    return envelope.decrypt(envelope.enveloped_data(encrypted_cert), _recipient(key)).octets


def _recipient(key: PrivateKey) -> Recipient:
    if isinstance(key, KemKey):
        return KemRecipient(key)
    assert isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey), "as prove checks"
    return KeyRecipient(key, None)


def _signing_key_input(
    proof: POPOSigningKey, public_key: SubjectPublicKeyInfo, sender: bytes | None
) -> bytes:
    elements = [encode(element) for element in proof.poposkInput or ()]
    if len(elements) != 2 or elements[1] != encode(public_key):
        raise RemoteCmpError("POPOSigningKeyInput has another public key than the template")
    if sender is not None and elements[0][:1] == b"\xa0" and elements[0] != wrap(0xA0, sender):
        raise RemoteCmpError("POPOSigningKeyInput names another sender")
    # signed is the SEQUENCE itself, not the [0] under which it travels (RFC 4211, 4.1)
    return wrap(0x30, *elements)
