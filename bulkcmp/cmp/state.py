"""The states of a transaction, and which events lead from one to another.

The table is the whole of it: what it does not have can't happen, and what it has is what
`Transaction` does by the named method.
"""

from enum import Enum
from typing import Final

from bulkcmp.cmp.events import (
    Event,
    KeyDerived,
    Lost,
    Received,
    Refused,
    Start,
    Stop,
    Stored,
    TimerFired,
)


class State(Enum):
    NEW = "new"
    KEYING = "own MAC key being derived"
    ENCAPSULATING = "KEM ciphertext asked for"
    RECORDING = "request being made durable"
    REQUESTED = "request sent"
    CHECKING = "response's MAC key being derived"
    OPENING = "key to a received private key being derived"
    KEEPING = "certificates and poll state being made durable"
    WAITING = "waiting for checkAfter"
    POLLED = "pollReq sent"
    CONFIRMING = "certConf sent"
    CONFIRMATION_WAITING = "waiting for checkAfter of the pkiconf"
    CONFIRMATION_POLLED = "pollReq for the pkiconf sent"
    BACKING_OFF = "waiting to send again"
    FINISHED = "finished"


_GOING_ON: Final = frozenset({State.WAITING, State.CONFIRMING, State.FINISHED})
_ANSWERED: Final = frozenset({State.CHECKING, State.KEEPING, State.FINISHED})
_CERTIFIED: Final = _ANSWERED | {State.OPENING}

TRANSITIONS: Final[dict[tuple[State, type[Event]], tuple[str, frozenset[State]]]] = {
    (State.NEW, Start): (
        "_start",
        _GOING_ON | {State.KEYING, State.ENCAPSULATING, State.RECORDING},
    ),
    (State.KEYING, KeyDerived): ("_keyed", _GOING_ON | {State.RECORDING}),
    (State.ENCAPSULATING, Received): (
        "_receive",
        frozenset({State.CHECKING, State.RECORDING, State.FINISHED}),
    ),
    (State.ENCAPSULATING, Refused): ("_take_refusal", frozenset({State.FINISHED})),
    (State.ENCAPSULATING, Lost): (
        "_lose_question",
        frozenset({State.BACKING_OFF, State.FINISHED}),
    ),
    (State.RECORDING, Stored): ("_send_request", frozenset({State.REQUESTED, State.FINISHED})),
    (State.REQUESTED, Received): ("_receive", _CERTIFIED),
    (State.REQUESTED, Refused): ("_take_refusal", frozenset({State.FINISHED})),
    (State.REQUESTED, Lost): ("_lose_request", frozenset({State.BACKING_OFF, State.FINISHED})),
    (State.CHECKING, KeyDerived): (
        "_check",
        frozenset({State.OPENING, State.KEEPING, State.FINISHED}),
    ),
    (State.OPENING, KeyDerived): (
        "_opened",
        frozenset({State.OPENING, State.KEEPING, State.FINISHED}),
    ),
    (State.KEEPING, Stored): ("_kept", _GOING_ON | {State.CONFIRMATION_WAITING}),
    (State.WAITING, TimerFired): ("_poll", frozenset({State.POLLED, State.FINISHED})),
    (State.WAITING, Stop): ("_stop", frozenset({State.FINISHED})),
    (State.POLLED, Received): ("_receive", _CERTIFIED),
    (State.POLLED, Refused): ("_take_refusal", frozenset({State.FINISHED})),
    (State.POLLED, Lost): ("_lose_poll", frozenset({State.BACKING_OFF, State.FINISHED})),
    (State.CONFIRMING, Received): ("_receive", _ANSWERED),
    (State.CONFIRMING, Refused): ("_take_refusal", frozenset({State.FINISHED})),
    (State.CONFIRMING, Lost): ("_lose_confirm", frozenset({State.BACKING_OFF, State.FINISHED})),
    (State.CONFIRMATION_WAITING, TimerFired): (
        "_poll_confirmation",
        frozenset({State.CONFIRMATION_POLLED, State.FINISHED}),
    ),
    (State.CONFIRMATION_WAITING, Stop): ("_stop", frozenset({State.FINISHED})),
    (State.CONFIRMATION_POLLED, Received): ("_receive", _ANSWERED),
    (State.CONFIRMATION_POLLED, Refused): ("_take_refusal", frozenset({State.FINISHED})),
    (State.CONFIRMATION_POLLED, Lost): (
        "_lose_confirm",
        frozenset({State.BACKING_OFF, State.FINISHED}),
    ),
    (State.BACKING_OFF, TimerFired): (
        "_send_again",
        frozenset(
            {
                State.ENCAPSULATING,
                State.REQUESTED,
                State.POLLED,
                State.CONFIRMING,
                State.CONFIRMATION_POLLED,
                State.FINISHED,
            }
        ),
    ),
    (State.BACKING_OFF, Stop): (
        "_stop",
        frozenset({State.FINISHED, State.CONFIRMING}),
    ),
}
"""state x event -> action, states it may lead to; the documentation's diagram is made from it."""
