import asyncio
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
