"""What each target promises holds for its seeds, for what broke it once, and for changes to them.

Long runs, by coverage, are `python -m tests.fuzz`; see docs/fuzzing.md.
"""

import random
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from tests.fuzz.mutation import ACTIONS, Recipe, mutated
from tests.fuzz.target import NAMES, REGRESSIONS, load

# cryptography warns of names and numbers that RFC 5280 would not have, openpyxl of odd workbooks
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

CHANGES = 60
"""Changed seeds of each target."""


def recipes(chance: random.Random) -> Iterator[Recipe]:
    while True:
        yield [
            (
                chance.choice(ACTIONS),
                chance.randrange(65536),
                chance.randrange(13),
                chance.randrange(256),
                chance.randrange(65536),
            )
            for _ in range(chance.randint(1, 4))
        ]


@pytest.mark.parametrize("name", NAMES)
def test_what_is_promised_holds(name: str) -> None:
    target = load(name)
    assert (target.one.__doc__ or "").startswith("Whatever ")
    assert target.seeds
    for seed in target.seeds:
        target.one(seed)
    chance = random.Random(name)
    for recipe, _ in zip(recipes(chance), range(CHANGES), strict=False):
        target.one(mutated(chance.choice(target.seeds), recipe))
    for size in (0, 1, 2):
        target.one(b"\0" * size)


@pytest.mark.parametrize("name", ["response", "nested", "credential"])
def test_seeds_are_alike_in_every_run(name: str) -> None:
    again = import_module(f"tests.fuzz.{name}").seeds()
    assert [len(seed) for seed in again] == [len(seed) for seed in load(name).seeds]


REGRESSION_FILES = sorted(path for path in REGRESSIONS.glob("*/*"))


@pytest.mark.parametrize(
    "path", REGRESSION_FILES, ids=lambda path: f"{path.parent.name}: {path.name}"
)
def test_what_broke_it_once(path: Path) -> None:
    load(path.parent.name).one(path.read_bytes())
