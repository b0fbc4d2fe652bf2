from typing import TYPE_CHECKING

import anyio
import pytest
import trio.testing

from bulkcmp.engine.load.watch import Watch
from bulkcmp.io.vitals import Vitals
from bulkcmp.stats.health import Pulse

if TYPE_CHECKING:
    from tests.engine.conftest import Scene


def test_pulses_tell_of_each_second(scene: "Scene") -> None:
    """A process that uses a quarter of a core, and holds its loop once for 0.3 s."""
    clock = trio.testing.MockClock(autojump_threshold=0)
    pulses: list[Pulse] = []
    ticks = 0

    def read() -> Vitals:
        return Vitals(cpu=anyio.current_time() / 4, open_files=12, most_files=64)

    def tick() -> None:
        nonlocal ticks
        ticks += 1
        if ticks == 15:
            watch.starved += 0.25

    async def hold() -> None:
        await anyio.sleep(2.55)
        # what blocks a loop: time passes, and nothing is woken
        clock.jump(0.3)

    async def main() -> None:
        watch.begin(scene.clock.now(), pulses.append)
        async with anyio.create_task_group() as group:
            group.start_soon(watch.run, tick)
            group.start_soon(hold)
            await anyio.sleep(4.55)
            group.cancel_scope.cancel()
        watch.beat()
        # nothing has happened since
        watch.beat()

    watch = Watch("worker 3", scene.clock, read)
    anyio.run(main, backend="trio", backend_options={"clock": clock})
    assert {one.process for one in pulses} == {"worker 3"}
    assert sum(one.seconds for one in pulses) == pytest.approx(4.55, abs=0.01)
    assert sum(one.starved for one in pulses) == pytest.approx(0.25)
    for one in pulses:
        assert one.cpu / one.seconds == pytest.approx(0.25, abs=0.01)
        assert (one.open_files, one.most_files) == (12, 64)
    late = [one.late for one in pulses]
    assert max(late) == pytest.approx(0.25, abs=0.06)
    assert sorted(late)[-2] == pytest.approx(0.0, abs=1e-6)
