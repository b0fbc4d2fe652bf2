"""How many rows ended in which way: counts by outcome class and reason.

A reason may have been made by the peer (it can set 64 failInfo bits at will), so that there is a
most of kinds that are told apart.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Final

from bulkcmp.model import OutcomeClass

_ORDER: Final = {outcome: place for place, outcome in enumerate(OutcomeClass)}


MOST_KINDS: Final = 200
"""Outcome classes with reasons that are told apart; more are counted under `OTHERS`."""

OTHERS: Final = "other reasons"


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

    def add(self, outcome: OutcomeClass, reason: str = "", count: int = 1) -> str:
        """Count `count` more rows.

        Returns:
            The reason under which they are counted.

        Raises:
            ValueError: `count` is negative.
        """
        if count < 0:
            raise ValueError(f"rows are counted from 0 up, not {count}")
        if len(self._counts) >= MOST_KINDS and (outcome, reason) not in self._counts:
            reason = OTHERS
        if count:
            self._counts[outcome, reason] += count
        return reason

    def count(self, outcome: OutcomeClass, reason: str) -> int:
        return self._counts[outcome, reason]

    def has(self, outcome: OutcomeClass) -> bool:
        """Whether a row ended so, for whatever reason."""
        return any(one is outcome for one, _ in self._counts)

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
