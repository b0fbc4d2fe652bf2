"""What a run leaves behind besides its journal: results.csv, credentials, what the CA told,
summary.json."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, Final

import anyio.to_thread

from bulkcmp.cmp.general import encode_infos
from bulkcmp.engine.plan import OutputPlan, Plan
from bulkcmp.errors import InputError
from bulkcmp.filename import file_stem
from bulkcmp.inspect.text import lines_of
from bulkcmp.journal.journal import Journal
from bulkcmp.model import BadRow, Itav, Outcome, OutcomeClass, RowResult
from bulkcmp.outputs.credentials import (
    Credential,
    credential_files,
    possible_files,
    write_credentials,
)
from bulkcmp.outputs.information import information_files, write_information
from bulkcmp.outputs.manifest import (
    MANIFEST_FILE,
    SUMS_FILE,
    Listed,
    remove_damaged,
    write_manifest,
)
from bulkcmp.outputs.passwords import RowPassword, write_passwords
from bulkcmp.outputs.rejected import rejecting
from bulkcmp.outputs.results import RowFiles, serial_text, write_results
from bulkcmp.outputs.text import visible
from bulkcmp.stats.tally import Tally

RESULTS_FILE: Final = "results.csv"
REJECTED_FILE: Final = "rejected.csv"
CREDENTIALS_FOLDER: Final = "certs"
INFORMATION_FOLDER: Final = "info"
SUMMARY_FILE: Final = "summary.json"

_NOT_LISTED: Final = (".", "journal", MANIFEST_FILE, SUMS_FILE)
"""What names begin with that are no outputs of a run."""

_CHUNK: Final = 64


def write_table(plan: Plan, journal: Journal, flaws: Mapping[int, str]) -> Tally:
    """Write results.csv, a line for each row of the population; and rejected.csv, where bad rows
    are passed over.

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
        journal.folder / RESULTS_FILE,
        counted(),
        files=lambda row: files_of(plan.output, row),
        delivers=plan.delivery is not None,
    )
    if plan.skip_bad_rows:
        with rejecting(journal.folder / REJECTED_FILE) as reject:
            if tally.has(OutcomeClass.BAD_ROW):
                for row in plan.rows:
                    if isinstance(row, BadRow):
                        reject(row)
    return tally


def write_password_file(plan: Plan, journal: Journal) -> None:
    """Write the passwords of the rows that have files under one of their own.

    Raises:
        BulkcmpError: the file system or the journal failed.
    """
    # all keys would be unsealed for nothing
    if journal.has_passwords():
        write_passwords(journal.folder, _passwords(plan, journal), plan.output.recipients)


def _passwords(plan: Plan, journal: Journal) -> Iterator[RowPassword]:
    for result, _ in journal.results(with_keys=True):
        files = files_of(plan.output, result)
        own = result.out_pass
        if files.key and own is not None and own != plan.output.password:
            yield RowPassword(result.id, result.number, files.key, own)


async def write_files(plan: Plan, journal: Journal) -> None:
    """Write the credentials of all rows that have one, and what the CA told to genms; files that
    are whole are left alone, those that are not what the last manifest says are made again.

    Raises:
        BulkcmpError: the file system or the journal failed.
    """
    await anyio.to_thread.run_sync(
        remove_damaged, journal.folder, (CREDENTIALS_FOLDER, INFORMATION_FOLDER)
    )
    items = _with_files(journal)
    while chunk := await anyio.to_thread.run_sync(_take, items):
        await anyio.to_thread.run_sync(write_rows, plan, journal.folder, chunk)


def write_rows(plan: Plan, folder: Path, rows: Sequence[tuple[RowResult, bytes | None]]) -> None:
    """The same for some rows, with their keys.

    Raises:
        BulkcmpError: the file system failed.
    """
    credentials = [
        Credential(
            result.id,
            key,
            result.certificate,
            result.chain,
            result.out_name,
            result.out_pass,
        )
        for result, key in rows
        if result.certificate is not None
    ]
    if credentials:
        write_credentials(
            folder / CREDENTIALS_FOLDER,
            plan.output.formats,
            plan.output.chain,
            credentials,
            plan.key_pass,
            plan.plain_keys,
        )
    for result, _ in rows:
        if result.infos:
            infos = result.infos
            write_information(folder / INFORMATION_FOLDER, result.id, infos, _shown(infos))


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


class _LeftError(Exception):
    """The session is left at once."""


def write_manifest_files(
    plan: Plan, journal: Journal, facts: Mapping[str, Any], is_left: Callable[[], bool]
) -> bool:
    """Write manifest.json and SHA256SUMS of all that the run left behind.

    Args:
        facts: what is said of the session, JSON-able.
        is_left: whether to give it up, for the user's sake; asked again and again.

    Returns:
        Whether they are written.

    Raises:
        BulkcmpError: the file system or the journal failed.
    """

    def files() -> Iterator[Listed]:
        for one in _outputs(plan, journal):
            if is_left():
                raise _LeftError
            yield one

    head = {"run": journal.run_id, "label": plan.output.label, "operator": plan.output.operator}
    try:
        write_manifest(journal.folder, head | dict(facts), files())
    except _LeftError:
        return False
    return True


def _outputs(plan: Plan, journal: Journal) -> Iterator[Listed]:
    """All files that there may be: those of rows, then those of the run itself."""
    for result, _ in journal.results():
        about = {"row": result.number, "id": result.id, "serial": serial_text(result.serial)}
        if result.certificate is not None:
            for name in possible_files(plan.output.formats, _stem(result)):
                yield Listed(f"{CREDENTIALS_FOLDER}/{name}", about)
        for name in files_of(plan.output, result).infos:
            yield Listed(name, about)
    for path in sorted(journal.folder.iterdir()):
        if path.is_file() and path.name.isascii() and not path.name.startswith(_NOT_LISTED):
            yield Listed(path.name, {})


def files_of(output: OutputPlan, result: RowResult) -> RowFiles:
    """The files of a row, as `write_rows` makes them."""
    if result.infos:
        folder = Path(INFORMATION_FOLDER)
        infos = information_files(result.id, result.infos)
        return RowFiles(infos=tuple(str(folder / name) for name in infos))
    if result.certificate is None:
        return RowFiles()
    names = credential_files(output.formats, _stem(result), has_key=result.has_key)
    folder = Path(CREDENTIALS_FOLDER)
    return RowFiles(str(folder / names.certificate), str(folder / names.key) if names.key else "")


def _stem(result: RowResult) -> str:
    return result.out_name or file_stem(result.id)


@lru_cache(maxsize=64)
def _shown(infos: tuple[Itav, ...]) -> str:
    """What the CA told, as text; it tells many rows the same."""
    # loaded where it is used: pyasn1's modules were a third of every start, and few runs ask
    from bulkcmp.inspect.inspection import inspect_octets

    try:
        answer = inspect_octets(encode_infos(infos), "genp", kind="GenMsgContent")
        lines = list(lines_of(answer, None, visible))
    except InputError as error:
        lines = [visible(f"can't be shown: {error}")]
    return "\n".join(lines) + "\n"


def _with_files(journal: Journal) -> Iterator[tuple[RowResult, bytes | None]]:
    for result, key in journal.results(with_keys=True):
        if result.certificate is not None or result.infos:
            yield result, key


def _take(
    items: Iterator[tuple[RowResult, bytes | None]],
) -> list[tuple[RowResult, bytes | None]]:
    return list(islice(items, _CHUNK))
