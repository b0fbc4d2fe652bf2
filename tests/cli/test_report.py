"""`bulkcmp report`, and that all its views print the same numbers."""

import csv
import io
import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, build_opener
from xml.etree import ElementTree as ET

import pyarrow.parquet as pq
import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from bulkcmp.cli import report as module
from bulkcmp.errors import EXIT_BAD_INPUT, InputError
from bulkcmp.load.folder import RECORDS
from bulkcmp.outputs.records import RecordFile, RecordWriter, report_of
from bulkcmp.outputs.report import report_json
from bulkcmp.stats.figures import Figures
from bulkcmp.stats.metrics import metrics
from bulkcmp.stats.record import Record, TransactionRecord
from bulkcmp.stats.report import Report
from bulkcmp.stats.threshold import Threshold
from bulkcmp.ui.figures import duration
from bulkcmp.ui.load import Frame, plain_lines
from bulkcmp.ui.report import percent
from tests.stats.records import RUN, trouble
from tests.stats.searches import RUN_OF_THREE, records_of_three, reported

app = typer.Typer()
app.command()(module.report)


def write(folder: Path, records: list[Record], later: float = 0.0) -> Path:
    folder.mkdir()
    # two that begin at once are not the same
    settings = (("folder", folder.name),)
    run = replace(RUN, began_at=RUN.began_at + timedelta(seconds=later), settings=settings)
    with RecordWriter(folder / RECORDS, run) as writer:
        writer.write(records)
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write(tmp_path / "run", trouble())


def ok(*arguments: object) -> str:
    done = CliRunner(env={"COLUMNS": "120"}).invoke(app, [str(one) for one in arguments])
    assert done.exit_code == 0, done.output
    return done.stdout


def document(*runs: object) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(ok(*runs, "--format", "json"))
    return found


def row(name: str, text: str) -> str:
    """The figures of a row of the text, or of Markdown."""
    (found,) = re.findall(rf"^(?:\| )?{name} +(?:\| )?([\d-].*?)(?: \|)? *$", text, re.MULTILINE)
    return re.sub(r" \| |  +", "  ", found)


def cells(figures: str) -> str:
    """Of a table in HTML."""
    return "".join(f"<td>{figure}</td>" for figure in figures.split("  "))


Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scraped(report: Report, figures: Figures) -> Samples:
    """What Prometheus gets."""
    prometheus = pytest.importorskip("bulkcmp.outputs.prometheus", reason="needs extra `metrics`")
    thresholds = [verdict.threshold for verdict in report.verdicts]
    reading = metrics(report.runs[0], figures, thresholds)
    with prometheus.serving(prometheus.Address.parse(":0"), lambda: reading) as url:
        opener = build_opener(ProxyHandler({}))
        with opener.open(url, timeout=60) as response:
            page = response.read().decode()
    return {
        (name, frozenset(re.findall(r'(\w+)="([^"]*)"', labels))): float(value)
        for name, labels, value in re.findall(r"^(\w+)(?:\{(.*)\})? (\S+)$", page, re.MULTILINE)
    }


def check_scraped(told: dict[str, Any], samples: Samples) -> None:
    """What Prometheus gets is what the JSON has, which cuts figures to nanoseconds."""

    def sample(name: str, phase: str = "measured", **labels: str) -> float:
        return samples[f"bulkcmp_{name}", frozenset({**labels, "phase": phase}.items())]

    def check_latency(name: str, summary: dict[str, float], **labels: str) -> None:
        for figure in ("min", "p50", "p90", "p95", "p99", "max"):
            found = sample(f"{name}_percentile_seconds", **labels, percentile=figure)
            assert found == pytest.approx(summary[figure], abs=1e-9)
        found = sample(f"{name}_percentile_seconds", **labels, percentile="p99.9")
        assert found == pytest.approx(summary["p999"], abs=1e-9)

    for name, figures in told["transactions"].items():
        for of in ("ok", "finished"):
            rate = sample("throughput_per_second", operation=name, of=of)
            assert rate == pytest.approx(figures[f"{of}_rate"], abs=1e-9)
        rate = sample("throughput_per_second", operation=name, of="certificates")
        assert rate == pytest.approx(figures["certificate_rate"], abs=1e-9)
        share = sample("failed_ratio", operation=name)
        assert share == pytest.approx(figures["failed_share"], abs=1e-9)
        for outcome, latencies in (("ok", "latencies"), ("failed", "failed_latencies")):
            for metric, summary in figures[latencies].items():
                check_latency(metric, summary, operation=name, outcome=outcome)
                if name == "all":
                    continue
                count = sample(f"{metric}_seconds_count", operation=name, outcome=outcome)
                assert count == summary["count"]
                mean = sample(f"{metric}_seconds_sum", operation=name, outcome=outcome) / count
                assert mean == pytest.approx(summary["mean"], abs=1e-9)
        if name == "all":
            continue
        for outcome in ("ok", "failed"):
            assert sample("transactions_total", operation=name, outcome=outcome) == figures[outcome]
        for of in ("attempts", "certificates"):
            assert sample(f"{of}_total", operation=name) == figures[of]
        for bit, requests in figures["fail_info"].items():
            assert sample("fail_info_total", operation=name, bit=bit) == requests
        for one in figures["outcomes"]:
            labels = {"operation": name, "class": one["outcome"]}
            alike = (each for each in figures["outcomes"] if each["outcome"] == one["outcome"])
            assert sample("requests_total", **labels) == sum(each["count"] for each in alike)
    for exchange in told["exchanges"]:
        name = exchange["name"]
        answered = str(exchange["answered"]).lower()
        assert sample("exchanges_total", exchange=name, answered=answered) == exchange["count"]
        assert sample("sent_bytes_total", exchange=name) == exchange["octets_sent"]
        assert sample("received_bytes_total", exchange=name) == exchange["octets_received"]
        check_latency("exchange", exchange["latencies"]["total"], exchange=name)
        for phase in ("connect", "tls", "first_byte"):
            if exchange["latencies"][phase]["count"]:
                check_latency(f"exchange_{phase}", exchange["latencies"][phase], exchange=name)
    labels = {"operation": "all", "outcome": "ok", "percentile": "p95"}
    of_warm_up = sample("response_percentile_seconds", "warmup", **labels)
    assert of_warm_up == pytest.approx(told["warm_up"]["latencies"]["response"]["p95"], abs=1e-9)
    assert sample("dropped_total") == told["dropped"]
    assert sample("phase_seconds") == pytest.approx(told["measured_s"], abs=1e-9)
    planned, started = (sum(one[of] for one in told["intervals"]) for of in ("planned", "started"))
    assert samples["bulkcmp_transactions_planned", frozenset()] == planned
    assert samples["bulkcmp_transactions_started", frozenset()] == started
    for one in told["thresholds"]:
        labels_of_it = frozenset({"threshold": one["threshold"], "unit": one["unit"]}.items())
        assert samples["bulkcmp_threshold_held", labels_of_it] == one["held"]
        value = samples["bulkcmp_threshold_value", labels_of_it]
        assert value == pytest.approx(one["value"], abs=1e-9)


def drawn_live(report: Report) -> str:
    """What the live view prints at the end."""
    console = Console(width=120, height=60, file=io.StringIO(), force_terminal=False)
    with console.capture() as captured:
        console.print(Frame(report))
    return captured.get()


def at_servers(servers: Sequence[str]) -> Iterator[Record]:
    """The records of a run of several servers, in turn."""
    for record in trouble():
        if isinstance(record, TransactionRecord):
            yield replace(record, server=servers[record.arrival % len(servers)])
        else:
            yield record


@pytest.mark.parametrize(
    ("servers", "names"),
    [
        ([""], {"all", "ir", "kur"}),
        (["ra", "client"], {"all", "ir@ra", "ir@client", "kur@ra", "kur@client"}),
    ],
)
def test_all_views_print_the_same_numbers(
    servers: list[str], names: set[str], tmp_path: Path
) -> None:
    run = write(tmp_path / "run", list(at_servers(servers)))
    told = document(run)
    report, counted = report_of([RecordFile(run)])
    live = drawn_live(report)
    text = ok(run)
    # which has no user of GitHub told of it
    written = ok(run, "--format", "md").replace("\u200b", "")
    drawn = ok(run, "--format", "html")
    suite = ET.fromstring(ok(run, "--format", "junit"))
    properties = {one.get("name"): one.get("value") for one in suite.iter("property")}
    samples = list(csv.DictReader(io.StringIO(ok(run, "--format", "csv"))))
    # the run has what may be counted in several ways
    assert set(told["transactions"]) == names
    total = told["transactions"]["all"]
    assert total["failed"]
    assert total["attempts"] > total["finished"]
    assert any(one["name"].startswith("pollReq/pollRep") for one in told["exchanges"])
    assert told["warm_up"]["finished"]
    for name, figures in told["transactions"].items():
        counts = "  ".join(
            (
                f"{figures['ok']:,}",
                f"{figures['failed']:,}",
                percent(figures["failed_share"]),
                f"{figures['ok_rate']:,.1f}",
                f"{figures['certificate_rate']:,.1f}",
            )
        )
        assert row(name, text) == row(name, written) == counts
        assert properties[f"{name}.ok"] == str(figures["ok"])
        assert properties[f"{name}.failed"] == str(figures["failed"])
        # of nine digits, the last may be rounded twice
        rate = float(properties[f"{name}.ok_rate"] or "")
        assert rate == pytest.approx(figures["ok_rate"], rel=1e-8)
        measured = [
            one
            for one in samples
            if one["warm_up"] == "false"
            and name in ("all", f"{one['operation']}@{one['server']}".removesuffix("@"))
        ]
        assert sum(one["ok"] == "true" for one in measured) == figures["ok"]
        assert sum(one["ok"] == "false" for one in measured) == figures["failed"]
        for metric in ("response", "service"):
            latency = figures["latencies"][metric]
            shown = "  ".join(
                duration(latency[one]) for one in ("mean", "p50", "p95", "p99", "p999", "max")
            )
            assert row(f"{name} {metric}", text) == row(f"{name} {metric}", written) == shown
            for one in ("p50", "p95", "p99", "p999", "max"):
                assert properties[f"{name}.{metric}.{one}"] == f"{latency[one]:.9f}"
            true = sorted(float(one[f"{metric}_s"]) for one in measured if one["ok"] == "true")
            assert latency["max"] == pytest.approx(true[-1], abs=1e-6)
            median = true[(len(true) + 1) // 2 - 1]
            assert latency["p50"] == pytest.approx(median, rel=0.004)
            assert f"<td>{name} {metric}</td>{cells(shown)}" in drawn
        latency = figures["latencies"]["response"]
        now = [f"{figures['ok']:,}"]
        now += [duration(latency[one]) for one in ("p50", "p95", "p99", "max")]
        assert row(f"{name} response", live) == "  ".join([*now, percent(figures["failed_share"])])
        assert f"<td>{name}</td>{cells(counts)}" in drawn
    for exchange in told["exchanges"]:
        latency = exchange["latencies"]["total"]
        shown = "  ".join(
            [f"{exchange['count']:,}"]
            + [duration(latency[one]) for one in ("mean", "p50", "p95", "p99", "p999", "max")]
        )
        assert row(re.escape(exchange["name"]), text) == shown
    seconds = told["measured_s"]
    assert told["transactions"]["all"]["ok_rate"] == pytest.approx(
        told["transactions"]["all"]["ok"] / seconds
    )
    intervals = told["intervals"]
    of_warm_up = told["warm_up"]["ok"]
    assert sum(one["ok"] for one in intervals) == told["transactions"]["all"]["ok"] + of_warm_up
    assert f"{total['ok']:,} ok   {total['failed']:,} failed" in live
    response = total["latencies"]["response"]
    for part in (
        f"ok {total['ok']} failed {total['failed']}",
        f"response p50 {duration(response['p50'])} p99 {duration(response['p99'])}",
    ):
        assert part in plain_lines(report, None)[0]
    check_scraped(told, scraped(report, counted))


def test_hgrm_ends_with_the_maximum(run: Path) -> None:
    lines = ok(run, "--format", "hgrm", "--latency", "kur.service").splitlines()
    latency = document(run)["transactions"]["kur"]["latencies"]["service"]
    assert float(lines[-4].split()[0]) == pytest.approx(latency["max"] * 1e3, abs=1e-3)
    assert int(lines[-4].split()[2]) == latency["count"]


def test_live_figures_are_those_of_the_file(run: Path) -> None:
    figures = Figures()
    figures.begin(RUN.warm_up)
    figures.feed(trouble())
    live = Report.of([RUN], figures, [Threshold.parse(text) for text in RUN.thresholds])
    told = document(run)
    assert told["transactions"]["all"]["ok"] == live.total.ok
    for metric, summary in live.total.latencies.items():
        assert told["transactions"]["all"]["latencies"][metric]["p99"] == round(summary.p99 or 0, 9)


def test_runs_merge(tmp_path: Path) -> None:
    records = trouble()
    halves: list[list[Record]] = [[], []]
    for number, record in enumerate(records):
        # what ends a run ends both
        if isinstance(record, TransactionRecord):
            halves[number % 2].append(record)
        else:
            halves[0].append(record)
    halves[1].append(records[-1])
    runs = [write(tmp_path / str(number), half) for number, half in enumerate(halves)]
    whole = document(write(tmp_path / "whole", records))
    both = document(*runs)
    assert len(both["runs"]) == 2
    for part in ("transactions", "exchanges", "intervals", "measured_s", "thresholds"):
        assert both[part] == whole[part]


def test_runs_one_after_the_other_have_their_own_places_in_time(tmp_path: Path) -> None:
    first = write(tmp_path / "first", trouble())
    second = write(tmp_path / "second", trouble(), later=100.0)
    both, one = document(second, first), document(first)
    assert both["measured_s"] == 2 * one["measured_s"]
    assert both["transactions"]["all"]["ok_rate"] == one["transactions"]["all"]["ok_rate"]
    assert both["elapsed_s"] == 100 + one["elapsed_s"]


def test_a_report_can_go_to_a_file(run: Path, tmp_path: Path) -> None:
    for kind in ("text", "md", "json", "junit", "csv", "jsonl", "hgrm", "html"):
        out = tmp_path / f"report.{kind}"
        assert ok(run, "--format", kind, "-o", out) == ""
        assert out.read_text() == ok(run, "--format", kind)
        assert out.stat().st_mode & 0o777 == 0o600


def test_what_is_no_run_is_told(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, [str(tmp_path)])
    assert isinstance(done.exception, InputError)
    assert "records.jsonl.gz" in str(done.exception)


def test_what_is_no_latency_is_told(run: Path) -> None:
    done = CliRunner().invoke(app, [str(run), "--format", "hgrm", "--latency", "ok"])
    assert isinstance(done.exception, InputError)
    assert str(done.exception) == "'ok' is no latency"


def test_parquet_goes_to_a_file(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "samples.parquet"
    assert ok(run, "--format", "parquet", "-o", out) == ""
    rows = pq.ParquetFile(out).read().to_pylist()
    lines = list(csv.DictReader(io.StringIO(ok(run, "--format", "csv"))))
    assert [row["finished_s"] for row in rows] == [float(line["finished_s"]) for line in lines]
    assert out.stat().st_mode & 0o777 == 0o600


def test_parquet_goes_down_a_pipe(run: Path) -> None:
    command = [sys.executable, "-m", "bulkcmp", "report", str(run), "--format", "parquet"]
    done = subprocess.run(command, capture_output=True, check=True)
    assert pq.ParquetFile(io.BytesIO(done.stdout)).metadata.num_rows == 593


def test_parquet_does_not_go_to_a_terminal(run: Path) -> None:
    master, terminal = os.openpty()
    command = [sys.executable, "-m", "bulkcmp", "report", str(run), "--format", "parquet"]
    done = subprocess.run(command, stdout=terminal, stderr=subprocess.PIPE, check=False, text=True)
    os.close(terminal)
    os.close(master)
    assert done.returncode == EXIT_BAD_INPUT
    assert "-o writes it to a file" in done.stderr


def test_a_reader_of_parquet_may_leave(run: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "bulkcmp", "report", str(run), "--format", "parquet"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, check=False, text=True)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("search")
    with RecordWriter(folder / "records.jsonl.gz", RUN_OF_THREE) as writer:
        writer.write(records_of_three())
    return folder


def test_a_search_is_reported_again_as_it_was_live(search: Path) -> None:
    live, _ = reported(RUN_OF_THREE, records_of_three())
    assert document(search) == json.loads(report_json(live))


def test_all_views_print_the_same_numbers_of_a_search(search: Path) -> None:
    found = document(search)["capacity"]
    text = ok(search)
    written = ok(search, "--format", "md")
    drawn = ok(search, "--format", "html")
    assert len(found["windows"]) == 7
    for one in found["windows"]:
        total = one["transactions"]
        latency = total["latencies"]
        word = "held" if one["verdict"] == "held" else "CROSSED"
        told = [
            f"{one['rate']:,.1f}", f"{total['ok_rate']:,.1f}", "0 %",
            *(duration(latency["response"][name]) for name in ("p50", "p95", "p99")),
            duration(latency["service"]["p95"]), word,
        ]  # fmt: skip
        assert re.search(rf"^{one['number']} +" + " +".join(map(re.escape, told)) + "$", text,
                         re.MULTILINE)  # fmt: skip
        assert f"| {one['number']} | {' | '.join(told)} |" in written
        *cells_, verdict = (f"<td>{cell}</td>" for cell in told)
        if word == "CROSSED":
            verdict = '<td class="crossed">CROSSED</td>'
        assert "".join([f"<td>{one['number']}</td>", *cells_, verdict]) in drawn


def test_each_window_of_a_search_has_a_report_of_its_own(search: Path) -> None:
    found = document(search)
    for number in (1, 4, 7):
        one = document(search, "--window", str(number))
        assert one["capacity"] is None
        assert (
            one["transactions"]["all"] == found["capacity"]["windows"][number - 1]["transactions"]
        )
    crossed = document(search, "--window", "4")
    assert crossed["exit_code"] == 3
    assert crossed["runs"][0]["shape"].startswith("160/s, window 4 of a search for the capacity")
    fourth = ok(search, "--window", "4", "--format", "hgrm").splitlines()
    assert int(fourth[-4].split()[2]) == crossed["transactions"]["all"]["ok"]


def test_every_transaction_of_a_search_is_exported(search: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(ok(search, "--format", "csv"))))
    assert len(rows) == sum(isinstance(one, TransactionRecord) for one in records_of_three())
    windows = Counter(int(row["window"]) for row in rows if row["warm_up"] == "false")
    found = document(search)["capacity"]["windows"]
    assert windows == {one["number"]: one["transactions"]["finished"] for one in found}
    lines = map(json.loads, ok(search, "--format", "jsonl").splitlines())
    assert [one["window"] for one in lines] == [int(row["window"]) for row in rows]


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("{search}", "--window", "8"), "there is no window 8"),
        (("{search}", "--window", "0"), "there is no window 0"),
        (("{run}", "--window", "1"), "there is no window 1: it is no search for the capacity"),
        (("{run}", "{search}"), "it is a search for the capacity, which can't be merged"),
    ],
)
def test_what_can_not_be_reported_of_a_search(
    search: Path, run: Path, arguments: tuple[str, ...], what: str
) -> None:
    done = CliRunner().invoke(app, [one.format(search=search, run=run) for one in arguments])
    assert isinstance(done.exception, InputError)
    assert what in done.exception.what


def test_of_damaged_records_what_precedes_the_damage_is_reported_if_asked_for(run: Path) -> None:
    path = run / RECORDS
    whole = path.read_bytes()
    place = len(whole) * 3 // 4
    path.write_bytes(whole[:place] + b"\xff" * 64 + whole[place + 64 :])
    refused = CliRunner().invoke(app, [str(run)])
    assert isinstance(refused.exception, InputError)
    assert refused.exception.hint == "bulkcmp report --partial reports on what stands before it"
    finished: dict[str, int] = {}
    for format_ in ("text", "md", "html", "json", "junit", "csv"):
        done = CliRunner(env={"COLUMNS": "300"}).invoke(
            app, [str(run), "--partial", "--format", format_]
        )
        assert done.exit_code == 0
        assert done.stderr.startswith(f"only a part is reported on: {path}:")
        if format_ == "csv":
            finished["csv"] = len(done.stdout.splitlines()) - 1
            continue
        assert "nothing more is counted" in done.stdout
        if format_ == "json":
            told = json.loads(done.stdout)
            assert told["exit_code"] == 1
            parts = told["transactions"]["all"], told["warm_up"]
            finished["json"] = sum(part["finished"] for part in parts)
    assert finished["csv"] == finished["json"]
    assert 0 < finished["json"] < sum(isinstance(one, TransactionRecord) for one in trouble())
