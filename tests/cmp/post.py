"""An RA that puts its layers around messages, and the CA's side of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from bulkcmp.cmp import nested, protection
from bulkcmp.cmp.asn1 import wrap
from bulkcmp.cmp.messages import BodyType, PKIStatus
from bulkcmp.cmp.nested import Answer, Envelope
from bulkcmp.cmp.protection import MacParameters
from bulkcmp.cmp.request import Credential, MacCredential, Protector
from bulkcmp.model import Profile, Secret

if TYPE_CHECKING:
    from tests.cmp.conftest import Answer as Said
    from tests.cmp.conftest import Peer, Pki

RA_SECRET = Secret(b"of the RA")
RA_MAC = MacCredential("ra1", RA_SECRET, MacParameters.choose(b"the RA's salt", iterations=100))
OWN = MacCredential("dev1", Secret(b"own"), MacParameters.choose(b"own salt", iterations=100))
BATCH_ID = b"of the batch...."
BATCH_NONCE = b"nonce of a batch"


@dataclass
class Post:
    """An RA, and what the CA says to it."""

    pki: "Pki"
    peer: "Peer"
    layers: Sequence[Credential]
    profile: Profile = field(default_factory=Profile)

    def protector(self, credential: Credential) -> Protector:
        key = None
        if isinstance(credential, MacCredential):
            key = protection.derive(credential.derivation)
        return Protector(credential, self.profile, key)

    def member(self, number: int, recip_nonce: bytes | None = None) -> bytes:
        return self.protector(OWN).message(
            BodyType.IR,
            wrap(0x30),
            now=self.pki.now,
            transaction_id=b"transaction %4d" % number,
            sender_nonce=b"member's nonce%2d" % number,
            recip_nonce=recip_nonce,
            pvno=3 if number == 3 else 2,
        )

    def seal(self, count: int = 1) -> Envelope:
        return nested.seal(
            [self.member(number) for number in range(count)],
            [self.protector(layer) for layer in self.layers],
            now=self.pki.now,
            transaction_id=BATCH_ID,
            nonce=BATCH_NONCE,
        )

    def unseal(self, envelope: Envelope, answer: bytes) -> tuple[Answer, ...]:
        opening = nested.unseal(
            envelope, answer, self.layers, self.profile, self.pki.trust(), self.pki.now
        )
        try:
            derivation = next(opening)
            while True:
                derivation = opening.send(protection.derive(derivation))
        except StopIteration as end:
            result: tuple[Answer, ...] = end.value
            return result

    def say(self, envelope: Envelope, body_type: BodyType, body: bytes) -> "Said":
        said = self.peer.answer(envelope.message, body_type, body, self.pki.signer.subject)
        return replace(said, sender_nonce=b"nonce of the CA.")

    def wrap(self, envelope: Envelope, *inner: bytes, depth: int = 1) -> bytes:
        """Answers under so many signed layers."""
        for _ in range(depth):
            answer = self.say(envelope, BodyType.NESTED, wrap(0x30, *inner))
            inner = (answer.signed(self.pki.signer),)
        return inner[0]

    def answer(self, envelope: Envelope, number: int = 0) -> bytes:
        """The answer to one member; what is in it is the transaction's affair."""
        said = self.say(envelope, BodyType.IP, b"\x30\x00")
        return replace(said, transaction_id=envelope.members[number]).plain()

    def error(self, envelope: Envelope, status: int = PKIStatus.REJECTION) -> "Said":
        info = self.peer.status(status, "badRequest", text=("no",))
        return self.say(envelope, BodyType.ERROR, self.peer.error(info, "at all"))
