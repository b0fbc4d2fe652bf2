"""The admission of new transactions: whether a run may begin another one, and if not, why."""

from dataclasses import dataclass
from enum import StrEnum

from bulkcmp.waves.breaker import Breaker


class Hold(StrEnum):
    """What holds new transactions back; the texts stand in every summary."""

    CIRCUIT = "circuit open"
    """The CA fails all that it is asked."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What may begin now.

    Attributes:
        most: transactions that may be in hand at the same time.
        hold: what holds new ones back; None where nothing does.
        until: Unix time at which to ask again; None where only what happens can change it.
        probe: one may begin all the same, to find out whether the CA works again.
    """

    most: int
    hold: Hold | None = None
    until: float | None = None
    probe: bool = False


class Admission:
    """Decides for one run.

    Args:
        most: transactions that it may have in hand at the same time.
        breaker: watches the CA; None where nobody does.

    Attributes:
        is_known: the server was heard of, and it is known who it is. Until then one transaction is
            enough to find out.
    """

    def __init__(self, most: int, breaker: Breaker | None) -> None:
        self._most = most
        self._breaker = breaker
        self.is_known = False

    def decide(self, now: float) -> Decision:
        """What may begin at `now`, Unix time."""
        most = self._most if self.is_known else 1
        breaker = self._breaker
        if breaker is None or breaker.is_closed:
            return Decision(most)
        due = breaker.due
        return Decision(most, Hold.CIRCUIT, due, probe=due is not None and now >= due)
