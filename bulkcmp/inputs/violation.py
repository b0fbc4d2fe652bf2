"""What pydantic finds wrong with a table, in the words of this program."""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from bulkcmp.errors import InputError
from bulkcmp.inputs.shorthand import as_number, as_text, in_seconds, quoted
from bulkcmp.inputs.spelling import nearest
from bulkcmp.inputs.table import REFUSED, SchemaGenerator
from bulkcmp.inputs.toml import KeyPath, TomlFile

_MEANT: Final[Mapping[str, str]] = {
    "int_type": "it must be a whole number",
    "float_type": "it must be a number",
    "finite_number": "it must be a finite number",
    "bool_type": "it must be true or false",
    "string_type": "it must be a text in quotes",
    "list_type": "it must be a list, [...]",
    "dict_type": "it must be a table",
    "literal_error": "it must be {expected}",
    "greater_than": "it must be above {gt:,}",
    "greater_than_equal": "it must be {ge:,} or more",
    "less_than": "it must be below {lt:,}",
    "less_than_equal": "it must be {le:,} or less",
    "string_too_short": "it is empty",
    "too_short": "it must have {min_length} or more items, and has {actual_length}",
    "too_long": "it must have {max_length} items, and has {actual_length}",
}


_DEFS: Final = "#/$defs/"

_SECRET: Final = frozenset({"pass"})
"""Keys whose values are not shown."""


def problems_of(
    error: ValidationError, file: TomlFile, model: type[BaseModel]
) -> Iterator[InputError]:
    """Each problem, with its place and what would be right.

    Args:
        file: its table is what does not fit `model`.
    """
    for one in error.errors(include_url=False, include_input=False):
        what, hint = _said(one, model)
        hint = hint or _meant(one, file.table, model)
        yield InputError(what, where=file.where(*one["loc"]), hint=hint)


def _said(one: ErrorDetails, model: type[BaseModel]) -> tuple[str, str | None]:
    """What is wrong, and a hint."""
    kind, context, key = one["type"], one.get("ctx", {}), one["loc"]
    if kind == "extra_forbidden":
        near = nearest(str(key[-1]), _keys(model, key[:-1]))
        return f"unknown key {key[-1]!r}", _elsewhere(key, model) or near
    if kind == "missing":
        meaning = _keys(model, key[:-1])[str(key[-1])].get("description")
        return f"{key[-1]} is missing", meaning
    if kind == REFUSED:
        return context["what"], context["hint"]
    # a whole number is written as one, whatever its type
    shown = {
        name: int(value) if isinstance(value, float) and value.is_integer() else value
        for name, value in context.items()
    }
    return _MEANT[kind].format(**shown), None


def _elsewhere(key: KeyPath, model: type[BaseModel]) -> str | None:
    """The tables that have a key which the whole file has not."""
    if len(key) > 1:
        return None
    schema = _schema(model)
    tables = [
        f"[{name}]"
        for name, node in schema["properties"].items()
        if "$ref" in node
        and key[0] in schema["$defs"][node["$ref"].removeprefix(_DEFS)]["properties"]
    ]
    return f"it is a key of {' and '.join(tables)}" if tables else None


def _meant(one: ErrorDetails, table: Any, model: type[BaseModel]) -> str | None:
    """How to write a value of the wrong type, where that can be told."""
    *outer, name = one["loc"]
    value = table
    for part in one["loc"]:
        value = value[part]
    if name in _SECRET or isinstance(name, int):
        return None
    right: str | None = None
    match one["type"]:
        case "float_type" | "int_type":
            meaning = _keys(model, tuple(outer))[name].get("description", "")
            right = in_seconds(value) if "econds" in meaning else as_number(value)
            if one["type"] == "int_type" and not (right or "").isdigit():
                return None
        case "string_type":
            right = as_text(value)
        case "literal_error" if isinstance(value, str) and f"'{value.lower()}'" in str(one["ctx"]):
            right = quoted(value.lower())
        case "list_type" if isinstance(value, str):
            right = f"[{quoted(value)}]"
        case "list_type" if isinstance(value, dict) and not outer:
            return f"write [[{name}]], and the name of each in it"
    return None if right is None else f"write {name} = {right}"


@cache
def _schema(model: type[BaseModel]) -> Mapping[str, Any]:
    return model.model_json_schema(schema_generator=SchemaGenerator)


def _keys(model: type[BaseModel], key: KeyPath) -> Mapping[str, Any]:
    """The keys of the table at a key path, and the JSON Schema of each."""
    schema = _schema(model)

    def resolved(node: Mapping[str, Any]) -> Mapping[str, Any]:
        name = node.get("$ref", "").removeprefix(_DEFS)
        return schema["$defs"][name] if name else node

    def within(node: Mapping[str, Any], part: str | int) -> Mapping[str, Any]:
        if isinstance(part, int):
            return resolved(node["items"])
        # a table whose keys are names that the user gives has no properties
        return resolved(node.get("properties", {}).get(part) or node["additionalProperties"])

    node: Mapping[str, Any] = schema
    for part in key:
        node = within(node, part)
    properties: Mapping[str, Any] = node["properties"]
    return properties
