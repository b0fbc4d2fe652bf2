"""Which kind of source a file is: by what the user says, by its content, or by its suffix."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from bulkcmp.errors import InputError, Where
from bulkcmp.inputs.csv import CsvSource
from bulkcmp.inputs.file import unreadable
from bulkcmp.inputs.source import Source
from bulkcmp.inputs.spelling import nearest

_HEAD: Final = 4096
"""Octets of a file that are enough to recognise it."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How a source is to be read.

    Attributes:
        format: the name of its kind; None: it is recognised.
    """

    format: str | None = None


_RECOGNISED: Final = Reading()


class _Kind(NamedTuple):
    """A kind of source.

    Attributes:
        name: as of `--source-format`.
        recognises: whether a path is one; told the first octets of a file, none of a folder.
        open: makes the source.
    """

    name: str
    recognises: Callable[[Path, bytes], bool]
    open: Callable[[Path, Reading], Source]


_KINDS: Final = (
    # takes whatever no other does, and tells what is wrong with it
    _Kind("csv", lambda path, _: not path.is_dir(), lambda path, _: CsvSource(path)),
)

FORMATS: Final = tuple(kind.name for kind in _KINDS)
"""The names of all kinds."""


def open_source(path: Path, reading: Reading = _RECOGNISED) -> Source:
    """The source that a path names.

    Raises:
        InputError: it can't be read, or is of no kind that is known; or its kind finds the whole
            of it wrong.
    """
    if reading.format is not None and reading.format not in FORMATS:
        raise InputError(
            f"--source-format: unknown format {reading.format!r}",
            hint=nearest(reading.format, FORMATS),
        )
    head = _head(path)
    for kind in _KINDS:
        named = kind.name == reading.format
        if named or (reading.format is None and kind.recognises(path, head)):
            return kind.open(path, reading)
    raise unreadable(path, IsADirectoryError())


def _head(path: Path) -> bytes:
    if path.is_dir():
        return b""
    if path.exists() and not path.is_file():
        raise InputError(
            "not a regular file",
            where=Where(str(path)),
            hint="a population is read several times; write it to a file first",
        )
    try:
        with path.open("rb") as file:
            return file.read(_HEAD)
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from None
