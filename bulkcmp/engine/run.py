"""A run over a population: the parent of the workers.

It reads the population, hands out rows with their keys, owns the journal, and counts. All that
workers want durable passes through one writer, which puts what has gathered into one commit.
"""

import datetime as dt
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Final

import anyio
import anyio.abc
import anyio.to_thread
from anyio.abc import Process, TaskGroup, UNIXSocketStream

from bulkcmp.engine.channel import Channel, MemoryChannel, Outbox, PipeChannel, memory_channels
from bulkcmp.engine.failure import first_error
from bulkcmp.engine.frame import (
    Done,
    Drain,
    Failed,
    Frame,
    Record,
    Recorded,
    Returned,
    Setup,
    Started,
    Task,
    Unreachable,
)
from bulkcmp.engine.keys import KeySource
from bulkcmp.engine.plan import Rows
from bulkcmp.engine.resumption import Resumption, resumption
from bulkcmp.errors import BulkcmpError, TransportError
from bulkcmp.io.clock import Clock
from bulkcmp.journal.entry import Advanced, Ended, Entry, RowState, Skipped
from bulkcmp.journal.journal import Journal
from bulkcmp.model import BadRow, EndEntity, Operation, OutcomeClass
from bulkcmp.stats.progress import Progress, Snapshot

_CHUNK: Final = 64
"""Rows read by one visit to the reading thread."""

_TICK: Final = 0.2
"""Seconds between two snapshots."""

_PATIENCE: Final = 3.0
"""Seconds that a worker has to end by itself."""

_RESTARTS: Final = 3
"""Workers that may die in a run before it is given up."""


class WorkerError(BulkcmpError):
    """A worker can't work."""


@dataclass(slots=True)
class Colleague:
    """The parent's view of a worker.

    Attributes:
        process: None for a worker that runs as a task of the parent's own loop.
        tasks: what it has in hand, by row number.
    """

    channel: Channel
    process: Process | None = None
    outbox: Outbox = field(init=False)
    tasks: dict[int, Task] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.outbox = Outbox(self.channel)


Hire = Callable[[TaskGroup], Awaitable[Colleague]]
"""Starts a worker; what it runs besides its process goes into the task group."""


async def hire_process(_group: TaskGroup) -> Colleague:
    """Start a worker in a process of its own, which ends when we do."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = await anyio.open_process(
            [sys.executable, "-P", "-m", "bulkcmp.engine.worker", str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=None,
            # the terminal's Ctrl-C is ours alone
            start_new_session=True,
            pass_fds=(theirs.fileno(),),
        )
    stream = await UNIXSocketStream.from_socket(ours)
    return Colleague(PipeChannel(stream, stream), process)


def hire_task(work: Callable[[MemoryChannel], Awaitable[None]]) -> Hire:
    """Start workers as tasks of our own loop: for tests in virtual time."""

    async def hire(group: TaskGroup) -> Colleague:
        ours, theirs = memory_channels()

        async def run() -> None:
            await work(theirs)
            await theirs.aclose()

        group.start_soon(run)
        return Colleague(ours)

    return hire


class Run:
    """One session of a run.

    Args:
        rows: of the population.
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
    """

    def __init__(
        self,
        rows: Rows,
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
    ) -> None:
        self._rows = rows
        self._journal = journal
        self._keys = keys
        self._workers = max(1, min(workers, setup.concurrency))
        self._setup = replace(setup, concurrency=-(-setup.concurrency // self._workers))
        self._clock = clock
        self._priorities = priorities
        self._resumed = resumed
        self._retry_unknown = retry_unknown
        self._retry_failed = retry_failed
        self._hire = hire
        self._on_snapshot = on_snapshot
        self._progress = Progress(clock.now(), total=total)
        self._counted = total is not None
        self._seen = 0
        self._colleagues: list[Colleague] = []
        self._deaths = 0
        self._entries: list[tuple[Entry | None, Callable[[], None]]] = []
        self._written = anyio.Event()
        self._room = anyio.Semaphore(self._workers * self._in_hand)
        self._open = 0
        self._idle = anyio.Event()
        self._reached = anyio.Event()
        self._stopping = anyio.Event()
        self._all_done = False
        self.aborted = False
        self._scope = anyio.CancelScope()
        self.operations: set[Operation] = set()
        self.unreachable: TransportError | None = None

    @property
    def _in_hand(self) -> int:
        """Rows that one worker has in hand at most: so many that it never waits for the next."""
        return self._setup.concurrency + max(8, self._setup.concurrency // 4)

    @property
    def stopping(self) -> bool:
        return self._stopping.is_set()

    @property
    def interrupted(self) -> bool:
        return self._stopping.is_set() and self.unreachable is None

    def stop(self) -> None:
        """Begin nothing more, and end what is under way."""
        self._stopping.set()
        self._reached.set()
        for colleague in self._colleagues:
            colleague.outbox.put(Drain())

    def abort(self) -> None:
        """Leave at once; what is under way is found in the journal."""
        self._stopping.set()
        self.aborted = True
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
                    group.start_soon(self._show)
                    async with anyio.create_task_group() as crew:
                        for _ in range(self._workers):
                            await self._start_worker(crew)
                        await self._feed()
                        await self._finish_all()
                    group.cancel_scope.cancel()
        except BaseExceptionGroup as errors:
            raise first_error(errors) from errors
        finally:
            with anyio.CancelScope(shield=True):
                for colleague in self._colleagues:
                    if colleague.process is not None:
                        # whoever is still here was left in the middle of its work
                        with suppress(ProcessLookupError):
                            colleague.process.kill()
                        await _end(colleague.process)
            if self._keys is not None:
                self._progress.waited_for_keys(self._keys.starved)
            self._progress.end(self._clock.now())
            self._on_snapshot(self.snapshot())

    # --- rows -----------------------------------------------------------------------------------

    async def _feed(self) -> None:
        for priority in self._priorities or (None,):
            rows = iter(self._rows)
            if self._priorities:
                rows = (row for row in rows if _priority(row) == priority)
            # bad rows have no priority that could be read: they come with the last
            while not self._stopping.is_set():
                chunk = await anyio.to_thread.run_sync(_take, rows)
                if not chunk:
                    break
                await self._feed_chunk(chunk)
        if not self._stopping.is_set() and not self._counted:
            self._progress.set_total(self._seen)

    async def _feed_chunk(self, chunk: list[EndEntity | BadRow]) -> None:
        self._seen += len(chunk)
        states: dict[int, RowState] = {}
        if self._resumed:
            numbers = [row.number for row in chunk]
            states = await anyio.to_thread.run_sync(self._journal.states, numbers)
        for row in chunk:
            if self._stopping.is_set():
                return
            state = states.get(row.number)
            if isinstance(row, BadRow):
                await self._reject(row, state)
                continue
            self.operations.add(row.cmd)
            task = await self._task(row, state)
            if task is not None:
                await self._hand_out(task)

    async def _reject(self, row: BadRow, state: RowState | None) -> None:
        if state is not None:
            self._progress.already_done(state.outcome)
            return
        entry = Skipped(row, dt.datetime.fromtimestamp(self._clock.now(), dt.UTC))
        await self._durable(entry)
        self._progress.settled(self._clock.now(), row.id, entry.outcome)

    async def _task(self, row: EndEntity, state: RowState | None) -> Task | None:
        """What is to be done for a row, or None where nothing is."""
        checkpoint = None
        if state is not None:
            what = resumption(
                state, retry_unknown=self._retry_unknown, retry_failed=self._retry_failed
            )
            if what is Resumption.SKIP:
                self._progress.already_done(state.outcome)
                return None
            if what is Resumption.GO_ON:
                checkpoint = state.checkpoint
        if row.cmd in (Operation.P10CR, Operation.RR):
            return Task(row, checkpoint=checkpoint)
        if row.new_key is not None:
            return Task(row, key=row.new_key, checkpoint=checkpoint)
        if state is not None and state.key is not None:
            return Task(row, key=state.key, checkpoint=checkpoint)
        if row.new_key_spec is None:
            # kur with the key that the certificate has
            return Task(row, key=row.key, checkpoint=checkpoint)
        assert self._keys is not None
        key, key_id = await self._keys.take(row.new_key_spec)
        return Task(row, key=key, key_id=key_id, key_is_new=True, checkpoint=checkpoint)

    async def _hand_out(self, task: Task) -> None:
        if self._open and not self._reached.is_set():
            # until the server was heard of, one row is enough to find out
            await self._reached.wait()
        await self._room.acquire()
        if self._stopping.is_set():
            self._room.release()
            return
        first = not self._reached.is_set()
        self._open += 1
        self._give(replace(task, first=first))

    def _give(self, task: Task) -> None:
        """Give a task to the worker that has the least in hand."""
        colleague = min(self._colleagues, key=lambda one: len(one.tasks))
        colleague.tasks[task.entity.number] = task
        colleague.outbox.put(task)

    async def _finish_all(self) -> None:
        while self._open:
            self._idle = anyio.Event()
            await self._idle.wait()
        self._all_done = True
        for colleague in self._colleagues:
            colleague.outbox.put(Drain())
            colleague.outbox.close()

    def _release(self, colleague: Colleague, number: int) -> None:
        del colleague.tasks[number]
        self._open -= 1
        self._room.release()
        if not self._open:
            self._idle.set()

    # --- workers --------------------------------------------------------------------------------

    async def _start_worker(self, crew: TaskGroup) -> None:
        colleague = await self._hire(crew)
        self._colleagues.append(colleague)
        colleague.outbox.put(self._setup)
        crew.start_soon(colleague.outbox.run)
        crew.start_soon(self._listen, colleague, crew)

    async def _listen(self, colleague: Colleague, crew: TaskGroup) -> None:
        try:
            while True:
                for frame in await colleague.channel.receive():
                    self._take_in(colleague, frame)
        except anyio.EndOfStream:
            colleague.outbox.close()
        await colleague.channel.aclose()
        if colleague.process is not None:
            await _end(colleague.process)
        if colleague.tasks or not (self._all_done or self._stopping.is_set()):
            await self._replace(colleague, crew)
        else:
            self._colleagues.remove(colleague)

    def _take_in(self, colleague: Colleague, frame: Frame) -> None:
        now = self._clock.now()
        match frame:
            case Record(ticket, entry):
                if isinstance(entry, Advanced):
                    self._reached.set()
                answer = Recorded(ticket)
                self._entries.append((entry, lambda: colleague.outbox.put(answer)))
                self._written.set()
            case Started():
                self._progress.started(now)
            case Done(ended):
                self._reached.set()
                self._entries.append((ended, lambda: self._row_done(colleague, ended)))
                self._written.set()
            case Returned(number):
                self._release(colleague, number)
            case Unreachable(number, loss, detail):
                self._progress.abandoned()
                self._release(colleague, number)
                self.unreachable = TransportError(loss, detail)
                self.stop()
            case Failed(what, hint, exit_code):
                error = WorkerError(what, hint=hint)
                error.exit_code = exit_code
                raise error
            case _:
                raise WorkerError(f"a worker said {type(frame).__name__}")

    def _row_done(self, colleague: Colleague, ended: Ended) -> None:
        """A row's end is durable."""
        if ended.outcome.outcome is OutcomeClass.TO_DO:
            self._progress.abandoned()
        else:
            self._progress.finished(self._clock.now(), ended.id, ended.outcome, ended.timings)
        if ended.number in colleague.tasks:
            self._release(colleague, ended.number)

    async def _replace(self, dead: Colleague, crew: TaskGroup) -> None:
        """A worker died: another takes over what it had in hand, by the rules of `resume`."""
        self._deaths += 1
        if self._deaths > _RESTARTS:
            raise WorkerError(
                "worker processes die again and again",
                hint="is there enough memory? bulkcmp resume goes on",
            )
        if not self._stopping.is_set():
            await self._start_worker(crew)
        # what the dead worker still had recorded comes before what the journal says of its rows
        await self._durable(None)
        self._colleagues.remove(dead)
        tasks = dict(dead.tasks)
        states = await anyio.to_thread.run_sync(self._journal.take_over, tuple(tasks))
        for number, task in tasks.items():
            state = states.get(number)
            again = task if state is None else await self._task(task.entity, state)
            self._progress.abandoned()
            if again is None or self._stopping.is_set():
                self._release(dead, number)
            else:
                self._give(again)

    # --- journal and display --------------------------------------------------------------------

    async def _write(self) -> None:
        while True:
            await self._written.wait()
            self._written = anyio.Event()
            batch, self._entries = self._entries, []
            entries = [entry for entry, _ in batch if entry is not None]
            if entries:
                await anyio.to_thread.run_sync(self._journal.write, entries)
            for _, then in batch:
                then()

    async def _durable(self, entry: Entry | None) -> None:
        """Return when `entry`, and all that was given before it, is in the journal."""
        committed = anyio.Event()
        self._entries.append((entry, committed.set))
        self._written.set()
        await committed.wait()

    async def _show(self) -> None:
        while True:
            self._on_snapshot(self.snapshot())
            await anyio.sleep(_TICK)


def _take(rows: Iterator[EndEntity | BadRow]) -> list[EndEntity | BadRow]:
    return list(islice(rows, _CHUNK))


def _priority(row: EndEntity | BadRow) -> int | None:
    return None if isinstance(row, BadRow) else row.priority


async def _end(process: Process) -> None:
    """Wait for a worker's process to end by itself; make it, if it takes its time."""
    with anyio.move_on_after(_PATIENCE):
        await process.wait()
    if process.returncode is None:
        process.kill()
        await process.wait()
    await process.aclose()
