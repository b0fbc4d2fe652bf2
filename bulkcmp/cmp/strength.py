"""Minimum strengths: what of a MAC, a signature or a key is too weak to prove anything.

The line is 112 bits of security: NIST SP 800-131A Rev. 2 disallows RSA and DSA under 2048 bits,
elliptic curves under 224, and SHA-1 in signatures, and so does SP 800-57 Part 1 Rev. 5 (table 2).
HMAC-SHA1 stays acceptable there, also as PBKDF2's PRF, and is what `openssl cmp` makes by default:
both are noted only. MD5 is nowhere known here, so that even `--allow-weak` does not take it.

Each function says in a few words what is weak, and nothing (an empty text) where nothing is.
"""

from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa

from bulkcmp.cmp import algorithms
from bulkcmp.cmp.dhmac import DhMacParameters
from bulkcmp.cmp.kemmac import KemMacParameters
from bulkcmp.cmp.protection import MacParameters
from bulkcmp.model import PasswordMac

MIN_ITERATIONS: Final = 100
"""Of a password-based MAC: fewer slow nobody down who guesses the password."""

_MIN_MODULUS: Final = 2048
_MIN_CURVE: Final = 224
_WEAK_DIGESTS: Final = {"md5": "MD5", "sha1": "SHA-1"}


def note_of_mac(parameters: MacParameters | KemMacParameters | DhMacParameters) -> str:
    """What is to be noted of a MAC that is not weak; empty for nothing."""
    by_sha1 = parameters.mac == "sha1" or (
        isinstance(parameters, MacParameters) and parameters.digest == "sha1"
    )
    return "accepted, but HMAC-SHA1 is on its way out: HMAC-SHA256 is better" if by_sha1 else ""


def of_mac(parameters: MacParameters | KemMacParameters | DhMacParameters) -> str:
    """Of a MAC, by its parameters."""
    if isinstance(parameters, KemMacParameters):
        # HKDF is known with SHA-2 only
        return ""
    weak = _WEAK_DIGESTS.get(parameters.digest)
    if weak and not (
        isinstance(parameters, MacParameters) and parameters.kind is PasswordMac.PBMAC1
    ):
        return f"{weak} as the MAC's one-way function"
    if isinstance(parameters, MacParameters) and parameters.iterations < MIN_ITERATIONS:
        return f"a MAC of {parameters.iterations} iterations, fewer than {MIN_ITERATIONS}"
    return ""


def of_key(key: object) -> str:
    """Of a public key of `cryptography`."""
    match key:
        case rsa.RSAPublicKey() if key.key_size < _MIN_MODULUS:
            return f"an RSA key of {key.key_size} bits, fewer than {_MIN_MODULUS}"
        case dsa.DSAPublicKey() if key.key_size < _MIN_MODULUS:
            return f"a DSA key of {key.key_size} bits, fewer than {_MIN_MODULUS}"
        case ec.EllipticCurvePublicKey() if key.curve.key_size < _MIN_CURVE:
            return f"a key on {key.curve.name}, a curve of fewer than {_MIN_CURVE} bits"
    return ""


def of_signature(identifier: bytes) -> str:
    """Of a signature, by its DER AlgorithmIdentifier, which is known to `algorithms`."""
    return _of_signature(algorithms.signature_digest(identifier))


def of_request(request: x509.CertificateSigningRequest) -> str:
    """Of the key and the signature of a PKCS#10 request that was verified."""
    return of_key(request.public_key()) or _of_digest(request.signature_hash_algorithm)


def of_certificate(certificate: x509.Certificate, key: object, *, is_anchor: bool) -> str:
    """Of a certificate's key and signature.

    Args:
        key: the certificate's, which callers have read already.
        is_anchor: trust in it rests on no signature.
    """
    weak = of_key(key)
    return weak if weak or is_anchor else _of_signed(certificate)


def of_crl(crl: x509.CertificateRevocationList) -> str:
    """Of a CRL's signature."""
    return _of_signed(crl)


def _of_signed(signed: x509.Certificate | x509.CertificateRevocationList) -> str:
    try:
        return _of_digest(signed.signature_hash_algorithm)
    except (UnsupportedAlgorithm, ValueError) as error:
        return f"a signature that can't be judged ({error})"


def _of_digest(digest: hashes.HashAlgorithm | None) -> str:
    return "" if digest is None else _of_signature(digest.name)


def _of_signature(digest: str) -> str:
    weak = _WEAK_DIGESTS.get(digest)
    return f"a signature with {weak}" if weak else ""
