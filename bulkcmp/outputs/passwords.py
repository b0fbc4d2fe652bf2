"""passwords.csv: what opens the key files of each row that has a password of its own."""

import io
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Final

from bulkcmp.model import Secret
from bulkcmp.outputs.files import replacing
from bulkcmp.outputs.recipient import Recipients
from bulkcmp.outputs.results import cell
from bulkcmp.outputs.table import table, table_in

PASSWORDS_FILE: Final = "passwords.csv"

COLUMNS: Final = ("id", "row", "key_file", "password")


@dataclass(frozen=True, slots=True)
class RowPassword:
    """Attributes:
    key_file: relative to the run folder.
    password: UTF-8.
    """

    id: str
    number: int
    key_file: str
    password: Secret = field(repr=False)


def write_passwords(
    folder: Path, rows: Iterable[RowPassword], recipients: Recipients | None
) -> str | None:
    """Write the file (0600), whole and durably; encrypted where there are recipients.

    What it has in the clear is never on a disk then, but in memory as a whole. Ids are cells as
    those of results.csv are; passwords stand as they are.

    Returns:
        Its name; None where there are no passwords, and so no file.

    Raises:
        BulkcmpError: the file system refused.
    """
    lines = iter(map(_cells, rows))
    first = next(lines, None)
    if first is None:
        return None
    if recipients is None:
        with table(folder / PASSWORDS_FILE, COLUMNS) as writer:
            writer.writerows(chain([first], lines))
        return PASSWORDS_FILE
    content = io.BytesIO()
    with table_in(content, COLUMNS) as writer:
        writer.writerows(chain([first], lines))
    name = f"{PASSWORDS_FILE}{recipients.suffix}"
    with replacing(folder / name, 0o600, durable=True) as file:
        file.write(recipients.encrypt(content.getvalue()))
    return name


def _cells(row: RowPassword) -> tuple[str | int, ...]:
    return cell(row.id), row.number, cell(row.key_file), row.password.reveal().decode()
