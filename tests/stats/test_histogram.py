"""The histogram against sorted lists of what was recorded."""

import math
import random
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkcmp.stats.histogram import (
    HIGHEST,
    LOWEST,
    RELATIVE_ERROR,
    Histogram,
    LatencySummary,
)

IN_RANGE = st.floats(LOWEST, HIGHEST, exclude_max=True)
ANY_LATENCY = st.one_of(
    IN_RANGE,
    st.floats(0.0, LOWEST),
    st.floats(HIGHEST, 1e12),
    st.sampled_from([0.0, LOWEST, HIGHEST, math.nextafter(LOWEST, 0), math.nextafter(HIGHEST, 0)]),
)
PERCENT = st.one_of(st.integers(0, 100), st.floats(0, 100))


def histogram_of(values: list[float]) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    return histogram


def nearest_rank(values: list[float], q: float) -> float:
    rank = max(1, math.ceil(Fraction(str(q)) / 100 * len(values)))
    return sorted(values)[rank - 1]


@given(
    st.lists(ANY_LATENCY),
    st.sets(st.integers(-20, 17).map(lambda exponent: 2.0**exponent)),
)
def test_counts_below_what_a_bucket_begins_with_are_exact(
    values: list[float], bounds: set[float]
) -> None:
    # half way between two powers of two begins a bucket, too
    edges = sorted(bounds | {1.5 * one for one in bounds if one < HIGHEST})
    counts = tuple(sum(value < edge for value in values) for edge in edges)
    assert histogram_of(values).counts_below(edges) == counts


@given(st.lists(ANY_LATENCY))
def test_the_total_is_the_sum_to_a_nanosecond_each(values: list[float]) -> None:
    found = histogram_of(values).total
    assert found == pytest.approx(math.fsum(values), abs=1e-9 * len(values), rel=1e-12)


@given(st.lists(IN_RANGE, min_size=1), PERCENT)
def test_a_percentile_is_the_nearest_rank_value_within_the_bound(
    values: list[float], q: float
) -> None:
    exact = nearest_rank(values, q)
    found = histogram_of(values).percentile(q)
    assert found is not None
    assert abs(found - exact) <= exact * RELATIVE_ERROR


def test_every_value_of_the_range_is_found_within_the_bound() -> None:
    worst = 0.0
    value = LOWEST
    while value < HIGHEST:
        # rank 2 of 3: neither of the exact extremes helps
        found = histogram_of([0.0, value, HIGHEST]).percentile(50)
        assert found is not None
        worst = max(worst, abs(found - value) / value)
        value *= 1.000_77
    assert worst <= RELATIVE_ERROR <= 0.004
    # and the bound is no wider than it must be
    assert worst > 0.95 * RELATIVE_ERROR


def test_percentiles_of_a_real_looking_run() -> None:
    chance = random.Random(7)
    values = [chance.lognormvariate(-4, 1) for _ in range(5_000)]
    histogram = histogram_of(values)
    for q in (0.01, 1, 10, 25, 50, 75, 90, 95, 99, 99.9, 99.99):
        assert histogram.percentile(q) == pytest.approx(
            nearest_rank(values, q), rel=RELATIVE_ERROR, abs=0
        )


@given(st.lists(st.floats(0.0, LOWEST), min_size=1), PERCENT)
def test_below_a_microsecond_the_error_is_below_a_microsecond(
    values: list[float], q: float
) -> None:
    found = histogram_of(values).percentile(q)
    assert found is not None
    assert abs(found - nearest_rank(values, q)) < 1e-6


@given(st.lists(ANY_LATENCY, min_size=1))
def test_p0_and_p100_are_the_exact_extremes(values: list[float]) -> None:
    histogram = histogram_of(values)
    assert histogram.percentile(0) == histogram.min == min(values)
    assert histogram.percentile(100) == histogram.max == max(values)


@given(st.lists(ANY_LATENCY, min_size=1), st.lists(PERCENT, min_size=2))
def test_percentiles_are_monotone(values: list[float], qs: list[float]) -> None:
    found = histogram_of(values).percentiles(sorted(qs))
    assert list(found) == sorted(one for one in found if one is not None)


@given(st.lists(ANY_LATENCY, min_size=1))
def test_the_mean_is_exact_to_a_nanosecond(values: list[float]) -> None:
    mean = histogram_of(values).mean
    assert mean is not None
    assert min(values) <= mean <= max(values)
    exact = Fraction(sum(map(Fraction, values)), len(values))
    # beyond HIGHEST a float itself is coarser than a nanosecond
    assert abs(mean - exact) <= 1e-9 + float(exact) * 1e-15


@given(st.lists(st.lists(ANY_LATENCY), min_size=1, max_size=5))
def test_merged_parts_equal_the_whole_in_any_order(
    parts: list[list[float]],
) -> None:
    whole = histogram_of([value for part in parts for value in part])
    for ordered in (parts, parts[::-1]):
        left = Histogram()
        for part in ordered:
            left.merge(histogram_of(part))
        assert left == whole
    right = Histogram()
    for part in reversed(parts):
        grouped = histogram_of(part)
        grouped.merge(right)
        right = grouped
    assert right == whole


def test_merging_leaves_the_other_as_it_is_and_takes_itself() -> None:
    one, other = histogram_of([0.1]), histogram_of([0.2, 0.3])
    one.merge(other)
    assert (one.count, other.count) == (3, 2)
    one.merge(one)
    assert one == histogram_of([0.1, 0.2, 0.3] * 2)


@given(IN_RANGE, st.integers(1, 1000))
def test_a_count_is_so_many_records(value: float, count: int) -> None:
    at_once = Histogram()
    at_once.record(value, count)
    assert at_once == histogram_of([value] * count)


def test_an_empty_histogram_has_no_figures() -> None:
    histogram = Histogram()
    assert histogram.count == 0
    assert histogram.min is histogram.max is histogram.mean is None
    assert histogram.percentiles((0, 50, 100)) == (None, None, None)
    assert histogram.summarize() == LatencySummary()


@pytest.mark.parametrize(("q", "rank"), [(99.9, 999), (16.1, 161)])
def test_the_percentile_is_read_as_a_decimal(q: float, rank: int) -> None:
    # in binary floats 99.9 / 100 * 1000 is a little above 999, and 16.1 * 1000 / 100 above 161
    histogram = Histogram()
    histogram.record(0.001, rank)
    histogram.record(5.0, 1000 - rank)
    assert histogram.percentile(q) == pytest.approx(0.001, rel=RELATIVE_ERROR)
    assert histogram.percentile(q + 0.01) == pytest.approx(5.0, rel=RELATIVE_ERROR)


def test_the_summary_names_its_percentiles() -> None:
    summary = histogram_of([number / 100 for number in range(1, 101)]).summarize()
    assert summary.count == 100
    assert (summary.min, summary.max) == (0.01, 1.0)
    assert summary.mean == pytest.approx(0.505)
    figures = (summary.p50, summary.p90, summary.p95, summary.p99)
    assert figures == pytest.approx((0.50, 0.90, 0.95, 0.99), rel=RELATIVE_ERROR)


def test_memory_is_bounded() -> None:
    histogram = Histogram()
    value = 1e-9
    while value < 1e9:
        histogram.record(value)
        value *= 1.001
    assert histogram.count > 40_000
    assert len(histogram.buckets()) == 4738


@given(st.lists(ANY_LATENCY))
def test_a_histogram_survives_being_packed(values: list[float]) -> None:
    histogram = histogram_of(values)
    again = Histogram.unpack(histogram.pack())
    assert again == histogram
    assert again.summarize() == histogram.summarize()
    # and can be gone on with
    again.record(0.5)
    histogram.record(0.5)
    assert again == histogram


@pytest.mark.parametrize("value", [-1e-9, math.nan, math.inf])
def test_what_is_no_latency_is_refused(value: float) -> None:
    histogram = Histogram()
    with pytest.raises(ValueError, match="latency"):
        histogram.record(value)
    assert histogram == Histogram()


def test_a_count_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="0 times"):
        Histogram().record(0.1, 0)


@pytest.mark.parametrize("q", [-0.1, 100.1, math.nan])
def test_what_is_no_percentile_is_refused(q: float) -> None:
    with pytest.raises(ValueError, match="percentile"):
        Histogram().percentile(q)


def test_comparison_and_repr() -> None:
    assert histogram_of([0.1]) != histogram_of([0.2])
    assert histogram_of([0.1]) != 0.1
    assert repr(histogram_of([0.1])) == "Histogram(count=1, min=0.1, max=0.1)"
