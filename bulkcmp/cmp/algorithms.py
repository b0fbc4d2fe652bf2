"""AlgorithmIdentifiers and what they mean (RFC 9481; RFC 5754; RFC 8410; RFC 9881 for ML-DSA).

Identifiers are compared by their DER bytes: a table look-up instead of a parse.
"""

import hashlib
from collections.abc import Callable
from typing import Final, TypeAlias

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, mldsa, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

from bulkcmp.cmp.asn1 import ObjectIdentifier, encode, wrap
from bulkcmp.errors import LocalCmpError, RemoteCmpError

SigningKey: TypeAlias = (
    rsa.RSAPrivateKey
    | ec.EllipticCurvePrivateKey
    | ed25519.Ed25519PrivateKey
    | ed448.Ed448PrivateKey
    | mldsa.MLDSA44PrivateKey
    | mldsa.MLDSA65PrivateKey
    | mldsa.MLDSA87PrivateKey
)

_NULL: Final = b"\x05\x00"


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
_MAC_BY_IDENTIFIER: Final = {
    _identifier(oid, parameters): name.removeprefix("hmac-")
    for name, oids in _MAC_OIDS.items()
    for oid in oids
    for parameters in (b"", _NULL)
}


def digest_of(identifier: bytes) -> str:
    """The `hashlib` name of a digest's AlgorithmIdentifier (DER).

    Raises:
        RemoteCmpError: a digest that is not in RFC 9481, 2.
    """
    try:
        return _HASHLIB[_DIGEST_BY_IDENTIFIER[identifier]]
    except KeyError:
        raise RemoteCmpError(f"unknown digest algorithm {identifier.hex()}") from None


def mac_digest_of(identifier: bytes) -> str:
    """The `hashlib` name of the digest in an HMAC's AlgorithmIdentifier (DER).

    Raises:
        RemoteCmpError: a MAC that is no HMAC of RFC 9481, 6.2.
    """
    try:
        return _HASHLIB[_MAC_BY_IDENTIFIER[identifier]]
    except KeyError:
        raise RemoteCmpError(f"unknown MAC algorithm {identifier.hex()}") from None


_RSA_OIDS: Final = {
    "sha1": "1.2.840.113549.1.1.5",
    "sha224": "1.2.840.113549.1.1.14",
    "sha256": "1.2.840.113549.1.1.11",
    "sha384": "1.2.840.113549.1.1.12",
    "sha512": "1.2.840.113549.1.1.13",
}
_ECDSA_OIDS: Final = {
    "sha1": "1.2.840.10045.4.1",
    "sha224": "1.2.840.10045.4.3.1",
    "sha256": "1.2.840.10045.4.3.2",
    "sha384": "1.2.840.10045.4.3.3",
    "sha512": "1.2.840.10045.4.3.4",
}
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

_SIGNATURES: Final = (
    {_identifier(oid, p): ("RSA", name) for name, oid in _RSA_OIDS.items() for p in (_NULL, b"")}
    | {_identifier(oid): ("ECDSA", name) for name, oid in _ECDSA_OIDS.items()}
    | {identifier: (name, "") for name, identifier in _PURE.items()}
)


def load_signing_key(pkcs8: bytes) -> SigningKey:
    """The private key of an unencrypted PKCS#8 DER.

    Raises:
        LocalCmpError: not a private key, or of a type that can't sign.
    """
    try:
        key = serialization.load_der_private_key(pkcs8, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # the codec's own text may quote key bytes
        raise LocalCmpError("not an unencrypted PKCS#8 private key") from None
    kinds = (rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey, *(kind for kind, _, _ in _PURE_KEYS))
    if not isinstance(key, kinds):
        raise LocalCmpError(f"{type(key).__name__} can't sign")
    return key


def public_key_info(key: SigningKey) -> bytes:
    """DER SubjectPublicKeyInfo of a private key's public half."""
    return public_bytes(key.public_key())


def public_bytes(key: PublicKeyTypes) -> bytes:
    """DER SubjectPublicKeyInfo of a public key."""
    return key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def signature_identifier(key: SigningKey, digest: str) -> bytes:
    """DER AlgorithmIdentifier with which `key` signs; `digest` counts for RSA and ECDSA only.

    Raises:
        LocalCmpError: `digest` does not go with the key's type.
    """
    for kind, _, name in _PURE_KEYS:
        if isinstance(key, kind):
            return _PURE[name]
    rsa_key = isinstance(key, rsa.RSAPrivateKey)
    oid = (_RSA_OIDS if rsa_key else _ECDSA_OIDS).get(digest)
    if oid is None:
        kind_name = "RSA" if rsa_key else "ECDSA"
        raise LocalCmpError(
            f"digest {digest!r} does not go with {kind_name}",
            hint=f"choose one of {', '.join(_RSA_OIDS)}",
        )
    return _identifier(oid, _NULL if rsa_key else b"")


def sign(key: SigningKey, digest: str, data: bytes) -> bytes:
    """The signature over `data` by the algorithm of `signature_identifier(key, digest)`."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(data, ec.ECDSA(DIGESTS[digest]()))
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(data, padding.PKCS1v15(), DIGESTS[digest]())
    return key.sign(data)


def verify(public_key: object, identifier: bytes, signature: bytes, data: bytes) -> None:
    """Check a signature.

    Args:
        public_key: of `cryptography`.
        identifier: DER AlgorithmIdentifier of the signature.

    Raises:
        RemoteCmpError: the signature is wrong, its algorithm is not known here, or the key is of
            another type than the algorithm.
    """
    try:
        kind, digest = _SIGNATURES[identifier]
    except KeyError:
        raise RemoteCmpError(f"unknown signature algorithm {identifier.hex()}") from None
    try:
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
    except InvalidSignature:
        raise RemoteCmpError("the signature is wrong") from None
    raise RemoteCmpError(f"a {kind} signature, but the key is a {type(public_key).__name__}")


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
