from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import anyio
import anyio.lowlevel
import pytest

from bulkcmp.engine import keys as keys_module
from bulkcmp.engine.keys import FiledKeys, PooledKeys
from bulkcmp.engine.run import Run
from bulkcmp.errors import InputError
from bulkcmp.io.keypool import KeyPool
from bulkcmp.io.keyworker import make_keys
from bulkcmp.journal.keyfile import KeyFile, Stock
from bulkcmp.model import KeySpec, OutcomeClass

if TYPE_CHECKING:
    from tests.engine.conftest import Scene

EC = KeySpec.parse("ec:P-256")
ED = KeySpec.parse("ed25519")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.db"


@pytest.fixture
def made(path: Path) -> list[bytes]:
    """Twenty keys in a file."""
    keys = make_keys(EC, 20)
    with KeyFile.open_or_create(path, None) as file:
        file.append(EC, keys)
    return keys


def filed(path: Path, run_id: str = "run", used: frozenset[int] = frozenset()) -> FiledKeys:
    return FiledKeys(path, KeyFile.open(path, None), run_id, used)


def take(source: Any, count: int, spec: KeySpec = EC) -> list[tuple[bytes, int | None]]:
    async def main() -> list[tuple[bytes, int | None]]:
        return [await source.take(spec) for _ in range(count)]

    return anyio.run(main)


def test_keys_of_a_file_come_in_its_order(path: Path, made: list[bytes]) -> None:
    with filed(path) as source:
        taken = take(source, 20)
        assert source.starved == 0.0
    assert [key for key, _ in taken] == made
    assert [number for _, number in taken] == list(range(1, 21))


def test_keys_are_marked_before_they_are_handed_out(
    path: Path, made: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys_module, "_BATCH", 8)
    with filed(path) as source:
        take(source, 1)
        with KeyFile.open(path, None) as other:
            assert other.count(EC) == Stock(free=12, taken=8)
        take(source, 8)
    with KeyFile.open(path, None) as other:
        assert other.count(EC) == Stock(free=4, taken=16)


def test_what_a_run_took_and_did_not_use_comes_first(
    path: Path, made: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys_module, "_BATCH", 8)
    with filed(path) as source:
        take(source, 5)
    # two rows got theirs into the journal
    with filed(path, used=frozenset({1, 4})) as source:
        assert [number for _, number in take(source, 6)] == [2, 3, 5, 6, 7, 8]
        assert [number for _, number in take(source, 2)] == [9, 10]
    # another run never gets them
    with filed(path, "another") as source:
        assert [number for _, number in take(source, 4)] == [17, 18, 19, 20]


def test_no_key_is_left(path: Path, made: list[bytes]) -> None:
    with filed(path) as source:
        take(source, 20)
        with pytest.raises(InputError, match=r"keys\.db: no ec:P-256 key is left") as caught:
            take(source, 1)
        assert "bulkcmp keys generate" in (caught.value.hint or "")
        with pytest.raises(InputError, match="no ed25519 key is left"):
            take(source, 1, ED)
        with KeyFile.open(path, None) as file:
            file.append(ED, make_keys(ED, 1))
        assert len(take(source, 1, ED)) == 1


def test_two_takers_share_the_last_batch(path: Path, made: list[bytes]) -> None:
    taken: list[int | None] = []

    async def main() -> None:
        async with anyio.create_task_group() as group:
            for _ in range(20):

                async def one() -> None:
                    taken.append((await source.take(EC))[1])

                group.start_soon(one)

    with filed(path) as source:
        anyio.run(main)
    assert sorted(taken) == list(range(1, 21))  # type: ignore[type-var]  # all of them are numbered here


class Pool:
    """Hands out numbers in the place of keys, a few at a time."""

    starved_seconds = 1.5

    def __init__(self) -> None:
        self.made = 0
        self.asked: list[tuple[KeySpec, int]] = []

    async def take_many(self, spec: KeySpec, most: int) -> list[bytes]:
        await anyio.lowlevel.checkpoint()
        self.asked.append((spec, most))
        self.made += 3
        return [b"%s %d" % (str(spec).encode(), self.made - left) for left in (2, 1, 0)]


def test_keys_of_a_pool_are_each_used_once() -> None:
    pool = Pool()
    source = PooledKeys(cast("KeyPool", pool))
    taken = take(source, 4) + take(source, 1, ED) + take(source, 2)
    assert {number for _, number in taken} == {None}
    keys = [key for key, _ in taken]
    assert len(set(keys)) == 7
    assert keys[4].startswith(b"ed25519")
    assert len(pool.asked) == 3
    assert source.starved == 1.5


def session(scene: "Scene", path: Path, rows: Any, **options: Any) -> Run:
    """As `engine.session` does with --keys."""
    with scene.open() as journal, KeyFile.open(path, None) as file:
        journal.settle()
        source = FiledKeys(path, file, journal.run_id, frozenset(journal.key_ids()))
        return scene.play(rows, keys=source, journal=journal, **options)


def test_a_run_uses_up_a_file_and_goes_on_with_more(
    scene: "Scene", path: Path, made: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys_module, "_BATCH", 6)
    scene.peer.latency = 1.0
    rows = scene.rows(30)

    async def abort(run: Run) -> None:
        await anyio.sleep(3.6)
        run.abort()

    session(scene, path, rows, conduct=abort, concurrency=4)
    assert OutcomeClass.UNKNOWN in scene.outcomes().values()
    with pytest.raises(InputError, match="no ec:P-256 key is left"):
        session(scene, path, rows, resumed=True, concurrency=4)
    # every key of the file was used before it was said to be empty
    with scene.open() as journal:
        assert sorted(journal.key_ids()) == list(range(1, 21))
    assert len(scene.outcomes()) == 20

    with KeyFile.open(path, None) as file:
        file.append(EC, make_keys(EC, 10))
    session(scene, path, rows, resumed=True, retry_unknown=True)
    assert set(scene.outcomes().values()) == {OutcomeClass.ISSUED}
    with scene.open() as journal:
        assert sorted(journal.key_ids()) == list(range(1, 31))
    scene.check()
