"""Drives one transaction: carries out its instructions, and tells it what came of them."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol, assert_never

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
from bulkcmp.cmp.transaction import Transaction
from bulkcmp.engine.nesting import Client, NestingError
from bulkcmp.errors import Loss, TransportError
from bulkcmp.io.clock import Clock
from bulkcmp.io.http import Reply
from bulkcmp.io.pacer import Pacer

Exchanged = Reply | TransportError | NestingError
"""What came of a message."""


class Observer(Protocol):
    """Looks on at a transaction. Instants are Unix times, seconds."""

    async def exchanged(self, send: Send, answer: Exchanged, began: float, ended: float) -> None:
        """A message was handed to the client at `began`, and this came of it at `ended`; the
        transaction goes on when this returns."""
        ...

    def worked(self, seconds: float) -> None:
        """We took so long to build, sign or check a message, or to derive a key."""
        ...

    def judged(self, verdict: Verdict) -> None:
        """A check of the last answer was made."""
        ...


class StoppedError(Exception):
    """The run stops, and the transaction has sent nothing yet."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """All that a transaction needs of the world.

    Attributes:
        pacer: holds new transactions back; None where there is no ceiling.
        derive: makes a MAC key.
        stopping: set when the run stops.
    """

    client: Client
    clock: Clock
    pacer: Pacer | None
    derive: Callable[[Derivation], Awaitable[bytes]]
    stopping: anyio.Event


class UnreachableError(Exception):
    """The server can't be reached, and nothing was ever heard of it."""

    def __init__(self, loss: Loss, detail: str) -> None:
        super().__init__(detail)
        self.loss = loss
        self.detail = detail


async def drive(
    transaction: Transaction,
    store: Callable[[Checkpoint], Awaitable[None]],
    around: Surroundings,
    *,
    observer: Observer | None = None,
    first: bool = False,
    aside: anyio.CapacityLimiter | None = None,
) -> Finish:
    """Drive a transaction to its end.

    Args:
        store: returns when the checkpoint is durable.
        observer: is told of each exchange.
        first: nothing was heard of the server yet, so that not reaching it is no matter of this
            transaction alone.
        aside: of the threads in which the transaction thinks, where it signs by a key that takes
            its time (an HSM's); None: on the event loop.

    Raises:
        StoppedError: the run stopped before the request was sent.
        UnreachableError: `first`, and no connection could be made.
    """
    clock = around.clock
    worked = _unseen if observer is None else observer.worked
    event: Event = Start(clock.now())
    while True:
        began = clock.now()
        if aside is None:
            (instruction,) = transaction.handle(event)
        else:
            (instruction,) = await anyio.to_thread.run_sync(
                transaction.handle, event, limiter=aside
            )
        worked(clock.now() - began)
        match instruction:
            case DeriveKey(derivation):
                began = clock.now()
                key = await around.derive(derivation)
                worked(clock.now() - began)
                event = KeyDerived(key=key, now=clock.now())
            case Store(checkpoint):
                await store(checkpoint)
                event = Stored(clock.now())
            case Send():
                event = await _exchange(instruction, around, observer, first=first)
                # whatever came of it, there is a server
                first = False
            case WakeAt(when):
                event = await _sleep(when, around)
            case Finish():
                return instruction
            case _:
                assert_never(instruction)


def _unseen(seconds: float) -> None:
    """Nobody looks on."""


async def _exchange(
    send: Send, around: Surroundings, observer: Observer | None, *, first: bool
) -> Received | Refused | Lost:
    if send.opens and not await _admitted(around):
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


async def _admitted(around: Surroundings) -> bool:
    """Wait until a transaction may begin; False if the run stopped before."""
    if around.pacer is None:
        return not around.stopping.is_set()
    return await _unless_stopped(around.pacer.wait, around)


async def _sleep(when: float, around: Surroundings) -> TimerFired | Stop:
    clock = around.clock
    if await _unless_stopped(lambda: clock.sleep_until(when), around):
        return TimerFired(clock.now())
    return Stop(clock.now())


async def _unless_stopped(wait: Callable[[], Awaitable[None]], around: Surroundings) -> bool:
    """Wait; False if the run stopped before."""
    if around.stopping.is_set():
        return False
    done = False
    async with anyio.create_task_group() as group:

        async def watch() -> None:
            await around.stopping.wait()
            group.cancel_scope.cancel()

        group.start_soon(watch)
        await wait()
        done = True
        group.cancel_scope.cancel()
    return done
