"""Several requests in one message, each with its own answer, confirmation and polls."""

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509

from bulkcmp.cmp.algorithms import SigningKey
from bulkcmp.cmp.asn1 import decode, decode_sequence_of, encode, wrap
from bulkcmp.cmp.messages import (
    IT_IMPLICIT_CONFIRM,
    BodyType,
    CertRepMessage,
    ErrorMsgContent,
    PKIStatusInfo,
    RevRepContent,
    decode_poll_rep_content,
    fail_info_names,
)
from bulkcmp.model import RevocationReason
from bulkcmp.testca.aliases import ALIASES, Behaviour, PollingNonce
from bulkcmp.testca.store import CertificateStatus
from tests.testca.conftest import cert_status, poll_req, rev_details, rev_req

if TYPE_CHECKING:
    from tests.testca.conftest import Ca, Peer, Reply

Keys = Callable[..., SigningKey]
GRANTED: tuple[int, tuple[str, ...]] = (0, ())
WAITS: tuple[int, tuple[str, ...]] = (3, ())
REJECTION = PKIStatusInfo(status=2)


def messages(ca: "Ca", key: Keys, *requests: dict[str, Any]) -> bytes:
    """CertReqMessages with a request for each; certReqIds count from 0 if they do not say."""
    parts = []
    for number, request in enumerate(requests):
        fields: dict[str, Any] = {"subject": f"/CN=dev{number}", "cert_req_id": number}
        (one,) = decode_sequence_of(ca.crmf(key("ec:P-256", number), **(fields | request)))
        parts.append(encode(one))
    return wrap(0x30, *parts)


def statuses(ca: "Ca", reply: "Reply") -> dict[int, CertificateStatus]:
    """What stands in the books of each certificate of a reply."""
    found = {}
    for cert_req_id, der in reply.issued.items():
        entry = ca.store.certificate(x509.load_der_x509_certificate(der).serial_number)
        assert entry is not None
        found[cert_req_id] = entry.status
    return found


def confirm(peer: "Peer", reply: "Reply", **verdicts: PKIStatusInfo | None) -> "Reply":
    """A certConf with a CertStatus for `_N=…` in this order."""
    entries = [
        cert_status(int(name[1:]), reply.issued[int(name[1:])], statusInfo=info)
        for name, info in verdicts.items()
    ]
    return peer.send(BodyType.CERT_CONF, wrap(0x30, *map(encode, entries)))


@pytest.mark.parametrize("alias", ["ra-hmac", "ra-cert"])
@pytest.mark.parametrize(
    ("request_type", "response_type"), [(BodyType.IR, BodyType.IP), (BodyType.CR, BodyType.CP)]
)
def test_each_request_gets_its_certificate(
    ca: "Ca", key: Keys, alias: str, request_type: BodyType, response_type: BodyType
) -> None:
    peer = ca.requester(alias)
    der = messages(ca, key, {}, {"cert_req_id": 7}, {"cert_req_id": 3})
    reply = peer.send(request_type, der)
    assert reply.type is response_type
    assert reply.responses == {0: GRANTED, 7: GRANTED, 3: GRANTED}
    # in the order of the requests
    assert list(reply.responses) == [0, 7, 3]
    for number, cert in enumerate(reply.issued.values()):
        certificate = x509.load_der_x509_certificate(cert)
        assert certificate.subject.rfc4514_string() == f"CN=dev{number}"
        assert certificate.public_key() == key("ec:P-256", number).public_key()
    assert peer.confirm(reply).type is BodyType.PKICONF
    assert set(statuses(ca, reply).values()) == {CertificateStatus.CONFIRMED}


def test_several_certificates_are_updated_at_once(ca: "Ca", key: Keys) -> None:
    old = [ca.client_cert(f"dev{number}") for number in range(2)]
    serials = [x509.load_der_x509_certificate(one.cert or b"").serial_number for one in old]
    peer = ca.ra_cert()
    requests = [{"old": (ca.root.name, serial)} for serial in serials]
    reply = peer.send(BodyType.KUR, messages(ca, key, *requests))
    assert (reply.type, reply.responses) == (BodyType.KUP, {0: GRANTED, 1: GRANTED})
    assert peer.confirm(reply).type is BodyType.PKICONF


def test_ca_pubs_are_there_once(ca: "Ca", key: Keys) -> None:
    reply = ca.ra_hmac().send(BodyType.IR, messages(ca, key, {}, {}))
    pubs = decode(CertRepMessage, reply.message.body).caPubs
    assert pubs is not None
    assert [encode(one) for one in pubs] == [ca.root.der]


def test_one_is_rejected_and_the_others_are_not(ca: "Ca", key: Keys) -> None:
    peer = ca.ra_hmac()
    der = messages(ca, key, {}, {"prove": None}, {"serialNumber": 5}, {})
    reply = peer.send(BodyType.IR, der)
    assert reply.responses == {
        0: GRANTED,
        1: (2, ("badPOP",)),
        2: (2, ("badCertTemplate",)),
        3: GRANTED,
    }
    assert peer.confirm(reply).type is BodyType.PKICONF


def test_what_would_be_an_error_alone_is_a_rejection_among_others(ca: "Ca", key: Keys) -> None:
    ca.behave(Behaviour(one_shot=True))
    ca.ra_hmac().enroll(subject="/CN=dev1")
    reply = ca.ra_hmac().send(BodyType.IR, messages(ca, key, {}, {}))
    assert reply.responses == {0: GRANTED, 1: (2, ("badRequest",))}


def test_all_are_rejected(ca: "Ca", key: Keys) -> None:
    ca.behave(Behaviour(unprotected_errors=True))
    peer = ca.ra_hmac()
    reply = peer.send(BodyType.IR, messages(ca, key, {"prove": None}, {"prove": None}))
    assert set(reply.responses.values()) == {(2, ("badPOP",))}
    assert reply.protection == "none"
    assert ca.store.transaction(peer.transaction_id) is None


def test_an_unknown_user_is_rejected_as_often_as_he_asks(ca: "Ca", key: Keys) -> None:
    peer = ca.client_hmac()
    peer.ref = b"nobody"
    reply = peer.send(BodyType.IR, messages(ca, key, {}, {}))
    assert reply.responses == dict.fromkeys((0, 1), (2, ("incorrectData",)))


def test_each_nth_request_is_rejected(ca: "Ca", key: Keys) -> None:
    ca.behave(Behaviour(reject="badTime", reject_every=2))
    reply = ca.ra_hmac().send(BodyType.IR, messages(ca, key, {}, {}, {}))
    assert [status for status, _ in reply.responses.values()] == [0, 2, 0]


def test_a_failure_keeps_the_others_out_of_the_books(ca: "Ca", key: Keys) -> None:
    der = messages(ca, key, {}, {"cert_req_id": 0})
    reply = ca.ra_hmac().send(BodyType.IR, der)
    assert (reply.type, reply.status[1]) == (BodyType.ERROR, ("badRequest",))
    assert [one for one in ca.store.certificates() if not one.is_ra] == []


# --- certConf


def test_what_a_cert_conf_does_not_name_is_rejected(ca: "Ca", key: Keys) -> None:
    peer = ca.ra_hmac()
    reply = peer.send(BodyType.IR, messages(ca, key, {}, {}, {}, {}))
    # in any order
    assert confirm(peer, reply, _3=None, _1=REJECTION, _0=None).type is BodyType.PKICONF
    assert statuses(ca, reply) == {
        0: CertificateStatus.CONFIRMED,
        1: CertificateStatus.REJECTED,
        2: CertificateStatus.REJECTED,
        3: CertificateStatus.CONFIRMED,
    }
    crl = x509.load_der_x509_crl(ca.authority.crl(ca.now))
    assert {one.serial_number for one in crl} == {
        x509.load_der_x509_certificate(reply.issued[number]).serial_number for number in (1, 2)
    }


def test_a_cert_conf_is_taken_wholly_or_not_at_all(ca: "Ca", key: Keys) -> None:
    peer = ca.ra_hmac()
    reply = peer.send(BodyType.IR, messages(ca, key, {}, {}))
    good = cert_status(0, reply.issued[0])
    # the certHash of the other
    bad = cert_status(1, reply.issued[0])
    der = wrap(0x30, encode(good), encode(bad))
    assert peer.send(BodyType.CERT_CONF, der).status[1] == ("badCertId",)
    assert set(statuses(ca, reply).values()) == {CertificateStatus.PENDING}
    peer.last = reply
    assert peer.confirm(reply).type is BodyType.PKICONF


def test_implicit_confirmation_holds_for_all(ca: "Ca", key: Keys) -> None:
    reply = ca.ra_hmac().send(BodyType.IR, messages(ca, key, {}, {}), implicit=True)
    assert reply.message.info(IT_IMPLICIT_CONFIRM) is not None
    assert set(statuses(ca, reply).values()) == {CertificateStatus.CONFIRMED}


# --- polling


def test_some_wait_while_others_are_issued_and_confirmed(ca: "Ca", key: Keys) -> None:
    behaviour = Behaviour(poll_count=2, poll_every=2, check_after=9)
    ca.behave(behaviour)
    peer = ca.ra_hmac()
    first = peer.send(BodyType.IR, messages(ca, key, {}, {}, {}, {}))
    assert first.responses == {0: GRANTED, 1: WAITS, 2: GRANTED, 3: WAITS}
    # RFC 9810, 5.3.22: what was issued is confirmed, then polling goes on
    assert peer.confirm(first).type is BodyType.PKICONF
    assert set(statuses(ca, first).values()) == {CertificateStatus.CONFIRMED}
    assert ca.store.open_transactions() == 1
    ca.restart(behaviour)
    reply = peer.send(BodyType.POLL_REQ, poll_req(3, 1))
    entries = decode_poll_rep_content(reply.message.body)
    assert [(one.certReqId, one.checkAfter) for one in entries] == [(3, 9), (1, 9)]
    # a pollReq may name some of them only, and gets only those
    second = peer.send(BodyType.POLL_REQ, poll_req(3))
    assert (second.type, second.responses) == (BodyType.IP, {3: GRANTED})
    assert peer.confirm(second).type is BodyType.PKICONF
    third = peer.send(BodyType.POLL_REQ, poll_req(1))
    assert third.responses == {1: GRANTED}
    assert ca.store.open_transactions() == 1
    assert peer.confirm(third).type is BodyType.PKICONF
    assert ca.store.open_transactions() == 0
    subject = x509.load_der_x509_certificate(third.issued[1]).subject
    assert subject.rfc4514_string() == "CN=dev1"


def test_those_that_are_ready_come_and_the_others_wait_on(ca: "Ca", key: Keys) -> None:
    ca.behave(Behaviour(poll_count=2))
    peer = ca.ra_hmac()
    assert set(peer.send(BodyType.IR, messages(ca, key, {}, {})).responses.values()) == {WAITS}
    assert peer.send(BodyType.POLL_REQ, poll_req(0)).type is BodyType.POLL_REP
    ready = peer.send(BodyType.POLL_REQ, poll_req(0, 1))
    assert ready.responses == {0: GRANTED}
    # nor is anything lost if polling goes on first
    rest = peer.send(BodyType.POLL_REQ, poll_req(1))
    assert rest.responses == {1: GRANTED}
    certificates = ready.issued | rest.issued
    entries = [encode(cert_status(*one)) for one in certificates.items()]
    assert peer.send(BodyType.CERT_CONF, wrap(0x30, *entries)).type is BodyType.PKICONF
    assert statuses(ca, ready) == {0: CertificateStatus.CONFIRMED}
    assert statuses(ca, rest) == {1: CertificateStatus.CONFIRMED}


def test_one_of_those_that_wait_goes_bad(ca: "Ca", key: Keys) -> None:
    ca.behave(Behaviour(poll_count=1))
    peer = ca.ra_hmac()
    peer.send(BodyType.IR, messages(ca, key, {"not_after": ca.now + dt.timedelta(hours=1)}, {}))
    ca.now += dt.timedelta(hours=2)
    reply = peer.send(BodyType.POLL_REQ, poll_req(0, 1))
    assert reply.responses == {0: (2, ("badCertTemplate",)), 1: GRANTED}
    assert peer.confirm(reply).type is BodyType.PKICONF


@pytest.mark.parametrize("ids", [(0,), (0, 1), (1, 1), (2,), ()])
def test_polls_for_what_does_not_wait(ca: "Ca", key: Keys, ids: tuple[int, ...]) -> None:
    ca.behave(Behaviour(poll_count=1, poll_every=2))
    peer = ca.ra_hmac()
    peer.send(BodyType.IR, messages(ca, key, {}, {}))
    reply = peer.send(BodyType.POLL_REQ, poll_req(*ids))
    assert (reply.type, reply.status[1]) == (BodyType.ERROR, ("badRequest",))


def test_implicit_confirmation_is_granted_with_each_delivery(ca: "Ca", key: Keys) -> None:
    ca.behave(Behaviour(poll_count=1))
    peer = ca.ra_hmac()
    first = peer.send(BodyType.IR, messages(ca, key, {}, {}), implicit=True)
    assert first.message.info(IT_IMPLICIT_CONFIRM) is None
    for number in range(2):
        reply = peer.send(BodyType.POLL_REQ, poll_req(number))
        assert reply.message.info(IT_IMPLICIT_CONFIRM) is not None
        assert statuses(ca, reply) == {number: CertificateStatus.CONFIRMED}


def test_a_delivery_without_certificates_grants_no_implicit_confirmation(
    ca: "Ca", key: Keys
) -> None:
    ca.behave(Behaviour(poll_count=1, poll_every=2))
    peer = ca.ra_hmac()
    late = {"not_after": ca.now + dt.timedelta(hours=1)}
    first = peer.send(BodyType.IR, messages(ca, key, {}, late), implicit=True)
    assert first.message.info(IT_IMPLICIT_CONFIRM) is not None
    ca.now += dt.timedelta(hours=2)
    reply = peer.send(BodyType.POLL_REQ, poll_req(1))
    assert reply.responses == {1: (2, ("badCertTemplate",))}
    assert reply.message.info(IT_IMPLICIT_CONFIRM) is None


# --- an answer that waits as a whole (RFC 9483, 4.4)

WHOLE = Behaviour(poll_count=2, poll_whole=True, check_after=9)


def deferred(peer: "Peer", body_type: BodyType, der: bytes) -> "Reply":
    """What comes in the end."""
    first = peer.send(body_type, der, senderNonce=b"original-request")
    assert (first.type, first.status[:2]) == (BodyType.ERROR, WAITS)
    reply = peer.send(BodyType.POLL_REQ, poll_req(-1))
    (entry,) = decode_poll_rep_content(reply.message.body)
    assert (entry.certReqId, entry.checkAfter) == (-1, 9)
    peer.ca.restart(peer.ca.authority.behaviour(ALIASES[peer.alias]))
    return peer.send(BodyType.POLL_REQ, poll_req(-1), senderNonce=b"the last pollReq")


@pytest.mark.parametrize("alias", ["ra-hmac", "ra-cert"])
def test_certificates_come_later_and_all_at_once(ca: "Ca", key: Keys, alias: str) -> None:
    ca.behave(WHOLE)
    peer = ca.requester(alias)
    reply = deferred(peer, BodyType.CR, messages(ca, key, {}, {}))
    assert (reply.type, reply.responses) == (BodyType.CP, {0: GRANTED, 1: GRANTED})
    assert reply.message.header.recipNonce == b"the last pollReq"
    assert peer.confirm(reply).type is BodyType.PKICONF
    assert set(statuses(ca, reply).values()) == {CertificateStatus.CONFIRMED}
    assert ca.store.open_transactions() == 0


def test_openssl_polls_for_the_whole_by_the_id_of_its_request(ca: "Ca", key: Keys) -> None:
    ca.behave(WHOLE)
    peer = ca.ra_hmac()
    assert peer.send(BodyType.IR, messages(ca, key, {})).status[:2] == WAITS
    first, second = (peer.send(BodyType.POLL_REQ, poll_req(0)) for _ in range(2))
    (entry,) = decode_poll_rep_content(first.message.body)
    assert entry.certReqId == 0
    assert second.responses == {0: GRANTED}
    assert peer.send(BodyType.POLL_REQ, poll_req(0)).status[1] == ("badRequest",)


def test_a_revocation_comes_later(ca: "Ca") -> None:
    serial = ca.ra_hmac().enroll(implicit=True).certificate.serial_number
    ca.behave(replace(WHOLE, polling_nonce=PollingNonce.REQUEST))
    peer = ca.ra_hmac()
    reply = deferred(peer, BodyType.RR, rev_req(serial, ca.root.name, 1))
    assert (reply.type, reply.status) == (BodyType.RP, (0, (), "revoked"))
    assert reply.message.header.recipNonce == b"original-request"
    # it is over
    assert peer.send(BodyType.POLL_REQ, poll_req(-1)).status[1] == ("badRequest",)


@pytest.mark.parametrize(
    ("der", "type_", "fail_info"),
    [
        (b"\x30\x00", BodyType.RP, "badRequest"),
        (b"\x30\x02\x05\x00", BodyType.ERROR, "badDataFormat"),
    ],
)
def test_a_refusal_comes_later(ca: "Ca", der: bytes, type_: BodyType, fail_info: str) -> None:
    ca.behave(WHOLE)
    reply = deferred(ca.ra_hmac(), BodyType.RR, der)
    assert (reply.type, reply.status[:2]) == (type_, (2, (fail_info,)))


@pytest.mark.parametrize("ids", [(1,), (-1, -1), ()])
def test_a_poll_for_a_part_of_what_waits_as_a_whole(ca: "Ca", ids: tuple[int, ...]) -> None:
    ca.behave(WHOLE)
    peer = ca.ra_hmac()
    peer.enroll()
    assert peer.send(BodyType.POLL_REQ, poll_req(*ids)).status[1] == ("badRequest",)
    # nor is its transactionID free
    assert peer.enroll().status[1] == ("transactionIdInUse",)


def test_an_error_ends_what_waits_as_a_whole(ca: "Ca") -> None:
    ca.behave(WHOLE)
    peer = ca.ra_hmac()
    peer.enroll()
    assert ca.store.open_transactions() == 1
    error = encode(ErrorMsgContent(pKIStatusInfo=REJECTION))
    assert peer.send(BodyType.ERROR, error).type is BodyType.PKICONF
    assert ca.store.open_transactions() == 0


# --- rr


def test_each_revocation_has_its_status_in_order(ca: "Ca", key: Keys) -> None:
    reply = ca.ra_hmac().send(BodyType.IR, messages(ca, key, {}, {}), implicit=True)
    serials = [x509.load_der_x509_certificate(der).serial_number for der in reply.issued.values()]
    details = [
        rev_details(serials[0], ca.root.name, 1),
        rev_details(5, ca.root.name, 1),
        rev_details(serials[1], ca.root.name, 4),
        rev_details(serials[0], ca.root.name, 1),
    ]
    answer = ca.ra_hmac().send(BodyType.RR, wrap(0x30, *details))
    content = decode(RevRepContent, answer.message.body)
    found = [(one.status, fail_info_names(one.failInfo)) for one in content.status]
    assert found == [GRANTED, (2, ("badCertId",)), GRANTED, (2, ("certRevoked",))]
    # revCerts can't tell which status is whose
    assert content.revCerts is None
    reasons = [one.reason for one in ca.store.revoked_certificates()]
    assert reasons == [RevocationReason.KEY_COMPROMISE, RevocationReason.SUPERSEDED]


def test_all_are_revoked_and_named(ca: "Ca", key: Keys) -> None:
    reply = ca.ra_hmac().send(BodyType.IR, messages(ca, key, {}, {}), implicit=True)
    serials = [x509.load_der_x509_certificate(der).serial_number for der in reply.issued.values()]
    der = wrap(0x30, *(rev_details(serial, ca.root.name, 1) for serial in serials))
    content = decode(RevRepContent, ca.ra_hmac().send(BodyType.RR, der).message.body)
    assert content.revCerts is not None
    assert [one.serialNumber for one in content.revCerts] == serials
