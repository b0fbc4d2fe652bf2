"""A connection whose other end is a test."""

import asyncio
from time import monotonic

from bulkcmp.io.connection import Answer, Connection
from bulkcmp.io.limits import Limits


class Wire(asyncio.Transport):
    """A transport that takes everything and tells its protocol when it is aborted."""

    def __init__(self, protocol: asyncio.BaseProtocol) -> None:
        super().__init__()
        self.protocol = protocol
        self.closing = False
        self.fails = False
        self.high: int | None = None
        self.written: list[object] = []

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.high = high

    def write(self, data: object) -> None:
        assert not self.closing
        self.written.append(data)
        if self.fails:
            self.abort()

    def is_closing(self) -> bool:
        return self.closing

    def abort(self) -> None:
        if not self.closing:
            self.closing = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    close = abort


async def exchange(chunks: list[bytes]) -> Answer:
    closed: list[Connection] = []
    connection = Connection("peer", Limits(response=2000, headers=500), closed.append)
    wire = Wire(connection)
    connection.connection_made(wire)

    async def feed() -> None:
        for chunk in chunks:
            if wire.closing:
                return
            connection.data_received(chunk)
            await asyncio.sleep(0)
        connection.eof_received()
        wire.abort()

    feeding = asyncio.create_task(feed())
    try:
        return await connection.exchange(b"request", monotonic() + 5)
    finally:
        await feeding
        await asyncio.sleep(0)
        assert closed == ([connection] if wire.closing else [])
        assert wire.closing
