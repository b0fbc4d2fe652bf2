"""Searches for the capacity of servers that exist on paper alone."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from heapq import heappop, heappush

from bulkcmp.load.arrivals import at_random, evenly, offsets
from bulkcmp.load.capacity import Search
from bulkcmp.stats.capacity import Capacity, Course
from bulkcmp.stats.figures import Figures
from bulkcmp.stats.health import Pulse
from bulkcmp.stats.record import End, Ending, Record, Run, Window, to_microsecond
from bulkcmp.stats.report import Report
from bulkcmp.stats.threshold import Threshold
from tests.stats.records import OK, RUN, transaction

Answer = Callable[[Search, float], Sequence[Record]]
"""What happens in a window at a rate, its end included."""


def run_of(search: Search, *thresholds: str) -> Run:
    return replace(
        RUN, search=search, warm_up=search.settle, thresholds=thresholds, shape=str(search)
    )


def windows(run: Run, answer: Answer) -> Iterator[Record]:
    """The records of a search for what a server can do."""
    assert run.search is not None
    course = Course(run, [Threshold.parse(text) for text in run.thresholds])
    at = 0.0
    while (rate := course.capacity.rate) is not None:
        records = [Window(rate, at), *answer(run.search, rate)]
        at += run.search.settle + run.search.window + 1.0
        course.feed(records)
        yield from records


def found(run: Run, answer: Answer) -> Capacity:
    course = Course(run, [Threshold.parse(text) for text in run.thresholds])
    course.feed(windows(run, answer))
    return course.capacity


def queue(service: float, servers: int = 1, *, chance: random.Random | None = None) -> Answer:
    """A queue in front of servers, each of which takes as long for one as for any other (D/D/c, or
    M/D/c where there is chance); it is empty at the beginning of each window."""

    def answer(search: Search, rate: float) -> Sequence[Record]:
        areas = evenly() if chance is None else at_random(iter(chance.random, None))
        free = [0.0] * servers
        records: list[Record] = []
        for number, planned in enumerate(offsets([search.ramp(rate)], areas)):
            begins = max(planned, heappop(free))
            heappush(free, begins + service)
            records.append(
                transaction(
                    to_microsecond(planned),
                    to_microsecond(planned),
                    to_microsecond(begins + service),
                    arrival=number,
                    warm_up=planned < search.settle,
                )
            )
        return [*records, End(max(free))]

    return answer


def steady(
    seconds: Callable[[float], float],
    *,
    fails_from: float | None = None,
    busy_from: float | None = None,
) -> Answer:
    """A server without a queue.

    Args:
        seconds: response time at a rate.
        fails_from: the rate from which half of all is rejected.
        busy_from: the rate from which the load generator itself is full.
    """
    rejected: Ending = replace(OK, outcome=OK.outcome.REJECTED, reason="busy")

    def answer(search: Search, rate: float) -> Sequence[Record]:
        records: list[Record] = []
        for number, planned in enumerate(offsets([search.ramp(rate)], evenly())):
            fails = fails_from is not None and rate >= fails_from and number % 2
            records.append(
                transaction(
                    planned,
                    planned,
                    planned + seconds(rate),
                    rejected if fails else OK,
                    warm_up=planned < search.settle,
                )
            )
        busy = busy_from is not None and rate >= busy_from
        cpu = 0.99 if busy else 0.1
        records += [Pulse("worker 1", at, 1.0, cpu, 0.0) for at in range(1, 20)]
        return [*records, End(search.settle + search.window)]

    return answer


RUN_OF_THREE = run_of(
    Search(start=20, up_to=1000, window=10, settle=2, precision=0.1), "p95(response) < 40ms"
)
"""A search whose windows a queue of three servers, 20 ms each, answers."""


def records_of_three() -> list[Record]:
    return list(windows(RUN_OF_THREE, queue(0.02, 3)))


def reported(run: Run, records: Sequence[Record]) -> tuple[Report, Figures]:
    """What is reported of a search."""
    thresholds = [Threshold.parse(text) for text in run.thresholds]
    course = Course(run, thresholds)
    course.feed(records)
    course.close()
    return Report.of([run], course.chosen, thresholds, capacity=course.capacity), course.chosen
