import threading
from concurrent.futures import ThreadPoolExecutor

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
        (transactions,) = (f for f in one.result() if f.metric.name == "transactions")
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
            ended = {family.metric.name: family.samples for family in reading}["run_ended"]
            assert ended == {(): 1}
        # who asked before has one too: of the update, or of the end
        assert early.result()
