"""CPU time and memory of processes."""

import resource
import time
from contextlib import suppress
from pathlib import Path

import psutil


def cpu_of(pid: int) -> float:
    """CPU seconds of one process that still is, to the nanosecond.

    Raises:
        OSError: it has ended.
    """
    # clock_getcpuclockid(3) of Linux, which Python does not have; /proc counts in ticks of 10 ms
    return time.clock_gettime((~pid << 3) | 2)


def ready_of(pid: int) -> float:
    """Seconds that one process ran or wanted to: what it did not, it waited for others than a core.

    Raises:
        OSError: it has ended.
    """
    # proc(5) of Linux: time on a core, and time in line for one, nanoseconds
    ran, in_line, _ = Path(f"/proc/{pid}/schedstat").read_text().split()
    return (int(ran) + int(in_line)) / 1e9


def tree(pid: int | None = None, *, besides: int | None = None) -> list[psutil.Process]:
    """A process (by default this one) and all that it started and that still are, but for one."""
    root = psutil.Process(pid)
    return [one for one in (root, *root.children(recursive=True)) if one.pid != besides]


class ClientMeter:
    """CPU seconds of this process and all that it starts, but for a server that it started too.

    Processes that have ended count once they were waited for.
    """

    def __init__(self, server: int) -> None:
        self._server = server
        self._began = 0.0
        self._began = self.read()

    def read(self) -> float:
        """Seconds since the meter was made."""
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        total = time.process_time() + ended.ru_utime + ended.ru_stime
        for process in tree(besides=self._server)[1:]:
            # one that has ended meanwhile counts the next time
            with suppress(OSError):
                total += cpu_of(process.pid)
        return total - self._began


def pss(processes: list[psutil.Process]) -> float:
    """Proportional set size of all together, MB."""
    total = 0
    for process in processes:
        # it may have ended meanwhile
        with suppress(psutil.Error):
            total += process.memory_full_info().pss
    return total / 1e6
