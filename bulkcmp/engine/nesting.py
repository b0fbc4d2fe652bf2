"""Sends messages in `nested` ones: under the layers of RAs, each alone or several in a batch."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol

import anyio
import anyio.to_thread

from bulkcmp.cmp import nested
from bulkcmp.cmp.nested import Refusal
from bulkcmp.cmp.protection import Derivation
from bulkcmp.cmp.request import Credential, MacCredential, Protector
from bulkcmp.cmp.trust import Trust
from bulkcmp.errors import LocalCmpError, Loss, TransportError
from bulkcmp.io.clock import Clock
from bulkcmp.io.http import Reply
from bulkcmp.io.times import ExchangeTimes
from bulkcmp.model import Profile


class Client(Protocol):
    """Brings messages to the server: `CmpHttpClient`, or `NestingClient` around it."""

    async def post(self, message: bytes) -> Reply:
        """Send the DER of a PKIMessage, and return that of the answer.

        Raises:
            TransportError: no CMP answer came.
            NestingError: what came in its place.
        """
        ...


@dataclass(frozen=True, slots=True)
class NestedReply(Reply):
    """The answer to a message that went in a `nested`.

    Attributes:
        envelope: DER of that `nested`, and
        answer: of what was answered to it.
    """

    envelope: bytes
    answer: bytes


class NestingError(Exception):
    """A message was refused together with those that it travelled with, or their answer was bad.

    Attributes:
        envelope, answer: as of `NestedReply`.
    """

    def __init__(
        self, refusal: Refusal, times: ExchangeTimes, envelope: bytes, answer: bytes
    ) -> None:
        super().__init__(refusal.outcome.detail)
        self.refusal = refusal
        self.times = times
        self.envelope = envelope
        self.answer = answer


class NestingLossError(TransportError):
    """No CMP answer to a `nested` came, or none in it to one of its messages.

    Attributes:
        envelope: as of `NestedReply`; answer: the same, or None.
    """

    def __init__(
        self,
        loss: Loss,
        what: str,
        envelope: bytes,
        answer: bytes | None = None,
        *,
        retry_after: float | None = None,
        status: int | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(loss, what, retry_after=retry_after, status=status, hint=hint)
        self.envelope = envelope
        self.answer = answer


@dataclass(slots=True)
class _Batch:
    """Messages that leave together.

    Attributes:
        results: what came of each message.
    """

    messages: list[bytes] = field(default_factory=list)
    full: anyio.Event = field(default_factory=anyio.Event)
    done: anyio.Event = field(default_factory=anyio.Event)
    results: Sequence[Reply | NestingError | TransportError] = ()


class NestingClient:
    """A client that puts layers around messages, and takes them off the answers.

    Args:
        client: brings the `nested` messages to the server.
        layers: the RAs' credentials, the innermost first; one at least.
        profile: recipient, digest, and what answers must be like.
        derive: makes a MAC key.
        octets: gives 16 random octets each time.
        size: messages in a batch at most.
        wait: seconds that a batch waits to be full.
        aside: of the threads in which layers are made, where a key takes its time (an HSM's);
            None: on the event loop.
    """

    def __init__(
        self,
        client: Client,
        layers: Sequence[Credential],
        profile: Profile,
        trust: Trust,
        clock: Clock,
        derive: Callable[[Derivation], Awaitable[bytes]],
        octets: Iterator[bytes],
        *,
        size: int = 1,
        wait: float = 0.0,
        aside: anyio.CapacityLimiter | None = None,
    ) -> None:
        self._client = client
        self._layers = layers
        self._profile = profile
        self._trust = trust
        self._clock = clock
        self._derive = derive
        self._octets = octets
        self._size = size
        self._wait = wait
        self._aside = aside
        self._gathering: _Batch | None = None
        self._protectors: Sequence[Protector] = ()

    async def post(self, message: bytes) -> Reply:
        """Send a message with others, and return the answer to it.

        Raises:
            TransportError: no CMP answer to it came.
            NestingError: the answer to all of them was a refusal, or bad.
        """
        batch = self._gathering
        leads = batch is None
        if batch is None:
            batch = self._gathering = _Batch()
        place = len(batch.messages)
        batch.messages.append(message)
        if len(batch.messages) >= self._size:
            self._gathering = None
            batch.full.set()
        if leads:
            await self._carry(batch)
        else:
            await batch.done.wait()
        result = batch.results[place]
        if isinstance(result, Reply):
            return result
        raise result

    async def _carry(self, batch: _Batch) -> None:
        """Send a batch once it is full, or has waited."""
        try:
            try:
                with anyio.move_on_after(self._wait):
                    await batch.full.wait()
            finally:
                if self._gathering is batch:
                    self._gathering = None
            batch.results = await self._exchange(batch.messages)
        finally:
            if not batch.results:
                # the one that carries it was cancelled: the others never wait in vain
                batch.results = [_lost(batch) for _ in batch.messages]
            batch.done.set()

    async def _exchange(
        self, messages: Sequence[bytes]
    ) -> list[Reply | NestingError | TransportError]:
        try:
            envelope = await self._seal(messages)
        except LocalCmpError as error:
            return [TransportError(Loss.NO_LAYER, error.what) for _ in messages]
        try:
            reply = await self._client.post(envelope.message)
        except TransportError as error:
            return [_copy(error, envelope.message) for _ in messages]
        opening = nested.unseal(
            envelope,
            reply.body,
            self._layers,
            self._profile,
            self._trust,
            self._clock.unix(reply.times.finished),
        )
        try:
            derivation = next(opening)
            while True:
                derivation = opening.send(await self._derive(derivation))
        except StopIteration as end:
            answers: tuple[nested.Answer, ...] = end.value
        return [_result(answer, envelope.message, reply) for answer in answers]

    async def _seal(self, messages: Sequence[bytes]) -> nested.Envelope:
        layers = self._protectors = self._protectors or await self._protect()
        seal = partial(
            nested.seal,
            messages,
            layers,
            now=self._clock.now(),
            transaction_id=next(self._octets),
            nonce=next(self._octets),
        )
        if self._aside is None:
            return seal()
        return await anyio.to_thread.run_sync(seal, limiter=self._aside)

    async def _protect(self) -> Sequence[Protector]:
        # --extracerts go with the rows' own messages
        profile = replace(self._profile, extra_certs=())
        protectors = []
        for layer in self._layers:
            key = None
            if isinstance(layer, MacCredential):
                key = await self._derive(layer.derivation)
            protectors.append(Protector(layer, profile, key))
        return protectors


def _result(
    answer: nested.Answer, envelope: bytes, reply: Reply
) -> NestedReply | NestingError | NestingLossError:
    if isinstance(answer, Refusal):
        return NestingError(answer, reply.times, envelope, reply.body)
    if answer is None:
        what = "the answer to the batch has none to this message"
        return NestingLossError(Loss.NOT_IN_BATCH, what, envelope, reply.body)
    return NestedReply(answer, reply.times, reply.repeated, envelope, reply.body)


def _copy(error: TransportError, envelope: bytes) -> NestingLossError:
    """An error for one of several tasks: each raises its own."""
    return NestingLossError(
        error.loss,
        error.what,
        envelope,
        retry_after=error.retry_after,
        status=error.status,
        hint=error.hint,
    )


def _lost(batch: _Batch) -> TransportError:
    return TransportError(Loss.CUT, f"a batch of {len(batch.messages)} was given up")
