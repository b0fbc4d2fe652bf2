"""What a migration would do, and what it has done, as text."""

from collections.abc import Mapping
from typing import Any, Final

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from bulkcmp.outputs.migration import MigrationSummary, OldState, Standing
from bulkcmp.outputs.summary import EXIT_MEANINGS
from bulkcmp.ui.figures import clean, clean_text

_STYLES: Final = {
    Standing.MIGRATED: "green",
    Standing.ENROLLED: "green",
    Standing.NOT_REVOKED: "red",
    Standing.NOT_DELIVERED: "red",
    Standing.NOT_ENROLLED: "red",
    Standing.REJECTED: "yellow",
}


def render_plan(
    console: Console, users: int, rejected: int, revocations: int, cases: Mapping[str, Any]
) -> None:
    """Print what a migration would do.

    Args:
        users: all of them; rejected: those that would not be migrated.
        revocations: old certificates that would be revoked.
        cases: as of a `MigrationSummary`.
    """
    line = f"{users - rejected:,} of {users:,} users would be enrolled at the new CA"
    console.print(Text(line, style="bold"))
    console.print(f"{revocations:,} certificates would be revoked at the old one")
    console.print()
    _print_cases(console, cases, examples=True)


def render_migration(console: Console, summary: MigrationSummary) -> None:
    """Print how a migration stands after a session."""
    done = sum(count for standing, count in summary.users.items() if standing.is_done)
    headline = Text("interrupted: " if summary.interrupted else "", style="yellow")
    headline.append(f"{done:,} of {summary.population.rows:,} users migrated", style="bold")
    console.print(headline.append(f" ({clean(summary.population.file, console)})"))
    console.print()
    width = len(f"{summary.population.rows:,}")
    for standing in Standing:
        if count := summary.users.get(standing, 0):
            line = Text(f"{count:>{width},}  ")
            console.print(line.append(standing.value, style=_STYLES[standing]))
    old = [f"{summary.old[state]:,} {state.value}" for state in OldState if summary.old.get(state)]
    if old:
        console.print(f"old certificates: {', '.join(old)}")
    console.print()
    _print_cases(console, summary.cases, examples=False)
    console.print()
    for note in summary.notes:
        console.print(Text("note: ", style="yellow").append(clean(note, console)))
    for name, file in (("rollback", "rollback.csv"), ("not migrated", "rejected.csv")):
        # a path that wraps can't be copied
        text = clean_text(f"{name:<14}{summary.folder}/{file}", console)
        console.print(text, soft_wrap=True)
    meaning = EXIT_MEANINGS.get(summary.exit_code, "error")
    style = "green" if summary.exit_code == 0 else "red"
    console.print(Text(f"{'exit code':<14}{summary.exit_code}: {meaning}", style=style))


def _print_cases(console: Console, cases: Mapping[str, Any], *, examples: bool) -> None:
    width = max((len(f"{one['users']:,}") for one in cases.values()), default=1)
    for name, one in cases.items():
        console.print(f"{one['users']:>{width},}  {name}: {one['rule']}")
        for example in one["examples"] if examples else ():
            text = Text(clean(example, console), style="dim")
            console.print(Padding(text, (0, 0, 0, width + 2), expand=False))
