"""EncryptedValue (RFC 4211, 2.1 and appendix B): what cmp2000 has where cmp2021 has EnvelopedData.

RFC 9810 deprecates it; OpenSSL 3.0 reads nothing else. The symmetric key in it is encrypted by
RSAES-PKCS1-v1_5, the value by AES in CBC mode.
"""

from typing import Annotated

from cryptography.hazmat.primitives.asymmetric import padding, rsa

from bulkcmp.cmp import envelope
from bulkcmp.cmp.asn1 import SEQUENCE, TLV, BitString, Implicit, content, decode, sequence, wrap
from bulkcmp.cmp.envelope import UndecryptableError
from bulkcmp.cmp.messages import AlgorithmIdentifier
from bulkcmp.errors import RemoteCmpError


# EncryptedValue ::= SEQUENCE {
#     intendedAlg [0] AlgorithmIdentifier  OPTIONAL,
#     symmAlg     [1] AlgorithmIdentifier  OPTIONAL,
#     encSymmKey  [2] BIT STRING           OPTIONAL,
#     keyAlg      [3] AlgorithmIdentifier  OPTIONAL,
#     valueHint   [4] OCTET STRING         OPTIONAL,
#     encValue        BIT STRING }
@sequence
class _EncryptedValue:
    intendedAlg: Annotated[AlgorithmIdentifier | None, Implicit(0)] = None
    symmAlg: Annotated[AlgorithmIdentifier | None, Implicit(1)] = None
    encSymmKey: Annotated[BitString | None, Implicit(2)] = None
    keyAlg: Annotated[AlgorithmIdentifier | None, Implicit(3)] = None
    valueHint: Annotated[bytes | None, Implicit(4)] = None
    encValue: BitString


def encrypt(octets: bytes, public_key: rsa.RSAPublicKey, *, key: bytes, iv: bytes) -> bytes:
    """DER EncryptedValue.

    Args:
        octets: the value.
        key, iv: as of `envelope.encrypt`.
    """
    algorithm, encrypted = envelope.encrypt_content(octets, key, iv)
    sealed_key = public_key.encrypt(key, padding.PKCS1v15())
    return wrap(
        SEQUENCE,
        wrap(0xA1, content(decode(TLV, algorithm))),
        wrap(0x82, b"\0", sealed_key),
        wrap(0x03, b"\0", encrypted),
    )


def decrypt(der: bytes | TLV, private_key: rsa.RSAPrivateKey) -> bytes:
    """The value in an EncryptedValue (DER).

    Raises:
        UndecryptableError: it is for another key, or was changed.
        RemoteCmpError: it is malformed, or has an algorithm that is not known here.
    """
    value = decode(_EncryptedValue, der)
    if value.symmAlg is None or value.encSymmKey is None:
        raise RemoteCmpError("an EncryptedValue without its algorithm or its key")
    cipher = envelope.content_cipher(value.symmAlg)
    try:
        # what fails in PKCS #1 v1.5 gives another key: OpenSSL rejects implicitly
        key = private_key.decrypt(value.encSymmKey.as_bytes(), padding.PKCS1v15())
    except ValueError:
        raise UndecryptableError from None
    return cipher.decrypt(key, value.encValue.as_bytes())
