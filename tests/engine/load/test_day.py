"""24 hours of records, as a load test and an enrollment yield them, through all that lives as long
as a run: what is kept in memory is bounded, what is written is linear, and the figures are right.

Time is virtual. With BULKCMP_SCALE=full there are 50 transactions a second, which takes minutes of
CPU; the default has eight a minute, with the same invariants.
"""

import datetime as dt
import gc
import io
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil, log
from pathlib import Path
from typing import Final

import anyio
import psutil
import pytest
import trio.testing
from rich.console import Console

from bulkcmp.engine.frame import Report as Told
from bulkcmp.engine.load import keeper
from bulkcmp.engine.load.keeper import Keeper
from bulkcmp.engine.load.plan import KeyPlan, LoadPlan
from bulkcmp.errors import Loss
from bulkcmp.load.certified import Certified
from bulkcmp.load.folder import CERTIFICATES, RECORDS
from bulkcmp.load.scenario import KeyMode
from bulkcmp.model import Operation, Outcome, OutcomeClass, Timings
from bulkcmp.outputs.records import record_files, report_of
from bulkcmp.stats.figures import Latencies
from bulkcmp.stats.health import Pulse
from bulkcmp.stats.histogram import RELATIVE_ERROR
from bulkcmp.stats.metrics import metrics
from bulkcmp.stats.progress import Progress
from bulkcmp.stats.record import (
    Ending,
    Exchange,
    Level,
    Run,
    TransactionRecord,
    to_microsecond,
)
from bulkcmp.stats.report import Report
from bulkcmp.stats.series import MOST_INTERVALS
from bulkcmp.stats.threshold import Threshold
from bulkcmp.ui import live, load

_FULL: Final = os.environ.get("BULKCMP_SCALE") == "full"
_SECONDS: Final = 86_400
_STEP: Final = 1 if _FULL else 60
"""Seconds from one time that the workers tell of what they did to the next."""
_AT_ONCE: Final = 50 if _FULL else 8
"""Transactions that they tell of each time."""
_COUNT: Final = _SECONDS // _STEP * _AT_ONCE
_LOOKS: Final = 12 if _FULL else 6
"""Times that memory and files are looked at, evenly over the run."""
_WARM_UP: Final = 300.0
_FAILED: Final = 1000
"""One of so many transactions fails."""
_MEAN: Final = 0.05
"""Seconds that a transaction takes in the mean; so long they take that are distributed
exponentially."""
_STRIDE: Final = 1_000_003
"""A prime, and so without a divisor in common with their number."""
_ISSUED: Final = (Ending(OutcomeClass.ISSUED),)
_PLAN: Final = LoadPlan(
    assignments=(),
    rows={},
    count=None,
    certs_per_message=1,
    keys=KeyPlan(KeyMode.UNIQUE),
    thresholds=(Threshold.parse("p99(response) < 5s"),),
    facts={},
    revoke_at="",
    run=Run(
        "0",
        dt.datetime(2026, 11, 28, tzinfo=dt.UTC),
        "a day",
        "http://127.0.0.1/",
        "open",
        "unique",
        warm_up=_WARM_UP,
        thresholds=("p99(response) < 5s",),
    ),
)
_LOST: Final = (Ending(OutcomeClass.UNKNOWN, "no answer in time", detail="after 30 s"),)


def latency(rank: int) -> float:
    """Seconds of the transaction that is the `rank`-th of all from below, from 0."""
    return -_MEAN * log(1.0 - (rank + 0.5) / _COUNT)


def record(number: int) -> TransactionRecord:
    """One of all, each of which has another latency, in an order that knows nothing of them."""
    planned = number * _STEP / _AT_ONCE
    started = to_microsecond(planned + 0.001)
    lasts = latency(number * _STRIDE % _COUNT)
    finished = to_microsecond(started + lasts)
    between = to_microsecond(started + 0.6 * lasts)
    is_lost = number % _FAILED == 0
    return TransactionRecord(
        arrival=number,
        lifecycle="kept",
        step=0,
        operation=Operation.IR,
        planned=to_microsecond(planned),
        started=started,
        finished=finished,
        warm_up=planned < _WARM_UP,
        endings=_LOST if is_lost else _ISSUED,
        certificates=0 if is_lost else 1,
        exchanges=(
            Exchange(
                "ir",
                "ip",
                started,
                between,
                sent=started,
                first_byte=between,
                octets_sent=642,
                octets_received=1131,
            ),
            Exchange(
                "certConf",
                "" if is_lost else "pkiconf",
                between,
                finished,
                Loss.TIMEOUT if is_lost else None,
                sent=between,
                first_byte=None if is_lost else finished,
                octets_sent=247,
                octets_received=0 if is_lost else 194,
            ),
        ),
        crypto=0.0006,
    )


def told(time: int) -> Told:
    """What two workers tell, and the parent of itself."""
    records = [record(number) for number in range(time * _AT_ONCE, (time + 1) * _AT_ONCE)]
    names = "parent", "worker 1", "worker 2"
    at = float((time + 1) * _STEP)
    pulses = [Pulse(name, at, _STEP, 0.1 * _STEP, 0.0005, 0.0, 30, 1024) for name in names]
    levels = [Level(name, at, 3) for name in names[1:]]
    certificates = [
        Certified(
            one.arrival,
            f"soak-{one.arrival:08}",
            Operation.IR,
            (one.arrival + 1) * _STRIDE,
            OutcomeClass.ISSUED,
            bytes(60),
            bytes(80),
        )
        for one in records
        if one.is_ok
    ]
    return Told(0, (*records, *pulses, *levels), tuple(certificates))


@dataclass(frozen=True)
class Look:
    """How a run is at an instant.

    Attributes:
        blocks: of memory that Python has given out since the beginning.
        uss: octets that this process has for itself alone.
        records, certificates: octets of the files.
        lines: of the pictures of a load test and of an enrollment, and metrics that are told.
    """

    blocks: int
    uss: int
    records: int
    certificates: int
    lines: tuple[int, int, int]


@dataclass
class Day:
    """A run of so many virtual seconds, and how it was at each look."""

    folder: Path
    looks: list[Look] = field(default_factory=list)
    keeper: Keeper = field(init=False)
    progress: Progress = field(init=False)
    _before: int = field(init=False)

    def play(self) -> None:
        gc.collect()
        self._before = sys.getallocatedblocks()
        clock = trio.testing.MockClock(autojump_threshold=0)
        anyio.run(self._play, backend="trio", backend_options={"clock": clock})

    async def _play(self) -> None:
        self.progress = Progress(anyio.current_time(), total=_COUNT)
        self.keeper = Keeper(_PLAN, self.folder, lambda *_: None, lambda _: None)
        self.keeper.begin(0.0)
        async with anyio.create_task_group() as group:
            group.start_soon(self.keeper.watch, group.cancel_scope.cancel)
            for time in range(_SECONDS // _STEP):
                await anyio.sleep(_STEP)
                self._take(told(time))
                if (time + 1) * _STEP % (_SECONDS // _LOOKS) == 0:
                    self._look()
            group.cancel_scope.cancel()
        self.keeper.end()
        self.keeper.close()

    def _take(self, told: Told) -> None:
        self.keeper.take(told)
        now = anyio.current_time()
        for one in told.records:
            if isinstance(one, TransactionRecord):
                self.progress.started(now)
                (ending,) = one.endings
                outcome = Outcome(ending.outcome, ending.reason, ending.detail)
                request, confirm = (each.finished - each.started for each in one.exchanges)
                timings = Timings(one.service, request, None, confirm)
                self.progress.finished(now, [(f"soak-{one.arrival:08}", outcome)], timings)

    def _look(self) -> None:
        figures = self.keeper.figures
        lines = (
            drawn(load.Frame(self.report(load.INTERVALS))),
            drawn(live.Frame(self.progress.snapshot(anyio.current_time()))),
            sum(len(one.samples) for one in metrics(self.keeper.run, figures, _PLAN.thresholds)),
        )
        gc.collect()
        look = Look(
            sys.getallocatedblocks() - self._before,
            psutil.Process().memory_full_info().uss,
            (self.folder / RECORDS).stat().st_size,
            (self.folder / CERTIFICATES).stat().st_size,
            lines,
        )
        self.looks.append(look)
        print(f"{len(self.looks) * 24 // _LOOKS:2} h: {look}", flush=True)

    def report(self, newest: int | None = None) -> Report:
        figures = self.keeper.figures
        return Report.of([self.keeper.run], figures, _PLAN.thresholds, newest=newest)


def drawn(frame: load.Frame | live.Frame) -> int:
    """Lines of a picture."""
    with Console(file=io.StringIO(), width=200, height=60, force_terminal=True) as console:
        return len(console.render_lines(frame))


def is_flat(figures: Sequence[int], growth: float) -> bool:
    """Whether the second half has nothing that is higher than the first half's highest.

    The time line doubles the length of its intervals when there are too many of them: what it
    takes goes up and down, twice as long each time.

    Args:
        growth: share that is no matter.
    """
    middle = len(figures) // 2
    return max(figures[middle:]) <= (1.0 + growth) * max(figures[:middle])


def is_linear(figures: Sequence[int]) -> bool:
    """Whether each look is on the line through zero and the last, but for 2 % of the last."""
    each = figures[-1] / len(figures)
    away = (abs(one - each * place) for place, one in enumerate(figures, 1))
    return max(away) <= 0.02 * figures[-1]


def exact(q: float) -> float:
    """The percentile by nearest rank."""
    return latency(ceil(Fraction(str(q)) / 100 * _COUNT) - 1)


@pytest.mark.timeout(6 * 3600)
def test_a_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not _FULL:
        # nothing happens in between
        monkeypatch.setattr(keeper, "TICK", float(_STEP))
    day = Day(tmp_path)
    day.play()
    looks = day.looks
    assert day.keeper.failure is None
    assert is_flat([one.blocks for one in looks], 0.15)
    assert is_linear([one.records for one in looks])
    assert is_linear([one.certificates for one in looks])
    # as much is shown in the end as in the beginning
    assert len({one.lines for one in looks}) == 1

    report = day.report()
    all_ = Latencies()
    for part in (day.keeper.figures.warm_up, day.keeper.figures.measured):
        of_all = part.all_operations()
        all_.merge(of_all.ok)
        all_.merge(of_all.failed)
    assert all_.service.count == _COUNT
    for q in (1, 25, 50, 75, 90, 95, 99, 99.9):
        assert all_.service.percentile(q) == pytest.approx(exact(q), rel=1.1 * RELATIVE_ERROR)
    assert all_.service.max == pytest.approx(latency(_COUNT - 1), abs=1e-5)
    assert report.total.failed + report.warm_up.failed == -(-_COUNT // _FAILED)
    assert len(report.intervals) <= MOST_INTERVALS
    assert sum(one.finished for one in report.intervals) == _COUNT

    snapshot = day.progress.snapshot(_SECONDS)
    assert (snapshot.done, snapshot.in_flight) == (_COUNT, 0)
    found = snapshot.success.service.p99
    assert found == pytest.approx(exact(99), rel=0.02)

    # what stands in the file is all that was shown, and takes no more to read
    before = psutil.Process().memory_full_info().uss
    again, _ = report_of(record_files([tmp_path]))
    print("reading the file:", psutil.Process().memory_full_info().uss - before)
    assert again == report
