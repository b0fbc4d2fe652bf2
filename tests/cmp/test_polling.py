"""What waits at the CA."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING
from unittest.mock import ANY

import pytest

from bulkcmp.cmp import messages
from bulkcmp.cmp.asn1 import explicit
from bulkcmp.cmp.checks import Reason
from bulkcmp.cmp.events import (
    Finish,
    Part,
    Phase,
    Received,
    Send,
    Stop,
    Store,
    Stored,
    TimerFired,
    WakeAt,
)
from bulkcmp.cmp.general import CA_CERTS, encode_infos
from bulkcmp.cmp.messages import BodyType, PKIStatus
from bulkcmp.errors import Loss
from bulkcmp.model import (
    Itav,
    Operation,
    Outcome,
    OutcomeClass,
    Profile,
    Timings,
)
from tests.cmp.ways import confirmation_polled, confirmation_waiting, confirming, error

if TYPE_CHECKING:
    from tests.cmp.conftest import MakeRun, Peer, Pki


def test_polling_step_by_step(make_run: "MakeRun", peer: "Peer") -> None:
    run = make_run()
    run.start()
    begun = run.now
    waiting = run.answer(peer.waiting()).macced(parameters=peer.own_mac)
    (store,) = run.tell(Received(begun + 1, waiting, begun))
    assert isinstance(store, Store)
    parked = store.checkpoint
    assert parked.parts == (Part(1, Phase.WAITING, 0, check_at=begun + 1),)
    assert parked.received_nonce == b"nonce of the peer"
    assert run.tell(Stored(begun + 1)) == [WakeAt(begun + 1)]

    assert run.tell(TimerFired(begun + 1)) == [Send(ANY, "pollReq", opens=False)]
    (poll,) = messages.decode_poll_req_content(run.message.body)
    assert poll.certReqId == 0
    assert run.message.header.senderNonce == b"our nonce      2"
    assert run.message.header.recipNonce == b"nonce of the peer"

    run.now = begun + 2
    assert run.receive(run.answer(peer.poll_rep(10), BodyType.POLL_REP).macced()) == WakeAt(
        begun + 12.5
    )
    run.now = begun + 12.5
    assert run.go(TimerFired(run.now)) == Send(ANY, "pollReq", opens=False)
    assert run.receive(run.granted().macced()) == Send(ANY, "certConf", opens=False)
    finish = run.end(run.confirmed().macced())
    assert finish.outcome.outcome is OutcomeClass.ISSUED
    assert finish.timings == Timings(service=13.5, request=1.0, polling=12.0, confirm=0.5)
    assert finish.sends == 1


@pytest.mark.parametrize("nonce", ["of the request", "of the last pollReq"])
def test_the_answer_after_polling_repeats_either_nonce(
    make_run: "MakeRun", peer: "Peer", nonce: str
) -> None:
    run = make_run()
    run.start()
    first = run.message.header.senderNonce
    run.receive(run.answer(peer.waiting()).macced())
    run.go(TimerFired(run.now))
    answer = run.granted()
    if nonce == "of the request":
        answer = replace(answer, recip_nonce=first)
    assert run.receive(answer.macced()) == Send(ANY, "certConf", opens=False)


def test_a_pollrep_repeats_the_nonce_of_its_pollreq_only(make_run: "MakeRun", peer: "Peer") -> None:
    run = make_run()
    run.start()
    first = run.message.header.senderNonce
    run.receive(run.answer(peer.waiting()).macced())
    run.go(TimerFired(run.now))
    late = replace(run.answer(peer.poll_rep(1), BodyType.POLL_REP), recip_nonce=first)
    assert run.end(late.macced()).outcome.reason == Reason.RECIP_NONCE


@pytest.mark.parametrize("operation", Operation)
def test_error_with_status_waiting_delays_any_answer(
    make_run: "MakeRun", peer: "Peer", operation: Operation
) -> None:
    run = make_run(operation)
    run.start()
    later = run.answer(peer.error(peer.status(PKIStatus.WAITING)), BodyType.ERROR)
    assert run.receive(later.macced()) == WakeAt(run.now)
    run.go(TimerFired(run.now))
    (poll,) = messages.decode_poll_req_content(run.message.body)
    assert poll.certReqId == -1
    rep = run.answer(peer.poll_rep(0, cert_req_id=-1), BodyType.POLL_REP)
    assert run.receive(rep.macced()) == WakeAt(run.now + 1), "never more often than each second"
    run.go(TimerFired(run.now + 1))
    if operation is Operation.RR:
        body = peer.rev_rep(peer.status(PKIStatus.ACCEPTED))
        assert run.end(run.answer(body).macced()).outcome.outcome is OutcomeClass.REVOKED
    elif operation is Operation.GENM:
        body = encode_infos([Itav(CA_CERTS)])
        assert run.end(run.answer(body).macced()).outcome.outcome is OutcomeClass.ANSWERED
    else:
        assert run.receive(run.granted().macced()) == Send(ANY, "certConf", opens=False)


@pytest.mark.parametrize("nonce", ["of the certConf", "of the last pollReq"])
def test_the_pkiconf_may_come_later(make_run: "MakeRun", peer: "Peer", nonce: str) -> None:
    """As from OpenSSL's server since 3.3, which lets the answer to any request wait."""
    run = confirming(make_run)
    certified = run.message.header.senderNonce
    begun = run.now
    later = error(run, status=PKIStatus.WAITING)
    assert run.receive(later.macced()) == WakeAt(run.now)
    assert run.stored[-1].received_nonce == b"nonce of the peer"
    assert run.go(TimerFired(run.now)) == Send(ANY, "pollReq", opens=False)
    (poll,) = messages.decode_poll_req_content(run.message.body)
    assert poll.certReqId == -1
    rep = run.answer(peer.poll_rep(5, cert_req_id=-1), BodyType.POLL_REP)
    assert run.receive(rep.macced()) == WakeAt(run.now + 5)
    run.now += 5
    run.go(TimerFired(run.now))
    assert run.message.header.senderNonce != certified
    answer = run.confirmed()
    if nonce == "of the certConf":
        answer = replace(answer, recip_nonce=certified)
    finish = run.end(answer.macced())
    assert finish.outcome.outcome is OutcomeClass.ISSUED
    assert finish.timings.confirm == run.now - begun
    assert finish.timings.polling is None


def test_a_pollrep_for_the_pkiconf_names_no_request(make_run: "MakeRun", peer: "Peer") -> None:
    run = confirmation_polled(make_run)
    rep = run.answer(peer.poll_rep(5, cert_req_id=0), BodyType.POLL_REP)
    outcome = run.end(rep.macced()).outcome
    assert (outcome.outcome, outcome.reason) == (OutcomeClass.ISSUED_UNPROVEN, "wrong certReqId")


def test_a_pkiconf_that_waited_may_be_an_error(make_run: "MakeRun") -> None:
    run = confirmation_polled(make_run)
    outcome = run.end(error(run, "badCertId").macced()).outcome
    assert outcome.outcome is OutcomeClass.ISSUED_CONFIRMATION_REFUSED
    assert outcome.fail_info == ("badCertId",)


def test_a_pkiconf_that_waited_without_protection(make_run: "MakeRun") -> None:
    run = confirmation_polled(make_run, profile=Profile(tolerate_pkiconf=True))
    assert run.end(run.confirmed().plain()).outcome.outcome is OutcomeClass.ISSUED


@pytest.mark.parametrize("way", ["time limit", "stopped", "connection lost"])
def test_waiting_for_a_pkiconf_is_given_up(make_run: "MakeRun", peer: "Peer", way: str) -> None:
    run = confirmation_waiting(make_run, profile=Profile(total_timeout=60, retries=0))
    if way == "stopped":
        finish = run.go(Stop(run.now))
    else:
        run.go(TimerFired(run.now))
        if way == "time limit":
            rep = run.answer(peer.poll_rep(100, cert_req_id=-1), BodyType.POLL_REP)
            finish = run.receive(rep.macced())
        else:
            finish = run.lose(Loss.CUT)
    assert isinstance(finish, Finish)
    assert finish.outcome.outcome is OutcomeClass.ISSUED_CONFIRMATION_UNKNOWN
    assert finish.outcome.reason == way
    again = make_run(checkpoint=run.stored[-1], now=run.now)
    assert again.start() == Send(ANY, "certConf", opens=False)


def test_others_wait_longer_than_the_pkiconf(make_run: "MakeRun", pki: "Pki", peer: "Peer") -> None:
    run = make_run(count=2)
    run.start()
    both = (
        peer.response(peer.status(0), explicit(0, pki.issue()), 0),
        peer.response(peer.status(PKIStatus.WAITING), cert_req_id=1),
    )
    run.receive(run.answer(peer.cert_rep(*both)).macced())
    assert isinstance(run.receive(error(run, status=PKIStatus.WAITING).macced()), WakeAt)
    run.go(TimerFired(run.now))
    assert isinstance(run.receive(run.confirmed().macced()), WakeAt)
    assert run.go(TimerFired(run.now)) == Send(ANY, "pollReq", opens=False)
    (poll,) = messages.decode_poll_req_content(run.message.body)
    assert poll.certReqId == 1


def test_an_rp_may_say_waiting(make_run: "MakeRun", peer: "Peer") -> None:
    run = make_run(Operation.RR)
    run.start()
    body = peer.rev_rep(peer.status(PKIStatus.WAITING))
    assert run.receive(run.answer(body).macced()) == WakeAt(run.now)


def test_a_poll_past_the_time_limit_is_not_waited_for(make_run: "MakeRun", peer: "Peer") -> None:
    run = make_run(profile=Profile(total_timeout=100))
    run.start()
    run.receive(run.answer(peer.waiting()).macced())
    run.go(TimerFired(run.now))
    finish = run.end(run.answer(peer.poll_rep(3600), BodyType.POLL_REP).macced())
    assert finish.outcome == Outcome(
        OutcomeClass.STILL_WAITING,
        "time limit",
        "the server wants the next poll in 3600 s, past the time limit (--total-timeout)",
        pki_status=3,
    )
    assert finish.checkpoint is not None
    assert finish.checkpoint.parts[0].check_at == run.now + 3600, "resume polls then"
    assert finish.timings == Timings(service=1.0, request=0.5, polling=0.5)


def test_without_a_time_limit_any_poll_is_waited_for(make_run: "MakeRun", peer: "Peer") -> None:
    run = make_run(profile=Profile(total_timeout=0))
    run.start()
    assert run.stored[-1].deadline == 0
    run.receive(run.answer(peer.waiting()).macced())
    run.go(TimerFired(run.now))
    rep = run.answer(peer.poll_rep(2**62), BodyType.POLL_REP).macced()
    assert run.receive(rep) == WakeAt(run.now + 2**62)


def test_the_stop_of_a_run_gives_up_what_waits(make_run: "MakeRun", peer: "Peer") -> None:
    run = make_run()
    run.start()
    run.receive(run.answer(peer.waiting()).macced())
    assert run.go(Stop(run.now + 2)) == Finish(
        (
            Outcome(
                OutcomeClass.STILL_WAITING,
                "stopped",
                "stopped while the server had us wait",
                pki_status=3,
            ),
        ),
        run.stored[-1],
        Timings(service=2.5, request=0.5, polling=2.0),
        sends=1,
    )


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (lambda peer: peer.poll_rep(1, cert_req_id=1), Reason.CERT_REQ_ID),
        (lambda peer: peer.poll_rep(1, count=0), Reason.RESPONSE_COUNT),
        (lambda peer: peer.poll_rep(1, count=2), Reason.RESPONSE_COUNT),
        (lambda peer: peer.poll_rep(1 << 2000), Reason.MALFORMED),
        (lambda peer: peer.poll_rep(-1), Reason.CHECK_AFTER),
        (lambda peer: b"\x05\x00", Reason.MALFORMED),
    ],
)
def test_a_pollrep_that_fails_a_check(
    make_run: "MakeRun", peer: "Peer", reply: "Callable[[Peer], bytes]", reason: Reason
) -> None:
    run = make_run()
    run.start()
    run.receive(run.answer(peer.waiting()).macced())
    run.go(TimerFired(run.now))
    finish = run.end(run.answer(reply(peer), BodyType.POLL_REP).macced())
    assert (finish.outcome.outcome, finish.outcome.reason) == (OutcomeClass.BAD_RESPONSE, reason)
