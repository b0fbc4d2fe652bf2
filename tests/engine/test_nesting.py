"""Runs whose messages go in nested ones: under an RA's layers, alone or in batches."""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from itertools import repeat
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import pytest
import trio.testing
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

from bulkcmp.cmp.algorithms import OpaqueKey, Pss, load_signing_key, sign
from bulkcmp.cmp.asn1 import decode_sequence_of, encode, wrap
from bulkcmp.cmp.messages import BodyType, decode_message, decode_nested, encode_message
from bulkcmp.cmp.protection import MacParameters, derive
from bulkcmp.cmp.request import Credential, MacCredential, Protector, SignatureCredential
from bulkcmp.cmp.trust import Trust, TrustStore
from bulkcmp.engine.nesting import NestingClient
from bulkcmp.errors import LocalCmpError, Loss, TransportError
from bulkcmp.inputs.credential import read_credential
from bulkcmp.io.http import Reply
from bulkcmp.io.times import ExchangeTimes
from bulkcmp.model import OutcomeClass, Profile, Secret
from bulkcmp.testca.authority import Authority
from bulkcmp.testca.ejbca.authority import EjbcaAuthority
from bulkcmp.testca.state import Folder
from tests.engine.conftest import VirtualClock

if TYPE_CHECKING:
    from tests.engine.conftest import Lose, Peer, Scene, Seen

ISSUED = OutcomeClass.ISSUED
UNKNOWN = OutcomeClass.UNKNOWN


def macced(secret: Secret) -> MacCredential:
    return MacCredential("ra1", secret, MacParameters.choose(b"the RA's salt", iterations=100))


@pytest.fixture
def ra(scene: "Scene") -> SignatureCredential:
    folder = Folder(scene.folder.parent / "ca")
    return SignatureCredential(*read_credential(folder.ra_certificate, folder.ra_key))


@pytest.fixture
def nested(scene: "Scene", ra: SignatureCredential) -> "Scene":
    scene.nesting = {"layers": (ra,), "batch": 5, "batch_wait": 0.5}
    return scene


def sizes(peer: "Peer") -> list[int]:
    """Of the batches, in order."""
    return [len(decode_nested(decode_message(seen.message))) for seen in peer.seen]


def kinds(peer: "Peer") -> set[BodyType]:
    """Of the messages in the outermost layers."""
    found = [decode_nested(decode_message(seen.message)) for seen in peer.seen]
    return {decode_message(inner).body_type for batch in found for inner in batch}


@pytest.mark.parametrize("depth", [1, 3])
def test_every_message_of_a_transaction_is_nested(
    scene: "Scene", ra: SignatureCredential, depth: int
) -> None:
    scene.nesting = {"layers": (ra,) * depth}
    scene.peer.behave(poll_count=2)
    scene.play(scene.rows(4))
    assert scene.outcomes() == dict.fromkeys(range(1, 5), ISSUED)
    assert sizes(scene.peer) == [1] * len(scene.peer.seen)
    assert kinds(scene.peer) == (
        {BodyType.IR, BodyType.POLL_REQ, BodyType.CERT_CONF} if depth == 1 else {BodyType.NESTED}
    )
    # each layer has the ids of the message in it
    known = {tx.transaction_id for tx in scene.transactions()}
    assert {seen.transaction_id for seen in scene.peer.seen} == known
    scene.check()


def test_a_layer_by_secret(scene: "Scene") -> None:
    scene.nesting = {"layers": (macced(scene.peer.secret),)}
    scene.play(scene.rows(2))
    assert scene.outcomes() == {1: ISSUED, 2: ISSUED}


def test_batches(nested: "Scene") -> None:
    nested.play(nested.rows(26))
    assert nested.outcomes() == dict.fromkeys(range(1, 27), ISSUED)
    # the first one finds out alone whether there is a server
    assert sizes(nested.peer)[0] == 1
    assert sum(sizes(nested.peer)) == 2 * 26
    assert sizes(nested.peer).count(5) >= 8
    nested.check()


def test_a_batch_that_is_never_full_leaves_in_time(nested: "Scene") -> None:
    nested.play(nested.rows(4), concurrency=3)
    # three are in flight at most, so three are a full batch
    assert sizes(nested.peer) == [1, 3, 3, 1]
    first, second, third, last = (seen.at for seen in nested.peer.seen)
    assert first == pytest.approx(0.5)
    assert third < second + 0.1 < first + 0.2
    assert last == pytest.approx(third + 0.5, abs=0.1)
    # what a message waited for others is no time of the server's
    for row in nested.results().values():
        steps = row.timings.request, row.timings.confirm
        assert all(step is not None and step < 0.1 for step in steps)


def test_an_ejbca_takes_the_first_of_a_batch_alone(nested: "Scene") -> None:
    nested.peer.authority = EjbcaAuthority(nested.peer.books, nested.peer.root)
    nested.tune(implicit_confirm=True)
    nested.play(nested.rows(6))
    outcomes = nested.outcomes()
    assert outcomes[1] is ISSUED
    assert sorted(list(outcomes.values())[1:]) == sorted([ISSUED, *[UNKNOWN] * 4])
    unknown = [row for row in nested.results().values() if row.outcome.outcome is UNKNOWN]
    assert {row.outcome.reason for row in unknown} == {Loss.NOT_IN_BATCH.value}
    nested.check()


def test_an_ejbca_takes_one_message_in_a_nested(nested: "Scene") -> None:
    nested.nesting["batch"] = 1
    nested.peer.authority = EjbcaAuthority(nested.peer.books, nested.peer.root)
    nested.play(nested.rows(6))
    assert nested.outcomes() == dict.fromkeys(range(1, 7), ISSUED)


def test_a_batch_that_did_not_arrive_is_gathered_again(nested: "Scene", lose: "Lose") -> None:
    async def spoil(seen: "Seen") -> httpx.Response | None:
        if 1 < len(nested.peer.seen) < 5:
            raise TransportError(Loss.BUSY, "later", retry_after=1.0)
        return None

    nested.peer.before = spoil
    nested.play(nested.rows(11))
    assert nested.outcomes() == dict.fromkeys(range(1, 12), ISSUED)
    nested.check()


@pytest.mark.parametrize("loss", [Loss.TIMEOUT, Loss.CUT, Loss.GATEWAY])
def test_a_batch_whose_answer_is_lost(nested: "Scene", loss: Loss) -> None:
    async def spoil(seen: "Seen") -> httpx.Response | None:
        if len(decode_nested(decode_message(seen.message))) > 1:
            raise TransportError(loss, "gone")
        return None

    nested.peer.after = spoil
    nested.tune(implicit_confirm=True)
    nested.play(nested.rows(6))
    assert nested.outcomes() == {1: ISSUED} | dict.fromkeys(range(2, 7), UNKNOWN)
    nested.check()


def test_a_refusal_of_the_whole_batch(nested: "Scene") -> None:
    nested.nesting["layers"] = (macced(Secret(b"wrong")),)
    nested.play(nested.rows(6))
    assert set(nested.outcomes().values()) == {OutcomeClass.CREDENTIALS_REFUSED}
    assert all("badMessageCheck" in row.outcome.fail_info for row in nested.results().values())


def test_an_answer_whose_layer_is_not_protected(
    nested: "Scene", monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = nested.peer.authority.handle

    def strip(*arguments: Any) -> bytes:
        header, body, *_ = decode_sequence_of(honest(*arguments))
        return encode_message(encode(header), encode(body), None)

    monkeypatch.setattr(nested.peer.authority, "handle", strip)
    nested.play(nested.rows(6))
    assert set(nested.outcomes().values()) == {OutcomeClass.BAD_RESPONSE}
    reasons = {row.outcome.reason for row in nested.results().values()}
    assert reasons == {"protection missing"}


class Forgetful(Authority):
    """Leaves the last answer of a batch out, or gives the first one twice."""

    twice = False

    def _answer_each(self, *arguments: Any) -> list[bytes]:
        answers = super()._answer_each(*arguments)
        if len(answers) == 1:
            return answers
        return [answers[0], *answers] if self.twice else answers[:-1]


@pytest.mark.parametrize("twice", [True, False])
def test_answers_that_are_missing_or_too_many(nested: "Scene", *, twice: bool) -> None:
    peer = nested.peer
    peer.authority = Forgetful(peer.books, peer.root)
    peer.authority.twice = twice
    nested.tune(implicit_confirm=True)
    nested.play(nested.rows(6))
    outcomes = sorted(nested.outcomes().values())
    bad = OutcomeClass.BAD_RESPONSE if twice else UNKNOWN
    assert outcomes == sorted([*[ISSUED] * 5, bad])


class Unsteady(OpaqueKey):
    """A key on a token that is there now and then."""

    def __init__(self, key: bytes, fails: int) -> None:
        self._key = load_signing_key(key)
        self._fails = fails

    def public_key(self) -> PublicKeyTypes:
        return self._key.public_key()

    def sign(self, data: bytes, digest: str, pss: Pss | None) -> bytes:
        if self._fails:
            self._fails -= 1
            raise LocalCmpError("the token is gone")
        return sign(self._key, digest, data)


@pytest.mark.parametrize("comes_back", [True, False])
def test_an_ra_whose_token_is_gone(
    scene: "Scene", ra: SignatureCredential, comes_back: bool
) -> None:
    assert isinstance(ra.key, bytes)
    key = Unsteady(ra.key, 1 if comes_back else 1000)
    scene.nesting = {"layers": (SignatureCredential(key, ra.chain),)}
    scene.play(scene.rows(3))
    if comes_back:
        assert scene.outcomes() == dict.fromkeys((1, 2, 3), ISSUED)
        return
    assert scene.peer.seen == []
    for row in scene.results().values():
        assert row.outcome.outcome is OutcomeClass.NOT_SENT
        assert row.outcome.reason == Loss.NO_LAYER.value
        assert row.outcome.detail == "the token is gone"


def test_a_rate_holds_for_transactions(nested: "Scene") -> None:
    nested.play(nested.rows(9), rate=2.0)
    assert nested.outcomes() == dict.fromkeys(range(1, 10), ISSUED)
    assert nested.ended_at >= 8 / 2.0


def test_a_run_that_stops_ends_what_is_gathered(nested: "Scene") -> None:
    nested.nesting["batch_wait"] = 5.0

    async def stop(run: Any) -> None:
        await anyio.sleep(12.0)
        run.stop()

    nested.play(nested.rows(200), conduct=stop, rate=1.0)
    assert set(nested.outcomes().values()) <= {ISSUED, OutcomeClass.TO_DO}
    assert ISSUED in nested.outcomes().values()
    # both of its messages waited for others
    assert nested.ended_at < 12.0 + 2 * 5.0 + 1.0
    nested.check()


# --- the client alone ----------------------------------------------------------------------------


@dataclass
class Silent:
    """A server that never answers."""

    posted: list[bytes] = field(default_factory=list)

    async def post(self, message: bytes) -> Reply:
        self.posted.append(message)
        await anyio.sleep_forever()
        return Reply(b"", ExchangeTimes(0.0, None, 0.0, 0.0, 0.0, reused=False), repeated=False)


async def _derive(derivation: Any) -> bytes:
    return derive(derivation)


def run(main: Callable[[], Awaitable[None]]) -> None:
    clock = trio.testing.MockClock(autojump_threshold=0)
    anyio.run(main, backend="trio", backend_options={"clock": clock})


@pytest.mark.parametrize("after", [0.25, 2.0])
def test_nobody_waits_for_a_batch_that_nobody_carries(
    scene: "Scene", ra: SignatureCredential, after: float
) -> None:
    """The transaction that carries the batch is cancelled, before or after it has left."""
    store = TrustStore([scene.peer.root.der])
    server = Silent()
    octets: Iterator[bytes] = repeat(b"sixteen octets..")
    layers: list[Credential] = [ra]
    client = NestingClient(
        server,
        layers,
        Profile(),
        Trust(store, store),
        VirtualClock(),
        _derive,
        octets,
        size=3,
        wait=1.0,
    )
    own = Protector(macced(scene.peer.secret), Profile(), b"key")
    message = own.message(
        BodyType.IR,
        wrap(0x30),
        now=0.0,
        transaction_id=b"t" * 16,
        sender_nonce=b"n" * 16,
        recip_nonce=None,
    )
    lost: list[Loss] = []

    async def member() -> None:
        with pytest.raises(TransportError) as raised:
            await client.post(message)
        lost.append(raised.value.loss)

    async def main() -> None:
        async with anyio.create_task_group() as group:
            with anyio.CancelScope() as carrier:

                async def follow() -> None:
                    await anyio.sleep(0.1)
                    group.start_soon(member)
                    await anyio.sleep(after - 0.1)
                    carrier.cancel()

                group.start_soon(follow)
                await client.post(message)
            await anyio.sleep(0.1)
            assert lost == [Loss.CUT]
            # the next one begins a batch of its own
            with anyio.move_on_after(1.5):
                await client.post(message)
            assert len(server.posted) == 1 + (after > 1.0)

    run(main)
