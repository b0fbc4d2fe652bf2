"""Opens connections: DNS and TCP, the proxy's CONNECT tunnel (RFC 9110, 9.3.6), TLS."""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Final, cast

import httptools
import httpx

from bulkcmp.errors import Loss, TransportError
from bulkcmp.io.authorization import basic_authorization
from bulkcmp.io.cause import cause
from bulkcmp.io.connection import Connection
from bulkcmp.io.limits import Limits

_PORTS: Final = {"http": 80, "https": 443}
_TLS_SHUTDOWN: Final = 1.0
"""Seconds that a peer has to answer close_notify."""
_MAX_CONNECT_ANSWER: Final = 1 << 16


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """How requests for one origin travel: their connection, and what a proxy adds to their head.

    Attributes:
        host, port: the server that the URL names.
        proxy: the proxy between, or None.
        tls: the connection to the server is TLS, through a tunnel where there is a proxy.
        target_prefix: what makes a request target absolute-form (RFC 9112, 3.2.2).
        fields: header lines for the proxy.
    """

    host: str
    port: int
    proxy: httpx.URL | None
    tls: bool
    target_prefix: bytes
    fields: bytes

    @classmethod
    def of(cls, url: httpx.URL, proxy: httpx.URL | None) -> "Route":
        tls = url.scheme == "https"
        forwarded = proxy is not None and not tls
        return cls(
            host=url.raw_host.decode("ascii"),
            port=url.port or _PORTS[url.scheme],
            proxy=proxy,
            tls=tls,
            target_prefix=b"http://" + url.netloc if forwarded else b"",
            fields=_proxy_fields(proxy) if forwarded and proxy is not None else b"",
        )

    @property
    def peer(self) -> str:
        """What error texts call the other end of the connection; never with credentials."""
        return _authority(self.host, self.port)


class Connector:
    """Opens connections within the connect limit."""

    def __init__(self, limits: Limits, context: Callable[[], ssl.SSLContext]) -> None:
        """Make a connector.

        Args:
            limits: `connect` counts here, the others in the connections.
            context: gives the TLS context; called only where TLS is spoken.
        """
        self._limits = limits
        self._context = context

    async def connect(
        self, route: Route, deadline: float, on_close: Callable[[Connection], None]
    ) -> Connection:
        """Open a connection; it is ready for an exchange.

        Args:
            route: where to.
            deadline: no later than this (`time.monotonic`), nor than the connect limit.
            on_close: called once when the connection ends.

        Raises:
            TransportError: CONNECT or TLS; nothing of a request was sent.
        """
        allowed = min(self._limits.connect, deadline - monotonic())
        attempt = _Attempt(route, self._limits, on_close)
        try:
            async with asyncio.timeout(allowed) as limit:
                return await attempt.run(self._context)
        except (OSError, UnicodeError) as error:
            # a TimeoutError is also what the kernel's own limit gives
            if limit.expired():
                raise TransportError(
                    Loss.CONNECT,
                    f"{attempt.stage} took longer than {allowed:.3g} s",
                    hint=_hint(route),
                ) from None
            raise attempt.failure(error) from error


class _Attempt:
    """One attempt to connect, and the stage that it has reached."""

    def __init__(
        self, route: Route, limits: Limits, on_close: Callable[[Connection], None]
    ) -> None:
        self._route = route
        self._limits = limits
        self._connection = Connection(route.peer, limits, on_close)
        self._in_tls = False
        self.stage = ""

    async def run(self, context: Callable[[], ssl.SSLContext]) -> Connection:
        route, connection = self._route, self._connection
        loop = asyncio.get_running_loop()
        host, port = route.host, route.port
        if route.proxy is not None:
            host, port = route.proxy.raw_host.decode("ascii"), route.proxy.port or 80
            self.stage = f"connecting to the proxy {_authority(host, port)}"
        else:
            self.stage = f"connecting to {route.peer}"
        if not route.tls:
            await loop.create_connection(lambda: connection, host, port)
            return connection
        tunnel = _Tunnel(reads=route.proxy is not None)
        await loop.create_connection(lambda: tunnel, host, port)
        socket = tunnel.socket
        try:
            if route.proxy is not None:
                self.stage = (
                    f"asking the proxy {_authority(host, port)} for a tunnel to {route.peer}"
                )
                await tunnel.open(route.proxy, route.peer)
            connection.reached = monotonic()
            self.stage = f"the TLS handshake with {route.peer}"
            self._in_tls = True
            # until TLS is up, giving up means to end the socket
            connection.attach(socket, socket)
            transport = await loop.start_tls(
                socket,
                connection,
                context(),
                server_hostname=route.host,
                # the connect limit is what ends it; the library's own is 60 s
                ssl_handshake_timeout=self._limits.connect,
                ssl_shutdown_timeout=_TLS_SHUTDOWN,
            )
        except BaseException:
            socket.abort()
            raise
        connection.attach(cast("asyncio.Transport", transport), socket)
        return connection

    def failure(self, error: OSError | UnicodeError) -> TransportError:
        if self._in_tls:
            hint = None
            if isinstance(error, ssl.SSLCertVerificationError):
                hint = "name the CA of the server's TLS certificate with --tls-trusted"
            elif isinstance(error, ssl.SSLError) and error.reason == "WRONG_VERSION_NUMBER":
                hint = "does the server speak TLS on this port?"
            return TransportError(Loss.TLS, f"{self.stage} failed: {cause(error)}", hint=hint)
        return TransportError(
            Loss.CONNECT, f"{self.stage} failed: {cause(error)}", hint=_hint(self._route)
        )


class _Tunnel(asyncio.Protocol):
    """Holds a socket until TLS takes it over; asks a proxy for a tunnel before, if there is one."""

    def __init__(self, *, reads: bool) -> None:
        self._reads = reads
        self._parser = httptools.HttpResponseParser(self)
        # an error is a result too: nobody awaits it where no tunnel is asked for
        self._opened: asyncio.Future[int | Exception] = asyncio.get_running_loop().create_future()
        self._received = 0
        self.socket: asyncio.Transport

    async def open(self, proxy: httpx.URL, peer: str) -> None:
        target = peer.encode("ascii")
        self.socket.write(
            b"CONNECT %s HTTP/1.1\r\nHost: %s\r\n%s\r\n" % (target, target, _proxy_fields(proxy))
        )
        status = await self._opened
        if isinstance(status, Exception):
            raise status
        if not 200 <= status < 300:
            raise TransportError(
                Loss.CONNECT,
                f"the proxy refused a tunnel to {peer}: HTTP {status}",
                status=status,
                hint="give the proxy's user and password as http://USER:PASSWORD@HOST:PORT"
                if status == httpx.codes.PROXY_AUTHENTICATION_REQUIRED
                else None,
            )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.socket = cast("asyncio.Transport", transport)
        self.socket.set_write_buffer_limits(high=0)
        if not self._reads:
            # what comes is for TLS, which resumes reading
            self.socket.pause_reading()

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            # whatever follows the head of a refusal is of no interest
            self._end(ConnectionError(f"malformed HTTP: {error}"))
        if self._received > _MAX_CONNECT_ANSWER:
            self._end(ConnectionError("the answer is too large"))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status >= 200 and not self._opened.done():
            self._opened.set_result(status)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(exc or ConnectionError("closed by the peer"))

    def _end(self, error: Exception) -> None:
        if not self._opened.done():
            self._opened.set_result(error)


def _proxy_fields(proxy: httpx.URL) -> bytes:
    authorization = basic_authorization(proxy)
    return b"" if authorization is None else b"Proxy-Authorization: %s\r\n" % authorization


def _authority(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _hint(route: Route) -> str:
    return (
        f"is the server running, and is {route.peer} right?"
        if route.proxy is None
        else "is the proxy right? --proxy '' goes without one"
    )
