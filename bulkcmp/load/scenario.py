"""A load test as its user means it: which end entities do what, when, and what must come of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from math import log1p
from typing import TypeAlias

from bulkcmp.load.arrivals import Ramp
from bulkcmp.load.capacity import Search
from bulkcmp.model import Operation, ReportFormat, RevocationReason


@dataclass(frozen=True, slots=True)
class Constant:
    """A pause that always lasts the same.

    Attributes:
        length: seconds, 0 or more.
    """

    length: float = 0.0

    def seconds(self, _uniform: float) -> float:
        return self.length


@dataclass(frozen=True, slots=True)
class Uniform:
    """A pause of which each length between two is as likely as any other.

    Attributes:
        least, most: seconds, 0 or more.
    """

    least: float
    most: float

    def seconds(self, uniform: float) -> float:
        return self.least + (self.most - self.least) * uniform


@dataclass(frozen=True, slots=True)
class Exponential:
    """A pause whose end is as likely in each instant, however long it has lasted.

    Attributes:
        mean: seconds, above 0.
    """

    mean: float

    def seconds(self, uniform: float) -> float:
        return -log1p(-uniform) * self.mean


Think: TypeAlias = Constant | Uniform | Exponential
"""How long an end entity pauses: `seconds` makes a pause of a number of [0, 1)."""


@dataclass(frozen=True, slots=True)
class Step:
    """One transaction in the life of an end entity.

    Attributes:
        cmd: kur and rr that follow an enrollment are about the certificate which that brought; the
            first of a lifecycle are about the one that the population names.
        server: its name; empty where there is one server.
        think: the pause before it; that of the first step counts for nothing.
        reason: of an rr.
    """

    cmd: Operation
    think: Think = Constant()
    reason: RevocationReason = RevocationReason.UNSPECIFIED
    server: str = ""


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """What an end entity goes through.

    Attributes:
        name: as reports call it; no two of a scenario have the same.
        weight: above 0; its share of all lifecycles is its share of all weights.
        steps: at least one.
    """

    name: str
    weight: float
    steps: tuple[Step, ...]


class ArrivalProcess(StrEnum):
    """How arrivals are spread over a rate."""

    EVEN = "even"
    POISSON = "poisson"


class LatePolicy(StrEnum):
    """What becomes of an arrival, or of a further step, while the most that may be are in flight.

    QUEUE: it starts when another ends, and is late. DROP: it does not happen, and is counted.
    """

    QUEUE = "queue"
    DROP = "drop"


@dataclass(frozen=True, slots=True)
class Closed:
    """As many clients as there are, each with one lifecycle after the other.

    Attributes:
        clients: 1 or more.
        think: the pause of a client between two lifecycles.
    """

    clients: int
    think: Think = Constant()


@dataclass(frozen=True, slots=True)
class Open:
    """Lifecycles arrive by a plan, whatever becomes of those before.

    Attributes:
        ramps: the rate over time; only the last may be without end.
        process: how arrivals are spread over it.
        late: what becomes of arrivals and steps while `in_flight` transactions are.
        in_flight: the most transactions at a time, over all workers.
    """

    ramps: tuple[Ramp, ...]
    process: ArrivalProcess = ArrivalProcess.EVEN
    late: LatePolicy = LatePolicy.QUEUE
    in_flight: int = 1000


Shape: TypeAlias = Closed | Open


class KeyMode(StrEnum):
    """Where the keys to be certified come from."""

    UNIQUE = "unique"
    """Each request has a key of its own, made before it is due."""
    FILE = "file"
    """The same, from a key file that `bulkcmp keys generate` made."""
    ONE = "one"
    """One key for all requests, which many CAs refuse."""


@dataclass(frozen=True, slots=True)
class PopulationFile:
    """The end entities of a CSV file, each of them once.

    Attributes:
        path: relative to the working directory.
    """

    path: str


@dataclass(frozen=True, slots=True)
class GeneratedPopulation:
    """End entities that no file lists.

    Attributes:
        file, line: where they are described; relative paths in cells are relative to its folder.
        columns: templates of the cells, by column; their placeholders are counters and random
            fields (see `bulkcmp.inputs.generation`).
        size: rows that there are; None for as many as are wanted.
        repeated: share of them, 0 to 1, which have an end entity that had one before.
    """

    file: str
    line: int
    columns: Mapping[str, str]
    size: int | None = None
    repeated: float = 0.0


@dataclass(frozen=True, slots=True)
class Scenario:
    """A load test.

    It ends with the first of `count`, `duration`, the last ramp and the population; one of them
    ends.

    Attributes:
        name: what reports call it.
        description: what it is for, in a sentence; may be empty.
        settings: how to talk to the server: values of the options of `bulkcmp.engine.options`,
            paths relative to the working directory. Never shown: a secret may be among them.
        servers: where there are several, by name: the settings of each that go before `settings`,
            and before all else that is said of servers and rows.
        lifecycles: at least one.
        keys: where they come from; their type and their file are among the settings.
        count: lifecycles to begin at most.
        duration: seconds in which lifecycles begin.
        warm_up: seconds from the beginning whose figures stand apart.
        drain: seconds that what has begun may still take after that.
        thresholds: what must hold, in the grammar of `bulkcmp.stats.threshold`.
        search: how the capacity is looked for, where it is.
        seed: of all chance; None: another one each time.
        outputs: reports to write at the end, and the file of each, relative to the run folder.
        revoke_after: what it issued, and did not revoke itself, is revoked in the end.
        revoke_at: the server that it is revoked at; empty for the one that issued it.
        changed: key paths whose values are otherwise than in the file.
    """

    name: str
    settings: Mapping[str, object] = field(repr=False)
    population: PopulationFile | GeneratedPopulation
    lifecycles: tuple[Lifecycle, ...]
    shape: Shape
    servers: Mapping[str, Mapping[str, object]] = field(default_factory=dict, repr=False)
    description: str = ""
    keys: KeyMode = KeyMode.UNIQUE
    count: int | None = None
    duration: float | None = None
    warm_up: float = 0.0
    drain: float = 60.0
    thresholds: tuple[str, ...] = ()
    search: Search = field(default_factory=Search)
    seed: int | None = None
    outputs: Mapping[ReportFormat, str] = field(default_factory=dict)
    revoke_after: bool = False
    revoke_at: str = ""
    changed: tuple[str, ...] = ()

    @property
    def works(self) -> frozenset[tuple[Operation, str]]:
        """The operations of its steps, each with the name of its server."""
        return frozenset((step.cmd, step.server) for one in self.lifecycles for step in one.steps)
