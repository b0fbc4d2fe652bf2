"""An OpenTelemetry collector for tests: it decodes what it is sent."""

import gzip
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)


@dataclass(frozen=True)
class Push:
    """One request; header names are in lower case."""

    path: str
    headers: Mapping[str, str]
    body: ExportMetricsServiceRequest

    @property
    def resource(self) -> dict[str, str]:
        (resource,) = self.body.resource_metrics
        return {one.key: one.value.string_value for one in resource.resource.attributes}

    def metrics(self) -> dict[str, Any]:
        (resource,) = self.body.resource_metrics
        (scope,) = resource.scope_metrics
        found = {one.name: one for one in scope.metrics}
        assert len(found) == len(scope.metrics)
        return found

    def points(self, name: str) -> dict[frozenset[tuple[str, str]], Any]:
        """The data points of a metric by their labels; empty where there is no such metric."""
        metric = self.metrics().get(name)
        if metric is None:
            return {}
        found = {}
        for point in getattr(metric, metric.WhichOneof("data")).data_points:
            labels = frozenset((one.key, one.value.string_value) for one in point.attributes)
            assert labels not in found
            found[labels] = point
        return found


@dataclass
class Collector:
    """What it answers with, and what came."""

    url: str = ""
    status: int = 200
    pushes: list[Push] = field(default_factory=list)
    came: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def wait(self, seconds: float = 60) -> None:
        """Until one more push has come."""
        assert self.came.acquire(timeout=seconds)


@contextmanager
def collecting(status: int = 200) -> Iterator[Collector]:
    """Serve one on loopback while the block runs."""
    collector = Collector(status=status)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers["Content-Encoding"] == "gzip":
                body = gzip.decompress(body)
            request = ExportMetricsServiceRequest.FromString(body)
            headers = {name.lower(): value for name, value in self.headers.items()}
            collector.pushes.append(Push(self.path, headers, request))
            self.send_response(collector.status)
            self.send_header("Content-Length", "0")
            self.end_headers()
            collector.came.release()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        collector.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield collector
        finally:
            server.shutdown()
            thread.join()
