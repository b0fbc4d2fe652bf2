from typing import TYPE_CHECKING

import pytest

from bulkcmp.errors import InputError, Loss
from bulkcmp.io.webhook import Webhook, check_webhook
from bulkcmp.model import Secret

if TYPE_CHECKING:
    from tests.io.conftest import Call, Server


@pytest.mark.anyio
async def test_a_post(server: "Server") -> None:
    async with Webhook(server.url, Secret(b"a-token"), 60.0, 2) as webhook:
        assert await webhook.post(b'{"a": 1}', {"Idempotency-Key": '"k"'}) == ("", b"answer")
        assert await webhook.post(b"{}", {}) == ("", b"answer")
    first, second = server.calls
    assert (first.line, first.body) == ("POST /pkix/ HTTP/1.1", b'{"a": 1}')
    assert first.headers["authorization"] == "Bearer a-token"
    assert first.headers["content-type"] == "application/json"
    assert first.headers["idempotency-key"] == '"k"'
    assert "idempotency-key" not in second.headers
    assert server.accepted == 1


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("status", "problem"),
    [
        ("HTTP/1.1 503 Busy", "HTTP status 503 Service Unavailable"),
        ("HTTP/1.1 307 There", "HTTP status 307 Temporary Redirect"),
        ("HTTP/1.1 499 Odd", "HTTP status 499"),
    ],
)
async def test_a_refusal(server: "Server", status: str, problem: str) -> None:
    async def refuse(call: "Call") -> None:
        await call.answer(b"why not", "Location: http://127.0.0.1:1/", status=status)

    server.script = refuse
    async with Webhook(server.url, None, 60.0, 2) as webhook:
        assert await webhook.post(b"{}", {}) == (problem, b"why not")
    assert len(server.calls) == 1
    assert "authorization" not in server.calls[0].headers


@pytest.mark.anyio
async def test_a_redirection_that_httpx_can_make_no_url_of(server: "Server") -> None:
    async def lead_astray(call: "Call") -> None:
        await call.answer(b"", "Location: htt: http://ca/", status="HTTP/1.1 302 Found")

    server.script = lead_astray
    async with Webhook(server.url, None, 60.0, 2) as webhook:
        problem, _ = await webhook.post(b"{}", {})
    assert problem.startswith(f"{Loss.BAD_HTTP.value}: ")


@pytest.mark.anyio
async def test_nobody_answers(server: "Server") -> None:
    async def be_silent(call: "Call") -> None:
        await call.until_closed()

    server.script = be_silent
    async with Webhook(server.url, None, 0.3, 2) as webhook:
        problem, answer = await webhook.post(b"{}", {})
    assert problem.startswith("no answer in time")
    assert answer == b""


@pytest.mark.parametrize(
    "url", ["https://h/a?b=c", "http://127.0.0.1:8000/", "http://[::1]/", "http://localhost/x"]
)
def test_good_urls(url: str) -> None:
    check_webhook(url, Secret(b"a-token~._/+="))


@pytest.mark.parametrize(
    ("url", "token", "text"),
    [
        ("ftp://h/", "t", "no URL of an HTTP server"),
        ("h/x", "t", "no URL of an HTTP server"),
        ("https://a b/x", "t", "no URL of an HTTP server"),
        ("https:///x", "t", "no URL of an HTTP server"),
        ("http://h:port/", "t", "Invalid port"),
        ("http://example.com/", "t", "loopback alone"),
        ("http://192.0.2.1/", "t", "loopback alone"),
        ("https://u:hunter2@h/", "t", "would be seen by many"),
        ("https://h/", "a b", "characters that HTTP does not carry"),
        ("https://h/", "a\nb", "characters that HTTP does not carry"),
    ],
)
def test_bad_urls(url: str, token: str, text: str) -> None:
    with pytest.raises(InputError, match=text) as raised:
        check_webhook(url, Secret(token.encode()))
    assert "hunter2" not in str(raised.value)
