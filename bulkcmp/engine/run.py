"""A run over a population: the parent of the workers.

It reads the population, hands out rows with their keys, owns the journal, and counts. All that
workers want durable passes through one writer, which puts what has gathered into one commit.
"""

import datetime as dt
import hashlib
import logging
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from types import MappingProxyType
from typing import Final

import anyio
import anyio.abc
import anyio.to_thread
from anyio.abc import TaskGroup

from bulkcmp.cmp.outcomes import STOPPED
from bulkcmp.engine import log
from bulkcmp.engine.colleague import (
    PATIENCE,
    Colleague,
    Hire,
    WorkerError,
    dismiss,
    end,
    hire_processes,
)
from bulkcmp.engine.failure import first_error
from bulkcmp.engine.frame import (
    Done,
    Drain,
    Fact,
    Failed,
    Frame,
    Halt,
    Logged,
    Member,
    Pinned,
    Proceed,
    Record,
    Recorded,
    Returned,
    Setback,
    Setup,
    Task,
    Unreachable,
    Unsaved,
)
from bulkcmp.engine.gathering import Gathering, Reunion
from bulkcmp.engine.keys import KeySource, with_key
from bulkcmp.engine.priority import by_priority
from bulkcmp.engine.resumption import Resumption, resumption, still_in_doubt
from bulkcmp.errors import BulkcmpError, TransportError
from bulkcmp.io.clock import Clock
from bulkcmp.journal.entry import Advanced, Begun, Ended, Entry, RowState, Skipped
from bulkcmp.journal.journal import Journal
from bulkcmp.load.sharing import shares
from bulkcmp.model import BadRow, EndEntity, Operation, Outcome, OutcomeClass
from bulkcmp.stats.progress import Held, Progress, Snapshot
from bulkcmp.waves.admission import Admission, Decision, Hold
from bulkcmp.waves.breaker import Breaker, BreakerRules, Word, word_of
from bulkcmp.waves.canary import Canary, told_apart
from bulkcmp.waves.window import Windows

_CHUNK: Final = 64
"""Rows read by one visit to the reading thread."""

_TICK: Final = 0.2
"""Seconds between two snapshots."""

_RESTARTS: Final = 3
"""Workers that may die in a run before it is given up."""


_NOT_HEARD: Final = frozenset({OutcomeClass.LOCAL_ERROR, OutcomeClass.TO_DO})
"""Outcomes of a row that did not come to the server."""


_UNSENT: Final = frozenset({OutcomeClass.TO_DO, OutcomeClass.NOT_SENT})
"""Outcomes of a row whose request the server has certainly not acted on."""

hire_process: Final = hire_processes("bulkcmp.engine.worker")
"""Starts a worker in a process of its own."""


class Run:
    """One session of a run.

    Args:
        rows: of the population; can be streamed several times.
        journal: unlocked.
        keys: gives rows keys of their own; None where none needs one.
        setup: for each worker; `concurrency` is that of all together.
        workers: how many.
        clock: of all times.
        priorities: the distinct priorities of the population, if it has the column.
        resumed: the journal has rows of an earlier session.
        hire: starts a worker.
        on_snapshot: told how the run stands, several times a second.
        total: rows of the population, if they were counted.
        progress: told what happens; makes the snapshots.
        reached: the server was heard of before.
        breaker: when to send nothing to a CA that fails all; None for never.
        on_ended: told of rows whose ends are durable.
        windows: outside of which nothing begins; None for none.
        canary: what goes first, and decides on the rest; None for nothing.
        usable: good rows of each priority; needed for a canary.
        is_paused: tells, whenever it is asked, whether somebody wants nothing to begin.
        tell: takes the lines of the log.

    Attributes:
        given_up: why the run began nothing more before its end, by its own judgement; else empty.
        canary_failed: that is why: too many of the first rows failed.
    """

    def __init__(
        self,
        rows: Iterable[EndEntity | BadRow],
        journal: Journal,
        keys: KeySource | None,
        setup: Setup,
        *,
        workers: int,
        clock: Clock,
        on_snapshot: Callable[[Snapshot], None],
        total: int | None = None,
        priorities: tuple[int | None, ...] = (),
        resumed: bool = False,
        retry_unknown: bool = False,
        retry_failed: bool = False,
        hire: Hire = hire_process,
        progress: Progress | None = None,
        reached: bool = False,
        breaker: BreakerRules | None = None,
        on_ended: Callable[[Sequence[Ended]], None] | None = None,
        windows: Windows | None = None,
        canary: Canary | None = None,
        usable: Mapping[int | None, int] = MappingProxyType({}),
        is_paused: Callable[[], bool] = bool,
        tell: Callable[[Logged], None] = log.write,
    ) -> None:
        self._tell = tell
        self._rows = rows
        self._journal = journal
        self._keys = keys
        if not setup.anchors and journal.anchor is not None:
            # pinned by an earlier session
            setup = replace(setup, anchors=(journal.anchor,))
        self._setup = setup
        self._shares = shares(setup.concurrency, workers)
        self._clock = clock
        self._priorities = priorities
        self._resumed = resumed
        self._retry_unknown = retry_unknown
        self._retry_failed = retry_failed
        self._hire = hire
        self._on_snapshot = on_snapshot
        self._progress = progress or Progress(clock.now(), total=total)
        self._counted = total is not None
        self._seen = 0
        self._gathering = Gathering(setup.certs_per_message)
        self._reunions: dict[bytes, Reunion] = {}
        self._colleagues: list[Colleague] = []
        self._deaths = 0
        self._entries: list[tuple[Entry | None, Callable[[], None]]] = []
        self._written = anyio.Event()
        self._breaker = None if breaker is None else Breaker(breaker, worked=reached)
        self._admission = Admission(sum(map(_in_hand, self._shares)), self._breaker, windows)
        self._canary = canary
        self._usable = usable
        self._is_paused = is_paused
        self._decision = Decision(1)
        self._shown: Held | None = None
        self._is_fed = False
        self._waiting: deque[Task] = deque()
        self._probe: int | None = None
        self._open = 0
        self._news = anyio.Event()
        self._reached = reached
        self._on_ended = on_ended
        self._stopping = False
        self._all_done = False
        self._failure: BulkcmpError | None = None
        self.aborted = False
        self._scope = anyio.CancelScope()
        self.operations: set[Operation] = set()
        self.unreachable: TransportError | None = None
        self.unsaved = ""
        self.given_up = ""
        self.canary_failed = False

    @property
    def stopping(self) -> bool:
        return self._stopping

    @property
    def reached(self) -> bool:
        """The server was heard of."""
        return self._reached

    @property
    def interrupted(self) -> bool:
        """The user stopped the run, not a server that can't be reached or a failure."""
        own = self.unreachable is not None or self._failure is not None or self.given_up
        return self._stopping and not own

    def stop(self) -> None:
        """Begin nothing more, and end what is under way."""
        self._stopping = True
        self._news.set()
        for colleague in self._colleagues:
            colleague.outbox.put(Drain())

    def abort(self) -> None:
        """Leave at once; what is under way is found in the journal."""
        self._stopping = True
        self.aborted = True
        self._journal.hurry()
        self._scope.cancel()

    def snapshot(self) -> Snapshot:
        return self._progress.snapshot(self._clock.now())

    async def execute(self) -> None:
        """Work through the population.

        Raises:
            BulkcmpError: the journal, a key source or the workers failed; what was durable stays.
        """
        try:
            with self._scope:
                async with anyio.create_task_group() as group:
                    group.start_soon(self._write)
                    group.start_soon(self._tick)
                    async with anyio.create_task_group() as crew:
                        await self._work_through(crew)
                    group.cancel_scope.cancel()
        except BaseExceptionGroup as errors:
            raise first_error(errors) from errors
        finally:
            with anyio.CancelScope(shield=True):
                await dismiss(self._colleagues)
            if self._keys is not None:
                self._progress.waited_for_keys(self._keys.starved)
            self._progress.end(self._clock.now())
            self._on_snapshot(self.snapshot())
        if self._failure is not None:
            raise self._failure

    async def _work_through(self, crew: TaskGroup) -> None:
        for share in self._shares:
            await self._start_worker(share, crew)
        try:
            await self._feed()
        except BulkcmpError as error:
            # the rows that were handed out have all that they need
            self._failure = self._failure or error
        self._is_fed = True
        await self._finish()
        self._all_done = True
        for colleague in self._colleagues:
            colleague.outbox.put(Drain())
            colleague.outbox.close()
        # nothing is left to do: who has not ended by then is made to
        crew.cancel_scope.deadline = anyio.current_time() + PATIENCE

    def _say(self, event: str, *, level: int = logging.INFO, **facts: Fact) -> None:
        """Log what is of no transaction alone."""
        if self._setup.verbosity:
            self._tell(Logged(self._clock.now(), level, event, facts))

    def _fail(self, error: BulkcmpError) -> None:
        """Give the run up, but not what is under way: the CA may be about to issue."""
        if self._failure is None:
            self._failure = error
        self.stop()

    # --- rows -----------------------------------------------------------------------------------

    async def _feed(self) -> None:
        size = await self._canary_size()
        if size:
            chosen = told_apart(self._in_order(), self._usable, size)
            await self._feed_rows(row for row, is_canary in chosen if is_canary)
            await self._await_canary(size)
            chosen = told_apart(self._in_order(), self._usable, size)
            await self._feed_rows(row for row, is_canary in chosen if not is_canary)
        else:
            await self._feed_rows(self._in_order())
        # rows that went in one message go on together, or not at all
        for reunion in self._reunions.values():
            for state in reunion.states:
                self._progress.already_done(state.outcome)
        if not self._stopping and not self._counted:
            self._progress.set_total(self._seen)

    def _in_order(self) -> Iterator[EndEntity | BadRow]:
        return by_priority(self._rows, self._priorities) if self._priorities else iter(self._rows)

    async def _feed_rows(self, rows: Iterator[EndEntity | BadRow]) -> None:
        while not self._stopping:
            chunk = await anyio.to_thread.run_sync(_take, rows)
            if not chunk:
                break
            await self._feed_chunk(chunk)
        await self._hand_out_gathered(self._gathering.rest())

    async def _canary_size(self) -> int:
        """How many rows go first; none where others were taken up by an earlier session."""
        if self._canary is None or not self._usable:
            return 0
        size = self._canary.size(sum(self._usable.values()))
        if self._resumed and await anyio.to_thread.run_sync(self._journal.count) > size:
            return 0
        return size

    async def _await_canary(self, size: int) -> None:
        """Wait until the first rows are over, and end the run where too many of them failed."""
        assert self._canary is not None, "there are first rows"
        self._admission.awaits_canary = True
        await self._finish()
        failed = self._progress.failed
        if not self._stopping and not self._canary.passes(size, failed):
            self.canary_failed = True
            self.given_up = (
                f"{failed} of the {size} first rows failed, more than --canary-failures"
                f" {self._canary.failures}; bulkcmp resume --retry-failed tries them again, and"
                " with --canary 0 the others go on without"
            )
            self._say("givenUp", level=logging.ERROR, detail=self.given_up)
            self.stop()
            return
        self._admission.awaits_canary = False
        self._decide()

    async def _finish(self) -> None:
        """Hand out what waits, and wait until nothing is left of it."""
        while self._open or (self._waiting and not self._stopping):
            await self._hand_out_waiting()
            if self._open:
                await self._something_happens()

    async def _feed_chunk(self, chunk: list[EndEntity | BadRow]) -> None:
        self._seen += len(chunk)
        states: dict[int, RowState] = {}
        if self._resumed:
            numbers = [row.number for row in chunk]
            states = await anyio.to_thread.run_sync(self._journal.states, numbers)
        rejected = False
        for row in chunk:
            if self._stopping:
                break
            state = states.get(row.number)
            if isinstance(row, BadRow):
                rejected = self._reject(row, state) or rejected
                continue
            self.operations.add(row.cmd)
            resumed = None if state is None else self._resumption(state)
            if state is not None and resumed is Resumption.SKIP:
                self._progress.already_done(state.outcome)
            elif state is not None and resumed is Resumption.GO_ON:
                await self._reunite(row, state)
            else:
                member = await self._member(row, state)
                await self._hand_out_gathered(self._gathering.add(member))
        if rejected:
            await self._durable()

    def _reject(self, row: BadRow, state: RowState | None) -> bool:
        """Record a bad row; False if an earlier session did."""
        if state is not None:
            self._progress.already_done(state.outcome)
            return False
        entry = Skipped(row, dt.datetime.fromtimestamp(self._clock.now(), dt.UTC))
        self._record(
            entry, lambda: self._progress.settled(self._clock.now(), row.id, entry.outcome)
        )
        return True

    def _resumption(self, state: RowState) -> Resumption:
        return resumption(state, retry_unknown=self._retry_unknown, retry_failed=self._retry_failed)

    async def _reunite(self, row: EndEntity, state: RowState) -> None:
        """Hand out the transaction that a row goes on with, once all rows of it are there."""
        checkpoint = state.checkpoint
        assert checkpoint is not None, "what goes on has begun"
        reunion = self._reunions.get(checkpoint.transaction_id)
        if reunion is None:
            numbers = [part.number for part in checkpoint.parts]
            states = await anyio.to_thread.run_sync(self._journal.states, numbers)
            expected = frozenset(
                number
                for number, one in states.items()
                if self._resumption(one) is Resumption.GO_ON
                # not begun anew since
                and one.checkpoint == checkpoint
            )
            reunion = self._reunions[checkpoint.transaction_id] = Reunion(checkpoint, expected)
        reunion.add(await self._member(row, state), state)
        if reunion.is_complete:
            del self._reunions[checkpoint.transaction_id]
            await self._hand_out(reunion.task())

    async def _hand_out_gathered(self, groups: Iterable[tuple[Member, ...]]) -> None:
        for members in groups:
            await self._hand_out(Task(members))

    async def _member(self, row: EndEntity, state: RowState | None) -> Member:
        if state is None:
            return await with_key(row, None, self._keys)
        member = await with_key(row, state.key, self._keys)
        return replace(member, repeats=state.may_be_done)

    async def _hand_out(self, task: Task) -> None:
        self._waiting.append(task)
        await self._hand_out_waiting()

    async def _hand_out_waiting(self) -> None:
        """Hand out what waits, as far as it may begin, those first that came back."""
        while self._waiting and not self._stopping:
            decision = self._decide()
            if self._open >= decision.most or not self._may_begin(self._waiting[0], decision):
                await self._something_happens()
                continue
            task = self._waiting.popleft()
            self._open += 1
            self._give(task)

    def _may_begin(self, task: Task, decision: Decision) -> bool:
        # what goes on is under way
        return not decision.halts or decision.probe or task.checkpoint is not None

    def _decide(self) -> Decision:
        """Ask what may begin now, and have the workers heed it."""
        now = self._clock.now()
        self._admission.is_known = self._reached and bool(self._setup.anchors)
        self._admission.is_paused = self._is_paused()
        before, self._decision = self._decision, self._admission.decide(now, self._clock.wall())
        if (held := self._held()) != self._shown:
            self._shown = held
            self._progress.held(now, held)
        if self._decision.halts is not before.halts:
            for colleague in self._colleagues:
                colleague.outbox.put(Halt() if self._decision.halts else Proceed())
        if self._decision != before:
            self._news.set()
        return self._decision

    def _held(self) -> Held | None:
        """What holds the rest of the rows back."""
        hold, until = self._decision.hold, self._decision.until
        if hold is None or (hold is Hold.WINDOW and self._is_fed and not self._waiting):
            # a window that closes behind the last row keeps nobody waiting
            return None
        why = self._breaker.why if self._breaker and hold is Hold.CIRCUIT else ""
        return Held(hold, until, why)

    def _give(self, task: Task) -> None:
        """Give a task to the worker that is the farthest from having its hands full."""
        colleague = min(self._colleagues, key=lambda one: len(one.tasks) - one.share)
        is_probe = self._decision.probe and task.checkpoint is None
        if is_probe and self._breaker is not None:
            self._probe = task.number
            self._breaker.probing()
        if (task.first, task.probe) != (not self._reached, is_probe):
            task = replace(task, first=not self._reached, probe=is_probe)
        colleague.tasks[task.number] = task
        colleague.outbox.put(task)

    def _release(self, colleague: Colleague, number: int) -> None:
        del colleague.tasks[number]
        colleague.started.discard(number)
        colleague.asking.discard(number)
        self._open -= 1
        if number == self._probe:
            self._probe = None
            if self._breaker is not None:
                self._breaker.untold(self._clock.now())
        self._news.set()

    async def _something_happens(self) -> None:
        """Wait until a row is over, the server was heard of, or the run stops."""
        self._news = anyio.Event()
        await self._news.wait()

    # --- workers --------------------------------------------------------------------------------

    async def _start_worker(self, share: int, crew: TaskGroup) -> None:
        colleague = await self._hire(crew)
        colleague.share = share
        self._colleagues.append(colleague)
        colleague.outbox.put(replace(self._setup, concurrency=share))
        if self._decision.halts:
            colleague.outbox.put(Halt())
        crew.start_soon(colleague.outbox.run)
        crew.start_soon(self._listen, colleague, crew)

    async def _listen(self, colleague: Colleague, crew: TaskGroup) -> None:
        with suppress(anyio.EndOfStream):
            while True:
                for frame in await colleague.channel.receive():
                    self._take_in(colleague, frame)
        colleague.outbox.close()
        await colleague.channel.aclose()
        if colleague.process is not None:
            await end(colleague.process)
        # what it said last decides what it leaves behind
        await self._durable()
        if colleague.tasks or not (self._all_done or self._stopping):
            await self._replace(colleague, crew)
        else:
            self._colleagues.remove(colleague)

    def _take_in(self, colleague: Colleague, frame: Frame) -> None:
        match frame:
            case Record(number, entry):
                self._start(colleague, number)
                if isinstance(entry, Ended):
                    (entry,) = self._remembered(colleague, number, [entry])
                self._note(colleague, number, entry)
                self._record(entry, lambda: self._recorded(colleague, number, entry))
            case Done(number, ended):
                self._start(colleague, number)
                if any(one.outcome.outcome not in _NOT_HEARD for one in ended):
                    self._reach()
                again = self._unsent(colleague, number, ended)
                self._judge(colleague, number, ended)
                *others, last = ended = self._remembered(colleague, number, ended)
                for one in others:
                    self._record(one, _nothing)
                self._record(last, lambda: self._done(colleague, number, ended, again))
            case Setback(number, reason):
                if self._breaker is not None:
                    now, is_probe = self._clock.now(), number == self._probe
                    self._breaker.failed(now, reason, is_probe=is_probe)
                    self._heed()
            case Returned(number):
                task = colleague.tasks[number]
                self._release(colleague, number)
                self._waiting.appendleft(task)
            case Unreachable(number, loss, detail):
                self._start(colleague, number)
                self._progress.abandoned()
                self._release(colleague, number)
                self.unreachable = TransportError(loss, detail)
                self._say("unreachable", level=logging.ERROR, loss=loss.value, detail=detail)
                self.stop()
            case Unsaved(what):
                self.unsaved = self.unsaved or what
                self._say("unsaved", level=logging.WARNING, detail=what)
            case Logged():
                self._tell(frame)
            case Failed(what, hint, exit_code):
                error = WorkerError(what, hint=hint)
                error.exit_code = exit_code
                self._fail(error)
            case _:
                raise WorkerError(f"a worker said {type(frame).__name__}")

    def _start(self, colleague: Colleague, number: int) -> None:
        """A worker is at work on a task: whatever it says of it the first time tells that."""
        if number not in colleague.started:
            colleague.started.add(number)
            self._progress.started(self._clock.now())

    def _note(self, colleague: Colleague, number: int, entry: Entry) -> None:
        """What a worker wants durable tells of the server, too."""
        match entry:
            case Begun():
                colleague.asking.add(number)
            case Advanced():
                self._reach()
                if number in colleague.asking:
                    colleague.asking.discard(number)
                    self._answered()
            case Ended():
                self._judge(colleague, number, [entry])
            case _:
                pass

    def _judge(self, colleague: Colleague, number: int, ended: Sequence[Ended]) -> None:
        """What the end of a request that was not answered before says of the server."""
        if self._breaker is None or number not in colleague.asking:
            return
        colleague.asking.discard(number)
        now, is_probe = self._clock.now(), number == self._probe
        words = {word_of(one.outcome): one.outcome for one in ended}
        if Word.ANSWERED in words:
            self._answered()
        elif (outcome := words.get(Word.FAILED)) is not None:
            self._breaker.failed(now, _why(outcome), is_probe=is_probe)
        elif (outcome := words.get(Word.REFUSED)) is not None:
            credential = _credential(colleague.tasks[number])
            self._breaker.refused(now, credential, _why(outcome), is_probe=is_probe)
        self._heed()

    def _answered(self) -> None:
        if self._breaker is not None:
            self._breaker.answered()
            self._heed()

    def _heed(self) -> None:
        """Do what the breaker's newest state asks for."""
        assert self._breaker is not None, "who tells it something has it"
        if self._breaker.is_given_up and not self._stopping:
            self.given_up = (
                f"the CA fails all that it is asked ({self._breaker.why}); bulkcmp resume goes on"
                " once it works"
            )
            self._say("givenUp", level=logging.ERROR, detail=self.given_up)
            self.stop()
        self._decide()

    def _unsent(
        self, colleague: Colleague, number: int, ended: Sequence[Ended]
    ) -> tuple[Member, ...]:
        """The rows of a task that is over which go again by themselves: they were held back before
        they were sent, or did not get through to a server that is away."""
        if self._stopping:
            return ()
        away = self._decision.halts
        numbers = {
            one.number
            for one in ended
            if one.outcome.outcome in _UNSENT and (away or one.outcome.reason == STOPPED)
        }
        is_durable = number in colleague.asking
        return tuple(
            replace(member, key_is_new=member.key_is_new and not is_durable)
            for member in colleague.tasks[number].members
            if member.entity.number in numbers
        )

    def _remembered(
        self, colleague: Colleague, number: int, ended: Sequence[Ended]
    ) -> tuple[Ended, ...]:
        """The ends of a task's rows, with what earlier transactions of theirs left in doubt."""
        members = colleague.tasks[number].members
        repeated = {member.entity.number for member in members if member.repeats}
        return tuple(still_in_doubt(one) if one.number in repeated else one for one in ended)

    def _recorded(self, colleague: Colleague, number: int, entry: Entry) -> None:
        """What a worker wanted durable is so."""
        if isinstance(entry, Advanced) and entry.checkpoint.anchor and not self._setup.anchors:
            # before anything else is sent: all that follows is held to it
            self._setup = replace(self._setup, anchors=(entry.checkpoint.anchor,))
            for one in self._colleagues:
                one.outbox.put(Pinned(entry.checkpoint.anchor))
            digest = hashlib.sha256(entry.checkpoint.anchor).hexdigest()
            self._say("pinned", level=logging.WARNING, sha256=digest)
            self._news.set()
        colleague.outbox.put(Recorded(number))

    def _reach(self) -> None:
        if not self._reached:
            self._reached = True
            self._news.set()

    def _done(
        self,
        colleague: Colleague,
        number: int,
        ended: Sequence[Ended],
        again: tuple[Member, ...],
    ) -> None:
        """The end of a task is durable; some of its rows may go again."""
        left = {member.entity.number for member in again}
        outcomes = [
            (one.id, one.outcome)
            for one in ended
            if one.outcome.outcome is not OutcomeClass.TO_DO and one.number not in left
        ]
        if outcomes:
            self._progress.finished(self._clock.now(), outcomes, ended[-1].timings)
        else:
            self._progress.abandoned()
        if self._on_ended is not None:
            self._on_ended(ended)
        self._release(colleague, number)
        if again:
            self._waiting.appendleft(Task(again))

    async def _replace(self, dead: Colleague, crew: TaskGroup) -> None:
        """A worker died: another takes over what it had in hand, by the rules of `resume`."""
        self._deaths += 1
        self._say("workerLost", level=logging.WARNING, tasks=len(dead.tasks))
        if self._deaths > _RESTARTS:
            self._fail(
                WorkerError(
                    "worker processes die again and again",
                    hint="is there enough memory? bulkcmp resume goes on",
                )
            )
        if not self._stopping:
            try:
                await self._start_worker(dead.share, crew)
            except WorkerError as error:
                self._fail(error)
        # nothing more is given to it from here on
        self._colleagues.remove(dead)
        tasks = tuple(dead.tasks.items())
        numbers = [member.entity.number for _, task in tasks for member in task.members]
        states = await anyio.to_thread.run_sync(self._journal.take_over, numbers)
        for number, task in tasks:
            if number in dead.started:
                self._progress.abandoned()
            again: list[Task] = []
            try:
                again = await self._taken_over(task, states)
            except BulkcmpError as error:
                self._fail(error)
            self._release(dead, number)
            self._waiting.extendleft(reversed(again))

    async def _taken_over(self, task: Task, states: Mapping[int, RowState]) -> list[Task]:
        """What is to be done for the rows of a task whose worker died."""
        going_on: dict[bytes, Reunion] = {}
        anew: list[Member] = []
        for member in task.members:
            entity = member.entity
            state = states.get(entity.number)
            if state is None:
                anew.append(member)
                continue
            match self._resumption(state):
                case Resumption.SKIP:
                    outcome = Outcome(state.outcome, "its worker died")
                    self._progress.settled(self._clock.now(), entity.id, outcome)
                case Resumption.ANEW:
                    anew.append(await self._member(entity, state))
                case Resumption.GO_ON:
                    assert state.checkpoint is not None, "what goes on has begun"
                    key = state.checkpoint.transaction_id
                    reunion = going_on.setdefault(key, Reunion(state.checkpoint))
                    reunion.add(await self._member(entity, state), state)
        tasks = [reunion.task() for reunion in going_on.values()]
        # where nothing began, the task is what it was
        return [*tasks, replace(task, members=tuple(anew), checkpoint=None)] if anew else tasks

    # --- journal and display --------------------------------------------------------------------

    async def _write(self) -> None:
        while True:
            await self._written.wait()
            self._written = anyio.Event()
            batch, self._entries = self._entries, []
            entries = [entry for entry, _ in batch if entry is not None]
            if entries:
                began = self._clock.now()
                await anyio.to_thread.run_sync(self._journal.write, entries)
                if self._setup.verbosity >= log.ALL:
                    ms = round((self._clock.now() - began) * 1e3, 3)
                    self._say("committed", level=logging.DEBUG, entries=len(entries), ms=ms)
            for _, then in batch:
                then()

    def _record(self, entry: Entry | None, then: Callable[[], None]) -> None:
        """Call `then` once `entry` is in the journal."""
        self._entries.append((entry, then))
        self._written.set()

    async def _durable(self) -> None:
        """Return when all that was given so far is in the journal."""
        committed = anyio.Event()
        self._record(None, committed.set)
        await committed.wait()

    async def _tick(self) -> None:
        """Heed what time alone brings, and show how the run stands."""
        while True:
            self._decide()
            self._on_snapshot(self.snapshot())
            await anyio.sleep(_TICK)


def _nothing() -> None:
    pass


def _why(outcome: Outcome) -> str:
    return f"{outcome.outcome.value}: {outcome.reason}" if outcome.reason else outcome.outcome.value


def _credential(task: Task) -> Hashable:
    """What protects the messages of a task."""
    entity = task.members[0].entity
    return entity.ref, entity.secret, entity.cert


def _take(rows: Iterator[EndEntity | BadRow]) -> list[EndEntity | BadRow]:
    return list(islice(rows, _CHUNK))


def _in_hand(share: int) -> int:
    """Rows that a worker has in hand at most: so many that it never waits for the next."""
    return share + max(8, share // 4)
