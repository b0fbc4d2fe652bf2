"""Runs the program's event loop: asyncio, on uvloop where that is installed."""

import importlib.util
from collections.abc import Awaitable, Callable
from typing import TypeVar, TypeVarTuple

import anyio

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")


def run(function: Callable[[*Arguments], Awaitable[T]], *arguments: *Arguments) -> T:
    """Call `function(*arguments)` in a new event loop and return its result."""
    installed = importlib.util.find_spec("uvloop") is not None
    return anyio.run(
        function, *arguments, backend="asyncio", backend_options={"use_uvloop": installed}
    )
