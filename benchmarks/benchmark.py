"""A benchmark: what is measured, at any size, and what the machine must have for it."""

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.figure import Findings


@dataclass(frozen=True, slots=True)
class Scale:
    """The size of a run: 1 is full, a test's is a thousandth."""

    factor: float = 1.0

    def count(self, full: int, least: int = 1) -> int:
        """How many of something, where a full run has `full`."""
        return max(least, round(full * self.factor))

    @property
    def repetitions(self) -> int:
        """How often each figure is measured: 5 times in a full run, twice at least."""
        return self.count(5, 2) if self.factor < 1 else 5


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One benchmark.

    Attributes:
        name: by which it is run, and which its result and its ideas bear.
        title: what it measures, in a line.
        run: measures.
        peer: why the program that it runs beside ours is not on this machine; None where it is.
    """

    name: str
    title: str
    run: Callable[[Scale], Findings]
    peer: Callable[[], str | None] | None = None

    @property
    def missing(self) -> str | None:
        """Why it can't run here, if it can't."""
        return None if self.peer is None else self.peer()
