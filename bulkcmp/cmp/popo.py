"""Proof of possession (RFC 4211, 4; RFC 9810, 5.2.8): by signature, raVerified, or none."""

from cryptography.hazmat.primitives import serialization

from bulkcmp.cmp import algorithms
from bulkcmp.cmp.algorithms import KemKey, PrivateKey, RsaScheme
from bulkcmp.cmp.asn1 import decode, encode, wrap
from bulkcmp.cmp.messages import CertReqMsg, CertRequest, POPOSigningKey, SubjectPublicKeyInfo
from bulkcmp.errors import LocalCmpError, RemoteCmpError
from bulkcmp.model import Popo, RsaPadding

_RA_VERIFIED = wrap(0x80)


def prove(
    cert_request: bytes,
    key: PrivateKey,
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
    if isinstance(key, KemKey):
        raise LocalCmpError(f"{type(key).__name__} can't sign: no proof of possession by signature")
    algorithm = algorithms.signature_identifier(key, digest, scheme)
    signature = algorithms.sign(key, digest, cert_request, scheme)
    return wrap(0xA1, algorithm, wrap(0x03, b"\0", signature))


def check(request: CertReqMsg, sender: bytes | None) -> bool:
    """Check a request's proof by signature.

    Args:
        request: the received CertReqMsg.
        sender: DER of the GeneralName in the message's header, against which the authInfo of a
            POPOSigningKeyInput is compared; None where there is nothing to compare.

    Returns:
        True for a good signature, False for raVerified (the caller decides who may say that).

    Raises:
        RemoteCmpError: no proof, a wrong one, or one of a method that is not known here.
    """
    if request.popo is None:
        raise RemoteCmpError("no proof of possession")
    if request.popo.tag == "raVerified":
        return False
    proof = request.popo.value
    if not isinstance(proof, POPOSigningKey):
        raise RemoteCmpError(f"proof of possession by {request.popo.tag} is not for signing keys")
    template = decode(CertRequest, request.certReq).certTemplate
    if template.publicKey is None:
        raise RemoteCmpError("proof of possession without a public key")
    signed = encode(request.certReq)
    if proof.poposkInput is not None:
        signed = _signing_key_input(proof, template.publicKey, sender)
    try:
        public_key = serialization.load_der_public_key(encode(template.publicKey))
    except Exception as error:
        raise RemoteCmpError(f"the public key can't be read: {error}") from error
    identifier = wrap(0x30, *map(encode, proof.algorithmIdentifier))
    if proof.signature.padding_bits():
        raise RemoteCmpError("the proof's signature is not a whole number of octets")
    algorithms.verify(
        public_key,
        identifier,
        proof.signature.as_bytes(),
        signed,
        key_identifier=wrap(0x30, *map(encode, template.publicKey.algorithm)),
    )
    return True


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
