"""Whole load tests in virtual time: real parent, workers and CA, with a network to be spoilt."""

from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import pytest
import trio.testing

from bulkcmp.cmp.messages import BodyType, decode_message
from bulkcmp.engine.channel import MemoryChannel
from bulkcmp.engine.colleague import Crew, Hire, hire_task
from bulkcmp.engine.failure import first_error
from bulkcmp.engine.frame import Assignment, Report, Setup
from bulkcmp.engine.keys import KeySource
from bulkcmp.engine.load.generator import Generator
from bulkcmp.engine.load.provision import Provision
from bulkcmp.engine.load.run import LoadRun
from bulkcmp.io.http import CmpHttpClient
from bulkcmp.io.vitals import Vitals
from bulkcmp.load.arrivals import Ramp
from bulkcmp.load.certified import Certified
from bulkcmp.load.chance import Chance
from bulkcmp.load.scenario import Lifecycle, Open, Shape, Step, Think
from bulkcmp.load.schedule import choose, end, share_out
from bulkcmp.model import EndEntity, Operation, OutcomeClass
from bulkcmp.stats.health import Pulse
from bulkcmp.stats.record import Drop, Level, TransactionRecord

if TYPE_CHECKING:
    from tests.engine.conftest import Scene

SEED = 5
URL = "http://ca.test"
CALM = Vitals(cpu=0.0, open_files=10, most_files=1024)

LATEST = 0.0021
"""Seconds by which a start may be late for timers alone."""

Conduct = Callable[[LoadRun], Coroutine[Any, Any, None]]


def is_punctual(started: float, planned: float) -> bool:
    return -1.5e-6 <= started - planned < LATEST


@dataclass
class Load:
    """A scene for load tests, and what was measured."""

    scene: "Scene"
    records: list[TransactionRecord] = field(default_factory=list)
    drops: list[Drop] = field(default_factory=list)
    pulses: list[Pulse] = field(default_factory=list)
    levels: list[Level] = field(default_factory=list)
    certificates: list[Certified] = field(default_factory=list)
    begun: list[float] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    asked: Counter[tuple[str, BodyType]] = field(default_factory=Counter)
    run: LoadRun = field(init=False)
    ended: float = field(init=False)

    @staticmethod
    def steady(rate: float, duration: float = inf, **fields: Any) -> Open:
        """A constant rate."""
        return Open((Ramp(duration, rate, rate),), **fields)

    @staticmethod
    def lifecycle(*steps: Operation | tuple[Operation, Think], weight: float = 1.0) -> Lifecycle:
        made = [Step(*step) if isinstance(step, tuple) else Step(step) for step in steps]
        return Lifecycle("-".join(step.cmd for step in made), weight, tuple(made))

    def take(self, report: Report) -> None:
        for one in report.records:
            match one:
                case TransactionRecord():
                    self.records.append(one)
                case Drop():
                    self.drops.append(one)
                case Pulse():
                    self.pulses.append(one)
                case Level():
                    self.levels.append(one)
        self.certificates += report.certificates

    def make_client(self, setup: Setup) -> CmpHttpClient:
        """Notes which server is asked for what."""

        async def handle(request: httpx.Request) -> httpx.Response:
            server = str(request.url).removeprefix(f"{URL}/")
            self.asked[server, decode_message(request.content).body_type] += 1
            return await self.scene.peer.handle(request)

        return CmpHttpClient(setup.url, httpx.MockTransport(handle))

    def hire(self) -> Hire:
        async def work(channel: MemoryChannel) -> None:
            await Generator(
                channel,
                self.scene.clock,
                make_client=self.make_client,
                read_vitals=lambda: CALM,
            ).run()

        return hire_task(work)

    def play(
        self,
        shape: Shape,
        *lifecycles: Lifecycle,
        count: int | None = None,
        duration: float | None = None,
        warm_up: float = 0.0,
        drain: float = 60.0,
        workers: int = 1,
        certs_per_message: int = 1,
        rows: Iterable[EndEntity] | None = None,
        servers: Mapping[str, dict[str, Any]] | None = None,
        keys: KeySource | None = None,
        conduct: Conduct | None = None,
        hire: Hire | None = None,
        limit: float = 7200.0,
    ) -> None:
        """A load test.

        Args:
            rows: of the population; by default as many as are wanted.
            servers: what rows have otherwise at each, by its name; by default there is one.
            conduct: runs beside it.
            limit: virtual seconds after which it is taken to hang.
        """
        lifecycles = lifecycles or (self.lifecycle(Operation.IR),)
        chance = Chance(SEED)

        def population(fields: dict[str, Any]) -> Iterable[EndEntity]:
            for number in range(1, 1_000_000):
                place = choose(lifecycles, chance, (number - 1) // certs_per_message)
                yield self.scene.row(number, cmd=lifecycles[place].steps[0].cmd, **fields)

        servers = servers or {"": {}}
        setups = {
            name: self.scene.setup(certs_per_message=certs_per_message, url=f"{URL}/{name}")
            for name in servers
        }
        shapes = share_out(shape, workers)
        assignments = [
            Assignment(
                setups,
                place,
                len(shapes),
                lifecycles,
                one,
                SEED,
                end(shape, duration),
                warm_up,
                drain,
                count,
            )
            for place, one in enumerate(shapes)
        ]
        source = Provision(
            {
                name: population(fields) if rows is None else rows
                for name, fields in servers.items()
            },
            lifecycles,
            chance,
            keys or self.scene.fresh_keys,
            count=count,
            certs_per_message=certs_per_message,
        )

        async def session() -> None:
            self.run = LoadRun(
                assignments,
                source,
                self.scene.clock,
                self.begun.append,
                self.take,
                self.notices.append,
                crew=Crew(hire or self.hire()),
                read_vitals=lambda: CALM,
            )
            try:
                with anyio.fail_after(limit):
                    async with anyio.create_task_group() as group:
                        if conduct is not None:
                            group.start_soon(conduct, self.run)
                        await self.run.execute()
                        self.ended = self.scene.clock.now()
                        group.cancel_scope.cancel()
            except BaseExceptionGroup as errors:
                raise first_error(errors) from None

        clock = trio.testing.MockClock(autojump_threshold=0)
        anyio.run(session, backend="trio", backend_options={"clock": clock})

    def outcomes(self) -> Counter[OutcomeClass]:
        """Of all requests."""
        counts: Counter[OutcomeClass] = Counter()
        for record in self.records:
            for ending in record.endings:
                counts[ending.outcome] += ending.requests
        return counts


@pytest.fixture
def load(scene: "Scene") -> Load:
    return Load(scene)
