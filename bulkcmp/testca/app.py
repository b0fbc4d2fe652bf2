"""CMP over HTTP (RFC 9811) as an ASGI application: paths, limits and headers, no more."""

import datetime as dt
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, Final

import anyio

from bulkcmp.testca.aliases import ALIASES, alias_text, route
from bulkcmp.testca.answering import Answering
from bulkcmp.testca.refusal import FailedError

CRL_PATH: Final = "/ca.crl"
"""Where the CRL is fetched, by GET."""

MAX_BODY: Final = 100_000
"""Octets of a request; EJBCA's limit."""

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_CMP_HEADERS: Final = (
    (b"content-type", b"application/pkixcmp"),
    (b"cache-control", b"no-cache"),
    (b"pragma", b"no-cache"),
)


@dataclass(frozen=True, slots=True)
class HttpManners:
    """What servers do differently over HTTP.

    Attributes:
        too_large: status and title that answer a body above MAX_BODY.
        longest_alias: characters of an alias; longer ones are answered with 400, not 404.
    """

    too_large: tuple[int, str] = (413, "Content Too Large")
    longest_alias: int | None = None


def utc_now() -> dt.datetime:
    """The time, aware."""
    return dt.datetime.now(dt.UTC)


class CmpApp:
    """The CA as an ASGI 3 application; any server of it, or `httpx.ASGITransport`, can carry it.

    Args:
        authority: answers the requests.
        clock: gives the time, aware.
        manners: of the server that this one stands for.
    """

    def __init__(
        self,
        authority: Answering,
        clock: Callable[[], dt.datetime] = utc_now,
        manners: HttpManners | None = None,
    ) -> None:
        self._authority = authority
        self._clock = clock
        self._manners = manners or HttpManners()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError(f"no {scope['type']} here")
        if scope["path"] == CRL_PATH:
            await self._send_crl(scope["method"], send)
            return
        longest = self._manners.longest_alias
        if longest is not None and len(alias_text(scope["path"])) > longest:
            text = f"An alias has {longest} characters at most."
            await _send_page(send, 400, "Bad Request", text)
            return
        alias = route(scope["path"])
        if alias is None:
            known = ", ".join(ALIASES)
            await _send_page(send, 404, "Not Found", f"No such CMP alias. Known are {known}.")
            return
        if scope["method"] != "POST":
            extra = ((b"allow", b"POST"),)
            await _send_page(send, 405, "Method Not Allowed", "CMP is POST only.", extra)
            return
        body = await _read(scope, receive)
        if body is None:
            # the rest of the body is not read, so the connection can't be used again
            extra = ((b"connection", b"close"),)
            text = f"More than {MAX_BODY} octets."
            await _send_page(send, *self._manners.too_large, text, extra)
            return
        if not body:
            await _send_page(send, 400, "Bad Request", "The request has no body.")
            return
        delay = self._authority.behaviour(alias).delay
        if delay:
            await anyio.sleep(delay)
        # in the event loop's thread: it takes less time than handing it to another
        try:
            answer = self._authority.handle(alias, body, self._clock())
        except FailedError:
            text = "Response from CmpMessageDispatcher is null."
            await _send_page(send, 500, "Internal Server Error", text)
            return
        await _send(send, 200, answer, _CMP_HEADERS)

    async def _send_crl(self, method: str, send: Send) -> None:
        if method not in ("GET", "HEAD"):
            extra = ((b"allow", b"GET, HEAD"),)
            await _send_page(send, 405, "Method Not Allowed", "The CRL is read only.", extra)
            return
        crl = self._authority.crl(self._clock())
        length = (b"content-length", str(len(crl)).encode())
        headers = [(b"content-type", b"application/pkix-crl"), length]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if method == "HEAD" else crl})


async def _read(scope: Scope, receive: Receive) -> bytes | None:
    """The body; None if it is too large."""
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and int(value) > MAX_BODY:
            return None
    parts = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return b""
        part = message.get("body", b"")
        size += len(part)
        if size > MAX_BODY:
            return None
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


async def _send(
    send: Send, status: int, body: bytes, headers: tuple[tuple[bytes, bytes], ...]
) -> None:
    length = (b"content-length", str(len(body)).encode())
    start = {"type": "http.response.start", "status": status, "headers": [*headers, length]}
    await send(start)
    await send({"type": "http.response.body", "body": body})


async def _send_page(
    send: Send,
    status: int,
    title: str,
    text: str,
    extra: tuple[tuple[bytes, bytes], ...] = (),
) -> None:
    page = f"<html><head><title>{title}</title></head><body><h1>{title}</h1><p>{text}</p>"
    headers = ((b"content-type", b"text/html; charset=utf-8"), *extra)
    await _send(send, status, f"{page}</body></html>\n".encode(), headers)
