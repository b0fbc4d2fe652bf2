"""Which rows go first."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkcmp.errors import InputError
from bulkcmp.model import BadRow, EndEntity, Operation
from bulkcmp.waves.canary import Amount, Canary, told_apart


@pytest.mark.parametrize(
    ("text", "total", "size"),
    [("10", 1000, 10), ("10", 4, 4), ("1%", 1000, 10), ("0.5%", 1001, 6), ("1%", 3, 1)],
)
def test_the_size_of_a_canary(text: str, total: int, size: int) -> None:
    canary = Canary(Amount.parse(text), Amount.parse("0"))
    assert canary.size(total) == size
    assert str(canary.rows) == text


@pytest.mark.parametrize(("most", "last"), [("0", 0), ("2", 2), ("10%", 2), ("100%", 25)])
def test_how_many_may_fail(most: str, last: int) -> None:
    canary = Canary(Amount.parse("25"), Amount.parse(most))
    assert [failed for failed in range(26) if canary.passes(25, failed)] == list(range(last + 1))


@pytest.mark.parametrize("text", ["", "x", "-1", "1.5", "101%", "1 %", "1e3", "٣"])
def test_what_is_no_amount(text: str) -> None:
    with pytest.raises(InputError, match="is no number of rows"):
        Amount.parse(text)


def row(number: int, priority: int | None) -> EndEntity:
    return EndEntity(number, number + 1, f"dev{number}", Operation.IR, priority=priority)


@given(st.dictionaries(st.none() | st.integers(1, 5), st.integers(1, 40), min_size=1), st.data())
def test_it_is_of_the_lowest_priorities_and_spread(
    usable: dict[int | None, int], data: st.DataObject
) -> None:
    order = sorted(usable, key=lambda one: (one is None, one or 0))
    rows = [row(number, priority) for priority in order for number in range(usable[priority])]
    size = data.draw(st.integers(1, len(rows)))
    bad = BadRow(0, 1, "bad", ())
    told = list(told_apart([bad, *rows], usable, size))
    assert told[0] == (bad, False)
    chosen = [one for one, is_chosen in told if is_chosen]
    assert len(chosen) == size
    left = size
    for priority in order:
        places = [one.number for one in chosen if one.priority == priority]  # type: ignore[union-attr]  # a bad row is none of them
        assert len(places) == min(left, usable[priority])
        left -= len(places)
        if len(places) > 1:
            gaps = [later - earlier for earlier, later in pairwise(places)]
            assert max(gaps) - min(gaps) <= 1
        if places:
            assert places[0] == 0


def test_one_in_a_hundred() -> None:
    told = told_apart([row(n, None) for n in range(1000)], {None: 1000}, 10)
    assert [one.number for one, is_chosen in told if is_chosen] == list(range(0, 1000, 100))
