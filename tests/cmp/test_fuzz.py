"""Whatever arrives: a message or a RemoteCmpError, an instruction, and never a belief in it.

The invariant: a response whose protected part was changed leads to an instruction, never to an
exception, and neither a certificate nor a confirmation is ever taken from it.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bulkcmp.cmp import algorithms, dhmac, general, kemmac, messages, popo, protection
from bulkcmp.cmp.asn1 import decode, decode_sequence_of, encode, wrap
from bulkcmp.cmp.events import Finish, TimerFired
from bulkcmp.cmp.general import encode_infos
from bulkcmp.cmp.messages import BodyType, PKIMessage, PKIStatus, decode_message
from bulkcmp.cmp.state import State
from bulkcmp.cmp.trust import load_certificate
from bulkcmp.errors import RemoteCmpError
from bulkcmp.model import Itav, Operation, OutcomeClass, Profile, SubjectCheck
from bulkcmp.outputs.information import contents
from tests.cmp.ways import asked, told
from tests.fuzz.mutation import PIECES, RECIPES, Recipe, mutated

if TYPE_CHECKING:
    from tests.cmp.conftest import Answer, MakeRun, Peer, Pki, Run

# cryptography warns of a name or a serial number that RFC 5280 would not have
pytestmark = [
    pytest.mark.filterwarnings("ignore:Attribute's length must be:UserWarning"),
    pytest.mark.filterwarnings("ignore:The parsed certificate contained a serial number"),
    pytest.mark.filterwarnings("ignore:Parsed a serial number which wasn.t positive"),
    pytest.mark.filterwarnings("ignore:The parsed certificate contained a NULL parameter"),
]
FUZZ = settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def _read_all(message: PKIMessage) -> None:
    """Every reading that a received message is put to."""
    assert message.body_type.label
    assert message.sender is None or isinstance(message.sender, bytes)
    attempts: list[Callable[[], object]] = [
        lambda: message.info(messages.IT_IMPLICIT_CONFIRM),
        lambda: protection.mac_parameters(message),
        lambda: kemmac.kem_mac_parameters(message),
        lambda: kemmac.ciphertext_brought(message),
        lambda: dhmac.dh_mac_parameters(message),
        lambda: kemmac.ciphertext_in(message.body),
        lambda: protection.algorithm_of(message),
        lambda: decode(messages.CertRepMessage, message.body),
        lambda: decode(messages.ErrorMsgContent, message.body),
        lambda: decode(messages.RevRepContent, message.body),
        lambda: messages.decode_poll_rep_content(message.body),
        lambda: messages.decode_poll_req_content(message.body),
        lambda: messages.decode_cert_confirm_content(message.body),
        lambda: messages.decode_rev_req_content(message.body),
        *(lambda der=der: load_certificate(der) for der in message.extra_certs),
    ]
    for attempt in attempts:
        with suppress(RemoteCmpError):
            attempt()
    with suppress(RemoteCmpError):
        for request in messages.decode_cert_req_messages(message.body):
            popo.check(request, encode(message.header.sender))


@FUZZ
@given(st.binary(max_size=200))
def test_random_octets_are_a_message_or_a_remote_error(der: bytes) -> None:
    with suppress(RemoteCmpError):
        decode_message(der)


@settings(FUZZ, max_examples=1000)
@given(st.sampled_from(PIECES), RECIPES)
def test_a_changed_message_is_a_message_or_a_remote_error(origin: bytes, recipe: Recipe) -> None:
    der = mutated(origin, recipe)
    with suppress(RemoteCmpError):
        message = decode_message(der)
        assert message.protected_part[4:] in der or len(message.protected_part) < 256
        _read_all(message)


@pytest.mark.parametrize("der", PIECES[::7], ids=len)
def test_no_prefix_of_a_message_is_one(der: bytes) -> None:
    for size in range(len(der)):
        with pytest.raises(RemoteCmpError):
            decode_message(der[:size])


# --- transactions -------------------------------------------------------------------------------

PROFILE = Profile(
    max_pbm_iterations=500,
    tolerate_pkiconf=False,
    implicit_confirm=True,
    subject_check=SubjectCheck.RECORD,
)


def _requested(run: "Run") -> "Answer":
    run.start()
    return run.granted()


def _polled(run: "Run") -> "Answer":
    run.start()
    run.receive(run.answer(run.peer.waiting()).signed(run.pki.signer))
    run.go(TimerFired(run.now))
    return run.granted()


def _poll_rep(run: "Run") -> "Answer":
    _polled(run)
    return run.answer(run.peer.poll_rep(1), BodyType.POLL_REP)


def _confirming(run: "Run") -> "Answer":
    run.start()
    run.receive(run.granted().signed(run.pki.signer))
    return run.confirmed()


def _error(run: "Run") -> "Answer":
    run.start()
    status = run.peer.status(PKIStatus.REJECTION, "badPOP", text=("no",))
    return run.answer(run.peer.error(status), BodyType.ERROR)


RECEIVING: "list[Callable[[Run], Answer]]" = [
    _requested,
    _polled,
    _poll_rep,
    _confirming,
    _error,
]


def _unchanged(received: bytes, sent: bytes) -> bool:
    try:
        return decode_message(received).protected_part == decode_message(sent).protected_part
    except RemoteCmpError:
        return False


@pytest.mark.parametrize("credential", ["mac", "signature"])
@pytest.mark.parametrize("receiving", RECEIVING)
@FUZZ
@given(recipe=RECIPES)
def test_nothing_is_taken_from_a_changed_response(
    make_run: "MakeRun",
    pki: "Pki",
    receiving: "Callable[[Run], Answer]",
    credential: str,
    recipe: Recipe,
) -> None:
    run = make_run(credential=credential, profile=PROFILE)
    answer = receiving(run)
    sent = answer.macced() if credential == "mac" else answer.signed(pki.signer)
    received = mutated(sent, recipe)
    stored = list(run.stored)
    confirming = run.state is State.CONFIRMING
    instruction = run.receive(received)
    if _unchanged(received, sent):
        return
    assert run.stored == stored
    assert isinstance(instruction, Finish)
    outcome = instruction.outcome.outcome
    assert not outcome.is_done
    assert confirming or not outcome.is_issued


@pytest.mark.parametrize("receiving", RECEIVING)
@FUZZ
@given(nonsense=RECIPES | st.binary(max_size=60), signs=st.booleans())
def test_a_broken_ca_with_good_protection_breaks_nothing(
    make_run: "MakeRun",
    pki: "Pki",
    receiving: "Callable[[Run], Answer]",
    nonsense: Recipe | bytes,
    *,
    signs: bool,
) -> None:
    """Nonsense that is protected as it should be: an instruction all the same."""
    run = make_run(profile=PROFILE)
    answer = receiving(run)
    body = nonsense if isinstance(nonsense, bytes) else mutated(answer.body, nonsense)
    answer = replace(answer, body=body)
    run.receive(answer.signed(pki.signer) if signs else answer.macced())


@settings(FUZZ, max_examples=400)
@given(RECIPES)
def test_any_certificate_in_a_good_response_is_stored_and_judged(
    make_run: "MakeRun", pki: "Pki", peer: "Peer", recipe: Recipe
) -> None:
    run = make_run(profile=PROFILE)
    run.start()
    good = pki.issue()
    certificate = mutated(good, recipe)
    body = peer.cert_rep(peer.response(peer.status(0), wrap(0xA0, certificate)))
    run.receive(run.answer(body).macced())
    granted = run.kept.granted
    assert run.kept.certificate == certificate
    assert granted is not None
    if certificate != good:
        assert granted.outcome is OutcomeClass.ISSUED_REFUSED, "the CA signed other octets"


@settings(FUZZ, max_examples=600)
@given(place=st.integers(0, 10), recipe=st.just([]) | RECIPES, whole=st.booleans())
def test_a_genp_of_any_kind_is_judged(
    make_run: "MakeRun", pki: "Pki", place: int, recipe: Recipe, *, whole: bool
) -> None:
    """Under good protection; what is kept can be read again by who writes files of it."""
    oid, value = list(told(pki).items())[place]
    changed = mutated(value, recipe)
    run = make_run(Operation.GENM, infos=(asked(pki, oid),))
    run.start()
    body = encode_infos([Itav(oid, changed)])
    finish = run.end(run.answer(mutated(body, recipe) if whole else body).macced())
    if changed == value and not whole:
        assert finish.outcome.outcome is OutcomeClass.ANSWERED, finish.outcome
    assert finish.outcome.outcome in (OutcomeClass.ANSWERED, OutcomeClass.BAD_RESPONSE)
    assert finish.checkpoint is not None
    kept = finish.checkpoint.parts[0].infos
    assert general.decode_infos(encode_infos(kept)) == kept
    contents(kept)


@FUZZ
@given(st.lists(st.tuples(st.booleans(), st.just([]) | RECIPES), max_size=3))
def test_extra_certs_of_any_kind_are_no_more_than_help(
    make_run: "MakeRun", pki: "Pki", recipes: list[tuple[bool, Recipe]]
) -> None:
    """extraCerts are not protected: who changes them can spoil a response, and no more."""
    run = make_run(credential="signature", profile=PROFILE)
    run.start()
    signed = decode_message(run.granted().signed(pki.signer))
    header, body = decode_sequence_of(signed.protected_part)
    certificates = [
        mutated((pki.signer if ours else pki.stranger).certificate, recipe)
        for ours, recipe in recipes
    ]
    spoiled = messages.encode_message(
        encode(header), encode(body), signed.protection, tuple(certificates)
    )
    run.receive(spoiled)
    if run.kept.certificate is not None:
        # a stray octet may turn what follows into elements of its own
        assert pki.signer.certificate in decode_message(spoiled).extra_certs


COMMON_NAME = wrap(0x30, wrap(0x31, wrap(0x30, b"\x06\x03\x55\x04\x03", b"\x0c\x01a")))
SENDERS = st.one_of(
    st.binary(max_size=30).map(lambda octets: wrap(0xA4, octets)),
    RECIPES.map(lambda recipe: wrap(0xA4, mutated(COMMON_NAME, recipe))),
)


@FUZZ
@given(sender=SENDERS, signs=st.booleans())
def test_a_sender_of_any_kind(
    make_run: "MakeRun", pki: "Pki", sender: bytes, *, signs: bool
) -> None:
    run = make_run(profile=replace(PROFILE, expect_sender=pki.signer.subject))
    run.start()
    answer = replace(run.granted(), sender=sender)
    finish = run.end(answer.signed(pki.signer) if signs else answer.macced())
    assert finish.outcome.outcome is OutcomeClass.BAD_RESPONSE


@FUZZ
@given(st.sampled_from(["rsa", "ec", "ed25519", "ed448", "ml-dsa-44"]), RECIPES)
def test_a_changed_signature_verifies_nothing(pki: "Pki", kind: str, recipe: Recipe) -> None:
    key = pki.keys[kind]
    identifier = algorithms.signature_identifier(key, "sha256")
    signature = algorithms.sign(key, "sha256", b"data")
    other = mutated(signature, recipe)
    if other != signature:
        with pytest.raises(RemoteCmpError):
            algorithms.verify(key.public_key(), identifier, other, b"data")
