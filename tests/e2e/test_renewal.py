"""Certificates renewed from the run that issued them, again and again, and from other places."""

import csv
import io
import json
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

if TYPE_CHECKING:
    from tests.e2e.conftest import Ca, Cli, RunFolder, Tools, WritePopulation


def own(ca: "Ca") -> tuple[str, ...]:
    """How to reach the CA where each certificate protects its own renewal."""
    return (
        "--server", ca.url("client-cert"), "--trusted", str(ca.anchor), "--key-pass",
        "env:KEY_PASS", "--workers", "1",
    )  # fmt: skip


def certificates(run: "RunFolder") -> dict[str, x509.Certificate]:
    return {
        row["id"]: x509.load_pem_x509_certificate((run.path / row["cert_file"]).read_bytes())
        for row in run.results()
    }


def standings(text: str) -> dict[str, str]:
    return {row["id"]: row["standing"] for row in csv.DictReader(io.StringIO(text))}


def test_a_run_is_renewed_again_and_again(
    cli: "Cli",
    ca: "Ca",
    write_population: "WritePopulation",
    run: "RunFolder",
    tools: "Tools",
) -> None:
    rows = ("r1,/CN=r1,10,rsa:2048", "r2,/CN=r2,10,ec:P-384", "r3,/CN=r3,300,ec:P-256")
    population = write_population(lines=["id,subject,days,newkey", *rows])
    cli("enroll", population, *ca.options(), "--out", run.path)

    # cut off, it is not begun a second time, but goes on
    first = type(run)(cli.folder / "run-renewed-1")
    nowhere = ("--server", f"http://127.0.0.1:{tools.free_port()}/cmp", "--retries", "0")
    told = cli("renew", run.path, *own(ca), *nowhere, "--days", "20", code=1)
    assert "2 due, 1 not due yet" in " ".join(told.err.split())
    assert (first.path / "population.csv").stat().st_mode & 0o777 == 0o600
    expected = {"r1": "due", "r2": "due", "r3": "not due yet"}
    assert standings((first.path / "due.csv").read_text()) == expected
    cli("resume", first.path, "--server", ca.url("client-cert"))
    assert first.outcomes() == {("issued", "")}
    assert [row["id"] for row in first.results()] == ["r1", "r2"]
    tools.verify(ca.anchor, [first.path / row["cert_file"] for row in first.results()])
    # of the type that they had
    assert isinstance(certificates(first)["r1"].public_key(), rsa.RSAPublicKey)

    # the CA agrees with it, as with any run
    cli("ca", "issued", "--state", ca.folder, "-o", "issued.csv")
    found = json.loads(cli("reconcile", first.path, "--issued", "issued.csv", "--json").out)
    assert (found["rows"], found["agreed"], found["differences"]) == (2, 2, [])

    # the newest of each row counts
    cli("renew", run.path, *own(ca), "--newkey", "same", "--days", "9")
    second = type(run)(cli.folder / "run-renewed-2")
    before, after = certificates(first)["r2"], certificates(second)["r2"]
    assert before.public_key() == after.public_key()
    assert before.serial_number != after.serial_number
    # a renewal that made no key goes on with that of the one before
    cli("renew", second.path, *own(ca), "--out", "third", "--days", "90")
    third = certificates(type(run)(cli.folder / "third"))
    assert third["r2"].public_key() != after.public_key()
    listed = cli("renew", run.path, *own(ca), "--dry-run", "--json")
    assert '"not due yet": 3' in listed.out
    assert '"superseded": 6' in listed.out


def test_a_folder_then_a_population_then_an_ra(
    cli: "Cli", ca: "Ca", write_population: "WritePopulation", run: "RunFolder"
) -> None:
    lines = ["id,subject", *(f"f{n},/CN=f{n}/O=Ä" for n in range(3))]
    cli("enroll", write_population(lines=lines), *ca.options(), "--days", "9", "--out", run.path)
    certs = run.path / "certs"
    # another name, a file with both, what is no certificate, and one that can't be read
    (certs / "f1.key.pem").rename(certs / "other.pem")
    both = (certs / "f2.pem").read_bytes() + (certs / "f2.key.pem").read_bytes()
    (certs / "f2.pem").write_bytes(both)
    (certs / "f2.key.pem").unlink()
    (certs / "readme.txt").write_text("keys of the factory")
    (certs / "damaged.pem").write_text("-----BEGIN CERTIFICATE-----\nAA\n")
    renewed = type(run)(cli.folder / "renewed")
    told = cli("renew", certs, *own(ca), "--days", "9", "--out", renewed.path, code=1)
    assert "not renewed: damaged: unreadable" in told.err
    assert renewed.outcomes() == {("issued", "")}
    assert len(renewed.results()) == 3
    assert renewed.summary()["exit_code"] == 1

    row = "p{n},renewed/certs/f{n}.pem,renewed/certs/f{n}.key.pem,{source}"
    lines = [
        "id,cert,key,keypass",
        row.format(n=0, source="env:KEY_PASS"),
        row.format(n=1, source="pass:x"),
        "p2,renewed/certs/f2.pem,nope.pem,env:KEY_PASS",
    ]
    population = write_population(lines=lines, name="held.csv")
    again = type(run)(cli.folder / "held-renewed-1")
    told = cli("renew", population, *own(ca), code=1)
    assert {row["id"]: row["outcome"] for row in again.results()} == {
        "p0": "issued", "p2": "bad row",
    }  # fmt: skip
    assert "keypass has a secret, which bulkcmp copies nowhere" in told.err
    assert "not renewed: p2: due, without a private key" in told.err

    for path in (renewed.path / "certs").glob("*.key.pem"):
        path.unlink()
    by_ra = type(run)(cli.folder / "by-ra")
    cli("renew", renewed.path, *ca.options(), "--out", by_ra.path)
    assert by_ra.outcomes() == {("issued", "")}
    assert {row["cmd"] for row in by_ra.results()} == {"cr"}
    names = {one.subject for one in certificates(run).values()}
    assert {one.subject for one in certificates(by_ra).values()} == names


def test_keys_that_the_journal_alone_can_give(
    cli: "Cli", ca: "Ca", write_population: "WritePopulation", run: "RunFolder"
) -> None:
    cli.environ["OWN"] = "a password of its own"
    lines = ["id,subject,out_pass", "j1,/CN=j1,make", "j2,/CN=j2,env:OWN", "j3,/CN=j3,"]
    formats = ("--out-format", "jks,p12", "--days", "9", "--out", run.path)
    cli("enroll", write_population(lines=lines), *ca.options(), *formats)
    # of these two the files are of no use
    (run.path / "certs" / "j3.jks").unlink()
    first = type(run)(cli.folder / "run-renewed-1")
    dead = ("--server", "ftp://x")
    assert "server" in cli("renew", run.path, *own(ca), *dead, code=2).err
    assert not first.path.exists()
    assert cli("renew", run.path, *own(ca), "--days", "9").code == 0
    assert first.outcomes() == {("issued", "")}
    assert {row["cmd"] for row in first.results()} == {"kur"}
    assert len(first.results()) == 3
    for path in (first.path / "signers").glob("*.key.pem"):
        assert path.read_bytes().startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n")
        assert path.stat().st_mode & 0o777 == 0o600

    # the renewal's files are gone too, and its passphrase is another by now
    for path in (first.path / "certs").iterdir():
        path.unlink()
    cli.environ["KEY_PASS"], cli.environ["FORMER"] = "a new one", cli.environ["KEY_PASS"]
    told = cli("renew", run.path, *own(ca), code=1)
    assert "not renewed: j1: due, its private key under another passphrase" in told.err
    second = type(run)(cli.folder / "again")
    cli("renew", run.path, *own(ca), "--keypass", "env:FORMER", "--out", second.path)
    assert second.outcomes() == {("issued", "")}
