"""kill -9 of what begins runs, and of what makes keys for them: the same command again goes on."""

import os
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from bulkcmp.io.keyworker import make_keys
from bulkcmp.journal.keyfile import KeyFile, Stock, take_inventory
from bulkcmp.model import KeySpec
from bulkcmp.testca.store import CertificateStatus
from tests.aftermath import Aftermath, check_files
from tests.crash.failpoint import Failpoint
from tests.crash.steps import ISSUED, MOMENTS, UNKNOWN, written

if TYPE_CHECKING:
    from tests.crash.stage import Stage

IS_FULL: Final = os.environ.get("BULKCMP_SCALE") == "full"
EC: Final = KeySpec.parse("ec:P-256")
KEYS: Final = 200


@pytest.mark.parametrize("moment", MOMENTS)
def test_keys_are_made(stage: "Stage", moment: str) -> None:
    generate = (
        "keys", "generate", "--newkey", "ec:P-256", "--count", str(KEYS), "--plain-keys",
        "--out", "keys.db", "--quiet",
    )  # fmt: skip
    append = Failpoint("bulkcmp.journal.keyfile:KeyFile.append", after=moment == "after")
    stage(*generate, failpoint=append)
    kept = take_inventory(stage.folder / "keys.db").stocks.get(EC, Stock(0, 0))
    assert (kept.total > 0) == (moment == "after")
    assert stage(*generate) == 0, stage.log()
    with KeyFile.open(stage.folder / "keys.db", None) as file:
        assert len({key for _, key in file.take(EC, KEYS + 1, "x")}) == KEYS


TAKING: Final = {
    "keys taken": (Failpoint("bulkcmp.journal.keyfile:KeyFile.take"), ()),
    "key used": (written("Begun", 2), (2,)),
}


@pytest.mark.parametrize("moment", MOMENTS if IS_FULL else MOMENTS[1:])
@pytest.mark.parametrize("step", TAKING)
def test_keys_are_taken_from_a_file(stage: "Stage", step: str, moment: str) -> None:
    """What was taken and not used yet is used first: no key is lost, none is used twice."""
    failpoint, after = TAKING[step]
    with KeyFile.open_or_create(stage.folder / "keys.db", None) as file:
        file.append(EC, make_keys(EC, 3))
    failpoint = replace(failpoint, after=moment == "after")
    options = ("--keys", "keys.db")
    stage.begin(stage.population(3), *options, failpoint=failpoint)
    stage.aftermath().check_promises()
    doubtful = after if moment == "after" else ()
    assert stage("resume", "run") == (1 if doubtful else 0), stage.log()
    expected = [UNKNOWN if number in doubtful else ISSUED for number in (1, 2, 3)]
    assert stage.outcomes() == expected
    stage.aftermath().check_ended()
    assert take_inventory(stage.folder / "keys.db").stocks[EC] == Stock(free=0, taken=3)


BEGINNING: Final = {
    "folder made": Failpoint("bulkcmp.engine.start:make_private_folder"),
    "population written": Failpoint("bulkcmp.engine.start:write_population"),
    "journal named": Failpoint("pathlib:Path.rename", of="journal.db.draft"),
    "journal held": Failpoint("bulkcmp.journal.journal:Journal.hold"),
}
RENEWING: Final = {
    "written down": Failpoint("bulkcmp.engine.holding:Holding.add_renewal"),
    **BEGINNING,
}


def held(stage: "Stage") -> None:
    """A run of three certificates to renew, or to revoke."""
    shutil.copytree(stage.troupe.seeds, stage.folder / "seeds")


def begun_beside(stage: "Stage", word: str) -> Path | None:
    """The run that was begun, if it was, with its journal."""
    found = list(stage.folder.glob(f"seeds-{word}-*/journal.db"))
    assert len(found) <= 1
    return found[0].parent if found else None


@pytest.mark.parametrize("moment", MOMENTS if IS_FULL else MOMENTS[1:])
@pytest.mark.parametrize("step", RENEWING if IS_FULL else ["written down"])
def test_renewals_begin(stage: "Stage", step: str, moment: str) -> None:
    held(stage)
    renew = ("renew", "seeds", "--expiring-within", "9999d", *stage.options, "--plain-keys")
    stage(*renew, failpoint=replace(RENEWING[step], after=moment == "after"))
    run = begun_beside(stage, "renewed")
    code = stage(*renew) if run is None else stage("resume", run.name)
    assert code == 0, stage.log()
    run = begun_beside(stage, "renewed")
    assert run is not None
    Aftermath.read(run, stage.issued(), None).check_ended()
    check_files(run)
    each = Counter(one.user for one in stage.issued())
    assert each == {f"dev{number:06}": 1 for number in (1, 2, 3)}
    # and the source knows them: the newest are due, not the old ones again
    assert stage(*renew[:2], "--expiring-within", "1h", *renew[4:]) == 0, stage.log()
    assert len(stage.issued()) == 3


@pytest.mark.parametrize("moment", MOMENTS if IS_FULL else MOMENTS[1:])
@pytest.mark.parametrize("step", BEGINNING if IS_FULL else ["population written"])
def test_revocations_begin(stage: "Stage", step: str, moment: str) -> None:
    held(stage)
    revoke = ("revoke", "seeds", *stage.options)
    stage(*revoke, failpoint=replace(BEGINNING[step], after=moment == "after"))
    run = begun_beside(stage, "revoked")
    code = stage(*revoke) if run is None else stage("resume", run.name)
    assert code == 0, stage.log()
    assert begun_beside(stage, "revoked") is not None
    statuses = {one.status for one in stage.all_issued()}
    assert statuses == {CertificateStatus.REVOKED}
