"""A worker: many transactions at once over one HTTP client, in an event loop of its own."""

import datetime as dt
import itertools
import math
import os
import random
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import anyio
from cryptography.hazmat.primitives.serialization import load_der_public_key

from bulkcmp.cmp.algorithms import OpaqueKey
from bulkcmp.cmp.events import Checkpoint, Finish, Part
from bulkcmp.cmp.kemmac import KemMacParameters
from bulkcmp.cmp.messages import NULL_DN
from bulkcmp.cmp.outcomes import unknown
from bulkcmp.cmp.protection import MacParameters
from bulkcmp.cmp.request import (
    Applicant,
    Credential,
    KemCredential,
    MacCredential,
    NoCredential,
    SignatureCredential,
    is_kem_certificate,
)
from bulkcmp.cmp.transaction import Transaction
from bulkcmp.cmp.trust import Trust, TrustStore, load_certificate
from bulkcmp.engine.archive import Archive
from bulkcmp.engine.channel import Channel, Outbox, SocketChannel
from bulkcmp.engine.deriver import Deriver
from bulkcmp.engine.driver import Observer, StoppedError, Surroundings, UnreachableError, drive
from bulkcmp.engine.failure import first_error
from bulkcmp.engine.frame import (
    Done,
    Drain,
    Failed,
    Frame,
    Pinned,
    Record,
    Recorded,
    Returned,
    Setup,
    Started,
    Task,
    Unreachable,
    Unsaved,
)
from bulkcmp.engine.nesting import NestingClient
from bulkcmp.errors import BulkcmpError, LocalCmpError
from bulkcmp.inputs.token import TokenCredential
from bulkcmp.io import loop
from bulkcmp.io.clock import Clock, SystemClock
from bulkcmp.io.http import CmpHttpClient
from bulkcmp.io.pacer import Pacer, SharedPacer
from bulkcmp.io.tls import tls_context
from bulkcmp.io.transport import Transport
from bulkcmp.journal.entry import INTERRUPTED, Advanced, Begun, BegunRow, Ended, Entry, Resumed
from bulkcmp.load.pace import Pace
from bulkcmp.model import Operation, Outcome, OutcomeClass, Timings, TokenKey
from bulkcmp.token.access import open_tokens

if TYPE_CHECKING:
    from bulkcmp.token.tokens import Tokens

_FAREWELL: Final = 1.0
"""Seconds that servers have to agree to the end of their TLS connections."""


def connect(setup: Setup) -> CmpHttpClient:
    """The HTTP client of a worker.

    Raises:
        InputError: the URL, the proxy or a TLS file can't be used.
    """
    tls = None
    if setup.tls is not None:
        files = setup.tls
        tls = tls_context(
            trusted=[Path(path) for path in files.trusted],
            certificate=None if files.certificate is None else Path(files.certificate),
            key=None if files.key is None else Path(files.key),
            key_password=files.key_password,
        )
    transport = Transport(
        setup.limits,
        tls=tls,
        proxy=setup.proxy,
        retry_reused=setup.profile.retry_reused,
    )
    return CmpHttpClient(setup.url, transport)


def _trust(setup: Setup) -> Trust | None:
    if not setup.anchors:
        return None
    signers = TrustStore(setup.anchors, setup.untrusted)
    issuers = TrustStore(setup.out_trusted, setup.untrusted) if setup.out_trusted else signers
    return Trust(signers, issuers, setup.srvcert)


def pacer(setup: Setup) -> Pacer | None:
    """What holds new transactions to the run's rate, shared with the other workers."""
    return SharedPacer(Pace(setup.rate), Path(setup.pace_file)) if setup.rate else None


class Worker:
    """One worker.

    Args:
        channel: to the parent.
        clock: of all times.
        make_client: the HTTP client for a setup; tests give one without a network.
        make_pacer: the rate ceiling for a setup.
        observe: gives what looks on at a transaction, by its task and transactionID.
    """

    def __init__(
        self,
        channel: Channel,
        clock: Clock,
        *,
        make_client: Callable[[Setup], CmpHttpClient] = connect,
        make_pacer: Callable[[Setup], Pacer | None] = pacer,
        observe: Callable[[Task, bytes], Observer] | None = None,
    ) -> None:
        self._channel = channel
        self._clock = clock
        self._make_client = make_client
        self._make_pacer = make_pacer
        self._observe = observe
        self._outbox = Outbox(channel)
        self._tickets: dict[int, anyio.Event] = {}
        self._ticket = itertools.count()
        self._stopping = anyio.Event()
        self._put, self._get = anyio.create_memory_object_stream[Task](math.inf)
        self._setup: Setup
        self._trust: Trust | None = None
        self._mac_parameters: MacParameters
        self._around: Surroundings
        self._tokens: Tokens | None = None
        # a token lets one thread in
        self._token_thread = anyio.CapacityLimiter(1)

    async def run(self) -> None:
        """Work until the parent says `Drain`, or is gone."""
        async with self._put, self._get, anyio.create_task_group() as group:
            group.start_soon(self._outbox.run)
            try:
                await self._serve()
            except* anyio.EndOfStream:
                # the parent was gone before it said what to do
                pass
            except* BulkcmpError as errors:
                error = first_error(errors)
                assert isinstance(error, BulkcmpError)
                self._outbox.put(Failed(str(error), error.hint, error.exit_code))
            self._outbox.close()

    async def _serve(self) -> None:
        setup, tasks = await self._begin()
        with anyio.CancelScope() as leaving:
            async with self._make_client(setup) as client:
                derive = Deriver()
                self._around = Surroundings(
                    self._nesting(client, derive) if setup.layers else client,
                    self._clock,
                    self._make_pacer(setup),
                    derive,
                    self._stopping,
                )
                try:
                    await self._work_off(setup.concurrency, tasks)
                finally:
                    leaving.deadline = anyio.current_time() + _FAREWELL

    def _nesting(self, client: CmpHttpClient, derive: Deriver) -> NestingClient:
        setup = self._setup
        assert self._trust is not None, "nested messages go with anchors that are given"
        on_token = any(isinstance(layer, TokenCredential) for layer in setup.layers)
        return NestingClient(
            client,
            [self._opened(layer) for layer in setup.layers],
            setup.profile,
            self._trust,
            self._clock,
            derive,
            _nonces(),
            # more are never in flight
            size=min(setup.batch, setup.concurrency),
            wait=setup.batch_wait,
            aside=self._token_thread if on_token else None,
        )

    def _opened(self, layer: Credential | TokenCredential) -> Credential:
        if not isinstance(layer, TokenCredential):
            return layer
        return SignatureCredential(self._on_token(layer.key, layer.chain[0]), layer.chain)

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
            self._observe = Archive(
                Path(setup.save_messages),
                self._clock,
                lambda what: self._outbox.put(Unsaved(what)),
            ).observe
        self._trust = _trust(setup)
        self._mac_parameters = MacParameters.of(setup.profile, setup.pbm_salt)
        return setup, tasks

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
                self._setup = replace(self._setup, anchors=(anchor,))
                self._trust = _trust(self._setup)
            case Recorded(ticket):
                self._tickets.pop(ticket).set()
            case Drain():
                self._stopping.set()
                self._put.close()
            case _:
                raise LocalCmpError(f"a worker was sent {type(frame).__name__}")

    async def _consume(self) -> None:
        async for task in self._get:
            if self._stopping.is_set():
                self._outbox.put(Returned(task.number))
            else:
                await self._work(task)

    async def _work(self, task: Task) -> None:
        self._outbox.put(Started(task.number))
        try:
            ended = await self._enroll(task)
        except UnreachableError as error:
            self._outbox.put(Unreachable(task.number, error.loss, error.detail))
        else:
            self._outbox.put(Done(task.number, tuple(ended)))

    async def _enroll(self, task: Task) -> list[Ended]:
        """One transaction for the rows of a task, and others while the profile wants some of them
        tried again.

        Raises:
            UnreachableError: the task is the first, and no connection could be made.
        """
        over: list[Ended] = []
        for attempt in itertools.count():
            ended = await self._attempt(task)
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
                await self._record(one)
            await self._pause(attempt)
            if self._stopping.is_set():
                over += (replace(one, sends=0) for one in repeated)
                break
            members = (m for m in task.members if m.entity.number in again)
            task = Task(tuple(replace(member, key_is_new=False) for member in members))
        return over

    def _may_repeat(self, outcome: Outcome, attempt: int) -> bool:
        """Whether the profile wants a row that was rejected in this way tried once more."""
        profile = self._setup.profile
        return (
            # what nobody proved to come from the CA is no reason to ask it again
            outcome.outcome is OutcomeClass.REJECTED
            and attempt < profile.retries
            and not profile.retry_fail_info.isdisjoint(outcome.fail_info)
        )

    async def _attempt(self, task: Task) -> list[Ended]:
        """One transaction for the rows of a task.

        Raises:
            UnreachableError: the task is the first, and no connection could be made; the journal
                has the outcome of its rows.
        """
        checkpoint = task.checkpoint
        try:
            # all of them have the same
            credential = self._credential(task)
            applicants = [
                Applicant(member.entity, self._certifiable(member.key), member.repeats)
                for member in task.members
            ]
        except LocalCmpError as error:
            local = Outcome(OutcomeClass.LOCAL_ERROR, "", error.what)
            return self._ended(task, None, _not_begun(task, local))
        if checkpoint is not None:
            limit = self._setup.profile.total_timeout
            deadline = self._clock.now() + limit if limit else 0.0
            checkpoint = replace(checkpoint, deadline=deadline)
            numbers = tuple(part.number for part in checkpoint.parts)
            await self._record(Resumed(checkpoint.transaction_id, numbers))
        transaction_id = os.urandom(16) if checkpoint is None else checkpoint.transaction_id
        observer = None if self._observe is None else self._observe(task, transaction_id)
        transaction = Transaction(
            applicants,
            credential,
            self._setup.profile,
            self._trust,
            transaction_id=transaction_id,
            nonces=_nonces(),
            jitter=_jitter(),
            checkpoint=checkpoint,
            witness=None if observer is None else observer.judged,
        )

        async def store(checkpoint: Checkpoint) -> None:
            advanced = Advanced(checkpoint)
            await self._record(advanced if checkpoint.is_answered else _begun(task, checkpoint))

        try:
            finish = await drive(
                transaction,
                store,
                self._around,
                observer=observer,
                first=task.first,
                aside=self._aside(credential, applicants),
            )
        except StoppedError:
            stopped = Outcome(OutcomeClass.TO_DO, "stopped", "stopped before it was sent")
            return self._ended(task, transaction_id, [stopped] * len(task.members))
        except UnreachableError as error:
            to_do = Outcome(OutcomeClass.TO_DO, error.loss.value, error.detail)
            for ended in self._ended(task, transaction_id, _not_begun(task, to_do)):
                await self._record(ended)
            raise
        results = list(finish.outcomes)
        if task.interrupted and not _was_answered(checkpoint, finish):
            results = [_still_uncertain(task, outcome) for outcome in results]
        began = None if finish.checkpoint is None else transaction_id
        return self._ended(task, began, results, finish)

    def _ended(
        self,
        task: Task,
        transaction_id: bytes | None,
        outcomes: Sequence[Outcome],
        finish: Finish | None = None,
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
                timings=Timings() if finish is None else finish.timings,
                sends=0 if finish is None else finish.sends,
                finished_at=now,
            )
            for member, outcome in zip(task.members, outcomes, strict=True)
        ]

    def _credential(self, task: Task) -> Credential:
        """What protects the messages of a task, all of whose rows have the same.

        It is the secret, else the certificate, as `openssl cmp` prefers; kur wants the certificate.
        """
        entity, profile = task.members[0].entity, self._setup.profile
        if profile.unprotected_requests:
            # as openssl cmp: the subject of our certificate, else the one that is asked for
            subjects = {member.entity.subject for member in task.members}
            sender = entity.subject if len(subjects) == 1 else None
            certificate = entity.cert[0] if entity.cert else None
            return NoCredential(certificate, sender or NULL_DN, entity.ref, entity.secret)
        certified = entity.key is not None and bool(entity.cert)
        signs = certified and (entity.cmd is Operation.KUR or profile.sign_requests)
        if entity.secret is not None and not signs:
            # a server that knows the end entity finds it by the reference
            return MacCredential(entity.ref or entity.id, entity.secret, self._mac_parameters)
        key = entity.key
        if key is None or not entity.cert:
            raise LocalCmpError("no credential: neither a secret nor a certificate with its key")
        if isinstance(key, TokenKey):
            signer = self._on_token(key, entity.cert[0])
            return SignatureCredential(signer, entity.cert, entity.secret)
        if is_kem_certificate(entity.cert[0]):
            parameters = KemMacParameters.choose(profile.mac)
            return KemCredential(key, entity.cert, parameters, entity.secret)
        return SignatureCredential(key, entity.cert, entity.secret)

    def _certifiable(self, key: bytes | TokenKey | None) -> bytes | OpaqueKey | None:
        """A key to certify as the core wants it."""
        if not isinstance(key, TokenKey):
            return key
        return self._opened_tokens().signer(key, load_der_public_key(key.public_key))

    def _aside(
        self, credential: Credential, applicants: Sequence[Applicant]
    ) -> anyio.CapacityLimiter | None:
        keys = [applicant.key for applicant in applicants]
        if isinstance(credential, SignatureCredential):
            keys.append(credential.key)
        return self._token_thread if any(isinstance(key, OpaqueKey) for key in keys) else None

    def _on_token(self, key: TokenKey, certificate: bytes) -> OpaqueKey:
        """A key on a token; the session is opened when it first signs."""
        return self._opened_tokens().signer(key, load_certificate(certificate).public_key())

    def _opened_tokens(self) -> "Tokens":
        if self._tokens is None:
            self._tokens = open_tokens()
        return self._tokens

    async def _record(self, entry: Entry) -> None:
        """Return when `entry` is durable."""
        ticket = next(self._ticket)
        committed = self._tickets[ticket] = anyio.Event()
        self._outbox.put(Record(ticket, entry))
        await committed.wait()

    async def _pause(self, attempt: int) -> None:
        profile = self._setup.profile
        delay = min(profile.backoff_max, profile.backoff_first * 2.0**attempt)
        with anyio.move_on_after(delay * (0.5 + 0.5 * next(_jitter()))):
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


def _nonces() -> Iterator[bytes]:
    return iter(lambda: os.urandom(16), None)


def _jitter() -> Iterator[float]:
    return iter(random.random, None)


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
