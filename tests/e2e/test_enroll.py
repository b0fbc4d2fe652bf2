"""The main job: every row comes out with a certificate that OpenSSL accepts, and its key."""

import csv
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_private_key,
    load_pem_private_key,
    pkcs12,
)

from bulkcmp.testca.store import CertificateStatus

if TYPE_CHECKING:
    from tests.e2e.conftest import Ca, Cli, MakeServer, RunFolder, Tools, WritePopulation


@pytest.mark.timeout(900)
def test_every_row_has_its_certificate_and_key(
    cli: "Cli", ca: "Ca", write_population: "WritePopulation", run: "RunFolder", tools: "Tools"
) -> None:
    rows = 10_000 if tools.is_full else 60
    population = write_population(rows, stem="all")
    cli("enroll", population, *ca.options(), "--workers", "2", "--out", run.path, seconds=800)

    results = run.results()
    assert [row["id"] for row in results] == [f"all{n:06}" for n in range(1, rows + 1)]
    assert {row["outcome"] for row in results} == {"issued"}
    assert len({row["serial"] for row in results}) == rows
    tools.verify(ca.anchor, [run.path / row["cert_file"] for row in results])
    public = set()
    for row in results:
        certificate = x509.load_pem_x509_certificate((run.path / row["cert_file"]).read_bytes())
        key = load_pem_private_key(
            (run.path / row["key_file"]).read_bytes(), tools.passphrase.encode()
        )
        assert key.public_key() == certificate.public_key()
        assert certificate.subject.rfc4514_string() == row["subject"] == row["requested_subject"]
        assert f"{certificate.serial_number:X}".zfill(len(row["serial"])) == row["serial"]
        public.add(
            certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        )
    assert len(public) == rows

    # openssl agrees on a sample: the key opens with the passphrase, and is the certificate's
    for row in results[:: max(1, rows // 3)]:
        key_file, passphrase = run.path / row["key_file"], f"pass:{tools.passphrase}"
        key_public = tools.openssl("pkey", "-in", key_file, "-passin", passphrase, "-pubout")
        certificate_file = run.path / row["cert_file"]
        assert key_public == tools.openssl("x509", "-in", certificate_file, "-noout", "-pubkey")

    # and so do the CA's books: each confirmed, in the transaction that results.csv names
    confirmed = {
        one.transaction_id.hex()
        for one in ca.issued()
        if one.status is CertificateStatus.CONFIRMED and one.transaction_id is not None
    }
    assert {row["transaction_id"] for row in results} <= confirmed


def test_summaries(
    cli: "Cli", ca: "Ca", write_population: "WritePopulation", run: "RunFolder"
) -> None:
    population = write_population(2, stem="sum")
    ended = cli("enroll", population, *ca.options(), "--out", run.path)
    assert "2 of 2 rows done" in ended.out
    assert ended.err.count("done 2/2 (100%)") == 1
    summary = run.summary()
    assert summary["schema"] == "bulkcmp/summary/1"
    assert summary["command"] == "enroll"
    assert summary["outcomes"] == {"issued": {"rows": 2, "reasons": {}}}
    assert summary["transactions"] == 2

    again = cli("resume", run.path, "--json")
    assert again.err == ""
    printed = json.loads(again.out)
    assert (printed["command"], printed["rows_done"], printed["transactions"]) == ("resume", 2, 0)
    assert printed == run.summary()

    quiet = cli("resume", run.path, "--quiet")
    assert (quiet.out, quiet.err) == ("", "")


@pytest.mark.parametrize("out_format", ["der", "p12", "p12,pem,jks,p7b"])
def test_output_formats(
    cli: "Cli",
    ca: "Ca",
    write_population: "WritePopulation",
    run: "RunFolder",
    tools: "Tools",
    out_format: str,
) -> None:
    population = write_population(1, stem=out_format.replace(",", "-"))
    options = ("--out-format", out_format, "--out", run.path)
    cli("enroll", population, *ca.options(), *options)
    (row,) = run.results()
    content = (run.path / row["cert_file"]).read_bytes()
    passphrase = tools.passphrase.encode()
    if out_format.startswith("p12"):
        key, certificate, chain = pkcs12.load_key_and_certificates(content, passphrase)
        assert [one.public_bytes(Encoding.PEM) for one in chain] == [ca.anchor.read_bytes()]
    else:
        certificate = x509.load_der_x509_certificate(content)
        key = load_der_private_key((run.path / row["key_file"]).read_bytes(), passphrase)
    assert key is not None
    assert certificate is not None
    assert key.public_key() == certificate.public_key()
    assert len(list((run.path / "certs").iterdir())) == {"der": 3, "p12": 1}.get(out_format, 5)
    assert f"{certificate.serial_number:X}".zfill(len(row["serial"])) == row["serial"]


def test_keys_made_earlier(
    cli: "Cli", ca: "Ca", write_population: "WritePopulation", run: "RunFolder", tools: "Tools"
) -> None:
    make = ("keys", "generate", "--newkey", "ed25519", "--out", "keys.db")
    cli(*make, "--count", "3", "--key-pass", "env:KEY_PASS", "--quiet")
    population = write_population(4, stem="filed")
    options = (*ca.options(), "--keys", "keys.db", "--out", run.path)
    short = cli("enroll", population, *options, code=2)
    assert "keys.db: 4 ed25519 keys are wanted, and 3 are free" in short.err
    assert not run.path.exists()
    cli(*make, "--count", "5", "--key-pass", "env:KEY_PASS", "--quiet")
    cli("enroll", population, *options)
    assert run.outcomes() == {("issued", "")}
    # no two rows have one key
    keys = [
        load_pem_private_key((run.path / row["key_file"]).read_bytes(), tools.passphrase.encode())
        for row in run.results()
    ]
    form = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    assert len({key.public_key().public_bytes(*form) for key in keys}) == 4
    shown = cli("keys", "show", "keys.db").out
    assert shown == "keys.db: keys are encrypted\ned25519: 1 free, 4 taken\n"


def test_rows_may_name_their_own_keys(
    cli: "Cli",
    ca: "Ca",
    write_population: "WritePopulation",
    run: "RunFolder",
    tools: "Tools",
    tmp_path: Path,
) -> None:
    tools.openssl("genrsa", "-out", tmp_path / "own.pem", "2048")
    specs = ["rsa:2048", "ec:P-384", "ed25519", "ed448", "own.pem"]
    lines = [f"own{n},/CN=own{n},{spec}" for n, spec in enumerate(specs)]
    population = write_population(lines=["id,subject,newkey", *lines])
    cli("enroll", population, *ca.options(), "--out", run.path)
    assert run.outcomes() == {("issued", "")}
    results = run.results()
    tools.verify(ca.anchor, [run.path / row["cert_file"] for row in results])
    # a key that a file gave stays where it is
    assert [row["key_file"] != "" for row in results] == [True, True, True, True, False]


def test_no_rate_window_is_exceeded_by_all_workers_together(
    cli: "Cli",
    ca: "Ca",
    make_server: "MakeServer",
    write_population: "WritePopulation",
    run: "RunFolder",
    tools: "Tools",
) -> None:
    server = make_server(lambda _n, _body: tools.http_answer("200 OK", "text/html", b"no"))
    population = write_population(45)
    # a CA that fails all would be left alone
    pace = ("--rate", "15", "--workers", "2", "--breaker-failures", "0", "--server", server.url)
    cli("enroll", population, *ca.options(), *pace, "--out", run.path, code=1)
    times = sorted(server.times)
    assert len(times) == 45
    busiest = max(sum(start <= time < start + 1 for time in times) for start in times)
    assert busiest <= 16


def test_skipped_bad_rows_are_recorded(
    cli: "Cli", ca: "Ca", write_population: "WritePopulation", run: "RunFolder"
) -> None:
    lines = ["id,subject", "good,/CN=good", "bad,CN", "worse,/XX=1,", "good,/CN=twice"]
    population = write_population(lines=lines)
    checked = cli("check", population, code=2)
    assert [line.partition(": ")[0] for line in checked.out.splitlines()] == [
        f"{population}:3 (row 2), column subject",
        f"{population}:4 (row 3)",
        f"{population}:5 (row 4), column id",
    ]
    assert checked.err == f"{population}: 4 rows, 3 bad\n"

    options = (*ca.options(), "--out", run.path)
    refused = cli("enroll", population, *options, code=2)
    assert f"error: {population}: 3 of 4 rows can't be used" in refused.err
    assert not run.path.exists()

    cli("enroll", population, *options, "--skip-bad-rows", code=1)
    found = [(row["id"], row["outcome"], row["row"], row["line"]) for row in run.results()]
    assert found == [
        ("good", "issued", "1", "2"),
        ("bad", "bad row", "2", "3"),
        ("worse", "bad row", "3", "4"),
        ("good", "bad row", "4", "5"),
    ]
    assert "duplicate id 'good': line 2 has it" in run.results()[3]["detail"]
    with (run.path / "rejected.csv").open(encoding="utf-8", newline="") as file:
        rejected = [(one["row"], one["id"], one["column"]) for one in csv.DictReader(file)]
    assert rejected == [("2", "bad", "subject"), ("3", "worse", ""), ("4", "good", "id")]
    # nothing is tried again, and nothing is lost
    cli("resume", run.path, code=1)
    assert [(r["id"], r["outcome"], r["row"], r["line"]) for r in run.results()] == found
