"""A stage on which bulkcmp is killed: see `tests.crash.stage`."""

from pathlib import Path

import pytest

from tests.crash.stage import Stage, Troupe


@pytest.fixture(scope="session")
def troupe(tmp_path_factory: pytest.TempPathFactory) -> Troupe:
    return Troupe(tmp_path_factory.mktemp("troupe"))


@pytest.fixture
def stage(troupe: Troupe, tmp_path: Path) -> Stage:
    return troupe.stage(tmp_path)
