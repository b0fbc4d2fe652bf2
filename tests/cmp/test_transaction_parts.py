"""A transaction for several rows: each has its own outcome."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any
from unittest.mock import ANY

import pytest

from bulkcmp.cmp import messages
from bulkcmp.cmp.asn1 import encode, explicit, wrap
from bulkcmp.cmp.checks import Reason
from bulkcmp.cmp.events import Checkpoint, Finish, Phase, Send, Start, Stop, TimerFired, WakeAt
from bulkcmp.cmp.messages import BodyType, PKIStatus
from bulkcmp.errors import Loss
from bulkcmp.model import Operation, OutcomeClass, Profile, RevocationReason

if TYPE_CHECKING:
    from tests.cmp.conftest import Answer, MakeRun, Pki, Run

ISSUED = OutcomeClass.ISSUED
REJECTED = OutcomeClass.REJECTED
WAITING = OutcomeClass.STILL_WAITING
BAD = OutcomeClass.BAD_RESPONSE
REFUSED = OutcomeClass.ISSUED_REFUSED
UNCONFIRMED = OutcomeClass.ISSUED_CONFIRMATION_UNKNOWN


def ask(make_run: "MakeRun", count: int, **options: Any) -> "Run":
    """A transaction for `count` rows whose request was sent."""
    run = make_run(count=count, **options)
    assert isinstance(run.start(), Send)
    return run


def granted(run: "Run", cert_req_id: int, subject: str = "device") -> bytes:
    """DER CertResponse with a certificate."""
    peer = run.peer
    certificate = explicit(0, run.pki.issue(subject))
    return peer.response(peer.status(PKIStatus.ACCEPTED), certificate, cert_req_id)


def says(run: "Run", cert_req_id: int, status: int, *bits: str) -> bytes:
    """DER CertResponse without a certificate."""
    return run.peer.response(run.peer.status(status, *bits), cert_req_id=cert_req_id)


def answer(run: "Run", *responses: bytes) -> bytes:
    return run.answer(run.peer.cert_rep(*responses)).macced()


def poll_rep(run: "Run", *entries: tuple[int, int]) -> bytes:
    body = wrap(0x30, *(wrap(0x30, encode(n), encode(after)) for n, after in entries))
    return run.answer(body, BodyType.POLL_REP).macced()


def polled(run: "Run") -> list[int]:
    """The certReqIds of the pollReq that was sent last."""
    return [one.certReqId for one in messages.decode_poll_req_content(run.message.body)]


def confirmed(run: "Run") -> list[tuple[int, bool]]:
    """The certReqIds of the certConf that was sent last, and whether it accepts."""
    statuses = messages.decode_cert_confirm_content(run.message.body)
    return [(one.certReqId, one.statusInfo is None) for one in statuses]


def wake(run: "Run") -> None:
    assert isinstance(run.go(TimerFired(run.now)), Send)


def classes(finish: object) -> list[OutcomeClass]:
    assert isinstance(finish, Finish)
    return [one.outcome for one in finish.outcomes]


def reasons(finish: object) -> list[str]:
    assert isinstance(finish, Finish)
    return [one.reason for one in finish.outcomes]


# --- all at once ----------------------------------------------------------------------------------


def test_all_are_confirmed_in_one_certconf(make_run: "MakeRun", pki: "Pki") -> None:
    run = ask(make_run, 3)
    requests = messages.decode_cert_req_messages(run.message.body)
    assert len(requests) == 3
    # in whatever order they are answered
    responses = [granted(run, number) for number in (2, 0, 1)]
    assert run.receive(answer(run, *responses)) == Send(ANY, "certConf", opens=False)
    assert confirmed(run) == [(0, True), (1, True), (2, True)]
    parts = run.stored[-1].parts
    assert [part.number for part in parts] == [1, 2, 3]
    assert all(part.chain == (pki.root.certificate,) for part in parts)
    assert len({part.certificate for part in parts}) == 3
    finish = run.end(run.confirmed().macced())
    assert classes(finish) == [ISSUED] * 3
    assert finish.sends == 1
    with pytest.raises(ValueError, match="too many values"):
        _ = finish.outcome


def test_each_is_checked_for_itself(make_run: "MakeRun") -> None:
    run = ask(make_run, 3)
    bare = says(run, 1, PKIStatus.ACCEPTED)
    run.receive(answer(run, granted(run, 0, "somebody else"), bare, granted(run, 2)))
    assert confirmed(run) == [(0, False), (2, True)]
    finish = run.end(run.confirmed().macced())
    assert classes(finish) == [REFUSED, BAD, ISSUED]
    assert reasons(finish) == [Reason.SUBJECT, Reason.CERTIFICATE_MISSING, ""]


def test_nothing_is_confirmed_where_that_is_disabled(make_run: "MakeRun") -> None:
    run = ask(make_run, 2, profile=Profile(disable_confirm=True))
    finish = run.end(answer(run, granted(run, 0), granted(run, 1)))
    assert classes(finish) == [ISSUED, ISSUED]
    assert not any(part.confirm for part in run.stored[-1].parts)


# --- some of them ---------------------------------------------------------------------------------


def test_what_is_there_is_confirmed_while_others_wait(make_run: "MakeRun") -> None:
    run = ask(make_run, 3)
    responses = (
        granted(run, 0),
        says(run, 1, PKIStatus.REJECTION, "badCertTemplate"),
        says(run, 2, PKIStatus.WAITING),
    )
    run.receive(answer(run, *responses))
    assert confirmed(run) == [(0, True)]
    assert run.receive(run.confirmed().macced()) == WakeAt(run.now - 0.5)
    # a process that takes over from here confirms nothing once more
    assert [part.is_unconfirmed for part in run.stored[-1].parts] == [False] * 3
    wake(run)
    assert polled(run) == [2]
    run.receive(answer(run, granted(run, 2)))
    assert confirmed(run) == [(2, True)]
    finish = run.end(run.confirmed().macced())
    assert classes(finish) == [ISSUED, REJECTED, ISSUED]
    assert finish.outcomes[1].fail_info == ("badCertTemplate",)
    assert finish.timings.polling == 1.0


def test_each_is_polled_for_when_its_time_has_come(make_run: "MakeRun") -> None:
    run = ask(make_run, 3)
    run.receive(answer(run, *(says(run, number, PKIStatus.WAITING) for number in range(3))))
    wake(run)
    assert polled(run) == [0, 1, 2]
    # of the third it says nothing: it is asked about as soon as may be
    assert run.receive(poll_rep(run, (0, 30), (1, 10))) == WakeAt(run.now + 1)
    run.now += 1
    wake(run)
    assert polled(run) == [2]
    assert run.receive(poll_rep(run, (2, 60))) == WakeAt(run.now - 1.5 + 10)
    # a timer may fire early, by a little
    run.now += 8.499
    wake(run)
    assert polled(run) == [1]
    run.receive(poll_rep(run, (1, 30)))
    run.now += 40
    wake(run)
    assert polled(run) == [0, 1]
    # one of them is there
    run.receive(answer(run, granted(run, 1)))
    assert confirmed(run) == [(1, True)]
    assert isinstance(run.receive(run.confirmed().macced()), WakeAt)
    finish = run.go(Stop(run.now))
    assert classes(finish) == [WAITING, ISSUED, WAITING]


@pytest.mark.parametrize("entries", [((2, 1),), ((0, 1), (0, 1), (1, 1)), ()])
def test_a_pollrep_for_what_was_not_polled(
    make_run: "MakeRun", entries: tuple[tuple[int, int], ...]
) -> None:
    run = ask(make_run, 2)
    run.receive(answer(run, *(says(run, number, PKIStatus.WAITING) for number in range(2))))
    wake(run)
    assert classes(run.receive(poll_rep(run, *entries))) == [BAD, BAD]


def test_an_answer_that_waits_as_a_whole_is_polled_for_once(make_run: "MakeRun") -> None:
    run = ask(make_run, 2)
    waits = run.peer.error(run.peer.status(PKIStatus.WAITING))
    run.receive(run.answer(waits, BodyType.ERROR).macced())
    wake(run)
    assert polled(run) == [-1]
    assert isinstance(run.receive(poll_rep(run, (-1, 5))), WakeAt)
    run.now += 5
    wake(run)
    # what it leaves out then does not come any more
    run.receive(answer(run, granted(run, 1)))
    assert confirmed(run) == [(1, True)]
    assert not run.stored[-1].whole_waits
    finish = run.end(run.confirmed().macced())
    assert reasons(finish) == [Reason.RESPONSE_MISSING, ""]
    assert classes(finish) == [BAD, ISSUED]


def test_a_server_that_answers_one_of_them_only(make_run: "MakeRun") -> None:
    """EJBCA: the rest is dropped without a word; the certificate that came is not lost."""
    run = ask(make_run, 3)
    run.receive(answer(run, granted(run, 0)))
    finish = run.end(run.confirmed().macced())
    assert classes(finish) == [ISSUED, BAD, BAD]
    assert reasons(finish)[1:] == [Reason.RESPONSE_MISSING] * 2


def test_one_refusal_of_all_of_them(make_run: "MakeRun") -> None:
    run = ask(make_run, 2)
    finish = run.end(answer(run, says(run, 17, PKIStatus.REJECTION, "badPOP")))
    assert classes(finish) == [REJECTED, REJECTED]
    run = ask(make_run, 2)
    finish = run.end(answer(run, says(run, 1, PKIStatus.REJECTION, "badPOP")))
    assert classes(finish) == [BAD, REJECTED]


@pytest.mark.parametrize(
    ("numbers", "reason"),
    [
        ((), Reason.RESPONSE_COUNT),
        ((0, 1, 2), Reason.RESPONSE_COUNT),
        ((0, 0), Reason.CERT_REQ_ID),
        ((0, 7), Reason.CERT_REQ_ID),
    ],
)
def test_responses_that_do_not_fit_the_requests(
    make_run: "MakeRun", numbers: tuple[int, ...], reason: Reason
) -> None:
    run = ask(make_run, 2)
    finish = run.end(answer(run, *(granted(run, number) for number in numbers)))
    assert classes(finish) == [BAD, BAD]
    assert reasons(finish) == [reason, reason]


def test_an_unproven_refusal_is_one_of_all(make_run: "MakeRun") -> None:
    run = ask(make_run, 2)
    error = run.peer.error(run.peer.status(PKIStatus.REJECTION, "badRequest"))
    finish = run.end(run.answer(error, BodyType.ERROR).plain())
    assert classes(finish) == [OutcomeClass.REJECTED_UNAUTHENTICATED] * 2


# --- confirmations that go wrong ------------------------------------------------------------------


def confirming(make_run: "MakeRun", **options: Any) -> "Run":
    """One that is there, one that was refused by us, one that waits, one that was rejected."""
    run = ask(make_run, 4, **options)
    responses = (
        granted(run, 0),
        granted(run, 1, "somebody else"),
        says(run, 2, PKIStatus.WAITING),
        says(run, 3, PKIStatus.REJECTION),
    )
    run.receive(answer(run, *responses))
    assert confirmed(run) == [(0, True), (1, False)]
    return run


def test_a_certconf_that_is_lost(make_run: "MakeRun") -> None:
    run = confirming(make_run, profile=Profile(retries=0))
    finish = run.lose(Loss.CUT)
    assert classes(finish) == [UNCONFIRMED, REFUSED, WAITING, REJECTED]
    assert reasons(finish)[2] == "connection lost"


def test_a_certconf_that_is_refused(make_run: "MakeRun") -> None:
    run = confirming(make_run)
    error = run.peer.error(run.peer.status(PKIStatus.REJECTION, "badRequest"))
    finish = run.end(run.answer(error, BodyType.ERROR).macced())
    # the transaction is over by that, for what waited too
    assert classes(finish) == [
        OutcomeClass.ISSUED_CONFIRMATION_REFUSED,
        REFUSED,
        REJECTED,
        REJECTED,
    ]


def test_a_certconf_that_had_arrived_before(make_run: "MakeRun") -> None:
    run = confirming(make_run)
    error = run.peer.error(run.peer.status(PKIStatus.REJECTION, "certConfirmed"))
    finish = run.end(run.answer(error, BodyType.ERROR).macced())
    assert classes(finish) == [ISSUED, REFUSED, REJECTED, REJECTED]


def test_a_pkiconf_that_is_not_proven(make_run: "MakeRun") -> None:
    run = confirming(make_run)
    finish = run.end(run.confirmed().plain())
    assert classes(finish) == [OutcomeClass.ISSUED_UNPROVEN, REFUSED, WAITING, REJECTED]


def test_the_time_limit_does_not_keep_a_certificate_from_its_certconf(
    make_run: "MakeRun",
) -> None:
    run = ask(make_run, 2, profile=Profile(total_timeout=0.25))
    run.receive(answer(run, granted(run, 0), says(run, 1, PKIStatus.WAITING)))
    assert confirmed(run) == [(0, True)]
    finish = run.end(run.confirmed().macced())
    assert classes(finish) == [ISSUED, WAITING]
    assert reasons(finish) == ["", "time limit"]


# --- in another process ---------------------------------------------------------------------------


def left_at(run: "Run", *numbers: int) -> Checkpoint:
    """What the journal has, of these rows."""
    checkpoint = run.stored[-1]
    return replace(
        checkpoint, parts=tuple(part for part in checkpoint.parts if part.number in numbers)
    )


def test_some_of_them_go_on(make_run: "MakeRun") -> None:
    run = confirming(make_run)
    again = make_run(checkpoint=left_at(run, 1, 2, 3), count=3, now=run.now)
    assert again.start() == Send(ANY, "certConf", opens=False)
    assert confirmed(again) == [(0, True), (1, False)]
    again.receive(again.confirmed().macced())
    wake(again)
    assert polled(again) == [2]
    again.receive(answer(again, granted(again, 2)))
    finish = again.end(again.confirmed().macced())
    assert classes(finish) == [ISSUED, REFUSED, ISSUED]
    assert finish.sends == 0


def test_the_last_of_them_goes_on(make_run: "MakeRun") -> None:
    run = confirming(make_run)
    again = make_run(checkpoint=left_at(run, 3), now=run.now)
    assert isinstance(again.start(), WakeAt)
    wake(again)
    assert polled(again) == [2]
    # the certReqId is that of the first request, not of the first row that goes on
    again.receive(answer(again, granted(again, 2)))
    assert classes(again.end(again.confirmed().macced())) == [ISSUED]


def test_what_was_over_when_the_process_ended_is_over(make_run: "MakeRun") -> None:
    run = confirming(make_run)
    parts = (replace(run.stored[-1].parts[0], confirm=False), run.stored[-1].parts[3])
    again = make_run(checkpoint=replace(run.stored[-1], parts=parts), count=2)
    assert classes(again.go(Start(again.now))) == [ISSUED, REJECTED]
    assert again.sent == []


def test_a_message_that_can_not_be_built_any_more(make_run: "MakeRun") -> None:
    run = confirming(make_run)
    again = make_run(checkpoint=left_at(run, 1, 2, 3), count=3, new_key=b"?")
    finish = again.start()
    assert classes(finish) == [UNCONFIRMED, REFUSED, WAITING]
    assert reasons(finish) == ["local error", Reason.SUBJECT, "local error"]


# --- revocation -----------------------------------------------------------------------------------


def revocations(run: "Run", *statuses: bytes) -> "Answer":
    return run.answer(run.peer.rev_rep(*statuses))


def test_several_certificates_are_revoked_in_one_message(make_run: "MakeRun") -> None:
    run = ask(make_run, 3, operation=Operation.RR)
    assert len(messages.decode_rev_req_content(run.message.body)) == 3
    status = run.peer.status
    finish = run.end(
        revocations(run, status(0), status(PKIStatus.REJECTION, "certRevoked"), status(6)).macced()
    )
    assert classes(finish) == [OutcomeClass.REVOKED, REJECTED, BAD]
    assert reasons(finish) == ["", "certRevoked", Reason.STATUS]
    assert finish.checkpoint == run.stored[0]
    assert run.stored[0].parts[2].phase is Phase.REQUESTED


@pytest.mark.parametrize(
    ("repeats", "fail_info", "outcome"),
    [
        (True, ("certRevoked",), OutcomeClass.REVOKED),
        (True, ("badCertId",), REJECTED),
        (True, ("certRevoked", "badRequest"), REJECTED),
        (False, ("certRevoked",), REJECTED),
    ],
)
def test_what_is_revoked_already(
    make_run: "MakeRun", repeats: bool, fail_info: tuple[str, ...], outcome: OutcomeClass
) -> None:
    run = ask(make_run, 1, operation=Operation.RR, repeats=repeats)
    finish = run.end(revocations(run, run.peer.status(PKIStatus.REJECTION, *fail_info)).macced())
    assert classes(finish) == [outcome]
    assert set(finish.outcomes[0].fail_info) == set(fail_info)


def test_what_whoever_has_revoked_already(make_run: "MakeRun") -> None:
    run = ask(make_run, 1, operation=Operation.RR, profile=Profile(accept_revoked=True))
    status = run.peer.status(PKIStatus.REJECTION, "certRevoked")
    (outcome,) = run.end(revocations(run, status).macced()).outcomes
    assert (outcome.outcome, outcome.detail) == (OutcomeClass.REVOKED, "revoked already")


@pytest.mark.parametrize("repeats", [False, True])
def test_what_is_revoked_already_is_not_off_hold(make_run: "MakeRun", repeats: bool) -> None:
    run = ask(
        make_run,
        1,
        operation=Operation.RR,
        repeats=repeats,
        profile=Profile(accept_revoked=True),
        revocation_reason=RevocationReason.REMOVE_FROM_CRL,
    )
    status = run.peer.status(PKIStatus.REJECTION, "certRevoked")
    assert classes(run.end(revocations(run, status).macced())) == [REJECTED]


def test_a_server_that_revokes_the_first_only(make_run: "MakeRun") -> None:
    run = ask(make_run, 2, operation=Operation.RR)
    finish = run.end(revocations(run, run.peer.status(0)).macced())
    assert classes(finish) == [OutcomeClass.REVOKED, BAD]
    assert reasons(finish) == ["", Reason.RESPONSE_MISSING]


def test_revocations_that_wait(make_run: "MakeRun") -> None:
    run = ask(make_run, 2, operation=Operation.RR)
    status = run.peer.status
    run.receive(revocations(run, status(0), status(PKIStatus.WAITING)).macced())
    wake(run)
    assert polled(run) == [-1]
    finish = run.end(revocations(run, status(0), status(0)).macced())
    assert classes(finish) == [OutcomeClass.REVOKED] * 2
