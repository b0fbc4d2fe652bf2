"""CSV files: a header that names the attributes, and a record in each row."""

import codecs
import csv
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Final, NamedTuple, TextIO

from bulkcmp.errors import InputError, InputErrors, Where
from bulkcmp.inputs.file import unreadable
from bulkcmp.inputs.row import COLUMNS, unknown_hint
from bulkcmp.inputs.source import FileSource, Place, Record

_DELIMITERS: Final = (",", ";", "\t", "|")

_HEADER_LIMIT: Final = 64 * 1024
"""Characters; a first line that is longer is no header."""

_CSV_ERRORS: Final = {
    "field larger than field limit": "a cell is longer than {limit} characters: is a double quote "
    "never closed?",
    "unexpected end of data": "a double quote is never closed",
    "expected after": "text after the closing double quote of a cell: write a quote inside a "
    "quoted cell twice",
}


class _Header(NamedTuple):
    """The first line that is not empty, by its number, and what it tells."""

    line: int
    delimiter: str
    columns: tuple[str, ...]


class CsvSource(FileSource):
    """A CSV file.

    The first line that is not empty names the columns, any of `COLUMNS` in any order and case.
    The delimiter (`,` `;` tab `|`) is recognised by it. Empty lines are skipped.

    Args:
        is_foreign: columns may have any names; those without one are passed over.
        may_be_empty: there need not be rows.
        encoding: of the file; None for UTF-8, or UTF-16 where a byte order mark says so.
    """

    def __init__(
        self,
        path: Path,
        *,
        is_foreign: bool = False,
        may_be_empty: bool = False,
        encoding: str | None = None,
    ) -> None:
        super().__init__(path)
        self._is_foreign = is_foreign
        self._may_be_empty = may_be_empty
        self._encoding = None if encoding is None else _checked(encoding)

    @cached_property
    def _header(self) -> _Header:
        with self._open() as file:
            line, text = _first_line(file, self.path)
            where = Where(self.name, line)
            delimiter, columns = _columns(text, where, is_foreign=self._is_foreign)
            if not self._may_be_empty and not any(line.strip() for line in file):
                raise _no_rows(self.path)
            return _Header(line, delimiter, columns)

    @property
    def attributes(self) -> tuple[str, ...]:
        """Names of the columns, in their order.

        Raises:
            InputError: the file can't be read, has no rows, or has a wrong header.
        """
        return tuple(name for name in self._header.columns if name)

    def records(self) -> Iterator[Record]:
        """The rows in the order of the file.

        Raises:
            InputError: the file can't be read, has no rows, or has a wrong header.
        """
        header = self._header
        with self._open() as file:
            try:
                for _ in range(header.line):
                    file.readline()
                yield from self._read(file, header)
            except OSError as error:
                raise unreadable(self.path, error) from None

    def _read(self, file: TextIO, header: _Header) -> Iterator[Record]:
        flaws: list[str] = []
        lines = _watched(file, flaws)
        reader = csv.reader(lines, delimiter=header.delimiter, strict=True)
        number = 0
        while True:
            line = header.line + reader.line_num + 1
            wrong: str | None = None
            cells: list[str] = []
            try:
                cells = next(reader)
            except StopIteration:
                if not number and not self._may_be_empty:  # lines of nothing but quotes
                    raise _no_rows(self.path) from None
                return
            except csv.Error as error:
                wrong = _csv_error(error)
            if wrong is None and (not cells or (len(cells) == 1 and not cells[0].strip())):
                flaws.clear()
                continue
            number += 1
            problems = [*([wrong] if wrong else []), *dict.fromkeys(flaws)]
            flaws.clear()
            yield _record(Place(self.name, line, number), header.columns, cells, problems)

    def _open(self) -> TextIO:
        try:
            if self._encoding is not None:
                return self.path.open(encoding=self._encoding, errors="surrogateescape", newline="")
            with self.path.open("rb") as file:
                mark = file.read(3)
            if mark.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                # its decoder has no way to keep what is wrong: U+FFFD marks it
                return self.path.open(encoding="utf-16", errors="replace", newline="")
            return self.path.open(encoding="utf-8-sig", errors="surrogateescape", newline="")
        except (OSError, ValueError) as error:
            raise unreadable(self.path, error) from None


def _record(
    place: Place, columns: Sequence[str], cells: Sequence[str], problems: Sequence[str]
) -> Record:
    values = {n: (c,) for n, c in zip(columns, cells, strict=False) if c and n}
    if problems:
        damaged = next((name for name, (cell,) in values.items() if _is_damaged(cell)), None)
        where = place.where(damaged)
        return Record(place, values, tuple(InputError(one, where=where) for one in problems))
    if len(cells) != len(columns):
        problem = InputError(
            f"{len(cells)} cells, and the header has {len(columns)}",
            where=place.where(),
            hint="put a cell that contains the delimiter in double quotes",
        )
        return Record(place, values, (problem,))
    return Record(place, values)


def _no_rows(path: Path) -> InputError:
    return InputError("the file has a header, but no rows", where=Where(str(path)))


def _first_line(file: TextIO, path: Path) -> tuple[int, str]:
    """Number and text of the first line that is not empty."""
    number = 0
    while line := file.readline(_HEADER_LIMIT):
        number += 1
        if line.strip():
            flaw = (
                "the line is too long for a header" if len(line) == _HEADER_LIMIT else _flaw(line)
            )
            if flaw is not None:
                raise InputError(flaw, where=Where(str(path), number), hint="is it a CSV file?")
            return number, line
    raise InputError("the file is empty", where=Where(str(path)))


def _checked(encoding: str) -> str:
    try:
        # others than those of text are refused here too
        "".encode(encoding)
    except (LookupError, ValueError):
        raise InputError(
            f"--encoding: unknown encoding {encoding!r}", hint="such as cp1252, latin-1 or utf-8"
        ) from None
    return encoding


def _columns(line: str, where: Where, *, is_foreign: bool) -> tuple[str, tuple[str, ...]]:
    """The delimiter of a header, and the names of its columns.

    The delimiter is the one that makes the most known columns of it; a header of one column has
    none to show, and the comma stands.
    """

    def cells(delimiter: str) -> list[str]:
        (row,) = csv.reader([line], delimiter=delimiter, strict=True)
        return [cell.strip().lower() for cell in row]

    def knowledge(delimiter: str) -> tuple[int, int]:
        try:
            names = cells(delimiter)
        except csv.Error:
            return -1, 0
        return len(set(names) & set(COLUMNS)), len(names)

    delimiter = max(_DELIMITERS, key=knowledge)
    try:
        names = cells(delimiter)
    except csv.Error as error:
        raise InputError(_csv_error(error), where=where) from None
    problems: list[InputError] = []
    for position, name in enumerate(names, start=1):
        if not name and is_foreign:
            continue
        if not name:
            problems.append(InputError(f"column {position} has no name", where=where))
        elif name not in COLUMNS and not is_foreign:
            what = f"unknown column {name!r} (column {position} of {len(names)})"
            problems.append(InputError(what, where=where, hint=unknown_hint(name)))
        elif names.index(name) + 1 < position:
            first = names.index(name) + 1
            what = f"column {name!r} stands twice: columns {first} and {position}"
            problems.append(InputError(what, where=where))
    if len(problems) == 1:
        raise problems[0]
    if problems:
        raise InputErrors(f"{where}: {len(problems)} problems with the header", tuple(problems))
    return delimiter, tuple(names)


def _watched(file: TextIO, flaws: list[str]) -> Iterator[str]:
    """The lines of a file; what is wrong with the text of one is put into `flaws`."""
    for line in file:
        if "\0" in line or not line.isascii():
            flaw = _flaw(line)
            if flaw is not None:
                flaws.append(flaw)
        yield line


def _flaw(line: str) -> str | None:
    if "\0" in line:
        return "the line has NUL characters: it is no text, or UTF-16 without a byte order mark"
    if _is_damaged(line):
        return "the line has octets that are no characters of its encoding: save the file as UTF-8"
    return None


def _is_damaged(text: str) -> bool:
    # what _open()'s error handlers leave of octets that can't be decoded
    return any(c == "\0" or c == "\ufffd" or "\ud800" <= c <= "\udfff" for c in text)


def _csv_error(error: csv.Error) -> str:
    for said, meant in _CSV_ERRORS.items():
        if said in str(error):
            return meant.format(limit=csv.field_size_limit())
    return str(error)
