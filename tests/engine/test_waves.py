"""When a run begins transactions, and when it does not, in virtual time."""

from collections import Counter
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import TYPE_CHECKING

import anyio
import httpx
import pytest

from bulkcmp.cmp.messages import BodyType
from bulkcmp.engine.run import Run
from bulkcmp.errors import Loss, TransportError
from bulkcmp.model import EndEntity, OutcomeClass, Secret
from bulkcmp.waves.admission import Hold
from bulkcmp.waves.breaker import BreakerRules
from tests.engine.conftest import REQUESTS

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
    assert run.given_up == "the CA fails all that it is asked (server busy)"
    assert not run.interrupted
    # the first row as often as the profile says, then as many as may be in flight at most
    assert 5 <= len(scene.peer.opened()) <= 4 + 10
    assert tally(scene).keys() <= {OutcomeClass.NOT_SENT, OutcomeClass.TO_DO}
    assert tally(scene).total() <= 11


def test_an_outage_that_does_not_end_ends_the_run(scene: "Scene", lose: "Lose") -> None:
    scene.peer.before = away(2.0, 1e9, lose(Loss.CONNECT))
    rules = BreakerRules(failures=5, pause=2.0, limit=300.0)
    run = scene.play(brief(scene, 100), rate=25.0, breaker=rules)
    assert run.given_up == "the CA fails all that it is asked (cannot connect)"
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
