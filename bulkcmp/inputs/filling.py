"""Cells of a population made from a record's attributes: templates that no value can break out of.

A placeholder is the name of an attribute, `{mail}`; `{mail?}` may be missing, and `{dn!s}` is put
in as it stands, for attributes that are a whole DN or a whole list of names already.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final, NamedTuple
from urllib.parse import quote

from bulkcmp.errors import InputError
from bulkcmp.inputs.entry import escape
from bulkcmp.inputs.name import NameTemplate, escaper
from bulkcmp.inputs.row import LISTS, PATHS, SECRETS
from bulkcmp.inputs.san import SanTemplate
from bulkcmp.inputs.secret import in_list
from bulkcmp.inputs.spelling import similar
from bulkcmp.inputs.template import pieces, unknown_placeholder
from bulkcmp.token.uri import is_uri

_SUBJECT: Final = "subject"
_SANS: Final = "sans"
_OLDCERT: Final = "oldcert"

_OPTIONAL: Final = "?"
_AS_IT_IS: Final = "s"
"""The conversion of a placeholder whose value is not quoted."""
_SHOWN: Final = 40
"""Characters of a value that a message shows."""

_SCHEME: Final = re.compile(r"(?:pass|env|file|list):")
_DIR_NAME_SPECIAL: Final = re.compile(r"[\\/+,\s]")
_DIR_NAME: Final = re.compile(r"dirname:/", re.IGNORECASE)

Quote = Callable[[str], str]
"""Makes a value one that means nothing else where it is put.

Raises:
    InputError: it can't stand there.
"""


class _Part(NamedTuple):
    """A placeholder, and what stands before it."""

    before: str
    name: str | None
    is_optional: bool = False
    quote: Quote = str


class Filling:
    """A text with placeholders for attributes, which may have several values.

    Args:
        text: what the user wrote.
        quote: of the values; given whether one is the first of the text.
        bare: values keep the white space around them.

    Attributes:
        names: of the attributes.
        required: of those that may not be missing.

    Raises:
        InputError: a placeholder is malformed, or the braces don't pair.
    """

    def __init__(self, text: str, quote: Callable[[bool], Quote], *, bare: bool = False) -> None:
        self._parts: list[_Part] = []
        self._is_bare = bare
        so_far = ""
        for before, name, spec, conversion in pieces(text):
            so_far += before
            if name is None:
                self._parts.append(_Part(before, None))
                continue
            plain = name.removesuffix(_OPTIONAL).strip().lower()
            if not plain or spec or conversion not in ("", _AS_IT_IS):
                piece = next(one for one in pieces(text) if one.name == name)
                raise unknown_placeholder(text, piece, ("attribute", "attribute?", "attribute!s"))
            own = str if conversion else quote(not so_far.strip())
            self._parts.append(_Part(before, plain, name.endswith(_OPTIONAL), own))
            so_far += "x"
        self.names = tuple(part.name for part in self._parts if part.name is not None)
        self.required = tuple(
            part.name for part in self._parts if part.name is not None and not part.is_optional
        )

    def texts(self, values: Mapping[str, Sequence[str]], *, drops: bool) -> list[str]:
        """The text filled in, once for each value of an attribute that has several.

        Args:
            drops: there is no text where an optional value is missing, instead of one without it.

        Raises:
            InputError: a value is missing or can't stand where it is put, or two attributes have
                several values.
        """
        made = [""]
        for before, name, is_optional, quoted in self._parts:
            made = [text + before for text in made]
            if name is None:
                continue
            found = values.get(name, ())
            if not found:
                if not is_optional:
                    raise _missing(name, values)
                if drops:
                    return []
                continue
            if len(made) > 1 and len(found) > 1:
                raise InputError("two attributes of one text have several values")
            ready = [quoted(one if self._is_bare else one.strip()) for one in found]
            made = [text + one for text in made for one in ready]
        return made


class CellFilling:
    """A cell of a column, made from a template, or from a list of them.

    Each template of a list is an RDN of a subject, or an entry of a list such as `sans`; one that
    lacks an optional value is left away, and one whose attribute has several values stands as many
    times.

    Args:
        column: one of `COLUMNS`.
        texts: what the user wrote.

    Attributes:
        names: of the attributes.

    Raises:
        InputError: a template can't be used.
    """

    def __init__(self, column: str, texts: str | Sequence[str]) -> None:
        self._column = column
        self._is_list = not isinstance(texts, str)
        written = [texts] if isinstance(texts, str) else list(texts)
        if self._is_list and column != _SUBJECT and column not in LISTS:
            raise InputError(f"{column} is one text, and no list", hint=f'write {column} = "…"')
        self._fillings = [self._filling(text) for text in written]
        self.names = tuple(name for filling in self._fillings for name in filling.names)

    def texts(self, values: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
        """What the cell says; several texts where the column is of lists, or of the certificates
        that a user had, none if it is empty.

        Raises:
            InputError: as `Filling.texts`, or there are several where one is wanted.
        """
        drops = self._is_list or self._column in LISTS
        made = [
            text
            for filling in self._fillings
            for text in filling.texts(values, drops=drops)
            if text.strip()
        ]
        if self._is_list and self._column == _SUBJECT:
            return ("/" + "/".join(made),) if made else ()
        if len(made) > 1 and self._column not in (*LISTS, _OLDCERT):
            raise InputError(f"{self._column} would be one of {len(made)} texts")
        return tuple(made)

    def _filling(self, text: str) -> Filling:
        column = self._column
        if column == _SUBJECT:
            whole = f"/{text}" if self._is_list else text
            filling = Filling(text, lambda _: escaper(whole))
            if not _has_as_it_is(text):
                NameTemplate(_plain(whole), filling.names)
            return filling
        if column in LISTS:
            filling = Filling(text, partial(_entry_quote, text))
            if column == _SANS and not _has_as_it_is(text):
                SanTemplate(_plain(text), filling.names)
            return filling
        if column in SECRETS:
            is_made = any(name is not None for _, name, _, _ in pieces(text))
            if is_made and not _SCHEME.match(text) and not _has_as_it_is(text):
                raise InputError(
                    "it says not where the secret is", hint="begin with pass:, env:, file: or list:"
                )
            if text.startswith("list:"):
                return _list_filling(text)
            in_path = text.startswith("file:")
            return Filling(text, lambda _: _in_path if in_path else str, bare=not in_path)
        if is_uri(text):
            return Filling(text, lambda _: partial(quote, safe=""))
        return Filling(text, lambda _: _in_path if column in PATHS else str)


def _list_filling(text: str) -> Filling:
    """Of a list of passwords, in which values are names."""
    path, hash_sign, _ = text.partition("#")
    if not hash_sign or any(name is not None for _, name, _, _ in pieces(path)):
        raise InputError("one list has all passwords", hint="write list:PATH#{ATTRIBUTE}")
    return Filling(text, lambda _: in_list)


def _plain(text: str) -> str:
    """A template as those of the command line are: each placeholder is a name."""
    return "".join(
        before.replace("{", "{{").replace("}", "}}")
        + ("" if name is None else f"{{{name.removesuffix(_OPTIONAL).strip().lower()}}}")
        for before, name, _, _ in pieces(text)
    )


def _has_as_it_is(text: str) -> bool:
    return any(conversion for _, _, _, conversion in pieces(text))


def _entry_quote(text: str, is_first: bool) -> Quote:
    if _DIR_NAME.match(text):
        return _in_dir_name
    return _first if is_first else escape


def _in_dir_name(value: str) -> str:
    # the DN undoes the escapes of the entry too
    return _DIR_NAME_SPECIAL.sub(r"\\\g<0>", value)


def _first(value: str) -> str:
    """A value that begins an entry: it is no prefix of it, nor `critical`."""
    escaped = escape(value)
    return escaped if escaped.startswith("\\") else f"\\{escaped}"


def _in_path(value: str) -> str:
    if "/" in value or "\\" in value or value in (".", ".."):
        shown = value if len(value) <= _SHOWN else f"{value[:_SHOWN]}…"
        raise InputError(
            f"{shown!r} can't be part of a path",
            hint="{ATTRIBUTE!s} puts a whole path, or base64:…, in as it stands",
        )
    return value


def _missing(name: str, values: Mapping[str, Sequence[str]]) -> InputError:
    meant = similar(name, (other for other, texts in values.items() if texts))
    return InputError(
        f"there is no {name}",
        hint=f"did you mean {meant!r}?"
        if meant
        else f"{{{name}?}} may be missing, or have a default",
    )
