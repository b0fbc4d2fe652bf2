"""pollReq: what waited is delivered (RFC 9810, 5.3.22)."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from bulkcmp.cmp.messages import PollReq, decode_message, decode_poll_req_content
from bulkcmp.testca import response
from bulkcmp.testca.aliases import PollingNonce
from bulkcmp.testca.exchange import Exchange
from bulkcmp.testca.issuance import Issuance
from bulkcmp.testca.refusal import RefusedError
from bulkcmp.testca.response import Answer
from bulkcmp.testca.store import CertRequestState, RequestState, Store, Transaction

_WHOLE: Final = -1
"""certReqId that stands for an answer as a whole."""

_OF_OPENSSL: Final = 0
"""certReqId by which OpenSSL's clients poll for an answer to an ir, cr or kur, whatever waits."""

_WAITING: Final = (RequestState.WAITING, RequestState.DEFERRED)


class Polling:
    """Lets answers wait, and answers pollReqs.

    Args:
        answer_deferred: answers a request that has waited as a whole.
    """

    def __init__(
        self, store: Store, issuance: Issuance, answer_deferred: Callable[[Exchange], Answer]
    ) -> None:
        self._store = store
        self._issuance = issuance
        self._answer_deferred = answer_deferred

    def defer(self, exchange: Exchange) -> Answer:
        """The error with status waiting to a request that is looked at later.

        Raises:
            RefusedError: its transactionID was used before.
        """
        if self._store.transaction(exchange.transaction_id) is not None:
            raise RefusedError("transactionIdInUse", "this transactionID was used before")
        polls = exchange.behaviour.poll_count
        self._store.add_transaction(
            Transaction(
                exchange.transaction_id,
                exchange.alias.name,
                exchange.requester.identity,
                exchange.nonce,
                (CertRequestState(_WHOLE, RequestState.DEFERRED, polls_left=polls),),
                exchange.request,
            )
        )
        return response.deferred()

    def answer(self, exchange: Exchange) -> Answer:
        """The answer that has waited, an ip, cp or kup with what is ready of it, or a pollRep.

        Raises:
            RefusedError: it polls for what does not wait.
            RemoteCmpError: the body can't be decoded.
        """
        transaction = exchange.transaction(self._store)
        entries: list[PollReq] = decode_poll_req_content(exchange.message.body)
        message = transaction.message
        if message is None:
            raise RefusedError("badRequest", "nothing waits in this transaction")
        polled = [one.certReqId for one in entries]
        original = replace(exchange, message=decode_message(message), request=message)
        waiting = {one.cert_req_id for one in transaction.requests if one.state in _WAITING}
        is_whole = any(one.state is RequestState.DEFERRED for one in transaction.requests)
        known = waiting | {_OF_OPENSSL} if is_whole else waiting
        if not polled or len(set(polled)) != len(polled) or not known.issuperset(polled):
            told = ", ".join(map(str, sorted(waiting)))
            raise RefusedError("badRequest", f"what waits is certReqId {told}")
        meant = waiting if is_whole else waiting.intersection(polled)
        transaction = replace(
            transaction.answered(exchange.nonce),
            requests=tuple(
                replace(one, polls_left=one.polls_left - 1) if one.cert_req_id in meant else one
                for one in transaction.requests
            ),
        )
        ready = frozenset(
            one.cert_req_id
            for one in transaction.requests
            if one.cert_req_id in meant and one.polls_left <= 0
        )
        if not ready:
            self._store.update_transaction(transaction)
            return response.poll_response(polled, exchange.behaviour.check_after)
        if is_whole:
            # as if it came only now
            self._store.remove_transaction(exchange.transaction_id)
            at_once = replace(exchange.behaviour, poll_whole=False, poll_count=0)
            answer = self._answer_deferred(replace(original, behaviour=at_once))
        else:
            answer, transaction = self._issuance.deliver(original, transaction, ready)
            self._store.update_transaction(transaction)
        if exchange.behaviour.polling_nonce is PollingNonce.REQUEST:
            return replace(answer, recip_nonce=original.message.header.senderNonce)
        return answer
