import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import pytest

from bulkcmp.errors import InputError, Loss, TransportError
from bulkcmp.io.connection import Connection
from bulkcmp.io.limits import Limits
from bulkcmp.io.times import REPEATED_EXTENSION, TIMES_EXTENSION, ExchangeTimes
from bulkcmp.io.transport import Transport

if TYPE_CHECKING:
    from tests.io.conftest import Call, Server

pytestmark = pytest.mark.anyio

Lost = Callable[..., AbstractContextManager[None]]


def client(
    *, retry_reused: bool = False, proxy: str | None = None, **limits: Any
) -> httpx.AsyncClient:
    transport = Transport(
        Limits(**limits),
        proxy=proxy,
        environ={},
        retry_reused=retry_reused,
    )
    return httpx.AsyncClient(transport=transport, trust_env=False, timeout=None)


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with client() as one:
        yield one


def times(response: httpx.Response) -> ExchangeTimes:
    found: ExchangeTimes = response.extensions[TIMES_EXTENSION]
    return found


async def test_round_trip(http: httpx.AsyncClient, server: "Server") -> None:
    first = await http.post(server.url + "?a=b", content=b"request")
    second = await http.post(server.url, content=b"again")
    assert (first.status_code, first.content) == (200, b"answer")
    assert first.headers["content-type"] == "application/pkixcmp"
    assert [(one.line, one.body) for one in server.calls] == [
        ("POST /pkix/?a=b HTTP/1.1", b"request"),
        ("POST /pkix/ HTTP/1.1", b"again"),
    ]
    assert server.calls[0].headers["host"] == f"127.0.0.1:{server.port}"
    assert server.accepted == 1
    one, two = times(first), times(second)
    assert one.connected is not None
    assert one.started <= one.connected <= one.sent <= one.first_byte <= one.finished
    assert one.finished <= two.started <= two.sent <= two.first_byte <= two.finished
    assert (one.reused, two.reused, two.connected) == (False, True, None)
    assert one.reached is None, "there is no TLS"
    assert first.extensions[REPEATED_EXTENSION] is False


async def test_the_body_is_there_however_it_is_asked_for(
    http: httpx.AsyncClient, server: "Server"
) -> None:
    response = await http.post(server.url, content=b"request")
    assert response.content == response.read() == await response.aread() == b"answer"
    assert response.text == "answer"
    assert [part async for part in response.aiter_bytes()] == [b"answer"]


async def test_a_request_whose_stream_is_given_is_sent_as_it_is(
    http: httpx.AsyncClient, server: "Server"
) -> None:
    fields = {"Host": "ca.example.com", "Content-Length": "3"}
    stream = httpx.ByteStream(b"one")
    await http.send(httpx.Request("POST", server.url, headers=fields, stream=stream))
    assert (server.calls[0].body, server.calls[0].headers["host"]) == (b"one", "ca.example.com")


async def test_times_are_those_of_the_wire(http: httpx.AsyncClient, server: "Server") -> None:
    async def slow(call: "Call") -> None:
        await asyncio.sleep(0.05)
        await call.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
        await asyncio.sleep(0.05)
        await call.write(b"ab")

    server.script = slow
    seen = times(await http.post(server.url))
    assert seen.first_byte - seen.sent >= 0.045
    assert seen.finished - seen.first_byte >= 0.045


async def test_a_streamed_request_is_sent_with_its_length(
    http: httpx.AsyncClient, server: "Server"
) -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b"one"
        yield b"two"

    await http.post(server.url, content=parts())
    assert server.calls[0].body == b"onetwo"
    assert "transfer-encoding" not in server.calls[0].headers


async def test_nagle_is_off(server: "Server") -> None:
    transport = Transport(environ={})
    async with httpx.AsyncClient(transport=transport) as http:
        await http.post(server.url)
        (connection,) = transport._connections
        handle = connection._socket.get_extra_info("socket")
        with socket.socket(fileno=socket.dup(handle.fileno())) as copy:
            assert copy.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0


@pytest.mark.parametrize("method", ["HEAD", "CONNECT"])
async def test_methods_with_other_framing_are_refused(
    http: httpx.AsyncClient, server: "Server", method: str
) -> None:
    with pytest.raises(ValueError, match=method):
        await http.request(method, server.url)
    assert server.accepted == 0


# -- keep-alive --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "connections"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab", 1),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nab", 3),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nab", 3),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nab", 1),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n", 1),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\nab\r\n0\r\nT: x\r\n\r\n", 1),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab", 1),
        (
            b"HTTP/1.1 102 Processing\r\nX: y\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n"
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab",
            1,
        ),
        # a length that is too short: what it counts is the answer, and the framing is in doubt
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabcd", 3),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabHTTP/1.1 200 OK\r\n", 3),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab" * 2, 3),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Encoding: identity\r\n\r\nab", 1),
    ],
)
async def test_a_connection_is_reused_only_where_the_answer_allows(
    http: httpx.AsyncClient, server: "Server", answer: bytes, connections: int
) -> None:
    async def script(call: "Call") -> None:
        await call.write(answer)

    server.script = script
    for _ in range(3):
        response = await http.post(server.url)
        assert (response.status_code, response.content) == (200, b"ab")
        assert {"x", "t"}.isdisjoint(response.headers)
    assert server.accepted == connections
    await server.until_open(1 if connections == 1 else 0)


@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_an_answer_without_length_ends_with_the_connection(
    http: httpx.AsyncClient, server: "Server", version: str
) -> None:
    async def script(call: "Call") -> None:
        await call.write(f"HTTP/{version} 404 Not Found\r\n\r\nno ".encode())
        await call.write(b"such path")
        call.close()

    server.script = script
    for _ in range(2):
        response = await http.post(server.url)
        assert (response.status_code, response.content) == (404, b"no such path")
    assert server.accepted == 2


async def test_a_status_without_content_needs_no_length(
    http: httpx.AsyncClient, server: "Server"
) -> None:
    async def script(call: "Call") -> None:
        await call.write(b"HTTP/1.1 204 No Content\r\n\r\n")

    server.script = script
    assert (await http.post(server.url)).status_code == 204
    assert (await http.post(server.url)).content == b""
    assert server.accepted == 1


async def test_a_connection_closed_while_idle_is_not_reused(server: "Server") -> None:
    async with client(connections=1) as http:
        for _ in range(3):
            assert times(await http.post(server.url)).reused is False
            server.writers[-1].close()
            await server.until_open(0)
            await asyncio.sleep(0.02)
    assert server.accepted == 3


async def test_a_connection_that_is_closing_is_not_reused(server: "Server") -> None:
    transport = Transport(Limits(connections=1), environ={})
    async with httpx.AsyncClient(transport=transport) as http:
        await http.post(server.url)
        (connection,) = transport._connections
        connection.close()
        assert not connection.is_lost
        assert times(await http.post(server.url)).reused is False


async def test_a_connection_that_speaks_unasked_is_not_reused(
    http: httpx.AsyncClient, server: "Server"
) -> None:
    await http.post(server.url)
    server.writers[0].write(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
    await server.until_open(0)
    assert (await http.post(server.url)).status_code == 200
    assert server.accepted == 2


async def test_a_connection_idle_for_too_long_is_closed_first(server: "Server") -> None:
    async with client(idle=0.05) as http:
        await asyncio.gather(http.post(server.url), http.post(server.url))
        await asyncio.sleep(0.1)
        assert server.open == 2
        assert times(await http.post(server.url)).reused is False
        await server.until_open(1)
    assert server.accepted == 3


# -- losses ------------------------------------------------------------------------------------


async def close_second(call: "Call") -> None:
    """Say keep-alive and close without a word when the next request comes, as OpenSSL does."""
    if call.number == 1:
        await call.answer()
    else:
        call.close()


async def test_reused_connection_that_ends_without_an_answer(
    http: httpx.AsyncClient, server: "Server", lost: Lost
) -> None:
    server.script = close_second
    await http.post(server.url)
    with lost(Loss.REUSED, f"127.0.0.1:{server.port}", "closed by the peer"):
        await http.post(server.url)
    assert len(server.calls) == 2


async def test_reused_connection_is_retried_once_where_allowed(server: "Server") -> None:
    server.script = close_second
    async with client(retry_reused=True, connections=1) as http:
        for number in range(3):
            response = await http.post(server.url, content=b"%d" % number)
            assert response.content == b"answer"
            assert response.extensions[REPEATED_EXTENSION] is (number > 0)
            assert times(response).reused is False
    assert [one.body for one in server.calls] == [b"0", b"1", b"1", b"2", b"2"]


async def test_fresh_connection_that_ends_is_never_retried(server: "Server", lost: Lost) -> None:
    async def script(call: "Call") -> None:
        call.close()

    server.script = script
    async with client(retry_reused=True) as http:
        with lost(Loss.CUT, "ended without an answer"):
            await http.post(server.url)
    assert len(server.calls) == 1


async def test_retry_that_fails_too_is_not_retried_again(server: "Server", lost: Lost) -> None:
    async def script(call: "Call") -> None:
        if len(server.calls) == 1:
            await call.answer()
        else:
            call.reset()

    server.script = script
    async with client(retry_reused=True, connections=1) as http:
        await http.post(server.url)
        with lost(Loss.CUT):
            await http.post(server.url)
        server.script = lambda call: call.answer()
        assert (await http.post(server.url)).status_code == 200
    assert len(server.calls) == 4


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize(
    "part",
    [b"H", b"HTTP/1.1 200 OK\r\nContent-", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab"],
)
async def test_answer_that_is_cut(
    http: httpx.AsyncClient, server: "Server", lost: Lost, how: str, part: bytes
) -> None:
    async def script(call: "Call") -> None:
        await call.write(part)
        await asyncio.sleep(0.02)
        call.close() if how == "close" else call.reset()

    server.script = script
    with lost(Loss.CUT, "in the middle of the answer"):
        await http.post(server.url)
    assert (await server_recovers(http, server)).status_code == 200


async def server_recovers(http: httpx.AsyncClient, server: "Server") -> httpx.Response:
    server.script = lambda call: call.answer()
    return await http.post(server.url)


async def test_no_answer_in_time_closes_the_connection(server: "Server", lost: Lost) -> None:
    async def script(call: "Call") -> None:
        await call.until_closed()

    server.script = script
    async with client(read=0.1, connections=1) as http:
        with lost(Loss.TIMEOUT, "no answer within 0.1"):
            await http.post(server.url)
        await server.until_open(0)
        assert (await server_recovers(http, server)).status_code == 200


async def test_trickling_does_not_extend_the_read_limit(server: "Server", lost: Lost) -> None:
    async def script(call: "Call") -> None:
        await call.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while not call.writer.is_closing():
            await call.write(b"x")
            await asyncio.sleep(0.01)

    server.script = script
    async with client(read=0.15) as http:
        with anyio.fail_after(30), lost(Loss.TIMEOUT, "no whole answer"):
            await http.post(server.url)


async def test_the_read_limit_counts_anew_for_each_exchange(server: "Server") -> None:
    async def script(call: "Call") -> None:
        await asyncio.sleep(0.4)
        await call.answer()

    server.script = script
    # together they take longer; a busy machine may take a second more for one
    async with client(read=1.5) as http:
        for _ in range(4):
            assert (await http.post(server.url)).status_code == 200
    assert server.accepted == 1


async def test_the_total_limit_ends_an_exchange(server: "Server", lost: Lost) -> None:
    async def script(call: "Call") -> None:
        await call.until_closed()

    server.script = script
    async with client(total=0.1) as http:
        with lost(Loss.TIMEOUT):
            await http.post(server.url)


async def test_connection_refused(http: httpx.AsyncClient, lost: Lost, unused_port: int) -> None:
    with lost(Loss.CONNECT, f"connecting to 127.0.0.1:{unused_port} failed: Connection refused"):
        await http.post(f"http://127.0.0.1:{unused_port}/")


@pytest.fixture
def unused_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
    return port


@pytest.mark.parametrize(
    "anyio_backend", [("asyncio", {"use_uvloop": False})], ids=["asyncio"], indirect=True
)
async def test_name_that_does_not_resolve(
    http: httpx.AsyncClient, lost: Lost, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with lost(Loss.CONNECT, "ca.invalid:80", "Name or service not known"):
        await http.post("http://ca.invalid/")


async def test_name_that_can_not_be_asked_for(http: httpx.AsyncClient, lost: Lost) -> None:
    with lost(Loss.CONNECT):
        await http.post(f"http://{'x' * 64}.invalid/")


async def test_url_of_another_scheme(http: httpx.AsyncClient) -> None:
    with pytest.raises(InputError, match="http"):
        await http.post("ftp://127.0.0.1/")


@pytest.mark.parametrize("how", ["reset", "limit"])
async def test_request_that_the_kernel_did_not_take(server: "Server", lost: Lost, how: str) -> None:
    server.reads = False
    # more than both sides' socket buffers hold
    body = bytes(40_000_000)
    async with (
        client(read=0.3 if how == "limit" else 60.0) as http,
        anyio.create_task_group() as tg,
    ):
        if how == "reset":

            async def reset() -> None:
                await server.until_open(1)
                await asyncio.sleep(0.1)
                server.writers[0].transport.abort()

            tg.start_soon(reset)
        with lost(Loss.NOT_SENT):
            await http.post(server.url, content=body)


async def test_request_that_the_kernel_takes_by_and_by(
    http: httpx.AsyncClient, server: "Server"
) -> None:
    body = bytes(range(256)) * 40_000
    assert (await http.post(server.url, content=body)).status_code == 200
    assert server.calls[0].body == body


async def test_answer_before_the_request_is_out(server: "Server") -> None:
    server.reads = False
    server.early = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n"
    async with client() as http:
        response = await http.post(server.url, content=bytes(40_000_000))
        assert response.status_code == 413


# -- sizes and framing -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "loss", "words"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n", Loss.TOO_LARGE, "10000000 bytes"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n989680\r\n" + bytes(10_000_000),
            Loss.TOO_LARGE,
            "more than 50000 bytes",
        ),
        (b"HTTP/1.1 200 OK\r\n\r\n" + bytes(60_000), Loss.TOO_LARGE, "more than 50000 bytes"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 3000, Loss.TOO_LARGE, "more than 9000 bytes"),
        (
            b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 3000 + b"Content-Length: 0\r\n\r\n",
            Loss.TOO_LARGE,
            "more than 9000 bytes of header fields",
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"X: y\r\n" * 3000,
            Loss.TOO_LARGE,
            "more than 9000 bytes of header fields",
        ),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 20_000, Loss.TOO_LARGE, "more than 9000 bytes"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 500, Loss.TOO_LARGE, "more than 9000 bytes"),
        (b"HTTP/1.1 " + b"y" * 9500, Loss.BAD_HTTP, "malformed"),
        (b"HTTP/1.1 200 " + b"y" * 9500, Loss.TOO_LARGE, "more than 9000 bytes"),
        (b"SSH-2.0-OpenSSH_9.9\r\n", Loss.BAD_HTTP, "malformed"),
        (b"\x15\x03\x01\x00\x02\x02\x28", Loss.BAD_HTTP, "malformed"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", Loss.BAD_HTTP, "malformed"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nab",
            Loss.BAD_HTTP,
            "malformed",
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nab",
            Loss.BAD_HTTP,
            "Content-Encoding 'gzip'",
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
            Loss.BAD_HTTP,
            "Transfer-Encoding 'gzip, chunked'",
        ),
        (
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
            Loss.BAD_HTTP,
            "101",
        ),
    ],
)
async def test_answers_that_are_refused(
    server: "Server", lost: Lost, answer: bytes, loss: Loss, words: str
) -> None:
    async def script(call: "Call") -> None:
        await call.write(answer)
        await call.until_closed()

    server.script = script
    async with client(response=50_000, headers=9000) as http:
        with lost(loss, words):
            await http.post(server.url)
        await server.until_open(0)


async def test_the_size_limit_counts_each_answer_by_itself(server: "Server") -> None:
    server.script = lambda call: call.answer(bytes(900))
    async with client(response=1000) as http:
        for _ in range(3):
            assert len((await http.post(server.url)).content) == 900
    assert server.accepted == 1


# -- pool --------------------------------------------------------------------------------------


async def test_many_requests_share_few_connections(server: "Server") -> None:
    async def script(call: "Call") -> None:
        await asyncio.sleep(0.001)
        await call.answer(call.body)

    server.script = script
    async with client(connections=8) as http:
        responses = await asyncio.gather(
            *(http.post(server.url, content=b"%d" % number) for number in range(200))
        )
    assert [one.content for one in responses] == [b"%d" % number for number in range(200)]
    assert server.most_open == server.accepted == 8


async def test_waiting_for_a_connection_counts_in_the_total(server: "Server", lost: Lost) -> None:
    async def script(call: "Call") -> None:
        await call.until_closed()

    server.script = script
    async with client(connections=1, read=60.0, total=1.5) as http:

        async def first() -> None:
            with lost(Loss.TIMEOUT):
                await http.post(server.url)

        async with anyio.create_task_group() as group:
            # the second starts later, so the first's time is over while it waits
            group.start_soon(first)
            await server.until_open(1)
            await asyncio.sleep(0.75)
            server.script = lambda call: call.answer()
            assert (await http.post(server.url)).status_code == 200


async def test_no_connection_becomes_free(server: "Server", lost: Lost) -> None:
    transport = Transport(Limits(connections=1, total=0.1), environ={})
    # one transport's requests all have the same limit: take the slot past it
    transport._slots = 0
    async with httpx.AsyncClient(transport=transport) as http:
        with lost(Loss.CONNECT, "no connection", "1 are in use"):
            await http.post(server.url)
    assert server.accepted == 0


async def test_waiting_requests_are_served_in_order(server: "Server") -> None:
    async with client(connections=1) as http:
        await asyncio.gather(*(http.post(server.url, content=b"%d" % one) for one in range(20)))
    assert [one.body for one in server.calls] == [b"%d" % one for one in range(20)]
    assert server.accepted == 1


async def test_a_slot_moves_on_when_its_connection_fails(server: "Server") -> None:
    async def script(call: "Call") -> None:
        if call.connection % 2:
            call.reset()
        else:
            await call.answer(b"answer", "Connection: close")

    server.script = script
    async with client(connections=2) as http:
        results = await asyncio.gather(
            *(http.post(server.url) for _ in range(20)), return_exceptions=True
        )
    assert sum(isinstance(one, TransportError) for one in results) == 10
    assert server.accepted == 20


async def test_an_idle_connection_makes_room_for_another_server(
    server: "Server", other_server: "Server"
) -> None:
    async with client(connections=1) as http:
        for _ in range(2):
            await http.post(server.url)
            await http.post(other_server.url)
            await server.until_open(0)
        waiting = [
            http.post(one.url, content=b"x") for _ in range(5) for one in (server, other_server)
        ]
        assert {one.content for one in await asyncio.gather(*waiting)} == {b"answer"}
        await server.until_open(0)
        await other_server.until_open(1)
    assert (server.accepted, other_server.accepted) == (7, 7)


# -- cancellation and closing ------------------------------------------------------------------


async def test_cancelling_an_exchange_closes_its_connection(server: "Server") -> None:
    async def script(call: "Call") -> None:
        await call.until_closed()

    server.script = script
    async with client(connections=1) as http:
        with anyio.move_on_after(0.05) as scope:
            await http.post(server.url)
        assert scope.cancelled_caught
        await server.until_open(0)
        assert (await server_recovers(http, server)).status_code == 200


async def test_cancelling_a_waiting_request_gives_its_turn_away(server: "Server") -> None:
    release = asyncio.Event()

    async def script(call: "Call") -> None:
        await release.wait()
        await call.answer()

    server.script = script
    async with client(connections=1) as http, anyio.create_task_group() as group:
        group.start_soon(http.post, server.url)
        await server.until_open(1)
        with anyio.move_on_after(0.05) as scope:
            await http.post(server.url)
        assert scope.cancelled_caught
        group.start_soon(http.post, server.url)
        await asyncio.sleep(0.01)
        release.set()
    assert len(server.calls) == 2


@pytest.mark.parametrize("fields", [(), ("Connection: close",)])
async def test_a_turn_granted_to_a_cancelled_request_is_passed_on(
    server: "Server", fields: tuple[str, ...]
) -> None:
    release = asyncio.Event()

    async def script(call: "Call") -> None:
        await release.wait()
        await call.answer(b"answer", *fields)

    server.script = script
    async with client(connections=1) as http:

        async def first() -> None:
            await http.post(server.url)
            # the turn was granted in this step of the loop, and its task has not run yet
            second.cancel()

        one = asyncio.create_task(first())
        await server.until_open(1)
        second = asyncio.create_task(http.post(server.url))
        await asyncio.sleep(0.01)
        release.set()
        await one
        with pytest.raises(asyncio.CancelledError):
            await second
        assert (await http.post(server.url)).status_code == 200
    assert (server.accepted, len(server.calls)) == (2 if fields else 1, 2)


async def test_cancelling_while_connecting_gives_the_slot_back(server: "Server") -> None:
    server.reads = False
    async with client(connections=1) as http:
        with anyio.move_on_after(0.1) as scope:
            # a server that does not speak TLS and does not close
            await http.post(f"https://127.0.0.1:{server.port}/")
        assert scope.cancelled_caught
        await server.until_open(1)
        server.reads = True
        assert (await http.post(server.url)).status_code == 200


async def test_closing_ends_everything(server: "Server", lost: Lost) -> None:
    async def script(call: "Call") -> None:
        if call.body:
            await call.until_closed()
        await call.answer()

    server.script = script
    transport = Transport(Limits(connections=2), environ={})
    failures: list[Loss] = []

    async def fail(http: httpx.AsyncClient) -> None:
        try:
            await http.post(server.url, content=b"wait")
        except TransportError as error:
            failures.append(error.loss)

    async with (
        anyio.create_task_group() as group,
        httpx.AsyncClient(transport=transport) as http,
    ):
        await http.post(server.url)
        for _ in range(3):
            group.start_soon(fail, http)
        await server.until_open(2)
        await server.until_called(3)
    assert sorted(failures) == sorted([Loss.REUSED, Loss.CUT, Loss.CONNECT])
    await server.until_open(0)
    with lost(Loss.CONNECT, "closed"):
        await transport.handle_async_request(httpx.Request("POST", server.url))
    await transport.aclose()
    await server.until_open(0)


async def test_closing_may_be_cancelled(server: "Server") -> None:
    transport = Transport(environ={})
    await httpx.AsyncClient(transport=transport).post(server.url)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await transport.aclose()
    assert scope.cancelled_caught
    await server.until_open(0)


async def test_closing_while_connecting(
    server: "Server", lost: Lost, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport = Transport(environ={})
    connect = transport._connector.connect

    async def slow_connect(*arguments: Any) -> Connection:
        connection = await connect(*arguments)
        await transport.aclose()
        return connection

    monkeypatch.setattr(transport._connector, "connect", slow_connect)
    with lost(Loss.CONNECT, "the transport was closed"):
        await transport.handle_async_request(httpx.Request("POST", server.url))
    await server.until_open(0)
    assert server.calls == []


async def test_connection_that_is_lost_as_soon_as_it_is_made(
    server: "Server", lost: Lost, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport = Transport(environ={})
    connect = transport._connector.connect

    async def slow_connect(*arguments: Any) -> Connection:
        connection = await connect(*arguments)
        await server.until_open(1)
        server.writers[0].transport.abort()
        async with asyncio.timeout(30):
            while not connection.is_lost:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        return connection

    monkeypatch.setattr(transport._connector, "connect", slow_connect)
    async with httpx.AsyncClient(transport=transport) as http:
        with lost(Loss.NOT_SENT):
            await http.post(server.url)
