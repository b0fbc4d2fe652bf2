"""What is fuzzed: a module of this folder for each target.

Each has `one`, which takes any octets, whose docstring begins with what must hold for all of them,
and which raises where that does not; and `seeds`, which yields octets that lead deep into it, made
of real messages and files.
"""

import atexit
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Final

NAMES: Final = (
    "response",
    "nested",
    "request",
    "http",
    "inspection",
    "credential",
    "population",
    "archive",
    "setting",
    "grammar",
    "listing",
    "records",
    "journal",
)
"""Of all targets, which are those of their modules."""

REGRESSIONS: Final = Path(__file__).parent / "regressions"
"""A folder for each target, of inputs that once broke it."""


@dataclass(frozen=True)
class Target:
    """One that was loaded.

    Attributes:
        one: takes any octets; raises where what its docstring promises does not hold.
        seeds: octets that it is made for.
    """

    name: str
    one: Callable[[bytes], None]
    seeds: tuple[bytes, ...]

    @property
    def regressions(self) -> list[Path]:
        """Inputs that once broke it."""
        return sorted((REGRESSIONS / self.name).glob("*"))


@cache
def load(name: str) -> Target:
    """The target of that name."""
    module = import_module(f"tests.fuzz.{name}")
    return Target(name, module.one, tuple(module.seeds()))


@cache
def scratch() -> Path:
    """A folder for files that have to be read by their path; it goes with the process."""
    folder = Path(tempfile.mkdtemp(prefix="bulkcmp-fuzz-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def written(name: str, data: bytes) -> Path:
    """A file of that name and content, in place of the one before."""
    path = scratch() / name
    path.write_bytes(data)
    return path
