"""Deliveries in virtual time: real run, journal, files and CA, with a courier that does as told."""

from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import anyio
import pytest
import trio.testing

from bulkcmp.engine import delivery as module
from bulkcmp.engine import harvest
from bulkcmp.engine.delivery import Deliveries
from bulkcmp.engine.failure import first_error
from bulkcmp.engine.plan import DeliveryPlan, OutputPlan, Plan
from bulkcmp.errors import BulkcmpError
from bulkcmp.model import DeliveryState
from bulkcmp.outputs.delivery import DeliveryNote
from bulkcmp.outputs.summary import DeliverySummary, ReasonCount

if TYPE_CHECKING:
    from bulkcmp.engine.run import Run
    from bulkcmp.journal.entry import Ended
    from tests.engine.conftest import Scene

DELIVERED, FAILED, TO_DO = DeliveryState.DELIVERED, DeliveryState.FAILED, DeliveryState.TO_DO


async def nothing(_: Any) -> str:
    return ""


async def let_it_be(_: Deliveries) -> None:
    pass


@dataclass
class Courier:
    """Remembers what it was given.

    Attributes:
        react: what comes of an attempt.
        told: the rows, each with when it was told of.
    """

    react: Callable[[DeliveryNote], Awaitable[str]] = nothing
    told: list[tuple[int, float]] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    at_once: int = 0
    most: int = 0

    async def __call__(self, note: DeliveryNote) -> tuple[str, bytes]:
        check_files(note)
        self.told.append((note.result.number, anyio.current_time()))
        self.tokens.append(note.token)
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        try:
            return await self.react(note), b"words of row %d" % note.result.number
        finally:
            self.at_once -= 1

    def times(self, number: int) -> list[float]:
        return [at for one, at in self.told if one == number]


def check_files(note: DeliveryNote) -> None:
    """Whoever is told finds the files whole."""
    files = note.environ()
    assert Path(files["BULKCMP_CERTIFICATE"]).read_text().endswith("E-----\n")
    assert Path(files["BULKCMP_KEY"]).read_text().endswith("KEY-----\n")


def refuse(*numbers: int, times: int = 1 << 30) -> Callable[[DeliveryNote], Awaitable[str]]:
    """Refuse these rows so many times."""
    counts: Counter[int] = Counter()

    async def react(note: DeliveryNote) -> str:
        number = note.result.number
        counts[number] += 1
        return "exit code 3" if number in numbers and counts[number] <= times else ""

    return react


@dataclass
class Depot:
    """A run's deliveries, session by session."""

    scene: "Scene"
    courier: Courier = field(default_factory=Courier)
    notices: list[str] = field(default_factory=list)
    summary: DeliverySummary | None = None

    def plan(self, **ways: Any) -> Plan:
        delivery = DeliveryPlan("hand-over", command=("hand-over",), **ways)
        fields = (None, None, "a.csv", None, None, 1, OutputPlan())
        return replace(Plan(*cast(Any, fields)), plain_keys=True, delivery=delivery)

    def deliver(
        self,
        conduct: Callable[[Deliveries], Coroutine[Any, Any, None]] = let_it_be,
        withheld: Collection[int] = (),
        **ways: Any,
    ) -> None:
        """A session that enrolls nothing."""

        async def session() -> None:
            with self.scene.open() as journal:
                deliveries = self._deliveries(journal, ways)
                try:
                    async with deliveries.under_way(), anyio.create_task_group() as group:
                        group.start_soon(conduct, deliveries)
                        await deliveries.complete(withheld)
                except BaseExceptionGroup as errors:
                    raise first_error(errors) from None
                finally:
                    self.summary = deliveries.summary()

        clock = trio.testing.MockClock(autojump_threshold=0)
        anyio.run(session, backend="trio", backend_options={"clock": clock})

    def _deliveries(self, journal: Any, ways: dict[str, Any]) -> Deliveries:
        return Deliveries(
            self.plan(**ways),
            journal,
            self.courier,
            clock=self.scene.clock,
            on_notice=self.notices.append,
        )

    def enroll(self, rows: int) -> None:
        """A session that enrolls, and delivers beside that until the last row is over."""
        begun: list[Deliveries] = []
        journal = self.scene.open()

        async def beside(_: "Run") -> None:
            begun.append(self._deliveries(journal, {}))
            async with begun[0].under_way():
                await anyio.sleep_forever()

        def ended(rows: "Sequence[Ended]") -> None:
            begun[0].ended(rows)

        self.scene.play(
            self.scene.rows(rows), journal=journal, on_ended=ended, conduct=beside, concurrency=2
        )

    def states(self) -> dict[int, tuple[DeliveryState, int, str]]:
        return {
            number: (row.delivery.state, row.delivery.attempts, row.delivery.reason)
            for number, row in self.scene.results().items()
        }

    def logs(self) -> dict[str, str]:
        folder = self.scene.folder / "deliveries"
        return {path.name: path.read_text() for path in folder.glob("*")}


@pytest.fixture
def depot(scene: "Scene") -> Depot:
    return Depot(scene)


@pytest.fixture
def full_depot(depot: Depot) -> Depot:
    """One with five end entities to deliver."""
    depot.scene.play(depot.scene.rows(5))
    return depot


def test_deliveries_go_on_beside_the_run(depot: Depot) -> None:
    depot.enroll(20)
    run_over = depot.scene.ended_at
    assert len(depot.courier.told) >= 15
    assert min(at for _, at in depot.courier.told) < run_over / 2
    assert len(set(depot.courier.tokens)) == len(depot.courier.tokens)
    # what was under way as the run was over is found by the next session
    depot.deliver()
    assert set(depot.states().values()) == {(DELIVERED, 1, "")}
    assert depot.logs() == {}


def test_slow_deliveries_hold_no_transaction_up(depot: Depot) -> None:
    async def stand(_: DeliveryNote) -> str:
        await anyio.sleep(10_000)
        return ""

    depot.courier.react = stand
    depot.enroll(30)
    assert depot.scene.ended_at < 10
    assert len(depot.courier.told) == depot.courier.most == 4
    assert {state for state, *_ in depot.states().values()} == {TO_DO}


def test_what_fails_is_tried_again_later(full_depot: Depot) -> None:
    full_depot.courier.react = refuse(2, 4, times=2)
    full_depot.deliver()
    states = full_depot.states()
    assert states[1] == (DELIVERED, 1, "")
    assert states[2] == states[4] == (DELIVERED, 3, "")
    first, second, third = full_depot.courier.times(2)
    assert (second - first, third - second) == pytest.approx((1.0, 2.0))
    # nobody waits for one that is to be tried later
    assert full_depot.courier.times(5) == full_depot.courier.times(1)
    assert full_depot.summary == DeliverySummary("hand-over", 5, 0, 0)
    assert full_depot.logs() == {}


def test_what_fails_for_good_is_left_for_another_session(full_depot: Depot) -> None:
    full_depot.courier.react = refuse(2, 4)
    full_depot.deliver(attempts=2)
    assert full_depot.states()[2] == (FAILED, 2, "exit code 3")
    assert full_depot.summary == DeliverySummary(
        "hand-over", 3, 2, 0, reasons=(ReasonCount("exit code 3", 2),)
    )
    assert not full_depot.summary.is_done
    assert full_depot.logs() == {"dev2.log": "words of row 2", "dev4.log": "words of row 4"}
    tokens = Counter(full_depot.courier.tokens)
    assert sorted(tokens.values()) == [1, 1, 1, 2, 2]

    full_depot.courier = Courier()
    full_depot.deliver()
    assert sorted(number for number, _ in full_depot.courier.told) == [2, 4]
    assert full_depot.states()[2] == (DELIVERED, 3, "")
    # the same end entities, the same tokens
    assert set(full_depot.courier.tokens) <= set(tokens)
    assert full_depot.logs() == {}


@pytest.mark.parametrize("most", [1, 3])
def test_only_so_many_at_once(full_depot: Depot, most: int) -> None:
    async def take_its_time(_: DeliveryNote) -> str:
        await anyio.sleep(1)
        return ""

    full_depot.courier.react = take_its_time
    full_depot.deliver(concurrency=most)
    assert full_depot.courier.most == most
    assert full_depot.states()[5] == (DELIVERED, 1, "")


def test_a_stop_lets_what_is_under_way_end(full_depot: Depot) -> None:
    async def fail_slowly(note: DeliveryNote) -> str:
        await anyio.sleep(5)
        return "exit code 3" if note.result.number == 1 else ""

    async def stop(deliveries: Deliveries) -> None:
        await anyio.sleep(1)
        deliveries.stop()

    full_depot.courier.react = fail_slowly
    full_depot.deliver(stop, concurrency=2)
    states = full_depot.states()
    assert states[1] == (FAILED, 1, "exit code 3")
    assert states[2] == (DELIVERED, 1, "")
    assert states[3] == states[4] == states[5] == (TO_DO, 0, "")
    assert full_depot.summary is not None
    assert (full_depot.summary.failed, full_depot.summary.to_do) == (1, 3)


def test_what_is_left_at_once_is_done_again(full_depot: Depot) -> None:
    async def stand(_: DeliveryNote) -> str:
        await anyio.sleep_forever()
        return ""

    async def abort(deliveries: Deliveries) -> None:
        await anyio.sleep(1)
        deliveries.abort()

    full_depot.courier.react = stand
    full_depot.deliver(abort)
    assert {state for state, *_ in full_depot.states().values()} == {TO_DO}
    told = Counter(full_depot.courier.tokens)
    full_depot.courier = Courier()
    full_depot.deliver()
    assert set(full_depot.states().values()) == {(DELIVERED, 1, "")}
    assert set(told) < set(full_depot.courier.tokens)


def test_where_all_fail_the_rest_is_not_tried(
    full_depot: Depot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_HOPELESS", 3)
    full_depot.courier.react = refuse(1, 2, 3, 4, 5)
    full_depot.deliver(attempts=1, concurrency=1)
    assert full_depot.summary == DeliverySummary(
        "hand-over", 0, 3, 2, reasons=(ReasonCount("exit code 3", 3),), given_up=True
    )
    assert len(full_depot.courier.told) == 3
    assert full_depot.notices == ["nothing more is delivered: 3 failed one after another"]


def test_a_success_in_between_gives_hope(
    full_depot: Depot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_HOPELESS", 3)
    full_depot.courier.react = refuse(1, 2, 4, 5)
    full_depot.deliver(attempts=1, concurrency=1)
    assert full_depot.summary is not None
    assert (full_depot.summary.delivered, full_depot.summary.failed) == (1, 4)
    assert not full_depot.summary.given_up


def test_what_is_withheld_is_not_delivered(full_depot: Depot) -> None:
    # linting looks at certificates that nobody would deliver too
    full_depot.deliver(withheld={2, 3, 99})
    assert sorted(number for number, _ in full_depot.courier.told) == [1, 4, 5]
    assert full_depot.summary == DeliverySummary("hand-over", 3, 0, 0, withheld=2)
    assert full_depot.summary.is_done


def test_a_disk_that_is_full_loses_nothing(
    full_depot: Depot, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = 0

    def write(*arguments: Any) -> None:
        nonlocal written
        written += 1
        if written == 3:
            raise BulkcmpError("the disk is full")
        real(*arguments)

    real = harvest.write_rows
    monkeypatch.setattr(module, "write_rows", write)
    with pytest.raises(BulkcmpError, match="the disk is full"):
        full_depot.deliver(concurrency=1)
    assert len(full_depot.courier.told) == 2
    assert full_depot.notices == ["nothing more is delivered: the disk is full"]
    states = [state for state, *_ in full_depot.states().values()]
    assert states == [DELIVERED, DELIVERED, TO_DO, TO_DO, TO_DO]
    full_depot.deliver()
    assert set(full_depot.states().values()) == {(DELIVERED, 1, "")}


def test_what_is_left_is_told_of(full_depot: Depot) -> None:
    async def take_its_time(note: DeliveryNote) -> str:
        await anyio.sleep(6)
        return "exit code 3" if note.result.number == 1 else ""

    full_depot.courier.react = take_its_time
    full_depot.deliver(attempts=1, concurrency=1)
    assert full_depot.notices == [
        "delivering: 4 left, 1 failed",
        "delivering: 2 left, 1 failed",
        "delivering: 1 left, 1 failed",
    ]
