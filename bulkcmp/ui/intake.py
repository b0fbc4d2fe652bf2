"""What an import would write, and what is wrong with the rows that it rejects."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from bulkcmp.engine.intake import Intake, Kind
from bulkcmp.inputs.row import SECRETS
from bulkcmp.outputs.text import visible

_WIDEST: Final = 60
"""Characters of a cell that are shown."""


def first_rows(intake: Intake, columns: Sequence[str]) -> RenderableType:
    """The first rows, without what is a secret in them."""
    table = Table(title="First rows", title_justify="left", box=None, header_style="bold")
    used = [name for name in columns if any(name in row for row in intake.first)]
    for name in used:
        table.add_column(name, overflow="fold")
    for row in intake.first:
        table.add_row(*(Text(_cell(name, row.get(name, ""))) for name in used))
    return table


def problems(intake: Intake) -> RenderableType:
    """Each kind of problem, the most frequent first, with its count and its first examples."""
    kinds = sorted(intake.kinds.items(), key=lambda item: -item[1].count)
    return Group(*(line for (_, what), kind in kinds for line in _kind(what, kind)))


def _kind(what: str, kind: Kind) -> Iterator[Text]:
    column = f"column {kind.column}: " if kind.column else ""
    yield Text(f"{kind.count:,} × {column}{visible(what)}", style="bold")
    yield from _lines(kind.examples)
    if kind.hint:
        yield Text(f"    hint: {visible(kind.hint)}")


def _lines(examples: Iterable[str]) -> Iterator[Text]:
    return (Text(f"    {visible(example)}") for example in examples)


def _cell(name: str, text: str) -> str:
    if name in SECRETS and text.startswith("pass:"):
        return "pass:…"
    shown = visible(text)
    return shown if len(shown) <= _WIDEST else f"{shown[: _WIDEST - 1]}…"


def plain_console() -> Console:
    """Standard error, where what is told of a file goes."""
    return Console(stderr=True, highlight=False, soft_wrap=True, markup=False)
