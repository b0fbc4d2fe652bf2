"""Our side of a node, in virtual time, with nodes that are gone in several ways."""

import time
from collections.abc import Awaitable, Callable

import anyio
import pytest
import trio.testing

from bulkcmp.cluster.link import LOST, Link, LostError
from bulkcmp.cluster.node import SILENCE, Batch, Said
from bulkcmp.engine.channel import packed, unpacked
from bulkcmp.engine.colleague import WorkerError
from bulkcmp.engine.frame import Begin, Drain, Frame, Host, Ready

AHEAD = 1000.0
"""Seconds by which the clock of the node is ahead."""


class FakeNode:
    """A node whose workers say what they are told, and which may be gone.

    Attributes:
        fault: what comes of whatever it is asked.
        trouble: why no worker can be started.
        deaf: what is to be told never arrives; slow: no worker is ever started.
    """

    def __init__(self) -> None:
        self.fault: Callable[[], Awaitable[None]] | None = None
        self.trouble: str | None = None
        self.deaf = False
        self.slow = False
        self.told: list[Frame] = []
        self.dismissed: list[int] = []
        self.said: list[Said] = []
        self.over = anyio.Event()
        self.took = [0.5, 0.02, 0.3]

    async def serve(self) -> None:
        await self.over.wait()

    async def clock(self) -> tuple[float, float]:
        # neither way is quicker than the other
        took = self.took[0]
        self.took = [*self.took[1:], took]
        await anyio.sleep(took / 2)
        now = anyio.current_time()
        await anyio.sleep(took / 2)
        return now + AHEAD, now - 7.0

    async def hire(self, place: int) -> str | None:
        await self._answer()
        if self.slow:
            await anyio.sleep_forever()
        return self.trouble

    async def tell(self, place: int, batch: Batch) -> None:
        await self._answer()
        if self.deaf:
            await anyio.sleep_forever()
        self.told += unpacked(batch.octets)
        self.said.append(Said(place, batch))

    async def collect(self) -> list[Said]:
        await self._answer()
        said, self.said = self.said, []
        return said

    async def dismiss(self, place: int) -> None:
        await self._answer()
        self.dismissed.append(place)

    async def _answer(self) -> None:
        if self.fault is not None:
            await self.fault()


def play(
    work: Callable[[Link, FakeNode], Awaitable[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        monkeypatch.setattr(time, "monotonic", anyio.current_time)
        monkeypatch.setattr(time, "time", anyio.current_time)
        node = FakeNode()
        link = Link("10.0.0.7:4711", node, 2)
        await link.measure()
        with anyio.fail_after(1000):
            async with anyio.create_task_group() as group:
                group.start_soon(link.serve)
                group.start_soon(link.listen)
                await work(link, node)
                group.cancel_scope.cancel()

    clock = trio.testing.MockClock(autojump_threshold=0)
    try:
        anyio.run(main, backend="trio", backend_options={"clock": clock})
    finally:
        monkeypatch.undo()


def test_a_worker_there_is_one_with_our_instants_on_its_clock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def work(link: Link, node: FakeNode) -> None:
        one = await link.hire()
        other = await link.hire()
        assert link.fullness == 1.0
        assert one.host is not None
        assert one.host == Host("10.0.0.7:4711", 2, one.host.clock_error, SILENCE)
        assert one.host.clock_error == pytest.approx(0.01)
        await one.channel.send([Begin(5.0), Drain()])
        begin, drain = node.told
        assert isinstance(begin, Begin)
        assert begin.at == pytest.approx(5.0 + AHEAD)
        assert drain == Drain()
        assert await one.channel.receive() == node.told
        await other.channel.send([Ready()])
        assert await other.channel.receive() == [Ready()]
        # one that is gone leaves what it said before
        node.said += [Said(0, Batch(packed([Ready()]))), Said(0, None)]
        assert await one.channel.receive() == [Ready()]
        with pytest.raises(anyio.EndOfStream):
            await one.channel.receive()
        assert link.fullness == 0.5
        await one.channel.aclose()
        await other.channel.aclose()
        assert node.dismissed == [0, 1]
        assert link.fullness == 0.0
        # what is said of who is not listened to any longer disturbs nobody
        node.said += [Said(1, Batch(packed([Ready()]))), Said(1, None)]
        await anyio.sleep(1)
        assert not link.is_lost

    play(work, monkeypatch)


def test_the_quickest_look_at_a_clock_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(link: Link, node: FakeNode) -> None:
        offset = await link.measure()
        assert offset.monotonic == pytest.approx(AHEAD)
        assert offset.unix == pytest.approx(-7.0)
        assert offset.error == pytest.approx(0.01)

    play(work, monkeypatch)


async def _gone() -> None:
    raise OSError("Unable to contact Actor's worker")


async def _released() -> None:
    raise RuntimeError("Worker holding Actor was lost.")


@pytest.mark.parametrize(
    ("fault", "seconds"), [(_gone, 0.0), (_released, 0.0), (anyio.sleep_forever, LOST)]
)
def test_a_node_that_is_gone_is_so_for_all_of_its_workers(
    monkeypatch: pytest.MonkeyPatch, fault: Callable[[], Awaitable[None]], seconds: float
) -> None:
    async def work(link: Link, node: FakeNode) -> None:
        colleagues = [await link.hire(), await link.hire()]
        node.fault = fault
        since = anyio.current_time()
        for one in colleagues:
            with pytest.raises(anyio.EndOfStream):
                await one.channel.receive()
        assert anyio.current_time() - since == pytest.approx(seconds, abs=0.2)
        assert link.is_lost
        with pytest.raises(LostError):
            await link.hire()
        with pytest.raises(anyio.BrokenResourceError):
            await colleagues[0].channel.send([Drain()])
        # which takes no time
        for one in colleagues:
            await one.channel.aclose()
        assert link.fullness == 0.0

    play(work, monkeypatch)


def test_a_node_that_can_not_tell_whether_it_started_a_worker_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def work(link: Link, node: FakeNode) -> None:
        node.slow = True
        with pytest.raises(LostError):
            await link.hire()
        assert link.is_lost
        assert link.fullness == 0.0

    play(work, monkeypatch)


def test_a_worker_that_can_not_be_told_anything_is_lost_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def work(link: Link, node: FakeNode) -> None:
        one, other = await link.hire(), await link.hire()
        node.deaf = True
        since = anyio.current_time()
        with pytest.raises(anyio.BrokenResourceError):
            await one.channel.send([Drain()])
        with pytest.raises(anyio.EndOfStream):
            await one.channel.receive()
        assert anyio.current_time() - since == pytest.approx(LOST)
        await one.channel.aclose()
        assert node.dismissed == [0]
        assert not link.is_lost
        await other.channel.aclose()

    play(work, monkeypatch)


def test_a_node_that_has_no_workers_any_longer_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(link: Link, node: FakeNode) -> None:
        one = await link.hire()
        node.over.set()
        with pytest.raises(anyio.EndOfStream):
            await one.channel.receive()
        assert link.is_lost
        await one.channel.aclose()

    play(work, monkeypatch)


def test_why_a_worker_can_not_be_started_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(link: Link, node: FakeNode) -> None:
        node.trouble = "a worker process can't be started: no room"
        with pytest.raises(WorkerError, match=r"10\.0\.0\.7:4711: a worker .*: no room"):
            await link.hire()
        assert link.fullness == 0.0

    play(work, monkeypatch)


def test_no_log_shows_what_a_batch_is() -> None:
    assert repr(Said(1, Batch(b"a secret"))) == "Said(place=1, batch=<8 octets>)"
