from math import isclose, log

from hypothesis import given
from hypothesis import strategies as st

from bulkcmp.load.scenario import (
    Closed,
    Constant,
    Exponential,
    GeneratedPopulation,
    Lifecycle,
    Scenario,
    Step,
    Uniform,
)
from bulkcmp.model import Operation

uniforms = st.floats(0.0, 1.0, exclude_max=True)


@given(uniforms)
def test_a_constant_pause_leaves_nothing_to_chance(uniform: float) -> None:
    assert Constant(2.5).seconds(uniform) == 2.5


@given(uniforms)
def test_a_uniform_pause_is_between_its_ends_in_proportion(uniform: float) -> None:
    assert isclose((Uniform(2.0, 6.0).seconds(uniform) - 2.0) / 4.0, uniform, abs_tol=1e-12)


def test_half_of_the_exponential_pauses_are_shorter_than_their_median() -> None:
    assert isclose(Exponential(3.0).seconds(0.5), 3.0 * log(2.0))


def test_an_exponential_pause_ends() -> None:
    longest = Exponential(1.0).seconds(1.0 - 2.0**-53)
    assert isclose(longest, 53 * log(2.0))
    assert Exponential(1.0).seconds(0.0) == 0.0


def test_exponential_pauses_have_their_mean() -> None:
    count = 10_000
    total = sum(Exponential(2.0).seconds((n + 0.5) / count) for n in range(count))
    assert isclose(total / count, 2.0, rel_tol=1e-3)


def test_the_works_of_a_scenario_are_those_of_all_its_lifecycles() -> None:
    ir, kur = Step(Operation.IR), Step(Operation.KUR, server="b")
    scenario = Scenario(
        "mixed",
        {},
        GeneratedPopulation("s.toml", 1, {"id": "{number}"}),
        (Lifecycle("one", 1.0, (ir, kur)), Lifecycle("two", 2.0, (ir,))),
        Closed(1),
    )
    assert scenario.works == {(Operation.IR, ""), (Operation.KUR, "b")}
