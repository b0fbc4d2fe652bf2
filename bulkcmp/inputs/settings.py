"""Settings files: `--config FILE.toml`, a server profile whose keys are option names."""

import json
import shlex
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from bulkcmp.errors import InputError, InputErrors
from bulkcmp.inputs.cell import SameKey
from bulkcmp.inputs.field import option_name
from bulkcmp.inputs.spelling import nearest
from bulkcmp.inputs.toml import KeyPath, TomlFile, read_toml
from bulkcmp.model import KeySpec
from bulkcmp.token.uri import is_uri

Setting = str | int | bool | list[str]


class Kind(Enum):
    """What a setting may be: the value says it to the user."""

    TEXT = 'a text in quotes, as in {key} = "..."'
    PATH = 'a path in quotes, as in {key} = "..."'
    SOURCE = 'the source of a secret in quotes, as in {key} = "env:NAME"'
    NEWKEY = 'a key spec or a path in quotes, as in {key} = "ec:P-256"'
    KEY = 'a path or a PKCS#11 URI in quotes, as in {key} = "..."'
    COMMAND = 'a command in quotes, as in {key} = "./hand-over --to line-7"'
    WHOLE = "a whole number, as in {key} = 10"
    NUMBER = "a number, as in {key} = 2.5"
    FLAG = "{key} = true or {key} = false"
    TEXTS = 'a list of texts, as in {key} = ["...", "..."]'
    PATHS = 'a list of paths, as in {key} = ["a.pem", "b.pem"]'
    LOCATIONS = 'a list of paths and URLs, as in {key} = ["a.crl", "http://..."]'

    def schema(self) -> dict[str, object]:
        """The JSON Schema of such a setting."""
        match self:
            case Kind.WHOLE:
                return {"type": "integer"}
            case Kind.NUMBER:
                return {"type": "number"}
            case Kind.FLAG:
                return {"type": "boolean"}
            case Kind.TEXTS | Kind.PATHS | Kind.LOCATIONS:
                return {"type": "array", "items": {"type": "string"}}
            case _:
                return {"type": "string"}


def read_settings(path: Path, known: Mapping[str, Kind]) -> dict[str, object]:
    """Read a TOML file of settings, checked against the options that there are.

    Args:
        path: the file.
        known: as of `check_settings`.

    Returns:
        The settings that stand in the file, and no others; paths are relative to the working
        directory.

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
    known: Mapping[str, Kind],
    problems: list[InputError],
    *,
    at: KeyPath = (),
) -> dict[str, object]:
    """The settings of a table, checked against the options that there are.

    Args:
        table: stands in the file at a key path.
        known: what each option may be. Paths are relative to the folder of the file.
        problems: what is wrong is added to them.

    Returns:
        Those that are right, with paths relative to the working directory.
    """
    settings: dict[str, object] = {}
    for key, value in table.items():
        where = file.where(*at, key)
        if key not in known:
            hint = nearest(key, known)
            problems.append(InputError(f"unknown setting {key!r}", where=where, hint=hint))
        elif not _fits(value, known[key]):
            right = known[key].value.format(key=key)
            problems.append(
                InputError(f"a value of the wrong type: it must be {right}", where=where)
            )
        else:
            settings[key] = located(file.path.parent, known[key], value)
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


def located(folder: Path, kind: Kind, value: Any) -> object:
    """A value that fits, with relative paths made ones from `folder`."""
    match kind:
        case Kind.PATH:
            return str(folder / value)
        case Kind.PATHS:
            return [key_in(folder, path) for path in value]
        case Kind.LOCATIONS:
            return [location_in(folder, one) for one in value]
        case Kind.SOURCE:
            return source_in(folder, value)
        case Kind.NEWKEY:
            return newkey_in(folder, value)
        case Kind.KEY:
            return key_in(folder, value)
        case Kind.COMMAND:
            return command_in(folder, value)
        case Kind.NUMBER:
            return float(value)
        case _:
            return value


def source_in(folder: Path, source: str) -> str:
    """The source of a secret, with a relative path made one from `folder`."""
    kind, colon, rest = source.partition(":")
    return f"{kind}:{folder / rest}" if colon and kind in ("file", "list") else source


def command_in(folder: Path, text: str) -> str:
    """A command, with the relative path of its program made one from `folder`."""
    try:
        program, *arguments = shlex.split(text)
    except ValueError:
        # no command: whoever runs it says so
        return text
    return shlex.join((str(folder / program), *arguments)) if "/" in program else text


def newkey_in(folder: Path, text: str) -> str:
    """A key spec, or that it is the same; or a key, as `key_in` has it."""
    if text == SameKey.SAME.value:
        return text
    try:
        KeySpec.parse(text)
    except InputError:
        return key_in(folder, text)
    return text


def key_in(folder: Path, text: str) -> str:
    """The PKCS#11 URI of a key, or its path, made one from `folder`."""
    return text if is_uri(text) else str(folder / text)


def location_in(folder: Path, text: str) -> str:
    """An http or https URL, or a path, made one from `folder`."""
    return text if is_url(text) else str(folder / text)


def is_url(text: str) -> bool:
    """Whether a text that may be a path is an http or https URL."""
    return text.lower().startswith(("http://", "https://"))


def _fits(value: object, kind: Kind) -> bool:
    match kind:
        case Kind.WHOLE:
            return type(value) is int
        case Kind.NUMBER:
            return isinstance(value, int | float) and not isinstance(value, bool)
        case Kind.FLAG:
            return isinstance(value, bool)
        case Kind.TEXTS | Kind.PATHS | Kind.LOCATIONS:
            return isinstance(value, list) and all(isinstance(item, str) for item in value)
        case _:
            return isinstance(value, str)
