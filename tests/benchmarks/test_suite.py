"""Every benchmark runs, at toy size; what it measures is not asserted."""

import math
import os
from pathlib import Path

import pytest
import typer.testing

import benchmarks.__main__
from benchmarks.benchmark import Benchmark, Scale
from benchmarks.figure import Figure, Findings
from benchmarks.report import write_report
from benchmarks.result import measure, read_results, write_result
from benchmarks.suite import SUITE
from tests.benchmarks.conftest import make_figure

TOY = Scale(0.001)


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "benchmark",
    [pytest.param(one, id=one.name, marks=[pytest.mark.peer] if one.peer else []) for one in SUITE],
)
def test_it_runs_at_toy_size_and_can_be_reported(benchmark: Benchmark, tmp_path: Path) -> None:
    missing = benchmark.missing
    if missing is not None:
        if os.environ.get("BULKCMP_PEERS") == "required":
            pytest.fail(missing)
        pytest.skip(missing)
    result = measure(benchmark, TOY)
    assert result.findings.figures
    for figure in result.findings.figures:
        _check(figure)
    write_result(tmp_path / "results", result)
    assert read_results(tmp_path / "results") == {benchmark.name: result}
    write_report(tmp_path, {benchmark.name: result}, SUITE)
    assert benchmark.title in (tmp_path / "RESULTS.md").read_text()


def _check(figure: Figure) -> None:
    for series in (figure.numerator, figure.denominator):
        assert len(series.values) >= 2
        assert all(value > 0 and math.isfinite(value) for value in series.values), series


def test_names_are_unique() -> None:
    assert len({benchmark.name for benchmark in SUITE}) == len(SUITE)


def invoke(*arguments: str) -> typer.testing.Result:
    app = typer.Typer()
    app.command()(benchmarks.__main__.main)
    return typer.testing.CliRunner().invoke(app, arguments)


def test_the_command_measures_what_it_is_told(tmp_path: Path) -> None:
    done = invoke("transaction", "--scale", "0.001", "--out", str(tmp_path))
    assert done.exit_code == 0, done.output
    assert [path.name for path in (tmp_path / "results").glob("*.json")] == ["transaction.json"]
    assert "embedded-ca" in (tmp_path / "results" / "overview.svg").read_text()
    report = (tmp_path / "RESULTS.md").read_bytes()
    assert b"not taken at full size" in report
    (tmp_path / "RESULTS.md").unlink()
    assert invoke("--report-only", "--out", str(tmp_path)).exit_code == 0
    assert (tmp_path / "RESULTS.md").read_bytes() == report


def test_one_that_fails_does_not_keep_the_others_from_being_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_scale: Scale) -> Findings:
        raise RuntimeError("a row was not issued")

    def succeed(_scale: Scale) -> Findings:
        return Findings((make_figure(None),))

    suite = (Benchmark("bad", "that fails", fail), Benchmark("good", "that does not", succeed))
    monkeypatch.setattr(benchmarks.__main__, "SUITE", suite)
    done = invoke("--out", str(tmp_path))
    assert done.exit_code == 1
    assert "failed: bad;" in done.output
    assert [path.name for path in (tmp_path / "results").glob("*.json")] == ["good.json"]
    assert "## good: that does not" in (tmp_path / "RESULTS.md").read_text()


def test_the_command_lists_what_there_is() -> None:
    done = invoke("--list")
    assert [line.split()[0] for line in done.output.splitlines()] == [one.name for one in SUITE]


def test_the_command_names_what_it_does_not_know() -> None:
    done = invoke("nonsense")
    assert done.exit_code == 2
    assert "nonsense" in done.output
