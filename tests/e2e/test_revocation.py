"""Certificates revoked: of a run and its renewals, of a list, by an RA and by their own keys, and
looked up in the CRL."""

import csv
from pathlib import Path
from typing import TYPE_CHECKING

from bulkcmp.testca.server import ServerSettings, serving
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


def revoked(ca: "Ca", run: "RunFolder") -> dict[str, str]:
    """The rows of a run whose certificates the CA has revoked, and why."""
    ids = {int(row["serial"], 16): row["id"] for row in run.results() if row["serial"]}
    return {
        ids[one.serial]: one.reason.name if one.reason else ""
        for one in ca.issued()
        if one.serial in ids and one.status is CertificateStatus.REVOKED
    }


def test_what_was_renewed_by_its_own_key_then_the_rest_by_an_ra(
    cli: "Cli", ca: "Ca", write_population: "WritePopulation", run: "RunFolder"
) -> None:
    lines = ["id,subject,days", *(f"rv{n},/CN=rv{n},{9 if n < 4 else 90}" for n in range(1, 5))]
    cli("enroll", write_population(lines=lines), *ca.options(), "--out", run.path)
    some = ("--ids", "rv1,rv3", "--reason", "keyCompromise")
    told = cli("revoke", run.path, *ra(ca), *some)
    assert "4 found in" in told.err
    assert "2 to revoke, 2 not among --ids" in " ".join(told.err.split())
    first = type(run)(cli.folder / "run-revoked-1")
    assert first.outcomes() == {("revoked", "")}
    compromised = dict.fromkeys(("rv1", "rv3"), "KEY_COMPROMISE")
    assert revoked(ca, run) == compromised

    # none that is revoked is renewed, and what was not renewed stays
    told = cli("renew", run.path, *own(ca), "--key-pass", "env:KEY_PASS", "--days", "90")
    assert "1 due, 1 not due yet, 2 revoked" in " ".join(told.err.split())
    told = cli("revoke", run.path, *own(ca), "--renewed", "--revreason", "4")
    assert "1 to revoke" in told.err
    assert revoked(ca, run) == {**compromised, "rv2": "SUPERSEDED"}
    assert not revoked(ca, type(run)(cli.folder / "run-renewed-1"))

    # what is revoked already is done
    crl = f"{ca.base}/ca.crl"
    results = run.path / "results.csv"
    told = cli("revoke", results, *ra(ca), "--confirm-crl", crl, "--out", "rest")
    rest = type(run)(cli.folder / "rest")
    assert rest.outcomes() == {("revoked", "")}
    assert rest.summary()["key_mode"] == "no keys made"
    assert len(revoked(ca, run)) == 4
    assert "4 revocations by the CRL: 4 confirmed" in " ".join(told.err.split())
    with (rest.path / "confirmation.csv").open() as file:
        reasons = {row["id"]: row["reason"] for row in csv.DictReader(file)}
    assert reasons["rv1"] == "key_compromise"


def test_the_crl_that_the_certificates_name(
    cli: "Cli", ca: "Ca", write_population: "WritePopulation", run: "RunFolder", tools: "Tools"
) -> None:
    port = tools.free_port()
    base = f"http://127.0.0.1:{port}"
    with serving(ServerSettings(ca.folder, port=port, url=base)):
        naming = type(ca)(ca.folder, base)
        cli("enroll", write_population(2, stem="cdp"), *naming.options(), "--out", run.path)
        some = ("--ids", "cdp000002", "--confirm-crl", "cdp", "--out", "gone")
        told = cli("revoke", run.path, *ra(naming), *some)
    assert "1 revocations by the CRL: 1 confirmed" in " ".join(told.err.split())
    assert revoked(ca, run) == {"cdp000002": "UNSPECIFIED"}
    with (cli.folder / "gone" / "confirmation.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert (row["id"], row["confirmation"]) == ("cdp000002", "confirmed")


def test_what_can_not_be_done_is_told(
    cli: "Cli", ca: "Ca", run: "RunFolder", tmp_path: Path
) -> None:
    unknown = tmp_path / "unknown"
    unknown.write_text("# a line of hexadecimal digits\n0abc\n")
    cli("revoke", unknown, *ra(ca), "--confirm-crl", "nope.crl", code=1)
    failed = type(run)(cli.folder / "unknown-revoked-1")
    assert failed.outcomes() == {("rejected", "badCertId")}
