import gzip
import socket
import struct
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Final

import pytest

pytest.importorskip("prometheus_client", reason="needs the extra `metrics`")

from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open
from prometheus_client.parser import text_string_to_metric_families as parse_plain

from bulkcmp.errors import InputError
from bulkcmp.outputs.prometheus import Address, serving
from bulkcmp.outputs.readings import Families
from bulkcmp.stats.figures import Figures
from bulkcmp.stats.metrics import BOUNDS, Kind, Spread, metrics
from bulkcmp.stats.threshold import Threshold
from tests.stats.records import RUN, transaction, trouble

ANY: Final = Address("127.0.0.1", 0)
OPEN: Final = "application/openmetrics-text; version=1.0.0"

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture(scope="module")
def reading() -> Families:
    figures = Figures()
    figures.begin(RUN.warm_up)
    figures.feed(trouble())
    # longer than the highest bound
    figures.add(transaction(6.0, 6.0, 106.0))
    return metrics(RUN, figures, [Threshold.parse(text) for text in RUN.thresholds])


def expected(reading: Families) -> Samples:
    """What must be on the page, by the rules of the text format."""
    found: Samples = {}
    for family in reading:
        name = family.metric.prometheus
        for values, value in family.samples.items():
            labels = dict(zip(family.metric.labels, values, strict=True))
            if isinstance(value, Spread):
                for bound, count in zip(BOUNDS, value.below, strict=True):
                    found[f"{name}_bucket", frozenset({**labels, "le": f"{bound}"}.items())] = count
                found[f"{name}_bucket", frozenset({**labels, "le": "+Inf"}.items())] = value.count
                found[f"{name}_count", frozenset(labels.items())] = value.count
                found[f"{name}_sum", frozenset(labels.items())] = value.total
            else:
                found[name, frozenset(labels.items())] = value
    return found


def get(url: str, **headers: str) -> tuple[str, bytes]:
    """Content type and body."""
    request = urllib.request.Request(url, headers=headers)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=60) as response:
        return response.headers["Content-Type"], response.read()


@pytest.mark.parametrize(("accept", "parse"), [("", parse_plain), (OPEN, parse_open)])
def test_a_scrape_has_all_values(
    reading: Families, accept: str, parse: Callable[[str], object]
) -> None:
    with serving(ANY, lambda: reading) as url:
        content_type, body = get(url, Accept=accept)
    assert content_type.startswith(accept.partition(";")[0] or "text/plain")
    families = list((parse_open if accept else parse_plain)(body.decode()))
    found: Samples = {}
    for family in families:
        for sample in family.samples:
            key = sample.name, frozenset(sample.labels.items())
            assert key not in found
            found[key] = sample.value
    assert found == expected(reading)
    kinds = {family.metric.prometheus: family.metric.kind for family in reading}
    for family in families:
        name = family.name + "_total" * (family.type == "counter")
        assert kinds[name] == Kind(family.type)


def test_a_page_is_read_anew_at_each_scrape(reading: Families) -> None:
    readings = iter([(), reading])
    with serving(ANY, lambda: next(readings)) as url:
        assert get(url)[1] == b""
        assert b"bulkcmp_transactions_total{" in get(url)[1]


def test_a_page_may_be_compressed_and_be_a_part(reading: Families) -> None:
    with serving(ANY, lambda: reading) as url:
        _, body = get(url + "?name[]=bulkcmp_abandoned_total", **{"Accept-Encoding": "gzip"})
    lines = gzip.decompress(body).decode().splitlines()
    assert [line for line in lines if line[0] != "#"] == ["bulkcmp_abandoned_total 1.0"]


def test_nothing_listens_any_more_when_the_block_ends() -> None:
    with serving(ANY, lambda: ()) as url:
        get(url)
    with pytest.raises(urllib.error.URLError):
        get(url)


def running() -> set[threading.Thread]:
    """Threads that have begun; those that are about to are enumerated, too."""
    return {thread for thread in threading.enumerate() if thread.is_alive()}


def test_a_client_that_hangs_up_is_not_told(capfd: pytest.CaptureFixture[str]) -> None:
    with serving(ANY, lambda: ()) as url:
        port = int(url.split(":")[2].removesuffix("/metrics"))
        before = running()
        with socket.create_connection(("127.0.0.1", port)) as client:
            while not (hung_up := running() - before):
                # so seldom that what is read is never too long, and so often that it never stops
                client.send(b"G")
                time.sleep(0.001)
            # a close that sends RST
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        for thread in hung_up:
            thread.join(60)
            assert not thread.is_alive()
        assert get(url)[1] == b""
    assert capfd.readouterr() == ("", "")


def test_a_port_in_use_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(InputError, match=f"can't listen on 127.0.0.1 port {port}: Address"),
            serving(Address("127.0.0.1", port), lambda: ()),
        ):
            pass


def test_an_address_that_is_not_ours_is_told() -> None:
    with (
        pytest.raises(InputError, match="can't listen on"),
        serving(Address("192.0.2.1", 0), lambda: ()),
    ):
        pass


@pytest.mark.parametrize("host", ["..", "a" * 64])
def test_a_host_that_can_not_be_is_told(host: str) -> None:
    with pytest.raises(InputError, match="no name of a host"), serving(Address(host, 0), tuple):
        pass


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        (":9464", "127.0.0.1", 9464),
        ("9464", "127.0.0.1", 9464),
        ("0.0.0.0:0", "0.0.0.0", 0),
        ("load.example:80", "load.example", 80),
        ("[::1]:9464", "::1", 9464),
        ("[fe80::1%eth0]:65535", "fe80::1%eth0", 65535),
    ],
)
def test_addresses(text: str, host: str, port: int) -> None:
    assert Address.parse(text) == Address(host, port)


@pytest.mark.parametrize(
    "text", ["", ":", "localhost", "localhost:", "::1:80", ":65536", ":-1", "http://a:80", "a b:80"]
)
def test_what_is_no_address_is_told(text: str) -> None:
    with pytest.raises(InputError, match="is no address to listen on"):
        Address.parse(text)
