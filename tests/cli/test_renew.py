from pathlib import Path

import pytest
from typer.testing import CliRunner

from bulkcmp.cli.main import app
from bulkcmp.errors import InputError
from bulkcmp.outputs.credentials import pem_certificates
from tests.engine.holdings import certificate


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("certs").mkdir()
    Path("certs/a.pem").write_bytes(pem_certificates(certificate("a", days=9999).der))
    Path("plain.csv").write_text("id,subject\na,/CN=a\n")
    Path("migration").mkdir()
    Path("migration/migration.json").touch()


def refused(*arguments: str) -> InputError:
    done = CliRunner().invoke(app, ["renew", *arguments])
    assert isinstance(done.exception, InputError), done.output
    return done.exception


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("certs", "--expiring-within", "a month"), "--expiring-within: 'a month' is not a length"),
        (("certs", "--cmd", "rr"), "--cmd rr renews nothing"),
        (("certs", "--secret", "pass:x", "--newkey", "same"), "--newkey same, but the requests"),
        (("plain.csv",), "has neither a column cert nor oldcert"),
        (("migration",), "migration: holds a migration, which has two runs"),
        (("nope",), "nope: no such file"),
    ],
)
def test_what_can_not_be_renewed(arguments: tuple[str, ...], what: str) -> None:
    assert what in str(refused(*arguments))


def test_nothing_is_due() -> None:
    done = CliRunner().invoke(app, ["renew", "certs"])
    assert done.exit_code == 0
    assert "1 found in certs: 1 not due yet" in done.stderr
    assert {path.name for path in Path().iterdir()} == {"certs", "plain.csv", "migration"}


def test_what_is_due_is_not_renewed_where_it_can_not_be() -> None:
    done = CliRunner().invoke(app, ["renew", "certs", "--expiring-within", "9999w"])
    assert done.exit_code == 1
    assert "not renewed: a: due, without a private key" in done.stderr
    listed = ["renew", "certs", "--expiring-within", "9999w", "--dry-run", "--list", "due.csv"]
    done = CliRunner().invoke(app, listed)
    assert (done.exit_code, done.stdout) == (1, "")
    assert Path("due.csv").read_text().splitlines()[1].startswith('a,no,"due, without')
