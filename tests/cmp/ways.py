"""The ways to the states of a transaction, and what may happen there."""

from typing import TYPE_CHECKING, Any

from bulkcmp.cmp import messages
from bulkcmp.cmp.asn1 import encode, wrap
from bulkcmp.cmp.events import (
    Event,
    Finish,
    TimerFired,
)
from bulkcmp.cmp.messages import BodyType, PKIStatus
from bulkcmp.cmp.request import SignatureCredential
from bulkcmp.cmp.state import State
from bulkcmp.model import (
    Outcome,
    OutcomeClass,
)

if TYPE_CHECKING:
    from tests.cmp.conftest import Answer, MakeRun, Opaque, Pki, Run

IMPLICIT = wrap(0x30, encode(messages.IT_IMPLICIT_CONFIRM), b"\x05\x00")
SAID_NO = Outcome(OutcomeClass.REJECTED, "badRequest", "no", fail_info=("badRequest",))


def error(run: "Run", *bits: str, status: int = PKIStatus.REJECTION) -> "Answer":
    body = run.peer.error(run.peer.status(status, *bits, text=("no",)), "because")
    return run.answer(body, BodyType.ERROR)


def requested(make_run: "MakeRun", **changes: Any) -> "Run":
    run = make_run(**changes)
    run.start()
    return run


def waiting(make_run: "MakeRun", **changes: Any) -> "Run":
    run = requested(make_run, **changes)
    run.receive(run.answer(run.peer.waiting()).macced())
    return run


def polled(make_run: "MakeRun", **changes: Any) -> "Run":
    run = waiting(make_run, **changes)
    run.go(TimerFired(run.now))
    return run


def confirming(make_run: "MakeRun", **changes: Any) -> "Run":
    run = requested(make_run, **changes)
    run.receive(run.granted().macced())
    return run


def on_token(make_run: "MakeRun", pki: "Pki", **changes: Any) -> tuple["Run", "Opaque"]:
    key = pki.device.elsewhere()
    chain = (pki.device.certificate,)
    return make_run(credential=SignatureCredential(key, chain), **changes), key


def gone(run: "Run", key: "Opaque", event: Event) -> Finish:
    """What comes of a transaction whose key is lost."""
    key.gone = True
    finish = run.go(event)
    assert isinstance(finish, Finish)
    assert run.state is State.FINISHED
    assert finish.outcome.detail == "the token is gone"
    return finish
