"""kill -9 with the journal in PostgreSQL, which must know as much as one in the folder."""

import os
from typing import TYPE_CHECKING, Final

import pytest

from tests.aftermath import check_files
from tests.crash.failpoint import Failpoint
from tests.crash.steps import ISSUED, MOMENTS, STEPS, UNKNOWN, Step

if TYPE_CHECKING:
    from tests.crash.stage import Stage

pytestmark = pytest.mark.peer

IS_FULL: Final = os.environ.get("BULKCMP_SCALE") == "full"

POINTED: Final = {
    "run made": Step("certConf", Failpoint("bulkcmp.journal.postgresql:PostgresqlStore.create")),
    "pointer written": Step("certConf", Failpoint("bulkcmp.journal.folder:HeldFolder.point")),
    "lease taken": Step("certConf", Failpoint("bulkcmp.journal.postgresql:PostgresqlStore.hold")),
    "lease given back": Step(
        "certConf", Failpoint("bulkcmp.journal.postgresql:PostgresqlStore.close")
    ),
}
ROWS: Final = {
    name: STEPS[name]
    for name in ("request recorded", "certificate stored", "certConf sent", "row done")
}
CASES: Final = [
    (name, moment)
    for name in (*POINTED, *ROWS)
    for moment in MOMENTS
    if IS_FULL or (name, moment) in {("pointer written", "before"), ("certificate stored", "after")}
]


@pytest.mark.parametrize(("name", "moment"), CASES)
def test_all_die_at_once(stage: "Stage", database: str, name: str, moment: str) -> None:
    step = {**POINTED, **ROWS}[name]
    population = stage.population(3)
    options = ("--journal", database, "--journal-lease", "1")
    stage.begin(population, *options, failpoint=step.at(moment))
    doubtful = step.doubtful(moment, is_worker=False)
    if stage.holds_run:
        stage.aftermath().check_promises()
        # waits until the lease of the killed one has run out
        code = stage("resume", "run")
    else:
        assert not stage.issued()
        code = stage.begin(population, *options)
    assert code == (1 if doubtful else 0), stage.log()
    expected = [UNKNOWN if number in doubtful else ISSUED for number in (1, 2, 3)]
    assert stage.outcomes() == expected
    stage.aftermath().check_ended()
    check_files(stage.out)
