import pytest

from bulkcmp.stats.distribution import COLUMNS, heat, spectrum
from bulkcmp.stats.figures import Figures
from bulkcmp.stats.histogram import RELATIVE_ERROR, Histogram
from tests.stats.records import REJECTED, transaction


def test_a_spectrum_ends_with_the_highest_value_and_rises() -> None:
    histogram = Histogram()
    for milliseconds in range(1, 1001):
        histogram.record(milliseconds / 1000)
    points = spectrum(histogram)
    assert points[0] == (0.0, 0.001)
    assert points[-1] == (100.0, 1.0)
    by_share = dict(points)
    for q in (50.0, 75.0, 87.5):
        assert by_share[q] == pytest.approx(q / 100, rel=2 * RELATIVE_ERROR)
    latencies = [seconds for _, seconds in points]
    assert latencies == sorted(latencies)
    assert spectrum(Histogram()) == ()


def figures_of(*transactions: tuple[float, float]) -> Figures:
    figures = Figures()
    figures.begin(0)
    for planned, finished in transactions:
        figures.add(transaction(planned, planned, finished))
    return figures


def test_heat_counts_by_time_and_latency() -> None:
    found = heat(figures_of((10, 10.3), (10, 10.3), (11, 11.3), (10, 12.0)))
    assert found.begins == (10, 11, 12)
    row = next(n for n, bound in enumerate(found.latencies) if bound <= 0.3 < bound * 2**0.25)
    assert found.counts[row] == (2, 1, 0)
    assert found.counts[-1] == (0, 0, 1)
    assert found.latencies[-1] <= 2.0 < found.latencies[-1] * 2**0.25


def test_heat_of_a_long_run_has_as_many_columns() -> None:
    found = heat(figures_of(*((at, at + 0.1) for at in range(1000))))
    assert len(found.begins) <= COLUMNS
    assert (found.seconds, found.begins[:2]) == (4.0, (0.0, 4.0))
    assert sum(map(sum, found.counts)) == 1000


def test_heat_of_no_success_is_empty() -> None:
    figures = Figures()
    figures.begin(0)
    assert heat(figures).counts == ()
    figures.add(transaction(0, 0, 1, REJECTED))
    assert heat(figures).counts == ()


def test_heat_knows_of_times_in_which_nothing_happened() -> None:
    found = heat(figures_of((10, 10.3), (14, 14.3)))
    assert found.begins == (10, 11, 12, 13, 14)
    assert [sum(column) for column in zip(*found.counts, strict=True)] == [1, 0, 0, 0, 1]
