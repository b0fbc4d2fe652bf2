"""A network between client and server whose connections can be ended, and that can be down."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self


class Relay:
    """Passes connections on from a port of its own, as a context manager, in a thread of its own.

    Attributes:
        target: port of the server, which may change.
        cut: connections that were ended by `cut_all`.
    """

    def __init__(self) -> None:
        self.target = 0
        self.cut = 0
        # it never listens, and keeps the port while nothing does
        self._guard = _bound(0)
        self.port: int = self._guard.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._server: asyncio.Server | None = None
        self._passing: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._do(self._end()).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._guard.close()

    def open(self) -> None:
        """Take connections."""
        self._do(self._open()).result()

    def close(self) -> None:
        """Refuse connections; those that there are go on."""
        self._do(self._close()).result()

    def cut_all(self) -> None:
        """End all connections, whatever goes on in them."""
        self._do(self._cut()).result()

    def _do(self, what: Coroutine[Any, Any, None]) -> "Future[None]":
        return asyncio.run_coroutine_threadsafe(what, self._loop)

    async def _open(self) -> None:
        self._server = await asyncio.start_server(self._pass, sock=_bound(self.port))

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _cut(self) -> None:
        passing = [*self._passing]
        self.cut += len(passing)
        for one in passing:
            one.cancel()
        await asyncio.gather(*passing, return_exceptions=True)

    async def _end(self) -> None:
        await self._close()
        await self._cut()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._passing.add(task)
        try:
            with contextlib.suppress(OSError):
                await self._join(reader, writer)
        except asyncio.CancelledError:
            pass  # by `_cut`, which waits for it
        finally:
            self._passing.discard(task)
            writer.transport.abort()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self.target)
        try:
            ways = [
                asyncio.ensure_future(_copy(reader, back)),
                asyncio.ensure_future(_copy(there, writer)),
            ]
            try:
                # HTTP: who ends one direction wants nothing more
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for one in ways:
                    one.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
        finally:
            back.transport.abort()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while octets := await reader.read(1 << 16):
        writer.write(octets)
        await writer.drain()


def _bound(port: int) -> socket.socket:
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.bind(("127.0.0.1", port))
    return made
