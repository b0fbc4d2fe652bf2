"""Key files (`keys.db`): private keys made earlier, sealed, each given out at most once.

A key file is one SQLite database with a rollback journal: at rest it is a single file, which may
be copied alone (with a write-ahead log the newest keys would stand in a second file after a
crash). `synchronous=EXTRA` makes each commit durable also where the journal's removal decides it.
"""

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from bulkcmp.errors import BulkcmpError, InputError, Where
from bulkcmp.journal.seal import Seal, is_plain_header, refuse_empty
from bulkcmp.model import KeySpec, Secret

_APPLICATION_ID: Final = int.from_bytes(b"cmpk", "big")
_FORMAT: Final = 1
_BUSY_SECONDS: Final = 30

_SCHEMA: Final = (
    "CREATE TABLE meta (header TEXT NOT NULL) STRICT",
    "CREATE TABLE key (id INTEGER PRIMARY KEY, spec TEXT NOT NULL, sealed BLOB NOT NULL,"
    " taken_by TEXT) STRICT",
    "CREATE INDEX key_by_spec ON key (spec, taken_by)",
    "CREATE INDEX key_by_run ON key (taken_by) WHERE taken_by IS NOT NULL",
    f"PRAGMA application_id = {_APPLICATION_ID}",
    f"PRAGMA user_version = {_FORMAT}",
)

_DAMAGED_HINT: Final = "restore it from a copy, or make new keys with bulkcmp keys generate"


class KeyFileError(BulkcmpError):
    """The machine failed a key file: disk full, an I/O error, another process that hogs it."""


@dataclass(frozen=True, slots=True)
class Stock:
    """How many keys of one type a key file holds, and how many of them runs have taken."""

    free: int
    taken: int

    @property
    def total(self) -> int:
        return self.free + self.taken


@dataclass(frozen=True, slots=True)
class Inventory:
    """What a key file holds, as far as it can be told without the passphrase."""

    plain: bool
    stocks: dict[KeySpec, Stock]


class KeyFile:
    """An open key file; a context manager. Methods block; any thread may call them."""

    def __init__(self, path: Path, connection: sqlite3.Connection, seal: Seal) -> None:
        """Made by `open` and `open_or_create` only."""
        self._path = path
        self._connection = connection
        self._seal = seal
        self._lock = threading.Lock()

    @classmethod
    def open(cls, path: Path, passphrase: Secret | None) -> Self:
        """Open an existing key file; None where its keys are stored unencrypted.

        Raises:
            InputError: missing, not a key file, of another version, damaged, or the passphrase
                is wrong, missing or one too many.
            KeyFileError: the file can't be read.
        """
        return cls._open(path, passphrase, create=False)

    @classmethod
    def open_or_create(cls, path: Path, passphrase: Secret | None) -> Self:
        """Open a key file to append to it, or make it: mode 0600, durable in its folder.

        Raises:
            InputError: as `open`, or the folder does not exist or can't be written to.
            KeyFileError: the file can't be read or written.
        """
        refuse_empty(passphrase, Where(str(path)))
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError:
            pass
        except OSError as error:
            raise InputError(
                f"the key file can't be made: {error.strerror}",
                where=Where(str(path)),
                hint="choose a folder that exists and that you may write to",
            ) from None
        return cls._open(path, passphrase, create=True)

    @classmethod
    def _open(cls, path: Path, passphrase: Secret | None, *, create: bool) -> Self:
        with _translated(path):
            connection = _connect(path)
            try:
                if create and _is_empty(connection):
                    _initialise(path, connection, passphrase)
                header = _header(path, connection)
                seal = Seal.open(header, passphrase, where=Where(str(path)))
            except BaseException:
                connection.close()
                raise
        return cls(path, connection, seal)

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
        with self._lock:
            self._connection.close()

    def append(self, spec: KeySpec, keys: Sequence[bytes]) -> None:
        """Add keys (unencrypted PKCS#8 DER) of one type; all of them are durable on return.

        Raises:
            KeyFileError: none of them was added: disk full, I/O error, the file is in use.
        """
        with self._writing() as connection:
            (last,) = connection.execute("SELECT coalesce(max(id), 0) FROM key").fetchone()
            connection.executemany(
                "INSERT INTO key (id, spec, sealed) VALUES (?, ?, ?)",
                (
                    (key_id, str(spec), self._seal.seal(key, _context(key_id, str(spec))))
                    for key_id, key in enumerate(keys, last + 1)
                ),
            )

    def count(self, spec: KeySpec) -> Stock:
        """How many keys of `spec` there are.

        Raises:
            InputError: the file is damaged.
            KeyFileError: the file can't be read.
        """
        with self._lock, _translated(self._path):
            total, free = self._connection.execute(
                "SELECT count(*), count(*) FILTER (WHERE taken_by IS NULL) FROM key WHERE spec = ?",
                (str(spec),),
            ).fetchone()
        return Stock(free, total - free)

    def take(self, spec: KeySpec, most: int, run_id: str) -> list[tuple[int, bytes]]:
        """Take free keys for a run: fewer than `most` only where no more are left.

        They are marked as taken, durably, before this returns, so that no two runs and no two
        rows ever share a key.

        Returns:
            Each key's id in this file, and the key as unencrypted PKCS#8 DER.

        Raises:
            InputError: a key is damaged; none was taken.
            KeyFileError: none was taken: disk full, I/O error, the file is in use.
        """
        with self._writing() as connection:
            rows = connection.execute(
                "SELECT id, sealed FROM key WHERE spec = ? AND taken_by IS NULL"
                " ORDER BY id LIMIT ?",
                (str(spec), most),
            ).fetchall()
            keys = [
                (key_id, self._seal.unseal(sealed, _context(key_id, str(spec))))
                for key_id, sealed in rows
            ]
            connection.executemany(
                "UPDATE key SET taken_by = ? WHERE id = ?", ((run_id, key_id) for key_id, _ in keys)
            )
        return keys

    def taken_by(self, run_id: str) -> list[tuple[int, KeySpec]]:
        """Ids and types of all keys that a run took, in the order of the file.

        A resumed run takes those of them up that its journal does not know as used.

        Raises:
            InputError: the file is damaged.
            KeyFileError: the file can't be read.
        """
        with self._lock, _translated(self._path):
            rows = self._connection.execute(
                "SELECT id, spec FROM key WHERE taken_by = ? ORDER BY id", (run_id,)
            ).fetchall()
        return [(key_id, KeySpec.parse(spec)) for key_id, spec in rows]

    def get(self, key_id: int, run_id: str) -> bytes:
        """A key that the run has taken before, as unencrypted PKCS#8 DER.

        Raises:
            InputError: the run did not take this key, or the key or the file is damaged.
            KeyFileError: the file can't be read.
        """
        with self._lock, _translated(self._path):
            row = self._connection.execute(
                "SELECT spec, sealed FROM key WHERE id = ? AND taken_by = ?", (key_id, run_id)
            ).fetchone()
        if row is None:
            raise InputError(
                f"key {key_id} was not taken by run {run_id}",
                where=Where(str(self._path)),
                hint="give the key file that the run was started with",
            )
        spec, sealed = row
        return self._seal.unseal(sealed, _context(key_id, spec))

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock, _translated(self._path), _transaction(self._connection):
            yield self._connection


def take_inventory(path: Path) -> Inventory:
    """Count what a key file holds; needs no passphrase.

    Raises:
        InputError: missing, not a key file, of another version, or damaged.
        KeyFileError: the file can't be read.
    """
    with _translated(path), closing(_connect(path)) as connection:
        plain = is_plain_header(_header(path, connection), where=Where(str(path)))
        rows = connection.execute(
            "SELECT spec, count(*) FILTER (WHERE taken_by IS NULL), count(taken_by)"
            " FROM key GROUP BY spec ORDER BY min(id)"
        ).fetchall()
    return Inventory(plain, {KeySpec.parse(spec): Stock(free, taken) for spec, free, taken in rows})


def _connect(path: Path) -> sqlite3.Connection:
    # SQLite says only "unable to open database file" for all of these
    if path.exists() and not path.is_file():
        raise InputError("is not a file", where=Where(str(path)))
    try:
        path.open("rb").close()
    except OSError as error:
        raise InputError(
            f"the key file can't be opened: {error.strerror}",
            where=Where(str(path)),
            hint="key files are made with bulkcmp keys generate",
        ) from None
    connection = sqlite3.connect(
        # a URI, for only there the mode says never to create
        f"{path.absolute().as_uri()}?mode=rw",
        uri=True,
        timeout=_BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        connection.execute("PRAGMA synchronous = EXTRA")
    except BaseException:
        connection.close()
        raise
    return connection


def _is_empty(connection: sqlite3.Connection) -> bool:
    # asked of SQLite, which first takes back what a killed process had half written
    return bool(connection.execute("PRAGMA page_count").fetchone() == (0,))


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _initialise(path: Path, connection: sqlite3.Connection, passphrase: Secret | None) -> None:
    """Make an empty file a key file, unless another process did so just now."""
    path.chmod(0o600)
    header = Seal.create(passphrase, where=Where(str(path))).header
    with _transaction(connection):
        if connection.execute("PRAGMA user_version").fetchone() == (0,):
            for statement in _SCHEMA:
                connection.execute(statement)
            connection.execute("INSERT INTO meta VALUES (?)", (header,))
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _header(path: Path, connection: sqlite3.Connection) -> str:
    where = Where(str(path))
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application_id != _APPLICATION_ID:
        raise InputError(
            "is empty" if _is_empty(connection) else "is a database, but no key file",
            where=where,
            hint="key files are made with bulkcmp keys generate",
        )
    if version != _FORMAT:
        raise InputError(
            f"is a key file of format {version}, this is bulkcmp for format {_FORMAT}",
            where=where,
            hint="use the version of bulkcmp that wrote the file",
        )
    row = connection.execute("SELECT header FROM meta").fetchone()
    if row is None:
        raise InputError("the key file is damaged: no header", where=where, hint=_DAMAGED_HINT)
    return str(row[0])


def _context(key_id: int, spec: str) -> bytes:
    return f"bulkcmp key file\0{key_id}\0{spec}".encode()


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Make errors of SQLite errors of ours."""
    where = Where(str(path))
    try:
        yield
    except OSError as error:
        raise KeyFileError(f"using the key file failed: {error.strerror}", where=where) from None
    except sqlite3.ProgrammingError:
        # a misused connection, which is our own mistake
        raise
    except UnicodeDecodeError as error:
        # of a message that quotes what is damaged
        raise InputError(
            f"the key file is damaged: {error}", where=where, hint=_DAMAGED_HINT
        ) from None
    except sqlite3.DatabaseError as error:
        # a text that is no UTF-8 has no code; extended ones carry the primary one in their low
        # octet
        match getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF:
            case sqlite3.SQLITE_NOTADB:
                raise InputError(
                    "is not a key file",
                    where=where,
                    hint="key files are made with bulkcmp keys generate",
                ) from None
            case sqlite3.SQLITE_FULL:
                raise KeyFileError(
                    "the disk is full; the keys written before are safe",
                    where=where,
                    hint="make room, then give the same command again to go on",
                ) from None
            case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
                raise KeyFileError(
                    f"another process held the key file for {_BUSY_SECONDS} seconds",
                    where=where,
                    hint="wait for it to end, then give the same command again",
                ) from None
            case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM | sqlite3.SQLITE_CANTOPEN:
                raise InputError(
                    f"the key file can't be written: {error}",
                    where=where,
                    hint="the file and its folder must be writable",
                ) from None
            case sqlite3.SQLITE_IOERR:
                raise KeyFileError(
                    f"reading or writing the key file failed: {error} ({error.sqlite_errorname})",
                    where=where,
                    hint="check the disk; the keys written before are safe",
                ) from None
            case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_ERROR:
                raise InputError(
                    f"the key file is damaged: {error}", where=where, hint=_DAMAGED_HINT
                ) from None
            case _:
                raise
