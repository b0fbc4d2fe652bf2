"""One HTTP/1.1 client connection: a request out, its whole answer in (RFC 9112)."""

import asyncio
import ssl
from collections.abc import Callable
from time import monotonic
from typing import Final, NamedTuple, NoReturn, cast

import httptools

from bulkcmp.errors import Loss, TransportError
from bulkcmp.io.cause import cause
from bulkcmp.io.limits import Limits
from bulkcmp.io.tls import refuses_handshake

Headers = list[tuple[bytes, bytes]]

_CLIENT_CERTIFICATE: Final = (
    "does the server want a client certificate (--tls-cert, --tls-key), or another one?"
)


class Answer(NamedTuple):
    """A complete HTTP answer and when it came (seconds of `time.monotonic`)."""

    status: int
    version: str
    headers: Headers
    body: bytes
    sent: float
    first_byte: float
    finished: float


class Connection(asyncio.Protocol):
    """Carries one exchange at a time; a failed, cancelled or late one closes it.

    The clock is `time.monotonic`, since uvloop's `loop.time()` counts in milliseconds and stands
    still within a loop iteration.

    Attributes:
        used: exchanges completed on it.
        idle_since: when the last one was complete.
        is_lost: it has ended.
        reached: when TLS was to begin on it; None without TLS.
    """

    __slots__ = (
        "_answered",
        "_body",
        "_complete",
        "_deadline",
        "_end",
        "_error",
        "_first_byte",
        "_header_bytes",
        "_headers",
        "_in_body",
        "_keep_alive",
        "_latest",
        "_limits",
        "_loop",
        "_now",
        "_on_close",
        "_parser",
        "_peer",
        "_received",
        "_refusal",
        "_sent",
        "_socket",
        "_status",
        "_surplus",
        "_timer",
        "_timer_at",
        "_transport",
        "_unsent",
        "_until_eof",
        "_version",
        "_waiter",
        "idle_since",
        "is_lost",
        "reached",
        "used",
    )

    def __init__(self, peer: str, limits: Limits, on_close: Callable[["Connection"], None]) -> None:
        """Make the protocol of a connection that is still to be opened.

        Args:
            peer: what error texts call the other end.
            limits: those of the answer.
            on_close: called once when the connection ends, by whomever.
        """
        self._peer = peer
        self._limits = limits
        self._on_close = on_close
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport
        self._socket: asyncio.Transport
        self._waiter: asyncio.Future[None] | None = None
        self._end: Exception | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._deadline = 0.0
        self._latest = 0.0
        self.idle_since = 0.0
        self.is_lost = False
        self.reached: float | None = None
        self.used = 0
        self._begin()

    def _begin(self) -> None:
        self._received = 0
        self._header_bytes = 0
        self._headers: Headers = []
        self._body: list[bytes] = []
        self._status = 0
        self._version = ""
        self._in_body = False
        self._until_eof = True
        self._complete = False
        self._keep_alive = False
        self._surplus = False
        self._unsent = False
        self._refusal: tuple[Loss, str] | None = None
        self._error: TransportError | None = None
        self._sent = self._first_byte = self._now = 0.0

    # -- what the pool asks ------------------------------------------------------------------

    @property
    def is_usable(self) -> bool:
        """True while another exchange may be started."""
        return (
            self._waiter is None
            and not self._transport.is_closing()
            and (self.used == 0 or self._keep_alive)
        )

    async def exchange(self, request: bytes, deadline: float) -> Answer:
        """Send `request` and wait for the whole answer, no longer than to `deadline`.

        Raises:
            TransportError: no complete answer within the limits; the connection is closed.
        """
        self._begin()
        waiter = self._waiter = self._loop.create_future()
        self._latest = deadline
        if not self._socket.is_closing():
            self._transport.write(request)
        self._sent = monotonic()
        if self._socket.is_closing():
            # why it ends, the loop says, or has said
            self._unsent = True
        if self.is_lost:
            self._lose(self._end)
        else:
            self._arm(min(self._sent + self._limits.read, deadline))
        try:
            await waiter
        except BaseException:
            self.abort()
            raise
        finally:
            self._waiter = None
        if self._error is not None:
            raise self._error
        self.used += 1
        self.idle_since = self._now
        return Answer(
            self._status,
            self._version,
            self._headers,
            self._body[0] if len(self._body) == 1 else b"".join(self._body),
            self._sent,
            self._first_byte,
            self._now,
        )

    def close(self) -> None:
        """End an idle connection in good order (TLS: with close_notify)."""
        if not self.is_lost:
            self._transport.close()

    def abort(self) -> None:
        """End the connection at once, whatever is under way."""
        if not self.is_lost:
            # TLS ends with what is under it; asyncio's own before Python 3.11.4 can't be aborted
            # once it was closed
            self._socket.abort()

    # -- what the event loop says ------------------------------------------------------------

    def attach(self, transport: asyncio.Transport, socket: asyncio.Transport) -> None:
        """Take over an open connection: `transport` carries HTTP, `socket` is under its TLS."""
        self._transport = transport
        self._socket = socket

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        stream = cast("asyncio.Transport", transport)
        # so the loop writes at once, and says by pause_writing when the kernel did not take all
        stream.set_write_buffer_limits(high=0)
        self.attach(stream, stream)

    def pause_writing(self) -> None:
        # TLS has buffers of its own, and nobody tells when the socket below it is drained. There
        # the request counts as sent: one wrongly taken for unsent would be sent again.
        self._unsent = self._transport is self._socket

    def resume_writing(self) -> None:
        if self._unsent:
            self._unsent = False
            self._sent = monotonic()
            self._deadline = min(self._sent + self._limits.read, self._latest)

    def data_received(self, data: bytes) -> None:
        waiter = self._waiter
        if waiter is None or waiter.done():
            # nothing was asked: a 408 before the close of an idle connection, for instance
            self._keep_alive = False
            self.abort()
            return
        self._now = monotonic()
        if not self._received:
            self._first_byte = self._now
        self._received += len(data)
        if self._received > self._limits.response:
            self._fail_size("answer", self._limits.response)
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            if self._refusal is not None:
                self._fail(*self._refusal)
                return
            if not self._complete:
                self._fail(Loss.BAD_HTTP, f"brought malformed HTTP: {error}")
                return
            self._surplus = True
        if self._complete:
            self._finish()
        elif not self._in_body and self._received > self._limits.headers:
            self._fail_size("answer's head", self._limits.headers)

    def eof_received(self) -> None:
        if self._in_body and self._until_eof and not self._complete and self._is_end_meant():
            self._now = monotonic()
            self._finish()
        else:
            self._lose(None)

    def _is_end_meant(self) -> bool:
        """Whether the peer ended the connection, as TLS alone can prove: by close_notify. Without
        it an answer that ends with the connection may have been cut (RFC 9112, 9.8)."""
        stream: ssl.SSLObject | None = self._transport.get_extra_info("ssl_object")
        if stream is None:
            return True
        try:
            return not stream.read(1)
        except ssl.SSLError:
            return False

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.is_lost = True
        self._end = exc
        self._lose(exc)
        self._on_close(self)

    # -- what the parser says ----------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._surplus = self._complete

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_bytes += len(name) + len(value) + 4
        if self._header_bytes > self._limits.headers:
            self._refuse(
                Loss.TOO_LARGE, f"brought more than {self._limits.headers} bytes of header fields"
            )
        if not self._in_body:
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        if self._complete:
            return
        status = self._status = self._parser.get_status_code()
        if status < 200:
            if status == 101:
                self._refuse(Loss.BAD_HTTP, "brought 101 Switching Protocols, unasked")
            self._headers = []
            return
        self._in_body = True
        self._version = self._parser.get_http_version()
        self._until_eof = status not in (204, 304)
        for name, value in self._headers:
            match name.lower():
                case b"content-length":
                    self._until_eof = False
                    if int(value) > self._limits.response:
                        self._refuse(
                            Loss.TOO_LARGE,
                            f"announced an answer of {int(value)} bytes;"
                            f" the limit is {self._limits.response}",
                        )
                case b"transfer-encoding":
                    self._until_eof = False
                    if value.strip().lower() != b"chunked":
                        self._refuse(
                            Loss.BAD_HTTP, f"brought Transfer-Encoding {_shown(value)}, unasked"
                        )
                case b"content-encoding":
                    if value.strip().lower() not in (b"", b"identity"):
                        self._refuse(
                            Loss.BAD_HTTP, f"brought Content-Encoding {_shown(value)}, unasked"
                        )

    def on_body(self, body: bytes) -> None:
        if not self._complete:
            self._body.append(body)

    def on_message_complete(self) -> None:
        if self._in_body and not self._complete:
            self._complete = True
            self._keep_alive = self._parser.should_keep_alive()

    # -- ends of an exchange -----------------------------------------------------------------

    def _refuse(self, loss: Loss, what: str) -> NoReturn:
        """Leave a parser callback with a failure that `data_received` reports."""
        self._refusal = loss, what
        raise ValueError(what)

    def _finish(self) -> None:
        # what follows an answer, or an answer before its request, leaves the framing in doubt
        if self._surplus or self._unsent:
            self._keep_alive = False
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _fail(self, loss: Loss, what: str, hint: str | None = None) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._error = TransportError(loss, f"the connection to {self._peer} {what}", hint=hint)
            self._waiter.set_result(None)
        self.abort()

    def _fail_size(self, what: str, limit: int) -> None:
        self._fail(Loss.TOO_LARGE, f"brought too much: the {what} has more than {limit} bytes")

    def _lose(self, error: Exception | None) -> None:
        """Report the end of the connection to the exchange that is under way, if there is one."""
        self._keep_alive = False
        if self._waiter is None or self._waiter.done():
            return
        how = cause(error)
        if not self.used and not self._received and refuses_handshake(error):
            self._fail(
                Loss.TLS, f"was refused in the TLS handshake: {how}", hint=_CLIENT_CERTIFICATE
            )
        elif self._unsent:
            self._fail(Loss.NOT_SENT, f"ended before the whole request was sent: {how}")
        elif self._received:
            self._fail(Loss.CUT, f"ended in the middle of the answer: {how}")
        elif self.used:
            self._fail(Loss.REUSED, f"was used before and ended without an answer: {how}")
        else:
            # some servers say nothing to a client without a certificate: that proves nothing
            hint = None if self._transport is self._socket else _CLIENT_CERTIFICATE
            self._fail(Loss.CUT, f"ended without an answer: {how}", hint=hint)

    # -- time limit --------------------------------------------------------------------------

    def _arm(self, deadline: float) -> None:
        # One timer serves many exchanges: a deadline that moves on, as it nearly always does,
        # costs no call, and the timer looks where it stands when it fires.
        self._deadline = deadline
        if self._timer is None or deadline < self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = deadline
            self._timer = self._loop.call_later(deadline - monotonic(), self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        if self._waiter is None or self._waiter.done():
            return
        if monotonic() < self._deadline:
            self._arm(self._deadline)
        elif self._unsent:
            self._fail(Loss.NOT_SENT, "took only a part of the request within the time limit")
        else:
            state = "no whole answer" if self._received else "no answer"
            self._fail(Loss.TIMEOUT, f"brought {state} within {self._deadline - self._sent:.3g} s")


def _shown(value: bytes) -> str:
    return repr(value[:40].decode("latin-1"))
