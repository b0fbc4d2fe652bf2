"""reconciliation.csv: one line for each certificate about which a CA and a journal differ."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from bulkcmp.model import Difference
from bulkcmp.outputs.results import cell, serial_text
from bulkcmp.outputs.table import table
from bulkcmp.outputs.text import utc

COLUMNS: Final = (
    "kind", "row", "line", "id", "serial", "subject", "journal", "ca", "matched_by", "source",
    "issued_at", "revoked_at", "transaction_id",
)  # fmt: skip


def write_reconciliation(path: Path, differences: Iterable[Difference]) -> None:
    """Write differences in the order given; form and cells are those of results.csv.

    Raises:
        BulkcmpError: the file system refused.
    """
    with table(path, COLUMNS) as writer:
        writer.writerows(map(_cells, differences))


def _cells(one: Difference) -> tuple[str, ...]:
    return (
        one.kind.value,
        str(one.number),
        str(one.line),
        cell(one.id),
        serial_text(one.serial),
        cell(one.subject),
        one.journal,
        one.ca,
        one.by,
        cell(one.source),
        "" if one.issued_at is None else utc(one.issued_at, "seconds"),
        "" if one.revoked_at is None else utc(one.revoked_at, "seconds"),
        one.transaction_id,
    )
