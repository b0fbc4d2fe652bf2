"""The embedded CA behind a real HTTP server: uvicorn."""

import contextlib
import multiprocessing
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import uvicorn

from bulkcmp.errors import BulkcmpError, InputError, Where
from bulkcmp.io import loop
from bulkcmp.testca.aliases import Behaviour
from bulkcmp.testca.app import CRL_PATH
from bulkcmp.testca.personality import Personality, make_app
from bulkcmp.testca.protocol import HttpProtocol
from bulkcmp.testca.state import load_identity, load_mac_identities, load_vendor_root, open_books

DEFAULT_HOST: Final = "127.0.0.1"
DEFAULT_PORT: Final = 8829
DEFAULT_CONNECTIONS: Final = 10_000
DEFAULT_REQUEST_SECONDS: Final = 75
_BACKLOG: Final = 4096
_GRACE_SECONDS: Final = 10
_START_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Where and how to serve a CA.

    Attributes:
        state: the CA's state folder, which `state.create` made.
        port: 0 for any that is free.
        like: the server that it stands for.
        behaviour: how every alias behaves,
        exceptions: but for these, by name.
        url: under which clients reach the server; issued certificates name the CRL there.
        tls_cert: PEM file of the server's certificate and chain; without it, plain HTTP.
        tls_key: PEM file of its key; in `tls_cert` where it is None.
        tls_client_ca: PEM file of the CAs whose certificates clients must have for TLS; None asks
            for none.
        max_connections: what is more is closed unread.
        request_seconds: how long a connection may take for the head of its next request, from the
            answer before on, and again for the body.
    """

    state: Path
    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT
    like: Personality = Personality.BULKCMP
    behaviour: Behaviour = field(default_factory=Behaviour)
    exceptions: Mapping[str, Behaviour] = field(default_factory=dict)
    url: str | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_client_ca: Path | None = None
    max_connections: int = DEFAULT_CONNECTIONS
    request_seconds: int = DEFAULT_REQUEST_SECONDS


def serve(settings: ServerSettings, announce: Callable[[str], None]) -> None:
    """Serve a CA until SIGINT or SIGTERM; requests under way are answered first.

    Args:
        announce: told the URL once connections are accepted.

    Raises:
        InputError: there is no CA, the address can't be used, or the TLS files can't.
    """
    with contextlib.ExitStack() as stack:
        take_signals = stack.enter_context(_interruptible())
        store = open_books(settings.state)
        stack.callback(store.close)
        app = make_app(
            settings.like,
            store,
            load_identity(settings.state),
            settings.behaviour,
            settings.exceptions,
            crl_url=_crl_url(settings.url),
            vendors=(load_vendor_root(settings.state),),
            mac_identities=load_mac_identities(settings.state),
        )
        _check_tls(settings)
        listener = _listen(settings.host, settings.port)
        stack.callback(listener.close)
        config = uvicorn.Config(
            app,
            http=HttpProtocol,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=_BACKLOG,
            # the first number that is too many
            limit_concurrency=settings.max_connections + 1,
            timeout_keep_alive=settings.request_seconds,
            timeout_graceful_shutdown=_GRACE_SECONDS,
            ssl_certfile=settings.tls_cert,
            ssl_keyfile=settings.tls_key,
            ssl_ca_certs=None if settings.tls_client_ca is None else str(settings.tls_client_ca),
            ssl_cert_reqs=ssl.CERT_NONE if settings.tls_client_ca is None else ssl.CERT_REQUIRED,
        )

        def on_started() -> None:
            take_signals()
            announce(_url(settings, listener))

        loop.run(_Server(config, on_started).serve, [listener])


class _Server(uvicorn.Server):
    """Tells when it serves."""

    def __init__(self, config: uvicorn.Config, on_started: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_started = on_started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_started()


@contextlib.contextmanager
def _interruptible() -> Iterator[Callable[[], None]]:
    """Make SIGINT and SIGTERM end the block, quietly; they wait until what is yielded is called.

    uvicorn shuts down in good order on either and raises it again when it is done. Before it has
    its handlers, one could hit the event loop half made.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    former = {number: signal.signal(number, signal.default_int_handler) for number in numbers}

    def take_signals() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    try:
        with contextlib.suppress(KeyboardInterrupt):
            try:
                yield take_signals
            finally:
                take_signals()
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _crl_url(url: str | None) -> str | None:
    if url is None:
        return None
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and parts.hostname and url.isascii()
    except ValueError:
        good = False
    if not good:
        raise InputError(f"{url!r} is no http or https URL", hint="as in http://ca.example:8829")
    return url.removesuffix("/") + CRL_PATH


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # accepted connections inherit it: an answer must not wait for an ACK
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            listener.bind((host, port))
            listener.listen(_BACKLOG)
        except BaseException:
            listener.close()
            raise
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"can't listen on {host} port {port}: {reason}",
            hint="choose another --port; 0 takes any that is free",
        ) from error
    return listener


def _check_tls(settings: ServerSettings) -> None:
    if settings.tls_cert is None:
        if settings.tls_key is not None or settings.tls_client_ca is not None:
            what = "key" if settings.tls_key is not None else "client CA"
            raise InputError(f"a TLS {what} without a certificate", hint="give --tls-cert too")
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(settings.tls_cert, settings.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise InputError(
            f"can't be used for TLS: {error}", where=Where(str(settings.tls_cert))
        ) from error
    if settings.tls_client_ca is None:
        return
    try:
        context.load_verify_locations(settings.tls_client_ca)
    except (OSError, ssl.SSLError) as error:
        raise InputError(
            f"holds no certificate of a CA: {error}", where=Where(str(settings.tls_client_ca))
        ) from error


def _url(settings: ServerSettings, listener: socket.socket) -> str:
    scheme = "http" if settings.tls_cert is None else "https"
    host, port = listener.getsockname()[:2]
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"


@dataclass(frozen=True, slots=True)
class ServerProcess:
    """A CA that serves in a process of its own."""

    url: str
    process: SpawnProcess


@contextlib.contextmanager
def serving(settings: ServerSettings) -> Iterator[ServerProcess]:
    """Serve a CA in a child process while the block runs.

    The child ends with its parent, however that ends.

    Raises:
        BulkcmpError: it did not start; the reason is the child's own.
    """
    context = multiprocessing.get_context("spawn")
    ours, its = context.Pipe()
    process = context.Process(target=_serve_child, args=(settings, its), daemon=True)
    process.start()
    its.close()
    try:
        yield ServerProcess(_started(ours), process)
    finally:
        ours.close()
        process.join(_STOP_SECONDS)
        if process.is_alive():
            process.kill()
            process.join()
        process.close()


def _started(connection: Connection) -> str:
    try:
        if not connection.poll(_START_SECONDS):
            raise BulkcmpError("the CA did not start in time")
        word, text = connection.recv()
    except EOFError:
        raise BulkcmpError("the CA's process ended before it served") from None
    if word == "refused":
        raise InputError(f"the CA did not start: {text}")
    return str(text)


def _serve_child(settings: ServerSettings, connection: Connection) -> None:
    # Ctrl-C goes to every process of the terminal, and the parent still drains through this one
    def announce(url: str) -> None:
        connection.send(("serving", url))
        threading.Thread(target=_end_with_parent, args=(connection,), daemon=True).start()

    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        serve(settings, announce)
    except BulkcmpError as error:
        connection.send(("refused", str(error)))


def _end_with_parent(connection: Connection) -> None:
    with contextlib.suppress(EOFError, OSError):
        connection.recv()
    signal.raise_signal(signal.SIGTERM)
