"""`bulkcmp pause`: have a run begin nothing more, and have it go on."""

from typing import Annotated

import typer

from bulkcmp.cli import option
from bulkcmp.engine.migration.migration import runs_in
from bulkcmp.engine.pause import Pause


def pause(
    run: option.RunFolder,
    goes_on: Annotated[
        bool, typer.Option("--continue", help="Have it go on, instead.", show_default=False)
    ] = False,
) -> None:
    """Pause a run, or a migration: what is under way ends, and nothing more begins until it is to
    go on.

    The run may be at work in another terminal, or not at all: then it is paused when it is resumed.
    SIGUSR1 and SIGUSR2 to the run do the same.

    Example: bulkcmp pause runs/17; bulkcmp pause runs/17 --continue
    """
    marks = [Pause(one) for one in runs_in(run)]
    if goes_on:
        for mark in marks:
            mark.end()
        typer.echo(f"{run} goes on")
    else:
        for mark in marks:
            mark.begin()
        typer.echo(f"{run} is paused; bulkcmp pause {run} --continue has it go on")
