"""Who begins what, and when: the plan of a scenario, shared out over workers that share nothing."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, chain, islice, takewhile
from itertools import count as naturals
from math import inf
from typing import Final

from bulkcmp.load.arrivals import at_random, evenly, offsets
from bulkcmp.load.chance import Chance
from bulkcmp.load.scenario import ArrivalProcess, Closed, Lifecycle, Open, Shape
from bulkcmp.load.sharing import shares


@dataclass(frozen=True, slots=True)
class Arrival:
    """The planned beginning of a lifecycle.

    Attributes:
        number: of the lifecycle, counted over all workers, from 0 or what the plan begins with.
        offset: seconds since the run's beginning.
    """

    number: int
    offset: float


@dataclass(frozen=True, slots=True)
class Numbers:
    """Those of the lifecycles that are still to begin, in their order and without an end.

    Attributes:
        left: by a plan that was ended before its time; its workers had come further or less far, so
            there may be gaps.
        first: of all others.
    """

    left: tuple[int, ...] = ()
    first: int = 0

    def __iter__(self) -> Iterator[int]:
        return chain(self.left, naturals(self.first))


ALL: Final = Numbers()
"""Those of a plan that is the first."""


def arrivals(
    shape: Open,
    chance: Chance,
    *,
    duration: float | None = None,
    count: int | None = None,
    numbers: Numbers = ALL,
    place: int = 0,
    workers: int = 1,
) -> Iterator[Arrival]:
    """A worker's share of the plan: each `workers`-th arrival, from the `place`-th on.

    Args:
        duration: seconds in which all arrivals are; count: how many all workers have; None where
            that is not the end.
        numbers: of the plan's arrivals.
    """
    if shape.process is ArrivalProcess.POISSON:
        areas = at_random(chance.uniform("arrival", number) for number in numbers)
    else:
        areas = evenly()
    plan = map(Arrival, islice(numbers, count), offsets(shape.ramps, areas))
    limit = inf if duration is None else duration
    return islice(takewhile(lambda one: one.offset < limit, plan), place, None, workers)


class Backlog:
    """How many arrivals of a plan were due by some instant."""

    def __init__(self, plan: Iterator[Arrival]) -> None:
        self._plan = plan
        self._next = next(plan, None)
        self._due = 0

    def due(self, now: float) -> int:
        """Arrivals planned for `now` (seconds since the run's beginning, never going back) or
        before."""
        while self._next is not None and self._next.offset <= now:
            self._due += 1
            self._next = next(self._plan, None)
        return self._due


def end(shape: Shape, duration: float | None) -> float | None:
    """Seconds after which nothing begins; None where time does not tell."""
    limit = inf if duration is None else duration
    if isinstance(shape, Open):
        limit = min(limit, sum(ramp.duration for ramp in shape.ramps))
    return None if limit == inf else limit


def choose(lifecycles: Sequence[Lifecycle], chance: Chance, number: int) -> int:
    """The place of the lifecycle that an arrival has, by their weights."""
    limits = list(accumulate(one.weight for one in lifecycles))
    drawn = chance.uniform("lifecycle", number) * limits[-1]
    # a product may round up to the sum itself
    return min(bisect_right(limits, drawn), len(limits) - 1)


def share_out(shape: Shape, workers: int) -> tuple[Shape, ...]:
    """What each worker has of a shape; fewer than `workers` where there is not enough for all."""
    if isinstance(shape, Closed):
        return tuple(replace(shape, clients=share) for share in shares(shape.clients, workers))
    return tuple(replace(shape, in_flight=share) for share in shares(shape.in_flight, workers))
