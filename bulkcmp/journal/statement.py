"""Entries of a journal as SQL; see `store` for the marks."""

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from bulkcmp.cmp.events import Checkpoint
from bulkcmp.cmp.general import encode_infos
from bulkcmp.journal.entry import (
    Advanced,
    Attempted,
    Begun,
    BegunRow,
    Ended,
    Entry,
    Resumed,
    Skipped,
)
from bulkcmp.journal.store import Statement
from bulkcmp.model import Outcome

Sealed = Callable[[bytes, str, int], bytes]
"""Seals what a column of the row with a number shall hold."""

IssuerNumber = Callable[[bytes], int]
"""The number of an issuer's certificate, which is stored by then."""

_BEGIN_TX: Final = (
    "INSERT INTO tx ({columns}transaction_id, request_nonce, sent_nonce, protection, deadline,"
    " whole_waits) VALUES ({values}?, ?, ?, ?, ?, ?)"
)
_BEGIN_PART: Final = (
    "INSERT INTO part ({columns}transaction_id, number, phase, cert_req_id, check_at)"
    " VALUES ({values}?, ?, ?, ?, ?)"
)
_BEGIN_ROW: Final = (
    "INSERT INTO row ({columns}number, line, id, cmd, requested_subject, key, key_id,"
    " out_name, out_pass, transaction_id, attempts)"
    " VALUES ({values}?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1)"
    " ON CONFLICT ({columns}number) DO UPDATE SET transaction_id = excluded.transaction_id,"
    " cmd = excluded.cmd, requested_subject = excluded.requested_subject,"
    " attempts = row.attempts + 1, outcome = NULL, reason = '', detail = '',"
    " pki_status = NULL, fail_info = '', status_text = '', service = NULL,"
    " request = NULL, polling = NULL, confirm = NULL, finished_at = NULL,"
    " key = coalesce(row.key, excluded.key),"
    " key_id = coalesce(row.key_id, excluded.key_id),"
    " out_name = coalesce(row.out_name, excluded.out_name),"
    " out_pass = coalesce(row.out_pass, excluded.out_pass)"
)
_RESUME_ROW: Final = (
    "UPDATE row SET outcome = NULL, reason = '', detail = '', pki_status = NULL,"
    " fail_info = '', status_text = '', finished_at = NULL WHERE {where}number = ?"
)
_RESUME_PART: Final = (
    "UPDATE part SET outcome = NULL, reason = '' WHERE {where}transaction_id = ? AND number = ?"
)
_ADVANCE_TX: Final = (
    "UPDATE tx SET sent_nonce = ?, received_nonce = ?, deadline = ?, whole_waits = ?"
    " WHERE {where}transaction_id = ?"
)
_ADVANCE_PART: Final = (
    "UPDATE part SET phase = ?, cert_req_id = ?, check_at = ?, certificate = ?,"
    " chain = ?, infos = ?, granted = ?, confirm = ?, ended = ?"
    " WHERE {where}transaction_id = ? AND number = ?"
)
# the first one counts for the whole run
_PIN: Final = (
    "INSERT INTO meta ({columns}key, value) VALUES ({values}'anchor', ?) ON CONFLICT DO NOTHING"
)
_KEEP_KEY: Final = "UPDATE row SET key = ? WHERE {where}number = ?"
_TAKE_UP_ROW: Final = (
    "INSERT INTO row ({columns}number, line, id, cmd) VALUES ({values}?, ?, ?, ?)"
    " ON CONFLICT DO NOTHING"
)
_ROW_OUTCOME: Final = (
    "UPDATE row SET outcome = ?, reason = ?, detail = ?, pki_status = ?, fail_info = ?,"
    " status_text = ? WHERE {where}number = ?"
)
_END_ROW: Final = (
    "UPDATE row SET outcome = ?, reason = ?, detail = ?, pki_status = ?, fail_info = ?,"
    " status_text = ?, service = ?, request = ?, polling = ?, confirm = ?, sends = sends + ?,"
    " finished_at = ? WHERE {where}number = ?"
)
_ATTEMPT: Final = (
    "UPDATE row SET delivery = ?, delivery_reason = ?, delivery_at = ?,"
    " delivery_attempts = delivery_attempts + 1 WHERE {where}number = ?"
)
_PART_OUTCOME: Final = (
    "UPDATE part SET outcome = ?, reason = ? WHERE {where}transaction_id = ? AND number = ?"
)
_ISSUER: Final = "INSERT INTO issuer ({columns}der) VALUES ({values}?) ON CONFLICT DO NOTHING"
_META: Final = "INSERT INTO meta ({columns}key, value) VALUES ({values}?, ?)"


def statements_of(entry: Entry, sealed: Sealed, issuer: IssuerNumber) -> Iterator[Statement]:
    """What writes an entry."""
    match entry:
        case Begun():
            yield from _begin(entry, sealed)
        case Resumed():
            yield from _resume(entry)
        case Advanced(checkpoint):
            yield from _advance(checkpoint, sealed, issuer)
        case Ended():
            yield from _end(entry)
        case Skipped():
            yield from _skip(entry)
        case Attempted(number, state, reason, at):
            yield _ATTEMPT, (state.value, reason, at.isoformat(), number)


def settlement(transaction_id: bytes, number: int, outcome: Outcome) -> Iterator[Statement]:
    """What gives a row that was under way an outcome, and its transaction."""
    yield _part_outcome(transaction_id, number, outcome)
    yield _ROW_OUTCOME, (*_outcome_columns(outcome), number)


def issuer_statement(der: bytes) -> Statement:
    """What keeps an issuer's certificate, once."""
    return _ISSUER, (der,)


def meta_statements(meta: Iterable[tuple[str, str]]) -> Iterator[Statement]:
    """What keeps the facts of a run."""
    return ((_META, pair) for pair in meta)


def _begin(entry: Begun, sealed: Sealed) -> Iterator[Statement]:
    checkpoint = entry.checkpoint
    for row in entry.rows:
        yield _begin_row(row, checkpoint.transaction_id, sealed)
    yield (
        _BEGIN_TX,
        (
            checkpoint.transaction_id,
            checkpoint.request_nonce,
            checkpoint.sent_nonce,
            checkpoint.protection,
            checkpoint.deadline,
            checkpoint.whole_waits,
        ),
    )
    for part in checkpoint.parts:
        yield (
            _BEGIN_PART,
            (
                checkpoint.transaction_id,
                part.number,
                part.phase.value,
                part.cert_req_id,
                part.check_at,
            ),
        )


def _begin_row(row: BegunRow, transaction_id: bytes, sealed: Sealed) -> Statement:
    return (
        _BEGIN_ROW,
        (
            row.number,
            row.line,
            row.id,
            row.cmd.value,
            row.requested_subject,
            None if row.key is None else sealed(row.key, "key", row.number),
            row.key_id,
            row.out_name or None,
            None if row.out_pass is None else sealed(row.out_pass.reveal(), "out_pass", row.number),
            transaction_id,
        ),
    )


def _resume(entry: Resumed) -> Iterator[Statement]:
    for number in entry.numbers:
        yield _RESUME_ROW, (number,)
        yield _RESUME_PART, (entry.transaction_id, number)


def _advance(checkpoint: Checkpoint, sealed: Sealed, issuer: IssuerNumber) -> Iterator[Statement]:
    yield (
        _ADVANCE_TX,
        (
            checkpoint.sent_nonce,
            checkpoint.received_nonce,
            checkpoint.deadline,
            checkpoint.whole_waits,
            checkpoint.transaction_id,
        ),
    )
    if checkpoint.anchor is not None:
        yield _PIN, (checkpoint.anchor.hex(),)
    for part in checkpoint.parts:
        yield (
            _ADVANCE_PART,
            (
                part.phase.value,
                part.cert_req_id,
                part.check_at,
                part.certificate,
                ",".join(str(issuer(der)) for der in part.chain),
                encode_infos(part.infos) if part.infos else None,
                None if part.granted is None else _outcome_to_json(part.granted),
                part.confirm,
                None if part.outcome is None else _outcome_to_json(part.outcome),
                checkpoint.transaction_id,
                part.number,
            ),
        )
        if part.key is not None:
            yield _KEEP_KEY, (sealed(part.key, "key", part.number), part.number)


def _end(entry: Ended) -> Iterator[Statement]:
    timings = entry.timings
    if entry.transaction_id is None:
        # else it was taken up as that began
        yield _TAKE_UP_ROW, (entry.number, entry.line, entry.id, entry.cmd.value)
    else:
        yield _part_outcome(entry.transaction_id, entry.number, entry.outcome)
    yield (
        _END_ROW,
        (
            *_outcome_columns(entry.outcome),
            timings.service,
            timings.request,
            timings.polling,
            timings.confirm,
            entry.sends,
            entry.finished_at.isoformat(),
            entry.number,
        ),
    )


def _skip(entry: Skipped) -> Iterator[Statement]:
    row = entry.row
    yield _TAKE_UP_ROW, (row.number, row.line, row.id, None)
    finished = entry.finished_at.isoformat()
    yield (
        _END_ROW,
        (*_outcome_columns(entry.outcome), None, None, None, None, 0, finished, row.number),
    )


def _part_outcome(transaction_id: bytes, number: int, outcome: Outcome) -> Statement:
    return _PART_OUTCOME, (outcome.outcome.value, outcome.reason, transaction_id, number)


def _outcome_columns(outcome: Outcome) -> tuple[object, ...]:
    return (
        outcome.outcome.value,
        outcome.reason,
        outcome.detail,
        outcome.pki_status,
        "|".join(outcome.fail_info),
        outcome.status_text,
    )


def _outcome_to_json(outcome: Outcome) -> str:
    """An outcome in one column; `reading` takes it apart."""
    return json.dumps(
        [
            outcome.outcome.value,
            outcome.reason,
            outcome.detail,
            outcome.pki_status,
            outcome.fail_info,
            outcome.status_text,
        ]
    )
