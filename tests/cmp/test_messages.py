"""PKIMessage, and the types in it that have rules of their own."""

import datetime as dt
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.asn1 import BitString
from hypothesis import given
from hypothesis import strategies as st

from bulkcmp.cmp import messages
from bulkcmp.cmp.asn1 import (
    GeneralizedTime,
    any_from,
    decode,
    decode_sequence_of,
    encode,
    explicit,
    wrap,
)
from bulkcmp.cmp.messages import (
    FAIL_INFO,
    NULL_DN,
    BodyType,
    CertRequest,
    CertResponse,
    PKIHeader,
    PKIStatusInfo,
    decode_message,
    encode_message,
    fail_info,
    fail_info_names,
)
from bulkcmp.errors import RemoteCmpError

if TYPE_CHECKING:
    from tests.cmp.conftest import Pki

HEADER = wrap(0x30, encode(2), explicit(4, NULL_DN), explicit(4, NULL_DN))
NULL = b"\x05\x00"
PKICONF = messages.body(BodyType.PKICONF, NULL)


def test_the_smallest_message() -> None:
    der = encode_message(HEADER, PKICONF, None)
    message = decode_message(der)
    assert (message.body_type, message.body) == (BodyType.PKICONF, NULL)
    assert message.protected_part == wrap(0x30, HEADER, PKICONF)
    assert (message.protection, message.extra_certs) == (None, ())
    assert (message.sender, message.recipient) == (NULL_DN, NULL_DN)
    assert message.info(messages.IT_IMPLICIT_CONFIRM) is None


OCTETS = st.binary(max_size=40)
MAYBE = st.none() | OCTETS
# times that a GeneralizedTime of four digits can have
TIMES = st.integers(0, 253402300799)


@given(
    pvno=st.integers(1, 3), now=TIMES, algorithm=st.none() | st.just(wrap(0x30, b"\x06\x01\x2a")),
    kids=st.tuples(MAYBE, MAYBE), identifier=MAYBE, sender_nonce=OCTETS, recip_nonce=MAYBE,
    infos=st.lists(st.just(wrap(0x30, b"\x06\x01\x2b")), max_size=2),
)  # fmt: skip
def test_a_header_is_put_together_as_the_type_has_it(
    pvno: int, now: int, algorithm: bytes | None, kids: tuple[bytes | None, bytes | None],
    identifier: bytes | None, sender_nonce: bytes, recip_nonce: bytes | None, infos: list[bytes],
) -> None:  # fmt: skip
    names = messages.directory_name(NULL_DN), any_from(b"\x82\x02ca")
    declared = PKIHeader(
        pvno=pvno,
        sender=names[0],
        recipient=names[1],
        messageTime=GeneralizedTime(dt.datetime.fromtimestamp(now, dt.UTC)),
        protectionAlg=None if algorithm is None else decode_sequence_of(algorithm),
        senderKID=kids[0],
        recipKID=kids[1],
        transactionID=identifier,
        senderNonce=sender_nonce,
        recipNonce=recip_nonce,
        generalInfo=[any_from(info) for info in infos] or None,
    )
    joined = messages.encode_header(
        pvno,
        b"".join(map(encode, names)),
        now,
        messages.protection_fields(algorithm, *kids),
        transaction_id=identifier,
        sender_nonce=sender_nonce,
        recip_nonce=recip_nonce,
        general_info=b"".join(infos),
    )
    assert joined == encode(declared)


def test_protection_and_extra_certs(pki: "Pki") -> None:
    certificates = (pki.root.certificate, pki.signer.certificate)
    message = decode_message(encode_message(HEADER, PKICONF, b"a MAC", certificates))
    assert message.protection == b"a MAC"
    assert message.extra_certs == certificates


def test_names_that_are_no_directory_names() -> None:
    header = wrap(0x30, encode(2), b"\x82\x02ca", b"\x81\x02me")
    message = decode_message(encode_message(header, PKICONF, None))
    assert (message.sender, message.recipient) == (None, None)


def test_general_info_is_found_by_its_type() -> None:
    profile = wrap(0x30, encode(messages.IT_CERT_PROFILE), wrap(0x30, wrap(0x0C, b"tls")))
    confirm = wrap(0x30, encode(messages.IT_IMPLICIT_CONFIRM))
    header = wrap(0x30, HEADER[2:], explicit(8, wrap(0x30, wrap(0x30), profile, confirm)))
    message = decode_message(encode_message(header, PKICONF, None))
    found = message.info(messages.IT_CERT_PROFILE)
    assert found is not None
    assert wrap(0x30, *map(encode, found)) == profile
    assert len(message.info(messages.IT_IMPLICIT_CONFIRM) or ()) == 1
    assert message.info(messages.IT_CONFIRM_WAIT_TIME) is None


@pytest.mark.parametrize(
    ("der", "what"),
    [
        (b"", "not a DER _PKIMessage"),
        (wrap(0x30, HEADER, b"\xbb\x00"), "PKIBody has the unknown tag bb"),
        (wrap(0x30, HEADER, NULL), "PKIBody has the unknown tag 05"),
        (wrap(0x30, HEADER, b"\xbf\x1f\x00"), "PKIBody has the unknown tag bf1f"),
        (
            wrap(0x30, HEADER, PKICONF, explicit(0, b"\x03\x02\x04\xf0")),
            "PKIProtection is not a whole number of octets",
        ),
        (wrap(0x30, wrap(0x30), PKICONF), "not a DER PKIHeader"),
        (wrap(0x30, HEADER, PKICONF, NULL), "not a DER _PKIMessage"),
    ],
)
def test_what_is_no_message(der: bytes, what: str) -> None:
    with pytest.raises(RemoteCmpError) as caught:
        decode_message(der)
    assert caught.value.what.startswith(what)


def test_every_body_has_the_name_of_its_alternative() -> None:
    labels = {body.label for body in BodyType}
    assert len(labels) == len(BodyType) == 27
    assert {"ir", "p10cr", "certConf", "pollReq", "pollRep", "error"} <= labels


LONG = 1 << 63
STATUS = wrap(0x30, encode(0))


@pytest.mark.parametrize(
    ("kind", "der"),
    [
        (PKIHeader, wrap(0x30, encode(LONG), explicit(4, NULL_DN), explicit(4, NULL_DN))),
        (PKIStatusInfo, wrap(0x30, encode(LONG))),
        (CertResponse, wrap(0x30, encode(-LONG - 1), STATUS)),
        (CertRequest, wrap(0x30, encode(LONG), b"\x30\x00")),
        (messages.PollReq, wrap(0x30, encode(LONG))),
        (messages.PollRep, wrap(0x30, encode(0), encode(LONG))),
        (messages.PollRep, wrap(0x30, encode(LONG), encode(0))),
        (messages.CertStatus, wrap(0x30, b"\x04\x00", encode(LONG))),
    ],
)
def test_an_integer_of_more_than_64_bits_is_refused(kind: type, der: bytes) -> None:
    with pytest.raises(RemoteCmpError, match="64 bits"):
        decode(kind, der)


def test_a_name_is_its_rdns(pki: "Pki") -> None:
    name = pki.name("device").public_bytes()
    assert messages.name_of(messages.name_elements(name)) == name
    assert messages.directory_name_of(messages.directory_name(name)) == name
    assert messages.directory_name_of(any_from(b"\x82\x02ca")) is None


@given(st.sets(st.sampled_from(FAIL_INFO), min_size=1))
def test_fail_info_bits_are_der_and_come_back_in_bit_order(names: set[str]) -> None:
    bits = fail_info(*names)
    der = encode(bits)
    assert decode(BitString, der).as_bytes() == bits.as_bytes()
    assert fail_info_names(decode(BitString, der)) == tuple(
        name for name in FAIL_INFO if name in names
    )
    last = bits.as_bytes()[-1] >> bits.padding_bits()
    assert last & 1, "DER: no trailing zero bits"


@pytest.mark.parametrize(
    ("name", "der"),
    [("badAlg", "03020780"), ("badPOP", "0303060040"), ("duplicateCertReq", "03050500000020")],
)
def test_fail_info_numbers(name: str, der: str) -> None:
    assert encode(fail_info(name)).hex() == der
    assert fail_info(name, name).as_bytes() == fail_info(name).as_bytes()


def test_unknown_fail_info() -> None:
    assert fail_info_names(None) == ()
    assert fail_info_names(BitString(b"", 0)) == ()
    assert fail_info_names(BitString(b"\x00\x00\x00\x30", 4)) == ("duplicateCertReq", "bit 27")
    million = BitString(b"\xff" * 125_000, 0)
    assert fail_info_names(million) == (*FAIL_INFO, *(f"bit {bit}" for bit in range(27, 64)))
    with pytest.raises(ValueError):
        fail_info("badLuck")
