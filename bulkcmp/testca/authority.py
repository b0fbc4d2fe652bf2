"""The CA's answers to CMP requests, independent of how they travel."""

import datetime as dt
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

from bulkcmp.cmp.messages import BodyType, PKIMessage, decode_message, decode_nested
from bulkcmp.errors import RemoteCmpError
from bulkcmp.testca import enrollment as enrollments
from bulkcmp.testca import response
from bulkcmp.testca.aliases import RA_HMAC, Alias, Behaviour
from bulkcmp.testca.answering import Answering
from bulkcmp.testca.authentication import Authenticator, Requester
from bulkcmp.testca.confirmation import Confirmation
from bulkcmp.testca.encryption import Encryption
from bulkcmp.testca.entitlement import Entitlement
from bulkcmp.testca.exchange import Exchange
from bulkcmp.testca.generation import KeyGeneration
from bulkcmp.testca.header import FOLLOWING, check_header
from bulkcmp.testca.identity import Identity, MacIdentity
from bulkcmp.testca.information import Information
from bulkcmp.testca.issuance import Issuance
from bulkcmp.testca.issuer import Issuer
from bulkcmp.testca.polling import Polling
from bulkcmp.testca.refusal import RefusedError, Rejections
from bulkcmp.testca.response import Answer, Responder
from bulkcmp.testca.revocation import Revocation
from bulkcmp.testca.sharing import ReplyMac, Sharing
from bulkcmp.testca.store import Store
from bulkcmp.testca.termination import Termination

_MAX_LAYERS: Final = 16
"""Layers of `nested` messages around each other."""

Operation: TypeAlias = Callable[[Exchange], Answer]
"""Answers one type of message; raises RefusedError where it refuses."""


class Authority(Answering):
    """A CA: books and a root in, answers to requests out.

    Args:
        store: the books.
        root: the CA's key and certificate.
        behaviour: how every alias behaves,
        exceptions: but for these, by name.
        crl_url: where clients find the CRL; issued certificates say so.
        vendors: DER certificates of the CAs whose devices may enroll at the alias 3gpp.
        mac_identities: keys for DHBasedMac and KEM-based MAC.
        token_bytes: a source of random octets.
    """

    def __init__(
        self,
        store: Store,
        root: Identity,
        behaviour: Behaviour | None = None,
        exceptions: Mapping[str, Behaviour] | None = None,
        *,
        crl_url: str | None = None,
        vendors: Sequence[bytes] = (),
        mac_identities: Sequence[MacIdentity] = (),
        token_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        super().__init__(store, root, behaviour, exceptions)
        self._sharing = Sharing(store, mac_identities)
        self._names = {root.name} | self._sharing.names
        self._authenticator = Authenticator(store, self._sharing, vendors)
        self._responder = Responder(root, token_bytes)
        entitlement = Entitlement(store, root.name)
        rejections = Rejections()
        issuer = Issuer(root, crl_url)
        issuance = Issuance(
            store,
            entitlement,
            issuer,
            KeyGeneration(root, token_bytes),
            Encryption(token_bytes),
            self._responder,
            rejections,
        )
        self._polling = Polling(store, issuance, self._answer_deferred)
        revocation = Revocation(store, root.name, entitlement, rejections)
        self._operations: dict[BodyType, Operation] = {
            **dict.fromkeys(enrollments.REQUESTS, issuance.answer),
            BodyType.POLL_REQ: self._polling.answer,
            BodyType.CERT_CONF: Confirmation(store).answer,
            BodyType.RR: revocation.answer,
            BodyType.GENM: Information(store, root, crl_url).answer,
            BodyType.ERROR: Termination(store).answer,
        }

    def handle(self, alias: Alias, request: bytes, now: dt.datetime) -> bytes:
        return self._handle(alias, request, now, layers=0)

    def _handle(self, alias: Alias, request: bytes, now: dt.datetime, *, layers: int) -> bytes:
        """Answer a request that came within so many layers of `nested` messages."""
        behaviour = self.behaviour(alias)
        nonce = self._responder.make_nonce()
        message: PKIMessage | None = None
        requester: Requester | None = None
        encapsulated: ReplyMac | None = None
        signs = behaviour.signs_answers(alias)
        try:
            message = decode_message(request)
            if message.body_type is BodyType.NESTED:
                signs = behaviour.signs_answers(RA_HMAC)
                requester = self._authenticator.authenticate_layer(message, now)
                check_header(message, behaviour, self._names, now)
                answer = response.nested(self._answer_each(alias, message, now, layers + 1))
            else:
                if alias.nested and not layers:
                    raise RefusedError(
                        "notAuthorized", f"alias {alias.name} takes nested messages of an RA only"
                    )
                # before all checks: a refusal is proven by it too
                encapsulated = self._sharing.encapsulated(message)
                requester = self._authenticator.authenticate(alias, message, now)
                check_header(message, behaviour, self._names, now)
                exchange = Exchange(alias, behaviour, message, request, requester, nonce, now)
                with self._store.writing():
                    self._sharing.keep(message, encapsulated, now)
                    answer = self._answer(exchange)
        except (RemoteCmpError, RefusedError) as problem:
            answer = _refuse(message, behaviour, problem)
        return self._responder.message(
            message,
            requester,
            answer,
            nonce=nonce,
            now=now,
            encapsulated=encapsulated,
            sign=signs,
            protect=not (answer.refuses and behaviour.unprotected_errors),
        )

    def _answer_each(
        self, alias: Alias, message: PKIMessage, now: dt.datetime, layers: int
    ) -> list[bytes]:
        """Answer the messages in a `nested`, each for itself (RFC 9483, 5.2.2)."""
        if layers > _MAX_LAYERS:
            raise RefusedError("badDataFormat", f"more than {_MAX_LAYERS} layers of nested")
        return [self._handle(alias, one, now, layers=layers) for one in decode_nested(message)]

    def _answer(self, exchange: Exchange) -> Answer:
        operation = self._operations.get(exchange.message.body_type)
        if operation is None:
            label = exchange.message.body_type.label
            raise RefusedError("badRequest", f"{label} is not answered here")
        if exchange.message.body_type not in FOLLOWING and exchange.behaviour.defers:
            return self._polling.defer(exchange)
        return operation(exchange)

    def _answer_deferred(self, exchange: Exchange) -> Answer:
        """The answer to a request that waited as a whole; a refusal is one too."""
        try:
            return self._answer(exchange)
        except (RemoteCmpError, RefusedError) as problem:
            return _refuse(exchange.message, exchange.behaviour, problem)


def _refuse(
    message: PKIMessage | None, behaviour: Behaviour, refusal: RefusedError | RemoteCmpError
) -> Answer:
    """The error message for a refusal, or the request's own response with a rejection.

    What can't be answered in its own terms, as its requests can't be told apart, gets an error.
    """
    if isinstance(refusal, RemoteCmpError):
        return response.error(RefusedError("badDataFormat", refusal.what))
    if message is None:
        return response.error(refusal)
    if message.body_type is BodyType.RR:
        # RFC 9483, 4.2: whatever is wrong with a rr, its answer is a rp
        return response.revocations([refusal])
    if refusal.as_response:
        try:
            requests = enrollments.requests_in(message, behaviour.p10cr_cert_req_id)
        except RemoteCmpError:
            requests = []
        if requests:
            ids = [one.cert_req_id for one in requests]
            return response.rejections(message.body_type, ids, refusal)
    return response.error(refusal)
