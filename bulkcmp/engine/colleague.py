"""The workers of a run as their parent has them: processes, or tasks of its own loop."""

import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import anyio
from anyio.abc import Process, TaskGroup

from bulkcmp.engine.channel import Channel, MemoryChannel, Outbox, SocketChannel, memory_channels
from bulkcmp.engine.frame import Host, Task
from bulkcmp.errors import BulkcmpError

PATIENCE: Final = 3.0
"""Seconds that a worker has to end by itself."""


class WorkerError(BulkcmpError):
    """A worker can't work."""


@dataclass(slots=True)
class Colleague:
    """The parent's view of a worker.

    Attributes:
        process: None for a worker that runs as a task of the parent's own loop, or elsewhere.
        host: where it is; None for our own machine.
        share: transactions that it may have in flight at the same time.
        tasks: what it has in hand, by row number; started: the part of it that it has begun;
            asking: the part of that whose request has no answer yet.
    """

    channel: Channel
    process: Process | None = None
    host: Host | None = None
    outbox: Outbox = field(init=False)
    share: int = field(init=False, default=0)
    tasks: dict[int, Task] = field(init=False, default_factory=dict)
    started: set[int] = field(init=False, default_factory=set)
    asking: set[int] = field(init=False, default_factory=set)

    def __post_init__(self) -> None:
        self.outbox = Outbox(self.channel)


Hire = Callable[[TaskGroup], Awaitable[Colleague]]
"""Starts a worker; what it runs besides its process goes into the task group."""


@dataclass(frozen=True, slots=True)
class Crew:
    """The workers that a load test may have.

    Attributes:
        hire: starts one, and another where one was lost.
        lead: seconds from the word to begin to the beginning, so that all have heard it by then.
    """

    hire: Hire
    lead: float = 0.25


def hire_processes(module: str) -> Hire:
    """Start workers in processes of their own, which end when we do.

    What is returned raises WorkerError where the machine has no more processes or file descriptors.

    Args:
        module: what such a process runs, given the descriptor of its end of the channel.
    """

    async def hire(_group: TaskGroup) -> Colleague:
        try:
            ours, theirs = socket.socketpair()
            with theirs:
                try:
                    # a cancelled start could leave a process that nobody knows
                    with anyio.CancelScope(shield=True):
                        process = await _start_process(module, theirs.fileno())
                except BaseException:
                    ours.close()
                    raise
        except OSError as error:
            raise WorkerError(
                f"a worker process can't be started: {error.strerror}",
                hint="lower --workers, or raise the limits of this machine (ulimit -n, -u)",
            ) from error
        return Colleague(SocketChannel(ours), process)

    return hire


async def _start_process(module: str, descriptor: int) -> Process:
    return await anyio.open_process(
        [sys.executable, "-P", "-m", module, str(descriptor)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=None,
        # the terminal's Ctrl-C is ours alone
        start_new_session=True,
        pass_fds=(descriptor,),
    )


def hire_task(work: Callable[[MemoryChannel], Awaitable[None]]) -> Hire:
    """Start workers as tasks of our own loop: for tests in virtual time."""

    async def hire(group: TaskGroup) -> Colleague:
        ours, theirs = memory_channels()

        async def run() -> None:
            try:
                await work(theirs)
            finally:
                theirs.close()

        group.start_soon(run)
        return Colleague(ours)

    return hire


async def end(process: Process) -> None:
    """Wait for a worker's process to end by itself; make it, if it takes its time."""
    with anyio.move_on_after(PATIENCE):
        await process.wait()
    if process.returncode is None:
        process.kill()
        await process.wait()
    await process.aclose()


async def dismiss(colleagues: Iterable[Colleague]) -> None:
    """End workers that are still there: they were left in the middle of their work."""
    colleagues = list(colleagues)
    for colleague in colleagues:
        if colleague.process is not None:
            with suppress(ProcessLookupError):
                colleague.process.kill()
    for colleague in colleagues:
        await colleague.channel.aclose()
        if colleague.process is not None:
            await end(colleague.process)
