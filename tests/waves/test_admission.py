"""The admission of new transactions, in made-up time."""

from bulkcmp.waves.admission import Admission, Decision, Hold
from bulkcmp.waves.breaker import Breaker, BreakerRules


def test_one_transaction_finds_out_who_the_server_is() -> None:
    admission = Admission(50, None)
    assert admission.decide(0.0) == Decision(1)
    admission.is_known = True
    assert admission.decide(0.0) == Decision(50)


def test_while_the_circuit_is_open_one_probe_may_begin_when_it_is_due() -> None:
    breaker = Breaker(BreakerRules(1, 2.0, 100.0), worked=True)
    admission = Admission(50, breaker)
    admission.is_known = True
    assert admission.decide(0.0) == Decision(50)
    breaker.failed(10.0, "x")
    assert admission.decide(10.0) == Decision(50, Hold.CIRCUIT, 12.0)
    assert admission.decide(12.0) == Decision(50, Hold.CIRCUIT, 12.0, probe=True)
    breaker.probing()
    assert admission.decide(12.5) == Decision(50, Hold.CIRCUIT)
    breaker.answered()
    assert admission.decide(13.0) == Decision(50)
