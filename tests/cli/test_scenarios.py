import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bulkcmp.cli.main import app
from bulkcmp.errors import InputError
from bulkcmp.inputs.scenario import shipped_scenarios


def _run(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["scenarios", *arguments])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_each_shipped_scenario_is_listed_with_what_it_is_for() -> None:
    lines = _run("list").splitlines()
    assert [line.split()[0] for line in lines] == list(shipped_scenarios())
    assert {
        "smoke", "ejbca-cmptest", "ejbca-cmpkeyupdate", "xipki", "factory-line", "morning-logon",
        "capacity", "stress", "soak", "renewal-wave", "revocation-storm", "mixed-day",
    } <= shipped_scenarios().keys()  # fmt: skip


def test_a_scenario_is_shown_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.toml").write_text(_run("show", "smoke"))
    assert Path("mine.toml").read_bytes() == shipped_scenarios()["smoke"].read_bytes()
    done = CliRunner().invoke(app, ["check", "mine.toml"])
    assert (done.exit_code, done.stderr) == (0, "mine.toml: 100 rows, 0 bad\n")


def test_an_unknown_one() -> None:
    done = CliRunner().invoke(app, ["scenarios", "show", "smokey"])
    assert isinstance(done.exception, InputError)
    assert (done.exception.hint or "").startswith("did you mean 'smoke'?")


def test_the_schema_is_json_schema() -> None:
    schema = json.loads(_run("schema"))
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert "lifecycles" in schema["properties"]
