"""Against a collector that decodes what comes by OpenTelemetry's own protocol files."""

import logging
import socket
import threading
import time

import pytest

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="needs the extra `metrics`")

from opentelemetry import metrics as api
from opentelemetry.proto.metrics.v1.metrics_pb2 import AGGREGATION_TEMPORALITY_CUMULATIVE

from bulkcmp.errors import InputError
from bulkcmp.outputs import otlp
from bulkcmp.outputs.otlp import Pusher, endpoint, pushing
from bulkcmp.outputs.readings import Reading
from bulkcmp.stats.figures import Figures
from bulkcmp.stats.metrics import BOUNDS, Kind, Spread, Unit, metrics
from bulkcmp.stats.threshold import Threshold
from tests.outputs.collector import Collector, Push, collecting
from tests.stats.records import RUN, transaction, trouble

BEGAN_AT = 1_800_000_000.5
NEVER = 3600.0
"""Seconds between two pushes where only the last one is wanted."""


@pytest.fixture(scope="module")
def reading() -> Reading:
    figures = Figures()
    figures.begin(RUN.warm_up)
    figures.feed(trouble())
    # longer than the highest bound
    figures.add(transaction(6.0, 6.0, 106.0))
    thresholds = [Threshold.parse(text) for text in RUN.thresholds]
    return Reading(metrics(RUN, figures, thresholds), BEGAN_AT)


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


def push_once(collector: Collector, reading: Reading) -> tuple[Push, Pusher]:
    url = endpoint(collector.url)
    with pushing(url, NEVER, lambda: reading, RUN, "instance 1") as pusher:
        pass
    (push,) = collector.pushes
    return push, pusher


def test_a_push_has_all_values(reading: Reading) -> None:
    before = time.time_ns()
    with collecting() as collector:
        push, pusher = push_once(collector, reading)
    assert (pusher.pushes, pusher.failures) == (1, 0)
    assert push.path == "/v1/metrics"
    pushed = push.metrics()
    for family in reading.families:
        name = "bulkcmp." + family.metric.name.replace("_", ".")
        points = push.points(name)
        assert len(points) == len(family.samples)
        assert (name in pushed) == bool(points)
        for values, value in family.samples.items():
            point = points[frozenset(zip(family.metric.labels, values, strict=True))]
            assert before <= point.time_unix_nano <= time.time_ns()
            if isinstance(value, Spread):
                assert (point.count, point.sum) == (value.count, value.total)
                assert (point.min, point.max) == (value.min, value.max)
                assert tuple(point.explicit_bounds) == BOUNDS
                counts = list(point.bucket_counts)
                assert [sum(counts[: n + 1]) for n in range(len(BOUNDS))] == list(value.below)
                assert sum(counts) == value.count
            else:
                assert getattr(point, point.WhichOneof("value")) == value
            if family.metric.kind is not Kind.GAUGE:
                assert point.start_time_unix_nano == BEGAN_AT * 1e9


def test_metrics_say_what_they_are(reading: Reading) -> None:
    with collecting() as collector:
        push, _ = push_once(collector, reading)
    units = {
        Unit.NONE: "", Unit.SECONDS: "s", Unit.BYTES: "By", Unit.RATIO: "1", Unit.PER_SECOND: "1/s",
    }  # fmt: skip
    pushed = push.metrics()
    for family in reading.families:
        metric = pushed.get("bulkcmp." + family.metric.name.replace("_", "."))
        if metric is None:
            continue
        assert metric.unit == units[family.metric.unit]
        assert metric.description == family.metric.meaning
        match family.metric.kind:
            case Kind.COUNTER:
                assert metric.sum.is_monotonic
                assert metric.sum.aggregation_temporality == AGGREGATION_TEMPORALITY_CUMULATIVE
            case Kind.GAUGE:
                assert metric.WhichOneof("data") == "gauge"
            case Kind.HISTOGRAM:
                data = metric.histogram
                assert data.aggregation_temporality == AGGREGATION_TEMPORALITY_CUMULATIVE


def test_a_push_says_whose_it_is(reading: Reading, monkeypatch: pytest.MonkeyPatch) -> None:
    with collecting() as collector:
        push, _ = push_once(collector, reading)
        assert push.resource == {"service.name": "bulkcmp", "service.instance.id": "instance 1"}
        (resource,) = push.body.resource_metrics
        (scope,) = resource.scope_metrics
        assert (scope.scope.name, scope.scope.version) == ("bulkcmp", RUN.tool_version)
        collector.pushes.clear()
        monkeypatch.setenv("OTEL_SERVICE_NAME", "nightly")
        monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "site=oslo")
        push, _ = push_once(collector, reading)
    assert push.resource["service.name"] == "nightly"
    assert push.resource["site"] == "oslo"


def test_the_environment_says_how(reading: Reading, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20abc,x-scope=test")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
    with collecting() as collector:
        push, _ = push_once(collector, reading)
    assert push.headers["authorization"] == "Bearer abc"
    assert push.headers["x-scope"] == "test"
    assert push.headers["content-encoding"] == "gzip"
    assert push.metrics()["bulkcmp.abandoned"].sum.data_points[0].as_int == 1


def test_there_is_a_push_at_each_interval_and_a_last_one(reading: Reading) -> None:
    readings = iter(range(10_000))

    def read() -> Reading:
        return reading if next(readings) % 2 else Reading((), BEGAN_AT)

    with collecting() as collector:
        with pushing(endpoint(collector.url), 0.01, read, RUN, "x") as pusher:
            for _ in range(4):
                collector.wait()
        assert len(collector.pushes) == pusher.pushes >= 5
        assert pusher.failures == 0
    for number, push in enumerate(collector.pushes):
        has_all = bool(push.body.resource_metrics[0].scope_metrics[0].metrics)
        assert has_all == bool(number % 2)


def test_a_collector_that_is_gone_is_told_and_not_waited_for(reading: Reading) -> None:
    with collecting() as collector:
        url = endpoint(collector.url)
    with pushing(url, NEVER, lambda: reading, RUN, "x") as pusher:
        pass
    assert (pusher.pushes, pusher.failures) == (1, 1)
    assert pusher.trouble == "Connection refused"
    assert "otlp" not in {thread.name for thread in threading.enumerate()}


def test_a_collector_that_never_answers_is_told_and_not_waited_for(
    reading: Reading, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "3600")
    monkeypatch.setattr(otlp, "_PATIENCE", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = endpoint(f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pushing(url, 0.01, lambda: reading, RUN, "x") as pusher:
            # a push is under way when the end comes
            connection, _ = silent.accept()
        with connection:
            found = pusher.pushes, pusher.failures, pusher.trouble
    assert found == (1, 1, "no answer in time")
    # the end of its connection ends the thread, too
    for thread in threading.enumerate():
        if thread.name == "otlp":
            thread.join(60)
            assert not thread.is_alive()


def test_figures_that_can_not_be_read_are_told_and_the_next_are_pushed(reading: Reading) -> None:
    calls = iter(range(10_000))

    def read() -> Reading:
        if next(calls) == 0:
            raise ZeroDivisionError
        return reading

    with (
        collecting() as collector,
        pushing(endpoint(collector.url), 0.01, read, RUN, "x") as pusher,
    ):
        collector.wait()
    assert pusher.failures == 1
    assert pusher.pushes == 1 + len(collector.pushes)
    assert pusher.trouble == "a bug in bulkcmp: ZeroDivisionError"


def test_a_collector_that_refuses_is_told(reading: Reading) -> None:
    with collecting(status=401) as collector:
        _, pusher = push_once(collector, reading)
    assert (pusher.pushes, pusher.failures, pusher.trouble) == (1, 1, "HTTP 401")


def test_a_bad_header_is_told_without_what_is_secret(
    reading: Reading, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=hush%0Ahush,hush;;")
    with collecting() as collector:
        url = endpoint(collector.url)
        with pushing(url, NEVER, lambda: reading, RUN, "x") as pusher:
            pass
        assert collector.pushes == []
    assert (pusher.failures, pusher.trouble) == (1, "InvalidHeader")
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")


def test_nothing_of_the_library_is_left_behind(reading: Reading) -> None:
    logger = logging.getLogger("opentelemetry")
    before = (logger.propagate, list(logger.handlers))
    provider = api.get_meter_provider()
    with collecting(status=400) as collector:
        push_once(collector, reading)
    assert (logger.propagate, list(logger.handlers)) == before
    assert api.get_meter_provider() is provider
    assert "otlp" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/metrics"),
        ("http://127.0.0.1:4318/", "http://127.0.0.1:4318/v1/metrics"),
        ("https://otlp.example/tenant/7", "https://otlp.example/tenant/7/v1/metrics"),
        ("http://[::1]:4318/v1/metrics", "http://[::1]:4318/v1/metrics"),
    ],
)
def test_endpoints(url: str, wanted: str) -> None:
    assert endpoint(url) == wanted


@pytest.mark.parametrize(
    "url", ["", "collector:4318", "grpc://collector:4317", "http://", "http://a:b/", "http://[::1"]
)
def test_what_is_no_url_is_told(url: str) -> None:
    with pytest.raises(InputError, match="is no http or https URL"):
        endpoint(url)
