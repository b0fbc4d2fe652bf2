import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from bulkcmp.outputs.readings import Readings
from bulkcmp.stats.figures import Figures
from bulkcmp.stats.metrics import metrics
from bulkcmp.stats.record import End
from tests.stats.records import RUN, transaction


class Counted:
    """Reads, and counts how often, and in which threads."""

    def __init__(self) -> None:
        self.threads: list[int] = []

    def __call__(self, figures: Figures) -> tuple[()]:
        self.threads.append(threading.get_ident())
        return ()


def test_who_asks_gets_a_reading_of_the_next_update() -> None:
    figures = Figures()
    figures.begin(0.0)
    readings = Readings(lambda one: metrics(RUN, one, ()), figures)
    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(readings.get) for _ in range(3)]
        figures.add(transaction(1, 1, 2))
        while not all(one.done() for one in asked):
            readings.update(figures)
    for one in asked:
        (transactions,) = (f for f in one.result().families if f.metric.name == "transactions")
        assert transactions.samples["ir", "ok", "measured"] == 1


def test_nothing_is_read_where_nobody_asks() -> None:
    read = Counted()
    readings = Readings(read, Figures())
    for _ in range(10):
        readings.update(Figures())
    assert read.threads == []


def test_the_figures_are_read_in_their_own_thread() -> None:
    read = Counted()
    readings = Readings(read, Figures())
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(readings.get)
        while not asked.done():
            readings.update(Figures())
    assert read.threads == [threading.get_ident()]


def test_the_last_reading_is_for_all_who_ask_from_then_on() -> None:
    figures = Figures()
    figures.begin(0.0)
    readings = Readings(lambda one: metrics(RUN, one, ()), Figures())
    with ThreadPoolExecutor(1) as pool:
        early = pool.submit(readings.get)
        readings.update(figures)
        figures.feed([transaction(1, 1, 2), End(3.0)])
        readings.close()
        for reading in (readings.get(), readings.get()):
            ended = {family.metric.name: family.samples for family in reading.families}["run_ended"]
            assert ended == {(): 1}
        # who asked before has one too: of the update, or of the end
        assert early.result()


def test_what_can_not_be_read_is_told_to_who_asked_and_to_nobody_else() -> None:
    def read(figures: Figures) -> tuple[()]:
        if figures.aborted:
            raise ZeroDivisionError
        return ()

    bad = Figures()
    bad.aborted = True
    readings = Readings(read, Figures())
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(readings.get)
        while not asked.done():
            readings.update(bad)
        with pytest.raises(ZeroDivisionError):
            asked.result()
        asked = pool.submit(readings.get)
        while not asked.done():
            readings.update(Figures())
        assert asked.result().families == ()
    readings.update(bad)
    readings.close()
    with pytest.raises(ZeroDivisionError):
        readings.get()


def test_other_figures_begin_anew() -> None:
    clock = iter([100.0, 110.0, 150.5])
    readings = Readings(lambda _: (), Figures(), lambda: next(clock))
    first, second = Figures(), Figures()
    found = []
    with ThreadPoolExecutor(1) as pool:
        for figures in (first, first, second):
            figures.begin(0.0)
            figures.add(transaction(1, 1, 2))
            asked = pool.submit(readings.get)
            while not asked.done():
                readings.update(figures)
            found.append(asked.result().began_at)
    # a window of a search began 2 s before it was looked at
    assert found == [108.0, 108.0, 148.5]
