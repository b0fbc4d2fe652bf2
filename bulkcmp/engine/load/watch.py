"""A process of the load generator looking at itself."""

from collections.abc import Callable
from typing import Final, NamedTuple

import anyio

from bulkcmp.io.clock import Clock
from bulkcmp.io.vitals import Vitals
from bulkcmp.stats.health import Pulse

TICK: Final = 0.1
"""Seconds between two looks at the event loop."""

_BEAT: Final = 1.0
"""Seconds between two pulses."""


class Watch:
    """Notes how late the event loop wakes a timer, and what the process costs.

    Args:
        process: what its pulses call it.
        clock: of all times.
        vitals: reads those of this process.
        clock_error: see `Pulse`.

    Attributes:
        starved: seconds that starts waited for keys, summed; whoever waits adds to it.
    """

    def __init__(
        self,
        process: str,
        clock: Clock,
        vitals: Callable[[], Vitals],
        *,
        clock_error: float = 0.0,
    ) -> None:
        self._process = process
        self._clock_error = clock_error
        self._clock = clock
        self._vitals = vitals
        self._late = 0.0
        self._epoch: float
        self._on_pulse: Callable[[Pulse], None]
        self._interval: _Interval
        self.starved = 0.0

    def begin(self, epoch: float, on_pulse: Callable[[Pulse], None]) -> None:
        """The first interval begins.

        Args:
            epoch: Unix time of the run's beginning.
            on_pulse: told of each interval.
        """
        self._epoch = epoch
        self._on_pulse = on_pulse
        self._interval = _Interval(self._clock.now(), self._vitals(), self.starved)

    async def run(self, on_tick: Callable[[], None] = lambda: None) -> None:
        """Look on until cancelled.

        Args:
            on_tick: called at each look.
        """
        while True:
            due = self._clock.now() + TICK
            await anyio.sleep(TICK)
            now = self._clock.now()
            self._late = max(self._late, now - due)
            if now - self._interval.began >= _BEAT:
                self.beat()
            on_tick()

    def beat(self) -> None:
        """An interval ends, and the next one begins."""
        last, now, vitals = self._interval, self._clock.now(), self._vitals()
        if now - last.began < TICK:
            # too short to tell a share of anything
            return
        self._on_pulse(
            Pulse(
                self._process,
                at=now - self._epoch,
                seconds=now - last.began,
                cpu=vitals.cpu - last.vitals.cpu,
                late=self._late,
                starved=self.starved - last.starved,
                open_files=vitals.open_files,
                most_files=vitals.most_files,
                clock_error=self._clock_error,
            )
        )
        self._interval = _Interval(now, vitals, self.starved)
        self._late = 0.0


class _Interval(NamedTuple):
    """How things stood when it began."""

    began: float
    vitals: Vitals
    starved: float
