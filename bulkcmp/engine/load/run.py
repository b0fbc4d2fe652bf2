"""A load test: the parent of its workers.

It keeps them supplied with end entities and keys, and takes in what they measured. It gives no
starts: each worker has its share of the schedule, and all have one clock.
"""

import itertools
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from math import inf
from typing import Final, Protocol

import anyio
from anyio.abc import TaskGroup

from bulkcmp.engine import log
from bulkcmp.engine.colleague import (
    PATIENCE,
    Colleague,
    Crew,
    WorkerError,
    dismiss,
    end,
    hire_processes,
)
from bulkcmp.engine.failure import first_error
from bulkcmp.engine.frame import (
    Assignment,
    Begin,
    Drain,
    Exhausted,
    Failed,
    Finished,
    Frame,
    Legacy,
    Logged,
    Ready,
    Report,
    Supply,
)
from bulkcmp.engine.load.watch import Watch
from bulkcmp.errors import BulkcmpError
from bulkcmp.io.clock import Clock
from bulkcmp.io.vitals import Vitals, vitals
from bulkcmp.load.scenario import Closed, Open
from bulkcmp.stats.health import Pulse
from bulkcmp.stats.record import Drop, TransactionRecord

_AHEAD: Final = 512
"""Supplies that a worker has in hand at most: so many that it never waits for the next."""

hire_generator: Final = hire_processes("bulkcmp.engine.load.generator")
"""Starts a worker in a process of its own."""

PROCESSES: Final = Crew(hire_generator)
"""Workers in processes of this machine."""


class Source(Protocol):
    """Where end entities and their keys come from."""

    async def next(self) -> Supply | None:
        """Those of the next lifecycle; None where there are no more.

        Raises:
            BulkcmpError: a row, or a key for it, can't be had.
        """
        ...


@dataclass(slots=True)
class _Hand:
    """A share of the load, and the worker that has it now.

    Attributes:
        supplies: that the worker has in hand; taken: so many were used up.
        under_way: step, and requests in it, of each lifecycle that was begun and has not ended.
    """

    assignment: Assignment
    colleague: Colleague
    supplies: deque[Supply] = field(default_factory=deque)
    taken: int = 0
    under_way: dict[int, tuple[int, int]] = field(default_factory=dict)
    is_ready: bool = False
    is_done: bool = False


class LoadRun:
    """One load test.

    Args:
        assignments: one for each worker.
        source: of end entities.
        clock: of all times.
        on_begin: told the Unix time from which all seconds count, before anything is measured.
        on_report: given all that is measured, in the order in which it comes.
        on_notice: told, in plain English, of a worker that was lost.
        crew: of workers, one for each assignment.
        read_vitals: of this process.

    Attributes:
        abandoned: transactions that were cut off.
    """

    def __init__(
        self,
        assignments: Sequence[Assignment],
        source: Source,
        clock: Clock,
        on_begin: Callable[[float], object],
        on_report: Callable[[Report], None],
        on_notice: Callable[[str], object],
        *,
        crew: Crew = PROCESSES,
        read_vitals: Callable[[], Vitals] = vitals,
    ) -> None:
        self._assignments = assignments
        self._source = source
        self._clock = clock
        self._on_begin = on_begin
        self._on_report = on_report
        self._on_notice = on_notice
        self._crew = crew
        self._watch = Watch("parent", clock, read_vitals)
        self._hands: list[_Hand] = []
        self._steps = {one.name: len(one.steps) for one in assignments[0].lifecycles}
        self._news = anyio.Event()
        self._is_primed = False
        self._is_exhausted = False
        self._begin_at: Begin | None = None
        self._losses = 0
        self._stopping = False
        self._stopped = inf
        self._failure: BulkcmpError | None = None
        self._scope = anyio.CancelScope()
        self.abandoned = 0

    @property
    def unused(self) -> tuple[Supply, ...]:
        """What the source gave, and no worker took, by its numbers."""
        left = (supply for hand in self._hands for supply in hand.supplies)
        return tuple(sorted(left, key=lambda one: one.number))

    def stop(self) -> None:
        """Begin nothing more, and drain what is under way."""
        if not self._stopping and self._begin_at is not None:
            self._stopped = self._since(self._begin_at)
        self._stopping = True
        self._news.set()
        for hand in self._hands:
            hand.colleague.outbox.put(Drain())

    def abort(self) -> None:
        """Leave at once; what was measured until now stays."""
        self._stopping = True
        self._scope.cancel()

    async def execute(self) -> None:
        """Run it to its end.

        Raises:
            BulkcmpError: a worker, a row or a key failed, or the server can't be reached.
        """
        try:
            with self._scope:
                async with anyio.create_task_group() as group:
                    async with anyio.create_task_group() as listening:
                        for assignment in self._assignments:
                            hand = _Hand(assignment, await self._crew.hire(listening))
                            self._hands.append(hand)
                            self._start(hand, listening)
                        group.start_soon(self._feed)
                        await self._begin(group)
                        await self._until(lambda: all(hand.is_done for hand in self._hands))
                        # who has not ended by then is made to
                        listening.cancel_scope.deadline = anyio.current_time() + PATIENCE
                    group.cancel_scope.cancel()
        except BaseExceptionGroup as errors:
            raise first_error(errors) from errors
        finally:
            with anyio.CancelScope(shield=True):
                await dismiss(hand.colleague for hand in self._hands)
        if self._failure is not None:
            raise self._failure

    async def _begin(self, group: TaskGroup) -> None:
        """Give the word once all workers are there, and have what they begin with."""

        def may_begin() -> bool:
            return self._is_primed and all(hand.is_ready for hand in self._hands)

        await self._until(lambda: self._stopping or may_begin())
        if self._stopping:
            return
        at = anyio.current_time() + self._crew.lead
        self._begin_at = Begin(at)
        for hand in self._hands:
            hand.colleague.outbox.put(self._begin_at)
        epoch = self._clock.unix(at)
        self._on_begin(epoch)
        self._watch.begin(epoch, self._note_pulse)
        group.start_soon(self._watch.run)

    def _note_pulse(self, pulse: Pulse) -> None:
        self._on_report(Report(records=(pulse,)))

    def _fail(self, error: BulkcmpError) -> None:
        if self._failure is None:
            self._failure = error
        self.stop()

    async def _until(self, is_so: Callable[[], bool]) -> None:
        while not is_so():
            if self._news.is_set():
                self._news = anyio.Event()
            await self._news.wait()

    # --- supplies -------------------------------------------------------------------------------

    async def _feed(self) -> None:
        try:
            for number in itertools.count():
                await self._have_room(number)
                supply = None if self._stopping else await self._source.next()
                if supply is None:
                    break
                hand = self._next_hand(number)
                hand.supplies.append(supply)
                hand.colleague.outbox.put(supply)
        except BulkcmpError as error:
            self._fail(error)
        self._prime()
        self._is_exhausted = True
        for hand in self._hands:
            hand.colleague.outbox.put(Exhausted())

    async def _have_room(self, number: int) -> None:
        def has_room() -> bool:
            return self._stopping or len(self._next_hand(number).supplies) < _AHEAD

        if not has_room():
            self._prime()
            await self._until(has_room)

    def _prime(self) -> None:
        """What workers begin with is there."""
        self._is_primed = True
        self._news.set()

    def _next_hand(self, number: int) -> _Hand:
        """Who gets a supply."""
        if isinstance(self._assignments[0].shape, Open):
            # the plan deals arrivals out in turn, and this is for the arrival of its number
            return self._hands[number % len(self._hands)]
        return min(self._hands, key=lambda one: len(one.supplies))

    # --- workers --------------------------------------------------------------------------------

    def _start(self, hand: _Hand, tasks: TaskGroup, legacy: Legacy | None = None) -> None:
        """Let a worker have its share, and tell it what it missed of what the others were told."""
        colleague = hand.colleague
        put = colleague.outbox.put
        put(replace(hand.assignment, host=colleague.host, legacy=legacy))
        for supply in hand.supplies:
            put(supply)
        if self._is_exhausted:
            put(Exhausted())
        if self._begin_at is not None:
            put(self._begin_at)
        if self._stopping:
            put(Drain())
        tasks.start_soon(colleague.outbox.run)
        tasks.start_soon(self._listen, hand, tasks)

    async def _listen(self, hand: _Hand, tasks: TaskGroup) -> None:
        colleague = hand.colleague
        with suppress(anyio.EndOfStream):
            while True:
                for frame in await colleague.channel.receive():
                    self._take_in(hand, frame)
        colleague.outbox.close()
        await colleague.channel.aclose()
        if colleague.process is not None:
            await end(colleague.process)
        if not hand.is_done:
            try:
                await self._replace(hand, tasks)
            except WorkerError as error:
                self._fail(error)
                hand.is_done = True
        self._news.set()

    async def _replace(self, hand: _Hand, tasks: TaskGroup) -> None:
        """Let another worker go on with the share of one that is lost.

        Raises:
            WorkerError: none can be had, or too many were lost.
        """
        if self._begin_at is None:
            raise WorkerError(
                "a worker died before the beginning",
                hint="is there enough memory? Nothing was under way; begin again",
            )
        if self._failure or self._losses == len(self._assignments):
            raise WorkerError(
                "a worker died, and what it had under way is not known",
                hint="is there enough memory? What was measured is in the run folder",
            )
        self._losses += 1
        # clients tell what they begin before they do, and that is lost with another machine only
        is_told = isinstance(hand.assignment.shape, Closed) and hand.colleague.host is None
        legacy = Legacy(
            self._since(self._begin_at),
            tuple((number, *left) for number, left in hand.under_way.items()),
            hand.taken,
            0 if is_told else len(hand.supplies),
        )
        name = f"worker {hand.assignment.place + 1}"
        if hand.colleague.host is not None:
            name += f" on {hand.colleague.host.name}"
        self._on_notice(
            f"{name} was lost; another goes on, and what came of the transactions that it had"
            " under way is not known"
        )
        hand.colleague = await self._crew.hire(tasks)
        self._start(hand, tasks, replace(legacy, stopped=self._stopped))

    def _since(self, begin: Begin) -> float:
        return self._clock.now() - self._clock.unix(begin.at)

    def _take_in(self, hand: _Hand, frame: Frame) -> None:
        match frame:
            case Ready():
                hand.is_ready = True
            case Report(taken=taken):
                for _ in range(taken):
                    supply = hand.supplies.popleft()
                    hand.under_way[supply.number] = 0, len(supply.members)
                hand.taken += taken
                self._follow(hand, frame)
                self._on_report(frame)
            case Logged():
                host = hand.colleague.host
                log.write(frame, "" if host is None else host.name)
            case Finished(abandoned):
                hand.is_done = True
                self.abandoned += abandoned
            case Failed(what, hint, exit_code):
                error = WorkerError(what, hint=hint)
                error.exit_code = exit_code
                self._fail(error)
            case _:
                raise WorkerError(f"a worker said {type(frame).__name__}")
        self._news.set()

    def _follow(self, hand: _Hand, report: Report) -> None:
        """Keep in mind which lifecycles are under way."""
        for record in report.records:
            match record:
                case TransactionRecord(arrival=number, step=step):
                    left = sum(one.requests for one in record.endings if one.outcome.is_done)
                    if left and step + 1 < self._steps[record.lifecycle]:
                        hand.under_way[number] = step + 1, left
                    else:
                        hand.under_way.pop(number, None)
                case Drop(arrival=number):
                    hand.under_way.pop(number, None)
