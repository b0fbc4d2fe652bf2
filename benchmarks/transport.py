"""HTTP: CPU per request of our client over that of a bare asyncio protocol, at few and at many
connections.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, cast

import httptools

from benchmarks.answerer import ANSWER, answering
from benchmarks.benchmark import Benchmark, Scale
from benchmarks.figure import Figure, Findings, Profile, Series, at_most
from benchmarks.profile import profiled
from bulkcmp.io import loop
from bulkcmp.io.http import CmpHttpClient
from bulkcmp.io.limits import Limits
from bulkcmp.io.transport import Transport
from bulkcmp.io.vitals import allow_open_files

_FULL: Final = 15_000
_FEW: Final = 10
_MANY: Final = 1000
_MOST: Final = 5000
_BODY: Final = bytes(700)
_PATH: Final = "/cmp/p/x"

Post = Callable[[], Awaitable[bytes]]


class _Bare(asyncio.Protocol):
    """One connection: a request head that never changes, a parser, a future."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's has its methods, and is none
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self._parts.append(body)

    def on_message_complete(self) -> None:
        self._answer.set_result(b"".join(self._parts))

    def connection_lost(self, error: Exception | None) -> None:
        if not self._answer.done():
            self._answer.set_exception(ConnectionError())

    def close(self) -> None:
        self._transport.close()

    async def post(self, request: bytes) -> bytes:
        self._parser = httptools.HttpResponseParser(self)
        self._parts: list[bytes] = []
        self._answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer


async def _ours(port: int, connections: int, requests: int) -> float:
    limits = Limits(connections=connections)
    async with CmpHttpClient(f"http://127.0.0.1:{port}{_PATH}", Transport(limits)) as client:

        async def post() -> bytes:
            return (await client.post(_BODY)).body

        return await _cpu([post] * connections, requests)


async def _bare(port: int, connections: int, requests: int) -> float:
    request = (
        b"POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/pkixcmp\r\n"
        b"Content-Length: %d\r\n\r\n%s" % (_PATH.encode(), len(_BODY), _BODY)
    )
    event_loop = asyncio.get_running_loop()
    made = [
        (await event_loop.create_connection(_Bare, "127.0.0.1", port))[1]
        for _ in range(connections)
    ]

    def poster(connection: _Bare) -> Post:
        return lambda: connection.post(request)

    try:
        return await _cpu([poster(connection) for connection in made], requests)
    finally:
        for connection in made:
            connection.close()


async def _cpu(posts: list[Post], requests: int) -> float:
    """Microseconds of CPU per request, as many at a time as there are posts."""

    async def work(post: Post) -> None:
        for _ in numbers:
            if len(await post()) != len(ANSWER):
                raise RuntimeError("an answer is not whole")

    async def all_of_them() -> None:
        async with asyncio.TaskGroup() as group:
            for post in posts:
                group.create_task(work(post))

    # each opens its connection
    numbers = iter(range(len(posts)))
    await all_of_them()
    numbers = iter(range(requests))
    began = time.process_time()
    await all_of_them()
    return 1e6 * (time.process_time() - began) / requests


def run(scale: Scale) -> Findings:
    """Measure both at each number of connections, in turn."""
    allow_open_files()
    requests = scale.count(_FULL, 20)
    few, many, most = _FEW, scale.count(_MANY, 12), scale.count(_MOST, 15)
    # one connection is used once at least
    requests = max(requests, most)
    ours: dict[int, list[float]] = {few: [], many: [], most: []}
    bare: dict[int, list[float]] = {few: [], many: [], most: []}
    with answering() as port:
        for _ in range(scale.repetitions):
            for connections in ours:
                ours[connections].append(loop.run(_ours, port, connections, requests))
                bare[connections].append(loop.run(_bare, port, connections, requests))
        profile = _profile(port, many, requests)

    def ours_of(connections: int) -> Series:
        return Series.of(f"bulkcmp, {connections:,} connections", "us CPU", ours[connections])

    def bare_of(connections: int) -> Series:
        return Series.of(f"bare protocol, {connections:,} connections", "us CPU", bare[connections])

    title = "HTTP through our client / a bare protocol"
    growth = f"{most:,} connections / {few:,}"
    figures = (
        Figure(
            "http-many", f"{title}, {many:,} connections", ours_of(many), bare_of(many), at_most(6)
        ),
        Figure("http-few", f"{title}, {few:,} connections", ours_of(few), bare_of(few)),
        Figure(
            "http-growth", f"HTTP through our client, {growth}", ours_of(most), ours_of(few),
            at_most(1.3),
        ),
        Figure(
            "http-growth-bare", f"a bare protocol, {growth}", bare_of(most), bare_of(few)
        ),
    )  # fmt: skip
    return Findings(figures, profiles=(profile,))


def _profile(port: int, connections: int, requests: int) -> Profile:
    return profiled(
        f"our client, {connections:,} connections",
        lambda _: loop.run(_ours, port, connections, requests),
        requests + connections,
    )


BENCHMARK: Final = Benchmark("transport", "HTTP through our client over a bare protocol", run)
