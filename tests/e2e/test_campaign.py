"""Runs by the machines of a real Dask cluster, some of which are lost on the way."""

import json
import signal
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from bulkcmp.testca.aliases import Behaviour
from tests.e2e.dask import HOSTS, Cluster
from tests.e2e.pki import make_pki

if TYPE_CHECKING:
    from tests.conftest import Postgres
    from tests.e2e.conftest import Ca, Cli, MakeCa, RunFolder, Tools, WritePopulation

pytestmark = pytest.mark.peer

ROWS = 144
CONCURRENCY = 12
UNKNOWN = "unknown outcome"


class Site:
    """A run of 144 rows, nine lots, by three machines."""

    def __init__(
        self,
        cli: "Cli",
        make_ca: "MakeCa",
        write_population: "WritePopulation",
        run: "RunFolder",
        database: str,
        postgres: "Postgres",
        tools: "Tools",
        cluster: Cluster,
    ) -> None:
        self.ca: Ca = make_ca(Behaviour(delay=0.3))
        self.run = run
        self.cluster = cluster
        self._population = write_population(ROWS)
        self._cli = cli
        self._url = database
        self._postgres = postgres
        self._tools = tools

    def start(self, *options: object) -> Any:
        """Enroll, until some of it is done."""
        process = self._cli.start(
            "enroll", self._population, *self.ca.options(), "--concurrency", CONCURRENCY,
            "--journal", self._url, "--journal-lease", 3, "--cluster", self.cluster.url,
            "--out", self.run.path, *options,
        )  # fmt: skip
        self._tools.wait_until(lambda: self.ca.count() >= 12 or process.poll() is not None)
        return process

    def catch(self, host: str) -> None:
        """Stop a machine while it has a lot in hand."""

        def is_caught() -> bool:
            self.cluster.signal(host, signal.SIGSTOP)
            there = set(self.cluster.pids(host))
            holders = self._postgres.run(self._url, "SELECT holder FROM bulkcmp.lease")
            if any(int(holder.split()[1]) in there for (holder,) in holders):
                return True
            self.cluster.signal(host, signal.SIGCONT)
            return False

        self._tools.wait_until(is_caught, step=0.1)

    def outcomes(self) -> Counter[tuple[int, str]]:
        """Outcomes of all transactions that were begun, with the number of their row."""
        run = json.loads((self.run.path / "journal.json").read_text())["run"]
        query = (
            "SELECT part.number, part.outcome FROM bulkcmp.part JOIN bulkcmp.run"
            f" ON part.run = run.number WHERE run.id = '{run}' AND outcome <> 'to do'"
        )
        return Counter(self._postgres.run(self._url, query))

    def check(self) -> list[int]:
        """Each row was done once, or is named unknown; the CA issued nothing besides.

        Returns:
            The unknown ones.
        """
        results = self.run.results()
        assert [int(row["row"]) for row in results] == list(range(1, ROWS + 1))
        assert {row["outcome"] for row in results} <= {"issued", UNKNOWN}
        each = Counter(number for number, _ in self.outcomes())
        assert each == dict.fromkeys(range(1, ROWS + 1), 1), "a row was sent twice"
        named = {row["transaction_id"]: row["outcome"] for row in results}
        issued: Counter[str] = Counter()
        for certificate in self.ca.issued():
            assert certificate.transaction_id is not None
            issued[certificate.transaction_id.hex()] += 1
        assert set(issued.values()) == {1}
        assert set(issued) <= set(named)
        assert {one for one, outcome in named.items() if outcome == "issued"} <= set(issued)
        return [int(row["row"]) for row in results if row["outcome"] == UNKNOWN]


@pytest.fixture
def site(
    cli: "Cli",
    make_ca: "MakeCa",
    write_population: "WritePopulation",
    run: "RunFolder",
    database: str,
    postgres: "Postgres",
    tools: "Tools",
    cluster: Cluster,
) -> Site:
    return Site(cli, make_ca, write_population, run, database, postgres, tools, cluster)


def test_lost_machines_have_their_rows_done_once_elsewhere(
    site: Site, cli: "Cli", tools: "Tools"
) -> None:
    _, killed, stopped = HOSTS
    site.cluster.start()
    process = site.start()
    for host in (killed, stopped):
        site.catch(host)
    site.cluster.kill(killed)
    ended = cli.finish(process, 0, 1, seconds=180)
    lost = [line for line in ended.err.splitlines() if "was lost" in line]
    assert Counter(line.partition(":")[0] for line in lost) == {killed: 1, stopped: 1}
    unknown = site.check()
    assert len(unknown) <= 2 * CONCURRENCY // 3
    assert ended.code == (1 if unknown else 0)
    summary = site.run.summary()
    rows = {kind: one["rows"] for kind, one in summary["outcomes"].items()}
    assert rows.get("issued", 0) == ROWS - len(unknown)
    assert sum(rows.values()) == ROWS
    # each that was told was measured; of a lost machine's last ones nobody heard
    measured = summary["latency_s"]["success"]["service"]["count"]
    assert measured == summary["transactions"] <= rows["issued"]
    outcomes, done = site.outcomes(), site.ca.transaction_ids()
    # its leases are over, and others did its rows
    site.cluster.signal(stopped, signal.SIGCONT)
    tools.wait_until(lambda: not site.cluster.workers())
    assert site.outcomes() == outcomes
    # a request that was recorded before the stop may have left after it, and is unknown for that
    results = site.run.results()
    named = {row["transaction_id"] for row in results if row["outcome"] == UNKNOWN}
    assert site.ca.transaction_ids() - done <= named
    for secret in (site.ca.secret, tools.passphrase):
        assert secret not in site.cluster.logs()


def test_interrupted_and_gone_on_with_by_one_machine(
    site: Site, cli: "Cli", tools: "Tools"
) -> None:
    site.cluster.tls = site.cluster.folder
    make_pki(site.cluster.folder)
    site.cluster.start()
    pem = site.cluster.folder / "client.pem"
    process = site.start(
        "--cluster-tls-ca", site.cluster.folder / "ca.pem",
        "--cluster-tls-cert", pem, "--cluster-tls-key", pem,
    )  # fmt: skip
    process.send_signal(signal.SIGINT)
    ended = cli.finish(process, 130, seconds=180)
    assert "stopping: ending what is under way" in ended.err
    assert {outcome for outcome, _ in site.run.outcomes()} <= {"issued", "to do"}
    tools.wait_until(lambda: not site.cluster.workers())
    cli("resume", site.run.path, seconds=180)
    assert site.check() == []


def test_what_only_one_machine_can_do_is_refused_before_anything_is_sent(
    site: Site, cli: "Cli"
) -> None:
    ended = cli(
        "enroll", site.run.path, *site.ca.options(), "--cluster", "tcp://127.0.0.1:1", code=2
    )
    assert "--cluster needs a journal that all machines reach" in ended.err


def test_left_at_once_nothing_goes_on_and_the_outputs_say_what_is_not_known(
    site: Site, cli: "Cli", tools: "Tools"
) -> None:
    site.cluster.start()
    process = site.start()
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    while "stopping" not in (line := process.stderr.readline()):
        assert line, "it ended"
    process.send_signal(signal.SIGINT)
    cli.finish(process, 130, seconds=180)
    left = {"issued", "issued, confirmation unknown", UNKNOWN, "to do"}
    assert {outcome for outcome, _ in site.run.outcomes()} <= left
    tools.wait_until(lambda: not site.cluster.workers())
    cli.finish(cli.start("resume", site.run.path), 0, 1, seconds=180)
    site.check()
