"""rr: certificates revoked, put on hold and taken off it (RFC 9810, 5.3.9)."""

from typing import Final

from cryptography.x509.oid import CRLEntryExtensionOID

from bulkcmp.cmp.asn1 import TLV, content, decode, tag
from bulkcmp.cmp.messages import Extension, RevDetails, decode_rev_req_content
from bulkcmp.model import RevocationReason
from bulkcmp.testca import response
from bulkcmp.testca.entitlement import Entitlement
from bulkcmp.testca.exchange import Exchange
from bulkcmp.testca.refusal import RefusedError, Rejections, rejected
from bulkcmp.testca.response import Answer
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
        details: list[RevDetails] = decode_rev_req_content(exchange.message.body)
        if len(details) != 1:
            raise RefusedError(
                "badRequest", f"one certificate in a rr, please: this one has {len(details)}"
            )
        certificate = self._entitlement.certificate_to_revoke(exchange, details[0])
        reason = _reason(details[0].crlEntryDetails or [])
        self._rejections.check(exchange.alias, exchange.behaviour)
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
