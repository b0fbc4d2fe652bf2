"""The command `bulkcmp`: its sub-commands, and the one place where errors become exit codes."""

import os
import sys
from importlib.metadata import version
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from bulkcmp.cli import ca, check, demo, enroll, keys, resume
from bulkcmp.errors import EXIT_INTERRUPTED, BulkcmpError, InputErrors
from bulkcmp.outputs.text import visible

app = typer.Typer(
    help="Enroll populations of end entities over CMP (RFC 9810, 9483), and test the CA that"
    " serves them.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("enroll", no_args_is_help=True)(enroll.enroll)
app.command("resume", no_args_is_help=True)(resume.resume)
app.command("check", no_args_is_help=True)(check.check)
app.command("demo")(demo.demo)
app.add_typer(keys.app, name="keys")
app.add_typer(ca.app, name="ca")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"bulkcmp {version('bulkcmp')} (Python {sys.version.split()[0]})")
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
    """Run the command line; errors of ours end it with their exit code, in plain words."""
    try:
        app()
    except BulkcmpError as error:
        _report(error)
        code = error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        code = EXIT_INTERRUPTED
    except BrokenPipeError:
        # whoever read our output has left; nothing more can be said to them
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = EXIT_INTERRUPTED
    sys.exit(code)


def _report(error: BulkcmpError) -> None:
    console = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)
    if isinstance(error, InputErrors):
        console.print(f"error: {visible(error.what)}", style="red")
        for problem in error.problems:
            console.print(f"  {visible(str(problem))}")
            if problem.hint:
                console.print(f"    hint: {visible(problem.hint)}")
    else:
        console.print(f"error: {visible(str(error))}", style="red")
    if error.hint:
        console.print(f"hint: {visible(error.hint)}")
