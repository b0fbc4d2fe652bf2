"""`bulkcmp check`: every problem of a population or of a scenario, before anything is sent."""

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from bulkcmp.cli import option
from bulkcmp.cli.enroll import enroll
from bulkcmp.engine.client import OF_A_ROW
from bulkcmp.engine.load.servers import server_options
from bulkcmp.engine.options import Options
from bulkcmp.engine.rehearsal import rehearse
from bulkcmp.errors import EXIT_BAD_INPUT, InputError, InputErrors
from bulkcmp.inputs.scenario import find_scenario, read_scenario
from bulkcmp.model import BadRow, EndEntity, Operation
from bulkcmp.outputs.text import visible

_OF_ENROLLMENTS: Final = (
    *OF_A_ROW, *option.OF_SOURCES, "pkcs11_module", "allow_weak", "keys",
    "out_format", "out_name", "out_pass", "out_pass_length",
)  # fmt: skip
"""What rows are judged by."""


@option.with_those_of(enroll, only=_OF_ENROLLMENTS)
def check(
    file: Annotated[
        str | None,
        typer.Argument(
            metavar="[FILE]",
            help=f"{option.SOURCES} Or the scenario of a load test: a TOML file, or the name of one"
            " that comes with bulkcmp.",
            show_default=False,
        ),
    ] = None,
    config: option.Config = None,
    range: option.Range = None,  # noqa: A002  # the option's name
    **given: Any,
) -> None:
    """Read a population as `enroll` would, and list every bad row: line, column, reason.

    What `enroll` is told of all rows is given here in the same way. Rows without a credential are
    not bad here: `enroll` may have it.

    A scenario is read as `load` would, and its population with it: of a generated one the first
    hundred rows. Exit codes: 0 all is good, 2 something is bad.

    Example: bulkcmp check devices.csv --subject "/CN={id}/O=Acme"
    """
    file = option.population(file, range)
    scenario = find_scenario(file)
    if scenario is None:
        _check_population(file, Options.read(config or (), given))
    else:
        _check_scenario(scenario, config or (), given)


def _check_population(file: str, options: Options) -> None:
    operations: set[Operation] = set()

    def problems(row: EndEntity | BadRow) -> tuple[InputError, ...]:
        if isinstance(row, BadRow):
            return row.problems
        operations.add(row.cmd)
        return ()

    _judge(file, map(problems, _without_credential(options).rows(file, os.environ)))
    options.refuse_unused(operations)


def _check_scenario(path: Path, configs: Iterable[str], given: dict[str, Any]) -> None:
    try:
        scenario = read_scenario(path, Options.known())
    except InputErrors as error:
        _list(error.problems)
        typer.echo(error.what, err=True)
        raise typer.Exit(EXIT_BAD_INPUT) from None
    servers = server_options(scenario, Options.read(configs, given, scenario.settings))
    lenient = {name: _without_credential(options) for name, options in servers.items()}
    _judge(str(path), rehearse(scenario, lenient, os.environ))


def _without_credential(options: Options) -> Options:
    if options.secret is None and options.cert is None:
        return replace(options, secret="pass:-")  # noqa: S106  # no secret
    return options


def _judge(file: str, rows: Iterable[tuple[InputError, ...]]) -> None:
    """List what is wrong with rows, and count them."""
    count = bad = 0
    for problems in rows:
        count += 1
        bad += bool(problems)
        _list(problems)
    typer.echo(f"{file}: {count:,} {'row' if count == 1 else 'rows'}, {bad:,} bad", err=True)
    if bad:
        raise typer.Exit(EXIT_BAD_INPUT)


def _list(problems: Iterable[InputError]) -> None:
    for problem in problems:
        hint = f" ({problem.hint})" if problem.hint else ""
        typer.echo(visible(f"{problem}{hint}"))
