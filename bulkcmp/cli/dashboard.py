"""`bulkcmp dashboard`: what a load test shows in Grafana while it goes on."""

from importlib.resources import files

import typer


def dashboard() -> None:
    """Print a Grafana dashboard (10 or later) of load tests that go on, to be imported there.

    Its data are what Prometheus scrapes from bulkcmp load --prometheus, or gets by --otlp.

    Example: bulkcmp dashboard > bulkcmp.json
    """
    typer.echo(files("bulkcmp.outputs").joinpath("grafana.json").read_text("utf-8"), nl=False)
