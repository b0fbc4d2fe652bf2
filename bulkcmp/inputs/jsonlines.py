"""JSON Lines: an object on each line."""

import json
import re
from collections.abc import Iterator
from functools import cached_property
from typing import Any, Final

from bulkcmp.errors import InputError
from bulkcmp.inputs.file import unreadable
from bulkcmp.inputs.source import FileSource, Place, Record

_LINE_LIMIT: Final = 16 * 1024 * 1024
"""Octets; a line that is longer is no end entity."""

_NO_TEXT: Final = re.compile("[\0\ud800-\udfff]")

_NAMED: Final = {True: "true", False: "false"}


class JsonLinesSource(FileSource):
    """The objects of a file, one record each; empty lines are skipped.

    The keys of objects in an object are joined by dots: `user.mail`; a list gives an attribute
    several values. Numbers are texts as they are written, booleans are `true` and `false`, and null
    is no value. A key that stands twice gives two values.
    """

    @cached_property
    def attributes(self) -> tuple[str, ...]:
        """All that an object of the file has.

        Raises:
            InputError: the file can't be read.
        """
        names: dict[str, None] = {}
        for record in self.records():
            names |= dict.fromkeys(record.values)
        return tuple(names)

    def records(self) -> Iterator[Record]:
        """The objects in the order of the file.

        Raises:
            InputError: the file can't be read.
        """
        number = 0
        line = 1
        try:
            with self.path.open("rb") as file:
                while octets := file.readline(_LINE_LIMIT):
                    is_whole = len(octets) < _LINE_LIMIT or octets.endswith(b"\n")
                    if octets.strip() not in (b"", b"\xef\xbb\xbf"):
                        number += 1
                        place = Place(self.name, line, number)
                        yield _record(place, octets) if is_whole else _too_long(place)
                    while not is_whole:
                        rest = file.readline(_LINE_LIMIT)
                        is_whole = len(rest) < _LINE_LIMIT or rest.endswith(b"\n")
                    line += 1
        except (OSError, ValueError) as error:
            raise unreadable(self.path, error) from None


def _record(place: Place, octets: bytes) -> Record:
    values: dict[str, list[str]] = {}
    try:
        # objects as pairs, so that a key which stands twice is not lost
        found = json.loads(
            octets.strip().decode("utf-8-sig"),
            object_pairs_hook=tuple,
            parse_int=str,
            parse_float=str,
            parse_constant=str,
        )
        if not isinstance(found, tuple):
            raise InputError("no object", hint='write {"id": "dev1", "subject": "/CN=dev1"}')
        _flatten(found, "", values)
    except json.JSONDecodeError as error:
        return _bad(place, InputError(f"not JSON: {error.msg} (character {error.pos + 1})"))
    except UnicodeDecodeError:
        return _bad(place, InputError("not valid UTF-8", hint="save the file as UTF-8"))
    except RecursionError:
        return _bad(place, InputError("objects are nested too deeply"))
    except InputError as error:
        return _bad(place, error)
    return Record(place, {name: tuple(texts) for name, texts in values.items()})


def _flatten(value: Any, name: str, values: dict[str, list[str]]) -> None:
    match value:
        case tuple():
            for key, inner in value:
                _flatten(inner, f"{name}.{key.lower()}" if name else key.lower(), values)
        case list():
            for inner in value:
                _flatten(inner, name, values)
        case bool():
            values.setdefault(name, []).append(_NAMED[value])
        case str() if value:
            if _NO_TEXT.search(value):
                raise InputError(f"{name} has characters that are no text: {ascii(value)[:80]}")
            values.setdefault(name, []).append(value)


def _too_long(place: Place) -> Record:
    return _bad(place, InputError(f"the line is longer than {_LINE_LIMIT:,} octets"))


def _bad(place: Place, error: InputError) -> Record:
    return Record(place, {}, (InputError(error.what, where=place.where(), hint=error.hint),))
