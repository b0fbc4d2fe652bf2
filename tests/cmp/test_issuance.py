"""Certificates that fail a check."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING
from unittest.mock import ANY

import pytest

from bulkcmp.cmp import messages
from bulkcmp.cmp.asn1 import wrap
from bulkcmp.cmp.checks import Reason
from bulkcmp.cmp.events import (
    Finish,
    Send,
)
from bulkcmp.cmp.messages import PKIStatus
from bulkcmp.errors import Loss
from bulkcmp.model import (
    OutcomeClass,
    Profile,
    SubjectCheck,
)
from tests.cmp.ways import (
    error,
)

if TYPE_CHECKING:
    from tests.cmp.conftest import MakeRun, Peer, Pki, Run

CERTIFICATES: "dict[str, tuple[Callable[[Pki], bytes], Reason, tuple[str, ...]]]" = {
    "for another key": (
        lambda pki: pki.certify("device", pki.keys["rsa"], pki.root).certificate,
        Reason.PUBLIC_KEY,
        ("badCertTemplate",),
    ),
    "for another subject": (
        lambda pki: pki.issue("somebody else"),
        Reason.SUBJECT,
        ("badCertTemplate",),
    ),
    "expired": (lambda pki: pki.issue(age=3, days=2), Reason.EXPIRED, ("incorrectData",)),
    "of another CA": (
        lambda pki: pki.certify("device", pki.keys["ec"], pki.stranger).certificate,
        Reason.CHAIN,
        ("signerNotTrusted",),
    ),
    "self-signed": (
        lambda pki: pki.certify("device", pki.keys["ec"]).certificate,
        Reason.CHAIN,
        ("signerNotTrusted",),
    ),
}


@pytest.mark.parametrize("how", CERTIFICATES)
def test_a_certificate_that_fails_a_check_is_stored_and_rejected(
    make_run: "MakeRun", pki: "Pki", how: str
) -> None:
    make, reason, bits = CERTIFICATES[how]
    run = make_run()
    run.start()
    certificate = make(pki)
    assert run.receive(run.granted(certificate).macced()) == Send(ANY, "certConf", opens=False)
    assert run.kept.certificate == certificate
    (status,) = messages.decode_cert_confirm_content(run.message.body)
    assert status.statusInfo.status == PKIStatus.REJECTION
    assert status.statusInfo.statusString == [reason.value]
    assert messages.fail_info_names(status.statusInfo.failInfo) == bits
    outcome = run.end(run.confirmed().macced()).outcome
    assert (outcome.outcome, outcome.reason) == (OutcomeClass.ISSUED_REFUSED, reason)


REFUSED_ENDINGS: "dict[str, Callable[[Run], object]]" = {
    "a lost pkiconf": lambda run: run.lose(Loss.CUT),
    "no connection": lambda run: run.lose(Loss.CONNECT),
    "an error": lambda run: run.receive(error(run, "badRequest").macced()),
    "an unproven error": lambda run: run.receive(error(run).plain()),
    "an unproven pkiconf": lambda run: run.receive(run.confirmed().plain()),
    "certConfirmed": lambda run: run.receive(error(run, "certConfirmed").macced()),
    "nonsense": lambda run: run.receive(b"?"),
}


@pytest.mark.parametrize("ending", REFUSED_ENDINGS)
def test_a_refused_certificate_stays_refused_for_the_reason_that_we_had(
    make_run: "MakeRun", pki: "Pki", ending: str
) -> None:
    run = make_run(profile=Profile(retries=0))
    run.start()
    run.receive(run.granted(pki.issue("somebody else")).macced())
    finish = REFUSED_ENDINGS[ending](run)
    assert isinstance(finish, Finish)
    assert finish.outcome == run.kept.granted
    assert finish.outcome.outcome is OutcomeClass.ISSUED_REFUSED
    assert finish.outcome.reason == Reason.SUBJECT


@pytest.mark.parametrize("certificate", [b"\x30\x00", b"", b"\x30\x03\x02\x01\x05"])
def test_a_malformed_certificate_is_stored_and_can_not_be_confirmed(
    make_run: "MakeRun", peer: "Peer", certificate: bytes
) -> None:
    run = make_run()
    run.start()
    body = peer.cert_rep(peer.response(peer.status(0), wrap(0xA0, certificate)))
    finish = run.end(run.answer(body).macced())
    assert finish.outcome.outcome is OutcomeClass.ISSUED_REFUSED
    assert finish.outcome.reason == Reason.CERTIFICATE_MALFORMED
    assert run.kept.certificate == certificate


@pytest.mark.parametrize(
    ("check", "outcome", "reason"),
    [
        (SubjectCheck.EXACT, OutcomeClass.ISSUED_REFUSED, Reason.SUBJECT),
        (SubjectCheck.RECORD, OutcomeClass.ISSUED_SUBJECT_CHANGED, ""),
    ],
)
def test_another_subject(
    make_run: "MakeRun", pki: "Pki", check: SubjectCheck, outcome: OutcomeClass, reason: str
) -> None:
    run = make_run(profile=Profile(subject_check=check))
    run.start()
    run.receive(run.granted(pki.issue("as registered")).macced())
    end = run.end(run.confirmed().macced()).outcome
    assert (end.outcome, end.reason) == (outcome, reason)


def test_a_subject_left_to_the_ca_is_no_other_subject(make_run: "MakeRun", pki: "Pki") -> None:
    run = make_run(subject=None)
    run.start()
    run.receive(run.granted(pki.issue("whatever the CA likes")).macced())
    assert run.end(run.confirmed().macced()).outcome.outcome is OutcomeClass.ISSUED


def test_capubs_and_extracerts_help_to_build_a_path_but_are_not_trusted(
    make_run: "MakeRun", pki: "Pki", peer: "Peer"
) -> None:
    middle = pki.certify("sub CA", pki.keys["ed25519"], pki.root, ca=True)
    leaf = pki.certify("device", pki.keys["ec"], middle).certificate
    response = peer.response(peer.status(0), wrap(0xA0, leaf))

    run = make_run()
    run.start()
    run.receive(run.answer(peer.cert_rep(response, ca_pubs=(middle.certificate,))).macced())
    assert run.kept.chain == (middle.certificate, pki.root.certificate)

    run = make_run()
    run.start()
    extra = replace(
        run.answer(peer.cert_rep(response)), extra_certs=(middle.certificate, b"\x30\0")
    )
    run.receive(extra.macced())
    assert run.kept.chain == (middle.certificate, pki.root.certificate)

    run = make_run()
    run.start()
    own = pki.certify("device", pki.keys["ec"])
    granted = peer.response(peer.status(0), wrap(0xA0, own.certificate))
    run.receive(run.answer(peer.cert_rep(granted, ca_pubs=(own.certificate,))).macced())
    assert run.kept.granted is not None
    assert run.kept.granted.reason == Reason.CHAIN
