"""The order in which rows are taken up, where the population gives them priorities."""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from bulkcmp.model import BadRow, EndEntity

_PASSES: Final = 16
"""Passes over the population that cost less than to hold rows back."""

_HELD: Final = 4096
"""Rows that are held in memory at most."""


def by_priority(
    rows: Iterable[EndEntity | BadRow], priorities: Sequence[int | None]
) -> Iterator[EndEntity | BadRow]:
    """Stream the rows, lower priorities first, those of one priority in their own order.

    Args:
        rows: can be streamed several times; it is, once for each of a few priorities, or else once
            for every 4,096 rows.
        priorities: the distinct ones, in order; rows without one, and bad rows, are None.
    """
    if len(priorities) <= _PASSES:
        for priority in priorities:
            yield from (row for row in rows if _priority(row) == priority)
        return
    last: tuple[bool, int, int] | None = None
    while True:
        later = (row for row in rows if last is None or _rank(row) > last)
        held = heapq.nsmallest(_HELD, later, key=_rank)
        yield from held
        if len(held) < _HELD:
            return
        last = _rank(held[-1])


def _priority(row: EndEntity | BadRow) -> int | None:
    # a bad row has none that could be read
    return None if isinstance(row, BadRow) else row.priority


def _rank(row: EndEntity | BadRow) -> tuple[bool, int, int]:
    priority = _priority(row)
    return priority is None, priority or 0, row.number
