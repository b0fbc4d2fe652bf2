"""Populations: a CSV file of end entities, streamed row by row."""

import codecs
import csv
import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final, TextIO

from bulkcmp.errors import InputError, InputErrors, Where
from bulkcmp.inputs.file import unreadable
from bulkcmp.inputs.row import COLUMNS, Defaults, RowReader
from bulkcmp.inputs.spelling import nearest
from bulkcmp.model import BadRow, EndEntity, Operation

_DELIMITERS: Final = (",", ";", "\t", "|")

COMMAND_LINE: Final = "the command line"
"""Stands for the file of a row that comes from none."""

_HEADER_LIMIT: Final = 64 * 1024
"""Characters; a first line that is longer is no header."""

_CSV_ERRORS: Final = {
    "field larger than field limit": "a cell is longer than {limit} characters: is a double quote "
    "never closed?",
    "unexpected end of data": "a double quote is never closed",
    "expected after": "text after the closing double quote of a cell: write a quote inside a "
    "quoted cell twice",
}


class Population:
    """A CSV file of end entities, one row each; opened once, it can be streamed several times.

    The first line that is not empty names the columns, any of `COLUMNS` in any order and case.
    The delimiter (`,` `;` tab `|`) is recognised by it; the encoding is UTF-8, or UTF-16 where a
    byte order mark says so. Empty lines are skipped.

    Args:
        path: the file. Relative paths in its cells are relative to its folder.
        defaults: for absent and empty cells; relative paths in it are relative to the working
            directory.
        environ: where `env:` secrets are looked up.

    Attributes:
        columns: names of the columns, in their order.

    Raises:
        InputError: the file can't be read, has no rows, or has a wrong header; or a default can't
            be used, whatever the rows say.
    """

    def __init__(self, path: Path, defaults: Defaults, environ: Mapping[str, str]) -> None:
        self._path = path
        if path.exists() and not path.is_file() and not path.is_dir():
            raise InputError(
                "not a regular file",
                where=Where(str(path)),
                hint="a population is read several times; write it to a file first",
            )
        with self._open() as file:
            self._header_line, header = _first_line(file, path)
            self._delimiter, self.columns = _columns(header, Where(str(path), self._header_line))
            if not any(line.strip() for line in file):
                raise _no_rows(path)
        self._reader = RowReader(path, self.columns, defaults, environ)

    @property
    def has_priorities(self) -> bool:
        """Whether the file has a column `priority`."""
        return "priority" in self.columns

    @property
    def operation(self) -> Operation | None:
        """That of every row, where it can be told without reading them."""
        return self._reader.operation

    def rows(
        self, begins: Callable[[int], Operation | None] = lambda _: None
    ) -> Iterator[EndEntity | BadRow]:
        """The rows in the order of the file, each read and checked.

        What is wrong with a row makes it a `BadRow` with every problem found; it is never raised.

        Args:
            begins: the operation of the row with a number, where neither a cell nor a default says
                it.

        Raises:
            InputError: the file can't be read any more, or has no rows.
        """
        self._reader.forget_files()
        with self._open() as file:
            try:
                for _ in range(self._header_line):
                    file.readline()
                yield from self._read(file, begins)
            except OSError as error:
                raise unreadable(self._path, error) from None

    def _read(
        self, file: TextIO, begins: Callable[[int], Operation | None]
    ) -> Iterator[EndEntity | BadRow]:
        flaws: list[str] = []
        lines = _watched(file, flaws)
        reader = csv.reader(lines, delimiter=self._delimiter, strict=True)
        seen: dict[str, int] = {}
        number = 0
        while True:
            line = self._header_line + reader.line_num + 1
            wrong: str | None = None
            cells: list[str] = []
            try:
                cells = next(reader)
            except StopIteration:
                if not number:  # lines of nothing but quotes
                    raise _no_rows(self._path) from None
                return
            except csv.Error as error:
                wrong = _csv_error(error)
            if wrong is None and (not cells or (len(cells) == 1 and not cells[0].strip())):
                flaws.clear()
                continue
            number += 1
            if wrong is None and not flaws:
                yield self._reader.read(number, line, cells, seen, begins(number))
                continue
            problems = [*([wrong] if wrong else []), *dict.fromkeys(flaws)]
            flaws.clear()
            yield self._unreadable(number, line, cells, problems)

    def _unreadable(self, number: int, line: int, cells: list[str], problems: list[str]) -> BadRow:
        columns = [n for n, c in zip(self.columns, cells, strict=False) if _is_damaged(c)]
        where = Where(str(self._path), line, columns[0] if columns else None, number)
        return BadRow(
            number,
            line,
            self._reader.id_of(number, cells),
            tuple(InputError(problem, where=where) for problem in problems),
        )

    def digest(self) -> str:
        """SHA-256 of the file's bytes, hex.

        Raises:
            InputError: the file can't be read.
        """
        return digest_of(self._path)

    def _open(self) -> TextIO:
        try:
            with self._path.open("rb") as file:
                mark = file.read(3)
            if mark.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                # its decoder has no way to keep what is wrong: U+FFFD marks it
                return self._path.open(encoding="utf-16", errors="replace", newline="")
            return self._path.open(encoding="utf-8-sig", errors="surrogateescape", newline="")
        except (OSError, ValueError) as error:
            raise unreadable(self._path, error) from None


def single_row(row_id: str, defaults: Defaults, environ: Mapping[str, str]) -> EndEntity | BadRow:
    """One end entity without a file, by the defaults alone.

    Raises:
        InputError: a default can't be used.
    """
    defaults = replace(defaults, single=True)
    reader = RowReader(Path(COMMAND_LINE), ("id",), defaults, environ)
    return reader.read(1, 1, [row_id], {})


def digest_of(path: Path) -> str:
    """SHA-256 of a file's bytes, hex.

    Raises:
        InputError: the file can't be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(path, error) from None


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


def _columns(line: str, where: Where) -> tuple[str, tuple[str, ...]]:
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
        if not name:
            problems.append(InputError(f"column {position} has no name", where=where))
        elif name not in COLUMNS:
            what = f"unknown column {name!r} (column {position} of {len(names)})"
            problems.append(InputError(what, where=where, hint=nearest(name, COLUMNS)))
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
