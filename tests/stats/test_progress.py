"""Progress in made-up time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkcmp.model import Outcome, OutcomeClass, Timings
from bulkcmp.stats.histogram import RELATIVE_ERROR
from bulkcmp.stats.progress import (
    RATE_WINDOW,
    Held,
    HoldCount,
    NewestError,
    Progress,
    Relay,
    Snapshot,
)
from bulkcmp.stats.tally import OutcomeCount
from bulkcmp.waves.admission import Hold

BEGAN = 1000.0
ISSUED = Outcome(OutcomeClass.ISSUED)
REJECTED = Outcome(OutcomeClass.REJECTED, "badPOP", "said no")
QUICK = Timings(service=0.01)


def run(progress: Progress, instants: list[float], outcome: Outcome = ISSUED) -> None:
    for instant in instants:
        progress.started(BEGAN + instant)
        progress.finished(BEGAN + instant, [(f"row {instant}", outcome)], QUICK)


def test_a_new_run_knows_nothing_yet() -> None:
    assert Progress(BEGAN).snapshot(BEGAN) == Snapshot()


def test_rows_are_in_flight_until_they_are_done() -> None:
    progress = Progress(BEGAN, total=3)
    progress.started(BEGAN)
    progress.started(BEGAN)
    progress.finished(BEGAN + 1, [("a", ISSUED)], QUICK)
    snapshot = progress.snapshot(BEGAN + 2)
    assert (snapshot.elapsed, snapshot.total, snapshot.done, snapshot.in_flight) == (2, 3, 1, 1)
    assert snapshot.failed == 0
    assert snapshot.newest_error is None
    assert not snapshot.finished
    progress.abandoned()
    snapshot = progress.snapshot(BEGAN + 2)
    assert (snapshot.done, snapshot.in_flight) == (1, 0)


def test_outcomes_are_counted_and_the_newest_failure_is_kept_with_its_count() -> None:
    progress = Progress(BEGAN)
    run(progress, [1.0, 2.0], REJECTED)
    run(progress, [3.0])
    progress.settled(BEGAN + 3.5, "bad", Outcome(OutcomeClass.BAD_ROW))
    run(progress, [4.0], REJECTED)
    run(progress, [5.0])
    snapshot = progress.snapshot(BEGAN + 6)
    assert snapshot.counts == (
        OutcomeCount(OutcomeClass.ISSUED, "", 2),
        OutcomeCount(OutcomeClass.REJECTED, "badPOP", 3),
        OutcomeCount(OutcomeClass.BAD_ROW, "", 1),
    )
    assert (snapshot.done, snapshot.failed, snapshot.in_flight) == (6, 4, 0)
    assert snapshot.newest_error == NewestError("row 4.0", REJECTED, 4.0, 3)


def test_a_row_without_a_transaction_is_no_part_of_the_rate() -> None:
    progress = Progress(BEGAN)
    progress.settled(BEGAN, "bad", Outcome(OutcomeClass.BAD_ROW))
    snapshot = progress.snapshot(BEGAN + 1)
    assert (snapshot.done, snapshot.rate_now, snapshot.rate_average) == (1, 0.0, 0.0)
    assert snapshot.failure.service.count == 0


def test_latencies_of_successes_and_failures_are_apart() -> None:
    progress = Progress(BEGAN)
    for _ in range(2):
        progress.started(BEGAN)
    timings = Timings(service=0.5, request=0.1, polling=0.3, confirm=0.1)
    progress.finished(BEGAN + 1, [("a", ISSUED)], timings)
    progress.finished(BEGAN + 9, [("b", REJECTED)], Timings(service=9.0, request=9.0))
    snapshot = progress.snapshot(BEGAN + 9)
    success, failure = snapshot.success, snapshot.failure
    assert [success.service.max, success.request.max] == [0.5, 0.1]
    assert [success.polling.max, success.confirm.max] == [0.3, 0.1]
    assert [failure.service.max, failure.request.max] == [9.0, 9.0]
    assert [failure.polling.count, failure.confirm.count] == [0, 0]
    assert success.service.count == failure.service.count == 1
    assert success.service.p99 == pytest.approx(0.5, rel=RELATIVE_ERROR)


def test_a_certificate_that_is_not_what_was_asked_for_is_a_failure() -> None:
    progress = Progress(BEGAN)
    run(progress, [1.0], Outcome(OutcomeClass.ISSUED_CONFIRMATION_UNKNOWN))
    run(progress, [1.0], Outcome(OutcomeClass.ISSUED_SUBJECT_CHANGED))
    snapshot = progress.snapshot(BEGAN + 1)
    assert snapshot.failed == 1
    assert snapshot.success.service.count == snapshot.failure.service.count == 1


def test_the_rate_now_looks_back_ten_seconds() -> None:
    progress = Progress(BEGAN, total=10_000)
    # 100/s for 20 s, then 10/s for 30 s
    run(progress, [(number + 0.5) / 100 for number in range(2000)])
    assert progress.snapshot(BEGAN + 20).rate_now == pytest.approx(100, rel=0.02)
    run(progress, [20 + (number + 0.5) / 10 for number in range(300)])
    snapshot = progress.snapshot(BEGAN + 50)
    assert snapshot.rate_now == pytest.approx(10, rel=0.02)
    assert snapshot.rate_average == pytest.approx(2300 / 50)
    assert snapshot.eta == pytest.approx(7700 / 10, rel=0.02)


def test_the_rate_now_falls_to_nothing_in_a_stall_and_the_eta_with_it() -> None:
    progress = Progress(BEGAN, total=100)
    run(progress, [1.0] * 50)
    assert progress.snapshot(BEGAN + 10).rate_now > 0
    snapshot = progress.snapshot(BEGAN + 1 + RATE_WINDOW + 0.2)
    assert snapshot.rate_now == 0.0
    assert snapshot.eta is None
    assert snapshot.rate_average > 0


def test_the_first_row_of_a_run_gives_no_absurd_rate() -> None:
    progress = Progress(BEGAN)
    run(progress, [0.001])
    assert progress.snapshot(BEGAN + 0.001).rate_now == 1.0


@given(st.lists(st.floats(0, 60), max_size=300), st.floats(0, 60))
def test_the_rate_now_is_that_of_a_window_of_ten_seconds(
    instants: list[float], later: float
) -> None:
    instants.sort()
    now = (instants[-1] if instants else 0.0) + later
    progress = Progress(BEGAN)
    run(progress, instants)
    rate = progress.snapshot(BEGAN + now).rate_now
    # a slot's width on either side of the window's edge is a matter of rounding
    surely = sum(instant > now - RATE_WINDOW + 0.2 for instant in instants)
    perhaps = sum(instant > now - RATE_WINDOW - 0.1 for instant in instants)
    length = min(max(now, 1.0), RATE_WINDOW)
    assert surely / length * 0.97 <= rate <= perhaps / length * 1.03


def test_the_rate_needs_bounded_memory() -> None:
    progress = Progress(BEGAN)
    run(progress, [number / 1000 for number in range(60_000)])
    assert len(progress._rate._slots) <= 101


def test_a_resumed_run_counts_the_rows_of_before_but_not_their_speed() -> None:
    progress = Progress(BEGAN)
    progress.already_done(OutcomeClass.ISSUED, count=90)
    progress.already_done(OutcomeClass.REJECTED, "badPOP", 5)
    progress.set_total(100)
    snapshot = progress.snapshot(BEGAN + 1)
    assert (snapshot.done, snapshot.already_done, snapshot.failed) == (95, 95, 5)
    assert (snapshot.rate_average, snapshot.eta, snapshot.newest_error) == (0.0, None, None)
    run(progress, [1.0], REJECTED)
    snapshot = progress.snapshot(BEGAN + 1)
    assert snapshot.done == 96
    assert snapshot.eta == pytest.approx(4.0)
    assert snapshot.newest_error is not None
    assert snapshot.newest_error.count == 6


def test_without_a_total_there_is_no_eta_and_with_nothing_left_it_is_zero() -> None:
    progress = Progress(BEGAN)
    run(progress, [1.0])
    assert progress.snapshot(BEGAN + 1).eta is None
    progress.set_total(1)
    assert progress.snapshot(BEGAN + 100).eta == 0.0


def test_time_stands_still_after_the_end() -> None:
    progress = Progress(BEGAN, total=1)
    run(progress, [1.0])
    progress.end(BEGAN + 2)
    snapshot = progress.snapshot(BEGAN + 50)
    assert snapshot.finished
    assert snapshot == progress.snapshot(BEGAN + 2)
    assert snapshot.elapsed == 2.0


def test_waiting_for_keys_adds_up() -> None:
    progress = Progress(BEGAN)
    progress.waited_for_keys(1.5)
    progress.waited_for_keys(0.25)
    assert progress.snapshot(BEGAN).keys_waiting == 1.75


def test_a_progress_fed_with_what_another_was_told_stands_like_it() -> None:
    relay, fed = Relay(BEGAN, total=9), Progress(BEGAN, total=9)
    relay.already_done(OutcomeClass.ISSUED, count=2)
    run(relay, [1.0])
    run(relay, [2.0], REJECTED)
    relay.settled(BEGAN + 2.0, "bad", Outcome(OutcomeClass.BAD_ROW))
    first = relay.take()
    relay.started(BEGAN + 2.0)
    relay.started(BEGAN + 2.0)
    relay.started(BEGAN + 2.0)
    relay.abandoned(2)
    relay.waited_for_keys(1.5)
    for event in (*first, *relay.take()):
        fed.feed(BEGAN + 2.0, event)
    assert relay.take() == ()
    found, meant = fed.snapshot(BEGAN + 3.0), relay.snapshot(BEGAN + 3.0)
    assert found.newest_error == meant.newest_error
    assert found == meant
    assert (found.done, found.in_flight, found.keys_waiting) == (5, 1, 1.5)


def test_what_holds_a_run_back_is_counted_and_timed_also_elsewhere() -> None:
    relay, there = Relay(BEGAN), Progress(BEGAN)
    busy = Held(Hold.CIRCUIT, BEGAN + 3, "server busy")
    steps = [(1.0, busy), (3.0, Held(Hold.CIRCUIT, BEGAN + 9, "cut")), (5.0, None), (7.0, busy)]
    for instant, held in steps:
        relay.held(BEGAN + instant, held)
        for event in relay.take():
            there.feed(BEGAN + instant, event)
    for progress in (relay, there):
        snapshot = progress.snapshot(BEGAN + 8)
        assert snapshot.held == busy
        # a later probe is no second time
        assert snapshot.holds == (HoldCount(Hold.CIRCUIT, 2, 5.0),)
        progress.end(BEGAN + 10)
        last = progress.snapshot(BEGAN + 20)
        assert last.held is None
        assert last.holds == (HoldCount(Hold.CIRCUIT, 2, 7.0),)


def test_why_a_run_is_held_back_stands_behind_what_holds_it() -> None:
    assert str(Held(Hold.CIRCUIT, None, "server busy")) == f"{Hold.CIRCUIT.value} (server busy)"
    assert str(Held(Hold.CIRCUIT)) == Hold.CIRCUIT.value


def test_failures_so_far() -> None:
    progress = Progress(BEGAN)
    run(progress, [1.0, 2.0])
    assert progress.failed == 0
    run(progress, [3.0], REJECTED)
    assert progress.failed == 1
