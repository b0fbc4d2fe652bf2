"""The figures of a load test as metrics, for what watches it from outside.

One list says what there is, and one function reads it off the figures; each exporter writes the
same values in its own form. A counter never falls, and label values come from bounded sets: no
text of a peer is among them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

from bulkcmp.stats.figures import (
    TRANSACTION_METRICS,
    Figures,
    OperationFigures,
    Part,
    work_name,
)
from bulkcmp.stats.health import bottlenecks
from bulkcmp.stats.histogram import Histogram, LatencySummary
from bulkcmp.stats.record import Run
from bulkcmp.stats.report import ExchangeReport, TransactionReport
from bulkcmp.stats.threshold import Threshold

BOUNDS: Final = (
    *(2.0**exponent * step for exponent in range(-10, 6) for step in (1.0, 1.5)),
    64.0,
)
"""Seconds, from 1 ms to 64 s: all are where a bucket of `Histogram` begins, so counts are exact."""

ALL: Final = "all"
"""The operation of what is said of all together."""

WARM_UP: Final = "warmup"
MEASURED: Final = "measured"


class Kind(StrEnum):
    """What becomes of a value with time: it only grows, it goes up and down, it is a histogram."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Unit(StrEnum):
    """Of a value, as it stands in a name of Prometheus; NONE is of what is counted."""

    NONE = ""
    SECONDS = "seconds"
    BYTES = "bytes"
    RATIO = "ratio"
    PER_SECOND = "per_second"


@dataclass(frozen=True, slots=True)
class Metric:
    """One kind of figure.

    Attributes:
        name: words joined by `_`, without the program's, the unit's and the kind's.
        meaning: what a user is told of it.
        labels: names of what tells its values apart.
    """

    name: str
    kind: Kind
    unit: Unit
    meaning: str
    labels: tuple[str, ...] = ()

    @property
    def prometheus(self) -> str:
        """Its name by Prometheus' conventions; a histogram's series have more at the end."""
        parts = ["bulkcmp", self.name, self.unit.value, "total" * (self.kind is Kind.COUNTER)]
        return "_".join(part for part in parts if part)


@dataclass(frozen=True, slots=True)
class Spread:
    """A histogram's value.

    Attributes:
        below: how many values are below each of `BOUNDS`.
        count, total: of all values, and their sum in seconds.
        min, max: seconds; there is one value at least.
    """

    below: tuple[int, ...]
    count: int
    total: float
    min: float
    max: float

    @classmethod
    def of(cls, histogram: Histogram) -> "Spread | None":
        """None where nothing was recorded."""
        if histogram.min is None or histogram.max is None:
            return None
        below = histogram.counts_below(BOUNDS)
        return cls(below, histogram.count, histogram.total, histogram.min, histogram.max)


Value: TypeAlias = int | float | Spread


@dataclass(frozen=True, slots=True)
class Family:
    """A metric and its values by those of its labels."""

    metric: Metric
    samples: Mapping[tuple[str, ...], Value]


_LATENCIES: Final = {
    "response": "From a transaction's planned beginning to its end",
    "service": "From a transaction's real beginning to its end",
    "lag": "From a transaction's planned beginning to its real one",
    "crypto": "Our own work on a transaction's messages",
    "network": "The exchanges of a transaction, summed",
}
_PHASES: Final = {
    "total": ("exchange", "From handing over a request to the last byte of its answer"),
    "connect": ("exchange_connect", "Until a new connection has reached the server"),
    "tls": ("exchange_tls", "From there until it is secured"),
    "first_byte": (
        "exchange_first_byte",
        "From the last byte of a request to the first of its answer",
    ),
}
_PERCENTILES: Final = {
    "min": "min",
    "p50": "p50",
    "p90": "p90",
    "p95": "p95",
    "p99": "p99",
    "p99.9": "p999",
    "max": "max",
}


def _declared() -> Iterator[Metric]:
    counter, gauge, _ = Kind
    none, seconds, octets, ratio, per_second = Unit
    by_operation = ("operation", "phase")

    yield Metric(
        "run_info",
        gauge,
        none,
        "1; its labels say what is run, and where.",
        ("scenario", "server", "shape", "version"),
    )
    yield Metric("run_ended", gauge, none, "1 once the run has come to its end.")
    yield Metric("run_interrupted", gauge, none, "1 where a signal ended it.")
    yield Metric("run_aborted", gauge, none, "1 where a threshold ended it.")
    yield Metric("run_failed", gauge, none, "1 where it could not go on.")
    yield Metric("elapsed", gauge, seconds, "Time since the run began.")
    yield Metric(
        "phase", gauge, seconds, "Length of the warm-up, and of what was measured.", ("phase",)
    )

    yield Metric(
        "transactions",
        counter,
        none,
        "Transactions that ended, by whether they reached what was asked for.",
        ("operation", "outcome", "phase"),
    )
    yield Metric(
        "transactions_planned",
        gauge,
        none,
        "Transactions that were due: started, waiting or dropped.",
    )
    yield Metric(
        "transactions_started", gauge, none, "Transactions that were begun: ended, or under way."
    )
    yield Metric("transactions_in_flight", gauge, none, "Transactions that are under way.")
    yield Metric("arrivals_waiting", gauge, none, "Lifecycles that are due and not begun.")
    yield Metric(
        "dropped", counter, none, "Transactions that were due and never begun.", ("phase",)
    )
    yield Metric(
        "abandoned",
        counter,
        none,
        "Transactions cut off at the end of the drain; they count as failed.",
    )
    yield Metric("lifecycles", counter, none, "Lifecycles that were begun.", ("lifecycle", "phase"))
    yield Metric(
        "attempts",
        counter,
        none,
        "Transactions started, those that were tried again included.",
        by_operation,
    )
    yield Metric(
        "requests",
        counter,
        none,
        "Requests that ended, by outcome class.",
        ("operation", "class", "phase"),
    )
    yield Metric(
        "fail_info",
        counter,
        none,
        "Requests whose answer had this bit of failInfo set; `other` is one that RFC 9810"
        " does not have.",
        ("operation", "bit", "phase"),
    )
    yield Metric("certificates", counter, none, "Certificates that the CA issued.", by_operation)
    yield Metric(
        "throughput",
        gauge,
        per_second,
        "Transactions that were `ok` or `finished`, and `certificates`: mean over the phase.",
        ("operation", "of", "phase"),
    )
    yield Metric(
        "failed", gauge, ratio, "Transactions that failed, of those that ended.", by_operation
    )

    of_transaction = ("operation", "outcome", "phase")
    for name in TRANSACTION_METRICS:
        yield from _latency(name, _LATENCIES[name], of_transaction)

    of_exchange = ("exchange", "phase")
    yield Metric(
        "exchanges",
        counter,
        none,
        "Messages sent, by what came of them; `answered` says whether it was CMP.",
        ("exchange", "answered", "phase"),
    )
    yield Metric("sent", counter, octets, "Octets of messages sent, HTTP not counted.", of_exchange)
    yield Metric(
        "received", counter, octets, "Octets of messages received, HTTP not counted.", of_exchange
    )
    for name, meaning in _PHASES.values():
        yield from _latency(name, meaning, of_exchange)

    of_threshold = ("threshold", "unit")
    yield Metric(
        "threshold_held",
        gauge,
        none,
        "1 where it holds; what was not measured does not.",
        of_threshold,
    )
    yield Metric(
        "threshold_value",
        gauge,
        none,
        "The figure that is compared, in `unit`; none where nothing was measured.",
        of_threshold,
    )
    yield Metric(
        "threshold_limit", gauge, none, "What it is compared with, in `unit`.", of_threshold
    )

    of_process = ("process",)
    yield Metric(
        "bottlenecks",
        gauge,
        none,
        "Things that the load generator was short of; above 0 the figures say little of"
        " the server.",
    )
    yield Metric(
        "process_cpu",
        counter,
        seconds,
        "CPU time that a process of the generator used.",
        of_process,
    )
    yield Metric(
        "process_cpu_mean", gauge, ratio, "Share of one core that it used over the run.", of_process
    )
    yield Metric(
        "process_cpu_max", gauge, ratio, "Share of one core in the worst interval.", of_process
    )
    yield Metric(
        "process_intervals", counter, none, "Intervals in which it looked at itself.", of_process
    )
    yield Metric(
        "process_saturated_intervals",
        counter,
        none,
        "Intervals in which its core was full.",
        of_process,
    )
    yield Metric(
        "process_delayed_intervals",
        counter,
        none,
        "Intervals in which its event loop was too late.",
        of_process,
    )
    yield Metric(
        "process_loop_delay",
        gauge,
        seconds,
        "By how much its event loop was woken too late: percentiles of the intervals'"
        " worst delays.",
        ("process", "percentile"),
    )
    yield Metric(
        "process_key_starvation",
        counter,
        seconds,
        "Time for which starts that were due waited for their keys.",
        of_process,
    )
    yield Metric("process_open_files", gauge, none, "Files that it had open, at most.", of_process)
    yield Metric(
        "process_open_files_limit", gauge, none, "Files that it may have open.", of_process
    )


def _latency(name: str, meaning: str, labels: tuple[str, ...]) -> Iterator[Metric]:
    """A histogram, and its percentiles."""
    yield Metric(name, Kind.HISTOGRAM, Unit.SECONDS, f"{meaning}.", labels)
    yield Metric(
        f"{name}_percentile",
        Kind.GAUGE,
        Unit.SECONDS,
        f"{meaning}: percentiles over the phase.",
        (*labels, "percentile"),
    )


METRICS: Final = {metric.name: metric for metric in _declared()}
"""All that there are, by name."""


def metrics(run: Run, figures: Figures, thresholds: Sequence[Threshold]) -> tuple[Family, ...]:
    """Read all metrics off the figures of a run."""
    found = _Collection()
    found.add("run_info", 1, run.scenario, run.server, run.shape, run.tool_version)
    found.add("run_ended", int(figures.ended))
    found.add("run_interrupted", int(figures.interrupted))
    found.add("run_aborted", int(figures.aborted))
    found.add("run_failed", int(bool(figures.faults)))
    found.add("elapsed", figures.elapsed)
    found.add("transactions_planned", figures.planned)
    found.add("transactions_started", figures.started)
    found.add("transactions_in_flight", figures.in_flight)
    found.add("arrivals_waiting", figures.waiting)
    found.add("abandoned", figures.abandoned)
    _add_phase(found, WARM_UP, figures.warm_up, figures.warm_up_seconds)
    _add_phase(found, MEASURED, figures.measured, figures.seconds)
    for threshold in thresholds:
        verdict = threshold.verdict(figures)
        found.add("threshold_held", int(verdict.held), threshold.text, threshold.unit)
        found.add("threshold_value", verdict.value, threshold.text, threshold.unit)
        found.add("threshold_limit", threshold.limit, threshold.text, threshold.unit)
    _add_health(found, figures)
    return found.families()


class _Collection:
    """Families that values are added to."""

    def __init__(self) -> None:
        self._samples: dict[str, dict[tuple[str, ...], Value]] = {name: {} for name in METRICS}

    def add(self, name: str, value: Value | None, *labels: str) -> None:
        """Add a value, if there is one."""
        if value is not None:
            self._samples[name][labels] = value

    def count(self, name: str, count: int, *labels: str) -> None:
        """Add to what was counted before."""
        before = self._samples[name].get(labels, 0)
        assert isinstance(before, int)
        self._samples[name][labels] = before + count

    def percentiles(self, name: str, summary: LatencySummary, *labels: str) -> None:
        for percentile, figure in _PERCENTILES.items():
            self.add(f"{name}_percentile", getattr(summary, figure), *labels, percentile)

    def families(self) -> tuple[Family, ...]:
        return tuple(Family(METRICS[name], samples) for name, samples in self._samples.items())


def _add_phase(found: _Collection, phase: str, part: Part, seconds: float) -> None:
    found.add("phase", seconds, phase)
    found.add("dropped", part.dropped, phase)
    for lifecycle, count in part.lifecycles.items():
        found.add("lifecycles", count, lifecycle, phase)
    for work, figures in part.operations.items():
        _add_operation(found, phase, work_name(work), figures, seconds)
    _add_means(found, phase, TransactionReport.of(ALL, part.all_operations(), seconds))
    for pair, exchanges in part.pairs.items():
        report = ExchangeReport.of(pair, exchanges, seconds)
        answered = "true" if report.answered else "false"
        found.add("exchanges", report.count, report.name, answered, phase)
        found.add("sent", report.octets_sent, report.name, phase)
        found.add("received", report.octets_received, report.name, phase)
        for metric, summary in report.latencies.items():
            name, _ = _PHASES[metric]
            found.add(name, Spread.of(getattr(exchanges, metric)), report.name, phase)
            found.percentiles(name, summary, report.name, phase)


def _add_operation(
    found: _Collection, phase: str, name: str, figures: OperationFigures, seconds: float
) -> None:
    report = TransactionReport.of(name, figures, seconds)
    _add_means(found, phase, report)
    found.add("attempts", report.attempts, name, phase)
    found.add("certificates", report.certificates, name, phase)
    for one in report.outcomes:
        found.count("requests", one.count, name, one.outcome.value, phase)
    for bit, count in report.fail_info:
        # whatever bits a peer sets, there are no more series than RFC 9810 has names
        found.count("fail_info", count, name, "other" if " " in bit else bit, phase)
    for outcome, count, latencies in (
        ("ok", report.ok, figures.ok),
        ("failed", report.failed, figures.failed),
    ):
        found.add("transactions", count, name, outcome, phase)
        for metric in TRANSACTION_METRICS:
            found.add(metric, Spread.of(getattr(latencies, metric)), name, outcome, phase)


def _add_means(found: _Collection, phase: str, report: TransactionReport) -> None:
    """Add what can't be summed over operations."""
    for of, rate in (
        ("ok", report.ok_rate),
        ("finished", report.finished_rate),
        ("certificates", report.certificate_rate),
    ):
        found.add("throughput", rate, report.name, of, phase)
    found.add("failed", report.failed_share, report.name, phase)
    for outcome, latencies in (("ok", report.latencies), ("failed", report.failed_latencies)):
        for metric, summary in latencies.items():
            found.percentiles(metric, summary, report.name, outcome, phase)


def _add_health(found: _Collection, figures: Figures) -> None:
    processes = figures.health.processes()
    found.add("bottlenecks", len(bottlenecks(processes)))
    for one in processes:
        found.add("process_cpu", one.cpu_seconds, one.process)
        found.add("process_cpu_mean", one.cpu, one.process)
        found.add("process_cpu_max", one.cpu_max, one.process)
        found.add("process_intervals", one.intervals, one.process)
        found.add("process_saturated_intervals", one.saturated, one.process)
        found.add("process_delayed_intervals", one.delayed, one.process)
        found.add("process_loop_delay", one.late_p99, one.process, "p99")
        found.add("process_loop_delay", one.late_max, one.process, "max")
        found.add("process_key_starvation", one.starved, one.process)
        found.add("process_open_files", one.open_files, one.process)
        found.add("process_open_files_limit", one.most_files or None, one.process)
