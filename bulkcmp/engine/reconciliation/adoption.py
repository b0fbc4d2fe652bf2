"""Takes a certificate that the CA issued, and whose answer was lost, into the journal.

That is sound where three things hold: the journal has the private key of the certificate; the
certificate passes every check that an answer's would have had to pass; and the CA says that it is
valid, that is, waits for no confirmation, for the transaction that could bring one is lost.
"""

import datetime as dt
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from bulkcmp.cmp.algorithms import load_private_key, public_key_info
from bulkcmp.cmp.checks import issued
from bulkcmp.cmp.events import Phase
from bulkcmp.cmp.trust import Trust
from bulkcmp.errors import BulkcmpError
from bulkcmp.inputs.issued import Standing
from bulkcmp.inputs.name import parse_name
from bulkcmp.journal.entry import Advanced, Ended, Entry, RowState
from bulkcmp.journal.journal import Journal
from bulkcmp.model import (
    Difference,
    DifferenceKind,
    Operation,
    Outcome,
    OutcomeClass,
    SubjectCheck,
    Timings,
)

ADOPTED: Final = "adopted"
"""The reason of the outcome of a row whose certificate came from a list."""

_BATCH: Final = 256


@dataclass(frozen=True, slots=True)
class Adoption:
    """What came of adopting.

    Attributes:
        numbers: of the rows whose certificates the journal has now.
        refused: the others, and why not.
    """

    numbers: frozenset[int]
    refused: tuple[tuple[Difference, str], ...]


class _RefusedError(Exception):
    """Why a certificate is not adopted."""


def adopt(
    journal: Journal,
    differences: Sequence[Difference],
    requested: dict[int, tuple[Operation, str]],
    trust: Trust,
    subject_check: SubjectCheck,
    now: dt.datetime,
    *,
    allow_weak: bool,
) -> Adoption:
    """Take orphaned certificates into the journal.

    Args:
        journal: unlocked, and held.
        requested: operation, and the subject that was asked for, of the rows with orphans.
        now: aware.
        allow_weak: as of the run.

    Raises:
        BulkcmpError: the journal failed.
    """
    orphans = [one for one in differences if one.kind is DifferenceKind.ORPHANED]
    several = Counter(one.number for one in orphans if one.ca == Standing.VALID.value)
    adopted: set[int] = set()
    refused: list[tuple[Difference, str]] = []
    for begin in range(0, len(orphans), _BATCH):
        batch = orphans[begin : begin + _BATCH]
        states = journal.states({one.number for one in batch})
        entries: list[Entry] = []
        for one in batch:
            try:
                if several[one.number] > 1:
                    raise _RefusedError("the CA has several for the row")
                state = states[one.number]
                cmd, subject = requested[one.number]
                outcome, chain = _checked(
                    one, state, subject, trust, subject_check, now, allow_weak
                )
            except _RefusedError as error:
                refused.append((one, str(error)))
            else:
                adopted.add(one.number)
                entries += _entries(one, state, cmd, outcome, chain, now)
        if entries:
            journal.write(entries)
    return Adoption(frozenset(adopted), tuple(refused))


def _checked(
    one: Difference,
    state: RowState,
    subject: str,
    trust: Trust,
    subject_check: SubjectCheck,
    now: dt.datetime,
    allow_weak: bool,
) -> tuple[Outcome, tuple[bytes, ...]]:
    if not state.outcome.is_uncertain:
        raise _RefusedError(f"the row is {state.outcome.value}")
    if one.ca != Standing.VALID.value:
        raise _RefusedError(f"the CA says that it is {one.ca}")
    if one.certificate is None:
        raise _RefusedError("the list has no certificate, only its number")
    if state.key is None:
        raise _RefusedError("the journal has no private key of the row")
    try:
        key = public_key_info(load_private_key(state.key))
        chain, changed = issued(
            one.certificate,
            public_key=key,
            subject=parse_name(subject) if subject else None,
            subject_check=subject_check,
            trust=trust,
            extra=(),
            at=now,
            allow_weak=allow_weak,
        )
    except BulkcmpError as error:
        raise _RefusedError(error.what) from error
    kind = OutcomeClass.ISSUED_SUBJECT_CHANGED if changed else OutcomeClass.ISSUED
    return Outcome(kind, ADOPTED, f"the CA's answer was lost; taken from {one.source}"), chain


def _entries(
    one: Difference,
    state: RowState,
    cmd: Operation,
    outcome: Outcome,
    chain: tuple[bytes, ...],
    now: dt.datetime,
) -> tuple[Entry, Entry]:
    checkpoint = state.checkpoint
    assert checkpoint is not None, "its outcome is uncertain: a request left"
    part = replace(
        checkpoint.part(one.number),
        phase=Phase.GRANTED,
        certificate=one.certificate,
        chain=chain,
        granted=outcome,
        confirm=False,
    )
    return (
        Advanced(replace(checkpoint, parts=(part,))),
        Ended(
            one.number,
            one.line,
            one.id,
            cmd,
            checkpoint.transaction_id,
            outcome,
            Timings(),
            0,
            now,
        ),
    )
