"""Whether one load test did better or worse than another, and how sure that is.

Latencies of one second are alike, so a run is no sample of independent values. It is cut into
blocks of time, and how much the blocks differ tells how far chance may have moved a figure: all
figures are ratios of sums over blocks (Cochran, Sampling Techniques, 6.4). Blocks that resemble
their neighbours count for fewer: n with the correlation r for n (1 - r) / (1 + r) (Priestley,
Spectral Analysis and Time Series, 5.3). A percentile's interval comes from that of the share of
values below it (Woodruff, JASA 47, 1952), taken of its logit, which has no end; that of a change
from those of its two figures (Zou and Donner, Statistics in Medicine 27, 2008).
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import exp, inf, log, sqrt
from statistics import NormalDist
from typing import Final

from bulkcmp.errors import InputError
from bulkcmp.stats.figures import Figures
from bulkcmp.stats.histogram import Histogram
from bulkcmp.stats.series import Slot

CONFIDENCE: Final = 0.95

BLOCKS: Final = 15
"""A run is cut into so many at most: in longer blocks more of what goes on from one second to the
next is within a block, and does not pass for two independent observations."""

FEWEST_BLOCKS: Final = 10
"""Of a run with fewer intervals nothing is said about chance."""

_MOST_ALIKE: Final = 0.9
"""The highest correlation of neighbouring blocks that is reckoned with; so few tell no more."""

_PERCENTILES: Final = (50.0, 90.0, 95.0, 99.0)
_METRICS: Final = ("response", "service")
_GATE: Final = re.compile(
    r"(?P<function>p\d+|mean|rate|share)\s*(?:\(\s*(?P<of>\w+)\s*\))?\s*"
    r"(?P<sign>[+-])\s*(?P<limit>\d+(?:\.\d+)?)\s*%"
)
_DEFAULTS: Final = {"rate": "ok", "share": "failed"}


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure, and the bounds between which it lies but for chance; None where it is not known."""

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """One figure in both runs.

    Attributes:
        what: as in a threshold: `p95(response)`, `rate(ok)`, `share(failed)`.
        change: (after - before) / before, or after - before where the figure is a share; low, high:
            the bounds between which it lies with `CONFIDENCE`. None where that is not known.
    """

    what: str
    before: Estimate
    after: Estimate
    change: float | None
    low: float | None
    high: float | None

    @property
    def is_known(self) -> bool:
        """Something is said about chance."""
        return self.low is not None

    @property
    def is_real(self) -> bool:
        """It is more than chance: no change at all lies outside of the bounds."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


@dataclass(frozen=True, slots=True)
class Gate:
    """A change that is not wanted, such as `p95 +10%`.

    Attributes:
        text: as the user wrote it.
        what: the figure.
        limit: of the change, of the same sign as what is not wanted; of a share in points of 1.
    """

    text: str
    what: str
    limit: float

    @classmethod
    def parse(cls, text: str) -> "Gate":
        """Read one.

        Raises:
            InputError: it is none.
        """
        match = _GATE.fullmatch(text.strip())
        if match is not None:
            function = match["function"]
            what = f"{function}({match['of'] or _DEFAULTS.get(function, 'response')})"
            if what in FIGURES:
                limit = float(f"{match['sign']}{match['limit']}") / 100
                return cls(text.strip(), what, limit)
        raise InputError(
            f"{text!r} is not a change that can be looked for",
            hint="for example p95 +10%, mean(service) +5%, rate(ok) -5% or share(failed) +0.1%;"
            f" the figures are {', '.join(FIGURES)}",
        )

    def fails(self, change: Change) -> bool:
        """Whether the change goes beyond the limit, and is more than chance."""
        if change.change is None or not change.is_real:
            return False
        return change.change > self.limit if self.limit >= 0 else change.change < self.limit


@dataclass(frozen=True, slots=True)
class Block:
    """Some time of a run: its seconds, transactions, and the latencies of those that were ok."""

    seconds: float
    ok: int
    failed: int
    latencies: dict[str, Histogram]


def blocks(figures: Figures) -> list[Block]:
    """What was measured, cut into pieces of equal length but for one interval."""
    slots = figures.measured.series.all_slots()
    count = min(BLOCKS, len(slots))
    # the last interval is seldom a whole one
    seconds = figures.seconds / len(slots) if slots else 0.0
    bounds = [len(slots) * number // count for number in range(count + 1)] if count else []
    return [_block(slots[first:last], seconds) for first, last in pairwise(bounds)]


def compare(before: Figures, after: Figures) -> tuple[Change, ...]:
    """All figures of two runs side by side."""
    first, second = blocks(before), blocks(after)
    return tuple(
        _change(what, estimate(first), estimate(second)) for what, estimate in FIGURES.items()
    )


def _block(slots: Iterable[Slot | None], seconds: float) -> Block:
    length, ok, failed = 0.0, 0, 0
    latencies = {metric: Histogram() for metric in _METRICS}
    for slot in slots:
        length += seconds
        if slot is not None:
            ok += slot.ok
            failed += slot.failed
            service, response = slot.latencies()
            latencies["service"].merge(service)
            latencies["response"].merge(response)
    return Block(length, ok, failed, latencies)


def _ratio(pairs: Sequence[tuple[float, float]]) -> tuple[float, float] | None:
    """Sum of the first over sum of the second, and its standard error; None without any second.

    The error is infinite where there are too few pairs to tell it.
    """
    whole = sum(below for _, below in pairs)
    if not whole:
        return None
    ratio = sum(above for above, _ in pairs) / whole
    count = len(pairs)
    if count < FEWEST_BLOCKS:
        return ratio, inf
    residuals = [above - ratio * below for above, below in pairs]
    squares = sum(one * one for one in residuals)
    neighbours = sum(first * second for first, second in pairwise(residuals))
    # what is estimated from so few comes out too low by this
    alike = neighbours / squares + 1 / count if squares else 0.0
    alike = min(max(alike, 0.0), _MOST_ALIKE)
    worth = count * (1 - alike) / (1 + alike)
    return ratio, sqrt(count / (count - 1) * squares * count / worth) / whole


def _quantile(freedom: int) -> float:
    """Of Student's distribution, by the first terms of its expansion (Abramowitz and Stegun,
    26.7.5), which are right to a thousandth from 9 degrees of freedom on."""
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    return z + first / freedom + second / freedom**2


def _bounded(pairs: Sequence[tuple[float, float]], least: float = 0.0) -> Estimate:
    """The estimate of a ratio; `least` is the standard error that it has at least."""
    found = _ratio(pairs)
    if found is None or found[1] == inf:
        return Estimate(None if found is None else found[0])
    ratio, error = found
    half = _quantile(len(pairs) - 1) * max(error, least)
    return Estimate(ratio, max(0.0, ratio - half), ratio + half)


def _around(share: float, half: float) -> tuple[float, float]:
    """The bounds of a share within 0 and 1, of half the width of its interval."""
    logit = log(share / (1 - share))
    # at a hundred the bounds are 0 and 1, and exp has an end
    half = min(half / (share * (1 - share)), 100.0)
    return 1 / (1 + exp(half - logit)), 1 / (1 + exp(-half - logit))


def _mean(metric: str) -> Callable[[Sequence[Block]], Estimate]:
    def estimate(run: Sequence[Block]) -> Estimate:
        latencies = [block.latencies[metric] for block in run]
        return _bounded([((one.mean or 0.0) * one.count, one.count) for one in latencies])

    return estimate


def _percentile(q: float, metric: str) -> Callable[[Sequence[Block]], Estimate]:
    def estimate(run: Sequence[Block]) -> Estimate:
        latencies = [block.latencies[metric] for block in run]
        together = Histogram()
        for one in latencies:
            together.merge(one)
        value = together.percentile(q)
        if value is None:
            return Estimate(None)
        below = _ratio([(one.count_up_to(value), one.count) for one in latencies])
        if below is None or below[1] == inf:
            return Estimate(value)
        # of independent values a share has this error, which so few blocks may miss by chance
        error = max(below[1], sqrt(q / 100 * (1 - q / 100) / together.count))
        least, most = _around(q / 100, _quantile(len(run) - 1) * error)
        if together.count * min(least, 1 - most) < 1:
            # so few have not shown the latency that is the bound
            return Estimate(value)
        low, high = together.percentiles((100 * least, 100 * most))
        return Estimate(value, low, high)

    return estimate


def _ok_rate(run: Sequence[Block]) -> Estimate:
    finished = sum(block.failed + block.ok for block in run)
    seconds = sum(block.seconds for block in run)
    # a plan makes starts regular, and whether they fail is chance all the same
    least = finished / seconds * _chance_of_failure(run) if seconds else 0.0
    return _bounded([(block.ok, block.seconds) for block in run], least)


def _failed_share(run: Sequence[Block]) -> Estimate:
    least = _chance_of_failure(run)
    return _bounded([(block.failed, block.failed + block.ok) for block in run], least)


def _chance_of_failure(run: Sequence[Block]) -> float:
    """The standard error of the share that failed, if each fails by itself.

    Where nothing failed, something may have all the same (Agresti and Coull, 1998).
    """
    failed = sum(block.failed for block in run)
    whole = failed + sum(block.ok for block in run) + 4
    share = (failed + 2) / whole
    return sqrt(share * (1 - share) / whole)


FIGURES: Final[dict[str, Callable[[Sequence[Block]], Estimate]]] = {
    **{f"p{q:g}({metric})": _percentile(q, metric) for metric in _METRICS for q in _PERCENTILES},
    **{f"mean({metric})": _mean(metric) for metric in _METRICS},
    "rate(ok)": _ok_rate,
    "share(failed)": _failed_share,
}
"""What is compared, and how it is read off a run."""


def _change(what: str, before: Estimate, after: Estimate) -> Change:
    if what.startswith("share"):
        return Change(what, before, after, *_difference(before, after))
    change, low, high = _difference(_logarithm(before), _logarithm(after))
    return Change(what, before, after, *(None if one is None else exp(one) - 1
                                         for one in (change, low, high)))  # fmt: skip


def _logarithm(estimate: Estimate) -> Estimate:
    """Of all three, so that a ratio becomes a difference; nothing is known of one that is 0."""
    if not estimate.value:
        return Estimate(None)
    if estimate.low is None or estimate.high is None:
        return Estimate(log(estimate.value))
    # the interval of a rate may reach down to 0
    low = log(max(estimate.low, estimate.value * 1e-9))
    return Estimate(log(estimate.value), low, log(estimate.high))


def _difference(
    before: Estimate, after: Estimate
) -> tuple[float | None, float | None, float | None]:
    if before.value is None or after.value is None:
        return None, None, None
    change = after.value - before.value
    if before.low is None or before.high is None or after.low is None or after.high is None:
        return change, None, None
    low = change - sqrt((after.value - after.low) ** 2 + (before.high - before.value) ** 2)
    high = change + sqrt((after.high - after.value) ** 2 + (before.value - before.low) ** 2)
    return change, low, high
