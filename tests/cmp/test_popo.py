"""Proof of possession."""

from typing import TYPE_CHECKING

import pytest

from bulkcmp.cmp import algorithms, popo
from bulkcmp.cmp.asn1 import (
    ObjectIdentifier,
    decode,
    decode_sequence_of,
    encode,
    explicit,
    wrap,
)
from bulkcmp.cmp.messages import CertReqMsg
from bulkcmp.errors import LocalCmpError, RemoteCmpError
from bulkcmp.model import Popo, RsaPadding

if TYPE_CHECKING:
    from tests.cmp.conftest import Pki

KINDS = ["rsa", "ec", "ed25519", "ed448", "ml-dsa-44", "ml-dsa-65", "ml-dsa-87"]
SENDER = explicit(4, b"\x30\x00")


def _cert_request(public_key: bytes | None, number: int = 0) -> bytes:
    template = wrap(0x30, b"" if public_key is None else b"\xa6" + public_key[1:])
    return wrap(0x30, encode(number), template)


def _request(cert_request: bytes, proof: bytes = b"") -> CertReqMsg:
    return decode(CertReqMsg, wrap(0x30, cert_request, proof))


def _signature(algorithm: bytes, value: bytes, key_input: bytes = b"") -> bytes:
    return wrap(0xA1, key_input, algorithm, wrap(0x03, b"\0", value))


@pytest.mark.parametrize("kind", KINDS)
def test_a_signature_proves_possession_of_the_key_in_the_template(pki: "Pki", kind: str) -> None:
    key = pki.keys[kind]
    cert_request = _cert_request(algorithms.public_key_info(key))
    proof = popo.prove(cert_request, key, "sha256", Popo.SIGNATURE)
    assert popo.check(_request(cert_request, proof), SENDER) is Popo.SIGNATURE
    other = pki.keys["ec" if kind == "rsa" else "rsa"]
    with pytest.raises(RemoteCmpError):
        popo.check(_request(_cert_request(algorithms.public_key_info(other)), proof), SENDER)
    changed = _cert_request(algorithms.public_key_info(key), number=1)
    with pytest.raises(RemoteCmpError, match=r"^the signature is wrong$"):
        popo.check(_request(changed, proof), SENDER)


@pytest.mark.parametrize("kind", ["ml-kem-768", "ml-kem-1024"])
def test_a_kem_key_proves_nothing_by_a_signature(pki: "Pki", kind: str) -> None:
    key = pki.kem_keys[kind]
    cert_request = _cert_request(algorithms.public_key_info(key))
    with pytest.raises(LocalCmpError, match=r"can't sign: no proof of possession by signature$"):
        popo.prove(cert_request, key, "sha256", Popo.SIGNATURE)
    proof = popo.prove(cert_request, key, "sha256", Popo.RA_VERIFIED)
    assert popo.check(_request(cert_request, proof), SENDER) is Popo.RA_VERIFIED


def test_ra_verified_proves_nothing_by_itself(pki: "Pki") -> None:
    cert_request = _cert_request(algorithms.public_key_info(pki.keys["ec"]))
    proof = popo.prove(cert_request, pki.keys["ec"], "sha256", Popo.RA_VERIFIED)
    assert proof == b"\x80\x00"
    assert popo.check(_request(cert_request, proof), SENDER) is Popo.RA_VERIFIED


def test_no_proof_is_refused() -> None:
    with pytest.raises(RemoteCmpError, match=r"^no proof of possession$"):
        popo.check(_request(_cert_request(None)), SENDER)


ENCR_CERT = b"\x81\x01\x00"
INDIRECT = {
    "rsa": Popo.KEY_ENCIPHERMENT,
    "ml-kem-768": Popo.KEY_ENCIPHERMENT,
    "ml-kem-1024": Popo.KEY_ENCIPHERMENT,
    "ec": Popo.KEY_AGREEMENT,
}
TAGS = {Popo.KEY_ENCIPHERMENT: 2, Popo.KEY_AGREEMENT: 3}


@pytest.mark.parametrize("kind", INDIRECT)
def test_the_indirect_method_asks_for_an_encrypted_certificate(pki: "Pki", kind: str) -> None:
    key = pki.kem_keys[kind] if kind in pki.kem_keys else pki.keys[kind]
    method = INDIRECT[kind]
    cert_request = _cert_request(algorithms.public_key_info(key))
    proof = popo.prove(cert_request, key, "sha256", method)
    assert proof == explicit(TAGS[method], ENCR_CERT)
    assert popo.check(_request(cert_request, proof), SENDER) is method


@pytest.mark.parametrize(
    ("kind", "method"),
    [
        ("ec", Popo.KEY_ENCIPHERMENT),
        ("ed25519", Popo.KEY_ENCIPHERMENT),
        ("ml-dsa-44", Popo.KEY_ENCIPHERMENT),
        ("rsa", Popo.KEY_AGREEMENT),
        ("ed448", Popo.KEY_AGREEMENT),
        ("ml-kem-768", Popo.KEY_AGREEMENT),
    ],
)
def test_the_indirect_method_is_for_some_keys(pki: "Pki", kind: str, method: Popo) -> None:
    key = pki.kem_keys[kind] if kind in pki.kem_keys else pki.keys[kind]
    cert_request = _cert_request(algorithms.public_key_info(key))
    with pytest.raises(LocalCmpError, match=f"has no proof of possession by {method}$"):
        popo.prove(cert_request, key, "sha256", method)
    with pytest.raises(RemoteCmpError, match=f"by {method} is not for this type of key$"):
        popo.check(_request(cert_request, explicit(TAGS[method], ENCR_CERT)), SENDER)


@pytest.mark.parametrize(
    "proof",
    [b"\x81\x01\x01", b"\x81\x01\x02", b"\x82\x00", b"\x80\x01\x00", b"\xa4\x00", b"\x05\x00"],
)
def test_other_proofs_of_keys_that_do_not_sign_are_refused(pki: "Pki", proof: bytes) -> None:
    cert_request = _cert_request(algorithms.public_key_info(pki.keys["rsa"]))
    with pytest.raises(RemoteCmpError, match=r"by keyEncipherment other than encrCert$"):
        popo.check(_request(cert_request, explicit(2, proof)), SENDER)
    with pytest.raises(RemoteCmpError, match=r"without a public key$"):
        popo.check(_request(_cert_request(None), explicit(2, proof)), SENDER)


def test_a_signature_without_a_key_in_the_template_is_refused() -> None:
    proof = _signature(algorithms.DIGEST_IDENTIFIERS["sha256"], b"")
    with pytest.raises(RemoteCmpError, match=r"^proof of possession without a public key$"):
        popo.check(_request(_cert_request(None), proof), SENDER)


def test_a_key_that_can_not_be_read_is_refused() -> None:
    nonsense = wrap(0x30, b"\x30\x03\x06\x01\x2a", b"\x03\x01\x00")
    proof = _signature(algorithms.DIGEST_IDENTIFIERS["sha256"], b"")
    with pytest.raises(RemoteCmpError, match=r"^the public key can't be read: "):
        popo.check(_request(_cert_request(nonsense), proof), SENDER)


def test_a_signature_of_odd_bits_is_refused(pki: "Pki") -> None:
    cert_request = _cert_request(algorithms.public_key_info(pki.keys["ec"]))
    algorithm = algorithms.signature_identifier(pki.keys["ec"], "sha256")
    proof = wrap(0xA1, algorithm, b"\x03\x02\x04\xf0")
    with pytest.raises(RemoteCmpError, match=r"not a whole number of octets$"):
        popo.check(_request(cert_request, proof), SENDER)


def _with_input(pki: "Pki", *elements: bytes) -> CertReqMsg:
    """A proof over a POPOSigningKeyInput of these elements (RFC 4211, 4.1)."""
    key = pki.keys["ec"]
    cert_request = _cert_request(algorithms.public_key_info(key))
    signed = wrap(0x30, *elements)
    value = algorithms.sign(key, "sha256", signed)
    algorithm = algorithms.signature_identifier(key, "sha256")
    return _request(cert_request, _signature(algorithm, value, b"\xa0" + signed[1:]))


def test_a_signing_key_input_is_signed_in_place_of_the_request(pki: "Pki") -> None:
    public_key = algorithms.public_key_info(pki.keys["ec"])
    named = wrap(0xA0, SENDER)
    assert popo.check(_with_input(pki, named, public_key), SENDER) is Popo.SIGNATURE
    assert popo.check(_with_input(pki, named, public_key), None) is Popo.SIGNATURE
    with pytest.raises(RemoteCmpError, match=r"^POPOSigningKeyInput names another sender$"):
        popo.check(_with_input(pki, named, public_key), b"\x82\x02ca")
    other = algorithms.public_key_info(pki.keys["rsa"])
    for elements in ((named, other), (named,), (named, public_key, named), ()):
        with pytest.raises(RemoteCmpError, match=r"another public key than the template$"):
            popo.check(_with_input(pki, *elements), SENDER)


def test_a_signing_key_input_over_another_request_is_refused(pki: "Pki") -> None:
    key = pki.keys["ec"]
    cert_request = _cert_request(algorithms.public_key_info(key))
    proof = popo.prove(cert_request, key, "sha256", Popo.SIGNATURE)
    elements = (wrap(0xA0, SENDER), algorithms.public_key_info(key))
    moved = b"\xa0" + wrap(0x30, *elements)[1:]
    spliced = wrap(0xA1, moved, *map(encode, decode_sequence_of(b"\x30" + proof[1:])))
    with pytest.raises(RemoteCmpError, match=r"^the signature is wrong$"):
        popo.check(_request(cert_request, spliced), SENDER)


def test_a_key_for_pss_proves_nothing_by_another_scheme(pki: "Pki") -> None:
    key = pki.keys["rsa"]
    _, bits = decode_sequence_of(algorithms.public_key_info(key))
    pss = encode(ObjectIdentifier("1.2.840.113549.1.1.10"))
    cert_request = _cert_request(wrap(0x30, wrap(0x30, pss), encode(bits)))
    good = popo.prove(cert_request, key, "sha256", Popo.SIGNATURE, RsaPadding.PSS)
    assert popo.check(_request(cert_request, good), SENDER) is Popo.SIGNATURE
    bad = popo.prove(cert_request, key, "sha256", Popo.SIGNATURE)
    with pytest.raises(RemoteCmpError, match=r"^the key is for RSASSA-PSS only"):
        popo.check(_request(cert_request, bad), SENDER)
