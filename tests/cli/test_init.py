import os
import pty
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bulkcmp.cli.main import app
from bulkcmp.engine.options import Options
from bulkcmp.errors import InputError
from bulkcmp.inputs.profile import shipped_profiles


def init(*arguments: str | Path) -> str:
    done = CliRunner().invoke(app, ["init", *map(str, arguments)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture
def anchor(tmp_path: Path) -> Path:
    path = tmp_path / "root.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-subj", "/CN=root", "-keyout", tmp_path / "root.key", "-out", path],
        check=True, capture_output=True,
    )  # fmt: skip
    return path


@pytest.mark.parametrize("profile", shipped_profiles())
def test_each_profile_makes_settings_that_can_be_read(
    profile: str, tmp_path: Path, anchor: Path
) -> None:
    folder = tmp_path / "meters"
    init(
        folder, "--config", profile, "--server", "http://ca.example/cmp", "--ref", "ra1",
        "--secret", "env:RA_SECRET", "--trusted", anchor, "--subject", "/CN={id}/O=Acme",
    )  # fmt: skip
    options = Options.read([str(folder / "ca.toml")], {})
    assert (options.server, options.ref) == ("http://ca.example/cmp", "ra1")
    assert options.secret == "env:RA_SECRET"
    assert options.key_pass == f"file:{folder / 'secrets' / 'key-pass'}"
    plan = options.plan(str(folder / "population.csv"), {"RA_SECRET": "hello"})
    assert plan.census is not None
    assert (plan.census.rows, plan.census.bad) == (3, 0)


def test_a_secret_that_is_told_stands_in_a_file_of_its_own(tmp_path: Path) -> None:
    folder = tmp_path / "meters"
    said = init(
        folder, "--server", "http://ca.example", "--ref", "ra1", "--secret", "pass:hush1234"
    )
    assert "hush1234" not in said
    assert (folder / "secrets" / "secret").read_text() == "hush1234\n"
    settings = (folder / "ca.toml").read_text()
    assert "hush1234" not in settings
    assert tomllib.loads(settings)["secret"] == "file:secrets/secret"
    assert "put the CA's certificate into it" in said


def test_files_are_named_as_from_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    init(
        "meters", "--server", "http://ca.example", "--cert", "ra.pem", "--key", "ra.key",
        "--keypass", "file:pass.txt",
    )  # fmt: skip
    settings = tomllib.loads(Path("meters/ca.toml").read_text())
    assert (settings["cert"], settings["key"]) == ("../ra.pem", "../ra.key")
    assert settings["keypass"] == "file:../pass.txt"


def test_the_population_is_copied(tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text("id;subject\na;/CN=a\n")
    init(tmp_path / "meters", "--server", "http://ca.example", "--population", rows)
    assert (tmp_path / "meters" / "population.csv").read_text() == rows.read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "--server is missing"),
        (("--server", "http://x", "--trusted", "no.pem"), "no such file"),
        (("--server", "http://x", "--population", "no.csv"), "no such file"),
        (("--server", "http://x", "--secret", "hush1234"), "not a source of a secret"),
        (("--server", "http://x", "--config", "ejbca"), "there is no profile"),
    ],
)
def test_nothing_is_written_where_something_is_wrong(
    arguments: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=said):
        init(tmp_path / "meters", *arguments)
    assert not (tmp_path / "meters").exists()


def test_it_asks_on_a_terminal(tmp_path: Path, anchor: Path) -> None:
    ours, theirs = pty.openpty()
    asked = subprocess.Popen(
        [sys.executable, "-m", "bulkcmp", "init", "meters"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=tmp_path,
        # what is hidden is asked for on the controlling terminal, which is the first that is opened
        start_new_session=True,
        preexec_fn=lambda: os.close(os.open(os.ttyname(0), os.O_RDWR)),
    )
    os.close(theirs)
    said = ""
    for question, answer in (
        ("by its profile", "ejbca-ra-hmac"),
        ("URL of the CMP server", "http://ca.example/ra"),
        ("Reference value", "ra1"),
        ("The shared secret", "hush1234"),
        ("the CA's certificate", str(anchor)),
        ("CSV file", ""),
        ("Subject of each row", ""),
    ):
        while question not in said.rpartition("\n")[2] or not said.endswith(": "):
            said += os.read(ours, 4096).decode()
        os.write(ours, f"{answer}\n".encode())
        said += "\n"
    while "bulkcmp enroll" not in said:
        said += os.read(ours, 4096).decode()
    assert asked.wait() == 0, said
    os.close(ours)
    assert "hush1234" not in said
    settings = tomllib.loads((tmp_path / "meters" / "ca.toml").read_text())
    assert settings["server"] == "http://ca.example/ra"
    assert settings["trusted"] == ["trusted.pem"]
    assert settings["subject"] == "/CN={id}"
    # of the profile
    assert settings["max_pbm_iterations"] == 10000
    assert (tmp_path / "meters" / "secrets" / "secret").read_text() == "hush1234\n"
    assert (tmp_path / "meters" / "trusted.pem").read_bytes() == anchor.read_bytes()
