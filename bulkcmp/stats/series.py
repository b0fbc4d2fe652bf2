"""What happened when: counts and latencies by intervals of the run, in bounded memory."""

from collections import Counter
from dataclasses import dataclass
from math import ceil, floor, inf
from typing import Final

from bulkcmp.model import OutcomeClass
from bulkcmp.stats.histogram import Histogram, LatencySummary, PackedHistogram
from bulkcmp.stats.record import Drop, TransactionRecord

SECOND: Final = 1.0
"""Seconds of an interval, as long as there are no more than `MOST_INTERVALS`."""

MOST_INTERVALS: Final = 3600
"""A longer run has intervals of two seconds, or of four, and so on."""

_OPEN: Final = 8
"""Newest intervals whose histograms are not packed."""


@dataclass(frozen=True, slots=True)
class Interval:
    """One interval of a run.

    Attributes:
        at: its beginning, seconds from the run's; seconds: its length.
        planned: transactions that were to begin in it, dropped ones included.
        started, ok, failed: transactions that began in it, and that ended in it in either way.
        dropped: transactions that were given up in it before they began.
        in_flight: transactions under way at its end.
        service, response: of the transactions of `ok`.
        failures: requests of failed transactions by how they ended.
    """

    at: float
    seconds: float
    planned: int
    started: int
    ok: int
    failed: int
    dropped: int
    in_flight: int
    service: LatencySummary
    response: LatencySummary
    failures: tuple[tuple[OutcomeClass, int], ...]

    @property
    def finished(self) -> int:
        return self.ok + self.failed


class Slot:
    """The counts of one interval, while records come."""

    __slots__ = ("_open", "_packed", "dropped", "failed", "failures", "ok", "planned", "started")

    def __init__(self) -> None:
        self.planned = self.started = self.ok = self.failed = self.dropped = 0
        self.failures: Counter[OutcomeClass] = Counter()
        self._open: tuple[Histogram, Histogram] | None = None
        self._packed: tuple[PackedHistogram, PackedHistogram] | None = None

    def latencies(self) -> tuple[Histogram, Histogram]:
        """Service and response times, to read them."""
        if self._open is not None:
            return self._open
        if self._packed is not None:
            service, response = self._packed
            return Histogram.unpack(service), Histogram.unpack(response)
        return Histogram(), Histogram()

    def open(self) -> tuple[Histogram, Histogram]:
        """Service and response times, to add to them."""
        if self._open is None:
            self._open, self._packed = self.latencies(), None
        return self._open

    def pack(self) -> None:
        """Take less memory."""
        if self._open is not None:
            service, response = self._open
            self._packed, self._open = (service.pack(), response.pack()), None

    def add_counts(self, other: "Slot") -> None:
        """Add what `other` counted, but no latencies."""
        self.planned += other.planned
        self.started += other.started
        self.ok += other.ok
        self.failed += other.failed
        self.dropped += other.dropped
        self.failures.update(other.failures)

    def add_latencies(self, other: "Slot") -> None:
        """Add the latencies of `other`."""
        for mine, theirs in zip(self.open(), other.latencies(), strict=True):
            mine.merge(theirs)


class Series:
    """The intervals of a run, or of several on one time line."""

    def __init__(self) -> None:
        self._seconds = SECOND
        self._slots: dict[int, Slot] = {}
        self._first: int | None = None
        self._last = 0
        self._unpacked: set[int] = set()

    def add(self, record: TransactionRecord, offset: float = 0.0) -> None:
        """Count a transaction.

        Args:
            offset: seconds from the beginning of the time line to that of the run.
        """
        self._slot(offset + record.planned).planned += 1
        self._slot(offset + record.started).started += 1
        slot = self._slot(offset + record.finished)
        if record.is_ok:
            slot.ok += 1
            service, response = slot.open()
            service.record(record.service)
            response.record(record.response)
        else:
            slot.failed += 1
            for ending in record.endings:
                slot.failures[ending.outcome] += ending.requests
        self._tidy(floor((offset + record.finished) / self._seconds))

    def drop(self, record: Drop, offset: float = 0.0) -> None:
        """Count a transaction that was not begun."""
        self._slot(offset + record.planned).planned += 1
        self._slot(offset + record.at).dropped += 1

    def merge(self, other: "Series", since: float = -inf) -> None:
        """Add all that `other` counted; intervals become as long as the longer ones.

        Args:
            since: seconds on the time line; of intervals before it the latencies are left out.
        """
        while self._seconds < other._seconds:
            self._double()
        for place, slot in other._slots.items():
            into = self._slot(place * other._seconds)
            into.add_counts(slot)
            if place * other._seconds >= since:
                into.add_latencies(slot)
                into.pack()

    def reach(self, at: float) -> None:
        """Let there be intervals up to this instant, whether something happened or not."""
        place = ceil(at / self._seconds) - 1
        if place >= 0:
            self._slot(place * self._seconds)

    @property
    def seconds(self) -> float:
        """The length of an interval."""
        return self._seconds

    @property
    def begins(self) -> float:
        """Where the first interval begins, seconds on the time line."""
        return (self._first or 0) * self._seconds

    def all_slots(self) -> list[Slot | None]:
        """From the first to the last, in which something happened; None in between where not."""
        if self._first is None:
            return []
        return [self._slots.get(place) for place in range(self._first, self._last + 1)]

    def intervals(
        self, newest: int | None = None, end: float | None = None
    ) -> tuple[Interval, ...]:
        """All from the first to the last, also those in which nothing happened.

        Args:
            newest: so many at most, the last ones.
            end: seconds on the time line after which there is nothing, where that is known. An
                interval that is not whole then belongs to the one before it: a rate over some
                milliseconds tells nothing, and one over time that never was tells what is wrong.
        """
        if self._first is None:
            return ()
        last = self._last
        if end is not None:
            last = max(self._first, min(last, floor(end / self._seconds) - 1))
        since = self._first if newest is None else max(self._first, last + 1 - newest)
        found = []
        in_flight = 0
        for place in range(self._first, last + 1):
            slot = self._slots.get(place)
            seconds = self._seconds
            if place == last and end is not None:
                slot = self._from(place)
                seconds = end - place * self._seconds
            if slot is not None:
                in_flight += slot.started - slot.ok - slot.failed
            if place >= since:
                found.append(self._interval(place, seconds, slot or Slot(), in_flight))
        return tuple(found)

    def _from(self, place: int) -> Slot:
        """All from one interval on."""
        whole = Slot()
        for further in range(place, self._last + 1):
            if (slot := self._slots.get(further)) is not None:
                whole.add_counts(slot)
                whole.add_latencies(slot)
        return whole

    def _interval(self, place: int, seconds: float, slot: Slot, in_flight: int) -> Interval:
        service, response = slot.latencies()
        return Interval(
            place * self._seconds,
            seconds,
            slot.planned,
            slot.started,
            slot.ok,
            slot.failed,
            slot.dropped,
            in_flight,
            service.summarize(),
            response.summarize(),
            tuple(sorted(slot.failures.items())),
        )

    def _slot(self, at: float) -> Slot:
        while (found := self._slots.get(place := floor(at / self._seconds))) is None:
            first = place if self._first is None else min(self._first, place)
            last = place if self._first is None else max(self._last, place)
            if last - first < MOST_INTERVALS:
                self._first, self._last = first, last
                self._slots[place] = Slot()
            else:
                self._double()
        return found

    def _double(self) -> None:
        slots, self._slots = self._slots, {}
        self._seconds *= 2
        self._unpacked.clear()
        for place, slot in slots.items():
            into = self._slots.setdefault(place // 2, slot)
            if into is not slot:
                into.add_counts(slot)
                into.add_latencies(slot)
            # at once: all of them open would take many times what they take in the end
            into.pack()
        if self._first is not None:
            self._first, self._last = self._first // 2, self._last // 2

    def _tidy(self, touched: int) -> None:
        """Pack what is old, and was added to all the same."""
        if touched not in self._unpacked:
            self._unpacked.add(touched)
            for place in [one for one in self._unpacked if one < self._last - _OPEN]:
                self._unpacked.remove(place)
                self._slots[place].pack()
