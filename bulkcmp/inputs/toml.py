"""TOML files, with the line that each key stands on, which the parser of Python does not tell."""

import copy
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from bulkcmp.errors import InputError, Where
from bulkcmp.inputs.file import read_file

KeyPath: TypeAlias = tuple[str | int, ...]
"""The keys that lead to a value, and the places, from 0, in arrays."""

CHANGE: Final = "--set"
"""The option that gives one value of a file otherwise."""

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")

_DEEPEST: Final = 50
"""Tables and lists in one another: nobody means more."""

_TOKEN: Final = re.compile(
    r""""{3}(?:\\.|[^\\])*?"{3,5}|'{3}.*?'{3,5}|"(?:\\.|[^"\\])*"|'[^']*'|\#[^\n]*|[][{}\n]""",
    re.DOTALL,
)
"""What says where the statements of a valid file end."""


@dataclass(frozen=True, slots=True)
class TomlFile:
    """A file that was read.

    Attributes:
        table: its content.
        lines: on which the statement begins that gives a value, from 1.
        changed: what `--set` gave in the place of what the file says, or besides.
    """

    path: Path
    table: Mapping[str, Any]
    lines: Mapping[KeyPath, int]
    changed: frozenset[KeyPath] = frozenset()

    def where(self, *key: str | int) -> Where:
        """The place of a value; of one that is missing, that of the table which lacks it."""
        ends = range(len(key), 0, -1)
        if any(key[:end] in self.changed for end in ends):
            return Where(CHANGE, key=written(key))
        lines = (self.lines[key[:end]] for end in ends if key[:end] in self.lines)
        return Where(str(self.path), next(lines, None), key=written(key) or None)

    def with_changes(self, changes: Iterable[str]) -> "TomlFile":
        """What the file would be, said some of it were otherwise.

        Args:
            changes: each a key path and its value as TOML writes them, `open.rate = 20`. A table or
                list that is given takes the place of the whole one.

        Raises:
            InputError: one is not TOML, or would put a key into what is no table.
        """
        table: dict[str, Any] = copy.deepcopy(dict(self.table))
        changed = set(self.changed)
        for change in changes:
            key, value = _change(change)
            inner = table
            for depth, part in enumerate(key[:-1], start=1):
                inner = inner.setdefault(part, {})
                if not isinstance(inner, dict):
                    raise InputError(
                        f"{written(key[:depth])} is no table",
                        where=Where(CHANGE, key=written(key)),
                        hint=f"give the whole of it: {CHANGE} '{written(key[:depth])}=…'",
                    )
            inner[key[-1]] = value
            changed.add(key)
        return TomlFile(self.path, table, self.lines, frozenset(changed))


def read_toml(path: Path) -> TomlFile:
    """Read a TOML file.

    Raises:
        InputError: it can't be read, or is not TOML.
    """
    try:
        text = read_file(path).decode("utf-8-sig")
        table = _parsed(text)
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise InputError("not valid UTF-8", where=Where(str(path), line)) from None
    except tomllib.TOMLDecodeError as error:
        raise _not_toml(path, error) from None
    return TomlFile(path, table, _lines(text))


def written(key: KeyPath) -> str:
    """A key path as one would write it, `steps[2].cmd`, but that arrays count from 1."""
    text = ""
    for part in key:
        if isinstance(part, int):
            text += f"[{part + 1}]"
        else:
            shown = part if _BARE.fullmatch(part) else f'"{part}"'
            text += f".{shown}" if text else shown
    return text


def _change(change: str) -> tuple[tuple[str, ...], Any]:
    """The key path and the value of a change.

    Raises:
        InputError: it is no line of TOML.
    """
    key, equals, value = change.partition("=")
    where = Where(CHANGE)
    if not equals:
        raise InputError(
            f"{change!r} gives no value", where=where, hint=f"{CHANGE} KEY=VALUE: open.rate=20"
        )
    try:
        # one by one, since of the whole line could not be seen how far the key goes
        path, said = _parsed(f"{key} = 0"), _parsed(f"value = {value}")
    except tomllib.TOMLDecodeError:
        path = said = {}
    if len(said) != 1:
        raise InputError(
            # the value may be a secret
            f"{key + equals!r} and its value are not TOML",
            where=where,
            hint="a text stands in quotes, and the shell takes away the outer ones:"
            f""" {CHANGE} 'name="my test"'""",
        )
    *_, deepest = _paths(path)
    return tuple(map(str, deepest)), said["value"]


def _parsed(text: str) -> dict[str, Any]:
    """What a text says.

    Raises:
        tomllib.TOMLDecodeError: it is not TOML, or such as nobody writes.
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise
    except RecursionError:
        raise tomllib.TOMLDecodeError("brackets are nested too deeply") from None
    except ValueError:
        # Python converts no more digits than sys.get_int_max_str_digits()
        raise tomllib.TOMLDecodeError("a number is too long") from None
    level: list[Any] = [table]
    for _ in range(_DEEPEST):
        level = [inner for one in level for inner in _items(one)]
    if level:
        raise tomllib.TOMLDecodeError("keys are nested too deeply")
    return table


def _items(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _not_toml(path: Path, error: tomllib.TOMLDecodeError) -> InputError:
    # tomllib tells the place only in its text, until Python 3.14
    line = re.search(r" \(at line (\d+),", str(error))
    where = Where(str(path), int(line[1]) if line else None)
    return InputError(f"not TOML: {error}", where=where)


def _lines(text: str) -> dict[KeyPath, int]:
    """Where each value of a valid file stands."""
    found: dict[KeyPath, int] = {}
    tables: dict[KeyPath, int] = {}
    table: KeyPath = ()
    for begins, statement in _statements(text):
        said = tomllib.loads(statement)
        if statement.startswith("["):
            table = _opened(said, tables)
            said = {}
            found.setdefault(table, begins)
            if table and isinstance(table[-1], int):
                found.setdefault(table[:-1], begins)
        for key in _paths(said):
            found.setdefault((*table, *key), begins)
    return found


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """The statements of a valid file, and the line on which each begins.

    One ends with the first end of a line that is in no string and in no brackets.
    """
    line, depth, begin = 1, 0, 0
    for token in _TOKEN.finditer(text + "\n"):
        match token[0]:
            case "[" | "{":
                depth += 1
            case "]" | "}":
                depth -= 1
            case "\n" if not depth:
                statement = text[begin : token.start()]
                yield line, statement.strip(" \t\r")
                line += statement.count("\n") + 1
                begin = token.end()


def _opened(header: Mapping[str, Any], tables: dict[KeyPath, int]) -> KeyPath:
    """The key path of the table that a header opens.

    Args:
        header: the table as it would be if there were no other.
        tables: how many each array of tables has so far.
    """
    path: KeyPath = ()
    inner: Any = header
    while inner:
        (name, inner) = next(iter(inner.items()))
        path = (*path, name)
        if isinstance(inner, list):
            tables[path] = tables.get(path, 0) + 1
            inner = inner[0]
        if path in tables:
            path = (*path, tables[path] - 1)
    return path


def _paths(value: Any) -> Iterator[KeyPath]:
    items: Iterator[tuple[str | int, Any]]
    match value:
        case dict():
            items = iter(value.items())
        case list():
            items = iter(enumerate(value))
        case _:
            return
    for name, inner in items:
        yield (name,)
        for path in _paths(inner):
            yield (name, *path)
