"""What the journal of a run has, to be found again in what a CA says."""

import datetime as dt
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple, TypeVar

from cryptography import x509

from bulkcmp.cmp.algorithms import key_digest, load_private_key
from bulkcmp.cmp.checks import same_name
from bulkcmp.errors import BulkcmpError, InputError
from bulkcmp.inputs.issued import Issued
from bulkcmp.inputs.name import parse_name
from bulkcmp.journal.entry import EarlierTransaction
from bulkcmp.model import EndEntity, Operation, OutcomeClass, RowResult

K = TypeVar("K", bound=Hashable)

_SLACK: Final = dt.timedelta(hours=1)
"""By which clocks, and certificates that begin before they were made, may differ."""


class By(StrEnum):
    """How a certificate of a CA's list was found to be a row's."""

    SERIAL = "serial number"
    KEY = "public key"
    TRANSACTION = "transactionID"
    NAME = "subject and time"
    """Probably: another may have asked for the same name at that time."""


class Held(NamedTuple):
    """A certificate that the journal has, or that a row revokes."""

    serial: int
    issuer: bytes
    not_after: dt.datetime | None = None


@dataclass(slots=True)
class Account:
    """A row of the run, and what was found of it.

    Attributes:
        own: the certificate of its last transaction, or the one that it revokes; earlier: those of
            transactions before.
        begun: a request of it left, or may have.
        revokes: it is an rr; holds_off: one that takes a certificate off hold.
        has_key: the journal has its private key.
        found: what the CA's lists have for it, by serial number, and how it was found.
    """

    number: int
    line: int
    id: str
    cmd: Operation
    outcome: OutcomeClass
    subject: str
    transaction_id: str
    finished_at: dt.datetime | None
    has_key: bool
    begun: bool
    own: Held | None = None
    earlier: list[Held] = field(default_factory=list)
    takes_off_hold: bool = False
    found: dict[int, tuple[Issued, By]] = field(default_factory=dict)

    @property
    def revokes(self) -> bool:
        return self.cmd is Operation.RR

    @property
    def is_refused(self) -> bool:
        """Whether its certificate is one that we rejected."""
        return self.outcome is OutcomeClass.ISSUED_REFUSED

    def has(self, serial: int) -> bool:
        """Whether the journal has a certificate of that number for it."""
        return any(serial == one.serial for one in (self.own, *self.earlier) if one is not None)


class Ledger:
    """The rows of a run, by all that a CA may tell of what it issued to them.

    Args:
        began_at: when the run began, aware; None where its journal does not say it.

    Attributes:
        accounts: of the rows that a CA may have something for, in their order.
        unread: rows whose keys can't be told, for they are sealed or of no type that is known.
        unnamed: rows that revoke a certificate which the population does not name.
        unrelated: rows that renew one, where the population names none.
    """

    def __init__(self, began_at: dt.datetime | None) -> None:
        self._began_at = began_at
        self.accounts: dict[int, Account] = {}
        self._by_serial: dict[int, list[Account]] = {}
        self._by_key: dict[bytes, Account | None] = {}
        self._by_transaction: dict[bytes, Account | None] = {}
        self._by_name: dict[bytes, Account | None] = {}
        self._predecessors: dict[int, list[Held]] = {}
        self.unread = 0
        self.unnamed = 0
        self.unrelated = 0

    def enter(self, row: RowResult, key: bytes | None) -> None:
        """Take a row in, with its private key (PKCS#8 DER) where that is unsealed."""
        if row.cmd is None or not (row.cmd.certifies or row.cmd is Operation.RR):
            return
        outcome = row.outcome.outcome
        if row.transaction_id and outcome is OutcomeClass.TO_DO:
            # cut off, and not taken up again yet
            outcome = OutcomeClass.UNKNOWN
        account = self.accounts[row.number] = Account(
            row.number,
            row.line,
            row.id,
            row.cmd,
            outcome,
            row.subject or row.requested_subject,
            row.transaction_id,
            row.finished_at,
            row.has_key,
            bool(row.transaction_id),
        )
        if account.revokes:
            return
        if row.transaction_id:
            _enter(self._by_transaction, bytes.fromhex(row.transaction_id), account)
        digest = None if row.certificate is None else self._enter_own(account, row.certificate)
        if digest is None and key is not None:
            digest = _digest(key)
        if digest is not None:
            _enter(self._by_key, digest, account)
        elif row.has_key:
            self.unread += 1
        if (name := _name_key(account.subject)) is not None:
            _enter(self._by_name, name, account)

    def _enter_own(self, account: Account, der: bytes) -> bytes | None:
        """Take a row's certificate in, and return the digest of its key."""
        read = _read(der)
        if read is None:
            return None
        account.own, digest = read
        self._by_serial.setdefault(account.own.serial, []).append(account)
        return digest

    def enter_earlier(self, transactions: Iterable[EarlierTransaction]) -> None:
        """Take in what rows did before their last transaction."""
        for one in transactions:
            account = self.accounts.get(one.number)
            if account is None or account.revokes:
                continue
            _enter(self._by_transaction, one.transaction_id, account)
            read = None if one.certificate is None else _read(one.certificate)
            if read is not None:
                account.earlier.append(read[0])
                self._by_serial.setdefault(read[0].serial, []).append(account)

    def enter_revocation(self, number: int, held: Held, *, off_hold: bool) -> None:
        """Take in which certificate a row revokes, or takes off hold."""
        account = self.accounts.get(number)
        if account is not None and account.revokes:
            account.own, account.takes_off_hold = held, off_hold
            self._by_serial.setdefault(held.serial, []).append(account)

    def enter_predecessor(self, held: Held) -> None:
        """Take in a certificate that a row asked for another one in the place of, or with: whatever
        it shares with the row, it came before."""
        self._predecessors.setdefault(held.serial, []).append(held)

    def close(self) -> None:
        """All is taken in."""
        accounts = self.accounts.values()
        self.unnamed = sum(one.revokes and one.own is None for one in accounts)
        if not self._predecessors:
            self.unrelated = sum(one.cmd is Operation.KUR for one in accounts)

    def take(self, issued: Issued) -> bool:
        """Note a certificate of a CA's list with the row that it is of; False if it is of none."""
        found = list(self._match(issued))
        for account, by in found:
            account.found[issued.serial] = issued, by
        return bool(found)

    def _match(self, issued: Issued) -> Iterator[tuple[Account, By]]:
        known = [
            account for account in self._by_serial.get(issued.serial, ()) if _is_of(account, issued)
        ]
        yield from ((account, By.SERIAL) for account in known)
        if any(not account.revokes for account in known) or self._is_predecessor(issued):
            return
        candidates = (
            (None if issued.key is None else self._by_key.get(issued.key), By.KEY),
            (
                None
                if issued.transaction_id is None
                else self._by_transaction.get(issued.transaction_id),
                By.TRANSACTION,
            ),
            (self._named(issued), By.NAME),
        )
        for account, by in candidates:
            if account is not None:
                yield account, by
                return

    def _is_predecessor(self, issued: Issued) -> bool:
        return any(
            issued.issuer is None or same_name(one.issuer, issued.issuer)
            for one in self._predecessors.get(issued.serial, ())
        )

    def _named(self, issued: Issued) -> Account | None:
        """The row that asked for this name at about this time."""
        if issued.subject is None or issued.issued_at is None or self._began_at is None:
            return None
        name = _key_of(issued.subject)
        account = None if name is None else self._by_name.get(name)
        if account is None or not account.begun or issued.issued_at < self._began_at - _SLACK:
            return None
        late = account.finished_at is not None and issued.issued_at > account.finished_at + _SLACK
        return None if late else account


def named_by(row: EndEntity) -> Held | None:
    """The certificate that a row is about: that it revokes, renews, or asks with."""
    if row.serial is not None and row.issuer is not None:
        return Held(row.serial, row.issuer)
    der = row.old_cert or (row.cert[0] if row.cert else None)
    read = None if der is None else _read(der)
    return None if read is None else read[0]


def _enter(index: dict[K, Account | None], key: K, account: Account) -> None:
    """Enter an account under a key; two of them under one are none."""
    index[key] = account if index.get(key, account) is account else None


def _is_of(account: Account, issued: Issued) -> bool:
    """Whether a certificate of the right serial number is of the right issuer, if that is told."""
    held = (account.own, *account.earlier)
    issuers = [one.issuer for one in held if one is not None and one.serial == issued.serial]
    return issued.issuer is None or any(same_name(one, issued.issuer) for one in issuers)


def _read(der: bytes) -> tuple[Held, bytes] | None:
    """A certificate, and the digest of its key; None where it can't be read."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        held = Held(
            certificate.serial_number,
            certificate.issuer.public_bytes(),
            certificate.not_valid_after_utc,
        )
        return held, key_digest(certificate.public_key())
    except Exception:
        # stored as it came, refused as malformed: cryptography raises whatever it likes
        return None


def _digest(pkcs8: bytes) -> bytes | None:
    try:
        return key_digest(load_private_key(pkcs8).public_key())
    except BulkcmpError:
        # a key for key agreement, which is found by the transaction
        return None


def _name_key(text: str) -> bytes | None:
    try:
        return _key_of(parse_name(text)) if text else None
    except InputError:
        return None


def _key_of(name: bytes) -> bytes | None:
    """What is the same for names of the same attributes, in whichever order they are written."""
    try:
        parsed = x509.Name.from_bytes(name)
    except ValueError:
        return None
    parts = sorted(f"{one.oid.dotted_string}={one.value!s}".casefold() for one in parsed)
    return "\0".join(parts).encode() or None
