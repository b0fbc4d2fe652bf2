"""Populations: end entities, streamed row by row from whatever source has them."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from bulkcmp.inputs.row import Defaults, RowReader
from bulkcmp.inputs.source import Place, Source
from bulkcmp.model import BadRow, EndEntity, Operation

COMMAND_LINE: Final = "the command line"
"""Stands for the file of a row that comes from none."""


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
        self._source = source
        self.columns = source.attributes
        self._reader = RowReader(source.folder, self.columns, defaults, environ)

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
        self._reader.forget_files()
        seen: dict[str, int] = {}
        for record in self._source.records():
            place = record.place
            cells = {name: texts[0] for name, texts in record.values.items()}
            if record.problems:
                identity = self._reader.id_of(place, cells)
                yield BadRow(place.number, place.row_line, identity, record.problems)
            else:
                yield self._reader.read(place, cells, seen, begins(place.number))

    def digest(self) -> str:
        """SHA-256, hex, of what the rows come from.

        Raises:
            InputError: it can't be read.
        """
        return self._source.digest()


def single_row(row_id: str, defaults: Defaults, environ: Mapping[str, str]) -> EndEntity | BadRow:
    """One end entity without a source, by the defaults alone.

    Raises:
        InputError: a default can't be used.
    """
    defaults = replace(defaults, single=True)
    reader = RowReader(Path(), ("id",), defaults, environ)
    return reader.read(Place(COMMAND_LINE, 1, 1), {"id": row_id}, {})
