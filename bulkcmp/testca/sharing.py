"""What the CA shares with requesters by keys of its own, and makes the MACs of its answers of:
DHBasedMac (RFC 9810, 5.1.3.2) and KEM-based MAC (RFC 9810, 5.1.3.4)."""

import datetime as dt
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from bulkcmp.cmp import algorithms, kemmac
from bulkcmp.cmp.algorithms import AgreementKey, AlgorithmError, KemKey
from bulkcmp.cmp.asn1 import TLV
from bulkcmp.cmp.dhmac import DhMacParameters
from bulkcmp.cmp.kemmac import KemMacParameters
from bulkcmp.cmp.messages import PKIMessage
from bulkcmp.cmp.protection import HmacParameters
from bulkcmp.errors import RemoteCmpError
from bulkcmp.testca.identity import MacIdentity
from bulkcmp.testca.refusal import RefusedError
from bulkcmp.testca.store import DecapsulatedSecret, Store


@dataclass(frozen=True, slots=True)
class ReplyMac:
    """The MAC of an answer.

    Attributes:
        key: of the MAC.
        holder: the CA's key by which it came about.
        decapsulated: what the message that is answered brought, encapsulated for that key; None
            where it brought nothing.
    """

    parameters: HmacParameters
    key: bytes = field(repr=False)
    holder: MacIdentity
    decapsulated: bytes | None = field(default=None, repr=False)


class Sharing:
    """
    Args:
        identities: the CA's keys for MACs.
    """

    def __init__(self, store: Store, identities: Sequence[MacIdentity]) -> None:
        self._store = store
        self._identities = identities

    @property
    def names(self) -> frozenset[bytes]:
        """DER Names by which the holder of these keys goes."""
        return frozenset(one.name for one in self._identities)

    def agreed(
        self, message: PKIMessage, public_key: object, parameters: DhMacParameters
    ) -> ReplyMac:
        """The MAC of what a key of ours and that of a message's sender agree on.

        Raises:
            RefusedError: there is no key here that goes with the sender's, or the message is for
                another.
        """
        for one in self._identities:
            if not isinstance(one.key, AgreementKey):
                continue
            with suppress(RemoteCmpError):
                secret = algorithms.agree(one.key, public_key)
                if message.header.recipKID not in (None, one.key_identifier):
                    raise RefusedError("badMessageCheck", "recipKID is not that of our key")
                return ReplyMac(parameters, parameters.derive(secret), one)
        raise RefusedError("badAlg", "no key here goes with the signer's for a DHBasedMac")

    def encapsulated(self, message: PKIMessage) -> ReplyMac | None:
        """The MAC of what was encapsulated for a key of ours: with a message, or with an earlier
        one of its transaction. None where nothing was.

        Raises:
            RefusedError: it is for no key of ours, or can't be used.
            RemoteCmpError: it is malformed.
        """
        transaction_id = message.header.transactionID or b""
        brought = kemmac.ciphertext_brought(message)
        if brought is not None:
            holder, secret = self._decapsulate(brought)
            return _kem_mac(holder, secret, transaction_id, new=True)
        if not self._identities:
            return None
        kept = self._store.decapsulated_secret(transaction_id)
        for one in self._identities:
            if kept is not None and one.certificate.serial_number == kept.serial:
                return _kem_mac(one, kept.shared_secret, transaction_id, new=False)
        return None

    def _decapsulate(self, info: TLV) -> tuple[MacIdentity, bytes]:
        for one in self._identities:
            if not isinstance(one.key, KemKey):
                continue
            try:
                return one, kemmac.decapsulate(info, one.key)
            except AlgorithmError:
                continue
            except RemoteCmpError as error:
                # RFC 9810, 5.1.3.4
                raise RefusedError("badMessageCheck", error.what) from error
        raise RefusedError("badAlg", "a KEM ciphertext for no key here")

    def keep(self, message: PKIMessage, reply: ReplyMac | None, now: dt.datetime) -> None:
        """Remember what the sender of a message encapsulated, for the rest of its transaction; but
        not of a genm that asks for a ciphertext, which may be anybody's.

        Args:
            message: its header, and its protection if it has one, were found good.
            now: the time, aware.
        """
        if reply is None or reply.decapsulated is None or kemmac.asks_ciphertext(message):
            return
        transaction_id = message.header.transactionID
        assert transaction_id is not None, "checked with the header"
        serial = reply.holder.certificate.serial_number
        self._store.keep_decapsulated(
            DecapsulatedSecret(transaction_id, reply.decapsulated, serial, now)
        )


def _kem_mac(holder: MacIdentity, secret: bytes, transaction_id: bytes, *, new: bool) -> ReplyMac:
    parameters = KemMacParameters.choose()
    key = parameters.derive(secret, transaction_id)
    return ReplyMac(parameters, key, holder, secret if new else None)
