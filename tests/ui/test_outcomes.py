"""Outcome classes as they are shown."""

import pytest

from bulkcmp.cmp.outcomes import STOPPED
from bulkcmp.model import OutcomeClass
from bulkcmp.stats.tally import OutcomeCount
from bulkcmp.ui.outcomes import ClassCount, by_class, commonest


@pytest.mark.parametrize("outcome", OutcomeClass)
def test_every_class_that_is_not_done_has_a_hint_of_one_line(outcome: OutcomeClass) -> None:
    hints = ClassCount(outcome, 1, ()).hints
    if outcome.is_done:
        assert hints == ()
    else:
        # with the indentation it fits into 80 columns
        (hint,) = hints
        assert 10 < len(hint) <= 70


def test_the_commonest_reason_adds_its_own_hint() -> None:
    reasons = (("badPOP", 3), ("badRequest", 1))
    _, hint = ClassCount(OutcomeClass.REJECTED, 4, reasons).hints
    assert "--popo" in hint
    assert len(ClassCount(OutcomeClass.REJECTED, 1, (("of its own", 1),)).hints) == 1


@pytest.mark.parametrize(
    "outcome", [OutcomeClass.TO_DO, OutcomeClass.NOT_SENT, OutcomeClass.STILL_WAITING]
)
def test_of_what_was_stopped_it_is_said_once_that_resume_goes_on(outcome: OutcomeClass) -> None:
    (hint,) = ClassCount(outcome, 2, ((STOPPED, 2),)).hints
    assert "resume" in hint


def test_counts_are_grouped_by_class() -> None:
    counts = [
        OutcomeCount(OutcomeClass.ISSUED, "", 9),
        OutcomeCount(OutcomeClass.REJECTED, "badPOP", 3),
        OutcomeCount(OutcomeClass.REJECTED, "", 1),
        OutcomeCount(OutcomeClass.REJECTED, "badRequest", 1),
    ]
    assert by_class(counts) == [
        ClassCount(OutcomeClass.ISSUED, 9, ()),
        ClassCount(OutcomeClass.REJECTED, 5, (("badPOP", 3), ("badRequest", 1))),
    ]
    assert by_class([]) == []


def test_the_commonest_reasons_are_named_and_the_others_counted() -> None:
    reasons = (("a", 1200), ("b", 3), ("c", 2), ("d", 1), ("e", 1))
    assert ClassCount(OutcomeClass.REJECTED, 1207, reasons).why == (
        "a 1,200, b 3, c 2, 2 other reasons 2"
    )
    assert ClassCount(OutcomeClass.REJECTED, 5, (("b", 3),)).why == "b 3"
    assert ClassCount(OutcomeClass.REJECTED, 5, ()).why == ""


def test_colours_tell_done_from_half_done_from_failed() -> None:
    styles = {one: ClassCount(one, 1, ()).style for one in OutcomeClass}
    assert styles[OutcomeClass.ISSUED] == styles[OutcomeClass.REVOKED] == "green"
    assert styles[OutcomeClass.ISSUED_REFUSED] == "yellow"
    assert styles[OutcomeClass.REJECTED] == styles[OutcomeClass.UNKNOWN] == "red"
    assert styles[OutcomeClass.TO_DO] == ""


def test_the_rarest_classes_share_a_line() -> None:
    rows = [9, 1, 5, 2, 7]
    classes = [
        ClassCount(outcome, count, ())
        for outcome, count in zip(list(OutcomeClass)[:5], rows, strict=True)
    ]
    assert commonest(classes, 5) == (classes, [])
    shown, rest = commonest(classes, 4)
    assert [one.rows for one in shown] == [9, 5, 7]
    assert [one.rows for one in rest] == [2, 1]
