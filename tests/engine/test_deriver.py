import threading
from typing import Any

import anyio
import anyio.to_thread
import pytest

from bulkcmp.cmp import protection
from bulkcmp.cmp.protection import Derivation
from bulkcmp.engine import deriver as deriver_module
from bulkcmp.engine.deriver import Deriver
from bulkcmp.model import Secret

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def derivation(salt: int = 0, iterations: int = 3) -> Derivation:
    return Derivation(Secret(b"between us"), b"salt %d" % salt, "sha256", iterations)


@pytest.fixture
def derived(monkeypatch: pytest.MonkeyPatch) -> list[Derivation]:
    """What was really derived."""
    done: list[Derivation] = []
    derive = protection.derive

    def watch(what: Derivation) -> bytes:
        done.append(what)
        return derive(what)

    monkeypatch.setattr(protection, "derive", watch)
    return done


async def test_a_key_is_derived_once(derived: list[Derivation]) -> None:
    deriver = Deriver()
    first = await deriver(derivation())
    assert await deriver(derivation()) == first
    assert await deriver(derivation(1)) != first
    assert derived == [derivation(), derivation(1)]


async def test_the_latest_are_kept(
    derived: list[Derivation], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deriver_module, "_KEPT", 3)
    deriver = Deriver()
    for salt in (1, 2, 3, 1, 4):
        await deriver(derivation(salt))
    # 2 was used least lately
    derived.clear()
    for salt in (1, 3, 4, 2):
        await deriver(derivation(salt))
    assert derived == [derivation(2)]


async def test_a_dear_one_is_derived_in_a_thread_and_once_for_all_who_want_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done: list[Derivation] = []
    loop_went_on = threading.Event()

    def derive(what: Derivation) -> bytes:
        done.append(what)
        assert loop_went_on.wait(60)
        return b"key"

    monkeypatch.setattr(protection, "derive", derive)
    deriver = Deriver()
    keys: list[bytes] = []

    async def want() -> None:
        keys.append(await deriver(derivation(iterations=30_000)))

    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(want)
        await anyio.wait_all_tasks_blocked()
        loop_went_on.set()
    assert done == [derivation(iterations=30_000)]
    assert keys == [b"key"] * 20


async def test_who_gives_up_leaves_the_dear_one_to_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = 0

    async def slow(function: Any, what: Derivation, **_: Any) -> bytes:
        nonlocal calls
        calls += 1
        if calls == 1:
            await anyio.sleep_forever()
        return b"key"

    monkeypatch.setattr(anyio.to_thread, "run_sync", slow)
    deriver = Deriver()
    dear = derivation(iterations=30_000)
    async with anyio.create_task_group() as group:
        with anyio.CancelScope() as first:

            async def give_up() -> None:
                await anyio.sleep(0.01)
                first.cancel()

            group.start_soon(give_up)
            await deriver(dear)
        assert await deriver(dear) == b"key"
    assert calls == 2
