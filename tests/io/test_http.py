import datetime as dt
import gc
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager
from http.cookiejar import CookieJar
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import httpx
import pytest

from bulkcmp.errors import InputError, Loss, TransportError
from bulkcmp.io.http import CmpHttpClient, printable, retry_after, utc_now
from bulkcmp.io.limits import Limits
from bulkcmp.io.times import ExchangeTimes
from bulkcmp.io.transport import Transport

if TYPE_CHECKING:
    from tests.io.conftest import Call, Server

pytestmark = pytest.mark.anyio

Lost = Callable[..., AbstractContextManager[None]]
CMP = {"Content-Type": "application/pkixcmp"}
URL = "http://ca.example.com/pkix/alias"
NOW = dt.datetime(2026, 1, 1, 12, 0, 0, tzinfo=dt.UTC)

AnyBackend = pytest.mark.parametrize(
    "anyio_backend",
    [
        pytest.param(("asyncio", {"use_uvloop": False}), id="asyncio"),
        pytest.param(("trio", {}), id="trio"),
    ],
)


@pytest.fixture
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    backend: tuple[str, dict[str, Any]] = getattr(request, "param", ("asyncio", {}))
    return backend


def answering(
    status: int = 200, headers: dict[str, str] | None = None, content: bytes = b""
) -> CmpHttpClient:
    def handle(request: httpx.Request) -> httpx.Response:
        return httpx.Response(status, headers=headers, content=content)

    return CmpHttpClient(URL, httpx.MockTransport(handle), now=lambda: NOW)


@AnyBackend
async def test_post_under_any_event_loop() -> None:
    seen: list[httpx.Request] = []
    ticks = iter([5.0, 7.5])

    async def handle(request: httpx.Request) -> httpx.Response:
        await anyio.lowlevel.checkpoint()
        seen.append(request)
        return httpx.Response(200, headers=CMP, content=b"ip")

    client = CmpHttpClient(URL, httpx.MockTransport(handle), clock=lambda: next(ticks))
    async with client:
        reply = await client.post(b"ir")
    assert reply.body == b"ip"
    assert reply.times == ExchangeTimes(5.0, None, 5.0, 7.5, 7.5, reused=False)
    assert reply.repeated is False
    assert (seen[0].method, str(seen[0].url), seen[0].content) == ("POST", URL, b"ir")
    assert seen[0].headers["content-type"] == "application/pkixcmp"
    assert seen[0].headers["content-length"] == "2"


async def test_each_request_has_the_length_of_its_message() -> None:
    seen: list[str] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers["content-length"])
        return httpx.Response(200, headers=CMP, content=b"ip")

    async with CmpHttpClient(URL, httpx.MockTransport(handle)) as client:
        for message in (b"ir", b"certConf", b"p1"):
            await client.post(message)
    assert seen == ["2", "8", "2"]


@pytest.mark.parametrize(
    ("userinfo", "authorization"),
    [
        ("", None),
        ("Aladdin:open%20sesame@", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
        ("ra@", "Basic cmE6"),
    ],
)
async def test_credentials_in_the_url_are_sent(userinfo: str, authorization: str | None) -> None:
    seen: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, headers=CMP, content=b"ip")

    url = f"http://{userinfo}ca.example.com/pkix/"
    async with CmpHttpClient(url, httpx.MockTransport(handle)) as client:
        for _ in range(2):
            await client.post(b"ir")
    for request in seen:
        assert request.headers.get_list("authorization") == ([authorization] * bool(authorization))
        assert request.headers["host"] == "ca.example.com"


async def test_a_request_is_what_httpx_would_make_of_it() -> None:
    seen: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, headers=CMP, content=b"ip")

    async with CmpHttpClient(URL, httpx.MockTransport(handle)) as client:
        await client.post(b"ir")
    (ours,) = seen
    stock = httpx.Request(
        ours.method, ours.url, headers=ours.headers, content=b"ir", extensions=ours.extensions
    )
    assert vars(stock).keys() - {"_content"} == vars(ours).keys() - {"_octets"}
    assert (ours.method, ours.url, ours.headers) == ("POST", httpx.URL(URL), stock.headers)
    assert ours.content == ours.read() == await ours.aread() == stock.content
    assert isinstance(ours.stream, httpx.ByteStream)
    assert b"".join(ours.stream) == b"".join([one async for one in ours.stream]) == b"ir"


async def test_cookies_are_neither_looked_for_nor_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    def look(*_: object) -> None:
        pytest.fail("nobody needs them, and it takes a quarter of httpx's time")

    monkeypatch.setattr(CookieJar, "extract_cookies", look)
    seen: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, headers={**CMP, "Set-Cookie": "route=7"}, content=b"ip")

    async with CmpHttpClient(URL, httpx.MockTransport(handle)) as client:
        for _ in range(2):
            assert (await client.post(b"ir")).body == b"ip"
    assert "cookie" not in seen[1].headers


async def test_a_response_is_freed_without_a_search_for_cycles() -> None:
    made: list[weakref.ref[httpx.Response]] = []

    def handle(request: httpx.Request) -> httpx.Response:
        response = httpx.Response(200, headers=CMP, content=b"ip")
        made.append(weakref.ref(response))
        return response

    async with CmpHttpClient(URL, httpx.MockTransport(handle)) as client:
        gc.disable()
        try:
            await client.post(b"ir")
            assert made[0]() is None
        finally:
            gc.enable()


@pytest.mark.parametrize(
    "names",
    [[b"Content-Type"], [b"CONTENT-TYPE"], [b"content-type", b"content-type"]],
    ids=["as-usual", "capitals", "twice"],
)
async def test_the_content_type_is_found_however_it_is_written(names: list[bytes]) -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        fields = [(name, b"application/pkixcmp; x=1") for name in names]
        return httpx.Response(200, headers=fields, content=b"ip")

    async with CmpHttpClient(URL, httpx.MockTransport(handle)) as client:
        assert (await client.post(b"ir")).body == b"ip"


async def test_the_loops_own_clock_is_the_default() -> None:
    async with answering(200, CMP, b"ip") as client:
        before = anyio.current_time()
        reply = await client.post(b"ir")
        assert before <= reply.times.started <= reply.times.finished <= anyio.current_time()


async def test_times_and_repetition_come_from_the_transport(server: "Server") -> None:
    async def script(call: "Call") -> None:
        if call.number > 1:
            call.close()
        else:
            await call.answer()

    server.script = script
    transport = Transport(Limits(), environ={}, retry_reused=True)
    async with CmpHttpClient(server.url, transport, clock=lambda: -1.0) as client:
        first, second = await client.post(b"ir"), await client.post(b"certConf")
    assert (first.repeated, second.repeated) == (False, True)
    assert 0 < first.times.finished < second.times.started
    await server.until_open(0)


async def test_losses_of_the_transport_pass_unchanged(server: "Server", lost: Lost) -> None:
    async def script(call: "Call") -> None:
        await call.until_closed()

    server.script = script
    async with CmpHttpClient(server.url, Transport(Limits(read=0.1), environ={})) as client:
        with lost(Loss.TIMEOUT):
            await client.post(b"ir")


@pytest.mark.parametrize("status", [200, 201, 400, 404, 429, 500, 502, 503])
@pytest.mark.parametrize(
    "kind", ["application/pkixcmp", "Application/PkixCmp", "application/pkixcmp; charset=x"]
)
async def test_cmp_is_cmp_whatever_the_status(status: int, kind: str) -> None:
    async with answering(status, {"Content-Type": kind}, b"error") as client:
        assert (await client.post(b"ir")).body == b"error"


HTML = b"<html><head><title>Oops &amp; sorry</title><style>a{}</style></head><body>no</body></html>"
HTML_TYPE = {"Content-Type": "text/html; charset=utf-8"}


@pytest.mark.parametrize(
    ("status", "headers", "content", "loss", "text"),
    [
        (200, HTML_TYPE, HTML, Loss.NOT_CMP, "HTTP 200 OK with Content-Type 'text/html;"),
        (200, {}, b"x", Loss.NOT_CMP, "without a Content-Type instead of application/pkixcmp"),
        (200, CMP, b"", Loss.NOT_CMP, "without content"),
        (202, {"Content-Type": "application/pkixcmp-poll"}, b"x", Loss.NOT_CMP, "pkixcmp-poll"),
        (200, {"Content-Type": "application/pkix-cert"}, b"x", Loss.NOT_CMP, "pkix-cert"),
        (
            404,
            HTML_TYPE,
            HTML,
            Loss.HTTP_STATUS,
            "HTTP 404 Not Found, saying (unauthenticated): Oo",
        ),
        (500, HTML_TYPE, HTML, Loss.HTTP_STATUS, "(unauthenticated): Oops & sorry no"),
        (500, CMP, b"", Loss.HTTP_STATUS, "HTTP 500 Internal Server Error"),
        (599, {}, b"", Loss.HTTP_STATUS, "HTTP 599"),
        (400, {}, b"\x1b[31mred\x00\xff" + b"a" * 200, Loss.HTTP_STATUS, "[31mred\ufffdaa"),
        (502, HTML_TYPE, HTML, Loss.GATEWAY, "HTTP 502 Bad Gateway"),
        (504, {}, b"", Loss.GATEWAY, "HTTP 504 Gateway Timeout"),
        (
            302,
            {"Location": "https://ca/"},
            b"",
            Loss.HTTP_STATUS,
            "HTTP 302 Found to 'https://ca/'",
        ),
        (307, CMP, b"ip", Loss.HTTP_STATUS, "HTTP 307 Temporary Redirect"),
    ],
)
async def test_answers_that_are_not_cmp(
    status: int, headers: dict[str, str], content: bytes, loss: Loss, text: str
) -> None:
    async with answering(status, headers, content) as client:
        with pytest.raises(TransportError) as caught:
            await client.post(b"ir")
    error = caught.value
    assert (error.loss, error.status, error.retry_after) == (loss, status, None)
    assert text in str(error)
    assert str(error).isprintable()
    assert len(str(error)) < 200


async def test_a_redirection_that_httpx_can_make_no_url_of() -> None:
    async with answering(302, {"Location": "htt: http://ca/"}) as client:
        with pytest.raises(TransportError) as caught:
            await client.post(b"ir")
    assert caught.value.loss is Loss.BAD_HTTP


@pytest.mark.parametrize(("status", "content"), [(200, b"x"), (404, b"")])
async def test_a_wrong_path_is_hinted_at(status: int, content: bytes) -> None:
    async with answering(status, HTML_TYPE, content) as client:
        with pytest.raises(TransportError) as caught:
            await client.post(b"ir")
    assert caught.value.hint == "is /pkix/alias the path of a CMP alias at this server?"


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("value", "seconds"),
    [(None, None), ("7", 7.0), ("Thu, 01 Jan 2026 12:01:30 GMT", 90.0), ("soon", None)],
)
async def test_busy(status: int, value: str | None, seconds: float | None) -> None:
    headers = {} if value is None else {"Retry-After": value}
    async with answering(status, headers) as client:
        with pytest.raises(TransportError) as caught:
            await client.post(b"ir")
    error = caught.value
    assert (error.loss, error.status, error.retry_after) == (Loss.BUSY, status, seconds)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("0", 0.0),
        (" 120 ", 120.0),
        ("-5", None),
        ("1.5", None),
        ("9" * 400, None),
        ("Thu, 01 Jan 2026 11:00:00 GMT", 0.0),
        ("Thu, 01 Jan 2026 13:00:00 -0000", 3600.0),
        ("Thursday, 01-Jan-26 12:00:10 GMT", 10.0),
        ("Thu Jan  1 12:00:10 2026", 10.0),
        ("Thu, 99 Jan 2026 12:00:00 GMT", None),
    ],
)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, NOW) == seconds


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a  b\r\n\tc", "a b c"),
        ("<p>a</p><script>\nalert(1)\n</script><!-- x -->b", "a b"),
        ("&lt;b&gt; 1 &lt; 2", "<b> 1 < 2"),
        ("x" * 81, "x" * 80 + "…"),
        ("x" * 80, "x" * 80),
        ("\x1b]0;title\x07\u202eabc", "]0;titleabc"),
    ],
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.parametrize(
    ("error", "loss"),
    [
        (httpx.ConnectError("x"), Loss.CONNECT),
        (httpx.ConnectTimeout("x"), Loss.CONNECT),
        (httpx.PoolTimeout("x"), Loss.CONNECT),
        (httpx.ProxyError("x"), Loss.CONNECT),
        (httpx.ReadTimeout("x"), Loss.TIMEOUT),
        (httpx.WriteTimeout("x"), Loss.TIMEOUT),
        (httpx.ReadError("x"), Loss.CUT),
        (httpx.WriteError(""), Loss.CUT),
        (httpx.RemoteProtocolError("x"), Loss.BAD_HTTP),
        (httpx.DecodingError("x"), Loss.BAD_HTTP),
    ],
)
@AnyBackend
async def test_exceptions_of_a_foreign_transport(
    error: httpx.HTTPError, loss: Loss, lost: Lost
) -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        raise error

    async with CmpHttpClient(URL, httpx.MockTransport(handle)) as client:
        with lost(loss, str(error) or "WriteError"):
            await client.post(b"ir")


@pytest.mark.parametrize(
    "url", ["", "ca.example.com", "ftp://ca/", "http://", "http://ca:port/", "/pkix/", "\x00"]
)
def test_url_of_no_server(url: str) -> None:
    with pytest.raises(InputError, match="the server's URL"):
        CmpHttpClient(url, httpx.MockTransport(lambda _: httpx.Response(200)))


def test_the_wall_clock_has_a_zone() -> None:
    assert utc_now().utcoffset() == dt.timedelta(0)
