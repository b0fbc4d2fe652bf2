"""One CMP transaction as a state machine: events in, instructions out (RFC 9810, 5.2 and 5.3).

It is for one row, or for several whose requests go in one message: each has its own outcome, and
those whose certificates came are confirmed in one certConf while others still wait (RFC 9810,
5.3.22).

Rules. An event is a fact and carries `now` (Unix time, seconds). An instruction is a wish; the
driver carries it out and tells by the next event. At most one instruction is open at any time. What
a `Store` gives must be durable before `Stored` is told, so that what follows it (a request that
leaves, a certConf) is never known to the CA alone. An event that the table does not have for the
present state is the driver's mistake: LocalCmpError. Whatever the peer sends ends in an
instruction, never in an exception.
"""

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from bulkcmp.cmp import (
    checks,
    confirmation,
    ending,
    general,
    information,
    issuance,
    outcomes,
    polling,
)
from bulkcmp.cmp import request as requests
from bulkcmp.cmp.asn1 import decode, encode
from bulkcmp.cmp.backoff import Backoff
from bulkcmp.cmp.checks import CheckError, Reason, Verdicts, Witness
from bulkcmp.cmp.events import (
    Checkpoint,
    DeriveKey,
    Event,
    Finish,
    Instruction,
    KeyDerived,
    Lost,
    Part,
    Phase,
    Received,
    Refused,
    Send,
    Start,
    Stop,
    Store,
    Stored,
    TimerFired,
    WakeAt,
)
from bulkcmp.cmp.evidence import Evidence
from bulkcmp.cmp.issuance import Issuance
from bulkcmp.cmp.kemexchange import KemExchange
from bulkcmp.cmp.kemmac import CaSecret
from bulkcmp.cmp.messages import (
    IT_IMPLICIT_CONFIRM,
    PVNO_CMP2000,
    BodyType,
    CertRepMessage,
    ErrorMsgContent,
    PKIMessage,
    PKIStatus,
    RevRepContent,
    decode_message,
)
from bulkcmp.cmp.proof import AnyMac, Proof
from bulkcmp.cmp.protection import Derivation, MacParameters
from bulkcmp.cmp.request import (
    CERT_REQ_ID_WHOLE,
    Applicant,
    Credential,
    DhCredential,
    KemCredential,
    MacCredential,
    Protector,
)
from bulkcmp.cmp.state import TRANSITIONS, State
from bulkcmp.cmp.stopwatch import Stopwatch
from bulkcmp.cmp.trust import Trust
from bulkcmp.errors import LocalCmpError, RemoteCmpError
from bulkcmp.model import (
    Operation,
    Outcome,
    OutcomeClass,
    Profile,
)

_STALE: Final = 60.0
"""Seconds after which a request that never reached the server gets a fresh messageTime: strict
servers refuse one that is off by 100 to 300 s."""


class Transaction:
    """One transaction.

    Args:
        applicants: the rows, all with the same operation; with a checkpoint, those of its parts.
        credential: protects our messages. Its secret, if it has one, checks MAC'd answers, and
            `trust` those that are signed; which of them are good, the profile says.
        profile: how to talk to this server.
        trust: anchors; None where the root that the first ip brings is to be believed.
        transaction_id: 16 random octets; that of the checkpoint where there is one.
        nonces: gives 16 fresh random octets for each message.
        jitter: gives numbers of [0, 1) by which back-off is spread.
        checkpoint: where an earlier process left off.
        witness: is told of each check of an answer as it is made, in order.
        ca_secret: made anew for this object, where the CA's certificate (`trust`) is for a KEM key.
    """

    def __init__(
        self,
        applicants: Sequence[Applicant],
        credential: Credential,
        profile: Profile,
        trust: Trust | None,
        *,
        transaction_id: bytes,
        nonces: Iterator[bytes],
        jitter: Iterator[float],
        checkpoint: Checkpoint | None = None,
        witness: Witness | None = None,
        ca_secret: CaSecret | None = None,
    ) -> None:
        self.state = State.NEW
        self._applicants = applicants
        self._credential = credential
        self._profile = profile
        self._transaction_id = transaction_id
        self._nonces = nonces
        self._backoff = Backoff(profile, jitter)
        self._checkpoint = checkpoint
        self._verdicts = Verdicts(witness)
        self._ca_secret = ca_secret
        self._proof = Proof(
            credential,
            profile,
            trust,
            self._verdicts,
            transaction_id=transaction_id,
            ca_secret=ca_secret,
        )
        self._protector: Protector | None = None
        self._own_derivation: Derivation | None = None
        self._mac_key: bytes | None = None
        self._kem = (
            KemExchange(credential, profile, transaction_id)
            if isinstance(credential, KemCredential)
            else None
        )
        self._request: requests.Request | None = None
        self._request_nonce = b""
        self._awaiting = State.REQUESTED
        self._polled: tuple[int, ...] = ()
        self._sent = Send(b"", "", opens=False)
        self._built_at = 0.0
        self._pending: tuple[PKIMessage, AnyMac] | None = None
        self._opening: tuple[PKIMessage, Issuance] | None = None
        self._confirm_uncertain = False
        self._confirm_nonce = b""
        self._confirm_poll: float | None = None
        self._times = Stopwatch()
        self._sends = 0

    def handle(self, event: Event) -> list[Instruction]:
        """Take in one event.

        Raises:
            LocalCmpError: the event does not fit the state.
        """
        transition = TRANSITIONS.get((self.state, type(event)))
        if transition is None:
            raise LocalCmpError(f"{type(event).__name__} while {self.state.value}")
        try:
            action: list[Instruction] = getattr(self, transition[0])(event)
        except LocalCmpError as error:
            # a credential that can't be used, or a key on a token that can't be reached any more
            return self._not_made(event.now, error)
        return action

    # --- start ----------------------------------------------------------------------------------

    def _start(self, event: Start) -> list[Instruction]:
        checkpoint = self._checkpoint
        if checkpoint is not None:
            if not checkpoint.is_answered:
                # whether the request left is not known: sending it again could issue twice
                return self._finish(
                    event.now,
                    Outcome(
                        outcomes.unknown(self._operation),
                        "interrupted before the answer",
                        "the run ended between sending the request and storing its answer",
                    ),
                )
            if not any(part.is_unconfirmed or part.waits for part in checkpoint.parts):
                return self._finish(event.now)
        self._proof.check_possible()
        credential = self._credential
        if isinstance(credential, MacCredential):
            if checkpoint is not None:
                credential = self._credential = credential.resumed(checkpoint.protection)
            self.state = State.KEYING
            self._own_derivation = credential.derivation
            return [DeriveKey(self._own_derivation)]
        if self._kem is not None:
            if checkpoint is None:
                return self._ask_ciphertext(event.now)
            try:
                self._mac_key = self._kem.mac_key(checkpoint.protection)
            except RemoteCmpError as error:
                # our own record: it was good when it came
                what = f"the transaction began with another credential: {error.what}"
                raise LocalCmpError(what) from error
        elif isinstance(credential, DhCredential):
            self._mac_key = credential.mac_key
        return self._begin(event.now)

    def _keyed(self, event: KeyDerived) -> list[Instruction]:
        self._mac_key = event.key
        return self._begin(event.now)

    def _ask_ciphertext(self, now: float) -> list[Instruction]:
        assert self._kem is not None, "nobody else asks"
        message = self._kem.question(now, next(self._nonces), self._ciphertext_for_ca)
        send = Send(message, BodyType.GENM.label, opens=True)
        return self._transmit(State.ENCAPSULATING, send)

    def _take_ciphertext(self, now: float, message: PKIMessage) -> list[Instruction]:
        assert self._kem is not None, "nobody else asked"
        try:
            self._check_header(message)
            self._verdicts.passed(Reason.BODY_TYPE, message.body_type.label)
            self._mac_key = self._kem.take(message)
        except CheckError as error:
            return self._refuse_response(now, error)
        except RemoteCmpError as error:
            return self._refuse_response(now, CheckError(Reason.KEM_CIPHERTEXT, error.what))
        self._verdicts.passed(Reason.KEM_CIPHERTEXT)
        return self._begin(now)

    def _begin(self, now: float) -> list[Instruction]:
        self._protector = Protector(self._credential, self._profile, self._mac_key)
        request = requests.build(self._applicants, self._profile, now)
        if any(asked.central_keygen for asked in request.asked) and not requests.can_receive(
            self._credential, self._profile
        ):
            raise LocalCmpError(
                "the CA can't send a private key: the credential is neither a secret nor a"
                " certificate for a key of RSA or EC that is at hand"
            )
        checkpoint = self._checkpoint
        if checkpoint is None:
            self._request = request
            return self._record(now)
        self._request = request.resumed([part.cert_req_id for part in checkpoint.parts])
        self._request_nonce = checkpoint.request_nonce
        # an earlier process may have sent a certConf that the CA took
        self._confirm_uncertain = any(part.is_unconfirmed for part in checkpoint.parts)
        return self._go_on(now)

    def _not_made(self, now: float, error: LocalCmpError) -> list[Instruction]:
        """A message that can't be built or signed: what was reached before, stays."""
        local = OutcomeClass.LOCAL_ERROR
        if self._checkpoint is None or not self._checkpoint.is_answered:
            return self._finish(now, Outcome(local, "", error.what))
        waits = Outcome(OutcomeClass.STILL_WAITING, local.value, error.what)
        return self._leave_unconfirmed(
            now, OutcomeClass.ISSUED_CONFIRMATION_UNKNOWN, local.value, error.what, waiting=waits
        )

    def _record(self, now: float) -> list[Instruction]:
        self._request_nonce = next(self._nonces)
        limit = self._profile.total_timeout
        recorded, received_nonce = b"", None
        if isinstance(self._credential, MacCredential):
            recorded = self._credential.parameters.identifier
        elif self._kem is not None:
            recorded, received_nonce = self._kem.ciphertext, self._kem.answer_nonce
        self._checkpoint = Checkpoint(
            transaction_id=self._transaction_id,
            request_nonce=self._request_nonce,
            sent_nonce=self._request_nonce,
            received_nonce=received_nonce,
            protection=recorded,
            deadline=now + limit if limit else 0.0,
            parts=tuple(
                Part(applicant.entity.number, Phase.REQUESTED, asked.cert_req_ids[0])
                for applicant, asked in zip(self._applicants, self._asked.asked, strict=True)
            ),
        )
        self.state = State.RECORDING
        return [Store(self._checkpoint)]

    def _send_request(self, event: Stored) -> list[Instruction]:
        body_type = requests.BODY_TYPES[self._operation][0]
        self._built_at = event.now
        message = self._make(
            body_type,
            self._asked.body,
            event.now,
            nonce=self._request_nonce,
            general_info=self._asked.general_info,
        )
        # with a KEM credential the transaction is open already
        opens = self._kem is None
        return self._transmit(State.REQUESTED, Send(message, body_type.label, opens=opens))

    # --- responses ------------------------------------------------------------------------------

    def _receive(self, event: Received) -> list[Instruction]:
        self._backoff.reset()
        self._clock(event)
        self._awaiting = self.state
        try:
            message = decode_message(event.message)
        except RemoteCmpError as error:
            return self._refuse_response(event.now, CheckError(Reason.MALFORMED, error.what))
        self._verdicts.passed(Reason.MALFORMED, message.body_type.label)
        if self._awaiting is State.ENCAPSULATING and message.body_type is BodyType.GENP:
            return self._take_ciphertext(event.now, message)
        try:
            parameters = self._proof.mac_of(message)
        except CheckError as error:
            return self._unproven(event.now, message, error)
        if parameters is None:
            return self._check_signed(event.now, message)
        self._pending = (message, parameters)
        if not isinstance(parameters, MacParameters):
            return self._check(KeyDerived(event.now, self._proof.mac_key(parameters)))
        derivation = self._proof.derivation(parameters)
        if derivation == self._own_derivation and self._mac_key is not None:
            return self._check(KeyDerived(event.now, self._mac_key))
        self.state = State.CHECKING
        return [DeriveKey(derivation)]

    def _take_refusal(self, event: Refused) -> list[Instruction]:
        """Nothing that speaks of this transaction alone came."""
        self._clock(event)
        self._awaiting = self.state
        if event.outcome.outcome is OutcomeClass.BAD_RESPONSE:
            return self._finish_badly(event.now, event.outcome)
        return self._refused(event.now, event.outcome, proven=event.proven)

    def _check(self, event: KeyDerived) -> list[Instruction]:
        assert self._pending is not None
        message, parameters = self._pending
        self._pending = None
        try:
            self._proof.check_mac(message, parameters, event.key)
        except CheckError as error:
            return self._unproven(event.now, message, error)
        return self._proven(event.now, message)

    def _check_signed(self, now: float, message: PKIMessage) -> list[Instruction]:
        try:
            self._proof.check_signature(message, _utc(now))
        except CheckError as error:
            return self._unproven(now, message, error)
        except RemoteCmpError as error:
            return self._refuse_response(now, CheckError(Reason.MALFORMED, error.what))
        return self._proven(now, message)

    def _unproven(self, now: float, message: PKIMessage, error: CheckError) -> list[Instruction]:
        """A response whose protection is missing or bad: only a refusal or a pkiconf may count."""
        is_ours = message.header.transactionID == self._transaction_id
        if self._confirms and message.body_type is BodyType.PKICONF:
            if self._profile.tolerate_pkiconf and is_ours:
                self._verdicts.tolerated(error, "--tolerate-pkiconf")
                return self._confirmed_by(now, message)
            return self._refuse_response(now, error)
        refusal = outcomes.refusal_in(message)
        if refusal is None:
            return self._refuse_response(now, error)
        status, details = refusal
        believed = self._profile.unprotected_errors and is_ours
        outcome = outcomes.refused(status, authenticated=believed, details=details)
        if believed:
            self._verdicts.tolerated(error, "--unprotected-errors")
        else:
            self._verdicts.failed(error)
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
        if self._kem is not None and self._awaiting is State.ENCAPSULATING:
            nonces = [self._kem.nonce]
        else:
            nonces = [self._last.sent_nonce]
        if message.body_type is not BodyType.POLL_REP:
            if self._awaiting is State.POLLED:
                nonces.append(self._request_nonce)
            elif self._awaiting is State.CONFIRMATION_POLLED:
                nonces.append(self._confirm_nonce)
        checks.header(
            message,
            transaction_id=self._transaction_id,
            nonces=nonces,
            expect_sender=self._profile.expect_sender,
            witness=self._verdicts.witness,
        )

    def _dispatch(self, now: float, message: PKIMessage) -> list[Instruction]:
        kind = message.body_type
        if kind not in self._expected_types:
            raise CheckError(Reason.BODY_TYPE, f"{kind.label} in answer to {self._sent.label}")
        self._verdicts.passed(Reason.BODY_TYPE, kind.label)
        match kind:
            case BodyType.ERROR:
                return self._take_error(now, message)
            case BodyType.PKICONF:
                return self._confirmed_by(now, message)
            case BodyType.POLL_REP:
                return self._take_poll_rep(now, message)
            case BodyType.RP:
                return self._take_revocations(now, message)
            case BodyType.GENP:
                return self._take_information(now, message)
            case _:
                return self._take_certificates(now, message)

    @property
    def _expected_types(self) -> tuple[BodyType, ...]:
        """What may answer the message that was sent last."""
        if self._awaiting is State.CONFIRMING:
            return BodyType.PKICONF, BodyType.ERROR
        if self._awaiting is State.CONFIRMATION_POLLED:
            return BodyType.PKICONF, BodyType.POLL_REP, BodyType.ERROR
        if self._awaiting is State.ENCAPSULATING:
            return (BodyType.ERROR,)
        answer = requests.BODY_TYPES[self._operation][1]
        if self._awaiting is State.POLLED:
            return answer, BodyType.POLL_REP, BodyType.ERROR
        return answer, BodyType.ERROR

    def _take_error(self, now: float, message: PKIMessage) -> list[Instruction]:
        error = decode(ErrorMsgContent, message.body)
        status = error.pKIStatusInfo
        if status.status == PKIStatus.WAITING and self._awaiting is not State.ENCAPSULATING:
            # delayed delivery of any answer (RFC 9483, 4.4)
            if self._confirms:
                return self._confirmation_waits(now, message)
            return self._whole_waits(now, message)
        return self._refused(
            now, outcomes.refused(status, authenticated=True, details=error.errorDetails or [])
        )

    def _take_poll_rep(self, now: float, message: PKIMessage) -> list[Instruction]:
        if self._awaiting is State.CONFIRMATION_POLLED:
            polled = (CERT_REQ_ID_WHOLE,)
            check_after = polling.check_after_of(message.body, polled, self._verdicts)
            return self._confirmation_waits(now, message, check_after[CERT_REQ_ID_WHOLE])
        parts = polling.postponed(self._last, message.body, self._polled, now, self._verdicts)
        return self._store(now, message, parts)

    def _whole_waits(self, now: float, message: PKIMessage) -> list[Instruction]:
        """Nothing of the answer is there yet."""
        parts = polling.whole(self._last.parts, self._check_at(now))
        return self._store(now, message, parts, whole_waits=True)

    def _confirmation_waits(
        self, now: float, message: PKIMessage, check_after: int = 0
    ) -> list[Instruction]:
        """The certConf arrived, its pkiconf comes later."""
        polled = self._awaiting is State.CONFIRMATION_POLLED
        self._confirm_poll = polling.check_at(now, check_after, polled=polled)
        return self._store(now, message, self._last.parts)

    def _check_at(self, now: float) -> float:
        """When to poll for what waits, where the server named no time."""
        return polling.check_at(now, polled=self._awaiting is State.POLLED)

    def _store(
        self,
        now: float,
        message: PKIMessage,
        parts: tuple[Part, ...],
        *,
        whole_waits: bool | None = None,
    ) -> list[Instruction]:
        """Make durable what a message led to; `_kept` finds what follows.

        Args:
            whole_waits: as of the checkpoint; None where that stays as it is.
        """
        self._times.polling(now, waits=any(part.waits for part in parts))
        self._checkpoint = replace(
            self._last,
            received_nonce=message.header.senderNonce,
            parts=parts,
            whole_waits=self._last.whole_waits if whole_waits is None else whole_waits,
            anchor=self._last.anchor or self._new_anchor(parts),
        )
        self.state = State.KEEPING
        return [Store(self._checkpoint)]

    def _new_anchor(self, parts: Sequence[Part]) -> bytes | None:
        """The root to pin for all that follows, once it brought something that is good."""
        brings = any(
            part.waits or (part.granted is not None and part.granted.outcome.is_done)
            for part in parts
        )
        return self._proof.new_anchor if brings else None

    def _kept(self, event: Stored) -> list[Instruction]:
        next_poll, deadline = self._next_poll, self._last.deadline
        if next_poll is not None and 0 < deadline < next_poll:
            return self._give_up_waiting(
                event.now,
                "time limit",
                f"the server wants the next poll in {next_poll - event.now:.0f} s, past the"
                " time limit (--total-timeout)",
            )
        return self._go_on(event.now)

    @property
    def _next_poll(self) -> float | None:
        """Unix time of the next poll; None where something else comes first, or nothing waits."""
        if self._confirm_poll is not None:
            return self._confirm_poll
        return None if self._last.unconfirmed else polling.next_poll(self._last)

    def _give_up_waiting(self, now: float, reason: str, detail: str) -> list[Instruction]:
        """End while the server has us wait."""
        waits = Outcome(OutcomeClass.STILL_WAITING, reason, detail, pki_status=PKIStatus.WAITING)
        return self._leave_unconfirmed(
            now, OutcomeClass.ISSUED_CONFIRMATION_UNKNOWN, reason, detail, waiting=waits
        )

    def _go_on(self, now: float) -> list[Instruction]:
        """What is to be done next: confirm, poll, or nothing."""
        if self._confirm_poll is not None:
            self.state = State.CONFIRMATION_WAITING
            return [WakeAt(self._confirm_poll)]
        if self._last.unconfirmed:
            return self._send_confirm(now)
        next_poll = self._next_poll
        if next_poll is None:
            return self._finish(now)
        self.state = State.WAITING
        return [WakeAt(next_poll)]

    def _take_revocations(self, now: float, message: PKIMessage) -> list[Instruction]:
        statuses = decode(RevRepContent, message.body).status
        parts = self._last.parts
        if not 0 < len(statuses) <= len(parts):
            raise CheckError(Reason.RESPONSE_COUNT, f"rp with {len(statuses)} statuses")
        self._verdicts.passed(Reason.RESPONSE_COUNT)
        if any(status.status == PKIStatus.WAITING for status in statuses):
            return self._whole_waits(now, message)
        answered = [
            replace(
                part,
                outcome=outcomes.revoked(
                    status,
                    applicant.entity.revocation_reason,
                    repeats=applicant.repeats,
                    accepts=self._profile.accept_revoked,
                ),
            )
            for part, status, applicant in zip(parts, statuses, self._applicants, strict=False)
        ]
        left = [replace(part, outcome=outcomes.UNANSWERED) for part in parts[len(statuses) :]]
        return self._finish(now, parts=[*answered, *left])

    def _take_information(self, now: float, message: PKIMessage) -> list[Instruction]:
        told = general.decode_infos(message.body)
        (applicant,) = self._applicants
        (part,) = self._last.parts
        evidence = Evidence(self._proof.trust, message.extra_certs, _utc(now))
        infos, granted = information.taken(applicant.entity.infos, told, evidence, self._verdicts)
        part = replace(part, phase=Phase.GRANTED, infos=infos, granted=granted)
        return self._store(now, message, (part,))

    def _take_certificates(self, now: float, message: PKIMessage) -> list[Instruction]:
        reply = decode(CertRepMessage, message.body)
        responses = reply.response
        places = [i for i, part in enumerate(self._last.parts) if part.is_open]
        if not 0 < len(responses) <= len(places):
            raise CheckError(
                Reason.RESPONSE_COUNT,
                f"{message.body_type.label} with {len(responses)} responses to"
                f" {_counted(len(places), 'request')}",
            )
        ids = {place: self._asked.asked[place].cert_req_ids for place in places}
        refusal = issuance.refusal_of_all(responses, ids)
        if refusal is not None:
            refused = outcomes.refused(refusal, authenticated=True, details=[])
            return self._refused(now, refused)
        self._verdicts.passed(Reason.RESPONSE_COUNT)
        answers = issuance.matched(responses, ids)
        self._verdicts.passed(Reason.CERT_REQ_ID)
        asked_implicit = self._profile.implicit_confirm
        issued = Issuance(
            answers,
            self._asked.asked,
            tuple(encode(der) for der in reply.caPubs or ()) + message.extra_certs,
            implicit_confirm=asked_implicit and message.info(IT_IMPLICIT_CONFIRM) is not None,
            credential=self._credential,
            profile=self._profile,
            trust=self._proof.trust,
            verdicts=self._verdicts,
        )
        return self._open(now, message, issued)

    def _opened(self, event: KeyDerived) -> list[Instruction]:
        assert self._opening is not None, "a key was asked for to open something"
        message, issued = self._opening
        issued.derived(event.key)
        return self._open(event.now, message, issued)

    def _open(self, now: float, message: PKIMessage, issued: Issuance) -> list[Instruction]:
        """Have all keys derived that the received private keys take, then take these."""
        derivation = issued.underived
        if derivation is not None:
            self._opening = message, issued
            self.state = State.OPENING
            return [DeriveKey(derivation)]
        self._opening = None
        return self._take_responses(now, message, issued)

    def _take_responses(
        self, now: float, message: PKIMessage, issued: Issuance
    ) -> list[Instruction]:
        parts = list(self._last.parts)
        for place, part in enumerate(parts):
            if not part.is_open:
                continue
            response = issued.responses.get(place)
            if response is None:
                if self._awaiting is State.REQUESTED or self._last.whole_waits:
                    parts[place] = replace(part, outcome=outcomes.UNANSWERED)
                else:
                    # others were ready: this one still waits
                    parts[place] = replace(part, check_at=self._check_at(now))
            elif response.status.status == PKIStatus.WAITING:
                parts[place] = replace(
                    part,
                    cert_req_id=response.certReqId,
                    phase=Phase.WAITING,
                    check_at=self._check_at(now),
                )
            else:
                parts[place] = issued.taken(place, part, _utc(now))
        if all(part.outcome is not None for part in parts):
            return self._finish(now, parts=parts)
        return self._store(now, message, tuple(parts), whole_waits=False)

    # --- polling and confirmation ---------------------------------------------------------------

    def _poll(self, event: TimerFired) -> list[Instruction]:
        # a timer may fire a little early
        now = max(event.now, polling.next_poll(self._last) or 0.0)
        self._polled = polling.due(self._last, now)
        message = self._make(BodyType.POLL_REQ, polling.poll_req(self._polled), event.now)
        return self._transmit(State.POLLED, Send(message, BodyType.POLL_REQ.label, opens=False))

    def _send_confirm(self, now: float) -> list[Instruction]:
        content, pvno = confirmation.content_of(self._last.unconfirmed)
        message = self._make(BodyType.CERT_CONF, content, now, pvno=pvno)
        self._confirm_nonce = self._last.sent_nonce
        return self._transmit(
            State.CONFIRMING, Send(message, BodyType.CERT_CONF.label, opens=False)
        )

    def _poll_confirmation(self, event: TimerFired) -> list[Instruction]:
        content = polling.poll_req((CERT_REQ_ID_WHOLE,))
        message = self._make(BodyType.POLL_REQ, content, event.now)
        send = Send(message, BodyType.POLL_REQ.label, opens=False)
        return self._transmit(State.CONFIRMATION_POLLED, send)

    def _confirmed_by(self, now: float, message: PKIMessage) -> list[Instruction]:
        """A pkiconf came."""
        self._confirm_poll = None
        if not any(part.waits for part in self._last.parts):
            return self._finish(now)
        parts = (
            replace(part, outcome=part.granted) if part.is_unconfirmed else part
            for part in self._last.parts
        )
        return self._store(now, message, tuple(parts))

    # --- losses ---------------------------------------------------------------------------------

    def _lose_question(self, event: Lost) -> list[Instruction]:
        outcome = outcomes.lost(Operation.GENM, event.loss, event.reason, event.detail)
        if outcome.outcome is OutcomeClass.UNANSWERED:
            # the request itself did not leave yet
            outcome = replace(outcome, outcome=OutcomeClass.NOT_SENT)
        if outcome.outcome is OutcomeClass.NOT_SENT and self._may_retry(event):
            return self._back_off(event)
        return self._finish(event.now, outcome)

    def _lose_request(self, event: Lost) -> list[Instruction]:
        if not outcomes.was_processed(event.loss) and self._may_retry(event):
            return self._back_off(event)
        return self._finish(
            event.now, outcomes.lost(self._operation, event.loss, event.reason, event.detail)
        )

    def _lose_poll(self, event: Lost) -> list[Instruction]:
        if not outcomes.was_processed(event.loss) and self._may_retry(event):
            return self._back_off(event)
        # the answer to a pollReq may have been the certificate
        seen = outcomes.was_processed(event.loss)
        kind = outcomes.unknown(self._operation) if seen else OutcomeClass.STILL_WAITING
        return self._finish(event.now, Outcome(kind, event.reason, event.detail))

    def _lose_confirm(self, event: Lost) -> list[Instruction]:
        self._confirm_uncertain = self._confirm_uncertain or outcomes.was_processed(event.loss)
        if self._may_retry(event):
            return self._back_off(event)
        return self._leave_unconfirmed(
            event.now,
            OutcomeClass.ISSUED_CONFIRMATION_UNKNOWN,
            event.reason,
            event.detail,
            waiting=Outcome(OutcomeClass.STILL_WAITING, event.reason, event.detail),
        )

    def _may_retry(self, event: Lost) -> bool:
        if self._backoff.is_spent:
            return False
        deadline = 0.0 if self._checkpoint is None else self._checkpoint.deadline
        return not deadline or event.now + (event.retry_after or 0.0) < deadline

    def _back_off(self, event: Lost) -> list[Instruction]:
        self._awaiting = self.state
        self.state = State.BACKING_OFF
        return [WakeAt(event.now + self._backoff.delay(event.retry_after))]

    def _send_again(self, event: TimerFired) -> list[Instruction]:
        if self._awaiting is State.REQUESTED and event.now - self._built_at > _STALE:
            return self._send_request(Stored(event.now))
        if self._awaiting is State.ENCAPSULATING:
            return self._ask_ciphertext(event.now)
        return self._transmit(self._awaiting, self._sent)

    def _stop(self, event: Stop) -> list[Instruction]:
        if self.state is State.BACKING_OFF and self._awaiting is State.CONFIRMING:
            return self._transmit(State.CONFIRMING, self._sent)
        if self.state is State.BACKING_OFF and self._awaiting in (
            State.ENCAPSULATING,
            State.REQUESTED,
        ):
            return self._finish(
                event.now,
                Outcome(
                    OutcomeClass.NOT_SENT, outcomes.STOPPED, "stopped while waiting to send again"
                ),
            )
        return self._give_up_waiting(
            event.now, outcomes.STOPPED, "stopped while the server had us wait"
        )

    # --- endings --------------------------------------------------------------------------------

    def _refuse_response(self, now: float, error: CheckError) -> list[Instruction]:
        """A response that fails a check."""
        self._verdicts.failed(error)
        bad = Outcome(OutcomeClass.BAD_RESPONSE, error.reason.value, error.what)
        return self._finish_badly(now, bad)

    def _finish_badly(self, now: float, bad: Outcome) -> list[Instruction]:
        """End on a bad response."""
        if not self._confirms:
            return self._finish(now, bad)
        waiting = replace(bad, outcome=OutcomeClass.STILL_WAITING)
        return self._leave_unconfirmed(
            now, OutcomeClass.ISSUED_UNPROVEN, bad.reason, bad.detail, waiting=waiting
        )

    def _refused(self, now: float, outcome: Outcome, *, proven: bool = True) -> list[Instruction]:
        """The CA's no, to a request or to a certConf; `proven`: it is known to be the CA's."""
        if not self._confirms:
            return self._finish(now, outcome)
        unconfirmed = ending.refused(outcome, uncertain=self._confirm_uncertain, proven=proven)
        return self._finish(now, outcome, unconfirmed=unconfirmed)

    def _leave_unconfirmed(
        self, now: float, kind: OutcomeClass, reason: str, detail: str, *, waiting: Outcome
    ) -> list[Instruction]:
        """End where the confirmation went wrong; `waiting` is for what still waited."""
        return self._finish(now, waiting, unconfirmed=ending.left(kind, reason, detail))

    def _finish(
        self,
        now: float,
        outcome: Outcome | None = None,
        *,
        unconfirmed: ending.Unconfirmed | None = None,
        parts: Sequence[Part] | None = None,
    ) -> list[Instruction]:
        """End.

        Args:
            outcome: of each part that is open.
            unconfirmed: gives that of a part whose certConf was not answered well.
            parts: what the last answer made of them, where there is nothing in it to store.
        """
        self._times.polling(now, waits=False)
        self.state = State.FINISHED
        if self._checkpoint is None:
            assert outcome is not None, "nothing was begun"
            results: tuple[Outcome, ...] = (outcome,) * len(self._applicants)
        else:
            done = self._checkpoint.parts if parts is None else parts
            results = ending.results(done, outcome, unconfirmed)
        return [Finish(results, self._checkpoint, self._times.timings(now), self._sends)]

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
            general_info=general_info + self._ciphertext_for_ca,
            pvno=max(pvno, self._asked.pvno),
        )

    @property
    def _ciphertext_for_ca(self) -> bytes:
        """DER InfoTypeAndValue in all our messages until an answer shows that the CA has it."""
        if self._ca_secret is None or self._proof.ca_has_secret:
            return b""
        return self._ca_secret.general_info

    def _transmit(self, state: State, send: Send) -> list[Instruction]:
        self.state = state
        self._sent = send
        self._sends += send.opens
        return [send]

    def _clock(self, event: Received | Refused) -> None:
        self._times.exchange(event.sent)
        if self.state is State.REQUESTED:
            self._times.request(event.sent, event.now)
        if self.state is State.CONFIRMING:
            self._times.confirmation(event.sent, event.now)
        if self.state is State.CONFIRMATION_POLLED:
            self._times.confirmation_polled(event.now)

    @property
    def _confirms(self) -> bool:
        """Whether an answer to a certConf is awaited."""
        return self._awaiting in (State.CONFIRMING, State.CONFIRMATION_POLLED)

    @property
    def _operation(self) -> Operation:
        return self._applicants[0].entity.cmd

    @property
    def _asked(self) -> requests.Request:
        assert self._request is not None
        return self._request

    @property
    def _last(self) -> Checkpoint:
        assert self._checkpoint is not None
        return self._checkpoint


def _counted(count: int, what: str) -> str:
    return f"one {what}" if count == 1 else f"{count} {what}s"


def _utc(now: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(now, dt.UTC)
