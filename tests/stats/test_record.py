from bulkcmp.model import Operation, Outcome, OutcomeClass
from bulkcmp.stats.record import Ending, TransactionRecord

ISSUED = Outcome(OutcomeClass.ISSUED)
REJECTED = Outcome(OutcomeClass.REJECTED, "badPOP", "no (badPOP)", fail_info=("badPOP",))


def record(*outcomes: Outcome, planned: float = 1.0, started: float = 1.5) -> TransactionRecord:
    return TransactionRecord(
        0, "enroll", 0, Operation.IR, planned, started, 4.0, False, Ending.of(outcomes)
    )


def test_outcomes_of_one_kind_become_one_ending() -> None:
    assert Ending.of((ISSUED, REJECTED, ISSUED)) == (
        Ending(OutcomeClass.ISSUED, requests=2),
        Ending(OutcomeClass.REJECTED, "badPOP", ("badPOP",), "no (badPOP)"),
    )


def test_a_transaction_is_ok_if_all_its_requests_are() -> None:
    assert record(ISSUED, ISSUED).is_ok
    assert not record(ISSUED, REJECTED).is_ok


def test_response_counts_from_the_plan_and_service_from_the_start() -> None:
    one = record(ISSUED)
    assert (one.lag, one.service, one.response) == (0.5, 2.5, 3.0)


def test_a_timer_that_rings_early_makes_no_negative_lag() -> None:
    assert record(ISSUED, planned=1.001, started=1.0).lag == 0.0
