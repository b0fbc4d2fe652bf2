"""A worker: many transactions at once over one HTTP client, in an event loop of its own."""

import datetime as dt
import itertools
import logging
import math
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

import anyio

from bulkcmp.cmp.events import Checkpoint, Finish, Lost, Part
from bulkcmp.cmp.outcomes import STOPPED, unknown
from bulkcmp.engine import log
from bulkcmp.engine.archive import Archive
from bulkcmp.engine.channel import Channel, Outbox, SocketChannel
from bulkcmp.engine.driver import Observer, Observers, StoppedError, UnreachableError
from bulkcmp.engine.frame import (
    Done,
    Drain,
    Frame,
    Halt,
    Logged,
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
from bulkcmp.engine.gate import Gate
from bulkcmp.engine.log import TransactionLog
from bulkcmp.engine.server import Server, connect, jitter, opened, pacer
from bulkcmp.errors import LocalCmpError
from bulkcmp.io import loop
from bulkcmp.io.clock import Clock, SystemClock
from bulkcmp.io.http import CmpHttpClient
from bulkcmp.io.pacer import Pacer
from bulkcmp.journal.entry import INTERRUPTED, Advanced, Begun, BegunRow, Ended, Entry, Resumed
from bulkcmp.model import Outcome, OutcomeClass, Timings

_Record = Callable[[Entry], Awaitable[None]]
_Observe = Callable[[Task, bytes], Observer]

_UNTIMED: Final = Timings()


class Worker:
    """One worker.

    Args:
        channel: to the parent.
        clock: of all times.
        make_client: the HTTP client for a setup; tests give one without a network.
        make_pacer: the rate ceiling for a setup.
        observe: gives what looks on at a transaction, by its task and transactionID, besides what
            its setup wants to.
    """

    def __init__(
        self,
        channel: Channel,
        clock: Clock,
        *,
        make_client: Callable[[Setup], CmpHttpClient] = connect,
        make_pacer: Callable[[Setup], Pacer | None] = pacer,
        observe: _Observe | None = None,
    ) -> None:
        self._channel = channel
        self._clock = clock
        self._make_client = make_client
        self._make_pacer = make_pacer
        self._observe: list[_Observe] = [] if observe is None else [observe]
        self._outbox = Outbox(channel)
        self._commits: dict[int, anyio.Event] = {}
        self._stopping = anyio.Event()
        self._gate = Gate()
        self._put, self._get = anyio.create_memory_object_stream[Task](math.inf)
        self._setup: Setup
        self._server: Server

    async def run(self) -> None:
        """Work until the parent says `Drain`, or is gone."""
        async with self._put, self._get:
            await self._outbox.run_beside(self._serve)

    async def _serve(self) -> None:
        setup, tasks = await self._begin()
        async with opened(self._make_client(setup)) as client:
            self._server = Server(
                setup, client, self._clock, self._stopping, self._make_pacer(setup), self._gate
            )
            await self._work_off(setup.concurrency, tasks)

    async def _work_off(self, concurrency: int, frames: Sequence[Frame]) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(self._listen, group.cancel_scope, frames)
            async with anyio.create_task_group() as consumers:
                for _ in range(concurrency):
                    consumers.start_soon(self._consume)
            group.cancel_scope.cancel()

    async def _begin(self) -> tuple[Setup, list[Frame]]:
        setup, *tasks = await self._channel.receive()
        assert isinstance(setup, Setup)
        self._setup = setup
        if setup.save_messages:
            archive = Archive(
                Path(setup.save_messages),
                self._clock,
                lambda what: self._outbox.put(Unsaved(what)),
            )
            self._observe.append(archive.observe)
        if setup.verbosity:
            self._observe.append(self._log)
        return setup, tasks

    def _log(self, task: Task, transaction_id: bytes) -> Observer:
        entities = [member.entity for member in task.members]
        kind = TransactionLog.of(self._setup.verbosity)
        return kind(self._outbox.mention, self._clock, transaction_id, entities)

    async def _listen(self, scope: anyio.CancelScope, frames: Sequence[Frame]) -> None:
        try:
            while True:
                for frame in frames:
                    self._take_in(frame)
                frames = await self._channel.receive()
        except anyio.EndOfStream:
            # without its parent nothing can be made durable: nothing may go on
            scope.cancel()

    def _take_in(self, frame: Frame) -> None:
        match frame:
            case Task():
                self._put.send_nowait(frame)
            case Pinned(anchor):
                self._server.believe(anchor)
            case Recorded(number):
                self._commits.pop(number).set()
            case Halt():
                self._gate.close()
            case Proceed():
                self._gate.open()
            case Drain():
                self._stopping.set()
                self._put.close()
            case _:
                raise LocalCmpError(f"a worker was sent {type(frame).__name__}")

    async def _consume(self) -> None:
        async for task in self._get:
            if self._may_take_up(task):
                await self._work(task)
            else:
                self._outbox.put(Returned(task.number))

    def _may_take_up(self, task: Task) -> bool:
        if self._stopping.is_set():
            return False
        return not self._gate.is_closed or task.probe or task.checkpoint is not None

    async def _work(self, task: Task) -> None:
        self._outbox.under_way += 1
        try:
            ended = await self._enroll(task)
        except UnreachableError as error:
            self._outbox.put(Unreachable(task.number, error.loss, error.detail))
        else:
            self._outbox.put(Done(task.number, tuple(ended)))
        finally:
            self._outbox.under_way -= 1

    async def _enroll(self, task: Task) -> list[Ended]:
        """One transaction for the rows of a task, and others while the profile wants some of them
        tried again.

        Raises:
            UnreachableError: the task is the first, and no connection could be made.
        """
        over: list[Ended] = []
        record = partial(self._record, task.number)
        for attempt in itertools.count():
            ended = await self._attempt(task, record)
            if self._setup.verbosity:
                self._tell_ended(ended)
            again = {
                one.number
                for one in ended
                if not self._stopping.is_set() and self._may_repeat(one.outcome, attempt)
            }
            over += (one for one in ended if one.number not in again)
            if not again:
                break
            # their sends are counted with that
            repeated = [one for one in ended if one.number in again]
            for one in repeated:
                await record(one)
            if self._setup.verbosity:
                self._tell_again(repeated, attempt)
            await self._pause(attempt)
            if self._stopping.is_set():
                over += (replace(one, sends=0) for one in repeated)
                break
            members = (m for m in task.members if m.entity.number in again)
            task = Task(tuple(replace(member, key_is_new=False) for member in members))
        return over

    def _tell_ended(self, ended: Sequence[Ended]) -> None:
        for one in ended:
            at = one.finished_at.timestamp()
            self._outbox.mention(log.ended(at, one.number, one.id, one.transaction_id, one.outcome))

    def _tell_again(self, repeated: Sequence[Ended], attempt: int) -> None:
        first, ids = repeated[0], tuple(one.id for one in repeated)
        facts = {"repetition": attempt + 1}
        now = self._clock.now()
        self._outbox.mention(
            Logged(now, logging.INFO, "again", facts, first.transaction_id, first.number, ids)
        )

    def _may_repeat(self, outcome: Outcome, attempt: int) -> bool:
        """Whether the profile wants a row that was rejected in this way tried once more."""
        profile = self._setup.profile
        return (
            # what nobody proved to come from the CA is no reason to ask it again
            outcome.outcome is OutcomeClass.REJECTED
            and attempt < profile.retries
            and not profile.retry_fail_info.isdisjoint(outcome.fail_info)
        )

    async def _attempt(self, task: Task, record: _Record) -> list[Ended]:
        """One transaction for the rows of a task.

        Args:
            record: returns when an entry is durable.

        Raises:
            UnreachableError: the task is the first, and no connection could be made; the journal
                has the outcome of its rows.
        """
        checkpoint = task.checkpoint
        try:
            # all of them have the same
            credential = self._server.credential([one.entity for one in task.members])
            applicants = self._server.applicants(task.members)
        except LocalCmpError as error:
            local = Outcome(OutcomeClass.LOCAL_ERROR, "", error.what)
            return self._ended(task, None, _not_begun(task, local))
        if checkpoint is not None:
            limit = self._setup.profile.total_timeout
            deadline = self._clock.now() + limit if limit else 0.0
            checkpoint = replace(checkpoint, deadline=deadline)
            numbers = tuple(part.number for part in checkpoint.parts)
            await record(Resumed(checkpoint.transaction_id, numbers))
        transaction_id = os.urandom(16) if checkpoint is None else checkpoint.transaction_id
        observer = Observers.of([observe(task, transaction_id) for observe in self._observe])
        setbacks = 0

        def suffer(lost: Lost) -> None:
            nonlocal setbacks
            setbacks += 1
            self._outbox.put(Setback(task.number, lost.reason))

        async def store(checkpoint: Checkpoint) -> None:
            advanced = Advanced(checkpoint)
            await record(advanced if checkpoint.is_answered else _begun(task, checkpoint))

        try:
            finish = await self._server.transact(
                applicants,
                credential,
                store,
                transaction_id=transaction_id,
                checkpoint=checkpoint,
                first=task.first,
                probe=task.probe,
                observer=observer,
                on_setback=suffer,
            )
        except StoppedError:
            stopped = Outcome(OutcomeClass.TO_DO, STOPPED, "stopped before it was sent")
            return self._ended(task, transaction_id, [stopped] * len(task.members), sends=setbacks)
        except UnreachableError as error:
            to_do = Outcome(OutcomeClass.TO_DO, error.loss.value, error.detail)
            for ended in self._ended(task, transaction_id, _not_begun(task, to_do)):
                await record(ended)
            raise
        results = list(finish.outcomes)
        if task.interrupted and not _was_answered(checkpoint, finish):
            results = [_still_uncertain(task, outcome) for outcome in results]
        began = None if finish.checkpoint is None else transaction_id
        return self._ended(task, began, results, sends=finish.sends, timings=finish.timings)

    def _ended(
        self,
        task: Task,
        transaction_id: bytes | None,
        outcomes: Sequence[Outcome],
        *,
        sends: int = 0,
        timings: Timings = _UNTIMED,
    ) -> list[Ended]:
        now = dt.datetime.fromtimestamp(self._clock.now(), dt.UTC)
        return [
            Ended(
                number=member.entity.number,
                line=member.entity.line,
                id=member.entity.id,
                cmd=member.entity.cmd,
                transaction_id=transaction_id,
                outcome=outcome,
                timings=timings,
                sends=sends,
                finished_at=now,
            )
            for member, outcome in zip(task.members, outcomes, strict=True)
        ]

    async def _record(self, number: int, entry: Entry) -> None:
        """Return when an entry of a task is durable."""
        committed = self._commits[number] = anyio.Event()
        self._outbox.put(Record(number, entry))
        await committed.wait()

    async def _pause(self, attempt: int) -> None:
        profile = self._setup.profile
        delay = min(profile.backoff_max, profile.backoff_first * 2.0**attempt)
        with anyio.move_on_after(delay * (0.5 + 0.5 * next(jitter()))):
            await self._stopping.wait()


def _begun(task: Task, checkpoint: Checkpoint) -> Begun:
    return Begun(
        checkpoint,
        tuple(
            BegunRow(
                number=member.entity.number,
                line=member.entity.line,
                id=member.entity.id,
                cmd=member.entity.cmd,
                requested_subject=member.entity.subject,
                key=member.new_key,
                key_id=member.key_id,
                out_name=member.entity.out_name,
                out_pass=member.entity.out_pass,
            )
            for member in task.members
        ),
    )


def _not_begun(task: Task, outcome: Outcome) -> list[Outcome]:
    """The outcomes of rows for which nothing could be sent: what they had reached before, stays."""
    if task.checkpoint is None:
        return [outcome] * len(task.members)
    return [_left_at(task, part, outcome) for part in task.checkpoint.parts]


def _left_at(task: Task, part: Part, outcome: Outcome) -> Outcome:
    reason = outcome.reason or outcome.outcome.value
    granted = part.granted
    if granted is None:
        waits = replace(outcome, outcome=OutcomeClass.STILL_WAITING, reason=reason)
        return _still_uncertain(task, waits) if task.interrupted else waits
    if granted.outcome is OutcomeClass.ISSUED_REFUSED:
        return granted
    kind = OutcomeClass.ISSUED_CONFIRMATION_UNKNOWN
    return replace(granted, outcome=kind, reason=reason, detail=outcome.detail)


_REFUSALS: Final = frozenset(
    {
        OutcomeClass.REJECTED,
        OutcomeClass.REJECTED_UNAUTHENTICATED,
        OutcomeClass.CREDENTIALS_REFUSED,
    }
)


def _was_answered(checkpoint: Checkpoint | None, finish: Finish) -> bool:
    """Whether a transaction that waited has got further since."""
    assert checkpoint is not None
    assert finish.checkpoint is not None
    return (
        not any(part.waits for part in checkpoint.parts)
        or finish.checkpoint.received_nonce != checkpoint.received_nonce
    )


def _still_uncertain(task: Task, outcome: Outcome) -> Outcome:
    """The outcome of a transaction that was polled again after an answer may have been lost.

    A CA whose lost answer was the certificate knows of nothing more to poll.
    """
    if outcome.outcome is OutcomeClass.STILL_WAITING:
        return replace(outcome, reason=INTERRUPTED)
    if outcome.outcome not in _REFUSALS:
        return outcome
    return replace(
        outcome,
        outcome=unknown(task.members[0].entity.cmd),
        reason="refused after an interruption",
        detail="an answer was lost, which may have been the certificate; then: " + outcome.detail,
    )


async def main(descriptor: int) -> None:
    """Run a worker whose channel is an inherited socket."""
    channel = SocketChannel(socket.socket(fileno=descriptor))
    with suppress(anyio.EndOfStream):
        await Worker(channel, SystemClock()).run()
    await channel.aclose()


if __name__ == "__main__":
    # both are the parent's to interpret: who stops a service signals all of its processes
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    loop.run(main, int(sys.argv[1]))
