"""Scenarios: the TOML files that load tests are written in, and those that come with bulkcmp."""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

import bulkcmp
from bulkcmp.errors import InputError, InputErrors
from bulkcmp.inputs.layout import SERVER_NAME, PopulationTable, ScenarioTable
from bulkcmp.inputs.profile import find_profile
from bulkcmp.inputs.settings import Kind, check_settings, located, read_settings
from bulkcmp.inputs.table import SchemaGenerator
from bulkcmp.inputs.toml import KeyPath, TomlFile, read_toml, written
from bulkcmp.inputs.violation import problems_of
from bulkcmp.load.scenario import GeneratedPopulation, KeyMode, PopulationFile, Scenario

_PACKAGE: Final = Path(bulkcmp.__file__).parent
_FOLDERS: Final = (_PACKAGE / "scenarios", _PACKAGE.parent / "scenarios")
"""Of an installation, and of a checkout."""

_SUFFIX: Final = ".toml"

_CONFIG: Final = "config"
"""The key of [server] that names a settings file, whose settings the others go before."""

_ELSEWHERE: Final = {
    **dict.fromkeys(("newkey", "keys", "keys_pass"), "the table keys says it"),
    **dict.fromkeys(("cmd", "revreason"), "the steps of the lifecycles say it"),
    **dict.fromkeys(("rate", "concurrency"), "the table open or closed says it"),
    "retry_fail_info": "a load test asks for nothing twice that was rejected",
    "trust_first_ca_cert": "give the CA's certificate as trusted",
    **dict.fromkeys(
        (
            "key_pass",
            "plain_keys",
            "out_format",
            "out_chain",
            "out_name",
            "out_pass",
            "out_pass_length",
            "passwords_recipient",
            "label",
            "operator",
            "lint",
            "lint_profile",
            "lint_every",
            "lint_fail",
        ),
        "a load test keeps no keys and no certificates",
    ),
    **dict.fromkeys(("journal", "journal_lease"), "a load test keeps no journal"),
    **dict.fromkeys(
        ("canary", "canary_failures", "window", "window_tz"), "the schedule says when it begins"
    ),
    **dict.fromkeys(
        ("breaker_failures", "breaker_pause", "breaker_limit"),
        "a load test measures a CA that fails, too",
    ),
}
"""Settings of an enrollment that a scenario has not, and why."""

_COMMON: Final = dict.fromkeys(
    ("certs_per_message", "workers"), "it is the same for all servers: write it in [server]"
)
"""Settings that one of several servers has not, and why."""


def shipped(name: str) -> Path:
    """The path of a shipped file, in an installation or in a checkout.

    Raises:
        InputError: the installation lacks it.
    """
    for folder in _FOLDERS:
        if (folder / name).is_file():
            return folder / name
    raise InputError(
        f"scenarios/{name} is missing from this installation", hint="install bulkcmp again"
    )


def find_scenario(name: str) -> Path | None:
    """The scenario that the user means by a file's path, or by the name of a shipped one.

    Returns:
        Its path; None where `name` is neither, but another file.
    """
    path = Path(name)
    if path.suffix == _SUFFIX:
        return path
    return None if path.exists() else shipped_scenarios().get(name)


def shipped_scenarios() -> dict[str, Path]:
    """The scenarios that come with bulkcmp, by name."""
    return {path.stem: path for folder in _FOLDERS for path in sorted(folder.glob(f"*{_SUFFIX}"))}


def read_scenario(path: Path, known: Mapping[str, Kind], changes: Iterable[str] = ()) -> Scenario:
    """Read a scenario, and check all of it but what other files hold.

    Args:
        known: what each option may be.
        changes: what is otherwise than in the file, each as a line of TOML.

    Raises:
        InputErrors: something in it is wrong: all of it is listed.
        InputError: the file can't be read, or is not TOML.
    """
    file = read_toml(path).with_changes(changes)
    problems: list[InputError] = []
    table: ScenarioTable | None = None
    try:
        table = ScenarioTable.model_validate(file.table)
    except ValidationError as error:
        problems.extend(problems_of(error, file, ScenarioTable))
    settings = _settings(file, ("server",), known, problems)
    named = file.table.get("servers")
    servers = {
        name: _settings(file, ("servers", name), known, problems)
        for name in (named if isinstance(named, dict) else ())
    }
    if problems or table is None:
        problems.sort(key=lambda one: (one.where is not None and one.where.line) or 0)
        raise InputErrors(f"{path}: {_counted(len(problems))}", tuple(problems))
    for name, value in table.keys.settings().items():
        settings[name] = located(path.parent, known[name], value)
    return Scenario(
        name=table.name or path.stem,
        description=table.description,
        settings=settings,
        population=_population(file, table.population),
        lifecycles=tuple(one.lifecycle() for one in table.lifecycles),
        shape=table.shape(),
        servers=servers,
        keys=KeyMode(table.keys.mode),
        count=table.count,
        duration=table.duration,
        warm_up=table.warm_up,
        drain=table.drain,
        thresholds=tuple(table.thresholds),
        search=table.capacity.search(),
        seed=table.seed,
        outputs=table.outputs.files(),
        revoke_after=table.revoke_after,
        revoke_at=table.revoke_at or "",
        changed=tuple(sorted(map(written, file.changed))),
    )


def scenario_schema(known: Mapping[str, Kind]) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a scenario, for editors.

    Args:
        known: what each option may be.
    """
    schema = ScenarioTable.model_json_schema(schema_generator=SchemaGenerator)
    schema["properties"]["server"] |= _settings_schema(known, _ELSEWHERE)
    schema["properties"]["servers"] |= {
        "propertyNames": {"pattern": f"^{SERVER_NAME.pattern}$"},
        "additionalProperties": {"type": "object", **_settings_schema(known, _ELSEWHERE | _COMMON)},
    }
    return {"$schema": SchemaGenerator.schema_dialect, **schema}


def _settings_schema(known: Mapping[str, Kind], unknown: Collection[str]) -> dict[str, Any]:
    config = {"type": "string", "description": "A settings file, as of --config."}
    kept = {name: kind.schema() for name, kind in known.items() if name not in unknown}
    return {"additionalProperties": False, "properties": {_CONFIG: config} | kept}


def _counted(problems: int) -> str:
    return "1 problem" if problems == 1 else f"{problems} problems"


def _population(file: TomlFile, table: PopulationTable) -> PopulationFile | GeneratedPopulation:
    if table.file is not None:
        return PopulationFile(str(file.path.parent / table.file))
    assert table.columns is not None
    line = file.where("population", "columns").line or 1
    return GeneratedPopulation(
        str(file.path), line, dict(table.columns), table.size, table.repeated
    )


def _settings(
    file: TomlFile, at: KeyPath, known: Mapping[str, Kind], problems: list[InputError]
) -> dict[str, object]:
    """The settings of [server], or of one of [servers], over those of the file that it names."""
    table: Any = file.table
    for name in at:
        table = table.get(name)
    if not isinstance(table, dict):
        return {}
    is_common = at == ("server",)
    elsewhere = _ELSEWHERE if is_common else _ELSEWHERE | _COMMON
    kept = {name: kind for name, kind in known.items() if name not in elsewhere}
    problems.extend(
        InputError(f"{name} is no setting here", where=file.where(*at, name), hint=elsewhere[name])
        for name in table
        if name in elsewhere
    )
    own = check_settings(
        file,
        {name: value for name, value in table.items() if name not in elsewhere},
        {_CONFIG: Kind.TEXT, **kept},
        problems,
        at=at,
    )
    config = own.pop(_CONFIG, None)
    if config is None:
        return own
    try:
        # a shipped profile's path is absolute, which a folder before it does not change
        named = read_settings(file.path.parent / find_profile(str(config)), known)
    except InputErrors as error:
        problems.extend(error.problems)
        return own
    except InputError as error:
        where = file.where(*at, _CONFIG)
        problems.append(InputError(str(error), where=where, hint=error.hint))
        return own
    # one file may serve enrollments and load tests
    shared = {name: value for name, value in named.items() if name in kept}
    if is_common and "newkey" in named:
        # that of all keys
        shared["newkey"] = named["newkey"]
    return shared | own
