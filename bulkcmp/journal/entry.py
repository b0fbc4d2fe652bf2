"""What is written into a journal, and what is read back of a row."""

import datetime as dt
from dataclasses import dataclass, field
from typing import Final

from bulkcmp.cmp.events import Checkpoint
from bulkcmp.model import BadRow, DeliveryState, Operation, Outcome, OutcomeClass, Secret, Timings

INTERRUPTED: Final = "interrupted"
"""The reason of an outcome that nobody waited for: what the last message led to is not known."""


@dataclass(frozen=True, slots=True)
class BegunRow:
    """A row of a transaction that is about to send its request.

    Attributes:
        requested_subject: DER of the Name that is asked for, if any.
        key: PKCS#8 DER of the key to certify, not encrypted; None where the row brings none.
        key_id: where the key came from a key file, its number there.
        out_name: path of the row's files, without suffix; empty for the id's.
        out_pass: opens the row's key files, if it has one of its own. The first that is recorded
            for a row stays: nothing is ever encrypted under another one.
    """

    number: int
    line: int
    id: str
    cmd: Operation
    requested_subject: bytes | None
    key: bytes | None = field(default=None, repr=False)
    key_id: int | None = None
    out_name: str = ""
    out_pass: Secret | None = None


@dataclass(frozen=True, slots=True)
class Begun:
    """A transaction is about to send its request; `rows` in the order of the checkpoint's parts."""

    checkpoint: Checkpoint
    rows: tuple[BegunRow, ...]


@dataclass(frozen=True, slots=True)
class Resumed:
    """A transaction of an earlier session is about to send its next message.

    From here on the outcomes which that session gave its rows do not hold: an answer may be lost.
    """

    transaction_id: bytes
    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Advanced:
    """A transaction got further: it waits, or has certificates, perhaps with their keys."""

    checkpoint: Checkpoint


@dataclass(frozen=True, slots=True)
class Ended:
    """A row is over, for now.

    Attributes:
        transaction_id: None where the row ended before any transaction began.
        finished_at: UTC.
        sends: requests sent, repetitions included.
    """

    number: int
    line: int
    id: str
    cmd: Operation
    transaction_id: bytes | None
    outcome: Outcome
    timings: Timings
    sends: int
    finished_at: dt.datetime


@dataclass(frozen=True, slots=True)
class Skipped:
    """A row that can't be used, under --skip-bad-rows."""

    row: BadRow
    finished_at: dt.datetime

    @property
    def outcome(self) -> Outcome:
        detail = "; ".join(str(problem) for problem in self.row.problems)
        return Outcome(OutcomeClass.BAD_ROW, "", detail)


@dataclass(frozen=True, slots=True)
class Attempted:
    """An attempt to deliver a row came to an end.

    Attributes:
        reason: why it failed; empty where it did not.
        at: UTC.
    """

    number: int
    state: DeliveryState
    reason: str
    at: dt.datetime


Entry = Begun | Resumed | Advanced | Ended | Skipped | Attempted


@dataclass(frozen=True, slots=True)
class EarlierTransaction:
    """A transaction of a row after which it began another.

    Attributes:
        certificate: DER, if one was stored.
    """

    number: int
    transaction_id: bytes
    certificate: bytes | None


@dataclass(frozen=True, slots=True)
class RowState:
    """Where a row of an earlier run stands.

    Attributes:
        outcome: of its last transaction.
        checkpoint: of its last transaction, whole; None where none began.
        key: PKCS#8 DER of its key, if it has one of its own.
        interrupted: its last transaction did not come to an end, but was cut off.
    """

    number: int
    outcome: OutcomeClass
    checkpoint: Checkpoint | None
    key: bytes | None = field(default=None, repr=False)
    interrupted: bool = field(default=False, kw_only=True)

    @property
    def is_uncertain(self) -> bool:
        """Whether the peer may have answered our last message without our having stored it."""
        return self.interrupted or self.outcome is OutcomeClass.UNKNOWN

    @property
    def may_be_done(self) -> bool:
        """Whether the peer may have done what its last transaction asked for, unknown to us."""
        return self.is_uncertain or self.outcome.is_unproven
