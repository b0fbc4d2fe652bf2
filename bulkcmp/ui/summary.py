"""The text that ends a run: what became of the rows, how fast, where it is, what to do next."""

from typing import Final

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from bulkcmp.outputs.summary import (
    EXIT_MEANINGS,
    DeliverySummary,
    LintSummary,
    RunSummary,
    public_url,
)
from bulkcmp.ui.figures import clean, clean_text, duration, per_second
from bulkcmp.ui.latencies import latency_table
from bulkcmp.ui.outcomes import ClassCount, by_class, commonest

_MOST_CLASSES: Final = 6
_FEW_CLASSES: Final = 3
"""So few that the commonest reason of each has a hint of its own."""
_MOST_NOTES: Final = 3
_MOST_RULES: Final = 4
_MOST_REASONS: Final = 4


def render_summary(console: Console, summary: RunSummary) -> None:
    """Print the summary on `console` (standard output): some 30 lines at most at 80 columns."""
    console.print(_headline(console, summary))
    console.print()
    _print_outcomes(console, by_class(summary.counts))
    if summary.success.service.count or summary.failure.service.count:
        console.print()
        console.print(latency_table(summary.success, summary.failure, console.width))
    if summary.holds:
        console.print()
        for one in summary.holds:
            times = "once" if one.times == 1 else f"{one.times:,} times"
            console.print(Text(f"nothing began: {one.hold.value} {times}, {duration(one.seconds)}"))
    if summary.lint is not None:
        console.print()
        _print_lint(console, summary.lint)
    if summary.delivery is not None:
        console.print()
        _print_delivery(console, summary.delivery)
    console.print()
    for note in _first(summary.notes, _MOST_NOTES, "notes in summary.json"):
        console.print(Text("note: ", style="yellow").append(clean(note, console)))
    for name, file in (
        ("server", public_url(summary.server)),
        ("results", summary.results_file),
        ("certificates", summary.credentials_folder),
        ("information", summary.information_folder),
    ):
        if file:
            # a path that wraps can't be copied
            console.print(clean_text(f"{name:<14}{file}", console), soft_wrap=True)
    meaning = EXIT_MEANINGS.get(summary.exit_code, "error")
    style = "green" if summary.exit_code == 0 else "red"
    console.print(Text(f"{'exit code':<14}{summary.exit_code}: {meaning}", style=style))


def _headline(console: Console, summary: RunSummary) -> Text:
    population = summary.population
    operations = ", ".join(operation.value for operation in summary.operations)
    text = Text()
    if summary.interrupted:
        text.append("interrupted: ", style="yellow")
    text.append(f"{summary.done:,} of {population.rows:,} rows done", style="bold")
    text.append(f" ({clean(population.file, console)}; {operations}; {summary.key_mode})")
    plural = "" if summary.transactions == 1 else "s"
    text.append(f"\n{summary.transactions:,} transaction{plural} in {duration(summary.elapsed)}")
    return text.append(f", {per_second(summary.rate, 'transactions')}")


def _print_outcomes(console: Console, classes: list[ClassCount]) -> None:
    shown, rest = commonest(classes, _MOST_CLASSES)
    figures = max((len(f"{one.rows:,}") for one in classes), default=1)
    for one in shown:
        line = Text(f"{one.rows:>{figures},}  ").append(one.outcome.value, style=one.style)
        if one.why:
            line.append(f": {clean(one.why, console)}")
        console.print(line)
        for hint in one.hints[: 2 if len(shown) <= _FEW_CLASSES else 1]:
            indented = Padding(Text(hint, style="dim"), (0, 0, 0, figures + 2), expand=False)
            console.print(indented)
    if rest:
        rows = sum(one.rows for one in rest)
        console.print(Text(f"{rows:>{figures},}  in {len(rest)} other classes: see results.csv"))


def _print_lint(console: Console, lint: LintSummary) -> None:
    which = "" if lint.every == 1 else f", one in {lint.every}"
    cut = "" if lint.complete else ", not all: it was cut off"
    console.print(
        Text(f"lint by {lint.profile}{which}: ").append(
            f"{lint.flawed:,} of {lint.certificates:,} certificates have findings{cut}",
            style="yellow" if lint.flawed else "green",
        )
    )
    figures = max((len(f"{one.certificates:,}") for one in lint.findings), default=1)
    for one in lint.findings[:_MOST_RULES]:
        line = f"{one.certificates:>{figures},}  {one.severity} {one.rule} (first: {one.example})"
        console.print(Text(clean(line, console)))
    rest = len(lint.findings) - _MOST_RULES
    if rest > 0:
        console.print(f"{rest} more rules in summary.json")


def _print_delivery(console: Console, delivery: DeliverySummary) -> None:
    total = delivery.delivered + delivery.failed + delivery.to_do
    text = f"{delivery.delivered:,} of {total:,} certificates delivered"
    if delivery.failed:
        text += f", {delivery.failed:,} failed"
    if delivery.to_do:
        text += f", {delivery.to_do:,} to do"
    if delivery.withheld:
        text += f"; {delivery.withheld:,} withheld, which break a lint rule"
    console.print(Text(text, style="green" if delivery.is_done else "red"))
    figures = max((len(f"{one.rows:,}") for one in delivery.reasons), default=1)
    for one in delivery.reasons[:_MOST_REASONS]:
        console.print(Text(clean(f"{one.rows:>{figures},}  {one.reason}", console)))
    rest = len(delivery.reasons) - _MOST_REASONS
    if rest > 0:
        console.print(f"{rest} more reasons in summary.json")
    if not delivery.is_done:
        given_up = "given up, since all failed: " if delivery.given_up else ""
        hint = f"{given_up}bulkcmp resume tries again; what failed said why in deliveries/"
        console.print(Text(hint, style="dim"))


def _first(texts: tuple[str, ...], most: int, where: str) -> list[str]:
    shown = list(texts[:most])
    if len(texts) > most:
        shown.append(f"{len(texts) - most} more {where}")
    return shown
