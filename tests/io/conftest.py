"""A scriptable HTTP server, a forward proxy and a small PKI; all of them real, all on loopback."""

import asyncio
import contextlib
import datetime as dt
import ipaddress
import itertools
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bulkcmp.errors import Loss, TransportError
from tests.loopback import listening, read_body, read_head

LOOPS = [
    pytest.param(("asyncio", {"use_uvloop": False}), id="asyncio"),
    pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"),
]


@pytest.fixture(params=LOOPS)
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    backend: tuple[str, dict[str, Any]] = request.param
    if backend[1]["use_uvloop"]:
        pytest.importorskip("uvloop")
    return backend


@dataclass
class Call:
    """One request that a server has read; the script answers it."""

    connection: int
    """Counted from 1 over the server's life."""
    number: int
    """Counted from 1 on its connection."""
    line: str
    headers: dict[str, str]
    body: bytes
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def write(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(
        self,
        body: bytes = b"answer",
        *fields: str,
        status: str = "HTTP/1.1 200 OK",
        length: int | None = None,
    ) -> None:
        head = [status, "Content-Type: application/pkixcmp", *fields]
        head.append(f"Content-Length: {len(body) if length is None else length}")
        await self.write("\r\n".join([*head, "", ""]).encode() + body)

    def close(self) -> None:
        self.writer.close()

    def reset(self) -> None:
        """End the connection so that the client meets a reset, not an end of file."""
        self.writer.transport.abort()

    async def until_closed(self) -> None:
        """Wait until the client has ended the connection."""
        with contextlib.suppress(ConnectionError):
            assert await self.reader.read() == b""


Script = Callable[[Call], Awaitable[None]]


async def answer_plainly(call: Call) -> None:
    await call.answer()


@dataclass
class Server:
    """An HTTP server; `script` answers each request, and may do so in any wrong way."""

    script: Script = answer_plainly
    greeting: bytes = b""
    """Sent when a connection comes."""
    reads: bool = True
    early: bytes = b""
    """Sent a little later by a server that does not read."""
    silent: bool = False
    """Read all and answer nothing, whatever comes."""
    calls: list[Call] = field(default_factory=list)
    accepted: int = 0
    open: int = 0
    most_open: int = 0
    host: str = "127.0.0.1"
    port: int = 0
    scheme: str = "http"
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}/pkix/"

    async def until_open(self, count: int) -> None:
        """Wait until the number of open connections is `count`."""
        async with asyncio.timeout(30):
            while self.open != count:
                self.changed.clear()
                await self.changed.wait()

    async def until_called(self, count: int) -> None:
        """Wait until `count` requests have been read."""
        async with asyncio.timeout(30):
            while len(self.calls) < count:
                self.changed.clear()
                await self.changed.wait()

    @contextlib.asynccontextmanager
    async def serving(self, tls: ssl.SSLContext | None = None) -> AsyncIterator["Server"]:
        self.scheme = "https" if tls else "http"
        async with listening(self._serve, tls) as self.port:
            yield self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        self.writers.append(writer)
        self.changed.set()
        try:
            await self._converse(self.accepted, reader, writer)
        finally:
            self.open -= 1
            self.changed.set()

    async def _converse(
        self, connection: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write(self.greeting)
        if not self.reads:
            await asyncio.sleep(0.05)
            writer.write(self.early)
            await asyncio.sleep(3600)
        while self.silent and await reader.read(65536):
            pass
        for number in itertools.count(1):
            line, headers = await read_head(reader)
            body = await read_body(reader, headers)
            call = Call(connection, number, line, headers, body, reader, writer)
            self.calls.append(call)
            self.changed.set()
            await self.script(call)
            if writer.is_closing():
                return


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with Server().serving() as one:
        yield one


@pytest.fixture
async def other_server() -> AsyncIterator[Server]:
    async with Server().serving() as one:
        yield one


@pytest.fixture
def make_server() -> type[Server]:
    """For servers that are to be started in a special way."""
    return Server


@dataclass
class Proxy:
    """A forward proxy: absolute-form for http, CONNECT for https; it counts what it sees."""

    credentials: str | None = None
    """What Proxy-Authorization must be."""
    tunnel_answer: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n"
    accepted: int = 0
    lines: list[str] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator["Proxy"]:
        async with listening(self._serve) as self.port:
            yield self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        await self._forward(reader, writer)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            line, fields = await read_head(reader)
            self.lines.append(line)
            given = fields.pop("proxy-authorization", None)
            if self.credentials and given != self.credentials:
                writer.write(b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n")
                return
            method, target, _ = line.split(" ")
            if method == "CONNECT":
                writer.write(self.tunnel_answer)
                host, _, port = target.rpartition(":")
                await self._tunnel(reader, writer, host, int(port))
                return
            authority, _, path = target.removeprefix("http://").partition("/")
            host, _, port = authority.partition(":")
            upstream_reader, upstream = await asyncio.open_connection(host, int(port))
            body = await read_body(reader, fields)
            kept = [f"{name}: {value}" for name, value in fields.items()]
            request = "\r\n".join(
                [f"{method} /{path} HTTP/1.1", *kept, "Connection: close", "", ""]
            )
            try:
                upstream.write(request.encode("latin-1") + body)
                writer.write(await upstream_reader.readuntil(b"answer"))
            finally:
                upstream.transport.abort()

    async def _tunnel(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, port: int
    ) -> None:
        upstream_reader, upstream = await asyncio.open_connection(host, port)

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            with contextlib.suppress(ConnectionError):
                while data := await source.read(65536):
                    sink.write(data)
            sink.close()

        try:
            await asyncio.gather(pump(reader, upstream), pump(upstream_reader, writer))
        finally:
            upstream.transport.abort()


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    async with Proxy().serving() as one:
        yield one


@dataclass(frozen=True)
class Pki:
    """PEM files: a CA, a server's and a client's certificate with their keys, and another CA."""

    folder: Path
    password: bytes = b"pass word"

    @property
    def ca(self) -> Path:
        return self.folder / "ca.pem"

    @property
    def other_ca(self) -> Path:
        return self.folder / "other-ca.pem"

    @property
    def client(self) -> Path:
        return self.folder / "client.pem"

    @property
    def client_key(self) -> Path:
        """Encrypted with `password`."""
        return self.folder / "client-key.pem"

    @property
    def server_key(self) -> Path:
        return self.folder / "server-key.pem"

    def server_context(self, *, wants_client: bool = False) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / "server.pem", self.server_key)
        if wants_client:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.ca)
        return context


def _issue(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: str,
    issuer_key: ec.EllipticCurvePrivateKey,
    *extensions: x509.ExtensionType,
) -> x509.Certificate:
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    folder = tmp_path_factory.mktemp("pki")
    pem = serialization.Encoding.PEM
    plain = serialization.NoEncryption()
    keys = {
        name: ec.generate_private_key(ec.SECP256R1())
        for name in ("ca", "other", "server", "client")
    }
    authority = x509.BasicConstraints(ca=True, path_length=None)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificates = {
        "ca.pem": _issue("CA", keys["ca"], "CA", keys["ca"], authority),
        "other-ca.pem": _issue("Other", keys["other"], "Other", keys["other"], authority),
        "server.pem": _issue("server", keys["server"], "CA", keys["ca"], names),
        "client.pem": _issue("client", keys["client"], "CA", keys["ca"]),
    }
    for file, certificate in certificates.items():
        (folder / file).write_bytes(certificate.public_bytes(pem))
    one = Pki(folder)
    pkcs8 = serialization.PrivateFormat.PKCS8
    one.server_key.write_bytes(keys["server"].private_bytes(pem, pkcs8, plain))
    one.client_key.write_bytes(
        keys["client"].private_bytes(
            pem, pkcs8, serialization.BestAvailableEncryption(one.password)
        )
    )
    return one


@contextlib.contextmanager
def _lost(loss: Loss, *words: str) -> Iterator[None]:
    with pytest.raises(TransportError) as caught:
        yield
    assert caught.value.loss is loss, caught.value
    for word in words:
        assert word in str(caught.value)


@pytest.fixture
def lost() -> Callable[..., contextlib.AbstractContextManager[None]]:
    """Call it as `with lost(Loss.CUT, "a word of the text"): ...`."""
    return _lost
