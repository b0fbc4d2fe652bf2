"""Templates: a default of the command line with `{column}` placeholders, filled in for each row."""

from collections.abc import Collection, Iterable, Mapping
from string import Formatter
from typing import NamedTuple

from bulkcmp.errors import InputError


class Template:
    """A text with `{name}` placeholders; `{{` and `}}` stand for the braces themselves.

    Args:
        text: what the user wrote.
        names: the placeholders that rows will have a value for.

    Raises:
        InputError: a placeholder is unknown, or the braces don't pair.
    """

    def __init__(self, text: str, names: Collection[str]) -> None:
        self.text = text
        self.fields: tuple[str, ...] = _fields(text, names)
        """The placeholders in it; empty for a text that is the same in every row."""

    def render(self, values: Mapping[str, str]) -> str:
        """Fill in the placeholders.

        Raises:
            InputError: the row has no value for one of them.
        """
        try:
            # _fields() let nothing but plain names through: no attribute access, no format spec
            return self.text.format_map(values)
        except KeyError as error:
            raise InputError(
                f"the template {self.text!r} needs column {error.args[0]}, which is empty here"
            ) from None


class Piece(NamedTuple):
    """A placeholder of a text, and what stands before it.

    Attributes:
        name: None after the last placeholder.
        spec, conversion: what follows the name after `:` and `!`; may be empty.
    """

    before: str
    name: str | None
    spec: str
    conversion: str

    @property
    def is_plain(self) -> bool:
        """Whether the placeholder is a name and nothing else."""
        return not self.spec and not self.conversion


def pieces(text: str) -> list[Piece]:
    """The placeholders of a text, and what stands between them.

    Raises:
        InputError: the braces don't pair.
    """
    try:
        parsed = list(Formatter().parse(text))
    except ValueError as error:
        raise InputError(
            f"{text!r} is not a template: {error}", hint="write {{ and }} for a brace itself"
        ) from None
    return [Piece(before, name, spec or "", bang or "") for before, name, spec, bang in parsed]


def unknown_placeholder(text: str, piece: Piece, known: Iterable[str]) -> InputError:
    """What to raise for a placeholder that means nothing in a text.

    Args:
        known: those that mean something, without their braces.
    """
    conversion = f"!{piece.conversion}" if piece.conversion else ""
    spec = f":{piece.spec}" if piece.spec else ""
    return InputError(
        f"unknown placeholder {{{piece.name}{conversion}{spec}}} in {text!r}",
        hint=f"placeholders are {', '.join(f'{{{name}}}' for name in known)}; "
        "write {{ and }} for a brace itself",
    )


def _fields(text: str, names: Collection[str]) -> tuple[str, ...]:
    fields = []
    for piece in pieces(text):
        if piece.name is None:
            continue
        if piece.name not in names or not piece.is_plain:
            raise unknown_placeholder(text, piece, names)
        fields.append(piece.name)
    return tuple(fields)
