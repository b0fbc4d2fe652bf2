import asyncio
import datetime as dt
import socket
import ssl
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from bulkcmp.errors import InputError, Loss
from bulkcmp.io import connector
from bulkcmp.io.limits import Limits
from bulkcmp.io.times import TIMES_EXTENSION
from bulkcmp.io.tls import tls_context
from bulkcmp.io.transport import Transport
from bulkcmp.model import Secret

if TYPE_CHECKING:
    from tests.io.conftest import Call, Pki, Server

Lost = Callable[..., AbstractContextManager[None]]


@asynccontextmanager
async def client(
    tls: ssl.SSLContext | None = None, limits: Limits | None = None
) -> AsyncIterator[httpx.AsyncClient]:
    transport = Transport(limits, tls=tls, environ={})
    async with httpx.AsyncClient(transport=transport, timeout=None) as one:
        yield one


@pytest.fixture
async def secure(pki: "Pki", make_server: "Callable[[], Server]") -> AsyncIterator["Server"]:
    async with make_server().serving(pki.server_context()) as one:
        yield one


@pytest.mark.anyio
async def test_round_trips(secure: "Server", pki: "Pki") -> None:
    async with client(tls_context(trusted=[pki.other_ca, pki.ca])) as http:
        first = await http.post(secure.url, content=b"request")
        second = await http.post(secure.url, content=bytes(300_000))
        assert (first.content, second.content) == (b"answer", b"answer")
        times = first.extensions[TIMES_EXTENSION]
        assert times.started < times.reached < times.connected
        assert times.connected <= times.sent <= times.first_byte <= times.finished
        again = second.extensions[TIMES_EXTENSION]
        assert (again.reused, again.reached, again.connected) == (True, None, None)
        assert [len(one.body) for one in secure.calls] == [7, 300_000]
        assert secure.open == 1
    await secure.until_open(0)
    assert secure.accepted == 1


@pytest.mark.anyio
async def test_server_that_is_not_trusted(secure: "Server", pki: "Pki", lost: Lost) -> None:
    async with client(tls_context(trusted=[pki.other_ca])) as http:
        with lost(Loss.TLS, "TLS handshake with 127.0.0.1", "unable to get local issuer"):
            await http.post(secure.url)
        await secure.until_open(0)
    assert secure.calls == []


@pytest.mark.anyio
async def test_the_system_does_not_trust_our_ca(secure: "Server", lost: Lost) -> None:
    async with client() as http:
        with lost(Loss.TLS, "certificate"):
            await http.post(secure.url)


@pytest.mark.anyio
async def test_certificate_of_another_host(secure: "Server", pki: "Pki", lost: Lost) -> None:
    async with client(tls_context(trusted=[pki.ca])) as http:
        with lost(Loss.TLS, "'localhost'", "ismatch"):
            await http.post(f"https://localhost:{secure.port}/")


@pytest.mark.anyio
async def test_insecure_checks_neither_certificate_nor_name(secure: "Server", pki: "Pki") -> None:
    other = secure.url.replace("127.0.0.1", "localhost")
    async with client(tls_context(insecure=True)) as http:
        assert (await http.post(secure.url)).content == b"answer"
        assert (await http.post(other)).content == b"answer"


@pytest.mark.anyio
async def test_server_without_tls(server: "Server", pki: "Pki", lost: Lost) -> None:
    server.greeting = b"220 mail.example.com ESMTP\r\n"
    async with client(tls_context(trusted=[pki.ca])) as http:
        with lost(Loss.TLS, "wrong version number"):
            await http.post(f"https://127.0.0.1:{server.port}/")
        await server.until_open(0)


@pytest.mark.skipif(
    sys.version_info < (3, 11, 4), reason="asyncio itself reads on here (CPython's gh-103607)"
)
@pytest.mark.anyio
@pytest.mark.parametrize(
    "anyio_backend", [("asyncio", {"use_uvloop": False})], ids=["asyncio"], indirect=True
)
async def test_what_comes_before_tls_is_left_to_tls(
    server: "Server", pki: "Pki", lost: Lost, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_connection = asyncio.BaseEventLoop.create_connection

    async def slowly(*arguments: Any, **options: Any) -> Any:
        made = await create_connection(*arguments, **options)
        await asyncio.sleep(0.05)
        return made

    monkeypatch.setattr(asyncio.BaseEventLoop, "create_connection", slowly)
    server.greeting = b"220 mail.example.com ESMTP\r\n"
    server.silent = True
    async with client(tls_context(trusted=[pki.ca]), Limits(connect=5)) as http:
        with lost(Loss.TLS, "wrong version number"):
            await http.post(f"https://127.0.0.1:{server.port}/")


@pytest.mark.anyio
async def test_an_anchor_need_not_be_a_root(secure: "Server", pki: "Pki") -> None:
    async with client(tls_context(trusted=[pki.folder / "server.pem"])) as http:
        assert (await http.post(secure.url)).content == b"answer"


@pytest.mark.anyio
async def test_handshake_that_ends_early(server: "Server", pki: "Pki", lost: Lost) -> None:
    async def hang_up() -> None:
        await server.until_open(1)
        server.writers[0].transport.abort()

    server.reads = False
    async with client(tls_context(trusted=[pki.ca])) as http, asyncio.TaskGroup() as group:
        group.create_task(hang_up())
        with lost(Loss.TLS, "TLS handshake"):
            await http.post(f"https://127.0.0.1:{server.port}/")


@pytest.mark.anyio
async def test_handshake_counts_in_the_connect_limit(
    server: "Server", pki: "Pki", lost: Lost
) -> None:
    server.silent = True
    async with client(tls_context(trusted=[pki.ca]), Limits(connect=0.1)) as http:
        with lost(Loss.CONNECT, "TLS handshake", "took longer than 0.1"):
            await http.post(f"https://127.0.0.1:{server.port}/")
        await server.until_open(0)


@pytest.mark.anyio
async def test_client_certificate(pki: "Pki", make_server: "Callable[[], Server]") -> None:
    async with make_server().serving(pki.server_context(wants_client=True)) as server:
        tls = tls_context(
            trusted=[pki.ca],
            certificate=pki.client,
            key=pki.client_key,
            key_password=Secret(pki.password),
        )
        async with client(tls) as http:
            assert (await http.post(server.url)).content == b"answer"


@pytest.mark.anyio
async def test_client_certificate_that_is_missing(pki: "Pki", lost: Lost) -> None:
    """In TLS 1.3 the server's refusal comes when our handshake is over and the request is sent."""
    tls = pki.server_context(wants_client=True)
    done = threading.Event()

    def refuse(listener: socket.socket) -> None:
        # asyncio's server would close without the alert
        accepted, _ = listener.accept()
        with tls.wrap_socket(accepted, server_side=True, do_handshake_on_connect=False) as one:
            with pytest.raises(ssl.SSLError, match="PEER_DID_NOT_RETURN_A_CERTIFICATE"):
                one.do_handshake()
            done.wait(10)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        async with client(tls_context(trusted=[pki.ca])) as http, asyncio.TaskGroup() as group:
            group.create_task(asyncio.to_thread(refuse, listener))
            try:
                with lost(Loss.TLS, "certificate required"):
                    await http.post(f"https://127.0.0.1:{port}/")
            finally:
                done.set()


@pytest.mark.anyio
@pytest.mark.parametrize(
    "part",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\n\r\nmaybe half",
    ],
)
async def test_end_without_close_notify_is_a_cut(
    secure: "Server", pki: "Pki", lost: Lost, part: bytes
) -> None:
    async def script(call: "Call") -> None:
        await call.write(part)
        call.reset()

    secure.script = script
    async with client(tls_context(trusted=[pki.ca])) as http:
        with lost(Loss.CUT):
            await http.post(secure.url)


@pytest.mark.anyio
async def test_an_answer_without_length_ends_by_close_notify(secure: "Server", pki: "Pki") -> None:
    async def script(call: "Call") -> None:
        await call.write(b"HTTP/1.1 200 OK\r\n\r\nall")
        call.close()

    secure.script = script
    async with client(tls_context(trusted=[pki.ca])) as http:
        assert (await http.post(secure.url)).content == b"all"


@pytest.mark.anyio
async def test_cancelling_closes_the_connection(secure: "Server", pki: "Pki") -> None:
    async def script(call: "Call") -> None:
        await call.until_closed()

    secure.script = script
    async with client(tls_context(trusted=[pki.ca])) as http:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await http.post(secure.url)
        await secure.until_open(0)


@pytest.mark.anyio
async def test_reused_connection_that_ended(secure: "Server", pki: "Pki", lost: Lost) -> None:
    async def script(call: "Call") -> None:
        if call.number > 1:
            call.close()
        else:
            await call.answer()

    secure.script = script
    async with client(tls_context(trusted=[pki.ca])) as http:
        await http.post(secure.url)
        with lost(Loss.REUSED):
            await http.post(secure.url)


@pytest.mark.anyio
@pytest.mark.parametrize("cancelled", [False, True])
async def test_closing_waits_little_for_a_peer_that_does_not_close(
    pki: "Pki", monkeypatch: pytest.MonkeyPatch, cancelled: bool
) -> None:
    monkeypatch.setattr(connector, "_TLS_SHUTDOWN", 5.0 if cancelled else 0.1)
    tls = pki.server_context()
    done = threading.Event()

    def answer_once(listener: socket.socket) -> None:
        accepted, _ = listener.accept()
        with tls.wrap_socket(accepted, server_side=True) as one:
            one.recv(65536)
            one.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            done.wait(10)

    transport = Transport(tls=tls_context(trusted=[pki.ca]), environ={})
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}/"
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.to_thread(answer_once, listener))
            try:
                await transport.handle_async_request(httpx.Request("POST", url))
                with anyio.move_on_after(0.1 if cancelled else 3) as scope:
                    await transport.aclose()
                assert scope.cancelled_caught is cancelled
            finally:
                done.set()
    await asyncio.sleep(0)
    assert transport._connections == set()


# -- contexts ----------------------------------------------------------------------------------


def test_tls_1_2_is_the_least(pki: "Pki") -> None:
    context = tls_context(trusted=[pki.ca])
    assert context.minimum_version.name == "TLSv1_2"
    assert context.check_hostname
    assert context.verify_mode.name == "CERT_REQUIRED"
    assert len(context.get_ca_certs()) == 1


def test_certificate_and_key_in_one_file(pki: "Pki", tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes((pki.folder / "server.pem").read_bytes() + pki.server_key.read_bytes())
    tls_context(trusted=[pki.ca], certificate=both)


def test_a_password_that_is_not_needed_does_no_harm(pki: "Pki") -> None:
    tls_context(
        trusted=[pki.ca],
        certificate=pki.folder / "server.pem",
        key=pki.server_key,
        key_password=Secret(b"x"),
    )


@pytest.mark.parametrize(
    ("files", "password", "place", "words"),
    [
        ({"trusted": "missing.pem"}, None, "missing.pem", "can't be read: No such file"),
        ({"trusted": "empty.pem"}, None, "empty.pem", "no trusted TLS certificate"),
        ({"trusted": "client-key.pem"}, None, "client-key.pem", "no trusted TLS certificate"),
        ({"certificate": "missing.pem"}, None, "missing.pem", "can't be read"),
        ({"certificate": "empty.pem"}, None, "empty.pem", "no TLS client certificate"),
        ({"certificate": "client.pem"}, None, "client.pem", "no PEM private key"),
        ({"certificate": "client.pem", "key": "missing.pem"}, None, "missing.pem", "can't be read"),
        (
            {"certificate": "client.pem", "key": "client-key.pem"},
            None,
            "client-key.pem",
            "is encrypted",
        ),
        (
            {"certificate": "client.pem", "key": "client-key.pem"},
            b"hunter2",
            "client-key.pem",
            "password of the TLS client key is wrong",
        ),
        (
            {"certificate": "client.pem", "key": "server-key.pem"},
            None,
            "server-key.pem",
            "is not the key of the certificate",
        ),
        ({"key": "server-key.pem"}, None, "server-key.pem", "without its certificate"),
    ],
)
def test_files_that_can_not_be_used(
    pki: "Pki", files: dict[str, str], password: bytes | None, place: str, words: str
) -> None:
    (pki.folder / "empty.pem").touch()
    paths = {name: pki.folder / file for name, file in files.items()}
    with pytest.raises(InputError, match=words) as caught:
        tls_context(
            trusted=[paths.get("trusted", pki.ca)],
            certificate=paths.get("certificate"),
            key=paths.get("key"),
            key_password=None if password is None else Secret(password),
        )
    assert caught.value.where is not None
    assert caught.value.where.file.endswith(place)
    assert "hunter2" not in repr(caught.value) + str(caught.value.__cause__)


def test_key_that_openssl_refuses(tmp_path: Path, pki: "Pki") -> None:
    key = rsa.generate_private_key(65537, 1024)
    name = x509.Name([])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + dt.timedelta(1))
    ).sign(key, hashes.SHA256())
    both = tmp_path / "both.pem"
    both.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    with pytest.raises(InputError, match="can't be used: ee key too small"):
        tls_context(trusted=[pki.ca], certificate=both)
