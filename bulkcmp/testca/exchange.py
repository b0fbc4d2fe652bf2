"""One request under way, and all that is known of it."""

import datetime as dt
from dataclasses import dataclass, field

from bulkcmp.cmp.messages import PKIMessage
from bulkcmp.testca.aliases import Alias, Behaviour
from bulkcmp.testca.authentication import Requester
from bulkcmp.testca.refusal import RefusedError
from bulkcmp.testca.store import Store, Transaction


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request whose sender and header were found good.

    Attributes:
        message: what is answered.
        request: its DER, as it was received.
        nonce: the senderNonce of the answer.
        now: the time, aware.
    """

    alias: Alias
    behaviour: Behaviour
    message: PKIMessage
    request: bytes = field(repr=False)
    requester: Requester
    nonce: bytes
    now: dt.datetime

    @property
    def transaction_id(self) -> bytes:
        transaction_id = self.message.header.transactionID
        assert transaction_id is not None, "checked before"
        return transaction_id

    def transaction(self, store: Store) -> Transaction:
        """The transaction that a later message belongs to, that message's recipNonce checked.

        Raises:
            RefusedError: there is none of this requester, or the nonce is another.
        """
        transaction = store.transaction(self.transaction_id)
        if transaction is None or transaction.alias != self.alias.name:
            raise RefusedError("badRequest", "there is no such transaction at this alias")
        if transaction.requester != self.requester.identity:
            # RFC 9483, 3.5: all of a transaction has the same protection
            raise RefusedError("badMessageCheck", "the transaction began with other credentials")
        nonce = self.message.header.recipNonce
        if nonce is None or nonce not in (transaction.nonce, transaction.earlier_nonce):
            raise RefusedError("badRecipientNonce", "recipNonce is not our last senderNonce")
        return transaction
