"""Populations that bulkcmp writes itself, for runs on what it found."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Final

from bulkcmp.outputs.table import table, table_in

POPULATION_FILE: Final = "population.csv"
"""Its name in the folder of the run that it is for."""


def write_population(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, str]]) -> None:
    """Write a population (mode 0600), replacing an old one whole and durably.

    Cells are written as they are, to be read as they were: what a spreadsheet takes for a formula
    is not disarmed.

    Args:
        columns: in their order.
        rows: cells by column; those that are missing are empty.

    Raises:
        BulkcmpError: the file system refused.
    """
    with table(path, columns) as writer:
        writer.writerows(_lines(columns, rows))


def write_rows(raw: IO[bytes], columns: Sequence[str], rows: Iterable[Mapping[str, str]]) -> None:
    """Write a population, as `write_population`, into what is open."""
    with table_in(raw, columns) as writer:
        writer.writerows(_lines(columns, rows))


def _lines(columns: Sequence[str], rows: Iterable[Mapping[str, str]]) -> Iterator[list[str]]:
    return ([row.get(column, "") for column in columns] for row in rows)
