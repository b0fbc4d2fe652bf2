"""What pydantic finds wrong with a table, in the words of this program."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from bulkcmp.errors import InputError
from bulkcmp.inputs.layout import REFUSED, SchemaGenerator
from bulkcmp.inputs.spelling import nearest
from bulkcmp.inputs.toml import KeyPath, TomlFile

_MEANT: Final[Mapping[str, str]] = {
    "int_type": "it must be a whole number",
    "float_type": "it must be a number",
    "finite_number": "it must be a finite number",
    "bool_type": "it must be true or false",
    "string_type": "it must be a text in quotes",
    "list_type": "it must be a list, [...]",
    "dict_type": "it must be a table",
    "model_type": "it must be a table",
    "literal_error": "it must be {expected}",
    "greater_than": "it must be above {gt:,}",
    "greater_than_equal": "it must be {ge:,} or more",
    "less_than": "it must be below {lt:,}",
    "less_than_equal": "it must be {le:,} or less",
    "string_too_short": "it is empty",
    "too_short": "it must have {min_length} or more items, and has {actual_length}",
    "too_long": "it must have {max_length} items, and has {actual_length}",
}


def problems_of(
    error: ValidationError, file: TomlFile, model: type[BaseModel]
) -> Iterator[InputError]:
    """Each problem, with its place and what would be right.

    Args:
        file: its table is what does not fit `model`.
    """
    for one in error.errors(include_url=False, include_input=False):
        what, hint = _said(one, model)
        yield InputError(what, where=file.where(*one["loc"]), hint=hint)


def _said(one: ErrorDetails, model: type[BaseModel]) -> tuple[str, str | None]:
    """What is wrong, and a hint."""
    kind, context, key = one["type"], one.get("ctx", {}), one["loc"]
    if kind == "extra_forbidden":
        return f"unknown key {key[-1]!r}", nearest(str(key[-1]), _keys(model, key[:-1]))
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


def _keys(model: type[BaseModel], key: KeyPath) -> Mapping[str, Any]:
    """The keys of the table at a key path, and the JSON Schema of each."""
    schema = model.model_json_schema(schema_generator=SchemaGenerator)

    def resolved(node: Mapping[str, Any]) -> Mapping[str, Any]:
        name = node.get("$ref", "").removeprefix("#/$defs/")
        return schema["$defs"][name] if name else node

    node: Mapping[str, Any] = schema
    for part in key:
        node = resolved(node["items"] if isinstance(part, int) else node["properties"][part])
    properties: Mapping[str, Any] = node["properties"]
    return properties
