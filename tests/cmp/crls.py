"""CRLs of the PKI of these tests."""

import datetime as dt

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from bulkcmp.cmp.algorithms import SigningKey
from tests.cmp.conftest import Party

POINT = x509.UniformResourceIdentifier("http://ca.test/1.crl")


def entry(
    serial: int, at: dt.datetime, extension: x509.ExtensionType | None = None
) -> x509.RevokedCertificate:
    builder = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(at)
    if extension is not None:
        builder = builder.add_extension(extension, critical=False)
    return builder.build()


def entry_of(
    certificate: bytes, at: dt.datetime, reason: x509.ReasonFlags | None = None
) -> x509.RevokedCertificate:
    """The entry of a DER certificate."""
    serial = x509.load_der_x509_certificate(certificate).serial_number
    return entry(serial, at, None if reason is None else x509.CRLReason(reason))


def crl(
    issuer: Party,
    at: dt.datetime,
    *extensions: tuple[x509.ExtensionType, bool],
    entries: list[x509.RevokedCertificate] | None = None,
    days: float = 1,
    key: SigningKey | None = None,
) -> bytes:
    """DER of a CRL of `issuer`.

    Args:
        at: thisUpdate.
        extensions: with whether each is critical.
        days: to nextUpdate.
        key: that signs in place of the issuer's.
    """
    builder = (
        x509.CertificateRevocationListBuilder(revoked_certificates=entries or [])
        .issuer_name(x509.Name.from_bytes(issuer.subject))
        .last_update(at)
        .next_update(at + dt.timedelta(days=days))
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(key or issuer.key, hashes.SHA256()).public_bytes(Encoding.DER)


def scope(**what: bool) -> x509.IssuingDistributionPoint:
    """An issuingDistributionPoint that says so; with `points` and `reasons` for its lists."""
    return x509.IssuingDistributionPoint(
        full_name=[POINT] if what.get("points") else None,
        relative_name=None,
        only_contains_user_certs=what.get("users", False),
        only_contains_ca_certs=what.get("authorities", False),
        only_some_reasons=frozenset({x509.ReasonFlags.key_compromise})
        if what.get("reasons")
        else None,
        indirect_crl=what.get("indirect", False),
        only_contains_attribute_certs=what.get("attributes", False),
    )
