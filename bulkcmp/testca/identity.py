"""Who the CA is: its key and root certificate, and those of its registration authority, of its key
generation authority, and for MACs."""

import datetime as dt
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, overload

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, mlkem, rsa, x448, x25519
from cryptography.x509.oid import NameOID

from bulkcmp.cmp import algorithms
from bulkcmp.cmp.algorithms import AgreementKey, KemKey, SigningKey
from bulkcmp.cmp.general import RootCaKeyUpdate
from bulkcmp.cmp.package import CM_KGA
from bulkcmp.io.keyworker import make_keys
from bulkcmp.model import KeyFamily, KeySpec

ROOT_VALIDITY: Final = dt.timedelta(days=3653)
RA_VALIDITY: Final = dt.timedelta(days=1826)
BACKDATE: Final = dt.timedelta(minutes=5)
"""How long before its making a certificate is valid: clocks differ."""

RA_KEY: Final = KeySpec(KeyFamily.EC, "P-256")
CMC_RA: Final = x509.ObjectIdentifier("1.3.6.1.5.5.7.3.28")
"""id-kp-cmcRA (RFC 6402, 2.10): the holder is a registration authority."""

KGA_KEY: Final = KeySpec(KeyFamily.EC, "P-256")

_DIGESTS: Final[dict[str, hashes.SHA256 | hashes.SHA384 | hashes.SHA512]] = {
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}


_END_ENTITY: Final = x509.BasicConstraints(ca=False, path_length=None)


class _Certified:
    """What is to be had of a certificate."""

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


@dataclass(frozen=True)
class Identity(_Certified):
    """A signing key and the certificate of it."""

    key: SigningKey = field(repr=False)
    certificate: x509.Certificate


@dataclass(frozen=True)
class MacIdentity(_Certified):
    """A key of which MACs are made with another's, and the certificate of it."""

    key: AgreementKey | KemKey = field(repr=False)
    certificate: x509.Certificate


MAC_KEYS: Final[dict[str, Callable[[], AgreementKey | KemKey]]] = {
    "ec:P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ec:P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "ec:P-521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "x25519": x25519.X25519PrivateKey.generate,
    "x448": x448.X448PrivateKey.generate,
    "ml-kem-768": mlkem.MLKEM768PrivateKey.generate,
    "ml-kem-1024": mlkem.MLKEM1024PrivateKey.generate,
}
"""The keys of the CA's own for DHBasedMac and KEM-based MAC, and what makes them."""


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
    # anchors of two states must not be taken for one another
    name = _name("bulkcmp", f"bulkcmp test CA {secrets.token_hex(4)}")
    usage = key_usage(digital_signature=True, ca=True)
    return _certified(name, spec, None, now, x509.BasicConstraints(True, None), usage)


def make_ra(root: Identity, now: dt.datetime) -> Identity:
    """A registration authority's key and certificate, marked as such by id-kp-cmcRA."""
    name = _name("bulkcmp", "bulkcmp test RA")
    usage = key_usage(digital_signature=True, key_agreement=True)
    purpose = x509.ExtendedKeyUsage([CMC_RA])
    return _certified(name, RA_KEY, root, now, _END_ENTITY, usage, purpose)


def make_kga(root: Identity, now: dt.datetime) -> Identity:
    """A key generation authority's key and certificate, marked as such by id-kp-cmKGA."""
    name = _name("bulkcmp", "bulkcmp test KGA")
    usage = key_usage(digital_signature=True)
    purpose = x509.ExtendedKeyUsage([CM_KGA])
    return _certified(name, KGA_KEY, root, now, _END_ENTITY, usage, purpose)


def make_mac_identity(root: Identity, kind: str, now: dt.datetime) -> MacIdentity:
    """A key of the CA for MACs, one of `MAC_KEYS`, and its certificate."""
    key = MAC_KEYS[kind]()
    encapsulates = isinstance(key, KemKey)
    usage = key_usage(
        digital_signature=False, key_encipherment=encapsulates, key_agreement=not encapsulates
    )
    name = _name("bulkcmp", f"bulkcmp test CA {kind}")
    builder = _builder(name, key, now - BACKDATE, now + RA_VALIDITY, _END_ENTITY, usage)
    return MacIdentity(key, _signed(builder, root))


def make_vendor(now: dt.datetime) -> tuple[x509.Certificate, Identity]:
    """A vendor's root certificate, and its CA for devices, whose key alone is kept."""
    vendor, usage = "bulkcmp test vendor", key_usage(digital_signature=False, ca=True)
    name = _name(vendor, "vendor root")
    root = _certified(name, RA_KEY, None, now, x509.BasicConstraints(True, None), usage)
    name = _name(vendor, "vendor device CA")
    devices = _certified(name, RA_KEY, root, now, x509.BasicConstraints(True, 0), usage)
    return root.certificate, devices


def make_device(vendor: Identity, subject: bytes, now: dt.datetime) -> Identity:
    """A device's key and the certificate that its vendor gives it; `subject` is a DER Name."""
    name = x509.Name.from_bytes(subject)
    usage = key_usage(digital_signature=True, key_agreement=True)
    return _certified(name, RA_KEY, vendor, now, _END_ENTITY, usage)


def _name(organization: str, common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def make_successor(
    root: Identity, spec: KeySpec, now: dt.datetime
) -> tuple[Identity, RootCaKeyUpdate]:
    """A new root key and certificate under the CA's name, and what links them with the old ones
    (RFC 9810, 4.4.1)."""
    old = root.certificate
    usage = key_usage(digital_signature=True, ca=True)
    new = _certified(old.subject, spec, None, now, x509.BasicConstraints(True, None), usage)
    with_old = _link(new, root, new.certificate.not_valid_before_utc)
    with_new = _link(root, new, old.not_valid_before_utc)
    return new, RootCaKeyUpdate(new.der, with_old, with_new)


def _link(subject: Identity, issuer: Identity, begin: dt.datetime) -> bytes:
    """DER of a certificate for the key of one root by another, until the first of them is over."""
    roots = (subject.certificate, issuer.certificate)
    builder = _builder(
        subject.certificate.subject,
        subject.key,
        begin,
        min(root.not_valid_after_utc for root in roots),
        x509.BasicConstraints(True, None),
        key_usage(digital_signature=True, ca=True),
    )
    return _signed(builder, issuer).public_bytes(serialization.Encoding.DER)


def _certified(
    name: x509.Name,
    spec: KeySpec,
    issuer: Identity | None,
    now: dt.datetime,
    constraints: x509.BasicConstraints,
    usage: x509.KeyUsage,
    purpose: x509.ExtendedKeyUsage | None = None,
) -> Identity:
    """A new key and its certificate, by an issuer or by itself."""
    key = algorithms.load_signing_key(make_keys(spec, 1)[0])
    validity = ROOT_VALIDITY if constraints.ca else RA_VALIDITY
    builder = _builder(name, key, now - BACKDATE, now + validity, constraints, usage)
    if purpose is not None:
        builder = builder.add_extension(purpose, critical=False)
    if issuer is None:
        return Identity(key, sign(builder.issuer_name(name), key))
    return Identity(key, _signed(builder, issuer))


def _builder(
    name: x509.Name,
    key: SigningKey | AgreementKey | KemKey,
    begin: dt.datetime,
    end: dt.datetime,
    constraints: x509.BasicConstraints,
    usage: x509.KeyUsage,
) -> x509.CertificateBuilder:
    """What a certificate says of its subject."""
    public_key = key.public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .public_key(public_key)
        .serial_number(make_serial())
        .not_valid_before(begin)
        .not_valid_after(end)
        .add_extension(constraints, critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _signed(builder: x509.CertificateBuilder, issuer: Identity) -> x509.Certificate:
    authority = x509.AuthorityKeyIdentifier(issuer.key_identifier, None, None)
    builder = builder.issuer_name(issuer.certificate.subject)
    return sign(builder.add_extension(authority, critical=False), issuer.key)


def key_usage(
    *,
    digital_signature: bool,
    key_encipherment: bool = False,
    key_agreement: bool = False,
    ca: bool = False,
) -> x509.KeyUsage:
    """A keyUsage with these bits and no others; `ca` sets keyCertSign and cRLSign."""
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=key_encipherment,
        data_encipherment=False,
        key_agreement=key_agreement,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )
