"""Counts of outcomes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkcmp.model import Outcome, OutcomeClass
from bulkcmp.stats.tally import MOST_KINDS, OTHERS, OutcomeCount, Tally


def tally_of(outcomes: list[Outcome]) -> Tally:
    tally = Tally()
    for outcome in outcomes:
        tally.add(outcome.outcome, outcome.reason)
    return tally


OUTCOMES = st.builds(Outcome, st.sampled_from(OutcomeClass), st.sampled_from(["", "a", "b"]))


def test_counts_come_by_class_and_then_by_frequency() -> None:
    tally = tally_of(
        [
            Outcome(OutcomeClass.NOT_CMP),
            Outcome(OutcomeClass.REJECTED, "badRequest"),
            Outcome(OutcomeClass.REJECTED, "badPOP"),
            Outcome(OutcomeClass.REJECTED, "badPOP", detail="other words, same kind"),
            Outcome(OutcomeClass.ISSUED),
        ]
    )
    assert tally.counts() == (
        OutcomeCount(OutcomeClass.ISSUED, "", 1),
        OutcomeCount(OutcomeClass.REJECTED, "badPOP", 2),
        OutcomeCount(OutcomeClass.REJECTED, "badRequest", 1),
        OutcomeCount(OutcomeClass.NOT_CMP, "", 1),
    )
    assert tally.total == 5
    assert tally.failed == 4
    assert tally.count(OutcomeClass.REJECTED, "badPOP") == 2
    assert tally.count(OutcomeClass.REJECTED, "other") == 0


@given(st.lists(OUTCOMES))
def test_every_row_is_counted_once(outcomes: list[Outcome]) -> None:
    tally = tally_of(outcomes)
    counts = tally.counts()
    assert sum(one.count for one in counts) == tally.total == len(outcomes)
    assert tally.failed == sum(not one.outcome.is_done for one in outcomes)
    assert len({(one.outcome, one.reason) for one in counts}) == len(counts)


def test_a_count_of_nothing_leaves_no_trace() -> None:
    tally = Tally()
    tally.add(OutcomeClass.ISSUED, "", 0)
    assert tally.counts() == ()
    with pytest.raises(ValueError, match="-1"):
        tally.add(OutcomeClass.ISSUED, "", -1)


def test_a_peer_can_not_make_kinds_without_end() -> None:
    tally = Tally()
    for number in range(1000):
        reason = tally.add(OutcomeClass.REJECTED, f"bit {number}", 2)
        assert reason == (f"bit {number}" if number < MOST_KINDS else OTHERS)
    # what has a place keeps it
    assert tally.add(OutcomeClass.REJECTED, "bit 7") == "bit 7"
    counts = tally.counts()
    assert len(counts) == MOST_KINDS + 1
    assert counts[0] == OutcomeCount(OutcomeClass.REJECTED, OTHERS, 2 * (1000 - MOST_KINDS))
    assert tally.total == 2001
    tally.add(OutcomeClass.NOT_CMP)
    assert tally.failed == 2002


def test_what_it_has() -> None:
    tally = Tally()
    tally.add(OutcomeClass.BAD_ROW, "id")
    assert tally.has(OutcomeClass.BAD_ROW)
    assert not tally.has(OutcomeClass.TO_DO)
