"""How the rows of a transaction end, by how far each had come."""

from collections.abc import Callable, Iterable
from dataclasses import replace

from bulkcmp.cmp.events import Part, Phase
from bulkcmp.model import Outcome, OutcomeClass

Unconfirmed = Callable[[Part], Outcome]
"""Gives the outcome of a part whose certConf was not answered well. A certificate that we refused
stays refused, for the reason that we had."""


def results(
    parts: Iterable[Part], outcome: Outcome | None, unconfirmed: Unconfirmed | None
) -> tuple[Outcome, ...]:
    """The outcome of each part.

    Args:
        outcome: of those that are open; None where none is.
        unconfirmed: for those whose certConf is not answered; None where it was answered well.
    """

    def end(part: Part) -> Outcome:
        if part.outcome is not None:
            return part.outcome
        if part.is_unconfirmed and unconfirmed is not None:
            return unconfirmed(part)
        if part.phase is Phase.GRANTED:
            return _granted_to(part)
        assert outcome is not None, "what is open has an outcome when a transaction ends"
        return outcome

    return tuple(map(end, parts))


def refused(outcome: Outcome, *, uncertain: bool, proven: bool) -> Unconfirmed:
    """A certConf was refused.

    Args:
        outcome: what the refusal comes to.
        uncertain: an earlier certConf may have arrived.
        proven: the refusal is known to be the CA's.
    """
    # a certConf of ours did arrive, its pkiconf was lost
    arrived = "certConfirmed" in outcome.fail_info and proven
    kind = (
        OutcomeClass.ISSUED_CONFIRMATION_UNKNOWN
        if uncertain or not proven
        else OutcomeClass.ISSUED_CONFIRMATION_REFUSED
    )

    def end(part: Part) -> Outcome:
        kept = arrived or part.is_refused
        return _granted_to(part) if kept else replace(outcome, outcome=kind)

    return end


def left(kind: OutcomeClass, reason: str, detail: str) -> Unconfirmed:
    """A certConf was not answered, or not by what counts."""

    def end(part: Part) -> Outcome:
        granted = _granted_to(part)
        if part.is_refused:
            return granted
        return replace(granted, outcome=kind, reason=reason, detail=detail)

    return end


def _granted_to(part: Part) -> Outcome:
    assert part.granted is not None, "a certificate comes with an outcome"
    return part.granted
