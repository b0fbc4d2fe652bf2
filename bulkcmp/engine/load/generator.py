"""A worker of a load test: begins lifecycles at their planned instants, and tells what came of
them.

It holds its share of the whole schedule, and nobody tells it the time but its own clock; the parent
only keeps it supplied with end entities and keys.
"""

import os
import signal
import socket
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from itertools import chain, islice, takewhile
from math import inf
from typing import Final

import anyio
from anyio.abc import TaskGroup

from bulkcmp.cmp import outcomes
from bulkcmp.cmp.events import Checkpoint, Part
from bulkcmp.cmp.outcomes import STOPPED
from bulkcmp.cmp.trust import load_certificate
from bulkcmp.engine import log
from bulkcmp.engine.channel import Channel, Outbox, SocketChannel
from bulkcmp.engine.driver import Observer, Observers, StoppedError, UnreachableError
from bulkcmp.engine.frame import (
    Assignment,
    Beat,
    Begin,
    Drain,
    Exhausted,
    Finished,
    Frame,
    Legacy,
    Ready,
    Report,
    Setup,
    Supply,
)
from bulkcmp.engine.load.holder import Holder
from bulkcmp.engine.load.observation import Observation
from bulkcmp.engine.load.watch import Watch
from bulkcmp.engine.log import TransactionLog
from bulkcmp.engine.server import Server, connect, opened, pacer
from bulkcmp.errors import LocalCmpError, RemoteCmpError, TransportError
from bulkcmp.io import loop
from bulkcmp.io.clock import Clock, SystemClock
from bulkcmp.io.http import CmpHttpClient
from bulkcmp.io.vitals import Vitals, allow_open_files, vitals
from bulkcmp.load.certified import Certified
from bulkcmp.load.chance import Chance
from bulkcmp.load.scenario import Closed, LatePolicy, Lifecycle, Open
from bulkcmp.load.schedule import Arrival, Backlog, arrivals, choose
from bulkcmp.model import Outcome, OutcomeClass
from bulkcmp.stats.health import Pulse
from bulkcmp.stats.record import Drop, Ending, Exchange, Level, TransactionRecord, to_microsecond

_GRAIN: Final = 0.001
"""Seconds: uvloop's timers count in milliseconds."""

_ROUNDING: Final = 1e-6
"""Seconds that a Unix time may be off by."""

_GRACE: Final = 0.1
"""Seconds in which what only waits gives up by itself, before what is under way is cut off."""

_CUT: Final = "cut off"
"""The reason of an outcome that nobody waited for: the time to drain was over."""

_LOST: Final = Ending(
    OutcomeClass.UNKNOWN, "worker lost", detail="its worker was lost, which may have begun it"
)


class Generator:
    """One worker.

    Args:
        channel: to the parent.
        clock: of all times.
        make_client: the HTTP client for a setup; tests give one without a network.
        read_vitals: of this process.
    """

    def __init__(
        self,
        channel: Channel,
        clock: Clock,
        *,
        make_client: Callable[[Setup], CmpHttpClient] = connect,
        read_vitals: Callable[[], Vitals] = vitals,
    ) -> None:
        self._channel = channel
        self._clock = clock
        self._make_client = make_client
        self._read_vitals = read_vitals
        self._outbox = Outbox(channel)
        self._stopping = anyio.Event()
        self._beginning = anyio.Event()
        self._epoch = 0.0
        self._stopped_at = inf
        self._heard: set[str] = set()
        self._supplies: deque[Supply] = deque()
        self._news = anyio.Event()
        self._no_more = False
        self._taken = 0
        self._in_flight = 0
        self._backlog: Backlog | None = None
        self._begun = 0
        self._abandoned = 0
        self._records: list[TransactionRecord | Drop | Pulse | Level] = []
        self._certificates: list[Certified] = []
        self._waits: set[anyio.CancelScope] = set()
        self._under_way = anyio.CancelScope()
        self._assignment: Assignment
        self._servers: dict[str, Server]
        self._chance: Chance
        self._gate: anyio.Semaphore
        self._watch: Watch

    async def run(self) -> None:
        """Generate load until the schedule ends, the parent says `Drain`, or it is gone."""
        await self._outbox.run_beside(self._serve)

    async def _serve(self) -> None:
        assignment, *frames = await self._channel.receive()
        assert isinstance(assignment, Assignment)
        self._assignment = assignment
        # what another worker reached before it was lost is no mistake either
        if assignment.is_heard or assignment.legacy is not None:
            self._heard.update(assignment.setups)
        self._chance = Chance(assignment.seed)
        shape = assignment.shape
        # a client has one transaction at a time
        room = shape.clients if isinstance(shape, Closed) else shape.in_flight
        self._gate = anyio.Semaphore(room, fast_acquire=True)
        self._watch = _watch(assignment, self._clock, self._read_vitals)
        async with AsyncExitStack() as clients:
            self._servers = {
                name: Server(
                    setup,
                    await clients.enter_async_context(opened(self._make_client(setup))),
                    self._clock,
                    self._stopping,
                    # there is one where no schedule sets the pace
                    pacer(setup),
                )
                for name, setup in assignment.setups.items()
            }
            async with anyio.create_task_group() as group:
                group.start_soon(self._listen, group.cancel_scope, frames)
                self._outbox.put(Ready())
                await self._beginning.wait()
                self._watch.begin(self._epoch, self._note_pulse)
                group.start_soon(self._watch.run, self._flush)
                if assignment.legacy is not None:
                    self._inherit(assignment.legacy)
                # what was due since the loss is dropped, though nothing more begins
                if assignment.legacy is not None or not self._stopping.is_set():
                    await self._generate()
                    self._watch.beat()
                self._flush()
                self._outbox.put(Finished(self._abandoned))
                group.cancel_scope.cancel()

    async def _listen(self, scope: anyio.CancelScope, frames: Sequence[Frame]) -> None:
        host = self._assignment.host
        try:
            while True:
                for frame in frames:
                    self._take_in(frame)
                with anyio.fail_after(None if host is None else host.silence):
                    frames = await self._channel.receive()
        except (anyio.EndOfStream, TimeoutError):
            # nobody would hear of what is measured
            scope.cancel()

    def _take_in(self, frame: Frame) -> None:
        match frame:
            case Supply():
                self._supplies.append(frame)
                self._news.set()
            case Exhausted():
                self._no_more = True
                self._news.set()
            case Begin(at):
                self._epoch = self._clock.unix(at)
                self._beginning.set()
            case Beat():
                pass
            case Drain():
                self._stop()
                # what never began has nothing to end
                self._beginning.set()
            case _:
                raise LocalCmpError(f"a worker was sent {type(frame).__name__}")

    def _stop(self) -> None:
        """Begin nothing more."""
        if not self._stopping.is_set():
            self._stopped_at = min(self._stopped_at, self._now())
            self._stopping.set()
            self._news.set()
            for wait in self._waits:
                wait.cancel()

    def _flush(self) -> None:
        """Tell the parent what there is to tell."""
        if self._taken or self._records or self._certificates:
            self._outbox.put(self._report())

    def _report(self) -> Report:
        report = Report(self._taken, tuple(self._records), tuple(self._certificates))
        self._taken = 0
        self._records.clear()
        self._certificates.clear()
        return report

    def _note_pulse(self, pulse: Pulse) -> None:
        waiting = 0 if self._backlog is None else self._backlog.due(pulse.at) - self._begun
        self._records += (
            pulse,
            Level(pulse.process, pulse.at, self._in_flight, max(0, waiting)),
        )

    # --- the schedule ---------------------------------------------------------------------------

    async def _generate(self) -> None:
        """Begin what is planned, and see it through."""
        shape = self._assignment.shape
        async with anyio.create_task_group() as limit:
            limit.start_soon(self._end_in_time)
            with self._under_way:
                async with anyio.create_task_group() as lifecycles:
                    if isinstance(shape, Open):
                        await self._arrive(shape, lifecycles)
                    else:
                        for _ in range(shape.clients):
                            lifecycles.start_soon(self._be_client, shape)
            limit.cancel_scope.cancel()

    async def _end_in_time(self) -> None:
        """Cut off what is still under way once the time to drain is over."""
        if self._assignment.duration is None:
            await self._stopping.wait()
        else:
            await self._come_to(self._assignment.duration)
        await anyio.sleep(self._assignment.drain)
        self._stop()
        await anyio.sleep(_GRACE)
        self._under_way.cancel()

    def _plan(self, shape: Open) -> Iterator[Arrival]:
        one = self._assignment
        return arrivals(
            shape,
            self._chance,
            duration=one.duration,
            count=one.count,
            numbers=one.numbers,
            place=one.place,
            workers=one.workers,
        )

    def _inherit(self, legacy: Legacy) -> None:
        """Note what a lost worker had under way, and what it may have begun: nobody knows what came
        of it."""
        shape = self._assignment.shape
        held = list(islice(self._supplies, legacy.held))
        arrived = dict.fromkeys([one.number for one in held], legacy.at)
        arrived |= dict.fromkeys([number for number, _, _ in legacy.under_way], legacy.at)
        if isinstance(shape, Open):
            plan = islice(self._plan(shape), legacy.taken + legacy.held)
            arrived |= {one.number: one.offset for one in plan if one.number in arrived}
        for number, step, requests in legacy.under_way:
            self._lose(number, step, requests, arrived[number], legacy.at)
        for one in takewhile(lambda one: arrived[one.number] <= legacy.at, held):
            self._supplies.popleft()
            self._taken += 1
            self._lose(one.number, 0, len(one.members), arrived[one.number], legacy.at)
        self._begun = legacy.taken + self._taken
        self._stopped_at = min(self._stopped_at, legacy.stopped)

    def _lose(self, number: int, step: int, requests: int, arrived: float, at: float) -> None:
        lifecycle = self._lifecycle(number)
        planned = to_microsecond(at if step else arrived)
        self._records.append(
            TransactionRecord(
                arrival=number,
                lifecycle=lifecycle.name,
                step=step,
                operation=lifecycle.steps[step].cmd,
                planned=planned,
                started=planned,
                finished=to_microsecond(at),
                warm_up=arrived < self._assignment.warm_up,
                endings=(replace(_LOST, requests=requests),),
                server=lifecycle.steps[step].server,
            )
        )

    async def _arrive(self, shape: Open, lifecycles: TaskGroup) -> None:
        """The open model: lifecycles begin when they are planned, whatever becomes of others."""
        plan = islice(self._plan(shape), self._begun, None)
        self._backlog = Backlog(self._plan(shape))
        late: Arrival | None = None
        try:
            for late in plan:
                if not await self._come_to(late.offset):
                    break
                supply = await self._supply()
                if supply is None:
                    break
                if await self._admitted():
                    lifecycles.start_soon(self._live, supply, late.offset)
                else:
                    self._drop(supply.number, late.offset, late.offset)
                self._begun += 1
                late = None
        finally:
            if late is not None:
                last = min(self._stopped_at, self._now())
                for arrival in takewhile(lambda one: one.offset <= last, chain((late,), plan)):
                    self._drop(arrival.number, arrival.offset, arrival.offset)

    async def _be_client(self, shape: Closed) -> None:
        """The closed model: one lifecycle after the other, with a pause between."""
        duration = inf if self._assignment.duration is None else self._assignment.duration
        begins = 0.0
        # nobody thinks on who could begin nothing after it
        while begins < duration and not self._is_exhausted and await self._come_to(begins):
            due = self._now()
            supply = await self._supply()
            if supply is None:
                return
            await self._gate.acquire()
            # no plan tells what a lost worker had begun
            await self._outbox.deliver(self._report())
            await self._live(supply, due)
            uniform = self._chance.uniform("client", supply.number)
            begins = self._now() + shape.think.seconds(uniform)

    def _now(self) -> float:
        """Seconds since the run's beginning."""
        return self._clock.now() - self._epoch

    async def _come_to(self, offset: float) -> bool:
        """Wait until so many seconds after the run's beginning; False if the run stops before."""
        while not self._stopping.is_set():
            left = offset - self._now()
            if left <= _ROUNDING:
                return True
            with anyio.move_on_after(max(left, _GRAIN)):
                await self._stopping.wait()
        return False

    @property
    def _is_exhausted(self) -> bool:
        return self._no_more and not self._supplies

    async def _supply(self) -> Supply | None:
        """End entities for the next lifecycle; None where there are none, or the run stops."""
        waited = 0.0
        while not self._supplies and not self._no_more and not self._stopping.is_set():
            began = self._now()
            if self._news.is_set():
                self._news = anyio.Event()
            await self._news.wait()
            waited += self._now() - began
        if self._is_exhausted or self._stopping.is_set():
            return None
        self._watch.starved += waited
        self._taken += 1
        return self._supplies.popleft()

    async def _admitted(self) -> bool:
        """Have a place among what is in flight; False if there is none, or the run stops."""
        try:
            self._gate.acquire_nowait()
        except anyio.WouldBlock:
            shape = self._assignment.shape
            if isinstance(shape, Open) and shape.late is LatePolicy.DROP:
                return False
            is_admitted = False
            with anyio.CancelScope() as wait:
                self._waits.add(wait)
                try:
                    await self._gate.acquire()
                finally:
                    self._waits.remove(wait)
                is_admitted = True
            if is_admitted and self._stopping.is_set():
                self._gate.release()
                return False
            return is_admitted
        return True

    # --- lifecycles -----------------------------------------------------------------------------

    async def _live(self, supply: Supply, arrived: float) -> None:
        """Go through a lifecycle, which has its place for the first step."""
        due = arrived
        holders = [
            Holder(place, member, {at: those[place] for at, those in supply.elsewhere.items()})
            for place, member in enumerate(supply.members)
        ]
        for place, step in enumerate(self._lifecycle(supply.number).steps):
            if place:
                uniform = self._chance.uniform("think", supply.number, place)
                due = self._now() + step.think.seconds(uniform)
                if not await self._come_to(due):
                    return
                if not await self._admitted():
                    self._drop(supply.number, due, arrived)
                    return
                for holder in holders:
                    holder.turn_to(step, supply.keys[place - 1][holder.place])
            try:
                holders = await self._step(supply.number, place, holders, due, arrived)
            finally:
                self._gate.release()
            if not holders:
                return

    def _lifecycle(self, number: int) -> Lifecycle:
        lifecycles = self._assignment.lifecycles
        return lifecycles[choose(lifecycles, self._chance, number)]

    async def _step(
        self, number: int, place: int, holders: list[Holder], due: float, arrived: float
    ) -> list[Holder]:
        """One transaction for all who are still in a lifecycle.

        Returns:
            Those who may go on.
        """
        lifecycle = self._lifecycle(number)
        server = lifecycle.steps[place].server
        transaction_id = os.urandom(16)
        observation = Observation(self._clock, self._epoch)
        observers: list[Observer] = [observation]
        verbosity = self._assignment.setups[server].verbosity
        if verbosity:
            entities = [holder.member.entity for holder in holders]
            kind = TransactionLog.of(verbosity)
            observers.append(kind(self._outbox.mention, self._clock, transaction_id, entities))
        latest: Checkpoint | None = None

        async def store(checkpoint: Checkpoint) -> None:
            nonlocal latest
            latest = checkpoint

        def note(ended: Sequence[Outcome]) -> None:
            if verbosity:
                self._tell_ended(holders, transaction_id, ended)
            certified = list(_certified(number, server, holders, latest, ended))
            self._certificates += certified
            exchanges = observation.exchanges
            self._records.append(
                TransactionRecord(
                    arrival=number,
                    lifecycle=lifecycle.name,
                    step=place,
                    operation=holders[0].member.entity.cmd,
                    planned=to_microsecond(due),
                    started=exchanges[0].started if exchanges else to_microsecond(began),
                    finished=_finished(exchanges, ended, to_microsecond(self._now())),
                    warm_up=arrived < self._assignment.warm_up,
                    endings=Ending.of(tuple(ended)),
                    certificates=sum(one.outcome.is_issued for one in certified),
                    exchanges=tuple(exchanges),
                    crypto=to_microsecond(observation.crypto),
                    server=server,
                )
            )

        began = self._now()
        self._in_flight += 1
        try:
            ended, latest = await self._transact(
                server, holders, store, transaction_id, Observers.of(observers)
            )
        except StoppedError:
            if verbosity:
                stopped = Outcome(OutcomeClass.TO_DO, STOPPED, "stopped before it was sent")
                self._tell_ended(holders, transaction_id, [stopped] * len(holders))
            self._drop(number, due, arrived)
            return []
        except anyio.get_cancelled_exc_class():
            self._abandoned += 1
            note(_cut_off(latest, len(holders)))
            raise
        finally:
            self._in_flight -= 1
        note(ended)
        going_on = []
        for holder, part, outcome in zip(holders, _parts(latest, holders), ended, strict=True):
            if part is not None and outcome.outcome.is_done:
                holder.keep(part)
                going_on.append(holder)
        return going_on

    async def _transact(
        self,
        at: str,
        holders: Sequence[Holder],
        store: Callable[[Checkpoint], Awaitable[None]],
        transaction_id: bytes,
        observer: Observer | None,
    ) -> tuple[Sequence[Outcome], Checkpoint | None]:
        """How it ended for each, and what it had come to.

        Raises:
            StoppedError: the run stopped before anything was sent.
            TransportError: no connection can be made to the server, and none ever was.
        """
        members = [holder.member for holder in holders]
        server = self._servers[at]
        try:
            finish = await server.transact(
                server.applicants(members),
                server.credential([member.entity for member in members]),
                store,
                transaction_id=transaction_id,
                first=at not in self._heard,
                observer=observer,
            )
        except LocalCmpError as error:
            return [Outcome(OutcomeClass.LOCAL_ERROR, "", error.what)] * len(members), None
        except UnreachableError as error:
            if at not in self._heard:
                what = f"{error.loss.value}: {error.detail}; nothing was sent"
                raise TransportError(
                    error.loss,
                    f"servers.{at}: {what}" if at else what,
                    hint="check --server, the network and the proxy",
                ) from error
            lost = outcomes.lost(members[0].entity.cmd, error.loss, error.loss.value, error.detail)
            return [lost] * len(members), None
        self._heard.add(at)
        return finish.outcomes, finish.checkpoint

    def _tell_ended(
        self, holders: Sequence[Holder], transaction_id: bytes, ended: Sequence[Outcome]
    ) -> None:
        for holder, outcome in zip(holders, ended, strict=True):
            entity, at = holder.member.entity, self._clock.now()
            self._outbox.mention(log.ended(at, entity.number, entity.id, transaction_id, outcome))

    def _drop(self, number: int, planned: float, arrived: float) -> None:
        warm_up = arrived < self._assignment.warm_up
        name = self._lifecycle(number).name
        planned, at = to_microsecond(planned), to_microsecond(self._now())
        self._records.append(Drop(number, name, planned, at, warm_up))


def _watch(assignment: Assignment, clock: Clock, read_vitals: Callable[[], Vitals]) -> Watch:
    name, host = f"worker {assignment.place + 1}", assignment.host
    if host is None:
        return Watch(name, clock, read_vitals)
    return Watch(f"{name} on {host.name}", clock, read_vitals, clock_error=host.clock_error)


def _parts(checkpoint: Checkpoint | None, holders: Sequence[Holder]) -> Sequence[Part | None]:
    return [None] * len(holders) if checkpoint is None else checkpoint.parts


def _finished(exchanges: Sequence[Exchange], ended: Sequence[Outcome], now: float) -> float:
    """When a transaction had its outcome: with an answer, or when nobody waited any longer."""
    answered = exchanges and exchanges[-1].loss is None
    given_up = any(one.reason == _CUT or one.outcome is OutcomeClass.STILL_WAITING for one in ended)
    return exchanges[-1].finished if answered and not given_up else now


def _cut_off(checkpoint: Checkpoint | None, count: int) -> list[Outcome]:
    """What a transaction had come to for each, when it was cut off."""
    cut = Outcome(OutcomeClass.UNKNOWN, _CUT, "the time to drain was over")
    if checkpoint is None:
        return [cut] * count
    return [part.outcome or _cut_off_at(part, cut) for part in checkpoint.parts]


def _cut_off_at(part: Part, cut: Outcome) -> Outcome:
    if part.granted is not None:
        return replace(cut, outcome=OutcomeClass.ISSUED_CONFIRMATION_UNKNOWN)
    return replace(cut, outcome=OutcomeClass.STILL_WAITING) if part.waits else cut


def _certified(
    number: int,
    server: str,
    holders: Sequence[Holder],
    checkpoint: Checkpoint | None,
    ended: Sequence[Outcome],
) -> Iterator[Certified]:
    """The certificates that a transaction issued or revoked."""
    for holder, part, outcome in zip(holders, _parts(checkpoint, holders), ended, strict=True):
        entity = holder.member.entity
        named: tuple[int, bytes, bytes] | None
        if outcome.outcome is OutcomeClass.REVOKED:
            named = _named(entity.old_cert)
            if entity.serial is not None and entity.issuer is not None:
                named = entity.serial, entity.issuer, entity.subject or b""
        else:
            named = None if part is None else _named(part.certificate)
        if named is not None:
            serial, issuer, subject = named
            yield Certified(
                number, entity.id, entity.cmd, serial, outcome.outcome, issuer, subject, server
            )


def _named(certificate: bytes | None) -> tuple[int, bytes, bytes] | None:
    """Serial number, issuer and subject; None where there are none, or can't be read."""
    try:
        if certificate is None:
            return None
        read = load_certificate(certificate)
        return read.serial_number, read.issuer.public_bytes(), read.subject.public_bytes()
    except (RemoteCmpError, ValueError):
        return None


async def main(descriptor: int) -> None:
    """Run a worker whose channel is an inherited socket."""
    allow_open_files()
    channel = SocketChannel(socket.socket(fileno=descriptor))
    with suppress(anyio.EndOfStream):
        await Generator(channel, SystemClock()).run()
    await channel.aclose()


if __name__ == "__main__":
    # both are the parent's to interpret: who stops a service signals all of its processes
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    loop.run(main, int(sys.argv[1]))
