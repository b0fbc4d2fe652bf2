import random
from dataclasses import replace
from math import sqrt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bulkcmp.errors import (
    EXIT_BAD_INPUT,
    EXIT_BOTTLENECK,
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_SOME_FAILED,
    EXIT_THRESHOLD,
)
from bulkcmp.load.capacity import Search
from bulkcmp.stats.capacity import Capacity, Conclusion, Course, Judgement
from bulkcmp.stats.record import Drop, End, Fault, Record, Window
from bulkcmp.stats.report import Report
from bulkcmp.stats.threshold import Threshold
from tests.stats.records import transaction
from tests.stats.searches import found, queue, reported, run_of, steady, windows

SEARCH = Search(start=10, up_to=1000, window=10, settle=2, precision=0.05)


def course_of(search: Search, *thresholds: str, shown: int | None = None) -> Course:
    run = run_of(search, *thresholds)
    return Course(run, [Threshold.parse(text) for text in thresholds], shown)


# --- servers whose capacity is known -------------------------------------------------------------


@pytest.mark.parametrize("servers", [1, 3])
@pytest.mark.parametrize("threshold", ["p95(response) < 30ms", "share(failed) < 1%"])
def test_the_capacity_of_servers_is_what_they_can_do(servers: int, threshold: str) -> None:
    """D/D/c: each transaction takes 20 ms, so that c servers do c / 20 ms; not even a queue that
    grows slowly is overlooked where no threshold is about it."""
    search = replace(SEARCH, window=30)
    capacity = found(run_of(search, threshold), queue(0.02, servers))
    assert capacity.conclusion is Conclusion.FOUND
    assert capacity.exit_code == EXIT_OK
    assert capacity.held is not None
    assert capacity.failed is not None
    truth = servers / 0.02
    # a queue that grows by less than that is not told from chance
    slack = 1 + max(0.02, 2 / sqrt(truth * search.window))
    assert truth * 0.95 <= capacity.held.rate <= truth * slack
    assert truth < capacity.failed.rate <= truth * slack * 1.06
    expected = Judgement.CROSSED if "response" in threshold else Judgement.BEHIND
    assert capacity.failed.judgement is expected


def test_the_capacity_at_random_arrivals_is_that_of_the_theory() -> None:
    """M/D/1 (Pollaczek and Khinchine): the mean response is three times the service time where the
    server is busy for 0.8 of the time."""
    service = 0.01
    search = Search(start=20, up_to=1000, window=120, settle=5, precision=0.02)
    run = run_of(search, "mean(response) < 30ms")
    capacity = found(run, queue(service, chance=random.Random(11)))
    assert capacity.held is not None
    assert capacity.held.rate == pytest.approx(0.8 / service, rel=0.04)
    # where the power is highest: of load / (1 + load / (2 (1 - load))) that is 2 - sqrt(2)
    assert capacity.knee is not None
    tried = [one.rate * service for one in capacity.trials if one.rate * service < 1]
    nearest = max(tried, key=lambda load: load / (1 + load / (2 * (1 - load))))
    assert capacity.knee.rate * service == nearest


def test_the_knee_is_where_the_power_is_highest() -> None:
    """M/M/1: response 1 / (capacity - rate), so the power is highest at half of the capacity
    (Kleinrock)."""
    search = Search(start=10, factor=1, step=10, up_to=90, window=10, settle=0)
    capacity = found(run_of(search, "share(failed) < 1%"), steady(lambda rate: 1 / (100 - rate)))
    assert capacity.conclusion is Conclusion.CEILING
    assert [one.rate for one in capacity.curve] == [10, 20, 30, 40, 50, 60, 70, 80, 90]
    assert capacity.knee is not None
    assert capacity.knee.rate == 50
    assert capacity.knee.power == pytest.approx(50 * 50, rel=0.05)


@settings(deadline=None, max_examples=30)
@given(st.floats(5, 3000))
def test_a_server_that_fails_from_some_rate_on(limit: float) -> None:
    search = Search(start=10, up_to=1000, window=0.5, settle=0, precision=0.1)
    answer = steady(lambda _: 0.001, fails_from=limit)
    capacity = found(run_of(search, "share(failed) < 10%"), answer)
    if limit <= 10:
        assert capacity.conclusion is Conclusion.NOTHING
        assert (capacity.held, capacity.exit_code) == (None, EXIT_THRESHOLD)
    elif limit > 1000:
        assert capacity.conclusion is Conclusion.CEILING
        assert capacity.held is not None
        assert (capacity.held.rate, capacity.exit_code) == (1000, EXIT_OK)
    else:
        assert capacity.held is not None
        assert capacity.failed is not None
        assert capacity.held.rate < limit <= capacity.failed.rate
        assert capacity.failed.rate - capacity.held.rate <= 0.1 * capacity.failed.rate


# --- the load generator ---------------------------------------------------------------------------


def test_the_limit_of_the_generator_is_not_that_of_the_server() -> None:
    answer = steady(lambda _: 0.01, busy_from=100)
    capacity = found(run_of(SEARCH, "p95(response) < 1s"), answer)
    assert capacity.conclusion is Conclusion.GENERATOR
    assert capacity.exit_code == EXIT_BOTTLENECK
    assert capacity.held is not None
    assert capacity.held.rate == pytest.approx(100, rel=0.06)
    assert "worker 1 used 99% of a core" in capacity.bottlenecks[0]
    assert capacity.failed is not None
    assert capacity.failed.reasons == capacity.bottlenecks
    # where it was full its figures are none of the server
    assert all(one.rate < 100 for one in capacity.curve)
    assert capacity.knee is not None
    assert capacity.knee.rate < 100


def test_a_generator_that_was_full_does_not_hide_a_server_that_fails_before() -> None:
    answer = steady(lambda _: 0.01, fails_from=50, busy_from=70)
    capacity = found(run_of(SEARCH, "share(failed) < 1%"), answer)
    assert Judgement.GENERATOR in {one.judgement for one in capacity.trials}
    assert capacity.conclusion is Conclusion.FOUND
    assert (capacity.exit_code, capacity.bottlenecks) == (EXIT_OK, ())
    assert capacity.failed is not None
    assert capacity.failed.rate == pytest.approx(50, rel=0.06)


def test_a_generator_that_is_full_from_the_first_rate_on_knows_nothing() -> None:
    capacity = found(run_of(SEARCH, "count(failed) < 1"), steady(lambda _: 0.01, busy_from=0))
    assert (capacity.conclusion, capacity.exit_code) == (Conclusion.GENERATOR, EXIT_BOTTLENECK)
    assert (capacity.held, capacity.knee, capacity.curve) == (None, None, ())


# --- a window -----------------------------------------------------------------------------------


def judged(*records: Record, threshold: str = "p95(response) < 1s") -> Capacity:
    course = course_of(SEARCH, threshold)
    course.feed([Window(10, 0.0), *records])
    course.close()
    return course.capacity


def regular(number: int) -> list[Record]:
    """Transactions from the middle of the window on, which end at once."""
    return [transaction(3 + at / 100, 3 + at / 100, 3.001 + at / 100) for at in range(number)]


@pytest.mark.parametrize(
    ("records", "judgement"),
    [
        ([*regular(10), End(12)], Judgement.HELD),
        ([transaction(3, 3, 5), End(12)], Judgement.CROSSED),
        # its figures are good again by its end
        ([*regular(10), End(12, aborted=True)], Judgement.CROSSED),
        ([*regular(10), End(12, interrupted=True)], Judgement.UNFINISHED),
        ([*regular(10), End(12, exhausted=True)], Judgement.UNFINISHED),
        (regular(10), Judgement.UNFINISHED),
        # nothing was measured
        ([End(12)], Judgement.CROSSED),
    ],
)
def test_what_is_found_of_a_rate(records: list[Record], judgement: Judgement) -> None:
    (trial,) = judged(*records).trials
    assert trial.judgement is judgement
    assert (trial.number, trial.rate, trial.at) == (1, 10, 0.0)


@pytest.mark.parametrize(("late", "judgement"), [(20, Judgement.HELD), (21, Judgement.BEHIND)])
def test_what_is_unfinished_may_grow_by_chance_alone(late: int, judgement: Judgement) -> None:
    """Of 100 within two standard deviations."""
    slow = [transaction(11.9, 11.9, 12.1)] * late
    (trial,) = judged(*regular(100 - late), *slow, End(13)).trials
    assert (trial.due, trial.done) == (100, 100 - late)
    assert trial.judgement is judgement


def test_what_was_unfinished_before_is_made_up_for_by_what_is_later() -> None:
    before = [transaction(1.9, 1.9, 2.1, warm_up=True)] * 30
    after = [transaction(11.9, 11.9, 12.1)] * 30
    (trial,) = judged(*before, *regular(70), *after, End(13)).trials
    assert (trial.due, trial.done) == (100, 100)
    assert trial.judgement is Judgement.HELD


def test_what_was_dropped_is_never_finished() -> None:
    drops = [Drop(1, "life", 5.0, 5.0, warm_up=False)] * 21
    (trial,) = judged(*regular(79), *drops, End(12)).trials
    assert trial.judgement is Judgement.BEHIND
    assert trial.reasons == ("100 transactions were due, and 79 ended",)


def test_what_happens_while_the_rate_settles_is_not_judged() -> None:
    slow = [transaction(1, 1, 9, warm_up=True)] * 50
    (trial,) = judged(*slow, *regular(10), End(12)).trials
    assert trial.judgement is Judgement.HELD


@pytest.mark.parametrize(
    ("records", "reasons"),
    [
        ([transaction(3, 3, 5), End(12)], ("p95(response) < 1s",)),
        ([*regular(10), End(12, aborted=True)], ("aborted by a threshold",)),
        ([*regular(10), End(12)], ()),
    ],
)
def test_why_a_rate_did_not_hold(records: list[Record], reasons: tuple[str, ...]) -> None:
    assert judged(*records).trials[0].reasons == reasons


# --- the whole ------------------------------------------------------------------------------------


def test_the_figures_are_those_of_the_highest_rate_that_held() -> None:
    run = run_of(SEARCH, "p95(response) < 30ms")
    records = list(windows(run, queue(0.02)))
    course = course_of(SEARCH, "p95(response) < 30ms")
    course.feed(records)
    capacity = course.capacity
    assert capacity.held is capacity.shown
    assert capacity.held is not None
    report = Report.of([run], course.chosen, [])
    assert report.total == capacity.held.report.total
    assert capacity.held.report.runs[0].shape == (
        f"{capacity.held.rate:,.4g}/s, window {capacity.held.number} of {run.shape}"
    )


def test_the_figures_of_a_window_are_its_own() -> None:
    run = run_of(SEARCH, "p95(response) < 30ms")
    records = list(windows(run, queue(0.02)))
    for number in (1, 2, 5):
        course = course_of(SEARCH, "p95(response) < 30ms", shown=number)
        course.feed(records)
        trial = course.capacity.trials[number - 1]
        assert Report.of([run], course.chosen, []).total == trial.report.total
        # what is measured of a window: as much as arrives in it
        arrivals = trial.report.total.finished
        assert arrivals == pytest.approx(trial.rate * SEARCH.window, abs=1)


def test_where_nothing_held_the_figures_are_those_of_the_last() -> None:
    course = course_of(SEARCH, "p95(response) < 1ms")
    course.feed(windows(run_of(SEARCH, "p95(response) < 1ms"), queue(0.02)))
    assert course.capacity.shown is course.capacity.trials[0]
    assert course.chosen.measured.all_operations().finished == 100


def test_it_may_be_interrupted() -> None:
    answer = queue(0.02)
    course = course_of(SEARCH, "p95(response) < 30ms")
    course.feed([Window(10, 0.0), *answer(SEARCH, 10)])
    course.feed([Window(20, 14.0), *regular(10), End(5, interrupted=True)])
    capacity = course.capacity
    assert (capacity.conclusion, capacity.exit_code) == (Conclusion.INTERRUPTED, EXIT_INTERRUPTED)
    assert capacity.rate is None
    # what is known so far
    assert capacity.held is capacity.trials[0]
    assert capacity.failed is None


def test_it_may_be_interrupted_between_two_windows() -> None:
    course = course_of(SEARCH, "p95(response) < 30ms")
    course.feed([Window(10, 0.0), *queue(0.02)(SEARCH, 10), End(0, interrupted=True)])
    assert course.capacity.conclusion is Conclusion.INTERRUPTED
    assert [one.judgement for one in course.capacity.trials] == [Judgement.HELD]
    assert not course.chosen.interrupted


def test_the_end_entities_may_run_out() -> None:
    course = course_of(SEARCH, "p95(response) < 30ms")
    course.feed([Window(10, 0.0), *regular(10), End(5, exhausted=True)])
    assert course.capacity.conclusion is Conclusion.EXHAUSTED
    assert (course.capacity.rate, course.capacity.exit_code) == (None, EXIT_BAD_INPUT)


def test_it_may_have_been_killed() -> None:
    course = course_of(SEARCH, "p95(response) < 30ms")
    course.feed([Window(10, 0.0), *queue(0.02)(SEARCH, 10), Window(20, 14.0), *regular(3)])
    course.close()
    capacity = course.capacity
    assert (capacity.conclusion, capacity.exit_code) == (Conclusion.UNFINISHED, EXIT_SOME_FAILED)
    assert [one.judgement for one in capacity.trials] == [Judgement.HELD, Judgement.UNFINISHED]


def test_nothing_was_tried_yet() -> None:
    capacity = Capacity(SEARCH, ())
    assert (capacity.rate, capacity.conclusion) == (10, Conclusion.UNFINISHED)
    assert (capacity.held, capacity.failed, capacity.knee, capacity.shown) == (None,) * 4


def test_a_window_that_was_cut_short_gives_no_reason() -> None:
    course = course_of(SEARCH, "p95(response) < 30ms")
    course.feed([Window(20, 0.0), *regular(10), End(5, interrupted=True)])
    (trial,) = course.capacity.trials
    assert (trial.judgement, trial.reasons) == (Judgement.UNFINISHED, ())


def test_what_a_search_could_not_go_on_after_comes_first() -> None:
    course = course_of(SEARCH, "p95(response) < 30ms")
    fault = Fault("worker 1 died", EXIT_BAD_INPUT)
    course.feed([Window(20, 0.0), *regular(10), End(5, interrupted=True, failed=fault)])
    capacity = course.capacity
    assert (capacity.conclusion, capacity.exit_code) == (Conclusion.FAILED, EXIT_BAD_INPUT)
    assert capacity.rate is None
    report = Report.of([run_of(SEARCH)], course.chosen, [], capacity=capacity)
    assert report.exit_code == EXIT_BAD_INPUT


def test_what_the_generator_lacked_limits_a_search_only_where_it_ended_it() -> None:
    run = run_of(SEARCH, "p95(response) < 30ms")
    report, _ = reported(run, list(windows(run, queue(0.02))))
    assert report.capacity is not None
    assert report.capacity.conclusion is Conclusion.FOUND
    assert report.limits == ()
    assert report.exit_code == EXIT_OK
