"""Metrics pushed over OTLP/HTTP, to an OpenTelemetry collector or what else takes them.

The SDK's exporter sends them, as its environment variables say (OTEL_EXPORTER_OTLP_HEADERS,
_TIMEOUT, _COMPRESSION, _CERTIFICATE …; OTEL_RESOURCE_ATTRIBUTES). No instruments are made and no
provider is set: the figures are counted already, and the SDK's data points are made from them.

Needs the exporter, which is an extra: whoever imports this module sees to that.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import requests
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricExportResult,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from bulkcmp.errors import InputError
from bulkcmp.outputs.readings import Reading
from bulkcmp.stats.metrics import BOUNDS, Family, Kind, Spread, Unit
from bulkcmp.stats.record import Run

_PATH: Final = "/v1/metrics"

_UNITS: Final = {
    Unit.NONE: "",
    Unit.SECONDS: "s",
    Unit.BYTES: "By",
    Unit.RATIO: "1",
    Unit.PER_SECOND: "1/s",
}
"""By the Unified Code for Units of Measure; Prometheus makes its own names of them again."""

_PATIENCE: Final = 5.0
"""Seconds that the end waits for what is being pushed, and once more where that is given up."""


def endpoint(url: str) -> str:
    """Where metrics go: as to OTEL_EXPORTER_OTLP_ENDPOINT, the path for metrics is appended.

    Raises:
        InputError: it is no HTTP URL.
    """
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise InputError(
            f"{url!r} is no http or https URL", hint="--otlp is as in http://127.0.0.1:4318"
        )
    path = parts.path.rstrip("/")
    return urlunsplit(parts._replace(path=path if path.endswith(_PATH) else path + _PATH))


class Pusher:
    """Pushes metrics at intervals, in a thread of its own.

    Args:
        url: that `endpoint` gave.
        interval: seconds between two pushes.
        read: called before each of them; may take its time.
        run: that the metrics are of.
        instance: tells this process from others that push to the same collector.

    Attributes:
        pushes, failures: how many there were, and how many of them did not reach the collector.
        trouble: what the last failure was; empty where there was none. A push that is still under
            way when the end no longer waits is one, too.
    """

    def __init__(
        self, url: str, interval: float, read: Callable[[], Reading], run: Run, instance: str
    ) -> None:
        self._interval = interval
        self._read = read
        self._session = _Session()
        self._exporter = OTLPMetricExporter(endpoint=url, session=self._session)
        own = Resource({"service.name": "bulkcmp", "service.instance.id": instance})
        self._resource = own.merge(OTELResourceDetector().detect())
        self._scope = InstrumentationScope("bulkcmp", run.tool_version)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="otlp", daemon=True)
        self.pushes = 0
        self.failures = 0
        self.trouble = ""

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Push for the last time; a collector that does not answer is not waited for long."""
        self._over.set()
        self._thread.join(_PATIENCE)
        # what is tried again and again is given up
        self._exporter.shutdown()
        self._thread.join(_PATIENCE)
        if self._thread.is_alive():
            self._count(failure="no answer in time")

    def _work(self) -> None:
        due = time.monotonic() + self._interval
        while not self._over.wait(max(0.0, due - time.monotonic())):
            self._push()
            # a push that took longer than that is not made up for
            due = max(due + self._interval, time.monotonic())
        self._push()

    def _push(self) -> None:
        try:
            metrics = _rendered(self._read(), time.time_ns())
        except Exception as error:
            # the next one may do
            self._count(failure=f"a bug in bulkcmp: {type(error).__name__}")
            return
        scope = ScopeMetrics(self._scope, metrics, "")
        data = MetricsData([ResourceMetrics(self._resource, [scope], "")])
        try:
            done = self._exporter.export(data) is MetricExportResult.SUCCESS
        except requests.RequestException:
            # of some, the exporter before 1.45 makes no failure
            done = False
        self._count(failure="" if done else self._session.trouble or "nothing was sent")

    def _count(self, failure: str) -> None:
        if failure:
            self.trouble = failure
            self.failures += 1
        self.pushes += 1


@contextmanager
def pushing(
    url: str, interval: float, read: Callable[[], Reading], run: Run, instance: str
) -> Iterator[Pusher]:
    """A `Pusher` that pushes while the block runs, and once more at its end."""
    with _silence():
        pusher = Pusher(url, interval, read, run, instance)
        pusher.start()
        try:
            yield pusher
        finally:
            pusher.close()


@contextmanager
def _silence() -> Iterator[None]:
    """Keep what the library logs, which may hold headers, from standard error."""
    logger = logging.getLogger("opentelemetry")
    nowhere = logging.NullHandler()
    logger.addHandler(nowhere)
    propagate, logger.propagate = logger.propagate, False
    try:
        yield
    finally:
        logger.propagate = propagate
        logger.removeHandler(nowhere)


class _Session(requests.Session):
    """Remembers why the last request failed, which the exporter only logs.

    Attributes:
        trouble: in words that no header and no part of the URL is in.
    """

    trouble = ""

    def request(self, *arguments: Any, **settings: Any) -> requests.Response:
        try:
            response = super().request(*arguments, **settings)
        except Exception as error:
            self.trouble = _cause(error)
            raise
        if not response.ok:
            self.trouble = f"HTTP {response.status_code}"
        return response


def _cause(error: BaseException) -> str:
    """What the system says below a library's exceptions, or what the outermost of them is."""
    below: BaseException | None = error
    while below is not None:
        if isinstance(below, OSError) and below.strerror:
            return below.strerror
        below = below.__cause__ or below.__context__
    return type(error).__name__


def _rendered(reading: Reading, now: int) -> list[Metric]:
    """The metrics that have values as the SDK has them; instants are Unix times in nanoseconds."""
    began_at = int(reading.began_at * 1e9)
    return [
        Metric(
            "bulkcmp." + family.metric.name.replace("_", "."),
            family.metric.meaning,
            _UNITS[family.metric.unit],
            _data(family, began_at, now),
        )
        for family in reading.families
        if family.samples
    ]


def _data(family: Family, began_at: int, now: int) -> Gauge | Sum | Histogram:
    spreads: list[HistogramDataPoint] = []
    numbers: list[NumberDataPoint] = []
    for values, value in family.samples.items():
        labels = dict(zip(family.metric.labels, values, strict=True))
        if isinstance(value, Spread):
            spreads.append(_spread(labels, value, began_at, now))
        else:
            numbers.append(NumberDataPoint(labels, began_at, now, value))
    match family.metric.kind:
        case Kind.HISTOGRAM:
            return Histogram(spreads, AggregationTemporality.CUMULATIVE)
        case Kind.COUNTER:
            return Sum(numbers, AggregationTemporality.CUMULATIVE, is_monotonic=True)
        case Kind.GAUGE:
            return Gauge(numbers)


def _spread(
    labels: Mapping[str, str], spread: Spread, began_at: int, now: int
) -> HistogramDataPoint:
    counts = [after - before for before, after in pairwise((0, *spread.below, spread.count))]
    return HistogramDataPoint(
        labels,
        began_at,
        now,
        spread.count,
        spread.total,
        counts,
        BOUNDS,
        spread.min,
        spread.max,
    )
