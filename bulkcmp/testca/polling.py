"""pollReq: what waited is delivered (RFC 9810, 5.3.22)."""

from dataclasses import replace

from bulkcmp.cmp.messages import PollReq, decode_message, decode_poll_req_content
from bulkcmp.testca import enrollment as enrollments
from bulkcmp.testca import response
from bulkcmp.testca.aliases import PollingNonce
from bulkcmp.testca.entitlement import Entitlement
from bulkcmp.testca.exchange import Exchange
from bulkcmp.testca.issuance import Issuance
from bulkcmp.testca.refusal import RefusedError
from bulkcmp.testca.response import Answer
from bulkcmp.testca.store import Store, TransactionState


class Polling:
    """Answers pollReqs."""

    def __init__(self, store: Store, entitlement: Entitlement, issuance: Issuance) -> None:
        self._store = store
        self._entitlement = entitlement
        self._issuance = issuance

    def answer(self, exchange: Exchange) -> Answer:
        transaction = exchange.transaction(self._store)
        requests: list[PollReq] = decode_poll_req_content(exchange.message.body)
        waiting = transaction.request
        if waiting is None:
            raise RefusedError("badRequest", "nothing waits in this transaction")
        if [one.certReqId for one in requests] != [transaction.cert_req_id]:
            raise RefusedError("badRequest", f"what waits is certReqId {transaction.cert_req_id}")
        left = transaction.polls_left - 1
        if left > 0:
            transaction = replace(transaction, nonce=exchange.nonce, polls_left=left)
            self._store.update_transaction(transaction)
            return Answer(
                response.poll_response(transaction.cert_req_id, exchange.behaviour.check_after)
            )
        request = decode_message(waiting)
        try:
            enrollment = enrollments.read(request, transaction.cert_req_id)
            original = replace(exchange, message=request)
            user, subject = self._entitlement.end_entity(original, enrollment)
            answer, transaction = self._issuance.issue(
                exchange, request, transaction, enrollment, user, subject
            )
        except RefusedError as refusal:
            # good when it came, not any more: its validity is over, the user enrolled meanwhile
            answer = response.rejection(request.body_type, transaction.cert_req_id, refusal)
            transaction = replace(
                transaction,
                nonce=exchange.nonce,
                state=TransactionState.REJECTED,
                request=None,
                polls_left=0,
            )
        self._store.update_transaction(transaction)
        if exchange.behaviour.polling_nonce is PollingNonce.REQUEST:
            return replace(answer, recip_nonce=request.header.senderNonce)
        return answer
