"""What a run leaves behind besides its journal: results.csv, the credentials, summary.json."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Final

import anyio.to_thread

from bulkcmp.engine.plan import Plan
from bulkcmp.journal.journal import Journal
from bulkcmp.model import BadRow, Outcome, OutcomeClass, RowResult
from bulkcmp.outputs.credentials import (
    Credential,
    CredentialFiles,
    OutFormat,
    credential_files,
    write_credentials,
)
from bulkcmp.outputs.results import write_results
from bulkcmp.stats.tally import Tally

RESULTS_FILE: Final = "results.csv"
CREDENTIALS_FOLDER: Final = "certs"
SUMMARY_FILE: Final = "summary.json"

_CHUNK: Final = 64


def write_table(plan: Plan, journal: Journal, flaws: Mapping[int, str]) -> Tally:
    """Write results.csv: a line for each row of the population.

    Args:
        flaws: the lint rule that a row's certificate breaks, by its number, where that is a
            failure.

    Returns:
        The outcomes of all of them.

    Raises:
        BulkcmpError: the file system or the journal failed.
    """
    tally = Tally()

    def counted() -> Iterator[RowResult]:
        for result in _all_results(plan, journal):
            flaw = flaws.get(result.number)
            if flaw is not None and result.outcome.outcome.is_done:
                result = _flawed(result, flaw)
            tally.add(result.outcome.outcome, result.outcome.reason)
            yield result

    write_results(
        journal.folder / RESULTS_FILE, counted(), files=lambda row: _files(plan.out_format, row)
    )
    return tally


async def write_files(plan: Plan, journal: Journal) -> None:
    """Write the credentials of all rows that have one; files that are whole are left alone.

    Raises:
        BulkcmpError: the file system or the journal failed.
    """
    items = _credentials(journal)
    while chunk := await anyio.to_thread.run_sync(_take, items):
        await anyio.to_thread.run_sync(
            write_credentials,
            journal.folder / CREDENTIALS_FOLDER,
            plan.out_format,
            chunk,
            plan.key_pass,
            plan.plain_keys,
        )


def _all_results(plan: Plan, journal: Journal) -> Iterator[RowResult]:
    """One result for each row of the population, in its order; those not taken up are `to do`."""
    known = (result for result, _ in journal.results())
    if plan.census is not None and plan.census.rows == journal.count():
        yield from known
        return
    result = next(known, None)
    for row in plan.rows:
        if result is not None and result.number == row.number:
            yield result
            result = next(known, None)
            continue
        cmd = None if isinstance(row, BadRow) else row.cmd
        yield RowResult(row.number, row.line, row.id, cmd, Outcome(OutcomeClass.TO_DO))


def _flawed(result: RowResult, rule: str) -> RowResult:
    outcome = replace(
        result.outcome,
        outcome=OutcomeClass.ISSUED_FLAWED,
        reason=rule,
        detail="--lint-fail: the certificate breaks this rule, and is confirmed all the same",
    )
    return replace(result, outcome=outcome)


def _files(out_format: OutFormat, result: RowResult) -> CredentialFiles:
    if result.certificate is None:
        return CredentialFiles()
    names = credential_files(out_format, result.id, has_key=result.has_key)
    folder = Path(CREDENTIALS_FOLDER)
    return CredentialFiles(
        str(folder / names.certificate), str(folder / names.key) if names.key else ""
    )


def _credentials(journal: Journal) -> Iterator[Credential]:
    for result, key in journal.results(with_keys=True):
        if result.certificate is not None:
            yield Credential(result.id, key, result.certificate, result.chain)


def _take(items: Iterator[Credential]) -> list[Credential]:
    return list(islice(items, _CHUNK))
