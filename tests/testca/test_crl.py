"""The CA's CRL: what is in it, and when it changes."""

import datetime as dt
from typing import TYPE_CHECKING

import httpx
import pytest
from cryptography import x509

from bulkcmp.cmp.asn1 import wrap
from bulkcmp.cmp.messages import (
    BodyType,
)
from bulkcmp.model import RevocationReason
from bulkcmp.testca.app import CRL_PATH, CmpApp
from bulkcmp.testca.authority import Authority
from bulkcmp.testca.crl import RENEWAL, VALIDITY
from tests.testca.conftest import rev_req

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.testca.conftest import Ca

CRL_URL = "http://ca.test/ca.crl"


def crl(ca: "Ca") -> x509.CertificateRevocationList:
    """The CRL that is good now, its signature verified."""
    found = x509.load_der_x509_crl(ca.authority.crl(ca.now))
    assert found.is_signature_valid(ca.root.certificate.public_key())  # type: ignore[arg-type] # of a key that signs
    return found


def number(found: x509.CertificateRevocationList) -> int:
    return found.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number


def revoke(ca: "Ca", serial: int, reason: RevocationReason) -> None:
    der = rev_req(serial, ca.root.name, reason.value)
    reply = ca.ra_hmac().send(BodyType.RR, der)
    assert reply.status[0] == 0


def serial_of_new(ca: "Ca") -> int:
    return ca.ra_hmac().enroll(implicit=True).certificate.serial_number


def test_an_empty_crl(ca: "Ca") -> None:
    found = crl(ca)
    assert len(found) == 0
    assert found.issuer == ca.root.certificate.subject
    assert found.last_update_utc == ca.now
    assert found.next_update_utc == ca.now + VALIDITY
    assert number(found) == 1
    authority = found.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
    assert authority.value.key_identifier == ca.root.key_identifier
    assert not any(one.critical for one in found.extensions)


@pytest.mark.parametrize(
    "reason", [one for one in RevocationReason if one is not RevocationReason.REMOVE_FROM_CRL]
)
def test_a_revoked_certificate_is_in_it(ca: "Ca", reason: RevocationReason) -> None:
    serial = serial_of_new(ca)
    other = serial_of_new(ca)
    assert len(crl(ca)) == 0
    revoke(ca, serial, reason)
    found = crl(ca)
    assert number(found) == 2
    assert found.get_revoked_certificate_by_serial_number(other) is None
    (entry,) = found
    assert (entry.serial_number, entry.revocation_date_utc) == (serial, ca.now)
    if reason is RevocationReason.UNSPECIFIED:
        assert len(entry.extensions) == 0
    else:
        (extension,) = entry.extensions
        # the reasonCode itself, an ENUMERATED
        assert extension.value.public_bytes() == wrap(0x0A, bytes((reason.value,)))


def test_what_is_taken_off_hold_is_in_it_no_more(ca: "Ca") -> None:
    serial = serial_of_new(ca)
    revoke(ca, serial, RevocationReason.CERTIFICATE_HOLD)
    assert len(crl(ca)) == 1
    revoke(ca, serial, RevocationReason.REMOVE_FROM_CRL)
    assert len(crl(ca)) == 0
    revoke(ca, serial, RevocationReason.CERTIFICATE_HOLD)
    revoke(ca, serial, RevocationReason.KEY_COMPROMISE)
    (entry,) = crl(ca)
    reason = entry.extensions.get_extension_for_class(x509.CRLReason).value.reason
    assert reason is x509.ReasonFlags.key_compromise
    assert number(crl(ca)) == 3


def test_a_certificate_that_its_end_entity_rejected_is_in_it(ca: "Ca") -> None:
    crl(ca)
    peer = ca.ra_hmac()
    issued = peer.enroll()
    assert peer.send(BodyType.CERT_CONF, b"\x30\x00").type is BodyType.PKICONF
    (entry,) = crl(ca)
    assert entry.serial_number == issued.certificate.serial_number


def test_it_stays_the_same_until_something_changes_or_it_is_old(ca: "Ca") -> None:
    first = ca.authority.crl(ca.now)
    peer = ca.ra_hmac()
    peer.confirm(peer.enroll())
    ca.restart()
    ca.now += RENEWAL - dt.timedelta(seconds=1)
    assert ca.authority.crl(ca.now) == first
    ca.now += dt.timedelta(seconds=1)
    renewed = crl(ca)
    assert (number(renewed), renewed.last_update_utc) == (2, ca.now)
    # one of the future is nobody's: a clock was set back
    ca.now -= dt.timedelta(days=2)
    again = crl(ca)
    assert (number(again), again.last_update_utc) == (3, ca.now)


@pytest.mark.parametrize("spec", ["rsa:2048", "ec:P-384", "ed25519", "ml-dsa-65"])
def test_a_ca_with_a_key_of_another_type(make_ca: "Callable[[str], Ca]", spec: str) -> None:
    ca = make_ca(spec)
    assert len(crl(ca)) == 0


@pytest.mark.anyio
async def test_it_is_fetched_by_http(ca: "Ca") -> None:
    app = CmpApp(ca.authority, lambda: ca.now)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app)) as http:
        response = await http.get(CRL_URL)
        head = await http.head(CRL_URL)
        post = await http.post(CRL_URL, content=b"x")
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/pkix-crl"
    assert response.content == ca.authority.crl(ca.now)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(response.content))
    assert (post.status_code, post.headers["allow"]) == (405, "GET, HEAD")


def test_certificates_tell_where_it_is_if_the_server_knows(ca: "Ca") -> None:
    def points() -> list[x509.ExtensionType]:
        extensions = ca.ra_hmac().enroll().certificate.extensions
        return [one.value for one in extensions if one.oid == x509.OID_CRL_DISTRIBUTION_POINTS]

    assert points() == []
    ca.authority = Authority(ca.store, ca.root, crl_url=f"http://ca.test{CRL_PATH}")
    name = x509.UniformResourceIdentifier(CRL_URL)
    point = x509.DistributionPoint([name], None, None, None)
    assert points() == [x509.CRLDistributionPoints([point])]
