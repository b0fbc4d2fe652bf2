"""KEM ciphertexts for those who ask by genm, to have a KEM-based MAC (RFC 9810, 5.1.3.4 and E)."""

from cryptography import x509

from bulkcmp.cmp import general, kemmac
from bulkcmp.cmp.algorithms import KemPublicKey
from bulkcmp.model import Itav
from bulkcmp.testca.exchange import Exchange
from bulkcmp.testca.store import EncapsulatedSecret, Store


def encapsulate(exchange: Exchange, store: Store) -> Itav | None:
    """A ciphertext for the requester's key, whose secret is kept for the
    transaction; None where the requester has no certificate for a KEM key."""
    holder = exchange.requester.signer
    if holder is None:
        return None
    public_key = x509.load_der_x509_certificate(holder.der).public_key()
    if not isinstance(public_key, KemPublicKey):
        return None
    shared_secret, ciphertext = public_key.encapsulate()
    store.keep_secret(
        EncapsulatedSecret(
            exchange.transaction_id, shared_secret, holder.serial, exchange.nonce, exchange.now
        )
    )
    info = kemmac.ciphertext_info(public_key, ciphertext)
    return Itav(general.KEM_CIPHERTEXT_INFO, info)
