"""bulkcmp as a user runs it: real processes against the embedded CA, or against worse servers.

BULKCMP_SCALE=full runs what must hold at its full size; the default is small, with the same
invariants. BULKCMP_PEERS=required makes a missing peer a failure instead of a skip.
"""

import csv
import datetime as dt
import functools
import json
import os
import shutil
import socket
import socketserver
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bulkcmp.testca import state
from bulkcmp.testca.aliases import Behaviour
from bulkcmp.testca.server import ServerSettings, serving
from bulkcmp.testca.store import IssuedCertificate
from tests.processes import descendants, kill_all

if TYPE_CHECKING:
    from tests.e2e.dask import Cluster

FULL = os.environ.get("BULKCMP_SCALE") == "full"
RA_SECRET = "RA_SECRET"
PASSPHRASE = "a passphrase that nothing shows"


@dataclass(frozen=True)
class Ended:
    """A process that ended."""

    code: int
    out: str
    err: str


def check_texts(ended: Ended) -> Ended:
    assert "Traceback" not in ended.err, ended.err
    assert "a bug in bulkcmp" not in ended.err, ended.err
    assert PASSPHRASE not in ended.out + ended.err
    return ended


@dataclass
class Cli:
    """Runs `python -m bulkcmp` in a folder of its own."""

    folder: Path
    environ: dict[str, str]
    _started: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(
        self, *arguments: object, stderr: int = subprocess.PIPE, stdout: int = subprocess.PIPE
    ) -> subprocess.Popen[str]:
        """Start it, in a process group of its own."""
        process = subprocess.Popen(
            [sys.executable, "-m", "bulkcmp", *map(str, arguments)],
            cwd=self.folder,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            text=True,
            start_new_session=True,
        )
        self._started.append(process)
        return process

    def finish(self, process: subprocess.Popen[str], *codes: int, seconds: float = 100) -> Ended:
        """Wait for a process, which must end with one of the exit codes and without a traceback."""
        out, err = process.communicate(timeout=seconds)
        ended = check_texts(Ended(process.returncode, out or "", err or ""))
        assert ended.code in codes, f"exit code {ended.code}\n{ended.out}\n{ended.err}"
        return ended

    def __call__(self, *arguments: object, code: int = 0, seconds: float = 100) -> Ended:
        return self.finish(self.start(*arguments), code, seconds=seconds)

    def close(self) -> None:
        for process in self._started:
            if process.poll() is None:
                process.kill()
            with process:
                pass


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[Cli]:
    # standard output is buffered, as it is for most people
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.lower().endswith("_proxy") and name != "PYTHONUNBUFFERED"
    }
    environ = {**kept, "KEY_PASS": PASSPHRASE, "COLUMNS": "80", "PYTHONWARNINGS": "error"}
    made = Cli(tmp_path, environ)
    yield made
    made.close()


@dataclass(frozen=True)
class Ca:
    """A CA that serves in a process of its own."""

    folder: Path
    base: str

    def url(self, alias: str = "ra-hmac") -> str:
        return f"{self.base}/ejbca/publicweb/cmp/{alias}"

    @property
    def anchor(self) -> Path:
        return self.folder / "ca.pem"

    @functools.cached_property
    def secret(self) -> str:
        """What requests at ra-hmac share."""
        with closing(state.open_books(self.folder)) as books:
            secret = books.alias_secret("ra-hmac")
        assert secret is not None
        return secret.reveal().decode()

    def issued(self) -> list[IssuedCertificate]:
        """What it issued to end entities."""
        with closing(state.open_books(self.folder)) as books:
            return [one for one in books.certificates() if not one.is_ra]

    def transaction_ids(self) -> set[str]:
        """Those in which it issued to end entities, in hex."""
        return {(one.transaction_id or b"").hex() for one in self.issued()}

    def count(self) -> int:
        uri = f"file:{self.folder / 'ca.db'}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True)) as books:
            (found,) = books.execute(
                "SELECT count(*) FROM certificate WHERE transaction_id IS NOT NULL"
            ).fetchone()
        return int(found)

    def options(self, alias: str = "ra-hmac", *, has_pass: bool = True) -> tuple[str, ...]:
        """What `enroll` must be told to use ra-hmac; RA_SECRET holds the secret.

        Args:
            has_pass: a passphrase seals the keys, which takes its time.
        """
        return (
            "--server", self.url(alias), "--ref", "ra1", "--secret", f"env:{RA_SECRET}",
            "--trusted", str(self.anchor), "--workers", "1",
            *(("--key-pass", "env:KEY_PASS") if has_pass else ()),
        )  # fmt: skip


MakeCa = Callable[[Behaviour], Ca]


@pytest.fixture(scope="session")
def shared_ca(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ca]:
    folder = tmp_path_factory.mktemp("ca") / "state"
    state.create(folder, state.DEFAULT_CA_KEY, dt.datetime.now(dt.UTC))
    with serving(ServerSettings(folder, port=0)) as process:
        yield Ca(folder, process.url)


@pytest.fixture
def ca(shared_ca: Ca, cli: Cli) -> Ca:
    """An obliging CA; other tests use it too."""
    cli.environ[RA_SECRET] = shared_ca.secret
    return shared_ca


@pytest.fixture
def make_ca(tmp_path: Path, cli: Cli) -> Iterator[MakeCa]:
    with ExitStack() as stack:

        def make(behaviour: Behaviour) -> Ca:
            """Serve a CA; all that a test makes are one CA, which behaves in several ways."""
            folder = tmp_path / "ca"
            state.create(folder, state.DEFAULT_CA_KEY, dt.datetime.now(dt.UTC))
            settings = ServerSettings(folder, port=0, behaviour=behaviour)
            made = Ca(folder, stack.enter_context(serving(settings)).url)
            cli.environ[RA_SECRET] = made.secret
            return made

        yield make


WritePopulation = Callable[..., Path]


@pytest.fixture
def write_population(tmp_path: Path) -> WritePopulation:
    """Writes a CSV: `write(3)` has three plain rows, `write(lines=[...])` those lines."""

    def write(
        rows: int = 0, *, lines: Sequence[str] = (), name: str = "devices.csv", stem: str = "dev"
    ) -> Path:
        if rows:
            made = (f"{stem}{n:06},/CN={stem}{n:06}/O=Acme/C=SE" for n in range(1, rows + 1))
            lines = ["id,subject", *made]
        path = tmp_path / name
        path.write_text("\n".join(lines) + "\n")
        return path

    return write


@dataclass(frozen=True)
class Transaction:
    """A transaction as the journal names it."""

    id: bytes
    number: int
    outcome: str | None


@dataclass(frozen=True)
class RunFolder:
    """What a run left."""

    path: Path

    def results(self) -> list[dict[str, str]]:
        with (self.path / "results.csv").open(newline="") as file:
            return list(csv.DictReader(file))

    def outcomes(self) -> set[tuple[str, str]]:
        return {(row["outcome"], row["reason"]) for row in self.results()}

    def summary(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.path / "summary.json").read_text())
        return found

    def transactions(self) -> list[Transaction]:
        with closing(sqlite3.connect(self.path / "journal.db")) as journal:
            found = journal.execute("SELECT transaction_id, number, outcome FROM part").fetchall()
        return [Transaction(*one) for one in found]

    def all_bytes(self) -> bytes:
        """Everything in the folder, the journal included."""
        return b"".join(p.read_bytes() for p in sorted(self.path.rglob("*")) if p.is_file())


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """The folder for a run, which does not exist yet."""
    return RunFolder(tmp_path / "run")


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator["Cluster"]:
    """A cluster of one's own, which does not run yet."""
    # which uses what stands here
    from tests.e2e.dask import Cluster

    folder = tmp_path / "cluster"
    folder.mkdir()
    made = Cluster(folder)
    yield made
    made.close()


@dataclass
class ScriptedServer:
    """An HTTP server that answers as it is told.

    Attributes:
        answer: gets a request's number, from 0, and its body; gives the octets of the answer, or
            None to close the connection without one; or raises TimeoutError never to answer, or
            ConnectionAbortedError(octets) to close the connection after these.
        times: when each request was there, monotonic seconds.
    """

    port: int
    answer: Callable[[int, bytes], bytes | None]
    times: list[float] = field(default_factory=list)
    connections: int = 0
    over: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/cmp"


def http_answer(status: str, content_type: str, body: bytes, *headers: str) -> bytes:
    lines = [
        f"HTTP/1.1 {status}",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(body)}",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


MakeServer = Callable[[Callable[[int, bytes], bytes | None]], ScriptedServer]


@pytest.fixture
def make_server() -> Iterator[MakeServer]:
    with ExitStack() as stack:

        def make(answer: Callable[[int, bytes], bytes | None]) -> ScriptedServer:
            class Handler(socketserver.StreamRequestHandler):
                disable_nagle_algorithm = True

                def handle(self) -> None:
                    server.connections += 1
                    with suppress(OSError):
                        while self.rfile.readline().strip():
                            length = 0
                            while line := self.rfile.readline().strip():
                                name, _, value = line.partition(b":")
                                if name.lower() == b"content-length":
                                    length = int(value)
                            body = self.rfile.read(length)
                            with server.lock:
                                number = len(server.times)
                                server.times.append(time.monotonic())
                            try:
                                octets = server.answer(number, body)
                            except TimeoutError:
                                server.over.wait(60)
                                return
                            except ConnectionAbortedError as error:
                                self.wfile.write(error.args[0])
                                return
                            if octets is None:
                                return
                            self.wfile.write(octets)

            class Server(socketserver.ThreadingTCPServer):
                daemon_threads = True
                request_queue_size = 128

            tcp = Server(("127.0.0.1", 0), Handler)
            server = ScriptedServer(tcp.server_address[1], answer)
            thread = threading.Thread(target=tcp.serve_forever, args=(0.05,), daemon=True)
            thread.start()

            def stop() -> None:
                server.over.set()
                tcp.shutdown()
                tcp.server_close()
                thread.join()

            stack.callback(stop)
            return server

        yield make


def forward(ca: Ca, body: bytes) -> bytes:
    """The CA's answer to a request, as a scripted server gives it."""
    request = urllib.request.Request(
        ca.url(), body, {"Content-Type": "application/pkixcmp"}, method="POST"
    )
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as response:
        return http_answer("200 OK", "application/pkixcmp", response.read())


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def wait_until(condition: Callable[[], bool], seconds: float = 120, step: float = 0.01) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(step)


class Tools:
    """What tests need beside fixtures: test modules can't import each other."""

    is_full = FULL
    passphrase = PASSPHRASE
    ca_at = staticmethod(Ca)
    http_answer = staticmethod(http_answer)
    forward = staticmethod(forward)
    free_port = staticmethod(free_port)
    kill_all = staticmethod(kill_all)
    descendants = staticmethod(descendants)
    wait_until = staticmethod(wait_until)

    @staticmethod
    def need(present: bool, reason: str) -> None:
        """Skip the test where a peer is missing, unless the peers are required."""
        if present:
            return
        if os.environ.get("BULKCMP_PEERS") == "required":
            pytest.fail(reason)
        pytest.skip(reason)

    def program(self, name: str) -> str:
        """The path of a program of this machine."""
        found = shutil.which(name)
        self.need(found is not None, f"there is no {name} on this machine")
        assert found is not None
        return found

    def openssl(self, *arguments: str | Path) -> str:
        """What `openssl` prints; it must succeed."""
        command = [self.program("openssl"), *map(str, arguments)]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, f"{command}\n{ended.stdout}\n{ended.stderr}"
        return ended.stdout

    def verify(self, anchor: Path, certificates: Sequence[Path]) -> None:
        """Have `openssl verify` accept every certificate."""
        for start in range(0, len(certificates), 1000):
            batch = certificates[start : start + 1000]
            out = self.openssl("verify", "-CAfile", anchor, *batch)
            assert out.count(": OK\n") == len(batch)


@pytest.fixture
def tools() -> Tools:
    return Tools()
