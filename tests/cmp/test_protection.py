"""Password-based MAC and signature over a message; the vectors' MACs are in test_vectors.py."""

import hashlib
import hmac
import itertools
import math
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st
from pyasn1.codec.der import decoder, encoder
from pyasn1_modules import rfc5280, rfc8018

from bulkcmp.cmp import algorithms, protection
from bulkcmp.cmp.asn1 import (
    TLV,
    ObjectIdentifier,
    any_from,
    decode,
    decode_sequence_of,
    encode,
    wrap,
)
from bulkcmp.cmp.messages import BodyType, decode_message
from bulkcmp.cmp.protection import Derivation, MacParameters
from bulkcmp.errors import RemoteCmpError
from bulkcmp.model import PasswordMac, Profile, Secret

if TYPE_CHECKING:
    from tests.cmp.conftest import Answer, Peer, Pki

SECRET = Secret(b"secret")


@pytest.fixture
def answer(pki: "Pki", peer: "Peer") -> "Answer":
    name = b"\xa4\x02\x30\x00"
    request = wrap(0x30, wrap(0x30, encode(2), name, name), b"\xb3\x02\x05\x00")
    return peer.answer(request, BodyType.PKICONF, b"\x05\x00", pki.signer.subject)


@pytest.mark.parametrize("owf", ["sha1", "sha224", "sha256", "sha384", "sha512", "sha3-256"])
@pytest.mark.parametrize("iterations", [1, 2, 500])
def test_the_key_is_the_one_way_function_applied_over_and_over(owf: str, iterations: int) -> None:
    name = owf.replace("-", "_")
    key = b"secret" + b"salt"
    for _ in range(iterations):
        key = hashlib.new(name, key).digest()
    assert protection.derive(Derivation(SECRET, b"salt", name, iterations)) == key


def test_equal_derivations_are_one_cache_key_and_show_no_secret() -> None:
    one, other = (Derivation(Secret(b"secret"), b"salt", "sha256", 5) for _ in range(2))
    assert len({one, other, Derivation(Secret(b"Secret"), b"salt", "sha256", 5)}) == 2
    assert "secret" not in repr(one).replace("secret=", "")


@pytest.mark.parametrize("owf", algorithms.DIGESTS)
@pytest.mark.parametrize("mac", algorithms.MACS)
def test_our_parameters_come_back_from_the_wire(owf: str, mac: str) -> None:
    chosen = MacParameters.choose(b"salt", owf=owf, iterations=77, mac=mac)
    assert protection.parameters_of(decode_sequence_of(chosen.identifier)) == chosen
    assert chosen.digest == owf.replace("-", "_")


@pytest.mark.parametrize("names", [{"owf": "md5"}, {"mac": "hmac-md5"}])
def test_names_that_are_no_algorithm(names: dict[str, str]) -> None:
    with pytest.raises(KeyError):
        MacParameters.choose(b"salt", owf=names.get("owf", "sha1"), mac=names.get("mac", "?"))


def test_parameters_of_a_profile() -> None:
    profile = Profile(
        password_mac=PasswordMac.PBMAC1, digest="sha384", pbm_iterations=7, mac="hmac-sha512"
    )
    for kind in PasswordMac:
        asked = replace(profile, password_mac=kind)
        assert MacParameters.of(asked, b"salt") == MacParameters.choose(
            b"salt", kind=kind, owf="sha384", iterations=7, mac="hmac-sha512"
        )


def test_the_ceiling_is_the_users_and_the_error_says_so() -> None:
    algorithm = decode_sequence_of(MacParameters.choose(b"salt", iterations=101).identifier)
    assert protection.parameters_of(algorithm, max_iterations=101) is not None
    with pytest.raises(RemoteCmpError, match=r"accepted are 1 to 100$") as caught:
        protection.parameters_of(algorithm, max_iterations=100)
    assert caught.value.hint is not None
    assert "--max-pbm-iterations" in caught.value.hint


def test_what_is_no_password_based_mac() -> None:
    assert protection.parameters_of([]) is None
    signature = algorithms.DIGEST_IDENTIFIERS["sha256"]
    assert protection.parameters_of(decode_sequence_of(signature)) is None


def test_a_mac_is_good_for_its_message_and_key_alone(answer: "Answer", peer: "Peer") -> None:
    message = decode_message(answer.macced())
    parameters = protection.mac_parameters(message)
    assert parameters == peer.peer_mac
    assert protection.algorithm_of(message) == parameters.identifier
    key = protection.derive(parameters.derivation(peer.secret))
    protection.check_mac(message, parameters, key)
    unprotected = decode_message(answer.plain(algorithm=parameters.identifier))
    changed = decode_message(
        answer.plain(algorithm=parameters.identifier, value=message.protection).replace(
            b"\xb3\x02\x05\x00", b"\xb3\x02\x04\x00"
        )
    )
    for bad, with_key in ((message, b"another key"), (unprotected, key), (changed, key)):
        with pytest.raises(RemoteCmpError, match=r"^the MAC is wrong: "):
            protection.check_mac(bad, parameters, with_key)


@pytest.mark.parametrize("kind", ["rsa", "ec", "ed25519", "ed448", "ml-dsa-44"])
def test_a_signature_is_checked_by_the_signers_key(answer: "Answer", pki: "Pki", kind: str) -> None:
    party = pki.certify("signer", pki.keys[kind])
    certificate = x509.load_der_x509_certificate(party.certificate)
    message = decode_message(answer.signed(party))
    assert protection.mac_parameters(message) is None
    protection.check_signature(message, certificate)
    stranger = x509.load_der_x509_certificate(pki.stranger.certificate)
    with pytest.raises(RemoteCmpError):
        protection.check_signature(message, stranger)


def test_no_protection_is_no_signature(answer: "Answer", pki: "Pki") -> None:
    certificate = x509.load_der_x509_certificate(pki.signer.certificate)
    algorithm = algorithms.signature_identifier(pki.signer.key, "sha256")
    for der in (answer.plain(), answer.plain(value=b"x"), answer.plain(algorithm=algorithm)):
        message = decode_message(der)
        with pytest.raises(RemoteCmpError, match=r"^the message is not protected$"):
            protection.check_signature(message, certificate)
    assert protection.algorithm_of(decode_message(answer.plain())) is None


def test_a_signers_key_that_can_not_be_read(answer: "Answer", pki: "Pki") -> None:
    prime256v1 = bytes.fromhex("06082a8648ce3d030107")
    unknown_curve = pki.signer.certificate.replace(prime256v1, prime256v1[:-1] + b"\x7f")
    certificate = x509.load_der_x509_certificate(unknown_curve)
    with pytest.raises(RemoteCmpError, match=r"^the signer's public key can't be read: "):
        protection.check_signature(decode_message(answer.signed(pki.signer)), certificate)


# --- PBMAC1 -------------------------------------------------------------------------------------

HMAC = algorithms.PKCS5_MAC_IDENTIFIERS


def _pbmac1(
    *,
    salt: bytes = b"\x04\x04salt",
    iterations: int = 3,
    key_length: int | None = None,
    prf: bytes = b"",
    mac: bytes = HMAC["hmac-sha512"],
) -> list[TLV]:
    """A protectionAlg as a peer may write it."""
    length = b"" if key_length is None else encode(key_length)
    kdf = wrap(0x30, encode(protection.PBKDF2), wrap(0x30, salt, encode(iterations), length, prf))
    return decode_sequence_of(wrap(0x30, encode(protection.PBMAC1), wrap(0x30, kdf, mac)))


def _parameters(algorithm: list[TLV], max_iterations: int = 100_000) -> MacParameters:
    parameters = protection.parameters_of(algorithm, max_iterations=max_iterations)
    assert parameters is not None
    assert parameters.kind is PasswordMac.PBMAC1
    return parameters


@pytest.mark.parametrize(
    ("digest", "password", "salt", "iterations", "key"),
    [
        # RFC 6070, 2
        ("sha1", b"password", b"salt", 1, "0c60c80f961f0e71f3a9b524af6012062fe037a6"),
        ("sha1", b"password", b"salt", 2, "ea6c014dc72d6f8ccd1ed92ace1d41f0d8de8957"),
        ("sha1", b"password", b"salt", 4096, "4b007901b765489abead49d926f721d065a429c1"),
        (
            "sha1",
            b"passwordPASSWORDpassword",
            b"saltSALTsaltSALTsaltSALTsaltSALTsalt",
            4096,
            "3d2eec4fe41c849b80c8d83662c0e44a8b291a964cf2f07038",
        ),
        # RFC 7914, 11
        (
            "sha256",
            b"passwd",
            b"salt",
            1,
            "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc"
            "49ca9cccf179b645991664b39d77ef317c71b845b1e30bd509112041d3a19783",
        ),
    ],
)
def test_known_pbkdf2_keys(
    digest: str, password: bytes, salt: bytes, iterations: int, key: str
) -> None:
    kind = PasswordMac.PBMAC1
    derivation = Derivation(Secret(password), salt, digest, iterations, kind, len(key) // 2)
    assert protection.derive(derivation).hex() == key


def _pbkdf2(digest: str, secret: bytes, salt: bytes, iterations: int, length: int) -> bytes:
    """RFC 8018, 5.2, step by step."""
    key = b""
    for block in itertools.count(1):
        if len(key) >= length:
            return key[:length]
        last = hmac.digest(secret, salt + block.to_bytes(4, "big"), digest)
        total = int.from_bytes(last, "big")
        for _ in range(iterations - 1):
            last = hmac.digest(secret, last, digest)
            total ^= int.from_bytes(last, "big")
        key += total.to_bytes(len(last), "big")
    raise AssertionError


@settings(max_examples=60, deadline=None)
@given(
    prf=st.sampled_from(algorithms.MACS),
    mac=st.sampled_from(algorithms.MACS),
    secret=st.binary(max_size=200),
    salt=st.binary(max_size=40),
    iterations=st.integers(1, 20),
    length=st.none() | st.integers(1, 300),
    part=st.binary(max_size=40),
)
def test_a_pbmac1_is_an_hmac_under_a_pbkdf2_key(
    prf: str,
    mac: str,
    secret: bytes,
    salt: bytes,
    iterations: int,
    length: int | None,
    part: bytes,
) -> None:
    algorithm = _pbmac1(
        salt=encode(salt), iterations=iterations, key_length=length, prf=HMAC[prf], mac=HMAC[mac]
    )
    parameters = _parameters(algorithm)
    prf_digest, mac_digest = (
        name.removeprefix("hmac-").replace("sha3-", "sha3_") for name in (prf, mac)
    )
    size = length or hashlib.new(mac_digest).digest_size
    wanted = _pbkdf2(prf_digest, secret, salt, iterations, size)
    derivation = parameters.derivation(Secret(secret))
    key = protection.derive(derivation)
    assert key == wanted
    assert derivation.cost == iterations * math.ceil(size / hashlib.new(prf_digest).digest_size)
    assert protection.mac(key, parameters, part) == hmac.digest(wanted, part, mac_digest)


@pytest.mark.parametrize("prf", algorithms.MACS)
@pytest.mark.parametrize("mac", algorithms.MACS)
def test_our_pbmac1_parameters_come_back_from_the_wire_and_pyasn1_reads_the_same(
    prf: str, mac: str
) -> None:
    kind = PasswordMac.PBMAC1
    chosen = MacParameters.choose(b"salt", kind=kind, prf=prf, iterations=77, mac=mac)
    oid, value = decode_sequence_of(chosen.identifier)
    assert _parameters([oid, value]) == chosen
    size = hashlib.new(mac.removeprefix("hmac-").replace("-", "_")).digest_size
    assert (chosen.kind, chosen.key_length) == (kind, size)

    outer, rest = decoder.decode(chosen.identifier, asn1Spec=rfc5280.AlgorithmIdentifier())
    assert (rest, outer["algorithm"]) == (b"", rfc8018.id_PBMAC1)
    params, rest = decoder.decode(outer["parameters"], asn1Spec=rfc8018.PBMAC1_params())
    assert rest == b""
    assert encoder.encode(params["messageAuthScheme"]) == HMAC[mac]
    assert params["keyDerivationFunc"]["algorithm"] == rfc8018.id_PBKDF2
    kdf, rest = decoder.decode(
        params["keyDerivationFunc"]["parameters"], asn1Spec=rfc8018.PBKDF2_params()
    )
    assert rest == b""
    assert kdf["salt"]["specified"].asOctets() == b"salt"
    assert (int(kdf["iterationCount"]), int(kdf["keyLength"])) == (77, size)
    prf_oid = decode(ObjectIdentifier, decode_sequence_of(HMAC[prf])[0])
    assert str(kdf["prf"]["algorithm"]) == prf_oid.dotted_string
    assert encoder.encode(kdf) == encode(decode_sequence_of(decode_sequence_of(value)[0])[1])


def test_our_own_pbmac1_is_what_ejbca_takes() -> None:
    """PRF HMAC-SHA256 said with NULL, keyLength said (issue 3)."""
    chosen = MacParameters.choose(bytes(16), kind=PasswordMac.PBMAC1, owf="sha512")
    assert chosen.identifier.hex() == (
        "305106092a864886f70d01050e3044303406092a864886f70d01050c30270410" + "00" * 16 + "02020400"
        "020120300c06082a864886f70d02090500300c06082a864886f70d02090500"
    )
    assert chosen.derivation(SECRET).cost == 1024


def test_what_a_peer_leaves_out() -> None:
    """The PRF is HMAC-SHA1 then, and the key as long as the MAC's digest."""
    parameters = _parameters(_pbmac1())
    assert (parameters.digest, parameters.mac, parameters.key_length) == ("sha1", "sha512", 64)
    spelled = _parameters(_pbmac1(key_length=64, prf=HMAC["hmac-sha1"]))
    assert spelled.derivation(SECRET) == parameters.derivation(SECRET)


@pytest.mark.parametrize(("number", "name"), [(12, "sha512_224"), (13, "sha512_256")])
def test_the_truncated_hmacs_of_rfc_8018(number: int, name: str) -> None:
    identifier = wrap(0x30, encode(ObjectIdentifier(f"1.2.840.113549.2.{number}")), b"\x05\x00")
    parameters = _parameters(_pbmac1(prf=identifier, mac=identifier))
    assert (parameters.digest, parameters.mac) == (name, name)
    size = hashlib.new(name).digest_size
    key = protection.derive(parameters.derivation(SECRET))
    assert key == _pbkdf2(name, b"secret", b"salt", 3, size)


@pytest.mark.parametrize("kind", PasswordMac)
def test_another_salt_changes_nothing_else(kind: PasswordMac) -> None:
    parameters = MacParameters.choose(b"salt", kind=kind, iterations=9)
    other = MacParameters.choose(b"another", kind=kind, iterations=9)
    assert parameters.with_salt(b"another") == other
    assert parameters.with_salt(b"salt") == parameters


def test_another_salt_keeps_what_a_peer_left_out() -> None:
    parameters = _parameters(_pbmac1())
    other = parameters.with_salt(b"Salt")
    assert other.identifier == parameters.identifier.replace(b"salt", b"Salt")
    assert other == _parameters(_pbmac1(salt=b"\x04\x04Salt"))


def test_kinds_of_one_salt_are_different_derivations() -> None:
    both = {
        MacParameters.choose(b"salt", kind=kind, iterations=5).derivation(SECRET)
        for kind in PasswordMac
    }
    assert len({protection.derive(derivation) for derivation in both}) == 2
    assert Derivation(SECRET, b"salt", "sha512", 5).cost == 5


def test_what_ejbca_asks_for_is_taken_and_little_more() -> None:
    most = _parameters(_pbmac1(iterations=10_000, key_length=4096, prf=HMAC["hmac-sha256"]))
    assert most.derivation(SECRET).cost == 1_280_000
    by_sha1 = _parameters(_pbmac1(iterations=10_000, key_length=4096))
    assert by_sha1.derivation(SECRET).cost == 2_050_000
    _parameters(_pbmac1(iterations=100_000))
    _parameters(_pbmac1(iterations=2_500_000 // 205, key_length=4096))
    costly = _pbmac1(iterations=2_500_000 // 205 + 1, key_length=4096)
    with pytest.raises(RemoteCmpError, match=r"which are 2500180 HMACs; accepted are 2500000$") as (
        caught
    ):
        protection.parameters_of(costly)
    assert caught.value.hint == "if you trust this peer, raise --max-pbm-iterations to 2500180"
    _parameters(costly, max_iterations=2_500_180)


@pytest.mark.parametrize(
    ("algorithm", "said"),
    [
        (_pbmac1()[:1], "PBMAC1 without its PBMAC1-params"),
        ([*_pbmac1(), *_pbmac1()[1:]], "PBMAC1 without its PBMAC1-params"),
        ([_pbmac1()[0], any_from(b"\x05\x00")], "not a DER _PBMAC1Params"),
        (_pbmac1(iterations=0), "the key derivation wants 0 iterations"),
        (_pbmac1(iterations=-1), "the key derivation wants -1 iterations"),
        (_pbmac1(iterations=100_001), "the key derivation wants 100001 iterations"),
        (_pbmac1(iterations=1 << 20_000), "not a DER _PBKDF2Params"),
        (_pbmac1(key_length=0), "the key derivation wants a key of 0 octets"),
        (_pbmac1(key_length=-1), "the key derivation wants a key of -1 octets"),
        (_pbmac1(key_length=4097), "the key derivation wants a key of 4097 octets"),
        (_pbmac1(key_length=1 << 20_000), "not a DER _PBKDF2Params"),
        (_pbmac1(salt=encode(bytes(1025))), "the key derivation's salt has 1025 octets"),
        (_pbmac1(salt=HMAC["hmac-sha1"]), "not a DER _PBKDF2Params"),
        (_pbmac1(mac=algorithms.DIGEST_IDENTIFIERS["sha1"]), "unknown MAC algorithm"),
        (_pbmac1(prf=algorithms.DIGEST_IDENTIFIERS["sha1"]), "unknown MAC algorithm"),
    ],
)
def test_pbmac1_parameters_that_are_refused(algorithm: list[TLV], said: str) -> None:
    with pytest.raises(RemoteCmpError, match=f"^{said}"):
        protection.parameters_of(algorithm)


@pytest.mark.parametrize(
    "kdf",
    [
        wrap(0x30, encode(protection.PBKDF2)),
        wrap(0x30, encode(protection.PBMAC1), b"\x30\x00"),
        b"\x30\x00",
    ],
)
def test_another_key_derivation_function_is_refused(kdf: bytes) -> None:
    params = any_from(wrap(0x30, kdf, HMAC["hmac-sha256"]))
    with pytest.raises(algorithms.AlgorithmError, match=r"^unknown key derivation function "):
        protection.parameters_of([_pbmac1()[0], params])


def test_no_ceiling_is_above_what_hashlib_takes() -> None:
    with pytest.raises(RemoteCmpError, match=r"accepted are 1 to 2147483647$"):
        protection.parameters_of(_pbmac1(iterations=1 << 31), max_iterations=1 << 40)


def test_a_pbmac1_is_good_for_its_message_and_key_alone(answer: "Answer", peer: "Peer") -> None:
    chosen = MacParameters.choose(b"salt", kind=PasswordMac.PBMAC1, iterations=2)
    message = decode_message(answer.macced(parameters=chosen))
    parameters = protection.mac_parameters(message)
    assert parameters == chosen
    protection.check_mac(message, parameters, protection.derive(chosen.derivation(peer.secret)))
    with pytest.raises(RemoteCmpError, match=r"^the MAC is wrong: "):
        protection.check_mac(message, parameters, protection.derive(chosen.derivation(SECRET)))
