"""Nested messages (RFC 9810, 5.1.3.4 and 5.1.3.5; RFC 9483, 5.2.2): an RA puts its own protection
around protected messages, layer by layer, and opens what comes back.

A `nested` around one message has that message's transactionID and nonces (RFC 9483, 5.2.2.1); one
around several has its own, and their answers are told apart by their transactionIDs (5.2.2.2).

What proves an answer. An inner message is judged by the transaction it is for, with or without
layers around it: a layer is no proof of what is in it. A bare answer, as EJBCA gives, is such a
message. An answer that is nested has at most the layers that were sent, and each of them must be
protected by a signature that the trust anchors stand behind, or by a MAC with the secret of our
layer at that place, and repeat transactionID and senderNonce. An error of the server for the whole
`nested` refuses each message in it, if it is protected as a layer must be; where it is not, it
counts as any other unprotected refusal does.
"""

import datetime as dt
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace

from bulkcmp.cmp import checks, outcomes, protection, strength
from bulkcmp.cmp.asn1 import decode, wrap
from bulkcmp.cmp.checks import CheckError, Reason, Verdicts
from bulkcmp.cmp.messages import (
    BodyType,
    ErrorMsgContent,
    PKIMessage,
    PKIStatus,
    decode_message,
    decode_nested,
)
from bulkcmp.cmp.protection import Derivation
from bulkcmp.cmp.request import Credential, Protector
from bulkcmp.cmp.trust import Trust
from bulkcmp.errors import RemoteCmpError
from bulkcmp.model import Outcome, OutcomeClass, Profile


@dataclass(frozen=True, slots=True)
class Envelope:
    """A `nested` message on its way.

    Attributes:
        message: its DER, all layers included.
        transaction_id, nonce: its transactionID and senderNonce; those of every layer.
        members: transactionIDs of the messages in it, in their order.
    """

    message: bytes
    transaction_id: bytes
    nonce: bytes
    members: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Refusal:
    """What came in the place of an answer.

    Attributes:
        outcome: `BAD_RESPONSE` where a check failed, else what the server's no comes to.
        proven: the no is known to be the CA's.
    """

    outcome: Outcome
    proven: bool = True


Answer = bytes | Refusal | None
"""DER of the message that answers one of ours; None where there is none."""


def seal(
    messages: Sequence[bytes],
    layers: Sequence[Protector],
    *,
    now: float,
    transaction_id: bytes,
    nonce: bytes,
) -> Envelope:
    """Put layers around messages.

    Args:
        messages: DER PKIMessages of different transactions, all with transactionID and senderNonce.
        layers: what protects each layer, the innermost first; one at least.
        now: Unix time, seconds, for messageTime.
        transaction_id, nonce: 16 fresh random octets each; used where there are several messages.
    """
    headers = [decode_message(message).header for message in messages]
    members = tuple(header.transactionID or b"" for header in headers)
    recip_nonce: bytes | None = None
    if len(headers) == 1:
        (header,) = headers
        transaction_id, nonce = members[0], header.senderNonce or b""
        recip_nonce = header.recipNonce
    content = wrap(0x30, *messages)
    message = b""
    for layer in layers:
        message = layer.message(
            BodyType.NESTED,
            content,
            now=now,
            transaction_id=transaction_id,
            sender_nonce=nonce,
            recip_nonce=recip_nonce,
            pvno=max(header.pvno for header in headers),
        )
        content = wrap(0x30, message)
    return Envelope(message, transaction_id, nonce, members)


def unseal(
    envelope: Envelope,
    answer: bytes,
    layers: Sequence[Credential],
    profile: Profile,
    trust: Trust,
    at: float,
) -> Generator[Derivation, bytes, tuple[Answer, ...]]:
    """Open the answer to an envelope.

    A generator: it yields how MAC keys are derived, is sent the keys, and returns the answer to
    each message of the envelope.

    Args:
        answer: what was received, DER of a PKIMessage or anything else.
        layers: the credentials of the envelope's layers, the innermost first.
        at: Unix time, seconds, of its receipt.
    """
    try:
        return (yield from _Opening(envelope, layers, profile, trust, at).open(answer))
    except RemoteCmpError as error:
        reason = error.reason if isinstance(error, CheckError) else Reason.MALFORMED
        return (_bad(reason, error.what),) * len(envelope.members)


def _bad(reason: Reason, what: str) -> Refusal:
    return Refusal(Outcome(OutcomeClass.BAD_RESPONSE, reason.value, what))


class _Opening:
    def __init__(
        self,
        envelope: Envelope,
        layers: Sequence[Credential],
        profile: Profile,
        trust: Trust,
        at: float,
    ) -> None:
        self._envelope = envelope
        self._members = envelope.members
        self._layers = list(reversed(layers))
        self._profile = profile
        self._trust = trust
        self._at = dt.datetime.fromtimestamp(at, dt.UTC)

    def open(self, answer: bytes) -> Generator[Derivation, bytes, tuple[Answer, ...]]:
        inner: tuple[bytes, ...] = (answer,)
        depth = 0
        while len(inner) == 1:
            message = decode_message(inner[0])
            if message.body_type is not BodyType.NESTED:
                return (yield from self._open_last(inner[0], message, depth))
            if depth == len(self._layers):
                raise CheckError(
                    Reason.NESTING,
                    f"the answer has more layers than the {len(self._layers)} that were sent",
                )
            yield from self._prove(message, depth)
            inner = decode_nested(message)
            depth += 1
        return self._sort(inner)

    def _open_last(
        self, der: bytes, message: PKIMessage, depth: int
    ) -> Generator[Derivation, bytes, tuple[Answer, ...]]:
        """A message that is alone, and no `nested`."""
        alone = len(self._members) == 1
        if alone:
            # only a MAC of the RA's layer is something that the transaction can't check
            is_whole = depth == 0 and self._layers[0].secret is not None
        else:
            is_whole = message.header.transactionID not in self._members
        if message.body_type is not BodyType.ERROR or not is_whole:
            return self._sort((der,))
        content = decode(ErrorMsgContent, message.body)
        try:
            yield from self._prove(message, max(depth - 1, 0))
        except CheckError as error:
            if alone:
                # it may be protected for the inner message
                return (der,)
            refusal = self._refusal(message, content, error)
        else:
            if content.pKIStatusInfo.status == PKIStatus.WAITING:
                raise CheckError(Reason.BODY_TYPE, "the server has the nested as a whole wait")
            refusal = self._refusal(message, content, None)
        return (refusal,) * len(self._members)

    def _refusal(
        self, message: PKIMessage, content: ErrorMsgContent, error: CheckError | None
    ) -> Refusal:
        """What an error for the whole comes to.

        Args:
            error: why it is not proven.
        """
        is_ours = message.header.transactionID == self._envelope.transaction_id
        believed = error is None or (self._profile.unprotected_errors and is_ours)
        outcome = outcomes.refused(
            content.pKIStatusInfo, authenticated=believed, details=content.errorDetails or []
        )
        if not believed:
            outcome = replace(outcome, detail=f"{outcome.detail}; {error}")
        return Refusal(outcome, proven=believed)

    def _prove(self, message: PKIMessage, depth: int) -> Generator[Derivation, bytes, None]:
        """Check protection and header of a layer.

        Args:
            depth: of the layer, the outermost is 0.

        Raises:
            CheckError: with the reason.
        """
        if message.protection is None or message.header.protectionAlg is None:
            raise CheckError(Reason.PROTECTION_MISSING, "the nested answer is not protected")
        try:
            parameters = protection.mac_parameters(
                message, max_iterations=self._profile.max_pbm_iterations
            )
        except RemoteCmpError as error:
            raise CheckError(Reason.PROTECTION_ALGORITHM, error.what, hint=error.hint) from error
        if parameters is None:
            checks.signer(
                message,
                self._trust,
                self._at,
                ignore_keyusage=self._profile.ignore_keyusage,
                allow_weak=self._profile.allow_weak,
            )
        else:
            Verdicts().judged(
                Reason.PROTECTION_WEAK,
                strength.of_mac(parameters),
                allow_weak=self._profile.allow_weak,
            )
            secret = self._layers[depth].secret
            if secret is None:
                raise CheckError(
                    Reason.NO_SECRET, "the nested answer has a MAC, but our layer has a signature"
                )
            key = yield parameters.derivation(secret)
            try:
                protection.check_mac(message, parameters, key)
            except RemoteCmpError as error:
                raise CheckError(Reason.MAC, error.what) from error
        checks.header(
            message,
            transaction_id=self._envelope.transaction_id,
            nonces=[self._envelope.nonce],
            expect_sender=self._profile.expect_sender,
        )

    def _sort(self, answers: tuple[bytes, ...]) -> tuple[Answer, ...]:
        """The answer to each member; what answers none of them is nobody's."""
        if len(self._members) == 1 == len(answers):
            # its transaction tells what may be wrong with it
            return answers
        found: dict[bytes | None, list[bytes]] = {}
        for der in answers:
            try:
                transaction_id = decode_message(der).header.transactionID
            except RemoteCmpError:
                continue
            found.setdefault(transaction_id, []).append(der)
        return tuple(_only(found.get(member, [])) for member in self._members)


def _only(answers: list[bytes]) -> Answer:
    if len(answers) > 1:
        return _bad(
            Reason.RESPONSE_COUNT, f"{len(answers)} messages in the batch answer this transaction"
        )
    return answers[0] if answers else None
