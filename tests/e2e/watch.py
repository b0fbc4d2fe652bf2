"""What long runs use while they go on, sampled from outside; and whether it is flat or linear."""

import csv
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from statistics import fmean, median
from types import TracebackType
from typing import Final, Self

import psutil

_MODULE: Final = re.compile(r"-m bulkcmp\.engine\.(?:load\.)?(\w+)|from bulkcmp\.io\.(keyworker)")

Sample = Mapping[str, float]
"""A figure by its name; `second` since the beginning is in each."""


class Watch:
    """Samples processes and other figures into a CSV file, until the block ends.

    Of each process there are its PSS, RSS and USS in octets, open file descriptors and threads.
    PSS is the fair one to add up; but it depends on who else has the same libraries mapped, so what
    a process has for itself alone (USS) is what says whether it grows.

    Args:
        processes: by name: those below them are named after them.
        figures: what else is to be sampled, by name; None where there is nothing to be told.
        every: seconds.
    """

    def __init__(
        self,
        path: Path,
        processes: Callable[[], Mapping[str, int]],
        figures: Mapping[str, Callable[[], float | None]],
        every: float,
    ) -> None:
        self._path = path
        self._processes = processes
        self._figures = figures
        self._every = every
        self._began = time.monotonic()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._samples: list[Sample] = []
        self._failure: BaseException | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()
        if self._failure is not None and error is None:
            raise self._failure

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._began

    @property
    def samples(self) -> Sequence[Sample]:
        return tuple(self._samples)

    def _watch(self) -> None:
        try:
            with self._path.open("w", newline="") as file:
                table = csv.writer(file)
                table.writerow(("second", "figure", "value"))
                for number in count(1):
                    if self._over.wait(max(0.0, number * self._every - self.elapsed)):
                        break
                    second = round(self.elapsed, 1)
                    sample = dict(self._sample())
                    table.writerows((second, name, value) for name, value in sample.items())
                    file.flush()
                    self._samples.append({"second": second, **sample})
        except Exception as error:
            self._failure = error

    def _sample(self) -> Iterator[tuple[str, float]]:
        for name, read in self._figures.items():
            if (value := read()) is not None:
                yield name, value
        for name, pid in self._processes().items():
            with suppress(psutil.Error):
                parent = psutil.Process(pid)
                yield from _usage(name, parent)
                counts: dict[str, int] = {}
                children = sorted(parent.children(recursive=True), key=lambda one: one.pid)
                yield f"{name}.processes", 1 + len(children)
                for child in children:
                    with suppress(psutil.Error):
                        found = _MODULE.search(" ".join(child.cmdline()))
                        kind = (found[1] or found[2]) if found else child.name()
                        counts[kind] = counts.get(kind, 0) + 1
                        yield from _usage(f"{name} {kind} {counts[kind]}", child)


def _usage(name: str, process: psutil.Process) -> Iterator[tuple[str, float]]:
    memory = process.memory_full_info()
    yield f"{name}.pss", memory.pss
    yield f"{name}.rss", memory.rss
    yield f"{name}.uss", memory.uss
    yield f"{name}.fds", process.num_fds()
    yield f"{name}.threads", process.num_threads()


class Course:
    """How one figure went, over time or over another figure."""

    def __init__(self, samples: Sequence[Sample], name: str, over: str = "second") -> None:
        both = [(one[over], one[name]) for one in samples if name in one and over in one]
        self.name = name
        self.xs = [x for x, _ in both]
        self.ys = [y for _, y in both]

    @property
    def slope(self) -> float:
        """Of the line of least squares; 0 where there is no line."""
        x, y = fmean(self.xs), fmean(self.ys)
        spread = sum((one - x) ** 2 for one in self.xs)
        together = zip(self.xs, self.ys, strict=True)
        return sum((one - x) * (other - y) for one, other in together) / spread if spread else 0.0

    @property
    def rise(self) -> float:
        """By how much that line goes up from the first sample to the last."""
        return self.slope * (self.xs[-1] - self.xs[0])

    @property
    def step(self) -> float:
        """By how much the last quarter's median is above the first's."""
        quarter = max(1, len(self.ys) // 4)
        return median(self.ys[-quarter:]) - median(self.ys[:quarter])
