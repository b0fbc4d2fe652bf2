"""Shipped profiles, each against the kind of server that it is for."""

import datetime as dt
import shlex
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from bulkcmp.cli.main import app
from bulkcmp.inputs.name import parse_name
from bulkcmp.model import Secret
from bulkcmp.testca import state
from bulkcmp.testca.aliases import Behaviour
from bulkcmp.testca.personality import Personality
from bulkcmp.testca.server import ServerSettings, serving
from bulkcmp.testca.store import Registration
from tests.e2e.conftest import RA_SECRET, Ca

if TYPE_CHECKING:
    from tests.e2e.conftest import Cli, MakeCa, RunFolder, Tools, WritePopulation

RA = ("--ref", "ra1", "--secret", f"env:{RA_SECRET}")


@pytest.fixture(scope="module")
def module_ejbca(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ca]:
    folder = tmp_path_factory.mktemp("ca") / "state"
    state.create(folder, state.DEFAULT_CA_KEY, dt.datetime.now(dt.UTC))
    with serving(ServerSettings(folder, port=0, like=Personality.EJBCA)) as process:
        yield Ca(folder, process.url)


@pytest.fixture
def ejbca(module_ejbca: Ca, cli: "Cli") -> Ca:
    cli.environ[RA_SECRET] = module_ejbca.secret
    return module_ejbca


def register(ca: Ca, alias: str, *users: str) -> None:
    with closing(state.open_books(ca.folder)) as books:
        books.register(
            Registration(user, alias, parse_name(f"/CN={user}/O=Acme/C=SE"), Secret(b"pw"))
            for user in users
        )


def enroll(
    cli: "Cli",
    ca: Ca,
    run: "RunFolder",
    profile: str,
    server: str,
    *more: object,
    population: str = "devices.csv",
) -> None:
    """Enroll a population with a profile; all rows must come out with a certificate."""
    cli(
        "enroll", population, "--config", profile, "--server", server, "--trusted", ca.anchor,
        "--plain-keys", "--workers", "1", "--out", run.path, *more,
    )  # fmt: skip
    assert run.outcomes() == {("issued", "")}


def test_ejbca_client_hmac_and_client_cert(
    cli: "Cli", ejbca: Ca, run: "RunFolder", write_population: "WritePopulation", tmp_path: Path
) -> None:
    users = ("hmac1", "hmac2")
    register(ejbca, "client-hmac", *users)
    rows = [f"{user},{user},pass:pw,/CN={user}/O=Acme/C=SE" for user in users]
    write_population(lines=["id,ref,secret,subject", *rows])
    enroll(cli, ejbca, run, "ejbca-client-hmac", ejbca.url("client-hmac"))
    assert {row["confirm_s"] for row in run.results()} == {""}
    # with what they got
    rows = [
        f"{row['id']},kur,{run.path / row['cert_file']},{run.path / row['key_file']}"
        for row in run.results()
    ]
    write_population(lines=["id,cmd,cert,key", *rows])
    again = type(run)(tmp_path / "again")
    enroll(cli, ejbca, again, "ejbca-client-cert", ejbca.url("client-cert"))


def test_ejbca_ra_hmac(
    cli: "Cli", ejbca: Ca, run: "RunFolder", write_population: "WritePopulation"
) -> None:
    write_population(2)
    enroll(cli, ejbca, run, "ejbca-ra-hmac", ejbca.url("ra-hmac"), *RA)


def test_ejbca_ra_cert(
    cli: "Cli", ejbca: Ca, run: "RunFolder", write_population: "WritePopulation"
) -> None:
    write_population(2, stem="cert")
    key = ("--cert", ejbca.folder / "ra.pem", "--key", ejbca.folder / "ra.key")
    enroll(cli, ejbca, run, "ejbca-ra-cert", ejbca.url("ra-cert"), *key)


def test_ejbca_nested(
    cli: "Cli", ejbca: Ca, run: "RunFolder", write_population: "WritePopulation"
) -> None:
    register(ejbca, "nested", "in1", "in2")
    rows = [f"{user},{user},pass:pw,/CN={user}/O=Acme/C=SE" for user in ("in1", "in2")]
    write_population(lines=["id,ref,secret,subject", *rows])
    layer = ("--ra-cert", ejbca.folder / "ra.pem", "--ra-key", ejbca.folder / "ra.key")
    enroll(cli, ejbca, run, "ejbca-nested", ejbca.url("nested"), *layer)


def test_3gpp(
    cli: "Cli", ca: Ca, run: "RunFolder", write_population: "WritePopulation", tmp_path: Path
) -> None:
    # other tests of this CA know stations by other names
    stations = write_population(
        lines=["id,subject", "b1,/CN=b1/O=Acme/C=SE", "b2,/CN=b2/O=Acme/C=SE"], name="s.csv"
    )
    cli("ca", "vendor-cert", "--state", ca.folder, "--csv", stations, "--out", tmp_path / "made")
    enroll(cli, ca, run, "3gpp", ca.url("3gpp"), population="made/devices.csv")
    assert "" not in {row["confirm_s"] for row in run.results()}


@pytest.mark.parametrize("path", ["", "/.well-known/cmp/p/ra-hmac"])
def test_rfc9483(
    cli: "Cli", ca: Ca, run: "RunFolder", write_population: "WritePopulation", path: str
) -> None:
    write_population(2)
    enroll(cli, ca, run, "rfc9483", ca.base + path, *RA)


def test_xipki(cli: "Cli", ca: Ca, run: "RunFolder", write_population: "WritePopulation") -> None:
    write_population(2)
    more = ("--srvcert", ca.anchor, "--profile", "tls", *RA)
    enroll(cli, ca, run, "xipki", ca.url("ra-hmac"), *more)


@pytest.mark.parametrize("profile", ["insta", "siemens-lra"])
def test_other_servers(
    cli: "Cli", ca: Ca, run: "RunFolder", write_population: "WritePopulation", profile: str
) -> None:
    """Another path is all that we have of theirs."""
    write_population(1)
    enroll(cli, ca, run, profile, ca.url("ra-hmac"), *RA)


def test_options_and_later_profiles_win(
    cli: "Cli", ca: Ca, run: "RunFolder", write_population: "WritePopulation", tmp_path: Path
) -> None:
    write_population(1)
    (tmp_path / "site.toml").write_text(
        f'server = "{ca.url("ra-hmac")}"\ntrusted = ["{ca.anchor}"]\nref = "ra1"\n'
        f'secret = "env:{RA_SECRET}"\nplain_keys = true\naccept_protection = "mac"\n'
    )
    both = ("--config", "ejbca-ra-hmac", "--config", "site.toml", "--no-implicit-confirm")
    cli("enroll", "devices.csv", *both, "--out", run.path)
    (row,) = run.results()
    assert (row["outcome"], row["confirm_s"] != "") == ("issued", True)


# --- from openssl cmp -----------------------------------------------------------------------------


def bulkcmp(*words: str) -> str:
    """Run a command in this process: a recipe has many."""
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, f"{done.output}{done.exception!r}"
    return done.output


def test_the_recipes_of_openssl_cmp(
    make_ca: "MakeCa", tools: "Tools", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `bulkcmp ca recipes` prints for openssl cmp, of today and of old, run by bulkcmp."""
    monkeypatch.chdir(tmp_path)
    # at the CA that others use, an end entity of theirs may have the name
    ca = make_ca(Behaviour())
    done = []
    for line in bulkcmp("ca", "recipes", "--state", str(ca.folder), "--url", ca.base).splitlines():
        words = shlex.split(line.removeprefix("# before OpenSSL 3.0: "))
        match words[:2]:
            case ["bulkcmp", "ca"]:
                bulkcmp(*words[1:])
            case ["openssl", "cmp"]:
                for option, value in pairwise(words):
                    if option in ("-secret", "-pass"):
                        monkeypatch.setenv("CMP_SECRET", value.removeprefix("pass:"))
                said = bulkcmp("profiles", "from-openssl", shlex.join(words)).splitlines()
                (line,) = (one for one in said if one.startswith("#   bulkcmp probe "))
                outcome = "revoked" if words[3] == "rr" else "issued"
                assert f"\noutcome: {outcome}\n" in bulkcmp(*shlex.split(line)[2:])
                done.append(words[3])
            case ["openssl", _]:
                tools.openssl(*words[1:])
    assert done == ["ir", "ir", "ir", "ir", "ir", "ir", "kur", "ir", "rr"]
    tools.verify(ca.anchor, [tmp_path / f"c{number}.pem" for number in (1, 2, 3, 4, 6, 7)])


def test_a_profile_from_openssl_cmp(
    cli: "Cli", ca: Ca, run: "RunFolder", write_population: "WritePopulation"
) -> None:
    write_population(2)
    key = f"-cert {ca.folder}/ra.pem -key {ca.folder}/ra.key -newkey k.pem"
    server = f"-server {ca.base} -path ejbca/publicweb/cmp/ra-cert -trusted {ca.anchor}"
    command = f"openssl cmp -cmd cr {server} {key}"
    (cli.folder / "ca.toml").write_text(cli("profiles", "from-openssl", command).out)
    options = ("--config", "ca.toml", "--newkey", "ec:P-256", "--plain-keys")
    cli("enroll", "devices.csv", *options, "--out", run.path)
    assert run.outcomes() == {("issued", "")}
    assert {row["cmd"] for row in run.results()} == {"cr"}
