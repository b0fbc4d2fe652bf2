import datetime as dt
import io
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from bulkcmp.engine.load import plan as module
from bulkcmp.engine.load.capacity import search_plan
from bulkcmp.engine.load.plan import LoadPlan, describe, plan
from bulkcmp.engine.load.servers import server_options
from bulkcmp.engine.options import Options
from bulkcmp.errors import InputError, InputErrors
from bulkcmp.load.arrivals import Ramp
from bulkcmp.load.capacity import Search
from bulkcmp.load.scenario import (
    ArrivalProcess,
    Closed,
    GeneratedPopulation,
    KeyMode,
    LatePolicy,
    Lifecycle,
    Open,
    PopulationFile,
    Scenario,
    Shape,
    Step,
)
from bulkcmp.model import BadRow, EndEntity, KeySpec, Operation, Secret
from bulkcmp.testca import state

ENVIRON = {"S": "a secret that nothing shows"}
IR, KUR, RR, P10CR = Operation.IR, Operation.KUR, Operation.RR, Operation.P10CR


def life(name: str, *cmds: Operation, weight: float = 1.0) -> Lifecycle:
    return Lifecycle(name, weight, tuple(map(Step, cmds)))


SCENARIO = Scenario(
    name="a test",
    settings={},
    population=GeneratedPopulation("s.toml", 7, {"subject": "/CN=dev{number}"}),
    lifecycles=(life("a", IR, KUR, RR), life("b", Operation.CR)),
    shape=Closed(10),
    count=50,
    warm_up=2.0,
    drain=9.0,
    thresholds=("share(failed) < 1%",),
    seed=5,
)


@pytest.fixture(scope="module")
def anchor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ca")
    state.create(folder, state.DEFAULT_CA_KEY, dt.datetime.now(dt.UTC))
    return folder / "ca.pem"


def planned(
    anchor: Path,
    scenario: Scenario = SCENARIO,
    yes_load: Collection[str] = (),
    *,
    make: Callable[..., LoadPlan] = plan,
    threshold: str = "rate(ok) > 1",
    **changes: Any,
) -> LoadPlan:
    settings = {
        "server": "http://127.0.0.1:8829/cmp",
        "ref": "ra1",
        "secret": "env:S",
        "trusted": (str(anchor),),
        "workers": 4,
    }
    said = {name: value for name, value in {**settings, **changes}.items() if value is not None}
    options = Options.merge(said)
    return make(scenario, options, ENVIRON, thresholds=[threshold], yes_load=yes_load)


def test_a_scenario_is_shared_out(anchor: Path) -> None:
    made = planned(anchor)
    assert [one.shape for one in made.assignments] == [Closed(3), Closed(3), Closed(2), Closed(2)]
    for place, one in enumerate(made.assignments):
        assert (one.place, one.workers, one.seed) == (place, 4, 5)
        assert (one.warm_up, one.drain, one.duration) == (2.0, 9.0, None)
        # no transaction ever waits for a connection
        assert isinstance(one.shape, Closed)
        setup = one.setups[""]
        assert setup.limits.connections == setup.concurrency == one.shape.clients
    assert made.count == 50
    assert [one.text for one in made.thresholds] == ["share(failed) < 1%", "rate(ok) > 1"]
    assert made.run.seed == 5
    assert made.run.workers == 4
    assert made.run.server == "http://127.0.0.1:8829/cmp"


def test_rows_begin_as_their_lifecycle_does(anchor: Path) -> None:
    rows = [row for _, row in zip(range(40), planned(anchor).rows[""], strict=False)]
    assert all(isinstance(row, EndEntity) for row in rows)
    assert {row.cmd for row in rows if isinstance(row, EndEntity)} == {IR, Operation.CR}


def test_without_a_seed_each_test_is_another_one(anchor: Path) -> None:
    seeds = {planned(anchor, replace(SCENARIO, seed=None)).run.seed for _ in range(4)}
    assert len(seeds) == 4


def test_what_is_said_of_a_run_holds_no_secret(anchor: Path) -> None:
    made = planned(anchor, secret="pass:hush-hush")
    assert "hush-hush" not in repr(made)
    assert dict(made.run.settings)["secret"] == "pass:***"
    assert "retries" not in dict(made.run.settings), "it was not set"


def test_each_server_s_weak_settings_are_noted_once(anchor: Path) -> None:
    note = "the TLS server's certificate is not checked (--insecure)"
    made = planned(anchor, server="https://127.0.0.1:8830/cmp", insecure=True)
    assert made.run.notes == (note,)
    assert planned(anchor).run.notes == ()


def test_what_was_set_otherwise_than_in_the_file_is_told_by_its_keys(anchor: Path) -> None:
    changed = replace(SCENARIO, changed=("count", "server.secret"))
    assert dict(planned(anchor, changed).run.settings)["set"] == "count, server.secret"
    assert "set" not in dict(planned(anchor).run.settings)


def test_keys_are_made_for_what_may_be_wanted(anchor: Path) -> None:
    # the longest lifecycle certifies two
    assert planned(anchor).keys.expected == (KeySpec.parse("ec:P-256"), 100)
    assert planned(anchor, replace(SCENARIO, count=None, duration=9.0)).keys.expected is None
    one = planned(anchor, replace(SCENARIO, keys=KeyMode.ONE))
    assert one.keys.expected is None
    assert "ONE KEY" in one.run.keys
    with pytest.raises(InputError, match="keys come from a file, but none is named"):
        planned(anchor, replace(SCENARIO, keys=KeyMode.FILE))


@pytest.mark.parametrize(
    "server", ["http://localhost:1/", "http://127.9.9.9/", "https://[::1]/", "http://LOCALHOST/"]
)
def test_this_machine_may_be_put_under_load(anchor: Path, server: str) -> None:
    planned(anchor, server=server)


@pytest.mark.parametrize("allowed", [[], ["ca2.example.com"]])
def test_another_one_only_if_it_is_named_twice(anchor: Path, allowed: list[str]) -> None:
    with pytest.raises(InputError, match="is another machine") as caught:
        planned(anchor, server="http://ca.example.com/cmp", yes_load=allowed)
    assert "--yes-load ca.example.com" in (caught.value.hint or "")
    planned(anchor, server="http://CA.example.com/cmp", yes_load=["ca.example.com"])


Servers: TypeAlias = dict[str, dict[str, Any]]

SERVERS: Servers = {"ra": {"path": "cmp/ra"}, "client": {"path": "cmp/client", "ref": "{id}"}}
TWO = replace(
    SCENARIO,
    lifecycles=(
        Lifecycle("a", 1.0, (Step(IR, server="ra"), Step(KUR, server="client"))),
        Lifecycle("b", 1.0, (Step(Operation.CR, server="client"),)),
    ),
    servers=SERVERS,
    thresholds=("p95(kur@client.response) < 1s",),
)
"""Two aliases of one host."""


def test_each_server_has_what_is_said_of_it(anchor: Path) -> None:
    made = planned(anchor, TWO, workers=2)
    for one in made.assignments:
        assert {name: setup.url for name, setup in one.setups.items()} == {
            "ra": "http://127.0.0.1:8829/cmp/ra",
            "client": "http://127.0.0.1:8829/cmp/client",
        }
        # any transaction may be at any of them
        assert {setup.limits.connections for setup in one.setups.values()} == {5}
    refs = {name: [row.ref for row in two(made.rows[name])] for name in SERVERS}
    assert refs == {"ra": ["ra1", "ra1"], "client": ["1", "2"]}
    assert made.run.server == (
        "ra http://127.0.0.1:8829/cmp/ra, client http://127.0.0.1:8829/cmp/client"
    )
    settings = dict(made.run.settings)
    assert settings["server"] == "http://127.0.0.1:8829/cmp"
    assert settings["servers.client.ref"] == "{id}"
    assert "servers.ra.ref" not in settings, "as of all"
    assert set(made.facts) == {"ra", "client"}


def two(rows: Iterable[EndEntity | BadRow]) -> list[EndEntity]:
    """The first two."""
    return [row for _, row in zip(range(2), rows, strict=False) if isinstance(row, EndEntity)]


def test_what_is_said_of_a_server_alone_goes_before_the_cells_of_rows(anchor: Path) -> None:
    columns = {"subject": "/CN=d{number}", "ref": "cell", "secret": "pass:cell's"}
    rows = GeneratedPopulation("s.toml", 7, columns)
    servers: Servers = {"ra": {"ref": "ra2", "secret": "env:S"}, "client": {}}
    made = planned(anchor, replace(TWO, servers=servers, population=rows))
    found = {name: two(made.rows[name])[0] for name in servers}
    assert {name: row.ref for name, row in found.items()} == {"ra": "ra2", "client": "cell"}
    assert found["ra"].secret == Secret(ENVIRON["S"].encode())
    assert found["client"].secret == Secret(b"cell's")


def test_a_server_signs_as_is_said_of_it(anchor: Path) -> None:
    # its own certificate would be of no use beside the secret of all
    hidden = {"cert": str(anchor), "key": "ra.key"}
    client = {"path": "cmp/client"}
    with pytest.raises(InputErrors) as caught:
        planned(anchor, replace(TWO, servers={"ra": hidden, "client": client}))
    (problem,) = caught.value.problems
    assert str(problem) == "servers.ra: cert: the secret that is said of all servers goes before it"
    assert problem.hint == "say servers.ra.sign_requests = true"
    for more in ({"sign_requests": True}, {"secret": "env:S"}):
        servers: Servers = {"ra": {**hidden, **more}, "client": client}
        common = Options.merge({"secret": "env:S"})
        assert set(server_options(replace(TWO, servers=servers), common)) == {"ra", "client"}


def test_where_certificates_are_only_updated_no_credential_is_wanted(anchor: Path) -> None:
    servers = {"ra": {"path": "cmp/ra", "secret": "env:S"}, "client": {"path": "cmp/client"}}
    scenario = replace(TWO, servers=servers, lifecycles=TWO.lifecycles[:1])
    made = planned(anchor, scenario, secret=None)
    assert [row.secret for row in two(made.rows["client"])] == [None, None]
    assert two(made.rows["ra"])[0].secret == Secret(ENVIRON["S"].encode())
    # but it is where somebody enrolls too, or brings a certificate to begin with
    for life in (TWO.lifecycles[1], Lifecycle("k", 1.0, (Step(KUR, server="client"),))):
        wrong = replace(scenario, lifecycles=(*scenario.lifecycles, life))
        with pytest.raises(InputErrors, match=r"servers\.client: no credential"):
            planned(anchor, wrong, secret=None)


def test_an_option_that_would_do_nothing_is_refused() -> None:
    given: dict[str, Any] = {
        "server": "http://h/x",
        "path": "y",
        "ref": "r",
        "secret": "env:S",
        "workers": 2,
    }
    servers = {
        "ra": {"server": "http://h/ra", "ref": "ra1"},
        "client": {"server": "http://h/client", "ref": "{id}", "secret": "env:C"},
    }
    with pytest.raises(InputErrors) as caught:
        server_options(replace(TWO, servers=servers), Options.read((), given))
    assert [str(one) for one in caught.value.problems] == [
        "--path: each of the servers has its own path",
        "--ref: each of the servers has its own ref",
        "--server: each of the servers has its own server",
    ]
    assert caught.value.problems[1].hint == (
        "leave it away, or say it of one: --set 'servers.NAME.ref=…'"
    )
    # what a file says may be of use elsewhere
    assert server_options(replace(TWO, servers=servers), Options.merge(given))["ra"].path is None


def test_a_secret_of_stdin_is_that_of_all(anchor: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"first\nsecond\n")))
    made = planned(anchor, TWO, secret="stdin")
    found = {name: two(rows)[0].secret for name, rows in made.rows.items()}
    assert found == dict.fromkeys(SERVERS, Secret(b"first"))
    # one of each server, which are not the same
    servers: Servers = {"ra": {"secret": "stdin"}, "client": {"tls_keypass": "stdin"}}
    with pytest.raises(InputError, match="--secret and --tls-keypass can't both read stdin"):
        planned(anchor, replace(TWO, servers=servers), secret="env:S")


def test_all_that_is_wrong_with_servers_is_told_and_of_which(anchor: Path) -> None:
    servers: Servers = {
        "ra": {"trusted": ("none.pem",)},
        "client": {"secret": "env:NOPE", "mac": "crc32"},
    }
    with pytest.raises(InputErrors) as caught:
        planned(anchor, replace(TWO, servers=servers))
    first, second = map(str, caught.value.problems)
    assert first.startswith("servers.ra: --trusted: none.pem: ")
    assert second.startswith("servers.client: --mac: 'crc32' is not known")


def test_a_row_is_wrong_for_a_server_that_its_lifecycle_comes_to(anchor: Path) -> None:
    for life in TWO.lifecycles:
        scenario = replace(TWO, lifecycles=(life, Lifecycle("c", 1.0, (Step(IR, server="ra"),))))
        wrong = replace(
            scenario, servers={**SERVERS, "client": {"sans": "DNS:{nope"}}, thresholds=()
        )
        with pytest.raises(InputErrors, match="sans"):
            planned(anchor, wrong)


def test_each_host_is_said_once_more(anchor: Path) -> None:
    hosts = {"ra": {"server": "http://a.example"}, "client": {"server": "http://b.example"}}
    scenario = replace(TWO, servers=hosts)
    with pytest.raises(InputError, match=r"a\.example and b\.example are other machines") as caught:
        planned(anchor, scenario)
    assert "--yes-load a.example --yes-load b.example" in (caught.value.hint or "")
    with pytest.raises(InputError, match=r"b\.example is another machine"):
        planned(anchor, scenario, yes_load=["a.example"])
    planned(anchor, scenario, yes_load=["a.example", "b.example"])


def test_a_threshold_names_a_server_that_there_is(anchor: Path) -> None:
    with pytest.raises(InputError, match="no lifecycle has ir@client"):
        planned(anchor, TWO, threshold="p95(ir@client.response) < 1s")
    planned(anchor, TWO, threshold="p95(ir@ra.response) < 1s")


def test_open_files_are_for_the_connections_to_all_servers(
    anchor: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "most_open_files", lambda: 100)
    planned(anchor, replace(SCENARIO, shape=Closed(60)), workers=1)
    with pytest.raises(InputError, match="120 connections"):
        planned(anchor, replace(TWO, shape=Closed(60)), workers=1)


def test_there_are_no_fewer_workers_than_none(anchor: Path) -> None:
    with pytest.raises(InputError, match="--workers is -3"):
        planned(anchor, workers=-3)


def test_a_server_without_a_host_is_refused(anchor: Path) -> None:
    with pytest.raises(InputError) as caught:
        planned(anchor, server="http:///cmp")
    assert "another machine" not in caught.value.what
    assert "name a host" in caught.value.what


def test_updates_go_alone(anchor: Path) -> None:
    with pytest.raises(InputError, match="but a has a kur, which is for one certificate"):
        planned(anchor, certs_per_message=3)
    fine = replace(SCENARIO, lifecycles=(life("a", IR, RR),))
    assert planned(anchor, fine, certs_per_message=3).keys.expected == (
        KeySpec.parse("ec:P-256"),
        150,
    )


def test_bad_rows_are_told_before(anchor: Path, tmp_path: Path) -> None:
    file = tmp_path / "devices.csv"
    file.write_text("id,subject\na,/CN=a\nb,nonsense\nc,/CN=c\nd,worse\n")
    with pytest.raises(InputErrors) as caught:
        planned(anchor, replace(SCENARIO, population=PopulationFile(str(file))))
    assert [problem.where and problem.where.row for problem in caught.value.problems] == [2, 4]


def test_a_threshold_on_what_will_not_happen_is_told_before(anchor: Path) -> None:
    with pytest.raises(InputError, match="no lifecycle has p10cr"):
        planned(anchor, replace(SCENARIO, thresholds=("p95(p10cr.response) < 1s",)))
    good = planned(anchor, replace(SCENARIO, thresholds=("p95(rr.response) < 1s",)))
    assert good.thresholds[0].limit == 1.0


@pytest.mark.parametrize(
    ("count", "size", "together", "lifecycles"),
    [(50, None, 1, 50), (None, 7, 1, 7), (5, 7, 1, 5), (50, 7, 3, 3), (None, None, 1, None)],
)
def test_the_plan_ends_with_the_count_or_the_rows(
    anchor: Path, tmp_path: Path, count: int | None, size: int | None, together: int,
    lifecycles: int | None,
) -> None:  # fmt: skip
    generated = GeneratedPopulation("s.toml", 7, {"subject": "/CN=dev{number}"}, size)
    meant = replace(SCENARIO, count=count, population=generated, lifecycles=(life("a", IR),))
    populations: list[GeneratedPopulation | PopulationFile] = [generated]
    if size is not None:
        file = tmp_path / "devices.csv"
        file.write_text("id,subject\n" + "".join(f"{n},/CN={n}\n" for n in range(size)))
        populations.append(PopulationFile(str(file)))
    for population in populations:
        made = planned(anchor, replace(meant, population=population), certs_per_message=together)
        assert made.count == lifecycles
        assert {one.count for one in made.assignments} == {lifecycles}


def test_a_trust_anchor_is_needed() -> None:
    with pytest.raises(InputError, match="not for load tests"):
        plan(SCENARIO, Options(server="http://127.0.0.1/", trust_first_ca_cert=True), ENVIRON)


def test_connections_are_files(anchor: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "most_open_files", lambda: 1056)
    planned(anchor, replace(SCENARIO, shape=Open((Ramp(9.0, 1.0, 1.0),), in_flight=4096)))
    with pytest.raises(InputError, match="1,025 connections, and 1,056 open files"):
        planned(anchor, replace(SCENARIO, shape=Open((Ramp(9.0, 1.0, 1.0),), in_flight=4097)))


@pytest.mark.parametrize(
    ("shape", "count", "duration", "text"),
    [
        (Closed(8), 20, None, "8 clients, each with one lifecycle after the other; until 20"
         " lifecycles"),
        (
            Open((Ramp(inf, 50.0, 50.0),), ArrivalProcess.POISSON),
            None,
            60.0,
            "Poisson arrivals at 50/s; beyond 1,000 transactions in flight they wait; until 60 s",
        ),
        (
            Open((Ramp(10.0, 0.0, 5.0), Ramp(20.0, 5.0, 5.0)), late=LatePolicy.DROP, in_flight=7),
            None,
            None,
            "arrivals at 0 to 5/s for 10 s, 5/s for 20 s; beyond 7 transactions in flight they are"
            " dropped",
        ),
    ],
)  # fmt: skip
def test_a_load_in_one_line(
    shape: Shape, count: int | None, duration: float | None, text: str
) -> None:
    assert describe(shape, count, duration) == text


SEARCHED = replace(
    SCENARIO,
    shape=Open((Ramp(inf, 3.0, 3.0),), in_flight=10),
    search=Search(start=2.0, window=20.0, settle=3.0),
)


def test_a_search_has_windows_in_the_place_of_an_end(anchor: Path) -> None:
    made = planned(anchor, SEARCHED, make=search_plan, threshold="p95(response) < 1s")
    assert made.count is None
    assert made.run.search == SEARCHED.search
    assert made.run.warm_up == 3.0
    assert made.run.shape == (
        "a search for the capacity: from 2/s, times 2, up to 10000/s, in windows of 20 s after 3 s,"
        " to 0.05; arrivals; beyond 10 transactions in flight they wait"
    )
    assert made.run.thresholds == ("share(failed) < 1%", "p95(response) < 1s")
    assert [one.text for one in made.thresholds] == list(made.run.thresholds)
    # another load test of the same scenario is none
    assert planned(anchor, SEARCHED).run.search is None


@pytest.mark.parametrize(
    ("changes", "what", "hint"),
    [
        ({"shape": Closed(10)}, "it is a closed one", "give [open] in the place of [closed]"),
        (
            {"thresholds": ("rate(ir.ok) >= 200",)},
            "rate(ir.ok) >= 200 may not hold at low rates",
            "--set 'thresholds=[…]'",
        ),
        ({"thresholds": ("count(ok) > 9",)}, "count(ok) > 9 may not hold at low rates", ""),
        (
            {"search": Search(start=0.02, window=40.0)},
            "at 0.02/s, less than one lifecycle begins in 40 s",
            "give a longer window",
        ),
    ],
)
def test_a_search_needs_what_a_capacity_is(
    anchor: Path, changes: dict[str, Any], what: str, hint: str
) -> None:
    with pytest.raises(InputError) as caught:
        planned(
            anchor, replace(SEARCHED, **changes), make=search_plan, threshold="share(failed) < 1%"
        )
    assert what in caught.value.what
    assert hint in (caught.value.hint or "")


def test_a_search_needs_thresholds(anchor: Path) -> None:
    options = Options.merge({"trusted": (str(anchor),)}, {})
    with pytest.raises(InputError, match="and there are none") as caught:
        search_plan(replace(SEARCHED, thresholds=()), options, ENVIRON)
    assert "--threshold 'p95(response) < 500ms'" in (caught.value.hint or "")
