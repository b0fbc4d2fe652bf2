"""What holds of a journal in a run folder and of one in PostgreSQL alike."""

import datetime as dt
import json
import random
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding

from bulkcmp.cmp.events import Checkpoint, Part, Phase
from bulkcmp.errors import InputError
from bulkcmp.journal.entry import (
    Advanced,
    Attempted,
    Begun,
    EarlierTransaction,
    Entry,
    Resumed,
    RowState,
    Skipped,
)
from bulkcmp.journal.failure import JournalError
from bulkcmp.journal.journal import Journal
from bulkcmp.model import (
    BadRow,
    Delivery,
    DeliveryState,
    Itav,
    Operation,
    Outcome,
    OutcomeClass,
    RowResult,
    Secret,
    Timings,
)
from tests.journal.conftest import Place
from tests.journal.entries import (
    NAME,
    NOW,
    PASSPHRASE,
    begun,
    begun_row,
    checkpoint,
    ended,
    issued,
    key,
    waits,
)


def results(journal: Journal) -> dict[int, RowResult]:
    return {result.number: result for result, _ in journal.results()}


def outcome_of(journal: Journal, number: int) -> tuple[OutcomeClass, str]:
    outcome = results(journal)[number].outcome
    return outcome.outcome, outcome.reason


# --- keys -----------------------------------------------------------------------------------------


def test_keys_are_sealed(place: Place) -> None:
    with place.create(passphrase=PASSPHRASE) as journal:
        assert not journal.is_plain
        journal.write([begun(number) for number in range(1, 9)])
        files = place.octets()
    files += place.octets()
    assert b"dev3" in files
    assert b"private key" not in files
    with place.open() as journal:
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


def test_a_sealed_key_does_not_fit_another_row(place: Place, journal: Journal) -> None:
    journal.write([begun(1), begun(2)])
    journal.close()
    place.change(
        "UPDATE row SET key = (SELECT key FROM row WHERE {where}number = 1) WHERE {where}TRUE"
    )
    with place.open() as opened:
        opened.unlock(None)
        assert opened.states([1])[1].key == key(1)
        with pytest.raises(InputError, match="damaged or stands in another's place"):
            opened.states([2])
        # who wants no keys is not stopped
        assert len(list(opened.results())) == 2


def test_a_row_keeps_the_name_and_the_password_that_it_began_with(place: Place) -> None:
    password = Secret(b"a password of its own")
    with place.create(passphrase=PASSPHRASE) as journal:
        assert not journal.has_passwords()
        journal.write([begun(1, out_name="x/1", out_pass=password), begun(2)])
        assert journal.has_passwords()
        journal.write([begun(1, 2, out_name="y/1", out_pass=Secret(b"another password"))])
        # what a row lacks, a later attempt brings
        journal.write([begun(2, 2, out_name="x/2")])
        files = place.octets()
    files += place.octets()
    assert b"x/1" in files
    assert b"password" not in files
    with place.open() as opened:
        opened.unlock(PASSPHRASE)
        (one, _), (two, _) = opened.results(with_keys=True)
        assert (one.out_name, one.out_pass) == ("x/1", password)
        assert (two.out_name, two.out_pass) == ("x/2", None)
        assert "password of" not in repr(one)
        assert [result.out_pass for result, _ in opened.results()] == [None, None]


def test_a_row_keeps_the_key_that_it_began_with(journal: Journal) -> None:
    journal.write([begun(1, key_id=7)])
    journal.write([begun(1, 2, key=b"another", key_id=8)])
    assert journal.states([1])[1].key == key(1)
    assert list(journal.key_ids()) == [7]


def test_a_key_that_came_is_as_durable_as_its_certificate(place: Place) -> None:
    with place.create(passphrase=PASSPHRASE) as journal:
        journal.write([begun(1, key=None), Advanced(waits(1))])
        assert journal.states([1])[1].key is None
        journal.write([Advanced(issued(1, key=key(1)))])
        assert journal.states([1])[1].key == key(1)
        # what a later step says nothing of, stays
        journal.write([Advanced(issued(1, sent_nonce=b"third nonce ....")), ended(1)])
        files = place.octets()
    files += place.octets()
    assert b"private key" not in files
    with place.open() as journal:
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
    for some in range(0, len(numbers), 70):
        journal.write(
            [
                ended(number, None, Outcome(OutcomeClass.LOCAL_ERROR, "", str(number)))
                for number in numbers[some : some + 70]
            ]
        )
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


def test_issuers_are_kept_once(place: Place, journal: Journal) -> None:
    journal.write([begun(number) for number in range(1, 20)])
    journal.write([Advanced(issued(number)) for number in range(1, 20)])
    assert place.read("SELECT count(*) FROM issuer WHERE {where}TRUE") == [(2,)]
    assert {result.chain for result in results(journal).values()} == {(b"issuer", b"root")}


def test_a_bad_row(journal: Journal) -> None:
    row = BadRow(3, 4, "x", (InputError("no DN"), InputError("no key spec")))
    journal.write([Skipped(row, NOW)])
    result = results(journal)[3]
    assert result.outcome == Outcome(OutcomeClass.BAD_ROW, "", "no DN; no key spec")
    assert (result.cmd, result.finished_at, result.attempts) == (None, NOW, 0)


def test_a_new_transaction_leaves_the_old_one_there(place: Place, journal: Journal) -> None:
    unknown = Outcome(OutcomeClass.UNKNOWN, "connection lost", "reset by peer", 2, ("badAlg",), "t")
    journal.write([begun(1), ended(1, 1, unknown, sends=2)])
    journal.write([begun(1, 2, cmd=Operation.CR)])
    open_again = results(journal)[1]
    assert open_again.outcome == Outcome(OutcomeClass.TO_DO)
    assert (open_again.attempts, open_again.sends, open_again.cmd) == (2, 2, Operation.CR)
    assert open_again.timings == Timings()
    assert open_again.finished_at is None
    journal.write([ended(1, 2)])
    assert place.read(
        "SELECT number, outcome, reason FROM part WHERE {where}TRUE ORDER BY transaction_id"
    ) == [
        (1, "unknown outcome", "connection lost"),
        (1, "issued", ""),
    ]
    assert (results(journal)[1].attempts, results(journal)[1].sends) == (2, 3)


def test_what_rows_did_before_their_last_transaction(journal: Journal) -> None:
    assert journal.earlier() == []
    journal.write([begun(1), begun(2), Advanced(issued(1))])
    assert journal.earlier() == []
    journal.write([begun(1, 2), begun(2, 2), begun(2, 3)])
    assert journal.earlier() == [
        EarlierTransaction(1, checkpoint(1).transaction_id, b"certificate"),
        *sorted(
            (
                EarlierTransaction(2, checkpoint(2, attempt).transaction_id, None)
                for attempt in (1, 2)
            ),
            key=lambda one: one.transaction_id,
        ),
    ]


def test_a_transaction_that_is_not_known_gets_no_further(journal: Journal) -> None:
    with pytest.raises(AssertionError):
        journal.write([Advanced(issued(1))])


def several(**reached: Any) -> Checkpoint:
    """Of a transaction for rows 7, 5 and 6, asked for in this order."""
    parts = tuple(Part(number, Phase.REQUESTED, place) for place, number in enumerate((7, 5, 6)))
    return replace(checkpoint(5), parts=parts, **reached)


def test_a_transaction_for_several_rows(place: Place, journal: Journal) -> None:
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
    assert place.read("SELECT number, outcome FROM part WHERE {where}TRUE ORDER BY number") == [
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
    place: Place,
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
    assert place.read("SELECT outcome, reason FROM part WHERE {where}TRUE") == [
        (outcome.value, reason)
    ]
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


def test_what_goes_on_is_under_way_again(place: Place, journal: Journal) -> None:
    stopped = Outcome(OutcomeClass.STILL_WAITING, "stopped", "by Ctrl-C", 3)
    journal.write([begun(1), Advanced(waits(1)), ended(1, 1, stopped)])
    assert not journal.states([1])[1].is_uncertain
    journal.write([Resumed(checkpoint(1).transaction_id, (1,))])
    assert place.read("SELECT outcome FROM part WHERE {where}TRUE") == [(None,)]
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


def test_a_bad_entry_takes_its_whole_batch_along(journal: Journal) -> None:
    journal.write([begun(1), begun(2)])
    # the transactionID is taken
    batch: list[Entry] = [Advanced(issued(1)), begun(3), begun(4, reached=checkpoint(2))]
    with pytest.raises(JournalError, match=r"(?i)unique"):
        journal.write(batch)
    assert journal.count() == 2
    journal.write([Advanced(issued(2, chain=(b"other",))), Advanced(issued(1))])
    assert results(journal)[1].chain == (b"issuer", b"root")
    assert results(journal)[2].chain == (b"other",)


def test_a_closed_journal_is_our_own_mistake(place: Place) -> None:
    journal = place.create()
    journal.close()
    with pytest.raises((sqlite3.ProgrammingError, AssertionError)):
        journal.write([begun(1)])


WRITER = """
import sys
from pathlib import Path
from bulkcmp.journal.entry import Advanced
from bulkcmp.journal.journal import Journal
from tests.journal.entries import begun, issued
journal = Journal.open(Path(sys.argv[1]))
journal.hold(term=1.0)
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


@pytest.mark.parametrize("commits", [3, 10, 17])
def test_a_killed_process_leaves_whole_commits_and_all_that_it_was_told(
    place: Place, commits: int, writer: Callable[[], "subprocess.Popen[str]"]
) -> None:
    place.create().close()
    process = writer()
    assert process.stdout is not None
    said = [int(process.stdout.readline()) for _ in range(commits)]
    process.kill()
    told = max([*said, *map(int, process.stdout.read().split())])
    # the lease of the dead one, if there is one, runs out soon
    with place.open() as journal:
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


def test_facts_may_be_of_any_json(place: Place) -> None:
    facts = json.loads('{"a": {"b": [null, true, 1.5]}}')
    with place.create(facts) as journal:
        assert journal.facts == facts


def test_a_transaction_without_a_deadline(journal: Journal) -> None:
    without = replace(checkpoint(1), deadline=0.0)
    journal.write([begun(1, reached=without)])
    assert journal.states([1])[1].checkpoint == without


# --- deliveries -----------------------------------------------------------------------------------


def test_deliveries(place: Place, journal: Journal) -> None:
    refused = Outcome(OutcomeClass.ISSUED_REFUSED)
    changed = Outcome(OutcomeClass.ISSUED_SUBJECT_CHANGED)
    outcomes = {
        1: ended(1),
        2: ended(2),
        3: ended(3, outcome=refused),
        4: ended(4, outcome=changed),
    }
    for number, end in outcomes.items():
        journal.write([begun(number), Advanced(issued(number)), end])
    journal.write([begun(5)])
    assert list(journal.undelivered()) == [1, 2, 4]
    journal.write([Attempted(2, DeliveryState.FAILED, "exit code 3", NOW)])
    journal.write([Attempted(1, DeliveryState.DELIVERED, "", NOW)])
    assert list(journal.undelivered()) == [2, 4]
    assert sorted(journal.deliveries()) == [
        (DeliveryState.DELIVERED, "", 1),
        (DeliveryState.FAILED, "exit code 3", 1),
        (DeliveryState.TO_DO, "", 1),
    ]
    journal.write([Attempted(2, DeliveryState.DELIVERED, "", NOW)])
    found = {number: result.delivery for number, result in results(journal).items()}
    assert found[1] == Delivery(DeliveryState.DELIVERED, 1)
    assert found[2] == Delivery(DeliveryState.DELIVERED, 2)
    assert found[4] == found[5] == Delivery(DeliveryState.TO_DO)
    assert place.read("SELECT delivery_at FROM row WHERE {where}number = 1") == [(NOW.isoformat(),)]


def test_one_result(journal: Journal) -> None:
    journal.write([begun(number) for number in (1, 2, 3)])
    journal.write([Advanced(issued(2)), ended(2)])
    result, private = journal.result(2)
    assert (result.number, result.certificate, private) == (2, b"certificate", key(2))
    assert (result, private) in list(journal.results(with_keys=True))


def test_many_are_undelivered(journal: Journal) -> None:
    entries: list[Entry] = []
    for number in range(1, 601):
        entries += [begun(number), Advanced(issued(number)), ended(number)]
    journal.write(entries)
    assert list(journal.undelivered()) == list(range(1, 601))
