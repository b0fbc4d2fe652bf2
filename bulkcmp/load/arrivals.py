"""When the lifecycles of an open load test begin: iterators of offsets, which know no clock.

The rate over time is a line of straight pieces; the area under it up to some instant is the number
of arrivals until then. An arrival is a point on the axis of that area: whole numbers give evenly
spaced ones, a Poisson process of rate 1 gives a Poisson process of any rate.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate, count
from math import log1p, sqrt


@dataclass(frozen=True, slots=True)
class Ramp:
    """A piece of the line: the rate goes from one value to another.

    Attributes:
        duration: seconds, above 0; infinite for a rate that stays.
        first, last: arrivals/s, 0 or more.
    """

    duration: float
    first: float
    last: float

    @property
    def area(self) -> float:
        """Arrivals in all of it."""
        total = self.first + self.last
        return self.duration * total / 2.0 if total else 0.0

    def reach(self, area: float) -> float:
        """Seconds from its beginning after which `area` lies under the line.

        It is the root of first * t + (last - first) / duration * t^2 / 2 = area, in the form that
        loses no digits where the line is nearly flat, and needs no other form where it is.
        """
        if area <= 0.0:
            return 0.0
        slope = (self.last - self.first) / self.duration
        # a falling line ends with a square of the last rate, give or take a rounding
        root = sqrt(max(0.0, self.first**2 + 2.0 * area * slope))
        return min(self.duration, 2.0 * area / (self.first + root))


def offsets(ramps: Iterable[Ramp], areas: Iterable[float]) -> Iterator[float]:
    """Seconds from the beginning of the run to each arrival.

    Args:
        ramps: follow one another; the plan ends with the last of them.
        areas: in ascending order, 0 at least (see `evenly`, `at_random`).
    """
    pieces = iter(ramps)
    begins_at, area_before = 0.0, 0.0
    ramp = next(pieces, None)
    for area in areas:
        while ramp is not None and area - area_before >= ramp.area:
            begins_at += ramp.duration
            area_before += ramp.area
            ramp = next(pieces, None)
        if ramp is None:
            return
        yield begins_at + ramp.reach(area - area_before)


def evenly() -> Iterator[float]:
    """Areas of evenly spaced arrivals, the first of which is at once."""
    return map(float, count())


def at_random(uniforms: Iterable[float]) -> Iterator[float]:
    """Areas of a Poisson process.

    Args:
        uniforms: independent numbers of [0, 1).
    """
    return accumulate(-log1p(-uniform) for uniform in uniforms)
