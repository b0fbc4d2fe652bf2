"""The root certificate that the first ip brings, where no trust anchor was given."""

from dataclasses import replace
from typing import TYPE_CHECKING
from unittest.mock import ANY

import pytest

from bulkcmp.cmp import checks
from bulkcmp.cmp.asn1 import explicit
from bulkcmp.cmp.checks import MOST_TRIED, CheckError, Reason
from bulkcmp.cmp.events import Send, WakeAt
from bulkcmp.cmp.messages import BodyType, PKIStatus, decode_message
from bulkcmp.model import Operation, OutcomeClass, Profile

if TYPE_CHECKING:
    from tests.cmp.conftest import Answer, MakeRun, Pki, Run

CONFIRMING = Send(ANY, "certConf", opens=False)


def ask(make_run: "MakeRun", credential: str = "signature", **options: object) -> "Run":
    run = make_run(Operation.IR, credential, first_trust=True, **options)
    assert isinstance(run.start(), Send)
    return run


def refused(run: "Run", answer: bytes) -> tuple[OutcomeClass, str]:
    """How a transaction ends that pinned nothing."""
    finish = run.end(answer)
    assert [one.anchor for one in run.stored] == [None]
    return finish.outcome.outcome, finish.outcome.reason


def granted(run: "Run", *ca_pubs: bytes, certificate: bytes | None = None) -> "Answer":
    """An ip with a certificate, by default the right one."""
    peer = run.peer
    pair = explicit(0, certificate or run.pki.issue())
    response = peer.response(peer.status(PKIStatus.ACCEPTED), pair)
    return run.answer(peer.cert_rep(response, ca_pubs=ca_pubs))


@pytest.mark.parametrize("place", ["caPubs", "extraCerts"])
def test_the_root_is_taken_and_held_to(make_run: "MakeRun", pki: "Pki", place: str) -> None:
    run = ask(make_run)
    root, foreign = pki.root.certificate, pki.stranger.certificate
    pubs, others = ((foreign, root), ()) if place == "caPubs" else ((), (foreign, root))
    answer = granted(run, *pubs)
    assert run.receive(answer.signed(pki.signer, *others)) == CONFIRMING
    # durable before the certConf leaves
    assert [one.anchor for one in run.stored] == [None, root]
    finish = run.end(run.confirmed().signed(pki.signer))
    assert finish.outcome.outcome is OutcomeClass.ISSUED


def test_an_anchor_that_was_given_is_not_pinned(make_run: "MakeRun", pki: "Pki") -> None:
    run = make_run()
    run.start()
    run.receive(run.granted().signed(pki.signer))
    assert run.kept.granted is not None
    assert run.stored[-1].anchor is None


def test_a_ca_that_signs_itself(make_run: "MakeRun", pki: "Pki") -> None:
    run = ask(make_run)
    answer = granted(run)
    answer = replace(answer, sender=explicit(4, pki.root.subject))
    assert run.receive(answer.signed(pki.root)) == CONFIRMING
    assert run.stored[-1].anchor == pki.root.certificate


def test_later_messages_must_be_of_the_root(make_run: "MakeRun", pki: "Pki") -> None:
    run = ask(make_run)
    run.receive(granted(run, pki.root.certificate).signed(pki.signer))
    sent = replace(run.confirmed(), sender=explicit(4, pki.stranger.subject))
    finish = run.end(sent.signed(pki.stranger))
    assert finish.outcome.outcome is OutcomeClass.ISSUED_UNPROVEN
    assert finish.outcome.reason == Reason.SIGNER_NOT_TRUSTED


def test_an_ip_that_waits_brings_it_too(make_run: "MakeRun", pki: "Pki") -> None:
    run = ask(make_run)
    waiting = run.answer(run.peer.waiting())
    assert isinstance(run.receive(waiting.signed(pki.signer, pki.root.certificate)), WakeAt)
    assert run.stored[-1].anchor == pki.root.certificate


def test_a_certificate_that_is_refused_pins_nothing(make_run: "MakeRun", pki: "Pki") -> None:
    run = ask(make_run)
    answer = granted(run, pki.root.certificate, certificate=pki.issue("another"))
    assert run.receive(answer.signed(pki.signer)) == CONFIRMING
    assert [one.anchor for one in run.stored] == [None, None]
    finish = run.end(run.confirmed().signed(pki.signer))
    assert finish.outcome.outcome is OutcomeClass.ISSUED_REFUSED


NOT_TRUSTED = (OutcomeClass.BAD_RESPONSE, Reason.SIGNER_NOT_TRUSTED.value)


def test_no_root_comes(make_run: "MakeRun", pki: "Pki") -> None:
    for others in ((), (pki.device.certificate,), (b"\x30\x00",)):
        run = ask(make_run)
        assert refused(run, granted(run).signed(pki.signer, *others)) == NOT_TRUSTED


def test_another_root_comes(make_run: "MakeRun", pki: "Pki") -> None:
    run = ask(make_run)
    answer = granted(run, pki.stranger.certificate).signed(pki.signer)
    assert refused(run, answer) == NOT_TRUSTED


def test_a_mac_brings_none(make_run: "MakeRun", pki: "Pki") -> None:
    run = ask(make_run, "mac")
    assert refused(run, granted(run, pki.root.certificate).macced()) == NOT_TRUSTED


def test_only_an_ip_brings_one(make_run: "MakeRun", pki: "Pki") -> None:
    run = make_run(Operation.CR, "signature", first_trust=True)
    run.start()
    answer = granted(run, pki.root.certificate).signed(pki.signer)
    assert refused(run, answer) == NOT_TRUSTED


def test_an_ip_that_can_t_be_read(make_run: "MakeRun", pki: "Pki") -> None:
    run = ask(make_run)
    answer = run.answer(b"\x30\x02\x05\x00").signed(pki.signer, pki.root.certificate)
    assert refused(run, answer) == (OutcomeClass.BAD_RESPONSE, Reason.MALFORMED.value)


@pytest.mark.parametrize("others", [MOST_TRIED - 2, MOST_TRIED - 1])
def test_few_of_the_certificates_that_come_may_be_the_root(
    make_run: "MakeRun", pki: "Pki", others: int
) -> None:
    run = ask(make_run)
    before = [pki.certificate("other", pki.keys["ec"], pki.root) for _ in range(others)]
    message = decode_message(granted(run).signed(pki.signer, *before, pki.root.certificate))
    if others < MOST_TRIED - 1:
        assert checks.first_trust(message, pki.at(), ignore_keyusage=False, allow_weak=False)
        return
    with pytest.raises(CheckError, match="brings no root certificate"):
        checks.first_trust(message, pki.at(), ignore_keyusage=False, allow_weak=False)


@pytest.mark.parametrize("body_type", [BodyType.IP, BodyType.ERROR])
def test_a_refusal_proves_nothing(make_run: "MakeRun", pki: "Pki", body_type: BodyType) -> None:
    run = ask(make_run)
    status = run.peer.status(PKIStatus.REJECTION, "badRequest")
    body = run.peer.error(status)
    if body_type is BodyType.IP:
        body = run.peer.cert_rep(run.peer.response(status))
    answer = run.answer(body, body_type).signed(pki.signer, pki.root.certificate)
    assert refused(run, answer)[0] is OutcomeClass.REJECTED_UNAUTHENTICATED


def test_what_is_said_where_no_root_comes(make_run: "MakeRun", pki: "Pki") -> None:
    run = ask(make_run)
    message = decode_message(granted(run).signed(pki.signer))
    at = pki.at()
    with pytest.raises(CheckError) as caught:
        checks.first_trust(message, at, ignore_keyusage=False, allow_weak=False)
    assert caught.value.reason is Reason.SIGNER_NOT_TRUSTED
    assert caught.value.what == "the ip brings no root certificate to trust"
    assert caught.value.hint == "give the CA's certificate with --trusted"


@pytest.mark.parametrize("ignored", [False, True])
def test_a_key_usage_that_does_not_allow_to_sign(
    make_run: "MakeRun", pki: "Pki", ignored: bool
) -> None:
    run = ask(make_run, profile=Profile(ignore_keyusage=ignored))
    mute = pki.certify("signer", pki.signer.key, pki.root, sign=False)
    message = granted(run, pki.root.certificate).signed(mute)
    if ignored:
        assert run.receive(message) == CONFIRMING
    else:
        assert refused(run, message) == (OutcomeClass.BAD_RESPONSE, Reason.SIGNER_KEY_USAGE)
