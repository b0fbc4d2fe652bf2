"""When a run begins transactions, and when it does not, in virtual time."""

import datetime as dt
from collections import Counter
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import pytest

from bulkcmp.cmp.messages import BodyType
from bulkcmp.engine.run import Run
from bulkcmp.errors import InputError, Loss, TransportError, Where
from bulkcmp.model import BadRow, EndEntity, OutcomeClass, Secret
from bulkcmp.waves.admission import Hold
from bulkcmp.waves.breaker import BreakerRules
from bulkcmp.waves.canary import Amount, Canary
from bulkcmp.waves.window import Window, Windows
from tests.engine.conftest import EPOCH, REQUESTS

if TYPE_CHECKING:
    from tests.engine.conftest import Lose, Scene, Seen

ISSUED = OutcomeClass.ISSUED
RULES = BreakerRules(failures=5, pause=2.0, limit=900.0)

Fail = Callable[["Seen"], Awaitable[httpx.Response | None]]


def tally(scene: "Scene") -> Counter[OutcomeClass]:
    return Counter(scene.outcomes().values())


def brief(scene: "Scene", count: int) -> list[EndEntity]:
    """Rows whose certificates want no confirmation."""
    scene.peer.behave(implicit_confirm=True)
    scene.tune(implicit_confirm=True)
    return scene.rows(count)


def away(first: float, last: float, fail: Fail) -> Fail:
    """An outage from one virtual second to another."""

    async def spoil(seen: "Seen") -> httpx.Response | None:
        return await fail(seen) if first <= anyio.current_time() < last else None

    return spoil


async def internal_error(_: "Seen") -> httpx.Response:
    return httpx.Response(500)


def opened_between(scene: "Scene", first: float, last: float) -> list["Seen"]:
    return [seen for seen in scene.peer.opened() if first <= seen.at < last]


# --- the circuit breaker --------------------------------------------------------------------------


@pytest.mark.parametrize("loss", [Loss.CONNECT, Loss.BUSY])
def test_no_row_fails_by_an_outage_that_lets_nothing_through(
    scene: "Scene", lose: "Lose", loss: Loss
) -> None:
    scene.peer.before = away(2.0, 12.0, lose(loss))
    run = scene.play(brief(scene, 100), workers=3, concurrency=30, rate=25.0, breaker=RULES)
    assert tally(scene) == {ISSUED: 100}
    scene.check()
    assert run.given_up == ""
    # five failures and what was in flight beside them, and then the probes of 2 s and 4 s later
    tried = opened_between(scene, 2.0, 12.0)
    assert len(tried) <= 30 + 3
    assert len([seen for seen in tried if seen.at > 3.0]) == 2
    last = scene.snapshots[-1]
    (count,) = last.holds
    assert (count.hold, count.times) == (Hold.CIRCUIT, 1)
    assert 10.0 < count.seconds < 17.0
    assert last.held is None
    assert (last.done, last.failed, last.in_flight) == (100, 0, 0)
    during = [one for one in scene.snapshots if 4.0 < one.elapsed < 11.0]
    assert {one.held.hold for one in during if one.held} == {Hold.CIRCUIT}
    assert all(one.held and loss.value in one.held.why for one in during)
    # each was counted as often as it was sent
    assert sum(one.sends for one in scene.results().values()) == len(scene.peer.opened())


@pytest.mark.parametrize("concurrency", [1, 8])
@pytest.mark.parametrize("kind", [OutcomeClass.HTTP_ERROR, OutcomeClass.UNKNOWN])
def test_as_few_rows_fail_as_were_in_flight(
    scene: "Scene", lose: "Lose", kind: OutcomeClass, concurrency: int
) -> None:
    fail = lose(Loss.CUT) if kind is OutcomeClass.UNKNOWN else internal_error
    scene.peer.before = away(2.0, 12.0, fail)
    scene.play(brief(scene, 120), concurrency=concurrency, rate=25.0, breaker=RULES)
    counts = tally(scene)
    # five, what else was in flight then, and two probes
    assert counts.keys() == {ISSUED, kind}
    assert 5 <= counts[kind] <= 5 + concurrency + 2
    assert counts.total() == 120
    scene.check()


def test_a_run_that_dies_in_an_outage_knows_what_did_not_leave(
    scene: "Scene", lose: "Lose"
) -> None:
    scene.peer.before = away(2.0, 3600.0, lose(Loss.CONNECT))
    rows = brief(scene, 60)

    async def leave(run: Run) -> None:
        await anyio.sleep(10.0)
        run.abort()

    scene.play(rows, concurrency=20, rate=20.0, breaker=RULES, conduct=leave)
    counts = tally(scene)
    assert counts.keys() == {ISSUED, OutcomeClass.TO_DO, OutcomeClass.NOT_SENT}
    scene.check()
    scene.peer.before = away(0.0, 0.0, lose(Loss.CONNECT))
    scene.play(rows, resumed=True, breaker=RULES)
    assert tally(scene) == {ISSUED: 60}
    scene.check()


def test_polling_and_confirmation_go_on_while_the_circuit_is_open(
    scene: "Scene", lose: "Lose"
) -> None:
    scene.peer.behave(poll_count=2, check_after=10)
    scene.peer.before = away(2.0, 60.0, lose(Loss.CONNECT, *REQUESTS))
    scene.play(scene.rows(40), concurrency=30, rate=8.0, breaker=RULES)
    assert tally(scene) == {ISSUED: 40}
    polls = [seen for seen in scene.peer.sent(BodyType.POLL_REQ) if 5.0 < seen.at < 60.0]
    confirms = [seen for seen in scene.peer.sent(BodyType.CERT_CONF) if 5.0 < seen.at < 60.0]
    assert polls
    assert confirms
    scene.check()


def test_a_server_that_never_answered_is_not_waited_for(scene: "Scene", lose: "Lose") -> None:
    scene.peer.before = lose(Loss.BUSY)
    run = scene.play(scene.rows(100), breaker=RULES)
    assert run.given_up.startswith("the CA fails all that it is asked (server busy);")
    assert not run.interrupted
    # the first row as often as the profile says, then as many as may be in flight at most
    assert 5 <= len(scene.peer.opened()) <= 4 + 10
    assert tally(scene).keys() <= {OutcomeClass.NOT_SENT, OutcomeClass.TO_DO}
    assert tally(scene).total() <= 11


def test_an_outage_that_does_not_end_ends_the_run(scene: "Scene", lose: "Lose") -> None:
    scene.peer.before = away(2.0, 1e9, lose(Loss.CONNECT))
    rules = BreakerRules(failures=5, pause=2.0, limit=300.0)
    run = scene.play(brief(scene, 100), rate=25.0, breaker=rules)
    assert run.given_up.startswith("the CA fails all that it is asked (cannot connect);")
    assert 300.0 < scene.ended_at < 375.0
    # after 2, 4, 8, 16, 32, and then each 60 s
    probes = [seen.at for seen in opened_between(scene, 4.0, 1e9)]
    gaps = [later - earlier for earlier, later in pairwise(probes)]
    assert [round(gap) for gap in gaps] == [4, 8, 16, 32, 60, 60, 60, 60]


def test_a_no_to_single_rows_is_no_outage(scene: "Scene") -> None:
    # no such alias of the end entity: the secret of each of these rows is its own
    wrong = [
        scene.row(number, ref=f"nobody{number}", secret=Secret(b"%d" % number))
        for number in range(11, 61)
    ]
    run = scene.play([*scene.rows(10), *wrong, scene.row(61)], breaker=RULES)
    counts = tally(scene)
    assert counts[ISSUED] == 11
    assert counts.total() == 61
    assert run.given_up == ""
    assert scene.snapshots[-1].holds == ()


def test_a_credential_that_all_rows_share_is_tried_a_few_times(scene: "Scene") -> None:
    run = scene.play(scene.rows(100, secret=Secret(b"wrong")), breaker=RULES)
    assert run.given_up.startswith("the CA fails all that it is asked (credentials refused")
    # the first refusal may be of one row alone, and ten are in flight
    assert 6 <= tally(scene)[OutcomeClass.CREDENTIALS_REFUSED] <= 6 + 10


def test_a_worker_that_dies_with_the_probe_does_not_keep_the_circuit_open(scene: "Scene") -> None:
    killed: list[Seen] = []

    async def spoil(seen: "Seen") -> httpx.Response | None:
        if not 2.0 <= seen.at < 12.0:
            return None
        if seen.at > 3.0 and not killed:
            # the probe: its worker dies before there is an answer
            killed.append(seen)
            await anyio.sleep(0.1)
            for alive in scene.workers_alive:
                alive.cancel()
            await anyio.sleep(1.0)
        raise TransportError(Loss.CONNECT, "away")

    scene.peer.before = spoil
    scene.play(brief(scene, 80), workers=1, rate=25.0, breaker=RULES)
    # the probe may have left
    assert tally(scene) == {ISSUED: 79, OutcomeClass.UNKNOWN: 1}
    assert killed
    scene.check()


def test_several_rows_of_one_message_go_again_together(scene: "Scene", lose: "Lose") -> None:
    scene.peer.before = away(1.0, 8.0, lose(Loss.CONNECT))
    scene.play(brief(scene, 60), certs_per_message=4, rate=5.0, breaker=RULES)
    assert tally(scene) == {ISSUED: 60}
    scene.check()


# --- the window -----------------------------------------------------------------------------------

HOURS = Windows((Window.parse("12:00-12:01"), Window.parse("12:05-12:06")), dt.UTC)
"""Virtual time begins at 12:00; a row that was sent as a window closed may be a tick late."""


def is_inside(at: float) -> bool:
    return at < 60.3 or 299.99 < at < 360.3


def test_transactions_begin_in_the_window_and_go_on_outside(scene: "Scene") -> None:
    scene.peer.behave(poll_count=2, check_after=90)
    scene.play(scene.rows(80), rate=1.0, concurrency=100, windows=HOURS)
    assert tally(scene) == {ISSUED: 80}
    scene.check()
    begun = [seen.at for seen in scene.peer.opened()]
    assert len(begun) == 80
    assert [at for at in begun if not is_inside(at)] == []
    assert len([at for at in begun if at < 61.0]) > 50
    # what was begun is polled and confirmed in between
    confirmed = [seen.at for seen in scene.peer.sent(BodyType.CERT_CONF)]
    assert len([at for at in confirmed if 61.0 < at < 300.0]) > 50
    (between,) = {one.held for one in scene.snapshots if 120.0 < one.elapsed < 290.0}
    assert between is not None
    assert (between.hold, between.until) == (Hold.WINDOW, EPOCH + 300.0)
    last = scene.snapshots[-1]
    assert [(one.hold, one.times) for one in last.holds] == [(Hold.WINDOW, 1)]
    assert last.holds[0].seconds == pytest.approx(240.0, abs=1.0)


def test_what_waits_for_its_turn_as_the_window_closes_waits_for_the_next(scene: "Scene") -> None:
    # so slow that the workers have rows in hand that wait to be sent
    scene.play(brief(scene, 20), rate=0.2, windows=HOURS)
    assert tally(scene) == {ISSUED: 20}
    begun = [seen.at for seen in scene.peer.opened()]
    assert len(begun) == 20
    assert [at for at in begun if not is_inside(at)] == []
    assert [one.sends for one in scene.results().values()] == [1] * 20
    scene.check()


# --- the pause ------------------------------------------------------------------------------------


def test_a_paused_run_begins_nothing_and_cuts_nothing(scene: "Scene") -> None:
    paused = False

    async def conduct(_: Run) -> None:
        nonlocal paused
        await anyio.sleep(2.0)
        paused = True
        await anyio.sleep(100.0)
        paused = False

    scene.play(scene.rows(60), rate=10.0, conduct=conduct, is_paused=lambda: paused)
    assert tally(scene) == {ISSUED: 60}
    assert not opened_between(scene, 2.5, 102.0)
    assert scene.snapshots[-1].failed == 0
    (count,) = scene.snapshots[-1].holds
    assert (count.hold, count.times) == (Hold.PAUSED, 1)
    assert count.seconds == pytest.approx(100.0, abs=0.5)
    scene.check()


def test_a_run_may_begin_paused_and_be_stopped_so(scene: "Scene") -> None:
    async def conduct(run: Run) -> None:
        await anyio.sleep(50.0)
        run.stop()

    run = scene.play(scene.rows(10), conduct=conduct, is_paused=lambda: True)
    assert run.interrupted
    assert scene.peer.seen == []
    assert scene.outcomes() == {}


# --- the canary -----------------------------------------------------------------------------------


def canary(rows: str, failures: str, good: int) -> dict[str, Any]:
    return {
        "canary": Canary(Amount.parse(rows), Amount.parse(failures)),
        "usable": {None: good},
    }


def some_fail(*numbers: int) -> Fail:
    """The n-th requests of all are answered by an HTTP error."""
    count = 0

    async def spoil(seen: "Seen") -> httpx.Response | None:
        nonlocal count
        count += seen.body_type in REQUESTS
        failed = seen.body_type in REQUESTS and count in numbers
        return httpx.Response(500) if failed else None

    return spoil


def test_the_canary_goes_first_and_the_others_when_it_is_over(scene: "Scene") -> None:
    scene.peer.behave(poll_count=2, check_after=30)
    scene.play(scene.rows(40), concurrency=40, **canary("10", "0", 40))
    assert tally(scene) == {ISSUED: 40}
    begun = [seen.at for seen in scene.peer.opened()]
    assert len(begun) == 40
    # each waits for its certificate for 30 s
    assert max(begun[:10]) < 5.0
    assert min(begun[10:]) > 30.0
    issued = {tx.transaction_id: tx.number for tx in scene.transactions()}
    first = [issued[seen.transaction_id] for seen in scene.peer.opened()[:10]]
    assert sorted(first) == list(range(1, 41, 4))
    assert Hold.CANARY in {one.held.hold for one in scene.snapshots if one.held}
    assert scene.snapshots[-1].done == 40


def test_a_canary_that_fails_ends_the_run_until_it_is_mended(scene: "Scene") -> None:
    rows, more = scene.rows(60), canary("10", "1", 60)
    scene.peer.before = some_fail(3, 5)
    run = scene.play(rows, **more)
    assert run.given_up.startswith("2 of the 10 first rows failed, more than --canary-failures 1;")
    assert not run.interrupted
    assert tally(scene) == {ISSUED: 8, OutcomeClass.HTTP_ERROR: 2}

    # as it was
    assert scene.play(rows, resumed=True, **more).given_up == run.given_up
    assert len(scene.outcomes()) == 10
    # one of the two succeeds now
    scene.peer.before = some_fail(1)
    assert scene.play(rows, resumed=True, retry_failed=True, **more).given_up == ""
    assert tally(scene) == {ISSUED: 59, OutcomeClass.HTTP_ERROR: 1}


def test_a_canary_that_was_waived_is_not_asked_again(scene: "Scene") -> None:
    rows, more = scene.rows(60), canary("10", "0", 60)
    scene.peer.before = some_fail(1, 2, 3)

    async def stop(run: Run) -> None:
        await anyio.sleep(2.0)
        run.stop()

    scene.play(rows, **more)
    scene.play(rows, resumed=True, rate=10.0, conduct=stop)
    assert 10 < len(scene.outcomes()) < 60
    assert scene.play(rows, resumed=True, **more).given_up == ""
    assert tally(scene) == {ISSUED: 57, OutcomeClass.HTTP_ERROR: 3}


def test_a_canary_waits_for_an_outage_to_end(scene: "Scene", lose: "Lose") -> None:
    scene.peer.before = away(1.0, 8.0, lose(Loss.CONNECT))
    rows = brief(scene, 60)
    run = scene.play(rows, rate=10.0, breaker=RULES, **canary("50%", "0", 60))
    assert run.given_up == ""
    assert tally(scene) == {ISSUED: 60}
    scene.check()


def test_bad_rows_are_no_canary(scene: "Scene") -> None:
    bad = [
        BadRow(number, number + 1, f"dev{number}", (InputError("bad", where=Where("x.csv")),))
        for number in range(1, 21)
    ]
    good = [scene.row(number, priority=number % 2) for number in range(21, 41)]
    more = canary("5", "0", 0) | {"usable": {0: 10, 1: 10}}
    run = scene.play([*bad, *good], priorities=(0, 1, None), **more)
    assert run.given_up == ""
    assert tally(scene) == {ISSUED: 20, OutcomeClass.BAD_ROW: 20}
    numbers = {tx.transaction_id: tx.number for tx in scene.transactions()}
    first = [numbers[seen.transaction_id] for seen in scene.peer.opened()[:5]]
    assert sorted(first) == [22, 26, 30, 34, 38]


def test_a_population_without_good_rows_has_no_canary(scene: "Scene") -> None:
    assert scene.play([], **canary("1%", "0", 0) | {"usable": {}}).given_up == ""
