"""Signatures, digests, MACs, and what certHash is made with."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, x25519
from hypothesis import given, settings
from hypothesis import strategies as st
from pyasn1.codec.der import decoder, encoder
from pyasn1_modules import rfc4055

from bulkcmp.cmp import algorithms
from bulkcmp.cmp.algorithms import AlgorithmError, Pss
from bulkcmp.cmp.asn1 import decode_sequence_of, encode, explicit, wrap
from bulkcmp.errors import LocalCmpError, RemoteCmpError
from bulkcmp.model import RsaPadding

if TYPE_CHECKING:
    from tests.cmp.conftest import Pki

KINDS = ["rsa", "ec", "ed25519", "ed448", "ml-dsa-44", "ml-dsa-65", "ml-dsa-87"]


@pytest.mark.parametrize("digest", algorithms.DIGESTS)
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


@pytest.mark.parametrize("digest", sorted(algorithms.DIGESTS.keys() - {"sha1"}))
@pytest.mark.parametrize("kind", ["rsa", "ec"])
def test_identifiers_are_those_of_requests_by_any_digest(
    pki: "Pki", kind: str, digest: str
) -> None:
    key = pki.keys[kind]
    assert isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey)
    builder = x509.CertificateSigningRequestBuilder(x509.Name([]))
    signed = builder.sign(
        key,
        algorithms.DIGESTS[digest](),  # type: ignore[arg-type]  # SHA-1 is left out above
    )
    in_request = decode_sequence_of(signed.public_bytes(serialization.Encoding.DER))[1]
    identifier = algorithms.signature_identifier(key, digest)
    assert identifier == encode(in_request)
    algorithms.verify(key.public_key(), identifier, signed.signature, signed.tbs_certrequest_bytes)


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


@pytest.mark.parametrize("scheme", list(RsaPadding))
def test_what_is_a_signature_algorithm_is_known(pki: "Pki", scheme: RsaPadding) -> None:
    for key in pki.keys.values():
        assert algorithms.is_signature(algorithms.signature_identifier(key, "sha256", scheme))
    assert not algorithms.is_signature(algorithms.MAC_IDENTIFIERS["hmac-sha256"])
    # parameters that can't be used
    assert not algorithms.is_signature(wrap(0x30, PSS, b"\x30\x02\x05\x00"))


def test_keys_that_are_of_no_use(pki: "Pki") -> None:
    exchange = x25519.X25519PrivateKey.generate().private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    with pytest.raises(LocalCmpError, match=r"^X25519PrivateKey is no key for CMP$"):
        algorithms.load_private_key(exchange)
    with pytest.raises(LocalCmpError, match=r"^X25519PrivateKey can't sign$"):
        algorithms.load_signing_key(exchange)
    kem = pki.pkcs8(pki.kem_keys["ml-kem-768"])
    assert isinstance(algorithms.load_private_key(kem), algorithms.KemKey)
    with pytest.raises(LocalCmpError, match=r"^MLKEM768PrivateKey can't sign$"):
        algorithms.load_signing_key(kem)
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


def test_the_numbers_of_an_rsa_key_are_checked_where_it_is_not_ours(pki: "Pki") -> None:
    good = pki.keys["rsa"]
    assert isinstance(good, rsa.RSAPrivateKey)
    numbers = good.private_numbers()
    wrong = rsa.RSAPrivateNumbers(
        numbers.p, numbers.q, numbers.d, numbers.dmp1, numbers.dmq1, numbers.iqmp + 1,
        numbers.public_numbers,
    ).private_key(unsafe_skip_rsa_key_validation=True)  # fmt: skip
    assert algorithms.load_private_key(pki.pkcs8(good), is_ours=False)
    with pytest.raises(LocalCmpError, match="not an unencrypted PKCS#8 private key"):
        algorithms.load_private_key(pki.pkcs8(wrong), is_ours=False)


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


# --- RSASSA-PSS ---------------------------------------------------------------------------------

PSS_FOLDER = Path(__file__).parent.parent / "vectors" / "pss"
PSS = encode(x509.ObjectIdentifier("1.2.840.113549.1.1.10"))
MGF1 = encode(x509.ObjectIdentifier("1.2.840.113549.1.1.8"))
NULL = b"\x05\x00"


def _vector(name: str) -> tuple[x509.Certificate, bytes]:
    """A self-signed certificate of OpenSSL's, and the AlgorithmIdentifier of its signature."""
    der = (PSS_FOLDER / f"{name}.der").read_bytes()
    return x509.load_der_x509_certificate(der), encode(decode_sequence_of(der)[1])


@pytest.mark.parametrize(
    ("name", "hashed", "scheme"),
    [
        ("default", "sha1", None),
        ("mixed", "sha256", None),
        ("any", "sha512", RsaPadding.PSS),
        ("sha384", "sha384", Pss("sha384", "sha1", 20)),
    ],
)
def test_a_pss_signature_of_openssl(name: str, hashed: str, scheme: RsaPadding | Pss) -> None:
    certificate, identifier = _vector(name)
    public_key, signed = certificate.public_key(), certificate.tbs_certificate_bytes
    assert algorithms.scheme_of(certificate) == scheme
    key_identifier = algorithms.pss_key_identifier(certificate)
    assert (key_identifier is None) is (scheme is None)
    algorithms.verify(
        public_key, identifier, certificate.signature, signed, key_identifier=key_identifier
    )
    with pytest.raises(RemoteCmpError, match=r"^the signature is wrong$"):
        algorithms.verify(public_key, identifier, certificate.signature, signed[:-1])
    der = (PSS_FOLDER / f"{name}.der").read_bytes()
    digest, named = algorithms.certificate_hash(certificate, der)
    assert (digest, named) == (hashlib.new(hashed, der).digest(), None)


@pytest.mark.parametrize("name", ["default", "mixed", "any"])
def test_a_pss_signature_is_good_under_its_parameters_alone(name: str) -> None:
    certificate, _ = _vector(name)
    for other in {"default", "mixed", "any"} - {name}:
        with pytest.raises(RemoteCmpError, match=r"^the signature is wrong$"):
            algorithms.verify(
                certificate.public_key(),
                _vector(other)[1],
                certificate.signature,
                certificate.tbs_certificate_bytes,
            )


@pytest.mark.parametrize("digest", algorithms.DIGESTS)
def test_our_own_pss_is_that_of_a_certificate(pki: "Pki", digest: str) -> None:
    key = pki.keys["rsa"]
    assert isinstance(key, rsa.RSAPrivateKey)
    identifier = algorithms.signature_identifier(key, digest, RsaPadding.PSS)
    theirs = rfc4055.RSASSA_PSS_params()
    parameters, rest = decoder.decode(encode(decode_sequence_of(identifier)[1]), asn1Spec=theirs)
    assert rest == b""
    size = hashlib.new(digest).digest_size
    assert int(parameters["saltLength"]) == size
    assert int(parameters["trailerField"]) == 1
    if digest == "sha1":
        assert identifier == wrap(0x30, PSS, b"\x30\x00")
    else:
        named = wrap(0x30, algorithms.DIGEST_IDENTIFIERS[digest][2:], NULL)
        assert encoder.encode(parameters["hashAlgorithm"])[2:] == named
        assert encoder.encode(parameters["maskGenAlgorithm"])[2:] == wrap(0x30, MGF1, named)
    signature = algorithms.sign(key, digest, b"data", RsaPadding.PSS)
    algorithms.verify(key.public_key(), identifier, signature, b"data")
    # cryptography's own reading of the same
    scheme = padding.PSS(padding.MGF1(algorithms.DIGESTS[digest]()), size)
    key.public_key().verify(signature, b"data", scheme, algorithms.DIGESTS[digest]())
    for wrong, data in ((signature, b"Data"), (b"", b"data"), (signature[:-1], b"data")):
        with pytest.raises(RemoteCmpError, match=r"^the signature is wrong$"):
            algorithms.verify(key.public_key(), identifier, wrong, data)
    ec_key = pki.keys["ec"]
    with pytest.raises(RemoteCmpError, match=r"^a RSASSA-PSS signature, but the key is a EC"):
        algorithms.verify(ec_key.public_key(), identifier, signature, b"data")


@settings(max_examples=60, deadline=None)
@given(
    digest=st.sampled_from(sorted(algorithms.DIGESTS)),
    mask=st.sampled_from(sorted(algorithms.DIGESTS)),
    salt=st.integers(0, 150),
)
def test_any_pss_comes_back_from_its_identifier(
    pki: "Pki", digest: str, mask: str, salt: int
) -> None:
    key, scheme = pki.keys["rsa"], Pss(digest, mask, salt)
    identifier = algorithms.signature_identifier(key, "sha256", scheme)
    signature = algorithms.sign(key, "sha256", b"data", scheme)
    algorithms.verify(key.public_key(), identifier, signature, b"data", key_identifier=identifier)


def test_a_key_that_does_not_sign_by_rsa_has_no_padding(pki: "Pki") -> None:
    for kind in KINDS[1:]:
        key = pki.keys[kind]
        plain = algorithms.signature_identifier(key, "sha256")
        assert algorithms.signature_identifier(key, "sha256", RsaPadding.PSS) == plain
        signature = algorithms.sign(key, "sha256", b"data", RsaPadding.PSS)
        algorithms.verify(key.public_key(), plain, signature, b"data")


def test_a_key_that_is_too_short_for_its_salt() -> None:
    key = rsa.generate_private_key(65537, 1024)
    fits = Pss("sha512", "sha512", 62)
    algorithms.signature_identifier(key, "sha512", fits)
    assert algorithms.sign(key, "sha512", b"data", fits)
    with pytest.raises(LocalCmpError, match=r"^an RSA key of 1024 bits is too short .* 64 octets$"):
        algorithms.signature_identifier(key, "sha512", RsaPadding.PSS)


SHA256 = algorithms.DIGEST_IDENTIFIERS["sha256"]


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ((), "unknown signature algorithm"),
        ((NULL,), "RSASSA-PSS with malformed parameters"),
        ((b"\x30\x00", NULL), "unknown signature algorithm"),
        ((wrap(0x30, explicit(0, b"\x30\x00")),), "unknown digest algorithm"),
        ((wrap(0x30, explicit(1, SHA256)),), "unknown mask generation function"),
        ((wrap(0x30, explicit(1, wrap(0x30, MGF1))),), "unknown mask generation function"),
        ((wrap(0x30, explicit(1, wrap(0x30, SHA256[2:], SHA256))),), "unknown mask generation"),
        ((wrap(0x30, explicit(1, wrap(0x30, MGF1, NULL))),), "unknown digest algorithm"),
        ((wrap(0x30, explicit(2, encode(-1))),), "RSASSA-PSS with a salt of -1 octets"),
        ((wrap(0x30, explicit(2, encode(2049))),), "RSASSA-PSS with a salt of 2049 octets"),
        ((wrap(0x30, explicit(2, encode(1 << 20_000))),), "RSASSA-PSS with malformed parameters"),
        ((wrap(0x30, explicit(3, encode(2))),), "RSASSA-PSS with trailerField 2"),
    ],
)
def test_pss_parameters_that_are_of_no_use(
    pki: "Pki", parameters: tuple[bytes, ...], said: str
) -> None:
    identifier = wrap(0x30, PSS, *parameters)
    with pytest.raises(AlgorithmError, match=f"^{said}"):
        algorithms.verify(pki.keys["rsa"].public_key(), identifier, b"x", b"")


def test_pss_defaults_may_be_spelled_out(pki: "Pki") -> None:
    key = pki.keys["rsa"]
    sha1 = algorithms.DIGEST_IDENTIFIERS["sha1"]
    spelled = wrap(
        0x30,
        explicit(0, sha1),
        explicit(1, wrap(0x30, MGF1, sha1)),
        explicit(2, encode(20)),
        explicit(3, encode(1)),
    )
    signature = algorithms.sign(key, "sha1", b"data", RsaPadding.PSS)
    algorithms.verify(key.public_key(), wrap(0x30, PSS, spelled), signature, b"data")


@pytest.mark.parametrize("bits", [8, 64, 512])
@pytest.mark.parametrize("scheme", [Pss("sha512", "sha512", 2000), RsaPadding.PKCS1])
def test_no_key_is_too_short_to_be_refused(bits: int, scheme: RsaPadding | Pss) -> None:
    key = rsa.RSAPublicNumbers(3, (1 << bits) - 1).public_key()
    identifier = (
        scheme.identifier()
        if isinstance(scheme, Pss)
        else algorithms.signature_identifier(rsa.generate_private_key(65537, 1024), "sha512")
    )
    for signature in (b"", bytes(bits // 8), b"\xff" * (bits // 8), bytes(100_000)):
        with pytest.raises(RemoteCmpError, match=r"^the signature is wrong$"):
            algorithms.verify(key, identifier, signature, b"data")


def test_a_key_for_pss_makes_no_other_signature(pki: "Pki") -> None:
    any_pss, sha384 = (
        algorithms.pss_key_identifier(_vector(name)[0]) for name in ("any", "sha384")
    )
    assert any_pss is not None
    assert sha384 is not None
    key = pki.keys["rsa"]
    plain = algorithms.signature_identifier(key, "sha384")
    for wanted in (any_pss, sha384):
        with pytest.raises(RemoteCmpError, match=r"^the key is for RSASSA-PSS only"):
            algorithms.verify(key.public_key(), plain, b"", b"", key_identifier=wanted)
    for used, good in (
        (Pss("sha384", "sha1", 20), True),
        (Pss("sha384", "sha1", 48), True),
        (Pss("sha384", "sha1", 19), False),
        (Pss("sha384", "sha384", 48), False),
        (Pss("sha256", "sha1", 20), False),
    ):
        algorithms.check_key_use(any_pss, used.identifier())
        if good:
            algorithms.check_key_use(sha384, used.identifier())
        else:
            with pytest.raises(RemoteCmpError, match=r"^the key is for RSASSA-PSS with sha384, "):
                algorithms.check_key_use(sha384, used.identifier())
    for other in (b"\x30\x00", wrap(0x30, SHA256[2:], NULL)):
        algorithms.check_key_use(other, plain)


def test_the_digest_of_a_key_is_what_cas_identify_it_by(pki: "Pki") -> None:
    for key in pki.keys.values():
        public = key.public_key()
        known = x509.SubjectKeyIdentifier.from_public_key(public)
        assert algorithms.key_digest(public) == known.digest


def test_a_raw_key_of_a_wrong_length_is_no_key() -> None:
    # Ed448 (RFC 8410, 7) with the 32 octets of an Ed25519 key
    der = bytes.fromhex("302e020100300506032b657104220420") + bytes(32)
    for is_ours in (True, False):
        with pytest.raises(LocalCmpError, match="not an unencrypted PKCS#8 private key"):
            algorithms.load_private_key(der, is_ours=is_ours)
