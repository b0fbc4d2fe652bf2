"""What must hold after a run over a network that does harm, and after `resume`."""

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from bulkcmp.cmp.messages import BodyType
from bulkcmp.model import OutcomeClass
from tests.faults.conftest import LIMITS
from tests.faults.proxy import ISSUED, End, Proxy

if TYPE_CHECKING:
    from tests.aftermath import Aftermath
    from tests.faults.conftest import Field

MAY_HAVE_ISSUED = frozenset({OutcomeClass.UNKNOWN, OutcomeClass.BAD_RESPONSE})
"""Outcomes that say so; who begins such a row anew may get a second certificate."""

SETTLED = frozenset(
    {
        OutcomeClass.ISSUED,
        OutcomeClass.ISSUED_UNPROVEN,
        OutcomeClass.HTTP_ERROR,
        OutcomeClass.NOT_CMP,
        *MAY_HAVE_ISSUED,
    }
)
"""What `resume` leaves as it is."""


def expected(proxy: Proxy, rows: Iterable[int]) -> dict[int, frozenset[End]]:
    """What each row may have come to, by what was done to its messages."""
    others = frozenset[End]().union(*(fault.others for fault in proxy.faults))
    ends = {number: frozenset({ISSUED}) for number in rows}
    for deed in proxy.deeds:
        is_request = deed.kind is BodyType.IR
        ends[deed.row] = deed.fault.request if is_request else deed.fault.confirmation
    return {number: those | others for number, those in ends.items()}


def check_ends(proxy: Proxy, after: "Aftermath") -> None:
    """Each row has one end, and that by what was done to it; the CA and the journal agree."""
    ends = expected(proxy, after.own())
    for row, _ in after.rows:
        assert (row.outcome.outcome, row.outcome.reason) in ends[row.number], row
    after.check_promises()
    check_certificates(after)
    assert not twice(after)


def check_met(proxy: Proxy, after: "Aftermath") -> None:
    """Requests and certConfs were spoilt.

    Where others came to harm by it, or by a limit that a busy machine let pass, there may have been
    no certConf to spoil.
    """
    assert proxy.deeds
    met = {deed.row for deed in proxy.deeds}
    ends = {
        (row.outcome.outcome, row.outcome.reason) for row, _ in after.rows if row.number not in met
    }
    if ends <= {ISSUED}:
        assert {deed.kind for deed in proxy.deeds} == {BodyType.IR, BodyType.CERT_CONF}


def check_certificates(after: "Aftermath") -> None:
    """Each certificate of the CA is that of a row, or its row says that there may be one."""
    own = after.own()
    rows = {row.number: row for row, _ in after.rows}
    assert sorted(rows) == list(range(1, len(rows) + 1))
    for part, one in after.at_ca():
        transaction_id, number = part
        row = rows[number]
        if own[number] != transaction_id:
            assert after.transactions[part].outcome in MAY_HAVE_ISSUED
        elif row.outcome.outcome not in MAY_HAVE_ISSUED:
            assert row.certificate == one.der, row


def twice(after: "Aftermath") -> set[int]:
    """Rows for which the CA issued more than once."""
    counts = Counter(number for (_, number), _ in after.at_ca())
    return {number for number, count in counts.items() if count > 1}


def outcomes(after: "Aftermath") -> dict[int, OutcomeClass]:
    return {row.number: row.outcome.outcome for row, _ in after.rows}


def check_resumed(ground: "Field", before: "Aftermath") -> None:
    """Without faults, `resume` brings each row to its end, and issues nothing twice unasked."""
    ground.limits = LIMITS
    after = ground.play(ground.proxy(), resumed=True)
    assert not twice(after)
    check_certificates(after)
    were = outcomes(before)
    for number, outcome in outcomes(after).items():
        # what was not taken up yet is not in the journal
        was = were.get(number, OutcomeClass.TO_DO)
        assert outcome is (was if was in SETTLED else OutcomeClass.ISSUED)
    doubtful = {number for number, outcome in were.items() if outcome in MAY_HAVE_ISSUED}
    after = ground.play(ground.proxy(), resumed=True, retry_unknown=True, retry_failed=True)
    assert set(outcomes(after).values()) <= {OutcomeClass.ISSUED, OutcomeClass.ISSUED_UNPROVEN}
    assert twice(after) <= doubtful
    after.check_promises()
    check_certificates(after)
