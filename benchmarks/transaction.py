"""CPU of one transaction, client and embedded CA, over what its cryptography alone costs.

Everything runs in one process and without a network: the state machine alone, and the engine with
its HTTP client over a transport that answers from memory (the null transport). The CA's CPU is
taken apart from the client's.
"""

import cProfile
import datetime as dt
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import anyio
import httpx

from benchmarks import floor
from benchmarks.benchmark import Benchmark, Scale
from benchmarks.ca import ITERATIONS
from benchmarks.enrollment import P256
from benchmarks.figure import Figure, Findings, Profile, Series, at_most
from benchmarks.profile import profiled
from bulkcmp.cmp import protection
from bulkcmp.cmp.events import (
    Checkpoint,
    DeriveKey,
    Event,
    Finish,
    KeyDerived,
    Received,
    Send,
    Start,
    Store,
    Stored,
)
from bulkcmp.cmp.protection import Derivation
from bulkcmp.cmp.request import Applicant, Credential
from bulkcmp.cmp.transaction import Transaction
from bulkcmp.cmp.trust import Trust, TrustStore
from bulkcmp.engine.frame import Setup
from bulkcmp.engine.options import Options
from bulkcmp.engine.server import Server
from bulkcmp.inputs.credential import read_credential
from bulkcmp.inputs.name import parse_name
from bulkcmp.io import loop
from bulkcmp.io.clock import SystemClock
from bulkcmp.io.http import CONTENT_TYPE, CmpHttpClient
from bulkcmp.io.keyworker import make_keys
from bulkcmp.model import EndEntity, Operation, OutcomeClass
from bulkcmp.testca import state
from bulkcmp.testca.aliases import RA_CERT, RA_HMAC, Alias
from bulkcmp.testca.authority import Authority

_FULL: Final = 1000
_IN_FLIGHT: Final = 100


@dataclass
class _Peer:
    """The CA in this process, and how a client must address it.

    Attributes:
        answers: gives them, of the authority.
        cpu: seconds that its answers took.
        profiler: looks away while it answers.
        certificate: the last that it issued.
    """

    alias: Alias
    setup: Setup
    entity: Callable[[int], EndEntity]
    answers: Callable[[Alias, bytes, dt.datetime], bytes]
    cpu: float = 0.0
    certificate: bytes = b""
    profiler: cProfile.Profile | None = None

    def answer(self, message: bytes) -> bytes:
        if self.profiler is not None:
            self.profiler.disable()
        began = time.process_time()
        answer = self.answers(self.alias, message, dt.datetime.now(dt.UTC))
        self.cpu += time.process_time() - began
        if self.profiler is not None:
            self.profiler.enable()
        return answer

    def note(self, finish: Finish) -> None:
        """Take the certificate of a transaction, which must have one."""
        (outcome,) = finish.outcomes
        if outcome.outcome is not OutcomeClass.ISSUED or finish.checkpoint is None:
            raise RuntimeError(f"a transaction failed: {outcome}")
        (part,) = finish.checkpoint.parts
        assert part.certificate is not None
        self.certificate = part.certificate


@contextmanager
def _peer(alias: Alias) -> Iterator[_Peer]:
    with tempfile.TemporaryDirectory() as name:
        folder = state.Folder(Path(name) / "ca")
        state.create(folder.path, state.DEFAULT_CA_KEY, dt.datetime.now(dt.UTC))
        books = state.open_books(folder.path)
        secret = books.alias_secret(RA_HMAC.name) if alias is RA_HMAC else None
        signs = secret is None
        ra = read_credential(folder.ra_certificate, folder.ra_key, None)
        options = Options(
            server="http://ca.invalid/.well-known/cmp",
            trusted=(str(folder.ca_certificate),),
            pbm_iterations=ITERATIONS,
        )

        def entity(number: int) -> EndEntity:
            return EndEntity(
                number, number, str(number), Operation.IR,
                parse_name(f"/CN=dev{number}/O=Acme/C=SE"),
                ref=None if signs else "ra1", secret=secret,
                cert=ra.chain if signs else (), key=ra.key if signs else None,
            )  # fmt: skip

        authority = Authority(books, state.load_identity(folder.path))
        try:
            yield _Peer(alias, options.setup({}), entity, authority.handle)
        finally:
            books.close()


def _core(peer: _Peer, keys: Sequence[bytes]) -> float:
    """CPU seconds of the state machine, with as little around it as can be."""
    server = _server(peer)
    store = TrustStore(peer.setup.anchors)
    trust = Trust(store, store)
    derived: dict[Derivation, bytes] = {}

    def derive(derivation: Derivation) -> bytes:
        key = derived.get(derivation)
        if key is None:
            key = protection.derive(derivation)
            if not derived:
                # the first is that of our own requests; each answer has another
                derived[derivation] = key
        return key

    began, ca = time.process_time(), peer.cpu
    for number, key in enumerate(keys):
        entity = peer.entity(number)
        credential = server.credential([entity])
        peer.note(_transact(peer, trust, credential, Applicant(entity, key), derive))
    return time.process_time() - began - (peer.cpu - ca)


def _transact(
    peer: _Peer,
    trust: Trust,
    credential: Credential,
    applicant: Applicant,
    derive: Callable[[Derivation], bytes],
) -> Finish:
    transaction = Transaction(
        [applicant],
        credential,
        peer.setup.profile,
        trust,
        transaction_id=os.urandom(16),
        nonces=iter(lambda: os.urandom(16), None),
        jitter=iter(random.random, None),
    )
    event: Event = Start(time.time())
    while True:
        (instruction,) = transaction.handle(event)
        match instruction:
            case DeriveKey(derivation):
                event = KeyDerived(time.time(), derive(derivation))
            case Store():
                event = Stored(time.time())
            case Send(message):
                answer = peer.answer(message)
                event = Received(time.time(), answer, time.time())
            case Finish():
                return instruction
            case _:
                raise RuntimeError(f"unexpected {instruction}")


def _engine(peer: _Peer, keys: Sequence[bytes]) -> float:
    """CPU seconds of the engine over the null transport, many transactions in flight."""

    def handle(request: httpx.Request) -> httpx.Response:
        return httpx.Response(
            200, headers={"Content-Type": CONTENT_TYPE}, content=peer.answer(request.content)
        )

    async def store(_checkpoint: Checkpoint) -> None:
        """Nothing is durable here."""

    async def work() -> None:
        numbered = iter(enumerate(keys))
        async with CmpHttpClient(peer.setup.url, httpx.MockTransport(handle)) as client:
            server = _server(peer, client)

            async def consume() -> None:
                for number, key in numbered:
                    entity = peer.entity(number)
                    finish = await server.transact(
                        [Applicant(entity, key)],
                        server.credential([entity]),
                        store,
                        transaction_id=os.urandom(16),
                    )
                    peer.note(finish)

            async with anyio.create_task_group() as group:
                for _ in range(_IN_FLIGHT):
                    group.start_soon(consume)

    began, ca = time.process_time(), peer.cpu
    loop.run(work)
    return time.process_time() - began - (peer.cpu - ca)


def _server(peer: _Peer, client: CmpHttpClient | None = None) -> Server:
    client = client or CmpHttpClient(peer.setup.url, httpx.MockTransport(lambda _: _NOTHING))
    return Server(peer.setup, client, SystemClock(), anyio.Event())


_NOTHING: Final = httpx.Response(404)


def _profile(title: str, peer: _Peer, keys: Sequence[bytes]) -> Profile:
    def work(profiler: cProfile.Profile) -> None:
        peer.profiler = profiler
        _core(peer, keys)
        peer.profiler = None

    return profiled(title, work, len(keys))


def _answers(peer: _Peer, keys: Sequence[bytes]) -> Profile:
    """The profile of the CA while it answers."""

    def work(profiler: cProfile.Profile) -> None:
        profiler.disable()
        handle = peer.answers

        def answer(alias: Alias, request: bytes, now: dt.datetime) -> bytes:
            profiler.enable()
            try:
                return handle(alias, request, now)
            finally:
                profiler.disable()

        peer.answers = answer
        _core(peer, keys)
        peer.answers = handle
        profiler.enable()

    return profiled("the embedded CA, MACs", work, len(keys))


@dataclass
class _Found:
    """CPU seconds of each repetition: of the state machine, of the engine, and of the cryptography
    that the client must do; of the CA while the state machine ran."""

    core: list[float] = field(default_factory=list)
    engine: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)
    ca: list[float] = field(default_factory=list)


def _measured(
    peer: _Peer, keys: Sequence[bytes], scale: Scale, bare: Callable[[bytes, bytes], float]
) -> _Found:
    """Measure all of it, in turn.

    Args:
        bare: the crypto floor, given an issued certificate and its anchor.
    """
    found = _Found()
    _core(peer, keys[:1])
    for _ in range(scale.repetitions):
        before = peer.cpu
        found.core.append(_core(peer, keys))
        found.ca.append(peer.cpu - before)
        found.bare.append(bare(peer.certificate, peer.setup.anchors[0]))
        found.engine.append(_engine(peer, keys))
    return found


def run(scale: Scale) -> Findings:
    """Measure with MACs, then with signatures."""
    count = scale.count(_FULL, 2)
    keys = make_keys(P256, count)
    ca_bare: list[float] = []

    def floors(certificate: bytes, anchor: bytes) -> float:
        ca_bare.append(floor.ca_pbm(keys, ITERATIONS))
        return floor.client_pbm(keys, certificate, anchor, ITERATIONS)

    with _peer(RA_HMAC) as peer:
        macs = _measured(peer, keys, scale, floors)
        profiles = [_profile("the state machine, MACs", peer, keys), _answers(peer, keys)]
    with _peer(RA_CERT) as peer:
        signatures = _measured(peer, keys, scale, partial(floor.client_signature, keys))
        profiles.append(_profile("the state machine, signatures", peer, keys))

    def series(label: str, seconds: Sequence[float]) -> Series:
        return Series.of(label, "us CPU", [1e6 * one / count for one in seconds])

    def ratios(name: str, what: str, found: _Found, how: str) -> Iterator[Figure]:
        bare = series(f"client's cryptography, {what}", found.bare)
        yield Figure(
            f"core-{name}", f"state machine alone / crypto floor, {how}",
            series(f"state machine, {what}", found.core), bare,
        )  # fmt: skip
        yield Figure(
            f"engine-{name}", f"engine over the null transport / crypto floor, {how}",
            series(f"engine, null transport, {what}", found.engine), bare,
        )  # fmt: skip

    figures = (
        *ratios("pbm", "MACs", macs, f"PBM of {ITERATIONS} iterations"),
        *ratios("signature", "signatures", signatures, "signatures both ways"),
        Figure(
            "embedded-ca", "embedded CA, its answers alone / its own crypto floor, PBM, fresh"
            " salts", series("embedded CA", macs.ca), series("CA's cryptography", ca_bare),
            at_most(2.5),
        ),
    )  # fmt: skip
    return Findings(figures, profiles=tuple(profiles))


BENCHMARK: Final = Benchmark(
    "transaction", "CPU per ir + certConf over its cryptography, without a network", run
)
