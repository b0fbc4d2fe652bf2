"""What the CA says against the journal: lost answers, books that were edited, revocations behind
our back."""

import csv
import json
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bulkcmp.cmp.messages import BodyType, decode_message
from bulkcmp.testca.aliases import Behaviour

if TYPE_CHECKING:
    from tests.e2e.conftest import (
        Ca,
        Cli,
        MakeCa,
        MakeServer,
        RunFolder,
        Tools,
        WritePopulation,
    )


def losing(ca: "Ca", tools: "Tools", *lost: tuple[BodyType, int]) -> Callable[[int, bytes], Any]:
    """Passes messages on to a CA, and loses the answers to the N-th of a type."""
    seen: dict[BodyType, int] = {}

    def answer(_: int, body: bytes) -> bytes | None:
        kind = decode_message(body).body_type
        seen[kind] = seen.get(kind, 0) + 1
        octets = tools.forward(ca, body)
        return None if (kind, seen[kind]) in lost else octets

    return answer


def edit(ca: "Ca", statement: str, *parameters: object) -> None:
    """Change the CA's books behind its back."""
    with closing(sqlite3.connect(ca.folder / "ca.db")) as books, books:
        assert books.execute(statement, parameters).rowcount == 1, statement


def differences(found: dict[str, Any]) -> set[tuple[str, str, str]]:
    return {(one["kind"], one["id"], one["ca"]) for one in found["differences"]}


def written(run: "RunFolder") -> Iterable[dict[str, str]]:
    with (run.path / "reconciliation.csv").open(newline="") as file:
        return list(csv.DictReader(file))


class Site:
    """A run, and the CA that it was with."""

    def __init__(self, cli: "Cli", ca: "Ca", run: "RunFolder") -> None:
        self.cli, self.ca, self.run = cli, ca, run

    def listed(self) -> Path:
        path = self.cli.folder / "issued.csv"
        self.cli("ca", "issued", "--state", self.ca.folder, "-o", path)
        return path

    def reconcile(self, *options: object, code: int) -> dict[str, Any]:
        ended = self.cli("reconcile", self.run.path, *options, "--json", code=code)
        found: dict[str, Any] = json.loads(ended.out)
        assert found["exit_code"] == code
        return found


def test_answers_that_were_lost(
    cli: "Cli",
    make_ca: "MakeCa",
    make_server: "MakeServer",
    write_population: "WritePopulation",
    run: "RunFolder",
    tools: "Tools",
) -> None:
    ca = make_ca(Behaviour())
    site = Site(cli, ca, run)
    server = make_server(losing(ca, tools, (BodyType.IR, 2), (BodyType.IR, 4)))
    options = ("--server", server.url, *ca.options()[2:], "--concurrency", 1)
    rows = write_population(6)
    cli(
        "enroll", rows, *options, "--implicit-confirm", "--out", run.path, code=1
    )  # fmt: skip
    unknown = [row["id"] for row in run.results() if row["outcome"] == "unknown outcome"]
    assert len(unknown) == 2
    listed = site.listed()

    found = site.reconcile("--issued", listed, code=1)
    assert differences(found) == {("orphaned", one, "valid") for one in unknown}
    assert {one["matched_by"] for one in found["differences"]} == {"public key"}
    # the RA's own certificate is not of the run
    assert (found["listed"], found["strangers"], found["agreed"]) == (7, 1, 4)
    assert {row["id"] for row in written(run)} == set(unknown)

    sealed = {**cli.environ}
    del cli.environ["KEY_PASS"]
    found = site.reconcile("--issued", listed, code=1)
    assert {one["matched_by"] for one in found["differences"]} == {"transactionID"}
    assert any("keys stay sealed" in one for one in found["limits"])
    refused = cli("reconcile", run.path, "--issued", listed, "--adopt", code=2)
    assert "those of the run are sealed" in refused.err
    cli.environ.update(sealed)

    found = site.reconcile("--issued", listed, "--adopt", code=0)
    assert (len(found["adopted"]), found["not_adopted"]) == (2, [])
    cli("resume", run.path)
    assert run.outcomes() == {("issued", ""), ("issued", "adopted")}
    files = [run.path / row["cert_file"] for row in run.results()]
    tools.verify(ca.anchor, files)
    for row in run.results():
        passphrase = ("-passin", f"pass:{tools.passphrase}")
        key = tools.openssl("pkey", "-in", run.path / row["key_file"], *passphrase, "-pubout")
        certificate = run.path / row["cert_file"]
        assert key == tools.openssl("x509", "-in", certificate, "-noout", "-pubkey")
    assert site.reconcile("--issued", site.listed(), code=0)["agreed"] == 6
    text = cli("reconcile", run.path, "--issued", listed).out
    assert "0 differences: 6 of 6 rows" in text


def test_confirmations_that_were_lost(
    cli: "Cli",
    make_ca: "MakeCa",
    make_server: "MakeServer",
    write_population: "WritePopulation",
    run: "RunFolder",
    tools: "Tools",
) -> None:
    ca = make_ca(Behaviour())
    site = Site(cli, ca, run)

    def answer(_: int, body: bytes) -> bytes | None:
        # certConfs never get to the CA
        confirms = decode_message(body).body_type is BodyType.CERT_CONF
        return None if confirms else tools.forward(ca, body)

    server = make_server(answer)
    cli(
        "enroll", write_population(2), "--server", server.url, *ca.options()[2:],
        "--total-timeout", 1, "--retries", 0, "--out", run.path, code=1,
    )  # fmt: skip
    found = site.reconcile("--issued", site.listed(), code=1)
    assert differences(found) == {
        ("unconfirmed", one, "unconfirmed") for one in ("dev000001", "dev000002")
    }
    cli("resume", run.path, "--server", ca.url())
    assert differences(site.reconcile("--issued", site.listed(), code=0)) == set()


def test_what_became_of_certificates_at_the_ca(
    cli: "Cli", make_ca: "MakeCa", write_population: "WritePopulation", run: "RunFolder"
) -> None:
    ca = make_ca(Behaviour())
    site = Site(cli, ca, run)
    cli("enroll", write_population(5), *ca.options(), "--out", run.path)
    serials = {row["id"]: f"{int(row['serial'], 16):x}" for row in run.results()}
    one, two, three = "dev000001", "dev000002", "dev000003"
    edit(ca, "DELETE FROM certificate WHERE serial = ?", serials[one])
    edit(
        ca,
        "UPDATE certificate SET status = 'revoked', reason = 1, revoked_at = issued_at"
        " WHERE serial = ?",
        serials[two],
    )
    edit(
        ca,
        "UPDATE certificate SET status = 'pending confirmation' WHERE serial = ?",
        serials[three],
    )
    with closing(sqlite3.connect(ca.folder / "ca.db")) as books, books:
        books.execute("DELETE FROM crl")

    found = site.reconcile("--issued", site.listed(), code=1)
    assert differences(found) == {
        ("missing", one, "not known"),
        ("revoked", two, "revoked (key_compromise)"),
        ("unconfirmed", three, "unconfirmed"),
    }
    assert found["counts"]["missing"] == 1
    assert found["agreed"] == 2

    # the CRL has the revocation only, and says so
    for source in (("--crl", f"{ca.base}/ca.crl"), ("--genm",)):
        found = site.reconcile(*source, code=1)
        assert differences(found) == {("revoked", two, "revoked (key_compromise)")}
        assert "A CRL tells nothing of what was issued" in found["limits"][0]
        assert found["agreed"] == 4
    text = cli("reconcile", run.path, "--issued", site.listed(), "--genm", code=1).out
    assert "3 differences: 2 of 5 rows" in text
    assert "revoked: the CA has revoked it" in text
    assert "1 entries" in text


def test_revocations_that_the_ca_does_not_know(
    cli: "Cli",
    make_ca: "MakeCa",
    write_population: "WritePopulation",
    run: "RunFolder",
    tmp_path: Path,
) -> None:
    ca = make_ca(Behaviour())
    enrolled = tmp_path / "enrolled"
    cli("enroll", write_population(3), *ca.options(), "--out", enrolled)
    lines = ["id,cmd,oldcert,revreason"]
    lines += [f"dev{n:06},rr,enrolled/certs/dev{n:06}.pem,4" for n in range(1, 4)]
    cli(
        "enroll", write_population(lines=lines, name="revoke.csv"), *ca.options(), "--out", run.path
    )
    site = Site(cli, ca, run)
    assert site.reconcile("--genm", "--issued", site.listed(), code=0)["agreed"] == 3
    with (enrolled / "results.csv").open(newline="") as file:
        serial = f"{int(next(csv.DictReader(file))['serial'], 16):x}"
    edit(
        ca,
        "UPDATE certificate SET status = 'confirmed', reason = NULL, revoked_at = NULL"
        " WHERE serial = ?",
        serial,
    )
    with closing(sqlite3.connect(ca.folder / "ca.db")) as books, books:
        books.execute("DELETE FROM crl")
    crl = tmp_path / "ca.crl"
    cli("ca", "crl", "--state", ca.folder, "-o", crl)
    for evidence in (("--crl", crl), ("--issued", site.listed())):
        assert differences(site.reconcile(*evidence, code=1)) == {
            ("not revoked", "dev000001", "valid")
        }
    # the journal of the enrollment has all of them issued, and the CA has revoked two
    site = Site(cli, ca, type(run)(enrolled))
    assert {kind for kind, *_ in differences(site.reconcile("--crl", crl, code=1))} == {"revoked"}
