"""Servers that speak HTTP by hand, and may speak it badly; real sockets, on loopback."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
"""Serves a connection to its end."""


@contextlib.asynccontextmanager
async def listening(serve: Serve, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server for as long as the block lasts, which ends its connections, too; gives its port.

    A client that leaves, or breaks off, is no failure of the server.
    """
    tasks: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await serve(reader, writer)
        finally:
            tasks.discard(task)
            writer.transport.abort()

    listener = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls, backlog=1024)
    port: int = listener.sockets[0].getsockname()[1]
    try:
        yield port
    finally:
        listener.close()
        ended = tuple(tasks)
        for task in ended:
            task.cancel()
        await asyncio.gather(*ended)
        await listener.wait_closed()


async def read_head(reader: asyncio.StreamReader) -> tuple[str, dict[str, str]]:
    """The first line of a request, and its fields by their names in lower case."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    line, *fields = head.rstrip("\r\n").split("\r\n")
    pairs = (one.partition(":") for one in fields)
    return line, {name.lower(): value.strip() for name, _, value in pairs}


async def read_body(reader: asyncio.StreamReader, fields: dict[str, str]) -> bytes:
    """The rest of a request whose head has these fields."""
    return await reader.readexactly(int(fields.get("content-length", "0")))


@dataclass
class Wire:
    """The server's end of a connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def write(self, *parts: bytes) -> None:
        for part in parts:
            self.writer.write(part)
            await self.writer.drain()

    @staticmethod
    def head(*fields: str, status: str = "200 OK", kind: str = "application/pkixcmp") -> bytes:
        return "\r\n".join(
            (f"HTTP/1.1 {status}", f"Content-Type: {kind}", *fields, "", "")
        ).encode()

    def response(self, body: bytes, *fields: str, **head: str) -> bytes:
        """A well-formed HTTP response."""
        return self.head(f"Content-Length: {len(body)}", *fields, **head) + body
