"""Which kind of source a file is: by what the user says, by its content, or by its suffix."""

import codecs
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from bulkcmp.errors import InputError, Where
from bulkcmp.inputs.archive import is_archive
from bulkcmp.inputs.content import looks_like_content
from bulkcmp.inputs.csv import CsvSource
from bulkcmp.inputs.ejbca import ListingSource, TableSource, looks_like_listing, looks_like_table
from bulkcmp.inputs.excel import ExcelSource
from bulkcmp.inputs.file import unreadable
from bulkcmp.inputs.files import FilesSource, Passwords
from bulkcmp.inputs.jsonlines import JsonLinesSource
from bulkcmp.inputs.ldif import LdifSource, looks_like_ldif
from bulkcmp.inputs.mapping import MappedSource
from bulkcmp.inputs.range import RANGE, RangeSource
from bulkcmp.inputs.rules import Rules, read_rules
from bulkcmp.inputs.source import Source
from bulkcmp.inputs.spelling import nearest

_HEAD: Final = 4096
"""Octets of a file that are enough to recognise it."""

_ZIP: Final = b"PK\x03\x04"


@dataclass(frozen=True, slots=True)
class Reading:
    """How a source is to be read.

    Attributes:
        format: the name of its kind; None: it is recognised.
        map: a file of mapping rules; None for those of its kind.
        encoding: of a CSV file, where it is neither UTF-8 nor UTF-16.
        sheet: of a workbook; None for the only one.
        source_pass: where the passwords of PKCS#12 and key files are, as of `Passwords`.
    """

    format: str | None = None
    map: str | None = None
    encoding: str | None = None
    sheet: str | None = None
    source_pass: str | None = None


_RECOGNISED: Final = Reading()


class _Kind(NamedTuple):
    """A kind of source.

    Attributes:
        name: as of `--source-format`.
        recognises: whether a path is one; told the first octets of a file, none of a folder.
        open: makes the source.
        rules: how its records become rows where the user gives no rules; None: its attributes are
            to be columns.
    """

    name: str
    recognises: Callable[[Path, bytes], bool]
    open: Callable[[Path, Reading], Source]
    rules: Rules | None = None


def _is_workbook(path: Path, head: bytes) -> bool:
    return path.suffix.lower() in (".xlsx", ".xlsm") and head.startswith(_ZIP)


def _is_json_lines(path: Path, head: bytes) -> bool:
    text = head.removeprefix(codecs.BOM_UTF8).lstrip()
    return path.suffix.lower() in (".jsonl", ".ndjson") or text.startswith(b'{"')


def _has_files(path: Path, head: bytes) -> bool:
    return path.is_dir() or is_archive(head) or looks_like_content(head)


def _files(path: Path, reading: Reading) -> FilesSource:
    source = reading.source_pass
    return FilesSource(path, None if source is None else Passwords(source, os.environ))


def _csv(path: Path, reading: Reading) -> CsvSource:
    return CsvSource(path, is_foreign=reading.map is not None, encoding=reading.encoding)


_DIRECTORY_RULES: Final = Rules.model_validate(
    {
        "columns": {
            "id": "{uid}",
            "subject": "{dn!s}",
            "sans": ["email:{mail?}"],
            "oldcert": "{cert?!s}",
        },
        "attributes": {
            "uid": {
                # of people, of accounts in Active Directory, of those who are known by mail, of
                # devices
                "from": ["{uid}", "{samaccountname}", "{userprincipalname}", "{mail}", "{cn}"],
                "several": "first",
            },
            "mail": {"several": "all"},
            "cert": {"several": "first"},
        },
    }
)

_EJBCA_RULES: Final = Rules.model_validate(
    {
        # who may have no certificate any more, or not yet; certificates of CAs
        "skip": [
            {
                "attribute": "state",
                "equals": ["revoked", "historical", "archived", "waiting for approval"],
            },
            {"attribute": "type", "equals": ["2", "8"]},
        ],
        "columns": {
            "id": "{username}",
            "subject": "{subject!s}",
            "sans": "{sans?!s}",
            "oldcert": "{cert?!s}",
            "csr": "{csr?!s}",
        },
    }
)

_FILES_RULES: Final = Rules.model_validate(
    {
        "columns": {
            "id": "{stem}",
            "csr": "{csr?!s}",
            "oldcert": "{cert?!s}",
            "cert": "{credential?!s}",
            "key": "{credential.key?!s}",
            "keypass": "{credential.pass?!s}",
        }
    }
)

_KINDS: Final = (
    _Kind(
        "ldif",
        lambda _, head: looks_like_ldif(head),
        lambda path, _: LdifSource(path),
        _DIRECTORY_RULES,
    ),
    _Kind(
        "ejbca-listing",
        lambda _, head: looks_like_listing(head),
        lambda path, _: ListingSource(path),
        _EJBCA_RULES,
    ),
    _Kind(
        "ejbca-table",
        lambda _, head: looks_like_table(head),
        lambda path, reading: TableSource(path, reading.encoding),
        _EJBCA_RULES,
    ),
    _Kind("xlsx", _is_workbook, lambda path, reading: ExcelSource(path, reading.sheet)),
    _Kind("files", _has_files, _files, _FILES_RULES),
    _Kind("jsonl", _is_json_lines, lambda path, _: JsonLinesSource(path)),
    # takes whatever no other does, and tells what is wrong with it
    _Kind("csv", lambda path, _: not path.is_dir(), _csv),
)

FORMATS: Final = tuple(kind.name for kind in _KINDS)
"""The names of all kinds."""


def open_source(name: str | Path, reading: Reading = _RECOGNISED) -> Source:
    """The source of rows that a name stands for.

    Args:
        name: a path; or `range:` and a range, as of `--range`.

    Raises:
        InputError: it can't be read, or is of no kind that is known; or the mapping rules, or the
            whole of it, can't be used.
    """
    source, own_rules = _opened(name, reading)
    rules = own_rules if reading.map is None else read_rules(Path(reading.map))
    return source if rules is None else MappedSource(source, rules)


def absolute(name: str) -> str:
    """The name of a source, whatever the working directory will be."""
    return name if name.startswith(RANGE) else str(Path(name).absolute())


def _opened(name: str | Path, reading: Reading) -> tuple[Source, Rules | None]:
    """A source, and the rules of its kind."""
    if reading.format is not None and reading.format not in FORMATS:
        raise InputError(
            f"--source-format: unknown format {reading.format!r}",
            hint=nearest(reading.format, FORMATS),
        )
    if isinstance(name, str) and name.startswith(RANGE):
        return RangeSource(name.removeprefix(RANGE)), None
    path = Path(name)
    head = _head(path)
    for kind in _KINDS:
        named = kind.name == reading.format
        if named or (reading.format is None and kind.recognises(path, head)):
            return kind.open(path, reading), kind.rules
    raise unreadable(path, IsADirectoryError())


def _head(path: Path) -> bytes:
    if path.is_dir():
        return b""
    if path.exists() and not path.is_file():
        raise InputError(
            "not a regular file",
            where=Where(str(path)),
            hint="a population is read several times; write it to a file first",
        )
    try:
        with path.open("rb") as file:
            return file.read(_HEAD)
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from None
