"""What becomes of a row that an earlier session took up: skip it, go on, or begin anew."""

from dataclasses import replace
from enum import Enum
from typing import Final

from bulkcmp.cmp.events import Phase
from bulkcmp.cmp.outcomes import unknown
from bulkcmp.journal.entry import Ended, RowState
from bulkcmp.model import OutcomeClass


class Resumption(Enum):
    """SKIP: it stays as it is. GO_ON: with the same transaction. ANEW: with a new one."""

    SKIP = "skip"
    GO_ON = "go on"
    ANEW = "anew"


_HARMLESS: Final = frozenset({OutcomeClass.TO_DO, OutcomeClass.NOT_SENT, OutcomeClass.UNANSWERED})
"""Outcomes after which nothing can be done twice."""

_UNFINISHED: Final = frozenset(
    {OutcomeClass.STILL_WAITING, OutcomeClass.ISSUED_CONFIRMATION_UNKNOWN}
)
_FAILED: Final = frozenset(
    {
        OutcomeClass.REJECTED,
        OutcomeClass.REJECTED_UNAUTHENTICATED,
        OutcomeClass.CREDENTIALS_REFUSED,
        OutcomeClass.HTTP_ERROR,
        OutcomeClass.NOT_CMP,
        OutcomeClass.BAD_RESPONSE,
        OutcomeClass.LOCAL_ERROR,
        OutcomeClass.BAD_ROW,
    }
)


_NOT_REPEATED: Final = frozenset(
    {OutcomeClass.TO_DO, OutcomeClass.NOT_SENT, OutcomeClass.LOCAL_ERROR}
)
"""Outcomes of a new transaction of which the CA has seen nothing."""


def resumption(state: RowState, *, retry_unknown: bool, retry_failed: bool) -> Resumption:
    """Decide by the outcome of a row's last transaction.

    Args:
        retry_unknown: begin anew where the CA may have issued without our knowing.
        retry_failed: begin anew where the row failed and no certificate is known.
    """
    part = None if state.checkpoint is None else state.checkpoint.part(state.number)
    if state.outcome in _HARMLESS:
        return Resumption.ANEW
    if state.outcome in _UNFINISHED:
        return Resumption.GO_ON
    if state.outcome is OutcomeClass.UNKNOWN:
        if retry_unknown:
            return Resumption.ANEW
        # where a pollRep was lost, the transaction may still be there to be polled
        waits = part is not None and part.phase is Phase.WAITING
        return Resumption.GO_ON if waits else Resumption.SKIP
    if state.outcome in _FAILED and retry_failed:
        return Resumption.ANEW
    return Resumption.SKIP


def still_in_doubt(ended: Ended) -> Ended:
    """The end of a row whose earlier request the CA may have acted on, unknown to us.

    If the new one did not come to the CA, nothing is known of the earlier one that was not before.
    """
    outcome = ended.outcome
    if outcome.outcome not in _NOT_REPEATED:
        return ended
    why = ": ".join(filter(None, (outcome.outcome.value, outcome.detail)))
    doubt = replace(
        outcome,
        outcome=unknown(ended.cmd),
        reason="not asked again",
        detail=f"an earlier request may have been acted on; this time: {why}",
    )
    return replace(ended, outcome=doubt)
