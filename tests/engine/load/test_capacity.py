"""Searches for the capacity in virtual time, against servers whose capacity is known."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import anyio
import pytest
import trio.testing

from bulkcmp.engine.colleague import Crew
from bulkcmp.engine.failure import first_error
from bulkcmp.engine.frame import Assignment, Report
from bulkcmp.engine.load.capacity import CapacityRun
from bulkcmp.engine.load.provision import Provision
from bulkcmp.errors import BulkcmpError, Loss, TransportError
from bulkcmp.io.vitals import Vitals
from bulkcmp.load.capacity import Search
from bulkcmp.load.chance import Chance
from bulkcmp.load.scenario import ArrivalProcess, LatePolicy, Open
from bulkcmp.load.schedule import Numbers, share_out
from bulkcmp.model import EndEntity, Operation
from bulkcmp.stats.capacity import Capacity, Conclusion, Course, Judgement
from bulkcmp.stats.record import Drop, End, Record, TransactionRecord, Window
from bulkcmp.stats.threshold import Threshold
from tests.engine.conftest import EPOCH
from tests.engine.load.conftest import CALM, SEED
from tests.stats.searches import run_of

if TYPE_CHECKING:
    from tests.engine.conftest import Seen, Spoil
    from tests.engine.load.conftest import Load

SEARCH = Search(start=1, up_to=32, window=15, settle=3, precision=0.1)
TRUTH = 3 / 0.9
"""Lifecycles/s of three servers of which each takes 0.9 s."""


@dataclass
class Kept:
    """What is measured; judges windows as the session's keeper does."""

    course: Course
    records: list[Record] = field(default_factory=list)

    @property
    def rate(self) -> float | None:
        return self.course.capacity.rate

    def begin_window(self, rate: float, epoch: float) -> None:
        self._note([Window(rate, epoch - EPOCH)])

    def take(self, report: Report) -> None:
        self._note(report.records)

    def end(
        self, abandoned: int = 0, *, interrupted: bool = False, exhausted: bool = False
    ) -> None:
        self._note([End(0.0, abandoned, interrupted, exhausted=exhausted)])

    def _note(self, records: Iterable[Record]) -> None:
        self.records += records
        self.course.feed(records)

    def windows(self) -> list[list[TransactionRecord]]:
        """The transactions of each."""
        found: list[list[TransactionRecord]] = []
        for record in self.records:
            if isinstance(record, Window):
                found.append([])
            elif isinstance(record, TransactionRecord):
                found[-1].append(record)
        return found


@dataclass
class Hunt:
    """A scene for searches."""

    load: "Load"
    threshold: str = "p95(response) < 1.5s"
    kept: Kept = field(init=False)
    source: Provision = field(init=False)
    ended_at: float = 0.0

    def serve(self, seconds: float, servers: int) -> None:
        """Let the CA take its time for each, in a queue before so many servers."""
        peer = self.load.scene.peer
        peer.latency = 0.0
        peer.behave(implicit_confirm=True)
        self.load.scene.tune(implicit_confirm=True)
        room: list[anyio.Semaphore] = []

        async def delay(seen: "Seen") -> None:
            if not room:
                room.append(anyio.Semaphore(servers))
            async with room[0]:
                await anyio.sleep(seconds)

        peer.before = delay

    def seek(
        self,
        search: Search = SEARCH,
        shape: Open | None = None,
        *,
        rows: list[EndEntity] | None = None,
        workers: int = 1,
        drain: float = 60.0,
        conduct: Callable[[CapacityRun], Any] | None = None,
        read_vitals: Callable[[], Vitals] = lambda: CALM,
    ) -> Capacity:
        scene = self.load.scene
        lifecycles = (self.load.lifecycle(Operation.IR),)
        shape = shape or self.load.steady(1.0)
        shapes = share_out(shape, workers)
        count = None if rows is None else len(rows)
        assignments = [
            Assignment(
                {"": scene.setup()},
                place,
                len(shapes),
                lifecycles,
                one,
                SEED,
                None,
                0.0,
                drain,
                count,
            )
            for place, one in enumerate(shapes)
        ]
        self.source = Provision(
            {"": (scene.row(number) for number in range(1, 1_000_000)) if rows is None else rows},
            lifecycles,
            Chance(SEED),
            scene.fresh_keys,
        )
        run = run_of(search, self.threshold)
        self.kept = Kept(Course(run, [Threshold.parse(self.threshold)]))

        async def session() -> None:
            found = CapacityRun(
                search,
                assignments,
                self.source,
                scene.clock,
                self.kept,
                self.load.notices.append,
                crew=Crew(self.load.hire()),
                read_vitals=read_vitals,
            )
            try:
                with anyio.fail_after(7200):
                    async with anyio.create_task_group() as group:
                        if conduct is not None:
                            group.start_soon(conduct, found)
                        await found.execute()
                        self.ended_at = anyio.current_time()
                        group.cancel_scope.cancel()
            except BaseExceptionGroup as errors:
                raise first_error(errors) from None

        clock = trio.testing.MockClock(autojump_threshold=0)
        anyio.run(session, backend="trio", backend_options={"clock": clock})
        return self.kept.course.capacity

    def numbers(self) -> list[int]:
        """Of all lifecycles that were begun."""
        return [one.arrival for window in self.kept.windows() for one in window]


async def gone(seen: "Seen") -> None:
    raise TransportError(Loss.CONNECT, "refused")


def stuck(begins: float, ends: float) -> "Spoil":
    """What is sent between two instants is never answered."""

    async def spoil(seen: "Seen") -> None:
        if begins < anyio.current_time() < ends:
            await anyio.sleep_forever()

    return spoil


@pytest.fixture
def hunt(load: "Load") -> Hunt:
    return Hunt(load)


@pytest.mark.parametrize("workers", [1, 3])
def test_the_capacity_that_is_found_is_the_true_one(hunt: Hunt, workers: int) -> None:
    hunt.serve(0.9, 3)
    capacity = hunt.seek(workers=workers)
    assert capacity.conclusion is Conclusion.FOUND
    assert capacity.held is not None
    assert capacity.failed is not None
    assert capacity.held.rate <= TRUTH < capacity.failed.rate
    assert capacity.held.rate == pytest.approx(TRUTH, rel=SEARCH.precision)
    assert [one.rate for one in capacity.trials] == [1, 2, 4, 3, 3.5, 3.25]
    # each window had its rate, whatever went before it
    for window, trial in zip(hunt.kept.windows(), capacity.trials, strict=True):
        planned = sorted(one.planned for one in window)
        assert planned == pytest.approx([n / trial.rate for n in range(len(window))], abs=1e-5)
        assert len(window) == pytest.approx(trial.rate * 18, abs=1)
    # nothing waits in a window for what the one before left behind
    _, _, crossed, after, *_ = capacity.trials
    assert crossed.judgement is Judgement.CROSSED
    assert after.report.total.latencies["response"].max == pytest.approx(0.9, abs=0.02)
    # no end entity is used twice, and none is left out
    numbers = hunt.numbers()
    assert sorted(numbers) == list(range(len(numbers)))
    assert hunt.source.numbers == Numbers(first=len(numbers))


def test_what_an_ended_window_did_not_use_is_for_the_next(hunt: Hunt) -> None:
    hunt.serve(0.9, 3)

    async def conduct(run: CapacityRun) -> None:
        # in the middle of the second window
        await anyio.sleep(20 + 9)
        run.end_window()

    hunt.seek(workers=2, conduct=conduct)
    first, second, third, *_ = hunt.kept.windows()
    assert 0 < len(second) < 2 * 18 * 0.7
    # what began when it ended is drained, and what had not begun goes on in the third
    assert min(one.arrival for one in third) == len(first) + len(second)
    numbers = hunt.numbers()
    assert len(set(numbers)) == len(numbers)


@pytest.mark.parametrize("process", ArrivalProcess)
def test_what_is_dropped_after_an_ended_window_has_no_number_of_another(
    hunt: Hunt, process: ArrivalProcess
) -> None:
    """One worker has come further than the other when a window ends: what is left has gaps."""
    hunt.serve(0.9, 3)
    hunt.threshold = "share(dropped) < 1%"

    async def conduct(run: CapacityRun) -> None:
        # in the third window, and in the one after it
        for seconds in (2 * 19 + 12, 14):
            await anyio.sleep(seconds)
            run.end_window()

    shape = hunt.load.steady(1.0, in_flight=3, process=process)
    rows = hunt.load.scene.rows(500)
    hunt.seek(replace(SEARCH, up_to=4), shape, rows=rows, workers=2, conduct=conduct)
    ended = 0
    begun: set[int] = set()
    records = hunt.kept.records
    places = [place for place, one in enumerate(records) if isinstance(one, Window)]
    for place, end in pairwise([*places, len(records)]):
        window = records[place:end]
        dropped = [one.arrival for one in window if isinstance(one, Drop)]
        here = [one.arrival for one in window if isinstance(one, TransactionRecord)]
        assert len({*dropped, *here}) == len(dropped) + len(here)
        assert not begun & {*dropped, *here}
        begun.update(here)
        ended += any(dropped)
    assert ended == 2


def test_random_arrivals_are_others_in_each_window(hunt: Hunt) -> None:
    search = Search(start=4, factor=1.0, step=0.5, up_to=4.5, window=10, settle=0)
    hunt.seek(search, hunt.load.steady(1.0, process=ArrivalProcess.POISSON))
    first, second = hunt.kept.windows()
    # the same numbers would lie closer together by the ratio of the rates, and nothing else
    of_first = [one.planned * 4 for one in first[:20]]
    of_second = [one.planned * 4.5 for one in second[:20]]
    assert of_first != pytest.approx(of_second, abs=0.01)


def test_a_server_that_never_answered_is_a_mistake(hunt: Hunt) -> None:
    hunt.load.scene.peer.before = gone
    with pytest.raises(BulkcmpError, match="nothing was sent"):
        hunt.seek()
    assert not hunt.kept.course.capacity.trials


def test_a_server_that_breaks_down_under_a_rate_does_not_hold_it(hunt: Hunt) -> None:
    """It is out of reach when the next window begins: that is a figure, not an error of ours."""
    hunt.threshold = "share(failed) < 1%"

    async def fragile(seen: "Seen") -> None:
        # from the second window on
        if anyio.current_time() > 20:
            await gone(seen)

    hunt.load.scene.peer.before = fragile
    capacity = hunt.seek()
    assert capacity.conclusion is Conclusion.FOUND
    first, *others = capacity.trials
    assert first.judgement is Judgement.HELD
    assert all(one.judgement is Judgement.CROSSED for one in others)
    assert all(not one.report.total.ok for one in others)
    assert len(others) > 1


def test_a_window_that_can_not_be_drained_is_cut_off_and_the_server_left_alone(
    hunt: Hunt,
) -> None:
    hunt.threshold = "share(failed) < 1%"
    # at the end of the third window
    hunt.load.scene.peer.before = stuck(50, 57)
    capacity = hunt.seek(replace(SEARCH, up_to=4, precision=0.3), drain=2.0)
    (cut,) = (one for one in capacity.trials if one.report.abandoned)
    assert cut.judgement is Judgement.CROSSED
    after = capacity.trials[cut.number]
    # the window, the time to drain and what is left to the server, and a moment for each
    assert after.at - cut.at == pytest.approx(18 + 2 + 3, abs=1)
    assert after.judgement is Judgement.HELD


def test_a_signal_ends_it_with_what_is_known(hunt: Hunt) -> None:
    hunt.serve(0.9, 3)

    async def conduct(run: CapacityRun) -> None:
        await anyio.sleep(20 + 9)
        run.stop()

    capacity = hunt.seek(conduct=conduct)
    assert capacity.conclusion is Conclusion.INTERRUPTED
    assert [one.judgement for one in capacity.trials] == [Judgement.HELD, Judgement.UNFINISHED]
    assert capacity.held is capacity.trials[0]
    # what had begun came to its end
    assert all(one.is_ok for window in hunt.kept.windows() for one in window)


def test_a_second_signal_leaves_at_once(hunt: Hunt) -> None:
    hunt.serve(100.0, 3)

    async def conduct(run: CapacityRun) -> None:
        await anyio.sleep(10)
        run.stop()
        await anyio.sleep(1)
        run.abort()

    assert hunt.seek(conduct=conduct).conclusion is Conclusion.INTERRUPTED
    assert hunt.ended_at == pytest.approx(11, abs=1)


def test_a_signal_between_two_windows_begins_no_other(hunt: Hunt) -> None:
    hunt.threshold = "share(failed) < 1%"
    hunt.load.scene.peer.before = stuck(30, 50)

    async def conduct(run: CapacityRun) -> None:
        # the second window is over, and the server is left alone
        await anyio.sleep(40)
        run.stop()

    capacity = hunt.seek(drain=2.0, conduct=conduct)
    assert capacity.conclusion is Conclusion.INTERRUPTED
    assert [one.judgement for one in capacity.trials] == [Judgement.HELD, Judgement.CROSSED]


def test_end_entities_that_run_out_end_it(hunt: Hunt) -> None:
    hunt.serve(0.9, 3)
    capacity = hunt.seek(rows=hunt.load.scene.rows(40))
    assert capacity.conclusion is Conclusion.EXHAUSTED
    assert [one.judgement for one in capacity.trials] == [Judgement.HELD, Judgement.UNFINISHED]
    assert hunt.numbers() == list(range(40))


def test_a_generator_that_can_not_keep_up_is_not_taken_for_the_server(hunt: Hunt) -> None:
    def read() -> Vitals:
        now = hunt.load.scene.clock.now() - EPOCH
        # a full core from the third window on
        return replace(CALM, cpu=max(0.0, now - 40))

    capacity = hunt.seek(read_vitals=read)
    assert capacity.conclusion is Conclusion.GENERATOR
    assert "parent used" in capacity.bottlenecks[0]
    assert capacity.held is not None
    assert capacity.held.rate == 2


def test_what_is_dropped_has_the_number_of_its_end_entity(hunt: Hunt) -> None:
    hunt.serve(0.9, 3)
    hunt.threshold = "share(dropped) < 1%"
    shape = hunt.load.steady(1.0, late=LatePolicy.DROP, in_flight=3)
    capacity = hunt.seek(shape=shape)
    assert capacity.held is not None
    assert capacity.held.rate == pytest.approx(TRUTH, rel=0.1)
    dropped = [one.arrival for one in hunt.kept.records if isinstance(one, Drop)]
    assert dropped
    assert sorted(dropped + hunt.numbers()) == list(range(hunt.source.numbers.first))
