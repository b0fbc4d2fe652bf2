"""Outcome classes as a reader meets them: grouped, coloured, and with what to do about each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bulkcmp.model import OutcomeClass
from bulkcmp.stats.tally import OutcomeCount

HINTS: Final = {
    OutcomeClass.ISSUED_UNPROVEN: (
        "kept, but the pkiconf's protection is bad: check the secret, --trusted"
    ),
    OutcomeClass.ISSUED_CONFIRMATION_UNKNOWN: (
        "kept; the answer to certConf was lost: resume sends it again"
    ),
    OutcomeClass.ISSUED_CONFIRMATION_REFUSED: (
        "kept, but the CA may have revoked it: see status_text, ask the CA"
    ),
    OutcomeClass.ISSUED_REFUSED: "failed our checks: do not use it, revoke its serial at the CA",
    OutcomeClass.REJECTED: "the CA said no: see fail_info and status_text, mend row or CA",
    OutcomeClass.REJECTED_UNAUTHENTICATED: (
        "a no without proof: check --ref and the secret, see the CA's log"
    ),
    OutcomeClass.CREDENTIALS_REFUSED: (
        "check --ref, the secret or the certificate, and its rights at the CA"
    ),
    OutcomeClass.BAD_RESPONSE: "the CA may have issued: check the secret, --trusted; see detail",
    OutcomeClass.UNKNOWN: "the CA may have issued: look there, or resume --retry-unknown",
    OutcomeClass.STILL_WAITING: "the CA has not decided yet: resume polls on",
    OutcomeClass.NOT_SENT: "nothing was sent: check --server and the network, then resume",
    OutcomeClass.HTTP_ERROR: "the server is there, CMP is not: check the path of --server",
    OutcomeClass.NOT_CMP: "something else answered: check --server (path, alias, proxy)",
    OutcomeClass.LOCAL_ERROR: "the request could not be built: see detail",
    OutcomeClass.BAD_ROW: "the row was skipped: bulkcmp check says what is wrong with it",
    OutcomeClass.TO_DO: "not taken up yet: resume goes on with them",
}
"""One line for each class that is not done: what it means and what to do."""

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
