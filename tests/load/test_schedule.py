from collections import Counter
from dataclasses import replace
from itertools import chain, islice
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkcmp.load.arrivals import Ramp
from bulkcmp.load.chance import Chance
from bulkcmp.load.scenario import ArrivalProcess, Closed, Lifecycle, Open, Step
from bulkcmp.load.schedule import Arrival, Backlog, Numbers, arrivals, choose, end, share_out
from bulkcmp.model import Operation

STEPS = (Step(Operation.IR),)
EVEN = Open((Ramp(2.0, 0.0, 10.0), Ramp(3.0, 10.0, 10.0)))
POISSON = replace(EVEN, process=ArrivalProcess.POISSON)


@pytest.mark.parametrize("shape", [EVEN, POISSON])
@given(seed=st.integers(0, 1000), workers=st.integers(1, 9), count=st.none() | st.integers(0, 60))
def test_the_workers_shares_make_the_whole_plan(
    shape: Open, seed: int, workers: int, count: int | None
) -> None:
    chance = Chance(seed)
    whole = list(arrivals(shape, chance))[:count]
    parts = [
        list(arrivals(shape, chance, count=count, place=place, workers=workers))
        for place in range(workers)
    ]
    assert sorted(chain(*parts), key=lambda one: one.number) == whole
    assert [one.number for one in whole] == list(range(len(whole)))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_seeds_make_other_poisson_plans_and_the_same_even_ones() -> None:
    assert list(arrivals(POISSON, Chance(1))) == list(arrivals(POISSON, Chance(1)))
    assert list(arrivals(POISSON, Chance(1))) != list(arrivals(POISSON, Chance(2)))
    assert list(arrivals(EVEN, Chance(1))) == list(arrivals(EVEN, Chance(2)))


def test_nothing_begins_after_the_duration() -> None:
    endless = Open((Ramp(inf, 4.0, 4.0),))
    plan = list(arrivals(endless, Chance(1), duration=1.0))
    assert plan == [Arrival(number, number / 4) for number in range(4)]
    assert len(list(islice(arrivals(endless, Chance(1)), 1000))) == 1000


def test_a_backlog_counts_what_is_due() -> None:
    backlog = Backlog(arrivals(Open((Ramp(2.0, 2.0, 2.0),)), Chance(1)))
    assert [backlog.due(now) for now in (-0.1, 0.0, 0.4, 0.5, 1.5, 1.5, 9.0)] == [
        *(0, 1, 1, 2, 4, 4, 4)
    ]


def test_the_end_of_a_plan() -> None:
    assert end(EVEN, None) == 5.0
    assert end(EVEN, 3.0) == 3.0
    assert end(Open((Ramp(inf, 1.0, 1.0),)), None) is None
    assert end(Open((Ramp(inf, 1.0, 1.0),)), 60.0) == 60.0
    assert end(Closed(3), None) is None
    assert end(Closed(3), 60.0) == 60.0


def test_lifecycles_are_chosen_by_their_weights() -> None:
    weights = {"a": 1.0, "b": 2.5, "c": 0.5}
    lifecycles = [Lifecycle(name, weight, STEPS) for name, weight in weights.items()]
    chance, total = Chance(3), 8000
    counts = Counter(choose(lifecycles, chance, number) for number in range(total))
    for place, lifecycle in enumerate(lifecycles):
        assert counts[place] == pytest.approx(total * lifecycle.weight / 4.0, rel=0.1)


def test_the_highest_draw_still_chooses_a_lifecycle() -> None:
    class Highest(Chance):
        def uniform(self, purpose: str, number: int, turn: int = 0) -> float:
            return 1.0 - 2.0**-53

    lifecycles = [Lifecycle("a", 0.1, STEPS), Lifecycle("b", 0.2, STEPS)]
    assert choose(lifecycles, Highest(1), 0) == 1


def test_shapes_are_shared_out() -> None:
    assert share_out(Closed(5), 2) == (Closed(3), Closed(2))
    assert share_out(Closed(1), 4) == (Closed(1),)
    parts = share_out(replace(EVEN, in_flight=100), 3)
    assert parts == tuple(replace(EVEN, in_flight=share) for share in (34, 33, 33))


def test_a_plan_may_begin_with_another_number() -> None:
    shape = Open((Ramp(10.0, 5.0, 5.0),))
    plan = list(arrivals(shape, Chance(1)))
    later = list(arrivals(shape, Chance(1), numbers=Numbers(first=7)))
    assert [one.number for one in later] == [one.number + 7 for one in plan]
    assert [one.offset for one in later] == [one.offset for one in plan]
    share = arrivals(shape, Chance(1), numbers=Numbers((2, 5), 7), count=6, place=1, workers=2)
    assert [one.number for one in share] == [5, 8, 10]
    # what comes at random comes otherwise
    shape = replace(shape, process=ArrivalProcess.POISSON)
    offsets = [
        [one.offset for one in arrivals(shape, Chance(1), numbers=Numbers(first=first))]
        for first in (0, 1000)
    ]
    assert offsets[0] != offsets[1]
