"""ir, cr, kur and p10cr: certificates issued, promised for later, or refused."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from cryptography import x509

from bulkcmp.cmp.messages import IT_IMPLICIT_CONFIRM, NULL_DN, CertResponse
from bulkcmp.testca import enrollment as enrollments
from bulkcmp.testca import response
from bulkcmp.testca.encryption import Encryption
from bulkcmp.testca.enrollment import Enrollment, Request
from bulkcmp.testca.entitlement import Entitlement
from bulkcmp.testca.exchange import Exchange
from bulkcmp.testca.generation import KeyGeneration
from bulkcmp.testca.issuer import Issuer
from bulkcmp.testca.refusal import RefusedError, Rejections, rejected
from bulkcmp.testca.response import Answer, Responder
from bulkcmp.testca.store import (
    CertificateStatus,
    CertRequestState,
    IssuedCertificate,
    RequestState,
    Store,
    Transaction,
)


@dataclass(frozen=True, slots=True)
class _Grant:
    """What a request gets: which certificate, for which end entity, under which subject."""

    enrollment: Enrollment
    user: str | None
    subject: bytes | None


class Issuance:
    """Answers requests for certificates, one or several in a message."""

    def __init__(
        self,
        store: Store,
        entitlement: Entitlement,
        issuer: Issuer,
        generation: KeyGeneration,
        encryption: Encryption,
        responder: Responder,
        rejections: Rejections,
    ) -> None:
        self._store = store
        self._entitlement = entitlement
        self._issuer = issuer
        self._generation = generation
        self._encryption = encryption
        self._responder = responder
        self._rejections = rejections

    def answer(self, exchange: Exchange) -> Answer:
        """The ip, cp or kup with a CertResponse for each request of a message.

        Raises:
            RefusedError: no request can be told from the others, or the only one is refused by an
                error message.
            RemoteCmpError: the body can't be decoded.
        """
        if self._store.transaction(exchange.transaction_id) is not None:
            raise RefusedError("transactionIdInUse", "this transactionID was used before")
        requests = enrollments.requests_in(exchange.message, exchange.behaviour.p10cr_cert_req_id)
        if not requests:
            raise RefusedError("badRequest", "no request in the message")
        if exchange.behaviour.strict and len(requests) > 1:
            raise rejected("badRequest", "one request in a message, says RFC 9483")
        if len({one.cert_req_id for one in requests}) != len(requests):
            raise RefusedError("badRequest", "a certReqId is there twice")
        responses: list[CertResponse] = []
        states: list[CertRequestState] = []
        implicit = _confirms_implicitly(exchange, requests)
        for index, request in enumerate(requests):
            try:
                one, state = self._first_answer(exchange, request, index, implicit=implicit)
            except RefusedError as refusal:
                if len(requests) == 1 and not refusal.as_response:
                    raise
                one, state = _reject(request, refusal)
            responses.append(one)
            states.append(state)
        # a transaction that nothing is to come of is over
        if any(state.state is not RequestState.REJECTED for state in states):
            self._store.add_transaction(
                Transaction(
                    exchange.transaction_id,
                    exchange.alias.name,
                    exchange.requester.identity,
                    exchange.nonce,
                    tuple(states),
                    exchange.request if _waits(states) else None,
                )
            )
        return self._answer(exchange, responses, states, implicit=implicit)

    def deliver(
        self, exchange: Exchange, transaction: Transaction, cert_req_ids: frozenset[int]
    ) -> tuple[Answer, Transaction]:
        """The ip, cp or kup for requests that have waited, and what the transaction has become.

        Args:
            exchange: the message that began the transaction, at the time of its last pollReq.
            cert_req_ids: which requests are ready.
        """
        responses: list[CertResponse] = []
        states: list[CertRequestState] = []
        p10cr_id = transaction.requests[0].cert_req_id
        requests = enrollments.requests_in(exchange.message, p10cr_id)
        implicit = _confirms_implicitly(exchange, requests)
        for request in requests:
            if request.cert_req_id not in cert_req_ids:
                continue
            try:
                grant = self._grant(exchange, request)
                one, state = self._issue(exchange, grant, implicit=implicit)
            except RefusedError as refusal:
                # good when it came, not any more: its validity is over, the user enrolled meanwhile
                one, state = _reject(request, refusal)
            responses.append(one)
            states.append(state)
        changed = {state.cert_req_id: state for state in states}
        all_states = tuple(changed.get(one.cert_req_id, one) for one in transaction.requests)
        transaction = replace(
            transaction,
            requests=all_states,
            message=transaction.message if _waits(all_states) else None,
        )
        return self._answer(exchange, responses, states, implicit=implicit), transaction

    def _first_answer(
        self, exchange: Exchange, request: Request, index: int, *, implicit: bool
    ) -> tuple[CertResponse, CertRequestState]:
        grant = self._grant(exchange, request)
        self._rejections.check(exchange.alias, exchange.behaviour)
        behaviour = exchange.behaviour
        if behaviour.poll_count and (index + 1) % behaviour.poll_every == 0:
            return response.waiting(request.cert_req_id), CertRequestState(
                request.cert_req_id, RequestState.WAITING, polls_left=behaviour.poll_count
            )
        return self._issue(exchange, grant, implicit=implicit)

    def _grant(self, exchange: Exchange, request: Request) -> _Grant:
        enrollment = enrollments.read(request, exchange.message.header.sender)
        if exchange.behaviour.strict:
            _check_profile(enrollment)
        self._issuer.check(enrollment)
        if enrollment.public_key is None:
            self._generation.check(exchange.requester)
        user, subject = self._entitlement.end_entity(exchange, enrollment)
        return _Grant(enrollment, user, subject)

    def _issue(
        self, exchange: Exchange, grant: _Grant, *, implicit: bool
    ) -> tuple[CertResponse, CertRequestState]:
        """Issue a certificate.

        Raises:
            RefusedError: the validity that is asked for is over, or empty; or the certificate can't
                be encrypted.
        """
        enrollment = grant.enrollment
        cert_req_id = enrollment.cert_req_id
        private_key: bytes | None = None
        if enrollment.public_key is None:
            key = self._generation.make(enrollment.key_spec)
            enrollment = replace(enrollment, public_key=key.public_key())
            private_key = self._generation.seal(key, exchange)
        issued = self._issuer.issue(enrollment, grant.subject, exchange.now)
        encrypted: bytes | None = None
        if enrollment.popo.is_indirect:
            certificate = x509.load_der_x509_certificate(issued.der)
            pvno = exchange.message.header.pvno
            encrypted = self._encryption.encrypt(issued.der, certificate, pvno)
        name = grant.subject or NULL_DN
        self._store.add_certificate(
            IssuedCertificate(
                serial=issued.serial,
                der=issued.der,
                subject=name,
                key_identifier=issued.key_identifier,
                alias=exchange.alias.name,
                user=grant.user,
                is_ra=False,
                transaction_id=exchange.transaction_id,
                status=CertificateStatus.CONFIRMED if implicit else CertificateStatus.PENDING,
                issued_at=exchange.now,
            )
        )
        if grant.user is not None:
            self._store.record_enrolled(grant.user, exchange.alias.name, name)
        return (
            response.issued(
                cert_req_id,
                issued.der,
                encrypted=encrypted,
                private_key=private_key,
                changed=issued.changed,
            ),
            CertRequestState(
                cert_req_id,
                RequestState.CONFIRMED if implicit else RequestState.UNCONFIRMED,
                serial=issued.serial,
            ),
        )

    def _answer(
        self,
        exchange: Exchange,
        responses: list[CertResponse],
        states: list[CertRequestState],
        *,
        implicit: bool,
    ) -> Answer:
        answer = self._responder.certificates(exchange.message.body_type, responses)
        confirmed = any(state.state is RequestState.CONFIRMED for state in states)
        return replace(answer, implicit_confirm=confirmed and implicit)


def _check_profile(enrollment: Enrollment) -> None:
    """Check what RFC 9483 wants and RFC 9810 leaves open (4.1.1 and 4.1.4)."""
    if enrollment.cert_req_id > 0:
        raise rejected("badRequest", "certReqId is 0")
    if enrollment.subject is None:
        raise rejected("badCertTemplate", "no subject")


def _confirms_implicitly(exchange: Exchange, requests: Iterable[Request]) -> bool:
    """Whether the requests of a message need no certConf; where it is the proof of possession, all
    of them do."""
    asked = exchange.message.info(IT_IMPLICIT_CONFIRM) is not None
    unproven = any(request.is_indirect for request in requests)
    return asked and exchange.behaviour.implicit_confirm and not unproven


def _waits(states: Iterable[CertRequestState]) -> bool:
    return any(state.state is RequestState.WAITING for state in states)


def _reject(request: Request, refusal: RefusedError) -> tuple[CertResponse, CertRequestState]:
    return response.rejection(request.cert_req_id, refusal), CertRequestState(
        request.cert_req_id, RequestState.REJECTED
    )
