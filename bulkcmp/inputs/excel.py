"""Excel workbooks (.xlsx, ISO/IEC 29500): a header names the attributes, and rows are records."""

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from bulkcmp.errors import InputError, InputErrors, Where
from bulkcmp.inputs.archive import check_zip
from bulkcmp.inputs.file import unreadable
from bulkcmp.inputs.source import FileSource, Place, Record

_ERRORS: Final = frozenset(
    ("#NULL!", "#DIV/0!", "#VALUE!", "#REF!", "#NAME?", "#NUM!", "#N/A", "#GETTING_DATA")
)
"""What a formula says that has no result (ISO/IEC 29500-1, 18.17.2.7)."""


_MOST_ROWS: Final = 1_048_576
"""Of a sheet of Excel. The number that a row gives itself makes as many empty rows before it."""


class ExcelSource(FileSource):
    """A sheet of a workbook. The first row that is not empty names the attributes; empty rows are
    skipped, and so are columns without a name.

    Numbers are written without a fraction where they have none, times as ISO 8601, and of formulas
    the results that were saved.

    Args:
        sheet: its name; None where there is only one.
    """

    def __init__(self, path: Path, sheet: str | None = None) -> None:
        super().__init__(path)
        self._sheet = sheet

    @cached_property
    def attributes(self) -> tuple[str, ...]:
        """The names in the first row, in lower case.

        Raises:
            InputError: the file can't be read or has no such sheet, or the sheet has no records.
        """
        with self._rows() as rows:
            _, names = self._header(rows)
            if next(rows, None) is None:
                raise InputError("the sheet has a header, but no rows", where=self._where())
        return tuple(name for name in names if name)

    def records(self) -> Iterator[Record]:
        """The rows in the order of the sheet; a row's number there is its line.

        Raises:
            InputError: as `attributes`.
        """
        with self._rows() as rows:
            _, names = self._header(rows)
            for number, (line, cells) in enumerate(rows, start=1):
                yield _record(Place(self.name, line, number), names, cells)

    def _header(self, rows: Iterator[tuple[int, Sequence[Any]]]) -> tuple[int, list[str]]:
        line, cells = next(rows, (0, ()))
        if not line:
            raise InputError("the sheet is empty", where=self._where())
        names = [_text(cell).strip().lower() for cell in cells]
        twice = {name: None for name in names if name and names.count(name) > 1}
        if twice:
            where = self._where(line)
            problems = [InputError(f"column {n!r} stands twice", where=where) for n in twice]
            raise InputErrors(f"{where}: the header can't be used", tuple(problems))
        return line, names

    @contextmanager
    def _rows(self) -> Iterator[Iterator[tuple[int, Sequence[Any]]]]:
        """The rows that are not empty, and their numbers from 1."""
        load = _loader()
        try:
            with self.path.open("rb") as file:
                # what a file that is damaged, or was made to harm, makes the library raise is open
                try:
                    check_zip(self.path)
                    book = load(file, read_only=True, data_only=True, keep_links=False)
                    sheet = self._chosen(book)
                    # some programs write that a sheet is smaller than it is
                    sheet.reset_dimensions()
                except InputError:
                    raise
                except Exception as error:
                    raise self._damaged(error) from None
                yield self._filled(sheet)
        except OSError as error:
            raise unreadable(self.path, error) from None

    def _filled(self, sheet: Any) -> Iterator[tuple[int, Sequence[Any]]]:
        rows = enumerate(sheet.iter_rows(values_only=True), start=1)
        while True:
            try:
                line, cells = next(rows)
            except StopIteration:
                return
            except Exception as error:
                raise self._damaged(error) from None
            if line > _MOST_ROWS:
                raise self._damaged(ValueError())
            if any(_text(cell).strip() for cell in cells):
                yield line, cells

    def _chosen(self, book: Any) -> Any:
        names: list[str] = [sheet.title for sheet in book.worksheets]
        if self._sheet in names:
            return book.worksheets[names.index(self._sheet)]
        if self._sheet is not None:
            what = f"has no sheet {self._sheet!r}"
        elif len(names) == 1:
            return book.worksheets[0]
        else:
            what = f"has {len(names)} sheets: which one?"
        raise InputError(
            what,
            where=Where(self.name),
            hint=f"give --sheet NAME; there are {', '.join(map(repr, names))}",
        )

    def _damaged(self, error: Exception) -> InputError:
        return InputError(
            f"can't be read as an Excel workbook ({type(error).__name__})",
            where=Where(self.name),
            hint="save it as .xlsx without a password, or as CSV",
        )

    def _where(self, line: int | None = None) -> Where:
        return Where(self.name, line)


def _loader() -> Callable[..., Any]:
    try:
        from openpyxl import load_workbook
    except ImportError:
        raise InputError(
            "Excel workbooks need openpyxl, which is not installed",
            hint="pip install 'bulkcmp[excel]', or save the sheet as CSV",
        ) from None
    load: Callable[..., Any] = load_workbook
    return load


def _record(place: Place, names: Sequence[str], cells: Sequence[Any]) -> Record:
    values: dict[str, tuple[str, ...]] = {}
    problems: list[InputError] = []
    for position, cell in enumerate(cells):
        text = _text(cell)
        if not text:
            continue
        name = names[position] if position < len(names) else ""
        if name:
            values[name] = (text,)
        if text in _ERRORS and name:
            problems.append(InputError(f"the cell says {text}", where=place.where(name)))
        if not name and position >= len(names):
            problems.append(InputError("a cell beyond the last column", where=place.where()))
    return Record(place, values, tuple(problems))


def _text(cell: Any) -> str:
    match cell:
        case None:
            return ""
        case bool():
            return "true" if cell else "false"
        case float() if cell.is_integer():
            return str(int(cell))
        case dt.datetime() if cell.time() == dt.time():
            return cell.date().isoformat()
        case dt.datetime() | dt.date() | dt.time():
            return cell.isoformat()
        case _:
            return str(cell)
