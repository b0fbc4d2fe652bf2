"""Several sources as one."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from bulkcmp.inputs.material import PREFIX
from bulkcmp.inputs.row import COLUMNS, PATHS, SECRETS
from bulkcmp.inputs.settings import key_in, newkey_in, source_in
from bulkcmp.inputs.source import Record, Source


class SeveralSources:
    """The rows of several sources, one after the other, numbered anew.

    Attributes:
        name: those of all of them.
        folder: the working directory.
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = sources
        self.name = ", ".join(source.name for source in sources)
        self.folder = Path()

    @property
    def attributes(self) -> tuple[str, ...]:
        """Names of the columns that one of them has.

        Raises:
            InputError: a source can't be read.
        """
        named = dict.fromkeys(name for source in self._sources for name in source.attributes)
        known = [name for name in COLUMNS if name in named]
        return (*known, *(name for name in named if name not in COLUMNS))

    def records(self) -> Iterator[Record]:
        """The rows. A line is told with the file: by itself it would not say of which.

        Raises:
            InputError: a source can't be read.
        """
        number = 0
        for source in self._sources:
            for record in source.records():
                number += 1
                place = record.place
                file = place.file if place.line is None else f"{place.file}:{place.line}"
                values = {
                    name: tuple(anchored(source.folder, name, text) for text in texts)
                    for name, texts in record.values.items()
                }
                place = place._replace(file=file, line=None, number=number)
                yield Record(place, values, record.problems)

    def digest(self) -> str:
        """SHA-256, hex, of the digests of all.

        Raises:
            InputError: a source can't be read.
        """
        digests = "\n".join(source.digest() for source in self._sources)
        return hashlib.sha256(digests.encode()).hexdigest()


def anchored(folder: Path, column: str, text: str) -> str:
    """A cell, with a relative path made one from `folder`."""
    text = text.lstrip()
    if column in SECRETS:
        return source_in(folder, text)
    if column == "newkey":
        return newkey_in(folder, text)
    if column == "key":
        return key_in(folder, text)
    if column in PATHS and text and not text.startswith(PREFIX):
        return str(folder / text)
    return text
