"""Metrics for Prometheus: a page that it scrapes.

Needs prometheus_client, which is an extra: whoever imports this module sees to that.
"""

import re
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from socketserver import ThreadingMixIn
from typing import Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from bulkcmp.errors import InputError
from bulkcmp.outputs.readings import Families
from bulkcmp.stats.metrics import BOUNDS, METRICS, Family, Kind, Spread

_LOOPBACK: Final = "127.0.0.1"
_TICK: Final = 0.1
"""Seconds that the end waits for the server, at most."""
_ADDRESS: Final = re.compile(
    r"(?:\[(?P<v6>[0-9A-Fa-f:.]+(?:%\w+)?)\]:|(?P<host>[^\s:\[\]/]*):)?(?P<port>[0-9]{1,5})"
)


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen; port 0 is any that is free."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Read `PORT`, `:PORT`, `HOST:PORT` or `[IPV6]:PORT`.

        Without a host it is loopback: what a page tells is for everyone who can reach it.

        Raises:
            InputError: it is none.
        """
        match = _ADDRESS.fullmatch(text)
        if match is None or int(match["port"]) > 0xFFFF:
            raise InputError(
                f"{text!r} is no address to listen on",
                hint="as in :9464 for this machine alone, or 0.0.0.0:9464 for all of its addresses",
            )
        return cls(match["v6"] or match["host"] or _LOOPBACK, int(match["port"]))


@contextmanager
def serving(address: Address, read: Callable[[], Families]) -> Iterator[str]:
    """Serve the page while the block runs, in threads of its own.

    Args:
        read: called in one of them at each scrape; may take its time.

    Yields:
        The page's URL.

    Raises:
        InputError: the address can't be used.
    """
    # not the library's own, to which whatever runs in this process adds
    registry = CollectorRegistry()
    registry.register(_Collector(read))
    try:
        server = _Server(address)
    except UnicodeError as error:
        raise InputError(
            f"can't listen on {address.host!r}: it is no name of a host",
            hint="choose another --prometheus, such as :9464",
        ) from error
    except OSError as error:
        raise InputError(
            f"can't listen on {address.host} port {address.port}: {error.strerror or error}",
            hint="choose another --prometheus; port 0 takes any that is free",
        ) from error
    server.set_app(make_wsgi_app(registry))
    thread = threading.Thread(target=server.serve_forever, args=(_TICK,), daemon=True)
    thread.start()
    host = f"[{address.host}]" if ":" in address.host else address.host
    try:
        yield f"http://{host}:{server.server_port}/metrics"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(WSGIRequestHandler):
    timeout = 10.0
    """Seconds after which who says nothing is hung up on."""

    def log_message(self, *_: object) -> None:
        """Standard error is the live view's."""


class _Server(ThreadingMixIn, WSGIServer):
    """Has a thread for each connection; the library's own prints the errors of clients."""

    daemon_threads = True

    def __init__(self, address: Address) -> None:
        """Listen.

        Raises:
            OSError: that can't be.
        """
        family, _, _, _, local = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        self.address_family = family
        super().__init__((str(local[0]), address.port), _Handler)

    def handle_error(self, *_: object) -> None:
        """A client that hangs up is its own affair."""


class _Collector(Collector):
    def __init__(self, read: Callable[[], Families]) -> None:
        self._read = read

    def describe(self) -> Iterable[Metric]:
        """What there can be, which a scrape of some metrics by name goes by."""
        return [_rendered(Family(metric, {})) for metric in METRICS.values()]

    def collect(self) -> Iterable[Metric]:
        return rendered(self._read())


def rendered(reading: Families) -> Iterator[Metric]:
    """The metrics as prometheus_client has them; those without a value are left out."""
    return (_rendered(family) for family in reading if family.samples)


def _rendered(family: Family) -> Metric:
    metric = family.metric
    name, meaning = metric.prometheus, metric.meaning
    if metric.kind is Kind.HISTOGRAM:
        histogram = HistogramMetricFamily(name, meaning, labels=metric.labels)
        for labels, value in family.samples.items():
            assert isinstance(value, Spread)
            histogram.add_metric(labels, list(_buckets(value)), value.total)
        return histogram
    plain: CounterMetricFamily | GaugeMetricFamily
    if metric.kind is Kind.COUNTER:
        plain = CounterMetricFamily(name, meaning, labels=metric.labels)
    else:
        plain = GaugeMetricFamily(name, meaning, labels=metric.labels)
    for labels, value in family.samples.items():
        assert not isinstance(value, Spread)
        plain.add_metric(labels, value)
    return plain


def _buckets(spread: Spread) -> Iterator[tuple[str, float]]:
    for bound, count in zip(BOUNDS, spread.below, strict=True):
        yield repr(bound), count
    yield "+Inf", spread.count
