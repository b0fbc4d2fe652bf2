"""The CA's certificate revocation list (RFC 5280, 5)."""

import datetime as dt
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from bulkcmp.model import RevocationReason
from bulkcmp.testca.identity import Identity, sign
from bulkcmp.testca.store import IssuedCertificate, PublishedCrl, Store

VALIDITY: Final = dt.timedelta(days=1)
"""From thisUpdate to nextUpdate."""

RENEWAL: Final = VALIDITY / 2
"""Age at which a CRL is renewed although nothing changed: who fetches it can use it a while."""

_REASONS: Final = {
    RevocationReason.KEY_COMPROMISE: x509.ReasonFlags.key_compromise,
    RevocationReason.CA_COMPROMISE: x509.ReasonFlags.ca_compromise,
    RevocationReason.AFFILIATION_CHANGED: x509.ReasonFlags.affiliation_changed,
    RevocationReason.SUPERSEDED: x509.ReasonFlags.superseded,
    RevocationReason.CESSATION_OF_OPERATION: x509.ReasonFlags.cessation_of_operation,
    RevocationReason.CERTIFICATE_HOLD: x509.ReasonFlags.certificate_hold,
    RevocationReason.PRIVILEGE_WITHDRAWN: x509.ReasonFlags.privilege_withdrawn,
    RevocationReason.AA_COMPROMISE: x509.ReasonFlags.aa_compromise,
}
"""The reasonCodes of entries. `unspecified` is left out of a CRL (RFC 5280, 5.3.1), and a
certificate that is taken off hold just is in the next complete CRL no more: `removeFromCRL` stands
in delta CRLs only."""


def current_crl(store: Store, root: Identity, now: dt.datetime) -> bytes:
    """DER of the CertificateList that is good now, made anew if the last one is out of date.

    Revoked certificates are in it, and those that their end entities rejected. It stays the same,
    to the octet, until a certificate's revocation changes or it gets old.

    Args:
        store: the books, within `Store.writing`: a new CRL is entered in them.
        now: the time, aware.
    """
    last = store.crl()
    if last is not None and last.current and last.this_update <= now < last.this_update + RENEWAL:
        return last.der
    number = 1 if last is None else last.number + 1
    # CRLs and their times are of whole seconds
    this_update = now.replace(microsecond=0)
    der = _crl(store, root, number, this_update)
    store.publish_crl(PublishedCrl(number, der, this_update))
    return der


def _crl(store: Store, root: Identity, number: int, this_update: dt.datetime) -> bytes:
    # its own add_revoked_certificate copies the list for each entry
    builder = x509.CertificateRevocationListBuilder(
        revoked_certificates=[_entry(one) for one in store.revoked_certificates()]
    )
    builder = (
        builder.issuer_name(root.certificate.subject)
        .last_update(this_update)
        .next_update(this_update + VALIDITY)
        .add_extension(x509.CRLNumber(number), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier(root.key_identifier, None, None), critical=False)
    )
    return sign(builder, root.key).public_bytes(Encoding.DER)


def _entry(certificate: IssuedCertificate) -> x509.RevokedCertificate:
    assert certificate.revoked_at is not None, "it is revoked"
    builder = (
        x509.RevokedCertificateBuilder()
        .serial_number(certificate.serial)
        .revocation_date(certificate.revoked_at)
    )
    reason = _REASONS.get(certificate.reason or RevocationReason.UNSPECIFIED)
    if reason is not None:
        builder = builder.add_extension(x509.CRLReason(reason), critical=False)
    return builder.build()
