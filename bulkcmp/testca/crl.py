"""The CA's certificate revocation list (RFC 5280, 5)."""

import datetime as dt
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from bulkcmp.cmp.crl import REASON_FLAGS
from bulkcmp.model import RevocationReason
from bulkcmp.testca.identity import Identity, sign
from bulkcmp.testca.store import IssuedCertificate, PublishedCrl, Store

VALIDITY: Final = dt.timedelta(days=1)
"""From thisUpdate to nextUpdate."""

RENEWAL: Final = VALIDITY / 2
"""Age at which a CRL is renewed although nothing changed: who fetches it can use it a while."""


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
    reason = REASON_FLAGS.get(certificate.reason or RevocationReason.UNSPECIFIED)
    if reason is not None:
        builder = builder.add_extension(x509.CRLReason(reason), critical=False)
    return builder.build()
