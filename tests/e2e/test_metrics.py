"""Live metrics of load tests as a user sees them, and as Prometheus' own programs do."""

import json
import re
import signal
import subprocess
import threading
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pytest

pytest.importorskip("prometheus_client", reason="needs the extra `metrics`")
pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="needs the extra `metrics`")

from bulkcmp.testca.aliases import Behaviour
from tests.outputs.collector import collecting

if TYPE_CHECKING:
    from tests.e2e.conftest import Ca, Cli, MakeCa, MakeServer, RunFolder, Tools

SCENARIO = """
name = "e2e"
seed = 7
{limit}
drain = 60

[population.columns]
id = "dev-{{number:06}}"
subject = "/CN={{id}}/O=Acme/C=NO"

[[lifecycles]]
name = "renewed"
steps = [{{ cmd = "ir" }}, {{ cmd = "kur" }}]

{shape}
"""
CLOSED = "[closed]\nclients = 8"
OPEN = "[open]\nrate = 10"
TROUBLE = Behaviour(
    reject="badRequest", reject_every=5, poll_count=2, check_after=0
)  # fmt: skip
BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"


def get(url: str) -> str:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=60) as response:
        return str(response.read().decode())


def arguments(
    cli: "Cli", ca: "Ca", limit: str, shape: str = CLOSED, url: str = ""
) -> tuple[object, ...]:
    path = cli.folder / "scenario.toml"
    path.write_text(SCENARIO.format(limit=limit, shape=shape))
    return (
        "load", path, "--server", url or ca.url(), "--ref", "ra1", "--secret", "env:RA_SECRET",
        "--trusted", ca.anchor, "--workers", "1",
    )  # fmt: skip


@contextmanager
def reading(stream: IO[str] | None) -> Iterator[list[str]]:
    """The lines of a stream as they come, so that its writer never waits."""
    assert stream is not None
    lines: list[str] = []
    thread = threading.Thread(target=lambda: lines.extend(iter(stream.readline, "")), daemon=True)
    thread.start()
    yield lines
    thread.join()


def test_the_last_push_has_what_the_report_prints(
    cli: "Cli", make_ca: "MakeCa", make_server: "MakeServer", run: "RunFolder", tools: "Tools"
) -> None:
    """Of a run with failures, polling, requests that were sent again, and two operations."""
    ca = make_ca(TROUBLE)
    server = make_server(lambda number, body: BUSY if number % 7 == 3 else tools.forward(ca, body))
    with collecting() as collector:
        started = cli.start(
            *arguments(cli, ca, "count = 24", url=server.url), "--retries", "3", "--out", run.path,
            "--otlp", collector.url, "--otlp-interval", "1",
        )  # fmt: skip
        ended = cli.finish(started, 1, 4)
    told = run.summary()
    assert json.loads(cli("report", run.path, "--format", "json").out) == told
    assert {"ir", "kur", "all"} == set(told["transactions"])
    assert told["transactions"]["all"]["failed"]
    exchanges = {one["name"]: one["count"] for one in told["exchanges"]}
    assert {"pollReq/pollRep", "ir: server busy"} <= set(exchanges)
    push = collector.pushes[-1]

    def point(name: str, **labels: str) -> Any:
        return push.points(f"bulkcmp.{name}")[frozenset({**labels, "phase": "measured"}.items())]

    for name, figures in told["transactions"].items():
        rate = point("throughput", operation=name, of="ok").as_double
        assert rate == pytest.approx(figures["ok_rate"], abs=1e-9)
        for outcome, latencies in (("ok", "latencies"), ("failed", "failed_latencies")):
            response = figures[latencies]["response"]
            for figure in ("p50", "p95", "p99", "max"):
                labels = {"operation": name, "outcome": outcome, "percentile": figure}
                found = point("response.percentile", **labels).as_double
                assert found == pytest.approx(response[figure], abs=1e-9)
            if name != "all":
                count = point("transactions", operation=name, outcome=outcome).as_int
                assert count == figures[outcome] == response["count"]
        assert re.search(rf"^{name} +{figures['ok']} +{figures['failed']} ", ended.out, re.M)
    for name, count in exchanges.items():
        answered = "true" if "/" in name else "false"
        assert point("exchanges", exchange=name, answered=answered).as_int == count
    assert push.points("bulkcmp.run.ended")[frozenset()].as_int == 1


def test_a_port_in_use_is_told_before_anything_is_sent_or_written(
    cli: "Cli", ca: "Ca", run: "RunFolder", make_server: "MakeServer"
) -> None:
    server = make_server(lambda _number, _body: None)
    asked = arguments(cli, ca, "count = 1", url=server.url)
    ended = cli(*asked, "--out", run.path, "--prometheus", f":{server.port}", code=2)
    assert f"can't listen on 127.0.0.1 port {server.port}: Address already in use" in ended.err
    assert server.times == []
    assert not run.path.exists()


def test_a_collector_that_is_gone_does_not_disturb_a_run(
    cli: "Cli", ca: "Ca", run: "RunFolder"
) -> None:
    ended = cli.finish(
        cli.start(
            *arguments(cli, ca, "count = 10"), "--out", run.path, "--otlp", "http://127.0.0.1:1"
        ), 0, 4,
    )  # fmt: skip
    told = " ".join(ended.err.split())
    assert re.search(r"\b(\d+) of \1 pushes of metrics failed: Connection refused", told)
    assert run.summary()["transactions"]["all"]["ok"] == 20


@pytest.mark.peer
@pytest.mark.timeout(300)
def test_prometheus_itself_takes_a_live_run_and_the_dashboard(
    cli: "Cli", make_ca: "MakeCa", run: "RunFolder", tools: "Tools"
) -> None:
    """promtool finds nothing to complain of, and every panel of the dashboard shows something."""
    promtool, prometheus = tools.program("promtool"), tools.program("prometheus")
    ca = make_ca(TROUBLE)
    load = cli.start(
        *arguments(cli, ca, "duration = 600\nwarm_up = 1", OPEN), "--out", run.path,
        "--threshold", "p95(response) < 60s", "--prometheus", ":0",
    )  # fmt: skip
    with reading(load.stderr) as lines, reading(load.stdout):
        url = awaited(lines, r"^metrics: (\S+)$", tools)
        with scraping(prometheus, url, cli.folder, tools) as api:
            for expression in expressions(cli):
                tools.wait_until(partial(has_value, api, expression), 60, 0.3)
        check = subprocess.run(
            [promtool, "check", "metrics"],
            input=get(url), text=True, capture_output=True, check=False,
        )  # fmt: skip
        assert (check.returncode, check.stdout, check.stderr) == (0, "", "")
        load.send_signal(signal.SIGINT)
        load.wait(60)
    assert load.returncode == 130, lines


def expressions(cli: "Cli") -> Iterator[str]:
    """What the dashboard asks, as Grafana does; but for TLS, which there is none."""
    for panel in json.loads(cli("dashboard").out)["panels"]:
        for target in panel.get("targets", ()):
            if "exchange_tls" not in target["expr"]:
                asked = target["expr"].replace("$__rate_interval", "20s")
                yield asked.replace("$instance", ".*")


def has_value(api: str, expression: str) -> bool:
    query = urllib.parse.urlencode({"query": expression})
    told = json.loads(get(f"{api}/api/v1/query?{query}"))
    assert told["status"] == "success"
    return any(one["value"][1] != "NaN" for one in told["data"]["result"])


def awaited(lines: list[str], pattern: str, tools: "Tools") -> str:
    """What a line has that comes."""

    def found() -> list[str]:
        return [match[1] for line in list(lines) if (match := re.search(pattern, line))]

    tools.wait_until(lambda: bool(found()), 60)
    return found()[0]


@contextmanager
def scraping(program: str, url: str, folder: Path, tools: "Tools") -> Iterator[str]:
    """A Prometheus that scrapes a page every second; gives its own URL."""
    target = urllib.parse.urlsplit(url).netloc
    job = {"job_name": "bulkcmp", "static_configs": [{"targets": [target]}]}
    configuration = {"global": {"scrape_interval": "1s"}, "scrape_configs": [job]}
    path = folder / "prometheus.json"
    path.write_text(json.dumps(configuration))
    process = subprocess.Popen(
        [
            program, f"--config.file={path}", f"--storage.tsdb.path={folder / 'tsdb'}",
            "--web.listen-address=127.0.0.1:0",
        ],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        with reading(process.stderr) as lines:
            try:
                address = awaited(lines, r'"Listening on" address=(\S+)', tools)
                awaited(lines, "(ready to receive web requests)", tools)
                yield f"http://{address}"
            finally:
                process.terminate()
    finally:
        with process:
            pass
