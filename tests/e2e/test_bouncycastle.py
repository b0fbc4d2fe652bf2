"""bulkcmp with a CA and an end entity on BouncyCastle, the library that EJBCA speaks CMP by."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from bulkcmp.testca.store import CertificateStatus
from tests.e2e.conftest import Tools

if TYPE_CHECKING:
    from tests.e2e.conftest import Ca, Cli, RunFolder, WritePopulation

pytestmark = pytest.mark.peer

SOURCES: Final = Path(__file__).parent / "java"
JARS: Final = tuple(Path(f"/usr/share/java/{name}.jar") for name in ("bcpkix", "bcprov", "bcutil"))
SECRET: Final = "a secret of ours"

IR, KUR, GENM, RR, CERTCONF = "0", "7", "21", "11", "24"
"""Types of PKIBody, as BouncyCastle numbers them."""


@pytest.fixture(scope="session")
def java(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """How to run one of our Java programs."""
    tools = Tools()
    tools.need(all(jar.exists() for jar in JARS), "there is no BouncyCastle on this machine")
    classes = tmp_path_factory.mktemp("classes")
    path = ":".join(map(str, JARS))
    compiler = (tools.program("javac"), "-cp", path, "-d", str(classes))
    subprocess.run([*compiler, *map(str, SOURCES.glob("*.java"))], check=True, timeout=300)
    return (tools.program("java"), "-cp", f"{path}:{classes}")


@dataclass(frozen=True)
class Castle:
    """A CA on BouncyCastle."""

    url: str
    anchor: Path
    log: Path
    options: tuple[str, ...] = ()

    def asked_by(self, *options: str) -> "Castle":
        return replace(self, options=options)

    def requests(self, begin: int = 0) -> list[tuple[str, str]]:
        """The type of each request's body from one on, and what BouncyCastle had to say of it."""
        _, *lines = self.log.read_text().splitlines()
        return [(body, said) for body, _, said in (line.partition(" ") for line in lines[begin:])]

    def count(self) -> int:
        return len(self.requests())


@contextmanager
def castle(java: tuple[str, ...], folder: Path, answers: str) -> Iterator[Castle]:
    anchor, log = folder / "castle.pem", folder / "castle.log"
    with log.open("w") as out:
        process = subprocess.Popen(
            [*java, "Server", str(anchor), SECRET, answers],
            stdin=subprocess.PIPE, stdout=out, stderr=out,
        )  # fmt: skip
    with process:
        try:
            Tools.wait_until(lambda: "\n" in log.read_text(), seconds=100)
            port = log.read_text().splitlines()[0]
            yield Castle(f"http://127.0.0.1:{port}/", anchor, log)
        finally:
            process.kill()


@pytest.fixture(scope="module", params=["mac", "signature"])
def peer(
    request: pytest.FixtureRequest,
    java: tuple[str, ...],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Castle]:
    """A CA on BouncyCastle that answers by MAC, or by signature."""
    with castle(java, tmp_path_factory.mktemp("castle"), request.param) as started:
        secret = ("--ref", "r1", "--secret", f"pass:{SECRET}")
        yield started.asked_by("--server", started.url, "--trusted", str(started.anchor), *secret)


@pytest.fixture
def carry_out(
    cli: "Cli", peer: Castle, write_population: "WritePopulation", run: "RunFolder"
) -> Callable[..., list[tuple[str, str]]]:
    """Has rows done, all of which must come out well; what BouncyCastle says of each request."""

    def carried_out(lines: list[str], outcome: str, *options: object) -> list[tuple[str, str]]:
        before = peer.count()
        cli(
            "enroll", write_population(lines=lines), *peer.options, "--plain-keys",
            "--out", run.path, *options,
        )  # fmt: skip
        assert {row["outcome"] for row in run.results()} == {outcome}
        return peer.requests(before)

    return carried_out


CarryOut = Callable[..., list[tuple[str, str]]]


def times(count: int, *bodies: str) -> list[tuple[str, str]]:
    return sorted((body, "well") for body in bodies * count)


KEYS: Final = ("ec:P-256", "ec:P-521", "rsa:2048", "ed25519", "ed448")


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--digest", "sha1", "--mac", "hmac-sha1", "--implicit-confirm", "--allow-weak"),
        ("--digest", "sha512", "--mac", "hmac-sha512", "--pbm-iterations", "5000", "--cmd", "cr"),
        ("--password-mac", "pbmac1"),
    ],
    ids=" ".join,
)
def test_enrollment(carry_out: CarryOut, options: tuple[str, ...]) -> None:
    rows = [f"{key},/CN={place}/O=Acme/C=NO,{key}" for place, key in enumerate(KEYS)]
    requests = carry_out(["id,subject,newkey", *rows], "issued", *options)
    cmd = "2" if "cr" in options else IR
    # it grants no implicit confirmation
    assert sorted(requests) == times(len(KEYS), cmd, CERTCONF)


def test_several_requests_in_a_message(carry_out: CarryOut) -> None:
    rows = [f"{number},/CN={number}" for number in range(5)]
    requests = carry_out(["id,subject", *rows], "issued", "--certs-per-message", "5")
    assert requests == [(IR, "well"), (CERTCONF, "well")]


def test_a_csr(carry_out: CarryOut, tmp_path: Path, tools: Tools) -> None:
    tools.openssl(
        "req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", tmp_path / "own.key",
        "-subj", "/CN=own", "-out", tmp_path / "own.csr",
    )  # fmt: skip
    assert carry_out(["id,csr", "own,own.csr"], "issued") == [("4", "well"), (CERTCONF, "well")]


def test_general_messages(carry_out: CarryOut) -> None:
    options = ("--cmd", "genm", "--infotype", "caCerts")
    assert carry_out(["id", "a"], "answered", *options) == [(GENM, "well")]


def test_keys_made_at_the_ca(carry_out: CarryOut, run: "RunFolder", tools: Tools) -> None:
    """For a secret; the key of each row is that of its certificate."""
    requests = carry_out(["id,subject", "a,/CN=a", "b,/CN=b"], "issued", "--centralkeygen")
    assert sorted(requests) == times(2, IR, CERTCONF)
    for row in run.results():
        key, certificate = (run.path / row[name] for name in ("key_file", "cert_file"))
        of_key = tools.openssl("pkey", "-in", key, "-pubout")
        assert tools.openssl("x509", "-in", certificate, "-noout", "-pubkey") == of_key


def test_a_life_by_certificate(
    cli: "Cli", peer: Castle, write_population: "WritePopulation", run: "RunFolder"
) -> None:
    """Enrolled by the secret, updated and revoked by the certificate; a key made for it on top."""
    before = peer.count()
    shared = ("--server", peer.url, "--trusted", str(peer.anchor), "--plain-keys", "--out")
    first = write_population(lines=["id,subject,newkey", "a,/CN=a,ed25519", "b,/CN=b,rsa:2048"])
    cli("enroll", first, *peer.options, "--plain-keys", "--out", run.path)
    files = (
        (row["id"], run.path / row["cert_file"], run.path / row["key_file"])
        for row in run.results()
    )
    rows = [",".join(map(str, one)) for one in files]
    owned = write_population(lines=["id,cert,key", *rows], name="owned.csv")
    cli("enroll", owned, *shared, "updated", "--cmd", "kur")
    sealed = write_population(lines=["id,cert,key,subject", f"{rows[1]},/CN=c"], name="sealed.csv")
    cli("enroll", sealed, *shared, "sealed", "--cmd", "cr", "--centralkeygen")
    cli("enroll", owned, *shared, "revoked", "--cmd", "rr")
    said = peer.requests(before)
    assert {one for _, one in said} == {"well"}
    expected = times(2, IR, KUR, RR, CERTCONF, CERTCONF) + times(1, "2", CERTCONF)
    assert sorted(said) == sorted(expected)


def test_a_wrong_secret(
    cli: "Cli", peer: Castle, write_population: "WritePopulation", run: "RunFolder"
) -> None:
    before = peer.count()
    options = [text.replace(SECRET, "no secret") for text in peer.options]
    population = write_population(lines=["id,subject", "a,/CN=a"])
    cli("enroll", population, *options, "--plain-keys", "--out", run.path, code=1)
    ((body, said),) = peer.requests(before)
    assert body == IR
    assert "the MAC is wrong" in said
    assert run.outcomes() == {("rejected", "badRequest")}


Ask = Callable[..., None]


@pytest.fixture
def ask(java: tuple[str, ...], ca: "Ca", tmp_path: Path) -> Ask:
    """Carries out one operation by BouncyCastle at the embedded CA; it must go well."""

    def asked(alias: str, operation: str, protection: str, *files: Path) -> None:
        certificate, key = files or (tmp_path / "ee.pem", tmp_path / "ee.key")
        arguments = (ca.url(alias), ca.anchor, operation, protection, ca.secret, certificate, key)
        command = [*java, "Client", *map(str, arguments)]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
        assert ended.returncode == 0, ended.stderr

    return asked


def test_an_end_entity_with_a_secret(ask: Ask, ca: "Ca") -> None:
    for operation in ("ir", "cr", "p10cr", "genm"):
        before = ca.count()
        ask("ra-hmac", operation, "pbm")
        assert ca.count() == before + (operation != "genm")
    ask("ra-hmac", "rr", "pbm")
    assert ca.issued()[-1].status is CertificateStatus.REVOKED


def test_an_end_entity_with_a_certificate(ask: Ask, ca: "Ca") -> None:
    ask("ra-hmac", "ir", "pbm")
    ask("client-cert", "kur", "signature")
    ask("client-cert", "genm", "signature")
    ask("client-cert", "rr", "signature")
    last, before = ca.issued()[-1], ca.issued()[-2]
    assert last.status is CertificateStatus.REVOKED
    assert before.status is CertificateStatus.CONFIRMED


def test_an_ra(ask: Ask, ca: "Ca", tmp_path: Path) -> None:
    for operation in ("ir", "cr", "p10cr"):
        # what it is given is overwritten by what it gets
        files = (tmp_path / f"{operation}.pem", tmp_path / f"{operation}.key")
        for path, own in zip(files, ("ra.pem", "ra.key"), strict=True):
            path.write_bytes((ca.folder / own).read_bytes())
        ask("ra-cert", operation, "signature", *files)
