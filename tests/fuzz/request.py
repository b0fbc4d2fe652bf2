"""The embedded CA's request path: octets -> authentication -> answer.

An input is an octet for who asks whom, one for what is asked, and the rest.
"""

import datetime as dt
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from itertools import product
from typing import Final

from bulkcmp.cmp.asn1 import encode, wrap
from bulkcmp.cmp.general import CA_CERTS, encode_infos
from bulkcmp.cmp.messages import BodyType
from bulkcmp.model import Itav
from bulkcmp.testca.aliases import ALIASES, Behaviour
from bulkcmp.testca.answering import Answering
from bulkcmp.testca.authority import Authority
from bulkcmp.testca.ejbca.authority import EjbcaAuthority
from bulkcmp.testca.refusal import FailedError
from tests.fuzz.mutation import PIECES
from tests.fuzz.protecting import macced
from tests.fuzz.target import scratch
from tests.testca.conftest import Ca, Peer, cert_status, poll_req, rev_req, shared_key

_SPEC: Final = "ed25519"
"""Its signatures are all of one length."""
_TYPES: Final = len(BodyType)
"""From here on, the second octet says that the rest is a whole message."""

_MOST_ITERATIONS: Final = 500


class _Asked(Ca):
    """A CA whose answers pyasn1 need not read, which takes its time."""

    def answer(self, alias: str, request: bytes, now: dt.datetime | None = None) -> bytes:
        return self.authority.handle(ALIASES[alias], request, now or self.now)


_AUTHORITIES: Final[tuple[Callable[[Ca], Answering], ...]] = (
    lambda ca: Authority(ca.store, ca.root, vendors=ca.vendors),
    lambda ca: Authority(ca.store, ca.root, Behaviour(poll_count=1), vendors=ca.vendors),
    lambda ca: Authority(ca.store, ca.root, Behaviour(strict=True), vendors=ca.vendors),
    lambda ca: EjbcaAuthority(ca.store, ca.root, vendors=ca.vendors),
)
_ALIASES: Final = ("ra-hmac", "ra-cert", "client-hmac", "client-cert", "3gpp")

_CASES: Final = tuple(product(_AUTHORITIES, _ALIASES, (False, True)))
"""Whom is asked, by whom, and whether after an ir that was answered."""


@cache
def _ca() -> tuple[_Asked, dict[str, Peer], sqlite3.Connection]:
    """A CA, who asks it, and its books as they are before each input."""
    ca = _Asked(scratch() / "ca", _SPEC)
    peers = {alias: ca.requester(alias) for alias in _ALIASES}
    books = sqlite3.connect(":memory:")
    ca.store._db.backup(books)
    return ca, peers, books


def _begun(first: int) -> tuple[Ca, Peer]:
    """A CA with nothing done, and one who asks it."""
    ca, peers, books = _ca()
    make, alias, is_later = _CASES[first % len(_CASES)]
    books.backup(ca.store._db)
    ca.authority = make(ca)
    peer = peers[alias].again()
    if is_later:
        with suppress(FailedError):
            peer.enroll()
    return ca, peer


def one(data: bytes) -> None:
    """Whatever it is asked, a CA answers with one message under good protection.

    An EJBCA fails at some of what it gets, as the real one does, and answers with a status of HTTP.
    """
    if len(data) < 2:
        return
    ca, peer = _begun(data[0])
    with suppress(FailedError):
        if data[1] < _TYPES:
            peer.send(BodyType(data[1]), data[2:])
        else:
            whole = data[2:]
            if peer.secret is not None:
                whole = macced(whole, peer.secret, _MOST_ITERATIONS)
            ca.ask(peer.alias, whole, peer.secret, ca.now)


def seeds() -> Iterator[bytes]:
    """A good request of each type, by each who may ask; and those of OpenSSL's client."""
    ca, _, _ = _ca()
    key = shared_key(_SPEC)
    issued = ca.certify()
    bodies = {
        BodyType.IR: ca.crmf(key),
        BodyType.GENM: encode_infos([Itav(CA_CERTS)]),
        BodyType.CERT_CONF: wrap(0x30, encode(cert_status(0, issued))),
        BodyType.POLL_REQ: poll_req(0),
        BodyType.RR: rev_req(77, ca.root.name, 1),
        BodyType.NESTED: wrap(0x30, PIECES[0]),
    }
    for number, (_, _, is_later) in enumerate(_CASES):
        for kind, body in bodies.items():
            if is_later == (kind in (BodyType.CERT_CONF, BodyType.POLL_REQ)):
                yield bytes((number, kind)) + body
    for kind in (BodyType.CR, BodyType.KUR, BodyType.CCR, BodyType.KRR, BodyType.P10CR):
        yield bytes((0, kind)) + bodies[BodyType.IR]
    for piece in PIECES:
        yield bytes((0, _TYPES)) + piece
