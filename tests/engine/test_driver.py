from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
import trio.testing

from bulkcmp.cmp.checks import Verdict
from bulkcmp.cmp.events import (
    Checkpoint,
    DeriveKey,
    Event,
    Finish,
    Instruction,
    KeyDerived,
    Lost,
    Part,
    Phase,
    Received,
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
from bulkcmp.engine.driver import (
    Exchanged,
    Observer,
    Observers,
    StoppedError,
    Surroundings,
    UnreachableError,
    drive,
)
from bulkcmp.errors import Loss, TransportError
from bulkcmp.io.clock import Clock
from bulkcmp.io.http import CmpHttpClient, Reply
from bulkcmp.io.pacer import Pacer, SharedPacer
from bulkcmp.load.pace import Pace
from bulkcmp.model import Outcome, OutcomeClass, Secret, Timings

CHECKPOINT = Checkpoint(b"id", b"nonce", b"nonce", None, b"", 0.0, (Part(1, Phase.REQUESTED, 0),))
DERIVATION = Derivation(Secret(b"secret"), b"salt", "sha256", 1)
FINISH = Finish((Outcome(OutcomeClass.ISSUED),), CHECKPOINT, Timings(), 1)
REQUEST = Send(b"ir", "ir", opens=True)
POLL = Send(b"pollReq", "pollReq", opens=False)


class Scripted:
    """A transaction that asks for one thing after the other, whatever it is told."""

    state = State.NEW

    def __init__(self, *instructions: Instruction) -> None:
        self.left = [*instructions, FINISH]
        self.told: list[Event] = []

    def handle(self, event: Event) -> list[Instruction]:
        self.told.append(event)
        return [self.left.pop(0)]


class LoopClock(Clock):
    """Unix time is that of the loop, 1000 s on."""

    def now(self) -> float:
        return 1000.0 + anyio.current_time()

    def unix(self, monotonic: float) -> float:
        return 1000.0 + monotonic

    async def sleep_until(self, when: float) -> None:
        await anyio.sleep(when - self.now())


@dataclass
class World:
    """What surrounds a transaction; answers take a second."""

    answers: list[httpx.Response | TransportError] = field(default_factory=list)
    posted: list[bytes] = field(default_factory=list)
    stored: list[Checkpoint] = field(default_factory=list)
    pace_file: Path | None = None
    stop_at: float | None = None
    observer: Observer | None = None

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        self.posted.append(request.content)
        await anyio.sleep(1.0)
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, TransportError):
            raise answer
        return answer or httpx.Response(
            200, headers={"Content-Type": "application/pkixcmp"}, content=b"answer"
        )

    async def _store(self, checkpoint: Checkpoint) -> None:
        await anyio.sleep(0.25)
        self.stored.append(checkpoint)

    async def _derive(self, derivation: Derivation) -> bytes:
        await anyio.sleep(0.5)
        return derivation.salt + b" made a key"

    def drive(self, transaction: Scripted, *, first: bool = False) -> Finish:
        async def main() -> Finish:
            stopping = anyio.Event()
            pacer: Pacer | None = None
            if self.pace_file is not None:
                pacer = SharedPacer(Pace(0.1), self.pace_file, anyio.current_time)
                await pacer.wait()
            client = CmpHttpClient("http://ca.test/", httpx.MockTransport(self._answer))
            around = Surroundings(client, LoopClock(), pacer, self._derive, stopping)
            async with client, anyio.create_task_group() as group:

                async def stop() -> None:
                    if self.stop_at is not None:
                        await anyio.sleep(self.stop_at)
                        stopping.set()

                if self.stop_at == 0.0:
                    stopping.set()
                group.start_soon(stop)
                driven: Any = transaction
                try:
                    return await drive(
                        driven, self._store, around, observer=self.observer, first=first
                    )
                finally:
                    group.cancel_scope.cancel()
            raise AssertionError

        return run(main)


def run(main: Callable[[], Awaitable[Finish]]) -> Finish:
    clock = trio.testing.MockClock(autojump_threshold=0)
    try:
        return anyio.run(main, backend="trio", backend_options={"clock": clock})
    except BaseExceptionGroup as group:
        (error,) = group.exceptions
        raise error from None


def test_instructions_are_carried_out_and_told() -> None:
    world = World()
    transaction = Scripted(DeriveKey(DERIVATION), Store(CHECKPOINT), REQUEST, WakeAt(1060.0))
    assert world.drive(transaction) is FINISH
    assert transaction.told == [
        Start(1000.0),
        KeyDerived(1000.5, b"salt made a key"),
        Stored(1000.75),
        Received(1001.75, b"answer", sent=1000.75),
        TimerFired(1060.0),
    ]
    assert world.stored == [CHECKPOINT]
    assert world.posted == [b"ir"]


class Looking(Observer):
    def __init__(self) -> None:
        self.seen: list[object] = []

    async def exchanged(self, send: Send, answer: Exchanged, began: float, ended: float) -> None:
        self.seen.append((send.label, type(answer), began, ended))

    def worked(self, seconds: float) -> None:
        self.seen.append(seconds)

    def judged(self, verdict: Verdict) -> None:
        raise AssertionError


def test_an_observer_is_told_of_each_exchange_and_of_our_own_work() -> None:
    looking = Looking()
    world = World([TransportError(Loss.BUSY, "HTTP 503")], observer=looking)
    world.drive(Scripted(DeriveKey(DERIVATION), REQUEST, WakeAt(1060.0), REQUEST))
    assert looking.seen == [
        # what a scripted transaction does takes no time
        *(0.0, 0.5, 0.0),
        ("ir", TransportError, 1000.5, 1001.5),
        *(0.0, 0.0),
        ("ir", Reply, 1060.0, 1061.0),
        0.0,
    ]


def test_several_that_look_on_are_told_the_same() -> None:
    first, second = Looking(), Looking()
    world = World(observer=Observers.of([first, second]))
    world.drive(Scripted(REQUEST))
    assert first.seen == second.seen != []
    assert Observers.of([first]) is first
    assert Observers.of([]) is None


def test_a_loss_is_told_with_what_the_server_asked_for() -> None:
    busy = httpx.Response(503, headers={"Retry-After": "7"})
    world = World([busy, TransportError(Loss.CUT, "reset")])
    transaction = Scripted(POLL, POLL)
    world.drive(transaction)
    told = transaction.told[1:]
    assert [(type(event), event.now) for event in told] == [(Lost, 1001.0), (Lost, 1002.0)]
    first, second = told
    assert isinstance(first, Lost)
    assert (first.loss, first.retry_after) == (Loss.BUSY, 7.0)
    assert second == Lost(1002.0, Loss.CUT, "reset")


@pytest.mark.parametrize("loss", [Loss.CONNECT, Loss.TLS])
def test_the_first_request_of_a_run_finds_no_server(loss: Loss) -> None:
    world = World([TransportError(loss, "refused")])
    with pytest.raises(UnreachableError) as caught:
        world.drive(Scripted(REQUEST), first=True)
    assert (caught.value.loss, caught.value.detail) == (loss, "refused")
    # the same is a loss like any other where the server was heard of
    world = World([TransportError(loss, "refused")])
    transaction = Scripted(REQUEST)
    world.drive(transaction)
    assert transaction.told[1] == Lost(1001.0, loss, "refused")


def test_after_any_exchange_there_is_a_server() -> None:
    gone = TransportError(Loss.CONNECT, "refused")
    for before in (httpx.Response(429), TransportError(Loss.CUT, "reset"), None):
        world = World([*([before] if before else []), gone])
        transaction = Scripted(REQUEST, REQUEST)
        if before is None:
            with pytest.raises(UnreachableError):
                world.drive(transaction, first=True)
        else:
            world.drive(transaction, first=True)
            assert transaction.told[-1] == Lost(1002.0, Loss.CONNECT, "refused")


def test_a_stop_cuts_waiting_short() -> None:
    world = World(stop_at=30.0)
    transaction = Scripted(WakeAt(1060.0), WakeAt(1090.0))
    world.drive(transaction)
    # and nothing waits from then on
    assert transaction.told[1:] == [Stop(1030.0), Stop(1030.0)]


def test_after_a_stop_no_transaction_opens_but_what_is_open_goes_on() -> None:
    world = World(stop_at=0.0)
    with pytest.raises(StoppedError):
        world.drive(Scripted(Store(CHECKPOINT), REQUEST))
    assert world.posted == []
    world.drive(Scripted(POLL))
    assert world.posted == [b"pollReq"]


def test_an_exchange_under_way_is_not_cut_by_a_stop() -> None:
    world = World(stop_at=0.5)
    transaction = Scripted(REQUEST)
    world.drive(transaction)
    assert transaction.told[1] == Received(1001.0, b"answer", sent=1000.0)


def test_only_what_opens_a_transaction_waits_for_its_turn(tmp_path: Path) -> None:
    world = World(pace_file=tmp_path / "pace")
    transaction = Scripted(POLL, REQUEST)
    world.drive(transaction)
    sent = [event.sent for event in transaction.told if isinstance(event, Received)]
    assert sent == [1000.0, pytest.approx(1010.0, abs=0.01)]


def test_a_stop_ends_the_wait_for_a_turn(tmp_path: Path) -> None:
    world = World(pace_file=tmp_path / "pace", stop_at=3.0)
    with pytest.raises(StoppedError):
        world.drive(Scripted(REQUEST))
    assert world.posted == []
