"""ir, cr, p10cr and kur, as EJBCA's client mode and RA mode grant them."""

from dataclasses import replace

from bulkcmp.cmp.messages import (
    IT_IMPLICIT_CONFIRM,
    BodyType,
    PKIMessage,
)
from bulkcmp.model import Popo
from bulkcmp.testca import enrollment as enrollments
from bulkcmp.testca.aliases import Authentication, Mode
from bulkcmp.testca.ejbca.authentication import Authenticator, Requester, check_status
from bulkcmp.testca.ejbca.exchange import Exchange
from bulkcmp.testca.ejbca.response import Answer, Responder
from bulkcmp.testca.enrollment import Enrollment
from bulkcmp.testca.identity import Identity
from bulkcmp.testca.issuer import Issuer, key_identifier
from bulkcmp.testca.refusal import RefusedError, rejected
from bulkcmp.testca.store import (
    CertificateStatus,
    IssuedCertificate,
    Store,
)

P10CR_ID = 0
"""certReqId that answers a p10cr."""


class Issuance:
    """Answers requests for certificates."""

    def __init__(
        self,
        store: Store,
        root: Identity,
        authenticator: Authenticator,
        issuer: Issuer,
        responder: Responder,
    ) -> None:
        self._store = store
        self._root = root
        self._authenticator = authenticator
        self._issuer = issuer
        self._responder = responder

    def answer(self, exchange: Exchange) -> Answer:
        """The ip, cp or kup to a request for a certificate.

        Raises:
            RefusedError: it is not granted.
            FailedError: EJBCA fails at such a request.
            RemoteCmpError: the body can't be decoded.
        """
        message = exchange.message
        enrollment = _read(message)
        self._issuer.check(enrollment)
        if message.body_type is BodyType.KUR:
            user, subject, requester = self._update(exchange, enrollment)
        else:
            user, subject, requester = self._enroll(exchange, enrollment)
        if self._is_anothers_key(enrollment, user):
            raise RefusedError(
                "badRequest",
                f"User '{user}' is not allowed to use same key as another user is using.",
            )
        issued = self._issuer.issue(enrollment, subject, exchange.now)
        self._store.add_certificate(
            IssuedCertificate(
                serial=issued.serial,
                der=issued.der,
                subject=subject,
                key_identifier=issued.key_identifier,
                alias=exchange.alias.name,
                user=user,
                is_ra=False,
                transaction_id=message.header.transactionID,
                # no confirmation is awaited
                status=CertificateStatus.CONFIRMED,
                issued_at=exchange.now,
            )
        )
        self._store.record_enrolled(user, exchange.alias.name, subject)
        answer = self._responder.issued(
            message.body_type, enrollment.cert_req_id, issued.der, subject
        )
        return replace(
            answer,
            mac=exchange.answers_by(requester.mac),
            implicit_confirm=message.info(IT_IMPLICIT_CONFIRM) is not None,
        )

    def _enroll(self, exchange: Exchange, enrollment: Enrollment) -> tuple[str, bytes, Requester]:
        """User name, subject and requester of an ir, cr or p10cr."""
        alias, message = exchange.alias, exchange.message
        user = enrollment.common_name
        if alias.mode is Mode.RA:
            requester = self._authenticator.enrolls(alias, message, user or "", exchange.now)
            if user is None or enrollment.subject is None:
                raise rejected("incorrectData", "Subject DN field 'COMMONNAME' must exist.")
            return user, enrollment.subject, requester
        if user is None:
            raise rejected("incorrectData", "Wrong username or password")
        requester = self._authenticator.enrolls(alias, message, user, exchange.now)
        _require_proof(enrollment)
        registration = self._store.registration(user)
        assert registration is not None, "a user of a certificate or a secret is registered"
        check_status(registration)
        return user, registration.subject, requester

    def _update(self, exchange: Exchange, enrollment: Enrollment) -> tuple[str, bytes, Requester]:
        """User name, subject and requester of a kur."""
        alias = exchange.alias
        if alias.mode is Mode.RA and alias.authentication is not Authentication.CERTIFICATE:
            raise RefusedError(
                "badRequest",
                "EndEntityCertificate authentication module is not configured for alias"
                f" '{alias.name}'.",
            )
        signer = self._authenticator.signer(alias, exchange.message, exchange.now)
        user = signer.user if alias.mode is Mode.CLIENT else enrollment.common_name
        registration = None if user is None else self._store.registration(user)
        if registration is None:
            raise RefusedError(
                "badMessageCheck", "No user was found for the subject DN of the request."
            )
        if any(one.user == registration.user for one in self._of_key(enrollment)):
            raise RefusedError(
                "badMessageCheck",
                "Invalid key. The public key in the KeyUpdateRequest is the same as the public"
                " key in the existing end entity certificate",
            )
        return registration.user, registration.subject, Requester(signer=signer)

    def _of_key(self, enrollment: Enrollment) -> list[IssuedCertificate]:
        """The certificates of a public key."""
        assert enrollment.public_key is not None, "checked as it was read"
        return self._store.certificates_of_key(key_identifier(enrollment.public_key))

    def _is_anothers_key(self, enrollment: Enrollment, user: str) -> bool:
        return any(one.user != user for one in self._of_key(enrollment))


def _read(message: PKIMessage) -> Enrollment:
    """What is asked for; of several requests the first, the others are not seen.

    Raises:
        RefusedError: a template that can't be met, or no good proof of possession.
        RemoteCmpError: the body can't be decoded.
    """
    requests = enrollments.requests_in(message, P10CR_ID)
    if not requests:
        raise RefusedError("badRequest", "Error during CMP processing. .")
    try:
        enrollment = enrollments.read(requests[0], message.header.sender)
    except RefusedError as refusal:
        if refusal.fail_info == "badPOP":
            raise _unproven() from refusal
        raise
    if enrollment.popo.is_indirect:
        raise _unproven()
    if enrollment.public_key is None:
        # an alias allows them only where its configuration says so
        raise rejected("incorrectData", "Server generated keys not allowed")
    return enrollment


def _require_proof(enrollment: Enrollment) -> None:
    if enrollment.popo is Popo.RA_VERIFIED:
        raise _unproven()


def _unproven() -> RefusedError:
    return RefusedError("badPOP", "POPO verification failed.")
