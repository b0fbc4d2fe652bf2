"""Results as files, and the report that is made of them."""

from pathlib import Path

import pytest

from benchmarks.benchmark import Benchmark
from benchmarks.figure import Target, at_least, at_most
from benchmarks.report import write_report
from benchmarks.result import Result, read_results, write_result
from benchmarks.suite import SUITE
from tests.benchmarks.conftest import make_figure, make_result

NAME = SUITE[0].name


def write(folder: Path, *results: Result, suite: tuple[Benchmark, ...] = SUITE) -> str:
    write_report(folder, {result.benchmark: result for result in results}, suite)
    return (folder / "RESULTS.md").read_text()


def test_a_result_is_read_as_it_was_written(tmp_path: Path) -> None:
    result = make_result(make_figure(at_most(2.0)), make_figure(None, name="other"))
    write_result(tmp_path, result)
    assert read_results(tmp_path) == {"transaction": result}


def test_a_later_result_takes_the_place_of_the_earlier(tmp_path: Path) -> None:
    write_result(tmp_path, make_result(make_figure(None)))
    later = make_result(make_figure(None, (5.0, 5.0)))
    write_result(tmp_path, later)
    assert read_results(tmp_path) == {"transaction": later}


def test_a_missed_target_is_named_with_its_profile(tmp_path: Path) -> None:
    text = write(tmp_path, make_result(make_figure(at_most(2.0)), benchmark=NAME))
    assert "| cpu of ours over theirs | 6.00 | 3.00 to 9.00 | <= 2 | **missed by 200%** |" in text
    assert "| 75.0% | 12 | `bulkcmp/cmp/x.py:7 spin` |" in text
    assert f"`ideas/{NAME}.md`" in text
    assert "| fsync | 1.5 ms | |" in text


def test_what_a_person_wrote_about_a_miss_is_quoted_and_left_alone(tmp_path: Path) -> None:
    ideas = tmp_path / "ideas" / f"{NAME}.md"
    ideas.parent.mkdir()
    ideas.write_text("1. Encode the header once.\n")
    text = write(tmp_path, make_result(make_figure(at_least(10.0)), benchmark=NAME))
    assert "1. Encode the header once." in text
    assert "Nobody" not in text
    assert ideas.read_text() == "1. Encode the header once.\n"


def test_a_met_target_needs_no_profile(tmp_path: Path) -> None:
    text = write(tmp_path, make_result(make_figure(at_most(20.0)), benchmark=NAME))
    assert "| met |" in text
    assert "Where the time goes" not in text
    assert "What to try next" not in text


def test_the_summary_has_the_figures_with_targets_only(tmp_path: Path) -> None:
    figures = make_figure(at_most(20.0)), make_figure(None, name="explanation")
    text = write(tmp_path, make_result(*figures, benchmark=NAME))
    summary, section = text.split(f"## {NAME}")
    assert "explanation" not in summary
    assert "explanation" in section


@pytest.mark.parametrize("target", [at_most(2.0), at_least(2.0), None])
def test_the_same_results_make_the_same_files(tmp_path: Path, target: Target | None) -> None:
    made = []
    for name in "ab":
        write(tmp_path / name, make_result(make_figure(target), benchmark=NAME))
        files = sorted((tmp_path / name).rglob("*.*"))
        made.append([(file.name, file.read_bytes()) for file in files])
    assert made[0] == made[1]
    svg = (tmp_path / "a" / "results" / f"{NAME}.svg").read_text()
    assert "cpu: 6" in svg
    assert len(svg) < 40_000
