"""`bulkcmp resume`: go on with a run that was interrupted, or that left rows undone."""

import os

import typer

from bulkcmp.cli import option
from bulkcmp.cli.log import logged
from bulkcmp.cli.migrate import refuse_others, run_and_report
from bulkcmp.cli.show import run_and_show
from bulkcmp.engine.migration.migration import Migration, Session
from bulkcmp.engine.options import Options
from bulkcmp.engine.start import go_on, open_run


@logged
def resume(
    run: option.RunFolder,
    journal: option.Journal = None,
    run_id: option.RunId = None,
    population: option.MovedPopulation = None,
    map: option.MovedMap = None,  # noqa: A002  # the option's name
    journal_lease: option.JournalLease = None,
    server: option.Server = None,
    secret: option.SecretSource = None,
    key: option.Key = None,
    keypass: option.Keypass = None,
    pkcs11_module: option.Pkcs11Module = None,
    newkey: option.Newkey = None,
    newkeypass: option.Newkeypass = None,
    regtoken: option.Regtoken = None,
    authenticator: option.Authenticator = None,
    ra_secret: option.RaSecret = None,
    ra_key: option.RaKey = None,
    ra_keypass: option.RaKeypass = None,
    key_pass: option.KeyPass = None,
    out_pass: option.OutPass = None,
    operator: option.Operator = None,
    keys_pass: option.KeysPass = None,
    save_messages: option.SaveMessages = None,
    on_issued: option.OnIssued = None,
    on_issued_url: option.OnIssuedUrl = None,
    on_issued_bearer: option.OnIssuedBearer = None,
    on_issued_env: option.OnIssuedEnv = None,
    on_issued_concurrency: option.OnIssuedConcurrency = None,
    on_issued_timeout: option.OnIssuedTimeout = None,
    on_issued_attempts: option.OnIssuedAttempts = None,
    allow_weak: option.AllowWeak = None,
    crls: option.Crls = None,
    tls_keypass: option.TlsKeypass = None,
    proxy: option.Proxy = None,
    retry_unknown: option.RetryUnknown = False,
    retry_failed: option.RetryFailed = False,
    concurrency: option.Concurrency = None,
    rate: option.Rate = None,
    workers: option.Workers = None,
    canary: option.Canary = None,
    canary_failures: option.CanaryFailures = None,
    window: option.Window = None,
    window_tz: option.WindowTz = None,
    breaker_failures: option.BreakerFailures = None,
    breaker_pause: option.BreakerPause = None,
    breaker_limit: option.BreakerLimit = None,
    quiet: option.Quiet = False,
    json: option.Json = False,
) -> None:
    """Go on with a run, or a migration, where it stopped; no row is sent twice without your saying
    so.

    Options are those that the run began with, but for those given here. The journal keeps of a
    secret only where it came from: what was given as pass: or by stdin is to be given again.

    A run whose journal is in a database can go on on any machine that has the same files under the
    same paths: bulkcmp resume RUN --journal URL --run ID makes the folder RUN for its outputs.

    Exit codes: 0 all rows done, 1 some failed, 2 bad input or usage, 130 interrupted.

    Example: bulkcmp resume runs/17 --retry-failed
    """
    given = {name: value for name, value in locals().items() if name in Options.known()}
    given["save_messages"] = save_messages

    def tell(what: str) -> None:
        if not quiet:
            typer.echo(what, err=True)

    if Migration.is_in(run):
        elsewhere = {"journal": journal, "run": run_id, "population": population}
        refuse_others(given | elsewhere)
        session = Session(os.environ, tell, retry_unknown, retry_failed)
        raise typer.Exit(run_and_report(run, "resume", given, session, quiet=quiet, json=json))
    plan, record = go_on(
        open_run(run, journal, run_id),
        given,
        os.environ,
        population=population,
        retry_unknown=retry_unknown,
        retry_failed=retry_failed,
        on_notice=tell,
    )
    with record:
        code = run_and_show("resume", plan, record, resumed=True, quiet=quiet, json=json)
    raise typer.Exit(code)
