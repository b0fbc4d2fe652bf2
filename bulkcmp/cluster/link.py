"""Our side of a node: workers on another machine, as a load test has workers of its own."""

import itertools
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from bulkcmp.cluster.node import SILENCE, Batch
from bulkcmp.engine.channel import packed, unpacked
from bulkcmp.engine.colleague import PATIENCE, Colleague, WorkerError
from bulkcmp.engine.frame import Begin, Frame, Host

LOST: Final = SILENCE + 10.0
"""Seconds after which a node that does not answer is lost: its workers have ended by then."""

_PAUSE: Final = 0.1
"""Seconds between two questions to one node; workers speak up as often."""

_TRIES: Final = 16
"""Looks at a node's clock, of which the quickest counts."""

_BATCHES: Final = 64
"""Of one worker that wait to be read."""


class LostError(Exception):
    """A node can't be reached any longer."""


@dataclass(frozen=True, slots=True)
class Offset:
    """How a node's clocks stand to ours.

    Attributes:
        monotonic, unix: seconds to be added to a time of ours.
        error: seconds by which either may be wrong: half of what the question and its answer took.
    """

    monotonic: float
    unix: float
    error: float


class Link:
    """A node, as long as it is there.

    Args:
        name: what reports call it.
        actor: Dask's proxy of a `Node`, all of whose methods are awaited.
        most: workers that it should have.

    Attributes:
        is_lost: it can't be reached any longer.
    """

    def __init__(self, name: str, actor: Any, most: int) -> None:
        self.name = name
        self.is_lost = False
        self._actor = actor
        self._most = most
        self._places = itertools.count()
        self._streams: dict[int, MemoryObjectSendStream[Batch]] = {}
        self._offset: Offset

    @property
    def fullness(self) -> float:
        """Its workers, as a share of those that it should have."""
        return len(self._streams) / self._most

    async def serve(self) -> None:
        """Let the node have workers, until it is lost."""
        with suppress(OSError, RuntimeError):
            # it lasts as long as the node does
            await self._actor.serve()
        self._lose()

    async def listen(self) -> None:
        """Take in what the node's workers say, until it is lost."""
        try:
            while True:
                for said in await self.ask("collect"):
                    stream = self._streams.get(said.place)
                    if stream is None:
                        continue
                    if said.batch is None:
                        self.forget(said.place)
                        continue
                    try:
                        await stream.send(said.batch)
                    except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                        self.forget(said.place)
                await anyio.sleep(_PAUSE)
        except LostError:
            self._lose()

    async def measure(self) -> Offset:
        """Look at the node's clocks.

        Raises:
            LostError: it can't be reached.
        """
        found: list[Offset] = []
        for _ in range(_TRIES):
            asked, unix = time.monotonic(), time.time()
            theirs, their_unix = await self.ask("clock")
            half = (time.monotonic() - asked) / 2
            found.append(Offset(theirs - asked - half, their_unix - unix - half, half))
        self._offset = min(found, key=lambda one: one.error)
        return self._offset

    async def hire(self) -> Colleague:
        """Start a worker.

        Raises:
            LostError: the node can't be reached.
            WorkerError: it can't start one.
        """
        place = next(self._places)
        send, receive = anyio.create_memory_object_stream[Batch](_BATCHES)
        self._streams[place] = send
        try:
            trouble = await self.ask("hire", place)
            if trouble is not None:
                raise WorkerError(f"{self.name}: {trouble}", hint="lower --workers")
        except BaseException as error:
            self.forget(place)
            receive.close()
            if isinstance(error, LostError):
                # who looks for another place must not come back to this one
                self._lose()
            raise
        host = Host(self.name, self._most, self._offset.error, SILENCE)
        return Colleague(LinkChannel(self, place, receive, self._offset), host=host)

    async def ask(self, method: str, *arguments: object) -> Any:
        """Call a method of the node.

        Raises:
            LostError: it does not answer.
        """
        if self.is_lost:
            raise LostError
        try:
            with anyio.fail_after(LOST):
                return await getattr(self._actor, method)(*arguments)
        except (OSError, RuntimeError) as error:
            # among them the one that says that time is over
            raise LostError from error

    def forget(self, place: int) -> None:
        """Nothing more comes of a worker."""
        stream = self._streams.pop(place, None)
        if stream is not None:
            stream.close()

    def _lose(self) -> None:
        self.is_lost = True
        for place in list(self._streams):
            self.forget(place)


class LinkChannel:
    """A worker's channel by way of its node, which reads our instants on its own clock."""

    def __init__(
        self, link: Link, place: int, receive: MemoryObjectReceiveStream[Batch], offset: Offset
    ) -> None:
        self._link = link
        self._place = place
        self._receive = receive
        self._offset = offset

    async def receive(self) -> Sequence[Frame]:
        try:
            return unpacked((await self._receive.receive()).octets)
        except anyio.ClosedResourceError:
            raise anyio.EndOfStream from None

    async def send(self, frames: Sequence[Frame]) -> None:
        told = [self._translated(frame) for frame in frames]
        try:
            await self._link.ask("tell", self._place, Batch(packed(told)))
        except LostError as error:
            # nobody is to wait for who did not hear it
            self._link.forget(self._place)
            raise anyio.BrokenResourceError from error

    def _translated(self, frame: Frame) -> Frame:
        if isinstance(frame, Begin):
            return replace(frame, at=frame.at + self._offset.monotonic)
        return frame

    async def aclose(self) -> None:
        self._receive.close()
        self._link.forget(self._place)
        # a node that does not answer ends its workers by itself
        with suppress(LostError), anyio.move_on_after(PATIENCE):
            await self._link.ask("dismiss", self._place)
