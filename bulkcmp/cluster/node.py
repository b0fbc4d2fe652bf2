"""A machine's part of a cluster: worker processes, and what goes to and from them.

It runs as an actor in the process of a Dask worker. Batches of frames pass through it unread.
"""

import time
from dataclasses import dataclass, field
from typing import Final

import anyio
from anyio.abc import TaskGroup

from bulkcmp.engine.channel import SocketChannel, packed
from bulkcmp.engine.colleague import Colleague, WorkerError, dismiss, end, hire_processes
from bulkcmp.engine.frame import Beat

SILENCE: Final = 20.0
"""Seconds without a word of the parent after which a node's workers end by themselves."""

WAIT: Final = 1.0
"""Seconds in which a question for what workers said is answered, if they said nothing."""

_BEAT: Final = 2.0
"""Seconds between two words to workers that hear nothing else."""

_ROOM: Final = 1 << 24
"""Octets that wait to be collected, at most; beyond it workers wait."""


@dataclass(frozen=True, slots=True, repr=False)
class Batch:
    """Frames as a channel packs them, with secrets among them: no log shows what it is."""

    octets: bytes

    def __repr__(self) -> str:
        return f"<{len(self.octets):,} octets>"


@dataclass(frozen=True, slots=True)
class Said:
    """What a worker said, or that it is gone.

    Attributes:
        batch: None of one that is gone.
    """

    place: int
    batch: Batch | None


@dataclass(slots=True)
class _Seat:
    """A worker's place in a node.

    Attributes:
        turn: who speaks to it; a batch is whole before the next one.
        is_told: it has heard from the parent what it is to do.
    """

    channel: SocketChannel
    colleague: Colleague
    turn: anyio.Lock = field(default_factory=anyio.Lock)
    is_told: bool = False


class Node:
    """Worker processes of this machine.

    Args:
        module: what they run, as for `bulkcmp.engine.colleague.hire_processes`.
    """

    def __init__(self, module: str) -> None:
        self._hire = hire_processes(module)
        self._seats: dict[int, _Seat] = {}
        self._said: list[Said] = []
        self._waiting = 0
        self._news = anyio.Event()
        self._room = anyio.Event()
        self._serving = anyio.Event()
        self._leaving = anyio.Event()
        self._heard = time.monotonic()
        self._group: TaskGroup

    async def serve(self) -> None:
        """Have workers until `leave`, or until nobody asks any longer what they said."""
        self._heard = time.monotonic()
        try:
            async with anyio.create_task_group() as group:
                self._group = group
                self._serving.set()
                while not self._leaving.is_set() and time.monotonic() < self._heard + SILENCE:
                    with anyio.move_on_after(_BEAT):
                        await self._leaving.wait()
                    if time.monotonic() < self._heard + _BEAT + WAIT:
                        for seat in self._seats.values():
                            group.start_soon(_beat, seat)
                group.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True):
                await dismiss(seat.colleague for seat in self._seats.values())
            self._seats.clear()

    async def leave(self) -> None:
        """End all workers that are still there."""
        self._leaving.set()

    async def clock(self) -> tuple[float, float]:
        """This machine's monotonic clock and its Unix time, seconds."""
        return time.monotonic(), time.time()

    async def hire(self, place: int) -> str | None:
        """Start a worker.

        Args:
            place: what it is called by from now on.

        Returns:
            Why it can't be started; None if it was.
        """
        await self._serving.wait()
        try:
            colleague = await self._hire(self._group)
        except WorkerError as error:
            return str(error)
        assert isinstance(colleague.channel, SocketChannel), "of a process"
        seat = self._seats[place] = _Seat(colleague.channel, colleague)
        self._group.start_soon(self._listen, place, seat)
        return None

    async def tell(self, place: int, batch: Batch) -> None:
        """Hand a batch to a worker; nothing happens where it is gone."""
        seat = self._seats.get(place)
        if seat is not None:
            async with seat.turn:
                seat.is_told = True
                await _send(seat, batch.octets)

    async def collect(self) -> list[Said]:
        """What workers said since the last time; waits a little where that is nothing."""
        self._heard = time.monotonic()
        if not self._said:
            self._news = anyio.Event()
            with anyio.move_on_after(WAIT):
                await self._news.wait()
        said, self._said = self._said, []
        self._waiting = 0
        self._room.set()
        return said

    async def dismiss(self, place: int) -> None:
        """End a worker, whatever it does."""
        seat = self._seats.get(place)
        if seat is not None:
            await seat.channel.aclose()

    async def _listen(self, place: int, seat: _Seat) -> None:
        try:
            while True:
                batch = await seat.channel.receive_batch()
                self._say(Said(place, Batch(batch)))
                self._waiting += len(batch)
                while self._waiting > _ROOM:
                    self._room = anyio.Event()
                    await self._room.wait()
        except anyio.EndOfStream:
            pass
        del self._seats[place]
        await seat.channel.aclose()
        assert seat.colleague.process is not None, "it is a process"
        await end(seat.colleague.process)
        self._say(Said(place, None))

    def _say(self, said: Said) -> None:
        self._said.append(said)
        self._news.set()


async def _beat(seat: _Seat) -> None:
    """Let a worker know that the parent was heard, unless it is being told something."""
    if seat.is_told and not seat.turn.locked():
        async with seat.turn:
            await _send(seat, packed([Beat()]))


async def _send(seat: _Seat, octets: bytes) -> None:
    try:
        await seat.channel.send_batch(octets)
    except (anyio.BrokenResourceError, anyio.ClosedResourceError):
        # whoever listens to it hears that it is gone
        return
