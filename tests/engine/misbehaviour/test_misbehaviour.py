"""The table of what a server can do wrong, one thing at a time, and what becomes of the row.

Nothing of it hangs, nothing is accepted, and each has its outcome and reason.
"""

import asyncio
import datetime as dt
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bulkcmp.cmp import envelope, explanation, general, package, protection, recipient
from bulkcmp.cmp.asn1 import (
    TLV,
    ObjectIdentifier,
    any_from,
    content,
    decode,
    decode_sequence_of,
    encode,
    explicit,
    wrap,
)
from bulkcmp.cmp.general import KEM_CIPHERTEXT_INFO, RootCaKeyUpdate, encode_infos
from bulkcmp.cmp.messages import (
    BodyType,
    CertRepMessage,
    CertResponse,
    ErrorMsgContent,
    PKIStatus,
    PKIStatusInfo,
    RevRepContent,
    decode_cert_confirm_content,
    fail_info,
)
from bulkcmp.cmp.protection import MacParameters
from bulkcmp.errors import Loss
from bulkcmp.inputs.name import parse_name
from bulkcmp.io.keyworker import make_keys
from bulkcmp.model import (
    Itav,
    KeySpec,
    Operation,
    OutcomeClass,
    PasswordMac,
    Popo,
    Secret,
    SubjectCheck,
)
from bulkcmp.testca.aliases import Behaviour
from bulkcmp.testca.encryption import Encryption
from bulkcmp.testca.identity import Identity

if TYPE_CHECKING:
    from bulkcmp.testca.identity import Identity
    from tests.engine.misbehaviour.conftest import Exchange, Fault, HttpFault, Stage, Wire

SUBJECT = "/CN=dev1/O=Acme/C=SE"
NULL = b"\x05\x00"
HOUR = dt.timedelta(hours=1)
NONCE = b"not your nonce.."

BAD = OutcomeClass.BAD_RESPONSE
REFUSED = OutcomeClass.ISSUED_REFUSED
UNPROVEN = OutcomeClass.ISSUED_UNPROVEN
UNCONFIRMED = OutcomeClass.ISSUED_CONFIRMATION_UNKNOWN
LATE = OutcomeClass.STILL_WAITING
UNKNOWN = OutcomeClass.UNKNOWN


@dataclass(frozen=True)
class Row:
    """One row of the table.

    Attributes:
        fault: of the message, or of HTTP where `carried`.
        options: for `Stage.play`.
    """

    fault: "Fault | HttpFault"
    outcome: OutcomeClass
    reason: str
    options: dict[str, Any] = field(default_factory=dict)
    carried: bool = False

    @property
    def to_confirm(self) -> bool:
        return self.options.get("spoils") is BodyType.CERT_CONF


ROWS: list[Any] = []


def wrong(
    outcome: OutcomeClass, reason: str, name: str = "", **options: Any
) -> Callable[["Fault"], "Fault"]:
    """Put a fault of the message into the table."""

    def add(fault: "Fault") -> "Fault":
        title = name or getattr(fault, "__name__", "")
        ROWS.append(pytest.param(Row(fault, outcome, reason, options), id=title))
        return fault

    return add


def wrong_http(
    outcome: OutcomeClass, reason: str, name: str = "", **options: Any
) -> Callable[["HttpFault"], "HttpFault"]:
    """Put a fault of HTTP into the table."""

    def add(fault: "HttpFault") -> "HttpFault":
        title = name or getattr(fault, "__name__", "")
        ROWS.append(pytest.param(Row(fault, outcome, reason, options, carried=True), id=title))
        return fault

    return add


CONFIRM: dict[str, Any] = {"spoils": BodyType.CERT_CONF}
POLL: dict[str, Any] = {"spoils": BodyType.POLL_REQ, "behaviour": Behaviour(poll_count=3)}
SIGNED: dict[str, Any] = {"signed": True}

# --- the header -----------------------------------------------------------------------------------


@wrong(BAD, "wrong transactionID")
def other_transaction_id(exchange: "Exchange") -> None:
    exchange.answer.set_octets(4, NONCE)


@wrong(BAD, "wrong transactionID")
def no_transaction_id(exchange: "Exchange") -> None:
    del exchange.answer.fields[4]


@wrong(UNPROVEN, "wrong transactionID", **CONFIRM)
def other_transaction_id_in_pkiconf(exchange: "Exchange") -> None:
    exchange.answer.set_octets(4, NONCE)


@wrong(BAD, "wrong recipNonce")
def other_recip_nonce(exchange: "Exchange") -> None:
    exchange.answer.set_octets(6, NONCE)


@wrong(BAD, "wrong recipNonce")
def no_recip_nonce(exchange: "Exchange") -> None:
    del exchange.answer.fields[6]


@wrong(UNPROVEN, "wrong recipNonce", **CONFIRM)
def recip_nonce_of_the_request_in_pkiconf(exchange: "Exchange") -> None:
    exchange.answer.set_octets(6, NONCE)


@wrong(BAD, "wrong recipNonce", **POLL)
def other_recip_nonce_in_poll_rep(exchange: "Exchange") -> None:
    exchange.answer.set_octets(6, NONCE)


OTHER_NAME = explicit(4, parse_name("/CN=Somebody Else"))


@wrong(BAD, "wrong sender", **SIGNED)
def sender_that_is_not_the_signer(exchange: "Exchange") -> None:
    exchange.answer.sender = OTHER_NAME


@wrong(BAD, "wrong sender", profile={"expect_sender": parse_name("/CN=The One")})
def sender_that_was_not_expected(exchange: "Exchange") -> None:
    exchange.answer.sender = OTHER_NAME


@wrong(BAD, "wrong sender", **SIGNED)
def sender_that_is_no_directory_name(exchange: "Exchange") -> None:
    exchange.answer.sender = wrap(0x82, b"ca.example.com")


@wrong(BAD, "unsupported version")
def pvno_1(exchange: "Exchange") -> None:
    exchange.answer.pvno = 1


@wrong(BAD, "unsupported version")
def pvno_4(exchange: "Exchange") -> None:
    exchange.answer.pvno = 4


@wrong(UNPROVEN, "unsupported version", **CONFIRM)
def pvno_1_in_pkiconf(exchange: "Exchange") -> None:
    exchange.answer.pvno = 1


# --- protection -----------------------------------------------------------------------------------


def flip_a_bit(exchange: "Exchange") -> bytes:
    """Change what is protected, after it was."""
    exchange.answer.protect(exchange.ca.secret, exchange.signer)
    exchange.answer.set_octets(5, NONCE)
    return exchange.answer.der()


wrong(BAD, "wrong MAC", "changed under its MAC")(flip_a_bit)
wrong(BAD, "wrong signature", "changed under its signature", **SIGNED)(flip_a_bit)
wrong(UNPROVEN, "wrong MAC", "pkiconf changed under its MAC", **CONFIRM)(flip_a_bit)
wrong(BAD, "wrong MAC", "pollRep changed under its MAC", **POLL)(flip_a_bit)


def unprotected(exchange: "Exchange") -> None:
    exchange.answer.unprotect()


wrong(BAD, "protection missing", "unprotected ip")(unprotected)
wrong(UNPROVEN, "protection missing", "unprotected pkiconf", **CONFIRM)(unprotected)
wrong(BAD, "protection missing", "unprotected pollRep", **POLL)(unprotected)


@wrong(BAD, "protection missing")
def algorithm_without_a_value(exchange: "Exchange") -> bytes:
    exchange.answer.value = None
    return exchange.answer.der()


@wrong(BAD, "protection missing")
def value_without_an_algorithm(exchange: "Exchange") -> bytes:
    del exchange.answer.fields[1]
    return exchange.answer.der()


@wrong(BAD, "protection algorithm refused")
def algorithm_that_nobody_knows(exchange: "Exchange") -> bytes:
    exchange.answer.fields[1] = wrap(0x30, encode(x509.ObjectIdentifier("1.3.6.1.4.1.32473.1")))
    return exchange.answer.der()


def dear(iterations: int, kind: PasswordMac) -> "Fault":
    def fault(exchange: "Exchange") -> bytes:
        chosen = MacParameters.choose(b"sixteen octets..", kind=kind, iterations=iterations)
        exchange.answer.fields[1] = chosen.identifier
        return exchange.answer.der()

    return fault


for kind in PasswordMac:
    for count in (100_001, 10**9, 10**18):
        wrong(BAD, "protection algorithm refused", f"{kind} of {count} iterations")(
            dear(count, kind)
        )


@wrong(BAD, "MAC without a shared secret", signed_requests=True)
def mac_in_answer_to_a_signature(exchange: "Exchange") -> bytes:
    exchange.answer.mac(exchange.ca.secret, MacParameters.choose(b"sixteen octets..", iterations=1))
    return exchange.answer.der()


@wrong(BAD, "wrong MAC")
def mac_by_another_secret(exchange: "Exchange") -> bytes:
    exchange.answer.protect(type(exchange.ca.secret)(b"another secret"), exchange.signer)
    return exchange.answer.der()


@wrong(BAD, "wrong signature", **SIGNED)
def signed_by_another_key(exchange: "Exchange") -> None:
    exchange.signer = exchange.ca.stranger


@wrong(BAD, "signer not trusted", **SIGNED)
def signed_by_a_stranger_who_brings_its_chain(exchange: "Exchange") -> None:
    exchange.signer = exchange.ca.stranger
    exchange.answer.extra_certs = (exchange.ca.stranger.der,)


@wrong(BAD, "signer not trusted", "signer whose certificate expired", **SIGNED)
def expired_signer(exchange: "Exchange") -> None:
    exchange.signer = exchange.ca.identity("/CN=CMP", until=-2 * HOUR)
    exchange.answer.sender = explicit(4, exchange.signer.name)
    exchange.answer.extra_certs = (exchange.signer.der,)


@wrong(BAD, "signer's certificate missing", **SIGNED)
def extra_certificates_missing(exchange: "Exchange") -> None:
    exchange.signer = exchange.ca.identity("/CN=CMP")
    exchange.answer.sender = explicit(4, exchange.signer.name)
    exchange.answer.extra_certs = ()


@wrong(BAD, "signer not trusted", **SIGNED)
def signers_issuer_missing(exchange: "Exchange") -> None:
    issuer = exchange.ca.identity("/CN=Sub CA", ca=True)
    exchange.signer = exchange.ca.identity("/CN=CMP", issuer=issuer)
    exchange.answer.sender = explicit(4, exchange.signer.name)
    exchange.answer.extra_certs = (exchange.signer.der,)


@wrong(BAD, "signer's key usage", **SIGNED)
def signer_that_may_not_sign(exchange: "Exchange") -> None:
    exchange.signer = exchange.ca.identity("/CN=CMP", signs=False)
    exchange.answer.sender = explicit(4, exchange.signer.name)
    exchange.answer.extra_certs = (exchange.signer.der,)


# --- the body -------------------------------------------------------------------------------------


def body(kind: BodyType, der: bytes | None = None) -> "Fault":
    """Another body, or the same under another tag."""

    def fault(exchange: "Exchange") -> None:
        exchange.answer.body_tag = kind
        exchange.answer.body = exchange.answer.body if der is None else der

    return fault


def responses(change: Callable[[list[CertResponse]], list[CertResponse]]) -> "Fault":
    """A CertRepMessage with other responses in it."""

    def fault(exchange: "Exchange") -> None:
        reply = decode(CertRepMessage, exchange.answer.body)
        exchange.answer.body = encode(
            CertRepMessage(caPubs=reply.caPubs, response=change(reply.response))
        )

    return fault


def changed(response: CertResponse, **fields: Any) -> CertResponse:
    values: dict[str, Any] = {
        "certReqId": response.certReqId,
        "status": response.status,
        "certifiedKeyPair": response.certifiedKeyPair,
    }
    return CertResponse(**(values | fields))


def numbered(number: int) -> "Fault":
    return responses(lambda found: [changed(found[0], certReqId=number)])


wrong(BAD, "wrong certReqId", "another certReqId")(numbered(7))
wrong(BAD, "wrong certReqId", "certReqId -1 to an ir")(numbered(-1))
wrong(BAD, "wrong certReqId", "another certReqId to a p10cr", cmd=Operation.P10CR)(numbered(1))
wrong(
    BAD,
    "wrong certReqId",
    "another certReqId after polling",
    **POLL | {"behaviour": Behaviour(poll_count=1)},
)(numbered(1))
wrong(BAD, "malformed message", "certReqId of 2000 bits")(
    body(BodyType.IP, wrap(0x30, wrap(0x30, wrap(0x30, encode(1 << 2000), wrap(0x30, encode(0))))))
)
wrong(BAD, "wrong number of responses", "no CertResponse")(responses(lambda found: []))
wrong(BAD, "wrong number of responses", "the same CertResponse twice")(
    responses(lambda found: found * 2)
)
wrong(BAD, "wrong number of responses", "one CertResponse too many")(
    responses(lambda found: [found[0], changed(found[0], certReqId=1)])
)
wrong(BAD, "wrong number of responses", "ten thousand CertResponses")(
    responses(lambda found: [changed(found[0], certifiedKeyPair=None)] * 10_000)
)
wrong(BAD, "unknown PKIStatus", "PKIStatus 7")(
    responses(lambda found: [changed(found[0], status=PKIStatusInfo(status=7))])
)
wrong(BAD, "unknown PKIStatus", "PKIStatus of a revocation")(
    responses(lambda found: [changed(found[0], status=PKIStatusInfo(status=4))])
)
wrong(BAD, "no certificate", "accepted without a certificate")(
    responses(lambda found: [changed(found[0], certifiedKeyPair=None)])
)


wrong(BAD, "unexpected message type", "cp in answer to an ir")(body(BodyType.CP))
wrong(BAD, "unexpected message type", "pkiconf in answer to an ir")(body(BodyType.PKICONF, NULL))
wrong(BAD, "unexpected message type", "genp in answer to an ir")(body(BodyType.GENP, b"\x30\x00"))
wrong(BAD, "unexpected message type", "ir in answer to an ir")(body(BodyType.IR))
wrong(BAD, "unexpected message type", "pollRep that nobody asked for")(
    body(BodyType.POLL_REP, wrap(0x30, wrap(0x30, encode(0), encode(1))))
)
wrong(UNPROVEN, "unexpected message type", "ip in answer to a certConf", **CONFIRM)(
    body(BodyType.IP, encode(CertRepMessage(response=[])))
)
wrong(BAD, "unexpected message type", "pkiconf in answer to a pollReq", **POLL)(
    body(BodyType.PKICONF, NULL)
)


@wrong(BAD, "malformed message")
def body_of_no_known_type(exchange: "Exchange") -> None:
    exchange.answer.body_tag = 30


@wrong(BAD, "malformed message")
def body_that_is_something_else(exchange: "Exchange") -> None:
    exchange.answer.body = encode("no CertRepMessage")


def rejected(*names: str) -> PKIStatusInfo:
    return PKIStatusInfo(status=PKIStatus.REJECTION, failInfo=fail_info(*names))


def error(*names: str) -> bytes:
    return encode(ErrorMsgContent(pKIStatusInfo=rejected(*names)))


@wrong(OutcomeClass.ISSUED_CONFIRMATION_REFUSED, "badCertId", **CONFIRM)
def cert_hash_rejected(exchange: "Exchange") -> None:
    body(BodyType.ERROR, error("badCertId"))(exchange)


@wrong(UNCONFIRMED, "badCertId", **CONFIRM)
def cert_hash_rejected_without_protection(exchange: "Exchange") -> None:
    body(BodyType.ERROR, error("badCertId"))(exchange)
    exchange.answer.unprotect()


@wrong(OutcomeClass.REJECTED_UNAUTHENTICATED, "systemFailure")
def error_without_protection(exchange: "Exchange") -> None:
    body(BodyType.ERROR, error("systemFailure"))(exchange)
    exchange.answer.unprotect()


@wrong(
    OutcomeClass.REJECTED_UNAUTHENTICATED,
    "systemFailure",
    profile={"unprotected_errors": True},
)
def error_of_another_transaction(exchange: "Exchange") -> None:
    error_without_protection(exchange)
    exchange.answer.set_octets(4, NONCE)


@wrong(OutcomeClass.REJECTED_UNAUTHENTICATED, "badRequest")
def error_under_a_wrong_mac(exchange: "Exchange") -> bytes:
    body(BodyType.ERROR, error("badRequest"))(exchange)
    return flip_a_bit(exchange)


@wrong(BAD, "wrong transactionID")
def protected_error_of_another_transaction(exchange: "Exchange") -> None:
    body(BodyType.ERROR, error("badRequest"))(exchange)
    exchange.answer.set_octets(4, NONCE)


@wrong(OutcomeClass.REJECTED, "badAlg, badPOP")
def rejection_with_a_certificate(exchange: "Exchange") -> None:
    responses(lambda found: [changed(found[0], status=rejected("badAlg", "badPOP"))])(exchange)


def statuses(*found: PKIStatusInfo) -> "Fault":
    def fault(exchange: "Exchange") -> None:
        exchange.answer.body_tag = BodyType.RP
        exchange.answer.body = encode(RevRepContent(status=list(found)))

    return fault


ACCEPTED = PKIStatusInfo(status=PKIStatus.ACCEPTED)
REVOKE: dict[str, Any] = {"cmd": Operation.RR}
wrong(BAD, "wrong number of responses", "rp without a status", **REVOKE)(statuses())
wrong(BAD, "wrong number of responses", "rp with two statuses", **REVOKE)(
    statuses(ACCEPTED, ACCEPTED)
)
wrong(BAD, "unknown PKIStatus", "rp with PKIStatus 9", **REVOKE)(statuses(PKIStatusInfo(status=9)))
wrong(BAD, "wrong MAC", "rp changed under its MAC", **REVOKE)(flip_a_bit)
wrong(BAD, "wrong recipNonce", "rp with another recipNonce", **REVOKE)(other_recip_nonce)

# --- what a genm is told --------------------------------------------------------------------------

ASK: dict[str, Any] = {"cmd": Operation.GENM}
ASK_ROOT = ASK | {"row": {"infos": (Itav(general.ROOT_CA_CERT),)}}
ASK_CRL = ASK | {"row": {"infos": (Itav(general.CURRENT_CRL),)}}


def told(*infos: Itav) -> "Fault":
    """A genp that says something else."""
    return body(BodyType.GENP, encode_infos(infos))


def ca_certs(*ders: bytes) -> "Fault":
    return told(Itav(general.CA_CERTS, wrap(0x30, *ders)))


UNSUPPORTED = wrap(0x30, encode(ObjectIdentifier(general.CA_CERTS)))
wrong(BAD, "no answer of this infoType", "genp without an answer", **ASK)(told())
wrong(BAD, "no answer of this infoType", "genp with another answer", **ASK)(
    told(Itav(general.CURRENT_CRL), Itav("1.2.3", NULL))
)
wrong(BAD, "no answer of this infoType", "genp that repeats the question", **ASK_ROOT)(
    told(Itav(general.ROOT_CA_CERT))
)
wrong(BAD, "no answer of this infoType", "genp with ten thousand answers", **ASK)(
    told(*[Itav("1.2.3", NULL)] * 10_000)
)
wrong(OutcomeClass.REJECTED, "infoType not supported", "unsupportedOIDs", **ASK)(
    told(Itav(general.UNSUPPORTED_OIDS, UNSUPPORTED))
)
wrong(BAD, "malformed message", "unsupportedOIDs that are none", **ASK)(
    told(Itav(general.UNSUPPORTED_OIDS, NULL))
)
wrong(BAD, "malformed message", "genp that is none", **ASK)(body(BodyType.GENP, NULL))
wrong(BAD, "unexpected message type", "ip in answer to a genm", **ASK)(body(BodyType.IP))
wrong(BAD, "unexpected message type", "genm in answer to a genm", **ASK)(body(BodyType.GENM))
wrong(BAD, "wrong MAC", "genp changed under its MAC", **ASK)(flip_a_bit)
wrong(BAD, "wrong recipNonce", "genp with another recipNonce", **ASK)(other_recip_nonce)
wrong(BAD, "malformed infoValue", "caCerts of NULL", **ASK)(told(Itav(general.CA_CERTS, NULL)))
wrong(BAD, "malformed infoValue", "caCerts without a certificate", **ASK)(ca_certs())
wrong(BAD, "malformed infoValue", "caCerts with something else", **ASK)(ca_certs(NULL))


@wrong(BAD, "protection missing", **ASK)
def genp_without_protection(exchange: "Exchange") -> None:
    exchange.answer.unprotect()


@wrong(BAD, "unusable CA certificate", **ASK)
def end_entity_among_ca_certs(exchange: "Exchange") -> None:
    ca_certs(exchange.ca.root.der, exchange.ca.ra.der)(exchange)


def new_root(make: Callable[["Exchange"], RootCaKeyUpdate]) -> "Fault":
    """A new root in an answer that is good otherwise."""

    def fault(exchange: "Exchange") -> None:
        told(Itav(general.ROOT_CA_KEY_UPDATE, make(exchange).encode()))(exchange)

    return fault


def linked_by(exchange: "Exchange", issuer: Identity) -> RootCaKeyUpdate:
    """A root of its own making, and a link of that issuer's to it."""
    name = exchange.ca.root.certificate.subject.rfc4514_string()
    key = ec.generate_private_key(ec.SECP256R1())
    itself = Identity(key, exchange.ca.certify(name, key.public_key(), ca=True))
    new = exchange.ca.certify(name, key.public_key(), issuer=itself, ca=True)
    link = exchange.ca.certify(name, key.public_key(), issuer=issuer, ca=True)
    return RootCaKeyUpdate(der(new), der(link))


UPDATE = "root CA update not proven"
wrong(BAD, UPDATE, "new root that a stranger links", **ASK_ROOT)(
    new_root(lambda exchange: linked_by(exchange, exchange.ca.stranger))
)
wrong(BAD, UPDATE, "new root that nobody links", **ASK_ROOT)(
    new_root(lambda exchange: replace(linked_by(exchange, exchange.ca.root), new_with_old=None))
)
wrong(BAD, UPDATE, "new root that is not its own issuer", **ASK_ROOT)(
    new_root(
        lambda exchange: RootCaKeyUpdate(
            linked_by(exchange, exchange.ca.root).new_with_old or b"",
            linked_by(exchange, exchange.ca.root).new_with_old,
        )
    )
)
wrong(BAD, "malformed infoValue", "new root that is no certificate", **ASK_ROOT)(
    new_root(lambda exchange: RootCaKeyUpdate(NULL))
)


def crl_of(issuer: Identity, age: dt.timedelta = HOUR) -> bytes:
    """A CRL, renewed every two hours."""
    made = dt.datetime.now(dt.UTC) - age
    return (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(made)
        .next_update(made + 2 * HOUR)
        .sign(issuer.key, hashes.SHA256())
        .public_bytes(serialization.Encoding.DER)
    )


def crl(make: Callable[["Exchange"], bytes]) -> "Fault":
    def fault(exchange: "Exchange") -> None:
        told(Itav(general.CURRENT_CRL, make(exchange)))(exchange)

    return fault


wrong(BAD, "CRL not proven", "CRL of a stranger", **ASK_CRL)(
    crl(lambda exchange: crl_of(exchange.ca.stranger))
)
wrong(BAD, "CRL not proven", "CRL of nobody whom we know", **ASK_CRL)(
    crl(lambda exchange: crl_of(exchange.ca.identity("/CN=else", ca=True)))
)
wrong(BAD, "CRL out of date", "CRL of yesterday", **ASK_CRL)(
    crl(lambda exchange: crl_of(exchange.ca.root, 24 * HOUR))
)
wrong(BAD, "malformed infoValue", "CRL that is a certificate", **ASK_CRL)(
    crl(lambda exchange: exchange.ca.root.der)
)

# --- the certificate ------------------------------------------------------------------------------


def certificate(make: Callable[["Exchange"], bytes]) -> "Fault":
    """Another certificate in an answer that is good otherwise."""

    def fault(exchange: "Exchange") -> None:
        pair = [any_from(explicit(0, make(exchange)))]
        responses(lambda found: [changed(found[0], certifiedKeyPair=pair)])(exchange)

    return fault


def der(made: x509.Certificate) -> bytes:
    return made.public_bytes(serialization.Encoding.DER)


def another_key() -> ec.EllipticCurvePublicKey:
    return ec.generate_private_key(ec.SECP256R1()).public_key()


for requests in ({}, SIGNED, {"cmd": Operation.P10CR}):
    how = "".join(f" ({name})" for name in requests)
    wrong(REFUSED, "another public key", f"certificate for another key{how}", **requests)(
        certificate(lambda exchange: der(exchange.ca.certify(SUBJECT, another_key())))
    )
wrong(REFUSED, "another subject", "certificate for another subject")(
    certificate(lambda exchange: der(exchange.ca.certify("/CN=dev2", exchange.wanted)))
)
wrong(REFUSED, "certificate expired", "certificate that expired")(
    certificate(
        lambda exchange: der(exchange.ca.certify(SUBJECT, exchange.wanted, until=-1 * HOUR))
    )
)
wrong(
    REFUSED,
    "certificate does not chain to a trust anchor",
    "certificate by a CA of the same name",
)(
    certificate(
        lambda exchange: der(
            exchange.ca.certify(SUBJECT, exchange.wanted, issuer=exchange.ca.stranger)
        )
    )
)
wrong(
    REFUSED,
    "certificate does not chain to a trust anchor",
    "certificate by an intermediate CA that does not come along",
)(
    certificate(
        lambda exchange: der(
            exchange.ca.certify(
                SUBJECT,
                exchange.wanted,
                issuer=exchange.ca.identity("/CN=Sub CA", ca=True),
            )
        )
    )
)
wrong(
    REFUSED,
    "certificate does not chain to a trust anchor",
    "certificate by an end entity",
)(
    certificate(
        lambda exchange: der(
            exchange.ca.certify(SUBJECT, exchange.wanted, issuer=exchange.ca.identity("/CN=dev3"))
        )
    )
)
wrong(REFUSED, "malformed certificate", "certificate that is none")(
    certificate(lambda exchange: wrap(0x30, encode("no certificate")))
)

# --- the private key that the CA made -------------------------------------------------------------

CENTRAL: dict[str, Any] = {"row": {"central_keygen": True}}
CONTENT_KEY = bytes(range(32))


def private_key(
    make: "Callable[[Exchange, ec.EllipticCurvePrivateKey], list[bytes]]",
) -> "Fault":
    """A certificate for a key of ours, with what is made in place of that private key."""

    def fault(exchange: "Exchange") -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        issued = der(exchange.ca.certify(SUBJECT, key.public_key()))
        pair = [any_from(explicit(0, one)) for one in (issued, *make(exchange, key))]
        responses(lambda found: [changed(found[0], certifiedKeyPair=pair)])(exchange)

    return fault


def sealed(
    exchange: "Exchange",
    key: ec.EllipticCurvePrivateKey,
    *,
    secret: Secret | None = None,
    signer: "Identity | None" = None,
    iterations: int = 10,
    made: bytes | None = None,
    signed: bytes | None = None,
) -> list[bytes]:
    """A private key as it should come: signed by the CA, encrypted for our secret."""
    identity = signer or exchange.ca.root
    made = made or package.encode_package(key)
    signed = signed or package.sign(made, identity.key, (identity.der,), "sha256")
    kdf = protection.pbkdf2_identifier(b"salt", "hmac-sha256", iterations, 32)
    if iterations > 1000:
        told = wrap(0xA0, content(any_from(kdf)))
        wrapped = encode(bytes(40))
        info = wrap(envelope.PWRI, encode(0), told, recipient.KEY_WRAPS[32], wrapped)
    else:
        known = secret or exchange.ca.secret
        info = recipient.password(CONTENT_KEY, known, b"salt", iterations=iterations)
    opened = envelope.encrypt(
        signed, envelope.SIGNED_DATA, [info], key=CONTENT_KEY, iv=CONTENT_KEY[:16]
    )
    return [envelope.encrypted_key(opened)]


wrong(REFUSED, "no private key", "certificate without its private key", **CENTRAL)(
    private_key(lambda exchange, key: [])
)
wrong(REFUSED, "no private key", "private key in an EncryptedValue", **CENTRAL)(
    private_key(lambda exchange, key: [wrap(0x30, wrap(0x03, b"\0", package.pkcs8_of(key)))])
)
wrong(REFUSED, "private key can't be decrypted", "private key for another secret", **CENTRAL)(
    private_key(lambda exchange, key: sealed(exchange, key, secret=Secret(b"another")))
)
wrong(REFUSED, "private key can't be decrypted", "envelope that is none", **CENTRAL)(
    private_key(lambda exchange, key: [wrap(0xA0, encode(2))])
)
wrong(REFUSED, "private key can't be decrypted", "10^9 iterations of PBKDF2", **CENTRAL)(
    private_key(lambda exchange, key: sealed(exchange, key, iterations=10**9))
)
wrong(REFUSED, "private key not signed", "private key that nobody signed", **CENTRAL)(
    private_key(lambda exchange, key: sealed(exchange, key, signed=package.encode_package(key)))
)
wrong(REFUSED, "key generation authority not trusted", "private key signed by an RA", **CENTRAL)(
    private_key(lambda exchange, key: sealed(exchange, key, signer=exchange.ca.ra))
)
wrong(
    REFUSED,
    "key generation authority not trusted",
    "private key signed by a CA of the same name",
    **CENTRAL,
)(private_key(lambda exchange, key: sealed(exchange, key, signer=exchange.ca.stranger)))
wrong(REFUSED, "malformed private key", "two private keys", **CENTRAL)(
    private_key(
        lambda exchange, key: sealed(
            exchange,
            key,
            made=wrap(0x30, *[content(any_from(package.encode_package(key)))] * 2),
        )
    )
)
wrong(REFUSED, "another public key", "private key of another certificate", **CENTRAL)(
    private_key(lambda exchange, key: sealed(exchange, ec.generate_private_key(ec.SECP256R1())))
)

# ---

wrong(BAD, "no certificate", "encrypted certificate that was not asked for")(
    responses(
        lambda found: [
            changed(found[0], certifiedKeyPair=[any_from(explicit(1, explicit(0, b"\x30\x00")))])
        ]
    )
)

# --- encrypted certificates ---------------------------------------------------------------------

INDIRECT = {
    "ml-kem-768": Popo.KEY_ENCIPHERMENT,
    "rsa:2048": Popo.KEY_ENCIPHERMENT,
    "ec:P-384": Popo.KEY_AGREEMENT,
}


def encrypted_cert(change: Callable[["Exchange"], bytes]) -> "Fault":
    """Another EncryptedKey (DER) in its place."""

    def fault(exchange: "Exchange") -> None:
        reply = decode(CertRepMessage, exchange.answer.body)
        pair = [any_from(explicit(1, change(exchange)))]
        response = changed(reply.response[0], certifiedKeyPair=pair)
        exchange.answer.body = encode(CertRepMessage(caPubs=reply.caPubs, response=[response]))

    return fault


def encrypted(exchange: "Exchange", octets: bytes, holder: x509.Certificate | None = None) -> bytes:
    return Encryption(secrets.token_bytes).encrypt(octets, holder or exchange.issued, 3)


def of_another_key(exchange: "Exchange", spec: str) -> x509.Certificate:
    """A certificate of the CA for another key of that type."""
    other = serialization.load_der_private_key(make_keys(KeySpec.parse(spec), 1)[0], None)
    return exchange.ca.certify(SUBJECT, other.public_key())  # type: ignore[arg-type]  # one that is certified


def sealed_envelope(exchange: "Exchange") -> bytes:
    """DER EnvelopedData of the answer."""
    (response,) = decode(CertRepMessage, exchange.answer.body).response
    assert response.certifiedKeyPair is not None
    return envelope.enveloped_data(decode(TLV, content(response.certifiedKeyPair[0])))


def key_changed(exchange: "Exchange") -> bytes:
    """The wrapped or transported content-encryption key, at the end of its RecipientInfo."""
    sealed = sealed_envelope(exchange)
    (info,) = map(encode, envelope.recipient_infos(sealed))
    return envelope.encrypted_key(sealed.replace(info, info[:-1] + bytes((info[-1] ^ 1,))))


def content_cut(exchange: "Exchange") -> bytes:
    """The content without its last octet: no whole number of blocks."""
    version, infos, sealed = map(encode, decode_sequence_of(sealed_envelope(exchange)))
    kind, algorithm, octets = decode_sequence_of(sealed)
    cut = wrap(0x30, encode(kind), encode(algorithm), wrap(0x80, content(octets)[:-1]))
    return envelope.encrypted_key(wrap(0x30, version, infos, cut))


def put_into_the_table(spec: str, popo: Popo) -> None:
    options: dict[str, Any] = {"row": {"new_key_spec": KeySpec.parse(spec), "popo": popo}}
    faults: dict[str, Callable[[Exchange], bytes]] = {
        "certificate encrypted for another key": lambda exchange: encrypted(
            exchange, der(exchange.issued), of_another_key(exchange, spec)
        ),
        "encrypted key changed": key_changed,
        "encrypted content cut": content_cut,
        "encrypted thing that is no certificate": lambda exchange: encrypted(
            exchange, b"a secret of another protocol"
        ),
        "encrypted nothing": lambda exchange: encrypted(exchange, b""),
        "envelope for nobody": lambda _: envelope.encrypted_key(wrap(0x30, wrap(0x31))),
        "neither EncryptedValue nor EnvelopedData": lambda _: NULL,
    }
    for title, change in faults.items():
        wrong(BAD, "certificate can't be decrypted", f"{title} ({spec})", **options)(
            encrypted_cert(change)
        )
    wrong(
        REFUSED, "another public key", f"encrypted certificate for another key ({spec})", **options
    )(encrypted_cert(lambda exchange: encrypted(exchange, der(of_another_key(exchange, spec)))))


for spec, popo in INDIRECT.items():
    put_into_the_table(spec, popo)

# --- KEM ciphertexts -----------------------------------------------------------------------------

KEM: dict[str, Any] = {"kem": True, "spoils": BodyType.GENM}


def ciphertext(kem: str, octets: bytes) -> Itav:
    identifier = wrap(0x30, encode(x509.ObjectIdentifier(kem)))
    return Itav(KEM_CIPHERTEXT_INFO, wrap(0x30, identifier, encode(octets)))


ML_KEM_768, ML_KEM_1024 = "2.16.840.1.101.3.4.4.2", "2.16.840.1.101.3.4.4.3"

for title, fault in {
    "genp that says nothing": told(),
    "genp that does not know the KEM-based MAC": told(
        Itav("1.3.6.1.5.5.7.4.7", wrap(0x30, encode(x509.ObjectIdentifier(KEM_CIPHERTEXT_INFO))))
    ),
    "genp with the question again": told(Itav(KEM_CIPHERTEXT_INFO)),
    "ciphertext for another KEM": told(ciphertext(ML_KEM_1024, bytes(1568))),
    "ciphertext of an unknown KEM": told(ciphertext("1.2.3", bytes(1088))),
    "ciphertext that is too short": told(ciphertext(ML_KEM_768, bytes(1087))),
    "ciphertext that is none": told(Itav(KEM_CIPHERTEXT_INFO, NULL)),
}.items():
    wrong(BAD, "no KEM ciphertext", title, **KEM)(fault)


@wrong(BAD, "wrong transactionID", **KEM)
def genp_of_another_transaction(exchange: "Exchange") -> None:
    exchange.answer.set_octets(4, NONCE)


@wrong(BAD, "wrong recipNonce", **KEM)
def genp_to_another_question(exchange: "Exchange") -> None:
    exchange.answer.set_octets(6, NONCE)


wrong(BAD, "unexpected message type", "pkiconf to a genm", **KEM)(body(BodyType.PKICONF, NULL))
wrong(BAD, "malformed message", "genp cut short", **KEM)(
    lambda exchange: exchange.answer.der()[:-1]
)

# --- the encoding ---------------------------------------------------------------------------------


def octets(change: Callable[[bytes], bytes]) -> "Fault":
    return lambda exchange: change(exchange.answer.der())


def indefinite(message: bytes) -> bytes:
    """BER: the outermost length is indefinite."""
    return b"\x30\x80" + message[4:] + b"\0\0"


def long_length(message: bytes) -> bytes:
    """BER: the outermost length has more octets than it needs."""
    return b"\x30\x83\0" + message[2:]


def nested(depth: int) -> bytes:
    made = b""
    for _ in range(depth):
        made = wrap(0x30, made)
    return made


for title, change in {
    "truncated": lambda message: message[:-1],
    "cut in half": lambda message: message[: len(message) // 2],
    "BER of indefinite length": indefinite,
    "BER of a long length": long_length,
    "a trailing octet": lambda message: message + b"\0",
    "the message twice": lambda message: message * 2,
    "one octet": lambda message: b"\x30",
    "a length of 4 GiB": lambda message: b"\x30\x84\xff\xff\xff\xff" + message[4:],
    "ten thousand SEQUENCEs within each other": lambda message: nested(10_000),
    "text": lambda message: b"500 Internal Server Error",
}.items():
    wrong(BAD, "malformed message", title)(octets(change))
    wrong(UNPROVEN, "malformed message", f"pkiconf: {title}", **CONFIRM)(octets(change))


# --- waiting --------------------------------------------------------------------------------------


def poll_rep(check_after: int, number: int = 0, count: int = 1) -> "Fault":
    entry = wrap(0x30, encode(number), encode(check_after))
    return body(BodyType.POLL_REP, wrap(0x30, *[entry] * count))


wrong(LATE, "time limit", "checkAfter of 10^9", **POLL)(poll_rep(10**9))
wrong(LATE, "time limit", "checkAfter of 2^62", **POLL)(poll_rep(2**62))
wrong(BAD, "malformed message", "checkAfter of 2000 bits", **POLL)(poll_rep(1 << 2000))
wrong(BAD, "negative checkAfter", "checkAfter of -1", **POLL)(poll_rep(-1))
wrong(BAD, "negative checkAfter", "checkAfter of -10^9", **POLL)(poll_rep(-(10**9)))
wrong(BAD, "wrong certReqId", "pollRep of another certReqId", **POLL)(poll_rep(1, 1))
wrong(BAD, "wrong number of responses", "pollRep without an entry", **POLL)(poll_rep(1, count=0))
wrong(BAD, "wrong number of responses", "pollRep with two entries", **POLL)(poll_rep(1, count=2))
wrong(LATE, "time limit", "waiting for ever", **POLL | {"profile": {"total_timeout": 1.0}})(
    poll_rep(0)
)
wrong(LATE, "time limit", "waiting for ever, by ip", **POLL | {"profile": {"total_timeout": 1.0}})(
    body(
        BodyType.IP,
        encode(
            CertRepMessage(
                response=[CertResponse(certReqId=0, status=PKIStatusInfo(status=PKIStatus.WAITING))]
            )
        ),
    )
)
wrong(UNPROVEN, "unexpected message type", "waiting in answer to a certConf", **CONFIRM)(
    poll_rep(0)
)

# --- HTTP -----------------------------------------------------------------------------------------


def plainly(status: str, kind: str = "text/html", text: bytes = b"<html>No.</html>") -> "HttpFault":
    async def fault(wire: "Wire") -> None:
        await wire.say(text, status=status, kind=kind)

    return fault


wrong_http(OutcomeClass.NOT_CMP, "answer is not CMP", "200 with HTML")(plainly("200 OK"))
wrong_http(OutcomeClass.NOT_CMP, "answer is not CMP", "200 without content")(
    plainly("200 OK", "application/pkixcmp", b"")
)
for status in (
    "400 Bad Request",
    "401 Unauthorized",
    "403 Forbidden",
    "404 Not Found",
    "405 Method Not Allowed",
    "413 Content Too Large",
    "500 Internal Server Error",
    "301 Moved Permanently",
    "307 Temporary Redirect",
    "308 Permanent Redirect",
):
    code = status.partition(" ")[0]
    wrong_http(OutcomeClass.HTTP_ERROR, f"HTTP {code}", f"HTTP {status}")(plainly(status))
for status in ("429 Too Many Requests", "503 Service Unavailable"):
    wrong_http(OutcomeClass.NOT_SENT, "server busy", f"HTTP {status}")(plainly(status))
for status in ("502 Bad Gateway", "504 Gateway Timeout"):
    wrong_http(UNKNOWN, "gateway lost the answer", f"HTTP {status}")(plainly(status))
wrong_http(UNCONFIRMED, "HTTP 500", "HTTP 500 to a certConf", **CONFIRM)(
    plainly("500 Internal Server Error")
)
wrong_http(UNKNOWN, "HTTP 500", "HTTP 500 to a pollReq", **POLL)(
    plainly("500 Internal Server Error")
)


@wrong_http(OutcomeClass.NOT_CMP, "answer is not CMP")
async def message_of_another_content_type(wire: "Wire") -> None:
    await wire.say(wire.answer, kind="application/octet-stream")


@wrong_http(OutcomeClass.HTTP_ERROR, "HTTP 302")
async def redirection_with_a_message(wire: "Wire") -> None:
    await wire.say(wire.answer, "Location: /elsewhere", status="302 Found")


@wrong_http(OutcomeClass.NOT_SENT, "server busy", profile={"retries": 5})
async def busy_for_a_billion_seconds(wire: "Wire") -> None:
    await wire.say(b"", "Retry-After: 999999999", status="503 Service Unavailable")


@wrong_http(UNKNOWN, "connection lost")
async def closed_without_an_answer(wire: "Wire") -> None:
    wire.close()


wrong_http(
    UNCONFIRMED,
    "reused connection ended without one byte of an answer",
    "certConf: closed without an answer",
    **CONFIRM,
)(closed_without_an_answer)


wrong_http(OutcomeClass.UNANSWERED, "connection lost", "genm: closed without an answer", **ASK)(
    closed_without_an_answer
)


@wrong_http(UNKNOWN, "connection lost")
async def closed_in_the_middle(wire: "Wire") -> None:
    await wire.write(wire.head(f"Content-Length: {len(wire.answer)}") + wire.answer[:-1])
    wire.close()


@wrong_http(UNKNOWN, "connection lost")
async def reset_in_the_middle(wire: "Wire") -> None:
    await wire.write(wire.head(f"Content-Length: {len(wire.answer)}") + wire.answer[:-1])
    wire.writer.transport.abort()


@wrong_http(BAD, "malformed message")
async def cut_without_a_content_length(wire: "Wire") -> None:
    await wire.write(wire.head() + wire.answer[:-1])
    wire.close()


@wrong_http(UNKNOWN, "connection lost")
async def chunked_without_the_last_chunk(wire: "Wire") -> None:
    size = f"{len(wire.answer):x}\r\n".encode()
    await wire.write(wire.head("Transfer-Encoding: chunked") + size + wire.answer + b"\r\n")
    wire.close()


@wrong_http(BAD, "malformed message")
async def content_length_that_is_too_small(wire: "Wire") -> None:
    await wire.write(wire.head("Content-Length: 20") + wire.answer)


SOON: dict[str, Any] = {"limits": {"read": 0.4, "total": 1.0}}


@wrong_http(UNKNOWN, "no answer in time", **SOON)
async def silence(wire: "Wire") -> None:
    await asyncio.sleep(3600)


wrong_http(UNCONFIRMED, "no answer in time", "certConf: silence", **CONFIRM, **SOON)(silence)
wrong_http(UNKNOWN, "no answer in time", "pollReq: silence", **POLL, **SOON)(silence)


@wrong_http(UNKNOWN, "no answer in time", **SOON)
async def content_length_that_is_too_large(wire: "Wire") -> None:
    await wire.write(wire.head(f"Content-Length: {len(wire.answer) + 1}") + wire.answer)


@wrong_http(UNKNOWN, "no answer in time", **SOON)
async def no_content_length_and_no_end(wire: "Wire") -> None:
    await wire.write(wire.head() + wire.answer)
    await asyncio.sleep(3600)


@wrong_http(UNKNOWN, "no answer in time", **SOON)
async def slow_drip(wire: "Wire") -> None:
    await wire.write(wire.head(f"Content-Length: {len(wire.answer)}"))
    for number in range(len(wire.answer)):
        await wire.write(wire.answer[number : number + 1])
        await asyncio.sleep(0.1)


@wrong_http(UNKNOWN, "no answer in time", **SOON)
async def slow_drip_of_header_fields(wire: "Wire") -> None:
    await wire.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        await wire.write(b"X-Patience: 1\r\n")
        await asyncio.sleep(0.1)


@wrong_http(UNKNOWN, "answer too large")
async def ten_megabytes(wire: "Wire") -> None:
    await wire.say(wire.answer + bytes(10_000_000))


@wrong_http(UNKNOWN, "answer too large")
async def ten_megabytes_without_a_length(wire: "Wire") -> None:
    await wire.write(wire.head(), *[bytes(100_000)] * 100)
    wire.close()


@wrong_http(UNKNOWN, "answer too large")
async def ten_megabytes_in_chunks(wire: "Wire") -> None:
    chunk = b"186a0\r\n" + bytes(100_000) + b"\r\n"
    await wire.write(wire.head("Transfer-Encoding: chunked"), *[chunk] * 100, b"0\r\n\r\n")


@wrong_http(UNKNOWN, "answer too large")
async def ten_megabytes_to_come(wire: "Wire") -> None:
    await wire.write(wire.head("Content-Length: 10000000") + wire.answer)
    await asyncio.sleep(3600)


@wrong_http(UNKNOWN, "answer too large")
async def huge_header_field(wire: "Wire") -> None:
    await wire.say(wire.answer, "X-Much: " + "a" * 200_000)


@wrong_http(UNKNOWN, "answer too large")
async def ten_thousand_header_fields(wire: "Wire") -> None:
    await wire.say(wire.answer, *[f"X-Field-{number}: a" for number in range(10_000)])


@wrong_http(UNKNOWN, "answer too large")
async def nothing_but_100_continue(wire: "Wire") -> None:
    while True:
        await wire.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)


@wrong_http(UNKNOWN, "malformed HTTP")
async def no_http(wire: "Wire") -> None:
    await wire.write(b"220 mail.example.com ESMTP\r\n")


@wrong_http(UNKNOWN, "malformed HTTP")
async def bare_message(wire: "Wire") -> None:
    await wire.write(wire.answer)


@wrong_http(UNKNOWN, "malformed HTTP")
async def two_content_lengths(wire: "Wire") -> None:
    size = len(wire.answer)
    await wire.write(
        wire.head(f"Content-Length: {size}", f"Content-Length: {size - 1}") + wire.answer
    )


@wrong_http(UNKNOWN, "malformed HTTP")
async def negative_content_length(wire: "Wire") -> None:
    await wire.write(wire.head("Content-Length: -1") + wire.answer)


@wrong_http(UNKNOWN, "malformed HTTP")
async def content_length_and_chunks(wire: "Wire") -> None:
    size = f"{len(wire.answer):x}\r\n".encode()
    fields = (f"Content-Length: {len(wire.answer)}", "Transfer-Encoding: chunked")
    await wire.write(wire.head(*fields) + size + wire.answer + b"\r\n0\r\n\r\n")


@wrong_http(UNKNOWN, "malformed HTTP")
async def chunk_of_no_size(wire: "Wire") -> None:
    await wire.write(wire.head("Transfer-Encoding: chunked") + b"zz\r\n" + wire.answer)


@wrong_http(UNKNOWN, "malformed HTTP")
async def compressed_by_nothing(wire: "Wire") -> None:
    await wire.say(wire.answer, "Content-Encoding: gzip")


@wrong_http(UNKNOWN, "malformed HTTP")
async def switching_protocols(wire: "Wire") -> None:
    await wire.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: cmp\r\n\r\n")


def documented(row: Row) -> set[OutcomeClass]:
    """The classes that the documentation has for a reason."""
    return {
        outcome
        for entry in explanation.entries()
        for outcome in entry.leads_to
        if entry.word in row.reason.split(", ")
        or (entry.word == Loss.HTTP_STATUS and row.reason.startswith("HTTP "))
        or entry.word == {"time limit": "waiting"}.get(row.reason)
    } | ({OutcomeClass.ISSUED_CONFIRMATION_REFUSED, UNCONFIRMED} if row.to_confirm else set())


@pytest.mark.parametrize("row", ROWS)
def test_what_a_server_does_wrong_is_told_and_not_accepted(stage: "Stage", row: Row) -> None:
    if row.carried:
        ended = stage.play(http=row.fault, **row.options)  # type: ignore[arg-type]  # options by their names
    else:
        ended = stage.play(row.fault, **row.options)  # type: ignore[arg-type]  # options by their names
    assert (ended.outcome, ended.reason) == (row.outcome, row.reason), ended.result.outcome.detail
    assert row.outcome in documented(row)
    assert not ended.outcome.is_done
    assert ended.result.outcome.detail
    # a request that may have been processed is never sent again unasked
    assert ended.kinds.count(ended.kinds[0]) == 1
    # a certificate is kept where the CA is known to have issued one, good or not, and nowhere else
    assert (ended.result.certificate is not None) is ended.outcome.is_issued
    if ended.outcome is REFUSED and row.reason != "malformed certificate":
        # the CA hears of it
        (status,) = decode_cert_confirm_content(ended.seen[-1].body)
        assert status.statusInfo.status == PKIStatus.REJECTION


# --- what is unusual, and right ------------------------------------------------------------------


async def no_content_length(wire: "Wire") -> None:
    await wire.write(wire.head() + wire.answer)
    wire.close()


async def http_1_0(wire: "Wire") -> None:
    await wire.write(wire.head().replace(b"1.1", b"1.0") + wire.answer)
    wire.close()


async def in_chunks(wire: "Wire") -> None:
    parts = [b"%x\r\n%s\r\n" % (1, wire.answer[i : i + 1]) for i in range(len(wire.answer))]
    await wire.write(wire.head("Transfer-Encoding: chunked"), *parts, b"0\r\n\r\n")


async def continue_first(wire: "Wire") -> None:
    await wire.write(b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\n\r\n")
    await wire.say(wire.answer)


async def error_status_with_a_good_message(wire: "Wire") -> None:
    await wire.say(wire.answer, status="500 Internal Server Error")


async def closing_though_it_said_keep_alive(wire: "Wire") -> None:
    await wire.say(wire.answer, "Connection: keep-alive")
    wire.close()


@pytest.mark.parametrize(
    "http",
    [
        no_content_length,
        http_1_0,
        in_chunks,
        continue_first,
        error_status_with_a_good_message,
        closing_though_it_said_keep_alive,
    ],
    ids=lambda http: http.__name__,
)
def test_unusual_http_that_is_right_is_accepted(stage: "Stage", http: "HttpFault") -> None:
    ended = stage.play(http=http)
    assert ended.outcome is OutcomeClass.ISSUED
    assert ended.kinds == [BodyType.IR, BodyType.CERT_CONF]


@pytest.mark.parametrize(
    ("fault", "asked"),
    [
        (new_root(lambda exchange: linked_by(exchange, exchange.ca.root)), ASK_ROOT),
        (crl(lambda exchange: crl_of(exchange.ca.root)), ASK_CRL),
        (ca_certs(), ASK_ROOT | {"row": {"infos": (Itav("1.2.3"),)}}),
    ],
    ids=["new root", "CRL", "nothing"],
)
def test_what_a_genm_is_told_is_taken_where_it_is_right(
    stage: "Stage", fault: "Fault", asked: dict[str, Any]
) -> None:
    """The faults in such answers are what is refused."""
    ended = stage.play(fault, **asked)
    assert ended.outcome.is_done is (asked["row"]["infos"] != (Itav("1.2.3"),))
    assert bool(ended.result.infos) is ended.outcome.is_done


def test_another_subject_may_be_recorded_and_accepted(stage: "Stage") -> None:
    ended = stage.play(
        certificate(lambda exchange: der(exchange.ca.certify("/CN=dev2", exchange.wanted))),
        profile={"subject_check": SubjectCheck.RECORD, "implicit_confirm": True},
    )
    assert ended.outcome is OutcomeClass.ISSUED_SUBJECT_CHANGED
    assert ended.result.subject == "CN=dev2"


def test_a_kem_ciphertext_needs_no_protection(stage: "Stage") -> None:
    def unprotect(exchange: "Exchange") -> None:
        exchange.answer.unprotect()

    ended = stage.play(unprotect, **KEM)
    assert ended.outcome.is_done, ended.result.outcome
    assert ended.kinds == [BodyType.GENM, BodyType.IR, BodyType.CERT_CONF]


def test_a_ciphertext_of_somebody_else_makes_a_mac_that_the_ca_refuses(stage: "Stage") -> None:
    ended = stage.play(told(ciphertext(ML_KEM_768, bytes(1088))), **KEM)
    assert ended.outcome is OutcomeClass.CREDENTIALS_REFUSED
    assert ended.result.outcome.fail_info == ("badMessageCheck",)
    assert ended.kinds == [BodyType.GENM, BodyType.IR]


@pytest.mark.parametrize("spec", INDIRECT)
def test_the_same_encrypted_certificate_without_a_fault_is_believed(
    stage: "Stage", spec: str
) -> None:
    row = {"new_key_spec": KeySpec.parse(spec), "popo": INDIRECT[spec]}
    ended = stage.play(
        encrypted_cert(lambda exchange: encrypted(exchange, der(exchange.issued))), row=row
    )
    assert ended.outcome.is_done, ended.result.outcome
    assert ended.kinds == [BodyType.IR, BodyType.CERT_CONF]


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("cmd", [Operation.IR, Operation.P10CR, Operation.RR, Operation.GENM])
def test_the_same_server_without_a_fault_is_believed(
    stage: "Stage", cmd: Operation, signed: bool
) -> None:
    """The table tells nothing if what it changes were wrong before."""
    ended = stage.play(lambda _: None, cmd=cmd, signed=signed)
    assert ended.outcome.is_done, ended.result.outcome
