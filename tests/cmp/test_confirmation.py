"""Confirmation, asked for or implicit."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from unittest.mock import ANY

import pytest

from bulkcmp.cmp import messages
from bulkcmp.cmp.asn1 import encode, wrap
from bulkcmp.cmp.checks import Reason
from bulkcmp.cmp.events import (
    Finish,
    Send,
    TimerFired,
    WakeAt,
)
from bulkcmp.cmp.trust import Trust, TrustStore
from bulkcmp.errors import Loss
from bulkcmp.model import (
    Outcome,
    OutcomeClass,
    Profile,
    Secret,
    Timings,
)
from tests.cmp.ways import (
    IMPLICIT,
    error,
)

if TYPE_CHECKING:
    from tests.cmp.conftest import MakeRun, Pki, Run

OTHER_SECRET = Secret(b"of somebody else")


# --- implicit confirmation ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "granted", "confirms"),
    [(True, True, False), (True, False, True), (False, True, True), (False, False, True)],
)
def test_certconf_is_left_out_only_where_that_was_asked_and_granted(
    make_run: "MakeRun", *, asked: bool, granted: bool, confirms: bool
) -> None:
    run = make_run(profile=Profile(implicit_confirm=asked))
    run.start()
    assert (run.message.info(messages.IT_IMPLICIT_CONFIRM) is not None) == asked
    other = wrap(0x30, encode(messages.IT_CONFIRM_WAIT_TIME))
    info = (other, IMPLICIT) if granted else (other,)
    result = run.receive(replace(run.granted(), general_info=info).macced())
    if confirms:
        assert result == Send(ANY, "certConf", opens=False)
        assert run.message.header.generalInfo is None
    else:
        assert result == Finish(
            (Outcome(OutcomeClass.ISSUED, pki_status=0),), ANY, Timings(0.5, 0.5), sends=1
        )


# --- confirmation -------------------------------------------------------------------------------


@dataclass
class Confirmation:
    """An answer to certConf, and the end of its transaction."""

    response: "Callable[[Run], bytes]"
    outcome: OutcomeClass
    reason: str
    profile: Profile = field(default_factory=Profile)


TOLERANT = Profile(tolerate_pkiconf=True)

CONFIRMATIONS: dict[str, Confirmation] = {
    "a good pkiconf": Confirmation(lambda run: run.confirmed().macced(), OutcomeClass.ISSUED, ""),
    "unprotected pkiconf": Confirmation(
        lambda run: run.confirmed().plain(),
        OutcomeClass.ISSUED_UNPROVEN,
        Reason.PROTECTION_MISSING,
    ),
    "pkiconf under another secret": Confirmation(
        lambda run: run.confirmed().macced(OTHER_SECRET),
        OutcomeClass.ISSUED_UNPROVEN,
        Reason.MAC,
    ),
    "unprotected pkiconf, tolerated": Confirmation(
        lambda run: run.confirmed().plain(), OutcomeClass.ISSUED, "", TOLERANT
    ),
    "pkiconf under another secret, tolerated": Confirmation(
        lambda run: run.confirmed().macced(OTHER_SECRET), OutcomeClass.ISSUED, "", TOLERANT
    ),
    "unprotected pkiconf of another transaction is not what is tolerated": Confirmation(
        lambda run: replace(run.confirmed(), transaction_id=b"another").plain(),
        OutcomeClass.ISSUED_UNPROVEN,
        Reason.PROTECTION_MISSING,
        TOLERANT,
    ),
    "pkiconf with another nonce is not what is tolerated": Confirmation(
        lambda run: replace(run.confirmed(), recip_nonce=b"").macced(),
        OutcomeClass.ISSUED_UNPROVEN,
        Reason.RECIP_NONCE,
        TOLERANT,
    ),
    "not CMP": Confirmation(lambda run: b"?", OutcomeClass.ISSUED_UNPROVEN, Reason.MALFORMED),
    "another message": Confirmation(
        lambda run: run.granted().macced(), OutcomeClass.ISSUED_UNPROVEN, Reason.BODY_TYPE
    ),
    "another message, unprotected": Confirmation(
        lambda run: run.granted().plain(),
        OutcomeClass.ISSUED_UNPROVEN,
        Reason.PROTECTION_MISSING,
    ),
    "error": Confirmation(
        lambda run: error(run, "badCertId").macced(),
        OutcomeClass.ISSUED_CONFIRMATION_REFUSED,
        "badCertId",
    ),
    "unprotected error": Confirmation(
        lambda run: error(run, "badCertId").plain(),
        OutcomeClass.ISSUED_CONFIRMATION_UNKNOWN,
        "badCertId",
    ),
    "unprotected error about our protection": Confirmation(
        lambda run: error(run, "badMessageCheck").plain(),
        OutcomeClass.ISSUED_CONFIRMATION_UNKNOWN,
        "badMessageCheck",
    ),
    "unprotected error, believed": Confirmation(
        lambda run: error(run, "badCertId").plain(),
        OutcomeClass.ISSUED_CONFIRMATION_REFUSED,
        "badCertId",
        Profile(unprotected_errors=True),
    ),
    "certConfirmed": Confirmation(
        lambda run: error(run, "certConfirmed").macced(), OutcomeClass.ISSUED, ""
    ),
    "certConfirmed that nobody proved": Confirmation(
        lambda run: error(run, "certConfirmed").plain(),
        OutcomeClass.ISSUED_CONFIRMATION_UNKNOWN,
        "certConfirmed",
    ),
}


@pytest.mark.parametrize("case", CONFIRMATIONS.values(), ids=CONFIRMATIONS)
def test_the_answer_to_certconf(make_run: "MakeRun", case: Confirmation) -> None:
    run = make_run(profile=case.profile)
    run.start()
    run.receive(run.granted().macced())
    finish = run.end(case.response(run))
    assert (finish.outcome.outcome, finish.outcome.reason) == (case.outcome, case.reason)
    assert finish.checkpoint is not None
    assert finish.checkpoint.parts[0].certificate == run.kept.certificate
    assert finish.timings == Timings(service=1.0, request=0.5, confirm=0.5)


def test_a_refusal_after_a_lost_pkiconf_proves_nothing(make_run: "MakeRun") -> None:
    run = make_run()
    run.start()
    run.receive(run.granted().macced())
    assert run.lose(Loss.CUT) == WakeAt(run.now + 0.5)
    run.go(TimerFired(run.now))
    finish = run.end(error(run, "badRequest").macced())
    assert finish.outcome.outcome is OutcomeClass.ISSUED_CONFIRMATION_UNKNOWN
    assert finish.outcome.fail_info == ("badRequest",)


@pytest.mark.parametrize(
    ("kind", "hashed", "pvno"),
    [
        ("rsa", None, 2),
        ("ec", None, 2),
        ("ed25519", "sha512", 3),
        ("ed448", "shake256", 3),
        ("ml-dsa-65", "sha512", 3),
    ],
)
def test_certconf_names_the_hash_where_the_signature_names_none(
    make_run: "MakeRun", pki: "Pki", kind: str, hashed: str | None, pvno: int
) -> None:
    ca = pki.certify("CA", pki.keys[kind], ca=True)
    store = TrustStore([ca.certificate])
    run = make_run(trust=Trust(store, store))
    run.start()
    assert run.message.header.pvno == 2
    run.receive(run.granted(pki.certify("device", pki.keys["ec"], ca).certificate).macced())
    assert run.message.header.pvno == pvno
    (status,) = messages.decode_cert_confirm_content(run.message.body)
    assert status.statusInfo is None
    assert (status.hashAlg is None) == (hashed is None)
    assert len(status.certHash) == (32 if hashed is None else 64)
