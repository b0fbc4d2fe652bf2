"""Password-based MAC and signature over a message; the vectors' MACs are in test_vectors.py."""

import hashlib
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from bulkcmp.cmp import algorithms, protection
from bulkcmp.cmp.asn1 import decode_sequence_of, encode, wrap
from bulkcmp.cmp.messages import BodyType, decode_message
from bulkcmp.cmp.protection import Derivation, MacParameters
from bulkcmp.errors import RemoteCmpError
from bulkcmp.model import Secret

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
    assert chosen.owf == owf.replace("-", "_")


@pytest.mark.parametrize("names", [{"owf": "md5"}, {"mac": "hmac-md5"}])
def test_names_that_are_no_algorithm(names: dict[str, str]) -> None:
    with pytest.raises(KeyError):
        MacParameters.choose(b"salt", owf=names.get("owf", "sha1"), mac=names.get("mac", "?"))


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
    key = protection.derive(
        Derivation(peer.secret, parameters.salt, parameters.owf, parameters.iterations)
    )
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
