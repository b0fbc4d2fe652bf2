"""HTTP as uvicorn speaks it for the embedded CA."""

import sys
from typing import Any, Final, Protocol

import httptools
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_PERSISTS: Final = (b"connection", b"keep-alive")


class _Timer(Protocol):
    def cancel(self) -> None: ...


class _Deadline:
    """Ends a connection whose request does not come.

    uvicorn bounds how long a connection idles after an answer, but neither the wait for a first
    request nor that for the rest of one. Here the wait for a head, and that for its body, end after
    `timeout_keep_alive` seconds each, however many octets trickle in.
    """

    def __init__(self, protocol: HttpToolsProtocol | H11Protocol) -> None:
        self._protocol = protocol
        self._timer: _Timer | None = None
        self._awaited: object = None

    def check(self) -> None:
        """See what is waited for; to be called whenever that may have changed."""
        # the newest that was begun; an earlier one may still be answered
        cycle = self._protocol.cycle
        waits = cycle is None or cycle.more_body or cycle.response_complete
        if not waits or cycle is not self._awaited:
            self.end()
        self._awaited = cycle
        if waits and self._timer is None:
            self._start()

    def end(self) -> None:
        """Wait for nothing any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _start(self) -> None:
        seconds = self._protocol.timeout_keep_alive
        self._timer = self._protocol.loop.call_later(seconds, self._pass)

    def _pass(self) -> None:
        if self._protocol.flow.read_paused:
            # it is not the peer that keeps us waiting
            self._start()
        else:
            self._protocol.transport.abort()


class _OtherProtocol(H11Protocol):
    """uvicorn's other parser, under the same time limit."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._deadline = _Deadline(self)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._deadline.check()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._deadline.check()

    def connection_lost(self, exc: Exception | None) -> None:
        self._deadline.end()
        super().connection_lost(exc)


class HttpProtocol(HttpToolsProtocol):
    """uvicorn's faster parser, which leaves to the other one what it would not get whole.

    As many connections as `limit_concurrency` are too many: the newest is closed unread.

    A client of HTTP/1.0 that asks for a connection to persist, as OpenSSL's does, has it (RFC 9112,
    9.3); uvicorn would close it.

    After a head that offers to upgrade, httptools reads no body, whether the offer is taken or not.
    Java's HttpClient offers HTTP/2 with the first request of a connection. The offer may be ignored
    (RFC 9110, 7.8), and h11 then reads on, once the requests before it are answered.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._received = b""
        self._rest = b""
        self._deadline = _Deadline(self)

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if self.limit_concurrency is not None and len(self.connections) >= self.limit_concurrency:
            transport.abort()
        else:
            self._deadline.check()

    def connection_lost(self, exc: Exception | None) -> None:
        self._deadline.end()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._rest:
            self._rest += data
            self.flow.pause_reading()
            return
        self._received = data
        super().data_received(data)
        if self.transport.get_protocol() is self:
            self._deadline.check()

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        if self.scope["http_version"] == "1.0" and self.parser.should_keep_alive():
            self.cycle.keep_alive = True
            self.cycle.default_headers = [*self.cycle.default_headers, _PERSISTS]

    def _should_upgrade(self) -> bool:
        # asked where there is an offer
        return True

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection over, with all that came of the request, when it is its turn."""
        upgrade = sys.exception()
        assert isinstance(upgrade, httptools.HttpParserUpgrade)
        (head_end,) = upgrade.args
        version = self.scope["http_version"].encode()
        lines = [b"%s %s HTTP/%s" % (self.scope["method"].encode(), self.url, version)]
        # without the offer, which would be logged as one that is not understood
        lines += [b"%s: %s" % one for one in self.headers if one[0] != b"upgrade"]
        self._rest = b"\r\n".join([*lines, b"", b""]) + self._received[head_end:]
        if self.cycle is None or self.cycle.response_complete:
            self._hand_over()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._rest and self.cycle.response_complete and not self.transport.is_closing():
            self._hand_over()
        else:
            self._deadline.check()

    def _hand_over(self) -> None:
        self._unset_keepalive_if_required()
        self._deadline.end()
        other = _OtherProtocol(self.config, self.server_state, self.app_state)
        self.connections.discard(self)
        other.connection_made(self.transport)
        self.transport.set_protocol(other)
        other.data_received(self._rest)
