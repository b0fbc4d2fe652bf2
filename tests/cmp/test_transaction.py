"""The transaction, event by event."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, get_args
from unittest.mock import ANY

import pytest
from cryptography import x509

from bulkcmp.cmp import algorithms, envelope, messages, protection, recipient
from bulkcmp.cmp.asn1 import encode, explicit, wrap
from bulkcmp.cmp.checks import Reason
from bulkcmp.cmp.events import (
    Checkpoint,
    DeriveKey,
    Event,
    Finish,
    KeyDerived,
    Lost,
    Part,
    Phase,
    Received,
    Refused,
    Send,
    Start,
    Stop,
    Store,
    Stored,
    TimerFired,
    WakeAt,
)
from bulkcmp.cmp.general import CA_CERTS, encode_infos
from bulkcmp.cmp.messages import BodyType, PKIStatus
from bulkcmp.cmp.protection import Derivation, MacParameters
from bulkcmp.cmp.request import MacCredential, SignatureCredential
from bulkcmp.cmp.state import TRANSITIONS, State
from bulkcmp.cmp.trust import Trust, TrustStore
from bulkcmp.errors import LocalCmpError, Loss
from bulkcmp.model import (
    Itav,
    Operation,
    Outcome,
    OutcomeClass,
    PasswordMac,
    Profile,
    RsaPadding,
    Secret,
    SubjectCheck,
    Timings,
)

if TYPE_CHECKING:
    from tests.cmp.conftest import Answer, MakeRun, Opaque, Peer, Pki, Run

IMPLICIT = wrap(0x30, encode(messages.IT_IMPLICIT_CONFIRM), b"\x05\x00")
OTHER_SECRET = Secret(b"of somebody else")
BOTH = pytest.mark.parametrize("credential", ["mac", "signature"])
NEVER_PROCESSED = {Loss.CONNECT, Loss.TLS, Loss.NOT_SENT, Loss.NO_LAYER, Loss.BUSY}
QUICK = Profile(retries=1, backoff_first=2.0)

# --- the way that all is well -------------------------------------------------------------------


def test_an_enrollment_under_a_mac_step_by_step(make_run: "MakeRun", pki: "Pki") -> None:
    run = make_run()
    own = Derivation(run.peer.secret, b"our own salt", "sha256", 3)
    assert run.tell(Start(run.now)) == [DeriveKey(own)]
    requested = Checkpoint(
        transaction_id=b"sixteen octets..",
        request_nonce=b"our nonce      1",
        sent_nonce=b"our nonce      1",
        received_nonce=None,
        protection=run.peer.own_mac.identifier,
        deadline=run.now + 600,
        parts=(Part(1, Phase.REQUESTED, 0),),
    )
    assert run.tell(KeyDerived(run.now, protection.derive(own))) == [Store(requested)]
    assert run.tell(Stored(run.now)) == [Send(ANY, "ir", opens=True)]
    assert run.message.header.transactionID == b"sixteen octets.."
    assert run.message.header.senderNonce == b"our nonce      1"
    assert run.message.header.recipNonce is None
    protection.check_mac(run.message, run.peer.own_mac, protection.derive(own))

    answer = run.granted().macced()
    theirs = Derivation(run.peer.secret, b"the peer's salt", "sha256", 2)
    assert run.tell(Received(run.now + 1, answer, run.now)) == [DeriveKey(theirs)]
    assert run.kept.certificate is None
    (store,) = run.tell(KeyDerived(run.now + 2, protection.derive(theirs)))
    assert isinstance(store, Store)
    issued = store.checkpoint
    certificate = issued.parts[0].certificate
    assert issued == replace(
        requested,
        received_nonce=b"nonce of the peer",
        parts=(
            Part(
                1,
                Phase.GRANTED,
                0,
                certificate=certificate,
                chain=(pki.root.certificate,),
                granted=Outcome(OutcomeClass.ISSUED, pki_status=0),
                confirm=True,
            ),
        ),
    )
    assert certificate is not None
    assert certificate in answer

    assert run.tell(Stored(run.now + 3)) == [Send(ANY, "certConf", opens=False)]
    assert run.message.header.senderNonce == b"our nonce      2"
    assert run.message.header.recipNonce == b"nonce of the peer"
    (status,) = messages.decode_cert_confirm_content(run.message.body)
    assert (status.certReqId, status.statusInfo, status.hashAlg) == (0, None, None)
    assert status.certHash == algorithms.hash_by(
        algorithms.DIGEST_IDENTIFIERS["sha256"], certificate
    )

    pki_conf = run.confirmed().macced(parameters=run.peer.own_mac)
    assert run.tell(Received(run.now + 5, pki_conf, run.now + 3)) == [
        Finish(
            (Outcome(OutcomeClass.ISSUED, pki_status=0),),
            replace(issued, sent_nonce=b"our nonce      2"),
            Timings(service=5.0, request=1.0, polling=None, confirm=2.0),
            sends=1,
        )
    ]


@BOTH
@pytest.mark.parametrize(
    ("operation", "label"),
    [
        (Operation.IR, "ir"),
        (Operation.CR, "cr"),
        (Operation.KUR, "kur"),
        (Operation.P10CR, "p10cr"),
    ],
)
def test_an_enrollment_ends_issued(
    make_run: "MakeRun", pki: "Pki", operation: Operation, label: str, credential: str
) -> None:
    run = make_run(operation, credential)
    sign = credential == "signature"

    def protect(answer: "Answer") -> bytes:
        return answer.signed(pki.signer) if sign else answer.macced()

    assert run.start() == Send(ANY, label, opens=True)
    assert run.receive(protect(run.granted())) == Send(ANY, "certConf", opens=False)
    assert run.end(protect(run.confirmed())).outcome == Outcome(OutcomeClass.ISSUED, pki_status=0)
    assert run.kept.chain == (pki.root.certificate,)
    assert run.kept.cert_req_id == (-1 if operation is Operation.P10CR else 0)


@BOTH
@pytest.mark.parametrize(
    "status",
    [
        PKIStatus.ACCEPTED,
        PKIStatus.GRANTED_WITH_MODS,
        PKIStatus.REVOCATION_WARNING,
        PKIStatus.REVOCATION_NOTIFICATION,
    ],
)
def test_a_revocation_ends_revoked(
    make_run: "MakeRun", pki: "Pki", peer: "Peer", credential: str, status: PKIStatus
) -> None:
    run = make_run(Operation.RR, credential)
    assert run.start() == Send(ANY, "rr", opens=True)
    answer = run.answer(peer.rev_rep(peer.status(status)))
    finish = run.end(answer.signed(pki.signer) if credential == "signature" else answer.macced())
    assert finish.outcome == Outcome(OutcomeClass.REVOKED, pki_status=status)
    assert finish.timings == Timings(service=0.5, request=0.5)


def test_a_mac_request_may_be_answered_by_a_signature(make_run: "MakeRun", pki: "Pki") -> None:
    run = make_run()
    run.start()
    assert run.receive(run.granted().signed(pki.signer)) == Send(ANY, "certConf", opens=False)
    assert run.end(run.confirmed().signed(pki.signer)).outcome.outcome is OutcomeClass.ISSUED


def test_an_answer_under_our_own_parameters_needs_no_second_derivation(make_run: "MakeRun") -> None:
    run = make_run()
    run.start()
    answer = run.granted().macced(parameters=run.peer.own_mac)
    (instruction,) = run.tell(Received(run.now, answer, run.now))
    assert isinstance(instruction, Store)


def test_a_p10cr_may_be_answered_under_certreqid_0_and_is_confirmed_under_it(
    make_run: "MakeRun", pki: "Pki", peer: "Peer"
) -> None:
    run = make_run(Operation.P10CR)
    run.start()
    run.receive(run.answer(peer.granted(pki.issue(), cert_req_id=0)).macced())
    (status,) = messages.decode_cert_confirm_content(run.message.body)
    assert status.certReqId == 0


def test_granted_with_mods_is_issued_and_says_so(
    make_run: "MakeRun", pki: "Pki", peer: "Peer"
) -> None:
    run = make_run()
    run.start()
    status = peer.status(PKIStatus.GRANTED_WITH_MODS, "badAlg", text=("a shorter", "validity"))
    body = peer.cert_rep(peer.response(status, wrap(0xA0, pki.issue())))
    run.receive(run.answer(body).macced())
    assert run.end(run.confirmed().macced()).outcome == Outcome(
        OutcomeClass.ISSUED,
        pki_status=1,
        fail_info=("badAlg",),
        status_text="a shorter / validity",
    )


def test_a_certificate_of_the_distant_future_is_taken(make_run: "MakeRun", pki: "Pki") -> None:
    run = make_run()
    run.start()
    run.receive(run.granted(pki.issue(age=-30)).macced())
    assert run.end(run.confirmed().macced()).outcome.outcome is OutcomeClass.ISSUED


# --- PBMAC1 and RSASSA-PSS ----------------------------------------------------------------------


@pytest.mark.parametrize("asks", PasswordMac)
@pytest.mark.parametrize("answers", PasswordMac)
def test_an_enrollment_under_either_password_based_mac(
    make_run: "MakeRun", asks: PasswordMac, answers: PasswordMac
) -> None:
    own, theirs = (_mac(salt=salt, kind=kind) for salt, kind in ((b"x", asks), (b"y", answers)))
    run = make_run(credential=MacCredential("device", Secret(b"between us"), own))
    assert run.start() == Send(ANY, "ir", opens=True)
    assert run.stored[0].protection == own.identifier
    key = protection.derive(own.derivation(run.peer.secret))
    protection.check_mac(run.message, own, key)
    run.tell(Received(run.now, run.granted().macced(parameters=theirs), run.now))
    derived = KeyDerived(run.now, protection.derive(theirs.derivation(run.peer.secret)))
    assert run.go(derived) == Send(ANY, "certConf", opens=False)
    protection.check_mac(run.message, own, key)
    finish = run.end(run.confirmed().macced(parameters=theirs))
    assert finish.outcome == Outcome(OutcomeClass.ISSUED, pki_status=0)


def test_resume_goes_on_under_the_recorded_pbmac1(make_run: "MakeRun") -> None:
    run = make_run()
    run.start()
    run.receive(run.granted().macced())
    heavy = _mac(kind=PasswordMac.PBMAC1, iterations=200_000)
    again = make_run(checkpoint=replace(run.stored[-1], protection=heavy.identifier))
    assert again.tell(Start(again.now)) == [DeriveKey(heavy.derivation(again.peer.secret))]


def test_an_enrollment_signed_by_pss(make_run: "MakeRun", pki: "Pki") -> None:
    device, signer = (pki.certify(name, pki.keys["rsa"], pki.root) for name in ("device", "signer"))
    run = make_run(
        credential=SignatureCredential(device.pkcs8, (device.certificate,)),
        profile=Profile(digest="sha512", rsa_padding=RsaPadding.PSS),
        new_key=device.pkcs8,
    )
    run.start()
    ours = algorithms.signature_identifier(device.key, "sha512", RsaPadding.PSS)
    assert protection.algorithm_of(run.message) == ours
    issued = pki.certify("device", pki.keys["rsa"], pki.root).certificate
    theirs = algorithms.Pss("sha256", "sha384", 11)
    assert run.receive(run.granted(issued).signed(signer, scheme=theirs)) == Send(
        ANY, "certConf", opens=False
    )
    finish = run.end(run.confirmed().signed(signer, scheme=RsaPadding.PSS))
    assert finish.outcome == Outcome(OutcomeClass.ISSUED, pki_status=0)


# --- implicit confirmation ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "granted", "confirms"),
    [(True, True, False), (True, False, True), (False, True, True), (False, False, True)],
)
def test_certconf_is_left_out_only_where_that_was_asked_and_granted(
    make_run: "MakeRun", *, asked: bool, granted: bool, confirms: bool
) -> None:
    run = make_run(profile=Profile(implicit_confirm=asked))
    run.start()
    assert (run.message.info(messages.IT_IMPLICIT_CONFIRM) is not None) == asked
    other = wrap(0x30, encode(messages.IT_CONFIRM_WAIT_TIME))
    info = (other, IMPLICIT) if granted else (other,)
    result = run.receive(replace(run.granted(), general_info=info).macced())
    if confirms:
        assert result == Send(ANY, "certConf", opens=False)
        assert run.message.header.generalInfo is None
    else:
        assert result == Finish(
            (Outcome(OutcomeClass.ISSUED, pki_status=0),), ANY, Timings(0.5, 0.5), sends=1
        )


# --- polling ------------------------------------------------------------------------------------


def test_polling_step_by_step(make_run: "MakeRun", peer: "Peer") -> None:
    run = make_run()
    run.start()
    begun = run.now
    waiting = run.answer(peer.waiting()).macced(parameters=peer.own_mac)
    (store,) = run.tell(Received(begun + 1, waiting, begun))
    assert isinstance(store, Store)
    parked = store.checkpoint
    assert parked.parts == (Part(1, Phase.WAITING, 0, check_at=begun + 1),)
    assert parked.received_nonce == b"nonce of the peer"
    assert run.tell(Stored(begun + 1)) == [WakeAt(begun + 1)]

    assert run.tell(TimerFired(begun + 1)) == [Send(ANY, "pollReq", opens=False)]
    (poll,) = messages.decode_poll_req_content(run.message.body)
    assert poll.certReqId == 0
    assert run.message.header.senderNonce == b"our nonce      2"
    assert run.message.header.recipNonce == b"nonce of the peer"

    run.now = begun + 2
    assert run.receive(run.answer(peer.poll_rep(10), BodyType.POLL_REP).macced()) == WakeAt(
        begun + 12.5
    )
    run.now = begun + 12.5
    assert run.go(TimerFired(run.now)) == Send(ANY, "pollReq", opens=False)
    assert run.receive(run.granted().macced()) == Send(ANY, "certConf", opens=False)
    finish = run.end(run.confirmed().macced())
    assert finish.outcome.outcome is OutcomeClass.ISSUED
    assert finish.timings == Timings(service=13.5, request=1.0, polling=12.0, confirm=0.5)
    assert finish.sends == 1


@pytest.mark.parametrize("nonce", ["of the request", "of the last pollReq"])
def test_the_answer_after_polling_repeats_either_nonce(
    make_run: "MakeRun", peer: "Peer", nonce: str
) -> None:
    run = make_run()
    run.start()
    first = run.message.header.senderNonce
    run.receive(run.answer(peer.waiting()).macced())
    run.go(TimerFired(run.now))
    answer = run.granted()
    if nonce == "of the request":
        answer = replace(answer, recip_nonce=first)
    assert run.receive(answer.macced()) == Send(ANY, "certConf", opens=False)


def test_a_pollrep_repeats_the_nonce_of_its_pollreq_only(make_run: "MakeRun", peer: "Peer") -> None:
    run = make_run()
    run.start()
    first = run.message.header.senderNonce
    run.receive(run.answer(peer.waiting()).macced())
    run.go(TimerFired(run.now))
    late = replace(run.answer(peer.poll_rep(1), BodyType.POLL_REP), recip_nonce=first)
    assert run.end(late.macced()).outcome.reason == Reason.RECIP_NONCE


@pytest.mark.parametrize("operation", Operation)
def test_error_with_status_waiting_delays_any_answer(
    make_run: "MakeRun", peer: "Peer", operation: Operation
) -> None:
    run = make_run(operation)
    run.start()
    later = run.answer(peer.error(peer.status(PKIStatus.WAITING)), BodyType.ERROR)
    assert run.receive(later.macced()) == WakeAt(run.now)
    run.go(TimerFired(run.now))
    (poll,) = messages.decode_poll_req_content(run.message.body)
    assert poll.certReqId == -1
    rep = run.answer(peer.poll_rep(0, cert_req_id=-1), BodyType.POLL_REP)
    assert run.receive(rep.macced()) == WakeAt(run.now + 1), "never more often than each second"
    run.go(TimerFired(run.now + 1))
    if operation is Operation.RR:
        body = peer.rev_rep(peer.status(PKIStatus.ACCEPTED))
        assert run.end(run.answer(body).macced()).outcome.outcome is OutcomeClass.REVOKED
    elif operation is Operation.GENM:
        body = encode_infos([Itav(CA_CERTS)])
        assert run.end(run.answer(body).macced()).outcome.outcome is OutcomeClass.ANSWERED
    else:
        assert run.receive(run.granted().macced()) == Send(ANY, "certConf", opens=False)


def test_an_rp_may_say_waiting(make_run: "MakeRun", peer: "Peer") -> None:
    run = make_run(Operation.RR)
    run.start()
    body = peer.rev_rep(peer.status(PKIStatus.WAITING))
    assert run.receive(run.answer(body).macced()) == WakeAt(run.now)


def test_a_poll_past_the_time_limit_is_not_waited_for(make_run: "MakeRun", peer: "Peer") -> None:
    run = make_run(profile=Profile(total_timeout=100))
    run.start()
    run.receive(run.answer(peer.waiting()).macced())
    run.go(TimerFired(run.now))
    finish = run.end(run.answer(peer.poll_rep(3600), BodyType.POLL_REP).macced())
    assert finish.outcome == Outcome(
        OutcomeClass.STILL_WAITING,
        "time limit",
        "the server wants the next poll in 3600 s, past the time limit (--total-timeout)",
        pki_status=3,
    )
    assert finish.checkpoint is not None
    assert finish.checkpoint.parts[0].check_at == run.now + 3600, "resume polls then"
    assert finish.timings == Timings(service=1.0, request=0.5, polling=0.5)


def test_without_a_time_limit_any_poll_is_waited_for(make_run: "MakeRun", peer: "Peer") -> None:
    run = make_run(profile=Profile(total_timeout=0))
    run.start()
    assert run.stored[-1].deadline == 0
    run.receive(run.answer(peer.waiting()).macced())
    run.go(TimerFired(run.now))
    rep = run.answer(peer.poll_rep(2**62), BodyType.POLL_REP).macced()
    assert run.receive(rep) == WakeAt(run.now + 2**62)


def test_the_stop_of_a_run_gives_up_what_waits(make_run: "MakeRun", peer: "Peer") -> None:
    run = make_run()
    run.start()
    run.receive(run.answer(peer.waiting()).macced())
    assert run.go(Stop(run.now + 2)) == Finish(
        (
            Outcome(
                OutcomeClass.STILL_WAITING,
                "stopped",
                "stopped while the server had us wait",
                pki_status=3,
            ),
        ),
        run.stored[-1],
        Timings(service=2.5, request=0.5, polling=2.0),
        sends=1,
    )


# --- responses that fail a check ----------------------------------------------------------------


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


def _error(run: "Run", *bits: str, status: int = PKIStatus.REJECTION) -> "Answer":
    body = run.peer.error(run.peer.status(status, *bits, text=("no",)), "because")
    return run.answer(body, BodyType.ERROR)


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
    return MacParameters.choose(**{"salt": b"x", "iterations": 1, **changes})


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
        lambda run: run.granted().macced(parameters=_mac(iterations=6)),
        BAD,
        Reason.PROTECTION_ALGORITHM,
        profile=Profile(max_pbm_iterations=5),
    ),
    "no iterations": Case(
        lambda run: run.granted().macced(parameters=_mac(iterations=0), key=b"any"),
        BAD,
        Reason.PROTECTION_ALGORITHM,
    ),
    "iterations of 20,000 bits": Case(
        lambda run: run.granted().macced(parameters=_mac(iterations=1 << 20_000), key=b"any"),
        BAD,
        Reason.PROTECTION_ALGORITHM,
    ),
    "too many iterations of PBMAC1": Case(
        lambda run: run.granted().macced(parameters=_mac(kind=PasswordMac.PBMAC1, iterations=6)),
        BAD,
        Reason.PROTECTION_ALGORITHM,
        profile=Profile(max_pbm_iterations=5),
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
        lambda run: _error(run, "systemUnavail"), OutcomeClass.REJECTED, "systemUnavail", None
    ),
    "error about our protection": Case(
        lambda run: _error(run, "badMessageCheck"),
        OutcomeClass.CREDENTIALS_REFUSED,
        "badMessageCheck",
        None,
    ),
    "error that can't be decoded": Case(
        lambda run: run.answer(b"\x05\x00", BodyType.ERROR), BAD, Reason.MALFORMED, None
    ),
    "error without protection": Case(
        lambda run: _error(run, "badRequest").plain(),
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
        lambda run: _error(run, "wrongIntegrity").plain(),
        OutcomeClass.CREDENTIALS_REFUSED,
        "wrongIntegrity",
        None,
    ),
    "error under another secret": Case(
        lambda run: _error(run).macced(OTHER_SECRET), OutcomeClass.REJECTED_UNAUTHENTICATED, ""
    ),
    "error by a stranger": Case(
        lambda run: _error(run).signed(run.pki.stranger),
        OutcomeClass.REJECTED_UNAUTHENTICATED,
        "",
        "signature",
    ),
    "error without protection, believed": Case(
        lambda run: _error(run, "badRequest").plain(),
        OutcomeClass.REJECTED,
        "badRequest",
        None,
        Profile(unprotected_errors=True),
    ),
    "error of another transaction is never believed": Case(
        lambda run: replace(_error(run), transaction_id=b"another").plain(),
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
        lambda run: _error(run, status=PKIStatus.WAITING).plain(),
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
    assert run.end(_error(run, "badRequest").macced()).outcome == Outcome(
        OutcomeClass.REJECTED,
        "badRequest",
        "no / because (badRequest)",
        pki_status=2,
        fail_info=("badRequest",),
        status_text="no / because",
    )
    run = make_run()
    run.start()
    assert run.end(_error(run).plain()).outcome == Outcome(
        OutcomeClass.REJECTED_UNAUTHENTICATED,
        "",
        "(unauthenticated) no / because (no failInfo); the response is not protected",
        pki_status=2,
        status_text="(unauthenticated) no / because",
    )


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (lambda peer: peer.poll_rep(1, cert_req_id=1), Reason.CERT_REQ_ID),
        (lambda peer: peer.poll_rep(1, count=0), Reason.RESPONSE_COUNT),
        (lambda peer: peer.poll_rep(1, count=2), Reason.RESPONSE_COUNT),
        (lambda peer: peer.poll_rep(1 << 2000), Reason.MALFORMED),
        (lambda peer: peer.poll_rep(-1), Reason.CHECK_AFTER),
        (lambda peer: b"\x05\x00", Reason.MALFORMED),
    ],
)
def test_a_pollrep_that_fails_a_check(
    make_run: "MakeRun", peer: "Peer", reply: "Callable[[Peer], bytes]", reason: Reason
) -> None:
    run = make_run()
    run.start()
    run.receive(run.answer(peer.waiting()).macced())
    run.go(TimerFired(run.now))
    finish = run.end(run.answer(reply(peer), BodyType.POLL_REP).macced())
    assert (finish.outcome.outcome, finish.outcome.reason) == (BAD, reason)


# --- certificates that fail a check -------------------------------------------------------------

CERTIFICATES: "dict[str, tuple[Callable[[Pki], bytes], Reason, tuple[str, ...]]]" = {
    "for another key": (
        lambda pki: pki.certify("device", pki.keys["rsa"], pki.root).certificate,
        Reason.PUBLIC_KEY,
        ("badCertTemplate",),
    ),
    "for another subject": (
        lambda pki: pki.issue("somebody else"),
        Reason.SUBJECT,
        ("badCertTemplate",),
    ),
    "expired": (lambda pki: pki.issue(age=3, days=2), Reason.EXPIRED, ("incorrectData",)),
    "of another CA": (
        lambda pki: pki.certify("device", pki.keys["ec"], pki.stranger).certificate,
        Reason.CHAIN,
        ("signerNotTrusted",),
    ),
    "self-signed": (
        lambda pki: pki.certify("device", pki.keys["ec"]).certificate,
        Reason.CHAIN,
        ("signerNotTrusted",),
    ),
}


@pytest.mark.parametrize("how", CERTIFICATES)
def test_a_certificate_that_fails_a_check_is_stored_and_rejected(
    make_run: "MakeRun", pki: "Pki", how: str
) -> None:
    make, reason, bits = CERTIFICATES[how]
    run = make_run()
    run.start()
    certificate = make(pki)
    assert run.receive(run.granted(certificate).macced()) == Send(ANY, "certConf", opens=False)
    assert run.kept.certificate == certificate
    (status,) = messages.decode_cert_confirm_content(run.message.body)
    assert status.statusInfo.status == PKIStatus.REJECTION
    assert status.statusInfo.statusString == [reason.value]
    assert messages.fail_info_names(status.statusInfo.failInfo) == bits
    outcome = run.end(run.confirmed().macced()).outcome
    assert (outcome.outcome, outcome.reason) == (OutcomeClass.ISSUED_REFUSED, reason)


REFUSED_ENDINGS: "dict[str, Callable[[Run], object]]" = {
    "a lost pkiconf": lambda run: run.lose(Loss.CUT),
    "no connection": lambda run: run.lose(Loss.CONNECT),
    "an error": lambda run: run.receive(_error(run, "badRequest").macced()),
    "an unproven error": lambda run: run.receive(_error(run).plain()),
    "an unproven pkiconf": lambda run: run.receive(run.confirmed().plain()),
    "certConfirmed": lambda run: run.receive(_error(run, "certConfirmed").macced()),
    "nonsense": lambda run: run.receive(b"?"),
}


@pytest.mark.parametrize("ending", REFUSED_ENDINGS)
def test_a_refused_certificate_stays_refused_for_the_reason_that_we_had(
    make_run: "MakeRun", pki: "Pki", ending: str
) -> None:
    run = make_run(profile=Profile(retries=0))
    run.start()
    run.receive(run.granted(pki.issue("somebody else")).macced())
    finish = REFUSED_ENDINGS[ending](run)
    assert isinstance(finish, Finish)
    assert finish.outcome == run.kept.granted
    assert finish.outcome.outcome is OutcomeClass.ISSUED_REFUSED
    assert finish.outcome.reason == Reason.SUBJECT


@pytest.mark.parametrize("certificate", [b"\x30\x00", b"", b"\x30\x03\x02\x01\x05"])
def test_a_malformed_certificate_is_stored_and_can_not_be_confirmed(
    make_run: "MakeRun", peer: "Peer", certificate: bytes
) -> None:
    run = make_run()
    run.start()
    body = peer.cert_rep(peer.response(peer.status(0), wrap(0xA0, certificate)))
    finish = run.end(run.answer(body).macced())
    assert finish.outcome.outcome is OutcomeClass.ISSUED_REFUSED
    assert finish.outcome.reason == Reason.CERTIFICATE_MALFORMED
    assert run.kept.certificate == certificate


@pytest.mark.parametrize(
    ("check", "outcome", "reason"),
    [
        (SubjectCheck.EXACT, OutcomeClass.ISSUED_REFUSED, Reason.SUBJECT),
        (SubjectCheck.RECORD, OutcomeClass.ISSUED_SUBJECT_CHANGED, ""),
    ],
)
def test_another_subject(
    make_run: "MakeRun", pki: "Pki", check: SubjectCheck, outcome: OutcomeClass, reason: str
) -> None:
    run = make_run(profile=Profile(subject_check=check))
    run.start()
    run.receive(run.granted(pki.issue("as registered")).macced())
    end = run.end(run.confirmed().macced()).outcome
    assert (end.outcome, end.reason) == (outcome, reason)


def test_a_subject_left_to_the_ca_is_no_other_subject(make_run: "MakeRun", pki: "Pki") -> None:
    run = make_run(subject=None)
    run.start()
    run.receive(run.granted(pki.issue("whatever the CA likes")).macced())
    assert run.end(run.confirmed().macced()).outcome.outcome is OutcomeClass.ISSUED


def test_capubs_and_extracerts_help_to_build_a_path_but_are_not_trusted(
    make_run: "MakeRun", pki: "Pki", peer: "Peer"
) -> None:
    middle = pki.certify("sub CA", pki.keys["ed25519"], pki.root, ca=True)
    leaf = pki.certify("device", pki.keys["ec"], middle).certificate
    response = peer.response(peer.status(0), wrap(0xA0, leaf))

    run = make_run()
    run.start()
    run.receive(run.answer(peer.cert_rep(response, ca_pubs=(middle.certificate,))).macced())
    assert run.kept.chain == (middle.certificate, pki.root.certificate)

    run = make_run()
    run.start()
    extra = replace(
        run.answer(peer.cert_rep(response)), extra_certs=(middle.certificate, b"\x30\0")
    )
    run.receive(extra.macced())
    assert run.kept.chain == (middle.certificate, pki.root.certificate)

    run = make_run()
    run.start()
    own = pki.certify("device", pki.keys["ec"])
    granted = peer.response(peer.status(0), wrap(0xA0, own.certificate))
    run.receive(run.answer(peer.cert_rep(granted, ca_pubs=(own.certificate,))).macced())
    assert run.kept.granted is not None
    assert run.kept.granted.reason == Reason.CHAIN


# --- confirmation -------------------------------------------------------------------------------


@dataclass
class Confirmation:
    """An answer to certConf, and the end of its transaction."""

    response: "Callable[[Run], bytes]"
    outcome: OutcomeClass
    reason: str
    profile: Profile = field(default_factory=Profile)


TOLERANT = Profile(tolerate_pkiconf=True)

CONFIRMATIONS: dict[str, Confirmation] = {
    "a good pkiconf": Confirmation(lambda run: run.confirmed().macced(), OutcomeClass.ISSUED, ""),
    "unprotected pkiconf": Confirmation(
        lambda run: run.confirmed().plain(),
        OutcomeClass.ISSUED_UNPROVEN,
        Reason.PROTECTION_MISSING,
    ),
    "pkiconf under another secret": Confirmation(
        lambda run: run.confirmed().macced(OTHER_SECRET),
        OutcomeClass.ISSUED_UNPROVEN,
        Reason.MAC,
    ),
    "unprotected pkiconf, tolerated": Confirmation(
        lambda run: run.confirmed().plain(), OutcomeClass.ISSUED, "", TOLERANT
    ),
    "pkiconf under another secret, tolerated": Confirmation(
        lambda run: run.confirmed().macced(OTHER_SECRET), OutcomeClass.ISSUED, "", TOLERANT
    ),
    "unprotected pkiconf of another transaction is not what is tolerated": Confirmation(
        lambda run: replace(run.confirmed(), transaction_id=b"another").plain(),
        OutcomeClass.ISSUED_UNPROVEN,
        Reason.PROTECTION_MISSING,
        TOLERANT,
    ),
    "pkiconf with another nonce is not what is tolerated": Confirmation(
        lambda run: replace(run.confirmed(), recip_nonce=b"").macced(),
        OutcomeClass.ISSUED_UNPROVEN,
        Reason.RECIP_NONCE,
        TOLERANT,
    ),
    "not CMP": Confirmation(lambda run: b"?", OutcomeClass.ISSUED_UNPROVEN, Reason.MALFORMED),
    "another message": Confirmation(
        lambda run: run.granted().macced(), OutcomeClass.ISSUED_UNPROVEN, Reason.BODY_TYPE
    ),
    "another message, unprotected": Confirmation(
        lambda run: run.granted().plain(),
        OutcomeClass.ISSUED_UNPROVEN,
        Reason.PROTECTION_MISSING,
    ),
    "error": Confirmation(
        lambda run: _error(run, "badCertId").macced(),
        OutcomeClass.ISSUED_CONFIRMATION_REFUSED,
        "badCertId",
    ),
    "error with status waiting": Confirmation(
        lambda run: _error(run, status=PKIStatus.WAITING).macced(),
        OutcomeClass.ISSUED_CONFIRMATION_REFUSED,
        "",
    ),
    "unprotected error": Confirmation(
        lambda run: _error(run, "badCertId").plain(),
        OutcomeClass.ISSUED_CONFIRMATION_UNKNOWN,
        "badCertId",
    ),
    "unprotected error about our protection": Confirmation(
        lambda run: _error(run, "badMessageCheck").plain(),
        OutcomeClass.ISSUED_CONFIRMATION_UNKNOWN,
        "badMessageCheck",
    ),
    "unprotected error, believed": Confirmation(
        lambda run: _error(run, "badCertId").plain(),
        OutcomeClass.ISSUED_CONFIRMATION_REFUSED,
        "badCertId",
        Profile(unprotected_errors=True),
    ),
    "certConfirmed": Confirmation(
        lambda run: _error(run, "certConfirmed").macced(), OutcomeClass.ISSUED, ""
    ),
    "certConfirmed that nobody proved": Confirmation(
        lambda run: _error(run, "certConfirmed").plain(),
        OutcomeClass.ISSUED_CONFIRMATION_UNKNOWN,
        "certConfirmed",
    ),
}


@pytest.mark.parametrize("case", CONFIRMATIONS.values(), ids=CONFIRMATIONS)
def test_the_answer_to_certconf(make_run: "MakeRun", case: Confirmation) -> None:
    run = make_run(profile=case.profile)
    run.start()
    run.receive(run.granted().macced())
    finish = run.end(case.response(run))
    assert (finish.outcome.outcome, finish.outcome.reason) == (case.outcome, case.reason)
    assert finish.checkpoint is not None
    assert finish.checkpoint.parts[0].certificate == run.kept.certificate
    assert finish.timings == Timings(service=1.0, request=0.5, confirm=0.5)


def test_a_refusal_after_a_lost_pkiconf_proves_nothing(make_run: "MakeRun") -> None:
    run = make_run()
    run.start()
    run.receive(run.granted().macced())
    assert run.lose(Loss.CUT) == WakeAt(run.now + 0.5)
    run.go(TimerFired(run.now))
    finish = run.end(_error(run, "badRequest").macced())
    assert finish.outcome.outcome is OutcomeClass.ISSUED_CONFIRMATION_UNKNOWN
    assert finish.outcome.fail_info == ("badRequest",)


@pytest.mark.parametrize(
    ("kind", "hashed", "pvno"),
    [
        ("rsa", None, 2),
        ("ec", None, 2),
        ("ed25519", "sha512", 3),
        ("ed448", "shake256", 3),
        ("ml-dsa-65", "sha512", 3),
    ],
)
def test_certconf_names_the_hash_where_the_signature_names_none(
    make_run: "MakeRun", pki: "Pki", kind: str, hashed: str | None, pvno: int
) -> None:
    ca = pki.certify("CA", pki.keys[kind], ca=True)
    store = TrustStore([ca.certificate])
    run = make_run(trust=Trust(store, store))
    run.start()
    assert run.message.header.pvno == 2
    run.receive(run.granted(pki.certify("device", pki.keys["ec"], ca).certificate).macced())
    assert run.message.header.pvno == pvno
    (status,) = messages.decode_cert_confirm_content(run.message.body)
    assert status.statusInfo is None
    assert (status.hashAlg is None) == (hashed is None)
    assert len(status.certHash) == (32 if hashed is None else 64)


# --- losses -------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", Loss)
def test_a_lost_request(make_run: "MakeRun", loss: Loss) -> None:
    run = make_run(profile=QUICK)
    first = run.start()
    if loss in NEVER_PROCESSED:
        assert run.lose(loss) == WakeAt(run.now + 2.0)
        assert run.go(TimerFired(run.now)) == first, "the same bytes again"
        expected = OutcomeClass.NOT_SENT
    else:
        expected = {
            Loss.HTTP_STATUS: OutcomeClass.HTTP_ERROR,
            Loss.NOT_CMP: OutcomeClass.NOT_CMP,
        }.get(loss, OutcomeClass.UNKNOWN)
    assert run.lose(loss) == Finish(
        (Outcome(expected, loss.value, "the wire was cut"),),
        run.stored[0],
        Timings(),
        sends=2 if loss in NEVER_PROCESSED else 1,
    )


@pytest.mark.parametrize("loss", Loss)
def test_a_lost_poll(make_run: "MakeRun", peer: "Peer", loss: Loss) -> None:
    run = make_run(profile=QUICK)
    run.start()
    run.receive(run.answer(peer.waiting()).macced())
    poll = run.go(TimerFired(run.now))
    expected = OutcomeClass.UNKNOWN
    if loss in NEVER_PROCESSED:
        assert run.lose(loss) == WakeAt(run.now + 2.0)
        assert run.go(TimerFired(run.now)) == poll
        expected = OutcomeClass.STILL_WAITING
    finish = run.lose(loss)
    assert isinstance(finish, Finish)
    assert finish.outcome == Outcome(expected, loss.value, "the wire was cut")
    assert finish.sends == 1


@pytest.mark.parametrize("loss", Loss)
def test_a_lost_pkiconf_is_asked_for_again_whatever_the_loss(
    make_run: "MakeRun", loss: Loss
) -> None:
    run = make_run(profile=QUICK)
    run.start()
    confirm = run.receive(run.granted().macced())
    assert run.lose(loss) == WakeAt(run.now + 2.0)
    assert run.go(TimerFired(run.now)) == confirm, "unchanged"
    finish = run.lose(loss)
    assert isinstance(finish, Finish)
    assert finish.outcome == Outcome(
        OutcomeClass.ISSUED_CONFIRMATION_UNKNOWN, loss.value, "the wire was cut", pki_status=0
    )
    assert finish.checkpoint is not None
    assert finish.checkpoint.parts[0].certificate is not None
    assert finish.timings == Timings(service=0.5, request=0.5)


def test_back_off_doubles_up_to_its_most_and_is_spread(make_run: "MakeRun") -> None:
    profile = Profile(retries=2000, backoff_first=1.0, backoff_max=5.0, total_timeout=0)
    for jitter, share in ((0.0, 0.5), (1.0, 1.0)):
        run = make_run(profile=profile, jitter=jitter)
        run.start()
        delays = []
        for _ in range(1100):
            instruction = run.lose(Loss.CONNECT)
            assert isinstance(instruction, WakeAt)
            delays.append(instruction.time - run.now)
            run.go(TimerFired(run.now))
        assert delays[:5] == [delay * share for delay in (1.0, 2.0, 4.0, 5.0, 5.0)]
        assert set(delays[5:]) == {5.0 * share}


def test_retry_after_lengthens_the_back_off(make_run: "MakeRun") -> None:
    run = make_run()
    run.start()
    assert run.lose(Loss.BUSY, retry_after=77.0) == WakeAt(run.now + 77.0)
    run.go(TimerFired(run.now))
    assert run.lose(Loss.BUSY, retry_after=0.1) == WakeAt(run.now + 1.0), "the second back-off"


def test_an_answer_resets_the_back_off(make_run: "MakeRun", peer: "Peer") -> None:
    run = make_run(profile=QUICK)
    run.start()
    run.lose(Loss.CONNECT)
    run.go(TimerFired(run.now))
    run.receive(run.answer(peer.waiting()).macced())
    run.go(TimerFired(run.now))
    assert run.lose(Loss.CONNECT) == WakeAt(run.now + 2.0)


@pytest.mark.parametrize(("retry_after", "again"), [(None, True), (99.0, True), (100.0, False)])
def test_no_retry_past_the_time_limit(
    make_run: "MakeRun", retry_after: float | None, *, again: bool
) -> None:
    run = make_run(profile=Profile(total_timeout=100))
    run.start()
    instruction = run.lose(Loss.BUSY, retry_after=retry_after)
    assert isinstance(instruction, WakeAt if again else Finish)


def test_a_stale_request_gets_a_fresh_messagetime_and_nothing_else(make_run: "MakeRun") -> None:
    run = make_run()
    run.start()
    before = run.message
    run.lose(Loss.BUSY, retry_after=61.0)
    run.go(TimerFired(run.now + 61))
    after = run.message
    assert before.header.messageTime is not None
    assert after.header.messageTime is not None
    passed = after.header.messageTime.as_datetime() - before.header.messageTime.as_datetime()
    assert passed.total_seconds() == 61
    assert after.body == before.body
    assert after.header.transactionID == before.header.transactionID
    assert after.header.senderNonce == before.header.senderNonce
    run.receive(run.granted().macced())
    assert run.end(run.confirmed().macced()).sends == 2


def test_stop_while_a_request_waits_to_be_sent_again(make_run: "MakeRun") -> None:
    run = make_run()
    run.start()
    run.lose(Loss.CONNECT)
    finish = run.go(Stop(run.now))
    assert isinstance(finish, Finish)
    assert finish.outcome == Outcome(
        OutcomeClass.NOT_SENT, "stopped", "stopped while waiting to send again"
    )


def test_stop_while_a_poll_waits_to_be_sent_again(make_run: "MakeRun", peer: "Peer") -> None:
    run = make_run()
    run.start()
    run.receive(run.answer(peer.waiting()).macced())
    run.go(TimerFired(run.now))
    run.lose(Loss.CONNECT)
    finish = run.go(Stop(run.now))
    assert isinstance(finish, Finish)
    assert finish.outcome.outcome is OutcomeClass.STILL_WAITING


def test_stop_sends_a_waiting_certconf_at_once(make_run: "MakeRun") -> None:
    run = make_run()
    run.start()
    confirm = run.receive(run.granted().macced())
    run.lose(Loss.CONNECT)
    assert run.go(Stop(run.now)) == confirm


# --- local errors -------------------------------------------------------------------------------


def test_a_request_that_can_not_be_built(make_run: "MakeRun") -> None:
    run = make_run(new_key=b"no key")
    assert run.start() == Finish(
        (Outcome(OutcomeClass.LOCAL_ERROR, "", "not an unencrypted PKCS#8 private key"),),
        None,
        Timings(),
        sends=0,
    )
    run = make_run(credential="signature", profile=Profile(digest="sha3-512"))
    finish = run.start()
    assert isinstance(finish, Finish)
    assert finish.outcome.detail == "digest 'sha3-512' does not go with ECDSA"


def _on_token(make_run: "MakeRun", pki: "Pki", **changes: Any) -> tuple["Run", "Opaque"]:
    key = pki.device.elsewhere()
    chain = (pki.device.certificate,)
    return make_run(credential=SignatureCredential(key, chain), **changes), key


def _gone(run: "Run", key: "Opaque", event: Event) -> Finish:
    """What comes of a transaction whose key is lost."""
    key.gone = True
    finish = run.go(event)
    assert isinstance(finish, Finish)
    assert run.state is State.FINISHED
    assert finish.outcome.detail == "the token is gone"
    return finish


def test_a_key_that_is_gone_signs_no_request(make_run: "MakeRun", pki: "Pki") -> None:
    run, key = _on_token(make_run, pki)
    finish = _gone(run, key, Start(run.now))
    assert finish.outcome.outcome is OutcomeClass.LOCAL_ERROR
    assert not run.sent


def test_a_key_that_is_gone_signs_no_fresh_request(make_run: "MakeRun", pki: "Pki") -> None:
    run, key = _on_token(make_run, pki)
    run.start()
    run.lose(Loss.CONNECT)
    finish = _gone(run, key, TimerFired(run.now + 61))
    assert finish.outcome.outcome is OutcomeClass.LOCAL_ERROR


def test_a_key_that_is_gone_leaves_the_certificate_unconfirmed(
    make_run: "MakeRun", pki: "Pki"
) -> None:
    run, key = _on_token(make_run, pki)
    run.start()
    response = run.granted().signed(pki.signer)
    (store,) = run.tell(Received(run.now, response, run.now))
    assert isinstance(store, Store)
    finish = _gone(run, key, Stored(run.now))
    assert finish.outcome.outcome is OutcomeClass.ISSUED_CONFIRMATION_UNKNOWN
    assert finish.outcome.reason == "local error"


def test_a_key_that_is_gone_polls_no_more(make_run: "MakeRun", pki: "Pki", peer: "Peer") -> None:
    run, key = _on_token(make_run, pki)
    run.start()
    run.receive(run.answer(peer.waiting()).signed(pki.signer))
    finish = _gone(run, key, TimerFired(run.now))
    assert finish.outcome.outcome is OutcomeClass.STILL_WAITING


def test_a_transaction_signed_elsewhere(make_run: "MakeRun", pki: "Pki") -> None:
    run, _ = _on_token(make_run, pki)
    run.start()
    run.receive(run.granted().signed(pki.signer))
    finish = run.end(run.confirmed().signed(pki.signer))
    assert finish.outcome.outcome is OutcomeClass.ISSUED
    certificate = x509.load_der_x509_certificate(pki.device.certificate)
    for send in run.sent:
        message = messages.decode_message(send.message)
        assert message.protection is not None
        algorithms.verify(
            certificate.public_key(),
            algorithms.signature_identifier(pki.device.key, "sha256"),
            message.protection,
            message.protected_part,
        )


# --- resume -------------------------------------------------------------------------------------


def _resumed(make_run: "MakeRun", run: "Run", **changes: Any) -> "Run":
    """Another process takes up what the journal of `run` has."""
    return make_run(checkpoint=run.stored[-1], profile=run.profile, now=run.now, **changes)


@BOTH
def test_resume_after_the_request_was_recorded(make_run: "MakeRun", credential: str) -> None:
    run = make_run(credential=credential)
    run.start()
    again = _resumed(make_run, run, credential=credential)
    assert again.tell(Start(again.now)) == [
        Finish(
            (
                Outcome(
                    OutcomeClass.UNKNOWN,
                    "interrupted before the answer",
                    "the run ended between sending the request and storing its answer",
                ),
            ),
            run.stored[-1],
            Timings(),
            sends=0,
        )
    ]


@BOTH
@pytest.mark.parametrize("due", [True, False])
def test_resume_while_waiting(
    make_run: "MakeRun", pki: "Pki", peer: "Peer", credential: str, *, due: bool
) -> None:
    def protect(answer: "Answer") -> bytes:
        return answer.signed(pki.signer) if credential == "signature" else answer.macced()

    run = make_run(credential=credential)
    run.start()
    run.receive(protect(run.answer(peer.waiting())))
    run.go(TimerFired(run.now))
    run.receive(protect(run.answer(peer.poll_rep(60), BodyType.POLL_REP)))

    again = _resumed(make_run, run, credential=credential)
    if due:
        again.now += 60
        # at once, for that time is over
        assert again.start() == WakeAt(again.now)
    else:
        assert again.start() == WakeAt(run.now + 60)
    assert again.go(TimerFired(run.now + 60)) == Send(ANY, "pollReq", opens=False)
    assert again.message.header.recipNonce == b"nonce of the peer"
    assert again.message.header.transactionID == b"sixteen octets.."
    # the answer may repeat the nonce of a request that this process never made
    first = replace(again.granted(), recip_nonce=run.stored[0].request_nonce)
    again.receive(protect(first))
    finish = again.end(protect(again.confirmed()))
    assert finish.outcome.outcome is OutcomeClass.ISSUED
    assert finish.sends == 0
    assert finish.timings == Timings(service=1.0, confirm=0.5)


@BOTH
def test_resume_before_certconf(make_run: "MakeRun", pki: "Pki", credential: str) -> None:
    run = make_run(credential=credential)
    run.start()
    run.receive(
        run.granted().signed(pki.signer) if credential == "signature" else run.granted().macced()
    )
    again = _resumed(make_run, run, credential=credential)
    assert again.start() == Send(ANY, "certConf", opens=False)
    assert again.message.header.recipNonce == b"nonce of the peer"
    confirmed = again.confirmed()
    finish = again.end(
        confirmed.signed(pki.signer) if credential == "signature" else confirmed.macced()
    )
    assert finish.outcome == run.kept.granted
    assert finish.checkpoint is not None
    assert finish.checkpoint.parts[0].certificate == run.kept.certificate


def test_a_refusal_of_a_resumed_certconf_proves_nothing(make_run: "MakeRun") -> None:
    run = make_run()
    run.start()
    run.receive(run.granted().macced())
    again = _resumed(make_run, run)
    again.start()
    finish = again.end(_error(again, "badRequest").macced())
    assert finish.outcome.outcome is OutcomeClass.ISSUED_CONFIRMATION_UNKNOWN, (
        "the process that ended may have sent a certConf"
    )


@BOTH
def test_resume_where_no_certconf_is_due(make_run: "MakeRun", pki: "Pki", credential: str) -> None:
    run = make_run(credential=credential, profile=Profile(implicit_confirm=True))
    run.start()
    granted = replace(run.granted(), general_info=(IMPLICIT,))
    run.receive(granted.signed(pki.signer) if credential == "signature" else granted.macced())
    again = _resumed(make_run, run, credential=credential)
    finish = again.start()
    assert finish == Finish(
        (Outcome(OutcomeClass.ISSUED, pki_status=0),), run.stored[-1], Timings(), sends=0
    )


def test_resume_goes_on_under_the_recorded_mac_parameters(make_run: "MakeRun") -> None:
    run = make_run()
    run.start()
    run.receive(run.granted().macced())
    heavy = MacParameters.choose(b"another salt", owf="sha512", iterations=200_000)
    checkpoint = replace(run.stored[-1], protection=heavy.identifier)
    again = make_run(checkpoint=checkpoint)
    assert again.tell(Start(again.now)) == [
        DeriveKey(Derivation(again.peer.secret, b"another salt", "sha512", 200_000))
    ], "our own count has no ceiling"


def test_resume_under_a_mac_of_what_began_signed(make_run: "MakeRun", pki: "Pki") -> None:
    run = make_run(credential="signature")
    run.start()
    run.receive(run.granted().signed(pki.signer))
    again = _resumed(make_run, run)
    assert again.tell(Start(again.now)) == [
        DeriveKey(Derivation(again.peer.secret, b"our own salt", "sha256", 3))
    ]


def test_a_local_error_takes_nothing_back_from_what_was_reached(
    make_run: "MakeRun", peer: "Peer"
) -> None:
    run = make_run()
    run.start()
    run.receive(run.granted().macced())
    finish = _resumed(make_run, run, new_key=b"lost").start()
    assert isinstance(finish, Finish)
    assert finish.outcome == Outcome(
        OutcomeClass.ISSUED_CONFIRMATION_UNKNOWN,
        "local error",
        "not an unencrypted PKCS#8 private key",
        pki_status=0,
    )
    assert finish.checkpoint == run.stored[-1]

    run = make_run()
    run.start()
    run.receive(run.answer(peer.waiting()).macced())
    finish = _resumed(make_run, run, new_key=b"lost").start()
    assert isinstance(finish, Finish)
    assert (finish.outcome.outcome, finish.outcome.reason) == (
        OutcomeClass.STILL_WAITING,
        "local error",
    )


# --- nested -------------------------------------------------------------------------------------

SAID_NO = Outcome(OutcomeClass.REJECTED, "badRequest", "no", fail_info=("badRequest",))
BADLY_NESTED = Outcome(OutcomeClass.BAD_RESPONSE, Reason.NESTING.value, "one layer too many")


@pytest.mark.parametrize("proven", [True, False])
def test_a_request_refused_with_what_it_travelled_in(make_run: "MakeRun", *, proven: bool) -> None:
    for begin in (_requested, _polled):
        run = begin(make_run)
        run.now += 2.0
        finish = run.go(Refused(run.now, SAID_NO, run.now - 2.0, proven=proven))
        assert isinstance(finish, Finish)
        assert finish.outcome == SAID_NO
    assert _refused(_requested(make_run), BADLY_NESTED) == BADLY_NESTED


def test_a_confirmation_refused_with_what_it_travelled_in(make_run: "MakeRun") -> None:
    for outcome, proven, expected in (
        (SAID_NO, True, OutcomeClass.ISSUED_CONFIRMATION_REFUSED),
        (SAID_NO, False, OutcomeClass.ISSUED_CONFIRMATION_UNKNOWN),
        (BADLY_NESTED, True, OutcomeClass.ISSUED_UNPROVEN),
    ):
        run = _confirming(make_run)
        assert _refused(run, outcome, proven=proven).outcome is expected


def test_the_time_of_a_refusal_counts(make_run: "MakeRun") -> None:
    run = _requested(make_run)
    finish = run.go(Refused(run.now + 2.0, SAID_NO, run.now))
    assert isinstance(finish, Finish)
    assert (finish.timings.service, finish.timings.request) == (2.0, 2.0)


def _refused(run: "Run", outcome: Outcome, *, proven: bool = True) -> Outcome:
    finish = run.go(Refused(run.now, outcome, run.now, proven=proven))
    assert isinstance(finish, Finish)
    return finish.outcome


# --- the table ----------------------------------------------------------------------------------

EVENTS: dict[type[Event], Event] = {
    Start: Start(0.0),
    KeyDerived: KeyDerived(0.0, b"key"),
    Stored: Stored(0.0),
    Received: Received(0.0, b"", 0.0),
    Refused: Refused(0.0, SAID_NO, 0.0),
    Lost: Lost(0.0, Loss.CUT, ""),
    TimerFired: TimerFired(0.0),
    Stop: Stop(0.0),
}


@pytest.mark.parametrize(
    ("state", "kind"),
    [(state, kind) for state in State for kind in EVENTS if (state, kind) not in TRANSITIONS],
)
def test_an_event_that_the_table_has_not_is_the_drivers_mistake(
    make_run: "MakeRun", state: State, kind: type[Event]
) -> None:
    run = make_run()
    run.transaction.state = state
    with pytest.raises(LocalCmpError, match=f"^{kind.__name__} while {state.value}$"):
        run.transaction.handle(EVENTS[kind])
    assert run.state is state


def test_every_event_has_its_place() -> None:
    assert set(EVENTS) == set(get_args(Event))


def test_no_key_is_shown_by_an_event_or_an_instruction(make_run: "MakeRun") -> None:
    run = make_run()
    (derive,) = run.tell(Start(run.now))
    assert "between us" not in repr(derive)
    assert "MAC key" not in repr(KeyDerived(0.0, b"MAC key"))


def _requested(make_run: "MakeRun", **changes: Any) -> "Run":
    run = make_run(**changes)
    run.start()
    return run


def _sealed(run: "Run", parameters: MacParameters, *, place: int = 0) -> bytes:
    """An answer with something that is sealed for our secret in place of private keys."""

    def response(number: int) -> bytes:
        info = recipient.password(bytes(16), run.peer.secret, b"salt %d" % number, iterations=2)
        der = envelope.encrypt(b"?", envelope.SIGNED_DATA, [info], key=bytes(16), iv=bytes(16))
        pair = explicit(place, run.pki.issue()) + explicit(0, envelope.encrypted_key(der))
        return run.peer.response(run.peer.status(0), pair, number)

    body = run.peer.cert_rep(*map(response, range(run.count)))
    return run.answer(body).macced(parameters=parameters)


def _waiting(make_run: "MakeRun", **changes: Any) -> "Run":
    run = _requested(make_run, **changes)
    run.receive(run.answer(run.peer.waiting()).macced())
    return run


def _polled(make_run: "MakeRun", **changes: Any) -> "Run":
    run = _waiting(make_run, **changes)
    run.go(TimerFired(run.now))
    return run


def _confirming(make_run: "MakeRun", **changes: Any) -> "Run":
    run = _requested(make_run, **changes)
    run.receive(run.granted().macced())
    return run


def test_the_table_promises_nothing_that_does_not_happen(
    make_run: "MakeRun", pki: "Pki", peer: "Peer"
) -> None:
    """Together these ways take every edge of the table; `Run.tell` lets none beside it pass."""
    runs: list[Run] = []

    def way(run: "Run", *steps: "Callable[[Run], object]") -> "Run":
        for step in steps:
            step(run)
        runs.append(run)
        return run

    def start(run: "Run") -> object:
        return run.start()

    def lose(run: "Run") -> object:
        return run.lose(Loss.CONNECT)

    def wake(run: "Run") -> object:
        return run.go(TimerFired(run.now))

    def without_key(*steps: "Callable[[Run], object]") -> None:
        run, key = _on_token(make_run, pki)
        way(run, *steps)
        _gone(run, key, TimerFired(run.now + 61) if steps else Start(run.now))

    def stop(run: "Run") -> object:
        return run.go(Stop(run.now))

    def refuse(run: "Run") -> object:
        return run.go(Refused(run.now, SAID_NO, run.now))

    def nonsense(run: "Run") -> object:
        return run.receive(b"?")

    own = peer.own_mac
    for parameters in (own, peer.peer_mac):
        for respond in (
            lambda run: run.granted(),
            lambda run: run.answer(peer.waiting()),
            lambda run: _error(run),
        ):
            for begin in (_requested, _polled):
                run = way(begin(make_run))
                run.receive(respond(run).macced(parameters=parameters))
    for make in (_waiting, _polled, _confirming):
        way(make(make_run), *([] if make is _waiting else [nonsense]))
        if make is not _waiting:
            way(make(make_run), refuse)
            way(make(make_run), lose, wake)
            way(make(make_run), lose, stop)
            way(make(make_run, profile=Profile(retries=0)), lose)
        for credential in ("mac", "signature"):
            left = make(make_run)
            way(make_run(credential=credential, checkpoint=left.stored[-1], now=left.now), start)
    for credential in ("mac", "signature"):
        way(make_run(credential=credential), start)
        way(make_run(credential=credential, new_key=b"?"), start)
    without_key()
    without_key(start, lose)
    without_key(start, lambda run: run.receive(run.answer(peer.waiting()).signed(pki.signer)))
    way(make_run(), start, nonsense)
    way(make_run(), start, refuse)
    way(make_run(), start, lose, wake)
    way(make_run(), start, lose, stop)
    way(make_run(profile=Profile(retries=0)), start, lose)
    way(_waiting(make_run), stop)
    way(_confirming(make_run), lambda run: run.receive(run.confirmed().macced()))
    way(
        make_run(profile=Profile(implicit_confirm=True)),
        start,
        lambda run: run.receive(replace(run.granted(), general_info=(IMPLICIT,)).macced()),
    )
    way(
        _polled(make_run),
        lambda run: run.receive(run.answer(peer.poll_rep(10**6), BodyType.POLL_REP).macced()),
    )
    both = [
        peer.response(peer.status(0), explicit(0, pki.issue()), 0),
        peer.response(peer.status(PKIStatus.WAITING), cert_req_id=1),
    ]
    way(
        make_run(count=2),
        start,
        lambda run: run.receive(run.answer(peer.cert_rep(*both)).macced()),
        lambda run: run.receive(run.confirmed().macced(parameters=own)),
    )
    for begin in (_requested, _polled):
        way(begin(make_run, central_keygen=True), lambda run: run.receive(_sealed(run, own)))
    for count, place in ((1, 1), (2, 0)):
        run = way(_requested(make_run, central_keygen=True, count=count))
        run.receive(_sealed(run, peer.peer_mac, place=place))
    for steps in ([lose, wake], [lose, stop], [refuse], [nonsense], [lambda run: _error(run)]):
        way(make_run(credential="kem"), start, *steps)
    way(make_run(credential="kem", profile=Profile(retries=0)), start, lose)
    way(make_run(credential="kem"), start, lambda run: run.receive(_error(run).macced()))
    way(make_run(credential="kem"), start, lambda run: run.receive(run.ciphertext().plain()))
    taken = set().union(*(run.edges for run in runs))
    promised = {
        (state, event, target)
        for (state, event), (_, targets) in TRANSITIONS.items()
        for target in targets
    }
    assert promised - taken == set()
