"""Ranges: ids that follow one another, written as the brace expansion of a shell."""

import hashlib
import re
from collections.abc import Iterator, Sequence
from math import prod
from pathlib import Path
from typing import Final

from bulkcmp.errors import InputError
from bulkcmp.inputs.source import Place, Record

RANGE: Final = "range:"
"""What stands before a range that is written where a file might be."""

_MOST: Final = 1_000_000_000
"""Ids; nobody means more."""

_MOST_BRACES: Final = 50

_BRACES: Final = re.compile(r"\{([^{}]*)\}")
_NUMBERS: Final = re.compile(r"(-?[0-9]{1,18})\.\.(-?[0-9]{1,18})(?:\.\.(-?[0-9]{1,9}))?")
_LETTERS: Final = re.compile(r"([a-z])\.\.([a-z])|([A-Z])\.\.([A-Z])")


class _Numbers:
    """Whole numbers that follow one another, all as wide as the widest if one has a leading 0."""

    def __init__(self, first: str, last: str, step: str | None) -> None:
        begin, end = int(first), int(last)
        # as bash takes it: the sign of the step says nothing
        by = abs(int(step or 1)) or 1
        self._numbers = range(begin, end + 1, by) if begin <= end else range(begin, end - 1, -by)
        padded = any(re.match(r"-?0[0-9]", text) for text in (first, last))
        self._width = max(len(first), len(last)) if padded else 0

    def __len__(self) -> int:
        return len(self._numbers)

    def __iter__(self) -> Iterator[str]:
        return (f"{number:0{self._width}d}" for number in self._numbers)


_Piece = Sequence[str] | _Numbers


class RangeSource:
    """Ids that a text stands for: `dev-{000001..250000}`.

    As in bash, `{1..9}` counts, up or down, `{01..10}` with zeros in front, `{1..9..2}` by twos,
    `{a..f}` goes through letters, and `{a,b}` through texts; of several braces the last changes
    first.

    Attributes:
        name: the text.
        folder: the working directory.
        attributes: `id` alone.

    Raises:
        InputError: there are no braces, or such as are none of these.
    """

    attributes = ("id",)

    def __init__(self, text: str) -> None:
        self.name = f"{RANGE}{text}"
        self.folder = Path()
        self._text = text
        self._pieces = _pieces(text)
        size = prod(len(piece) for piece in self._pieces)
        if size > _MOST:
            raise InputError(f"--range: {text!r} stands for {size:,} ids; {_MOST:,} are allowed")

    def records(self) -> Iterator[Record]:
        """The ids, one after the other."""
        for number, identity in enumerate(_expanded(self._pieces, ""), start=1):
            yield Record(Place(self.name, None, number), {"id": (identity,)})

    def digest(self) -> str:
        """SHA-256 of the text, hex."""
        return hashlib.sha256(self._text.encode("utf-8", "surrogateescape")).hexdigest()


def _expanded(pieces: Sequence[_Piece], before: str) -> Iterator[str]:
    if not pieces:
        yield before
        return
    for text in pieces[0]:
        yield from _expanded(pieces[1:], before + text)


def _pieces(text: str) -> list[_Piece]:
    # every second part is what stood in braces
    parts = _BRACES.split(text)
    outside = parts[::2]
    if len(parts) == 1 or any("{" in part or "}" in part for part in outside):
        raise InputError(
            f"--range: {text!r} has no braces, or such as don't pair",
            hint="write dev-{000001..250000}, or several: {a,b}-{1..9}",
        )
    if len(outside) > _MOST_BRACES + 1:
        raise InputError(f"--range: more than {_MOST_BRACES} braces")
    return [_piece(part, text) if place % 2 else (part,) for place, part in enumerate(parts)]


def _piece(braces: str, text: str) -> _Piece:
    if numbers := _NUMBERS.fullmatch(braces):
        return _Numbers(numbers[1], numbers[2], numbers[3])
    if letters := _LETTERS.fullmatch(braces):
        first, last = (ord(one) for one in letters.groups() if one)
        way = 1 if first <= last else -1
        return [chr(code) for code in range(first, last + way, way)]
    if "," in braces:
        return braces.split(",")
    raise InputError(
        f"--range: {{{braces}}} in {text!r} is no range",
        hint="write {1..9}, {01..10}, {1..9..2}, {a..f} or {a,b}",
    )
