"""What can happen to an HTTP exchange, and what then becomes of the row."""

import asyncio
import contextlib
import gzip
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from bulkcmp.cmp.checks import Reason
from bulkcmp.errors import Loss
from bulkcmp.model import OutcomeClass
from tests.faults.proxy import ISSUED, Act, End, Fault, Line, Passage, Proxy

# -- the connection ------------------------------------------------------------------------------


async def request_dropped(passage: Passage) -> None:
    """The connection is reset when the request is in; the CA never sees it."""
    passage.reset()


async def reset_before_answer(passage: Passage) -> None:
    """The CA has answered, and the connection is reset before a byte of it."""
    passage.answer()
    passage.reset()


async def reset_within_answer(passage: Passage) -> None:
    """The connection is reset in the middle of the body."""
    response = passage.response(passage.answer())
    await passage.write(response[:-50])
    passage.reset()


async def reset_after_answer(passage: Passage) -> None:
    """The connection is reset right after the body, though it was to be kept."""
    await passage.write(passage.response(passage.answer()))
    passage.reset()


async def closed_after_answer(passage: Passage) -> None:
    """The connection is closed after the body, and nobody had said so."""
    await passage.write(passage.response(passage.answer()))
    await passage.close()


async def close_said(passage: Passage) -> None:
    """The answer says Connection: close."""
    await passage.write(passage.response(passage.answer(), "Connection: close"))
    await passage.close()


async def truncated(passage: Passage) -> None:
    """The connection is closed in good order in the middle of the body."""
    response = passage.response(passage.answer())
    await passage.write(response[: -passage.chance.randrange(1, 200)])
    await passage.close()


async def truncated_head(passage: Passage) -> None:
    """The connection is closed in good order in the middle of the head."""
    await passage.write(passage.response(passage.answer())[:20])
    await passage.close()


async def half_closed(passage: Passage) -> None:
    """The sending side is closed before the answer, and the other stays open."""
    passage.answer()
    passage.writer.write_eof()
    await passage.hold()


async def half_open(passage: Passage) -> None:
    """The peer is gone without a word, before it took up the request."""
    await passage.hold()


# -- time ----------------------------------------------------------------------------------------


async def delayed(passage: Passage) -> None:
    """The answer comes late, and within the limit."""
    await asyncio.sleep(passage.chance.uniform(0.01, 0.2))
    await passage.write(passage.response(passage.answer()))


async def answer_dropped(passage: Passage) -> None:
    """The CA has answered, and its answer never comes."""
    passage.answer()
    await passage.hold()


async def slow_loris(passage: Passage) -> None:
    """The answer trickles in, an octet now and then, and would take minutes."""
    with contextlib.suppress(OSError):
        for octet in passage.response(passage.answer()):
            await passage.write(bytes([octet]))
            await asyncio.sleep(0.2)
    passage.cut()


# -- other answers -------------------------------------------------------------------------------


async def duplicated(passage: Passage) -> None:
    """The answer comes twice on the connection, at once."""
    await passage.write(passage.response(passage.answer()) * 2)
    await passage.hold()


async def stale(passage: Passage) -> None:
    """What comes is the answer that was given before, to another message."""
    answers = passage.proxy.answers
    old = answers[-1] if answers else b"\x30\x00"
    passage.answer()
    await passage.write(passage.response(old))


async def reordered(passage: Passage) -> None:
    """Two answers that are due at the same time change places."""
    await passage.write(passage.response(await passage.proxy.swap(passage.answer())))


async def cut_der(passage: Passage) -> None:
    """The PKIMessage lacks its end, and HTTP around it is whole."""
    await passage.write(passage.response(passage.answer()[:-1]))


async def not_http(passage: Passage) -> None:
    """Another protocol answers."""
    passage.answer()
    await passage.write(b"220 mail.example.com ESMTP\r\n")
    await passage.hold()


async def portal(passage: Passage) -> None:
    """A portal answers 200 with its login page, and the CA never sees the request."""
    await passage.write(passage.response(b"<html>Please log in</html>", kind="text/html"))


async def redirected(passage: Passage) -> None:
    """A redirection, of any kind; the CA never sees the request."""
    status = passage.chance.choice(
        ("301 Moved Permanently", "302 Found", "303 See Other", "307 Temporary Redirect",
         "308 Permanent Redirect")
    )  # fmt: skip
    place = f"Location: http://127.0.0.1:{passage.proxy.port}/elsewhere"
    await passage.write(passage.response(b"", place, status=status))


async def gateway_lost(passage: Passage) -> None:
    """A gateway says that it lost the CA, which has answered."""
    passage.answer()
    status = passage.chance.choice(("502 Bad Gateway", "504 Gateway Timeout"))
    await passage.write(passage.response(b"<html>", status=status, kind="text/html"))


async def storm_503(passage: Passage) -> None:
    """Too much to do, three times in a row; the connection ends each time."""
    await passage.write(
        passage.response(b"busy", "Connection: close", status="503 Service Unavailable", kind="a/b")
    )
    await passage.close()


async def storm_429(passage: Passage) -> None:
    """Too many requests, three times in a row; when to come again is said, or nonsense."""
    after = passage.chance.choice(("0", "-1", "soon", "Thu, 01 Jan 1970 00:00:00 GMT", ""))
    await passage.write(
        passage.response(
            b"", f"Retry-After: {after}", status="429 Too Many Requests", kind="text/plain"
        )
    )


async def busy_forever(passage: Passage) -> None:
    """Too much to do, each time."""
    await passage.write(passage.response(b"", status="503 Service Unavailable", kind="a/b"))


# -- framing -------------------------------------------------------------------------------------


async def interim(passage: Passage) -> None:
    """Interim answers (1xx) come before the answer."""
    statuses = ("100 Continue", "102 Processing", "103 Early Hints")
    before = [f"HTTP/1.1 {one}\r\nLink: </a>\r\n\r\n".encode() for one in statuses]
    await passage.write(*before, passage.response(passage.answer()))


async def interim_forever(passage: Passage) -> None:
    """Interim answers come, and no end of them."""
    passage.answer()
    await _pour(passage, b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)


async def switched(passage: Passage) -> None:
    """101 Switching Protocols, which nobody asked for."""
    passage.answer()
    await passage.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n")
    await passage.hold()


async def length_too_long(passage: Passage) -> None:
    """Content-Length is more than what comes before the end of the connection."""
    answer = passage.answer()
    await passage.write(passage.head(f"Content-Length: {len(answer) + 1}"), answer)
    await passage.close()


async def length_too_short(passage: Passage) -> None:
    """Content-Length is less than what comes."""
    answer = passage.answer()
    await passage.write(passage.head(f"Content-Length: {len(answer) - 1}") + answer)


async def length_unreadable(passage: Passage) -> None:
    """Content-Length is no number, or two."""
    answer = passage.answer()
    lengths = passage.chance.choice((("-1",), ("0x10",), ("1" * 40,), (str(len(answer)), "7")))
    await passage.write(passage.head(*(f"Content-Length: {one}" for one in lengths)) + answer)
    await passage.hold()


async def no_length(passage: Passage) -> None:
    """The end of the connection is the end of the body."""
    await passage.write(passage.head(), passage.answer())
    await passage.close()


async def chunked(passage: Passage) -> None:
    """The body comes in chunks of any size, with extensions and a trailer."""
    answer = passage.answer()
    parts = [passage.head("Transfer-Encoding: chunked")]
    while answer:
        size = passage.chance.randrange(1, 400)
        chunk, answer = answer[:size], answer[size:]
        parts.append(b"%x;a=b\r\n%s\r\n" % (len(chunk), chunk))
    await passage.write(*parts, b"0\r\nTrailer: x\r\n\r\n")


async def chunks_broken(passage: Passage) -> None:
    """The size of a chunk is no number."""
    await passage.write(passage.head("Transfer-Encoding: chunked"), b"zz\r\n", passage.answer())
    await passage.hold()


async def gzip_bomb(passage: Passage) -> None:
    """A compressed body, which nobody asked for, and which is a thousand times as large."""
    passage.answer()
    await passage.write(passage.response(_BOMB, "Content-Encoding: gzip"))
    await passage.hold()


async def endless_body(passage: Passage) -> None:
    """A body in chunks that has no end."""
    passage.answer()
    await passage.write(passage.head("Transfer-Encoding: chunked"))
    await _pour(passage, b"10000\r\n%s\r\n" % bytes(1 << 16))


async def endless_head(passage: Passage) -> None:
    """Header fields that have no end."""
    passage.answer()
    await passage.write(b"HTTP/1.1 200 OK\r\n")
    await _pour(passage, b"X-Field: %s\r\n" % (b"x" * 1000))


async def length_huge(passage: Passage) -> None:
    """Content-Length announces a terabyte."""
    passage.answer()
    await passage.write(passage.head(f"Content-Length: {1 << 40}"))
    await passage.hold()


async def _pour(passage: Passage, piece: bytes) -> None:
    """Write without an end; the client ends the connection."""
    with contextlib.suppress(OSError):
        while not passage.writer.is_closing():
            await passage.write(piece)
            passage.proxy.poured += len(piece)
    passage.cut()


_BOMB: Final = gzip.compress(bytes(64 << 20), 9)

# -- the table -----------------------------------------------------------------------------------

FINE: Final = frozenset({ISSUED})


def _unknown(*losses: Loss) -> frozenset[End]:
    return frozenset((OutcomeClass.UNKNOWN, loss.value) for loss in losses)


def _unconfirmed(*losses: Loss) -> frozenset[End]:
    return frozenset((OutcomeClass.ISSUED_CONFIRMATION_UNKNOWN, loss.value) for loss in losses)


def _not_sent(*losses: Loss) -> frozenset[End]:
    return frozenset((OutcomeClass.NOT_SENT, loss.value) for loss in losses)


CROSSED: Final = _unknown(Loss.CUT, Loss.REUSED) | _unconfirmed(Loss.CUT, Loss.REUSED)
"""A request and the end of its connection meet on the way."""
_LATE: Final = _unknown(Loss.TIMEOUT) | _unconfirmed(Loss.TIMEOUT)
"""A machine that is busy may let a short limit pass for others too."""


def _harmless(act: Act) -> Fault:
    return Fault(act, FINE, FINE)


def bad(act: Act, *reasons: Reason, besides: frozenset[End] = frozenset()) -> Fault:
    """What comes fails a check."""
    return Fault(
        act,
        besides | {(OutcomeClass.BAD_RESPONSE, reason.value) for reason in reasons},
        besides | {(OutcomeClass.ISSUED_UNPROVEN, reason.value) for reason in reasons},
    )


def lost(act: Act, *losses: Loss, is_slow: bool = False) -> Fault:
    """The answer is lost, and whether there was one can't be told; a certConf is sent again."""
    others = _LATE if is_slow else frozenset()
    return Fault(act, _unknown(*losses), FINE, others=others, is_slow=is_slow)


_ALIEN: Final = (Reason.TRANSACTION_ID, Reason.RECIP_NONCE, Reason.BODY_TYPE, Reason.MALFORMED)

FAULTS: Final = (
    lost(request_dropped, Loss.CUT, Loss.REUSED),
    lost(reset_before_answer, Loss.CUT, Loss.REUSED),
    lost(reset_within_answer, Loss.CUT),
    # the reset may outrun what is before it, and the next request the reset
    Fault(reset_after_answer, FINE | CROSSED, FINE, others=CROSSED),
    Fault(closed_after_answer, FINE | CROSSED, FINE, others=CROSSED),
    _harmless(close_said),
    lost(truncated, Loss.CUT),
    lost(truncated_head, Loss.CUT),
    lost(half_closed, Loss.CUT, Loss.REUSED),
    lost(half_open, Loss.TIMEOUT, is_slow=True),
    _harmless(delayed),
    lost(answer_dropped, Loss.TIMEOUT, is_slow=True),
    lost(slow_loris, Loss.TIMEOUT, is_slow=True),
    _harmless(duplicated),
    bad(stale, *_ALIEN),
    # one of an odd number has no partner
    bad(reordered, *_ALIEN, besides=FINE),
    bad(cut_der, Reason.MALFORMED),
    lost(not_http, Loss.BAD_HTTP),
    Fault(portal, frozenset({(OutcomeClass.NOT_CMP, Loss.NOT_CMP.value)}), FINE),
    Fault(
        redirected,
        frozenset((OutcomeClass.HTTP_ERROR, f"HTTP {one}") for one in (301, 302, 303, 307, 308)),
        FINE,
    ),
    lost(gateway_lost, Loss.GATEWAY),
    Fault(storm_503, FINE, FINE, times=3),
    Fault(storm_429, FINE, FINE, times=3),
    Fault(busy_forever, _not_sent(Loss.BUSY), _unconfirmed(Loss.BUSY), times=1 << 30),
    _harmless(interim),
    lost(interim_forever, Loss.TOO_LARGE),
    lost(switched, Loss.BAD_HTTP),
    lost(length_too_long, Loss.CUT),
    bad(length_too_short, Reason.MALFORMED),
    lost(length_unreadable, Loss.BAD_HTTP),
    _harmless(no_length),
    _harmless(chunked),
    lost(chunks_broken, Loss.BAD_HTTP),
    lost(gzip_bomb, Loss.BAD_HTTP),
    lost(endless_body, Loss.TOO_LARGE),
    lost(endless_head, Loss.TOO_LARGE),
    lost(length_huge, Loss.TOO_LARGE),
)


# -- connections ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Connections:
    """Something that can happen to connections, whatever they carry.

    Attributes:
        make: gives what each connection of a run meets; what that does is its docstring.
        ends: of any row.
    """

    make: Callable[[], Line]
    ends: frozenset[End]

    @property
    def name(self) -> str:
        return self.make.__name__


def connection_limit() -> Line:
    """Who is one too many gets 503, and is sent away."""
    served = 0

    async def line(
        proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        nonlocal served
        if served == _LIMIT:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
            writer.close()
            await writer.wait_closed()
            return
        served += 1
        try:
            await proxy.serve(reader, writer)
        finally:
            served -= 1

    return line


def connection_queue() -> Line:
    """Connections are accepted, and served a few at a time, one exchange each."""
    turns = asyncio.Semaphore(_LIMIT)

    async def line(
        proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        async with turns:
            await proxy.exchange(reader, writer)
            writer.close()
            await writer.wait_closed()

    return line


def reset_at_accept() -> Line:
    """Each third connection is reset as soon as it is there."""

    async def line(
        proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if proxy.connections % 3 == 0:
            writer.transport.abort()
        await proxy.serve(reader, writer)

    return line


_LIMIT: Final = 4

_EARLY: Final = (Loss.NOT_SENT, Loss.CONNECT)
"""The end of a connection may come before the request is written."""

LINES: Final = (
    Connections(
        connection_limit,
        FINE | CROSSED | _not_sent(Loss.BUSY, *_EARLY) | _unconfirmed(Loss.BUSY, *_EARLY),
    ),
    Connections(connection_queue, FINE | CROSSED),
    Connections(reset_at_accept, FINE | CROSSED | _not_sent(*_EARLY) | _unconfirmed(*_EARLY)),
)
