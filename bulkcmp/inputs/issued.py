"""What a CA says that it issued: a list that it, or its database, exported.

A list is a CSV file, or a file of certificates. Columns are known by several names: those of
`bulkcmp ca issued`, and those of EJBCA's table CertificateData.
"""

import base64
import binascii
import datetime as dt
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Final, TypeVar

from cryptography import x509

from bulkcmp.cmp.algorithms import key_digest
from bulkcmp.errors import InputError, Where
from bulkcmp.inputs.credential import read_certificates
from bulkcmp.inputs.csv import CsvSource
from bulkcmp.inputs.file import unreadable
from bulkcmp.inputs.material import PREFIX, Inline
from bulkcmp.inputs.name import parse_name
from bulkcmp.inputs.source import Place
from bulkcmp.model import RevocationReason

T = TypeVar("T")


class Standing(Enum):
    """What a CA says of a certificate.

    ARCHIVED: it is over, and whether it was revoked is not said.
    """

    VALID = "valid"
    UNCONFIRMED = "unconfirmed"
    REVOKED = "revoked"
    ARCHIVED = "archived"
    UNTOLD = "untold"


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate in a CA's list.

    Attributes:
        subject, issuer: DER Names; None where the list does not tell them, or as none that can be
            read.
        key: digest of the public key, as `cmp.algorithms.key_digest` makes it.
        issued_at: or, where that is not told, when its validity begins.
        certificate: DER.
    """

    place: Place
    serial: int
    subject: bytes | None = None
    issuer: bytes | None = None
    user: str = ""
    transaction_id: bytes | None = None
    key: bytes | None = None
    standing: Standing = Standing.UNTOLD
    reason: RevocationReason | None = None
    issued_at: dt.datetime | None = None
    revoked_at: dt.datetime | None = None
    not_after: dt.datetime | None = None
    certificate: bytes | None = field(default=None, repr=False)


_STANDINGS: Final = {
    # of bulkcmp's embedded CA, and in plain words
    "pending confirmation": Standing.UNCONFIRMED,
    "unconfirmed": Standing.UNCONFIRMED,
    "confirmed": Standing.VALID,
    "valid": Standing.VALID,
    "active": Standing.VALID,
    "good": Standing.VALID,
    "issued": Standing.VALID,
    "rejected": Standing.REVOKED,
    "revoked": Standing.REVOKED,
    "on hold": Standing.REVOKED,
    "expired": Standing.ARCHIVED,
    "archived": Standing.ARCHIVED,
    # EJBCA, CertificateConstants
    "10": Standing.UNCONFIRMED,
    "20": Standing.VALID,
    "21": Standing.VALID,
    "30": Standing.REVOKED,
    "40": Standing.REVOKED,
    "60": Standing.ARCHIVED,
}
_SERIAL: Final = ("serial", "serial_number")
_DECIMAL_SERIAL: Final = "serialnumber"
_CERTIFICATE: Final = ("certificate", "cert", "base64cert")
_SUBJECT: Final = ("subject", "subjectdn")
_ISSUER: Final = ("issuer", "issuerdn")
_USER: Final = ("user", "username")
_STATUS: Final = ("status",)
_REASON: Final = ("reason", "revocationreason")
_ISSUED_AT: Final = ("issued_at", "notbefore", "not_before")
_REVOKED_AT: Final = ("revoked_at", "revocationdate")
_NOT_AFTER: Final = ("not_after", "notafter", "expiredate")
_TRANSACTION: Final = ("transaction_id",)
_KEY: Final = ("key_identifier", "subjectkeyid")

_NULL: Final = "NULL"
"""As databases export what there is not."""

_HEAD: Final = 64

_HEX: Final = re.compile(r"(?:0x)?([0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2})+|[0-9A-Fa-f]+)")
_MILLISECONDS: Final = 1000


@dataclass(frozen=True, slots=True)
class Told:
    """Which of the things that certificates are matched by a list has a column for."""

    keys: bool
    transactions: bool
    certificates: bool
    standings: bool

    @classmethod
    def by(cls, columns: Iterable[str], where: Where) -> "Told":
        """
        Args:
            columns: names of a list's columns, in lower case.
            where: the list, for an error.

        Raises:
            InputError: there is neither a serial number nor a certificate.
        """
        known = frozenset(columns)
        certificates = not known.isdisjoint(_CERTIFICATE)
        if not certificates and known.isdisjoint((*_SERIAL, _DECIMAL_SERIAL)):
            raise InputError(
                "a list of certificates needs a column serial (hexadecimal), serialNumber (decimal,"
                " as in EJBCA's table), or certificate (base64 or PEM)",
                where=where,
                hint=f"its columns are: {', '.join(sorted(known)) or 'none'}",
            )
        return cls(
            certificates or not known.isdisjoint(_KEY),
            not known.isdisjoint(_TRANSACTION),
            certificates,
            not known.isdisjoint(_STATUS),
        )


class IssuedList:
    """A list of certificates in a file; it can be streamed several times.

    Args:
        path: of CSV, as `CsvSource` reads it; or of certificates, in PEM or DER.

    Attributes:
        told: what its columns are good for.
        written_at: when it was written last, aware: it can't know of anything later.

    Raises:
        InputError: the file can't be read, or is no such list.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open("rb") as file:
                head = file.read(_HEAD)
            written_at = path.stat().st_mtime
        except (OSError, ValueError) as error:
            raise unreadable(path, error) from None
        self.written_at = dt.datetime.fromtimestamp(written_at, dt.UTC)
        self._table = None
        if not head.startswith(b"\x30") and b"-----BEGIN" not in head.split(b"\n")[0]:
            self._table = CsvSource(path, is_foreign=True, may_be_empty=True)
        columns = (_CERTIFICATE[0],) if self._table is None else self._table.attributes
        self.told = Told.by(columns, Where(str(path)))

    def __iter__(self) -> Iterator[Issued]:
        """The certificates, one by one.

        What the certificate itself says, where the list has it, stands for what other columns say.

        Raises:
            InputError: a line can't be read; nothing is passed over in silence.
        """
        if self._table is None:
            for number, der in enumerate(read_certificates(self.path), 1):
                place = Place(str(self.path), None, number)
                yield _certified(Issued(place, 0, certificate=der), der)
            return
        for record in self._table.records():
            if record.problems:
                raise record.problems[0]
            texts = {name: cell.strip() for name, (cell,) in record.values.items()}
            values = {name: text for name, text in texts.items() if text not in ("", _NULL)}
            yield _issued(record.place, values)


def _issued(place: Place, values: Mapping[str, str]) -> Issued:
    def read(names: Iterable[str], parse: Callable[[str], T], default: T) -> T:
        for name in names:
            if name in values:
                try:
                    return parse(values[name])
                except InputError as error:
                    raise InputError(error.what, where=place.where(name), hint=error.hint) from None
        return default

    serial = read(_SERIAL, _hexadecimal, read((_DECIMAL_SERIAL,), _decimal, -1))
    revoked_at = read(_REVOKED_AT, _time, None)
    reason = read(_REASON, _reason, None)
    found = Issued(
        place,
        serial,
        read(_SUBJECT, _name, None),
        read(_ISSUER, _name, None),
        read(_USER, str, ""),
        read(_TRANSACTION, _octets, None),
        read(_KEY, _key_identifier, None),
        read(_STATUS, _standing, Standing.UNTOLD),
        reason,
        read(_ISSUED_AT, _time, None),
        revoked_at,
        read(_NOT_AFTER, _time, None),
        read(_CERTIFICATE, _certificate, None),
    )
    if found.standing is Standing.ARCHIVED and reason is not None:
        found = replace(found, standing=Standing.REVOKED)
    if found.certificate is not None:
        return _certified(found, found.certificate)
    if serial < 0:
        raise InputError("neither a serial number nor a certificate", where=place.where())
    return found


def _certified(found: Issued, der: bytes) -> Issued:
    """The same, by what the certificate says."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        return replace(
            found,
            serial=certificate.serial_number,
            subject=certificate.subject.public_bytes(),
            issuer=certificate.issuer.public_bytes(),
            key=key_digest(certificate.public_key()),
            issued_at=found.issued_at or certificate.not_valid_before_utc,
            not_after=certificate.not_valid_after_utc,
        )
    except Exception as error:
        # a key type or a name that cryptography can't read raises whatever it likes
        raise InputError(
            f"the certificate can't be read: {error}", where=found.place.where()
        ) from error


def _hexadecimal(text: str) -> int:
    match = _HEX.fullmatch(text)
    if match is None:
        raise InputError(f"{text!r} is not a serial number in hexadecimal")
    return int(match[1].replace(":", ""), 16)


def _decimal(text: str) -> int:
    # Python reads no number of more digits, and no serial number has them
    if not re.fullmatch(r"[0-9]{1,100}", text):
        raise InputError(
            f"{text!r} is not a serial number in decimal",
            hint="name the column serial where it is hexadecimal",
        )
    return int(text)


def _name(text: str) -> bytes | None:
    try:
        return parse_name(text)
    except InputError:
        # a CA writes names as it likes; who they are is told by serial number and key
        return None


def _octets(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise InputError(f"{text!r} is not hexadecimal") from None


def _key_identifier(text: str) -> bytes:
    """Hexadecimal, or base64 as in EJBCA's table."""
    return _octets(text) if re.fullmatch("[0-9A-Fa-f]{40}", text) else _base64(text)


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (ValueError, binascii.Error):
        raise InputError("not base64") from None


def _certificate(text: str) -> bytes:
    data = text.encode()
    if not data.lstrip().startswith(b"-----BEGIN"):
        data = _base64(text.removeprefix(PREFIX))
    return read_certificates(Inline(data))[0]


def _standing(text: str) -> Standing:
    found = _STANDINGS.get(text.strip().lower().replace("_", " "))
    if found is None:
        raise InputError(
            f"unknown status {text!r}", hint=f"one of {', '.join(_STANDINGS)}; numbers are EJBCA's"
        )
    return found


def _reason(text: str) -> RevocationReason | None:
    """A reason by its name, or by its number (RFC 5280, 5.3.1); EJBCA writes -1 for none."""
    plain = text.strip()
    if plain == "-1":
        return None
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", plain).replace(" ", "_").upper()
    for one in RevocationReason:
        if plain == str(one.value) or one.name.replace("_", "") == name.replace("_", ""):
            return one
    raise InputError(f"unknown reason {text!r}")


def _time(text: str) -> dt.datetime | None:
    """ISO 8601 (UTC where there is no zone), or milliseconds since 1970 as in EJBCA's table."""
    plain = text.strip()
    try:
        if re.fullmatch(r"-?[0-9]{1,15}", plain):
            since = int(plain)
            return dt.datetime.fromtimestamp(since / _MILLISECONDS, dt.UTC) if since > 0 else None
        found = dt.datetime.fromisoformat(plain)
    except (ValueError, OverflowError, OSError):
        raise InputError(
            f"{text!r} is not a time", hint="ISO 8601, or milliseconds since 1970"
        ) from None
    return found if found.tzinfo is not None else found.replace(tzinfo=dt.UTC)
