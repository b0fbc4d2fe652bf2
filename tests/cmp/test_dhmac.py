"""DHBasedMac: its parameters and keys, with pyasn1 and hashlib beside as second opinion; and a
credential of it through whole transactions."""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, x448, x25519
from pyasn1.codec.der import decoder, encoder
from pyasn1_modules import rfc4210

from bulkcmp.cmp import algorithms, dhmac, messages, protection
from bulkcmp.cmp.algorithms import AgreementKey, AlgorithmError
from bulkcmp.cmp.asn1 import encode, wrap
from bulkcmp.cmp.checks import Reason, Verdict
from bulkcmp.cmp.dhmac import DhMacParameters
from bulkcmp.cmp.kemmac import KemMacParameters
from bulkcmp.cmp.messages import BodyType, PKIMessage
from bulkcmp.cmp.protection import MacParameters
from bulkcmp.cmp.request import (
    DhCredential,
    Protector,
    SignatureCredential,
    can_receive,
    check_kem_usage,
    is_agreement_certificate,
    is_for_macs,
    may_certify,
)
from bulkcmp.errors import LocalCmpError, RemoteCmpError
from bulkcmp.model import AcceptProtection, Operation, OutcomeClass, Profile

if TYPE_CHECKING:
    from tests.cmp.conftest import MakeRun, Pki, Run

KEYS: Final[dict[str, AgreementKey]] = {
    "P-256": ec.generate_private_key(ec.SECP256R1()),
    "P-384": ec.generate_private_key(ec.SECP384R1()),
    "P-521": ec.generate_private_key(ec.SECP521R1()),
    "x25519": x25519.X25519PrivateKey.generate(),
    "x448": x448.X448PrivateKey.generate(),
}
OTHERS: Final[dict[str, AgreementKey]] = {
    "P-256": ec.generate_private_key(ec.SECP256R1()),
    "P-384": ec.generate_private_key(ec.SECP384R1()),
    "P-521": ec.generate_private_key(ec.SECP521R1()),
    "x25519": x25519.X25519PrivateKey.generate(),
    "x448": x448.X448PrivateKey.generate(),
}
KINDS = pytest.mark.parametrize("kind", KEYS)
OID: Final = encode(dhmac.DH_BASED_MAC)


def dh_certificate(
    pki: "Pki", key: AgreementKey, subject: str = "device", bits: Sequence[str] = ("key_agreement",)
) -> bytes:
    """DER; its keyUsage is what `bits` say."""
    usage = dict.fromkeys(
        (
            "digital_signature",
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "key_cert_sign",
            "crl_sign",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    extension = x509.KeyUsage(**(usage | dict.fromkeys(bits, True)))
    return pki.certificate(subject, key, pki.root, sign=None, extensions=(extension,))


def credential(pki: "Pki", kind: str = "P-256", **options: Any) -> DhCredential:
    chain = (dh_certificate(pki, KEYS[kind]),)
    ca = dh_certificate(pki, OTHERS[kind], "signer")
    return DhCredential.with_ca(
        pki.pkcs8(KEYS[kind]), chain, ca, DhMacParameters.choose(), **options
    )


def agreed(kind: str) -> bytes:
    """As the CA does it: by its own key and our certificate's."""
    return algorithms.agree(OTHERS[kind], KEYS[kind].public_key())


def message(algorithm: bytes) -> PKIMessage:
    header = wrap(
        0x30,
        encode(2),
        wrap(0xA4, messages.NULL_DN),
        wrap(0xA4, messages.NULL_DN),
        wrap(0xA1, algorithm),
    )
    body = messages.body(BodyType.PKICONF, b"\x05\x00")
    return messages.decode_message(messages.encode_message(header, body, None))


# --- parameters and keys


@pytest.mark.parametrize("owf", algorithms.DIGESTS)
@pytest.mark.parametrize("mac", algorithms.MACS)
def test_what_we_choose_is_read_the_same_by_both(owf: str, mac: str) -> None:
    chosen = DhMacParameters.choose(owf, mac)
    whole, rest = decoder.decode(chosen.identifier, asn1Spec=rfc4210.rfc2459.AlgorithmIdentifier())
    assert not rest
    assert str(whole["algorithm"]) == "1.2.840.113533.7.66.30"
    theirs, rest = decoder.decode(whole["parameters"], asn1Spec=rfc4210.DHBMParameter())
    assert not rest
    assert encoder.encode(theirs["owf"]) == algorithms.DIGEST_IDENTIFIERS[owf]
    assert encoder.encode(theirs["mac"]) == algorithms.MAC_IDENTIFIERS[mac]
    assert dhmac.dh_mac_parameters(message(chosen.identifier)) == chosen
    # BASEKEY, whatever the MAC
    assert chosen.derive(b"secret") == hashlib.new(chosen.digest, b"secret").digest()


def test_other_protection_is_none() -> None:
    for other in (
        MacParameters.choose(b"salt").identifier,
        KemMacParameters.choose().identifier,
    ):
        assert dhmac.dh_mac_parameters(message(other)) is None


SHA256 = algorithms.DIGEST_IDENTIFIERS["sha256"]
HMAC = algorithms.MAC_IDENTIFIERS["hmac-sha256"]


@pytest.mark.parametrize(
    ("parameter", "error", "text"),
    [
        (b"", RemoteCmpError, "without its DHBMParameter"),
        (wrap(0x30, SHA256, HMAC) * 2, RemoteCmpError, "without its DHBMParameter"),
        (b"\x05\x00", RemoteCmpError, "not a DER"),
        (wrap(0x30, SHA256), RemoteCmpError, "not a DER"),
        (wrap(0x30, SHA256, HMAC, HMAC), RemoteCmpError, "not a DER"),
        (wrap(0x30, HMAC, HMAC), AlgorithmError, "unknown digest"),
        (wrap(0x30, SHA256, SHA256), AlgorithmError, "unknown MAC"),
    ],
)
def test_parameters_that_are_no_use(
    parameter: bytes, error: type[RemoteCmpError], text: str
) -> None:
    with pytest.raises(error, match=text):
        dhmac.dh_mac_parameters(message(wrap(0x30, OID, parameter)))


@pytest.mark.parametrize(
    ("curve", "private", "x"),
    [
        # x-coordinates that begin with zero octets
        (
            ec.SECP256R1(),
            379,
            "005543894af3d00ed7d740abdbd75c96b06877b787db5f70eea78b90a8d7c00a",
        ),
        (
            ec.SECP384R1(),
            197,
            "004d104b26ee5671f72c10c986841d3e65d285e2516161b7baa341b12631b9e3"
            "2b6f0d5896d8431c51d5d93a37cbc90e",
        ),
        (
            ec.SECP521R1(),
            273,
            "000060a88d8596a2c6597b2dc4e465dfd7e74a0bcb7b863f56f21c1414a5958b62a49599"
            "6fd86b8e9e78a6712c7887e75dfce972a04e12cb9cf9e032ff2ac1afff19",
        ),
    ],
    ids=["P-256", "P-384", "P-521"],
)
def test_leading_zeros_count(curve: ec.EllipticCurve, private: int, x: str) -> None:
    # with the private key 1 the secret is the other's public key
    one, other = (ec.derive_private_key(number, curve) for number in (1, private))
    assert algorithms.agree(one, other.public_key()) == bytes.fromhex(x)
    assert algorithms.agree(other, one.public_key()) == bytes.fromhex(x)


def test_x25519_of_rfc_7748() -> None:
    """Section 6.1."""
    alice = x25519.X25519PrivateKey.from_private_bytes(
        bytes.fromhex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a")
    )
    bob = x25519.X25519PublicKey.from_public_bytes(
        bytes.fromhex("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f")
    )
    shared = bytes.fromhex("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742")
    assert algorithms.agree(alice, bob) == shared


@KINDS
def test_both_sides_agree(kind: str) -> None:
    ours = algorithms.agree(KEYS[kind], OTHERS[kind].public_key())
    assert ours == agreed(kind)
    assert len(ours) == {"P-256": 32, "P-384": 48, "P-521": 66, "x25519": 32, "x448": 56}[kind]


@KINDS
def test_who_agrees_on_nothing(kind: str) -> None:
    for other, key in OTHERS.items():
        if other != kind:
            with pytest.raises(RemoteCmpError, match="Diffie-Hellman"):
                algorithms.agree(KEYS[kind], key.public_key())
    with pytest.raises(RemoteCmpError, match="two keys of one type"):
        algorithms.agree(KEYS[kind], None)


def test_a_point_of_small_order_leads_nowhere() -> None:
    for key, point in (
        (KEYS["x25519"], x25519.X25519PublicKey.from_public_bytes(bytes(32))),
        (KEYS["x448"], x448.X448PublicKey.from_public_bytes(bytes(56))),
    ):
        with pytest.raises(RemoteCmpError, match="comes to nothing"):
            algorithms.agree(key, point)


# --- certificates


@pytest.mark.parametrize(
    ("kind", "bits", "expected"),
    [
        ("P-256", ["key_agreement"], True),
        ("P-256", ["key_agreement", "digital_signature"], False),
        ("P-256", ["digital_signature"], False),
        ("P-521", ["key_agreement"], True),
        # nothing can be signed by these, whatever is said of them
        ("x25519", ["key_agreement"], True),
        ("x448", ["digital_signature"], True),
    ],
)
def test_which_certificates_are_for_agreement(
    pki: "Pki", kind: str, bits: list[str], expected: bool
) -> None:
    assert is_agreement_certificate(dh_certificate(pki, KEYS[kind], bits=bits)) is expected


def test_which_certificates_sign_nothing(pki: "Pki") -> None:
    kem = pki.certificate("x", pki.kem_keys["ml-kem-768"], pki.root)
    for der in (kem, dh_certificate(pki, KEYS["x448"]), dh_certificate(pki, KEYS["P-256"])):
        assert is_for_macs(der)
    assert not is_for_macs(pki.signer.certificate)


def test_which_certificates_for_macs_may_certify(pki: "Pki") -> None:
    both = dh_certificate(pki, KEYS["P-256"], bits=["key_agreement", "key_cert_sign"])
    assert is_for_macs(both)
    assert may_certify(both)
    assert not may_certify(dh_certificate(pki, KEYS["P-256"]))
    assert not may_certify(dh_certificate(pki, KEYS["x25519"], bits=["key_cert_sign"]))
    assert not may_certify(pki.certificate("x", KEYS["x25519"], pki.root))


def test_a_certificate_for_a_kem_key_allows_encipherment(pki: "Pki") -> None:
    key = pki.kem_keys["ml-kem-768"]
    agrees, enciphers = (
        pki.certificate("x", key, pki.root, sign=None, extensions=[usage])
        for usage in (
            x509.KeyUsage(False, False, False, False, True, False, False, False, False),
            x509.KeyUsage(False, False, True, False, False, False, False, False, False),
        )
    )
    with pytest.raises(LocalCmpError, match="without keyEncipherment") as caught:
        check_kem_usage(agrees)
    assert caught.value.hint == "--ignore-keyusage accepts it"
    check_kem_usage(enciphers)
    check_kem_usage(pki.certificate("x", key, pki.root, sign=None))
    check_kem_usage(dh_certificate(pki, KEYS["P-256"]))


def test_which_certificates_are_not(pki: "Pki") -> None:
    assert not is_agreement_certificate(pki.certificate("x", KEYS["P-256"], pki.root, sign=None))
    assert not is_agreement_certificate(pki.certificate("x", pki.keys["rsa"], pki.root))
    assert not is_agreement_certificate(pki.certificate("x", pki.kem_keys["ml-kem-768"], pki.root))
    twice = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.15"), b"?")
    damaged = pki.certificate("x", KEYS["P-256"], pki.root, sign=None, extensions=(twice,))
    for der in (b"?", damaged):
        with pytest.raises(LocalCmpError, match="certificate can't be used"):
            is_agreement_certificate(der)


def test_what_the_certificate_of_the_ca_must_allow(pki: "Pki") -> None:
    chain, key = (dh_certificate(pki, KEYS["P-256"]),), pki.pkcs8(KEYS["P-256"])
    parameters = DhMacParameters.choose()
    signs = dh_certificate(pki, OTHERS["P-256"], "signer", ["digital_signature"])
    with pytest.raises(LocalCmpError, match="without keyAgreement") as caught:
        DhCredential.with_ca(key, chain, signs, parameters)
    assert caught.value.hint == "--ignore-keyusage accepts it"
    ignored = DhCredential.with_ca(key, chain, signs, parameters, ignore_keyusage=True)
    assert ignored.agreed == agreed("P-256")
    silent = pki.certificate("signer", OTHERS["P-256"], pki.root, sign=None, identified=False)
    found = DhCredential.with_ca(key, chain, silent, parameters)
    assert (found.agreed, found.recipient_kid) == (agreed("P-256"), None)


def test_keys_that_do_not_go_together(pki: "Pki") -> None:
    chain, parameters = (dh_certificate(pki, KEYS["P-256"]),), DhMacParameters.choose()
    key = pki.pkcs8(KEYS["P-256"])
    other = dh_certificate(pki, OTHERS["P-384"], "signer")
    with pytest.raises(LocalCmpError, match="Diffie-Hellman comes to nothing") as caught:
        DhCredential.with_ca(key, chain, other, parameters)
    assert "--srvcert" in (caught.value.hint or "")
    rsa_key = pki.pkcs8(pki.keys["rsa"])
    ca = dh_certificate(pki, OTHERS["P-256"], "signer")
    with pytest.raises(LocalCmpError, match=r"^RSAPrivateKey is no key for Diffie-Hellman$"):
        DhCredential.with_ca(rsa_key, chain, ca, parameters)
    with pytest.raises(LocalCmpError, match="without its derived key"):
        Protector(credential(pki), Profile())
    for secret in ("key=", "agreed="):
        assert secret not in repr(credential(pki))


def test_for_whom_a_key_can_be_made(pki: "Pki") -> None:
    assert can_receive(credential(pki), Profile())
    # RFC 8418 is not done here
    assert not can_receive(credential(pki, "x25519"), Profile())


# --- transactions


def check(run: "Run", kind: str) -> None:
    parameters = dhmac.dh_mac_parameters(run.message)
    assert parameters == DhMacParameters.choose()
    key = hashlib.sha256(agreed(kind)).digest()
    assert run.message.protection == hmac.digest(key, run.message.protected_part, "sha256")


@KINDS
def test_an_enrollment(make_run: "MakeRun", pki: "Pki", kind: str) -> None:
    own, verdicts = credential(pki, kind), list[Verdict]()
    run = make_run(credential=own, verdicts=verdicts)
    run.start()
    check(run, kind)
    header = run.message.header
    ca = x509.load_der_x509_certificate(dh_certificate(pki, OTHERS[kind], "signer"))
    identifier = ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    assert header.recipKID == identifier
    assert header.senderKID not in (None, identifier)
    assert run.message.extra_certs == own.chain
    # the CA may choose others
    parameters = DhMacParameters.choose("sha512", "hmac-sha1")
    key = hashlib.sha512(agreed(kind)).digest()
    run.receive(run.granted().keyed(key, parameters))
    assert run.message.body_type is BodyType.CERT_CONF
    check(run, kind)
    finish = run.end(run.confirmed().keyed(key, parameters))
    assert finish.outcome.outcome is OutcomeClass.ISSUED
    told = {one.reason: one.what for one in verdicts}
    assert told[Reason.PROTECTION_ALGORITHM] == "DHBasedMac, sha512, hmac sha1"
    assert told[Reason.MAC] == "by what our key and --srvcert agree on"


def test_another_session_goes_on(make_run: "MakeRun", pki: "Pki") -> None:
    first = make_run(credential=credential(pki))
    first.start()
    parameters = DhMacParameters.choose()
    key = parameters.derive(agreed("P-256"))
    first.receive(first.granted().keyed(key, parameters))
    run = make_run(credential=credential(pki), checkpoint=first.stored[-1])
    run.start()
    assert run.message.body_type is BodyType.CERT_CONF
    check(run, "P-256")
    assert run.end(run.confirmed().keyed(key, parameters)).outcome.outcome is OutcomeClass.ISSUED


@pytest.mark.parametrize("accepted", AcceptProtection)
def test_which_answers_are_good(
    make_run: "MakeRun", pki: "Pki", accepted: AcceptProtection
) -> None:
    def run_with(**options: Any) -> "Run":
        own = credential(pki, **options)
        run = make_run(Operation.GENM, own, profile=Profile(accept_protection=accepted))
        run.start()
        return run

    parameters = DhMacParameters.choose()
    key = parameters.derive(agreed("P-256"))
    by_signature = accepted in (AcceptProtection.EITHER, AcceptProtection.SIGNATURE)
    run = run_with()
    outcome = run.end(run.answer(b"\x30\x00").keyed(key, parameters)).outcome
    refused = accepted is AcceptProtection.SIGNATURE
    assert (outcome.reason == Reason.PROTECTION_KIND) is refused
    run = run_with()
    outcome = run.end(run.answer(b"\x30\x00").signed(pki.signer)).outcome
    assert (outcome.reason == Reason.PROTECTION_KIND) is not by_signature
    # a secret beside it
    run = run_with(secret=run.peer.secret)
    outcome = run.end(run.answer(b"\x30\x00").macced()).outcome
    assert (outcome.reason == Reason.PROTECTION_KIND) is refused


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        (DhMacParameters.choose(), Reason.MAC),
        (replace(DhMacParameters.choose(), identifier=wrap(0x30, OID)), "protection algorithm"),
        (KemMacParameters.choose(), Reason.NO_SECRET),
        (MacParameters.choose(b"salt"), Reason.NO_SECRET),
    ],
)
def test_answers_that_are_no_good(
    make_run: "MakeRun", pki: "Pki", parameters: protection.HmacParameters, reason: str
) -> None:
    run = make_run(credential=credential(pki))
    run.start()
    outcome = run.end(run.granted().keyed(b"another", parameters)).outcome
    assert outcome.outcome is OutcomeClass.BAD_RESPONSE
    assert outcome.reason.startswith(reason)


def test_no_such_answer_to_who_signs(make_run: "MakeRun", pki: "Pki") -> None:
    chain = (pki.device.certificate,)
    run = make_run(credential=SignatureCredential(pki.device.pkcs8, chain))
    run.start()
    parameters = DhMacParameters.choose()
    key = parameters.derive(agreed("P-256"))
    outcome = run.end(run.granted().keyed(key, parameters)).outcome
    assert outcome.reason == Reason.NO_SECRET
    assert outcome.detail == "the response has a DHBasedMac, but the request had none"
