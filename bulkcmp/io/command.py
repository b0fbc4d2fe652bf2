"""A command of the user's, run for its exit code: without a shell, in time, little output kept."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import anyio
from anyio.abc import ByteReceiveStream, ByteSendStream, Process

_OUTPUT: Final = 64 * 1024
"""Octets of output that are kept: the last ones."""

_GRACE: Final = 2.0
"""Seconds between SIGTERM and SIGKILL."""

_REST: Final = 1.0
"""Seconds for what a command that has ended left in its pipes: its children may hold them open."""


@dataclass(frozen=True, slots=True)
class CommandEnd:
    """How a command ended.

    Attributes:
        problem: why it did not do what it was to do; empty where its exit code is 0.
        output: the last octets that it wrote to standard output and standard error.
    """

    problem: str
    output: bytes


async def run_command(
    arguments: Sequence[str], environ: Mapping[str, str], given: bytes, seconds: float
) -> CommandEnd:
    """Run a command to its end.

    It is in a session of its own: the terminal's Ctrl-C is not for it. When its time is over, or
    this is cancelled, it and all that it started get SIGTERM, and SIGKILL where that is not enough.

    Args:
        arguments: the program, which is looked for in our PATH, and what it is given.
        environ: its whole environment.
        given: what it can read from standard input; it need not.
        seconds: how long it may take.
    """
    try:
        # one that was cancelled as it starts would be left running
        with anyio.CancelScope(shield=True):
            process = await anyio.open_process(
                arguments,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=environ,
                start_new_session=True,
            )
    except OSError as error:
        return CommandEnd(f"can't be started: {error.strerror or error}", b"")
    output = bytearray()
    assert process.stdin is not None, "it was asked for"
    assert process.stdout is not None, "it was asked for"
    try:
        with anyio.move_on_after(seconds):
            async with anyio.create_task_group() as group:
                group.start_soon(_give, process.stdin, given)
                group.start_soon(_take, process.stdout, output)
                await process.wait()
                group.cancel_scope.deadline = anyio.current_time() + _REST
    finally:
        is_late = process.returncode is None
        with anyio.CancelScope(shield=True):
            await _end(process)
            await process.aclose()
    problem = f"no end within {seconds:g} s" if is_late else _problem(process.returncode)
    return CommandEnd(problem, bytes(output))


async def _give(stream: ByteSendStream, given: bytes) -> None:
    # whoever does not read it has no need of it
    with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
        await stream.send(given)
        await stream.aclose()


async def _take(stream: ByteReceiveStream, output: bytearray) -> None:
    with suppress(anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
        while True:
            output += await stream.receive()
            del output[:-_OUTPUT]


async def _end(process: Process) -> None:
    """Have a process end that has not, and all that it started."""
    if process.returncode is not None:
        return
    # twice in any case: what it started may outlive it
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with anyio.move_on_after(_GRACE):
            await process.wait()


def _problem(code: int | None) -> str:
    if not code:
        return ""
    if code > 0:
        return f"exit code {code}"
    try:
        return f"ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"ended by signal {-code}"
