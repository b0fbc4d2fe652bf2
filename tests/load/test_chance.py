from hypothesis import given
from hypothesis import strategies as st

from bulkcmp.load.chance import Chance

numbers = st.integers(0, 2**63)


@given(st.integers(), numbers, numbers)
def test_a_draw_depends_on_its_arguments_alone(seed: int, number: int, turn: int) -> None:
    one, other = Chance(seed), Chance(seed)
    other.uniform("mix", number + 1)
    drawn = one.uniform("think", number, turn)
    assert 0.0 <= drawn < 1.0
    assert other.uniform("think", number, turn) == drawn


def test_seeds_purposes_numbers_and_turns_give_other_draws() -> None:
    draws = {
        Chance(seed).uniform(purpose, number, turn)
        for seed in (1, 2, 12)
        for purpose in ("mix", "think")
        for number in (0, 1, 2)
        for turn in (0, 1, 2)
    }
    assert len(draws) == 3 * 2 * 3 * 3


def test_draws_are_evenly_distributed() -> None:
    chance, count, bins = Chance(7), 10_000, 10
    counts = [0] * bins
    for number in range(count):
        counts[int(chance.uniform("mix", number) * bins)] += 1
    expected = count / bins
    chi_squared = sum((found - expected) ** 2 / expected for found in counts)
    # one seed, so always the same; 27.9 is the 0.1 % quantile of 9 degrees of freedom
    assert chi_squared < 27.9
