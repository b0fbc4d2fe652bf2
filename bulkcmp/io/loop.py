"""Runs the program's event loop: asyncio, on uvloop where that is installed."""

import gc
import importlib.util
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar, TypeVarTuple

import anyio

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
