"""The embedded CA with delays that are known: each request has the next one of a list, and for a
while the CA takes nothing up at all.

It is told by a line of JSON on its standard input, announces its port on standard output, and
serves until its standard input ends.
"""

import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE, Popen

import anyio
import msgspec
import uvicorn

from bulkcmp.testca import state
from bulkcmp.testca.app import CmpApp, Receive, Scope, Send
from bulkcmp.testca.personality import Personality, make_app
from bulkcmp.testca.protocol import HttpProtocol


@dataclass(frozen=True, slots=True)
class Delays:
    """What requests are to wait for.

    Attributes:
        ca: state folder of the CA.
        each: seconds, in the order in which requests come; there are no more requests than that.
        stall_at: seconds after the first request at which the CA takes nothing up, for `stall`
            seconds; what has come before is answered all the same.
    """

    ca: str
    each: tuple[float, ...]
    stall_at: float
    stall: float


@contextmanager
def delaying(delays: Delays) -> Iterator[str]:
    """Serve in a process of its own while the block runs; gives the URL, without a path."""
    with Popen(
        [sys.executable, "-m", "benchmarks.delayer"],
        stdin=PIPE,
        stdout=PIPE,
        cwd=Path(__file__).parents[1],
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(msgspec.json.encode(delays) + b"\n")
        process.stdin.flush()
        # the end of the block closes its standard input
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"


class _Delayer:
    """An ASGI application before another."""

    def __init__(self, app: CmpApp, delays: Delays) -> None:
        self._app = app
        self._delays = delays
        self._each = iter(delays.each)
        self._first: float | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        now = time.monotonic()
        if self._first is None:
            self._first = now
        since = now - self._first - self._delays.stall_at
        stalled = self._delays.stall - since if 0.0 <= since < self._delays.stall else 0.0
        await anyio.sleep(stalled + next(self._each))
        await self._app(scope, receive, send)


def _serve() -> None:
    delays = msgspec.json.decode(sys.stdin.buffer.readline(), type=Delays)
    folder = Path(delays.ca)
    with (
        closing(state.open_books(folder)) as books,
        socket.create_server(("127.0.0.1", 0), backlog=4096) as listener,
    ):
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        app = make_app(Personality.BULKCMP, books, state.load_identity(folder))
        server = uvicorn.Server(
            uvicorn.Config(
                _Delayer(app, delays), loop="uvloop", http=HttpProtocol, ws="none", lifespan="off",
                interface="asgi3", log_level="warning", access_log=False, backlog=4096,
                timeout_keep_alive=75, timeout_graceful_shutdown=1,
            )
        )  # fmt: skip

        def end() -> None:
            sys.stdin.buffer.read()
            server.should_exit = True

        threading.Thread(target=end, daemon=True).start()
        # until it accepts, connections wait
        print(listener.getsockname()[1], flush=True)
        server.run(sockets=[listener])


if __name__ == "__main__":
    _serve()
