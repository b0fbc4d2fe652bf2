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
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import Enum
from itertools import chain
from typing import Final

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from bulkcmp.cmp import (
    algorithms,
    checks,
    envelope,
    general,
    information,
    kemmac,
    outcomes,
    package,
    popo,
    protection,
)
from bulkcmp.cmp import request as requests
from bulkcmp.cmp.algorithms import KemKey, PrivateKey
from bulkcmp.cmp.asn1 import TLV, content, decode, decode_sequence_of, encode, tag, wrap
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
from bulkcmp.cmp.protection import Derivation, MacParameters
from bulkcmp.cmp.recipient import PasswordRecipient
from bulkcmp.cmp.request import (
    Applicant,
    Asked,
    Credential,
    KemCredential,
    MacCredential,
    Protector,
)
from bulkcmp.cmp.trust import Trust, load_certificate
from bulkcmp.errors import LocalCmpError, RemoteCmpError
from bulkcmp.model import (
    AcceptProtection,
    Itav,
    KeySpec,
    Operation,
    Outcome,
    OutcomeClass,
    Profile,
    Timings,
)

# --- the table ----------------------------------------------------------------------------------


class State(Enum):
    NEW = "new"
    KEYING = "own MAC key being derived"
    ENCAPSULATING = "KEM ciphertext asked for"
    RECORDING = "request being made durable"
    REQUESTED = "request sent"
    CHECKING = "response's MAC key being derived"
    OPENING = "key to a received private key being derived"
    KEEPING = "certificates and poll state being made durable"
    WAITING = "waiting for checkAfter"
    POLLED = "pollReq sent"
    CONFIRMING = "certConf sent"
    BACKING_OFF = "waiting to send again"
    FINISHED = "finished"


_GOING_ON: Final = frozenset({State.WAITING, State.CONFIRMING, State.FINISHED})
_ANSWERED: Final = frozenset({State.CHECKING, State.KEEPING, State.FINISHED})
_CERTIFIED: Final = _ANSWERED | {State.OPENING}

TRANSITIONS: Final[dict[tuple[State, type[Event]], tuple[str, frozenset[State]]]] = {
    (State.NEW, Start): (
        "_start",
        _GOING_ON | {State.KEYING, State.ENCAPSULATING, State.RECORDING},
    ),
    (State.KEYING, KeyDerived): ("_keyed", _GOING_ON | {State.RECORDING}),
    (State.ENCAPSULATING, Received): (
        "_receive",
        frozenset({State.CHECKING, State.RECORDING, State.FINISHED}),
    ),
    (State.ENCAPSULATING, Refused): ("_take_refusal", frozenset({State.FINISHED})),
    (State.ENCAPSULATING, Lost): (
        "_lose_question",
        frozenset({State.BACKING_OFF, State.FINISHED}),
    ),
    (State.RECORDING, Stored): ("_send_request", frozenset({State.REQUESTED, State.FINISHED})),
    (State.REQUESTED, Received): ("_receive", _CERTIFIED),
    (State.REQUESTED, Refused): ("_take_refusal", frozenset({State.FINISHED})),
    (State.REQUESTED, Lost): ("_lose_request", frozenset({State.BACKING_OFF, State.FINISHED})),
    (State.CHECKING, KeyDerived): (
        "_check",
        frozenset({State.OPENING, State.KEEPING, State.FINISHED}),
    ),
    (State.OPENING, KeyDerived): (
        "_opened",
        frozenset({State.OPENING, State.KEEPING, State.FINISHED}),
    ),
    (State.KEEPING, Stored): ("_kept", _GOING_ON),
    (State.WAITING, TimerFired): ("_poll", frozenset({State.POLLED, State.FINISHED})),
    (State.WAITING, Stop): ("_stop", frozenset({State.FINISHED})),
    (State.POLLED, Received): ("_receive", _CERTIFIED),
    (State.POLLED, Refused): ("_take_refusal", frozenset({State.FINISHED})),
    (State.POLLED, Lost): ("_lose_poll", frozenset({State.BACKING_OFF, State.FINISHED})),
    (State.CONFIRMING, Received): ("_receive", _ANSWERED),
    (State.CONFIRMING, Refused): ("_take_refusal", frozenset({State.FINISHED})),
    (State.CONFIRMING, Lost): ("_lose_confirm", frozenset({State.BACKING_OFF, State.FINISHED})),
    (State.BACKING_OFF, TimerFired): (
        "_send_again",
        frozenset(
            {
                State.ENCAPSULATING,
                State.REQUESTED,
                State.POLLED,
                State.CONFIRMING,
                State.FINISHED,
            }
        ),
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
    ) -> None:
        self.state = State.NEW
        self._applicants = applicants
        self._credential = credential
        self._profile = profile
        self._trust = trust
        self._takes_anchor = trust is None
        self._transaction_id = transaction_id
        self._nonces = nonces
        self._jitter = jitter
        self._checkpoint = checkpoint
        self._verdicts = Verdicts(witness)
        self._protector: Protector | None = None
        self._mac_key: bytes | None = None
        self._question_nonce = b""
        self._question_answer: bytes | None = None
        self._ciphertext = b""
        self._request: requests.Request | None = None
        self._request_nonce = b""
        self._awaiting = State.REQUESTED
        self._polled: tuple[int, ...] = ()
        self._sent = Send(b"", "", opens=False)
        self._built_at = 0.0
        self._pending: tuple[PKIMessage, MacParameters] | None = None
        self._reply: _Reply | None = None
        self._losses = 0
        self._confirm_uncertain = False
        self._started: float | None = None
        self._request_sent: float | None = None
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
        credential = self._credential
        if isinstance(credential, MacCredential):
            if checkpoint is not None:
                credential = self._credential = _resumed_credential(credential, checkpoint)
            self.state = State.KEYING
            return [DeriveKey(credential.derivation)]
        if isinstance(credential, KemCredential):
            if checkpoint is None:
                return self._ask_ciphertext(event.now, credential)
            try:
                self._decapsulate(credential, checkpoint.protection)
            except RemoteCmpError as error:
                # our own record: it was good when it came
                what = f"the transaction began with another credential: {error.what}"
                raise LocalCmpError(what) from error
        return self._begin(event.now)

    def _keyed(self, event: KeyDerived) -> list[Instruction]:
        self._mac_key = event.key
        return self._begin(event.now)

    def _ask_ciphertext(self, now: float, credential: KemCredential) -> list[Instruction]:
        """Ask what our MAC's key is to be made of (RFC 9810, appendix E)."""
        self._question_nonce = next(self._nonces)
        message = requests.unprotected(credential, self._profile).message(
            BodyType.GENM,
            kemmac.ask_ciphertext(),
            now=now,
            transaction_id=self._transaction_id,
            sender_nonce=self._question_nonce,
            recip_nonce=None,
        )
        send = Send(message, BodyType.GENM.label, opens=True)
        return self._transmit(State.ENCAPSULATING, send)

    def _take_ciphertext(self, now: float, message: PKIMessage) -> list[Instruction]:
        """A genp came, which needs no protection: with another's ciphertext our MAC is wrong."""
        credential = self._credential
        assert isinstance(credential, KemCredential), "nobody else asks"
        try:
            self._check_header(message)
            self._verdicts.passed(Reason.BODY_TYPE, message.body_type.label)
            self._ciphertext = kemmac.ciphertext_in(message.body)
            self._decapsulate(credential, self._ciphertext)
        except CheckError as error:
            return self._refuse_response(now, error)
        except RemoteCmpError as error:
            return self._refuse_response(now, CheckError(Reason.KEM_CIPHERTEXT, error.what))
        self._verdicts.passed(Reason.KEM_CIPHERTEXT)
        self._question_answer = message.header.senderNonce
        return self._begin(now)

    def _decapsulate(self, credential: KemCredential, info: bytes) -> None:
        key = algorithms.load_private_key(credential.key)
        if not isinstance(key, KemKey):
            raise LocalCmpError(f"{type(key).__name__} is no key of a KEM")
        shared_secret = kemmac.decapsulate(info, key)
        self._mac_key = credential.parameters.derive(shared_secret, self._transaction_id)

    def _begin(self, now: float) -> list[Instruction]:
        self._protector = Protector(self._credential, self._profile, self._mac_key)
        self._request = self._resumed(requests.build(self._applicants, self._profile, now))
        if any(asked.central_keygen for asked in self._request.asked) and not self._can_receive:
            raise LocalCmpError(
                "the CA can't send a private key: the credential is neither a secret nor a"
                " certificate for a key of RSA or EC that is at hand"
            )
        checkpoint = self._checkpoint
        if checkpoint is None:
            return self._record(now)
        self._request_nonce = checkpoint.request_nonce
        # an earlier process may have sent a certConf that the CA took
        self._confirm_uncertain = any(part.is_unconfirmed for part in checkpoint.parts)
        return self._go_on(now)

    def _resumed(self, request: requests.Request) -> requests.Request:
        """With the certReqIds that an earlier process gave."""
        if self._checkpoint is None:
            return request
        asked = (
            one
            if part.cert_req_id in one.cert_req_ids
            else replace(one, cert_req_ids=(part.cert_req_id,))
            for one, part in zip(request.asked, self._last.parts, strict=True)
        )
        return replace(request, asked=tuple(asked))

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
        self._checkpoint = Checkpoint(
            transaction_id=self._transaction_id,
            request_nonce=self._request_nonce,
            sent_nonce=self._request_nonce,
            received_nonce=self._question_answer,
            protection=(
                self._credential.parameters.identifier
                if isinstance(self._credential, MacCredential)
                else self._ciphertext
            ),
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
        opens = not self._ciphertext
        return self._transmit(State.REQUESTED, Send(message, body_type.label, opens=opens))

    # --- responses ------------------------------------------------------------------------------

    def _receive(self, event: Received) -> list[Instruction]:
        self._losses = 0
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
            parameters = self._mac_of(message)
        except CheckError as error:
            return self._unproven(event.now, message, error)
        if parameters is None:
            return self._check_signed(event.now, message)
        self._pending = (message, parameters)
        secret = self._credential.secret
        assert secret is not None, "checked by _mac_of"
        derivation = parameters.derivation(secret)
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

    def _mac_of(self, message: PKIMessage) -> MacParameters | None:
        """The MAC parameters of a response, or None where it is signed."""
        if message.protection is None or message.header.protectionAlg is None:
            raise CheckError(Reason.PROTECTION_MISSING, "the response is not protected")
        self._verdicts.passed(Reason.PROTECTION_MISSING)
        try:
            parameters = protection.mac_parameters(
                message, max_iterations=self._profile.max_pbm_iterations
            )
        except RemoteCmpError as error:
            raise CheckError(Reason.PROTECTION_ALGORITHM, error.what, hint=error.hint) from error
        has_mac = parameters is not None
        if self._expects_mac not in (None, has_mac):
            raise CheckError(
                Reason.PROTECTION_KIND,
                f"the response {'has a MAC' if has_mac else 'is signed'}, and"
                f" --accept-protection is {self._profile.accept_protection}",
                hint="--accept-protection either takes both kinds",
            )
        if has_mac and self._credential.secret is None:
            raise CheckError(
                Reason.NO_SECRET, "the response has a MAC, but we share no secret with the server"
            )
        if has_mac and self._trust is None:
            raise CheckError(
                Reason.SIGNER_NOT_TRUSTED,
                "the response has a MAC, which names no root certificate to trust",
                hint="give the CA's certificate with --trusted",
            )
        if parameters is not None and self._verdicts.witness is not None:
            self._verdicts.passed(Reason.PROTECTION_ALGORITHM, str(parameters))
        return parameters

    @property
    def _can_receive(self) -> bool:
        """Whether our credential is one for which the CA can encrypt a private key."""
        someone = requests.recipient(self._credential, self._profile, protection.derive, ())
        return someone is not None

    @property
    def _expects_mac(self) -> bool | None:
        """Whether an answer must have a MAC; None where it may be signed as well."""
        match self._profile.accept_protection:
            case AcceptProtection.SAME:
                return self._own_derivation is not None
            case AcceptProtection.EITHER:
                return None
            case kind:
                return kind is AcceptProtection.MAC

    @property
    def _own_derivation(self) -> Derivation | None:
        own = self._credential
        return own.derivation if isinstance(own, MacCredential) else None

    def _check(self, event: KeyDerived) -> list[Instruction]:
        assert self._pending is not None
        message, parameters = self._pending
        self._pending = None
        try:
            protection.check_mac(message, parameters, event.key)
        except RemoteCmpError as error:
            return self._unproven(event.now, message, CheckError(Reason.MAC, error.what))
        self._verdicts.passed(Reason.MAC, "by the secret that we share")
        return self._proven(event.now, message)

    def _check_signed(self, now: float, message: PKIMessage) -> list[Instruction]:
        try:
            trust = self._trust or self._first_trust(now, message)
            checks.signer(
                message,
                trust,
                _utc(now),
                ignore_keyusage=self._profile.ignore_keyusage,
                witness=self._verdicts.witness,
            )
        except CheckError as error:
            return self._unproven(now, message, error)
        except RemoteCmpError as error:
            return self._refuse_response(now, CheckError(Reason.MALFORMED, error.what))
        self._trust = trust
        return self._proven(now, message)

    def _first_trust(self, now: float, message: PKIMessage) -> Trust:
        """Trust in what the first ip brings; a refusal proves nothing and brings none."""
        if message.body_type is not BodyType.IP or _refusal(message) is not None:
            raise CheckError(
                Reason.SIGNER_NOT_TRUSTED,
                "no trust anchor is known yet, and only an ip that is no refusal brings one",
            )
        return checks.first_trust(message, _utc(now), ignore_keyusage=self._profile.ignore_keyusage)

    def _unproven(self, now: float, message: PKIMessage, error: CheckError) -> list[Instruction]:
        """A response whose protection is missing or bad: only a refusal or a pkiconf may count."""
        is_ours = message.header.transactionID == self._transaction_id
        if self._awaiting is State.CONFIRMING and message.body_type is BodyType.PKICONF:
            if self._profile.tolerate_pkiconf and is_ours:
                self._verdicts.tolerated(error, "--tolerate-pkiconf")
                return self._confirmed_by(now, message)
            return self._refuse_response(now, error)
        refusal = _refusal(message)
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
        if self._awaiting is State.ENCAPSULATING:
            nonces = [self._question_nonce]
        else:
            nonces = [self._last.sent_nonce]
        if self._awaiting is State.POLLED and message.body_type is not BodyType.POLL_REP:
            nonces.append(self._request_nonce)
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
        if self._awaiting is State.ENCAPSULATING:
            return (BodyType.ERROR,)
        answer = requests.BODY_TYPES[self._operation][1]
        if self._awaiting is State.POLLED:
            return answer, BodyType.POLL_REP, BodyType.ERROR
        return answer, BodyType.ERROR

    def _take_error(self, now: float, message: PKIMessage) -> list[Instruction]:
        error = decode(ErrorMsgContent, message.body)
        status = error.pKIStatusInfo
        whole = self._awaiting not in (State.ENCAPSULATING, State.CONFIRMING)
        if status.status == PKIStatus.WAITING and whole:
            # delayed delivery of any answer (RFC 9483, 4.4)
            return self._whole_waits(now, message)
        return self._refused(
            now, outcomes.refused(status, authenticated=True, details=error.errorDetails or [])
        )

    def _take_poll_rep(self, now: float, message: PKIMessage) -> list[Instruction]:
        replies: list[PollRep] = decode_poll_rep_content(message.body)
        if not 0 < len(replies) <= len(self._polled):
            raise CheckError(Reason.RESPONSE_COUNT, f"pollRep with {len(replies)} entries")
        check_after: dict[int, int] = {}
        for reply in replies:
            if reply.certReqId not in self._polled:
                raise checks.wrong_cert_req_id(reply.certReqId, self._polled)
            if reply.checkAfter < 0:
                raise CheckError(
                    Reason.CHECK_AFTER, f"pollRep with a checkAfter of {reply.checkAfter} s"
                )
            check_after[reply.certReqId] = reply.checkAfter
            self._verdicts.passed(Reason.CERT_REQ_ID)
            self._verdicts.passed(Reason.CHECK_AFTER)

        def later(part: Part) -> Part:
            polled = self._poll_id(part)
            if not part.waits or polled not in self._polled:
                return part
            return replace(part, check_at=self._check_at(now, check_after.get(polled, 0)))

        return self._store(now, message, tuple(map(later, self._last.parts)))

    def _whole_waits(self, now: float, message: PKIMessage) -> list[Instruction]:
        """Nothing of the answer is there yet."""
        self._checkpoint = replace(self._last, whole_waits=True)
        check_at = self._check_at(now, 0)
        return self._store(
            now,
            message,
            tuple(
                replace(part, phase=Phase.WAITING, check_at=check_at) if _is_open(part) else part
                for part in self._last.parts
            ),
        )

    def _check_at(self, now: float, check_after: int) -> float:
        """When to poll next; the first poll may come at once, for nobody named a time yet."""
        least = _LEAST_CHECK_AFTER if self._awaiting is State.POLLED else 0
        return now + max(check_after, least)

    def _store(self, now: float, message: PKIMessage, parts: tuple[Part, ...]) -> list[Instruction]:
        """Make durable what a message led to; `_kept` finds what follows."""
        if not any(part.waits for part in parts):
            if self._polling_since is not None:
                self._polled_until = self._polled_until or now
        elif self._polling_since is None:
            self._polling_since = now
        self._checkpoint = replace(
            self._last,
            received_nonce=message.header.senderNonce,
            parts=parts,
            anchor=self._last.anchor or self._new_anchor(parts),
        )
        self.state = State.KEEPING
        return [Store(self._checkpoint)]

    def _new_anchor(self, parts: Sequence[Part]) -> bytes | None:
        """The root to pin for all that follows, once it brought something that is good."""
        if not self._takes_anchor or self._trust is None:
            return None
        if not any(part.waits or (part.granted or _UNANSWERED).outcome.is_done for part in parts):
            return None
        (anchor,) = self._trust.signers.anchors
        return anchor

    def _kept(self, event: Stored) -> list[Instruction]:
        next_poll, deadline = self._next_poll, self._last.deadline
        if next_poll is not None and 0 < deadline < next_poll and not self._unconfirmed:
            return self._finish(
                event.now,
                Outcome(
                    OutcomeClass.STILL_WAITING,
                    "time limit",
                    f"the server wants the next poll in {next_poll - event.now:.0f} s, past the"
                    " time limit (--total-timeout)",
                    pki_status=PKIStatus.WAITING,
                ),
            )
        return self._go_on(event.now)

    def _go_on(self, now: float) -> list[Instruction]:
        """What is to be done next: confirm, poll, or nothing."""
        if self._unconfirmed:
            return self._send_confirm(now)
        if self._next_poll is None:
            return self._finish(now)
        self.state = State.WAITING
        return [WakeAt(self._next_poll)]

    def _take_revocations(self, now: float, message: PKIMessage) -> list[Instruction]:
        statuses = decode(RevRepContent, message.body).status
        parts = self._last.parts
        if not 0 < len(statuses) <= len(parts):
            raise CheckError(Reason.RESPONSE_COUNT, f"rp with {len(statuses)} statuses")
        self._verdicts.passed(Reason.RESPONSE_COUNT)
        if any(status.status == PKIStatus.WAITING for status in statuses):
            return self._whole_waits(now, message)
        answered = [
            replace(part, outcome=_revoked(status, repeats=applicant.repeats))
            for part, status, applicant in zip(parts, statuses, self._applicants, strict=False)
        ]
        left = [replace(part, outcome=_UNANSWERED) for part in parts[len(statuses) :]]
        return self._finish(now, parts=[*answered, *left])

    def _take_information(self, now: float, message: PKIMessage) -> list[Instruction]:
        told = general.decode_infos(message.body)
        (applicant,) = self._applicants
        (part,) = self._last.parts
        assert self._trust is not None, "the answer was proven"
        evidence = information.Evidence(self._trust, message.extra_certs, _utc(now))
        good: list[Itav] = []
        found: list[str] = []
        bad: CheckError | None = None
        for asked in applicant.entity.infos:
            try:
                answer = information.answer_to(asked, told)
                self._verdicts.passed(Reason.INFO_MISSING, general.name_of(answer.oid))
                found.append(information.check(asked, answer, evidence))
                self._verdicts.passed(Reason.INFO_MALFORMED, found[-1])
                good.append(answer)
            except CheckError as error:
                self._verdicts.failed(error)
                bad = bad or error
        granted = Outcome(OutcomeClass.ANSWERED, detail="; ".join(found))
        if bad is not None:
            unsupported = bad.reason is Reason.INFO_UNSUPPORTED
            kind = OutcomeClass.REJECTED if unsupported else OutcomeClass.BAD_RESPONSE
            granted = Outcome(kind, bad.reason.value, bad.what)
        part = replace(part, phase=Phase.GRANTED, infos=tuple(good), granted=granted)
        return self._store(now, message, (part,))

    def _take_certificates(self, now: float, message: PKIMessage) -> list[Instruction]:
        reply = decode(CertRepMessage, message.body)
        responses = reply.response
        places = [i for i, part in enumerate(self._last.parts) if _is_open(part)]
        if not 0 < len(responses) <= len(places):
            raise CheckError(
                Reason.RESPONSE_COUNT,
                f"{message.body_type.label} with {len(responses)} responses to"
                f" {_counted(len(places), 'request')}",
            )
        first = responses[0]
        if len(responses) == 1 and first.status.status == PKIStatus.REJECTION:
            known = (self._asked.asked[place].cert_req_ids for place in places)
            if len(places) == 1 or first.certReqId not in chain.from_iterable(known):
                # EJBCA answers an unreadable request with a certReqId of its own
                refused = outcomes.refused(first.status, authenticated=True, details=[])
                return self._refused(now, refused)
        self._verdicts.passed(Reason.RESPONSE_COUNT)
        answers = self._matched(responses, places)
        self._verdicts.passed(Reason.CERT_REQ_ID)
        implicit = self._profile.implicit_confirm and message.info(IT_IMPLICIT_CONFIRM) is not None
        self._reply = _Reply(
            message,
            places,
            answers,
            tuple(encode(der) for der in reply.caPubs or ()) + message.extra_certs,
            implicit=implicit,
        )
        return self._open(now, self._reply)

    def _opened(self, event: KeyDerived) -> list[Instruction]:
        reply = self._reply
        assert reply is not None, "a key was asked for to open something"
        derivation = self._underived(reply)
        assert derivation is not None, "and it was not there yet"
        reply.keys[derivation] = event.key
        return self._open(event.now, reply)

    def _open(self, now: float, reply: "_Reply") -> list[Instruction]:
        """Have all keys derived that the received private keys take, then take these."""
        derivation = self._underived(reply)
        if derivation is not None:
            self.state = State.OPENING
            return [DeriveKey(derivation)]
        self._reply = None
        return self._take_responses(now, reply)

    def _underived(self, reply: "_Reply") -> Derivation | None:
        """How the next key is derived that a received private key takes; None where none is."""
        holder = requests.password_recipient(self._credential, self._profile, protection.derive)
        if holder is None:
            return None
        for place, response in reply.answers.items():
            if self._asked.asked[place].central_keygen:
                derivation = _derivation(holder, response)
                if derivation is not None and derivation not in reply.keys:
                    return derivation
        return None

    def _take_responses(self, now: float, reply: "_Reply") -> list[Instruction]:
        message = reply.message
        parts = list(self._last.parts)
        for place in reply.places:
            response = reply.answers.get(place)
            if response is not None:
                parts[place] = self._answered(
                    now, parts[place], self._asked.asked[place], response, reply
                )
            elif self._awaiting is State.REQUESTED or self._last.whole_waits:
                parts[place] = replace(parts[place], outcome=_UNANSWERED)
            else:
                # others were ready: this one still waits
                parts[place] = replace(parts[place], check_at=self._check_at(now, 0))
        if all(part.outcome is not None for part in parts):
            return self._finish(now, parts=parts)
        self._checkpoint = replace(self._last, whole_waits=False)
        return self._store(now, message, tuple(parts))

    def _matched(
        self, responses: Sequence[CertResponse], places: Sequence[int]
    ) -> dict[int, CertResponse]:
        """The response to each request, by its place among the parts."""
        left = {i: self._asked.asked[i].cert_req_ids for i in places}
        expected = tuple(ids[0] for ids in left.values())
        found: dict[int, CertResponse] = {}
        for response in responses:
            place = next((i for i, ids in left.items() if response.certReqId in ids), None)
            if place is None:
                raise checks.wrong_cert_req_id(response.certReqId, expected)
            del left[place]
            found[place] = response
        return found

    def _answered(
        self,
        now: float,
        part: Part,
        asked: Asked,
        response: CertResponse,
        reply: "_Reply",
    ) -> Part:
        """What a part becomes by the response to it."""
        status = response.status
        part = replace(part, cert_req_id=response.certReqId)
        if status.status == PKIStatus.REJECTION:
            return replace(part, outcome=outcomes.refused(status, authenticated=True, details=[]))
        if status.status == PKIStatus.WAITING:
            return replace(part, phase=Phase.WAITING, check_at=self._check_at(now, 0))
        try:
            if status.status not in outcomes.GRANTED:
                raise CheckError(Reason.STATUS, f"a response with PKIStatus {status.status}")
            self._verdicts.passed(Reason.STATUS)
            certificate = self._certificate_in(response, asked)
        except CheckError as error:
            self._verdicts.failed(error)
            return replace(
                part, outcome=Outcome(OutcomeClass.BAD_RESPONSE, error.reason.value, error.what)
            )
        issuers: tuple[bytes, ...] = ()
        assert self._trust is not None, "the answer was proven"
        public_key, pkcs8 = asked.public_key, None
        try:
            if asked.central_keygen:
                key = self._received_key(now, asked, response, reply)
                public_key, pkcs8 = algorithms.public_key_info(key), package.pkcs8_of(key)
            issuers, changed = checks.issued(
                certificate,
                public_key=public_key,
                subject=asked.subject,
                subject_check=self._profile.subject_check,
                trust=self._trust,
                extra=reply.helpers,
                at=_utc(now),
                witness=self._verdicts.witness,
            )
            kind = OutcomeClass.ISSUED_SUBJECT_CHANGED if changed else OutcomeClass.ISSUED
            granted = _granted(kind, status)
        except CheckError as error:
            self._verdicts.failed(error)
            granted = replace(
                _granted(OutcomeClass.ISSUED_REFUSED, status),
                reason=error.reason.value,
                detail=error.what,
            )
            if error.reason is Reason.PUBLIC_KEY:
                # a key that is not the certificate's is never kept beside it
                pkcs8 = None
        return replace(
            part,
            phase=Phase.GRANTED,
            certificate=certificate,
            chain=issuers,
            key=pkcs8,
            granted=granted,
            confirm=not reply.implicit
            and not self._profile.disable_confirm
            # what can't be parsed has no certHash to confirm or reject
            and granted.reason != Reason.CERTIFICATE_MALFORMED,
        )

    def _certificate_in(self, response: CertResponse, asked: Asked) -> bytes:
        """DER of the certificate in a CertResponse.

        Raises:
            CheckError: there is none, it can't be decrypted, or is encrypted without need.
        """
        pair = response.certifiedKeyPair
        if not pair:
            raise CheckError(Reason.CERTIFICATE_MISSING, "PKIStatus accepted without a certificate")
        if tag(pair[0]) == _CERTIFICATE:
            return content(pair[0])
        if asked.decrypting_key is None:
            raise CheckError(
                Reason.CERTIFICATE_MISSING, "an encrypted certificate was not asked for"
            )
        try:
            encrypted = decode(TLV, content(pair[0]))
            certificate = popo.decrypt(encrypted, asked.decrypting_key)
            # nothing else may be revealed by its hash (RFC 9810, 8.2)
            load_certificate(certificate)
        except RemoteCmpError as error:
            raise CheckError(
                Reason.CERTIFICATE_SEALED, f"the encrypted certificate: {error.what}"
            ) from error
        self._verdicts.passed(Reason.CERTIFICATE_SEALED, "by the key that it is for")
        return certificate

    def _received_key(
        self, now: float, asked: Asked, response: CertResponse, reply: "_Reply"
    ) -> PrivateKey:
        """The private key that came with a certificate.

        Raises:
            CheckError: there is none, it can't be decrypted, or who made it is not to be trusted.
        """
        assert self._trust is not None, "the answer was proven"
        sealed = _sealed_key(response)
        self._verdicts.passed(Reason.KEY_MISSING)
        recipient = requests.recipient(
            self._credential, self._profile, reply.keys.__getitem__, reply.helpers
        )
        assert recipient is not None, "checked by _begin"
        try:
            opened = envelope.decrypt(sealed, recipient)
        except RemoteCmpError as error:
            raise CheckError(Reason.KEY_SEALED, error.what, hint=error.hint) from error
        self._verdicts.passed(Reason.KEY_SEALED)
        key = package.verify(
            opened.octets, self._trust, reply.helpers, _utc(now), witness=self._verdicts.witness
        )
        _check_kind(key, asked.key_spec)
        return key

    # --- polling and confirmation ---------------------------------------------------------------

    def _poll(self, event: TimerFired) -> list[Instruction]:
        # a timer may fire a little early
        now = max(event.now, self._next_poll or 0.0)
        due = (
            self._poll_id(part) for part in self._last.parts if part.waits and part.check_at <= now
        )
        # one for all where the answer as a whole waits
        self._polled = tuple(dict.fromkeys(due))
        body = wrap(0x30, *(wrap(0x30, encode(cert_req_id)) for cert_req_id in self._polled))
        message = self._make(BodyType.POLL_REQ, body, event.now)
        return self._transmit(State.POLLED, Send(message, BodyType.POLL_REQ.label, opens=False))

    def _poll_id(self, part: Part) -> int:
        """The certReqId by which a part is polled for."""
        return requests.CERT_REQ_ID_WHOLE if self._last.whole_waits else part.cert_req_id

    def _send_confirm(self, now: float) -> list[Instruction]:
        statuses = [_cert_status(part) for part in self._unconfirmed]
        message = self._make(
            BodyType.CERT_CONF,
            wrap(0x30, *(status for status, _ in statuses)),
            now,
            # hashAlg came with cmp2021 (RFC 9810, 7)
            pvno=PVNO_CMP2021 if any(named for _, named in statuses) else PVNO_CMP2000,
        )
        return self._transmit(
            State.CONFIRMING, Send(message, BodyType.CERT_CONF.label, opens=False)
        )

    def _confirmed_by(self, now: float, message: PKIMessage) -> list[Instruction]:
        """A pkiconf came."""
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
        if self._losses >= self._profile.retries:
            return False
        deadline = 0.0 if self._checkpoint is None else self._checkpoint.deadline
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
        if isinstance(self._credential, KemCredential) and self._awaiting is State.ENCAPSULATING:
            return self._ask_ciphertext(event.now, self._credential)
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
        self._verdicts.failed(error)
        bad = Outcome(OutcomeClass.BAD_RESPONSE, error.reason.value, error.what)
        return self._finish_badly(now, bad)

    def _finish_badly(self, now: float, bad: Outcome) -> list[Instruction]:
        """End on a bad response."""
        if self._awaiting is not State.CONFIRMING:
            return self._finish(now, bad)
        waiting = replace(bad, outcome=OutcomeClass.STILL_WAITING)
        return self._leave_unconfirmed(
            now, OutcomeClass.ISSUED_UNPROVEN, bad.reason, bad.detail, waiting=waiting
        )

    def _refused(self, now: float, outcome: Outcome, *, proven: bool = True) -> list[Instruction]:
        """The CA's no, to a request or to a certConf; `proven`: it is known to be the CA's."""
        if self._awaiting is not State.CONFIRMING:
            return self._finish(now, outcome)
        # a certConf of ours did arrive, its pkiconf was lost
        arrived = "certConfirmed" in outcome.fail_info and proven
        kind = (
            OutcomeClass.ISSUED_CONFIRMATION_UNKNOWN
            if self._confirm_uncertain or not proven
            else OutcomeClass.ISSUED_CONFIRMATION_REFUSED
        )

        def end(part: Part) -> Outcome:
            kept = arrived or _is_refused(part)
            return _granted_to(part) if kept else replace(outcome, outcome=kind)

        return self._finish(now, outcome, unconfirmed=end)

    def _leave_unconfirmed(
        self, now: float, kind: OutcomeClass, reason: str, detail: str, *, waiting: Outcome
    ) -> list[Instruction]:
        """End where the confirmation went wrong; `waiting` is for what still waited."""

        def end(part: Part) -> Outcome:
            granted = _granted_to(part)
            # one that we refused stays refused, for the reason that we had
            kept = _is_refused(part)
            return granted if kept else replace(granted, outcome=kind, reason=reason, detail=detail)

        return self._finish(now, waiting, unconfirmed=end)

    def _finish(
        self,
        now: float,
        outcome: Outcome | None = None,
        *,
        unconfirmed: Callable[[Part], Outcome] | None = None,
        parts: Sequence[Part] | None = None,
    ) -> list[Instruction]:
        """End.

        Args:
            outcome: of each part that is open.
            unconfirmed: gives that of a part whose certConf was not answered well.
            parts: what the last answer made of them, where there is nothing in it to store.
        """

        def end(part: Part) -> Outcome:
            if part.outcome is not None:
                return part.outcome
            if part.is_unconfirmed and unconfirmed is not None:
                return unconfirmed(part)
            if part.phase is Phase.GRANTED:
                return _granted_to(part)
            assert outcome is not None, "what is open has an outcome when a transaction ends"
            return outcome

        if self._polling_since is not None and self._polled_until is None:
            self._polled_until = now
        self.state = State.FINISHED
        if self._checkpoint is None:
            assert outcome is not None, "nothing was begun"
            results: tuple[Outcome, ...] = (outcome,) * len(self._applicants)
        else:
            results = tuple(map(end, self._checkpoint.parts if parts is None else parts))
        return [Finish(results, self._checkpoint, self._timings(now), self._sends)]

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
            pvno=max(pvno, self._asked.pvno),
        )

    def _transmit(self, state: State, send: Send) -> list[Instruction]:
        self.state = state
        self._sent = send
        self._sends += send.opens
        return [send]

    def _clock(self, event: Received | Refused) -> None:
        if self._started is None:
            self._started = event.sent
        if self.state is State.REQUESTED and self._request_answered is None:
            self._request_sent, self._request_answered = event.sent, event.now
        if self.state is State.CONFIRMING:
            self._confirm_sent, self._confirmed = event.sent, event.now

    def _timings(self, now: float) -> Timings:
        if self._started is None:
            return Timings()
        ends = (self._confirmed, self._polled_until, self._request_answered)
        last = max((end for end in ends if end is not None), default=now)
        return Timings(
            service=last - self._started,
            request=_span(self._request_sent, self._request_answered),
            polling=_span(self._polling_since, self._polled_until),
            confirm=_span(self._confirm_sent, self._confirmed),
        )

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

    @property
    def _next_poll(self) -> float | None:
        """Unix time of the next poll; None where nothing waits."""
        return min((part.check_at for part in self._last.parts if part.waits), default=None)

    @property
    def _unconfirmed(self) -> list[Part]:
        return [part for part in self._last.parts if part.is_unconfirmed]


_REFUSAL_BITS: Final = {
    Reason.PUBLIC_KEY.value: "badCertTemplate",
    Reason.SUBJECT.value: "badCertTemplate",
    Reason.CHAIN.value: "signerNotTrusted",
    Reason.KGA_NOT_TRUSTED.value: "signerNotTrusted",
}
"""failInfo of a certConf that rejects a certificate, by our reason."""


_CERTIFICATE: Final = 0xA0
"""Tag of certificate in the CertOrEncCert CHOICE."""

_REVOKED_BEFORE: Final = "certRevoked"

_UNANSWERED: Final = Outcome(
    OutcomeClass.BAD_RESPONSE,
    Reason.RESPONSE_MISSING.value,
    "the answer says nothing of this request",
)


@dataclass(frozen=True, slots=True)
class _Reply:
    """An answer that is found to match our requests, while what is sealed in it is opened.

    Attributes:
        places: of the parts that it may answer.
        answers: the response to each, by its place.
        helpers: DER certificates that came along.
        implicit: no certConf is due.
        keys: derived from our secret.
    """

    message: PKIMessage
    places: Sequence[int]
    answers: Mapping[int, CertResponse]
    helpers: tuple[bytes, ...]
    implicit: bool
    keys: dict[Derivation, bytes] = field(default_factory=dict, repr=False)


def _is_open(part: Part) -> bool:
    """Whether an answer to its request is awaited."""
    return part.outcome is None and part.phase is not Phase.GRANTED


def _is_refused(part: Part) -> bool:
    """Whether its certificate failed a check of ours."""
    return _granted_to(part).outcome is OutcomeClass.ISSUED_REFUSED


def _granted_to(part: Part) -> Outcome:
    assert part.granted is not None, "a certificate comes with an outcome"
    return part.granted


def _cert_status(part: Part) -> tuple[bytes, bool]:
    """DER CertStatus (RFC 9810, 5.3.18) of a part, and whether it names a hashAlg."""
    assert part.certificate is not None
    granted = _granted_to(part)
    certificate = load_certificate(part.certificate)
    digest, algorithm = algorithms.certificate_hash(certificate, part.certificate)
    refused = b""
    if _is_refused(part):
        refused = encode(
            PKIStatusInfo(
                status=PKIStatus.REJECTION,
                statusString=[granted.reason],
                failInfo=fail_info(_REFUSAL_BITS.get(granted.reason, "incorrectData")),
            )
        )
    named = b"" if algorithm is None else wrap(0xA0, algorithm)
    status = wrap(0x30, encode(digest), encode(part.cert_req_id), refused, named)
    return status, algorithm is not None


def _revoked(status: PKIStatusInfo, *, repeats: bool) -> Outcome:
    """The outcome of one certificate's revocation; `repeats`: we may have revoked it before."""
    if status.status == PKIStatus.REJECTION:
        refused = outcomes.refused(status, authenticated=True, details=[])
        if repeats and refused.fail_info == (_REVOKED_BEFORE,):
            return replace(
                refused,
                outcome=OutcomeClass.REVOKED,
                reason="",
                detail="revoked already: by our earlier request, whose answer is not known",
            )
        return refused
    if status.status not in outcomes.REVOKED:
        what = f"rp with PKIStatus {status.status}"
        return Outcome(OutcomeClass.BAD_RESPONSE, Reason.STATUS.value, what)
    return _granted(OutcomeClass.REVOKED, status)


def _counted(count: int, what: str) -> str:
    return f"one {what}" if count == 1 else f"{count} {what}s"


def _check_kind(key: PrivateKey, spec: KeySpec | None) -> None:
    """
    Raises:
        CheckError: the CA made another private key than was wanted.
    """
    if spec is None:
        return
    identifier = encode(decode_sequence_of(algorithms.public_key_info(key))[0])
    if identifier != algorithms.key_identifier(spec):
        raise CheckError(Reason.PUBLIC_KEY, "the private key is of another type than was asked for")
    # a request can't say how long an RSA key shall be
    if isinstance(key, RSAPrivateKey) and key.key_size < int(spec.parameter):
        raise CheckError(
            Reason.PUBLIC_KEY,
            f"the private key has {key.key_size} bits, and {spec.parameter} are wanted",
        )


def _granted(kind: OutcomeClass, status: PKIStatusInfo) -> Outcome:
    text = " / ".join(status.statusString or ())
    return Outcome(
        kind,
        pki_status=status.status,
        fail_info=fail_info_names(status.failInfo),
        status_text=text,
    )


def _sealed_key(response: CertResponse) -> bytes:
    """DER of the EnvelopedData with the private key in a CertResponse.

    Raises:
        CheckError: there is none.
    """
    for element in (response.certifiedKeyPair or [])[1:]:
        if tag(element) == 0xA0:
            try:
                return envelope.enveloped_data(decode(TLV, content(element)))
            except RemoteCmpError as error:
                raise CheckError(Reason.KEY_MISSING, error.what) from error
    raise CheckError(
        Reason.KEY_MISSING, "the CA was to make the private key, and sent the certificate alone"
    )


def _derivation(holder: PasswordRecipient, response: CertResponse) -> Derivation | None:
    """How the key is derived that a received private key takes; None where none is."""
    # who opens it finds what is wrong with it
    with suppress(RemoteCmpError):
        for info in envelope.recipient_infos(_sealed_key(response)):
            derivation = holder.derivation(info)
            if derivation is not None:
                return derivation
    return None


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
