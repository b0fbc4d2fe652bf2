"""pollReq: what waited is delivered (RFC 9810, 5.3.22)."""

from dataclasses import replace

from bulkcmp.cmp.messages import PollReq, decode_message, decode_poll_req_content
from bulkcmp.testca import response
from bulkcmp.testca.aliases import PollingNonce
from bulkcmp.testca.exchange import Exchange
from bulkcmp.testca.issuance import Issuance
from bulkcmp.testca.refusal import RefusedError
from bulkcmp.testca.response import Answer
from bulkcmp.testca.store import RequestState, Store


class Polling:
    """Answers pollReqs."""

    def __init__(self, store: Store, issuance: Issuance) -> None:
        self._store = store
        self._issuance = issuance

    def answer(self, exchange: Exchange) -> Answer:
        """The ip, cp or kup with those of the requests polled for that are ready, or a pollRep.

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
        waiting = {
            one.cert_req_id for one in transaction.requests if one.state is RequestState.WAITING
        }
        if not polled or len(set(polled)) != len(polled) or not waiting.issuperset(polled):
            known = ", ".join(map(str, sorted(waiting)))
            raise RefusedError("badRequest", f"what waits is certReqId {known}")
        transaction = replace(
            transaction.answered(exchange.nonce),
            requests=tuple(
                replace(one, polls_left=one.polls_left - 1) if one.cert_req_id in polled else one
                for one in transaction.requests
            ),
        )
        ready = frozenset(
            one.cert_req_id
            for one in transaction.requests
            if one.cert_req_id in polled and one.polls_left <= 0
        )
        if not ready:
            self._store.update_transaction(transaction)
            return response.poll_response(polled, exchange.behaviour.check_after)
        original = replace(exchange, message=decode_message(message))
        answer, transaction = self._issuance.deliver(original, transaction, ready)
        self._store.update_transaction(transaction)
        if exchange.behaviour.polling_nonce is PollingNonce.REQUEST:
            return replace(answer, recip_nonce=original.message.header.senderNonce)
        return answer
