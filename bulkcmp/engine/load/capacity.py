"""A search for the capacity of a server: one load test after the other, each at another rate.

Each window has workers of its own, which end with it: what a rate left behind in them can't spoil
the next one. End entities and keys go on from window to window.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol

import anyio

from bulkcmp.engine.colleague import Crew
from bulkcmp.engine.frame import Assignment, Report, Supply
from bulkcmp.engine.load.plan import LoadPlan, describe_arrivals, plan
from bulkcmp.engine.load.provision import Provision
from bulkcmp.engine.load.run import PROCESSES, LoadRun
from bulkcmp.engine.options import Options
from bulkcmp.errors import InputError
from bulkcmp.io.clock import Clock
from bulkcmp.io.vitals import Vitals, vitals
from bulkcmp.load.capacity import Search
from bulkcmp.load.chance import Chance
from bulkcmp.load.scenario import Open, Scenario
from bulkcmp.load.schedule import arrivals
from bulkcmp.stats.threshold import Threshold


def search_plan(
    scenario: Scenario,
    options: Options,
    environ: Mapping[str, str],
    *,
    thresholds: Iterable[str] = (),
    yes_load: Collection[str] = (),
    workers: int | None = None,
) -> LoadPlan:
    """A search for the capacity, ready to begin: arguments and errors are those of `plan`.

    What a scenario says of its rate and of its end counts for nothing.

    Raises:
        InputError: it has no rate, or its thresholds do not say what a capacity is.
    """
    if not isinstance(scenario.shape, Open):
        raise InputError(
            "a capacity is a rate, and the load of the scenario has none: it is a closed one",
            hint="give [open] in the place of [closed]",
        )
    texts = (*scenario.thresholds, *thresholds)
    _check_thresholds(texts)
    search = scenario.search
    if search.start * search.window < 1:
        raise InputError(
            f"at {search.start:g}/s, less than one lifecycle begins in {search.window:g} s",
            hint="give a longer window, or a higher rate to start from",
        )
    within = replace(scenario, count=None, duration=None, warm_up=search.settle, thresholds=texts)
    made = plan(within, options, environ, yes_load=yes_load, workers=workers)
    shape = f"{search}; {describe_arrivals(scenario.shape)}"
    return replace(made, run=replace(made.run, search=search, shape=shape))


def _check_thresholds(texts: Iterable[str]) -> None:
    thresholds = [Threshold.parse(text) for text in texts]
    if not thresholds:
        raise InputError(
            "a capacity is the highest rate at which the thresholds hold, and there are none",
            hint="say what must hold: --threshold 'p95(response) < 500ms' --threshold"
            " 'share(failed) < 0.1%'",
        )
    for one in thresholds:
        if one.function in ("rate", "count") and one.comparison in (">", ">="):
            raise InputError(
                f"{one.text} may not hold at low rates, from which the capacity is looked for",
                hint="leave it away; of a scenario, by --set 'thresholds=[…]'",
            )


class Judge(Protocol):
    """Who takes in what is measured, and knows by it which rate is to be tried."""

    @property
    def rate(self) -> float | None:
        """Lifecycles/s; None where the search is over."""
        ...

    def begin_window(self, rate: float, epoch: float) -> None:
        """What comes from now on is of a window of this rate.

        Args:
            epoch: Unix time from which the seconds of its records count.
        """
        ...

    def take(self, report: Report) -> None: ...

    def end(
        self, abandoned: int = 0, *, interrupted: bool = False, exhausted: bool = False
    ) -> None:
        """The window is over, or the search was left between two of them."""
        ...


class CapacityRun:
    """One search.

    Args:
        assignments: one for each worker; their shapes, which are open, say all but the rate.
        source: of end entities, for all windows.
        clock: of all times.
        on_notice, crew, read_vitals: as of `LoadRun`.

    Attributes:
        abandoned: transactions of the last window that were cut off.
    """

    def __init__(
        self,
        search: Search,
        assignments: Sequence[Assignment],
        source: Provision,
        clock: Clock,
        judge: Judge,
        on_notice: Callable[[str], object],
        *,
        crew: Crew = PROCESSES,
        read_vitals: Callable[[], Vitals] = vitals,
    ) -> None:
        self._search = search
        self._assignments = assignments
        self._source = source
        self._clock = clock
        self._judge = judge
        self._on_notice = on_notice
        self._crew = crew
        self._read_vitals = read_vitals
        self._run: LoadRun | None = None
        self._stopping = anyio.Event()
        self._is_heard = False
        self.abandoned = 0

    def stop(self) -> None:
        """Try no further rate, begin nothing more, and drain what is under way."""
        self._stopping.set()
        self.end_window()

    def end_window(self) -> None:
        """Begin nothing more at this rate, and drain what is under way."""
        if self._run is not None:
            self._run.stop()

    def abort(self) -> None:
        """Leave at once; what was measured until now stays."""
        self._stopping.set()
        if self._run is not None:
            self._run.abort()

    async def execute(self) -> None:
        """Search to the end.

        Raises:
            BulkcmpError: a worker, a row or a key failed, or the server was never reached.
        """
        while (rate := self._judge.rate) is not None:
            if self._stopping.is_set():
                self._judge.end(interrupted=True)
                return
            await self._try(rate)

    async def _try(self, rate: float) -> None:
        assignments = [self._at(rate, one) for one in self._assignments]
        share = _Share(self._source, _due(assignments[0]))
        run = self._run = LoadRun(
            assignments,
            share,
            self._clock,
            partial(self._judge.begin_window, rate),
            self._judge.take,
            self._on_notice,
            crew=self._crew,
            read_vitals=self._read_vitals,
        )
        try:
            await run.execute()
        finally:
            self._run = None
            self.abandoned = run.abandoned
        unused = run.unused
        self._source.take_back(unused)
        self._judge.end(
            run.abandoned,
            interrupted=self._stopping.is_set(),
            exhausted=share.is_exhausted and not unused,
        )
        self._is_heard = True
        if run.abandoned:
            # the server may be busy yet with what nobody waits for any longer
            with anyio.move_on_after(self._search.settle):
                await self._stopping.wait()

    def _at(self, rate: float, one: Assignment) -> Assignment:
        """A worker's part of a window."""
        assert isinstance(one.shape, Open), "a rate"
        ramp = self._search.ramp(rate)
        numbers = self._source.numbers
        return replace(
            one,
            shape=replace(one.shape, ramps=(ramp,)),
            duration=ramp.duration,
            warm_up=self._search.settle,
            count=None if one.count is None else one.count - numbers.first + len(numbers.left),
            numbers=numbers,
            is_heard=self._is_heard,
        )


def _due(one: Assignment) -> int:
    """The arrivals of a window, over all workers."""
    assert isinstance(one.shape, Open), "a rate"
    plan = arrivals(one.shape, Chance(one.seed), duration=one.duration, numbers=one.numbers)
    return sum(1 for _ in plan)


class _Share:
    """So much of a source as a window wants.

    Attributes:
        is_exhausted: the source had less.
    """

    def __init__(self, source: Provision, left: int) -> None:
        self._source = source
        self._left = left
        self.is_exhausted = False

    async def next(self) -> Supply | None:
        if not self._left:
            return None
        supply = await self._source.next()
        if supply is None:
            self.is_exhausted = True
        self._left -= 1
        return supply
