import dataclasses
import datetime as dt
import json
import sys
from pathlib import Path
from typing import Any, cast

import pytest

from bulkcmp.cli import show
from bulkcmp.engine.plan import Plan
from bulkcmp.errors import BulkcmpError, Interrupted
from bulkcmp.journal.journal import Journal
from bulkcmp.model import Operation, OutcomeClass
from bulkcmp.outputs.summary import PopulationFacts, RunSummary
from bulkcmp.stats.progress import Latencies, Snapshot
from bulkcmp.stats.tally import OutcomeCount

NOW = dt.datetime(2027, 3, 1, tzinfo=dt.UTC)

SUMMARY = RunSummary(
    tool_version="1", command="enroll", started_at=NOW, ended_at=NOW, elapsed=1.0,
    server="http://h/", operations=(Operation.IR,), key_mode="unique keys",
    population=PopulationFacts("a.csv", "00", 2),
    counts=(OutcomeCount(OutcomeClass.ISSUED, "", 2),), transactions=2, success=Latencies(),
    failure=Latencies(), interrupted=False, exit_code=0, run_folder="run",
    results_file="run/results.csv",
)  # fmt: skip
FAILED = dataclasses.replace(
    SUMMARY,
    exit_code=1,
    counts=(OutcomeCount(OutcomeClass.REJECTED, "badPOP", 2),),
    notes=("mind\x1b this",),
)


class Folder:
    folder = Path("run")


class Unremarkable:
    notes = ()


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs a session that ends with a summary, or raises."""

    def run(end: RunSummary | BaseException, *, quiet: bool = False, json: bool = False) -> int:
        async def session(*_: Any, on_snapshot: Any, on_notice: Any, **__: Any) -> RunSummary:
            on_snapshot(Snapshot(total=2, done=1))
            on_notice("[b]stopping[/b]")
            if isinstance(end, BaseException):
                raise end
            return end

        monkeypatch.setattr(show, "session", session)
        plan, journal = cast(Plan, Unremarkable()), cast(Journal, Folder())
        return show.run_and_show("enroll", plan, journal, resumed=False, quiet=quiet, json=json)

    return run


def test_progress_on_stderr_and_summary_on_stdout(
    play: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert play(SUMMARY) == 0
    out, err = capsys.readouterr()
    assert out.startswith("2 of 2 rows done")
    assert "done 1/2 (50%)" in err
    assert "[b]stopping[/b]" in err


def test_json_is_all_of_stdout(play: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert play(FAILED, json=True) == 1
    out, err = capsys.readouterr()
    assert json.loads(out)["exit_code"] == 1
    assert "done" not in err


def test_quiet_says_nothing_but_what_failed(play: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert play(SUMMARY, quiet=True) == 0
    out, err = capsys.readouterr()
    assert (out, err) == ("", "")
    assert play(FAILED, quiet=True) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "0 of 2 rows done, see run/results.csv\nmind\\x1b this\n"


class Broken:
    """A file whose reader has left, or whose disk is full."""

    def __init__(self, error: OSError) -> None:
        self._error = error

    def write(self, _: str) -> int:
        raise self._error

    def flush(self) -> None:
        raise self._error

    def fileno(self) -> int:
        raise OSError

    def isatty(self) -> bool:
        return False


@pytest.mark.parametrize("error", [BrokenPipeError(32, "gone"), OSError(5, "I/O error")])
def test_a_lost_stderr_does_not_end_a_run(
    play: Any,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    error: OSError,
) -> None:
    monkeypatch.setattr(sys, "stderr", Broken(error))
    assert play(SUMMARY) == 0
    assert play(FAILED, quiet=True) == 1
    assert capsys.readouterr().out.startswith("2 of 2 rows done")


def test_a_summary_that_can_not_be_printed(play: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", Broken(OSError(28, "No space left on device")))
    with pytest.raises(BulkcmpError, match="the summary can't be printed: No space") as raised:
        play(SUMMARY)
    assert raised.value.hint == "it stands in run/summary.json"


def test_ctrl_c_outside_of_the_session(play: Any) -> None:
    with pytest.raises(Interrupted) as raised:
        play(KeyboardInterrupt())
    assert raised.value.exit_code == 130
    assert raised.value.hint == "bulkcmp resume run goes on"


def test_errors_pass(play: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(BulkcmpError, match="the disk is full"):
        play(BulkcmpError("the disk is full"))
    # the newest figures stay on the screen
    assert "done 1/2" in capsys.readouterr().err
