"""The alias where requests are not protected and a regToken says who asks."""

from typing import TYPE_CHECKING

import pytest

from bulkcmp.cmp.asn1 import ObjectIdentifier, any_from, wrap
from bulkcmp.cmp.messages import (
    CONTROL_AUTHENTICATOR,
    CONTROL_REG_TOKEN,
    REG_INFO_UTF8_PAIRS,
    AttributeTypeAndValue,
    BodyType,
)
from bulkcmp.model import Secret
from bulkcmp.testca.aliases import Behaviour
from tests.testca.conftest import Peer

if TYPE_CHECKING:
    from tests.testca.conftest import Ca


def attribute(kind: ObjectIdentifier, text: bytes, tag: int = 0x0C) -> AttributeTypeAndValue:
    return AttributeTypeAndValue(type=kind, value=any_from(wrap(tag, text)))


def token(text: bytes = b"pw1") -> AttributeTypeAndValue:
    return attribute(CONTROL_REG_TOKEN, text)


@pytest.fixture
def device(ca: "Ca") -> Peer:
    ca.register("dev1")
    return Peer(ca, "client-regtoken")


@pytest.mark.parametrize("body_type", [BodyType.IR, BodyType.CR])
def test_a_reg_token_stands_for_protection(ca: "Ca", device: Peer, body_type: BodyType) -> None:
    reply = device.enroll(body_type, other_controls=(token(),))
    assert (reply.protection, reply.status) == ("signature", (0, (), ""))
    assert reply.certificate.subject.rfc4514_string() == "C=SE,O=Acme,CN=dev1"
    confirmed = device.confirm(reply)
    assert (confirmed.type, confirmed.protection) == (BodyType.PKICONF, "signature")
    issued = ca.store.certificate(reply.certificate.serial_number)
    assert issued is not None
    assert (issued.user, issued.status) == ("dev1", "confirmed")


def test_what_waits_is_polled_for_by_its_transaction(ca: "Ca", device: Peer) -> None:
    ca.behave(Behaviour(poll_count=1))
    assert device.enroll(other_controls=(token(),)).status[0] == 3
    poll = wrap(0x30, wrap(0x30, b"\x02\x01\x00"))
    reply = device.send(BodyType.POLL_REQ, poll)
    assert reply.status[0] == 0
    assert device.confirm(reply).type is BodyType.PKICONF


@pytest.mark.parametrize(
    ("controls", "subject", "refusal"),
    [
        ((), "/CN=dev1/O=Acme/C=SE", ("notAuthorized", "no regToken")),
        ((token(b"pw2"),), "/CN=dev1/O=Acme/C=SE", ("notAuthorized", "invalid password")),
        ((token(),), "/CN=dev2/O=Acme/C=SE", ("notAuthorized", "invalid password")),
        ((token(),), "/O=Acme/C=SE", ("notAuthorized", "invalid password")),
        ((token(), token()), "/CN=dev1/O=Acme/C=SE", ("badRequest", "regToken stands 2 times")),
        (
            (attribute(CONTROL_REG_TOKEN, b"pw1", 0x04),),
            "/CN=dev1/O=Acme/C=SE",
            ("badDataFormat", "regToken is no UTF8String"),
        ),
        ((token(b"\xff"),), "/CN=dev1/O=Acme/C=SE", ("badDataFormat", "no UTF-8 text")),
    ],
)
def test_a_request_without_a_right_token(
    device: Peer,
    controls: tuple[AttributeTypeAndValue, ...],
    subject: str,
    refusal: tuple[str, str],
) -> None:
    reply = device.enroll(BodyType.IR, subject, other_controls=controls)
    status, fail_info, text = reply.status
    assert (reply.type, status, fail_info) == (BodyType.IP, 2, (refusal[0],))
    assert refusal[1] in text
    assert "pw1" not in text
    assert reply.protection == "signature"


def test_what_else_is_refused_there(ca: "Ca", device: Peer) -> None:
    by_mac = Peer(ca, "client-regtoken", b"dev1", Secret(b"pw1"))
    assert by_mac.enroll(other_controls=(token(),)).status[1] == ("wrongIntegrity",)
    assert device.enroll(BodyType.KUR, other_controls=(token(),)).status[1] == ("notAuthorized",)
    stranger = device.again()
    poll = wrap(0x30, wrap(0x30, b"\x02\x01\x00"))
    assert stranger.send(BodyType.POLL_REQ, poll).status[1] == ("badRequest",)


def test_a_transaction_of_another_alias_is_not_open_to_the_unprotected(ca: "Ca") -> None:
    owner = ca.ra_hmac()
    reply = owner.enroll()
    thief = Peer(ca, "client-regtoken", transaction_id=owner.transaction_id, last=owner.last)
    assert thief.confirm(reply).status[1] == ("badRequest",)
    assert owner.confirm(reply).type is BodyType.PKICONF


@pytest.mark.parametrize("alias", ["client-hmac", "client-cert", "ra-hmac", "ra-cert"])
def test_no_other_alias_takes_unprotected_requests(ca: "Ca", alias: str) -> None:
    ca.register("dev1")
    reply = Peer(ca, alias).enroll(other_controls=(token(),))
    assert reply.status[1] == ("badMessageCheck",)


# --- attributes at any alias ----------------------------------------------------------------------


def reg_info(pairs: bytes) -> AttributeTypeAndValue:
    return attribute(REG_INFO_UTF8_PAIRS, pairs)


def test_good_attributes_are_read_everywhere(ca: "Ca") -> None:
    controls = (token(), attribute(CONTROL_AUTHENTICATOR, b"Smith"))
    assert ca.ra_hmac().enroll(other_controls=controls).status[0] == 0
    unknown = AttributeTypeAndValue(type=ObjectIdentifier("1.2.3.4"), value=any_from(b"\x05\x00"))
    assert ca.ra_hmac().enroll(other_controls=(unknown,)).status[0] == 0
    infos = (reg_info(b"version?1%corp?Acme%25%"),)
    assert ca.ra_hmac().enroll(reg_info=infos).status[0] == 0


def test_a_token_may_stand_in_reg_info(device: Peer) -> None:
    assert device.enroll(reg_info=(token(),)).status[0] == 0


@pytest.mark.parametrize(
    ("infos", "fail_info"),
    [
        ((reg_info(b"no pair"),), "badDataFormat"),
        ((reg_info(b"a?b%"), reg_info(b"c?d%")), "badRequest"),
    ],
)
def test_bad_reg_info(ca: "Ca", infos: tuple[AttributeTypeAndValue, ...], fail_info: str) -> None:
    assert ca.ra_hmac().enroll(reg_info=infos).status[1] == (fail_info,)
