"""What ends a load test before its time, and what does not: a lost worker."""

import itertools
import re
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import anyio
import pytest
from anyio.abc import TaskGroup

from bulkcmp.cmp.messages import BodyType
from bulkcmp.engine.channel import MemoryChannel
from bulkcmp.engine.colleague import Colleague, Hire, WorkerError, hire_task
from bulkcmp.engine.frame import Assignment, Beat, Failed, Host, Ready, Recorded
from bulkcmp.engine.keys import KeySource
from bulkcmp.engine.load.run import LoadRun
from bulkcmp.errors import BulkcmpError, InputError, Loss, TransportError
from bulkcmp.load.scenario import Closed, Constant, Lifecycle, Step
from bulkcmp.model import KeySpec, Operation, OutcomeClass
from bulkcmp.stats.record import TransactionRecord
from tests.engine.conftest import EPOCH
from tests.engine.load.conftest import is_punctual

if TYPE_CHECKING:
    from tests.engine.conftest import Seen
    from tests.engine.load.conftest import Load


class FewKeys(KeySource):
    """Ends after some."""

    starved = 0.0

    def __init__(self, source: KeySource, left: int) -> None:
        self._source = source
        self._left = left

    async def take(self, spec: KeySpec) -> tuple[bytes, int | None]:
        self._left -= 1
        if self._left < 0:
            raise InputError(f"no {spec} key is left")
        return await self._source.take(spec)


def test_without_keys_it_ends_and_tells_why(load: "Load") -> None:
    keys = FewKeys(load.scene.fresh_keys, 2000)
    with pytest.raises(InputError, match="no ec:P-256 key is left"):
        load.play(load.steady(1000.0), keys=keys, drain=10.0)
    # what had begun was drained
    assert load.records
    assert all(one.is_ok for one in load.records)


def test_seconds_count_from_the_first_start_not_from_the_making_of_keys(load: "Load") -> None:
    class SlowKeys(FewKeys):
        async def take(self, spec: KeySpec) -> tuple[bytes, int | None]:
            await anyio.sleep(0.5)
            return await super().take(spec)

    load.play(load.steady(10.0), count=4, keys=SlowKeys(load.scene.fresh_keys, 4))
    (began,) = load.begun
    # four keys were made before
    assert began > EPOCH + 2.0
    first = EPOCH + load.scene.peer.seen[0].at
    assert began + load.records[0].started == pytest.approx(first, abs=0.003)


def test_it_may_be_stopped_while_its_workers_start(load: "Load") -> None:
    inner = load.hire()

    async def hire(group: TaskGroup) -> Colleague:
        colleague = await inner(group)
        load.run.stop()
        return colleague

    load.play(load.steady(10.0), workers=3, hire=hire)
    assert not load.records
    assert not load.begun


def losing(load: "Load", losses: dict[int, float], host: Host | None = None) -> Hire:
    """Workers of which some are lost.

    Args:
        losses: virtual seconds from the hiring of a worker to its loss, by its place among all.
        host: where they are.
    """
    inner = load.hire()
    places = itertools.count()

    async def hire(group: TaskGroup) -> Colleague:
        colleague = replace(await inner(group), host=host)
        seconds = losses.get(next(places))

        async def be_lost() -> None:
            assert seconds is not None
            await anyio.sleep(seconds)
            await colleague.channel.aclose()

        if seconds is not None:
            group.start_soon(be_lost)
        return colleague

    return hire


def enrollments(load: "Load") -> Counter[bytes]:
    """How often an ir was sent for each end entity."""
    return Counter(
        found.group()
        for seen in load.scene.peer.sent(BodyType.IR)
        if (found := re.search(rb"dev[0-9]+", seen.message))
    )


def is_lost(record: TransactionRecord) -> bool:
    return any(ending.reason == "worker lost" for ending in record.endings)


@pytest.mark.parametrize("losses", [{1: 5.0}, {1: 5.0, 2: 3.0}])
def test_a_lost_workers_share_goes_on_at_its_planned_instants(
    load: "Load", losses: dict[int, float]
) -> None:
    load.scene.peer.latency = 0.4
    load.play(load.steady(20.0), duration=12.0, workers=2, hire=losing(load, losses))
    # each arrival is accounted for once, and what was under way at the loss is named
    assert sorted(one.arrival for one in load.records) == list(range(240))
    assert not load.drops
    lost = [one for one in load.records if is_lost(one)]
    assert {one.arrival % 2 for one in lost} == {1}
    assert load.outcomes()[OutcomeClass.UNKNOWN] == len(lost)
    for one in lost:
        # an enrollment takes 0.8 s, and a worker tells each 0.1 s what it did
        assert one.planned == pytest.approx(one.arrival / 20)
        assert 0 <= one.finished - one.planned < 1.0
    # at the instants for which they were planned
    assert all(is_punctual(one.started, one.planned) for one in load.records if not is_lost(one))
    assert len(load.notices) == len(losses)
    assert load.notices[0].startswith("worker 2 was lost; another goes on")
    # nothing that may have been sent was sent again
    assert set(enrollments(load).values()) == {1}


@pytest.mark.parametrize(
    ("host", "most"),
    [
        # what their four clients had told
        (None, 4),
        # what was told may be lost with the machine
        (Host("10.0.0.7:4711", 1, 0.0, 1e6), 1028),
    ],
    ids=["process", "machine"],
)
def test_clients_of_lost_workers_go_on(load: "Load", host: Host | None, most: int) -> None:
    load.scene.peer.latency = 0.7
    steps = Step(Operation.IR, server="ra"), Step(Operation.KUR, Constant(2.0), server="client")
    lifecycle = Lifecycle("life", 1.0, steps)
    load.play(
        Closed(6),
        lifecycle,
        count=2000,
        duration=60.0,
        workers=3,
        servers={"ra": {}, "client": {}},
        hire=losing(load, {1: 4.0, 2: 5.5}, host),
    )
    lost = [one for one in load.records if is_lost(one)]
    assert 0 < len(lost) <= most
    # lifecycles whose second step was not over are named by it
    assert {one.step for one in lost} == {0, 1}
    for one in lost:
        step = lifecycle.steps[one.step]
        assert (one.operation, one.server) == (step.cmd, step.server)
    begun = Counter(one.arrival for one in load.records if one.step == 0)
    assert set(begun.values()) == {1}
    assert len(load.records) == 2 * len(begun) - sum(one.step == 0 for one in lost)
    assert set(enrollments(load).values()) == {1}


def test_who_takes_over_while_the_server_is_gone_goes_on(load: "Load") -> None:
    load.scene.tune(retries=0)

    async def gone(seen: "Seen") -> None:
        if seen.at > 4.0:
            raise TransportError(Loss.CONNECT, "refused")

    load.scene.peer.before = gone
    load.play(load.steady(4.0), duration=10.0, workers=2, hire=losing(load, {1: 5.0}))
    assert sorted(one.arrival for one in load.records) == list(range(40))
    outcomes = load.outcomes()
    assert outcomes[OutcomeClass.NOT_SENT] + outcomes[OutcomeClass.UNKNOWN] >= 20


def test_who_takes_over_while_the_run_drains_names_what_was_lost(load: "Load") -> None:
    load.scene.peer.latency = 4.0

    async def stop(run: LoadRun) -> None:
        await anyio.sleep(3.0)
        run.stop()

    load.play(load.steady(4.0), workers=2, hire=losing(load, {0: 4.0}), conduct=stop)
    # nobody knows whether it heard that nothing more was to begin
    assert {one.arrival for one in load.records if is_lost(one)} == set(range(0, 16, 2))
    assert load.outcomes()[OutcomeClass.ISSUED] == 6


def test_what_was_due_before_a_stop_and_after_a_loss_is_dropped(load: "Load") -> None:
    inner = losing(load, {0: 4.1})

    async def hire(group: TaskGroup) -> Colleague:
        if load.begun:
            # the run is stopped before there is another
            await anyio.sleep(3.0)
        return await inner(group)

    async def stop(run: LoadRun) -> None:
        await anyio.sleep(6.0)
        run.stop()

    load.play(load.steady(4.0), workers=2, hire=hire, conduct=stop)
    accounted = [one.arrival for one in load.records] + [one.arrival for one in load.drops]
    assert sorted(accounted) == list(range(len(accounted)))
    assert {one.arrival % 2 for one in load.drops} == {0}
    assert all(one.planned > 3.5 for one in load.drops)


def test_too_many_losses_end_it(load: "Load") -> None:
    losses = dict.fromkeys(range(1, 9), 5.0)
    with pytest.raises(WorkerError, match="a worker died"):
        load.play(load.steady(10.0), workers=2, hire=losing(load, losses), drain=5.0)
    # the other one told all that it measured
    assert len(load.records) > 100
    assert len(load.notices) == 2


def test_nobody_may_be_had_for_a_lost_worker(load: "Load") -> None:
    inner = losing(load, {1: 5.0})
    places = itertools.count()

    async def hire(group: TaskGroup) -> Colleague:
        if next(places) == 2:
            raise WorkerError("no machine is left")
        return await inner(group)

    with pytest.raises(WorkerError, match="no machine is left"):
        load.play(load.steady(10.0), workers=2, hire=hire, drain=5.0)
    assert len(load.records) > 40


def test_a_worker_that_dies_before_the_beginning_ends_it(load: "Load") -> None:
    class NoKeys(FewKeys):
        async def take(self, spec: KeySpec) -> tuple[bytes, int | None]:
            await anyio.sleep(60)
            return await super().take(spec)

    keys = NoKeys(load.scene.fresh_keys, 5)
    with pytest.raises(WorkerError, match="a worker died before the beginning"):
        load.play(load.steady(10.0), count=5, keys=keys, hire=losing(load, {0: 5.0}))
    assert not load.begun


def test_workers_elsewhere_say_where_they_are_and_end_when_nobody_is_heard(load: "Load") -> None:
    inner = load.hire()

    async def hire(group: TaskGroup) -> Colleague:
        host = Host("10.0.0.7:4711", 1, clock_error=0.002, silence=3.0)
        colleague = replace(await inner(group), host=host)

        async def beat() -> None:
            for _ in range(5):
                await anyio.sleep(2.0)
                colleague.outbox.put(Beat())

        group.start_soon(beat)
        return colleague

    with pytest.raises(WorkerError, match="a worker died"):
        load.play(load.steady(1.0), count=40, hire=hire, drain=5.0)
    workers = [one for one in load.pulses if one.process != "parent"]
    assert {one.process for one in workers} == {"worker 1 on 10.0.0.7:4711"}
    assert {one.clock_error for one in workers} == {0.002}
    assert load.notices[0].startswith("worker 1 on 10.0.0.7:4711 was lost")
    # each of both heard its parent for ten seconds, and waited for three
    assert max(one.at for one in workers) == pytest.approx(25.0, abs=1.0)


@pytest.mark.parametrize(
    ("said", "message"),
    [(Failed("no room", "make some", 2), "no room"), (Recorded(1), "a worker said Recorded")],
)
def test_what_a_worker_says_may_end_it(load: "Load", said: Failed | Recorded, message: str) -> None:
    async def work(channel: MemoryChannel) -> None:
        (assignment, *_) = await channel.receive()
        assert isinstance(assignment, Assignment)
        await channel.send([Ready(), said])
        await anyio.sleep(1)

    with pytest.raises(BulkcmpError, match=message):
        load.play(load.steady(1.0), hire=hire_task(work))
