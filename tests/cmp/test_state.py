"""The table of states."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, get_args

import pytest

from bulkcmp.cmp import envelope, recipient
from bulkcmp.cmp.asn1 import explicit
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
from bulkcmp.cmp.messages import BodyType, PKIStatus
from bulkcmp.cmp.protection import MacParameters
from bulkcmp.cmp.state import TRANSITIONS, State
from bulkcmp.errors import LocalCmpError, Loss
from bulkcmp.model import (
    Profile,
)
from tests.cmp.ways import (
    IMPLICIT,
    SAID_NO,
    confirmation_polled,
    confirmation_waiting,
    confirming,
    error,
    gone,
    on_token,
    polled,
    requested,
    waiting,
)

if TYPE_CHECKING:
    from tests.cmp.conftest import MakeRun, Peer, Pki, Run

EVENTS: dict[type[Event], Event] = {
    Start: Start(0.0),
    KeyDerived: KeyDerived(0.0, b"key"),
    Stored: Stored(0.0),
    Received: Received(0.0, b"", 0.0),
    Refused: Refused(0.0, SAID_NO, 0.0),
    Lost: Lost(0.0, Loss.CUT, ""),
    TimerFired: TimerFired(0.0),
    Stop: Stop(0.0),
}


@pytest.mark.parametrize(
    ("state", "kind"),
    [(state, kind) for state in State for kind in EVENTS if (state, kind) not in TRANSITIONS],
)
def test_an_event_that_the_table_has_not_is_the_drivers_mistake(
    make_run: "MakeRun", state: State, kind: type[Event]
) -> None:
    run = make_run()
    run.transaction.state = state
    with pytest.raises(LocalCmpError, match=f"^{kind.__name__} while {state.value}$"):
        run.transaction.handle(EVENTS[kind])
    assert run.state is state


def test_every_event_has_its_place() -> None:
    assert set(EVENTS) == set(get_args(Event))


def test_no_key_is_shown_by_an_event_or_an_instruction(make_run: "MakeRun") -> None:
    run = make_run()
    (derive,) = run.tell(Start(run.now))
    assert "between us" not in repr(derive)
    assert "MAC key" not in repr(KeyDerived(0.0, b"MAC key"))


def _sealed(run: "Run", parameters: MacParameters, *, place: int = 0) -> bytes:
    """An answer with something that is sealed for our secret in place of private keys."""

    def response(number: int) -> bytes:
        info = recipient.password(bytes(16), run.peer.secret, b"salt %d" % number, iterations=2)
        der = envelope.encrypt(b"?", envelope.SIGNED_DATA, [info], key=bytes(16), iv=bytes(16))
        pair = explicit(place, run.pki.issue()) + explicit(0, envelope.encrypted_key(der))
        return run.peer.response(run.peer.status(0), pair, number)

    body = run.peer.cert_rep(*map(response, range(run.count)))
    return run.answer(body).macced(parameters=parameters)


def test_the_table_promises_nothing_that_does_not_happen(
    make_run: "MakeRun", pki: "Pki", peer: "Peer"
) -> None:
    """Together these ways take every edge of the table; `Run.tell` lets none beside it pass."""
    runs: list[Run] = []

    def way(run: "Run", *steps: "Callable[[Run], object]") -> "Run":
        for step in steps:
            step(run)
        runs.append(run)
        return run

    def start(run: "Run") -> object:
        return run.start()

    def lose(run: "Run") -> object:
        return run.lose(Loss.CONNECT)

    def wake(run: "Run") -> object:
        return run.go(TimerFired(run.now))

    def without_key(*steps: "Callable[[Run], object]") -> None:
        run, key = on_token(make_run, pki)
        way(run, *steps)
        gone(run, key, TimerFired(run.now + 61) if steps else Start(run.now))

    def stop(run: "Run") -> object:
        return run.go(Stop(run.now))

    def refuse(run: "Run") -> object:
        return run.go(Refused(run.now, SAID_NO, run.now))

    def nonsense(run: "Run") -> object:
        return run.receive(b"?")

    own = peer.own_mac
    for parameters in (own, peer.peer_mac):
        for respond in (
            lambda run: run.granted(),
            lambda run: run.answer(peer.waiting()),
            lambda run: error(run),
        ):
            for begin in (requested, polled):
                run = way(begin(make_run))
                run.receive(respond(run).macced(parameters=parameters))
    way(confirmation_waiting(make_run), stop)
    for parameters in (own, peer.peer_mac):
        for respond in (
            lambda run: run.confirmed(),
            lambda run: run.answer(peer.poll_rep(1, cert_req_id=-1), BodyType.POLL_REP),
        ):
            run = way(confirmation_polled(make_run))
            run.receive(respond(run).macced(parameters=parameters))
    for make in (waiting, polled, confirming, confirmation_polled):
        way(make(make_run), *([] if make is waiting else [nonsense]))
        if make is not waiting:
            way(make(make_run), refuse)
            way(make(make_run), lose, wake)
            way(make(make_run), lose, stop)
            way(make(make_run, profile=Profile(retries=0)), lose)
        for credential in ("mac", "signature"):
            left = make(make_run)
            way(make_run(credential=credential, checkpoint=left.stored[-1], now=left.now), start)
    for credential in ("mac", "signature"):
        way(make_run(credential=credential), start)
        way(make_run(credential=credential, new_key=b"?"), start)
    without_key()
    without_key(start, lose)
    later = error(requested(make_run), status=PKIStatus.WAITING)
    without_key(start, lambda run: run.receive(run.answer(peer.waiting()).signed(pki.signer)))
    without_key(
        start,
        lambda run: run.receive(run.granted().signed(pki.signer)),
        lambda run: run.receive(run.answer(later.body, BodyType.ERROR).signed(pki.signer)),
    )
    way(make_run(), start, nonsense)
    way(make_run(), start, refuse)
    way(make_run(), start, lose, wake)
    way(make_run(), start, lose, stop)
    way(make_run(profile=Profile(retries=0)), start, lose)
    way(waiting(make_run), stop)
    way(confirming(make_run), lambda run: run.receive(run.confirmed().macced()))
    way(
        make_run(profile=Profile(implicit_confirm=True)),
        start,
        lambda run: run.receive(replace(run.granted(), general_info=(IMPLICIT,)).macced()),
    )
    way(
        polled(make_run),
        lambda run: run.receive(run.answer(peer.poll_rep(10**6), BodyType.POLL_REP).macced()),
    )
    both = [
        peer.response(peer.status(0), explicit(0, pki.issue()), 0),
        peer.response(peer.status(PKIStatus.WAITING), cert_req_id=1),
    ]
    way(
        make_run(count=2),
        start,
        lambda run: run.receive(run.answer(peer.cert_rep(*both)).macced()),
        lambda run: run.receive(run.confirmed().macced(parameters=own)),
    )
    for begin in (requested, polled):
        way(begin(make_run, central_keygen=True), lambda run: run.receive(_sealed(run, own)))
    for count, place in ((1, 1), (2, 0)):
        run = way(requested(make_run, central_keygen=True, count=count))
        run.receive(_sealed(run, peer.peer_mac, place=place))
    for steps in ([lose, wake], [lose, stop], [refuse], [nonsense], [lambda run: error(run)]):
        way(make_run(credential="kem"), start, *steps)
    way(make_run(credential="kem", profile=Profile(retries=0)), start, lose)
    way(make_run(credential="kem"), start, lambda run: run.receive(error(run).macced()))
    way(make_run(credential="kem"), start, lambda run: run.receive(run.ciphertext().plain()))
    taken = set().union(*(run.edges for run in runs))
    promised = {
        (state, event, target)
        for (state, event), (_, targets) in TRANSITIONS.items()
        for target in targets
    }
    assert promised - taken == set()
