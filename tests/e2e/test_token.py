"""The RA's key on a PKCS#11 token (SoftHSM): from the command line to the CA's books."""

import csv
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from bulkcmp.cmp.events import Phase
from bulkcmp.testca.aliases import Behaviour

if TYPE_CHECKING:
    from tests.conftest import SoftHsm, SoftToken
    from tests.e2e.conftest import Ca, Cli, MakeCa, RunFolder, Tools, WritePopulation

pytestmark = pytest.mark.peer


@pytest.fixture(scope="session")
def token(softhsm: "SoftHsm", shared_ca: "Ca") -> "SoftToken":
    token = softhsm.token("enrolls")
    key = load_pem_private_key((shared_ca.folder / "ra.key").read_bytes(), None)
    token.put_key("signer", key, "01")
    certificate = x509.load_pem_x509_certificate((shared_ca.folder / "ra.pem").read_bytes())
    token.put_certificate("signer", certificate, "01")
    return token


def options(ca: "Ca", token: "SoftToken") -> tuple[object, ...]:
    return (
        "--server", ca.url("ra-cert"), "--trusted", ca.anchor, "--plain-keys", "--workers", "2",
        "--pkcs11-module", token.hsm.module, "--key", token.uri("signer"), "--keypass", "env:PIN",
    )  # fmt: skip


@pytest.fixture
def cli_with_pin(cli: "Cli", token: "SoftToken") -> "Cli":
    cli.environ["SOFTHSM2_CONF"] = str(token.hsm.configuration)
    cli.environ["PIN"] = token.hsm.PIN
    return cli


@pytest.mark.parametrize("more", [(), ("--implicit-confirm",)])
def test_an_ra_with_its_key_on_a_token(
    cli_with_pin: "Cli",
    ca: "Ca",
    token: "SoftToken",
    write_population: "WritePopulation",
    run: "RunFolder",
    more: tuple[str, ...],
) -> None:
    # the certificate is on the token too
    cli_with_pin("enroll", write_population(30), *options(ca, token), *more, "--out", run.path)
    assert run.outcomes() == {("issued", "")}
    assert len(run.results()) == 30


@pytest.mark.parametrize("own_cert", [False, True])
def test_an_ra_s_layers_by_a_key_on_a_token(
    cli_with_pin: "Cli",
    ca: "Ca",
    token: "SoftToken",
    write_population: "WritePopulation",
    run: "RunFolder",
    own_cert: bool,
) -> None:
    layer = (
        *(() if own_cert else ("--ra-cert", ca.folder / "ra.pem")),
        "--ra-key", token.uri("signer"), "--ra-keypass", "env:PIN", "--batch", "4",
        "--pkcs11-module", token.hsm.module,
    )  # fmt: skip
    population = write_population(20)
    cli_with_pin("enroll", population, *ca.options(), *layer, "--out", run.path)
    assert run.outcomes() == {("issued", "")}
    assert any("of 1 layer" in note for note in run.summary()["notes"])


def test_keys_on_a_token_are_certified(
    cli_with_pin: "Cli",
    ca: "Ca",
    softhsm: "SoftHsm",
    write_population: "WritePopulation",
    run: "RunFolder",
    tmp_path: Path,
) -> None:
    token = softhsm.token("devices")
    keys: dict[str, PrivateKeyTypes] = {
        "dev1": ec.generate_private_key(ec.SECP256R1()),
        "dev2": rsa.generate_private_key(65537, 2048),
    }
    for number, (name, key) in enumerate(keys.items()):
        token.put_key(name, key, f"0{number}")
    public: dict[str, PublicKeyTypes] = {name: key.public_key() for name, key in keys.items()}
    public["dev3"] = token.make_ed25519("dev3")
    population = write_population(
        lines=["id,subject", *(f"{name},/CN={name}/O=Acme/C=SE" for name in public)]
    )
    on_token = (
        "--newkey", "pkcs11:token=devices;object={id}", "--newkeypass", "env:PIN",
        "--pkcs11-module", token.hsm.module,
    )  # fmt: skip
    cli_with_pin("enroll", population, *ca.options(), *on_token, "--out", run.path)
    assert run.outcomes() == {("issued", "")}
    for row in run.results():
        assert row["key_file"] == ""
        issued = x509.load_pem_x509_certificate((run.path / row["cert_file"]).read_bytes())
        assert issued.public_key() == public[row["id"]]
        # what is to be renewed signs for that, on the token
        (tmp_path / f"{row['id']}.pem").write_bytes((run.path / row["cert_file"]).read_bytes())
    renewed = tmp_path / "renewed"
    cli_with_pin(
        "enroll", population, "--server", ca.url("client-cert"), "--trusted", ca.anchor,
        "--cmd", "kur", "--key", "pkcs11:token=devices;object={id}", "--keypass", "env:PIN",
        "--cert", "{id}.pem", *on_token, "--out", renewed,
    )  # fmt: skip
    with (renewed / "results.csv").open() as file:
        assert {row["outcome"] for row in csv.DictReader(file)} == {"issued"}


def test_the_pin_of_a_layer_is_kept_nowhere(
    cli_with_pin: "Cli",
    ca: "Ca",
    token: "SoftToken",
    write_population: "WritePopulation",
    run: "RunFolder",
) -> None:
    uri = f"{token.uri('signer')}?module-path={token.hsm.module}&pin-value={token.hsm.PIN}"
    cli_with_pin("enroll", write_population(3), *ca.options(), "--ra-key", uri, "--out", run.path)
    assert f"pin-value={token.hsm.PIN}".encode() not in run.all_bytes()
    ended = cli_with_pin("resume", run.path, code=2)
    assert "--ra-key is needed again: the run folder keeps no secrets" in ended.err
    cli_with_pin("resume", run.path, "--ra-key", uri)


def test_the_pin_is_kept_nowhere(
    cli_with_pin: "Cli",
    ca: "Ca",
    token: "SoftToken",
    write_population: "WritePopulation",
    run: "RunFolder",
) -> None:
    uri = f"{token.uri('signer')}?module-path={token.hsm.module}&pin-value={token.hsm.PIN}"
    ended = cli_with_pin(
        "enroll", write_population(3), "--server", ca.url("ra-cert"), "--trusted", ca.anchor,
        "--cert", ca.folder / "ra.pem", "--key", uri, "--plain-keys", "--out", run.path,
    )  # fmt: skip
    assert run.outcomes() == {("issued", "")}
    assert f"pin-value={token.hsm.PIN}" not in ended.out + ended.err
    assert f"pin-value={token.hsm.PIN}".encode() not in run.all_bytes()
    # that is all that the journal has of it
    ended = cli_with_pin("resume", run.path, code=2)
    assert "--key is needed again: the run folder keeps no secrets" in ended.err
    cli_with_pin("resume", run.path, "--key", uri)


def test_a_wrong_pin_is_found_before_anything_is_sent(
    cli_with_pin: "Cli",
    ca: "Ca",
    token: "SoftToken",
    write_population: "WritePopulation",
    run: "RunFolder",
) -> None:
    cli_with_pin.environ["PIN"] = "987654"
    before = ca.count()
    ended = cli_with_pin(
        "enroll", write_population(3), *options(ca, token), "--out", run.path, code=2
    )
    assert "the token refuses the PIN: pin incorrect" in " ".join(ended.err.split())
    assert "987654" not in ended.err
    assert not run.path.exists()
    assert ca.count() == before


@pytest.mark.parametrize("layered", [False, True])
def test_a_token_that_is_lost_on_the_way(
    cli_with_pin: "Cli",
    make_ca: "MakeCa",
    softhsm: "SoftHsm",
    write_population: "WritePopulation",
    run: "RunFolder",
    tools: "Tools",
    layered: bool,
) -> None:
    """Rows fail with what is wrong; none is lost, no process dies."""
    ca = make_ca(Behaviour(poll_count=2, check_after=3))
    key = load_pem_private_key((ca.folder / "ra.key").read_bytes(), None)
    token = softhsm.token(f"is there for a while, {layered}")
    token.put_key("signer", key, "01")
    given: tuple[object, ...] = (*options(ca, token), "--cert", ca.folder / "ra.pem")
    if layered:
        given = (
            *ca.options(), "--ra-cert", ca.folder / "ra.pem", "--ra-key", token.uri("signer"),
            "--ra-keypass", "env:PIN", "--pkcs11-module", token.hsm.module, "--retries", "0",
        )  # fmt: skip
    process = cli_with_pin.start("enroll", write_population(3), *given, "--out", run.path)
    tools.wait_until(lambda: waiting(run) == 3)
    token.destroy()
    cli_with_pin.finish(process, 1)
    reason = "no RA's layer around the message" if layered else "local error"
    assert run.outcomes() == {("still waiting", reason)}


def waiting(run: "RunFolder") -> int:
    """How many rows the journal knows to wait."""
    with suppress(sqlite3.Error), closing(sqlite3.connect(run.path / "journal.db")) as journal:
        found = journal.execute("SELECT count(*) FROM part WHERE phase = ?", (Phase.WAITING,))
        return int(found.fetchone()[0])
    return 0
