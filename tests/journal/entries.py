"""Entries of a journal, for tests."""

import datetime as dt
from dataclasses import fields
from typing import Any

from cryptography import x509

from bulkcmp.cmp.events import Checkpoint, Part, Phase
from bulkcmp.journal.entry import (
    Begun,
    BegunRow,
    Ended,
)
from bulkcmp.model import Operation, Outcome, OutcomeClass, Secret, Timings

PASSPHRASE = Secret(b"open sesame")
NOW = dt.datetime(2027, 3, 1, 12, tzinfo=dt.UTC)
NAME = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "dev1")])
ISSUED = Outcome(OutcomeClass.ISSUED, pki_status=0)


def key(number: int) -> bytes:
    return b"the private key of row %d, in the clear" % number


PART_FIELDS = {one.name for one in fields(Part)}


def checkpoint(number: int, attempt: int = 1, **changes: Any) -> Checkpoint:
    """Of a transaction for one row; `changes` are fields of the checkpoint or of its part."""
    part: dict[str, Any] = {"number": number, "phase": Phase.REQUESTED, "cert_req_id": 0}
    part |= {name: value for name, value in changes.items() if name in PART_FIELDS}
    values: dict[str, Any] = {
        "transaction_id": b"transaction %04d" % (100 * number + attempt),
        "request_nonce": b"request nonce...",
        "sent_nonce": b"request nonce...",
        "received_nonce": None,
        "protection": b"protection",
        "deadline": 1234.5,
        "parts": (Part(**part),),
    }
    values |= {name: value for name, value in changes.items() if name not in PART_FIELDS}
    return Checkpoint(**values)


def begun_row(number: int, **changes: Any) -> BegunRow:
    values: dict[str, Any] = {
        "number": number,
        "line": number + 1,
        "id": f"dev{number}",
        "cmd": Operation.IR,
        "requested_subject": NAME.public_bytes(),
        "key": key(number),
    }
    return BegunRow(**(values | changes))


def begun(number: int, attempt: int = 1, reached: Checkpoint | None = None, **row: Any) -> Begun:
    if attempt > 1:
        row = {"key": None, **row}
    return Begun(reached or checkpoint(number, attempt), (begun_row(number, **row),))


def waits(number: int, **changes: Any) -> Checkpoint:
    return checkpoint(
        number, phase=Phase.WAITING, received_nonce=b"nonce of the CA", check_at=99.5, **changes
    )


def issued(number: int, **changes: Any) -> Checkpoint:
    values: dict[str, Any] = {
        "phase": Phase.GRANTED,
        "sent_nonce": b"another nonce...",
        "received_nonce": b"nonce of the CA",
        "certificate": b"certificate",
        "chain": (b"issuer", b"root"),
        "granted": ISSUED,
        "confirm": True,
    }
    return checkpoint(number, **(values | changes))


def ended(number: int, attempt: int | None = 1, outcome: Outcome = ISSUED, **more: Any) -> Ended:
    values: dict[str, Any] = {
        "number": number,
        "line": number + 1,
        "id": f"dev{number}",
        "cmd": Operation.IR,
        "transaction_id": None if attempt is None else checkpoint(number, attempt).transaction_id,
        "outcome": outcome,
        "timings": Timings(1.5, 1.0, None, 0.5),
        "sends": 1,
        "finished_at": NOW,
    }
    return Ended(**(values | more))
