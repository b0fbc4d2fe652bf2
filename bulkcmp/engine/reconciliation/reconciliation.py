"""The reconciliation of a run with what its CA says, from evidence to findings."""

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import anyio.to_thread

from bulkcmp.cmp import general
from bulkcmp.cmp.asn1 import decode_sequence_of, encode
from bulkcmp.cmp.evidence import Evidence as Trusted
from bulkcmp.engine.crl import CDP, Revocations, checked_revocations, read_revocations
from bulkcmp.engine.options import INSECURE, Options
from bulkcmp.engine.probe import Outputs, probe
from bulkcmp.engine.reconciliation.adoption import Adoption, adopt
from bulkcmp.engine.reconciliation.comparison import Evidence, Findings, compare
from bulkcmp.engine.reconciliation.ledger import Ledger, named_by
from bulkcmp.errors import EXIT_OK, EXIT_SOME_FAILED, BulkcmpError, InputError, Where
from bulkcmp.inputs.issued import IssuedList
from bulkcmp.inputs.population import single_row
from bulkcmp.io.tls import tls_context
from bulkcmp.journal.journal import Journal
from bulkcmp.model import BadRow, DifferenceKind, Operation, RevocationReason, SubjectCheck
from bulkcmp.outputs.reconciliation import write_reconciliation

RECONCILIATION_FILE: Final = "reconciliation.csv"

_OLD: Final = frozenset({"cert", "oldcert"})
"""Columns that name a certificate which a row renews."""

_CREDENTIAL: Final = (
    "ref", "secret", "cert", "key", "keypass", "pkcs11_module", "unprotected_requests",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Request:
    """What a run is to be compared with.

    Attributes:
        crls: sources of CRLs, as `read_revocations` takes them.
        lists: of what the CA issued.
        genm: ask the CA for its CRL.
        adopt: take certificates whose answers were lost into the journal.
        given: options in the place of those of the run.
    """

    crls: tuple[str, ...]
    lists: tuple[IssuedList, ...]
    genm: bool
    adopt: bool
    given: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """What came of it.

    Attributes:
        evidence: what the run was compared with, in words.
        listed: certificates in the CA's lists; strangers: of them, those of no row of the run.
        limits: what the evidence can't tell, or proves less, in whole sentences.
        file: where all differences stand.
    """

    run_folder: str
    file: str
    rows: int
    evidence: tuple[str, ...]
    listed: int
    strangers: int
    findings: Findings
    limits: tuple[str, ...]
    adoption: Adoption | None

    @property
    def exit_code(self) -> int:
        """0 where both agree; a certificate that was adopted is no difference any more."""
        adopted = frozenset() if self.adoption is None else self.adoption.numbers
        left = (
            one
            for one in self.findings.differences
            if not (one.kind is DifferenceKind.ORPHANED and one.number in adopted)
        )
        return EXIT_SOME_FAILED if any(left) else EXIT_OK


async def reconcile(
    journal: Journal, request: Request, environ: Mapping[str, str]
) -> Reconciliation:
    """Compare a run with what its CA says, and write reconciliation.csv.

    Raises:
        InputError: evidence can't be read, or is not to be believed.
        BulkcmpError: the journal, the file system or the CA failed.
    """
    if not (request.crls or request.lists or request.genm):
        raise InputError(
            "compare it with what?",
            hint="give the CA's list with --issued, or its CRL with --crl or --genm",
        )
    facts = journal.facts
    options = Options.merge(facts["options"], request.given)
    is_open = _unlock(journal, facts["options"], request, environ)
    if request.adopt:
        if not is_open:
            raise InputError(
                "--adopt compares keys, and those of the run are sealed",
                hint="give --key-pass SOURCE, as for the run",
            )
        if not request.lists:
            raise InputError("--adopt, but no list to adopt from", hint="give --issued LIST")
        await anyio.to_thread.run_sync(partial(journal.hold, term=options.lease()))
        # what was cut off gets its outcome
        await anyio.to_thread.run_sync(journal.settle)
    journal_rows = _JournalRows(journal, facts, is_open=is_open)
    ledger = await anyio.to_thread.run_sync(journal_rows.ledger)
    unnamed = await anyio.to_thread.run_sync(_enter_named, ledger, options, facts, environ)
    ledger.close()
    now = dt.datetime.now(dt.UTC)
    trust = options.trust(journal.anchor)
    trusted = Trusted(trust, tuple(journal_rows.issuers), now)
    revocations = await _revocations(request, options, trusted, journal_rows, environ)
    listed, strangers = await anyio.to_thread.run_sync(_take_lists, ledger, request.lists)
    evidence = Evidence(
        revocations,
        max((one.written_at for one in request.lists), default=None),
        any(one.told.standings for one in request.lists),
    )
    findings = await anyio.to_thread.run_sync(compare, ledger, evidence, now)
    adoption = None
    if request.adopt:
        adoption = await anyio.to_thread.run_sync(
            partial(adopt, allow_weak=options.allow_weak),
            journal,
            findings.differences,
            {
                number: (account.cmd, account.subject)
                for number, account in ledger.accounts.items()
                if account.found
            },
            trust,
            SubjectCheck(options.subject_check),
            now,
        )
    file = journal.folder / RECONCILIATION_FILE
    await anyio.to_thread.run_sync(write_reconciliation, file, findings.differences)
    return Reconciliation(
        str(journal.folder),
        str(file),
        len(ledger.accounts),
        tuple(_described(request, revocations)),
        listed,
        strangers,
        findings,
        (
            *_limits(ledger, request, revocations, findings, unnamed, is_open=is_open),
            *_weakened(request, options),
        ),
        adoption,
    )


def _unlock(
    journal: Journal, facts: Mapping[str, Any], request: Request, environ: Mapping[str, str]
) -> bool:
    """Open the keys of a run, where that is possible: they find certificates, and are not shown.

    Raises:
        InputError: the passphrase that was given is wrong.
    """
    if journal.is_plain:
        journal.unlock(None)
        return True
    given = request.given.get("key_pass")
    kept = {"key_pass": facts.get("key_pass")}
    try:
        passphrase = Options.resumed(kept, {"key_pass": given}).key_passphrase(environ)
        journal.unlock(passphrase)
    except InputError:
        if given is not None:
            raise
        return False
    return True


class _JournalRows:
    """What a journal has, read once for all.

    Attributes:
        issuers: DER of the certificates of all issuers, each once.
    """

    def __init__(self, journal: Journal, facts: Mapping[str, Any], *, is_open: bool) -> None:
        self._journal = journal
        self._is_open = is_open
        began_at = facts.get("began_at")
        self._began_at = None if began_at is None else dt.datetime.fromisoformat(began_at)
        self.issuers: dict[bytes, None] = {}

    def ledger(self) -> Ledger:
        ledger = Ledger(self._began_at)
        for row, key in self._journal.results(with_keys=self._is_open):
            ledger.enter(row, key)
            self.issuers |= dict.fromkeys(row.chain)
        ledger.enter_earlier(self._journal.earlier())
        return ledger

    def certificates(self) -> Iterator[bytes]:
        for row, _ in self._journal.results():
            if row.certificate is not None:
                yield row.certificate


def _enter_named(
    ledger: Ledger, options: Options, facts: Mapping[str, Any], environ: Mapping[str, str]
) -> str:
    """Take in what rows revoke, and what they renew, which only the population says; return why
    that can't be had."""
    population = str(facts["population"])
    is_named = any(one.cmd in (Operation.RR, Operation.KUR) for one in ledger.accounts.values())
    try:
        if not is_named and _OLD.isdisjoint(options.source(population).attributes):
            return ""
        options.refuse_changed(population, facts)
        for row in options.rows(population, environ):
            if isinstance(row, BadRow) or (held := named_by(row)) is None:
                continue
            if row.cmd is Operation.RR:
                off_hold = row.revocation_reason is RevocationReason.REMOVE_FROM_CRL
                ledger.enter_revocation(row.number, held, off_hold=off_hold)
            else:
                ledger.enter_predecessor(held)
    except InputError as error:
        return str(error)
    return "their rows can't be read" if ledger.accounts else ""


async def _revocations(
    request: Request,
    options: Options,
    trusted: Trusted,
    rows: _JournalRows,
    environ: Mapping[str, str],
) -> Revocations | None:
    found: list[Revocations] = []
    if request.crls:
        certificates: Sequence[bytes] = ()
        if CDP in request.crls:
            certificates = await anyio.to_thread.run_sync(lambda: list(rows.certificates()))
        tls = None
        if options.tls_trusted:
            tls = tls_context(trusted=[Path(path) for path in options.tls_trusted])
        found.append(
            await read_revocations(
                request.crls, trusted, certificates=certificates, tls=tls, proxy=options.proxy
            )
        )
    if request.genm:
        found.append(await _asked(options, request, trusted, environ))
    return Revocations(tuple(one for part in found for one in part.lists)) if found else None


async def _asked(
    options: Options, request: Request, trusted: Trusted, environ: Mapping[str, str]
) -> Revocations:
    """What the CA tells by currentCRL (RFC 9810, 5.3.19.6).

    Raises:
        BulkcmpError: it tells nothing.
    """
    options = Options.resumed(options.facts(), request.given)
    setup = options.setup(environ)
    own = {name: getattr(options, name) for name in _CREDENTIAL}
    own |= {"cmd": Operation.GENM.value, "infotype": "currentCRL"}
    row = single_row("reconcile", Options(**own).defaults(environ), environ)
    if isinstance(row, BadRow):
        raise row.problems[0]
    probed = await probe(replace(setup, certs_per_message=1), row, Outputs())
    infos = () if probed.part is None else probed.part.infos
    crls = [one.value for one in infos if one.oid == general.CURRENT_CRL and one.value is not None]
    crls += [
        encode(crl)
        for one in infos
        if one.oid == general.CRLS and one.value is not None
        for crl in decode_sequence_of(one.value)
    ]
    if not crls:
        outcome = probed.outcome
        said = ": ".join(part for part in (outcome.outcome.value, outcome.reason) if part)
        raise BulkcmpError(
            f"the CA tells no CRL by genm currentCRL ({said}; {outcome.detail})",
            where=Where(setup.url),
            hint="give its CRL with --crl FILE, URL or cdp",
        )
    return checked_revocations(crls, trusted, setup.url)


def _take_lists(ledger: Ledger, lists: Sequence[IssuedList]) -> tuple[int, int]:
    """How many certificates lists have, and how many of them are of no row."""
    listed = strangers = 0
    for one in lists:
        for issued in one:
            listed += 1
            strangers += not ledger.take(issued)
    return listed, strangers


def _described(request: Request, revocations: Revocations | None) -> Iterator[str]:
    for one in request.lists:
        yield f"list {one.path}, written {one.written_at:%Y-%m-%d %H:%M}Z"
    for crl in () if revocations is None else revocations.lists:
        yield f"CRL of {crl.crl}, made {crl.crl.this_update:%Y-%m-%d %H:%M}Z, {len(crl):,} entries"


def _weakened(request: Request, options: Options) -> Iterator[str]:
    """By what the evidence proves less."""
    if request.genm and options.insecure:
        yield f"While the CA was asked for its CRL, {INSECURE}."


def _limits(
    ledger: Ledger,
    request: Request,
    revocations: Revocations | None,
    findings: Findings,
    unnamed: str,
    *,
    is_open: bool,
) -> Iterator[str]:
    """What the evidence can't tell."""
    if not request.lists:
        yield (
            "A CRL tells nothing of what was issued: nothing was looked for but revocations"
            " (--issued LIST tells the rest)."
        )
    elif not any(one.told.standings for one in request.lists):
        yield "The list does not say which certificates wait for their confirmation."
    if request.lists:
        yield (
            "A list tells as much as the CA wrote into it: missing is what it leaves out, whatever"
            " the reason."
        )
    if revocations is None and not any(one.told.standings for one in request.lists):
        yield "Neither a CRL nor a status in the list: revocations were not looked for."
    for crl in () if revocations is None else revocations.lists:
        if crl.partial:
            yield f"The CRL of {crl.crl} does not prove that a certificate is good: {crl.partial}."
    if request.lists and not is_open:
        yield (
            "The run's keys stay sealed without --key-pass: certificates whose answers were lost"
            " were looked for by transactionID and subject only."
        )
    elif request.lists and not any(one.told.keys for one in request.lists):
        yield "The list names no keys: lost certificates were looked for by their subject only."
    if ledger.unread and is_open and request.lists:
        yield f"The keys of {ledger.unread:,} rows can't be compared with those of certificates."
    why = f": {unnamed}" if unnamed else ""
    if ledger.unnamed:
        yield f"Which certificates {ledger.unnamed:,} revocations were for is not known{why}."
    if request.lists and ledger.unrelated:
        yield (
            f"Which certificates {ledger.unrelated:,} rows renewed is not known{why}: it may be"
            " taken for a lost one."
        )
    if findings.too_late:
        yield (
            f"{findings.too_late:,} rows ended after the evidence was made: it can't tell of them."
        )
    if findings.untold > findings.too_late:
        yield f"Of {findings.untold - findings.too_late:,} other certificates it says nothing."
