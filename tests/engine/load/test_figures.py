"""What a load test reports of a server whose latencies are known, in virtual time."""

import itertools
from typing import TYPE_CHECKING

import anyio
import pytest

from bulkcmp.stats.figures import Figures, Latencies

if TYPE_CHECKING:
    from tests.engine.conftest import Seen
    from tests.engine.load.conftest import Load

LATENCY = 0.01
"""Seconds that the network takes for an exchange."""


def figures_of(load: "Load") -> Latencies:
    figures = Figures()
    figures.begin(0)
    figures.feed(load.records)
    return figures.measured.all_operations().ok


def implicitly(load: "Load") -> None:
    """Let a transaction be one exchange."""
    load.scene.tune(implicit_confirm=True)
    load.scene.peer.behave(implicit_confirm=True)


def quantile(share: float) -> float:
    """Of 90 % quick answers, and 10 % that come late; seconds."""
    return 0.05 + 0.05 * share / 0.9 if share < 0.9 else 0.3 + (share - 0.9) * 7


@pytest.mark.parametrize("workers", [1, 2])
def test_service_times_are_those_of_the_server(load: "Load", workers: int) -> None:
    count = 500
    turn = itertools.count()

    async def delay(_seen: "Seen") -> None:
        # each stands for an equal share of the distribution, so that chance plays no part
        await anyio.sleep(quantile((next(turn) * 617 % count + 0.5) / count))

    implicitly(load)
    load.scene.peer.before = delay
    load.play(load.steady(100.0), count=count, workers=workers)
    latencies = figures_of(load)
    assert latencies.service.count == count
    for q in (50, 75, 90, 95, 99):
        true = LATENCY + quantile(q / 100 - 0.5 / count)
        assert latencies.service.percentile(q) == pytest.approx(true, rel=0.01)
        # nothing keeps an open plan from its time but timers
        assert latencies.response.percentile(q) == pytest.approx(true, rel=0.01, abs=0.003)


def test_a_stall_shows_in_response_times_as_theory_says(load: "Load") -> None:
    """One transaction at a time, as one connection has it: a service time tells of the stall once,
    though each arrival that it held up waited."""
    rate, begins, ends, seconds = 20.0, 10.0, 12.0, 20.0

    async def stall(seen: "Seen") -> None:
        if begins <= seen.at < ends:
            await anyio.sleep(ends - seen.at)

    implicitly(load)
    load.scene.peer.before = stall
    load.play(load.steady(rate, in_flight=1), duration=seconds)
    latencies = figures_of(load)

    def wait(planned: float) -> float:
        """Until the stall is over and who came before has been served."""
        load_share = rate * LATENCY
        if planned < begins:
            return 0.0
        if planned < ends:
            return ends - planned + (planned - begins) * load_share
        left = (ends - begins) * load_share - (planned - ends) * (1 - load_share)
        return max(0.0, left)

    count = int(rate * seconds)
    true = sorted(wait(number / rate) + LATENCY for number in range(count))
    assert latencies.response.count == count
    for q in (91, 95, 98, 99, 100):
        expected = true[round(q / 100 * count) - 1]
        assert expected > 0.1
        assert latencies.response.percentile(q) == pytest.approx(expected, rel=0.01, abs=0.003)
    # the stall is one sample of 400 here: without the planned instants it would be unseen
    assert latencies.service.percentile(99.5) == pytest.approx(LATENCY, rel=0.01)
    assert latencies.service.max == pytest.approx(ends - begins + LATENCY, rel=0.01)
