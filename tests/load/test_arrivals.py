from collections.abc import Sequence
from itertools import islice, pairwise
from math import exp, inf, isclose

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkcmp.load.arrivals import Ramp, at_random, evenly, offsets
from bulkcmp.load.chance import Chance

rates = st.one_of(st.just(0.0), st.floats(0.01, 500.0))
ramps = st.builds(Ramp, st.floats(0.1, 20.0), rates, rates)


def area_until(line: Sequence[Ramp], offset: float) -> float:
    """The area under a line, by the trapezium and nothing else."""
    area = 0.0
    for ramp in line:
        seconds = min(offset, ramp.duration)
        rate = ramp.first + (ramp.last - ramp.first) * seconds / ramp.duration
        area += seconds * (ramp.first + rate) / 2
        offset -= seconds
    return area


def test_a_constant_rate_is_evenly_spaced_for_ever() -> None:
    plan = offsets([Ramp(inf, 4.0, 4.0)], evenly())
    assert list(islice(plan, 5)) == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert next(islice(plan, 999_994, None)) == 249_999.75


def test_a_ramp_from_nothing_has_as_many_arrivals_as_the_area_of_its_triangle() -> None:
    plan = list(offsets([Ramp(10.0, 0.0, 20.0)], evenly()))
    # t = sqrt(a): rate 2t, area t^2
    assert plan == pytest.approx([number**0.5 for number in range(100)])


def test_a_pause_has_no_arrivals() -> None:
    line = [Ramp(2.0, 2.0, 2.0), Ramp(60.0, 0.0, 0.0), Ramp(1.0, 4.0, 4.0)]
    assert list(offsets(line, evenly())) == [0.0, 0.5, 1.0, 1.5, 62.0, 62.25, 62.5, 62.75]


def test_a_plan_without_ramps_is_empty() -> None:
    assert list(offsets([], evenly())) == []


@given(st.lists(ramps, max_size=4))
def test_each_arrival_comes_when_the_area_has_reached_its_number(line: list[Ramp]) -> None:
    plan = list(islice(offsets(line, evenly()), 2000))
    end = sum(ramp.duration for ramp in line)
    for number, offset in enumerate(plan):
        assert 0.0 <= offset <= end
        assert isclose(area_until(line, offset), number, rel_tol=1e-6, abs_tol=1e-6)
    assert all(earlier <= later for earlier, later in pairwise(plan))
    if len(plan) < 2000:
        assert isclose(len(plan), sum(ramp.area for ramp in line), abs_tol=1.000001)


@given(st.floats(1.0, 100.0), st.floats(1e-13, 1e-9))
def test_a_nearly_flat_ramp_is_as_good_as_a_flat_one(rate: float, tilt: float) -> None:
    flat = list(islice(offsets([Ramp(10.0, rate, rate)], evenly()), 10))
    tilted = list(islice(offsets([Ramp(10.0, rate, rate * (1 + tilt))], evenly()), 10))
    assert tilted == pytest.approx(flat, rel=1e-8)


def test_poisson_arrivals_have_exponential_gaps_at_the_ramps_rate() -> None:
    chance, rate = Chance(11), 50.0
    uniforms = (chance.uniform("arrival", number) for number in range(20_000))
    plan = list(offsets([Ramp(inf, rate, rate)], at_random(uniforms)))
    gaps = [later - earlier for earlier, later in pairwise(plan)]
    assert sum(gaps) / len(gaps) == pytest.approx(1 / rate, rel=0.03)
    # P(gap > t) = exp(-rate t)
    for seconds in (0.01, 0.02, 0.05):
        share = sum(gap > seconds for gap in gaps) / len(gaps)
        assert share == pytest.approx(exp(-rate * seconds), rel=0.1)


def test_a_poisson_process_follows_a_ramp() -> None:
    chance = Chance(12)
    uniforms = (chance.uniform("arrival", number) for number in range(1 << 20))
    plan = list(offsets([Ramp(100.0, 0.0, 200.0)], at_random(uniforms)))
    assert len(plan) == pytest.approx(10_000, rel=0.04)
    # a quarter of the triangle lies before its middle
    assert sum(offset < 50.0 for offset in plan) == pytest.approx(2_500, rel=0.08)
