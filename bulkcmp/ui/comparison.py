"""The comparison of two load tests as text for a terminal, and as Markdown for a pull request."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Final

from rich.console import Console
from rich.text import Text

from bulkcmp.errors import EXIT_BOTTLENECK, EXIT_OK, EXIT_THRESHOLD
from bulkcmp.stats.comparison import CONFIDENCE, Change, Estimate, Gate
from bulkcmp.stats.record import Run
from bulkcmp.stats.report import Report
from bulkcmp.ui.figures import clean, duration
from bulkcmp.ui.report import Section, escaped, headlines, markdown_table, percent, table

_SET_UP: Final = tuple(
    one.name
    for one in fields(Run)
    if one.name not in ("began_at", "description", "seed", "thresholds", "tool_version")
)

_VERDICTS: Final = {
    EXIT_OK: "no unwanted change",
    EXIT_THRESHOLD: "an unwanted change",
    EXIT_BOTTLENECK: "no verdict: the load generator was the bottleneck of a run",
}

NOTE: Final = (
    f"with {CONFIDENCE:.0%} confidence the change lies within its bounds; where these hold no"
    " change at all, it may be chance"
)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two load tests side by side.

    Attributes:
        before, after: their reports.
        changes: of all figures.
        gates: the unwanted changes that were looked for, and the figure of each.
    """

    before: Report
    after: Report
    changes: tuple[Change, ...]
    gates: tuple[tuple[Gate, Change], ...] = ()

    @property
    def exit_code(self) -> int:
        """What a command ends with that was asked for unwanted changes.

        As in a load test, what the generator itself held down proves nothing: neither a change nor
        that there is none.
        """
        if not self.gates:
            return EXIT_OK
        if self.before.limits or self.after.limits:
            return EXIT_BOTTLENECK
        has_failed = any(gate.fails(change) for gate, change in self.gates)
        return EXIT_THRESHOLD if has_failed else EXIT_OK

    @property
    def verdict(self) -> str:
        """In words; empty where nothing was said to be unwanted."""
        return _VERDICTS[self.exit_code] if self.gates else ""


def cautions(comparison: Comparison) -> Iterator[str]:
    """What makes the runs hard to compare, a line each; texts of files are in it."""
    for name, report in (("before", comparison.before), ("after", comparison.after)):
        for line in headlines(report):
            yield f"{name}: {line}"
    first, second = comparison.before.runs[0], comparison.after.runs[0]
    for field in _SET_UP:
        there, here = getattr(first, field), getattr(second, field)
        if field == "notes":
            yield from _notes(there, here)
        elif isinstance(there, tuple):
            there, here = dict(there), dict(here)
            for key in sorted(there.keys() | here.keys()):
                if there.get(key) != here.get(key):
                    yield f"{key} differs: {there.get(key, '-')}; {here.get(key, '-')}"
        elif there != here:
            yield f"{field.replace('_', ' ')} differs: {there}; {here}"
    unknown = [
        one.what for one in comparison.changes if one.change is not None and not one.is_known
    ]
    if unknown:
        yield f"too little was measured to tell a change from chance: {', '.join(unknown)}"


def _notes(before: Sequence[str], after: Sequence[str]) -> Iterator[str]:
    for name, notes, others in (("before", before, after), ("after", after, before)):
        for note in notes:
            if note not in others:
                yield f"only {name}: {note}"


def sections(comparison: Comparison) -> Iterator[Section]:
    """The tables."""
    rows: tuple[tuple[str, ...], ...] = tuple(
        (
            change.what,
            _value(change.what, change.before),
            _value(change.what, change.after),
            _change(change.what, change.change),
            _bounds(change),
            _judgement(change),
        )
        for change in comparison.changes
        if change.before.value is not None or change.after.value is not None
    )
    yield Section("figure", ("before", "after", "change", "bounds", ""), rows)
    if comparison.gates:
        rows = tuple(
            (gate.text, _change(change.what, change.change),
             "CROSSED" if gate.fails(change) else "held")
            for gate, change in comparison.gates
        )  # fmt: skip
        yield Section("not wanted", ("change", "verdict"), rows)


def render_comparison(console: Console, comparison: Comparison) -> None:
    """Print it on `console`."""
    for line in cautions(comparison):
        console.print(Text(clean(line, console), style="yellow"))
    for section in sections(comparison):
        console.print(table(console, section))
        console.print()
    console.print(Text(NOTE, style="dim"))
    if comparison.verdict:
        told = f"exit code {comparison.exit_code}: {comparison.verdict}"
        style = "green" if comparison.exit_code == EXIT_OK else "red"
        console.print(Text(clean(told, console), style=style))


def comparison_markdown(comparison: Comparison) -> str:
    """The same as GitHub's Markdown."""
    names = [escaped(report.runs[0].scenario) for report in (comparison.before, comparison.after)]
    title = names[0] if names[0] == names[1] else " and ".join(names)
    lines = [f"## Load tests compared: {title}", ""]
    for line in cautions(comparison):
        lines += [f"**{escaped(line)}**", ""]
    for section in sections(comparison):
        lines += [*markdown_table(section), ""]
    if comparison.verdict:
        lines += [f"exit code {comparison.exit_code}: {comparison.verdict}", ""]
    return "\n".join([*lines, NOTE, ""])


def _value(what: str, estimate: Estimate) -> str:
    if estimate.value is None:
        return "-"
    if what.startswith("share"):
        return percent(estimate.value)
    if what.startswith("rate"):
        return f"{estimate.value:,.1f}/s"
    return duration(estimate.value)


def _change(what: str, change: float | None) -> str:
    if change is None:
        return "-"
    # of a share, points of a percent
    return f"{100 * change:+.2f}" if what.startswith("share") else f"{100 * change:+.1f} %"


def _bounds(change: Change) -> str:
    bounds: Sequence[float | None] = (change.low, change.high)
    return "-" if not change.is_known else " to ".join(_change(change.what, one) for one in bounds)


def _judgement(change: Change) -> str:
    if not change.is_known:
        return "not known"
    return "changed" if change.is_real else "may be chance"
