"""Who the CA is: its key and root certificate, and those of its registration authority."""

import datetime as dt
import secrets
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, overload

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from bulkcmp.cmp import algorithms
from bulkcmp.cmp.algorithms import SigningKey
from bulkcmp.io.keyworker import make_keys
from bulkcmp.model import KeyFamily, KeySpec

ROOT_VALIDITY: Final = dt.timedelta(days=3653)
RA_VALIDITY: Final = dt.timedelta(days=1826)
BACKDATE: Final = dt.timedelta(minutes=5)
"""How long before its making a certificate is valid: clocks differ."""

RA_KEY: Final = KeySpec(KeyFamily.EC, "P-256")
CMC_RA: Final = x509.ObjectIdentifier("1.3.6.1.5.5.7.3.28")
"""id-kp-cmcRA (RFC 6402, 2.10): the holder is a registration authority."""

_DIGESTS: Final[dict[str, hashes.SHA256 | hashes.SHA384 | hashes.SHA512]] = {
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}


@dataclass(frozen=True)
class Identity:
    """A signing key and the certificate of it."""

    key: SigningKey = field(repr=False)
    certificate: x509.Certificate

    @cached_property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @cached_property
    def name(self) -> bytes:
        """DER of the subject's Name."""
        return self.certificate.subject.public_bytes()

    @cached_property
    def key_identifier(self) -> bytes:
        """The subject key identifier."""
        extension = self.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
        return extension.value.digest


def digest_for(key: SigningKey) -> str:
    """Name of the digest that is as strong as the key; counts for RSA and ECDSA only."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return {256: "sha256", 384: "sha384"}.get(key.curve.key_size, "sha512")
    return "sha256"


@overload
def sign(builder: x509.CertificateBuilder, key: SigningKey) -> x509.Certificate: ...


@overload
def sign(
    builder: x509.CertificateRevocationListBuilder, key: SigningKey
) -> x509.CertificateRevocationList: ...


def sign(
    builder: x509.CertificateBuilder | x509.CertificateRevocationListBuilder, key: SigningKey
) -> x509.Certificate | x509.CertificateRevocationList:
    """Sign a certificate or CRL with its issuer's key."""
    if isinstance(key, (rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey)):
        return builder.sign(key, _DIGESTS[digest_for(key)])
    return builder.sign(key, None)


def make_serial() -> int:
    """A serial number: 128 random bits, never 0 (RFC 5280, 4.1.2.2)."""
    return secrets.randbelow((1 << 128) - 1) + 1


def make_root(spec: KeySpec, now: dt.datetime) -> Identity:
    """A new key and its self-signed certificate, under a name of its own.

    The certificate may sign messages too: keyUsage has digitalSignature.
    """
    key = algorithms.load_signing_key(make_keys(spec, 1)[0])
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "bulkcmp"),
            # anchors of two states must not be taken for one another
            x509.NameAttribute(NameOID.COMMON_NAME, f"bulkcmp test CA {secrets.token_hex(4)}"),
        ]
    )
    public_key = key.public_key()
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public_key)
        .serial_number(make_serial())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(now + ROOT_VALIDITY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(key_usage(digital_signature=True, ca=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )
    return Identity(key, sign(builder, key))


def make_ra(root: Identity, now: dt.datetime) -> Identity:
    """A registration authority's key and certificate, marked as such by id-kp-cmcRA."""
    key = algorithms.load_signing_key(make_keys(RA_KEY, 1)[0])
    public_key = key.public_key()
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "bulkcmp"),
            x509.NameAttribute(NameOID.COMMON_NAME, "bulkcmp test RA"),
        ]
    )
    authority = x509.AuthorityKeyIdentifier(root.key_identifier, None, None)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(root.certificate.subject)
        .public_key(public_key)
        .serial_number(make_serial())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(now + RA_VALIDITY)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(key_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([CMC_RA]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(authority, critical=False)
    )
    return Identity(key, sign(builder, root.key))


def make_vendor(now: dt.datetime) -> tuple[x509.Certificate, Identity]:
    """A vendor's root certificate, and its CA for devices, whose key alone is kept."""
    root_key, device_key = map(algorithms.load_signing_key, make_keys(RA_KEY, 2))
    root_name, device_name = (
        x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "bulkcmp test vendor"),
                x509.NameAttribute(NameOID.COMMON_NAME, name),
            ]
        )
        for name in ("vendor root", "vendor device CA")
    )
    root = _ca_certificate(root_name, root_key, root_name, root_key, now, path_length=None)
    devices = _ca_certificate(device_name, device_key, root_name, root_key, now, path_length=0)
    return root, Identity(device_key, devices)


def _ca_certificate(
    name: x509.Name,
    key: SigningKey,
    issuer: x509.Name,
    issuer_key: SigningKey,
    now: dt.datetime,
    *,
    path_length: int | None,
) -> x509.Certificate:
    public_key = key.public_key()
    issuer_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(make_serial())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(now + ROOT_VALIDITY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(key_usage(digital_signature=False, ca=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(issuer_id, critical=False)
    )
    return sign(builder, issuer_key)


def make_device(vendor: Identity, subject: bytes, now: dt.datetime) -> Identity:
    """A device's key and the certificate that its vendor gives it; `subject` is a DER Name."""
    key = algorithms.load_signing_key(make_keys(RA_KEY, 1)[0])
    public_key = key.public_key()
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name.from_bytes(subject))
        .issuer_name(vendor.certificate.subject)
        .public_key(public_key)
        .serial_number(make_serial())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(now + RA_VALIDITY)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(key_usage(digital_signature=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier(vendor.key_identifier, None, None), critical=False
        )
    )
    return Identity(key, sign(builder, vendor.key))


def key_usage(
    *, digital_signature: bool, key_encipherment: bool = False, ca: bool = False
) -> x509.KeyUsage:
    """A keyUsage with these bits and no others; `ca` sets keyCertSign and cRLSign."""
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=key_encipherment,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )
