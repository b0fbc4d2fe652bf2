"""`bulkcmp revoke`: revoke what runs and load tests had issued, or any other certificates."""

import datetime as dt
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from bulkcmp.cli import option
from bulkcmp.cli.completion import one_of
from bulkcmp.cli.enroll import enroll
from bulkcmp.cli.log import logged
from bulkcmp.cli.show import Errors, run_and_show, warn
from bulkcmp.engine.holding import add_revocation, drop_revocation, open_holding
from bulkcmp.engine.load.cleanup import (
    Cleanup,
    clean_up,
    cleanup,
    cleanups,
    kept_settings,
    remnants,
)
from bulkcmp.engine.migration.migration import refuse_migration
from bulkcmp.engine.options import Options
from bulkcmp.engine.plan import Plan
from bulkcmp.engine.revocation import (
    Confirmation,
    Selection,
    Target,
    confirm,
    listed_confirmations,
    select,
    select_listed,
)
from bulkcmp.engine.start import begin_on, free_folder, refuse_used
from bulkcmp.errors import (
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_SOME_FAILED,
    InputError,
    Interrupted,
)
from bulkcmp.inputs.credential import certified_subject, read_certificates
from bulkcmp.inputs.field import option_name
from bulkcmp.inputs.file import read_file
from bulkcmp.inputs.name import format_name
from bulkcmp.inputs.secret import read_secret
from bulkcmp.inputs.serials import Base, is_serial_list, read_serials
from bulkcmp.io.loop import run as run_loop
from bulkcmp.journal.folder import holds_run
from bulkcmp.journal.journal import Journal
from bulkcmp.load.certified import Certified
from bulkcmp.load.folder import CERTIFICATES, SETTINGS
from bulkcmp.model import Operation, OutcomeClass
from bulkcmp.outputs.listing import write_listing
from bulkcmp.ui.progress import show_progress

CONFIRMATION_FILE: Final = "confirmation.csv"

_PANEL: Final = "What is revoked"

_MOST_FAILURES: Final = 10

_RATE: Final = 50.0
"""Requests/s at most, where the user says nothing: the CA has other things to do."""

_STDIN: Final = "-"

_NOT_OF_REVOCATIONS: Final = (
    *option.OF_SOURCES,
    "population", "cmd", "subject", "sans", "san_nodefault", "keyusage", "extkeyusage",
    "policy_oids", "extensions", "extensions_from", "newkey", "newkeypass", "centralkeygen", "popo",
    "days", "not_before", "not_after", "profile", "csr", "oldcert", "serial", "infotype",
    "oldwithold", "crlcert", "oldcrl", "regtoken", "authenticator", "reginfo", "key_pass",
    "plain_keys", "keys", "keys_pass", "out_format", "lint", "lint_profile", "lint_every",
    "lint_fail", "accept_revoked", "skip_bad_rows", "trust_first_ca_cert", "implicit_confirm",
    "disable_confirm", "out_chain", "subject_check", "on_issued", "on_issued_attempts",
    "on_issued_bearer", "on_issued_concurrency", "on_issued_env", "on_issued_timeout",
    "on_issued_url", "cluster", "cluster_tls_ca", "cluster_tls_cert", "cluster_tls_key",
)  # fmt: skip


@logged
@option.with_those_of(enroll, but=_NOT_OF_REVOCATIONS)
def revoke(
    source: Annotated[
        str,
        typer.Argument(
            metavar="RUN|FOLDER|POPULATION|SERIALS|-",
            help="Folder of a run or of a load test; certificates; a population with column cert or"
            " oldcert; or a list of serial numbers, - reads it from standard input.",
            show_default=False,
        ),
    ],
    revreason: Annotated[
        str | None,
        typer.Option(
            "--revreason",
            "--reason",
            help="CRLReason: name or number.",
            metavar="REASON",
            autocompletion=one_of(option.REASONS),
            rich_help_panel=_PANEL,
            show_default=False,
        ),
    ] = None,
    ids: Annotated[
        str | None,
        typer.Option(
            help="Of these rows only: ids with commas between them, or file:PATH with one a line.",
            metavar="LIST",
            rich_help_panel=_PANEL,
            show_default=False,
        ),
    ] = None,
    renewed: Annotated[
        bool,
        typer.Option(
            "--renewed",
            help="Of a run: those certificates only that bulkcmp renew has renewed.",
            metavar="",
            rich_help_panel=_PANEL,
            show_default=False,
        ),
    ] = False,
    serials: Annotated[
        Base,
        typer.Option(
            help="How serial numbers of a list are meant that have no 0x in front.",
            rich_help_panel=_PANEL,
        ),
    ] = Base.AUTO,
    confirm_crl: Annotated[
        list[str] | None,
        typer.Option(
            help="Look up in this CRL afterwards if it is so: a file, an http or https URL, or cdp"
            " for where the certificates say; may be repeated.",
            metavar="CRL",
            rich_help_panel=_PANEL,
            show_default=False,
        ),
    ] = None,
    quiet: option.Quiet = False,
    json: option.Json = False,
    **given: Any,
) -> None:
    """Revoke certificates, in a run of its own.

    Each request is protected by the certificate's own key (RFC 9483, 4.2), or, where the options
    name a credential (--secret, or --cert and --key), by that, an RA's. What is revoked already is
    done. --rate is 50 where it is not given. The run can be resumed as any other.

    What a load test had issued is revoked with the options of the test, but for those given here,
    which are for each of its servers: the same command again tries what is left.

    Exit codes: 0 all are revoked, 1 some are not, 2 bad input or usage, 130 interrupted.

    Example: bulkcmp revoke runs/17 --reason superseded --renewed --ref ra1 --secret env:RA_SECRET
    --server http://127.0.0.1:8829/ejbca/publicweb/cmp/ra-hmac --trusted ca/ca.pem
    """
    given["revreason"] = revreason
    path = Path(source)
    if source != _STDIN and (path / SETTINGS).exists() and not holds_run(path):
        _refuse_for_load_tests(given, ids=ids, renewed=renewed, confirm_crl=confirm_crl)
        raise typer.Exit(_clean_up(path, given, quiet=quiet))
    refuse_migration(path)
    options = _options(given)
    selection = _selection(source, options, ids=_ids(ids), renewed=renewed, base=serials)
    errors = Errors()
    told = _told(source, selection)
    if not quiet:
        errors.say(told)
    for flaw in selection.flaws[:_MOST_FAILURES]:
        errors.say(f"not revoked: {flaw}")
    is_partial = any(left.is_failure for left in selection.left)
    if not selection.targets:
        raise typer.Exit(EXIT_SOME_FAILED if is_partial else EXIT_OK)
    beside = Path("runs/serials") if source == _STDIN else path
    folder = Path(options.out) if options.out else free_folder(beside, "revoked")
    refuse_used(folder)
    began = dt.datetime.now(dt.UTC)
    plan, record = _begin(source, selection, options, folder)
    plan = replace(plan, notes=(*plan.notes, told), is_partial=is_partial)
    with record:
        code = run_and_show("revoke", plan, record, resumed=False, quiet=quiet, json=json)
        if confirm_crl and code != EXIT_INTERRUPTED:
            done = _done(record, selection.targets)
            code = _confirm(errors, plan, folder, done, confirm_crl, began, quiet=quiet) or code
    raise typer.Exit(code)


def _begin(
    source: str, selection: Selection, options: Options, folder: Path
) -> tuple[Plan, Journal]:
    """Begin the run that revokes; where it is of a run, that one knows it before."""
    run = Path(source) if source != _STDIN and holds_run(Path(source)) else None

    def note() -> None:
        if run is not None:
            add_revocation(run, folder)

    try:
        return begin_on(*selection.population(), options, folder, os.environ, on_made=note)
    except BaseException:
        if run is not None and not holds_run(folder):
            drop_revocation(run, folder)
        raise


def _options(given: Mapping[str, Any]) -> Options:
    known = {name: value for name, value in given.items() if name in Options.known()}
    known |= {"out": given["out"], "save_messages": given["save_messages"]}
    options = Options.read(given["config"] or (), known)
    return replace(
        options,
        cmd=Operation.RR.value,
        rate=options.rate or _RATE,
        accept_revoked=True,
        skip_bad_rows=True,
    )


def _selection(
    source: str, options: Options, *, ids: frozenset[str] | None, renewed: bool, base: Base
) -> Selection:
    """What is to be revoked.

    Raises:
        InputError: it can't be read, or an option is not for such a source.
    """
    path = Path(source)
    # as in openssl cmp, --key may be on a token that has the certificate too
    by_ra = options.secret is not None or options.cert is not None or options.key is not None
    if renewed and not (source != _STDIN and holds_run(path)):
        raise InputError("--renewed is for the folder of a run, which knows what renewed it")
    if source == _STDIN and options.read_from_stdin:
        option_ = option_name(options.read_from_stdin[0])
        raise InputError(
            f"{option_} and the list can't both be read from standard input",
            hint="give the secret as env:NAME or file:PATH",
        )
    text = sys.stdin.read() if source == _STDIN else _list_in(path)
    if text is not None:
        if ids is not None:
            raise InputError("--ids is for certificates of runs, folders and populations")
        if not by_ra and not options.unprotected_requests:
            raise InputError(
                "serial numbers have no key: who asks for their revocation?",
                hint="give an RA's credential: --ref TEXT and --secret SOURCE, or --cert FILE and"
                " --key FILE",
            )
        name = "standard input" if source == _STDIN else source
        return select_listed(read_serials(text, name, base), _issuer(options))
    password = (
        None if by_ra or options.keypass is None else read_secret(options.keypass, os.environ)
    )
    with open_holding(
        path, password, keeps_passphrase=options.keypass is None, with_renewals=renewed
    ) as holding:
        return select(holding, by_ra=by_ra, renewed_only=renewed, ids=ids)


def _list_in(path: Path) -> str | None:
    """The text of a list of serial numbers; None where a path is something else."""
    if not path.is_file():
        return None
    try:
        text = read_file(path).decode("utf-8-sig")
    except UnicodeDecodeError:
        return None
    return text if is_serial_list(text) else None


def _issuer(options: Options) -> str | None:
    """Whose serial numbers they are that name no issuer: --issuer, or the only --trusted."""
    if options.issuer is not None:
        return options.issuer
    found = [der for file in options.trusted for der in read_certificates(Path(file))]
    return format_name(certified_subject(found[0])) if len(found) == 1 else None


def _ids(text: str | None) -> frozenset[str] | None:
    if text is None:
        return None
    if text.startswith("file:"):
        lines = read_file(Path(text.removeprefix("file:"))).decode(errors="replace").splitlines()
    else:
        lines = text.split(",")
    ids = frozenset(line.strip() for line in lines if line.strip())
    if not ids:
        raise InputError("--ids names no row", hint="leave it away to revoke all")
    return ids


def _told(source: str, selection: Selection) -> str:
    left = sum(selection.left.values())
    parts = [f"{len(selection.targets):,} to revoke"]
    parts += [f"{count:,} {why}" for why, count in selection.left.items()]
    return f"{len(selection.targets) + left:,} found in {source}: {', '.join(parts)}"


def _done(record: Journal, targets: Sequence[Target]) -> list[Target]:
    """Those that the CA says are revoked."""
    revoked = {
        result.id
        for result, _ in record.results()
        if result.outcome.outcome is OutcomeClass.REVOKED
    }
    return [one for one in targets if one.id in revoked]


def _confirm(
    errors: Errors,
    plan: Plan,
    folder: Path,
    done: Sequence[Target],
    sources: Sequence[str],
    since: dt.datetime,
    *,
    quiet: bool,
) -> int:
    """Look up in CRLs what was revoked, say what they say, and return the exit code."""
    try:
        confirmed = run_loop(partial(confirm, done, sources, plan.setup, since))
    except InputError as error:
        errors.say(f"not confirmed: {error}" + (f" ({error.hint})" if error.hint else ""))
        return EXIT_SOME_FAILED
    write_listing(folder / CONFIRMATION_FILE, listed_confirmations(confirmed))
    counts = {kind: sum(one.confirmation is kind for one in confirmed) for kind in Confirmation}
    parts = ", ".join(f"{count:,} {kind}" for kind, count in counts.items() if count)
    is_whole = counts[Confirmation.CONFIRMED] == len(confirmed)
    if not quiet or not is_whole:
        where = folder / CONFIRMATION_FILE
        errors.say(f"{len(confirmed):,} revocations by the CRL: {parts or 'none'}; see {where}")
    return EXIT_OK if is_whole else EXIT_SOME_FAILED


# --- load tests -----------------------------------------------------------------------------------


def _refuse_for_load_tests(
    given: Mapping[str, Any], *, ids: str | None, renewed: bool, confirm_crl: list[str] | None
) -> None:
    asked = {
        "--ids": ids, "--renewed": renewed, "--confirm-crl": confirm_crl, "--out": given["out"],
        "--config": given["config"], "--save-messages": given["save_messages"],
    }  # fmt: skip
    for name, value in asked.items():
        if value:
            raise InputError(f"{name} is not for the folder of a load test")


def _clean_up(run: Path, given: Mapping[str, Any], *, quiet: bool) -> int:
    """Revoke what is left of a load test, and return the exit code."""
    known = {name: value for name, value in given.items() if name in Options.known()}
    kept, left = kept_settings(run), remnants(run)
    how = cleanups(
        kept.servers,
        {one.server for one in left},
        kept.revoke_at,
        lambda facts: cleanup(Options.resumed(facts, known), os.environ),
    )
    return clean_up_and_show(how, run, left, quiet=quiet)


def clean_up_and_show(
    how: Mapping[str, Cleanup], folder: Path, left: Sequence[Certified], *, quiet: bool
) -> int:
    """Revoke what a load test left, say what came of it, and return the exit code.

    Args:
        how, folder, left: as of `clean_up`, but that nothing may be left.

    Raises:
        Interrupted: by a signal that came too early or too late to be heeded in good order.
        BulkcmpError: something of this machine failed, or the server was never reached.
    """
    errors = Errors()

    def notice(what: str) -> None:
        if not quiet:
            errors.say(what)

    if not left:
        notice("nothing is left to revoke")
        return EXIT_OK
    warn(errors, [note for one in how.values() for note in one.notes])
    try:
        with show_progress(
            "revoking certificates", "certificates", len(left), quiet=quiet
        ) as progress:

            def tell(done: int) -> None:
                errors.survive(lambda: progress(done))

            cleaned = run_loop(
                partial(clean_up, how, folder, left, on_progress=tell, on_notice=notice)
            )
    except KeyboardInterrupt:
        raise Interrupted(hint=f"bulkcmp revoke {folder} goes on") from None
    for one, ending in cleaned.failures[:_MOST_FAILURES]:
        why = ": ".join(part for part in (ending.reason, ending.detail) if part)
        errors.say(f"not revoked: {one.serial:X} of {one.id}: {ending.outcome.value}: {why}")
    if len(cleaned.failures) > _MOST_FAILURES:
        more = len(cleaned.failures) - _MOST_FAILURES
        errors.say(f"and {more:,} more, see {folder / CERTIFICATES}")
    notice(f"{cleaned.revoked:,} of {cleaned.count:,} certificates were revoked")
    if cleaned.revoked < cleaned.count:
        errors.say(
            f"{cleaned.count - cleaned.revoked:,} are not: bulkcmp revoke {folder} tries again"
        )
    if cleaned.interrupted:
        return EXIT_INTERRUPTED
    return EXIT_OK if cleaned.revoked == cleaned.count else EXIT_SOME_FAILED
