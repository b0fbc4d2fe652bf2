"""A node with real processes, without Dask."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import psutil
import pytest

from bulkcmp.cluster import node as module
from bulkcmp.cluster.node import Batch, Node
from bulkcmp.engine.channel import packed, unpacked
from bulkcmp.engine.frame import Beat, Drain, Frame, Ready

pytestmark = pytest.mark.anyio

ECHO = "tests.cluster.echo"


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    backend: str = request.param
    return backend


@asynccontextmanager
async def serving(made: Node) -> AsyncIterator[Node]:
    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            group.start_soon(made.serve)
            yield made
            await made.leave()


async def heard(
    node: Node, count: int, *, beats: bool = False
) -> list[tuple[int, list[Frame] | None]]:
    """So many words of workers at least, in their order; None of one that is gone.

    Args:
        beats: those that echo a beat count, too.
    """
    found: list[tuple[int, list[Frame] | None]] = []
    while len(found) < count:
        for said in await node.collect():
            frames = None if said.batch is None else list(unpacked(said.batch.octets))
            if beats or frames != [Beat()]:
                found.append((said.place, frames))
    return found


async def test_batches_go_to_workers_and_come_back() -> None:
    async with serving(Node(ECHO)) as node:
        for place in (0, 1):
            assert await node.hire(place) is None
        await node.tell(0, Batch(packed([Ready()])))
        assert await heard(node, 1) == [(0, [Ready()])]
        await node.tell(1, Batch(packed([Drain(), Ready()])))
        assert await heard(node, 1) == [(1, [Drain(), Ready()])]
        await node.dismiss(1)
        assert await heard(node, 1) == [(1, None)]
        # which nobody listens to
        await node.tell(1, Batch(packed([Ready()])))
        await node.dismiss(1)


async def test_workers_are_told_that_their_parent_was_heard_but_not_before_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_BEAT", 0.01)
    async with serving(Node(ECHO)) as node:
        assert await node.hire(0) is None
        # time for many of them
        assert await node.collect() == []
        await node.tell(0, Batch(packed([Ready()])))
        first, *others = await heard(node, 3, beats=True)
        assert first == (0, [Ready()])
        assert others[:2] == [(0, [Beat()])] * 2


async def test_a_worker_that_says_too_much_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ROOM", 1)
    async with serving(Node(ECHO)) as node:
        assert await node.hire(0) is None
        for _ in range(5):
            await node.tell(0, Batch(packed([Ready()])))
        assert len(await node.collect()) == 1
        assert await heard(node, 4) == [(0, [Ready()])] * 4


async def test_a_node_that_nobody_asks_ends_with_its_workers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def workers() -> int:
        return sum(ECHO in one.cmdline() for one in psutil.Process().children())

    monkeypatch.setattr(module, "_BEAT", 0.01)
    node = Node(ECHO)
    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            group.start_soon(node.serve)
            assert await node.hire(0) is None
            await node.tell(0, Batch(packed([Ready()])))
            assert await heard(node, 1) == [(0, [Ready()])]
            assert workers() == 1
            monkeypatch.setattr(module, "SILENCE", 0.0)
    assert workers() == 0


async def test_what_keeps_a_worker_from_starting_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("bulkcmp.engine.colleague.socket.socketpair", refuse)
    async with serving(Node(ECHO)) as node:
        found = await node.hire(0)
        assert found == "a worker process can't be started: Too many open files"
        # and the place is free
        await node.tell(0, Batch(packed([Ready()])))
