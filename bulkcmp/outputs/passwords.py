"""passwords.csv: what opens the key files of each row that has a password of its own."""

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bulkcmp.model import Secret
from bulkcmp.outputs.files import replacing
from bulkcmp.outputs.recipient import Recipients
from bulkcmp.outputs.results import cell

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

    What it has in the clear is never on a disk then. Ids are cells as those of results.csv are;
    passwords stand as they are.

    Returns:
        Its name; None where there are no passwords, and so no file.

    Raises:
        BulkcmpError: the file system refused.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    is_empty = True
    for row in rows:
        is_empty = False
        password = row.password.reveal().decode()
        writer.writerow((cell(row.id), row.number, cell(row.key_file), password))
    if is_empty:
        return None
    content = text.getvalue().encode()
    name = PASSWORDS_FILE
    if recipients is not None:
        name += recipients.suffix
        content = recipients.encrypt(content)
    with replacing(folder / name, 0o600, durable=True) as file:
        file.write(content)
    return name
