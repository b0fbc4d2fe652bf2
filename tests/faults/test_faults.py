"""Each fault of a network alone, and all of them at once: what every row comes to.

    BULKCMP_SCALE=full python -m pytest tests/faults

has 5,000 rows for each; the dated output is in docs/measurements.
"""

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

import pytest

from bulkcmp.cmp.messages import BodyType
from bulkcmp.model import OutcomeClass
from tests.faults.conftest import LIMITS, RUN_LIMIT
from tests.faults.faults import FAULTS, LINES, reordered
from tests.faults.proxy import ISSUED, End, Fault, Proxy

if TYPE_CHECKING:
    from tests.aftermath import Aftermath
    from tests.faults.conftest import Field
    from tests.faults.faults import Connections

pytestmark = pytest.mark.timeout(RUN_LIMIT * 3)

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

POURED = 64 << 20
"""Octets of an endless answer that may leave the proxy: what we read, and the kernel's buffers."""


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


@pytest.mark.parametrize("fault", FAULTS, ids=lambda one: one.name)
def test_each(ground: "Field", fault: Fault) -> None:
    if fault.is_slow:
        ground.shorten()
    proxy = ground.proxy(fault)
    after = ground.play(proxy)
    check_met(proxy, after)
    check_ends(proxy, after)
    assert not proxy.strayed
    assert proxy.poured <= POURED * len(proxy.deeds)
    check_resumed(ground, after)


def test_all_at_once(ground: "Field") -> None:
    ground.shorten()
    proxy = ground.proxy(*FAULTS)
    after = ground.play(proxy)
    check_ends(proxy, after)
    check_resumed(ground, after)


def test_a_run_can_be_repeated(ground: "Field", again: "Field") -> None:
    # what meets whom is a matter of time with these
    faults = [fault for fault in FAULTS if not fault.others and fault.act is not reordered]
    deeds = []
    for field in (ground, again):
        proxy = field.proxy(*faults)
        field.play(proxy)
        deeds.append(Counter(proxy.deeds))
    assert deeds[0] == deeds[1]


@pytest.mark.parametrize("line", LINES, ids=lambda one: one.name)
def test_connections(ground: "Field", line: "Connections") -> None:
    proxy = ground.proxy(line=line.make())
    after = ground.play(proxy)
    for row, _ in after.rows:
        assert (row.outcome.outcome, row.outcome.reason) in line.ends, row
    after.check_promises()
    check_certificates(after)
    check_resumed(ground, after)
