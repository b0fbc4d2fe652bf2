"""What this process costs its machine: CPU time and open files."""

import resource
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


def _open_files() -> int | None:
    try:
        # the listing itself holds one open
        return sum(1 for _ in _DESCRIPTORS.iterdir()) - 1
    except OSError:
        return None
