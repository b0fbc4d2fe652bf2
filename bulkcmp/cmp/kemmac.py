"""The KEM-based MAC (RFC 9810, 5.1.3.4): who has a KEM key protects messages by what the other side
encapsulated for it.

The ciphertext comes in a KemCiphertextInfo (RFC 9810, appendix E): an end entity asks for it by a
genm; a CA gets it in the generalInfo of a request. Both sides then derive the MAC's key by HKDF
from the shared secret and the transactionID.
"""

import hashlib
from dataclasses import dataclass, field
from typing import Annotated, Final

from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from bulkcmp.cmp import algorithms
from bulkcmp.cmp.algorithms import AlgorithmError, KemKey
from bulkcmp.cmp.asn1 import (
    SEQUENCE,
    TLV,
    Explicit,
    ObjectIdentifier,
    decode,
    encode,
    encode_sequence_of,
    explicit,
    sequence,
    wrap,
)
from bulkcmp.cmp.general import KEM_CIPHERTEXT_INFO, decode_infos, encode_infos
from bulkcmp.cmp.messages import AlgorithmIdentifier, BodyType, PKIMessage, short
from bulkcmp.errors import RemoteCmpError
from bulkcmp.model import Itav

KEM_BASED_MAC: Final = ObjectIdentifier("1.2.840.113533.7.66.16")
IT_KEM_CIPHERTEXT: Final = ObjectIdentifier(KEM_CIPHERTEXT_INFO)

MAX_KEY_LENGTH: Final = 4096
"""Octets of a MAC key above which a message is refused."""

_KEM_BASED_MAC_DER: Final = encode(KEM_BASED_MAC)
_STATIC_STRING: Final = wrap(SEQUENCE, encode("CMP-KEM"))


# KemBMParameter ::= SEQUENCE {
#     kdf             AlgorithmIdentifier{KEY-DERIVATION, {...}},
#     kemContext  [0] OCTET STRING OPTIONAL,
#     len             INTEGER (1..MAX),
#     mac             AlgorithmIdentifier{MAC-ALGORITHM, {...}} }
@sequence
class _KemBMParameter:
    kdf: AlgorithmIdentifier
    kemContext: Annotated[bytes | None, Explicit(0)] = None
    len: int
    mac: AlgorithmIdentifier

    def __post_init__(self) -> None:
        short(self.len)


# KemCiphertextInfo ::= SEQUENCE {
#     kem  AlgorithmIdentifier{KEM-ALGORITHM, {...}},
#     ct   OCTET STRING }
@sequence
class _KemCiphertextInfo:
    kem: AlgorithmIdentifier
    ct: bytes


@dataclass(frozen=True, slots=True)
class KemMacParameters:
    """KemBMParameter.

    Attributes:
        digest: of HKDF, one of `algorithms.HKDF_IDENTIFIERS`.
        length: octets of the MAC's key.
        mac: `hashlib` name of the digest in the HMAC.
        identifier: DER AlgorithmIdentifier, as it stands in protectionAlg.
        context: kemContext.
    """

    digest: str
    length: int
    mac: str
    identifier: bytes = field(repr=False)
    context: bytes | None = None

    def __str__(self) -> str:
        return f"KEM-based MAC, hkdf {self.digest}, hmac {self.mac}"

    @classmethod
    def choose(cls, mac: str = "hmac-sha256") -> "KemMacParameters":
        """Parameters of our own: HKDF with SHA-256, a key as long as the MAC.

        Args:
            mac: a name as in `openssl cmp -mac`.

        Raises:
            KeyError: it is not in `algorithms.MACS`.
        """
        mac_identifier = algorithms.MAC_IDENTIFIERS[mac]
        digest = algorithms.mac_digest_of(mac_identifier)
        length = hashlib.new(digest).digest_size
        parameter = wrap(
            SEQUENCE, algorithms.HKDF_IDENTIFIERS["sha256"], encode(length), mac_identifier
        )
        return cls("sha256", length, digest, wrap(SEQUENCE, _KEM_BASED_MAC_DER, parameter))

    # KemOtherInfo ::= SEQUENCE {
    #     staticString    PKIFreeText,   -- MUST be "CMP-KEM"
    #     transactionID   OCTET STRING,
    #     kemContext  [0] OCTET STRING OPTIONAL }
    def derive(self, shared_secret: bytes, transaction_id: bytes) -> bytes:
        """The MAC's key.

        Args:
            transaction_id: of the message that had the ciphertext.
        """
        context = b"" if self.context is None else explicit(0, encode(self.context))
        info = wrap(SEQUENCE, _STATIC_STRING, encode(transaction_id), context)
        return HKDF(algorithms.DIGESTS[self.digest](), self.length, None, info).derive(
            shared_secret
        )


def kem_mac_parameters(message: PKIMessage) -> KemMacParameters | None:
    """The parameters of a message's KEM-based MAC; None where it is protected otherwise.

    Raises:
        RemoteCmpError: malformed parameters, or algorithms that are not known here.
    """
    algorithm = message.header.protectionAlg or []
    if not algorithm or encode(algorithm[0]) != _KEM_BASED_MAC_DER:
        return None
    if len(algorithm) != 2:
        raise RemoteCmpError("a KEM-based MAC without its KemBMParameter")
    parameter = decode(_KemBMParameter, algorithm[1])
    if not 1 <= parameter.len <= MAX_KEY_LENGTH:
        raise RemoteCmpError(
            f"the MAC wants a key of {parameter.len} octets, accepted are 1 to {MAX_KEY_LENGTH}"
        )
    return KemMacParameters(
        algorithms.hkdf_digest_of(encode_sequence_of(parameter.kdf)),
        parameter.len,
        algorithms.mac_digest_of(encode_sequence_of(parameter.mac)),
        encode_sequence_of(algorithm),
        parameter.kemContext,
    )


_QUESTION: Final = Itav(KEM_CIPHERTEXT_INFO)


def ask_ciphertext() -> bytes:
    """DER of the genm's content that asks for a ciphertext: a KemCiphertextInfo without value."""
    return encode_infos([_QUESTION])


def asks_ciphertext(message: PKIMessage) -> bool:
    """Whether a message asks for a ciphertext, and for nothing else.

    Raises:
        RemoteCmpError: the body can't be decoded.
    """
    return message.body_type is BodyType.GENM and decode_infos(message.body) == (_QUESTION,)


def ciphertext_info(public_key: object, ciphertext: bytes) -> bytes:
    """DER KemCiphertextInfo of a ciphertext for a public key of a KEM."""
    kem = algorithms.kem_identifier(public_key)
    assert kem is not None, "it is a KEM's"
    return wrap(SEQUENCE, kem, encode(ciphertext))


@dataclass(frozen=True, slots=True)
class CaSecret:
    """A secret that was encapsulated for the CA's KEM key, for one transaction and no other
    (RFC 9810, 5.1.3.4).

    Attributes:
        info: DER KemCiphertextInfo.
    """

    info: bytes
    shared_secret: bytes = field(repr=False)

    @property
    def general_info(self) -> bytes:
        """DER InfoTypeAndValue by which our messages bring it (RFC 9810, 5.1.1.5)."""
        return wrap(SEQUENCE, encode(IT_KEM_CIPHERTEXT), self.info)


def ciphertext_brought(message: PKIMessage) -> TLV | None:
    """The KemCiphertextInfo in the generalInfo of a message; None where there is none.

    Raises:
        RemoteCmpError: malformed generalInfo.
    """
    info = message.info(IT_KEM_CIPHERTEXT)
    if info is None:
        return None
    if len(info) != 2:
        raise RemoteCmpError("a KemCiphertextInfo in generalInfo without a value")
    return info[1]


def ciphertext_in(gen_rep: bytes) -> bytes:
    """DER KemCiphertextInfo in a genp's content.

    Raises:
        RemoteCmpError: there is none.
    """
    for info in decode_infos(gen_rep):
        if info.oid == KEM_CIPHERTEXT_INFO and info.value is not None:
            return info.value
    raise RemoteCmpError("the genp has no KEM ciphertext")


def decapsulate(info: bytes | TLV, key: KemKey) -> bytes:
    """The shared secret of a KemCiphertextInfo (DER).

    Raises:
        RemoteCmpError: it is malformed, or for another KEM.
    """
    decoded = decode(_KemCiphertextInfo, info)
    kem = encode_sequence_of(decoded.kem)
    if kem != algorithms.kem_identifier(key.public_key()):
        raise AlgorithmError(f"a KEM that is not that of the key: {kem.hex()}")
    try:
        return key.decapsulate(decoded.ct)
    except ValueError as error:
        raise RemoteCmpError(f"the KEM ciphertext can't be used: {error}") from error
