"""What a user sees on a terminal: the live views in tmux, and plain text elsewhere."""

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bulkcmp.testca.aliases import Behaviour

if TYPE_CHECKING:
    from tests.e2e.conftest import Ca, Cli, MakeCa, RunFolder, Tools, WritePopulation

COLOUR = re.compile(r"\x1b\[(?:[0-9]+;)*(?:3[0-7]|4[0-7]|9[0-7]|38|48)[;m]")
"""Sets a colour of the foreground or of the background (ECMA-48, SGR)."""

LOG_LINE = re.compile(
    r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO    \d+ dev\d+ [0-9a-f]{32} (\w+ \w+=\w+)$",
    re.MULTILINE,
)
"""What -v says of a row; what it says that the row does."""


@dataclass(frozen=True)
class Look:
    """A terminal's size, and what it says of its colours."""

    width: int
    height: int
    environ: tuple[str, ...] = ()

    @property
    def has_colour(self) -> bool:
        return not self.environ

    def __str__(self) -> str:
        return "-".join([f"{self.width}x{self.height}", *self.environ])


SMALL = Look(80, 24)
LARGE = Look(200, 60)
NO_COLOR = ("NO_COLOR=1",)
DUMB = ("TERM=dumb",)


class Terminal:
    """A tmux server with one window."""

    def __init__(self, program: str, socket: Path) -> None:
        self._tmux = [program, "-S", str(socket), "-f", "/dev/null"]

    def run(self, *arguments: str) -> str:
        # readline, which pytest imports, says there how large pytest's own terminal is
        environ = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES", "NO_COLOR")}
        done = subprocess.run(
            [*self._tmux, *arguments],
            capture_output=True,
            text=True,
            check=True,
            timeout=20,
            env=environ,
        )
        return done.stdout

    def start(self, cli: "Cli", look: Look, *arguments: object) -> None:
        """Start bulkcmp in a window of its own, which stays open after its end."""
        wanted = [f"{name}={cli.environ[name]}" for name in ("RA_SECRET", "KEY_PASS")]
        # tmux puts TERM there by itself, and later than -e
        command = ["env", *look.environ, sys.executable, "-m", "bulkcmp", *map(str, arguments)]
        size = ["-x", str(look.width), "-y", str(look.height)]
        environ = [f"-e{one}" for one in (*wanted, "LC_ALL=C.UTF-8")]
        self.run(
            "set-option", "-g", "remain-on-exit", "on", ";",
            "set-option", "-g", "default-terminal", "screen-256color", ";",
            "new-session", "-d", *size, *environ, *command,
        )  # fmt: skip

    def screen(self) -> str:
        return self.run("capture-pane", "-p")

    def wait_for(self, tools: "Tools", *texts: str) -> str:
        """The first screen that has all the texts; between two pictures a view is half drawn."""
        seen = [""]

        def has_all() -> bool:
            seen[0] = self.screen()
            return all(text in seen[0] for text in texts)

        tools.wait_until(has_all, step=0.05)
        return seen[0]

    def check_colour(self, tools: "Tools", look: Look) -> None:
        """Colour is there, as soon as the picture is whole, or is not."""
        if look.has_colour:
            tools.wait_until(self._shows_colour, step=0.05)
        else:
            assert not self._shows_colour()

    def _shows_colour(self) -> bool:
        return COLOUR.search(self.run("capture-pane", "-p", "-e")) is not None


@pytest.fixture
def terminal(tools: "Tools", tmp_path: Path) -> Iterator[Terminal]:
    made = Terminal(tools.program("tmux"), tmp_path / "tmux")
    yield made
    made.run("kill-server")


@pytest.mark.peer
@pytest.mark.parametrize("look", [SMALL, LARGE, Look(40, 24, NO_COLOR)], ids=str)
def test_live_view(
    cli: "Cli",
    make_ca: "MakeCa",
    write_population: "WritePopulation",
    run: "RunFolder",
    tools: "Tools",
    terminal: Terminal,
    look: Look,
) -> None:
    ca = make_ca(Behaviour(delay=0.5))
    population = write_population(40)
    options = [*ca.options(), "--concurrency", "10", "--out", run.path]
    terminal.start(cli, look, "enroll", population, *options)
    tools.wait_until(lambda: 10 <= ca.count() < 40, step=0.05)
    screen = terminal.wait_for(
        tools, " of 40 rows done (", "━", "in flight", "ETA", "p95", "issued"
    )
    # the view fits: nothing was pushed out above, nothing wrapped
    assert screen.splitlines()[0].endswith("%)"), screen
    terminal.check_colour(tools, look)

    screen = terminal.wait_for(tools, "exit code     0")
    assert {row["outcome"] for row in run.results()} == {"issued"}
    # the live view is gone
    assert "in flight" not in screen


@pytest.mark.peer
def test_lines_of_the_log_stand_above_the_live_view(
    cli: "Cli",
    make_ca: "MakeCa",
    write_population: "WritePopulation",
    run: "RunFolder",
    tools: "Tools",
    terminal: Terminal,
) -> None:
    ca = make_ca(Behaviour(delay=0.5))
    options = [*ca.options(), "--concurrency", "4", "-v", "--out", run.path]
    terminal.start(cli, LARGE, "enroll", write_population(12), *options)
    screen = terminal.wait_for(tools, " of 12 rows done (", "in flight", "ended outcome=issued")
    *log, view = screen.split(" of 12 rows done (")
    # lines are whole, and the view is there once, below them
    assert len(log) == 1, screen
    assert "━" not in log[0], screen
    assert LOG_LINE.search(log[0]), screen
    assert " INFO " not in view, screen

    screen = terminal.wait_for(tools, "exit code     0")
    counts = Counter(LOG_LINE.findall(screen))
    assert counts == {"begins cmd=ir": 12, "ended outcome=issued": 12}, screen
    assert "in flight" not in screen


@pytest.mark.peer
def test_a_dumb_terminal_gets_lines(
    cli: "Cli",
    ca: "Ca",
    write_population: "WritePopulation",
    run: "RunFolder",
    tools: "Tools",
    terminal: Terminal,
) -> None:
    options = [*ca.options(), "--out", run.path]
    look = Look(80, 24, DUMB)
    terminal.start(cli, look, "enroll", write_population(3), *options)
    screen = terminal.wait_for(tools, "exit code     0")
    assert re.search(r"^\d\d:\d\d:\d\d done 3/3 \(100%\) ", screen, re.MULTILINE), screen
    terminal.check_colour(tools, look)


@pytest.mark.peer
@pytest.mark.parametrize("look", [SMALL, Look(200, 60, NO_COLOR)], ids=str)
def test_summary_of_failures(
    cli: "Cli",
    ca: "Ca",
    write_population: "WritePopulation",
    run: "RunFolder",
    tools: "Tools",
    terminal: Terminal,
    look: Look,
) -> None:
    population = write_population(
        lines=[
            "id,subject,secret",
            *(f"good{n},/CN=good{n}," for n in range(3)),
            *(f"wrong{n},/CN=wrong{n},pass:wrong" for n in range(2)),
        ]
    )
    terminal.start(cli, look, "enroll", population, *ca.options(), "--out", run.path)
    screen = terminal.wait_for(tools, "exit code     1: some rows are not done")
    lines = screen.splitlines()
    assert lines[0].startswith("3 of 5 rows done"), screen
    counted = lines.index("3  issued")
    assert lines[counted + 1] == "2  credentials refused: badMessageCheck 2"
    # what to do about it stands below, set off
    assert lines[counted + 2].startswith("   check --ref"), screen
    terminal.check_colour(tools, look)


SCENARIO = (
    '[population]\ncolumns = { id = "dev-{number}", subject = "/CN={id}" }\n'
    '[[lifecycles]]\nname = "enroll"\nsteps = [{ cmd = "ir" }]\n'
)


@pytest.mark.peer
@pytest.mark.parametrize("look", [SMALL, LARGE], ids=str)
def test_live_view_of_a_load_test(
    cli: "Cli", ca: "Ca", run: "RunFolder", tools: "Tools", terminal: Terminal, look: Look
) -> None:
    scenario = cli.folder / "scenario.toml"
    scenario.write_text(f"{SCENARIO}[open]\nstages = [{{ duration = 600, rate = 5 }}]\n")
    # a load test keeps no keys, so there is nothing to encrypt
    terminal.start(cli, look, "load", scenario, *ca.options()[:8], "--out", run.path)
    screen = terminal.wait_for(tools, "measuring", "response p95", "all service")
    lines = screen.splitlines()
    # the view fits: nothing was pushed out above, nothing wrapped
    assert lines[0].startswith("scenario: arrivals at 5/s for 600 s"), screen
    assert lines[1].endswith("dropped"), screen
    assert lines[2].startswith("finished"), screen
    terminal.run("send-keys", "C-c")
    terminal.wait_for(tools, "exit code 130: interrupted")


@pytest.mark.peer
@pytest.mark.parametrize("look", [SMALL, Look(200, 60, NO_COLOR)], ids=str)
def test_live_view_of_a_search(
    cli: "Cli", ca: "Ca", run: "RunFolder", tools: "Tools", terminal: Terminal, look: Look
) -> None:
    scenario = cli.folder / "scenario.toml"
    scenario.write_text(
        f'thresholds = ["share(failed) < 50%"]\ncount = 1\n{SCENARIO}[open]\nrate = 1\n'
        "[capacity]\nfrom = 2\nstep = 2\nup_to = 1000\nwindow = 1\nsettle = 0.2\n"
    )
    options = [*ca.options()[:8], "--out", run.path]
    terminal.start(cli, look, "load", scenario, "--find-capacity", *options)
    screen = terminal.wait_for(tools, "\ntried  ")
    lines = screen.splitlines()
    # the view fits: nothing was pushed out above, nothing wrapped
    assert lines[0].startswith("scenario: a search for the capacity: from 2/s, by 2/s")
    assert lines[2].startswith("window ")
    assert lines[3].startswith("tried         2.0 ")
    terminal.check_colour(tools, look)
    terminal.run("send-keys", "C-c")
    terminal.wait_for(tools, "exit code 130: capacity: not found")
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
