"""Every message of a run, saved as it was sent or received: for `bulkcmp inspect`.

A file is named `ROW-TIME-TRANSACTIONID-STEP-TYPE.der`: row is the number of the first row that the
message is for, time (UTC) is when the transaction was begun or taken up again, and steps count from
there. So the names sort by row and step, whichever worker or session wrote them.
"""

import datetime as dt
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread

from bulkcmp.cmp.events import Send
from bulkcmp.cmp.messages import decode_message
from bulkcmp.engine.driver import Exchanged, Observer
from bulkcmp.engine.frame import Task
from bulkcmp.engine.nesting import NestedReply, NestingError, NestingLossError
from bulkcmp.errors import BulkcmpError, Loss, RemoteCmpError, TransportError
from bulkcmp.io.clock import Clock
from bulkcmp.io.http import Reply
from bulkcmp.outputs.messages import save_message

_UNREADABLE: Final = "answer"
"""What an answer is called that is no PKIMessage."""

_UNSENT: Final = frozenset({Loss.CONNECT, Loss.TLS, Loss.NOT_SENT, Loss.NO_LAYER})
"""Losses of messages that did not leave."""

_REMEMBERED: Final = 1024
"""Nested messages that are known to be saved; each stands for all messages in it."""


def label_of(message: bytes) -> str:
    """The type of a message's body, as file names have it."""
    try:
        return decode_message(message).body_type.label
    except RemoteCmpError:
        return _UNREADABLE


def on_the_wire(send: Send, answer: Exchanged) -> tuple[bytes, bytes | None]:
    """What was sent and received: layers around a message are on the wire, it is in them."""
    match answer:
        case NestedReply() | NestingError() | NestingLossError():
            return answer.envelope, answer.answer
        case Reply():
            return send.message, answer.body
        case _:
            return send.message, None


class Archive:
    """Saves what a worker sends and receives.

    One thread writes, and a transaction goes on when its messages are written: so no more of them
    are kept in memory than transactions are in flight, and the event loop never waits for a disk.

    Args:
        folder: may hold messages of other workers and sessions.
        on_failure: told why messages could not be saved.
    """

    def __init__(self, folder: Path, clock: Clock, on_failure: Callable[[str], None]) -> None:
        self._folder = folder
        self._clock = clock
        self._on_failure = on_failure
        self._thread = anyio.CapacityLimiter(1)
        self._saved: dict[bytes, None] = {}

    def observe(self, task: Task, transaction_id: bytes) -> Observer:
        """An observer for a transaction that begins, or goes on."""
        time = dt.datetime.fromtimestamp(self._clock.now(), dt.UTC)
        stamp = time.strftime("%Y%m%dT%H%M%S") + f"{time.microsecond // 1000:03}Z"
        return _Saving(self, f"{task.number:07}-{stamp}-{transaction_id.hex()}")

    def knows(self, message: bytes) -> bool:
        """Whether a `nested` was saved for another message in it; from now on it is."""
        digest = hashlib.sha256(message).digest()
        if digest in self._saved:
            return True
        self._saved[digest] = None
        if len(self._saved) > _REMEMBERED:
            del self._saved[next(iter(self._saved))]
        return False

    async def save(self, messages: dict[str, bytes]) -> None:
        """Return when messages are written, by their file names; a run goes on without them."""
        try:
            await anyio.to_thread.run_sync(self._write, messages, limiter=self._thread)
        except BulkcmpError as error:
            self._on_failure(str(error))

    def _write(self, messages: dict[str, bytes]) -> None:
        for name, message in messages.items():
            save_message(self._folder, name, message)


class _Saving(Observer):
    """Looks on at one transaction, and has its messages saved."""

    def __init__(self, archive: Archive, prefix: str) -> None:
        self._archive = archive
        self._prefix = prefix
        self._steps = 0

    async def exchanged(self, send: Send, answer: Exchanged, began: float, ended: float) -> None:
        if isinstance(answer, TransportError) and answer.loss in _UNSENT:
            return
        messages = [(send.label, send.message)]
        sent, received = on_the_wire(send, answer)
        if sent is not send.message and not self._archive.knows(sent):
            messages.append((label_of(sent), sent))
            if received is not None:
                messages.append((label_of(received), received))
        if isinstance(answer, Reply):
            messages.append((label_of(answer.body), answer.body))
        await self._archive.save({self._name(label): message for label, message in messages})

    def _name(self, label: str) -> str:
        self._steps += 1
        return f"{self._prefix}-{self._steps:04}-{label}"
