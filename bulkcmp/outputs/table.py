"""CSV files (RFC 4180, UTF-8) with a header, written line by line."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol

from bulkcmp.outputs.files import replacing


class TableWriter(Protocol):
    """What lines are written by, as by those of the module csv."""

    def writerow(self, row: Iterable[Any], /) -> Any: ...

    def writerows(self, rows: Iterable[Iterable[Any]], /) -> None: ...


@contextmanager
def table(path: Path, columns: Sequence[str]) -> Iterator[TableWriter]:
    """Open a new table for the user alone (0600).

    It takes the place of an old one, whole and durably, when the block ends without an exception.

    Raises:
        BulkcmpError: the file system refused.
    """
    with replacing(path, 0o600, durable=True) as raw, table_in(raw, columns) as writer:
        yield writer


@contextmanager
def table_in(raw: IO[bytes], columns: Sequence[str]) -> Iterator[TableWriter]:
    """Write a table into what is open, and stays so."""
    text = io.TextIOWrapper(raw, encoding="utf-8", newline="")
    try:
        writer = csv.writer(text)
        writer.writerow(columns)
        yield writer
    finally:
        # or the wrapper would close it
        text.detach()
