"""`bulkcmp outcomes`: what an outcome or a reason means, and what to do about it."""

import json
from typing import Annotated

import typer

from bulkcmp.cmp.explanation import Entry, entries
from bulkcmp.errors import InputError


def outcomes(
    text: Annotated[
        str,
        typer.Argument(
            metavar="TEXT",
            help="Show only what this text stands in: a word of results.csv, or of the CA's.",
            show_default=False,
        ),
    ] = "",
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Print one JSON array instead, with an object for each entry: kind, word,"
            " outcomes, meaning, hint.",
        ),
    ] = False,
) -> None:
    """Explain outcomes: of a row, by PKIStatus, failInfo, the CA's text, check and transport.

    Example: bulkcmp outcomes badPOP
    """
    found = [entry for entry in entries() if entry.has(text)]
    if not found:
        raise InputError(
            f"no outcome has {text!r} in it", hint="bulkcmp outcomes, without a text, shows all"
        )
    if as_json:
        shown = [
            {
                "kind": one.kind,
                "word": one.word,
                "outcomes": list(dict.fromkeys(one.leads_to)),
                "meaning": one.meaning,
                "hint": one.hint,
            }
            for one in found
        ]
        typer.echo(json.dumps(shown, indent=2))
        return
    for number, entry in enumerate(found):
        if number:
            typer.echo()
        _print(entry)


def _print(entry: Entry) -> None:
    typer.secho(f"{entry.word} ({entry.kind})", bold=True)
    if entry.leads_to:
        typer.echo(f"  outcome: {'; '.join(dict.fromkeys(entry.leads_to))}")
    typer.echo(f"  {entry.meaning}")
    if entry.hint:
        typer.echo(f"  hint: {entry.hint}")
