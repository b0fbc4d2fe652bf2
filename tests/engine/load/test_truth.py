"""What a load test reports is what was: against a CA whose delays are known exactly.

Time is virtual, so that nothing but the delays that are injected takes any. With BULKCMP_SCALE=full
the distribution has 100,000 quantiles.
"""

import os
from collections.abc import Iterator
from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING

import anyio
import pytest

from bulkcmp.cmp.messages import BodyType
from bulkcmp.load.scenario import Closed
from bulkcmp.stats.figures import Figures
from bulkcmp.stats.histogram import Histogram

if TYPE_CHECKING:
    from tests.engine.conftest import Seen
    from tests.engine.load.conftest import Load

FULL = os.environ.get("BULKCMP_SCALE") == "full"
COUNT = 1000
QUANTILES = 100_000 if FULL else COUNT
RATE = 50.0
STALL = 2.0
PERCENTILES = (50, 75, 90, 95, 99, 99.9)


def mixture(share: float) -> float:
    """The quantile function of a known mixture, seconds: 90 % take 20 to 60 ms, 9 % 0.2 to 0.4 s,
    and 1 % 2 to 2.2 s, evenly."""
    if share <= 0.9:
        return 0.02 + 0.04 * share / 0.9
    if share <= 0.99:
        return 0.2 + 0.2 * (share - 0.9) / 0.09
    return 2.0 + 0.2 * (share - 0.99) / 0.01


def strata() -> Iterator[float]:
    """The mixture's quantiles, each of so many once, in an order that knows nothing of their
    size."""
    for place in range(QUANTILES):
        # 617 has no divisor in common with their number
        yield mixture((place * 617 % QUANTILES + 0.5) / QUANTILES)


def delays() -> Iterator[float]:
    """Seconds that the server takes for each request, if they come at RATE: the quantiles; but for
    STALL seconds in the middle, the server does nothing at all."""
    for place, lasts in enumerate(strata()):
        since = (place - QUANTILES // 2) / RATE
        yield lasts + (STALL - since if 0.0 <= since < STALL else 0.0)


def exact(values: list[float], q: float) -> float:
    """The percentile by nearest rank."""
    return sorted(values)[ceil(Fraction(str(q)) / 100 * len(values)) - 1]


def measured(load: "Load") -> Figures:
    figures = Figures()
    figures.begin(0.0)
    figures.feed(load.records)
    return figures


def agrees(found: Histogram, values: list[float]) -> bool:
    assert found.count == len(values)
    return all(
        found.percentile(q) == pytest.approx(exact(values, q), rel=0.01) for q in PERCENTILES
    )


def one_exchange_each(load: "Load") -> None:
    load.scene.peer.latency = 0.0
    load.scene.peer.behave(implicit_confirm=True)
    load.scene.tune(implicit_confirm=True)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("workers", [1, 3])
def test_service_times_agree_with_the_distribution(load: "Load", workers: int) -> None:
    """Mutant: percentiles averaged over workers."""
    one_exchange_each(load)
    each = delays()

    async def delay(seen: "Seen") -> None:
        await anyio.sleep(next(each))

    load.scene.peer.before = delay
    load.play(load.steady(RATE), count=QUANTILES, workers=workers)
    all_ = measured(load).measured.all_operations()
    assert agrees(all_.ok.service, list(delays()))
    # nothing held an arrival back, so nobody waited longer than that
    assert agrees(all_.ok.response, list(delays()))
    assert (all_.ok.lag.max or 0.0) < 0.003


@pytest.mark.timeout(3600)
def test_percentiles_are_those_of_the_distribution_itself(load: "Load") -> None:
    one_exchange_each(load)
    each = strata()

    async def delay(seen: "Seen") -> None:
        await anyio.sleep(next(each))

    load.scene.peer.before = delay
    load.play(load.steady(RATE), count=QUANTILES, workers=3)
    ok = measured(load).measured.all_operations().ok
    for found in (ok.service, ok.response):
        assert found.count == QUANTILES
        for q in PERCENTILES:
            assert found.percentile(q) == pytest.approx(mixture(q / 100), rel=0.01)


def test_a_stall_shows_in_the_response_times_as_theory_says(load: "Load") -> None:
    """Mutant: response measured from the start.

    One transaction at a time, each 10 ms, planned each 20 ms; one of them takes 2 s. Those after it
    begin late: the k-th is planned 20 k ms after it, and ends 2 s + 10 k ms after it, so it lasts
    2 s - 10 k ms from its plan, until the queue is worked off.
    """
    one_exchange_each(load)
    stalled = 200
    count = 0

    async def delay(seen: "Seen") -> None:
        nonlocal count
        count += 1
        await anyio.sleep(2.0 if count == stalled + 1 else 0.01)

    load.scene.peer.before = delay
    load.play(load.steady(RATE, in_flight=1), count=COUNT)

    service = [2.0 if number == stalled else 0.01 for number in range(COUNT)]
    free, response = 0.0, []
    for number in range(COUNT):
        begins = max(free, number * 0.02)
        free = begins + service[number]
        response.append(free - number * 0.02)
    all_ = measured(load).measured.all_operations()
    assert agrees(all_.ok.service, service)
    # each start may be a timer's grain late; that does not add up, since what is late is not slept
    found = sorted(one.response for one in load.records)
    assert found == pytest.approx(sorted(response), abs=0.004)
    assert sum(one > 0.1 for one in found) == pytest.approx(
        sum(one > 0.1 for one in response), abs=2
    )
    # the service times alone know nothing of it but in their longest
    assert (all_.ok.service.percentile(99.8) or 0.0) < 0.011
    assert (all_.ok.response.percentile(95) or 0.0) > 1.0


def test_a_closed_loop_has_no_plan_that_a_stall_could_break(load: "Load") -> None:
    """Coordinated omission: the same stall is one long response among a thousand."""
    one_exchange_each(load)
    count = 0

    async def delay(seen: "Seen") -> None:
        nonlocal count
        count += 1
        if seen.body_type is BodyType.IR:
            await anyio.sleep(2.0 if count == 200 else 0.01)

    load.scene.peer.before = delay
    load.play(Closed(1), count=400)
    all_ = measured(load).measured.all_operations()
    assert (all_.ok.response.percentile(99) or 0.0) < 0.02
    assert all_.ok.response.max == pytest.approx(2.0, abs=0.01)
