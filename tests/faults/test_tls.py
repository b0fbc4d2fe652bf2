"""TLS that fails, a name that does not resolve, a port where nobody listens: nothing is sent, the
run ends, and `resume` does all of it once the server is right."""

import dataclasses
import socket
from typing import TYPE_CHECKING

import pytest

from bulkcmp.engine.frame import TlsFiles
from bulkcmp.errors import Loss
from bulkcmp.model import OutcomeClass
from tests.faults import tls
from tests.faults.conftest import RUN_LIMIT
from tests.faults.proxy import Fault
from tests.faults.tls import TLS_ENDS, TLS_FAULTS, Pki, TlsFault
from tests.faults.verdict import (
    check_certificates,
    check_ends,
    check_met,
    check_resumed,
    outcomes,
    twice,
)

if TYPE_CHECKING:
    from tests.aftermath import Aftermath
    from tests.faults.conftest import Field

pytestmark = pytest.mark.timeout(RUN_LIMIT * 3)

NOTHING_SENT = {OutcomeClass.TO_DO, OutcomeClass.NOT_SENT}


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("tls") / "pki")


@pytest.fixture
def secured(ground: "Field", pki: Pki) -> "Field":
    ground.tls = TlsFiles(trusted=(str(pki.anchor),))
    return ground


def check_nothing_sent(field: "Field", after: "Aftermath", loss: Loss, says: str) -> None:
    assert set(outcomes(after).values()) <= NOTHING_SENT
    assert not after.issued
    error = field.unreachable
    assert error is not None
    assert error.loss is loss
    assert says in str(error)


def check_all_done(field: "Field", pki: Pki) -> None:
    after = field.play(field.proxy(tls=pki.good()), resumed=True)
    assert set(outcomes(after).values()) == {OutcomeClass.ISSUED}
    after.check_promises()
    check_certificates(after)
    assert not twice(after)


@pytest.mark.parametrize("fault", TLS_FAULTS, ids=lambda one: one.name)
def test_each(secured: "Field", pki: Pki, fault: TlsFault) -> None:
    after = secured.play(secured.proxy(line=fault.line(pki)))
    check_nothing_sent(secured, after, Loss.TLS, fault.says)
    check_all_done(secured, pki)


def test_silence_in_the_handshake(secured: "Field", pki: Pki) -> None:
    limits = secured.limits
    secured.limits = dataclasses.replace(limits, connect=0.2)
    after = secured.play(secured.proxy(line=tls.silent))
    check_nothing_sent(secured, after, Loss.CONNECT, "took longer than 0.2 s")
    secured.limits = limits
    check_all_done(secured, pki)


def test_client_certificate_refused(secured: "Field", pki: Pki) -> None:
    trusting = secured.tls
    stranger = str(pki.refused_client_certificate())
    secured.tls = TlsFiles(trusted=(str(pki.anchor),), certificate=stranger)
    line = tls.handshake(pki.wants_client_certificate())
    after = secured.play(secured.proxy(line=line))
    check_nothing_sent(secured, after, Loss.TLS, "alert unknown ca")
    secured.tls = trusting
    check_all_done(secured, pki)


def test_client_certificate_wanted_after_the_handshake(secured: "Field", pki: Pki) -> None:
    # by TLS 1.3 the request is on its way when the refusal comes
    line = tls.handshake(pki.wants_client_certificate_13())
    after = secured.play(secured.proxy(line=line))
    check_nothing_sent(secured, after, Loss.TLS, "alert certificate required")
    check_all_done(secured, pki)


def test_client_certificate_wanted_and_not_a_word(secured: "Field", pki: Pki) -> None:
    # where the request had left, nothing says that nobody read it
    after = secured.play(secured.proxy(tls=pki.wants_client_certificate_13()))
    assert set(outcomes(after).values()) <= {OutcomeClass.UNKNOWN, *NOTHING_SENT}
    assert not after.issued


def test_unresolvable_name(ground: "Field") -> None:
    # .invalid never resolves (RFC 6761, 6.4)
    after = ground.play_at("http://ca.invalid/cmp")
    check_nothing_sent(ground, after, Loss.CONNECT, "connecting to ca.invalid:80")
    check_resumed(ground, after)


def test_nobody_listens(ground: "Field") -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        after = ground.play_at(f"http://127.0.0.1:{unheard.getsockname()[1]}/cmp")
    check_nothing_sent(ground, after, Loss.CONNECT, "Connection refused")
    check_resumed(ground, after)


@pytest.mark.parametrize("fault", TLS_ENDS, ids=lambda one: one.name)
def test_end(secured: "Field", pki: Pki, fault: Fault) -> None:
    proxy = secured.proxy(fault, tls=pki.good())
    after = secured.play(proxy)
    check_met(proxy, after)
    check_ends(proxy, after)
