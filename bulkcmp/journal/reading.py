"""What a journal holds, read back; see `store` for the marks in the SQL."""

import datetime as dt
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from cryptography import x509

from bulkcmp.cmp.events import Checkpoint, Part, Phase
from bulkcmp.cmp.general import decode_infos
from bulkcmp.cmp.outcomes import unknown
from bulkcmp.errors import RemoteCmpError, Where
from bulkcmp.journal.entry import INTERRUPTED
from bulkcmp.journal.failure import damaged
from bulkcmp.journal.statement import settlement
from bulkcmp.journal.store import Row, Statement
from bulkcmp.model import (
    Delivery,
    DeliveryState,
    Itav,
    Operation,
    Outcome,
    OutcomeClass,
    RowResult,
    Timings,
)

Chain = Callable[[str], tuple[bytes, ...]]
"""The certificates (DER) that a column's text names."""

META: Final = "SELECT value FROM meta WHERE {where}key = ?"
ISSUER_NUMBER: Final = "SELECT id FROM issuer WHERE {where}der = ?"
ISSUER: Final = "SELECT der FROM issuer WHERE {where}id = ?"
KEY_IDS: Final = "SELECT key_id FROM row WHERE {where}key_id IS NOT NULL"
COUNT: Final = "SELECT count(*) FROM row WHERE {where}TRUE"
HAS_PASSWORDS: Final = "SELECT 1 FROM row WHERE {where}out_pass IS NOT NULL LIMIT 1"
OPEN_ROWS: Final = (
    "SELECT number, row.cmd, transaction_id, phase, granted, part.confirm, ended FROM row"
    " JOIN part USING ({columns}transaction_id, number) WHERE {where}row.outcome IS NULL"
)
TX: Final = (
    "SELECT request_nonce, sent_nonce, received_nonce, protection, deadline, whole_waits"
    " FROM tx WHERE {where}transaction_id = ?"
)
PARTS: Final = (
    "SELECT number, phase, cert_req_id, check_at, certificate, chain, infos, granted,"
    # certReqIds are given in the order of the requests
    " confirm, ended FROM part WHERE {where}transaction_id = ? ORDER BY cert_req_id"
)
_DELIVERABLE: Final = ", ".join(
    f"'{outcome.value}'" for outcome in OutcomeClass if outcome.is_deliverable
)
UNDELIVERED: Final = (
    f"SELECT number FROM row WHERE {{where}}outcome IN ({_DELIVERABLE})"  # noqa: S608  # ours
    " AND delivery <> 'delivered' AND number > ? ORDER BY number LIMIT ?"
)
DELIVERIES: Final = (
    "SELECT delivery, delivery_reason, count(*) FROM row"  # noqa: S608  # the same
    f" WHERE {{where}}outcome IN ({_DELIVERABLE}) GROUP BY delivery, delivery_reason"
)
RESULTS: Final = """
SELECT number, row.line, row.id, row.cmd, row.requested_subject, row.key, row.out_name,
  row.out_pass,
  transaction_id, row.outcome, row.reason, row.detail, row.pki_status, row.fail_info,
  row.status_text, row.service, row.request, row.polling, row.confirm, row.attempts, row.sends,
  row.finished_at, row.delivery, row.delivery_attempts, row.delivery_reason,
  part.certificate, part.chain, part.infos
FROM row LEFT JOIN part USING ({columns}transaction_id, number)
WHERE {where}number > ? ORDER BY number LIMIT ?
"""

EARLIER: Final = (
    "SELECT number, part.transaction_id, part.certificate FROM part"
    " JOIN row USING ({columns}number)"
    " WHERE {where}part.transaction_id <> row.transaction_id ORDER BY number, part.transaction_id"
)


@contextmanager
def decoding(where: Where) -> Iterator[None]:
    """Around what makes values of what was read: none but a damaged journal has what can't be.

    Raises:
        InputError: it is damaged.
    """
    try:
        yield
    except (ValueError, TypeError, LookupError, AttributeError, RemoteCmpError) as error:
        raise damaged(f"it has what can't be ({error})", where) from error


def states_query(count: int) -> str:
    """The query for so many rows."""
    marks = ",".join("?" * count)
    return (
        "SELECT number, outcome, reason, key, transaction_id FROM row"  # noqa: S608  # marks
        f" WHERE {{where}}number IN ({marks})"
    )


def settlements(open_rows: Sequence[Row]) -> Iterator[Statement]:
    """What gives rows that were cut off their outcomes.

    Args:
        open_rows: what OPEN_ROWS found.
    """
    for number, cmd, transaction_id, phase, granted, confirm, ended in open_rows:
        outcome = (
            _settled(Operation(cmd), Phase(phase), granted, confirm=bool(confirm))
            if ended is None
            else _outcome_from_json(ended)
        )
        yield from settlement(transaction_id, number, outcome)


def _settled(operation: Operation, phase: Phase, granted: str | None, *, confirm: bool) -> Outcome:
    if phase is Phase.REQUESTED:
        return Outcome(
            unknown(operation),
            INTERRUPTED,
            "the run was cut off after the request was recorded and before its answer was stored",
        )
    if phase is Phase.WAITING:
        return Outcome(
            OutcomeClass.STILL_WAITING,
            INTERRUPTED,
            "the run was cut off while the server had us wait",
        )
    assert granted is not None
    outcome = _outcome_from_json(granted)
    if not confirm or outcome.outcome is OutcomeClass.ISSUED_REFUSED:
        return outcome
    return Outcome(
        OutcomeClass.ISSUED_CONFIRMATION_UNKNOWN,
        INTERRUPTED,
        "the run was cut off between storing the certificate and its pkiconf",
        outcome.pki_status,
        outcome.fail_info,
        outcome.status_text,
    )


def checkpoint_of(transaction_id: bytes, tx: Row, parts: Sequence[Row], chain: Chain) -> Checkpoint:
    """A transaction.

    Args:
        tx: what TX found; parts: what PARTS found.
    """
    (request_nonce, sent_nonce, received_nonce, protection, deadline, whole_waits) = tx
    return Checkpoint(
        transaction_id=transaction_id,
        request_nonce=request_nonce,
        sent_nonce=sent_nonce,
        received_nonce=received_nonce,
        protection=protection,
        deadline=deadline,
        parts=tuple(_part(part, chain) for part in parts),
        whole_waits=bool(whole_waits),
    )


def _part(columns: Row, chain: Chain) -> Part:
    (
        number,
        phase,
        cert_req_id,
        check_at,
        certificate,
        issuers,
        infos,
        granted,
        confirm,
        ended,
    ) = columns
    return Part(
        number=number,
        phase=Phase(phase),
        cert_req_id=cert_req_id,
        check_at=check_at,
        certificate=certificate,
        chain=chain(issuers),
        infos=_infos(infos),
        granted=None if granted is None else _outcome_from_json(granted),
        confirm=bool(confirm),
        outcome=None if ended is None else _outcome_from_json(ended),
    )


def result_of(columns: Row, chain: Chain) -> tuple[RowResult, bytes | None, bytes | None]:
    """A row's result, its sealed key and its sealed password.

    Args:
        columns: of a row that RESULTS found.
    """
    (
        number,
        line,
        identity,
        cmd,
        requested,
        key,
        out_name,
        out_pass,
        transaction_id,
        outcome,
        reason,
        detail,
        pki_status,
        fail_info,
        status_text,
        service,
        request,
        polling,
        confirm,
        attempts,
        sends,
        finished_at,
        delivery,
        delivery_attempts,
        delivery_reason,
        certificate,
        issuers,
        infos,
    ) = columns
    serial, subject, not_after = _described(certificate)
    result = RowResult(
        number=number,
        line=line,
        id=identity,
        cmd=None if cmd is None else Operation(cmd),
        outcome=Outcome(
            OutcomeClass(outcome) if outcome else OutcomeClass.TO_DO,
            reason,
            detail,
            pki_status,
            tuple(fail_info.split("|")) if fail_info else (),
            status_text,
        ),
        transaction_id="" if transaction_id is None else transaction_id.hex(),
        certificate=certificate,
        chain=chain(issuers or ""),
        infos=_infos(infos),
        serial=serial,
        requested_subject=_name_text(requested),
        subject=subject,
        not_after=not_after,
        timings=Timings(service, request, polling, confirm),
        attempts=attempts,
        sends=sends,
        finished_at=None if finished_at is None else dt.datetime.fromisoformat(finished_at),
        has_key=key is not None,
        out_name=out_name or "",
        delivery=Delivery(DeliveryState(delivery), delivery_attempts, delivery_reason),
    )
    return result, key, out_pass


def _outcome_from_json(text: str) -> Outcome:
    kind, reason, detail, pki_status, fail_info, status_text = json.loads(text)
    return Outcome(OutcomeClass(kind), reason, detail, pki_status, tuple(fail_info), status_text)


def _infos(der: bytes | None) -> tuple[Itav, ...]:
    return () if der is None else decode_infos(der)


def _described(certificate: bytes | None) -> tuple[int | None, str, dt.datetime | None]:
    if certificate is None:
        return None, "", None
    try:
        parsed = x509.load_der_x509_certificate(certificate)
        return (
            parsed.serial_number,
            parsed.subject.rfc4514_string(),
            parsed.not_valid_after_utc,
        )
    except (ValueError, x509.InvalidVersion):
        # stored as it came, refused as malformed
        return None, "", None


def _name_text(name: bytes | None) -> str:
    if name is None:
        return ""
    try:
        return x509.Name.from_bytes(name).rfc4514_string()
    except ValueError:
        return ""
