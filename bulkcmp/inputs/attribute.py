"""What certificates, requests and names say, as attributes of a source's record.

Names of attributes are in lower case, and parts of them are joined by dots: `cert.subject.cn`.
"""

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from bulkcmp.cmp.trust import EXTENSION_ERRORS
from bulkcmp.errors import InputError
from bulkcmp.inputs.credential import certified_subject, requested_subject
from bulkcmp.inputs.material import inline
from bulkcmp.inputs.name import TYPES, format_name, name_values, parse_name
from bulkcmp.inputs.san import SUBJECT_ALT_NAME, TEXT_KINDS, format_sans, san_values
from bulkcmp.model import RequestedExtension

Values = dict[str, tuple[str, ...]]
"""The texts of each attribute that has any."""

_CERT: Final = "cert"
_CSR: Final = "csr"


def dn_attributes(prefix: str) -> tuple[str, ...]:
    """Names of all attributes that a DN may give: `PREFIX.cn` and so on."""
    return tuple(f"{prefix}.{name.lower()}" for name in TYPES)


def _named(prefix: str, *others: str) -> tuple[str, ...]:
    sans = (f"{prefix}.san.{kind}" for kind in TEXT_KINDS)
    own = (f"{prefix}.{other}" for other in ("subject", "sans", *others))
    return (prefix, *own, *dn_attributes(f"{prefix}.subject"), *sans)


CERTIFICATE_ATTRIBUTES: Final = _named(
    _CERT, "issuer", "serial", "not_before", "not_after", "sha256"
)
"""Names of all attributes that certificates may give."""

REQUEST_ATTRIBUTES: Final = _named(_CSR)
"""Names of all attributes that a request may give."""


class _Certified(NamedTuple):
    not_before: dt.datetime
    texts: dict[str, str]
    names: Values


def certificate_values(certificates: Iterable[bytes]) -> Values:
    """The attributes of certificates of one end entity.

    `cert` is the certificate itself, as a cell may have it; `cert.subject` and `cert.issuer` are
    RFC 4514, `cert.serial` is hexadecimal after `0x`, `cert.not_before` and `cert.not_after` are
    ISO 8601 in UTC, `cert.sans` is as `--sans` takes it, `cert.sha256` the fingerprint in hex. Each
    has one value for each certificate, in the same order: the one that began last comes first,
    since what a directory holds of a user has no order. `cert.subject.TYPE` (`cert.subject.cn`)
    and `cert.san.KIND` (`cert.san.dns`) are of the first one only.

    Args:
        certificates: DER.

    Raises:
        InputError: one is damaged, or can't be read.
    """
    read = sorted(map(_certified, certificates), key=lambda one: one.not_before, reverse=True)
    if not read:
        return {}
    columns = {name: tuple(one.texts[name] for one in read) for name in read[0].texts}
    return {name: texts for name, texts in columns.items() if any(texts)} | read[0].names


def _certified(der: bytes) -> _Certified:
    subject = certified_subject(der)
    try:
        certificate = x509.load_der_x509_certificate(der)
        san = _san(certificate)
        texts = {
            _CERT: inline(der),
            f"{_CERT}.subject": format_name(subject),
            f"{_CERT}.issuer": format_name(certificate.issuer.public_bytes()),
            f"{_CERT}.serial": hex(certificate.serial_number),
            f"{_CERT}.not_before": _time(certificate.not_valid_before_utc),
            f"{_CERT}.not_after": _time(certificate.not_valid_after_utc),
            f"{_CERT}.sans": "" if san is None else format_sans(san),
            f"{_CERT}.sha256": certificate.fingerprint(hashes.SHA256()).hex(),
        }
        names = _names(_CERT, subject, san)
    except EXTENSION_ERRORS as error:
        raise InputError(f"the certificate is damaged: {error}") from None
    return _Certified(certificate.not_valid_before_utc, texts, names)


def request_values(der: bytes) -> Values:
    """The attributes of a PKCS#10 request whose signature was checked.

    `csr` is the request itself, as a cell may have it; `csr.subject`, `csr.sans`,
    `csr.subject.TYPE` and `csr.san.KIND` as those of certificates.

    Raises:
        InputError: its extensions can't be read.
    """
    subject = requested_subject(der)
    try:
        san = _san(x509.load_der_x509_csr(der))
        sans = "" if san is None else format_sans(san)
        texts = {_CSR: inline(der), f"{_CSR}.subject": format_name(subject), f"{_CSR}.sans": sans}
        names = _names(_CSR, subject, san)
    except EXTENSION_ERRORS as error:
        raise InputError(f"the request is damaged: {error}") from None
    return {name: (text,) for name, text in texts.items() if text} | names


def dn_values(prefix: str, text: str) -> Values:
    """The values of a DN that is written as in RFC 4514, by `PREFIX.TYPE`.

    None where the DN can't be taken apart, or has an attribute type of a directory's own.
    """
    try:
        return _under(prefix, name_values(parse_name(text)))
    except InputError:
        return {}


def _names(prefix: str, subject: bytes, san: RequestedExtension | None) -> Values:
    sans = {} if san is None else san_values(san)
    return _under(f"{prefix}.subject", name_values(subject)) | _under(f"{prefix}.san", sans)


def _under(prefix: str, values: Mapping[str, tuple[str, ...]]) -> Values:
    return {f"{prefix}.{name}": texts for name, texts in values.items()}


def _san(source: x509.Certificate | x509.CertificateSigningRequest) -> RequestedExtension | None:
    for one in source.extensions:
        if one.oid.dotted_string == SUBJECT_ALT_NAME:
            return RequestedExtension(SUBJECT_ALT_NAME, one.critical, one.value.public_bytes())
    return None


def _time(moment: dt.datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
