"""Which certificates of a CA's list are taken into the journal, and why others are not."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import pytest

from bulkcmp.cmp.events import Checkpoint, Part, Phase
from bulkcmp.cmp.trust import Trust, TrustStore
from bulkcmp.engine.reconciliation.adoption import ADOPTED, adopt
from bulkcmp.journal.entry import Advanced, Ended, Entry, RowState
from bulkcmp.journal.journal import Journal
from bulkcmp.model import Difference, DifferenceKind, Operation, OutcomeClass, SubjectCheck
from tests.engine.reconciliation.authority import (
    CA_KEY,
    KEYS,
    NOW,
    authority,
    certificate,
    pkcs8,
)

ORPHAN = Difference(
    DifferenceKind.ORPHANED, 1, 2, "dev1", 7, "CN=dev1", "unknown outcome", "valid", "public key",
    "list.csv:2", certificate=certificate(7),
)  # fmt: skip
CHECKPOINT = Checkpoint(b"t", b"n", b"n", None, b"", 0.0, (Part(1, Phase.REQUESTED, 0),))
STATE = RowState(1, OutcomeClass.UNKNOWN, CHECKPOINT, pkcs8(KEYS[0]))


class FakeJournal:
    """Has one row, and keeps what is written."""

    def __init__(self, state: RowState) -> None:
        self._state = state
        self.entries: list[Entry] = []

    def states(self, numbers: set[int]) -> dict[int, RowState]:
        return dict.fromkeys(numbers, self._state)

    def write(self, entries: Sequence[Entry]) -> None:
        self.entries += entries


def adopted(
    *those: Difference,
    state: RowState = STATE,
    trusts: bool = True,
    check: str = "exact",
    allow_weak: bool = False,
) -> tuple[list[Entry], list[str]]:
    """What is written, and why the others are refused."""
    journal = FakeJournal(state)
    store = TrustStore([authority(CA_KEY if trusts else KEYS[2])])
    requested = {1: (Operation.IR, "CN=dev1")}
    trust = Trust(store, store)
    found = adopt(
        cast(Journal, journal),
        those,
        requested,
        trust,
        SubjectCheck(check),
        NOW,
        allow_weak=allow_weak,
    )
    assert found.numbers == ({1} if journal.entries else set())
    return journal.entries, [why for _, why in found.refused]


def test_what_all_speaks_for_is_adopted() -> None:
    elsewhere = replace(ORPHAN, kind=DifferenceKind.DOUBLE)
    (advanced, ended), refused = adopted(ORPHAN, elsewhere)
    assert refused == []
    assert isinstance(advanced, Advanced)
    assert isinstance(ended, Ended)
    (part,) = advanced.checkpoint.parts
    assert (part.certificate, part.phase, part.confirm) == (
        ORPHAN.certificate, Phase.GRANTED, False,
    )  # fmt: skip
    assert (ended.outcome.outcome, ended.outcome.reason) == (OutcomeClass.ISSUED, ADOPTED)
    assert ended.transaction_id == CHECKPOINT.transaction_id


def test_another_subject_is_adopted_where_it_would_have_been_accepted() -> None:
    other = replace(ORPHAN, certificate=certificate(7, name="/CN=other"))
    (_, ended), refused = adopted(other, check="record")
    assert isinstance(ended, Ended)
    assert ended.outcome.outcome is OutcomeClass.ISSUED_SUBJECT_CHANGED
    assert refused == []
    assert adopted(other) == ([], ["the certificate is for CN=other, asked for was CN=dev1"])


def test_a_weak_certificate_is_adopted_where_it_would_have_been_accepted() -> None:
    weak = replace(ORPHAN, certificate=certificate(7, key=3))
    state = replace(STATE, key=pkcs8(KEYS[3]))
    entries, refused = adopted(weak, state=state)
    assert entries == []
    assert refused == ["a key on secp192r1, a curve of fewer than 224 bits"]
    assert len(adopted(weak, state=state, allow_weak=True)[0]) == 2


@pytest.mark.parametrize(
    ("orphan", "state", "why"),
    [
        ({}, {"outcome": OutcomeClass.ISSUED}, "the row is issued"),
        ({}, {"outcome": OutcomeClass.REJECTED}, "the row is rejected"),
        ({"ca": "unconfirmed"}, {}, "the CA says that it is unconfirmed"),
        ({"ca": "revoked (superseded)"}, {}, "the CA says that it is revoked (superseded)"),
        ({"certificate": None}, {}, "the list has no certificate, only its number"),
        ({}, {"key": None}, "the journal has no private key of the row"),
        ({}, {"key": b"\x30\x00"}, "key"),
        ({"certificate": certificate(7, key=1)}, {}, "public key"),
        ({"certificate": certificate(7, days=-1)}, {}, "expired"),
        ({"certificate": b"\x30\x00"}, {}, "certificate"),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_what_one_thing_speaks_against_is_refused(
    orphan: dict[str, Any], state: dict[str, Any], why: str
) -> None:
    entries, refused = adopted(replace(ORPHAN, **orphan), state=replace(STATE, **state))
    assert entries == []
    assert len(refused) == 1
    assert why in refused[0]


def test_what_comes_from_no_trusted_ca_is_refused() -> None:
    entries, refused = adopted(ORPHAN, trusts=False)
    assert (entries, len(refused)) == ([], 1)


def test_of_several_for_a_row_none_is_taken() -> None:
    entries, refused = adopted(ORPHAN, replace(ORPHAN, serial=8))
    assert (entries, refused) == ([], ["the CA has several for the row"] * 2)
    # one that the CA does not take for valid is none of them
    entries, refused = adopted(ORPHAN, replace(ORPHAN, serial=8, ca="revoked (superseded)"))
    assert len(entries) == 2
    assert refused == ["the CA says that it is revoked (superseded)"]
