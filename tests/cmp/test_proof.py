"""What protects requests and answers: which kinds go together, and requests without protection."""

from dataclasses import replace
from typing import TYPE_CHECKING
from unittest.mock import ANY

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import x25519

from bulkcmp.cmp import algorithms, protection
from bulkcmp.cmp.checks import Reason
from bulkcmp.cmp.events import DeriveKey, Finish, KeyDerived, Received, Send, Start
from bulkcmp.cmp.messages import NULL_DN, BodyType
from bulkcmp.cmp.protection import MacParameters
from bulkcmp.cmp.request import Credential, MacCredential, NoCredential, SignatureCredential
from bulkcmp.cmp.trust import Trust, TrustStore
from bulkcmp.model import (
    AcceptProtection,
    Operation,
    Outcome,
    OutcomeClass,
    PasswordMac,
    Profile,
    RsaPadding,
    Secret,
)

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


@pytest.mark.parametrize("accepted", AcceptProtection)
@pytest.mark.parametrize(
    ("request_by", "key", "good"),
    [
        ("mac", "x25519", {EITHER, SAME, MAC}),
        ("mac", "ec", {EITHER, SAME, MAC, SIGNATURE}),
        ("signature", "ec", {EITHER, SAME, SIGNATURE}),
        ("signature", "x25519", set()),
        ("signature, secret", "x25519", {EITHER, MAC}),
        ("none", "x25519", set()),
    ],
)
def test_nothing_is_asked_where_no_answer_could_be_proven(
    make_run: "MakeRun",
    pki: "Pki",
    credentials: dict[str, Credential],
    request_by: str,
    key: str,
    good: set[AcceptProtection],
    accepted: AcceptProtection,
) -> None:
    own = x25519.X25519PrivateKey.from_private_bytes(bytes(range(32)))
    srvcert = pki.certificate("ca", own if key == "x25519" else pki.keys["ec"], pki.root)
    store = TrustStore([pki.root.certificate])
    run = make_run(
        credential=credentials[request_by],
        trust=Trust(store, store, srvcert),
        profile=Profile(accept_protection=accepted),
    )
    if accepted in good:
        assert isinstance(run.start(), Send)
        return
    begun = run.start()
    assert isinstance(begun, Finish)
    assert begun.sends == 0
    assert begun.outcome.outcome is OutcomeClass.LOCAL_ERROR
    cause = "we share no secret" if accepted is MAC else "the key of --srvcert can't sign"
    assert begun.outcome.detail.startswith("no answer could be proven: ")
    assert cause in begun.outcome.detail


def test_a_key_usage_that_is_ignored_keeps_nobody_from_signing(
    make_run: "MakeRun", pki: "Pki"
) -> None:
    agrees = x509.KeyUsage(False, False, False, False, True, False, False, False, False)
    srvcert = pki.certificate("ca", pki.keys["ec"], pki.root, sign=None, extensions=[agrees])
    store = TrustStore([pki.root.certificate])
    for ignores, expected in ((True, Send), (False, Finish)):
        run = make_run(
            credential="signature",
            trust=Trust(store, store, srvcert),
            profile=Profile(ignore_keyusage=ignores),
        )
        assert isinstance(run.start(), expected)


def test_no_ignored_key_usage_lets_a_key_sign_that_can_not(make_run: "MakeRun", pki: "Pki") -> None:
    store = TrustStore([pki.root.certificate])
    for key in (x25519.X25519PrivateKey.generate(), pki.kem_keys["ml-kem-768"]):
        srvcert = pki.certificate("ca", key, pki.root)
        run = make_run(
            credential="signature",
            trust=Trust(store, store, srvcert),
            profile=Profile(ignore_keyusage=True),
        )
        begun = run.start()
        assert isinstance(begun, Finish)
        assert "the key of --srvcert can't sign" in begun.outcome.detail


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
    spoiled = run.granted().keyed(b"another key", peer.peer_mac)
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


# --- PBMAC1 and RSASSA-PSS ----------------------------------------------------------------------


@pytest.mark.parametrize("asks", PasswordMac)
@pytest.mark.parametrize("answers", PasswordMac)
def test_an_enrollment_under_either_password_based_mac(
    make_run: "MakeRun", asks: PasswordMac, answers: PasswordMac
) -> None:
    own, theirs = (
        MacParameters.choose(salt, iterations=100, kind=kind)
        for salt, kind in ((b"x", asks), (b"y", answers))
    )
    run = make_run(credential=MacCredential("device", Secret(b"between us"), own))
    assert run.start() == Send(ANY, "ir", opens=True)
    assert run.stored[0].protection == own.identifier
    key = protection.derive(own.derivation(run.peer.secret))
    protection.check_mac(run.message, own, key)
    run.tell(Received(run.now, run.granted().macced(parameters=theirs), run.now))
    derived = KeyDerived(run.now, protection.derive(theirs.derivation(run.peer.secret)))
    assert run.go(derived) == Send(ANY, "certConf", opens=False)
    protection.check_mac(run.message, own, key)
    finish = run.end(run.confirmed().macced(parameters=theirs))
    assert finish.outcome == Outcome(OutcomeClass.ISSUED, pki_status=0)


def test_resume_goes_on_under_the_recorded_pbmac1(make_run: "MakeRun") -> None:
    run = make_run()
    run.start()
    run.receive(run.granted().macced())
    heavy = MacParameters.choose(b"x", iterations=200_000, kind=PasswordMac.PBMAC1)
    again = make_run(checkpoint=replace(run.stored[-1], protection=heavy.identifier))
    assert again.tell(Start(again.now)) == [DeriveKey(heavy.derivation(again.peer.secret))]


def test_an_enrollment_signed_by_pss(make_run: "MakeRun", pki: "Pki") -> None:
    device, signer = (pki.certify(name, pki.keys["rsa"], pki.root) for name in ("device", "signer"))
    run = make_run(
        credential=SignatureCredential(device.pkcs8, (device.certificate,)),
        profile=Profile(digest="sha512", rsa_padding=RsaPadding.PSS),
        new_key=device.pkcs8,
    )
    run.start()
    ours = algorithms.signature_identifier(device.key, "sha512", RsaPadding.PSS)
    assert protection.algorithm_of(run.message) == ours
    issued = pki.certify("device", pki.keys["rsa"], pki.root).certificate
    theirs = algorithms.Pss("sha256", "sha384", 11)
    assert run.receive(run.granted(issued).signed(signer, scheme=theirs)) == Send(
        ANY, "certConf", opens=False
    )
    finish = run.end(run.confirmed().signed(signer, scheme=RsaPadding.PSS))
    assert finish.outcome == Outcome(OutcomeClass.ISSUED, pki_status=0)
