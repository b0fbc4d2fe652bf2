"""The admission of new transactions, in made-up time."""

import datetime as dt

from bulkcmp.waves.admission import Admission, Decision, Hold
from bulkcmp.waves.breaker import Breaker, BreakerRules
from bulkcmp.waves.window import Window, Windows


def test_one_transaction_finds_out_who_the_server_is() -> None:
    admission = Admission(50)
    assert admission.decide(0.0, 0.0) == Decision(1)
    admission.is_known = True
    assert admission.decide(0.0, 0.0) == Decision(50)


def test_while_the_circuit_is_open_one_probe_may_begin_when_it_is_due() -> None:
    breaker = Breaker(BreakerRules(1, 2.0, 100.0), worked=True)
    admission = Admission(50, breaker)
    admission.is_known = True
    assert admission.decide(0.0, 0.0) == Decision(50)
    breaker.failed(10.0, "x")
    assert admission.decide(10.0, 0.0) == Decision(50, Hold.CIRCUIT, 12.0)
    assert admission.decide(12.0, 0.0) == Decision(50, Hold.CIRCUIT, 12.0, probe=True)
    breaker.probing()
    assert admission.decide(12.5, 0.0) == Decision(50, Hold.CIRCUIT)
    breaker.answered()
    assert admission.decide(13.0, 0.0) == Decision(50)


def test_what_people_say_goes_before_what_the_ca_does() -> None:
    breaker = Breaker(BreakerRules(1, 2.0, 100.0), worked=True)
    breaker.failed(10.0, "x")
    admission = Admission(5, breaker, Windows((Window.parse("00:00-00:01"),), dt.UTC))
    admission.is_known = admission.is_paused = admission.awaits_canary = True
    assert admission.decide(20.0, 70.0) == Decision(5, Hold.PAUSED)
    admission.is_paused = False
    assert admission.decide(20.0, 70.0) == Decision(5, Hold.WINDOW, 86400.0)
    # the time of day is the wall clock's
    assert admission.decide(20.0, 30.0) == Decision(5, Hold.CIRCUIT, 12.0, probe=True)
    assert admission.decide(20.0, 30.0).halts
    breaker.answered()
    assert admission.decide(20.0, 30.0) == Decision(5, Hold.CANARY)
    assert not admission.decide(20.0, 30.0).halts
