"""The circuit breaker of a run: nothing is sent to a CA that fails all that it is asked.

It is open after so many failures in a row, with not one answer between them. From then on nothing
is sent but one transaction after a pause, the probe; each that fails doubles the pause. An answer
closes the circuit. A CA that never answered in this run is not waited for: what fails all from the
beginning is no outage, but a mistake.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from bulkcmp.model import Outcome, OutcomeClass

LONGEST_PAUSE: Final = 60.0
"""Seconds between two probes at most, where the first pause is no longer."""

_FAILURES: Final = frozenset({OutcomeClass.BAD_RESPONSE})
"""Outcomes by which the CA failed, besides those of a request that was lost."""

_FAIL_INFO: Final = frozenset({"systemUnavail", "systemFailure"})
"""PKIFailureInfo bits that speak of the CA, not of the request (RFC 9810, 5.2.3)."""

_SILENT: Final = frozenset(
    {
        # each loss of a request is told when it happens
        OutcomeClass.NOT_SENT,
        OutcomeClass.UNKNOWN,
        OutcomeClass.UNANSWERED,
        OutcomeClass.HTTP_ERROR,
        OutcomeClass.NOT_CMP,
        # these say nothing of the CA
        OutcomeClass.LOCAL_ERROR,
        OutcomeClass.TO_DO,
    }
)


class Word(Enum):
    """What the end of a transaction says of the CA: that it works, that it fails, that it refuses
    our credentials, or nothing."""

    ANSWERED = "answered"
    FAILED = "failed"
    REFUSED = "refused"
    NOTHING = "nothing"


def word_of(outcome: Outcome) -> Word:
    """What an outcome says of the CA."""
    kind = outcome.outcome
    if kind in _SILENT:
        return Word.NOTHING
    if kind in _FAILURES or not _FAIL_INFO.isdisjoint(outcome.fail_info):
        return Word.FAILED
    if kind is OutcomeClass.CREDENTIALS_REFUSED:
        return Word.REFUSED
    return Word.ANSWERED


@dataclass(frozen=True, slots=True)
class BreakerRules:
    """When a circuit opens, and how long it may stay so.

    Attributes:
        failures: in a row, after which it opens; 1 or more.
        pause: seconds before the first probe.
        limit: seconds after which the first probe that fails ends the run; 0 for never.
    """

    failures: int
    pause: float
    limit: float


class Breaker:
    """One circuit, closed at first. Instants are seconds of one clock."""

    def __init__(self, rules: BreakerRules, *, worked: bool = False) -> None:
        """
        Args:
            worked: the CA answered before.
        """
        self._rules = rules
        self._streak = 0
        self._refused: Hashable = None
        self._worked = worked
        self._opened_at: float | None = None
        self._pause = rules.pause
        self._due: float | None = None
        self.why = ""
        """The newest failure, in a few words."""
        self.is_given_up = False
        """The CA is not waited for any longer."""

    @property
    def is_closed(self) -> bool:
        return self._opened_at is None

    @property
    def due(self) -> float | None:
        """When a probe may be sent; None where none may, since one is under way or the circuit is
        closed."""
        return self._due

    def failed(self, now: float, why: str, *, is_probe: bool = False) -> None:
        """A request was lost, or the CA said that it fails; `why` in a few words.

        What was sent before the circuit opened, and fails later, tells nothing new.
        """
        self._streak += 1
        if self._opened_at is None:
            self.why = why
            if self._streak >= self._rules.failures:
                self._open(now)
        elif is_probe:
            self.why = why
            self._pause = min(2.0 * self._pause, max(self._rules.pause, LONGEST_PAUSE))
            self._due = now + self._pause
            if self._rules.limit and now - self._opened_at >= self._rules.limit:
                self.is_given_up = True

    def refused(
        self, now: float, credential: Hashable, why: str, *, is_probe: bool = False
    ) -> None:
        """The CA refused a credential: a failure where it did the same before, and took none since.

        A credential that one row alone has may be wrong; one that many rows share works for all of
        them or for none.
        """
        if credential == self._refused:
            self.failed(now, why, is_probe=is_probe)
        self._refused = credential

    def answered(self) -> None:
        """A request was answered, be it by a no to this one alone."""
        self._worked = True
        self._streak = 0
        self._refused = None
        self._opened_at = self._due = None
        self._pause = self._rules.pause

    def probing(self) -> None:
        """A probe is under way."""
        self._due = None

    def untold(self, now: float) -> None:
        """The probe is over; if it told nothing, another may follow at once."""
        if self._opened_at is not None and self._due is None:
            self._due = now

    def _open(self, now: float) -> None:
        self._opened_at = now
        self._due = now + self._pause
        self.is_given_up = not self._worked
