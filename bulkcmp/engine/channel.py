"""A two-way stream of frames between the parent and a worker.

Batches of frames are pickled: both ends are our own program, joined by sockets that only they hold,
or by a cluster whose messages go over TLS or stay on loopback (`bulkcmp.cluster.address`).
"""

import io
import pickle
import socket
import struct
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import fields
from operator import attrgetter
from typing import Any, Final, Protocol

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from bulkcmp.cmp.events import Checkpoint, Part
from bulkcmp.engine.failure import first_error
from bulkcmp.engine.frame import (
    Done,
    Failed,
    Frame,
    Logged,
    Member,
    Record,
    Recorded,
    Report,
    Supply,
    Task,
)
from bulkcmp.errors import BulkcmpError
from bulkcmp.journal.entry import Advanced, Begun, BegunRow, Ended
from bulkcmp.load.certified import Certified
from bulkcmp.model import EndEntity, KeySpec, Outcome, Timings
from bulkcmp.stats.record import Drop, Ending, Exchange, TransactionRecord

_LENGTH: Final = struct.Struct(">I")
_CHUNK: Final = 256 * 1024


class Channel(Protocol):
    """One end. `receive` raises anyio.EndOfStream when the other end is gone."""

    async def receive(self) -> Sequence[Frame]: ...

    async def send(self, frames: Sequence[Frame]) -> None: ...

    async def aclose(self) -> None: ...


class SocketChannel:
    """Frames over one end of a connected pair of stream sockets.

    anyio's own stream of such a socket complains on standard error where uvloop tells it of bytes
    that came as its reader was being cancelled, as they do when a run is interrupted; waiting for
    the socket itself has no such gap.
    """

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self._socket = end
        self._received = bytearray()

    async def receive(self) -> Sequence[Frame]:
        return unpacked(await self.receive_batch())

    async def receive_batch(self) -> bytes:
        """A batch of frames as it was sent, for who only hands it on."""
        try:
            (length,) = _LENGTH.unpack(await self._exactly(_LENGTH.size))
            return await self._exactly(length)
        except (OSError, anyio.ClosedResourceError):
            raise anyio.EndOfStream from None

    async def _exactly(self, size: int) -> bytes:
        while len(self._received) < size:
            self._check_open()
            await anyio.wait_readable(self._socket)
            try:
                chunk = self._socket.recv(_CHUNK)
            except BlockingIOError:
                continue
            if not chunk:
                raise anyio.EndOfStream
            self._received += chunk
        taken = bytes(self._received[:size])
        del self._received[:size]
        return taken

    async def send(self, frames: Sequence[Frame]) -> None:
        await self.send_batch(packed(frames))

    async def send_batch(self, batch: bytes) -> None:
        rest = memoryview(_LENGTH.pack(len(batch)) + batch)
        try:
            while rest:
                self._check_open()
                try:
                    rest = rest[self._socket.send(rest) :]
                except BlockingIOError:
                    await anyio.wait_writable(self._socket)
        except OSError as error:
            raise anyio.BrokenResourceError from error

    def _check_open(self) -> None:
        if self._socket.fileno() < 0:
            raise anyio.ClosedResourceError

    async def aclose(self) -> None:
        if self._socket.fileno() >= 0:
            anyio.notify_closing(self._socket)
            self._socket.close()


def _reducer(kind: type) -> Callable[[Any], tuple[type, tuple[object, ...]]]:
    names = [one.name for one in fields(kind)]
    values = attrgetter(*names)
    if len(names) == 1:
        return lambda value: (kind, (values(value),))
    return lambda value: (kind, values(value))


_REDUCERS: Final[dict[type, Callable[[Any], tuple[type, tuple[object, ...]]]]] = {
    kind: _reducer(kind)
    for kind in (
        Advanced,
        Begun,
        BegunRow,
        Certified,
        Checkpoint,
        Done,
        Drop,
        Ended,
        EndEntity,
        Ending,
        Exchange,
        KeySpec,
        Logged,
        Member,
        Outcome,
        Part,
        Record,
        Recorded,
        Report,
        Supply,
        Task,
        Timings,
        TransactionRecord,
    )
}
"""What is sent for every row or lifecycle: as calls, since the way in which dataclasses with slots
pickle themselves took more than half of the parent's time."""


def packed(frames: Sequence[Frame]) -> bytes:
    """A batch as octets, secrets among them."""
    buffer = io.BytesIO()
    pickler = pickle.Pickler(buffer, pickle.HIGHEST_PROTOCOL)
    pickler.dispatch_table = _REDUCERS
    pickler.dump(frames)
    return buffer.getvalue()


def unpacked(batch: bytes) -> Sequence[Frame]:
    """The frames of a batch, which must come from our own program."""
    frames: Sequence[Frame] = pickle.loads(batch)  # noqa: S301  # of our own program
    return frames


class MemoryChannel:
    """Frames within one process, for a worker that runs as a task beside the parent."""

    def __init__(
        self,
        receive: MemoryObjectReceiveStream[Sequence[Frame]],
        send: MemoryObjectSendStream[Sequence[Frame]],
    ) -> None:
        self._receive = receive
        self._send = send

    async def receive(self) -> Sequence[Frame]:
        try:
            return await self._receive.receive()
        except anyio.ClosedResourceError:
            raise anyio.EndOfStream from None

    async def send(self, frames: Sequence[Frame]) -> None:
        await self._send.send(frames)

    async def aclose(self) -> None:
        self.close()

    def close(self) -> None:
        self._send.close()
        self._receive.close()


def memory_channels() -> tuple[MemoryChannel, MemoryChannel]:
    """Both ends of a channel within one process."""
    down_send, down_receive = anyio.create_memory_object_stream[Sequence[Frame]](1024)
    up_send, up_receive = anyio.create_memory_object_stream[Sequence[Frame]](1024)
    return MemoryChannel(up_receive, down_send), MemoryChannel(down_receive, up_send)


_SHARE: Final = 16
_GATHERING: Final = 0.05
"""Seconds."""


class Outbox:
    """Collects frames, and sends what has gathered.

    What a batch costs at both ends, a commit of the journal above all, is shared by its frames.
    So a batch waits until it has a sixteenth as many frames as there are tasks under way, which
    takes two hundredths of the time that such a task takes: a task with three frames is at most
    6 % longer under way for it, on any server.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._waiting: list[Frame] = []
        self._wake = anyio.Event()
        self._full = anyio.Event()
        self._sent = anyio.Event()
        self._pressing = 0
        self._closed = False
        self.under_way = 0
        """Tasks whose frames these are; without any, nothing is waited for."""

    def put(self, frame: Frame) -> None:
        self.mention(frame)
        self._pressing += 1
        if self._pressing >= self.under_way // _SHARE:
            self._full.set()

    def mention(self, frame: Frame) -> None:
        """Put a frame that nobody waits for: a batch is not sent sooner for it."""
        self._waiting.append(frame)
        self._wake.set()

    async def deliver(self, frame: Frame) -> None:
        """Put a frame, and wait until the channel has it, and all that was put before."""
        self.put(frame)
        await self._sent.wait()

    def close(self) -> None:
        """Let `run` end once all is sent."""
        self._closed = True
        self._wake.set()
        self._full.set()

    async def run_beside(self, work: Callable[[], Awaitable[None]]) -> None:
        """Send what a worker tells while it works, and why it can't, and end with it."""
        async with anyio.create_task_group() as group:
            group.start_soon(self.run)
            try:
                await work()
            except* anyio.EndOfStream:
                # the parent was gone before it said what to do
                pass
            except* BulkcmpError as errors:
                error = first_error(errors)
                assert isinstance(error, BulkcmpError)
                self.put(Failed(str(error), error.hint, error.exit_code))
            self.close()

    async def run(self) -> None:
        """Send until closed; returns early when the other end is gone."""
        try:
            while True:
                await self._wake.wait()
                with anyio.move_on_after(_GATHERING):
                    await self._full.wait()
                self._wake, self._full = anyio.Event(), anyio.Event()
                frames, self._waiting = self._waiting, []
                self._pressing = 0
                sent, self._sent = self._sent, anyio.Event()
                if frames:
                    await self._channel.send(frames)
                    sent.set()
                elif self._closed:
                    return
                if self._closed:
                    self._wake.set()
                    self._full.set()
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            return
