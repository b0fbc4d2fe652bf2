"""Files from web servers."""

from typing import TYPE_CHECKING

import pytest

from bulkcmp.errors import InputError, Loss, TransportError
from bulkcmp.io.download import download

if TYPE_CHECKING:
    from tests.io.conftest import Call, Server

pytestmark = pytest.mark.anyio


async def lost(url: str) -> TransportError:
    with pytest.raises(TransportError) as caught:
        await download(url, most=1000, environ={})
    return caught.value


async def test_a_file(server: "Server") -> None:
    assert await download(server.url, most=1000, environ={}) == b"answer"
    (call,) = server.calls
    assert call.line == "GET /pkix/ HTTP/1.1"
    assert call.headers["accept-encoding"] == "identity"


async def test_a_file_that_is_elsewhere(server: "Server") -> None:
    async def script(call: "Call") -> None:
        if call.line.startswith("GET /pkix/"):
            await call.answer(b"", "Location: /there", status="HTTP/1.1 302 Found")
        else:
            await call.answer(call.line.encode())

    server.script = script
    assert await download(server.url, most=1000, environ={}) == b"GET /there HTTP/1.1"


@pytest.mark.parametrize(
    ("location", "kind"),
    [
        ("/pkix/", TransportError),
        ("ftp://127.0.0.1/", InputError),
        ("file:///etc/passwd", InputError),
    ],
)
async def test_a_redirection_that_leads_nowhere(
    location: str, kind: type[Exception], server: "Server"
) -> None:
    async def script(call: "Call") -> None:
        await call.answer(b"", f"Location: {location}", status="HTTP/1.1 302 Found")

    server.script = script
    with pytest.raises(kind):
        await download(server.url, most=1000, environ={})
    assert len(server.calls) <= 4


async def test_what_is_no_file(server: "Server") -> None:
    async def missing(call: "Call") -> None:
        await call.answer(b"<p>", status="HTTP/1.1 404 Not Found")

    async def packed(call: "Call") -> None:
        await call.answer(b"\x1f\x8b", "Content-Encoding: gzip")

    async def large(call: "Call") -> None:
        await call.answer(b"x" * 2000)

    server.script = missing
    error = await lost(server.url)
    assert (error.loss, error.status, error.what) == (Loss.HTTP_STATUS, 404, "HTTP 404")
    server.script = packed
    error = await lost(server.url)
    assert error.loss is Loss.BAD_HTTP
    assert "Content-Encoding 'gzip'" in error.what
    server.script = large
    assert (await lost(server.url)).loss is Loss.TOO_LARGE


async def test_a_url_that_is_none() -> None:
    for url in ("http://\0", "http://", "ldap://ca.test/"):
        with pytest.raises(InputError):
            await download(url, most=1000, environ={})
