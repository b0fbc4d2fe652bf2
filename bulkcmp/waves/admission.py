"""The admission of new transactions: whether a run may begin another one, and if not, why."""

from dataclasses import dataclass
from enum import StrEnum

from bulkcmp.waves.breaker import Breaker
from bulkcmp.waves.window import Windows


class Hold(StrEnum):
    """What holds new transactions back; the texts stand in every summary."""

    PAUSED = "paused"
    """Somebody wants it so."""
    WINDOW = "outside the window"
    CIRCUIT = "circuit open"
    """The CA fails all that it is asked."""
    CANARY = "canary"
    """The first rows are not all over."""


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

    @property
    def halts(self) -> bool:
        """Nothing may begin of what was handed out, either; a canary's own rows may."""
        return self.hold not in (None, Hold.CANARY)


class Admission:
    """Decides for one run.

    Args:
        most: transactions that it may have in hand at the same time.
        breaker: watches the CA; None where nobody does.
        windows: outside of which nothing begins; None for none.

    Attributes:
        is_known: the server was heard of, and it is known who it is. Until then one transaction is
            enough to find out.
        is_paused: somebody wants nothing to begin.
        awaits_canary: the first rows are all handed out, and not all over.
    """

    def __init__(
        self, most: int, breaker: Breaker | None = None, windows: Windows | None = None
    ) -> None:
        self._most = most
        self._breaker = breaker
        self._windows = windows
        self.is_known = False
        self.is_paused = False
        self.awaits_canary = False

    def decide(self, now: float, wall: float) -> Decision:
        """What may begin.

        Args:
            now: Unix time that never goes back; wall: the time of day, which may be set.
        """
        most = self._most if self.is_known else 1
        if self.is_paused:
            return Decision(most, Hold.PAUSED)
        opens_at = None if self._windows is None else self._windows.opens_at(wall)
        if opens_at is not None:
            return Decision(most, Hold.WINDOW, opens_at)
        if self._breaker is not None and not self._breaker.is_closed:
            due = self._breaker.due
            return Decision(most, Hold.CIRCUIT, due, probe=due is not None and now >= due)
        return Decision(most, Hold.CANARY if self.awaits_canary else None)
