"""A run while it goes on: one picture of it for a terminal, and the plain lines for elsewhere."""

from functools import partial
from typing import Final

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bulkcmp.stats.progress import NewestError, Snapshot
from bulkcmp.ui.figures import clean, clock, describe, duration, per_second, share, waiting
from bulkcmp.ui.latencies import latency_table
from bulkcmp.ui.outcomes import by_class, commonest
from bulkcmp.ui.view import view_for

_FEWEST_CLASSES: Final = 3
_ERROR_LINES: Final = 2


def plain_lines(snapshot: Snapshot, before: Snapshot | None) -> list[str]:
    """One line, and a second one where a failure is newer than the last lines.

    Args:
        before: what the last lines were about.
    """
    lines = [plain_line(snapshot)]
    error = snapshot.newest_error
    if error is not None and error != (before.newest_error if before else None):
        lines.append(f"newest error {describe(error)}")
    return lines


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
    if snapshot.held is not None:
        parts.append(f"held back: {waiting(snapshot.held)}")
    parts += [f"{one.outcome.value} {one.rows}" for one in by_class(snapshot.counts)]
    return " ".join(parts)


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
        if snapshot.held is not None:
            held = clean(f"nothing begins: {waiting(snapshot.held)}", console)
            above.append(Text(held, style="yellow"))
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


make_view = partial(view_for, picture=Frame, lines=plain_lines)
"""The view of a run that fits a console."""
