"""Templates of file names: where the files of a row go."""

import re
from collections.abc import Collection, Mapping
from typing import Final, NamedTuple

from bulkcmp.errors import InputError
from bulkcmp.filename import LITERAL, component, encoded
from bulkcmp.inputs.template import pieces, unknown_placeholder

_MAX_DEPTH: Final = 8

_PLACEHOLDER: Final = re.compile(r"(\w+)(?:\[(-?\d{1,4})?:(-?\d{1,4})?\])?")


class _Slice(NamedTuple):
    """A placeholder and what stands before it; `name` is None after the last one."""

    before: str
    name: str | None
    part: slice


class FileNameTemplate:
    """A path, relative and without suffix, with `{name}` placeholders, or `{name[:2]}` for a part
    of a value. What is filled in never leads to another folder.

    Args:
        text: what the user wrote.
        names: the placeholders that rows will have a value for.

    Raises:
        InputError: a placeholder is unknown, a part of the path is empty or has other characters
            than ASCII letters, digits, `.`, `_` and `-`, or there are too many folders.
    """

    def __init__(self, text: str, names: Collection[str]) -> None:
        self._text = text
        parts = text.split("/")
        if not all(parts):
            raise InputError(f"{text!r}: a part of the path is empty", hint=_HINT)
        if len(parts) > _MAX_DEPTH:
            raise InputError(f"{text!r} has more than {_MAX_DEPTH - 1} folders")
        self._parts = [_slices(part, names) for part in parts]
        self.fields = tuple(one.name for part in self._parts for one in part if one.name)
        if not self.fields:
            raise InputError(f"{text!r} is the same for every row", hint=_HINT)

    def render(self, values: Mapping[str, str], /) -> str:
        """Fill in the placeholders.

        Raises:
            InputError: the row has no value for one of them.
        """
        *folders, name = (self._filled(part, values) for part in self._parts)
        return "/".join((*(component(one, is_folder=True) for one in folders), component(name)))

    def _filled(self, part: list[_Slice], values: Mapping[str, str]) -> str:
        text = ""
        for one in part:
            text += one.before
            if one.name is None:
                continue
            value = values.get(one.name, "")
            if not value:
                raise InputError(
                    f"the template {self._text!r} needs column {one.name}, which is empty here"
                )
            text += encoded(value[one.part])
        return text


_HINT: Final = "write it as in '{id}' or '{profile}/{id[:2]}/{id}'"


def _slices(text: str, names: Collection[str]) -> list[_Slice]:
    found = []
    for piece in pieces(text):
        odd = next((one for one in piece.before if one not in LITERAL), None)
        if odd is not None:
            raise InputError(
                f"{odd!r} can't stand in a file name here",
                hint="ASCII letters, digits, `.`, `_` and `-` can, and / between folders",
            )
        if piece.name is None:
            found.append(_Slice(piece.before, None, slice(None)))
            continue
        match = _PLACEHOLDER.fullmatch(piece.name)
        if match is None or match[1] not in names or not piece.is_plain:
            raise unknown_placeholder(text, piece, names)
        begin, end = (int(one) if one else None for one in match.group(2, 3))
        found.append(_Slice(piece.before, match[1], slice(begin, end)))
    return found
