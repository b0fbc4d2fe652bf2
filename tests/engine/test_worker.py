from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import pytest
import trio.testing
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bulkcmp.cmp.events import Checkpoint, Part, Phase
from bulkcmp.cmp.messages import NULL_DN, PKIMessage, decode_message
from bulkcmp.cmp.protection import mac_parameters
from bulkcmp.engine.channel import MemoryChannel, memory_channels
from bulkcmp.engine.frame import (
    Done,
    Drain,
    Failed,
    Frame,
    Member,
    Record,
    Recorded,
    Returned,
    Task,
)
from bulkcmp.engine.worker import Worker
from bulkcmp.io.http import CmpHttpClient
from bulkcmp.io.keyworker import make_keys
from bulkcmp.journal.entry import Advanced, Begun, Ended, Resumed
from bulkcmp.model import EndEntity, KeySpec, Operation, Outcome, OutcomeClass

if TYPE_CHECKING:
    from tests.engine.conftest import Scene

EC = KeySpec.parse("ec:P-256")
KEY = make_keys(EC, 1)[0]


class Parent:
    """The other end: says what a test tells it to, and records what a worker asks for."""

    def __init__(self, scene: "Scene", **setup: Any) -> None:
        self.scene = scene
        self.setup = scene.setup(**setup)
        self.heard: list[Frame] = []
        self.channel: MemoryChannel

    @property
    def entries(self) -> list[Any]:
        found: list[Any] = []
        for frame in self.heard:
            if isinstance(frame, Record):
                found.append(frame.entry)
            elif isinstance(frame, Done):
                found += frame.ended
        return found

    def work(self, *frames: Frame, drain: bool = True, gone_at: float | None = None) -> None:
        """Let a worker work off `frames`; with `gone_at` the parent dies at that second."""

        async def listen() -> None:
            try:
                while True:
                    for frame in await self.channel.receive():
                        self.heard.append(frame)
                        if isinstance(frame, Record):
                            await self.channel.send([Recorded(frame.number)])
                        if isinstance(frame, Done) and drain:
                            await self.channel.send([Drain()])
            except anyio.EndOfStream:
                return

        async def main() -> None:
            self.channel, theirs = memory_channels()
            worker = Worker(
                theirs, self.scene.clock, make_client=lambda _: self.scene.peer.client()
            )
            with anyio.fail_after(1000):
                async with anyio.create_task_group() as group:
                    group.start_soon(listen)
                    if frames:
                        await self.channel.send(frames)
                    if gone_at is not None:

                        async def die() -> None:
                            await anyio.sleep(gone_at)
                            self.channel.close()

                        group.start_soon(die)
                    await worker.run()
                    theirs.close()
                    self.channel.close()

        clock = trio.testing.MockClock(autojump_threshold=0)
        anyio.run(main, backend="trio", backend_options={"clock": clock})


def kinds(values: Sequence[object]) -> list[type]:
    return [type(value) for value in values]


def test_a_row_is_recorded_step_by_step(scene: "Scene") -> None:
    parent = Parent(scene)
    parent.work(parent.setup, Task((Member(scene.row(1), KEY, 7, key_is_new=True),)))
    assert kinds(parent.heard) == [Record, Record, Done]
    begun, advanced, ended = parent.entries
    assert isinstance(begun, Begun)
    (row,) = begun.rows
    assert (row.key, row.key_id, row.requested_subject) == (KEY, 7, scene.row(1).subject)
    assert isinstance(advanced, Advanced)
    assert isinstance(ended, Ended)
    assert ended.outcome.outcome is OutcomeClass.ISSUED
    assert ended.transaction_id == begun.checkpoint.transaction_id
    assert ended.finished_at.isoformat().startswith("2027-03-01T12:00:00")


def test_a_key_that_the_journal_has_is_not_sent_back(scene: "Scene") -> None:
    parent = Parent(scene)
    parent.work(parent.setup, Task((Member(scene.row(1), KEY),)))
    assert parent.entries[0].rows[0].key is None


def test_nothing_is_sent_before_it_is_recorded(scene: "Scene") -> None:
    parent = Parent(scene)
    records: list[int] = []

    async def look(_: Any) -> None:
        records.append(len(parent.heard))

    scene.peer.before = look
    parent.work(parent.setup, Task((Member(scene.row(1), KEY),)))
    # Begun; then Advanced
    assert records == [1, 2]


def test_what_is_not_begun_at_a_drain_is_returned(scene: "Scene") -> None:
    scene.peer.latency = 5.0
    parent = Parent(scene, concurrency=2)
    tasks = [Task((Member(scene.row(number), KEY),)) for number in range(1, 6)]
    parent.work(parent.setup, *tasks, Drain(), drain=False)
    assert [frame for frame in parent.heard if isinstance(frame, Returned)] == [
        Returned(number) for number in range(1, 6)
    ]
    assert set(kinds(parent.heard)) == {Returned}


@pytest.mark.parametrize("frames", [[], ["setup"], ["setup", "task"]])
def test_a_worker_ends_with_its_parent(scene: "Scene", frames: list[str]) -> None:
    scene.peer.latency = 500.0
    parent = Parent(scene)
    known: dict[str, Frame] = {"setup": parent.setup, "task": Task((Member(scene.row(1), KEY),))}
    parent.work(*[known[name] for name in frames], gone_at=10.0)
    assert Done not in kinds(parent.heard)
    assert Failed not in kinds(parent.heard)
    assert len(scene.peer.seen) == ("task" in frames)


class Clinging(httpx.MockTransport):
    """Its connections never end."""

    async def aclose(self) -> None:
        await anyio.sleep_forever()


def test_a_server_that_clings_to_its_connections_holds_no_worker_up(scene: "Scene") -> None:
    client = CmpHttpClient("http://ca.test/", Clinging(scene.peer.handle))
    scene.peer.client = lambda: client  # type: ignore[method-assign]  # a double in its place
    parent = Parent(scene)
    parent.work(parent.setup, Task((Member(scene.row(1), KEY),)))
    assert parent.entries[-1].outcome.outcome is OutcomeClass.ISSUED


def test_a_frame_that_no_worker_understands(scene: "Scene") -> None:
    parent = Parent(scene)
    parent.work(parent.setup, Returned(1))
    assert parent.heard == [Failed("a worker was sent Returned", None, 1)]


def test_a_setup_that_cannot_be_used(scene: "Scene") -> None:
    parent = Parent(scene, anchors=(b"none",))
    parent.work(parent.setup)
    (failed,) = parent.heard
    assert isinstance(failed, Failed)
    assert failed.what.startswith("a trusted or untrusted certificate is unusable")
    assert failed.exit_code == 2


# --- credentials ----------------------------------------------------------------------------------


def request_of(scene: "Scene", *rows: EndEntity, **profile: Any) -> PKIMessage:
    parent = Parent(scene)
    setup = replace(parent.setup, profile=replace(parent.setup.profile, **profile))
    scene.peer.seen.clear()
    parent.work(setup, Task(tuple(Member(row, KEY) for row in rows)))
    return decode_message(scene.peer.seen[0].message)


def protection_of(scene: "Scene", row: EndEntity, **profile: Any) -> str:
    message = request_of(scene, row, **profile)
    kind = "signature" if mac_parameters(message) is None else "MAC"
    return f"{kind} {(message.header.senderKID or b'').decode('latin-1')}".strip()


def test_a_secret_comes_with_the_reference_or_else_the_id(scene: "Scene") -> None:
    assert protection_of(scene, scene.row(1)) == "MAC ra1"
    assert protection_of(scene, scene.row(2, ref=None)) == "MAC dev2"


def test_a_key_update_is_signed_with_the_certificate_all_else_prefers_the_secret(
    scene: "Scene",
) -> None:
    old = (scene.peer.root.der,)
    pkcs8 = scene.peer.root.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    fields: dict[str, Any] = {"cert": old, "key": pkcs8, "old_cert": old[0]}
    for cmd, secret, expected in (
        (Operation.IR, scene.peer.secret, "MAC"),
        (Operation.KUR, scene.peer.secret, "signature"),
        (Operation.IR, None, "signature"),
    ):
        found = protection_of(scene, scene.row(1, cmd=cmd, secret=secret, **fields))
        assert found.split()[0] == expected
    row = scene.row(1, secret=scene.peer.secret, **fields)
    assert protection_of(scene, row, sign_requests=True).split()[0] == "signature"
    assert protection_of(scene, scene.row(1), sign_requests=True) == "MAC ra1", "no certificate"


def test_unprotected_requests_bear_the_name_that_is_known(scene: "Scene") -> None:
    def named(*rows: EndEntity) -> tuple[bytes | None, bytes | None]:
        message = request_of(scene, *rows, unprotected_requests=True)
        assert (message.protection, message.header.protectionAlg) == (None, None)
        return message.sender, message.header.senderKID

    first, second = scene.row(1), scene.row(2)
    assert named(first) == (first.subject, b"ra1")
    assert named(replace(first, ref=None, secret=None)) == (first.subject, None)
    root = scene.peer.root
    assert named(replace(first, cert=(root.der,))) == (root.name, b"ra1")
    assert named(replace(first, subject=None, extensions=())) == (NULL_DN, b"ra1")
    # of several it is nobody's
    assert named(first, second) == (NULL_DN, b"ra1")


def checkpoint(phase: Phase, granted: Outcome | None = None) -> Checkpoint:
    part = Part(
        1,
        phase,
        0,
        certificate=None if granted is None else b"der",
        granted=granted,
        confirm=granted is not None,
    )
    return Checkpoint(b"sixteen octets..", b"nonce", b"nonce", b"theirs", b"", 0.0, (part,))


REFUSED = Outcome(OutcomeClass.ISSUED_REFUSED, "another subject")


@pytest.mark.parametrize(
    ("reached", "interrupted", "expected"),
    [
        (None, False, (OutcomeClass.LOCAL_ERROR, "")),
        (checkpoint(Phase.WAITING), False, (OutcomeClass.STILL_WAITING, "local error")),
        (checkpoint(Phase.WAITING), True, (OutcomeClass.STILL_WAITING, "interrupted")),
        (
            checkpoint(Phase.GRANTED, Outcome(OutcomeClass.ISSUED)),
            False,
            (OutcomeClass.ISSUED_CONFIRMATION_UNKNOWN, "local error"),
        ),
        (
            checkpoint(Phase.GRANTED, REFUSED),
            False,
            (OutcomeClass.ISSUED_REFUSED, "another subject"),
        ),
    ],
)
def test_a_row_without_a_credential_keeps_what_it_had_reached(
    scene: "Scene",
    reached: Checkpoint | None,
    interrupted: bool,
    expected: tuple[OutcomeClass, str],
) -> None:
    row = scene.row(1, secret=None)
    parent = Parent(scene)
    parent.work(
        parent.setup, Task((Member(row, KEY),), checkpoint=reached, interrupted=interrupted)
    )
    outcome = parent.entries[-1].outcome
    assert (outcome.outcome, outcome.reason) == expected
    if expected[1] != "another subject":
        assert "no credential" in outcome.detail
    assert scene.peer.seen == []


def test_what_goes_on_is_recorded_and_gets_a_new_deadline(scene: "Scene") -> None:
    scene.tune(total_timeout=100.0)
    first = Parent(scene, profile=scene.profile)
    scene.peer.behave(poll_count=2, check_after=90)
    first.work(first.setup, Task((Member(scene.row(1), KEY, key_is_new=True),)), gone_at=50.0)
    waiting = next(entry for entry in first.entries[::-1] if isinstance(entry, Advanced))
    # an hour later the time limit begins anew
    second = Parent(scene, profile=scene.profile)
    second.work(second.setup, Task((Member(scene.row(1), KEY),), checkpoint=waiting.checkpoint))
    assert kinds(second.entries) == [Resumed, Advanced, Ended]
    assert second.entries[0] == Resumed(waiting.checkpoint.transaction_id, (1,))
    assert second.entries[-1].outcome.outcome is OutcomeClass.ISSUED
