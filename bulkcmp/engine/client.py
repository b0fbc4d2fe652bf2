"""One end entity after the other, or many at a time, for a program that has their names as it goes.

There is no run folder and no journal: what is to outlive the program is handed to its `keep` in the
order in which a run makes it durable.
"""

import datetime as dt
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, Final

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_der_private_key

from bulkcmp.cmp.events import Part
from bulkcmp.engine import log
from bulkcmp.engine.channel import MemoryChannel, memory_channels
from bulkcmp.engine.failure import first_error
from bulkcmp.engine.frame import Done, Drain, Failed, Frame, Logged, Member, Record, Recorded, Task
from bulkcmp.engine.keys import FreshKeys, with_key
from bulkcmp.engine.options import Options
from bulkcmp.engine.worker import Worker
from bulkcmp.errors import BulkcmpError, InputError
from bulkcmp.io.clock import SystemClock
from bulkcmp.io.loop import is_running
from bulkcmp.journal.entry import Advanced, Begun, Ended, Entry
from bulkcmp.model import Outcome, Timings
from bulkcmp.outputs.information import contents

OF_A_ROW: Final = frozenset({
    "cmd", "subject", "sans", "san_nodefault", "issuer", "keyusage", "extkeyusage", "policy_oids",
    "extensions", "extensions_from", "days", "not_before", "not_after", "profile", "newkey",
    "newkeypass", "centralkeygen", "popo", "ref", "secret", "cert", "key", "keypass", "csr",
    "oldcert", "serial", "revreason", "infotype", "oldwithold", "crlcert", "oldcrl", "regtoken",
    "authenticator", "reginfo",
})  # fmt: skip
"""Options that may differ from one end entity to the next: what a population has columns for."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What must not be lost, as soon as there is something.

    Attributes:
        id: of the end entity, as the caller named it.
        private_key: PKCS#8 DER, not encrypted; None where none was made.
        certificate: DER; None before there is one.
    """

    id: str
    private_key: bytes | None = field(default=None, repr=False)
    certificate: bytes | None = None


Keep = Callable[[Kept], None]
"""Makes durable what it is given, and returns only then."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one transaction came to.

    Attributes:
        id: of the end entity.
        outcome: its class says whether the CA did what was asked; where it did not, why.
        certificate: that the CA issued, though it may have been refused, or its confirmation may be
            lost: look at `is_done`.
        chain: the certificate's issuers, nearest first.
        private_key: that was made for it, here or at the CA; None where it came from elsewhere.
        information: what a genm was told: contents of files, PEM or DER, by name.
        transaction_id: 16 octets; None where nothing was sent.
        timings: seconds.
        finished_at: UTC.
    """

    id: str
    outcome: Outcome
    certificate: x509.Certificate | None
    chain: tuple[x509.Certificate, ...]
    private_key: PrivateKeyTypes | None = field(repr=False)
    information: Mapping[str, bytes]
    transaction_id: bytes | None
    timings: Timings
    finished_at: dt.datetime

    @property
    def is_done(self) -> bool:
        """Whether the CA did what was asked, and all checks held."""
        return self.outcome.outcome.is_done


class _Errand:
    """A transaction that is under way: what it has come to, and who waits for it."""

    def __init__(self, member: Member) -> None:
        self.member = member
        self.key = member.new_key
        self.part: Part | None = None
        self.ended: Ended | None = None
        self.over = anyio.Event()

    def take(self, entry: Entry) -> None:
        if isinstance(entry, Advanced):
            (self.part,) = entry.checkpoint.parts
            self.key = self.part.key or self.key

    def end(self, ended: Ended) -> None:
        self.ended = ended
        self.over.set()

    def kept(self) -> Kept:
        certificate = None if self.part is None else self.part.certificate
        return Kept(self.member.entity.id, self.key, certificate)

    def answer(self) -> Answer:
        assert self.ended is not None, "it is over"
        certificate: x509.Certificate | None = None
        chain: tuple[x509.Certificate, ...] = ()
        if self.part is not None and self.part.certificate is not None:
            certificate = x509.load_der_x509_certificate(self.part.certificate)
            chain = tuple(map(x509.load_der_x509_certificate, self.part.chain))
        return Answer(
            self.member.entity.id,
            self.ended.outcome,
            certificate,
            chain,
            None if self.key is None else load_der_private_key(self.key, None),
            {} if self.part is None else contents(self.part.infos),
            self.ended.transaction_id,
            self.ended.timings,
            self.ended.finished_at,
        )


def _refuse_trio() -> None:
    if not is_running():
        raise BulkcmpError(
            "a client runs on asyncio only", hint="anyio.run(…) without backend='trio'"
        )


class Engagement:
    """A worker that carries out one transaction after the other, or many at a time.

    Args:
        options: how to talk to the server, and what all end entities have in common.
        environ: where sources of secrets (`env:NAME`) are looked up.
        keep: is handed each private key before its request leaves, and each certificate before it
            is confirmed, from a thread; what it raises ends the engagement.
    """

    def __init__(self, options: Options, environ: Mapping[str, str], keep: Keep | None) -> None:
        self._options = options
        self._environ = environ
        self._keep = keep
        self._keys = FreshKeys()
        self._numbers = count(1)
        self._errands: dict[int, _Errand] = {}
        self._is_entered = False
        self._ours: MemoryChannel | None = None

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Work, until all that was begun is over.

        Raises:
            InputError: an option can't be used.
            BulkcmpError: it is open already or not on asyncio, or something of this machine failed.
        """
        _refuse_trio()
        if self._is_entered:
            raise BulkcmpError("the client is open already", hint="make one for each async with")
        self._options.refuse_two_readers()
        # which may read CRLs from a web server
        setup = await anyio.to_thread.run_sync(self._options.setup, self._environ)
        ours, theirs = memory_channels()
        self._is_entered = True
        raised: BaseException | None = None
        try:
            async with anyio.create_task_group() as group:
                self._ours = ours
                group.start_soon(self._work, theirs)
                group.start_soon(self._attend, ours)
                await ours.send([setup])
                try:
                    yield
                except BaseException as error:
                    raised = error
                    raise
                self._ours = None
                await ours.send([Drain()])
        except BaseExceptionGroup as errors:
            if raised not in errors.exceptions:
                raise first_error(errors) from errors
        finally:
            self._is_entered = False
            self._ours = None
            ours.close()
            theirs.close()
            # those who wait in tasks of their own are not cancelled with the one that opened it
            while self._errands:
                self._errands.popitem()[1].over.set()
        # as it was raised in the block, be it a group
        if raised is not None:
            raise raised

    async def transact(self, identity: str, given: Mapping[str, Any]) -> Answer:
        """Carry out one transaction.

        Args:
            identity: of the end entity, for messages and placeholders.
            given: options of it alone, of `OF_A_ROW`.

        Raises:
            InputError: an option can't be used; nothing was sent.
            BulkcmpError: the engagement is not open, or ended before the transaction did.
        """
        self._channel()
        if others := sorted(given.keys() - OF_A_ROW):
            raise InputError(
                f"{', '.join(others)}: of no end entity alone", hint="give it to the client"
            )
        # what the client says in common need not fit each operation
        options = replace(self._options.beneath(given), stated=frozenset(given))
        row = await anyio.to_thread.run_sync(options.entity, None, identity, self._environ)
        member = await with_key(replace(row, number=next(self._numbers)), None, self._keys)
        ours = self._channel()
        errand = _Errand(member)
        # what was handed over goes on, whether or not somebody still waits for it
        with anyio.CancelScope(shield=True):
            self._errands[member.entity.number] = errand
            await ours.send([Task((member,))])
        await errand.over.wait()
        if errand.ended is None:
            raise BulkcmpError(
                f"the client ended before the transaction of {identity} did",
                hint="what the CA did is not known; `keep` was handed what must not be lost",
            )
        return errand.answer()

    def _channel(self) -> MemoryChannel:
        if self._ours is None:
            raise BulkcmpError("the client is not open", hint="async with Client(…) as client:")
        return self._ours

    async def _work(self, theirs: MemoryChannel) -> None:
        await Worker(theirs, SystemClock()).run()
        theirs.close()

    async def _attend(self, ours: MemoryChannel) -> None:
        """Make durable what the worker asks for, and tell who waits what came of it."""
        async with anyio.create_task_group() as keeping:
            with suppress(anyio.EndOfStream):
                while True:
                    for frame in await ours.receive():
                        self._take_in(ours, frame, keeping)

    def _take_in(self, ours: MemoryChannel, frame: Frame, keeping: TaskGroup) -> None:
        match frame:
            case Record(number, entry):
                keeping.start_soon(self._record, ours, number, entry)
            case Done(number, (ended,)):
                self._errands.pop(number).end(ended)
            case Logged():
                log.write(frame)
            case Failed(what, hint, exit_code):
                error = BulkcmpError(what, hint=hint)
                error.exit_code = exit_code
                raise error

    async def _record(self, ours: MemoryChannel, number: int, entry: Entry) -> None:
        errand = self._errands[number]
        errand.take(entry)
        if self._keep is not None and isinstance(entry, Begun | Advanced):
            await anyio.to_thread.run_sync(self._keep, errand.kept())
        await ours.send([Recorded(number)])
