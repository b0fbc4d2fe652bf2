"""What an enrollment leaves behind: names, passwords, files that are made again."""

import csv
import hashlib
import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key, pkcs12

if TYPE_CHECKING:
    from tests.e2e.conftest import Ca, Cli, RunFolder, Tools, WritePopulation


def passwords(run: "RunFolder") -> dict[str, tuple[str, str]]:
    with (run.path / "passwords.csv").open(newline="") as file:
        return {row["id"]: (row["key_file"], row["password"]) for row in csv.DictReader(file)}


@pytest.mark.parametrize("protection", ["key-pass", "plain"])
def test_each_row_has_its_own_password_and_keeps_it(
    cli: "Cli",
    ca: "Ca",
    write_population: "WritePopulation",
    run: "RunFolder",
    protection: str,
) -> None:
    population = write_population(3, stem="own")
    options = [*ca.options(), "--out-pass", "make", "--out-format", "p12,pem"]
    options += ["--out-name", "{id[:3]}/{number}-{id}", "--out-pass-length", "12"]
    if protection == "plain":
        at = options.index("--key-pass")
        options[at : at + 2] = ["--plain-keys"]
    cli("enroll", population, *options, "--out", run.path)
    made = passwords(run)
    assert [file for file, _ in made.values()] == [
        f"certs/own/{n}-own{n:06}.p12" for n in range(1, 4)
    ]
    assert len({password for _, password in made.values()}) == 3
    for file, password in made.values():
        assert len(password) == 12
        store = pkcs12.load_pkcs12((run.path / file).read_bytes(), password.encode())
        assert store.key is not None
        assert store.cert is not None
        assert store.key.public_key() == store.cert.certificate.public_key()
    results = run.results()
    assert [row["cert_file"] for row in results] == [file for file, _ in made.values()]
    # all of it comes back out of the journal, whole or in part
    gone = run.path / "certs" / "own" / "1-own000001.key.pem"
    gone.unlink()
    cli("resume", run.path)
    assert gone.exists()
    shutil.rmtree(run.path / "certs")
    (run.path / "passwords.csv").unlink()
    cli("resume", run.path)
    assert passwords(run) == made
    for file, password in made.values():
        assert pkcs12.load_pkcs12((run.path / file).read_bytes(), password.encode()).key


def test_the_manifest_says_what_was_made_for_whom_and_finds_what_was_changed(
    cli: "Cli",
    ca: "Ca",
    write_population: "WritePopulation",
    run: "RunFolder",
    tools: "Tools",
) -> None:
    population = write_population(2, stem="batch")
    label = ("--label", "B-2026/17", "--operator", "line 3, Müller")
    options = (*ca.options(), "--out-format", "der,pem", "--out-chain", "intermediates")
    cli("enroll", population, *options, *label, "--out", run.path)

    def manifest() -> dict[str, Any]:
        found: dict[str, Any] = json.loads((run.path / "manifest.json").read_text())
        for one in found["files"]:
            content = (run.path / one["path"]).read_bytes()
            assert (len(content), hashlib.sha256(content).hexdigest()) == (
                one["size"],
                one["sha256"],
            )
        return found

    first = manifest()
    assert (first["label"], first["operator"]) == ("B-2026/17", "line 3, Müller")
    told = json.loads((run.path / "summary.json").read_text())
    assert (told["label"], told["operator"]) == ("B-2026/17", "line 3, Müller")
    assert first["population"]["sha256"] == hashlib.sha256(population.read_bytes()).hexdigest()
    assert (first["rows"], first["rows_done"]) == (2, 2)
    names = {
        path.relative_to(run.path).as_posix() for path in run.path.rglob("*") if path.is_file()
    }
    listed = {one["path"] for one in first["files"]}
    assert names - listed == {"journal.db", "manifest.json", "SHA256SUMS"}
    assert {"results.csv", "summary.json", "certs/batch000001.key.pem"} <= listed
    serials = {row["id"]: row["serial"] for row in run.results()}
    for one in first["files"]:
        if one["path"].startswith("certs/"):
            assert serials[one["id"]] == one["serial"]

    # a change that is not seen by the look of a file
    key = run.path / "certs" / "batch000001.key.pem"
    content = key.read_bytes()
    key.write_bytes(content.replace(content[200:204], b"AAAA"))
    cli("resume", run.path, "--operator", "line 4")
    again = manifest()
    assert (again["run"], again["operator"]) == (first["run"], "line 4")
    assert load_pem_private_key(key.read_bytes(), tools.passphrase.encode())


def test_two_rows_with_files_of_one_name_are_found_before_anything_is_sent(
    cli: "Cli", ca: "Ca", write_population: "WritePopulation", run: "RunFolder"
) -> None:
    population = write_population(2, stem="same")
    before = ca.count()
    refused = cli(
        *("enroll", population, *ca.options(), "--out", run.path, "--out-name", "{id[:4]}"), code=2
    )
    assert "--out-name: its files would be 'same', as those of line 2" in refused.err
    listed = cli("check", population, "--out-name", "{id[:4]}", "--subject", "/CN={id}", code=2)
    assert "as those of line 2" in listed.out
    assert not run.path.exists()
    assert ca.count() == before


def test_files_under_a_password_of_their_own_are_renewed(
    cli: "Cli", ca: "Ca", write_population: "WritePopulation", run: "RunFolder", tools: "Tools"
) -> None:
    cli.environ["FILE_PASS"] = "the password of all files"
    population = write_population(lines=["id,subject,days", "again,/CN=again,10"])
    options = ("--out-format", "p12,p12-legacy", "--out-pass", "env:FILE_PASS")
    cli("enroll", population, *ca.options(), *options, "--out", run.path)
    # it is that of all rows: nobody needs a list
    assert not (run.path / "passwords.csv").exists()
    own = ("--server", ca.url("client-cert"), "--trusted", ca.anchor, "--key-pass", "env:KEY_PASS")
    cli("renew", run.path, *own, "--out", "renewed")
    renewed = type(run)(cli.folder / "renewed")
    assert renewed.outcomes() == {("issued", "")}
    tools.verify(ca.anchor, [renewed.path / row["cert_file"] for row in renewed.results()])
