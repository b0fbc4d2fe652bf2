"""DER by hand, real messages of OpenSSL, and a CA with certificates of many kinds."""

import datetime as dt
import ipaddress
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

VECTORS = Path(__file__).parent.parent / "vectors" / "openssl"


def utc(*parts: int) -> dt.datetime:
    return dt.datetime(*parts, tzinfo=dt.UTC)  # type: ignore[arg-type, misc]


@pytest.fixture(scope="session")
def vectors() -> dict[str, bytes]:
    """Content by file name, without `.der`."""
    found = {path.stem: path.read_bytes() for path in VECTORS.glob("*.der")}
    assert len(found) > 40
    return found


@pytest.fixture(scope="session")
def tlv() -> Callable[..., bytes]:
    """Encodes one value: identifier octet, then the parts of its contents."""

    def encode(tag: int, *parts: bytes) -> bytes:
        contents = b"".join(parts)
        size = len(contents)
        if size < 0x80:
            return bytes((tag, size)) + contents
        octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
        return bytes((tag, 0x80 | len(octets))) + octets + contents

    return encode


@pytest.fixture(scope="session")
def message(tlv: Callable[..., bytes]) -> Callable[[int, bytes], bytes]:
    """A PKIMessage of the least header: the number of its body's alternative, and the body."""
    nobody = tlv(0xA4, tlv(0x30))

    def encode(number: int, body: bytes) -> bytes:
        return tlv(0x30, tlv(0x30, b"\x02\x01\x03", nobody, nobody), tlv(0xA0 | number, body))

    return encode


@pytest.fixture(scope="session")
def key() -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(7, ec.SECP256R1())


@pytest.fixture(scope="session")
def certificate(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    """A certificate with an extension of nearly every kind."""
    name = x509.Name(
        (
            x509.NameAttribute(NameOID.COUNTRY_NAME, "DE"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, 'A, "B" \\ C'),
            x509.NameAttribute(NameOID.COMMON_NAME, " Ünit #1 "),
        )
    )
    sans = (
        x509.DNSName("device.example"),
        x509.RFC822Name("d@example.org"),
        x509.UniformResourceIdentifier("urn:x"),
        x509.IPAddress(ipaddress.ip_address("192.0.2.7")),
        x509.IPAddress(ipaddress.ip_address("2001:db8::7")),
        x509.DirectoryName(name),
        x509.RegisteredID(x509.ObjectIdentifier("1.2.3.4")),
        x509.OtherName(x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3"), b"\x0c\x03u@x"),
    )
    usage = x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=True,
        data_encipherment=False, key_agreement=False, key_cert_sign=False, crl_sign=False,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip
    eku = (ExtendedKeyUsageOID.CLIENT_AUTH, x509.ObjectIdentifier("1.2.3.99"))
    policy = x509.PolicyInformation(
        x509.ObjectIdentifier("1.2.3.5"),
        ["http://cps.example", x509.UserNotice(None, "be nice")],
    )
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.6"), b"\x01\x02\x03")
    constraints = x509.NameConstraints([x509.IPAddress(ipaddress.ip_network("10.0.0.0/8"))], None)
    return (
        x509.CertificateBuilder(name, name, key.public_key(), 0x1234567890ABCDEF1234)
        .not_valid_before(utc(2049, 12, 31, 23, 59, 59))
        .not_valid_after(utc(2050, 1, 1))
        .add_extension(x509.SubjectAlternativeName(sans), critical=False)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage(eku), critical=False)
        .add_extension(x509.CertificatePolicies([policy]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=2), critical=True)
        .add_extension(constraints, critical=False)
        .add_extension(unknown, critical=False)
        .sign(key, hashes.SHA384())
    )
