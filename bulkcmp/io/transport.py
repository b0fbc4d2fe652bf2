"""The HTTP transport under `httpx.AsyncClient`: a pool that is quick at thousands of connections.

httpcore, which httpx brings, rescans its whole pool for every request; here a request takes the
connection that was used last, in constant time.
"""

import asyncio
import os
import ssl
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from time import monotonic
from typing import Any, Final

import httpx

from bulkcmp.errors import InputError, Loss, TransportError
from bulkcmp.io.connection import Answer, Connection, Headers
from bulkcmp.io.connector import Connector, Route
from bulkcmp.io.limits import Limits
from bulkcmp.io.proxy import proxy_for
from bulkcmp.io.times import REPEATED_EXTENSION, TIMES_EXTENSION, ExchangeTimes
from bulkcmp.io.tls import tls_context

_OTHERWISE_FRAMED: Final = frozenset({"HEAD", "CONNECT"})
_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding"})


class Transport(httpx.AsyncBaseTransport):
    """HTTP/1.1 over pooled connections, direct or through an HTTP proxy.

    It lives in one asyncio event loop. Give it to `httpx.AsyncClient(transport=Transport(...),
    trust_env=False, timeout=None)`: the limits are its own. A response carries its `ExchangeTimes`
    as `extensions["bulkcmp.times"]`, and whether its request was sent twice as
    `extensions["bulkcmp.repeated"]`.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        tls: ssl.SSLContext | None = None,
        proxy: str | None = None,
        environ: Mapping[str, str] = os.environ,
        retry_reused: bool = False,
    ) -> None:
        """Make a transport without any connection.

        Args:
            limits: seconds, bytes and connections; the defaults of `Limits`.
            tls: the context for https; by default one with the system's trust anchors.
            proxy: the proxy's URL, or the empty text for none whatever the environment says.
            environ: where HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY are looked up.
            retry_reused: send a request once more, on a fresh connection, when a reused one ends
                without one byte of an answer. It is for servers that close kept connections
                without saying so; others may process the request twice.
        """
        self._limits = limits or Limits()
        self._tls = tls
        self._proxy = proxy
        self._environ = environ
        self._retry_reused = retry_reused
        self._connector = Connector(self._limits, lambda: self._context)
        self._origins: dict[tuple[bytes, bytes, int | None], _Origin] = {}
        # a slot is the right to have one connection: taken before it is opened, given back after
        # it is given up
        self._slots = self._limits.connections
        self._waiting: deque[_Turn] = deque()
        self._connections: set[Connection] = set()
        self._closing: asyncio.Future[None] | None = None

    @cached_property
    def _context(self) -> ssl.SSLContext:
        return self._tls or tls_context()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send `request`, and return its answer, read to the end.

        Raises:
            TransportError: no complete answer came; never an httpx exception.
            InputError: the proxy that the environment names can't be used.
            ValueError: HEAD or CONNECT, whose answers are framed otherwise.
        """
        started = monotonic()
        deadline = started + self._limits.total
        origin = self._origin(request.url)
        data = await _serialise(request, origin.route)
        connection, connected = await self._take(origin, started, deadline)
        repeated = False
        try:
            try:
                answer = await connection.exchange(data, deadline)
            except TransportError as error:
                if error.loss is not Loss.REUSED or not self._retry_reused:
                    raise
                repeated = True
                connection = await self._open(origin, deadline)
                connected = monotonic()
                answer = await connection.exchange(data, deadline)
        finally:
            self._give_back(origin, connection)
        reached = None if connected is None else connection.reached
        return _response(answer, started, reached, connected, repeated)

    async def aclose(self) -> None:
        """Close every connection; what is under way fails."""
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_future()
        for turn in self._waiting:
            if not turn.granted.done():
                turn.granted.set_result(None)
        self._waiting.clear()
        for connection in tuple(self._connections):
            if connection.is_usable:
                connection.close()
            else:
                connection.abort()
        try:
            if self._connections:
                await asyncio.shield(self._closing)
        finally:
            for connection in tuple(self._connections):
                connection.abort()

    # -- pool ----------------------------------------------------------------------------------

    def _origin(self, url: httpx.URL) -> "_Origin":
        key = (url.raw_scheme, url.raw_host, url.port)
        origin = self._origins.get(key)
        if origin is None:
            if url.scheme not in ("http", "https") or not url.host:
                raise InputError("the server's URL must start with http:// or https://")
            proxy = proxy_for(url, self._environ, self._proxy)
            origin = self._origins[key] = _Origin(Route.of(url, proxy))
        return origin

    async def _take(
        self, origin: "_Origin", now: float, deadline: float
    ) -> tuple[Connection, float | None]:
        """A connection, and when it was made if it is a new one."""
        while origin.idle:
            connection, _ = origin.idle.popitem()
            if connection.is_usable and now - connection.idle_since <= self._limits.idle:
                return connection, None
            # when the one used last is too old, all are: each is closed, since a server that
            # takes one connection at a time waits for that
            connection.close()
            self._slots += 1
        if self._slots:
            self._slots -= 1
        elif not self._evict():
            granted = await self._turn(origin, deadline)
            if granted is not None and granted.is_usable:
                return granted, None
        try:
            return await self._open(origin, deadline), monotonic()
        except BaseException:
            self._free_slot()
            raise

    async def _open(self, origin: "_Origin", deadline: float) -> Connection:
        def forget(connection: Connection) -> None:
            self._forget(origin, connection)

        connection = await self._connector.connect(origin.route, deadline, forget)
        if self._closing is not None:
            connection.abort()
            raise _closed()
        if not connection.is_lost:
            self._connections.add(connection)
        return connection

    def _forget(self, origin: "_Origin", connection: Connection) -> None:
        self._connections.discard(connection)
        if connection in origin.idle:
            del origin.idle[connection]
            self._slots += 1
        if self._closing is not None and not self._connections and not self._closing.done():
            self._closing.set_result(None)

    def _evict(self) -> bool:
        """Close another origin's idle connection and take its slot, if there is one."""
        for origin in self._origins.values():
            if origin.idle:
                oldest = next(iter(origin.idle))
                del origin.idle[oldest]
                oldest.close()
                return True
        return False

    async def _turn(self, origin: "_Origin", deadline: float) -> Connection | None:
        """Wait for a slot; with it may come a connection to the origin."""
        granted: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Turn(origin, granted))
        started = monotonic()
        try:
            async with asyncio.timeout(deadline - started):
                return await granted
        except BaseException as error:
            if granted.done() and not granted.cancelled():
                self._pass_on(origin, granted.result())
            if isinstance(error, TimeoutError):
                raise TransportError(
                    Loss.CONNECT,
                    f"no connection to {origin.route.peer} was free for {monotonic() - started:.3g}"
                    f" s; {self._limits.connections} are in use",
                    hint="lower --concurrency, or allow more connections",
                ) from None
            raise

    def _give_back(self, origin: "_Origin", connection: Connection) -> None:
        """End the use of a connection; a failed one is closed already."""
        if connection.is_usable and self._closing is None:
            self._pass_on(origin, connection)
        else:
            connection.close()
            self._free_slot()

    def _pass_on(self, origin: "_Origin", connection: Connection | None) -> None:
        if connection is None or not connection.is_usable:
            self._free_slot()
            return
        turn = self._next_turn()
        if turn is None:
            origin.idle[connection] = None
        elif turn.origin is origin:
            turn.granted.set_result(connection)
        else:
            connection.close()
            turn.granted.set_result(None)

    def _free_slot(self) -> None:
        turn = self._next_turn()
        if turn is None:
            self._slots += 1
        else:
            turn.granted.set_result(None)

    def _next_turn(self) -> "_Turn | None":
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.granted.done():
                return turn
        return None


class _Origin:
    """A server as its URLs name it (RFC 6454): the way there, and its idle connections.

    `idle` is ordered by time of last use and used as a stack, so that surplus connections grow old
    at its bottom.
    """

    __slots__ = ("idle", "route")

    def __init__(self, route: Route) -> None:
        self.route = route
        self.idle: dict[Connection, None] = {}


class _ReadResponse(httpx.Response):
    """One whose body is here already; httpx would read it through a decoder and three generators,
    and look through the header fields for its length."""

    def __init__(
        self, status: int, *, headers: Headers, body: bytes, extensions: dict[str, Any]
    ) -> None:
        super().__init__(
            status, headers=headers, stream=httpx.ByteStream(body), extensions=extensions
        )
        self._body = body

    @property
    def content(self) -> bytes:
        return self._body

    def read(self) -> bytes:
        return self._body

    async def aread(self) -> bytes:
        return self._body


@dataclass(frozen=True, slots=True, eq=False)
class _Turn:
    """A request that waits for a slot."""

    origin: _Origin
    granted: asyncio.Future[Connection | None]


def _closed() -> TransportError:
    return TransportError(Loss.CONNECT, "the transport was closed before the request was sent")


async def _serialise(request: httpx.Request, route: Route) -> bytes:
    if request.method in _OTHERWISE_FRAMED:
        raise ValueError(f"{request.method} is not supported")
    fields = request.headers.raw
    if isinstance(request.stream, httpx.ByteStream):
        body = b"".join(request.stream)
    else:
        body = await request.aread()
        # servers exist that refuse chunked requests, and the length is known now
        fields = [one for one in fields if one[0].lower() not in _FRAMING]
        fields.append((b"Content-Length", b"%d" % len(body)))
    target = request.url.raw_path
    lines = [b"%s %s%s HTTP/1.1" % (request.method.encode("ascii"), route.target_prefix, target)]
    lines += [b"%s: %s" % field for field in fields]
    return b"%s\r\n%s\r\n%s" % (b"\r\n".join(lines), route.fields, body)


def _response(
    answer: Answer,
    started: float,
    reached: float | None,
    connected: float | None,
    repeated: bool,
) -> httpx.Response:
    times = ExchangeTimes(
        started=started,
        connected=connected,
        sent=answer.sent,
        first_byte=answer.first_byte,
        finished=answer.finished,
        reused=connected is None,
        reached=reached,
    )
    return _ReadResponse(
        answer.status,
        headers=answer.headers,
        body=answer.body,
        extensions={
            "http_version": b"HTTP/%s" % answer.version.encode("ascii"),
            TIMES_EXTENSION: times,
            REPEATED_EXTENSION: repeated,
        },
    )
