"""The journal of a run in its folder, by SQLite."""

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final, Self

from bulkcmp.errors import InputError, Where
from bulkcmp.journal.failure import JournalError, damaged
from bulkcmp.journal.folder import (
    DISK_FULL,
    DISK_HINT,
    FILE_NAME,
    HeldFolder,
    file_errors,
    no_run,
    not_writable,
    sync,
)
from bulkcmp.journal.lease import WHOLE, Shard
from bulkcmp.journal.schema import FORMAT, TABLES
from bulkcmp.journal.store import Dialect, Row, Statement, Texts, Waiting

_APPLICATION_ID: Final = 0x62636D70  # "bcmp"
_BUSY_SECONDS: Final = 30.0

_DIALECT: Final = Dialect(
    run="",
    columns="",
    values="",
    where="",
    parameter="?",
    blob="BLOB",
    serial="INTEGER NOT NULL",
)
_SCHEMA: Final = (TABLES, "CREATE UNIQUE INDEX issuer_der ON issuer (der);")


class SqliteStore:
    """An open journal in a run folder.

    A commit is on the disk (`synchronous=FULL`) before `write` returns.
    """

    def __init__(self, folder: Path) -> None:
        """Open what `create` made.

        Raises:
            InputError: there is none, it can't be read, or it is of another version.
            JournalError: the machine failed.
        """
        self._folder = folder
        self._texts = Texts(_DIALECT)
        self._connection = _connect(folder)

    @classmethod
    def create(cls, folder: HeldFolder, meta: Iterable[Statement]) -> Self:
        """Make the journal; it is on the disk before this returns.

        Args:
            meta: what writes the facts of the run.

        Raises:
            JournalError: the machine failed; then there is no journal.
        """
        with file_errors(folder.path), _translated(folder.path):
            # until the journal bears its final name, the folder holds no run
            draft = folder.path / f".{FILE_NAME}.draft"
            draft.unlink(missing_ok=True)
            try:
                _write_draft(draft, meta)
                draft.rename(folder.path / FILE_NAME)
            finally:
                draft.unlink(missing_ok=True)
            folder.sync()
        return cls(folder.path)

    @property
    def where(self) -> Where:
        """See `Store`."""
        return Where(str(self._folder))

    def hold(self, shard: Shard, term: float, on_wait: Waiting) -> None:
        """See `Store`: the folder's lock, which we have, is all the lease that is needed."""
        assert shard == WHOLE, "one process has the whole run"

    def read(self, text: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """See `Store`."""
        with _translated(self._folder):
            return self._connection.execute(self._texts[text][0], parameters).fetchall()

    def write(self, statements: Sequence[Statement]) -> None:
        """See `Store`."""
        texts = self._texts
        with _translated(self._folder), _commit(self._connection) as connection:
            for text, parameters in statements:
                rendered, must_find = texts[text]
                done = connection.execute(rendered, parameters)
                assert done.rowcount or not must_find, f"what is updated is there: {text}"

    def hurry(self) -> None:
        """See `Store`: a file is there, or it is not."""

    def close(self) -> None:
        """See `Store`."""
        self._connection.close()


def _write_draft(path: Path, meta: Iterable[Statement]) -> None:
    """Write a whole new journal that is on the disk when this returns."""
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        # a draft is whole or thrown away, and leaves no second file behind
        connection.execute("PRAGMA journal_mode = OFF")
        for text in _SCHEMA:
            connection.executescript(_DIALECT.render(text))
        for text, parameters in meta:
            connection.execute(_DIALECT.render(text), parameters)
        connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {FORMAT}")
    sync(path)


def _connect(folder: Path) -> sqlite3.Connection:
    """Open the journal in a folder, and check that it is one."""
    path = folder / FILE_NAME
    where = Where(str(folder))
    with file_errors(folder), _translated(folder):
        if not path.is_file():
            raise no_run(where)
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
            if version != FORMAT:
                raise InputError(
                    f"the journal has format {version}, this bulkcmp reads {FORMAT}",
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
    """Make errors of SQLite errors of ours."""
    where = Where(str(folder))
    try:
        yield
    except sqlite3.ProgrammingError:
        # a misused connection, which is our own mistake
        raise
    except UnicodeDecodeError as error:
        # of a message that quotes what is damaged
        raise damaged(error, where) from error
    except sqlite3.Error as error:
        # a text that is no UTF-8 has no code; extended ones carry the primary one in their low
        # octet
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
        if code in _NOT_WRITABLE:
            raise not_writable(error, where) from error
        if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            raise damaged(error, where) from error
        full = code == sqlite3.SQLITE_FULL
        raise JournalError(
            DISK_FULL if full else f"the journal failed: {error}", where=where, hint=DISK_HINT
        ) from error
