"""Which certificate is whose, and where a CA and a journal differ."""

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import x25519
from cryptography.hazmat.primitives.serialization import Encoding

from bulkcmp.cmp.algorithms import key_digest
from bulkcmp.cmp.evidence import Evidence as Trusted
from bulkcmp.cmp.trust import Trust, TrustStore
from bulkcmp.engine.crl import Revocations, checked_revocations
from bulkcmp.engine.reconciliation.comparison import Evidence, Findings, compare
from bulkcmp.engine.reconciliation.ledger import Held, Ledger, named_by
from bulkcmp.inputs.issued import Issued, Standing
from bulkcmp.inputs.name import parse_name
from bulkcmp.inputs.source import Place
from bulkcmp.journal.entry import EarlierTransaction
from bulkcmp.model import (
    DifferenceKind,
    EndEntity,
    Operation,
    Outcome,
    OutcomeClass,
    RevocationReason,
    RowResult,
)
from tests.engine.reconciliation.authority import (
    CA,
    CA_KEY,
    DAY,
    KEYS,
    NOW,
    authority,
    certificate,
    pkcs8,
)

HOUR = dt.timedelta(hours=1)
BEGAN = NOW - 3 * HOUR
ENDED = NOW - 2 * HOUR
KIND = DifferenceKind
Found = set[tuple[DifferenceKind, int, int]]


def row(
    number: int = 1, outcome: OutcomeClass = OutcomeClass.ISSUED, **fields: object
) -> RowResult:
    made = RowResult(
        number,
        number + 1,
        f"dev{number}",
        Operation.IR,
        Outcome(outcome),
        transaction_id=f"{number:032x}",
        requested_subject=f"CN=dev{number}",
        finished_at=ENDED,
    )
    return replace(made, **fields)  # type: ignore[arg-type]  # fields by their names


def issued(serial: int, standing: Standing = Standing.VALID, **fields: object) -> Issued:
    made = Issued(Place("list.csv", serial, serial), serial, standing=standing)
    return replace(made, **fields)  # type: ignore[arg-type]  # fields by their names


def ledger(*rows: RowResult | tuple[RowResult, bytes]) -> Ledger:
    made = Ledger(BEGAN)
    for one in rows:
        made.enter(*(one if isinstance(one, tuple) else (one, None)))
    return made


def found(
    made: Ledger,
    *listed: Issued,
    revocations: Revocations | None = None,
    listed_at: dt.datetime | None = NOW,
) -> Findings:
    made.close()
    for one in listed:
        made.take(one)
    return compare(made, Evidence(revocations, listed_at, standings=True), NOW)


def kinds(findings: Findings) -> Found:
    return {(one.kind, one.number, one.serial) for one in findings.differences}


def crl(*serials: int, made: dt.datetime = NOW) -> Revocations:
    entries = [
        x509.RevokedCertificateBuilder().serial_number(n).revocation_date(made - HOUR).build()
        for n in serials
    ]
    builder = x509.CertificateRevocationListBuilder(revoked_certificates=entries)
    der = (
        builder.issuer_name(CA)
        .last_update(made)
        .next_update(made + 9 * DAY)
        .sign(CA_KEY, hashes.SHA256())
        .public_bytes(Encoding.DER)
    )
    root = authority(CA_KEY)
    store = TrustStore([root])
    return checked_revocations([der], Trusted(Trust(store, store), (), NOW), "crl")


LOST = row(outcome=OutcomeClass.UNKNOWN, has_key=True)


@pytest.mark.parametrize(
    ("fields", "by"),
    [
        ({"key": key_digest(KEYS[0].public_key())}, "public key"),
        ({"transaction_id": bytes.fromhex(LOST.transaction_id)}, "transactionID"),
        ({"subject": parse_name("/CN=DEV1"), "issued_at": ENDED}, "subject and time"),
        # before the run, or long after the row
        ({"subject": parse_name("/CN=dev1"), "issued_at": BEGAN - 2 * HOUR}, ""),
        ({"subject": parse_name("/CN=dev1"), "issued_at": ENDED + 2 * HOUR}, ""),
        ({"subject": parse_name("/CN=dev1")}, ""),
        ({"subject": parse_name("/CN=dev2"), "issued_at": ENDED}, ""),
        ({"subject": b"\x30\x80", "issued_at": ENDED}, ""),
        ({"key": b"another's", "transaction_id": b"another's"}, ""),
    ],
)
def test_whose_a_lost_certificate_is(fields: dict[str, Any], by: str) -> None:
    findings = found(ledger((LOST, pkcs8(KEYS[0]))), issued(7, **fields))
    assert {one.by for one in findings.differences} == ({by} if by else set())
    assert findings.unissued == (not by)


def test_names_in_another_order_are_the_same() -> None:
    made = ledger(replace(LOST, requested_subject="CN=dev1,O=Acme,C=SE"))
    other = issued(7, subject=parse_name("C=SE,O=Acme,CN=dev1"), issued_at=ENDED)
    assert kinds(found(made, other)) == {(KIND.ORPHANED, 1, 7)}


def test_what_several_rows_share_finds_none_of_them() -> None:
    twin = replace(LOST, number=2, transaction_id=LOST.transaction_id)
    made = ledger((LOST, pkcs8(KEYS[0])), (twin, pkcs8(KEYS[0])))
    one = issued(
        7,
        key=key_digest(KEYS[0].public_key()),
        transaction_id=bytes.fromhex(LOST.transaction_id),
        subject=parse_name("/CN=dev1"),
        issued_at=ENDED,
    )
    assert kinds(found(made, one)) == set()


def test_rows_that_a_ca_has_nothing_for() -> None:
    told = replace(LOST, cmd=Operation.GENM)
    bad = replace(LOST, number=2, cmd=None)
    assert ledger(told, bad).accounts == {}
    # a key for key agreement, and a certificate that was refused as malformed
    made = ledger((LOST, pkcs8(x25519.X25519PrivateKey.generate())))
    made.enter(replace(LOST, number=2, certificate=b"damaged"), None)
    assert made.unread == 2


def test_a_row_that_was_cut_off_is_not_known() -> None:
    findings = found(ledger(row(outcome=OutcomeClass.TO_DO)))
    assert findings.unissued == 1
    fresh = row(outcome=OutcomeClass.TO_DO, transaction_id="")
    one = issued(7, subject=parse_name("/CN=dev1"), issued_at=ENDED)
    assert kinds(found(ledger(fresh), one)) == set()


def test_several_valid_certificates_of_a_row() -> None:
    own = row(certificate=certificate(7))
    earlier = [
        EarlierTransaction(1, b"earlier", certificate(6)),
        EarlierTransaction(1, b"lost", None),
        EarlierTransaction(1, b"damaged", b"?"),
        EarlierTransaction(9, b"of no row", None),
    ]
    made = ledger(own)
    made.enter_earlier(earlier)
    listed = [
        issued(7),
        issued(6, issuer=CA.public_bytes()),
        issued(5, transaction_id=b"lost"),
        issued(4, Standing.REVOKED, transaction_id=b"lost"),
        issued(3, transaction_id=b"lost", not_after=NOW - DAY),
    ]
    findings = found(made, *listed)
    orphans = {(KIND.ORPHANED, 1, serial) for serial in (3, 4, 5)}
    assert kinds(findings) == {*orphans, (KIND.DOUBLE, 1, 6), (KIND.DOUBLE, 1, 5)}
    # without one that the journal has, the last one counts
    lost = ledger(LOST)
    lost.enter_earlier(earlier[1:2])
    two = [issued(8, transaction_id=b"lost"), issued(9, transaction_id=b"lost")]
    assert (KIND.DOUBLE, 1, 8) in kinds(found(lost, *two))


def test_the_same_number_of_another_ca_is_another_certificate() -> None:
    made = ledger(row(certificate=certificate(7)))
    other = issued(7, issuer=parse_name("/CN=another"))
    assert kinds(found(made, other)) == {(KIND.MISSING, 1, 7)}


def test_what_a_row_renews_is_no_lost_certificate_of_it() -> None:
    """Not even where it has the same key, and was issued an hour ago."""
    renewed = row(cmd=Operation.KUR, certificate=certificate(7))
    key = key_digest(KEYS[0].public_key())
    name: dict[str, Any] = {
        "subject": parse_name("/CN=dev1"),
        "issued_at": BEGAN,
        "issuer": CA.public_bytes(),
    }
    listed = issued(7), issued(6, key=key, **name), issued(5, **name)
    assert (KIND.ORPHANED, 1, 5) in kinds(found(made := ledger(renewed), *listed))
    assert made.unrelated == 1
    known = ledger(renewed)
    for serial in (5, 6):
        known.enter_predecessor(Held(serial, CA.public_bytes()))
    assert kinds(found(known, *listed)) == set()
    assert known.unrelated == 0
    # one of another CA has its number by chance
    other = ledger(renewed)
    other.enter_predecessor(Held(5, parse_name("/CN=another")))
    assert (KIND.ORPHANED, 1, 5) in kinds(found(other, *listed))


def test_a_certificate_is_not_missed_in_an_older_list() -> None:
    made = ledger(row(certificate=certificate(7)))
    findings = found(made, listed_at=ENDED - HOUR)
    assert kinds(findings) == set()
    assert (findings.too_late, findings.untold, findings.agreed) == (1, 1, 0)


@pytest.mark.parametrize(
    ("outcome", "standing", "kind"),
    [
        (OutcomeClass.ISSUED, Standing.VALID, None),
        (OutcomeClass.ISSUED, Standing.ARCHIVED, None),
        (OutcomeClass.ISSUED, Standing.UNCONFIRMED, KIND.UNCONFIRMED),
        (OutcomeClass.ISSUED, Standing.REVOKED, KIND.REVOKED),
        (OutcomeClass.ISSUED_REFUSED, Standing.REVOKED, None),
        (OutcomeClass.ISSUED_REFUSED, Standing.VALID, KIND.NOT_REVOKED),
        (OutcomeClass.ISSUED_REFUSED, Standing.UNCONFIRMED, KIND.NOT_REVOKED),
        (OutcomeClass.ISSUED_REFUSED, Standing.ARCHIVED, None),
    ],
)
def test_what_the_ca_says_of_a_certificate(
    outcome: OutcomeClass, standing: Standing, kind: DifferenceKind | None
) -> None:
    made = ledger(row(outcome=outcome, certificate=certificate(7)))
    assert kinds(found(made, issued(7, standing))) == (set() if kind is None else {(kind, 1, 7)})


@pytest.mark.parametrize(
    ("outcome", "off_hold", "standing", "kind"),
    [
        (OutcomeClass.REVOKED, False, Standing.REVOKED, None),
        (OutcomeClass.REVOKED, False, Standing.VALID, KIND.NOT_REVOKED),
        (OutcomeClass.REVOKED, True, Standing.REVOKED, KIND.REVOKED),
        (OutcomeClass.REVOKED, True, Standing.VALID, None),
        (OutcomeClass.UNKNOWN, False, Standing.REVOKED, KIND.REVOKED),
        (OutcomeClass.UNKNOWN, False, Standing.VALID, None),
        (OutcomeClass.UNKNOWN, True, Standing.REVOKED, None),
        (OutcomeClass.REJECTED, False, Standing.REVOKED, None),
    ],
)
def test_what_the_ca_says_of_a_revocation(
    outcome: OutcomeClass, off_hold: bool, standing: Standing, kind: DifferenceKind | None
) -> None:
    made = ledger(row(outcome=outcome, cmd=Operation.RR), row(2, cmd=Operation.RR))
    made.enter_revocation(1, Held(7, CA.public_bytes()), off_hold=off_hold)
    made.enter_revocation(9, Held(8, CA.public_bytes()), off_hold=False)
    findings = found(made, issued(7, standing))
    assert kinds(findings) == (set() if kind is None else {(kind, 1, 7)})
    assert made.unnamed == 1


def revoking(finished_at: dt.datetime = ENDED, days: float | None = None) -> Ledger:
    made = ledger(row(outcome=OutcomeClass.REVOKED, cmd=Operation.RR, finished_at=finished_at))
    end = None if days is None else NOW + days * DAY
    made.enter_revocation(1, Held(7, CA.public_bytes(), end), off_hold=False)
    return made


def test_what_a_crl_proves_of_a_revocation() -> None:
    def by_crl(made: Ledger, revocations: Revocations) -> Findings:
        return found(made, revocations=revocations, listed_at=None)

    assert by_crl(revoking(), crl(7)).agreed == 1
    assert kinds(by_crl(revoking(), crl(8))) == {(KIND.NOT_REVOKED, 1, 7)}
    # made before the revocation
    late = by_crl(revoking(), crl(8, made=ENDED - HOUR))
    assert (kinds(late), late.too_late) == (set(), 1)
    # it need not have a certificate that is over
    over = by_crl(revoking(days=-5), crl(8))
    assert (kinds(over), over.untold) == (set(), 1)
    # made within the same second
    same = by_crl(revoking(NOW + dt.timedelta(milliseconds=900)), crl(8))
    assert kinds(same) == {(KIND.NOT_REVOKED, 1, 7)}
    # it says nothing of another CA's
    other = ledger(row(outcome=OutcomeClass.REVOKED, cmd=Operation.RR))
    other.enter_revocation(1, Held(7, parse_name("/CN=else")), off_hold=False)
    assert by_crl(other, crl(8)).untold == 1


def test_a_crl_outweighs_a_list() -> None:
    made = ledger(row(certificate=certificate(7)), LOST_TWO)
    listed = [issued(7), issued(9, issuer=CA.public_bytes(), transaction_id=b"\x02")]
    findings = found(made, *listed, revocations=crl(7, 9))
    assert kinds(findings) == {(KIND.REVOKED, 1, 7), (KIND.ORPHANED, 2, 9)}
    assert {one.ca for one in findings.differences} == {"revoked (unspecified)"}
    assert findings.differences[0].source == "CRL"
    # which does not say of a certificate whether it is valid
    silent = issued(7, Standing.UNTOLD)
    assert found(ledger(row(certificate=certificate(7))), silent, revocations=crl()).agreed == 1
    assert found(ledger(row(certificate=certificate(7))), silent).agreed == 1


LOST_TWO = replace(row(2, OutcomeClass.UNKNOWN), transaction_id="02")


def test_what_an_rr_is_for() -> None:
    blank = EndEntity(1, 2, "x", Operation.RR, revocation_reason=RevocationReason.SUPERSEDED)
    assert named_by(blank) is None
    assert named_by(replace(blank, old_cert=b"?")) is None
    assert named_by(replace(blank, serial=7, issuer=b"n")) == Held(7, b"n")
    for named in (
        replace(blank, old_cert=certificate(7)),
        replace(blank, cert=(certificate(7), b"chain")),
    ):
        held = named_by(named)
        assert held is not None
        assert (held.serial, held.issuer) == (7, CA.public_bytes())
