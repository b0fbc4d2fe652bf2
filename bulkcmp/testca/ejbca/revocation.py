"""rr, as EJBCA carries it out: the first RevDetails, the others are not seen."""

from dataclasses import replace

from bulkcmp.cmp.messages import NULL_DN, PKIMessage, RevDetails, decode_rev_req_content, name_of
from bulkcmp.inputs.name import format_name
from bulkcmp.outputs.text import visible
from bulkcmp.testca.ejbca.authentication import Authenticator
from bulkcmp.testca.ejbca.exchange import Exchange
from bulkcmp.testca.ejbca.response import Answer, Responder, revocation_mac
from bulkcmp.testca.enrollment import common_name
from bulkcmp.testca.identity import Identity
from bulkcmp.testca.refusal import RefusedError
from bulkcmp.testca.revocation import requested_reason
from bulkcmp.testca.store import CertificateStatus, IssuedCertificate, Store


class Revocation:
    """Answers rrs."""

    def __init__(
        self, store: Store, root: Identity, authenticator: Authenticator, responder: Responder
    ) -> None:
        self._store = store
        self._root = root
        self._authenticator = authenticator
        self._responder = responder

    def answer(self, exchange: Exchange) -> Answer:
        """The rp.

        Raises:
            RefusedError: the requester may not, or the CA that is asked is another.
            FailedError: EJBCA fails at such a request.
            RemoteCmpError: the body can't be decoded.
        """
        message = exchange.message
        every: list[RevDetails] = decode_rev_req_content(message.body)
        if not every:
            raise RefusedError("badRequest", "Error during CMP processing. .")
        details = every[0]
        user = _user(details)
        requester = self._authenticator.revokes(exchange.alias, message, user, exchange.now)
        self._check_recipient(message)
        refusal = None
        try:
            certificate = self._named(details)
            reason = requested_reason(details.crlEntryDetails or [])
            self._store.set_certificate_status(
                certificate.serial,
                CertificateStatus.REVOKED,
                reason=reason,
                revoked_at=exchange.now,
            )
        except RefusedError as refused:
            refusal = refused
        answer = self._responder.revoked(message, refusal)
        mac = exchange.answers_by(requester.mac)
        return answer if mac is None else replace(answer, mac=revocation_mac(mac))

    def _check_recipient(self, message: PKIMessage) -> None:
        recipient = message.recipient
        if recipient not in (NULL_DN, self._root.name):
            shown = "" if recipient is None else visible(format_name(recipient))
            raise RefusedError("badRequest", f"CA with DN '{shown}' is unknown")

    def _named(self, details: RevDetails) -> IssuedCertificate:
        template = details.certDetails
        certificate = None
        issuer = None if template.issuer is None else name_of(template.issuer)
        if template.serialNumber is not None and issuer == self._root.name:
            certificate = self._store.certificate(template.serialNumber)
        if certificate is None:
            raise RefusedError("badCertId", "There is no such certificate.")
        if certificate.status is CertificateStatus.REVOKED:
            raise RefusedError("certRevoked", "Already revoked.")
        return certificate


def _user(details: RevDetails) -> str | None:
    """The user name in a template's subject; None where it has no subject, or none with a CN."""
    subject = details.certDetails.subject
    try:
        return None if subject is None else common_name(name_of(subject))
    except ValueError as error:
        raise RefusedError("badRequest", "Error during CMP processing. .") from error
