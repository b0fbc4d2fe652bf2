"""How far something with a known end has come: live on a terminal, in plain lines elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

_LINE_SECONDS: Final = 5.0
"""How often a plain line tells the progress where there is no terminal."""


@contextmanager
def show_progress(
    doing: str, noun: str, count: int, found: int = 0, *, quiet: bool
) -> Iterator[Callable[[int], None]]:
    """Show on standard error how many of `count` there are.

    Args:
        doing: what is done, `making keys`; noun: of what is counted, in the plural.
        found: how many there are already.

    Yields:
        What is told how many there are.
    """
    console = Console(stderr=True)
    if quiet:
        yield lambda total: None
    elif console.is_terminal:
        columns = (
            TextColumn(doing),
            BarColumn(),
            MofNCompleteColumn(),
            _Rate(noun),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=console) as progress:
            task = progress.add_task("", total=count, completed=found)
            yield lambda total: progress.update(task, completed=total)
    else:
        yield _Lines(console, noun, count, found)


class _Rate(ProgressColumn):
    def __init__(self, noun: str) -> None:
        super().__init__()
        self._noun = noun

    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:,.0f} {self._noun}/s")


class _Lines:
    """Tells the progress in a line every few seconds."""

    def __init__(self, console: Console, noun: str, count: int, found: int) -> None:
        self._console = console
        self._noun = noun
        self._count = count
        self._found = found
        self._began = self._told = time.monotonic()

    def __call__(self, total: int) -> None:
        now = time.monotonic()
        if now - self._told >= _LINE_SECONDS and total > self._found:
            self._told = now
            rate = (total - self._found) / (now - self._began)
            left = (self._count - total) / rate
            self._console.print(
                f"{total}/{self._count} {self._noun}, {rate:,.0f} {self._noun}/s,"
                f" {left:,.0f} s to go",
                highlight=False,
                soft_wrap=True,
            )
