import io
import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from rich.console import Console

from bulkcmp.model import OutcomeClass
from bulkcmp.stats.figures import Figures
from bulkcmp.stats.health import Pulse
from bulkcmp.stats.record import End, Ending, Record
from bulkcmp.stats.report import Report
from bulkcmp.stats.threshold import Threshold
from bulkcmp.ui.report import escaped, markdown, percent, render_report
from tests.stats.records import REJECTED, RUN, transaction, trouble

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


def test_the_verdict_stands_last(make_console: MakeConsole) -> None:
    report = report_of(trouble())
    crossed = "exit code 3: a threshold was crossed: rate(ok) > 1000"
    assert text_of(make_console, report).splitlines()[-1] == crossed
    assert markdown(report).splitlines()[-1] == escaped(crossed)
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
