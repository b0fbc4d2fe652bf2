"""LDIF files (RFC 2849): the entries of a directory, streamed.

Own code, since no reader was found that is kept well and can be trusted here. `ldif` (of PyPI, and
`ldif3` before it) ends at the first bad entry, passes over what is no base64 and over values by
URL without a word, knows no line numbers, and its regular expression for DNs takes exponential
time; `ldap3` writes LDIF only; `python-ldap` and `bonsai` need libldap and a C compiler, and the
latter's reader refuses lines of more than 76 characters, or opens what URLs name. `ldif` is the
second opinion of the tests.
"""

import base64
import binascii
import codecs
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final, NamedTuple

from bulkcmp.errors import InputError, Where
from bulkcmp.inputs.attribute import (
    CERTIFICATE_ATTRIBUTES,
    Values,
    certificate_values,
    dn_attributes,
    dn_values,
)
from bulkcmp.inputs.credential import read_certificates
from bulkcmp.inputs.file import unreadable
from bulkcmp.inputs.material import Inline, inline
from bulkcmp.inputs.source import FileSource, Place, Record

ENTRY_LIMIT: Final = 16 * 1024 * 1024
"""Octets; an entry that is longer is not kept."""

_LINE_COST: Final = 128
"""Octets that a line costs beside its text."""

_NAME: Final = re.compile(r"(?:[A-Za-z][A-Za-z0-9_-]*|[0-9]+(?:\.[0-9]+)*)(?:;[A-Za-z0-9-]+)*")

_UTF16_MARKS: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)

_CERTIFICATE: Final = "usercertificate"
_OTHER_NAMES: Final = {"2.5.4.36": _CERTIFICATE}

ReadLine = Callable[[int], bytes]
"""Reads up to a number of octets of a line, its end included; nothing at the end of the file."""


class Attribute(NamedTuple):
    """One value of an entry.

    Attributes:
        line: on which it begins, from 1.
        name: as it is written, with its options (`userCertificate;binary`).
        encoded: whether it stood in base64.
    """

    line: int
    name: str
    value: bytes
    encoded: bool


class Flaw(NamedTuple):
    """What is wrong with an entry, and on which line."""

    line: int
    what: str
    hint: str | None = None


@dataclass(slots=True)
class Entry:
    """Attributes:
    line: on which it begins, from 1.
    dn: empty where it can't be read.
    """

    line: int
    dn: str = ""
    attributes: list[Attribute] = field(default_factory=list)
    flaws: list[Flaw] = field(default_factory=list)


class LdifSource(FileSource):
    """The entries of an LDIF file, one record each.

    Each attribute has the values that the entry gives it; its name loses `;binary`. `dn` is the
    entry's name, and `dn.TYPE` (`dn.ou`) has the values of its RDNs. The certificates of
    userCertificate make `cert` and the attributes of `certificate_values`. Values that are no text
    are written as cells carry them, `base64:MII…`.

    Raises:
        InputError: the file can't be read, or is no LDIF of version 1.
    """

    @cached_property
    def attributes(self) -> tuple[str, ...]:
        """All that an entry of the file has, and what certificates and DNs may have."""
        names = dict.fromkeys(("dn", *dn_attributes("dn")))
        for entry in self._entries():
            names |= dict.fromkeys(_key(one.name) for one in entry.attributes)
        if _CERTIFICATE in names:
            names |= dict.fromkeys(CERTIFICATE_ATTRIBUTES)
        return tuple(names)

    def records(self) -> Iterator[Record]:
        """The entries in the order of the file.

        Raises:
            InputError: the file can't be read any more, or is no LDIF of version 1.
        """
        for number, entry in enumerate(self._entries(), start=1):
            yield self._record(Place(self.name, entry.line, number), entry)

    def _entries(self) -> Iterator[Entry]:
        with _opened(self.path) as readline:
            try:
                yield from read_entries(readline)
            except InputError as error:
                line = None if error.where is None else error.where.line
                where = Where(self.name, line)
                raise InputError(error.what, where=where, hint=error.hint) from None

    def _record(self, place: Place, entry: Entry) -> Record:
        flaws = list(entry.flaws)
        values: dict[str, list[str]] = {"dn": [entry.dn]} if entry.dn else {}
        certificates: list[bytes] = []
        for one in entry.attributes:
            name = _key(one.name)
            try:
                if name == _CERTIFICATE:
                    certificates.append(_certificate(one.value))
                elif text := _text(one):
                    values.setdefault(name, []).append(text)
            except InputError as error:
                flaws.append(Flaw(one.line, f"{one.name}: {error.what}", error.hint))
        found: Values = {name: tuple(texts) for name, texts in values.items()}
        found |= dn_values("dn", entry.dn)
        try:
            certified = certificate_values(certificates)
            found |= certified
            if "cert" in certified:
                found[_CERTIFICATE] = certified["cert"]
        except InputError as error:
            flaws.append(Flaw(entry.line, f"userCertificate: {error.what}", error.hint))
        problems = tuple(
            InputError(what, where=Where(place.file, line, row=place.number), hint=hint)
            for line, what, hint in flaws
        )
        return Record(place, found, problems)


def looks_like_ldif(head: bytes) -> bool:
    """Whether the first octets of a file are those of an LDIF."""
    if head.startswith(_UTF16_MARKS):
        head = head.decode("utf-16", "replace").encode()
    for line in head.removeprefix(codecs.BOM_UTF8).splitlines():
        if line.strip() and not line.startswith((b"#", b" ")):
            return line.startswith((b"version:", b"dn:"))
    return False


def read_entries(readline: ReadLine) -> Iterator[Entry]:
    """The entries of an LDIF, bad ones too, in their order.

    A change record that adds an entry counts as the entry: so `ldifde` writes all of them. What
    `ldapsearch` says at the end of its result is passed over where the result is complete.

    Raises:
        InputError: it is of another version, or of a search that failed. Only the line of its
            place is true.
    """
    for number, block in enumerate(_blocks(_logical_lines(_physical_lines(readline)))):
        if number == 0 and block[0].name == "version":
            first = block.pop(0)
            if first.text.partition(b":")[2].strip() != b"1":
                raise InputError(
                    "not of version 1, the only one of LDIF (RFC 2849)", where=_at(first.number)
                )
            if not block:
                continue
        if block[0].name in ("search", "result"):
            _check_result(block)
        else:
            yield _entry(block)


def _check_result(block: "_Block") -> None:
    for line in block:
        value = line.text.partition(b":")[2].strip().decode("utf-8", "replace")
        if line.name == "result" and not value.startswith("0"):
            raise InputError(
                f"ldapsearch says that its result is not complete: {value!r}",
                where=_at(line.number),
                hint="search in pages (-E pr=1000/noprompt), or raise the size limit",
            )


def _at(line: int) -> Where:
    return Where("", line)


class _Line(NamedTuple):
    """A line, continuations joined to it.

    Attributes:
        number: of its first line in the file, from 1.
        kept: whether all of it is there.
    """

    number: int
    text: bytes
    kept: bool = True

    @property
    def name(self) -> str:
        """What stands before the first colon, in lower case."""
        return self.text.partition(b":")[0].decode("latin-1").lower()


_Block = list[_Line]
"""Lines that no empty line parts."""


def _physical_lines(readline: ReadLine) -> Iterator[tuple[bytes, bool]]:
    """Each line of a file without its end, and whether all of it is there."""
    while line := readline(ENTRY_LIMIT):
        kept, rest = True, line
        while not rest.endswith(b"\n") and (rest := readline(ENTRY_LIMIT)):
            kept = kept and rest == b"\n"
        yield line.removesuffix(b"\n").removesuffix(b"\r"), kept


def _logical_lines(lines: Iterator[tuple[bytes, bool]]) -> Iterator[_Line]:
    """Lines with their continuations, without comments; empty ones as they are."""
    text, begin, whole = bytearray(), 1, True
    for number, (line, kept) in enumerate(lines, start=1):
        if number == 1:
            line = line.removeprefix(codecs.BOM_UTF8)
        if line.startswith(b" ") and text:
            whole = whole and kept and len(text) + len(line) <= ENTRY_LIMIT
            if whole:
                text += line[1:]
            continue
        if text and not text.startswith(b"#"):
            yield _Line(begin, bytes(text), whole)
        text, begin, whole = bytearray(line.strip() and line), number, kept
        if not text:
            yield _Line(number, b"")
    if text and not text.startswith(b"#"):
        yield _Line(begin, bytes(text), whole)


def _blocks(lines: Iterator[_Line]) -> Iterator[_Block]:
    block: _Block = []
    size = 0
    for line in lines:
        if line.text:
            size += len(line.text) + _LINE_COST
            if size <= ENTRY_LIMIT and line.kept:
                block.append(line)
            elif not block or block[-1].kept:
                block.append(line._replace(text=line.text[:80], kept=False))
        elif block:
            yield block
            block, size = [], 0
    if block:
        yield block


def _entry(block: _Block) -> Entry:
    entry = Entry(block[0].number)
    if block[0].name != "dn":
        hint = "an empty line stands between entries only, and each begins with its name"
        entry.flaws.append(Flaw(entry.line, "the entry does not begin with 'dn:'", hint))
    for line in block:
        name = line.name
        try:
            if not line.kept:
                raise InputError(f"the entry is longer than {ENTRY_LIMIT} octets")
            if name == "changetype":
                _check_change(line.text)
                continue
            attribute = _attribute(line)
            if name == "control":
                raise InputError("a control: this is a request for a directory, no entry of one")
            if name != "dn":
                entry.attributes.append(attribute)
            elif line is block[0]:
                entry.dn = _text(attribute._replace(encoded=False))
            else:
                raise InputError("a second 'dn:' in one entry", hint="part entries by empty lines")
        except InputError as error:
            entry.flaws.append(Flaw(line.number, error.what, error.hint))
            if name == "changetype":  # what follows are no values
                break
    return entry


def _check_change(text: bytes) -> None:
    kind = text.partition(b":")[2].strip().lower()
    if kind != b"add":
        raise InputError(
            f"a change record ({kind.decode('latin-1')!r}), no entry: it says what to alter in a "
            "directory, not what is in it",
            hint="export the entries themselves: ldapsearch -LLL, slapcat, ldifde",
        )


def _attribute(line: _Line) -> Attribute:
    name, colon, value = line.text.partition(b":")
    shown = name[:40].decode("utf-8", "backslashreplace")
    if not colon:
        raise InputError(f"no ':' in {shown!r}", hint="a long line goes on after one space")
    description = name.decode("latin-1")
    if not _NAME.fullmatch(description):
        raise InputError(f"{shown!r} is no name of an attribute")
    if value.startswith(b"<"):
        raise InputError(
            f"{shown}: a value by URL, and none is fetched: it could be any file of this machine",
            hint="let the export write the value itself, in base64 after '::'",
        )
    if not value.startswith(b":"):
        return Attribute(line.number, description, value.lstrip(b" "), encoded=False)
    try:
        decoded = base64.b64decode(value[1:].strip(b" "), validate=True)
    except (ValueError, binascii.Error):
        raise InputError(f"{shown}: what follows '::' is not base64") from None
    return Attribute(line.number, description, decoded, encoded=True)


def _key(name: str) -> str:
    """The name of an attribute in a record."""
    kind, *options = name.lower().split(";")
    kept = [kind, *(one for one in options if one != "binary")]
    return _OTHER_NAMES.get(kind, ";".join(kept))


def _text(attribute: Attribute) -> str:
    """The text of a value, as a record has it.

    Raises:
        InputError: what is not in base64 is no text.
    """
    try:
        text = attribute.value.decode()
        if "\0" not in text:
            return text
    except UnicodeDecodeError:
        pass
    if attribute.encoded:
        return inline(attribute.value)
    raise InputError(
        "octets that are no text of UTF-8",
        hint="LDIF is UTF-8; other values stand in base64 after '::'",
    )


def _certificate(value: bytes) -> bytes:
    found = read_certificates(Inline(value))
    if len(found) > 1:
        raise InputError(f"{len(found)} certificates in one value")
    return found[0]


@contextmanager
def _opened(path: Path) -> Iterator[ReadLine]:
    """Read lines of a file; UTF-16 where a byte order mark says so (`ldifde -u`)."""
    try:
        with path.open("rb") as file:
            mark = file.read(2)
            file.seek(0)
            if mark not in _UTF16_MARKS:
                yield file.readline
                return
        with path.open(encoding="utf-16", newline="\n") as text:
            yield lambda limit: text.readline(limit).encode()
    except UnicodeError:
        raise InputError(
            "not UTF-16, as its byte order mark says", where=Where(str(path)), hint="save as UTF-8"
        ) from None
    except OSError as error:
        raise unreadable(path, error) from None
