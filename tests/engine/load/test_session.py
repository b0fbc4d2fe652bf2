import datetime as dt
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from bulkcmp.engine.load.plan import KeyPlan, plan
from bulkcmp.engine.load.session import session
from bulkcmp.engine.options import Options
from bulkcmp.errors import InputError
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


def nothing(_: object) -> None:
    pass


def test_where_nothing_begins_the_folder_is_as_it_was(tmp_path: Path) -> None:
    state.create(tmp_path / "ca", state.DEFAULT_CA_KEY, dt.datetime.now(dt.UTC))
    folder = tmp_path / "run"
    folder.mkdir()
    settings = {
        "server": "http://127.0.0.1:1/cmp", "ref": "ra1", "secret": "pass:x",
        "trusted": (str(tmp_path / "ca" / "ca.pem"),),
    }  # fmt: skip
    made = plan(SCENARIO, Options.merge(settings, {}), {})
    # the file was there when the test was planned
    gone = replace(made, keys=KeyPlan(KeyMode.FILE, tmp_path / "gone.keys"))
    work = partial(
        session, gone, folder, on_figures=nothing, on_notice=nothing, on_capacity=nothing
    )
    with pytest.raises(InputError, match=r"gone\.keys"):
        run(work)
    assert not list(folder.iterdir())
