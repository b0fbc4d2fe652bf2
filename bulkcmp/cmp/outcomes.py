"""How a CA's no, and a lost answer, become an outcome: the one table of classes."""

from dataclasses import replace
from typing import Final

from bulkcmp.cmp.asn1 import decode
from bulkcmp.cmp.checks import Reason
from bulkcmp.cmp.messages import (
    BodyType,
    CertRepMessage,
    ErrorMsgContent,
    PKIMessage,
    PKIStatus,
    PKIStatusInfo,
    RevRepContent,
    fail_info_names,
)
from bulkcmp.errors import Loss, RemoteCmpError
from bulkcmp.model import Operation, Outcome, OutcomeClass, RevocationReason

UNAUTHENTICATED: Final = "(unauthenticated) "

STOPPED: Final = "stopped"
"""The reason of an outcome that the user's stop, or a hold of new transactions, led to."""

_CREDENTIAL_BITS: Final = frozenset({"badMessageCheck", "wrongIntegrity", "signerNotTrusted"})
_CREDENTIAL_TEXTS: Final = (
    # EJBCA says badRequest or incorrectData for nearly everything: its text alone tells
    "authentication failed for message",
    "wrong username or password",
    "user with invalid password",
)

_NEVER_PROCESSED: Final = frozenset(
    {Loss.CONNECT, Loss.TLS, Loss.NOT_SENT, Loss.NO_LAYER, Loss.BUSY}
)
"""Losses after which the server has certainly not acted on the request."""

_LOSS_CLASSES: Final = {
    Loss.HTTP_STATUS: OutcomeClass.HTTP_ERROR,
    Loss.NOT_CMP: OutcomeClass.NOT_CMP,
}


def was_processed(loss: Loss) -> bool:
    """Whether the server may have acted on a request that was lost in this way."""
    return loss not in _NEVER_PROCESSED


def unknown(operation: Operation) -> OutcomeClass:
    """What becomes of a request that left, and whose answer is not known."""
    # a question changes nothing at the CA
    return OutcomeClass.UNANSWERED if operation is Operation.GENM else OutcomeClass.UNKNOWN


def lost(operation: Operation, loss: Loss, reason: str, detail: str) -> Outcome:
    """The outcome of a first request that got no CMP answer."""
    if not was_processed(loss):
        return Outcome(OutcomeClass.NOT_SENT, reason, detail)
    return Outcome(_LOSS_CLASSES.get(loss) or unknown(operation), reason, detail)


def refused(status: PKIStatusInfo, *, authenticated: bool, details: list[str]) -> Outcome:
    """The outcome of a refusal by the CA, or by somebody who may not be the CA.

    Args:
        status: of the ip/cp/kup/rp or of the error message.
        authenticated: the message's protection was good, or the profile believes it without.
        details: errorDetails of an error message.
    """
    names = fail_info_names(status.failInfo)
    text = " / ".join([*(status.statusString or ()), *details])
    lower = text.lower()
    if _CREDENTIAL_BITS.intersection(names) or any(known in lower for known in _CREDENTIAL_TEXTS):
        kind = OutcomeClass.CREDENTIALS_REFUSED
    elif authenticated:
        kind = OutcomeClass.REJECTED
    else:
        kind = OutcomeClass.REJECTED_UNAUTHENTICATED
    label = "" if authenticated else UNAUTHENTICATED
    detail = f"{label}{text or 'no text'} ({', '.join(names) or 'no failInfo'})"
    return Outcome(
        kind,
        ", ".join(names),
        detail,
        pki_status=status.status,
        fail_info=names,
        status_text=label + text if text or label else "",
    )


def refusal_in(message: PKIMessage) -> tuple[PKIStatusInfo, list[str]] | None:
    """The status and errorDetails of a response that is a refusal; None where it is none, or can't
    be decoded."""
    status: PKIStatusInfo | None = None
    try:
        if message.body_type is BodyType.ERROR:
            error = decode(ErrorMsgContent, message.body)
            waiting = error.pKIStatusInfo.status == PKIStatus.WAITING
            return None if waiting else (error.pKIStatusInfo, error.errorDetails or [])
        if message.body_type in (BodyType.IP, BodyType.CP, BodyType.KUP):
            responses = decode(CertRepMessage, message.body).response
            status = responses[0].status if len(responses) == 1 else None
        elif message.body_type is BodyType.RP:
            statuses = decode(RevRepContent, message.body).status
            status = statuses[0] if len(statuses) == 1 else None
    except RemoteCmpError:
        return None
    if status is None or status.status != PKIStatus.REJECTION:
        return None
    return status, []


GRANTED: Final = frozenset({PKIStatus.ACCEPTED, PKIStatus.GRANTED_WITH_MODS})
"""Statuses under which an ip/cp/kup carries a certificate (RFC 9810, 5.3.4)."""

REVOKED: Final = frozenset(
    {
        PKIStatus.ACCEPTED,
        PKIStatus.GRANTED_WITH_MODS,
        PKIStatus.REVOCATION_WARNING,
        PKIStatus.REVOCATION_NOTIFICATION,
    }
)
"""Statuses under which an rp says that the certificate is, or is about to be, revoked."""

_REVOKED_BEFORE: Final = "certRevoked"


def granted(kind: OutcomeClass, status: PKIStatusInfo) -> Outcome:
    """The outcome of what the CA granted, with what its status says."""
    text = " / ".join(status.statusString or ())
    return Outcome(
        kind,
        pki_status=status.status,
        fail_info=fail_info_names(status.failInfo),
        status_text=text,
    )


def revoked(
    status: PKIStatusInfo, reason: RevocationReason | None, *, repeats: bool, accepts: bool
) -> Outcome:
    """The outcome of one certificate's revocation, by a status of a proven rp.

    Args:
        reason: that was given; removeFromCRL is not done where the certificate is revoked already.
        repeats: we may have revoked it before.
        accepts: whoever revoked it before, it is what was asked for.
    """
    if status.status == PKIStatus.REJECTION:
        rejected = refused(status, authenticated=True, details=[])
        may_be_done = (repeats or accepts) and reason is not RevocationReason.REMOVE_FROM_CRL
        if may_be_done and rejected.fail_info == (_REVOKED_BEFORE,):
            by_us = ": by our earlier request, whose answer is not known" if repeats else ""
            return replace(
                rejected, outcome=OutcomeClass.REVOKED, reason="", detail=f"revoked already{by_us}"
            )
        return rejected
    if status.status not in REVOKED:
        what = f"rp with PKIStatus {status.status}"
        return Outcome(OutcomeClass.BAD_RESPONSE, Reason.STATUS.value, what)
    return granted(OutcomeClass.REVOKED, status)


UNANSWERED: Final = Outcome(
    OutcomeClass.BAD_RESPONSE,
    Reason.RESPONSE_MISSING.value,
    "the answer says nothing of this request",
)
"""The outcome of a request that is left out of an answer to several."""
