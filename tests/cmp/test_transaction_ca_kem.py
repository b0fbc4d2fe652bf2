"""A CA with a KEM key: our messages bring it a ciphertext until an answer shows that it has it."""

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from bulkcmp.cmp import general, kemmac, messages
from bulkcmp.cmp.asn1 import ObjectIdentifier, encode, wrap
from bulkcmp.cmp.checks import Reason, Verdict
from bulkcmp.cmp.events import TimerFired, WakeAt
from bulkcmp.cmp.kemmac import CaSecret, KemMacParameters
from bulkcmp.cmp.messages import BodyType
from bulkcmp.errors import Loss, RemoteCmpError
from bulkcmp.model import AcceptProtection, Operation, OutcomeClass, Profile

if TYPE_CHECKING:
    from tests.cmp.conftest import MakeRun, Pki, Run

TRANSACTION_ID = b"sixteen octets.."
KINDS = pytest.mark.parametrize("kind", ["ml-kem-768", "ml-kem-1024"])
CREDENTIALS = pytest.mark.parametrize("credential", ["mac", "signature", "kem"])
PARAMETERS = KemMacParameters.choose()


def secret(pki: "Pki", kind: str = "ml-kem-768") -> CaSecret:
    public_key = pki.kem_keys[kind].public_key()
    shared_secret, ciphertext = public_key.encapsulate()
    return CaSecret(kemmac.ciphertext_info(public_key, ciphertext), shared_secret)


def brought(run: "Run", pki: "Pki", kind: str = "ml-kem-768") -> bytes | None:
    """The MAC's key, as the CA makes it of what came with the last message."""
    info = kemmac.ciphertext_brought(run.message)
    if info is None:
        return None
    return PARAMETERS.derive(kemmac.decapsulate(info, pki.kem_keys[kind]), TRANSACTION_ID)


@KINDS
@CREDENTIALS
def test_an_enrollment(make_run: "MakeRun", pki: "Pki", kind: str, credential: str) -> None:
    verdicts = list[Verdict]()
    run = make_run(credential=credential, ca_secret=secret(pki, kind), verdicts=verdicts)
    run.start()
    if credential == "kem":
        assert kemmac.asks_ciphertext(run.message)
        key = brought(run, pki, kind)
        assert key is not None
        # it is taken without proof, so that nothing is known of the CA yet
        run.receive(run.ciphertext().keyed(key, PARAMETERS))
    key = brought(run, pki, kind)
    assert key is not None
    assert run.message.header.recipKID is None
    run.receive(run.granted().keyed(key, PARAMETERS))
    assert run.message.body_type is BodyType.CERT_CONF
    assert brought(run, pki, kind) is None, "the CA has it"
    finish = run.end(run.confirmed().keyed(key, PARAMETERS))
    assert finish.outcome.outcome is OutcomeClass.ISSUED
    told = {one.reason: one.what for one in verdicts}
    assert told[Reason.PROTECTION_ALGORITHM] == "KEM-based MAC, hkdf sha256, hmac sha256"
    assert told[Reason.MAC] == "by the secret that was encapsulated for --srvcert"


def test_it_stands_beside_what_else_a_request_says(make_run: "MakeRun", pki: "Pki") -> None:
    run = make_run(ca_secret=secret(pki), cert_profile="p", profile=Profile(implicit_confirm=True))
    run.start()
    assert run.message.info(messages.IT_IMPLICIT_CONFIRM) is not None
    assert run.message.info(messages.IT_CERT_PROFILE) is not None
    assert brought(run, pki) is not None


def test_it_goes_again_until_the_ca_has_it(make_run: "MakeRun", pki: "Pki") -> None:
    run = make_run(ca_secret=secret(pki), profile=Profile(retries=2))
    run.start()
    first = kemmac.ciphertext_brought(run.message)
    assert isinstance(run.lose(Loss.CONNECT), WakeAt)
    run.go(TimerFired(run.now + 100))
    again = kemmac.ciphertext_brought(run.message)
    assert first is not None
    assert again is not None
    assert encode(first) == encode(again)
    # an answer by another secret does not show that
    run.receive(run.answer(run.peer.waiting()).macced())
    run.go(TimerFired(run.now + 100))
    assert run.message.body_type is BodyType.POLL_REQ
    key = brought(run, pki)
    assert key is not None
    run.receive(run.granted().keyed(key, PARAMETERS))
    assert brought(run, pki) is None


def test_another_session_brings_another(make_run: "MakeRun", pki: "Pki") -> None:
    """The secret is in no journal."""
    first = make_run(ca_secret=secret(pki))
    first.start()
    key = brought(first, pki)
    assert key is not None
    first.receive(first.answer(first.peer.waiting()).keyed(key, PARAMETERS))
    run = make_run(ca_secret=secret(pki), checkpoint=first.stored[-1])
    assert isinstance(run.start(), WakeAt)
    run.go(TimerFired(run.now))
    other = brought(run, pki)
    assert other not in (None, key)
    assert other is not None
    # with the old one the CA would be somebody who has our journal at most
    assert run.end(run.granted().keyed(key, PARAMETERS)).outcome.reason == Reason.MAC


@pytest.mark.parametrize("credential", ["mac", "signature", "kem"])
@pytest.mark.parametrize("accepted", AcceptProtection)
def test_which_answers_are_good(
    make_run: "MakeRun", pki: "Pki", credential: str, accepted: AcceptProtection
) -> None:
    run = make_run(
        credential=credential, ca_secret=secret(pki), profile=Profile(accept_protection=accepted)
    )
    run.start()
    if credential == "kem":
        run.receive(run.ciphertext().plain())
    key = brought(run, pki)
    assert key is not None
    answer = run.granted().keyed(key, PARAMETERS)
    refused = accepted is AcceptProtection.SIGNATURE or (
        accepted is AcceptProtection.SAME and credential == "signature"
    )
    if refused:
        assert run.end(answer).outcome.reason == Reason.PROTECTION_KIND
    else:
        run.receive(answer)
        assert run.message.body_type is BodyType.CERT_CONF


def test_a_refusal_is_believed_under_the_mac_only(make_run: "MakeRun", pki: "Pki") -> None:
    for good in (True, False):
        run = make_run(Operation.IR, "signature", ca_secret=secret(pki))
        run.start()
        key = brought(run, pki) if good else b"another"
        assert key is not None
        refusal = run.peer.error(run.peer.status(2, "badRequest"))
        outcome = run.end(run.answer(refusal, BodyType.ERROR).keyed(key, PARAMETERS)).outcome
        believed, not_believed = OutcomeClass.REJECTED, OutcomeClass.REJECTED_UNAUTHENTICATED
        assert outcome.outcome is (believed if good else not_believed)


def test_no_such_answer_where_nothing_was_encapsulated(make_run: "MakeRun", pki: "Pki") -> None:
    run = make_run(Operation.IR, "signature")
    run.start()
    assert brought(run, pki) is None
    outcome = run.end(run.granted().keyed(b"any", PARAMETERS)).outcome
    assert outcome.reason == Reason.NO_SECRET
    assert outcome.detail.endswith("but we encapsulated nothing for the server")


def test_a_ciphertext_without_a_value(make_run: "MakeRun", pki: "Pki") -> None:
    run = make_run(Operation.IR, "signature", ca_secret=secret(pki))
    run.start()
    asked = wrap(0x30, encode(ObjectIdentifier(general.KEM_CIPHERTEXT_INFO)))
    whole = messages.decode_message(replace(run.granted(), general_info=(asked,)).plain())
    with pytest.raises(RemoteCmpError, match="without a value"):
        kemmac.ciphertext_brought(whole)
    assert "secret=" not in repr(secret(pki))
