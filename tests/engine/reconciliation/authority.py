"""A CA that made some certificates, and the keys that it certified."""

import datetime as dt

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, x25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bulkcmp.inputs.name import parse_name

NOW = dt.datetime(2026, 11, 28, 12, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
CA = x509.Name.from_bytes(parse_name("/CN=CA"))
CA_KEY = ec.generate_private_key(ec.SECP256R1())
KEYS = [
    *(ec.generate_private_key(ec.SECP256R1()) for _ in range(3)),
    # too weak
    ec.generate_private_key(ec.SECP192R1()),
]


def certificate(serial: int, key: int = 0, name: str = "/CN=dev1", days: float = 30) -> bytes:
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name.from_bytes(parse_name(name)))
        .issuer_name(CA)
        .public_key(KEYS[key].public_key())
        .serial_number(serial)
        .not_valid_before(NOW - 9 * DAY)
        .not_valid_after(NOW + days * DAY)
        .sign(CA_KEY, hashes.SHA256())
        .public_bytes(Encoding.DER)
    )


def authority(key: ec.EllipticCurvePrivateKey) -> bytes:
    """The CA's own certificate."""
    return (
        x509.CertificateBuilder()
        .subject_name(CA)
        .issuer_name(CA)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW - 99 * DAY)
        .not_valid_after(NOW + 99 * DAY)
        .add_extension(x509.BasicConstraints(True, None), critical=True)
        .sign(key, hashes.SHA256())
        .public_bytes(Encoding.DER)
    )


def pkcs8(key: ec.EllipticCurvePrivateKey | x25519.X25519PrivateKey) -> bytes:
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
