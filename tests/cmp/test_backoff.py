"""Losses, and what is sent again."""

from typing import TYPE_CHECKING

import pytest

from bulkcmp.cmp.events import (
    Finish,
    Stop,
    TimerFired,
    WakeAt,
)
from bulkcmp.errors import Loss
from bulkcmp.model import (
    Outcome,
    OutcomeClass,
    Profile,
    Timings,
)

if TYPE_CHECKING:
    from tests.cmp.conftest import MakeRun, Peer

NEVER_PROCESSED = {Loss.CONNECT, Loss.TLS, Loss.NOT_SENT, Loss.NO_LAYER, Loss.BUSY}
QUICK = Profile(retries=1, backoff_first=2.0)


@pytest.mark.parametrize("loss", Loss)
def test_a_lost_request(make_run: "MakeRun", loss: Loss) -> None:
    run = make_run(profile=QUICK)
    first = run.start()
    if loss in NEVER_PROCESSED:
        assert run.lose(loss) == WakeAt(run.now + 2.0)
        assert run.go(TimerFired(run.now)) == first, "the same bytes again"
        expected = OutcomeClass.NOT_SENT
    else:
        expected = {
            Loss.HTTP_STATUS: OutcomeClass.HTTP_ERROR,
            Loss.NOT_CMP: OutcomeClass.NOT_CMP,
        }.get(loss, OutcomeClass.UNKNOWN)
    assert run.lose(loss) == Finish(
        (Outcome(expected, loss.value, "the wire was cut"),),
        run.stored[0],
        Timings(),
        sends=2 if loss in NEVER_PROCESSED else 1,
    )


@pytest.mark.parametrize("loss", Loss)
def test_a_lost_poll(make_run: "MakeRun", peer: "Peer", loss: Loss) -> None:
    run = make_run(profile=QUICK)
    run.start()
    run.receive(run.answer(peer.waiting()).macced())
    poll = run.go(TimerFired(run.now))
    expected = OutcomeClass.UNKNOWN
    if loss in NEVER_PROCESSED:
        assert run.lose(loss) == WakeAt(run.now + 2.0)
        assert run.go(TimerFired(run.now)) == poll
        expected = OutcomeClass.STILL_WAITING
    finish = run.lose(loss)
    assert isinstance(finish, Finish)
    assert finish.outcome == Outcome(expected, loss.value, "the wire was cut")
    assert finish.sends == 1


@pytest.mark.parametrize("loss", Loss)
def test_a_lost_pkiconf_is_asked_for_again_whatever_the_loss(
    make_run: "MakeRun", loss: Loss
) -> None:
    run = make_run(profile=QUICK)
    run.start()
    confirm = run.receive(run.granted().macced())
    assert run.lose(loss) == WakeAt(run.now + 2.0)
    assert run.go(TimerFired(run.now)) == confirm, "unchanged"
    finish = run.lose(loss)
    assert isinstance(finish, Finish)
    assert finish.outcome == Outcome(
        OutcomeClass.ISSUED_CONFIRMATION_UNKNOWN, loss.value, "the wire was cut", pki_status=0
    )
    assert finish.checkpoint is not None
    assert finish.checkpoint.parts[0].certificate is not None
    assert finish.timings == Timings(service=0.5, request=0.5)


def test_back_off_doubles_up_to_its_most_and_is_spread(make_run: "MakeRun") -> None:
    profile = Profile(retries=2000, backoff_first=1.0, backoff_max=5.0, total_timeout=0)
    for jitter, share in ((0.0, 0.5), (1.0, 1.0)):
        run = make_run(profile=profile, jitter=jitter)
        run.start()
        delays = []
        for _ in range(1100):
            instruction = run.lose(Loss.CONNECT)
            assert isinstance(instruction, WakeAt)
            delays.append(instruction.time - run.now)
            run.go(TimerFired(run.now))
        assert delays[:5] == [delay * share for delay in (1.0, 2.0, 4.0, 5.0, 5.0)]
        assert set(delays[5:]) == {5.0 * share}


def test_retry_after_lengthens_the_back_off(make_run: "MakeRun") -> None:
    run = make_run()
    run.start()
    assert run.lose(Loss.BUSY, retry_after=77.0) == WakeAt(run.now + 77.0)
    run.go(TimerFired(run.now))
    assert run.lose(Loss.BUSY, retry_after=0.1) == WakeAt(run.now + 1.0), "the second back-off"


def test_an_answer_resets_the_back_off(make_run: "MakeRun", peer: "Peer") -> None:
    run = make_run(profile=QUICK)
    run.start()
    run.lose(Loss.CONNECT)
    run.go(TimerFired(run.now))
    run.receive(run.answer(peer.waiting()).macced())
    run.go(TimerFired(run.now))
    assert run.lose(Loss.CONNECT) == WakeAt(run.now + 2.0)


@pytest.mark.parametrize(("retry_after", "again"), [(None, True), (99.0, True), (100.0, False)])
def test_no_retry_past_the_time_limit(
    make_run: "MakeRun", retry_after: float | None, *, again: bool
) -> None:
    run = make_run(profile=Profile(total_timeout=100))
    run.start()
    instruction = run.lose(Loss.BUSY, retry_after=retry_after)
    assert isinstance(instruction, WakeAt if again else Finish)


def test_a_stale_request_gets_a_fresh_messagetime_and_nothing_else(make_run: "MakeRun") -> None:
    run = make_run()
    run.start()
    before = run.message
    run.lose(Loss.BUSY, retry_after=61.0)
    run.go(TimerFired(run.now + 61))
    after = run.message
    assert before.header.messageTime is not None
    assert after.header.messageTime is not None
    passed = after.header.messageTime.as_datetime() - before.header.messageTime.as_datetime()
    assert passed.total_seconds() == 61
    assert after.body == before.body
    assert after.header.transactionID == before.header.transactionID
    assert after.header.senderNonce == before.header.senderNonce
    run.receive(run.granted().macced())
    assert run.end(run.confirmed().macced()).sends == 2


def test_stop_while_a_request_waits_to_be_sent_again(make_run: "MakeRun") -> None:
    run = make_run()
    run.start()
    run.lose(Loss.CONNECT)
    finish = run.go(Stop(run.now))
    assert isinstance(finish, Finish)
    assert finish.outcome == Outcome(
        OutcomeClass.NOT_SENT, "stopped", "stopped while waiting to send again"
    )


def test_stop_while_a_poll_waits_to_be_sent_again(make_run: "MakeRun", peer: "Peer") -> None:
    run = make_run()
    run.start()
    run.receive(run.answer(peer.waiting()).macced())
    run.go(TimerFired(run.now))
    run.lose(Loss.CONNECT)
    finish = run.go(Stop(run.now))
    assert isinstance(finish, Finish)
    assert finish.outcome.outcome is OutcomeClass.STILL_WAITING


def test_stop_sends_a_waiting_certconf_at_once(make_run: "MakeRun") -> None:
    run = make_run()
    run.start()
    confirm = run.receive(run.granted().macced())
    run.lose(Loss.CONNECT)
    assert run.go(Stop(run.now)) == confirm
