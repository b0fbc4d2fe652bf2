"""Signatures, digests, MACs, and what certHash is made with."""

import hashlib
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa, x25519

from bulkcmp.cmp import algorithms
from bulkcmp.cmp.asn1 import decode_sequence_of, encode, wrap
from bulkcmp.errors import LocalCmpError, RemoteCmpError

if TYPE_CHECKING:
    from tests.cmp.conftest import Pki

KINDS = ["rsa", "ec", "ed25519", "ed448", "ml-dsa-44", "ml-dsa-65", "ml-dsa-87"]
DIGESTS = ["sha1", "sha224", "sha256", "sha384", "sha512"]


@pytest.mark.parametrize("digest", DIGESTS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_signature_is_good_for_its_data_alone(pki: "Pki", kind: str, digest: str) -> None:
    key = pki.keys[kind]
    identifier = algorithms.signature_identifier(key, digest)
    signature = algorithms.sign(key, digest, b"data")
    algorithms.verify(key.public_key(), identifier, signature, b"data")
    for wrong, data in ((signature, b"Data"), (b"", b"data"), (signature[:-1], b"data")):
        with pytest.raises(RemoteCmpError, match=r"^the signature is wrong$"):
            algorithms.verify(key.public_key(), identifier, wrong, data)


@pytest.mark.parametrize("kind", KINDS)
def test_identifiers_are_those_of_certificates(pki: "Pki", kind: str) -> None:
    certificate = pki.certify("CA", pki.keys[kind]).certificate
    in_certificate = encode(decode_sequence_of(certificate)[1])
    assert algorithms.signature_identifier(pki.keys[kind], "sha256") == in_certificate


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_survives_pkcs8(pki: "Pki", kind: str) -> None:
    key = pki.keys[kind]
    loaded = algorithms.load_signing_key(pki.pkcs8(key))
    assert algorithms.public_key_info(loaded) == algorithms.public_bytes(key.public_key())


@pytest.mark.parametrize("kind", KINDS)
def test_a_signature_of_another_key_type_is_refused(pki: "Pki", kind: str) -> None:
    other = "ec" if kind == "rsa" else "rsa"
    identifier = algorithms.signature_identifier(pki.keys[kind], "sha256")
    with pytest.raises(RemoteCmpError, match=r"signature, but the key is a \w+PublicKey$"):
        algorithms.verify(pki.keys[other].public_key(), identifier, b"", b"")


def test_an_rsa_signature_without_null_is_taken() -> None:
    key = rsa.generate_private_key(65537, 1024)
    without = wrap(0x30, encode(x509.ObjectIdentifier("1.2.840.113549.1.1.11")))
    signature = algorithms.sign(key, "sha256", b"data")
    algorithms.verify(key.public_key(), without, signature, b"data")


def test_an_unknown_signature_algorithm_is_refused(pki: "Pki") -> None:
    with pytest.raises(RemoteCmpError, match=r"^unknown signature algorithm 3000$"):
        algorithms.verify(pki.keys["ec"].public_key(), b"\x30\x00", b"", b"")


@pytest.mark.parametrize(("kind", "named"), [("rsa", "RSA"), ("ec", "ECDSA")])
def test_a_digest_that_does_not_go_with_the_key(pki: "Pki", kind: str, named: str) -> None:
    with pytest.raises(LocalCmpError, match=f"^digest 'sha3-256' does not go with {named}$"):
        algorithms.signature_identifier(pki.keys[kind], "sha3-256")


def test_keys_that_are_of_no_use(pki: "Pki") -> None:
    exchange = x25519.X25519PrivateKey.generate().private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    with pytest.raises(LocalCmpError, match=r"^X25519PrivateKey can't sign$"):
        algorithms.load_signing_key(exchange)
    encrypted = pki.keys["ec"].private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"x"),
    )
    for der in (encrypted, b"", b"\x30\x00"):
        with pytest.raises(
            LocalCmpError, match=r"^not an unencrypted PKCS#8 private key$"
        ) as error:
            algorithms.load_signing_key(der)
        assert error.value.__cause__ is None, "the codec's own text may quote the key"


@pytest.mark.parametrize("name", algorithms.DIGESTS)
def test_digests_are_known_with_null_and_without(name: str) -> None:
    without = algorithms.DIGEST_IDENTIFIERS[name]
    with_null = wrap(0x30, without[2:], b"\x05\x00")
    wanted = hashlib.new(name.replace("-", "_"), b"data").digest()
    assert algorithms.hash_by(without, b"data") == wanted
    assert algorithms.hash_by(with_null, b"data") == wanted


@pytest.mark.parametrize("name", algorithms.MACS)
def test_macs_are_known_with_null_and_without(name: str) -> None:
    without = algorithms.MAC_IDENTIFIERS[name]
    digest = algorithms.mac_digest_of(without)
    assert digest.replace("_", "-") == name.removeprefix("hmac-")
    assert algorithms.mac_digest_of(wrap(0x30, without[2:], b"\x05\x00")) == digest


def test_hmac_sha1_has_two_names() -> None:
    # 1.3.6.1.5.5.8.1.2 (RFC 4210) and 1.2.840.113549.2.7 (RFC 9481)
    for oid in ("300a06082b06010505080102", "300a06082a864886f70d0207"):
        assert algorithms.mac_digest_of(bytes.fromhex(oid)) == "sha1"


def test_unknown_digests_and_macs_are_refused() -> None:
    with pytest.raises(RemoteCmpError, match=r"^unknown digest algorithm 3000$"):
        algorithms.digest_of(b"\x30\x00")
    with pytest.raises(RemoteCmpError, match=r"^unknown MAC algorithm 3000$"):
        algorithms.mac_digest_of(b"\x30\x00")


@pytest.mark.parametrize(
    ("kind", "digest", "hashed", "identifier"),
    [
        ("rsa", hashes.SHA256(), "sha256", None),
        ("rsa", hashes.SHA384(), "sha384", None),
        ("rsa", hashes.SHA512(), "sha512", None),
        ("ec", hashes.SHA256(), "sha256", None),
        ("ec", hashes.SHA384(), "sha384", None),
        ("ec", hashes.SHA512(), "sha512", None),
        ("ed25519", None, "sha512", "300b0609608648016503040203"),
        ("ed448", None, "shake256", "300b060960864801650304020c"),
        ("ml-dsa-44", None, "sha512", "300b0609608648016503040203"),
        ("ml-dsa-65", None, "sha512", "300b0609608648016503040203"),
        ("ml-dsa-87", None, "sha512", "300b0609608648016503040203"),
    ],
)
def test_cert_hash_is_by_the_signatures_own_hash_or_says_which(
    pki: "Pki", kind: str, digest: hashes.SHA256, hashed: str, identifier: str | None
) -> None:
    der = pki.certify("x", pki.keys[kind], digest=digest).certificate
    digest_value, named = algorithms.certificate_hash(x509.load_der_x509_certificate(der), der)
    if hashed == "shake256":
        assert digest_value == hashlib.shake_256(der).digest(64)
    else:
        assert digest_value == hashlib.new(hashed, der).digest()
    assert (None if named is None else named.hex()) == identifier
    if named is not None:
        assert algorithms.hash_by(named, der) == digest_value


def test_cert_hash_of_an_unknown_signature_says_which_it_is(pki: "Pki") -> None:
    ecdsa_with_sha256 = bytes.fromhex("06082a8648ce3d040302")
    der = pki.root.certificate.replace(ecdsa_with_sha256, ecdsa_with_sha256[:-1] + b"\x7f")
    digest, named = algorithms.certificate_hash(x509.load_der_x509_certificate(der), der)
    assert digest == hashlib.sha512(der).digest()
    assert named == algorithms.DIGEST_IDENTIFIERS["sha512"]
