"""Every shipped scenario, at a small scale: what it does, done by few, and without the waiting."""

import csv
import datetime as dt
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path

import pytest

from bulkcmp.engine.options import Options
from bulkcmp.inputs.scenario import read_scenario, shipped_scenarios
from bulkcmp.load.chance import Chance
from bulkcmp.load.scenario import Scenario
from bulkcmp.load.schedule import choose
from bulkcmp.model import EndEntity, Operation, Secret
from bulkcmp.testca import state
from bulkcmp.testca.personality import Personality
from bulkcmp.testca.server import ServerSettings, serving
from bulkcmp.testca.store import Registration
from tests.e2e.conftest import Ca, Cli, RunFolder

LIFECYCLES = 6
SEED = 3
PASSWORD = Secret(b"foo123")

SMALLER = (
    # how long and how many
    (r"^(duration|warm_up|count) = .*\n", ""),
    (r"^stages = \[.*(\n(?!\]).*)*\n\]", "rate = 20"),
    (r"^stages = .*", "rate = 20"),
    (r"^rate = .*", "rate = 20"),
    (r"^clients = .*", "clients = 2"),
    (r"times = \d+", "times = 3"),
    # pauses
    (r"(constant|exponential) = [\d.]+", r"\1 = 0.05"),
    (r"uniform = \[.*?\]", "uniform = [0.01, 0.1]"),
    # where it stands does not matter, but what all chance comes from does
    (r"\A", f"seed = {SEED}\ncount = {LIFECYCLES}\n"),
)


def smaller(text: str) -> str:
    for pattern, replacement in SMALLER:
        text = re.sub(pattern, replacement, text, flags=re.MULTILINE)
    return text


def write(name: str, cli: Cli) -> Path:
    path = cli.folder / f"{name}.toml"
    path.write_text(smaller(shipped_scenarios()[name].read_text()))
    return path


@pytest.fixture(scope="module")
def ejbca(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ca]:
    """A CA that answers as EJBCA does."""
    folder = tmp_path_factory.mktemp("ejbca") / "state"
    state.create(folder, state.DEFAULT_CA_KEY, dt.datetime.now(dt.UTC))
    with serving(ServerSettings(folder, port=0, like=Personality.EJBCA)) as process:
        yield Ca(folder, process.url)


def register(ejbca: Ca, scenario: Scenario) -> None:
    """Make the end entities of a scenario known, whose user name is their CN."""
    options = Options.merge({"secret": "pass:-"}, scenario.settings)
    rows = options.population(scenario.population, {}, SEED).rows(lambda _: Operation.IR)
    with closing(state.open_books(ejbca.folder)) as books:
        for row in islice(rows, LIFECYCLES):
            assert isinstance(row, EndEntity)
            assert row.subject is not None
            books.register([Registration(row.id, "client-hmac", row.subject, PASSWORD)])


def carry_out(name: str, cli: Cli, ca: Ca, run: RunFolder, alias: str, *options: str) -> None:
    """Carry out a shipped scenario, and see that each lifecycle was gone through to its end."""
    path = write(name, cli)
    scenario = read_scenario(path, Options.known())
    server = ("--server", ca.url(alias), "--trusted", ca.anchor, *options)
    process = cli.start("load", path, *server, "--workers", "1", "--out", run.path)
    # a busy machine may cross a threshold, or be the bottleneck
    cli.finish(process, 0, 3, 4)

    total = run.summary()["transactions"]["all"]
    assert total["failed"] == 0, total["outcomes"]
    with (run.path / "certificates.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    lives: dict[tuple[int, str], list[str]] = {}
    for row in rows:
        lives.setdefault((int(row["arrival"]), row["id"]), []).append(row["cmd"])
    together = scenario.settings.get("certs_per_message", 1)
    assert Counter(arrival for arrival, _ in lives) == dict.fromkeys(range(LIFECYCLES), together)
    for (arrival, _), cmds in lives.items():
        chosen = scenario.lifecycles[choose(scenario.lifecycles, Chance(SEED), arrival)]
        assert cmds == [step.cmd for step in chosen.steps]


@pytest.mark.parametrize("name", shipped_scenarios())
def test_each_shipped_scenario_does_what_it_says(
    name: str, cli: Cli, ca: Ca, run: RunFolder
) -> None:
    carry_out(name, cli, ca, run, "ra-hmac", "--ref", "ra1", "--secret", "env:RA_SECRET")


def test_cmptest_wants_an_ejbca_that_does_not_look_at_keys(
    cli: Cli, ejbca: Ca, run: RunFolder
) -> None:
    cli.environ["RA_SECRET"] = ejbca.secret
    server = ("--server", ejbca.url(), "--ref", "ra1", "--secret", "env:RA_SECRET")
    path = write("ejbca-cmptest", cli)
    options = (*server, "--trusted", ejbca.anchor, "--workers", "1", "--out", run.path)
    cli.finish(cli.start("load", path, *options), 3, 4)
    total = run.summary()["transactions"]["all"]
    # the first end entity has the key, and the others are told so
    assert 1 <= total["ok"] < LIFECYCLES
    (failure,) = total["failures"]
    assert failure["count"] == LIFECYCLES - total["ok"]
    assert "is not allowed to use same key as another user is using" in failure["detail"]


def test_cmpkeyupdate_does_so_where_an_ejbca_has_clients(
    cli: Cli, ejbca: Ca, run: RunFolder
) -> None:
    name = "ejbca-cmpkeyupdate"
    register(ejbca, read_scenario(write(name, cli), Options.known()))
    cli.environ["PASSWORD"] = PASSWORD.reveal().decode()
    credential = ("--ref", "{id}", "--secret", "env:PASSWORD")
    carry_out(name, cli, ejbca, run, "client-hmac", *credential)


def test_an_ra_and_its_devices_have_an_alias_each_at_an_ejbca(
    cli: Cli, ejbca: Ca, run: RunFolder
) -> None:
    cli.environ["RA_SECRET"] = ejbca.secret
    name = "ejbca-ra-and-client"
    carry_out(name, cli, ejbca, run, "ra-hmac", "--ref", "ra1", "--secret", "env:RA_SECRET")
    # where nobody but the RA may ask, the updates fail, and are told apart
    run = RunFolder(cli.folder / "again")
    one_alias = ("--set", 'servers.client.path="ejbca/publicweb/cmp/ra-hmac"')
    server = ("--server", ejbca.base, "--ref", "ra1", "--secret", "env:RA_SECRET")
    options = (*server, "--trusted", ejbca.anchor, *one_alias, "--workers", "1", "--out", run.path)
    cli.finish(cli.start("load", write(name, cli), "--set", "seed=4", *options), 3, 4)
    found = run.summary()["transactions"]
    assert found["ir@ra"]["failed"] == found["kur@client"]["ok"] == 0
    assert found["ir@ra"]["ok"] == LIFECYCLES
    assert found["kur@client"]["failed"]


def test_a_shipped_scenario_is_taken_by_its_name(cli: Cli, ca: Ca, run: RunFolder) -> None:
    server = ("--server", ca.url(), "--ref", "ra1", "--secret", "env:RA_SECRET")
    # which never holds
    threshold = ("--threshold", "abort count(finished) < 0")
    options = (*server, "--trusted", ca.anchor, *threshold, "--out", run.path)
    cli.finish(cli.start("load", "stress", *options), 3, 4)
    (shown,) = run.summary()["runs"]
    assert shown["scenario"] == "stress"
