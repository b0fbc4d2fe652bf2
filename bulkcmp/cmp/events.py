"""What a transaction is told (events) and what it asks for (instructions).

Events are facts and carry `now`, Unix time in seconds; instructions are wishes that a driver
carries out.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from bulkcmp.cmp.protection import Derivation
from bulkcmp.errors import Loss
from bulkcmp.model import Itav, Outcome, OutcomeClass, Timings

# --- events -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Start:
    """Begin, or go on from the checkpoint that the transaction was made with."""

    now: float


@dataclass(frozen=True, slots=True)
class KeyDerived:
    """The key that `DeriveKey` asked for."""

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
class Refused:
    """A `nested` message that ours travelled in was refused, or its answer failed a check.

    Attributes:
        now, sent: as of `Received`.
        outcome: `BAD_RESPONSE` where a check failed, else what the refusal comes to.
        proven: the refusal is known to be the CA's.
    """

    now: float
    outcome: Outcome
    sent: float
    proven: bool = True


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


Event = Start | KeyDerived | Stored | Received | Refused | Lost | TimerFired | Stop

# --- instructions -----------------------------------------------------------------------------


class Phase(StrEnum):
    """How far a request is known to have come; part of its checkpoint."""

    REQUESTED = "requested"
    WAITING = "waiting"
    GRANTED = "granted"


@dataclass(frozen=True, slots=True)
class Part:
    """What one row of a transaction has come to.

    Attributes:
        number: of the row.
        check_at: Unix time of the next poll.
        certificate: DER of the issued certificate; chain: its issuers.
        infos: what a genm was told, and passed its checks.
        granted: the outcome if the confirmation succeeds.
        confirm: a certConf is due.
        outcome: set where the row is over while others of the transaction go on.
        key: PKCS#8 DER, not encrypted, of the private key that came with the certificate.
    """

    number: int
    phase: Phase
    cert_req_id: int
    check_at: float = 0.0
    certificate: bytes | None = None
    chain: tuple[bytes, ...] = ()
    infos: tuple[Itav, ...] = ()
    granted: Outcome | None = None
    confirm: bool = False
    outcome: Outcome | None = None
    key: bytes | None = field(default=None, repr=False)

    @property
    def waits(self) -> bool:
        return self.outcome is None and self.phase is Phase.WAITING

    @property
    def is_open(self) -> bool:
        """Whether an answer to its request is awaited."""
        return self.outcome is None and self.phase is not Phase.GRANTED

    @property
    def is_refused(self) -> bool:
        """Whether its certificate failed a check of ours."""
        return self.granted is not None and self.granted.outcome is OutcomeClass.ISSUED_REFUSED

    @property
    def is_unconfirmed(self) -> bool:
        """Whether its certificate came, and the certConf for it was not answered yet."""
        return self.outcome is None and self.confirm


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """All that is needed to go on with a transaction in another process.

    Attributes:
        request_nonce: senderNonce of the request.
        sent_nonce: senderNonce of our last message.
        received_nonce: senderNonce of the peer's last message, to be repeated as recipNonce.
        protection: DER of what our MAC goes on with: its protectionAlg, with the salt; or the
            KemCiphertextInfo of a KEM-based one.
        deadline: Unix time at which the transaction is given up; 0 for never.
        parts: of each row, in the order of their requests in the message.
        whole_waits: the answer as a whole is waited for, not single requests (RFC 9483, 4.4).
        anchor: DER of the root certificate that its ip brought, to be trusted from then on.
    """

    transaction_id: bytes
    request_nonce: bytes
    sent_nonce: bytes
    received_nonce: bytes | None
    protection: bytes
    deadline: float
    parts: tuple[Part, ...]
    whole_waits: bool = False
    anchor: bytes | None = None

    @property
    def is_answered(self) -> bool:
        """Whether anything was heard of the request."""
        return any(part.phase is not Phase.REQUESTED for part in self.parts)

    @property
    def unconfirmed(self) -> list[Part]:
        return [part for part in self.parts if part.is_unconfirmed]

    def part(self, number: int) -> Part:
        """The part of a row."""
        return next(part for part in self.parts if part.number == number)


@dataclass(frozen=True, slots=True)
class DeriveKey:
    """Derive a key from a secret (`protection.derive`), then tell `KeyDerived`."""

    derivation: Derivation


@dataclass(frozen=True, slots=True)
class Store:
    """Make the checkpoint durable, then tell `Stored`."""

    checkpoint: Checkpoint


@dataclass(frozen=True, slots=True)
class Send:
    """Send a message, then tell `Received`, `Refused` or `Lost`.

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
        outcomes: of each row, in the order of their requests.
        checkpoint: the last one; certificates are there if they were issued.
        sends: messages that were sent with a request in them, repetitions included.
    """

    outcomes: tuple[Outcome, ...]
    checkpoint: Checkpoint | None
    timings: Timings
    sends: int

    @property
    def outcome(self) -> Outcome:
        """The outcome of a transaction for one row."""
        (outcome,) = self.outcomes
        return outcome


Instruction = DeriveKey | Store | Send | WakeAt | Finish
