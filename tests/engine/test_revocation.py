import datetime as dt
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bulkcmp.cmp.crl import Revocation
from bulkcmp.engine.crl import Revocations
from bulkcmp.engine.holding import Certificate, Held, Holding
from bulkcmp.engine.revocation import (
    Confirmation,
    Left,
    Selection,
    Target,
    confirmed_by,
    listed_confirmations,
    select,
    select_listed,
)
from bulkcmp.errors import InputError
from bulkcmp.inputs.name import parse_name
from bulkcmp.inputs.serials import Base, read_serials
from bulkcmp.model import RevocationReason
from tests.engine.holdings import NOW, certificate, name

CELLS = {"cert": "/a.pem", "key": "/a.key", "keypass": "env:K"}


def held(found: Certificate | None, row_id: str, **more: Any) -> Held:
    return Held(row_id, row_id, found, CELLS, has_key=True, family=f"id {row_id}", **more)


def chosen(*those: Held, by_ra: bool = True, **options: Any) -> Selection:
    holding = Holding(Path("run"), held=list(those), open_in=options.pop("open_in", {}))
    options = {"renewed_only": False, "ids": None, **options}
    return select(holding, by_ra=by_ra, **options)


def test_by_an_ra_and_by_its_own_key() -> None:
    one = held(certificate("a"), "a")
    assert one.certificate is not None
    columns, (row,) = chosen(one).population()
    assert columns == ("id", "oldcert")
    assert row == {"id": "a", "oldcert": one.certificate.cell}
    columns, (row,) = chosen(one, by_ra=False).population()
    assert (columns, row) == (("id", "cert", "key", "keypass"), {"id": "a", **CELLS})


def test_what_is_left_out_is_counted() -> None:
    one = held(certificate("a"), "a")
    bad = held(None, "b", flaw=InputError("damaged"))
    found = chosen(one, one, bad, held(certificate("CA", is_ca=True, serial=9), "ca"))
    assert [target.id for target in found.targets] == ["a"]
    assert found.left == {Left.DUPLICATE: 1, Left.UNREADABLE: 1, Left.CA: 1}
    assert found.flaws == ["damaged"]


def test_rows_that_are_chosen_by_their_ids() -> None:
    those = [held(certificate(one, serial=ord(one)), one) for one in "abc"]
    found = chosen(*those, ids=frozenset("ac"))
    assert [target.id for target in found.targets] == ["a", "c"]
    with pytest.raises(InputError, match=r"--ids: there is no 'z' in run"):
        chosen(*those, ids=frozenset("az"))


def test_those_that_were_renewed() -> None:
    old, new = certificate("a", age=9, serial=1), certificate("a", age=1, serial=2)
    those = [held(old, "a"), held(new, "a"), held(certificate("b", serial=3), "b")]
    (target,) = chosen(*those, renewed_only=True).targets
    assert target.serial == 1
    assert not chosen(*those, renewed_only=True, open_in={"a": Path("next")}).targets
    refused = held(new, "a", refused=True)
    assert not chosen(held(old, "a"), refused, renewed_only=True).targets


def test_several_certificates_of_one_id() -> None:
    those = [held(certificate("a", serial=number), "a") for number in (1, 0xAB)]
    assert [target.id for target in chosen(*those).targets] == ["a", "a.AB"]


def test_a_list_of_serial_numbers() -> None:
    text = "id,serial,issuer,reason\na,0x0A,CN=Other,4\n,0x0B,,\n,0x0a,CN=Other,\n,,,\n"
    found = select_listed(read_serials(text, "list", Base.AUTO), "CN=CA")
    columns, rows = found.population()
    assert columns == ("id", "issuer", "serial", "revreason")
    assert rows == [
        {"id": "a", "serial": "0xA", "issuer": "CN=Other", "revreason": "4"},
        {"id": "B", "serial": "0xB", "issuer": "CN=CA"},
    ]
    assert found.left == {Left.NO_SERIAL: 1, Left.DUPLICATE: 1}
    assert found.targets[1].issuer == parse_name("CN=CA")
    with pytest.raises(InputError, match="line 3: whose serial number is B"):
        select_listed(read_serials(text, "list", Base.AUTO), None)


class FakeList:
    """A CRL of one issuer."""

    def __init__(
        self, issuer: str, made: dt.datetime, serials: list[int], partial: str = ""
    ) -> None:
        self.partial = partial
        self.crl = SimpleNamespace(issuer=name(issuer).public_bytes(), this_update=made)
        self._serials = serials

    def statuses(self, serials: list[int]) -> dict[int, Revocation]:
        revocation = Revocation(NOW, RevocationReason.SUPERSEDED)
        return {one: revocation for one in serials if one in self._serials}


def confirmations(*lists: FakeList) -> list[str]:
    targets = [
        Target("a", name("CA").public_bytes(), 1, {}),
        Target("b", name("CA").public_bytes(), 2, {}),
        Target("c", name("Other").public_bytes(), 1, {}),
    ]
    found = list(confirmed_by(Revocations(cast(Any, lists)), targets, NOW))
    lines = list(listed_confirmations(found))
    assert lines[0] == ("id", "serial", "confirmation", "revoked_at", "reason")
    return [line[2] for line in lines[1:]]


def test_what_crls_say_of_what_was_revoked() -> None:
    later, before = NOW + dt.timedelta(seconds=1), NOW - dt.timedelta(seconds=1)
    assert confirmations() == [Confirmation.UNKNOWN] * 3
    assert confirmations(FakeList("CA", later, [1])) == [
        Confirmation.CONFIRMED, Confirmation.MISSING, Confirmation.UNKNOWN,
    ]  # fmt: skip
    assert confirmations(FakeList("CA", before, []), FakeList("Other", NOW, [1])) == [
        Confirmation.OLDER, Confirmation.OLDER, Confirmation.CONFIRMED,
    ]  # fmt: skip
    # a newer part does not make what is absent from the whole one a failure of the CA
    assert confirmations(FakeList("CA", before, []), FakeList("CA", later, [1], "a part")) == [
        Confirmation.CONFIRMED, Confirmation.OLDER, Confirmation.UNKNOWN,
    ]  # fmt: skip
