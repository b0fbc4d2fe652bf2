"""The journal of a run in a PostgreSQL database, which keeps many runs beside each other.

A lost connection is made again (`link`). What an answer to COMMIT was lost of is read back: each
write of a lease bears the next number, which stands in the lease's row. So it is noticed, too, that
a database has fewer writes than it said: a standby took its place that had not got them all.
"""

import datetime as dt
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import closing, suppress
from typing import Any, Final, NamedTuple, Self

import psycopg
from psycopg import errors

from bulkcmp.errors import InputError, Where
from bulkcmp.journal.failure import JournalError, LeaseHeld, LeaseLost
from bulkcmp.journal.lease import Lease, Shard, holder_name
from bulkcmp.journal.link import Connection, Link, committed, connect, conninfo_of, translated
from bulkcmp.journal.schema import FORMAT, TABLES
from bulkcmp.journal.store import Dialect, Row, Statement, Texts, Waiting

_PAUSE: Final = 0.5
"""Seconds between two looks at a lease that may run out."""
_RENEWALS: Final = 3
"""Signs of life within the term of a lease."""

_LOCK: Final = 0x62636D70  # "bcmp"

_SCHEMA: Final = (
    "CREATE TABLE version (format INTEGER NOT NULL);"
    " CREATE TABLE run (number INTEGER GENERATED ALWAYS AS IDENTITY PRIMARY KEY,"
    " id TEXT NOT NULL UNIQUE, begun_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),"
    " fence BIGINT NOT NULL DEFAULT 0);"
    " CREATE TABLE lease (run INTEGER NOT NULL REFERENCES run, fence BIGINT NOT NULL,"
    " first INTEGER NOT NULL, beyond INTEGER NOT NULL, holder TEXT NOT NULL,"
    " expires TIMESTAMPTZ NOT NULL, writes BIGINT NOT NULL DEFAULT 0, PRIMARY KEY (run, fence));",
    TABLES,
    # a certificate may be too long for an index
    "CREATE UNIQUE INDEX issuer_der ON issuer (run, sha256(der));",
)

_RUN: Final = "SELECT number FROM run WHERE id = %s"
# not FOR UPDATE, which would wait for rows of the run that are being written
_NEXT_LEASE: Final = "SELECT FROM run WHERE number = %s FOR NO KEY UPDATE"
_OVERLAPPING: Final = (
    "SELECT fence, holder, expires, extract(epoch FROM expires - clock_timestamp())::float8"
    " FROM lease WHERE run = %s AND first < %s AND beyond > %s ORDER BY expires DESC FOR UPDATE"
)
_IMPATIENCE: Final = "SET LOCAL lock_timeout = '2s'"
# the transaction that holds the row's lock is the row's xmax
_EVICT: Final = (
    "SELECT pg_terminate_backend(pid) FROM lease JOIN pg_locks"
    " ON locktype = 'transactionid' AND transactionid = lease.xmax AND granted"
    " WHERE run = %s AND first < %s AND beyond > %s AND expires < clock_timestamp()"
)
_TAKE_AWAY: Final = "DELETE FROM lease WHERE run = %s AND fence = ANY (%s)"
_FENCE: Final = "UPDATE run SET fence = fence + 1 WHERE number = %s RETURNING fence"
_LEASE: Final = (
    "INSERT INTO lease (run, fence, first, beyond, holder, expires)"
    " VALUES (%s, %s, %s, %s, %s, clock_timestamp() + %s * interval '1 second')"
)
_RENEW: Final = (
    "UPDATE lease SET expires = clock_timestamp() + %s * interval '1 second'"
    " WHERE run = %s AND fence = %s"
)
_WRITE: Final = (
    "UPDATE lease SET writes = writes + 1,"
    " expires = clock_timestamp() + %s * interval '1 second'"
    " WHERE run = %s AND fence = %s AND writes = %s"
)
# waits for a write of ours of which nobody knows yet how it ended
_WRITTEN: Final = "SELECT writes FROM lease WHERE run = %s AND fence = %s FOR UPDATE"


class PostgresqlStore:
    """The journal of one run. See `Store`.

    Reading needs no lease; writing does, see `hold`.
    """

    def __init__(self, link: Link, url: str, number: int) -> None:
        """Made by `create` and `open` only."""
        self._link = link
        self._url = url
        self._number = number
        self._texts = Texts(_dialect(number))
        self._lease: Lease | None = None
        self._written = 0
        # nobody knows how the last write ended
        self._in_doubt = False
        self._renewal: _Renewal | None = None

    @classmethod
    def create(cls, url: str, run: str, meta: Iterable[Statement]) -> Self:
        """Begin a run, and make the tables where there are none.

        Args:
            url: has no password.
            run: its id, which is new.
            meta: what writes the facts of the run.

        Raises:
            InputError: the database can't be reached or used.
            JournalError: it failed; then there is no run.
        """
        link = Link(url)
        facts = tuple(meta)
        try:
            with translated(link.where):
                link.use(_make_tables)
                return cls(link, url, link.use(lambda one: _begin_run(one, run, facts)))
        except BaseException:
            link.close()
            raise

    @classmethod
    def open(cls, url: str, run: str) -> Self:
        """Open the journal of a run.

        Raises:
            InputError: the database can't be reached or used, or has no such run.
        """
        link = Link(url)
        try:
            with translated(link.where):
                if not link.use(_has_tables):
                    raise InputError("the database has no journal of bulkcmp", where=link.where)
                found = link.use(lambda one: one.execute(_RUN, (run,)).fetchall())
            if not found:
                raise InputError(
                    f"the database has no run {run}", where=link.where, hint="check --run"
                )
        except BaseException:
            link.close()
            raise
        return cls(link, url, found[0][0])

    @property
    def where(self) -> Where:
        """See `Store`."""
        return self._link.where

    def hold(self, shard: Shard, term: float, on_wait: Waiting) -> None:
        """See `Store`."""
        assert self._lease is None, "one lease at a time"
        seen: _Held | None = None
        while True:
            with translated(self.where):
                try:
                    found = self._link.use(lambda one: _acquire(one, self._number, shard, term))
                except errors.LockNotAvailable:
                    self._evict(shard)
                    continue
            if isinstance(found, Lease):
                break
            if seen is None:
                on_wait(found.holder, found.left)
            elif found.sign != seen.sign:
                raise LeaseHeld(found.holder, self.where)
            seen = found
            time.sleep(min(_PAUSE, found.left))
        self._lease, self._written = found, 0
        self._renewal = _Renewal(self._url, self._number, found)
        self._renewal.start()

    def _evict(self, shard: Shard) -> None:
        """End sessions that keep a lease of the shard locked which has run out.

        Raises:
            InputError: they are another user's.
        """
        try:
            self._link.use(
                lambda one: one.execute(_EVICT, (self._number, shard.beyond, shard.first))
            )
        except errors.InsufficientPrivilege as error:
            raise InputError(
                "a bulkcmp that was stopped within a write keeps the rows locked, and this user may"
                " not end its session",
                where=self.where,
                hint="end that process, or connect as the user that it has",
            ) from error

    def read(self, text: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """See `Store`."""
        rendered, _ = self._texts[text]
        with translated(self.where):
            return self._link.use(
                lambda one: one.execute(rendered, parameters, binary=True).fetchall()
            )

    def write(self, statements: Sequence[Statement]) -> None:
        """See `Store`."""
        lease = self._lease
        assert lease is not None, "who writes holds a lease"
        tried = False

        def attempt(connection: Connection) -> None:
            nonlocal tried
            if self._in_doubt:
                count = self._count(connection, lease)
                was_written, self._written = count > self._written, count
                if was_written and tried:
                    self._in_doubt = False
                    return
            tried = self._in_doubt = True
            sign = (lease.term, self._number, lease.fence, self._written)
            try:
                with committed(connection):
                    if self._execute(connection, sign, statements).rowcount == 0:
                        raise LeaseLost(self.where)
            except LeaseLost:
                self._count(connection, lease)
                raise
            self._written += 1
            self._in_doubt = False

        with translated(self.where):
            self._link.use(attempt)

    def _count(self, connection: Connection, lease: Lease) -> int:
        """How many writes of a lease the database has.

        Raises:
            LeaseLost: another took the rows over.
            JournalError: they are fewer than it said.
        """
        found = connection.execute(_WRITTEN, (self._number, lease.fence)).fetchall()
        if not found:
            raise LeaseLost(self.where)
        count = int(found[0][0])
        if count < self._written:
            raise JournalError(
                f"the database has lost what it had committed: {self._written - count:,} of the"
                f" {self._written:,} writes of this session",
                where=self.where,
                hint="keys and certificates may be missing in it: go back to the server that had"
                " them; a standby that may take over must be a synchronous one",
            )
        return count

    def _execute(
        self, connection: Connection, sign: tuple[Any, ...], statements: Sequence[Statement]
    ) -> psycopg.Cursor[Row]:
        """Begin a transaction with a sign of life and the statements, in one round trip.

        Returns:
            What became of the sign of life.
        """
        changed = []
        lease: psycopg.Cursor[Row] | None = None
        try:
            with connection.pipeline():
                connection.execute("BEGIN")
                lease = connection.execute(_WRITE, sign)
                for text, parameters in statements:
                    rendered, must_find = self._texts[text]
                    done = connection.execute(rendered, parameters)
                    if must_find:
                        changed.append((done, text))
        except psycopg.Error:
            if lease is not None and lease.rowcount == 0:
                # what another wrote since stood in the way
                return lease
            raise
        if lease.rowcount:
            for done, text in changed:
                assert done.rowcount, f"what is updated is there: {text}"
        return lease

    def hurry(self) -> None:
        """See `Store`."""
        self._link.hurry()

    def close(self) -> None:
        """See `Store`."""
        lease, self._lease = self._lease, None
        if self._renewal is not None:
            self._renewal.end()
            self._renewal = None
        if lease is not None:
            # else it runs out
            with suppress(psycopg.Error):
                self._link.use_once(
                    lambda one: one.execute(_TAKE_AWAY, (self._number, [lease.fence]))
                )
        self._link.close()


class _Held(NamedTuple):
    """A lease that is in the way, the seconds until it runs out, and its last sign of life."""

    holder: str
    left: float
    sign: tuple[int, dt.datetime]


class _Renewal(threading.Thread):
    """Gives signs of life while nothing is written, over a connection of its own."""

    def __init__(self, url: str, run: int, lease: Lease) -> None:
        super().__init__(name="lease", daemon=True)
        self._where = Where(url)
        self._conninfo = conninfo_of(url)
        self._run = run
        self._lease = lease
        self._over = threading.Event()

    def end(self) -> None:
        self._over.set()
        self.join()

    def run(self) -> None:
        while not self._over.wait(self._lease.term / _RENEWALS):
            # a network that fails now may be there again for the next sign
            with suppress(psycopg.Error, InputError):
                if not self._serve():
                    return

    def _serve(self) -> bool:
        """Give signs of life until it is over (True) or the lease is lost."""
        lease = self._lease
        with closing(connect(self._conninfo, self._where)) as connection:
            while True:
                done = connection.execute(_RENEW, (lease.term, self._run, lease.fence))
                if done.rowcount == 0:
                    return False
                if self._over.wait(lease.term / _RENEWALS):
                    return True


def _dialect(number: int) -> Dialect:
    return Dialect(
        run="run INTEGER NOT NULL REFERENCES run, ",
        columns="run, ",
        values=f"{number}, ",
        where=f"run = {number} AND ",
        parameter="%s",
        blob="BYTEA",
        serial="INTEGER NOT NULL GENERATED ALWAYS AS IDENTITY",
    )


def _has_tables(connection: Connection) -> bool:
    """
    Raises:
        InputError: the tables are of another version.
    """
    ((there,),) = connection.execute("SELECT to_regclass('bulkcmp.version') IS NOT NULL").fetchall()
    if not there:
        return False
    ((version,),) = connection.execute("SELECT format FROM version").fetchall()
    if version != FORMAT:
        raise InputError(
            f"the journal has format {version}, this bulkcmp reads {FORMAT}",
            hint="use the version of bulkcmp that made it, or another database",
        )
    return True


def _make_tables(connection: Connection) -> None:
    """Make the tables, once."""
    with committed(connection):
        connection.execute("BEGIN")
        # whoever begins a run at the same time waits here
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        if _has_tables(connection):
            return
        # who may not make a schema may have been given an empty one
        ((there,),) = connection.execute("SELECT to_regnamespace('bulkcmp') IS NOT NULL").fetchall()
        if not there:
            connection.execute("CREATE SCHEMA bulkcmp")
        for text in _SCHEMA:
            connection.execute(_dialect(0).render(text).encode())
        connection.execute("INSERT INTO version VALUES (%s)", (FORMAT,))


def _begin_run(connection: Connection, run: str, meta: Sequence[Statement]) -> int:
    """Begin a run, unless an attempt of which the answer was lost did."""
    with committed(connection):
        connection.execute("BEGIN")
        connection.execute("INSERT INTO run (id) VALUES (%s) ON CONFLICT DO NOTHING", (run,))
        ((number,),) = connection.execute(_RUN, (run,)).fetchall()
        dialect = _dialect(number)
        for text, parameters in meta:
            rendered = f"{dialect.render(text)} ON CONFLICT DO NOTHING"
            connection.execute(rendered.encode(), parameters)
    return int(number)


def _acquire(connection: Connection, run: int, shard: Shard, term: float) -> "Lease | _Held":
    """Take a lease, or tell who has one that is in the way.

    Raises:
        psycopg.errors.LockNotAvailable: a holder is within a write, or another takes a lease.
    """
    with committed(connection):
        connection.execute("BEGIN")
        connection.execute(_IMPATIENCE)
        connection.execute(_NEXT_LEASE, (run,))
        found = connection.execute(_OVERLAPPING, (run, shard.beyond, shard.first)).fetchall()
        for fence, holder, expires, left in found:
            if left > 0.0:
                return _Held(holder, left, (fence, expires))
        connection.execute(_TAKE_AWAY, (run, [fence for fence, *_ in found]))
        ((fence,),) = connection.execute(_FENCE, (run,)).fetchall()
        values = (run, fence, shard.first, shard.beyond, holder_name(), term)
        connection.execute(_LEASE, values)
    return Lease(shard, fence, term)
