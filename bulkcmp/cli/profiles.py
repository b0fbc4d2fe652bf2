"""`bulkcmp profiles`: the connection profiles that are shipped, and those of `openssl cmp`."""

import shlex
import sys
from collections.abc import Iterator
from typing import Annotated

import typer

from bulkcmp.cli import completion
from bulkcmp.inputs.openssl import Translation, translate
from bulkcmp.inputs.profile import purpose, shipped_profile, shipped_profiles
from bulkcmp.inputs.settings import format_settings, option_words
from bulkcmp.outputs.text import visible

app = typer.Typer(help="Connection profiles: how to talk to one server.", no_args_is_help=True)


@app.command("list")
def list_profiles() -> None:
    """List the profiles that are shipped; --config takes their names.

    Example: bulkcmp profiles list
    """
    shipped = shipped_profiles()
    width = max(map(len, shipped))
    for name, file in shipped.items():
        typer.echo(f"{name:{width}}  {purpose(file)}")


@app.command()
def show(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="Of a shipped profile.", autocompletion=completion.profiles
        ),
    ],
) -> None:
    """Print a shipped profile: what it sets, and what is to be given besides.

    Example: bulkcmp profiles show ejbca-ra-hmac > ca.toml
    """
    typer.echo(shipped_profile(name).read_text(encoding="utf-8"), nl=False)


@app.command()
def from_openssl(
    command: Annotated[
        str,
        typer.Argument(
            metavar="COMMAND",
            help="A command line of openssl cmp, as one text; - reads it from standard input.",
        ),
    ],
) -> None:
    """Translate a command line of openssl cmp, of today or of old, to a connection profile.

    What is printed is a TOML file for --config. Its comments hold the same as a command line of
    bulkcmp, what is still to be done, and each option that is not carried over, with the reason.

    Example: bulkcmp profiles from-openssl "openssl cmp -cmd ir ..." > ca.toml
    """
    text = sys.stdin.read() if command == "-" else command
    translation = translate(text)
    for line in _comments(translation):
        typer.echo(f"# {visible(line)}".rstrip())
    typer.echo(f"\n{format_settings(translation.settings)}", nl=False)


def _comments(translation: Translation) -> Iterator[str]:
    words = option_words(translation.settings | translation.outputs)
    yield "One transaction, as openssl cmp does it:"
    yield f"  {shlex.join(['bulkcmp', 'probe', *words])}"
    yield "A population, where this file is FILE.toml (relative paths are then as from its folder):"
    yield "  bulkcmp enroll POPULATION --config FILE.toml --key-pass SOURCE"
    yield "The population's columns win over what stands here, and {id} fills in, as in /CN={id}."
    lost = [f"-{name}: {why}" for name, why in translation.lost.items()]
    needless = [f"-{name}: {why}" for name, why in translation.needless.items()]
    for title, lines in (
        ("To do, or to know:", translation.notes),
        ("Not carried over:", lost),
        ("Not needed:", needless),
    ):
        if lines:
            yield ""
            yield title
            yield from (f"  {line}" for line in lines)
