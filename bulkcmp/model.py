"""Frozen value types that every layer shares. No behaviour beyond parsing and naming themselves."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import Final

from bulkcmp.errors import InputError


class Secret:
    """Secret bytes (a password, a MAC secret) that no repr, str, format or traceback shows."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = value

    def reveal(self) -> bytes:
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


@dataclass(frozen=True, slots=True)
class TokenKey:
    """A private key on a PKCS#11 token: where it is, never what it is.

    Attributes:
        uri: RFC 7512, without a query.
        module: path of the PKCS#11 library, or its name for the system's loader.
        pin: of the token's user; None where the token asks for none.
        public_key: DER SubjectPublicKeyInfo of a key to certify; empty where a certificate has it.
    """

    uri: str
    module: str
    pin: Secret | None = None
    public_key: bytes = field(default=b"", compare=False)


class Operation(StrEnum):
    """The CMP operation of a row, named as in `openssl cmp -cmd`."""

    IR = "ir"
    CR = "cr"
    KUR = "kur"
    P10CR = "p10cr"
    RR = "rr"
    GENM = "genm"

    @property
    def certifies(self) -> bool:
        """Whether it asks for a certificate."""
        return self not in (Operation.RR, Operation.GENM)


class RevocationReason(Enum):
    """CRLReason (RFC 5280, 5.3.1): name as users write it, number as it is encoded."""

    UNSPECIFIED = 0
    KEY_COMPROMISE = 1
    CA_COMPROMISE = 2
    AFFILIATION_CHANGED = 3
    SUPERSEDED = 4
    CESSATION_OF_OPERATION = 5
    CERTIFICATE_HOLD = 6
    REMOVE_FROM_CRL = 8
    PRIVILEGE_WITHDRAWN = 9
    AA_COMPROMISE = 10


class Popo(StrEnum):
    """Proof-of-possession methods (RFC 4211, 4; RFC 9810, 5.2.8)."""

    SIGNATURE = "signature"
    KEY_ENCIPHERMENT = "keyEncipherment"
    """By the hash of a certificate that comes encrypted to its key (encrCert)."""
    KEY_AGREEMENT = "keyAgreement"
    """The same, of a key that agrees on a secret."""
    RA_VERIFIED = "raVerified"
    NONE = "none"
    """No proof at all, where the RA or CA has its own."""

    @property
    def is_indirect(self) -> bool:
        """Whether the certificate comes encrypted."""
        return self in (Popo.KEY_ENCIPHERMENT, Popo.KEY_AGREEMENT)


class KeyFamily(StrEnum):
    RSA = "rsa"
    EC = "ec"
    ED25519 = "ed25519"
    ED448 = "ed448"
    ML_DSA = "ml-dsa"
    ML_KEM = "ml-kem"

    def proves_by(self, popo: Popo) -> bool:
        """Whether keys of this family prove by that method that we have them."""
        return popo in _PROOFS.get(self, (Popo.SIGNATURE,)) or popo in _NO_PROOFS


_PROOFS: dict[KeyFamily, tuple[Popo, ...]] = {
    KeyFamily.RSA: (Popo.SIGNATURE, Popo.KEY_ENCIPHERMENT),
    KeyFamily.EC: (Popo.SIGNATURE, Popo.KEY_AGREEMENT),
    KeyFamily.ML_KEM: (Popo.KEY_ENCIPHERMENT,),
}
_NO_PROOFS = (Popo.RA_VERIFIED, Popo.NONE)
"""What is said of a key, and takes none."""


_KEY_PARAMETERS: dict[KeyFamily, tuple[str, ...]] = {
    KeyFamily.RSA: ("2048", "3072", "4096"),
    KeyFamily.EC: ("P-256", "P-384", "P-521"),
    KeyFamily.ED25519: ("",),
    KeyFamily.ED448: ("",),
    KeyFamily.ML_DSA: ("44", "65", "87"),
    KeyFamily.ML_KEM: ("768", "1024"),
}

_DASHED = (KeyFamily.ML_DSA, KeyFamily.ML_KEM)
"""Families whose parameter follows a dash, as in FIPS 203 and 204."""

SIGNING_KEY_SPECS = "rsa:2048|3072|4096, ec:P-256|P-384|P-521, ed25519, ed448, ml-dsa-44|65|87"
KEY_SPECS = f"{SIGNING_KEY_SPECS}, ml-kem-768|1024"


@dataclass(frozen=True, slots=True)
class KeySpec:
    """The type of a key to make: `rsa:2048`, `ec:P-256`, `ed25519`, `ml-dsa-65` …"""

    family: KeyFamily
    parameter: str = ""

    @classmethod
    def every(cls) -> Iterator["KeySpec"]:
        """All that there are, in the order of their families."""
        for family, parameters in _KEY_PARAMETERS.items():
            for parameter in parameters:
                yield cls(family, parameter)

    @classmethod
    def parse(cls, text: str) -> "KeySpec":
        """Read a key spec; the curve's case does not matter.

        Raises:
            InputError: `text` names no key type that bulkcmp makes.
        """
        name, _, parameter = text.strip().partition(":")
        name = name.lower()
        for family in _DASHED:
            if name.startswith(f"{family}-") and not parameter:
                name, parameter = family.value, name.removeprefix(f"{family}-")
        parameter = parameter.upper()
        for family, parameters in _KEY_PARAMETERS.items():
            if family == name and parameter in parameters:
                return cls(family, parameter)
        raise InputError(f"{text!r} is not a key spec", hint=f"key specs are {KEY_SPECS}")

    def __str__(self) -> str:
        if self.family in _DASHED:
            return f"{self.family}-{self.parameter}"
        return f"{self.family}:{self.parameter}" if self.parameter else self.family.value


class PasswordMac(StrEnum):
    """Password-based MACs (RFC 9481, 6.1), which differ in how the MAC's key is derived."""

    PBM = "pbm"
    """PasswordBasedMac: an iterated one-way function."""
    PBMAC1 = "pbmac1"
    """PBKDF2."""


class RsaPadding(StrEnum):
    """Signature schemes of RSA (RFC 9481, 3.1), named as in `openssl -sigopt rsa_padding_mode`."""

    PKCS1 = "pkcs1"
    PSS = "pss"


class AcceptProtection(StrEnum):
    """How answers may be protected."""

    EITHER = "either"
    """By a MAC with the secret that we share, or by a signature that `--trusted` stands behind."""
    SAME = "same"
    """As the request was."""
    MAC = "mac"
    SIGNATURE = "signature"


class SubjectCheck(StrEnum):
    """What an issued subject other than the requested one means.

    EXACT: the certificate is refused. RECORD: the row is done, both names are recorded.
    """

    EXACT = "exact"
    RECORD = "record"


class OutcomeClass(StrEnum):
    """What became of a row; the texts stand in results.csv and in every summary."""

    ISSUED = "issued"
    ISSUED_SUBJECT_CHANGED = "issued, subject changed"
    ISSUED_UNPROVEN = "issued, confirmation unproven"
    """A pkiconf came whose protection is bad."""
    ISSUED_CONFIRMATION_UNKNOWN = "issued, confirmation unknown"
    """The certificate is stored; whether the CA saw the certConf is not known."""
    ISSUED_CONFIRMATION_REFUSED = "issued, confirmation refused"
    """The CA answered the certConf with an error."""
    ISSUED_REFUSED = "issued, refused"
    """The certificate failed a local check; it is stored, for revocation."""
    ISSUED_FLAWED = "issued, breaks a lint rule"
    """Confirmed and stored; --lint-fail makes a failure of what --lint found."""
    REVOKED = "revoked"
    ANSWERED = "answered"
    """A genm got what it asked for, or that there is none."""
    REJECTED = "rejected"
    """The CA said no: PKIStatus rejection, an error message, or unsupportedOIDs."""
    REJECTED_UNAUTHENTICATED = "rejected, unauthenticated"
    """A no that nobody proved to come from the CA."""
    CREDENTIALS_REFUSED = "credentials refused"
    """A no whose failInfo says that our protection or our right is at fault."""
    BAD_RESPONSE = "bad response"
    """A response that fails a check before any certificate was taken from it."""
    UNKNOWN = "unknown outcome"
    """The request left and no usable answer came: the CA may have issued."""
    UNANSWERED = "unanswered"
    """A genm left and no usable answer came: nothing can have been issued by it."""
    STILL_WAITING = "still waiting"
    """The CA said `waiting` and the time limit passed; `resume` polls on."""
    NOT_SENT = "not sent"
    """No request byte was processed by the server."""
    HTTP_ERROR = "HTTP error"
    NOT_CMP = "not CMP"
    LOCAL_ERROR = "local error"
    """The request could not be built."""
    BAD_ROW = "bad row"
    """The row was skipped under --skip-bad-rows."""
    TO_DO = "to do"
    """Not taken up yet: the run was stopped before."""

    @property
    def is_done(self) -> bool:
        """True where the row reached what the user asked for (exit code 0)."""
        return self in _DONE

    @property
    def is_issued(self) -> bool:
        """True where the CA is known to have issued a certificate, good or not."""
        return self.value.startswith("issued")

    @property
    def is_deliverable(self) -> bool:
        """True where it issued what was asked for, and nothing is left to be done with the CA."""
        return self.is_issued and self.is_done

    @property
    def is_unproven(self) -> bool:
        """True where an answer came of which nobody proved that it is the CA's."""
        return self in _UNPROVEN

    @property
    def is_uncertain(self) -> bool:
        """True where the CA may have done what was asked for, without our knowing."""
        return self.is_unproven or self in (OutcomeClass.UNKNOWN, OutcomeClass.STILL_WAITING)


_DONE = frozenset(
    {
        OutcomeClass.ISSUED,
        OutcomeClass.ISSUED_SUBJECT_CHANGED,
        OutcomeClass.REVOKED,
        OutcomeClass.ANSWERED,
    }
)

_UNPROVEN = frozenset(
    {
        OutcomeClass.BAD_RESPONSE,
        OutcomeClass.REJECTED_UNAUTHENTICATED,
        OutcomeClass.HTTP_ERROR,
        OutcomeClass.NOT_CMP,
    }
)


LONGEST_TEXT: Final = 2000
"""Characters of a text of an outcome."""


def _cut(text: str) -> str:
    return f"{text[: LONGEST_TEXT - 1]}…"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of one transaction.

    Attributes:
        outcome: the class.
        reason: what exactly, in a few fixed words (`wrong recipNonce`, `connection lost` …);
            empty where the class says it all.
        detail: one line for a human; never part of a grouping.
        pki_status: PKIStatus number (RFC 9810, 5.2.3), if the CA gave one.
        fail_info: names of the PKIFailureInfo bits that were set.
        status_text: statusString of the CA, lines joined by ` / `; prefixed with
            `(unauthenticated) ` where the message that carried it was not proven.

    A peer may have a million octets to say, in each of its answers: of `detail` and `status_text`
    LONGEST_TEXT characters are kept.
    """

    outcome: OutcomeClass
    reason: str = ""
    detail: str = ""
    pki_status: int | None = None
    fail_info: tuple[str, ...] = ()
    status_text: str = ""

    def __post_init__(self) -> None:
        if len(self.detail) > LONGEST_TEXT:
            object.__setattr__(self, "detail", _cut(self.detail))
        if len(self.status_text) > LONGEST_TEXT:
            object.__setattr__(self, "status_text", _cut(self.status_text))


@dataclass(frozen=True, slots=True)
class RequestedExtension:
    """An extension that is asked for.

    Attributes:
        oid: its extnID, dotted.
        value: DER, what stands inside its OCTET STRING.
    """

    oid: str
    critical: bool
    value: bytes


@dataclass(frozen=True, slots=True)
class Itav:
    """An InfoTypeAndValue of a general message (RFC 9810, 5.3.19).

    Attributes:
        oid: its infoType, dotted.
        value: DER of its infoValue, or None.
    """

    oid: str
    value: bytes | None = None


@dataclass(frozen=True, slots=True)
class EndEntity:
    """One row of a population, read, checked and completed from the command line's defaults.

    Everything that a file or a template can give is resolved: names and extensions are DER, key
    and certificate files were read.

    Attributes:
        number: data row of the population, counted from 1 (the header is not counted).
        line: line of the file on which the row starts.
        id: unique in the population; names the row's files.
        subject: DER of the requested Name, or None where the request carries none.
        issuer: DER of the Name of the CA that the template names, or None.
        extensions: asked for in the template, no two of one extnID.
        new_key_spec: the key to make for this row, or
        new_key: PKCS#8 DER (not encrypted) of the key that a file gave, or where it is.
        central_keygen: the key is made at the CA (RFC 9483, 4.1.6), of the type of `new_key_spec`,
            or of whatever type the CA chooses.
        ref: reference value, sent as senderKID with MAC protection.
        secret: MAC secret.
        days: requested validity, days from its beginning, or
        not_after: its end, aware.
        not_before: its beginning, aware; now where it is None and days are given.
        profile: certProfile (RFC 9810, 5.1.1.4), sent in generalInfo.
        csr: DER of the PKCS#10 request, for p10cr.
        cert: DER of the credential's certificate, and the chain that its file held after it.
        key: PKCS#8 DER of the credential's key, or where that is.
        popo: proof of possession, for ir, cr and kur.
        old_cert: DER of the certificate to update or revoke.
        serial: of the certificate to revoke, which `issuer` issued, where `old_cert` is None.
        revocation_reason: for rr.
        infos: what a genm asks for, no two of one infoType.
        reg_token: regToken (RFC 4211, 6.1), UTF-8: one-time, made known to us by the CA.
        authenticator: authenticator (RFC 4211, 6.2), UTF-8: known to us and the CA for good.
        reg_info: the text of utf8Pairs (RFC 4211, 7.1).
        priority: rows with a lower number go first; rows without one go last.
        out_name: path of the row's files within their folder, without suffix; empty for the id's.
        out_pass: opens the row's key files, where those of the run have not one for all.
    """

    number: int
    line: int
    id: str
    cmd: Operation
    subject: bytes | None = None
    issuer: bytes | None = None
    extensions: tuple[RequestedExtension, ...] = ()
    new_key_spec: KeySpec | None = None
    new_key: bytes | TokenKey | None = field(default=None, repr=False)
    central_keygen: bool = False
    ref: str | None = None
    secret: Secret | None = None
    days: int | None = None
    not_before: dt.datetime | None = None
    not_after: dt.datetime | None = None
    profile: str | None = None
    csr: bytes | None = None
    cert: tuple[bytes, ...] = ()
    key: bytes | TokenKey | None = field(default=None, repr=False)
    popo: Popo = Popo.SIGNATURE
    old_cert: bytes | None = None
    serial: int | None = None
    revocation_reason: RevocationReason | None = None
    infos: tuple[Itav, ...] = ()
    reg_token: Secret | None = None
    authenticator: Secret | None = None
    reg_info: str | None = None
    priority: int | None = None
    out_name: str = ""
    out_pass: Secret | None = None


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row of a population that can't be used: every problem found in it, not only the first."""

    number: int
    line: int
    id: str
    problems: tuple[InputError, ...]


@dataclass(frozen=True, slots=True)
class Timings:
    """How long a transaction took, seconds; a step that did not happen is None.

    `request` is ir/cr/kur/p10cr/rr/genm to its first answer, `polling` from the first `waiting` to
    the final answer, `confirm` certConf to pkiconf.
    """

    service: float | None = None
    request: float | None = None
    polling: float | None = None
    confirm: float | None = None


class DeliveryState(StrEnum):
    """Whether an end entity's certificate was handed on (--on-issued)."""

    TO_DO = "to do"
    DELIVERED = "delivered"
    FAILED = "failed"
    """The last attempt failed; `resume` tries again."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """How the delivery of a row stands.

    Attributes:
        attempts: that came to an end, over all sessions.
        reason: why the last one failed; empty where none did.
    """

    state: DeliveryState = DeliveryState.TO_DO
    attempts: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class RowResult:
    """What results.csv says of one row.

    Attributes:
        transaction_id: hex, of the row's last transaction.
        certificate: DER of the issued certificate; chain: DER of its issuers, nearest first,
            trust anchor last.
        infos: what a genm was told and passed its checks.
        has_key: the run holds the row's private key.
        out_name: path of the row's files within their folder, without suffix; empty for the id's.
        out_pass: opens the row's key files, where it has one of its own and was asked for.
        requested_subject, subject: RFC 4514 texts of the asked and the issued name.
        attempts: transactions started for the row; sends: requests sent over all of them,
            repetitions included.
        finished_at: wall clock, UTC.
        delivery: means something where the row `is_deliverable`.
    """

    number: int
    line: int
    id: str
    cmd: Operation | None
    outcome: Outcome
    transaction_id: str = ""
    certificate: bytes | None = None
    chain: tuple[bytes, ...] = ()
    infos: tuple[Itav, ...] = ()
    serial: int | None = None
    requested_subject: str = ""
    subject: str = ""
    not_after: dt.datetime | None = None
    timings: Timings = Timings()
    attempts: int = 0
    sends: int = 0
    finished_at: dt.datetime | None = None
    has_key: bool = False
    out_name: str = ""
    out_pass: Secret | None = None
    delivery: Delivery = Delivery()

    @property
    def is_deliverable(self) -> bool:
        """True where there is a certificate that was asked for, and confirmed."""
        return self.outcome.outcome.is_deliverable


class DifferenceKind(StrEnum):
    """How a CA and a journal differ about a certificate."""

    ORPHANED = "orphaned"
    """Issued for a row of ours, and the journal does not have it."""
    UNCONFIRMED = "unconfirmed"
    """The CA waits for its confirmation."""
    MISSING = "missing"
    """The journal has it, and the CA does not know it."""
    DOUBLE = "double"
    """One of several that are valid for one row."""
    REVOKED = "revoked"
    """The CA has revoked it, and the journal does not say so."""
    NOT_REVOKED = "not revoked"
    """It is valid at the CA, and the journal says that it is revoked, or was refused."""


@dataclass(frozen=True, slots=True)
class Difference:
    """What reconciliation.csv says of one certificate.

    Attributes:
        number, line, id: of the row.
        journal: what the journal has of the row.
        ca: what the CA says of the certificate, in a few words.
        by: how it was found that it is the row's.
        source: where the CA says it: file and line of a list, or a CRL.
        certificate: DER, if the CA told it.
    """

    kind: DifferenceKind
    number: int
    line: int
    id: str
    serial: int
    subject: str
    journal: str
    ca: str
    by: str
    source: str
    issued_at: dt.datetime | None = None
    revoked_at: dt.datetime | None = None
    transaction_id: str = ""
    certificate: bytes | None = field(default=None, repr=False)


class ReportFormat(StrEnum):
    """What the report of a load test can be."""

    TEXT = "text"
    HTML = "html"
    JSON = "json"
    MARKDOWN = "md"
    JUNIT = "junit"
    CSV = "csv"
    JSONL = "jsonl"
    HGRM = "hgrm"
    PARQUET = "parquet"


@dataclass(frozen=True, slots=True)
class Profile:
    """How to talk CMP to one server; names as in `openssl cmp` where it has them.

    Attributes:
        recipient: DER of the Name to address; the NULL-DN where it is None.
        expect_sender: DER of the only Name that a response may come from, or None.
        digest: for signatures and as PBM's one-way function.
        rsa_padding: of our RSA signatures; a key that is certified for RSASSA-PSS makes no others.
        password_mac: which password-based MAC protects our messages; answers may have either.
        mac: the HMAC of the password-based MAC.
        pbm_iterations: iteration count of our own MACs.
        allow_weak: believe protection, and take certificates, below `bulkcmp.cmp.strength`.
        max_pbm_iterations: above it a response's MAC is refused, PBM or PBMAC1.
        implicit_confirm: ask for it; certConf is sent all the same where it is not granted.
        disable_confirm: send no certConf, whatever the CA awaits.
        rr_serial_only: name the certificate of an rr without its subject.
        accept_revoked: an rr for what is revoked already is done.
        unprotected_requests: send messages without protection.
        sign_requests: sign although there is a secret too, which then checks MAC'd answers.
        send_root: the root of our own chain travels in extraCerts too.
        accept_protection: how answers may be protected.
        subject_check: what another subject than the requested one means.
        ignore_keyusage: the signer's certificate may lack digitalSignature.
        unprotected_errors: believe a refusal that nobody signed.
        tolerate_pkiconf: believe a pkiconf whose protection is bad or missing.
        extra_certs: DER certificates that every request carries beside the credential's own chain.
        retries: how often a request that the server did not process is sent again.
        retry_fail_info: names of the failInfo bits after which a row is tried again, in a new
            transaction.
        retry_reused: send the same bytes once more when a reused connection ends without one
            byte of an answer.
        backoff_first, backoff_max: seconds before the first repetition, doubled up to the most.
        total_timeout: seconds for one transaction, polling included; 0 for no limit.
    """

    recipient: bytes | None = None
    expect_sender: bytes | None = None
    digest: str = "sha256"
    rsa_padding: RsaPadding = RsaPadding.PKCS1
    password_mac: PasswordMac = PasswordMac.PBM
    mac: str = "hmac-sha256"
    pbm_iterations: int = 1024
    allow_weak: bool = False
    max_pbm_iterations: int = 100_000
    implicit_confirm: bool = False
    disable_confirm: bool = False
    rr_serial_only: bool = False
    accept_revoked: bool = False
    unprotected_requests: bool = False
    sign_requests: bool = False
    send_root: bool = False
    accept_protection: AcceptProtection = AcceptProtection.EITHER
    subject_check: SubjectCheck = SubjectCheck.EXACT
    ignore_keyusage: bool = False
    unprotected_errors: bool = False
    tolerate_pkiconf: bool = False
    extra_certs: tuple[bytes, ...] = ()
    retries: int = 5
    retry_fail_info: frozenset[str] = frozenset()
    retry_reused: bool = False
    backoff_first: float = 0.5
    backoff_max: float = 30.0
    total_timeout: float = 600.0
