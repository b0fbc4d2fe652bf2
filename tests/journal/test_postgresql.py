"""What holds of a journal on PostgreSQL only."""

import json
import os
import shutil
import stat
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from bulkcmp.errors import EXIT_BAD_INPUT, EXIT_SOME_FAILED, InputError
from bulkcmp.journal.entry import Advanced
from bulkcmp.journal.failure import JournalError, JournalUnreachable
from bulkcmp.journal.journal import Journal
from bulkcmp.model import Outcome, OutcomeClass, Secret
from tests.journal.entries import begun, begun_row, ended, issued, key

if TYPE_CHECKING:
    from tests.conftest import MakeDisk, Postgres

# where psycopg is missing, the fixture says so
pytestmark = [pytest.mark.peer, pytest.mark.usefixtures("postgres")]


def module(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        return None


psycopg = module("psycopg")
link = module("bulkcmp.journal.link")
postgresql = module("bulkcmp.journal.postgresql")


@pytest.fixture
def journal(folder: Path, database: str) -> Iterator[Journal]:
    with Journal.create(folder, {"a": 1}, None, url=database) as opened:
        opened.hold()
        yield opened


def connection_of(journal: Journal) -> Any:
    store: Any = journal._store
    return store._link._connection


def setting(journal: Journal, name: str) -> Any:
    return journal._store.read(f"SELECT current_setting('{name}')")[0][0]


def sends(journal: Journal) -> dict[int, int]:
    return {result.number: result.sends for result, _ in journal.results()}


# --- a run ----------------------------------------------------------------------------------------


def test_the_folder_knows_where_the_journal_is(folder: Path, database: str) -> None:
    with Journal.create(folder, {"a": [1, "å"]}, None, url=database) as journal:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        run = journal.run_id
        assert journal.folder == folder
    assert [one.name for one in folder.iterdir()] == ["journal.json"]
    pointer = json.loads((folder / "journal.json").read_text())
    assert pointer == {"url": database, "run": run}
    with Journal.open(folder) as again:
        assert (again.run_id, again.facts) == (run, {"a": [1, "å"]})
        with pytest.raises(InputError, match="another bulkcmp is at work"):
            Journal.open(folder)
    for url in (database, None):
        with pytest.raises(InputError, match="holds a run already"):
            Journal.create(folder, {}, None, url=url)


def test_runs_share_a_database_and_nothing_else(tmp_path: Path, database: str) -> None:
    with ExitStack() as stack:
        first, second = (
            stack.enter_context(Journal.create(tmp_path / name, {}, None, url=database))
            for name in ("first", "second")
        )
        for journal, chain in ((first, (b"a", b"b")), (second, (b"b", b"c"))):
            journal.hold()
            # the same numbers, transactionIDs and issuers
            journal.write([begun(1), begun(2), Advanced(issued(1, chain=chain))])
        first.write([ended(1)])
        second.write([begun(2, 2)])
        assert [result.chain for result, _ in first.results()] == [(b"a", b"b"), ()]
        assert [result.chain for result, _ in second.results()] == [(b"b", b"c"), ()]
        assert [result.attempts for result, _ in second.results()] == [1, 2]
        assert (first.settle(), second.settle()) == (1, 2)


def test_runs_begin_at_once_in_an_empty_database(tmp_path: Path, postgres: "Postgres") -> None:
    url = postgres.make()
    begun_runs: list[str] = []

    def begin(name: str) -> None:
        with Journal.create(tmp_path / name, {}, None, url=url) as journal:
            begun_runs.append(journal.run_id)

    threads = [threading.Thread(target=begin, args=(f"run{number}",)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(begun_runs)) == 6


def test_another_machine_goes_on_without_the_folder(
    tmp_path: Path, folder: Path, database: str
) -> None:
    passphrase = Secret(b"open sesame")
    with Journal.create(folder, {}, passphrase, url=database) as journal:
        run = journal.run_id
        journal.hold()
        journal.write([begun(1)])
    elsewhere = tmp_path / "elsewhere"
    with Journal.attach(elsewhere, database, run) as journal:
        journal.unlock(passphrase)
        assert journal.states([1])[1].key == key(1)
    with Journal.open(elsewhere) as journal:
        assert journal.run_id == run
    # a worker of a cluster has no folder at all
    with Journal.join(database, run) as journal:
        assert journal.count() == 1
    # the database has moved: the folder knows the run
    Journal.attach(folder, database + "&connect_timeout=20", None).close()
    assert "connect_timeout=20" in (folder / "journal.json").read_text()


def test_a_folder_of_another_run_is_left_alone(tmp_path: Path, folder: Path, database: str) -> None:
    with Journal.create(tmp_path / "other", {}, None, url=database) as journal:
        run = journal.run_id
    Journal.create(folder, {}, None).close()
    with pytest.raises(InputError, match="holds another run"):
        Journal.attach(folder, database, run)
    Journal.create(tmp_path / "third", {}, None, url=database).close()
    with pytest.raises(InputError, match="holds another run"):
        Journal.attach(tmp_path / "third", database, run)
    with pytest.raises(InputError, match=r"which run\?"):
        Journal.attach(tmp_path / "new", database, None)
    with pytest.raises(InputError, match="has no run 4711"):
        Journal.attach(tmp_path / "new", database, "4711")
    # and is no run folder for that
    with pytest.raises(InputError, match="is not a run folder"):
        Journal.open(tmp_path / "new")


@pytest.mark.parametrize("text", ["", "[]", '{"url": 1}', "{"])
def test_a_damaged_pointer(folder: Path, text: str) -> None:
    folder.mkdir()
    (folder / "journal.json").write_text(text)
    with pytest.raises(InputError, match=r"journal\.json: is damaged"):
        Journal.open(folder)


# --- the database ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:hunter2@localhost/db",
        "postgresql://me@localhost/db?password=hunter2",
        "postgres://:hunter2@/db?host=/tmp",
        # libpq would show a part of it
        "postgresql://me:hunter2@localhost:hunter2/db",
        "host=localhost password=hunter2",
        "postgresql://me@localhost/db?sslkey=me.key&sslpassword=hunter2",
    ],
)
def test_a_password_in_the_url_is_refused(folder: Path, url: str) -> None:
    with pytest.raises(InputError, match="--journal") as caught:
        Journal.create(folder, {}, None, url=url)
    assert "hunter2" not in f"{caught.value} {caught.value.hint}"
    assert not folder.exists()


@pytest.mark.parametrize("url", ["mysql://localhost/db", "postgresql://h/db?nonsense=1", "journal"])
def test_what_is_no_url_of_a_database(folder: Path, url: str) -> None:
    with pytest.raises(InputError, match="no URL of a PostgreSQL database"):
        Journal.create(folder, {}, None, url=url)


def test_a_database_that_is_not_there(folder: Path, postgres: "Postgres") -> None:
    with pytest.raises(InputError, match=r"can't be reached: .*nowhere") as caught:
        Journal.create(folder, {}, None, url=postgres.url("nowhere"))
    assert caught.value.exit_code == EXIT_BAD_INPUT
    assert "PGPASSWORD" in (caught.value.hint or "")


def test_a_database_without_a_journal(folder: Path, postgres: "Postgres") -> None:
    url = postgres.make()
    with pytest.raises(InputError, match="has no journal of bulkcmp"):
        Journal.attach(folder, url, "4711")
    assert postgres.run(url, "SELECT to_regnamespace('bulkcmp')") == [(None,)]


def test_a_journal_of_another_format(folder: Path, postgres: "Postgres") -> None:
    url = postgres.make()
    Journal.create(folder, {}, None, url=url).close()
    postgres.run(url, "UPDATE bulkcmp.version SET format = 7")
    with pytest.raises(InputError, match="has format 7, this bulkcmp reads 4"):
        Journal.open(folder)


def test_who_may_write_nothing(folder: Path, postgres: "Postgres") -> None:
    url = postgres.make()
    role = f"{url.rsplit('/d', 1)[1].partition('?')[0]}x"
    postgres.run(url, f"CREATE ROLE r{role} LOGIN")
    poor = url.replace("//bulkcmp@", f"//r{role}@")
    with pytest.raises(InputError, match=r"can't be written: permission denied") as caught:
        Journal.create(folder, {}, None, url=poor)
    assert "grant" in (caught.value.hint or "")
    # an empty schema of its own is enough
    postgres.run(url, f"CREATE SCHEMA bulkcmp AUTHORIZATION r{role}")
    with Journal.create(folder, {}, None, url=poor) as journal:
        journal.hold()
        journal.write([begun(1)])


def test_a_server_that_does_not_sync_is_refused(folder: Path, postgres: "Postgres") -> None:
    url = postgres.make()

    def set_fsync(value: str) -> None:
        postgres.run(url, f"ALTER SYSTEM SET fsync = {value}")
        postgres.run(url, "SELECT pg_reload_conf()")
        while postgres.run(url, "SHOW fsync") != [(value,)]:
            pass

    set_fsync("off")
    try:
        with pytest.raises(InputError, match="fsync = off"):
            Journal.create(folder, {}, None, url=url)
    finally:
        set_fsync("on")


@pytest.mark.parametrize(("given", "used"), [("off", "on"), ("remote_apply", "remote_apply")])
def test_commits_are_synchronous(folder: Path, postgres: "Postgres", given: str, used: str) -> None:
    url = postgres.make()
    name = url.rsplit("/d", 1)[1].partition("?")[0]
    postgres.run(url, f"ALTER DATABASE d{name} SET synchronous_commit = {given}")
    postgres.run(url, f"ALTER DATABASE d{name} SET default_transaction_isolation = serializable")
    with Journal.create(folder, {}, None, url=url) as journal:
        assert setting(journal, "synchronous_commit") == used
        assert setting(journal, "default_transaction_isolation") == "read committed"


def test_a_database_of_another_encoding(folder: Path, postgres: "Postgres") -> None:
    url = postgres.make("ENCODING 'SQL_ASCII' TEMPLATE template0")
    with pytest.raises(InputError, match="has the encoding SQL_ASCII"):
        Journal.create(folder, {}, None, url=url)


def test_without_psycopg(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("link", "postgresql"):
        monkeypatch.delitem(sys.modules, f"bulkcmp.journal.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(InputError, match="psycopg, which is not installed") as caught:
        Journal.create(folder, {}, None, url="postgresql:///db")
    assert "bulkcmp[postgresql]" in (caught.value.hint or "")


# --- what peers send ------------------------------------------------------------------------------


def test_text_with_nul_is_kept_without_it(journal: Journal) -> None:
    refused = Outcome(OutcomeClass.REJECTED, "badAlg", "a\0b", 2, ("badAlg",), "\0")
    journal.write([begun(1, id="x\0y"), ended(1, 1, refused)])
    ((result, _),) = journal.results()
    assert (result.id, result.outcome.detail, result.outcome.status_text) == ("x␀y", "a␀b", "␀")
    # what is kept as JSON escapes it
    journal.write([begun(2), Advanced(issued(2, granted=refused))])
    reached = journal.states([2])[2].checkpoint
    assert reached is not None
    assert reached.parts[0].granted == refused


def test_issuers_of_any_length(journal: Journal) -> None:
    # random, for what can be compressed may fit into an index
    chain = (os.urandom(100_000), os.urandom(9000))
    journal.write([begun(1), begun(2)])
    journal.write([Advanced(issued(1, chain=chain)), Advanced(issued(2, chain=chain[::-1]))])
    assert [result.chain for result, _ in journal.results()] == [chain, chain[::-1]]


def test_an_error_tells_no_key(journal: Journal) -> None:
    nobody = begun(1, id=None)
    with pytest.raises(JournalError, match="null value in column") as caught:
        journal.write([nobody])
    assert caught.value.exit_code == EXIT_SOME_FAILED
    assert key(1).hex() not in str(caught.value)
    # nor where it is about the seal
    assert key(1) not in begun_row(1).__repr__().encode()


# --- a connection that fails ----------------------------------------------------------------------


def test_a_lost_connection_is_made_again(journal: Journal, postgres: "Postgres") -> None:
    journal.write([begun(1)])
    for number in (2, 3):
        pid = connection_of(journal).info.backend_pid
        postgres.run(postgres.url("postgres"), f"SELECT pg_terminate_backend({pid}, 60000)")
        if number == 2:
            journal.write([begun(number)])
        assert journal.count() == 2
    assert setting(journal, "search_path") == "bulkcmp"


@pytest.mark.parametrize("committed", [True, False])
def test_a_commit_without_an_answer_is_read_back(
    journal: Journal, committed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.write([begun(1)])
    execute = psycopg.Connection.execute
    lost: list[bool] = []

    def lose(connection: Any, query: Any, *arguments: Any, **named: Any) -> Any:
        if query != "COMMIT" or lost:
            return execute(connection, query, *arguments, **named)
        lost.append(committed)
        if committed:
            execute(connection, query)
        connection.close()
        raise psycopg.OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(psycopg.Connection, "execute", lose)
    journal.write([ended(1, sends=5), begun(2)])
    assert lost == [committed]
    journal.write([ended(2, sends=1)])
    # once, not twice
    assert sends(journal) == {1: 5, 2: 1}


def test_a_commit_without_an_answer_is_no_later_one(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.write([begun(1), begun(2)])
    execute = psycopg.Connection.execute
    # the first write is given up, though it was committed; the second one is not, at first
    ends = [True, False]

    def lose(connection: Any, query: Any, *arguments: Any, **named: Any) -> Any:
        if query != "COMMIT" or not ends:
            return execute(connection, query, *arguments, **named)
        if ends.pop(0):
            execute(connection, query)
        connection.close()
        raise psycopg.OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(psycopg.Connection, "execute", lose)
    with monkeypatch.context() as patch:
        patch.setattr(link, "_PATIENCE", 0.0)
        with pytest.raises(JournalUnreachable):
            journal.write([ended(1, sends=5)])
    journal.write([ended(2, sends=7)])
    assert ends == []
    assert sends(journal) == {1: 5, 2: 7}


@pytest.mark.parametrize("reconnected", [True, False])
def test_a_database_that_lost_what_it_had_committed(
    journal: Journal, postgres: "Postgres", database: str, reconnected: bool
) -> None:
    journal.write([begun(1)])
    journal.write([begun(2)])
    # as on a standby that took over without the last one
    postgres.run(database, "UPDATE bulkcmp.lease SET writes = 1")
    connection_of(journal).close()
    if reconnected:
        assert journal.count() == 2
    with pytest.raises(JournalError, match=r"has lost .*: 1 of the 2 writes") as caught:
        journal.write([begun(3)])
    assert "synchronous" in (caught.value.hint or "")
    assert journal.count() == 2


@pytest.mark.parametrize("kind", ["DeadlockDetected", "SerializationFailure"])
def test_a_write_that_the_database_gave_up_is_done_again(
    journal: Journal, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.write([begun(1)])
    committed = postgresql.committed
    errors = [getattr(psycopg.errors, kind)("try again")]

    def give_up(connection: Any) -> Any:
        if errors:
            raise errors.pop()
        return committed(connection)

    monkeypatch.setattr(postgresql, "committed", give_up)
    journal.write([ended(1, sends=5)])
    assert sends(journal) == {1: 5}


def test_a_database_that_stays_away(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "_PATIENCE", 0.0)
    connection_of(journal).close()

    def refuse(*_: Any, **__: Any) -> Any:
        raise psycopg.OperationalError("connection refused")

    with monkeypatch.context() as patch:
        patch.setattr(psycopg, "connect", refuse)
        with pytest.raises(JournalUnreachable, match="can't be reached") as caught:
            journal.write([begun(1)])
        assert "bulkcmp resume" in (caught.value.hint or "")
    journal.write([begun(1)])
    assert journal.count() == 1


def test_who_is_in_a_hurry_waits_for_no_database(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    # no test waits so long
    monkeypatch.setattr(link, "_PATIENCE", 3600.0)
    monkeypatch.setattr(link, "_PAUSE", 3600.0)
    is_waiting = threading.Event()

    def refuse(*_: Any, **__: Any) -> Any:
        is_waiting.set()
        raise psycopg.OperationalError("connection refused")

    connection_of(journal).close()
    with ThreadPoolExecutor() as pool, monkeypatch.context() as patch:
        patch.setattr(psycopg, "connect", refuse)
        waiting = pool.submit(journal.write, [begun(1)])
        is_waiting.wait()
        journal.hurry()
        with pytest.raises(JournalUnreachable):
            waiting.result()
        with pytest.raises(JournalUnreachable):
            journal.settle()
    # once is tried, still
    journal.write([begun(1)])
    assert journal.count() == 1


@pytest.mark.parametrize(
    ("state", "expected", "text"),
    [
        ("DiskFull", JournalError, "disk is full"),
        ("ReadOnlySqlTransaction", InputError, "can't be written"),
        ("OutOfMemory", JournalError, "the journal failed: no"),
        ("AdminShutdown", JournalUnreachable, "can't be reached: no"),
    ],
)
def test_what_the_database_says_no_to(
    journal: Journal,
    state: str,
    expected: type[Exception],
    text: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise getattr(psycopg.errors, state)("no")

    monkeypatch.setattr(psycopg.Connection, "execute", refuse)
    with pytest.raises(expected, match=text):
        journal.count()


def test_a_full_disk_takes_nothing_half(
    folder: Path, postgres: "Postgres", make_disk: "MakeDisk"
) -> None:
    """What the tables stand on is full, and has room again later."""
    # an empty database has some 8 MB
    disk = make_disk(postgres.folder / "disk", 12 * 1024)
    if os.geteuid() == 0:
        shutil.chown(disk.path, "postgres")
    anywhere = postgres.url("postgres")
    postgres.run(anywhere, f"CREATE TABLESPACE disk LOCATION '{disk.path}'")
    url = postgres.make("TABLESPACE disk")
    try:
        many = [begun(number) for number in range(2, 1000)]
        with Journal.create(folder, {}, None, url=url) as journal:
            journal.hold()
            journal.write([begun(1)])
            disk.fill()
            with pytest.raises(JournalError, match="the database's disk is full") as caught:
                journal.write(many)
            assert caught.value.exit_code == EXIT_SOME_FAILED
            assert "make room, then bulkcmp resume" in (caught.value.hint or "")
            assert journal.count() == 1
            disk.make_room()
            journal.write(many)
            assert journal.count() == 999
    finally:
        # or the server would miss them
        postgres.run(anywhere, f"DROP DATABASE {urlsplit(url).path[1:]}")
        postgres.run(anywhere, "DROP TABLESPACE disk")


def test_writers_of_one_journal_take_turns(journal: Journal) -> None:
    def write(first: int) -> None:
        for number in range(first, first + 10):
            journal.write([begun(number), Advanced(issued(number))])

    threads = [threading.Thread(target=write, args=(100 * place,)) for place in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert journal.count() == 30
