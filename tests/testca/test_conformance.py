"""What RFC 9810 and RFC 9483 want of a server: a row for each wrong that a client may do.

Many rows stand for a test of the same name in Siemens' `cmp-test-suite`.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from bulkcmp.cmp import algorithms
from bulkcmp.cmp.asn1 import (
    GeneralizedTime,
    ObjectIdentifier,
    any_from,
    encode,
    wrap,
)
from bulkcmp.cmp.messages import (
    IT_CONFIRM_WAIT_TIME,
    IT_IMPLICIT_CONFIRM,
    NULL_DN,
    BodyType,
    ErrorMsgContent,
    PKIStatusInfo,
    directory_name,
    name_elements,
)
from bulkcmp.inputs.name import parse_name
from bulkcmp.model import PasswordMac, RevocationReason
from bulkcmp.testca.aliases import Behaviour
from bulkcmp.testca.store import CertificateStatus, IssuedCertificate
from tests.testca.conftest import poll_req, rev_req, shared_key

if TYPE_CHECKING:
    from tests.testca.conftest import Ca, Peer, Reply

ERROR, IP, KUP, CP, RP = BodyType.ERROR, BodyType.IP, BodyType.KUP, BodyType.CP, BodyType.RP
OTHER_CA = parse_name("/CN=Another CA")
UNKNOWN_ALGORITHM = [any_from(encode(ObjectIdentifier("1.2.3.4")))]
STRICT = Behaviour(strict=True)


def info(info_type: ObjectIdentifier, value: bytes) -> Any:
    return any_from(wrap(0x30, encode(info_type), value))


IMPLICIT = info(IT_IMPLICIT_CONFIRM, b"\x05\x00")
WAIT_TIME = info(IT_CONFIRM_WAIT_TIME, wrap(0x18, b"20270301130000Z"))
UTC_WAIT_TIME = info(IT_CONFIRM_WAIT_TIME, wrap(0x17, b"270301130000Z"))


def ask(peer: "Peer", body_type: BodyType = BodyType.IR, **sending: Any) -> "Reply":
    """A request that is good but for what `sending` says."""
    return peer.send(body_type, peer.ca.crmf(shared_key("ec:P-256")), **sending)


def header(**fields: Any) -> Callable[["Peer"], "Reply"]:
    return lambda peer: ask(peer, **fields)


def template(body_type: BodyType = BodyType.IR, **crmf: Any) -> Callable[["Peer"], "Reply"]:
    return lambda peer: peer.enroll(body_type, **crmf)


def sent(body_type: BodyType, der: bytes) -> Callable[["Peer"], "Reply"]:
    return lambda peer: peer.send(body_type, der)


def confirming(**sending: Any) -> Callable[["Peer"], "Reply"]:
    """An empty certConf after an ip."""

    def act(peer: "Peer") -> "Reply":
        assert peer.enroll().type is IP
        return peer.send(BodyType.CERT_CONF, b"\x30\x00", **sending)

    return act


def with_other(change: Callable[["Peer", "Reply"], "Peer"]) -> Callable[["Peer"], "Reply"]:
    """A good certConf, but from somebody else in the same transaction."""

    def act(peer: "Peer") -> "Reply":
        issued = peer.enroll(spec="ec:P-384")
        other = change(peer, issued)
        other.transaction_id, other.last = peer.transaction_id, issued
        return other.confirm(issued)

    return act


def with_the_issued(peer: "Peer", issued: "Reply") -> "Peer":
    return replace(peer, key=shared_key("ec:P-384"), cert=issued.der)


def twice(peer: "Peer") -> "Reply":
    issued = peer.enroll()
    assert peer.confirm(issued).type is BodyType.PKICONF
    return peer.confirm(issued)


def another_users_key(peer: "Peer") -> "Reply":
    mine = peer.ca.ra_cert()
    assert mine.enroll(subject="/CN=dev1").status[0] == 0
    # it is its own: it may have a further certificate
    assert mine.again().enroll(subject="/CN=dev1/O=Other").status[0] == 0
    return peer.enroll(subject="/CN=dev2")


def rsa_key_of(bits: int) -> bytes:
    key = rsa.RSAPublicNumbers(65537, (1 << bits) - 159).public_key()
    return key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def csr_of_version(number: int) -> bytes:
    builder = x509.CertificateSigningRequestBuilder(x509.Name.from_bytes(parse_name("/CN=dev1")))
    der = builder.sign(shared_key("ed25519"), None).public_bytes(serialization.Encoding.DER)
    return der.replace(b"\x02\x01\x00", bytes((2, 1, number)), 1)


def constraints(*, ca: bool) -> list[tuple[str, bool, bytes]]:
    value = x509.BasicConstraints(ca=ca, path_length=None)
    return [(value.oid.dotted_string, True, value.public_bytes())]


@dataclass(frozen=True)
class Wrong:
    """What a client does, and how it is refused."""

    act: Callable[["Peer"], "Reply"]
    fail_info: str
    type: BodyType = ERROR
    alias: str = "ra-cert"
    protection: str = "signature"
    behaviour: Behaviour | None = None


def mac(act: Callable[["Peer"], "Reply"], fail_info: str, **rest: Any) -> Wrong:
    """By a peer with a MAC, whose refusal has a MAC."""
    return Wrong(act, fail_info, alias="ra-hmac", **({"protection": "mac"} | rest))


def unproven(act: Callable[["Peer"], "Reply"], fail_info: str, **rest: Any) -> Wrong:
    """By a peer whose MAC proves nothing: the refusal is signed (RFC 9483, 3.6.4)."""
    return mac(act, fail_info, protection="signature", **rest)


WRONGS = {
    # RFC 9483, 3.1: the header
    "pvno 1": Wrong(header(pvno=1), "unsupportedVersion"),
    "pvno 4": mac(header(pvno=4), "unsupportedVersion"),
    "no transactionID": Wrong(header(transactionID=None), "badDataFormat"),
    "short transactionID": Wrong(header(transactionID=b"x" * 8), "badRequest"),
    "no transactionID in a certConf": Wrong(confirming(transactionID=None), "badRequest"),
    "other transactionID in a certConf": Wrong(
        confirming(transactionID=b"another one here"), "badRequest"
    ),
    "no senderNonce": mac(header(senderNonce=None), "badSenderNonce"),
    "short senderNonce": Wrong(header(senderNonce=b"x" * 8), "badSenderNonce"),
    "no senderNonce in a certConf": Wrong(confirming(senderNonce=None), "badSenderNonce"),
    "recipNonce in the first message": mac(header(recipNonce=b"n" * 16), "badRecipientNonce"),
    "no recipNonce in a certConf": mac(confirming(recipNonce=None), "badRecipientNonce"),
    "other recipNonce in a certConf": Wrong(confirming(recipNonce=b"n" * 16), "badRecipientNonce"),
    "implicitConfirm that is not NULL": Wrong(
        header(generalInfo=[info(IT_IMPLICIT_CONFIRM, b"\x0c\x01x")]), "badRequest"
    ),
    "implicitConfirm without value": Wrong(
        header(generalInfo=[info(IT_IMPLICIT_CONFIRM, b"")]), "badRequest"
    ),
    "implicitConfirm and confirmWaitTime": mac(
        header(generalInfo=[IMPLICIT, WAIT_TIME]), "badRequest"
    ),
    "confirmWaitTime as UTCTime": Wrong(header(generalInfo=[UTC_WAIT_TIME]), "badDataFormat"),
    "implicitConfirm in a certConf": Wrong(confirming(generalInfo=[IMPLICIT]), "badRequest"),
    # RFC 9483, 3.2: protection
    "no protection": Wrong(header(protect=False), "badMessageCheck"),
    "no protection by MAC": unproven(header(protect=False), "badMessageCheck"),
    "protection without protectionAlg": Wrong(header(protectionAlg=None), "badMessageCheck"),
    "MAC without protectionAlg": unproven(header(protectionAlg=None), "badMessageCheck"),
    "wrong signature": Wrong(header(spoil=True), "badMessageCheck"),
    "wrong MAC": unproven(header(spoil=True), "badMessageCheck"),
    "no protection of a certConf": Wrong(confirming(protect=False), "badMessageCheck"),
    "unknown signature algorithm": Wrong(header(protectionAlg=UNKNOWN_ALGORITHM), "badAlg"),
    "unknown MAC algorithm": unproven(header(protectionAlg=UNKNOWN_ALGORITHM), "badAlg"),
    "MAC parameters above the ceiling": unproven(
        lambda peer: ask(replace(peer, iterations=100_001)), "badAlg"
    ),
    "a MAC where signatures are due": Wrong(
        lambda peer: ask(replace(peer.ca.ra_hmac(), alias="ra-cert")), "wrongIntegrity"
    ),
    "a signature where MACs are due": unproven(
        lambda peer: ask(replace(peer.ca.ra_cert(), alias="ra-hmac")), "wrongIntegrity"
    ),
    "sender is not the signer": Wrong(header(sender=directory_name(OTHER_CA)), "badMessageCheck"),
    "sender is no directoryName": Wrong(
        header(sender=any_from(wrap(0x81, b"ra@example"))), "badMessageCheck"
    ),
    "MAC of a sender that is no directoryName": unproven(
        header(sender=any_from(wrap(0x81, b"ra@example"))), "badMessageCheck"
    ),
    "no senderKID": Wrong(header(senderKID=None), "badMessageCheck"),
    "other senderKID": Wrong(header(senderKID=b"x" * 20), "badMessageCheck"),
    "no senderKID beside a MAC": unproven(header(senderKID=None), "badMessageCheck"),
    # RFC 9483, 3.3: extraCerts
    "no extraCerts": Wrong(header(extra_certs=()), "badMessageCheck"),
    "the signer is not the first": Wrong(
        lambda peer: ask(peer, extra_certs=(peer.ca.root.der, peer.cert)), "badMessageCheck"
    ),
    # RFC 9483, 3.5: one transaction, one protection
    "certConf signed with the new certificate": Wrong(
        with_other(with_the_issued), "badMessageCheck", alias="client-cert"
    ),
    "certConf of another reference": mac(
        with_other(lambda peer, _: replace(peer, ref=b"ra2")), "badMessageCheck"
    ),
    "certConf by PBMAC1 after an ir by PBM": mac(
        with_other(lambda peer, _: replace(peer, mac=PasswordMac.PBMAC1)), "badMessageCheck"
    ),
    "certConf by MAC after a signed ir": Wrong(
        with_other(lambda peer, _: replace(peer.ca.ra_hmac(), alias="ra-cert")), "wrongIntegrity"
    ),
    # RFC 9483, 4.1: the request
    "negative certReqId": Wrong(template(cert_req_id=-1), "badRequest", IP),
    "raVerified by an end entity": Wrong(
        template(prove=b"\x80\x00"), "notAuthorized", IP, "client-cert"
    ),
    "no POPO": Wrong(template(prove=None), "badPOP", IP),
    "POPO by another key": Wrong(
        template(public_key=algorithms.public_key_info(shared_key("ec:P-256", 1))), "badPOP", IP
    ),
    "POPO of another algorithm than the key": Wrong(
        template(public_key=algorithms.public_key_info(shared_key("rsa:2048"))), "badPOP", IP
    ),
    "no subject": mac(template(subject=None), "badCertTemplate", type=IP),
    "version v1": Wrong(template(version=0), "badCertTemplate", IP),
    "serialNumber": Wrong(template(serialNumber=5), "badCertTemplate", IP),
    "signingAlg": Wrong(template(signingAlg=UNKNOWN_ALGORITHM), "badCertTemplate", IP),
    "another issuer": Wrong(template(issuer=name_elements(OTHER_CA)), "wrongAuthority", IP),
    "unknown critical extension": Wrong(
        template(extensions=[("1.2.3.4", True, b"\x05\x00")]), "unacceptedExtension", IP
    ),
    "a CA certificate": Wrong(template(extensions=constraints(ca=True)), "unacceptedExtension", IP),
    "an RSA key that is too short": Wrong(
        template(public_key=rsa_key_of(1024), prove=b"\x80\x00"), "badCertTemplate", IP
    ),
    "an RSA key that is too long": Wrong(
        template(public_key=rsa_key_of(18000), prove=b"\x80\x00"), "badCertTemplate", IP
    ),
    "a PKCS#10 request of version 2": Wrong(
        sent(BodyType.P10CR, csr_of_version(1)), "badCertTemplate", CP
    ),
    "a kur without oldCertID of a RA": Wrong(template(BodyType.KUR), "badCertId", KUP),
    "a kur for another CA's certificate": Wrong(
        template(BodyType.KUR, old=(OTHER_CA, 5)), "badCertId", KUP, "client-cert"
    ),
    "another end entity's public key": Wrong(
        another_users_key, "badCertTemplate", IP, behaviour=Behaviour(unique_keys=True)
    ),
    # RFC 9483, 4.1: the certConf
    "a certConf for nothing": Wrong(sent(BodyType.CERT_CONF, b"\x30\x00"), "badRequest"),
    "a certConf twice": Wrong(twice, "certConfirmed"),
    # bodies
    "a malformed body": Wrong(sent(BodyType.IR, b"\x30\x02\x05\x00"), "badDataFormat"),
    "an empty ir": Wrong(sent(BodyType.IR, b"\x30\x00"), "badRequest"),
    "a response for a request": Wrong(sent(BodyType.IP, b"\x30\x00"), "badRequest"),
    "a pollReq for nothing": mac(sent(BodyType.POLL_REQ, poll_req(0)), "badRequest"),
    # RFC 9483, 4.2: a rr, whatever is wrong with it, is answered by a rp
    "a rr without protection": Wrong(
        lambda peer: peer.send(BodyType.RR, b"\x30\x00", protect=False), "badMessageCheck", RP
    ),
    "a rr without extraCerts": Wrong(
        lambda peer: peer.send(BodyType.RR, b"\x30\x00", extra_certs=()), "badMessageCheck", RP
    ),
    "a rr with another sender": Wrong(
        lambda peer: peer.send(BodyType.RR, b"\x30\x00", sender=directory_name(OTHER_CA)),
        "badMessageCheck",
        RP,
    ),
    "a rr with a short senderNonce": mac(
        lambda peer: peer.send(BodyType.RR, b"\x30\x00", senderNonce=b"x"),
        "badSenderNonce",
        type=RP,
    ),
    "a malformed rr": Wrong(sent(BodyType.RR, b"\x30\x02\x05\x00"), "badDataFormat"),
    # what only RFC 9483 forbids
    "strict: no messageTime": Wrong(header(messageTime=None), "badTime", behaviour=STRICT),
    "strict: long transactionID": Wrong(
        header(transactionID=b"x" * 17), "badRequest", behaviour=STRICT
    ),
    "strict: long senderNonce": Wrong(
        header(senderNonce=b"x" * 100), "badSenderNonce", behaviour=STRICT
    ),
    "strict: another recipient": Wrong(
        header(recipient=directory_name(OTHER_CA)), "wrongAuthority", behaviour=STRICT
    ),
    "strict: a recipient that is no directoryName": Wrong(
        header(recipient=any_from(wrap(0x81, b"ca@example"))), "wrongAuthority", behaviour=STRICT
    ),
    "strict: MAC of a nameless sender": mac(header(), "badMessageCheck", behaviour=STRICT),
    "strict: MAC of a sender with a bad name": mac(
        header(sender=directory_name(b"\x30\x02\x05\x00")), "badMessageCheck", behaviour=STRICT
    ),
    "strict: MAC of another sender than senderKID": mac(
        header(sender=directory_name(parse_name("/CN=ra2"))), "badMessageCheck", behaviour=STRICT
    ),
    "strict: a rr by MAC": mac(
        lambda peer: peer.send(
            BodyType.RR, b"\x30\x00", sender=directory_name(parse_name("/CN=ra1"))
        ),
        "wrongIntegrity",
        type=RP,
        behaviour=STRICT,
    ),
    "strict: certReqId 1": Wrong(template(cert_req_id=1), "badRequest", IP, behaviour=STRICT),
    "strict: no subject of a registered end entity": Wrong(
        template(subject=None), "badCertTemplate", IP, "client-cert", behaviour=STRICT
    ),
}


@pytest.mark.parametrize("name", WRONGS)
def test_what_is_wrong_is_refused(ca: "Ca", name: str) -> None:
    wrong = WRONGS[name]
    peer = ca.requester(wrong.alias)
    if wrong.behaviour is not None:
        ca.behave(wrong.behaviour)
    reply = wrong.act(peer)
    assert (reply.type, reply.status[:2], reply.protection) == (
        wrong.type,
        (2, (wrong.fail_info,)),
        wrong.protection,
    ), reply.status
    if wrong.type in (IP, CP, KUP):
        assert reply.issued == {}


def test_strict_takes_one_request_in_a_message(ca: "Ca") -> None:
    ca.behave(STRICT)
    der = ca.crmf(shared_key("ec:P-256"), count=2)
    reply = ca.ra_cert().send(BodyType.IR, der)
    assert (reply.type, reply.protection) == (IP, "signature")
    assert reply.responses == {0: (2, ("badRequest",))}


@pytest.mark.parametrize("alias", ["client-hmac", "client-cert", "ra-hmac", "ra-cert"])
def test_strict_takes_what_is_right(ca: "Ca", alias: str) -> None:
    peer = ca.requester(alias)
    ca.behave(STRICT)
    head: dict[str, Any] = {}
    if peer.ref is not None:
        head = {"sender": directory_name(parse_name(f"/CN={peer.ref.decode()}"))}
    assert ask(peer, **head).status == (0, (), "")


def test_no_recipient_is_this_ca(ca: "Ca") -> None:
    ca.behave(STRICT)
    assert ask(ca.ra_cert(), recipient=directory_name(NULL_DN)).type is IP


def test_another_recipient_is_no_fault_without_strict(ca: "Ca") -> None:
    assert ask(ca.ra_cert(), recipient=directory_name(OTHER_CA)).type is IP


def test_a_body_of_no_known_type(ca: "Ca") -> None:
    peer = ca.ra_hmac()
    reply = peer.send(27, b"\x30\x00")  # type: ignore[arg-type] # there is no such type
    assert (reply.type, reply.status[1], reply.protection) == (
        ERROR,
        ("badDataFormat",),
        "signature",
    )


# --- error messages of a client (RFC 9483, 3.6.4)

CLIENT_ERROR = encode(ErrorMsgContent(pKIStatusInfo=PKIStatusInfo(status=2)))


def entries(ca: "Ca") -> list[IssuedCertificate]:
    return [one for one in ca.store.certificates() if not one.is_ra]


@pytest.mark.parametrize("alias", ["ra-hmac", "ra-cert"])
def test_an_error_ends_the_transaction(ca: "Ca", alias: str) -> None:
    ca.behave(Behaviour(poll_count=1, poll_every=2))
    peer = ca.requester(alias)
    one, other = (
        ca.crmf(shared_key("ec:P-256", number), cert_req_id=number) for number in range(2)
    )
    der = wrap(0x30, one[_header_size(one) :], other[_header_size(other) :])
    issued = peer.send(BodyType.IR, der)
    assert [status for status, _ in issued.responses.values()] == [0, 3]
    reply = peer.send(BodyType.ERROR, CLIENT_ERROR)
    assert (reply.type, reply.protection) == (
        BodyType.PKICONF,
        "mac" if alias == "ra-hmac" else "signature",
    )
    assert [one.status for one in entries(ca)] == [CertificateStatus.REJECTED]
    assert ca.store.open_transactions() == 0
    assert peer.send(BodyType.POLL_REQ, poll_req(1)).status[1] == ("badRequest",)


def _header_size(der: bytes) -> int:
    """Octets of tag and length."""
    return 2 if der[1] < 0x80 else 2 + (der[1] & 0x7F)


def test_an_error_takes_back_nothing_that_was_confirmed(ca: "Ca") -> None:
    peer = ca.ra_hmac()
    peer.confirm(peer.enroll())
    assert peer.send(BodyType.ERROR, CLIENT_ERROR).type is BodyType.PKICONF
    assert [one.status for one in entries(ca)] == [CertificateStatus.CONFIRMED]


def test_an_error_without_a_transaction(ca: "Ca") -> None:
    assert ca.ra_hmac().send(BodyType.ERROR, CLIENT_ERROR).type is BodyType.PKICONF


@pytest.mark.parametrize(
    ("der", "sending", "fail_info"),
    [
        (b"\x30\x00", {}, "badDataFormat"),
        (CLIENT_ERROR, {"recipNonce": b"n" * 16}, "badRecipientNonce"),
    ],
)
def test_an_error_that_is_refused(
    ca: "Ca", der: bytes, sending: dict[str, Any], fail_info: str
) -> None:
    peer = ca.ra_hmac()
    peer.enroll()
    assert peer.send(BodyType.ERROR, der, **sending).status[1] == (fail_info,)
    assert [one.status for one in entries(ca)] == [CertificateStatus.PENDING]


# --- a certificate on hold (RFC 9483, 4.2)


def test_an_end_entity_takes_its_certificate_off_hold_and_no_more(ca: "Ca") -> None:
    peer, other = ca.client_cert("dev1"), ca.client_cert("dev1")
    serials = [
        x509.load_der_x509_certificate(one.cert or b"").serial_number for one in (peer, other)
    ]

    def rr(serial: int, reason: RevocationReason) -> tuple[BodyType, int, tuple[str, ...]]:
        reply = peer.again().send(BodyType.RR, rev_req(serial, ca.root.name, reason.value))
        return reply.type, *reply.status[:2]

    assert rr(serials[1], RevocationReason.CERTIFICATE_HOLD) == (RP, 0, ())
    assert rr(serials[0], RevocationReason.CERTIFICATE_HOLD) == (RP, 0, ())
    refused = (RP, 2, ("certRevoked",))
    assert ask(peer.again()).status[1] == ("certRevoked",)
    assert rr(serials[0], RevocationReason.KEY_COMPROMISE) == refused
    assert rr(serials[1], RevocationReason.REMOVE_FROM_CRL) == refused
    assert rr(serials[0], RevocationReason.REMOVE_FROM_CRL) == (RP, 0, ())
    assert rr(serials[1], RevocationReason.REMOVE_FROM_CRL) == (RP, 0, ())
    assert rr(serials[0], RevocationReason.KEY_COMPROMISE) == (RP, 0, ())
    assert rr(serials[0], RevocationReason.REMOVE_FROM_CRL) == refused


# --- answers (RFC 9483, 3.1 and 3.3)


@pytest.mark.parametrize("alias", ["client-hmac", "client-cert", "ra-hmac", "ra-cert"])
@pytest.mark.parametrize("good", [True, False])
def test_the_header_of_an_answer(ca: "Ca", alias: str, good: bool) -> None:
    peer = ca.requester(alias)
    nonce = secrets.token_bytes(16)
    reply = ask(peer, senderNonce=nonce, pvno=2 if good else 1)
    head = reply.message.header
    assert reply.type is (IP if good else ERROR)
    assert head.pvno == 2
    assert reply.message.sender == ca.root.name
    assert encode(head.recipient) == encode(directory_name(_subject_of(peer)))
    assert head.messageTime == GeneralizedTime(ca.now)
    assert (head.transactionID, head.recipNonce) == (peer.transaction_id, nonce)
    assert head.senderNonce is not None
    assert len(head.senderNonce) >= 16
    assert head.generalInfo is None
    if reply.protection == "signature":
        assert reply.message.extra_certs[0] == ca.root.der
        assert head.senderKID == ca.root.key_identifier
    else:
        assert head.senderKID == peer.ref


def _subject_of(peer: "Peer") -> bytes:
    if peer.cert is None:
        return NULL_DN
    return x509.load_der_x509_certificate(peer.cert).subject.public_bytes()
