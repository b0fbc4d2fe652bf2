"""A network between bulkcmp and the embedded CA that does harm by plan.

The CA is asked in process; what stands between it and bulkcmp is a real socket, and each fault
decides what is written to that, and when. Which message meets which fault depends on the seed, the
row and the kind of message alone, and on nothing that happens by chance: a run can be repeated, and
what each row must come to can be told beforehand.
"""

import asyncio
import contextlib
import random
import re
import socket
import ssl
import struct
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from bulkcmp.cmp.messages import BodyType, decode_message
from bulkcmp.model import OutcomeClass
from tests.loopback import Wire, listening, read_body, read_head

End = tuple[OutcomeClass, str]
"""What a row comes to: its outcome and its reason."""

Ask = Callable[[bytes], bytes]
"""The CA: a request in, its answer out."""

ISSUED: End = (OutcomeClass.ISSUED, "")

_SPOILT = frozenset({BodyType.IR, BodyType.CERT_CONF})
_RESET = struct.pack("ii", 1, 0)
"""struct linger: on, no seconds; close() then sends RST."""


@dataclass
class Passage(Wire):
    """One exchange on its way through the proxy.

    Attributes:
        request: DER of the PKIMessage.
        chance: for what a fault leaves to it.
    """

    proxy: "Proxy"
    request: bytes
    chance: random.Random

    def answer(self) -> bytes:
        """Let the CA work on the request."""
        answer = self.proxy.ask(self.request)
        self.proxy.answers.append(answer)
        return answer

    async def close(self) -> None:
        """End the connection in good order; over TLS with close_notify."""
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()

    def cut(self) -> None:
        """End the connection; over TLS without close_notify."""
        self.writer.transport.abort()

    def reset(self) -> None:
        """End the connection by RST."""
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.writer.transport.abort()

    async def hold(self) -> None:
        """Say nothing more, until the client gives up."""
        with contextlib.suppress(OSError):
            while await self.reader.read(1 << 16):
                pass
        self.cut()


Act = Callable[[Passage], Awaitable[None]]

Line = Callable[["Proxy", asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
"""Serves a connection to its end."""


@dataclass(frozen=True)
class Fault:
    """Something that can happen to an exchange; what it does is the docstring of `act`.

    Attributes:
        request: the ends of a row whose request met it.
        confirmation: the ends of a row whose certConf met it.
        others: further ends of rows whose messages did not meet it, but came after one that did.
        times: how often in a row a message meets it.
        is_slow: it is ended by a time limit, which is therefore short.
    """

    act: Act
    request: frozenset[End]
    confirmation: frozenset[End]
    others: frozenset[End] = frozenset()
    times: int = 1
    is_slow: bool = False

    @property
    def name(self) -> str:
        return self.act.__name__


@dataclass(frozen=True)
class Deed:
    """A message of a row met a fault."""

    row: int
    kind: BodyType
    fault: Fault


@dataclass
class Proxy:
    """Serves on a loopback port.

    Attributes:
        rows: of each transactionID; sessions of one run share them.
        faults: what may happen; each is as likely as the others.
        odds: that any of it happens to a message.
        tls: speak TLS.
        line: what each connection meets.
        connections: how many were opened.
        deeds: what was done, in order.
        answers: of the CA, in order.
        poured: octets of endless answers that went out.
        strayed: requests for another path than that of the CA.
    """

    ask: Ask
    rows: dict[bytes, int]
    faults: Sequence[Fault]
    odds: float
    seed: int
    tls: ssl.SSLContext | None = None
    line: Line | None = None
    connections: int = 0
    deeds: list[Deed] = field(default_factory=list)
    answers: list[bytes] = field(default_factory=list)
    poured: int = 0
    strayed: int = 0
    port: int = 0
    _late: list[tuple[bytes, "asyncio.Future[bytes]"]] = field(default_factory=list)
    _counts: Counter[tuple[int, BodyType]] = field(default_factory=Counter)

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.connections += 1
            await (self.line or Proxy.serve)(self, reader, writer)

        async with listening(accept, self.tls) as self.port:
            yield

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection to its end."""
        while not writer.is_closing():
            await self.exchange(reader, writer)

    async def exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line, fields = await read_head(reader)
        self.strayed += not line.startswith("POST /cmp ")
        request = await read_body(reader, fields)
        message = decode_message(request)
        kind = message.body_type
        row = self._row(message.header.transactionID or b"", request)
        chance = random.Random(f"{self.seed}:{row}:{kind.name}")
        fault = self._fault(chance, kind)
        count = self._counts[row, kind]
        self._counts[row, kind] += 1
        passage = Passage(reader, writer, self, request, chance)
        if fault is None or count >= fault.times:
            await passage.write(passage.response(passage.answer()))
        else:
            self.deeds.append(Deed(row, kind, fault))
            await fault.act(passage)

    async def swap(self, own: bytes) -> bytes:
        """Exchange an answer with that of whoever comes next; it comes back where nobody does."""
        if self._late:
            theirs, partner = self._late.pop()
            partner.set_result(own)
            return theirs
        mine: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        entry = (own, mine)
        self._late.append(entry)
        await asyncio.wait([mine], timeout=1)
        if mine.done():
            return mine.result()
        self._late.remove(entry)
        return own

    def _row(self, transaction_id: bytes, request: bytes) -> int:
        """The row of a message: its request names it."""
        named = re.search(rb"-(\d{6})", request)
        if named and transaction_id not in self.rows:
            self.rows[transaction_id] = int(named[1])
        return self.rows[transaction_id]

    def _fault(self, chance: random.Random, kind: BodyType) -> Fault | None:
        if kind not in _SPOILT or chance.random() >= self.odds:
            return None
        return chance.choice(self.faults)
