"""What a load test came to: every view of it, live or later, prints these numbers and no others."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bulkcmp.errors import (
    EXIT_BOTTLENECK,
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_SOME_FAILED,
    EXIT_THRESHOLD,
)
from bulkcmp.model import Operation, OutcomeClass
from bulkcmp.stats.figures import (
    EXCHANGE_METRICS,
    TRANSACTION_METRICS,
    Figures,
    Latencies,
    OperationFigures,
    Pair,
    PairFigures,
    Work,
    pair_name,
    rate,
    work_name,
)
from bulkcmp.stats.health import ProcessHealth, bottlenecks
from bulkcmp.stats.histogram import LatencySummary
from bulkcmp.stats.record import Fault, Run
from bulkcmp.stats.series import Interval
from bulkcmp.stats.tally import OutcomeCount
from bulkcmp.stats.threshold import Threshold, Verdict

if TYPE_CHECKING:
    # which has a report of each window
    from bulkcmp.stats.capacity import Capacity

_ORDER: Final = {operation: place for place, operation in enumerate(Operation)}


def _place(work: Work) -> tuple[int, str]:
    """Where it stands among others."""
    operation, server = work
    return _ORDER[operation], server


@dataclass(frozen=True, slots=True)
class Failure:
    """Requests that failed in one way, and what was said of the first of them."""

    outcome: OutcomeClass
    reason: str
    count: int
    detail: str


@dataclass(frozen=True, slots=True)
class TransactionReport:
    """The transactions of one operation, or of all.

    Attributes:
        name: of the operation, at a server where there are several (`work_name`); or `all`.
        ok, failed: how many reached what the user asked for, and how many did not.
        ok_rate, finished_rate, certificate_rate: per second; None where no time was measured.
        failed_share: of those that finished; None where none did.
        requests, certificates, attempts: in all of them.
        outcomes: of the requests; fail_info: names of bits, commonest first.
        failures: commonest first.
        latencies: of the `ok` ones by metric (`TRANSACTION_METRICS`); failed_latencies: of others.
    """

    name: str
    ok: int
    failed: int
    ok_rate: float | None
    finished_rate: float | None
    certificate_rate: float | None
    failed_share: float | None
    requests: int
    certificates: int
    attempts: int
    outcomes: tuple[OutcomeCount, ...]
    fail_info: tuple[tuple[str, int], ...]
    failures: tuple[Failure, ...]
    latencies: dict[str, LatencySummary]
    failed_latencies: dict[str, LatencySummary]

    @property
    def finished(self) -> int:
        return self.ok + self.failed

    @classmethod
    def of(cls, name: str, figures: OperationFigures, seconds: float) -> "TransactionReport":
        ok, finished = figures.ok.service.count, figures.finished
        failures = [
            Failure(one.outcome, one.reason, one.count, figures.details[one.outcome, one.reason])
            for one in figures.outcomes.counts()
            if not one.outcome.is_done
        ]
        return cls(
            name,
            ok,
            finished - ok,
            rate(ok, seconds),
            rate(finished, seconds),
            rate(figures.certificates, seconds),
            (finished - ok) / finished if finished else None,
            figures.requests,
            figures.certificates,
            figures.attempts,
            figures.outcomes.counts(),
            tuple(figures.fail_info.most_common()),
            tuple(sorted(failures, key=lambda one: -one.count)),
            _by_metric(figures.ok),
            _by_metric(figures.failed),
        )


@dataclass(frozen=True, slots=True)
class ExchangeReport:
    """The exchanges of one kind of message with one kind of answer, or with one kind of loss.

    Attributes:
        name: as of `pair_name`.
        answered: there was a CMP answer.
        rate: per second; None where no time was measured.
        octets_sent, octets_received: of all messages, HTTP not counted.
        latencies: by phase (`EXCHANGE_METRICS`).
    """

    name: str
    answered: bool
    count: int
    rate: float | None
    octets_sent: int
    octets_received: int
    latencies: dict[str, LatencySummary]

    @classmethod
    def of(cls, pair: Pair, figures: PairFigures, seconds: float) -> "ExchangeReport":
        count = figures.total.count
        return cls(
            pair_name(pair),
            pair[2] is None,
            count,
            rate(count, seconds),
            figures.octets_sent,
            figures.octets_received,
            {metric: getattr(figures, metric).summarize() for metric in EXCHANGE_METRICS},
        )


@dataclass(frozen=True, slots=True)
class Report:
    """All figures of one load test, or of several on one time line.

    Attributes:
        runs: what they were, at least one.
        elapsed: seconds from the first beginning to the last record.
        seconds, warm_up_seconds: that were measured, and that were not.
        ended: every run said that it came to its end.
        faults: what could not be gone on after.
        interrupted, aborted: by a signal; by a threshold.
        abandoned: transactions that were cut off, since the drain's time was over; they are among
            the failed ones.
        bottlenecks: what the generator was short of, each in one line.
        processes: the generator's.
        verdicts: on the thresholds, in their order.
        total: all operations; operations: each, in the order of `Operation`, and of each server.
        exchanges: commonest first.
        lifecycles: that were begun, by name; begun: all of them.
        dropped: transactions that were due and never begun.
        warm_up: all operations in the warm-up.
        intervals: of the time line, the warm-up included.
        in_flight, waiting: transactions under way, and arrivals that are due, of a run that goes
            on.
        capacity: of a search for it; all else is about one of its windows.
    """

    runs: tuple[Run, ...]
    elapsed: float
    seconds: float
    warm_up_seconds: float
    ended: bool
    faults: tuple[Fault, ...]
    interrupted: bool
    aborted: bool
    abandoned: int
    bottlenecks: tuple[str, ...]
    processes: tuple[ProcessHealth, ...]
    verdicts: tuple[Verdict, ...]
    total: TransactionReport
    operations: tuple[TransactionReport, ...]
    exchanges: tuple[ExchangeReport, ...]
    lifecycles: tuple[tuple[str, int], ...]
    begun: int
    dropped: int
    warm_up: TransactionReport
    intervals: tuple[Interval, ...]
    in_flight: int
    waiting: int
    capacity: "Capacity | None" = None

    @classmethod
    def of(
        cls,
        runs: Sequence[Run],
        figures: Figures,
        thresholds: Sequence[Threshold],
        *,
        newest: int | None = None,
        capacity: "Capacity | None" = None,
    ) -> "Report":
        """Read off the figures.

        Args:
            newest: so many intervals at most, the last ones, for a view of a run that goes on.
            capacity: of a search, of one of whose windows the figures are.
        """
        measured, seconds = figures.measured, figures.seconds
        processes = figures.health.processes()
        return cls(
            runs=tuple(runs),
            elapsed=figures.elapsed,
            seconds=seconds,
            warm_up_seconds=figures.warm_up_seconds,
            ended=figures.ended,
            faults=figures.faults if capacity is None else capacity.faults,
            interrupted=figures.interrupted,
            aborted=figures.aborted,
            abandoned=figures.abandoned,
            bottlenecks=bottlenecks(processes),
            processes=processes,
            verdicts=tuple(one.verdict(figures) for one in thresholds),
            total=TransactionReport.of("all", measured.all_operations(), seconds),
            operations=tuple(
                TransactionReport.of(work_name(work), measured.operations[work], seconds)
                for work in sorted(measured.operations, key=_place)
            ),
            exchanges=tuple(
                sorted(
                    (
                        ExchangeReport.of(pair, kind, seconds)
                        for pair, kind in measured.pairs.items()
                    ),
                    key=lambda one: (-one.count, one.name),
                )
            ),
            lifecycles=tuple(measured.lifecycles.most_common()),
            begun=measured.lifecycles.total(),
            dropped=measured.dropped,
            warm_up=TransactionReport.of(
                "warm-up", figures.warm_up.all_operations(), figures.warm_up_seconds
            ),
            intervals=figures.timeline(newest),
            in_flight=figures.in_flight,
            waiting=figures.waiting,
            capacity=capacity,
        )

    @property
    def losses(self) -> tuple[str, ...]:
        """What keeps it from being all that was planned, each in a few words."""
        found = [f"failed: {one.what}" for one in self.faults]
        found += [
            f"transactions {what}: {count:,}"
            for what, count in (("dropped", self.dropped), ("abandoned", self.abandoned))
            if count
        ]
        if not self.ended:
            found.append("the records stop before the run's end")
        if not self.total.finished:
            found.append("no transaction was measured")
        return tuple(found)

    @property
    def limits(self) -> tuple[str, ...]:
        """What the generator was short of, where that decides what the report is worth."""
        return self.bottlenecks if self.capacity is None else self.capacity.bottlenecks

    @property
    def exit_code(self) -> int:
        """What a command ends with that made these figures; the gravest reason counts.

        What could not be gone on after ends the command with an error of its own. A figure that the
        generator itself held down proves nothing, so that comes before the thresholds. A loss is a
        failure, since the plan was not kept.
        """
        if self.faults:
            return self.faults[0].exit_code
        if self.capacity is not None:
            return self.capacity.exit_code
        if self.interrupted:
            return EXIT_INTERRUPTED
        if self.bottlenecks:
            return EXIT_BOTTLENECK
        if self.aborted or not all(verdict.held for verdict in self.verdicts):
            return EXIT_THRESHOLD
        if self.total.failed or self.losses:
            return EXIT_SOME_FAILED
        return EXIT_OK


def _by_metric(latencies: Latencies) -> dict[str, LatencySummary]:
    return {metric: getattr(latencies, metric).summarize() for metric in TRANSACTION_METRICS}
