"""The CA's answers to CMP requests, independent of how they travel."""

import datetime as dt
import hmac
import secrets
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from cryptography import x509
from cryptography.x509.oid import CRLEntryExtensionOID

from bulkcmp.cmp import algorithms
from bulkcmp.cmp.asn1 import TLV, content, decode, encode, tag, wrap
from bulkcmp.cmp.messages import (
    IT_IMPLICIT_CONFIRM,
    NULL_DN,
    PVNO_CMP2000,
    PVNO_CMP2021,
    BodyType,
    CertStatus,
    Extension,
    PKIMessage,
    PKIStatus,
    PollReq,
    RevDetails,
    decode_cert_confirm_content,
    decode_message,
    decode_poll_req_content,
    decode_rev_req_content,
)
from bulkcmp.errors import RemoteCmpError
from bulkcmp.model import RevocationReason
from bulkcmp.testca import enrollment as enrollments
from bulkcmp.testca import response
from bulkcmp.testca.aliases import Alias, Behaviour, PollingNonce
from bulkcmp.testca.authentication import Authenticator, Requester
from bulkcmp.testca.enrollment import REQUESTS, Enrollment
from bulkcmp.testca.entitlement import Entitlement
from bulkcmp.testca.exchange import Exchange
from bulkcmp.testca.identity import Identity
from bulkcmp.testca.issuer import Issuer
from bulkcmp.testca.refusal import RefusedError, rejected
from bulkcmp.testca.response import NONCE_OCTETS, Answer, Responder
from bulkcmp.testca.store import (
    CertificateStatus,
    EndEntityStatus,
    IssuedCertificate,
    Store,
    Transaction,
    TransactionState,
)

_TRANSACTION_ID_OCTETS: Final = 16
_CRL_REASON: Final = CRLEntryExtensionOID.CRL_REASON
_ENUMERATED: Final = 0x0A


class Authority:
    """A CA: books and a root in, answers to requests out.

    Args:
        store: the books.
        root: the CA's key and certificate.
        behaviour: how every alias behaves,
        exceptions: but for these, by name.
        token_bytes: a source of random octets.
    """

    def __init__(
        self,
        store: Store,
        root: Identity,
        behaviour: Behaviour | None = None,
        exceptions: Mapping[str, Behaviour] | None = None,
        *,
        token_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._store = store
        self._name = root.name
        self._behaviour = behaviour or Behaviour()
        self._exceptions = dict(exceptions or {})
        self._authenticator = Authenticator(store)
        self._entitlement = Entitlement(store, root.name)
        self._issuer = Issuer(root)
        self._responder = Responder(root, token_bytes)
        self._requests: dict[str, int] = {}

    def behaviour(self, alias: Alias) -> Behaviour:
        """How an alias behaves."""
        return self._exceptions.get(alias.name, self._behaviour)

    def handle(self, alias: Alias, request: bytes, now: dt.datetime) -> bytes:
        """Answer a request; what changes in the books is committed when this returns.

        Args:
            request: what was received, DER of a PKIMessage or anything else.
            now: the time, aware.

        Returns:
            DER of a PKIMessage.

        Raises:
            BulkcmpError: the books can't be written.
        """
        behaviour = self.behaviour(alias)
        nonce = self._responder.make_nonce()
        message: PKIMessage | None = None
        requester: Requester | None = None
        try:
            message = decode_message(request)
            requester = self._authenticator.authenticate(alias, message, now)
            _check_header(message, behaviour, now)
            exchange = Exchange(alias, behaviour, message, request, requester, nonce, now)
            with self._store.writing():
                answer = self._answer(exchange)
        except RemoteCmpError as problem:
            answer = response.error(RefusedError("badDataFormat", problem.what))
        except RefusedError as refusal:
            answer = _refuse(message, behaviour, refusal)
        return self._responder.message(
            message,
            requester,
            answer,
            nonce=nonce,
            now=now,
            sign=behaviour.signs_answers(alias),
            protect=not (answer.refuses and behaviour.unprotected_errors),
        )

    def _answer(self, exchange: Exchange) -> Answer:
        match exchange.message.body_type:
            case body_type if body_type in REQUESTS:
                return self._enroll(exchange)
            case BodyType.CERT_CONF:
                return self._confirm(exchange)
            case BodyType.POLL_REQ:
                return self._poll(exchange)
            case BodyType.RR:
                return self._revoke(exchange)
            case other:
                raise RefusedError("badRequest", f"{other.label} is not answered here")

    # --- ir, cr, kur, p10cr

    def _enroll(self, exchange: Exchange) -> Answer:
        behaviour = exchange.behaviour
        if self._store.transaction(exchange.transaction_id) is not None:
            raise RefusedError("transactionIdInUse", "this transactionID was used before")
        enrollment = enrollments.read(exchange.message, behaviour.p10cr_cert_req_id)
        self._issuer.check(enrollment)
        user, subject = self._entitlement.end_entity(exchange, enrollment)
        self._reject_as_told(exchange)
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
        answer, transaction = self._issue(
            exchange, exchange.message, transaction, enrollment, user, subject
        )
        self._store.add_transaction(transaction)
        return answer

    def _issue(
        self,
        exchange: Exchange,
        request: PKIMessage,
        transaction: Transaction,
        enrollment: Enrollment,
        user: str | None,
        subject: bytes | None,
    ) -> tuple[Answer, Transaction]:
        """Issue a certificate; the answer with it, and what its transaction has become."""
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

    def _reject_as_told(self, exchange: Exchange) -> None:
        fail_info = exchange.behaviour.reject
        if fail_info is None:
            return
        count = self._requests.get(exchange.alias.name, 0) + 1
        self._requests[exchange.alias.name] = count
        if count % exchange.behaviour.reject_every == 0:
            raise rejected(fail_info, "rejected, as this CA was told to do")

    # --- pollReq

    def _poll(self, exchange: Exchange) -> Answer:
        transaction = self._transaction(exchange)
        requests: list[PollReq] = decode_poll_req_content(exchange.message.body)
        waiting = transaction.request
        if waiting is None:
            raise RefusedError("badRequest", "nothing waits in this transaction")
        if [one.certReqId for one in requests] != [transaction.cert_req_id]:
            raise RefusedError("badRequest", f"what waits is certReqId {transaction.cert_req_id}")
        left = transaction.polls_left - 1
        if left > 0:
            transaction = replace(transaction, nonce=exchange.nonce, polls_left=left)
            self._store.update_transaction(transaction)
            return Answer(
                response.poll_response(transaction.cert_req_id, exchange.behaviour.check_after)
            )
        request = decode_message(waiting)
        try:
            enrollment = enrollments.read(request, transaction.cert_req_id)
            original = replace(exchange, message=request)
            user, subject = self._entitlement.end_entity(original, enrollment)
            answer, transaction = self._issue(
                exchange, request, transaction, enrollment, user, subject
            )
        except RefusedError as refusal:
            # good when it came, not any more: its validity is over, the user enrolled meanwhile
            answer = response.rejection(request.body_type, transaction.cert_req_id, refusal)
            transaction = replace(
                transaction,
                nonce=exchange.nonce,
                state=TransactionState.REJECTED,
                request=None,
                polls_left=0,
            )
        self._store.update_transaction(transaction)
        if exchange.behaviour.polling_nonce is PollingNonce.REQUEST:
            return replace(answer, recip_nonce=request.header.senderNonce)
        return answer

    # --- certConf

    def _confirm(self, exchange: Exchange) -> Answer:
        transaction = self._transaction(exchange)
        if transaction.serial is None:
            raise RefusedError("badRequest", "no certificate was issued in this transaction yet")
        certificate = self._store.certificate(transaction.serial)
        assert certificate is not None, "issued with the transaction"
        statuses: list[CertStatus] = decode_cert_confirm_content(exchange.message.body)
        accepted = _verdict(statuses, transaction, certificate)
        verdict = TransactionState.CONFIRMED if accepted else TransactionState.REJECTED
        if transaction.state is not TransactionState.UNCONFIRMED:
            # a client that lost the pkiconf sends its certConf again: it gets the same answer
            if transaction.state is verdict:
                return response.confirmed()
            raise RefusedError("certConfirmed", f"the certificate is {transaction.state} already")
        if certificate.status is CertificateStatus.REVOKED:
            raise RefusedError("certRevoked", "the certificate was revoked meanwhile")
        self._store.update_transaction(replace(transaction, state=verdict))
        if accepted:
            self._store.set_certificate_status(certificate.serial, CertificateStatus.CONFIRMED)
        else:
            self._store.set_certificate_status(
                certificate.serial,
                CertificateStatus.REJECTED,
                reason=RevocationReason.UNSPECIFIED,
                revoked_at=exchange.now,
            )
            if certificate.user is not None:
                self._store.set_status(certificate.user, EndEntityStatus.FAILED)
        return response.confirmed()

    def _transaction(self, exchange: Exchange) -> Transaction:
        """The transaction that a later message belongs to, that message's recipNonce checked."""
        transaction = self._store.transaction(exchange.transaction_id)
        if (
            transaction is None
            or transaction.alias != exchange.alias.name
            or transaction.requester != exchange.requester.identity
        ):
            raise RefusedError("badRequest", "there is no such transaction of this requester")
        if exchange.message.header.recipNonce != transaction.nonce:
            raise RefusedError("badRecipientNonce", "recipNonce is not our last senderNonce")
        return transaction

    # --- rr

    def _revoke(self, exchange: Exchange) -> Answer:
        details: list[RevDetails] = decode_rev_req_content(exchange.message.body)
        if len(details) != 1:
            raise RefusedError(
                "badRequest", f"one certificate in a rr, please: this one has {len(details)}"
            )
        certificate = self._entitlement.certificate_to_revoke(exchange, details[0])
        reason = _reason(details[0].crlEntryDetails or [])
        self._reject_as_told(exchange)
        on_hold = certificate.reason is RevocationReason.CERTIFICATE_HOLD
        if certificate.status is CertificateStatus.REJECTED or (
            certificate.status is CertificateStatus.REVOKED and not on_hold
        ):
            raise rejected("certRevoked", "Already revoked.")
        if reason is RevocationReason.REMOVE_FROM_CRL:
            if not on_hold:
                raise rejected("badRequest", "removeFromCRL, but the certificate is not on hold")
            self._store.set_certificate_status(certificate.serial, CertificateStatus.CONFIRMED)
        else:
            self._store.set_certificate_status(
                certificate.serial,
                CertificateStatus.REVOKED,
                reason=reason,
                revoked_at=exchange.now,
            )
        return response.revoked(self._name, certificate.serial)


def _check_header(message: PKIMessage, behaviour: Behaviour, now: dt.datetime) -> None:
    """Check what every request must have (RFC 9483, 3.5)."""
    header = message.header
    if header.pvno not in (PVNO_CMP2000, PVNO_CMP2021):
        raise RefusedError("unsupportedVersion", f"pvno {header.pvno}; 2 and 3 are spoken here")
    if header.transactionID is None or len(header.transactionID) < _TRANSACTION_ID_OCTETS:
        raise RefusedError("badDataFormat", "transactionID is absent or shorter than 16 octets")
    if header.senderNonce is None or len(header.senderNonce) < NONCE_OCTETS:
        raise RefusedError("badSenderNonce", "senderNonce is absent or shorter than 16 octets")
    if header.messageTime is not None and behaviour.time_tolerance is not None:
        off = abs((header.messageTime.as_datetime() - now).total_seconds())
        if off > behaviour.time_tolerance:
            raise RefusedError("badTime", f"messageTime is off by {off:.0f} s")


def _refuse(message: PKIMessage | None, behaviour: Behaviour, refusal: RefusedError) -> Answer:
    if message is None or not refusal.as_response:
        return response.error(refusal)
    if message.body_type is BodyType.RR:
        return response.revocation_rejected(refusal)
    cert_req_id = enrollments.requested_id(message, behaviour.p10cr_cert_req_id)
    return response.rejection(message.body_type, cert_req_id, refusal)


def _verdict(
    statuses: list[CertStatus], transaction: Transaction, certificate: IssuedCertificate
) -> bool:
    """Whether a certConf accepts the certificate (RFC 9810, 5.3.18).

    Raises:
        RefusedError: it speaks of another certificate.
    """
    if not statuses:
        return False
    if len(statuses) > 1:
        raise RefusedError("badRequest", "more than one CertStatus for one certificate")
    (status,) = statuses
    if status.certReqId != transaction.cert_req_id:
        raise RefusedError("badCertId", f"certReqId is not {transaction.cert_req_id}")
    if status.hashAlg is None:
        parsed = x509.load_der_x509_certificate(certificate.der)
        expected, _ = algorithms.certificate_hash(parsed, certificate.der)
    else:
        try:
            identifier = wrap(0x30, *map(encode, status.hashAlg))
            expected = algorithms.hash_by(identifier, certificate.der)
        except RemoteCmpError as problem:
            raise RefusedError("badAlg", problem.what) from problem
    if not hmac.compare_digest(status.certHash, expected):
        raise RefusedError("badCertId", "certHash is not that of the certificate")
    return status.statusInfo is None or status.statusInfo.status in (
        PKIStatus.ACCEPTED,
        PKIStatus.GRANTED_WITH_MODS,
    )


def _reason(extensions: list[Extension]) -> RevocationReason:
    """The reasonCode among crlEntryDetails; unspecified where there is none."""
    for extension in extensions:
        if extension.extnID == _CRL_REASON:
            value = decode(TLV, extension.extnValue)
            number = int.from_bytes(content(value), "big") if tag(value) == _ENUMERATED else -1
            try:
                return RevocationReason(number)
            except ValueError:
                raise rejected("badDataFormat", "crlEntryDetails with no known reason") from None
    return RevocationReason.UNSPECIFIED
