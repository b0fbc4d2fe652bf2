"""The command `bulkcmp`: its sub-commands, and the one place where errors become exit codes."""

import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from inspect import cleandoc
from json import dumps
from keyword import iskeyword
from typing import Annotated, Any, Final, NoReturn

import typer
from rich.console import Console
from typer.core import TyperCommand, TyperGroup

from bulkcmp.cli.stdout import leave
from bulkcmp.errors import BulkcmpError, InputError, InputErrors, Interrupted, Where
from bulkcmp.outputs.text import visible

_DEBUG: Final = "BULKCMP_DEBUG"

_NAMES: Final = (
    "enroll", "resume", "pause", "check", "probe", "demo", "import", "load", "renew", "revoke",
    "migrate", "init", "reconcile", "inspect", "report", "compare", "dashboard", "outcomes", "keys",
    "profiles", "ca", "scenarios",
)  # fmt: skip
"""Of the commands, each in a module of its name."""

_MARKUP: Final = "rich"

_HARMLESS: Final = ("dashboard", "demo", "outcomes")
"""Commands that do their work without arguments; the others show their help."""


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


class _Modules(Mapping[str, Any]):
    """The commands: a module is imported when its command is first asked for, since all together
    take longer than a short command."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in _NAMES:
            raise KeyError(name)
        if name not in self._made:
            self._made[name] = _command(name)
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(_NAMES)

    def __len__(self) -> int:
        return len(_NAMES)


class _Program(_Commands):
    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings | {"commands": _Modules()})

    def list_commands(self, ctx: Any) -> list[str]:
        """Give the names in their order."""
        return list(self.commands)


def _command(name: str) -> Any:
    module_name = f"{name}_" if iskeyword(name) else name
    module = import_module(f"bulkcmp.cli.{module_name}")
    group = typer.Typer(add_completion=False, rich_markup_mode=_MARKUP)
    if hasattr(module, "app"):
        group.add_typer(module.app, name=name)
    else:
        function = getattr(module, module_name)
        group.command(
            name, cls=_Command, help=_unwrapped(function), no_args_is_help=name not in _HARMLESS
        )(function)
    return typer.main.get_group(group).commands[name]


app = typer.Typer(
    cls=_Program,
    help="Enroll populations of end entities over CMP (RFC 9810, 9483), and test the CA that"
    " serves them.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=_MARKUP,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def _options(
    ctx: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version, and of what it is made.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Of --version: print it as JSON.")] = False,
) -> None:
    if version:
        _print_version(json=json)
        raise typer.Exit
    if json:
        raise InputError(
            "--json before a command goes with --version", hint="say it behind the command"
        )
    if ctx.invoked_subcommand is None:
        ctx.fail("Missing command.")


def _print_version(*, json: bool) -> None:
    # not needed for anything else
    from bulkcmp.cli import build

    for line in [dumps(build.facts(), indent=2)] if json else build.lines():
        typer.echo(line)


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
    finally:
        leave()
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
