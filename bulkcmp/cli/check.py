"""`bulkcmp check`: every problem of a population, before anything is sent."""

import os
from pathlib import Path

import typer

from bulkcmp.cli import option
from bulkcmp.engine.options import Options
from bulkcmp.errors import EXIT_BAD_INPUT
from bulkcmp.inputs.population import Check, Population
from bulkcmp.inputs.settings import read_settings
from bulkcmp.outputs.text import visible


def check(
    population: option.PopulationFile,
    config: option.Config = None,
    cmd: option.Cmd = None,
    subject: option.Subject = None,
    sans: option.Sans = None,
    newkey: option.Newkey = None,
    ref: option.Ref = None,
    secret: option.SecretSource = None,
    cert: option.Cert = None,
    key: option.Key = None,
    keypass: option.Keypass = None,
) -> None:
    """Read a population as `enroll` would, and list every bad row: line, column, reason.

    What the command line gives `enroll` for all rows is given here in the same way; a credential
    that only `enroll` knows is not missed.
    """
    given = {
        "cmd": cmd, "subject": subject, "sans": sans, "newkey": newkey, "ref": ref,
        "secret": secret, "cert": cert, "key": key, "keypass": keypass,
    }  # fmt: skip
    settings = {} if config is None else read_settings(config, Options.known())
    options = Options.merge(settings, given)
    report = Check(Population(Path(population), options.defaults(os.environ), os.environ))
    for row in report:
        for problem in row.problems:
            hint = f" ({problem.hint})" if problem.hint else ""
            typer.echo(visible(f"{problem}{hint}"))
    typer.echo(f"{population}: {report.rows} rows, {report.bad} bad", err=True)
    if report.bad:
        raise typer.Exit(EXIT_BAD_INPUT)
