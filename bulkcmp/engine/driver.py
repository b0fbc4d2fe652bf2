"""Drives one transaction: carries out its instructions, and tells it what came of them."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import assert_never

import anyio
import anyio.to_thread

from bulkcmp.cmp.checks import Verdict
from bulkcmp.cmp.events import (
    Checkpoint,
    DeriveKey,
    Event,
    Finish,
    KeyDerived,
    Lost,
    Received,
    Refused,
    Send,
    Start,
    Stop,
    Store,
    Stored,
    TimerFired,
    WakeAt,
)
from bulkcmp.cmp.protection import Derivation
from bulkcmp.cmp.state import State
from bulkcmp.cmp.transaction import Transaction
from bulkcmp.engine.gate import Gate
from bulkcmp.engine.nesting import Client, NestingError
from bulkcmp.errors import Loss, TransportError
from bulkcmp.io.clock import Clock
from bulkcmp.io.http import Reply
from bulkcmp.io.pacer import Pacer

Exchanged = Reply | TransportError | NestingError
"""What came of a message."""


class Observer:
    """Looks on at a transaction; this one does nothing. Instants are Unix times, seconds."""

    async def exchanged(self, send: Send, answer: Exchanged, began: float, ended: float) -> None:
        """A message was handed to the client at `began`, and this came of it at `ended`; the
        transaction goes on when this returns."""

    def worked(self, seconds: float) -> None:
        """We took so long to build, sign or check a message, or to derive a key."""

    def judged(self, verdict: Verdict) -> None:
        """A check of the last answer was made."""

    def moved(self, state: State) -> None:
        """The transaction came to a state, or stays in it."""

    def stored(self, seconds: float) -> None:
        """What had to be durable is so, after so long."""

    def waits(self, until: float) -> None:
        """Nothing is done until then, if the run does not stop."""


class Observers(Observer):
    """Several that look on, each told in its turn."""

    def __init__(self, observers: Iterable[Observer]) -> None:
        self._observers = tuple(observers)

    @classmethod
    def of(cls, observers: Sequence[Observer]) -> Observer | None:
        """What stands for some observers; None where there are none."""
        return cls(observers) if len(observers) > 1 else next(iter(observers), None)

    async def exchanged(self, send: Send, answer: Exchanged, began: float, ended: float) -> None:
        for one in self._observers:
            await one.exchanged(send, answer, began, ended)

    def worked(self, seconds: float) -> None:
        for one in self._observers:
            one.worked(seconds)

    def judged(self, verdict: Verdict) -> None:
        for one in self._observers:
            one.judged(verdict)

    def moved(self, state: State) -> None:
        for one in self._observers:
            one.moved(state)

    def stored(self, seconds: float) -> None:
        for one in self._observers:
            one.stored(seconds)

    def waits(self, until: float) -> None:
        for one in self._observers:
            one.waits(until)


class StoppedError(Exception):
    """The run stops, or holds new transactions back, and this one has sent nothing yet."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """All that a transaction needs of the world.

    Attributes:
        pacer: holds new transactions back; None where there is no ceiling.
        derive: makes a MAC key.
        stopping: set when the run stops.
        gate: closed while nothing may begin.
    """

    client: Client
    clock: Clock
    pacer: Pacer | None
    derive: Callable[[Derivation], Awaitable[bytes]]
    stopping: anyio.Event
    gate: Gate = field(default_factory=Gate)


class UnreachableError(Exception):
    """The server can't be reached, and nothing was ever heard of it."""

    def __init__(self, loss: Loss, detail: str) -> None:
        super().__init__(detail)
        self.loss = loss
        self.detail = detail


def unseen(_what: object) -> None:
    """Nobody looks on."""


async def drive(
    transaction: Transaction,
    store: Callable[[Checkpoint], Awaitable[None]],
    around: Surroundings,
    *,
    observer: Observer | None = None,
    on_setback: Callable[[Lost], None] = unseen,
    first: bool = False,
    probe: bool = False,
    aside: anyio.CapacityLimiter | None = None,
) -> Finish:
    """Drive a transaction to its end.

    Args:
        store: returns when the checkpoint is durable.
        observer: is told of each exchange.
        on_setback: is told whenever what opens the transaction was lost, sent again or not.
        first: nothing was heard of the server yet, so that not reaching it is no matter of this
            transaction alone.
        probe: it is sent though the gate is closed, once.
        aside: of the threads in which the transaction thinks, where it signs by a key that takes
            its time (an HSM's); None: on the event loop.

    Raises:
        StoppedError: the run stopped before the request was sent, or the gate was closed.
        UnreachableError: `first`, and no connection could be made.
    """
    clock = around.clock
    worked = unseen if observer is None else observer.worked
    event: Event = Start(clock.now())
    # what opens the transaction was lost, and nothing was sent since
    lost = False
    while True:
        began = clock.now()
        if aside is None:
            (instruction,) = transaction.handle(event)
        else:
            (instruction,) = await anyio.to_thread.run_sync(
                transaction.handle, event, limiter=aside
            )
        worked(clock.now() - began)
        if observer is not None:
            observer.moved(transaction.state)
        match instruction:
            case DeriveKey(derivation):
                began = clock.now()
                key = await around.derive(derivation)
                worked(clock.now() - began)
                event = KeyDerived(key=key, now=clock.now())
            case Store(checkpoint):
                began = clock.now()
                await store(checkpoint)
                if observer is not None:
                    observer.stored(clock.now() - began)
                event = Stored(clock.now())
            case Send():
                event = await _exchange(instruction, around, observer, first=first, probe=probe)
                # whatever came of it, there is a server
                first = probe = False
                lost = False
                if instruction.opens and isinstance(event, Lost):
                    lost = True
                    on_setback(event)
            case WakeAt(when):
                if observer is not None:
                    observer.waits(when)
                event = await _sleep(when, around, held=lost)
            case Finish():
                return instruction
            case _:
                assert_never(instruction)


async def _exchange(
    send: Send, around: Surroundings, observer: Observer | None, *, first: bool, probe: bool
) -> Received | Refused | Lost:
    if send.opens and not await _admitted(around, probe=probe):
        raise StoppedError
    clock = around.clock
    began = clock.now()
    answer = await _answer(send, around.client)
    if observer is not None:
        await observer.exchanged(send, answer, began, clock.now())
    match answer:
        case TransportError(loss=loss, what=what):
            if first and loss in (Loss.CONNECT, Loss.TLS):
                raise UnreachableError(loss, what) from answer
            return Lost(clock.now(), loss, what, answer.retry_after, answer.status)
        case NestingError(times=times, refusal=refusal):
            return Refused(
                clock.unix(times.finished),
                refusal.outcome,
                sent=clock.unix(times.started),
                proven=refusal.proven,
            )
        case Reply(times=times, body=body):
            return Received(clock.unix(times.finished), body, sent=clock.unix(times.started))
        case _:
            assert_never(answer)


async def _answer(send: Send, client: Client) -> Exchanged:
    try:
        return await client.post(send.message)
    except (TransportError, NestingError) as error:
        return error


async def _admitted(around: Surroundings, *, probe: bool) -> bool:
    """Wait until a transaction may begin; False if the run stopped, or the gate closed, before."""
    ends = _ends(around, held=not probe)
    if around.pacer is None:
        return not any(end.is_set() for end in ends)
    return await _unless(ends, around.pacer.wait)


async def _sleep(when: float, around: Surroundings, *, held: bool) -> TimerFired | Stop:
    clock = around.clock
    if await _unless(_ends(around, held=held), lambda: clock.sleep_until(when)):
        return TimerFired(clock.now())
    return Stop(clock.now())


def _ends(around: Surroundings, *, held: bool) -> tuple[anyio.Event, ...]:
    """What ends a wait: the run's stop, and where a transaction is not open yet, the gate."""
    return (around.stopping, around.gate.closing) if held else (around.stopping,)


async def _unless(ends: Sequence[anyio.Event], wait: Callable[[], Awaitable[None]]) -> bool:
    """Wait; False if one of these was set before."""
    if any(end.is_set() for end in ends):
        return False
    done = False
    async with anyio.create_task_group() as group:

        async def watch(end: anyio.Event) -> None:
            await end.wait()
            group.cancel_scope.cancel()

        for end in ends:
            group.start_soon(watch, end)
        await wait()
        done = True
        group.cancel_scope.cancel()
    return done
