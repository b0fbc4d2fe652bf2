"""Templates: a default of the command line with `{column}` placeholders, filled in for each row."""

from collections.abc import Collection, Mapping
from string import Formatter

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


def _fields(text: str, names: Collection[str]) -> tuple[str, ...]:
    try:
        parsed = [part[1:] for part in Formatter().parse(text)]
    except ValueError as error:
        raise InputError(
            f"{text!r} is not a template: {error}", hint="write {{ and }} for a brace itself"
        ) from None
    fields = []
    for field, spec, conversion in parsed:
        if field is None:
            continue
        if field not in names or spec or conversion:
            written = (
                field + (f"!{conversion}" if conversion else "") + (f":{spec}" if spec else "")
            )
            raise InputError(
                f"unknown placeholder {{{written}}} in {text!r}",
                hint=f"placeholders are {', '.join(f'{{{name}}}' for name in names)}; "
                "write {{ and }} for a brace itself",
            )
        fields.append(field)
    return tuple(fields)
