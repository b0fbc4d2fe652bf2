"""What protects requests and answers: which kinds go together, and requests without protection."""

from typing import TYPE_CHECKING
from unittest.mock import ANY

import pytest

from bulkcmp.cmp.checks import Reason
from bulkcmp.cmp.events import Send
from bulkcmp.cmp.messages import NULL_DN, BodyType
from bulkcmp.cmp.request import Credential, MacCredential, NoCredential, SignatureCredential
from bulkcmp.model import AcceptProtection, Operation, OutcomeClass, Profile

if TYPE_CHECKING:
    from tests.cmp.conftest import Answer, MakeRun, Peer, Pki

EITHER, SAME = AcceptProtection.EITHER, AcceptProtection.SAME
MAC, SIGNATURE = AcceptProtection.MAC, AcceptProtection.SIGNATURE


@pytest.fixture(scope="module")
def credentials(pki: "Pki", peer: "Peer") -> dict[str, Credential]:
    chain = (pki.device.certificate,)
    return {
        "mac": MacCredential("device", peer.secret, peer.own_mac),
        "signature": SignatureCredential(pki.device.pkcs8, chain),
        "signature, secret": SignatureCredential(pki.device.pkcs8, chain, peer.secret),
        "none": NoCredential(),
        "none, secret": NoCredential(secret=peer.secret),
    }


@pytest.mark.parametrize("answer", ["mac", "signature"])
@pytest.mark.parametrize(
    ("request_by", "accepted", "good"),
    [
        ("mac", EITHER, {"mac", "signature"}),
        ("mac", SAME, {"mac"}),
        ("mac", MAC, {"mac"}),
        ("mac", SIGNATURE, {"signature"}),
        ("signature", EITHER, {"signature"}),
        ("signature, secret", EITHER, {"mac", "signature"}),
        ("signature, secret", SAME, {"signature"}),
        ("signature, secret", MAC, {"mac"}),
        ("signature, secret", SIGNATURE, {"signature"}),
        ("none", EITHER, {"signature"}),
        ("none, secret", EITHER, {"mac", "signature"}),
        ("none, secret", MAC, {"mac"}),
        ("none, secret", SIGNATURE, {"signature"}),
    ],
)
def test_which_protection_answers_which(
    make_run: "MakeRun",
    pki: "Pki",
    credentials: dict[str, Credential],
    request_by: str,
    accepted: AcceptProtection,
    good: set[str],
    answer: str,
) -> None:
    def protect(made: "Answer") -> bytes:
        return made.macced() if answer == "mac" else made.signed(pki.signer)

    credential = credentials[request_by]
    run = make_run(Operation.IR, credential, profile=Profile(accept_protection=accepted))
    run.start()
    if answer in good:
        assert run.receive(protect(run.granted())) == Send(ANY, "certConf", opens=False)
        assert run.end(protect(run.confirmed())).outcome.outcome is OutcomeClass.ISSUED
        return
    outcome = run.end(protect(run.granted())).outcome
    assert outcome.outcome is OutcomeClass.BAD_RESPONSE
    no_secret = answer == "mac" and credential.secret is None
    assert outcome.reason == (Reason.NO_SECRET if no_secret else Reason.PROTECTION_KIND)
    assert run.stored[-1].parts[0].certificate is None


def test_a_refusal_by_another_kind_of_protection_is_not_believed(
    make_run: "MakeRun", pki: "Pki", peer: "Peer"
) -> None:
    run = make_run(profile=Profile(accept_protection=SAME))
    run.start()
    refusal = peer.error(peer.status(2, "badRequest"))
    outcome = run.end(run.answer(refusal, BodyType.ERROR).signed(pki.signer)).outcome
    assert outcome.outcome is OutcomeClass.REJECTED_UNAUTHENTICATED
    assert outcome.detail.endswith("the response is signed, and --accept-protection is same")


def test_a_wrong_mac_is_none_whoever_signs_requests(
    make_run: "MakeRun", peer: "Peer", credentials: dict[str, Credential]
) -> None:
    run = make_run(Operation.IR, credentials["signature, secret"])
    run.start()
    spoiled = run.granted().macced(key=b"another key")
    assert run.end(spoiled).outcome.reason == Reason.MAC


def test_every_message_is_unprotected_where_requests_are(
    make_run: "MakeRun", pki: "Pki", peer: "Peer"
) -> None:
    run = make_run(Operation.IR, NoCredential(sender=pki.root.subject, ref="u1"))
    assert run.start() == Send(ANY, "ir", opens=True)
    assert (run.message.protection, run.message.header.protectionAlg) == (None, None)
    assert (run.message.sender, run.message.header.senderKID) == (pki.root.subject, b"u1")
    assert run.message.extra_certs == ()
    run.receive(run.granted().signed(pki.signer))
    assert (run.message.body_type, run.message.protection) == (BodyType.CERT_CONF, None)
    assert run.stored[-1].protection == b""
    # and the answers must be protected all the same
    assert run.end(run.confirmed().plain()).outcome.outcome is OutcomeClass.ISSUED_UNPROVEN


def test_an_unprotected_answer_is_none_to_an_unprotected_request(make_run: "MakeRun") -> None:
    run = make_run(Operation.IR, NoCredential())
    run.start()
    assert run.message.sender == NULL_DN
    assert run.message.header.senderKID is None
    assert run.end(run.granted().plain()).outcome.reason == Reason.PROTECTION_MISSING


def test_an_unprotected_error_counts_under_unprotected_errors_only(
    make_run: "MakeRun", peer: "Peer"
) -> None:
    for believed, expected in (
        (False, OutcomeClass.REJECTED_UNAUTHENTICATED),
        (True, OutcomeClass.REJECTED),
    ):
        run = make_run(Operation.IR, NoCredential(), profile=Profile(unprotected_errors=believed))
        run.start()
        refusal = peer.error(peer.status(2, "badRequest"))
        assert run.end(run.answer(refusal, BodyType.ERROR).plain()).outcome.outcome is expected
