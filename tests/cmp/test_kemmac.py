"""The KEM-based MAC: its parameters and keys, with pyasn1 and a HKDF beside as second opinion."""

import hashlib
import hmac
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyasn1.codec.der import decoder, encoder
from pyasn1.type import char, constraint, namedtype, tag, univ
from pyasn1_modules import rfc5280

from bulkcmp.cmp import algorithms, kemmac, messages, protection
from bulkcmp.cmp.algorithms import AlgorithmError
from bulkcmp.cmp.asn1 import (
    ObjectIdentifier,
    decode_sequence_of,
    encode,
    explicit,
    wrap,
)
from bulkcmp.cmp.general import KEM_CIPHERTEXT_INFO
from bulkcmp.cmp.kemmac import KemMacParameters
from bulkcmp.cmp.messages import BodyType, PKIMessage
from bulkcmp.errors import RemoteCmpError

if TYPE_CHECKING:
    from tests.cmp.conftest import Pki

SECRET = bytes(range(32))
TRANSACTION_ID = b"sixteen octets.."
KINDS = pytest.mark.parametrize("kind", ["ml-kem-768", "ml-kem-1024"])


def _context() -> univ.OctetString:
    return univ.OctetString().subtype(
        explicitTag=tag.Tag(tag.tagClassContext, tag.tagFormatSimple, 0)
    )


# KemBMParameter ::= SEQUENCE {
#   kdf              AlgorithmIdentifier{KEY-DERIVATION, {...}},
#   kemContext   [0] OCTET STRING OPTIONAL,
#   len              INTEGER (1..MAX),
#   mac              AlgorithmIdentifier{MAC-ALGORITHM, {...}} }
KEM_BM_PARAMETER = univ.Sequence(
    componentType=namedtype.NamedTypes(
        namedtype.NamedType("kdf", rfc5280.AlgorithmIdentifier()),
        namedtype.OptionalNamedType("kemContext", _context()),
        namedtype.NamedType(
            "len",
            univ.Integer().subtype(subtypeSpec=constraint.ValueRangeConstraint(1, float("inf"))),
        ),
        namedtype.NamedType("mac", rfc5280.AlgorithmIdentifier()),
    )
)

# KemOtherInfo ::= SEQUENCE {
#   staticString     PKIFreeText,
#   transactionID    OCTET STRING,
#   kemContext   [0] OCTET STRING OPTIONAL }
KEM_OTHER_INFO = univ.Sequence(
    componentType=namedtype.NamedTypes(
        namedtype.NamedType("staticString", univ.SequenceOf(componentType=char.UTF8String())),
        namedtype.NamedType("transactionID", univ.OctetString()),
        namedtype.OptionalNamedType("kemContext", _context()),
    )
)


def read(der: bytes, spec: Any) -> Any:
    """What pyasn1 makes of it; that its encoding is the same says that ours is DER."""
    value, rest = decoder.decode(der, asn1Spec=spec)
    assert not rest
    assert encoder.encode(value) == der
    return value


def hkdf(digest: str, key: bytes, info: bytes, length: int) -> bytes:
    """RFC 5869, without salt."""
    extracted = hmac.digest(bytes(hashlib.new(digest).digest_size), key, digest)
    expanded = block = b""
    count = 0
    while len(expanded) < length:
        count += 1
        block = hmac.digest(extracted, block + info + bytes((count,)), digest)
        expanded += block
    return expanded[:length]


def message(algorithm: bytes | None, protection: bytes | None = None) -> PKIMessage:
    header = wrap(
        0x30,
        encode(2),
        explicit(4, messages.NULL_DN),
        explicit(4, messages.NULL_DN),
        b"" if algorithm is None else explicit(1, algorithm),
    )
    body = messages.body(BodyType.PKICONF, b"\x05\x00")
    return messages.decode_message(messages.encode_message(header, body, protection))


@pytest.mark.parametrize("mac", algorithms.MACS)
def test_what_we_choose_is_read_the_same_by_both(mac: str) -> None:
    chosen = KemMacParameters.choose(mac)
    oid, parameter = decode_sequence_of(chosen.identifier)
    assert encode(oid) == encode(ObjectIdentifier("1.2.840.113533.7.66.16"))
    theirs = read(encode(parameter), KEM_BM_PARAMETER)
    assert str(theirs["kdf"]["algorithm"]) == "1.2.840.113549.1.9.16.3.28"
    assert not theirs["kemContext"].isValue
    # as long as the MAC itself
    assert theirs["len"] == hashlib.new(chosen.mac).digest_size
    assert encoder.encode(theirs["mac"]) == algorithms.MAC_IDENTIFIERS[mac]
    assert kemmac.kem_mac_parameters(message(chosen.identifier)) == chosen


@pytest.mark.parametrize("digest", algorithms.HKDF_IDENTIFIERS)
@pytest.mark.parametrize("context", [None, b"", b"context"])
@pytest.mark.parametrize("length", [1, 32, 100])
def test_the_key_is_that_of_hkdf(digest: str, context: bytes | None, length: int) -> None:
    parameters = KemMacParameters(digest, length, "sha256", b"", context)
    info = KEM_OTHER_INFO.clone()
    info["staticString"].append("CMP-KEM")
    info["transactionID"] = TRANSACTION_ID
    if context is not None:
        info["kemContext"] = context
    expected = hkdf(digest, SECRET, encoder.encode(info), length)
    assert parameters.derive(SECRET, TRANSACTION_ID) == expected


def test_a_mac_is_checked() -> None:
    parameters = KemMacParameters.choose()
    key = parameters.derive(SECRET, TRANSACTION_ID)
    part = message(parameters.identifier).protected_part
    value = protection.mac(key, parameters, part)
    assert value == hmac.digest(key, part, "sha256")
    protection.check_mac(message(parameters.identifier, value), parameters, key)
    for wrong in (None, b"", value[:-1], value[:-1] + bytes((value[-1] ^ 1,))):
        with pytest.raises(RemoteCmpError, match=r"^the MAC is wrong: "):
            protection.check_mac(message(parameters.identifier, wrong), parameters, key)


HKDF = algorithms.HKDF_IDENTIFIERS["sha256"]
HMAC = algorithms.MAC_IDENTIFIERS["hmac-sha256"]
UNKNOWN = wrap(0x30, encode(ObjectIdentifier("1.2.3")))


def test_a_context_is_read() -> None:
    parameter = wrap(0x30, HKDF, explicit(0, encode(b"context")), encode(32), HMAC)
    identifier = wrap(0x30, encode(kemmac.KEM_BASED_MAC), parameter)
    assert read(parameter, KEM_BM_PARAMETER)["kemContext"] == b"context"
    found = kemmac.kem_mac_parameters(message(identifier))
    assert found == replace(KemMacParameters.choose(), identifier=identifier, context=b"context")


@pytest.mark.parametrize(
    ("parameter", "error", "said"),
    [
        (b"", RemoteCmpError, "without its KemBMParameter"),
        (b"\x05\x00", RemoteCmpError, "not a DER"),
        (wrap(0x30, HKDF, encode(0), HMAC), RemoteCmpError, "a key of 0 octets"),
        (wrap(0x30, HKDF, encode(4097), HMAC), RemoteCmpError, "accepted are 1 to 4096"),
        (wrap(0x30, HKDF, encode(1 << 90), HMAC), RemoteCmpError, "not a DER"),
        (wrap(0x30, UNKNOWN, encode(32), HMAC), AlgorithmError, "unknown key derivation"),
        (wrap(0x30, HKDF, encode(32), UNKNOWN), AlgorithmError, "unknown MAC algorithm"),
    ],
)
def test_parameters_that_are_refused(
    parameter: bytes, error: type[RemoteCmpError], said: str
) -> None:
    identifier = wrap(0x30, encode(kemmac.KEM_BASED_MAC), parameter)
    with pytest.raises(error, match=said):
        kemmac.kem_mac_parameters(message(identifier))


@pytest.mark.parametrize("algorithm", [None, wrap(0x30), HMAC])
def test_other_protection_is_none_of_it(algorithm: bytes | None) -> None:
    assert kemmac.kem_mac_parameters(message(algorithm)) is None


@KINDS
def test_a_ciphertext_gives_its_secret(pki: "Pki", kind: str) -> None:
    key = pki.kem_keys[kind]
    shared_secret, ciphertext = key.public_key().encapsulate()
    info = kemmac.ciphertext_info(key.public_key(), ciphertext)
    assert kemmac.decapsulate(info, key) == shared_secret
    other = pki.kem_keys["ml-kem-768" if kind == "ml-kem-1024" else "ml-kem-1024"]
    with pytest.raises(AlgorithmError, match="not that of the key"):
        kemmac.decapsulate(info, other)
    kem = algorithms.kem_identifier(key.public_key()) or b""
    with pytest.raises(RemoteCmpError, match="the KEM ciphertext can't be used"):
        kemmac.decapsulate(wrap(0x30, kem, encode(ciphertext[:-1])), key)


@given(st.binary(max_size=60))
def test_what_is_no_ciphertext_is_a_remote_error(pki: "Pki", der: bytes) -> None:
    with pytest.raises(RemoteCmpError):
        kemmac.decapsulate(der, pki.kem_keys["ml-kem-768"])
    with pytest.raises(RemoteCmpError):
        kemmac.ciphertext_in(der)


def test_a_genp_may_say_more_than_the_ciphertext() -> None:
    other = wrap(0x30, encode(ObjectIdentifier("1.2.3")), b"\x05\x00")
    own = wrap(0x30, encode(ObjectIdentifier(KEM_CIPHERTEXT_INFO)), b"\x04\x00")
    assert kemmac.ciphertext_in(wrap(0x30, other, own)) == b"\x04\x00"
    for infos in ((), (other,), (wrap(0x30, encode(ObjectIdentifier(KEM_CIPHERTEXT_INFO))),)):
        with pytest.raises(RemoteCmpError, match="has no KEM ciphertext"):
            kemmac.ciphertext_in(wrap(0x30, *infos))


def asking(body_type: BodyType, body: bytes) -> PKIMessage:
    whole = messages.encode_message(
        wrap(0x30, encode(2), explicit(4, messages.NULL_DN), explicit(4, messages.NULL_DN)),
        messages.body(body_type, body),
        None,
    )
    return messages.decode_message(whole)


def test_who_asks_for_a_ciphertext() -> None:
    asked = kemmac.ask_ciphertext()
    assert kemmac.asks_ciphertext(asking(BodyType.GENM, asked))
    (info,) = decode_sequence_of(asked)
    for body_type, body in (
        (BodyType.GENP, asked),
        (BodyType.GENM, wrap(0x30)),
        (BodyType.GENM, wrap(0x30, encode(info), encode(info))),
        (BodyType.GENM, wrap(0x30, wrap(0x30, encode(ObjectIdentifier("1.2.3"))))),
    ):
        assert not kemmac.asks_ciphertext(asking(body_type, body))
    with pytest.raises(RemoteCmpError):
        kemmac.asks_ciphertext(asking(BodyType.GENM, b"\x05\x00"))
