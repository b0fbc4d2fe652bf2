import datetime as dt
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from bulkcmp.cli import compare as module
from bulkcmp.errors import EXIT_BOTTLENECK, EXIT_THRESHOLD, InputError
from bulkcmp.load.folder import RECORDS
from bulkcmp.outputs.records import RecordFile, RecordWriter
from bulkcmp.stats.health import Pulse
from bulkcmp.stats.record import End, Record
from tests.stats.records import RUN, transaction

app = typer.Typer()
app.command()(module.compare)


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path]:
    """A run, and one a week later that is a fifth slower over another plan."""
    folders = []
    for name, slower in (("before", 1.0), ("after", 1.2)):
        folder = tmp_path / name
        folder.mkdir()
        run = replace(
            RUN,
            warm_up=0.0,
            began_at=RUN.began_at + dt.timedelta(days=7 * (slower > 1)),
            shape=f"the plan of {name}",
            settings=(("digest", "sha256"), ("concurrency", name)),
        )
        records: list[Record] = [
            transaction(at / 20, at / 20, at / 20 + slower * (0.05 + 0.001 * (at * 37 % 101)))
            for at in range(600)
        ]
        with RecordWriter(folder / RECORDS, run) as writer:
            writer.write([*records, End(31)])
        folders.append(folder)
    return folders[0], folders[1]


def compare(*arguments: object) -> Result:
    return CliRunner(env={"COLUMNS": "120"}).invoke(app, [str(one) for one in arguments])


def test_a_change_is_told(runs: tuple[Path, Path]) -> None:
    done = compare(*runs)
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    (mean,) = (line for line in lines if line.startswith("mean(service)"))
    assert mean.split()[1:7] == ["99.9", "ms", "120", "ms", "+20.0", "%"]
    assert mean.rstrip().endswith("changed")
    (rate,) = (line for line in lines if line.startswith("rate(ok)"))
    assert rate.rstrip().endswith("may be chance")


def test_what_makes_runs_hard_to_compare_stands_first(runs: tuple[Path, Path]) -> None:
    lines = compare(*runs).stdout.splitlines()
    assert lines[0] == "shape differs: the plan of before; the plan of after"
    assert lines[1] == "concurrency differs: before; after"


def test_what_weakens_one_of_them_is_told(runs: tuple[Path, Path], tmp_path: Path) -> None:
    sound = tmp_path / "sound"
    sound.mkdir()
    with RecordWriter(sound / RECORDS, replace(RUN, warm_up=0.0, notes=())) as writer:
        writer.write([transaction(at, at, at + 0.1) for at in range(30)])
        writer.write([End(31)])
    (note,) = RUN.notes
    assert f"only before: {note}" in compare(runs[0], sound).stdout.splitlines()
    assert f"only after: {note}" in compare(sound, runs[0]).stdout.splitlines()
    assert note not in compare(*runs).stdout


@pytest.mark.parametrize(
    ("gates", "code"),
    [
        (["p95 +10%"], EXIT_THRESHOLD),
        (["p95 +10%", "rate(ok) -1%"], EXIT_THRESHOLD),
        (["p95 +30%"], 0),
        (["p95 -1%"], 0),
    ],
)
def test_an_unwanted_change_ends_with_3(
    runs: tuple[Path, Path], gates: list[str], code: int
) -> None:
    done = compare(*runs, *(part for gate in gates for part in ("--fail-if", gate)))
    assert done.exit_code == code
    assert ("CROSSED" in done.stdout) == bool(code)
    # and none against itself
    assert compare(runs[0], runs[0], "--fail-if", gates[0]).exit_code == 0


@pytest.mark.parametrize("place", [0, 1])
def test_what_the_generator_held_down_is_no_verdict(runs: tuple[Path, Path], place: int) -> None:
    file = RecordFile(runs[place])
    records = list(file.records())
    (runs[place] / RECORDS).unlink()
    with RecordWriter(runs[place] / RECORDS, file.run) as writer:
        writer.write([*[Pulse("worker 1", at, 1.0, 1.0, 0.0) for at in range(1, 30)], *records])
    told = "no verdict: the load generator was the bottleneck of a run"
    # one that would fail, and one that would hold
    for gate in ("p95 +10%", "p95 +30%"):
        done = compare(*runs, "--fail-if", gate)
        assert done.exit_code == EXIT_BOTTLENECK
        assert done.stdout.splitlines()[-1] == f"exit code 4: {told}"
    for format_ in ("md", "html"):
        assert told in compare(*runs, "--fail-if", gate, "--format", format_).stdout
    # who asks for no verdict is only told
    done = compare(*runs)
    assert done.exit_code == 0
    assert "the load generator was the bottleneck: worker 1 used 100%" in done.stdout


def test_markdown_has_the_same_figures(runs: tuple[Path, Path]) -> None:
    done = compare(*runs, "--format", "md", "--fail-if", "p95 +10%")
    assert done.exit_code == EXIT_THRESHOLD
    assert done.stdout.startswith("## Load tests compared: mixed\\|day\n\n**shape differs")
    assert "| mean(service) | 99.9 ms | 120 ms | +20.0 % |" in done.stdout
    assert "| CROSSED |" in done.stdout


def test_what_can_not_be_told_is_no_pass(runs: tuple[Path, Path], tmp_path: Path) -> None:
    short = tmp_path / "short"
    short.mkdir()
    with RecordWriter(short / RECORDS, replace(RUN, warm_up=0.0)) as writer:
        writer.write([transaction(0, 0, 1), End(2)])
    told = "too little was measured to tell a change from chance: p50(response), "
    assert told in compare(runs[0], short).stdout
    done = compare(runs[0], short, "--fail-if", "p95 +10%")
    assert isinstance(done.exception, InputError)
    assert "'p95 +10%'" in str(done.exception)


def test_what_is_no_gate_is_told(runs: tuple[Path, Path]) -> None:
    assert isinstance(compare(*runs, "--fail-if", "p95").exception, InputError)


def test_html_lays_one_run_over_the_other(runs: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "compared.html"
    done = compare(*runs, "--format", "html", "--fail-if", "p95 +10%", "-o", out)
    assert done.exit_code == EXIT_THRESHOLD
    assert done.stdout == ""
    text = out.read_text()
    assert 'class="verdict bad">an unwanted change<' in text
    assert "<td>mean(service)</td><td>99.9 ms</td><td>120 ms</td><td>+20.0 %</td>" in text
    (found,) = re.findall(r"<script>const PLOTS = (\{.*?\});\n", text)
    plots = json.loads(found)
    assert {name: [line["name"] for line in plot["data"]] for name, plot in plots.items()} == {
        name: ["before", "after"] for name in ("rates", "latencies", "spectrum")
    }
    before, after = (line["y"][5] for line in plots["latencies"]["data"])
    assert after == pytest.approx(1.2 * before, rel=0.02)
    good = compare(runs[0], runs[0], "--format", "html", "--fail-if", "p95 +10%")
    assert 'class="verdict good">no unwanted change<' in good.stdout
    # where nothing was unwanted nothing is praised
    assert "verdict good" not in compare(*runs, "--format", "html").stdout
