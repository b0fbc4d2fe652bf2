import os
import sys
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from bulkcmp.io.command import CommandEnd, run_command

pytestmark = pytest.mark.anyio

LONG = 60.0


async def shell(script: str, given: bytes = b"", seconds: float = LONG) -> CommandEnd:
    return await run_command(("sh", "-c", script), {"PATH": os.environ["PATH"]}, given, seconds)


async def until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(LONG):
        while not condition():  # noqa: ASYNC110  # of another process
            await anyio.sleep(0.01)


def is_gone(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True
    return stat.rpartition(")")[2].split()[0] == "Z"


def number_in(path: Path) -> int:
    """0 while there is none."""
    return int(path.read_text().strip() or 0) if path.exists() else 0


async def test_what_it_gets_and_says() -> None:
    end = await shell("cat; echo out; echo err >&2; env | grep -v ^PATH= | sort", b"given\n")
    assert end.problem == ""
    lines = end.output.decode().splitlines()
    assert lines[:3] == ["given", "out", "err"]
    # what a shell sets itself
    assert {line.partition("=")[0] for line in lines[3:]} <= {"PWD", "OLDPWD", "SHLVL", "_"}


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("exit 3", "exit code 3"),
        ("kill -KILL $$", "ended by SIGKILL"),
        ("kill -40 $$", "ended by signal 40"),
    ],
)
async def test_how_it_fails(script: str, problem: str) -> None:
    assert (await shell(script)).problem == problem


async def test_a_program_that_is_not_there() -> None:
    end = await run_command(("/nowhere/at-all",), {}, b"", LONG)
    assert end == CommandEnd("can't be started: No such file or directory", b"")


async def test_it_need_not_read() -> None:
    assert await shell("exec <&-; exit 0", bytes(1 << 20)) == CommandEnd("", b"")


async def test_the_last_of_much_output_is_kept() -> None:
    program = "import sys; sys.stdout.write('x' * 3_000_000 + 'the end')"
    end = await run_command((sys.executable, "-c", program), {}, b"", LONG)
    assert end.problem == ""
    assert len(end.output) == 64 * 1024
    assert end.output.endswith(b"xthe end")


async def test_one_that_hangs_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    # which outlives it, and heeds no SIGTERM
    child = "(trap '' TERM; exec sleep 1000)"
    end = await shell(f"{child} & echo $! > {pids}; echo waiting; wait", seconds=0.5)
    assert end.problem == "no end within 0.5 s"
    # a machine that is busy may not have come so far
    if number := number_in(pids):
        await until(lambda: is_gone(number))


async def test_one_that_hangs_and_heeds_no_sigterm() -> None:
    end = await shell("trap '' TERM; while :; do sleep 0.1; done", seconds=0.5)
    assert end.problem == "no end within 0.5 s"


async def test_what_it_leaves_running_holds_nothing_up(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    end = await shell(f"echo done; sleep 1000 & echo $! > {pid}")
    assert end == CommandEnd("", b"done\n")
    os.kill(number_in(pid), 9)


async def test_to_cancel_it_is_to_end_it(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    async with anyio.create_task_group() as group:
        group.start_soon(shell, f"echo $$ > {pid}; exec sleep 1000")
        await until(lambda: number_in(pid) > 0)
        group.cancel_scope.cancel()
    await until(lambda: is_gone(number_in(pid)))
