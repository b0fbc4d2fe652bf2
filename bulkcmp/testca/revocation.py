"""rr: certificates revoked, put on hold and taken off it (RFC 9810, 5.3.9)."""

from typing import Final

from cryptography.x509.oid import CRLEntryExtensionOID

from bulkcmp.cmp.asn1 import TLV, content, decode, tag
from bulkcmp.cmp.messages import Extension, RevDetails, decode_rev_req_content
from bulkcmp.errors import RemoteCmpError
from bulkcmp.model import RevocationReason
from bulkcmp.testca import response
from bulkcmp.testca.entitlement import Entitlement
from bulkcmp.testca.exchange import Exchange
from bulkcmp.testca.refusal import RefusedError, Rejections
from bulkcmp.testca.response import Answer, Revoked
from bulkcmp.testca.store import CertificateStatus, Store

_CRL_REASON: Final = CRLEntryExtensionOID.CRL_REASON
_ENUMERATED: Final = 0x0A


class Revocation:
    """Answers rrs.

    Args:
        name: DER Name of the CA.
    """

    def __init__(
        self, store: Store, name: bytes, entitlement: Entitlement, rejections: Rejections
    ) -> None:
        self._store = store
        self._name = name
        self._entitlement = entitlement
        self._rejections = rejections

    def answer(self, exchange: Exchange) -> Answer:
        """The rp with a status for each RevDetails.

        Raises:
            RefusedError: there is none.
            RemoteCmpError: the body can't be decoded.
        """
        details: list[RevDetails] = decode_rev_req_content(exchange.message.body)
        if not details:
            raise RefusedError("badRequest", "no certificate in the rr")
        outcomes: list[Revoked | RefusedError] = []
        for one in details:
            try:
                outcomes.append(self._revoke(exchange, one))
            except RefusedError as refusal:
                outcomes.append(refusal)
        return response.revocations(outcomes)

    def _revoke(self, exchange: Exchange, details: RevDetails) -> Revoked:
        certificate = self._entitlement.certificate_to_revoke(exchange, details)
        reason = requested_reason(details.crlEntryDetails or [])
        self._rejections.check(exchange.alias, exchange.behaviour)
        on_hold = certificate.is_on_hold
        signer = exchange.requester.signer
        revives = reason is RevocationReason.REMOVE_FROM_CRL
        if signer is not None and signer.is_on_hold and not (revives and certificate == signer):
            raise RefusedError("certRevoked", "the signer's certificate is on hold")
        if certificate.status is CertificateStatus.REJECTED or (
            certificate.status is CertificateStatus.REVOKED and not on_hold
        ):
            raise RefusedError("certRevoked", "Already revoked.")
        if revives:
            if not on_hold:
                raise RefusedError("badCertId", "removeFromCRL, but it is not on hold")
            self._store.set_certificate_status(certificate.serial, CertificateStatus.CONFIRMED)
            return Revoked(self._name, certificate.serial, "revived: the certificate is off hold")
        self._store.set_certificate_status(
            certificate.serial,
            CertificateStatus.REVOKED,
            reason=reason,
            revoked_at=exchange.now,
        )
        return Revoked(self._name, certificate.serial, "revoked")


def requested_reason(extensions: list[Extension]) -> RevocationReason:
    """The reasonCode among crlEntryDetails; unspecified where there is none."""
    codes = [one.extnValue for one in extensions if one.extnID == _CRL_REASON]
    if not codes:
        return RevocationReason.UNSPECIFIED
    if len(codes) > 1:
        raise RefusedError("badRequest", "crlEntryDetails with more than one reason")
    try:
        value = decode(TLV, codes[0])
        if tag(value) != _ENUMERATED:
            raise ValueError("no ENUMERATED")
        return RevocationReason(int.from_bytes(content(value), "big"))
    except (ValueError, RemoteCmpError):
        raise RefusedError("badDataFormat", "crlEntryDetails with no known reason") from None
