"""The header of a request: what every message must have (RFC 9483, 3.1 and 3.5)."""

import datetime as dt
from collections.abc import Collection
from typing import Final

from bulkcmp.cmp import kemmac, protection
from bulkcmp.cmp.asn1 import encode, tag
from bulkcmp.cmp.messages import (
    IT_CONFIRM_WAIT_TIME,
    IT_IMPLICIT_CONFIRM,
    NULL_DN,
    PVNO_CMP2000,
    PVNO_CMP2021,
    BodyType,
    PKIHeader,
    PKIMessage,
)
from bulkcmp.testca.aliases import Behaviour
from bulkcmp.testca.enrollment import REQUESTS, common_name
from bulkcmp.testca.name import strictly
from bulkcmp.testca.refusal import RefusedError
from bulkcmp.testca.response import NONCE_OCTETS

_TRANSACTION_ID_OCTETS: Final = 16
_NULL: Final = b"\x05\x00"
_GENERALIZED_TIME: Final = 0x18

FOLLOWING: Final = frozenset({BodyType.CERT_CONF, BodyType.POLL_REQ, BodyType.ERROR})
"""The message types that go on with a transaction; all others begin one."""


def check_header(
    message: PKIMessage, behaviour: Behaviour, names: Collection[bytes], now: dt.datetime
) -> None:
    """Check what every request must have.

    Args:
        names: DER Names of the CA.
        now: the time, aware.

    Raises:
        RefusedError: a field is absent or has a value that it may not have.
    """
    header = message.header
    if header.pvno not in (PVNO_CMP2000, PVNO_CMP2021):
        raise RefusedError("unsupportedVersion", f"pvno {header.pvno}; 2 and 3 are spoken here")
    _check_transaction(message, strict=behaviour.strict)
    _check_time(header, behaviour, now)
    _check_general_info(message)
    if behaviour.strict:
        if message.recipient not in (*names, NULL_DN):
            raise RefusedError("wrongAuthority", "the recipient is not this CA")
        _check_mac(message)


def _check_transaction(message: PKIMessage, *, strict: bool) -> None:
    header = message.header
    begins = message.body_type not in FOLLOWING
    if header.transactionID is None:
        raise RefusedError("badDataFormat" if begins else "badRequest", "transactionID is absent")
    if not _fits(header.transactionID, _TRANSACTION_ID_OCTETS, strict=strict):
        raise RefusedError("badRequest", f"transactionID of {len(header.transactionID)} octets")
    if header.senderNonce is None:
        raise RefusedError("badSenderNonce", "senderNonce is absent")
    if not _fits(header.senderNonce, NONCE_OCTETS, strict=strict):
        raise RefusedError("badSenderNonce", f"senderNonce of {len(header.senderNonce)} octets")
    # a nested has the recipNonce of the message in it (RFC 9483, 5.2.2.1), and a KEM ciphertext
    # came before the first message that it protects
    follows = message.body_type is BodyType.NESTED or kemmac.kem_mac_parameters(message) is not None
    if begins and header.recipNonce is not None and not follows:
        raise RefusedError("badRecipientNonce", "a recipNonce in the first message")


def _fits(value: bytes, octets: int, *, strict: bool) -> bool:
    """RFC 9483 has exactly so many octets, RFC 9810 at least."""
    return len(value) == octets or (len(value) > octets and not strict)


def _check_time(header: PKIHeader, behaviour: Behaviour, now: dt.datetime) -> None:
    if behaviour.time_tolerance is None:
        return
    if header.messageTime is None:
        if behaviour.strict:
            raise RefusedError("badTime", "messageTime is absent")
        return
    off = abs((header.messageTime.as_datetime() - now).total_seconds())
    if off > behaviour.time_tolerance:
        raise RefusedError("badTime", f"messageTime is off by {off:.0f} s")


def _check_general_info(message: PKIMessage) -> None:
    implicit_confirm = message.info(IT_IMPLICIT_CONFIRM)
    wait_time = message.info(IT_CONFIRM_WAIT_TIME)
    if implicit_confirm is not None:
        if wait_time is not None:
            raise RefusedError(
                "badRequest", "implicitConfirm and confirmWaitTime exclude each other"
            )
        if [encode(one) for one in implicit_confirm[1:]] != [_NULL]:
            raise RefusedError("badRequest", "the value of implicitConfirm is NULL")
        if message.body_type not in REQUESTS:
            label = message.body_type.label
            raise RefusedError("badRequest", f"implicitConfirm in a {label}")
    if wait_time is not None and [tag(one) for one in wait_time[1:]] != [_GENERALIZED_TIME]:
        raise RefusedError("badDataFormat", "the value of confirmWaitTime is a GeneralizedTime")


def _check_mac(message: PKIMessage) -> None:
    """Check what RFC 9483 wants of a message with a MAC (3.1 and 4.2)."""
    if protection.mac_parameters(message) is None:
        return
    try:
        with strictly():
            reference = common_name(message.sender)
    except ValueError:
        reference = None
    if reference is None or reference.encode() != message.header.senderKID:
        raise RefusedError("badMessageCheck", "the sender's CN is not what senderKID says")
    if message.body_type is BodyType.RR:
        raise RefusedError("wrongIntegrity", "a rr is signed")
