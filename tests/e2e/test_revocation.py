"""Certificates revoked: of runs and their renewals, of folders and of lists, by an RA or by their
own keys, and looked up in the CRL."""

import csv
from pathlib import Path
from typing import TYPE_CHECKING

from bulkcmp.testca.store import CertificateStatus

if TYPE_CHECKING:
    from tests.e2e.conftest import Ca, Cli, RunFolder, Tools, WritePopulation


def ra(ca: "Ca") -> tuple[str, ...]:
    return (
        "--server", ca.url(), "--ref", "ra1", "--secret", "env:RA_SECRET", "--trusted",
        str(ca.anchor), "--workers", "1",
    )  # fmt: skip


def own(ca: "Ca") -> tuple[str, ...]:
    return ("--server", ca.url("client-cert"), "--trusted", str(ca.anchor), "--workers", "1")


def enrolled(
    cli: "Cli", ca: "Ca", write: "WritePopulation", run: "RunFolder", stem: str
) -> list[str]:
    """Issue four certificates; their serial numbers."""
    cli("enroll", write(4, stem=stem), *ca.options(), "--days", "10", "--out", run.path)
    return [row["serial"] for row in run.results()]


def revoked(ca: "Ca", serials: list[str]) -> dict[str, str]:
    """Those of some certificates that the CA has revoked, and why."""
    return {
        f"{one.serial:X}": one.reason.name if one.reason else ""
        for one in ca.issued()
        if one.status is CertificateStatus.REVOKED
        and f"{one.serial:X}" in {serial.lstrip("0") for serial in serials}
    }


def test_rows_of_a_run_by_an_ra_then_the_rest_confirmed_by_the_crl(
    cli: "Cli", ca: "Ca", write_population: "WritePopulation", run: "RunFolder", tools: "Tools"
) -> None:
    serials = enrolled(cli, ca, write_population, run, "rv")
    some = ("--ids", "rv000001,rv000003", "--reason", "keyCompromise")
    told = cli("revoke", run.path, *ra(ca), *some)
    assert "4 certificates in" in told.err
    assert "2 to revoke, 2 not among --ids" in told.err
    first = type(run)(cli.folder / "run-revoked-1")
    assert first.outcomes() == {("revoked", "")}
    assert set(revoked(ca, serials).values()) == {"KEY_COMPROMISE"}
    assert len(revoked(ca, serials)) == 2

    # what is revoked already is done
    crl = f"{ca.base}/ca.crl"
    told = cli("revoke", run.path, *ra(ca), "--revreason", "4", "--confirm-crl", crl)
    second = type(run)(cli.folder / "run-revoked-2")
    assert second.outcomes() == {("revoked", "")}
    assert sorted(revoked(ca, serials).values()) == ["KEY_COMPROMISE"] * 2 + ["SUPERSEDED"] * 2
    assert "4 revocations by the CRL: 4 confirmed" in " ".join(told.err.split())
    with (second.path / "confirmation.csv").open() as file:
        assert {row["confirmation"] for row in csv.DictReader(file)} == {"confirmed"}
    # that there is no CRL is told, and hides nothing else
    told = cli("revoke", run.path, *ra(ca), "--confirm-crl", "nope.crl", "--quiet", code=1)
    assert "not confirmed: nope.crl: no such file" in told.err


def test_what_was_renewed_by_its_own_key(
    cli: "Cli", ca: "Ca", write_population: "WritePopulation", run: "RunFolder"
) -> None:
    serials = enrolled(cli, ca, write_population, run, "rn")
    lines = ["id,cert,key,keypass"]
    lines += [
        f"{row['id']},run/{row['cert_file']},run/{row['key_file']},env:KEY_PASS"
        for row in run.results()[:1]
    ]
    cli("revoke", write_population(lines=lines, name="held.csv"), *own(ca), "--out", "alone")
    assert len(revoked(ca, serials)) == 1
    # the key of one does not open, and the first is revoked: the CA renews two
    (run.path / run.results()[3]["key_file"]).unlink()
    cli("renew", run.path, *own(ca), "--key-pass", "env:KEY_PASS", "--days", "90", code=1)
    told = cli("revoke", run.path, *own(ca), "--renewed", "--reason", "superseded")
    assert "2 to revoke" in told.err
    assert list(revoked(ca, serials).values()).count("SUPERSEDED") == 2
    # the new ones are good
    renewed = type(run)(cli.folder / "run-renewed-1")
    assert not revoked(ca, [row["serial"] for row in renewed.results() if row["serial"]])


def test_lists_of_serial_numbers(
    cli: "Cli", ca: "Ca", write_population: "WritePopulation", run: "RunFolder", tmp_path: Path
) -> None:
    serials = enrolled(cli, ca, write_population, run, "ls")
    decimal = tmp_path / "ejbca.csv"
    numbers = [str(int(serial, 16)) for serial in serials]
    lines = ["serialNumber;subjectDN;reason", f"{numbers[0]};C=SE,O=Acme,CN=ls000001;1"]
    decimal.write_text("\n".join([*lines, f"{numbers[0]};;1", f"{numbers[1]};;"]) + "\n")
    refused = cli("revoke", decimal, *ra(ca), code=2)
    assert "decimal or hexadecimal" in refused.err
    told = cli("revoke", decimal, *ra(ca), "--serials", "decimal", "--reason", "superseded")
    assert "2 to revoke, 1 duplicate" in told.err
    assert sorted(revoked(ca, serials).values()) == ["KEY_COMPROMISE", "SUPERSEDED"]
    # of our own results, of which two are revoked
    cli("revoke", run.path / "results.csv", *ra(ca), "--out", "all")
    assert len(revoked(ca, serials)) == 4
    unknown = tmp_path / "unknown"
    unknown.write_text("# a line of hexadecimal digits\n0abc\n")
    cli("revoke", unknown, *ra(ca), "--out", "unknown-run", code=1)
    assert type(run)(cli.folder / "unknown-run").outcomes() == {("rejected", "badCertId")}
    refused = cli("revoke", unknown, *own(ca), code=2)
    assert "serial numbers have no key" in refused.err
    refused = cli("revoke", "-", *ra(ca), code=2)
    assert "the list is empty" in refused.err
