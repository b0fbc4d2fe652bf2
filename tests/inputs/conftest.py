"""Key, certificate and request files, made once for the tests of this folder."""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)
from cryptography.x509.oid import NameOID

PASSWORD = b"correct horse"


@dataclass(frozen=True)
class Pki:
    """Files of one end entity, CN=dev1 with SAN dev1.example, issued by CN=CA, and of another."""

    folder: Path
    key: bytes
    certificate: bytes
    ca: bytes
    csr: bytes


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _certificate(
    subject: str,
    key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey,
    signer: ec.EllipticCurvePrivateKey,
) -> x509.Certificate:
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name("CA"))
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(dt.datetime(2026, 1, 1, tzinfo=dt.UTC))
        .not_valid_after(dt.datetime(2036, 1, 1, tzinfo=dt.UTC))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(f"{subject}.example")]), critical=False
        )
        .sign(signer, hashes.SHA256())
    )


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    folder = tmp_path_factory.mktemp("pki")
    ca_key, key, other_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
    ca, certificate = _certificate("CA", ca_key, ca_key), _certificate("dev1", key, ca_key)
    csr = x509.CertificateSigningRequestBuilder().subject_name(_name("dev1"))
    request = csr.sign(key, hashes.SHA256())

    def pkcs8(encoding: Encoding, seal: KeySerializationEncryption) -> bytes:
        return key.private_bytes(encoding, PrivateFormat.PKCS8, seal)

    sealed = BestAvailableEncryption(PASSWORD)
    pem, der, plain = Encoding.PEM, Encoding.DER, NoEncryption()
    eddsa = ed25519.Ed25519PrivateKey.generate()
    bundle = certificate.public_bytes(pem) + ca.public_bytes(pem)
    files = {
        "key.pem": pkcs8(pem, plain),
        "key.der": pkcs8(der, plain),
        "sec1.pem": key.private_bytes(pem, PrivateFormat.TraditionalOpenSSL, plain),
        "sealed.pem": pkcs8(pem, sealed),
        "sealed.der": pkcs8(der, sealed),
        "sealed-sec1.pem": key.private_bytes(pem, PrivateFormat.TraditionalOpenSSL, sealed),
        "other-key.pem": other_key.private_bytes(pem, PrivateFormat.PKCS8, plain),
        "cert.pem": bundle,
        "cert.der": certificate.public_bytes(der),
        "ed-key.pem": eddsa.private_bytes(pem, PrivateFormat.PKCS8, plain),
        "ed-cert.pem": _certificate("dev1", eddsa, ca_key).public_bytes(pem),
        "ca.pem": ca.public_bytes(pem),
        "both.pem": bundle + pkcs8(pem, plain),
        "csr.pem": request.public_bytes(pem),
        "csr.der": request.public_bytes(der),
        "bad.p12": pkcs12.serialize_key_and_certificates(b"n", None, None, [ca], sealed),
        "dev1.p12": pkcs12.serialize_key_and_certificates(b"n", key, certificate, [ca], sealed),
        "open.p12": pkcs12.serialize_key_and_certificates(b"n", key, certificate, None, plain),
        "empty.pem": b"",
        "garbage": b"\x01\x02garbage",
        "damaged.pem": b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return Pki(
        folder,
        pkcs8(der, plain),
        certificate.public_bytes(der),
        ca.public_bytes(der),
        request.public_bytes(der),
    )


WriteCsv = Callable[[str | bytes], Path]


@pytest.fixture
def write_csv(tmp_path: Path) -> WriteCsv:
    """Write a population, and give its path."""

    def write(content: str | bytes) -> Path:
        path = tmp_path / "devices.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write
