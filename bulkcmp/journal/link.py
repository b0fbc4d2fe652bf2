"""A connection to PostgreSQL that a journal can rely on.

psycopg 3 makes it (LGPL; the extra `bulkcmp[postgresql]` brings it). Its libpq reads the URL, and
finds the password in PGPASSWORD, a password file (~/.pgpass) or a service file.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, TypeAlias, TypeVar

import psycopg
from psycopg import conninfo, errors
from psycopg.pq import TransactionStatus
from psycopg.types.string import StrDumperUnknown

from bulkcmp.errors import InputError, Where
from bulkcmp.journal.failure import JournalError, JournalUnreachable
from bulkcmp.journal.store import Row

_T = TypeVar("_T")

Connection: TypeAlias = "psycopg.Connection[Row]"

_PATIENCE: Final = 60.0
"""Seconds for which a lost connection is tried again."""
_PAUSE: Final = 0.5
"""Seconds between two attempts."""
_DEFAULTS: Final = {
    "application_name": "bulkcmp",
    "client_encoding": "UTF8",
    "connect_timeout": "10",
    # a silent network is found out within some 25 seconds
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "25000",
    # of several hosts, the one that may be written to
    "target_session_attrs": "read-write",
}
"""What the URL may say otherwise."""

_SECRETS: Final = frozenset(
    {"password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key"}
)
"""Of libpq's parameters."""

_SETUP: Final = """
SELECT set_config('search_path', 'bulkcmp', false),
  set_config('default_transaction_isolation', 'read committed', false),
  -- a client that a silent network cut off is found out as soon as the server is by it
  set_config('tcp_keepalives_idle', '10', false),
  set_config('tcp_keepalives_interval', '5', false),
  set_config('tcp_keepalives_count', '3', false),
  set_config('synchronous_commit',
    CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on'
      ELSE current_setting('synchronous_commit') END, false),
  current_setting('fsync'), current_setting('server_encoding')
"""


class Link:
    """A connection, which is made again when it was lost."""

    def __init__(self, url: str) -> None:
        """
        Raises:
            InputError: the URL or what it leads to can't be used.
        """
        self.where = Where(url)
        self._conninfo = conninfo_of(url)
        self._closed = False
        self._hurried = threading.Event()
        self._connection: Connection | None = None
        try:
            self._connection = self._connect()
        except psycopg.Error as error:
            raise InputError(
                f"the database can't be reached: {' '.join(str(error).split())}",
                where=self.where,
                hint="check --journal, and PGPASSWORD or ~/.pgpass for the password",
            ) from None

    def use(self, work: Callable[[Connection], _T]) -> _T:
        """Do something with the connection; all of it again, where it was lost.

        Raises:
            psycopg.Error: what the server says, or that it is not reached.
        """
        assert not self._closed, "a closed journal is not used"
        give_up = time.monotonic() + _PATIENCE
        while True:
            try:
                if self._connection is None:
                    self._connection = self._connect()
                return work(self._connection)
            except (errors.SerializationFailure, errors.DeadlockDetected):
                if time.monotonic() > give_up:
                    raise
            except (psycopg.OperationalError, psycopg.InterfaceError):
                if self._connection is not None and not self._connection.closed:
                    raise
                self._connection = None
                if self._hurried.is_set() or time.monotonic() > give_up:
                    raise
                self._hurried.wait(_PAUSE)

    def use_once(self, work: Callable[[Connection], object]) -> None:
        """Do something if the connection is there.

        Raises:
            psycopg.Error: it failed.
        """
        if self._connection is not None and not self._connection.closed:
            work(self._connection)

    def hurry(self) -> None:
        """Try a lost connection but once from now on; any thread may say so."""
        self._hurried.set()

    def close(self) -> None:
        """Close it; may be called again."""
        self._closed = True
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connect(self) -> Connection:
        return connect(self._conninfo, self.where)


class _Text(StrDumperUnknown):
    """Text for a database that knows no NUL, which a peer may well send."""

    def dump(self, obj: str) -> Any:
        return super().dump(obj.replace("\0", "\N{SYMBOL FOR NULL}"))


def conninfo_of(url: str) -> str:
    """The parameters that libpq connects by, for the URL of a database.

    Raises:
        InputError: it is no such URL, or has a password in it.
    """
    try:
        parts = conninfo.conninfo_to_dict(url)
    except psycopg.Error:
        # its text may have a part of a password in it
        raise InputError(
            "--journal is no URL of a PostgreSQL database",
            hint="write postgresql://[USER@]HOST[:PORT]/DATABASE[?sslmode=verify-full]",
        ) from None
    if not _SECRETS.isdisjoint(parts):
        raise InputError(
            "--journal has a password in it, which others could read",
            hint="give it by PGPASSWORD, ~/.pgpass or a service file",
        )
    return str(conninfo.make_conninfo("", **{**_DEFAULTS, **parts}))


def connect(parameters: str, where: Where) -> Connection:
    """Connect, and see to it that the database is as durable as a journal must be."""
    connection = psycopg.connect(parameters, autocommit=True)
    try:
        connection.adapters.register_dumper(str, _Text)
        found = connection.execute(_SETUP).fetchone()
        assert found is not None
        *_, fsync, encoding = found
        if fsync != "on":
            raise InputError(
                "the database does not write to the disk (fsync = off): keys would be lost",
                where=where,
                hint="set fsync = on in postgresql.conf",
            )
        if encoding != "UTF8":
            raise InputError(
                f"the database has the encoding {encoding}",
                where=where,
                hint="make one with CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0",
            )
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def committed(connection: Connection) -> Iterator[None]:
    """Commit what the body began, or roll it back."""
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if not connection.closed and connection.info.transaction_status != TransactionStatus.IDLE:
            with suppress(psycopg.Error):
                connection.execute("ROLLBACK")
        raise


_CONNECTION_STATES: Final = ("08", "57P", "53300", "25P03")
"""Prefixes of SQLSTATEs that are about the connection, not about what was asked."""


@contextmanager
def translated(where: Where) -> Iterator[None]:
    """Make errors of psycopg errors of ours."""
    try:
        yield
    except psycopg.Error as error:
        # never the details, which may be a whole row
        what = error.diag.message_primary or " ".join(str(error).split())
        if isinstance(error, errors.InsufficientPrivilege | errors.ReadOnlySqlTransaction):
            raise InputError(
                f"the journal can't be written: {what}",
                where=where,
                hint="grant the user CREATE on the database, or the tables in schema bulkcmp",
            ) from error
        if isinstance(error, errors.DiskFull):
            raise JournalError(
                "the database's disk is full",
                where=where,
                hint="what was committed before is safe; make room, then bulkcmp resume",
            ) from error
        if error.sqlstate is None or error.sqlstate.startswith(_CONNECTION_STATES):
            raise JournalUnreachable(
                f"the database can't be reached: {what}",
                where=where,
                hint="what was committed before is safe; once it is there again, bulkcmp resume",
            ) from error
        raise JournalError(f"the journal failed: {what}", where=where) from error
