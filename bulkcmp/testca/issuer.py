"""Issuing: from what is asked for to a certificate that the CA's policy allows."""

import datetime as dt
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, mldsa, mlkem, rsa
from cryptography.hazmat.primitives.asymmetric.types import (
    CertificatePublicKeyTypes,
    PublicKeyTypes,
)
from cryptography.x509.oid import ExtensionOID

from bulkcmp.cmp import algorithms
from bulkcmp.cmp.asn1 import (
    ObjectIdentifier,
    content,
    decode,
    decode_sequence_of,
    encode,
    explicit,
    tag,
    wrap,
)
from bulkcmp.cmp.messages import NULL_DN, Extension, SubjectPublicKeyInfo
from bulkcmp.cmp.template import time
from bulkcmp.cmp.trust import EXTENSION_ERRORS
from bulkcmp.errors import RemoteCmpError
from bulkcmp.model import Popo, RequestedExtension
from bulkcmp.testca.enrollment import V3, Enrollment
from bulkcmp.testca.identity import BACKDATE, Identity, digest_for, key_usage, make_serial
from bulkcmp.testca.refusal import rejected

DEFAULT_VALIDITY: Final = dt.timedelta(days=365)
_MIN_RSA_BITS: Final = 2048
_MAX_RSA_BITS: Final = 16384
_BOOLEAN: Final = 0x01
_V3: Final = explicit(0, encode(V3))

_SAN: Final = ExtensionOID.SUBJECT_ALTERNATIVE_NAME.dotted_string
_KEY_USAGE: Final = ExtensionOID.KEY_USAGE.dotted_string
_BASIC_CONSTRAINTS: Final = ExtensionOID.BASIC_CONSTRAINTS.dotted_string
_KEY_IDENTIFIER: Final = ExtensionOID.SUBJECT_KEY_IDENTIFIER.dotted_string

# certified as they are asked for
_HONOURED: Final = frozenset(
    (
        _SAN,
        _KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE.dotted_string,
        ExtensionOID.CERTIFICATE_POLICIES.dotted_string,
        ExtensionOID.TLS_FEATURE.dotted_string,
    )
)
# the CA's own affair, whatever is asked for
_OWN: Final = frozenset(
    (
        _BASIC_CONSTRAINTS,
        _KEY_IDENTIFIER,
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER.dotted_string,
        ExtensionOID.CRL_DISTRIBUTION_POINTS.dotted_string,
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
    return _identifier_of(algorithms.public_bytes(_certifiable(public_key)))


def _identifier_of(key_info: bytes) -> bytes:
    """SHA-1 of the key in a SubjectPublicKeyInfo (RFC 5280, 4.2.1.2)."""
    key = decode(SubjectPublicKeyInfo, key_info).subjectPublicKey.as_bytes()
    return hashlib.sha1(key, usedforsecurity=False).digest()


# Extension ::= SEQUENCE { extnID OBJECT IDENTIFIER, critical BOOLEAN DEFAULT FALSE,
#     extnValue OCTET STRING }
def _extension(oid: str, value: bytes, *, critical: bool = False) -> bytes:
    return encode(Extension(extnID=ObjectIdentifier(oid), critical=critical, extnValue=value))


def _encoded(extension: x509.ExtensionType, *, critical: bool = False) -> bytes:
    return _extension(extension.oid.dotted_string, extension.public_bytes(), critical=critical)


_END_ENTITY: Final = _encoded(x509.BasicConstraints(ca=False, path_length=None), critical=True)

_KEM_USAGE: Final = key_usage(digital_signature=False, key_encipherment=True)
"""The one that a certificate of a KEM key may have (RFC 9935, 5)."""
_USAGES: Final = (
    (ec.EllipticCurvePublicKey, key_usage(digital_signature=True, key_agreement=True)),
    (rsa.RSAPublicKey, key_usage(digital_signature=True, key_encipherment=True)),
    (_KEM_KEYS, _KEM_USAGE),
    (_SIGNING_KEYS, key_usage(digital_signature=True)),
)
_KEY_USAGES: Final = tuple((kind, _encoded(usage, critical=True)) for kind, usage in _USAGES)


def _key_usage_for(public_key: CertificatePublicKeyTypes) -> bytes:
    """The extension with all that a key of its type is good for."""
    return next(usage for kind, usage in _KEY_USAGES if isinstance(public_key, kind))


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
        self._digest = digest_for(root.key)
        self._signature = algorithms.signature_identifier(root.key, self._digest)
        self._issuer = root.name
        self._begin = root.certificate.not_valid_before_utc
        self._end = root.certificate.not_valid_after_utc
        self._authority = _encoded(x509.AuthorityKeyIdentifier(root.key_identifier, None, None))
        self._distribution = b"" if crl_url is None else _encoded(_distribution_points(crl_url))

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
        key_info = algorithms.public_bytes(public_key)
        key_identifier = _identifier_of(key_info)
        honoured = [one for one in enrollment.extensions if one.oid in _HONOURED]
        extensions = (
            _END_ENTITY,
            _extension(_KEY_IDENTIFIER, encode(key_identifier)),
            self._authority,
            # RFC 5280, 4.2.1.6: without a subject the subjectAltName is critical
            *(
                _extension(
                    one.oid,
                    one.value,
                    critical=one.critical or (subject is None and one.oid == _SAN),
                )
                for one in honoured
            ),
            b"" if _has(_KEY_USAGE, honoured) else _key_usage_for(public_key),
            self._distribution,
        )
        # TBSCertificate ::= SEQUENCE {
        #     version         [0] EXPLICIT Version DEFAULT v1,
        #     serialNumber        CertificateSerialNumber,
        #     signature           AlgorithmIdentifier,
        #     issuer              Name,
        #     validity            Validity,     -- SEQUENCE { notBefore Time, notAfter Time }
        #     subject             Name,
        #     subjectPublicKeyInfo SubjectPublicKeyInfo,
        #     extensions      [3] EXPLICIT Extensions OPTIONAL }   -- SEQUENCE OF Extension
        tbs_certificate = wrap(
            0x30,
            _V3,
            encode(serial),
            self._signature,
            self._issuer,
            wrap(0x30, time(not_before), time(not_after)),
            subject or NULL_DN,
            key_info,
            explicit(3, wrap(0x30, *extensions)),
        )
        signature = algorithms.sign(self._key, self._digest, tbs_certificate)
        der = wrap(0x30, tbs_certificate, self._signature, wrap(0x03, b"\0", signature))
        if honoured:
            _check_certified(x509.load_der_x509_certificate(der), enrollment.popo)
        dropped = any(one.oid not in _HONOURED | _OWN for one in enrollment.extensions)
        return Issued(serial, der, key_identifier, clamped or dropped)

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


def _check_certified(certificate: x509.Certificate, popo: Popo) -> None:
    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except EXTENSION_ERRORS as error:
        raise rejected("badCertTemplate", f"the extensions asked for: {error}") from error
    if usage.key_cert_sign or usage.crl_sign:
        raise rejected("unacceptedExtension", "CA certificates are not issued here")
    if isinstance(certificate.public_key(), _KEM_KEYS) and usage != _KEM_USAGE:
        raise rejected("unacceptedExtension", "a KEM key is for keyEncipherment alone")
    allowed = {
        Popo.KEY_ENCIPHERMENT: usage.key_encipherment,
        Popo.KEY_AGREEMENT: usage.key_agreement,
    }
    if not allowed.get(popo, True):
        raise rejected("badPOP", f"proof by {popo}, and the keyUsage does not allow that")


def _distribution_points(url: str) -> x509.CRLDistributionPoints:
    name = x509.UniformResourceIdentifier(url)
    return x509.CRLDistributionPoints([x509.DistributionPoint([name], None, None, None)])


def has_subject_alt_name(enrollment: Enrollment) -> bool:
    """Whether a subjectAltName is asked for."""
    return _has(_SAN, enrollment.extensions)


def _has(oid: str, extensions: Iterable[RequestedExtension]) -> bool:
    return any(extension.oid == oid for extension in extensions)


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
    if extension.oid == _BASIC_CONSTRAINTS and _names_ca(extension.value):
        raise rejected("unacceptedExtension", "CA certificates are not issued here")


def _names_ca(value: bytes) -> bool:
    """Whether a DER BasicConstraints says cA TRUE, whose DEFAULT is FALSE (RFC 5280, 4.2.1.9)."""
    try:
        elements = decode_sequence_of(value)
    except RemoteCmpError as error:
        raise rejected("badCertTemplate", f"basicConstraints: {error.what}") from error
    return bool(elements) and tag(elements[0]) == _BOOLEAN and content(elements[0]) != b"\0"
