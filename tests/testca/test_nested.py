"""Nested messages: an RA's layers around what end entities protected themselves."""

import secrets
from typing import TYPE_CHECKING

import pytest

from bulkcmp.cmp import nested
from bulkcmp.cmp.asn1 import decode, wrap
from bulkcmp.cmp.messages import (
    BodyType,
    CertRepMessage,
    ErrorMsgContent,
    decode_message,
    decode_nested,
    fail_info_names,
)
from bulkcmp.cmp.request import Credential, SignatureCredential
from bulkcmp.model import Outcome, OutcomeClass, Secret
from bulkcmp.testca.aliases import ALIASES
from bulkcmp.testca.ejbca.authority import EjbcaAuthority
from tests.testca.conftest import USER_SECRET, shared_key
from tests.testca.nesting import exchange, macced, protector, signing

if TYPE_CHECKING:
    from tests.testca.conftest import Ca


def ra(ca: "Ca") -> SignatureCredential:
    peer = ca.ra_cert()
    return signing(peer.key, peer.cert)


def request(ca: "Ca", credential: Credential, user: str = "dev1") -> bytes:
    """An ir of an end entity."""
    return protector(ca, credential).message(
        BodyType.IR,
        ca.crmf(shared_key("ec:P-256"), f"/CN={user}/O=Acme/C=SE"),
        now=ca.now.timestamp(),
        transaction_id=secrets.token_bytes(16),
        sender_nonce=secrets.token_bytes(16),
        recip_nonce=None,
    )


def device(ca: "Ca", user: str = "dev1", secret: Secret = USER_SECRET) -> bytes:
    """An ir of a registered end entity, MAC'd with its own secret."""
    ca.register(user)
    return request(ca, macced(user, secret), user)


def status(answer: nested.Answer) -> tuple[BodyType, int, tuple[str, ...]]:
    assert isinstance(answer, bytes)
    message = decode_message(answer)
    if message.body_type is BodyType.ERROR:
        info = decode(ErrorMsgContent, message.body).pKIStatusInfo
    else:
        (one,) = decode(CertRepMessage, message.body).response
        info = one.status
    return message.body_type, info.status, fail_info_names(info.failInfo)


def refusal(answers: tuple[nested.Answer, ...]) -> Outcome:
    """The one refusal of all members."""
    (one,) = set(answers)
    assert isinstance(one, nested.Refusal)
    return one.outcome


GRANTED = (BodyType.IP, 0, ())


@pytest.mark.parametrize("depth", [1, 2, 5, 16])
def test_layers_around_one_message(ca: "Ca", depth: int) -> None:
    message = device(ca)
    reply, answers = exchange(ca, [message], *[ra(ca)] * depth)
    assert [status(one) for one in answers] == [GRANTED]
    asked = decode_message(message).header
    for _ in range(depth):
        assert reply.body_type is BodyType.NESTED
        assert reply.header.transactionID == asked.transactionID
        assert reply.header.recipNonce == asked.senderNonce
        (inner,) = decode_nested(reply)
        reply = decode_message(inner)
    assert reply.body_type is BodyType.IP


def test_too_many_layers(ca: "Ca") -> None:
    reply, answers = exchange(ca, [device(ca)], *[ra(ca)] * 17)
    # said by the innermost layer, in its own answer
    for _ in range(16):
        (inner,) = decode_nested(reply)
        reply = decode_message(inner)
    (answer,) = answers
    assert status(answer) == (BodyType.ERROR, 2, ("badDataFormat",))


def test_a_layer_may_have_a_mac(ca: "Ca") -> None:
    reply, answers = exchange(ca, [device(ca)], macced("ra1", ca.ra_secret()))
    assert reply.header.senderKID == b"ra1"
    assert [status(one) for one in answers] == [GRANTED]


def test_an_end_entity_may_sign(ca: "Ca") -> None:
    peer = ca.client_cert()
    ca.register("dev1")
    own = signing(peer.key, peer.cert)
    _, answers = exchange(ca, [request(ca, own)], ra(ca))
    assert [status(one) for one in answers] == [GRANTED]


def test_a_batch(ca: "Ca") -> None:
    users = [f"dev{number}" for number in range(5)]
    messages = [device(ca, user) for user in users]
    reply, answers = exchange(ca, messages, ra(ca))
    assert reply.header.transactionID == b"of the batch...."
    assert reply.header.recipNonce == b"nonce of a batch"
    assert [status(one) for one in answers] == [GRANTED] * 5
    for message, answer in zip(messages, answers, strict=True):
        assert isinstance(answer, bytes)
        ours, theirs = decode_message(message).header, decode_message(answer).header
        assert theirs.transactionID == ours.transactionID
        assert theirs.recipNonce == ours.senderNonce


def test_each_message_of_a_batch_has_its_own_answer(ca: "Ca") -> None:
    wrong = device(ca, "dev2", Secret(b"not hers"))
    _, answers = exchange(ca, [device(ca), wrong, device(ca, "dev3")], ra(ca))
    assert [status(one) for one in answers] == [
        GRANTED,
        (BodyType.ERROR, 2, ("badMessageCheck",)),
        GRANTED,
    ]


@pytest.mark.parametrize("alias", ["client-hmac", "nested"])
def test_other_aliases_take_nested_messages_too(ca: "Ca", alias: str) -> None:
    _, answers = exchange(ca, [device(ca)], ra(ca), alias=alias)
    assert [status(one) for one in answers] == [GRANTED]


def test_the_layer_must_be_there(ca: "Ca") -> None:
    reply = decode_message(ca.authority.handle(ALIASES["nested"], device(ca), ca.now))
    assert reply.body_type is BodyType.ERROR
    info = decode(ErrorMsgContent, reply.body).pKIStatusInfo
    assert fail_info_names(info.failInfo) == ("notAuthorized",)


def test_the_layer_must_be_an_ras(ca: "Ca") -> None:
    peer = ca.client_cert("dev9")
    reply, answers = exchange(ca, [device(ca), device(ca, "dev2")], signing(peer.key, peer.cert))
    assert reply.body_type is BodyType.ERROR
    assert refusal(answers).outcome is OutcomeClass.REJECTED
    assert refusal(answers).fail_info == ("notAuthorized",)
    # nothing in it was looked at
    assert {one.alias for one in ca.store.certificates()} == {"ra-cert", "ra-hmac"}


@pytest.mark.parametrize("count", [1, 2])
def test_the_secret_of_a_layer_is_wrong(ca: "Ca", count: int) -> None:
    messages = [device(ca, f"dev{number}") for number in range(count)]
    reply, answers = exchange(ca, messages, macced("ra1", Secret(b"wrong")))
    assert reply.body_type is BodyType.ERROR
    # nobody is proven to share a secret: the CA signs
    assert refusal(answers).outcome is OutcomeClass.CREDENTIALS_REFUSED
    assert refusal(answers).fail_info == ("badMessageCheck",)


def test_a_nested_must_have_something_in_it(ca: "Ca") -> None:
    message = protector(ca, ra(ca)).message(
        BodyType.NESTED,
        wrap(0x30),
        now=ca.now.timestamp(),
        transaction_id=secrets.token_bytes(16),
        sender_nonce=secrets.token_bytes(16),
        recip_nonce=None,
    )
    reply = decode_message(ca.authority.handle(ALIASES["nested"], message, ca.now))
    info = decode(ErrorMsgContent, reply.body).pKIStatusInfo
    assert fail_info_names(info.failInfo) == ("badDataFormat",)


def test_what_is_no_message_has_an_error_of_its_own(ca: "Ca") -> None:
    message = protector(ca, ra(ca)).message(
        BodyType.NESTED,
        wrap(0x30, device(ca), b"\x05\x00"),
        now=ca.now.timestamp(),
        transaction_id=secrets.token_bytes(16),
        sender_nonce=secrets.token_bytes(16),
        recip_nonce=None,
    )
    inner = decode_nested(decode_message(ca.authority.handle(ALIASES["nested"], message, ca.now)))
    assert [status(one) for one in inner] == [GRANTED, (BodyType.ERROR, 2, ("badDataFormat",))]


def test_an_ejbca_answers_the_first_message_alone_and_bare(ca: "Ca") -> None:
    ca.authority = EjbcaAuthority(ca.store, ca.root)
    reply, answers = exchange(ca, [device(ca), device(ca, "dev2")], ra(ca), ra(ca))
    assert reply.body_type is BodyType.IP
    assert [None if one is None else status(one) for one in answers] == [GRANTED, None]
    assert not [one for one in ca.store.certificates() if one.user == "dev2"]


def test_an_ejbca_takes_certificates_within_layers(ca: "Ca") -> None:
    peer = ca.client_cert("dev3", "ed25519")
    ca.register("dev3")
    ca.authority = EjbcaAuthority(ca.store, ca.root)
    _, answers = exchange(ca, [request(ca, signing(peer.key, peer.cert), "dev3")], ra(ca))
    assert [status(one) for one in answers] == [GRANTED]


def test_an_ejbca_wants_a_layer_to_be_an_administrators(ca: "Ca") -> None:
    peer = ca.client_cert("dev9")
    ca.authority = EjbcaAuthority(ca.store, ca.root)
    for layer, text in (
        (signing(peer.key, peer.cert), "is not an authorized administrator"),
        (macced("ra1", ca.ra_secret()), "No certificate based protection was found"),
    ):
        _, answers = exchange(ca, [device(ca), device(ca, "dev2")], layer)
        assert refusal(answers).fail_info == ("badRequest",)
        assert text in refusal(answers).status_text
