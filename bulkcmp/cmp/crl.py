"""Certificate revocation lists (RFC 5280, 5): whether one is to be believed, and what it says."""

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from cryptography import x509

from bulkcmp.cmp import strength
from bulkcmp.cmp.checks import CheckError, Reason, same_name
from bulkcmp.cmp.evidence import Evidence, KnownCertificate
from bulkcmp.cmp.trust import EXTENSION_ERRORS, load_certificate
from bulkcmp.errors import RemoteCmpError
from bulkcmp.model import RevocationReason

REASON_FLAGS: Final = {
    RevocationReason.KEY_COMPROMISE: x509.ReasonFlags.key_compromise,
    RevocationReason.CA_COMPROMISE: x509.ReasonFlags.ca_compromise,
    RevocationReason.AFFILIATION_CHANGED: x509.ReasonFlags.affiliation_changed,
    RevocationReason.SUPERSEDED: x509.ReasonFlags.superseded,
    RevocationReason.CESSATION_OF_OPERATION: x509.ReasonFlags.cessation_of_operation,
    RevocationReason.CERTIFICATE_HOLD: x509.ReasonFlags.certificate_hold,
    RevocationReason.PRIVILEGE_WITHDRAWN: x509.ReasonFlags.privilege_withdrawn,
    RevocationReason.AA_COMPROMISE: x509.ReasonFlags.aa_compromise,
}
"""The reasonCodes that entries of a complete CRL have. `unspecified` is left out of it (RFC 5280,
5.3.1), and a certificate that is taken off hold just is in the next complete CRL no more:
`removeFromCRL` stands in delta CRLs only."""

_REASONS: Final = {
    **{flag: reason for reason, flag in REASON_FLAGS.items()},
    x509.ReasonFlags.unspecified: RevocationReason.UNSPECIFIED,
    x509.ReasonFlags.remove_from_crl: RevocationReason.REMOVE_FROM_CRL,
}


@dataclass(frozen=True, slots=True)
class Crl:
    """What a CRL says of itself.

    Attributes:
        issuer: DER Name; text: of it, to be shown.
    """

    issuer: bytes
    text: str
    this_update: dt.datetime
    next_update: dt.datetime | None

    def __str__(self) -> str:
        return self.text


def checked_crl(der: bytes, evidence: Evidence) -> Crl:
    """Check a CRL: its signature by an issuer that is trusted, and its age.

    Raises:
        CheckError: it is not to be believed.
        RemoteCmpError: it can't be read.
    """
    return _checked(der, _parsed(der), evidence)


def _parsed(der: bytes) -> x509.CertificateRevocationList:
    try:
        return x509.load_der_x509_crl(der)
    except Exception as error:
        raise _unusable(error) from error


def _unusable(error: Exception) -> RemoteCmpError:
    # what cryptography can't read raises whatever it likes
    return RemoteCmpError(f"not a usable CRL: {error}")


def _checked(der: bytes, parsed: x509.CertificateRevocationList, evidence: Evidence) -> Crl:
    crl = _described(parsed)
    _check_issuer(der, crl, evidence)
    _check_age(crl, evidence.at)
    return crl


def _described(parsed: x509.CertificateRevocationList) -> Crl:
    try:
        issuer = parsed.issuer
        return Crl(
            issuer.public_bytes(),
            issuer.rfc4514_string() or "the NULL-DN",
            parsed.last_update_utc,
            parsed.next_update_utc,
        )
    except Exception as error:
        raise _unusable(error) from error


def _check_age(crl: Crl, at: dt.datetime) -> None:
    if crl.next_update is not None and crl.next_update < at:
        raise CheckError(
            Reason.CRL_OUT_OF_DATE,
            f"the CRL of {crl} was to be renewed at {crl.next_update:%Y-%m-%d %H:%M}Z",
        )


def _check_extensions(
    parsed: x509.CertificateRevocationList, crl: Crl
) -> x509.IssuingDistributionPoint | None:
    """Make sure that a CRL is one that is understood, and complete; what it is complete for, its
    issuingDistributionPoint says, if it has one."""
    try:
        extensions = list(parsed.extensions)
    except Exception as error:
        raise _unusable(error) from error
    point = None
    for one in extensions:
        match one.value:
            case x509.DeltaCRLIndicator():
                raise RemoteCmpError(
                    f"the CRL of {crl} is a delta CRL", hint="give the complete CRL"
                )
            case x509.IssuingDistributionPoint():
                point = one.value
            case x509.UnrecognizedExtension() if one.critical:
                # RFC 5280, 5.2
                raise RemoteCmpError(
                    f"the CRL of {crl} has a critical extension that is unknown:"
                    f" {one.oid.dotted_string}"
                )
    return point


def check_usable(der: bytes, at: dt.datetime, *, allow_weak: bool) -> None:
    """Make sure that signers can be looked up in a CRL, as far as its issuer need not be known.

    Who issued it is seen when a signer's path is (`bulkcmp.cmp.trust`).

    Args:
        at: now, aware.
        allow_weak: accept a signature that `bulkcmp.cmp.strength` finds weak.

    Raises:
        CheckError: it is out of date.
        RemoteCmpError: it can't be read, is of a kind in which nothing is looked up, or weak.
    """
    parsed = _parsed(der)
    crl = _described(parsed)
    point = _check_extensions(parsed, crl)
    if point is not None and (
        point.indirect_crl or point.only_some_reasons or point.only_contains_attribute_certs
    ):
        raise RemoteCmpError(
            f"the CRL of {crl} has not all certificates of its issuer alone (it is indirect, for"
            " some reasons, or for attribute certificates)",
            hint="give the complete CRL",
        )
    weak = strength.of_crl(parsed)
    if weak and not allow_weak:
        raise RemoteCmpError(f"the CRL of {crl}: {weak}", hint="--allow-weak accepts it")
    _check_age(crl, at)


def _check_issuer(der: bytes, crl: Crl, evidence: Evidence) -> None:
    why = "its issuer's certificate is not known"
    for candidate in evidence.certificates:
        try:
            issuer = KnownCertificate.read(candidate)
        except RemoteCmpError:
            # what came along and can't be read is no issuer
            continue
        if not same_name(issuer.subject, crl.issuer):
            continue
        if not issuer.signs_crls:
            why = "its issuer's keyUsage lacks cRLSign"
        elif not issuer.has_signed(der):
            why = "its signature is wrong"
        else:
            try:
                evidence.trust.issuers.chain(candidate, evidence.extra, evidence.at)
            except RemoteCmpError as error:
                why = f"its issuer: {error.what}"
            else:
                return
    raise CheckError(Reason.CRL, f"the CRL of {crl}: {why}")


# --- what it says of certificates -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Revocation:
    """That a certificate is revoked, or on hold.

    Attributes:
        at: since when, aware.
    """

    at: dt.datetime
    reason: RevocationReason


class RevocationList:
    """A CRL in which certificates of its issuer are looked up. Entries are read as they are walked
    over, and never all of them kept: a CRL may have millions.

    Attributes:
        crl: what it says of itself.
        partial: why a certificate that is not in it may be revoked all the same; empty where it has
            all that its issuer has revoked.
    """

    def __init__(self, der: bytes, evidence: Evidence) -> None:
        """Check a CRL, and that it tells of end entities' certificates.

        A delta CRL is refused: what it changes in a complete one is in the next complete one.

        Raises:
            RemoteCmpError: it can't be read, is not to be believed, or is of no use.
        """
        self._parsed = _parsed(der)
        self.crl = _checked(der, self._parsed, evidence)
        point = _check_extensions(self._parsed, self.crl)
        self.partial = "" if point is None else self._scope(point)

    def _scope(self, point: x509.IssuingDistributionPoint) -> str:
        """What is left out by an issuingDistributionPoint (RFC 5280, 5.2.5)."""
        for unfit, what in (
            (point.indirect_crl, "has certificates of other issuers (indirectCRL)"),
            (point.only_contains_ca_certs, "has CA certificates only"),
            (point.only_contains_attribute_certs, "has attribute certificates only"),
        ):
            if unfit:
                raise RemoteCmpError(
                    f"the CRL of {self.crl} {what}",
                    hint="give the CRL of the end entities' certificates",
                )
        if point.only_some_reasons:
            return "it has certificates revoked for some reasons only"
        if point.full_name or point.relative_name:
            return "it has the certificates of one distribution point only"
        return ""

    def __len__(self) -> int:
        return len(self._parsed)

    def statuses(self, serials: Collection[int]) -> dict[int, Revocation]:
        """Those of some serial numbers that are revoked, since when and why; in one pass."""
        wanted = frozenset(serials)
        if not wanted:
            return {}
        return {
            entry.serial_number: Revocation(entry.revocation_date_utc, reason)
            for entry in self._parsed
            if entry.serial_number in wanted
            # which only a delta CRL may say, and there it means that the certificate is good
            and (reason := _reason(entry)) is not RevocationReason.REMOVE_FROM_CRL
        }


def _reason(entry: x509.RevokedCertificate) -> RevocationReason:
    try:
        found = [one.value for one in entry.extensions if isinstance(one.value, x509.CRLReason)]
    except EXTENSION_ERRORS:
        # it is revoked for all that
        found = []
    return _REASONS[found[0].reason] if found else RevocationReason.UNSPECIFIED


def distribution_points(certificate: bytes) -> tuple[str, ...]:
    """The http and https URLs at which a DER certificate says that its CRL is (RFC 5280,
    4.2.1.13), but for those of another issuer.

    Raises:
        RemoteCmpError: the certificate can't be read.
    """
    try:
        extensions = load_certificate(certificate).extensions
        points = extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    except x509.ExtensionNotFound:
        return ()
    except EXTENSION_ERRORS as error:
        raise RemoteCmpError(f"a certificate whose extensions can't be read: {error}") from error
    return tuple(
        name.value
        for point in points
        if not point.crl_issuer
        for name in point.full_name or ()
        if isinstance(name, x509.UniformResourceIdentifier)
        and name.value.lower().startswith(("http://", "https://"))
    )
