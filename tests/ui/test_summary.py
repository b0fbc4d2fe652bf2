"""The final text."""

import dataclasses
import datetime as dt
import io
import re
from collections.abc import Callable

import pytest
from rich.console import Console

from bulkcmp.cmp.explanation import CLASSES
from bulkcmp.errors import EXIT_INTERRUPTED, EXIT_OK
from bulkcmp.model import Operation, OutcomeClass
from bulkcmp.outputs.summary import (
    DeliverySummary,
    LintCount,
    LintSummary,
    PopulationFacts,
    ReasonCount,
    RunSummary,
)
from bulkcmp.stats.progress import HoldCount, Latencies, Snapshot
from bulkcmp.stats.tally import OutcomeCount
from bulkcmp.ui.summary import render_summary
from bulkcmp.waves.admission import Hold

MakeConsole = Callable[..., tuple[Console, io.StringIO]]


@pytest.fixture
def summary(snapshot: Snapshot) -> RunSummary:
    """The worst: interrupted, with many classes of failure and many notes."""
    return RunSummary(
        tool_version="0.1.0",
        command="enroll",
        started_at=dt.datetime(2026, 1, 2, tzinfo=dt.UTC),
        ended_at=dt.datetime(2026, 1, 2, 0, 0, 5, tzinfo=dt.UTC),
        elapsed=snapshot.elapsed,
        server="https://ra:hunter2@ca.example/ejbca/publicweb/cmp/ra-hmac",
        operations=(Operation.IR,),
        key_mode="new ec:P-256 key per row",
        population=PopulationFacts("devices.csv", "ab" * 32, 10_000),
        counts=(*snapshot.counts, OutcomeCount(OutcomeClass.TO_DO, "", 8_700)),
        transactions=1200,
        success=snapshot.success,
        failure=snapshot.failure,
        interrupted=True,
        exit_code=EXIT_INTERRUPTED,
        run_folder="runs/batch-17",
        results_file="runs/batch-17/results.csv",
        credentials_folder="runs/batch-17/certs",
        notes=tuple(f"note [b]{number}[/b]" for number in range(5)),
    )


def render(make_console: MakeConsole, summary: RunSummary, width: int = 80) -> list[str]:
    console, stream = make_console(width, terminal=False)
    render_summary(console, summary)
    return [line.rstrip() for line in stream.getvalue().splitlines()]


def test_the_worst_summary_is_short(make_console: MakeConsole, summary: RunSummary) -> None:
    assert len(render(make_console, summary, 80)) <= 31
    assert len(render(make_console, summary, 200)) <= 30


@pytest.mark.parametrize("width", [40, 80, 200])
def test_it_says_all_that_matters(
    make_console: MakeConsole, summary: RunSummary, width: int
) -> None:
    lines = render(make_console, summary, width)
    text = " ".join(" ".join(lines).split())
    for part in (
        "interrupted: 1,275 of 10,000 rows done (devices.csv; ir; new ec:P-256 key per row)",
        "1,200 transactions in 5.00 s, 240.0 transactions/s",
        "1,275 issued",
        "7 rejected: badPOP 4, badRequest 3 " + CLASSES[OutcomeClass.REJECTED].hint,
        "8,700 to do " + CLASSES[OutcomeClass.TO_DO].hint,
        "other classes: see results.csv",
        "note: note [b]0[/b]",
        "note: 2 more notes in summary.json",
        "exit code 130: interrupted",
    ):
        assert part in text
    # a path or URL is never broken, however narrow it gets
    assert "server        https://ca.example/ejbca/publicweb/cmp/ra-hmac" in lines
    assert "results       runs/batch-17/results.csv" in lines
    assert "certificates  runs/batch-17/certs" in lines
    assert "hunter2" not in text
    others = [line for line in lines if not line.startswith(("server", "results", "certif"))]
    assert max(map(len, others)) <= width


@pytest.mark.parametrize(
    ("delivery", "lines"),
    [
        (DeliverySummary("c", 7, 0, 0), ["7 of 7 certificates delivered"]),
        (
            DeliverySummary(
                "c",
                1_000,
                30,
                400,
                withheld=2,
                reasons=tuple(ReasonCount(f"exit code {n}", n) for n in (12, 8, 5, 3, 2)),
            ),
            [
                "1,000 of 1,430 certificates delivered, 30 failed, 400 to do; 2 withheld, which"
                " break a lint rule",
                "12  exit code 12",
                " 8  exit code 8",
                " 5  exit code 5",
                " 3  exit code 3",
                "1 more reasons in summary.json",
                "bulkcmp resume tries again; what failed said why in deliveries/",
            ],
        ),
        (
            DeliverySummary("c", 0, 20, 5, reasons=(ReasonCount("timeout", 20),), given_up=True),
            [
                "0 of 25 certificates delivered, 20 failed, 5 to do",
                "20  timeout",
                "given up, since all failed: bulkcmp resume tries again; what failed said why in"
                " deliveries/",
            ],
        ),
    ],
)
def test_deliveries(
    make_console: MakeConsole, summary: RunSummary, delivery: DeliverySummary, lines: list[str]
) -> None:
    shown = render(make_console, dataclasses.replace(summary, delivery=delivery), 200)
    first = shown.index(lines[0])
    assert shown[first : first + len(lines)] == lines


def test_no_row_is_lost_between_the_lines(make_console: MakeConsole, summary: RunSummary) -> None:
    lines = render(make_console, summary, 200)
    rows = [match[1] for line in lines if (match := re.match(r" *([\d,]+)  \S", line))]
    assert sum(int(count.replace(",", "")) for count in rows) == 10_000


def test_a_run_without_trouble(make_console: MakeConsole, summary: RunSummary) -> None:
    good = dataclasses.replace(
        summary,
        population=PopulationFacts("devices.csv", "", 1000),
        counts=(OutcomeCount(OutcomeClass.ISSUED, "", 1000),),
        success=Latencies(service=summary.success.service),
        failure=Latencies(),
        interrupted=False,
        exit_code=EXIT_OK,
        notes=(),
    )
    lines = render(make_console, good)
    assert lines[:5] == [
        "1,000 of 1,000 rows done (devices.csv; ir; new ec:P-256 key per row)",
        "1,200 transactions in 5.00 s, 240.0 transactions/s",
        "",
        "1,000  issued",
        "",
    ]
    assert [line.split()[0] for line in lines[5:7]] == ["latency", "done"]
    assert lines[7:] == [
        "",
        "server        https://ca.example/ejbca/publicweb/cmp/ra-hmac",
        "results       runs/batch-17/results.csv",
        "certificates  runs/batch-17/certs",
        "exit code     0: all rows are done",
    ]


def test_a_run_without_transactions_has_no_latencies(
    make_console: MakeConsole, summary: RunSummary
) -> None:
    idle = dataclasses.replace(
        summary,
        counts=(),
        transactions=0,
        success=Latencies(),
        failure=Latencies(),
        credentials_folder="",
    )
    lines = render(make_console, idle)
    assert not any(line.startswith(("latency", "certificates")) for line in lines)


def test_lint_has_its_commonest_rules(make_console: MakeConsole, summary: RunSummary) -> None:
    counts = tuple(LintCount(f"a.rule_{n}", "error", 9 - n, f"dev{n}") for n in range(6))
    found = LintSummary("etsi", 5, 1200, 9, counts, complete=False)
    lines = render(make_console, dataclasses.replace(summary, lint=found))
    text = " ".join(" ".join(lines).split())
    assert (
        "lint by etsi, one in 5: 9 of 1,200 certificates have findings, not all: it was cut off"
        " 9 error a.rule_0 (first: dev0) 8 error" in text
    )
    assert "a.rule_4" not in text
    assert "2 more rules in summary.json" in text


def test_hostile_names_do_no_harm(
    make_console: MakeConsole, summary: RunSummary, hostile: str
) -> None:
    bad = dataclasses.replace(
        summary,
        population=PopulationFacts(hostile, "", 1),
        notes=(hostile,),
        results_file=hostile,
        server="http://ca.example/" + hostile,
        counts=(OutcomeCount(OutcomeClass.REJECTED, hostile, 1),),
    )
    text = "\n".join(render(make_console, bad))
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", text)
    assert text.count("[red]no[/red]") == 5


def test_a_latin_1_terminal_gets_what_it_can_show(
    make_console: MakeConsole, summary: RunSummary
) -> None:
    console, stream = make_console(encoding="latin-1")
    render_summary(console, dataclasses.replace(summary, results_file="läufe/東京.csv"))
    stream.getvalue().encode("latin-1")
    assert r"läufe/\u6771\u4eac.csv" in stream.getvalue()


def test_it_says_what_held_the_run_back(make_console: MakeConsole, summary: RunSummary) -> None:
    holds = (HoldCount(Hold.CIRCUIT, 2, 90.0),)
    lines = render(make_console, dataclasses.replace(summary, holds=holds))
    assert "nothing began: circuit open 2 times, 90.0 s" in lines
