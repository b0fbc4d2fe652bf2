"""EJBCA's answers: whom they name, how they are protected, and what they leave out."""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from bulkcmp.cmp import algorithms, protection
from bulkcmp.cmp.asn1 import GeneralizedTime, any_from, decode_sequence_of, encode, explicit, wrap
from bulkcmp.cmp.messages import (
    IT_IMPLICIT_CONFIRM,
    NULL_DN,
    PVNO_CMP2000,
    BodyType,
    CertRepMessage,
    CertResponse,
    ErrorMsgContent,
    PKIHeader,
    PKIMessage,
    PKIStatus,
    PKIStatusInfo,
    RevRepContent,
    body,
    directory_name,
    encode_message,
    protected_part,
)
from bulkcmp.cmp.protection import MacParameters
from bulkcmp.inputs.name import parse_name
from bulkcmp.model import PasswordMac, Secret
from bulkcmp.testca.identity import Identity, digest_for
from bulkcmp.testca.refusal import RefusedError
from bulkcmp.testca.response import NONCE_OCTETS, RESPONSES, refused_status

_SALT_OCTETS: Final = 16
_LONGEST_KEY_IDENTIFIER: Final = 128
_NO_SUBJECT: Final = parse_name("/CN=fooSubject")
"""Whom a rejection is addressed to, in EJBCA's own words."""

_IMPLICIT_CONFIRM: Final = any_from(wrap(0x30, encode(IT_IMPLICIT_CONFIRM), b"\x05\x00"))
_CONFIRMED: Final = body(BodyType.PKICONF, b"\x05\x00")

_RP_ITERATIONS: Final = 1024
_RP_PBMAC1_ITERATIONS: Final = 10_000
_RP_PBMAC1_KEY_OCTETS: Final = 4096


@dataclass(frozen=True, slots=True)
class Mac:
    """A MAC to be made, with a salt of the answer's own."""

    parameters: MacParameters
    secret: Secret


@dataclass(frozen=True, slots=True)
class Answer:
    """What is said, to whom, and how it is protected.

    Attributes:
        body: DER of the PKIBody.
        sender, recipient: DER Names.
        mac: protects it, or
        signed: the CA's signature; where neither is there, nothing protects it.
        implicit_confirm: implicit confirmation is granted.
    """

    body: bytes
    sender: bytes
    recipient: bytes
    mac: Mac | None = None
    signed: bool = True
    implicit_confirm: bool = False


class Responder:
    """Puts answers into messages of the CA.

    Args:
        root: signs.
        token_bytes: a source of random octets.
    """

    def __init__(self, root: Identity, token_bytes: Callable[[int], bytes]) -> None:
        self._root = root
        self._digest = digest_for(root.key)
        self._algorithm = algorithms.signature_identifier(root.key, self._digest)
        self._token_bytes = token_bytes

    def issued(
        self, request: BodyType, cert_req_id: int, certificate: bytes, subject: bytes
    ) -> Answer:
        """An ip, cp or kup with a certificate, whose subject is the recipient.

        The status is `accepted`, whatever was asked for.
        """
        response = CertResponse(
            certReqId=cert_req_id,
            status=PKIStatusInfo(status=PKIStatus.ACCEPTED),
            certifiedKeyPair=[any_from(explicit(0, certificate))],
        )
        content = CertRepMessage(caPubs=[any_from(self._root.der)], response=[response])
        return Answer(body(RESPONSES[request], encode(content)), self._root.name, subject)

    def rejected(
        self, request: BodyType, cert_req_id: int, refusal: RefusedError, *, signed: bool
    ) -> Answer:
        """An ip, cp or kup with PKIStatus rejection."""
        response = CertResponse(certReqId=cert_req_id, status=refused_status(refusal))
        content = encode(CertRepMessage(response=[response]))
        return Answer(
            body(RESPONSES[request], content), self._root.name, _NO_SUBJECT, signed=signed
        )

    def revoked(self, message: PKIMessage, refusal: RefusedError | None) -> Answer:
        """A rp, with PKIStatus rejection if there is a refusal."""
        status = (
            PKIStatusInfo(status=PKIStatus.ACCEPTED) if refusal is None else refused_status(refusal)
        )
        content = encode(RevRepContent(status=[status]))
        return Answer(body(BodyType.RP, content), self._root.name, message.sender or NULL_DN)

    def confirmed(self, message: PKIMessage) -> Answer:
        """A pkiconf; it swaps the names that the certConf has."""
        return Answer(_CONFIRMED, message.recipient or NULL_DN, message.sender or NULL_DN)

    def error(self, message: PKIMessage, refusal: RefusedError) -> Answer:
        """An error message.

        It is signed by the CA that the request was addressed to; where that is none, by nobody.
        """
        content = encode(ErrorMsgContent(pKIStatusInfo=refused_status(refusal)))
        return Answer(
            body(BodyType.ERROR, content),
            message.recipient or NULL_DN,
            message.sender or NULL_DN,
            signed=message.recipient == self._root.name,
        )

    def message(self, request: PKIMessage, answer: Answer, now: dt.datetime) -> bytes:
        """DER of the PKIMessage that answers a request; `now` is aware."""
        header = request.header
        algorithm: bytes | None = None
        kid: bytes | None = None
        parameters: MacParameters | None = None
        if answer.mac is not None:
            parameters = answer.mac.parameters.with_salt(self._token_bytes(_SALT_OCTETS))
            algorithm, kid = parameters.identifier, _echoed(header.senderKID or b"")
        elif answer.signed:
            algorithm, kid = self._algorithm, self._root.key_identifier
        head = encode(
            PKIHeader(
                # 3 is understood, and answered with 2
                pvno=PVNO_CMP2000,
                sender=directory_name(answer.sender),
                recipient=directory_name(answer.recipient),
                messageTime=GeneralizedTime(now.replace(microsecond=0)),
                protectionAlg=None if algorithm is None else decode_sequence_of(algorithm),
                senderKID=kid,
                transactionID=header.transactionID,
                senderNonce=self._token_bytes(NONCE_OCTETS),
                recipNonce=header.senderNonce,
                generalInfo=[_IMPLICIT_CONFIRM] if answer.implicit_confirm else None,
            )
        )
        part = protected_part(head, answer.body)
        if parameters is not None and answer.mac is not None:
            key = protection.derive(parameters.derivation(answer.mac.secret))
            return encode_message(head, answer.body, protection.mac(key, parameters, part), ())
        if not answer.signed:
            return encode_message(head, answer.body, None, ())
        value = algorithms.sign(self._root.key, self._digest, part)
        return encode_message(head, answer.body, value, (self._root.der,))

    def not_cmp(self, now: dt.datetime) -> bytes:
        """What answers octets that are no PKIMessage: from nobody, to nobody."""
        head = encode(
            PKIHeader(
                pvno=PVNO_CMP2000,
                sender=directory_name(NULL_DN),
                recipient=directory_name(NULL_DN),
                messageTime=GeneralizedTime(now.replace(microsecond=0)),
                transactionID=self._token_bytes(NONCE_OCTETS),
                senderNonce=self._token_bytes(NONCE_OCTETS),
            )
        )
        refusal = RefusedError("badRequest", "Not a valid CMP message.")
        content = encode(ErrorMsgContent(pKIStatusInfo=refused_status(refusal)))
        return encode_message(head, body(BodyType.ERROR, content), None, ())


def revocation_mac(mac: Mac) -> Mac:
    """How a rp is protected: by counts of its own, not by the request's."""
    parameters = mac.parameters
    if parameters.kind is PasswordMac.PBM:
        oid, parameter = decode_sequence_of(parameters.identifier)
        salt, owf, _, hmac = decode_sequence_of(parameter)
        changed = wrap(0x30, encode(salt), encode(owf), encode(_RP_ITERATIONS), encode(hmac))
    else:
        oid, parameter = decode_sequence_of(parameters.identifier)
        kdf, hmac = decode_sequence_of(parameter)
        kdf_oid, derivation = decode_sequence_of(kdf)
        salt, _, _, prf = decode_sequence_of(derivation)
        counts = encode(_RP_PBMAC1_ITERATIONS) + encode(_RP_PBMAC1_KEY_OCTETS)
        pbkdf2 = wrap(0x30, encode(salt), counts, encode(prf))
        changed = wrap(0x30, wrap(0x30, encode(kdf_oid), pbkdf2), encode(hmac))
    identifier = wrap(0x30, encode(oid), changed)
    made = protection.parameters_of(decode_sequence_of(identifier))
    assert made is not None, "it is a MAC still"
    return Mac(made, mac.secret)


def _echoed(kid: bytes) -> bytes:
    """A senderKID as it comes back: text, or hex where it is none; cut where it is long."""
    try:
        text = kid.decode()
    except UnicodeDecodeError:
        text = kid.hex()
    if not text.isprintable():
        text = kid.hex()
    return text.encode()[:_LONGEST_KEY_IDENTIFIER]
