"""`bulkcmp resume`: go on with a run that was interrupted, or that left rows undone."""

import os

import typer

from bulkcmp.cli import option
from bulkcmp.cli.show import run_and_show
from bulkcmp.engine.start import go_on


def resume(
    run: option.RunFolder,
    secret: option.SecretSource = None,
    keypass: option.Keypass = None,
    newkeypass: option.Newkeypass = None,
    key_pass: option.KeyPass = None,
    keys_pass: option.KeysPass = None,
    tls_keypass: option.TlsKeypass = None,
    retry_unknown: option.RetryUnknown = False,
    retry_failed: option.RetryFailed = False,
    concurrency: option.Concurrency = None,
    rate: option.Rate = None,
    workers: option.Workers = None,
    quiet: option.Quiet = False,
    json: option.Json = False,
) -> None:
    """Go on with a run where it stopped; no row is sent twice without your saying so.

    Options are those that the run began with, but for those given here. Secrets are asked for
    again: the journal keeps only where they came from.
    """
    given = {
        "secret": secret, "keypass": keypass, "newkeypass": newkeypass, "key_pass": key_pass,
        "keys_pass": keys_pass, "tls_keypass": tls_keypass, "concurrency": concurrency,
        "rate": rate, "workers": workers,
    }  # fmt: skip
    plan, journal = go_on(
        run, given, os.environ, retry_unknown=retry_unknown, retry_failed=retry_failed
    )
    with journal:
        code = run_and_show("resume", plan, journal, resumed=True, quiet=quiet, json=json)
    raise typer.Exit(code)
