"""The key package that a key generation authority sends: made, verified, tampered with."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, x25519
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyasn1.codec.der import decoder, encoder
from pyasn1_modules import rfc5652, rfc5958

from bulkcmp.cmp import algorithms, package
from bulkcmp.cmp.algorithms import PrivateKey, SigningKey
from bulkcmp.cmp.asn1 import (
    ObjectIdentifier,
    any_from,
    content,
    decode_sequence_of,
    encode,
    explicit,
    set_of,
    wrap,
)
from bulkcmp.cmp.checks import CheckError, Judgement, Reason, Verdict
from bulkcmp.cmp.recipient import recipient_identifier
from bulkcmp.cmp.trust import Trust, TrustStore, load_certificate
from bulkcmp.errors import RemoteCmpError

if TYPE_CHECKING:
    from tests.cmp.conftest import Party, Pki

KINDS = ["rsa", "ec", "ed25519", "ed448", "ml-dsa-44", "ml-dsa-65", "ml-dsa-87"]
DATA = encode(ObjectIdentifier("1.2.840.113549.1.7.1"))
KEY_PACKAGE = encode(ObjectIdentifier("2.16.840.1.101.2.1.2.78.5"))
CONTENT_TYPE = encode(ObjectIdentifier("1.2.840.113549.1.9.3"))
MESSAGE_DIGEST = encode(ObjectIdentifier("1.2.840.113549.1.9.4"))
SHA256 = algorithms.DIGEST_IDENTIFIERS["sha256"]


@pytest.fixture(scope="module")
def kga(pki: "Pki") -> "Party":
    return pki.certify("kga", pki.keys["ec"], pki.root, purposes=[package.CM_KGA])


def opened(pki: "Pki", der: bytes, *extra: bytes, trust: Trust | None = None) -> PrivateKey:
    return package.verify(der, trust or pki.trust(), extra, pki.at(), allow_weak=False)


def refused(pki: "Pki", der: bytes, *extra: bytes, trust: Trust | None = None) -> CheckError:
    with pytest.raises(CheckError) as raised:
        opened(pki, der, *extra, trust=trust)
    return raised.value


def public(key: PrivateKey) -> bytes:
    return algorithms.public_key_info(key)


# --- AsymmetricKeyPackage -------------------------------------------------------------------


@pytest.mark.parametrize("kind", [*KINDS, "ml-kem-768", "ml-kem-1024"])
def test_a_package_has_a_key_and_its_public_half(pki: "Pki", kind: str) -> None:
    key = {**pki.keys, **pki.kem_keys}[kind]
    der = package.encode_package(key)
    assert package.pkcs8_of(package.decode_package(der)) == pki.pkcs8(key)
    read, rest = decoder.decode(der, asn1Spec=rfc5958.AsymmetricKeyPackage())
    assert not rest
    assert encoder.encode(read) == der
    (one,) = read
    assert one["version"] == 1
    info = decode_sequence_of(public(key))
    assert encoder.encode(one["privateKeyAlgorithm"]) == encode(info[0])
    assert one["publicKey"].asOctets() == content(info[1])[1:]


def one_key(key: SigningKey, *more: bytes, version: int = 0) -> bytes:
    """DER OneAsymmetricKey."""
    _, *fields = decode_sequence_of(package.pkcs8_of(key))
    return wrap(0x30, encode(version), *map(encode, fields[:2]), *more)


def test_what_openssl_sends_in_place_of_a_package(pki: "Pki") -> None:
    key = pki.keys["ec"]
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    traditional = key.private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    for der in (traditional, pki.pkcs8(key)):
        assert package.pkcs8_of(package.decode_package(der)) == pki.pkcs8(key)


def test_packages_that_are_refused(pki: "Pki") -> None:
    key, other = pki.keys["ec"], pki.keys["ed25519"]
    attributes = wrap(0xA0, wrap(0x30, encode(ObjectIdentifier("1.2.3")), wrap(0x31, encode(1))))
    good = wrap(0x30, one_key(key, attributes))
    assert public(package.decode_package(good)) == public(key)
    agreement = x25519.X25519PrivateKey.generate().private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    for der, said in (
        (b"", "can't be read"),
        (b"\x30\x03\x02\x01\x00", "can't be read"),
        (agreement, "can't be read"),
        (wrap(0x30), "a key package with 0 keys"),
        (wrap(0x30, one_key(key), one_key(other)), "a key package with 2 keys"),
        (wrap(0x30, one_key(key, wrap(0x81, b"\0other"))), "the public key of another"),
        (wrap(0x30, wrap(0x30, encode(0), wrap(0x30), encode(b"?"))), "can't be read"),
    ):
        with pytest.raises(RemoteCmpError, match=said):
            package.decode_package(der)


# --- SignedData -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("digest", ["sha256", "sha512"])
def test_an_authority_signs_a_package(pki: "Pki", kind: str, digest: str) -> None:
    signer = pki.certify("kga", pki.keys[kind], pki.root, purposes=[package.CM_KGA])
    made = package.encode_package(pki.keys["ed25519"])
    der = package.sign(made, signer.key, (signer.certificate, pki.root.certificate), digest)
    assert public(opened(pki, der)) == public(pki.keys["ed25519"])
    read, rest = decoder.decode(der, asn1Spec=rfc5652.SignedData())
    assert not rest
    assert encoder.encode(read) == der
    assert read["version"] == 3
    assert read["encapContentInfo"]["eContentType"] == rfc5958.id_ct_KP_aKeyPackage
    assert bytes(read["encapContentInfo"]["eContent"]) == made
    assert len(read["certificates"]) == 2
    (info,) = read["signerInfos"]
    assert info["version"] == 3
    key_id = x509.SubjectKeyIdentifier.from_public_key(signer.key.public_key()).digest
    assert bytes(info["sid"]["subjectKeyIdentifier"]) == key_id
    assert len(info["signedAttrs"]) == 2


def test_each_check_is_told(pki: "Pki", kga: "Party") -> None:
    verdicts: list[Verdict] = []
    der = signed(pki, kga)
    package.verify(der, pki.trust(), (), pki.at(), allow_weak=False, witness=verdicts.append)
    assert [(one.reason, one.judgement) for one in verdicts] == [
        (Reason.KEY_SIGNATURE, Judgement.PASSED),
        (Reason.KGA_NOT_TRUSTED, Judgement.PASSED),
        (Reason.KEY_WEAK, Judgement.PASSED),
        (Reason.KEY_MALFORMED, Judgement.PASSED),
    ]


def signed(pki: "Pki", signer: "Party", *chain: bytes, key: str = "ed25519") -> bytes:
    made = package.encode_package(pki.keys[key])
    # EdDSA goes with it (RFC 8419, 3.1)
    digest = "sha512" if isinstance(signer.key, ed25519.Ed25519PrivateKey) else "sha256"
    return package.sign(made, signer.key, chain or (signer.certificate,), digest)


def test_the_authority_may_be_a_ca(pki: "Pki") -> None:
    root = pki.root
    assert public(opened(pki, signed(pki, root))) == public(pki.keys["ed25519"])
    sub = pki.certify("sub", pki.keys["rsa"], root, ca=True)
    assert public(opened(pki, signed(pki, sub))) == public(pki.keys["ed25519"])


def test_a_certificate_may_come_otherwise(pki: "Pki", kga: "Party") -> None:
    der = signed(pki, kga, pki.root.certificate)
    # it is named, and did not come along in the package; but in the message
    assert refused(pki, signed_without_certificates(pki, kga)).reason is Reason.KEY_SIGNATURE
    bare = signed_without_certificates(pki, kga)
    assert public(opened(pki, bare, b"garbage", kga.certificate)) == public(pki.keys["ed25519"])
    helped = TrustStore([pki.root.certificate], [kga.certificate])
    assert opened(pki, bare, trust=Trust(helped, helped))
    assert der != bare


def signed_without_certificates(pki: "Pki", signer: "Party") -> bytes:
    fields = decode_sequence_of(signed(pki, signer))
    return wrap(0x30, *(encode(one) for one in fields if one.tag_bytes != b"\xa0"))


def test_an_authority_without_key_identifier_is_named_by_issuer_and_serial(pki: "Pki") -> None:
    signer = pki.certify(
        "kga", pki.keys["ec"], pki.root, purposes=[package.CM_KGA], identified=False
    )
    read, _ = decoder.decode(signed(pki, signer), asn1Spec=rfc5652.SignedData())
    (info,) = read["signerInfos"]
    assert info["sid"].getName() == "issuerAndSerialNumber"
    # RFC 5652, 5.3 and 5.1
    assert (info["version"], read["version"]) == (1, 3)
    assert public(opened(pki, signed(pki, signer))) == public(pki.keys["ed25519"])


@pytest.mark.parametrize("purposes", [None, [x509.oid.ExtendedKeyUsageOID.SERVER_AUTH]])
def test_who_may_not_make_keys(pki: "Pki", purposes: Any) -> None:
    signer = pki.certify("someone", pki.keys["ec"], pki.root, purposes=purposes)
    error = refused(pki, signed(pki, signer))
    assert error.reason is Reason.KGA_NOT_TRUSTED
    assert "neither a CA nor has the extended key usage cmKGA" in error.what


def test_an_authority_of_another_root(pki: "Pki") -> None:
    foreign = pki.certify("root", pki.keys["rsa"], ca=True)
    stranger = pki.certify("kga", pki.keys["ec"], foreign, purposes=[package.CM_KGA])
    error = refused(pki, signed(pki, stranger, stranger.certificate, foreign.certificate))
    assert error.reason is Reason.KGA_NOT_TRUSTED
    assert "signed by CN=kga: no valid path" in error.what


def test_an_expired_authority(pki: "Pki") -> None:
    old = pki.certify("kga", pki.keys["ec"], pki.root, purposes=[package.CM_KGA], days=5)
    assert refused(pki, signed(pki, old)).reason is Reason.KGA_NOT_TRUSTED


def test_extensions_that_can_not_be_read_give_no_right(pki: "Pki") -> None:
    broken = x509.UnrecognizedExtension(x509.ExtendedKeyUsage.oid, b"\x30\x01")
    signer = pki.certify("kga", pki.keys["ec"], pki.root, extensions=[broken])
    assert not package._may_make_keys(load_certificate(signer.certificate))


def forged(
    signer: "Party",
    *,
    kind: bytes = KEY_PACKAGE,
    made: bytes | None = b"?",
    attributes: Callable[[bytes, bytes], list[bytes]] | None = None,
    infos: int = 1,
    digest: bytes = SHA256,
    signature_algorithm: bytes | None = None,
) -> bytes:
    """A SignedData whose signature is good."""
    value = encode(algorithms.hash_by(SHA256, made or b""))

    def usual(kind: bytes, value: bytes) -> list[bytes]:
        return [attribute(CONTENT_TYPE, kind), attribute(MESSAGE_DIGEST, value)]

    attrs = set_of(*(attributes or usual)(kind, value))
    algorithm = signature_algorithm or algorithms.signature_identifier(signer.key, "sha256")
    sid = recipient_identifier(load_certificate(signer.certificate))
    told = content(any_from(attrs))
    info = wrap(
        0x30,
        encode(3),
        sid,
        digest,
        wrap(0xA0, told) if told else b"",
        algorithm,
        encode(algorithms.sign(signer.key, "sha256", attrs)),
    )
    return wrap(
        0x30,
        encode(3),
        set_of(digest),
        wrap(0x30, kind, b"" if made is None else explicit(0, encode(made))),
        wrap(0xA0, signer.certificate),
        wrap(0x31, *[info] * infos),
    )


def attribute(oid: bytes, *values: bytes) -> bytes:
    return wrap(0x30, oid, wrap(0x31, *values))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"infos": 0}, "a SignedData with 0 signers"),
        ({"infos": 2}, "a SignedData with 2 signers"),
        ({"made": None}, "without a key package in it"),
        ({"kind": encode(ObjectIdentifier("1.2.3"))}, "without a key package in it"),
        ({"digest": wrap(0x30)}, "unknown digest algorithm"),
        ({"attributes": lambda kind, value: []}, "the signed contentType is not that"),
        (
            {"attributes": lambda kind, value: [attribute(MESSAGE_DIGEST, value)]},
            "the signed contentType is not that",
        ),
        (
            {
                "attributes": lambda kind, value: [
                    attribute(CONTENT_TYPE, DATA),
                    attribute(MESSAGE_DIGEST, value),
                ]
            },
            "the signed contentType is not that",
        ),
        (
            {
                "attributes": lambda kind, value: [
                    attribute(CONTENT_TYPE, kind, kind),
                    attribute(MESSAGE_DIGEST, value),
                ]
            },
            "the signed contentType is not that",
        ),
        (
            {"attributes": lambda kind, value: [attribute(CONTENT_TYPE, kind)]},
            "the signed messageDigest is not that",
        ),
        (
            {
                "attributes": lambda kind, value: [
                    attribute(CONTENT_TYPE, kind),
                    attribute(MESSAGE_DIGEST, encode(bytes(32))),
                ]
            },
            "the signed messageDigest is not that",
        ),
        ({"attributes": lambda kind, value: [wrap(0x30)]}, "a malformed signed attribute"),
        (
            {"attributes": lambda kind, value: [wrap(0x30, CONTENT_TYPE)]},
            "a malformed signed attribute",
        ),
        (
            {"signature_algorithm": algorithms.DIGEST_IDENTIFIERS["sha256"]},
            "unknown signature algorithm",
        ),
        (
            {"signature_algorithm": wrap(0x30, encode(ObjectIdentifier("1.2.840.113549.1.1.1")))},
            "a RSA signature, but the key is",
        ),
    ],
)
def test_signed_data_that_is_refused(
    pki: "Pki", kga: "Party", changes: dict[str, Any], said: str
) -> None:
    error = refused(pki, forged(kga, **changes))
    assert (error.reason, said in error.what) == (Reason.KEY_SIGNATURE, True), error.what


def test_a_package_that_is_no_key(pki: "Pki", kga: "Party") -> None:
    for kind in (KEY_PACKAGE, DATA):
        assert refused(pki, forged(kga, kind=kind)).reason is Reason.KEY_MALFORMED


def test_what_is_no_signed_data(pki: "Pki") -> None:
    assert refused(pki, b"").reason is Reason.KEY_SIGNATURE
    assert refused(pki, package.encode_package(pki.keys["ec"])).reason is Reason.KEY_SIGNATURE


def test_a_changed_signature(pki: "Pki", kga: "Party") -> None:
    der = bytearray(signed(pki, kga))
    der[-1] ^= 1
    assert refused(pki, bytes(der)).reason is Reason.KEY_SIGNATURE


def test_rsa_may_be_told_by_key_and_digest(pki: "Pki") -> None:
    signer = pki.certify("kga", pki.keys["rsa"], pki.root, purposes=[package.CM_KGA])
    rsa_encryption = wrap(0x30, encode(ObjectIdentifier("1.2.840.113549.1.1.1")), b"\5\0")
    der = forged(
        signer,
        made=package.encode_package(pki.keys["ed25519"]),
        signature_algorithm=rsa_encryption,
    )
    assert public(opened(pki, der)) == public(pki.keys["ed25519"])


@pytest.fixture(scope="module")
def good(pki: "Pki", kga: "Party") -> bytes:
    return signed(pki, kga)


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_whatever_a_signed_data_holds_it_is_verified_or_refused(
    pki: "Pki", good: bytes, data: st.DataObject
) -> None:
    der = bytearray(good)
    for _ in range(data.draw(st.integers(1, 4))):
        der[data.draw(st.integers(0, len(der) - 1))] = data.draw(st.integers(0, 255))
    try:
        package.verify(bytes(der), pki.trust(), (), pki.at(), allow_weak=False)
    except CheckError:
        return


# --- OpenSSL --------------------------------------------------------------------------------

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl in PATH")


def _pem(folder: Path, kga: "Party", root: "Party") -> None:
    (folder / "key.pem").write_bytes(
        kga.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    for name, der in (("kga", kga.certificate), ("root", root.certificate)):
        pem = load_certificate(der).public_bytes(serialization.Encoding.PEM)
        (folder / f"{name}.pem").write_bytes(pem)


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", "cms", *arguments], cwd=folder, check=True, capture_output=True)


@needs_openssl
# 3.0 has no EdDSA in CMS
@pytest.mark.parametrize("kind", ["rsa", "ec"])
def test_openssl_verifies_our_package(pki: "Pki", tmp_path: Path, kind: str) -> None:
    kga = pki.certify("kga", pki.keys[kind], pki.root, purposes=[package.CM_KGA])
    _pem(tmp_path, kga, pki.root)
    signed_data = encode(ObjectIdentifier("1.2.840.113549.1.7.2"))
    info = wrap(0x30, signed_data, explicit(0, signed(pki, kga)))
    (tmp_path / "signed").write_bytes(info)
    _openssl(
        tmp_path,
        *("-verify", "-in", "signed", "-inform", "DER", "-out", "package", "-binary"),
        *("-CAfile", "root.pem", "-purpose", "any", "-no_check_time"),
    )
    assert (tmp_path / "package").read_bytes() == package.encode_package(pki.keys["ed25519"])


@needs_openssl
@pytest.mark.parametrize("kind", ["rsa", "ec"])
@pytest.mark.parametrize("digest", ["sha256", "sha384"])
@pytest.mark.parametrize("named", [(), ("-keyid",)])
def test_we_verify_the_package_of_openssl(
    pki: "Pki", tmp_path: Path, kind: str, digest: str, named: tuple[str, ...]
) -> None:
    kga = pki.certify("kga", pki.keys[kind], pki.root, purposes=[package.CM_KGA])
    _pem(tmp_path, kga, pki.root)
    (tmp_path / "package").write_bytes(package.encode_package(pki.keys["ed25519"]))
    _openssl(
        tmp_path,
        *("-sign", "-in", "package", "-binary", "-nodetach", "-outform", "DER", "-out", "signed"),
        *("-signer", "kga.pem", "-inkey", "key.pem", "-md", digest, *named),
        *("-econtent_type", "2.16.840.1.101.2.1.2.78.5", "-noindef"),
    )
    der = content(decode_sequence_of((tmp_path / "signed").read_bytes())[1])
    assert public(opened(pki, der)) == public(pki.keys["ed25519"])
