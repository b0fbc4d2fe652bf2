"""ir, cr, kur and p10cr: certificates issued, or promised for later."""

from dataclasses import replace

from bulkcmp.cmp.messages import IT_IMPLICIT_CONFIRM, NULL_DN, PKIMessage
from bulkcmp.testca import enrollment as enrollments
from bulkcmp.testca import response
from bulkcmp.testca.enrollment import Enrollment
from bulkcmp.testca.entitlement import Entitlement
from bulkcmp.testca.exchange import Exchange
from bulkcmp.testca.issuer import Issuer
from bulkcmp.testca.refusal import RefusedError, Rejections
from bulkcmp.testca.response import Answer, Responder
from bulkcmp.testca.store import (
    CertificateStatus,
    IssuedCertificate,
    Store,
    Transaction,
    TransactionState,
)


class Issuance:
    """Answers requests for certificates."""

    def __init__(
        self,
        store: Store,
        entitlement: Entitlement,
        issuer: Issuer,
        responder: Responder,
        rejections: Rejections,
    ) -> None:
        self._store = store
        self._entitlement = entitlement
        self._issuer = issuer
        self._responder = responder
        self._rejections = rejections

    def answer(self, exchange: Exchange) -> Answer:
        """The ip, cp or kup to a request for a certificate.

        Raises:
            RefusedError: it is not granted.
            RemoteCmpError: the body can't be decoded.
        """
        behaviour = exchange.behaviour
        if self._store.transaction(exchange.transaction_id) is not None:
            raise RefusedError("transactionIdInUse", "this transactionID was used before")
        enrollment = enrollments.read(exchange.message, behaviour.p10cr_cert_req_id)
        self._issuer.check(enrollment)
        user, subject = self._entitlement.end_entity(exchange, enrollment)
        self._rejections.check(exchange.alias, behaviour)
        transaction = Transaction(
            exchange.transaction_id,
            exchange.alias.name,
            exchange.requester.identity,
            enrollment.cert_req_id,
            exchange.nonce,
            TransactionState.WAITING,
            request=exchange.request,
            polls_left=behaviour.poll_count,
        )
        if behaviour.poll_count:
            self._store.add_transaction(transaction)
            return Answer(response.waiting(exchange.message.body_type, enrollment.cert_req_id))
        answer, transaction = self.issue(
            exchange, exchange.message, transaction, enrollment, user, subject
        )
        self._store.add_transaction(transaction)
        return answer

    def issue(
        self,
        exchange: Exchange,
        request: PKIMessage,
        transaction: Transaction,
        enrollment: Enrollment,
        user: str | None,
        subject: bytes | None,
    ) -> tuple[Answer, Transaction]:
        """Issue a certificate; the answer with it, and what its transaction has become.

        Raises:
            RefusedError: the validity that is asked for is over, or empty.
        """
        issued = self._issuer.issue(enrollment, subject, exchange.now)
        implicit = (
            exchange.behaviour.implicit_confirm and request.info(IT_IMPLICIT_CONFIRM) is not None
        )
        name = subject or NULL_DN
        self._store.add_certificate(
            IssuedCertificate(
                serial=issued.serial,
                der=issued.der,
                subject=name,
                key_identifier=issued.key_identifier,
                alias=exchange.alias.name,
                user=user,
                is_ra=False,
                transaction_id=exchange.transaction_id,
                status=CertificateStatus.CONFIRMED if implicit else CertificateStatus.PENDING,
                issued_at=exchange.now,
            )
        )
        if user is not None:
            self._store.record_enrolled(user, exchange.alias.name, name)
        body = self._responder.issued(
            request.body_type, enrollment.cert_req_id, issued.der, changed=issued.changed
        )
        return Answer(body, implicit_confirm=implicit), replace(
            transaction,
            nonce=exchange.nonce,
            state=TransactionState.CONFIRMED if implicit else TransactionState.UNCONFIRMED,
            request=None,
            polls_left=0,
            serial=issued.serial,
        )
