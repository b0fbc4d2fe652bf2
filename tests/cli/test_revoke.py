import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bulkcmp.cli.main import app
from bulkcmp.errors import InputError

RA = ("--secret", "pass:x", "--server", "http://127.0.0.1:9/")


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("list").write_text("0abc\n")
    Path("numbers").write_text("12\n")
    Path("certs").mkdir()
    Path("test").mkdir()
    Path("migration").mkdir()
    Path("migration/migration.json").touch()
    Path("test/settings.json").write_text(json.dumps({"servers": {}, "revoke_at": ""}))


def refused(*arguments: str) -> InputError:
    done = CliRunner().invoke(app, ["revoke", *arguments])
    assert isinstance(done.exception, InputError), done.output
    return done.exception


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("list",), "serial numbers have no key"),
        (("list", *RA), "whose serial number is ABC"),
        (("list", *RA, "--ids", "a"), "--ids is for certificates of"),
        (("numbers", *RA), "nothing in the list tells"),
        (("-", *RA), "the list is empty"),
        (("-", *RA[2:], "--secret", "stdin"), "--secret and the list can't both be read"),
        (("certs", "--renewed"), "--renewed is for the folder of a run"),
        (("certs", "--ids", ", "), "--ids names no row"),
        (("certs", "--ids", "a"), "--ids: there is no 'a' in certs"),
        (("test", "--renewed"), "--renewed is not for the folder of a load test"),
        (("test", "--confirm-crl", "cdp"), "--confirm-crl is not for the folder of a load test"),
        (("migration", *RA), "migration: holds a migration, which has two runs"),
        (("nope",), "nope: no such file"),
    ],
)
def test_what_can_not_be_revoked(arguments: tuple[str, ...], what: str) -> None:
    assert what in str(refused(*arguments))
    assert not list(Path().glob("*-revoked-*"))


def test_nothing_to_revoke() -> None:
    Path("certs/readme").write_text("no certificate")
    done = CliRunner().invoke(app, ["revoke", "certs", *RA])
    assert done.exit_code == 0
    assert "1 found in certs: 0 to revoke, 1 no certificate" in done.stderr
