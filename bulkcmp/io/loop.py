"""Runs the program's event loop: asyncio, on uvloop where that is installed."""

import asyncio
import gc
import importlib.util
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar, TypeVarTuple

import anyio
from anyio.from_thread import start_blocking_portal

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")

_COLLECT_AFTER: Final = (20_000, 20, 100)
"""Containers made and not freed after which Python looks for cycles among the youngest, and how
many such looks make one among the older, and the oldest."""


def run(function: Callable[[*Arguments], Awaitable[T]], *arguments: *Arguments) -> T:
    """Call `function(*arguments)` in a new event loop and return its result."""
    installed = importlib.util.find_spec("uvloop") is not None
    with _rarely_collecting():
        return anyio.run(
            function, *arguments, backend="asyncio", backend_options={"use_uvloop": installed}
        )


def run_beside(function: Callable[[], Awaitable[T]], interrupt: Callable[[], object]) -> T:
    """Call `function()` in an event loop of a thread of its own, and return its result.

    For callers whose thread has an event loop that runs already, or hears of no signals.

    Args:
        interrupt: called in that thread where the caller's gets KeyboardInterrupt meanwhile, which
            does not end the wait.
    """
    options = {"use_uvloop": importlib.util.find_spec("uvloop") is not None}
    with start_blocking_portal(backend="asyncio", backend_options=options) as portal:
        future = portal.start_task_soon(function)
        while True:
            try:
                return future.result()
            except KeyboardInterrupt:
                portal.call(interrupt)


def is_running() -> bool:
    """Whether this thread has an event loop that runs."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


@contextmanager
def _rarely_collecting() -> Iterator[None]:
    """Let Python look for cyclic garbage seldom, and never among what there is already.

    Transactions leave next to none, and thousands of them in flight are many objects to look
    through: at 5,000 connections a request took a fifth more CPU otherwise.
    """
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
