"""TLS client certificates, beside the protection of CMP messages and instead of it."""

import datetime as dt
import json
import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bulkcmp.inputs.name import parse_name
from bulkcmp.model import Secret
from bulkcmp.testca import state
from bulkcmp.testca.server import ServerSettings, serving
from bulkcmp.testca.store import Registration
from tests.e2e.conftest import RA_SECRET, Ca
from tests.e2e.pki import make_pki

if TYPE_CHECKING:
    from tests.e2e.conftest import Cli, RunFolder, WritePopulation


@pytest.fixture
def tls(tmp_path: Path) -> Path:
    folder = tmp_path / "tls"
    folder.mkdir()
    make_pki(folder)
    return folder


@pytest.fixture
def ca(tmp_path: Path, tls: Path, cli: "Cli") -> Iterator[Ca]:
    """A CA that talks to clients with a certificate of the TLS CA only."""
    folder = tmp_path / "ca"
    state.create(folder, state.DEFAULT_CA_KEY, dt.datetime.now(dt.UTC))
    with closing(state.open_books(folder)) as books:
        subject = parse_name("/CN=dev1/O=Acme/C=SE")
        books.register([Registration("dev1", "client-regtoken", subject, Secret(b"token"))])
    settings = ServerSettings(
        folder, port=0, tls_cert=tls / "server.pem", tls_client_ca=tls / "ca.pem"
    )
    with serving(settings) as process:
        made = Ca(folder, process.url)
        assert made.url().startswith("https:")
        cli.environ[RA_SECRET] = made.secret
        yield made


def test_beside_a_mac(
    cli: "Cli", ca: Ca, tls: Path, write_population: "WritePopulation", run: "RunFolder"
) -> None:
    client = ("--tls-trusted", tls / "ca.pem", "--tls-cert", tls / "client.pem")
    cli("enroll", write_population(3), *ca.options(), *client, "--out", run.path)
    assert run.outcomes() == {("issued", "")}


def test_instead_of_protection(
    cli: "Cli", ca: Ca, tls: Path, write_population: "WritePopulation", run: "RunFolder"
) -> None:
    population = write_population(lines=["id,subject", "dev1,/CN=dev1/O=Acme/C=SE"])
    client = (
        "--tls-trusted", tls / "ca.pem", "--tls-cert", tls / "client.pem",
        "--tls-key", tls / "client.pem",
    )  # fmt: skip
    options = (
        "--server", ca.url("client-regtoken"), "--trusted", ca.anchor, "--plain-keys",
        "--unprotected-requests", "--regtoken", "pass:token",
    )  # fmt: skip
    cli("enroll", population, *options, *client, "--out", run.path)
    assert run.outcomes() == {("issued", "")}
    # TLS shows who asks, the CA still signs what it answers
    (row,) = run.results()
    assert row["subject"] == "C=SE,O=Acme,CN=dev1"


def test_without_a_client_certificate_nothing_is_issued(
    cli: "Cli", ca: Ca, tls: Path, write_population: "WritePopulation", run: "RunFolder"
) -> None:
    options = (*ca.options(), "--tls-trusted", tls / "ca.pem", "--retries", "0")
    cli("enroll", write_population(2), *options, "--out", run.path, code=1)
    # in TLS 1.3 the request has left by then (RFC 8446, 4.4.2.4), and this server says nothing
    assert run.outcomes() == {("unknown outcome", "connection lost")}
    assert ca.count() == 0


@pytest.fixture
def refusing(tls: Path) -> Iterator[str]:
    """A server that refuses clients without a certificate as TLS has it: by an alert."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls / "server.pem")
    context.load_verify_locations(tls / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with (
                context.wrap_socket(
                    self.request, server_side=True, do_handshake_on_connect=False
                ) as stream,
                suppress(OSError),
            ):
                with suppress(ssl.SSLError):
                    stream.do_handshake()
                # until the client closes: a reset could outrun the alert
                while socket.socket.recv(stream, 1 << 16):
                    pass

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"https://127.0.0.1:{server.server_address[1]}/cmp"
        server.shutdown()
        thread.join()


def test_an_alert_proves_that_nothing_was_processed(
    cli: "Cli",
    ca: Ca,
    tls: Path,
    refusing: str,
    write_population: "WritePopulation",
    run: "RunFolder",
) -> None:
    options = (*ca.options(), "--server", refusing, "--tls-trusted", tls / "ca.pem")
    said = cli("enroll", write_population(3), *options, "--out", run.path, code=1)
    assert run.outcomes() == {("to do", "TLS failed"), ("to do", "")}
    assert "--tls-cert" in said.err + said.out


def test_insecure_is_said_and_recorded(
    cli: "Cli", ca: Ca, tls: Path, write_population: "WritePopulation", run: "RunFolder"
) -> None:
    note = "the TLS server's certificate is not checked (--insecure)"
    insecure = ("--tls-cert", tls / "client.pem", "--insecure")
    said = cli(
        "enroll", write_population(2), *ca.options(), *insecure, "--out", run.path, "--quiet"
    )
    assert f"warning: {note}" in said.err
    assert run.outcomes() == {("issued", "")}
    assert note in run.summary()["notes"]
    # the journal keeps it, so that whoever goes on is told again
    assert f"warning: {note}" in cli("resume", run.path, "--quiet").err
    assert note in run.summary()["notes"]
    compared = cli("reconcile", run.path, "--genm", "--json")
    assert f"warning: {note}" in compared.err
    assert any(note in limit for limit in json.loads(compared.out)["limits"])
    credential = ("--ref", "ra1", "--secret", f"env:{RA_SECRET}", "--trusted", ca.anchor)
    tried = ("probe", "--server", ca.url(), *credential, *insecure, "--subject", "/CN=one")
    said = cli(*tried, "--json")
    assert f"warning: {note}" in said.err
    assert note in json.loads(said.out)["notes"]
