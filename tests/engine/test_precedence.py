"""A run whose rows wait for those of another one."""

import datetime as dt
from dataclasses import replace
from pathlib import Path

import pytest

from bulkcmp.engine.options import Options
from bulkcmp.engine.precedence import awaited, later_id
from bulkcmp.engine.start import begin, go_on
from bulkcmp.inputs.row import ID_LIMIT
from bulkcmp.journal.entry import Ended
from bulkcmp.journal.journal import Journal
from bulkcmp.model import Operation, Outcome, OutcomeClass, Timings
from bulkcmp.testca import state

ENVIRON = {"S": "a secret"}
NOW = dt.datetime(2027, 1, 1, tzinfo=dt.UTC)


@pytest.mark.parametrize("name", ["alice", "", "a.b:c", "x" * 300])
def test_an_id_tells_what_its_row_waits_for(name: str) -> None:
    made = later_id(17, 2, name)
    assert awaited(made) == (17, 2)
    assert len(made) <= ID_LIMIT


def ended(number: int, outcome: OutcomeClass) -> Ended:
    return Ended(
        number, number + 1, str(number), Operation.IR, None, Outcome(outcome), Timings(), 1, NOW
    )


def test_rows_go_once_what_they_wait_for_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    state.create(Path("ca"), state.DEFAULT_CA_KEY, dt.datetime.now(dt.UTC))
    options = Options(
        server="http://ca.test/", secret="env:S", trusted=("ca/ca.pem",), plain_keys=True
    )
    Path("first.csv").write_text("id,subject\na,/CN=a\nb,/CN=b\nc,/CN=c\nd,/CN=d\n")
    ids = [later_id(1, 1, "a"), later_id(2, 1, "b"), later_id(2, 2, "b"), later_id(4, 1, "d")]
    cells = "".join(f"{one},{serial},/CN=CA\n" for serial, one in enumerate(ids, start=1))
    Path("second.csv").write_text(f"id,serial,issuer\n{cells}")

    first = Path("run/first")
    _, journal = begin("first.csv", options, first, ENVIRON)
    with journal:
        journal.write([ended(1, OutcomeClass.ISSUED_CONFIRMATION_UNKNOWN)])
        journal.write([ended(2, OutcomeClass.ISSUED)])
    revoke = replace(options, cmd="rr", plain_keys=False)
    plan, journal = begin("second.csv", revoke, Path("run/second"), ENVIRON, after=first)
    journal.close()
    assert [row.id for row in plan.admitted] == ids[1:3]
    assert [row.id for row in plan.admitted] == ids[1:3]
    assert [row.id for row in plan.rows] == ids
    assert plan.count is None

    with Journal.open(first) as journal:
        journal.write([ended(1, OutcomeClass.ISSUED_SUBJECT_CHANGED)])
    # both have moved together, and nobody says once more what goes first
    Path("run").rename("moved")
    journal = Journal.open(Path("moved/second"))
    plan, journal = go_on(journal, {}, ENVIRON, retry_unknown=False, retry_failed=False)
    journal.close()
    assert [row.id for row in plan.admitted] == ids[:3]
