"""`bulkcmp init`: a project folder, by asking for what it needs."""

import os
import secrets as randomness
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from bulkcmp.cli import option
from bulkcmp.cli.completion import Completion, profiles
from bulkcmp.errors import InputError
from bulkcmp.inputs.credential import read_certificates
from bulkcmp.inputs.file import read_file
from bulkcmp.inputs.profile import purpose, shipped_profile, shipped_profiles
from bulkcmp.inputs.secret import read_secret
from bulkcmp.inputs.settings import Setting, format_settings
from bulkcmp.outputs.project import (
    POPULATION_FILE,
    SECRETS_FOLDER,
    SETTINGS_FILE,
    TRUSTED_FILE,
    Project,
    from_folder,
    population_of,
    refuse_taken,
    write_project,
)

_DEFAULT_PROFILE: Final = "rfc9483"
_SUBJECT: Final = "/CN={id}"
_FIRST_IDS: Final = ("device-1", "device-2", "device-3")
_KEY_PASS_OCTETS: Final = 24


def _given(text: str, *names: str, metavar: str, completion: Completion | None = None) -> Any:
    return typer.Option(
        *names, help=text, metavar=metavar, autocompletion=completion, show_default=False
    )


def init(
    folder: Annotated[
        Path,
        typer.Argument(metavar="FOLDER", help="To be made, or empty.", show_default=False),
    ],
    config: Annotated[
        str | None,
        _given(
            f"Which server: a profile of bulkcmp profiles list. Default: {_DEFAULT_PROFILE}.",
            "--config",
            metavar="NAME",
            completion=profiles,
        ),
    ] = None,
    server: option.Server = None,
    ref: option.Ref = None,
    secret: option.SecretSource = None,
    cert: option.Cert = None,
    key: option.Key = None,
    keypass: option.Keypass = None,
    trusted: Annotated[
        Path | None,
        _given("Certificate of the CA, which is copied.", "--trusted", metavar="FILE"),
    ] = None,
    population: Annotated[
        Path | None,
        _given("CSV file of end entities, which is copied.", "--population", metavar="FILE"),
    ] = None,
    subject: option.Subject = None,
) -> None:
    """Make a project folder: settings of the CA, population, and a place for secrets.

    What is not given is asked for, on a terminal. A secret that is typed, and the passphrase for
    private keys that is made, go into files in secrets/, which only you can read; where a secret
    comes from the environment or a file of yours, only that is written down. Nothing is sent.

    Exit codes: 0 made, 2 something can't be used: then nothing is written.

    Example: bulkcmp init meters --config ejbca-ra-hmac --server http://ca.example/ejbca/publicweb/cmp/ra
    --ref ra1 --secret env:RA_SECRET --trusted ca.pem
    """
    refuse_taken(folder)
    asking = _Asking(sys.stdin.isatty())
    profile = shipped_profile(config or asking.profile())
    made = _Making(folder)
    made.put("server", server or asking.text("server", "URL of the CMP server"))
    made.credential(asking, ref, secret, cert, key, keypass)
    anchors = None if trusted is None else str(trusted)
    anchors = anchors or asking.optional("File with the CA's certificate (empty: later)")
    if anchors:
        read_certificates(Path(anchors))
        made.trusted = read_file(Path(anchors))
        made.settings["trusted"] = [TRUSTED_FILE]
    rows = None if population is None else str(population)
    rows = rows or asking.optional("CSV file of end entities (empty: three to try with)")
    made.put("subject", subject or asking.optional("Subject of each row", _SUBJECT) or _SUBJECT)
    made.settings["key_pass"] = made.keep(
        "key-pass", randomness.token_urlsafe(_KEY_PASS_OCTETS).encode()
    )
    text = (
        f"# for --config, made by bulkcmp init; a path is relative to this file\n"
        f"{format_settings(made.settings)}\n"
        f"# from the profile {profile.stem}\n{profile.read_text(encoding='utf-8')}"
    )
    content = population_of(_FIRST_IDS) if not rows else read_file(Path(rows))
    write_project(folder, Project(text, content, made.trusted, made.secrets))
    _say_what_next(folder, trusted=made.trusted is not None)


@dataclass(slots=True)
class _Making:
    """What was told so far, as it will be written."""

    folder: Path
    settings: dict[str, Setting] = field(default_factory=dict)
    secrets: dict[str, bytes] = field(default_factory=dict)
    trusted: bytes | None = None

    def put(self, name: str, value: str | None) -> None:
        if value:
            self.settings[name] = value

    def keep(self, name: str, secret: bytes) -> str:
        """The source of a secret that the folder will hold."""
        self.secrets[name] = secret
        return f"file:{SECRETS_FOLDER}/{name}"

    def source(self, name: str, source: str) -> str:
        """A source as it is written: what it says of itself is not, but kept as a secret."""
        kind, _, rest = source.partition(":")
        if kind == "file":
            return f"file:{from_folder(self.folder, rest)}"
        if kind == "env":
            read_secret(source, {rest: "x"})
            return source
        return self.keep(name, read_secret(source, os.environ).reveal())

    def credential(
        self,
        asking: "_Asking",
        ref: str | None,
        secret: str | None,
        cert: str | None,
        key: str | None,
        keypass: str | None,
    ) -> None:
        """What requests are protected by: given, or asked for where nothing of it is given."""
        if not any((ref, secret, cert, key)):
            ref = asking.optional("Reference value of a shared secret (empty: none, or each row's)")
            typed = asking.hidden("The shared secret (empty: none, or each row's)")
            if typed:
                self.settings["secret"] = self.keep("secret", typed.encode())
            else:
                cert = asking.optional("File with your certificate (empty: none, or each row's)")
                key = asking.optional("File with its private key") if cert else None
                typed = asking.hidden("Its passphrase (empty: none)") if key else ""
                if typed:
                    self.settings["keypass"] = self.keep("keypass", typed.encode())
        self.put("ref", ref)
        for name, path in (("cert", cert), ("key", key)):
            if path:
                self.settings[name] = from_folder(self.folder, path)
        for name, source in (("secret", secret), ("keypass", keypass)):
            if source:
                self.settings[name] = self.source(name, source)


class _Asking:
    """Questions on a terminal; without one, what is optional is left away.

    Args:
        can: there is one.
    """

    def __init__(self, can: bool) -> None:
        self._can = can

    def text(self, name: str, question: str) -> str:
        """
        Raises:
            InputError: there is no terminal to ask on.
        """
        if not self._can:
            raise InputError(
                f"--{name} is missing, and there is no terminal to ask on",
                hint=f"give --{name}",
            )
        return str(typer.prompt(question)).strip()

    def optional(self, question: str, default: str = "") -> str:
        return self._asked(lambda: typer.prompt(question, default, show_default=bool(default)))

    def hidden(self, question: str) -> str:
        return self._asked(lambda: typer.prompt(question, "", hide_input=True, show_default=False))

    def profile(self) -> str:
        """The name of a profile."""
        if not self._can:
            return _DEFAULT_PROFILE
        shipped = shipped_profiles()
        for name, file in shipped.items():
            typer.echo(f"  {name:{max(map(len, shipped))}}  {purpose(file)}")
        return self.optional("Which server, by its profile", _DEFAULT_PROFILE)

    def _asked(self, ask: Callable[[], Any]) -> str:
        return str(ask()).strip() if self._can else ""


def _say_what_next(folder: Path, *, trusted: bool) -> None:
    here = shlex.quote(str(folder))
    typer.echo(f"{folder} is made: {SETTINGS_FILE}, {POPULATION_FILE}, {SECRETS_FOLDER}/")
    typer.echo(f"{folder / SECRETS_FOLDER / 'key-pass'} opens the private keys: keep a copy")
    if not trusted:
        typer.echo(f"put the CA's certificate into it, and trusted = [...] into {SETTINGS_FILE}")
    typer.echo(
        f"""
cd {here}
bulkcmp probe {POPULATION_FILE} --config {SETTINGS_FILE}      # the first row, each message shown
bulkcmp check {POPULATION_FILE} --config {SETTINGS_FILE}
bulkcmp enroll {POPULATION_FILE} --config {SETTINGS_FILE} --out runs/1"""
    )
