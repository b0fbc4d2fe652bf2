"""The durable record of a run.

Order for a row: key and request with its transactionID (one commit) -> certificate, and the key
that came with it (one commit) -> certConf -> done. A commit is on the disk before what it permits
happens; many entries share one commit.
"""

import json
import threading
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from bulkcmp.cmp.events import Checkpoint
from bulkcmp.errors import InputError, Where
from bulkcmp.journal import reading
from bulkcmp.journal.entry import INTERRUPTED, EarlierTransaction, Entry, RowState
from bulkcmp.journal.folder import FILE_NAME, HeldFolder, Pointer, file_errors, holds_run
from bulkcmp.journal.lease import TERM, WHOLE, Shard
from bulkcmp.journal.seal import Seal, is_plain_header
from bulkcmp.journal.sqlite import SqliteStore
from bulkcmp.journal.statement import issuer_statement, meta_statements, statements_of
from bulkcmp.journal.store import Row, Store, Waiting
from bulkcmp.model import DeliveryState, OutcomeClass, RowResult, Secret

if TYPE_CHECKING:
    from bulkcmp.journal.postgresql import PostgresqlStore

_PAGE: Final = 256


def _not_told(holder: str, left: float) -> None:
    """Whoever waits without telling."""


class Journal:
    """An open journal; a context manager. Methods block; any thread may call them, one at a time.

    A second process that would write to the same rows is refused.
    """

    def __init__(self, folder: HeldFolder | None, store: Store) -> None:
        """Made by `create`, `open`, `attach` and `join` only."""
        self._folder = folder
        self._store = store
        self._mutex = threading.Lock()
        self._shard = WHOLE
        self._seal: Seal | None = None
        self._issuers: dict[bytes, int] = {}
        self._issuer_ders: dict[str, bytes] = {}

    @classmethod
    def create(
        cls,
        path: Path,
        meta: dict[str, Any],
        passphrase: Secret | None,
        *,
        url: str | None = None,
    ) -> Self:
        """Make the run folder and its journal, both on the disk before this returns.

        Args:
            path: of the folder; must not hold a journal yet; made with mode 0700 where it is
                missing.
            meta: JSON-able facts of the run.
            passphrase: seals the keys; None stores them unencrypted.
            url: of the PostgreSQL database that shall have the journal; None keeps it in the
                folder.

        Raises:
            InputError: the folder can't be made or holds a run already, or the database can't be
                used.
            JournalError: the machine failed.
        """
        where = Where(str(path))
        folder = HeldFolder.make(path)
        try:
            with file_errors(path):
                if holds_run(path):
                    raise InputError(
                        "holds a run already",
                        where=where,
                        hint="go on with it by bulkcmp resume, or choose another --out",
                    )
            # may refuse the passphrase: before there is a file
            seal = Seal.create(passphrase, where=where)
            run = uuid.uuid4().hex
            facts = {"run_id": run, "seal": seal.header, "facts": json.dumps(meta)}
            statements = meta_statements(facts.items())
            store: Store
            if url is None:
                store = SqliteStore.create(folder, statements)
            else:
                store = _postgresql().create(url, run, statements)
                _point(folder, Pointer(url, run), store)
        except BaseException:
            folder.discard()
            raise
        journal = cls(folder, store)
        journal._seal = seal
        return journal

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the journal of a run, wherever it is; its keys stay sealed until `unlock`.

        Raises:
            InputError: there is none, it can't be read, it is of another version, or another
                process has it.
            JournalError: the machine failed.
        """
        folder = HeldFolder(path)
        try:
            pointer = Pointer.read(path)
            if pointer is None:
                return cls(folder, SqliteStore(path))
            return cls(folder, _postgresql().open(pointer.url, pointer.run))
        except BaseException:
            folder.close()
            raise

    @classmethod
    def attach(cls, path: Path, url: str, run: str | None) -> Self:
        """Open the journal of a run in a database, and have the folder know where it is.

        Args:
            path: of the folder; made where it is missing.
            run: its id; None for that which the folder has, whose database has moved.

        Raises:
            InputError: the folder is another run's, or the database has no such run.
            JournalError: the machine failed.
        """
        folder = HeldFolder.make(path)
        try:
            pointer = Pointer.read(path)
            run = run or (None if pointer is None else pointer.run)
            if run is None:
                raise InputError(
                    "which run?", where=Where(str(path)), hint="give --run with its id"
                )
            if (path / FILE_NAME).exists() or (pointer is not None and pointer.run != run):
                raise InputError(
                    "holds another run", where=Where(str(path)), hint="choose another folder"
                )
            store = _postgresql().open(url, run)
            _point(folder, Pointer(url, run), store)
        except BaseException:
            folder.discard()
            raise
        return cls(folder, store)

    @classmethod
    def join(cls, url: str, run: str) -> Self:
        """Open the journal of a run in a database, without a folder, to work on a shard of it.

        Raises:
            InputError: the database can't be used, or has no such run.
            JournalError: the machine failed.
        """
        return cls(None, _postgresql().open(url, run))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def hurry(self) -> None:
        """Wait no longer for a database that is away: what needs it fails, now and from now on.

        Any thread may say so, also while another one waits.
        """
        self._store.hurry()

    def close(self) -> None:
        with self._mutex:
            self._store.close()
            if self._folder is not None:
                self._folder.close()

    def hold(
        self, shard: Shard = WHOLE, *, term: float = TERM, on_wait: Waiting = _not_told
    ) -> None:
        """Take the rows of a shard, before any of them is written; `close` gives them back.

        An earlier holder that gives no sign of life is waited for until its lease has run out.
        The lock of a run folder with its journal in it holds the whole run from the beginning.

        Args:
            term: seconds without a sign of life after which another may have the rows.
            on_wait: told once whom, and how many seconds, this waits for.

        Raises:
            LeaseHeld: another process is at work on some of the rows.
            JournalError: the machine failed.
        """
        with self._mutex:
            self._store.hold(shard, term, on_wait)
            self._shard = shard

    # --- facts ----------------------------------------------------------------------------------

    @property
    def folder(self) -> Path:
        """Where outputs go; a journal that was joined has none."""
        assert self._folder is not None
        return self._folder.path

    @property
    def pointer(self) -> Pointer | None:
        """Where the journal is, if it is not in the run folder.

        Raises:
            InputError: the file that says so can't be read.
        """
        return Pointer.read(self.folder)

    @property
    def run_id(self) -> str:
        return self._meta("run_id")

    @property
    def facts(self) -> dict[str, Any]:
        """What `create` was given as `meta`."""
        text = self._meta("facts")
        with self._decoding():
            facts: dict[str, Any] = dict(json.loads(text))
        return facts

    @property
    def anchor(self) -> bytes | None:
        """DER of the root certificate that the run's first ip brought, if it was to."""
        with self._mutex:
            found = self._store.read(reading.META, ("anchor",))
        with self._decoding():
            return bytes.fromhex(found[0][0]) if found else None

    @property
    def is_plain(self) -> bool:
        """Whether the run's keys are stored unencrypted (--plain-keys)."""
        return is_plain_header(self._meta("seal"), where=self._store.where)

    def unlock(self, passphrase: Secret | None) -> None:
        """Open the seal of the run's keys.

        Raises:
            InputError: the passphrase is wrong, missing, or given for a run without one.
        """
        self._seal = Seal.open(self._meta("seal"), passphrase, where=self._store.where)

    def _meta(self, key: str) -> str:
        with self._mutex, self._decoding():
            ((value,),) = self._store.read(reading.META, (key,))
        return str(value)

    def _decoding(self) -> AbstractContextManager[None]:
        return reading.decoding(self._store.where)

    # --- writing --------------------------------------------------------------------------------

    def write(self, entries: Sequence[Entry]) -> None:
        """Write entries in one commit; it is on the disk when this returns.

        Raises:
            LeaseLost: another process took our rows over; none of the entries is written.
            JournalError: the machine failed; none of the entries is written.
        """
        with self._mutex:
            self._store.write(
                [
                    statement
                    for entry in entries
                    for statement in statements_of(entry, self._sealed, self._issuer)
                ]
            )

    def _sealed(self, octets: bytes, column: str, number: int) -> bytes:
        assert self._seal is not None
        return self._seal.seal(octets, _context(column, number))

    def _issuer(self, der: bytes) -> int:
        """The number of an issuer's certificate; the same few stand behind all rows."""
        number = self._issuers.get(der)
        if number is None:
            self._store.write([issuer_statement(der)])
            ((number,),) = self._store.read(reading.ISSUER_NUMBER, (der,))
            self._issuers[der] = number
        return number

    def settle(self) -> int:
        """Give a run that was cut off an outcome for each row that was under way, of those we hold.

        A request that left, or may have left, without its answer is `unknown outcome`, a genm
        `unanswered`; what waits is `still waiting`; a certificate without its pkiconf is
        `confirmation unknown`.

        Returns:
            How many rows were under way.
        """
        with self._mutex, self._decoding():
            query = f"{reading.OPEN_ROWS} AND number >= ? AND number < ?"
            shard = (self._shard.first, self._shard.beyond)
            return self._settle(self._store.read(query, shard))

    def take_over(self, numbers: Sequence[int]) -> dict[int, RowState]:
        """The same for these rows only, whose worker died; returns what `states` does."""
        with self._mutex, self._decoding():
            query = f"{reading.OPEN_ROWS} AND number = ?"
            self._settle([row for one in numbers for row in self._store.read(query, (one,))])
        return self.states(numbers)

    def _settle(self, open_rows: Sequence[Row]) -> int:
        if open_rows:
            self._store.write(list(reading.settlements(open_rows)))
        return len(open_rows)

    # --- reading --------------------------------------------------------------------------------

    def states(self, numbers: Iterable[int]) -> dict[int, RowState]:
        """Where these rows stand; rows that were never taken up are left out.

        Raises:
            InputError: a sealed key is damaged.
            JournalError: the machine failed.
        """
        wanted = tuple(numbers)
        if not wanted:
            return {}
        with self._mutex, self._decoding():
            found = self._store.read(reading.states_query(len(wanted)), wanted)
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
                    None if key is None else self._unsealed(key, "key", number),
                    interrupted=reason == INTERRUPTED,
                )
                for number, outcome, reason, key, transaction_id in found
            }

    def _checkpoint(self, transaction_id: bytes) -> Checkpoint:
        (tx,) = self._store.read(reading.TX, (transaction_id,))
        parts = self._store.read(reading.PARTS, (transaction_id,))
        return reading.checkpoint_of(transaction_id, tx, parts, self._chain)

    def _chain(self, numbers: str) -> tuple[bytes, ...]:
        if not numbers:
            return ()
        return tuple(self._issuer_der(number) for number in numbers.split(","))

    def _issuer_der(self, number: str) -> bytes:
        der = self._issuer_ders.get(number)
        if der is None:
            ((der,),) = self._store.read(reading.ISSUER, (int(number),))
            self._issuer_ders[number] = der
        return der

    def _unsealed(self, sealed: bytes, column: str, number: int) -> bytes:
        assert self._seal is not None
        return self._seal.unseal(sealed, _context(column, number))

    def key_ids(self) -> Iterator[int]:
        """The numbers, in the key file, of the keys that rows of this run use."""
        with self._mutex:
            found = self._store.read(reading.KEY_IDS)
        yield from (key_id for (key_id,) in found)

    def count(self) -> int:
        """How many rows of the population were taken up."""
        with self._mutex:
            ((count,),) = self._store.read(reading.COUNT)
        return int(count)

    def has_passwords(self) -> bool:
        """Whether any row has a password of its own."""
        with self._mutex:
            return bool(self._store.read(reading.HAS_PASSWORDS))

    def undelivered(self) -> Iterator[int]:
        """The numbers of rows with a certificate that is to be delivered, in their order; streamed.

        Raises:
            JournalError: the machine failed.
        """
        last = -1
        while True:
            with self._mutex:
                page = self._store.read(reading.UNDELIVERED, (last, _PAGE))
            for (number,) in page:
                yield number
            if len(page) < _PAGE:
                return
            last = page[-1][0]

    def deliveries(self) -> list[tuple[DeliveryState, str, int]]:
        """How many rows with a certificate are in which state of delivery, and for which reason."""
        with self._mutex:
            found = self._store.read(reading.DELIVERIES)
        with self._decoding():
            return [(DeliveryState(state), reason, int(count)) for state, reason, count in found]

    def result(self, number: int) -> tuple[RowResult, bytes | None]:
        """A row that was taken up, with its key and its password.

        Raises:
            InputError: its sealed key is damaged.
            JournalError: the machine failed.
        """
        with self._mutex, self._decoding():
            (row,) = self._store.read(reading.RESULTS, (number - 1, 1))
            result, key, password = reading.result_of(row, self._chain)
        assert result.number == number, "it was taken up"
        return self._opened(result, key, password)

    def results(self, *, with_keys: bool = False) -> Iterator[tuple[RowResult, bytes | None]]:
        """Every row that was taken up, in the population's order, with its key and its password
        where asked for.

        Streamed; outcome and certificate of a row are those of its last transaction.

        Raises:
            InputError: a sealed key is damaged.
            JournalError: the machine failed.
        """
        last = -1
        while True:
            with self._mutex, self._decoding():
                rows = self._store.read(reading.RESULTS, (last, _PAGE))
                page = [reading.result_of(row, self._chain) for row in rows]
            for result, key, password in page:
                yield self._opened(result, key, password) if with_keys else (result, None)
            if len(page) < _PAGE:
                return
            last = page[-1][0].number

    def _opened(
        self, result: RowResult, key: bytes | None, password: bytes | None
    ) -> tuple[RowResult, bytes | None]:
        if password is not None:
            opened = Secret(self._unsealed(password, "out_pass", result.number))
            result = replace(result, out_pass=opened)
        return result, None if key is None else self._unsealed(key, "key", result.number)

    def earlier(self) -> list[EarlierTransaction]:
        """The transactions of all rows but the last of each."""
        with self._mutex:
            found = self._store.read(reading.EARLIER)
        return [EarlierTransaction(*one) for one in found]


def _postgresql() -> "type[PostgresqlStore]":
    try:
        from bulkcmp.journal.postgresql import PostgresqlStore
    except ImportError:
        # of psycopg, or of the libpq that it wants
        raise InputError(
            "a journal on PostgreSQL needs psycopg, which is not installed",
            hint="pip install 'bulkcmp[postgresql]'",
        ) from None
    return PostgresqlStore


def _point(folder: HeldFolder, pointer: Pointer, store: Store) -> None:
    """Have a folder know where its journal is, or close that."""
    try:
        folder.point(pointer)
    except BaseException:
        store.close()
        raise


def _context(column: str, number: int) -> bytes:
    """What seals a key or a password to its row."""
    return f"bulkcmp journal\0{column}\0{number}".encode()
