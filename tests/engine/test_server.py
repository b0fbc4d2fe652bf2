from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bulkcmp.engine.frame import Setup, TlsFiles
from bulkcmp.engine.server import connect, pacer
from bulkcmp.errors import InputError
from bulkcmp.io.pacer import SharedPacer

if TYPE_CHECKING:
    from tests.engine.conftest import Scene


def test_the_client_of_a_worker(scene: "Scene", tmp_path: Path) -> None:
    connect(scene.setup())
    with pytest.raises(InputError, match="must start with http"):
        connect(scene.setup(url="ldap://ca.test/"))
    missing = TlsFiles(trusted=(str(tmp_path / "missing.pem"),))
    with pytest.raises(InputError, match=r"missing\.pem"):
        connect(scene.setup(url="https://ca.test/", tls=missing))


def test_the_pacer_of_a_worker(scene: "Scene", tmp_path: Path) -> None:
    assert pacer(scene.setup()) is None
    file = tmp_path / "pace"
    setup: Setup = scene.setup(rate=5.0, pace_file=str(file))
    assert isinstance(pacer(setup), SharedPacer)
    assert file.exists()
