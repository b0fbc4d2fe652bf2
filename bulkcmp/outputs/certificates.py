"""certificates.csv: what a load test had issued and revoked, for an OCSP test or to clean up."""

import csv
import fcntl
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from bulkcmp.errors import InputError, Where
from bulkcmp.load.certified import Certified
from bulkcmp.model import Operation, OutcomeClass
from bulkcmp.outputs.files import GrowingFile, refused

COLUMNS: Final = ("arrival", "id", "cmd", "serial", "outcome", "issuer", "subject", "server")
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
        BulkcmpError: the file system refused; of every method but `add`.
    """

    def __init__(self, path: Path, *, again: bool = False) -> None:
        self._file = GrowingFile(path, again=again)
        try:
            fcntl.flock(self._file.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if again:
                os.ftruncate(self._file.descriptor, sum(map(len, _whole_lines(path))))
        except BlockingIOError:
            self._file.close()
            raise InputError(
                "another bulkcmp is at work on this run",
                where=Where(str(path)),
                hint="wait for it to end, or stop it",
            ) from None
        except OSError as error:
            self._file.close()
            raise refused(path, error) from error
        if not again:
            self._write(COLUMNS)

    def add(self, one: Certified) -> None:
        """Add a line, for the next `flush`."""
        serial = f"{one.serial:X}"
        names = one.issuer.hex(), one.subject.hex(), one.server
        self._write((one.arrival, one.id, one.cmd.value, serial, one.outcome.value, *names))

    def flush(self) -> None:
        """Whatever was added is safe from the end of this process."""
        self._file.flush()

    def close(self) -> None:
        """Flush it for the last time, and close it in any case."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _write(self, row: Iterable[object]) -> None:
        line = io.StringIO(newline="")
        csv.writer(line).writerow(row)
        self._file.write(line.getvalue().encode())


def read_certificates(path: Path) -> Iterator[Certified]:
    """The lines of the file, but for one at its end that a killed run left unfinished.

    Raises:
        InputError: it is not there, or not such a file.
    """
    try:
        rows = csv.reader(line.decode() for line in _whole_lines(path))
        if tuple(next(rows, ())) != COLUMNS:
            raise InputError(
                f"the columns are not {', '.join(COLUMNS)}",
                where=Where(str(path), 1),
                hint="where another version of bulkcmp wrote it, revoke with that one",
            )
        for row in rows:
            yield _certified(row, Where(str(path), rows.line_num))
    except OSError as error:
        hint = "which folder did bulkcmp load --out name?"
        raise InputError(error.strerror or str(error), where=Where(str(path)), hint=hint) from None
    except UnicodeDecodeError:
        where = Where(str(path), rows.line_num + 1)
        raise InputError("not valid UTF-8", where=where) from None
    except csv.Error:
        raise _not_ours(Where(str(path), rows.line_num)) from None


def _certified(row: Sequence[str], where: Where) -> Certified:
    try:
        arrival, id_, cmd, serial, outcome, issuer, subject, server = row
        return Certified(
            int(arrival),
            id_,
            Operation(cmd),
            int(serial, 16),
            OutcomeClass(outcome),
            bytes.fromhex(issuer),
            bytes.fromhex(subject),
            server,
        )
    except ValueError:
        raise _not_ours(where) from None


def _not_ours(where: Where) -> InputError:
    return InputError("not a line that bulkcmp wrote", where=where)


def _whole_lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield line
