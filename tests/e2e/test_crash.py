"""kill -9 of a run's own processes, parent or worker, at a step that is known: the others live on.

All steps, with all processes dying at once, are in tests/crash.
"""

import dataclasses
import json
import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.aftermath import Aftermath, check_files
from tests.crash.failpoint import Failpoint
from tests.crash.steps import ISSUED, MOMENTS, SEND, STEPS, UNKNOWN
from tests.e2e.conftest import FULL

if TYPE_CHECKING:
    from tests.e2e.conftest import Ca, Cli, RunFolder, WritePopulation

ROOT: Final = Path(__file__).parents[2]
PARENT, WORKER = "parent", "worker"

_SMALL: Final = {("certConf sent", "before", PARENT), ("request sent", "after", WORKER)}
CASES: Final = [
    (name, moment, victim)
    for name, step in STEPS.items()
    if step.act == "certConf" and step.cut is None
    for moment in MOMENTS
    for victim in (PARENT, WORKER)
    if victim == PARENT or step.worker
    if FULL or (name, moment, victim) in _SMALL
]


def start(
    cli: "Cli", arguments: tuple[object, ...], failpoint: Failpoint, victim: str, mark: Path
) -> subprocess.Popen[str]:
    """Start a run of which a process will be killed."""
    program = WORKER if failpoint.at == SEND else PARENT
    crash = {
        "program": "bulkcmp.engine.worker" if program == WORKER else "bulkcmp",
        "victim": "self" if victim == program else victim,
        "failpoint": dataclasses.asdict(failpoint),
        "mark": str(mark),
    }
    before = dict(cli.environ)
    cli.environ["PYTHONPATH"] = f"{ROOT / 'tests/crash/site'}{os.pathsep}{ROOT}"
    cli.environ["BULKCMP_CRASH"] = json.dumps(crash)
    process = cli.start(*arguments)
    cli.environ.clear()
    cli.environ.update(before)
    return process


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("name", "moment", "victim"), CASES)
def test_one_of_the_processes_dies(
    cli: "Cli",
    ca: "Ca",
    write_population: "WritePopulation",
    run: "RunFolder",
    name: str,
    moment: str,
    victim: str,
) -> None:
    step = STEPS[name]
    stem = f"{victim}{list(STEPS).index(name)}{moment}"
    enroll = (
        "enroll", write_population(3, stem=stem), *ca.options(has_pass=False), "--plain-keys",
        "--concurrency", "1", "--out", run.path,
    )  # fmt: skip
    mark = cli.folder / "struck"
    process = start(cli, enroll, step.at(moment), victim, mark)
    doubtful = step.doubtful(moment, is_worker=victim == WORKER)
    if victim == PARENT:
        cli.finish(process, -signal.SIGKILL)
    else:
        # the run goes on with another worker
        cli.finish(process, 1 if doubtful else 0)
    assert mark.exists()

    def aftermath() -> Aftermath:
        issued = [one for one in ca.issued() if (one.user or "").startswith(stem)]
        return Aftermath.read(run.path, issued, None)

    code = 1 if doubtful else 0
    if (run.path / "journal.db").exists():
        aftermath().check_promises()
        cli("resume", run.path, code=code)
    else:
        cli(*enroll, code=code)
    expected = [UNKNOWN if number in doubtful else ISSUED for number in (1, 2, 3)]
    assert [row["outcome"] for row in run.results()] == expected
    aftermath().check_ended()
    check_files(run.path)
    if doubtful and FULL:
        cli("resume", run.path, "--retry-unknown")
        assert run.outcomes() == {(ISSUED, "")}
        aftermath().check_ended()
        check_files(run.path)
