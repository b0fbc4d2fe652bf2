"""A load test as the user asks for it: its scenario, its options, its plan, and its run folder."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bulkcmp.engine.load.capacity import search_plan
from bulkcmp.engine.load.plan import LoadPlan, plan
from bulkcmp.engine.options import Options
from bulkcmp.errors import InputError, Where
from bulkcmp.inputs.scenario import find_scenario, read_scenario
from bulkcmp.load.folder import KEPT
from bulkcmp.load.scenario import Scenario


def read_test(
    scenario: str, changes: Iterable[str], config: Sequence[str], given: Mapping[str, Any]
) -> tuple[Scenario, Options]:
    """A scenario, and the options of all of its servers.

    Args:
        scenario: a TOML file, or the name of one that comes with bulkcmp.
        changes: what is otherwise than in the file: KEY=VALUE, as TOML writes it.
        config: connection profiles; later ones win.
        given: options, which win over profiles; both win over the scenario.

    Raises:
        InputError: something can't be read, or contradicts itself.
    """
    path = find_scenario(scenario) or Path(scenario)
    meant = read_scenario(path, Options.known(), changes)
    # a request that is sent again hides what became of the first
    return meant, Options.read(config, given, {"retries": 0, **meant.settings})


def plan_test(
    scenario: Scenario,
    options: Options,
    environ: Mapping[str, str],
    *,
    thresholds: Iterable[str],
    yes_load: Collection[str],
    find_capacity: bool,
    workers: int | None = None,
) -> LoadPlan:
    """The plan of a test, or of a search for the capacity; arguments and errors are those of `plan`
    and `search_plan`."""
    make = search_plan if find_capacity else plan
    return make(
        scenario, options, environ, thresholds=thresholds, yes_load=yes_load, workers=workers
    )


def refuse_present(folder: Path) -> None:
    """Make sure that a load test has its run folder to itself.

    Raises:
        InputError: it holds another one.
    """
    if any((folder / name).exists() for name in KEPT):
        raise InputError(
            "holds a load test already",
            where=Where(str(folder)),
            hint=f"bulkcmp report {folder} shows it; choose another --out",
        )
