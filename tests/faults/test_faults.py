"""Each fault of a network alone, and all of them at once: what every row comes to.

    BULKCMP_SCALE=full python -m pytest tests/faults

has 5,000 rows for each; the dated output is in docs/measurements.
"""

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.faults.conftest import RUN_LIMIT
from tests.faults.faults import FAULTS, LINES, reordered
from tests.faults.proxy import Fault
from tests.faults.verdict import check_certificates, check_ends, check_met, check_resumed

if TYPE_CHECKING:
    from tests.faults.conftest import Field
    from tests.faults.faults import Connections

pytestmark = pytest.mark.timeout(RUN_LIMIT * 3)

POURED = 64 << 20
"""Octets of an endless answer that may leave the proxy: what we read, and the kernel's buffers."""


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
