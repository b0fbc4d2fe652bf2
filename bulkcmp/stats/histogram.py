"""Latency histograms: log-linear buckets in bounded memory, mergeable without loss.

A value's bucket is its binary exponent and the leading bits of its significand, as in
HdrHistogram, so buckets are equally wide within an octave and double from one to the next. With
`SUB_BUCKETS` of them in each octave a bucket is at most 1/128 of its own lower bound wide, and
its midpoint differs from any value in it by at most 1/256 (0.39 %) of that value.
"""

from array import array
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, frexp, inf, ldexp
from typing import Final

SUB_BUCKETS: Final = 128
LOWEST: Final = 2.0**-20
"""Seconds (0.95 us); what is shorter shares one bucket, so its error is absolute: under 1 us."""
HIGHEST: Final = 2.0**17
"""Seconds (36.4 h); what is not shorter shares one bucket, and only `max` is exact there."""
RELATIVE_ERROR: Final = 1 / (2 * SUB_BUCKETS)
"""Bound of |percentile - true value| / true value for values in [LOWEST, HIGHEST)."""

_SHIFT: Final = SUB_BUCKETS.bit_length() - 1
_SCALE: Final = 2 * SUB_BUCKETS
# frexp's significand is in [0.5, 1), so a key is exponent * 128 + (128 .. 255): keys are
# contiguous and in the order of the values
_UNDER: Final = (frexp(LOWEST)[1] << _SHIFT) + SUB_BUCKETS - 1
_OVER: Final = (frexp(HIGHEST)[1] << _SHIFT) + SUB_BUCKETS


def _key(value: float) -> int:
    if value < LOWEST:
        return _UNDER
    if value >= HIGHEST:
        return _OVER
    significand, exponent = frexp(value)
    return (exponent << _SHIFT) + int(significand * _SCALE)


def _midpoint(key: int) -> float:
    if key <= _UNDER:
        return LOWEST / 2
    if key >= _OVER:
        return HIGHEST
    exponent, sub_bucket = divmod(key - SUB_BUCKETS, SUB_BUCKETS)
    return ldexp(SUB_BUCKETS + sub_bucket + 0.5, exponent - _SHIFT - 1)


@dataclass(frozen=True, slots=True)
class LatencySummary:
    """What a report says of one histogram: seconds, and None throughout where nothing was recorded.

    `min` and `max` are exact, `mean` to a nanosecond, the percentiles within `RELATIVE_ERROR`.
    """

    count: int = 0
    min: float | None = None
    mean: float | None = None
    p50: float | None = None
    p90: float | None = None
    p95: float | None = None
    p99: float | None = None
    p999: float | None = None
    max: float | None = None


@dataclass(frozen=True, slots=True)
class PackedHistogram:
    """A histogram put away: a sixth of the memory, and nothing can be recorded."""

    nanoseconds: int
    min: float
    max: float
    keys: "array[int]"
    counts: "array[int]"


class Histogram:
    """Counts of values in seconds; at most 4,738 buckets, whatever is recorded.

    Merging is exact: histograms of the parts of a stream, merged in any order and grouping, equal
    the histogram of the whole stream, field by field.
    """

    __slots__ = ("_buckets", "_count", "_max", "_min", "_nanoseconds")

    def __init__(self) -> None:
        self._buckets: defaultdict[int, int] = defaultdict(int)
        self._count = 0
        # an integer, because a sum of floats depends on the order and merging must not
        self._nanoseconds = 0
        self._min = inf
        self._max = -inf

    def record(self, value: float, count: int = 1) -> None:
        """Count `value` (seconds) `count` times.

        Raises:
            ValueError: `value` is negative, infinite or not a number, or `count` is below 1.
        """
        if not 0.0 <= value < inf:
            raise ValueError(f"a latency is a finite number of seconds >= 0, not {value!r}")
        if count < 1:
            raise ValueError(f"a value is recorded once or more often, not {count} times")
        self._buckets[_key(value)] += count
        self._count += count
        self._nanoseconds += int(value * 1e9) * count
        if value < self._min:
            self._min = value
        if value > self._max:
            self._max = value

    def merge(self, other: "Histogram") -> None:
        """Add all that `other` counted; `other` stays as it is."""
        for key, count in list(other._buckets.items()):
            self._buckets[key] += count
        self._count += other._count
        self._nanoseconds += other._nanoseconds
        self._min = min(self._min, other._min)
        self._max = max(self._max, other._max)

    def pack(self) -> PackedHistogram:
        """All of it in little memory; `unpack` gives an equal histogram."""
        return PackedHistogram(
            self._nanoseconds,
            self._min,
            self._max,
            array("i", self._buckets.keys()),
            array("Q", self._buckets.values()),
        )

    @classmethod
    def unpack(cls, packed: PackedHistogram) -> "Histogram":
        """A histogram equal to the one that was packed."""
        histogram = cls()
        histogram._buckets.update(zip(packed.keys, packed.counts, strict=True))
        histogram._count = sum(packed.counts)
        histogram._nanoseconds = packed.nanoseconds
        histogram._min, histogram._max = packed.min, packed.max
        return histogram

    @property
    def count(self) -> int:
        """How many values were recorded."""
        return self._count

    @property
    def min(self) -> float | None:
        """The smallest value, exact; None if empty."""
        return self._min if self._count else None

    @property
    def max(self) -> float | None:
        """The largest value, exact; None if empty."""
        return self._max if self._count else None

    @property
    def mean(self) -> float | None:
        """The arithmetic mean, within a nanosecond; None if empty."""
        if not self._count:
            return None
        mean = float(Fraction(self._nanoseconds, self._count * 10**9))
        return min(max(mean, self._min), self._max)

    @property
    def total(self) -> float:
        """The sum of all values, each cut to a nanosecond; it never falls as values are added."""
        return self._nanoseconds / 1e9

    def counts_below(self, bounds: Sequence[float]) -> tuple[int, ...]:
        """How many of the values are below each of `bounds`, in one pass.

        Exact where a bound is where a bucket begins, as 2**n and 1.5 * 2**n are; otherwise the
        values of the bound's own bucket are left out.

        Args:
            bounds: seconds, ascending.
        """
        counts = []
        seen = 0
        buckets = sorted(self._buckets.items(), reverse=True)
        for bound in bounds:
            least = _key(bound)
            while buckets and buckets[-1][0] < least:
                seen += buckets.pop()[1]
            counts.append(seen)
        return tuple(counts)

    def count_up_to(self, value: float) -> int:
        """How many of the values are not above `value`, or share its bucket."""
        most = _key(value)
        return sum(count for key, count in self._buckets.items() if key <= most)

    def percentile(self, q: float) -> float | None:
        """The `q`-th percentile (0 to 100) by nearest rank, seconds; None if empty.

        Of n values in ascending order it is the one with rank ceil(q / 100 * n), counted from 1
        (rank 1 for q = 0): the smallest recorded value that at least q % of all do not exceed.
        `q` is taken as the decimal number that it prints as, so 99.9 of 1,000 values is rank 999.
        The answer is the midpoint of that value's bucket, held within [min, max]; it is exact for
        rank 1 and rank n, and otherwise off by at most `RELATIVE_ERROR`.

        Raises:
            ValueError: `q` is outside 0 to 100.
        """
        return self.percentiles((q,))[0]

    def percentiles(self, qs: Sequence[float]) -> tuple[float | None, ...]:
        """`percentile` of each of `qs`, in their order, in one pass.

        Raises:
            ValueError: one of them is outside 0 to 100.
        """
        for q in qs:
            if not 0 <= q <= 100:
                raise ValueError(f"a percentile is between 0 and 100, not {q!r}")
        if not self._count:
            return (None,) * len(qs)
        found: dict[int, float] = {1: self._min, self._count: self._max}
        ranks = [max(1, ceil(Fraction(str(q)) * self._count / 100)) for q in qs]
        wanted = sorted({rank for rank in ranks if rank not in found}, reverse=True)
        seen = 0
        for key in sorted(self._buckets):
            if not wanted:
                break
            seen += self._buckets[key]
            while wanted and wanted[-1] <= seen:
                found[wanted.pop()] = min(max(_midpoint(key), self._min), self._max)
        return tuple(found[rank] for rank in ranks)

    def summarize(self) -> LatencySummary:
        """What reports say of it, in seconds."""
        p50, p90, p95, p99, p999 = self.percentiles((50, 90, 95, 99, 99.9))
        return LatencySummary(self._count, self.min, self.mean, p50, p90, p95, p99, p999, self.max)

    def buckets(self) -> list[tuple[float, int]]:
        """The midpoint, in seconds, and the count of each bucket that has any, ascending."""
        return [(_midpoint(key), self._buckets[key]) for key in sorted(self._buckets)]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Histogram):
            return NotImplemented
        return (
            self._buckets == other._buckets
            and self._nanoseconds == other._nanoseconds
            and self._min == other._min
            and self._max == other._max
        )

    def __repr__(self) -> str:
        return f"Histogram(count={self._count}, min={self.min}, max={self.max})"
