"""What holds of a journal in a run folder only."""

import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pytest

from bulkcmp.errors import EXIT_BAD_INPUT, EXIT_SOME_FAILED, InputError
from bulkcmp.journal import sqlite as sqlite_module
from bulkcmp.journal.entry import Advanced, Entry
from bulkcmp.journal.failure import JournalError
from bulkcmp.journal.folder import FILE_NAME
from bulkcmp.journal.journal import Journal
from bulkcmp.journal.sqlite import SqliteStore
from bulkcmp.model import Secret
from tests.journal.entries import begun, ended, issued


@pytest.fixture
def journal(folder: Path) -> Iterator[Journal]:
    with Journal.create(folder, {"population": "devices.csv"}, None) as opened:
        yield opened


def read(folder: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(folder / FILE_NAME)) as connection:
        return connection.execute(query).fetchall()


def connection_of(journal: Journal) -> sqlite3.Connection:
    assert isinstance(journal._store, SqliteStore)
    return journal._store._connection


# --- a run folder ---------------------------------------------------------------------------------


def test_a_new_journal_is_private_and_knows_its_facts(folder: Path) -> None:
    with Journal.create(folder, {"a": [1, "å"]}, None) as journal:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert {stat.S_IMODE(one.stat().st_mode) for one in folder.iterdir()} == {0o600}
        run_id = journal.run_id
        assert journal.facts == {"a": [1, "å"]}
        assert journal.folder == folder
        assert journal.is_plain
    with Journal.open(folder) as again:
        assert (again.run_id, again.facts) == (run_id, {"a": [1, "å"]})
    assert [one.name for one in folder.iterdir()] == [FILE_NAME]


def test_every_commit_is_synced_to_a_write_ahead_log(journal: Journal) -> None:
    pragma = connection_of(journal).execute
    assert pragma("PRAGMA journal_mode").fetchone() == ("wal",)
    assert pragma("PRAGMA synchronous").fetchone() == (2,), "FULL"
    assert pragma("PRAGMA foreign_keys").fetchone() == (1,)


def test_file_and_folders_are_synced_at_creation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    fsync = os.fsync

    def watch(descriptor: int) -> None:
        target = Path(f"/proc/self/fd/{descriptor}").readlink()
        if target.is_dir():
            # a folder is synced once it has the entry
            assert any(target.iterdir())
        synced.append(target)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watch)
    folder = tmp_path / "new" / "runs" / "run"
    Journal.create(folder, {}, None).close()
    # the file under its first name, then each folder that got an entry
    assert synced[0].parent == folder
    assert set(synced[1:]) >= {folder, folder.parent, folder.parent.parent, tmp_path}


def test_a_folder_holds_one_run(folder: Path) -> None:
    Journal.create(folder, {}, None).close()
    with pytest.raises(InputError, match="holds a run already") as caught:
        Journal.create(folder, {}, None)
    assert caught.value.exit_code == EXIT_BAD_INPUT
    assert "bulkcmp resume" in (caught.value.hint or "")


def test_a_folder_with_other_files_takes_a_run(folder: Path) -> None:
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    # what a killed start left
    (folder / f".{FILE_NAME}.draft").write_bytes(b"half a database")
    Journal.create(folder, {}, None).close()
    Journal.open(folder).close()
    assert {one.name for one in folder.iterdir()} == {"notes.txt", FILE_NAME}


def test_an_empty_passphrase_makes_no_journal(folder: Path) -> None:
    with pytest.raises(InputError, match="passphrase for the keys is empty"):
        Journal.create(folder, {}, Secret(b""))
    assert not folder.exists()
    # and nobody holds it
    Journal.create(folder, {}, None).close()


def test_a_creation_that_fails_leaves_no_journal(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Path) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(sqlite_module, "sync", fail)
        with pytest.raises(JournalError, match="the disk is full"):
            Journal.create(folder, {}, None)
    assert not folder.exists()
    Journal.create(folder, {}, None).close()


def test_a_folder_that_was_there_stays(folder: Path) -> None:
    folder.mkdir()
    with pytest.raises(InputError, match="passphrase for the keys is empty"):
        Journal.create(folder, {}, Secret(b""))
    assert list(folder.iterdir()) == []


def test_a_file_in_the_place_of_the_folder(tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.write_text("")
    with pytest.raises(InputError, match=str(place)):
        Journal.create(place, {}, None)
    with pytest.raises(InputError, match=str(place)):
        Journal.open(place)
    with pytest.raises(InputError, match="can't be made"):
        Journal.create(place / "run", {}, None)


@pytest.mark.parametrize("there", [True, False])
def test_what_is_no_run_folder(folder: Path, there: bool) -> None:
    if there:
        folder.mkdir()
    with pytest.raises(InputError, match="is not a run folder: it holds no journal"):
        Journal.open(folder)


@pytest.mark.parametrize("use", ["create", "open"])
def test_a_folder_that_may_not_be_read(
    folder: Path, use: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if use == "open":
        Journal.create(folder, {}, None).close()
    opened = os.open

    def refuse(path: Any, *arguments: Any, **named: Any) -> int:
        if Path(path) == folder:
            raise PermissionError(13, "Permission denied")
        return opened(path, *arguments, **named)

    # root may read everything: the system's word is put in its mouth
    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(InputError, match="can't be opened: Permission denied"):
        _ = Journal.open(folder) if use == "open" else Journal.create(folder, {}, None)


@pytest.mark.parametrize("use", ["create", "open"])
def test_a_folder_that_may_not_be_looked_into(
    folder: Path, use: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.mkdir()

    def refuse(path: Path, **_: Any) -> os.stat_result:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "stat", refuse)
    with pytest.raises(InputError, match="can't be"):
        _ = Journal.open(folder) if use == "open" else Journal.create(folder, {}, None)


def test_a_file_that_is_no_database(folder: Path) -> None:
    folder.mkdir()
    (folder / FILE_NAME).write_bytes(b"no database at all" * 100)
    with pytest.raises(InputError, match="damaged: file is not a database"):
        Journal.open(folder)


def test_another_database(folder: Path) -> None:
    folder.mkdir()
    with closing(sqlite3.connect(folder / FILE_NAME)) as connection:
        connection.execute("CREATE TABLE mine (a)")
    with pytest.raises(InputError, match="is not a journal of bulkcmp"):
        Journal.open(folder)
    assert read(folder, "SELECT name FROM sqlite_master") == [("mine",)]


def test_a_journal_of_another_format(folder: Path) -> None:
    Journal.create(folder, {}, None).close()
    with closing(sqlite3.connect(folder / FILE_NAME)) as connection:
        connection.execute("PRAGMA user_version = 7")
    with pytest.raises(InputError, match="has format 7, this bulkcmp reads 4"):
        Journal.open(folder)


def test_a_damaged_journal(folder: Path) -> None:
    with Journal.create(folder, {}, None) as journal:
        journal.write([begun(number) for number in range(200)])
    path = folder / FILE_NAME
    content = bytearray(path.read_bytes())
    for place in range(8192, len(content), 64):
        content[place : place + 32] = b"\xff" * 32
    path.write_bytes(bytes(content))
    with Journal.open(folder) as opened, pytest.raises(InputError, match="the journal is damaged"):
        list(opened.results())


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM meta",
        "UPDATE meta SET value = '{'",
        "UPDATE meta SET value = '[1]'",
        "UPDATE meta SET value = CAST(x'ff' AS TEXT)",
        "UPDATE row SET outcome = 'x'",
        "UPDATE part SET granted = '[]'",
        "UPDATE part SET chain = '77'",
        "UPDATE part SET phase = 'x'",
        "DELETE FROM tx",
    ],
)
def test_values_that_can_not_be(folder: Path, statement: str) -> None:
    with Journal.create(folder, {}, None) as journal:
        journal.hold()
        journal.write([begun(1), Advanced(issued(1))])
    with closing(sqlite3.connect(folder / FILE_NAME)) as connection, connection:
        connection.execute(statement)

    def read(journal: Journal) -> None:
        _ = journal.facts, journal.anchor
        journal.unlock(None)
        list(journal.results())
        journal.states([1])

    with Journal.open(folder) as opened, pytest.raises(InputError, match="the journal is damaged"):
        read(opened)


def test_a_schema_that_sqlite_can_not_tell_of(folder: Path) -> None:
    Journal.create(folder, {}, None).close()
    path = folder / FILE_NAME
    path.write_bytes(path.read_bytes().replace(b"CREATE TABLE row", b"CREATE TABL\xff row"))
    with pytest.raises(InputError, match="the journal is damaged"):
        Journal.open(folder)


# --- one at a time --------------------------------------------------------------------------------


def test_a_second_opener_is_refused(folder: Path, journal: Journal) -> None:
    with pytest.raises(InputError, match="another bulkcmp is at work on this run"):
        Journal.open(folder)
    with pytest.raises(InputError, match="another bulkcmp is at work on this run"):
        Journal.create(folder, {}, None)
    # and took nothing away from the first
    journal.write([begun(1)])
    code = (
        "import sys; from pathlib import Path; from bulkcmp.journal.journal import Journal;"
        " Journal.open(Path(sys.argv[1]))"
    )
    other = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=False
    )
    assert "another bulkcmp is at work on this run" in other.stderr
    journal.close()
    journal.close()
    Journal.open(folder).close()


def test_a_refused_open_gives_the_folder_back(folder: Path) -> None:
    Journal.create(folder, {}, None).close()
    with closing(sqlite3.connect(folder / FILE_NAME)) as connection:
        connection.execute("PRAGMA user_version = 7")
    for _ in range(2):
        with pytest.raises(InputError, match="format 7"):
            Journal.open(folder)


def test_a_journal_that_somebody_else_writes_to(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_module, "_BUSY_SECONDS", 0.01)
    with (
        Journal.create(folder, {}, None) as journal,
        closing(sqlite3.connect(folder / FILE_NAME, isolation_level=None)) as intruder,
    ):
        intruder.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalError, match="database is locked"):
            journal.write([begun(1)])
        intruder.execute("ROLLBACK")
        journal.write([begun(1)])


# --- what the machine does to it ------------------------------------------------------------------


def test_a_full_disk_takes_nothing_half(folder: Path) -> None:
    with Journal.create(folder, {}, None) as journal:
        journal.write([begun(1)])
        pages = connection_of(journal).execute("PRAGMA page_count").fetchone()[0]
        connection_of(journal).execute(f"PRAGMA max_page_count = {pages + 2}")
        many: list[Entry] = [begun(number) for number in range(2, 300)]
        with pytest.raises(JournalError, match="the disk is full") as caught:
            journal.write(many)
        assert caught.value.exit_code == EXIT_SOME_FAILED
        assert "bulkcmp resume" in (caught.value.hint or "")
        assert journal.count() == 1
        connection_of(journal).execute("PRAGMA max_page_count = 100000")
        journal.write(many)
        assert journal.count() == 299


_LOG_HEAD: Final = 32
_FRAME: Final = 24 + 4096
"""Octets of a page in the log, with its head (SQLite's "WAL Format")."""


def test_a_torn_end_of_the_log_is_as_if_it_were_not_there(folder: Path, tmp_path: Path) -> None:
    """A power failure takes any part of what was not synced yet, and none of what was."""
    log = folder / f"{FILE_NAME}-wal"
    entries: list[Entry] = [begun(1), Advanced(issued(1)), ended(1)]
    logs: list[bytes] = []
    states: list[Any] = []
    with Journal.create(folder, {}, None) as journal:
        for entry in entries:
            journal.write([entry])
            logs.append(log.read_bytes())
            states.append(journal.states([1]))
        database = (folder / FILE_NAME).read_bytes()
    for before, after, known, then in zip(logs, logs[1:], states, states[1:], strict=False):
        assert known != then
        new = after[len(before) :]
        assert (len(after) - _LOG_HEAD) % _FRAME == 0
        ends = range(0, len(new), _FRAME)
        for cut in (*ends, *(end + 24 + 512 for end in ends)):
            lost = len(new) - cut
            for rest in (b"", b"\xa5" * lost):
                torn = before + new[:cut] + rest
                # which octets that happen to be the same are not
                assert torn == after or _states_of(tmp_path / "image", database, torn) == known
        # a later part may have come to the disk before an earlier one
        assert _states_of(tmp_path / "image", database, before + bytes(9) + new[9:]) == known
        assert _states_of(tmp_path / "image", database, after) == then


def _states_of(image: Path, database: bytes, log: bytes) -> Any:
    image.mkdir(exist_ok=True)
    (image / FILE_NAME).write_bytes(database)
    (image / f"{FILE_NAME}-wal").write_bytes(log)
    with Journal.open(image) as journal:
        journal.unlock(None)
        return journal.states([1])


@pytest.mark.parametrize(
    ("error", "expected", "text"),
    [
        (OSError(5, "Input/output error"), JournalError, "Input/output error"),
        (OSError(28, "No space left on device"), JournalError, "the disk is full"),
        (OSError(30, "Read-only file system"), InputError, "can't be written"),
    ],
)
def test_errors_of_the_file_system_are_ours(
    folder: Path,
    error: OSError,
    expected: type[Exception],
    text: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(_: int) -> None:
        raise error

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(expected, match=text):
        Journal.create(folder, {}, None)


def test_a_file_system_without_locks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr("fcntl.flock", fail)
    with pytest.raises(JournalError, match="can't be locked: No locks available"):
        Journal.create(folder, {}, None)
