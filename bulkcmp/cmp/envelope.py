"""CMS EnvelopedData (RFC 5652, 6): in it CMP sends private keys and certificates (RFC 9810, 5.2.2).

What a recipient needs to come by the content-encryption key is its RecipientInfo; `recipient` has
those of RFC 9481, 4. Here they are opaque: `encrypt` takes them made, `decrypt` shows each of them
to a `Recipient`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Final, Protocol

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from bulkcmp.cmp.algorithms import AlgorithmError
from bulkcmp.cmp.asn1 import (
    SEQUENCE,
    TLV,
    Implicit,
    ObjectIdentifier,
    content,
    decode,
    decode_sequence_of,
    encode,
    sequence,
    set_elements,
    set_of,
    tag,
    wrap,
)
from bulkcmp.cmp.messages import AlgorithmIdentifier, short
from bulkcmp.errors import RemoteCmpError

SIGNED_DATA: Final = ObjectIdentifier("1.2.840.113549.1.7.2")
DATA: Final = ObjectIdentifier("1.2.840.113549.1.7.1")

KTRI: Final = 0x30
KARI: Final = 0xA1
PWRI: Final = 0xA3
ORI: Final = 0xA4
"""Tags of the RecipientInfo CHOICE (RFC 5652, 6.2)."""

MAX_RECIPIENTS: Final = 16
"""RecipientInfos above which an EnvelopedData is refused; CMP has one."""

_ENVELOPED: Final = 0xA0
"""Tag of envelopedData in the EncryptedKey CHOICE."""

_BLOCK: Final = 16

CONTENT_CIPHERS: Final = {
    16: ObjectIdentifier("2.16.840.1.101.3.4.1.2"),
    24: ObjectIdentifier("2.16.840.1.101.3.4.1.22"),
    32: ObjectIdentifier("2.16.840.1.101.3.4.1.42"),
}
"""AES in CBC mode by the octets of its key (RFC 9481, 5.1)."""

_KEY_LENGTHS: Final = {encode(oid): length for length, oid in CONTENT_CIPHERS.items()}


# EncryptedContentInfo ::= SEQUENCE {
#     contentType                     ContentType,
#     contentEncryptionAlgorithm      ContentEncryptionAlgorithmIdentifier,
#     encryptedContent            [0] IMPLICIT EncryptedContent OPTIONAL }
# EncryptedContent ::= OCTET STRING
@sequence
class _EncryptedContentInfo:
    contentType: ObjectIdentifier
    contentEncryptionAlgorithm: AlgorithmIdentifier
    encryptedContent: Annotated[bytes | None, Implicit(0)] = None


# OriginatorInfo ::= SEQUENCE {
#     certs [0] IMPLICIT CertificateSet OPTIONAL,
#     crls  [1] IMPLICIT RevocationInfoChoices OPTIONAL }
# The two are SET OF: their tags are all that matters here, so they stay TLV.


# EnvelopedData ::= SEQUENCE {
#     version                   CMSVersion,
#     originatorInfo        [0] IMPLICIT OriginatorInfo OPTIONAL,
#     recipientInfos            RecipientInfos,    -- SET SIZE (1..MAX) OF RecipientInfo
#     encryptedContentInfo      EncryptedContentInfo,
#     unprotectedAttrs      [1] IMPLICIT UnprotectedAttributes OPTIONAL }
# RecipientInfo ::= CHOICE {
#     ktri      KeyTransRecipientInfo,
#     kari  [1] KeyAgreeRecipientInfo,
#     kekri [2] KEKRecipientInfo,
#     pwri  [3] PasswordRecipientinfo,
#     ori   [4] OtherRecipientInfo }
@sequence
class _EnvelopedData:
    version: int
    originatorInfo: Annotated[list[TLV] | None, Implicit(0)] = None
    recipientInfos: TLV
    encryptedContentInfo: _EncryptedContentInfo
    unprotectedAttrs: Annotated[list[TLV] | None, Implicit(1)] = None

    def __post_init__(self) -> None:
        short(self.version)


class UndecryptableError(RemoteCmpError):
    """The content can't be decrypted. One text for all that may be wrong with a key or padding:
    whoever sends envelopes learns nothing from it."""

    def __init__(self) -> None:
        super().__init__(
            "it can't be decrypted: it is for another key or secret, or was changed on its way"
        )


class Recipient(Protocol):
    """Who may read an EnvelopedData: holds a private key, or a secret."""

    def content_key(self, info: TLV, certificates: Sequence[bytes]) -> bytes | None:
        """The content-encryption key out of one RecipientInfo.

        Args:
            info: RecipientInfo, of any kind.
            certificates: DER of those in the originatorInfo.

        Returns:
            The key; None where the RecipientInfo is of another kind, or is another's.

        Raises:
            UndecryptableError: it is of the right kind, and does not open.
            RemoteCmpError: it is malformed, or has an algorithm that is not known here.
        """


@dataclass(frozen=True, slots=True)
class Content:
    """What was in an EnvelopedData.

    Attributes:
        kind: its contentType.
        octets: the content; for SIGNED_DATA the DER of a SignedData (without ContentInfo).
    """

    kind: ObjectIdentifier
    octets: bytes = field(repr=False)


def encrypt(
    octets: bytes,
    kind: ObjectIdentifier,
    recipient_infos: Sequence[bytes],
    *,
    key: bytes,
    iv: bytes,
) -> bytes:
    """DER EnvelopedData with a content for one or more recipients.

    Args:
        octets: the content.
        kind: its contentType.
        recipient_infos: DER of the RecipientInfos, each of them made for `key`.
        key: content-encryption key, random: 16, 24 or 32 octets choose AES-128, -192 or -256 CBC.
        iv: initialization vector, random, 16 octets.
    """
    algorithm, encrypted = encrypt_content(octets, key, iv)
    return wrap(
        SEQUENCE,
        encode(_version(recipient_infos)),
        set_of(*recipient_infos),
        wrap(SEQUENCE, encode(kind), algorithm, wrap(0x80, encrypted)),
    )


def encrypt_content(octets: bytes, key: bytes, iv: bytes) -> tuple[bytes, bytes]:
    """DER ContentEncryptionAlgorithmIdentifier, and the encrypted content; as of `encrypt`."""
    padder = PKCS7(8 * _BLOCK).padder()
    padded = padder.update(octets) + padder.finalize()
    encryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
    algorithm = wrap(SEQUENCE, encode(CONTENT_CIPHERS[len(key)]), encode(iv))
    return algorithm, encryptor.update(padded) + encryptor.finalize()


def _version(recipient_infos: Sequence[bytes]) -> int:
    """CMSVersion of an EnvelopedData without attributes and originatorInfo (RFC 5652, 6.1)."""
    if any(info[0] in (PWRI, ORI) for info in recipient_infos):
        return 3
    # a KeyTransRecipientInfo that names its recipient by issuer and serial number
    old = encode(0)
    if all(
        info[0] == KTRI and encode(decode_sequence_of(info)[0]) == old for info in recipient_infos
    ):
        return 0
    return 2


def decrypt(der: bytes, recipient: Recipient) -> Content:
    """Open an EnvelopedData.

    Raises:
        UndecryptableError: it is not for this recipient, or was changed.
        RemoteCmpError: it is malformed, or has an algorithm that is not known here.
    """
    enveloped = decode(_EnvelopedData, der)
    info = enveloped.encryptedContentInfo
    cipher = content_cipher(info.contentEncryptionAlgorithm)
    if info.encryptedContent is None:
        raise RemoteCmpError("an EnvelopedData without content")
    originators = _originators(enveloped.originatorInfo)
    key = _content_key(_infos(enveloped), recipient, originators)
    return Content(info.contentType, cipher.decrypt(key, info.encryptedContent))


@dataclass(frozen=True, slots=True)
class ContentCipher:
    """AES in CBC mode, with PKCS #7 padding.

    Attributes:
        key_length: octets.
        iv: initialization vector.
    """

    key_length: int
    iv: bytes

    def decrypt(self, key: bytes, encrypted: bytes) -> bytes:
        """The content.

        Raises:
            UndecryptableError: the key is another, or the content was changed.
        """
        if len(key) != self.key_length:
            raise UndecryptableError
        decryptor = Cipher(algorithms.AES(key), modes.CBC(self.iv)).decryptor()
        unpadder = PKCS7(8 * _BLOCK).unpadder()
        try:
            padded = decryptor.update(encrypted) + decryptor.finalize()
            return unpadder.update(padded) + unpadder.finalize()
        except ValueError:
            raise UndecryptableError from None


def content_cipher(algorithm: AlgorithmIdentifier) -> ContentCipher:
    """The cipher of a ContentEncryptionAlgorithmIdentifier.

    Raises:
        RemoteCmpError: it is not known here, or has a malformed IV.
    """
    key_length = _KEY_LENGTHS.get(encode(algorithm[0])) if len(algorithm) == 2 else None
    if key_length is None:
        raise AlgorithmError("it is encrypted by something other than AES-CBC")
    iv = decode(bytes, algorithm[1])
    if len(iv) != _BLOCK:
        raise RemoteCmpError("it is encrypted with a malformed IV")
    return ContentCipher(key_length, iv)


def recipient_infos(der: bytes) -> list[TLV]:
    """The RecipientInfos of an EnvelopedData (DER).

    Raises:
        RemoteCmpError: it is malformed, or has none, or more than MAX_RECIPIENTS.
    """
    return _infos(decode(_EnvelopedData, der))


def _infos(enveloped: _EnvelopedData) -> list[TLV]:
    infos = set_elements(enveloped.recipientInfos)
    if not 0 < len(infos) <= MAX_RECIPIENTS:
        raise RemoteCmpError(
            f"an EnvelopedData for {len(infos)} recipients, accepted are 1 to {MAX_RECIPIENTS}"
        )
    return infos


def _content_key(
    infos: Sequence[TLV], recipient: Recipient, certificates: Sequence[bytes]
) -> bytes:
    for info in infos:
        key = recipient.content_key(info, certificates)
        if key is not None:
            return key
    raise UndecryptableError


def _originators(info: Sequence[TLV] | None) -> list[bytes]:
    return [
        encode(certificate)
        for element in info or ()
        if tag(element) == 0xA0
        for certificate in set_elements(element)
    ]


# EncryptedKey ::= CHOICE {
#     encryptedValue        EncryptedValue,   -- deprecated
#     envelopedData     [0] EnvelopedData }   -- IMPLICIT (RFC 4211)
def encrypted_key(der: bytes) -> bytes:
    """DER EncryptedKey of a DER EnvelopedData (RFC 9810, 5.2.2)."""
    return wrap(_ENVELOPED, content(decode(TLV, der)))


def enveloped_data(key: TLV) -> bytes:
    """DER EnvelopedData of an EncryptedKey.

    Raises:
        RemoteCmpError: it is an EncryptedValue, which RFC 9810 deprecates.
    """
    if tag(key) != _ENVELOPED:
        raise RemoteCmpError("an EncryptedKey that is no EnvelopedData")
    return wrap(SEQUENCE, content(key))
