"""What is taken in of a source: rows that can be used, and what is wrong with the others."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bulkcmp.inputs.population import Population
from bulkcmp.inputs.row import Defaults
from bulkcmp.inputs.several import anchored
from bulkcmp.inputs.source import Source
from bulkcmp.model import BadRow, Secret

_SHOWN: Final = 10
"""Rows that are kept to be shown."""

_EXAMPLES: Final = 3
_MOST_KINDS: Final = 200

_PARTICULAR: Final = re.compile(r"'(?:[^'\\]|\\.)*'|\"[^\"]*\"|[0-9]+")
"""What differs between two problems of a kind."""

_ELSEWHERE: Final = frozenset(("secret", "regtoken", "authenticator", "out_pass"))
"""Columns of secrets, which are looked up when they are used."""


@dataclass(slots=True)
class Kind:
    """Problems that differ in their details.

    Attributes:
        column: empty where it is none's.
        count: of the problems.
        examples: the first of them.
        hint: of the first.
    """

    column: str
    hint: str
    count: int = 0
    examples: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Intake:
    """What one pass over a source told.

    Attributes:
        taken: rows that can be used.
        rejected: rows that can't.
        kinds: of the problems, by what those of one kind have in common.
        first: the first rows that can be used, by column.
    """

    taken: int = 0
    rejected: int = 0
    kinds: dict[tuple[str, str], Kind] = field(default_factory=dict)
    first: list[Mapping[str, str]] = field(default_factory=list)

    def rows(
        self, population: Population, folder: Path | None, reject: Callable[[BadRow], None]
    ) -> Iterator[Mapping[str, str]]:
        """The cells of each row that can be used, by column; all rows are counted.

        Args:
            folder: where the cells will stand: relative paths are made absolute unless the source
                stands in it too; None: they stay as they are.
            reject: given each row that can't be used.

        Raises:
            BulkcmpError: the source can't be read, or what `reject` raises.
        """
        stays = folder is None or folder.resolve() == population.folder.resolve()
        here = population.folder.absolute()
        for cells, row in population.judged():
            if isinstance(row, BadRow):
                self._add(row)
                reject(row)
                continue
            placed = cells if stays else {n: anchored(here, n, text) for n, text in cells.items()}
            self.taken += 1
            if len(self.first) < _SHOWN:
                self.first.append(placed)
            yield placed

    def _add(self, row: BadRow) -> None:
        self.rejected += 1
        for problem in row.problems:
            column = (problem.where.column if problem.where else None) or ""
            key = (column, _PARTICULAR.sub("…", problem.what))
            if key not in self.kinds and len(self.kinds) >= _MOST_KINDS:
                key = ("", "other problems")
            kind = self.kinds.setdefault(key, Kind(column, problem.hint or ""))
            kind.count += 1
            if len(kind.examples) < _EXAMPLES:
                kind.examples.append(str(problem))


def population_of(source: Source, environ: Mapping[str, str]) -> Population:
    """The rows of a source, judged by what they say themselves.

    What a run may say of all rows is not missed in them, and secrets are not looked up.

    Raises:
        InputError: the source can't be used.
    """
    defaults = Defaults(
        subject="/O=-", secret=Secret(b"-"), keys_supplied=True, foremost=_ELSEWHERE
    )
    return Population(source, defaults, environ)
