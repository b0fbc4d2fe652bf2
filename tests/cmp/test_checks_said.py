"""What checks say, word for word: whoever has a device refused acts by it."""

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from bulkcmp.cmp import algorithms, checks
from bulkcmp.cmp.asn1 import encode, explicit, wrap
from bulkcmp.cmp.checks import CheckError, Judgement, Reason, Verdict
from bulkcmp.cmp.messages import BodyType, decode_message
from bulkcmp.cmp.trust import Trust, TrustStore, load_certificate
from bulkcmp.model import SubjectCheck

if TYPE_CHECKING:
    from tests.cmp.conftest import Answer, Peer, Pki

NAME = b"\xa4\x02\x30\x00"
REQUEST = wrap(0x30, wrap(0x30, encode(2), NAME, NAME), b"\xb3\x02\x05\x00")

PASSED = Judgement.PASSED
TOLERATED = Judgement.TOLERATED


@pytest.fixture
def answer(pki: "Pki", peer: "Peer") -> "Answer":
    made = peer.answer(REQUEST, BodyType.PKICONF, b"\x05\x00", pki.signer.subject)
    return replace(made, transaction_id=b"id", recip_nonce=b"nonce")


def said(check: Callable[[], object]) -> tuple[Reason, str, str | None]:
    with pytest.raises(CheckError) as caught:
        check()
    return caught.value.reason, caught.value.what, caught.value.hint


def issued(
    pki: "Pki", der: bytes, told: list[Verdict] | None = None, **changes: object
) -> Callable[[], object]:
    witness = None if told is None else told.append
    return lambda: checks.issued(der, **pki.wanted(witness=witness, **changes))


def signed(
    pki: "Pki",
    message: bytes,
    told: list[Verdict] | None = None,
    trust: Trust | None = None,
    *,
    ignore_keyusage: bool = False,
) -> Callable[[], object]:
    return lambda: checks.signer(
        decode_message(message),
        trust or pki.trust(),
        pki.at(),
        ignore_keyusage=ignore_keyusage,
        allow_weak=False,
        witness=None if told is None else told.append,
    )


def header(message: bytes, told: list[Verdict] | None = None, **changes: object) -> None:
    wanted: dict[str, object] = {
        "transaction_id": b"id",
        "nonces": [b"another", b"nonce"],
        "expect_sender": None,
        "witness": None if told is None else told.append,
        **changes,
    }
    checks.header(decode_message(message), **wanted)  # type: ignore[arg-type]  # as above


def test_a_cert_req_id() -> None:
    error = checks.wrong_cert_req_id(7, [0, 1])
    assert error.reason is Reason.CERT_REQ_ID
    assert error.what == "the response has certReqId 7, ours is 0, 1"


def test_a_header(answer: "Answer", pki: "Pki") -> None:
    good = answer.plain()
    told: list[Verdict] = []
    header(good, told, expect_sender=pki.signer.subject)
    assert told == [
        Verdict(Reason.VERSION, PASSED, "pvno 2"),
        Verdict(Reason.TRANSACTION_ID, PASSED, b"id".hex()),
        Verdict(Reason.RECIP_NONCE, PASSED, b"nonce".hex()),
        Verdict(Reason.SENDER, PASSED, "CN=signer, as expected"),
    ]
    assert said(lambda: header(good, transaction_id=b"ours")) == (
        Reason.TRANSACTION_ID,
        f"the response has transactionID {b'id'.hex()}, ours is {b'ours'.hex()}",
        None,
    )
    assert said(lambda: header(good, nonces=[b"ours"])) == (
        Reason.RECIP_NONCE,
        f"the response has recipNonce {b'nonce'.hex()}, which is not our senderNonce",
        None,
    )
    assert said(lambda: header(good, expect_sender=pki.root.subject)) == (
        Reason.SENDER,
        "the response's sender is CN=signer, expected is CN=root",
        None,
    )


def test_a_signer(answer: "Answer", pki: "Pki") -> None:
    foreign = replace(answer, sender=explicit(4, pki.stranger.subject)).signed(pki.stranger)
    reason, what, hint = said(signed(pki, foreign))
    assert reason is Reason.SIGNER_NOT_TRUSTED
    assert what.startswith("the response is signed by CN=signer: ")
    assert hint == "is --trusted the CA's certificate, and the address the right server?"
    mute = answer.signed(pki.certify("signer", pki.keys["ec"], pki.root, sign=False))
    assert said(signed(pki, mute)) == (
        Reason.SIGNER_KEY_USAGE,
        "the signer CN=signer has a keyUsage without digitalSignature",
        "--ignore-keyusage accepts it",
    )
    told: list[Verdict] = []
    signed(pki, mute, told, ignore_keyusage=True)()
    assert (
        Verdict(
            Reason.SIGNER_KEY_USAGE,
            TOLERATED,
            "a keyUsage without digitalSignature (--ignore-keyusage)",
        )
        in told
    )
    other = replace(answer, sender=explicit(4, pki.root.subject)).signed(pki.signer)
    store = TrustStore([pki.root.certificate])
    pinned = Trust(store, store, srvcert=pki.signer.certificate)
    assert said(signed(pki, other, trust=pinned)) == (
        Reason.SENDER,
        "the response's sender is CN=root, but CN=signer signed it",
        None,
    )


def test_a_path_of_several(answer: "Answer", pki: "Pki") -> None:
    middle = pki.certify("sub CA", pki.keys["rsa"], pki.root, ca=True)
    signer = pki.certify("signer", pki.keys["ec"], middle)
    told: list[Verdict] = []
    signed(pki, answer.signed(signer, middle.certificate), told)()
    assert Verdict(Reason.SIGNER_NOT_TRUSTED, PASSED, "CN=sub CA / CN=root") in told


def test_a_certificate(pki: "Pki") -> None:
    reason, what, hint = said(issued(pki, b"\x30\x00"))
    assert (reason, hint) == (Reason.CERTIFICATE_MALFORMED, None)
    assert what.startswith("not a usable certificate: ")
    key = algorithms.public_key_info(pki.keys["rsa"])
    assert said(issued(pki, pki.issue(), public_key=key)) == (
        Reason.PUBLIC_KEY,
        "the certificate is for a public key that is not ours",
        None,
    )
    assert said(issued(pki, pki.issue("other"))) == (
        Reason.SUBJECT,
        "the certificate is for CN=other, asked for was CN=device",
        "--subject-check record accepts what the CA chose, and records both",
    )
    elsewhere = TrustStore([pki.stranger.certificate])
    reason, what, hint = said(issued(pki, pki.issue(), trust=Trust(elsewhere, elsewhere)))
    assert reason is Reason.CHAIN
    assert what.startswith("the certificate: ")
    assert hint == "is --trusted (or --out-trusted) the anchor of this CA?"


@pytest.mark.parametrize("chosen", [False, True])
def test_each_check_of_a_certificate(pki: "Pki", chosen: bool) -> None:
    party = pki.certify("other" if chosen else "device", pki.keys["ec"], pki.root)
    certificate = party.certificate
    told: list[Verdict] = []
    issued(pki, certificate, told, subject_check=SubjectCheck.RECORD)()
    loaded = load_certificate(certificate)
    subject, judged = ("CN=other", TOLERATED) if chosen else ("CN=device", PASSED)
    assert told[:5] == [
        Verdict(Reason.CERTIFICATE_MALFORMED, PASSED, f"serial {loaded.serial_number:X}"),
        Verdict(Reason.PUBLIC_KEY, PASSED, "the right one"),
        Verdict(Reason.SUBJECT, judged, subject),
        Verdict(Reason.EXPIRED, PASSED, f"good until {loaded.not_valid_after_utc:%Y-%m-%d %H:%M}Z"),
        Verdict(Reason.CHAIN, PASSED, "CN=root"),
    ]


def test_a_certificate_is_good_until_its_last_second(pki: "Pki") -> None:
    certificate = pki.issue()
    last = load_certificate(certificate).not_valid_after_utc
    issued(pki, certificate, at=last)()
    assert said(issued(pki, certificate, at=last + dt.timedelta(seconds=1))) == (
        Reason.EXPIRED,
        f"the certificate expired at {last:%Y-%m-%d %H:%M}Z",
        None,
    )
