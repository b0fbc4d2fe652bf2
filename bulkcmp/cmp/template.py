"""What a CertReqMsg says of the certificate: CertTemplate, controls, regInfo (RFC 4211, 5 to 7)."""

import datetime as dt
from typing import Final

from cryptography import x509
from cryptography.x509.oid import ExtensionOID

from bulkcmp.cmp.asn1 import TLV, ObjectIdentifier, content, encode, explicit, tag, wrap
from bulkcmp.cmp.messages import (
    CONTROL_AUTHENTICATOR,
    CONTROL_OLD_CERT_ID,
    CONTROL_REG_TOKEN,
    DIRECTORY_NAME,
    NULL_DN,
    REG_INFO_UTF8_PAIRS,
)
from bulkcmp.errors import LocalCmpError
from bulkcmp.model import EndEntity, RequestedExtension

_SUBJECT_ALT_NAME: Final = ExtensionOID.SUBJECT_ALTERNATIVE_NAME.dotted_string
_TRUE: Final = b"\x01\x01\xff"
_UTF8_STRING: Final = 0x0C
_UTC_TIME: Final = 0x17
_GENERALIZED_TIME: Final = 0x18


def cert_template(
    entity: EndEntity, subject: bytes | None, public_key: bytes | None, now: float
) -> bytes:
    """DER CertTemplate.

    Args:
        subject: DER Name; None where the CA is to choose.
        public_key: DER SubjectPublicKeyInfo; None where the CA is to choose what key it makes.
        now: Unix time, seconds; the requested validity begins there unless the row says when.

    Raises:
        LocalCmpError: the validity is no date, or is empty.
    """
    return wrap(
        0x30,
        b"" if entity.issuer is None else explicit(3, entity.issuer),
        _validity(entity, now),
        # the NULL-DN where names stand in the subjectAltName only (RFC 9483, 4.1.1); the POPO's
        # signature over the template wants a subject in it (RFC 4211, 4.1)
        explicit(5, NULL_DN if subject is None else subject),
        # [6] IMPLICIT: the SEQUENCE's own tag gives way
        b"" if public_key is None else b"\xa6" + public_key[1:],
        template_extensions(entity.extensions, subject),
    )


def controls(entity: EndEntity, old: x509.Certificate | None) -> bytes:
    """DER Controls of a CertRequest; nothing where there are none.

    Args:
        old: the certificate to update, for oldCertID.
    """
    found = [
        wrap(0x30, encode(kind), wrap(_UTF8_STRING, secret.reveal()))
        for kind, secret in (
            (CONTROL_REG_TOKEN, entity.reg_token),
            (CONTROL_AUTHENTICATOR, entity.authenticator),
        )
        if secret is not None
    ]
    if old is not None:
        found.append(wrap(0x30, encode(CONTROL_OLD_CERT_ID), _cert_id(old)))
    return wrap(0x30, *found) if found else b""


def reg_info(entity: EndEntity) -> bytes:
    """DER regInfo of a CertReqMsg; nothing where there is none."""
    if entity.reg_info is None:
        return b""
    pairs = wrap(_UTF8_STRING, entity.reg_info.encode())
    return wrap(0x30, wrap(0x30, encode(REG_INFO_UTF8_PAIRS), pairs))


def _cert_id(certificate: x509.Certificate) -> bytes:
    """DER CertId (RFC 4211, 6.5)."""
    issuer = explicit(DIRECTORY_NAME, certificate.issuer.public_bytes())
    return wrap(0x30, issuer, encode(certificate.serial_number))


def _validity(entity: EndEntity, now: float) -> bytes:
    """DER OptionalValidity under its tag; nothing where the CA is to choose."""
    begin, end = entity.not_before, entity.not_after
    if end is None and entity.days is not None:
        begin = begin or dt.datetime.fromtimestamp(int(now), dt.UTC)
        try:
            end = begin + dt.timedelta(days=entity.days)
        except OverflowError as error:
            raise LocalCmpError(f"{entity.days} days from {begin:%Y-%m-%d} is no date") from error
    times = [
        explicit(number, time(instant))
        for number, instant in enumerate((begin, end))
        if instant is not None
    ]
    return wrap(0xA4, *times) if times else b""


def time(instant: dt.datetime) -> bytes:
    """DER Time: UTCTime from 1950 to 2049, else GeneralizedTime (RFC 5280, 4.1.2.5)."""
    instant = instant.astimezone(dt.UTC)
    if 1950 <= instant.year < 2050:
        return wrap(_UTC_TIME, instant.strftime("%y%m%d%H%M%SZ").encode())
    return wrap(_GENERALIZED_TIME, f"{instant.year:04}{instant:%m%d%H%M%S}Z".encode())


def time_of(element: TLV) -> dt.datetime:
    """The time of a DER Time (RFC 5280, 4.1), aware.

    Raises:
        ValueError: it is neither a UTCTime nor a GeneralizedTime of UTC.
    """
    form = {_UTC_TIME: "%y%m%d%H%M%S%z", _GENERALIZED_TIME: "%Y%m%d%H%M%S%z"}.get(tag(element))
    text = content(element).decode("ascii")
    if form is None or not text.endswith("Z"):
        raise ValueError("neither UTCTime nor GeneralizedTime")
    instant = dt.datetime.strptime(text, form)  # noqa: DTZ007 # both forms end in %z
    # two-digit years stand for 1950 to 2049 (RFC 5280, 4.1.2.5.1), strptime's for 1969 to 2068
    if tag(element) == _UTC_TIME and instant.year >= 2050:
        instant = instant.replace(year=instant.year - 100)
    return instant


def template_extensions(extensions: tuple[RequestedExtension, ...], subject: bytes | None) -> bytes:
    """DER Extensions under a CertTemplate's tag; nothing where there are none."""
    found = []
    for extension in extensions:
        # a subjectAltName is critical where the subject is empty (RFC 5280, 4.2.1.6)
        critical = extension.critical or (subject is None and extension.oid == _SUBJECT_ALT_NAME)
        found.append(
            wrap(
                0x30,
                encode(ObjectIdentifier(extension.oid)),
                _TRUE if critical else b"",
                wrap(0x04, extension.value),
            )
        )
    return wrap(0xA9, *found) if found else b""
