from pathlib import Path
from typing import Any

import pytest

from bulkcmp.engine.options import Options
from bulkcmp.engine.rehearsal import rehearse
from bulkcmp.errors import InputError, InputErrors
from bulkcmp.load.scenario import (
    Closed,
    GeneratedPopulation,
    Lifecycle,
    PopulationFile,
    Scenario,
    Step,
)
from bulkcmp.model import Operation

IR = Lifecycle("ir", 1.0, (Step(Operation.IR),))
KUR = Lifecycle("kur", 1.0, (Step(Operation.KUR),))


def _rehearse(
    population: PopulationFile | GeneratedPopulation, *lifecycles: Lifecycle, **settings: Any
) -> list[list[str]]:
    scenario = Scenario("s", settings, population, lifecycles or (IR,), Closed(1))
    options = Options.merge({"secret": "pass:x"}, scenario.settings)
    return [[str(one) for one in row] for row in rehearse(scenario, {"": options}, {})]


def test_a_hundred_rows_of_a_generated_population_are_looked_at() -> None:
    endless = GeneratedPopulation("s.toml", 3, {"subject": "/CN={id}"})
    assert _rehearse(endless) == [[]] * 100
    few = GeneratedPopulation("s.toml", 3, {"subject": "/CN={id}"}, size=5)
    assert _rehearse(few) == [[]] * 5


def test_all_rows_of_a_file_are(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("id,subject\n" + "".join(f"a{n},/CN=a{n}\n" for n in range(250)) + "b,CN\n")
    rows = _rehearse(PopulationFile(str(path)))
    assert [number for number, problems in enumerate(rows, start=1) if problems] == [251]


def test_a_row_must_do_for_every_lifecycle_that_may_fall_to_it() -> None:
    population = GeneratedPopulation("s.toml", 3, {"subject": "/CN={id}", "days": "0"}, size=1)
    days = "s.toml:3 (row 1), column days: '0' is not a whole number from 1 to 36500"
    oldcert = (
        "s.toml:3 (row 1), column oldcert: kur needs oldcert or cert: the certificate to update"
    )
    assert _rehearse(population, IR) == [[days]]
    # what is wrong for both is told once
    assert sorted(_rehearse(population, IR, KUR)[0]) == sorted([days, oldcert])


def test_options_stand_for_columns() -> None:
    population = GeneratedPopulation("s.toml", 3, {}, size=1)
    (problems,) = _rehearse(population)
    assert problems == ["s.toml:3 (row 1), column subject: ir needs a subject or sans"]
    assert _rehearse(population, subject="/CN={id}") == [[]]


def test_columns_that_the_scenario_says_elsewhere_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("id,cmd,subject,priority\na,ir,/CN=a,1\n")
    with pytest.raises(InputErrors) as caught:
        _rehearse(PopulationFile(str(path)))
    assert [str(one) for one in caught.value.problems] == [
        f"{path}, column cmd: cmd is no column of a load test",
        f"{path}, column priority: priority is no column of a load test",
    ]
    assert all(one.hint for one in caught.value.problems)


def test_the_settings_of_a_server_are_checked_with_it() -> None:
    population = GeneratedPopulation("s.toml", 3, {"subject": "/CN={id}"}, size=1)
    with pytest.raises(InputError, match="no trust anchor"):
        _rehearse(population, server="ca.example")
