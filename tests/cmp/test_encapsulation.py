"""Recipients with a KEM key: RFC 9936's example, a second opinion, and what is refused."""

from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.keywrap import aes_key_wrap
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyasn1.codec.der import decoder, encoder
from pyasn1.type import constraint, namedtype, tag, univ
from pyasn1_modules import rfc5280, rfc5652

from bulkcmp.cmp import algorithms, encapsulation, envelope, recipient
from bulkcmp.cmp.algorithms import AlgorithmError, KemKey
from bulkcmp.cmp.asn1 import ObjectIdentifier, any_from, encode, explicit, wrap
from bulkcmp.cmp.encapsulation import Encapsulated, KemRecipient, encapsulate
from bulkcmp.cmp.envelope import UndecryptableError, decrypt, encrypt
from bulkcmp.errors import LocalCmpError, RemoteCmpError
from tests.cmp.conftest import KEM_KEY_MAKERS

if TYPE_CHECKING:
    from tests.cmp.conftest import Pki

DATA = ObjectIdentifier("1.2.840.113549.1.7.1")
KEY = bytes(range(32))
IV = bytes(range(16))
KINDS = ["ml-kem-768", "ml-kem-1024"]
CONTENT = b"the content of an envelope"


# --- the oracle: RFC 9629, appendix A.2 ---------------------------------------------------------


def _ukm() -> univ.OctetString:
    # the module has IMPLICIT TAGS, and this one is explicit
    return univ.OctetString().subtype(
        explicitTag=tag.Tag(tag.tagClassContext, tag.tagFormatSimple, 0)
    )


_KEK_LENGTH = univ.Integer().subtype(subtypeSpec=constraint.ValueRangeConstraint(1, 65535))


# KEMRecipientInfo ::= SEQUENCE {
#   version CMSVersion,  -- always set to 0
#   rid RecipientIdentifier,
#   kem KEMAlgorithmIdentifier,
#   kemct OCTET STRING,
#   kdf KeyDerivationAlgorithmIdentifier,
#   kekLength INTEGER (1..65535),
#   ukm [0] EXPLICIT UserKeyingMaterial OPTIONAL,
#   wrap KeyEncryptionAlgorithmIdentifier,
#   encryptedKey EncryptedKey }
KEM_RECIPIENT_INFO = univ.Sequence(
    componentType=namedtype.NamedTypes(
        namedtype.NamedType("version", rfc5652.CMSVersion()),
        namedtype.NamedType("rid", rfc5652.RecipientIdentifier()),
        namedtype.NamedType("kem", rfc5280.AlgorithmIdentifier()),
        namedtype.NamedType("kemct", univ.OctetString()),
        namedtype.NamedType("kdf", rfc5280.AlgorithmIdentifier()),
        namedtype.NamedType("kekLength", _KEK_LENGTH),
        namedtype.OptionalNamedType("ukm", _ukm()),
        namedtype.NamedType("wrap", rfc5280.AlgorithmIdentifier()),
        namedtype.NamedType("encryptedKey", univ.OctetString()),
    )
)

# CMSORIforKEMOtherInfo ::= SEQUENCE {
#   wrap KeyEncryptionAlgorithmIdentifier,
#   kekLength INTEGER (1..65535),
#   ukm [0] EXPLICIT UserKeyingMaterial OPTIONAL }
OTHER_INFO = univ.Sequence(
    componentType=namedtype.NamedTypes(
        namedtype.NamedType("wrap", rfc5280.AlgorithmIdentifier()),
        namedtype.NamedType("kekLength", _KEK_LENGTH),
        namedtype.OptionalNamedType("ukm", _ukm()),
    )
)


def read(der: bytes, spec: Any) -> Any:
    """What pyasn1 makes of it; that its encoding is the same says that ours is DER."""
    value, rest = decoder.decode(der, asn1Spec=spec)
    assert not rest
    assert encoder.encode(value) == der
    return value


# --- RFC 9936, appendix C -----------------------------------------------------------------------

SHARED_SECRET = bytes.fromhex("7DF12D412AE299A24FDE6D7C3BB8E3194C80AD3C733DCF2775E09FE8BEDB86D8")
RFC_OTHER_INFO = bytes.fromhex("3010300B0609608648016503040105020110")
KEY_ENCRYPTION_KEY = bytes.fromhex("CF453A3E2BAE0A78701B8206C185A008")
CONTENT_ENCRYPTION_KEY = bytes.fromhex("C5153005588269A0A59F3C01943FDD56")
ENCRYPTED_KEY = bytes.fromhex("C050E4392F9C14DD0AC2220203F317D701F94F9DD92778F5")


def test_the_key_of_rfc_9936() -> None:
    """Its ML-KEM-512 is not to be had: what follows on Decapsulate() is the same for all."""
    key_wrap = recipient.KEY_WRAPS[16]
    other = read(RFC_OTHER_INFO, OTHER_INFO)
    assert (encoder.encode(other["wrap"]), other["kekLength"]) == (key_wrap, 16)
    key = encapsulation.key_encryption_key(SHARED_SECRET, "sha256", key_wrap, 16, None)
    assert key == KEY_ENCRYPTION_KEY
    assert recipient.unwrap(key, ENCRYPTED_KEY) == CONTENT_ENCRYPTION_KEY


# --- made, opened, changed ----------------------------------------------------------------------


class Holder:
    """A KEM key, and a certificate for it."""

    def __init__(self, pki: "Pki", kind: str, *, identified: bool = True) -> None:
        self.key: KemKey = pki.kem_keys[kind]
        der = pki.certificate("holder", self.key, pki.root, identified=identified)
        self.certificate = x509.load_der_x509_certificate(der)
        self.recipient = KemRecipient(self.key, self.certificate)

    def encapsulated(self) -> Encapsulated:
        shared_secret, ciphertext = self.key.public_key().encapsulate()
        return Encapsulated(ciphertext, shared_secret)

    def info(self, key: bytes = KEY, **options: Any) -> bytes:
        return encapsulate(key, self.certificate, self.encapsulated(), **options)


@pytest.fixture(scope="module")
def holder(pki: "Pki") -> Holder:
    return Holder(pki, "ml-kem-768")


def seal(*infos: bytes, key: bytes = KEY) -> bytes:
    return encrypt(CONTENT, DATA, infos, key=key, iv=IV)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("length", [16, 24, 32])
@pytest.mark.parametrize("digest", algorithms.HKDF_IDENTIFIERS)
@pytest.mark.parametrize("ukm", [None, b"user keying material"])
def test_a_key_is_encapsulated(
    pki: "Pki", kind: str, length: int, digest: str, ukm: bytes | None
) -> None:
    holder = Holder(pki, kind)
    key = KEY[:length]
    der = seal(holder.info(key, digest=digest, ukm=ukm), key=key)
    assert decrypt(der, holder.recipient).octets == CONTENT
    # as where there is no certificate yet
    assert decrypt(der, KemRecipient(holder.key)).octets == CONTENT

    enveloped = read(der, rfc5652.EnvelopedData())
    assert enveloped["version"] == 3
    other = enveloped["recipientInfos"][0]["ori"]
    assert other["oriType"] == rfc5652.univ.ObjectIdentifier("1.2.840.113549.1.9.16.13.3")
    info = read(bytes(other["oriValue"]), KEM_RECIPIENT_INFO)
    assert info["version"] == 0
    ski = x509.SubjectKeyIdentifier.from_public_key(holder.key.public_key()).digest
    assert bytes(info["rid"]["subjectKeyIdentifier"]) == ski
    suffix = {"ml-kem-768": 2, "ml-kem-1024": 3}[kind]
    assert str(info["kem"]["algorithm"]) == f"2.16.840.1.101.3.4.4.{suffix}"
    assert len(info["kemct"]) == {"ml-kem-768": 1088, "ml-kem-1024": 1568}[kind]
    hkdf = {"sha256": 28, "sha384": 29, "sha512": 30}[digest]
    assert str(info["kdf"]["algorithm"]) == f"1.2.840.113549.1.9.16.3.{hkdf}"
    assert info["kekLength"] == length
    assert info["ukm"].isValue is (ukm is not None)
    assert not any(info[name]["parameters"].isValue for name in ("kem", "kdf", "wrap"))


def test_a_certificate_without_key_identifier_is_named_by_issuer_and_serial(pki: "Pki") -> None:
    holder = Holder(pki, "ml-kem-768", identified=False)
    der = seal(holder.info())
    assert decrypt(der, holder.recipient).octets == CONTENT
    other = read(der, rfc5652.EnvelopedData())["recipientInfos"][0]["ori"]
    named = read(bytes(other["oriValue"]), KEM_RECIPIENT_INFO)["rid"]["issuerAndSerialNumber"]
    assert named["serialNumber"] == holder.certificate.serial_number


def test_encapsulation_needs_a_kem_key(pki: "Pki") -> None:
    certificate = x509.load_der_x509_certificate(pki.device.certificate)
    with pytest.raises(LocalCmpError, match="needs a certificate for a KEM key"):
        encapsulate(KEY, certificate, Encapsulated(b"", b""))


def test_no_secret_shows(holder: Holder) -> None:
    assert "secret=" not in repr(Encapsulated(b"", b"shared"))
    assert "private_key" not in repr(holder.recipient)


@pytest.mark.parametrize("kind", KINDS)
def test_another_key_opens_nothing(pki: "Pki", kind: str) -> None:
    holder, other = Holder(pki, kind), KEM_KEY_MAKERS[kind]()
    with pytest.raises(UndecryptableError):
        decrypt(seal(holder.info()), KemRecipient(other))
    # named by another's certificate, it is not even tried
    named = KemRecipient(holder.key, x509.load_der_x509_certificate(pki.device.certificate))
    with pytest.raises(UndecryptableError):
        decrypt(seal(holder.info()), named)


def test_others_are_passed_over(pki: "Pki", holder: Holder) -> None:
    party = pki.certify("other", pki.keys["rsa"], pki.root)
    rsa_certificate = x509.load_der_x509_certificate(party.certificate)
    transported = recipient.transport(KEY, rsa_certificate)
    unknown = wrap(envelope.ORI, encode(ObjectIdentifier("1.2.3")), b"\x05\x00")
    assert decrypt(seal(transported, unknown, holder.info()), holder.recipient).octets == CONTENT
    with pytest.raises(UndecryptableError):
        decrypt(seal(transported, unknown), holder.recipient)


def kemri(holder: Holder, **changes: bytes) -> bytes:
    """An ori whose elements are as they should be, but for what is changed."""
    made = holder.encapsulated()
    key_wrap = recipient.KEY_WRAPS[32]
    key = encapsulation.key_encryption_key(made.shared_secret, "sha256", key_wrap, 32, None)
    parts = {
        "version": encode(0),
        "rid": recipient.recipient_identifier(holder.certificate),
        "kem": algorithms.kem_identifier(holder.key.public_key()),
        "kemct": encode(made.ciphertext),
        "kdf": algorithms.HKDF_IDENTIFIERS["sha256"],
        "kekLength": encode(32),
        "ukm": b"",
        "wrap": key_wrap,
        "encryptedKey": encode(aes_key_wrap(key, KEY)),
    } | changes
    info = wrap(0x30, *(part for part in parts.values() if part is not None))
    return wrap(envelope.ORI, encode(encapsulation.ORI_KEM), info)


def test_the_parts_are_right(holder: Holder) -> None:
    assert decrypt(seal(kemri(holder)), holder.recipient).octets == CONTENT


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"kem": wrap(0x30, encode(ObjectIdentifier("1.2.3")))}, AlgorithmError, "not that of the"),
        (
            {"kem": wrap(0x30, encode(ObjectIdentifier("2.16.840.1.101.3.4.4.3")))},
            AlgorithmError,
            "not that of the key",
        ),
        (
            {"kdf": wrap(0x30, encode(ObjectIdentifier("1.2.3")))},
            AlgorithmError,
            "unknown key derivation",
        ),
        (
            {"wrap": wrap(0x30, encode(ObjectIdentifier("1.2.3")))},
            AlgorithmError,
            "unknown key wrap",
        ),
        ({"kekLength": encode(16)}, RemoteCmpError, "gives 16 octets, the key wrap takes 32"),
        ({"kekLength": encode(1 << 80)}, RemoteCmpError, "not a DER"),
        ({"kemct": encode(b"short")}, UndecryptableError, "can't be decrypted"),
        ({"kemct": encode(bytes(1088))}, UndecryptableError, "can't be decrypted"),
        ({"ukm": explicit(0, encode(b"x"))}, UndecryptableError, "can't be decrypted"),
        ({"encryptedKey": encode(bytes(40))}, UndecryptableError, "can't be decrypted"),
        ({"encryptedKey": encode(b"")}, UndecryptableError, "can't be decrypted"),
        ({"rid": b"\x05\x00"}, UndecryptableError, "can't be decrypted"),
        ({"rid": b""}, RemoteCmpError, "not a DER"),
    ],
)
def test_what_is_refused(
    holder: Holder, changes: dict[str, bytes], error: type[RemoteCmpError], said: str
) -> None:
    with pytest.raises(error, match=said):
        decrypt(seal(kemri(holder, **changes)), holder.recipient)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_whatever_is_changed_is_refused_or_makes_no_difference(
    holder: Holder, data: st.DataObject
) -> None:
    info = bytearray(kemri(holder))
    info[data.draw(st.integers(0, len(info) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        key = holder.recipient.content_key(any_from(bytes(info)), ())
    except RemoteCmpError:
        return
    assert key in (None, KEY)


@pytest.mark.parametrize("kind", ["rsa", "ec", "ml-dsa-44"])
def test_other_keys_have_no_kem(pki: "Pki", kind: str) -> None:
    assert algorithms.kem_identifier(pki.keys[kind].public_key()) is None
