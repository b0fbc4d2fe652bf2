"""The search for the highest rate that a server holds: which rate is tried next.

The rate is raised by steps until one does not hold; then the gap between the highest that held and
the lowest that did not is halved, until it is small enough (as RFC 2544, 24 and 26.1, finds the
throughput of devices on a network: independent trials, a binary search). All that it remembers are
these two rates, so it ends whatever it is told.
"""

from dataclasses import dataclass

from bulkcmp.load.arrivals import Ramp


@dataclass(frozen=True, slots=True)
class Search:
    """How the capacity is looked for.

    Attributes:
        start: the first rate, lifecycles/s, above 0.
        factor, step: the next rate is `factor` times the one before, and `step` lifecycles/s more;
            it is the higher one.
        up_to: the highest rate that is tried, lifecycles/s, `start` or more.
        window: seconds over which a rate is judged, above 0.
        settle: seconds before that in which the rate is there already, and nothing is judged.
        precision: the gap that is small enough, as a share of its upper end, above 0.
    """

    start: float = 10.0
    factor: float = 2.0
    step: float = 0.0
    up_to: float = 10_000.0
    window: float = 30.0
    settle: float = 5.0
    precision: float = 0.05

    def next(self, held: float | None, failed: float | None) -> float | None:
        """The rate to be tried; None where the search is over.

        Args:
            held: the highest rate that held; failed: the lowest one that did not. None for none.
        """
        if held is None:
            return self.start if failed is None else None
        if failed is None:
            return min(held * self.factor + self.step, self.up_to) if held < self.up_to else None
        return None if failed - held <= self.precision * failed else (held + failed) / 2.0

    def ramp(self, rate: float) -> Ramp:
        """The rate over one window and what goes before it."""
        return Ramp(self.settle + self.window, rate, rate)

    def __str__(self) -> str:
        rise = f"times {self.factor:g}" if self.factor != 1.0 else f"by {self.step:g}/s"
        return (
            f"a search for the capacity: from {self.start:g}/s, {rise}, up to {self.up_to:g}/s,"
            f" in windows of {self.window:g} s after {self.settle:g} s, to {self.precision:.2g}"
        )
