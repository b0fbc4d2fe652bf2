import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import wait_all_tasks_blocked
from anyio.abc import Process
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import load_der_private_key
from hypothesis import given
from hypothesis import strategies as st

from bulkcmp.io import keypool
from bulkcmp.io.keypool import KeyPool, KeyPoolError
from bulkcmp.model import KeySpec

ED25519 = KeySpec.parse("ed25519")
RSA_4096 = KeySpec.parse("rsa:4096")

every_loop = pytest.mark.parametrize(
    "anyio_backend",
    [
        pytest.param(("asyncio", {"use_uvloop": False}), id="asyncio"),
        pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"),
        pytest.param(("trio", {}), id="trio"),
    ],
)
one_loop = pytest.mark.parametrize(
    "anyio_backend", [pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop")]
)


def makers_of(parent: int) -> set[int]:
    """Process ids of the key makers of a process; other tests leave children of other kinds."""
    return {child for child in children(parent) if b"keyworker" in command_line(child)}


def command_line(process: int) -> bytes:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def children(of: int) -> set[int]:
    """Process ids of the children of a process that are not zombies."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(parent) == of and state != "Z":
                found.add(int(entry.name))
    return found


async def settled(pool: KeyPool, spec: KeySpec) -> list[bytes]:
    """Everything in stock once the pool has come to rest."""
    line = pool._lines[spec]
    with anyio.fail_after(30):
        # nothing tells when a pool comes to rest, and nothing but a test wants to know
        while line.making or line.job():  # noqa: ASYNC110
            await anyio.sleep(0.01)
    return list(line.stock)


@every_loop
@pytest.mark.anyio
async def test_many_takers_get_a_key_each_and_none_twice() -> None:
    keys: list[bytes] = []

    async def take(pool: KeyPool) -> None:
        for _ in range(5):
            keys.append(await pool.take(ED25519))

    async with KeyPool(ahead=30, processes=2) as pool:
        async with anyio.create_task_group() as group:
            for _ in range(40):
                group.start_soon(take, pool)
        assert 0 < pool.waits <= 200
        assert pool.starved_seconds > 0
    assert len(set(keys)) == 200
    for key in keys:
        assert isinstance(load_der_private_key(key, None), ed25519.Ed25519PrivateKey)
    assert makers_of(os.getpid()) == set()


@one_loop
@pytest.mark.anyio
async def test_types_do_not_get_in_each_others_way() -> None:
    specs = [KeySpec.parse(text) for text in ("ec:P-256", "rsa:2048", "ml-dsa-65", "ed448")]
    sizes: dict[KeySpec, int] = {}

    async def take(pool: KeyPool, spec: KeySpec) -> None:
        sizes[spec] = len(await pool.take(spec))

    async with KeyPool(ahead=4, processes=2) as pool, anyio.create_task_group() as group:
        for spec in specs:
            group.start_soon(take, pool, spec)
    assert [sizes[spec] // 100 for spec in specs] == [1, 12, 0, 0]


@every_loop
@pytest.mark.anyio
async def test_nobody_takes_and_the_stock_stays_within_its_bound() -> None:
    async with KeyPool(ahead=50, processes=2) as pool:
        await pool.take(ED25519)
        assert 25 < len(await settled(pool, ED25519)) <= 50
        assert len(await pool.take_many(ED25519, 20)) == 20
        assert 25 < len(await settled(pool, ED25519)) <= 50


@one_loop
@pytest.mark.anyio
async def test_no_more_keys_are_made_than_are_expected() -> None:
    async with KeyPool(ahead=50, processes=2) as pool:
        pool.expect(ED25519, 7)
        assert len(await settled(pool, ED25519)) == 7
        assert len(await pool.take_many(ED25519, 100)) == 7
        assert await settled(pool, ED25519) == []
        pool.expect(ED25519, 2)
        assert len(await settled(pool, ED25519)) == 2
        assert len(await pool.take_many(ED25519, 100)) == 2
        assert pool.waits == 0
        # one more than anybody said is made all the same, and no second one
        await pool.take(ED25519)
        assert await settled(pool, ED25519) == []
        pool.expect(ED25519, None)
        assert len(await settled(pool, ED25519)) > 25


@one_loop
@pytest.mark.anyio
async def test_no_process_is_started_before_a_key_is_wanted() -> None:
    async with KeyPool(ahead=50, processes=2) as pool:
        await anyio.sleep(0.05)
        assert makers_of(os.getpid()) == set()
        await pool.take(ED25519)
        makers = makers_of(os.getpid())
        assert len(makers) in (1, 2)
        # the terminal's Ctrl-C must not reach them: the run drains first
        assert os.getsid(0) not in {os.getsid(maker) for maker in makers}


@every_loop
@pytest.mark.anyio
async def test_cancelled_in_the_middle_of_a_key_it_ends_at_once() -> None:
    began = time.monotonic()
    with anyio.move_on_after(0.5) as scope:
        async with KeyPool(ahead=1000, processes=2) as pool:
            while True:
                await pool.take(RSA_4096)
    assert scope.cancelled_caught
    assert time.monotonic() - began < 50
    assert makers_of(os.getpid()) == set()


@every_loop
@pytest.mark.anyio
async def test_an_error_of_the_user_comes_out_alone() -> None:
    async def use() -> None:
        async with KeyPool(ahead=10, processes=1) as pool:
            await pool.take(ED25519)
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        await use()


@every_loop
@pytest.mark.anyio
async def test_a_key_that_comes_as_its_taker_leaves_goes_to_the_next() -> None:
    scope = anyio.CancelScope()

    async def take(pool: KeyPool) -> None:
        with scope:
            await pool.take(RSA_4096)

    async with KeyPool(ahead=2, processes=1) as pool:
        line = pool._line(RSA_4096)
        async with anyio.create_task_group() as group:
            group.start_soon(take, pool)
            await wait_all_tasks_blocked()
            # on its way out, but still in the queue
            scope.cancel()
            line.deliver([b"key"])
        assert scope.cancelled_caught
        assert line.handed == 0
        assert await pool.take(RSA_4096) == b"key"


@one_loop
@pytest.mark.anyio
async def test_a_taker_that_leaves_is_forgotten() -> None:
    async with KeyPool(ahead=1, processes=1) as pool:
        with anyio.move_on_after(0.01):
            await pool.take(RSA_4096)
        assert not pool._line(RSA_4096).takers
        assert pool.starved_seconds > 0.005


@every_loop
@pytest.mark.anyio
async def test_a_killed_process_is_replaced() -> None:
    async with KeyPool(ahead=10, processes=2) as pool:
        keys = {await pool.take(ED25519)}
        for _ in range(6):
            for maker in makers_of(os.getpid()):
                os.kill(maker, signal.SIGKILL)
            for _ in range(20):
                keys.add(await pool.take(ED25519))
        assert len(keys) == 121


@every_loop
@pytest.mark.anyio
async def test_processes_that_only_die_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keypool, "_BOOTSTRAP", "import nothing_of_that_name")
    async with KeyPool(ahead=10, processes=2) as pool:
        for _ in range(2):
            with pytest.raises(KeyPoolError, match=r"exit status 1, ModuleNotFoundError: No mod"):
                await pool.take(ED25519)


@every_loop
@pytest.mark.anyio
async def test_a_process_that_ended_before_it_was_told_anything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start = anyio.open_process

    async def started_and_ended(*args: Any, **options: Any) -> Process:
        process = await start(*args, **options)
        await process.wait()
        return process

    monkeypatch.setattr(keypool, "_BOOTSTRAP", "import nothing_of_that_name")
    monkeypatch.setattr(anyio, "open_process", started_and_ended)
    async with KeyPool(ahead=10, processes=2) as pool:
        with pytest.raises(KeyPoolError, match=r"exit status 1, ModuleNotFoundError: No mod"):
            await pool.take(ED25519)


@one_loop
@pytest.mark.anyio
async def test_every_taker_hears_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keypool, "_BOOTSTRAP", "import sys; sys.exit(3)")
    failures: list[str] = []

    async def take(pool: KeyPool) -> None:
        try:
            await pool.take(ED25519)
        except KeyPoolError as error:
            failures.append(str(error))

    async with KeyPool(ahead=10, processes=2) as pool, anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(take, pool)
    assert failures == ["no ed25519 key can be made: a key-making process ended: exit status 3"] * 5


@every_loop
@pytest.mark.anyio
async def test_processes_that_do_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    async with KeyPool(ahead=10, processes=2) as pool:
        with pytest.raises(KeyPoolError, match=r"does not start: .*No such file"):
            await pool.take(ED25519)


@one_loop
@pytest.mark.anyio
async def test_a_type_that_is_not_supported_fails_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    refusing = (
        "import json, sys; sys.path[:] = json.loads(sys.stdin.buffer.readline())\n"
        "from bulkcmp.io import keyworker as w\n"
        "make = w.make_keys\n"
        "def refuse(spec, count):\n"
        "    if str(spec) == 'ml-dsa-65': raise w.UnsupportedAlgorithm('OpenSSL is too old')\n"
        "    return make(spec, count)\n"
        "w.make_keys = refuse\n"
        "w.main()\n"
    )
    monkeypatch.setattr(keypool, "_BOOTSTRAP", refusing)
    async with KeyPool(ahead=10, processes=1) as pool:
        for _ in range(2):
            with pytest.raises(KeyPoolError, match="no ml-dsa-65 key can be made: OpenSSL is too"):
                await pool.take(KeySpec.parse("ml-dsa-65"))
        assert await pool.take(ED25519)


@one_loop
@pytest.mark.anyio
async def test_modules_of_the_working_folder_are_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("json.py", "random.py", "cryptography.py", "bulkcmp.py"):
        (tmp_path / name).write_text("raise SystemExit('run from the working folder')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    async with KeyPool(ahead=1, processes=1) as pool:
        assert await pool.take(ED25519)


PARENT = """
import anyio
from bulkcmp.io.keypool import KeyPool
from bulkcmp.io.loop import run
from bulkcmp.model import KeySpec

async def main():
    async with KeyPool(ahead=1000, processes=2) as pool:
        for text in ("ed25519", "rsa:4096"):
            await pool.take(KeySpec.parse(text))
        print("making", flush=True)
        await anyio.sleep_forever()

if __name__ == "__main__":
    run(main)
"""


def test_they_end_when_their_parent_is_killed() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"making\n"
        makers = children(parent.pid)
        assert len(makers) == 2
        parent.kill()
    deadline = time.monotonic() + 30
    while any(Path(f"/proc/{maker}").exists() for maker in makers):
        assert time.monotonic() < deadline, "they outlived their parent"
        time.sleep(0.05)


@pytest.mark.parametrize("numbers", [{"ahead": 0}, {"ahead": 1, "processes": 0}])
def test_bounds_that_allow_nothing(numbers: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        KeyPool(**numbers)


class Taker:
    """Stands in for a waiting task where no event loop runs."""

    key: bytes | None = None

    def __init__(self) -> None:
        self.ready = self

    def set(self) -> None: ...


@given(
    ahead=st.integers(1, 40),
    chunk=st.integers(1, 50),
    expected=st.none() | st.integers(0, 60),
    steps=st.lists(st.tuples(st.sampled_from(["start", "end", "take"]), st.integers(0, 5))),
)
def test_production_is_bounded_and_never_stalls(
    ahead: int, chunk: int, expected: int | None, steps: list[tuple[str, int]]
) -> None:
    line = keypool._Line(ED25519, min(chunk, ahead), ahead, expected=expected)
    running: list[int] = []
    asked = 0
    for step, number in steps:
        if step == "start" and (count := line.job()):
            running.append(count)
            line.making += count
        elif step == "end" and running:
            count = running.pop(number % len(running))
            line.making -= count
            line.deliver([b"key"] * count)
        elif step == "take":
            asked += 1
            if line.stock:
                line.stock.popleft()
                line.handed += 1
            else:
                line.takers.append(Taker())  # type: ignore[arg-type]  # a stand-in: no loop runs

        assert not (line.stock and line.takers)
        assert len(line.stock) + line.making <= ahead + len(line.takers)
        if expected is not None:
            assert line.handed + len(line.stock) + line.making <= max(expected, asked)
        if len(line.takers) > line.making:
            assert line.job() > 0
