import logging
from collections import Counter
from dataclasses import astuple, dataclass, replace
from itertools import islice, pairwise, product
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import pytest

from bulkcmp.cmp.messages import BodyType
from bulkcmp.engine.load.run import LoadRun
from bulkcmp.errors import BulkcmpError, Loss, TransportError
from bulkcmp.load.chance import Chance
from bulkcmp.load.scenario import (
    ArrivalProcess,
    Closed,
    Constant,
    Exponential,
    LatePolicy,
    Lifecycle,
    Step,
)
from bulkcmp.load.schedule import arrivals
from bulkcmp.model import Operation, OutcomeClass, Secret
from bulkcmp.outputs.log import FACTS
from tests.engine.load.conftest import LATEST, SEED, is_punctual

if TYPE_CHECKING:
    from tests.engine.conftest import Lose, Seen
    from tests.engine.load.conftest import Load

IR, KUR, RR = Operation.IR, Operation.KUR, Operation.RR
ISSUED = OutcomeClass.ISSUED

# --- the open model -------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 3])
def test_arrivals_begin_when_they_are_planned(load: "Load", workers: int) -> None:
    load.play(load.steady(10.0), duration=3.0, workers=workers)
    load.records.sort(key=lambda one: one.arrival)
    assert [one.arrival for one in load.records] == list(range(30))
    for one in load.records:
        assert one.planned == pytest.approx(one.arrival / 10)
        assert is_punctual(one.started, one.planned)
        assert one.operation is IR
        assert (one.lifecycle, one.step, one.certificates) == ("ir", 0, 1)
        # two exchanges of 10 ms
        assert one.service == pytest.approx(0.02, abs=1e-6)
        assert [exchange.request for exchange in one.exchanges] == ["ir", "certConf"]
        assert [exchange.answer for exchange in one.exchanges] == ["ip", "pkiconf"]
    assert load.outcomes() == {ISSUED: 30}
    assert not load.drops
    assert set(load.scene.peer.certificates().values()) == {"confirmed"}


def test_what_records_say_of_time_is_in_whole_microseconds(load: "Load") -> None:
    shape = load.steady(20.0, process=ArrivalProcess.POISSON, late=LatePolicy.DROP, in_flight=1)
    load.play(shape, duration=3.0)
    assert load.records
    assert load.drops
    told = [
        *(getattr(one, name) for one in load.records
          for name in ("planned", "started", "finished", "crypto")),
        *(getattr(exchange, name) for one in load.records for exchange in one.exchanges
          for name in ("started", "finished", "reached", "connected", "sent", "first_byte")),
        *(instant for one in load.drops for instant in (one.planned, one.at)),
    ]  # fmt: skip
    assert all(one is None or float(f"{one:.6f}") == one for one in told)


def test_the_same_seed_makes_the_same_random_plan_for_any_number_of_workers(load: "Load") -> None:
    shape = load.steady(20.0, process=ArrivalProcess.POISSON)
    load.play(shape, count=40)
    load.play(shape, count=40, workers=4)
    plans = [sorted(one.planned for one in load.records[start : start + 40]) for start in (0, 40)]
    assert plans[0] == plans[1]
    assert len(set(plans[0])) == 40


def test_a_stall_of_the_server_delays_no_start_and_shows_in_what_it_lasted(load: "Load") -> None:
    async def stall(seen: "Seen") -> None:
        if 1.0 <= seen.at < 3.0 and seen.body_type is BodyType.IR:
            await anyio.sleep(3.0 - seen.at)

    load.scene.peer.before = stall
    load.play(load.steady(20.0), duration=4.0)
    assert len(load.records) == 80
    assert all(is_punctual(one.started, one.planned) for one in load.records)
    longest = max(one.service for one in load.records)
    assert 1.9 < longest <= 2.02 + 1e-6


def test_while_as_many_as_may_be_are_in_flight_arrivals_queue(load: "Load") -> None:
    load.scene.peer.latency = 0.5
    load.scene.tune(implicit_confirm=True)
    load.scene.peer.behave(implicit_confirm=True)
    load.play(load.steady(4.0, in_flight=1), duration=5.0)
    records = sorted(load.records, key=lambda one: one.arrival)
    # planned each 0.25 s, but one takes 0.5 s: none is left out, and none overtakes
    assert [one.planned for one in records] == pytest.approx([n / 4 for n in range(20)])
    assert [one.started for one in records] == pytest.approx([n / 2 for n in range(20)], abs=0.01)
    assert all(one.service == pytest.approx(0.5, abs=1e-6) for one in records)
    assert records[-1].response == pytest.approx(0.5 + 19 / 4, abs=0.01)
    assert not load.drops
    assert max(level.in_flight for level in load.levels) == 1
    assert max(level.waiting for level in load.levels) >= 8


def test_or_they_are_dropped_and_counted(load: "Load") -> None:
    load.scene.peer.latency = 0.5
    load.scene.peer.behave(implicit_confirm=True)
    load.scene.tune(implicit_confirm=True)
    # each second one comes 10 ms too early for the one before
    load.play(load.steady(1 / 0.255, in_flight=1, late=LatePolicy.DROP), count=20)
    assert [one.arrival for one in sorted(load.records, key=lambda one: one.arrival)] == [
        *range(0, 20, 2)
    ]
    assert sorted(drop.arrival for drop in load.drops) == [*range(1, 20, 2)]
    for drop in load.drops:
        assert drop.planned == pytest.approx(drop.arrival * 0.255)
        assert is_punctual(drop.at, drop.planned)
    # the end entity of a dropped arrival is not used
    assert len(load.scene.peer.certificates()) == 10


def test_what_is_late_when_the_drain_is_over_is_dropped_too(load: "Load") -> None:
    load.scene.peer.latency = 1.0
    load.play(load.steady(2.0, in_flight=1), duration=10.0, drain=4.0)
    started = {one.arrival for one in load.records}
    dropped = {one.arrival for one in load.drops}
    assert started | dropped == set(range(20))
    assert not started & dropped
    # an enrollment takes 2 s
    assert len(started) == 7
    assert all(14.0 <= one.at < 14.2 for one in load.drops)


def test_the_last_one_that_waits_when_the_drain_is_over_is_dropped_too(load: "Load") -> None:
    load.scene.peer.latency = 1.0
    load.play(load.steady(2.0, in_flight=1), count=8, duration=10.0, drain=4.0)
    assert sorted(one.arrival for one in load.records) == [*range(7)]
    assert [one.arrival for one in load.drops] == [7]


def test_a_further_step_that_waits_when_the_drain_is_over_is_dropped_too(load: "Load") -> None:
    load.scene.peer.latency = 2.0
    load.play(
        load.steady(1.0, in_flight=1), load.lifecycle(IR, KUR), count=2, duration=2.0, drain=4.0
    )
    # the first enrollment ends after 4 s; then that of the second, which is due, goes before the
    # update of the first
    assert [(one.arrival, one.operation) for one in load.records] == [(0, IR), (1, IR)]
    assert [one.arrival for one in load.drops] == [0]


@dataclass(frozen=True)
class Manner:
    """A way in which an open load may go and end."""

    process: ArrivalProcess
    late: LatePolicy
    count: int | None
    duration: float | None
    stop: float | None

    def __str__(self) -> str:
        return "-".join(str(value) for value in astuple(self))


MANNERS = [
    Manner(*one)
    for one in product(ArrivalProcess, LatePolicy, (None, 9), (None, 4.0), (None, 1.8, 5.2))
    # it must end
    if any(value is not None for value in one[2:])
]


@pytest.mark.parametrize("manner", MANNERS, ids=str)
def test_every_arrival_of_the_plan_was_started_or_is_counted_as_dropped(
    load: "Load", manner: Manner
) -> None:
    async def stop(run: LoadRun) -> None:
        if manner.stop is not None:
            await anyio.sleep(manner.stop)
            run.stop()

    # half of what arrives can be served
    load.scene.peer.latency = 0.5
    shape = load.steady(4.0, process=manner.process, late=manner.late, in_flight=2)
    count, duration = manner.count, manner.duration
    load.play(shape, count=count, duration=duration, drain=1.5, workers=2, conduct=stop)
    whole = arrivals(shape, Chance(SEED), count=count, duration=duration)
    plan = {one.number: one.offset for one in islice(whole, 99)}
    told = [(one.arrival, one.planned) for one in load.records]
    told += [(one.arrival, one.planned) for one in load.drops]
    numbers = sorted(number for number, _ in told)
    # the beginning of the plan, without a gap, and nothing twice
    assert numbers == list(range(len(numbers)))
    assert all(planned == pytest.approx(plan[number], abs=1e-6) for number, planned in told)
    assert all(one.started >= one.planned - 1.5e-6 for one in load.records)
    if manner.stop is None:
        assert len(numbers) == len(plan)
    else:
        # some 0.25 s passed before the beginning
        stopped = manner.stop - 0.25
        assert all(plan[number] <= stopped + 0.01 for number in numbers)
        assert all(plan[number] > stopped - 0.05 for number in plan if number not in numbers)
    assert max((one.waiting for one in load.levels), default=0) <= len(plan)


# --- the closed model -----------------------------------------------------------------------------


@pytest.mark.parametrize("limits", [{"duration": 10.0}, {"count": 4, "duration": 50.0}])
def test_nobody_thinks_on_when_there_is_nothing_more_to_begin(
    load: "Load", limits: dict[str, Any]
) -> None:
    load.play(Closed(2, Constant(6.0)), **limits)
    assert len(load.records) == 4
    assert load.ended - load.begun[0] < 10.5


@pytest.mark.parametrize("workers", [1, 2])
def test_clients_go_one_after_the_other(load: "Load", workers: int) -> None:
    load.play(Closed(4, Constant(0.5)), duration=10.0, workers=workers)
    # 20 ms and half a second each
    assert len(load.records) == 4 * 20
    assert max(level.in_flight for level in load.levels) <= 4
    assert all(is_punctual(one.started, one.planned) for one in load.records)
    assert 0.0 <= min(one.planned for one in load.records) < LATEST
    assert max(one.planned for one in load.records) < 10.0
    assert load.outcomes() == {ISSUED: 80}


def test_clients_share_a_count(load: "Load") -> None:
    load.play(Closed(7), count=50, workers=3)
    assert sorted(one.arrival for one in load.records) == list(range(50))


def test_more_clients_than_there_is_to_do(load: "Load") -> None:
    load.play(Closed(20), rows=load.scene.rows(3))
    assert load.outcomes() == {ISSUED: 3}


# --- lifecycles -----------------------------------------------------------------------------------


def test_a_lifecycle_rolls_its_certificate_forward(load: "Load") -> None:
    life = load.lifecycle(IR, (KUR, Constant(5.0)), (KUR, Constant(2.0)), (RR, Constant(1.0)))
    load.play(load.steady(1.0), life, rows=load.scene.rows(3))
    assert load.outcomes() == {ISSUED: 9, OutcomeClass.REVOKED: 3}
    for arrival in range(3):
        steps = sorted(
            (one for one in load.records if one.arrival == arrival), key=lambda one: one.step
        )
        assert [one.operation for one in steps] == [IR, KUR, KUR, RR]
        for (one, next_one), think in zip(pairwise(steps), (5.0, 2.0, 1.0), strict=True):
            assert next_one.planned - one.finished == pytest.approx(think, abs=0.001)
            assert is_punctual(next_one.started, next_one.planned)
        certified = [one for one in load.certificates if one.arrival == arrival]
        assert [one.cmd for one in certified] == [IR, KUR, KUR, RR]
        serials = [one.serial for one in certified]
        assert len(set(serials)) == 3
        assert serials[3] == serials[2], "the newest is revoked"


def test_a_mix_is_drawn_by_weight(load: "Load") -> None:
    mix = (load.lifecycle(IR, weight=3.0), load.lifecycle(Operation.CR))
    load.play(load.steady(50.0), *mix, count=200)
    counts = Counter(one.operation for one in load.records)
    assert counts[IR] == pytest.approx(150, abs=20)
    assert counts[IR] + counts[Operation.CR] == 200


def test_who_fails_goes_no_further(load: "Load", lose: "Lose") -> None:
    load.scene.tune(retries=0)
    load.scene.peer.before = lose(Loss.CUT, BodyType.KUR)
    load.play(load.steady(1.0), load.lifecycle(IR, KUR, RR), rows=load.scene.rows(4))
    assert load.outcomes() == {ISSUED: 4, OutcomeClass.UNKNOWN: 4}
    assert {one.operation for one in load.records} == {IR, KUR}


def test_think_times_are_drawn_anew_for_each_step(load: "Load") -> None:
    life = load.lifecycle(IR, (KUR, Exponential(10.0)))
    load.play(load.steady(10.0), life, rows=load.scene.rows(60))
    by_arrival = {one.arrival: one.finished for one in load.records if one.step == 0}
    pauses = [one.planned - by_arrival[one.arrival] for one in load.records if one.operation is KUR]
    assert len(set(pauses)) == 60
    assert sum(pauses) / 60 == pytest.approx(10.0, rel=0.4)


def test_further_steps_wait_for_room_too(load: "Load") -> None:
    load.scene.peer.latency = 0.4
    life = load.lifecycle(IR, KUR)
    load.play(load.steady(1.0, in_flight=1), life, rows=load.scene.rows(10))
    assert load.outcomes() == {ISSUED: 20}
    records = sorted(load.records, key=lambda one: one.started)
    for one, next_one in pairwise(records):
        assert next_one.started >= one.finished - 1e-6


def test_several_end_entities_enroll_in_one_message(load: "Load") -> None:
    load.play(load.steady(1.0), count=4, certs_per_message=3)
    assert len(load.records) == 4
    assert all(one.certificates == 3 for one in load.records)
    assert load.outcomes() == {ISSUED: 12}
    assert len(load.scene.peer.opened()) == 4


def test_each_transaction_of_a_lifecycle_is_logged_under_its_own_id(
    load: "Load", caplog: pytest.LogCaptureFixture
) -> None:
    load.scene.nesting = {"verbosity": 1}
    with caplog.at_level(logging.INFO, "bulkcmp"):
        load.play(load.steady(1.0), load.lifecycle(IR, KUR), rows=load.scene.rows(1))
    facts = [getattr(record, FACTS) for record in caplog.records]
    told = [(one["event"], one["id"]) for one in facts]
    assert told == [("begins", "dev1"), ("ended", "dev1")] * 2
    assert [one["cmd"] for one in facts[::2]] == ["ir", "kur"]
    first, second = (one["transactionID"] for one in facts[::2])
    assert [one["transactionID"] for one in facts[1::2]] == [first, second]
    assert {first, second} == {seen.transaction_id.hex() for seen in load.scene.peer.opened()}


# --- warm-up, drain, stop -------------------------------------------------------------------------


def test_the_warm_up_is_told_apart_by_the_arrival(load: "Load") -> None:
    life = load.lifecycle(IR, (KUR, Constant(5.0)))
    load.play(load.steady(1.0), life, rows=load.scene.rows(10), warm_up=3.0)
    assert {one.arrival for one in load.records if one.warm_up} == {0, 1, 2}
    assert sum(one.warm_up for one in load.records) == 6


def test_polling_goes_on_in_the_drain(load: "Load") -> None:
    load.scene.peer.behave(poll_count=2, check_after=20)
    load.play(load.steady(1.0), duration=5.0, drain=60.0)
    assert load.outcomes() == {ISSUED: 5}
    assert load.run.abandoned == 0


def test_what_the_drain_does_not_end_is_told_as_it_stands(load: "Load") -> None:
    async def hang(seen: "Seen") -> None:
        await anyio.sleep(1000)

    async def hang_confirmation(seen: "Seen") -> None:
        if seen.body_type is BodyType.CERT_CONF and seen.at > 3.0:
            await anyio.sleep(1000)

    load.scene.peer.before = hang_confirmation
    load.play(load.steady(1.0), duration=5.0, drain=10.0)
    assert load.outcomes() == {ISSUED: 3, OutcomeClass.ISSUED_CONFIRMATION_UNKNOWN: 2}
    assert load.run.abandoned == 2
    unconfirmed = {one.serial for one in load.certificates if one.outcome is not ISSUED}
    books = {one.serial for one in load.scene.peer.books.certificates() if one.transaction_id}
    assert len(unconfirmed) == 2
    assert unconfirmed <= books

    load.records.clear()
    load.scene.peer.before = hang
    load.play(load.steady(1.0), duration=2.0, drain=10.0)
    assert load.outcomes() == {OutcomeClass.UNKNOWN: 2}
    for one in load.records:
        assert one.finished == pytest.approx(12.1, abs=0.01)
        assert one.endings[0].reason == "cut off"


def test_what_still_waits_when_the_drain_is_over_is_told_so(load: "Load") -> None:
    load.scene.peer.behave(poll_count=5, check_after=900)
    load.scene.tune(total_timeout=0.0)
    load.play(load.steady(1.0), duration=3.0, drain=10.0)
    assert load.outcomes() == {OutcomeClass.STILL_WAITING: 3}
    assert load.run.abandoned == 0


def test_a_stop_begins_nothing_more_and_drains(load: "Load") -> None:
    load.scene.peer.latency = 1.0

    async def stop(run: LoadRun) -> None:
        await anyio.sleep(5.0)
        run.stop()

    life = load.lifecycle(IR, (KUR, Constant(1.0)))
    load.play(load.steady(1.0), life, rows=load.scene.rows(9), conduct=stop)
    assert load.outcomes()[ISSUED] == sum(load.outcomes().values())
    assert max(one.started for one in load.records) <= 5.0
    assert len([one for one in load.records if one.operation is IR]) == 5
    assert not load.drops, "what was not due yet was never planned"
    assert load.ended - load.begun[0] < 8.0


def test_a_stop_drops_what_was_due(load: "Load") -> None:
    load.scene.peer.latency = 1.0

    async def stop(run: LoadRun) -> None:
        await anyio.sleep(5.0)
        run.stop()

    load.play(load.steady(2.0, in_flight=1), conduct=stop)
    started = {one.arrival for one in load.records}
    dropped = {one.arrival for one in load.drops}
    # some 0.25 s passed before the beginning
    assert started | dropped == set(range(10))
    assert not started & dropped


def test_a_stop_drops_no_more_than_there_was_to_begin(load: "Load") -> None:
    load.scene.peer.latency = 1.0

    async def stop(run: LoadRun) -> None:
        await anyio.sleep(8.0)
        run.stop()

    load.play(load.steady(2.0, in_flight=1), count=6, conduct=stop)
    numbers = [one.arrival for one in load.records] + [one.arrival for one in load.drops]
    assert sorted(numbers) == list(range(6))
    assert max(level.waiting for level in load.levels) < 6


def test_an_abort_keeps_what_was_told(load: "Load") -> None:
    async def abort(run: LoadRun) -> None:
        await anyio.sleep(5.0)
        run.abort()

    load.play(load.steady(10.0), conduct=abort)
    assert 30 < len(load.records) < 50


def test_a_stop_before_the_beginning(load: "Load") -> None:
    async def stop(run: LoadRun) -> None:
        run.stop()

    load.play(load.steady(10.0), conduct=stop)
    assert not load.records
    assert not load.drops
    assert not load.begun


# --- what goes wrong ------------------------------------------------------------------------------


def test_a_server_that_was_never_reached_ends_the_test(load: "Load", lose: "Lose") -> None:
    load.scene.tune(retries=0)
    load.scene.peer.before = lose(Loss.CONNECT)
    with pytest.raises(BulkcmpError, match=r"cannot connect: .*; nothing was sent"):
        load.play(load.steady(10.0), duration=600.0)
    assert not load.records


def test_one_that_is_lost_later_makes_failures(load: "Load") -> None:
    load.scene.tune(retries=0)

    async def gone(seen: "Seen") -> httpx.Response | None:
        if seen.at > 2.0:
            raise TransportError(Loss.CONNECT, "refused")
        return None

    load.scene.peer.before = gone
    load.play(load.steady(1.0), duration=5.0)
    outcomes = load.outcomes()
    assert outcomes[ISSUED] == 2
    assert outcomes[OutcomeClass.NOT_SENT] == 3
    lost = [one for one in load.records if not one.is_ok]
    assert {one.exchanges[0].loss for one in lost} == {Loss.CONNECT}


def test_a_request_that_cant_be_built_is_our_failure(load: "Load") -> None:
    bare = [replace(row, secret=None) for row in load.scene.rows(2)]
    load.play(load.steady(1.0), rows=bare)
    assert load.outcomes() == {OutcomeClass.LOCAL_ERROR: 2}
    assert not any(one.exchanges for one in load.records)


def test_the_generator_tells_its_pulse(load: "Load") -> None:
    load.play(load.steady(10.0), duration=5.0, workers=2)
    assert {pulse.process for pulse in load.pulses} == {"parent", "worker 1", "worker 2"}
    for pulse in load.pulses:
        assert pulse.late == pytest.approx(0.0, abs=1e-6)
        assert pulse.starved == 0.0
    assert len(load.pulses) >= 3 * 4


# --- several servers ------------------------------------------------------------------------------


def at(server: str, *steps: Step) -> Lifecycle:
    """A lifecycle that begins at a server."""
    first = Step(IR, server=server)
    return Lifecycle(f"from {server}", 1.0, (first, *steps))


@pytest.mark.parametrize("workers", [1, 2])
def test_each_step_is_asked_of_its_server(load: "Load", workers: int) -> None:
    load.play(
        load.steady(10.0),
        at("ra", Step(KUR, server="client"), Step(RR, server="ra")),
        count=20,
        workers=workers,
        # nobody enrolls there: an update is signed with the certificate that the RA brought
        servers={"ra": {}, "client": {"secret": Secret(b"wrong")}},
    )
    assert load.outcomes() == {ISSUED: 40, OutcomeClass.REVOKED: 20}
    places = Counter((one.operation, one.server) for one in load.records)
    assert places == {(IR, "ra"): 20, (KUR, "client"): 20, (RR, "ra"): 20}
    assert load.asked == {
        ("ra", BodyType.IR): 20,
        ("ra", BodyType.CERT_CONF): 20,
        ("client", BodyType.KUR): 20,
        ("client", BodyType.CERT_CONF): 20,
        ("ra", BodyType.RR): 20,
    }
    lines = Counter((one.cmd, one.server) for one in load.certificates)
    assert lines == places, "with which they can be revoked where they were issued"


def test_lifecycles_begin_as_their_server_wants_it(load: "Load") -> None:
    servers = {"ra": {}, "client": {"secret": Secret(b"wrong")}}
    load.play(load.steady(10.0), at("ra"), at("client"), count=40, servers=servers)
    done = Counter((one.server, one.is_ok) for one in load.records)
    assert done.keys() == {("ra", True), ("client", False)}
    assert done.total() == 40


def test_end_entities_of_one_message_go_on_together_elsewhere(load: "Load") -> None:
    load.play(
        load.steady(10.0),
        at("ra", Step(RR, server="client")),
        count=3,
        certs_per_message=2,
        servers={"ra": {}, "client": {}},
    )
    assert load.outcomes() == {ISSUED: 6, OutcomeClass.REVOKED: 6}
    assert load.asked["client", BodyType.RR] == 3


def test_one_of_several_servers_that_was_never_reached_ends_the_test(load: "Load") -> None:
    load.scene.tune(retries=0)

    async def refuse_updates(seen: "Seen") -> None:
        if seen.body_type is BodyType.KUR:
            raise TransportError(Loss.CONNECT, "refused")

    load.scene.peer.before = refuse_updates
    with pytest.raises(BulkcmpError, match=r"servers\.client: cannot connect: refused"):
        load.play(
            load.steady(10.0),
            at("ra", Step(KUR, Constant(1.0), server="client")),
            duration=600.0,
            servers={"ra": {}, "client": {}},
        )
    assert load.records, "what was measured is kept"
