"""A run by many machines: lots of its rows go to foremen, which do them under a lease each.

What a foreman does is durable in the journal, which is a database that all of them reach. What it
tells is for people: how the run stands. A lot whose foreman was lost goes to another one, without
the rows whose ends were told; the journal says what has become of the rest.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from typing import Final

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup

from bulkcmp.engine import log
from bulkcmp.engine.colleague import Colleague, Crew, WorkerError
from bulkcmp.engine.failure import first_error
from bulkcmp.engine.frame import (
    Drain,
    Failed,
    Frame,
    Halt,
    Logged,
    Lot,
    Order,
    Over,
    Proceed,
    Setup,
    Told,
)
from bulkcmp.engine.plan import Plan
from bulkcmp.errors import BulkcmpError, InputError, TransportError
from bulkcmp.io.clock import Clock
from bulkcmp.journal.lease import Shard
from bulkcmp.load.sharing import shares
from bulkcmp.model import BadRow, EndEntity, Operation, Secret
from bulkcmp.stats.progress import (
    Abandoned,
    AlreadyDone,
    Changed,
    Event,
    Finished,
    Held,
    Progress,
    Settled,
    Snapshot,
    Started,
)
from bulkcmp.waves.admission import Admission
from bulkcmp.waves.breaker import BreakerRules
from bulkcmp.waves.window import Windows

_TICK: Final = 0.2
"""Seconds between two snapshots."""

_LOTS: Final = 4
"""Lots for each machine, at least, so that all have something to do until the end."""

_SMALLEST: Final = 16
_LARGEST: Final = 4096
"""Rows of a lot."""

_LOSSES: Final = 3
"""Foremen that may be lost, besides one for each machine, before the run is given up."""


@dataclass(frozen=True, slots=True)
class Machines:
    """The machines for a run, and the database that they share.

    Attributes:
        join: has them work for us, each by one foreman, for as long as that is wanted.
        count: how many.
        each: processes of each, besides its foreman; 0 for as many as it should have.
        journal: URL of the database.
        term: seconds for which rows are a machine's after a sign of life.
    """

    join: Callable[[Callable[[str], None]], AbstractAsyncContextManager[Crew]]
    count: int
    each: int
    journal: str
    term: float


def check_shared(plan: Plan) -> None:
    """Make sure that many machines can do what is planned.

    Raises:
        InputError: it is for one machine alone.
    """
    hint = "leave it away, or run without --cluster"
    if plan.key_file is not None:
        raise InputError("--keys is for one machine: those of a cluster make keys", hint=hint)
    if plan.setup.save_messages:
        raise InputError("--save-messages is for one machine", hint=hint)
    if not plan.setup.anchors:
        raise InputError(
            "--trust-first-ca-cert is for one machine: each of a cluster would trust another",
            hint="give --trusted",
        )
    if plan.census is not None and len(plan.census.priorities) > 1:
        raise InputError("rows with a priority are for one machine", hint=hint)
    if plan.canary is not None:
        raise InputError("--canary is for one machine", hint=hint)


@dataclass(slots=True)
class _Attempt:
    """A lot that a foreman has in hand.

    Attributes:
        done: ids of rows whose ends it told.
        aside: what it told of rows without a transaction: another foreman would tell it again, so
            it counts once the lot is over.
        in_flight: transactions.
    """

    lot: Lot
    done: set[str] = field(default_factory=set)
    aside: list[Event] = field(default_factory=list)
    in_flight: int = 0


class _LostError(Exception):
    """A foreman is gone."""


class Campaign:
    """One session of a run by many machines.

    Args:
        rows: of the population, by their numbers.
        run_id: of the journal.
        key_pass: of its keys; None where they are not sealed.
        setup: for all workers of all machines together.
        breaker: when each machine is to send nothing to a CA that fails all; None for never.
        windows: outside of which nothing begins; None for none.
        is_paused: tells, whenever it is asked, whether somebody wants nothing to begin.
        clock: of all times.
        on_snapshot: told how the run stands, several times a second.
        on_notice: told, in plain English, of a machine that was lost.
        total: rows of the population, if they were counted.

    Attributes:
        given_up: why the run began nothing more before its end, by its own judgement; else empty.
    """

    def __init__(
        self,
        rows: Iterable[EndEntity | BadRow],
        machines: Machines,
        crew: Crew,
        run_id: str,
        key_pass: Secret | None,
        setup: Setup,
        *,
        breaker: BreakerRules | None = None,
        windows: Windows | None = None,
        is_paused: Callable[[], bool] = bool,
        clock: Clock,
        on_snapshot: Callable[[Snapshot], None],
        on_notice: Callable[[str], None],
        total: int | None,
    ) -> None:
        self._rows = iter(rows)
        self._crew = crew
        self._machines = machines
        self._order = partial(Order, machines.journal, run_id, machines.term, key_pass)
        self._setup = setup
        self._breaker = breaker
        self._admission = Admission(setup.concurrency, windows=windows)
        self._is_paused = is_paused
        self._own_hold: Held | None = None
        self._held: dict[Shard, Held] = {}
        self._clock = clock
        self._on_snapshot = on_snapshot
        self._on_notice = on_notice
        self._progress = Progress(clock.now(), total=total)
        self._counted = total is not None
        self._size = _LARGEST
        if total is not None:
            self._size = min(_LARGEST, max(_SMALLEST, total // (machines.count * _LOTS)))
        self._seen = 0
        self._reading = anyio.Lock()
        self._left: deque[Lot] = deque()
        self._under_way = 0
        self._foremen: list[Colleague] = []
        self._losses = 0
        self._heard = False
        self._news = anyio.Event()
        self._stopping = False
        self._failure: BulkcmpError | None = None
        self._scope = anyio.CancelScope()
        self.operations: set[Operation] = set()
        self.unreachable: TransportError | None = None
        self.unsaved = ""
        self.given_up = ""

    def stop(self) -> None:
        """Begin nothing more, and end what is under way."""
        self._stopping = True
        self._happen()
        for foreman in self._foremen:
            foreman.outbox.put(Drain())

    def abort(self) -> None:
        """Leave at once; what is under way is found in the journal."""
        self._stopping = True
        self._scope.cancel()

    def snapshot(self) -> Snapshot:
        return self._progress.snapshot(self._clock.now())

    async def execute(self) -> None:
        """Have the population worked through.

        Raises:
            BulkcmpError: a machine's journal, its keys or its workers failed, or no machine is
                left; what was durable stays.
        """
        try:
            with self._scope:
                async with anyio.create_task_group() as group:
                    # what holds it back holds from the beginning
                    self._decide()
                    group.start_soon(self._tick)
                    async with anyio.create_task_group() as crew:
                        for share in shares(self._setup.concurrency, self._machines.count):
                            crew.start_soon(self._lead, share, group)
                    group.cancel_scope.cancel()
        except BaseExceptionGroup as errors:
            raise first_error(errors) from errors
        finally:
            self._progress.end(self._clock.now())
            self._on_snapshot(self.snapshot())
        if self._failure is not None:
            raise self._failure

    def _fail(self, error: BulkcmpError) -> None:
        """Give the run up, but not what is under way: the CA may be about to issue."""
        if self._failure is None:
            self._failure = error
        self.stop()

    # --- lots -----------------------------------------------------------------------------------

    async def _next(self) -> Lot | None:
        """A lot to be done; None when nothing is left, or the run stops."""
        while not self._stopping:
            async with self._reading:
                if not self._left:
                    await self._read()
                if self._left and not self._stopping:
                    self._under_way += 1
                    return replace(self._left.popleft(), is_heard=self._heard)
            if not self._under_way:
                break
            # what is under way elsewhere may be lost
            await self._news.wait()
        return None

    async def _read(self) -> None:
        try:
            rows = await anyio.to_thread.run_sync(_take, self._rows, self._size)
        except BulkcmpError as error:
            self._fail(error)
            return
        if rows:
            self._seen += len(rows)
            self._left.append(Lot(Shard(rows[0].number, rows[-1].number + 1), rows, False))
        elif not self._counted:
            self._progress.set_total(self._seen)

    def _happen(self) -> None:
        self._news.set()
        self._news = anyio.Event()

    # --- foremen --------------------------------------------------------------------------------

    async def _lead(self, share: int, group: TaskGroup) -> None:
        """Have one lot after another done, by another foreman where one is lost."""
        while (lot := await self._next()) is not None:
            attempt = _Attempt(lot)
            try:
                foreman = await self._crew.hire(group)
            except WorkerError as error:
                self._put_back(attempt)
                self._fail(error)
                return
            try:
                await self._follow(foreman, share, attempt, group)
            except _LostError:
                self._lose(foreman)
            else:
                return
            finally:
                foreman.outbox.close()
                with anyio.CancelScope(shield=True):
                    await foreman.channel.aclose()

    async def _follow(
        self, foreman: Colleague, share: int, attempt: _Attempt, group: TaskGroup
    ) -> None:
        """Have a foreman do one lot after another.

        Raises:
            _LostError: it is gone; what it had in hand is put back.
        """
        host = foreman.host
        assert host is not None, "it is on another machine"
        setup = replace(
            self._setup, concurrency=share, rate=self._setup.rate / self._machines.count
        )
        workers = self._machines.each or host.workers
        foreman.outbox.put(self._order(setup, workers, host.silence, self._breaker))
        if self._own_hold is not None:
            foreman.outbox.put(Halt())
        group.start_soon(foreman.outbox.run)
        self._foremen.append(foreman)
        try:
            while True:
                if self._stopping:
                    self._put_back(attempt)
                    return
                foreman.outbox.put(attempt.lot)
                if not await self._is_done(foreman, attempt):
                    return
                lot = await self._next()
                if lot is None:
                    return
                attempt = _Attempt(lot)
        finally:
            self._foremen.remove(foreman)

    async def _is_done(self, foreman: Colleague, attempt: _Attempt) -> bool:
        """Take in what a foreman tells of a lot; False if it can't work.

        Raises:
            _LostError: it is gone; the lot is put back.
        """
        try:
            while True:
                for frame in await foreman.channel.receive():
                    match frame:
                        case Over():
                            self._end(attempt, frame)
                            return True
                        case Failed(what, hint, exit_code):
                            assert foreman.host is not None, "it is on another machine"
                            error = WorkerError(f"{foreman.host.name}: {what}", hint=hint)
                            error.exit_code = exit_code
                            self._put_back(attempt)
                            self._fail(error)
                            return False
                        case Logged():
                            assert foreman.host is not None, "it is on another machine"
                            log.write(frame, foreman.host.name)
                        case _:
                            self._take_in(attempt, frame)
        except anyio.EndOfStream:
            self._put_back(attempt)
            raise _LostError from None

    def _take_in(self, attempt: _Attempt, frame: Frame) -> None:
        if not isinstance(frame, Told):
            raise WorkerError(f"a foreman said {type(frame).__name__}")
        now = self._clock.now()
        for event in frame.events:
            match event:
                case Settled() | AlreadyDone():
                    attempt.aside.append(event)
                    continue
                case Changed(held):
                    self._hold(attempt, held)
                    continue
                case Started():
                    attempt.in_flight += 1
                case Abandoned(count):
                    attempt.in_flight -= count
                case Finished(outcomes, _):
                    attempt.in_flight -= 1
                    attempt.done.update(row_id for row_id, _ in outcomes)
                case _:
                    pass
            self._progress.feed(now, event)

    def _hold(self, attempt: _Attempt, held: Held | None) -> None:
        """A machine holds new transactions back, or no longer; one tells of all that do."""
        self._held.pop(attempt.lot.shard, None)
        if held is not None:
            self._held[attempt.lot.shard] = held
        self._tell_hold()

    def _tell_hold(self) -> None:
        held = self._own_hold or next(iter(self._held.values()), None)
        self._progress.held(self._clock.now(), held)

    def _decide(self) -> None:
        """Ask whether new transactions may begin, and have the foremen heed it."""
        self._admission.is_paused = self._is_paused()
        decision = self._admission.decide(self._clock.now(), self._clock.wall())
        hold = None if decision.hold is None else Held(decision.hold, decision.until)
        before, self._own_hold = self._own_hold, hold
        if hold != before:
            self._tell_hold()
        if (hold is None) is not (before is None):
            for foreman in self._foremen:
                foreman.outbox.put(Proceed() if hold is None else Halt())

    def _end(self, attempt: _Attempt, over: Over) -> None:
        self._hold(attempt, None)
        now = self._clock.now()
        for event in attempt.aside:
            self._progress.feed(now, event)
        self._under_way -= 1
        self.operations |= over.operations
        self._heard = self._heard or over.is_heard
        if over.loss is not None:
            self.unreachable = TransportError(over.loss, over.detail)
            self.stop()
        if over.given_up:
            self.given_up = over.given_up
            self.stop()
        self._happen()

    def _put_back(self, attempt: _Attempt) -> None:
        """A lot is to be done by another, but for the rows whose ends are known."""
        self._progress.abandoned(attempt.in_flight)
        self._hold(attempt, None)
        lot = attempt.lot
        # a bad row may have the id of a good one
        rows = (row for row in lot.rows if isinstance(row, BadRow) or row.id not in attempt.done)
        self._left.append(replace(lot, rows=tuple(rows)))
        self._under_way -= 1
        self._happen()

    def _lose(self, foreman: Colleague) -> None:
        assert foreman.host is not None, "it is on another machine"
        self._on_notice(f"{foreman.host.name} was lost; its rows go on elsewhere")
        self._losses += 1
        if self._losses > self._machines.count + _LOSSES:
            self._fail(
                WorkerError(
                    "machines of the cluster are lost again and again",
                    hint="look at the logs of its workers; bulkcmp resume goes on",
                )
            )

    async def _tick(self) -> None:
        """Heed what time alone brings, and show how the run stands."""
        while True:
            self._decide()
            self._on_snapshot(self.snapshot())
            await anyio.sleep(_TICK)


def _take(rows: Iterator[EndEntity | BadRow], count: int) -> tuple[EndEntity | BadRow, ...]:
    return tuple(islice(rows, count))
