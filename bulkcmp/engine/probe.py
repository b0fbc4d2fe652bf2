"""One transaction that is looked at in full: every message, every check, every time.

It has no run folder and no journal: what is to be kept is written into the files that it is told,
in the order in which a run makes it durable.
"""

import datetime as dt
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, NamedTuple

import anyio
import anyio.to_thread

from bulkcmp.cmp import general
from bulkcmp.cmp.asn1 import decode, encode
from bulkcmp.cmp.checks import Verdict
from bulkcmp.cmp.events import Part, Send
from bulkcmp.cmp.general import name_of
from bulkcmp.cmp.messages import BodyType, CertRepMessage, decode_message
from bulkcmp.engine import log
from bulkcmp.engine.archive import label_of, on_the_wire
from bulkcmp.engine.channel import MemoryChannel, memory_channels
from bulkcmp.engine.driver import Exchanged, Observer
from bulkcmp.engine.failure import first_error
from bulkcmp.engine.frame import (
    Done,
    Drain,
    Failed,
    Frame,
    Logged,
    Member,
    Record,
    Recorded,
    Setup,
    Task,
)
from bulkcmp.engine.keys import with_key
from bulkcmp.engine.nesting import NestingError
from bulkcmp.engine.worker import Worker
from bulkcmp.errors import BulkcmpError, InputError, TransportError, Where
from bulkcmp.io.clock import SystemClock
from bulkcmp.io.http import Reply
from bulkcmp.io.keyworker import make_keys
from bulkcmp.io.times import ExchangeTimes
from bulkcmp.journal.entry import Advanced, Begun, Ended
from bulkcmp.model import EndEntity, KeySpec, Outcome, Secret, Timings
from bulkcmp.outputs.credentials import pem_certificates, pem_key
from bulkcmp.outputs.files import replacing
from bulkcmp.outputs.information import (
    CA_CERTS,
    CERT_TEMPLATE,
    CRLS,
    CURRENT_CRL,
    KEY_SPEC,
    NEW_WITH_NEW,
    NEW_WITH_OLD,
    OLD_WITH_NEW,
    contents,
)
from bulkcmp.outputs.messages import refuse_full_folder, save_message

_CERTIFICATES: Final = frozenset({BodyType.IP, BodyType.CP, BodyType.KUP})


class _Told(NamedTuple):
    """What an output of a genm holds.

    Attributes:
        questions: infoTypes that bring it.
        contents: what `outputs.information.contents` calls it.
    """

    questions: tuple[str, ...]
    contents: tuple[str, ...]


_ROOTS: Final = (general.ROOT_CA_CERT, general.CA_KEY_UPDATE_INFO)
_TOLD: Final = {
    "cacertsout": _Told((general.CA_CERTS,), (CA_CERTS,)),
    "newwithold": _Told(_ROOTS, (NEW_WITH_OLD,)),
    "oldwithnew": _Told(_ROOTS, (OLD_WITH_NEW,)),
    "newwithnew": _Told(_ROOTS, (NEW_WITH_NEW,)),
    "crlout": _Told((general.CRL_STATUS_LIST, general.CURRENT_CRL), (CRLS, CURRENT_CRL)),
    "template": _Told((general.CERT_REQ_TEMPLATE,), (CERT_TEMPLATE,)),
    "keyspec": _Told((general.CERT_REQ_TEMPLATE,), (KEY_SPEC,)),
}
"""Outputs that hold what a genm was told, by their options."""

_CERTIFIED: Final = ("certout", "chainout", "cacertsout")
"""Outputs that hold what comes with a certificate, by their options."""


@dataclass(frozen=True, slots=True)
class Outputs:
    """The files that a probe writes, named as in `openssl cmp`; None for none.

    Attributes:
        certout: the issued certificate; chainout: its issuers, nearest first.
        newkeyout: the private key that was made for it, durable before the request leaves, or
            before the certConf where the CA made it.
        cacertsout: caPubs of the answer that brought it, or the caCerts of a genp.
        extracertsout: extraCerts of that answer.
        newwithnew, newwithold, oldwithnew: the new root of a rootCaKeyUpdate, and its links.
        crlout: the CRLs of a crls, or of a currentCRL.
        template, keyspec: the DER certTemplate and keySpec of a certReqTemplate.
        save_messages: a folder for the DER of every message.
        passphrase: encrypts the private key; without one it is written as it is.
    """

    certout: Path | None = None
    chainout: Path | None = None
    newkeyout: Path | None = None
    cacertsout: Path | None = None
    extracertsout: Path | None = None
    newwithnew: Path | None = None
    newwithold: Path | None = None
    oldwithnew: Path | None = None
    crlout: Path | None = None
    template: Path | None = None
    keyspec: Path | None = None
    save_messages: Path | None = None
    passphrase: Secret | None = field(default=None, repr=False)

    def check(self, row: EndEntity) -> None:
        """Make sure that all can be written, before anything is sent.

        Raises:
            InputError: something can't, or a key would be lost.
        """
        makes_key = row.new_key_spec is not None or row.central_keygen
        if self.newkeyout is not None and not makes_key:
            raise InputError(f"--newkeyout, but no key is made for {row.cmd} of this row")
        if self.certout is not None and makes_key and self.newkeyout is None:
            raise InputError(
                "--certout without --newkeyout: the certificate's private key would be lost",
                hint="give --newkeyout FILE, or the key to certify with --newkey FILE",
            )
        self._refuse_idle(row)
        options = dict.fromkeys((*_CERTIFIED, "newkeyout", "extracertsout", *_TOLD))
        files = [path for option in options if (path := getattr(self, option)) is not None]
        for path in files:
            if path.is_dir() or not path.parent.is_dir():
                what = "is a folder" if path.is_dir() else "is in no folder that exists"
                raise InputError(what, where=Where(str(path)))
        if len({path.resolve() for path in files}) < len(files):
            raise InputError("two of the outputs are one file", hint="name another for each")
        if self.newkeyout is not None and self.newkeyout.exists():
            raise InputError(
                "exists already, and may hold the only copy of a key",
                where=Where(str(self.newkeyout)),
                hint="choose another --newkeyout",
            )
        if self.save_messages is not None:
            refuse_full_folder(self.save_messages)

    def _refuse_idle(self, row: EndEntity) -> None:
        """
        Raises:
            InputError: an output has nothing to hold, whatever the answer is.
        """
        asked = {info.oid for info in row.infos}
        for option in dict.fromkeys((*_CERTIFIED, *_TOLD)):
            if getattr(self, option) is None or (option in _CERTIFIED and row.cmd.certifies):
                continue
            told = _TOLD.get(option)
            if told is None:
                raise InputError(f"--{option}, but {row.cmd} brings no certificate")
            if asked.isdisjoint(told.questions):
                names = " or ".join(map(name_of, told.questions))
                raise InputError(f"--{option} is for a genm with --infotype {names}")

    def key(self, pkcs8: bytes) -> None:
        """Write the private key, durably."""
        if self.newkeyout is not None:
            _write(self.newkeyout, pem_key(pkcs8, self.passphrase), 0o600)

    def answer(self, part: Part, answer: bytes) -> None:
        """Write what a part got, durably: its certificate and what came along, or what a genm was
        told."""
        if part.certificate is None and not part.infos:
            return
        ca_certs, extra_certs = _companions(answer)
        if self.extracertsout is not None:
            _write(self.extracertsout, pem_certificates(*extra_certs), 0o644)
        if part.certificate is not None:
            for path, certificates in (
                (self.chainout, part.chain),
                (self.cacertsout, ca_certs),
                (self.certout, (part.certificate,)),
            ):
                if path is not None:
                    _write(path, pem_certificates(*certificates), 0o644)
        found = contents(part.infos)
        for option, told in _TOLD.items():
            path = getattr(self, option)
            content = b"".join(found[name] for name in told.contents if name in found)
            if path is not None and content:
                _write(path, content, 0o644)

    def message(self, number: int, label: str, der: bytes) -> None:
        """Write a message; numbers count from 1."""
        if self.save_messages is not None:
            save_message(self.save_messages, f"{number:02}-{label}", der)


def _write(path: Path, content: bytes, mode: int) -> None:
    with replacing(path, mode, durable=True) as file:
        file.write(content)


def _companions(answer: bytes) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
    """DER certificates of caPubs and of extraCerts."""
    message = decode_message(answer)
    if message.body_type not in _CERTIFICATES:
        return (), message.extra_certs
    ca_pubs = decode(CertRepMessage, message.body).caPubs or []
    return tuple(map(encode, ca_pubs)), message.extra_certs


@dataclass(frozen=True, slots=True)
class Missing:
    """Why there is no answer, in fixed words and in detail."""

    reason: str
    detail: str
    hint: str = ""


@dataclass(slots=True)
class Step:
    """A message that was sent, and what came of it.

    Attributes:
        sent, received: DER; labels are the names of their bodies.
        missing: why there is no answer, or none to our message in a `nested`.
        times: of the exchange, monotonic seconds.
        verdicts: the checks of the answer, in the order in which they were made.
    """

    sent_label: str
    sent: bytes
    received_label: str = ""
    received: bytes | None = None
    missing: Missing | None = None
    times: ExchangeTimes | None = None
    verdicts: list[Verdict] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Probed:
    """What a probe found.

    Attributes:
        entity: for which it asked.
        key_seconds: what the private key took to make; None where none was made.
        is_kept: a certificate was to be written.
        part: the certificate and its chain; None before there is an answer.
        notes: of the options.
    """

    url: str
    entity: EndEntity
    began_at: dt.datetime
    key_seconds: float | None
    is_kept: bool
    steps: tuple[Step, ...]
    transaction_id: bytes | None
    outcome: Outcome
    timings: Timings
    part: Part | None
    notes: tuple[str, ...] = ()

    @property
    def certificate(self) -> bytes | None:
        return None if self.part is None else self.part.certificate

    @property
    def is_lost(self) -> bool:
        """Whether the CA issued a certificate that nobody can use."""
        return self.certificate is not None and not self.is_kept


async def probe(setup: Setup, row: EndEntity, outputs: Outputs) -> Probed:
    """Carry out one transaction.

    Args:
        outputs: checked.

    Raises:
        BulkcmpError: something of this machine failed.
    """
    keys = _TimedKeys()
    member = await with_key(row, None, keys)
    probing = _Probing(member, outputs)
    began_at = dt.datetime.now(dt.UTC)
    ours, theirs = memory_channels()
    worker = Worker(theirs, SystemClock(), observe=lambda *_: probing)
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(worker.run)
            await ours.send([replace(setup, concurrency=1), Task((member,))])
            ended = await probing.attend(ours)
            await ours.send([Drain()])
    except BaseExceptionGroup as errors:
        raise first_error(errors) from errors
    finally:
        ours.close()
        theirs.close()
    return Probed(
        setup.url,
        row,
        began_at,
        keys.seconds,
        outputs.certout is not None,
        tuple(probing.steps),
        ended.transaction_id,
        ended.outcome,
        ended.timings,
        probing.part,
    )


class _TimedKeys:
    """Makes a key for who asks, and says how long it took."""

    def __init__(self) -> None:
        self.seconds: float | None = None

    async def take(self, spec: KeySpec) -> tuple[bytes, int | None]:
        began = time.monotonic()
        (key,) = await anyio.to_thread.run_sync(make_keys, spec, 1)
        self.seconds = time.monotonic() - began
        return key, None

    @property
    def starved(self) -> float:
        return self.seconds or 0.0


class _Probing(Observer):
    """The parent of a worker that has one row: makes durable what it is told to, and looks on."""

    def __init__(self, member: Member, outputs: Outputs) -> None:
        self._member = member
        self._outputs = outputs
        self._messages = 0
        self._answer = b""
        self.steps: list[Step] = []
        self.part: Part | None = None

    async def attend(self, channel: MemoryChannel) -> Ended:
        """Serve the worker until the row is over."""
        while True:
            for frame in await channel.receive():
                ended = await self._take_in(channel, frame)
                if ended is not None:
                    return ended

    async def _take_in(self, channel: MemoryChannel, frame: Frame) -> Ended | None:
        match frame:
            case Record(number, entry):
                await anyio.to_thread.run_sync(self._keep, entry)
                await channel.send([Recorded(number)])
            case Done(_, (ended,)):
                return ended
            case Logged():
                log.write(frame)
            case Failed(what, hint, exit_code):
                error = BulkcmpError(what, hint=hint)
                error.exit_code = exit_code
                raise error
        return None

    def _keep(self, entry: object) -> None:
        match entry:
            case Begun() if self._member.new_key is not None:
                self._outputs.key(self._member.new_key)
            case Advanced(checkpoint):
                (self.part,) = checkpoint.parts
                if self.part.key is not None:
                    self._outputs.key(self.part.key)
                self._outputs.answer(self.part, self._answer)

    # --- what the worker's transactions are looked at by ------------------------------------------

    async def exchanged(self, send: Send, answer: Exchanged, began: float, ended: float) -> None:
        sent, received = on_the_wire(send, answer)
        step = Step(label_of(sent), sent)
        self.steps.append(step)
        self._save(step.sent_label, sent)
        match answer:
            case TransportError():
                step.missing = Missing(answer.loss, answer.what, answer.hint or "")
            case NestingError():
                outcome = answer.refusal.outcome
                step.times, step.missing = answer.times, Missing(outcome.reason, outcome.detail)
            case Reply():
                step.times = answer.times
                self._answer = answer.body
        if received is not None:
            step.received, step.received_label = received, label_of(received)
            self._save(step.received_label, received)

    def judged(self, verdict: Verdict) -> None:
        self.steps[-1].verdicts.append(verdict)

    def _save(self, label: str, der: bytes) -> None:
        self._messages += 1
        self._outputs.message(self._messages, label, der)
