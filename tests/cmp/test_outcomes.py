"""The table of classes."""

from dataclasses import replace

import pytest

from bulkcmp.cmp import outcomes
from bulkcmp.cmp.messages import PKIStatusInfo, fail_info
from bulkcmp.errors import Loss
from bulkcmp.model import LONGEST_TEXT, Operation, Outcome, OutcomeClass

LOST = {
    Loss.CONNECT: OutcomeClass.NOT_SENT,
    Loss.TLS: OutcomeClass.NOT_SENT,
    Loss.NOT_SENT: OutcomeClass.NOT_SENT,
    Loss.NO_LAYER: OutcomeClass.NOT_SENT,
    Loss.BUSY: OutcomeClass.NOT_SENT,
    Loss.REUSED: OutcomeClass.UNKNOWN,
    Loss.CUT: OutcomeClass.UNKNOWN,
    Loss.TIMEOUT: OutcomeClass.UNKNOWN,
    Loss.GATEWAY: OutcomeClass.UNKNOWN,
    Loss.TOO_LARGE: OutcomeClass.UNKNOWN,
    Loss.BAD_HTTP: OutcomeClass.UNKNOWN,
    Loss.NOT_IN_BATCH: OutcomeClass.UNKNOWN,
    Loss.HTTP_STATUS: OutcomeClass.HTTP_ERROR,
    Loss.NOT_CMP: OutcomeClass.NOT_CMP,
}


@pytest.mark.parametrize("loss", Loss)
def test_every_loss_has_its_class(loss: Loss) -> None:
    assert outcomes.lost(Operation.IR, loss, "how", "why") == Outcome(LOST[loss], "how", "why")
    assert outcomes.was_processed(loss) == (LOST[loss] is not OutcomeClass.NOT_SENT)


def test_of_what_a_peer_has_to_say_only_the_first_is_kept() -> None:
    text = "no " * 300_000
    outcome = outcomes.refused(
        PKIStatusInfo(status=2, statusString=[text, text]), authenticated=True, details=[text]
    )
    for told in (outcome.detail, outcome.status_text):
        assert len(told) == LONGEST_TEXT
        assert told.startswith("no no ")
        assert told.endswith("…")
    assert replace(outcome) == outcome
    whole = Outcome(OutcomeClass.REJECTED, detail="x" * LONGEST_TEXT)
    assert whole.detail == "x" * LONGEST_TEXT


@pytest.mark.parametrize("bit", ["badMessageCheck", "wrongIntegrity", "signerNotTrusted"])
@pytest.mark.parametrize("authenticated", [True, False])
def test_a_no_to_our_protection(bit: str, *, authenticated: bool) -> None:
    status = PKIStatusInfo(status=2, failInfo=fail_info(bit, "badRequest"))
    outcome = outcomes.refused(status, authenticated=authenticated, details=[])
    assert outcome.outcome is OutcomeClass.CREDENTIALS_REFUSED
    assert set(outcome.fail_info) == {bit, "badRequest"}


@pytest.mark.parametrize(
    "text",
    [
        "Authentication failed for message. Wrong username or password",
        "Got request with status FAILED: user with invalid password",
    ],
)
def test_a_no_to_our_protection_that_only_the_text_tells(text: str) -> None:
    status = PKIStatusInfo(status=2, statusString=[text], failInfo=fail_info("badRequest"))
    outcome = outcomes.refused(status, authenticated=False, details=[])
    assert outcome.outcome is OutcomeClass.CREDENTIALS_REFUSED


@pytest.mark.parametrize(
    ("authenticated", "texts", "details", "status_text", "detail"),
    [
        (True, None, [], "", "no text (badPOP)"),
        (True, ["a", "b"], ["c"], "a / b / c", "a / b / c (badPOP)"),
        (False, None, [], "(unauthenticated) ", "(unauthenticated) no text (badPOP)"),
        (False, ["a"], [], "(unauthenticated) a", "(unauthenticated) a (badPOP)"),
    ],
)
def test_what_a_no_says(
    texts: list[str] | None,
    details: list[str],
    status_text: str,
    detail: str,
    *,
    authenticated: bool,
) -> None:
    status = PKIStatusInfo(status=2, statusString=texts, failInfo=fail_info("badPOP"))
    kind = OutcomeClass.REJECTED if authenticated else OutcomeClass.REJECTED_UNAUTHENTICATED
    assert outcomes.refused(status, authenticated=authenticated, details=details) == Outcome(
        kind, "badPOP", detail, pki_status=2, fail_info=("badPOP",), status_text=status_text
    )
