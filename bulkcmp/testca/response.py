"""Answers: their bodies, and the protected messages around them."""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from bulkcmp.cmp import algorithms, protection
from bulkcmp.cmp.asn1 import (
    TLV,
    GeneralizedTime,
    any_from,
    decode_sequence_of,
    encode,
    explicit,
    wrap,
)
from bulkcmp.cmp.messages import (
    IT_IMPLICIT_CONFIRM,
    NULL_DN,
    PVNO_CMP2000,
    PVNO_CMP2021,
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


def error(refusal: RefusedError) -> Answer:
    """An error message (RFC 9810, 5.3.21)."""
    content = ErrorMsgContent(pKIStatusInfo=_rejection(refusal))
    return Answer(body(BodyType.ERROR, encode(content)), refuses=True)


def rejection(request: BodyType, cert_req_id: int, refusal: RefusedError) -> Answer:
    """An ip, cp or kup with PKIStatus rejection."""
    response = CertResponse(certReqId=cert_req_id, status=_rejection(refusal))
    content = encode(CertRepMessage(response=[response]))
    return Answer(body(RESPONSES[request], content), refuses=True)


def waiting(request: BodyType, cert_req_id: int) -> bytes:
    """PKIBody of an ip, cp or kup with PKIStatus waiting."""
    status = PKIStatusInfo(status=PKIStatus.WAITING)
    response = CertResponse(certReqId=cert_req_id, status=status)
    return body(RESPONSES[request], encode(CertRepMessage(response=[response])))


def poll_response(cert_req_id: int, check_after: int) -> bytes:
    """PKIBody of a pollRep; `check_after` in seconds."""
    return body(
        BodyType.POLL_REP,
        wrap(0x30, encode(PollRep(certReqId=cert_req_id, checkAfter=check_after))),
    )


def revoked(issuer: bytes, serial: int) -> Answer:
    """An rp for a certificate that is revoked now."""
    certificate = CertId(issuer=directory_name(issuer), serialNumber=serial)
    content = RevRepContent(
        status=[PKIStatusInfo(status=PKIStatus.ACCEPTED)], revCerts=[certificate]
    )
    return Answer(body(BodyType.RP, encode(content)))


def revocation_rejected(refusal: RefusedError) -> Answer:
    """An rp with PKIStatus rejection."""
    content = RevRepContent(status=[_rejection(refusal)])
    return Answer(body(BodyType.RP, encode(content)), refuses=True)


def _rejection(refusal: RefusedError) -> PKIStatusInfo:
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

    def issued(
        self, request: BodyType, cert_req_id: int, certificate: bytes, *, changed: bool
    ) -> bytes:
        """PKIBody of an ip (with the root in caPubs), cp or kup with a certificate.

        Args:
            certificate: DER.
            changed: it is not in all what was asked for.
        """
        status = PKIStatus.GRANTED_WITH_MODS if changed else PKIStatus.ACCEPTED
        content = CertRepMessage(
            caPubs=self._ca_pubs if request is BodyType.IR else None,
            response=[
                CertResponse(
                    certReqId=cert_req_id,
                    status=PKIStatusInfo(status=status),
                    certifiedKeyPair=[any_from(explicit(0, certificate))],
                )
            ],
        )
        return body(RESPONSES[request], encode(content))

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
                recipient=_NOBODY if asked is None else asked.sender,
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
