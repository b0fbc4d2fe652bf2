"""KEM ciphertexts for those who ask by genm, to have a KEM-based MAC (RFC 9810, 5.1.3.4 and E)."""

from cryptography import x509

from bulkcmp.cmp import general, kemmac
from bulkcmp.cmp.algorithms import KemPublicKey
from bulkcmp.model import Itav
from bulkcmp.testca.exchange import Exchange
from bulkcmp.testca.refusal import RefusedError
from bulkcmp.testca.store import EncapsulatedSecret, Store


def encapsulate(exchange: Exchange, store: Store) -> Itav | None:
    """A ciphertext for the requester's key, whose secret is kept for the transaction; None where
    the requester has no certificate for a KEM key.

    Nobody has proven to be the requester yet. So who asks again, as one may whose answer was lost,
    is told the same as before, and nothing that a transaction under way has is changed.

    Raises:
        RefusedError: the transaction has a ciphertext for another's key.
    """
    holder = exchange.requester.signer
    if holder is None:
        return None
    public_key = x509.load_der_x509_certificate(holder.der).public_key()
    if not isinstance(public_key, KemPublicKey):
        return None
    known = store.encapsulated_secret(exchange.transaction_id)
    if known is None:
        shared_secret, ciphertext = public_key.encapsulate()
        store.add_secret(
            EncapsulatedSecret(
                exchange.transaction_id,
                shared_secret,
                ciphertext,
                holder.serial,
                exchange.nonce,
                exchange.now,
            )
        )
    elif known.serial == holder.serial:
        ciphertext = known.ciphertext
        store.repeat_secret(exchange.transaction_id)
    else:
        raise RefusedError("transactionIdInUse", "the transaction is of another certificate")
    info = kemmac.ciphertext_info(public_key, ciphertext)
    return Itav(general.KEM_CIPHERTEXT_INFO, info)
