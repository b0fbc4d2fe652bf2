from pathlib import Path

import pytest
from typer.testing import CliRunner

from bulkcmp.cli.main import app
from bulkcmp.errors import InputError
from bulkcmp.inputs.scenario import shipped_scenarios


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def check(*arguments: str, code: int = 0) -> tuple[list[str], str]:
    """Run `check`; its lines and what is on standard error."""
    done = CliRunner().invoke(app, ["check", *arguments])
    assert done.exit_code == code, done.output
    return done.stdout.splitlines(), done.stderr


def refused(*arguments: str) -> InputError:
    done = CliRunner().invoke(app, ["check", *arguments])
    assert isinstance(done.exception, InputError), done.output
    return done.exception


def test_good_rows_need_no_credential_here() -> None:
    Path("a.csv").write_text("id,subject\na,/CN=a\n")
    assert check("a.csv") == ([], "a.csv: 1 row, 0 bad\n")
    # nor where some rows have their own
    Path("b.csv").write_text("id,subject,secret\na,/CN=a,pass:x\nb,/CN=b,\n")
    assert check("b.csv") == ([], "b.csv: 2 rows, 0 bad\n")


def test_every_problem_is_listed() -> None:
    Path("a.csv").write_text("id,subject,days\na,CN,0\na,/CN=a\x1b,1\nc,/CN=c,1\n")
    lines, err = check("a.csv", code=2)
    assert err == "a.csv: 3 rows, 2 bad\n"
    places = [line.partition(": ")[0] for line in lines]
    assert sorted(places[:2]) == [
        "a.csv:2 (row 1), column days",
        "a.csv:2 (row 1), column subject",
    ]
    assert "a.csv:3 (row 2), column id" in places[2:]
    assert not any("\x1b" in line for line in lines)


def test_options_stand_for_cells() -> None:
    Path("a.csv").write_text("id\na\n")
    lines, _ = check("a.csv", code=2)
    assert lines == ["a.csv:2 (row 1), column subject: ir needs a subject or sans"]
    assert check("a.csv", "--subject", "/CN={id}")[0] == []
    error = refused("a.csv", "--subject", "/CN={nope}")
    assert "--subject" in str(error)


def test_the_output_format_judges_the_keys() -> None:
    Path("a.csv").write_text("id,subject,newkey\na,/CN=a,ml-dsa-65\nb,/CN=b,ed25519\n")
    lines, _ = check("a.csv", "--out-format", "p12", code=2)
    assert lines == [
        "a.csv:2 (row 1), column newkey: p12 files can't hold ml-dsa-65 keys"
        " (use --out-format pem, der or jks)"
    ]
    assert check("a.csv", "--out-format", "der")[0] == []


def test_settings_file() -> None:
    Path("a.csv").write_text("id\na\n")
    Path("p.toml").write_text('subject = "/CN={id}"\nserver = "http://h/"\n')
    assert check("a.csv", "--config", "p.toml")[0] == []
    assert str(refused("a.csv", "--config", "q.toml")) == "q.toml: no such file"


def test_every_column_of_the_template_is_checked() -> None:
    columns = (
        "issuer", "sans", "keyusage", "extkeyusage", "policy_oids", "extensions",
        "extensions_from", "not_before", "not_after", "regtoken", "authenticator", "reginfo",
    )  # fmt: skip
    bad = [*["?"] * 6, "no/file", "then", "then", "hunter2", "hunter2", "?"]
    Path("a.csv").write_text(f"id,{','.join(columns)}\na,{','.join(bad)}\n")
    lines, _ = check("a.csv", "--subject", "/CN={id}", code=2)
    assert sorted(line.split("column ")[1].split(":")[0] for line in lines) == sorted(columns)
    assert "hunter2" not in "".join(lines)


def test_an_option_that_no_row_uses_is_refused() -> None:
    Path("a.csv").write_text("id,cmd,subject\na,ir,/CN=a\nb,cr,/CN=b\n")
    error = refused("a.csv", "--serial", "7")
    assert error.what == "--serial is for rr, and the rows are ir and cr"


# --- scenarios ------------------------------------------------------------------------------------

SCENARIO = """
count = 10
[population]
columns = { id = "dev-{number:03}" }
[[lifecycles]]
name = "life"
steps = [{ cmd = "ir" }]
[closed]
clients = 2
"""


@pytest.mark.parametrize("name", shipped_scenarios())
def test_shipped_scenarios(name: str) -> None:
    assert check(name) == ([], f"{shipped_scenarios()[name]}: 100 rows, 0 bad\n")


def test_the_rows_of_a_scenario_are_completed_as_those_of_a_population() -> None:
    Path("s.toml").write_text(SCENARIO)
    lines, err = check("s.toml", code=2)
    assert lines[0] == "s.toml:4 (row 1), column subject: ir needs a subject or sans"
    assert err == "s.toml: 100 rows, 100 bad\n"
    assert check("s.toml", "--subject", "/CN={id}")[0] == []
    Path("s.toml").write_text(SCENARIO + '[server]\nsubject = "/CN={id}"\n')
    assert check("s.toml")[0] == []
    # settings given by --config, then by options, stand before those of the scenario
    Path("c.toml").write_text('subject = "/CN={nope}"\n')
    assert "nope" in str(refused("s.toml", "--config", "c.toml"))
    assert check("s.toml", "--config", "c.toml", "--subject", "/CN={id}")[0] == []


def test_all_that_is_wrong_with_a_scenario_is_listed_with_what_would_be_right() -> None:
    Path("s.toml").write_text(SCENARIO.replace("count", "cuont").replace("2", '"2"'))
    lines, err = check("s.toml", code=2)
    assert [line.partition(": ")[0] for line in lines] == [
        "s.toml",
        "s.toml:2, key cuont",
        "s.toml:9, key closed.clients",
    ]
    assert "(did you mean 'count'? known are name, description, seed, count" in lines[1]
    assert err == "s.toml: 3 problems\n"


def test_a_scenario_that_can_not_be_read() -> None:
    assert "no such file" in str(refused("nope.toml"))
    Path("s.toml").write_text("[")
    assert "not TOML" in str(refused("s.toml"))
