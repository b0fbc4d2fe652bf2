"""The messages of CMP (RFC 9810, appendix F) and CRMF (RFC 4211, appendix B).

The ASN.1 text stands above each type. An AlgorithmIdentifier and an InfoTypeAndValue, whose
second element is an optional ANY, are lists of ANY; the PKIBody is an ANY whose tag names the
message type (`BodyType`).
"""

import datetime as dt
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property, lru_cache
from typing import Annotated, Final, Literal, TypeAlias

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

from bulkcmp.cmp.asn1 import (
    OCTET_STRING,
    TLV,
    BitString,
    Default,
    Explicit,
    GeneralizedTime,
    Implicit,
    Null,
    ObjectIdentifier,
    Variant,
    any_from,
    content,
    decode,
    decode_sequence_of,
    encode,
    explicit,
    integer,
    list_of,
    sequence,
    tag,
    wrap,
)
from bulkcmp.errors import RemoteCmpError

# AlgorithmIdentifier ::= SEQUENCE {
#     algorithm   OBJECT IDENTIFIER,
#     parameters  ANY DEFINED BY algorithm OPTIONAL }
AlgorithmIdentifier: TypeAlias = list[TLV]

# InfoTypeAndValue ::= SEQUENCE {
#     infoType    OBJECT IDENTIFIER,
#     infoValue   ANY DEFINED BY infoType OPTIONAL }
InfoTypeAndValue: TypeAlias = list[TLV]

NULL_DN: Final = b"\x30\x00"
DIRECTORY_NAME: Final = 4

PVNO_CMP2000: Final = 2
PVNO_CMP2021: Final = 3

IT_IMPLICIT_CONFIRM: Final = ObjectIdentifier("1.3.6.1.5.5.7.4.13")
IT_CONFIRM_WAIT_TIME: Final = ObjectIdentifier("1.3.6.1.5.5.7.4.14")
IT_CERT_PROFILE: Final = ObjectIdentifier("1.3.6.1.5.5.7.4.21")
CONTROL_REG_TOKEN: Final = ObjectIdentifier("1.3.6.1.5.5.7.5.1.1")
CONTROL_AUTHENTICATOR: Final = ObjectIdentifier("1.3.6.1.5.5.7.5.1.2")
CONTROL_OLD_CERT_ID: Final = ObjectIdentifier("1.3.6.1.5.5.7.5.1.5")
REG_INFO_UTF8_PAIRS: Final = ObjectIdentifier("1.3.6.1.5.5.7.5.2.1")


class BodyType(IntEnum):
    """Tags of the PKIBody CHOICE (RFC 9810, 5.1.2)."""

    IR = 0
    IP = 1
    CR = 2
    CP = 3
    P10CR = 4
    POPDECC = 5
    POPDECR = 6
    KUR = 7
    KUP = 8
    KRR = 9
    KRP = 10
    RR = 11
    RP = 12
    CCR = 13
    CCP = 14
    CKUANN = 15
    CANN = 16
    RANN = 17
    CRLANN = 18
    PKICONF = 19
    NESTED = 20
    GENM = 21
    GENP = 22
    ERROR = 23
    CERT_CONF = 24
    POLL_REQ = 25
    POLL_REP = 26

    @property
    def label(self) -> str:
        """The name of the ASN.1 alternative: `ir`, `certConf`, `pollReq` …"""
        return _LABELS[self]


_LAST_BODY: Final = max(BodyType)

_LABELS: Final = {kind: kind.name.lower() for kind in BodyType} | {
    BodyType.CERT_CONF: "certConf",
    BodyType.POLL_REQ: "pollReq",
    BodyType.POLL_REP: "pollRep",
}


class PKIStatus(IntEnum):
    """PKIStatus (RFC 9810, 5.2.3)."""

    ACCEPTED = 0
    GRANTED_WITH_MODS = 1
    REJECTION = 2
    WAITING = 3
    REVOCATION_WARNING = 4
    REVOCATION_NOTIFICATION = 5
    KEY_UPDATE_WARNING = 6


FAIL_INFO: Final = (
    "badAlg",
    "badMessageCheck",
    "badRequest",
    "badTime",
    "badCertId",
    "badDataFormat",
    "wrongAuthority",
    "incorrectData",
    "missingTimeStamp",
    "badPOP",
    "certRevoked",
    "certConfirmed",
    "wrongIntegrity",
    "badRecipientNonce",
    "timeNotAvailable",
    "unacceptedPolicy",
    "unacceptedExtension",
    "addInfoNotAvailable",
    "badSenderNonce",
    "badCertTemplate",
    "signerNotTrusted",
    "transactionIdInUse",
    "unsupportedVersion",
    "notAuthorized",
    "systemUnavail",
    "systemFailure",
    "duplicateCertReq",
)
"""Names of the PKIFailureInfo bits, in bit order (RFC 9810, 5.2.3)."""


def short(*numbers: int) -> None:
    """Refuse an INTEGER of more than 64 bits, which no message has a use for.

    Python can neither spell a very long one nor make it a float, and SQLite can't keep it. The
    codec turns the ValueError into a decoding error.
    """
    for number in numbers:
        if number.bit_length() > 63:
            raise ValueError("an INTEGER of more than 64 bits")


# PKIHeader ::= SEQUENCE {
#     pvno                INTEGER     { cmp1999(1), cmp2000(2), cmp2021(3) },
#     sender              GeneralName,
#     recipient           GeneralName,
#     messageTime     [0] GeneralizedTime         OPTIONAL,
#     protectionAlg   [1] AlgorithmIdentifier{ALGORITHM, {...}} OPTIONAL,
#     senderKID       [2] KeyIdentifier           OPTIONAL,
#     recipKID        [3] KeyIdentifier           OPTIONAL,
#     transactionID   [4] OCTET STRING            OPTIONAL,
#     senderNonce     [5] OCTET STRING            OPTIONAL,
#     recipNonce      [6] OCTET STRING            OPTIONAL,
#     freeText        [7] PKIFreeText             OPTIONAL,
#     generalInfo     [8] SEQUENCE SIZE (1..MAX) OF InfoTypeAndValue OPTIONAL }
@sequence
class PKIHeader:
    pvno: int
    sender: TLV
    recipient: TLV
    messageTime: Annotated[GeneralizedTime | None, Explicit(0)] = None
    protectionAlg: Annotated[AlgorithmIdentifier | None, Explicit(1)] = None
    senderKID: Annotated[bytes | None, Explicit(2)] = None
    recipKID: Annotated[bytes | None, Explicit(3)] = None
    transactionID: Annotated[bytes | None, Explicit(4)] = None
    senderNonce: Annotated[bytes | None, Explicit(5)] = None
    recipNonce: Annotated[bytes | None, Explicit(6)] = None
    freeText: Annotated[list[str] | None, Explicit(7)] = None
    generalInfo: Annotated[list[TLV] | None, Explicit(8)] = None

    def __post_init__(self) -> None:
        short(self.pvno)


# PKIMessage ::= SEQUENCE {
#     header           PKIHeader,
#     body             PKIBody,
#     protection   [0] PKIProtection OPTIONAL,
#     extraCerts   [1] SEQUENCE SIZE (1..MAX) OF CMPCertificate OPTIONAL }
# PKIProtection ::= BIT STRING
@sequence
class _PKIMessage:
    header: TLV
    body: TLV
    protection: Annotated[BitString | None, Explicit(0)] = None
    extraCerts: Annotated[list[TLV] | None, Explicit(1)] = None


@dataclass(frozen=True, slots=True)
class PKIMessage:
    """A decoded message, with the very bytes that its protection covers.

    Attributes:
        body: content of the body's explicit tag: DER of the CertReqMessages, CertRepMessage …
        protected_part: DER of `ProtectedPart ::= SEQUENCE { header, body }` (RFC 9810, 5.1.3),
            sliced from what was received, not encoded again.
        extra_certs: DER of each certificate.
    """

    header: PKIHeader
    body_type: BodyType
    body: bytes
    protected_part: bytes
    protection: bytes | None
    extra_certs: tuple[bytes, ...]

    @property
    def sender(self) -> bytes | None:
        """DER of the sender's Name, or None where the sender is no directoryName."""
        return directory_name_of(self.header.sender)

    @property
    def recipient(self) -> bytes | None:
        """DER of the recipient's Name, or None where the recipient is no directoryName."""
        return directory_name_of(self.header.recipient)

    def info(self, info_type: ObjectIdentifier) -> list[TLV] | None:
        """The InfoTypeAndValue of that type in generalInfo, as its one or two elements."""
        wanted = encode(info_type)
        for entry in self.header.generalInfo or ():
            elements = decode_sequence_of(entry)
            if elements and encode(elements[0]) == wanted:
                return elements
        return None


def decode_message(der: bytes) -> PKIMessage:
    """Decode a PKIMessage.

    Raises:
        RemoteCmpError: `der` is not one DER PKIMessage, or has a body of no known type.
    """
    outer = decode(_PKIMessage, der)
    header = decode(PKIHeader, outer.header)
    number = tag(outer.body) - 0xA0
    if not 0 <= number <= _LAST_BODY:
        raise RemoteCmpError(f"PKIBody has the unknown tag {outer.body.tag_bytes.hex()}")
    protection = outer.protection
    if protection is not None and protection.padding_bits():
        raise RemoteCmpError("PKIProtection is not a whole number of octets")
    return PKIMessage(
        header=header,
        body_type=BodyType(number),
        body=content(outer.body),
        protected_part=protected_part(encode(outer.header), encode(outer.body)),
        protection=None if protection is None else protection.as_bytes(),
        extra_certs=tuple(encode(certificate) for certificate in outer.extraCerts or ()),
    )


MAX_NESTED: Final = 1000
"""Messages in one `nested` above which it is refused."""


# PKIMessages ::= SEQUENCE SIZE (1..MAX) OF PKIMessage
# NestedMessageContent ::= PKIMessages
def decode_nested(message: PKIMessage) -> tuple[bytes, ...]:
    """DER of each message in a `nested` (RFC 9810, 5.1.3.4), none of them decoded yet.

    Raises:
        RemoteCmpError: there is none, or more than MAX_NESTED.
    """
    inner = decode_sequence_of(message.body)
    if not 0 < len(inner) <= MAX_NESTED:
        raise RemoteCmpError(f"nested with {len(inner)} messages, accepted are 1 to {MAX_NESTED}")
    return tuple(map(encode, inner))


def protected_part(header: bytes, body: bytes) -> bytes:
    """DER of `ProtectedPart ::= SEQUENCE { header PKIHeader, body PKIBody }`."""
    return wrap(0x30, header, body)


@lru_cache(maxsize=16)
def message_time(now: int) -> bytes:
    """DER messageTime under its tag; all messages of one second (Unix time) have the same."""
    time = dt.datetime.fromtimestamp(now, dt.UTC).strftime("%Y%m%d%H%M%SZ")
    return explicit(0, wrap(0x18, time.encode()))


def protection_fields(
    algorithm: bytes | None, sender_kid: bytes | None, recip_kid: bytes | None = None
) -> bytes:
    """DER of protectionAlg, senderKID and recipKID under their tags, one behind the other.

    Args:
        algorithm: DER AlgorithmIdentifier.
        sender_kid, recip_kid: octets.
    """
    return b"".join(
        (
            b"" if algorithm is None else explicit(1, algorithm),
            b"" if sender_kid is None else explicit(2, wrap(OCTET_STRING, sender_kid)),
            b"" if recip_kid is None else explicit(3, wrap(OCTET_STRING, recip_kid)),
        )
    )


def encode_header(
    pvno: int,
    names: bytes,
    now: int,
    protection: bytes,
    *,
    transaction_id: bytes | None,
    sender_nonce: bytes,
    recip_nonce: bytes | None,
    general_info: bytes = b"",
) -> bytes:
    """DER of a PKIHeader, in which most is the same from one message to the next.

    Args:
        names: DER of sender and recipient, one behind the other.
        now: Unix time, seconds, for messageTime.
        protection: as `protection_fields` gives it.
        general_info: DER InfoTypeAndValues, one behind the other.
    """
    return wrap(
        0x30,
        integer(pvno),
        names,
        message_time(now),
        protection,
        b"" if transaction_id is None else explicit(4, wrap(OCTET_STRING, transaction_id)),
        explicit(5, wrap(OCTET_STRING, sender_nonce)),
        b"" if recip_nonce is None else explicit(6, wrap(OCTET_STRING, recip_nonce)),
        explicit(8, wrap(0x30, general_info)) if general_info else b"",
    )


def encode_message(
    header: bytes, body: bytes, protection: bytes | None, extra_certs: tuple[bytes, ...] = ()
) -> bytes:
    """DER of a PKIMessage from the DER of its header and of its (tagged) body."""
    parts = [header, body]
    if protection is not None:
        parts.append(explicit(0, wrap(0x03, b"\0", protection)))
    if extra_certs:
        parts.append(explicit(1, wrap(0x30, *extra_certs)))
    return wrap(0x30, *parts)


def directory_name(name: bytes) -> TLV:
    """A GeneralName directoryName of the DER of a Name."""
    return any_from(explicit(DIRECTORY_NAME, name))


def directory_name_of(general_name: TLV) -> bytes | None:
    """DER of the Name in a directoryName; None for any other GeneralName."""
    return content(general_name) if tag(general_name) == 0xA0 | DIRECTORY_NAME else None


def body(body_type: BodyType, der: bytes) -> bytes:
    """DER of a PKIBody: `der` under the alternative's explicit tag."""
    return explicit(body_type, der)


# --- CRMF (RFC 4211; IMPLICIT TAGS) ---------------------------------------------------------


# SubjectPublicKeyInfo ::= SEQUENCE {
#     algorithm         AlgorithmIdentifier,
#     subjectPublicKey  BIT STRING }
@sequence
class SubjectPublicKeyInfo:
    algorithm: AlgorithmIdentifier
    subjectPublicKey: BitString

    @cached_property
    def key(self) -> PublicKeyTypes:
        """The key, loaded when it is first asked for.

        Raises:
            ValueError: it can't be read; or another exception of `cryptography`.
        """
        return serialization.load_der_public_key(encode(self))


# Extension ::= SEQUENCE {
#     extnID      OBJECT IDENTIFIER,
#     critical    BOOLEAN DEFAULT FALSE,
#     extnValue   OCTET STRING }
@sequence
class Extension:
    extnID: ObjectIdentifier
    critical: Annotated[bool, Default(False)]
    extnValue: bytes


# OptionalValidity ::= SEQUENCE {
#     notBefore [0] Time OPTIONAL,
#     notAfter  [1] Time OPTIONAL }  -- at least one MUST be present
# Time ::= CHOICE { utcTime UTCTime, generalTime GeneralizedTime }
# It has no type here: the elements of a template's validity stay ANY, as both forms of Time occur.


# CertTemplate ::= SEQUENCE {
#     version      [0] Version               OPTIONAL,
#     serialNumber [1] INTEGER               OPTIONAL,
#     signingAlg   [2] AlgorithmIdentifier   OPTIONAL,
#     issuer       [3] Name                  OPTIONAL,
#     validity     [4] OptionalValidity      OPTIONAL,
#     subject      [5] Name                  OPTIONAL,
#     publicKey    [6] SubjectPublicKeyInfo  OPTIONAL,
#     issuerUID    [7] UniqueIdentifier      OPTIONAL,
#     subjectUID   [8] UniqueIdentifier      OPTIONAL,
#     extensions   [9] Extensions            OPTIONAL }
# Name is a CHOICE, so its tags are explicit.
@sequence
class CertTemplate:
    version: Annotated[int | None, Implicit(0)] = None
    serialNumber: Annotated[int | None, Implicit(1)] = None
    signingAlg: Annotated[list[TLV] | None, Implicit(2)] = None
    issuer: Annotated[list[TLV] | None, Explicit(3)] = None
    validity: Annotated[list[TLV] | None, Implicit(4)] = None
    subject: Annotated[list[TLV] | None, Explicit(5)] = None
    publicKey: Annotated[SubjectPublicKeyInfo | None, Implicit(6)] = None
    issuerUID: Annotated[BitString | None, Implicit(7)] = None
    subjectUID: Annotated[BitString | None, Implicit(8)] = None
    extensions: Annotated[list[Extension] | None, Implicit(9)] = None


# AttributeTypeAndValue ::= SEQUENCE { type OBJECT IDENTIFIER, value ANY }
@sequence
class AttributeTypeAndValue:
    type: ObjectIdentifier
    value: TLV


# CertRequest ::= SEQUENCE {
#     certReqId     INTEGER,
#     certTemplate  CertTemplate,
#     controls      Controls OPTIONAL }   -- SEQUENCE SIZE(1..MAX) OF AttributeTypeAndValue
@sequence
class CertRequest:
    certReqId: int
    certTemplate: CertTemplate
    controls: list[AttributeTypeAndValue] | None = None

    def __post_init__(self) -> None:
        short(self.certReqId)


# POPOSigningKey ::= SEQUENCE {
#     poposkInput        [0] POPOSigningKeyInput OPTIONAL,
#     algorithmIdentifier    AlgorithmIdentifier,
#     signature              BIT STRING }
# POPOSigningKeyInput ::= SEQUENCE {
#     authInfo  CHOICE { sender [0] GeneralName, publicKeyMAC PKMACValue },
#     publicKey SubjectPublicKeyInfo }
@sequence
class POPOSigningKey:
    poposkInput: Annotated[list[TLV] | None, Implicit(0)] = None
    algorithmIdentifier: AlgorithmIdentifier
    signature: BitString


# ProofOfPossession ::= CHOICE {
#     raVerified        [0] NULL,
#     signature         [1] POPOSigningKey,
#     keyEncipherment   [2] POPOPrivKey,
#     keyAgreement      [3] POPOPrivKey }   -- POPOPrivKey is a CHOICE, so explicit
ProofOfPossession: TypeAlias = (
    Annotated[Variant[Null, Literal["raVerified"]], Implicit(0)]
    | Annotated[Variant[POPOSigningKey, Literal["signature"]], Implicit(1)]
    | Annotated[Variant[TLV, Literal["keyEncipherment"]], Explicit(2)]
    | Annotated[Variant[TLV, Literal["keyAgreement"]], Explicit(3)]
)


# CertReqMessages ::= SEQUENCE SIZE (1..MAX) OF CertReqMsg
# CertReqMsg ::= SEQUENCE {
#     certReq   CertRequest,
#     popo      ProofOfPossession  OPTIONAL,
#     regInfo   SEQUENCE SIZE(1..MAX) OF AttributeTypeAndValue OPTIONAL }
# certReq stays an ANY: the POPO signs its very bytes.
@sequence
class CertReqMsg:
    certReq: TLV
    popo: ProofOfPossession | None = None
    regInfo: list[AttributeTypeAndValue] | None = None

    @cached_property
    def request(self) -> CertRequest:
        """certReq, decoded when it is first asked for.

        Raises:
            RemoteCmpError: it is no CertRequest.
        """
        return decode(CertRequest, self.certReq)


# The values of controls (RFC 4211, 6) and of regInfo (RFC 4211, 7), by their type:
# RegToken ::= UTF8String            -- id-regCtrl-regToken
# Authenticator ::= UTF8String       -- id-regCtrl-authenticator
# OldCertId ::= CertId               -- id-regCtrl-oldCertID
# UTF8Pairs ::= UTF8String           -- id-regInfo-utf8Pairs: name?value%[name?value%]*


# CertId ::= SEQUENCE { issuer GeneralName, serialNumber INTEGER }
@sequence
class CertId:
    issuer: TLV
    serialNumber: int


# --- responses (RFC 9810, 5.3.4; EXPLICIT TAGS) ----------------------------------------------


# PKIStatusInfo ::= SEQUENCE {
#     status        PKIStatus,
#     statusString  PKIFreeText     OPTIONAL,   -- SEQUENCE SIZE (1..MAX) OF UTF8String
#     failInfo      PKIFailureInfo  OPTIONAL }  -- BIT STRING
@sequence
class PKIStatusInfo:
    status: int
    statusString: list[str] | None = None
    failInfo: BitString | None = None

    def __post_init__(self) -> None:
        short(self.status)


# CertResponse ::= SEQUENCE {
#     certReqId         INTEGER,
#     status            PKIStatusInfo,
#     certifiedKeyPair  CertifiedKeyPair    OPTIONAL,
#     rspInfo           OCTET STRING        OPTIONAL }
# CertifiedKeyPair ::= SEQUENCE {
#     certOrEncCert       CertOrEncCert,
#     privateKey      [0] EncryptedKey      OPTIONAL,
#     publicationInfo [1] PKIPublicationInfo  OPTIONAL }
# CertOrEncCert ::= CHOICE {
#     certificate     [0] CMPCertificate,
#     encryptedCert   [1] EncryptedKey }
@sequence
class CertResponse:
    certReqId: int
    status: PKIStatusInfo
    certifiedKeyPair: list[TLV] | None = None
    rspInfo: bytes | None = None

    def __post_init__(self) -> None:
        short(self.certReqId)


# CertRepMessage ::= SEQUENCE {
#     caPubs       [1] SEQUENCE SIZE (1..MAX) OF CMPCertificate OPTIONAL,
#     response         SEQUENCE OF CertResponse }
@sequence
class CertRepMessage:
    caPubs: Annotated[list[TLV] | None, Explicit(1)] = None
    response: list[CertResponse]


# ErrorMsgContent ::= SEQUENCE {
#     pKIStatusInfo     PKIStatusInfo,
#     errorCode         INTEGER           OPTIONAL,
#     errorDetails      PKIFreeText       OPTIONAL }
@sequence
class ErrorMsgContent:
    pKIStatusInfo: PKIStatusInfo
    errorCode: int | None = None
    errorDetails: list[str] | None = None


# CertConfirmContent ::= SEQUENCE OF CertStatus
# CertStatus ::= SEQUENCE {
#     certHash    OCTET STRING,
#     certReqId   INTEGER,
#     statusInfo  PKIStatusInfo OPTIONAL,
#     hashAlg [0] AlgorithmIdentifier{DIGEST-ALGORITHM, {...}} OPTIONAL }
@sequence
class CertStatus:
    certHash: bytes
    certReqId: int
    statusInfo: PKIStatusInfo | None = None
    hashAlg: Annotated[AlgorithmIdentifier | None, Explicit(0)] = None

    def __post_init__(self) -> None:
        short(self.certReqId)


# PollReqContent ::= SEQUENCE OF SEQUENCE { certReqId INTEGER }
@sequence
class PollReq:
    certReqId: int

    def __post_init__(self) -> None:
        short(self.certReqId)


# PollRepContent ::= SEQUENCE OF SEQUENCE {
#     certReqId    INTEGER,
#     checkAfter   INTEGER,  -- time in seconds
#     reason       PKIFreeText OPTIONAL }
@sequence
class PollRep:
    certReqId: int
    checkAfter: int
    reason: list[str] | None = None

    def __post_init__(self) -> None:
        short(self.certReqId, self.checkAfter)


# RevReqContent ::= SEQUENCE OF RevDetails
# RevDetails ::= SEQUENCE {
#     certDetails      CertTemplate,
#     crlEntryDetails  Extensions  OPTIONAL }
@sequence
class RevDetails:
    certDetails: CertTemplate
    crlEntryDetails: list[Extension] | None = None


# RevRepContent ::= SEQUENCE {
#     status        SEQUENCE SIZE (1..MAX) OF PKIStatusInfo,
#     revCerts  [0] SEQUENCE SIZE (1..MAX) OF CertId OPTIONAL,
#     crls      [1] SEQUENCE SIZE (1..MAX) OF CertificateList OPTIONAL }
@sequence
class RevRepContent:
    status: list[PKIStatusInfo]
    revCerts: Annotated[list[CertId] | None, Explicit(0)] = None
    crls: Annotated[list[TLV] | None, Explicit(1)] = None


decode_cert_req_messages = list_of(CertReqMsg)
decode_cert_confirm_content = list_of(CertStatus)
decode_poll_req_content = list_of(PollReq)
decode_poll_rep_content = list_of(PollRep)
decode_rev_req_content = list_of(RevDetails)


def name_elements(name: bytes) -> list[TLV]:
    """The RDNs of a DER Name, as CertTemplate's subject and issuer want them.

    Raises:
        RemoteCmpError: `name` is not a DER SEQUENCE.
    """
    return decode_sequence_of(name)


def name_of(elements: list[TLV]) -> bytes:
    """DER of the Name whose RDNs these are."""
    return wrap(0x30, *(encode(element) for element in elements))


def fail_info_names(bits: BitString | None) -> tuple[str, ...]:
    """The names of the set PKIFailureInfo bits; unknown bits are given as `bit 27` … `bit 63`."""
    if bits is None:
        return ()
    # a peer may set a million bits, which nobody wants to read
    octets = bits.as_bytes()[:8]
    return tuple(
        FAIL_INFO[number] if number < len(FAIL_INFO) else f"bit {number}"
        for number in range(len(octets) * 8)
        if octets[number // 8] & (0x80 >> number % 8)
    )


def fail_info(*names: str) -> BitString:
    """The PKIFailureInfo with the bits of these names set, DER: no trailing zero bits.

    Raises:
        ValueError: a name that RFC 9810 does not have.
    """
    numbers = [FAIL_INFO.index(name) for name in names]
    size = max(numbers) + 1
    value = sum(1 << (size - 1 - number) for number in set(numbers))
    padding = -size % 8
    return BitString((value << padding).to_bytes((size + 7) // 8, "big"), padding)
