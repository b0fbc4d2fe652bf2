"""`bulkcmp check`: every problem of a population, before anything is sent."""

import os
from dataclasses import replace

import typer

from bulkcmp.cli import option
from bulkcmp.engine.options import Options
from bulkcmp.errors import EXIT_BAD_INPUT
from bulkcmp.model import BadRow, Operation
from bulkcmp.outputs.text import visible


def check(
    population: option.PopulationFile,
    config: option.Config = None,
    ref: option.Ref = None,
    secret: option.SecretSource = None,
    cert: option.Cert = None,
    key: option.Key = None,
    keypass: option.Keypass = None,
    pkcs11_module: option.Pkcs11Module = None,
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
) -> None:
    """Read a population as `enroll` would, and list every bad row: line, column, reason.

    What `enroll` is told of all rows is given here in the same way. Rows without a credential are
    not bad here: `enroll` may have it. Exit codes: 0 all rows are good, 2 some are bad.
    """
    given = {name: value for name, value in locals().items() if name in Options.known()}
    options = Options.read(config or (), given)
    if options.secret is None and options.cert is None:
        options = replace(options, secret="pass:-")  # noqa: S106  # no secret
    rows = bad = 0
    operations: set[Operation] = set()
    for row in options.rows(population, os.environ):
        rows += 1
        if isinstance(row, BadRow):
            bad += 1
            for problem in row.problems:
                hint = f" ({problem.hint})" if problem.hint else ""
                typer.echo(visible(f"{problem}{hint}"))
        else:
            operations.add(row.cmd)
    typer.echo(f"{population}: {rows:,} {'row' if rows == 1 else 'rows'}, {bad:,} bad", err=True)
    if bad:
        raise typer.Exit(EXIT_BAD_INPUT)
    options.refuse_unused(operations)
