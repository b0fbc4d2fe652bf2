"""`bulkcmp inspect`: CMP messages, certificates, requests and CRLs as readable trees."""

import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from bulkcmp.errors import InputError, InputErrors, Where
from bulkcmp.inputs.file import unreadable
from bulkcmp.inspect.armour import MAX_OCTETS, parts_of
from bulkcmp.inspect.text import lines_of
from bulkcmp.outputs.text import visible

if TYPE_CHECKING:
    from bulkcmp.inspect.inspection import Inspection

_STDIN: Final = "-"
_SUFFIXES: Final = frozenset((
    ".der", ".pem", ".hex", ".txt", ".bin", ".ber", ".pki", ".cmp", ".crmf", ".cer", ".crt",
    ".csr", ".p10", ".req", ".crl", ".p7b", ".p7c", ".p7m", ".p7s", ".cms",
))  # fmt: skip


def inspect(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE",
            help="Files in DER, PEM or hexadecimal digits; - is standard input; of a folder, all"
            " files in it that are named like such files (.der, .pem, .hex …), in order.",
            show_default=False,
        ),
    ],
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Print one JSON array instead, with an object for each value: file, type,"
            " encoding, size, findings, value; or file and error.",
        ),
    ] = False,
) -> None:
    """Show PKIMessages, CertReqMessages, PKCS#10 requests, certificates, CRLs and CMS as trees.

    The decoder is another than the one of `enroll`, and takes more: BER that is not DER is shown,
    and named as such. Nothing is verified.

    Example: bulkcmp inspect answer.der ca.pem
    """
    problems: list[InputError] = []
    results: list[dict[str, object]] = []
    for number, result in enumerate(_inspections(files)):
        if isinstance(result, InputError):
            problems.append(result)
            if as_json:
                file = "" if result.where is None else str(result.where)
                results.append({"file": file, "error": result.what})
        elif as_json:
            results.append(result.json())
        else:
            if number:
                typer.echo()
            _print(result)
    if as_json:
        typer.echo(json.dumps(results, indent=2))
    if len(problems) == 1:
        raise problems[0]
    if problems:
        raise InputErrors(f"{len(problems)} values can't be shown", tuple(problems))


def _inspections(files: list[str]) -> Iterator["Inspection | InputError"]:
    for name in files:
        try:
            for file in _expanded(name):
                yield from _inspections_of(file)
        except InputError as error:
            yield error


def _inspections_of(file: str) -> Iterator["Inspection | InputError"]:
    # loaded where it is used, since the other commands start without pyasn1's modules
    from bulkcmp.inspect.inspection import inspect_part

    try:
        parts = parts_of(_read(file), file)
    except InputError as error:
        yield error
        return
    for part in parts:
        try:
            yield inspect_part(part)
        except InputError as error:
            yield error


def _expanded(name: str) -> Iterator[str]:
    """The files that a name stands for: itself, or those in the folder of that name."""
    folder = Path(name)
    try:
        if name == _STDIN or not folder.is_dir():
            yield name
            return
        files = [path for path in folder.iterdir() if path.is_file()]
    except (OSError, ValueError) as error:
        raise unreadable(folder, error) from None
    chosen = [path for path in files if path.suffix.lower() in _SUFFIXES]
    if not chosen:
        raise InputError(
            "no file in this folder is named like a message or certificate",
            where=Where(name),
            hint=f"names end in {', '.join(sorted(_SUFFIXES))}; name other files one by one",
        )
    yield from map(str, sorted(chosen, key=_natural))
    if rest := len(files) - len(chosen):
        typer.echo(visible(f"{name}: {rest} files of other names left out"), err=True)


def _natural(path: Path) -> list[tuple[int, str]]:
    """Sorts `msg-10` after `msg-2`."""
    runs = re.findall(r"\d+|\D+", path.name)
    return [(int(run), "") if run.isdecimal() else (-1, run) for run in runs]


def _read(file: str) -> bytes:
    # one octet more than is allowed tells a file that is too large, however large it is
    if file == _STDIN:
        return sys.stdin.buffer.read(MAX_OCTETS + 1)
    path = Path(file)
    try:
        with path.open("rb") as stream:
            return stream.read(MAX_OCTETS + 1)
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from None


def _print(inspection: "Inspection") -> None:
    terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if terminal else None
    lines = lines_of(inspection, width, visible)
    typer.secho(next(lines), bold=True)
    for line in lines:
        if line.startswith("!"):
            typer.secho(line, fg=typer.colors.YELLOW)
        else:
            typer.echo(line)
