"""The layout of a file of mapping rules: which tables and keys there are, and what each may be.

The docstrings of keys are what the JSON Schema says of them.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationError,
    WithJsonSchema,
)

from bulkcmp.errors import InputError, InputErrors
from bulkcmp.inputs.filling import CellFilling, Filling
from bulkcmp.inputs.row import COLUMNS
from bulkcmp.inputs.spelling import nearest
from bulkcmp.inputs.table import Contradiction, SchemaGenerator, Table, one_of, readable, refusal
from bulkcmp.inputs.toml import read_toml
from bulkcmp.inputs.violation import problems_of

_TESTS: Final = ("equals", "matches", "present")


def _check_pattern(text: str) -> None:
    try:
        re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        raise InputError(f"it is no regular expression: {error}") from None


def _check_templates(texts: str | list[str]) -> str | list[str]:
    for text in [texts] if isinstance(texts, str) else texts:
        try:
            Filling(text, lambda _: str)
        except InputError as error:
            raise refusal(error.what, error.hint) from None
    return texts


def _check_texts(value: Any) -> Any:
    if isinstance(value, str) or (
        isinstance(value, list) and value and all(isinstance(text, str) for text in value)
    ):
        return value
    raise refusal("it must be a text in quotes, or a list of them", None)


_Texts = Annotated[
    # tried one after the other, the two would have errors of their own
    str | list[str],
    PlainValidator(_check_texts),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]
_Templates = Annotated[_Texts, AfterValidator(_check_templates)]
_Pattern = Annotated[str, readable(_check_pattern)]
_Name = Annotated[str, Field(min_length=1), AfterValidator(str.lower)]
"""Of an attribute; case does not matter."""


class ConditionTable(Table):
    """What a record is asked."""

    model_config = ConfigDict(json_schema_extra=one_of(*_TESTS))

    attribute: _Name
    """Whose values are looked at, as the source has them."""
    equals: _Texts | None = None
    """One of these texts is one of its values."""
    matches: _Pattern | None = None
    """A regular expression that is one of its values, as a whole."""
    present: bool | None = None
    """Whether it has a value."""

    @classmethod
    def contradictions(cls, table: Mapping[str, Any]) -> Iterator[Contradiction]:
        if len(table.keys() & set(_TESTS)) != 1:
            yield Contradiction(
                "a condition is equals, matches or present",
                'write { attribute = "ou", equals = "Sales" }',
            )


class ReplacementTable(Table):
    """What is put in the place of some characters."""

    model_config = ConfigDict(populate_by_name=True)

    pattern: _Pattern
    """A regular expression; whatever it finds is replaced."""
    by: str
    """The text that takes its place; \\1 is the first group."""

    @classmethod
    def contradictions(cls, table: Mapping[str, Any]) -> Iterator[Contradiction]:
        pattern, by = table.get("pattern"), table.get("by")
        if isinstance(pattern, str) and isinstance(by, str):
            try:
                re.compile(pattern).sub(by, "")
            except (re.error, IndexError, RecursionError, OverflowError) as error:
                yield Contradiction(f"it can't replace: {error}", key=("by",))


class AttributeTable(Table):
    """How the values of an attribute are treated, in the order of these keys."""

    origin: _Templates | None = Field(None, alias="from")
    """A template of other attributes, {givenname}.{sn}, or a list of them, of which the first
    counts that gives a value; by default it is its own values."""
    several: Literal["refuse", "first", "all"] = "refuse"
    """What is done where it has several values: the record is rejected, the first counts, or all
    do."""
    transliterate: bool = False
    """Write it in ASCII: Ł becomes L, and 北 Bei. Needs the extra mapping."""
    case: Literal["lower", "upper", "title"] | None = None
    """Write it in these letters."""
    replace: list[ReplacementTable] = Field([])
    """Replace what regular expressions find, one after the other."""
    truncate: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """Keep as many characters."""
    default: Annotated[str, Field(min_length=1)] | None = None
    """The value where there is none."""
    unique: Literal["reject", "number"] | None = None
    """What is done where a record before had the same value: it is rejected, or -2, -3 and so on
    is put behind it."""

    @classmethod
    def contradictions(cls, table: Mapping[str, Any]) -> Iterator[Contradiction]:
        if table.get("several") == "all" and "unique" in table:
            yield Contradiction(
                "of several values none is the one that is unique",
                'write several = "first"',
                ("unique",),
            )
        if table.get("transliterate") is True and find_spec("anyascii") is None:
            yield Contradiction(
                "transliteration is not installed",
                "pip install 'bulkcmp[mapping]'",
                ("transliterate",),
            )


class Rules(Table):
    """How records become rows of a population."""

    by_name: bool = False
    """Whether attributes that are named as columns are these columns, where [columns] does not
    say otherwise."""
    unique: list[str] = Field([])
    """Columns in which no two rows may have the same."""
    keep: list[ConditionTable] = Field([])
    """A record is left out unless it meets all of these."""
    skip: list[ConditionTable] = Field([])
    """A record is left out if it meets one of these."""
    attributes: dict[_Name, AttributeTable] = Field({})
    """How values are treated before they are filled in, by the attribute; from the first to the
    last, so that one can be made of those before it."""
    columns: dict[str, _Texts] = Field({})
    """The columns of the population: templates of attributes. {mail?} may be missing, {dn!s} is
    put in as it stands. A subject may be a list of RDNs, and sans and the like of entries."""

    @classmethod
    def contradictions(cls, table: Mapping[str, Any]) -> Iterator[Contradiction]:
        columns = table.get("columns")
        if not columns and table.get("by_name") is not True:
            yield Contradiction(
                "there are no columns",
                'write [columns] and id = "{uid}" in it, or by_name = true at the top',
            )
        if isinstance(columns, dict):
            yield from _wrong_columns(columns)
        unique = table.get("unique")
        for place, name in enumerate(unique if isinstance(unique, list) else ()):
            if isinstance(name, str) and name not in COLUMNS:
                hint = nearest(name, COLUMNS)
                yield Contradiction(f"unknown column {name!r}", hint, ("unique", place))

    def digest(self) -> str:
        """SHA-256, hex, of what they say, however the file is written."""
        return hashlib.sha256(self.model_dump_json(by_alias=True).encode()).hexdigest()


def _wrong_columns(columns: Mapping[str, Any]) -> Iterator[Contradiction]:
    for name, texts in columns.items():
        key = ("columns", name)
        if name not in COLUMNS:
            yield Contradiction(f"unknown column {name!r}", nearest(name, COLUMNS), key)
        elif isinstance(texts, str) or (
            isinstance(texts, list) and all(isinstance(text, str) for text in texts)
        ):
            try:
                CellFilling(name, texts)
            except InputError as error:
                yield Contradiction(error.what, error.hint, key)


def read_rules(path: Path) -> Rules:
    """Read mapping rules, and check all of them.

    Raises:
        InputErrors: something in them is wrong: all of it is listed.
        InputError: the file can't be read, or is not TOML.
    """
    file = read_toml(path)
    try:
        return Rules.model_validate(file.table)
    except ValidationError as error:
        problems = sorted(problems_of(error, file, Rules), key=_line)
        raise InputErrors(f"{path}: the rules can't be used", tuple(problems)) from None


def rules_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of mapping rules, for editors."""
    schema = Rules.model_json_schema(schema_generator=SchemaGenerator)
    return {"$schema": SchemaGenerator.schema_dialect, **schema}


def _line(problem: InputError) -> int:
    return (problem.where is not None and problem.where.line) or 0
