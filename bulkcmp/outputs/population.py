"""Populations that bulkcmp writes itself, for runs on what it found."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Final

from bulkcmp.outputs.files import replacing

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
    with replacing(path, 0o600, durable=True) as raw:
        write_rows(raw, columns, rows)


def write_rows(raw: IO[bytes], columns: Sequence[str], rows: Iterable[Mapping[str, str]]) -> None:
    """Write a population, as `write_population`, into what is open."""
    text = io.TextIOWrapper(raw, encoding="utf-8", newline="")
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows([row.get(column, "") for column in columns] for row in rows)
    # detached, or the wrapper would close what is open
    text.detach()
