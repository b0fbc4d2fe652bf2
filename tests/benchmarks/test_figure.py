import pytest

from benchmarks.benchmark import Scale
from benchmarks.figure import Target, at_least, at_most
from tests.benchmarks.conftest import make_figure


def test_a_ratio_is_the_median_of_the_ratios_of_each_repetition() -> None:
    figure = make_figure(None, (2.0, 30.0, 4.0))
    assert figure.ratios == [2.0, 30.0, 4.0]
    assert figure.ratio == 4.0


def test_a_figure_without_a_target_misses_none() -> None:
    assert not make_figure(None).is_missed


@pytest.mark.parametrize(
    ("target", "ratio", "missed_by"),
    [
        (at_most(2.0), 2.0, 0.0),
        (at_most(2.0), 1.0, 0.0),
        (at_most(2.0), 3.0, 0.5),
        (at_least(10.0), 10.0, 0.0),
        (at_least(10.0), 12.0, 0.0),
        (at_least(10.0), 4.0, 0.6),
    ],
)
def test_how_far_a_target_is_missed(target: Target, ratio: float, missed_by: float) -> None:
    assert target.missed_by(ratio) == missed_by
    assert make_figure(target, (ratio, ratio)).is_missed == (missed_by > 0)


def test_a_scale_of_one_is_full_and_a_thousandth_is_a_toy() -> None:
    assert Scale().count(5000) == 5000
    assert Scale(0.001).count(5000) == 5
    assert Scale(0.001).count(50, least=2) == 2
    assert Scale().repetitions == 5
    assert Scale(0.001).repetitions == 2
