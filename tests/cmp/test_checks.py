"""Who signed, and what was issued; what becomes of it is in test_proof.py and test_issuance.py."""

import tracemalloc
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.name import _ASN1Type

from bulkcmp.cmp import algorithms, checks, package, protection
from bulkcmp.cmp.asn1 import decode_sequence_of, encode, explicit, wrap
from bulkcmp.cmp.checks import MOST_TRIED, CheckError, Reason
from bulkcmp.cmp.messages import BodyType, PKIMessage, decode_message, encode_message
from bulkcmp.cmp.recipient import recipient_identifier
from bulkcmp.cmp.request import Protector, SignatureCredential
from bulkcmp.cmp.trust import EXTENSION_ERRORS, CrlCheck, Trust, TrustStore, load_certificate
from bulkcmp.errors import LocalCmpError
from bulkcmp.model import Profile, SubjectCheck
from tests.cmp.crls import crl, entry_of

if TYPE_CHECKING:
    from tests.cmp.conftest import Answer, Party, Peer, Pki

NAME = b"\xa4\x02\x30\x00"
REQUEST = wrap(0x30, wrap(0x30, encode(2), NAME, NAME), b"\xb3\x02\x05\x00")


@pytest.fixture
def answer(pki: "Pki", peer: "Peer") -> "Answer":
    return peer.answer(REQUEST, BodyType.PKICONF, b"\x05\x00", pki.signer.subject)


def _signer(
    pki: "Pki", message: bytes, trust: Trust | None = None, *, ignore_keyusage: bool = False
) -> bytes:
    certificate = checks.signer(
        decode_message(message),
        trust or pki.trust(),
        pki.at(),
        ignore_keyusage=ignore_keyusage,
        allow_weak=False,
    )
    return certificate.public_bytes(serialization.Encoding.DER)


def _refused(
    pki: "Pki", message: bytes, trust: Trust | None = None, *, ignore_keyusage: bool = False
) -> Reason:
    with pytest.raises(CheckError) as caught:
        _signer(pki, message, trust, ignore_keyusage=ignore_keyusage)
    assert caught.value.what
    return caught.value.reason


def _with_certificates(message: bytes, *certificates: bytes) -> bytes:
    """The message with other extraCerts, which no signature covers."""
    decoded = decode_message(message)
    header, body = decode_sequence_of(decoded.protected_part)
    return encode_message(encode(header), encode(body), decoded.protection, certificates)


def test_the_signers_certificate_comes_with_the_message(answer: "Answer", pki: "Pki") -> None:
    assert _signer(pki, answer.signed(pki.signer)) == pki.signer.certificate


def test_or_is_known_before(answer: "Answer", pki: "Pki") -> None:
    bare = _with_certificates(answer.signed(pki.signer))
    assert _refused(pki, bare) is Reason.SIGNER_MISSING
    store = TrustStore([pki.root.certificate], [pki.signer.certificate])
    assert _signer(pki, bare, Trust(store, store)) == pki.signer.certificate


def test_or_is_an_anchor(answer: "Answer", pki: "Pki") -> None:
    by_root = replace(answer, sender=explicit(4, pki.root.subject)).signed(pki.root)
    assert _signer(pki, _with_certificates(by_root)) == pki.root.certificate


def test_of_certificates_of_other_names_the_first_is_tried(answer: "Answer", pki: "Pki") -> None:
    other = pki.certify("other", pki.keys["rsa"], pki.root)
    message = answer.signed(other, pki.device.certificate)
    assert _refused(pki, message) is Reason.SENDER
    reversed_ = _with_certificates(message, pki.device.certificate, other.certificate)
    assert _refused(pki, reversed_) is Reason.SIGNATURE


def test_few_of_the_certificates_that_come_are_tried(
    answer: "Answer", pki: "Pki", monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[object] = []
    check = protection.check_signature

    def noted(message: PKIMessage, signer: x509.Certificate) -> None:
        tried.append(signer)
        check(message, signer)

    monkeypatch.setattr(protection, "check_signature", noted)
    others = [pki.certificate("signer", pki.keys["ec"], pki.root) for _ in range(MOST_TRIED + 9)]
    message = answer.signed(pki.signer)
    early = _with_certificates(message, *others[: MOST_TRIED - 1], pki.signer.certificate)
    assert _signer(pki, early) == pki.signer.certificate
    assert len(tried) == MOST_TRIED
    tried.clear()
    late = _with_certificates(message, *others, pki.signer.certificate)
    assert _refused(pki, late) is Reason.SIGNATURE
    assert len(tried) == MOST_TRIED


def test_a_pinned_certificate_needs_no_path_and_lets_no_other_sign(
    answer: "Answer", pki: "Pki"
) -> None:
    store = TrustStore([pki.root.certificate])
    pinned = Trust(store, store, srvcert=pki.stranger.certificate)
    assert _signer(pki, answer.signed(pki.stranger), pinned) == pki.stranger.certificate
    assert _refused(pki, answer.signed(pki.signer), pinned) is Reason.SIGNATURE


def test_of_two_certificates_for_one_key_the_valid_one_counts(answer: "Answer", pki: "Pki") -> None:
    expired = pki.certify("signer", pki.signer.key, pki.root, age=9, days=8)
    message = _with_certificates(
        answer.signed(pki.signer), expired.certificate, pki.signer.certificate
    )
    assert _signer(pki, message) == pki.signer.certificate
    alone = _with_certificates(message, pki.stranger.certificate, expired.certificate)
    assert _refused(pki, alone) is Reason.SIGNER_NOT_TRUSTED, "the nearest that came to be good"


def test_a_path_may_need_the_messages_own_certificates(answer: "Answer", pki: "Pki") -> None:
    middle = pki.certify("sub CA", pki.keys["ec"], pki.root, ca=True)
    signer = pki.certify("signer", pki.keys["rsa"], middle)
    assert _refused(pki, answer.signed(signer)) is Reason.SIGNER_NOT_TRUSTED
    assert _signer(pki, answer.signed(signer, middle.certificate)) == signer.certificate


def test_a_revoked_signer_is_not_trusted(answer: "Answer", pki: "Pki") -> None:
    at = pki.at()
    revoked = crl(pki.root, at, entries=[entry_of(pki.signer.certificate, at)])
    store = TrustStore([pki.root.certificate], (), CrlCheck((revoked,)))
    message = decode_message(answer.signed(pki.signer))
    with pytest.raises(CheckError, match="CN=signer: the CRL check: certificate revoked") as caught:
        checks.signer(message, Trust(store, store), at, ignore_keyusage=False, allow_weak=False)
    assert caught.value.reason is Reason.SIGNER_NOT_TRUSTED
    assert "stand in for the CA" in str(caught.value.hint)
    pinned = Trust(store, store, srvcert=pki.signer.certificate)
    assert checks.signer(message, pinned, at, ignore_keyusage=False, allow_weak=False)


@pytest.mark.parametrize(
    ("sign", "ignore_keyusage", "good"),
    [(True, False, True), (None, False, True), (False, False, False), (False, True, True)],
)
def test_key_usage(
    answer: "Answer", pki: "Pki", *, sign: bool | None, ignore_keyusage: bool, good: bool
) -> None:
    message = answer.signed(pki.certify("signer", pki.keys["ec"], pki.root, sign=sign))
    if good:
        _signer(pki, message, ignore_keyusage=ignore_keyusage)
    else:
        assert _refused(pki, message) is Reason.SIGNER_KEY_USAGE


KEY_USAGE = bytes.fromhex("0603551d0f")
SUBJECT_KEY_IDENTIFIER = bytes.fromhex("0603551d0e")


@pytest.mark.parametrize("spoiled", ["twice", "no BIT STRING"])
def test_a_key_usage_that_can_not_be_read_is_none_that_allows(
    answer: "Answer", pki: "Pki", spoiled: str
) -> None:
    signer = pki.signer.certificate
    if spoiled == "twice":
        der = signer.replace(SUBJECT_KEY_IDENTIFIER, KEY_USAGE)
    else:
        at = signer.index(KEY_USAGE)
        der = signer[:at] + signer[at:].replace(b"\x04\x04\x03\x02", b"\x04\x04\x04\x02", 1)
    assert len(der) == len(signer)
    assert der != signer
    store = TrustStore([pki.root.certificate])
    party = replace(pki.signer, certificate=der)
    pinned = Trust(store, store, srvcert=der)
    assert _refused(pki, answer.signed(party), pinned) is Reason.SIGNER_KEY_USAGE
    _signer(pki, answer.signed(party), pinned, ignore_keyusage=True)


UNREADABLE = {
    "a TLS feature that nobody knows": ("1.3.6.1.5.5.7.1.24", "3003020173"),
    "an address for a network": ("2.5.29.30", "300aa0083006870401020304"),
    "a name of another kind": ("2.5.29.18", "3002a300"),
}
"""Extensions that make `cryptography` raise a KeyError, a TypeError and one of its own."""


@pytest.mark.parametrize("spoiled", UNREADABLE)
def test_beside_what_can_not_be_read_no_key_usage_allows_anything(
    answer: "Answer", pki: "Pki", spoiled: str
) -> None:
    oid, value = UNREADABLE[spoiled]
    extension = x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), bytes.fromhex(value))
    party = pki.certify("signer", pki.keys["ec"], pki.root, extensions=[extension])
    with pytest.raises(EXTENSION_ERRORS):
        list(load_certificate(party.certificate).extensions)
    message = answer.signed(party)
    store = TrustStore([pki.root.certificate])
    pinned = Trust(store, store, srvcert=party.certificate)
    assert _refused(pki, message, pinned) is Reason.SIGNER_KEY_USAGE
    _signer(pki, message, pinned, ignore_keyusage=True)
    # nor does it make keys, or protect what we say
    assert not package._may_make_keys(load_certificate(party.certificate))
    assert recipient_identifier(load_certificate(party.certificate))[0] == 0x30
    own = SignatureCredential(pki.pkcs8(pki.keys["ec"]), (party.certificate,))
    with pytest.raises(LocalCmpError, match="the certificate can't be used"):
        Protector(own, Profile())


def _typed(text: str, kind: _ASN1Type) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text, kind)])


@pytest.mark.parametrize("kind", [_ASN1Type.PrintableString, _ASN1Type.BMPString])
def test_names_are_compared_by_value_not_by_string_type(
    answer: "Answer", pki: "Pki", kind: _ASN1Type
) -> None:
    sender = explicit(4, _typed("signer", kind).public_bytes())
    message = replace(answer, sender=sender).signed(pki.signer)
    assert _signer(pki, message) == pki.signer.certificate


@pytest.mark.parametrize(
    "sender",
    [
        explicit(4, b"\x30\x00"),
        explicit(4, b"\x05\x00"),
        explicit(4, wrap(0x30, wrap(0x31, wrap(0x30, b"\x06\x03\x55\x04\x03", b"\x03\x02\x00A")))),
        b"\x82\x02ca",
    ],
    ids=["NULL-DN", "no Name", "BIT STRING", "dNSName"],
)
def test_a_sender_other_than_the_signer(answer: "Answer", pki: "Pki", sender: bytes) -> None:
    assert _refused(pki, replace(answer, sender=sender).signed(pki.signer)) is Reason.SENDER


@pytest.mark.parametrize("how", ["no certificate", "version 4", "BIT STRING in the subject"])
def test_extra_certs_that_can_not_be_read_are_passed_over(
    answer: "Answer", pki: "Pki", how: str
) -> None:
    good = pki.signer.certificate
    spoiled = {
        "no certificate": b"\x30\x00",
        "version 4": good.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x03", 1),
        "BIT STRING in the subject": good.replace(b"\x0c\x06signer", b"\x03\x06\x00igner"),
    }[how]
    assert spoiled != good
    message = _with_certificates(answer.signed(pki.signer), spoiled, good)
    assert _signer(pki, message) == good


def test_little_is_kept_of_what_a_hostile_peer_brings(answer: "Answer", pki: "Pki") -> None:
    good, octets, messages = answer.signed(pki.signer), 100_000, 200
    tracemalloc.start()
    try:
        for number in range(messages):
            junk = wrap(0x30, encode(number), wrap(0x04, bytes(octets)))
            _signer(pki, _with_certificates(good, pki.signer.certificate, junk))
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < messages * octets / 2


# --- the issued certificate ---------------------------------------------------------------------


def _issued(pki: "Pki", der: bytes, **changes: object) -> tuple[tuple[bytes, ...], bool]:
    return checks.issued(der, **pki.wanted(**changes))


def test_a_certificate_as_it_was_asked_for(pki: "Pki") -> None:
    assert _issued(pki, pki.issue()) == ((pki.root.certificate,), False)


@pytest.mark.parametrize("kind", ["rsa", "ed25519", "ed448", "ml-dsa-44", "ml-dsa-65"])
def test_a_certificate_for_any_key(pki: "Pki", kind: str) -> None:
    der = pki.certify("device", pki.keys[kind], pki.root).certificate
    public_key = algorithms.public_key_info(pki.keys[kind])
    assert _issued(pki, der, public_key=public_key) == ((pki.root.certificate,), False)
    assert _issued(pki, der, public_key=None) == ((pki.root.certificate,), False)


def test_its_subject_may_be_in_other_string_types(pki: "Pki") -> None:
    der = pki.issue(_typed("device", _ASN1Type.PrintableString))
    assert _issued(pki, der) == ((pki.root.certificate,), False)


def test_another_subject_is_refused_or_recorded(pki: "Pki") -> None:
    der = pki.issue("other")
    with pytest.raises(CheckError, match=r"^the certificate is for CN=other, asked for was CN=dev"):
        _issued(pki, der)
    record = SubjectCheck.RECORD
    assert _issued(pki, der, subject_check=record) == ((pki.root.certificate,), True)
    assert _issued(pki, der, subject=None) == ((pki.root.certificate,), False)


def test_an_unreadable_name_is_shown_as_octets(pki: "Pki") -> None:
    with pytest.raises(CheckError, match=r"asked for was an unreadable Name 0500$"):
        _issued(pki, pki.issue(), subject=b"\x05\x00")
    with pytest.raises(CheckError, match=r"asked for was the NULL-DN$"):
        _issued(pki, pki.issue(), subject=b"\x30\x00")


@pytest.mark.parametrize("name", [b"\x30\x02\x05\x00", b"no Name at all"])
def test_a_name_that_can_not_be_read_is_that_of_the_same_octets(name: bytes) -> None:
    assert checks.same_name(name, bytes(name))
    assert not checks.same_name(name, name + b"\0")


def test_no_name_is_that_of_nobody() -> None:
    for one, other in ((None, None), (b"\x30\x00", None), (None, b"\x30\x00")):
        assert not checks.same_name(one, other)


@pytest.mark.parametrize(("nonce", "shown"), [(None, "none"), (b"", "empty"), (b"\x0a", "0a")])
def test_another_nonce_is_shown(
    answer: "Answer", pki: "Pki", nonce: bytes | None, shown: str
) -> None:
    said = replace(answer, transaction_id=b"id", recip_nonce=nonce)
    message = decode_message(said.signed(pki.signer))
    with pytest.raises(CheckError, match=f"the response has recipNonce {shown}, which is not our"):
        checks.header(
            message,
            transaction_id=b"id",
            nonces=[b"another"],
            expect_sender=None,
        )


def test_a_sender_that_is_no_name_is_told_so(answer: "Answer", pki: "Pki") -> None:
    message = replace(answer, sender=b"\x82\x02ca", transaction_id=b"id", recip_nonce=b"n").plain()
    with pytest.raises(CheckError, match="sender is not a directoryName, expected is the NULL-DN"):
        checks.header(
            decode_message(message),
            transaction_id=b"id",
            nonces=[b"n"],
            expect_sender=b"\x30\x00",
        )


def test_the_issuers_have_their_own_anchors(pki: "Pki") -> None:
    other = TrustStore([pki.stranger.certificate])
    with pytest.raises(CheckError) as caught:
        _issued(pki, pki.issue(), trust=Trust(TrustStore([pki.root.certificate]), other))
    assert caught.value.reason is Reason.CHAIN


def test_a_certificate_of_a_revoked_ca_is_refused(pki: "Pki") -> None:
    at = pki.at()
    middle = pki.certify("sub CA", pki.keys["rsa"], pki.root, ca=True)
    # whose validity begins when no CRL of today is in force any more
    der = pki.certificate("device", pki.keys["ec"], middle, age=-5)
    for entries, reason in (([], None), ([entry_of(middle.certificate, at)], Reason.CHAIN)):
        check = CrlCheck((crl(pki.root, at, entries=entries),), whole_path=True)
        store = TrustStore([pki.root.certificate], [middle.certificate], check)
        trust = Trust(store, store)
        if reason is None:
            assert _issued(pki, der, trust=trust)
            continue
        with pytest.raises(CheckError, match="the certificate: the CRL check: certif") as caught:
            _issued(pki, der, trust=trust)
        assert caught.value.reason is reason


def _unreadable_key(party: "Party") -> bytes:
    prime256v1 = bytes.fromhex("06082a8648ce3d030107")
    return party.certificate.replace(prime256v1, prime256v1[:-1] + b"\x7f")


def test_a_certificate_with_a_key_that_can_not_be_read(pki: "Pki") -> None:
    with pytest.raises(CheckError) as caught:
        _issued(pki, _unreadable_key(pki.device))
    assert caught.value.reason is Reason.CERTIFICATE_MALFORMED
