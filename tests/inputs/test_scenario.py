import sys
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bulkcmp.engine.options import Options
from bulkcmp.errors import EXIT_BAD_INPUT, InputError, InputErrors
from bulkcmp.inputs.layout import ScenarioTable
from bulkcmp.inputs.profile import shipped_profiles
from bulkcmp.inputs.scenario import (
    find_scenario,
    read_scenario,
    scenario_schema,
    shipped_scenarios,
)
from bulkcmp.inputs.settings import Kind
from bulkcmp.inputs.toml import KeyPath, TomlFile
from bulkcmp.inputs.violation import problems_of
from bulkcmp.load.arrivals import Ramp
from bulkcmp.load.capacity import Search
from bulkcmp.load.scenario import (
    ArrivalProcess,
    Closed,
    Constant,
    Exponential,
    GeneratedPopulation,
    KeyMode,
    LatePolicy,
    Lifecycle,
    Open,
    PopulationFile,
    Scenario,
    Step,
    Uniform,
)
from bulkcmp.model import Operation, ReportFormat, RevocationReason

KNOWN = {
    "server": Kind.TEXT,
    "ref": Kind.TEXT,
    "secret": Kind.SOURCE,
    "trusted": Kind.PATHS,
    "implicit_confirm": Kind.FLAG,
    "certs_per_message": Kind.WHOLE,
    "newkey": Kind.NEWKEY,
    "keys": Kind.PATH,
    "keys_pass": Kind.SOURCE,
    "rate": Kind.NUMBER,
    "cmd": Kind.TEXT,
}

GOOD = """
name = "device life"
count = 100

[population]
columns = { id = "dev-{number:06}", subject = "/CN={id}/C=NO" }

[[lifecycles]]
name = "life"
steps = [{ cmd = "ir" }, { cmd = "kur", think = { constant = 2 } }]

[closed]
clients = 5
"""


def _write(folder: Path, text: str, name: str = "scenario.toml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def _read(folder: Path, text: str) -> Scenario:
    return read_scenario(_write(folder, text), KNOWN)


def _problems(folder: Path, text: str) -> list["Problem"]:
    with pytest.raises(InputErrors) as caught:
        _read(folder, text)
    assert caught.value.exit_code == EXIT_BAD_INPUT
    problems: list[Problem] = []
    for one in caught.value.problems:
        assert one.where is not None
        assert one.where.file == str(folder / "scenario.toml")
        problems.append((one.where.line, one.where.key, one.what, one.hint or ""))
    return problems


def test_the_least_that_a_scenario_has(tmp_path: Path) -> None:
    assert _read(tmp_path, GOOD) == Scenario(
        name="device life",
        settings={},
        population=GeneratedPopulation(
            str(tmp_path / "scenario.toml"),
            6,
            {"id": "dev-{number:06}", "subject": "/CN={id}/C=NO"},
        ),
        lifecycles=(
            Lifecycle("life", 1.0, (Step(Operation.IR), Step(Operation.KUR, Constant(2.0)))),
        ),
        shape=Closed(5),
        count=100,
    )


ALL = """
description = "All that there is."
seed = 7
revoke_after = true
duration = 3600
warm_up = 30.5
drain = 10
thresholds = ["p95(cr.response) < 500ms", "abort after 30s share(failed) < 50%"]

[server]
server = "ca.example"
secret = "file:secret.txt"
trusted = ["ca.pem"]
implicit_confirm = true

[population]
file = "devices.csv"

[keys]
mode = "file"
newkey = "rsa:2048"
file = "keys.db"
pass = "env:KEYS"

[[lifecycles]]
name = "a"
weight = 3
steps = [
    { cmd = "cr" },
    { cmd = "kur", think = { uniform = [1, 3.5] }, times = 2 },
    { cmd = "rr", think = { exponential = 60 }, revreason = "superseded" },
    { cmd = "cr" },
]

[[lifecycles]]
name = "b"
weight = 0.5
steps = [{ cmd = "p10cr" }, { cmd = "rr" }]

[open]
stages = [{ duration = 60, rate = 0, to = 50 }, { duration = 600, rate = 50 }]
arrivals = "poisson"
late = "drop"
in_flight = 200
"""


def test_all_that_a_scenario_may_have(tmp_path: Path) -> None:
    update = Step(Operation.KUR, Uniform(1.0, 3.5))
    revoke = Step(Operation.RR, Exponential(60.0), RevocationReason.SUPERSEDED)
    assert _read(tmp_path, ALL) == Scenario(
        name="scenario",
        description="All that there is.",
        settings={
            "server": "ca.example",
            "secret": f"file:{tmp_path}/secret.txt",
            "trusted": [f"{tmp_path}/ca.pem"],
            "implicit_confirm": True,
            "newkey": "rsa:2048",
            "keys": f"{tmp_path}/keys.db",
            "keys_pass": "env:KEYS",
        },
        population=PopulationFile(f"{tmp_path}/devices.csv"),
        lifecycles=(
            Lifecycle("a", 3.0, (Step(Operation.CR), update, update, revoke, Step(Operation.CR))),
            Lifecycle("b", 0.5, (Step(Operation.P10CR), Step(Operation.RR))),
        ),
        shape=Open(
            (Ramp(60.0, 0.0, 50.0), Ramp(600.0, 50.0, 50.0)),
            ArrivalProcess.POISSON,
            LatePolicy.DROP,
            200,
        ),
        keys=KeyMode.FILE,
        duration=3600.0,
        warm_up=30.5,
        drain=10.0,
        thresholds=("p95(cr.response) < 500ms", "abort after 30s share(failed) < 50%"),
        seed=7,
        revoke_after=True,
    )


SERVERS = """
count = 100
revoke_after = true
revoke_at = "ra"
thresholds = ["p95(kur@client.response) < 1s", "p95(ir.response) < 1s"]

[server]
server = "ca.example"
trusted = ["ca.pem"]

[servers.ra]
config = "ra.toml"
ref = "ra1"

[servers.client-1]
secret = "file:client.txt"

[servers.client]

[population]
columns = { id = "dev-{number:06}", subject = "/CN={id}/C=NO" }

[[lifecycles]]
name = "life"
server = "ra"
steps = [{ cmd = "ir" }, { cmd = "kur", server = "client" }, { cmd = "rr" }]

[[lifecycles]]
name = "other"
steps = [{ cmd = "cr", server = "client-1" }]

[closed]
clients = 5
"""


def test_there_may_be_several_servers(tmp_path: Path) -> None:
    _write(tmp_path, 'trusted = ["ra-ca.pem"]\nref = "ra0"\nnewkey = "rsa:2048"\n', "ra.toml")
    found = _read(tmp_path, SERVERS)
    assert found.settings == {"server": "ca.example", "trusted": [f"{tmp_path}/ca.pem"]}
    assert found.servers == {
        "ra": {"trusted": [f"{tmp_path}/ra-ca.pem"], "ref": "ra1"},
        "client-1": {"secret": f"file:{tmp_path}/client.txt"},
        "client": {},
    }
    assert found.revoke_at == "ra"
    assert [[step.server for step in life.steps] for life in found.lifecycles] == [
        ["ra", "client", "ra"],
        ["client-1"],
    ]
    assert found.works == {
        (Operation.IR, "ra"),
        (Operation.KUR, "client"),
        (Operation.RR, "ra"),
        (Operation.CR, "client-1"),
    }
    assert "client.txt" not in repr(found)
    changed = read_scenario(
        tmp_path / "scenario.toml", KNOWN, ['servers.client.ref="dev"', 'servers.ra.ref="ra2"']
    )
    assert (changed.servers["client"], changed.servers["ra"]["ref"]) == ({"ref": "dev"}, "ra2")


def test_values_may_be_given_otherwise_than_in_the_file(tmp_path: Path) -> None:
    path = _write(tmp_path, GOOD)
    changes = ("count=3", "closed.clients=2", 'server.ref="ra2"', 'name="again"')
    scenario = read_scenario(path, KNOWN, changes)
    assert (scenario.name, scenario.count, scenario.shape) == ("again", 3, Closed(2))
    assert scenario.settings["ref"] == "ra2"
    assert scenario.changed == ("closed.clients", "count", "name", "server.ref")
    assert read_scenario(path, KNOWN).changed == ()


def test_what_is_wrong_with_a_value_given_otherwise_is_told_with_the_rest(tmp_path: Path) -> None:
    path = _write(tmp_path, GOOD.replace("count = 100", "count = 0"))
    with pytest.raises(InputErrors) as caught:
        read_scenario(path, KNOWN, ["closed.client=2", "drain=-1"])
    assert {(str(one.where), one.what) for one in caught.value.problems} == {
        (f"{path}:3, key count", "it must be 1 or more"),
        ("--set, key closed.client", "unknown key 'client'"),
        ("--set, key drain", "it must be 0 or more"),
    }


def test_a_rate_has_no_end(tmp_path: Path) -> None:
    text = GOOD.replace("[closed]\nclients = 5", "[open]\nrate = 12.5")
    assert _read(tmp_path, text).shape == Open((Ramp(inf, 12.5, 12.5),))


def test_a_settings_file_stands_behind_the_settings_of_the_scenario(tmp_path: Path) -> None:
    (tmp_path / "profiles").mkdir()
    _write(
        tmp_path / "profiles",
        'server = "x"\nref = "theirs"\ntrusted = ["ca.pem"]\nnewkey = "ec:P-384"\nrate = 5\n'
        'cmd = "cr"\n',
        "ca.toml",
    )
    text = GOOD + '[server]\nconfig = "profiles/ca.toml"\nref = "ours"\n'
    # what only an enrollment has counts for nothing here
    settings = {
        "server": "x",
        "ref": "ours",
        "trusted": [f"{tmp_path}/profiles/ca.pem"],
        "newkey": "ec:P-384",
    }
    scenario = _read(tmp_path, text)
    assert scenario.settings == settings
    spec = _read(tmp_path, text + '[keys]\nnewkey = "ed25519"\n')
    assert spec == replace(scenario, settings={**settings, "newkey": "ed25519"})


def test_a_shipped_profile_stands_behind_the_settings_by_its_name(tmp_path: Path) -> None:
    path = _write(tmp_path, GOOD + '[server]\nconfig = "openssl-mock"\n')
    own = tomllib.loads(shipped_profiles()["openssl-mock"].read_text())
    # which the table closed says
    own.pop("concurrency")
    assert read_scenario(path, Options.known()).settings == own
    # a slip is told at the scenario's line, and the nearest name with it
    path = _write(tmp_path, GOOD + '[server]\nconfig = "openssl-mok"\n')
    with pytest.raises(InputErrors) as caught:
        read_scenario(path, KNOWN)
    (problem,) = caught.value.problems
    assert str(problem.where) == f"{path}:15, key server.config"
    assert "openssl-mock" in (problem.hint or "")


def test_what_is_wrong_with_a_settings_file_is_told_with_the_rest(tmp_path: Path) -> None:
    _write(tmp_path, 'sever = "x"\nref = 1\n', "ca.toml")
    path = _write(tmp_path, GOOD + '[server]\nconfig = "ca.toml"\nrfe = "x"\n')
    with pytest.raises(InputErrors) as caught:
        read_scenario(path, KNOWN)
    assert [str(one.where) for one in caught.value.problems] == [
        f"{tmp_path}/ca.toml:1, key sever",
        f"{tmp_path}/ca.toml:2, key ref",
        f"{path}:16, key server.rfe",
    ]


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    scenario = _read(tmp_path, GOOD + '[server]\nsecret = "pass:hunter2"\n')
    assert "hunter2" not in repr(scenario)
    with pytest.raises(InputErrors) as caught:
        _read(tmp_path, GOOD + '[server]\nsecrt = "pass:hunter2"\nsecret = ["pass:hunter2"]\n')
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(caught.value.__cause__)


def test_a_file_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_scenario(tmp_path / "nope.toml", KNOWN)
    with pytest.raises(InputError, match="not TOML"):
        _read(tmp_path, "[server")


# --- whatever a file holds ------------------------------------------------------------------------

values = st.recursive(
    st.one_of(
        st.booleans(),
        st.integers(),
        st.just(10**400),
        st.floats(),
        st.text(max_size=5),
        st.datetimes(),
        st.dates(),
        st.times(),
        st.sampled_from(["ir", "kur", "rr", "unique", "file", "queue", "{number}", "{hex:9}"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


def _places(value: Any, key: KeyPath = ()) -> Iterator[KeyPath]:
    """Where something stands in a table, and where nothing does yet."""
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for name, inner in items:
            yield (*key, name)
            yield from _places(inner, (*key, name))


GOOD_PLACES = [*_places(tomllib.loads(ALL)), ("open", "rate"), ("closed",), ("closed", "clients")]


@given(st.lists(st.tuples(st.sampled_from(GOOD_PLACES), values), min_size=1, max_size=4))
def test_any_value_anywhere_is_right_or_told_in_plain_words(
    changes: list[tuple[KeyPath, Any]],
) -> None:
    table = tomllib.loads(ALL)
    for key, value in changes:
        holder: Any = table
        try:
            for part in key[:-1]:
                holder = holder[part]
            holder[key[-1]] = value
        except (KeyError, IndexError, TypeError):
            # an earlier change took its place away
            continue
    file = TomlFile(Path("s.toml"), table, {})
    try:
        ScenarioTable.model_validate(table)
    except ValidationError as error:
        problems = list(problems_of(error, file, ScenarioTable))
        assert problems
        assert not any("Input should" in str(one) or "{" in one.what[:1] for one in problems)


# --- shipped ones, and the schema -----------------------------------------------------------------


@pytest.mark.parametrize("path", shipped_scenarios().values(), ids=shipped_scenarios())
def test_shipped_scenarios_are_good_and_say_what_they_are_for(path: Path) -> None:
    scenario = read_scenario(path, Options.known())
    assert scenario.name == path.stem
    assert scenario.description
    assert not scenario.description.endswith(".")


def test_outputs_are_files_in_the_run_folder(tmp_path: Path) -> None:
    scenario = _read(tmp_path, f'{GOOD}\n[outputs]\njunit = "ci/junit.xml"\njson = "all.json"\n')
    assert scenario.outputs == {ReportFormat.JUNIT: "ci/junit.xml", ReportFormat.JSON: "all.json"}
    assert _read(tmp_path, GOOD).outputs == {}


def test_outputs_have_the_formats_that_a_report_has() -> None:
    names = scenario_schema(KNOWN)["$defs"]["OutputsTable"]["properties"]
    assert set(names) == set(ReportFormat)


@pytest.mark.parametrize(("name", "package"), [("html", "plotly"), ("parquet", "pyarrow")])
def test_an_output_whose_extra_is_missing_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    (problem,) = _problems(tmp_path, f'{GOOD}\n[outputs]\ncsv = "a.csv"\n{name} = "report"\n')
    assert problem[1] == f"outputs.{name}"
    assert package in problem[2]
    assert f"bulkcmp[{name}]" in problem[3]


def test_a_scenario_is_found_by_its_path_or_as_a_shipped_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_scenario("mine.toml") == Path("mine.toml")
    assert find_scenario("smoke") == shipped_scenarios()["smoke"]
    assert find_scenario("nope") is None
    # a population may have any name
    Path("smoke").touch()
    assert find_scenario("smoke") is None


def test_the_schema_takes_what_is_good() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = scenario_schema(Options.known())
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    texts = [path.read_text() for path in shipped_scenarios().values()]
    for text in (*texts, GOOD, ALL, SERVERS):
        validator.validate(tomllib.loads(text))


def test_the_schema_says_of_every_key_what_it_is() -> None:
    schema = scenario_schema(Options.known())
    for table in (schema, *schema["$defs"].values()):
        for name, key in table["properties"].items():
            meaning = (
                key.get("description") or schema["$defs"][Path(key["$ref"]).name]["description"]
            )
            assert meaning.endswith("."), name
    # settings are the options', but those which the scenario says elsewhere
    settings = schema["properties"]["server"]["properties"]
    assert settings["trusted"] == {"type": "array", "items": {"type": "string"}}
    assert settings["implicit_confirm"] == {"type": "boolean"}
    assert settings["msg_timeout"] == {"type": "number"}
    assert settings["retries"] == {"type": "integer"}
    assert settings["server"] == {"type": "string"}
    assert {"rate", "newkey", "cmd", "lint"}.isdisjoint(settings)
    # what is the same for all servers is no setting of one
    one = schema["properties"]["servers"]["additionalProperties"]["properties"]
    assert settings.keys() - one.keys() == {"certs_per_message", "workers"}
    assert one.items() <= settings.items()


BEYOND_THE_SCHEMA = {
    # what only the program knows: how two keys go together, and texts with a grammar of their own
    "no end",
    "outputs onto the files of others",
    "thresholds that nothing could be judged by",
    "a warm-up as long as all of it",
    "stages in which nothing begins",
    "lifecycles of one name",
    "a pause before everything",
    "an update of what is revoked",
    "an update of what somebody else has the key of",
    "a certificate that is revoked twice",
    "keys of a file that is not there",
    "a key file that is not named",
    "a key file for nothing",
    "a share of a file",
    "thresholds that are none",
    "servers that nobody asks, and others that there are not",
    "servers, and none that is asked",
    "a server where there is none",
    "a threshold of a server that is asked for something else",
}


def test_the_schema_refuses_what_is_malformed() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(scenario_schema(KNOWN))
    taken = set()
    for name, (changes, _) in MALFORMED.items():
        table = tomllib.loads(_changed(changes))
        if validator.is_valid(table):
            taken.add(name)
    assert taken == BEYOND_THE_SCHEMA


# --- those that are malformed: what is replaced in GOOD, and all that is said of it ---------------

Change = tuple[str, str]
Problem = tuple[int | None, str | None, str, str]
"""Line, key, and what stands in the text and in the hint."""

MALFORMED: dict[str, tuple[list[Change], list[Problem]]] = {
    "thresholds that nothing could be judged by": (
        [
            (
                "count = 100",
                'count = 100\nthresholds = ["share(rr.failed) < 1%", "rate(ok) > 1", '
                '"p95(cr/cp.total) < 1s", "p95(certconf/pkiconf.total) < 1s"]',
            )
        ],
        [
            (4, "thresholds[4]", "p has no 'certconf/pkiconf.total'", "certConf/pkiconf"),
            (4, "thresholds[1]", "no lifecycle has rr", "they have ir, kur"),
            (4, "thresholds[3]", "no lifecycle has cr", "they have ir, kur"),
        ],
    ),
    "outputs that can't be written": (
        [
            (
                "[closed]",
                '[outputs]\nhtm = "a"\nmd = "/etc/a"\ncsv = "x/../../a"\ntext = ""\njson = 1\n'
                "[closed]",
            )
        ],
        [
            (13, "outputs.htm", "unknown key 'htm'", "did you mean 'html'?"),
            (14, "outputs.md", "leaves the run folder", "report.html"),
            (15, "outputs.csv", "leaves the run folder", "report.html"),
            (16, "outputs.text", "no file name", "report.html"),
            (17, "outputs.json", "a text in quotes", ""),
        ],
    ),
    "outputs onto the files of others": (
        [
            (
                "[closed]",
                '[outputs]\ntext = "a"\nmd = "./a"\njunit = "a/b"\ncsv = "summary.json"\n'
                'jsonl = "records.jsonl.gz/x"\n[closed]',
            )
        ],
        [
            (14, "outputs.md", "a is written by text", "a file of its own"),
            (15, "outputs.junit", "a is written by text", "a file of its own"),
            (16, "outputs.csv", "summary.json is written by bulkcmp itself", "of its own"),
            (17, "outputs.jsonl", "records.jsonl.gz is written by bulkcmp itself", "of its own"),
        ],
    ),
    "an unknown key": (
        [("count = 100", "cuont = 100\ncount = 100")],
        [(3, "cuont", "unknown key 'cuont'", "did you mean 'count'? known are name, ")],
    ),
    "an unknown table": (
        [("[closed]", "[clsoed]\nclients = 1\n[closed]")],
        [(12, "clsoed", "unknown key 'clsoed'", "did you mean 'closed'?")],
    ),
    "an unknown key of a table": (
        [("clients = 5", "clients = 5\nrate = 5")],
        [(14, "closed.rate", "unknown key 'rate'", "known are clients, think")],
    ),
    "an unknown key in a list": (
        [("{ constant = 2 }", "{ constnat = 2 }")],
        [
            (10, "lifecycles[1].steps[2].think.constnat", "unknown key 'constnat'",
             "did you mean 'constant'? known are constant, uniform, exponential"),
        ],
    ),
    "nothing at all": (
        [(GOOD, "")],
        [
            (None, "population", "population is missing", "The end entities."),
            (None, "lifecycles", "lifecycles is missing", "What end entities go through."),
            (None, None, "one of these tables is missing", "write [open] with a rate"),
        ],
    ),
    "values of wrong types": (
        [
            ('"device life"', "1"), ("count = 100", "count = 10.5"),
            ("clients = 5", 'clients = "5"'), ("{ constant = 2 }", "2"),
            ('"/CN={id}/C=NO"', "false"),
        ],
        [
            (2, "name", "it must be a text in quotes", ""),
            (3, "count", "it must be a whole number", ""),
            (6, "population.columns.subject", "it must be a text in quotes", ""),
            (10, "lifecycles[1].steps[2].think", "it must be a table", ""),
            (13, "closed.clients", "it must be a whole number", ""),
        ],
    ),
    "tables of wrong types": (
        [("[closed]\nclients = 5", "[[closed]]\nclients = 5\n[server.ref]\n[thresholds]")],
        [
            (12, "closed", "it must be a table", ""),
            (14, "server.ref", "it must be a text in quotes, as in ref = ", ""),
            (15, "thresholds", "it must be a list", ""),
        ],
    ),
    "numbers out of range": (
        [
            ("count = 100", "count = 0\nseed = -1\nwarm_up = -1\ndrain = inf"),
            ("clients = 5", "clients = 100001"),
        ],
        [
            (3, "count", "it must be 1 or more", ""),
            (4, "seed", "it must be 0 or more", ""),
            (5, "warm_up", "it must be 0 or more", ""),
            (6, "drain", "it must be a finite number", ""),
            (16, "closed.clients", "it must be 100,000 or less", ""),
        ],
    ),
    "a load that is open and closed": (
        [("clients = 5", "clients = 5\n[open]\nrate = 5")],
        [(12, "closed", "open or closed, not both", "leave one")],
    ),
    "a load that is neither": (
        [("[closed]\nclients = 5", "")],
        [(None, None, "one of these tables is missing", "[open]")],
    ),
    "no end": (
        [("count = 100", "")],
        [(None, None, "it would never end", "give a count, a duration, stages, or a population")],
    ),
    "a warm-up as long as all of it": (
        [("count = 100", "duration = 60\nwarm_up = 60.0")],
        [(4, "warm_up", "nothing is left to measure", "less than the duration, 60 seconds")],
    ),
    "a rate and stages": (
        [("[closed]\nclients = 5", "[open]\nrate = 5\nstages = [{ duration = 1, rate = 1 }]")],
        [(12, "open", "either a rate or stages", "stages = [{ duration = 60, rate = 0")],
    ),
    "an open load without a rate": (
        [("[closed]\nclients = 5", "[open]")],
        [(12, "open", "either a rate or stages", "write rate = 50")],
    ),
    "a rate of nothing": (
        [("[closed]\nclients = 5", "[open]\nrate = 0")],
        [(13, "open.rate", "it must be above 0", "")],
    ),
    "stages in which nothing begins": (
        [("[closed]\nclients = 5", "[open]\nstages = [{ duration = 60, rate = 0 }]")],
        [(13, "open.stages", "the rate is 0 in all stages", "nothing would ever begin")],
    ),
    "stages that are none": (
        [
            (
                "[closed]\nclients = 5",
                "[open]\nlate = \"wait\"\narrivals = \"random\"\nin_flight = 0\nstages = [\n"
                "{ rate = 1 },\n{ duration = 0, rate = 1 },\n{ duration = 1, rate = 1, from = 2 }]",
            )
        ],
        [
            (13, "open.late", "it must be 'queue' or 'drop'", ""),
            (14, "open.arrivals", "it must be 'even' or 'poisson'", ""),
            (15, "open.in_flight", "it must be 1 or more", ""),
            (16, "open.stages[1].duration", "duration is missing", "Seconds."),
            (16, "open.stages[2].duration", "it must be above 0", ""),
            (16, "open.stages[3].from", "unknown key 'from'", "known are duration, rate, to"),
        ],
    ),
    "no lifecycles": (
        [("[[lifecycles]]", "[[lifecyles]]")],
        [
            (None, "lifecycles", "lifecycles is missing", "What end entities go through."),
            (8, "lifecyles", "unknown key 'lifecyles'", "did you mean 'lifecycles'?"),
        ],
    ),
    "a lifecycle of nothing": (
        [('{ cmd = "ir" }, { cmd = "kur", think = { constant = 2 } }', "")],
        [(10, "lifecycles[1].steps", "it must have 1 or more items, and has 0", "")],
    ),
    "lifecycles of one name": (
        [("[closed]", '[[lifecycles]]\nname = "life"\nsteps = [{ cmd = "cr" }]\n[closed]')],
        [(13, "lifecycles[2].name", "another lifecycle has the name 'life'", "tell them apart")],
    ),
    "no weight": (
        [('name = "life"', 'name = ""\nweight = 0')],
        [
            (9, "lifecycles[1].name", "it is empty", ""),
            (10, "lifecycles[1].weight", "it must be above 0", ""),
        ],
    ),
    "an operation that is none": (
        [('cmd = "kur"', 'cmd = "renew"')],
        [(10, "lifecycles[1].steps[2].cmd", "it must be 'ir', 'cr', 'p10cr', 'kur' or 'rr'", "")],
    ),
    "a pause before everything": (
        [('{ cmd = "ir" }', '{ cmd = "ir", think = { constant = 1 } }')],
        [(10, "lifecycles[1].steps[1].think", "the first step has a pause", "those of [closed]")],
    ),
    "an update of what is revoked": (
        [('{ cmd = "ir" }', '{ cmd = "ir" }, { cmd = "rr" }')],
        [(10, "lifecycles[1].steps[3]", "kur after rr: the certificate is revoked", "ir or cr")],
    ),
    "an update of what somebody else has the key of": (
        [('{ cmd = "ir" }', '{ cmd = "p10cr" }')],
        [(10, "lifecycles[1].steps[2]", "kur after p10cr: nobody", "enroll by ir or cr")],
    ),
    "reasons and repetitions that mean nothing": (
        [
            ('{ cmd = "ir" }', '{ cmd = "ir", revreason = "superseded" }'),
            ('{ cmd = "kur", ', '{ cmd = "rr", revreason = "stolen", times = 0, '),
        ],
        [
            (10, "lifecycles[1].steps[1].revreason", "it is for rr, and cmd is ir", "leave"),
            (10, "lifecycles[1].steps[2].times", "it must be 1 or more", ""),
            (10, "lifecycles[1].steps[2].revreason", "'stolen' is not a revocation", "names"),
        ],
    ),
    "a certificate that is revoked twice": (
        [('{ cmd = "kur", ', '{ cmd = "rr", times = 2, ')],
        [(10, "lifecycles[1].steps[2].times", "a certificate is revoked once", "leave times away")],
    ),
    "pauses that are none": (
        [
            ("{ constant = 2 } }", "{ constant = 2, exponential = 2 } },\n"
             '{ cmd = "kur", think = { uniform = [3, 1] } },\n'
             '{ cmd = "kur", think = { uniform = [3, 1, 2] } },\n'
             '{ cmd = "kur", think = { } }'),
            ("clients = 5", "clients = 5\nthink = { exponential = 0 }"),
        ],
        [
            (10, "lifecycles[1].steps[2].think", "a pause is constant, uniform or exp", "write"),
            (10, "lifecycles[1].steps[3].think.uniform", "the least pause is longer", ""),
            (10, "lifecycles[1].steps[4].think.uniform", "it must have 2 items, and has 3", ""),
            (10, "lifecycles[1].steps[5].think", "a pause is constant, uniform or exp", "write"),
            (17, "closed.think.exponential", "it must be above 0", ""),
        ],
    ),
    "a population of two sources": (
        [("columns =", 'file = "devices.csv"\ncolumns =')],
        [(5, "population", "either a file or columns", 'write file = "devices.csv"')],
    ),
    "a population of none": (
        [('columns = { id = "dev-{number:06}", subject = "/CN={id}/C=NO" }', "size = 5")],
        [(5, "population", "either a file or columns", "columns = {")],
    ),
    "a size of a file": (
        [
            (
                'columns = { id = "dev-{number:06}", subject = "/CN={id}/C=NO" }',
                'file = "devices.csv"\nsize = 10\nrepeated = 1.5',
            )
        ],
        [
            (7, "population.size", "it is for generated populations", "leave size away"),
            (8, "population.repeated", "it must be 1 or less", ""),
            (8, "population.repeated", "it is for generated populations", "leave repeated away"),
        ],
    ),
    "a share of a file": (
        [
            (
                'columns = { id = "dev-{number:06}", subject = "/CN={id}/C=NO" }',
                'file = "devices.csv"\nrepeated = 0.5',
            )
        ],
        [(7, "population.repeated", "it is for generated populations", "leave repeated away")],
    ),
    "columns that are none": (
        [
            (
                'columns = { id = "dev-{number:06}", subject = "/CN={id}/C=NO" }',
                '[population.columns]\nid = "{nmuber}"\nsubjct = "/CN={id}"\ncmd = "ir"\n'
                'sans = "{id"\nsubject = 1',
            )
        ],
        [
            (7, "population.columns.id", "unknown placeholder {nmuber}", "{number}, {number:06}"),
            (8, "population.columns.subjct", "unknown column 'subjct'", "did you mean 'subject'?"),
            (9, "population.columns.cmd", "cmd is no column here", "the steps of the lifecycles"),
            (10, "population.columns.sans", "'{id' is not a template", "{{ and }}"),
            (11, "population.columns.subject", "it must be a text in quotes", ""),
        ],
    ),
    "keys of a file that is not there": (
        [("[closed]", '[keys]\nmode = "file"\nnewkey = "ec:P-999"\n[closed]')],
        [
            (12, "keys", 'mode = "file" needs file', "name the key file"),
            (14, "keys.newkey", "'ec:P-999' is not a key spec", "key specs are rsa:2048"),
        ],
    ),
    "a key file that is not named": (
        [("[closed]", '[keys]\nmode = "file"\n[closed]')],
        [(12, "keys", 'mode = "file" needs file', "name the key file")],
    ),
    "a key file for nothing": (
        [("[closed]", '[keys]\nmode = "one"\npass = "env:KEYS"\n[closed]')],
        [(14, "keys.pass", 'it is for mode = "file", and mode is "one"', "")],
    ),
    "settings that stand elsewhere": (
        [("[closed]", '[server]\nrate = 5\nnewkey = "ec:P-256"\ncmd = "ir"\n[closed]')],
        [
            (13, "server.rate", "rate is no setting here", "the table open or closed says it"),
            (14, "server.newkey", "newkey is no setting here", "the table keys says it"),
            (15, "server.cmd", "cmd is no setting here", "the steps of the lifecycles say it"),
        ],
    ),
    "settings of servers that are none": (
        [
            (
                "[closed]",
                '[servers.ra]\nsever = "x"\ncerts_per_message = 2\ncmd = "ir"\n'
                'config = "nope.toml"\n[servers."a b"]\nref = 1\n[closed]',
            ),
            ('name = "life"', 'name = "life"\nserver = "ra"'),
            ('{ cmd = "kur"', '{ server = "a b", cmd = "kur"'),
        ],
        [
            (14, "servers.ra.sever", "unknown setting 'sever'", "did you mean 'server'?"),
            (
                15,
                "servers.ra.certs_per_message",
                "certs_per_message is no setting here",
                "it is the same for all servers: write it in [server]",
            ),
            (16, "servers.ra.cmd", "cmd is no setting here", "the steps of the lifecycles say it"),
            (17, "servers.ra.config", "no such file", ""),
            (18, 'servers."a b"', "it can't be the name of a server", "letters, digits, - and _"),
            (19, 'servers."a b".ref', "it must be a text in quotes", ""),
        ],
    ),
    "servers that are no tables": (
        [("[closed]", '[servers]\nra = "http://ca.example"\n[closed]')],
        [
            (8, "lifecycles[1]", "which of the servers is asked?", "one of ra"),
            (13, "servers.ra", "it must be a table", ""),
            (13, "servers.ra", "nobody asks this server", 'server = "ra"'),
        ],
    ),
    "servers that nobody asks, and others that there are not": (
        [
            ("[closed]", '[servers.ra]\n[servers.client]\n[closed]'),
            ('name = "life"', 'name = "life"\nserver = "raa"'),
            ("count = 100", 'count = 100\nrevoke_at = "rb"'),
            ('{ cmd = "kur"', '{ server = "client", cmd = "kur"'),
        ],
        [
            (4, "revoke_at", "there is no [servers.rb]", "there are ra, client"),
            (11, "lifecycles[1].server", "there is no [servers.raa]", "there are ra, client"),
            (14, "servers.ra", "nobody asks this server for anything", 'server = "ra"'),
        ],
    ),
    "servers, and none that is asked": (
        [
            ("[closed]", "[servers.ra]\n[closed]"),
            ('{ cmd = "kur"', '{ server = "ra", cmd = "kur"'),
        ],
        [(8, "lifecycles[1]", "which of the servers is asked?", "one of ra; or to each step")],
    ),
    "a server where there is none": (
        [
            ('name = "life"', 'name = "life"\nserver = "ra"'),
            ("count = 100", 'count = 100\nrevoke_at = "ra"'),
        ],
        [
            (4, "revoke_at", "there is no [servers.ra]", "leave revoke_at away, or write"),
            (11, "lifecycles[1].server", "there is no [servers.ra]", "leave server away, or"),
        ],
    ),
    "a threshold of a server that is asked for something else": (
        [
            ("[closed]", "[servers.ra]\n[servers.client]\n[closed]"),
            ('name = "life"', 'name = "life"\nserver = "ra"'),
            ('{ cmd = "kur"', '{ server = "client", cmd = "kur"'),
            (
                "count = 100",
                'count = 100\nthresholds = ["p95(kur@ra.response) < 1s", "rate(ir@x.ok) > 1"]',
            ),
        ],
        [
            (4, "thresholds[1]", "no lifecycle has kur@ra", "they have ir@ra, kur@client"),
            (4, "thresholds[2]", "asked of a server x", "servers are client, ra"),
        ],
    ),
    "settings that are none": (
        [
            (
                "[closed]",
                '[server]\nsever = "x"\ntrusted = "ca.pem"\nconfig = "nope.toml"\n'
                'implicit_confirm = "yes"\n[closed]',
            )
        ],
        [
            (13, "server.sever", "unknown setting 'sever'", "did you mean 'server'?"),
            (14, "server.trusted", 'it must be a list of paths, as in trusted = ["a.pem"', ""),
            (15, "server.config", "nope.toml: no such file", ""),
            (16, "server.implicit_confirm", "it must be implicit_confirm = true or", ""),
        ],
    ),
    "thresholds that are none": (
        [
            (
                "count = 100",
                'count = 100\nthresholds = [\n"p95(ir.response) < 500ms",\n"p95(ir) 500",\n'
                '"share(failed) < 1ms"]',
            )
        ],
        [
            (4, "thresholds[2]", "'p95(ir) 500' is not a threshold", "for example"),
            (4, "thresholds[3]", "'ms' is no unit of share", "units are %"),
        ],
    ),
    "something wrong everywhere": (
        [
            ("count = 100", "count = 100\nwarmup = 5"),
            ("{number:06}", "{number:6}"),
            ("[[lifecycles]]", "[keys]\nmode = \"two\"\n[[lifecycles]]"),
            ('cmd = "ir"', 'cnd = "ir"'),
            ("[closed]", '[open]\nrate = "fast"\n[server]\nref = 1\n[closed]'),
        ],
        [
            (4, "warmup", "unknown key 'warmup'", "did you mean 'warm_up'?"),
            (7, "population.columns.id", "unknown placeholder {number:6}", ""),
            (10, "keys.mode", "it must be 'unique', 'file' or 'one'", ""),
            (13, "lifecycles[1].steps[1].cmd", "cmd is missing", "The operation, as in openssl"),
            (13, "lifecycles[1].steps[1].cnd", "unknown key 'cnd'", "did you mean 'cmd'?"),
            (16, "open.rate", "it must be a number", ""),
            (18, "server.ref", "it must be a text in quotes", ""),
            (19, "closed", "a load is open or closed, not both", ""),
        ],
    ),
}  # fmt: skip


def _changed(changes: list[Change]) -> str:
    text = GOOD
    for old, new in changes:
        assert text.count(old) == 1
        text = text.replace(old, new)
    return text


@pytest.mark.parametrize(("changes", "expected"), MALFORMED.values(), ids=MALFORMED)
def test_all_that_is_wrong_is_told_at_once(
    tmp_path: Path,
    changes: list[Change],
    expected: list[Problem],
) -> None:
    problems = _problems(tmp_path, _changed(changes))
    assert [one[:2] for one in problems] == [one[:2] for one in expected], problems
    for (_, _, what, hint), (_, _, said, hinted) in zip(problems, expected, strict=True):
        assert said in what
        assert hinted in hint
        assert "Input should" not in what


# --- what people write first ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        (("{ constant = 2 }", "8"), "write { constant = 8 }"),
        (("{ constant = 2 }", '"1.5 min"'), "write { constant = 90 }"),
        (("{ constant = 2 }", "[1, 3]"), "write { uniform = [1, 3] }"),
        (("{ constant = 2 }", "true"), "write { constant = 2 }, { uniform = [1, 3] } or"),
        (("count = 100", 'duration = "5m"'), "write duration = 300"),
        (("count = 100", "duration = 00:05:00"), "write duration = 300"),
        (("count = 100", "count = 1e3"), "write count = 1000"),
        (("count = 100", 'count = "100"'), "write count = 100"),
        (("count = 100", "count = 10.5"), ""),
        (('{ cmd = "ir" }', '"ir"'), 'write { cmd = "ir" }'),
        (('cmd = "ir"', 'cmd = "IR"'), 'write cmd = "ir"'),
        (("[closed]\nclients = 5", '[open]\nrate = "50/s"'), "write rate = 50"),
        (
            ("[closed]\nclients = 5", "[open]\nstages = [[60, 50]]"),
            "write { duration = 60, rate = 50 }",
        ),
        (("[closed]\nclients = 5", "[open]\nstages = [60]"), "write { duration = 60, rate = 0, to"),
        (("clients = 5", "clients = 5.0"), "write clients = 5"),
        (("[population]", '[population]\nrepeated = "33%"'), "write repeated = 0.33"),
        (("{ id =", "{ days = 365, id ="), 'write days = "365"'),
        (("count = 100", 'count = 100\nthresholds = "rate(ok) > 5"'), "write thresholds = ["),
        (("[[lifecycles]]", "[lifecycles]"), "write [[lifecycles]]"),
        (("count = 100", 'count = 100\nkeys = "one"'), 'write keys = { mode = "one" }'),
        (("count = 100", "count = 100\nkeys = { pass = 1234 }"), ""),
    ],
)
def test_what_people_write_first_is_told_as_it_would_be_right(
    tmp_path: Path, change: Change, hint: str
) -> None:
    (problem, *_) = _problems(tmp_path, _changed([change]))
    assert problem[3].startswith(hint)
    assert hint or not problem[3]


def test_tables_in_short_are_told_as_they_would_be_right(tmp_path: Path) -> None:
    text = GOOD.replace("[closed]\nclients = 5\n", "")
    start, end = text.index("[population]"), text.index("[[lifecycles]]")
    text = "population = 'a.csv'\nopen = 50\nrate = 5\n" + text[:start] + text[end:]
    assert [one[3] for one in _problems(tmp_path, text)] == [
        'write population = { file = "a.csv" }',
        "write open = { rate = 50 }",
        "it is a key of [open]",
    ]
    (problem,) = _problems(tmp_path, "closed = 5\n" + GOOD.replace("[closed]\nclients = 5", ""))
    assert problem[3] == "write closed = { clients = 5 }"


@pytest.mark.parametrize("name", ["../x", "/etc/x", "..", "a\\u0000b", "a\\nb", "a" * 101, ""])
def test_a_name_is_one_that_a_folder_may_have(tmp_path: Path, name: str) -> None:
    (problem,) = _problems(tmp_path, _changed([('"device life"', f'"{name}"')]))
    assert problem[1] == "name"


def test_a_lifecycle_has_a_name_that_can_be_printed(tmp_path: Path) -> None:
    (problem,) = _problems(tmp_path, _changed([('"life"', '"a\\u001b[31m"')]))
    assert problem[1:3] == ("lifecycles[1].name", "it has characters that can't be printed")


def test_only_stages_that_are_right_are_said_to_begin_nothing(tmp_path: Path) -> None:
    shape = "[open]\nstages = [{ duration = 60, target = 5 }]"
    problems = _problems(tmp_path, _changed([("[closed]\nclients = 5", shape)]))
    assert [one[2] for one in problems] == ["rate is missing", "unknown key 'target'"]


OPEN = GOOD.replace("[closed]\nclients = 5", "[open]\nrate = 5")


def test_how_a_capacity_is_looked_for(tmp_path: Path) -> None:
    assert _read(tmp_path, OPEN).search == Search()
    text = OPEN + (
        "[capacity]\nfrom = 5\nfactor = 1.5\nup_to = 50\nwindow = 60\nsettle = 0\nprecision = 0.01"
    )
    assert _read(tmp_path, text).search == Search(
        start=5, factor=1.5, up_to=50, window=60, settle=0, precision=0.01
    )
    stepwise = _read(tmp_path, OPEN + "[capacity]\nstep = 25").search
    assert stepwise == Search(factor=1.0, step=25.0)


@pytest.mark.parametrize(
    ("said", "key", "what"),
    [
        ("from = 20\nup_to = 10", "capacity.up_to", "the first rate, 20/s, is above it"),
        ("from = 20000", "capacity.up_to", "the first rate, 20000/s, is above it"),
        (
            "factor = 2\nstep = 5",
            "capacity.step",
            "the rate is raised by a factor or by a step, not by both",
        ),
        ("factor = 1", "capacity.factor", "it must be above 1"),
        ("step = 0", "capacity.step", "it must be above 0"),
        ("precision = 1", "capacity.precision", "it must be below 1"),
        ("window = 0", "capacity.window", "it must be above 0"),
        ("settle = -1", "capacity.settle", "it must be 0 or more"),
        ("form = 5", "capacity.form", "unknown key 'form'"),
    ],
)
def test_how_a_capacity_can_not_be_looked_for(
    tmp_path: Path, said: str, key: str, what: str
) -> None:
    ((_, at, problem, _),) = _problems(tmp_path, f"{OPEN}[capacity]\n{said}\n")
    assert (at, problem) == (key, what)
