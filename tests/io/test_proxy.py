import ssl
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import httpx
import pytest

from bulkcmp.errors import InputError, Loss
from bulkcmp.io.limits import Limits
from bulkcmp.io.proxy import proxy_for
from bulkcmp.io.tls import tls_context
from bulkcmp.io.transport import Transport

if TYPE_CHECKING:
    from tests.io.conftest import Pki, Proxy, Server

Lost = Callable[..., AbstractContextManager[None]]

HTTP = "http://ca.example.com/cmp"
HTTPS = "https://ca.example.com/cmp"
A, B, C = "http://a:1", "http://b:2", "http://c:3"


@pytest.mark.parametrize(
    ("url", "environ", "explicit", "proxy"),
    [
        (HTTP, {}, None, None),
        (HTTP, {"http_proxy": A}, None, A),
        (HTTP, {"HTTP_PROXY": A}, None, A),
        (HTTP, {"HTTP_PROXY": A, "http_proxy": B}, None, B),
        (HTTP, {"HTTP_PROXY": A, "http_proxy": ""}, None, None),
        (HTTP, {"HTTPS_PROXY": A}, None, None),
        (HTTPS, {"HTTP_PROXY": A}, None, None),
        (HTTPS, {"HTTPS_PROXY": A, "HTTP_PROXY": B, "ALL_PROXY": C}, None, A),
        (HTTPS, {"https_proxy": A}, None, A),
        (HTTP, {"ALL_PROXY": A}, None, A),
        (HTTP, {"all_proxy": A}, None, A),
        (HTTP, {"http_proxy": "proxy:3128"}, None, "http://proxy:3128"),
        (HTTP, {"http_proxy": " http://[::1]:3128/ "}, None, "http://[::1]:3128/"),
        # a client's header may stand behind HTTP_PROXY in a CGI program
        (HTTP, {"HTTP_PROXY": A, "REQUEST_METHOD": "POST"}, None, None),
        (HTTP, {"http_proxy": A, "REQUEST_METHOD": "POST"}, None, A),
        (HTTPS, {"HTTPS_PROXY": A, "REQUEST_METHOD": "POST"}, None, A),
        (HTTP, {"HTTP_PROXY": A, "no_proxy": "*"}, B, B),
        (HTTP, {"HTTP_PROXY": A}, "", None),
        (HTTP, {}, "proxy", "http://proxy"),
    ],
)
def test_where_the_proxy_comes_from(
    url: str, environ: dict[str, str], explicit: str | None, proxy: str | None
) -> None:
    found = proxy_for(httpx.URL(url), environ, explicit)
    assert found == (None if proxy is None else httpx.URL(proxy))


@pytest.mark.parametrize(
    ("host", "no_proxy", "bypassed"),
    [
        ("ca.example.com", "", False),
        ("ca.example.com", "*", True),
        ("ca.example.com", "other.org,*", True),
        ("ca.example.com", "ca.example.com", True),
        ("ca.example.com", "example.com", True),
        ("ca.example.com", ".example.com", True),
        ("ca.example.com", "*.example.com", True),
        ("example.com", ".example.com", True),
        ("CA.Example.COM", "example.com", True),
        ("ca.example.com", "EXAMPLE.com", True),
        ("ca.example.com.", "example.com", True),
        ("ca.example.com", "example.com.", True),
        ("notexample.com", "example.com", False),
        ("ca.example.com", "le.com", False),
        ("ca.example.com", "ca.example.com.org", False),
        ("ca.example.com", " other.org , example.com ", True),
        ("ca.example.com", "other.org example.com", True),
        ("ca.example.com", ",,", False),
        ("ca.example.com", ".", False),
        ("ca.example.com", "example.com:80", True),
        ("ca.example.com", "example.com:8080", False),
        ("ca.example.com:8080", "example.com:8080", True),
        ("ca.example.com:8080", "example.com", True),
        ("localhost", "localhost,127.0.0.1", True),
        ("127.0.0.1", "localhost,127.0.0.1", True),
        ("127.0.0.1:8829", "127.0.0.1:8829", True),
        ("127.0.0.1:8830", "127.0.0.1:8829", False),
        ("127.0.0.1", "127.0.0.0/8", True),
        ("10.1.2.3", "10.1.0.0/16", True),
        ("10.2.2.3", "10.1.0.0/16", False),
        ("10.1.2.3", "10.1.2.99/16", True),
        ("10.1.2.3", "1.2.3", False),
        ("10.1.2.3", "example.com", False),
        ("[::1]", "::1", True),
        ("[::1]", "[::1]", True),
        ("[::1]:99", "[::1]:99", True),
        ("[::1]:98", "[::1]:99", False),
        ("[fd00::5]", "fd00::/8", True),
        ("[fd00::5]", "10.0.0.0/8", False),
        ("ca.example.com", "10.0.0.0/8", False),
    ],
)
def test_no_proxy(host: str, no_proxy: str, bypassed: bool) -> None:
    url = httpx.URL(f"http://{host}/cmp")
    for name in ("no_proxy", "NO_PROXY"):
        found = proxy_for(url, {"http_proxy": A, name: no_proxy}, None)
        assert (found is None) is bypassed


def test_no_proxy_knows_the_port_of_https() -> None:
    assert (
        proxy_for(httpx.URL(HTTPS), {"https_proxy": A, "no_proxy": "example.com:443"}, None) is None
    )


@pytest.mark.parametrize(
    ("environ", "explicit", "words"),
    [
        ({"http_proxy": "socks5://user:hunter2@proxy:1080"}, None, "http_proxy is not an HTTP"),
        ({"ALL_PROXY": "https://user:hunter2@proxy"}, None, "ALL_PROXY is not an HTTP proxy"),
        ({"HTTP_PROXY": "http://user:hunter2@proxy:x"}, None, "HTTP_PROXY is not a URL"),
        ({}, "http://", "--proxy is not an HTTP proxy"),
    ],
)
def test_what_is_no_proxy(environ: dict[str, str], explicit: str | None, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        proxy_for(httpx.URL(HTTP), environ, explicit)
    assert caught.value.hint is not None
    assert "hunter2" not in f"{caught.value} {caught.value.hint} {caught.value.__cause__}"
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


# -- through a real proxy ----------------------------------------------------------------------


def through(proxy: str, no_proxy: str = "", tls: ssl.SSLContext | None = None) -> httpx.AsyncClient:
    environ = {"HTTP_PROXY": proxy, "HTTPS_PROXY": proxy, "NO_PROXY": no_proxy}
    transport = Transport(tls=tls, environ=environ)
    return httpx.AsyncClient(transport=transport, timeout=None)


@pytest.mark.anyio
async def test_http_goes_in_absolute_form(proxy: "Proxy", server: "Server") -> None:
    proxy.credentials = "Basic dTpwQA=="
    async with through(proxy.url.replace("//", "//u:p%40@")) as http:
        for number in range(3):
            response = await http.post(server.url + "?a=b", content=b"%d" % number)
            assert response.content == b"answer"
    assert proxy.lines == [f"POST {server.url}?a=b HTTP/1.1"] * 3
    assert proxy.accepted == 1
    assert [one.line for one in server.calls] == ["POST /pkix/?a=b HTTP/1.1"] * 3
    assert [one.body for one in server.calls] == [b"0", b"1", b"2"]
    assert "proxy-authorization" not in server.calls[0].headers


@pytest.mark.anyio
async def test_https_goes_through_a_tunnel(
    proxy: "Proxy", pki: "Pki", make_server: "Callable[[], Server]"
) -> None:
    proxy.credentials = "Basic dTpw"
    async with make_server().serving(pki.server_context()) as server:
        async with through(
            proxy.url.replace("//", "//u:p@"), tls=tls_context(trusted=[pki.ca])
        ) as http:
            for number in range(3):
                response = await http.post(server.url, content=b"%d" % number)
                assert response.content == b"answer"
        assert proxy.lines == [f"CONNECT 127.0.0.1:{server.port} HTTP/1.1"]
        assert (proxy.accepted, server.accepted) == (1, 1)
        assert [one.line for one in server.calls] == ["POST /pkix/ HTTP/1.1"] * 3
        assert "proxy-authorization" not in server.calls[0].headers


@pytest.mark.anyio
async def test_no_proxy_goes_past_the_proxy(
    proxy: "Proxy", server: "Server", other_server: "Server"
) -> None:
    async with through(proxy.url, no_proxy=f"127.0.0.1:{other_server.port}") as http:
        await http.post(server.url)
        await http.post(other_server.url)
    assert proxy.lines == [f"POST {server.url} HTTP/1.1"]
    assert len(other_server.calls) == 1


@pytest.mark.anyio
async def test_explicit_proxy(proxy: "Proxy", server: "Server") -> None:
    transport = Transport(proxy=proxy.url, environ={"NO_PROXY": "*"})
    async with httpx.AsyncClient(transport=transport) as http:
        await http.post(server.url)
    assert proxy.accepted == 1


@pytest.mark.anyio
async def test_proxy_that_wants_a_password(
    proxy: "Proxy", pki: "Pki", make_server: "Callable[[], Server]", lost: Lost
) -> None:
    proxy.credentials = "Basic dTpw"
    async with make_server().serving(pki.server_context()) as server:
        wrong = proxy.url.replace("//", "//u:hunter2@")
        async with through(wrong, tls=tls_context(trusted=[pki.ca])) as http:
            with lost(Loss.CONNECT, "refused a tunnel", "HTTP 407"):
                await http.post(server.url)
        assert server.accepted == 0


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 100\r\n\r\nno", "HTTP 502"),
        (b"HTTP/1.0 403 No\r\n\r\n", "HTTP 403"),
        (b"SSH-2.0-x\r\n", "malformed HTTP"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000, "too large"),
    ],
)
async def test_tunnel_that_is_refused(
    proxy: "Proxy", pki: "Pki", server: "Server", lost: Lost, answer: bytes, words: str
) -> None:
    proxy.tunnel_answer = answer
    async with through(proxy.url, tls=tls_context(trusted=[pki.ca])) as http:
        with lost(Loss.CONNECT, words):
            await http.post(f"https://127.0.0.1:{server.port}/")


@pytest.mark.anyio
async def test_proxy_that_hangs_up(proxy: "Proxy", pki: "Pki", lost: Lost) -> None:
    proxy.tunnel_answer = b"HTTP/1.1 200 "
    async with through(proxy.url, tls=tls_context(trusted=[pki.ca])) as http:
        with lost(Loss.CONNECT, "asking the proxy", "closed by the peer"):
            # nothing listens there, so the proxy gives up
            await http.post("https://127.0.0.1:1/")


@pytest.mark.anyio
async def test_tunnel_after_an_interim_answer(
    proxy: "Proxy", pki: "Pki", make_server: "Callable[[], Server]"
) -> None:
    proxy.tunnel_answer = (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    async with (
        make_server().serving(pki.server_context()) as server,
        through(proxy.url, tls=tls_context(trusted=[pki.ca])) as http,
    ):
        assert (await http.post(server.url)).content == b"answer"


@pytest.mark.anyio
async def test_proxy_that_is_silent(server: "Server", pki: "Pki", lost: Lost) -> None:
    server.silent = True
    transport = Transport(
        Limits(connect=0.1),
        proxy=f"http://127.0.0.1:{server.port}",
        tls=tls_context(trusted=[pki.ca]),
    )
    async with httpx.AsyncClient(transport=transport) as http:
        with lost(Loss.CONNECT, "asking the proxy", "took longer than 0.1"):
            await http.post("https://ca.invalid/")
        await server.until_open(0)


@pytest.mark.anyio
async def test_proxy_that_is_down(lost: Lost) -> None:
    async with through("http://127.0.0.1:1") as http:
        with lost(Loss.CONNECT, "connecting to the proxy 127.0.0.1:1 failed", "refused"):
            await http.post("http://ca.invalid/")
