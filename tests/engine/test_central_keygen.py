"""Private keys that the CA makes, in runs that are cut off: none is lost once the run has it."""

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import anyio

from bulkcmp.cmp.messages import BodyType
from bulkcmp.errors import Loss
from bulkcmp.journal.folder import FILE_NAME
from bulkcmp.model import OutcomeClass

if TYPE_CHECKING:
    from tests.engine.conftest import Lose, Scene, Seen

UNCONFIRMED = OutcomeClass.ISSUED_CONFIRMATION_UNKNOWN


def keys(scene: "Scene") -> dict[int, bytes | None]:
    with scene.open() as journal:
        return {row.number: key for row, key in journal.results(with_keys=True)}


def test_a_run_has_the_keys_that_the_ca_made(scene: "Scene") -> None:
    scene.play(scene.rows(5, central_keygen=True), certs_per_message=2)
    scene.check()
    assert set(scene.outcomes().values()) == {OutcomeClass.ISSUED}
    found = keys(scene)
    assert None not in found.values()
    assert len(set(found.values())) == 5


def test_a_key_outlives_the_loss_of_its_confirmation(scene: "Scene", lose: "Lose") -> None:
    rows = scene.rows(3, central_keygen=True)
    scene.peer.after = lose(Loss.CUT, BodyType.CERT_CONF)
    scene.tune(retries=0)
    scene.play(rows)
    scene.check()
    assert set(scene.outcomes().values()) == {UNCONFIRMED}
    before = keys(scene)
    scene.peer.after = lose(Loss.CUT, BodyType.CERT_CONF, times=0)
    scene.play(rows, resumed=True)
    # the CA had heard of it
    assert set(scene.outcomes().values()) == {OutcomeClass.ISSUED}
    assert keys(scene) == before
    assert len(scene.peer.opened()) == 3


def test_a_key_outlives_the_worker_that_received_it(scene: "Scene") -> None:
    async def kill(seen: "Seen") -> None:
        if seen.body_type is BodyType.CERT_CONF and len(scene.workers_alive) == 1:
            # durable by now, since this leaves only after it is
            assert keys_in_journal(scene) == [1]
            scene.workers_alive[0].cancel()
            await anyio.lowlevel.checkpoint()

    scene.peer.before = kill
    scene.play(scene.rows(1, central_keygen=True))
    scene.check()
    assert len(scene.workers_alive) == 2
    assert scene.outcomes() == {1: OutcomeClass.ISSUED}
    assert len(scene.peer.opened()) == 1


def keys_in_journal(scene: "Scene") -> list[int]:
    """The rows that have a key, while a run has the journal open."""
    with closing(sqlite3.connect(scene.folder / FILE_NAME)) as connection:
        found = connection.execute("SELECT number FROM row WHERE key IS NOT NULL")
        return [number for (number,) in found]


def test_an_answer_that_is_lost_takes_its_key_along(scene: "Scene", lose: "Lose") -> None:
    rows = scene.rows(2, central_keygen=True)
    scene.peer.after = lose(Loss.CUT, BodyType.IR)
    scene.play(rows)
    scene.check()
    assert set(scene.outcomes().values()) == {OutcomeClass.UNKNOWN}
    assert keys(scene) == {1: None, 2: None}
    scene.peer.after = lose(Loss.CUT, BodyType.IR, times=0)
    scene.play(rows, resumed=True)
    assert set(scene.outcomes().values()) == {OutcomeClass.UNKNOWN}, "never unasked"
    scene.play(rows, resumed=True, retry_unknown=True)
    scene.check()
    assert set(scene.outcomes().values()) == {OutcomeClass.ISSUED}
    # of each row one certificate without anybody who has its key, which the journal names
    assert len(scene.peer.certificates()) == 4


def test_a_key_that_is_waited_for(scene: "Scene") -> None:
    rows = scene.rows(2, central_keygen=True)
    scene.peer.behave(poll_count=2, check_after=100)
    scene.tune(total_timeout=60.0)
    scene.play(rows)
    assert set(scene.outcomes().values()) == {OutcomeClass.STILL_WAITING}
    assert keys(scene) == {1: None, 2: None}
    scene.tune(total_timeout=0.0)
    scene.play(rows, resumed=True)
    scene.check()
    assert set(scene.outcomes().values()) == {OutcomeClass.ISSUED}
    assert None not in keys(scene).values()
