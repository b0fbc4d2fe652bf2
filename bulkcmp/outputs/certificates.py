"""certificates.csv: what a load test had issued and revoked, for an OCSP test or to clean up."""

import csv
import fcntl
import io
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from bulkcmp.errors import BulkcmpError, InputError, Where
from bulkcmp.load.certified import Certified
from bulkcmp.model import Operation, OutcomeClass

COLUMNS: Final = ("arrival", "id", "cmd", "serial", "outcome", "issuer", "subject")
"""Names are DER in hex."""


class CertificateTable:
    """Writes the file, as a context manager: a line for each certificate as the CA gives it, and
    another one for each time that it was asked to revoke it.

    Who writes it has it alone: two would cut each other's lines.

    Args:
        path: must not exist; it is made for the user alone (0600).
        again: it exists, and is added to.

    Raises:
        InputError: another process writes it.
        BulkcmpError: the file system refused; of every method.
    """

    def __init__(self, path: Path, *, again: bool = False) -> None:
        self._path = path
        flags = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC
        if not again:
            flags |= os.O_CREAT | os.O_EXCL
        try:
            descriptor = os.open(path, flags, 0o600)
            self._file = os.fdopen(descriptor, "a", encoding="utf-8", newline="")
        except OSError as error:
            raise self._refused(error) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if again:
                self._file.truncate(len(_whole_lines(path)))
        except BlockingIOError:
            self._file.close()
            raise InputError(
                "another bulkcmp is at work on this run",
                where=Where(str(path)),
                hint="wait for it to end, or stop it",
            ) from None
        except OSError as error:
            self._file.close()
            raise self._refused(error) from error
        self._writer = csv.writer(self._file)
        if not again:
            self._write([COLUMNS])

    def add(self, one: Certified) -> None:
        """Add a line."""
        serial = f"{one.serial:X}"
        names = one.issuer.hex(), one.subject.hex()
        self._write([(one.arrival, one.id, one.cmd.value, serial, one.outcome.value, *names)])

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


def read_certificates(path: Path) -> Iterator[Certified]:
    """The lines of the file, but for one at its end that a killed run left unfinished.

    Raises:
        InputError: it is not there, or not such a file.
    """
    try:
        text = _whole_lines(path).decode()
    except OSError as error:
        hint = "which folder did bulkcmp load --out name?"
        raise InputError(error.strerror or str(error), where=Where(str(path)), hint=hint) from None
    except UnicodeDecodeError:
        raise InputError("not valid UTF-8", where=Where(str(path))) from None
    rows = csv.reader(io.StringIO(text, newline=""))
    if tuple(next(rows, ())) != COLUMNS:
        where = Where(str(path), 1)
        raise InputError(f"the columns are not {', '.join(COLUMNS)}", where=where)
    for row in rows:
        try:
            arrival, id_, cmd, serial, outcome, issuer, subject = row
            yield Certified(
                int(arrival),
                id_,
                Operation(cmd),
                int(serial, 16),
                OutcomeClass(outcome),
                bytes.fromhex(issuer),
                bytes.fromhex(subject),
            )
        except ValueError:
            where = Where(str(path), rows.line_num)
            raise InputError("not a line that bulkcmp wrote", where=where) from None


def _whole_lines(path: Path) -> bytes:
    content = path.read_bytes()
    return content[: content.rfind(b"\n") + 1]
