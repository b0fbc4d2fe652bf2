"""`bulkcmp compare`: whether a load test did better or worse than one before it."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bulkcmp.cli.stdout import put_out
from bulkcmp.errors import InputError
from bulkcmp.outputs.records import RecordFile, report_of
from bulkcmp.stats import comparison as statistics
from bulkcmp.stats.comparison import FEWEST_BLOCKS, Gate
from bulkcmp.stats.figures import Figures
from bulkcmp.stats.report import Report
from bulkcmp.ui.comparison import Comparison, comparison_markdown, render_comparison
from bulkcmp.ui.html import comparison_html


class Format(StrEnum):
    """What a comparison can be."""

    TEXT = "text"
    MARKDOWN = "md"
    HTML = "html"


def compare(
    before: Annotated[
        Path,
        typer.Argument(
            metavar="BEFORE", help="Run folder of the load test before.", show_default=False
        ),
    ],
    after: Annotated[
        Path,
        typer.Argument(metavar="AFTER", help="Run folder of the one to judge.", show_default=False),
    ],
    fail_if: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CHANGE",
            help="End with exit code 3 if a figure changed by more than this, and by more than"
            " chance: 'p95 +10%', 'mean(service) +5%', 'rate(ok) -5%'; of 'share(failed) +0.1%' the"
            " percentage itself grew by so much. May be repeated.",
            show_default=False,
        ),
    ] = None,
    format_: Annotated[
        Format,
        typer.Option(
            "--format",
            help="text; md: Markdown; html: one page with both runs in each plot.",
        ),
    ] = Format.TEXT,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Write to this file.", show_default=False),
    ] = None,
) -> None:
    """Compare two load tests, figure by figure, and tell changes from chance.

    Exit codes: 0 no unwanted change, 2 bad input or usage, 3 an unwanted change, 4 unwanted changes
    were looked for, and the load generator was the bottleneck of a run.

    Example: bulkcmp compare runs/main runs/branch --fail-if 'p95 +10%' --fail-if 'rate(ok) -5%'
    """
    gates = [Gate.parse(text) for text in fail_if or ()]
    # that one is no run is told before the other is read
    files = RecordFile(before), RecordFile(after)
    (first, earlier), (second, later) = report_of([files[0]]), report_of([files[1]])
    figures = earlier, later
    comparison = _comparison((first, second), figures, gates)
    put_out(lambda console: [_text(comparison, figures, format_, console)], "the comparison", out)
    raise typer.Exit(comparison.exit_code)


def _text(
    comparison: Comparison, figures: tuple[Figures, Figures], format_: Format, console: Console
) -> str:
    match format_:
        case Format.TEXT:
            with console.capture() as captured:
                render_comparison(console, comparison)
            return captured.get()
        case Format.MARKDOWN:
            return comparison_markdown(comparison)
        case Format.HTML:
            return comparison_html(comparison, *figures)


def _comparison(
    reports: tuple[Report, Report], figures: tuple[Figures, Figures], gates: list[Gate]
) -> Comparison:
    changes = statistics.compare(*figures)
    by_figure = {change.what: change for change in changes}
    for gate in gates:
        if not by_figure[gate.what].is_known:
            raise InputError(
                f"whether {gate.text!r} holds can't be told: a run has too little to measure",
                hint=f"both need successes in {FEWEST_BLOCKS} seconds at least, the warm-up not"
                " counted: for p99 some 500 of them, for p95 some 100",
            )
    judged = tuple((gate, by_figure[gate.what]) for gate in gates)
    return Comparison(*reports, changes, judged)
