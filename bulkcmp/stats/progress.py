"""The progress of a run: fed with what happens, it says at any instant how the run stands.

It reads no clock: every instant is passed in as `now`, monotonic seconds of one clock, and never
goes back.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from math import floor
from typing import Final, assert_never

from bulkcmp.model import Outcome, OutcomeClass, Timings
from bulkcmp.stats.histogram import Histogram, LatencySummary
from bulkcmp.stats.tally import OutcomeCount, Tally
from bulkcmp.waves.admission import Hold

RATE_WINDOW: Final = 10.0
"""Seconds that `Snapshot.rate_now` looks back."""

_SLOTS: Final = 100
_SLOT: Final = RATE_WINDOW / _SLOTS
_NONE: Final = LatencySummary()


@dataclass(frozen=True, slots=True)
class Latencies:
    """Latencies by step, each over the transactions that had that step (see `Timings`)."""

    service: LatencySummary = _NONE
    request: LatencySummary = _NONE
    polling: LatencySummary = _NONE
    confirm: LatencySummary = _NONE


@dataclass(frozen=True, slots=True)
class NewestError:
    """The last row that failed.

    Attributes:
        row_id: its id, as the population gives it (not sanitized).
        outcome: its outcome; texts of the peer in it are not sanitized.
        at: seconds since the run began.
        count: rows of this outcome class and reason so far, this one included.
    """

    row_id: str
    outcome: Outcome
    at: float
    count: int


@dataclass(frozen=True, slots=True)
class Held:
    """What holds new transactions back; see `Progress.held`.

    Attributes:
        until: Unix time at which it may end; None where that is not known.
        why: what led to it, in a few words; empty where the kind says it all.
    """

    hold: Hold
    until: float | None = None
    why: str = ""

    def __str__(self) -> str:
        return f"{self.hold.value} ({self.why})" if self.why else self.hold.value


@dataclass(frozen=True, slots=True)
class HoldCount:
    """How often new transactions were held back for one reason, and for how many seconds."""

    hold: Hold
    times: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Snapshot:
    """How a run stands at one instant.

    Attributes:
        elapsed: seconds since this session of the run began.
        total: rows of the population; None while it is not known.
        done: rows with an outcome, whatever it is, those of earlier sessions included.
        already_done: the part of `done` that earlier sessions brought (a resumed run).
        transactions: those that this session finished.
        in_flight: transactions started and not finished.
        failed: the part of `done` that did not reach what the user asked for.
        rate_now: rows finished per second in the last `RATE_WINDOW` seconds (or since the
            beginning where that is shorter, but one second at least).
        rate_average: rows finished per second since this session began.
        eta: seconds that the rest takes at `rate_now`; None where that or the total is unknown.
        counts: rows of `done` by outcome class and reason.
        success, failure: latencies of this session's transactions that did or did not reach what
            the user asked for, for all of their rows.
        newest_error: the last failure of this session.
        keys_waiting: seconds in which a transaction could have started but for want of a key.
        held: what holds new transactions back now; None where nothing does.
        holds: what held them back so far, in the order in which it did first.
        finished: True once nothing more comes.
    """

    elapsed: float = 0.0
    total: int | None = None
    done: int = 0
    already_done: int = 0
    transactions: int = 0
    in_flight: int = 0
    failed: int = 0
    rate_now: float = 0.0
    rate_average: float = 0.0
    eta: float | None = None
    counts: tuple[OutcomeCount, ...] = ()
    success: Latencies = Latencies()
    failure: Latencies = Latencies()
    newest_error: NewestError | None = None
    keys_waiting: float = 0.0
    held: Held | None = None
    holds: tuple[HoldCount, ...] = ()
    finished: bool = False


@dataclass(frozen=True, slots=True)
class Started:
    """See `Progress.started`."""


@dataclass(frozen=True, slots=True)
class Finished:
    """See `Progress.finished`."""

    outcomes: tuple[tuple[str, Outcome], ...]
    timings: Timings


@dataclass(frozen=True, slots=True)
class Settled:
    """See `Progress.settled`."""

    row_id: str
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class AlreadyDone:
    """See `Progress.already_done`."""

    outcome: OutcomeClass
    reason: str
    count: int


@dataclass(frozen=True, slots=True)
class Abandoned:
    """See `Progress.abandoned`."""

    count: int


@dataclass(frozen=True, slots=True)
class KeysWaited:
    """See `Progress.waited_for_keys`."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Changed:
    """See `Progress.held`."""

    held: Held | None


Event = Started | Finished | Settled | AlreadyDone | Abandoned | KeysWaited | Changed
"""What a progress is told, for one that is elsewhere."""


class _Steps:
    """One histogram for each step of a transaction."""

    __slots__ = ("confirm", "polling", "request", "service")

    def __init__(self) -> None:
        self.service = Histogram()
        self.request = Histogram()
        self.polling = Histogram()
        self.confirm = Histogram()

    def record(self, timings: Timings) -> None:
        for histogram, seconds in (
            (self.service, timings.service),
            (self.request, timings.request),
            (self.polling, timings.polling),
            (self.confirm, timings.confirm),
        ):
            if seconds is not None:
                histogram.record(seconds)

    def summarize(self) -> Latencies:
        return Latencies(
            self.service.summarize(),
            self.request.summarize(),
            self.polling.summarize(),
            self.confirm.summarize(),
        )


class _Holds:
    """What holds new transactions back, and how long it did."""

    __slots__ = ("_past", "_since", "now")

    def __init__(self) -> None:
        self.now: Held | None = None
        self._since = 0.0
        self._past: dict[Hold, tuple[int, float]] = {}

    def change(self, at: float, held: Held | None) -> None:
        """From the instant `at` on it is another, or nothing."""
        before, self.now = self.now, held
        if before is not None and held is not None and before.hold is held.hold:
            return
        if before is not None:
            times, seconds = self._past[before.hold]
            self._past[before.hold] = (times, seconds + at - self._since)
        if held is not None:
            times, seconds = self._past.get(held.hold, (0, 0.0))
            self._past[held.hold] = (times + 1, seconds)
            self._since = at

    def counts(self, at: float) -> tuple[HoldCount, ...]:
        present = None if self.now is None else self.now.hold
        return tuple(
            HoldCount(hold, times, seconds + (at - self._since if hold is present else 0.0))
            for hold, (times, seconds) in self._past.items()
        )


class _SlidingRate:
    """Events per second over the last `RATE_WINDOW`: a count for each tenth of a second."""

    __slots__ = ("_slots",)

    def __init__(self) -> None:
        self._slots: deque[tuple[int, int]] = deque()

    def add(self, elapsed: float, events: int) -> None:
        slot = floor(elapsed / _SLOT)
        if self._slots and self._slots[-1][0] == slot:
            slot, count = self._slots.pop()
            self._slots.append((slot, count + events))
        else:
            self._slots.append((slot, events))
        self._forget(slot)

    def rate(self, elapsed: float) -> float:
        newest = floor(elapsed / _SLOT)
        self._forget(newest)
        # the window is the slot that is running and the 99 whole ones before it
        length = elapsed - max(0, newest - _SLOTS + 1) * _SLOT
        return sum(count for _, count in self._slots) / max(length, 1.0)

    def _forget(self, newest: int) -> None:
        while self._slots and self._slots[0][0] <= newest - _SLOTS:
            self._slots.popleft()


class Progress:
    """Aggregates one session of a run, in bounded memory; `snapshot` reads it."""

    def __init__(self, now: float, *, total: int | None = None) -> None:
        self._began = now
        self._ended: float | None = None
        self._total = total
        self._tally = Tally()
        self._already_done = 0
        self._transactions = 0
        self._rows = 0
        self._in_flight = 0
        self._success = _Steps()
        self._failure = _Steps()
        self._rate = _SlidingRate()
        self._newest_error: NewestError | None = None
        self._keys_waiting = 0.0
        self._holds = _Holds()

    @property
    def failed(self) -> int:
        """Rows that did not reach what the user asked for, so far."""
        return self._tally.failed

    def set_total(self, total: int) -> None:
        """The population's rows, once they are counted."""
        self._total = total

    def already_done(self, outcome: OutcomeClass, reason: str = "", count: int = 1) -> None:
        """Rows that an earlier session finished and that this one leaves as they are."""
        self._tally.add(outcome, reason, count)
        self._already_done += count

    def started(self, now: float) -> None:
        """A transaction was started (a retry within it is not a new start)."""
        self._in_flight += 1

    def finished(
        self, now: float, outcomes: Sequence[tuple[str, Outcome]], timings: Timings
    ) -> None:
        """The rows of a started transaction, by their ids, have their outcomes."""
        self._in_flight -= 1
        self._transactions += 1
        self._rows += len(outcomes)
        self._rate.add(now - self._began, len(outcomes))
        all_done = all(outcome.outcome.is_done for _, outcome in outcomes)
        (self._success if all_done else self._failure).record(timings)
        for row_id, outcome in outcomes:
            self._settle(now, row_id, outcome)

    def settled(self, now: float, row_id: str, outcome: Outcome) -> None:
        """A row got its outcome without a transaction, a bad row for instance."""
        self._settle(now, row_id, outcome)

    def _settle(self, now: float, row_id: str, outcome: Outcome) -> None:
        reason = self._tally.add(outcome.outcome, outcome.reason)
        if not outcome.outcome.is_done:
            count = self._tally.count(outcome.outcome, reason)
            self._newest_error = NewestError(row_id, outcome, now - self._began, count)

    def abandoned(self, count: int = 1) -> None:
        """Started transactions were given up without an outcome: the run is left at once."""
        self._in_flight -= count

    def waited_for_keys(self, seconds: float) -> None:
        self._keys_waiting += seconds

    def held(self, now: float, held: Held | None) -> None:
        """New transactions are held back from now on, or by something else; None: by nothing."""
        self._holds.change(now, held)

    def feed(self, now: float, event: Event) -> None:
        """Take in what another progress was told."""
        match event:
            case Started():
                self.started(now)
            case Finished(outcomes, timings):
                self.finished(now, outcomes, timings)
            case Settled(row_id, outcome):
                self.settled(now, row_id, outcome)
            case AlreadyDone(kind, reason, count):
                self.already_done(kind, reason, count)
            case Abandoned(count):
                self.abandoned(count)
            case KeysWaited(seconds):
                self.waited_for_keys(seconds)
            case Changed(held):
                self.held(now, held)
            case _:
                assert_never(event)

    def end(self, now: float) -> None:
        """Nothing more comes; time stands still in later snapshots."""
        self._holds.change(now, None)
        self._ended = now

    def snapshot(self, now: float) -> Snapshot:
        """How the run stands at `now`."""
        at = now if self._ended is None else self._ended
        elapsed = at - self._began
        done = self._tally.total
        rate_now = self._rate.rate(elapsed)
        return Snapshot(
            elapsed=elapsed,
            total=self._total,
            done=done,
            already_done=self._already_done,
            transactions=self._transactions,
            in_flight=self._in_flight,
            failed=self._tally.failed,
            rate_now=rate_now,
            rate_average=self._rows / elapsed if elapsed > 0 else 0.0,
            eta=self._eta(done, rate_now),
            counts=self._tally.counts(),
            success=self._success.summarize(),
            failure=self._failure.summarize(),
            newest_error=self._newest_error,
            keys_waiting=self._keys_waiting,
            held=self._holds.now,
            holds=self._holds.counts(at),
            finished=self._ended is not None,
        )

    def _eta(self, done: int, rate: float) -> float | None:
        if self._total is None:
            return None
        left = max(self._total - done, 0)
        if not left:
            return 0.0
        return left / rate if rate > 0 else None


class Relay(Progress):
    """A progress that keeps what it was told, so that another can be fed with it."""

    def __init__(self, now: float, *, total: int | None = None) -> None:
        super().__init__(now, total=total)
        self._told: list[Event] = []

    def take(self) -> tuple[Event, ...]:
        """What it was told since the last time."""
        told, self._told = self._told, []
        return tuple(told)

    def already_done(self, outcome: OutcomeClass, reason: str = "", count: int = 1) -> None:
        super().already_done(outcome, reason, count)
        self._told.append(AlreadyDone(outcome, reason, count))

    def started(self, now: float) -> None:
        super().started(now)
        self._told.append(Started())

    def finished(
        self, now: float, outcomes: Sequence[tuple[str, Outcome]], timings: Timings
    ) -> None:
        super().finished(now, outcomes, timings)
        self._told.append(Finished(tuple(outcomes), timings))

    def settled(self, now: float, row_id: str, outcome: Outcome) -> None:
        super().settled(now, row_id, outcome)
        self._told.append(Settled(row_id, outcome))

    def abandoned(self, count: int = 1) -> None:
        super().abandoned(count)
        self._told.append(Abandoned(count))

    def waited_for_keys(self, seconds: float) -> None:
        super().waited_for_keys(seconds)
        self._told.append(KeysWaited(seconds))

    def held(self, now: float, held: Held | None) -> None:
        super().held(now, held)
        self._told.append(Changed(held))
