"""How many rows ended in which way: counts by outcome class and reason."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from bulkcmp.model import Outcome, OutcomeClass

_ORDER: Final = {outcome: place for place, outcome in enumerate(OutcomeClass)}


@dataclass(frozen=True, slots=True)
class OutcomeCount:
    """`count` rows ended as `outcome` for `reason` (empty where the class says it all)."""

    outcome: OutcomeClass
    reason: str
    count: int


class Tally:
    """A running count of outcomes."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts: Counter[tuple[OutcomeClass, str]] = Counter()

    @classmethod
    def of(cls, outcomes: Iterable[Outcome]) -> "Tally":
        tally = cls()
        for outcome in outcomes:
            tally.add(outcome.outcome, outcome.reason)
        return tally

    def add(self, outcome: OutcomeClass, reason: str = "", count: int = 1) -> None:
        """Count `count` more rows.

        Raises:
            ValueError: `count` is negative.
        """
        if count < 0:
            raise ValueError(f"rows are counted from 0 up, not {count}")
        if count:
            self._counts[outcome, reason] += count

    def count(self, outcome: OutcomeClass, reason: str) -> int:
        return self._counts[outcome, reason]

    @property
    def total(self) -> int:
        return self._counts.total()

    @property
    def failed(self) -> int:
        """Rows that did not reach what the user asked for (`OutcomeClass.is_done`)."""
        return sum(count for (outcome, _), count in self._counts.items() if not outcome.is_done)

    def counts(self) -> tuple[OutcomeCount, ...]:
        """Classes in the order of `OutcomeClass`, and in each the commonest reason first."""
        return tuple(
            OutcomeCount(outcome, reason, count)
            for (outcome, reason), count in sorted(
                self._counts.items(), key=lambda item: (_ORDER[item[0][0]], -item[1], item[0][1])
            )
        )
