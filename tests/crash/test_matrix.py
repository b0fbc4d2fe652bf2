"""kill -9 before and after each durable step: what `resume` finds, and what it makes of it."""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import pytest

from tests.aftermath import check_files
from tests.crash.failpoint import Failpoint
from tests.crash.steps import ACTS, MOMENTS, STEPS, UNKNOWN, Act

if TYPE_CHECKING:
    from tests.crash.stage import Stage

IS_FULL: Final = os.environ.get("BULKCMP_SCALE") == "full"

CASES: Final = [
    (name, moment)
    for name, step in STEPS.items()
    for moment in MOMENTS
    if IS_FULL or moment in step.small
]
WORKER_CASES: Final = [
    (name, moment)
    for name, moment in CASES
    if STEPS[name].worker and (IS_FULL or (STEPS[name].act == "certConf" and moment == "after"))
]
TORN: Final = ("certificate stored", "request recorded", "row done", "results", "told")


def begin(
    stage: "Stage", act: Act, failpoint: Failpoint, *, is_worker: bool = False
) -> Callable[[], int]:
    """Have a run begin, and die; returns what goes on with it."""
    stage.behaviour = act.behaviour
    population = act.population(stage)
    stage.begin(population, *act.options, failpoint=failpoint, is_worker=is_worker)
    if stage.holds_run:
        stage.aftermath().check_promises(confirms=act.confirms, makes_keys=act.makes_keys)
        return lambda: stage("resume", "run")
    # the folder may be used again, for nothing was begun
    assert not stage.issued()
    return lambda: stage.begin(population, *act.options)


def check(stage: "Stage", act: Act, go_on: Callable[[], int], doubtful: Sequence[int]) -> None:
    """A run goes on until it has ended, and leaves no doubt but about these rows."""
    code = go_on()
    expected = [
        UNKNOWN if number in doubtful else outcome
        for number, outcome in enumerate(act.outcomes, start=1)
    ]
    assert stage.outcomes() == expected, stage.log()
    assert code == (1 if doubtful else 0), stage.log()
    stage.aftermath().check_ended(makes_keys=act.makes_keys)
    check_files(stage.out)
    if act.options[:1] == ("--on-issued",):
        check_told(stage)
    if doubtful:
        assert stage("resume", "run", "--retry-unknown") == 0, stage.log()
        assert stage.outcomes() == list(act.outcomes)
        stage.aftermath().check_ended(makes_keys=act.makes_keys)
        check_files(stage.out)


def check_told(stage: "Stage") -> None:
    """Each is told of, and only what was under way is told of twice."""
    told = Counter((stage.folder / "told").read_text().split())
    tokens = {row["transaction_id"]: int(row["row"]) for row in stage.results()}
    counts = {tokens[token.rpartition("-")[2]]: count for token, count in told.items()}
    assert counts.keys() == {1, 2}
    assert counts[1] == 1
    assert counts[2] <= 2
    assert {row["delivery"] for row in stage.results()} == {"delivered"}


@pytest.mark.parametrize(("name", "moment"), CASES)
def test_all_die_at_once(stage: "Stage", name: str, moment: str) -> None:
    step = STEPS[name]
    act = ACTS[step.act]
    if step.cut is None:
        go_on = begin(stage, act, step.at(moment))
    else:
        go_on = begin(stage, act, step.cut)
        stage("resume", "run", failpoint=step.at(moment))
        stage.aftermath().check_promises(confirms=act.confirms, makes_keys=act.makes_keys)
    check(stage, act, go_on, step.doubtful(moment, is_worker=False))


@pytest.mark.parametrize("name", [name for name in TORN if IS_FULL or name == TORN[0]])
def test_the_power_fails(stage: "Stage", name: str) -> None:
    """What was not synced is half there: a commit in the log, and files that have no name yet."""
    step = STEPS[name]
    act = ACTS[step.act]
    go_on = begin(stage, act, step.at("after"))
    log = stage.out / "journal.db-wal"
    octets = log.read_bytes()
    # the last frame once more, as if the next commit had come half to the disk
    log.write_bytes(octets + octets[-4120:][:3000])
    # an index into the log, which is never synced
    (stage.out / "journal.db-shm").write_bytes(b"\xa5" * 32768)
    (stage.out / ".results.csv.tmp").write_bytes(b"id,outco")
    (stage.out / ".manifest.json.tmp").touch()
    check(stage, act, go_on, step.doubtful("after", is_worker=False))


@pytest.mark.parametrize(("name", "moment"), WORKER_CASES)
def test_a_worker_dies_alone(stage: "Stage", name: str, moment: str) -> None:
    """The run goes on with another, by the rules of `resume`."""
    step = STEPS[name]
    act = ACTS[step.act]
    doubtful = step.doubtful(moment, is_worker=True)
    go_on = begin(stage, act, step.at(moment), is_worker=True)
    found = [one for one, outcome in enumerate(stage.outcomes(), start=1) if outcome == UNKNOWN]
    assert found == list(doubtful)
    check(stage, act, go_on, doubtful)
