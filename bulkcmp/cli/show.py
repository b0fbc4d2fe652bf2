"""How a run is shown while it goes on, and what is printed of it in the end."""

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import partial

import typer
from rich.console import Console

from bulkcmp.cli.stdout import PipedConsole, printing
from bulkcmp.engine.campaign import Machines
from bulkcmp.engine.options import INSECURE
from bulkcmp.engine.plan import Plan
from bulkcmp.engine.session import session
from bulkcmp.errors import EXIT_OK, Interrupted
from bulkcmp.io.loop import run
from bulkcmp.journal.journal import Journal
from bulkcmp.outputs.log import settle
from bulkcmp.outputs.summary import RunSummary, summary_json
from bulkcmp.outputs.text import visible
from bulkcmp.ui.live import make_view
from bulkcmp.ui.summary import render_summary


def run_and_show(
    command: str,
    plan: Plan,
    journal: Journal,
    *,
    resumed: bool,
    quiet: bool,
    json: bool,
    machines: Machines | None = None,
) -> int:
    """Run a session with its live view, print the summary, and return the exit code.

    Args:
        machines: that do the work; None for this one.

    Raises:
        Interrupted: by a signal that came too early or too late for a summary.
        BulkcmpError: something of this machine failed.
    """
    try:
        summary = show_run(
            command, plan, journal, resumed=resumed, quiet=quiet, json=json, machines=machines
        )
    except KeyboardInterrupt:
        raise Interrupted(hint=f"bulkcmp resume {journal.folder} goes on") from None
    print_summary(summary, quiet=quiet, json=json)
    return summary.exit_code


def show_run(
    command: str,
    plan: Plan,
    journal: Journal,
    *,
    resumed: bool,
    quiet: bool,
    json: bool,
    machines: Machines | None = None,
) -> RunSummary:
    """Run a session with its live view.

    Args:
        machines: that do the work; None for this one.

    Raises:
        KeyboardInterrupt: by a signal that came too early or too late for a summary.
        BulkcmpError: something of this machine failed.
    """
    errors = Errors()
    warn(errors, plan.notes)

    def notice(what: str) -> None:
        if not quiet:
            errors.survive(lambda: errors.print(what, markup=False))

    view = make_view(errors, quiet=quiet, json=json)
    work = partial(
        session,
        command,
        plan,
        journal,
        resumed=resumed,
        on_snapshot=lambda snapshot: errors.survive(lambda: view.update(snapshot)),
        on_notice=notice,
        machines=machines,
    )
    with ExitStack() as stack:
        errors.survive(view.__enter__)
        stack.callback(errors.survive, lambda: view.__exit__(None, None, None))
        # above the view, not below the summary
        stack.callback(settle)
        return run(work)


class Errors(PipedConsole):
    """Standard error, whose loss must not end a run: a closed pager, a terminal that is gone."""

    def __init__(self) -> None:
        super().__init__(stderr=True, highlight=False)
        self._lost = False

    def survive(self, show: Callable[[], object]) -> None:
        """Call `show`, or nothing once standard error is lost."""
        if self._lost:
            return
        try:
            show()
        except OSError:
            self._lost = True

    def say(self, line: str) -> None:
        """Print a line, whatever is in it, if that is possible."""
        self.survive(lambda: self.print(visible(line), markup=False, soft_wrap=True))


def warn(errors: Errors, notes: Iterable[str]) -> None:
    """Say of a command's notes what must not be overlooked, also where it is quiet."""
    if INSECURE in notes:
        errors.say(f"warning: {INSECURE}")


def print_summary(summary: RunSummary, *, quiet: bool, json: bool) -> None:
    """Print what a session came to; of a quiet one only that it failed."""
    with printing("the summary", f"it stands in {summary.run_folder}/summary.json"):
        if json:
            typer.echo(summary_json(summary), nl=False)
        elif not quiet:
            render_summary(PipedConsole(highlight=False), summary)
    if quiet and summary.exit_code != EXIT_OK:
        errors = Errors()
        errors.survive(lambda: _print_failure(errors, summary))


def _print_failure(console: Console, summary: RunSummary) -> None:
    lines = [
        f"{summary.done:,} of {summary.population.rows:,} rows done, see {summary.results_file}",
        *summary.notes,
    ]
    for line in lines:
        console.print(visible(line), markup=False, soft_wrap=True)
