"""Private keys made in processes of their own, ahead of the network that uses them up.

The pool runs its own processes. Neither ready-made pool will do: those of `concurrent.futures`
outlive a parent that was killed, and those of `anyio.to_process` share the terminal's Ctrl-C,
after which an idle one answers each job with the result of the job before (seen with anyio
4.16) - a row would get a key of another type. These here stand in a session of their own, and
end when their standard input does.
"""

import json
import math
import os
import sys
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from subprocess import PIPE
from types import TracebackType
from typing import Final, Self

import anyio
import anyio.lowlevel
from anyio.abc import ByteReceiveStream, ByteSendStream, Process, TaskGroup
from anyio.streams.buffered import BufferedByteReceiveStream

from bulkcmp.errors import BulkcmpError
from bulkcmp.io import keyworker
from bulkcmp.io.keyworker import make_keys
from bulkcmp.model import KeySpec

__all__ = ["KeyPool", "KeyPoolError", "chunk_size", "make_keys"]

_JOB_US: Final = 100_000
"""What a job should take: long against the pipe's round trip, short for a user who waits."""

_KEY_US: Final = {
    "rsa:2048": 43_000,
    "rsa:3072": 130_000,
    "rsa:4096": 560_000,
    "ec:P-256": 16,
    "ec:P-384": 133,
    "ec:P-521": 103,
    "ed25519": 23,
    "ed448": 146,
    "ml-dsa-44": 80,
    "ml-dsa-65": 144,
    "ml-dsa-87": 198,
    "ml-kem-768": 105,
    "ml-kem-1024": 107,
}
"""Microseconds a key, measured on the machine of DESIGN.md."""

_DEATHS_EACH: Final = 2
"""How often each process may die, with no key made in between, before the pool gives up."""

# -P keeps the working folder off the path: a stray random.py there is not ours to run
_BOOTSTRAP: Final = (
    "import json, sys; sys.path[:] = json.loads(sys.stdin.buffer.readline());"
    " from bulkcmp.io.keyworker import main; main()"
)


class KeyPoolError(BulkcmpError):
    """No key can be made: the processes die or don't start, or the key type is not supported."""


def chunk_size(spec: KeySpec) -> int:
    """How many keys of `spec` one job makes where nothing limits it: about 100 ms of work."""
    return max(1, _JOB_US // _KEY_US[str(spec)])


@dataclass(slots=True, eq=False)
class _Taker:
    ready: anyio.Event = field(default_factory=anyio.Event)
    key: bytes | None = field(default=None, repr=False)


@dataclass(slots=True, eq=False)
class _Line:
    """The production of one key type. While somebody waits, the stock is empty."""

    spec: KeySpec
    chunk: int
    ahead: int
    stock: deque[bytes] = field(default_factory=deque, repr=False)
    takers: deque[_Taker] = field(default_factory=deque)
    making: int = 0
    handed: int = 0
    expected: int | None = None
    """Keys that will ever be taken, as far as anybody said."""
    failure: str | None = None

    def job(self) -> int:
        """How many keys the next job should make; 0 while there is nothing to do."""
        if self.failure is not None:
            return 0
        coming = len(self.stock) + self.making
        room = self.ahead + len(self.takers) - coming
        rest = math.inf if self.expected is None else self.expected - self.handed - coming
        starving = max(0, len(self.takers) - self.making)
        if not starving and room < min(self.chunk, rest):
            # a whole chunk later costs less than a key at a time now
            return 0
        return int(max(0, min(self.chunk, room, max(rest, starving))))

    def urgency(self) -> tuple[bool, float]:
        """Orders the lines: who has somebody waiting, then who has the least in stock."""
        coming = len(self.stock) + self.making
        return len(self.takers) > self.making, -coming / self.ahead

    def deliver(self, keys: Iterable[bytes]) -> None:
        for key in keys:
            if self.takers:
                taker = self.takers.popleft()
                taker.key = key
                taker.ready.set()
                self.handed += 1
            else:
                self.stock.append(key)

    def fail(self, failure: str) -> None:
        self.failure = failure
        for taker in self.takers:
            taker.ready.set()


_ENDED: Final = (
    OSError,
    anyio.EndOfStream,
    anyio.IncompleteRead,
    anyio.BrokenResourceError,
    anyio.ClosedResourceError,
)
"""What talking to a process raises once it is gone."""


@dataclass(slots=True, eq=False)
class _Maker:
    """One key-making process, seen from the parent."""

    process: Process
    stdin: ByteSendStream
    stdout: BufferedByteReceiveStream
    stderr: ByteReceiveStream

    @classmethod
    async def start(cls) -> Self:
        # a cancelled start could leave a process that nobody knows
        with anyio.CancelScope(shield=True):
            process = await anyio.open_process(
                [sys.executable, "-P", "-c", _BOOTSTRAP],
                stdin=PIPE,
                stdout=PIPE,
                stderr=PIPE,
                start_new_session=True,
            )
        # three PIPEs give three streams
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        maker = cls(
            process, process.stdin, BufferedByteReceiveStream(process.stdout), process.stderr
        )
        try:
            # one that ended already says why when it is asked for keys
            with suppress(anyio.BrokenResourceError):
                await maker.stdin.send(json.dumps(sys.path).encode() + b"\n")
        except BaseException:
            await maker.end()
            raise
        return maker

    async def make(self, spec: KeySpec, count: int) -> tuple[int, bytes]:
        """The kind and body of the frame that answers a request."""
        await self.stdin.send(f"{spec} {count}\n".encode())
        kind, length = keyworker.HEAD.unpack(await self.stdout.receive_exactly(keyworker.HEAD.size))
        return kind, await self.stdout.receive_exactly(length)

    async def last_words(self) -> str:
        """How and, as far as it said so, why a process ended."""
        text = b""
        with anyio.move_on_after(2), suppress(anyio.EndOfStream):
            while True:
                text += await self.stderr.receive()
        with anyio.move_on_after(2):
            await self.process.wait()
        lines = text.decode(errors="replace").strip().splitlines()
        return f"exit status {self.process.returncode}" + (f", {lines[-1]}" if lines else "")

    async def end(self) -> None:
        with suppress(ProcessLookupError):
            self.process.kill()
        with anyio.CancelScope(shield=True):
            await self.process.aclose()


class KeyPool:
    """Makes keys in processes of its own, at most `ahead` of each type in stock.

    An async context manager; the processes start when the first key is wanted and are killed on
    leaving it, in the middle of a key if need be. For the thread of one event loop only.

    Args:
        ahead: keys of one type that are in stock or being made while nobody waits for them.
        processes: how many to run at most; one for each core by default.

    Attributes:
        waits: how many takes found no key in stock.
        starved_seconds: how long they waited, summed over them, by the event loop's clock. Both
            tell whether key making held the run back.

    Raises:
        ValueError: `ahead` or `processes` is less than 1.
    """

    def __init__(self, *, ahead: int, processes: int | None = None) -> None:
        self._ahead = ahead
        self._processes = processes if processes is not None else os.cpu_count() or 1
        if self._ahead < 1 or self._processes < 1:
            raise ValueError("ahead and processes must be at least 1")
        self.waits = 0
        self.starved_seconds = 0.0
        self._lines: dict[KeySpec, _Line] = {}
        self._group: TaskGroup
        self._work: anyio.Event
        self._running = False
        self._deaths = 0

    async def __aenter__(self) -> Self:
        self._work = anyio.Event()
        self._group = anyio.create_task_group()
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        self._group.cancel_scope.cancel()
        try:
            return bool(await self._group.__aexit__(kind, error, traceback))
        except BaseExceptionGroup as group:
            # an error of the body alone comes out as it is, for callers to catch by its type
            if group.exceptions == (error,):
                return False
            raise

    def expect(self, spec: KeySpec, count: int | None) -> None:
        """Say that `count` more keys of `spec` will be taken, and start making them.

        Calls add up; the pool makes no more keys than that unless somebody waits for one. None
        takes the limit away, and without any call there is none.
        """
        line = self._line(spec)
        if count is None:
            line.expected = None
        else:
            line.expected = count + (line.handed if line.expected is None else line.expected)
        self._wake(line)

    async def take(self, spec: KeySpec) -> bytes:
        """Take one key, as unencrypted PKCS#8 DER; waits while none is ready.

        Raises:
            KeyPoolError: such a key can't be made.
        """
        return (await self.take_many(spec, 1))[0]

    async def take_many(self, spec: KeySpec, most: int) -> list[bytes]:
        """Take what is in stock, at most `most` keys; waits for one while there is none.

        Raises:
            KeyPoolError: such a key can't be made.
        """
        line = self._line(spec)
        await anyio.lowlevel.checkpoint()
        if not line.stock:
            return [await self._wait_for_key(line)]
        keys = [line.stock.popleft() for _ in range(min(most, len(line.stock)))]
        line.handed += len(keys)
        self._wake(line)
        return keys

    async def _wait_for_key(self, line: _Line) -> bytes:
        taker = _Taker()
        if line.failure is None:
            line.takers.append(taker)
            self._wake(line)
            self.waits += 1
            began = anyio.current_time()
            try:
                await taker.ready.wait()
            except BaseException:
                if taker.key is not None:
                    line.handed -= 1
                    line.deliver([taker.key])
                raise
            finally:
                self.starved_seconds += anyio.current_time() - began
                if taker.key is None:
                    line.takers.remove(taker)
        if taker.key is None:
            raise KeyPoolError(f"no {line.spec} key can be made: {line.failure}")
        return taker.key

    def _line(self, spec: KeySpec) -> _Line:
        line = self._lines.get(spec)
        if line is None:
            # every process at work on one chunk, and as much again in stock
            share = max(1, self._ahead // (2 * self._processes))
            line = _Line(spec, min(chunk_size(spec), share), self._ahead)
            self._lines[spec] = line
        return line

    def _wake(self, line: _Line) -> None:
        if not line.job():
            return
        if not self._running:
            self._running = True
            for number in range(self._processes):
                self._group.start_soon(self._run, name=f"key maker {number + 1}")
        self._work.set()
        self._work = anyio.Event()

    async def _next_job(self) -> tuple[_Line, int]:
        while True:
            line = max(
                (line for line in self._lines.values() if line.job()),
                key=_Line.urgency,
                default=None,
            )
            if line is not None:
                return line, line.job()
            await self._work.wait()

    async def _run(self) -> None:
        maker: _Maker | None = None
        try:
            while True:
                line, count = await self._next_job()
                line.making += count
                try:
                    if maker is None:
                        maker = await _Maker.start()
                    kind, body = await maker.make(line.spec, count)
                except _ENDED as error:
                    line.making -= count
                    reason = f"a key-making process does not start: {error}"
                    if maker is not None:
                        reason = f"a key-making process ended: {await maker.last_words()}"
                        await maker.end()
                        maker = None
                    self._died(reason)
                    self._wake(line)
                    continue
                line.making -= count
                if kind == keyworker.KEYS:
                    self._deaths = 0
                    line.deliver(keyworker.unpack(body))
                else:
                    line.fail(body.decode())
                self._wake(line)
        finally:
            if maker is not None:
                await maker.end()

    def _died(self, reason: str) -> None:
        self._deaths += 1
        if self._deaths >= _DEATHS_EACH * self._processes:
            for line in self._lines.values():
                line.fail(reason)
