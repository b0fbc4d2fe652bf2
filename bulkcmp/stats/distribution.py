"""How latencies are spread: over their values, and over the time of a run."""

from dataclasses import dataclass
from math import ceil, floor, log2
from typing import Final

from bulkcmp.stats.figures import Figures
from bulkcmp.stats.histogram import Histogram

COLUMNS: Final = 300
"""Of a heat map, at most."""

ROWS_PER_OCTAVE: Final = 4
"""Of a heat map: a row ends at 1.19 times the latency at which it begins."""

_TICKS: Final = 5
"""Points of a spectrum for each halving of the share above."""


@dataclass(frozen=True, slots=True)
class Heat:
    """How many transactions took how long, and when.

    Attributes:
        seconds: of a column; begins: where each begins, seconds from the run's beginning.
        latencies: where each row begins, seconds, ascending.
        counts: of the transactions that were ok, by row and column.
    """

    seconds: float
    begins: tuple[float, ...]
    latencies: tuple[float, ...]
    counts: tuple[tuple[int, ...], ...]


def spectrum(histogram: Histogram) -> tuple[tuple[float, float], ...]:
    """Percentiles from 0 to 100, ever denser towards the end, and their latencies in seconds."""
    if not histogram.count:
        return ()
    halvings = ceil(log2(histogram.count)) + 1
    above = [2.0 ** (-step / _TICKS) for step in range(halvings * _TICKS)]
    qs = [*(round(100 * (1 - share), 9) for share in above), 100.0]
    latencies = histogram.percentiles(qs)
    return tuple((q, one) for q, one in zip(qs, latencies, strict=True) if one is not None)


def heat(figures: Figures) -> Heat:
    """The response times of what was measured, on the time line of all runs."""
    series = figures.measured.series
    slots = series.all_slots()
    together = ceil(len(slots) / COLUMNS) or 1
    columns: list[dict[int, int]] = []
    for first in range(0, len(slots), together):
        counts: dict[int, int] = {}
        for slot in slots[first : first + together]:
            if slot is not None:
                _, response = slot.latencies()
                for seconds, count in response.buckets():
                    row = floor(log2(seconds) * ROWS_PER_OCTAVE)
                    counts[row] = counts.get(row, 0) + count
        columns.append(counts)
    rows = [row for counts in columns for row in counts]
    span = range(min(rows), max(rows) + 1) if rows else range(0)
    seconds = series.seconds * together
    return Heat(
        seconds,
        tuple(series.begins + number * seconds for number in range(len(columns))),
        tuple(2.0 ** (row / ROWS_PER_OCTAVE) for row in span),
        tuple(tuple(counts.get(row, 0) for counts in columns) for row in span),
    )
