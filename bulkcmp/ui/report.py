"""The report of a load test as text for a terminal, and as Markdown for a pull request."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bulkcmp.errors import (
    EXIT_BOTTLENECK,
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_SOME_FAILED,
    EXIT_THRESHOLD,
)
from bulkcmp.outputs.text import visible
from bulkcmp.stats.capacity import Capacity, Conclusion, Judgement, Trial
from bulkcmp.stats.histogram import LatencySummary
from bulkcmp.stats.report import ExchangeReport, Report, TransactionReport
from bulkcmp.stats.threshold import Verdict
from bulkcmp.ui.figures import clean, duration, per_second

_MOST_FAILURES: Final = 8
_HEADS: Final = ("mean", "p50", "p95", "p99", "p99.9", "max")
_PHASES: Final = (("connect", "connect"), ("tls", "TLS"), ("first_byte", "first byte"))


@dataclass(frozen=True, slots=True)
class Section:
    """A table of the report; its first column is text, the others are figures.

    Attributes:
        title: head of the first column.
        rows: as many cells each as `heads` and the title have; a first cell that begins with
            blanks is about the row before.
        is_wordy: all columns but a `count` are text.
    """

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    is_wordy: bool = False


def headlines(report: Report) -> Iterator[str]:
    """What must be known before any figure, a line each; texts of files are in it."""
    for fault in report.faults:
        yield f"failed: {fault.what}"
    for bottleneck in report.limits:
        yield f"the load generator was the bottleneck: {bottleneck}"
    capacity = report.capacity
    has_ended, was_interrupted = report.ended, report.interrupted
    if capacity is not None:
        has_ended = capacity.conclusion is not Conclusion.UNFINISHED
        was_interrupted = capacity.interrupted
        if capacity.exhausted:
            yield "the end entities ran out before the search was over: give it more of them"
    if not has_ended:
        yield "the records stop before the run's end: it goes on, or was killed"
    if not report.total.finished:
        within = ": the warm-up does not count" if report.warm_up.finished else ""
        yield f"no transaction was measured{within}"
    if was_interrupted:
        yield "interrupted by a signal"
    if report.aborted and capacity is None:
        yield "ended early by a threshold"


def findings(report: Report) -> Iterator[str]:
    """What a search for the capacity found, a line each; nothing of another load test."""
    capacity = report.capacity
    if capacity is None:
        return
    yield _finding(capacity)
    if capacity.knee is not None:
        knee = capacity.knee
        yield (
            f"knee: {per_second(knee.rate)}, where throughput divided by response time is highest;"
            f" response p95 {duration(knee.report.total.latencies['response'].p95)}"
        )
    if capacity.shown is not None:
        yield (
            f"the figures are those of window {capacity.shown.number},"
            f" at {per_second(capacity.shown.rate)}"
        )


def _finding(capacity: Capacity) -> str:
    held, failed = capacity.held, capacity.failed
    known = "no rate is known to hold" if held is None else f"{per_second(held.rate)} held"
    match capacity.conclusion:
        case Conclusion.FOUND if failed is not None:
            return (
                f"capacity: {known} for {capacity.search.window:g} s,"
                f" {per_second(failed.rate)} did not: {'; '.join(reasons(failed))}"
            )
        case Conclusion.CEILING:
            return f"capacity: {known}, and no higher rate was to be tried (capacity.up_to)"
        case Conclusion.NOTHING if failed is not None:
            return (
                f"capacity: no rate held; {per_second(failed.rate)}, the lowest, did not:"
                f" {'; '.join(reasons(failed))} (capacity.from gives a lower one)"
            )
        case _ if held is None:
            return f"capacity: not found; {known}"
        case _:
            return f"capacity: not found; {known}, and of higher rates nothing is known"


def reasons(trial: Trial) -> list[str]:
    """Why a rate did not hold, with figures."""
    if trial.judgement is Judgement.CROSSED:
        crossed = [one for one in trial.report.verdicts if not one.held]
        if crossed:
            return [f"{one.threshold.text} was {verdict_text(one)}" for one in crossed]
    return list(trial.reasons)


def facts(report: Report) -> Iterator[str]:
    """What was run, a line for each run and each of its notes, and how long it was measured."""
    for run in report.runs:
        yield f"{run.scenario}: {run.shape}; {run.keys}; {run.server}"
        yield from (f"note: {note}" for note in run.notes)
    warm_up = ""
    if report.warm_up_seconds:
        warm_up = f", after a warm-up of {duration(report.warm_up_seconds)} that does not count"
    yield f"measured for {duration(report.seconds)}{warm_up}"
    losses = (("dropped", report.dropped), ("abandoned", report.abandoned))
    lost = ", ".join(f"{what} {count:,}" for what, count in losses if count)
    mix = ""
    if len(report.lifecycles) > 1:
        mix = " (" + ", ".join(f"{name} {count:,}" for name, count in report.lifecycles) + ")"
    yield f"{report.begun:,} lifecycles begun{mix}" + (f"; transactions {lost}" if lost else "")


def sections(report: Report) -> Iterator[Section]:
    """All tables, in their order."""
    rows: tuple[tuple[str, ...], ...]
    if report.capacity is not None and report.capacity.trials:
        yield from _windows(report.capacity.trials)
    if report.verdicts:
        rows = tuple(
            (one.threshold.text, verdict_text(one), "held" if one.held else "CROSSED")
            for one in report.verdicts
        )
        yield Section("threshold", ("value", "verdict"), rows)
    kinds = (report.total, *(report.operations if len(report.operations) > 1 else ()))
    with_warm_up = (*kinds, *((report.warm_up,) if report.warm_up.finished else ()))
    yield Section(
        "transactions",
        ("ok", "failed", "failed %", "ok/s", "certificates/s"),
        tuple(map(_counts, with_warm_up)),
    )
    rows = tuple(row for one in kinds for row in _latencies(one))
    if rows:
        yield Section("latency", _HEADS, rows)
    if report.exchanges:
        yield Section(
            "exchanges", ("count", *_HEADS), tuple(r for e in report.exchanges for r in _phases(e))
        )
    if report.total.failures:
        yield Section(
            "failed requests",
            ("count", "the first of them"),
            tuple(_failures(report.total)),
            is_wordy=True,
        )
    if report.total.fail_info:
        rows = tuple((name, f"{count:,}") for name, count in report.total.fail_info)
        yield Section("failInfo", ("requests",), rows)
    if report.processes:
        is_spread = any(one.clock_error for one in report.processes)
        rows = tuple(
            (
                one.process,
                f"{one.cpu:.0%}",
                f"{one.cpu_max:.0%}",
                duration(one.late_p99),
                duration(one.starved),
                "-" if one.open_files is None else f"{one.open_files:,}",
                *([f"±{duration(one.clock_error)}"] if is_spread else []),
            )
            for one in report.processes
        )
        heads = ("CPU", "CPU max", "late p99", "without keys", "open files")
        yield Section("generator", (*heads, *(["clock"] if is_spread else [])), rows)


_VERDICTS: Final = {
    EXIT_OK: "all is well",
    EXIT_SOME_FAILED: "some transactions failed, or were not measured",
    EXIT_THRESHOLD: "a threshold was crossed",
    EXIT_BOTTLENECK: "the load generator was the bottleneck",
    EXIT_INTERRUPTED: "interrupted",
}
"""What each exit code of a load test means."""


def _windows(trials: Sequence[Trial]) -> Iterator[Section]:
    heads = ("rate/s", "ok/s", "failed", "p50", "p95", "p99", "service p95", "verdict")
    yield Section("#", heads, tuple(map(_trial, trials)))
    why = tuple((str(one.number), reason) for one in trials for reason in reasons(one))
    if why:
        yield Section("#", ("why it did not hold",), why, is_wordy=True)


def _trial(trial: Trial) -> tuple[str, ...]:
    total = trial.report.total
    response, service = total.latencies["response"], total.latencies["service"]
    return (
        str(trial.number),
        f"{trial.rate:,.1f}",
        _per_second(total.ok_rate),
        percent(total.failed_share),
        *(duration(one) for one in (response.p50, response.p95, response.p99, service.p95)),
        JUDGEMENTS[trial.judgement],
    )


JUDGEMENTS: Final = {
    Judgement.HELD: "held",
    Judgement.CROSSED: "CROSSED",
    Judgement.BEHIND: "BEHIND",
    Judgement.GENERATOR: "GENERATOR",
    Judgement.UNFINISHED: "not over",
}
"""What was found of a rate, in a word."""

ALARMS: Final = frozenset({"CROSSED", "BEHIND", "GENERATOR"})
"""Words of tables that must not be overlooked."""

NOTE: Final = (
    "response counts from the planned beginning, service from the real one, lag between the two;"
    " all but the failed ones are of transactions that reached what was asked for"
)


def render_report(console: Console, report: Report) -> None:
    """Print it on `console`."""
    for line in headlines(report):
        console.print(Text(clean(line, console), style="bold red"))
    for line in findings(report):
        console.print(Text(clean(line, console), style="bold"))
    for line in facts(report):
        console.print(clean(line, console), markup=False, soft_wrap=True)
    for section in sections(report):
        console.print()
        console.print(table(console, section))
    console.print()
    console.print(Text(NOTE, style="dim"))
    style = "green" if report.exit_code == EXIT_OK else "red"
    console.print(Text(clean(_verdict(report), console), style=style))


def markdown(report: Report) -> str:
    """The same as GitHub's Markdown."""
    lines = [f"## Load test {escaped(report.runs[0].scenario)}", ""]
    for line in headlines(report):
        lines += [f"**{escaped(line)}**", ""]
    for line in findings(report):
        lines += [escaped(line), ""]
    lines += [f"- {escaped(line)}" for line in facts(report)]
    for section in sections(report):
        lines += ["", *markdown_table(section)]
    return "\n".join([*lines, "", NOTE, "", escaped(_verdict(report)), ""])


def verdict_text(verdict: Verdict) -> str:
    """The figure that a threshold was compared with."""
    if verdict.value is None:
        return "nothing measured"
    match verdict.threshold.unit:
        case "s":
            return duration(verdict.value)
        case "/s":
            return per_second(verdict.value)
        case "share":
            return percent(verdict.value)
        case _:
            return f"{verdict.value:,.0f}"


def conclusion(report: Report) -> str:
    """What all of it comes to, in a few words."""
    if report.capacity is not None:
        return f"capacity: {report.capacity.conclusion.value}"
    if report.faults:
        return f"failed: {report.faults[0].what}"
    return _VERDICTS[report.exit_code]


def _verdict(report: Report) -> str:
    """The last line, and all that a short terminal still shows."""
    if report.capacity is not None:
        return f"exit code {report.exit_code}: {_finding(report.capacity)}"
    said = f"exit code {report.exit_code}: {conclusion(report)}"
    if report.exit_code != EXIT_THRESHOLD:
        return said
    crossed = (one.threshold.text for one in report.verdicts if not one.held)
    return f"{said}: {'; '.join(crossed)}"


def percent(part: float | None) -> str:
    """Three significant digits: `0.125 %`; `-` for None."""
    return "-" if part is None else f"{100 * part:.3g} %"


def _counts(report: TransactionReport) -> tuple[str, ...]:
    return (
        report.name,
        f"{report.ok:,}",
        f"{report.failed:,}",
        percent(report.failed_share),
        _per_second(report.ok_rate),
        _per_second(report.certificate_rate),
    )


def _per_second(rate: float | None) -> str:
    return "-" if rate is None else f"{rate:,.1f}"


def _latencies(report: TransactionReport) -> Iterator[tuple[str, ...]]:
    for metric, summary in report.latencies.items():
        if summary.count:
            yield f"{report.name} {metric}", *_figures(summary)
    failed = report.failed_latencies["response"]
    if failed.count:
        yield f"{report.name} failed response", *_figures(failed)


def _phases(report: ExchangeReport) -> Iterator[tuple[str, ...]]:
    yield report.name, f"{report.count:,}", *_figures(report.latencies["total"])
    for metric, name in _PHASES:
        summary = report.latencies[metric]
        if summary.count:
            yield f"  {name}", f"{summary.count:,}", *_figures(summary)


def _figures(summary: LatencySummary) -> tuple[str, ...]:
    figures = (
        summary.mean, summary.p50, summary.p95, summary.p99, summary.p999, summary.max,
    )  # fmt: skip
    return tuple(duration(figure) for figure in figures)


def _failures(report: TransactionReport) -> Iterator[tuple[str, ...]]:
    for one in report.failures[:_MOST_FAILURES]:
        kind = ": ".join(part for part in (one.outcome.value, one.reason) if part)
        yield kind, f"{one.count:,}", one.detail
    rest = report.failures[_MOST_FAILURES:]
    if rest:
        yield f"{len(rest)} other kinds", f"{sum(one.count for one in rest):,}", ""


def table(console: Console, section: Section) -> Table:
    """A section for a terminal."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(overflow="fold")
    for head in section.heads:
        text = section.is_wordy and head != "count"
        grid.add_column(justify="left" if text else "right", no_wrap=not text, overflow="fold")
    grid.add_row(section.title, *section.heads, style="dim")
    for row in section.rows:
        cells = [Text(clean(cell, console)) for cell in row]
        if row[-1] in ALARMS:
            cells[-1].stylize("red")
        grid.add_row(*cells)
    return grid


def markdown_table(section: Section) -> Iterator[str]:
    """A section as lines of GitHub's Markdown."""
    yield _markdown_row((section.title, *section.heads))
    yield _markdown_row(("---", *("---:" for _ in section.heads)))
    for row in section.rows:
        first = ("&emsp;" if row[0].startswith(" ") else "") + escaped(row[0])
        yield _markdown_row((first, *map(escaped, row[1:])))


def _markdown_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def escaped(text: str) -> str:
    """No markup of Markdown or HTML, and no cell's end."""
    shown = visible(text).strip()
    for character in "\\`*_[]<>|#&~$":
        shown = shown.replace(character, f"\\{character}")
    # whom a server names after an @ would be told of every report; a space without width is between
    return shown.replace("@", "@\u200b")
