"""Views of something that goes on: a picture that is redrawn on a terminal, plain lines elsewhere.

Views hold no timer and start no thread; they draw when `update` is called (4 to 10 times a second
is meant). They write to the console they get, which is standard error, so that standard output is
free for the summary.
"""

import datetime as dt
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Final, Generic, Protocol, Self, TypeVar

from rich.console import Console, RenderableType
from rich.live import Live

from bulkcmp.ui.figures import clean

PLAIN_INTERVAL: Final = 10.0
"""Seconds between two lines of the plain view."""


class Timed(Protocol):
    """What is shown, as it stands at an instant."""

    @property
    def elapsed(self) -> float:
        """Seconds since it began."""
        ...


Shown = TypeVar("Shown", bound=Timed)
Taken = TypeVar("Taken", bound=Timed, contravariant=True)


class View(Protocol[Taken]):
    """Shows how something stands; use it as a context manager around it."""

    def update(self, state: Taken) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


def view_for(
    console: Console,
    *,
    picture: Callable[[Shown], RenderableType],
    lines: Callable[[Shown, Shown | None], Iterable[str]],
    quiet: bool = False,
    json: bool = False,
    interval: float = PLAIN_INTERVAL,
) -> View[Shown]:
    """The view that fits: none if `quiet`, live on a terminal, otherwise plain lines.

    Args:
        console: on standard error.
        picture: drawn on a terminal.
        lines: printed elsewhere; the second argument is what the last ones were about.
        json: the summary goes to standard output as JSON; then there are no plain lines either.
        interval: seconds between two plain lines.
    """
    if quiet:
        return SilentView()
    if console.is_terminal and not console.is_dumb_terminal:
        return LiveView(console, picture)
    return SilentView() if json else PlainView(console, lines, interval)


class SilentView:
    """Shows nothing."""

    def update(self, state: object) -> None:
        """Nothing is shown."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is to be undone."""


class PlainView(Generic[Shown]):
    """Lines at the first update, then every `interval` seconds, and the last ones; and where the
    time that has passed begins anew.

    Each begins with the time: `12:00:05 done 1200/10000 (12%) 240.1/s in flight 100 p95 31.0 ms
    eta 0:00:37 issued 1198 rejected 2`, all on one line.
    """

    def __init__(
        self,
        console: Console,
        lines: Callable[[Shown, Shown | None], Iterable[str]],
        interval: float = PLAIN_INTERVAL,
        wall_clock: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC).astimezone(),
    ) -> None:
        self._console = console
        self._lines = lines
        self._interval = interval
        self._wall_clock = wall_clock
        self._due = 0.0
        self._newest: Shown | None = None
        self._printed: Shown | None = None

    def update(self, state: Shown) -> None:
        before, self._newest = self._newest, state
        began_anew = before is not None and state.elapsed < before.elapsed
        if state.elapsed >= self._due or began_anew:
            # counted on from this line: after a stall there is no burst of lines
            self._due = state.elapsed + self._interval
            self._print(state)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._newest is not None and self._newest is not self._printed:
            self._print(self._newest)

    def _print(self, state: Shown) -> None:
        before, self._printed = self._printed, state
        time = self._wall_clock().strftime("%H:%M:%S")
        for line in self._lines(state, before):
            text = clean(f"{time} {line}", self._console)
            self._console.print(text, markup=False, highlight=False, emoji=False, soft_wrap=True)


class LiveView(Generic[Shown]):
    """A panel that is redrawn in place, and is gone in the end."""

    def __init__(self, console: Console, picture: Callable[[Shown], RenderableType]) -> None:
        self._picture = picture
        self._live = Live(
            console=console,
            auto_refresh=False,
            transient=True,
            # standard output may be a pipe that waits for the summary
            redirect_stdout=False,
        )

    def update(self, state: Shown) -> None:
        self._live.update(self._picture(state), refresh=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()
