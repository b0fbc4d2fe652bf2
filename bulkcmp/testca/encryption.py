"""Certificates encrypted to the key that they are for: the CA's side of the indirect proof of
possession (RFC 9810, 5.2.8.3.2)."""

from collections.abc import Callable
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, mlkem, rsa

from bulkcmp.cmp import encryptedvalue, envelope, recipient
from bulkcmp.cmp.asn1 import ObjectIdentifier
from bulkcmp.cmp.encapsulation import Encapsulated, encapsulate
from bulkcmp.cmp.messages import PVNO_CMP2021
from bulkcmp.testca.refusal import rejected

_DATA: Final = ObjectIdentifier("1.2.840.113549.1.7.1")
_KEY_OCTETS: Final = 32
_IV_OCTETS: Final = 16


class Encryption:
    """Encrypts certificates.

    Args:
        token_bytes: a source of random octets.
    """

    def __init__(self, token_bytes: Callable[[int], bytes]) -> None:
        self._token_bytes = token_bytes

    def encrypt(self, octets: bytes, certificate: x509.Certificate, pvno: int) -> bytes:
        """DER EncryptedKey with octets for the holder of a certificate's key.

        Args:
            certificate: for a key of RSA, a curve or ML-KEM.
            pvno: of the request, and the answer.

        Raises:
            RefusedError: there is no such form in that version.
        """
        public_key = certificate.public_key()
        key, iv = self._token_bytes(_KEY_OCTETS), self._token_bytes(_IV_OCTETS)
        if pvno < PVNO_CMP2021:
            if not isinstance(public_key, rsa.RSAPublicKey):
                raise rejected("badRequest", "EnvelopedData came with cmp2021, that is pvno 3")
            return encryptedvalue.encrypt(octets, public_key, key=key, iv=iv)
        info = _recipient_info(key, certificate)
        return envelope.encrypted_key(envelope.encrypt(octets, _DATA, [info], key=key, iv=iv))


def _recipient_info(key: bytes, certificate: x509.Certificate) -> bytes:
    match certificate.public_key():
        case rsa.RSAPublicKey():
            return recipient.transport(key, certificate)
        case ec.EllipticCurvePublicKey(curve=curve):
            return recipient.agree(key, certificate, ec.generate_private_key(curve))
        case mlkem.MLKEM768PublicKey() | mlkem.MLKEM1024PublicKey() as public_key:
            shared_secret, ciphertext = public_key.encapsulate()
            return encapsulate(key, certificate, Encapsulated(ciphertext, shared_secret))
        case _ as public_key:
            raise AssertionError(f"{type(public_key).__name__} was found good for encryption")
