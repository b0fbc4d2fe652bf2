"""An HTTP server that answers every POST in the same way, as fast as an asyncio protocol can.

It announces its port on standard output, and serves until its standard input ends.
"""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Final, cast

import httptools
import uvloop

from bulkcmp.io.vitals import allow_open_files

ANSWER: Final = bytes(1200)
_RESPONSE: Final = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/pkixcmp\r\nContent-Length: %d\r\n\r\n%s"
    % (len(ANSWER), ANSWER)
)


class _Protocol(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's has its methods, and is none
        self._transport = cast(asyncio.Transport, transport)
        self._parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        self._transport.write(_RESPONSE)


@contextmanager
def answering() -> Iterator[int]:
    """Serve in a process of its own while the block runs; gives the port."""
    with Popen(
        [sys.executable, "-m", "benchmarks.answerer"],
        stdin=PIPE,
        stdout=PIPE,
        cwd=Path(__file__).parents[1],
    ) as process:
        assert process.stdout is not None
        # the end of the block closes its standard input
        yield int(process.stdout.readline())


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Protocol, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    allow_open_files()
    uvloop.run(_serve())
