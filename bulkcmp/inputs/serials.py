"""Lists of serial numbers of certificates: one a line, or a CSV with a column of them."""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from bulkcmp.errors import InputError, Where
from bulkcmp.inputs.cell import read_serial

_NAMES: Final = {
    "serial": ("serial", "serialnumber", "serial_number", "certificate_serial_number"),
    "issuer": ("issuer", "issuerdn", "issuer_dn"),
    "subject": ("subject", "subjectdn", "subject_dn"),
    "revreason": ("revreason", "reason", "revocationreason", "revocation_reason"),
    "id": ("id", "username"),
}
"""How columns may be called: as here, in EJBCA's answers and tables, and in results.csv."""

_DELIMITERS: Final = (",", ";", "\t", "|")

_RESULTS: Final = frozenset({"serial", "transaction_id", "cert_file"})
"""Columns that tell a results.csv of ours, whose serial numbers are hexadecimal."""


class Base(StrEnum):
    """How digits of serial numbers are meant that have no 0x in front.

    AUTO: hexadecimal where one of the list has a letter or a colon in it.
    """

    AUTO = "auto"
    HEX = "hex"
    DECIMAL = "decimal"


@dataclass(frozen=True, slots=True)
class Listed:
    """A serial number of a list.

    Attributes:
        line: from 1.
        cells: what its line says besides, by the column of a population.
    """

    line: int
    serial: int
    cells: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class SerialList:
    """Attributes:
    listed: in their order.
    without: lines whose serial number is empty: no certificate was issued.
    """

    listed: tuple[Listed, ...]
    without: int


def read_serials(text: str, name: str, base: Base) -> SerialList:
    """Read a list; empty lines, and those that begin with #, are no part of it.

    Args:
        name: of the file, for messages.

    Raises:
        InputError: one is no serial number, there is none, or nothing tells how they are meant.
    """
    lines = text.splitlines()
    rows = list(_rows(lines))
    if not rows:
        raise InputError("the list is empty", where=Where(name))
    header = _header(rows[0][1])
    hexadecimal = base is Base.HEX
    if header:
        ours = _column_names(rows[0][1]) >= _RESULTS
        hexadecimal = hexadecimal or (base is Base.AUTO and ours)
        rows = rows[1:]
    read = [(line, _cells(cells, header)) for line, cells in rows]
    texts = [(line, cells.pop("serial", ""), cells) for line, cells in read]
    given = [text for _, text, _ in texts if text]
    if base is Base.AUTO and not hexadecimal:
        hexadecimal = any(map(_shows_hex, given))
        if not hexadecimal and any(not _has_prefix(text) for text in given):
            raise InputError(
                "nothing in the list tells if its serial numbers are decimal or hexadecimal",
                where=Where(name),
                hint="say it with --serials hex or --serials decimal",
            )
    listed = tuple(
        Listed(line, _serial(text, Where(name, line), hexadecimal=hexadecimal), cells)
        for line, text, cells in texts
        if text
    )
    return SerialList(listed, len(texts) - len(given))


def is_serial_list(text: str) -> bool:
    """Whether a file seems to be one, and not a population."""
    first = next(_rows(text.splitlines()), None)
    if first is None:
        return False
    if _header(first[1]):
        names = _column_names(first[1])
        return names >= _RESULTS or not {"cert", "oldcert", "cmd"} & names
    try:
        _serial(first[1][0].strip(), Where(""), hexadecimal=True)
    except InputError:
        return False
    return True


def _rows(lines: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """The lines with their numbers, each split into cells; cells have no line breaks."""
    delimiter = ","
    is_first = True
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if is_first:
            delimiter = max(_DELIMITERS, key=line.count)
            is_first = False
        try:
            yield number, next(csv.reader([line.removeprefix("\ufeff")], delimiter=delimiter))
        except csv.Error as error:
            raise InputError(str(error), where=Where("the list", number)) from None


def _header(cells: Sequence[str]) -> dict[int, str]:
    """The columns that a header names, by their positions; empty where it is none."""
    known = {alias: name for name, aliases in _NAMES.items() for alias in aliases}
    names = [cell.strip().lower() for cell in cells]
    columns = {position: known[name] for position, name in enumerate(names) if name in known}
    if _RESULTS.issubset(names):
        # whose reason is that of an outcome
        columns = {position: name for position, name in columns.items() if name != "revreason"}
    return columns if "serial" in columns.values() else {}


def _column_names(header: Iterable[str]) -> set[str]:
    return {cell.strip().lower() for cell in header}


def _cells(cells: Sequence[str], header: Mapping[int, str]) -> dict[str, str]:
    columns = header or {0: "serial"}
    return {
        name: cells[position].strip()
        for position, name in columns.items()
        if position < len(cells) and cells[position].strip()
    }


def _has_prefix(text: str) -> bool:
    return text[:2].lower() == "0x"


def _shows_hex(text: str) -> bool:
    return not _has_prefix(text) and not text.isdigit()


def _serial(text: str, where: Where, *, hexadecimal: bool) -> int:
    digits = text
    if hexadecimal and not _has_prefix(text):
        digits = "0x" + text.replace(":", "")
    try:
        return read_serial(digits)
    except InputError as error:
        raise InputError(f"{text!r} is not a serial number", where=where, hint=error.hint) from None
