"""Devices with a vendor's certificate, as base stations have it (3GPP TS 33.310, 9)."""

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from bulkcmp.cmp.algorithms import SigningKey
from bulkcmp.cmp.messages import BodyType, directory_name
from bulkcmp.inputs.name import parse_name
from bulkcmp.testca.authority import Authority
from bulkcmp.testca.ejbca.authority import EjbcaAuthority
from bulkcmp.testca.identity import make_vendor
from bulkcmp.testca.state import load_vendor
from bulkcmp.testca.store import CertificateStatus, Registration
from tests.testca.conftest import Peer

if TYPE_CHECKING:
    from tests.testca.conftest import Ca, Reply

MakeKey = Callable[..., SigningKey]
STATION = "/CN=dev1/O=Acme/C=SE"


def register(ca: "Ca", subject: str) -> None:
    ca.store.register([Registration("dev1", "3gpp", parse_name(subject))])


def refusal(reply: "Reply") -> tuple[tuple[str, ...], str]:
    status, names, text = reply.status
    assert status == 2
    return names, text


def test_a_station_enrolls_and_renews(ca: "Ca", key: MakeKey) -> None:
    station = ca.station()
    issued = station.enroll(subject=STATION)
    assert (issued.type, issued.protection) == (BodyType.IP, "signature")
    assert issued.certificate.subject.public_bytes() == parse_name(STATION)
    assert station.confirm(issued).type is BodyType.PKICONF
    found = ca.store.certificate(issued.certificate.serial_number)
    assert found is not None
    assert (found.alias, found.user, found.status) == ("3gpp", "dev1", CertificateStatus.CONFIRMED)
    renewing = replace(station.again(), key=key("ec:P-256"), cert=issued.der, chain=())
    renewed = renewing.send(BodyType.KUR, ca.crmf(key("ec:P-256", 1), None))
    assert renewed.type is BodyType.KUP
    assert renewed.certificate.subject.public_bytes() == parse_name(STATION)
    # not with what the vendor gave it
    again = station.again().send(BodyType.KUR, ca.crmf(key("ec:P-256", 2), None))
    assert refusal(again)[0] == ("wrongIntegrity",)


def test_the_registered_subject_counts(ca: "Ca") -> None:
    register(ca, "/CN=dev1/O=Operator")
    issued = ca.station().enroll(subject=STATION)
    assert issued.certificate.subject.public_bytes() == parse_name("/CN=dev1/O=Operator")


@pytest.mark.parametrize("known", [True, False])
def test_strangers(ca: "Ca", known: bool) -> None:
    if not known:
        ca.authority = Authority(ca.store, ca.root)
    _, foreign = make_vendor(ca.now)
    station = ca.station() if not known else ca.station(vendor=foreign)
    assert refusal(station.enroll(subject=STATION))[0] == ("signerNotTrusted",)


def test_a_chain_that_is_missing(ca: "Ca") -> None:
    station = replace(ca.station(), chain=())
    assert refusal(station.enroll(subject=STATION))[0] == ("signerNotTrusted",)


def test_a_vendor_certificate_that_is_over(ca: "Ca") -> None:
    station = ca.station()
    late = ca.now + dt.timedelta(days=3000)
    assert refusal(station.enroll(subject=STATION, now=late))[0] == ("signerNotTrusted",)


@pytest.mark.parametrize(
    ("vendor_subject", "asked", "fail_info"),
    [
        ("/CN=dev1/O=Vendor", "/CN=dev2/O=Acme", "notAuthorized"),
        ("/O=Vendor", STATION, "notAuthorized"),
        ("/CN=dev1/O=Vendor", None, "badCertTemplate"),
    ],
)
def test_whom_a_vendor_vouches_for(
    ca: "Ca", vendor_subject: str, asked: str | None, fail_info: str
) -> None:
    assert refusal(ca.station(vendor_subject).enroll(subject=asked))[0] == (fail_info,)


def test_a_wrong_signature(ca: "Ca", key: MakeKey) -> None:
    reply = ca.station().send(BodyType.IR, ca.crmf(key("ec:P-256"), STATION), spoil=True)
    assert refusal(reply)[0] == ("badMessageCheck",)


def test_the_sender_is_the_station(ca: "Ca", key: MakeKey) -> None:
    other = directory_name(parse_name("/CN=dev2/O=Vendor"))
    reply = ca.station().send(BodyType.IR, ca.crmf(key("ec:P-256"), STATION), sender=other)
    assert refusal(reply) == (("badMessageCheck",), "the sender is not the signer's subject")


@pytest.mark.parametrize("kid", [None, b"of another key"])
def test_the_station_s_key_is_the_one_that_it_names(
    ca: "Ca", key: MakeKey, kid: bytes | None
) -> None:
    reply = ca.station().send(BodyType.IR, ca.crmf(key("ec:P-256"), STATION), senderKID=kid)
    assert refusal(reply) == (("badMessageCheck",), "senderKID is not that of the signer's key")


@pytest.mark.parametrize("kid", [None, b"of any key"])
def test_a_vendor_certificate_without_a_key_identifier(
    ca: "Ca", key: MakeKey, kid: bytes | None
) -> None:
    vendor, device_key = load_vendor(ca.folder), ec.generate_private_key(ec.SECP256R1())
    assert isinstance(vendor.key, ec.EllipticCurvePrivateKey)
    builder = x509.CertificateBuilder(
        vendor.certificate.subject,
        x509.Name.from_bytes(parse_name("/CN=dev1/O=Vendor")),
        device_key.public_key(),
        7,
        ca.now - dt.timedelta(days=1),
        ca.now + dt.timedelta(days=1),
    )
    device = builder.sign(vendor.key, hashes.SHA256()).public_bytes(Encoding.DER)
    station = Peer(ca, "3gpp", key=device_key, cert=device, chain=(vendor.der,))
    reply = station.send(BodyType.IR, ca.crmf(key("ec:P-256"), STATION), senderKID=kid)
    assert reply.type is BodyType.IP
    assert reply.status[0] == 0


def test_ejbca_s_vendor_mode(ca: "Ca") -> None:
    ca.authority = EjbcaAuthority(ca.store, ca.root, vendors=ca.vendors)
    # end entities are registered before
    assert refusal(ca.station().enroll(subject=STATION))[1] == "Wrong username or password"
    register(ca, STATION)
    issued = ca.station().enroll(subject=STATION)
    assert issued.certificate.subject.public_bytes() == parse_name(STATION)
    other = ca.station("/CN=dev2/O=Vendor").enroll(subject=STATION)
    assert "does not belong to user 'dev1'" in refusal(other)[1]
    _, foreign = make_vendor(ca.now)
    assert "vendor is unknown" in refusal(ca.station(vendor=foreign).enroll(subject=STATION))[1]
    ca.authority = EjbcaAuthority(ca.store, ca.root)
    assert "not in the database" in refusal(ca.station().enroll(subject=STATION))[1]
