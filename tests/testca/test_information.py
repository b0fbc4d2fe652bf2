"""What the CA tells of itself in answer to a genm."""

import datetime as dt
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from bulkcmp.cmp import general
from bulkcmp.cmp.asn1 import ObjectIdentifier, decode_sequence_of, encode, explicit, wrap
from bulkcmp.cmp.evidence import Evidence
from bulkcmp.cmp.general import RootCaKeyUpdate
from bulkcmp.cmp.information import check
from bulkcmp.cmp.messages import BodyType
from bulkcmp.cmp.trust import Trust, TrustStore
from bulkcmp.model import Itav, KeySpec
from bulkcmp.testca import demand, state
from bulkcmp.testca.authority import Authority

if TYPE_CHECKING:
    from tests.testca.conftest import Ca, Reply

CRL_URL = "http://ca.test/ca.crl"


def oid(number: int) -> bytes:
    """DER of id-it `number`."""
    return encode(ObjectIdentifier(f"1.3.6.1.5.5.7.4.{number}"))


def ask(ca: "Ca", *infos: bytes, peer: str = "ra-hmac") -> "Reply":
    """A genm with these DER InfoTypeAndValues."""
    return ca.requester(peer).send(BodyType.GENM, wrap(0x30, *infos))


def told(reply: "Reply") -> list[tuple[bytes, bytes | None]]:
    """infoType and infoValue of each InfoTypeAndValue of a genp, DER."""
    assert reply.type is BodyType.GENP
    found: list[tuple[bytes, bytes | None]] = []
    for info in decode_sequence_of(reply.message.body):
        kind, *value = map(encode, decode_sequence_of(info))
        found.append((kind, *value) if value else (kind, None))  # type: ignore[arg-type]  # of 2
    return found


@pytest.mark.parametrize(
    ("alias", "protected"),
    [("ra-hmac", "mac"), ("ra-cert", "signature"), ("client-hmac", "signature")],
)
def test_ca_certificates(ca: "Ca", alias: str, protected: str) -> None:
    reply = ask(ca, wrap(0x30, oid(17)), peer=alias)
    assert reply.protection == protected
    assert told(reply) == [(oid(17), wrap(0x30, ca.root.der))]


def test_there_is_no_update_of_the_root_and_no_template(ca: "Ca") -> None:
    reply = ask(ca, wrap(0x30, oid(20), ca.root.der), wrap(0x30, oid(19)))
    assert told(reply) == [(oid(18), None), (oid(19), None)]
    assert told(ask(ca, wrap(0x30, oid(20)))) == [(oid(18), None)]


@pytest.mark.parametrize("spec", ["rsa:2048", "ec:P-384", "ed25519", "ml-dsa-65"])
def test_an_update_of_the_root(ca: "Ca", spec: str) -> None:
    state.announce_root(ca.folder, KeySpec.parse(spec), ca.now)
    question = (wrap(0x30, oid(20)), wrap(0x30, oid(20), ca.root.der))
    for one in question:
        ((kind, value),) = told(ask(ca, one))
        assert kind == oid(18)
        assert value is not None
        update = RootCaKeyUpdate.decode(value)
        new, link, back = (
            x509.load_der_x509_certificate(der or b"")
            for der in (update.new_with_new, update.new_with_old, update.old_with_new)
        )
        old = ca.root.certificate
        new.verify_directly_issued_by(new)
        link.verify_directly_issued_by(old)
        back.verify_directly_issued_by(new)
        assert link.public_key() == new.public_key()
        assert back.public_key() == old.public_key()
        # valid while both are, the old one as long as it was
        assert link.not_valid_before_utc == new.not_valid_before_utc
        assert link.not_valid_after_utc == min(old.not_valid_after_utc, new.not_valid_after_utc)
        assert back.not_valid_before_utc == old.not_valid_before_utc
    next_root = x509.load_pem_x509_certificate((ca.folder / "next-ca.pem").read_bytes())
    assert next_root == new
    # of another root there is none
    assert told(ask(ca, wrap(0x30, oid(20), update.new_with_new))) == [(oid(18), None)]
    # and our client takes it
    asked, answer = Itav(general.ROOT_CA_CERT, ca.root.der), Itav(general.ROOT_CA_KEY_UPDATE, value)
    store = TrustStore([ca.root.der])
    said = check(asked, answer, Evidence(Trust(store, store), (), ca.now))
    assert said.startswith("rootCaKeyUpdate: CN=bulkcmp test CA ")


def test_a_template(ca: "Ca") -> None:
    template = demand.cert_req_template(None, (), [])
    with ca.store.writing():
        ca.store.set_information(general.CERT_REQ_TEMPLATE, template)
    assert told(ask(ca, wrap(0x30, oid(19)))) == [(oid(19), template)]
    with ca.store.writing():
        ca.store.set_information(general.CERT_REQ_TEMPLATE, None)
    assert told(ask(ca, wrap(0x30, oid(19)))) == [(oid(19), None)]


def test_the_keys_that_are_certified(ca: "Ca") -> None:
    ((kind, value),) = told(ask(ca, wrap(0x30, oid(2))))
    assert kind == oid(2)
    assert value is not None
    known = {decode_sequence_of(one)[0].data for one in decode_sequence_of(value)}
    algorithms = {"1.2.840.113549.1.1.1", "1.2.840.10045.2.1", "1.3.101.112", "1.3.101.113"}
    ml_dsa = {f"2.16.840.1.101.3.4.3.{number}" for number in (17, 18, 19)}
    assert {bytes(one) for one in known} == {
        encode(ObjectIdentifier(one))[2:] for one in algorithms | ml_dsa
    }
    ((kind, value),) = told(ask(ca, wrap(0x30, oid(3))))
    assert value is not None
    known = {decode_sequence_of(one)[0].data for one in decode_sequence_of(value)}
    ml_kem = {f"2.16.840.1.101.3.4.4.{number}" for number in (2, 3)}
    assert {bytes(one) for one in known} == {
        encode(ObjectIdentifier(one))[2:]
        for one in {"1.2.840.113549.1.1.1", "1.2.840.10045.2.1"} | ml_kem
    }


def crl_status(source: bytes, has: dt.datetime | None = None) -> bytes:
    """DER InfoTypeAndValue of type crlStatusList."""
    time = b"" if has is None else wrap(0x17, has.strftime("%y%m%d%H%M%SZ").encode())
    return wrap(0x30, oid(22), wrap(0x30, wrap(0x30, source, time)))


def by_issuer(name: bytes) -> bytes:
    return explicit(1, wrap(0x30, explicit(4, name)))


def by_url(url: str) -> bytes:
    return explicit(0, explicit(0, wrap(0x86, url.encode())))


def test_crls(ca: "Ca") -> None:
    ca.authority = Authority(ca.store, ca.root, crl_url=CRL_URL)
    crl = ca.authority.crl(ca.now)
    updated = x509.load_der_x509_crl(crl).last_update_utc
    earlier = updated - dt.timedelta(seconds=1)
    there = [(oid(23), wrap(0x30, crl))]
    none = [(oid(23), None)]
    assert told(ask(ca, wrap(0x30, oid(6)))) == [(oid(6), crl)]
    for source in (by_issuer(ca.root.name), by_url(CRL_URL)):
        assert told(ask(ca, crl_status(source))) == there
        assert told(ask(ca, crl_status(source, earlier))) == there
        # the client has it already
        assert told(ask(ca, crl_status(source, updated))) == none
    stranger = wrap(0x30, wrap(0x31, wrap(0x30, b"\x06\x03\x55\x04\x03", b"\x0c\x01x")))
    relative = explicit(0, explicit(1, b""))
    for source in (by_issuer(stranger), by_url("http://else.test/"), relative):
        assert told(ask(ca, crl_status(source))) == none


def languages(*tags: str) -> bytes:
    """DER InfoTypeAndValue of type suppLangTags."""
    return wrap(0x30, oid(16), wrap(0x30, *(wrap(0x0C, one.encode()) for one in tags)))


def test_the_cipher(ca: "Ca") -> None:
    aes = wrap(0x30, encode(ObjectIdentifier("2.16.840.1.101.3.4.1.42")))
    assert told(ask(ca, wrap(0x30, oid(4)))) == [(oid(4), aes)]


@pytest.mark.parametrize("number", [2, 3, 4, 6, 17, 19])
def test_a_question_without_a_value(ca: "Ca", number: int) -> None:
    """RFC 9810, 5.3.19. Who writes NULL for what is absent says no more."""
    ((kind, _),) = told(ask(ca, wrap(0x30, oid(number), b"\5\0")))
    assert kind == oid(number)
    reply = ask(ca, wrap(0x30, oid(number), b"\x04\x02??"))
    assert (reply.type, reply.status[1]) == (BodyType.ERROR, ("badRequest",))


def test_no_language_of_ours(ca: "Ca") -> None:
    """An error is a must (RFC 9810, 5.3.19.13)."""
    reply = ask(ca, languages("de", "engineering"))
    assert (reply.type, reply.status[1]) == (BodyType.ERROR, ("badRequest",))


def test_what_is_not_known_is_named(ca: "Ca") -> None:
    unknown = (encode(ObjectIdentifier("1.2.3.4")), oid(5))
    known = languages("fr", "en-GB")
    reply = ask(ca, wrap(0x30, unknown[0]), known, wrap(0x30, unknown[1], b"\5\0"))
    assert told(reply) == [
        (oid(16), wrap(0x30, b"\x0c\x02en")),
        (oid(7), wrap(0x30, *unknown)),
    ]
    assert told(ask(ca)) == []


@pytest.mark.parametrize(
    "info",
    [
        wrap(0x30),
        wrap(0x30, b"\x02\x01\x01"),
        wrap(0x30, oid(17), b"\x05\x00", b"\x05\x00"),
        wrap(0x30, oid(16)),
        wrap(0x30, oid(16), wrap(0x30)),
        wrap(0x30, oid(16), wrap(0x30, b"\x13\x02en")),
        wrap(0x30, oid(20), b"\x05\x00"),
        wrap(0x30, oid(22)),
        wrap(0x30, oid(22), wrap(0x30, wrap(0x30))),
        crl_status(explicit(1, b"\x05\x00")),
        wrap(0x30, oid(22), wrap(0x30, wrap(0x30, by_url(CRL_URL), b"\x05\x00"))),
    ],
)
def test_what_can_not_be_read_is_refused(ca: "Ca", info: bytes) -> None:
    reply = ask(ca, info)
    assert reply.type is BodyType.ERROR
    assert reply.status[1] == ("badDataFormat",)
