"""A CA that is away, a run that is paused, and a canary, by the command line."""

from collections import Counter
from typing import TYPE_CHECKING

from bulkcmp.testca.aliases import Behaviour

if TYPE_CHECKING:
    from tests.e2e.conftest import Ca, Cli, MakeCa, MakeServer, RunFolder, Tools, WritePopulation

ROWS = 80


def test_an_outage_fails_no_row(
    cli: "Cli",
    make_ca: "MakeCa",
    make_server: "MakeServer",
    write_population: "WritePopulation",
    run: "RunFolder",
    tools: "Tools",
) -> None:
    ca = make_ca(Behaviour(implicit_confirm=True))

    # away for so many requests, however long that takes; each of them begins a transaction
    def away_for_a_while(number: int, body: bytes) -> bytes:
        if 40 <= number < 50:
            return tools.http_answer("503 Service Unavailable", "text/plain", b"later")
        return tools.forward(ca, body)

    server = make_server(away_for_a_while)
    # so one good answer at most comes between these ten: five of them follow each other
    quick = (
        "--concurrency", "2", "--retries", "10", "--breaker-pause", "0.05", "--implicit-confirm",
    )  # fmt: skip
    population = write_population(ROWS)
    ended = cli(
        "enroll", population, *ca.options(), *quick, "--server", server.url, "--out", run.path
    )
    assert run.outcomes() == {("issued", "")}
    (hold,) = run.summary()["holds"]
    assert hold["hold"] == "circuit open"
    assert hold["times"] >= 1
    assert "nothing begins: circuit open (server busy)" in ended.err
    assert "transactions begin again" in ended.err
    assert "nothing began: circuit open" in ended.out
    assert len({row["transaction_id"] for row in run.results()}) == ROWS


def test_a_run_is_paused_from_elsewhere_and_stays_so(
    cli: "Cli",
    make_ca: "MakeCa",
    write_population: "WritePopulation",
    run: "RunFolder",
    tools: "Tools",
) -> None:
    ca = make_ca(Behaviour(delay=0.1))
    options = (*ca.options(), "--concurrency", "4", "--out", run.path)
    process = cli.start("enroll", write_population(ROWS), *options)
    tools.wait_until(lambda: ca.count() >= 4)
    assert f"{run.path} is paused" in cli("pause", run.path).out.replace("\n", "")
    assert process.stderr is not None
    for line in process.stderr:
        if "nothing begins: paused" in line:
            break
    process.kill()
    process.communicate()
    done = ca.count()
    assert 4 <= done < ROWS

    # killed, it is paused still
    process = cli.start("resume", run.path)
    assert process.stderr is not None
    for line in process.stderr:
        if "nothing begins: paused" in line:
            break
    assert ca.count() == done
    cli("pause", run.path, "--continue")
    for line in process.stderr:
        if "transactions begin again" in line:
            break
    process.communicate()
    outcomes = Counter(row["outcome"] for row in run.results())
    # what was in flight when it was killed, and nothing else
    assert outcomes["unknown outcome"] <= 4
    assert outcomes.total() == ROWS
    assert outcomes["issued"] == ROWS - outcomes["unknown outcome"]
    assert process.returncode == (1 if outcomes["unknown outcome"] else 0)
    assert [one["hold"] for one in run.summary()["holds"]] == ["paused"]


def test_only_a_run_can_be_paused(cli: "Cli", run: "RunFolder") -> None:
    assert "is not a run folder" in cli("pause", run.path, code=2).err


def test_a_canary_that_fails_ends_the_run(
    cli: "Cli",
    ca: "Ca",
    make_server: "MakeServer",
    write_population: "WritePopulation",
    run: "RunFolder",
    tools: "Tools",
) -> None:
    fails = True

    def second_row_fails(number: int, body: bytes) -> bytes:
        if fails and number == 2:
            return tools.http_answer("500 No", "text/plain", b"no")
        return tools.forward(ca, body)

    server = make_server(second_row_fails)
    canary = ("--canary", "5%", "--window", "00:00-24:00", "--window-tz", "Asia/Tokyo")
    population = write_population(ROWS, stem="canary")
    options = (*ca.options(), "--server", server.url, "--concurrency", "1")
    ended = cli("enroll", population, *options, *canary, "--out", run.path, code=1)
    assert "1 of the 4 first rows failed, more than --canary-failures 0;" in " ".join(
        ended.out.split()
    )
    assert "begin again" not in ended.err
    outcomes = Counter(row["outcome"] for row in run.results())
    assert outcomes == {"issued": 3, "HTTP error": 1, "to do": ROWS - 4}
    assert [row["id"][-6:] for row in run.results() if row["outcome"] != "to do"] == [
        "000001", "000021", "000041", "000061",
    ]  # fmt: skip

    fails = False
    cli("resume", run.path, "--retry-failed")
    assert run.outcomes() == {("issued", "")}
