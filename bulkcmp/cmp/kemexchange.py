"""The exchange before a request under a KEM-based MAC: the CA is asked for the ciphertext of which
our MAC's key is made (RFC 9810, 5.1.3.4 and appendix E)."""

from bulkcmp.cmp import algorithms, kemmac
from bulkcmp.cmp.algorithms import KemKey
from bulkcmp.cmp.messages import BodyType, PKIMessage
from bulkcmp.cmp.request import KemCredential, unprotected
from bulkcmp.errors import LocalCmpError
from bulkcmp.model import Profile


class KemExchange:
    """
    Args:
        transaction_id: of the transaction that begins with it.
    """

    def __init__(self, credential: KemCredential, profile: Profile, transaction_id: bytes) -> None:
        self._credential = credential
        self._profile = profile
        self._transaction_id = transaction_id
        self.nonce = b""
        """senderNonce of our question."""
        self.answer_nonce: bytes | None = None
        """senderNonce of its answer."""
        self.ciphertext = b""
        """DER KemCiphertextInfo of the answer."""

    def question(self, now: float, nonce: bytes, general_info: bytes) -> bytes:
        """DER of the genm, which nothing can protect yet.

        Args:
            now: Unix time, seconds.
            nonce: 16 fresh random octets.
            general_info: concatenated DER InfoTypeAndValues.
        """
        self.nonce = nonce
        return unprotected(self._credential, self._profile).message(
            BodyType.GENM,
            kemmac.ask_ciphertext(),
            now=now,
            transaction_id=self._transaction_id,
            sender_nonce=nonce,
            recip_nonce=None,
            general_info=general_info,
        )

    def take(self, message: PKIMessage) -> bytes:
        """The MAC's key, by a genp. It needs no protection: another's ciphertext makes our MAC
        wrong.

        Raises:
            LocalCmpError: the credential's key is not a KEM's.
            RemoteCmpError: there is no ciphertext for it.
        """
        self.ciphertext = kemmac.ciphertext_in(message.body)
        self.answer_nonce = message.header.senderNonce
        return self.mac_key(self.ciphertext)

    def mac_key(self, info: bytes) -> bytes:
        """The MAC's key, by a DER KemCiphertextInfo.

        Raises:
            LocalCmpError: the credential's key is not a KEM's.
            RemoteCmpError: the ciphertext is not for it.
        """
        key = algorithms.load_private_key(self._credential.key)
        if not isinstance(key, KemKey):
            raise LocalCmpError(f"{type(key).__name__} is no key of a KEM")
        shared_secret = kemmac.decapsulate(info, key)
        return self._credential.parameters.derive(shared_secret, self._transaction_id)
