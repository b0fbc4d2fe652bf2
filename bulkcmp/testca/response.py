"""Answers: their bodies, and the protected messages around them."""

import datetime as dt
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from bulkcmp.cmp import algorithms, protection
from bulkcmp.cmp.asn1 import (
    SET,
    TLV,
    GeneralizedTime,
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
    PKIHeader,
    PKIMessage,
    PKIStatus,
    PKIStatusInfo,
    PollRep,
    RevRepContent,
    body,
    directory_name,
    encode_message,
    fail_info,
    protected_part,
)
from bulkcmp.cmp.protection import MacParameters
from bulkcmp.errors import RemoteCmpError
from bulkcmp.testca.authentication import Requester
from bulkcmp.testca.identity import Identity, digest_for
from bulkcmp.testca.refusal import RefusedError

NONCE_OCTETS: Final = 16
_SALT_OCTETS: Final = 16

RESPONSES: Final = {
    BodyType.IR: BodyType.IP,
    BodyType.CR: BodyType.CP,
    BodyType.P10CR: BodyType.CP,
    BodyType.KUR: BodyType.KUP,
}

_IMPLICIT_CONFIRM: Final = any_from(wrap(0x30, encode(IT_IMPLICIT_CONFIRM), b"\x05\x00"))
_CONFIRMED: Final = body(BodyType.PKICONF, b"\x05\x00")
_EXPLICIT: Final = 0xA0
_CARRIERS: Final = frozenset(RESPONSES.values())
_NOBODY: Final = directory_name(NULL_DN)


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


class Responder:
    """Puts answers into messages of the CA.

    Args:
        root: signs, and is in caPubs and extraCerts.
        token_bytes: a source of random octets.
    """

    def __init__(self, root: Identity, token_bytes: Callable[[int], bytes]) -> None:
        self._key = root.key
        self._digest = digest_for(root.key)
        self._certificate = root.der
        self._ca_pubs = [any_from(root.der)]
        self._sender = directory_name(root.name)
        self._key_identifier = root.key_identifier
        self._algorithm = algorithms.signature_identifier(root.key, self._digest)
        self._algorithm_elements = decode_sequence_of(self._algorithm)
        self._token_bytes = token_bytes

    def make_nonce(self) -> bytes:
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
        sign: bool,
        protect: bool = True,
    ) -> bytes:
        """DER of the PKIMessage that answers a request.

        Args:
            request: what is answered; None if it could not be decoded.
            requester: who sent it; None if that is not proven.
            nonce: our senderNonce.
            now: the time, aware.
            sign: sign although the requester uses a MAC.
            protect: protect it at all.
        """
        mac = None
        if protect and not sign and requester is not None and requester.mac is not None:
            mac = requester.mac.with_salt(self._token_bytes(_SALT_OCTETS))
        signs = protect and mac is None
        header = self._header(request, answer, mac, nonce, now, signs=signs)
        part = protected_part(header, answer.body)
        value: bytes | None = None
        if mac is not None and requester is not None and requester.secret is not None:
            key = protection.derive(mac.derivation(requester.secret))
            value = protection.mac(key, mac, part)
        elif signs:
            value = algorithms.sign(self._key, self._digest, part)
        # beside a signature as its certificate, beside a new certificate as its issuer's
        carries = signs or answer.body[0] - _EXPLICIT in _CARRIERS
        return encode_message(header, answer.body, value, (self._certificate,) if carries else ())

    def _header(
        self,
        request: PKIMessage | None,
        answer: Answer,
        mac: MacParameters | None,
        nonce: bytes,
        now: dt.datetime,
        *,
        signs: bool,
    ) -> bytes:
        asked = None if request is None else request.header
        algorithm: list[TLV] | None = None
        kid: bytes | None = None
        if mac is not None:
            algorithm = decode_sequence_of(mac.identifier)
            kid = None if asked is None else asked.senderKID
        elif signs:
            algorithm = self._algorithm_elements
            kid = self._key_identifier
        pvno = PVNO_CMP2000 if asked is None else asked.pvno
        return encode(
            PKIHeader(
                pvno=min(max(pvno, PVNO_CMP2000), PVNO_CMP2021),
                sender=self._sender,
                recipient=_NOBODY if request is None else _addressee(request),
                messageTime=GeneralizedTime(now.replace(microsecond=0)),
                protectionAlg=algorithm,
                senderKID=kid,
                transactionID=None if asked is None else asked.transactionID,
                senderNonce=nonce,
                recipNonce=(
                    answer.recip_nonce
                    if answer.recip_nonce is not None or asked is None
                    else asked.senderNonce
                ),
                generalInfo=[_IMPLICIT_CONFIRM] if answer.implicit_confirm else None,
            )
        )


def _addressee(request: PKIMessage) -> TLV:
    """The sender of a request, as recipient of its answer; nobody where it is no Name."""
    name = request.sender
    if name is None:
        return request.header.sender
    try:
        rdns = decode_sequence_of(name)
        for rdn in rdns:
            for attribute in set_elements(rdn):
                decode(AttributeTypeAndValue, attribute)
    except RemoteCmpError:
        return _NOBODY
    return request.header.sender if all(tag(rdn) == SET for rdn in rdns) else _NOBODY
