import asyncio
import gc
import importlib.util

import pytest

from bulkcmp.io import loop


async def kind_of_loop(prefix: str, number: int) -> str:
    return f"{prefix}{number} {type(asyncio.get_running_loop()).__module__.partition('.')[0]}"


@pytest.mark.parametrize("installed", [True, False])
def test_uvloop_runs_where_it_is_installed(
    monkeypatch: pytest.MonkeyPatch, installed: bool
) -> None:
    pytest.importorskip("uvloop")
    if not installed:
        monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert loop.run(kind_of_loop, "a", 1) == f"a1 {'uvloop' if installed else 'asyncio'}"


def test_garbage_is_rarely_looked_for_while_it_runs_and_as_before_afterwards() -> None:
    before, frozen = gc.get_threshold(), gc.get_freeze_count()

    async def thresholds() -> tuple[int, int, int]:
        return gc.get_threshold()

    assert loop.run(thresholds) > before
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() <= frozen


def test_garbage_is_looked_for_as_before_after_a_failure() -> None:
    before, frozen = gc.get_threshold(), gc.get_freeze_count()

    async def fail() -> None:
        raise ValueError("a failure")

    with pytest.raises(ValueError, match="a failure"):
        loop.run(fail)
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() <= frozen
