"""Where the CPU time of a piece of work goes, by cProfile: that of the thread which runs it, and
since Python 3.12 that of all threads."""

import cProfile
import pstats
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from benchmarks.figure import Line, Profile

_SHOWN: Final = 15

# since Python 3.12 it sees the calls of all threads, whose own clocks would be taken for one
_CPU_TIME: Final = time.process_time if sys.version_info >= (3, 12) else time.thread_time


def profiled(title: str, work: Callable[[cProfile.Profile], object], units: int) -> Profile:
    """The functions that take most of the time of `work` themselves.

    Args:
        work: given the profiler, which it may disable for a while.
        units: how many units of work it does, to which calls are counted.
    """
    # by the clock, whoever hands over to another process would seem to take that one's time
    profiler = cProfile.Profile(_CPU_TIME)
    profiler.enable()
    work(profiler)
    profiler.disable()
    # what pstats makes of it is known to its documentation, not to its types
    stats: dict[tuple[str, int, str], Any] = pstats.Stats(profiler).stats  # type: ignore[attr-defined]
    total = sum(own for _, _, own, _, _ in stats.values())
    found = sorted(stats.items(), key=lambda one: -one[1][2])[:_SHOWN]
    lines = (
        Line(_named(place), round(own / total, 4), round(calls / units, 1))
        for place, (_, calls, own, _, _) in found
    )
    return Profile(title, tuple(lines))


def _named(place: tuple[str, int, str]) -> str:
    file, line, function = place
    if file == "~":
        return function.strip("<>")
    path = Path(file)
    parts = path.parts[-3:] if "site-packages" not in path.parts else path.parts[-2:]
    return f"{'/'.join(parts)}:{line} {function}"
