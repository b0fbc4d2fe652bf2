import datetime as dt
import socket
import time
from collections.abc import Iterator
from http.client import HTTPResponse
from pathlib import Path

import pytest

from bulkcmp.cmp.messages import BodyType, decode_message
from bulkcmp.testca import state
from bulkcmp.testca.server import ServerSettings, serving

BODY = b"no PKIMessage"
OFFER = (
    b"POST /.well-known/cmp HTTP/1.1\r\nHost: ca\r\nConnection: Upgrade, HTTP2-Settings\r\n"
    b"Upgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\n"
    b"Content-Length: 13\r\n\r\n"
)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    folder: Path = tmp_path_factory.mktemp("ca") / "state"
    state.create(folder, state.DEFAULT_CA_KEY, dt.datetime.now(dt.UTC))
    with serving(ServerSettings(folder, port=0)) as ca:
        host, port = ca.url.removeprefix("http://").split(":")
        yield host, int(port)


def answered(connection: socket.socket) -> HTTPResponse:
    answer = HTTPResponse(connection)
    answer.begin()
    assert answer.status == 200
    assert decode_message(answer.read()).body_type is BodyType.ERROR
    return answer


@pytest.mark.parametrize("cut", [len(OFFER) + len(BODY), len(OFFER), len(OFFER) - 3, 40])
def test_an_offer_to_upgrade_is_ignored(address: tuple[str, int], cut: int) -> None:
    """As Java's HttpClient makes it; whatever pieces the request comes in."""
    with socket.create_connection(address, timeout=30) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        whole = OFFER + BODY
        connection.sendall(whole[:cut])
        # for the pieces to be read one by one; whether they are does not change what must come
        time.sleep(0.05)
        connection.sendall(whole[cut:])
        answered(connection)
        # the connection goes on, with offers and without
        connection.sendall(whole.replace(b"Upgrade: h2c\r\n", b""))
        answered(connection)
        connection.sendall(whole)
        answered(connection)


def test_an_offer_may_come_later(address: tuple[str, int]) -> None:
    with socket.create_connection(address, timeout=30) as connection:
        for upgrade in (b"", b"", b"Upgrade: h2c\r\n"):
            connection.sendall(OFFER.replace(b"Upgrade: h2c\r\n", upgrade) + BODY)
            answered(connection)


@pytest.mark.parametrize("before", [1, 2])
def test_an_offer_waits_for_the_answers_before_it(address: tuple[str, int], before: int) -> None:
    """Answers come in the order of their requests (RFC 9112, 9.3.2)."""
    plain = OFFER.replace(b"Upgrade: h2c\r\n", b"") + BODY
    offer = b"GET / HTTP/1.1\r\nHost: ca\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"
    with socket.create_connection(address, timeout=30) as connection:
        connection.sendall(plain * before + offer + plain)
        stream = connection.makefile("rb")
        found = []
        for _ in range(before + 2):
            found.append(int(stream.readline().split()[1]))
            length = 0
            while line := stream.readline().strip().lower():
                if line.startswith(b"content-length:"):
                    length = int(line.partition(b":")[2])
            stream.read(length)
    assert found == [200] * before + [404, 200]


OLD = b"POST /.well-known/cmp HTTP/1.0\r\nContent-Length: 13\r\n"


def test_a_connection_of_http_1_0_persists_where_it_is_asked_to(address: tuple[str, int]) -> None:
    """OpenSSL's client speaks HTTP/1.0, and with `-keep_alive 2` ends where it does not."""
    with socket.create_connection(address, timeout=30) as connection:
        for _ in range(3):
            connection.sendall(OLD + b"Connection: keep-alive\r\n\r\n" + BODY)
            assert answered(connection).getheader("connection") == "keep-alive"
        connection.sendall(OLD + b"\r\n" + BODY)
        assert answered(connection).getheader("connection") == "close"
        assert connection.recv(1) == b""


def test_a_body_may_wait_to_be_asked_for(address: tuple[str, int]) -> None:
    """RFC 9110, 10.1.1."""
    head = OFFER.replace(b"Upgrade: h2c\r\n", b"Expect: 100-continue\r\n")
    with socket.create_connection(address, timeout=30) as connection:
        connection.sendall(head)
        assert connection.recv(12) == b"HTTP/1.1 100"
        while not connection.recv(1).endswith(b"\n"):
            pass
        assert connection.recv(2) == b"\r\n"
        connection.sendall(BODY)
        answered(connection)


def test_the_target_may_be_an_absolute_uri(address: tuple[str, int]) -> None:
    """As proxies pass it on (RFC 9112, 3.2.2)."""
    head = OFFER.replace(b"Upgrade: h2c\r\n", b"").replace(b" /", b" http://ca/", 1)
    with socket.create_connection(address, timeout=30) as connection:
        connection.sendall(head + BODY)
        answered(connection)


def test_an_offer_without_a_body_is_no_request_of_cmp(address: tuple[str, int]) -> None:
    with socket.create_connection(address, timeout=30) as connection:
        connection.sendall(
            b"GET / HTTP/1.1\r\nHost: ca\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"
        )
        answer = HTTPResponse(connection)
        answer.begin()
        assert answer.status == 404
