"""Whole runs over real connections through the proxy: engine, journal and CA in one process.

BULKCMP_SCALE=full has 5,000 rows for each fault; the default is small, with the same invariants.
"""

import dataclasses
import datetime as dt
import os
import ssl
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import anyio
import pytest

from bulkcmp.engine.channel import MemoryChannel
from bulkcmp.engine.colleague import hire_task
from bulkcmp.engine.frame import Setup, TlsFiles
from bulkcmp.engine.keys import FreshKeys
from bulkcmp.engine.run import Run
from bulkcmp.engine.worker import Worker
from bulkcmp.errors import TransportError
from bulkcmp.inputs.name import parse_name
from bulkcmp.io.clock import SystemClock
from bulkcmp.io.limits import Limits
from bulkcmp.journal.folder import FILE_NAME
from bulkcmp.journal.journal import Journal
from bulkcmp.model import EndEntity, KeySpec, Operation, Profile, Secret
from bulkcmp.testca import state
from bulkcmp.testca.aliases import RA_HMAC
from bulkcmp.testca.authority import Authority
from bulkcmp.testca.identity import Identity
from bulkcmp.testca.store import Store
from tests.aftermath import Aftermath
from tests.faults.proxy import Fault, Line, Proxy

FULL: Final = os.environ.get("BULKCMP_SCALE") == "full"
ROWS: Final = 5000 if FULL else 16
CONCURRENCY: Final = 200 if FULL else 20
ODDS: Final = 0.1 if FULL else 0.4
LIMITS: Final = Limits(connect=30.0, read=60.0, total=120.0, connections=CONCURRENCY)
SLOW_LIMIT: Final = 10.0 if FULL else 1.5
"""Seconds for an answer, where a fault is ended by the limit."""
RUN_LIMIT: Final = 3000.0 if FULL else 100.0
"""Seconds after which a run is taken to hang."""

EC: Final = KeySpec.parse("ec:P-256")
PROFILE: Final = Profile(pbm_iterations=100, retries=5, backoff_first=0.02, backoff_max=0.1)


@dataclass(frozen=True)
class Ca:
    """The embedded CA; the runs of a module share it."""

    books: Store
    root: Identity
    secret: Secret


@dataclass
class Field:
    """A population, a CA and a run folder, with a proxy between.

    Attributes:
        name: begins the names of its end entities.
        tls: trusts the proxy's certificate.
        limits, profile: of the runs.
    """

    folder: Path
    ca: Ca
    name: str
    seed: int = 1
    tls: TlsFiles | None = None
    limits: Limits = LIMITS
    profile: Profile = PROFILE
    rows: int = ROWS
    unreachable: TransportError | None = None

    def __post_init__(self) -> None:
        self._rows: dict[bytes, int] = {}
        self._authority = Authority(self.ca.books, self.ca.root)

    def ask(self, request: bytes) -> bytes:
        return self._authority.handle(RA_HMAC, request, dt.datetime.now(dt.UTC))

    def proxy(
        self, *faults: Fault, tls: ssl.SSLContext | None = None, line: Line | None = None
    ) -> Proxy:
        return Proxy(self.ask, self._rows, faults, ODDS if faults else 0.0, self.seed, tls, line)

    def population(self) -> Sequence[EndEntity]:
        return [
            EndEntity(
                number,
                number + 1,
                f"{self.name}-{number:06}",
                Operation.IR,
                subject=parse_name(f"/CN={self.name}-{number:06}/O=Acme/C=SE"),
                new_key_spec=EC,
                ref="ra1",
                secret=self.ca.secret,
            )
            for number in range(1, self.rows + 1)
        ]

    def play(self, proxy: Proxy, **options: Any) -> Aftermath:
        """A session of the run through the proxy."""
        anyio.run(self._session, proxy, options)
        return self.aftermath()

    def play_at(self, url: str, **options: Any) -> Aftermath:
        """A session of the run against another URL."""
        anyio.run(self._run, url, options)
        return self.aftermath()

    def aftermath(self) -> Aftermath:
        issued = [
            one
            for one in self.ca.books.certificates()
            if one.user and one.user.startswith(f"{self.name}-")
        ]
        return Aftermath.read(self.folder, issued, None)

    async def _session(self, proxy: Proxy, options: dict[str, Any]) -> None:
        async with proxy.serving():
            scheme = "http" if self.tls is None else "https"
            await self._run(f"{scheme}://127.0.0.1:{proxy.port}/cmp", options)

    async def _run(self, url: str, options: dict[str, Any]) -> None:
        async def work(channel: MemoryChannel) -> None:
            await Worker(channel, SystemClock()).run()

        with self._journal() as journal:
            journal.settle()
            run = Run(
                self.population(),
                journal,
                FreshKeys(),
                self._setup(url),
                workers=1,
                clock=SystemClock(),
                on_snapshot=lambda _: None,
                hire=hire_task(work),
                **options,
            )
            with anyio.fail_after(RUN_LIMIT):
                await run.execute()
            journal.settle()
        self.unreachable = run.unreachable

    def _journal(self) -> Journal:
        if (self.folder / FILE_NAME).exists():
            journal = Journal.open(self.folder)
            journal.unlock(None)
            return journal
        return Journal.create(self.folder, {}, None)

    def _setup(self, url: str) -> Setup:
        return Setup(
            url=url,
            profile=self.profile,
            limits=self.limits,
            tls=self.tls,
            proxy="",
            anchors=(self.ca.root.der,),
            untrusted=(),
            out_trusted=(),
            srvcert=None,
            pbm_salt=b"sixteen octets..",
            concurrency=CONCURRENCY,
        )

    def shorten(self) -> None:
        """Have the time limit of an answer pass soon."""
        self.limits = dataclasses.replace(self.limits, read=SLOW_LIMIT)


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ca]:
    folder = tmp_path_factory.mktemp("ca") / "state"
    state.create(folder, EC, dt.datetime.now(dt.UTC) - dt.timedelta(hours=1))
    with closing(state.open_books(folder)) as books:
        secret = books.alias_secret(RA_HMAC.name)
        assert secret is not None
        yield Ca(books, state.load_identity(folder), secret)


@pytest.fixture
def ground(ca: Ca, tmp_path: Path) -> Field:
    return Field(tmp_path / "run", ca, tmp_path.name)


@pytest.fixture
def again(ca: Ca, tmp_path: Path) -> Field:
    """Another run of the same population."""
    return Field(tmp_path / "again", ca, f"{tmp_path.name}-again")
