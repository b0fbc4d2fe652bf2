"""A KEM credential: a genm for the ciphertext, then every message with a KEM-based MAC."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509

from bulkcmp.cmp import kemmac, protection
from bulkcmp.cmp.asn1 import ObjectIdentifier, encode, wrap
from bulkcmp.cmp.checks import Reason, Verdict
from bulkcmp.cmp.events import (
    Checkpoint,
    Finish,
    Part,
    Phase,
    Received,
    Send,
    Start,
    Store,
    Stored,
    TimerFired,
    WakeAt,
)
from bulkcmp.cmp.kemmac import KemMacParameters
from bulkcmp.cmp.messages import BodyType, PKIMessage
from bulkcmp.cmp.request import KemCredential, Protector, is_kem_certificate
from bulkcmp.errors import LocalCmpError, Loss
from bulkcmp.model import OutcomeClass, Profile
from tests.cmp.conftest import peer_info

if TYPE_CHECKING:
    from tests.cmp.conftest import MakeRun, Pki, Run


def check(run: "Run", message: PKIMessage) -> None:
    """As the CA does: by the secret that it encapsulated, and the transactionID."""
    parameters = kemmac.kem_mac_parameters(message)
    assert parameters is not None
    key = parameters.derive(run.shared_secret, b"sixteen octets..")
    protection.check_mac(message, parameters, key)


def certificate_of(run: "Run") -> bytes:
    assert isinstance(run.credential, KemCredential)
    return run.credential.chain[0]


def requested(make_run: "MakeRun", **changes: Any) -> "Run":
    run = make_run(credential="kem", **changes)
    run.start()
    run.receive(run.ciphertext().plain())
    return run


def test_an_enrollment_step_by_step(make_run: "MakeRun", pki: "Pki") -> None:
    verdicts: list[Verdict] = []
    run = make_run(credential="kem", verdicts=verdicts)
    (send,) = run.tell(Start(run.now))
    assert isinstance(send, Send)
    assert (send.label, send.opens) == ("genm", True)
    question = run.message
    assert kemmac.asks_ciphertext(question)
    assert (question.protection, question.header.protectionAlg) == (None, None)
    assert question.header.recipNonce is None
    assert question.extra_certs == (certificate_of(run),)
    assert question.sender == pki.name("device").public_bytes()

    answer = run.ciphertext()
    (store,) = run.tell(Received(run.now, answer.plain(), run.now - 0.5))
    # nothing of it was durable before: nothing was asked for that the CA could have done
    assert isinstance(store, Store)
    checkpoint = store.checkpoint
    assert checkpoint == Checkpoint(
        transaction_id=b"sixteen octets..",
        request_nonce=b"our nonce      2",
        sent_nonce=b"our nonce      2",
        received_nonce=b"nonce of the peer",
        protection=kemmac.ciphertext_in(answer.body),
        deadline=run.now + 600,
        parts=(Part(1, Phase.REQUESTED, 0),),
    )
    (send,) = run.tell(Stored(run.now))
    assert isinstance(send, Send)
    assert (send.label, send.opens) == ("ir", False)
    check(run, run.message)
    header = run.message.header
    assert header.recipNonce == b"nonce of the peer"
    ski = x509.load_der_x509_certificate(certificate_of(run)).extensions.get_extension_for_class(
        x509.SubjectKeyIdentifier
    )
    assert header.senderKID == ski.value.digest
    assert run.message.extra_certs == (certificate_of(run),)

    run.receive(run.granted().signed(pki.signer))
    assert run.message.body_type is BodyType.CERT_CONF
    check(run, run.message)
    finish = run.end(run.confirmed().signed(pki.signer))
    assert finish.outcome.outcome is OutcomeClass.ISSUED
    assert finish.sends == 1
    assert finish.timings.request == 0.5
    assert Reason.KEM_CIPHERTEXT in {one.reason for one in verdicts}


def test_a_genp_may_be_protected_too(make_run: "MakeRun", pki: "Pki") -> None:
    run = make_run(credential="kem")
    run.start()
    run.receive(run.ciphertext().signed(pki.signer))
    check(run, run.message)


def test_polling_and_another_session_go_on_with_the_same_ciphertext(
    make_run: "MakeRun", pki: "Pki"
) -> None:
    first = requested(make_run)
    first.receive(first.answer(first.peer.waiting()).signed(pki.signer))
    first.go(TimerFired(first.now))
    check(first, first.message)
    run = make_run(credential="kem", checkpoint=first.stored[-1])
    run.shared_secret = first.shared_secret
    assert isinstance(run.start(), WakeAt), "no ciphertext is asked for anew"
    run.go(TimerFired(run.now))
    assert run.message.body_type is BodyType.POLL_REQ
    check(run, run.message)
    run.receive(run.granted().signed(pki.signer))
    check(run, run.message)
    last = make_run(credential="kem", checkpoint=run.stored[-1])
    last.shared_secret = first.shared_secret
    last.start()
    assert last.message.body_type is BodyType.CERT_CONF
    check(last, last.message)


def test_a_transaction_goes_on_with_the_credential_that_it_began_with(
    make_run: "MakeRun", pki: "Pki"
) -> None:
    waiting = make_run()
    waiting.start()
    waiting.receive(waiting.answer(waiting.peer.waiting()).macced())
    finish = make_run(credential="kem", checkpoint=waiting.stored[-1]).start()
    assert isinstance(finish, Finish)
    assert finish.outcome.outcome is OutcomeClass.STILL_WAITING
    assert "began with another credential" in finish.outcome.detail
    # the other way round, a MAC goes on with a salt of its own
    kem = requested(make_run)
    kem.receive(kem.answer(kem.peer.waiting()).signed(pki.signer))
    assert isinstance(make_run(checkpoint=kem.stored[-1]).start(), WakeAt)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x05\x00",
        wrap(0x30),
        wrap(0x30, wrap(0x30, encode(ObjectIdentifier("1.3.6.1.5.5.7.4.7")))),
        kemmac.ask_ciphertext(),
        peer_info(b"\x05\x00"),
        peer_info(wrap(0x30, wrap(0x30, encode(ObjectIdentifier("1.2.3"))), encode(b"ct"))),
        peer_info(
            wrap(0x30, wrap(0x30, encode(ObjectIdentifier("2.16.840.1.101.3.4.4.2"))), encode(b""))
        ),
    ],
)
def test_an_answer_without_a_ciphertext_for_our_key(make_run: "MakeRun", content: bytes) -> None:
    run = make_run(credential="kem")
    run.start()
    finish = run.end(run.answer(content, BodyType.GENP).plain())
    assert finish.outcome.outcome is OutcomeClass.BAD_RESPONSE
    assert finish.outcome.reason == Reason.KEM_CIPHERTEXT
    assert finish.checkpoint is None
    assert not run.stored


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"transaction_id": b"another's"}, Reason.TRANSACTION_ID),
        ({"recip_nonce": b"another"}, Reason.RECIP_NONCE),
        ({"pvno": 1}, Reason.VERSION),
    ],
)
def test_a_genp_of_another_transaction(
    make_run: "MakeRun", change: dict[str, Any], reason: Reason
) -> None:
    run = make_run(credential="kem")
    run.start()
    finish = run.end(replace(run.ciphertext(), **change).plain())
    assert (finish.outcome.outcome, finish.outcome.reason) == (OutcomeClass.BAD_RESPONSE, reason)


def test_something_else_in_answer_to_the_genm(make_run: "MakeRun", pki: "Pki") -> None:
    run = make_run(credential="kem")
    run.start()
    finish = run.end(run.granted().signed(pki.signer))
    assert finish.outcome.reason == Reason.BODY_TYPE


@pytest.mark.parametrize("status", [2, 3])
def test_a_refusal_of_the_genm(make_run: "MakeRun", pki: "Pki", status: int) -> None:
    body = make_run().peer.error(make_run().peer.status(status, "badRequest"))
    for believed in (True, False):
        run = make_run(credential="kem")
        run.start()
        answer = run.answer(body, BodyType.ERROR)
        finish = run.end(answer.signed(pki.signer) if believed else answer.plain())
        if believed:
            assert finish.outcome.outcome is OutcomeClass.REJECTED
        elif status == 2:
            assert finish.outcome.outcome is OutcomeClass.REJECTED_UNAUTHENTICATED
        else:
            assert finish.outcome.reason == Reason.PROTECTION_MISSING


@pytest.mark.parametrize(
    ("loss", "retried", "outcome"),
    [
        (Loss.CONNECT, True, OutcomeClass.NOT_SENT),
        # whatever became of the genm, no certificate was asked for
        (Loss.CUT, True, OutcomeClass.NOT_SENT),
        (Loss.TIMEOUT, True, OutcomeClass.NOT_SENT),
        (Loss.HTTP_STATUS, False, OutcomeClass.HTTP_ERROR),
    ],
)
def test_a_lost_genm_is_asked_again(
    make_run: "MakeRun", loss: Loss, retried: bool, outcome: OutcomeClass
) -> None:
    run = make_run(credential="kem", profile=Profile(retries=1))
    run.start()
    first = run.message.header.senderNonce
    instruction = run.lose(loss)
    if retried:
        assert isinstance(instruction, WakeAt)
        run.go(TimerFired(run.now))
        assert kemmac.asks_ciphertext(run.message)
        assert run.message.header.senderNonce != first
        instruction = run.lose(loss)
    assert isinstance(instruction, Finish)
    assert instruction.outcome.outcome is outcome


def test_a_credential_that_can_not_be_used(make_run: "MakeRun", pki: "Pki") -> None:
    chain = (pki.certificate("device", pki.kem_keys["ml-kem-768"], pki.root),)
    for key in (b"?", pki.pkcs8(pki.keys["ec"])):
        run = make_run(credential=KemCredential(key, chain, KemMacParameters.choose()))
        run.start()
        finish = run.end(run.ciphertext().plain())
        assert finish.outcome.outcome is OutcomeClass.LOCAL_ERROR
    credential = KemCredential(b"", chain, KemMacParameters.choose())
    with pytest.raises(LocalCmpError, match="without its derived key"):
        Protector(credential, Profile())
    assert "key=" not in repr(credential)


def test_which_certificates_are_of_a_kem(pki: "Pki") -> None:
    assert is_kem_certificate(pki.certificate("device", pki.kem_keys["ml-kem-768"], pki.root))
    assert not is_kem_certificate(pki.device.certificate)
    with pytest.raises(LocalCmpError, match="the certificate can't be used"):
        is_kem_certificate(b"?")
