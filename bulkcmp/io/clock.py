"""The clock of a run: Unix time that never goes back."""

import time
from typing import Protocol

import anyio


class Clock(Protocol):
    """Unix time in seconds, and sleeping until one."""

    def now(self) -> float: ...

    def unix(self, monotonic: float) -> float:
        """The Unix time of a monotonic instant, as transports stamp them."""
        ...

    def wall(self) -> float:
        """Unix time by the machine's wall clock, which may be set: for what goes by the time of
        day."""
        return self.now()

    async def sleep_until(self, when: float) -> None: ...


class SystemClock:
    """Wall time read once, advanced by the monotonic clock: a step of the wall clock in the middle
    of a run neither fires nor delays a timer."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def now(self) -> float:
        return self._offset + time.monotonic()

    def unix(self, monotonic: float) -> float:
        return self._offset + monotonic

    def wall(self) -> float:
        return time.time()

    async def sleep_until(self, when: float) -> None:
        await anyio.sleep(max(0.0, when - self.now()))
