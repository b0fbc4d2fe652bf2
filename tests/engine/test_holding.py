from pathlib import Path

import pytest

from bulkcmp.engine.holding import (
    Certificate,
    Holding,
    add_revocation,
    drop_revocation,
    open_holding,
)
from bulkcmp.errors import InputError
from bulkcmp.journal.entry import Ended
from bulkcmp.journal.journal import Journal
from bulkcmp.model import Operation, Outcome, OutcomeClass, Timings
from bulkcmp.outputs.credentials import pem_certificates
from tests.engine.holdings import NOW, certificate, name


def read(path: Path) -> Holding:
    with open_holding(path, None, keeps_passphrase=True) as holding:
        return holding


def make_run(folder: Path) -> Path:
    Journal.create(folder, {"options": {}}, None).close()
    return folder


def test_certificates_of_one_subject_for_other_uses() -> None:
    assert certificate("a").usage == certificate("a", serial=2).usage
    with pytest.raises(InputError, match="the certificate is damaged"):
        Certificate(b"\x30\x00")


def test_a_run_knows_its_renewals(tmp_path: Path) -> None:
    run, first, second = (make_run(tmp_path / name) for name in ("run", "first", "second"))
    holding = read(run)
    holding.add_renewal(first)
    # once is enough
    holding.add_renewal(first)
    holding.add_renewal(tmp_path / "never")
    holding.drop_renewal(tmp_path / "never")
    # which was never written down
    holding.drop_renewal(second)
    read(first).add_renewal(second)
    # which may be that of an earlier one: each is read once
    read(second).add_renewal(run)
    assert (run / "renewals.csv").read_text().split() == ["run", "../first"]
    assert read(run).held == []
    (tmp_path / "second").rename(tmp_path / "moved")
    with pytest.raises(InputError, match="second, which renews certificates of this one"):
        read(run)
    with open_holding(run, None, keeps_passphrase=True, with_renewals=False) as holding:
        assert holding.run == run


def test_a_renewal_that_was_cut_off_before_it_began(tmp_path: Path) -> None:
    """It can have renewed nothing, and is no reason to ask the user."""
    run, renewal = make_run(tmp_path / "run"), tmp_path / "renewal"
    read(run).add_renewal(renewal)
    with pytest.raises(InputError, match="which renews certificates of this one, is not there"):
        read(run)
    # where another disk was to be mounted
    renewal.mkdir()
    with pytest.raises(InputError, match="which renews certificates of this one, is not there"):
        read(run)
    for made in ("population.csv", "signers", ".journal.db.draft"):
        (renewal / made).touch()
        assert read(run).held == []
    assert read(run).open_in == {}
    # what it left shows that it had begun
    (renewal / "results.csv").touch()
    with pytest.raises(InputError, match="which renews certificates of this one, is not there"):
        read(run)


def test_a_run_knows_what_was_revoked(tmp_path: Path) -> None:
    run, revoking = make_run(tmp_path / "run"), tmp_path / "revoking"
    revoking.mkdir()
    lines = ["id,cmd,oldcert,revreason"]
    for number, reason in enumerate(("", "certificateHold", "superseded", ""), start=1):
        lines.append(f"d{number},rr,{certificate('d', serial=number).cell},{reason}")
    lines.append("d5,rr,gone.pem,")
    (revoking / "population.csv").write_text("\n".join(lines) + "\n")
    # nothing was sent yet
    add_revocation(run, revoking)
    assert read(run).revoked == set()
    journal = Journal.create(revoking, {"options": {"revreason": "keyCompromise"}}, None)
    journal.hold(term=60)
    outcomes = [OutcomeClass.REVOKED] * 3 + [OutcomeClass.REJECTED, OutcomeClass.REVOKED]
    journal.write(
        [
            Ended(n, n + 1, f"d{n}", Operation.RR, None, Outcome(one), Timings(), 1, NOW)
            for n, one in enumerate(outcomes, start=1)
        ]
    )
    journal.close()
    assert read(run).revoked == {(name("CA").public_bytes(), n) for n in (1, 3)}
    drop_revocation(run, revoking)
    assert read(run).revoked == set()
    add_revocation(run, tmp_path / "lost")
    with pytest.raises(InputError, match="lost, which revokes certificates of this one"):
        read(run)


def test_a_run_on_which_another_is_at_work(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    with Journal.open(run), pytest.raises(InputError, match="another bulkcmp is at work"):
        read(run)


def test_rows_of_a_renewal_that_were_not_taken_up_are_open(tmp_path: Path) -> None:
    run, renewal = make_run(tmp_path / "run"), make_run(tmp_path / "renewal")
    (renewal / "population.csv").write_text("id,cert\na,/a.pem\nb,/b.pem\n")
    read(run).add_renewal(renewal)
    assert read(run).open_in == {"a": renewal, "b": renewal}


def test_a_list_of_renewals_that_is_damaged(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    (run / "renewals.csv").write_text("x\n../first\n")
    with pytest.raises(InputError, match=r"renewals\.csv: can't be read"):
        read(run)


def test_rows_of_a_population(tmp_path: Path) -> None:
    found = certificate("a")
    (tmp_path / "a.pem").write_bytes(pem_certificates(found.der))
    lines = [
        "id,cert,key,keypass,oldcert,newkey,secret",
        f"inline,,,,{found.cell},rsa:2048,env:S",
        "file,a.pem,a.key,file:pass,,k.pem,",
        "token,a.pem,pkcs11:object=a,env:PIN,,,",
        "listed,a.pem,a.key,list:pins.csv#a,,,",
        "secret,a.pem,a.key,hunter2,,,",
        "nothing,,,,,,",
        "missing,nope.pem,,,,,",
    ]
    path = tmp_path / "held.csv"
    path.write_text("\n".join(lines) + "\n")
    inline, file, token, listed, secret, nothing, missing = read(path).held
    assert inline.certificate is not None
    assert inline.certificate.der == found.der
    assert (inline.has_key, inline.family) == (True, "")
    assert inline.cells["newkey"] == "rsa:2048"
    assert file.cells == {
        "id": "file", "cert": str(tmp_path / "a.pem"), "key": str(tmp_path / "a.key"),
        "keypass": f"file:{tmp_path / 'pass'}", "newkey": str(tmp_path / "k.pem"),
    }  # fmt: skip
    assert token.cells["key"] == "pkcs11:object=a"
    assert listed.cells["keypass"] == f"list:{tmp_path / 'pins.csv'}#a"
    for one, what in (
        (secret, "keypass has a secret, which bulkcmp copies nowhere"),
        (nothing, "the row names no certificate"),
        (missing, "no such file"),
    ):
        assert one.certificate is None
        assert what in str(one.flaw)
        assert "hunter2" not in str(one)
