"""An RA that puts layers around messages, with the codec of bulkcmp's client."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bulkcmp.cmp import nested
from bulkcmp.cmp.algorithms import SigningKey
from bulkcmp.cmp.messages import PKIMessage, decode_message
from bulkcmp.cmp.protection import MacParameters, derive
from bulkcmp.cmp.request import Credential, MacCredential, Protector, SignatureCredential
from bulkcmp.cmp.trust import Trust, TrustStore
from bulkcmp.model import Profile, Secret

if TYPE_CHECKING:
    from tests.testca.conftest import Ca

SALT = b"sixteen of salt."


def macced(ref: str, secret: Secret) -> MacCredential:
    return MacCredential(ref, secret, MacParameters.choose(SALT, iterations=100))


def protector(ca: "Ca", credential: Credential) -> Protector:
    key = derive(credential.derivation) if isinstance(credential, MacCredential) else None
    return Protector(credential, Profile(recipient=ca.root.name), key)


def signing(key: SigningKey | None, cert: bytes | None) -> SignatureCredential:
    assert key is not None
    assert cert is not None
    pkcs8 = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return SignatureCredential(pkcs8, (cert,))


def exchange(
    ca: "Ca", messages: Sequence[bytes], *layers: Credential, alias: str = "nested"
) -> tuple[PKIMessage, tuple[nested.Answer, ...]]:
    """What the CA says to a `nested`: as it is, and opened."""
    envelope = nested.seal(
        messages,
        [protector(ca, layer) for layer in layers],
        now=ca.now.timestamp(),
        transaction_id=b"of the batch....",
        nonce=b"nonce of a batch",
    )
    reply = ca.answer(alias, envelope.message)
    store = TrustStore([ca.root.der])
    opening = nested.unseal(
        envelope, reply, layers, Profile(), Trust(store, store), ca.now.timestamp()
    )
    try:
        derivation = next(opening)
        while True:
            derivation = opening.send(derive(derivation))
    except StopIteration as end:
        return decode_message(reply), end.value
