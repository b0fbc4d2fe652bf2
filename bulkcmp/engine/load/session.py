"""A load test from its plan to its records and figures."""

import datetime as dt
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final
from uuid import uuid4

import anyio

from bulkcmp.engine.failure import first_error
from bulkcmp.engine.frame import Report
from bulkcmp.engine.interruption import Interruption
from bulkcmp.engine.keys import FiledKeys, KeySource, PooledKeys
from bulkcmp.engine.load.capacity import CapacityRun
from bulkcmp.engine.load.cleanup import keep_settings
from bulkcmp.engine.load.plan import KeyPlan, LoadPlan
from bulkcmp.engine.load.provision import OneKey, Provision
from bulkcmp.engine.load.run import LoadRun
from bulkcmp.errors import BulkcmpError
from bulkcmp.io.clock import SystemClock
from bulkcmp.io.keypool import KeyPool
from bulkcmp.journal.keyfile import KeyFile
from bulkcmp.load.chance import Chance
from bulkcmp.load.folder import CERTIFICATES, RECORDS, SETTINGS
from bulkcmp.load.scenario import KeyMode
from bulkcmp.outputs.certificates import CertificateTable
from bulkcmp.outputs.records import RecordWriter
from bulkcmp.stats.capacity import Capacity, Course
from bulkcmp.stats.figures import Figures
from bulkcmp.stats.record import End, Record, Run, TransactionRecord, Window, to_microsecond

_AHEAD: Final = 4096
"""Keys of a type that are made ahead of the network, at most."""

_TICK: Final = 0.5
"""Seconds between two looks at the figures."""


async def session(
    plan: LoadPlan,
    folder: Path,
    *,
    on_figures: Callable[[Figures], None],
    on_notice: Callable[[str], None],
    on_capacity: Callable[[Capacity], None],
) -> tuple[Run, Figures]:
    """Run a load test, or a search for the capacity, and keep its records and a list of its
    certificates in a folder.

    The first SIGINT or SIGTERM begins nothing more and drains; the second leaves at once.

    Args:
        folder: exists, and has nothing yet that a load test keeps.
        on_figures: shown how the test stands, several times a second.
        on_notice: told, in plain English, what a signal led to.
        on_capacity: shown what a search has come to, after each window.

    Returns:
        What stands before the records, and all figures; of a search, those of the highest rate
        that held.

    Raises:
        BulkcmpError: something of this machine failed, or the server was never reached; what was
            measured stays in the folder, which is as it was if that is nothing.
    """
    keeper: _Keeper | None = None
    try:
        async with anyio.create_task_group() as group:
            interruption = Interruption(on_notice, "what was measured until now is kept")
            await group.start(interruption.watch)
            keep_settings(folder, plan.facts)
            with CertificateTable(folder / CERTIFICATES) as certificates, ExitStack() as files:
                told = on_figures, on_notice
                async with _keys(plan.keys) as keys:
                    source, clock = _source(plan, keys), SystemClock()
                    if plan.run.search is None:
                        keeper = _Keeper(plan, folder, files, certificates, *told)
                        run = LoadRun(plan.assignments, source, clock, keeper.begin, keeper.take)
                        interruption.attend(run)
                        group.start_soon(keeper.watch, run.stop)
                        await run.execute()
                        keeper.end(run.abandoned, interrupted=interruption.asked)
                    else:
                        keeper = search_keeper = _SearchKeeper(
                            plan, folder, files, certificates, *told, on_capacity
                        )
                        search = CapacityRun(
                            plan.run.search, plan.assignments, source, clock, search_keeper
                        )
                        interruption.attend(search)
                        group.start_soon(keeper.watch, search.end_window)
                        await search.execute()
                if keeper.unconfirmed:
                    on_notice(
                        f"{keeper.unconfirmed:,} certificates were issued and are not confirmed;"
                        f" {folder / CERTIFICATES} has their serial numbers"
                    )
            group.cancel_scope.cancel()
    except BaseExceptionGroup as errors:
        error = first_error(errors)
        if isinstance(error, BulkcmpError) and (keeper is None or keeper.is_empty):
            # the folder may be named again, with a better server
            for name in (RECORDS, CERTIFICATES, SETTINGS):
                (folder / name).unlink(missing_ok=True)
        raise error from errors
    assert keeper is not None, "nothing went wrong"
    return keeper.run, keeper.chosen


class _Keeper:
    """Takes in what is measured: keeps it, and counts it.

    Args:
        folder: of the run.
        files: are closed at the end.
        on_figures, on_notice: as of `session`.

    Attributes:
        run: stands before the records.
        unconfirmed: certificates of which the CA is not known to know that we have them.
    """

    def __init__(
        self,
        plan: LoadPlan,
        folder: Path,
        files: ExitStack,
        certificates: CertificateTable,
        on_figures: Callable[[Figures], None],
        on_notice: Callable[[str], None],
    ) -> None:
        self._thresholds = plan.thresholds
        self._folder = folder
        self._files = files
        self._records: RecordWriter | None = None
        self._certificates = certificates
        self._on_figures = on_figures
        self._on_notice = on_notice
        self._crossed = False
        self._last = 0.0
        self._issued = 0
        self.unconfirmed = 0
        self.run = plan.run
        self.figures = Figures()
        self.figures.begin(plan.run.warm_up)

    @property
    def is_empty(self) -> bool:
        """Whether no transaction came to an end, and no certificate."""
        return not self._last and not self._issued

    @property
    def chosen(self) -> Figures:
        """The figures that are to be reported."""
        return self.figures

    def begin(self, epoch: float) -> RecordWriter:
        """The run begins.

        Args:
            epoch: Unix time from which the seconds of records count.

        Returns:
            Where its records go.
        """
        self.run = replace(self.run, began_at=dt.datetime.fromtimestamp(epoch, dt.UTC))
        writer = RecordWriter(self._folder / RECORDS, self.run)
        self._records = self._files.enter_context(writer)
        return self._records

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
        """Show the figures, and stop what the thresholds say must end."""
        while True:
            await anyio.sleep(_TICK)
            if self._records is not None:
                self._records.flush()
            self._certificates.flush()
            self._on_figures(self.figures)
            crossed = next((one for one in self._thresholds if one.aborts(self.figures)), None)
            if crossed is not None and not self._crossed:
                self._crossed = True
                self._on_notice(f"stopping: {crossed.text} does not hold")
                stop()

    def end(
        self, abandoned: int = 0, *, interrupted: bool = False, exhausted: bool = False
    ) -> None:
        if self._records is None:
            # one that was stopped while its keys were made has not begun
            self.begin(self.run.began_at.timestamp())
        self._note([End(self._last, abandoned, interrupted, self._crossed, exhausted)])
        self._on_figures(self.figures)

    def _note(self, records: Sequence[Record]) -> None:
        assert self._records is not None, "nothing is measured before the beginning"
        self._records.write(records)
        self._count(records)

    def _count(self, records: Sequence[Record]) -> None:
        self.figures.feed(records)


class _SearchKeeper(_Keeper):
    """Counts the windows of a search apart.

    Args:
        on_capacity: as of `session`.
    """

    def __init__(
        self,
        plan: LoadPlan,
        folder: Path,
        files: ExitStack,
        certificates: CertificateTable,
        on_figures: Callable[[Figures], None],
        on_notice: Callable[[str], None],
        on_capacity: Callable[[Capacity], None],
    ) -> None:
        super().__init__(plan, folder, files, certificates, on_figures, on_notice)
        self._epoch = 0.0
        self._course = Course(plan.run, plan.thresholds)
        self._on_capacity = on_capacity

    @property
    def is_empty(self) -> bool:
        return super().is_empty and not self._course.capacity.trials

    @property
    def rate(self) -> float | None:
        return self._course.capacity.rate

    @property
    def chosen(self) -> Figures:
        return self._course.chosen

    def begin_window(self, rate: float, epoch: float) -> None:
        if self._records is None:
            self.begin(epoch)
            self._epoch = epoch
        self._crossed, self._last = False, 0.0
        self._note([Window(rate, to_microsecond(epoch - self._epoch))])

    def end(
        self, abandoned: int = 0, *, interrupted: bool = False, exhausted: bool = False
    ) -> None:
        super().end(abandoned, interrupted=interrupted, exhausted=exhausted)
        self._on_capacity(self._course.capacity)

    def _count(self, records: Sequence[Record]) -> None:
        self._course.feed(records)
        self.figures = self._course.figures


def _source(plan: LoadPlan, keys: KeySource) -> Provision:
    assignment = plan.assignments[0]
    return Provision(
        plan.rows,
        assignment.lifecycles,
        Chance(assignment.seed),
        keys,
        count=plan.count,
        certs_per_message=assignment.setup.certs_per_message,
    )


@asynccontextmanager
async def _keys(plan: KeyPlan) -> AsyncIterator[KeySource]:
    if plan.file is not None:
        file = KeyFile.open(plan.file, plan.passphrase)
        with FiledKeys(plan.file, file, uuid4().hex, frozenset()) as source:
            yield source
        return
    one = plan.mode is KeyMode.ONE
    async with KeyPool(ahead=1 if one else _AHEAD) as pool:
        if plan.expected is not None:
            pool.expect(*plan.expected)
        yield OneKey(PooledKeys(pool)) if one else PooledKeys(pool)
