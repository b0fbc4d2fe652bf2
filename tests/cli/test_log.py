"""The options of the log: which commands have them, and what they refuse."""

import logging
import sys
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from bulkcmp.cli import main, option
from bulkcmp.cli.log import OF_LOG, logged
from bulkcmp.errors import BulkcmpError
from bulkcmp.outputs.log import settle

DRIVING = ("enroll", "resume", "load", "renew", "revoke", "migrate", "demo")
LOGGER = logging.getLogger("bulkcmp")


@logged
def work(
    fails: Annotated[bool, typer.Option("--fails")] = False, quiet: option.Quiet = False
) -> None:
    """Work."""
    LOGGER.info("begins")
    LOGGER.debug("a step")
    settle()
    if fails:
        raise BulkcmpError("it failed")
    typer.echo("done", err=True)


app = typer.Typer()
app.command()(work)


def ran(*arguments: object) -> str:
    """What work says on standard error."""
    done = CliRunner().invoke(app, list(map(str, arguments)))
    assert done.exit_code == 0, done.exception
    return done.stderr


def refused(*arguments: object) -> str:
    done = CliRunner().invoke(app, list(map(str, arguments)))
    assert isinstance(done.exception, BulkcmpError)
    return str(done.exception)


def events(text: str) -> list[str]:
    """The lines, without time and level."""
    return [line[33:] for line in text.splitlines() if "Z " in line]


def test_what_drives_transactions_can_be_logged() -> None:
    commands: Any = typer.main.get_command(main.app)
    for name in DRIVING:
        options = {one.name for one in commands.commands[name].params}
        assert set(OF_LOG) <= options, name
    # which has its own report of each message
    options = {one.name for one in commands.commands["probe"].params}
    assert options.isdisjoint(OF_LOG)


def test_nothing_is_logged_unless_it_is_asked_for() -> None:
    assert ran() == "done\n"


def test_lines_go_to_standard_error_before_what_is_said_after_them() -> None:
    assert events(ran("-v")) == ["begins"]
    said = ran("-vv")
    assert events(said) == ["begins", "a step"]
    assert said.endswith("a step\ndone\n")


def test_lines_go_to_a_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "log"
    assert ran("--log-file", path, "--quiet") == "done\n"
    assert events(path.read_text()) == ["begins"]
    assert ran("--log-file", path, "-vv", "--log-format", "json") == "done\n"
    assert '"level": "debug", "text": "a step"' in path.read_text()


def test_what_ends_a_command_is_logged_once(tmp_path: Path) -> None:
    path = tmp_path / "log"
    done = CliRunner().invoke(app, ["-v", "--fails"])
    # the program says it
    assert events(done.stderr) == ["begins"]
    assert refused("--fails", "--log-file", path) == "it failed"
    assert events(path.read_text()) == ["begins", 'failed text="it failed"']


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--log-format", "json"], "--log-format, but nothing is logged"),
        (["-v", "--log-size", "1000"], "--log-size without --log-file"),
        (["-v", "--quiet"], "--quiet, but -v logs to standard error"),
        (["--log-file", "/"], "can't be written"),
    ],
)
def test_options_that_do_nothing_are_refused(arguments: list[str], said: str) -> None:
    assert said in refused(*arguments)


def test_a_standard_error_that_is_gone_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone:
        def write(self, text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", Gone())

    @logged
    def steady(quiet: bool = False) -> None:
        for _ in range(2):
            LOGGER.info("begins")
            settle()
        monkeypatch.undo()

    steady(quiet=False, verbose=1, log_file=None, log_format=None, log_size=None)
