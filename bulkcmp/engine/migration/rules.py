"""The rules of a migration: what is done where old certificates are not one for each user."""

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from bulkcmp.model import RevocationReason

_EXAMPLES: Final = 3
"""Of each case, that are told."""


class Several(StrEnum):
    """What becomes of a user's old certificates, where there are several that are valid."""

    ALL = "all"
    """All of them are revoked."""
    MATCHING = "matching"
    """Those are whose subject the new certificate has; others stay valid."""
    REJECT = "reject"
    """The user is not migrated."""


class Names(StrEnum):
    """Which name the new certificate gets, where the old one has another than the row says."""

    KEEP = "keep"
    """That of the old one, its subjectAltName included where the row gives none."""
    MAP = "map"
    """That of the row."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What is done in each case that leaves a choice.

    Attributes:
        reason: of the revocations, where a row gives none.
    """

    several: Several = Several.ALL
    names: Names = Names.MAP
    reason: RevocationReason = RevocationReason.SUPERSEDED


class Case(StrEnum):
    """How it stands with a user's old certificates; a user may be in several cases."""

    ONE = "one old certificate"
    SEVERAL = "several old certificates"
    NONE = "no old certificate"
    EXPIRED = "old certificate expired"
    LEFT = "old certificate of another subject"
    NAME = "another name than in the old certificate"
    DUPLICATE = "user stands in an earlier row"
    SHARED = "old certificate stands in an earlier row"
    FOREIGN = "certificate of another CA"
    UNREADABLE = "old certificate can't be read"
    BAD_ROW = "row can't be used"

    def rule(self, rules: Rules) -> str:
        """What is done, in words."""
        if self is Case.SEVERAL:
            return _SEVERAL[rules.several]
        if self is Case.NAME:
            return _NAMES[rules.names]
        return _RULES[self]


_REJECTED: Final = frozenset(
    {Case.DUPLICATE, Case.SHARED, Case.FOREIGN, Case.UNREADABLE, Case.BAD_ROW}
)

_SEVERAL: Final = {
    Several.ALL: "all are revoked",
    Several.MATCHING: "those of the new subject are revoked",
    Several.REJECT: "rejected",
}
_NAMES: Final = {
    Names.KEEP: "the old name is kept",
    Names.MAP: "the row's name is certified",
}
_RULES: Final = {
    Case.ONE: "it is revoked",
    Case.NONE: "enrolled only",
    Case.EXPIRED: "not revoked",
    Case.LEFT: "left valid",
    **dict.fromkeys(_REJECTED, "rejected"),
}


@dataclass(slots=True)
class Cases:
    """How many users there are of each case, and the first of them.

    Attributes:
        users: all of them; rejected: those that are not migrated.
        revocations: old certificates to revoke.
    """

    users: int = 0
    rejected: int = 0
    revocations: int = 0
    counts: Counter[Case] = field(default_factory=Counter)
    examples: dict[Case, list[str]] = field(default_factory=dict)

    def add(self, case: Case, example: str) -> None:
        """
        Args:
            example: the user's id, with what is wrong where it is rejected.
        """
        self.counts[case] += 1
        examples = self.examples.setdefault(case, [])
        if len(examples) < _EXAMPLES:
            examples.append(example)

    def document(self, rules: Rules) -> dict[str, Any]:
        """JSON-able: for each case, in their order, its rule, users and examples."""
        return {
            case.value: {
                "rule": case.rule(rules),
                "users": self.counts[case],
                "examples": self.examples[case],
            }
            for case in Case
            if self.counts[case]
        }
