"""What a load test measures: kept in its folder, and counted as it comes."""

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import anyio

from bulkcmp.engine.frame import Report
from bulkcmp.engine.load.plan import LoadPlan
from bulkcmp.errors import BulkcmpError
from bulkcmp.load.folder import CERTIFICATES, RECORDS
from bulkcmp.outputs.certificates import CertificateTable
from bulkcmp.outputs.records import RecordWriter
from bulkcmp.stats.capacity import Capacity, Course
from bulkcmp.stats.figures import Figures
from bulkcmp.stats.record import (
    End,
    Fault,
    Record,
    Run,
    TransactionRecord,
    Window,
    to_microsecond,
)

TICK: Final = 0.5
"""Seconds between two looks at the figures."""


@dataclass
class Keeper:
    """Takes in what is measured: keeps it, and counts it.

    What can't be kept ends the test as a crossed threshold would: what is under way is drained,
    counted, and kept as far as that is possible.

    Args:
        folder: of the run, which has nothing yet that a load test keeps.
        on_figures: shown how the test stands, and what a search has come to.
        on_notice: told, in plain English, what a threshold led to.

    Attributes:
        run: stands before the records.
        figures: of what goes on now.
        failure: what ends the test before its time; None where nothing does.
        unconfirmed: certificates of which the CA is not known to know that we have them.

    Raises:
        BulkcmpError: a file can't be made; of the constructor and at the beginning.
    """

    plan: LoadPlan
    folder: Path
    on_figures: Callable[[Figures, Capacity | None], None]
    on_notice: Callable[[str], None]
    run: Run = field(init=False)
    figures: Figures = field(init=False, default_factory=Figures)
    failure: BulkcmpError | None = field(init=False, default=None)
    unconfirmed: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.run = self.plan.run
        self.figures.begin(self.run.warm_up)
        self._certificates = CertificateTable(self.folder / CERTIFICATES)
        self._records: RecordWriter | None = None
        self._is_under_way = False
        self._crossed = False
        self._last = 0.0
        self._issued = 0

    @property
    def is_empty(self) -> bool:
        """Whether no transaction came to an end, and no certificate."""
        return not self._last and not self._issued

    @property
    def chosen(self) -> Figures:
        """The figures that are to be reported."""
        return self.figures

    @property
    def capacity(self) -> Capacity | None:
        """What a search has come to; None where there is none."""
        return None

    def begin(self, epoch: float) -> None:
        """The test begins.

        Args:
            epoch: Unix time from which the seconds of records count.
        """
        self._open(epoch)
        self._is_under_way = True

    def take(self, report: Report) -> None:
        self._note(report.records)
        for record in report.records:
            if isinstance(record, TransactionRecord):
                self._last = max(self._last, record.finished)
        for one in report.certificates:
            self._certificates.add(one)
            self._issued += 1
            self.unconfirmed += not one.outcome.is_done

    async def watch(self, stop: Callable[[], None]) -> None:
        """Show the figures, and stop what the thresholds say must end, and what can't be kept."""
        is_stopped = False
        while True:
            await anyio.sleep(TICK)
            self._flush()
            self.on_figures(self.figures, self.capacity)
            if self.failure is not None:
                if not is_stopped:
                    is_stopped = True
                    self.on_notice(f"stopping: {self.failure}")
                    stop()
            elif self._is_under_way and not self._crossed:
                self._stop_where_crossed(stop)

    def fail(self, error: BulkcmpError) -> None:
        """The test can't go on; the first reason is the one that counts."""
        if self.failure is None:
            self.failure = error

    def end(
        self, abandoned: int = 0, *, interrupted: bool = False, exhausted: bool = False
    ) -> None:
        """The test is over, or a window of a search."""
        if self._records is None:
            # one that was stopped while its keys were made has not begun
            self._open(self.run.began_at.timestamp())
        self._is_under_way = False
        end = End(self._last, abandoned, interrupted, self._crossed, exhausted)
        # what can't be kept shall be known before
        self._flush()
        self._write([self._told(end)])
        self._flush()
        self._count([self._told(end)])
        self.on_figures(self.figures, self.capacity)

    def close(self) -> None:
        """Nothing more comes."""
        if self._records is not None:
            self._attempt(self._records.close)
        self._attempt(self._certificates.close)

    def _told(self, end: End) -> End:
        if self.failure is None:
            return end
        return replace(end, failed=Fault(str(self.failure), self.failure.exit_code))

    def _stop_where_crossed(self, stop: Callable[[], None]) -> None:
        for one in self.plan.thresholds:
            if one.aborts(self.figures):
                self._crossed = True
                self.on_notice(f"stopping: {one.text} does not hold")
                stop()
                return

    def _open(self, epoch: float) -> None:
        self.run = replace(self.run, began_at=dt.datetime.fromtimestamp(epoch, dt.UTC))
        self._records = RecordWriter(self.folder / RECORDS, self.run)

    def _note(self, records: Sequence[Record]) -> None:
        self._write(records)
        self._count(records)

    def _write(self, records: Sequence[Record]) -> None:
        assert self._records is not None, "nothing is measured before the beginning"
        self._records.write(records)

    def _flush(self) -> None:
        if self._records is not None:
            self._attempt(self._records.flush)
        self._attempt(self._certificates.flush)

    def _attempt(self, write: Callable[[], None]) -> None:
        try:
            write()
        except BulkcmpError as error:
            self.fail(error)

    def _count(self, records: Sequence[Record]) -> None:
        self.figures.feed(records)


class SearchKeeper(Keeper):
    """Counts the windows of a search apart."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._epoch = 0.0
        self._course = Course(self.run, self.plan.thresholds)

    @property
    def is_empty(self) -> bool:
        return super().is_empty and not self.capacity.trials

    @property
    def chosen(self) -> Figures:
        return self._course.chosen

    @property
    def capacity(self) -> Capacity:
        return self._course.capacity

    @property
    def rate(self) -> float | None:
        return None if self.failure is not None else self.capacity.rate

    def begin_window(self, rate: float, epoch: float) -> None:
        if self._records is None:
            self._open(epoch)
            self._epoch = epoch
        self._is_under_way, self._crossed, self._last = True, False, 0.0
        self._note([Window(rate, to_microsecond(epoch - self._epoch))])

    def _count(self, records: Sequence[Record]) -> None:
        self._course.feed(records)
        self.figures = self._course.figures
