"""Fields of a row: how a column's cells are read, and the default that stands for an empty one."""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Generic, ParamSpec, Protocol, TypeVar

from bulkcmp.errors import InputError
from bulkcmp.inputs.source import Place
from bulkcmp.inputs.template import Template
from bulkcmp.model import BadRow

P = ParamSpec("P")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Row:
    """A row while it is read.

    Attributes:
        cells: the text of each cell that is not empty, by column.
        values: what placeholders stand for.
        problems: what is wrong with it so far.
    """

    __slots__ = ("cells", "place", "problems", "values")

    def __init__(self, place: Place) -> None:
        self.place = place
        self.cells: dict[str, str] = {}
        self.values: dict[str, str] = {}
        self.problems: list[InputError] = []

    def add(self, column: str | None, what: str, *, hint: str | None = None) -> None:
        self.problems.append(InputError(what, where=self.place.where(column), hint=hint))

    def attempt(self, column: str, read: Callable[P, T], *args: P.args, **kw: P.kwargs) -> T | None:
        """Call `read`; an InputError of it becomes a problem of the column."""
        try:
            return read(*args, **kw)
        except InputError as error:
            self.add(column, str(error), hint=error.hint)
            return None

    def failed(self, *columns: str) -> bool:
        """Whether one of the columns has a problem already, which another would follow from."""
        return any(p.where is not None and p.where.column in columns for p in self.problems)

    def bad(self, identity: str) -> BadRow:
        return BadRow(self.place.number, self.place.row_line, identity, tuple(self.problems))


class Default(Protocol[T_co]):
    """A default: a constant where it has no fields."""

    @property
    def fields(self) -> tuple[str, ...]: ...

    def render(self, values: Mapping[str, str], /) -> T_co: ...


class Field(Generic[T]):
    """A column: how its cells are read, and what stands for an empty one.

    Raises:
        InputError: the default can't be used; the option that gave it is named.
    """

    __slots__ = ("_default", "_name", "_read", "constant")

    def __init__(
        self,
        name: str,
        read: Callable[[str], T],
        default: Callable[[], Default[T]] | None,
    ) -> None:
        self._name = name
        self._read = read
        self._default: Default[T] | None = None
        self.constant: T | None = None
        """The default, where it is the same in every row."""
        if default is not None:
            with blaming(name):
                given = default()
                if given.fields:
                    self._default = given
                else:
                    self.constant = given.render({})

    @property
    def varies(self) -> bool:
        """Whether the default is another in each row."""
        return self._default is not None

    def is_given(self, row: Row) -> bool:
        return self.constant is not None or self._default is not None or self._name in row.cells

    def is_own(self, row: Row) -> bool:
        """Whether the row has a value that other rows need not have."""
        return self._default is not None or self._name in row.cells

    def get(self, row: Row) -> T | None:
        """The row's value; None where there is none, or where it is wrong: then the row knows."""
        cell = row.cells.get(self._name)
        try:
            if cell is not None:
                return self._read(cell)
            if self._default is not None:
                return self._default.render(row.values)
        except InputError as error:
            origin = "" if cell is not None else f"{option_name(self._name)}: "
            row.add(self._name, f"{origin}{error}", hint=error.hint)
            return None
        return self.constant


class Filled(Generic[T]):
    """A default with placeholders, and how it is read once they are filled in.

    Args:
        in_path: the text is (perhaps) a path: what is filled in must not lead to another folder.
        quote: makes a value one that means nothing else in the text.
    """

    def __init__(
        self,
        text: str,
        names: Collection[str],
        read: Callable[[str], T],
        *,
        in_path: bool = False,
        quote: Callable[[str], str] = str,
    ) -> None:
        self._template = Template(text, names)
        self._read = read
        self._in_path = in_path
        self._quote = quote
        self.fields = self._template.fields

    def render(self, values: Mapping[str, str], /) -> T:
        if self._in_path:
            for name in self.fields:
                value = values.get(name, "")
                if "/" in value or "\\" in value or value in (".", ".."):
                    raise InputError(f"{name} is {value!r}, which can't be part of a path")
        quoted = {name: self._quote(values[name]) for name in self.fields if name in values}
        return self._read(self._template.render(quoted))


class Known(Generic[T]):
    """A default that is the same in every row."""

    fields = ()

    def __init__(self, value: T) -> None:
        self._value = value

    def render(self, _values: Mapping[str, str], /) -> T:
        return self._value


def option_name(name: str) -> str:
    """The command line's option of a setting, or of a column."""
    return "--" + name.replace("_", "-")


@contextmanager
def blaming(name: str) -> Iterator[None]:
    """Name the command line's option in an InputError."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{option_name(name)}: {error}", hint=error.hint) from None
