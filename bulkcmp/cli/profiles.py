"""`bulkcmp profiles`: the connection profiles that are shipped."""

from typing import Annotated

import typer

from bulkcmp.inputs.profile import purpose, shipped_profile, shipped_profiles

app = typer.Typer(help="Connection profiles: how to talk to one server.", no_args_is_help=True)


@app.command("list")
def list_profiles() -> None:
    """List the profiles that are shipped; --config takes their names."""
    shipped = shipped_profiles()
    width = max(map(len, shipped))
    for name, file in shipped.items():
        typer.echo(f"{name:{width}}  {purpose(file)}")


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of a shipped profile.")],
) -> None:
    """Print a shipped profile: what it sets, and what is to be given besides.

    As a beginning of your own: bulkcmp profiles show ejbca-ra-hmac > ca.toml
    """
    typer.echo(shipped_profile(name).read_text(encoding="utf-8"), nl=False)
