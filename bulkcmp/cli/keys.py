"""`bulkcmp keys`: make private keys ahead of a run, and look at what a key file holds."""

import os
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from bulkcmp.engine.keygen import generate_keys
from bulkcmp.errors import EXIT_INTERRUPTED, InputError
from bulkcmp.inputs.secret import read_secret
from bulkcmp.io.loop import run
from bulkcmp.journal.keyfile import KeyFile, take_inventory
from bulkcmp.model import KEY_SPECS, KeySpec, Secret
from bulkcmp.ui.progress import show_progress

app = typer.Typer(help="Make private keys ahead of a run.", no_args_is_help=True)


@app.command()
def generate(
    count: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="N",
            help="Keys of this type that the file shall hold in the end, those included that it"
            " holds already: the same command again goes on where an interrupted one stopped.",
        ),
    ],
    newkey: Annotated[str, typer.Option(metavar="SPEC", help=f"Key type: {KEY_SPECS}.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The key file to make or to fill up.")],
    key_pass: Annotated[
        str | None,
        typer.Option(
            metavar="SOURCE",
            help="Passphrase that encrypts the keys: pass:TEXT, env:NAME or file:PATH.",
        ),
    ] = None,
    plain_keys: Annotated[
        bool, typer.Option("--plain-keys", help="Store the keys unencrypted.")
    ] = False,
    processes: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Processes that make keys; one for each core by default."
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print errors only.")] = False,
) -> None:
    """Make private keys and store them, encrypted, for a later `enroll --keys FILE`.

    Example: bulkcmp keys generate --count 1000 --newkey ec:P-256 --out keys.db
    --key-pass env:KEY_PASS
    """
    spec = KeySpec.parse(newkey)
    passphrase = _passphrase(key_pass, plain=plain_keys)
    with (
        KeyFile.open_or_create(out, passphrase) as key_file,
        show_progress(
            "making keys", "keys", count, key_file.count(spec).total, quiet=quiet
        ) as on_stored,
    ):
        done = run(
            partial(generate_keys, key_file, spec, count, processes=processes, on_stored=on_stored)
        )
    if not quiet or done.interrupted:
        state = "interrupted: " if done.interrupted else ""
        typer.echo(f"{state}{done.total} {spec} keys in {out}, {done.made} of them made now")
    if done.interrupted:
        raise typer.Exit(EXIT_INTERRUPTED)


@app.command()
def show(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A key file.", show_default=False)],
) -> None:
    """Tell how many keys of which type a key file holds; needs no passphrase.

    Example: bulkcmp keys show keys.db
    """
    inventory = take_inventory(file)
    typer.echo(f"{file}: keys are {'not encrypted' if inventory.plain else 'encrypted'}")
    for spec, stock in inventory.stocks.items():
        typer.echo(f"{spec}: {stock.free} free, {stock.taken} taken")
    if not inventory.stocks:
        typer.echo("no keys")


def _passphrase(source: str | None, *, plain: bool) -> Secret | None:
    if plain and source is not None:
        raise InputError(
            "--key-pass and --plain-keys exclude each other",
            hint="give --key-pass to store the keys encrypted, --plain-keys to store them as"
            " they are",
        )
    if plain:
        return None
    if source is None:
        raise InputError(
            "how shall the private keys be stored?",
            hint="give --key-pass SOURCE to store them encrypted, or --plain-keys to store them"
            " unencrypted",
        )
    return read_secret(source, os.environ)
