"""utf8Pairs of a request's regInfo (RFC 4211, 7.1): `name?value%name?value%`."""

import re
from collections.abc import Collection, Mapping
from typing import Final

from bulkcmp.errors import InputError
from bulkcmp.inputs.template import Template

# a name does not begin with a digit, so that the '%' before it is no %xx of the value before
_NAME: Final = r"[^?%0-9][^?%]*"
# '?' and '%' stand as %3f and %25 in a value; every such code begins with a digit
_VALUE: Final = r"(?:[^?%]|%[0-9][0-9A-Fa-f])*"
_PAIR: Final = re.compile(rf"({_NAME})\?({_VALUE})(?:%|\Z)", re.DOTALL)


class RegInfoTemplate:
    """Pairs with placeholders in their values: what is filled in can't end a value.

    Raises:
        InputError: the text is not made of pairs, or a name stands twice; or as `Template`.
    """

    def __init__(self, text: str, names: Collection[str]) -> None:
        self._pairs: dict[str, Template] = {}
        at = 0
        while at < len(text):
            pair = _PAIR.match(text, at)
            if pair is None:
                raise InputError(
                    f"{text[at:]!r} is no pair of a name and a value",
                    hint="write name?value%name?value, and in a value %3f for ? and %25 for %;"
                    " a name does not begin with a digit",
                )
            if pair[1] in self._pairs:
                raise InputError(f"the name {pair[1]!r} stands twice")
            self._pairs[pair[1]] = Template(pair[2], names)
            at = pair.end()
        self.fields: tuple[str, ...] = tuple(
            field for template in self._pairs.values() for field in template.fields
        )
        """The placeholders in it."""

    def render(self, values: Mapping[str, str]) -> str:
        """The text of the UTF8Pairs with `values` filled in.

        Raises:
            InputError: a value is missing.
        """
        escaped = {
            name: value.replace("%", "%25").replace("?", "%3f") for name, value in values.items()
        }
        return "".join(
            f"{name}?{template.render(escaped)}%" for name, template in self._pairs.items()
        )


def parse_reg_info(text: str) -> str:
    """Read pairs without placeholders; each ends with its `%`.

    Raises:
        InputError: as `RegInfoTemplate`.
    """
    return RegInfoTemplate(text.replace("{", "{{").replace("}", "}}"), ()).render({})
