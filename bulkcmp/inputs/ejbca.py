"""What EJBCA tells of its end entities: listings of `ejbca.sh ra`, and tables of its database.

The formats are those of EJBCA CE 8 (ListEndEntitiesCommand, FindEndEntityCommand; the tables
UserData and CertificateData). Its DNs have commas as RFC 4514 has, but stand in the order of the
DER; its SN is the serialNumber.
"""

import base64
import binascii
import codecs
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Final

from bulkcmp.errors import InputError
from bulkcmp.inputs.attribute import (
    CERTIFICATE_ATTRIBUTES,
    REQUEST_ATTRIBUTES,
    Values,
    certificate_values,
    request_values,
)
from bulkcmp.inputs.credential import read_csr
from bulkcmp.inputs.csv import CsvSource
from bulkcmp.inputs.entry import escape
from bulkcmp.inputs.file import unreadable
from bulkcmp.inputs.material import Inline
from bulkcmp.inputs.name import escaper, format_slash_name, parse_name
from bulkcmp.inputs.source import FileSource, Place, Record

_LINE_LIMIT: Final = 64 * 1024
"""Octets; a line that is longer is none of a listing."""

_LISTED: Final = b"End Entity: "
_FOUND: Final = b"Username: "

_LOG: Final = re.compile(
    r"\d{4}-\d\d-\d\d[ T][\d:.,]+Z? +(?:\[[^]]*\] *|\([^)]*\) *|[A-Z]+ +|\S+ - )*"
)
"""What Log4j may put before a line."""

_LISTING: Final = re.compile(
    # a DN has its quotes escaped; so nothing in either name can be taken for the end of the DN, and
    # there is one way to read a line, however long it is
    r"End Entity: (?P<username>(?:(?!, \").)+), \"(?P<subjectdn>(?:[^\"\\]|\\.)*)\","
    r" \"(?P<subjectaltname>.*)\","
    r" (?P<subjectemail>[^\",]*), (?P<status>\d+), (?P<type>[0-9A-Fa-f]+), (?P<tokentype>-?\d+)"
    r"(?:, -?\d+)?"
)

_FIELD: Final = re.compile(r"([A-Z][A-Za-z -]*): (.*)", re.DOTALL)
_FIELDS: Final = {
    "Username": "username",
    "Password": "password",
    "DN": "subjectdn",
    "Alt Name": "subjectaltname",
    "E-Mail": "subjectemail",
    "Status": "status",
    "Type": "type",
    "Token Type": "tokentype",
    "End Entity Profile ID": "endentityprofileid",
    "Certificate Profile ID": "certificateprofileid",
}
_HIDDEN: Final = "<hidden>"

_NO_TEXT: Final = re.compile("[\0\ud800-\udfff]")
"""What is left of octets that can't be decoded."""

_CSR_BEGIN: Final = "-----BEGIN CERTIFICATE REQUEST-----"
_CSR_END: Final = "-----END CERTIFICATE REQUEST-----"
_CSR_LINES: Final = 4096
"""Of a request; one that is longer is cut off, and so a bad one."""

_NOTHING: Final = ("", "null", "NULL", "\\N")
"""How a value that is none is written: by Java, and by clients of databases."""

_USER_STATES: Final = {
    "10": "new",
    "11": "failed",
    "20": "initialized",
    "30": "in process",
    "40": "generated",
    "50": "revoked",
    "60": "historical",
    "70": "key recovery",
    "80": "waiting for approval",
}
_CERTIFICATE_STATES: Final = {
    "-1": "unassigned",
    "0": "inactive",
    "10": "rollover pending",
    "20": "active",
    "21": "active",
    "30": "temporarily revoked",
    "40": "revoked",
    "60": "archived",
}
"""21: the user was told that it expires."""

_CERTIFICATE: Final = "base64cert"
_OWN: Final = ("subject", "sans", "state")

_TYPES: Final = {
    "sn": "serialNumber",
    "dn": "dnQualifier",
    "t": "title",
    "jurisdictioncountry": "jurisdictionC",
    "jurisdictionstate": "jurisdictionST",
    "jurisdictionlocality": "jurisdictionL",
}
"""Attribute types that have another name elsewhere; SN is the surname of RFC 4519."""

_NAMES: Final = {
    "rfc822name": "email",
    "email": "email",
    "emailaddress": "email",
    "e": "email",
    "dnsname": "dns",
    "ipaddress": "ip",
    "uniformresourceid": "uri",
    "uniformresourceidentifier": "uri",
    "uri": "uri",
    "upn": "upn",
    "registeredid": "rid",
}
_DIRECTORY_NAME: Final = "directoryname"

_PART: Final = re.compile(r"(?:\\.|[^\\,]|\\$)+", re.DOTALL)
_ATTRIBUTE: Final = re.compile(r"(?:\\.|[^\\+]|\\$)+", re.DOTALL)
"""Of an RDN with several, which EJBCA has since 7.0; before, it put `\\` before every plus."""
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)


def looks_like_listing(head: bytes) -> bool:
    """Whether octets are the first of what `ejbca.sh ra` prints of end entities."""
    lines = head.splitlines()
    return any(_LISTED in line for line in lines) or (
        any(_FOUND in line for line in lines) and any(b'DN: "' in line for line in lines)
    )


def looks_like_table(head: bytes) -> bool:
    """Whether octets are the first of a CSV of the table UserData or CertificateData."""
    is_utf16 = head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    text = head.decode("utf-16" if is_utf16 else "utf-8-sig", "replace")
    first = next((line for line in text.splitlines() if line.strip()), "")
    names = {name.strip(' "').lower() for name in re.split(r"[,;\t|]", first)}
    return names >= {"username", "subjectdn"}


class ListingSource(FileSource):
    """What `ejbca.sh ra listendentities` or `findendentity` printed: a record for each end entity.

    Other lines, which the program prints of itself, are passed over.
    """

    attributes = (
        *_FIELDS.values(), *_OWN, *(name for name in REQUEST_ATTRIBUTES if name not in _OWN)
    )  # fmt: skip

    def records(self) -> Iterator[Record]:
        """The end entities in the order of the file.

        Raises:
            InputError: the file can't be read.
        """
        for number, (line, fields) in enumerate(self._entities(), 1):
            yield self._record(line, number, fields)

    def _entities(self) -> Iterator[tuple[int, Mapping[str, str] | None]]:
        """The fields of each, with the line on which it begins; none of one that can't be read."""
        found: tuple[int, dict[str, str]] | None = None
        request: list[str] = []
        for line, text in enumerate(self._lines(), 1):
            field = _FIELD.fullmatch(text)
            is_listed = text.startswith(_LISTED.decode())
            is_found = field is not None and field[1] == "Username"
            if found is not None and (is_listed or is_found):
                yield _with_request(*found, request)
                found = None
            if is_listed:
                listed = _LISTING.fullmatch(text)
                yield line, listed.groupdict() if listed else None
            elif field is not None and is_found:
                found, request = (line, {"username": field[2]}), []
            elif found is None:
                continue
            elif text == _CSR_BEGIN or (request and request[-1] != _CSR_END):
                # one that is cut off ends where the next end entity begins
                request.append(text)
                del request[_CSR_LINES:]
            elif field is not None and field[1] in _FIELDS:
                found[1][_FIELDS[field[1]]] = field[2].removeprefix('"').removesuffix('"')
        if found is not None:
            yield _with_request(*found, request)

    def _record(self, line: int, number: int, fields: Mapping[str, str] | None) -> Record:
        place = Place(self.name, line, number)
        if fields is None:
            problem = InputError(
                "not a line of `ejbca.sh ra listendentities`",
                where=place.where(),
                hint='End Entity: NAME, "DN", "SUBJECTALTNAME", EMAIL, STATUS, TYPE, TOKEN',
            )
            return Record(place, {}, (problem,))
        damaged = next((name for name, text in fields.items() if _NO_TEXT.search(text)), None)
        if damaged is not None:
            what, hint = "octets that are no text of UTF-8", "save the file as UTF-8"
            return Record(place, {}, (InputError(what, where=place.where(damaged), hint=hint),))
        return _described(Record(place, {name: (text,) for name, text in fields.items()}))

    def _lines(self) -> Iterator[str]:
        try:
            with self.path.open("rb") as file:
                while octets := file.readline(_LINE_LIMIT):
                    text = octets.decode("utf-8-sig", "surrogateescape").rstrip("\r\n")
                    yield text[found.end() :] if (found := _LOG.match(text)) else text
        except (OSError, ValueError) as error:
            raise unreadable(self.path, error) from None


def _with_request(
    line: int, fields: Mapping[str, str], request: Sequence[str]
) -> tuple[int, Mapping[str, str]]:
    return line, {**fields, "csr": "\n".join(request)} if request else fields


class TableSource(CsvSource):
    """A CSV of the table UserData or CertificateData, as a query gives it."""

    def __init__(self, path: Path, encoding: str | None = None) -> None:
        super().__init__(path, is_foreign=True, encoding=encoding)

    @cached_property
    def attributes(self) -> tuple[str, ...]:
        """Names of the columns, and of what is made of them.

        Raises:
            InputError: the file can't be read, has no rows, or has a wrong header.
        """
        columns = super().attributes
        certified = CERTIFICATE_ATTRIBUTES if _CERTIFICATE in columns else ()
        return (*columns, *(name for name in (*_OWN, *certified) if name not in columns))

    def records(self) -> Iterator[Record]:
        """The rows in the order of the file.

        Raises:
            InputError: the file can't be read, has no rows, or has a wrong header.
        """
        states = _CERTIFICATE_STATES if self._is_of_certificates else _USER_STATES
        for record in super().records():
            yield _described(record, states)

    @property
    def _is_of_certificates(self) -> bool:
        columns = super().attributes
        return not {"fingerprint", "issuerdn", _CERTIFICATE}.isdisjoint(columns)


def _described(record: Record, states: Mapping[str, str] = _USER_STATES) -> Record:
    """A record with what its fields mean beside them: `subject` and `sans` as columns take them,
    `state` in words, and what its certificate or request says."""
    given = {
        name: texts
        for name, texts in record.values.items()
        if texts[0] not in _NOTHING and (name, texts[0]) != ("password", _HIDDEN)
    }
    fields = {name: texts[0] for name, texts in given.items()}
    made: Values = {}
    problems = list(record.problems)
    for name, make in (
        ("subjectdn", lambda dn: {"subject": (slash_name(dn),)}),
        ("subjectaltname", lambda names: {"sans": (_sans(names),)}),
        ("status", lambda code: {"state": (states.get(code, code),)}),
        (_CERTIFICATE, _certified),
        ("csr", _requested),
    ):
        if name in fields:
            try:
                made |= make(fields[name])
            except InputError as error:
                problems.append(
                    InputError(error.what, where=record.place.where(name), hint=error.hint)
                )
    return Record(record.place, given | made, tuple(problems))


def slash_name(text: str) -> str:
    """A DN of EJBCA in OpenSSL's slash form, which has the same order.

    Raises:
        InputError: what stands between two commas, or pluses, has no `=`.
    """
    quote = escaper("/")
    rdns = []
    for part in _PART.findall(text):
        attributes = []
        for attribute in _ATTRIBUTE.findall(part):
            kind, equals, value = attribute.strip().partition("=")
            if not equals:
                what = f"RDN {part.strip()!r}: no '=' in {attribute.strip()!r}"
                raise InputError(what, hint="EJBCA writes CN=a,O=b")
            value = quote(_ESCAPE.sub(r"\1", value))
            attributes.append(f"{_TYPES.get(kind.lower(), kind)}={value}")
        rdns.append("/" + "+".join(attributes))
    return "".join(rdns)


def _sans(text: str) -> str:
    """Names as `--sans` takes them; what that does not know stays as it is, to be refused there."""
    return ",".join(map(_san, _PART.findall(text)))


def _san(part: str) -> str:
    kind, _, value = part.strip().partition("=")
    value = _ESCAPE.sub(r"\1", value)
    if kind.lower() == _DIRECTORY_NAME:
        try:
            return f"dirName:{format_slash_name(parse_name(slash_name(value)))}"
        except ValueError as error:
            raise InputError(f"directoryName {value!r}: {error}") from None
    known = _NAMES.get(kind.lower())
    return escape(part.strip()) if known is None else f"{known}:{escape(value)}"


def _certified(text: str) -> Values:
    try:
        der = base64.b64decode("".join(text.split()), validate=True)
    except (ValueError, binascii.Error):
        raise InputError("the certificate is not base64") from None
    return certificate_values([der])


def _requested(text: str) -> Values:
    return request_values(read_csr(Inline(text.encode()), allow_weak=True))
