"""A ceiling on the rate of new transactions (the generic cell rate algorithm, ITU-T I.371)."""

import math
from dataclasses import dataclass

_JITTER = 0.002
"""Seconds of lateness of a timer that the next start may make up for."""


@dataclass(frozen=True, slots=True)
class Pace:
    """At most `rate` new transactions a second, evenly spaced, nothing caught up after a stall.

    No window of one second holds more than rate + 1 starts. The state is one number, the earliest
    time of the next start, which several processes may share.

    Attributes:
        rate: requests/s, above 0.
    """

    rate: float

    @property
    def interval(self) -> float:
        """Seconds between two starts."""
        return 1.0 / self.rate

    @property
    def tolerance(self) -> float:
        """Seconds by which a start may be early, to make up for the lateness of the one before.

        Less than what would let one more start into a window of one second.
        """
        room = 1.0 - (self.rate - math.floor(self.rate))
        return min(_JITTER, 0.5 * self.interval, 0.99 * room * self.interval)

    def claim(self, due: float, now: float) -> tuple[float, float]:
        """Ask to start now.

        Args:
            due: the state: time of the next start, seconds; 0 at first.
            now: seconds, on the same clock.

        Returns:
            Seconds to wait before asking again (0: start now), and the new state.
        """
        wait = due - self.tolerance - now
        if wait > 0.0:
            return wait, due
        return 0.0, max(due, now) + self.interval
