"""The transaction, event by event."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any
from unittest.mock import ANY

import pytest
from cryptography import x509

from bulkcmp.cmp import algorithms, messages, protection
from bulkcmp.cmp.asn1 import wrap
from bulkcmp.cmp.checks import Reason
from bulkcmp.cmp.events import (
    Checkpoint,
    DeriveKey,
    Finish,
    KeyDerived,
    Part,
    Phase,
    Received,
    Refused,
    Send,
    Start,
    Store,
    Stored,
    TimerFired,
    WakeAt,
)
from bulkcmp.cmp.messages import BodyType, PKIStatus
from bulkcmp.cmp.protection import Derivation, MacParameters
from bulkcmp.errors import Loss
from bulkcmp.model import (
    Operation,
    Outcome,
    OutcomeClass,
    Profile,
    Timings,
)
from tests.cmp.ways import IMPLICIT, SAID_NO, confirming, error, gone, on_token, polled, requested

if TYPE_CHECKING:
    from tests.cmp.conftest import Answer, MakeRun, Peer, Pki, Run

BOTH = pytest.mark.parametrize("credential", ["mac", "signature"])


# --- the way that all is well -------------------------------------------------------------------


def test_an_enrollment_under_a_mac_step_by_step(make_run: "MakeRun", pki: "Pki") -> None:
    run = make_run()
    own = Derivation(run.peer.secret, b"our own salt", "sha256", 101)
    assert run.tell(Start(run.now)) == [DeriveKey(own)]
    requested = Checkpoint(
        transaction_id=b"sixteen octets..",
        request_nonce=b"our nonce      1",
        sent_nonce=b"our nonce      1",
        received_nonce=None,
        protection=run.peer.own_mac.identifier,
        deadline=run.now + 600,
        parts=(Part(1, Phase.REQUESTED, 0),),
    )
    assert run.tell(KeyDerived(run.now, protection.derive(own))) == [Store(requested)]
    assert run.tell(Stored(run.now)) == [Send(ANY, "ir", opens=True)]
    assert run.message.header.transactionID == b"sixteen octets.."
    assert run.message.header.senderNonce == b"our nonce      1"
    assert run.message.header.recipNonce is None
    protection.check_mac(run.message, run.peer.own_mac, protection.derive(own))

    answer = run.granted().macced()
    theirs = Derivation(run.peer.secret, b"the peer's salt", "sha256", 100)
    assert run.tell(Received(run.now + 1, answer, run.now)) == [DeriveKey(theirs)]
    assert run.kept.certificate is None
    (store,) = run.tell(KeyDerived(run.now + 2, protection.derive(theirs)))
    assert isinstance(store, Store)
    issued = store.checkpoint
    certificate = issued.parts[0].certificate
    assert issued == replace(
        requested,
        received_nonce=b"nonce of the peer",
        parts=(
            Part(
                1,
                Phase.GRANTED,
                0,
                certificate=certificate,
                chain=(pki.root.certificate,),
                granted=Outcome(OutcomeClass.ISSUED, pki_status=0),
                confirm=True,
            ),
        ),
    )
    assert certificate is not None
    assert certificate in answer

    assert run.tell(Stored(run.now + 3)) == [Send(ANY, "certConf", opens=False)]
    assert run.message.header.senderNonce == b"our nonce      2"
    assert run.message.header.recipNonce == b"nonce of the peer"
    (status,) = messages.decode_cert_confirm_content(run.message.body)
    assert (status.certReqId, status.statusInfo, status.hashAlg) == (0, None, None)
    assert status.certHash == algorithms.hash_by(
        algorithms.DIGEST_IDENTIFIERS["sha256"], certificate
    )

    pki_conf = run.confirmed().macced(parameters=run.peer.own_mac)
    assert run.tell(Received(run.now + 5, pki_conf, run.now + 3)) == [
        Finish(
            (Outcome(OutcomeClass.ISSUED, pki_status=0),),
            replace(issued, sent_nonce=b"our nonce      2"),
            Timings(service=5.0, request=1.0, polling=None, confirm=2.0),
            sends=1,
        )
    ]


@BOTH
@pytest.mark.parametrize(
    ("operation", "label"),
    [
        (Operation.IR, "ir"),
        (Operation.CR, "cr"),
        (Operation.KUR, "kur"),
        (Operation.P10CR, "p10cr"),
    ],
)
def test_an_enrollment_ends_issued(
    make_run: "MakeRun", pki: "Pki", operation: Operation, label: str, credential: str
) -> None:
    run = make_run(operation, credential)
    sign = credential == "signature"

    def protect(answer: "Answer") -> bytes:
        return answer.signed(pki.signer) if sign else answer.macced()

    assert run.start() == Send(ANY, label, opens=True)
    assert run.receive(protect(run.granted())) == Send(ANY, "certConf", opens=False)
    assert run.end(protect(run.confirmed())).outcome == Outcome(OutcomeClass.ISSUED, pki_status=0)
    assert run.kept.chain == (pki.root.certificate,)
    assert run.kept.cert_req_id == (-1 if operation is Operation.P10CR else 0)


@BOTH
@pytest.mark.parametrize(
    "status",
    [
        PKIStatus.ACCEPTED,
        PKIStatus.GRANTED_WITH_MODS,
        PKIStatus.REVOCATION_WARNING,
        PKIStatus.REVOCATION_NOTIFICATION,
    ],
)
def test_a_revocation_ends_revoked(
    make_run: "MakeRun", pki: "Pki", peer: "Peer", credential: str, status: PKIStatus
) -> None:
    run = make_run(Operation.RR, credential)
    assert run.start() == Send(ANY, "rr", opens=True)
    answer = run.answer(peer.rev_rep(peer.status(status)))
    finish = run.end(answer.signed(pki.signer) if credential == "signature" else answer.macced())
    assert finish.outcome == Outcome(OutcomeClass.REVOKED, pki_status=status)
    assert finish.timings == Timings(service=0.5, request=0.5)


def test_a_mac_request_may_be_answered_by_a_signature(make_run: "MakeRun", pki: "Pki") -> None:
    run = make_run()
    run.start()
    assert run.receive(run.granted().signed(pki.signer)) == Send(ANY, "certConf", opens=False)
    assert run.end(run.confirmed().signed(pki.signer)).outcome.outcome is OutcomeClass.ISSUED


def test_an_answer_under_our_own_parameters_needs_no_second_derivation(make_run: "MakeRun") -> None:
    run = make_run()
    run.start()
    answer = run.granted().macced(parameters=run.peer.own_mac)
    (instruction,) = run.tell(Received(run.now, answer, run.now))
    assert isinstance(instruction, Store)


def test_a_p10cr_may_be_answered_under_certreqid_0_and_is_confirmed_under_it(
    make_run: "MakeRun", pki: "Pki", peer: "Peer"
) -> None:
    run = make_run(Operation.P10CR)
    run.start()
    run.receive(run.answer(peer.granted(pki.issue(), cert_req_id=0)).macced())
    (status,) = messages.decode_cert_confirm_content(run.message.body)
    assert status.certReqId == 0


def test_granted_with_mods_is_issued_and_says_so(
    make_run: "MakeRun", pki: "Pki", peer: "Peer"
) -> None:
    run = make_run()
    run.start()
    status = peer.status(PKIStatus.GRANTED_WITH_MODS, "badAlg", text=("a shorter", "validity"))
    body = peer.cert_rep(peer.response(status, wrap(0xA0, pki.issue())))
    run.receive(run.answer(body).macced())
    assert run.end(run.confirmed().macced()).outcome == Outcome(
        OutcomeClass.ISSUED,
        pki_status=1,
        fail_info=("badAlg",),
        status_text="a shorter / validity",
    )


def test_a_certificate_of_the_distant_future_is_taken(make_run: "MakeRun", pki: "Pki") -> None:
    run = make_run()
    run.start()
    run.receive(run.granted(pki.issue(age=-30)).macced())
    assert run.end(run.confirmed().macced()).outcome.outcome is OutcomeClass.ISSUED


# --- local errors -------------------------------------------------------------------------------


def test_a_request_that_can_not_be_built(make_run: "MakeRun") -> None:
    run = make_run(new_key=b"no key")
    assert run.start() == Finish(
        (Outcome(OutcomeClass.LOCAL_ERROR, "", "not an unencrypted PKCS#8 private key"),),
        None,
        Timings(),
        sends=0,
    )


def test_a_key_that_is_gone_signs_no_request(make_run: "MakeRun", pki: "Pki") -> None:
    run, key = on_token(make_run, pki)
    finish = gone(run, key, Start(run.now))
    assert finish.outcome.outcome is OutcomeClass.LOCAL_ERROR
    assert not run.sent


def test_a_key_that_is_gone_signs_no_fresh_request(make_run: "MakeRun", pki: "Pki") -> None:
    run, key = on_token(make_run, pki)
    run.start()
    run.lose(Loss.CONNECT)
    finish = gone(run, key, TimerFired(run.now + 61))
    assert finish.outcome.outcome is OutcomeClass.LOCAL_ERROR


def test_a_key_that_is_gone_leaves_the_certificate_unconfirmed(
    make_run: "MakeRun", pki: "Pki"
) -> None:
    run, key = on_token(make_run, pki)
    run.start()
    response = run.granted().signed(pki.signer)
    (store,) = run.tell(Received(run.now, response, run.now))
    assert isinstance(store, Store)
    finish = gone(run, key, Stored(run.now))
    assert finish.outcome.outcome is OutcomeClass.ISSUED_CONFIRMATION_UNKNOWN
    assert finish.outcome.reason == "local error"


def test_a_key_that_is_gone_polls_no_more(make_run: "MakeRun", pki: "Pki", peer: "Peer") -> None:
    run, key = on_token(make_run, pki)
    run.start()
    run.receive(run.answer(peer.waiting()).signed(pki.signer))
    finish = gone(run, key, TimerFired(run.now))
    assert finish.outcome.outcome is OutcomeClass.STILL_WAITING


def test_a_transaction_signed_elsewhere(make_run: "MakeRun", pki: "Pki") -> None:
    run, _ = on_token(make_run, pki)
    run.start()
    run.receive(run.granted().signed(pki.signer))
    finish = run.end(run.confirmed().signed(pki.signer))
    assert finish.outcome.outcome is OutcomeClass.ISSUED
    certificate = x509.load_der_x509_certificate(pki.device.certificate)
    for send in run.sent:
        message = messages.decode_message(send.message)
        assert message.protection is not None
        algorithms.verify(
            certificate.public_key(),
            algorithms.signature_identifier(pki.device.key, "sha256"),
            message.protection,
            message.protected_part,
        )


# --- resume -------------------------------------------------------------------------------------


def _resumed(make_run: "MakeRun", run: "Run", **changes: Any) -> "Run":
    """Another process takes up what the journal of `run` has."""
    return make_run(checkpoint=run.stored[-1], profile=run.profile, now=run.now, **changes)


@BOTH
def test_resume_after_the_request_was_recorded(make_run: "MakeRun", credential: str) -> None:
    run = make_run(credential=credential)
    run.start()
    again = _resumed(make_run, run, credential=credential)
    assert again.tell(Start(again.now)) == [
        Finish(
            (
                Outcome(
                    OutcomeClass.UNKNOWN,
                    "interrupted before the answer",
                    "the run ended between sending the request and storing its answer",
                ),
            ),
            run.stored[-1],
            Timings(),
            sends=0,
        )
    ]


@BOTH
@pytest.mark.parametrize("due", [True, False])
def test_resume_while_waiting(
    make_run: "MakeRun", pki: "Pki", peer: "Peer", credential: str, *, due: bool
) -> None:
    def protect(answer: "Answer") -> bytes:
        return answer.signed(pki.signer) if credential == "signature" else answer.macced()

    run = make_run(credential=credential)
    run.start()
    run.receive(protect(run.answer(peer.waiting())))
    run.go(TimerFired(run.now))
    run.receive(protect(run.answer(peer.poll_rep(60), BodyType.POLL_REP)))

    again = _resumed(make_run, run, credential=credential)
    if due:
        again.now += 60
        # at once, for that time is over
        assert again.start() == WakeAt(again.now)
    else:
        assert again.start() == WakeAt(run.now + 60)
    assert again.go(TimerFired(run.now + 60)) == Send(ANY, "pollReq", opens=False)
    assert again.message.header.recipNonce == b"nonce of the peer"
    assert again.message.header.transactionID == b"sixteen octets.."
    # the answer may repeat the nonce of a request that this process never made
    first = replace(again.granted(), recip_nonce=run.stored[0].request_nonce)
    again.receive(protect(first))
    finish = again.end(protect(again.confirmed()))
    assert finish.outcome.outcome is OutcomeClass.ISSUED
    assert finish.sends == 0
    assert finish.timings == Timings(service=1.0, confirm=0.5)


@BOTH
def test_resume_before_certconf(make_run: "MakeRun", pki: "Pki", credential: str) -> None:
    run = make_run(credential=credential)
    run.start()
    run.receive(
        run.granted().signed(pki.signer) if credential == "signature" else run.granted().macced()
    )
    again = _resumed(make_run, run, credential=credential)
    assert again.start() == Send(ANY, "certConf", opens=False)
    assert again.message.header.recipNonce == b"nonce of the peer"
    confirmed = again.confirmed()
    finish = again.end(
        confirmed.signed(pki.signer) if credential == "signature" else confirmed.macced()
    )
    assert finish.outcome == run.kept.granted
    assert finish.checkpoint is not None
    assert finish.checkpoint.parts[0].certificate == run.kept.certificate


def test_a_refusal_of_a_resumed_certconf_proves_nothing(make_run: "MakeRun") -> None:
    run = make_run()
    run.start()
    run.receive(run.granted().macced())
    again = _resumed(make_run, run)
    again.start()
    finish = again.end(error(again, "badRequest").macced())
    assert finish.outcome.outcome is OutcomeClass.ISSUED_CONFIRMATION_UNKNOWN, (
        "the process that ended may have sent a certConf"
    )


@BOTH
def test_resume_where_no_certconf_is_due(make_run: "MakeRun", pki: "Pki", credential: str) -> None:
    run = make_run(credential=credential, profile=Profile(implicit_confirm=True))
    run.start()
    granted = replace(run.granted(), general_info=(IMPLICIT,))
    run.receive(granted.signed(pki.signer) if credential == "signature" else granted.macced())
    again = _resumed(make_run, run, credential=credential)
    finish = again.start()
    assert finish == Finish(
        (Outcome(OutcomeClass.ISSUED, pki_status=0),), run.stored[-1], Timings(), sends=0
    )


def test_resume_goes_on_under_the_recorded_mac_parameters(make_run: "MakeRun") -> None:
    run = make_run()
    run.start()
    run.receive(run.granted().macced())
    heavy = MacParameters.choose(b"another salt", owf="sha512", iterations=200_000)
    checkpoint = replace(run.stored[-1], protection=heavy.identifier)
    again = make_run(checkpoint=checkpoint)
    assert again.tell(Start(again.now)) == [
        DeriveKey(Derivation(again.peer.secret, b"another salt", "sha512", 200_000))
    ], "our own count has no ceiling"


def test_resume_under_a_mac_of_what_began_signed(make_run: "MakeRun", pki: "Pki") -> None:
    run = make_run(credential="signature")
    run.start()
    run.receive(run.granted().signed(pki.signer))
    again = _resumed(make_run, run)
    assert again.tell(Start(again.now)) == [
        DeriveKey(Derivation(again.peer.secret, b"our own salt", "sha256", 101))
    ]


def test_a_local_error_takes_nothing_back_from_what_was_reached(
    make_run: "MakeRun", peer: "Peer"
) -> None:
    run = make_run()
    run.start()
    run.receive(run.granted().macced())
    finish = _resumed(make_run, run, new_key=b"lost").start()
    assert isinstance(finish, Finish)
    assert finish.outcome == Outcome(
        OutcomeClass.ISSUED_CONFIRMATION_UNKNOWN,
        "local error",
        "not an unencrypted PKCS#8 private key",
        pki_status=0,
    )
    assert finish.checkpoint == run.stored[-1]

    run = make_run()
    run.start()
    run.receive(run.answer(peer.waiting()).macced())
    finish = _resumed(make_run, run, new_key=b"lost").start()
    assert isinstance(finish, Finish)
    assert (finish.outcome.outcome, finish.outcome.reason) == (
        OutcomeClass.STILL_WAITING,
        "local error",
    )


# --- nested -------------------------------------------------------------------------------------

BADLY_NESTED = Outcome(OutcomeClass.BAD_RESPONSE, Reason.NESTING.value, "one layer too many")


@pytest.mark.parametrize("proven", [True, False])
def test_a_request_refused_with_what_it_travelled_in(make_run: "MakeRun", *, proven: bool) -> None:
    for begin in (requested, polled):
        run = begin(make_run)
        run.now += 2.0
        finish = run.go(Refused(run.now, SAID_NO, run.now - 2.0, proven=proven))
        assert isinstance(finish, Finish)
        assert finish.outcome == SAID_NO
    assert _refused(requested(make_run), BADLY_NESTED) == BADLY_NESTED


def test_a_confirmation_refused_with_what_it_travelled_in(make_run: "MakeRun") -> None:
    for outcome, proven, expected in (
        (SAID_NO, True, OutcomeClass.ISSUED_CONFIRMATION_REFUSED),
        (SAID_NO, False, OutcomeClass.ISSUED_CONFIRMATION_UNKNOWN),
        (BADLY_NESTED, True, OutcomeClass.ISSUED_UNPROVEN),
    ):
        run = confirming(make_run)
        assert _refused(run, outcome, proven=proven).outcome is expected


def test_the_time_of_a_refusal_counts(make_run: "MakeRun") -> None:
    run = requested(make_run)
    finish = run.go(Refused(run.now + 2.0, SAID_NO, run.now))
    assert isinstance(finish, Finish)
    assert (finish.timings.service, finish.timings.request) == (2.0, 2.0)


def _refused(run: "Run", outcome: Outcome, *, proven: bool = True) -> Outcome:
    finish = run.go(Refused(run.now, outcome, run.now, proven=proven))
    assert isinstance(finish, Finish)
    return finish.outcome
