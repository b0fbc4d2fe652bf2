"""How a run is shown while it goes on, and what is printed of it in the end."""

from collections.abc import Awaitable, Callable
from functools import partial

import typer
from rich.console import Console

from bulkcmp.engine.plan import Plan
from bulkcmp.engine.session import session
from bulkcmp.io.loop import run
from bulkcmp.journal.journal import Journal
from bulkcmp.outputs.summary import RunSummary, summary_json
from bulkcmp.ui.live import make_view
from bulkcmp.ui.summary import render_summary


def run_and_show(
    command: str, plan: Plan, journal: Journal, *, resumed: bool, quiet: bool, json: bool
) -> int:
    """Run a session with its live view, print the summary, and return the exit code."""
    errors = Console(stderr=True, highlight=False)
    with make_view(errors, quiet=quiet, json=json) as view:

        def on_stop(what: str) -> None:
            errors.print(what, markup=False)

        work: Callable[[], Awaitable[RunSummary]] = partial(
            session,
            command,
            plan,
            journal,
            resumed=resumed,
            on_snapshot=view.update,
            on_stop=on_stop,
        )
        summary = run(work)
    if json:
        typer.echo(summary_json(summary), nl=False)
    elif not quiet:
        render_summary(Console(highlight=False), summary)
    return summary.exit_code
