import html
import io
import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from rich.console import Console

from bulkcmp.load.capacity import Search
from bulkcmp.model import OutcomeClass
from bulkcmp.stats.figures import Figures
from bulkcmp.stats.health import Pulse
from bulkcmp.stats.record import End, Ending, Fault, Record, Window
from bulkcmp.stats.report import Report
from bulkcmp.stats.threshold import Threshold
from bulkcmp.ui.html import report_html
from bulkcmp.ui.report import escaped, markdown, percent, render_report
from tests.stats.records import REJECTED, RUN, transaction, trouble
from tests.stats.searches import (
    RUN_OF_THREE,
    records_of_three,
    reported,
    run_of,
    steady,
    windows,
)

MakeConsole = Callable[..., tuple[Console, io.StringIO]]


def report_of(records: list[Record]) -> Report:
    figures = Figures()
    figures.begin(RUN.warm_up)
    figures.feed(records)
    return Report.of([RUN], figures, [Threshold.parse(text) for text in RUN.thresholds])


def text_of(make_console: MakeConsole, report: Report, width: int = 100) -> str:
    console, stream = make_console(width, terminal=False)
    render_report(console, report)
    return stream.getvalue()


def test_the_text_says_all_that_matters(make_console: MakeConsole) -> None:
    text = text_of(make_console, report_of(trouble()))
    for part in (
        "mixed|day: 10/s for 60 s; a new ec:P-256 key each; http://127.0.0.1:8829/cmp/ra",
        "note: a check is off",
        "measured for 75.5 s, after a warm-up of 5.00 s that does not count",
        "544 lifecycles begun (enroll 362, renew 182); transactions dropped 6, abandoned 1",
        "rejected: badPOP",
        "no (badPOP)",
        "ir: no answer in time",
        "pollReq/pollRep",
    ):
        assert part in text
    assert re.search(r"rate\(ok\) > 1000 +[\d.]+/s +CROSSED", text)
    assert re.search(r"p95\(ir.response\) < 5s +[\d.]+ m?s +(held|CROSSED)", text)
    assert re.search(r"worker 1 +40% +40% +2.00 ms +0 us +40", text)


def test_nothing_is_cut_at_80_columns(make_console: MakeConsole) -> None:
    text = text_of(make_console, report_of(trouble()), 80)
    assert "…" not in text
    for name in ("all response", "ir service", "kur failed response", "certConf/pkiconf"):
        (line,) = re.findall(rf"^{name} .*", text, re.MULTILINE)
        assert len(re.findall(r"\d (?:us|ms|s)\b", line)) == 6


def test_what_casts_doubt_stands_above_all_figures(make_console: MakeConsole) -> None:
    full = [Pulse("worker 1", 1.0, 1.0, 1.0, 0.0)] * 3
    report = report_of([transaction(9, 9, 9.5), *full, End(20, interrupted=True, aborted=True)])
    lines = text_of(make_console, report).splitlines()
    assert lines[0].startswith("the load generator was the bottleneck: worker 1 used 100%")
    assert "interrupted by a signal" in lines[:5]
    assert "ended early by a threshold" in lines[:5]
    killed = text_of(make_console, report_of([transaction(9, 9, 9.5)])).splitlines()
    assert killed[0] == "the records stop before the run's end: it goes on, or was killed"


def test_clocks_stand_beside_workers_of_other_machines_only(make_console: MakeConsole) -> None:
    here = Pulse("worker 1", 1.0, 1.0, 0.1, 0.0)
    there = Pulse("worker 2 on 10.0.0.7:4711", 1.0, 1.0, 0.1, 0.0, clock_error=0.0021)
    assert "clock" not in text_of(make_console, report_of([here, End(1)]))
    lines = text_of(make_console, report_of([here, there, End(1)])).splitlines()
    (line,) = [line for line in lines if "10.0.0.7:4711" in line]
    assert line.endswith("±2.10 ms")


def test_what_could_not_be_gone_on_after_stands_first(make_console: MakeConsole) -> None:
    failed = Fault("/run/[x]: can't be written: No space left on device")
    full = [Pulse("worker 1", 1.0, 1.0, 1.0, 0.0)] * 3
    report = report_of([transaction(9, 9, 9.5), *full, End(20, failed=failed)])
    lines = text_of(make_console, report, 200).splitlines()
    assert lines[0] == f"failed: {failed.what}"
    assert lines[-1] == f"exit code 1: failed: {failed.what}"
    assert markdown(report).splitlines()[2] == f"**{escaped(f'failed: {failed.what}')}**"
    figures = Figures()
    figures.begin(0.0)
    page = report_html(report, figures)
    shown = html.escape(f"failed: {failed.what}")
    assert f'<p class="verdict bad">{shown}</p>\n<p class="doubt">{shown}</p>' in page


def test_the_verdict_stands_last(make_console: MakeConsole) -> None:
    report = report_of(trouble())
    crossed = "exit code 3: a threshold was crossed: rate(ok) > 1000"
    assert text_of(make_console, report).splitlines()[-1] == crossed
    assert markdown(report).splitlines()[-1] == escaped(crossed)
    assert "- note: a check is off" in markdown(report).splitlines()
    interrupted = report_of([*trouble(), End(100, interrupted=True)])
    assert text_of(make_console, interrupted).splitlines()[-1] == "exit code 130: interrupted"


def test_a_run_without_a_transaction_has_a_report(make_console: MakeConsole) -> None:
    text = text_of(make_console, report_of([End(10)]))
    assert "nothing measured" in text
    assert "failed requests" not in text


def test_many_kinds_of_failure_share_a_line(make_console: MakeConsole) -> None:
    records: list[Record] = [
        transaction(9, 9, 9.5, replace(REJECTED, reason=f"reason {number}")) for number in range(11)
    ]
    text = text_of(make_console, report_of(records))
    assert re.search(r"3 other kinds +3", text)


@pytest.mark.parametrize("hostile", ["[red]no[/red]", "\x1b[2J", "a | b <script> \\ `x` *y*\n# z"])
def test_texts_of_the_server_are_harmless(make_console: MakeConsole, hostile: str) -> None:
    ending = Ending(OutcomeClass.REJECTED, "badPOP", (), hostile)
    report = report_of([transaction(9, 9, 9.5, ending)])
    assert "\x1b" not in text_of(make_console, report)
    if "\x1b" not in hostile and "\n" not in hostile:
        assert hostile in text_of(make_console, report)
    written = markdown(report)
    (line,) = (line for line in written.splitlines() if line.startswith("| rejected: badPOP"))
    # no more cells than three
    assert len(re.findall(r"(?<!\\)\|", line)) == 4
    assert not re.search(r"(?<!\\)[<>`*#]", line)


def test_markdown_is_made_of_whole_tables() -> None:
    written = markdown(report_of(trouble()))
    assert written.startswith("## Load test mixed\\|day\n")
    for table in re.findall(r"(?:^\|.*\n)+", written, re.MULTILINE):
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(widths) == 1
    assert "| &emsp;first byte |" in written


def test_percent() -> None:
    assert [percent(part) for part in (None, 0.0, 0.00125, 1.0)] == ["-", "0 %", "0.125 %", "100 %"]


def test_no_text_of_others_is_markup_or_calls_anybody() -> None:
    assert escaped("a|b *c* ~d~ $e$ <f> #1") == r"a\|b \*c\* \~d\~ \$e\$ \<f\> \#1"
    assert "@root" not in escaped("ask @root")


CAPACITY = "capacity: 150.0/s held for 10 s, 160.0/s did not: p95(response) < 40ms was 787 ms"


def test_a_search_says_what_it_found(make_console: MakeConsole) -> None:
    report, _ = reported(RUN_OF_THREE, records_of_three())
    text = text_of(make_console, report)
    assert text.splitlines()[:3] == [
        CAPACITY,
        "knee: 150.0/s, where throughput divided by response time is highest; response p95 20.0 ms",
        "the figures are those of window 7, at 150.0/s",
    ]
    assert re.search(
        r"^4 +160\.0 +148\.0 +0 % +485 ms +787 ms +814 ms +787 ms +CROSSED$", text, re.MULTILINE
    )
    assert re.search(r"^7 +150\.0 .* held$", text, re.MULTILINE)
    assert re.search(r"^4 +p95\(response\) < 40ms was 787 ms", text, re.MULTILINE)
    assert text.splitlines()[-1] == f"exit code 0: {CAPACITY}"
    written = markdown(report)
    assert escaped(CAPACITY) in written
    assert "| 4 | 160.0 | 148.0 | 0 % | 485 ms | 787 ms | 814 ms | 787 ms | CROSSED |" in written


def test_the_windows_of_a_search_fit_80_columns(make_console: MakeConsole) -> None:
    search = Search(start=900, up_to=900, window=2, settle=1)
    run = run_of(search, "share(failed) < 1%")
    records = list(windows(run, steady(lambda _: 0.0123, fails_from=900, busy_from=900)))
    lines = text_of(make_console, reported(run, records)[0], 80).splitlines()
    (line,) = (line for line in lines if re.match("1 +900", line))
    assert line.endswith("GENERATOR")
    assert "50 %" in line


SEARCH = Search(start=10, up_to=40, window=10, settle=2, precision=0.3)


@pytest.mark.parametrize(
    ("limits", "threshold", "lines"),
    [
        (
            {},
            "share(failed) < 1%",
            ["capacity: 40.0/s held, and no higher rate was to be tried (capacity.up_to)"],
        ),
        (
            {"fails_from": 5},
            "share(failed) < 1%",
            [
                "capacity: no rate held; 10.0/s, the lowest, did not: share(failed) < 1% was 50 %"
                " (capacity.from gives a lower one)"
            ],
        ),
        (
            {"busy_from": 30},
            "share(failed) < 1%",
            [
                "the load generator was the bottleneck: worker 1 used 99% of a core, and was full"
                " in 19 of 19 intervals: give more --workers, or a machine with more cores",
                "capacity: not found; 25.0/s held, and of higher rates nothing is known",
            ],
        ),
        (
            {"busy_from": 5},
            "share(failed) < 1%",
            [
                "the load generator was the bottleneck: worker 1 used 99% of a core, and was full"
                " in 19 of 19 intervals: give more --workers, or a machine with more cores",
                "capacity: not found; no rate is known to hold",
            ],
        ),
    ],
)
def test_how_a_search_may_end(
    make_console: MakeConsole, limits: dict[str, float], threshold: str, lines: list[str]
) -> None:
    run = run_of(SEARCH, threshold)
    records = list(windows(run, steady(lambda _: 0.01, **limits)))
    text = text_of(make_console, reported(run, records)[0], 250).splitlines()
    assert text[: len(lines)] == lines


@pytest.mark.parametrize(
    ("records", "line"),
    [
        ([End(5, interrupted=True)], "interrupted by a signal"),
        ([], "the records stop before the run's end: it goes on, or was killed"),
        (
            [End(5, exhausted=True)],
            "the end entities ran out before the search was over: give it more of them",
        ),
    ],
)
def test_a_search_that_is_not_whole_says_so_first(
    make_console: MakeConsole, records: list[Record], line: str
) -> None:
    run = run_of(SEARCH, "share(failed) < 1%")
    first = steady(lambda _: 0.01)(SEARCH, 10)
    report, _ = reported(run, [Window(10, 0), *first, Window(20, 14), *records])
    lines = text_of(make_console, report).splitlines()
    assert lines[:2] == [
        line,
        "capacity: not found; 10.0/s held, and of higher rates nothing is known",
    ]
