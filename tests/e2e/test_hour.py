"""An enrollment and a load test that go on for an hour, beside each other, against a CA that is
restarted and whose connections break: what they use is flat, or linear in what they have done.

With BULKCMP_SCALE=full it takes an hour; its samples stand in hour.csv under --basetemp.
"""

import json
import re
import signal
import sqlite3
import subprocess
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.aftermath import Aftermath
from tests.e2e.relay import Relay
from tests.e2e.watch import Course, Sample, Watch

pytest.importorskip("prometheus_client", reason="needs the extra `metrics`")

if TYPE_CHECKING:
    from tests.e2e.conftest import Cli, RunFolder, Tools, WritePopulation

_SCENARIO: Final = """
name = "an hour"
seed = 7
duration = {seconds}
drain = 60

[population.columns]
id = "load-{{number:06}}"
subject = "/CN={{id}}/O=Acme/C=SE"

[[lifecycles]]
name = "renewed"
weight = 3
steps = [{{ cmd = "ir" }}, {{ cmd = "kur", think = {{ exponential = {think} }} }}]

[[lifecycles]]
name = "revoked"
steps = [{{ cmd = "ir" }}, {{ cmd = "rr", think = {{ exponential = {think} }} }}]

[open]
arrivals = "poisson"
rate = {rate}
"""


@dataclass(frozen=True)
class Size:
    """How long it is, and how much of it."""

    seconds: int
    rate: int
    workers: int
    every: float

    @property
    def rows(self) -> int:
        return self.seconds * self.rate


_FULL: Final = Size(seconds=3600, rate=10, workers=2, every=5.0)
_SMALL: Final = Size(seconds=4, rate=10, workers=1, every=0.5)


class Server:
    """`bulkcmp ca serve`, that can be restarted behind a relay.

    Attributes:
        starts: how often it was started.
    """

    def __init__(self, cli: "Cli", state: Path, relay: Relay) -> None:
        self._cli = cli
        self._state = state
        self._relay = relay
        self.starts = 0
        self.process = self._start()

    def restart(self) -> None:
        """As an operator does it; meanwhile connections are refused."""
        self._relay.close()
        self.process.send_signal(signal.SIGTERM)
        self._cli.finish(self.process, 0, -signal.SIGTERM)
        self.process = self._start()

    def _start(self) -> "subprocess.Popen[str]":
        process = self._cli.start("ca", "serve", "--state", self._state, "--port", "0")
        assert process.stdout is not None
        for line in process.stdout:
            if found := re.search(r"serving at http://127\.0\.0\.1:(\d+)", line):
                self._relay.target = int(found[1])
                self._relay.open()
                self.starts += 1
                break
        return process


def ended_rows(journal: Path) -> int | None:
    """Rows of a run that goes on that are over; None before there is a run."""
    with suppress(sqlite3.OperationalError):
        with closing(sqlite3.connect(f"file:{journal}?mode=ro", uri=True)) as database:
            (found,) = database.execute(
                "SELECT count(*) FROM row WHERE outcome IS NOT NULL"
            ).fetchone()
        return int(found)
    return None


def size_of(path: Path) -> Callable[[], float | None]:
    def read() -> float | None:
        return path.stat().st_size if path.exists() else None

    return read


def transactions(port: int) -> float | None:
    """Those of a load test that are over, as its metrics tell."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with (
        suppress(OSError, HTTPException),
        opener.open(f"http://127.0.0.1:{port}/metrics", timeout=60) as page,
    ):
        text = page.read().decode()
        values = re.findall(r"^bulkcmp_transactions_total\{.*\} (\S+)$", text, re.M)
        return sum(map(float, values))
    return None


_SHARES: Final = {"warm-up": 0.2, "broken": 0.4, "whole again": 0.6}
"""Of the rows that have ended: what came before the first is not judged; between the other two
connections are cut again and again, and the CA is restarted in the middle."""
_CUTS: Final = 10


def disturb(server: Server, relay: Relay, rows: int, wait_for: Callable[[int], None]) -> None:
    """Do harm at one share of the rows after the other.

    Args:
        wait_for: so many rows that are over.
    """
    first, last = _SHARES["broken"], _SHARES["whole again"]
    for number in range(_CUTS):
        wait_for(int((first + (last - first) * number / _CUTS) * rows))
        if number == _CUTS // 2:
            server.restart()
        relay.cut_all()


@pytest.mark.timeout(3 * 3600)
def test_an_hour(
    cli: "Cli", write_population: "WritePopulation", run: "RunFolder", tools: "Tools"
) -> None:
    size = _FULL if tools.is_full else _SMALL
    state, load_run = cli.folder / "ca", cli.folder / "load"
    scenario, told = cli.folder / "hour.toml", cli.folder / "load.txt"
    think = size.seconds / 100
    scenario.write_text(_SCENARIO.format(seconds=size.seconds, rate=size.rate // 2, think=think))
    population = write_population(size.rows)
    with Relay() as relay, told.open("w") as log:
        server = Server(cli, state, relay)
        ca = tools.ca_at(state, f"http://127.0.0.1:{relay.port}")
        cli.environ["RA_SECRET"] = ca.secret
        enroll = cli.start(
            "enroll", population, *ca.options(), "--workers", size.workers, "--rate", size.rate,
            "--concurrency", "50", "--retries", "20", "--breaker-pause", "0.5", "--quiet",
            "--out", run.path,
        )  # fmt: skip
        load = cli.start(
            "load", scenario, *ca.options(has_pass=False), "--prometheus", ":0", "--out", load_run,
            stderr=log.fileno(), stdout=log.fileno(),
        )  # fmt: skip
        tools.wait_until(lambda: bool(re.search(r"127\.0\.0\.1:\d+/metrics", told.read_text())))
        found = re.search(r"127\.0\.0\.1:(\d+)/metrics", told.read_text())
        assert found is not None
        journal = run.path / "journal.db"
        figures = {
            "enroll.rows": lambda: ended_rows(journal),
            "enroll.journal": size_of(journal),
            "enroll.wal": size_of(run.path / "journal.db-wal"),
            "load.transactions": lambda: transactions(int(found[1])),
            "load.records": size_of(load_run / "records.jsonl.gz"),
            "load.certificates": size_of(load_run / "certificates.csv"),
            "ca.database": size_of(state / "ca.db"),
            "ca.wal": size_of(state / "ca.db-wal"),
        }

        def processes() -> dict[str, int]:
            ca_name = f"ca {server.starts}"
            return {"enroll": enroll.pid, "load": load.pid, ca_name: server.process.pid}

        def wait_for(rows: int) -> None:
            tools.wait_until(lambda: (ended_rows(journal) or 0) >= rows, patience, 0.1)

        patience = 2.0 * size.seconds + 240
        # a test that has never heard of its server ends where that is away
        tools.wait_until(lambda: (figures["load.certificates"]() or 0) > _HEADER)
        with Watch(cli.folder / "hour.csv", processes, figures, size.every) as watch:
            disturb(server, relay, size.rows, wait_for)
            tools.wait_until(lambda: None not in (enroll.poll(), load.poll()), patience, 0.1)
        assert relay.cut > 0
        cli.finish(enroll, 0, 1)
        cli.finish(load, 0, 1, 4)
    total = json.loads((load_run / "summary.json").read_text())["transactions"]["all"]
    last: dict[str, float] = {
        "enroll.rows": size.rows,
        "load.transactions": total["ok"] + total["failed"],
    }
    for name in _LINEAR:
        if (octets := figures[name]()) is not None:
            last[name] = octets
    judge([*watch.samples, last], size)

    # what was cut off is named, and nothing else failed
    rows = run.results()
    assert [row["row"] for row in rows] == [str(n) for n in range(1, size.rows + 1)]
    assert {row["outcome"] for row in rows} <= {"issued", "unknown outcome"}
    issued = [one for one in ca.issued() if (one.user or "").startswith("dev")]
    Aftermath.read(run.path, issued, tools.passphrase).check_ended()


_GROWTH: Final = {
    "enroll": (4 << 20, 300),
    "load": (16 << 20, 0),
    "ca": (32 << 20, 0),
    "worker": (8 << 20, 0),
    "generator": (8 << 20, 0),
    "keyworker": (2 << 20, 0),
}
"""By how many octets a kind of process may grow, and by how many for each row. Workers and the CA
remember keys, certificates and names, some thousands of each; the parent of an enrollment has the
ids of rows, that of a load test a time line of 3,600 intervals."""

_KIND: Final = re.compile(r"(?:.* )?([a-z]+)(?: \d+)?\.(uss|fds|threads|processes)")

_LINEAR: Final = {
    "enroll.journal": ("enroll.rows", 128 << 10, 1500),
    "enroll.wal": ("enroll.rows", 6 << 20, 0),
    "ca.wal": ("enroll.rows", 44 << 20, 0),
    "load.records": ("load.transactions", 16 << 10, 200),
    "load.certificates": ("load.transactions", 4 << 10, 450),
}
"""Octets of a file: of none, and those for each of what is counted."""

_MOST: Final = {"fds": 128, "threads": 16, "processes": 8}
_MORE: Final = {"fds": 4, "threads": 1, "processes": 0}
"""How many there may be more in the end than in the beginning: connections come and go."""
_HEADER: Final = 60
"""Octets of certificates.csv before the first certificate."""
_MANY: Final = 100
"""Samples of which beginning and end can be told apart."""


def at_work(samples: Sequence[Sample], name: str, size: Size) -> Iterator[Sample]:
    """The samples of a figure of a process from its warm-up to its end."""
    for count in ("enroll.rows", "load.transactions"):
        command, _, _ = count.partition(".")
        if name.startswith(command):
            most = size.rows if command == "enroll" else max(one.get(count, 0) for one in samples)
            share = (one for one in samples if _SHARES["warm-up"] * most <= one.get(count, -1))
            yield from (one for one in share if one[count] < most)
            return
    yield from samples


def judge(samples: Sequence[Sample], size: Size) -> None:
    """What shall be flat is flat, and what may be linear is linear."""
    for name in sorted({name for one in samples for name in one} - {"second"}):
        course = Course(list(at_work(samples, name, size)), name)
        if not course.ys:
            continue
        print(
            f"{name:28} {len(course.ys):4} samples {course.ys[0]:13,.0f} to {course.ys[-1]:13,.0f}"
            f" at most {max(course.ys):13,.0f}, rises by {course.rise:13,.0f}"
        )
        if not (found := _KIND.fullmatch(name)):
            continue
        if name.endswith(".uss"):
            base, each = _GROWTH[found[1]]
            assert course.rise <= base + each * size.rows
        else:
            assert max(course.ys) <= _MOST[found[2]]
            assert len(course.ys) < _MANY or course.step <= _MORE[found[2]]
    for name, (count, base, each) in _LINEAR.items():
        whole = [one for one in samples if name in one and count in one]
        # a write-ahead log is gone in the end
        assert whole or name.endswith(".wal")
        assert all(one[name] <= base + each * one[count] for one in whole)
