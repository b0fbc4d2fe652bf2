"""A load test that is watched from outside: a page for Prometheus, and pushes over OTLP."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from bulkcmp.errors import InputError
from bulkcmp.outputs.readings import Readings
from bulkcmp.outputs.text import visible
from bulkcmp.stats.figures import Figures
from bulkcmp.stats.metrics import metrics
from bulkcmp.stats.record import Run
from bulkcmp.stats.threshold import Threshold

if TYPE_CHECKING:
    from bulkcmp.outputs.otlp import Pusher

INTERVAL: Final = 10.0
"""Seconds between two pushes, if nothing else is said."""

SHORTEST: Final = 1.0
"""Seconds between two pushes, at least: figures are looked at twice a second."""


@dataclass(frozen=True, slots=True)
class Watchers:
    """Who watches.

    Attributes:
        prometheus: address of the page to serve; None for none.
        otlp: URL to push to; None for none.
        interval: seconds between two pushes.
    """

    prometheus: str | None = None
    otlp: str | None = None
    interval: float = INTERVAL


class Monitor:
    """Shows figures to who watches them, and tells of a collector that can't be reached.

    Args:
        readings: of the figures.
        on_notice: told, in plain English, what goes wrong.

    Attributes:
        pusher: what pushes them; None where nothing does.
    """

    def __init__(self, readings: Readings, on_notice: Callable[[str], None]) -> None:
        self._readings = readings
        self._on_notice = on_notice
        self._is_told = False
        self._is_over = False
        self.pusher: Pusher | None = None

    def update(self, figures: Figures) -> None:
        """The figures as they stand; to be called again and again, in their own thread."""
        self._readings.update(figures)
        if self.pusher is not None and self.pusher.failures and not self._is_told:
            self._is_told = True
            self._on_notice(
                f"metrics can't be pushed: {visible(self.pusher.trouble)}; the run goes on"
            )

    def finish(self) -> None:
        """The figures change no more: nobody waits for the next update."""
        if not self._is_over:
            self._is_over = True
            self._readings.close()

    def sum_up(self) -> None:
        """Tell how many pushes failed, if any did."""
        if self.pusher is not None and self.pusher.failures:
            self._on_notice(
                f"{self.pusher.failures:,} of {self.pusher.pushes:,} pushes of metrics failed:"
                f" {visible(self.pusher.trouble)}"
            )


@contextmanager
def monitored(
    run: Run,
    thresholds: Sequence[Threshold],
    watchers: Watchers,
    on_notice: Callable[[str], None],
) -> Iterator[Monitor]:
    """Let a run be watched while the block goes on; the last figures are pushed at its end.

    What goes wrong with a collector is told, and does not disturb the run.

    Raises:
        InputError: an address is bad or can't be used, or a library is not installed.
    """
    figures = Figures()
    figures.begin(run.warm_up)
    readings = Readings(partial(metrics, run, thresholds=thresholds), figures)
    monitor = Monitor(readings, on_notice)
    with ExitStack() as stack:
        stack.callback(monitor.sum_up)
        if watchers.prometheus is not None:
            on_notice(f"metrics: {_serve(stack, watchers.prometheus, readings)}")
        if watchers.otlp is not None:
            monitor.pusher = _push(stack, watchers.otlp, watchers.interval, readings, run)
        # before the last push, which would wait for an update
        stack.callback(monitor.finish)
        yield monitor


def _serve(stack: ExitStack, address: str, readings: Readings) -> str:
    try:
        from bulkcmp.outputs import prometheus
    except ModuleNotFoundError as error:
        raise _missing("--prometheus", error) from None
    at = prometheus.Address.parse(address)
    return stack.enter_context(prometheus.serving(at, lambda: readings.get().families))


def _push(stack: ExitStack, url: str, interval: float, readings: Readings, run: Run) -> "Pusher":
    try:
        from bulkcmp.outputs import otlp
    except ModuleNotFoundError as error:
        raise _missing("--otlp", error) from None
    return stack.enter_context(
        otlp.pushing(otlp.endpoint(url), interval, readings.get, run, str(uuid4()))
    )


def _missing(option: str, error: ModuleNotFoundError) -> InputError:
    return InputError(
        f"{option} needs {error.name}, which is not installed",
        hint="pip install 'bulkcmp[metrics]'",
    )
