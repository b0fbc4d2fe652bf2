"""`bulkcmp renew`: new certificates for those that expire."""

import datetime as dt
import json as json_text
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from bulkcmp.cli import option
from bulkcmp.cli.enroll import enroll
from bulkcmp.cli.log import logged
from bulkcmp.cli.show import Errors, run_and_show
from bulkcmp.cli.stdout import printing
from bulkcmp.engine.holding import SIGNERS_FOLDER, Holding, open_holding
from bulkcmp.engine.migration.migration import refuse_migration
from bulkcmp.engine.options import Options
from bulkcmp.engine.plan import Plan
from bulkcmp.engine.renewal import (
    Expired,
    Judged,
    Rule,
    Standing,
    counted,
    judge,
    listed,
    population,
    signers,
)
from bulkcmp.engine.retrieval import write_signers
from bulkcmp.engine.start import begin_on, free_folder, refuse_used
from bulkcmp.errors import EXIT_OK, EXIT_SOME_FAILED, InputError
from bulkcmp.inputs.cell import SameKey, read_popo
from bulkcmp.inputs.duration import parse_duration
from bulkcmp.inputs.secret import read_secret
from bulkcmp.journal.folder import holds_run
from bulkcmp.journal.journal import Journal
from bulkcmp.model import Operation
from bulkcmp.outputs.listing import listing, write_listing

DUE_FILE: Final = "due.csv"

_PANEL: Final = "What is renewed"

_MOST_FAILURES: Final = 10

_CERTIFYING: Final = (Operation.IR, Operation.CR, Operation.KUR)

_NOT_OF_RENEWALS: Final = (
    *option.OF_SOURCES,
    "population", "csr", "oldcert", "serial", "revreason", "infotype", "oldwithold", "crlcert",
    "oldcrl", "accept_revoked", "skip_bad_rows", "cluster", "cluster_tls_ca",
    "cluster_tls_cert", "cluster_tls_key",
)  # fmt: skip


@logged
@option.with_those_of(enroll, but=_NOT_OF_RENEWALS)
def renew(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="RUN|FOLDER|POPULATION",
            help="Folder of a run; folder of certificates with their keys; or a population with"
            " column cert or oldcert.",
            show_default=False,
        ),
    ],
    expiring_within: Annotated[
        str,
        typer.Option(
            help="What is due: whatever expires in this time, as 30d or 12h.",
            metavar="TIME",
            rich_help_panel=_PANEL,
        ),
    ] = "30d",
    expired: Annotated[
        Expired,
        typer.Option(
            help="What is done with what has expired: few CAs take its key for a kur.",
            rich_help_panel=_PANEL,
        ),
    ] = Expired.SKIP,
    list_: Annotated[
        Path | None,
        typer.Option(
            "--list",
            help="Write every certificate with how it stands into this CSV.",
            metavar="FILE",
            rich_help_panel=_PANEL,
            show_default=False,
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Begin nothing, ask no server; without --list, print the CSV.",
            metavar="",
            rich_help_panel=_PANEL,
            show_default=False,
        ),
    ] = False,
    quiet: option.Quiet = False,
    json: option.Json = False,
    **given: Any,
) -> None:
    """Renew the certificates that expire soon, in a run of its own.

    Each request is a kur that the old certificate and its key protect (RFC 9483, 4.1.3). Where the
    options name a credential (--secret, or --cert and --key), that is an RA's, and the requests are
    cr, or what --cmd says. --keypass is for the keys of the certificates, where it is not the
    passphrase of their run. A new key is of the type of the old one, if --newkey says nothing else;
    --newkey same has the old one certified once more.

    A run remembers the runs that renew it: the same command again takes the newest certificate of
    each row. Any of them can be resumed, and renewed for itself.

    Exit codes: 0 all that is due is renewed, 1 some is not, 2 bad input or usage, 130 interrupted.

    Example: bulkcmp renew runs/17 --expiring-within 30d --trusted ca/ca.pem --key-pass env:KEY_PASS
    --server http://127.0.0.1:8829/ejbca/publicweb/cmp/client-cert
    """
    refuse_migration(source)
    options = _options(given)
    rule = _rule(options, expiring_within, expired)
    errors = Errors()
    with open_holding(source, rule.password, keeps_passphrase=options.keypass is None) as holding:
        judged = judge(holding, rule, dt.datetime.now(dt.UTC), os.environ)
        counts = counted(judged)
        if list_ is not None:
            write_listing(list_, listed(judged))
        if dry_run:
            _print_plan(judged, counts, json=json, written=list_)
        if not quiet:
            errors.say(_told(source, counts))
        _complain(errors, judged)
        if dry_run or Standing.DUE not in counts:
            raise typer.Exit(_code(counts))
        plan, record = _begin(holding, judged, rule, options)
    missed = tuple(standing for standing in counts if standing.is_failure)
    plan = replace(plan, notes=(*plan.notes, _told(source, counts)), is_partial=bool(missed))
    with record:
        code = run_and_show("renew", plan, record, resumed=False, quiet=quiet, json=json)
    raise typer.Exit(code)


def _options(given: Mapping[str, Any]) -> Options:
    """
    Raises:
        InputError: the options are for no renewal.
    """
    known = {name: value for name, value in given.items() if name in Options.known()}
    known |= {"out": given["out"], "save_messages": given["save_messages"]}
    options = Options.read(given["config"] or (), known)
    if options.cmd not in (None, *_CERTIFYING):
        raise InputError(
            f"--cmd {options.cmd} renews nothing", hint=f"it is one of {', '.join(_CERTIFYING)}"
        )
    by_ra = _is_ra(options)
    if by_ra and options.newkey == SameKey.SAME.value:
        raise InputError(
            "--newkey same, but the requests are an RA's: the key would be the RA's own",
            hint="name the keys, as in --newkey 'keys/{id}.pem', or leave the RA's credential away",
        )
    return replace(
        options,
        cmd=options.cmd or (Operation.CR if by_ra else Operation.KUR).value,
        skip_bad_rows=True,
    )


def _is_ra(options: Options) -> bool:
    """Whether requests are protected by a credential that the options name."""
    return options.secret is not None or options.cert is not None or options.key is not None


def _rule(options: Options, expiring_within: str, expired: Expired) -> Rule:
    try:
        within = parse_duration(expiring_within)
    except InputError as error:
        raise InputError(f"--expiring-within: {error}", hint=error.hint) from None
    by_ra = _is_ra(options)
    source = None if by_ra else options.keypass or options.key_pass
    return Rule(
        cmd=Operation(options.cmd or ""),
        within=within,
        expired=expired,
        by_ra=by_ra,
        keeps_type=options.newkey is None and not options.centralkeygen,
        popo=read_popo(options.popo) if "popo" in options.stated else None,
        password=None if source is None else read_secret(source, os.environ),
    )


def _begin(
    holding: Holding, judged: Sequence[Judged], rule: Rule, options: Options
) -> tuple[Plan, Journal]:
    """Begin the run that renews what is due, once its place is written down."""
    if not rule.by_ra and options.keypass is None and "key_pass" not in options.read_from_stdin:
        # of keys whose passphrase no run remembers
        options = replace(options, keypass=options.key_pass)
    folder = Path(options.out) if options.out else free_folder(holding.path, "renewed")
    refuse_used(folder)
    own = folder / SIGNERS_FOLDER

    def prepare() -> None:
        holding.add_renewal(folder)
        write_signers(own, holding, signers(judged))

    try:
        begun = begin_on(
            *population(judged, rule, own), options, folder, os.environ, on_made=prepare
        )
    except BaseException:
        if not holds_run(folder):
            holding.drop_renewal(folder)
            shutil.rmtree(own, ignore_errors=True)
        raise
    write_listing(folder / DUE_FILE, listed(judged))
    return begun


def _print_plan(
    judged: Sequence[Judged], counts: Mapping[Standing, int], *, json: bool, written: Path | None
) -> None:
    with printing("the list", "give --list FILE to have it in a file"):
        if json:
            figures = {standing.value: count for standing, count in counts.items()}
            found = {"certificates": len(judged), "standing": figures}
            typer.echo(json_text.dumps(found, indent=2))
        elif written is None:
            typer.echo(listing(listed(judged)).decode(), nl=False)


def _told(source: Path, counts: Mapping[Standing, int]) -> str:
    total = sum(counts.values())
    parts = ", ".join(f"{count:,} {standing}" for standing, count in counts.items())
    return f"{total:,} found in {source}: {parts or 'nothing to renew'}"


def _complain(errors: Errors, judged: Sequence[Judged]) -> None:
    """Name what should be renewed and can't be."""
    failures = [one for one in judged if one.standing.is_failure]
    for one in failures[:_MOST_FAILURES]:
        detail = f": {one.detail}" if one.detail else ""
        errors.say(f"not renewed: {one.held.id}: {one.standing}{detail}")
    if len(failures) > _MOST_FAILURES:
        errors.say(f"and {len(failures) - _MOST_FAILURES:,} more: --list FILE has them all")


def _code(counts: Mapping[Standing, int]) -> int:
    return EXIT_SOME_FAILED if any(one.is_failure for one in counts) else EXIT_OK
