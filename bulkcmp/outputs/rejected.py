"""rejected.csv: a line for each problem of each row that can't be used."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bulkcmp.errors import InputError
from bulkcmp.model import BadRow
from bulkcmp.outputs.results import cell
from bulkcmp.outputs.table import table

COLUMNS: Final = ("row", "line", "id", "column", "reason", "hint", "file")


@contextmanager
def rejecting(path: Path) -> Iterator[Callable[[BadRow], None]]:
    """Write rows that can't be used, as they come; the file is there, whole, once the block ends.

    UTF-8, comma-separated with CRLF (RFC 4180), mode 0600; the old file is replaced durably. Texts
    are made harmless as those of results.csv are. A file without rows says that none was rejected.

    Columns: `row` and `line` are those of the population, `file` is where the row comes from, which
    of a folder or an archive is the member. A row with several problems has as many lines.

    Raises:
        BulkcmpError: the file system refused.
    """
    with table(path, COLUMNS) as writer:

        def reject(row: BadRow) -> None:
            writer.writerows(_line(row, problem) for problem in row.problems)

        yield reject


def _line(row: BadRow, problem: InputError) -> tuple[str, ...]:
    where = problem.where
    return (
        str(row.number),
        str(row.line),
        cell(row.id),
        "" if where is None else where.column or "",
        cell(problem.what),
        cell(problem.hint or ""),
        "" if where is None else cell(where.file),
    )
