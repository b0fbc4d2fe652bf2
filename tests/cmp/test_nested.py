"""Messages under the layers of RAs: put there, and the answers taken out."""

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from bulkcmp.cmp import messages, nested, protection
from bulkcmp.cmp.asn1 import wrap
from bulkcmp.cmp.checks import Reason
from bulkcmp.cmp.messages import MAX_NESTED, BodyType, PKIStatus, decode_message, decode_nested
from bulkcmp.cmp.nested import Answer, Refusal
from bulkcmp.cmp.protection import MacParameters
from bulkcmp.cmp.request import SignatureCredential
from bulkcmp.cmp.trust import load_certificate
from bulkcmp.errors import RemoteCmpError
from bulkcmp.model import OutcomeClass, Profile, Secret
from tests.cmp.post import BATCH_ID, BATCH_NONCE, RA_MAC, RA_SECRET, Post

if TYPE_CHECKING:
    from tests.cmp.conftest import Peer, Pki


@pytest.fixture
def ra(pki: "Pki") -> SignatureCredential:
    return SignatureCredential(pki.device.pkcs8, (pki.device.certificate,))


@pytest.fixture
def post(pki: "Pki", peer: "Peer", ra: SignatureCredential) -> Post:
    return Post(pki, peer, [ra])


def reason(answer: Answer) -> str:
    assert isinstance(answer, Refusal)
    assert answer.outcome.outcome is OutcomeClass.BAD_RESPONSE
    return answer.outcome.reason


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_layers_around_one_message_have_its_ids(post: Post, depth: int) -> None:
    post.layers = [*post.layers] * depth
    member = post.member(3, b"nonce of the CA.")
    envelope = nested.seal(
        [member],
        [post.protector(layer) for layer in post.layers],
        now=post.pki.now,
        transaction_id=BATCH_ID,
        nonce=BATCH_NONCE,
    )
    inner = envelope.message
    ours = decode_message(member).header
    for _ in range(depth):
        layer = decode_message(inner)
        assert layer.body_type is BodyType.NESTED
        header = layer.header
        assert (header.transactionID, header.senderNonce, header.recipNonce, header.pvno) == (
            ours.transactionID, ours.senderNonce, ours.recipNonce, 3,
        )  # fmt: skip
        assert layer.sender == post.pki.device.subject
        protection.check_signature(layer, load_certificate(post.pki.device.certificate))
        (inner,) = decode_nested(layer)
    # to the octet as its end entity made it
    assert inner == member


def test_a_batch_has_ids_of_its_own(post: Post) -> None:
    envelope = post.seal(3)
    layer = decode_message(envelope.message)
    assert layer.header.transactionID == envelope.transaction_id == BATCH_ID
    assert layer.header.senderNonce == envelope.nonce == BATCH_NONCE
    assert layer.header.recipNonce is None
    assert decode_nested(layer) == tuple(post.member(number) for number in range(3))
    assert envelope.members == tuple(b"transaction %4d" % number for number in range(3))


def test_nested_has_one_message_at_least_and_not_too_many(post: Post) -> None:
    message = decode_message(post.seal().message)
    for count in (0, MAX_NESTED + 1):
        with pytest.raises(RemoteCmpError, match=f"nested with {count} messages"):
            decode_nested(replace(message, body=wrap(0x30, *[b"\x05\x00"] * count)))


def test_a_bare_answer_is_its_transactions_affair(post: Post) -> None:
    envelope = post.seal()
    for answer in (post.answer(envelope), post.error(envelope).plain()):
        assert post.unseal(envelope, answer) == (answer,)


@pytest.mark.parametrize(("sent", "depth"), [(1, 1), (3, 1), (3, 2), (3, 3)])
@pytest.mark.parametrize("count", [1, 3])
def test_an_answer_has_at_most_the_layers_that_were_sent(
    post: Post, sent: int, depth: int, count: int
) -> None:
    post.layers = [*post.layers] * sent
    envelope = post.seal(count)
    answers = [post.answer(envelope, number) for number in range(count)]
    inner = post.wrap(envelope, *answers)
    for _ in range(depth - 1):
        inner = post.wrap(envelope, inner)
    assert post.unseal(envelope, inner) == tuple(answers)
    for _ in range(sent - depth + 1):
        inner = post.wrap(envelope, inner)
    (refused,) = set(post.unseal(envelope, inner))
    assert reason(refused) == Reason.NESTING


def test_a_layer_with_a_mac(post: Post, ra: SignatureCredential) -> None:
    post.layers = [ra, RA_MAC]
    envelope = post.seal()
    inner = post.answer(envelope)
    for answer, kept in (
        (post.say(envelope, BodyType.NESTED, wrap(0x30, inner)).macced(RA_SECRET), inner),
        (post.wrap(envelope, inner), inner),
    ):
        assert post.unseal(envelope, answer) == (kept,)
    wrong = post.say(envelope, BodyType.NESTED, wrap(0x30, inner)).macced(Secret(b"wrong"))
    assert [reason(one) for one in post.unseal(envelope, wrong)] == [Reason.MAC]
    # the secret is that of the outer layer alone
    macced = post.say(envelope, BodyType.NESTED, wrap(0x30, inner)).macced(RA_SECRET)
    (refused,) = post.unseal(envelope, post.wrap(envelope, macced))
    assert reason(refused) == Reason.NO_SECRET


def test_what_a_layer_must_be_like(post: Post) -> None:
    envelope = post.seal(2)
    inner = [post.answer(envelope, number) for number in range(2)]
    good = post.say(envelope, BodyType.NESTED, wrap(0x30, *inner))
    signer, stranger = post.pki.signer, post.pki.stranger
    costly = MacParameters.choose(b"salt", iterations=100_001)
    for answer, expected in (
        (b"\x30\x00", Reason.MALFORMED),
        (good.plain(), Reason.PROTECTION_MISSING),
        (good.signed(stranger), Reason.SIGNER_NOT_TRUSTED),
        (good.keyed(b"key", costly), Reason.PROTECTION_ALGORITHM),
        (good.macced(RA_SECRET), Reason.NO_SECRET),
        (replace(good, transaction_id=b"another").signed(signer), Reason.TRANSACTION_ID),
        (replace(good, transaction_id=None).signed(signer), Reason.TRANSACTION_ID),
        (replace(good, recip_nonce=b"another").signed(signer), Reason.RECIP_NONCE),
        (replace(good, pvno=9).signed(signer), Reason.VERSION),
        (replace(good, body=wrap(0x30)).signed(signer), Reason.MALFORMED),
    ):
        assert [reason(one) for one in post.unseal(envelope, answer)] == [expected] * 2
    post.profile = Profile(expect_sender=post.pki.device.subject)
    (refused,) = set(post.unseal(envelope, good.signed(signer)))
    assert reason(refused) == Reason.SENDER


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_answers_find_their_transactions(post: Post, data: st.DataObject) -> None:
    """In any order, with some missing, some twice, and others of nobody or no message at all."""
    count = data.draw(st.integers(2, 6))
    envelope = post.seal(count)
    numbers = data.draw(st.lists(st.integers(0, count - 1), max_size=8))
    foreign = replace(post.say(envelope, BodyType.IP, b"\x30\x00"), transaction_id=b"?").plain()
    others = data.draw(st.lists(st.sampled_from([foreign, b"\x05\x00"]), max_size=3))
    said = data.draw(st.permutations([*(post.answer(envelope, n) for n in numbers), *others]))
    assume(said)
    answers = post.unseal(envelope, post.wrap(envelope, *said))
    for number, answer in enumerate(answers):
        times = numbers.count(number)
        if times == 1:
            assert answer == post.answer(envelope, number)
        elif times == 0:
            assert answer is None or said == [b"\x05\x00"]
        else:
            assert reason(answer) == Reason.RESPONSE_COUNT


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_spoilt_answer_brings_nothing_that_was_not_said(post: Post, data: st.DataObject) -> None:
    """Whatever is changed in a nested answer, nothing is raised, and no other message comes out."""
    envelope = post.seal(2)
    answers = [post.answer(envelope, number) for number in range(2)]
    whole = bytearray(post.wrap(envelope, *answers))
    # places are parts of a length that differs with the signature
    part = st.floats(0, 1, exclude_max=True)
    for place, octet in data.draw(
        st.lists(st.tuples(part, st.integers(0, 255)), min_size=1, max_size=3)
    ):
        whole[int(place * len(whole))] = octet
    end = int(data.draw(st.just(1.0) | part) * len(whole))
    for answer, expected in zip(post.unseal(envelope, bytes(whole[:end])), answers, strict=True):
        assert not isinstance(answer, bytes) or answer == expected


def test_what_is_said_twice_or_is_no_message_answers_nobody(post: Post) -> None:
    envelope = post.seal(2)
    twice = post.answer(envelope, 0)
    first, second = post.unseal(envelope, post.wrap(envelope, twice, b"\x05\x00", twice))
    assert reason(first) == Reason.RESPONSE_COUNT
    assert second is None


def test_one_message_and_two_answers(post: Post) -> None:
    envelope = post.seal()
    said = replace(post.say(envelope, BodyType.IP, b"\x30\x00"), transaction_id=b"?").plain()
    answer = post.answer(envelope)
    assert post.unseal(envelope, post.wrap(envelope, said, answer)) == (answer,)


def test_a_bare_answer_to_a_batch_is_for_one_of_it(post: Post) -> None:
    envelope = post.seal(3)
    answer = post.answer(envelope, 1)
    assert post.unseal(envelope, answer) == (None, answer, None)
    error = replace(post.error(envelope), transaction_id=envelope.members[2]).plain()
    assert post.unseal(envelope, error) == (None, None, error)


@pytest.mark.parametrize("depth", [0, 1])
def test_an_error_for_the_whole_batch(post: Post, depth: int) -> None:
    envelope = post.seal(2)

    def refused(error: bytes) -> Refusal:
        if depth:
            error = post.wrap(envelope, error)
        (one,) = set(post.unseal(envelope, error))
        assert isinstance(one, Refusal)
        return one

    proven = refused(post.error(envelope).signed(post.pki.signer))
    assert proven.proven
    assert proven.outcome.outcome is OutcomeClass.REJECTED
    assert proven.outcome.fail_info == ("badRequest",)
    assert proven.outcome.status_text == "no / at all"
    plain = post.error(envelope).plain()
    unproven = refused(plain)
    assert not unproven.proven
    assert unproven.outcome.outcome is OutcomeClass.REJECTED_UNAUTHENTICATED
    assert unproven.outcome.detail.endswith("; the nested answer is not protected")
    waits = refused(post.error(envelope, PKIStatus.WAITING).signed(post.pki.signer))
    assert reason(waits) == Reason.BODY_TYPE
    post.profile = Profile(unprotected_errors=True)
    believed = refused(plain)
    assert (believed.proven, believed.outcome.outcome) == (True, OutcomeClass.REJECTED)
    # of nobody at all, as EJBCA's answer to what it can't read
    stray = refused(replace(post.error(envelope), transaction_id=b"fresh").plain())
    assert not stray.proven


def test_an_error_by_the_secret_of_the_layer(post: Post) -> None:
    post.layers = [RA_MAC]
    envelope = post.seal()
    (answer,) = post.unseal(envelope, post.error(envelope).macced(RA_SECRET))
    assert isinstance(answer, Refusal)
    assert answer.outcome.outcome is OutcomeClass.REJECTED
    # with the secret of the inner message, perhaps: that is for its transaction
    other = post.error(envelope).macced(Secret(b"another"))
    assert post.unseal(envelope, other) == (other,)
    assert post.unseal(envelope, post.wrap(envelope, other)) == (other,)
    assert messages.decode_message(other).body_type is BodyType.ERROR
