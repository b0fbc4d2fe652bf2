"""Tables of TOML files as pydantic checks them: all that is wrong is told at once.

The docstrings of keys are what the JSON Schema says of them.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError
from pydantic_core.core_schema import NullableSchema, WithDefaultSchema

from bulkcmp.errors import InputError
from bulkcmp.inputs.toml import KeyPath

REFUSED: Final = "refused"
"""The type of the errors that are none of pydantic's: their context has `what` and `hint`."""

NO_TABLE: Final = "it must be a table"


class Contradiction(NamedTuple):
    """What is wrong with a table, though each of its keys may be right.

    Attributes:
        key: the path to the key that is to blame; empty for the table itself.
    """

    what: str
    hint: str | None = None
    key: KeyPath = ()


def refusal(what: str, hint: str | None) -> PydanticCustomError:
    """What a validator raises: `what` is wrong and the `hint` reach the user as they are."""
    return PydanticCustomError(REFUSED, "{what}", {"what": what, "hint": hint})


def readable(read: Callable[[str], object]) -> AfterValidator:
    """Of a text that something else than this layout reads."""

    def check(text: str) -> str:
        try:
            read(text)
        except InputError as error:
            raise refusal(error.what, error.hint) from None
        return text

    return AfterValidator(check)


class SchemaGenerator(GenerateJsonSchema):
    """Makes the JSON Schema of TOML, which knows no null: what may be left away is not required."""

    def nullable_schema(self, schema: NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: WithDefaultSchema) -> JsonSchemaValue:
        made = super().default_schema(schema)
        if made.get("default", ...) is None:
            del made["default"]
        return made

    def field_title_should_be_set(self, _schema: Any) -> bool:
        return False

    def sort(self, value: JsonSchemaValue, parent_key: str | None = None) -> JsonSchemaValue:
        """Keep the order of the keys; put what is said of each on one line."""
        return {name: _on_one_line(name, inner) for name, inner in value.items()}


def _on_one_line(name: str, value: Any) -> Any:
    if name == "description" and isinstance(value, str):
        return " ".join(value.split())
    if isinstance(value, dict):
        return {key: _on_one_line(key, inner) for key, inner in value.items()}
    return value


class Table(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )

    @classmethod
    def contradictions(cls, _table: Mapping[str, Any]) -> Iterator[Contradiction]:
        """What is wrong with a table as a whole; any of its values may be wrong besides."""
        return iter(())

    @classmethod
    def meant(cls, _value: Any) -> str | None:
        """What to write instead of something that is no table, where that can be told."""
        return None

    @model_validator(mode="wrap")
    @classmethod
    def _whole(cls, value: Any, validate: ModelWrapValidatorHandler[Self]) -> Self:
        """Find contradictions whatever else is wrong, so that all is told at once."""
        if isinstance(value, dict):
            contradictions = cls.contradictions(value)
        else:
            contradictions = iter([Contradiction(NO_TABLE, cls.meant(value))])
        found = [
            InitErrorDetails(type=refusal(one.what, one.hint), loc=one.key, input=None)
            for one in contradictions
        ]
        if not isinstance(value, dict):
            raise ValidationError.from_exception_data(cls.__name__, found)
        try:
            table = validate(value)
        except ValidationError as error:
            found[:0] = [_again(one) for one in error.errors(include_url=False)]
        else:
            if not found:
                return table
        raise ValidationError.from_exception_data(cls.__name__, found)


def _again(one: ErrorDetails) -> InitErrorDetails:
    """An error that was raised, to be raised with others."""
    context = one.get("ctx", {})
    if one["type"] == REFUSED:
        return InitErrorDetails(type=refusal(**context), loc=one["loc"], input=None)
    return InitErrorDetails(type=one["type"], loc=one["loc"], input=None, ctx=context)


def within(value: Any, *key: str | int) -> Any:
    """A value somewhere in a table that may be malformed; None where there is none."""
    for part in key:
        match value:
            case dict():
                value = value.get(part)
            case list() if isinstance(part, int) and part < len(value):
                value = value[part]
            case _:
                return None
    return value


def one_of(*names: str) -> dict[str, Any]:
    """The JSON Schema of a table that has one of some keys, and not two of them."""
    return {"oneOf": [{"required": [name]} for name in names]}
