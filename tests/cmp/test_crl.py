"""CRLs: whether one tells of certificates, and what. What makes one good stands in
test_information, for a genm brings them too."""

import datetime as dt
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from bulkcmp.cmp.asn1 import ObjectIdentifier, encode
from bulkcmp.cmp.checks import CheckError, Reason
from bulkcmp.cmp.crl import Revocation, RevocationList, check_usable, distribution_points
from bulkcmp.cmp.evidence import Evidence
from bulkcmp.errors import RemoteCmpError
from bulkcmp.model import RevocationReason
from tests.cmp.conftest import BY_SHA1, BY_SHA256
from tests.cmp.crls import POINT, crl, entry, scope

if TYPE_CHECKING:
    from tests.cmp.conftest import Pki


@pytest.fixture
def evidence(pki: "Pki") -> Evidence:
    return Evidence(pki.trust(), (), pki.at())


def test_what_a_crl_says_of_certificates(pki: "Pki", evidence: Evidence) -> None:
    at = evidence.at.replace(microsecond=0)
    reasons = {n: x509.CRLReason(flag) for n, flag in enumerate(x509.ReasonFlags, 1)}
    unspecified, unread = 100, 101
    der = crl(
        pki.root,
        at,
        (x509.CRLNumber(7), False),
        entries=[
            *(entry(serial, at, reason) for serial, reason in reasons.items()),
            entry(unspecified, at),
            entry(unread, at, x509.UnrecognizedExtension(x509.CRLReason.oid, b"\x0a\x01\x07")),
        ],
    )
    revoked = RevocationList(der, evidence)
    assert (len(revoked), revoked.partial, str(revoked.crl)) == (12, "", "CN=root")
    assert revoked.statuses([]) == {}
    assert revoked.statuses([3, 999]) == {
        3: Revocation(at, RevocationReason[list(x509.ReasonFlags)[2].name.upper()])
    }
    found = revoked.statuses([*reasons, unspecified, unread])
    named = {
        n: RevocationReason[one.reason.name.upper()]
        for n, one in reasons.items()
        # which takes a certificate off hold
        if one.reason is not x509.ReasonFlags.remove_from_crl
    }
    assert {serial: one.reason for serial, one in found.items()} == {
        **named,
        unspecified: RevocationReason.UNSPECIFIED,
        unread: RevocationReason.UNSPECIFIED,
    }


@pytest.mark.parametrize(
    ("extension", "what"),
    [
        (x509.DeltaCRLIndicator(1), "is a delta CRL"),
        (scope(indirect=True), r"has certificates of other issuers \(indirectCRL\)"),
        (scope(authorities=True), "has CA certificates only"),
        (scope(attributes=True), "has attribute certificates only"),
        (
            x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), b"\x05\x00"),
            r"has a critical extension that is unknown: 1\.2\.3",
        ),
    ],
)
def test_a_crl_that_is_of_no_use(
    extension: x509.ExtensionType, what: str, pki: "Pki", evidence: Evidence
) -> None:
    with pytest.raises(RemoteCmpError, match=f"the CRL of CN=root {what}"):
        RevocationList(crl(pki.root, evidence.at, (extension, True)), evidence)


@pytest.mark.parametrize(
    ("extension", "partial"),
    [
        (scope(users=True), ""),
        (scope(points=True), "it has the certificates of one distribution point only"),
        (scope(reasons=True), "it has certificates revoked for some reasons only"),
        (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), b"\x05\x00"), ""),
    ],
)
def test_a_crl_may_leave_certificates_out(
    extension: x509.ExtensionType, partial: str, pki: "Pki", evidence: Evidence
) -> None:
    critical = isinstance(extension, x509.IssuingDistributionPoint)
    der = crl(pki.root, evidence.at, (extension, critical))
    assert RevocationList(der, evidence).partial == partial


def test_a_crl_that_can_not_be_believed_or_read(pki: "Pki", evidence: Evidence) -> None:
    with pytest.raises(CheckError) as caught:
        RevocationList(crl(pki.root, evidence.at - dt.timedelta(days=2)), evidence)
    assert caught.value.reason is Reason.CRL_OUT_OF_DATE
    number = x509.UnrecognizedExtension(x509.CRLNumber.oid, b"\x05\x00")
    for der in (b"nothing", crl(pki.root, evidence.at, (number, False))):
        with pytest.raises(RemoteCmpError, match="not a usable CRL"):
            RevocationList(der, evidence)
    # a name as long as a country's code may not be
    country = encode(ObjectIdentifier("2.5.4.6"))
    strange = crl(pki.root, evidence.at).replace(encode(ObjectIdentifier("2.5.4.3")), country)
    with pytest.raises(RemoteCmpError, match="not a usable CRL"):
        RevocationList(strange, evidence)


@pytest.mark.parametrize(
    ("extension", "what"),
    [
        (x509.DeltaCRLIndicator(1), "is a delta CRL"),
        (scope(indirect=True), "has not all certificates of its issuer alone"),
        (scope(attributes=True), "has not all certificates of its issuer alone"),
        (scope(reasons=True), "has not all certificates of its issuer alone"),
        (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), b"\x05\x00"), "is unknown"),
    ],
)
def test_a_crl_in_which_no_signer_is_looked_up(
    extension: x509.ExtensionType, what: str, pki: "Pki", evidence: Evidence
) -> None:
    with pytest.raises(RemoteCmpError, match=f"the CRL of CN=root .*{what}"):
        check_usable(crl(pki.root, evidence.at, (extension, True)), evidence.at, allow_weak=False)


@pytest.mark.parametrize("what", ["users", "authorities", "points"])
def test_crls_of_some_certificates_may_be_given_together(
    what: str, pki: "Pki", evidence: Evidence
) -> None:
    der = crl(pki.root, evidence.at, (scope(**{what: True}), True))
    check_usable(der, evidence.at, allow_weak=False)


def test_a_crl_is_to_be_in_force_and_well_signed(pki: "Pki", evidence: Evidence) -> None:
    good = crl(pki.root, evidence.at)
    check_usable(good, evidence.at + dt.timedelta(days=1), allow_weak=False)
    with pytest.raises(CheckError, match="was to be renewed at 2026-06-02 12:00Z") as caught:
        check_usable(good, evidence.at + dt.timedelta(days=1, seconds=1), allow_weak=False)
    assert caught.value.reason is Reason.CRL_OUT_OF_DATE
    issuer = pki.certify("root", pki.keys["rsa"])
    weak = crl(issuer, evidence.at).replace(BY_SHA256, BY_SHA1)
    with pytest.raises(RemoteCmpError, match="the CRL of CN=root: a signature with SHA-1"):
        check_usable(weak, evidence.at, allow_weak=False)
    check_usable(weak, evidence.at, allow_weak=True)
    with pytest.raises(RemoteCmpError, match="not a usable CRL"):
        check_usable(b"nothing", evidence.at, allow_weak=False)


def test_where_a_certificate_says_that_its_crl_is(pki: "Pki") -> None:
    def point(
        *names: x509.GeneralName, issuer: list[x509.GeneralName] | None = None
    ) -> x509.DistributionPoint:
        return x509.DistributionPoint(list(names) or None, None, None, issuer)

    directory = x509.DirectoryName(x509.Name.from_bytes(pki.root.subject))
    secure = x509.UniformResourceIdentifier("HTTPS://ca.test/1.crl")
    points = x509.CRLDistributionPoints(
        [
            point(directory, x509.UniformResourceIdentifier("ldap://ca.test/"), POINT),
            point(secure),
            point(POINT, issuer=[directory]),
            point(issuer=[directory]),
            x509.DistributionPoint(
                None,
                x509.RelativeDistinguishedName(
                    [x509.NameAttribute(x509.NameOID.COMMON_NAME, "crl")]
                ),
                None,
                None,
            ),
        ]
    )
    der = pki.certificate("device", pki.keys["ec"], pki.root, extensions=[points])
    assert distribution_points(der) == (POINT.value, secure.value)
    assert distribution_points(pki.device.certificate) == ()
    damaged = x509.UnrecognizedExtension(x509.CRLDistributionPoints.oid, b"\x05\x00")
    der = pki.certificate("device", pki.keys["ec"], pki.root, extensions=[damaged])
    for wrong in (b"nothing", der):
        with pytest.raises(RemoteCmpError):
            distribution_points(wrong)
