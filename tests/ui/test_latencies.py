"""The latency table."""

import io
from collections.abc import Callable

import pytest
from rich.console import Console

from bulkcmp.stats.histogram import LatencySummary
from bulkcmp.stats.progress import Latencies
from bulkcmp.ui.latencies import latency_table

QUICK = LatencySummary(9, 0.001, 0.0123, 0.01, 0.02, 0.0312, 0.05, 0.07, 0.1)
SLOW = LatencySummary(9, 100.0, 100.1, 110.2, 111.3, 112.4, 113.5, 114.6, 7200.0)


@pytest.mark.parametrize("width", [40, 80, 200])
def test_only_steps_that_happened_are_shown_and_nothing_is_cut(
    make_console: Callable[..., tuple[Console, io.StringIO]], width: int
) -> None:
    console, stream = make_console(width)
    success = Latencies(service=QUICK, request=QUICK, confirm=QUICK)
    console.print(latency_table(success, Latencies(service=SLOW), width))
    lines = [line.split() for line in stream.getvalue().splitlines()]
    heads = ["latency", "mean", "p50", "p95", "p99", "max"]
    quick = ["12.3", "ms", "10.0", "ms", "31.2", "ms", "50.0", "ms", "100", "ms"]
    slow = ["100", "s", "110", "s", "112", "s", "114", "s", "2:00:00"]
    if width == 40:
        heads.remove("mean")
        quick, slow = quick[2:], slow[2:]
    assert lines == [
        heads,
        ["done", *quick],
        ["request", *quick],
        ["confirm", *quick],
        ["failed", *slow],
    ]
    assert max(map(len, stream.getvalue().splitlines())) <= width
