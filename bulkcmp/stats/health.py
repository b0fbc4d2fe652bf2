"""How the load generator itself did: whether it, and not the server, set the pace.

Each process of the generator notes its pulse at every interval; what they come to stands above the
figures of a run, since a generator that was short of something measures itself.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import isfinite
from typing import Final

from bulkcmp.stats.histogram import Histogram

SATURATED: Final = 0.9
"""Share of one core from which a process, which has one event loop, is taken to be full."""

LATE: Final = 0.05
"""Seconds by which a timer may be late."""

SOMETIMES: Final = 0.1
"""Share of the intervals in which a process may be full, or a timer of it too late."""

ONCE: Final = 2
"""Intervals of which that is no matter, however short the run: any machine has a hiccup."""

HELD_UP: Final = 1.0
"""Seconds of delay, summed, of which that is no matter."""

STARVED: Final = 0.01
"""Share of the run for which starts may have waited for keys."""

CROWDED: Final = 0.9
"""Share of the open files that a process may have which it may use."""


@dataclass(frozen=True, slots=True)
class Pulse:
    """What one process noted of itself over one interval.

    Attributes:
        process: `parent`, `worker 1`, `worker 2 on 10.0.0.7` ...
        at: seconds since the run's beginning, at the interval's end; seconds: its length.
        cpu: CPU seconds used in it.
        late: the most seconds by which the event loop woke it too late.
        starved: seconds for which a start that was due waited for its key.
        open_files: in use, None where it is not known; most_files: what it may have.
        clock_error: seconds by which its instants may be off those of the parent, for it is on
            another machine.
    """

    process: str
    at: float
    seconds: float
    cpu: float
    late: float
    starved: float = 0.0
    open_files: int | None = None
    most_files: int = 0
    clock_error: float = 0.0


@dataclass(frozen=True, slots=True)
class ProcessHealth:
    """What the pulses of one process come to.

    Attributes:
        process: its name; where there are several runs, with the number of its run.
        seconds: that its pulses are of.
        cpu: mean share of one core; cpu_max: the highest of an interval; cpu_seconds: in all.
        saturated: intervals in which it was full; delayed: in which a timer was too late.
        intervals: all of them.
        late_p99: of the intervals' worst delays, seconds; late_max: the worst of all.
        held_up: those of `delayed`, summed.
        starved: seconds.
        open_files: the most that were in use; None where it is not known.
        clock_error: as of its pulses.
    """

    process: str
    seconds: float
    cpu: float
    cpu_max: float
    cpu_seconds: float
    intervals: int
    saturated: int
    delayed: int
    late_p99: float
    late_max: float
    held_up: float
    starved: float
    open_files: int | None
    most_files: int
    clock_error: float = 0.0


class Health:
    """Aggregates the pulses of one run, or of several that `begin` one after the other.

    Processes of different runs stay apart, whatever their names: one that was full in all of its
    run was, though another run had a process that idled.
    """

    def __init__(self) -> None:
        self._runs = 0
        self._processes: dict[tuple[int, str], _Sum] = {}

    def begin(self) -> None:
        """The pulses that follow are those of a run."""
        self._runs += 1

    def add(self, pulse: Pulse) -> None:
        self._processes.setdefault((self._runs, pulse.process), _Sum()).add(pulse)

    def processes(self) -> tuple[ProcessHealth, ...]:
        """In the order in which they were first heard of."""
        return tuple(
            total.health(f"run {run} {name}" if self._runs > 1 else name)
            for (run, name), total in self._processes.items()
        )


class _Sum:
    __slots__ = (
        "clock_error", "cpu", "cpu_max", "delayed", "full", "held_up", "intervals", "lates",
        "most_files", "open_files", "seconds", "starved",
    )  # fmt: skip

    def __init__(self) -> None:
        self.intervals = self.full = self.delayed = 0
        self.seconds = self.cpu = self.cpu_max = self.starved = self.held_up = 0.0
        self.lates = Histogram()
        self.open_files: int | None = None
        self.most_files = 0
        self.clock_error = 0.0

    def add(self, pulse: Pulse) -> None:
        share = pulse.cpu / pulse.seconds
        if not isfinite(share):
            raise ValueError(f"a pulse of {pulse.seconds!r} s says nothing")
        self.intervals += 1
        self.full += share >= SATURATED
        if pulse.late > LATE:
            self.delayed += 1
            self.held_up += pulse.late
        self.seconds += pulse.seconds
        self.cpu += pulse.cpu
        self.cpu_max = max(self.cpu_max, share)
        self.starved += pulse.starved
        self.lates.record(pulse.late)
        if pulse.open_files is not None:
            self.open_files = max(self.open_files or 0, pulse.open_files)
        self.most_files = pulse.most_files
        self.clock_error = max(self.clock_error, pulse.clock_error)

    def health(self, process: str) -> ProcessHealth:
        return ProcessHealth(
            process,
            self.seconds,
            self.cpu / self.seconds,
            self.cpu_max,
            self.cpu,
            self.intervals,
            self.full,
            self.delayed,
            self.lates.percentile(99) or 0.0,
            self.lates.max or 0.0,
            self.held_up,
            self.starved,
            self.open_files,
            self.most_files,
            self.clock_error,
        )


def bottlenecks(processes: Iterable[ProcessHealth]) -> tuple[str, ...]:
    """What the generator was short of, each in one line for a human; none where it kept up."""
    found: list[str] = []
    for one in processes:
        if _is_often(one.saturated, one.intervals):
            found.append(
                f"{one.process} used {one.cpu:.0%} of a core, and was full in {one.saturated} of"
                f" {one.intervals} intervals: give more --workers, or a machine with more cores"
            )
        if _is_often(one.delayed, one.intervals):
            found.append(
                f"{one.process} was woken more than {LATE * 1e3:.0f} ms late in {one.delayed} of"
                f" {one.intervals} intervals, at worst {one.late_max * 1e3:,.0f} ms: the machine"
                " has too little CPU for it"
            )
        elif one.held_up > max(HELD_UP, SOMETIMES * one.seconds):
            found.append(
                f"{one.process} stood still for {one.held_up:,.1f} s of {one.seconds:,.1f} s: the"
                " machine has too little CPU for it, or was asleep"
            )
        if one.starved > STARVED * one.seconds:
            found.append(
                f"{one.process} waited {one.starved:,.1f} s for keys: make them before, with"
                " bulkcmp keys generate"
            )
        if one.open_files is not None and one.open_files > CROWDED * one.most_files:
            found.append(
                f"{one.process} had {one.open_files:,} of {one.most_files:,} files open: raise the"
                " limit (ulimit -n)"
            )
    return tuple(found)


def _is_often(times: int, intervals: int) -> bool:
    return times > max(ONCE, SOMETIMES * intervals)
