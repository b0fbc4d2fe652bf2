"""Where a CA and a journal differ."""

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from bulkcmp.cmp.crl import Revocation
from bulkcmp.engine.crl import Revocations
from bulkcmp.engine.reconciliation.ledger import Account, By, Held, Ledger
from bulkcmp.inputs.issued import Issued, Standing
from bulkcmp.model import Difference, DifferenceKind, OutcomeClass

_CRL: Final = "CRL"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a CA says, besides the lists that the ledger has taken in.

    Attributes:
        revocations: of its CRLs; None without.
        listed_at: when the newest of its lists was written; None without lists.
        standings: the lists say which certificates are valid.
    """

    revocations: Revocations | None
    listed_at: dt.datetime | None
    standings: bool


@dataclass(slots=True)
class Findings:
    """What came of a comparison.

    Attributes:
        agreed: rows with a certificate, or a revocation, of which the CA says the same.
        untold: the same of which the evidence says nothing.
        too_late: of these, rows that ended after the evidence was made.
        unissued: rows with an uncertain outcome for which the lists have no certificate.
    """

    differences: list[Difference] = field(default_factory=list)
    agreed: int = 0
    untold: int = 0
    too_late: int = 0
    unissued: int = 0

    def counts(self) -> dict[DifferenceKind, int]:
        found = Counter(one.kind for one in self.differences)
        return {kind: found[kind] for kind in DifferenceKind}


def compare(ledger: Ledger, evidence: Evidence, now: dt.datetime) -> Findings:
    """Compare every row with what the CA says.

    Args:
        ledger: closed, with what the CA's lists have.
        now: aware; what is over by then is not valid.
    """
    findings = Findings()
    comparing = _Comparing(ledger, evidence, now, findings)
    for account in ledger.accounts.values():
        before = len(findings.differences)
        told = comparing.look_at(account)
        if account.own is None:
            continue
        if len(findings.differences) == before:
            findings.agreed += told
            findings.untold += not told
    return findings


class _Comparing:
    def __init__(
        self, ledger: Ledger, evidence: Evidence, now: dt.datetime, findings: Findings
    ) -> None:
        self._evidence = evidence
        self._now = now
        self._findings = findings
        self._revoked = _looked_up(ledger, evidence.revocations)

    def look_at(self, account: Account) -> bool:
        """Note how a row differs, and return whether anything was told of its own certificate."""
        if account.revokes:
            return account.own is not None and self._look_at_revocation(account, account.own)
        self._look_at_strangers(account)
        self._look_at_doubles(account)
        if account.own is not None:
            return self._look_at_own(account, account.own)
        if self._evidence.listed_at is not None and account.outcome.is_uncertain:
            self._findings.unissued += not account.found
        return False

    def _look_at_strangers(self, account: Account) -> None:
        """Certificates of the row that the journal has not."""
        for issued, by in account.found.values():
            if not account.has(issued.serial):
                self._note(DifferenceKind.ORPHANED, account, issued.serial, issued, by)

    def _look_at_doubles(self, account: Account) -> None:
        """Certificates that are valid besides the row's own, or besides the newest."""
        valid = [
            serial
            for serial, (issued, _) in account.found.items()
            if self._standing(account, serial) in (Standing.VALID, Standing.UNCONFIRMED)
            and (issued.not_after is None or issued.not_after > self._now)
        ]
        own = None if account.own is None else account.own.serial
        kept = own if own in valid else (valid[-1] if valid else None)
        for serial in valid:
            if serial != kept:
                issued, by = account.found[serial]
                self._note(DifferenceKind.DOUBLE, account, serial, issued, by)

    def _look_at_own(self, account: Account, own: Held) -> bool:
        issued, by = account.found.get(own.serial, (None, By.SERIAL))
        standing = self._standing(account, own.serial)
        if standing is Standing.REVOKED and not account.is_refused:
            self._note(DifferenceKind.REVOKED, account, own.serial, issued, by)
        elif issued is None and self._evidence.listed_at is not None:
            if self._is_later(account, self._evidence.listed_at):
                self._findings.too_late += 1
                return False
            self._note(DifferenceKind.MISSING, account, own.serial, None, by)
        elif account.is_refused:
            self._refuse_validity(account, own, standing, issued, by)
        elif standing is Standing.UNCONFIRMED:
            self._note(DifferenceKind.UNCONFIRMED, account, own.serial, issued, by)
        return issued is not None or standing is not Standing.UNTOLD

    def _look_at_revocation(self, account: Account, own: Held) -> bool:
        issued, by = account.found.get(own.serial, (None, By.SERIAL))
        standing = self._standing(account, own.serial)
        is_done = account.outcome is OutcomeClass.REVOKED
        if standing is Standing.REVOKED:
            if account.takes_off_hold is is_done and (is_done or account.outcome.is_uncertain):
                self._note(DifferenceKind.REVOKED, account, own.serial, issued, by)
        elif is_done and not account.takes_off_hold:
            return self._refuse_validity(account, own, standing, issued, by)
        return standing is not Standing.UNTOLD

    def _refuse_validity(
        self, account: Account, own: Held, standing: Standing, issued: Issued | None, by: By
    ) -> bool:
        """Note a certificate that should be revoked, and is valid as far as the CA says."""
        if standing not in (Standing.VALID, Standing.UNCONFIRMED):
            return False
        as_of = self._evidence.listed_at
        if issued is None or issued.standing is Standing.UNTOLD:
            assert self._evidence.revocations is not None, "who else says that it is valid?"
            as_of = self._evidence.revocations.as_of(own.issuer)
            if own.not_after is not None and as_of is not None and own.not_after < as_of:
                # RFC 5280, 3.3: it need not be in a CRL any more
                return False
        if as_of is None or self._is_later(account, as_of):
            self._findings.too_late += 1
            return False
        self._note(DifferenceKind.NOT_REVOKED, account, own.serial, issued, by)
        return True

    @staticmethod
    def _is_later(account: Account, as_of: dt.datetime) -> bool:
        """Whether a row ended after the evidence was made; times of CRLs are whole seconds."""
        ended = account.finished_at
        return ended is not None and ended.replace(microsecond=0) > as_of

    def _standing(self, account: Account, serial: int) -> Standing:
        """What the CA says of a row's certificate; that it is revoked outweighs all else."""
        if (account.number, serial) in self._revoked:
            return Standing.REVOKED
        issued, _ = account.found.get(serial, (None, None))
        if issued is not None and issued.standing is not Standing.UNTOLD:
            return issued.standing
        issuer = _issuer(account, serial, issued)
        revocations = self._evidence.revocations
        covered = revocations is not None and issuer is not None and revocations.covers(issuer)
        return Standing.VALID if covered else Standing.UNTOLD

    def _note(
        self, kind: DifferenceKind, account: Account, serial: int, issued: Issued | None, by: By
    ) -> None:
        revocation = self._revoked.get((account.number, serial))
        standing = self._standing(account, serial)
        reason = issued.reason if issued is not None and revocation is None else None
        if revocation is not None:
            reason = revocation.reason
        said = "not known" if kind is DifferenceKind.MISSING else standing.value
        if reason is not None:
            said = f"{said} ({reason.name.lower()})"
        from_list = revocation is None and issued is not None
        self._findings.differences.append(
            Difference(
                kind,
                account.number,
                account.line,
                account.id,
                serial,
                account.subject,
                account.outcome.value,
                said,
                by.value,
                _place(issued) if issued is not None and from_list else _CRL,
                None if issued is None else issued.issued_at,
                (None if issued is None else issued.revoked_at)
                if revocation is None
                else revocation.at,
                account.transaction_id,
                None if issued is None else issued.certificate,
            )
        )


def _place(issued: Issued) -> str:
    place = issued.place
    return place.file if place.line is None else f"{place.file}:{place.line}"


def _issuer(account: Account, serial: int, issued: Issued | None) -> bytes | None:
    for held in (account.own, *account.earlier):
        if held is not None and held.serial == serial:
            return held.issuer
    return None if issued is None else issued.issuer


def _looked_up(
    ledger: Ledger, revocations: Revocations | None
) -> dict[tuple[int, int], Revocation]:
    """What CRLs say of all certificates of all rows, by row and serial number: each CRL is walked
    over once for each issuer."""
    if revocations is None:
        return {}
    wanted: dict[bytes, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    for account in ledger.accounts.values():
        for serial, issuer in _certificates(account):
            wanted[issuer][serial].append(account.number)
    return {
        (number, serial): revocation
        for issuer, serials in wanted.items()
        for serial, revocation in revocations.statuses(issuer, serials).items()
        for number in serials[serial]
    }


def _certificates(account: Account) -> Iterator[tuple[int, bytes]]:
    """Serial number and issuer of all that is known of a row."""
    for held in (account.own, *account.earlier):
        if held is not None:
            yield held.serial, held.issuer
    for issued, _ in account.found.values():
        if issued.issuer is not None and not account.has(issued.serial):
            yield issued.serial, issued.issuer
