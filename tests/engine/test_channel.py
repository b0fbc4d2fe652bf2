import asyncio
import dataclasses
import datetime as dt
import socket
from typing import Any, get_args

import anyio
import pytest
import trio.testing

from bulkcmp.cmp.events import Checkpoint, Part, Phase
from bulkcmp.engine import channel as channel_module
from bulkcmp.engine.channel import Outbox, SocketChannel, memory_channels
from bulkcmp.engine.frame import (
    Assignment,
    Beat,
    Begin,
    Done,
    Drain,
    Exhausted,
    Failed,
    Finished,
    Frame,
    Halt,
    Host,
    Legacy,
    Logged,
    Lot,
    Member,
    Order,
    Over,
    Pinned,
    Proceed,
    Ready,
    Record,
    Recorded,
    Report,
    Returned,
    Setback,
    Setup,
    Supply,
    Task,
    TlsFiles,
    Told,
    Unreachable,
    Unsaved,
)
from bulkcmp.errors import InputError, Loss
from bulkcmp.io import loop
from bulkcmp.io.limits import Limits
from bulkcmp.journal.entry import (
    Advanced,
    Attempted,
    Begun,
    BegunRow,
    Ended,
    Entry,
    Resumed,
    Skipped,
)
from bulkcmp.journal.lease import Shard
from bulkcmp.load.arrivals import Ramp
from bulkcmp.load.certified import Certified
from bulkcmp.load.scenario import Lifecycle, Open, Step, Uniform
from bulkcmp.model import (
    BadRow,
    EndEntity,
    Itav,
    KeySpec,
    Operation,
    Outcome,
    OutcomeClass,
    Profile,
    Secret,
    Timings,
)
from bulkcmp.stats import progress
from bulkcmp.stats.health import Pulse
from bulkcmp.stats.record import Drop, Ending, Exchange, Level, TransactionRecord

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    backend: str = request.param
    return backend


OUTCOME = Outcome(OutcomeClass.REJECTED, "badAlg", "no", 2, ("badAlg",), "text")
CHECKPOINT = Checkpoint(
    b"id",
    b"a",
    b"b",
    b"c",
    b"p",
    9.5,
    (
        Part(
            7,
            Phase.GRANTED,
            -1,
            8.5,
            b"der",
            (b"ca",),
            (Itav("1.2"),),
            OUTCOME,
            True,
            OUTCOME,
            b"key",
        ),
    ),
    True,
)
ENTITY = EndEntity(
    7,
    8,
    "dev7",
    Operation.KUR,
    subject=b"dn",
    new_key_spec=KeySpec.parse("ml-dsa-65"),
    new_key=b"key",
    central_keygen=True,
    secret=Secret(b"hush"),
    cert=(b"cert", b"ca"),
    priority=3,
)
ENDED = Ended(
    7,
    8,
    "dev7",
    Operation.KUR,
    b"id",
    OUTCOME,
    Timings(1.0, 2.0, None, 3.0),
    2,
    dt.datetime(2027, 1, 1, tzinfo=dt.UTC),
)
SETUP = Setup(
    "http://ca.test/",
    Profile(),
    Limits(),
    TlsFiles(("ca.pem",), key_password=Secret(b"hush")),
    None,
    (b"root",),
    (),
    (),
    None,
    b"salt",
    10,
)
ENTRIES: list[Entry] = [
    Begun(
        CHECKPOINT,
        (BegunRow(7, 8, "dev7", Operation.KUR, b"dn", b"key", 4, "a/7", Secret(b"x")),),
    ),
    Resumed(b"id", (7,)),
    Advanced(CHECKPOINT),
    ENDED,
]
FRAMES: list[Frame] = [
    SETUP,
    Task((Member(ENTITY, b"key", 4, True),), CHECKPOINT, True, True),
    Task((Member(ENTITY), Member(ENTITY))),
    *(Record(number, entry) for number, entry in enumerate(ENTRIES)),
    Recorded(3),
    Pinned(b"root"),
    Done(7, (ENDED,)),
    Returned(7),
    Unreachable(7, Loss.TLS, "handshake"),
    Unsaved("disk full"),
    Failed("no", "hint", 2),
    Drain(),
    Order("postgresql://db/x", "r1", 30.0, Secret(b"hush"), SETUP, 4, 20.0),
    Lot(Shard(7, 9), (ENTITY,), True),
    Told(
        (
            progress.Started(),
            progress.Finished((("dev7", OUTCOME),), Timings(1.0)),
            progress.Settled("dev8", OUTCOME),
            progress.AlreadyDone(OutcomeClass.ISSUED, "", 2),
            progress.Abandoned(1),
            progress.KeysWaited(0.5),
        )
    ),
    Over(frozenset({Operation.KUR}), True, Loss.TLS, "handshake"),
    Assignment(
        {"ra": SETUP, "client": SETUP},
        0,
        2,
        (Lifecycle("a", 1.0, (Step(Operation.IR, Uniform(1.0, 2.0)),)),),
        Open((Ramp(1.0, 2.0, 3.0),)),
        5,
        60.0,
        1.0,
        30.0,
        100,
        host=Host("10.0.0.7:4711", 1, 0.001, 20.0),
        legacy=Legacy(9.5, ((4, 1, 2),), 7, 3),
    ),
    Ready(),
    Beat(),
    Begin(1.5),
    Supply(3, (Member(ENTITY, b"key"),), ((b"key 2",), (None,)), {"ra": (ENTITY,)}),
    Exhausted(),
    Report(
        7,
        (
            TransactionRecord(
                3,
                "a",
                0,
                Operation.IR,
                1.0,
                1.5,
                2.5,
                False,
                Ending.of((OUTCOME,)),
                1,
                (Exchange("ir", "ip", 1.5, 2.5, None, 1.6, 1.7, 1.8, 2.4, 700, 900),),
                0.002,
            ),
            Drop(4, "a", 1.0, 1.1, True),
            Pulse("worker 1", 1.0, 1.0, 0.5, 0.001),
            Level("worker 1", 1.0, 7),
        ),
        (Certified(3, "dev7", Operation.IR, 1 << 150, OutcomeClass.ISSUED, b"0\0"),),
    ),
    Finished(2),
    Halt(),
    Proceed(),
    Setback(3, "no answer"),
    Logged(9.5, 30, "lost", {"ms": 1.5, "detail": "no answer"}, b"id", 7, ("dev7", "dev8")),
]


def test_every_kind_of_frame_and_entry_is_tried() -> None:
    assert {type(frame) for frame in FRAMES} == set(get_args(Frame))
    # a bad row never comes to a worker, and the parent itself sees to deliveries
    assert {type(entry) for entry in ENTRIES} == set(get_args(Entry)) - {Skipped, Attempted}


def joined() -> tuple[SocketChannel, SocketChannel]:
    ours, theirs = socket.socketpair()
    return SocketChannel(ours), SocketChannel(theirs)


async def test_frames_arrive_as_they_were_sent() -> None:
    one, other = joined()
    await one.send(FRAMES)
    assert await other.receive() == FRAMES
    # as large as a socket's buffer is not
    many = [
        Task((Member(dataclasses.replace(ENTITY, number=n, csr=bytes(5000))),)) for n in range(400)
    ]
    async with anyio.create_task_group() as group:
        group.start_soon(other.send, many)
        assert await one.receive() == many
    await one.aclose()
    with pytest.raises(anyio.EndOfStream):
        await other.receive()
    await other.aclose()


def test_what_a_frame_gains_is_sent_too() -> None:
    """Fields are sent by position: all of them must be fields of the initialiser, in its order."""
    for kind in channel_module._REDUCERS:
        assert dataclasses.is_dataclass(kind)
        for one in dataclasses.fields(kind):
            assert one.init, one
            assert not one.kw_only, one
    whole = channel_module.packed([Record(1, Skipped(BadRow(1, 2, "x", ()), ENDED.finished_at))])
    (found,) = channel_module.unpacked(whole)
    assert isinstance(found, Record)
    assert isinstance(found.entry, Skipped)


async def test_half_a_batch_is_the_end() -> None:
    ours, theirs = socket.socketpair()
    channel = SocketChannel(theirs)
    with ours:
        ours.sendall(b"\x00\x00\x00\x10half")
    with pytest.raises(anyio.EndOfStream):
        await channel.receive()
    await channel.aclose()
    with pytest.raises(anyio.EndOfStream):
        await channel.receive()


async def test_the_other_end_is_gone_while_we_send() -> None:
    one, other = joined()
    await other.aclose()
    with pytest.raises(anyio.BrokenResourceError):
        await one.send(FRAMES)
    await one.aclose()
    await one.aclose()
    with pytest.raises(anyio.ClosedResourceError):
        await one.send(FRAMES)


async def test_closing_ends_who_waits() -> None:
    one, other = joined()
    async with anyio.create_task_group() as group:

        async def wait() -> None:
            with pytest.raises(anyio.EndOfStream):
                await one.receive()

        group.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        await one.aclose()
    await other.aclose()


def test_what_comes_for_a_reader_that_is_being_cancelled_is_kept() -> None:
    """On the loop of a real run; what the loop complains of would be on the user's terminal."""
    complaints: list[object] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: complaints.append(context)
        )
        one, other = joined()
        async with anyio.create_task_group() as group:
            group.start_soon(one.receive)
            await anyio.wait_all_tasks_blocked()
            # readable before the loop has told the reader that it is cancelled
            await other.send([Drain()])
            group.cancel_scope.cancel()
        assert await one.receive() == [Drain()]
        await one.aclose()
        await other.aclose()

    loop.run(main)
    assert complaints == []


async def test_within_one_process() -> None:
    parent, worker = memory_channels()
    await parent.send([Drain()])
    await worker.send([Returned(1)])
    assert await worker.receive() == [Drain()]
    assert await parent.receive() == [Returned(1)]
    worker.close()
    with pytest.raises(anyio.EndOfStream):
        await parent.receive()
    await parent.aclose()
    with pytest.raises(anyio.EndOfStream):
        await parent.receive()


class SlowChannel:
    """Records batches; each takes its time."""

    def __init__(self, error: Exception | None = None) -> None:
        self.batches: list[list[Any]] = []
        self.error = error

    async def send(self, frames: Any) -> None:
        if self.error is not None:
            raise self.error
        self.batches.append(list(frames))
        await anyio.sleep(0.01)

    async def receive(self) -> Any:
        raise NotImplementedError

    async def aclose(self) -> None:
        raise NotImplementedError


async def test_what_gathers_while_a_batch_is_sent_goes_with_the_next() -> None:
    channel = SlowChannel()
    outbox = Outbox(channel)
    async with anyio.create_task_group() as group:
        group.start_soon(outbox.run)
        outbox.put(Returned(1))
        await anyio.sleep(0.005)
        outbox.put(Returned(2))
        outbox.put(Returned(3))
        outbox.close()
        # the closing is no end for what was put before it
    assert channel.batches == [[Returned(1)], [Returned(2), Returned(3)]]


async def test_what_is_delivered_is_with_the_channel() -> None:
    channel = SlowChannel()
    outbox = Outbox(channel)
    async with anyio.create_task_group() as group:
        group.start_soon(outbox.run)
        outbox.put(Returned(1))
        await outbox.deliver(Returned(2))
        assert channel.batches == [[Returned(1), Returned(2)]]
        # while another batch is on its way
        outbox.put(Returned(3))
        await anyio.sleep(0.005)
        await outbox.deliver(Returned(4))
        assert channel.batches[1:] == [[Returned(3)], [Returned(4)]]
        outbox.close()


def test_a_batch_waits_for_a_sixteenth_of_what_is_under_way_or_a_while() -> None:
    clock = trio.testing.MockClock()  # stands until it is moved

    async def main() -> None:
        channel = SlowChannel()
        outbox = Outbox(channel)
        outbox.under_way = 64
        async with anyio.create_task_group() as group:
            group.start_soon(outbox.run)
            for number in range(4):
                await anyio.wait_all_tasks_blocked()
                assert channel.batches == []
                outbox.put(Returned(number))
            await anyio.wait_all_tasks_blocked()
            assert channel.batches == [[Returned(number) for number in range(4)]]
            clock.jump(1)
            outbox.put(Returned(4))
            await anyio.wait_all_tasks_blocked()
            assert len(channel.batches) == 1
            clock.jump(0.05)
            await anyio.wait_all_tasks_blocked()
            assert channel.batches[1:] == [[Returned(4)]]
            clock.jump(1)
            outbox.put(Returned(5))
            outbox.close()
            await anyio.wait_all_tasks_blocked()
            assert channel.batches[2:] == [[Returned(5)]]
            clock.jump(1)

    anyio.run(main, backend="trio", backend_options={"clock": clock})


async def test_an_outbox_that_is_closed_before_it_runs_sends_what_it_has() -> None:
    channel = SlowChannel()
    outbox = Outbox(channel)
    outbox.put(Returned(1))
    outbox.close()
    with anyio.fail_after(30):
        await outbox.run()
    assert channel.batches == [[Returned(1)]]
    empty = Outbox(channel)
    empty.close()
    with anyio.fail_after(30):
        await empty.run()


@pytest.mark.parametrize("error", [anyio.BrokenResourceError(), anyio.ClosedResourceError()])
async def test_an_outbox_ends_when_the_other_end_is_gone(error: Exception) -> None:
    outbox = Outbox(SlowChannel(error))
    outbox.put(Returned(1))
    with anyio.fail_after(30):
        await outbox.run()
    outbox.put(Returned(2))


def test_secrets_are_in_no_repr() -> None:
    text = repr([*FRAMES, InputError("x")])
    assert "hush" not in text
    assert "b'key'" not in text
