"""A foreman: works through lots of a campaign's rows, with workers of its own machine.

A lot is a run over its rows: it leases their shard, and does with each what `resume` would, by what
the journal has of it. So rows of a machine that was lost are a lot like any other.
"""

import math
import signal
import socket
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final

import anyio
import anyio.to_thread

from bulkcmp.engine.channel import Channel, Outbox, SocketChannel
from bulkcmp.engine.colleague import Hire
from bulkcmp.engine.frame import Beat, Drain, Frame, Halt, Lot, Order, Over, Proceed, Told
from bulkcmp.engine.keys import PooledKeys
from bulkcmp.engine.run import Run, hire_process
from bulkcmp.engine.server import pace_file
from bulkcmp.errors import LocalCmpError
from bulkcmp.io import loop
from bulkcmp.io.clock import Clock, SystemClock
from bulkcmp.io.keypool import KeyPool
from bulkcmp.journal.failure import LeaseHeld
from bulkcmp.journal.journal import Journal
from bulkcmp.journal.lease import Shard
from bulkcmp.model import BadRow
from bulkcmp.stats.progress import Relay

_AHEAD: Final = 1024
"""Keys of a type that are made ahead of the network, at most."""


class Foreman:
    """One foreman.

    Args:
        channel: to the parent.
        clock: of all times.
        hire: starts a worker.
    """

    def __init__(self, channel: Channel, clock: Clock, *, hire: Hire = hire_process) -> None:
        self._channel = channel
        self._clock = clock
        self._hire = hire
        self._outbox = Outbox(channel)
        self._put, self._get = anyio.create_memory_object_stream[Lot](math.inf)
        self._order: Order
        self._run: Run | None = None
        self._stopping = False
        self._is_halted = False

    async def run(self) -> None:
        """Work until the parent says `Drain`, or is gone or silent."""
        async with self._put, self._get:
            await self._outbox.run_beside(self._serve)

    async def _serve(self) -> None:
        order, *frames = await self._channel.receive()
        assert isinstance(order, Order)
        self._order = order
        async with anyio.create_task_group() as group:
            group.start_soon(self._listen, group.cancel_scope, frames)
            async for lot in self._get:
                await self._work_through(lot)
            group.cancel_scope.cancel()

    async def _listen(self, scope: anyio.CancelScope, frames: Sequence[Frame]) -> None:
        try:
            while True:
                for frame in frames:
                    self._take_in(frame)
                with anyio.fail_after(self._order.silence):
                    frames = await self._channel.receive()
        except (anyio.EndOfStream, TimeoutError):
            # another has our rows, or will
            scope.cancel()

    def _take_in(self, frame: Frame) -> None:
        match frame:
            case Lot():
                self._put.send_nowait(frame)
            case Drain():
                self._stopping = True
                self._put.close()
                if self._run is not None:
                    self._run.stop()
            case Halt():
                self._is_halted = True
            case Proceed():
                self._is_halted = False
            case Beat():
                pass
            case _:
                raise LocalCmpError(f"a foreman was sent {type(frame).__name__}")

    async def _work_through(self, lot: Lot) -> None:
        order = self._order
        account = Relay(self._clock.now(), total=len(lot.rows))

        def tell(_: object = None) -> None:
            events = account.take()
            if events:
                self._outbox.put(Told(events))

        async with (
            self._held(lot) as journal,
            _keys(lot) as keys,
            pace_file(order.setup) as setup,
        ):
            run = self._run = Run(
                lot.rows,
                journal,
                keys,
                setup,
                workers=order.workers,
                clock=self._clock,
                on_snapshot=tell,
                resumed=True,
                hire=self._hire,
                progress=account,
                reached=lot.is_heard,
                breaker=order.breaker,
                is_paused=lambda: self._is_halted,
                tell=self._outbox.mention,
            )
            try:
                if self._stopping:
                    run.stop()
                await run.execute()
            finally:
                self._run = None
        lost = run.unreachable
        self._outbox.put(
            Over(
                frozenset(run.operations),
                run.reached,
                None if lost is None else lost.loss,
                "" if lost is None else lost.what,
                run.given_up,
            )
        )

    @asynccontextmanager
    async def _held(self, lot: Lot) -> AsyncIterator[Journal]:
        """The journal with a lease of a lot, whose rows have an outcome where they were under way.

        Raises:
            LeaseHeld: another is at work on them.
            JournalError, InputError: the database can't be used.
        """
        order = self._order
        journal = await anyio.to_thread.run_sync(Journal.join, order.journal, order.run)
        try:
            await anyio.to_thread.run_sync(self._hold, journal, lot.shard)
            await anyio.to_thread.run_sync(journal.unlock, order.key_pass)
            await anyio.to_thread.run_sync(journal.settle)
            yield journal
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(journal.close)

    def _hold(self, journal: Journal, shard: Shard) -> None:
        """Lease a shard. An earlier foreman of it, who has lost the parent, may not know that yet.

        Raises:
            LeaseHeld: another is at work on it.
        """
        until = self._clock.now() + self._order.silence + self._order.term
        while True:
            try:
                journal.hold(shard, term=self._order.term)
            except LeaseHeld:
                if self._clock.now() > until:
                    raise
            else:
                return


@asynccontextmanager
async def _keys(lot: Lot) -> AsyncIterator[PooledKeys]:
    async with KeyPool(ahead=_AHEAD) as pool:
        wanted = Counter(
            row.new_key_spec
            for row in lot.rows
            if not isinstance(row, BadRow) and not row.central_keygen
        )
        for spec, count in wanted.items():
            if spec is not None:
                pool.expect(spec, count)
        yield PooledKeys(pool)


async def main(descriptor: int) -> None:
    """Run a foreman whose channel is an inherited socket."""
    channel = SocketChannel(socket.socket(fileno=descriptor))
    with suppress(anyio.EndOfStream):
        await Foreman(channel, SystemClock()).run()
    await channel.aclose()


if __name__ == "__main__":
    # both are the parent's to interpret
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    loop.run(main, int(sys.argv[1]))
