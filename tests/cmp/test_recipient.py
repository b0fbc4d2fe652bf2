"""Recipients of an EnvelopedData: each kind made, opened, tampered with, and tried on OpenSSL."""

import hashlib
import hmac
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, x448, x25519
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap, aes_key_wrap
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pyasn1.codec.der import decoder, encoder
from pyasn1_modules import rfc5652, rfc5753

from bulkcmp.cmp import algorithms, envelope, protection, recipient
from bulkcmp.cmp.algorithms import AlgorithmError
from bulkcmp.cmp.asn1 import (
    ObjectIdentifier,
    any_from,
    content,
    decode_sequence_of,
    encode,
    explicit,
    wrap,
)
from bulkcmp.cmp.envelope import UndecryptableError, decrypt, encrypt
from bulkcmp.cmp.protection import Derivation, Pbkdf2
from bulkcmp.cmp.recipient import KeyRecipient, PasswordRecipient
from bulkcmp.errors import LocalCmpError, RemoteCmpError
from bulkcmp.model import Secret

if TYPE_CHECKING:
    from tests.cmp.conftest import Pki

DATA = envelope.DATA
ENVELOPED = ObjectIdentifier("1.2.840.113549.1.7.3")
CONTENT = b"the content of an envelope"
KEY = bytes(range(16))
IV = bytes(range(16, 32))
SECRET = Secret(b"pass")
SALT = b"salt of an envelope"
NOISE = bytes(range(100, 148))

AGREEMENT_KEYS: dict[str, Callable[[], algorithms.AgreementKey]] = {
    "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "P-521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "X25519": x25519.X25519PrivateKey.generate,
    "X448": x448.X448PrivateKey.generate,
}


class Holder:
    """A key, and a certificate for it."""

    def __init__(self, pki: "Pki", key: Any, *, identified: bool = True) -> None:
        party = pki.certify("holder", key, pki.root, identified=identified)
        self.key = key
        self.certificate = x509.load_der_x509_certificate(party.certificate)
        self.recipient = KeyRecipient(key, self.certificate)


@pytest.fixture(scope="module")
def rsa_holder(pki: "Pki") -> Holder:
    return Holder(pki, pki.keys["rsa"])


@pytest.fixture(scope="module")
def ec_holder(pki: "Pki") -> Holder:
    return Holder(pki, pki.keys["ec"])


def seal(*infos: bytes, key: bytes = KEY) -> bytes:
    return encrypt(CONTENT, DATA, infos, key=key, iv=IV)


def oracle(der: bytes) -> Any:
    """What pyasn1 makes of it; that its encoding is the same says that ours is DER."""
    value, rest = decoder.decode(der, asn1Spec=rfc5652.EnvelopedData())
    assert not rest
    assert encoder.encode(value) == der
    return value


# --- key transport --------------------------------------------------------------------------


@pytest.mark.parametrize("oaep", [None, "sha1", "sha256", "sha384", "sha512"])
@pytest.mark.parametrize("length", [16, 24, 32])
def test_an_rsa_key_is_transported(rsa_holder: Holder, oaep: str | None, length: int) -> None:
    key = bytes(range(length))
    der = seal(recipient.transport(key, rsa_holder.certificate, oaep), key=key)
    assert decrypt(der, rsa_holder.recipient) == envelope.Content(DATA, CONTENT)
    assert decrypt(der, KeyRecipient(rsa_holder.key, None)).octets == CONTENT
    read = oracle(der)
    assert read["version"] == 2
    ktri = read["recipientInfos"][0]["ktri"]
    assert ktri["version"] == 2
    key_id = x509.SubjectKeyIdentifier.from_public_key(rsa_holder.key.public_key()).digest
    assert bytes(ktri["rid"]["subjectKeyIdentifier"]) == key_id
    plain = padding.PKCS1v15() if oaep is None else algorithms.Oaep(oaep, oaep).padding()
    assert rsa_holder.key.decrypt(bytes(ktri["encryptedKey"]), plain) == key


def test_a_certificate_without_key_identifier_is_named_by_issuer_and_serial(pki: "Pki") -> None:
    for key in (pki.keys["rsa"], pki.keys["ec"]):
        holder = Holder(pki, key, identified=False)
        der = seal(make_info(holder))
        read = oracle(der)["recipientInfos"][0]
        rid = (
            read["ktri"]["rid"]
            if read.getName() == "ktri"
            else read["kari"]["recipientEncryptedKeys"][0]["rid"]
        )
        assert rid["issuerAndSerialNumber"]["serialNumber"] == holder.certificate.serial_number
        assert decrypt(der, holder.recipient).octets == CONTENT
        # such a certificate may be named by the hash of its key, too
        identified = Holder(pki, key)
        assert decrypt(seal(make_info(identified)), holder.recipient).octets == CONTENT
        with pytest.raises(UndecryptableError):
            decrypt(der, identified.recipient)


def make_info(holder: Holder, key: bytes = KEY) -> bytes:
    if isinstance(holder.key, rsa.RSAPrivateKey):
        return recipient.transport(key, holder.certificate)
    return recipient.agree(key, holder.certificate, ec.generate_private_key(ec.SECP256R1()))


def test_the_key_that_transports_must_be_of_rsa_and_long_enough(
    pki: "Pki", ec_holder: Holder
) -> None:
    with pytest.raises(LocalCmpError, match="needs a certificate for an RSA key"):
        recipient.transport(KEY, ec_holder.certificate)
    with pytest.raises(LocalCmpError, match="RSAES-OAEP with sha3-256"):
        recipient.transport(KEY, Holder(pki, pki.keys["rsa"]).certificate, "sha3-256")
    short = Holder(pki, rsa.generate_private_key(65537, 1024))
    with pytest.raises(LocalCmpError, match="1024 bits is too short"):
        recipient.transport(KEY, short.certificate, "sha512")


def ktri(holder: Holder, algorithm: bytes, encrypted: bytes = b"x" * 256) -> bytes:
    rid = recipient.recipient_identifier(holder.certificate)
    return wrap(envelope.KTRI, encode(2), rid, algorithm, encode(encrypted))


OAEP_OID = encode(ObjectIdentifier("1.2.840.113549.1.1.7"))
SHA256 = algorithms.DIGEST_IDENTIFIERS["sha256"]


@pytest.mark.parametrize(
    ("algorithm", "said"),
    [
        (wrap(0x30, encode(ObjectIdentifier("1.2.3"))), "unknown key transport algorithm"),
        (wrap(0x30), "unknown key transport algorithm"),
        (wrap(0x30, OAEP_OID, encode(5)), "RSAES-OAEP with malformed parameters"),
        (wrap(0x30, OAEP_OID, wrap(0x30, explicit(2, wrap(0x30)))), "RSAES-OAEP with a label"),
        (wrap(0x30, OAEP_OID, wrap(0x30, explicit(0, wrap(0x30)))), "unknown digest algorithm"),
        (
            wrap(0x30, OAEP_OID, wrap(0x30, explicit(1, wrap(0x30, OAEP_OID, SHA256)))),
            "unknown mask generation function",
        ),
        *(
            (algorithms.Oaep(digest, digest).identifier(), "can't be done here")
            for digest in ("sha3-256", "sha3-512")
        ),
    ],
)
def test_algorithms_of_key_transport_that_are_refused(
    rsa_holder: Holder, algorithm: bytes, said: str
) -> None:
    with pytest.raises(AlgorithmError, match=said):
        decrypt(seal(ktri(rsa_holder, algorithm)), rsa_holder.recipient)


@pytest.mark.parametrize(
    "algorithm",
    [wrap(0x30, OAEP_OID), wrap(0x30, encode(ObjectIdentifier("1.2.840.113549.1.1.1")))],
    ids=["OAEP with its defaults", "PKCS #1 v1.5 without NULL"],
)
@pytest.mark.parametrize("size", [0, 255, 256, 257])
def test_what_does_not_open_is_told_in_one_text(
    rsa_holder: Holder, algorithm: bytes, size: int
) -> None:
    with pytest.raises(UndecryptableError, match="it can't be decrypted: it is for another key"):
        decrypt(seal(ktri(rsa_holder, algorithm, bytes(size))), rsa_holder.recipient)


def test_oaep_may_have_another_digest_in_its_mask(rsa_holder: Holder) -> None:
    oaep = algorithms.Oaep("sha256", "sha1")
    encrypted = rsa_holder.key.public_key().encrypt(KEY, oaep.padding())
    der = seal(ktri(rsa_holder, oaep.identifier(), encrypted))
    assert decrypt(der, rsa_holder.recipient).octets == CONTENT
    assert algorithms.oaep_of(oaep.identifier()) == oaep


def test_an_empty_label_may_be_told(rsa_holder: Holder) -> None:
    empty = wrap(0x30, encode(ObjectIdentifier("1.2.840.113549.1.1.9")), encode(b""))
    told = wrap(0x30, OAEP_OID, wrap(0x30, explicit(2, empty)))
    assert algorithms.oaep_of(told) == algorithms.Oaep("sha1", "sha1")


# --- key agreement --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", AGREEMENT_KEYS)
@pytest.mark.parametrize("length", [16, 24, 32])
@pytest.mark.parametrize("ukm", [None, b"user keying material"])
def test_two_keys_agree(pki: "Pki", kind: str, length: int, ukm: bytes | None) -> None:
    key = bytes(range(length))
    holder = Holder(pki, AGREEMENT_KEYS[kind]())
    info = recipient.agree(key, holder.certificate, AGREEMENT_KEYS[kind](), ukm=ukm)
    der = seal(info, key=key)
    assert decrypt(der, holder.recipient).octets == CONTENT
    assert decrypt(der, KeyRecipient(holder.key, None)).octets == CONTENT
    read = oracle(der)
    assert read["version"] == 2
    kari = read["recipientInfos"][0]["kari"]
    assert kari["version"] == 3
    key_id = x509.SubjectKeyIdentifier.from_public_key(holder.key.public_key()).digest
    rid = kari["recipientEncryptedKeys"][0]["rid"]
    assert bytes(rid["rKeyId"]["subjectKeyIdentifier"]) == key_id
    assert bytes(kari["ukm"]) == ukm if ukm else not kari["ukm"].isValue


HKDF_SCHEMES = {
    "1.2.840.113549.1.9.16.3.19": "sha256",
    "1.2.840.113549.1.9.16.3.20": "sha384",
    "1.2.840.113549.1.9.16.3.21": "sha512",
}


@pytest.mark.parametrize("kind", ["X25519", "X448"])
@pytest.mark.parametrize("ukm", [None, b"user keying material"])
def test_the_key_that_wraps_is_that_of_rfc_8418(pki: "Pki", kind: str, ukm: bytes | None) -> None:
    """The ukm is HKDF's salt, and in the info as well (RFC 8418, 2.2), which is done here by hand;
    OpenSSL 3 has no CMS for such keys."""
    holder = Holder(pki, AGREEMENT_KEYS[kind]())
    ephemeral = AGREEMENT_KEYS[kind]()
    read = oracle(seal(recipient.agree(KEY, holder.certificate, ephemeral, ukm=ukm)))
    kari = read["recipientInfos"][0]["kari"]
    digest = HKDF_SCHEMES[str(kari["keyEncryptionAlgorithm"]["algorithm"])]
    key_wrap = bytes(kari["keyEncryptionAlgorithm"]["parameters"])
    info = rfc5753.ECC_CMS_SharedInfo()
    info["keyInfo"] = decoder.decode(key_wrap, asn1Spec=info["keyInfo"])[0]
    if ukm is not None:
        info["entityUInfo"] = ukm
    info["suppPubInfo"] = (8 * len(KEY)).to_bytes(4, "big")
    salt = ukm or bytes(hashlib.new(digest).digest_size)
    extracted = hmac.digest(salt, holder.key.exchange(ephemeral.public_key()), digest)
    kek = hmac.digest(extracted, encoder.encode(info) + b"\x01", digest)[: len(KEY)]
    wrapped = bytes(kari["recipientEncryptedKeys"][0]["encryptedKey"])
    assert aes_key_unwrap(kek, wrapped) == KEY


@pytest.mark.parametrize("identified", [True, False])
def test_the_originator_may_be_named_by_its_certificate(pki: "Pki", identified: bool) -> None:
    holder = Holder(pki, AGREEMENT_KEYS["P-384"]())
    originator = Holder(pki, AGREEMENT_KEYS["P-384"](), identified=identified)
    info = recipient.agree(
        KEY,
        holder.certificate,
        originator.key,
        originator_certificate=originator.certificate,
        ukm=b"random",
    )
    der = seal(info)
    oracle(der)
    with pytest.raises(RemoteCmpError, match="originator did not come along"):
        decrypt(der, holder.recipient)
    known = originator.certificate.public_bytes(serialization.Encoding.DER)
    others = (b"not a certificate", pki.root.certificate, known)
    assert decrypt(der, KeyRecipient(holder.key, holder.certificate, others)).octets == CONTENT
    # or its certificate is in the originatorInfo
    fields = decode_sequence_of(der)
    carried = wrap(0xA0, wrap(0xA0, known), wrap(0xA1, wrap(0x30)))
    told = wrap(0x30, encode(fields[0]), carried, *map(encode, fields[1:]))
    assert decrypt(told, holder.recipient).octets == CONTENT


def test_two_keys_of_two_kinds_do_not_agree(pki: "Pki") -> None:
    for one in AGREEMENT_KEYS:
        holder = Holder(pki, AGREEMENT_KEYS[one]())
        for other in AGREEMENT_KEYS:
            if one == other:
                continue
            with pytest.raises(LocalCmpError, match="of the originator's curve"):
                recipient.agree(KEY, holder.certificate, AGREEMENT_KEYS[other]())
            stranger = Holder(pki, AGREEMENT_KEYS[other]())
            der = seal(recipient.agree(KEY, stranger.certificate, AGREEMENT_KEYS[other]()))
            with pytest.raises(UndecryptableError):
                decrypt(der, KeyRecipient(holder.key, None))


@pytest.mark.parametrize("kind", AGREEMENT_KEYS)
def test_an_originator_whose_key_is_no_point(pki: "Pki", kind: str) -> None:
    holder = Holder(pki, AGREEMENT_KEYS[kind]())
    algorithm = content(any_from(algorithms.public_bytes(holder.key.public_key())))
    algorithm = encode(decode_sequence_of(wrap(0x30, algorithm))[0])
    for point in (b"", b"\4" + bytes(64), bytes(32), bytes(56)):
        der = seal(kari(originator=wrap(0xA1, algorithm, wrap(0x03, b"\0", point))))
        with pytest.raises(UndecryptableError):
            decrypt(der, KeyRecipient(holder.key, None))
    der = seal(kari(originator=wrap(0xA1, wrap(0x30), wrap(0x03, b"\0", b"\4"))))
    with pytest.raises(UndecryptableError):
        decrypt(der, KeyRecipient(holder.key, None))


STD_DH_SHA256 = encode(ObjectIdentifier("1.3.132.1.11.1"))


def kari(
    *,
    originator: bytes = wrap(0x80, b"nobody"),
    algorithm: bytes = wrap(0x30, STD_DH_SHA256, recipient.KEY_WRAPS[16]),
    rid: bytes = wrap(0xA0, encode(b"holder")),
    encrypted: bytes = bytes(24),
) -> bytes:
    keys = wrap(0x30, wrap(0x30, rid, encode(encrypted)))
    return wrap(envelope.KARI, encode(3), explicit(0, originator), algorithm, keys)


@pytest.mark.parametrize(
    ("algorithm", "said"),
    [
        (wrap(0x30), "unknown key agreement algorithm"),
        (wrap(0x30, STD_DH_SHA256), "unknown key agreement algorithm"),
        (wrap(0x30, OAEP_OID, recipient.KEY_WRAPS[16]), "unknown key agreement algorithm"),
        (wrap(0x30, STD_DH_SHA256, wrap(0x30, OAEP_OID)), "unknown key wrap algorithm"),
    ],
)
def test_algorithms_of_key_agreement_that_are_refused(
    ec_holder: Holder, algorithm: bytes, said: str
) -> None:
    with pytest.raises(AlgorithmError, match=said):
        decrypt(seal(kari(algorithm=algorithm)), KeyRecipient(ec_holder.key, None))


@pytest.mark.parametrize("rid", [wrap(0xA0), wrap(0xA0, encode(b"another")), wrap(0x82, b"?")])
def test_another_recipient_is_meant(ec_holder: Holder, rid: bytes) -> None:
    with pytest.raises(UndecryptableError):
        decrypt(seal(kari(rid=rid)), ec_holder.recipient)


def test_a_wrapped_key_that_was_changed(pki: "Pki", ec_holder: Holder) -> None:
    info = recipient.agree(KEY, ec_holder.certificate, AGREEMENT_KEYS["P-256"]())
    for changed in (info[:-1] + bytes((info[-1] ^ 1,)), kari_of(pki, ec_holder, b"short")):
        with pytest.raises(UndecryptableError):
            decrypt(seal(changed), ec_holder.recipient)


def kari_of(pki: "Pki", holder: Holder, encrypted: bytes) -> bytes:
    point = holder.key.public_key().public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )
    algorithm = wrap(0x30, encode(ObjectIdentifier("1.2.840.10045.2.1")), b"\5\0")
    key_id = x509.SubjectKeyIdentifier.from_public_key(holder.key.public_key()).digest
    return kari(
        originator=wrap(0xA1, algorithm, wrap(0x03, b"\0", point)),
        rid=wrap(0xA0, encode(key_id)),
        encrypted=encrypted,
    )


# --- passwords ------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [16, 24, 32])
@pytest.mark.parametrize("prf", ["hmac-sha1", "hmac-sha256", "hmac-sha512"])
@pytest.mark.parametrize("noise", [None, NOISE], ids=["AES key wrap", "PWRI-KEK"])
def test_a_secret_opens(length: int, prf: str, noise: bytes | None) -> None:
    key = bytes(range(length))
    info = recipient.password(key, SECRET, SALT, prf=prf, iterations=7, pwri_kek=noise)
    der = seal(info, key=key)
    assert decrypt(der, PasswordRecipient(SECRET)) == envelope.Content(DATA, CONTENT)
    with pytest.raises(UndecryptableError):
        decrypt(der, PasswordRecipient(Secret(b"another")))
    read = oracle(der)
    assert read["version"] == 3
    assert read["recipientInfos"][0]["pwri"]["version"] == 0
    digest = prf.removeprefix("hmac-")
    wanted = Pbkdf2(SALT, digest, 7, length).derivation(SECRET)
    (told,) = envelope.recipient_infos(der)
    assert PasswordRecipient(SECRET).derivation(told) == wanted


def test_the_key_may_be_derived_elsewhere() -> None:
    der = seal(recipient.password(KEY, SECRET, SALT, iterations=7))
    asked: list[Derivation] = []

    def derive(derivation: Derivation) -> bytes:
        asked.append(derivation)
        return protection.derive(derivation)

    assert decrypt(der, PasswordRecipient(SECRET, derive=derive)).octets == CONTENT
    assert asked == [Pbkdf2(SALT, "sha256", 7, 16).derivation(SECRET)]


@settings(max_examples=50, deadline=None)
@given(key=st.sampled_from([16, 24, 32]).flatmap(lambda n: st.binary(min_size=n, max_size=n)))
@example(KEY)
def test_pwri_kek_is_rfc_3211(key: bytes) -> None:
    kek = bytes(16)
    wrapped = recipient._pwri_wrap(kek, IV, key, NOISE)
    assert len(wrapped) >= 32
    assert recipient._pwri_unwrap(kek, IV, wrapped) == key


@pytest.mark.parametrize("wrapped", [b"", bytes(16), bytes(31), bytes(32), bytes(33), bytes(48)])
def test_a_pwri_kek_that_does_not_open(wrapped: bytes) -> None:
    with pytest.raises(UndecryptableError):
        recipient._pwri_unwrap(bytes(16), IV, wrapped)


def test_a_count_beyond_the_block_does_not_open() -> None:
    for claimed in (29, 255):
        # check value and all: the count alone is too large
        block = bytes((claimed, 255, 255, 255)) + bytes(28)
        encryptor = Cipher(AES(bytes(16)), CBC(IV)).encryptor()
        wrapped = encryptor.update(encryptor.update(block))
        with pytest.raises(UndecryptableError):
            recipient._pwri_unwrap(bytes(16), IV, wrapped)


def pwri(kdf: bytes | None, algorithm: bytes, wrapped: bytes = bytes(24)) -> bytes:
    told = b"" if kdf is None else wrap(0xA0, content(any_from(kdf)))
    return wrap(envelope.PWRI, encode(0), told, algorithm, encode(wrapped))


PBKDF2 = protection.pbkdf2_identifier(SALT, "hmac-sha256", 7, 16)
PWRI_KEK_OID = encode(ObjectIdentifier("1.2.840.113549.1.9.16.3.9"))
AES_128 = encode(envelope.CONTENT_CIPHERS[16])


@pytest.mark.parametrize(
    ("info", "said"),
    [
        (pwri(None, recipient.KEY_WRAPS[16]), "without its key derivation algorithm"),
        (pwri(wrap(0x30), recipient.KEY_WRAPS[16]), "unknown key derivation function"),
        (pwri(PBKDF2, recipient.KEY_WRAPS[32]), "PBKDF2 gives 16 octets, the key wrap takes 32"),
        (pwri(PBKDF2, wrap(0x30)), "unknown key wrap algorithm"),
        (pwri(PBKDF2, wrap(0x30, PWRI_KEK_OID)), "unknown key wrap algorithm"),
        (pwri(PBKDF2, wrap(0x30, PWRI_KEK_OID, wrap(0x30, AES_128))), "other than AES-CBC"),
        (pwri(PBKDF2, wrap(0x30, PWRI_KEK_OID, wrap(0x30, OAEP_OID, encode(IV)))), "than AES-CBC"),
        (
            pwri(PBKDF2, wrap(0x30, PWRI_KEK_OID, wrap(0x30, AES_128, encode(b"iv")))),
            "a malformed IV",
        ),
        (
            pwri(
                protection.pbkdf2_identifier(SALT, "hmac-sha256", 101, 16), recipient.KEY_WRAPS[16]
            ),
            "wants 101 iterations, accepted are 1 to 100",
        ),
        (
            pwri(
                protection.pbkdf2_identifier(SALT, "hmac-sha256", 10**30, 16),
                recipient.KEY_WRAPS[16],
            ),
            "not a DER _PBKDF2Params",
        ),
    ],
)
def test_passwords_that_are_refused(info: bytes, said: str) -> None:
    with pytest.raises(RemoteCmpError, match=said):
        decrypt(seal(info), PasswordRecipient(SECRET, max_iterations=100))


def test_the_length_of_the_derived_key_may_go_without_saying() -> None:
    kdf = wrap(
        0x30,
        encode(protection.PBKDF2),
        wrap(0x30, encode(SALT), encode(7), algorithms.PKCS5_MAC_IDENTIFIERS["hmac-sha256"]),
    )
    kek = protection.derive(Pbkdf2(SALT, "sha256", 7, 16).derivation(SECRET))
    info = pwri(kdf, recipient.KEY_WRAPS[16], aes_key_wrap(kek, KEY))
    assert decrypt(seal(info), PasswordRecipient(SECRET)).octets == CONTENT


# --- several --------------------------------------------------------------------------------


def test_each_recipient_finds_what_is_its_own(rsa_holder: Holder, ec_holder: Holder) -> None:
    kek = wrap(0xA2, encode(4))
    der = seal(
        kek,
        recipient.password(KEY, SECRET, SALT, iterations=7),
        make_info(ec_holder),
        make_info(rsa_holder),
    )
    someone: envelope.Recipient
    for someone in (rsa_holder.recipient, ec_holder.recipient, PasswordRecipient(SECRET)):
        assert decrypt(der, someone).octets == CONTENT
    derivations = [
        PasswordRecipient(SECRET).derivation(info) for info in envelope.recipient_infos(der)
    ]
    assert sum(derivation is not None for derivation in derivations) == 1


def test_what_is_for_another_kind_of_key_is_for_somebody_else(
    rsa_holder: Holder, ec_holder: Holder
) -> None:
    for one, other in ((rsa_holder, ec_holder), (ec_holder, rsa_holder)):
        with pytest.raises(UndecryptableError, match="for another key or secret"):
            decrypt(seal(make_info(one)), other.recipient)


def test_the_version_says_nothing_that_the_form_does_not_say(
    rsa_holder: Holder, ec_holder: Holder
) -> None:
    """RFC 5652, 6.2: it follows from the form, which is what is read."""
    for holder in (rsa_holder, ec_holder):
        info = bytearray(make_info(holder))
        place = info.index(b"\x02\x01")
        info[place + 2] ^= 4
        assert decrypt(seal(bytes(info)), holder.recipient).octets == CONTENT


def test_neither_key_nor_secret_shows(rsa_holder: Holder) -> None:
    shown = repr((rsa_holder.recipient, PasswordRecipient(SECRET)))
    assert "RSAPrivateKey" not in shown
    assert "pass'" not in shown
    assert CONTENT.decode() not in repr(decrypt(seal(make_info(rsa_holder)), rsa_holder.recipient))


@pytest.fixture(scope="module")
def for_all(rsa_holder: Holder, ec_holder: Holder) -> bytes:
    return seal(
        make_info(rsa_holder),
        make_info(ec_holder),
        recipient.password(KEY, SECRET, SALT, iterations=2),
    )


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_whatever_an_envelope_holds_it_opens_or_is_refused(
    rsa_holder: Holder, ec_holder: Holder, for_all: bytes, data: st.DataObject
) -> None:
    der = bytearray(for_all)
    for _ in range(data.draw(st.integers(1, 4))):
        der[data.draw(st.integers(0, len(der) - 1))] = data.draw(st.integers(0, 255))
    recipients: list[envelope.Recipient] = [
        rsa_holder.recipient,
        ec_holder.recipient,
        PasswordRecipient(SECRET),
    ]
    someone = data.draw(st.sampled_from(recipients))
    try:
        decrypt(bytes(der), someone)
    except RemoteCmpError:
        return


# --- OpenSSL --------------------------------------------------------------------------------


class OpenSsl:
    """`openssl cms`, which has its EnvelopedData in a ContentInfo."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "content").write_bytes(CONTENT)

    def encrypt(self, *options: str) -> bytes:
        self._run("-encrypt", "-in", "content", "-out", "sealed", *options)
        return content(decode_sequence_of((self.folder / "sealed").read_bytes())[1])

    def decrypt(self, der: bytes, *options: str) -> bytes:
        info = wrap(0x30, encode(ENVELOPED), explicit(0, der))
        (self.folder / "sealed").write_bytes(info)
        self._run("-decrypt", "-in", "sealed", "-out", "opened", "-inform", "DER", *options)
        return (self.folder / "opened").read_bytes()

    def _run(self, command: str, *options: str) -> None:
        form = ["-outform", "DER", "-noindef"] if command == "-encrypt" else []
        subprocess.run(
            ["openssl", "cms", command, "-binary", *form, *options],
            cwd=self.folder,
            check=True,
            capture_output=True,
        )

    def put(self, holder: Holder) -> None:
        key = holder.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        (self.folder / "key.pem").write_bytes(key)
        certificate = holder.certificate.public_bytes(serialization.Encoding.PEM)
        (self.folder / "certificate.pem").write_bytes(certificate)


@pytest.fixture
def openssl(tmp_path: Path) -> OpenSsl:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl in PATH")
    return OpenSsl(tmp_path)


@pytest.mark.parametrize("cipher", ["aes128", "aes192", "aes256"])
@pytest.mark.parametrize(
    "options",
    [
        (),
        ("-keyopt", "rsa_padding_mode:oaep"),
        (
            *("-keyopt", "rsa_padding_mode:oaep", "-keyopt", "rsa_oaep_md:sha256"),
            *("-keyopt", "rsa_mgf1_md:sha1"),
        ),
    ],
    ids=["PKCS #1 v1.5", "OAEP", "OAEP with two digests"],
)
@pytest.mark.parametrize("named", [(), ("-keyid",)])
def test_openssl_transports_a_key_to_us(
    openssl: OpenSsl, rsa_holder: Holder, cipher: str, options: tuple[str, ...], named: tuple[str]
) -> None:
    openssl.put(rsa_holder)
    der = openssl.encrypt(f"-{cipher}", *named, "-recip", "certificate.pem", *options)
    assert decrypt(der, rsa_holder.recipient).octets == CONTENT


@pytest.mark.parametrize("oaep", [None, "sha1", "sha256", "sha512"])
def test_we_transport_a_key_to_openssl(
    openssl: OpenSsl, rsa_holder: Holder, oaep: str | None
) -> None:
    openssl.put(rsa_holder)
    der = seal(recipient.transport(KEY, rsa_holder.certificate, oaep))
    opened = openssl.decrypt(der, "-recip", "certificate.pem", "-inkey", "key.pem")
    assert opened == CONTENT


@pytest.mark.parametrize("kind", ["P-256", "P-384", "P-521"])
@pytest.mark.parametrize("scheme", ["std", "cofactor"])
@pytest.mark.parametrize("digest", ["sha1", "sha256", "sha512"])
def test_openssl_agrees_with_us(
    openssl: OpenSsl, pki: "Pki", kind: str, scheme: str, digest: str
) -> None:
    holder = Holder(pki, AGREEMENT_KEYS[kind]())
    openssl.put(holder)
    mode = "1" if scheme == "cofactor" else "0"
    der = openssl.encrypt(
        *("-aes256", "-recip", "certificate.pem"),
        *("-keyopt", f"ecdh_kdf_md:{digest}", "-keyopt", f"ecdh_cofactor_mode:{mode}"),
    )
    assert decrypt(der, holder.recipient).octets == CONTENT


@pytest.mark.parametrize("kind", ["P-256", "P-384", "P-521"])
@pytest.mark.parametrize("ukm", [None, b"user keying material"])
def test_we_agree_with_openssl(openssl: OpenSsl, pki: "Pki", kind: str, ukm: bytes | None) -> None:
    holder = Holder(pki, AGREEMENT_KEYS[kind]())
    openssl.put(holder)
    der = seal(recipient.agree(KEY, holder.certificate, AGREEMENT_KEYS[kind](), ukm=ukm))
    opened = openssl.decrypt(der, "-recip", "certificate.pem", "-inkey", "key.pem")
    assert opened == CONTENT


@pytest.mark.parametrize("cipher", ["aes128", "aes192", "aes256"])
def test_openssl_seals_for_our_secret(openssl: OpenSsl, cipher: str) -> None:
    der = openssl.encrypt(f"-{cipher}", "-pwri_password", "pass")
    assert decrypt(der, PasswordRecipient(SECRET)).octets == CONTENT


@pytest.mark.parametrize("length", [16, 24, 32])
def test_we_seal_for_the_secret_of_openssl(openssl: OpenSsl, length: int) -> None:
    key = bytes(range(length))
    info = recipient.password(key, SECRET, SALT, iterations=7, pwri_kek=NOISE)
    opened = openssl.decrypt(seal(info, key=key), "-pwri_password", "pass")
    assert opened == CONTENT


def test_the_holder_of_a_key_that_only_signs_has_no_part(pki: "Pki") -> None:
    holder = Holder(pki, ed25519.Ed25519PrivateKey.generate())
    with pytest.raises(LocalCmpError, match="needs a certificate for an RSA key"):
        recipient.transport(KEY, holder.certificate)
    with pytest.raises(LocalCmpError, match="of the originator's curve"):
        recipient.agree(KEY, holder.certificate, AGREEMENT_KEYS["X25519"]())
