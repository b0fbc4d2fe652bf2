import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bulkcmp.errors import InputError
from bulkcmp.model import OutcomeClass
from bulkcmp.stats.figures import Figures
from bulkcmp.stats.record import End, Ending, Record, Run, Window
from bulkcmp.stats.report import Report
from bulkcmp.stats.threshold import Threshold
from bulkcmp.ui.figures import duration
from bulkcmp.ui.html import report_html
from tests.stats.records import OK, REJECTED, RUN, transaction, trouble
from tests.stats.searches import RUN_OF_THREE, records_of_three, reported

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")

# runs before all else in the page, and writes down what a user of the browser's console would see
WATCH = """<script>
window.seen = [];
console.error = (...all) => window.seen.push("console: " + all.join(" "));
window.addEventListener("error", event => window.seen.push("error: " + event.message));
document.addEventListener("securitypolicyviolation",
  event => window.seen.push("policy: " + event.violatedDirective + " " + event.blockedURI));
window.addEventListener("load", () => setTimeout(() => {
  document.body.dataset.seen = JSON.stringify(window.seen);
  document.body.dataset.fetched = performance.getEntriesByType("resource").length;
}, 500));
</script>"""


def figures_of(records: Sequence[Record]) -> Figures:
    figures = Figures()
    figures.begin(RUN.warm_up)
    figures.feed(records)
    return figures


def page(records: Sequence[Record], run: Run = RUN) -> str:
    figures = figures_of(records)
    thresholds = [Threshold.parse(text) for text in run.thresholds]
    return report_html(Report.of([run], figures, thresholds), figures)


def plots(text: str) -> dict[str, Any]:
    (found,) = re.findall(r"<script>const PLOTS = (\{.*?\});\n", text)
    decoded: dict[str, Any] = json.loads(found)
    return decoded


@pytest.fixture
def browser() -> str:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        if os.environ.get("BULKCMP_PEERS") == "required":
            pytest.fail("no Chromium")
        pytest.skip("no Chromium")
    return found


def run_browser(browser: str, folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [
            browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
            "--disable-background-networking", "--disable-dev-shm-usage",
            "--host-resolver-rules=MAP * ~NOTFOUND",
            "--window-size=1250,4200", "--virtual-time-budget=20000",
            f"--user-data-dir={folder / 'profile'}", *arguments,
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=110,
    )  # fmt: skip
    return done.stdout


@pytest.mark.peer
def test_a_browser_draws_it_without_an_error_or_a_network(tmp_path: Path, browser: str) -> None:
    file = tmp_path / "report.html"
    file.write_text(page(trouble()).replace("<head>", "<head>" + WATCH))
    document = run_browser(browser, tmp_path, "--dump-dom", file.as_uri())
    assert re.findall(r'data-seen="([^"]*)"', document) == ["[]"]
    assert re.findall(r'data-fetched="([^"]*)"', document) == ["0"]
    for name in ("rates", "latencies", "failures", "heat", "spectrum", "phases"):
        (plot,) = re.findall(rf'<div class="plot[^"]*" id="{name}"[^>]*>(.*?)(?=<h2>|<table)',
                             document, re.DOTALL)  # fmt: skip
        assert 'class="main-svg"' in plot
        assert re.search(r'class="(js-line|point|hm)"|<image', plot), name


@pytest.mark.peer
@pytest.mark.parametrize("most", [1, 9])
def test_what_is_counted_has_ticks_at_whole_numbers(
    tmp_path: Path, browser: str, most: int
) -> None:
    file = tmp_path / "report.html"
    records = [transaction(at, at, at + 2.5) for at in range(most) for _ in range(most)]
    file.write_text(page([*records, End(most + 3.0)], replace(RUN, warm_up=0.0)))
    assert max(plots(file.read_text())["rates"]["data"][-1]["y"]) >= most
    document = run_browser(browser, tmp_path, "--dump-dom", file.as_uri())
    ticks = re.findall(r'class="y2tick"><text[^>]*>([^<]*)<', document)
    assert len(ticks) > 1
    assert all(one.isdecimal() for one in ticks)


@pytest.mark.peer
def test_a_picture_of_it_can_be_kept(tmp_path: Path, browser: str) -> None:
    file = tmp_path / "report.html"
    file.write_text(page(trouble()))
    kept = Path(os.environ.get("BULKCMP_SCREENSHOTS") or tmp_path)
    kept.mkdir(parents=True, exist_ok=True)
    picture = kept / "report.png"
    run_browser(browser, tmp_path, f"--screenshot={picture}", file.as_uri())
    assert picture.read_bytes().startswith(b"\x89PNG")
    # a page without plots is some 100 kB smaller
    assert picture.stat().st_size > 150_000


def test_nothing_is_fetched() -> None:
    text = page(trouble())
    head = text[: text.index("<body>")]
    assert "default-src 'none'" in head
    assert not re.search(r"<(script|link|img|iframe)[^>]+(src|href)", text)


def test_an_hour_is_under_six_megabytes() -> None:
    records: list[Record] = []
    for second in range(3600):
        for turn in range(2):
            at = second + turn / 2
            took = 0.01 + 0.001 * ((second * 37 + turn) % 211)
            records.append(transaction(at, at + 0.001, at + took, REJECTED if turn else OK))
    assert len(page([*records, End(3601)]).encode()) < 6_000_000


def test_the_plots_have_the_figures_of_the_report() -> None:
    figures = figures_of(trouble())
    report = Report.of([RUN], figures, [])
    found = plots(report_html(report, figures))
    rates = {line["name"]: line for line in found["rates"]["data"]}
    assert rates["ok"]["x"] == [one.at for one in report.intervals]
    assert rates["ok"]["y"][:-1] == [one.ok for one in report.intervals[:-1]]
    # the last one is half a second longer
    last = report.intervals[-1]
    assert rates["ok"]["y"][-1] == pytest.approx(last.ok / last.seconds, abs=1e-3)
    assert last.seconds == pytest.approx(1.5)
    assert sum(rates["planned"]["y"]) == 600
    assert sum(rates["dropped"]["y"]) == 7
    assert rates["in flight"]["y"][-1] == 0
    response = report.total.latencies["response"]
    spectra = {line["name"]: line for line in found["spectrum"]["data"]}
    place = spectra["response"]["text"].index("50 %")
    assert spectra["response"]["y"][place] == pytest.approx((response.p50 or 0) * 1e3, abs=1e-3)
    assert sum(count or 0 for row in found["heat"]["data"][0]["z"] for count in row) == (
        report.total.ok
    )
    # rates by bars of the intervals' widths
    failed = sum(
        rate * seconds
        for bar in found["failures"]["data"]
        for rate, seconds in zip(bar["y"], bar["width"], strict=True)
    )
    assert failed == pytest.approx(report.total.failed + report.warm_up.failed, abs=0.01)
    answered = [one for one in report.exchanges if one.answered]
    assert found["phases"]["data"][0]["y"] == [one.name for one in answered]


def test_the_tables_have_the_figures_of_the_report() -> None:
    figures = figures_of(trouble())
    report = Report.of([RUN], figures, [])
    text = report_html(report, figures)
    response = report.total.latencies["response"]
    row = "".join(
        f"<td>{duration(one)}</td>"
        for one in (
            response.mean, response.p50, response.p95, response.p99, response.p999, response.max,
        )
    )  # fmt: skip
    assert f"<td>all response</td>{row}" in text


def test_the_verdict_stands_on_top() -> None:
    assert 'class="verdict bad">a threshold was crossed<' in page(trouble())
    good = page([transaction(9, 9, 9.5), End(20)], replace(RUN, thresholds=("count(ok) > 0",)))
    assert 'class="verdict good">all is well<' in good
    killed = page([transaction(9, 9, 9.5)])
    assert '<p class="doubt">the records stop before the run' in killed


def test_it_says_how_the_run_was_set_up() -> None:
    run = replace(RUN, description="for the test", environment=(("Python", "3.11"),))
    text = page(trouble(), run)
    for part in (
        "note: a check is off",
        "for the test",
        "<td>digest</td><td>sha256</td>",
        "<td>Python</td><td>3.11</td>",
    ):
        assert part in text


def test_a_run_without_a_transaction_has_a_page() -> None:
    assert set(plots(page([End(10)]))) == {"rates", "latencies"}
    assert plots(page([])) == {}


@pytest.mark.parametrize("hostile", ["</script><script>alert(1)</script>", "<img src=x onerror=y>"])
def test_texts_of_others_are_harmless(hostile: str) -> None:
    ending = Ending(OutcomeClass.REJECTED, hostile, (hostile,), hostile)
    run = replace(
        RUN, scenario=hostile, description=hostile, server=hostile, settings=((hostile, hostile),)
    )
    assert hostile not in page([transaction(9, 9, 9.5, ending)], run)


@pytest.mark.parametrize(("seconds", "mode"), [(1, "markers"), (3, "lines")])
def test_a_run_of_one_interval_is_seen_too(seconds: int, mode: str) -> None:
    found = plots(page([transaction(0.1 + n, 0.1 + n, 0.4 + n) for n in range(seconds)]))
    assert {one["mode"] for name in ("rates", "latencies") for one in found[name]["data"]} == {mode}


def test_without_plotly_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    with pytest.raises(InputError, match="not installed") as caught:
        page(trouble())
    assert "bulkcmp[html]" in str(caught.value.hint)


@pytest.mark.peer
def test_a_browser_draws_the_curve_of_a_search(tmp_path: Path, browser: str) -> None:
    file = tmp_path / "report.html"
    text = report_html(*reported(RUN_OF_THREE, records_of_three()))
    file.write_text(text.replace("<head>", "<head>" + WATCH))
    document = run_browser(browser, tmp_path, "--dump-dom", file.as_uri())
    assert re.findall(r'data-seen="([^"]*)"', document) == ["[]"]
    (plot,) = re.findall(r'<div class="plot[^"]*" id="capacity"[^>]*>(.*?)(?=<h2>)',
                         document, re.DOTALL)  # fmt: skip
    # each line, and what the legend has of it
    assert len(re.findall(r'class="js-line"', plot)) == 10
    for mark in ("knee", "held", "not held"):
        assert f">{mark}<" in plot


def test_the_curve_of_a_search_has_the_figures_of_its_windows() -> None:
    report, figures = reported(RUN_OF_THREE, records_of_three())
    assert report.capacity is not None
    text = report_html(report, figures)
    assert 'class="verdict good">capacity: found<' in text
    found = plots(text)["capacity"]
    lines = {line["name"]: line for line in found["data"]}
    curve = sorted(report.capacity.trials, key=lambda one: one.rate)
    for metric, name in (("response", "p50"), ("response", "p99"), ("service", "p95")):
        line = lines[f"{metric} {name}"]
        assert line["x"] == [one.rate for one in curve]
        assert line["y"] == [
            round(getattr(one.report.total.latencies[metric], name) * 1e3, 3) for one in curve
        ]
    assert lines["ok/s"]["y"] == [round(one.report.total.ok_rate or 0, 3) for one in curve]
    assert lines["ok/s"]["text"][-1] == "CROSSED"
    marks = {one["text"]: one["x"] for one in found["layout"]["annotations"]}
    assert (marks["held"], marks["not held"]) == (150, 160)
    # the other plots are of the window at the highest rate that held
    spectra = {line["name"]: line for line in plots(text)["spectrum"]["data"]}
    assert spectra["response"]["y"][0] == pytest.approx(20, rel=0.01)


def test_a_search_that_found_nothing_has_a_page() -> None:
    report, figures = reported(RUN_OF_THREE, [Window(20, 0.0), End(12, interrupted=True)])
    text = report_html(report, figures)
    assert 'class="verdict bad">capacity: interrupted<' in text
    assert '<p class="doubt">interrupted by a signal' in text
    assert "capacity" not in plots(text)
