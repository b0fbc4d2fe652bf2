"""Responses that fail a check."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest

from bulkcmp.cmp import algorithms, protection
from bulkcmp.cmp.asn1 import encode, wrap
from bulkcmp.cmp.checks import Reason
from bulkcmp.cmp.messages import BodyType, PKIStatus
from bulkcmp.cmp.protection import MacParameters
from bulkcmp.model import (
    Operation,
    Outcome,
    OutcomeClass,
    PasswordMac,
    Profile,
    Secret,
)
from tests.cmp.ways import (
    error,
)

if TYPE_CHECKING:
    from tests.cmp.conftest import Answer, MakeRun, Peer, Run

OTHER_SECRET = Secret(b"of somebody else")


@dataclass
class Case:
    """A response to an ir, and the end of its transaction.

    Attributes:
        credential: None where the case holds under either; the response is then given unprotected
            to be protected in the credential's own way.
    """

    response: "Callable[[Run], bytes | Answer]"
    outcome: OutcomeClass
    reason: str
    credential: str | None = "mac"
    profile: Profile = field(default_factory=Profile)


BAD = OutcomeClass.BAD_RESPONSE


def _rejected(run: "Run", *bits: str) -> "Answer":
    status = run.peer.status(PKIStatus.REJECTION, *bits, text=("no",))
    return run.answer(run.peer.cert_rep(run.peer.response(status, cert_req_id=77)))


def _spoiled(message: bytes) -> bytes:
    """The message with the last bit of its protection flipped (no extraCerts follow)."""
    return message[:-1] + bytes((message[-1] ^ 1,))


def _spoiled_signature(run: "Run") -> bytes:
    granted = run.granted().signed(run.pki.signer)
    nonce = granted.index(b"nonce of the peer")
    return granted[:nonce] + b"m" + granted[nonce + 1 :]


def _mac(**changes: Any) -> MacParameters:
    return MacParameters.choose(**{"salt": b"x", "iterations": 100, **changes})


def _mac_algorithm(run: "Run", *elements: bytes) -> bytes:
    algorithm = wrap(0x30, encode(protection.PASSWORD_BASED_MAC), *elements)
    return run.granted().plain(algorithm=algorithm, value=bytes(32))


def _lax(run: "Run") -> bytes:
    signer = run.pki.certify("signer", run.pki.keys["ec"], run.pki.root, sign=False)
    return run.granted().signed(signer)


def _body(body: bytes) -> "Callable[[Run], Answer]":
    return lambda run: run.answer(body)


UNKNOWN_ALGORITHM = wrap(0x30, b"\x06\x03\x2a\x03\x04")

CASES: dict[str, Case] = {
    "no DER": Case(lambda run: b"<html>", BAD, Reason.MALFORMED, None),
    "empty": Case(lambda run: b"", BAD, Reason.MALFORMED, None),
    "truncated": Case(lambda run: run.granted().macced()[:-1], BAD, Reason.MALFORMED),
    "trailing octets": Case(lambda run: run.granted().macced() + b"\0", BAD, Reason.MALFORMED),
    "body of no known type": Case(
        lambda run: wrap(0x30, wrap(0x30, b"\x02\x01\x02", b"\xa4\0", b"\xa4\0"), b"\xbb\x00"),
        BAD,
        Reason.MALFORMED,
        None,
    ),
    "body that can't be decoded": Case(_body(b"\x02\x01\x05"), BAD, Reason.MALFORMED, None),
    "two bodies": Case(
        lambda run: run.answer(run.peer.granted(run.pki.issue()) * 2), BAD, Reason.MALFORMED, None
    ),
    "pvno 1": Case(lambda run: replace(run.granted(), pvno=1), BAD, Reason.VERSION, None),
    "pvno 4": Case(lambda run: replace(run.granted(), pvno=4), BAD, Reason.VERSION, None),
    "pvno of 20,000 bits": Case(
        lambda run: replace(run.granted(), pvno=1 << 20_000), BAD, Reason.MALFORMED, None
    ),
    "another transactionID": Case(
        lambda run: replace(run.granted(), transaction_id=b"another"),
        BAD,
        Reason.TRANSACTION_ID,
        None,
    ),
    "no transactionID": Case(
        lambda run: replace(run.granted(), transaction_id=None), BAD, Reason.TRANSACTION_ID, None
    ),
    "another recipNonce": Case(
        lambda run: replace(run.granted(), recip_nonce=b""), BAD, Reason.RECIP_NONCE, None
    ),
    "no recipNonce": Case(
        lambda run: replace(run.granted(), recip_nonce=None), BAD, Reason.RECIP_NONCE, None
    ),
    "not the expected sender": Case(
        lambda run: run.granted(),
        BAD,
        Reason.SENDER,
        None,
        Profile(expect_sender=wrap(0x30)),
    ),
    "sender that is no name": Case(
        lambda run: replace(run.granted(), sender=b"\x82\x02ca").macced(),
        BAD,
        Reason.SENDER,
        profile=Profile(expect_sender=wrap(0x30)),
    ),
    "sender with a BIT STRING for a CN": Case(
        lambda run: replace(
            run.granted(),
            sender=wrap(
                0xA4,
                wrap(0x30, wrap(0x31, wrap(0x30, b"\x06\x03\x55\x04\x03", b"\x03\x02\x00A"))),
            ),
        ).macced(),
        BAD,
        Reason.SENDER,
        profile=Profile(expect_sender=wrap(0x30)),
    ),
    "sender that is not the signer": Case(
        lambda run: replace(run.granted(), sender=wrap(0xA4, wrap(0x30))).signed(run.pki.signer),
        BAD,
        Reason.SENDER,
        "signature",
    ),
    "no protection": Case(lambda run: run.granted().plain(), BAD, Reason.PROTECTION_MISSING, None),
    "protection without protectionAlg": Case(
        lambda run: run.granted().plain(value=bytes(32)), BAD, Reason.PROTECTION_MISSING, None
    ),
    "protectionAlg without protection": Case(
        lambda run: run.granted().plain(algorithm=run.peer.peer_mac.identifier),
        BAD,
        Reason.PROTECTION_MISSING,
        None,
    ),
    "protection of seven bits": Case(
        lambda run: (
            run.granted().macced().replace(b"\xa0\x17\x03\x15\x00", b"\xa0\x17\x03\x15\x01")
        ),
        BAD,
        Reason.MALFORMED,
    ),
    "another secret": Case(lambda run: run.granted().macced(OTHER_SECRET), BAD, Reason.MAC),
    "a spoiled MAC": Case(lambda run: _spoiled(run.granted().macced()), BAD, Reason.MAC),
    "a MAC, but we share no secret": Case(
        lambda run: run.granted().macced(), BAD, Reason.NO_SECRET, "signature"
    ),
    "too many iterations": Case(
        lambda run: run.granted().macced(parameters=_mac(iterations=101)),
        BAD,
        Reason.PROTECTION_ALGORITHM,
        profile=Profile(max_pbm_iterations=100),
    ),
    "no iterations": Case(
        lambda run: run.granted().keyed(b"any", _mac(iterations=0)),
        BAD,
        Reason.PROTECTION_ALGORITHM,
    ),
    "iterations of 20,000 bits": Case(
        lambda run: run.granted().keyed(b"any", _mac(iterations=1 << 20_000)),
        BAD,
        Reason.PROTECTION_ALGORITHM,
    ),
    "too many iterations of PBMAC1": Case(
        lambda run: run.granted().macced(parameters=_mac(kind=PasswordMac.PBMAC1, iterations=101)),
        BAD,
        Reason.PROTECTION_ALGORITHM,
        profile=Profile(max_pbm_iterations=100),
    ),
    "another secret under PBMAC1": Case(
        lambda run: run.granted().macced(OTHER_SECRET, _mac(kind=PasswordMac.PBMAC1)),
        BAD,
        Reason.MAC,
    ),
    "RSASSA-PSS without parameters": Case(
        lambda run: replace(run.granted(), extra_certs=(run.pki.signer.certificate,)).plain(
            algorithm=bytes.fromhex("300b06092a864886f70d01010a"), value=b"?"
        ),
        BAD,
        Reason.PROTECTION_ALGORITHM,
        "signature",
    ),
    "a kilobyte and more of salt": Case(
        lambda run: run.granted().macced(parameters=_mac(salt=bytes(1025))),
        BAD,
        Reason.PROTECTION_ALGORITHM,
    ),
    "MAC without parameters": Case(_mac_algorithm, BAD, Reason.PROTECTION_ALGORITHM),
    "MAC with parameters that can't be decoded": Case(
        lambda run: _mac_algorithm(run, b"\x05\x00"), BAD, Reason.PROTECTION_ALGORITHM
    ),
    "MAC with an unknown one-way function": Case(
        lambda run: _mac_algorithm(
            run,
            wrap(
                0x30,
                b"\x04\x00",
                UNKNOWN_ALGORITHM,
                b"\x02\x01\x05",
                algorithms.MAC_IDENTIFIERS["hmac-sha1"],
            ),
        ),
        BAD,
        Reason.PROTECTION_ALGORITHM,
    ),
    "MAC by an unknown algorithm": Case(
        lambda run: _mac_algorithm(
            run,
            wrap(
                0x30,
                b"\x04\x00",
                algorithms.DIGEST_IDENTIFIERS["sha1"],
                b"\x02\x01\x05",
                UNKNOWN_ALGORITHM,
            ),
        ),
        BAD,
        Reason.PROTECTION_ALGORITHM,
    ),
    "a changed message under a signature": Case(
        _spoiled_signature, BAD, Reason.SIGNATURE, "signature"
    ),
    "an unknown signature algorithm": Case(
        lambda run: replace(run.granted(), extra_certs=(run.pki.signer.certificate,)).plain(
            algorithm=UNKNOWN_ALGORITHM, value=b"?"
        ),
        BAD,
        Reason.PROTECTION_ALGORITHM,
        "signature",
    ),
    "a signature of another key type": Case(
        lambda run: replace(run.granted(), extra_certs=(run.pki.signer.certificate,)).plain(
            algorithm=algorithms.signature_identifier(run.pki.keys["rsa"], "sha256"), value=b"?"
        ),
        BAD,
        Reason.SIGNATURE,
        "signature",
    ),
    "a signer that nobody knows": Case(
        lambda run: run.granted().plain(
            algorithm=algorithms.signature_identifier(run.pki.signer.key, "sha256"), value=b"?"
        ),
        BAD,
        Reason.SIGNER_MISSING,
        "signature",
    ),
    "a signer's certificate that can't be read": Case(
        lambda run: replace(run.granted(), extra_certs=(b"\x30\x00",)).plain(
            algorithm=algorithms.signature_identifier(run.pki.signer.key, "sha256"), value=b"?"
        ),
        BAD,
        Reason.SIGNATURE,
        "signature",
    ),
    "a signer of another CA": Case(
        lambda run: run.granted().signed(run.pki.stranger),
        BAD,
        Reason.SIGNER_NOT_TRUSTED,
        "signature",
    ),
    "a signer whose certificate has expired": Case(
        lambda run: run.granted().signed(
            run.pki.certify("signer", run.pki.keys["ec"], run.pki.root, age=9, days=8)
        ),
        BAD,
        Reason.SIGNER_NOT_TRUSTED,
        "signature",
    ),
    "a signer without digitalSignature": Case(_lax, BAD, Reason.SIGNER_KEY_USAGE, "signature"),
    "a message that answers nothing": Case(
        lambda run: run.answer(b"\x05\x00", BodyType.PKICONF), BAD, Reason.BODY_TYPE, None
    ),
    "the answer to another operation": Case(
        lambda run: run.answer(run.peer.granted(run.pki.issue()), BodyType.CP),
        BAD,
        Reason.BODY_TYPE,
        None,
    ),
    "a pollRep unasked": Case(
        lambda run: run.answer(run.peer.poll_rep(1), BodyType.POLL_REP),
        BAD,
        Reason.BODY_TYPE,
        None,
    ),
    "no response in the ip": Case(
        lambda run: run.answer(run.peer.cert_rep()), BAD, Reason.RESPONSE_COUNT, None
    ),
    "two responses": Case(
        lambda run: run.answer(run.peer.cert_rep(*[run.peer.response(run.peer.status(0))] * 2)),
        BAD,
        Reason.RESPONSE_COUNT,
        None,
    ),
    "another certReqId": Case(
        lambda run: run.answer(run.peer.granted(run.pki.issue(), cert_req_id=1)),
        BAD,
        Reason.CERT_REQ_ID,
        None,
    ),
    "certReqId of 20,000 bits": Case(
        lambda run: run.answer(run.peer.granted(run.pki.issue(), cert_req_id=1 << 20_000)),
        BAD,
        Reason.MALFORMED,
        None,
    ),
    "a status that is none of an ip": Case(
        lambda run: run.answer(run.peer.granted(run.pki.issue(), status=6)),
        BAD,
        Reason.STATUS,
        None,
    ),
    "accepted without a certificate": Case(
        lambda run: run.answer(run.peer.cert_rep(run.peer.response(run.peer.status(0)))),
        BAD,
        Reason.CERTIFICATE_MISSING,
        None,
    ),
    "accepted with an empty CertifiedKeyPair": Case(
        _body(
            wrap(
                0x30,
                wrap(0x30, wrap(0x30, b"\x02\x01\x00", wrap(0x30, b"\x02\x01\x00"), b"\x30\x00")),
            )
        ),
        BAD,
        Reason.CERTIFICATE_MISSING,
        None,
    ),
    "an encrypted certificate": Case(
        lambda run: run.answer(
            run.peer.cert_rep(run.peer.response(run.peer.status(0), wrap(0xA1, b"\x30\x00")))
        ),
        BAD,
        Reason.CERTIFICATE_MISSING,
        None,
    ),
    "generalInfo that is no list": Case(
        lambda run: replace(run.granted(), general_info=(b"\x05\x00",)),
        BAD,
        Reason.MALFORMED,
        None,
        Profile(implicit_confirm=True),
    ),
    # --- refusals
    "rejected": Case(
        lambda run: _rejected(run, "badPOP", "badAlg"),
        OutcomeClass.REJECTED,
        "badAlg, badPOP",
        None,
    ),
    "rejected without failInfo": Case(_rejected, OutcomeClass.REJECTED, "", None),
    "error": Case(
        lambda run: error(run, "systemUnavail"), OutcomeClass.REJECTED, "systemUnavail", None
    ),
    "error about our protection": Case(
        lambda run: error(run, "badMessageCheck"),
        OutcomeClass.CREDENTIALS_REFUSED,
        "badMessageCheck",
        None,
    ),
    "error that can't be decoded": Case(
        lambda run: run.answer(b"\x05\x00", BodyType.ERROR), BAD, Reason.MALFORMED, None
    ),
    "error without protection": Case(
        lambda run: error(run, "badRequest").plain(),
        OutcomeClass.REJECTED_UNAUTHENTICATED,
        "badRequest",
        None,
    ),
    "rejected without protection": Case(
        lambda run: _rejected(run, "badRequest").plain(),
        OutcomeClass.REJECTED_UNAUTHENTICATED,
        "badRequest",
        None,
    ),
    "error about our protection, without any": Case(
        lambda run: error(run, "wrongIntegrity").plain(),
        OutcomeClass.CREDENTIALS_REFUSED,
        "wrongIntegrity",
        None,
    ),
    "error under another secret": Case(
        lambda run: error(run).macced(OTHER_SECRET), OutcomeClass.REJECTED_UNAUTHENTICATED, ""
    ),
    "error by a stranger": Case(
        lambda run: error(run).signed(run.pki.stranger),
        OutcomeClass.REJECTED_UNAUTHENTICATED,
        "",
        "signature",
    ),
    "error without protection, believed": Case(
        lambda run: error(run, "badRequest").plain(),
        OutcomeClass.REJECTED,
        "badRequest",
        None,
        Profile(unprotected_errors=True),
    ),
    "error of another transaction is never believed": Case(
        lambda run: replace(error(run), transaction_id=b"another").plain(),
        OutcomeClass.REJECTED_UNAUTHENTICATED,
        "",
        None,
        Profile(unprotected_errors=True),
    ),
    "a certificate without protection is never believed": Case(
        lambda run: run.granted().plain(),
        BAD,
        Reason.PROTECTION_MISSING,
        None,
        Profile(unprotected_errors=True),
    ),
    "waiting without protection is no refusal": Case(
        lambda run: error(run, status=PKIStatus.WAITING).plain(),
        BAD,
        Reason.PROTECTION_MISSING,
        None,
        Profile(unprotected_errors=True),
    ),
    "unprotected nonsense": Case(
        lambda run: run.answer(b"\x05\x00").plain(), BAD, Reason.PROTECTION_MISSING, None
    ),
    "unprotected, two responses": Case(
        lambda run: run.answer(
            run.peer.cert_rep(*[run.peer.response(run.peer.status(2))] * 2)
        ).plain(),
        BAD,
        Reason.PROTECTION_MISSING,
        None,
    ),
    "unprotected, of another type": Case(
        lambda run: run.confirmed().plain(), BAD, Reason.PROTECTION_MISSING, None
    ),
}


@pytest.mark.parametrize(
    ("case", "credential"),
    [
        pytest.param(case, credential, id=f"{name} ({credential})")
        for name, case in CASES.items()
        for credential in ([case.credential] if case.credential else ["mac", "signature"])
    ],
)
def test_a_response_that_grants_nothing(make_run: "MakeRun", case: Case, credential: str) -> None:
    run = make_run(credential=credential, profile=case.profile)
    run.start()
    response = case.response(run)
    if not isinstance(response, bytes):
        response = response.macced() if credential == "mac" else response.signed(run.pki.signer)
    finish = run.end(response)
    assert (finish.outcome.outcome, finish.outcome.reason) == (case.outcome, case.reason)
    assert finish.outcome.detail
    assert finish.checkpoint == run.stored[0], "nothing but the request is on record"
    assert finish.checkpoint.parts[0].certificate is None


@pytest.mark.parametrize(
    ("status", "outcome", "reason"),
    [
        ((PKIStatus.REJECTION,), OutcomeClass.REJECTED, ""),
        ((PKIStatus.KEY_UPDATE_WARNING,), BAD, Reason.STATUS),
        ((0, 0), BAD, Reason.RESPONSE_COUNT),
        ((), BAD, Reason.RESPONSE_COUNT),
    ],
)
def test_an_rp_that_revokes_nothing(
    make_run: "MakeRun",
    peer: "Peer",
    status: tuple[int, ...],
    outcome: OutcomeClass,
    reason: str,
) -> None:
    run = make_run(Operation.RR)
    run.start()
    body = peer.rev_rep(*map(peer.status, status))
    finish = run.end(run.answer(body).macced())
    assert (finish.outcome.outcome, finish.outcome.reason) == (outcome, reason)


@pytest.mark.parametrize(
    ("statuses", "outcome"),
    [((2,), OutcomeClass.REJECTED_UNAUTHENTICATED), ((0,), BAD), ((2, 2), BAD)],
)
def test_an_unprotected_rp(
    make_run: "MakeRun", peer: "Peer", statuses: tuple[int, ...], outcome: OutcomeClass
) -> None:
    run = make_run(Operation.RR)
    run.start()
    body = peer.rev_rep(*map(peer.status, statuses))
    assert run.end(run.answer(body).plain()).outcome.outcome is outcome


def test_what_a_refusal_says_is_kept_and_labelled(make_run: "MakeRun") -> None:
    run = make_run()
    run.start()
    assert run.end(error(run, "badRequest").macced()).outcome == Outcome(
        OutcomeClass.REJECTED,
        "badRequest",
        "no / because (badRequest)",
        pki_status=2,
        fail_info=("badRequest",),
        status_text="no / because",
    )
    run = make_run()
    run.start()
    assert run.end(error(run).plain()).outcome == Outcome(
        OutcomeClass.REJECTED_UNAUTHENTICATED,
        "",
        "(unauthenticated) no / because (no failInfo); the response is not protected",
        pki_status=2,
        status_text="(unauthenticated) no / because",
    )
