"""Outcome classes as a reader meets them: grouped, coloured, and with what to do about each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bulkcmp.cmp.explanation import CLASSES, hint_for
from bulkcmp.model import OutcomeClass
from bulkcmp.stats.tally import OutcomeCount

_MOST_REASONS: Final = 3


@dataclass(frozen=True, slots=True)
class ClassCount:
    """One outcome class: its rows, and how many of them each reason has, commonest first."""

    outcome: OutcomeClass
    rows: int
    reasons: tuple[tuple[str, int], ...]

    @property
    def style(self) -> str:
        """A rich style: done, untouched, issued but not as it should be, failed."""
        if self.outcome.is_done:
            return "green"
        if self.outcome is OutcomeClass.TO_DO:
            return ""
        return "yellow" if self.outcome.is_issued else "red"

    @property
    def hints(self) -> tuple[str, ...]:
        """What to do: about the class, and about its commonest reason."""
        of_reason = hint_for(self.outcome, self.reasons[0][0]) if self.reasons else ""
        return tuple(hint for hint in (CLASSES[self.outcome].hint, of_reason) if hint)

    @property
    def why(self) -> str:
        """`badPOP 4, badRequest 1`; at most three reasons, then how many others there are."""
        shown = [f"{reason} {rows:,}" for reason, rows in self.reasons[:_MOST_REASONS]]
        others = self.reasons[_MOST_REASONS:]
        if others:
            shown.append(f"{len(others)} other reasons {sum(rows for _, rows in others):,}")
        return ", ".join(shown)


def by_class(counts: Sequence[OutcomeCount]) -> list[ClassCount]:
    """`counts` grouped by class, in the order in which the classes first come."""
    groups: dict[OutcomeClass, list[OutcomeCount]] = {}
    for one in counts:
        groups.setdefault(one.outcome, []).append(one)
    return [
        ClassCount(
            outcome,
            sum(one.count for one in group),
            tuple((one.reason, one.count) for one in group if one.reason),
        )
        for outcome, group in groups.items()
    ]


def commonest(
    classes: Sequence[ClassCount], most: int
) -> tuple[list[ClassCount], list[ClassCount]]:
    """The classes to show on `most` lines, in their order, and those that share the last line."""
    if len(classes) <= most:
        return list(classes), []
    rarest = sorted(classes, key=lambda one: -one.rows)[most - 1 :]
    return [one for one in classes if one not in rarest], rarest
