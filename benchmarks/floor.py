"""The crypto floor: what the cryptography of a transaction costs alone.

The same operations through the same libraries in a bare loop in one process. What can be done once
in a run is done once: the key that protects requests under one secret is derived once, signers'
certificates and keys are loaded once.
"""

import hashlib
import hmac
import os
import time
from collections.abc import Callable, Sequence

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_private_key,
    load_der_public_key,
)

_MESSAGE = os.urandom(700)
"""As long as a message of ir + certConf is on the average."""

_SCHEME = ec.ECDSA(hashes.SHA256())


def pbm_key(secret: bytes, salt: bytes, iterations: int) -> bytes:
    """The key of a password-based MAC by SHA-256 (RFC 9810, 5.1.3.1): a loop over hashlib."""
    sha256 = hashlib.sha256
    key = secret + salt
    for _ in range(iterations):
        key = sha256(key).digest()
    return key


def client_pbm(keys: Sequence[bytes], certificate: bytes, anchor: bytes, iterations: int) -> float:
    """CPU seconds of the client's cryptography, one transaction for each key, MACs both ways."""
    secret = os.urandom(16)
    own = pbm_key(secret, os.urandom(16), iterations)

    def protection() -> None:
        for _ in range(2):
            hmac.digest(own, _MESSAGE, "sha256")
        for _ in range(2):
            derived = pbm_key(secret, os.urandom(16), iterations)
            hmac.digest(derived, _MESSAGE, "sha256")

    return _client(keys, certificate, anchor, protection)


def client_signature(keys: Sequence[bytes], certificate: bytes, anchor: bytes) -> float:
    """The same with signatures both ways, by one RA and one CA."""
    ra = _private(keys[0])
    signature = ra.sign(_MESSAGE, _SCHEME)
    ca = ra.public_key()

    def protection() -> None:
        for _ in range(2):
            ra.sign(_MESSAGE, _SCHEME)
        for _ in range(2):
            ca.verify(signature, _MESSAGE, _SCHEME)

    return _client(keys, certificate, anchor, protection)


def _client(
    keys: Sequence[bytes], certificate: bytes, anchor: bytes, protection: Callable[[], None]
) -> float:
    issuer = x509.load_der_x509_certificate(anchor)
    began = time.process_time()
    for pkcs8 in keys:
        key = _private(pkcs8)
        _spki(key.public_key())
        # proof of possession
        key.sign(_MESSAGE, _SCHEME)
        protection()
        issued = x509.load_der_x509_certificate(certificate)
        _spki(_ec(issued.public_key()))
        issued.verify_directly_issued_by(issuer)
        hashlib.sha256(certificate).digest()
    return time.process_time() - began


def ca_pbm(keys: Sequence[bytes], iterations: int) -> float:
    """CPU seconds of the CA's cryptography, one transaction for each key: the request's key is
    derived once, each answer has a fresh salt."""
    requests = [_spki(_private(pkcs8).public_key()) for pkcs8 in keys]
    proofs = [_private(pkcs8).sign(_MESSAGE, _SCHEME) for pkcs8 in keys]
    secret = os.urandom(16)
    own = pbm_key(secret, os.urandom(16), iterations)
    root = ec.generate_private_key(ec.SECP256R1())
    began = time.process_time()
    for spki, proof in zip(requests, proofs, strict=True):
        public = _ec(load_der_public_key(spki))
        public.verify(proof, _MESSAGE, _SCHEME)
        for _ in range(2):
            hmac.digest(own, _MESSAGE, "sha256")
        # the certificate
        root.sign(_MESSAGE, _SCHEME)
        for _ in range(2):
            derived = pbm_key(secret, os.urandom(16), iterations)
            hmac.digest(derived, _MESSAGE, "sha256")
    return time.process_time() - began


def _private(pkcs8: bytes) -> ec.EllipticCurvePrivateKey:
    key = load_der_private_key(pkcs8, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def _ec(key: object) -> ec.EllipticCurvePublicKey:
    assert isinstance(key, ec.EllipticCurvePublicKey)
    return key


def _spki(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
