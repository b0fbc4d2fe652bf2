"""Populations: end entities, streamed row by row from whatever source has them."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from bulkcmp.errors import InputError, InputErrors, Where
from bulkcmp.inputs.row import COLUMNS, LISTS, Defaults, RowReader, unknown_hint
from bulkcmp.inputs.source import Place, Record, Source
from bulkcmp.model import BadRow, EndEntity, Operation

COMMAND_LINE: Final = "the command line"
"""Stands for the file of a row that comes from none."""

_SHOWN: Final = 20
"""Unknown attributes that an error lists."""


class Population:
    """The end entities of a source, one row each; it can be streamed several times.

    Args:
        source: its attributes are columns, any of `COLUMNS`. Relative paths in its cells are
            relative to its folder.
        defaults: for absent and empty cells; relative paths in it are relative to the working
            directory.
        environ: where `env:` secrets are looked up.

    Attributes:
        columns: names of the columns, in their order.

    Raises:
        InputError: the source can't be used; or a default can't be used, whatever the rows say.
    """

    def __init__(self, source: Source, defaults: Defaults, environ: Mapping[str, str]) -> None:
        _refuse_unknown(source)
        self._source = source
        self.columns = source.attributes
        self._reader = RowReader(source.folder, self.columns, defaults, environ)

    @property
    def folder(self) -> Path:
        """What relative paths in cells are relative to."""
        return self._source.folder

    @property
    def has_priorities(self) -> bool:
        """Whether the source has a column `priority`."""
        return "priority" in self.columns

    @property
    def operation(self) -> Operation | None:
        """That of every row, where it can be told without reading them."""
        return self._reader.operation

    def rows(
        self, begins: Callable[[int], Operation | None] = lambda _: None
    ) -> Iterator[EndEntity | BadRow]:
        """The rows in the order of the source, each read and checked.

        What is wrong with a row makes it a `BadRow` with every problem found; it is never raised.

        Args:
            begins: the operation of the row with a number, where neither a cell nor a default says
                it.

        Raises:
            InputError: the source can't be read any more, or has no rows.
        """
        return (row for _, row in self.judged(begins))

    def judged(
        self, begins: Callable[[int], Operation | None] = lambda _: None
    ) -> Iterator[tuple[dict[str, str], EndEntity | BadRow]]:
        """As `rows`, and with each row its cells, by column."""
        self._reader.forget_files()
        seen: dict[str, int] = {}
        record = None
        for record in self._source.records():
            place = record.place
            cells = cells_of(record)
            problems = record.problems or tuple(several_values(record))
            if problems:
                identity = self._reader.id_of(place, cells)
                yield cells, BadRow(place.number, place.row_line, identity, problems)
            else:
                yield cells, self._reader.read(place, cells, seen, begins(place.number))
        if record is None:
            raise InputError(
                "there are no rows",
                where=Where(self._source.name),
                hint="is it empty, or do the rules leave all of it out?",
            )

    def digest(self) -> str:
        """SHA-256, hex, of what the rows come from.

        Raises:
            InputError: it can't be read.
        """
        return self._source.digest()


def cells_of(record: Record) -> dict[str, str]:
    """The cells of a record whose attributes are columns; those of lists have entries."""
    return {name: ",".join(texts) for name, texts in record.values.items()}


def several_values(record: Record, *, but: Collection[str] = ()) -> Iterator[InputError]:
    """What is wrong with columns that have several values, and are no lists.

    Args:
        but: columns that may have them.
    """
    for name, texts in record.values.items():
        if len(texts) > 1 and name not in LISTS and name not in but:
            hint = "--map RULES says which one counts"
            where = record.place.where(name)
            yield InputError(f"{name} has {len(texts)} values", where=where, hint=hint)


def _refuse_unknown(source: Source) -> None:
    unknown = [name for name in source.attributes if name not in COLUMNS]
    where = Where(source.name)
    problems = [
        InputError(f"unknown attribute {name!r}", where=where, hint=unknown_hint(name))
        for name in unknown[:_SHOWN]
    ]
    if problems:
        raise InputErrors(
            f"{source.name}: {len(unknown)} of its attributes are no columns", tuple(problems)
        )


def single_row(row_id: str, defaults: Defaults, environ: Mapping[str, str]) -> EndEntity | BadRow:
    """One end entity without a source, by the defaults alone.

    Raises:
        InputError: a default can't be used.
    """
    defaults = replace(defaults, single=True)
    reader = RowReader(Path(), ("id",), defaults, environ)
    return reader.read(Place(COMMAND_LINE, 1, 1), {"id": row_id}, {})
