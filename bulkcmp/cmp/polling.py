"""What waits at the CA, and when it is asked for again (RFC 9810, 5.3.22; RFC 9483, 4.4).

A part waits for itself, polled for by its certReqId, or an answer waits as a whole, polled for by
one certReqId that stands for it.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from bulkcmp.cmp import checks
from bulkcmp.cmp.asn1 import SEQUENCE, integer, wrap
from bulkcmp.cmp.checks import CheckError, Reason, Verdicts
from bulkcmp.cmp.events import Checkpoint, Part, Phase
from bulkcmp.cmp.messages import PollRep, decode_poll_rep_content
from bulkcmp.cmp.request import CERT_REQ_ID_WHOLE

_LEAST_CHECK_AFTER: Final = 1
"""Seconds between two polls, also where the server says 0."""


def check_at(now: float, check_after: int = 0, *, polled: bool) -> float:
    """When to poll next, Unix time in seconds.

    Args:
        check_after: seconds that the server named; 0 where it named none.
        polled: it was polled already; the first poll may come at once.
    """
    return now + max(check_after, _LEAST_CHECK_AFTER if polled else 0)


def next_poll(checkpoint: Checkpoint) -> float | None:
    """Unix time of the next poll; None where nothing waits."""
    return min((part.check_at for part in checkpoint.parts if part.waits), default=None)


def due(checkpoint: Checkpoint, now: float) -> tuple[int, ...]:
    """The certReqIds to poll for, by now: one for all where the answer as a whole waits."""
    parts = (part for part in checkpoint.parts if part.waits and part.check_at <= now)
    return tuple(dict.fromkeys(_poll_id(checkpoint, part) for part in parts))


def _poll_id(checkpoint: Checkpoint, part: Part) -> int:
    return CERT_REQ_ID_WHOLE if checkpoint.whole_waits else part.cert_req_id


# PollReqContent ::= SEQUENCE OF SEQUENCE {
#     certReqId  INTEGER }
def poll_req(polled: Sequence[int]) -> bytes:
    """DER PollReqContent."""
    return wrap(SEQUENCE, *(wrap(SEQUENCE, integer(cert_req_id)) for cert_req_id in polled))


def postponed(
    checkpoint: Checkpoint, poll_rep: bytes, polled: Sequence[int], now: float, verdicts: Verdicts
) -> tuple[Part, ...]:
    """The parts after a pollRep.

    Args:
        poll_rep, polled, verdicts: as of `check_after_of`.
        now: Unix time, seconds.

    Raises:
        CheckError, RemoteCmpError: as of `check_after_of`.
    """
    check_after = check_after_of(poll_rep, polled, verdicts)

    def later(part: Part) -> Part:
        number = _poll_id(checkpoint, part)
        if not part.waits or number not in polled:
            return part
        return replace(part, check_at=check_at(now, check_after.get(number, 0), polled=True))

    return tuple(map(later, checkpoint.parts))


def check_after_of(poll_rep: bytes, polled: Sequence[int], verdicts: Verdicts) -> dict[int, int]:
    """Seconds to wait for each certReqId that a pollRep names.

    Args:
        poll_rep: DER PollRepContent.
        polled: the certReqIds that were polled for.
        verdicts: are told of each check.

    Raises:
        CheckError: it does not answer these, or has a negative checkAfter.
        RemoteCmpError: it can't be decoded.
    """
    replies: list[PollRep] = decode_poll_rep_content(poll_rep)
    if not 0 < len(replies) <= len(polled):
        raise CheckError(Reason.RESPONSE_COUNT, f"pollRep with {len(replies)} entries")
    check_after: dict[int, int] = {}
    for reply in replies:
        if reply.certReqId not in polled:
            raise checks.wrong_cert_req_id(reply.certReqId, polled)
        if reply.checkAfter < 0:
            raise CheckError(
                Reason.CHECK_AFTER, f"pollRep with a checkAfter of {reply.checkAfter} s"
            )
        check_after[reply.certReqId] = reply.checkAfter
        verdicts.passed(Reason.CERT_REQ_ID)
        verdicts.passed(Reason.CHECK_AFTER)
    return check_after


def whole(parts: Sequence[Part], at: float) -> tuple[Part, ...]:
    """Nothing of the answer is there yet: all that is open waits until `at`."""
    return tuple(
        replace(part, phase=Phase.WAITING, check_at=at) if part.is_open else part for part in parts
    )
