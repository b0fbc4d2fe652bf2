"""error: an end entity ends its transaction (RFC 9483, 3.6.4)."""

from dataclasses import replace

from bulkcmp.cmp.asn1 import decode
from bulkcmp.cmp.messages import ErrorMsgContent
from bulkcmp.model import RevocationReason
from bulkcmp.testca import response
from bulkcmp.testca.exchange import Exchange
from bulkcmp.testca.response import Answer
from bulkcmp.testca.store import (
    OPEN_STATES,
    CertificateStatus,
    CertRequestState,
    RequestState,
    Store,
)


class Termination:
    """Answers errors."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def answer(self, exchange: Exchange) -> Answer:
        """The pkiconf; what was not confirmed is rejected, what waited is issued no more.

        A transaction that is not known here, or over, has nothing to end.

        Raises:
            RefusedError: the transaction is another requester's, or the nonce is wrong.
            RemoteCmpError: the body can't be decoded.
        """
        decode(ErrorMsgContent, exchange.message.body)
        if self._store.transaction(exchange.transaction_id) is not None:
            transaction = exchange.transaction(self._store)
            self._store.update_transaction(
                replace(
                    transaction.answered(exchange.nonce),
                    requests=tuple(self._end(exchange, one) for one in transaction.requests),
                    message=None,
                )
            )
        return response.confirmed()

    def _end(self, exchange: Exchange, request: CertRequestState) -> CertRequestState:
        if request.state not in OPEN_STATES:
            return request
        if request.serial is not None:
            self._store.set_certificate_status(
                request.serial,
                CertificateStatus.REJECTED,
                reason=RevocationReason.UNSPECIFIED,
                revoked_at=exchange.now,
            )
        return replace(request, state=RequestState.REJECTED)
