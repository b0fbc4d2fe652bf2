"""What the embedded CA gives a peer that asks for too much, or for nothing."""

import datetime as dt
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPResponse, RemoteDisconnected
from pathlib import Path

import pytest

from bulkcmp.testca import state
from bulkcmp.testca.app import MAX_BODY
from bulkcmp.testca.server import ServerSettings, serving

HEAD = b"POST /.well-known/cmp HTTP/1.1\r\nHost: ca\r\n"
CONNECTIONS = 3

# for what never comes: more than the busiest machine needs
PATIENCE = 120


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("ca") / "state"
    state.create(path, state.DEFAULT_CA_KEY, dt.datetime.now(dt.UTC))
    return path


@contextmanager
def _at(settings: ServerSettings) -> Iterator[tuple[str, int]]:
    with serving(settings) as ca:
        host, port = ca.url.removeprefix("http://").split(":")
        yield host, int(port)


@pytest.fixture(scope="module")
def hasty(folder: Path) -> Iterator[tuple[str, int]]:
    """Address of a CA that waits a second."""
    with _at(ServerSettings(folder, port=0, request_seconds=1)) as address:
        yield address


@pytest.fixture(scope="module")
def usual(folder: Path) -> Iterator[tuple[str, int]]:
    """Address of a CA with the limits that it has unless told otherwise."""
    with _at(ServerSettings(folder, port=0)) as address:
        yield address


def ended(connection: socket.socket) -> bool:
    """Wait for the end of a connection, by close or reset, without an answer."""
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True


def status(connection: socket.socket) -> int:
    answer = HTTPResponse(connection)
    answer.begin()
    answer.read()
    return answer.status


UPGRADE = b"Connection: Upgrade\r\nUpgrade: h2c\r\n"
BEGUN = {
    "nothing": b"",
    "no head": b"\r\n",
    "half a head": HEAD + b"Content-Le",
    "no body": HEAD + b"Content-Length: 9\r\n\r\n",
    "half a body": HEAD + b"Content-Length: 9\r\n\r\nhalf",
    "a chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n",
    "an offer to upgrade": HEAD + UPGRADE + b"Content-Length: 9\r\n\r\nhalf",
}


def test_a_request_that_does_not_come_ends_the_connection(hasty: tuple[str, int]) -> None:
    with ExitStack() as stack:
        waiting = {}
        for kind, begun in BEGUN.items():
            one = stack.enter_context(socket.create_connection(hasty, timeout=PATIENCE))
            one.sendall(begun)
            waiting[kind] = one
        for kind, one in waiting.items():
            assert ended(one), kind


@pytest.mark.parametrize(
    "begun", [HEAD + b"X: ", HEAD + b"Content-Length: 90000\r\n\r\n"], ids=["head", "body"]
)
def test_a_request_that_trickles_in_ends_the_connection(
    hasty: tuple[str, int], begun: bytes
) -> None:
    with socket.create_connection(hasty, timeout=PATIENCE) as connection:
        connection.sendall(begun)
        connection.settimeout(0.05)
        for _ in range(int(PATIENCE / 0.05)):
            try:
                connection.sendall(b"x")
                assert connection.recv(1) == b""
            except TimeoutError:
                continue
            except ConnectionError:
                pass
            return
    pytest.fail("it went on")


@pytest.mark.parametrize("upgrade", [b"", UPGRADE], ids=["", "after an offer to upgrade"])
def test_an_answered_connection_that_begins_another_request_ends(
    hasty: tuple[str, int], upgrade: bytes
) -> None:
    whole = HEAD + upgrade + b"Content-Length: 1\r\n\r\nx"
    while True:
        with socket.create_connection(hasty, timeout=PATIENCE) as connection:
            try:
                connection.sendall(whole)
                assert status(connection) == 200
            except (ConnectionError, RemoteDisconnected):
                # this machine was too slow for the second
                continue
            connection.sendall(HEAD)
            assert ended(connection)
            return


def test_more_connections_are_closed(folder: Path) -> None:
    whole = HEAD + b"Content-Length: 1\r\n\r\nx"
    settings = ServerSettings(folder, port=0, max_connections=CONNECTIONS)
    with _at(settings) as address, ExitStack() as stack:
        held = []
        for _ in range(CONNECTIONS):
            one = stack.enter_context(socket.create_connection(address, timeout=PATIENCE))
            one.sendall(whole)
            assert status(one) == 200
            held.append(one)
        with socket.create_connection(address, timeout=PATIENCE) as more:
            assert ended(more)
        # those that are there are served on
        for one in held:
            one.sendall(whole)
            assert status(one) == 200


def test_a_body_in_chunks_is_not_read_beyond_the_limit(usual: tuple[str, int]) -> None:
    chunk = b"%x\r\n%s\r\n" % (50_000, b"x" * 50_000)
    assert MAX_BODY == 2 * 50_000
    with socket.create_connection(usual, timeout=PATIENCE) as connection:
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + 2 * chunk)
        # no end follows: the answer does not wait for one
        connection.sendall(b"1\r\nx\r\n")
        assert status(connection) == 413


def test_a_body_that_is_announced_too_large_is_not_waited_for(usual: tuple[str, int]) -> None:
    with socket.create_connection(usual, timeout=PATIENCE) as connection:
        connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % (MAX_BODY + 1))
        assert status(connection) == 413
