"""HTTP answers: octets of a connection -> an answer -> a reply with a CMP message.

An input is an octet for the length of the pieces in which it comes, and the octets.
"""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from functools import cache

import httpx

from bulkcmp.errors import TransportError
from bulkcmp.io.http import CmpHttpClient
from tests.fuzz.mutation import PIECES
from tests.io.wire import exchange


@cache
def _runner() -> asyncio.Runner:
    return asyncio.Runner()


async def _post(pieces: list[bytes]) -> bytes:
    answer = await exchange(pieces)

    def answered(_: httpx.Request) -> httpx.Response:
        return httpx.Response(answer.status, headers=answer.headers, content=answer.body)

    async with CmpHttpClient("http://ca.test/cmp", httpx.MockTransport(answered)) as client:
        return (await client.post(b"request")).body


def one(data: bytes) -> None:
    """Whatever comes over a connection, it is an answer with a body, or a TransportError says why
    there is none.

    And the body is no longer than what came.
    """
    if not data:
        return
    size, rest = data[0] + 1, data[1:]
    pieces = [rest[at : at + size] for at in range(0, len(rest), size)]
    with suppress(TransportError):
        body = _runner().run(_post(pieces))
        assert 0 < len(body) <= len(rest)


_CMP = b"HTTP/1.1 200 OK\r\nContent-Type: application/pkixcmp\r\n"


def seeds() -> Iterator[bytes]:
    """Answers of each framing, and each kind of refusal."""
    body = PIECES[0][:200]
    length = b"Content-Length: %d\r\n\r\n" % len(body)
    yield b"\xff" + _CMP + length + body
    yield b"\x09" + b"HTTP/1.1 100 Continue\r\n\r\n" + _CMP + length + body
    yield b"\xff" + _CMP + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(body) + body
    yield b"\xff" + _CMP + b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"
    yield b"\xff" + _CMP.replace(b"1.1", b"1.0") + b"\r\n" + body
    yield b"\xff" + b"HTTP/1.1 503 Busy\r\nRetry-After: 120\r\nContent-Length: 4\r\n\r\nbusy"
    date = b"Retry-After: Fri, 31 Dec 1999 23:59:59 GMT\r\n"
    yield b"\xff" + b"HTTP/1.1 429 Many\r\n" + date + b"Content-Length: 0\r\n\r\n"
    yield b"\xff" + b"HTTP/1.1 302 Found\r\nLocation: http://b.test/\r\nContent-Length: 0\r\n\r\n"
    page = b"<html><script>x</script><!-- y --><h1>Not &amp; found</h1></html>"
    html = b"HTTP/1.1 404 No\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n" % len(page)
    yield b"\xff" + html + page
