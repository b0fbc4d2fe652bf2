"""The view of a run while it goes on: a live panel on a terminal, plain lines elsewhere.

Views hold no timer and start no thread; they draw when `update` is called (4 to 10 times a second
is meant). They write to the console they get, which is standard error, so that standard output is
free for the summary.
"""

import datetime as dt
from collections.abc import Callable
from types import TracebackType
from typing import Final, Protocol, Self

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bulkcmp.stats.progress import NewestError, Snapshot
from bulkcmp.ui.figures import clean, clock, describe, duration, per_second, share
from bulkcmp.ui.latencies import latency_table
from bulkcmp.ui.outcomes import by_class, commonest

PLAIN_INTERVAL: Final = 10.0
"""Seconds between two lines of the plain view."""

_FEWEST_CLASSES: Final = 3
_ERROR_LINES: Final = 2


class View(Protocol):
    """Shows snapshots of a run; use it as a context manager around the run."""

    def update(self, snapshot: Snapshot) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


def make_view(
    console: Console,
    *,
    quiet: bool = False,
    json: bool = False,
    interval: float = PLAIN_INTERVAL,
) -> View:
    """The view that fits: none if `quiet`, live on a terminal, otherwise plain lines.

    Args:
        console: on standard error.
        json: the summary goes to standard output as JSON; then there are no plain lines either.
        interval: seconds between two plain lines.
    """
    if quiet:
        return SilentView()
    if console.is_terminal and not console.is_dumb_terminal:
        return LiveView(console)
    return SilentView() if json else PlainView(console, interval)


class SilentView:
    """Shows nothing."""

    def update(self, snapshot: Snapshot) -> None:
        """Nothing is shown."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is to be undone."""


class PlainView:
    """A line at the first update, then one every `interval` seconds of the run, and a last one.

    `12:00:05 done 1200/10000 (12%) 240.1 rows/s in flight 100 p95 31.0 ms eta 0:00:37 issued
    1198 rejected 2`, all on one line; a failure that is newer than the last line gets a second one.
    """

    def __init__(
        self,
        console: Console,
        interval: float = PLAIN_INTERVAL,
        wall_clock: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC).astimezone(),
    ) -> None:
        self._console = console
        self._interval = interval
        self._wall_clock = wall_clock
        self._due = 0.0
        self._newest: Snapshot | None = None
        self._printed: Snapshot | None = None

    def update(self, snapshot: Snapshot) -> None:
        self._newest = snapshot
        if snapshot.elapsed >= self._due:
            # counted on from this line: after a stall there is no burst of lines
            self._due = snapshot.elapsed + self._interval
            self._print(snapshot)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._newest is not None and self._newest is not self._printed:
            self._print(self._newest)

    def _print(self, snapshot: Snapshot) -> None:
        before = self._printed.newest_error if self._printed else None
        self._printed = snapshot
        time = self._wall_clock().strftime("%H:%M:%S")
        lines = [f"{time} {plain_line(snapshot)}"]
        error = snapshot.newest_error
        if error is not None and error != before:
            lines.append(f"{time} newest error {describe(error)}")
        for line in lines:
            text = clean(line, self._console)
            self._console.print(text, markup=False, highlight=False, emoji=False, soft_wrap=True)


def plain_line(snapshot: Snapshot) -> str:
    """One line that says how the run stands; no text of the peer is in it."""
    parts = []
    if snapshot.total is None:
        parts.append(f"done {snapshot.done}")
    else:
        portion = share(snapshot.done, snapshot.total)
        parts.append(f"done {snapshot.done}/{snapshot.total} ({portion})")
    parts.append(f"{snapshot.rate_now:.1f} rows/s in flight {snapshot.in_flight}")
    if snapshot.success.service.p95 is not None:
        parts.append(f"p95 {duration(snapshot.success.service.p95)}")
    if snapshot.eta is not None:
        parts.append(f"eta {clock(snapshot.eta)}")
    parts += [f"{one.outcome.value} {one.rows}" for one in by_class(snapshot.counts)]
    return " ".join(parts)


class LiveView:
    """A panel that is redrawn in place, and is gone when the run is over."""

    def __init__(self, console: Console) -> None:
        self._live = Live(
            console=console,
            auto_refresh=False,
            transient=True,
            # standard output may be a pipe that waits for the summary
            redirect_stdout=False,
        )

    def update(self, snapshot: Snapshot) -> None:
        self._live.update(Frame(snapshot), refresh=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()


class Frame:
    """One picture of the live view, laid out for the width and height it is drawn at."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        snapshot = self._snapshot
        above: list[RenderableType] = [_headline(snapshot)]
        if snapshot.total:
            above.append(_bar(snapshot.total, snapshot.done))
        above.append(_rates(snapshot, options.max_width))
        if snapshot.keys_waiting >= 1:
            waited = f"waited {clock(snapshot.keys_waiting)} for keys to be made"
            above.append(Text(waited, style="yellow"))
        if snapshot.success.service.count or snapshot.failure.service.count:
            table = latency_table(snapshot.success, snapshot.failure, options.max_width)
            above += [Text(), table]
        below: list[RenderableType] = []
        if (error := snapshot.newest_error) is not None:
            ago = snapshot.elapsed - error.at
            below += [Text(), _newest_error(error, ago, console, options)]
        taken = len(console.render_lines(Group(*above, *below), options, new_lines=False))
        # a blank line before the classes, and the terminal's last line stays free for its cursor
        most = max(console.height - taken - 2, _FEWEST_CLASSES)
        yield Group(*above)
        if snapshot.counts:
            yield Text()
            yield from _outcomes(snapshot, most, console, options)
        yield Group(*below)


def _headline(snapshot: Snapshot) -> Text:
    if snapshot.total is None:
        text = f"{snapshot.done:,} rows done"
    else:
        portion = share(snapshot.done, snapshot.total)
        text = f"{snapshot.done:,} of {snapshot.total:,} rows done ({portion})"
    if snapshot.already_done:
        text += f", {snapshot.already_done:,} of them before"
    return Text(text, style="bold")


def _bar(total: int, done: int) -> Table:
    # a bare ProgressBar does not end its line
    table = Table.grid(expand=True)
    table.add_row(ProgressBar(total, done))
    return table


def _rates(snapshot: Snapshot, width: int) -> RenderableType:
    figures = [
        f"{per_second(snapshot.rate_now, 'rows')} now",
        f"{per_second(snapshot.rate_average, 'rows')} average",
        f"{snapshot.in_flight:,} in flight",
        f"elapsed {clock(snapshot.elapsed)}",
        f"ETA {'-' if snapshot.eta is None else clock(snapshot.eta)}",
    ]
    lines = [""]
    for figure in figures:
        joined = f"{lines[-1]}   {figure}" if lines[-1] else figure
        if len(joined) <= width:
            lines[-1] = joined
        else:
            lines.append(figure)
    return Text("\n".join(lines))


def _outcomes(
    snapshot: Snapshot, most: int, console: Console, options: ConsoleOptions
) -> list[Text]:
    """A line for each class, at most `most`: where there are more, the rarest share the last."""
    classes, rest = commonest(by_class(snapshot.counts), most)
    figures = max(len(f"{snapshot.done:,}"), 6)
    lines = []
    for one in classes:
        line = Text(f"{one.rows:>{figures},}  ")
        line.append(one.outcome.value, style=one.style)
        if one.why:
            line.append(f": {clean(one.why, console)}")
        lines.append(line)
    if rest:
        rows = sum(one.rows for one in rest)
        lines.append(Text(f"{rows:>{figures},}  in {len(rest)} other classes"))
    for line in lines:
        _fit(line, options.max_width, options)
    return lines


def _newest_error(
    error: NewestError, ago: float, console: Console, options: ConsoleOptions
) -> Text:
    text = Text(f"newest error, {clock(ago)} ago: ", style="red", overflow="fold")
    text.append(clean(describe(error), console), style="default")
    _fit(text, options.max_width * _ERROR_LINES, options)
    return text


def _fit(text: Text, cells: int, options: ConsoleOptions) -> None:
    text.truncate(cells, overflow="crop" if options.ascii_only else "ellipsis")
