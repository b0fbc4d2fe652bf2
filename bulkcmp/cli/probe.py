"""`bulkcmp probe`: one transaction, every message decoded, every check and its verdict."""

import json
import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from bulkcmp.cli import option
from bulkcmp.cli.enroll import enroll
from bulkcmp.cli.log import OF_LOG
from bulkcmp.cli.show import Errors, warn
from bulkcmp.engine.options import Options
from bulkcmp.engine.probe import Outputs
from bulkcmp.engine.probe import probe as run_probe
from bulkcmp.errors import EXIT_OK, EXIT_SOME_FAILED, InputError, Interrupted
from bulkcmp.io.loop import run
from bulkcmp.outputs.text import visible
from bulkcmp.ui.probe import json_of_probe, lines_of_probe

_OF_RUNS = (
    "population", "journal", "journal_lease", "out", *option.OF_OUTPUT, "keys", "keys_pass",
    "range", *option.OF_DELIVERIES,
    "skip_bad_rows", "lint", "lint_profile", "lint_every", "lint_fail", "concurrency", "rate",
    "workers", "cluster", "cluster_tls_ca", "cluster_tls_cert", "cluster_tls_key",
    "certs_per_message", "batch", "batch_wait", *option.OF_WAVES, *OF_LOG, "quiet", "json",
)  # fmt: skip


def _file(text: str) -> Any:
    return typer.Option(
        help=text, metavar="FILE", rich_help_panel="Output of a probe", show_default=False
    )


@option.with_those_of(enroll, but=_OF_RUNS)
def probe(
    population: Annotated[
        str | None,
        typer.Argument(
            metavar="POPULATION",
            help="CSV file whose first row is tried; without it the options alone say what to ask"
            " for.",
            show_default=False,
        ),
    ] = None,
    row_id: Annotated[
        str | None,
        typer.Option(
            "--id",
            help="Try the row with this id; without a file, what {id} stands for. Default: probe.",
            metavar="ID",
            rich_help_panel="Output of a probe",
            show_default=False,
        ),
    ] = None,
    certout: Annotated[Path | None, _file("Keep the certificate.")] = None,
    chainout: Annotated[Path | None, _file("Keep its chain.")] = None,
    newkeyout: Annotated[
        Path | None,
        _file(
            "Keep the private key that is made for it; it is there before the request leaves."
            " Needs --key-pass or --plain-keys."
        ),
    ] = None,
    cacertsout: Annotated[
        Path | None,
        _file("Keep the caPubs that came with it, or the caCerts that a genm asked for."),
    ] = None,
    extracertsout: Annotated[Path | None, _file("Keep the extraCerts that came with it.")] = None,
    newwithnew: Annotated[
        Path | None, _file("Keep the new root that a genm for rootCaCert brings.")
    ] = None,
    newwithold: Annotated[Path | None, _file("Keep it as the old root has signed it.")] = None,
    oldwithnew: Annotated[
        Path | None, _file("Keep the old root as the new one has signed it.")
    ] = None,
    crlout: Annotated[
        Path | None, _file("Keep the CRL that a genm for crlStatusList or currentCRL brings.")
    ] = None,
    template: Annotated[
        Path | None, _file("Keep the certTemplate (DER) that a genm for certReqTemplate brings.")
    ] = None,
    keyspec: Annotated[Path | None, _file("Keep its keySpec (DER).")] = None,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Print one JSON object instead.",
            rich_help_panel="Output of a probe",
        ),
    ] = False,
    config: option.Config = None,
    **given: Any,
) -> None:
    """Try one transaction, and show each message, each check of the answers, and all times.

    It is told how to talk to the server as enroll is. What the CA issues is real: without
    --certout the certificate is confirmed and thrown away with its key, and the end names the
    serial to revoke. There is no run folder, and resume can't go on with it.

    Exit codes: 0 done, 1 not done, 2 bad input or usage, 130 interrupted.

    Example: bulkcmp probe --server http://127.0.0.1:8829/ejbca/publicweb/cmp/ra-hmac --ref ra1
    --secret env:RA_SECRET --trusted ca/ca.pem --subject /CN=try
    """
    options = Options.read(config or (), given)
    passphrase = options.key_passphrase(os.environ)
    if newkeyout is not None and passphrase is None and not options.plain_keys:
        raise InputError(
            "how shall --newkeyout be stored?",
            hint="give --key-pass SOURCE to encrypt it, or --plain-keys",
        )
    messages = None if options.save_messages is None else Path(options.save_messages)
    outputs = Outputs(
        certout=certout,
        chainout=chainout,
        newkeyout=newkeyout,
        cacertsout=cacertsout,
        extracertsout=extracertsout,
        newwithnew=newwithnew,
        newwithold=newwithold,
        oldwithnew=oldwithnew,
        crlout=crlout,
        template=template,
        keyspec=keyspec,
        save_messages=messages,
        passphrase=passphrase,
    )
    setup, row = options.single(population, row_id, os.environ)
    outputs.check(row)
    warn(Errors(), options.notes())
    try:
        probed = replace(run(run_probe, setup, row, outputs), notes=options.notes())
    except KeyboardInterrupt:
        raise Interrupted(hint="if the request had left, the CA may have issued") from None
    if as_json:
        typer.echo(json.dumps(json_of_probe(probed), indent=2))
    else:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        for line in lines_of_probe(probed, width, visible):
            if line.startswith(("  FAIL", "no answer", "note:", "!")):
                typer.secho(line, fg=typer.colors.YELLOW)
            else:
                typer.secho(line, bold=line.startswith(("sent:", "received:", "outcome:")))
    raise typer.Exit(EXIT_OK if probed.outcome.outcome.is_done else EXIT_SOME_FAILED)
