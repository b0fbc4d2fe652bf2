import os
import signal
from functools import partial

import anyio
import anyio.lowlevel
import pytest

from bulkcmp.engine.interruption import Interruption
from bulkcmp.io.loop import run


class Acts:
    """What a run was told to do."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def stop(self) -> None:
        self.told.append("stop")

    def abort(self) -> None:
        self.told.append("abort")


async def play(before: int, during: int) -> tuple[list[str], list[str], bool]:
    """Signals before there is a run, and while it goes on."""
    acts = Acts()
    say, heard = anyio.create_memory_object_stream[str](10)
    interruption = Interruption(say.send_nowait, "bye")
    early = interruption.part()
    notices: list[str] = []

    async def signals(count: int) -> None:
        for _ in range(count):
            os.kill(os.getpid(), signal.SIGINT)
            notices.append(await heard.receive())

    async with anyio.create_task_group() as group:
        await group.start(interruption.watch)
        await signals(before)
        interruption.attend(acts)
        await signals(during)
        await anyio.lowlevel.checkpoint()
        group.cancel_scope.cancel()
    say.close()
    heard.close()
    left = {part.cancel_called for part in (early, interruption.part())}
    assert left == {len(notices) == 2}
    return acts.told, notices, interruption.asked


STOP = "stopping: ending what is under way (again: leave at once)"
LEAVE = "leaving at once: bye"


@pytest.mark.parametrize(
    ("before", "during", "told", "notices"),
    [
        (0, 0, [], []),
        (0, 1, ["stop"], [STOP]),
        (0, 2, ["stop", "abort"], [STOP, LEAVE]),
        (1, 0, ["stop"], [STOP]),
        (1, 1, ["stop", "abort"], [STOP, LEAVE]),
        (2, 0, ["abort"], [STOP, LEAVE]),
    ],
)
def test_signals(before: int, during: int, told: list[str], notices: list[str]) -> None:
    assert run(partial(play, before, during)) == (told, notices, bool(notices))
