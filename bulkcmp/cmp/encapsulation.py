"""KEMRecipientInfo: the recipient of an EnvelopedData who holds a KEM key (RFC 9629, RFC 9936).

The KEM is ML-KEM, the KDF is HKDF, and the key wrap is that of AES.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Final

from cryptography import x509
from cryptography.hazmat.primitives import keywrap
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from bulkcmp.cmp import algorithms
from bulkcmp.cmp.algorithms import AlgorithmError, KemKey
from bulkcmp.cmp.asn1 import (
    SEQUENCE,
    TLV,
    Explicit,
    ObjectIdentifier,
    content,
    decode,
    encode,
    encode_sequence_of,
    explicit,
    sequence,
    tag,
    wrap,
)
from bulkcmp.cmp.envelope import ORI, UndecryptableError
from bulkcmp.cmp.messages import AlgorithmIdentifier, short
from bulkcmp.cmp.recipient import (
    KEY_WRAPS,
    is_identified,
    recipient_identifier,
    unwrap,
    wrap_length,
)
from bulkcmp.errors import LocalCmpError, RemoteCmpError

ORI_KEM: Final = ObjectIdentifier("1.2.840.113549.1.9.16.13.3")


# OtherRecipientInfo ::= SEQUENCE {
#     oriType   OBJECT IDENTIFIER,
#     oriValue  ANY DEFINED BY oriType }
@sequence
class _OtherRecipientInfo:
    oriType: ObjectIdentifier
    oriValue: TLV


# KEMRecipientInfo ::= SEQUENCE {
#     version       CMSVersion,  -- always set to 0
#     rid           RecipientIdentifier,
#     kem           KEMAlgorithmIdentifier,
#     kemct         OCTET STRING,
#     kdf           KeyDerivationAlgorithmIdentifier,
#     kekLength     INTEGER (1..65535),
#     ukm       [0] EXPLICIT UserKeyingMaterial OPTIONAL,  -- OCTET STRING
#     wrap          KeyEncryptionAlgorithmIdentifier,
#     encryptedKey  EncryptedKey }  -- OCTET STRING
@sequence
class _KEMRecipientInfo:
    version: int
    rid: TLV
    kem: AlgorithmIdentifier
    kemct: bytes
    kdf: AlgorithmIdentifier
    kekLength: int
    ukm: Annotated[bytes | None, Explicit(0)] = None
    wrap: AlgorithmIdentifier
    encryptedKey: bytes

    def __post_init__(self) -> None:
        short(self.version, self.kekLength)


@dataclass(frozen=True, slots=True)
class Encapsulated:
    """What Encapsulate() gives for a public key; each is used once (RFC 9629, 2)."""

    ciphertext: bytes
    shared_secret: bytes = field(repr=False)


def encapsulate(
    key: bytes,
    certificate: x509.Certificate,
    encapsulated: Encapsulated,
    *,
    digest: str = "sha256",
    ukm: bytes | None = None,
) -> bytes:
    """DER ori: the content-encryption key, wrapped by what a KEM shared with a certificate's key.

    Args:
        key: content-encryption key; the key-encryption key has as many octets, which are to be 32
            (RFC 9936, 2.1).
        encapsulated: made anew for the certificate's public key, and for this alone.
        digest: of HKDF, one of `algorithms.HKDF_IDENTIFIERS`.
        ukm: user keying material.

    Raises:
        LocalCmpError: the certificate's key is not one of a KEM.
    """
    kem = algorithms.kem_identifier(certificate.public_key())
    if kem is None:
        raise LocalCmpError("key encapsulation needs a certificate for a KEM key")
    key_wrap = KEY_WRAPS[len(key)]
    kek = key_encryption_key(encapsulated.shared_secret, digest, key_wrap, len(key), ukm)
    info = wrap(
        SEQUENCE,
        encode(0),
        recipient_identifier(certificate),
        kem,
        encode(encapsulated.ciphertext),
        algorithms.HKDF_IDENTIFIERS[digest],
        encode(len(key)),
        b"" if ukm is None else explicit(0, encode(ukm)),
        key_wrap,
        encode(keywrap.aes_key_wrap(kek, key)),
    )
    return wrap(ORI, encode(ORI_KEM), info)


# CMSORIforKEMOtherInfo ::= SEQUENCE {
#     wrap       KeyEncryptionAlgorithmIdentifier,
#     kekLength  INTEGER (1..65535),
#     ukm    [0] EXPLICIT UserKeyingMaterial OPTIONAL }
def key_encryption_key(
    shared_secret: bytes, digest: str, key_wrap: bytes, length: int, ukm: bytes | None
) -> bytes:
    """The key-encryption key (RFC 9629, 5; RFC 9936, 2.2.1).

    Args:
        digest: of HKDF.
        key_wrap: DER AlgorithmIdentifier as it stands in the KEMRecipientInfo.
        length: octets of the key.
    """
    info = wrap(
        SEQUENCE, key_wrap, encode(length), b"" if ukm is None else explicit(0, encode(ukm))
    )
    return HKDF(algorithms.DIGESTS[digest](), length, None, info).derive(shared_secret)


@dataclass(frozen=True, slots=True)
class KemRecipient:
    """Who holds a KEM key.

    Attributes:
        private_key: the key.
        certificate: by which the KEMRecipientInfo names it; None takes any name, as where there is
            no certificate for the key yet.
    """

    private_key: KemKey = field(repr=False)
    certificate: x509.Certificate | None = None

    def content_key(self, info: TLV, certificates: Sequence[bytes]) -> bytes | None:
        if tag(info) != ORI:
            return None
        other = decode(_OtherRecipientInfo, wrap(SEQUENCE, content(info)))
        if other.oriType != ORI_KEM:
            return None
        kemri = decode(_KEMRecipientInfo, other.oriValue)
        if self.certificate is not None and not is_identified(self.certificate, kemri.rid):
            return None
        kem, kdf, key_wrap = (
            encode_sequence_of(identifier) for identifier in (kemri.kem, kemri.kdf, kemri.wrap)
        )
        if kem != algorithms.kem_identifier(self.private_key.public_key()):
            raise AlgorithmError(f"a KEM that is not that of the key: {kem.hex()}")
        digest = algorithms.hkdf_digest_of(kdf)
        length = wrap_length(key_wrap)
        if kemri.kekLength != length:
            raise RemoteCmpError(
                f"the KDF gives {kemri.kekLength} octets, the key wrap takes {length}"
            )
        try:
            shared_secret = self.private_key.decapsulate(kemri.kemct)
        except ValueError:
            # not as long as this KEM's are; others give another secret (FIPS 203, 6.3)
            raise UndecryptableError from None
        kek = key_encryption_key(shared_secret, digest, key_wrap, length, kemri.ukm)
        return unwrap(kek, kemri.encryptedKey)
