import datetime as dt
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from bulkcmp.engine.load.plan import KeyPlan, LoadPlan, plan
from bulkcmp.engine.load.session import session
from bulkcmp.engine.options import Options
from bulkcmp.errors import BulkcmpError, InputError
from bulkcmp.io.loop import run
from bulkcmp.load.scenario import Closed, GeneratedPopulation, KeyMode, Lifecycle, Scenario, Step
from bulkcmp.model import Operation
from bulkcmp.testca import state

SCENARIO = Scenario(
    name="a test",
    settings={},
    population=GeneratedPopulation("s.toml", 7, {"subject": "/CN=dev{number}"}),
    lifecycles=(Lifecycle("a", 1.0, (Step(Operation.IR),)),),
    shape=Closed(1),
    count=1,
)


def ready(folder: Path) -> LoadPlan:
    """A load test of a server that is not there, whose CA is in a folder of its own."""
    state.create(folder, state.DEFAULT_CA_KEY, dt.datetime.now(dt.UTC))
    settings = {
        "server": "http://127.0.0.1:1/cmp", "ref": "ra1", "secret": "pass:x",
        "trusted": (str(folder / "ca.pem"),),
    }  # fmt: skip
    return plan(SCENARIO, Options.merge(settings, {}), {})


def begin(made: LoadPlan, folder: Path) -> None:
    def nothing(*_: object) -> None:
        pass

    run(partial(session, made, folder, on_figures=nothing, on_notice=nothing))


def test_where_nothing_begins_the_folder_is_as_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    # the file was there when the test was planned
    gone = replace(ready(tmp_path / "ca"), keys=KeyPlan(KeyMode.FILE, tmp_path / "gone.keys"))
    with pytest.raises(InputError, match=r"gone\.keys"):
        begin(gone, folder)
    assert not list(folder.iterdir())


@pytest.mark.parametrize(
    ("name", "obstacle"),
    [("settings.json", ".settings.json.tmp"), ("certificates.csv", "certificates.csv")],
)
def test_a_file_that_can_not_be_written_is_named(tmp_path: Path, name: str, obstacle: str) -> None:
    folder = tmp_path / "run"
    (folder / obstacle).mkdir(parents=True)
    with pytest.raises(BulkcmpError, match=f"{name}: can't be written"):
        begin(ready(tmp_path / "ca"), folder)
    assert [one.name for one in folder.iterdir()] == [obstacle]
