"""Settings files: `--config FILE.toml`, a server profile whose keys are option names."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from bulkcmp.errors import InputError, InputErrors
from bulkcmp.inputs.spelling import nearest
from bulkcmp.inputs.toml import KeyPath, TomlFile, read_toml

_TYPE_NAMES: Final[dict[type, str]] = {
    str: 'a text in quotes, as in {key} = "..."',
    Path: 'a path in quotes, as in {key} = "..."',
    int: "a whole number, as in {key} = 10",
    float: "a number, as in {key} = 2.5",
    bool: "{key} = true or {key} = false",
    list: 'a list of texts, as in {key} = ["...", "..."]',
}


def read_settings(path: Path, known: Mapping[str, type]) -> dict[str, object]:
    """Read a TOML file of settings, checked against the options that there are.

    Args:
        path: the file.
        known: as of `check_settings`.

    Returns:
        The settings that stand in the file, and no others.

    Raises:
        InputErrors: keys are unknown or have a value of another type: all of them are listed.
        InputError: the file can't be read, or is not TOML.
    """
    file = read_toml(path)
    problems: list[InputError] = []
    settings = check_settings(file, file.table, known, problems)
    if problems:
        raise InputErrors(f"{path}: {len(problems)} wrong settings", tuple(problems))
    return settings


def check_settings(
    file: TomlFile,
    table: Mapping[str, Any],
    known: Mapping[str, type],
    problems: list[InputError],
    *,
    at: KeyPath = (),
) -> dict[str, object]:
    """The settings of a table, checked against the options that there are.

    Args:
        table: stands in the file at a key path.
        known: the type of each option: str, int, float (a whole number does), bool, list (of
            texts), or Path: a text, taken relative to the folder of the file.
        problems: what is wrong is added to them.

    Returns:
        Those that are right.
    """
    settings: dict[str, object] = {}
    for key, value in table.items():
        where = file.where(*at, key)
        if key not in known:
            hint = nearest(key, known)
            problems.append(InputError(f"unknown setting {key!r}", where=where, hint=hint))
        elif not _fits(value, known[key]):
            right = _TYPE_NAMES[known[key]].format(key=key)
            problems.append(
                InputError(f"a value of the wrong type: it must be {right}", where=where)
            )
        elif known[key] is Path:
            settings[key] = file.path.parent / str(value)
        else:
            settings[key] = float(value) if known[key] is float else value
    return settings


def _fits(value: object, wanted: type) -> bool:
    if wanted is list:
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    if wanted is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if wanted is Path:
        return isinstance(value, str)
    return type(value) is wanted
