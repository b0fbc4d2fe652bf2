"""How a migration stands: its users, by what the journals of both runs say."""

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from heapq import merge
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import Final, TypeVar

from bulkcmp.engine.migration.input import ENROLLMENT, REVOCATION, User
from bulkcmp.engine.migration.migration import Migration
from bulkcmp.engine.precedence import awaited, is_over, must_deliver
from bulkcmp.errors import EXIT_INTERRUPTED, EXIT_OK, EXIT_SOME_FAILED, InputError, Where
from bulkcmp.journal.folder import holds_run
from bulkcmp.journal.journal import Journal
from bulkcmp.model import BadRow, Outcome, OutcomeClass, RevocationReason, RowResult
from bulkcmp.outputs.migration import (
    MigrationSummary,
    OldState,
    RollbackLine,
    Standing,
    write_migration,
    write_rollback,
)
from bulkcmp.outputs.rejected import rejecting
from bulkcmp.outputs.summary import PopulationFacts, RunSummary

ROLLBACK_FILE: Final = "rollback.csv"
REJECTED_FILE: Final = "rejected.csv"
SUMMARY_FILE: Final = "summary.json"

_REVOKED_BEFORE: Final = ("certRevoked",)
"""failInfo of a certificate that is revoked already."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Found:
    """A user, and what became of its rows; None where they were not taken up."""

    user: User
    new: RowResult | None
    old: dict[int, RowResult]
    is_enrolled: bool
    """It has its certificate, and that was delivered where it is to be."""


@dataclass(slots=True)
class _Count:
    users: Counter[Standing] = field(default_factory=Counter)
    old: Counter[OldState] = field(default_factory=Counter)


def report(
    migration: Migration, enrollment: RunSummary | None, revocation: RunSummary | None
) -> MigrationSummary:
    """Write rollback.csv, rejected.csv and summary.json of a migration, at which nobody is at work.

    Args:
        enrollment, revocation: of the session that has just ended; None where it had none.

    Raises:
        BulkcmpError: the file system or a journal failed.
    """
    facts, folder = migration.facts, migration.folder
    count = _Count()
    count.users[Standing.REJECTED] = facts["rejected"]
    held = RevocationReason[facts["old"]["revreason"].upper()]

    def lines() -> Iterator[RollbackLine]:
        for found in _found(migration):
            made = list(_lines(found, held))
            states = [one.old_state for one in made[: len(found.user.revoked)]]
            count.users[_standing(found, states)] += 1
            count.old.update(one.old_state for one in made if one.old_state is not None)
            yield from made

    write_rollback(folder / ROLLBACK_FILE, lines())
    failed = (_failure(found, facts["population"]) for found in _found(migration))
    left = merge(migration.input.rejected(), filter(None, failed), key=lambda row: row.number)
    with rejecting(folder / REJECTED_FILE) as reject:
        for row in left:
            reject(row)
    summary = MigrationSummary(
        tool_version=version("bulkcmp"),
        population=PopulationFacts(facts["population"], facts["population_sha256"], facts["users"]),
        began=dt.datetime.fromisoformat(facts["began"]),
        ended_at=dt.datetime.now(dt.UTC),
        users=count.users,
        cases=facts["cases"],
        old=count.old,
        enrollment=None if enrollment is None else enrollment.exit_code,
        revocation=None if revocation is None else revocation.exit_code,
        interrupted=any(one is not None and one.interrupted for one in (enrollment, revocation)),
        exit_code=EXIT_OK,
        folder=str(folder),
        notes=(*migration.notes(), *_notes(migration, enrollment)),
    )
    summary = replace(summary, exit_code=_exit_code(summary))
    write_migration(folder / SUMMARY_FILE, summary)
    return summary


def _notes(migration: Migration, enrollment: RunSummary | None) -> tuple[str, ...]:
    if enrollment is None or not enrollment.canary_failed or not migration.revokes:
        return ()
    return (
        "no old certificate is revoked while the canary at the new CA fails: bulkcmp resume"
        f" {migration.folder} --retry-failed tries it again, --canary 0 goes on without",
    )


def _exit_code(summary: MigrationSummary) -> int:
    if summary.interrupted:
        return EXIT_INTERRUPTED
    done = sum(count for standing, count in summary.users.items() if standing.is_done)
    return EXIT_OK if done == summary.population.rows else EXIT_SOME_FAILED


def _found(migration: Migration) -> Iterator[_Found]:
    delivered = must_deliver(migration.facts["new"])
    new = _following(_results(migration.folder / ENROLLMENT), lambda one: one.number)
    old = _following(_results(migration.folder / REVOCATION), lambda one: awaited(one.id)[0])
    for user in migration.input.users():
        mine = next(iter(new(user.number)), None)
        places = {awaited(one.id)[1]: one for one in old(user.number)}
        yield _Found(user, mine, places, mine is not None and is_over(mine, delivered=delivered))


def _results(folder: Path) -> Iterator[RowResult]:
    if not holds_run(folder):
        return
    with Journal.open(folder) as journal:
        for result, _ in journal.results():
            yield result


def _following(items: Iterator[T], number: Callable[[T], int]) -> Callable[[int], list[T]]:
    """Gives the items with a number, which is asked for in ascending order."""
    groups = ((key, list(group)) for key, group in groupby(items, number))
    held = next(groups, None)

    def take(wanted: int) -> list[T]:
        nonlocal held
        if held is None or held[0] != wanted:
            return []
        taken = held[1]
        held = next(groups, None)
        return taken

    return take


def _lines(found: _Found, reason: RevocationReason) -> Iterator[RollbackLine]:
    """A line for each old certificate, those that were to be revoked first; one at least."""
    user, new = found.user, found.new
    old: list[tuple[str, OldState | None]] = []
    for place, serial in enumerate(user.revoked, start=1):
        old.append((serial, _old_state(found.old.get(place), user.reason or reason)))
    old += [(serial, OldState.VALID) for serial in user.left]
    old += [(serial, OldState.EXPIRED) for serial in user.expired]
    serial = "" if new is None or new.serial is None else f"{new.serial:X}"
    state = OutcomeClass.TO_DO if new is None else new.outcome.outcome
    for old_serial, old_state in old or [("", None)]:
        yield RollbackLine(user.id, serial, state.value, old_serial, old_state, user.row, user.line)


def _old_state(result: RowResult | None, reason: RevocationReason) -> OldState:
    if result is None:
        return OldState.VALID
    outcome = result.outcome
    if outcome.outcome is OutcomeClass.REVOKED:
        on_hold = reason is RevocationReason.CERTIFICATE_HOLD
        return OldState.ON_HOLD if on_hold else OldState.REVOKED
    if outcome.outcome is OutcomeClass.REJECTED and outcome.fail_info == _REVOKED_BEFORE:
        return OldState.REVOKED_BEFORE
    return OldState.UNKNOWN if outcome.outcome.is_uncertain else OldState.VALID


def _standing(found: _Found, states: list[OldState | None]) -> Standing:
    """
    Args:
        states: of the old certificates that are to be revoked.
    """
    if not found.is_enrolled:
        issued = found.new is not None and found.new.is_deliverable
        return Standing.NOT_DELIVERED if issued else Standing.NOT_ENROLLED
    if not states:
        return Standing.ENROLLED
    done = all(state is not None and state.is_done for state in states)
    return Standing.MIGRATED if done else Standing.NOT_REVOKED


def _failure(found: _Found, population: str) -> BadRow | None:
    """Why a user is not migrated, if it is not."""
    user, new = found.user, found.new
    where = Where(population, user.line, row=user.row)
    problems: list[InputError] = []
    if new is None or not new.is_deliverable:
        outcome = Outcome(OutcomeClass.TO_DO) if new is None else new.outcome
        problems.append(InputError(f"not enrolled: {_said(outcome)}", where=where))
    elif not found.is_enrolled:
        why = new.delivery.reason or new.delivery.state.value
        problems.append(InputError(f"not delivered: {why}", where=where))
    else:
        for place, serial in enumerate(user.revoked, start=1):
            result = found.old.get(place)
            if _old_state(result, RevocationReason.SUPERSEDED).is_done:
                continue
            outcome = Outcome(OutcomeClass.TO_DO) if result is None else result.outcome
            what = f"old certificate {serial} not revoked: {_said(outcome)}"
            problems.append(InputError(what, where=where))
    return BadRow(user.row, user.line, user.id, tuple(problems)) if problems else None


def _said(outcome: Outcome) -> str:
    parts = (outcome.outcome.value, outcome.reason, outcome.detail, outcome.status_text)
    return ": ".join(part for part in parts if part)
