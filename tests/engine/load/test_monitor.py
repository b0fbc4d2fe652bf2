import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

pytest.importorskip("prometheus_client", reason="needs the extra `metrics`")
pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="needs the extra `metrics`")

from bulkcmp import outputs
from bulkcmp.engine.load.monitor import Watchers, monitored
from bulkcmp.errors import InputError
from bulkcmp.stats.figures import Figures
from bulkcmp.stats.record import End
from tests.outputs.collector import collecting
from tests.stats.records import RUN, transaction


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


def begun() -> Figures:
    figures = Figures()
    figures.begin(RUN.warm_up)
    return figures


def scrape(url: str) -> str:
    with urllib.request.urlopen(url, timeout=60) as response:
        return str(response.read().decode())


def line(ok: int) -> str:
    labels = 'operation="ir",outcome="ok",phase="measured"'
    return f"bulkcmp_transactions_total{{{labels}}} {ok}.0\n"


def test_a_run_is_scraped_while_it_goes_on_and_pushed_at_its_end() -> None:
    told: list[str] = []
    figures = begun()
    figures.add(transaction(6, 6, 7))
    with collecting() as collector, ThreadPoolExecutor(1) as pool:
        watchers = Watchers("127.0.0.1:0", collector.url, 3600.0)
        with monitored(RUN, (), watchers, told.append) as monitor:
            (notice,) = told
            assert notice.startswith("metrics: http://127.0.0.1:")
            page = pool.submit(scrape, notice.removeprefix("metrics: "))
            while not page.done():
                monitor.update(figures)
            assert line(1) in page.result()
            figures.feed([transaction(7, 7, 8), End(9.0)])
            monitor.update(figures)
            monitor.finish()
            # nobody comes by any more
            assert line(2) in scrape(notice.removeprefix("metrics: "))
        (push,) = collector.pushes
    labels = {("operation", "ir"), ("outcome", "ok"), ("phase", "measured")}
    assert push.points("bulkcmp.transactions")[frozenset(labels)].as_int == 2
    assert len(told) == 1


def test_a_run_that_failed_pushes_what_was_seen() -> None:
    def fail(url: str) -> None:
        figures = begun()
        with monitored(RUN, (), Watchers(otlp=url), print) as monitor:
            monitor.update(figures)
            figures.add(transaction(6, 6, 7))
            raise InputError("a row")

    with collecting() as collector:
        with pytest.raises(InputError, match="a row"):
            fail(collector.url)
        (push,) = collector.pushes
    assert push.points("bulkcmp.elapsed")[frozenset()].as_double == 7.0


def test_a_collector_in_trouble_is_told_once_and_summed_up() -> None:
    told: list[str] = []
    with collecting(status=400) as collector:
        with monitored(
            RUN, (), Watchers(otlp=collector.url, interval=0.01), told.append
        ) as monitor:
            while len(collector.pushes) < 4:
                monitor.update(begun())
            monitor.update(begun())
        count = len(collector.pushes)
    assert told == [
        "metrics can't be pushed: HTTP 400; the run goes on",
        f"{count} of {count} pushes of metrics failed: HTTP 400",
    ]


def test_nothing_is_done_where_nobody_watches() -> None:
    told: list[str] = []
    with monitored(RUN, (), Watchers(), told.append) as monitor:
        monitor.update(begun())
    assert told == []


@pytest.mark.parametrize(
    ("watchers", "library", "told"),
    [
        (Watchers(prometheus=":0"), "prometheus_client", "--prometheus needs prometheus_client"),
        (Watchers(otlp="http://127.0.0.1:1"), "opentelemetry", "--otlp needs opentelemetry"),
    ],
)
def test_a_library_that_is_missing_is_told(
    watchers: Watchers, library: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [one for one in sys.modules if one.partition(".")[0] == library]:
        monkeypatch.setitem(sys.modules, name, None)
    for name in ("prometheus", "otlp"):
        monkeypatch.delitem(sys.modules, f"bulkcmp.outputs.{name}", raising=False)
        monkeypatch.delattr(outputs, name, raising=False)
    with pytest.raises(InputError, match=told) as error, ExitStack() as stack:
        stack.enter_context(monitored(RUN, (), watchers, print))
    assert error.value.hint == "pip install 'bulkcmp[metrics]'"


@pytest.mark.parametrize("watchers", [Watchers(prometheus="x"), Watchers(otlp="collector:4318")])
def test_an_address_that_is_none_is_told(watchers: Watchers) -> None:
    with pytest.raises(InputError, match="is no"), ExitStack() as stack:
        stack.enter_context(monitored(RUN, (), watchers, print))
