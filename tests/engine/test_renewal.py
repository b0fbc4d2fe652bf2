import datetime as dt
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)

from bulkcmp.engine.holding import Certificate, Held, Holding
from bulkcmp.engine.renewal import (
    Expired,
    Judged,
    Rule,
    Standing,
    counted,
    judge,
    listed,
    population,
)
from bulkcmp.errors import InputError
from bulkcmp.inputs.credential import PassphraseError
from bulkcmp.model import Operation, Popo, Secret
from bulkcmp.outputs.credentials import pem_certificates
from tests.engine.holdings import NOW, certificate, key

OWN = Rule(
    Operation.KUR, dt.timedelta(days=30), Expired.SKIP, by_ra=False, keeps_type=True,
    password=Secret(b"old"),
)  # fmt: skip
RA = replace(OWN, cmd=Operation.CR, by_ra=True, password=None)
ENVIRON = {"OLD": "old", "WRONG": "wrong"}


def held(
    found: Certificate | None, row_id: str = "a", *, family: str | None = None, **more: object
) -> Held:
    family = f"id {row_id}" if family is None else family
    return Held(row_id, f"{row_id}.pem", found, family=family, **more)  # type: ignore[arg-type]  # fields by their names


def standings(*those: Held, rule: Rule = RA, **more: object) -> list[Standing]:
    holding = Holding(Path("run"), held=list(those), **more)  # type: ignore[arg-type]  # as above
    return [one.standing for one in judge(holding, rule, NOW, ENVIRON)]


def test_what_is_due() -> None:
    found = standings(
        held(certificate("a", days=10), "a"),
        held(certificate("b", days=30), "b"),
        held(certificate("c", days=30.001), "c"),
        held(certificate("d", days=0), "d"),
    )
    assert found == [Standing.DUE, Standing.DUE, Standing.NOT_DUE, Standing.EXPIRED]
    late = replace(RA, expired=Expired.RENEW)
    assert standings(held(certificate("d", days=-1)), rule=late) == [Standing.DUE]


def test_the_newest_of_a_family_counts() -> None:
    first, second = certificate("a", age=20, days=20), certificate("a", age=10, days=10)
    assert standings(held(second), held(first)) == [Standing.DUE, Standing.SUPERSEDED]
    assert standings(held(first), held(second)) == [Standing.SUPERSEDED, Standing.DUE]
    # of those without a family, none supersedes another
    assert standings(held(first, family=""), held(second, family="")) == [Standing.DUE] * 2
    # and what was refused supersedes nothing
    refused = held(second, refused=True)
    assert standings(held(first), refused) == [Standing.DUE, Standing.REFUSED]


def test_the_same_certificate_twice() -> None:
    one = certificate("a")
    assert standings(held(one), held(one)) == [Standing.DUPLICATE, Standing.DUE]
    twice = standings(held(one, family=""), held(one, "b", family=""))
    assert twice == [Standing.DUE, Standing.DUPLICATE]


def test_what_is_no_end_entitys_or_can_not_be_read() -> None:
    sealed = held(None, flaw=PassphraseError("wrong passphrase"))
    found = standings(held(certificate("CA", is_ca=True)), held(None, flaw=InputError("x")), sealed)
    assert found == [Standing.CA, Standing.UNREADABLE, Standing.SEALED]
    assert [one.is_failure for one in found] == [False, True, True]
    assert standings(held(None)) == [Standing.NONE]


def test_a_row_whose_last_run_is_not_over() -> None:
    those = [held(certificate("a"), "a"), held(certificate("b", days=99), "b")]
    found = standings(*those, open_in={"a": Path("other"), "b": Path("other")})
    assert found == [Standing.OPEN, Standing.NOT_DUE]


def test_what_was_revoked_is_not_renewed() -> None:
    one, two = certificate("a"), certificate("b", serial=2)
    revoked = {(one.issuer, one.serial)}
    found = standings(held(one), held(two, "b"), revoked=revoked)
    assert found == [Standing.REVOKED, Standing.DUE]
    assert not Standing.REVOKED.is_failure


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """Cells that name a certificate and its key, under the passphrase `old`."""
    seal = BestAvailableEncryption(b"old")
    pem = key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, seal)
    (tmp_path / "a.key").write_bytes(pem)
    (tmp_path / "a.pem").write_bytes(pem_certificates(certificate("a").der))
    return {"cert": str(tmp_path / "a.pem"), "key": str(tmp_path / "a.key")}


def test_keys_that_requests_are_to_be_signed_with(files: dict[str, str]) -> None:
    one = held(certificate("a"), cells=files, has_key=True)
    assert standings(one, rule=OWN) == [Standing.DUE]
    for cells, expected in (
        ({"keypass": "env:OLD"}, Standing.DUE),
        ({"keypass": "env:WRONG"}, Standing.LOCKED),
        ({"keypass": "env:NOPE"}, Standing.UNUSABLE),
        ({"key": files["cert"]}, Standing.UNUSABLE),
        ({"key": "/nope"}, Standing.NO_KEY),
        ({"key": "pkcs11:object=a"}, Standing.DUE),
    ):
        assert standings(replace(one, cells=files | cells), rule=OWN) == [expected], cells
    assert standings(replace(one, has_key=False), rule=OWN) == [Standing.NO_KEY]
    # an RA needs none
    assert standings(replace(one, has_key=False), rule=RA) == [Standing.DUE]


def test_the_type_of_the_new_key() -> None:
    curve = ec.generate_private_key(ec.SECP256K1()).public_key()
    other = held(certificate("b", public_key=curve), "b")
    assert standings(other) == [Standing.OTHER_KEY]
    assert standings(other, rule=replace(RA, keeps_type=False)) == [Standing.DUE]
    assert standings(replace(other, cells={"newkey": "rsa:2048"})) == [Standing.DUE]


def rows(rule: Rule, *those: Held) -> tuple[tuple[str, ...], list[dict[str, str]]]:
    return population([Judged(one, Standing.DUE) for one in those], rule, Path("signers"))


def test_the_rows_of_renewals(files: dict[str, str]) -> None:
    one = held(certificate("a"), cells={**files, "keypass": "", "serial": "1"}, has_key=True)
    columns, (row,) = rows(OWN, one)
    assert row == {**files, "id": "a", "cmd": "kur", "newkey": "ec:P-256"}
    assert columns == ("id", "cmd", "newkey", "cert", "key")
    columns, (row,) = rows(replace(RA, keeps_type=False), one)
    assert one.certificate is not None
    assert row == {"id": "a", "cmd": "cr", "oldcert": one.certificate.cell}


def test_keys_that_can_not_sign_prove_themselves_otherwise() -> None:
    from cryptography.hazmat.primitives.asymmetric import mlkem

    public = mlkem.MLKEM768PrivateKey.generate().public_key()
    one = held(certificate("a", public_key=public))  # type: ignore[arg-type]  # cryptography's own stubs
    ((_, (row,))) = rows(RA, one)
    assert (row["newkey"], row["popo"]) == ("ml-kem-768", "keyEncipherment")
    ((_, (row,))) = rows(replace(RA, popo=Popo.NONE), one)
    assert "popo" not in row


def test_what_is_listed_and_counted() -> None:
    judged = [
        Judged(held(certificate("a", serial=0xAB)), Standing.DUE),
        Judged(held(None, "b"), Standing.UNREADABLE, "why"),
    ]
    header, first, second = listed(judged)
    assert dict(zip(header, first, strict=True)) == {
        "id": "a", "due": "yes", "standing": "due", "not_after": "2027-03-11T12:00:00Z",
        "serial": "AB", "subject": "CN=a", "place": "a.pem", "detail": "",
    }  # fmt: skip
    assert second == ("b", "no", "unreadable", "", "", "", "b.pem", "why")
    assert counted(judged) == {Standing.DUE: 1, Standing.UNREADABLE: 1}
