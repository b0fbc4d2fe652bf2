"""Issuing: from what is asked for to a certificate that the CA's policy allows."""

import datetime as dt
from dataclasses import dataclass, field
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, mldsa, mlkem, rsa
from cryptography.hazmat.primitives.asymmetric.types import (
    CertificatePublicKeyTypes,
    PublicKeyTypes,
)
from cryptography.x509.oid import ExtensionOID

from bulkcmp.cmp.asn1 import content, decode_sequence_of, tag
from bulkcmp.cmp.messages import NULL_DN
from bulkcmp.cmp.trust import EXTENSION_ERRORS
from bulkcmp.errors import RemoteCmpError
from bulkcmp.model import Popo, RequestedExtension
from bulkcmp.testca.enrollment import Enrollment
from bulkcmp.testca.identity import BACKDATE, Identity, key_usage, make_serial, sign
from bulkcmp.testca.refusal import rejected

DEFAULT_VALIDITY: Final = dt.timedelta(days=365)
_MIN_RSA_BITS: Final = 2048
_MAX_RSA_BITS: Final = 16384
_BOOLEAN: Final = 0x01

_SAN: Final = ExtensionOID.SUBJECT_ALTERNATIVE_NAME
_KEY_USAGE: Final = ExtensionOID.KEY_USAGE
_BASIC_CONSTRAINTS: Final = ExtensionOID.BASIC_CONSTRAINTS

# certified as they are asked for
_HONOURED: Final = frozenset(
    oid.dotted_string
    for oid in (
        _SAN,
        _KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.CERTIFICATE_POLICIES,
        ExtensionOID.TLS_FEATURE,
    )
)
# the CA's own affair, whatever is asked for
_OWN: Final = frozenset(
    oid.dotted_string
    for oid in (
        _BASIC_CONSTRAINTS,
        ExtensionOID.SUBJECT_KEY_IDENTIFIER,
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
        ExtensionOID.CRL_DISTRIBUTION_POINTS,
    )
)

_SIGNING_KEYS: Final = (
    rsa.RSAPublicKey,
    ec.EllipticCurvePublicKey,
    ed25519.Ed25519PublicKey,
    ed448.Ed448PublicKey,
    mldsa.MLDSA44PublicKey,
    mldsa.MLDSA65PublicKey,
    mldsa.MLDSA87PublicKey,
)
_KEM_KEYS: Final = (mlkem.MLKEM768PublicKey, mlkem.MLKEM1024PublicKey)


def key_identifier(public_key: PublicKeyTypes) -> bytes:
    """The subject key identifier of a key that is certified here.

    Raises:
        RefusedError: it is not.
    """
    return x509.SubjectKeyIdentifier.from_public_key(_certifiable(public_key)).digest


@dataclass(frozen=True, slots=True)
class Issued:
    """A new certificate; `changed` if it is not in all exactly what was asked for."""

    serial: int
    der: bytes = field(repr=False)
    key_identifier: bytes
    changed: bool


class Issuer:
    """Issues under the CA's root.

    Args:
        crl_url: where the CRL is found, for the cRLDistributionPoints of each certificate; without
            it they have none.
    """

    def __init__(self, root: Identity, crl_url: str | None = None) -> None:
        self._key = root.key
        self._issuer = root.certificate.subject
        self._begin = root.certificate.not_valid_before_utc
        self._end = root.certificate.not_valid_after_utc
        self._authority = x509.AuthorityKeyIdentifier(root.key_identifier, None, None)
        self._end_entity = x509.BasicConstraints(ca=False, path_length=None)
        self._distribution = None if crl_url is None else _distribution_points(crl_url)
        self._signing = key_usage(digital_signature=True)
        self._signing_and_transport = key_usage(digital_signature=True, key_encipherment=True)
        self._signing_and_agreement = key_usage(digital_signature=True, key_agreement=True)
        # the one that a certificate of a KEM key may have (RFC 9935, 5)
        self._transport = key_usage(digital_signature=False, key_encipherment=True)

    def check(self, enrollment: Enrollment) -> None:
        """Check what does not depend on the time and the end entity.

        Raises:
            RefusedError: a key or an extension that is not certified here.
        """
        if enrollment.public_key is not None:
            _certifiable(enrollment.public_key)
        for extension in enrollment.extensions:
            _check_extension(extension)
        oids = [extension.oid for extension in enrollment.extensions]
        if len(oids) != len(set(oids)):
            raise rejected("badCertTemplate", "an extension is asked for twice")

    def issue(self, enrollment: Enrollment, subject: bytes | None, now: dt.datetime) -> Issued:
        """Make a certificate.

        Args:
            enrollment: what `check` found good, with a public key.
            subject: DER Name to certify; None where a subjectAltName names the end entity.
            now: the time, aware.

        Raises:
            RefusedError: the validity that is asked for is over, or empty.
        """
        assert enrollment.public_key is not None, "made, where there was none"
        public_key = _certifiable(enrollment.public_key)
        not_before, not_after, clamped = self._validity(enrollment, now)
        serial = make_serial()
        key_identifier = x509.SubjectKeyIdentifier.from_public_key(public_key)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name.from_bytes(subject or NULL_DN))
            .issuer_name(self._issuer)
            .public_key(public_key)
            .serial_number(serial)
            .not_valid_before(not_before)
            .not_valid_after(not_after)
            .add_extension(self._end_entity, critical=True)
            .add_extension(key_identifier, critical=False)
            .add_extension(self._authority, critical=False)
        )
        asked: set[str] = set()
        dropped = False
        for extension in enrollment.extensions:
            if extension.oid not in _HONOURED:
                dropped |= extension.oid not in _OWN
                continue
            asked.add(extension.oid)
            # RFC 5280, 4.2.1.6: without a subject the subjectAltName is critical
            critical = extension.critical or (
                subject is None and extension.oid == _SAN.dotted_string
            )
            builder = builder.add_extension(
                x509.UnrecognizedExtension(x509.ObjectIdentifier(extension.oid), extension.value),
                critical=critical,
            )
        if _KEY_USAGE.dotted_string not in asked:
            usage = self._usage(public_key)
            builder = builder.add_extension(usage, critical=True)
        if self._distribution is not None:
            builder = builder.add_extension(self._distribution, critical=False)
        certificate = sign(builder, self._key)
        if asked:
            self._check_certified(certificate, enrollment.popo)
        return Issued(
            serial,
            certificate.public_bytes(serialization.Encoding.DER),
            key_identifier.digest,
            clamped or dropped,
        )

    def _usage(self, public_key: CertificatePublicKeyTypes) -> x509.KeyUsage:
        """All that a key of its type is good for."""
        if isinstance(public_key, _KEM_KEYS):
            return self._transport
        if isinstance(public_key, rsa.RSAPublicKey):
            return self._signing_and_transport
        if isinstance(public_key, ec.EllipticCurvePublicKey):
            return self._signing_and_agreement
        return self._signing

    def _check_certified(self, certificate: x509.Certificate, popo: Popo) -> None:
        try:
            usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
        except EXTENSION_ERRORS as error:
            raise rejected("badCertTemplate", f"the extensions asked for: {error}") from error
        if usage.key_cert_sign or usage.crl_sign:
            raise rejected("unacceptedExtension", "CA certificates are not issued here")
        if isinstance(certificate.public_key(), _KEM_KEYS) and usage != self._transport:
            raise rejected("unacceptedExtension", "a KEM key is for keyEncipherment alone")
        allowed = {
            Popo.KEY_ENCIPHERMENT: usage.key_encipherment,
            Popo.KEY_AGREEMENT: usage.key_agreement,
        }
        if not allowed.get(popo, True):
            raise rejected("badPOP", f"proof by {popo}, and the keyUsage does not allow that")

    def _validity(
        self, enrollment: Enrollment, now: dt.datetime
    ) -> tuple[dt.datetime, dt.datetime, bool]:
        not_before = max(enrollment.not_before or now - BACKDATE, self._begin)
        not_after = min(enrollment.not_after or now + DEFAULT_VALIDITY, self._end)
        if not_after <= max(not_before, now):
            raise rejected("badCertTemplate", "the validity asked for is over or empty")
        clamped = (enrollment.not_before or not_before, enrollment.not_after or not_after) != (
            not_before,
            not_after,
        )
        return not_before, not_after, clamped


def _distribution_points(url: str) -> x509.CRLDistributionPoints:
    name = x509.UniformResourceIdentifier(url)
    return x509.CRLDistributionPoints([x509.DistributionPoint([name], None, None, None)])


def has_subject_alt_name(enrollment: Enrollment) -> bool:
    """Whether a subjectAltName is asked for."""
    return any(extension.oid == _SAN.dotted_string for extension in enrollment.extensions)


def _certifiable(key: PublicKeyTypes) -> CertificatePublicKeyTypes:
    if not isinstance(key, (*_SIGNING_KEYS, *_KEM_KEYS)):
        raise rejected("badCertTemplate", f"keys of type {type(key).__name__} are not certified")
    if isinstance(key, rsa.RSAPublicKey) and not _MIN_RSA_BITS <= key.key_size <= _MAX_RSA_BITS:
        raise rejected(
            "badCertTemplate",
            f"an RSA key of {key.key_size} bits, certified are {_MIN_RSA_BITS} to {_MAX_RSA_BITS}",
        )
    return key


def _check_extension(extension: RequestedExtension) -> None:
    if extension.oid not in _HONOURED | _OWN:
        if extension.critical:
            raise rejected("unacceptedExtension", f"critical extension {extension.oid}")
        return
    # an honoured extension is judged in the certificate, where `cryptography` parses it
    if extension.oid == _BASIC_CONSTRAINTS.dotted_string and _names_ca(extension.value):
        raise rejected("unacceptedExtension", "CA certificates are not issued here")


def _names_ca(value: bytes) -> bool:
    """Whether a DER BasicConstraints says cA TRUE, whose DEFAULT is FALSE (RFC 5280, 4.2.1.9)."""
    try:
        elements = decode_sequence_of(value)
    except RemoteCmpError as error:
        raise rejected("badCertTemplate", f"basicConstraints: {error.what}") from error
    return bool(elements) and tag(elements[0]) == _BOOLEAN and content(elements[0]) != b"\0"
