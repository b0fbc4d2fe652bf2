from dataclasses import replace

from bulkcmp.load.certified import Certified, left_over
from bulkcmp.model import Operation, OutcomeClass


def _issued(serial: int, outcome: OutcomeClass = OutcomeClass.ISSUED) -> Certified:
    return Certified(serial, f"dev{serial}", Operation.IR, serial, outcome, b"ca")


def _asked(one: Certified, outcome: OutcomeClass) -> Certified:
    return replace(one, cmd=Operation.RR, outcome=outcome)


def test_what_is_not_known_to_be_revoked_is_left() -> None:
    revoked, refused, again = _issued(1), _issued(2), _issued(3)
    unconfirmed = _issued(4, OutcomeClass.ISSUED_CONFIRMATION_UNKNOWN)
    renewed = replace(_issued(5), cmd=Operation.KUR)
    lines = [
        revoked, refused, again, unconfirmed, renewed,
        _asked(revoked, OutcomeClass.REVOKED),
        _asked(refused, OutcomeClass.REJECTED),
        _asked(again, OutcomeClass.REJECTED),
        _asked(again, OutcomeClass.REVOKED),
    ]  # fmt: skip
    assert left_over(lines) == [refused, unconfirmed, renewed]


def test_serial_numbers_are_those_of_an_issuer() -> None:
    ours, other = _issued(1), replace(_issued(1), issuer=b"other ca")
    assert left_over([ours, other, _asked(other, OutcomeClass.REVOKED)]) == [ours]


def test_what_the_run_did_not_have_issued_is_none_of_its_business() -> None:
    assert left_over([_asked(_issued(1), OutcomeClass.REVOKED)]) == []
    # what was said of it before it was issued is of no use
    assert left_over([_asked(_issued(1), OutcomeClass.REVOKED), _issued(1)]) == [_issued(1)]
