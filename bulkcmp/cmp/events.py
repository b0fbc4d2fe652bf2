"""What a transaction is told (events) and what it asks for (instructions).

Events are facts and carry `now`, Unix time in seconds; instructions are wishes that a driver
carries out.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from bulkcmp.cmp.protection import Derivation
from bulkcmp.errors import Loss
from bulkcmp.model import Outcome, Timings

# --- events -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Start:
    """Begin, or go on from the checkpoint that the transaction was made with."""

    now: float


@dataclass(frozen=True, slots=True)
class KeyDerived:
    """The MAC key that `DeriveKey` asked for."""

    now: float
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Stored:
    """What `Store` asked for is durable."""

    now: float


@dataclass(frozen=True, slots=True)
class Received:
    """An answer to what was sent last; `now` is when its last byte came, `sent` when the exchange
    began."""

    now: float
    message: bytes
    sent: float


@dataclass(frozen=True, slots=True)
class Lost:
    """No answer to what was sent last.

    Attributes:
        retry_after: seconds that the server asked for.
        status: the HTTP status code, if there was one.
    """

    now: float
    loss: Loss
    detail: str
    retry_after: float | None = None
    status: int | None = None

    @property
    def reason(self) -> str:
        """The loss in fixed words; an HTTP error is told by its status."""
        if self.loss is Loss.HTTP_STATUS and self.status is not None:
            return f"HTTP {self.status}"
        return self.loss.value


@dataclass(frozen=True, slots=True)
class TimerFired:
    """The time of `WakeAt` has come."""

    now: float


@dataclass(frozen=True, slots=True)
class Stop:
    """The user wants to end: what only waits is given up, what is under way goes on."""

    now: float


Event = Start | KeyDerived | Stored | Received | Lost | TimerFired | Stop

# --- instructions -----------------------------------------------------------------------------


class Phase(StrEnum):
    """How far a transaction is known to have come; part of its checkpoint."""

    REQUESTED = "requested"
    WAITING = "waiting"
    ISSUED = "issued"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """All that is needed to go on with a transaction in another process.

    Attributes:
        request_nonce: senderNonce of the request.
        sent_nonce: senderNonce of our last message.
        received_nonce: senderNonce of the peer's last message, to be repeated as recipNonce.
        protection: DER protectionAlg of our messages; a MAC goes on with the same salt.
        check_at: Unix time of the next poll.
        deadline: Unix time at which the transaction is given up; 0 for never.
        certificate: DER of the issued certificate; chain: its issuers.
        granted: the outcome if the confirmation succeeds.
        confirm: a certConf is due.
    """

    phase: Phase
    transaction_id: bytes
    request_nonce: bytes
    sent_nonce: bytes
    received_nonce: bytes | None
    cert_req_id: int
    protection: bytes
    deadline: float
    check_at: float = 0.0
    certificate: bytes | None = None
    chain: tuple[bytes, ...] = ()
    granted: Outcome | None = None
    confirm: bool = False


@dataclass(frozen=True, slots=True)
class DeriveKey:
    """Derive a MAC key (`protection.derive`), then tell `KeyDerived`."""

    derivation: Derivation


@dataclass(frozen=True, slots=True)
class Store:
    """Make the checkpoint durable, then tell `Stored`."""

    checkpoint: Checkpoint


@dataclass(frozen=True, slots=True)
class Send:
    """Send a message, then tell `Received` or `Lost`.

    Attributes:
        label: the body's name: `ir`, `pollReq`, `certConf` …
        opens: it begins a transaction at the server, so it counts against a rate limit.
    """

    message: bytes
    label: str
    opens: bool


@dataclass(frozen=True, slots=True)
class WakeAt:
    """Wait until that Unix time, then tell `TimerFired`; or `Stop` at any time before."""

    time: float


@dataclass(frozen=True, slots=True)
class Finish:
    """The transaction is over.

    Attributes:
        checkpoint: the last one; its certificate is there if one was issued.
        sends: messages that were sent with a request in them, repetitions included.
    """

    outcome: Outcome
    checkpoint: Checkpoint | None
    timings: Timings
    sends: int


Instruction = DeriveKey | Store | Send | WakeAt | Finish
