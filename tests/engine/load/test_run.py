"""What ends a load test before its time."""

from typing import TYPE_CHECKING

import anyio
import pytest
from anyio.abc import TaskGroup

from bulkcmp.engine.channel import MemoryChannel
from bulkcmp.engine.colleague import Colleague, WorkerError, hire_task
from bulkcmp.engine.frame import Assignment, Failed, Ready, Recorded
from bulkcmp.engine.keys import KeySource
from bulkcmp.errors import BulkcmpError, InputError
from bulkcmp.model import KeySpec
from tests.engine.conftest import EPOCH

if TYPE_CHECKING:
    from tests.engine.load.conftest import Load


class FewKeys(KeySource):
    """Ends after some."""

    starved = 0.0

    def __init__(self, source: KeySource, left: int) -> None:
        self._source = source
        self._left = left

    async def take(self, spec: KeySpec) -> tuple[bytes, int | None]:
        self._left -= 1
        if self._left < 0:
            raise InputError(f"no {spec} key is left")
        return await self._source.take(spec)


def test_without_keys_it_ends_and_tells_why(load: "Load") -> None:
    keys = FewKeys(load.scene.fresh_keys, 2000)
    with pytest.raises(InputError, match="no ec:P-256 key is left"):
        load.play(load.steady(1000.0), keys=keys, drain=10.0)
    # what had begun was drained
    assert load.records
    assert all(one.is_ok for one in load.records)


def test_seconds_count_from_the_first_start_not_from_the_making_of_keys(load: "Load") -> None:
    class SlowKeys(FewKeys):
        async def take(self, spec: KeySpec) -> tuple[bytes, int | None]:
            await anyio.sleep(0.5)
            return await super().take(spec)

    load.play(load.steady(10.0), count=4, keys=SlowKeys(load.scene.fresh_keys, 4))
    (began,) = load.begun
    # four keys were made before
    assert began > EPOCH + 2.0
    first = EPOCH + load.scene.peer.seen[0].at
    assert began + load.records[0].started == pytest.approx(first, abs=0.003)


def test_it_may_be_stopped_while_its_workers_start(load: "Load") -> None:
    inner = load.hire()

    async def hire(group: TaskGroup) -> Colleague:
        colleague = await inner(group)
        load.run.stop()
        return colleague

    load.play(load.steady(10.0), workers=3, hire=hire)
    assert not load.records
    assert not load.begun


def test_a_worker_that_dies_ends_it(load: "Load") -> None:
    inner = load.hire()
    hired: list[Colleague] = []

    async def hire(group: TaskGroup) -> Colleague:
        colleague = await inner(group)
        hired.append(colleague)
        if len(hired) == 2:

            async def die() -> None:
                await anyio.sleep(5.0)
                await colleague.channel.aclose()

            group.start_soon(die)
        return colleague

    with pytest.raises(WorkerError, match="a worker died"):
        load.play(load.steady(10.0), workers=2, hire=hire, drain=5.0)
    # the other one told all that it measured
    assert len(load.records) > 40


@pytest.mark.parametrize(
    ("said", "message"),
    [(Failed("no room", "make some", 2), "no room"), (Recorded(1), "a worker said Recorded")],
)
def test_what_a_worker_says_may_end_it(load: "Load", said: Failed | Recorded, message: str) -> None:
    async def work(channel: MemoryChannel) -> None:
        (assignment, *_) = await channel.receive()
        assert isinstance(assignment, Assignment)
        await channel.send([Ready(), said])
        await anyio.sleep(1)

    with pytest.raises(BulkcmpError, match=message):
        load.play(load.steady(1.0), hire=hire_task(work))
