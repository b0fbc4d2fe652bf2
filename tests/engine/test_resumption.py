import itertools

import pytest

from bulkcmp.cmp.events import Checkpoint, Part, Phase
from bulkcmp.engine.resumption import Resumption, resumption
from bulkcmp.journal.entry import RowState
from bulkcmp.model import OutcomeClass

SKIP, GO_ON, ANEW = Resumption.SKIP, Resumption.GO_ON, Resumption.ANEW

# by default; with --retry-unknown; with --retry-failed
TABLE = {
    OutcomeClass.ISSUED: (SKIP, SKIP, SKIP),
    OutcomeClass.ISSUED_SUBJECT_CHANGED: (SKIP, SKIP, SKIP),
    OutcomeClass.ISSUED_UNPROVEN: (SKIP, SKIP, SKIP),
    OutcomeClass.ISSUED_CONFIRMATION_UNKNOWN: (GO_ON, GO_ON, GO_ON),
    OutcomeClass.ISSUED_CONFIRMATION_REFUSED: (SKIP, SKIP, SKIP),
    OutcomeClass.ISSUED_REFUSED: (SKIP, SKIP, SKIP),
    OutcomeClass.ISSUED_FLAWED: (SKIP, SKIP, SKIP),
    OutcomeClass.REVOKED: (SKIP, SKIP, SKIP),
    OutcomeClass.ANSWERED: (SKIP, SKIP, SKIP),
    OutcomeClass.REJECTED: (SKIP, SKIP, ANEW),
    OutcomeClass.REJECTED_UNAUTHENTICATED: (SKIP, SKIP, ANEW),
    OutcomeClass.CREDENTIALS_REFUSED: (SKIP, SKIP, ANEW),
    OutcomeClass.BAD_RESPONSE: (SKIP, SKIP, ANEW),
    OutcomeClass.UNKNOWN: (SKIP, ANEW, SKIP),
    OutcomeClass.UNANSWERED: (ANEW, ANEW, ANEW),
    OutcomeClass.STILL_WAITING: (GO_ON, GO_ON, GO_ON),
    OutcomeClass.NOT_SENT: (ANEW, ANEW, ANEW),
    OutcomeClass.HTTP_ERROR: (SKIP, SKIP, ANEW),
    OutcomeClass.NOT_CMP: (SKIP, SKIP, ANEW),
    OutcomeClass.LOCAL_ERROR: (SKIP, SKIP, ANEW),
    OutcomeClass.BAD_ROW: (SKIP, SKIP, ANEW),
    OutcomeClass.TO_DO: (ANEW, ANEW, ANEW),
}


def state(outcome: OutcomeClass, phase: Phase | None) -> RowState:
    checkpoint = None
    if phase is not None:
        checkpoint = Checkpoint(
            b"id",
            b"nonce",
            b"nonce",
            None,
            b"",
            0.0,
            (Part(1, phase, 0), Part(2, Phase.WAITING, 1)),
        )
    return RowState(1, outcome, checkpoint)


@pytest.mark.parametrize("phase", [None, *Phase])
@pytest.mark.parametrize("outcome", list(OutcomeClass))
def test_every_outcome_with_every_flag(outcome: OutcomeClass, phase: Phase | None) -> None:
    plain, unknown, failed = TABLE[outcome]
    if outcome is OutcomeClass.UNKNOWN and phase is Phase.WAITING:
        # a pollRep was lost: it is asked for again, unless the user wants a new certificate
        plain = failed = GO_ON
    expected = {(False, False): plain, (True, False): unknown, (False, True): failed}
    # together the flags do what either of them does
    expected[True, True] = unknown if unknown is not plain else failed
    for retry_unknown, retry_failed in itertools.product((False, True), repeat=2):
        found = resumption(
            state(outcome, phase), retry_unknown=retry_unknown, retry_failed=retry_failed
        )
        assert found is expected[retry_unknown, retry_failed]


def test_what_the_ca_may_have_issued_is_never_begun_anew_unasked() -> None:
    for outcome, (plain, _, failed) in TABLE.items():
        if outcome.is_issued or outcome is OutcomeClass.UNKNOWN:
            assert ANEW not in (plain, failed)
