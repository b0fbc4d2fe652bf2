from typing import TYPE_CHECKING, Any

import anyio
import httpx
import pytest

from bulkcmp.cmp.messages import BodyType, decode_message
from bulkcmp.testca.aliases import Behaviour
from bulkcmp.testca.app import MAX_BODY, CmpApp, utc_now

if TYPE_CHECKING:
    from tests.testca.conftest import Ca

pytestmark = pytest.mark.anyio

SCOPE = {"type": "http", "path": "/.well-known/cmp", "method": "POST", "headers": []}
URL = "http://ca.test/ejbca/publicweb/cmp/ra-hmac"


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    backend: str = request.param
    return backend


def client(ca: "Ca") -> httpx.AsyncClient:
    app = CmpApp(ca.authority, lambda: ca.now)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app))


@pytest.mark.parametrize("content_type", ["application/pkixcmp", "text/plain", None])
async def test_a_request_and_its_answer(ca: "Ca", content_type: str | None) -> None:
    headers = {} if content_type is None else {"content-type": content_type}
    async with client(ca) as http:
        response = await http.post(URL, content=b"no CMP", headers=headers)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/pkixcmp"
    assert response.headers["cache-control"] == "no-cache"
    assert response.headers["content-length"] == str(len(response.content))
    assert decode_message(response.content).body_type is BodyType.ERROR


async def test_the_path_chooses_the_alias(ca: "Ca", monkeypatch: pytest.MonkeyPatch) -> None:
    peer = ca.ra_hmac()
    requests: list[bytes] = []
    asked = ca.ask

    def record(alias: str, request: bytes, *rest: Any) -> Any:
        requests.append(request)
        return asked(alias, request, *rest)

    monkeypatch.setattr(ca, "ask", record)
    peer.enroll()
    ca.restart()
    async with client(ca) as http:
        response = await http.post("http://ca.test/.well-known/cmp/p/ra-cert", content=requests[0])
        assert decode_message(response.content).body_type is BodyType.ERROR
        response = await http.post("http://ca.test/.well-known/cmp", content=requests[0])
    # at the right alias the MAC is good, and only the transactionID is not fresh
    assert b"this transactionID was used before" in response.content


@pytest.mark.parametrize("path", ["/", "/ejbca/publicweb/cmp/unknown", "/.well-known/cmp/p/x"])
async def test_an_unknown_alias(ca: "Ca", path: str) -> None:
    async with client(ca) as http:
        response = await http.post("http://ca.test" + path, content=b"x")
    assert response.status_code == 404
    assert response.headers["content-type"].startswith("text/html")
    assert "client-cert" in response.text


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
async def test_other_methods(ca: "Ca", method: str) -> None:
    async with client(ca) as http:
        response = await http.request(method, URL)
    assert (response.status_code, response.headers["allow"]) == (405, "POST")


async def test_no_body(ca: "Ca") -> None:
    async with client(ca) as http:
        assert (await http.post(URL)).status_code == 400


async def test_a_body_at_the_limit_and_above(ca: "Ca") -> None:
    async with client(ca) as http:
        assert (await http.post(URL, content=b"x" * MAX_BODY)).status_code == 200
        response = await http.post(URL, content=b"x" * (MAX_BODY + 1))
    assert (response.status_code, response.headers["connection"]) == (413, "close")


@pytest.mark.parametrize(("size", "status"), [(MAX_BODY, 200), (MAX_BODY + 1, 413)])
async def test_a_body_in_pieces_that_does_not_say_its_length(
    ca: "Ca", size: int, status: int
) -> None:
    pieces = [size // 2, size - size // 2, 0]
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        piece = b"x" * pieces.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(pieces)}

    async def send(message: Any) -> None:
        sent.append(message)

    await CmpApp(ca.authority)(SCOPE, receive, send)
    assert sent[0]["status"] == status


async def test_the_delay_is_waited_without_holding_others_up(ca: "Ca") -> None:
    ca.behave(Behaviour(), ra_hmac=Behaviour(delay=0.3))
    began = anyio.current_time()
    done: list[str] = []

    async def ask(alias: str) -> None:
        await http.post(f"http://ca.test/.well-known/cmp/p/{alias}", content=b"x")
        done.append(alias)

    async with client(ca) as http, anyio.create_task_group() as group:
        group.start_soon(ask, "ra-hmac")
        group.start_soon(ask, "ra-cert")
    assert anyio.current_time() - began >= 0.3
    assert done == ["ra-cert", "ra-hmac"]


async def test_a_client_that_goes_away(ca: "Ca") -> None:
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    await CmpApp(ca.authority)(SCOPE, receive, send)
    assert sent[0]["status"] == 400


async def test_nothing_but_http(ca: "Ca") -> None:
    async def never(*_: Any) -> Any:
        raise AssertionError

    with pytest.raises(RuntimeError, match="websocket"):
        await CmpApp(ca.authority)({"type": "websocket"}, never, never)


def test_the_clock_is_aware() -> None:
    assert utc_now().utcoffset() is not None
