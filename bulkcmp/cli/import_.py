"""`bulkcmp import`: what a site has, as a population."""

import json
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from bulkcmp.cli import option
from bulkcmp.cli.stdout import printing
from bulkcmp.engine.intake import Intake, population_of
from bulkcmp.engine.options import Options
from bulkcmp.errors import EXIT_OK, EXIT_SOME_FAILED, InputError
from bulkcmp.inputs.mapping import MappedSource
from bulkcmp.inputs.range import RANGE
from bulkcmp.inputs.recognition import open_source
from bulkcmp.inputs.rules import rules_schema
from bulkcmp.inputs.several import SeveralSources
from bulkcmp.inputs.source import Source
from bulkcmp.model import BadRow
from bulkcmp.outputs.population import write_population, write_rows
from bulkcmp.outputs.rejected import rejecting
from bulkcmp.ui.intake import first_rows, plain_console, problems

_STDOUT: Final = "-"
_REJECTED: Final = ".rejected.csv"
"""Ends the name of what an import rejected: two imports into one folder keep apart."""
_PANEL: Final = "Output"


def import_(
    sources: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SOURCE]...", help=option.SOURCES, show_default=False),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--out",
            metavar="FILE",
            help="The CSV file; - is standard output.",
            rich_help_panel=_PANEL,
        ),
    ] = None,
    range: option.Range = None,  # noqa: A002  # the option's name
    config: option.Config = None,
    map: option.Map = None,  # noqa: A002  # the option's name
    source_format: option.SourceFormat = None,
    encoding: option.Encoding = None,
    sheet: option.Sheet = None,
    source_pass: option.SourcePass = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Show the first rows and all problems, grouped by kind, and write nothing.",
            rich_help_panel=_PANEL,
        ),
    ] = False,
    schema: Annotated[
        bool,
        typer.Option(
            "--schema",
            help="Print the JSON Schema of mapping rules, for editors, and do no more.",
            rich_help_panel=_PANEL,
        ),
    ] = False,
    rejected: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Where rows that can't be used go, with the reasons. Default: beside the CSV file,"
            f" population{_REJECTED} beside population.csv.",
            rich_help_panel=_PANEL,
            show_default=False,
        ),
    ] = None,
) -> None:
    """Make a population of what a site has: a CSV file that enroll and check take.

    Files are written whole, for their owner alone. Secrets that rows name are not looked up. Exit
    codes: 0 all rows can be used, 1 some were rejected, 2 bad input or usage.

    Example: bulkcmp import users.ldif --map rules.toml -o population.csv
    """
    given = {name: value for name, value in locals().items() if name in Options.known()}
    if schema:
        with printing("the schema", "leave --schema away"):
            typer.echo(json.dumps(rules_schema(), indent=2))
        return
    names = [*(sources or ()), *([] if range is None else [f"{RANGE}{range}"])]
    if not names:
        raise InputError("no source: what shall be imported?", hint="name a file, or give --range")
    if out is None and not dry_run:
        raise InputError("where shall the rows go?", hint="give -o FILE, or --dry-run")
    reading = Options.read(config or (), given).reading
    opened = [open_source(name, reading) for name in names]
    source: Source = opened[0] if len(opened) == 1 else SeveralSources(opened)
    population = population_of(source, os.environ)
    console = plain_console()
    intake = Intake()
    if dry_run:
        deque(intake.rows(population, None, lambda _: None), maxlen=0)
        with printing("the rows", "leave --dry-run away"):
            Console(highlight=False).print(first_rows(intake, population.columns))
    else:
        assert out is not None
        folder = None if out == _STDOUT else Path(out).parent
        if rejected is None and folder is not None:
            rejected = folder / f"{Path(out).stem}{_REJECTED}"
        outputs = [Path(one) for one in (out, rejected) if one and one != _STDOUT]
        _refuse_own_sources([*names, *filter(None, [map])], outputs)
        if len({one.resolve() for one in outputs}) < len(outputs):
            raise InputError(
                f"{out} would be the population, and what is rejected too",
                hint="name another -o, or another --rejected",
            )
        with _rejecting(rejected) as reject:
            _write(out, population.columns, intake.rows(population, folder, reject))
    console.print(problems(intake))
    left_out = sum(one.left_out for one in opened if isinstance(one, MappedSource))
    console.print(_summary(source.name, intake, left_out, None if dry_run else rejected))
    raise typer.Exit(EXIT_SOME_FAILED if intake.rejected else EXIT_OK)


def _refuse_own_sources(sources: list[str], outputs: list[Path]) -> None:
    """Make sure that nothing is written over what is read.

    Raises:
        InputError: it would be.
    """
    for source in sources:
        for output in outputs:
            if Path(source).exists() and output.exists() and output.samefile(source):
                raise InputError(f"{output} is a source: it would be lost", hint="name another -o")


def _rejecting(path: Path | None) -> AbstractContextManager[Callable[[BadRow], None]]:
    return nullcontext(lambda _: None) if path is None else rejecting(path)


def _write(out: str, columns: Sequence[str], rows: Iterable[Mapping[str, str]]) -> None:
    if out != _STDOUT:
        write_population(Path(out), columns, rows)
        return
    with printing("the population", "-o writes it to a file"):
        write_rows(sys.stdout.buffer, columns, rows)


def _summary(name: str, intake: Intake, left_out: int, rejected: Path | None) -> str:
    rows = "1 row" if intake.taken == 1 else f"{intake.taken:,} rows"
    where = f" (see {rejected})" if rejected is not None and intake.rejected else ""
    filtered = f", {left_out:,} left out by the rules" if left_out else ""
    return f"{name}: {rows}, {intake.rejected:,} rejected{where}{filtered}"
