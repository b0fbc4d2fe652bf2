"""A foreman with workers, a CA and a journal of its own, in virtual time."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import pytest
import trio.testing

from bulkcmp.engine.channel import Channel, memory_channels, packed, unpacked
from bulkcmp.engine.foreman import Foreman
from bulkcmp.engine.frame import (
    Beat,
    Drain,
    Failed,
    Frame,
    Halt,
    Logged,
    Lot,
    Order,
    Over,
    Proceed,
    Recorded,
    Told,
)
from bulkcmp.errors import InputError, Loss, TransportError, Where
from bulkcmp.io.keyworker import make_keys
from bulkcmp.journal.failure import LeaseHeld
from bulkcmp.journal.journal import Journal
from bulkcmp.journal.lease import Shard
from bulkcmp.model import BadRow, EndEntity, Operation, OutcomeClass
from bulkcmp.stats.progress import AlreadyDone, Held, Progress
from bulkcmp.waves.admission import Hold
from bulkcmp.waves.breaker import BreakerRules
from tests.engine.conftest import EC, VirtualClock

if TYPE_CHECKING:
    from tests.engine.conftest import Scene, Seen

SILENCE = 20.0
TERM = 5.0
ISSUED = OutcomeClass.ISSUED


@dataclass
class Site:
    """A foreman and its parent.

    Attributes:
        held: refusals of a lease, before it is given.
        leased: shards that were.
        said: what the foreman said.
    """

    scene: "Scene"
    held: int = 0
    leased: list[Shard] = field(default_factory=list)
    said: list[Frame] = field(default_factory=list)
    ended_at: float = 0.0
    _over: anyio.Event = field(init=False)

    def rows(self, count: int) -> tuple[EndEntity, ...]:
        """Rows with keys of their own, so that no process must make them."""
        keys = make_keys(EC, count)
        return tuple(
            self.scene.row(n, new_key=key, new_key_spec=None) for n, key in enumerate(keys, 1)
        )

    def order(self) -> Order:
        return Order("postgresql://db/x", "r1", TERM, None, self.scene.setup(), 2, SILENCE)

    def play(self, parent: Callable[[Channel], Coroutine[Any, Any, None]]) -> None:
        async def main() -> None:
            self._over = anyio.Event()
            ours, theirs = memory_channels()

            async def listen() -> None:
                try:
                    while True:
                        frames = await ours.receive()
                        self.said += frames
                        if any(isinstance(frame, Over) for frame in frames):
                            self._over.set()
                except anyio.EndOfStream:
                    pass

            with anyio.fail_after(3600):
                async with anyio.create_task_group() as group:
                    group.start_soon(listen)
                    group.start_soon(parent, ours)
                    await Foreman(theirs, self.scene.clock, hire=self.scene.hire(0.0)).run()
                    self.ended_at = anyio.current_time()
                    theirs.close()
            ours.close()

        clock = trio.testing.MockClock(autojump_threshold=0)
        anyio.run(main, backend="trio", backend_options={"clock": clock})

    async def until_over(self) -> None:
        """A lot is over."""
        self._over = anyio.Event()
        await self._over.wait()

    def progress(self) -> Progress:
        """What was told, as the parent counts it."""
        made = Progress(0.0)
        for frame in self.said:
            if isinstance(frame, Told):
                for event in frame.events:
                    made.feed(0.0, event)
        return made


@pytest.fixture
def site(scene: "Scene", monkeypatch: pytest.MonkeyPatch) -> Site:
    made = Site(scene)

    def join(url: str, run: str) -> Journal:
        assert (url, run) == ("postgresql://db/x", "r1")
        return scene.open()

    def hold(_: Journal, shard: Shard, *, term: float) -> None:
        assert term == TERM
        if made.held:
            made.held -= 1
            raise LeaseHeld("process 7 on old", Where(""))
        made.leased.append(shard)

    monkeypatch.setattr(Journal, "join", join)
    monkeypatch.setattr(Journal, "hold", hold)
    return made


def test_lots_are_done_under_a_lease_each_and_told(site: Site) -> None:
    rows = site.rows(30)
    bad = BadRow(31, 32, "dev31", (InputError("no subject", where=Where("x.csv", 32)),))
    first = Lot(Shard(1, 21), rows[:20], False)
    second = Lot(Shard(21, 32), (*rows[20:], bad), True)

    async def parent(channel: Channel) -> None:
        # as they come from another machine
        await channel.send(unpacked(packed([site.order(), first])))
        await site.until_over()
        assert site.progress().snapshot(0.0).done == 20
        await channel.send(unpacked(packed([Beat(), second])))
        await site.until_over()
        await channel.send([Drain()])

    site.play(parent)
    assert site.leased == [first.shard, second.shard]
    told = site.progress().snapshot(0.0)
    assert (told.done, told.transactions, told.in_flight) == (31, 30, 0)
    assert {one.outcome: one.count for one in told.counts} == {
        ISSUED: 30,
        OutcomeClass.BAD_ROW: 1,
    }
    over = [frame for frame in site.said if isinstance(frame, Over)]
    assert over == [Over(frozenset({Operation.IR}), True)] * 2
    assert len(site.scene.peer.opened()) == 30
    site.scene.check_sent()


def test_lines_of_the_log_go_to_the_parent(site: Site) -> None:
    site.scene.nesting = {"verbosity": 1}

    async def parent(channel: Channel) -> None:
        await channel.send([site.order(), Lot(Shard(1, 3), site.rows(2), False)])
        await site.until_over()
        await channel.send([Drain()])

    site.play(parent)
    lines = [frame for frame in site.said if isinstance(frame, Logged)]
    assert sorted((line.event, line.number) for line in lines) == [
        ("begins", 1), ("begins", 2), ("ended", 1), ("ended", 2),
    ]  # fmt: skip


def test_a_lot_of_a_lost_foreman_goes_by_the_rules_of_resume(site: Site) -> None:
    rows = site.rows(20)
    lot = Lot(Shard(1, 21), rows, False)
    site.scene.peer.latency = 1.0

    async def lost(channel: Channel) -> None:
        await channel.send([site.order(), lot])
        await anyio.sleep(2.5)
        await channel.aclose()

    site.play(lost)
    assert site.ended_at < 10
    before = len(site.scene.transactions())
    assert before
    site.said.clear()

    async def other(channel: Channel) -> None:
        await channel.send([site.order(), lot])
        await site.until_over()
        await channel.send([Drain()])

    site.play(other)
    told = [event for frame in site.said if isinstance(frame, Told) for event in frame.events]
    known = [event for event in told if isinstance(event, AlreadyDone)]
    assert known
    assert site.progress().snapshot(0.0).done == 20
    outcomes = site.scene.outcomes()
    assert len(outcomes) == 20
    # what had been sent is not sent again
    assert set(outcomes.values()) == {ISSUED, OutcomeClass.UNKNOWN}
    site.scene.check_sent()


def test_who_is_not_heard_of_ends_what_it_does(site: Site) -> None:
    site.scene.peer.latency = 1000.0

    async def parent(channel: Channel) -> None:
        await channel.send([site.order(), Lot(Shard(1, 6), site.rows(5), False)])
        await anyio.sleep(10)
        await channel.send([Beat()])

    site.play(parent)
    assert site.ended_at == pytest.approx(10 + SILENCE, abs=1)
    assert not any(isinstance(frame, Over) for frame in site.said)


def test_a_stop_ends_what_is_under_way(site: Site) -> None:
    site.scene.peer.latency = 3.0

    async def parent(channel: Channel) -> None:
        await channel.send([site.order(), Lot(Shard(1, 41), site.rows(40), False)])
        await anyio.sleep(7)
        await channel.send([Drain()])

    site.play(parent)
    assert isinstance(site.said[-1], Over)
    outcomes = site.scene.outcomes()
    assert set(outcomes.values()) <= {ISSUED, OutcomeClass.TO_DO}
    assert 0 < site.progress().snapshot(0.0).done < 40


def test_an_earlier_foreman_that_has_not_noticed_yet_is_waited_for(site: Site) -> None:
    site.held = 3

    async def parent(channel: Channel) -> None:
        await channel.send([site.order(), Lot(Shard(1, 2), site.rows(1), False)])
        await site.until_over()
        await channel.send([Drain()])

    site.play(parent)
    assert site.leased == [Shard(1, 2)]


def test_rows_that_another_has_for_good_are_an_error(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = 0

    def hold(*_: Any, **__: Any) -> None:
        nonlocal tries
        # each takes a second
        tries += 1
        raise LeaseHeld("process 7 on old", Where(""))

    class Clock(VirtualClock):
        def now(self) -> float:
            return super().now() + tries

    site.scene.clock = Clock()
    monkeypatch.setattr(Journal, "hold", hold)

    async def parent(channel: Channel) -> None:
        await channel.send([site.order(), Lot(Shard(1, 2), site.rows(1), False)])

    site.play(parent)
    (failed,) = site.said
    assert isinstance(failed, Failed)
    assert "another bulkcmp is at work on this run: process 7 on old" in failed.what
    assert tries == pytest.approx(SILENCE + TERM, abs=2)


def test_a_server_that_is_not_reached_is_told(site: Site) -> None:
    async def refuse(_seen: object) -> None:
        raise TransportError(Loss.CONNECT, "refused")

    site.scene.peer.before = refuse

    async def parent(channel: Channel) -> None:
        await channel.send([site.order(), Lot(Shard(1, 4), site.rows(3), False)])
        await site.until_over()
        await channel.send([Drain()])

    site.play(parent)
    assert site.said[-1] == Over(frozenset({Operation.IR}), False, Loss.CONNECT, "refused")


def test_what_a_foreman_is_never_sent_is_an_error(site: Site) -> None:
    async def parent(channel: Channel) -> None:
        await channel.send([site.order(), Recorded(1)])

    site.play(parent)
    assert [type(frame) for frame in site.said] == [Failed]


def test_between_halt_and_proceed_nothing_begins(site: Site) -> None:
    rows = site.rows(12)

    async def parent(channel: Channel) -> None:
        await channel.send([site.order(), Halt(), Lot(Shard(1, 13), rows, True)])
        for _ in range(6):
            await anyio.sleep(10.0)
            await channel.send([Beat()])
        assert site.scene.peer.seen == []
        assert site.progress().snapshot(0.0).held == Held(Hold.PAUSED)
        await channel.send([Proceed()])
        await site.until_over()
        await channel.send([Drain()])

    site.play(parent)
    told = site.progress().snapshot(0.0)
    assert (told.done, told.held) == (12, None)


def test_a_foreman_tells_that_it_gave_up(site: Site) -> None:
    async def refuse(_: "Seen") -> httpx.Response:
        return httpx.Response(500)

    site.scene.peer.before = refuse

    async def parent(channel: Channel) -> None:
        order = replace(site.order(), breaker=BreakerRules(3, 2.0, 900.0))
        await channel.send([order, Lot(Shard(1, 41), site.rows(40), False)])
        await site.until_over()
        await channel.send([Drain()])

    site.play(parent)
    (over,) = [frame for frame in site.said if isinstance(frame, Over)]
    assert over.given_up.startswith("the CA fails all that it is asked (HTTP 500)")
    assert len(site.scene.peer.opened()) < 40
