"""One CMP transaction as a state machine: events in, instructions out (RFC 9810, 5.2 and 5.3).

Rules. An event is a fact and carries `now` (Unix time, seconds). An instruction is a wish; the
driver carries it out and tells by the next event. At most one instruction is open at any time. What
a `Store` gives must be durable before `Stored` is told, so that what follows it (a request that
leaves, a certConf) is never known to the CA alone. An event that the table does not have for the
present state is the driver's mistake: LocalCmpError. Whatever the peer sends ends in an
instruction, never in an exception.
"""

import datetime as dt
import sys
from collections.abc import Iterator
from dataclasses import replace
from enum import Enum
from typing import Final

from bulkcmp.cmp import algorithms, checks, outcomes, protection
from bulkcmp.cmp import request as requests
from bulkcmp.cmp.asn1 import content, decode, decode_sequence_of, encode, tag, wrap
from bulkcmp.cmp.checks import CheckError, Reason
from bulkcmp.cmp.events import (
    Checkpoint,
    DeriveKey,
    Event,
    Finish,
    Instruction,
    KeyDerived,
    Lost,
    Phase,
    Received,
    Send,
    Start,
    Stop,
    Store,
    Stored,
    TimerFired,
    WakeAt,
)
from bulkcmp.cmp.messages import (
    IT_IMPLICIT_CONFIRM,
    PVNO_CMP2000,
    PVNO_CMP2021,
    BodyType,
    CertRepMessage,
    CertResponse,
    ErrorMsgContent,
    PKIMessage,
    PKIStatus,
    PKIStatusInfo,
    PollRep,
    RevRepContent,
    decode_message,
    decode_poll_rep_content,
    fail_info,
    fail_info_names,
)
from bulkcmp.cmp.protection import MacParameters
from bulkcmp.cmp.request import Credential, MacCredential, Protector
from bulkcmp.cmp.trust import Trust, load_certificate
from bulkcmp.errors import LocalCmpError, RemoteCmpError
from bulkcmp.model import EndEntity, Operation, Outcome, OutcomeClass, Profile, Timings

# --- the table ----------------------------------------------------------------------------------


class State(Enum):
    NEW = "new"
    KEYING = "own MAC key being derived"
    RECORDING = "request being made durable"
    REQUESTED = "request sent"
    CHECKING = "response's MAC key being derived"
    PARKING = "poll state being made durable"
    WAITING = "waiting for checkAfter"
    POLLED = "pollReq sent"
    KEEPING = "certificate being made durable"
    CONFIRMING = "certConf sent"
    BACKING_OFF = "waiting to send again"
    FINISHED = "finished"


TRANSITIONS: Final[dict[tuple[State, type[Event]], tuple[str, frozenset[State]]]] = {
    (State.NEW, Start): (
        "_start",
        frozenset({State.KEYING, State.RECORDING, State.POLLED, State.WAITING, State.CONFIRMING})
        | {State.FINISHED},
    ),
    (State.KEYING, KeyDerived): (
        "_keyed",
        frozenset({State.RECORDING, State.POLLED, State.WAITING, State.CONFIRMING, State.FINISHED}),
    ),
    (State.RECORDING, Stored): ("_send_request", frozenset({State.REQUESTED})),
    (State.REQUESTED, Received): (
        "_receive",
        frozenset({State.CHECKING, State.PARKING, State.KEEPING, State.FINISHED}),
    ),
    (State.REQUESTED, Lost): ("_lose_request", frozenset({State.BACKING_OFF, State.FINISHED})),
    (State.CHECKING, KeyDerived): (
        "_check",
        frozenset({State.PARKING, State.KEEPING, State.FINISHED}),
    ),
    (State.PARKING, Stored): ("_park", frozenset({State.WAITING, State.FINISHED})),
    (State.WAITING, TimerFired): ("_poll", frozenset({State.POLLED})),
    (State.WAITING, Stop): ("_stop", frozenset({State.FINISHED})),
    (State.POLLED, Received): (
        "_receive",
        frozenset({State.CHECKING, State.PARKING, State.KEEPING, State.FINISHED}),
    ),
    (State.POLLED, Lost): ("_lose_poll", frozenset({State.BACKING_OFF, State.FINISHED})),
    (State.KEEPING, Stored): ("_keep", frozenset({State.CONFIRMING, State.FINISHED})),
    (State.CONFIRMING, Received): ("_receive", frozenset({State.CHECKING, State.FINISHED})),
    (State.CONFIRMING, Lost): ("_lose_confirm", frozenset({State.BACKING_OFF, State.FINISHED})),
    (State.BACKING_OFF, TimerFired): (
        "_send_again",
        frozenset({State.REQUESTED, State.POLLED, State.CONFIRMING}),
    ),
    (State.BACKING_OFF, Stop): (
        "_stop",
        frozenset({State.FINISHED, State.CONFIRMING}),
    ),
}
"""state x event -> action, states it may lead to; the documentation's diagram is made from it."""

_LEAST_CHECK_AFTER: Final = 1
"""Seconds between two polls, also where the server says 0."""

_STALE: Final = 60.0
"""Seconds after which a request that never reached the server gets a fresh messageTime: strict
servers refuse one that is off by 100 to 300 s."""


class Transaction:
    """One transaction of one end entity.

    Args:
        entity: the row.
        new_key: PKCS#8 DER of the key to certify; None for p10cr and rr.
        credential: protects our messages; with a MAC credential, a MAC'd answer is accepted, and
            with either kind an answer signed by whom `trust` names.
        profile: how to talk to this server.
        trust: anchors.
        transaction_id: 16 random octets; that of the checkpoint where there is one.
        nonces: gives 16 fresh random octets for each message.
        jitter: gives numbers of [0, 1) by which back-off is spread.
        checkpoint: where an earlier process left off.
    """

    def __init__(
        self,
        entity: EndEntity,
        new_key: bytes | None,
        credential: Credential,
        profile: Profile,
        trust: Trust,
        *,
        transaction_id: bytes,
        nonces: Iterator[bytes],
        jitter: Iterator[float],
        checkpoint: Checkpoint | None = None,
    ) -> None:
        self.state = State.NEW
        self._entity = entity
        self._new_key = new_key
        self._credential = credential
        self._profile = profile
        self._trust = trust
        self._transaction_id = transaction_id
        self._nonces = nonces
        self._jitter = jitter
        self._checkpoint = checkpoint
        self._protector: Protector | None = None
        self._mac_key: bytes | None = None
        self._request: requests.Request | None = None
        self._request_nonce = b""
        self._awaiting = State.REQUESTED
        self._sent = Send(b"", "", opens=False)
        self._built_at = 0.0
        self._pending: tuple[PKIMessage, MacParameters] | None = None
        self._losses = 0
        self._confirm_uncertain = False
        self._started: float | None = None
        self._request_answered: float | None = None
        self._polling_since: float | None = None
        self._polled_until: float | None = None
        self._confirm_sent: float | None = None
        self._confirmed: float | None = None
        self._sends = 0

    def handle(self, event: Event) -> list[Instruction]:
        """Take in one event.

        Raises:
            LocalCmpError: the event does not fit the state.
        """
        transition = TRANSITIONS.get((self.state, type(event)))
        if transition is None:
            raise LocalCmpError(f"{type(event).__name__} while {self.state.value}")
        action: list[Instruction] = getattr(self, transition[0])(event)
        return action

    # --- start ----------------------------------------------------------------------------------

    def _start(self, event: Start) -> list[Instruction]:
        if self._checkpoint is not None and self._checkpoint.phase is Phase.REQUESTED:
            # whether the request left is not known: sending it again could issue twice
            return self._finish(
                event.now,
                Outcome(
                    OutcomeClass.UNKNOWN,
                    "interrupted before the answer",
                    "the run ended between sending the request and storing its answer",
                ),
            )
        if self._checkpoint is not None and not self._checkpoint.confirm and self._issued:
            return self._finish(event.now, self._granted)
        credential = self._credential
        if isinstance(credential, MacCredential):
            if self._checkpoint is not None:
                credential = self._credential = _resumed_credential(credential, self._checkpoint)
            self.state = State.KEYING
            return [DeriveKey(credential.derivation)]
        return self._begin(event.now)

    def _keyed(self, event: KeyDerived) -> list[Instruction]:
        self._mac_key = event.key
        return self._begin(event.now)

    def _begin(self, now: float) -> list[Instruction]:
        try:
            self._protector = Protector(self._credential, self._profile, self._mac_key)
            self._request = requests.build(self._entity, self._new_key, self._profile, now)
        except LocalCmpError as error:
            return self._finish(now, self._not_made(error))
        checkpoint = self._checkpoint
        if checkpoint is None:
            return self._record(now)
        self._request_nonce = checkpoint.request_nonce
        if self._issued:
            # the earlier process may have sent a certConf that the CA took
            self._confirm_uncertain = True
            return self._send_confirm(now)
        if checkpoint.check_at > now:
            self.state = State.WAITING
            return [WakeAt(checkpoint.check_at)]
        return self._send_poll(now)

    def _not_made(self, error: LocalCmpError) -> Outcome:
        """What a message that can't be built means: what an earlier process reached, stays."""
        local = Outcome(OutcomeClass.LOCAL_ERROR, "", error.what)
        if self._checkpoint is None:
            return local
        if self._issued:
            return self._unconfirmed(
                OutcomeClass.ISSUED_CONFIRMATION_UNKNOWN, local.outcome.value, error.what
            )
        return replace(local, outcome=OutcomeClass.STILL_WAITING, reason=local.outcome.value)

    def _record(self, now: float) -> list[Instruction]:
        self._request_nonce = next(self._nonces)
        limit = self._profile.total_timeout
        self._checkpoint = Checkpoint(
            phase=Phase.REQUESTED,
            transaction_id=self._transaction_id,
            request_nonce=self._request_nonce,
            sent_nonce=self._request_nonce,
            received_nonce=None,
            cert_req_id=self._asked.cert_req_ids[0],
            protection=(
                self._credential.parameters.identifier
                if isinstance(self._credential, MacCredential)
                else b""
            ),
            deadline=now + limit if limit else 0.0,
        )
        self.state = State.RECORDING
        return [Store(self._checkpoint)]

    def _send_request(self, event: Stored) -> list[Instruction]:
        body_type = requests.BODY_TYPES[self._asked.operation][0]
        self._built_at = event.now
        message = self._make(
            body_type,
            self._asked.body,
            event.now,
            nonce=self._request_nonce,
            general_info=self._asked.general_info,
        )
        return self._transmit(State.REQUESTED, Send(message, body_type.label, opens=True))

    # --- responses ------------------------------------------------------------------------------

    def _receive(self, event: Received) -> list[Instruction]:
        self._losses = 0
        self._clock(event)
        self._awaiting = self.state
        try:
            message = decode_message(event.message)
        except RemoteCmpError as error:
            return self._refuse_response(event.now, CheckError(Reason.MALFORMED, error.what))
        try:
            parameters = self._mac_of(message)
        except CheckError as error:
            return self._unproven(event.now, message, error)
        if parameters is None:
            return self._check_signed(event.now, message)
        self._pending = (message, parameters)
        own = self._credential
        assert isinstance(own, MacCredential)
        derivation = parameters.derivation(own.secret)
        if derivation == own.derivation and self._mac_key is not None:
            return self._check(KeyDerived(event.now, self._mac_key))
        self.state = State.CHECKING
        return [DeriveKey(derivation)]

    def _mac_of(self, message: PKIMessage) -> MacParameters | None:
        """The MAC parameters of a response, or None where it is signed."""
        if message.protection is None or message.header.protectionAlg is None:
            raise CheckError(Reason.PROTECTION_MISSING, "the response is not protected")
        try:
            parameters = protection.mac_parameters(
                message, max_iterations=self._profile.max_pbm_iterations
            )
        except RemoteCmpError as error:
            raise CheckError(Reason.PROTECTION_ALGORITHM, error.what, hint=error.hint) from error
        if parameters is not None and not isinstance(self._credential, MacCredential):
            raise CheckError(
                Reason.NO_SECRET, "the response has a MAC, but we share no secret with the server"
            )
        return parameters

    def _check(self, event: KeyDerived) -> list[Instruction]:
        assert self._pending is not None
        message, parameters = self._pending
        self._pending = None
        try:
            protection.check_mac(message, parameters, event.key)
        except RemoteCmpError as error:
            return self._unproven(event.now, message, CheckError(Reason.MAC, error.what))
        return self._proven(event.now, message)

    def _check_signed(self, now: float, message: PKIMessage) -> list[Instruction]:
        try:
            checks.signer(
                message,
                self._trust,
                _utc(now),
                ignore_keyusage=self._profile.ignore_keyusage,
            )
        except CheckError as error:
            return self._unproven(now, message, error)
        return self._proven(now, message)

    def _unproven(self, now: float, message: PKIMessage, error: CheckError) -> list[Instruction]:
        """A response whose protection is missing or bad: only a refusal or a pkiconf may count."""
        is_ours = message.header.transactionID == self._transaction_id
        if self._awaiting is State.CONFIRMING and message.body_type is BodyType.PKICONF:
            if self._profile.tolerate_pkiconf and is_ours:
                return self._finish(now, self._granted)
            return self._refuse_response(now, error)
        refusal = _refusal(message)
        if refusal is None:
            return self._refuse_response(now, error)
        status, details = refusal
        believed = self._profile.unprotected_errors and is_ours
        outcome = outcomes.refused(status, authenticated=believed, details=details)
        if not believed:
            outcome = replace(outcome, detail=f"{outcome.detail}; {error.what}")
        return self._refused(now, outcome, proven=believed)

    def _proven(self, now: float, message: PKIMessage) -> list[Instruction]:
        try:
            self._check_header(message)
            return self._dispatch(now, message)
        except CheckError as error:
            return self._refuse_response(now, error)
        except RemoteCmpError as error:
            return self._refuse_response(now, CheckError(Reason.MALFORMED, error.what))

    def _check_header(self, message: PKIMessage) -> None:
        nonces = [self._last.sent_nonce]
        if self._awaiting is State.POLLED and message.body_type is not BodyType.POLL_REP:
            nonces.append(self._request_nonce)
        checks.header(
            message,
            transaction_id=self._transaction_id,
            nonces=nonces,
            expect_sender=self._profile.expect_sender,
        )

    def _dispatch(self, now: float, message: PKIMessage) -> list[Instruction]:
        answer = requests.BODY_TYPES[self._asked.operation][1]
        if message.body_type is BodyType.ERROR:
            return self._take_error(now, message)
        if self._awaiting is State.CONFIRMING:
            if message.body_type is BodyType.PKICONF:
                return self._finish(now, self._granted)
        elif message.body_type is answer:
            if self._asked.operation is Operation.RR:
                return self._take_revocation(now, message)
            return self._take_certificate(now, message)
        elif self._awaiting is State.POLLED and message.body_type is BodyType.POLL_REP:
            return self._take_poll_rep(now, message)
        raise CheckError(
            Reason.BODY_TYPE, f"{message.body_type.label} in answer to {self._sent.label}"
        )

    def _take_error(self, now: float, message: PKIMessage) -> list[Instruction]:
        error = decode(ErrorMsgContent, message.body)
        status = error.pKIStatusInfo
        if status.status == PKIStatus.WAITING and self._awaiting is not State.CONFIRMING:
            # delayed delivery of any answer (RFC 9483, 4.4)
            return self._wait(now, message, requests.CERT_REQ_ID_P10CR, 0)
        return self._refused(
            now, outcomes.refused(status, authenticated=True, details=error.errorDetails or [])
        )

    def _take_poll_rep(self, now: float, message: PKIMessage) -> list[Instruction]:
        replies: list[PollRep] = decode_poll_rep_content(message.body)
        if len(replies) != 1:
            raise CheckError(Reason.RESPONSE_COUNT, f"pollRep with {len(replies)} entries")
        reply = replies[0]
        self._check_cert_req_id(reply.certReqId, (self._last.cert_req_id,))
        return self._wait(now, message, reply.certReqId, reply.checkAfter)

    def _wait(
        self, now: float, message: PKIMessage, cert_req_id: int, check_after: int
    ) -> list[Instruction]:
        if self._polling_since is None:
            # the first poll may come at once, for nobody named a time yet
            self._polling_since = now
            least = 0
        else:
            least = _LEAST_CHECK_AFTER
        check_at = now + max(check_after, least)
        self._checkpoint = replace(
            self._last,
            phase=Phase.WAITING,
            received_nonce=message.header.senderNonce,
            cert_req_id=cert_req_id,
            check_at=check_at,
        )
        self.state = State.PARKING
        return [Store(self._checkpoint)]

    def _park(self, event: Stored) -> list[Instruction]:
        check_at, deadline = self._last.check_at, self._last.deadline
        if deadline and check_at > deadline:
            return self._finish(
                event.now,
                Outcome(
                    OutcomeClass.STILL_WAITING,
                    "time limit",
                    f"the server wants the next poll in {check_at - event.now:.0f} s, past the"
                    " time limit (--total-timeout)",
                    pki_status=PKIStatus.WAITING,
                ),
            )
        self.state = State.WAITING
        return [WakeAt(check_at)]

    def _take_revocation(self, now: float, message: PKIMessage) -> list[Instruction]:
        reply = decode(RevRepContent, message.body)
        if len(reply.status) != 1:
            raise CheckError(Reason.RESPONSE_COUNT, f"rp with {len(reply.status)} statuses")
        status = reply.status[0]
        if status.status == PKIStatus.WAITING:
            return self._wait(now, message, requests.CERT_REQ_ID_P10CR, 0)
        if status.status == PKIStatus.REJECTION:
            return self._refused(now, outcomes.refused(status, authenticated=True, details=[]))
        if status.status not in outcomes.REVOKED:
            raise CheckError(Reason.STATUS, f"rp with PKIStatus {status.status}")
        return self._finish(now, _granted(OutcomeClass.REVOKED, status))

    def _take_certificate(self, now: float, message: PKIMessage) -> list[Instruction]:
        reply = decode(CertRepMessage, message.body)
        if len(reply.response) != 1:
            raise CheckError(
                Reason.RESPONSE_COUNT,
                f"{message.body_type.label} with {len(reply.response)} responses to one request",
            )
        response = reply.response[0]
        status = response.status
        if status.status == PKIStatus.REJECTION:
            # EJBCA answers an unreadable request with a certReqId of its own
            return self._refused(now, outcomes.refused(status, authenticated=True, details=[]))
        self._check_cert_req_id(response.certReqId, self._asked.cert_req_ids)
        if status.status == PKIStatus.WAITING:
            return self._wait(now, message, response.certReqId, 0)
        if status.status not in outcomes.GRANTED:
            raise CheckError(
                Reason.STATUS, f"{message.body_type.label} with PKIStatus {status.status}"
            )
        certificate = _certificate_in(response)
        self._polled_until = None if self._polling_since is None else now
        helpers = tuple(encode(der) for der in reply.caPubs or ()) + message.extra_certs
        return self._take(now, message, response, certificate, helpers)

    def _take(
        self,
        now: float,
        message: PKIMessage,
        response: CertResponse,
        certificate: bytes,
        helpers: tuple[bytes, ...],
    ) -> list[Instruction]:
        chain: tuple[bytes, ...] = ()
        try:
            chain, changed = checks.issued(
                certificate,
                public_key=self._asked.public_key,
                subject=self._asked.subject,
                subject_check=self._profile.subject_check,
                trust=self._trust,
                extra=helpers,
                at=_utc(now),
            )
            kind = OutcomeClass.ISSUED_SUBJECT_CHANGED if changed else OutcomeClass.ISSUED
            granted = _granted(kind, response.status)
        except CheckError as error:
            granted = replace(
                _granted(OutcomeClass.ISSUED_REFUSED, response.status),
                reason=error.reason.value,
                detail=error.what,
            )
        implicit = self._profile.implicit_confirm and message.info(IT_IMPLICIT_CONFIRM) is not None
        self._checkpoint = replace(
            self._last,
            phase=Phase.ISSUED,
            received_nonce=message.header.senderNonce,
            cert_req_id=response.certReqId,
            certificate=certificate,
            chain=chain,
            granted=granted,
            # what can't be parsed has no certHash to confirm or reject
            confirm=not implicit and granted.reason != Reason.CERTIFICATE_MALFORMED,
        )
        self.state = State.KEEPING
        return [Store(self._checkpoint)]

    def _check_cert_req_id(self, got: int, expected: tuple[int, ...]) -> None:
        if got not in expected:
            raise CheckError(
                Reason.CERT_REQ_ID, f"the response has certReqId {got}, ours is {expected[0]}"
            )

    # --- polling and confirmation ---------------------------------------------------------------

    def _poll(self, event: TimerFired) -> list[Instruction]:
        return self._send_poll(event.now)

    def _send_poll(self, now: float) -> list[Instruction]:
        body = wrap(0x30, wrap(0x30, encode(self._last.cert_req_id)))
        message = self._make(BodyType.POLL_REQ, body, now)
        return self._transmit(State.POLLED, Send(message, BodyType.POLL_REQ.label, opens=False))

    def _keep(self, event: Stored) -> list[Instruction]:
        if not self._last.confirm:
            return self._finish(event.now, self._granted)
        return self._send_confirm(event.now)

    def _send_confirm(self, now: float) -> list[Instruction]:
        certificate = self._last.certificate
        assert certificate is not None
        digest, algorithm = algorithms.certificate_hash(load_certificate(certificate), certificate)
        refused = b""
        if self._granted.outcome is OutcomeClass.ISSUED_REFUSED:
            refused = encode(
                PKIStatusInfo(
                    status=PKIStatus.REJECTION,
                    statusString=[self._granted.reason],
                    failInfo=fail_info(_REFUSAL_BITS.get(self._granted.reason, "incorrectData")),
                )
            )
        status = wrap(
            0x30,
            encode(digest),
            encode(self._last.cert_req_id),
            refused,
            b"" if algorithm is None else wrap(0xA0, algorithm),
        )
        message = self._make(
            BodyType.CERT_CONF,
            wrap(0x30, status),
            now,
            # hashAlg came with cmp2021 (RFC 9810, 7)
            pvno=PVNO_CMP2000 if algorithm is None else PVNO_CMP2021,
        )
        return self._transmit(
            State.CONFIRMING, Send(message, BodyType.CERT_CONF.label, opens=False)
        )

    # --- losses ---------------------------------------------------------------------------------

    def _lose_request(self, event: Lost) -> list[Instruction]:
        if not outcomes.was_processed(event.loss) and self._may_retry(event):
            return self._back_off(event)
        return self._finish(event.now, outcomes.lost(event.loss, event.reason, event.detail))

    def _lose_poll(self, event: Lost) -> list[Instruction]:
        if not outcomes.was_processed(event.loss) and self._may_retry(event):
            return self._back_off(event)
        # the answer to a pollReq may have been the certificate
        seen = outcomes.was_processed(event.loss)
        kind = OutcomeClass.UNKNOWN if seen else OutcomeClass.STILL_WAITING
        return self._finish(event.now, Outcome(kind, event.reason, event.detail))

    def _lose_confirm(self, event: Lost) -> list[Instruction]:
        self._confirm_uncertain = self._confirm_uncertain or outcomes.was_processed(event.loss)
        if self._may_retry(event):
            return self._back_off(event)
        return self._finish(
            event.now,
            self._unconfirmed(OutcomeClass.ISSUED_CONFIRMATION_UNKNOWN, event.reason, event.detail),
        )

    def _may_retry(self, event: Lost) -> bool:
        if self._losses >= self._profile.retries:
            return False
        deadline = self._last.deadline
        return not deadline or event.now + (event.retry_after or 0.0) < deadline

    def _back_off(self, event: Lost) -> list[Instruction]:
        self._awaiting = self.state
        delay = min(
            self._profile.backoff_max, self._profile.backoff_first * 2.0 ** min(self._losses, 64)
        )
        self._losses += 1
        # half fixed, half random: spread, and never at once
        delay *= 0.5 + 0.5 * next(self._jitter)
        self.state = State.BACKING_OFF
        return [WakeAt(event.now + max(delay, event.retry_after or 0.0))]

    def _send_again(self, event: TimerFired) -> list[Instruction]:
        if self._awaiting is State.REQUESTED and event.now - self._built_at > _STALE:
            return self._send_request(Stored(event.now))
        return self._transmit(self._awaiting, self._sent)

    def _stop(self, event: Stop) -> list[Instruction]:
        if self.state is State.BACKING_OFF and self._awaiting is State.CONFIRMING:
            return self._transmit(State.CONFIRMING, self._sent)
        if self.state is State.BACKING_OFF and self._awaiting is State.REQUESTED:
            return self._finish(
                event.now,
                Outcome(OutcomeClass.NOT_SENT, "stopped", "stopped while waiting to send again"),
            )
        return self._finish(
            event.now,
            Outcome(
                OutcomeClass.STILL_WAITING,
                "stopped",
                "stopped while the server had us wait",
                pki_status=PKIStatus.WAITING,
            ),
        )

    # --- endings --------------------------------------------------------------------------------

    def _refuse_response(self, now: float, error: CheckError) -> list[Instruction]:
        """A response that fails a check."""
        if self._awaiting is State.CONFIRMING:
            outcome = self._unconfirmed(
                OutcomeClass.ISSUED_UNPROVEN, error.reason.value, error.what
            )
        else:
            outcome = Outcome(OutcomeClass.BAD_RESPONSE, error.reason.value, error.what)
        return self._finish(now, outcome)

    def _refused(self, now: float, outcome: Outcome, *, proven: bool = True) -> list[Instruction]:
        """The CA's no, to a request or to a certConf; `proven`: it is known to be the CA's."""
        if self._awaiting is not State.CONFIRMING:
            return self._finish(now, outcome)
        if "certConfirmed" in outcome.fail_info and proven:
            # a certConf of ours did arrive, its pkiconf was lost
            return self._finish(now, self._granted)
        kind = (
            OutcomeClass.ISSUED_CONFIRMATION_UNKNOWN
            if self._confirm_uncertain or not proven
            else OutcomeClass.ISSUED_CONFIRMATION_REFUSED
        )
        if self._granted.outcome is OutcomeClass.ISSUED_REFUSED:
            return self._finish(now, self._granted)
        return self._finish(now, replace(outcome, outcome=kind))

    def _finish(self, now: float, outcome: Outcome) -> list[Instruction]:
        if self._polling_since is not None and self._polled_until is None:
            self._polled_until = now
        self.state = State.FINISHED
        return [Finish(outcome, self._checkpoint, self._timings(now), self._sends)]

    def _unconfirmed(self, kind: OutcomeClass, reason: str, detail: str) -> Outcome:
        """An issued certificate whose confirmation went wrong.

        One that we refused stays refused, for the reason that we had.
        """
        if self._granted.outcome is OutcomeClass.ISSUED_REFUSED:
            return self._granted
        return replace(self._granted, outcome=kind, reason=reason, detail=detail)

    # --- helpers --------------------------------------------------------------------------------

    def _make(
        self,
        body_type: BodyType,
        body: bytes,
        now: float,
        *,
        nonce: bytes | None = None,
        general_info: bytes = b"",
        pvno: int = PVNO_CMP2000,
    ) -> bytes:
        assert self._protector is not None
        if nonce is None:
            nonce = next(self._nonces)
            self._checkpoint = replace(self._last, sent_nonce=nonce)
        return self._protector.message(
            body_type,
            body,
            now=now,
            transaction_id=self._transaction_id,
            sender_nonce=nonce,
            recip_nonce=self._last.received_nonce,
            general_info=general_info,
            pvno=pvno,
        )

    def _transmit(self, state: State, send: Send) -> list[Instruction]:
        self.state = state
        self._sent = send
        self._sends += send.opens
        return [send]

    def _clock(self, event: Received) -> None:
        if self._started is None:
            self._started = event.sent
        if self.state is State.REQUESTED and self._request_answered is None:
            self._request_answered = event.now
        if self.state is State.CONFIRMING:
            self._confirm_sent, self._confirmed = event.sent, event.now

    def _timings(self, now: float) -> Timings:
        if self._started is None:
            return Timings()
        last = self._confirmed or self._polled_until or self._request_answered or now
        return Timings(
            service=last - self._started,
            request=_span(self._started, self._request_answered),
            polling=_span(self._polling_since, self._polled_until),
            confirm=_span(self._confirm_sent, self._confirmed),
        )

    @property
    def _asked(self) -> requests.Request:
        assert self._request is not None
        return self._request

    @property
    def _last(self) -> Checkpoint:
        assert self._checkpoint is not None
        return self._checkpoint

    @property
    def _issued(self) -> bool:
        return self._last.phase is Phase.ISSUED

    @property
    def _granted(self) -> Outcome:
        granted = self._last.granted
        assert granted is not None
        return granted


_REFUSAL_BITS: Final = {
    Reason.PUBLIC_KEY.value: "badCertTemplate",
    Reason.SUBJECT.value: "badCertTemplate",
    Reason.CHAIN.value: "signerNotTrusted",
}
"""failInfo of a certConf that rejects a certificate, by our reason."""


def _granted(kind: OutcomeClass, status: PKIStatusInfo) -> Outcome:
    text = " / ".join(status.statusString or ())
    return Outcome(
        kind,
        pki_status=status.status,
        fail_info=fail_info_names(status.failInfo),
        status_text=text,
    )


def _certificate_in(response: CertResponse) -> bytes:
    """DER of the certificate in a CertResponse.

    Raises:
        CheckError: there is none, or an encrypted one, which nothing asked for.
    """
    pair = response.certifiedKeyPair
    if not pair:
        raise CheckError(Reason.CERTIFICATE_MISSING, "PKIStatus accepted without a certificate")
    if tag(pair[0]) != 0xA0:
        raise CheckError(Reason.CERTIFICATE_MISSING, "an encrypted certificate was not asked for")
    return content(pair[0])


def _refusal(message: PKIMessage) -> tuple[PKIStatusInfo, list[str]] | None:
    """What a response without good protection says, where it is a refusal."""
    status: PKIStatusInfo | None = None
    try:
        if message.body_type is BodyType.ERROR:
            error = decode(ErrorMsgContent, message.body)
            waiting = error.pKIStatusInfo.status == PKIStatus.WAITING
            return None if waiting else (error.pKIStatusInfo, error.errorDetails or [])
        if message.body_type in (BodyType.IP, BodyType.CP, BodyType.KUP):
            responses = decode(CertRepMessage, message.body).response
            status = responses[0].status if len(responses) == 1 else None
        elif message.body_type is BodyType.RP:
            statuses = decode(RevRepContent, message.body).status
            status = statuses[0] if len(statuses) == 1 else None
    except RemoteCmpError:
        return None
    if status is None or status.status != PKIStatus.REJECTION:
        return None
    return status, []


def _resumed_credential(credential: MacCredential, checkpoint: Checkpoint) -> MacCredential:
    """The same secret with the salt and count that the transaction began with."""
    if not checkpoint.protection:
        return credential
    # our own record, and our own choice: no ceiling
    parameters = protection.parameters_of(
        decode_sequence_of(checkpoint.protection), max_iterations=sys.maxsize
    )
    return credential if parameters is None else replace(credential, parameters=parameters)


def _span(begin: float | None, end: float | None) -> float | None:
    return None if begin is None or end is None else end - begin


def _utc(now: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(now, dt.UTC)
