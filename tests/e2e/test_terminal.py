"""What a user sees on a terminal: the live view in tmux, and plain text elsewhere."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bulkcmp.testca.aliases import Behaviour

if TYPE_CHECKING:
    from tests.e2e.conftest import Ca, Cli, MakeCa, RunFolder, Tools, WritePopulation


class Terminal:
    """A tmux server with one window."""

    def __init__(self, program: str, socket: Path) -> None:
        self._tmux = [program, "-S", str(socket), "-f", "/dev/null"]

    def run(self, *arguments: str) -> str:
        # readline, which pytest imports, says there how large pytest's own terminal is
        environ = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")}
        done = subprocess.run(
            [*self._tmux, *arguments],
            capture_output=True,
            text=True,
            check=True,
            timeout=20,
            env=environ,
        )
        return done.stdout

    def screen(self) -> str:
        return self.run("capture-pane", "-p")


@pytest.fixture
def terminal(tools: "Tools", tmp_path: Path) -> Iterator[Terminal]:
    made = Terminal(tools.program("tmux"), tmp_path / "tmux")
    yield made
    made.run("kill-server")


@pytest.mark.peer
@pytest.mark.parametrize("width", [80, 40])
def test_live_view(
    cli: "Cli",
    make_ca: "MakeCa",
    write_population: "WritePopulation",
    run: "RunFolder",
    tools: "Tools",
    terminal: Terminal,
    width: int,
) -> None:
    ca = make_ca(Behaviour(delay=0.5))
    population = write_population(40)
    options = [*ca.options(), "--concurrency", "10", "--out", str(run.path)]
    command = [sys.executable, "-m", "bulkcmp", "enroll", str(population), *options]
    environ = [f"-e{name}={cli.environ[name]}" for name in ("RA_SECRET", "KEY_PASS")]
    size = ["-x", str(width), "-y", "24"]
    # tmux keeps the window open after the command's end
    terminal.run(
        "set-option", "-g", "remain-on-exit", "on", ";",
        "new-session", "-d", *size, *environ, "-e", "LC_ALL=C.UTF-8", *command,
    )  # fmt: skip
    tools.wait_until(lambda: 10 <= ca.count() < 40, step=0.05)
    tools.wait_until(lambda: "issued" in terminal.screen(), step=0.05)
    screen = terminal.screen()
    assert " of 40 rows done (" in screen
    assert "━" in screen
    assert "in flight" in screen
    assert "ETA" in screen
    assert "p95" in screen
    # the view fits: nothing was pushed out above, nothing wrapped
    assert screen.splitlines()[0].endswith("%)"), screen

    tools.wait_until(lambda: "exit code     0" in terminal.screen(), step=0.1)
    screen = terminal.screen()
    assert {row["outcome"] for row in run.results()} == {"issued"}
    # the live view is gone
    assert "in flight" not in screen


@pytest.mark.peer
def test_live_view_of_a_search(
    cli: "Cli", ca: "Ca", run: "RunFolder", tools: "Tools", terminal: Terminal
) -> None:
    scenario = cli.folder / "scenario.toml"
    scenario.write_text(
        'thresholds = ["share(failed) < 50%"]\ncount = 1\n'
        '[population]\ncolumns = { id = "dev-{number}", subject = "/CN={id}" }\n'
        '[[lifecycles]]\nname = "enroll"\nsteps = [{ cmd = "ir" }]\n[open]\nrate = 1\n'
        "[capacity]\nfrom = 2\nstep = 2\nup_to = 1000\nwindow = 1\nsettle = 0.2\n"
    )
    # a load test keeps no keys, so there is nothing to encrypt
    options = [*ca.options()[:8], "--out", str(run.path)]
    command = [
        sys.executable, "-m", "bulkcmp", "load", str(scenario), "--find-capacity", *options
    ]  # fmt: skip
    environ = [f"-e{name}={cli.environ[name]}" for name in ("RA_SECRET", "KEY_PASS")]
    terminal.run(
        "set-option", "-g", "remain-on-exit", "on", ";",
        "new-session", "-d", "-x", "80", "-y", "24", *environ, "-e", "LC_ALL=C.UTF-8", *command,
    )  # fmt: skip
    tools.wait_until(lambda: "\ntried  " in terminal.screen(), step=0.05)
    lines = terminal.screen().splitlines()
    # the view fits: nothing was pushed out above, nothing wrapped
    assert lines[0].startswith("scenario: a search for the capacity: from 2/s, by 2/s")
    assert lines[2].startswith("window ")
    assert lines[3].startswith("tried         2.0 ")
    terminal.run("send-keys", "C-c")
    tools.wait_until(lambda: "exit code 130: capacity: not found" in terminal.screen(), step=0.1)
    assert run.summary()["capacity"]["conclusion"] == "interrupted"


def test_no_escapes_without_a_terminal(
    cli: "Cli", ca: "Ca", write_population: "WritePopulation", run: "RunFolder"
) -> None:
    cli.environ["TERM"] = "xterm-256color"
    ended = cli("enroll", write_population(2), *ca.options(), "--out", run.path)
    assert "\x1b" not in ended.out + ended.err
    assert "\r" not in ended.out + ended.err
    # paths alone may be longer: a path that wraps can't be copied
    lines = [line for line in ended.out.splitlines() if "/" not in line]
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize(
    "command", [(), ("enroll",), ("resume",), ("check",), ("demo",), ("keys",), ("ca",)]
)
def test_help_fits_80_columns(cli: "Cli", command: tuple[str, ...]) -> None:
    help_text = cli(*command, "--help").out
    assert max(map(len, help_text.splitlines())) <= 80
    assert "…" not in help_text.replace("systemUnavail …", "")
    assert f"Usage: python -m bulkcmp {' '.join(command)}".strip() in help_text
