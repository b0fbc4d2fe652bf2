"""EJBCA's ways on the wire; what they mean to our client stands in tests/engine/test_ejbca.py."""

import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from bulkcmp.cmp import protection
from bulkcmp.cmp.algorithms import SigningKey
from bulkcmp.cmp.asn1 import decode, decode_sequence_of, encode, wrap
from bulkcmp.cmp.messages import (
    NULL_DN,
    BodyType,
    CertTemplate,
    ErrorMsgContent,
    PKIMessage,
    PollReq,
    RevDetails,
    decode_message,
    directory_name,
    fail_info_names,
    name_elements,
)
from bulkcmp.cmp.protection import MacParameters
from bulkcmp.errors import InputError
from bulkcmp.inputs.name import parse_name
from bulkcmp.model import PasswordMac, Popo
from bulkcmp.testca.aliases import Behaviour
from bulkcmp.testca.app import CmpApp
from bulkcmp.testca.ejbca.authority import EjbcaAuthority
from bulkcmp.testca.personality import EJBCA_MANNERS
from bulkcmp.testca.refusal import FailedError

if TYPE_CHECKING:
    from tests.testca.conftest import Ca

MakeKey = Callable[..., SigningKey]
URL = "http://ca.test/ejbca/publicweb/cmp/ra-hmac"
DEV1 = "/CN=dev1/O=Acme/C=SE"


@pytest.fixture
def ejbca(ca: "Ca") -> "Ca":
    ca.authority = EjbcaAuthority(ca.store, ca.root)
    return ca


def parameters_of(message: PKIMessage) -> MacParameters:
    found = protection.mac_parameters(message)
    assert found is not None
    return found


def test_whom_answers_name(ejbca: "Ca", key: MakeKey) -> None:
    peer = ejbca.ra_hmac()
    issued = peer.send(BodyType.IR, ejbca.crmf(key("ec:P-256"), DEV1), pvno=3)
    assert issued.message.header.pvno == 2
    assert issued.message.sender == ejbca.root.name
    assert issued.message.recipient == parse_name(DEV1)
    confirmed = peer.confirm(issued)
    # our own names, swapped
    assert (confirmed.message.sender, confirmed.message.recipient) == (ejbca.root.name, NULL_DN)
    rejected = peer.again().enroll(subject="/O=Acme")
    assert (rejected.type, rejected.protection) == (BodyType.IP, "none")
    assert rejected.message.recipient == parse_name("/CN=fooSubject")


@pytest.mark.parametrize("kind", PasswordMac)
def test_macs_of_answers(ejbca: "Ca", kind: PasswordMac) -> None:
    peer = ejbca.ra_hmac()
    peer.mac, peer.iterations = kind, 77
    reply = peer.enroll()
    mine, own = MacParameters.choose(b"", kind=kind, iterations=77), parameters_of(reply.message)
    assert own.with_salt(b"") == mine
    assert (len(own.salt), own.salt) != (16, b"0123456789abcdef")
    assert reply.message.extra_certs == ()
    template = CertTemplate(
        issuer=name_elements(ejbca.root.name),
        serialNumber=reply.certificate.serial_number,
    )
    revoked = peer.again().send(BodyType.RR, wrap(0x30, encode(RevDetails(certDetails=template))))
    counts = parameters_of(revoked.message)
    expected = (10_000, 4096) if kind is PasswordMac.PBMAC1 else (1024, 0)
    assert (counts.iterations, counts.key_length) == expected


@pytest.mark.parametrize(
    ("kid", "echo"),
    [
        (b"ra1", b"ra1"),
        ("Gerät".encode(), "Gerät".encode()),
        (b"\xff\xfe", b"fffe"),
        (b"a\tb", b"610962"),
        (b"x" * 200, b"x" * 128),
    ],
)
def test_senderkids_that_come_back(ejbca: "Ca", kid: bytes, echo: bytes) -> None:
    peer = ejbca.ra_hmac()
    peer.ref = kid
    assert peer.enroll().message.header.senderKID == echo


def test_without_senderkid(ejbca: "Ca") -> None:
    peer = ejbca.ra_hmac()
    peer.ref = None
    issued = peer.enroll()
    assert (issued.protection, peer.confirm(issued).protection) == ("signature", "none")


@pytest.mark.parametrize(
    ("changed", "text"),
    [("prf", "Authentication failed for message. dev1."), ("keyLength", "CMP processing. .")],
)
def test_pbmac1_that_ejbca_can_t_take(
    ejbca: "Ca", changed: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    parameters = MacParameters.choose(
        b"0123456789abcdef", kind=PasswordMac.PBMAC1, prf="hmac-sha512", iterations=10
    )
    if changed == "keyLength":
        oid, params = decode_sequence_of(parameters.identifier)
        kdf, mac = decode_sequence_of(params)
        kdf_oid, pbkdf2 = decode_sequence_of(kdf)
        salt, count, _, prf = decode_sequence_of(pbkdf2)
        short = wrap(0x30, encode(kdf_oid), wrap(0x30, *map(encode, (salt, count, prf))))
        der = wrap(0x30, encode(oid), wrap(0x30, short, encode(mac)))
        found = protection.parameters_of(decode_sequence_of(der))
        assert found is not None
        parameters = found
    monkeypatch.setattr(MacParameters, "choose", lambda *_, **__: parameters)
    reply = ejbca.ra_hmac().enroll()
    assert (reply.type, reply.status[1]) == (BodyType.ERROR, ("badRequest",))
    assert text in reply.status[2]


def test_no_confirmation_is_looked_at(ejbca: "Ca") -> None:
    peer = ejbca.ra_hmac()
    issued = peer.enroll()
    for reply in (
        peer.confirm(issued, certHash=b"foo123"),
        peer.send(BodyType.CERT_CONF, b"\x30\x00", protect=False),
        peer.again().send(BodyType.CERT_CONF, b"\x30\x00", spoil=True),
    ):
        assert reply.type is BodyType.PKICONF


def test_no_transaction_is_remembered(ejbca: "Ca", key: MakeKey) -> None:
    peer = ejbca.ra_hmac()
    for cert_req_id in (-1, 4711, 4711):
        request = ejbca.crmf(key("ec:P-256"), DEV1, cert_req_id=cert_req_id)
        assert peer.send(BodyType.IR, request).cert_req_id == cert_req_id
    bare = peer.send(BodyType.IR, request, transactionID=None, senderNonce=None)
    assert (bare.message.header.transactionID, bare.message.header.recipNonce) == (None, None)


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize(
    ("body_type", "body"),
    [(BodyType.GENM, b"\x30\x00"), (BodyType.POLL_REQ, wrap(0x30, encode(PollReq(certReqId=0))))],
)
def test_what_ejbca_does_not_handle(
    ejbca: "Ca", body_type: BodyType, body: bytes, named: bool
) -> None:
    recipient = ejbca.root.name if named else NULL_DN
    reply = ejbca.ra_hmac().send(body_type, body, recipient=directory_name(recipient))
    text = f"Can not handle message type '{body_type.value}'."
    assert (reply.type, reply.status) == (BodyType.ERROR, (2, ("badRequest",), text))
    assert reply.protection == ("signature" if named else "none")


def test_a_client_s_rr_without_the_subject(ejbca: "Ca") -> None:
    peer = ejbca.client_hmac()
    serial = peer.enroll().certificate.serial_number
    template = CertTemplate(issuer=name_elements(ejbca.root.name), serialNumber=serial)
    with pytest.raises(FailedError):
        peer.again().send(BodyType.RR, wrap(0x30, encode(RevDetails(certDetails=template))))


@pytest.mark.parametrize(
    ("body_type", "body"),
    [
        (BodyType.IR, b"\x30\x00"),
        (BodyType.IR, b"\x30\x02\x05\x00"),
        (BodyType.P10CR, b"\x30\x00"),
        (BodyType.RR, b"\x30\x00"),
        (BodyType.RR, b"\x30\x02\x05\x00"),
        (BodyType.KUR, b"\x30\x00"),
    ],
)
def test_malformed_bodies(ejbca: "Ca", body_type: BodyType, body: bytes) -> None:
    assert ejbca.ra_hmac().send(body_type, body).type is BodyType.ERROR


@pytest.mark.anyio
async def test_http(ejbca: "Ca") -> None:
    transport = httpx.ASGITransport(CmpApp(ejbca.authority, lambda: ejbca.now, EJBCA_MANNERS))
    async with httpx.AsyncClient(transport=transport) as http:
        garbage = await http.post(URL, content=b"garbage")
        large = await http.post(URL, content=bytes(100_001))
        long = await http.post(URL + "x" * 32, content=b"x")
        other = await http.post(URL + "x", content=b"x")
        read = await http.get(URL)
    assert [one.status_code for one in (large, long, other, read)] == [400, 400, 404, 405]
    assert {one.headers["content-type"] for one in (large, long, other, read)} == {
        "text/html; charset=utf-8"
    }
    assert garbage.status_code == 200
    message = decode_message(garbage.content)
    assert (message.body_type, message.protection) == (BodyType.ERROR, None)
    assert (message.sender, message.recipient) == (NULL_DN, NULL_DN)
    assert len(message.header.transactionID or b"") == 16
    assert message.header.recipNonce is None
    status = decode(ErrorMsgContent, message.body).pKIStatusInfo
    assert status.statusString == ["Not a valid CMP message."]
    assert fail_info_names(status.failInfo) == ("badRequest",)


@pytest.mark.anyio
async def test_http_500(ejbca: "Ca", monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> bytes:
        raise FailedError("inside")

    monkeypatch.setattr(ejbca.authority, "handle", fail)
    transport = httpx.ASGITransport(CmpApp(ejbca.authority, lambda: ejbca.now, EJBCA_MANNERS))
    async with httpx.AsyncClient(transport=transport) as http:
        failed = await http.post(URL, content=secrets.token_bytes(8))
    assert (failed.status_code, failed.headers["content-type"][:9]) == (500, "text/html")


def test_it_publishes_the_crl(ejbca: "Ca") -> None:
    assert ejbca.authority.crl(ejbca.now)


@pytest.mark.parametrize(
    "knob", [{"poll_count": 1}, {"implicit_confirm": False}, {"one_shot": True}]
)
def test_what_an_ejbca_can_t_be_told(ca: "Ca", knob: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="has its own way"):
        EjbcaAuthority(ca.store, ca.root, exceptions={"ra-hmac": Behaviour(**knob)})


def test_keys_are_not_made_unless_an_alias_says_so(ejbca: "Ca") -> None:
    reply = ejbca.ra_hmac().enroll(prove=Popo.NONE, publicKey=None)
    # of RA mode's own configuration, which nobody signs
    assert (reply.type, reply.protection) == (BodyType.IP, "none")
    assert reply.status == (2, ("incorrectData",), "Server generated keys not allowed")
