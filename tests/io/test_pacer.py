import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import anyio
import pytest
import trio.testing

from bulkcmp.io.pacer import SharedPacer
from bulkcmp.load.pace import Pace


def most_in_a_second(times: Sequence[float]) -> int:
    """The most starts in any closed window of one second."""
    return max(sum(1 for other in times if 0.0 <= other - time <= 1.0) for time in times)


def test_many_tasks_share_one_ceiling(tmp_path: Path) -> None:
    times: list[float] = []

    async def main() -> None:
        pacer = SharedPacer(Pace(12.5), tmp_path / "pace", anyio.current_time)

        async def enroll() -> None:
            for _ in range(20):
                await pacer.wait()
                times.append(anyio.current_time())

        async with anyio.create_task_group() as group:
            for _ in range(30):
                group.start_soon(enroll)

    clock = trio.testing.MockClock(autojump_threshold=0)
    anyio.run(main, backend="trio", backend_options={"clock": clock})
    assert len(times) == 600
    assert most_in_a_second(times) <= 13
    assert 599 / (times[-1] - times[0]) == pytest.approx(12.5, rel=0.01)


def test_a_waiter_that_gives_up_lets_the_next_one_go(tmp_path: Path) -> None:
    async def main() -> None:
        pacer = SharedPacer(Pace(0.1), tmp_path / "pace", anyio.current_time)
        await pacer.wait()
        with anyio.move_on_after(3.0):
            await pacer.wait()
        began = anyio.current_time()
        await pacer.wait()
        assert anyio.current_time() - began == pytest.approx(7.0, abs=0.01)

    clock = trio.testing.MockClock(autojump_threshold=0)
    anyio.run(main, backend="trio", backend_options={"clock": clock})


CLAIMER = """
import sys, time
from pathlib import Path
import anyio
from bulkcmp.io import loop
from bulkcmp.io.pacer import SharedPacer
from bulkcmp.load.pace import Pace

async def main():
    pacer = SharedPacer(Pace(float(sys.argv[2])), Path(sys.argv[1]))
    print("ready", flush=True)
    sys.stdin.readline()
    async def claim():
        for _ in range(7):
            await pacer.wait()
            print(time.monotonic())
    async with anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(claim)

loop.run(main)
"""


def test_three_processes_share_one_ceiling(tmp_path: Path) -> None:
    rate = 300.0
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", CLAIMER, str(tmp_path / "pace"), str(rate)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    began = time.monotonic()
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    told = [list(map(float, process.communicate()[0].split())) for process in processes]
    assert [len(times) for times in told] == [70] * 3
    # a claim is made before it is printed
    assert rate * (max(map(max, told)) - began) + 2 >= 210


def test_a_process_that_is_killed_holds_nobody_up(tmp_path: Path) -> None:
    file = tmp_path / "pace"
    code = (
        "import fcntl, os, sys, time; fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT);"
        " fcntl.flock(fd, fcntl.LOCK_EX); print('locked', flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(file)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        process.kill()
    anyio.run(SharedPacer(Pace(1000.0), file).wait)
    assert file.stat().st_size == 8


def test_a_file_that_a_killed_process_left_half_written_is_an_empty_one(tmp_path: Path) -> None:
    file = tmp_path / "pace"
    file.write_bytes(b"123")
    anyio.run(SharedPacer(Pace(1000.0), file).wait)
    assert file.stat().st_size == 8
    assert file.stat().st_mode & 0o022 == 0
