import random
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkcmp.load.pace import Pace

RATES = st.one_of(
    st.integers(1, 6000).map(float),
    st.floats(0.05, 6000.0, allow_nan=False),
    st.integers(1, 400).map(lambda tenths: tenths / 10),
)
UPTIMES = st.sampled_from([0.0, 12.5, 3e6])
"""What a monotonic clock may show: seconds since the machine started."""


def most_in_a_second(times: list[float]) -> int:
    """The most starts in any closed window of one second."""
    most = first = 0
    for last, end in enumerate(times):
        while end - times[first] > 1.0:
            first += 1
        most = max(most, last - first + 1)
    return most


def starts(pace: Pace, requests: Iterator[float], lateness: Iterator[float]) -> list[float]:
    """When those start who ask at these times, one after the other, by timers that are late."""
    due = now = 0.0
    times = []
    for asked in requests:
        now = max(now, asked)
        while True:
            wait, due = pace.claim(due, now)
            if not wait:
                break
            now += wait + next(lateness)
        times.append(now)
    return times


@given(
    rate=RATES,
    uptime=UPTIMES,
    # bursts, gaps and stalls, in seconds
    gaps=st.lists(st.sampled_from([0.0, 0.0, 0.0, 1e-4, 0.01, 0.5, 0.999, 3.0]), max_size=40),
    burst=st.integers(1, 200),
    seed=st.integers(0, 1000),
    late=st.sampled_from([0.0, 0.0005, 0.001, 0.01, 0.3]),
)
def test_no_second_has_more_than_rate_plus_one_starts(
    rate: float, uptime: float, gaps: list[float], burst: int, seed: int, late: float
) -> None:
    chance = random.Random(seed)

    def requests() -> Iterator[float]:
        now = uptime
        for gap in [*gaps, 0.0]:
            now += gap
            for _ in range(burst):
                yield now

    lateness = iter(lambda: chance.uniform(0.0, late), None)
    times = starts(Pace(rate), requests(), lateness)
    assert len(times) == burst * (len(gaps) + 1)
    assert most_in_a_second(times) <= rate + 1


@pytest.mark.parametrize("late", [0.0, 0.001])
@pytest.mark.parametrize(
    "rate", [0.1, 0.7, 1.0, 2.5, 9.99, 10.0, 99.5, 250.0, 480.0, 500.0, 999.9, 2000.0, 5000.0]
)
def test_the_rate_is_reached_with_late_timers(rate: float, late: float) -> None:
    chance = random.Random(1)
    count = int(max(50, 20 * rate))
    lateness = iter(lambda: chance.uniform(0.0, late), None)
    times = starts(Pace(rate), iter([1000.0] * count), lateness)
    assert (count - 1) / (times[-1] - times[0]) >= 0.997 * rate
    assert most_in_a_second(times) <= rate + 1


@pytest.mark.parametrize("rate", [1.0, 20.0, 495.0])
def test_a_whole_rate_is_kept_to_the_millisecond(rate: float) -> None:
    count = int(rate * 60)
    times = starts(Pace(rate), iter([50.0] * count), iter(lambda: 0.0009, None))
    assert times[-1] - times[0] == pytest.approx((count - 1) / rate, abs=0.003)


@pytest.mark.parametrize("rate", [0.5, 3.0, 80.0, 4000.0])
def test_nothing_is_caught_up_after_a_stall(rate: float) -> None:
    # everybody waits, and the machine stands still for a minute
    before = starts(Pace(rate), iter([10.0] * 20), iter(lambda: 0.0, None))
    resumed = before[-1] + 60.0
    requests = iter([10.0] * 20 + [resumed] * 200)
    after = starts(Pace(rate), requests, iter(lambda: 0.0, None))[20:]
    for place, time in enumerate(after):
        # what a fresh start would do, less the tolerance
        assert time >= resumed + place * Pace(rate).interval - 0.0021


def test_who_comes_late_starts_at_once() -> None:
    pace = Pace(2.0)
    wait, due = pace.claim(0.0, 100.0)
    assert (wait, due) == (0.0, 100.5)
    early, kept = pace.claim(due, 100.1)
    assert early == pytest.approx(0.398)
    assert kept == due
    assert pace.claim(due, 100.499) == (0.0, 101.0)
    assert pace.claim(due, 107.0) == (0.0, 107.5)


def test_the_interval_is_never_below_the_inverse_of_the_rate() -> None:
    for rate in (0.001, 1.0, 7.3, 496.0, 100_000.0):
        assert 1.0 / rate <= Pace(rate).interval <= 1.0021 / rate
