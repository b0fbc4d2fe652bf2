"""The rate ceiling of a run, shared by all its worker processes through one small file."""

import fcntl
import os
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import anyio

from bulkcmp.load.pace import Pace

_STATE = struct.Struct("d")


class Pacer(Protocol):
    """Something that says when a new transaction may begin."""

    async def wait(self) -> None:
        """Return when the next transaction may begin, and count it as begun."""
        ...


class SharedPacer:
    """One ceiling for several processes.

    The state is a number in a file under an exclusive lock, which the kernel releases when its
    holder is killed; the monotonic clock is one and the same for all processes of a machine.

    The file stays open as long as the process, which has one pacer.

    Args:
        pace: the ceiling.
        path: the file; the first process makes it.
        now: the clock, seconds; the same for all processes.
    """

    def __init__(self, pace: Pace, path: Path, now: Callable[[], float] = time.monotonic) -> None:
        self._pace = pace
        self._now = now
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._turn = anyio.Lock()

    async def wait(self) -> None:
        async with self._turn:
            # other processes claim too: only asking again tells
            while (seconds := self._claim()) > 0.0:  # noqa: ASYNC110
                await anyio.sleep(seconds)

    def _claim(self) -> float:
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        try:
            state = os.pread(self._fd, _STATE.size, 0)
            due = _STATE.unpack(state)[0] if len(state) == _STATE.size else 0.0
            seconds, due = self._pace.claim(due, self._now())
            if seconds == 0.0:
                os.pwrite(self._fd, _STATE.pack(due), 0)
        finally:
            fcntl.flock(self._fd, fcntl.LOCK_UN)
        return seconds
