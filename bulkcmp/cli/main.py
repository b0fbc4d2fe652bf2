"""The command `bulkcmp`: its sub-commands, and the one place where errors become exit codes."""

import os
import sys
import traceback
from collections.abc import Callable
from importlib.metadata import version
from inspect import cleandoc
from typing import Annotated, Any, Final, NoReturn

import typer
from rich.console import Console
from typer.core import TyperCommand, TyperGroup

from bulkcmp.cli import (
    ca,
    check,
    compare,
    dashboard,
    demo,
    enroll,
    import_,
    init,
    inspect,
    keys,
    load,
    migrate,
    outcomes,
    pause,
    probe,
    profiles,
    reconcile,
    renew,
    report,
    resume,
    revoke,
    scenarios,
)
from bulkcmp.cmp import owf
from bulkcmp.errors import BulkcmpError, InputErrors, Interrupted, Where
from bulkcmp.outputs.text import visible

_DEBUG: Final = "BULKCMP_DEBUG"


class _Commands(TyperGroup):
    def invoke(self, ctx: Any) -> Any:
        """Run the command; typer itself would end it on Ctrl-C without a word."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Interrupted from None


class _Command(TyperCommand):
    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help without the `--no-` forms: a column of them leaves no room for texts."""
        taken = [(one, one.secondary_opts) for one in self.params]
        for one in self.params:
            one.secondary_opts = []
        try:
            super().format_help(ctx, formatter)
        finally:
            for one, secondary_opts in taken:
                one.secondary_opts = secondary_opts


def _unwrapped(command: Callable[..., None]) -> str:
    """The docstring of a command, each paragraph on one line: the terminal's width wraps it."""
    paragraphs = cleandoc(command.__doc__ or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


app = typer.Typer(
    cls=_Commands,
    help="Enroll populations of end entities over CMP (RFC 9810, 9483), and test the CA that"
    " serves them.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _command in (enroll.enroll, resume.resume, pause.pause, check.check, probe.probe, demo.demo):
    app.command(cls=_Command, help=_unwrapped(_command), no_args_is_help=_command is not demo.demo)(
        _command
    )
app.command("import", help=_unwrapped(import_.import_), no_args_is_help=True)(import_.import_)
app.command(cls=_Command, help=_unwrapped(load.load), no_args_is_help=True)(load.load)
app.command(cls=_Command, help=_unwrapped(renew.renew), no_args_is_help=True)(renew.renew)
app.command(cls=_Command, help=_unwrapped(revoke.revoke), no_args_is_help=True)(revoke.revoke)
app.command(cls=_Command, help=_unwrapped(migrate.migrate), no_args_is_help=True)(migrate.migrate)
app.command(help=_unwrapped(init.init), no_args_is_help=True)(init.init)
app.command(help=_unwrapped(reconcile.reconcile), no_args_is_help=True)(reconcile.reconcile)
app.command("inspect", no_args_is_help=True)(inspect.inspect)
app.command(help=_unwrapped(report.report), no_args_is_help=True)(report.report)
app.command(help=_unwrapped(compare.compare), no_args_is_help=True)(compare.compare)
app.command(help=_unwrapped(dashboard.dashboard))(dashboard.dashboard)
app.command(help=_unwrapped(outcomes.outcomes))(outcomes.outcomes)
app.add_typer(keys.app, name="keys")
app.add_typer(profiles.app, name="profiles")
app.add_typer(ca.app, name="ca")
app.add_typer(scenarios.app, name="scenarios")


def _print_version(wanted: bool) -> None:
    if wanted:
        loop = "OpenSSL" if owf.is_native() else "a loop in Python, several times slower"
        typer.echo(
            f"bulkcmp {version('bulkcmp')} (Python {sys.version.split()[0]}, MACs by {loop})"
        )
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    pass


def main() -> NoReturn:
    """Run the command line; whatever ends it is told in plain words, with its exit code."""
    try:
        app()
    except BulkcmpError as error:
        _report(error)
        sys.exit(error.exit_code)
    except Exception as error:
        if os.environ.get(_DEBUG):
            raise
        _report(_unforeseen(error))
        sys.exit(BulkcmpError.exit_code)
    sys.exit()


def _unforeseen(error: Exception) -> BulkcmpError:
    """What is said of an exception that nobody translated: not its text, which may be anything."""
    if isinstance(error, OSError) and error.strerror:
        what = error.strerror
        return BulkcmpError(what, where=Where(str(error.filename)) if error.filename else None)
    place = traceback.extract_tb(error.__traceback__)[-1]
    return BulkcmpError(
        f"a bug in bulkcmp: {type(error).__name__}",
        where=Where(place.filename, place.lineno),
        hint=f"please report it; with {_DEBUG}=1 in the environment all of it is shown",
    )


def _report(error: BulkcmpError) -> None:
    console = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)
    if isinstance(error, InputErrors):
        console.print(f"error: {visible(error.what)}", style="red")
        for problem in error.problems:
            console.print(f"  {visible(str(problem))}")
            if problem.hint:
                console.print(f"    hint: {visible(problem.hint)}")
    elif isinstance(error, Interrupted):
        console.print(error.what)
    else:
        console.print(f"error: {visible(str(error))}", style="red")
    if error.hint:
        console.print(f"hint: {visible(error.hint)}")
