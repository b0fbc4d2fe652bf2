"""kill -9 at random moments, then resume: no row is lost, none is sent twice without a word."""

import os
import random
import signal
import time
from collections import Counter
from subprocess import DEVNULL
from typing import TYPE_CHECKING

import pytest

from bulkcmp.testca.aliases import Behaviour
from tests.aftermath import Aftermath, check_files

if TYPE_CHECKING:
    from tests.e2e.conftest import Cli, MakeCa, RunFolder, Tools, WritePopulation

UNKNOWN = "unknown outcome"


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("certs_per_message", [1, 5])
def test_killed_again_and_again(
    cli: "Cli",
    make_ca: "MakeCa",
    write_population: "WritePopulation",
    run: "RunFolder",
    tools: "Tools",
    certs_per_message: int,
) -> None:
    rows, kills = (5000, 20) if tools.is_full else (150, 5)
    rng = random.Random(4)
    ca = make_ca(Behaviour(delay=0.05))
    population = write_population(rows)
    # so many rows are under way, in one message each or several in one
    concurrency = (60 if tools.is_full else 10) // certs_per_message
    pace = (
        "--workers",
        "2",
        "--concurrency",
        concurrency,
        "--certs-per-message",
        certs_per_message,
    )
    enroll = ("enroll", population, *ca.options(), *pace, "--out", run.path)

    landed = 0
    # each kill comes at its share of the work, and a moment later, wherever that is in a row
    for number, share in enumerate(sorted(rng.random() for _ in range(kills))):
        begun = (run.path / "journal.db").exists()
        process = cli.start(
            *(("resume", run.path) if begun else enroll), stderr=DEVNULL, stdout=DEVNULL
        )
        end = time.monotonic() + 300
        while ca.count() < share * rows and process.poll() is None:
            assert time.monotonic() < end
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.3))
        landed += process.poll() is None
        if number % 2:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
        else:
            tools.kill_all(process)

    assert landed > kills // 2
    ended = cli.finish(cli.start("resume", run.path), 0, 1, seconds=600)
    outcomes = Counter(row["outcome"] for row in run.results())
    assert outcomes.keys() <= {"issued", UNKNOWN}
    assert outcomes.total() == rows
    assert (ended.code == 1) == (outcomes[UNKNOWN] > 0)
    one_each = Counter(one.number for one in run.transactions())
    assert set(one_each.values()) == {1}, "a row was sent twice"
    Aftermath.read(run.path, ca.issued(), tools.passphrase).check_ended()

    cli("resume", run.path, "--retry-unknown", seconds=600)
    results = run.results()
    assert {row["outcome"] for row in results} == {"issued"}
    assert [row["row"] for row in results] == [str(n) for n in range(1, rows + 1)]
    Aftermath.read(run.path, ca.issued(), tools.passphrase).check_ended()
    check_files(run.path)
    assert len({row["serial"] for row in results}) == rows
    tools.verify(ca.anchor, [run.path / row["cert_file"] for row in results])
