import time
from collections.abc import Awaitable, Callable

import anyio
import pytest
import trio.testing

from bulkcmp.io.clock import SystemClock


def test_it_shows_unix_time() -> None:
    before = time.time()
    shown = SystemClock().now()
    assert before - 0.1 <= shown <= time.time() + 0.1


def test_a_step_of_the_wall_clock_does_not_move_it(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SystemClock()
    before = clock.now()
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert before <= clock.now() < before + 5.0
    assert clock.unix(time.monotonic()) == pytest.approx(clock.now(), abs=0.5)


def in_virtual_time(
    monkeypatch: pytest.MonkeyPatch, body: Callable[[SystemClock], Awaitable[None]]
) -> None:
    async def main() -> None:
        monkeypatch.setattr(time, "monotonic", anyio.current_time)
        await body(SystemClock())

    clock = trio.testing.MockClock(autojump_threshold=0)
    anyio.run(main, backend="trio", backend_options={"clock": clock})


def test_it_sleeps_until_an_instant(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(clock: SystemClock) -> None:
        began = clock.now()
        await clock.sleep_until(began + 3600.0)
        assert clock.now() - began == pytest.approx(3600.0, abs=0.001)

    in_virtual_time(monkeypatch, body)


def test_an_instant_that_has_passed_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(clock: SystemClock) -> None:
        began = clock.now()
        await clock.sleep_until(began - 10.0)
        assert clock.now() == began

    in_virtual_time(monkeypatch, body)
