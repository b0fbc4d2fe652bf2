"""`bulkcmp demo`: the main job in one command, against an embedded CA."""

import datetime as dt
import os
import secrets
from pathlib import Path
from shlex import join
from typing import Annotated
from urllib.parse import urlsplit

import typer

from bulkcmp.cli import option
from bulkcmp.cli.log import logged
from bulkcmp.cli.show import run_and_show
from bulkcmp.engine.options import Options
from bulkcmp.engine.start import begin, refuse_used
from bulkcmp.errors import EXIT_INTERRUPTED
from bulkcmp.inputs.scenario import shipped
from bulkcmp.testca import demonstration

POPULATION = "devices.csv"


@logged
def demo(
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder for the output and the CA. Default: a new one in runs/.",
        ),
    ] = None,
    quiet: option.Quiet = False,
    json: option.Json = False,
) -> None:
    """Start the embedded CA, enroll 1,000 devices, and print the summary.

    Example: bulkcmp demo --out runs/demo
    """
    folder = out or Path("runs") / f"demo-{dt.datetime.now():%Y%m%d-%H%M%S}"  # noqa: DTZ005  # a name for its user
    refuse_used(folder)
    population = str(shipped(POPULATION))
    passphrase = secrets.token_urlsafe(12)
    with demonstration.serving(folder / "ca") as ca:
        options = Options(
            server=ca.url,
            ref="demo",
            secret=f"pass:{ca.secret}",
            trusted=(str(ca.trust_anchor),),
            key_pass=f"pass:{passphrase}",
        )
        if not quiet:
            typer.echo(f"embedded CA at {ca.url}", err=True)
        typer.echo(f"passphrase of the private keys: {passphrase}", err=True)
        plan, journal = begin(population, options, folder, os.environ)
        with journal:
            code = run_and_show("demo", plan, journal, resumed=False, quiet=quiet, json=json)
    if code == EXIT_INTERRUPTED:
        port = urlsplit(ca.url).port
        serve = ["bulkcmp", "ca", "serve", "--state", str(folder / "ca"), "--port", str(port)]
        resume = ["bulkcmp", "resume", str(folder), "--secret", f"pass:{ca.secret}"]
        resume += ["--key-pass", f"pass:{passphrase}"]
        typer.echo(f"the embedded CA is gone; to go on: {join(serve)} & {join(resume)}", err=True)
    raise typer.Exit(code)
