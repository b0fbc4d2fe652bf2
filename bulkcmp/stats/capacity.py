"""What a search for the capacity came to: which rates held, and where the knee is.

The *capacity* is the highest rate that held over a window. The *knee* is where more load begins to
cost more than it brings: the rate at which the power, throughput divided by response time, is
highest (Kleinrock, Power and deterministic rules of thumb for probabilistic problems in computer
communications, ICC 1979; Jain, Congestion avoidance in computer networks with a connectionless
network layer, 1988).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from math import sqrt
from typing import Final

from bulkcmp.errors import (
    EXIT_BAD_INPUT,
    EXIT_BOTTLENECK,
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_SOME_FAILED,
    EXIT_THRESHOLD,
)
from bulkcmp.load.capacity import Search
from bulkcmp.stats.figures import Figures
from bulkcmp.stats.record import Drop, End, Fault, Record, Run, TransactionRecord, Window
from bulkcmp.stats.report import Report
from bulkcmp.stats.threshold import Threshold

BEHIND: Final = 0.02
"""Share of what was due in a window by which more may be unfinished at its end than at its
beginning."""

CHANCE: Final = 2.0
"""Standard deviations of a Poisson count by which that may differ by chance."""


class Judgement(StrEnum):
    """What was found of a rate."""

    HELD = "held"
    CROSSED = "a threshold was crossed"
    BEHIND = "the server fell behind"
    """What is unfinished grew all the time, so this rate lasts for no length of time."""
    GENERATOR = "the load generator was the bottleneck"
    """Nothing is known of the server at this rate."""
    UNFINISHED = "not finished"
    """The window was not whole, and nothing is known."""


class Conclusion(StrEnum):
    """How a search ended."""

    FOUND = "found"
    """Between two rates, as close as was asked for."""
    CEILING = "all rates held"
    """The capacity is the highest rate that was allowed to be tried, or more."""
    NOTHING = "no rate held"
    GENERATOR = "the load generator was the bottleneck"
    """The capacity is the highest rate that held, or more."""
    INTERRUPTED = "interrupted"
    EXHAUSTED = "the end entities ran out"
    FAILED = "failed"
    """It could not go on: a worker died, say."""
    UNFINISHED = "not finished"
    """It goes on, or was killed."""


_EXITS: Final = {
    Conclusion.FOUND: EXIT_OK,
    Conclusion.CEILING: EXIT_OK,
    Conclusion.NOTHING: EXIT_THRESHOLD,
    Conclusion.GENERATOR: EXIT_BOTTLENECK,
    Conclusion.INTERRUPTED: EXIT_INTERRUPTED,
    Conclusion.EXHAUSTED: EXIT_BAD_INPUT,
    Conclusion.UNFINISHED: EXIT_SOME_FAILED,
}


@dataclass(frozen=True, slots=True)
class Trial:
    """One window, and what was found.

    Attributes:
        number: from 1.
        rate: lifecycles/s.
        at: seconds since the search began.
        due: transactions that were planned for the window; done: that ended in it.
        report: all figures of the window.
    """

    number: int
    rate: float
    at: float
    judgement: Judgement
    due: int
    done: int
    report: Report

    @property
    def power(self) -> float | None:
        """Successes/s divided by their mean response time in seconds; None where there are none."""
        rate, response = self.report.total.ok_rate, self.report.total.latencies["response"].mean
        return rate / response if rate and response else None

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it did not hold, without the figures of thresholds; none where it did."""
        match self.judgement:
            case Judgement.CROSSED:
                crossed = [one.threshold.text for one in self.report.verdicts if not one.held]
                # at its end an aborted window's figures may be better again
                return tuple(crossed) or ("aborted by a threshold",)
            case Judgement.BEHIND:
                return (f"{self.due:,} transactions were due, and {self.done:,} ended",)
            case Judgement.GENERATOR:
                return self.report.bottlenecks
            case _:
                return ()


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a search came to, or has come to so far.

    Attributes:
        trials: all windows, in their order.
        interrupted: by a signal; exhausted: the end entities ran out.
        faults: what it could not go on after.
    """

    search: Search
    trials: tuple[Trial, ...]
    interrupted: bool = False
    exhausted: bool = False
    faults: tuple[Fault, ...] = ()

    @property
    def held(self) -> Trial | None:
        """The one with the highest rate that held."""
        held = [one for one in self.trials if one.judgement is Judgement.HELD]
        return max(held, key=lambda one: one.rate, default=None)

    @property
    def failed(self) -> Trial | None:
        """The one with the lowest rate that did not hold."""
        passed = (Judgement.HELD, Judgement.UNFINISHED)
        failed = [one for one in self.trials if one.judgement not in passed]
        return min(failed, key=lambda one: one.rate, default=None)

    @property
    def rate(self) -> float | None:
        """The rate that is to be tried; None where the search is over."""
        if self.interrupted or self.exhausted or self.faults:
            return None
        held, failed = self.held, self.failed
        return self.search.next(
            None if held is None else held.rate, None if failed is None else failed.rate
        )

    @property
    def knee(self) -> Trial | None:
        """The one with the highest power, of those that tell of the server."""
        known = [one for one in self.trials if one.judgement in _OF_THE_SERVER and one.power]
        return max(known, key=lambda one: one.power or 0.0, default=None)

    @property
    def curve(self) -> tuple[Trial, ...]:
        """Those that tell of the server, by their rates."""
        known = [one for one in self.trials if one.judgement in _OF_THE_SERVER]
        return tuple(sorted(known, key=lambda one: one.rate))

    @property
    def conclusion(self) -> Conclusion:
        if self.faults:
            return Conclusion.FAILED
        if self.interrupted:
            return Conclusion.INTERRUPTED
        if self.exhausted:
            return Conclusion.EXHAUSTED
        if self.rate is not None:
            return Conclusion.UNFINISHED
        held, failed = self.held, self.failed
        if failed is None:
            return Conclusion.CEILING
        if failed.judgement is Judgement.GENERATOR:
            return Conclusion.GENERATOR
        return Conclusion.NOTHING if held is None else Conclusion.FOUND

    @property
    def bottlenecks(self) -> tuple[str, ...]:
        """What the generator was short of, where that ended the search."""
        if self.failed is None or self.conclusion is not Conclusion.GENERATOR:
            return ()
        return self.failed.report.bottlenecks

    @property
    def shown(self) -> Trial | None:
        """The one whose figures are reported: the highest that held, or else the last."""
        return self.held or (self.trials[-1] if self.trials else None)

    @property
    def exit_code(self) -> int:
        """What a command ends with that made the search."""
        if self.faults:
            return self.faults[0].exit_code
        return _EXITS[self.conclusion]


_OF_THE_SERVER: Final = (Judgement.HELD, Judgement.CROSSED, Judgement.BEHIND)


class Course:
    """The windows of a search: fed with records, live or from a file, they are judged the same.

    Args:
        run: has a search.
        thresholds: what must hold in a window.
        shown: number of the window whose figures are to be kept; by default they are those of the
            highest rate that held, or else of the last.

    Attributes:
        figures: of the present window.
        chosen: the figures that are kept.
    """

    def __init__(self, run: Run, thresholds: Sequence[Threshold], shown: int | None = None) -> None:
        assert run.search is not None, "a search"
        self._run = run
        self._search = run.search
        self._thresholds = thresholds
        self._shown = shown
        self._window: Window | None = None
        self._due = self._done = 0
        self._trials: list[Trial] = []
        self._interrupted = self._exhausted = False
        self._faults: tuple[Fault, ...] = ()
        self.figures = self.chosen = self._empty()

    @property
    def capacity(self) -> Capacity:
        return Capacity(
            self._search, tuple(self._trials), self._interrupted, self._exhausted, self._faults
        )

    def add(self, record: Record) -> None:
        """Count one record."""
        match record:
            case Window():
                self.close()
                self._window = record
                self._due = self._done = 0
                self.figures = self._empty()
                return
            case End():
                self._interrupted = record.interrupted
                self._exhausted = record.exhausted
                self._faults = () if record.failed is None else (record.failed,)
            case TransactionRecord():
                self._due += self._is_in_window(record.planned)
                self._done += self._is_in_window(record.finished)
            case Drop():
                self._due += self._is_in_window(record.planned)
            case _:
                pass
        if self._window is not None:
            self.figures.add(record)
            if isinstance(record, End):
                self.close()

    def feed(self, records: Iterable[Record]) -> None:
        for record in records:
            self.add(record)

    def close(self) -> None:
        """Judge the present window, of which nothing more comes; if there is one."""
        window, self._window = self._window, None
        if window is None:
            return
        number = len(self._trials) + 1
        run = replace(
            self._run, shape=f"{window.rate:,.4g}/s, window {number} of {self._run.shape}"
        )
        report = Report.of([run], self.figures, self._thresholds)
        judgement = self._judge(report)
        self._trials.append(
            Trial(number, window.rate, window.at, judgement, self._due, self._done, report)
        )
        wanted = judgement is Judgement.HELD or self.capacity.held is None
        if number == self._shown or (self._shown is None and wanted):
            self.chosen = self.figures

    def _judge(self, report: Report) -> Judgement:
        if not report.ended or report.faults or report.interrupted or self._exhausted:
            return Judgement.UNFINISHED
        if report.bottlenecks:
            return Judgement.GENERATOR
        if report.aborted or not all(verdict.held for verdict in report.verdicts):
            return Judgement.CROSSED
        if self._due - self._done > max(BEHIND * self._due, CHANCE * sqrt(self._due)):
            return Judgement.BEHIND
        return Judgement.HELD

    def _is_in_window(self, at: float) -> bool:
        return self._search.settle <= at < self._search.settle + self._search.window

    def _empty(self) -> Figures:
        figures = Figures()
        figures.begin(self._search.settle)
        return figures
