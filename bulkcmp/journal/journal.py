"""The durable record of a run: SQLite in the run folder.

Order for a row: key and request with its transactionID (one commit) -> certificate, and the key
that came with it (one commit) -> certConf -> done. A commit is on the disk (`synchronous=FULL`)
before what it permits happens; many entries share one commit.
"""

import datetime as dt
import errno
import fcntl
import json
import os
import sqlite3
import threading
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from cryptography import x509

from bulkcmp.cmp.events import Checkpoint, Part, Phase
from bulkcmp.cmp.general import decode_infos, encode_infos
from bulkcmp.cmp.outcomes import unknown
from bulkcmp.errors import EXIT_SOME_FAILED, BulkcmpError, InputError, Where
from bulkcmp.journal.entry import (
    INTERRUPTED,
    Advanced,
    Begun,
    BegunRow,
    Ended,
    Entry,
    Resumed,
    RowState,
    Skipped,
)
from bulkcmp.journal.seal import Seal, is_plain_header
from bulkcmp.model import Itav, Operation, Outcome, OutcomeClass, RowResult, Secret, Timings

FILE_NAME: Final = "journal.db"
_FORMAT: Final = 3
_APPLICATION_ID: Final = 0x62636D70  # "bcmp"
_BUSY_SECONDS: Final = 30.0

_SCHEMA: Final = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE issuer (id INTEGER PRIMARY KEY, der BLOB NOT NULL UNIQUE);
CREATE TABLE row (
  number INTEGER PRIMARY KEY,
  line INTEGER NOT NULL,
  id TEXT NOT NULL,
  cmd TEXT,
  requested_subject BLOB,
  key BLOB,
  key_id INTEGER,
  transaction_id BLOB,
  outcome TEXT,
  reason TEXT NOT NULL DEFAULT '',
  detail TEXT NOT NULL DEFAULT '',
  pki_status INTEGER,
  fail_info TEXT NOT NULL DEFAULT '',
  status_text TEXT NOT NULL DEFAULT '',
  service REAL, request REAL, polling REAL, confirm REAL,
  attempts INTEGER NOT NULL DEFAULT 0,
  sends INTEGER NOT NULL DEFAULT 0,
  finished_at TEXT
);
CREATE INDEX row_open ON row (number) WHERE outcome IS NULL;
CREATE TABLE tx (
  transaction_id BLOB PRIMARY KEY,
  request_nonce BLOB NOT NULL,
  sent_nonce BLOB NOT NULL,
  received_nonce BLOB,
  protection BLOB NOT NULL,
  deadline REAL NOT NULL,
  whole_waits INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE part (
  transaction_id BLOB NOT NULL REFERENCES tx,
  number INTEGER NOT NULL REFERENCES row,
  phase TEXT NOT NULL,
  cert_req_id INTEGER NOT NULL,
  check_at REAL NOT NULL,
  certificate BLOB,
  chain TEXT NOT NULL DEFAULT '',
  -- DER GenRepContent
  infos BLOB,
  granted TEXT,
  confirm INTEGER NOT NULL,
  -- while others of the transaction go on
  ended TEXT,
  outcome TEXT,
  reason TEXT NOT NULL DEFAULT '',
  PRIMARY KEY (transaction_id, number)
) WITHOUT ROWID;
CREATE INDEX part_by_row ON part (number);
"""


class JournalError(BulkcmpError):
    """The machine failed the journal: disk full, an I/O error, a lock."""

    exit_code = EXIT_SOME_FAILED


class Journal:
    """An open journal; a context manager. Methods block; any thread may call them, one at a time.

    A second process that opens the same run is refused.
    """

    def __init__(self, folder: Path, lock: int, connection: sqlite3.Connection) -> None:
        """Made by `create` and `open` only."""
        self._folder = folder
        self._lock_fd: int | None = lock
        self._connection = connection
        self._mutex = threading.Lock()
        self._seal: Seal | None = None
        self._issuers: dict[bytes, int] = {}
        self._issuer_ders: dict[str, bytes] = {}

    @classmethod
    def create(cls, folder: Path, meta: dict[str, Any], passphrase: Secret | None) -> Self:
        """Make the run folder and its journal, both on the disk before this returns.

        Args:
            folder: must not hold a journal yet; made with mode 0700 where it is missing.
            meta: JSON-able facts of the run.
            passphrase: seals the keys; None stores them unencrypted.

        Raises:
            InputError: the folder can't be made or holds a run already.
            JournalError: the machine failed.
        """
        where = Where(str(folder))
        parents = _make_folder(folder)
        lock = _lock(folder)
        try:
            with _translated(folder):
                if (folder / FILE_NAME).exists():
                    raise InputError(
                        "holds a run already",
                        where=where,
                        hint="go on with it by bulkcmp resume, or choose another --out",
                    )
                # may refuse the passphrase: before there is a file
                seal = Seal.create(passphrase, where=where)
                facts = {"run_id": uuid.uuid4().hex, "seal": seal.header, "facts": json.dumps(meta)}
                # until the journal bears its final name, the folder holds no run
                draft = folder / f".{FILE_NAME}.draft"
                draft.unlink(missing_ok=True)
                try:
                    _write_draft(draft, facts)
                    draft.rename(folder / FILE_NAME)
                finally:
                    draft.unlink(missing_ok=True)
                for each in (folder, *parents):
                    _sync(each)
            journal = cls(folder, lock, _connect(folder))
        except BaseException:
            os.close(lock)
            raise
        journal._seal = seal
        return journal

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open the journal of a run; its keys stay sealed until `unlock`.

        Raises:
            InputError: there is none, it can't be read, it is of another version, or another
                process has it.
            JournalError: the machine failed.
        """
        lock = _lock(folder)
        try:
            return cls(folder, lock, _connect(folder))
        except BaseException:
            os.close(lock)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        with self._mutex:
            self._connection.close()
            if self._lock_fd is not None:
                os.close(self._lock_fd)
                self._lock_fd = None

    # --- facts ----------------------------------------------------------------------------------

    @property
    def folder(self) -> Path:
        return self._folder

    @property
    def run_id(self) -> str:
        return self._meta("run_id")

    @property
    def facts(self) -> dict[str, Any]:
        """What `create` was given as `meta`."""
        facts: dict[str, Any] = json.loads(self._meta("facts"))
        return facts

    @property
    def anchor(self) -> bytes | None:
        """DER of the root certificate that the run's first ip brought, if it was to."""
        with self._mutex, _translated(self._folder):
            found = self._connection.execute("SELECT value FROM meta WHERE key = 'anchor'")
            row = found.fetchone()
        return None if row is None else bytes.fromhex(row[0])

    @property
    def is_plain(self) -> bool:
        """Whether the run's keys are stored unencrypted (--plain-keys)."""
        return is_plain_header(self._meta("seal"), where=Where(str(self._folder)))

    def unlock(self, passphrase: Secret | None) -> None:
        """Open the seal of the run's keys.

        Raises:
            InputError: the passphrase is wrong, missing, or given for a run without one.
        """
        self._seal = Seal.open(self._meta("seal"), passphrase, where=Where(str(self._folder)))

    def _meta(self, key: str) -> str:
        with self._mutex, _translated(self._folder):
            found = self._connection.execute("SELECT value FROM meta WHERE key = ?", (key,))
            return str(found.fetchone()[0])

    # --- writing --------------------------------------------------------------------------------

    def write(self, entries: Sequence[Entry]) -> None:
        """Write entries in one commit; it is on the disk when this returns.

        Raises:
            JournalError: the machine failed; none of the entries is written.
        """
        try:
            with self._mutex, _translated(self._folder), _commit(self._connection) as connection:
                for entry in entries:
                    match entry:
                        case Begun():
                            self._begin(connection, entry)
                        case Resumed():
                            _resume(connection, entry)
                        case Advanced(checkpoint):
                            self._advance(connection, checkpoint)
                        case Ended():
                            _end(connection, entry)
                        case Skipped():
                            _skip(connection, entry)
        except BaseException:
            # some of them may have been numbered by what was rolled back
            self._issuers.clear()
            raise

    def _begin(self, connection: sqlite3.Connection, entry: Begun) -> None:
        checkpoint = entry.checkpoint
        for row in entry.rows:
            self._begin_row(connection, row, checkpoint.transaction_id)
        connection.execute(
            "INSERT INTO tx (transaction_id, request_nonce, sent_nonce, protection, deadline,"
            " whole_waits) VALUES (?, ?, ?, ?, ?, ?)",
            (
                checkpoint.transaction_id,
                checkpoint.request_nonce,
                checkpoint.sent_nonce,
                checkpoint.protection,
                checkpoint.deadline,
                checkpoint.whole_waits,
            ),
        )
        connection.executemany(
            "INSERT INTO part (transaction_id, number, phase, cert_req_id, check_at, confirm)"
            " VALUES (?, ?, ?, ?, ?, 0)",
            [
                (
                    checkpoint.transaction_id,
                    part.number,
                    part.phase.value,
                    part.cert_req_id,
                    part.check_at,
                )
                for part in checkpoint.parts
            ],
        )

    def _begin_row(
        self, connection: sqlite3.Connection, row: BegunRow, transaction_id: bytes
    ) -> None:
        key = None if row.key is None else self._sealed(row.key, row.number)
        connection.execute(
            "INSERT INTO row (number, line, id, cmd, requested_subject, key, key_id,"
            " transaction_id, attempts) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1)"
            " ON CONFLICT (number) DO UPDATE SET transaction_id = excluded.transaction_id,"
            " cmd = excluded.cmd, requested_subject = excluded.requested_subject,"
            " attempts = attempts + 1, outcome = NULL, reason = '', detail = '',"
            " pki_status = NULL, fail_info = '', status_text = '', service = NULL,"
            " request = NULL, polling = NULL, confirm = NULL, finished_at = NULL,"
            " key = coalesce(row.key, excluded.key),"
            " key_id = coalesce(row.key_id, excluded.key_id)",
            (
                row.number,
                row.line,
                row.id,
                row.cmd.value,
                row.requested_subject,
                key,
                row.key_id,
                transaction_id,
            ),
        )

    def _advance(self, connection: sqlite3.Connection, checkpoint: Checkpoint) -> None:
        connection.execute(
            "UPDATE tx SET sent_nonce = ?, received_nonce = ?, deadline = ?, whole_waits = ?"
            " WHERE transaction_id = ?",
            (
                checkpoint.sent_nonce,
                checkpoint.received_nonce,
                checkpoint.deadline,
                checkpoint.whole_waits,
                checkpoint.transaction_id,
            ),
        )
        if checkpoint.anchor is not None:
            # the first one counts for the whole run
            connection.execute(
                "INSERT OR IGNORE INTO meta VALUES ('anchor', ?)", (checkpoint.anchor.hex(),)
            )
        for part in checkpoint.parts:
            updated = connection.execute(
                "UPDATE part SET phase = ?, cert_req_id = ?, check_at = ?, certificate = ?,"
                " chain = ?, infos = ?, granted = ?, confirm = ?, ended = ?"
                " WHERE transaction_id = ? AND number = ?",
                (
                    part.phase.value,
                    part.cert_req_id,
                    part.check_at,
                    part.certificate,
                    ",".join(str(self._issuer(connection, der)) for der in part.chain),
                    encode_infos(part.infos) if part.infos else None,
                    None if part.granted is None else _outcome_to_json(part.granted),
                    part.confirm,
                    None if part.outcome is None else _outcome_to_json(part.outcome),
                    checkpoint.transaction_id,
                    part.number,
                ),
            )
            assert updated.rowcount == 1, "a transaction begins before it gets further"
            if part.key is not None:
                connection.execute(
                    "UPDATE row SET key = ? WHERE number = ?",
                    (self._sealed(part.key, part.number), part.number),
                )

    def _issuer(self, connection: sqlite3.Connection, der: bytes) -> int:
        """The number of an issuer's certificate; the same few stand behind all rows."""
        number = self._issuers.get(der)
        if number is None:
            connection.execute("INSERT OR IGNORE INTO issuer (der) VALUES (?)", (der,))
            found = connection.execute("SELECT id FROM issuer WHERE der = ?", (der,))
            number = self._issuers[der] = int(found.fetchone()[0])
        return number

    def _context(self, number: int) -> bytes:
        return f"bulkcmp journal\0{number}".encode()

    # --- reading --------------------------------------------------------------------------------

    def settle(self) -> int:
        """Give a run that was cut off an outcome for each row that was under way.

        A request that left, or may have left, without its answer is `unknown outcome`, a genm
        `unanswered`; what waits is `still waiting`; a certificate without its pkiconf is
        `confirmation unknown`.

        Returns:
            How many rows were under way.
        """
        with self._mutex, _translated(self._folder), _commit(self._connection) as connection:
            return _settle(connection, connection.execute(_OPEN_ROWS).fetchall())

    def take_over(self, numbers: Sequence[int]) -> dict[int, RowState]:
        """The same for these rows only, whose worker died; returns what `states` does."""
        with self._mutex, _translated(self._folder), _commit(self._connection) as connection:
            for number in numbers:
                query = f"{_OPEN_ROWS} AND row.number = ?"
                _settle(connection, connection.execute(query, (number,)).fetchall())
        return self.states(numbers)

    def states(self, numbers: Iterable[int]) -> dict[int, RowState]:
        """Where these rows stand; rows that were never taken up are left out.

        Raises:
            InputError: a sealed key is damaged.
            JournalError: the machine failed.
        """
        wanted = tuple(numbers)
        marks = ",".join("?" * len(wanted))
        with self._mutex, _translated(self._folder):
            found = self._connection.execute(
                "SELECT number, outcome, reason, key, transaction_id FROM row"  # noqa: S608  # marks
                f" WHERE number IN ({marks})",
                wanted,
            ).fetchall()
            checkpoints = {
                transaction_id: self._checkpoint(transaction_id)
                for *_, transaction_id in found
                if transaction_id is not None
            }
            return {
                number: RowState(
                    number,
                    OutcomeClass(outcome) if outcome else OutcomeClass.TO_DO,
                    checkpoints.get(transaction_id),
                    None if key is None else self._unseal(key, number),
                    interrupted=reason == INTERRUPTED,
                )
                for number, outcome, reason, key, transaction_id in found
            }

    def _checkpoint(self, transaction_id: bytes) -> Checkpoint:
        (request_nonce, sent_nonce, received_nonce, protection, deadline, whole_waits) = (
            self._connection.execute(
                "SELECT request_nonce, sent_nonce, received_nonce, protection, deadline,"
                " whole_waits FROM tx WHERE transaction_id = ?",
                (transaction_id,),
            ).fetchone()
        )
        parts = self._connection.execute(
            "SELECT number, phase, cert_req_id, check_at, certificate, chain, infos, granted,"
            # certReqIds are given in the order of the requests
            " confirm, ended FROM part WHERE transaction_id = ? ORDER BY cert_req_id",
            (transaction_id,),
        )
        return Checkpoint(
            transaction_id=transaction_id,
            request_nonce=request_nonce,
            sent_nonce=sent_nonce,
            received_nonce=received_nonce,
            protection=protection,
            deadline=deadline,
            parts=tuple(map(self._part, parts)),
            whole_waits=bool(whole_waits),
        )

    def _part(self, columns: Sequence[Any]) -> Part:
        (
            number,
            phase,
            cert_req_id,
            check_at,
            certificate,
            chain,
            infos,
            granted,
            confirm,
            ended,
        ) = columns
        return Part(
            number=number,
            phase=Phase(phase),
            cert_req_id=cert_req_id,
            check_at=check_at,
            certificate=certificate,
            chain=self._chain(chain),
            infos=_infos(infos),
            granted=None if granted is None else _outcome_from_json(granted),
            confirm=bool(confirm),
            outcome=None if ended is None else _outcome_from_json(ended),
        )

    def _chain(self, numbers: str) -> tuple[bytes, ...]:
        if not numbers:
            return ()
        return tuple(self._issuer_der(number) for number in numbers.split(","))

    def _issuer_der(self, number: str) -> bytes:
        der = self._issuer_ders.get(number)
        if der is None:
            found = self._connection.execute("SELECT der FROM issuer WHERE id = ?", (number,))
            der = self._issuer_ders[number] = bytes(found.fetchone()[0])
        return der

    def _sealed(self, key: bytes, number: int) -> bytes:
        assert self._seal is not None
        return self._seal.seal(key, self._context(number))

    def _unseal(self, sealed: bytes, number: int) -> bytes:
        assert self._seal is not None
        return self._seal.unseal(sealed, self._context(number))

    def key_ids(self) -> Iterator[int]:
        """The numbers, in the key file, of the keys that rows of this run use."""
        with self._mutex, _translated(self._folder):
            found = self._connection.execute(
                "SELECT key_id FROM row WHERE key_id IS NOT NULL"
            ).fetchall()
        yield from (key_id for (key_id,) in found)

    def count(self) -> int:
        """How many rows of the population were taken up."""
        with self._mutex, _translated(self._folder):
            return int(self._connection.execute("SELECT count(*) FROM row").fetchone()[0])

    def results(self, *, with_keys: bool = False) -> Iterator[tuple[RowResult, bytes | None]]:
        """Every row that was taken up, in the population's order, with its key where asked for.

        Streamed; outcome and certificate of a row are those of its last transaction.

        Raises:
            InputError: a sealed key is damaged.
            JournalError: the machine failed.
        """
        last = -1
        while True:
            with self._mutex, _translated(self._folder):
                rows = self._connection.execute(_RESULTS, (last, _PAGE)).fetchall()
                page = [self._result(row, with_keys=with_keys) for row in rows]
            yield from page
            if len(page) < _PAGE:
                return
            last = page[-1][0].number

    def _result(self, row: Sequence[Any], *, with_keys: bool) -> tuple[RowResult, bytes | None]:
        (
            number,
            line,
            identity,
            cmd,
            requested,
            key,
            transaction_id,
            outcome,
            reason,
            detail,
            pki_status,
            fail_info,
            status_text,
            service,
            request,
            polling,
            confirm,
            attempts,
            sends,
            finished_at,
            certificate,
            chain,
            infos,
        ) = row
        serial, subject, not_after = _described(certificate)
        result = RowResult(
            number=number,
            line=line,
            id=identity,
            cmd=None if cmd is None else Operation(cmd),
            outcome=Outcome(
                OutcomeClass(outcome) if outcome else OutcomeClass.TO_DO,
                reason,
                detail,
                pki_status,
                tuple(fail_info.split("|")) if fail_info else (),
                status_text,
            ),
            transaction_id="" if transaction_id is None else transaction_id.hex(),
            certificate=certificate,
            chain=self._chain(chain or ""),
            infos=_infos(infos),
            serial=serial,
            requested_subject=_name_text(requested),
            subject=subject,
            not_after=not_after,
            timings=Timings(service, request, polling, confirm),
            attempts=attempts,
            sends=sends,
            finished_at=None if finished_at is None else dt.datetime.fromisoformat(finished_at),
            has_key=key is not None,
        )
        return result, self._unseal(key, number) if with_keys and key is not None else None


_PAGE: Final = 256

_OPEN_ROWS: Final = (
    "SELECT row.number, row.cmd, transaction_id, phase, granted, part.confirm, ended FROM row"
    " JOIN part USING (transaction_id, number) WHERE row.outcome IS NULL"
)

_RESULTS: Final = """
SELECT row.number, row.line, row.id, row.cmd, row.requested_subject, row.key,
  row.transaction_id, row.outcome, row.reason, row.detail, row.pki_status, row.fail_info,
  row.status_text, row.service, row.request, row.polling, row.confirm, row.attempts, row.sends,
  row.finished_at, part.certificate, part.chain, part.infos
FROM row LEFT JOIN part USING (transaction_id, number)
WHERE row.number > ? ORDER BY row.number LIMIT ?
"""


def _resume(connection: sqlite3.Connection, entry: Resumed) -> None:
    for number in entry.numbers:
        connection.execute(
            "UPDATE row SET outcome = NULL, reason = '', detail = '', pki_status = NULL,"
            " fail_info = '', status_text = '', finished_at = NULL WHERE number = ?",
            (number,),
        )
        connection.execute(
            "UPDATE part SET outcome = NULL, reason = '' WHERE transaction_id = ? AND number = ?",
            (entry.transaction_id, number),
        )


def _end(connection: sqlite3.Connection, entry: Ended) -> None:
    connection.execute(
        "INSERT OR IGNORE INTO row (number, line, id, cmd) VALUES (?, ?, ?, ?)",
        (entry.number, entry.line, entry.id, entry.cmd.value),
    )
    if entry.transaction_id is not None:
        _set_part_outcome(connection, entry.transaction_id, entry.number, entry.outcome)
    _set_row_outcome(connection, entry.number, entry.outcome)
    timings = entry.timings
    connection.execute(
        "UPDATE row SET service = ?, request = ?, polling = ?, confirm = ?, sends = sends + ?,"
        " finished_at = ? WHERE number = ?",
        (
            timings.service,
            timings.request,
            timings.polling,
            timings.confirm,
            entry.sends,
            entry.finished_at.isoformat(),
            entry.number,
        ),
    )


def _skip(connection: sqlite3.Connection, entry: Skipped) -> None:
    row = entry.row
    connection.execute(
        "INSERT OR IGNORE INTO row (number, line, id) VALUES (?, ?, ?)",
        (row.number, row.line, row.id),
    )
    _set_row_outcome(connection, row.number, entry.outcome)
    connection.execute(
        "UPDATE row SET finished_at = ? WHERE number = ?",
        (entry.finished_at.isoformat(), row.number),
    )


def _set_row_outcome(connection: sqlite3.Connection, number: int, outcome: Outcome) -> None:
    connection.execute(
        "UPDATE row SET outcome = ?, reason = ?, detail = ?, pki_status = ?, fail_info = ?,"
        " status_text = ? WHERE number = ?",
        (
            outcome.outcome.value,
            outcome.reason,
            outcome.detail,
            outcome.pki_status,
            "|".join(outcome.fail_info),
            outcome.status_text,
            number,
        ),
    )


def _set_part_outcome(
    connection: sqlite3.Connection, transaction_id: bytes, number: int, outcome: Outcome
) -> None:
    connection.execute(
        "UPDATE part SET outcome = ?, reason = ? WHERE transaction_id = ? AND number = ?",
        (outcome.outcome.value, outcome.reason, transaction_id, number),
    )


def _settle(connection: sqlite3.Connection, rows: Sequence[Sequence[Any]]) -> int:
    for number, cmd, transaction_id, phase, granted, confirm, ended in rows:
        outcome = (
            _settled(Operation(cmd), Phase(phase), granted, confirm=bool(confirm))
            if ended is None
            else _outcome_from_json(ended)
        )
        _set_part_outcome(connection, transaction_id, number, outcome)
        _set_row_outcome(connection, number, outcome)
    return len(rows)


def _settled(operation: Operation, phase: Phase, granted: str | None, *, confirm: bool) -> Outcome:
    if phase is Phase.REQUESTED:
        return Outcome(
            unknown(operation),
            INTERRUPTED,
            "the run was cut off after the request was recorded and before its answer was stored",
        )
    if phase is Phase.WAITING:
        return Outcome(
            OutcomeClass.STILL_WAITING,
            INTERRUPTED,
            "the run was cut off while the server had us wait",
        )
    assert granted is not None
    outcome = _outcome_from_json(granted)
    if not confirm or outcome.outcome is OutcomeClass.ISSUED_REFUSED:
        return outcome
    return Outcome(
        OutcomeClass.ISSUED_CONFIRMATION_UNKNOWN,
        INTERRUPTED,
        "the run was cut off between storing the certificate and its pkiconf",
        outcome.pki_status,
        outcome.fail_info,
        outcome.status_text,
    )


def _outcome_to_json(outcome: Outcome) -> str:
    return json.dumps(
        [
            outcome.outcome.value,
            outcome.reason,
            outcome.detail,
            outcome.pki_status,
            outcome.fail_info,
            outcome.status_text,
        ]
    )


def _outcome_from_json(text: str) -> Outcome:
    kind, reason, detail, pki_status, fail_info, status_text = json.loads(text)
    return Outcome(OutcomeClass(kind), reason, detail, pki_status, tuple(fail_info), status_text)


def _infos(der: bytes | None) -> tuple[Itav, ...]:
    return () if der is None else decode_infos(der)


def _described(certificate: bytes | None) -> tuple[int | None, str, dt.datetime | None]:
    if certificate is None:
        return None, "", None
    try:
        parsed = x509.load_der_x509_certificate(certificate)
        return (
            parsed.serial_number,
            parsed.subject.rfc4514_string(),
            parsed.not_valid_after_utc,
        )
    except (ValueError, x509.InvalidVersion):
        # stored as it came, refused as malformed
        return None, "", None


def _name_text(name: bytes | None) -> str:
    if name is None:
        return ""
    try:
        return x509.Name.from_bytes(name).rfc4514_string()
    except ValueError:
        return ""


def _make_folder(folder: Path) -> tuple[Path, ...]:
    """Make a folder and what is missing above it.

    Returns:
        The folders that got a new entry by that, or may have got one before a crash.
    """
    try:
        missing = [folder, *(parent for parent in folder.absolute().parents if not parent.exists())]
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"the run folder can't be made: {error.strerror}", where=Where(str(folder))
        ) from None
    return tuple(made.absolute().parent for made in missing)


def _write_draft(path: Path, meta: dict[str, str]) -> None:
    """Write a whole new journal that is on the disk when this returns."""
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        # a draft is whole or thrown away, and leaves no second file behind
        connection.execute("PRAGMA journal_mode = OFF")
        connection.executescript(_SCHEMA)
        connection.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())
        connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {_FORMAT}")
    _sync(path)


def _lock(folder: Path) -> int:
    """Take the run for this process; the kernel gives it back when the process ends."""
    where = Where(str(folder))
    try:
        # the folder, not the journal: whoever closes a file gives up SQLite's locks on it
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        raise _no_run(where) from None
    except OSError as error:
        raise InputError(f"the run folder can't be opened: {error.strerror}", where=where) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise InputError(
            "another bulkcmp is at work on this run",
            where=where,
            hint="wait for it to end, or stop it",
        ) from None
    except OSError as error:
        os.close(descriptor)
        raise JournalError(
            f"the run folder can't be locked: {error.strerror}",
            where=where,
            hint="choose a folder on a local disk",
        ) from None
    return descriptor


def _connect(folder: Path) -> sqlite3.Connection:
    """Open the journal in a folder, and check that it is one."""
    path = folder / FILE_NAME
    where = Where(str(folder))
    with _translated(folder):
        if not path.is_file():
            raise _no_run(where)
        connection = sqlite3.connect(
            # a URI, for only there the mode says never to create
            f"{path.absolute().as_uri()}?mode=rw",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            timeout=_BUSY_SECONDS,
        )
        try:
            (application,) = connection.execute("PRAGMA application_id").fetchone()
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if application != _APPLICATION_ID:
                raise InputError(f"{path.name} is not a journal of bulkcmp", where=where)
            if version != _FORMAT:
                raise InputError(
                    f"the journal has format {version}, this bulkcmp reads {_FORMAT}",
                    where=where,
                    hint="use the version of bulkcmp that began the run",
                )
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
        except BaseException:
            connection.close()
            raise
    return connection


def _no_run(where: Where) -> InputError:
    return InputError(
        "is not a run folder: it holds no journal",
        where=where,
        hint="give the folder that bulkcmp enroll --out made",
    )


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _commit(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


_NOT_WRITABLE: Final = (
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM,
)


@contextmanager
def _translated(folder: Path) -> Iterator[None]:
    """Make errors of SQLite and of the file system errors of ours."""
    where = Where(str(folder))
    try:
        yield
    except sqlite3.ProgrammingError:
        # a misused connection, which is our own mistake
        raise
    except (sqlite3.Error, OSError) as error:
        # extended codes carry the primary one in their low octet
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        number = error.errno if isinstance(error, OSError) else 0
        if code in _NOT_WRITABLE or number in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise InputError(
                f"the journal can't be written: {error}",
                where=where,
                hint="the run folder and what is in it must be writable",
            ) from error
        if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            raise InputError(
                f"the journal is damaged: {error}",
                where=where,
                hint="restore the run folder from a copy",
            ) from error
        full = code == sqlite3.SQLITE_FULL or number in (errno.ENOSPC, errno.EDQUOT)
        raise JournalError(
            "the disk is full" if full else f"the journal failed: {error}",
            where=where,
            hint="what was committed before is safe; make room or mend the disk, then bulkcmp"
            " resume",
        ) from error
