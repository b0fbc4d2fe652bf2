"""The canary of a run: the rows that go first, alone, and decide whether the others follow."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Self

from bulkcmp.errors import InputError
from bulkcmp.model import BadRow, EndEntity

_AMOUNT: Final = re.compile(r"(\d+(?:\.\d+)?)(%?)", re.ASCII)

Row = EndEntity | BadRow


@dataclass(frozen=True, slots=True)
class Amount:
    """A number of rows, or a percentage of them."""

    value: float
    is_share: bool

    @classmethod
    def parse(cls, text: str) -> Self:
        """`20` or `1%`.

        Raises:
            InputError: it is neither.
        """
        found = _AMOUNT.fullmatch(text.strip())
        if found is None:
            raise InputError(f"{text!r} is no number of rows", hint="write it as 20, or as 1%")
        value, is_share = float(found[1]), bool(found[2])
        if value > 100.0 if is_share else value != int(value):
            raise InputError(f"{text!r} is no number of rows", hint="write it as 20, or as 1%")
        return cls(value, is_share)

    def __str__(self) -> str:
        return f"{self.value:g}{'%' if self.is_share else ''}"


@dataclass(frozen=True, slots=True)
class Canary:
    """How many rows go first, and how many of them may fail.

    Attributes:
        rows: at least one is taken, and no more than there are.
        failures: of these rows, up to which the others follow.
    """

    rows: Amount
    failures: Amount

    def size(self, total: int) -> int:
        """How many of `total` rows are its own."""
        wanted = math.ceil(total * self.rows.value / 100) if self.rows.is_share else self.rows.value
        return min(total, max(1, int(wanted)))

    def passes(self, size: int, failed: int) -> bool:
        """Whether the others may follow, after `failed` of `size` rows did not reach their end."""
        most = size * self.failures.value / 100 if self.failures.is_share else self.failures.value
        return failed <= most


def told_apart(
    rows: Iterable[Row], usable: Mapping[int | None, int], size: int
) -> Iterator[tuple[Row, bool]]:
    """Say of each row whether it is of the canary.

    Rows of the lowest priority come first; of the priority that is not all taken, every n-th, so
    that each part of a sorted file is tried.

    Args:
        rows: in the order in which they are taken up: by priority.
        usable: good rows of each priority.
        size: rows of the canary.
    """
    quota: dict[int | None, int] = {}
    left = size
    for priority in sorted(usable, key=lambda one: (one is None, one or 0)):
        quota[priority] = min(left, usable[priority])
        left -= quota[priority]
    seen = dict.fromkeys(usable, 0)
    for row in rows:
        if isinstance(row, BadRow):
            yield row, False
            continue
        taken, count, place = quota[row.priority], usable[row.priority], seen[row.priority]
        seen[row.priority] = place + 1
        # the first row of each of `taken` equal stretches
        yield row, -(-place * taken // count) < -(-(place + 1) * taken // count)
