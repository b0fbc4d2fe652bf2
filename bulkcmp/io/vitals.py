"""What this process costs its machine: CPU time and open files."""

import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_DESCRIPTORS: Final = Path("/proc/self/fd")


@dataclass(frozen=True, slots=True)
class Vitals:
    """Of one process, at one instant.

    Attributes:
        cpu: seconds of CPU time since it began, its own and the kernel's for it.
        open_files: descriptors in use; None where the system does not tell.
        most_files: descriptors that it may have.
    """

    cpu: float
    open_files: int | None
    most_files: int


def vitals() -> Vitals:
    """Those of this process, now."""
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return Vitals(time.process_time(), _open_files(), most)


def most_open_files() -> int:
    """How many open files a process may have, if it asks for them."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if most == resource.RLIM_INFINITY else most


def allow_open_files() -> None:
    """Let this process have as many open files as it may."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _open_files() -> int | None:
    try:
        # the listing itself holds one open
        return sum(1 for _ in _DESCRIPTORS.iterdir()) - 1
    except OSError:
        return None
