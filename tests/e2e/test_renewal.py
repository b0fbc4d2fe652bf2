"""Certificates renewed from the run that issued them, again and again, and from other places."""

import csv
import io
import json
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

if TYPE_CHECKING:
    from tests.e2e.conftest import Ca, Cli, RunFolder, Tools, WritePopulation


def own(ca: "Ca") -> tuple[str, ...]:
    """How to reach the CA where each certificate protects its own renewal."""
    return (
        "--server", ca.url("client-cert"), "--trusted", str(ca.anchor), "--key-pass",
        "env:KEY_PASS", "--workers", "1",
    )  # fmt: skip


def certificate_of(run: "RunFolder", row: dict[str, str]) -> x509.Certificate:
    return x509.load_pem_x509_certificate((run.path / row["cert_file"]).read_bytes())


def standings(text: str) -> dict[str, str]:
    return {row["id"]: row["standing"] for row in csv.DictReader(io.StringIO(text))}


def serials(run: "RunFolder") -> dict[str, str]:
    return {row["id"]: row["serial"] for row in run.results()}


def enroll(cli: "Cli", ca: "Ca", write: "WritePopulation", run: "RunFolder", *rows: str) -> None:
    """Issue certificates of some days."""
    population = write(lines=["id,subject,days,newkey", *rows])
    cli("enroll", population, *ca.options(), "--out", run.path)
    assert run.outcomes() == {("issued", "")}


def test_a_run_is_renewed_again_and_again(
    cli: "Cli",
    ca: "Ca",
    write_population: "WritePopulation",
    run: "RunFolder",
    tools: "Tools",
) -> None:
    rows = ("r1,/CN=r1,10,rsa:2048", "r2,/CN=r2,10,ec:P-384", "r3,/CN=r3,300,ec:P-256")
    enroll(cli, ca, write_population, run, *rows)
    listed = cli("renew", run.path, *own(ca), "--dry-run")
    assert standings(listed.out) == {"r1": "due", "r2": "due", "r3": "not due yet"}
    assert not (run.path / "renewals.csv").exists()

    told = cli("renew", run.path, *own(ca), "--days", "20")
    assert "3 certificates in" in told.err
    assert "2 due, 1 not due yet" in told.err
    first = type(run)(cli.folder / "run-renewed-1")
    assert first.outcomes() == {("issued", "")}
    assert [row["id"] for row in first.results()] == ["r1", "r2"]
    assert (first.path / "population.csv").stat().st_mode & 0o777 == 0o600
    tools.verify(ca.anchor, [first.path / row["cert_file"] for row in first.results()])
    # of the type that they had
    assert isinstance(certificate_of(first, first.results()[0]).public_key(), rsa.RSAPublicKey)
    written = standings((first.path / "due.csv").read_text())
    assert written == standings(listed.out)

    # the newest of each row counts
    again = cli("renew", run.path, *own(ca), "--dry-run", "--json", "--expiring-within", "2w")
    assert json.loads(again.out)["standing"] == {"not due yet": 3, "superseded": 2}
    cli("renew", run.path, *own(ca), "--newkey", "same", "--expiring-within", "25d", "--days", "9")
    second = type(run)(cli.folder / "run-renewed-2")
    assert [row["id"] for row in second.results()] == ["r1", "r2"]
    before, after = (certificate_of(one, one.results()[1]) for one in (first, second))
    assert before.public_key() == after.public_key()
    assert before.serial_number != after.serial_number
    # a renewal that made no key goes on with that of the one before
    cli("renew", second.path, *own(ca), "--out", "third", "--days", "30")
    third = type(run)(cli.folder / "third")
    assert third.outcomes() == {("issued", "")}
    assert certificate_of(third, third.results()[1]).public_key() != after.public_key()
    # of all generations
    last = json.loads(cli("renew", run.path, *own(ca), "--dry-run", "--json").out)
    assert last["standing"] == {"due": 2, "not due yet": 1, "superseded": 6}
    assert (
        json.loads(cli("renew", third.path, *own(ca), "--dry-run", "--json").out)["certificates"]
        == 2
    )


def test_a_renewal_that_was_cut_off_goes_on_and_is_not_begun_twice(
    cli: "Cli", ca: "Ca", write_population: "WritePopulation", run: "RunFolder"
) -> None:
    enroll(cli, ca, write_population, run, *(f"c{n},/CN=c{n},10,ec:P-256" for n in range(3)))
    out = cli.folder / "renewed"
    nowhere = ("--server", "http://127.0.0.1:9/cmp", "--retries", "0")
    cli("renew", run.path, *own(ca), *nowhere, "--out", out, code=1)
    assert {outcome for outcome, _ in type(run)(out).outcomes()} <= {"not sent", "to do"}
    told = cli("renew", run.path, *own(ca), "--dry-run", code=1)
    assert set(standings(told.out).values()) == {"due, its last run not over"}
    assert f"bulkcmp resume {out}" in told.out
    cli("resume", out, "--server", ca.url("client-cert"))
    assert type(run)(out).outcomes() == {("issued", "")}
    assert cli("renew", run.path, *own(ca), "--expiring-within", "15d").code == 0


def test_an_ra_renews_what_has_no_key(
    cli: "Cli", ca: "Ca", write_population: "WritePopulation", run: "RunFolder"
) -> None:
    enroll(cli, ca, write_population, run, "a1,/CN=a1/O=Ä,10,ec:P-256", "a2,/CN=a2,10,ec:P-256")
    for row in run.results():
        (run.path / row["key_file"]).unlink()
    told = cli("renew", run.path, *own(ca), code=1)
    assert "not renewed: a1: due, without a private key" in told.err
    out = type(run)(cli.folder / "by-ra")
    cli("renew", run.path, *ca.options(), "--out", out.path)
    assert out.outcomes() == {("issued", "")}
    assert {row["cmd"] for row in out.results()} == {"cr"}
    names = [certificate_of(run, row).subject for row in run.results()]
    assert [certificate_of(out, row).subject for row in out.results()] == names


def test_a_folder_and_a_population(
    cli: "Cli",
    ca: "Ca",
    write_population: "WritePopulation",
    run: "RunFolder",
    tools: "Tools",
) -> None:
    enroll(cli, ca, write_population, run, *(f"f{n},/CN=f{n},10,ec:P-256" for n in range(3)))
    certs = run.path / "certs"
    # another name, a file with both, and what is no certificate
    (certs / "f1.key.pem").rename(certs / "other.pem")
    key = load_pem_private_key((certs / "f2.key.pem").read_bytes(), tools.passphrase.encode())
    assert key is not None
    both = (certs / "f2.pem").read_bytes() + (certs / "f2.key.pem").read_bytes()
    (certs / "f2.pem").write_bytes(both)
    (certs / "f2.key.pem").unlink()
    (certs / "readme.txt").write_text("keys of the factory")
    (certs / "ca.pem").write_bytes(ca.anchor.read_bytes())
    (certs / "damaged.pem").write_text("-----BEGIN CERTIFICATE-----\nAA\n")
    found = cli("renew", certs, *own(ca), "--dry-run", "--list", "due.csv", code=1)
    assert found.out == ""
    listed = standings((cli.folder / "due.csv").read_text())
    assert listed.pop("ca") == "a CA's"
    assert listed.pop("damaged") == "unreadable"
    assert listed == {"f0": "due", "f1": "due", "f2": "due"}
    wrong = cli("renew", certs, *own(ca), "--keypass", "pass:other", "--dry-run", code=1)
    assert standings(wrong.out)["f0"] == "due, its private key under another passphrase"
    (certs / "damaged.pem").unlink()
    out = type(run)(cli.folder / "certs-renewed")
    cli("renew", certs, *own(ca), "--days", "300", "--out", out.path)
    assert out.outcomes() == {("issued", "")}
    assert not (certs / "renewals.csv").exists()
    # laid beside the old ones, the new ones count
    for path in (out.path / "certs").iterdir():
        (certs / f"new-{path.name}").write_bytes(path.read_bytes())
    told = cli("renew", certs, *own(ca), "--dry-run", "--json")
    standing = json.loads(told.out)["standing"]
    assert standing == {"not due yet": 3, "superseded": 3, "a CA's": 1}

    lines = [
        "id,cert,key,keypass,oldcert",
        *(f"p{n},certs-renewed/certs/f{n}.pem,certs-renewed/certs/f{n}.key.pem,env:KEY_PASS,"
          for n in range(2)),
        "p2,certs-renewed/certs/f0.pem,nope.pem,env:KEY_PASS,",
        "p3,certs-renewed/certs/f2.pem,certs-renewed/certs/f2.key.pem,pass:x,",
    ]  # fmt: skip
    population = write_population(lines=lines, name="held.csv")
    out = type(run)(cli.folder / "held-renewed")
    year = ("--expiring-within", "400d")
    told = cli("renew", population, *own(ca), *year, "--out", out.path, code=1)
    assert {row["id"]: row["outcome"] for row in out.results()} == {"p0": "issued", "p1": "issued"}
    assert "keypass has a secret, which bulkcmp copies nowhere" in told.err
    assert "1 duplicate" in told.err
    # the keys of requests are the rows' own, and so is what is wrong with them
    assert out.summary()["exit_code"] == 1
