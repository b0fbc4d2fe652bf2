"""Certificates for tests of what is done with those that exist."""

import datetime as dt
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from bulkcmp.engine.holding import Certificate

NOW = dt.datetime(2027, 3, 1, 12, tzinfo=dt.UTC)


@cache
def key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def certificate(
    subject: str,
    *,
    days: float = 10,
    age: float = 30,
    serial: int = 1,
    issuer: str = "CA",
    is_ca: bool = False,
    public_key: CertificateIssuerPublicKeyTypes | None = None,
) -> Certificate:
    """A certificate that expires in some days, and was issued some days ago."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(issuer))
        .public_key(public_key or key().public_key())
        .serial_number(serial)
        .not_valid_before(NOW - dt.timedelta(days=age))
        .not_valid_after(NOW + dt.timedelta(days=days))
        .add_extension(x509.BasicConstraints(is_ca, None), critical=True)
    )
    return Certificate(builder.sign(key(), hashes.SHA256()).public_bytes(Encoding.DER))
