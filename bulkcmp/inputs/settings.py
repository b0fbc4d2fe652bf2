"""Settings files: `--config FILE.toml`, a server profile whose keys are option names."""

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from bulkcmp.errors import InputError, InputErrors, Where
from bulkcmp.inputs.field import option_name
from bulkcmp.inputs.file import read_file
from bulkcmp.inputs.spelling import nearest

Setting = str | int | bool | list[str]

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
        known: the type of each option: str, int, float (a whole number does), bool, list (of
            texts), or Path: a text, taken relative to the folder of the settings file.

    Returns:
        The settings that stand in the file, and no others.

    Raises:
        InputErrors: keys are unknown or have a value of another type: all of them are listed.
        InputError: the file can't be read, or is not TOML.
    """
    try:
        text = read_file(path).decode("utf-8-sig")
        table = tomllib.loads(text)
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise InputError("not valid UTF-8", where=Where(str(path), line)) from None
    except tomllib.TOMLDecodeError as error:
        raise _not_toml(path, error) from None
    settings: dict[str, object] = {}
    problems: list[InputError] = []
    for key, value in table.items():
        where = Where(str(path), _line(text, key), key)
        if key not in known:
            hint = nearest(key, known)
            problems.append(InputError(f"unknown setting {key!r}", where=where, hint=hint))
        elif not _fits(value, known[key]):
            right = _TYPE_NAMES[known[key]].format(key=key)
            problems.append(
                InputError(f"a value of the wrong type: it must be {right}", where=where)
            )
        elif known[key] is Path:
            settings[key] = path.parent / str(value)
        else:
            settings[key] = float(value) if known[key] is float else value
    if problems:
        raise InputErrors(f"{path}: {len(problems)} wrong settings", tuple(problems))
    return settings


def format_settings(settings: Mapping[str, Setting]) -> str:
    """The settings as TOML, a line for each."""
    return "".join(f"{key} = {_toml(value)}\n" for key, value in settings.items())


def _toml(value: Setting) -> str:
    # of these types JSON is TOML, but for one control character (TOML 1.0, String)
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def option_words(settings: Mapping[str, Setting]) -> Iterator[str]:
    """The settings as words of a command line."""
    for name, value in settings.items():
        option = option_name(name)
        if isinstance(value, bool):
            yield option if value else f"--no-{option.removeprefix('--')}"
            continue
        for one in value if isinstance(value, list) else [value]:
            # a value may begin with a hyphen
            yield from (option, str(one)) if not str(one).startswith("-") else (f"{option}={one}",)


def _fits(value: object, wanted: type) -> bool:
    if wanted is list:
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    if wanted is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if wanted is Path:
        return isinstance(value, str)
    return type(value) is wanted


def _not_toml(path: Path, error: tomllib.TOMLDecodeError) -> InputError:
    # tomllib tells the place only in its text, until Python 3.14
    line = re.search(r" \(at line (\d+),", str(error))
    where = Where(str(path), int(line[1]) if line else None)
    return InputError(f"not TOML: {error}", where=where)


def _line(text: str, key: str) -> int | None:
    match = re.search(rf'^[ \t]*\[*[ \t]*["\']?{re.escape(key)}["\']?[ \t]*[=.\]]', text, re.M)
    return None if match is None else text.count("\n", 0, match.start()) + 1
