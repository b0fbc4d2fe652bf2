"""A witness hears of every check of an answer, in order, and of why it failed."""

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from bulkcmp.cmp import checks
from bulkcmp.cmp.asn1 import explicit
from bulkcmp.cmp.checks import Judgement, Reason, Verdict
from bulkcmp.cmp.events import TimerFired
from bulkcmp.cmp.messages import BodyType, PKIStatus
from bulkcmp.cmp.trust import Trust
from bulkcmp.model import Operation, OutcomeClass, Profile, SubjectCheck

if TYPE_CHECKING:
    from tests.cmp.conftest import MakeRun, Peer, Pki

PASSED, FAILED, TOLERATED = Judgement

HEADER = [Reason.VERSION, Reason.TRANSACTION_ID, Reason.RECIP_NONCE]
BY_MAC = [
    Reason.MALFORMED,
    Reason.PROTECTION_MISSING,
    Reason.PROTECTION_ALGORITHM,
    Reason.PROTECTION_WEAK,
    Reason.MAC,
    *HEADER,
]
BY_SIGNATURE = [
    Reason.MALFORMED,
    Reason.PROTECTION_MISSING,
    Reason.SIGNATURE,
    Reason.SIGNER_NOT_TRUSTED,
    Reason.PROTECTION_WEAK,
    Reason.SIGNER_KEY_USAGE,
    Reason.SENDER,
    *HEADER,
]
CERTIFICATE = [
    Reason.BODY_TYPE,
    Reason.RESPONSE_COUNT,
    Reason.CERT_REQ_ID,
    Reason.STATUS,
    Reason.CERTIFICATE_MALFORMED,
    Reason.PUBLIC_KEY,
    Reason.SUBJECT,
    Reason.EXPIRED,
    Reason.CHAIN,
    Reason.CERTIFICATE_WEAK,
]


def told(verdicts: list[Verdict]) -> list[Reason]:
    """Which checks passed; all of those that were made."""
    assert {verdict.judgement for verdict in verdicts} == {PASSED}
    reasons = [verdict.reason for verdict in verdicts]
    verdicts.clear()
    return reasons


def test_all_that_a_good_transaction_passes_under_a_mac(make_run: "MakeRun") -> None:
    verdicts: list[Verdict] = []
    run = make_run(verdicts=verdicts)
    run.start()
    assert verdicts == []
    run.receive(run.granted().macced())
    assert verdicts[2].what == "pbm, 100 iterations of sha256, hmac sha1"
    assert told(verdicts) == [*BY_MAC, *CERTIFICATE]
    run.end(run.confirmed().macced())
    assert told(verdicts) == [*BY_MAC, Reason.BODY_TYPE]


def test_all_that_a_good_transaction_passes_under_a_signature(
    make_run: "MakeRun", pki: "Pki"
) -> None:
    verdicts: list[Verdict] = []
    profile = Profile(expect_sender=pki.signer.subject)
    run = make_run(credential="signature", profile=profile, verdicts=verdicts)
    run.start()
    run.receive(run.granted().signed(pki.signer))
    assert [verdict.what for verdict in verdicts[2:7]] == [
        "by CN=signer",
        "CN=root",
        "",
        "it may sign",
        "CN=signer, as the signer",
    ]
    assert told(verdicts) == [*BY_SIGNATURE, Reason.SENDER, *CERTIFICATE]


def test_a_pinned_signer_has_no_path(make_run: "MakeRun", pki: "Pki") -> None:
    verdicts: list[Verdict] = []
    trust = pki.trust()
    pinned = Trust(trust.signers, trust.issuers, pki.signer.certificate)
    run = make_run(credential="signature", trust=pinned, verdicts=verdicts)
    run.start()
    run.receive(run.granted().signed(pki.signer))
    assert verdicts[3] == Verdict(Reason.SIGNER_NOT_TRUSTED, PASSED, "it is --srvcert")


def test_an_anchor_needs_no_path(make_run: "MakeRun", pki: "Pki") -> None:
    verdicts: list[Verdict] = []
    run = make_run(credential="signature", verdicts=verdicts)
    run.start()
    answer = replace(run.granted(), sender=explicit(4, pki.root.subject))
    run.receive(answer.signed(pki.root))
    assert verdicts[3] == Verdict(Reason.SIGNER_NOT_TRUSTED, PASSED, "itself an anchor")


def test_polling(make_run: "MakeRun", peer: "Peer") -> None:
    verdicts: list[Verdict] = []
    run = make_run(verdicts=verdicts)
    run.start()
    run.receive(run.answer(peer.waiting()).macced())
    assert told(verdicts)[-2:] == [Reason.RESPONSE_COUNT, Reason.CERT_REQ_ID]
    run.go(TimerFired(run.now))
    run.receive(run.answer(peer.poll_rep(1), BodyType.POLL_REP).macced())
    assert told(verdicts)[-3:] == [Reason.BODY_TYPE, Reason.CERT_REQ_ID, Reason.CHECK_AFTER]


def test_revocation(make_run: "MakeRun", peer: "Peer") -> None:
    verdicts: list[Verdict] = []
    run = make_run(Operation.RR, verdicts=verdicts)
    run.start()
    run.end(run.answer(peer.rev_rep(peer.status(PKIStatus.ACCEPTED))).macced())
    assert told(verdicts) == [*BY_MAC, Reason.BODY_TYPE, Reason.RESPONSE_COUNT]


@pytest.mark.parametrize(
    ("changes", "reason", "before"),
    [
        ({"pvno": 1}, Reason.VERSION, BY_MAC[:5]),
        ({"transaction_id": b"another"}, Reason.TRANSACTION_ID, BY_MAC[:6]),
        ({"recip_nonce": b"another"}, Reason.RECIP_NONCE, BY_MAC[:7]),
        ({"body_type": BodyType.CP}, Reason.BODY_TYPE, BY_MAC),
        ({"body": b"\x30\x00"}, Reason.MALFORMED, [*BY_MAC, Reason.BODY_TYPE]),
    ],
)
def test_what_fails_comes_last_and_once(
    make_run: "MakeRun", changes: dict[str, object], reason: Reason, before: list[Reason]
) -> None:
    verdicts: list[Verdict] = []
    run = make_run(verdicts=verdicts)
    run.start()
    finish = run.end(replace(run.granted(), **changes).macced())  # type: ignore[arg-type]  # any field by its name
    last = verdicts.pop()
    assert (last.reason, last.judgement) == (reason, FAILED)
    assert last.what == finish.outcome.detail
    assert told(verdicts) == before


def test_what_is_no_message_fails_at_once(make_run: "MakeRun") -> None:
    verdicts: list[Verdict] = []
    run = make_run(verdicts=verdicts)
    run.start()
    run.end(b"no message")
    (only,) = verdicts
    assert (only.reason, only.judgement) == (Reason.MALFORMED, FAILED)


def test_an_unprotected_answer_fails_with_a_refusal_too(make_run: "MakeRun", peer: "Peer") -> None:
    verdicts: list[Verdict] = []
    run = make_run(verdicts=verdicts)
    run.start()
    run.end(run.answer(peer.error(peer.status(2, "badRequest")), BodyType.ERROR).plain())
    assert [(one.reason, one.judgement) for one in verdicts] == [
        (Reason.MALFORMED, PASSED),
        (Reason.PROTECTION_MISSING, FAILED),
    ]


def test_a_certificate_that_is_refused(make_run: "MakeRun", pki: "Pki") -> None:
    verdicts: list[Verdict] = []
    run = make_run(verdicts=verdicts)
    run.start()
    run.receive(run.granted(pki.issue("another")).macced())
    last = verdicts[-1]
    assert (last.reason, last.judgement) == (Reason.SUBJECT, FAILED)
    assert last.hint is not None
    assert "--subject-check record" in last.hint


def test_a_response_without_a_certificate(make_run: "MakeRun", peer: "Peer") -> None:
    verdicts: list[Verdict] = []
    run = make_run(verdicts=verdicts)
    run.start()
    run.end(run.answer(peer.cert_rep(peer.response(peer.status(0)))).macced())
    assert [(one.reason, one.judgement) for one in verdicts[-2:]] == [
        (Reason.STATUS, PASSED),
        (Reason.CERTIFICATE_MISSING, FAILED),
    ]


def test_what_the_profile_lets_pass(make_run: "MakeRun", peer: "Peer", pki: "Pki") -> None:
    def tolerated(verdicts: list[Verdict]) -> list[Verdict]:
        assert FAILED not in {one.judgement for one in verdicts}
        return [one for one in verdicts if one.judgement is TOLERATED]

    verdicts: list[Verdict] = []
    profile = Profile(unprotected_errors=True)
    run = make_run(profile=profile, verdicts=verdicts)
    run.start()
    refusal = peer.error(peer.status(2, "badRequest"))
    finish = run.end(run.answer(refusal, BodyType.ERROR).plain())
    assert finish.outcome.outcome is OutcomeClass.REJECTED
    (one,) = tolerated(verdicts)
    assert one.reason is Reason.PROTECTION_MISSING
    assert one.what.endswith("(--unprotected-errors)")

    verdicts = []
    profile = Profile(tolerate_pkiconf=True, subject_check=SubjectCheck.RECORD)
    run = make_run(profile=profile, verdicts=verdicts)
    run.start()
    run.receive(run.granted(pki.issue("another")).macced())
    run.end(run.confirmed().plain())
    assert [one.reason for one in tolerated(verdicts)] == [
        Reason.SUBJECT,
        Reason.PROTECTION_MISSING,
    ]

    verdicts = []
    signer = pki.certify("signer", pki.keys["ec"], pki.root, sign=False)
    run = make_run(credential="signature", profile=Profile(ignore_keyusage=True), verdicts=verdicts)
    run.start()
    run.receive(run.granted().signed(signer))
    assert [one.reason for one in tolerated(verdicts)] == [Reason.SIGNER_KEY_USAGE]


def test_a_certificate_of_whose_key_and_subject_nothing_was_asked(pki: "Pki") -> None:
    verdicts: list[Verdict] = []
    trust = pki.trust()
    checks.issued(
        pki.issue(),
        public_key=None,
        subject=None,
        subject_check=SubjectCheck.EXACT,
        trust=trust,
        extra=(),
        at=pki.at(),
        allow_weak=False,
        witness=verdicts.append,
    )
    assert told(verdicts) == [
        Reason.CERTIFICATE_MALFORMED, Reason.EXPIRED, Reason.CHAIN, Reason.CERTIFICATE_WEAK,
    ]  # fmt: skip
