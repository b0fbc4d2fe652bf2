from math import ceil, log, log2

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkcmp.load.capacity import Search

RATES = st.floats(0.01, 10_000)


@st.composite
def searches(draw: st.DrawFn) -> Search:
    start = draw(RATES)
    factor, step = draw(
        st.one_of(
            st.tuples(st.floats(1.1, 100), st.just(0.0)),
            st.tuples(st.just(1.0), st.floats(start / 10, 1000)),
        )
    )
    return Search(
        start=start,
        factor=factor,
        step=step,
        up_to=start * draw(st.floats(1, 100)),
        precision=draw(st.floats(0.001, 0.999)),
    )


def tried(search: Search, holds: list[bool]) -> list[tuple[float, bool]]:
    """The rates that a search tries, where those hold that are said to; the last goes on."""
    held: float | None = None
    failed: float | None = None
    found: list[tuple[float, bool]] = []
    while (rate := search.next(held, failed)) is not None:
        is_held = holds[min(len(found), len(holds) - 1)]
        held, failed = (rate, failed) if is_held else (held, rate)
        found.append((rate, is_held))
        assert len(found) <= most(search)
    return found


def most(search: Search) -> int:
    """Windows that a search may take, whatever it is told."""
    if search.step:
        rises = (search.up_to - search.start) / search.step
        gap = search.step / search.start
    else:
        rises = log(search.up_to / search.start) / log(search.factor)
        gap = search.factor - 1
    # each window halves the gap, and what held does not fall
    return ceil(rises) + ceil(log2(max(gap / search.precision, 1))) + 2


@given(searches(), st.floats(0.001, 200_000))
def test_the_capacity_of_a_server_is_found(search: Search, capacity: float) -> None:
    held: float | None = None
    failed: float | None = None
    while (rate := search.next(held, failed)) is not None:
        if rate <= capacity:
            held = rate
        else:
            failed = rate
    if failed is None:
        assert held == search.up_to <= capacity
    elif held is None:
        assert failed == search.start > capacity
    else:
        assert held <= capacity < failed
        assert failed - held <= search.precision * failed


@given(searches(), st.lists(st.booleans(), min_size=1, max_size=40))
def test_whatever_it_is_told_it_ends_between_what_held_and_what_did_not(
    search: Search, holds: list[bool]
) -> None:
    """A server whose answers depend on chance: no rate is tried twice, and none contradicts."""
    found = tried(search, holds)
    rates = [rate for rate, _ in found]
    assert len(set(rates)) == len(rates)
    assert all(search.start <= rate <= search.up_to for rate in rates)
    held = [rate for rate, is_held in found if is_held]
    failed = [rate for rate, is_held in found if not is_held]
    assert max(held, default=0.0) < min(failed, default=search.up_to + 1)
    # what held rises, what did not falls: the result is the last of each
    assert held == sorted(held)
    assert failed == sorted(failed, reverse=True)


@given(searches())
def test_nothing_holds(search: Search) -> None:
    assert tried(search, [False]) == [(search.start, False)]


@given(searches())
def test_everything_holds_up_to_the_ceiling(search: Search) -> None:
    found = tried(search, [True])
    assert found[-1] == (search.up_to, True)


def test_it_rises_by_a_factor_then_halves_the_gap() -> None:
    search = Search(start=10, factor=2, up_to=1000, precision=0.1)
    holds = [True, True, True, False, True, False, True]
    assert [rate for rate, _ in tried(search, holds)] == [10, 20, 40, 80, 60, 70, 65]


def test_it_rises_by_a_step() -> None:
    search = Search(start=10, factor=1, step=15, up_to=50, precision=0.1)
    assert [rate for rate, _ in tried(search, [True])] == [10, 25, 40, 50]


def test_a_window_is_a_time_to_settle_and_the_time_that_is_judged() -> None:
    ramp = Search(window=20, settle=3).ramp(7)
    assert (ramp.duration, ramp.first, ramp.last) == (23, 7, 7)
    assert ramp.area == pytest.approx(161)


@pytest.mark.parametrize(
    ("search", "text"),
    [
        (
            Search(),
            "a search for the capacity: from 10/s, times 2, up to 10000/s, in windows of 30 s after"
            " 5 s, to 0.05",
        ),
        (
            Search(start=1, factor=1, step=2.5, up_to=9, window=1, settle=0, precision=0.001),
            "a search for the capacity: from 1/s, by 2.5/s, up to 9/s, in windows of 1 s after 0 s,"
            " to 0.001",
        ),
    ],
)
def test_it_is_told_in_a_line(search: Search, text: str) -> None:
    assert str(search) == text
