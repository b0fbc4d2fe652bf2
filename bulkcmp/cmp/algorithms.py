"""AlgorithmIdentifiers and what they mean (RFC 9481; RFC 5754; RFC 8410; RFC 9881 for ML-DSA),
and the keys that they are for.

Identifiers are compared by their DER bytes: a table look-up instead of a parse. The one exception
is RSASSA-PSS (RFC 4055; RFC 8017, A.2.3), whose digest and salt length are parameters.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Final, TypeAlias, assert_never

from cryptography import x509
from cryptography.exceptions import InternalError, InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import (
    ec,
    ed448,
    ed25519,
    mldsa,
    mlkem,
    padding,
    rsa,
    x448,
    x25519,
)
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes

from bulkcmp.cmp.asn1 import (
    BitString,
    Explicit,
    ObjectIdentifier,
    decode,
    decode_sequence_of,
    encode,
    encode_sequence_of,
    explicit,
    sequence,
    tag,
    wrap,
)
from bulkcmp.cmp.messages import AlgorithmIdentifier, short
from bulkcmp.errors import LocalCmpError, RemoteCmpError
from bulkcmp.model import KeyFamily, KeySpec, RsaPadding


class OpaqueKey(ABC):
    """A private key that signs where it is, as on a PKCS#11 token, and can't be had itself."""

    @abstractmethod
    def public_key(self) -> PublicKeyTypes:
        """Its public half."""

    @abstractmethod
    def sign(self, data: bytes, digest: str, pss: "Pss | None") -> bytes:
        """The signature over `data`, as CMP has it (ECDSA: DER of Ecdsa-Sig-Value).

        Args:
            digest: one of `DIGESTS`; counts for RSA and ECDSA only.
            pss: parameters of RSASSA-PSS; None for RSASSA-PKCS1-v1_5, and for all but RSA.

        Raises:
            LocalCmpError: the key can't be reached, or can't sign so.
        """


SigningKey: TypeAlias = (
    ec.EllipticCurvePrivateKey
    | rsa.RSAPrivateKey
    | ed25519.Ed25519PrivateKey
    | ed448.Ed448PrivateKey
    | mldsa.MLDSA44PrivateKey
    | mldsa.MLDSA65PrivateKey
    | mldsa.MLDSA87PrivateKey
)

KemKey: TypeAlias = mlkem.MLKEM768PrivateKey | mlkem.MLKEM1024PrivateKey
KemPublicKey: TypeAlias = mlkem.MLKEM768PublicKey | mlkem.MLKEM1024PublicKey

PrivateKey: TypeAlias = SigningKey | KemKey
"""What can be certified."""

AgreementKey: TypeAlias = ec.EllipticCurvePrivateKey | x25519.X25519PrivateKey | x448.X448PrivateKey
"""What Diffie-Hellman is done with."""

Signer: TypeAlias = SigningKey | OpaqueKey

_NULL: Final = b"\x05\x00"

REMEMBERED: Final = 64
"""Of how many certificates and AlgorithmIdentifiers of peers it is remembered what they say. Few
stand in all answers of a run; but a hostile peer brings new ones in each, as large as an answer may
be."""


class AlgorithmError(RemoteCmpError):
    """The peer uses an algorithm that is not known here, or parameters that it may not have."""


def _identifier(oid: str, parameters: bytes = b"") -> bytes:
    return wrap(0x30, encode(ObjectIdentifier(oid)), parameters)


DIGESTS: Final[dict[str, Callable[[], hashes.HashAlgorithm]]] = {
    "sha1": hashes.SHA1,
    "sha224": hashes.SHA224,
    "sha256": hashes.SHA256,
    "sha384": hashes.SHA384,
    "sha512": hashes.SHA512,
    "sha3-224": hashes.SHA3_224,
    "sha3-256": hashes.SHA3_256,
    "sha3-384": hashes.SHA3_384,
    "sha3-512": hashes.SHA3_512,
}
"""Digest names, as `openssl cmp -digest` takes them."""

_HASHLIB: Final = {name: name.replace("sha3-", "sha3_") for name in DIGESTS}

_DIGEST_OIDS: Final = {
    "sha1": "1.3.14.3.2.26",
    "sha224": "2.16.840.1.101.3.4.2.4",
    "sha256": "2.16.840.1.101.3.4.2.1",
    "sha384": "2.16.840.1.101.3.4.2.2",
    "sha512": "2.16.840.1.101.3.4.2.3",
    "sha3-224": "2.16.840.1.101.3.4.2.7",
    "sha3-256": "2.16.840.1.101.3.4.2.8",
    "sha3-384": "2.16.840.1.101.3.4.2.9",
    "sha3-512": "2.16.840.1.101.3.4.2.10",
}
_SHAKE256: Final = _identifier("2.16.840.1.101.3.4.2.12")

_MAC_OIDS: Final = {
    "hmac-sha1": ("1.3.6.1.5.5.8.1.2", "1.2.840.113549.2.7"),
    "hmac-sha224": ("1.2.840.113549.2.8",),
    "hmac-sha256": ("1.2.840.113549.2.9",),
    "hmac-sha384": ("1.2.840.113549.2.10",),
    "hmac-sha512": ("1.2.840.113549.2.11",),
    "hmac-sha3-224": ("2.16.840.1.101.3.4.2.13",),
    "hmac-sha3-256": ("2.16.840.1.101.3.4.2.14",),
    "hmac-sha3-384": ("2.16.840.1.101.3.4.2.15",),
    "hmac-sha3-512": ("2.16.840.1.101.3.4.2.16",),
}

DIGEST_IDENTIFIERS: Final = {name: _identifier(oid) for name, oid in _DIGEST_OIDS.items()}
"""DER AlgorithmIdentifier of each digest, parameters absent (RFC 5754, 2)."""

MAC_IDENTIFIERS: Final = {name: _identifier(oids[0]) for name, oids in _MAC_OIDS.items()}
"""DER AlgorithmIdentifier of each HMAC, parameters absent."""

MACS: Final = tuple(MAC_IDENTIFIERS)
"""MAC names, as `openssl cmp -mac` takes them."""

_DIGEST_BY_IDENTIFIER: Final = {
    _identifier(oid, parameters): name
    for name, oid in _DIGEST_OIDS.items()
    for parameters in (b"", _NULL)
}
_TRUNCATED_MAC_OIDS: Final = {
    "sha512_224": "1.2.840.113549.2.12",
    "sha512_256": "1.2.840.113549.2.13",
}
"""HMACs of RFC 8018 that only a peer chooses."""

_MAC_BY_IDENTIFIER: Final = {
    _identifier(oid, parameters): _HASHLIB[name.removeprefix("hmac-")]
    for name, oids in _MAC_OIDS.items()
    for oid in oids
    for parameters in (b"", _NULL)
} | {
    _identifier(oid, parameters): name
    for name, oid in _TRUNCATED_MAC_OIDS.items()
    for parameters in (b"", _NULL)
}

PKCS5_MAC_IDENTIFIERS: Final = {
    name: _identifier(oids[-1], b"" if "sha3" in name else _NULL)
    for name, oids in _MAC_OIDS.items()
}
"""DER AlgorithmIdentifier of each HMAC as PBMAC1 has it: parameters NULL (RFC 8018, B.1), but
absent with SHA-3 (RFC 9688, 3.3)."""


def digest_of(identifier: bytes) -> str:
    """The `hashlib` name of a digest's AlgorithmIdentifier (DER).

    Raises:
        AlgorithmError: a digest that is not in RFC 9481, 2.
    """
    return _HASHLIB[_digest_name(identifier)]


def _digest_name(identifier: bytes) -> str:
    try:
        return _DIGEST_BY_IDENTIFIER[identifier]
    except KeyError:
        raise AlgorithmError(f"unknown digest algorithm {identifier.hex()}") from None


def mac_digest_of(identifier: bytes) -> str:
    """The `hashlib` name of the digest in an HMAC's AlgorithmIdentifier (DER).

    Raises:
        AlgorithmError: a MAC that is no HMAC of RFC 9481, 6.2, or RFC 8018, B.1.
    """
    try:
        return _MAC_BY_IDENTIFIER[identifier]
    except KeyError:
        raise AlgorithmError(f"unknown MAC algorithm {identifier.hex()}") from None


_RSA_OIDS: Final = {
    "sha1": "1.2.840.113549.1.1.5",
    "sha224": "1.2.840.113549.1.1.14",
    "sha256": "1.2.840.113549.1.1.11",
    "sha384": "1.2.840.113549.1.1.12",
    "sha512": "1.2.840.113549.1.1.13",
    "sha3-224": "2.16.840.1.101.3.4.3.13",
    "sha3-256": "2.16.840.1.101.3.4.3.14",
    "sha3-384": "2.16.840.1.101.3.4.3.15",
    "sha3-512": "2.16.840.1.101.3.4.3.16",
}
"""By SHA-3 as RFC 9688, 3.1, has it."""
_RSA_ENCRYPTION: Final = "1.2.840.113549.1.1.1"
_ECDSA_OIDS: Final = {
    "sha1": "1.2.840.10045.4.1",
    "sha224": "1.2.840.10045.4.3.1",
    "sha256": "1.2.840.10045.4.3.2",
    "sha384": "1.2.840.10045.4.3.3",
    "sha512": "1.2.840.10045.4.3.4",
    "sha3-224": "2.16.840.1.101.3.4.3.9",
    "sha3-256": "2.16.840.1.101.3.4.3.10",
    "sha3-384": "2.16.840.1.101.3.4.3.11",
    "sha3-512": "2.16.840.1.101.3.4.3.12",
}
"""By SHA-3 as RFC 9688, 3.2, has it."""
_PURE: Final = {
    "Ed25519": _identifier("1.3.101.112"),
    "Ed448": _identifier("1.3.101.113"),
    "ML-DSA-44": _identifier("2.16.840.1.101.3.4.3.17"),
    "ML-DSA-65": _identifier("2.16.840.1.101.3.4.3.18"),
    "ML-DSA-87": _identifier("2.16.840.1.101.3.4.3.19"),
}
_PURE_KEYS: Final = (
    (ed25519.Ed25519PrivateKey, ed25519.Ed25519PublicKey, "Ed25519"),
    (ed448.Ed448PrivateKey, ed448.Ed448PublicKey, "Ed448"),
    (mldsa.MLDSA44PrivateKey, mldsa.MLDSA44PublicKey, "ML-DSA-44"),
    (mldsa.MLDSA65PrivateKey, mldsa.MLDSA65PublicKey, "ML-DSA-65"),
    (mldsa.MLDSA87PrivateKey, mldsa.MLDSA87PublicKey, "ML-DSA-87"),
)

_ML_KEM: Final = {
    "768": _identifier("2.16.840.1.101.3.4.4.2"),
    "1024": _identifier("2.16.840.1.101.3.4.4.3"),
}
"""RFC 9935, 3."""
_KEMS: Final = {
    mlkem.MLKEM768PublicKey: _ML_KEM["768"],
    mlkem.MLKEM1024PublicKey: _ML_KEM["1024"],
}

HKDF_IDENTIFIERS: Final = {
    "sha256": _identifier("1.2.840.113549.1.9.16.3.28"),
    "sha384": _identifier("1.2.840.113549.1.9.16.3.29"),
    "sha512": _identifier("1.2.840.113549.1.9.16.3.30"),
}
"""DER AlgorithmIdentifier of HKDF by its digest, parameters absent (RFC 8619)."""

_HKDF_BY_IDENTIFIER: Final = {identifier: name for name, identifier in HKDF_IDENTIFIERS.items()}

_RSA_SIGNATURES: Final = {name: _identifier(oid, _NULL) for name, oid in _RSA_OIDS.items()}
_ECDSA_SIGNATURES: Final = {name: _identifier(oid) for name, oid in _ECDSA_OIDS.items()}

_SIGNATURES: Final = (
    {_identifier(oid, p): ("RSA", name) for name, oid in _RSA_OIDS.items() for p in (_NULL, b"")}
    | {identifier: ("ECDSA", name) for name, identifier in _ECDSA_SIGNATURES.items()}
    | {identifier: (name, "") for name, identifier in _PURE.items()}
)


# RSASSA-PSS-params ::= SEQUENCE {
#     hashAlgorithm     [0] HashAlgorithm      DEFAULT sha1,
#     maskGenAlgorithm  [1] MaskGenAlgorithm   DEFAULT mgf1SHA1,
#     saltLength        [2] INTEGER            DEFAULT 20,
#     trailerField      [3] TrailerField       DEFAULT trailerFieldBC }
@sequence
class _PssParams:
    hashAlgorithm: Annotated[AlgorithmIdentifier | None, Explicit(0)] = None
    maskGenAlgorithm: Annotated[AlgorithmIdentifier | None, Explicit(1)] = None
    saltLength: Annotated[int | None, Explicit(2)] = None
    trailerField: Annotated[int | None, Explicit(3)] = None

    def __post_init__(self) -> None:
        short(self.saltLength or 0, self.trailerField or 0)


_RSASSA_PSS: Final = encode(ObjectIdentifier("1.2.840.113549.1.1.10"))
_MGF1: Final = encode(ObjectIdentifier("1.2.840.113549.1.1.8"))
_RSA_DEFAULT_DIGEST: Final = "sha1"
_PSS_DEFAULT_SALT: Final = 20
_TRAILER_BC: Final = 1

_MAX_PSS_SALT: Final = 2048
"""Octets: as long as the signature of an RSA key of 16,384 bits."""


@dataclass(frozen=True, slots=True)
class Pss:
    """Parameters of RSASSA-PSS (RFC 8017, A.2.3): names of digests, octets of salt."""

    digest: str
    mask_digest: str
    salt_length: int

    def padding(self) -> padding.PSS:
        return padding.PSS(padding.MGF1(DIGESTS[self.mask_digest]()), self.salt_length)

    def identifier(self) -> bytes:
        """DER AlgorithmIdentifier; digests with NULL, as the RFC's defaults have it."""
        salt = self.salt_length
        parameters = wrap(
            0x30,
            *_hash_and_mask(self.digest, self.mask_digest),
            b"" if salt == _PSS_DEFAULT_SALT else explicit(2, encode(salt)),
        )
        return wrap(0x30, _RSASSA_PSS, parameters)


RsaScheme: TypeAlias = RsaPadding | Pss
"""How an RSA key signs: RSASSA-PSS by choice, or with the parameters that the key is for."""


@lru_cache(maxsize=REMEMBERED)
def _pss_of(identifier: bytes) -> Pss | None:
    """The parameters of an AlgorithmIdentifier; None where it is not id-RSASSA-PSS, or has none.

    Raises:
        AlgorithmError: parameters that can't be used.
    """
    elements = decode_sequence_of(identifier)
    if len(elements) != 2 or encode(elements[0]) != _RSASSA_PSS:
        return None
    try:
        params = decode(_PssParams, elements[1])
    except RemoteCmpError as error:
        raise AlgorithmError(f"RSASSA-PSS with malformed parameters: {error}") from error
    digest, mask_digest = _digests(params.hashAlgorithm, params.maskGenAlgorithm)
    salt_length = _PSS_DEFAULT_SALT if params.saltLength is None else params.saltLength
    if not 0 <= salt_length <= _MAX_PSS_SALT:
        raise AlgorithmError(f"RSASSA-PSS with a salt of {salt_length} octets")
    if params.trailerField not in (None, _TRAILER_BC):
        raise AlgorithmError(f"RSASSA-PSS with trailerField {params.trailerField}")
    return Pss(digest, mask_digest, salt_length)


# RSAES-OAEP-params ::= SEQUENCE {
#     hashAlgorithm     [0] HashAlgorithm     DEFAULT sha1,
#     maskGenAlgorithm  [1] MaskGenAlgorithm  DEFAULT mgf1SHA1,
#     pSourceAlgorithm  [2] PSourceAlgorithm  DEFAULT pSpecifiedEmpty }
@sequence
class _OaepParams:
    hashAlgorithm: Annotated[AlgorithmIdentifier | None, Explicit(0)] = None
    maskGenAlgorithm: Annotated[AlgorithmIdentifier | None, Explicit(1)] = None
    pSourceAlgorithm: Annotated[AlgorithmIdentifier | None, Explicit(2)] = None


_RSAES_OAEP: Final = encode(ObjectIdentifier("1.2.840.113549.1.1.7"))
_NO_LABEL: Final = _identifier("1.2.840.113549.1.1.9", encode(b""))
"""pSpecifiedEmpty, the default, which not all leave out."""


@dataclass(frozen=True, slots=True)
class Oaep:
    """Parameters of RSAES-OAEP (RFC 8017, A.2.1): names of digests; the label is empty."""

    digest: str
    mask_digest: str

    def padding(self) -> padding.OAEP:
        mask = padding.MGF1(DIGESTS[self.mask_digest]())
        return padding.OAEP(mask, DIGESTS[self.digest](), None)

    def identifier(self) -> bytes:
        """DER AlgorithmIdentifier; digests with NULL, as the RFC's defaults have it."""
        return wrap(
            0x30,
            _RSAES_OAEP,
            wrap(0x30, *_hash_and_mask(self.digest, self.mask_digest)),
        )


def oaep_of(identifier: bytes) -> Oaep | None:
    """The parameters of an AlgorithmIdentifier (DER); None where it is not id-RSAES-OAEP.

    Raises:
        AlgorithmError: parameters that can't be used, such as a label.
    """
    elements = decode_sequence_of(identifier)
    if not elements or encode(elements[0]) != _RSAES_OAEP:
        return None
    try:
        # RFC 4055, 4.1: absent, all have their default
        params = decode(_OaepParams, elements[1] if len(elements) > 1 else b"\x30\x00")
    except RemoteCmpError as error:
        raise AlgorithmError(f"RSAES-OAEP with malformed parameters: {error}") from error
    if (
        params.pSourceAlgorithm is not None
        and encode_sequence_of(params.pSourceAlgorithm) != _NO_LABEL
    ):
        raise AlgorithmError("RSAES-OAEP with a label")
    return Oaep(*_digests(params.hashAlgorithm, params.maskGenAlgorithm))


def _hash_and_mask(digest: str, mask_digest: str) -> tuple[bytes, bytes]:
    """The first two parameters of RSASSA-PSS and RSAES-OAEP; DER leaves a DEFAULT out."""
    hash_identifier = _identifier(_DIGEST_OIDS[digest], _NULL)
    mask_identifier = wrap(0x30, _MGF1, _identifier(_DIGEST_OIDS[mask_digest], _NULL))
    return (
        b"" if digest == _RSA_DEFAULT_DIGEST else explicit(0, hash_identifier),
        b"" if mask_digest == _RSA_DEFAULT_DIGEST else explicit(1, mask_identifier),
    )


def _digests(
    hash_algorithm: AlgorithmIdentifier | None, mask: AlgorithmIdentifier | None
) -> tuple[str, str]:
    """What those two parameters say."""
    digest = mask_digest = _RSA_DEFAULT_DIGEST
    if hash_algorithm is not None:
        digest = _digest_name(encode_sequence_of(hash_algorithm))
    if mask is not None:
        mask_digest = _mask_digest(mask)
    return digest, mask_digest


def _mask_digest(mask: AlgorithmIdentifier) -> str:
    if len(mask) != 2 or encode(mask[0]) != _MGF1:
        raise AlgorithmError(f"unknown mask generation function {encode_sequence_of(mask).hex()}")
    return _digest_name(encode(mask[1]))


@lru_cache(maxsize=REMEMBERED)
def pss_key_identifier(certificate: x509.Certificate) -> bytes | None:
    """DER AlgorithmIdentifier of a certificate's key where that is for RSASSA-PSS only, else None.

    `cryptography` reads such a key as any other of RSA, and forgets what it is for.
    """
    if encode(certificate.public_key_algorithm_oid) != _RSASSA_PSS:
        return None
    elements = decode_sequence_of(certificate.tbs_certificate_bytes)
    # behind version (absent in v1), serialNumber, signature, issuer, validity, subject
    info = elements[6 if tag(elements[0]) == 0xA0 else 5]
    return encode(decode_sequence_of(info)[0])


def scheme_of(certificate: x509.Certificate) -> RsaScheme | None:
    """How the key of a certificate must sign; None where it does not say.

    Raises:
        AlgorithmError: it is for RSASSA-PSS with parameters that can't be used.
    """
    identifier = pss_key_identifier(certificate)
    if identifier is None:
        return None
    return _pss_of(identifier) or RsaPadding.PSS


def check_key_use(key_identifier: bytes, identifier: bytes) -> None:
    """Check that a key may sign by an algorithm (RFC 4055, 1.2 and 3.3).

    Args:
        key_identifier: DER AlgorithmIdentifier of the key; all but id-RSASSA-PSS are let pass.
        identifier: DER AlgorithmIdentifier of the signature.

    Raises:
        RemoteCmpError: the key is for RSASSA-PSS, or for certain parameters of it, and the
            signature is another.
    """
    elements = decode_sequence_of(key_identifier)
    if not elements or encode(elements[0]) != _RSASSA_PSS:
        return
    used = _pss_of(identifier)
    if used is None:
        raise RemoteCmpError("the key is for RSASSA-PSS only, and the signature is another")
    wanted = _pss_of(key_identifier)
    if wanted is not None and (
        (used.digest, used.mask_digest) != (wanted.digest, wanted.mask_digest)
        or used.salt_length < wanted.salt_length
    ):
        raise RemoteCmpError(
            f"the key is for RSASSA-PSS with {wanted.digest}, MGF1 with {wanted.mask_digest} and a"
            f" salt of {wanted.salt_length} octets or more; the signature has {used.digest},"
            f" {used.mask_digest} and {used.salt_length}"
        )


def kem_identifier(public_key: object) -> bytes | None:
    """DER AlgorithmIdentifier of a public key's KEM (RFC 9936, 3); None for keys of other kinds."""
    return next((der for kind, der in _KEMS.items() if isinstance(public_key, kind)), None)


def hkdf_digest_of(identifier: bytes) -> str:
    """The digest of an HKDF's AlgorithmIdentifier (DER), a name in `DIGESTS`.

    Raises:
        AlgorithmError: it is another key derivation function.
    """
    try:
        return _HKDF_BY_IDENTIFIER[identifier]
    except KeyError:
        raise AlgorithmError(f"unknown key derivation function {identifier.hex()}") from None


def load_private_key(pkcs8: bytes, *, is_ours: bool = True) -> PrivateKey:
    """The private key of an unencrypted PKCS#8 DER.

    Args:
        is_ours: it was made here, or checked when it was read. To check the numbers of an RSA key
            takes 30 ms, and each transaction loads one or two.

    Raises:
        LocalCmpError: not a private key, or of a type that is not certified here.
    """
    key = _private_key(pkcs8, is_ours=is_ours)
    if not isinstance(key, PrivateKey):
        raise LocalCmpError(f"{type(key).__name__} is no key for CMP")
    return key


def _private_key(pkcs8: bytes, *, is_ours: bool = True) -> PrivateKeyTypes:
    try:
        return serialization.load_der_private_key(
            pkcs8, None, unsafe_skip_rsa_key_validation=is_ours
        )
    except (ValueError, TypeError, UnsupportedAlgorithm, InternalError):
        # the codec's own text may quote key bytes; a raw key of a wrong length is an InternalError
        raise LocalCmpError("not an unencrypted PKCS#8 private key") from None


def load_signing_key(pkcs8: bytes) -> SigningKey:
    """As `load_private_key`, of a key that must sign.

    Raises:
        LocalCmpError: not a private key, or of a type that can't sign.
    """
    key = _private_key(pkcs8)
    if not isinstance(key, SigningKey):
        raise LocalCmpError(f"{type(key).__name__} can't sign")
    return key


def load_agreement_key(pkcs8: bytes) -> AgreementKey:
    """As `load_private_key`, of a key for Diffie-Hellman.

    Raises:
        LocalCmpError: not a private key, or of a type that can't agree on a secret.
    """
    key = _private_key(pkcs8)
    if not isinstance(key, AgreementKey):
        raise LocalCmpError(f"{type(key).__name__} is no key for Diffie-Hellman")
    return key


def agree(key: AgreementKey, public_key: object) -> bytes:
    """The result of Diffie-Hellman, of the same length always: the x-coordinate as long as the
    curve's field (SEC 1, 3.3.1 and 2.3.5), or what X25519 and X448 give (RFC 7748, 6).

    Raises:
        RemoteCmpError: the public key is not for the same curve, or leads to no secret.
    """
    try:
        if isinstance(key, ec.EllipticCurvePrivateKey):
            if isinstance(public_key, ec.EllipticCurvePublicKey):
                return key.exchange(ec.ECDH(), public_key)
        elif isinstance(key, x25519.X25519PrivateKey):
            if isinstance(public_key, x25519.X25519PublicKey):
                return key.exchange(public_key)
        elif isinstance(public_key, x448.X448PublicKey):
            return key.exchange(public_key)
    except ValueError as error:
        # another curve, or a point of small order (RFC 7748, 6.1 and 6.2)
        raise RemoteCmpError(f"Diffie-Hellman comes to nothing: {error}") from error
    raise RemoteCmpError("Diffie-Hellman takes two keys of one type")


def public_key_info(key: PrivateKey | OpaqueKey) -> bytes:
    """DER SubjectPublicKeyInfo of a private key's public half."""
    return public_bytes(key.public_key())


def public_bytes(key: PublicKeyTypes) -> bytes:
    """DER SubjectPublicKeyInfo of a public key."""
    return key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def key_digest(key: PublicKeyTypes) -> bytes:
    """SHA-1 of a public key's BIT STRING, of which most CAs make the subjectKeyIdentifier (RFC
    5280, 4.2.1.2, method 1). It finds keys, and proves nothing."""
    _, bits = decode_sequence_of(public_bytes(key))
    return hashlib.sha1(decode(BitString, bits).as_bytes(), usedforsecurity=False).digest()


_CURVES: Final = {
    "P-256": "1.2.840.10045.3.1.7",
    "P-384": "1.3.132.0.34",
    "P-521": "1.3.132.0.35",
}


def key_identifier(spec: KeySpec) -> bytes:
    """DER AlgorithmIdentifier of keys of a type, as it stands in their SubjectPublicKeyInfo.

    The length of an RSA key is not in it.
    """
    match spec.family:
        case KeyFamily.RSA:
            return _identifier(_RSA_ENCRYPTION, _NULL)
        case KeyFamily.EC:
            curve = encode(ObjectIdentifier(_CURVES[spec.parameter]))
            return _identifier("1.2.840.10045.2.1", curve)
        case KeyFamily.ED25519:
            return _PURE["Ed25519"]
        case KeyFamily.ED448:
            return _PURE["Ed448"]
        case KeyFamily.ML_DSA:
            return _PURE[f"ML-DSA-{spec.parameter}"]
        case KeyFamily.ML_KEM:
            return _ML_KEM[spec.parameter]
        case _:
            assert_never(spec.family)


def signature_identifier(key: Signer, digest: str, scheme: RsaScheme = RsaPadding.PKCS1) -> bytes:
    """DER AlgorithmIdentifier with which `key` signs.

    Args:
        digest: counts for RSA and ECDSA only.
        scheme: counts for RSA only. RSASSA-PSS without parameters of its own has MGF1 with the
            same digest, and a salt as long as the digest (RFC 9481, 3.1).

    Raises:
        LocalCmpError: the digest does not go with the key's size.
    """
    public_key = key.public_key()
    if isinstance(public_key, ec.EllipticCurvePublicKey):
        return _ECDSA_SIGNATURES[digest]
    if isinstance(public_key, rsa.RSAPublicKey):
        pss = _own_pss(digest, scheme)
        if pss is None:
            return _RSA_SIGNATURES[digest]
        # digest, salt and two octets must fit (RFC 8017, 9.1.1)
        if (public_key.key_size + 6) // 8 < DIGESTS[pss.digest]().digest_size + pss.salt_length + 2:
            raise LocalCmpError(
                f"an RSA key of {public_key.key_size} bits is too short for RSASSA-PSS with"
                f" {pss.digest} and a salt of {pss.salt_length} octets"
            )
        return pss.identifier()
    return next(_PURE[name] for _, kind, name in _PURE_KEYS if isinstance(public_key, kind))


def _own_pss(digest: str, scheme: RsaScheme) -> Pss | None:
    if isinstance(scheme, Pss):
        return scheme
    if scheme is RsaPadding.PKCS1:
        return None
    return Pss(digest, digest, DIGESTS[digest]().digest_size)


def sign(key: Signer, digest: str, data: bytes, scheme: RsaScheme = RsaPadding.PKCS1) -> bytes:
    """The signature over `data`; its algorithm is what `signature_identifier` says.

    Raises:
        LocalCmpError: a key that is elsewhere can't be reached, or can't sign so.
    """
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(data, ec.ECDSA(DIGESTS[digest]()))
    if isinstance(key, OpaqueKey):
        rsa_key = isinstance(key.public_key(), rsa.RSAPublicKey)
        return key.sign(data, digest, _own_pss(digest, scheme) if rsa_key else None)
    if isinstance(key, rsa.RSAPrivateKey):
        pss = _own_pss(digest, scheme)
        if pss is not None:
            return key.sign(data, pss.padding(), DIGESTS[pss.digest]())
        return key.sign(data, padding.PKCS1v15(), DIGESTS[digest]())
    return key.sign(data)


def verify(
    public_key: object,
    identifier: bytes,
    signature: bytes,
    data: bytes,
    *,
    key_identifier: bytes | None = None,
) -> None:
    """Check a signature.

    Args:
        public_key: of `cryptography`.
        identifier: DER AlgorithmIdentifier of the signature.
        key_identifier: DER AlgorithmIdentifier of the key, if there may be one for RSASSA-PSS.

    Raises:
        AlgorithmError: the signature's algorithm is not known here.
        RemoteCmpError: the signature is wrong, or the key is of another type than the algorithm,
            or not for it.
    """
    known = _SIGNATURES.get(identifier)
    pss = _pss_of(identifier) if known is None else None
    if known is None and pss is None:
        raise AlgorithmError(f"unknown signature algorithm {identifier.hex()}")
    if key_identifier is not None:
        check_key_use(key_identifier, identifier)
    kind, digest = known or ("RSASSA-PSS", "")
    try:
        if pss is not None and isinstance(public_key, rsa.RSAPublicKey):
            public_key.verify(signature, data, pss.padding(), DIGESTS[pss.digest]())
            return
        if kind == "RSA" and isinstance(public_key, rsa.RSAPublicKey):
            public_key.verify(signature, data, padding.PKCS1v15(), DIGESTS[digest]())
            return
        if kind == "ECDSA" and isinstance(public_key, ec.EllipticCurvePublicKey):
            public_key.verify(signature, data, ec.ECDSA(DIGESTS[digest]()))
            return
        for _, public_kind, name in _PURE_KEYS:
            if kind == name and isinstance(public_key, public_kind):
                public_key.verify(signature, data)
                return
    except (InvalidSignature, ValueError, UnsupportedAlgorithm, InternalError):
        # a key too short for the digest and its salt is a ValueError
        raise RemoteCmpError("the signature is wrong") from None
    raise RemoteCmpError(f"a {kind} signature, but the key is a {type(public_key).__name__}")


def cms_signature(identifier: bytes, digest_identifier: bytes) -> bytes:
    """DER AlgorithmIdentifier of the signature in a SignerInfo, which may say no more than RSA.

    Args:
        identifier: its signatureAlgorithm; rsaEncryption leaves the rest to
        digest_identifier: its digestAlgorithm (RFC 3370, 3.2).

    Raises:
        AlgorithmError: rsaEncryption with an unknown digest.
    """
    if identifier not in (_identifier(_RSA_ENCRYPTION, _NULL), _identifier(_RSA_ENCRYPTION)):
        return identifier
    return _identifier(_RSA_OIDS[_digest_name(digest_identifier)], _NULL)


def signature_digest(identifier: bytes) -> str:
    """The name of the digest in a signature, by its DER AlgorithmIdentifier; empty where there is
    none in it, as in EdDSA.

    Raises:
        AlgorithmError: RSASSA-PSS with parameters that can't be used.
    """
    _, digest = _SIGNATURES.get(identifier, ("", ""))
    pss = None if digest else _pss_of(identifier)
    return digest if pss is None else pss.digest


def is_signature(identifier: bytes) -> bool:
    """Whether a DER AlgorithmIdentifier is that of a signature that is known here."""
    try:
        return identifier in _SIGNATURES or _pss_of(identifier) is not None
    except RemoteCmpError:
        return False


def certificate_hash(certificate: x509.Certificate, der: bytes) -> tuple[bytes, bytes | None]:
    """The certHash of a certificate and the hashAlg to name beside it (RFC 9810, 5.3.18).

    The hash is that of the certificate's signature algorithm; where that names none (EdDSA,
    ML-DSA), it is RFC 9481's choice for EdDSA (SHA-512; SHAKE256 with 64 octets for Ed448), and
    SHA-512 for all others, named in hashAlg.

    Args:
        certificate: the certificate, parsed.
        der: its DER.

    Returns:
        The hash, and the DER AlgorithmIdentifier for hashAlg or None where it goes without saying.
    """
    try:
        algorithm = certificate.signature_hash_algorithm
    except (UnsupportedAlgorithm, ValueError):
        algorithm = None
    if algorithm is not None and algorithm.name in DIGESTS:
        return hashlib.new(_HASHLIB[algorithm.name], der).digest(), None
    if certificate.signature_algorithm_oid.dotted_string == "1.3.101.113":
        return hashlib.shake_256(der).digest(64), _SHAKE256
    return hashlib.sha512(der).digest(), DIGEST_IDENTIFIERS["sha512"]


def hash_by(identifier: bytes, data: bytes) -> bytes:
    """The hash of `data` by the digest AlgorithmIdentifier of a received hashAlg.

    Raises:
        RemoteCmpError: a digest that is not in RFC 9481, 2.
    """
    if identifier == _SHAKE256:
        return hashlib.shake_256(data).digest(64)
    return hashlib.new(digest_of(identifier), data).digest()
