"""Load tests by a real Dask cluster: a scheduler, and three workers with an address each."""

import json
import os
import re
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bulkcmp.outputs.records import RecordFile
from bulkcmp.stats.figures import Figures
from bulkcmp.stats.record import Drop, TransactionRecord
from bulkcmp.testca.aliases import Behaviour
from tests.e2e.conftest import wait_until
from tests.e2e.dask import HOSTS, PATIENCE, Cluster
from tests.e2e.pki import make_pki

if TYPE_CHECKING:
    from tests.e2e.conftest import Ca, Cli, Ended, MakeCa, RunFolder

SCENARIO = """
name = "cluster"
seed = 7
{end}

[population.columns]
id = "dev-{{number:06}}"
subject = "/CN={{id}}/O=Acme/C=NO"

[[lifecycles]]
name = "enroll"
steps = [{{ cmd = "ir" }}, {{ cmd = "kur" }}]

[open]
rate = {rate}
"""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster that nobody harms."""
    made = Cluster(tmp_path_factory.mktemp("cluster"))
    with ExitStack() as stack:
        stack.callback(made.close)
        made.start()
        yield made


def write(cli: "Cli", end: str, rate: float = 20.0) -> Path:
    path = cli.folder / "scenario.toml"
    path.write_text(SCENARIO.format(end=end, rate=rate))
    return path


def options(ca: "Ca", cluster: Cluster, run: "RunFolder") -> tuple[object, ...]:
    return (
        "--server", ca.url(), "--ref", "ra1", "--secret", "env:RA_SECRET",
        "--trusted", ca.anchor, "--cluster", cluster.url, "--out", run.path,
    )  # fmt: skip


def measured(run: "RunFolder") -> list[TransactionRecord]:
    found = RecordFile(run.path).records()
    return [record for record in found if isinstance(record, TransactionRecord)]


def is_lost(record: TransactionRecord) -> bool:
    return record.endings[0].reason == "worker lost"


def test_the_figures_of_many_machines_are_those_of_one_stream(
    cli: "Cli", ca: "Ca", shared: Cluster, run: "RunFolder"
) -> None:
    known = {one.serial for one in ca.issued()}
    scenario = write(cli, "count = 60")
    ended = cli.finish(
        cli.start("load", scenario, *options(ca, shared, run), "--workers", "2", "-v"), 0, 4
    )
    found = run.summary()
    total = found["transactions"]["all"]
    assert (total["ok"], total["failed"], total["certificates"]) == (120, 0, 120)
    # each lifecycle once, at the instant that the one plan of all machines has for it
    records = measured(run)
    begun = sorted((one.arrival, one.planned) for one in records if one.step == 0)
    assert [number for number, _ in begun] == list(range(60))
    assert [planned for _, planned in begun] == pytest.approx([n / 20 for n in range(60)])
    assert len({one.serial for one in ca.issued()} - known) == 120
    # what the workers of each machine measured, merged
    parts = [Figures() for _ in range(6)]
    for place, part in enumerate(parts):
        part.begin(0.0)
        part.feed(one for one in records if one.arrival % 6 == place)
    merged = parts[0].measured.all_operations()
    for part in parts[1:]:
        merged.merge(part.measured.all_operations())
    response = total["latencies"]["response"]
    for quantile in (50, 95, 99):
        assert response[f"p{quantile}"] == pytest.approx(merged.ok.response.percentile(quantile))
    # every machine took part, and is named
    processes = [one["process"] for one in found["generator"]]
    assert processes.count("parent") == 1
    hosts = Counter(name.partition(" on ")[2].partition(":")[0] for name in processes)
    assert hosts == {"": 1, **dict.fromkeys(HOSTS, 2)}
    assert "±" in ended.out
    ends = re.findall(r" ended host=(\S+):\d+ outcome=", ended.err)
    assert Counter(ends) == dict.fromkeys(HOSTS, 40)
    # what is made again from the records is the same
    assert json.loads(cli("report", run.path, "--format", "json").out) == found
    wait_until(lambda: not shared.workers(), PATIENCE)
    assert ca.secret not in shared.logs()


def test_a_machine_that_dies_has_its_share_done_elsewhere_until_ctrl_c(
    cli: "Cli", make_ca: "MakeCa", cluster: Cluster, run: "RunFolder"
) -> None:
    cluster.start()
    slow = make_ca(Behaviour(delay=1.0))
    scenario = write(cli, "duration = 3600", rate=6)
    process = cli.start("load", scenario, *options(slow, cluster, run))
    wait_until(lambda: slow.count() >= 10 or process.poll() is not None, PATIENCE)
    cluster.kill(HOSTS[1])
    assert process.stderr is not None
    said: list[str] = []
    while "was lost; another goes on" not in "".join(said[-1:]):
        said.append(process.stderr.readline())
        assert process.poll() is None, said
    found = re.search(rf"worker (\d) on {HOSTS[1]}:\d+ was lost", said[-1])
    assert found is not None
    place = int(found.group(1)) - 1

    def goes_on() -> bool:
        share = [one for one in measured(run) if one.arrival % 3 == place]
        lost = [one.arrival for one in share if is_lost(one)]
        return any(one.is_ok and one.arrival > max(lost, default=one.arrival) for one in share)

    wait_until(goes_on, PATIENCE, step=0.5)
    process.send_signal(signal.SIGINT)
    ended = cli.finish(process, 130)
    assert "stopping: ending what is under way" in ended.err
    records = measured(run)
    drops = [one for one in RecordFile(run.path).records() if isinstance(one, Drop)]
    # none is missing, and none was begun twice
    begun = [one.arrival for one in records if one.step == 0]
    begun += {one.arrival for one in drops} - set(begun)
    for first in range(3):
        share = sorted(number for number in begun if number % 3 == first)
        assert share == list(range(first, share[-1] + 1, 3))
    reasons = Counter(ending.reason for one in records for ending in one.endings)
    assert set(reasons) == {"", "worker lost"}
    lost = [one for one in records if is_lost(one)]
    assert {one.arrival % 3 for one in lost} == {place}
    # what is under way was ended, on the machines that are left
    wait_until(lambda: not cluster.workers(), PATIENCE)
    assert run.summary()["transactions"]["all"]["failed"] == len(lost)


def test_certificates_of_another_ca_are_no_way_into_a_cluster(
    cli: "Cli", ca: "Ca", cluster: Cluster, run: "RunFolder"
) -> None:
    ours, other = cluster.folder / "ours", cluster.folder / "other"
    for folder in (ours, other):
        folder.mkdir()
        make_pki(folder)
    cluster.tls = ours
    cluster.start()

    def start(trusted: Path, own: Path, *codes: int) -> "Ended":
        pem = own / "client.pem"
        tls = (
            "--cluster-tls-ca", trusted / "ca.pem",
            "--cluster-tls-cert", pem, "--cluster-tls-key", pem,
        )  # fmt: skip
        scenario = write(cli, "count = 9")
        return cli.finish(cli.start("load", scenario, *options(ca, cluster, run), *tls), *codes)

    for trusted, own in ((other, ours), (ours, other)):
        ended = start(trusted, own, 1)
        assert f"the cluster at {cluster.url} can't be reached" in ended.err
        assert not run.path.exists()
    start(ours, ours, 0, 4)
    assert run.summary()["transactions"]["all"]["ok"] == 18


def test_without_a_cluster_nothing_begins(cli: "Cli", ca: "Ca", run: "RunFolder") -> None:
    scenario = write(cli, "count = 1")
    plain = ("load", scenario, "--server", ca.url(), "--out", run.path)
    ended = cli(*plain, "--cluster", "tcp://10.0.0.7:8786", code=2)
    assert "tcp://10.0.0.7:8786 is reached without TLS" in ended.err
    ended = cli(*plain, "--cluster", "tls://10.0.0.7:8786", code=2)
    assert "tls://10.0.0.7:8786 needs --cluster-tls-ca" in ended.err
    ended = cli(*plain, "--cluster-tls-ca", os.devnull, code=2)
    assert "--cluster-tls-... without a cluster" in ended.err
    assert not run.path.exists()
