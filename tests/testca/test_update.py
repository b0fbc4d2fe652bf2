"""Whoever an RA enrolled by its secret updates the certificate for itself, at the same alias."""

from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from bulkcmp.cmp.messages import BodyType, PKIStatus
from bulkcmp.testca.store import CertificateStatus

if TYPE_CHECKING:
    from tests.testca.conftest import Ca, Peer


def holder(ca: "Ca", user: str = "dev1", spec: str = "ec:P-256") -> "Peer":
    peer = ca.client_cert(user, spec)
    peer.alias = "ra-hmac"
    return peer


def serial(peer: "Peer") -> int:
    assert peer.cert is not None
    return x509.load_der_x509_certificate(peer.cert).serial_number


def test_its_own_certificate_is_updated(ca: "Ca") -> None:
    peer = holder(ca)
    reply = peer.enroll(BodyType.KUR, None, "ec:P-384", old=(ca.root.name, serial(peer)))
    assert (reply.type, reply.status[0]) == (BodyType.KUP, PKIStatus.ACCEPTED)
    assert peer.confirm(reply).type is BodyType.PKICONF
    (issued,) = (one for one in ca.store.certificates() if one.der == reply.der)
    assert (issued.user, issued.status) == ("dev1", CertificateStatus.CONFIRMED)


def test_without_old_cert_id_it_is_the_signers(ca: "Ca") -> None:
    assert holder(ca).enroll(BodyType.KUR, None).status[0] == PKIStatus.ACCEPTED


def test_but_not_another_ones(ca: "Ca") -> None:
    other = holder(ca, "dev2", "ed25519")
    reply = holder(ca).enroll(BodyType.KUR, None, "ec:P-384", old=(ca.root.name, serial(other)))
    assert reply.status[:2] == (PKIStatus.REJECTION, ("badCertId",))


def test_nor_can_it_enroll(ca: "Ca") -> None:
    reply = holder(ca).enroll(BodyType.IR, "/CN=dev3", "ec:P-384")
    assert reply.status[1] == ("wrongIntegrity",)


def test_an_ra_with_a_certificate_has_its_own_alias(ca: "Ca") -> None:
    peer = ca.ra_cert()
    peer.alias = "ra-hmac"
    reply = peer.enroll(BodyType.KUR, None, old=(ca.root.name, serial(holder(ca))))
    assert reply.status[1:] == (("notAuthorized",), "the signer is an RA")


def test_by_a_mac_nothing_is_updated(ca: "Ca") -> None:
    reply = ca.ra_hmac().enroll(BodyType.KUR, None, old=(ca.root.name, serial(holder(ca))))
    assert reply.status[1] == ("wrongIntegrity",)


def test_the_confirmation_is_that_of_who_asked(ca: "Ca") -> None:
    peer, other = ca.ra_hmac(), holder(ca, "dev2", "ed25519")
    reply = peer.enroll()
    other.transaction_id, other.last = peer.transaction_id, reply
    assert other.confirm(reply).type is BodyType.ERROR


@pytest.mark.parametrize("alias", ["client-hmac", "ra-hmac"])
def test_it_holds_wherever_a_secret_enrolls(ca: "Ca", alias: str) -> None:
    ca.register("dev1")
    peer = holder(ca)
    peer.alias = alias
    assert peer.enroll(BodyType.KUR, None).status[0] == PKIStatus.ACCEPTED
