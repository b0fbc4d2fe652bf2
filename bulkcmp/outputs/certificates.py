"""certificates.csv: what a load test had issued and revoked, for an OCSP test or to clean up."""

import csv
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from bulkcmp.errors import BulkcmpError, Where
from bulkcmp.model import Operation, OutcomeClass

COLUMNS: Final = ("arrival", "id", "cmd", "serial", "outcome")


class CertificateTable:
    """Writes the file, as a context manager: a line for each certificate as the CA gives it, and
    another one when it is revoked.

    Args:
        path: must not exist; it is made for the user alone (0600).

    Raises:
        BulkcmpError: the file system refused; of every method.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            path.touch(0o600, exist_ok=False)
            self._file = path.open("a", encoding="utf-8", newline="")
        except OSError as error:
            raise self._refused(error) from error
        self._writer = csv.writer(self._file)
        self._write([COLUMNS])

    def add(
        self, arrival: int, id_: str, cmd: Operation, serial: int, outcome: OutcomeClass
    ) -> None:
        """Add a line.

        Args:
            arrival: number of its lifecycle; id_: of the end entity.
            outcome: of the transaction: only `issued` and `issued, subject changed` are confirmed.
        """
        self._write([(arrival, id_, cmd.value, f"{serial:X}", outcome.value)])

    def flush(self) -> None:
        """Whatever was added is safe from the end of this process."""
        try:
            self._file.flush()
        except OSError as error:
            raise self._refused(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._file.close()
        except OSError as failure:
            raise self._refused(failure) from failure

    def _write(self, rows: Iterable[Iterable[object]]) -> None:
        try:
            self._writer.writerows(rows)
        except OSError as error:
            raise self._refused(error) from error

    def _refused(self, error: OSError) -> BulkcmpError:
        return BulkcmpError(
            f"can't be written: {error.strerror or error}",
            where=Where(str(self._path)),
            hint="check the folder's permissions and free space",
        )
