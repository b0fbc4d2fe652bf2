"""A small CA for credentials to be written: every key type, made once."""

import datetime as dt
import os
from collections.abc import Iterator

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, mldsa, mlkem, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bulkcmp.outputs.credentials import Credential


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def _certify(
    subject: str,
    key: PrivateKeyTypes,
    issuer: str,
    signer: ec.EllipticCurvePrivateKey,
) -> bytes:
    start = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())  # type: ignore[arg-type]  # one that is certified
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + dt.timedelta(days=3650))
        .sign(signer, hashes.SHA256())
        .public_bytes(Encoding.DER)
    )


@pytest.fixture(scope="session")
def issued() -> dict[str, Credential]:
    """One credential for each key spec, under one intermediate CA; the spec is its id."""
    root, middle = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    chain = (_certify("sub", middle, "root", root), _certify("root", root, "root", root))
    keys: dict[str, PrivateKeyTypes] = {
        "rsa:2048": rsa.generate_private_key(65537, 2048),
        "ec:P-256": ec.generate_private_key(ec.SECP256R1()),
        "ed25519": ed25519.Ed25519PrivateKey.generate(),
        "ed448": ed448.Ed448PrivateKey.generate(),
        "ml-dsa-65": mldsa.MLDSA65PrivateKey.generate(),
        "ml-kem-768": mlkem.MLKEM768PrivateKey.generate(),
    }
    return {
        spec: Credential(
            spec,
            key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),
            _certify(spec, key, "sub", middle),
            chain,
        )
        for spec, key in keys.items()
    }


@pytest.fixture
def usual_umask() -> Iterator[None]:
    """File modes must not depend on who runs the tests."""
    before = os.umask(0o022)
    yield
    os.umask(before)
