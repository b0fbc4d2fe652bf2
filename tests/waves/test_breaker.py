"""The circuit breaker in made-up time."""

import pytest

from bulkcmp.model import Outcome, OutcomeClass
from bulkcmp.waves.breaker import LONGEST_PAUSE, Breaker, BreakerRules, Word, word_of

RULES = BreakerRules(failures=3, pause=2.0, limit=100.0)


def opened(at: float = 10.0, rules: BreakerRules = RULES) -> Breaker:
    """A circuit that opens at an instant, of a CA that worked before."""
    breaker = Breaker(rules)
    breaker.answered()
    for _ in range(rules.failures):
        assert breaker.is_closed
        breaker.failed(at, "HTTP 500")
    assert not breaker.is_closed
    return breaker


@pytest.mark.parametrize(
    ("kind", "fail_info", "word"),
    [
        (OutcomeClass.ISSUED, (), Word.ANSWERED),
        (OutcomeClass.ISSUED_REFUSED, (), Word.ANSWERED),
        (OutcomeClass.STILL_WAITING, (), Word.ANSWERED),
        (OutcomeClass.REJECTED, ("badPOP",), Word.ANSWERED),
        (OutcomeClass.REJECTED_UNAUTHENTICATED, (), Word.ANSWERED),
        (OutcomeClass.REJECTED, ("systemFailure",), Word.FAILED),
        (OutcomeClass.REJECTED_UNAUTHENTICATED, ("badTime", "systemUnavail"), Word.FAILED),
        (OutcomeClass.BAD_RESPONSE, (), Word.FAILED),
        (OutcomeClass.CREDENTIALS_REFUSED, ("badMessageCheck",), Word.REFUSED),
        (OutcomeClass.CREDENTIALS_REFUSED, ("systemFailure",), Word.FAILED),
        (OutcomeClass.NOT_SENT, (), Word.NOTHING),
        (OutcomeClass.UNKNOWN, (), Word.NOTHING),
        (OutcomeClass.HTTP_ERROR, (), Word.NOTHING),
        (OutcomeClass.LOCAL_ERROR, (), Word.NOTHING),
    ],
)
def test_what_an_outcome_says_of_the_ca(
    kind: OutcomeClass, fail_info: tuple[str, ...], word: Word
) -> None:
    assert word_of(Outcome(kind, fail_info=fail_info)) is word


def test_it_opens_after_failures_in_a_row() -> None:
    breaker = Breaker(RULES)
    breaker.answered()
    for _ in range(5):
        breaker.failed(1.0, "a")
        breaker.failed(2.0, "b")
        breaker.answered()
        assert breaker.is_closed
        assert breaker.due is None
    breaker = opened(10.0)
    assert (breaker.due, breaker.why, breaker.is_given_up) == (12.0, "HTTP 500", False)


def test_pauses_grow_with_each_probe_that_fails_up_to_a_most() -> None:
    breaker = opened(10.0)
    pauses: list[float] = []
    for _ in range(8):
        assert breaker.due is not None
        now = breaker.due
        breaker.probing()
        assert breaker.due is None
        breaker.failed(now, "HTTP 502", is_probe=True)
        pauses.append(breaker.due - now)
        assert breaker.why == "HTTP 502"
    assert pauses == [4.0, 8.0, 16.0, 32.0, *[LONGEST_PAUSE] * 4]
    # and anew from the beginning
    breaker.answered()
    assert breaker.is_closed
    for _ in range(3):
        breaker.failed(1000.0, "x")
    assert breaker.due == 1002.0


def test_a_pause_that_is_longer_than_the_most_stays_as_it_is() -> None:
    breaker = opened(10.0, BreakerRules(3, 300.0, 0.0))
    assert breaker.due == 310.0
    breaker.probing()
    breaker.failed(310.0, "x", is_probe=True)
    assert breaker.due == 610.0


def test_what_fails_late_is_no_probe() -> None:
    breaker = opened(10.0)
    breaker.failed(11.0, "cut")
    assert (breaker.due, breaker.why) == (12.0, "HTTP 500")
    breaker.probing()
    breaker.failed(13.0, "cut")
    assert breaker.due is None


def test_a_probe_that_tells_nothing_is_followed_by_another() -> None:
    breaker = opened(10.0)
    breaker.probing()
    breaker.untold(13.0)
    assert breaker.due == 13.0
    # after one that told something, the pause stands
    breaker.probing()
    breaker.failed(14.0, "x", is_probe=True)
    breaker.untold(14.0)
    assert breaker.due == 18.0
    breaker.answered()
    breaker.untold(15.0)
    assert breaker.due is None


@pytest.mark.parametrize(("limit", "ends"), [(100.0, True), (0.0, False)])
def test_it_is_given_up_after_the_limit(limit: float, ends: bool) -> None:
    breaker = opened(10.0, BreakerRules(3, 2.0, limit))
    breaker.probing()
    breaker.failed(109.0, "x", is_probe=True)
    assert not breaker.is_given_up
    breaker.probing()
    breaker.failed(111.0, "x", is_probe=True)
    assert breaker.is_given_up is ends


def test_a_ca_that_never_answered_is_given_up_at_once() -> None:
    for worked in (False, True):
        breaker = Breaker(RULES, worked=worked)
        for _ in range(3):
            breaker.failed(0.0, "x")
        assert breaker.is_given_up is not worked


def test_refused_credentials_are_failures_where_rows_share_them() -> None:
    breaker = Breaker(RULES)
    breaker.answered()
    for number in range(10):
        breaker.refused(0.0, ("ref", number), "refused")
    assert breaker.is_closed
    for _ in range(3):
        assert breaker.is_closed
        breaker.refused(0.0, "shared", "refused")
    assert breaker.is_closed
    breaker.answered()
    for _ in range(4):
        assert breaker.is_closed
        breaker.refused(0.0, "shared", "refused")
    assert breaker.why == "refused"
    breaker.probing()
    breaker.refused(2.0, "shared", "refused", is_probe=True)
    assert breaker.due == 6.0
