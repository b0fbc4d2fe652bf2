"""What RFC 9810 and RFC 9483 (3.5) want checked in a response, each check with its own reason.

Protection comes first: nothing else of a message is looked at before its protection was found
good, but for what an error message says, which is shown as unauthenticated.
"""

import datetime as dt
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from bulkcmp.cmp import protection, strength
from bulkcmp.cmp.algorithms import REMEMBERED, AlgorithmError
from bulkcmp.cmp.asn1 import decode, encode
from bulkcmp.cmp.certificate import ReadCertificate
from bulkcmp.cmp.messages import PVNO_CMP2000, PVNO_CMP2021, CertRepMessage, PKIMessage
from bulkcmp.cmp.trust import EXTENSION_ERRORS, Trust, TrustStore, load_certificate
from bulkcmp.errors import RemoteCmpError
from bulkcmp.model import SubjectCheck

MOST_TRIED: Final = 32
"""Keys by which one signature is tried: with keys of their choice, some milliseconds each, a
thousand certificates in one answer would keep us busy for long."""


class Reason(StrEnum):
    """Why a response or a certificate was refused; the texts stand in results.csv."""

    MALFORMED = "malformed message"
    VERSION = "unsupported version"
    TRANSACTION_ID = "wrong transactionID"
    RECIP_NONCE = "wrong recipNonce"
    SENDER = "wrong sender"
    KEM_CIPHERTEXT = "no KEM ciphertext"
    BODY_TYPE = "unexpected message type"
    RESPONSE_COUNT = "wrong number of responses"
    NESTING = "wrong nesting"
    RESPONSE_MISSING = "no response to this request"
    PROTECTION_MISSING = "protection missing"
    PROTECTION_ALGORITHM = "protection algorithm refused"
    PROTECTION_KIND = "another kind of protection"
    PROTECTION_WEAK = "protection too weak"
    MAC = "wrong MAC"
    NO_SECRET = "MAC without a shared secret"  # noqa: S105  # a reason, not a secret
    SIGNATURE = "wrong signature"
    SIGNER_MISSING = "signer's certificate missing"
    SIGNER_NOT_TRUSTED = "signer not trusted"
    SIGNER_KEY_USAGE = "signer's key usage"
    CERT_REQ_ID = "wrong certReqId"
    CHECK_AFTER = "negative checkAfter"
    STATUS = "unknown PKIStatus"
    CERTIFICATE_MISSING = "no certificate"
    CERTIFICATE_SEALED = "certificate can't be decrypted"
    KEY_MISSING = "no private key"
    KEY_SEALED = "private key can't be decrypted"
    KEY_SIGNATURE = "private key not signed"
    KEY_WEAK = "private key's signature too weak"
    KGA_NOT_TRUSTED = "key generation authority not trusted"
    KEY_MALFORMED = "malformed private key"
    CERTIFICATE_MALFORMED = "malformed certificate"
    PUBLIC_KEY = "another public key"
    SUBJECT = "another subject"
    EXPIRED = "certificate expired"
    CHAIN = "certificate does not chain to a trust anchor"
    CERTIFICATE_WEAK = "certificate too weak"
    INFO_MISSING = "no answer of this infoType"
    INFO_UNSUPPORTED = "infoType not supported"
    INFO_MALFORMED = "malformed infoValue"
    INFO_CERTIFICATE = "unusable CA certificate"
    ROOT_UPDATE = "root CA update not proven"
    CRL = "CRL not proven"
    CRL_OUT_OF_DATE = "CRL out of date"


class CheckError(RemoteCmpError):
    """A check that failed; `reason` is its class."""

    def __init__(self, reason: Reason, what: str, *, hint: str | None = None) -> None:
        super().__init__(what, hint=hint)
        self.reason = reason


class Judgement(StrEnum):
    """What a check comes to."""

    PASSED = "passed"
    FAILED = "failed"
    TOLERATED = "tolerated"
    """Failed, and the profile lets that pass."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A check that was made; `reason` names it by what its failure is called."""

    reason: Reason
    judgement: Judgement
    what: str
    hint: str | None = None


Witness = Callable[[Verdict], None]
"""Is told of each check as it is made; runs have none, so that it costs them nothing."""


@dataclass(frozen=True, slots=True)
class Verdicts:
    """Tells a witness, where there is one."""

    witness: Witness | None = None

    def passed(self, reason: Reason, what: str = "") -> None:
        if self.witness is not None:
            self.witness(passed(reason, what))

    def failed(self, error: CheckError) -> None:
        if self.witness is not None:
            self.witness(Verdict(error.reason, Judgement.FAILED, error.what, error.hint))

    def judged(self, reason: Reason, weak: str, *, allow_weak: bool, what: str = "") -> None:
        """Tell of a strength that was judged.

        Args:
            weak: what `bulkcmp.cmp.strength` said.
            allow_weak: it may be weak (`--allow-weak`).
            what: is told where it is not.

        Raises:
            CheckError: it is weak, and may not be.
        """
        if not weak:
            self.passed(reason, what)
            return
        error = CheckError(reason, weak, hint="--allow-weak accepts it")
        if not allow_weak:
            raise error
        self.tolerated(error, "--allow-weak")

    def tolerated(self, error: CheckError, option: str) -> None:
        if self.witness is not None:
            what = f"{error.what} ({option})"
            self.witness(Verdict(error.reason, Judgement.TOLERATED, what))


def header(
    message: PKIMessage,
    *,
    transaction_id: bytes,
    nonces: Iterable[bytes],
    expect_sender: bytes | None,
    witness: Witness | None = None,
) -> None:
    """Check version, transactionID, recipNonce and sender.

    Args:
        message: a response whose protection is good.
        transaction_id: of our request.
        nonces: the senderNonces of ours that recipNonce may repeat. More than one where
            implementations differ: the answer delivered after polling repeats that of the
            original request or that of the last pollReq.
        expect_sender: DER of the one Name that may stand as sender (`--expect-sender`), or None.
        witness: is told of each check that passed.

    Raises:
        CheckError: with the reason.
    """
    pvno = message.header.pvno
    if pvno not in (PVNO_CMP2000, PVNO_CMP2021):
        raise CheckError(Reason.VERSION, f"the response has pvno {pvno}")
    if witness is not None:
        witness(passed(Reason.VERSION, f"pvno {pvno}"))
    if message.header.transactionID != transaction_id:
        raise CheckError(
            Reason.TRANSACTION_ID,
            f"the response has transactionID {_hex(message.header.transactionID)},"
            f" ours is {transaction_id.hex()}",
        )
    if witness is not None:
        witness(passed(Reason.TRANSACTION_ID, transaction_id.hex()))
    if message.header.recipNonce not in tuple(nonces):
        raise CheckError(
            Reason.RECIP_NONCE,
            f"the response has recipNonce {_hex(message.header.recipNonce)},"
            " which is not our senderNonce",
        )
    if witness is not None:
        witness(passed(Reason.RECIP_NONCE, _hex(message.header.recipNonce)))
    if expect_sender is not None and not same_name(message.sender, expect_sender):
        raise CheckError(
            Reason.SENDER,
            f"the response's sender is {_name(message.sender)}, expected is {_name(expect_sender)}",
        )
    if witness is not None and expect_sender is not None:
        witness(passed(Reason.SENDER, f"{_name(message.sender)}, as expected"))


def passed(reason: Reason, what: str) -> Verdict:
    return Verdict(reason, Judgement.PASSED, what)


def wrong_cert_req_id(got: int, expected: Iterable[int]) -> CheckError:
    """The error of a response that answers no request of ours."""
    ours = ", ".join(map(str, expected))
    return CheckError(Reason.CERT_REQ_ID, f"the response has certReqId {got}, ours is {ours}")


def signer(
    message: PKIMessage,
    trust: Trust,
    at: dt.datetime,
    *,
    ignore_keyusage: bool,
    allow_weak: bool,
    witness: Witness | None = None,
) -> x509.Certificate:
    """Find the certificate that signed a message, and check signature, path, strength, usage and
    name.

    Args:
        at: the time of validation, aware.
        ignore_keyusage: accept a signer whose keyUsage lacks digitalSignature.
        allow_weak: accept what `bulkcmp.cmp.strength` finds weak in signature and path.
        witness: is told of each check that passed, or that this lets pass.

    Returns:
        The signer's certificate.

    Raises:
        CheckError: with the reason.
    """
    candidates = _candidates(message, trust)
    if not candidates:
        raise CheckError(
            Reason.SIGNER_MISSING,
            f"no certificate of the sender {_name(message.sender)} came with the response",
            hint="give it with --untrusted, or pin it with --srvcert",
        )
    unsigned: list[CheckError] = []
    refused: list[CheckError] = []
    for der in candidates:
        try:
            certificate = load_certificate(der)
            protection.check_signature(message, certificate)
        except RemoteCmpError as error:
            reason = (
                Reason.PROTECTION_ALGORITHM
                if isinstance(error, AlgorithmError)
                else Reason.SIGNATURE
            )
            unsigned.append(CheckError(reason, error.what))
            continue
        if witness is not None:
            witness(passed(Reason.SIGNATURE, f"by {_name(_subject(der))}"))
        try:
            _check_signer(
                message,
                der,
                certificate,
                trust,
                at,
                ignore_keyusage=ignore_keyusage,
                allow_weak=allow_weak,
                witness=witness,
            )
        except CheckError as error:
            # one key may stand in several certificates: an expired one, and its renewal
            refused.append(error)
            continue
        return certificate
    raise (refused or unsigned)[0]


def first_trust(
    message: PKIMessage, at: dt.datetime, *, ignore_keyusage: bool, allow_weak: bool
) -> Trust:
    """Trust in the root certificate that an ip brings, where none is known yet.

    3GPP TS 33.310 lets a base station take the operator's root from the first ip. It proves that
    whoever holds the root answered, not who that is.

    Args:
        message: a signed ip; the root is among its caPubs, or its extraCerts.
        at: the time of validation, aware.

    Returns:
        Trust in that root alone.

    Raises:
        CheckError: there is no root to which the signer's certificate chains.
        RemoteCmpError: the body can't be decoded.
    """
    ca_pubs = decode(CertRepMessage, message.body).caPubs or ()
    brought = [*map(encode, ca_pubs), *message.extra_certs]
    roots = [der for der in brought[:MOST_TRIED] if _is_root(der)]
    if not roots:
        raise CheckError(
            Reason.SIGNER_NOT_TRUSTED,
            "the ip brings no root certificate to trust",
            hint="give the CA's certificate with --trusted",
        )
    store = TrustStore(roots)
    certificate = signer(
        message,
        Trust(store, store),
        at,
        ignore_keyusage=ignore_keyusage,
        allow_weak=allow_weak,
    )
    der = certificate.public_bytes(serialization.Encoding.DER)
    root = (der, *store.chain(der, message.extra_certs, at))[-1]
    anchor = TrustStore([root])
    return Trust(anchor, anchor)


def _is_root(der: bytes) -> bool:
    """Whether a certificate is a CA's, and signed by itself."""
    try:
        certificate = load_certificate(der)
        certificate.verify_directly_issued_by(certificate)
        TrustStore([der])
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    except Exception:
        # a certificate that cryptography can't read well raises whatever it likes
        return False
    return constraints.value.ca


def _candidates(message: PKIMessage, trust: Trust) -> list[bytes]:
    if trust.srvcert is not None:
        return [trust.srvcert]
    pools = (message.extra_certs, trust.signers.untrusted, trust.signers.anchors)
    known = [der for pool in pools for der in pool]
    named = [der for der in known if same_name(_subject(der), message.sender)]
    # a certificate of another name is tried too: then it is the sender that is wrong, not the
    # signature
    return list(dict.fromkeys([*named[:MOST_TRIED], *message.extra_certs[:1]]))


def _check_signer(
    message: PKIMessage,
    der: bytes,
    certificate: x509.Certificate,
    trust: Trust,
    at: dt.datetime,
    *,
    ignore_keyusage: bool,
    allow_weak: bool,
    witness: Witness | None,
) -> None:
    path: tuple[bytes, ...] | None = None
    if der != trust.srvcert:
        try:
            path = trust.signers.cached_chain(der, message.extra_certs, at)
        except RemoteCmpError as error:
            raise CheckError(
                Reason.SIGNER_NOT_TRUSTED,
                f"the response is signed by {_name(_subject(der))}: {error.what}",
                hint=error.hint
                or "is --trusted the CA's certificate, and the address the right server?",
            ) from error
    if witness is not None:
        what = "it is --srvcert" if path is None else _path(path)
        witness(passed(Reason.SIGNER_NOT_TRUSTED, what))
    weak = strength.of_signature(protection.algorithm_of(message) or b"")
    Verdicts(witness).judged(
        Reason.PROTECTION_WEAK, weak or weak_path((der, *(path or ()))), allow_weak=allow_weak
    )
    may_sign = _may_sign(certificate)
    if not may_sign and not ignore_keyusage:
        raise CheckError(
            Reason.SIGNER_KEY_USAGE,
            f"the signer {_name(_subject(der))} has a keyUsage without digitalSignature",
            hint="--ignore-keyusage accepts it",
        )
    if witness is not None:
        witness(
            passed(Reason.SIGNER_KEY_USAGE, "it may sign")
            if may_sign
            else Verdict(
                Reason.SIGNER_KEY_USAGE,
                Judgement.TOLERATED,
                "a keyUsage without digitalSignature (--ignore-keyusage)",
            )
        )
    if not same_name(_subject(der), message.sender):
        raise CheckError(
            Reason.SENDER,
            f"the response's sender is {_name(message.sender)}, but {_name(_subject(der))}"
            " signed it",
        )
    if witness is not None:
        witness(passed(Reason.SENDER, f"{_name(message.sender)}, as the signer"))


@lru_cache(maxsize=REMEMBERED)
def _may_sign(certificate: x509.Certificate) -> bool:
    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return True
    except EXTENSION_ERRORS:
        return False
    return usage.digital_signature


def issued(
    der: bytes,
    *,
    public_key: bytes | None,
    subject: bytes | None,
    subject_check: SubjectCheck,
    trust: Trust,
    extra: tuple[bytes, ...],
    at: dt.datetime,
    allow_weak: bool,
    witness: Witness | None = None,
) -> tuple[tuple[bytes, ...], bool]:
    """Check a certificate that was issued to us.

    Args:
        der: the certificate.
        public_key: DER SubjectPublicKeyInfo that it must have, if that is known.
        subject: DER of the Name that was asked for, or None where the CA was to choose.
        extra: DER certificates that may help to build the path.
        at: now, aware. A certificate whose validity begins later is checked as of its beginning.
        allow_weak: accept what `bulkcmp.cmp.strength` finds weak in it and its path.
        witness: is told of each check that passed, or that `subject_check` lets pass.

    Returns:
        The issuers' certificates (DER, nearest first), and whether the subject is another than
        the one asked for, which only `SubjectCheck.RECORD` lets pass.

    Raises:
        CheckError: with the reason.
    """
    try:
        certificate = ReadCertificate.read(der)
        got = encode(certificate.tbs.subject)
        if got != subject:
            # a name that can't be read is nobody's
            _parsed(got)
        not_before = certificate.said.not_valid_before_utc
        not_after = certificate.said.not_valid_after_utc
    except (RemoteCmpError, ValueError) as error:
        raise CheckError(Reason.CERTIFICATE_MALFORMED, f"not a usable certificate: {error}") from (
            error
        )
    if witness is not None:
        serial = certificate.said.serial_number
        witness(passed(Reason.CERTIFICATE_MALFORMED, f"serial {serial:X}"))
    if public_key is not None and not certificate.is_for(public_key):
        raise CheckError(Reason.PUBLIC_KEY, "the certificate is for a public key that is not ours")
    if witness is not None and public_key is not None:
        witness(passed(Reason.PUBLIC_KEY, "the right one"))
    changed = subject is not None and not same_name(got, subject)
    if changed and subject_check is SubjectCheck.EXACT:
        raise CheckError(
            Reason.SUBJECT,
            f"the certificate is for {_name(got)}, asked for was {_name(subject)}",
            hint="--subject-check record accepts what the CA chose, and records both",
        )
    if witness is not None and subject is not None:
        judgement = Judgement.TOLERATED if changed else Judgement.PASSED
        witness(Verdict(Reason.SUBJECT, judgement, _name(got)))
    if not_after < at:
        raise CheckError(Reason.EXPIRED, f"the certificate expired at {not_after:%Y-%m-%d %H:%M}Z")
    if witness is not None:
        witness(passed(Reason.EXPIRED, f"good until {not_after:%Y-%m-%d %H:%M}Z"))
    try:
        chain = trust.issuers.issued_chain(certificate, extra, max(at, not_before))
        # itself it is too new to stand in a CRL
        trust.issuers.check_issuers(chain, at)
    except RemoteCmpError as error:
        raise CheckError(
            Reason.CHAIN,
            f"the certificate: {error.what}",
            hint=error.hint or "is --trusted (or --out-trusted) the anchor of this CA?",
        ) from error
    if witness is not None:
        witness(passed(Reason.CHAIN, _path(chain)))
    weak = strength.of_certificate(
        certificate.said, certificate.public_key, is_anchor=not chain
    ) or weak_path(chain)
    Verdicts(witness).judged(Reason.CERTIFICATE_WEAK, weak, allow_weak=allow_weak)
    return chain, changed


def weak_path(path: tuple[bytes, ...]) -> str:
    """What is weak in the certificates of a path (DER, the anchor last); empty for nothing."""
    for place, der in enumerate(path, 1):
        weak = _weak_member(der, is_anchor=place == len(path))
        if weak:
            return f"{weak}, in the certificate of {_name(_subject(der))}"
    return ""


@lru_cache(maxsize=REMEMBERED)
def _weak_member(der: bytes, *, is_anchor: bool) -> str:
    certificate = load_certificate(der)
    try:
        key = protection.public_key_of(certificate)
    except RemoteCmpError:
        return "a key that can't be judged"
    return strength.of_certificate(certificate, key, is_anchor=is_anchor)


def _path(chain: tuple[bytes, ...]) -> str:
    """The names of a certificate's issuers."""
    return "itself an anchor" if not chain else " / ".join(_name(_subject(der)) for der in chain)


@lru_cache(maxsize=REMEMBERED)
def _subject(der: bytes) -> bytes | None:
    try:
        return load_certificate(der).subject.public_bytes()
    except (RemoteCmpError, ValueError, TypeError):
        return None


def same_name(one: bytes | None, other: bytes | None) -> bool:
    """Whether two DER Names are equal: same RDNs, same values, whatever their string types."""
    if one == other:
        return one is not None
    if one is None or other is None:
        return False
    try:
        return _parsed(one) == _parsed(other)
    except ValueError:
        return False


def _parsed(name: bytes) -> x509.Name:
    try:
        return x509.Name.from_bytes(name)
    except TypeError as error:
        # a BIT STRING where the attribute takes none
        raise ValueError(str(error)) from error


def _name(name: bytes | None) -> str:
    if name is None:
        return "not a directoryName"
    try:
        return _parsed(name).rfc4514_string() or "the NULL-DN"
    except ValueError:
        return f"an unreadable Name {name.hex()}"


def _hex(octets: bytes | None) -> str:
    return "none" if octets is None else octets.hex() or "empty"
