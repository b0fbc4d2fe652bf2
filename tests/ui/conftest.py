"""A run in full trouble, and consoles of every shape to show it on."""

import io
import random
from collections.abc import Callable

import pytest
from rich.console import Console

from bulkcmp.model import Outcome, OutcomeClass, Timings
from bulkcmp.stats.progress import Progress, Snapshot

HOSTILE = "[red]no[/red] :smile: \x1b[2J\x9b31m\r\nsecond line " + "and on " * 60


@pytest.fixture
def hostile() -> str:
    """What a CA might say: markup, emoji codes, control characters, too long."""
    return HOSTILE


@pytest.fixture
def snapshot() -> Snapshot:
    """1,300 of 10,000 rows, 100 in flight, nine ways to fail; the newest error is hostile."""
    chance = random.Random(1)
    progress = Progress(0.0, total=10_000)
    progress.already_done(OutcomeClass.ISSUED, count=100)
    failures = [
        Outcome(OutcomeClass.REJECTED, "badPOP", status_text="no"),
        Outcome(OutcomeClass.REJECTED, "badRequest"),
        Outcome(OutcomeClass.UNKNOWN, "connection lost"),
        Outcome(OutcomeClass.ISSUED_CONFIRMATION_UNKNOWN, "no answer in time"),
        Outcome(OutcomeClass.HTTP_ERROR, "status 500"),
        Outcome(OutcomeClass.NOT_CMP, "text/html"),
        Outcome(OutcomeClass.NOT_SENT, "cannot connect"),
        Outcome(OutcomeClass.CREDENTIALS_REFUSED, "badMessageCheck"),
        Outcome(OutcomeClass.STILL_WAITING),
    ]
    now = 0.0
    for number in range(1200):
        progress.started(now)
        now += 1 / 240
        service = chance.lognormvariate(-4, 0.5)
        timings = Timings(service, service * 0.6, service * 0.1, service * 0.3)
        outcome = Outcome(OutcomeClass.ISSUED)
        if number % 50 == 7:
            outcome = failures[number // 50 % len(failures)]
        if number == 1199:
            outcome = Outcome(OutcomeClass.REJECTED, "badPOP", status_text=HOSTILE)
        progress.finished(now, [(f"dev-{number:05}", outcome)], timings)
    for _ in range(100):
        progress.started(now)
    progress.waited_for_keys(3.2)
    return progress.snapshot(now)


@pytest.fixture
def make_console(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Console, io.StringIO]]:
    """A console of a given shape and what is written to it."""
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)

    def make(
        width: int = 80,
        height: int = 24,
        *,
        terminal: bool = True,
        color: bool = False,
        encoding: str = "utf-8",
        term: str = "xterm-256color",
        env: dict[str, str] | None = None,
    ) -> tuple[Console, io.StringIO]:
        stream = io.StringIO()
        console = Console(
            file=stream,
            width=width,
            height=height,
            force_terminal=terminal,
            color_system="truecolor" if color else None,
            _environ={"TERM": term, **(env or {})},
        )
        if encoding != "utf-8":
            monkeypatch.setattr(type(console), "encoding", encoding)
        return console, stream

    return make
