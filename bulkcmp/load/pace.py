"""A ceiling on the rate of new transactions (the generic cell rate algorithm, ITU-T I.371)."""

import math
from dataclasses import dataclass
from typing import Final

_TOLERANCE: Final = 0.002
"""Seconds by which a start may be early, to make up for the lateness of the timer before it."""

_ROUNDING: Final = 0.00002
"""Seconds that sums of intervals may be off by, next to a clock that shows months."""


@dataclass(frozen=True, slots=True)
class Pace:
    """At most `rate` new transactions a second, evenly spaced, nothing caught up after a stall.

    No window of one second holds more than rate + 1 starts. The state is one number, the earliest
    time of the next start, which several processes may share.

    Attributes:
        rate: starts/s, above 0.
    """

    rate: float

    @property
    def interval(self) -> float:
        """Seconds between two starts.

        From one start to the n-th after it pass at least n * interval - tolerance seconds. The
        second term makes this more than a second for the first n above the rate; it costs a high
        rate 0.2 %, and whole rates up to 495/s nothing.
        """
        return max(1.0 / self.rate, (1.0 + _TOLERANCE + _ROUNDING) / (math.floor(self.rate) + 1))

    def claim(self, due: float, now: float) -> tuple[float, float]:
        """Ask to start now.

        Args:
            due: the state: time of the next start, seconds; 0 at first.
            now: seconds, on the same clock.

        Returns:
            Seconds to wait before asking again (0: start now), and the new state.
        """
        wait = due - _TOLERANCE - now
        if wait > 0.0:
            return wait, due
        return 0.0, max(due, now) + self.interval
