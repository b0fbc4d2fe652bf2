"""--trust-first-ca-cert: one row finds out whom to trust, all others are held to it."""

import datetime as dt
import itertools
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bulkcmp.cmp.messages import BodyType
from bulkcmp.journal.folder import FILE_NAME
from bulkcmp.model import KeySpec, OutcomeClass, RowResult
from bulkcmp.testca import state
from bulkcmp.testca.aliases import Behaviour
from bulkcmp.testca.authority import Authority

if TYPE_CHECKING:
    from tests.engine.conftest import Scene, Seen

EPOCH = dt.datetime(2027, 3, 1, 12, tzinfo=dt.UTC)
ISSUED = OutcomeClass.ISSUED


@pytest.fixture
def first(scene: "Scene", monkeypatch: pytest.MonkeyPatch) -> "Scene":
    """Without a trust anchor; the CA signs its answers."""
    setup = scene.setup
    monkeypatch.setattr(scene, "setup", lambda **fields: setup(**({"anchors": ()} | fields)))
    scene.peer.behave(sign_answers=True)
    return scene


def impostor(scene: "Scene", folder: Path) -> Authority:
    """Another CA, which knows the same secret."""
    state.create(folder, KeySpec.parse("ec:P-256"), EPOCH - dt.timedelta(days=1))
    root = state.load_identity(folder)
    return Authority(scene.peer.books, root, Behaviour(sign_answers=True))


def classes(scene: "Scene") -> list[OutcomeClass]:
    return list(scene.outcomes().values())


def anchor(scene: "Scene") -> bytes | None:
    with scene.open() as journal:
        return journal.anchor


@pytest.mark.parametrize("workers", [1, 2])
def test_the_first_ip_counts_for_all(first: "Scene", workers: int) -> None:
    pinned_before: list[bool] = []

    async def look(seen: "Seen") -> None:
        if seen.body_type is BodyType.IR:
            pinned_before.append(anchor_on_disk(first) is not None)

    first.peer.before = look
    first.play(first.rows(6), workers=workers)
    assert classes(first) == [ISSUED] * 6
    assert anchor(first) == first.peer.root.der
    # it is durable before a second row is sent
    assert pinned_before == [False, *[True] * 5]


def anchor_on_disk(scene: "Scene") -> str | None:
    path = scene.folder / FILE_NAME
    with closing(sqlite3.connect(path)) as connection:
        row = connection.execute("SELECT value FROM meta WHERE key = 'anchor'").fetchone()
    return None if row is None else str(row[0])


@pytest.mark.parametrize("workers", [1, 2])
def test_who_comes_later_is_not_believed(first: "Scene", tmp_path: Path, workers: int) -> None:
    other = impostor(first, tmp_path / "other")

    async def swap(seen: "Seen") -> None:
        if seen.body_type is BodyType.CERT_CONF:
            return
        if len(first.peer.opened()) > 1:
            first.peer.authority = other

    first.tune(implicit_confirm=True)
    first.peer.before = swap
    first.play(first.rows(4), workers=workers)
    assert classes(first) == [ISSUED, *[OutcomeClass.BAD_RESPONSE] * 3]
    assert {one.outcome.reason for one in results(first)[1:]} == {"signer not trusted"}
    assert anchor(first) == first.peer.root.der


def results(scene: "Scene") -> list[RowResult]:
    return list(scene.results().values())


def test_a_resumed_run_keeps_what_was_pinned(first: "Scene", tmp_path: Path) -> None:
    first.play(first.rows(1))
    first.peer.authority = impostor(first, tmp_path / "other")
    first.play(first.rows(3), resumed=True)
    assert classes(first) == [ISSUED, *[OutcomeClass.BAD_RESPONSE] * 2]
    assert anchor(first) == first.peer.root.der


def test_refusals_pin_nothing_and_go_one_by_one(first: "Scene") -> None:
    first.peer.behave(sign_answers=True, reject="badRequest")
    first.play(first.rows(4))
    assert classes(first) == [OutcomeClass.REJECTED_UNAUTHENTICATED] * 4
    assert anchor(first) is None
    at = [seen.at for seen in first.peer.opened()]
    assert all(later - before >= first.peer.latency for before, later in itertools.pairwise(at))
    # the next session finds out
    first.peer.behave(sign_answers=True)
    first.play(first.rows(4), resumed=True, retry_failed=True)
    assert classes(first) == [ISSUED] * 4


def test_an_answer_by_mac_names_no_root(first: "Scene") -> None:
    first.peer.behave(sign_answers=False)
    first.play(first.rows(2))
    assert classes(first) == [OutcomeClass.BAD_RESPONSE] * 2
    assert anchor(first) is None
