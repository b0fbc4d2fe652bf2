"""`bulkcmp scenarios`: the load tests that come with bulkcmp, and the schema of such files."""

import json
from typing import Annotated

import typer

from bulkcmp.cli import completion
from bulkcmp.engine.options import Options
from bulkcmp.errors import InputError
from bulkcmp.inputs.scenario import read_scenario, scenario_schema, shipped_scenarios
from bulkcmp.inputs.spelling import nearest

app = typer.Typer(help="Scenarios of load tests that come with bulkcmp.", no_args_is_help=True)


@app.command("list")
def list_() -> None:
    """Name each scenario, and say what it is for.

    Example: bulkcmp scenarios list
    """
    scenarios = shipped_scenarios()
    width = max(map(len, scenarios))
    for name, path in scenarios.items():
        typer.echo(f"{name:{width}}  {read_scenario(path, Options.known()).description}")


@app.command(no_args_is_help=True)
def show(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="As `list` has it.",
            autocompletion=completion.scenarios,
            show_default=False,
        ),
    ],
) -> None:
    """Print a scenario, to be written to a file and changed.

    Example: bulkcmp scenarios show smoke > mine.toml
    """
    scenarios = shipped_scenarios()
    if name not in scenarios:
        raise InputError(f"no scenario {name!r}", hint=nearest(name, scenarios))
    typer.echo(scenarios[name].read_text(encoding="utf-8"), nl=False)


@app.command()
def schema() -> None:
    """Print the JSON Schema of a scenario, by which editors complete and check one.

    Example: bulkcmp scenarios schema > scenario.schema.json
    """
    typer.echo(json.dumps(scenario_schema(Options.known()), indent=2))
