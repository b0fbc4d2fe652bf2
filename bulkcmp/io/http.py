"""CMP over HTTP (RFC 9811): a PKIMessage out, the answer's PKIMessage or a `TransportError` back.

The one place where HTTP answers, and httpx's exceptions of a foreign transport, become classes of
`Loss`.
"""

import datetime as dt
import email.utils
import html
import re
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from types import TracebackType
from typing import Any, Final, Self

import anyio
import httpx

from bulkcmp.errors import InputError, Loss, TransportError
from bulkcmp.io.authorization import basic_authorization
from bulkcmp.io.times import REPEATED_EXTENSION, TIMES_EXTENSION, ExchangeTimes

CONTENT_TYPE: Final = "application/pkixcmp"
"""RFC 9811, 3.4."""
_HOST: Final = re.compile(rb"[A-Za-z0-9._~-]+")
"""Of a URL: a name as DNS and `hosts` files have them, or an IPv4 address."""

_CMP_TYPE: Final = CONTENT_TYPE.encode("ascii")

_LENGTHS: Final = 1024
"""Of messages whose header fields are kept: those of a run have a few, by the size of a name or a
signature."""

_SHOWN: Final = 80
"""Characters of a foreign text that an error shows."""

_FOREIGN_LOSSES: Final[tuple[tuple[type[Exception], Loss], ...]] = (
    (httpx.ConnectError, Loss.CONNECT),
    (httpx.ConnectTimeout, Loss.CONNECT),
    (httpx.PoolTimeout, Loss.CONNECT),
    (httpx.ProxyError, Loss.CONNECT),
    (httpx.TimeoutException, Loss.TIMEOUT),
    (httpx.RemoteProtocolError, Loss.BAD_HTTP),
    (httpx.DecodingError, Loss.BAD_HTTP),
    (httpx.InvalidURL, Loss.BAD_HTTP),
    # these don't say how much of the request had left
    (httpx.HTTPError, Loss.CUT),
)
"""The first class that fits counts."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A CMP answer: its DER, not yet decoded, and when it came.

    `repeated` is set where the transport sent the request twice.
    """

    body: bytes
    times: ExchangeTimes
    repeated: bool


class _NoCookies(httpx.Cookies):
    """Keeps none: our requests carry none, and to look for them took a quarter of httpx's time."""

    def extract_cookies(self, response: httpx.Response) -> None:
        """Leave them where they are."""


class _AsItIs(AsyncGenerator[httpx.Request, httpx.Response]):
    """The flow of a request that wants no authentication: it goes, and its answer is the answer.

    A generator proper would be put among those that the event loop must end when it ends itself.
    """

    __slots__ = ("_request",)

    def __init__(self, request: httpx.Request) -> None:
        self._request = request

    async def __anext__(self) -> httpx.Request:
        return self._request

    async def asend(self, _response: httpx.Response | None) -> httpx.Request:
        raise StopAsyncIteration

    async def athrow(self, *_: object) -> httpx.Request:
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Nothing is open."""


class _Unauthenticated(httpx.Auth):
    def async_auth_flow(
        self, request: httpx.Request
    ) -> AsyncGenerator[httpx.Request, httpx.Response]:
        return _AsItIs(request)


class _Post(httpx.Request):
    """One of octets that are here already, with fields that are known: httpx's own constructor
    copies them, and reads the octets through a stream.

    Header fields and extensions are shared by many: nobody may change them.
    """

    def __init__(
        self, url: httpx.URL, headers: httpx.Headers, content: bytes, extensions: dict[str, Any]
    ) -> None:
        self.method = "POST"
        self.url = url
        self.headers = headers
        self.extensions = extensions
        self.stream = httpx.ByteStream(content)
        self._octets = content

    @property
    def content(self) -> bytes:
        return self._octets

    def read(self) -> bytes:
        return self._octets

    async def aread(self) -> bytes:
        return self._octets


class _Client(httpx.AsyncClient):
    cookies: Any = _NoCookies()


def utc_now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


class ClientOwner:
    """An async context manager that opens and closes an httpx client, its transport included."""

    _client: httpx.AsyncClient

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._client.__aexit__(kind, error, traceback)


class CmpHttpClient(ClientOwner):
    """Posts PKIMessages to one URL; an async context manager that owns its transport."""

    def __init__(
        self,
        url: str,
        transport: httpx.AsyncBaseTransport,
        *,
        clock: Callable[[], float] = anyio.current_time,
        now: Callable[[], dt.datetime] = utc_now,
    ) -> None:
        """Make a client.

        Args:
            url: where the CMP server answers, http or https.
            transport: `bulkcmp.io.transport.Transport`, or another one of httpx's kind.
            clock: monotonic seconds, asked only where the transport measures no times itself.
            now: wall clock with a time zone, to read a Retry-After that is a date.

        Raises:
            InputError: `url` is not the URL of an HTTP server.
        """
        self._url = _server_url(url)
        self._clock = clock
        self._now = now
        # Each request is given what httpx would otherwise work out for it again.
        self._headers = lru_cache(_LENGTHS)(self._headers_of)
        # the time limits are the transport's
        self._extensions = {"timeout": httpx.Timeout(None).as_dict()}
        self._client = _Client(transport=transport, trust_env=False, auth=_Unauthenticated())

    async def post(self, message: bytes) -> Reply:
        """Send the DER of a PKIMessage, and return that of the answer.

        An answer of type application/pkixcmp is a CMP answer whatever its status is, since error
        statuses may carry a CMP error message; redirections (3xx) are not followed, as RFC 9811,
        3.3 and 5 advise.

        Raises:
            TransportError: no CMP answer came; `loss` says why.
        """
        request = _Post(self._url, self._headers(len(message)), message, self._extensions)
        started = self._clock()
        try:
            response = await self._client.send(request)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            # httpx makes a URL of any Location, though it is not to follow it
            raise foreign_failure(error) from error
        # it leads back to the response, and each would be left to the search for cyclic garbage
        del response.stream
        times = response.extensions.get(TIMES_EXTENSION)
        if times is None:
            finished = self._clock()
            times = ExchangeTimes(started, None, started, finished, finished, reused=False)
        if not _is_cmp(response):
            raise self._failure(response)
        return Reply(
            response.content, times, repeated=response.extensions.get(REPEATED_EXTENSION, False)
        )

    def _headers_of(self, length: int) -> httpx.Headers:
        fields = [
            (b"Host", self._url.netloc),
            (b"Content-Type", _CMP_TYPE),
            (b"User-Agent", b"bulkcmp"),
            # the default of HTTP/1.1, said for servers and proxies that speak 1.0
            (b"Connection", b"keep-alive"),
            (b"Content-Length", b"%d" % length),
        ]
        authorization = basic_authorization(self._url)
        if authorization is not None:
            fields.append((b"Authorization", authorization))
        return httpx.Headers(fields)

    def _failure(self, response: httpx.Response) -> TransportError:
        status = response.status_code
        named = f"HTTP {status} {_reason(status)}".rstrip()
        hint = f"is {self._url.path} the path of a CMP alias at this server?"
        if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
            wait = retry_after(response.headers.get("Retry-After"), self._now())
            asked = "" if wait is None else f", asked to wait {wait:.0f} s"
            return TransportError(Loss.BUSY, named + asked, retry_after=wait, status=status)
        if status in (HTTPStatus.BAD_GATEWAY, HTTPStatus.GATEWAY_TIMEOUT):
            return TransportError(Loss.GATEWAY, named + _said(response), status=status)
        if 300 <= status < 400:
            location = printable(response.headers.get("Location", ""))
            return TransportError(
                Loss.HTTP_STATUS,
                f"{named} to {location!r} (unauthenticated)" if location else named,
                status=status,
                hint="redirections are not followed: give the final URL with --server",
            )
        if not 200 <= status < 300:
            return TransportError(
                Loss.HTTP_STATUS,
                named + _said(response),
                status=status,
                hint=hint
                if status in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED)
                else None,
            )
        kind = printable(response.headers.get("Content-Type", ""))
        what = f"with Content-Type {kind!r}" if kind else "without a Content-Type"
        if not response.content:
            what = "without content"
        return TransportError(
            Loss.NOT_CMP,
            f"{named} {what} instead of {CONTENT_TYPE}{_said(response)}",
            status=status,
            hint=hint,
        )


def retry_after(value: str | None, now: dt.datetime) -> float | None:
    """Seconds to wait from a Retry-After field (RFC 9110, 10.2.3), a number or a date.

    Args:
        value: the field's value.
        now: the time, with a zone.

    Returns:
        Seconds, at least 0; None where there is no such field or it can't be read.
    """
    text = (value or "").strip()
    if re.fullmatch(r"[0-9]{1,9}", text):
        return float(text)
    try:
        when = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=dt.UTC)
    return max(0.0, (when - now).total_seconds())


def printable(text: str) -> str:
    """The first 80 characters of a foreign text, without markup and control characters."""
    text = re.sub(r"(?is)<(script|style)\b.*?</\1\s*>|<!--.*?-->|<[^>]*>", " ", text[:8192])
    words = " ".join(html.unescape(text).split())
    shown = "".join(one for one in words if one.isprintable())
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"


def is_of_server(url: httpx.URL) -> bool:
    """Whether a URL is that of an HTTP server, and names its host."""
    # httpx makes a name of whatever stands there; of an IPv6 address it has made sure
    named = _HOST.fullmatch(url.raw_host) or b":" in url.raw_host
    return url.scheme in ("http", "https") and bool(named)


def _server_url(text: str) -> httpx.URL:
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise InputError(f"the server's URL can't be read: {error}") from error
    if not is_of_server(url):
        raise InputError(
            "the server's URL must start with http:// or https:// and name a host",
            hint="for example http://ca.example.com:8080/ejbca/publicweb/cmp/alias",
        )
    return url


def _is_cmp(response: httpx.Response) -> bool:
    kind = b", ".join(
        [value for name, value in response.headers.raw if name.lower() == b"content-type"]
    )
    redirected = 300 <= response.status_code < 400
    return (
        kind.partition(b";")[0].strip().lower() == _CMP_TYPE
        and bool(response.content)
        and not redirected
    )


def _said(response: httpx.Response) -> str:
    text = printable(response.content[:8192].decode("utf-8", "replace"))
    return f", saying (unauthenticated): {text}" if text else ""


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def foreign_failure(error: httpx.HTTPError | httpx.InvalidURL) -> TransportError:
    """What is said of a failure that is not of our own transport."""
    loss = next(loss for kind, loss in _FOREIGN_LOSSES if isinstance(error, kind))
    return TransportError(loss, str(error) or type(error).__name__)
