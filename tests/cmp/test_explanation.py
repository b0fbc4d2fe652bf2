"""The table that explains outcomes is whole, and says what the code does."""

import pytest

from bulkcmp.cmp import explanation, outcomes
from bulkcmp.cmp.checks import Reason
from bulkcmp.cmp.explanation import explain, hint_for
from bulkcmp.cmp.messages import FAIL_INFO, PKIStatus
from bulkcmp.errors import Loss
from bulkcmp.model import Outcome, OutcomeClass


def test_nothing_is_left_out_and_nothing_is_foreign() -> None:
    assert set(explanation.CLASSES) == set(OutcomeClass)
    assert set(explanation.CHECKS) == set(explanation.TITLES) == set(Reason)
    assert set(explanation.LOSSES) == set(Loss)
    assert set(explanation.FAIL_INFOS) == set(FAIL_INFO)
    assert set(explanation.STATUSES) == set(PKIStatus)
    words = [entry.word for entry in explanation.entries()]
    every = (*OutcomeClass, *Reason, *Loss, *FAIL_INFO)
    assert [word for word in every if word not in words] == []


@pytest.mark.parametrize("entry", list(explanation.entries()), ids=lambda entry: entry.word)
def test_an_explanation_is_one_line_for_a_table(entry: explanation.Entry) -> None:
    for text in (entry.meaning, entry.hint):
        assert text == " ".join(text.split())
        assert "|" not in text
        assert len(text) <= 200
        assert not text.endswith(".")
    assert entry.meaning


def test_what_a_loss_leads_to() -> None:
    sent = OutcomeClass.UNKNOWN
    confirm = OutcomeClass.ISSUED_CONFIRMATION_UNKNOWN
    question = OutcomeClass.UNANSWERED
    assert explanation.classes_of_loss(Loss.CUT) == (sent, question, sent, confirm)
    assert explanation.classes_of_loss(Loss.BUSY) == (
        OutcomeClass.NOT_SENT,
        OutcomeClass.NOT_SENT,
        OutcomeClass.STILL_WAITING,
        confirm,
    )


def test_what_a_check_leads_to() -> None:
    assert explanation.classes_of_check(Reason.MAC) == (
        OutcomeClass.BAD_RESPONSE,
        OutcomeClass.ISSUED_UNPROVEN,
    )
    assert explanation.classes_of_check(Reason.CHAIN) == (OutcomeClass.ISSUED_REFUSED,)
    assert explanation.classes_of_check(Reason.CRL) == (OutcomeClass.BAD_RESPONSE,)
    assert explanation.classes_of_check(Reason.INFO_UNSUPPORTED) == (OutcomeClass.REJECTED,)


def test_what_a_status_leads_to() -> None:
    leads = {status: explanation.classes_of_status(status) for status in PKIStatus}
    granted = {status for status, kinds in leads.items() if OutcomeClass.ISSUED in kinds}
    revoked = {status for status, kinds in leads.items() if OutcomeClass.REVOKED in kinds}
    assert granted == set(outcomes.GRANTED)
    assert revoked == set(outcomes.REVOKED)
    assert leads[PKIStatus.WAITING] == (OutcomeClass.STILL_WAITING,)
    assert leads[PKIStatus.REJECTION] == (OutcomeClass.REJECTED, OutcomeClass.CREDENTIALS_REFUSED)
    assert leads[PKIStatus.KEY_UPDATE_WARNING] == (OutcomeClass.BAD_RESPONSE,)
    assert explanation.asn1_name(PKIStatus.GRANTED_WITH_MODS) == "grantedWithMods"


def test_what_a_fail_info_leads_to() -> None:
    refused = OutcomeClass.CREDENTIALS_REFUSED
    assert explanation.classes_of_fail_info("badMessageCheck") == (refused, refused)
    assert explanation.classes_of_fail_info("badPOP") == (
        OutcomeClass.REJECTED,
        OutcomeClass.REJECTED_UNAUTHENTICATED,
    )


@pytest.mark.parametrize(
    ("reason", "word"),
    [
        ("signer's key usage", "--ignore-keyusage"),
        ("TLS failed", "--tls-trusted"),
        ("HTTP 404", "no such alias"),
        ("time limit", "longer"),
        ("badDataFormat, badPOP", "--popo"),
        ("badDataFormat", ""),
        ("wrong certReqId", ""),
        ("bit 30", ""),
        ("whatever", ""),
        ("", ""),
    ],
)
def test_hints_for_reasons(reason: str, word: str) -> None:
    hint = hint_for(OutcomeClass.REJECTED, reason)
    assert word in hint
    assert bool(hint) is bool(word)
    assert hint_for(OutcomeClass.ISSUED, reason) == ""


def test_the_text_of_ejbca_tells_most() -> None:
    text = (
        "Got request with status GENERATED (40). Status NEW, FAILED or INPROCESS required: dev10."
    )
    outcome = Outcome(OutcomeClass.REJECTED, "badRequest", status_text=text)
    first, second, last = explain(outcome)
    assert "enrolled already" in first.meaning
    assert second == explanation.FAIL_INFOS["badRequest"]
    assert last.hint == explanation.CLASSES[OutcomeClass.REJECTED].hint


def test_entries_are_found_by_any_word_of_theirs() -> None:
    found = [entry.word for entry in explanation.entries() if entry.has("--IGNORE-keyusage")]
    assert found == ["signer's key usage"]
    text = "Authentication failed for message. dev3."
    assert [entry.word for entry in explanation.entries() if entry.has(text)] == [text[:33]]
