import csv
import json
import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from bulkcmp.cli.main import app
from bulkcmp.errors import BulkcmpError, InputError

USERS = """dn: uid=ann,ou=R\\,D,o=Acme
uid: ann
cn: Ann Lee
mail: ann@acme.example

dn: uid=bo,o=Acme
uid: bo
cn: Bo
cn: Bob

dn: uid=al,o=Acme
uid: al
mail: al at acme
cn: Al
"""

RULES = """
[columns]
id = "{uid}"
subject = ["CN={cn}", "O=Acme"]
sans = ["email:{mail?}"]
secret = "pass:geheim-{uid}"
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "users.ldif").write_text(USERS)
    (tmp_path / "rules.toml").write_text(RULES)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*words: str) -> Result:
    return CliRunner().invoke(app, ["import", *words])


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_an_import(site: Path) -> None:
    result = run("users.ldif", "--map", "rules.toml", "-o", "population.csv")
    assert result.exit_code == 1
    assert "users.ldif: 1 row, 2 rejected (see population.rejected.csv)" in result.stderr
    assert rows(site / "population.csv") == [
        {
            "id": "ann",
            "subject": "/CN=Ann Lee/O=Acme",
            "sans": "email:ann@acme.example",
            "secret": "pass:geheim-ann",
        }
    ]
    bad = [
        (one["row"], one["line"], one["id"], one["column"])
        for one in rows(site / "population.rejected.csv")
    ]
    assert bad == [("2", "6", "bo", "subject"), ("3", "11", "al", "sans")]
    for name in ("population.csv", "population.rejected.csv"):
        assert stat.S_IMODE((site / name).stat().st_mode) == 0o600
    checked = CliRunner().invoke(app, ["check", "population.csv"])
    assert checked.exit_code == 0, checked.output
    direct = CliRunner().invoke(app, ["check", "users.ldif", "--map", "rules.toml"])
    assert direct.exit_code == 2
    assert "users.ldif: 3 rows, 2 bad" in direct.stderr


def test_a_dry_run_writes_nothing_and_shows_no_secret(site: Path) -> None:
    before = sorted(site.iterdir())
    result = run("users.ldif", "--map", "rules.toml", "--dry-run")
    assert sorted(site.iterdir()) == before
    assert result.exit_code == 1
    assert "Ann Lee" in result.stdout
    assert "geheim" not in result.output
    assert "1 × column subject: cn has … values" in result.stderr
    assert "1 row, 2 rejected\n" in result.stderr


def test_standard_output_of_a_range(site: Path) -> None:
    result = run("--range", "dev-{09..11}", "-o", "-")
    assert result.exit_code == 0
    assert result.stdout.split() == ["id", "dev-09", "dev-10", "dev-11"]
    assert not list(site.glob("*rejected*"))


def test_what_the_rules_leave_out_is_counted(site: Path) -> None:
    with (site / "rules.toml").open("a") as file:
        file.write(
            '[[skip]]\nattribute = "uid"\nmatches = "a.*"\n[attributes.cn]\nseveral = "first"\n'
        )
    result = run("users.ldif", "--map", "rules.toml", "--dry-run")
    assert result.exit_code == 0
    assert "users.ldif: 1 row, 0 rejected, 2 left out by the rules" in result.stderr


def test_several_sources(site: Path) -> None:
    (site / "a.jsonl").write_text('{"id": "a", "sans": ["dns:a.example", "ip:10.0.0.1"]}\n')
    (site / "b.csv").write_text("id;profile\na;p\nb;p\n")
    result = run("a.jsonl", "b.csv", "-o", "p.csv", "--rejected", "bad.csv")
    assert result.exit_code == 1
    assert [one["id"] for one in rows(site / "p.csv")] == ["a", "b"]
    assert rows(site / "p.csv")[0]["sans"] == "dns:a.example,ip:10.0.0.1"
    (bad,) = rows(site / "bad.csv")
    assert (bad["reason"], bad["file"]) == ("duplicate id 'a': row 1 has it", "b.csv:2")


def test_a_foreign_csv_of_another_encoding(site: Path) -> None:
    (site / "sql.csv").write_bytes("Löginname;Ort;\nann;Köln;x\n".encode("cp1252"))
    (site / "rules.toml").write_text('[columns]\nid = "{löginname}"\nsubject = "/CN={ort}"\n')
    result = run("sql.csv", "--map", "rules.toml", "--encoding", "cp1252", "-o", "p.csv")
    assert result.exit_code == 0, result.output
    assert rows(site / "p.csv") == [{"id": "ann", "subject": "/CN=Köln"}]


def test_the_schema_of_rules(site: Path) -> None:
    schema = json.loads(run("--schema").stdout)
    assert set(schema["properties"]) >= {"columns", "attributes", "keep", "skip"}


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["-o", "x"], "no source"),
        (["users.ldif"], "where shall the rows go"),
        (["users.ldif", "-o", "users.ldif"], "it would be lost"),
        (["users.ldif", "--map", "rules.toml", "-o", "x", "--rejected", "users.ldif"], "be lost"),
        (["users.ldif", "-o", "x", "--source-format", "odt"], "unknown format"),
        (["a.csv", "-o", "x", "--encoding", "rot13"], "unknown encoding"),
        (["a.csv", "-o", "x"], "unknown column"),
        (["a.jsonl", "-o", "x"], "attributes are no columns"),
        (["users.ldif", "-o", "no/such/x"], "can't be written"),
    ],
)
def test_what_cannot_be_imported(site: Path, words: list[str], why: str) -> None:
    (site / "a.csv").write_text("name\na\n")
    (site / "a.jsonl").write_text('{"name": "a"}\n')
    before = sorted(site.iterdir())
    result = run(*words)
    assert isinstance(result.exception, InputError if "no/such/x" not in words else BulkcmpError)
    assert why in str(result.exception)
    assert sorted(site.iterdir()) == before


def test_two_files_in_one_place(site: Path) -> None:
    result = run("users.ldif", "-o", "a.csv", "--rejected", "./a.csv")
    assert isinstance(result.exception, InputError)
    assert "the population, and what is rejected too" in result.exception.what
    assert not list(site.glob("*.csv"))


def test_two_imports_into_one_folder_keep_what_each_rejected(site: Path) -> None:
    (site / "b.csv").write_text("id,subject\nb,none\n")
    for words in (("users.ldif", "--map", "rules.toml", "-o", "a.csv"), ("b.csv", "-o", "c.csv")):
        assert run(*words).exit_code == 1
    assert [one["id"] for one in rows(site / "a.rejected.csv")] == ["bo", "al"]
    assert [one["id"] for one in rows(site / "c.rejected.csv")] == ["b"]


def test_rules_are_not_written_over(site: Path) -> None:
    result = run("users.ldif", "--map", "rules.toml", "-o", "rules.toml")
    assert isinstance(result.exception, InputError)
    assert (site / "rules.toml").read_text() == RULES
