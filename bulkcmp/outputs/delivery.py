"""What is told of an end entity that is finished: by an environment, and by a JSON document."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bulkcmp.filename import file_stem
from bulkcmp.model import RowResult
from bulkcmp.outputs.credentials import pem_certificates
from bulkcmp.outputs.files import make_private_folder, remove, replacing
from bulkcmp.outputs.results import RowFiles, serial_text
from bulkcmp.outputs.text import utc, visible

SCHEMA: Final = "bulkcmp/delivery/1"

LOGS_FOLDER: Final = "deliveries"


@dataclass(frozen=True, slots=True)
class DeliveryNote:
    """What goes with a certificate that is delivered; there is no secret and no key in it.

    Attributes:
        run: its id.
        folder: of the run.
        result: of a row that `is_deliverable`.
        files: of the row, relative to the folder.
        attempt: of this row, over all sessions, counted from 1.
    """

    run: str
    folder: Path
    result: RowResult
    files: RowFiles
    attempt: int

    @property
    def token(self) -> str:
        """The same for each attempt to deliver this certificate, and for no other certificate."""
        return f"{self.run}-{self.result.number}-{self.result.transaction_id}"

    def environ(self) -> dict[str, str]:
        """Variables for a command, all text on one line."""
        variables = {name: str(value) for name, value in self._facts().items()}
        return {f"BULKCMP_{name.upper()}": visible(text) for name, text in variables.items()}

    def document(self) -> bytes:
        """A JSON document on one line, with a line feed: the facts, and the certificates as PEM."""
        certificate = self.result.certificate
        assert certificate is not None, "it is deliverable"
        document: dict[str, Any] = {
            "schema": SCHEMA,
            **self._facts(),
            "certificate_pem": pem_certificates(certificate).decode(),
            "chain_pem": pem_certificates(*self.result.chain).decode(),
        }
        return json.dumps(document).encode() + b"\n"

    def _facts(self) -> dict[str, str | int]:
        result = self.result
        assert result.certificate is not None, "it is deliverable"
        assert result.cmd is not None, "the row was good"
        return {
            "token": self.token,
            "attempt": self.attempt,
            "run": self.run,
            "folder": str(self.folder),
            "row": result.number,
            "line": result.line,
            "id": result.id,
            "cmd": result.cmd.value,
            "outcome": result.outcome.outcome.value,
            "serial": serial_text(result.serial),
            "subject": result.subject,
            "not_after": "" if result.not_after is None else utc(result.not_after, "seconds"),
            "sha256": hashlib.sha256(result.certificate).hexdigest(),
            "certificate": self._path(self.files.certificate),
            "key": self._path(self.files.key),
        }

    def _path(self, file: str) -> str:
        return str(self.folder / file) if file else ""


class DeliveryLogs:
    """What came of the last attempts that failed: a file for each row that is not delivered.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / LOGS_FOLDER

    def write(self, row_id: str, output: bytes) -> None:
        """Keep what an attempt said, for the user alone (0600), in place of an earlier one's words.

        Raises:
            BulkcmpError: the file system refused.
        """
        make_private_folder(self._folder)
        with replacing(self._path(row_id), 0o600, durable=False) as file:
            file.write(output)

    def remove(self, row_id: str) -> None:
        """Forget what an earlier attempt said.

        Raises:
            BulkcmpError: the file system refused.
        """
        remove(self._path(row_id))

    def _path(self, row_id: str) -> Path:
        return self._folder / f"{file_stem(row_id)}.log"
