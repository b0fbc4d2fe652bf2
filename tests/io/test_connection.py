"""What a peer may send is endless; whatever it is, an exchange ends with an answer or a loss."""

import asyncio
import itertools
import ssl
from time import monotonic

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkcmp.errors import Loss, TransportError
from bulkcmp.io.connection import Answer, Connection
from bulkcmp.io.limits import Limits
from tests.io.wire import Wire, exchange

LINES = st.sampled_from(
    [
        b"HTTP/1.1 200 OK",
        b"HTTP/1.0 404 No",
        b"HTTP/1.1 100 Continue",
        b"HTTP/1.1 101 Switching",
        b"HTTP/1.1 204 x",
        b"Content-Length: 5",
        b"Content-Length: 5000",
        b"Transfer-Encoding: chunked",
        b"Transfer-Encoding: gzip",
        b"Content-Encoding: gzip",
        b"Connection: close",
        b"Upgrade: x",
        b"",
        b"",
        b"5",
        b"0",
        b"hello",
    ]
)
ANSWERS = st.one_of(
    st.binary(max_size=200),
    st.lists(st.one_of(LINES, st.binary(max_size=8)), max_size=12).map(b"\r\n".join),
)


@given(answer=ANSWERS, cuts=st.lists(st.integers(0, 200), max_size=4))
def test_any_bytes_give_an_answer_or_a_loss(answer: bytes, cuts: list[int]) -> None:
    places = sorted({0, len(answer), *(one for one in cuts if one < len(answer))})
    chunks = [answer[a:b] for a, b in itertools.pairwise(places)]
    got: Answer | None = None
    loss: Loss | None = None
    try:
        got = asyncio.run(exchange(chunks))
    except TransportError as error:
        loss = error.loss
    assert loss in {None, Loss.BAD_HTTP, Loss.CUT, Loss.TOO_LARGE}
    assert (got is None) is (loss is not None)
    assert got is None or (200 <= got.status <= 999 and len(got.body) <= len(answer))


@given(
    body=st.binary(max_size=300),
    cuts=st.lists(st.integers(1, 400), max_size=6),
    chunked=st.booleans(),
)
def test_how_an_answer_is_cut_into_pieces_does_not_matter(
    body: bytes, cuts: list[int], chunked: bool
) -> None:
    if chunked:
        parts = [body[i : i + 7] for i in range(0, len(body), 7)]
        framed = b"".join(b"%x\r\n%s\r\n" % (len(one), one) for one in parts) + b"0\r\n\r\n"
        whole = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Y: z\r\n\r\n" + framed
    else:
        whole = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nX-Y: z\r\n\r\n%s" % (len(body), body)
    places = sorted({0, len(whole), *(one for one in cuts if one < len(whole))})
    got = asyncio.run(exchange([whole[a:b] for a, b in itertools.pairwise(places)]))
    assert got.body == body
    assert got.headers[1] == (b"X-Y", b"z")


def test_text_of_a_loss_names_the_peer() -> None:
    with pytest.raises(TransportError, match="the connection to peer ended without an answer"):
        asyncio.run(exchange([]))


ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def connect(read: float) -> tuple[Connection, Wire]:
    connection = Connection("peer", Limits(read=read), lambda _: None)
    wire = Wire(connection)
    connection.connection_made(wire)
    return connection, wire


@pytest.mark.parametrize("when", ["long before", "just before", "in write"])
def test_connection_that_ends_before_the_request_is_written(when: str) -> None:
    async def run() -> None:
        connection, wire = await connect(100)
        if when == "in write":
            wire.fails = True
        else:
            wire.abort()
        if when == "long before":
            await asyncio.sleep(0)
            assert connection.is_lost
        with pytest.raises(TransportError) as caught:
            await connection.exchange(b"request", monotonic() + 100)
        assert caught.value.loss is Loss.NOT_SENT
        assert not connection.is_usable
        assert wire.written == ([b"request"] if when == "in write" else [])

    asyncio.run(run())


def test_a_later_exchange_may_have_an_earlier_deadline() -> None:
    async def run() -> None:
        connection, wire = await connect(1000)
        for seconds, answered in ((200, True), (100, True), (0.05, False)):
            if answered:
                asyncio.get_running_loop().call_soon(connection.data_received, ANSWER)
                await connection.exchange(b"request", monotonic() + seconds)
                assert connection.is_usable
                continue
            started = monotonic()
            with pytest.raises(TransportError, match="no answer within"):
                await connection.exchange(b"request", started + seconds)
            assert monotonic() - started < 50
        assert wire.closing

    asyncio.run(run())


def test_an_old_deadline_means_nothing_to_an_idle_connection() -> None:
    async def run() -> None:
        connection, wire = await connect(0.02)
        # or the kernel could still lack a part of a request that the loop calls written
        assert wire.high == 0
        for _ in range(2):
            asyncio.get_running_loop().call_soon(connection.data_received, ANSWER)
            await connection.exchange(b"request", monotonic() + 10)
            await asyncio.sleep(0.04)
            assert connection.is_usable
        asyncio.get_running_loop().call_soon(connection.data_received, ANSWER)
        await connection.exchange(b"request", monotonic() + 10)
        timer = connection._timer
        assert timer is not None
        connection.close()
        await asyncio.sleep(0)
        assert connection.is_lost
        assert timer.cancelled()

    asyncio.run(run())


def test_below_tls_a_request_counts_as_sent() -> None:
    async def run() -> None:
        connection, wire = await connect(10)
        below = Wire(connection)
        connection.attach(wire, below)
        loop = asyncio.get_running_loop()
        loop.call_soon(connection.pause_writing)
        loop.call_soon(wire.abort)
        with pytest.raises(TransportError) as caught:
            await connection.exchange(b"request", monotonic() + 10)
        assert caught.value.loss is Loss.CUT
        connection.resume_writing()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("when", "used", "loss"),
    [
        # the handshake was over for us, and nothing was asked yet
        ("before", False, Loss.TLS),
        ("after", False, Loss.TLS),
        ("before", True, Loss.NOT_SENT),
        ("after", True, Loss.REUSED),
    ],
)
def test_an_alert_proves_that_a_new_connection_took_no_request(
    when: str, used: bool, loss: Loss
) -> None:
    alert = ssl.SSLError(1, "[SSL] tlsv13 alert certificate required (_ssl.c:1)")
    alert.reason = "TLSV13_ALERT_CERTIFICATE_REQUIRED"

    async def run() -> None:
        connection, wire = await connect(100)
        below = Wire(connection)
        connection.attach(wire, below)
        loop = asyncio.get_running_loop()
        if used:
            loop.call_soon(connection.data_received, ANSWER)
            await connection.exchange(b"request", monotonic() + 100)
        if when == "before":
            below.closing = True
            connection.connection_lost(alert)
        else:
            loop.call_soon(connection.connection_lost, alert)
        with pytest.raises(TransportError) as caught:
            await connection.exchange(b"request", monotonic() + 100)
        assert caught.value.loss is loss
        if not used:
            assert "certificate required" in caught.value.what
            assert "--tls-cert" in str(caught.value.hint)

    asyncio.run(run())


def test_an_end_without_an_alert_proves_nothing() -> None:
    async def run() -> None:
        connection, wire = await connect(100)
        connection.attach(wire, Wire(connection))
        asyncio.get_running_loop().call_soon(connection.connection_lost, None)
        with pytest.raises(TransportError) as caught:
            await connection.exchange(b"request", monotonic() + 100)
        assert caught.value.loss is Loss.CUT
        assert "--tls-cert" in str(caught.value.hint)

    asyncio.run(run())


def test_the_read_limit_starts_with_the_last_byte_sent() -> None:
    async def run() -> None:
        connection, _ = await connect(0.1)
        loop = asyncio.get_running_loop()
        loop.call_soon(connection.pause_writing)
        started = monotonic()
        loop.call_later(0.06, connection.resume_writing)
        with pytest.raises(TransportError) as caught:
            await connection.exchange(b"request", monotonic() + 10)
        assert caught.value.loss is Loss.TIMEOUT
        assert monotonic() - started >= 0.15

    asyncio.run(run())
