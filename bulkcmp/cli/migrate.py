"""`bulkcmp migrate`: from one CA to another one, user by user."""

import datetime as dt
import json as json_
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from bulkcmp.cli import completion, option
from bulkcmp.cli.log import logged
from bulkcmp.cli.show import Errors, print_summary, show_run
from bulkcmp.cli.stdout import PipedConsole, printing
from bulkcmp.engine.migration.migration import (
    Migration,
    Session,
    Sides,
    assess,
    begin_migration,
)
from bulkcmp.engine.migration.report import SUMMARY_FILE, report
from bulkcmp.engine.migration.rules import Names, Rules, Several
from bulkcmp.engine.options import Options
from bulkcmp.errors import EXIT_OK, EXIT_SOME_FAILED, InputError, Interrupted
from bulkcmp.inputs.cell import read_reason
from bulkcmp.inputs.field import option_name
from bulkcmp.journal.journal import Journal
from bulkcmp.model import RevocationReason
from bulkcmp.outputs.migration import MigrationSummary, migration_json
from bulkcmp.outputs.summary import RunSummary
from bulkcmp.ui.migration import render_migration, render_plan

_PACE: Final = (
    "concurrency", "rate", "workers", "breaker_failures", "breaker_pause", "breaker_limit",
)  # fmt: skip
"""Options that hold for both CAs."""

_ENROLLMENT: Final = (
    "key_pass", "canary", "canary_failures", "on_issued", "on_issued_url", "on_issued_bearer",
    "on_issued_env", "on_issued_concurrency", "on_issued_timeout", "on_issued_attempts",
)  # fmt: skip
"""Options that `resume` may be told for the new CA."""

_REASONS: Final = (
    RevocationReason.SUPERSEDED,
    RevocationReason.CERTIFICATE_HOLD,
    RevocationReason.CESSATION_OF_OPERATION,
    RevocationReason.AFFILIATION_CHANGED,
    RevocationReason.UNSPECIFIED,
)
"""Why a certificate may be revoked whose end entity has a new one."""


@logged
def migrate(
    old: Annotated[
        str,
        typer.Argument(
            metavar="OLD",
            help="How to talk to the old CA: a profile's name or a file, as --config takes them.",
            autocompletion=completion.profiles,
            show_default=False,
        ),
    ],
    new: Annotated[
        str,
        typer.Argument(
            metavar="NEW",
            help="How to talk to the new CA, and how to enroll: the same.",
            autocompletion=completion.profiles,
            show_default=False,
        ),
    ],
    population: option.PopulationFile,
    map: option.Map = None,  # noqa: A002  # the option's name
    source_format: option.SourceFormat = None,
    encoding: option.Encoding = None,
    sheet: option.Sheet = None,
    source_pass: option.SourcePass = None,
    plan: option.PlanOnly = False,
    several: option.Several_ = Several.ALL,
    names: option.Names_ = Names.MAP,
    reason: option.MigrationReason = "superseded",
    key_pass: option.KeyPass = None,
    plain_keys: option.PlainKeys = None,
    out: option.Out = None,
    out_format: option.OutFormat_ = None,
    on_issued: option.OnIssued = None,
    on_issued_url: option.OnIssuedUrl = None,
    on_issued_bearer: option.OnIssuedBearer = None,
    on_issued_env: option.OnIssuedEnv = None,
    on_issued_concurrency: option.OnIssuedConcurrency = None,
    on_issued_timeout: option.OnIssuedTimeout = None,
    on_issued_attempts: option.OnIssuedAttempts = None,
    skip_bad_rows: option.SkipBadRows = None,
    concurrency: option.Concurrency = None,
    rate: option.Rate = None,
    workers: option.Workers = None,
    breaker_failures: option.BreakerFailures = None,
    breaker_pause: option.BreakerPause = None,
    breaker_limit: option.BreakerLimit = None,
    quiet: option.Quiet = False,
    json: option.Json = False,
) -> None:
    """Enroll the users of an old CA at a new one, and revoke their old certificates.

    A certificate is revoked only once its user has the new one, confirmed to the CA and delivered
    where --on-issued says how. The columns oldcert, or serial and issuer, say which certificates a
    user has. bulkcmp resume goes on with a migration that was interrupted, or that left users
    behind.

    Exit codes: 0 all users are migrated, 1 some are not, 2 bad input or usage, 130 interrupted.

    Example: bulkcmp migrate old.toml new.toml users.ldif --map rules.toml --plan
    """
    given = {name: value for name, value in locals().items() if name in Options.known()}
    rules = Rules(several, names, _reason(reason))
    pace = {name: value for name, value in given.items() if name in _PACE}
    sides = Sides.of(Options.read([old], pace), Options.read([new], given | {"out": out}), rules)
    now = dt.datetime.now(dt.UTC)
    if plan:
        raise typer.Exit(_show_plan(population, sides, rules, now, json=json))
    folder = Path(sides.new.run_folder(population))
    begin_migration(
        population, sides, rules, folder, os.environ, now, skip_bad_rows=bool(skip_bad_rows)
    )
    session = Session(os.environ)
    raise typer.Exit(run_and_report(folder, "migrate", given, session, quiet=quiet, json=json))


def refuse_others(given: Mapping[str, Any]) -> None:
    """Make sure that a migration is told nothing that it has no use for.

    Raises:
        InputError: it is.
    """
    for name, value in given.items():
        if value not in (None, [], ()) and name not in (*_PACE, *_ENROLLMENT):
            raise InputError(
                f"{option_name(name)} is for a run, and this is a migration",
                hint="its settings stand in the files OLD and NEW that it began with",
            )


def run_and_report(
    folder: Path,
    command: str,
    given: Mapping[str, Any],
    session: Session,
    *,
    quiet: bool,
    json: bool,
) -> int:
    """Go on with a migration, say how it stands then, and return the exit code.

    Args:
        given: options that take the place of those which it began with.

    Raises:
        Interrupted: by a signal that came too early or too late for a summary.
        BulkcmpError: something of this machine failed.
    """
    migration = Migration.open(folder)
    pace = {name: value for name, value in given.items() if name in _PACE}
    enrollment = revocation = None
    try:
        with migration.hold():
            own = {name: value for name, value in given.items() if name in _ENROLLMENT}
            made = migration.enrollment(pace | own, session)
            enrollment = _run(command, *made, quiet=quiet, json=json)
            if migration.revokes and not (enrollment.interrupted or enrollment.canary_failed):
                made = migration.revocation(pace, session)
                revocation = _run(command, *made, quiet=quiet, json=json)
            summary = report(migration, enrollment, revocation)
    except KeyboardInterrupt:
        raise Interrupted(hint=f"bulkcmp resume {folder} goes on") from None
    _print(summary, quiet=quiet, json=json)
    return summary.exit_code


def _run(command: str, plan: Any, journal: Journal, *, quiet: bool, json: bool) -> RunSummary:
    with journal:
        resumed = journal.count() > 0
        summary = show_run(command, plan, journal, resumed=resumed, quiet=quiet, json=json)
    if not json:
        print_summary(summary, quiet=quiet, json=False)
    return summary


def _show_plan(population: str, sides: Sides, rules: Rules, now: dt.datetime, *, json: bool) -> int:
    assessment = assess(population, sides, rules, os.environ, now)
    for _ in assessment.users():
        pass
    cases = assessment.cases
    made = cases.document(rules)
    with printing("the plan", "nothing was written or sent"):
        if json:
            totals = {
                "users": cases.users,
                "rejected": cases.rejected,
                "revocations": cases.revocations,
                "cases": made,
            }
            typer.echo(json_.dumps(totals, indent=2))
        else:
            console = PipedConsole(highlight=False)
            render_plan(console, cases.users, cases.rejected, cases.revocations, made)
    return EXIT_SOME_FAILED if cases.rejected else EXIT_OK


def _print(summary: MigrationSummary, *, quiet: bool, json: bool) -> None:
    with printing("the summary", f"it stands in {summary.folder}/{SUMMARY_FILE}"):
        if json:
            typer.echo(migration_json(summary), nl=False)
        elif not quiet:
            render_migration(PipedConsole(highlight=False), summary)
    if quiet and summary.exit_code != EXIT_OK:
        Errors().say(f"not all users are migrated, see {summary.folder}/rejected.csv")


def _reason(text: str) -> RevocationReason:
    reason = read_reason(text)
    if reason not in _REASONS:
        names = ", ".join(one.name.lower() for one in _REASONS)
        raise InputError(f"--reason: {text!r} is no reason of a migration", hint=f"one of {names}")
    return reason
