"""Keys that are the same in every run, so that what is changed in a seed is the same too.

The one of RSA was made by `openssl genrsa -out rsa.pem 2048`; the others are made of their names.
"""

import hashlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, mldsa, mlkem
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from bulkcmp.cmp import algorithms
from bulkcmp.cmp.algorithms import AgreementKey, KemKey, PrivateKey, SigningKey
from tests.cmp.conftest import Party, Pki, certificate, make_pki

_RSA: Final = Path(__file__).with_name("rsa.pem")

_MAKERS: Final[dict[str, tuple[int, Callable[[bytes], PrivateKey]]]] = {
    "ed25519": (32, ed25519.Ed25519PrivateKey.from_private_bytes),
    "ed448": (57, ed448.Ed448PrivateKey.from_private_bytes),
    "ml-dsa-44": (32, mldsa.MLDSA44PrivateKey.from_seed_bytes),
    "ml-dsa-65": (32, mldsa.MLDSA65PrivateKey.from_seed_bytes),
    "ml-dsa-87": (32, mldsa.MLDSA87PrivateKey.from_seed_bytes),
    "ml-kem-768": (64, mlkem.MLKEM768PrivateKey.from_seed_bytes),
    "ml-kem-1024": (64, mlkem.MLKEM1024PrivateKey.from_seed_bytes),
}


class FixedPki(Pki):
    """The PKI of the tests of the core, with keys and certificates that are the same in every run.

    Who signs messages has a key of Ed25519, whose signatures are all of one length. What is drawn
    anew (salts, paddings, ciphertexts) is so too.
    """

    @staticmethod
    def certificate(
        subject: str | x509.Name,
        key: SigningKey | AgreementKey | KemKey,
        issuer: Party | SigningKey,
        **options: Any,
    ) -> bytes:
        told = algorithms.public_bytes(key.public_key()) + repr((subject, options)).encode()
        serial = int.from_bytes(hashlib.sha256(told).digest()[:16]) | 1 << 120
        return certificate(subject, key, issuer, serial=serial, **options)

    @staticmethod
    def certify(
        subject: str | x509.Name, key: SigningKey, issuer: Party | None = None, **options: Any
    ) -> Party:
        return Party(key, FixedPki.certificate(subject, key, issuer or key, **options))


def fixed_pki() -> Pki:
    made: Counter[str] = Counter()

    def make(kind: str) -> PrivateKey:
        made[kind] += 1
        return _fixed(kind, made[kind])

    return make_pki(make, kind=FixedPki, signer="ed25519")


def _fixed(kind: str, number: int) -> PrivateKey:
    name = f"{kind} {number}".encode()
    if kind == "rsa":
        key = load_pem_private_key(_RSA.read_bytes(), None)
        assert isinstance(key, PrivateKey)
        return key
    if kind == "ec":
        secret = int.from_bytes(hashlib.sha256(name).digest()[:31])
        return ec.derive_private_key(secret, ec.SECP256R1())
    size, load = _MAKERS[kind]
    return load(hashlib.shake_256(name).digest(size))
