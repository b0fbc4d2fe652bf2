"""TOML: configuration, scenarios, mapping rules, and values of `--set`.

An input is an octet for which of them, and the text.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from bulkcmp.engine.options import Options
from bulkcmp.errors import InputError
from bulkcmp.inputs.profile import shipped_profiles
from bulkcmp.inputs.rules import read_rules
from bulkcmp.inputs.scenario import read_scenario, shipped_scenarios
from bulkcmp.inputs.settings import read_settings
from bulkcmp.inputs.toml import read_toml
from tests.fuzz.target import written

_KNOWN: Final = Options.known()


def _changes(path: Path) -> None:
    smoke = read_toml(shipped_scenarios()["smoke"])
    smoke.with_changes([path.read_bytes().decode("utf-8", "replace")])


_READERS: Final[tuple[Callable[[Path], object], ...]] = (
    lambda path: read_settings(path, _KNOWN),
    lambda path: read_scenario(path, _KNOWN),
    read_rules,
    _changes,
)


def one(data: bytes) -> None:
    """Whatever a file of settings says, it is taken whole, or an InputError says what is wrong."""
    if data:
        path = written("setting.toml", data[1:])
        with suppress(InputError):
            _READERS[data[0] % len(_READERS)](path)


_RULES: Final = b"""
[columns]
id = "{uid!l}"
subject = "/CN={cn|given}/OU={ou?}"
sans = ["email:{mail?}", "dns:{host}.example.com"]

[attributes.mail]
several = "all"
replace = [{ matches = "@old$", by = "@new" }]

[[where]]
attribute = "ou"
equals = ["a", "b"]
"""


def seeds() -> Iterator[bytes]:
    """All that is shipped, and rules."""
    for path in shipped_profiles().values():
        yield b"\0" + path.read_bytes()
    for path in shipped_scenarios().values():
        yield b"\1" + path.read_bytes()
    yield b"\2" + _RULES
    for change in (b"open.rate = 20", b'name="my test"', b"steps = [{ cmd = 'ir' }]"):
        yield b"\3" + change
