"""General messages, event by event."""

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from bulkcmp.cmp import general
from bulkcmp.cmp.asn1 import ObjectIdentifier, encode, wrap
from bulkcmp.cmp.checks import Judgement, Reason, Verdict
from bulkcmp.cmp.events import Checkpoint, Finish, Part, Phase, Send, TimerFired, WakeAt
from bulkcmp.cmp.general import CA_CERTS, encode_infos
from bulkcmp.cmp.messages import IT_IMPLICIT_CONFIRM, BodyType, PKIStatus
from bulkcmp.errors import Loss
from bulkcmp.model import Itav, Operation, Outcome, OutcomeClass, Profile, Timings

if TYPE_CHECKING:
    from tests.cmp.conftest import MakeRun, Peer, Pki, Run

LANGUAGES = Itav(general.SUPP_LANG_TAGS, wrap(0x30, b"\x0c\x02en"))
QUICK = Profile(retries=1, backoff_first=2.0)


@pytest.fixture
def ca_certs(pki: "Pki") -> Itav:
    return Itav(CA_CERTS, wrap(0x30, pki.root.certificate))


def ask(make_run: "MakeRun", *infos: Itav, credential: str = "mac", **changes: object) -> "Run":
    asked = infos or (Itav(CA_CERTS),)
    run = make_run(Operation.GENM, credential, infos=asked, **changes)
    run.start()
    return run


def told(run: "Run", *infos: Itav) -> bytes:
    return run.answer(encode_infos(infos)).macced()


@pytest.mark.parametrize("credential", ["mac", "signature"])
@pytest.mark.parametrize("asks_implicit", [True, False])
def test_a_question_is_asked_and_answered(
    make_run: "MakeRun", pki: "Pki", ca_certs: Itav, credential: str, *, asks_implicit: bool
) -> None:
    profile = Profile(implicit_confirm=asks_implicit)
    run = ask(make_run, credential=credential, profile=profile, cert_profile="tls")
    message = run.message
    assert message.body_type is BodyType.GENM
    assert general.decode_infos(message.body) == (Itav(CA_CERTS),)
    assert message.info(IT_IMPLICIT_CONFIRM) is None, "nothing is to be confirmed"
    answer = run.answer(encode_infos([ca_certs]))
    finish = run.end(answer.signed(pki.signer) if credential == "signature" else answer.macced())
    answered = Outcome(OutcomeClass.ANSWERED, detail="caCerts: 1 certificate")
    assert finish.outcomes == (answered,)
    assert finish.timings == Timings(service=0.5, request=0.5)
    # durable before the end
    assert run.kept == Part(1, Phase.GRANTED, -1, infos=(ca_certs,), granted=answered)


def test_several_questions_in_one_message(make_run: "MakeRun", ca_certs: Itav) -> None:
    languages = replace(LANGUAGES, value=wrap(0x30, b"\x0c\x02de", b"\x0c\x02en"))
    run = ask(make_run, Itav(CA_CERTS), languages, Itav("1.2.3"))
    assert general.decode_infos(run.message.body) == (Itav(CA_CERTS), languages, Itav("1.2.3"))
    # in another order, and with more than was asked for
    raw = Itav("1.2.3", b"\x04\x01x")
    finish = run.end(told(run, raw, Itav("1.2.4"), LANGUAGES, ca_certs))
    assert finish.outcome.outcome is OutcomeClass.ANSWERED
    assert finish.outcome.detail == "caCerts: 1 certificate; suppLangTags: en; 1.2.3: 3 octets"
    assert run.kept.infos == (ca_certs, LANGUAGES, raw)


@pytest.mark.parametrize(
    ("answer", "outcome", "reason"),
    [
        ([], OutcomeClass.BAD_RESPONSE, Reason.INFO_MISSING),
        ([Itav(general.ROOT_CA_CERT)], OutcomeClass.BAD_RESPONSE, Reason.INFO_MISSING),
        ([Itav(CA_CERTS, b"\x05\x00")], OutcomeClass.BAD_RESPONSE, Reason.INFO_MALFORMED),
        (
            [Itav(general.UNSUPPORTED_OIDS, wrap(0x30, encode(ObjectIdentifier(CA_CERTS))))],
            OutcomeClass.REJECTED,
            Reason.INFO_UNSUPPORTED,
        ),
        (
            [Itav(general.UNSUPPORTED_OIDS, b"\x05\x00")],
            OutcomeClass.BAD_RESPONSE,
            Reason.MALFORMED,
        ),
    ],
)
def test_an_answer_that_fails_a_check(
    make_run: "MakeRun", answer: list[Itav], outcome: OutcomeClass, reason: Reason
) -> None:
    run = ask(make_run)
    finish = run.end(told(run, *answer))
    assert (finish.outcome.outcome, finish.outcome.reason) == (outcome, reason.value)
    assert finish.checkpoint is not None
    assert finish.checkpoint.parts[0].infos == ()


def test_what_is_good_in_an_answer_is_kept(make_run: "MakeRun", ca_certs: Itav) -> None:
    run = ask(make_run, Itav("1.2.3"), Itav(CA_CERTS), Itav(general.CURRENT_CRL))
    finish = run.end(told(run, ca_certs, Itav(general.CURRENT_CRL, b"\x05\x00")))
    # the first failure counts
    assert finish.outcome.outcome is OutcomeClass.BAD_RESPONSE
    assert finish.outcome.reason == Reason.INFO_MISSING
    assert run.kept.infos == (ca_certs,)


def test_a_body_that_is_none(make_run: "MakeRun") -> None:
    run = ask(make_run)
    assert run.end(run.answer(b"\x05\x00").macced()).outcome.reason == Reason.MALFORMED
    run = ask(make_run)
    other = run.answer(encode_infos([]), BodyType.GENM).macced()
    assert run.end(other).outcome.reason == Reason.BODY_TYPE


def test_an_answer_without_protection(make_run: "MakeRun", ca_certs: Itav) -> None:
    run = ask(make_run, profile=Profile(unprotected_errors=True))
    finish = run.end(run.answer(encode_infos([ca_certs])).plain())
    assert finish.outcome.outcome is OutcomeClass.BAD_RESPONSE
    assert finish.outcome.reason == Reason.PROTECTION_MISSING


def test_a_refusal(make_run: "MakeRun", peer: "Peer") -> None:
    run = ask(make_run)
    error = peer.error(peer.status(PKIStatus.REJECTION, "badRequest", text=("Can not handle",)))
    finish = run.end(run.answer(error, BodyType.ERROR).macced())
    assert finish.outcome.outcome is OutcomeClass.REJECTED
    assert finish.outcome.status_text == "Can not handle"


# --- losses ---------------------------------------------------------------------------------------


def test_a_question_whose_answer_is_lost_changes_nothing(make_run: "MakeRun") -> None:
    finish = ask(make_run).lose(Loss.CUT)
    assert isinstance(finish, Finish)
    assert finish.outcome.outcome is OutcomeClass.UNANSWERED
    run = ask(make_run, profile=QUICK)
    assert run.lose(Loss.CONNECT) == WakeAt(run.now + 2.0)
    assert isinstance(run.go(TimerFired(run.now)), Send)
    finish = run.lose(Loss.CONNECT)
    assert isinstance(finish, Finish)
    assert finish.outcome.outcome is OutcomeClass.NOT_SENT


def test_an_answer_that_is_lost_while_we_poll(make_run: "MakeRun", peer: "Peer") -> None:
    for loss, outcome in (
        (Loss.TIMEOUT, OutcomeClass.UNANSWERED),
        (Loss.CONNECT, OutcomeClass.STILL_WAITING),
    ):
        run = ask(make_run, profile=Profile(retries=0))
        later = peer.error(peer.status(PKIStatus.WAITING))
        run.receive(run.answer(later, BodyType.ERROR).macced())
        run.go(TimerFired(run.now))
        finish = run.lose(loss)
        assert isinstance(finish, Finish)
        assert finish.outcome.outcome is outcome


def test_going_on(make_run: "MakeRun", peer: "Peer", ca_certs: Itav) -> None:
    """What was cut off while it waited is polled for; what was not answered is not known of."""
    run = ask(make_run)
    (begun,) = run.stored
    run.receive(run.answer(peer.error(peer.status(PKIStatus.WAITING)), BodyType.ERROR).macced())
    waiting = run.stored[-1]

    again = resumed(make_run, waiting)
    again.go(TimerFired(again.now))
    assert again.message.body_type is BodyType.POLL_REQ
    assert again.end(told(again, ca_certs)).outcome.outcome is OutcomeClass.ANSWERED

    finish = make_run(Operation.GENM, checkpoint=begun).start()
    assert isinstance(finish, Finish)
    assert finish.outcome.outcome is OutcomeClass.UNANSWERED

    answered = again.stored[-1]
    finish = make_run(Operation.GENM, checkpoint=answered).start()
    assert isinstance(finish, Finish)
    assert finish.outcome.outcome is OutcomeClass.ANSWERED


def resumed(make_run: "MakeRun", checkpoint: Checkpoint) -> "Run":
    run = make_run(Operation.GENM, checkpoint=checkpoint)
    assert isinstance(run.start(), WakeAt)
    return run


# --- verdicts -------------------------------------------------------------------------------------


def test_each_answer_is_judged(make_run: "MakeRun", ca_certs: Itav) -> None:
    verdicts: list[Verdict] = []
    run = ask(make_run, Itav(CA_CERTS), Itav("1.2.3"), verdicts=verdicts)
    run.end(told(run, ca_certs))
    ours = verdicts[[one.reason for one in verdicts].index(Reason.BODY_TYPE) + 1 :]
    assert [(one.reason, one.judgement, one.what) for one in ours] == [
        (Reason.INFO_MISSING, Judgement.PASSED, "caCerts"),
        (Reason.INFO_MALFORMED, Judgement.PASSED, "caCerts: 1 certificate"),
        (
            Reason.INFO_MISSING,
            Judgement.FAILED,
            "1.2.3 was asked for, the genp has caCerts instead of 1.2.3",
        ),
    ]
