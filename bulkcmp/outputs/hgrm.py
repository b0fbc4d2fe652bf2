"""The percentile distribution of HdrHistogram's tools (`.hgrm`), which their plotters read."""

from collections.abc import Iterator
from math import sqrt
from typing import Final

from bulkcmp.stats.histogram import SUB_BUCKETS, Histogram

_HEAD: Final = f"{'Value':>12} {'Percentile':>14} {'TotalCount':>10} {'1/(1-Percentile)':>14}"


def hgrm(histogram: Histogram) -> Iterator[str]:
    """Lines of the file; values are milliseconds, one line for each bucket with a value in it."""
    yield f"{_HEAD}\n\n"
    count, total, squares = 0, histogram.count, 0.0
    mean, most = histogram.mean or 0.0, histogram.max or 0.0
    for seconds, values in histogram.buckets():
        count += values
        squares += values * (seconds - mean) ** 2
        below = total - count
        # the largest value is known, and may lie on either side of its bucket's midpoint
        value = min(seconds, most) if below else most
        inverse = f" {total / below:14.2f}" if below else ""
        yield f"{value * 1e3:12.3f} {count / total:2.12f} {count:10d}{inverse}\n"
    deviation = sqrt(squares / total) if total else 0.0
    yield f"#[Mean    = {mean * 1e3:12.3f}, StdDeviation   = {deviation * 1e3:12.3f}]\n"
    yield f"#[Max     = {most * 1e3:12.3f}, Total count    = {total:12d}]\n"
    yield f"#[Buckets = {len(histogram.buckets()):12d}, SubBuckets     = {SUB_BUCKETS:12d}]\n"
