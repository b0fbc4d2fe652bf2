"""The header of a request: what every message must have (RFC 9483, 3.5)."""

import datetime as dt
from typing import Final

from bulkcmp.cmp.messages import PVNO_CMP2000, PVNO_CMP2021, PKIMessage
from bulkcmp.testca.aliases import Behaviour
from bulkcmp.testca.refusal import RefusedError
from bulkcmp.testca.response import NONCE_OCTETS

_TRANSACTION_ID_OCTETS: Final = 16


def check_header(message: PKIMessage, behaviour: Behaviour, now: dt.datetime) -> None:
    """Check what every request must have (RFC 9483, 3.5)."""
    header = message.header
    if header.pvno not in (PVNO_CMP2000, PVNO_CMP2021):
        raise RefusedError("unsupportedVersion", f"pvno {header.pvno}; 2 and 3 are spoken here")
    if header.transactionID is None or len(header.transactionID) < _TRANSACTION_ID_OCTETS:
        raise RefusedError("badDataFormat", "transactionID is absent or shorter than 16 octets")
    if header.senderNonce is None or len(header.senderNonce) < NONCE_OCTETS:
        raise RefusedError("badSenderNonce", "senderNonce is absent or shorter than 16 octets")
    if header.messageTime is not None and behaviour.time_tolerance is not None:
        off = abs((header.messageTime.as_datetime() - now).total_seconds())
        if off > behaviour.time_tolerance:
            raise RefusedError("badTime", f"messageTime is off by {off:.0f} s")
