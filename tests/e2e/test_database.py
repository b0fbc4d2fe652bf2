"""Runs whose journal is in PostgreSQL: killed, stopped, and gone on with on another machine."""

import json
import os
import shlex
import shutil
import signal
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from bulkcmp.testca.aliases import Behaviour

if TYPE_CHECKING:
    from tests.conftest import Postgres
    from tests.e2e.conftest import Ca, Cli, MakeCa, RunFolder, Tools, WritePopulation

pytestmark = pytest.mark.peer

ROWS = 60
UNKNOWN = "unknown outcome"


class Site:
    """A run of 60 rows, with its journal in a database."""

    def __init__(
        self,
        cli: "Cli",
        make_ca: "MakeCa",
        write_population: "WritePopulation",
        run: "RunFolder",
        database: str,
        postgres: "Postgres",
        tools: "Tools",
    ) -> None:
        # a run takes seconds, not less
        self.ca: Ca = make_ca(Behaviour(delay=0.2))
        self.population = write_population(ROWS)
        self.url = database
        self.run = run
        self._cli = cli
        self._postgres = postgres
        self._tools = tools

    def start(self) -> Any:
        """Enroll, until half of it is done."""
        process = self._cli.start(
            "enroll", self.population, *self.ca.options(), "--concurrency", 5, "--journal",
            self.url, "--journal-lease", 2, "--out", self.run.path,
        )  # fmt: skip
        self._tools.wait_until(lambda: self.ca.count() >= ROWS // 2)
        assert process.poll() is None
        return process

    @property
    def run_id(self) -> str:
        return str(json.loads((self.run.path / "journal.json").read_text())["run"])

    def outcomes(self) -> Counter[tuple[int, str]]:
        """Outcomes of all transactions, with the number of their row."""
        query = (
            "SELECT part.number, part.outcome FROM bulkcmp.part JOIN bulkcmp.run"
            f" ON part.run = run.number WHERE run.id = '{self.run_id}'"
        )
        return Counter(self._postgres.run(self.url, query))

    def check(self, results: list[dict[str, str]]) -> None:
        """Each row was done once, or is named unknown; the CA issued nothing besides."""
        assert [int(row["row"]) for row in results] == list(range(1, ROWS + 1))
        assert {row["outcome"] for row in results} <= {"issued", UNKNOWN}
        each = Counter(number for number, _ in self.outcomes())
        assert set(each.values()) == {1}, "a row was sent twice"
        issued = {row["transaction_id"] for row in results}
        for certificate in self.ca.issued():
            assert certificate.transaction_id is not None
            assert certificate.transaction_id.hex() in issued


@pytest.fixture
def site(
    cli: "Cli",
    make_ca: "MakeCa",
    write_population: "WritePopulation",
    run: "RunFolder",
    database: str,
    postgres: "Postgres",
    tools: "Tools",
) -> Site:
    cli.environ["PGPASSWORD"] = "not to be written down"
    return Site(cli, make_ca, write_population, run, database, postgres, tools)


def test_killed_and_gone_on_with_elsewhere(site: Site, cli: "Cli", tools: "Tools") -> None:
    process = site.start()
    tools.kill_all(process)
    # another machine: no folder of the run, and the population in another place
    moved = site.population.rename(site.population.with_name("moved.csv"))
    here = site.run.path.with_name("here")
    resume = ("resume", here, "--journal", site.url, "--run", site.run_id, "--population", moved)
    ended = cli.finish(cli.start(*resume), 0, 1)
    elsewhere = type(site.run)(here)
    results = elsewhere.results()
    site.check(results)
    pointing = f"--journal {shlex.quote(site.url)} --run {site.run_id}"
    assert any(pointing in note for note in elsewhere.summary()["notes"])
    unknown = [row for row in results if row["outcome"] == UNKNOWN]
    assert ended.code == (1 if unknown else 0)
    # from then on that folder is as good as the first
    cli("resume", here, "--population", moved, "--retry-unknown")
    results = elsewhere.results()
    assert {row["outcome"] for row in results} == {"issued"}
    tools.verify(site.ca.anchor, [here / row["cert_file"] for row in results])
    assert b"not to be written down" not in elsewhere.all_bytes() + site.run.all_bytes()


def test_stopped_past_its_lease(site: Site, cli: "Cli", tools: "Tools") -> None:
    process = site.start()
    # its workers too: a machine that sleeps
    family = [process.pid, *tools.descendants(process.pid)]
    for pid in family:
        os.kill(pid, signal.SIGSTOP)
    here = site.run.path.with_name("here")
    cli.finish(cli.start("resume", here, "--journal", site.url, "--run", site.run_id), 0, 1)
    done = site.ca.transaction_ids()
    outcomes = site.outcomes()
    for pid in family:
        os.kill(pid, signal.SIGCONT)
    ended = cli.finish(process, 1)
    assert "another bulkcmp has taken over the rows of this one" in ended.err
    # it wrote nothing more, and began nothing more; a request that was recorded before the stop may
    # have left after it, and is named unknown for that reason
    assert site.outcomes() == outcomes
    results = type(site.run)(here).results()
    unknown = {row["transaction_id"] for row in results if row["outcome"] == UNKNOWN}
    assert site.ca.transaction_ids() - done <= unknown
    site.check(results)
    shutil.rmtree(here)
