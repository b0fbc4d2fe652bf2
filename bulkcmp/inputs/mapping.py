"""Mapping: what has records of any attributes, as a source of rows of a population."""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import count
from typing import Any, Final

from bulkcmp.errors import InputError, Where
from bulkcmp.inputs.filling import CellFilling, Filling
from bulkcmp.inputs.row import COLUMNS
from bulkcmp.inputs.rules import AttributeTable, ConditionTable, Rules
from bulkcmp.inputs.source import Record, Source
from bulkcmp.inputs.toml import written

_Values = dict[str, tuple[str, ...]]

_CASES: Final[Mapping[str, Callable[[str], str]]] = {
    "lower": str.lower,
    "upper": str.upper,
    "title": str.title,
}


class MappedSource:
    """The records of a source as rows: the attributes of its records are columns.

    Records that the rules leave out are none of it, and the others are numbered anew. What a rule
    refuses is a problem of the record.

    Attributes:
        name: that of the source.
        folder: that of the source: paths in templates are relative to it.
        left_out: how many records the rules left out, in the pass that was the last to begin.
    """

    def __init__(self, source: Source, rules: Rules) -> None:
        self._source = source
        self._rules = rules
        self.name = source.name
        self.folder = source.folder
        self.left_out = 0
        self._keep = [_condition(table) for table in rules.keep]
        self._skip = [_condition(table) for table in rules.skip]
        self._fillings = {name: CellFilling(name, texts) for name, texts in rules.columns.items()}

    @property
    def attributes(self) -> tuple[str, ...]:
        """Names of the columns.

        Raises:
            InputError: the source can't be read.
        """
        named = self._source.attributes if self._rules.by_name else ()
        return tuple(name for name in COLUMNS if name in self._fillings or name in named)

    def records(self) -> Iterator[Record]:
        """The rows, in the order of the source's records.

        Raises:
            InputError: the source can't be read.
        """
        self.left_out = 0
        treatments = [_Treatment(name, one) for name, one in self._rules.attributes.items()]
        seen: dict[str, dict[str, int]] = {name: {} for name in self._rules.unique}
        number = 0
        for record in self._source.records():
            if not record.problems and not self._is_wanted(record.values):
                self.left_out += 1
                continue
            number += 1
            yield self._row(record, number, treatments, seen)

    def digest(self) -> str:
        """SHA-256, hex, of the source's digest and the rules.

        Raises:
            InputError: the source can't be read.
        """
        both = f"{self._source.digest()}\n{self._rules.digest()}"
        return hashlib.sha256(both.encode()).hexdigest()

    def _is_wanted(self, values: Mapping[str, Sequence[str]]) -> bool:
        return all(meets(values) for meets in self._keep) and not any(
            meets(values) for meets in self._skip
        )

    def _row(
        self,
        record: Record,
        number: int,
        treatments: Iterable["_Treatment"],
        seen: Mapping[str, dict[str, int]],
    ) -> Record:
        place = record.place._replace(number=number)
        problems = [_again(problem, number) for problem in record.problems]
        cells: _Values = {}
        if self._rules.by_name:
            cells |= {name: texts for name, texts in record.values.items() if name in COLUMNS}
        if problems:
            return Record(place, cells, tuple(problems))
        values = dict(record.values)
        refused: dict[str, InputError] = {}
        for treatment in treatments:
            try:
                values[treatment.name] = treatment.treated(values)
            except InputError as error:
                refused[treatment.name] = error
        for name, filling in self._fillings.items():
            try:
                for used in filling.names:
                    self._check(used, values, refused)
                cells[name] = filling.texts(values)
            except InputError as error:
                where = place.where(name)
                problems.append(InputError(error.what, where=where, hint=error.hint))
        for name, before in seen.items():
            text = ",".join(cells.get(name, ()))
            if text and before.setdefault(text, number) != number:
                what = f"{name} {text!r} is not unique: row {before[text]} has it"
                problems.append(InputError(what, where=place.where(name)))
        cells = {name: texts for name, texts in cells.items() if texts}
        return Record(place, cells, tuple(problems))

    def _check(
        self, name: str, values: Mapping[str, Sequence[str]], refused: Mapping[str, InputError]
    ) -> None:
        """Make sure that the values of an attribute can be filled in."""
        if name in refused:
            raise refused[name]
        table = self._rules.attributes.get(name)
        if table is None:
            _refuse_several(name, values.get(name, ()))


class _Treatment:
    """What is done with the values of an attribute, in one pass over a source."""

    def __init__(self, name: str, table: AttributeTable) -> None:
        self.name = name
        self._table = table
        origins = [table.origin] if isinstance(table.origin, str) else table.origin or []
        self._origins = [Filling(text, lambda _: str) for text in origins]
        self._steps: list[Callable[[str], str]] = [str.strip]
        if table.transliterate:
            from anyascii import anyascii

            self._steps.append(anyascii)
        if table.case is not None:
            self._steps.append(_CASES[table.case])
        for one in table.replace:
            self._steps.append(partial(re.compile(one.pattern).sub, one.by))
        if table.truncate is not None:
            self._steps.append(partial(_truncated, table.truncate))
        self._seen: set[str] = set()
        self._next: dict[tuple[str, int], int] = {}

    def treated(self, values: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
        """
        Raises:
            InputError: there are several values, or the value is not unique.
        """
        found = list(values.get(self.name, ())) if not self._origins else self._made(values)
        if self._table.several == "first":
            found = found[:1]
        elif self._table.several == "refuse":
            _refuse_several(self.name, found)
        for step in self._steps:
            found = [step(text) for text in found]
        found = list(dict.fromkeys(text.strip() for text in found if text.strip()))
        if not found and self._table.default is not None:
            found = [self._table.default]
        if found and self._table.unique is not None:
            found = [self._unique(found[0])]
        return tuple(found)

    def _made(self, values: Mapping[str, Sequence[str]]) -> list[str]:
        for origin in self._origins:
            if all(values.get(name) for name in origin.required):
                found = origin.texts(values, drops=False)
                if any(text.strip() for text in found):
                    return found
        return []

    def _unique(self, text: str) -> str:
        if text in self._seen:
            if self._table.unique == "reject":
                raise InputError(f"{self.name} {text!r} is not unique: a row before has it")
            text = self._numbered(text)
        self._seen.add(text)
        return text

    def _numbered(self, text: str) -> str:
        for digits in count(1):
            room = len(text) if self._table.truncate is None else self._table.truncate - digits - 1
            if room < 1:
                break
            stem = text[:room]
            # where the last one ended: thousands may have one name
            begin = self._next.get((stem, digits), max(2, 10 ** (digits - 1)))
            for number in range(begin, 10**digits):
                self._next[stem, digits] = number + 1
                if (one := f"{stem}-{number}") not in self._seen:
                    return one
        raise InputError(f"{self.name} {text!r} is not unique, and no number is left that fits")


def _condition(table: ConditionTable) -> Callable[[Mapping[str, Sequence[str]]], bool]:
    name = table.attribute
    if table.present is not None:
        return lambda values: bool(values.get(name)) is table.present
    if table.matches is not None:
        pattern = re.compile(table.matches)
        return lambda values: any(map(pattern.fullmatch, values.get(name, ())))
    wanted = {table.equals} if isinstance(table.equals, str) else set(table.equals or ())
    return lambda values: not wanted.isdisjoint(values.get(name, ()))


def _refuse_several(name: str, values: Sequence[Any]) -> None:
    if len(values) > 1:
        raise InputError(
            f"{name} has {len(values)} values",
            hint=f'say [{written(("attributes", name))}] several = "first", or "all"',
        )


def _truncated(length: int, text: str) -> str:
    return text[:length]


def _again(problem: InputError, number: int) -> InputError:
    """A problem of a record, as one of a row."""
    where = problem.where
    if where is not None:
        where = Where(where.file, where.line, where.column, number, where.key)
    return InputError(problem.what, where=where, hint=problem.hint)
