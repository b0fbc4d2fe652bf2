"""Whole runs in virtual time: real parent, workers, journal and CA, with a network to be spoilt."""

import dataclasses
import datetime as dt
import sqlite3
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import anyio
import anyio.lowlevel
import anyio.to_thread
import httpx
import pytest
import trio.testing
from cryptography import x509

from bulkcmp.cmp import algorithms
from bulkcmp.cmp.messages import BodyType, decode_message
from bulkcmp.engine.channel import MemoryChannel
from bulkcmp.engine.colleague import Hire, hire_task
from bulkcmp.engine.failure import first_error
from bulkcmp.engine.frame import Setup
from bulkcmp.engine.keys import KeySource
from bulkcmp.engine.run import Run
from bulkcmp.engine.worker import Worker
from bulkcmp.errors import Loss, TransportError
from bulkcmp.inputs.name import parse_name
from bulkcmp.io.clock import Clock
from bulkcmp.io.http import CmpHttpClient
from bulkcmp.io.keyworker import make_keys
from bulkcmp.io.limits import Limits
from bulkcmp.io.pacer import SharedPacer
from bulkcmp.journal.folder import FILE_NAME
from bulkcmp.journal.journal import Journal
from bulkcmp.journal.sqlite import SqliteStore
from bulkcmp.load.pace import Pace
from bulkcmp.model import (
    BadRow,
    EndEntity,
    KeySpec,
    Operation,
    OutcomeClass,
    Profile,
    RowResult,
    Secret,
)
from bulkcmp.stats.progress import Snapshot
from bulkcmp.testca import state
from bulkcmp.testca.aliases import RA_HMAC, Behaviour
from bulkcmp.testca.authority import Authority
from bulkcmp.testca.ejbca.authority import EjbcaAuthority

EPOCH = dt.datetime(2027, 3, 1, 12, tzinfo=dt.UTC).timestamp()
"""Unix time at which virtual time begins."""

PROFILE = Profile(pbm_iterations=100, backoff_first=1.0, backoff_max=8.0, retries=3)
URL = "http://ca.test/.well-known/cmp"
EC = KeySpec.parse("ec:P-256")
REQUESTS = frozenset({BodyType.IR, BodyType.CR, BodyType.KUR, BodyType.P10CR, BodyType.RR})


class VirtualClock(Clock):
    """The clock of the event loop that asks, shown as Unix time."""

    def now(self) -> float:
        return EPOCH + anyio.current_time()

    def unix(self, monotonic: float) -> float:
        return EPOCH + monotonic

    async def sleep_until(self, when: float) -> None:
        await anyio.sleep(max(0.0, when - self.now()))


@dataclass(frozen=True)
class Seen:
    """A message that was sent to the CA, whether or not it arrived.

    Attributes:
        at: virtual seconds.
        count: how many of its type were sent before in this transaction.
    """

    at: float
    body_type: BodyType
    transaction_id: bytes
    count: int
    message: bytes


Spoil = Callable[[Seen], Awaitable[httpx.Response | None]]
"""Answers in the place of the CA, or raises TransportError, or returns None."""


async def leave_alone(_seen: Seen) -> None:
    return None


class Lose(Protocol):
    """Lose messages of these types (of all by default), the first `times` of each transaction."""

    def __call__(self, loss: Loss, *types: BodyType, times: int = 1 << 30) -> Spoil: ...


def _lose(loss: Loss, *types: BodyType, times: int = 1 << 30) -> Spoil:
    async def spoil(seen: Seen) -> None:
        if (not types or seen.body_type in types) and seen.count < times:
            raise TransportError(loss, f"lost: {loss.value}")

    return spoil


@pytest.fixture
def lose() -> Lose:
    return _lose


class Peer:
    """The embedded CA, and the network before it.

    Attributes:
        before: spoils a message on its way to the CA.
        after: spoils an answer on its way back.
        latency: virtual seconds from a request to its answer; it arrives after half of them.
        seen: what was sent, in order.
    """

    def __init__(self, folder: Path) -> None:
        now = dt.datetime.fromtimestamp(EPOCH, dt.UTC)
        state.create(folder, EC, now - dt.timedelta(days=1))
        self.books = state.open_books(folder)
        self.root = state.load_identity(folder)
        secret = self.books.alias_secret(RA_HMAC.name)
        assert secret is not None
        self.secret: Secret = secret
        self.authority: Authority | EjbcaAuthority = Authority(self.books, self.root)
        self.before: Spoil = leave_alone
        self.after: Spoil = leave_alone
        self.latency = 0.01
        self.seen: list[Seen] = []
        self._counts: dict[tuple[bytes, BodyType], int] = {}

    def behave(self, **knobs: Any) -> None:
        """Restart with other knobs of `Behaviour`."""
        self.authority = Authority(self.books, self.root, Behaviour(**knobs))

    async def handle(self, request: httpx.Request) -> httpx.Response:
        message = decode_message(request.content)
        transaction_id = message.header.transactionID or b""
        key = (transaction_id, message.body_type)
        count = self._counts.get(key, 0)
        self._counts[key] = count + 1
        seen = Seen(anyio.current_time(), message.body_type, transaction_id, count, request.content)
        self.seen.append(seen)
        spoilt = await self.before(seen)
        if spoilt is not None:
            return spoilt
        await anyio.sleep(self.latency / 2)
        now = dt.datetime.fromtimestamp(EPOCH + anyio.current_time(), dt.UTC)
        answer = self.authority.handle(RA_HMAC, request.content, now)
        await anyio.sleep(self.latency / 2)
        spoilt = await self.after(seen)
        if spoilt is not None:
            return spoilt
        return httpx.Response(200, headers={"Content-Type": "application/pkixcmp"}, content=answer)

    def client(self) -> CmpHttpClient:
        return CmpHttpClient(URL, httpx.MockTransport(self.handle))

    def opened(self) -> list[Seen]:
        """The messages that begin a transaction."""
        return [seen for seen in self.seen if seen.body_type in REQUESTS]

    def sent(self, body_type: BodyType) -> list[Seen]:
        return [seen for seen in self.seen if seen.body_type is body_type]

    def certificates(self) -> dict[tuple[bytes, int], str]:
        """Status of each certificate that was issued over CMP, by transactionID and row."""
        return {
            (one.transaction_id, int(one.user.removeprefix("dev"))): one.status.value
            for one in self.books.certificates()
            if one.transaction_id is not None and one.user is not None
        }


class FreshKeys(KeySource):
    """Makes a key for whoever asks."""

    starved = 0.0

    async def take(self, spec: KeySpec) -> tuple[bytes, int | None]:
        await anyio.lowlevel.checkpoint()
        return make_keys(spec, 1)[0], None


@dataclass(frozen=True)
class Tx:
    """A transaction in the journal."""

    transaction_id: bytes
    number: int
    phase: str
    outcome: str | None


Conduct = Callable[[Run], Coroutine[Any, Any, None]]


@dataclass
class Scene:
    """A population, a CA and a run folder.

    Attributes:
        workers_alive: cancel scopes of the workers, in the order in which they were hired; to
            cancel one is to kill that worker.
        snapshots: of the last run.
        nesting: what `Setup` says of RAs' layers and batches.
    """

    folder: Path
    peer: Peer
    profile: Profile = PROFILE
    workers_alive: list[anyio.CancelScope] = field(default_factory=list)
    snapshots: list[Snapshot] = field(default_factory=list)
    nesting: dict[str, Any] = field(default_factory=dict)
    ended_at: float = 0.0
    fresh_keys: KeySource = field(default_factory=FreshKeys)
    clock: Clock = field(default_factory=VirtualClock)

    def row(self, number: int, **fields: Any) -> EndEntity:
        values: dict[str, Any] = {
            "cmd": Operation.IR,
            "subject": parse_name(f"/CN=dev{number}/O=Acme/C=SE"),
            "new_key_spec": EC,
            "ref": "ra1",
            "secret": self.peer.secret,
        }
        return EndEntity(number, number + 1, f"dev{number}", **(values | fields))

    def rows(self, count: int, **fields: Any) -> list[EndEntity]:
        return [self.row(number, **fields) for number in range(1, count + 1)]

    def setup(self, **fields: Any) -> Setup:
        values: dict[str, Any] = {
            "url": URL,
            "profile": self.profile,
            "limits": Limits(),
            "tls": None,
            "proxy": None,
            "anchors": (self.peer.root.der,),
            "untrusted": (),
            "out_trusted": (),
            "srvcert": None,
            "pbm_salt": b"sixteen octets..",
            "concurrency": 10,
        }
        return Setup(**(values | self.nesting | fields))

    def hire(self, rate: float) -> Hire:
        """Workers as tasks that share one ceiling and can be killed."""
        file = self.folder.with_name("pace")
        # the next session's virtual clock begins anew
        file.unlink(missing_ok=True)
        pacer = SharedPacer(Pace(rate), file, anyio.current_time) if rate else None

        async def work(channel: MemoryChannel) -> None:
            with anyio.CancelScope() as alive:
                self.workers_alive.append(alive)
                worker = Worker(
                    channel,
                    self.clock,
                    make_client=lambda _: self.peer.client(),
                    make_pacer=lambda _: pacer,
                )
                await worker.run()

        return hire_task(work)

    def open(self) -> Journal:
        if (self.folder / FILE_NAME).exists():
            journal = Journal.open(self.folder)
            journal.unlock(None)
        else:
            journal = Journal.create(self.folder, {}, None)
        # what a crash of the machine would do is no matter of these tests
        assert isinstance(journal._store, SqliteStore)
        journal._store._connection.execute("PRAGMA synchronous = OFF")
        return journal

    def play(
        self,
        rows: Iterable[EndEntity | BadRow],
        *,
        conduct: Conduct | None = None,
        resumed: bool = False,
        keys: KeySource | None = None,
        workers: int = 1,
        concurrency: int = 10,
        rate: float = 0.0,
        certs_per_message: int = 1,
        limit: float = 7200.0,
        hire: Hire | None = None,
        journal: Journal | None = None,
        **options: Any,
    ) -> Run:
        """A session over `rows`: what `engine.session` does, less the outputs.

        Args:
            conduct: runs beside it.
            limit: virtual seconds after which it is taken to hang.
        """
        self.snapshots.clear()
        self.workers_alive.clear()

        async def session(journal: Journal) -> Run:
            journal.settle()
            run = Run(
                rows,
                journal,
                keys or self.fresh_keys,
                self.setup(concurrency=concurrency, rate=rate, certs_per_message=certs_per_message),
                workers=workers,
                clock=self.clock,
                on_snapshot=self.snapshots.append,
                resumed=resumed,
                hire=hire or self.hire(rate),
                **options,
            )
            try:
                with anyio.fail_after(limit):
                    async with anyio.create_task_group() as group:
                        if conduct is not None:
                            group.start_soon(conduct, run)
                        await run.execute()
                        group.cancel_scope.cancel()
            except BaseExceptionGroup as errors:
                raise first_error(errors) from None
            finally:
                self.ended_at = anyio.current_time()
            journal.settle()
            return run

        with journal or self.open() as opened:
            clock = trio.testing.MockClock(autojump_threshold=0)
            return anyio.run(session, opened, backend="trio", backend_options={"clock": clock})

    def results(self) -> dict[int, RowResult]:
        with self.open() as journal:
            return {result.number: result for result, _ in journal.results()}

    def outcomes(self) -> dict[int, OutcomeClass]:
        return {number: result.outcome.outcome for number, result in self.results().items()}

    def transactions(self) -> list[Tx]:
        with closing(sqlite3.connect(self.folder / FILE_NAME)) as connection:
            found = connection.execute("SELECT transaction_id, number, phase, outcome FROM part")
            return [Tx(*row) for row in found]

    def tune(self, **fields: Any) -> None:
        """Change the server profile."""
        self.profile = dataclasses.replace(self.profile, **fields)

    def check_sent(self) -> None:
        """Nothing was sent that the journal does not know."""
        known = {tx.transaction_id for tx in self.transactions()}
        # a batch has a transactionID of its own
        sent = {seen for seen in self.peer.seen if seen.body_type is not BodyType.NESTED}
        assert {seen.transaction_id for seen in sent} <= known

    def check(self) -> None:
        """What must hold of every run, whatever happened to it."""
        self.check_sent()
        parts = {(tx.transaction_id, tx.number): tx for tx in self.transactions()}
        results = self.results()
        certificates = self.peer.certificates()
        for (transaction_id, number), status in certificates.items():
            tx = parts[transaction_id, number]
            row = results[number]
            if row.transaction_id == transaction_id.hex():
                known = row.outcome.outcome.is_issued or (
                    row.outcome.outcome in (OutcomeClass.UNKNOWN, OutcomeClass.STILL_WAITING)
                )
                assert known, (row, status)
            else:
                # a surplus certificate
                assert tx.outcome == OutcomeClass.UNKNOWN.value, (tx, row)
        for row in results.values():
            outcome = row.outcome.outcome
            part = (bytes.fromhex(row.transaction_id), row.number)
            if outcome is OutcomeClass.ISSUED:
                assert certificates[part] == "confirmed"
            if outcome.is_issued:
                assert row.certificate is not None
                assert parts[part].phase == "granted"
            if outcome in (OutcomeClass.TO_DO, OutcomeClass.NOT_SENT):
                assert part not in certificates
        self._check_keys()
        # a row has one transaction that is not given up at most
        for number in results:
            mine = [tx for tx in parts.values() if tx.number == number]
            good = [tx for tx in mine if tx.outcome in (None, "issued")]
            assert len(good) <= 1, mine

    def _check_keys(self) -> None:
        """A certificate that may be used has its private key beside it, whoever made that."""
        with self.open() as journal:
            for row, key in journal.results(with_keys=True):
                if row.cmd is Operation.P10CR or not row.outcome.outcome.is_issued:
                    continue
                assert key is not None
                assert row.certificate is not None
                certificate = x509.load_der_x509_certificate(row.certificate)
                own = algorithms.public_key_info(algorithms.load_signing_key(key))
                assert algorithms.public_bytes(certificate.public_key()) == own


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    async def inline(function: Callable[..., Any], *arguments: Any, **_: Any) -> Any:
        # virtual time runs on while a real thread works
        await anyio.lowlevel.checkpoint()
        return function(*arguments)

    monkeypatch.setattr(anyio.to_thread, "run_sync", inline)
    peer = Peer(tmp_path / "ca")
    yield Scene(tmp_path / "run", peer)
    peer.books.close()
