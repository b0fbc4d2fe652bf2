"""The table of latencies by step, as the live view and the final summary show it."""

from typing import Final

from rich.table import Table

from bulkcmp.stats.progress import Latencies
from bulkcmp.ui.figures import duration

_NARROW: Final = 60


def latency_table(success: Latencies, failure: Latencies, width: int) -> Table:
    """A line for each step that some transaction had; `width` columns are there for it.

    The steps are those of transactions that reached what the user asked for; `failed` is the
    whole of the others.
    """
    narrow = width < _NARROW
    # with one blank between them the five columns fit into 40
    table = Table.grid(padding=(0, 1 if narrow else 2, 0, 0))
    table.add_column(no_wrap=True)
    heads = ("p50", "p95", "p99", "max") if narrow else ("mean", "p50", "p95", "p99", "max")
    for _ in heads:
        table.add_column(justify="right", no_wrap=True)
    table.add_row("latency", *heads, style="dim")
    for name, latency in (
        ("done", success.service),
        ("request", success.request),
        ("polling", success.polling),
        ("confirm", success.confirm),
        ("failed", failure.service),
    ):
        if latency.count:
            figures = (latency.mean, latency.p50, latency.p95, latency.p99, latency.max)
            table.add_row(name, *(duration(figure) for figure in figures[-len(heads) :]))
    return table
