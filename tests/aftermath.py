"""What must hold of a run and of its CA, whatever happened to the run."""

import hashlib
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from bulkcmp.cmp import algorithms
from bulkcmp.journal.journal import Journal
from bulkcmp.model import Operation, OutcomeClass, RowResult, Secret
from bulkcmp.testca.store import CertificateStatus, IssuedCertificate

Part = tuple[bytes, int]
"""A transaction, and the number of a row in it."""

_MAKES_KEYS = frozenset({Operation.IR, Operation.CR})

_GIVEN_UP = frozenset(
    one.value
    for one in (
        OutcomeClass.UNKNOWN,
        OutcomeClass.UNANSWERED,
        OutcomeClass.NOT_SENT,
        OutcomeClass.TO_DO,
    )
)
"""Outcomes of transactions after which a row may begin another."""


@dataclass(frozen=True)
class Transaction:
    """What a row's part of a transaction came to, as the journal has it."""

    outcome: str | None
    certificate: bytes | None


@dataclass(frozen=True)
class Aftermath:
    """A run as its journal has it, and what the CA issued in it.

    Attributes:
        rows: with their keys, PKCS#8 DER.
        issued: to users whose names end in the numbers of their rows.
    """

    transactions: Mapping[Part, Transaction]
    rows: Sequence[tuple[RowResult, bytes | None]]
    issued: Sequence[IssuedCertificate]

    @classmethod
    def read(
        cls, folder: Path, issued: Iterable[IssuedCertificate], passphrase: str | None
    ) -> "Aftermath":
        """Read a run's journal, wherever that is, and leave it as it is."""
        with tempfile.TemporaryDirectory() as name:
            # who opens the journal mends it, which is what `resume` is to do
            for file in folder.glob("journal.*"):
                shutil.copy(file, name)
            with Journal.open(Path(name)) as journal:
                journal.unlock(None if passphrase is None else Secret(passphrase.encode()))
                rows = list(journal.results(with_keys=True))
                found = journal._store.read(
                    "SELECT transaction_id, number, outcome, certificate FROM part"
                    " WHERE {where}TRUE"
                )
        transactions = {(one, number): Transaction(*rest) for one, number, *rest in found}
        return cls(transactions, rows, list(issued))

    def check_promises(self, *, confirms: bool = True, makes_keys: bool = True) -> None:
        """What holds at each moment: what was done at the CA was written down before.

        Args:
            confirms: certificates are confirmed by a certConf, and not as they are issued.
            makes_keys: they are not the CA's, which come with the certificates.
        """
        for part, one in self.at_ca():
            assert part in self.transactions, "a request left that was not recorded"
            if confirms and one.status is CertificateStatus.CONFIRMED:
                stored = self.transactions[part].certificate
                assert stored == one.der, "a certificate is confirmed that is not stored"
        keys = set()
        for row, key in self.rows:
            if key is None:
                wants = row.cmd in _MAKES_KEYS and row.transaction_id
                assert not wants or not (makes_keys or row.certificate), "a key is lost"
                continue
            own = algorithms.public_key_info(algorithms.load_signing_key(key))
            assert own not in keys, "two rows have one key"
            keys.add(own)
            if row.certificate is not None and row.outcome.outcome.is_issued:
                certificate = x509.load_der_x509_certificate(row.certificate)
                assert algorithms.public_bytes(certificate.public_key()) == own

    def check_ended(self, *, makes_keys: bool = True) -> None:
        """What holds once a run has come to its end: each row was done once, or is named unknown,
        and so is all besides that the CA may have done."""
        self.check_promises(confirms=False, makes_keys=makes_keys)
        own = self.own()
        for (transaction_id, number), transaction in self.transactions.items():
            is_last = own.get(number) == transaction_id
            assert is_last or transaction.outcome in _GIVEN_UP
        at_ca = dict(self.at_ca())
        for part in at_ca:
            transaction_id, number = part
            outcome = self.transactions[part].outcome
            assert own.get(number) == transaction_id or outcome == OutcomeClass.UNKNOWN.value
        for row, _ in self.rows:
            outcome = row.outcome.outcome
            assert outcome.is_done or outcome is OutcomeClass.UNKNOWN, row
            if outcome is OutcomeClass.ISSUED:
                one = at_ca[bytes.fromhex(row.transaction_id), row.number]
                assert one.status is CertificateStatus.CONFIRMED
                assert one.der == row.certificate

    def own(self) -> dict[int, bytes]:
        """The transaction of each row that decided on it."""
        return {
            row.number: bytes.fromhex(row.transaction_id)
            for row, _ in self.rows
            if row.transaction_id
        }

    def at_ca(self) -> Iterable[tuple[Part, IssuedCertificate]]:
        """What the CA issued, and in which part of which transaction."""
        for one in self.issued:
            assert one.transaction_id is not None
            assert one.user is not None
            yield (one.transaction_id, int(one.user[-6:])), one


def check_files(folder: Path) -> None:
    """The outputs of a run that came to its end: all whole, all listed, none half written."""
    assert not list(folder.rglob("*.tmp")), "a file was left half written"
    assert not list(folder.rglob("*.draft"))
    listed = {}
    for line in (folder / "SHA256SUMS").read_text().splitlines():
        digest, _, name = line.partition("  ")
        listed[name] = digest
    for name, digest in listed.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest, name
    certs = {str(path.relative_to(folder)) for path in folder.glob("certs/*")}
    assert certs == {name for name in listed if name.startswith("certs/")}
    for path in folder.glob("certs/*.pem"):
        assert path.read_text().endswith("-----\n"), path
