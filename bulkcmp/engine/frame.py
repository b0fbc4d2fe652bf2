"""What parent and workers say to each other.

In an enrollment a worker gets its `Setup`, then `Task`s; it asks for durability by `Record`s, each
answered by `Recorded` once the journal has committed, and reports each row's end. Between `Halt`
and `Proceed` it begins nothing. In a load test it gets its `Assignment`, then `Supply`s; from
`Begin` on it goes by the clock, and `Report`s. The foreman of another machine's workers gets its
`Order`, then `Lot`s, and says what happens by `Told` until a lot is `Over`. All of them tell what
the log is to have by `Logged`. Frames travel in batches.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf

from bulkcmp.cmp.events import Checkpoint
from bulkcmp.cmp.request import Credential
from bulkcmp.cmp.trust import CrlCheck
from bulkcmp.errors import Loss
from bulkcmp.inputs.token import TokenCredential
from bulkcmp.io.limits import Limits
from bulkcmp.journal.entry import Ended, Entry
from bulkcmp.journal.lease import Shard
from bulkcmp.load.certified import Certified
from bulkcmp.load.scenario import Lifecycle, Shape
from bulkcmp.load.schedule import ALL, Numbers
from bulkcmp.model import BadRow, EndEntity, Operation, Profile, Secret, TokenKey
from bulkcmp.stats.health import Pulse
from bulkcmp.stats.progress import Event
from bulkcmp.stats.record import Drop, Level, TransactionRecord
from bulkcmp.waves.breaker import BreakerRules

Fact = str | int | float
"""What a line of the log may have as a value."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Paths for the client side of TLS; see `bulkcmp.io.tls.tls_context`."""

    trusted: tuple[str, ...] = ()
    certificate: str | None = None
    key: str | None = None
    key_password: Secret | None = None
    insecure: bool = False


@dataclass(frozen=True, slots=True)
class Setup:
    """What a worker must know of the run.

    Attributes:
        url: of the CMP server.
        anchors, untrusted, out_trusted, srvcert: DER certificates (see `bulkcmp.cmp.trust.Trust`).
            Without anchors, the root that the first ip brings is believed.
        crl_check: how it is made sure that signers are not revoked; None for not at all.
        pbm_salt: octets; one salt for all MACs of the run, so that a shared secret's key is
            derived once.
        concurrency: transactions of this worker in flight at the same time.
        certs_per_message: requests in one message, at most.
        layers: of RAs around each message (RFC 9810, 5.1.3.4), the innermost first; their keys may
            be on tokens, which a worker opens itself.
        batch: messages in one `nested`, at most; batch_wait: seconds that one waits to be full.
        rate: requests/s over all workers, 0 for no ceiling; pace_file is what they share for it.
        save_messages: a folder for the DER of every message; empty for none.
        verbosity: how much is `Logged`; see `bulkcmp.engine.log.verbosity`.
    """

    url: str
    profile: Profile
    limits: Limits
    tls: TlsFiles | None
    proxy: str | None
    anchors: tuple[bytes, ...]
    untrusted: tuple[bytes, ...]
    out_trusted: tuple[bytes, ...]
    srvcert: bytes | None
    pbm_salt: bytes
    concurrency: int
    crl_check: CrlCheck | None = None
    certs_per_message: int = 1
    layers: tuple[Credential | TokenCredential, ...] = ()
    batch: int = 1
    batch_wait: float = 0.0
    rate: float = 0.0
    pace_file: str = ""
    save_messages: str = ""
    verbosity: int = 0


@dataclass(frozen=True, slots=True)
class Member:
    """A row of a task.

    Attributes:
        key: PKCS#8 DER of the key to certify, or where it is; None for p10cr, rr and genm, and
            where the CA makes it.
        key_id: its number in the key file it came from.
        key_is_new: the journal does not have it yet.
        repeats: an earlier transaction asked for the same, and the CA may have done it.
    """

    entity: EndEntity
    key: bytes | TokenKey | None = field(default=None, repr=False)
    key_id: int | None = None
    key_is_new: bool = False
    repeats: bool = False

    @property
    def new_key(self) -> bytes | None:
        """The key that is to be made durable."""
        return self.key if self.key_is_new and isinstance(self.key, bytes) else None


@dataclass(frozen=True, slots=True)
class Task:
    """Rows to be worked on in one transaction.

    Attributes:
        members: the rows; with a checkpoint, those of its parts.
        checkpoint: of the transaction to go on with; None to begin one.
        interrupted: that transaction was cut off: its last message may have been answered.
        first: it is the first of the run: a server that can't be reached ends the run.
        probe: it is to be sent though new transactions are held back, once.
    """

    members: tuple[Member, ...]
    checkpoint: Checkpoint | None = None
    interrupted: bool = False
    first: bool = False
    probe: bool = False

    @property
    def number(self) -> int:
        """What parent and worker call it: the number of its first row."""
        return self.members[0].entity.number


@dataclass(frozen=True, slots=True)
class Record:
    """Make `entry` durable, then answer with `Recorded` of the same task, which waits for it."""

    number: int
    entry: Entry


@dataclass(frozen=True, slots=True)
class Recorded:
    number: int


@dataclass(frozen=True, slots=True)
class Pinned:
    """The root certificate (DER) to trust from now on: the journal has it."""

    anchor: bytes


@dataclass(frozen=True, slots=True)
class Done:
    """A task is over; nothing is answered."""

    number: int
    ended: tuple[Ended, ...]


@dataclass(frozen=True, slots=True)
class Halt:
    """Send nothing that begins, but a probe, and return tasks that are not begun, until `Proceed`;
    what is under way goes on."""


@dataclass(frozen=True, slots=True)
class Proceed:
    """Transactions may begin again."""


@dataclass(frozen=True, slots=True)
class Setback:
    """The request of a task was lost; it may be sent again.

    Attributes:
        reason: in a few fixed words.
    """

    number: int
    reason: str


@dataclass(frozen=True, slots=True)
class Returned:
    """A task was not begun, since the run stops or holds new transactions back."""

    number: int


@dataclass(frozen=True, slots=True)
class Unreachable:
    """The first request of the run could not be brought to the server."""

    number: int
    loss: Loss
    detail: str


@dataclass(frozen=True, slots=True)
class Unsaved:
    """Messages could not be saved; the run goes on."""

    what: str


@dataclass(frozen=True, slots=True)
class Logged:
    """A line of the log.

    Attributes:
        at: Unix time.
        level: of the standard library's `logging`.
        event: in a fixed word.
        facts: what there is to say of it, by fixed names; texts of others may be among the values.
        transaction_id: None where it is about no transaction.
        number: of the transaction's first row; None where it is about none.
        ids: of its rows.
    """

    at: float
    level: int
    event: str
    facts: Mapping[str, Fact]
    transaction_id: bytes | None = None
    number: int | None = None
    ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Failed:
    """The worker can't work: an error to be raised in the parent."""

    what: str
    hint: str | None
    exit_code: int


@dataclass(frozen=True, slots=True)
class Drain:
    """Begin nothing more, end what is under way, then end."""


# --- campaigns ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Order:
    """What a foreman must know of a campaign; the first that it is told.

    Attributes:
        journal: URL of the database that has the run; what opens it is the foreman's own.
        run: its id there.
        term: seconds for which a lot's rows are its own after a sign of life.
        key_pass: seals private keys; None where they are not sealed.
        setup: for each of its workers; `concurrency` and `rate` are those of all of them together.
        workers: processes.
        silence: seconds without a word of the parent after which it ends: another does its rows by
            then.
        breaker: when to send nothing to a CA that fails all; None for never.
    """

    journal: str
    run: str
    term: float
    key_pass: Secret | None = field(repr=False)
    setup: Setup
    workers: int
    silence: float
    breaker: BreakerRules | None = None


@dataclass(frozen=True, slots=True)
class Lot:
    """Rows of a campaign that one foreman has at a time.

    Attributes:
        shard: to be leased; all of the rows are in it.
        rows: those of it that are to be done.
        is_heard: the server was heard of before.
    """

    shard: Shard
    rows: tuple[EndEntity | BadRow, ...]
    is_heard: bool


@dataclass(frozen=True, slots=True)
class Told:
    """What happened to a lot since the last time."""

    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class Over:
    """A foreman has done what is to be done with a lot.

    Attributes:
        operations: of its rows.
        is_heard: the server was heard of.
        loss, detail: why the first request of the lot could not be brought to the server, if so.
        given_up: why not all of the lot was begun, by the foreman's own judgement.
    """

    operations: frozenset[Operation]
    is_heard: bool
    loss: Loss | None = None
    detail: str = ""
    given_up: str = ""


# --- load tests -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Host:
    """The machine of a worker, where it is another than the parent's.

    Attributes:
        name: what reports call it.
        workers: that it should have.
        clock_error: seconds by which an instant of one machine may be off on the other's clock.
        silence: seconds without a word of the parent after which the worker ends: another has its
            place by then.
    """

    name: str
    workers: int
    clock_error: float
    silence: float


@dataclass(frozen=True, slots=True)
class Legacy:
    """What a lost worker leaves to the one that goes on with its share.

    Attributes:
        at: seconds since the run's beginning, when it was found to be lost.
        under_way: number, step and requests in it of each lifecycle that it is known to have begun,
            and not to have ended.
        taken: supplies that it is known to have used up.
        held: those that it had besides, which it may have used up; they are given again first.
        stopped: seconds since the run's beginning, from which on nothing was to begin any more;
            infinite where the run goes on.
    """

    at: float
    under_way: tuple[tuple[int, int, int], ...]
    taken: int
    held: int
    stopped: float = inf


@dataclass(frozen=True, slots=True)
class Assignment:
    """A worker's part of a load test; the first that it is told.

    Attributes:
        setups: of each server, by its name in the scenario; of the only one under an empty name.
        place: among the workers, from 0; workers: how many there are.
        lifecycles, seed, warm_up, drain: of the scenario.
        shape: this worker's share of it.
        duration: seconds after which nothing begins, None where time does not tell.
        count: lifecycles that all workers may begin, None where there are as many as are wanted.
        numbers: of the arrivals of all.
        is_heard: the servers answered before, so what does not reach them is a figure, no mistake.
        host: where the worker is; None for the parent's own machine.
        legacy: of the worker in whose place this one is.
    """

    setups: Mapping[str, Setup]
    place: int
    workers: int
    lifecycles: tuple[Lifecycle, ...]
    shape: Shape
    seed: int
    duration: float | None
    warm_up: float
    drain: float
    count: int | None = None
    numbers: Numbers = ALL
    is_heard: bool = False
    host: Host | None = None
    legacy: Legacy | None = None


@dataclass(frozen=True, slots=True)
class Ready:
    """A worker could begin."""


@dataclass(frozen=True, slots=True)
class Beat:
    """The parent is there."""


@dataclass(frozen=True, slots=True)
class Begin:
    """The run begins at this instant, monotonic seconds."""

    at: float


@dataclass(frozen=True, slots=True)
class Supply:
    """End entities for one lifecycle.

    Attributes:
        number: of the lifecycle, from 0 over all workers.
        members: one, or those whose requests go in one message, as its first step asks for them.
        elsewhere: the same end entities, as other servers of the lifecycle want them, by server.
        keys: PKCS#8 DER of the keys to certify in the further steps, by step and member; None where
            there is none.
    """

    number: int
    members: tuple[Member, ...]
    keys: tuple[tuple[bytes | TokenKey | None, ...], ...] = field(default=(), repr=False)
    elsewhere: Mapping[str, tuple[EndEntity, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Exhausted:
    """There are no more end entities."""


@dataclass(frozen=True, slots=True)
class Report:
    """What happened in a load test since the last one.

    Attributes:
        taken: supplies that a worker used up.
    """

    taken: int = 0
    records: tuple[TransactionRecord | Drop | Pulse | Level, ...] = ()
    certificates: tuple[Certified, ...] = ()


@dataclass(frozen=True, slots=True)
class Finished:
    """A worker has ended all that it began, or cut it off; nothing follows.

    Attributes:
        abandoned: transactions that were cut off.
    """

    abandoned: int


Frame = (
    Setup
    | Task
    | Record
    | Recorded
    | Pinned
    | Done
    | Halt
    | Proceed
    | Setback
    | Returned
    | Unreachable
    | Unsaved
    | Logged
    | Failed
    | Drain
    | Order
    | Lot
    | Told
    | Over
    | Assignment
    | Ready
    | Beat
    | Begin
    | Supply
    | Exhausted
    | Report
    | Finished
)
