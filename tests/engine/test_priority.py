import random
from collections.abc import Iterator

import pytest

from bulkcmp.engine import priority as priority_module
from bulkcmp.engine.priority import by_priority
from bulkcmp.errors import InputError
from bulkcmp.model import BadRow, EndEntity, Operation


class Population(list[EndEntity | BadRow]):
    """Counts how often it is streamed."""

    streamed = 0

    def __iter__(self) -> Iterator[EndEntity | BadRow]:
        self.streamed += 1
        return super().__iter__()


def population(priorities: list[int | None]) -> Population:
    rows = Population()
    for number, priority in enumerate(priorities, 1):
        if priority == -1:
            rows.append(BadRow(number, number, "bad", (InputError("bad"),)))
        else:
            rows.append(EndEntity(number, number, "x", Operation.IR, priority=priority))
    return rows


def order(rows: Population) -> tuple[int | None, ...]:
    known = {None if isinstance(row, BadRow) else row.priority for row in rows}
    numbers = sorted(number for number in known if number is not None)
    return (*numbers, *((None,) if None in known else ()))


def expected(rows: Population) -> list[int]:
    def rank(row: EndEntity | BadRow) -> tuple[float, int]:
        priority = None if isinstance(row, BadRow) else row.priority
        return (float("inf") if priority is None else priority, row.number)

    return [row.number for row in sorted(rows, key=rank)]


def test_few_priorities_take_a_pass_each() -> None:
    rows = population([None, 5, 1, -1, 5, 1, 0, None])
    wanted, priorities = expected(rows), order(rows)
    rows.streamed = 0
    assert (
        [row.number for row in by_priority(rows, priorities)] == wanted == [7, 3, 6, 2, 5, 1, 4, 8]
    )
    assert rows.streamed == 4


@pytest.mark.parametrize("count", [60, 99, 100, 101, 350])
def test_many_priorities_take_a_pass_for_each_handful_of_rows(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(priority_module, "_HELD", 100)
    chance = random.Random(count)
    rows = population([chance.choice([None, -1, *range(count)]) for _ in range(count)])
    wanted, priorities = expected(rows), order(rows)
    rows.streamed = 0
    assert [row.number for row in by_priority(rows, priorities)] == wanted
    assert rows.streamed == count // 100 + 1
