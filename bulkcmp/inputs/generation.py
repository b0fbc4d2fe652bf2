"""Populations that no file lists: each cell is made from a template of counters and random fields.

The same seed makes the same end entities, and each of them whatever became of the others.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import count, islice
from pathlib import Path
from string import ascii_lowercase, digits, hexdigits
from typing import Final, NamedTuple, TypeAlias
from uuid import UUID

from bulkcmp.errors import InputError, InputErrors, Where
from bulkcmp.inputs.row import COLUMNS, Defaults, RowReader
from bulkcmp.inputs.source import Place
from bulkcmp.inputs.spelling import nearest
from bulkcmp.inputs.template import Piece, pieces, unknown_placeholder
from bulkcmp.load.chance import Chance
from bulkcmp.load.scenario import GeneratedPopulation
from bulkcmp.model import BadRow, EndEntity, Operation

_ELSEWHERE: Final = {
    "cmd": "the steps of the lifecycles say the operations",
    "newkey": "the table keys says the type of all keys",
    "priority": "a load test takes end entities in their order",
    "out_pass": "a load test keeps no keys",
}
"""Columns that a load test has not, and why."""

GENERATED_COLUMNS: Final = tuple(name for name in COLUMNS if name not in _ELSEWHERE)

_EXAMPLES: Final = (
    "number", "number:06", "hex:8", "digits:6", "letters:5", "uuid", "oneof:SE|NO|DK",
)  # fmt: skip

_HEX: Final = hexdigits[:16]
_ALPHABETS: Final = {"hex": _HEX, "digits": digits, "letters": ascii_lowercase}

_LONGEST: Final = 64
"""Characters of a random field, and so the draws that one may take."""

_WIDTH: Final = re.compile(r"0[1-9][0-9]?")
_LENGTH: Final = re.compile(r"[1-9][0-9]?")

_FIELD: Final = "field"
_REPEATED: Final = "repeated"


class _User(NamedTuple):
    """An end entity while its cells are made.

    Attributes:
        number: from 1.
        draw: makes a number of [0, 1) of a turn.
        cells: made so far, by column.
    """

    number: int
    draw: Callable[[int], float]
    cells: dict[str, str]


_Part: TypeAlias = Callable[[_User], str]
"""A piece of a template."""


class _Template:
    """A text with placeholders; `{{` and `}}` stand for the braces themselves.

    `{number}` counts the end entities from 1, `{number:06}` with zeros in front of it. `{hex:8}`,
    `{digits:6}` and `{letters:5}` are as many random characters, `{uuid}` is a random UUID (RFC
    9562, 5.4), `{oneof:a|b}` one of some texts. Each placeholder is drawn for itself.

    Args:
        text: what the user wrote.
        turn: of its first draw.
        columns: whose cells may be filled in.

    Attributes:
        next_turn: of the first draw of another template.

    Raises:
        InputError: a placeholder is unknown, or the braces don't pair.
    """

    def __init__(self, text: str, turn: int, columns: Sequence[str]) -> None:
        self._parts: list[_Part] = []
        for piece in pieces(text):
            self._parts.append(partial(_literal, piece.before))
            if piece.name is None:
                continue
            part = _part(piece, turn, columns)
            if part is None:
                raise unknown_placeholder(text, piece, (*_EXAMPLES, *columns))
            self._parts.append(part)
            turn += _LONGEST
        self.next_turn = turn

    def render(self, user: _User) -> str:
        return "".join(part(user) for part in self._parts)


def _part(piece: Piece, turn: int, columns: Sequence[str]) -> _Part | None:
    """What a placeholder stands for; None where it is unknown."""
    name, spec = piece.name, piece.spec
    if piece.conversion:
        return None
    if name == "number" and (not spec or _WIDTH.fullmatch(spec)):
        return partial(_number, spec)
    if name == "uuid" and not spec:
        return partial(_uuid, turn)
    if name == "oneof" and spec:
        return partial(_one_of, spec.split("|"), turn)
    if name in _ALPHABETS and _LENGTH.fullmatch(spec) and int(spec) <= _LONGEST:
        return partial(_random, _ALPHABETS[name], int(spec), turn)
    if name is not None and name in columns and not spec:
        return partial(_cell, name)
    return None


def _literal(text: str, _user: _User) -> str:
    return text


def _cell(column: str, user: _User) -> str:
    return user.cells[column]


def _number(spec: str, user: _User) -> str:
    return format(user.number, spec)


def _one_of(texts: Sequence[str], turn: int, user: _User) -> str:
    return texts[int(user.draw(turn) * len(texts))]


def _random(alphabet: str, length: int, turn: int, user: _User) -> str:
    return "".join(_one_of(alphabet, turn + place, user) for place in range(length))


def _uuid(turn: int, user: _User) -> str:
    return str(UUID(_random(_HEX, 32, turn, user), version=4))


class Generation:
    """The rows of a generated population; they can be streamed several times.

    Args:
        defaults: for the columns that it lacks; relative paths in it are relative to the working
            directory.
        environ: where `env:` secrets are looked up.
        seed: of the random fields.

    Attributes:
        columns: names of the columns.

    Raises:
        InputErrors: columns or their templates can't be used: all of them are listed.
        InputError: a default can't be used, whatever the rows say.
    """

    def __init__(
        self,
        population: GeneratedPopulation,
        defaults: Defaults,
        environ: Mapping[str, str],
        seed: int,
    ) -> None:
        self._population = population
        self._chance = Chance(seed)
        self._templates, problems = read_columns(population.columns)
        if problems:
            raise InputErrors(
                f"{population.file}: the population can't be generated", tuple(problems.values())
            )
        self.columns = tuple(self._templates)
        self._reader = RowReader(Path(population.file).parent, self.columns, defaults, environ)

    def rows(self, begins: Callable[[int], Operation | None]) -> Iterator[EndEntity | BadRow]:
        """The end entities, without end where the population has no size.

        An end entity that comes again has the id and the fields that it had, and another number.

        Args:
            begins: the operation of the row with a number.
        """
        self._reader.forget_files()
        for number in islice(count(1), self._population.size):
            place = Place(self._population.file, self._population.line, number)
            cells = self._cells(self._user(number))
            yield self._reader.read(place, cells, {}, begins(number))

    def _user(self, number: int) -> int:
        """Which end entity a row is about: a new one, or one of those before."""
        chance, share = self._chance.uniform, self._population.repeated
        while number > 1 and chance(_REPEATED, number) < share:
            number = 1 + int(chance(_REPEATED, number, 1) * (number - 1))
        return number

    def _cells(self, number: int) -> dict[str, str]:
        user = _User(number, partial(self._chance.uniform, _FIELD, number), {})
        for column, template in self._templates.items():
            user.cells[column] = template.render(user)
        return user.cells


def refuse_columns(columns: Iterable[str], file: str) -> None:
    """Make sure that a file has no column that a load test has not.

    Raises:
        InputErrors: it has.
    """
    problems = [
        InputError(
            f"{name} is no column of a load test",
            where=Where(file, column=name),
            hint=f"leave it away: {_ELSEWHERE[name]}",
        )
        for name in columns
        if name in _ELSEWHERE
    ]
    if problems:
        raise InputErrors(f"{file}: it can't be the population of a load test", tuple(problems))


def read_columns(
    columns: Mapping[str, str],
) -> tuple[dict[str, _Template], dict[str, InputError]]:
    """The templates of a population's cells, and what is wrong with others, by column.

    The first is that of `id`, which the others can fill in; without one, it is the number.
    """
    templates: dict[str, _Template] = {}
    problems: dict[str, InputError] = {}
    turn = 0
    for name, text in {"id": "{number}", **columns}.items():
        if name in _ELSEWHERE:
            problems[name] = InputError(f"{name} is no column here", hint=_ELSEWHERE[name])
        elif name not in COLUMNS:
            hint = nearest(name, GENERATED_COLUMNS)
            problems[name] = InputError(f"unknown column {name!r}", hint=hint)
        else:
            try:
                templates[name] = _Template(text, turn, [] if name == "id" else ["id"])
            except InputError as error:
                problems[name] = error
            else:
                turn = templates[name].next_turn
    return templates, problems
