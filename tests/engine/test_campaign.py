"""Campaigns with foremen that do what a test says, in virtual time."""

import datetime as dt
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import anyio
import pytest
import trio.testing
from anyio.abc import TaskGroup

from bulkcmp.engine.campaign import Campaign, Machines, check_shared
from bulkcmp.engine.channel import Channel, memory_channels
from bulkcmp.engine.colleague import Colleague, Crew, WorkerError
from bulkcmp.engine.failure import first_error
from bulkcmp.engine.frame import (
    Beat,
    Drain,
    Failed,
    Halt,
    Host,
    Logged,
    Lot,
    Order,
    Over,
    Proceed,
    Told,
)
from bulkcmp.engine.plan import Census, Plan
from bulkcmp.errors import BulkcmpError, InputError, Loss
from bulkcmp.journal.lease import Shard
from bulkcmp.model import BadRow, EndEntity, Operation, Outcome, OutcomeClass, Secret, Timings
from bulkcmp.stats.progress import (
    Abandoned,
    AlreadyDone,
    Changed,
    Event,
    Finished,
    Held,
    KeysWaited,
    Settled,
    Snapshot,
    Started,
)
from bulkcmp.waves.admission import Hold
from bulkcmp.waves.breaker import BreakerRules
from bulkcmp.waves.canary import Amount, Canary
from bulkcmp.waves.window import Window, Windows

if TYPE_CHECKING:
    from tests.engine.conftest import Scene

ISSUED = Outcome(OutcomeClass.ISSUED)
UNKNOWN = OutcomeClass.UNKNOWN
BAD = Outcome(OutcomeClass.BAD_ROW)
SILENCE = 20.0


@dataclass
class Foreman:
    """A foreman as a test plays it.

    Attributes:
        place: among all that were hired; order, lots: what it was given.
        told: what it was told besides, and when.
    """

    place: int
    channel: Channel
    order: Order | None = None
    lots: list[Lot] = field(default_factory=list)
    told: list[tuple[float, str]] = field(default_factory=list)

    async def next(self) -> Lot | None:
        """The next lot; None once there is none."""
        try:
            while True:
                for frame in await self.channel.receive():
                    match frame:
                        case Order():
                            self.order = frame
                        case Lot():
                            self.lots.append(frame)
                            return frame
                        case Halt() | Proceed():
                            self.told.append((anyio.current_time(), type(frame).__name__))
        except anyio.EndOfStream:
            return None

    async def tell(self, *events: Event) -> None:
        await self.channel.send([Told(events)])

    async def over(self, **fields: Any) -> None:
        await self.channel.send([Over(frozenset({Operation.IR}), True, **fields)])


def done(row: EndEntity | BadRow) -> tuple[Event, ...]:
    """What is told of a row that is done."""
    if isinstance(row, BadRow):
        return (Settled(row.id, BAD),)
    return Started(), Finished(((row.id, ISSUED),), Timings(service=0.1))


async def oblige(foreman: Foreman) -> None:
    while (lot := await foreman.next()) is not None:
        await anyio.sleep(1.0)
        for row in lot.rows:
            await foreman.tell(*done(row))
        await foreman.over()


Play = Callable[[Foreman], Awaitable[None]]


@dataclass
class Site:
    """A campaign, and who works in it."""

    scene: "Scene"
    foremen: list[Foreman] = field(default_factory=list)
    snapshots: list[Snapshot] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    campaign: Campaign = field(init=False)

    def play(
        self,
        rows: Iterable[EndEntity | BadRow],
        play: Play = oblige,
        *,
        machines: int = 3,
        total: int | None = None,
        conduct: Callable[[Campaign], Coroutine[Any, Any, None]] | None = None,
        most: int = 100,
        **waves: Any,
    ) -> None:
        """Have rows done.

        Args:
            play: what a foreman does, before it is gone.
            most: foremen that can be hired.
        """

        async def hire(group: TaskGroup) -> Colleague:
            if len(self.foremen) == most:
                raise WorkerError("no machine is left")
            ours, theirs = memory_channels()
            foreman = Foreman(len(self.foremen), theirs)
            self.foremen.append(foreman)

            async def run() -> None:
                try:
                    await play(foreman)
                except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                    # the campaign is over
                    pass
                finally:
                    theirs.close()

            group.start_soon(run)
            host = Host(f"10.0.0.{foreman.place}:1", 2, 0.001, SILENCE)
            return Colleague(ours, host=host)

        async def main() -> None:
            self.campaign = Campaign(
                rows,
                Machines(no_join, machines, 0, "postgresql://db/x", 5.0),
                Crew(hire),
                "r1",
                Secret(b"sesame"),
                self.scene.setup(concurrency=10, rate=90.0),
                clock=self.scene.clock,
                on_snapshot=self.snapshots.append,
                on_notice=self.notices.append,
                total=total,
                **waves,
            )
            try:
                with anyio.fail_after(3600):
                    async with anyio.create_task_group() as group:
                        if conduct is not None:
                            group.start_soon(conduct, self.campaign)
                        await self.campaign.execute()
                        group.cancel_scope.cancel()
            except BaseExceptionGroup as errors:
                raise first_error(errors) from None

        clock = trio.testing.MockClock(autojump_threshold=0)
        anyio.run(main, backend="trio", backend_options={"clock": clock})

    def given(self) -> list[int]:
        """Numbers of the rows that were given out."""
        lots = (lot for foreman in self.foremen for lot in foreman.lots)
        return sorted(row.number for lot in lots for row in lot.rows)


def no_join(_: Callable[[str], None]) -> AbstractAsyncContextManager[Crew]:
    raise AssertionError("the crew is there")


@pytest.fixture
def site(scene: "Scene") -> Site:
    return Site(scene)


def test_every_row_is_given_out_once_and_counted_once(site: Site) -> None:
    rows = site.scene.rows(203)
    site.play(rows, total=203)
    assert site.given() == list(range(1, 204))
    assert len(site.foremen) == 3
    lots = [lot for foreman in site.foremen for lot in foreman.lots]
    # more than machines, and none has rows of another
    assert len(lots) >= 12
    for lot in lots:
        assert all(lot.shard.first <= row.number < lot.shard.beyond for row in lot.rows)
    edges = sorted((lot.shard.first, lot.shard.beyond) for lot in lots)
    assert [first for first, _ in edges[1:]] == [beyond for _, beyond in edges[:-1]]
    orders = [foreman.order for foreman in site.foremen]
    assert all(order is not None for order in orders)
    told = cast(list[Order], orders)
    assert sum(order.setup.concurrency for order in told) == 10
    assert {order.setup.rate for order in told} == {30.0}
    (same,) = {(one.journal, one.run, one.term, one.workers, one.silence) for one in told}
    assert same == ("postgresql://db/x", "r1", 5.0, 2, SILENCE)
    assert "sesame" not in repr(told)
    # the first lots found out that the server is there
    for foreman in site.foremen:
        heard = [lot.is_heard for lot in foreman.lots]
        assert heard == [False, *[True] * (len(heard) - 1)]
    final = site.snapshots[-1]
    assert (final.done, final.transactions, final.total, final.failed) == (203, 203, 203, 0)
    assert final.success.service.count == 203
    assert final.finished
    assert site.campaign.operations == {Operation.IR}


def test_rows_that_were_not_counted_are_so_at_the_end(site: Site) -> None:
    site.play(site.scene.rows(5), total=None)
    assert site.snapshots[0].total is None
    assert site.snapshots[-1].total == 5


def test_what_a_lost_foreman_did_not_tell_is_done_by_another(site: Site) -> None:
    rows = site.scene.rows(16)
    # a bad row may have the id of a good one
    bad = BadRow(17, 18, "dev1", (InputError("duplicate id"),))
    first_told = (*done(rows[0]), *done(bad), KeysWaited(2.0), Started(), Started(), Abandoned(1))

    async def play(foreman: Foreman) -> None:
        lot = await foreman.next()
        assert lot is not None
        if foreman.place == 0:
            await foreman.tell(*first_told)
            return
        assert [row.number for row in lot.rows] == list(range(2, 18))
        if foreman.place == 1:
            # of one whose end nobody heard the journal knows
            await foreman.tell(AlreadyDone(UNKNOWN, "", 1))
            return
        await foreman.tell(AlreadyDone(UNKNOWN, "", 1), *done(bad))
        for row in lot.rows[1:-1]:
            await foreman.tell(*done(row))
        await foreman.over()

    site.play([*rows, bad], play, machines=1, total=17 * 16)
    shards = {lot.shard for foreman in site.foremen for lot in foreman.lots}
    assert shards == {Shard(1, 18)}
    assert [notice.partition(":")[0] for notice in site.notices] == ["10.0.0.0", "10.0.0.1"]
    final = site.snapshots[-1]
    assert (final.done, final.transactions, final.in_flight) == (17, 15, 0)
    assert {count.outcome: count.count for count in final.counts} == {
        OutcomeClass.ISSUED: 15,
        UNKNOWN: 1,
        OutcomeClass.BAD_ROW: 1,
    }
    assert final.keys_waiting == 2.0


def test_nobody_leaves_while_others_may_be_lost(site: Site) -> None:
    async def play(foreman: Foreman) -> None:
        if foreman.place == 0:
            await foreman.next()
            await anyio.sleep(60)
            return
        await oblige(foreman)
        assert anyio.current_time() > 60

    site.play(site.scene.rows(32), play, machines=2, total=32)
    assert sum(len(foreman.lots) for foreman in site.foremen) == 3
    assert site.snapshots[-1].done == 32


def test_machines_that_are_lost_again_and_again_end_it(site: Site) -> None:
    async def play(foreman: Foreman) -> None:
        await foreman.next()

    with pytest.raises(WorkerError, match="lost again and again"):
        site.play(site.scene.rows(64), play, total=64)
    assert len(site.foremen) <= 9


def test_without_a_machine_it_ends(site: Site) -> None:
    async def play(foreman: Foreman) -> None:
        await foreman.next()

    with pytest.raises(WorkerError, match="no machine is left"):
        site.play(site.scene.rows(64), play, machines=1, most=1)


def test_a_foreman_that_cant_work_ends_it_with_its_name_and_the_rest_is_drained(
    site: Site,
) -> None:
    async def play(foreman: Foreman) -> None:
        lot = await foreman.next()
        if foreman.place == 1:
            await foreman.channel.send([Failed("the database is away", "look at it", 1)])
            return
        assert list(await foreman.channel.receive()) == [Drain()]
        assert lot is not None
        await foreman.tell(*done(lot.rows[0]))
        await foreman.over()

    with pytest.raises(WorkerError, match=r"^10\.0\.0\.1:1: the database is away") as caught:
        site.play(site.scene.rows(100), play, total=100)
    assert (caught.value.hint, caught.value.exit_code) == ("look at it", 1)


def test_a_server_that_nobody_reaches_stops_it(site: Site) -> None:
    async def play(foreman: Foreman) -> None:
        await foreman.next()
        await foreman.over(loss=Loss.CONNECT, detail="refused")

    site.play(site.scene.rows(100), play, machines=2, total=100)
    assert site.campaign.unreachable is not None
    assert site.campaign.unreachable.what == "refused"
    assert len(site.given()) <= 32


def test_a_stop_ends_what_is_under_way_and_begins_nothing(site: Site) -> None:
    async def play(foreman: Foreman) -> None:
        lot = await foreman.next()
        assert lot is not None
        await foreman.tell(Started())
        # nothing more comes but the word to end
        assert list(await foreman.channel.receive()) == [Drain()]
        await foreman.tell(Finished(((lot.rows[0].id, ISSUED),), Timings()))
        await foreman.over()

    async def stop(campaign: Campaign) -> None:
        await anyio.sleep(5)
        campaign.stop()

    site.play(site.scene.rows(300), play, total=300, conduct=stop)
    assert [len(foreman.lots) for foreman in site.foremen] == [1, 1, 1]
    final = site.snapshots[-1]
    assert (final.done, final.in_flight) == (3, 0)


def test_one_that_is_stopped_before_it_begins_does_nothing(site: Site) -> None:
    async def conduct(campaign: Campaign) -> None:
        campaign.stop()

    site.play(site.scene.rows(30), total=30, conduct=conduct)
    assert site.given() == []


def test_left_at_once_it_waits_for_nobody(site: Site) -> None:
    async def play(foreman: Foreman) -> None:
        await foreman.next()
        await anyio.sleep(1000)

    async def abort(campaign: Campaign) -> None:
        await anyio.sleep(5)
        campaign.abort()

    site.play(site.scene.rows(30), play, total=30, conduct=abort)
    assert site.snapshots[-1].elapsed == pytest.approx(5, abs=0.1)


def test_a_population_that_cant_be_read_any_longer_ends_it(site: Site) -> None:
    def rows() -> Iterator[EndEntity]:
        yield from site.scene.rows(20)
        raise InputError("the file is gone")

    with pytest.raises(InputError, match="the file is gone"):
        site.play(rows(), machines=1, total=60)
    assert site.given() == list(range(1, 17))


def test_what_a_foreman_never_says_is_an_error(site: Site) -> None:
    async def play(foreman: Foreman) -> None:
        await foreman.next()
        await foreman.channel.send([Beat()])

    with pytest.raises(BulkcmpError, match="a foreman said Beat"):
        site.play(site.scene.rows(1), play)


def test_what_only_one_machine_can_do_is_refused(scene: "Scene") -> None:
    def check(setup: dict[str, Any], **fields: Any) -> None:
        values: dict[str, Any] = {"key_file": None, "census": None, "canary": None, **fields}
        plan = object.__new__(Plan)
        for name, value in {**values, "setup": scene.setup(**setup)}.items():
            object.__setattr__(plan, name, value)
        check_shared(plan)

    def census(*priorities: int | None) -> Census:
        return Census(2, 0, frozenset(), {}, 0, priorities, ())

    check({}, census=census(3))
    for what, setup, fields in (
        ("--keys", {}, {"key_file": Path("keys.bin")}),
        ("--save-messages", {"save_messages": "/tmp/x"}, {}),
        ("--trust-first-ca-cert", {"anchors": ()}, {}),
        ("a priority", {}, {"census": census(1, None)}),
        ("--canary", {}, {"canary": Canary(Amount(1.0, True), Amount(0.0, False))}),
    ):
        with pytest.raises(InputError, match=what):
            check(setup, **fields)


def test_all_foremen_hold_back_outside_the_window_and_in_a_pause(site: Site) -> None:
    paused = False

    async def conduct(_: Campaign) -> None:
        nonlocal paused
        await anyio.sleep(70.0)
        paused = True
        await anyio.sleep(10.0)
        paused = False

    async def play(foreman: Foreman) -> None:
        while (lot := await foreman.next()) is not None:
            # it is told meanwhile: as long as two of the conductor's waits
            with anyio.move_on_after(100.0):
                await foreman.next()
            for row in lot.rows:
                await foreman.tell(*done(row))
            await foreman.over()

    # virtual time begins at 12:00
    windows = Windows((Window.parse("12:01-13:00"),), dt.UTC)
    rules = BreakerRules(5, 2.0, 900.0)
    site.play(
        site.scene.rows(32),
        play,
        machines=2,
        total=32,
        conduct=conduct,
        windows=windows,
        is_paused=lambda: paused,
        breaker=rules,
    )
    assert len(site.foremen) == 2
    for foreman in site.foremen:
        assert foreman.order is not None
        assert foreman.order.breaker == rules
        assert [what for _, what in foreman.told] == ["Halt", "Proceed", "Halt", "Proceed"]
        for (at, _), wanted in zip(foreman.told, (0.0, 60.0, 70.0, 80.0), strict=True):
            assert at == pytest.approx(wanted, abs=0.5)
    last = site.snapshots[-1]
    assert (last.done, last.held) == (32, None)
    assert [(one.hold, one.times) for one in last.holds] == [(Hold.WINDOW, 1), (Hold.PAUSED, 1)]
    assert site.snapshots[0].held is not None


def test_a_machine_that_holds_back_is_told_of_and_one_that_gives_up_ends_the_run(
    site: Site,
) -> None:
    busy = Held(Hold.CIRCUIT, None, "server busy")

    async def play(foreman: Foreman) -> None:
        lot = await foreman.next()
        assert lot is not None
        if foreman.place == 0:
            await foreman.tell(Changed(busy))
            await anyio.sleep(10.0)
            await foreman.tell(Changed(None))
            await foreman.tell(Changed(busy))
            await anyio.sleep(5.0)
        else:
            await anyio.sleep(20.0)
        await foreman.over(given_up="" if foreman.place else "the CA fails all")
        while await foreman.next() is not None:
            pass

    site.play(site.scene.rows(200), play, machines=2, total=200)
    assert site.campaign.given_up == "the CA fails all"
    assert {one.held for one in site.snapshots if 1.0 < one.elapsed < 14.0} == {busy}
    last = site.snapshots[-1]
    assert last.held is None
    assert [(one.hold, one.times) for one in last.holds] == [(Hold.CIRCUIT, 2)]
    assert last.holds[0].seconds == pytest.approx(15.0, abs=0.5)
    # nothing more is given out
    assert [len(foreman.lots) for foreman in site.foremen] == [1, 1]


def test_a_line_of_the_log_names_the_machine_that_it_comes_from(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    async def play(foreman: Foreman) -> None:
        lot = await foreman.next()
        assert lot is not None
        await foreman.channel.send([Logged(1.0, logging.INFO, "begins", {}, b"id", 1, ("dev1",))])
        await foreman.tell(*done(lot.rows[0]))
        await foreman.over()
        assert await foreman.next() is None

    with caplog.at_level(logging.INFO, "bulkcmp"):
        site.play(site.scene.rows(1), play, machines=1, total=1)
    assert [one.getMessage() for one in caplog.records] == ["1 dev1 6964 begins host=10.0.0.0:1"]
