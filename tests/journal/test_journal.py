import datetime as dt
import json
import os
import random
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding

from bulkcmp.cmp.events import Checkpoint, Part, Phase
from bulkcmp.errors import EXIT_BAD_INPUT, EXIT_SOME_FAILED, InputError
from bulkcmp.journal import sqlite as sqlite_module
from bulkcmp.journal.entry import (
    Advanced,
    Begun,
    BegunRow,
    Ended,
    Entry,
    Resumed,
    RowState,
    Skipped,
)
from bulkcmp.journal.journal import Journal
from bulkcmp.journal.sqlite import FILE_NAME, SqliteStore
from bulkcmp.journal.store import JournalError
from bulkcmp.model import BadRow, Itav, Operation, Outcome, OutcomeClass, RowResult, Secret, Timings

PASSPHRASE = Secret(b"open sesame")
NOW = dt.datetime(2027, 3, 1, 12, tzinfo=dt.UTC)
NAME = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "dev1")])
ISSUED = Outcome(OutcomeClass.ISSUED, pki_status=0)


def key(number: int) -> bytes:
    return b"the private key of row %d, in the clear" % number


PART_FIELDS = {one.name for one in fields(Part)}


def checkpoint(number: int, attempt: int = 1, **changes: Any) -> Checkpoint:
    """Of a transaction for one row; `changes` are fields of the checkpoint or of its part."""
    part: dict[str, Any] = {"number": number, "phase": Phase.REQUESTED, "cert_req_id": 0}
    part |= {name: value for name, value in changes.items() if name in PART_FIELDS}
    values: dict[str, Any] = {
        "transaction_id": b"transaction %04d" % (100 * number + attempt),
        "request_nonce": b"request nonce...",
        "sent_nonce": b"request nonce...",
        "received_nonce": None,
        "protection": b"protection",
        "deadline": 1234.5,
        "parts": (Part(**part),),
    }
    values |= {name: value for name, value in changes.items() if name not in PART_FIELDS}
    return Checkpoint(**values)


def begun_row(number: int, **changes: Any) -> BegunRow:
    values: dict[str, Any] = {
        "number": number,
        "line": number + 1,
        "id": f"dev{number}",
        "cmd": Operation.IR,
        "requested_subject": NAME.public_bytes(),
        "key": key(number),
    }
    return BegunRow(**(values | changes))


def begun(number: int, attempt: int = 1, reached: Checkpoint | None = None, **row: Any) -> Begun:
    if attempt > 1:
        row = {"key": None, **row}
    return Begun(reached or checkpoint(number, attempt), (begun_row(number, **row),))


def waits(number: int, **changes: Any) -> Checkpoint:
    return checkpoint(
        number, phase=Phase.WAITING, received_nonce=b"nonce of the CA", check_at=99.5, **changes
    )


def issued(number: int, **changes: Any) -> Checkpoint:
    values: dict[str, Any] = {
        "phase": Phase.GRANTED,
        "sent_nonce": b"another nonce...",
        "received_nonce": b"nonce of the CA",
        "certificate": b"certificate",
        "chain": (b"issuer", b"root"),
        "granted": ISSUED,
        "confirm": True,
    }
    return checkpoint(number, **(values | changes))


def ended(number: int, attempt: int | None = 1, outcome: Outcome = ISSUED, **more: Any) -> Ended:
    values: dict[str, Any] = {
        "number": number,
        "line": number + 1,
        "id": f"dev{number}",
        "cmd": Operation.IR,
        "transaction_id": None if attempt is None else checkpoint(number, attempt).transaction_id,
        "outcome": outcome,
        "timings": Timings(1.5, 1.0, None, 0.5),
        "sends": 1,
        "finished_at": NOW,
    }
    return Ended(**(values | more))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "run"


@pytest.fixture
def journal(folder: Path) -> Iterator[Journal]:
    with Journal.create(folder, {"population": "devices.csv"}, None) as opened:
        yield opened


def results(journal: Journal) -> dict[int, RowResult]:
    return {result.number: result for result, _ in journal.results()}


def outcome_of(journal: Journal, number: int) -> tuple[OutcomeClass, str]:
    outcome = results(journal)[number].outcome
    return outcome.outcome, outcome.reason


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
    assert list(folder.iterdir()) == []
    # and the folder is not held
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
    assert list(folder.iterdir()) == []
    Journal.create(folder, {}, None).close()


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
    with pytest.raises(InputError, match="has format 7, this bulkcmp reads 3"):
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


# --- keys -----------------------------------------------------------------------------------------


def test_keys_are_sealed(folder: Path) -> None:
    with Journal.create(folder, {}, PASSPHRASE) as journal:
        assert not journal.is_plain
        journal.write([begun(number) for number in range(1, 9)])
        files = b"".join(one.read_bytes() for one in folder.iterdir())
    files += b"".join(one.read_bytes() for one in folder.iterdir())
    assert b"dev3" in files
    assert b"private key" not in files
    with Journal.open(folder) as journal:
        for wrong, text in (
            (Secret(b"guess"), "wrong passphrase"),
            (None, "no passphrase was given"),
        ):
            with pytest.raises(InputError, match=text):
                journal.unlock(wrong)
        journal.unlock(PASSPHRASE)
        found = dict(list(journal.results(with_keys=True))[2:3])
        assert list(found.values()) == [key(3)]
        assert journal.states([3])[3].key == key(3)


def test_a_sealed_key_does_not_fit_another_row(folder: Path, journal: Journal) -> None:
    journal.write([begun(1), begun(2)])
    journal.close()
    with closing(sqlite3.connect(folder / FILE_NAME, isolation_level=None)) as connection:
        connection.execute("UPDATE row SET key = (SELECT key FROM row WHERE number = 1)")
    with Journal.open(folder) as opened:
        opened.unlock(None)
        assert opened.states([1])[1].key == key(1)
        with pytest.raises(InputError, match="damaged or stands in another's place"):
            opened.states([2])
        # who wants no keys is not stopped
        assert len(list(opened.results())) == 2


def test_a_row_keeps_the_key_that_it_began_with(journal: Journal) -> None:
    journal.write([begun(1, key_id=7)])
    journal.write([begun(1, 2, key=b"another", key_id=8)])
    assert journal.states([1])[1].key == key(1)
    assert list(journal.key_ids()) == [7]


def test_a_key_that_came_is_as_durable_as_its_certificate(folder: Path) -> None:
    with Journal.create(folder, {}, PASSPHRASE) as journal:
        journal.write([begun(1, key=None), Advanced(waits(1))])
        assert journal.states([1])[1].key is None
        journal.write([Advanced(issued(1, key=key(1)))])
        assert journal.states([1])[1].key == key(1)
        # what a later step says nothing of, stays
        journal.write([Advanced(issued(1, sent_nonce=b"third nonce ....")), ended(1)])
        files = b"".join(one.read_bytes() for one in folder.iterdir())
    files += b"".join(one.read_bytes() for one in folder.iterdir())
    assert b"private key" not in files
    with Journal.open(folder) as journal:
        journal.unlock(PASSPHRASE)
        ((row, stored),) = journal.results(with_keys=True)
        assert row.has_key
        assert stored == key(1)


def test_a_row_without_a_key(journal: Journal) -> None:
    journal.write([begun(1, key=None), ended(2, None, Outcome(OutcomeClass.LOCAL_ERROR))])
    assert not results(journal)[1].has_key
    assert [found for _, found in journal.results(with_keys=True)] == [None, None]
    assert list(journal.key_ids()) == []


# --- the way of a row -----------------------------------------------------------------------------


def test_a_row_from_beginning_to_end(journal: Journal) -> None:
    assert journal.count() == 0
    journal.write([begun(1, key_id=4)])
    (state,) = journal.states([1]).values()
    assert state == RowState(1, OutcomeClass.TO_DO, checkpoint(1), key(1))

    journal.write([Advanced(waits(1, cert_req_id=-1))])
    assert journal.states([1])[1].checkpoint == waits(1, cert_req_id=-1)

    granted = Outcome(OutcomeClass.ISSUED_SUBJECT_CHANGED, "r", "d", 1, ("badAlg", "badPOP"), "t")
    got = issued(1, granted=granted, confirm=True)
    journal.write([Advanced(got)])
    assert journal.states([1])[1].checkpoint == got

    journal.write([ended(1, 1, granted, sends=3)])
    assert journal.states([1])[1] == RowState(1, granted.outcome, got, key(1))
    assert results(journal)[1] == RowResult(
        number=1,
        line=2,
        id="dev1",
        cmd=Operation.IR,
        outcome=granted,
        transaction_id=checkpoint(1).transaction_id.hex(),
        certificate=b"certificate",
        chain=(b"issuer", b"root"),
        requested_subject="CN=dev1",
        timings=Timings(1.5, 1.0, None, 0.5),
        attempts=1,
        sends=3,
        finished_at=NOW,
        has_key=True,
    )
    assert journal.count() == 1


def test_results_describe_a_certificate(journal: Journal) -> None:
    signer = ed25519.Ed25519PrivateKey.generate()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(NAME)
        .issuer_name(NAME)
        .public_key(signer.public_key())
        .serial_number(4711)
        .not_valid_before(NOW)
        .not_valid_after(NOW + dt.timedelta(days=30))
        .sign(signer, None)
        .public_bytes(Encoding.DER)
    )
    # RFC 5280 ends at v3
    newer = certificate.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x05", 1)
    assert newer != certificate
    journal.write([begun(number) for number in (1, 2, 3)])
    journal.write(
        [
            Advanced(issued(1, certificate=certificate)),
            Advanced(issued(2, certificate=b"no certificate")),
            Advanced(issued(3, certificate=newer)),
        ]
    )
    good, bad, odd = results(journal).values()
    assert (good.serial, good.subject) == (4711, "CN=dev1")
    assert good.not_after == NOW + dt.timedelta(days=30)
    for one in (bad, odd):
        assert (one.serial, one.subject, one.not_after) == (None, "", None)
        assert one.certificate


def test_a_name_that_cannot_be_read_is_left_out(journal: Journal) -> None:
    journal.write([begun(1, requested_subject=b"\x30\x03abc"), begun(2, requested_subject=None)])
    assert [one.requested_subject for one in results(journal).values()] == ["", ""]


def test_results_are_in_the_order_of_the_population(journal: Journal) -> None:
    numbers = list(range(1, 700))
    random.Random(1).shuffle(numbers)
    for number in numbers:
        journal.write([ended(number, None, Outcome(OutcomeClass.LOCAL_ERROR, "", str(number)))])
    found = [result for result, _ in journal.results()]
    assert [result.number for result in found] == sorted(numbers)
    assert [result.outcome.detail for result in found] == [str(n) for n in sorted(numbers)]
    assert journal.count() == len(numbers)


def test_results_may_be_read_while_rows_are_written(journal: Journal) -> None:
    journal.write([begun(number) for number in range(1, 600)])
    reading = journal.results()
    next(reading)
    journal.write([begun(number) for number in range(600, 620)])
    assert len(list(reading)) == 618


def test_issuers_are_kept_once(folder: Path, journal: Journal) -> None:
    journal.write([begun(number) for number in range(1, 20)])
    journal.write([Advanced(issued(number)) for number in range(1, 20)])
    assert read(folder, "SELECT count(*) FROM issuer") == [(2,)]
    assert {result.chain for result in results(journal).values()} == {(b"issuer", b"root")}


def test_a_bad_row(journal: Journal) -> None:
    row = BadRow(3, 4, "x", (InputError("no DN"), InputError("no key spec")))
    journal.write([Skipped(row, NOW)])
    result = results(journal)[3]
    assert result.outcome == Outcome(OutcomeClass.BAD_ROW, "", "no DN; no key spec")
    assert (result.cmd, result.finished_at, result.attempts) == (None, NOW, 0)


def test_a_new_transaction_leaves_the_old_one_there(folder: Path, journal: Journal) -> None:
    unknown = Outcome(OutcomeClass.UNKNOWN, "connection lost", "reset by peer", 2, ("badAlg",), "t")
    journal.write([begun(1), ended(1, 1, unknown, sends=2)])
    journal.write([begun(1, 2, cmd=Operation.CR)])
    open_again = results(journal)[1]
    assert open_again.outcome == Outcome(OutcomeClass.TO_DO)
    assert (open_again.attempts, open_again.sends, open_again.cmd) == (2, 2, Operation.CR)
    assert open_again.timings == Timings()
    assert open_again.finished_at is None
    journal.write([ended(1, 2)])
    assert read(folder, "SELECT number, outcome, reason FROM part ORDER BY transaction_id") == [
        (1, "unknown outcome", "connection lost"),
        (1, "issued", ""),
    ]
    assert (results(journal)[1].attempts, results(journal)[1].sends) == (2, 3)


def test_a_transaction_that_is_not_known_gets_no_further(journal: Journal) -> None:
    with pytest.raises(AssertionError):
        journal.write([Advanced(issued(1))])


def several(**reached: Any) -> Checkpoint:
    """Of a transaction for rows 7, 5 and 6, asked for in this order."""
    parts = tuple(Part(number, Phase.REQUESTED, place) for place, number in enumerate((7, 5, 6)))
    return replace(checkpoint(5), parts=parts, **reached)


def test_a_transaction_for_several_rows(folder: Path, journal: Journal) -> None:
    asked = several()
    journal.write([Begun(asked, tuple(begun_row(part.number) for part in asked.parts))])
    first, second, third = asked.parts
    refused = Outcome(OutcomeClass.REJECTED, "badPOP", "no", 2, ("badPOP",), "no")
    reached = replace(
        asked,
        received_nonce=b"nonce of the CA",
        whole_waits=True,
        parts=(
            replace(first, outcome=refused),
            replace(second, phase=Phase.WAITING, check_at=99.5),
            issued(6, cert_req_id=2).parts[0],
        ),
    )
    journal.write([Advanced(reached)])
    states = journal.states([5, 6, 7, 8])
    assert {number: one.key for number, one in states.items()} == {n: key(n) for n in (5, 6, 7)}
    assert all(one.checkpoint == reached for one in states.values())
    # cut off: each has come as far as it has
    assert journal.settle() == 3
    assert {n: one.outcome for n, one in journal.states([5, 6, 7]).items()} == {
        5: OutcomeClass.STILL_WAITING,
        6: UNCONFIRMED,
        7: OutcomeClass.REJECTED,
    }
    assert results(journal)[7].outcome == refused
    # two of them go on
    journal.write([Resumed(asked.transaction_id, (5, 6))])
    assert read(folder, "SELECT number, outcome FROM part ORDER BY number") == [
        (5, None),
        (6, None),
        (7, "rejected"),
    ]
    journal.write([Advanced(replace(reached, parts=(issued(5, cert_req_id=1).parts[0],)))])
    assert results(journal)[5].certificate == b"certificate"
    assert third == asked.parts[2]


def test_states_leaves_out_what_was_never_taken_up(journal: Journal) -> None:
    journal.write([begun(2)])
    assert journal.states([1, 2, 3]).keys() == {2}
    assert journal.states([]) == {}


# --- what was cut off -----------------------------------------------------------------------------

REFUSED = Outcome(OutcomeClass.ISSUED_REFUSED, "another subject", "CN=x", 0)
UNCONFIRMED = OutcomeClass.ISSUED_CONFIRMATION_UNKNOWN
CUT_OFF: list[tuple[Checkpoint | None, OutcomeClass, str]] = [
    (None, OutcomeClass.UNKNOWN, "interrupted"),
    (waits(1), OutcomeClass.STILL_WAITING, "interrupted"),
    (issued(1), UNCONFIRMED, "interrupted"),
    (issued(1, confirm=False), OutcomeClass.ISSUED, ""),
    (issued(1, granted=REFUSED), OutcomeClass.ISSUED_REFUSED, "another subject"),
    (issued(1, granted=REFUSED, confirm=False), OutcomeClass.ISSUED_REFUSED, "another subject"),
]


@pytest.mark.parametrize("way", ["settle", "take over"])
@pytest.mark.parametrize(("reached", "outcome", "reason"), CUT_OFF)
def test_what_was_under_way_gets_an_outcome(
    folder: Path,
    journal: Journal,
    way: str,
    reached: Checkpoint | None,
    outcome: OutcomeClass,
    reason: str,
) -> None:
    journal.write([begun(1), *([Advanced(reached)] if reached else [])])
    if way == "settle":
        assert journal.settle() == 1
        state = journal.states([1])[1]
    else:
        state = journal.take_over([1, 99])[1]
    assert (state.outcome, state.interrupted) == (outcome, reason == "interrupted")
    assert state.checkpoint == (reached or checkpoint(1))
    assert outcome_of(journal, 1) == (outcome, reason)
    # the transaction has it too
    assert read(folder, "SELECT outcome, reason FROM part") == [(outcome.value, reason)]
    assert journal.settle() == 0
    if outcome is UNCONFIRMED:
        assert results(journal)[1].outcome.pki_status == 0


def test_a_question_that_was_cut_off_is_unanswered(journal: Journal) -> None:
    journal.write([begun(1, cmd=Operation.GENM)])
    journal.settle()
    assert outcome_of(journal, 1) == (OutcomeClass.UNANSWERED, "interrupted")


def test_what_a_question_was_told(journal: Journal) -> None:
    infos = (Itav("1.2.3"), Itav("1.3.6.1.5.5.7.4.16", b"\x30\x04\x0c\x02en"))
    told = issued(
        1,
        certificate=None,
        chain=(),
        infos=infos,
        granted=Outcome(OutcomeClass.ANSWERED),
        confirm=False,
    )
    journal.write([begun(1, cmd=Operation.GENM), Advanced(told)])
    assert journal.states([1])[1].checkpoint == told
    # cut off before its end was recorded
    journal.settle()
    assert outcome_of(journal, 1) == (OutcomeClass.ANSWERED, "")
    assert results(journal)[1].infos == infos


def test_taking_over_leaves_the_rows_of_others_alone(journal: Journal) -> None:
    journal.write([begun(1), begun(2), begun(3)])
    assert journal.take_over([2, 3]).keys() == {2, 3}
    assert outcome_of(journal, 1) == (OutcomeClass.TO_DO, "")
    assert journal.settle() == 1


def test_what_ended_is_left_alone(journal: Journal) -> None:
    journal.write([begun(1), ended(1, 1, Outcome(OutcomeClass.REJECTED, "badAlg"))])
    assert journal.settle() == 0
    assert journal.take_over([1])[1].outcome is OutcomeClass.REJECTED


def test_what_goes_on_is_under_way_again(folder: Path, journal: Journal) -> None:
    stopped = Outcome(OutcomeClass.STILL_WAITING, "stopped", "by Ctrl-C", 3)
    journal.write([begun(1), Advanced(waits(1)), ended(1, 1, stopped)])
    assert not journal.states([1])[1].is_uncertain
    journal.write([Resumed(checkpoint(1).transaction_id, (1,))])
    assert read(folder, "SELECT outcome FROM part") == [(None,)]
    # cut off before an answer was stored: the poll may have been answered
    journal.settle()
    state = journal.states([1])[1]
    assert (state.outcome, state.is_uncertain) == (OutcomeClass.STILL_WAITING, True)

    # cut off after: the certificate counts, whatever the row was called before
    journal.write([ended(1, 1, Outcome(OutcomeClass.UNKNOWN, "connection lost"))])
    journal.write([Resumed(checkpoint(1).transaction_id, (1,)), Advanced(issued(1))])
    journal.settle()
    assert outcome_of(journal, 1) == (UNCONFIRMED, "interrupted")


def test_uncertain_is_what_may_have_been_answered() -> None:
    def state(outcome: OutcomeClass, *, interrupted: bool = False) -> bool:
        return RowState(1, outcome, None, interrupted=interrupted).is_uncertain

    assert state(OutcomeClass.UNKNOWN)
    assert state(OutcomeClass.STILL_WAITING, interrupted=True)
    assert not state(OutcomeClass.STILL_WAITING)


@pytest.mark.parametrize("outcome", OutcomeClass)
def test_what_the_ca_may_have_done(outcome: OutcomeClass) -> None:
    nobody_proved = {
        OutcomeClass.UNKNOWN,
        OutcomeClass.BAD_RESPONSE,
        OutcomeClass.REJECTED_UNAUTHENTICATED,
        OutcomeClass.HTTP_ERROR,
        OutcomeClass.NOT_CMP,
    }
    assert RowState(1, outcome, None).may_be_done is (outcome in nobody_proved)


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


def test_a_bad_entry_takes_its_whole_batch_along(journal: Journal) -> None:
    journal.write([begun(1), begun(2)])
    # the transactionID is taken
    batch: list[Entry] = [Advanced(issued(1)), begun(3), begun(4, reached=checkpoint(2))]
    with pytest.raises(JournalError, match="UNIQUE"):
        journal.write(batch)
    assert journal.count() == 2
    # issuers that were numbered in what was rolled back are numbered anew
    journal.write([Advanced(issued(2, chain=(b"other",))), Advanced(issued(1))])
    assert results(journal)[1].chain == (b"issuer", b"root")
    assert results(journal)[2].chain == (b"other",)


def test_a_closed_journal_is_our_own_mistake(folder: Path) -> None:
    journal = Journal.create(folder, {}, None)
    journal.close()
    with pytest.raises(sqlite3.ProgrammingError):
        journal.write([begun(1)])


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


WRITER = """
import sys
from pathlib import Path
from tests.journal.test_journal import begun, issued, Advanced, Journal
journal = Journal.open(Path(sys.argv[1]))
journal.unlock(None)
number = 1
while True:
    journal.write([begun(n) for n in range(number, number + 5)])
    journal.write([Advanced(issued(n)) for n in range(number, number + 5)])
    number += 5
    # what was said to be durable
    print(number - 1, flush=True)
"""


@pytest.fixture
def writer(folder: Path) -> Iterator[Callable[[], "subprocess.Popen[str]"]]:
    started: list[subprocess.Popen[str]] = []

    def start() -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(folder)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_a_killed_process_leaves_whole_commits_and_all_that_it_was_told(
    folder: Path, writer: Callable[[], "subprocess.Popen[str]"]
) -> None:
    for attempt in range(3):
        with_rows = folder.parent / f"run{attempt}"
        Journal.create(with_rows, {}, None).close()
        folder.unlink(missing_ok=True)
        folder.symlink_to(with_rows)
        process = writer()
        assert process.stdout is not None
        said = [int(process.stdout.readline()) for _ in range(3 + 7 * attempt)]
        process.kill()
        told = max([*said, *map(int, process.stdout.read().split())])
        with Journal.open(folder) as journal:
            found = results(journal)
            assert len(found) % 5 == 0
            assert set(found) == set(range(1, len(found) + 1))
            assert told <= len(found) <= told + 5
            certified = [number for number, row in found.items() if row.certificate]
            assert len(certified) % 5 == 0
            assert set(certified) >= set(range(1, told + 1))
            journal.settle()
            counts = {outcome_of(journal, number)[0] for number in certified}
            assert counts == {UNCONFIRMED}


def test_facts_may_be_of_any_json(folder: Path) -> None:
    facts = json.loads('{"a": {"b": [null, true, 1.5]}}')
    with Journal.create(folder, facts, None) as journal:
        assert journal.facts == facts


def test_a_transaction_without_a_deadline(journal: Journal) -> None:
    without = replace(checkpoint(1), deadline=0.0)
    journal.write([begun(1, reached=without)])
    assert journal.states([1])[1].checkpoint == without
