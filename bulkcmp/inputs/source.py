"""Sources: whatever has records of end entities, streamed one by one, several times."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from bulkcmp.errors import InputError, Where
from bulkcmp.inputs.file import unreadable


class Place(NamedTuple):
    """Where a record stands.

    Attributes:
        file: as messages name it; of a folder or an archive, the member.
        line: on which it begins, from 1; None where there are no lines.
        number: of the record in the whole source, from 1.
    """

    file: str
    line: int | None
    number: int

    @property
    def row_line(self) -> int:
        """The line of the record's row: its number where there are no lines."""
        return self.number if self.line is None else self.line

    def where(self, column: str | None = None) -> Where:
        """The place of a value of the record, or of all of it."""
        return Where(self.file, self.line, column, self.number)


@dataclass(frozen=True, slots=True)
class Record:
    """What a source says of one end entity.

    Attributes:
        values: the texts of each attribute that is not empty, by its name in lower case, in their
            order.
        problems: why the record can't be used.
    """

    place: Place
    values: Mapping[str, tuple[str, ...]]
    problems: tuple[InputError, ...] = ()


class Source(Protocol):
    """What has records; opened once, it can be streamed several times.

    What is wrong with the whole of it is an InputError, which `attributes`, `records` and `digest`
    may raise; what is wrong with a record stands in the record.
    """

    @property
    def name(self) -> str:
        """What messages call it."""

    @property
    def folder(self) -> Path:
        """What relative paths in it are relative to."""

    @property
    def attributes(self) -> tuple[str, ...]:
        """Names of all that its records may have, in lower case; may take a pass over it."""

    def records(self) -> Iterator[Record]:
        """The records in their order, numbered from 1."""

    def digest(self) -> str:
        """SHA-256, hex, of all that its records come from."""


class FileSource:
    """What sources of a single file have in common.

    Attributes:
        name: the path, as the user gave it.
        folder: the one that the file is in.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = str(path)
        self.folder = path.parent

    def digest(self) -> str:
        """SHA-256 of the file's bytes, hex.

        Raises:
            InputError: the file can't be read.
        """
        try:
            with self.path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise unreadable(self.path, error) from None
