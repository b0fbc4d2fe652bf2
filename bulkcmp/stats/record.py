"""What a load test notes of itself, one record after the other: every figure is made from these.

Instants are seconds since the run began, or the window of a search that the record is of, on one
monotonic clock; they never come from a wall clock. They are whole microseconds (`to_microsecond`)
from the moment in which a record is made, so that what is counted live is what a file says later.
"""

import datetime as dt
from dataclasses import dataclass
from typing import Final, TypeAlias

from bulkcmp.errors import EXIT_SOME_FAILED, Loss
from bulkcmp.load.capacity import Search
from bulkcmp.model import Operation, Outcome, OutcomeClass
from bulkcmp.stats.health import Pulse

_DIGITS: Final = 6
"""Of seconds after the point."""


def to_microsecond(seconds: float) -> float:
    """Seconds as a record has them.

    An instant is the difference of two Unix times, each of which a float holds to a quarter of a
    microsecond: further digits are noise, and most of a record's octets.
    """
    return round(seconds, _DIGITS)


@dataclass(frozen=True, slots=True)
class Run:
    """What a load test was to do, how and where; it stands before its records.

    Attributes:
        tool_version: bulkcmp's.
        began_at: wall clock at the run's beginning, from which its records count, UTC.
        scenario: its name; description: what it is for, may be empty.
        server: URL, without a user and a password; of several, each after its name.
        shape: the load in one line for a human.
        keys: where the keys come from, in words.
        warm_up: seconds from the beginning whose figures stand apart.
        thresholds: what must hold (`bulkcmp.stats.threshold`).
        seed: of all chance.
        workers: processes that made the load.
        settings: name and value of whatever else was set; no secret is among them.
        notes: what every report shall say of them.
        environment: name and value of what the machine and its software are.
        search: the run was a search for the capacity: its records are those of one `Window` after
            the other.
    """

    tool_version: str
    began_at: dt.datetime
    scenario: str
    server: str
    shape: str
    keys: str
    description: str = ""
    warm_up: float = 0.0
    thresholds: tuple[str, ...] = ()
    seed: int = 0
    workers: int = 1
    settings: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    search: Search | None = None


@dataclass(frozen=True, slots=True)
class Exchange:
    """One message sent, and what came of it.

    Attributes:
        request: name of the body that was sent: `ir`, `pollReq`, `certConf` …
        answer: name of the body that came: `ip`, `pkiconf`, `error` …; empty where `loss` says why
            none came, and where what came is no PKIMessage.
        started: the message was handed to the client.
        finished: the last byte of the answer was read, or it was known that none comes.
        loss: None where a CMP answer came.
        reached: the connection made for it had come to the server, and TLS was to begin; None
            without TLS, and on a connection that had carried an exchange before.
        connected: the connection made for it was ready, TLS included; None on one that was there.
        sent: the last byte of the request was handed to the kernel; None where that is not known.
        first_byte: the first byte of the answer was read; None where that is not known.
        octets_sent, octets_received: of the messages, HTTP not counted.
    """

    request: str
    answer: str
    started: float
    finished: float
    loss: Loss | None = None
    reached: float | None = None
    connected: float | None = None
    sent: float | None = None
    first_byte: float | None = None
    octets_sent: int = 0
    octets_received: int = 0


@dataclass(frozen=True, slots=True)
class Ending:
    """How requests of one transaction ended, which may hold several (`Outcome`).

    Attributes:
        requests: how many of them ended so, 1 at least.
        detail: one line for a human, of the first of them.
    """

    outcome: OutcomeClass
    reason: str = ""
    fail_info: tuple[str, ...] = ()
    detail: str = ""
    requests: int = 1

    @classmethod
    def of(cls, outcomes: tuple[Outcome, ...]) -> tuple["Ending", ...]:
        """The endings of a transaction with these outcomes, in the order in which they first come.

        No two of them have the same class, reason and failInfo.
        """
        groups: dict[tuple[OutcomeClass, str, tuple[str, ...]], list[Outcome]] = {}
        for one in outcomes:
            groups.setdefault((one.outcome, one.reason, one.fail_info), []).append(one)
        return tuple(
            cls(outcome, reason, fail_info, group[0].detail, len(group))
            for (outcome, reason, fail_info), group in groups.items()
        )


@dataclass(frozen=True, slots=True)
class TransactionRecord:
    """One step of a lifecycle, which is one transaction.

    Attributes:
        arrival: number of the arrival that it belongs to, from 0.
        lifecycle: name of the lifecycle in the mix.
        step: place in the lifecycle, from 0.
        server: its name in the scenario; empty where there is one server.
        planned: when it was to begin: by the arrival plan; or, of a later step and of a client in
            a closed loop, when the one before had finished and the think time was over.
        started: it began; finished: it had its outcome.
        warm_up: its arrival was planned for the warm-up; its figures are kept apart.
        endings: of its requests, one at least.
        certificates: that the CA issued in it.
        exchanges: in the order in which they began.
        crypto: seconds in which we built, signed and checked its messages and derived its keys.
        attempts: transactions started for it, those that were tried again included.
    """

    arrival: int
    lifecycle: str
    step: int
    operation: Operation
    planned: float
    started: float
    finished: float
    warm_up: bool
    endings: tuple[Ending, ...]
    certificates: int = 0
    exchanges: tuple[Exchange, ...] = ()
    crypto: float = 0.0
    attempts: int = 1
    server: str = ""

    @property
    def is_ok(self) -> bool:
        """All of its requests reached what the user asked for."""
        return all(ending.outcome.is_done for ending in self.endings)

    @property
    def lag(self) -> float:
        """Seconds by which it began too late."""
        return max(0.0, self.started - self.planned)

    @property
    def service(self) -> float:
        """Seconds from its real beginning: what the server made us wait."""
        return max(0.0, self.finished - self.started)

    @property
    def response(self) -> float:
        """Seconds from its planned beginning: what a user of that plan waits."""
        return max(0.0, self.finished - self.planned)

    @property
    def network(self) -> float:
        """Seconds that its exchanges took, summed."""
        return sum(max(0.0, one.finished - one.started) for one in self.exchanges)


@dataclass(frozen=True, slots=True)
class Drop:
    """A transaction that was due and never begun, and with it what was left of its lifecycle.

    As many as may be were in flight, or the time of the drain was over.

    Attributes:
        planned: when it was to begin; at: when it was given up.
    """

    arrival: int
    lifecycle: str
    planned: float
    at: float
    warm_up: bool


@dataclass(frozen=True, slots=True)
class Level:
    """How much one worker had under way at an instant, for views of a run that goes on.

    Attributes:
        process: as in `Pulse`.
        in_flight: transactions begun and not finished.
        waiting: arrivals that are due and not begun.
    """

    process: str
    at: float
    in_flight: int
    waiting: int = 0


@dataclass(frozen=True, slots=True)
class Window:
    """A search for the capacity begins to try a rate; the records that follow are of this window.

    Attributes:
        rate: lifecycles/s.
        at: seconds since the search began.
    """

    rate: float
    at: float


@dataclass(frozen=True, slots=True)
class Fault:
    """What a run could not go on after: a worker died, a disk was full, a key could not be had.

    Attributes:
        what: it was, in words, and where.
        exit_code: of the command that it ended.
    """

    what: str
    exit_code: int = EXIT_SOME_FAILED


@dataclass(frozen=True, slots=True)
class End:
    """The last record of a run, or of a window, that came to its end.

    By plan, by a signal, or since it could not go on.

    Attributes:
        at: when the last transaction had finished or was cut off.
        abandoned: transactions that were cut off, since the drain's time was over; their records
            say what had come of them by then.
        interrupted: by a signal; aborted: by a threshold.
        exhausted: a window had fewer end entities than its rate wanted.
        failed: what ended it; None where nothing but plan and signals did.
    """

    at: float
    abandoned: int = 0
    interrupted: bool = False
    aborted: bool = False
    exhausted: bool = False
    failed: Fault | None = None


Record: TypeAlias = TransactionRecord | Drop | Pulse | Level | Window | End
