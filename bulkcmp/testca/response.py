"""Answers: their bodies, and the protected messages around them."""

import datetime as dt
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Final

from bulkcmp.cmp import algorithms, protection
from bulkcmp.cmp.asn1 import (
    SET,
    TLV,
    any_from,
    decode,
    decode_sequence_of,
    encode,
    explicit,
    set_elements,
    tag,
    wrap,
)
from bulkcmp.cmp.messages import (
    DIRECTORY_NAME,
    IT_IMPLICIT_CONFIRM,
    NULL_DN,
    PVNO_CMP2000,
    PVNO_CMP2021,
    AttributeTypeAndValue,
    BodyType,
    CertId,
    CertRepMessage,
    CertResponse,
    ErrorMsgContent,
    PKIMessage,
    PKIStatus,
    PKIStatusInfo,
    PollRep,
    RevRepContent,
    body,
    directory_name,
    encode_header,
    encode_message,
    fail_info,
    protected_part,
    protection_fields,
)
from bulkcmp.errors import RemoteCmpError
from bulkcmp.testca.authentication import Requester
from bulkcmp.testca.identity import Identity, digest_for
from bulkcmp.testca.refusal import RefusedError
from bulkcmp.testca.sharing import ReplyMac

NONCE_OCTETS: Final = 16
_SALT_OCTETS: Final = 16
_CACHE_SIZE: Final = 256

RESPONSES: Final = {
    BodyType.IR: BodyType.IP,
    BodyType.CR: BodyType.CP,
    BodyType.P10CR: BodyType.CP,
    BodyType.KUR: BodyType.KUP,
}

_IMPLICIT_CONFIRM: Final = wrap(0x30, encode(IT_IMPLICIT_CONFIRM), b"\x05\x00")
_CONFIRMED: Final = body(BodyType.PKICONF, b"\x05\x00")
_EXPLICIT: Final = 0xA0
_CARRIERS: Final = frozenset(RESPONSES.values())
_NOBODY: Final = explicit(DIRECTORY_NAME, NULL_DN)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the CA says, before protection.

    Attributes:
        body: DER of the PKIBody.
        refuses: the body is an error or a rejection.
        implicit_confirm: implicit confirmation is granted.
        recip_nonce: the nonce to repeat, if it is not that of the message that is answered.
    """

    body: bytes
    refuses: bool = False
    implicit_confirm: bool = False
    recip_nonce: bytes | None = None


def confirmed() -> Answer:
    """A pkiconf."""
    return Answer(_CONFIRMED)


def nested(messages: Sequence[bytes]) -> Answer:
    """A `nested` with the DER of the answers to the messages of another."""
    return Answer(body(BodyType.NESTED, wrap(0x30, *messages)))


def error(refusal: RefusedError) -> Answer:
    """An error message (RFC 9810, 5.3.21)."""
    content = ErrorMsgContent(pKIStatusInfo=refused_status(refusal))
    return Answer(body(BodyType.ERROR, encode(content)), refuses=True)


def deferred() -> Answer:
    """An error message with PKIStatus waiting: the answer comes later (RFC 9483, 4.4)."""
    content = ErrorMsgContent(pKIStatusInfo=PKIStatusInfo(status=PKIStatus.WAITING))
    return Answer(body(BodyType.ERROR, encode(content)))


def rejection(cert_req_id: int, refusal: RefusedError) -> CertResponse:
    """A CertResponse with PKIStatus rejection."""
    return CertResponse(certReqId=cert_req_id, status=refused_status(refusal))


def waiting(cert_req_id: int) -> CertResponse:
    """A CertResponse with PKIStatus waiting."""
    return CertResponse(certReqId=cert_req_id, status=PKIStatusInfo(status=PKIStatus.WAITING))


def issued(
    cert_req_id: int,
    certificate: bytes,
    *,
    changed: bool,
    encrypted: bytes | None = None,
    private_key: bytes | None = None,
) -> CertResponse:
    """A CertResponse with a certificate.

    Args:
        certificate: DER.
        encrypted: DER EncryptedKey that goes in its place.
        private_key: DER EncryptedKey of the certificate's key, where that was made here.
        changed: it is not in all what was asked for.
    """
    status = PKIStatus.GRANTED_WITH_MODS if changed else PKIStatus.ACCEPTED
    cert_or_enc_cert = explicit(0, certificate) if encrypted is None else explicit(1, encrypted)
    return CertResponse(
        certReqId=cert_req_id,
        status=PKIStatusInfo(status=status),
        certifiedKeyPair=[
            any_from(cert_or_enc_cert),
            *([] if private_key is None else [any_from(explicit(0, private_key))]),
        ],
    )


def rejections(request: BodyType, cert_req_ids: Iterable[int], refusal: RefusedError) -> Answer:
    """An ip, cp or kup that rejects every request for the same reason."""
    return _certificates(request, [rejection(one, refusal) for one in cert_req_ids])


def _certificates(
    request: BodyType, responses: list[CertResponse], ca_pubs: list[TLV] | None = None
) -> Answer:
    content = CertRepMessage(caPubs=ca_pubs, response=responses)
    refuses = all(one.status.status == PKIStatus.REJECTION for one in responses)
    return Answer(body(RESPONSES[request], encode(content)), refuses=refuses)


def poll_response(cert_req_ids: Iterable[int], check_after: int) -> Answer:
    """A pollRep; `check_after` in seconds."""
    entries = [encode(PollRep(certReqId=one, checkAfter=check_after)) for one in cert_req_ids]
    return Answer(body(BodyType.POLL_REP, wrap(0x30, *entries)))


@dataclass(frozen=True, slots=True)
class Revoked:
    """A certificate that a rr had revoked, put on hold or taken off it.

    Attributes:
        issuer: DER Name.
        text: statusString.
    """

    issuer: bytes
    serial: int
    text: str


def revocations(outcomes: Sequence[Revoked | RefusedError]) -> Answer:
    """A rp with a status for each RevDetails, in their order (RFC 9810, 5.3.10).

    revCerts names the certificates as the statuses go, so it is there only if all were revoked.
    """
    statuses: list[PKIStatusInfo] = []
    certificates: list[CertId] = []
    for one in outcomes:
        if isinstance(one, Revoked):
            statuses.append(PKIStatusInfo(status=PKIStatus.ACCEPTED, statusString=[one.text]))
            certificates.append(CertId(issuer=directory_name(one.issuer), serialNumber=one.serial))
        else:
            statuses.append(refused_status(one))
    complete = len(certificates) == len(statuses)
    content = RevRepContent(status=statuses, revCerts=certificates if complete else None)
    return Answer(body(BodyType.RP, encode(content)), refuses=not certificates)


def refused_status(refusal: RefusedError) -> PKIStatusInfo:
    """PKIStatus rejection, and why."""
    return PKIStatusInfo(
        status=PKIStatus.REJECTION,
        statusString=[refusal.text],
        failInfo=fail_info(refusal.fail_info),
    )


@dataclass(frozen=True, slots=True)
class _Shield:
    """What protects an answer.

    Attributes:
        algorithm: DER of protectionAlg.
        protect: gives the protection of a ProtectedPart.
        kid: senderKID.
        sender: DER GeneralName.
    """

    algorithm: bytes
    protect: Callable[[bytes], bytes]
    kid: bytes | None
    sender: bytes


class Responder:
    """Puts answers into messages of the CA.

    Args:
        root: signs, and is in caPubs and extraCerts.
        token_bytes: a source of random octets.
    """

    def __init__(self, root: Identity, token_bytes: Callable[[int], bytes]) -> None:
        digest = digest_for(root.key)
        self._certificate = root.der
        self._ca_pubs = [any_from(root.der)]
        self._sender = explicit(DIRECTORY_NAME, root.name)
        self._signature = _Shield(
            algorithms.signature_identifier(root.key, digest),
            partial(algorithms.sign, root.key, digest),
            root.key_identifier,
            self._sender,
        )
        self._token_bytes = token_bytes

    def make_nonce(self) -> bytes:
        """A fresh senderNonce."""
        return self._token_bytes(NONCE_OCTETS)

    def certificates(self, request: BodyType, responses: list[CertResponse]) -> Answer:
        """An ip, cp or kup; an ip with certificates has the root in caPubs."""
        issues = any(one.certifiedKeyPair is not None for one in responses)
        ca_pubs = self._ca_pubs if request is BodyType.IR and issues else None
        return _certificates(request, responses, ca_pubs)

    def message(
        self,
        request: PKIMessage | None,
        requester: Requester | None,
        answer: Answer,
        *,
        nonce: bytes,
        now: dt.datetime,
        encapsulated: ReplyMac | None = None,
        sign: bool,
        protect: bool = True,
    ) -> bytes:
        """DER of the PKIMessage that answers a request.

        Args:
            request: what is answered; None if it could not be decoded.
            requester: who sent it; None if that is not proven.
            nonce: our senderNonce.
            now: the time, aware.
            encapsulated: the MAC that the request brought a secret for: it says that its sender
                takes nothing else.
            sign: sign although the requester uses a password-based MAC.
            protect: protect it at all.
        """
        shield = None
        if protect:
            shield = (
                self._by_own_key(encapsulated)
                or self._by_own_key(None if requester is None else requester.agreed)
                or (None if sign else self._by_password(request, requester))
                or self._signature
            )
        header = self._header(request, answer, shield, nonce, now)
        value = None if shield is None else shield.protect(protected_part(header, answer.body))
        signs = shield is self._signature
        # beside a signature as its certificate, beside a new certificate as its issuer's
        carries = signs or answer.body[0] - _EXPLICIT in _CARRIERS
        return encode_message(header, answer.body, value, (self._certificate,) if carries else ())

    def _by_own_key(self, reply: ReplyMac | None) -> _Shield | None:
        if reply is None:
            return None
        return _Shield(
            reply.parameters.identifier,
            partial(protection.mac, reply.key, reply.parameters),
            reply.holder.key_identifier,
            explicit(DIRECTORY_NAME, reply.holder.name),
        )

    def _by_password(
        self, request: PKIMessage | None, requester: Requester | None
    ) -> _Shield | None:
        if requester is None or requester.mac is None or requester.secret is None:
            return None
        mac = requester.mac.with_salt(self._token_bytes(_SALT_OCTETS))
        key = protection.derive(mac.derivation(requester.secret))
        return _Shield(
            mac.identifier,
            partial(protection.mac, key, mac),
            None if request is None else request.header.senderKID,
            self._sender,
        )

    def _header(
        self,
        request: PKIMessage | None,
        answer: Answer,
        shield: _Shield | None,
        nonce: bytes,
        now: dt.datetime,
    ) -> bytes:
        asked = None if request is None else request.header
        pvno = PVNO_CMP2000 if asked is None else asked.pvno
        sender = self._sender if shield is None else shield.sender
        return encode_header(
            min(max(pvno, PVNO_CMP2000), PVNO_CMP2021),
            sender + (_NOBODY if request is None else _addressee(request)),
            int(now.timestamp()),
            b"" if shield is None else protection_fields(shield.algorithm, shield.kid),
            transaction_id=None if asked is None else asked.transactionID,
            sender_nonce=nonce,
            recip_nonce=(
                answer.recip_nonce
                if answer.recip_nonce is not None or asked is None
                else asked.senderNonce
            ),
            general_info=_IMPLICIT_CONFIRM if answer.implicit_confirm else b"",
        )


def _addressee(request: PKIMessage) -> bytes:
    """The sender of a request, as recipient of its answer; nobody where it is no Name."""
    name = request.sender
    return encode(request.header.sender) if name is None or _is_name(name) else _NOBODY


@lru_cache(maxsize=_CACHE_SIZE)
def _is_name(der: bytes) -> bool:
    """Whether it is a Name; that of an RA is the same in all its requests."""
    try:
        rdns = decode_sequence_of(der)
        for rdn in rdns:
            for attribute in set_elements(rdn):
                decode(AttributeTypeAndValue, attribute)
    except RemoteCmpError:
        return False
    return all(tag(rdn) == SET for rdn in rdns)
