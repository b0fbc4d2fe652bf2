"""The figures of a load test: fed with records, live or from a file, they are the same.

Everything is counted twice apart: what was measured, and the warm-up. Nothing here grows with the
length of a run beyond what `Series` and `Histogram` are bounded to.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from math import inf
from typing import Final, TypeAlias, assert_never

from bulkcmp.errors import Loss
from bulkcmp.model import Operation, OutcomeClass
from bulkcmp.stats.health import Health, Pulse
from bulkcmp.stats.histogram import Histogram
from bulkcmp.stats.record import (
    Drop,
    End,
    Ending,
    Exchange,
    Fault,
    Level,
    Record,
    TransactionRecord,
    Window,
    to_microsecond,
)
from bulkcmp.stats.series import Interval, Series
from bulkcmp.stats.tally import Tally

TRANSACTION_METRICS: Final = ("response", "service", "lag", "crypto", "network")
"""`crypto` is our own work on a transaction's messages, `network` the sum of its exchanges."""

EXCHANGE_METRICS: Final = ("total", "connect", "tls", "first_byte")
"""Phases of an exchange: `connect` until the connection is made, `tls` until it is secured,
`first_byte` from the last byte sent to the first one of the answer, `total` all of it."""

Work: TypeAlias = tuple[Operation, str]
"""An operation, and the name of the server that it is asked of; empty where there is one server."""

Pair: TypeAlias = tuple[str, str, Loss | None, str]
"""Names of a request and of its answer; or why none came; and the server's, as of `Work`."""


def work_name(work: Work) -> str:
    """`ir`, or `ir@ra` where there are several servers."""
    operation, server = work
    return at_server(operation.value, server)


def pair_name(pair: Pair) -> str:
    """`ir/ip`, or `ir: no answer in time`; or `ir/ip@ra`, `ir@ra: no answer in time`."""
    request, answer, loss, server = pair
    if loss is None:
        return at_server(f"{request}/{answer or '?'}", server)
    return f"{at_server(request, server)}: {loss.value}"


def at_server(what: str, server: str) -> str:
    """What is done, and where, as reports and thresholds write it."""
    return f"{what}@{server}" if server else what


def rate(count: int, seconds: float) -> float | None:
    """Per second; None where less was measured than a record can say."""
    return count / seconds if to_microsecond(seconds) else None


class Latencies:
    """A histogram for each metric of transactions."""

    __slots__ = TRANSACTION_METRICS

    def __init__(self) -> None:
        self.response = Histogram()
        self.service = Histogram()
        self.lag = Histogram()
        self.crypto = Histogram()
        self.network = Histogram()

    def add(self, record: TransactionRecord) -> None:
        self.response.record(record.response)
        self.service.record(record.service)
        self.lag.record(record.lag)
        self.crypto.record(record.crypto)
        self.network.record(record.network)

    def merge(self, other: "Latencies") -> None:
        for metric in TRANSACTION_METRICS:
            getattr(self, metric).merge(getattr(other, metric))


class OperationFigures:
    """The transactions of one operation, or of all.

    Attributes:
        ok, failed: latencies of transactions that reached what the user asked for, and of others.
        outcomes: requests by outcome class and reason; fail_info: by name of the bit.
        details: what was said of the first request of an outcome class and reason that failed.
        requests, certificates, attempts: sums over the transactions.
    """

    def __init__(self) -> None:
        self.ok = Latencies()
        self.failed = Latencies()
        self.outcomes = Tally()
        self.fail_info: Counter[str] = Counter()
        self.details: dict[tuple[OutcomeClass, str], str] = {}
        self.requests = 0
        self.certificates = 0
        self.attempts = 0

    @property
    def finished(self) -> int:
        return self.ok.service.count + self.failed.service.count

    def add(self, record: TransactionRecord) -> None:
        (self.ok if record.is_ok else self.failed).add(record)
        self.certificates += record.certificates
        self.attempts += record.attempts
        for ending in record.endings:
            self._end(ending)

    def _end(self, ending: Ending) -> None:
        self.requests += ending.requests
        reason = self.outcomes.add(ending.outcome, ending.reason, ending.requests)
        for name in ending.fail_info:
            self.fail_info[name] += ending.requests
        if not ending.outcome.is_done:
            self.details.setdefault((ending.outcome, reason), ending.detail)

    def merge(self, other: "OperationFigures") -> None:
        self.ok.merge(other.ok)
        self.failed.merge(other.failed)
        for one in other.outcomes.counts():
            reason = self.outcomes.add(one.outcome, one.reason, one.count)
            if not one.outcome.is_done:
                detail = other.details[one.outcome, one.reason]
                self.details.setdefault((one.outcome, reason), detail)
        self.fail_info.update(other.fail_info)
        self.requests += other.requests
        self.certificates += other.certificates
        self.attempts += other.attempts


class PairFigures:
    """The exchanges of one kind of message with one kind of answer."""

    __slots__ = (*EXCHANGE_METRICS, "octets_received", "octets_sent")

    def __init__(self) -> None:
        self.total = Histogram()
        self.connect = Histogram()
        self.tls = Histogram()
        self.first_byte = Histogram()
        self.octets_sent = 0
        self.octets_received = 0

    def add(self, exchange: Exchange) -> None:
        self.total.record(max(0.0, exchange.finished - exchange.started))
        if exchange.connected is not None:
            reached = exchange.connected if exchange.reached is None else exchange.reached
            self.connect.record(max(0.0, reached - exchange.started))
            if exchange.reached is not None:
                self.tls.record(max(0.0, exchange.connected - exchange.reached))
        if exchange.sent is not None and exchange.first_byte is not None:
            self.first_byte.record(max(0.0, exchange.first_byte - exchange.sent))
        self.octets_sent += exchange.octets_sent
        self.octets_received += exchange.octets_received


class Part:
    """What was measured, or the warm-up.

    Attributes:
        operations, pairs: each with what it had of transactions and exchanges, of each server.
        lifecycles: those that were begun, by name.
        dropped: transactions that were due and never begun.
        series: what happened when.
    """

    def __init__(self) -> None:
        self.operations: dict[Work, OperationFigures] = {}
        self.pairs: dict[Pair, PairFigures] = {}
        self.lifecycles: Counter[str] = Counter()
        self.dropped = 0
        self.series = Series()

    def add(self, record: TransactionRecord, offset: float) -> None:
        work = record.operation, record.server
        figures = self.operations.get(work)
        if figures is None:
            figures = self.operations[work] = OperationFigures()
        figures.add(record)
        if record.step == 0:
            self.lifecycles[record.lifecycle] += 1
        for exchange in record.exchanges:
            pair = exchange.request, exchange.answer, exchange.loss, record.server
            kind = self.pairs.get(pair)
            if kind is None:
                kind = self.pairs[pair] = PairFigures()
            kind.add(exchange)
        self.series.add(record, offset)

    def drop(self, record: Drop, offset: float) -> None:
        self.dropped += 1
        self.series.drop(record, offset)

    @property
    def finished(self) -> int:
        return sum(operation.finished for operation in self.operations.values())

    def all_operations(self, of: Callable[[Work], bool] = lambda _: True) -> OperationFigures:
        """The operations together, or some of them; merging histograms loses nothing."""
        together = OperationFigures()
        for work, figures in self.operations.items():
            if of(work):
                together.merge(figures)
        return together


class Figures:
    """The figures of one run, or of several that `begin` one after the other.

    Attributes:
        measured, warm_up: what the records came to, apart.
        health: of the generator's processes.
        abandoned: transactions that were cut off at the end; they are among the failed ones.
        interrupted, aborted: one of the runs was.
        ended: each of the runs has said that it came to its end; where it did not, it was killed,
            or goes on.
        faults: what runs could not go on after.
    """

    def __init__(self) -> None:
        self.measured = Part()
        self.warm_up = Part()
        self.health = Health()
        self.abandoned = 0
        self.interrupted = False
        self.aborted = False
        self.faults: tuple[Fault, ...] = ()
        self._offset = 0.0
        self._runs: list[_Span] = []
        self._levels: dict[str, Level] = {}

    def begin(self, warm_up: float, offset: float = 0.0) -> None:
        """The records that follow are those of a run.

        Args:
            warm_up: seconds from its beginning that are not measured.
            offset: seconds from the beginning of the first run to that of this one.
        """
        self._offset = offset
        self._runs.append(_Span(offset, warm_up))
        self.health.begin()
        self._levels.clear()

    def add(self, record: Record) -> None:
        """Count one record."""
        span = self._runs[-1]
        match record:
            case TransactionRecord():
                part = self.warm_up if record.warm_up else self.measured
                part.add(record, self._offset)
                span.work(record.finished)
            case Drop():
                (self.warm_up if record.warm_up else self.measured).drop(record, self._offset)
                span.work(record.at)
            case Pulse():
                self.health.add(record)
                span.see(record.at)
            case Level():
                self._levels[record.process] = record
                span.see(record.at)
            case End():
                self.abandoned += record.abandoned
                self.interrupted = self.interrupted or record.interrupted
                self.aborted = self.aborted or record.aborted
                if record.failed is not None:
                    self.faults += (record.failed,)
                span.end(record.at)
                self._levels.clear()
            case Window():
                pass  # the search hears of it, which gives each window figures of its own
            case _:
                assert_never(record)

    def feed(self, records: Iterable[Record]) -> None:
        for record in records:
            self.add(record)

    @property
    def ended(self) -> bool:
        return all(span.ended for span in self._runs)

    @property
    def seconds(self) -> float:
        """Seconds that were measured: those of runs side by side count once."""
        return _union((run.measured_from, run.until) for run in self._runs)

    @property
    def warm_up_seconds(self) -> float:
        return _union((run.offset, min(run.measured_from, run.until)) for run in self._runs)

    @property
    def elapsed(self) -> float:
        """Seconds since the first run began."""
        return max((run.until for run in self._runs), default=0.0)

    @property
    def in_flight(self) -> int:
        """Transactions under way, as the workers last told."""
        return sum(level.in_flight for level in self._levels.values())

    @property
    def waiting(self) -> int:
        """Arrivals that are due and not begun, as the workers last told."""
        return sum(level.waiting for level in self._levels.values())

    @property
    def started(self) -> int:
        """Transactions that were begun: what is under way is as fresh as `in_flight` is."""
        return self.warm_up.finished + self.measured.finished + self.in_flight

    @property
    def planned(self) -> int:
        """Transactions that were due: begun, waiting or dropped."""
        return self.started + self.waiting + self.warm_up.dropped + self.measured.dropped

    def timeline(self, newest: int | None = None) -> tuple[Interval, ...]:
        """Warm-up and measured part on one line.

        Args:
            newest: so many intervals at most, the last ones.
        """
        parts = self.warm_up.series, self.measured.series
        both = Series()
        since = -inf
        if newest is not None:
            since = self.elapsed - (newest + 1) * max(part.seconds for part in parts)
        for part in parts:
            both.merge(part, since)
        # a server that answers nothing more is seen by what is not there
        both.reach(self.elapsed)
        return both.intervals(newest, self.elapsed if self.ended and self.elapsed else None)


class _Span:
    """When a run went on."""

    def __init__(self, offset: float, warm_up: float) -> None:
        self.offset = offset
        self.measured_from = offset + warm_up
        self.ended = False
        self._worked_until = offset
        self._seen_until = offset

    @property
    def until(self) -> float:
        """Its end, or the last that was heard of it: the generator may tell of itself later."""
        return self._worked_until if self.ended else max(self._worked_until, self._seen_until)

    def work(self, at: float) -> None:
        """Something of the load happened."""
        self._worked_until = max(self._worked_until, self.offset + at)

    def see(self, at: float) -> None:
        """A process told how it stands."""
        self._seen_until = max(self._seen_until, self.offset + at)

    def end(self, at: float) -> None:
        self.work(at)
        self.ended = True


def _union(spans: Iterable[tuple[float, float]]) -> float:
    """The length of what the intervals cover together."""
    total, reached = 0.0, 0.0
    for begin, end in sorted(spans):
        begin = max(begin, reached)
        if end > begin:
            total += end - begin
            reached = end
    return total
