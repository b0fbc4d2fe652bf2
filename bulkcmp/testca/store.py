"""The CA's books, in SQLite: end entities, issued certificates, CMP transactions.

A commit is a write to the WAL, not an fsync (`synchronous=NORMAL`): a killed process loses
nothing, a power failure may lose the newest answers, which a CA for tests can bear.
"""

import datetime as dt
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import IntEnum, StrEnum
from functools import cached_property
from pathlib import Path
from typing import Final

from bulkcmp.errors import BulkcmpError, InputError, Where
from bulkcmp.model import RevocationReason, Secret

SCHEMA_VERSION: Final = 7
_BUSY_SECONDS: Final = 30.0
_SECRET_LIFE: Final = dt.timedelta(days=1)
"""How long a transaction with a KEM-based MAC may take."""
_SECRETS: Final = 10_000
"""KEM secrets that are kept beside those of transactions that are under way: anybody may ask for
one in the name of a certificate's holder."""
_CHECKPOINT_PAGES: Final = 10_000
"""Pages of 4 KiB; only a checkpoint waits for the disk, in the midst of some request."""

_SCHEMA: Final = """
CREATE TABLE alias (
  name TEXT PRIMARY KEY,
  secret BLOB NOT NULL          -- what requests at this alias share
) WITHOUT ROWID;
CREATE TABLE end_entity (
  user TEXT PRIMARY KEY,
  alias TEXT NOT NULL,          -- where it was registered, or enrolled first
  subject BLOB NOT NULL,        -- DER Name
  secret BLOB,
  status INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE certificate (
  number INTEGER PRIMARY KEY,   -- in the order of issuing; a key that grows is cheap to insert
  serial TEXT NOT NULL UNIQUE,  -- lower-case hex
  der BLOB NOT NULL,
  subject BLOB NOT NULL,        -- DER Name
  key_identifier BLOB NOT NULL, -- SHA-1 of the public key (RFC 5280, 4.2.1.2)
  alias TEXT,
  user TEXT,
  is_ra INTEGER NOT NULL,
  transaction_id BLOB,
  status TEXT NOT NULL,
  reason INTEGER,               -- CRLReason
  issued_at TEXT NOT NULL,
  revoked_at TEXT
);
CREATE INDEX certificate_by_key ON certificate (key_identifier);
CREATE INDEX certificate_by_revocation ON certificate (revoked_at) WHERE revoked_at IS NOT NULL;
CREATE TABLE crl (
  number INTEGER PRIMARY KEY,   -- cRLNumber; the newest one only is kept
  der BLOB NOT NULL,
  this_update TEXT NOT NULL,
  current INTEGER NOT NULL      -- 0 once a certificate's revocation has changed
);
CREATE TABLE information (
  info_type TEXT PRIMARY KEY,   -- dotted; of what a genp tells
  value BLOB NOT NULL           -- DER infoValue
) WITHOUT ROWID;
CREATE TABLE pki_transaction (
  number INTEGER PRIMARY KEY,
  transaction_id BLOB NOT NULL UNIQUE,
  alias TEXT NOT NULL,
  requester BLOB NOT NULL,
  nonce BLOB NOT NULL,          -- our last senderNonce
  earlier_nonce BLOB,           -- the one before
  message BLOB                  -- the PKIMessage, while a request of it waits
);
CREATE TABLE cert_request (
  pki_transaction INTEGER NOT NULL REFERENCES pki_transaction (number),
  cert_req_id INTEGER NOT NULL,
  state TEXT NOT NULL,
  polls_left INTEGER NOT NULL,
  serial TEXT,                  -- of its certificate
  PRIMARY KEY (pki_transaction, cert_req_id)
) WITHOUT ROWID;
CREATE TABLE encapsulated_secret (
  transaction_id BLOB PRIMARY KEY,
  shared_secret BLOB NOT NULL,
  ciphertext BLOB NOT NULL,
  serial TEXT NOT NULL,         -- of the certificate for whose key it is
  nonce BLOB,                   -- senderNonce of the genp that brought it, if that was only one
  made_at TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX encapsulated_secret_by_time ON encapsulated_secret (made_at);
CREATE TABLE decapsulated_secret (
  transaction_id BLOB PRIMARY KEY,
  shared_secret BLOB NOT NULL,
  serial TEXT NOT NULL,         -- of the CA's certificate for whose key it was encapsulated
  made_at TEXT NOT NULL
) WITHOUT ROWID;
"""


class EndEntityStatus(IntEnum):
    """What an end entity may do next; numbers and names are EJBCA's."""

    NEW = 10
    FAILED = 11
    GENERATED = 40


class CertificateStatus(StrEnum):
    """How a certificate stands, by its end entity and by whoever asked to have it revoked."""

    PENDING = "pending confirmation"
    CONFIRMED = "confirmed"
    REJECTED = "rejected"
    """Refused by its end entity in a certConf."""
    REVOKED = "revoked"


class RequestState(StrEnum):
    """How far a request for a certificate has come."""

    WAITING = "waiting"
    DEFERRED = "deferred"
    """No request but the whole answer waits."""
    UNCONFIRMED = "unconfirmed"
    CONFIRMED = "confirmed"
    REJECTED = "rejected"
    """By the CA, or its certificate by the end entity."""


OPEN_STATES: Final = (RequestState.WAITING, RequestState.DEFERRED, RequestState.UNCONFIRMED)
"""The states in which something is still to come."""


@dataclass(frozen=True, slots=True)
class Registration:
    """An end entity in the CA's books.

    Attributes:
        user: its name, unique at this CA.
        alias: where it was registered, or enrolled first.
        subject: DER Name of its certificates.
    """

    user: str
    alias: str
    subject: bytes
    secret: Secret | None = None
    status: EndEntityStatus = EndEntityStatus.NEW


@dataclass(frozen=True, slots=True)
class IssuedCertificate:
    """A certificate in the CA's books.

    Attributes:
        subject: DER Name.
        key_identifier: subject key identifier.
        alias, user, transaction_id: how it was asked for; None for the RA's own.
        reason: why it was revoked.
    """

    serial: int
    der: bytes = field(repr=False)
    subject: bytes
    key_identifier: bytes
    alias: str | None
    user: str | None
    is_ra: bool
    transaction_id: bytes | None
    status: CertificateStatus
    issued_at: dt.datetime
    reason: RevocationReason | None = None
    revoked_at: dt.datetime | None = None

    @property
    def is_on_hold(self) -> bool:
        """Whether it is revoked for a time only (RFC 5280, 5.3.1)."""
        return self.reason is RevocationReason.CERTIFICATE_HOLD


@dataclass(frozen=True, slots=True)
class CertRequestState:
    """One request for a certificate among those of a transaction.

    Attributes:
        polls_left: how many more pollReqs it takes, while it waits.
        serial: of the certificate that was issued.
    """

    cert_req_id: int
    state: RequestState
    polls_left: int = 0
    serial: int | None = None


@dataclass(frozen=True, slots=True)
class Transaction:
    """A CMP transaction.

    Attributes:
        requester: `Requester.identity` of who began it.
        nonce: senderNonce of the CA's last message in it,
        earlier_nonce: and of the one before: who lost the last one repeats that.
        message: DER of the PKIMessage that began it, while a request of it waits.
        requests: by certReqId.
    """

    transaction_id: bytes
    alias: str
    requester: bytes
    nonce: bytes
    requests: tuple[CertRequestState, ...]
    message: bytes | None = field(default=None, repr=False)
    earlier_nonce: bytes | None = None

    def answered(self, nonce: bytes) -> "Transaction":
        """The same transaction after another message of the CA's."""
        return replace(self, nonce=nonce, earlier_nonce=self.nonce)


@dataclass(frozen=True, slots=True)
class EncapsulatedSecret:
    """What a KEM-based MAC of a transaction is made of.

    Attributes:
        serial: of the certificate for whose key it was encapsulated.
        nonce: senderNonce of the genp that brought the ciphertext; None where several did.
        made_at: aware.
    """

    transaction_id: bytes
    shared_secret: bytes = field(repr=False)
    ciphertext: bytes = field(repr=False)
    serial: int
    nonce: bytes | None
    made_at: dt.datetime


@dataclass(frozen=True, slots=True)
class DecapsulatedSecret:
    """What the KEM-based MACs of the answers in a transaction are made of.

    Attributes:
        serial: of the CA's certificate for whose key it was encapsulated.
        made_at: aware.
    """

    transaction_id: bytes
    shared_secret: bytes = field(repr=False)
    serial: int
    made_at: dt.datetime


@dataclass(frozen=True, slots=True)
class PublishedCrl:
    """A CRL in the CA's books.

    Attributes:
        number: cRLNumber.
        this_update: aware, of whole seconds.
        current: no certificate's revocation has changed since.
    """

    number: int
    der: bytes = field(repr=False)
    this_update: dt.datetime
    current: bool = True


class Store:
    """One connection to the books; used in the thread that made it."""

    def __init__(self, path: Path, *, create: bool = False) -> None:
        """
        Args:
            create: make the file if there is none, readable by its owner alone; nobody else may
                have it open meanwhile.

        Raises:
            InputError: there is no such file (without `create`), or it is of another kind or
                version.
            BulkcmpError: it can't be read or written.
        """
        self._path = path
        if create:
            self._make_private()
        elif not path.is_file():
            raise InputError(
                "there is no CA in this folder",
                where=Where(str(path.parent)),
                hint="`bulkcmp ca serve` or `bulkcmp ca init` makes one",
            )
        self._db = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
        try:
            if create:
                # kept in the file; SQLite does not wait for others here, so the maker is alone
                self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
            (self._version,) = self._db.execute("PRAGMA user_version").fetchone()
        except sqlite3.DatabaseError as error:
            self._db.close()
            raise InputError(
                f"not the books of a CA: {error}",
                where=Where(str(path)),
                hint="name the folder that `bulkcmp ca init` made",
            ) from error
        if self._version not in (0, SCHEMA_VERSION):
            self._db.close()
            raise InputError(
                f"the CA's books have version {self._version}, this bulkcmp reads {SCHEMA_VERSION}",
                where=Where(str(path)),
                hint="make a new CA: bulkcmp ca init --state FOLDER",
            )

    def _make_private(self) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            os.close(os.open(self._path, flags, 0o600))
        except FileExistsError:
            # not opened: to close it would take SQLite's locks from this process
            return
        except OSError as error:
            raise BulkcmpError(
                f"can't be made: {error.strerror or error}", where=Where(str(self._path))
            ) from error

    def close(self) -> None:
        self._db.close()

    @property
    def is_complete(self) -> bool:
        """Whether the CA's making was finished."""
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        return bool(version == SCHEMA_VERSION)

    def complete(self, secrets: dict[str, Secret]) -> None:
        """Lay out empty books, with the secrets of aliases; within `writing`, they are whole."""
        for statement in _SCHEMA.split(";\n"):
            self._db.execute(statement)
        self._db.executemany(
            "INSERT INTO alias VALUES (?, ?)",
            [(name, secret.reveal()) for name, secret in secrets.items()],
        )
        self._db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Do what the block does wholly, committed at its end, or not at all.

        Raises:
            BulkcmpError: another process holds the books, or the disk refuses.
        """
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            finally:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
        except sqlite3.OperationalError as error:
            raise BulkcmpError(
                f"the CA's books can't be written: {error}", where=Where(str(self._path))
            ) from error

    def alias_secret(self, alias: str) -> Secret | None:
        """What requests at an alias share, if they do; it is as it was made with the books."""
        return self._alias_secrets.get(alias)

    @cached_property
    def _alias_secrets(self) -> dict[str, Secret]:
        rows = self._db.execute("SELECT name, secret FROM alias")
        return {name: Secret(secret) for name, secret in rows}

    # --- end entities

    def registration(self, user: str) -> Registration | None:
        """The end entity of that name, if there is one."""
        row = self._db.execute(
            "SELECT user, alias, subject, secret, status FROM end_entity WHERE user = ?", (user,)
        ).fetchone()
        if row is None:
            return None
        name, alias, subject, secret, status = row
        return Registration(
            name,
            alias,
            subject,
            None if secret is None else Secret(secret),
            EndEntityStatus(status),
        )

    def register(self, registrations: Iterable[Registration], *, replace: bool = False) -> int:
        """Enter end entities, all of them or none.

        Args:
            replace: give those that are known already their new secret, subject and status.

        Returns:
            How many were entered.

        Raises:
            InputError: one of them is known already.
        """
        count = 0
        with self.writing():
            for one in registrations:
                if not replace and self.registration(one.user) is not None:
                    raise InputError(
                        f"end entity {one.user!r} is registered already; none was added",
                        hint="--replace gives it the new secret and subject and status NEW",
                    )
                self._db.execute(
                    "INSERT OR REPLACE INTO end_entity VALUES (?, ?, ?, ?, ?)",
                    (
                        one.user,
                        one.alias,
                        one.subject,
                        None if one.secret is None else one.secret.reveal(),
                        int(one.status),
                    ),
                )
                count += 1
        return count

    def record_enrolled(self, user: str, alias: str, subject: bytes) -> None:
        """An end entity got a certificate; one that was not known is known from now on."""
        self._db.execute(
            "INSERT INTO end_entity VALUES (?, ?, ?, NULL, ?) ON CONFLICT (user)"
            " DO UPDATE SET subject = excluded.subject, status = excluded.status",
            (user, alias, subject, int(EndEntityStatus.GENERATED)),
        )

    def set_status(self, user: str, status: EndEntityStatus) -> None:
        """Set the status of an end entity; nothing where there is none of that name."""
        self._db.execute("UPDATE end_entity SET status = ? WHERE user = ?", (int(status), user))

    def end_entity_counts(self) -> dict[str, int]:
        """How many end entities have each status."""
        rows = self._db.execute("SELECT status, count(*) FROM end_entity GROUP BY status")
        return {EndEntityStatus(status).name: count for status, count in rows}

    # --- certificates

    def add_certificate(self, certificate: IssuedCertificate) -> None:
        """Enter a certificate; its serial number is that of no other."""
        self._db.execute(
            f"INSERT INTO certificate ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 # a constant
            (
                f"{certificate.serial:x}",
                certificate.der,
                certificate.subject,
                certificate.key_identifier,
                certificate.alias,
                certificate.user,
                certificate.is_ra,
                certificate.transaction_id,
                certificate.status.value,
                None if certificate.reason is None else certificate.reason.value,
                certificate.issued_at.isoformat(),
                None if certificate.revoked_at is None else certificate.revoked_at.isoformat(),
            ),
        )

    def certificate(self, serial: int) -> IssuedCertificate | None:
        """The certificate of that serial number, if there is one."""
        row = self._db.execute(
            f"SELECT {_COLUMNS} FROM certificate WHERE serial = ?",  # noqa: S608 # a constant
            (f"{serial:x}",),
        ).fetchone()
        return None if row is None else _certificate(row)

    def certificates_of_key(self, key_identifier: bytes) -> list[IssuedCertificate]:
        """The certificates with a subject key identifier."""
        rows = self._db.execute(
            f"SELECT {_COLUMNS} FROM certificate WHERE key_identifier = ?",  # noqa: S608 # a constant
            (key_identifier,),
        )
        return [_certificate(row) for row in rows]

    def certificates(self) -> Iterator[IssuedCertificate]:
        """Every issued certificate, oldest first; the root is not among them."""
        rows = self._db.execute(
            f"SELECT {_COLUMNS} FROM certificate ORDER BY number"  # noqa: S608 # a constant
        )
        return map(_certificate, rows)

    def set_certificate_status(
        self,
        serial: int,
        status: CertificateStatus,
        *,
        reason: RevocationReason | None = None,
        revoked_at: dt.datetime | None = None,
    ) -> None:
        """Record what a certificate has become; the CRL is out of date if that is seen in it."""
        self._db.execute(
            "UPDATE crl SET current = 0 WHERE ? OR EXISTS"
            " (SELECT 1 FROM certificate WHERE serial = ? AND revoked_at IS NOT NULL)",
            (revoked_at is not None, f"{serial:x}"),
        )
        self._db.execute(
            "UPDATE certificate SET status = ?, reason = ?, revoked_at = ? WHERE serial = ?",
            (
                status.value,
                None if reason is None else reason.value,
                None if revoked_at is None else revoked_at.isoformat(),
                f"{serial:x}",
            ),
        )

    def certificate_counts(self) -> dict[str, int]:
        """How many certificates have each status; the RA's own is not counted."""
        rows = self._db.execute(
            "SELECT status, count(*) FROM certificate WHERE NOT is_ra GROUP BY status"
        )
        counts = dict.fromkeys((status.value for status in CertificateStatus), 0)
        return counts | dict(rows)

    # --- the CRL

    def revoked_certificates(self) -> Iterator[IssuedCertificate]:
        """The certificates that are revoked, on hold or rejected, in the order of that."""
        rows = self._db.execute(
            f"SELECT {_COLUMNS} FROM certificate WHERE revoked_at IS NOT NULL"  # noqa: S608 # a constant
            " ORDER BY revoked_at, number"
        )
        return map(_certificate, rows)

    def crl(self) -> PublishedCrl | None:
        """The newest CRL."""
        row = self._db.execute("SELECT number, der, this_update, current FROM crl").fetchone()
        if row is None:
            return None
        number, der, this_update, current = row
        return PublishedCrl(number, der, dt.datetime.fromisoformat(this_update), bool(current))

    def publish_crl(self, crl: PublishedCrl) -> None:
        """Enter a CRL; it takes the place of the one before."""
        self._db.execute("DELETE FROM crl")
        self._db.execute(
            "INSERT INTO crl VALUES (?, ?, ?, ?)",
            (crl.number, crl.der, crl.this_update.isoformat(), crl.current),
        )

    # --- information

    def information(self, info_type: str) -> bytes | None:
        """DER infoValue that an operator had entered for a dotted infoType."""
        row = self._db.execute(
            "SELECT value FROM information WHERE info_type = ?", (info_type,)
        ).fetchone()
        return None if row is None else bytes(row[0])

    def set_information(self, info_type: str, value: bytes | None) -> None:
        """Enter what is told of an infoType from now on; None: that there is none."""
        self._db.execute("DELETE FROM information WHERE info_type = ?", (info_type,))
        if value is not None:
            self._db.execute("INSERT INTO information VALUES (?, ?)", (info_type, value))

    # --- transactions

    def transaction(self, transaction_id: bytes) -> Transaction | None:
        """The transaction of that transactionID, under way or over, if there was one."""
        row = self._db.execute(
            "SELECT number, transaction_id, alias, requester, nonce, message, earlier_nonce"
            " FROM pki_transaction WHERE transaction_id = ?",
            (transaction_id,),
        ).fetchone()
        if row is None:
            return None
        number, key, alias, requester, nonce, message, earlier_nonce = row
        rows = self._db.execute(
            "SELECT cert_req_id, state, polls_left, serial FROM cert_request"
            " WHERE pki_transaction = ? ORDER BY cert_req_id",
            (number,),
        )
        requests = tuple(
            CertRequestState(
                cert_req_id,
                RequestState(state),
                polls_left,
                None if serial is None else int(serial, 16),
            )
            for cert_req_id, state, polls_left, serial in rows
        )
        return Transaction(key, alias, requester, nonce, requests, message, earlier_nonce)

    def add_transaction(self, transaction: Transaction) -> None:
        """Enter a transaction that begins, with its requests."""
        number = self._db.execute(
            "INSERT INTO pki_transaction (transaction_id, alias, requester, nonce, message)"
            " VALUES (?, ?, ?, ?, ?)",
            (
                transaction.transaction_id,
                transaction.alias,
                transaction.requester,
                transaction.nonce,
                transaction.message,
            ),
        ).lastrowid
        self._db.executemany(
            "INSERT INTO cert_request (state, polls_left, serial, pki_transaction, cert_req_id)"
            " VALUES (?, ?, ?, ?, ?)",
            [(*_progress(one), number, one.cert_req_id) for one in transaction.requests],
        )

    def update_transaction(self, transaction: Transaction) -> None:
        """Record how far a transaction and its requests have come."""
        key = transaction.transaction_id
        self._db.execute(
            "UPDATE pki_transaction SET nonce = ?, earlier_nonce = ?, message = ?"
            " WHERE transaction_id = ?",
            (transaction.nonce, transaction.earlier_nonce, transaction.message, key),
        )
        self._db.executemany(
            "UPDATE cert_request SET state = ?, polls_left = ?, serial = ? WHERE pki_transaction ="
            " (SELECT number FROM pki_transaction WHERE transaction_id = ?) AND cert_req_id = ?",
            [(*_progress(one), key, one.cert_req_id) for one in transaction.requests],
        )

    def remove_transaction(self, transaction_id: bytes) -> None:
        """Forget a transaction, and its requests."""
        self._db.execute(
            "DELETE FROM cert_request WHERE pki_transaction ="
            " (SELECT number FROM pki_transaction WHERE transaction_id = ?)",
            (transaction_id,),
        )
        self._db.execute("DELETE FROM pki_transaction WHERE transaction_id = ?", (transaction_id,))

    def encapsulated_secret(self, transaction_id: bytes) -> EncapsulatedSecret | None:
        """What was encapsulated for the requester of a transaction, if that asked by genm."""
        row = self._db.execute(
            "SELECT shared_secret, ciphertext, serial, nonce, made_at FROM encapsulated_secret"
            " WHERE transaction_id = ?",
            (transaction_id,),
        ).fetchone()
        if row is None:
            return None
        secret, ciphertext, serial, nonce, made_at = row
        return EncapsulatedSecret(
            transaction_id,
            secret,
            ciphertext,
            int(serial, 16),
            nonce,
            dt.datetime.fromisoformat(made_at),
        )

    def add_secret(self, secret: EncapsulatedSecret) -> None:
        """Keep a secret for its transaction, which has none yet.

        Those that are old are forgotten, and, where there are too many, the oldest of them, but for
        those of transactions that are under way.
        """
        oldest = (secret.made_at - _SECRET_LIFE).isoformat()
        self._db.execute("DELETE FROM encapsulated_secret WHERE made_at < ?", (oldest,))
        self._db.execute(
            "DELETE FROM encapsulated_secret WHERE made_at <= (SELECT made_at FROM"
            " encapsulated_secret ORDER BY made_at DESC LIMIT 1 OFFSET ?) AND NOT EXISTS (SELECT 1"
            " FROM pki_transaction JOIN cert_request ON pki_transaction = number WHERE"
            " pki_transaction.transaction_id = encapsulated_secret.transaction_id"
            " AND state IN (?, ?, ?))",
            (_SECRETS, *(state.value for state in OPEN_STATES)),
        )
        self._db.execute(
            "INSERT INTO encapsulated_secret VALUES (?, ?, ?, ?, ?, ?)",
            (
                secret.transaction_id,
                secret.shared_secret,
                secret.ciphertext,
                f"{secret.serial:x}",
                secret.nonce,
                secret.made_at.isoformat(),
            ),
        )

    def repeat_secret(self, transaction_id: bytes) -> None:
        """Note that the ciphertext of a transaction was told again, by another genp."""
        self._db.execute(
            "UPDATE encapsulated_secret SET nonce = NULL WHERE transaction_id = ?",
            (transaction_id,),
        )

    def decapsulated_secret(self, transaction_id: bytes) -> DecapsulatedSecret | None:
        """What the requester of a transaction encapsulated for the CA, if it did."""
        row = self._db.execute(
            "SELECT shared_secret, serial, made_at FROM decapsulated_secret"
            " WHERE transaction_id = ?",
            (transaction_id,),
        ).fetchone()
        if row is None:
            return None
        secret, serial, made_at = row
        return DecapsulatedSecret(
            transaction_id, secret, int(serial, 16), dt.datetime.fromisoformat(made_at)
        )

    def keep_decapsulated(self, secret: DecapsulatedSecret) -> None:
        """Keep a secret for its transaction; those that are old are forgotten."""
        oldest = (secret.made_at - _SECRET_LIFE).isoformat()
        self._db.execute("DELETE FROM decapsulated_secret WHERE made_at < ?", (oldest,))
        self._db.execute(
            "INSERT OR REPLACE INTO decapsulated_secret VALUES (?, ?, ?, ?)",
            (
                secret.transaction_id,
                secret.shared_secret,
                f"{secret.serial:x}",
                secret.made_at.isoformat(),
            ),
        )

    def open_transactions(self) -> int:
        """How many transactions wait for a certificate or for their confirmation."""
        (count,) = self._db.execute(
            "SELECT count(DISTINCT pki_transaction) FROM cert_request WHERE state IN (?, ?, ?)",
            [state.value for state in OPEN_STATES],
        ).fetchone()
        return int(count)


def _progress(request: CertRequestState) -> tuple[str, int, str | None]:
    """The columns of a request that change."""
    serial = None if request.serial is None else f"{request.serial:x}"
    return request.state.value, request.polls_left, serial


_COLUMNS: Final = (
    "serial, der, subject, key_identifier, alias, user, is_ra, transaction_id, status, reason,"
    " issued_at, revoked_at"
)

_Row = tuple[
    str, bytes, bytes, bytes, str | None, str | None, int, bytes | None, str, int | None, str,
    str | None,
]  # fmt: skip


def _certificate(row: _Row) -> IssuedCertificate:
    (
        serial, der, subject, key_identifier, alias, user, is_ra, transaction_id, status, reason,
        issued_at, revoked_at,
    ) = row  # fmt: skip
    return IssuedCertificate(
        serial=int(serial, 16),
        der=der,
        subject=subject,
        key_identifier=key_identifier,
        alias=alias,
        user=user,
        is_ra=bool(is_ra),
        transaction_id=transaction_id,
        status=CertificateStatus(status),
        issued_at=dt.datetime.fromisoformat(issued_at),
        reason=None if reason is None else RevocationReason(reason),
        revoked_at=None if revoked_at is None else dt.datetime.fromisoformat(revoked_at),
    )
