import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bulkcmp.model import OutcomeClass
from bulkcmp.stats.record import Drop
from bulkcmp.stats.series import MOST_INTERVALS, Series
from tests.stats.records import REJECTED, transaction


def test_every_interval_says_what_happened_in_it() -> None:
    series = Series()
    series.add(transaction(0.5, 0.6, 3.2))
    series.add(transaction(0.9, 1.1, 1.2, REJECTED))
    series.drop(Drop(2, "life", 1.5, 1.5, False))
    first, second, third, fourth = series.intervals()
    assert [one.at for one in series.intervals()] == [0, 1, 2, 3]
    assert (first.planned, first.started, first.finished, first.in_flight) == (2, 1, 0, 1)
    assert (second.planned, second.started, second.failed, second.dropped) == (1, 1, 1, 1)
    assert second.failures == ((OutcomeClass.REJECTED, 1),)
    assert (third.finished, third.in_flight) == (0, 1)
    assert (fourth.ok, fourth.in_flight) == (1, 0)
    assert (fourth.service.max, fourth.response.max) == (3.2 - 0.6, 3.2 - 0.5)


def test_the_newest_intervals_know_what_is_under_way() -> None:
    series = Series()
    series.add(transaction(0.5, 0.6, 9.2))
    series.add(transaction(8.5, 8.6, 8.7))
    newest = series.intervals(2)
    assert [(one.at, one.in_flight) for one in newest] == [(8, 1), (9, 0)]


def test_an_empty_series_has_no_interval() -> None:
    assert Series().intervals() == ()


@settings(deadline=None)
@given(st.lists(st.floats(0, 3 * MOST_INTERVALS), min_size=1, max_size=40))
def test_intervals_that_become_longer_lose_nothing(instants: list[float]) -> None:
    series = Series()
    for at in instants:
        series.add(transaction(at, at, at + 0.25))
    intervals = series.intervals()
    assert len(intervals) <= MOST_INTERVALS
    assert sum(one.ok for one in intervals) == len(instants)
    assert sum(one.response.count for one in intervals) == len(instants)
    assert intervals[-1].in_flight == 0


@settings(deadline=None)
@given(
    st.lists(st.floats(0, 2 * MOST_INTERVALS), min_size=1, max_size=20),
    st.lists(st.floats(0, 2 * MOST_INTERVALS), max_size=20),
)
def test_merged_parts_are_the_whole(here: list[float], there: list[float]) -> None:
    parts, whole = [], Series()
    for instants in (here, there):
        parts.append(Series())
        for at in instants:
            parts[-1].add(transaction(at, at, at + 0.25))
            whole.add(transaction(at, at, at + 0.25))
    merged = Series()
    for part in parts:
        merged.merge(part)
    assert merged.seconds == whole.seconds
    assert merged.intervals() == whole.intervals()


def test_intervals_become_longer_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutant: all of them unpacked at a time, which a run of a day would keep as memory."""
    monkeypatch.setattr("bulkcmp.stats.series.MOST_INTERVALS", 100)
    series = Series()
    for at in range(100):
        for latency in range(1, 100):
            series.add(transaction(at, at, at + latency / 1000))
    tracemalloc.start()
    series.add(transaction(100.5, 100.5, 100.75))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert series.seconds == 2.0
    # 99 buckets in each of 100 histograms, of some 12 octets each
    assert peak < 300_000


def test_late_records_of_an_interval_that_was_packed_are_counted() -> None:
    series = Series()
    for at in range(100):
        series.add(transaction(at, at, at + 0.5))
    series.add(transaction(1, 1, 1.75))
    early = series.intervals()[1]
    assert (early.ok, early.response.max) == (2, 0.75)


def test_what_is_left_of_the_last_interval_belongs_to_the_one_before() -> None:
    series = Series()
    for at in (0.0, 1.0, 2.0, 3.0):
        series.add(transaction(at, at, at + 0.25))
    series.drop(Drop(2, "life", 3.1, 3.1, False))
    assert [one.seconds for one in series.intervals()] == [1, 1, 1, 1]
    first, second, last = series.intervals(end=3.25)
    assert (first.seconds, first.ok) == (second.seconds, second.ok) == (1, 1)
    assert (last.at, last.seconds, last.ok, last.dropped) == (2, 1.25, 2, 1)
    assert (last.planned, last.response.count, last.in_flight) == (3, 2, 0)
    assert series.intervals(1, end=3.25) == (last,)


def test_a_run_of_less_than_an_interval_has_one_as_long_as_itself() -> None:
    series = Series()
    series.add(transaction(0.0, 0.0, 0.25))
    (only,) = series.intervals(end=0.25)
    assert (only.seconds, only.ok) == (0.25, 1)


@given(st.lists(st.floats(0, 9), min_size=1, max_size=20))
def test_an_end_takes_nothing_away(instants: list[float]) -> None:
    series = Series()
    for at in instants:
        series.add(transaction(at, at, at + 0.25))
    end = max(instants) + 0.25
    intervals = series.intervals(end=end)
    assert sum(one.ok for one in intervals) == len(instants)
    assert intervals[-1].at + intervals[-1].seconds == end
    assert all(one.seconds == 1 for one in intervals[:-1])
