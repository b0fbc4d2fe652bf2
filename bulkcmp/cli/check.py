"""`bulkcmp check`: every problem of a population or of a scenario, before anything is sent."""

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from bulkcmp.cli import option
from bulkcmp.engine.load.servers import server_options
from bulkcmp.engine.options import Options
from bulkcmp.engine.rehearsal import rehearse
from bulkcmp.errors import EXIT_BAD_INPUT, InputError, InputErrors
from bulkcmp.inputs.scenario import find_scenario, read_scenario
from bulkcmp.model import BadRow, EndEntity, Operation
from bulkcmp.outputs.text import visible


def check(
    file: Annotated[
        str | None,
        typer.Argument(
            metavar="[FILE]",
            help=f"{option.SOURCES} Or the scenario of a load test: a TOML file, or the name of one"
            " that comes with bulkcmp.",
            show_default=False,
        ),
    ] = None,
    config: option.Config = None,
    range: option.Range = None,  # noqa: A002  # the option's name
    map: option.Map = None,  # noqa: A002  # the option's name
    source_format: option.SourceFormat = None,
    encoding: option.Encoding = None,
    sheet: option.Sheet = None,
    source_pass: option.SourcePass = None,
    ref: option.Ref = None,
    secret: option.SecretSource = None,
    cert: option.Cert = None,
    key: option.Key = None,
    keypass: option.Keypass = None,
    pkcs11_module: option.Pkcs11Module = None,
    allow_weak: option.AllowWeak = None,
    cmd: option.Cmd = None,
    subject: option.Subject = None,
    sans: option.Sans = None,
    san_nodefault: option.SanNodefault = None,
    keyusage: option.Keyusage = None,
    extkeyusage: option.Extkeyusage = None,
    policy_oids: option.PolicyOids = None,
    extensions: option.Extensions = None,
    extensions_from: option.ExtensionsFrom = None,
    newkey: option.Newkey = None,
    newkeypass: option.Newkeypass = None,
    centralkeygen: option.Centralkeygen = None,
    popo: option.Popo_ = None,
    issuer: option.Issuer = None,
    days: option.Days = None,
    not_before: option.NotBefore = None,
    not_after: option.NotAfter = None,
    profile: option.CertProfile = None,
    csr: option.Csr = None,
    oldcert: option.Oldcert = None,
    serial: option.Serial = None,
    revreason: option.Revreason = None,
    infotype: option.Infotype = None,
    oldwithold: option.Oldwithold = None,
    crlcert: option.Crlcert = None,
    oldcrl: option.Oldcrl = None,
    regtoken: option.Regtoken = None,
    authenticator: option.Authenticator = None,
    reginfo: option.Reginfo = None,
    keys: option.Keys = None,
    out_format: option.OutFormat_ = None,
    out_name: option.OutName = None,
    out_pass: option.OutPass = None,
    out_pass_length: option.OutPassLength = None,
) -> None:
    """Read a population as `enroll` would, and list every bad row: line, column, reason.

    What `enroll` is told of all rows is given here in the same way. Rows without a credential are
    not bad here: `enroll` may have it.

    A scenario is read as `load` would, and its population with it: of a generated one the first
    hundred rows. Exit codes: 0 all is good, 2 something is bad.

    Example: bulkcmp check devices.csv --subject "/CN={id}/O=Acme"
    """
    given = {name: value for name, value in locals().items() if name in Options.known()}
    file = option.population(file, range)
    scenario = find_scenario(file)
    if scenario is None:
        _check_population(file, Options.read(config or (), given))
    else:
        _check_scenario(scenario, config or (), given)


def _check_population(file: str, options: Options) -> None:
    operations: set[Operation] = set()

    def problems(row: EndEntity | BadRow) -> tuple[InputError, ...]:
        if isinstance(row, BadRow):
            return row.problems
        operations.add(row.cmd)
        return ()

    _judge(file, map(problems, _without_credential(options).rows(file, os.environ)))
    options.refuse_unused(operations)


def _check_scenario(path: Path, configs: Iterable[str], given: dict[str, Any]) -> None:
    try:
        scenario = read_scenario(path, Options.known())
    except InputErrors as error:
        _list(error.problems)
        typer.echo(error.what, err=True)
        raise typer.Exit(EXIT_BAD_INPUT) from None
    servers = server_options(scenario, Options.read(configs, given, scenario.settings))
    lenient = {name: _without_credential(options) for name, options in servers.items()}
    _judge(str(path), rehearse(scenario, lenient, os.environ))


def _without_credential(options: Options) -> Options:
    if options.secret is None and options.cert is None:
        return replace(options, secret="pass:-")  # noqa: S106  # no secret
    return options


def _judge(file: str, rows: Iterable[tuple[InputError, ...]]) -> None:
    """List what is wrong with rows, and count them."""
    count = bad = 0
    for problems in rows:
        count += 1
        bad += bool(problems)
        _list(problems)
    typer.echo(f"{file}: {count:,} {'row' if count == 1 else 'rows'}, {bad:,} bad", err=True)
    if bad:
        raise typer.Exit(EXIT_BAD_INPUT)


def _list(problems: Iterable[InputError]) -> None:
    for problem in problems:
        hint = f" ({problem.hint})" if problem.hint else ""
        typer.echo(visible(f"{problem}{hint}"))
