"""`bulkcmp reconcile`: what the CA says of a run's certificates, against the journal."""

import os
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import typer

from bulkcmp.cli import option
from bulkcmp.cli.show import Errors, warn
from bulkcmp.cli.stdout import PipedConsole, printing
from bulkcmp.engine.migration.migration import refuse_migration
from bulkcmp.engine.options import Options
from bulkcmp.engine.reconciliation.reconciliation import RECONCILIATION_FILE, Request
from bulkcmp.engine.reconciliation.reconciliation import reconcile as run_reconcile
from bulkcmp.engine.start import open_run
from bulkcmp.errors import Interrupted
from bulkcmp.inputs.issued import IssuedList
from bulkcmp.io.loop import run as run_loop
from bulkcmp.ui.reconciliation import json_of_reconciliation, render_reconciliation

_EVIDENCE: Final = "What the CA says"
_ADOPTION: Final = "What is done about it"


def reconcile(
    run: option.RunFolder,
    issued: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="LIST",
            help="What the CA issued (repeatable): a CSV file, as of bulkcmp ca issued or of a"
            " query of EJBCA's table CertificateData, or a file of certificates.",
            rich_help_panel=_EVIDENCE,
            show_default=False,
        ),
    ] = None,
    crl: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SOURCE",
            help="Its CRL (repeatable): a file, a URL, or cdp for wherever the certificates say"
            " that it is.",
            rich_help_panel=_EVIDENCE,
            show_default=False,
        ),
    ] = None,
    genm: Annotated[
        bool,
        typer.Option(
            "--genm",
            help="Ask the CA for its CRL (genm currentCRL), as the run asked for certificates.",
            rich_help_panel=_EVIDENCE,
        ),
    ] = False,
    adopt: Annotated[
        bool,
        typer.Option(
            "--adopt",
            help="Take valid certificates whose answers were lost into the journal, where that has"
            " their keys and they pass every check. resume writes their files.",
            rich_help_panel=_ADOPTION,
        ),
    ] = False,
    journal: option.Journal = None,
    run_id: option.RunId = None,
    server: option.Server = None,
    path: option.Path_ = None,
    proxy: option.Proxy = None,
    ref: option.Ref = None,
    secret: option.SecretSource = None,
    cert: option.Cert = None,
    key: option.Key = None,
    keypass: option.Keypass = None,
    pkcs11_module: option.Pkcs11Module = None,
    ra_secret: option.RaSecret = None,
    ra_key: option.RaKey = None,
    ra_keypass: option.RaKeypass = None,
    trusted: option.Trusted = None,
    untrusted: option.Untrusted = None,
    key_pass: option.KeyPass = None,
    tls_keypass: option.TlsKeypass = None,
    quiet: option.Quiet = False,
    json: option.Json = False,
) -> None:
    """Compare a run with what its CA says of it, by a list of what was issued and by CRLs.

    Found are certificates that are orphaned (issued, unknown to us), unconfirmed, missing, double,
    revoked though the journal does not say so, and not revoked though it does. All stand in
    reconciliation.csv of the run folder. What the evidence can't tell is said.

    Options are those of the run, but for those given here.

    Exit codes: 0 both agree, 1 they differ, 2 bad input or usage, 130 interrupted.

    Example: bulkcmp reconcile runs/devices --issued issued.csv --crl cdp
    """
    given = {name: value for name, value in locals().items() if name in Options.known()}
    refuse_migration(run)
    given.pop("journal", None)
    lists = tuple(map(IssuedList, issued or ()))
    request = Request(tuple(crl or ()), lists, genm, adopt, given)
    with open_run(run, journal, run_id) as record:
        if genm:
            warn(Errors(), Options.merge(record.facts["options"]).notes())
        try:
            found = run_loop(partial(run_reconcile, record, request, os.environ))
        except KeyboardInterrupt:
            raise Interrupted from None
    where = f"all differences stand in {run / RECONCILIATION_FILE}"
    with printing("what was found", where):
        if json:
            typer.echo(json_of_reconciliation(found))
        elif not quiet:
            render_reconciliation(PipedConsole(highlight=False), found)
    raise typer.Exit(found.exit_code)
