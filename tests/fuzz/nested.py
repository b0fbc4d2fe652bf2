"""Answers to messages under the layers of RAs (RFC 9810, 5.1.3.4).

An input is an octet for the layers and how the rest is presented, and the rest.
"""

from collections.abc import Iterator
from functools import cache
from typing import Final

from bulkcmp.cmp.asn1 import wrap
from bulkcmp.cmp.messages import BodyType
from bulkcmp.cmp.nested import Refusal
from bulkcmp.cmp.request import SignatureCredential
from tests.cmp.conftest import Peer
from tests.cmp.post import Post
from tests.fuzz.keys import fixed_pki

_MEMBERS: Final = 2


@cache
def _post() -> Post:
    pki = fixed_pki()
    return Post(pki, Peer(), [SignatureCredential(pki.device.pkcs8, (pki.device.certificate,))])


def one(data: bytes) -> None:
    """Whatever answers a batch of nested messages, each of them has an answer, a refusal or none.

    There is nothing of it that another message could take for its own: they are as many as were
    sent.
    """
    if not data:
        return
    post = _post()
    envelope = post.seal(_MEMBERS)
    said = data[1:]
    if data[0] % 2:
        said = post.say(envelope, BodyType.NESTED, said).signed(post.pki.signer)
    answers = post.unseal(envelope, said)
    assert len(answers) == _MEMBERS
    assert all(isinstance(answer, bytes | Refusal | None) for answer in answers)


def seeds() -> Iterator[bytes]:
    """Right answers, and an error for all."""
    post = _post()
    envelope = post.seal(_MEMBERS)
    answers = [post.answer(envelope, number) for number in range(_MEMBERS)]
    yield b"\0" + post.wrap(envelope, *answers)
    yield b"\0" + post.wrap(envelope, *answers, depth=3)
    yield b"\0" + post.error(envelope).signed(post.pki.signer)
    yield b"\1" + wrap(0x30, *answers)
    yield b"\1" + wrap(0x30, *reversed(answers))
