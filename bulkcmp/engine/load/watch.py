"""A process of the load generator looking at itself."""

from collections.abc import Callable
from typing import Final

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

    Attributes:
        starved: seconds that starts waited for keys, summed; whoever waits adds to it.
    """

    def __init__(self, process: str, clock: Clock, vitals: Callable[[], Vitals]) -> None:
        self._process = process
        self._clock = clock
        self._vitals = vitals
        self._late = 0.0
        self.starved = 0.0

    async def run(
        self, epoch: float, on_pulse: Callable[[Pulse], None], on_tick: Callable[[], None]
    ) -> None:
        """Look on until cancelled.

        Args:
            epoch: Unix time of the run's beginning.
            on_pulse: told of each interval.
            on_tick: called at each look.
        """
        clock = self._clock
        began, before, starved = clock.now(), self._vitals(), self.starved
        while True:
            due = clock.now() + TICK
            await anyio.sleep(TICK)
            now = clock.now()
            self._late = max(self._late, now - due)
            if now - began >= _BEAT:
                vitals = self._vitals()
                on_pulse(
                    Pulse(
                        self._process,
                        at=now - epoch,
                        seconds=now - began,
                        cpu=vitals.cpu - before.cpu,
                        late=self._late,
                        starved=self.starved - starved,
                        open_files=vitals.open_files,
                        most_files=vitals.most_files,
                    )
                )
                began, before, starved, self._late = now, vitals, self.starved, 0.0
            on_tick()
