"""`bulkcmp compare`: whether a load test did better or worse than one before it."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from bulkcmp.cli.stdout import PipedConsole, printing
from bulkcmp.errors import EXIT_OK, EXIT_THRESHOLD, InputError
from bulkcmp.outputs.records import RecordFile, figures_of, report_of
from bulkcmp.stats import comparison as statistics
from bulkcmp.stats.comparison import FEWEST_BLOCKS, Gate
from bulkcmp.ui.comparison import Comparison, comparison_markdown, render_comparison


class Format(StrEnum):
    """What a comparison can be."""

    TEXT = "text"
    MARKDOWN = "md"


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
    format_: Annotated[Format, typer.Option("--format", help="text, or md: Markdown.")] = (
        Format.TEXT
    ),
) -> None:
    """Compare two load tests, figure by figure, and tell changes from chance.

    Exit codes: 0 no unwanted change, 2 bad input or usage, 3 an unwanted change.

    Example: bulkcmp compare runs/main runs/branch --fail-if 'p95 +10%' --fail-if 'rate(ok) -5%'
    """
    gates = [Gate.parse(text) for text in fail_if or ()]
    comparison = _comparison(before, after, gates)
    with printing("the comparison", "--format md makes it shorter"):
        if format_ is Format.TEXT:
            render_comparison(PipedConsole(highlight=False), comparison)
        else:
            typer.echo(comparison_markdown(comparison), nl=False)
    raise typer.Exit(EXIT_THRESHOLD if comparison.has_failed else EXIT_OK)


def _comparison(before: Path, after: Path, gates: list[Gate]) -> Comparison:
    files = RecordFile(before), RecordFile(after)
    figures = [figures_of([file]) for file in files]
    changes = statistics.compare(*figures)
    by_figure = {change.what: change for change in changes}
    for gate in gates:
        if not by_figure[gate.what].is_known:
            raise InputError(
                f"whether {gate.text!r} holds can't be told: a run has too little to measure",
                hint=f"both need successes in {FEWEST_BLOCKS} seconds at least, the warm-up not"
                " counted",
            )
    reports = [report_of([file], one) for file, one in zip(files, figures, strict=True)]
    return Comparison(
        reports[0], reports[1], changes, tuple((gate, by_figure[gate.what]) for gate in gates)
    )
