"""Every shipped scenario, at a small scale: what it does, done by few, and without the waiting."""

import csv
import datetime as dt
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from itertools import islice

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
    # in client mode an end entity enrolls once
    (r"^repeated = .*\n", ""),
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


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ca]:
    """Takes enrollments by a secret and updates by a certificate at one place, as EJBCA does."""
    folder = tmp_path_factory.mktemp("site") / "state"
    state.create(folder, state.DEFAULT_CA_KEY, dt.datetime.now(dt.UTC))
    with serving(ServerSettings(folder, port=0, like=Personality.EJBCA)) as process:
        yield Ca(folder, process.url)


def register(site: Ca, scenario: Scenario) -> None:
    """Make the end entities of a scenario known, who have the user names that EJBCA knows by CN."""
    options = Options.merge({"secret": "pass:-"}, scenario.settings)
    rows = options.population(scenario.population, {}, SEED).rows(lambda _: Operation.IR)
    with closing(state.open_books(site.folder)) as books:
        for row in islice(rows, LIFECYCLES):
            assert isinstance(row, EndEntity)
            assert row.subject is not None
            books.register([Registration(row.id, "client-hmac", row.subject, PASSWORD)])


@pytest.mark.parametrize("name", shipped_scenarios())
def test_each_shipped_scenario_does_what_it_says(
    name: str, cli: Cli, ca: Ca, site: Ca, run: RunFolder
) -> None:
    path = cli.folder / f"{name}.toml"
    path.write_text(smaller(shipped_scenarios()[name].read_text()))
    scenario = read_scenario(path, Options.known())
    if any(step.cmd is Operation.KUR for one in scenario.lifecycles for step in one.steps):
        register(site, scenario)
        cli.environ["PASSWORD"] = PASSWORD.reveal().decode()
        server = ("--server", site.url("client-hmac"), "--ref", "{id}", "--secret", "env:PASSWORD")
        trust = ("--trusted", site.anchor)
    else:
        server = ("--server", ca.url(), "--ref", "ra1", "--secret", "env:RA_SECRET")
        trust = ("--trusted", ca.anchor)
    process = cli.start("load", path, *server, *trust, "--workers", "1", "--out", run.path)
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


def test_a_shipped_scenario_is_taken_by_its_name(cli: Cli, ca: Ca, run: RunFolder) -> None:
    server = ("--server", ca.url(), "--ref", "ra1", "--secret", "env:RA_SECRET")
    # which never holds
    threshold = ("--threshold", "abort count(finished) < 0")
    options = (*server, "--trusted", ca.anchor, *threshold, "--out", run.path)
    cli.finish(cli.start("load", "stress", *options), 3, 4)
    (shown,) = run.summary()["runs"]
    assert shown["scenario"] == "stress"
