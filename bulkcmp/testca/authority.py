"""The CA's answers to CMP requests, independent of how they travel."""

import datetime as dt
import hmac
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
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
    name_of,
)
from bulkcmp.errors import RemoteCmpError
from bulkcmp.model import RevocationReason
from bulkcmp.testca import enrollment as enrollments
from bulkcmp.testca import response
from bulkcmp.testca.aliases import Alias, Behaviour, Mode, PollingNonce
from bulkcmp.testca.authentication import Authenticator, Requester
from bulkcmp.testca.enrollment import REQUESTS, Enrollment, common_name
from bulkcmp.testca.identity import Identity
from bulkcmp.testca.issuer import Issuer, has_subject_alt_name
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


@dataclass(frozen=True, slots=True)
class _Exchange:
    """One request under way.

    Attributes:
        nonce: the senderNonce of the answer.
        now: the time, aware.
    """

    alias: Alias
    behaviour: Behaviour
    message: PKIMessage
    request: bytes
    requester: Requester
    nonce: bytes
    now: dt.datetime

    @property
    def transaction_id(self) -> bytes:
        transaction_id = self.message.header.transactionID
        assert transaction_id is not None, "checked before"
        return transaction_id


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
            exchange = _Exchange(alias, behaviour, message, request, requester, nonce, now)
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

    def _answer(self, exchange: _Exchange) -> Answer:
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

    def _enroll(self, exchange: _Exchange) -> Answer:
        behaviour = exchange.behaviour
        if self._store.transaction(exchange.transaction_id) is not None:
            raise RefusedError("transactionIdInUse", "this transactionID was used before")
        enrollment = enrollments.read(exchange.message, behaviour.p10cr_cert_req_id)
        self._issuer.check(enrollment)
        user, subject = self._end_entity(exchange, enrollment)
        self._check_one_shot(exchange, user)
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
            self._store.put_transaction(transaction)
            return Answer(response.waiting(exchange.message.body_type, enrollment.cert_req_id))
        return self._issue(exchange, exchange.message, transaction, enrollment, user, subject)

    def _issue(
        self,
        exchange: _Exchange,
        request: PKIMessage,
        transaction: Transaction,
        enrollment: Enrollment,
        user: str | None,
        subject: bytes | None,
    ) -> Answer:
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
        self._store.put_transaction(
            replace(
                transaction,
                nonce=exchange.nonce,
                state=TransactionState.CONFIRMED if implicit else TransactionState.UNCONFIRMED,
                request=None,
                polls_left=0,
                serial=issued.serial,
            )
        )
        body = self._responder.issued(
            request.body_type, enrollment.cert_req_id, issued.der, changed=issued.changed
        )
        return Answer(body, implicit_confirm=implicit)

    def _end_entity(
        self, exchange: _Exchange, enrollment: Enrollment
    ) -> tuple[str | None, bytes | None]:
        """The end entity that a certificate is for, and the subject that it gets.

        The user name is the CN of the subject, as EJBCA's aliases of the recipes extract it.
        """
        if enrollment.issuer is not None and enrollment.issuer != self._name:
            raise rejected("wrongAuthority", "the template asks for another issuer")
        is_ra = exchange.alias.mode is Mode.RA
        if enrollment.ra_verified and not is_ra:
            raise rejected("badPOP", "POPO verification failed.")
        old: IssuedCertificate | None = None
        if exchange.message.body_type is BodyType.KUR:
            old = self._certificate_to_update(exchange, enrollment)
        asked = common_name(enrollment.subject)
        if is_ra:
            if old is not None:
                if asked is not None and asked != old.user:
                    raise rejected("badCertId", "the certificate to update is another end entity's")
                return old.user, enrollment.subject or old.subject
            if enrollment.subject is None and not has_subject_alt_name(enrollment):
                raise rejected("badCertTemplate", "neither subject nor subjectAltName")
            return asked, enrollment.subject
        user = exchange.requester.user
        assert user is not None, "client mode authenticates end entities"
        registration = self._store.registration(user)
        assert registration is not None, "a user of a certificate or a secret is registered"
        if asked is not None and asked != user:
            raise rejected("notAuthorized", "the subject's CN is another end entity's")
        return user, registration.subject

    def _certificate_to_update(
        self, exchange: _Exchange, enrollment: Enrollment
    ) -> IssuedCertificate:
        if exchange.requester.signer is None:
            raise RefusedError("wrongIntegrity", "a kur is signed with the certificate it updates")
        named = enrollment.old_certificate
        if named is None:
            if exchange.alias.mode is Mode.RA:
                raise rejected("badCertId", "an RA's kur names the certificate in oldCertID")
            return exchange.requester.signer
        old = self._store.certificate(named.serial) if named.issuer == self._name else None
        if old is None or old.is_ra:
            raise rejected("badCertId", "oldCertID names no certificate of this CA")
        if exchange.alias.mode is Mode.CLIENT and old.user != exchange.requester.user:
            raise rejected("badCertId", "oldCertID names another end entity's certificate")
        if old.status is CertificateStatus.REVOKED:
            raise rejected("certRevoked", "oldCertID names a revoked certificate")
        if old.status is not CertificateStatus.CONFIRMED:
            raise rejected("badCertId", f"oldCertID names a certificate that is {old.status}")
        if x509.load_der_x509_certificate(old.der).not_valid_after_utc < exchange.now:
            raise rejected("badCertId", "oldCertID names an expired certificate")
        return old

    def _check_one_shot(self, exchange: _Exchange, user: str | None) -> None:
        if (
            not exchange.behaviour.one_shot
            or user is None
            or exchange.message.body_type is BodyType.KUR
        ):
            return
        registration = self._store.registration(user)
        if registration is not None and registration.status is EndEntityStatus.GENERATED:
            status = registration.status
            # EJBCA's very words: clients know the case by them
            raise RefusedError(
                "badRequest",
                f"Got request with status {status.name} ({status.value})."
                f" Status NEW, FAILED or INPROCESS required: {user}.",
            )

    def _reject_as_told(self, exchange: _Exchange) -> None:
        fail_info = exchange.behaviour.reject
        if fail_info is None:
            return
        count = self._requests.get(exchange.alias.name, 0) + 1
        self._requests[exchange.alias.name] = count
        if count % exchange.behaviour.reject_every == 0:
            raise rejected(fail_info, "rejected, as this CA was told to do")

    # --- pollReq

    def _poll(self, exchange: _Exchange) -> Answer:
        transaction = self._transaction(exchange)
        requests: list[PollReq] = decode_poll_req_content(exchange.message.body)
        if transaction.request is None:
            raise RefusedError("badRequest", "nothing waits in this transaction")
        if [one.certReqId for one in requests] != [transaction.cert_req_id]:
            raise RefusedError("badRequest", f"what waits is certReqId {transaction.cert_req_id}")
        left = transaction.polls_left - 1
        if left > 0:
            self._store.put_transaction(replace(transaction, nonce=exchange.nonce, polls_left=left))
            return Answer(
                response.poll_response(transaction.cert_req_id, exchange.behaviour.check_after)
            )
        request = decode_message(transaction.request)
        try:
            enrollment = enrollments.read(request, transaction.cert_req_id)
            original = replace(exchange, message=request)
            user, subject = self._end_entity(original, enrollment)
            self._check_one_shot(original, user)
            answer = self._issue(exchange, request, transaction, enrollment, user, subject)
        except RefusedError as refusal:
            # good when it came, not any more: its validity is over, the user enrolled meanwhile
            self._store.put_transaction(
                replace(
                    transaction,
                    nonce=exchange.nonce,
                    state=TransactionState.REJECTED,
                    request=None,
                    polls_left=0,
                )
            )
            answer = response.rejection(request.body_type, transaction.cert_req_id, refusal)
        if exchange.behaviour.polling_nonce is PollingNonce.REQUEST:
            return replace(answer, recip_nonce=request.header.senderNonce)
        return answer

    # --- certConf

    def _confirm(self, exchange: _Exchange) -> Answer:
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
        self._store.put_transaction(replace(transaction, state=verdict))
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

    def _transaction(self, exchange: _Exchange) -> Transaction:
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

    def _revoke(self, exchange: _Exchange) -> Answer:
        details: list[RevDetails] = decode_rev_req_content(exchange.message.body)
        if len(details) != 1:
            raise RefusedError(
                "badRequest", f"one certificate in a rr, please: this one has {len(details)}"
            )
        certificate = self._certificate_to_revoke(exchange, details[0])
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

    def _certificate_to_revoke(self, exchange: _Exchange, details: RevDetails) -> IssuedCertificate:
        template = details.certDetails
        if template.issuer is None or template.serialNumber is None:
            raise rejected("badCertId", "issuer or serial number is absent")
        certificate = None
        if name_of(template.issuer) == self._name:
            certificate = self._store.certificate(template.serialNumber)
        if certificate is None or certificate.is_ra:
            raise rejected("badCertId", "no such certificate of this CA")
        if exchange.alias.mode is Mode.CLIENT and certificate.user != exchange.requester.user:
            raise rejected("notAuthorized", "the certificate is another end entity's")
        return certificate


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
