import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bulkcmp.cli import demo as module
from bulkcmp.cli.main import app
from bulkcmp.errors import InputError
from bulkcmp.testca import demonstration
from bulkcmp.testca.demonstration import Demonstration


@pytest.mark.parametrize("code", [0, 130])
def test_what_to_do_after_an_interruption(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: int
) -> None:
    folder = tmp_path / "a run"
    seen: list[Any] = []

    @contextmanager
    def serving(state: Path) -> Iterator[Demonstration]:
        assert state == folder / "ca"
        yield Demonstration("http://127.0.0.1:4711/x", "s3cret", tmp_path / "ca.pem")

    @contextmanager
    def journal() -> Iterator[None]:
        yield

    def begin(*arguments: Any) -> tuple[None, Any]:
        seen.extend(arguments)
        return None, journal()

    monkeypatch.setattr(demonstration, "serving", serving)
    monkeypatch.setattr(module, "begin", begin)
    monkeypatch.setattr(module, "run_and_show", lambda *_, **__: code)
    done = CliRunner().invoke(app, ["demo", "--out", str(folder)])
    assert done.exit_code == code
    population, options, where, _ = seen
    assert Path(population).name == "devices.csv"
    assert where == folder
    assert options.server == "http://127.0.0.1:4711/x"
    lines = done.stderr.splitlines()
    assert lines[0] == "embedded CA at http://127.0.0.1:4711/x"
    passphrase = lines[1].rpartition(": ")[2]
    assert f"pass:{passphrase}" == options.key_pass
    if not code:
        assert len(lines) == 2
        return
    commands = lines[2].partition("to go on: ")[2]
    serve, resume = (shlex.split(text) for text in commands.split(" & "))
    assert serve == ["bulkcmp", "ca", "serve", "--state", str(folder / "ca"), "--port", "4711"]
    assert resume == [
        "bulkcmp", "resume", str(folder), "--secret", "pass:s3cret",
        "--key-pass", f"pass:{passphrase}",
    ]  # fmt: skip


def test_a_used_folder_is_refused_before_the_ca_is_made(tmp_path: Path) -> None:
    (tmp_path / "journal.db").touch()
    done = CliRunner().invoke(app, ["demo", "--out", str(tmp_path)])
    assert isinstance(done.exception, InputError)
    assert "holds a run already" in str(done.exception)
    assert [path.name for path in tmp_path.iterdir()] == ["journal.db"]
