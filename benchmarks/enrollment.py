"""Enrollments by the engine as `bulkcmp enroll` drives it, measured while they run steadily.

Parent and workers are the real ones, in processes of their own, with a real journal. Start and end
of a run are left out of the figures: the first and the last tenth of its transactions.
"""

import cProfile
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from benchmarks.benchmark import Scale
from benchmarks.ca import Ca, serving_ca
from benchmarks.figure import Profile, Series
from benchmarks.meter import ClientMeter, cpu_of, ready_of
from benchmarks.profile import profiled
from bulkcmp.engine.colleague import Hire, hire_task
from bulkcmp.engine.keys import KeySource
from bulkcmp.engine.options import Options
from bulkcmp.engine.run import Run, hire_process
from bulkcmp.engine.worker import Worker
from bulkcmp.io import loop
from bulkcmp.io.clock import SystemClock
from bulkcmp.io.keyworker import make_keys
from bulkcmp.journal.journal import Journal
from bulkcmp.model import KeySpec, OutcomeClass
from bulkcmp.stats.progress import Snapshot

P256: Final = KeySpec.parse("ec:P-256")

_APART: Final = 1.0
"""Seconds between two readings of the meters, at least."""

_FEWEST: Final = 10
"""Transactions of a steady part; fewer may all have ended between two readings, or none."""

IN_PROCESS: Final = hire_task(lambda channel: Worker(channel, SystemClock()).run())
"""Starts a worker in the parent's process, where a profiler sees it."""

_PASSPHRASE: Final = "pass:a passphrase"  # of keys that nobody uses


@dataclass(frozen=True, slots=True)
class Steady:
    """What a run did in its steady part.

    Attributes:
        seconds: by the clock; client, server: of CPU; ready: that the server ran, or waited for
            a core.
    """

    transactions: int
    seconds: float
    client: float
    server: float
    ready: float

    @property
    def rate(self) -> float:
        """Transactions/s."""
        return self.transactions / self.seconds

    @property
    def client_cpu(self) -> float:
        """Microseconds for each transaction."""
        return 1e6 * self.client / self.transactions

    @property
    def server_cpu(self) -> float:
        """The same of the server."""
        return 1e6 * self.server / self.transactions


def rates(label: str, runs: Sequence[Steady]) -> Series:
    """What each run did in a second."""
    return Series.of(label, "transactions/s", [run.rate for run in runs])


def client_cpu(label: str, runs: Sequence[Steady]) -> Series:
    """What each run's client took for a transaction."""
    return Series.of(label, "us CPU", [run.client_cpu for run in runs])


class ReadyKeys(KeySource):
    """Keys that were made before the run; each is given once."""

    starved = 0.0

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = iter(keys)

    async def take(self, spec: KeySpec) -> tuple[bytes, int | None]:
        return next(self._keys), None


def write_population(path: Path, rows: int, stem: str) -> None:
    """A population as small as one can be: ids and subjects."""
    with path.open("w") as file:
        file.write("id,subject\n")
        for number in range(1, rows + 1):
            file.write(f'{stem}{number:07},"CN={stem}{number:07},O=Acme,C=SE"\n')


def enroll_devices(
    ca: Ca,
    options: Options,
    folder: Path,
    keys: Sequence[bytes],
    *,
    concurrency: int,
    workers: int = 1,
    stem: str = "dev",
    journal_kind: type[Journal] = Journal,
    hire: Hire = hire_process,
    during: AbstractContextManager[object] | None = None,
) -> Steady:
    """Enroll a device for each key, which was made before.

    Args:
        options: how; see `Ca.options`.
        stem: of the devices' names, which no earlier run may have used.

    The others, and what is raised: see `enroll`.
    """
    population = folder / "population.csv"
    write_population(population, len(keys), stem)
    return enroll(
        options, population, len(keys), folder, ca.pid,
        keys=ReadyKeys(keys), concurrency=concurrency, workers=workers,
        journal_kind=journal_kind, hire=hire, during=during,
    )  # fmt: skip


def enroll(
    options: Options,
    population: Path,
    rows: int,
    folder: Path,
    server: int,
    *,
    keys: KeySource | None = None,
    concurrency: int,
    workers: int = 1,
    journal_kind: type[Journal] = Journal,
    hire: Hire = hire_process,
    during: AbstractContextManager[object] | None = None,
) -> Steady:
    """Enroll a population.

    Args:
        rows: of the population.
        folder: for the run.
        server: process of the CA.
        concurrency: transactions in flight.
        journal_kind: Journal, or one that does less.
        hire: starts a worker.
        during: is entered while the run goes on, but not for what comes once before it.

    Raises:
        RuntimeError: a row did not get its certificate.
    """
    options = replace(options, concurrency=concurrency, workers=workers, key_pass=_PASSPHRASE)
    plan = options.plan(str(population), {})
    watch = _Watch(server)

    async def execute(journal: Journal) -> Snapshot:
        run = Run(
            plan.rows,
            journal,
            keys,
            plan.setup,
            workers=workers,
            clock=SystemClock(),
            total=rows,
            on_snapshot=watch.see,
            hire=hire,
        )
        with during or nullcontext():
            await run.execute()
        return run.snapshot()

    with closing(journal_kind.create(folder / "run", {}, plan.key_pass)) as journal:
        snapshot = loop.run(execute, journal)
    issued = sum(one.count for one in snapshot.counts if one.outcome is OutcomeClass.ISSUED)
    if issued != rows:
        raise RuntimeError(f"{issued} of {rows} rows were issued: {snapshot.newest_error}")
    return steady_part(watch.readings, rows)


def in_turn(
    scale: Scale, full: int, ways: Mapping[str, Callable[[Ca, Path, Sequence[bytes], str], Steady]]
) -> tuple[dict[str, list[Steady]], Profile]:
    """Enroll as many devices in each of several ways, again and again.

    Args:
        full: devices of a full run.
        ways: by their names; each is given a CA, an empty folder, keys, and a stem of names.

    Returns:
        What each way found, one for each repetition; and where the time of the client goes.
    """
    keys = make_keys(P256, scale.count(full, 3))
    found: dict[str, list[Steady]] = {name: [] for name in ways}
    with serving_ca() as ca:
        for turn in range(scale.repetitions):
            for name, way in ways.items():
                with tempfile.TemporaryDirectory(prefix="bulkcmp-") as folder:
                    found[name].append(way(ca, Path(folder), keys, f"{name}{turn}-"))
        profile = profile_devices(ca, keys[: scale.count(1000, 2)])
    return found, profile


def profile_devices(ca: Ca, keys: Sequence[bytes]) -> Profile:
    """Where the time goes as devices are enrolled, all at a time, by the RA's secret: parent and
    worker in one process, but for the threads that write the journal. What a run does once, as to
    derive the key under which the journal's is sealed (scrypt, 0.1 s), is left out."""

    def work(profiler: cProfile.Profile) -> None:
        profiler.disable()
        with tempfile.TemporaryDirectory(prefix="bulkcmp-") as folder:
            enroll_devices(
                ca, ca.options(), Path(folder), keys,
                concurrency=len(keys), stem="profile-", hire=IN_PROCESS, during=profiler,
            )  # fmt: skip
        profiler.enable()

    return profiled("parent and worker, MACs, over HTTP", work, len(keys))


@dataclass(frozen=True, slots=True)
class Reading:
    """Of the meters: what there was since the run began."""

    transactions: int
    at: float
    client: float
    server: float
    ready: float


class _Watch:
    """Reads the meters as the run goes on."""

    def __init__(self, server: int) -> None:
        self._server = server
        self._meter = ClientMeter(server)
        self.readings = [self._read(0)]

    def see(self, snapshot: Snapshot) -> None:
        if snapshot.finished or time.monotonic() - self.readings[-1].at >= _APART:
            self.readings.append(self._read(snapshot.transactions))

    def _read(self, transactions: int) -> Reading:
        return Reading(
            transactions,
            time.monotonic(),
            self._meter.read(),
            cpu_of(self._server),
            ready_of(self._server),
        )


def steady_part(readings: Sequence[Reading], rows: int) -> Steady:
    """Between the readings after the first tenth and before the last; of a run that was too short
    for that, all of it."""
    tenth = rows / 10
    steady = [one for one in readings if tenth <= one.transactions <= 9 * tenth]
    if not steady or steady[-1].transactions - steady[0].transactions < _FEWEST:
        steady = list(readings)
    first, last = steady[0], steady[-1]
    return Steady(
        last.transactions - first.transactions,
        last.at - first.at,
        last.client - first.client,
        last.server - first.server,
        last.ready - first.ready,
    )
