"""Ctrl-C, once and twice, and a reader or terminal that is gone."""

import signal
import subprocess
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bulkcmp.testca.aliases import Behaviour

if TYPE_CHECKING:
    from tests.e2e.conftest import Ca, Cli, MakeCa, MakeServer, RunFolder, Tools, WritePopulation

ROWS = 80


def start(
    cli: "Cli", ca: "Ca", write_population: "WritePopulation", run: "RunFolder", tools: "Tools"
) -> subprocess.Popen[str]:
    """A run that is well under way."""
    options = (*ca.options(), "--concurrency", "10", "--out", run.path)
    process = cli.start("enroll", write_population(ROWS), *options)
    tools.wait_until(lambda: ca.count() >= 5)
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_first_signal_drains(
    cli: "Cli",
    make_ca: "MakeCa",
    write_population: "WritePopulation",
    run: "RunFolder",
    tools: "Tools",
    number: signal.Signals,
) -> None:
    slow, quick = make_ca(Behaviour(delay=0.3)), make_ca(Behaviour())
    process = start(cli, slow, write_population, run, tools)
    process.send_signal(number)
    ended = cli.finish(process, 130, seconds=60)
    assert "stopping: ending what is under way (again: leave at once)" in ended.err
    assert ended.out.startswith("interrupted: ")
    assert "exit code     130: interrupted" in ended.out
    outcomes = Counter(row["outcome"] for row in run.results())
    # what was under way was brought to its end, and nothing else was begun
    assert set(outcomes) == {"issued", "to do"}
    assert outcomes["issued"] == slow.count() < ROWS
    assert len(list((run.path / "certs").glob("*.key.pem"))) == outcomes["issued"]

    cli("resume", run.path, "--server", quick.url())
    assert run.outcomes() == {("issued", "")}
    assert slow.count() == ROWS


def test_second_signal_leaves_at_once(
    cli: "Cli",
    ca: "Ca",
    write_population: "WritePopulation",
    run: "RunFolder",
    tools: "Tools",
    make_server: "MakeServer",
) -> None:
    def silent_from_some_on(number: int, body: bytes) -> bytes:
        if number >= 30:
            raise TimeoutError
        return tools.forward(ca, body)

    server = make_server(silent_from_some_on)
    options = (*ca.options(), "--server", server.url, "--concurrency", "10", "--out", run.path)
    process = cli.start("enroll", write_population(ROWS), *options)
    # all that is under way waits
    tools.wait_until(lambda: len(server.times) == 40)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    # two signals that are both pending would be one
    while "stopping: " not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    ended = cli.finish(process, 130, seconds=60)
    assert "leaving at once: bulkcmp resume goes on" in ended.err
    assert ended.out.startswith("interrupted: ")
    assert "note: certs/ is not complete: bulkcmp resume writes the rest" in ended.out
    outcomes = Counter(row["outcome"] for row in run.results())
    assert outcomes.total() == ROWS
    assert outcomes["unknown outcome"] + outcomes["issued, confirmation unknown"] == 10
    assert outcomes["to do"] == ROWS - 10 - outcomes["issued"]

    # what is unknown stays so until the user says otherwise; all else is done
    code = 1 if outcomes["unknown outcome"] else 0
    cli("resume", run.path, "--server", ca.url(), code=code)
    resumed = Counter(row["outcome"] for row in run.results())
    assert resumed["unknown outcome"] == outcomes["unknown outcome"]
    assert resumed["issued"] == ROWS - outcomes["unknown outcome"]
    cli("resume", run.path, "--server", ca.url(), "--retry-unknown")
    assert run.outcomes() == {("issued", "")}


def test_signal_before_anything_was_sent(
    cli: "Cli",
    make_ca: "MakeCa",
    write_population: "WritePopulation",
    run: "RunFolder",
    tools: "Tools",
) -> None:
    # however late the signal is, it comes before the end
    ca = make_ca(Behaviour(delay=2))
    process = cli.start("enroll", write_population(3), *ca.options(), "--out", run.path)
    before = ca.count()
    tools.wait_until(run.path.exists)
    process.send_signal(signal.SIGINT)
    ended = cli.finish(process, 130, seconds=60)
    assert "interrupted" in ended.err + ended.out
    if not (run.path / "journal.db").exists():
        # not even the journal was made: the run folder may be used
        cli("enroll", write_population(3), *ca.options(), "--out", run.path)
    else:
        cli("resume", run.path)
    assert run.outcomes() == {("issued", "")}
    assert ca.count() >= before + 3


def test_a_lost_reader_does_not_end_a_run(
    cli: "Cli", ca: "Ca", write_population: "WritePopulation", run: "RunFolder"
) -> None:
    process = cli.start("enroll", write_population(3), *ca.options(), "--out", run.path)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    process.stderr.close()
    assert process.wait(100) == 0
    assert run.outcomes() == {("issued", "")}


def test_a_full_disk_under_standard_output(
    cli: "Cli", ca: "Ca", write_population: "WritePopulation", run: "RunFolder"
) -> None:
    with Path("/dev/full").open("w") as full:
        process = cli.start(
            "enroll", write_population(2), *ca.options(), "--out", run.path, stdout=full.fileno()
        )
        ended = cli.finish(process, 1)
    assert "standard output: the summary can't be printed: No space left on device" in ended.err
    assert run.outcomes() == {("issued", "")}
