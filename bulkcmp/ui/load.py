"""A load test while it goes on: one picture of it for a terminal, and the plain lines elsewhere.

All of it is read off a `Report` whose intervals are the newest ones.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from bulkcmp.stats.capacity import Capacity
from bulkcmp.stats.histogram import LatencySummary
from bulkcmp.stats.report import Report, TransactionReport
from bulkcmp.stats.series import Interval
from bulkcmp.ui.figures import clean, clock, duration, per_second
from bulkcmp.ui.report import JUDGEMENTS, percent, verdict_text
from bulkcmp.ui.view import view_for

INTERVALS: Final = 60
"""Newest intervals that the views want to have in a report."""

_BARS: Final = "▁▂▃▄▅▆▇█"
_MOST_FAILURES: Final = 3
_MOST_OPERATIONS: Final = 5
_LABEL: Final = 14


def current(report: Report) -> TransactionReport:
    """What the views show: what was measured, or the warm-up as long as there is nothing else."""
    has_warm_up = any(run.warm_up for run in report.runs)
    is_over = report.total.finished or report.ended or not has_warm_up
    return report.total if is_over else report.warm_up


def over(report: Report) -> list[Interval]:
    """The intervals of which nothing more can come."""
    return [one for one in report.intervals if one.at + one.seconds <= report.elapsed]


def sparkline(figures: Sequence[float | None]) -> str:
    """A bar for each figure, as high as it is in comparison with the highest; a blank for None."""
    most = max((one for one in figures if one is not None), default=0.0)
    return "".join(
        " " if one is None else _BARS[round(one / most * (len(_BARS) - 1)) if most else 0]
        for one in figures
    )


def plain_lines(report: Report, before: Report | None) -> list[str]:
    """One line, and another where the commonest failure is not what it was.

    Args:
        before: what the last lines were about.
    """
    shown = current(report)
    intervals = over(report)
    parts = [clock(report.elapsed)]
    if report.capacity is not None and report.capacity.rate is not None:
        parts.append(_present(report.capacity, report.capacity.rate))
    if shown is report.warm_up:
        parts.append("warm-up")
    parts.append(f"ok {shown.ok} failed {shown.failed}")
    if intervals:
        parts.append(f"{per_second(intervals[-1].finished / intervals[-1].seconds)} finished")
    parts.append(f"in flight {report.in_flight}")
    if report.waiting:
        parts.append(f"waiting {report.waiting}")
    if report.dropped:
        parts.append(f"dropped {report.dropped}")
    response = shown.latencies["response"]
    if response.count:
        parts.append(f"response p50 {duration(response.p50)} p99 {duration(response.p99)}")
    crossed = sum(not verdict.held for verdict in report.verdicts if verdict.value is not None)
    if crossed:
        parts.append(f"thresholds crossed {crossed}")
    lines = [*_judged(report, before), " ".join(parts)]
    told = _failures(shown)[:1]
    if told and (before is None or _kinds(current(before)) != _kinds(shown)):
        lines.append(f"commonest failure {told[0]}")
    return lines


def _present(capacity: Capacity, rate: float) -> str:
    return f"window {len(capacity.trials) + 1} at {per_second(rate)}"


def _judged(report: Report, before: Report | None) -> Iterator[str]:
    """A line for each window of a search that was judged since the last lines."""
    if report.capacity is None:
        return
    told = len(before.capacity.trials) if before is not None and before.capacity else 0
    for one in report.capacity.trials[told:]:
        yield (
            f"window {one.number} at {per_second(one.rate)}: {JUDGEMENTS[one.judgement]}"
            f" response p95 {duration(one.report.total.latencies['response'].p95)}"
        )


class Frame:
    """One picture of the live view, laid out for the width that it is drawn at."""

    def __init__(self, report: Report) -> None:
        self._report = report

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = [*self._lines(console, options.max_width)]
        # the terminal's last line stays free for its cursor
        for line in lines[: max(console.height - 1, 1)]:
            if isinstance(line, Text):
                line.truncate(options.max_width)
            yield line

    def _lines(self, console: Console, width: int) -> Iterator[RenderableType]:
        report, shown = self._report, current(self._report)
        run = report.runs[-1]
        phase = "warm-up" if shown is report.warm_up else "measuring"
        yield Text(clean(f"{run.scenario}: {run.shape}", console), style="bold")
        yield Text(f"{clock(report.elapsed)} {phase}   {shown.ok:,} ok   {shown.failed:,} failed   "
                   f"{report.in_flight:,} in flight   {report.waiting:,} waiting   "
                   f"{report.dropped:,} dropped")  # fmt: skip
        if report.capacity is not None:
            yield from _search(report.capacity, width)
        for bottleneck in report.bottlenecks:
            yield Text(clean(bottleneck, console), style="yellow")
        yield from self._course(console, width)
        yield Text()
        yield from _latencies(report, shown)
        if report.verdicts:
            yield Text()
        for verdict in report.verdicts:
            style = "green" if verdict.held else "yellow" if verdict.value is None else "red"
            told = f"{verdict.threshold.text}   {verdict_text(verdict)}"
            yield Text(clean(told, console), style=style)
        if shown.failed:
            yield Text()
        for told in _failures(shown)[:_MOST_FAILURES]:
            yield Text(clean(told, console), style="red")

    def _course(self, console: Console, width: int) -> Iterator[Text]:
        """Rates and latencies now, and in the newest intervals."""
        intervals = over(self._report)
        if not intervals:
            return
        now = intervals[-1]
        room = max(0, width - 2 * _LABEL - 2)
        drawn = intervals[-room:] if room and console.encoding.startswith("utf") else []
        for name, text, figures in (
            (
                "finished",
                per_second(now.finished / now.seconds),
                [one.finished / one.seconds for one in drawn],
            ),
            ("response p95", duration(now.response.p95), [one.response.p95 for one in drawn]),
            (
                "failed",
                per_second(now.failed / now.seconds),
                [one.failed / one.seconds for one in drawn],
            ),
        ):
            yield Text(f"{name:<{_LABEL}}{text:>{_LABEL - 2}}  {sparkline(figures)}".rstrip())


def _search(capacity: Capacity, width: int) -> Iterator[Text]:
    """The rate that is tried, and those that were: the newest, where there is no room for all."""
    if capacity.rate is not None:
        yield Text(_present(capacity, capacity.rate), style="bold")
    room = width - _LABEL
    told: list[str] = []
    for one in reversed(capacity.trials):
        word = f"{one.rate:,.1f} {JUDGEMENTS[one.judgement]}"
        if sum(map(len, told)) + 2 * len(told) + len(word) > room:
            break
        told.insert(0, word)
    if told:
        yield Text(f"{'tried':<{_LABEL}}{', '.join(told)}")


def _latencies(report: Report, shown: TransactionReport) -> Iterator[Table]:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    for _ in range(6):
        table.add_column(justify="right", no_wrap=True)
    table.add_row("latency", "ok", "p50", "p95", "p99", "max", "failed", style="dim")
    operations = report.operations if shown is report.total and len(report.operations) > 1 else ()
    for one in (shown, *operations[:_MOST_OPERATIONS]):
        failed = percent(one.failed_share)
        for metric in ("response", "service") if one is shown else ("response",):
            latency = one.latencies[metric]
            if one.finished:
                name = f"{one.name} {metric}"
                table.add_row(name, f"{one.ok:,}", *_figures(latency), failed)
    if table.row_count > 1:
        yield table


def _figures(latency: LatencySummary) -> list[str]:
    return [duration(one) for one in (latency.p50, latency.p95, latency.p99, latency.max)]


def _failures(report: TransactionReport) -> list[str]:
    """A line for each kind of failure, the commonest first; texts of the peer are in it."""
    return [
        f"{one.count:,} "
        + ": ".join(part for part in (one.outcome.value, one.reason, one.detail) if part)
        for one in report.failures
    ]


def _kinds(report: TransactionReport) -> tuple[object, ...]:
    return tuple((one.outcome, one.reason) for one in report.failures[:1])


make_view = partial(view_for, picture=Frame, lines=plain_lines)
"""The view of a load test that fits a console."""
