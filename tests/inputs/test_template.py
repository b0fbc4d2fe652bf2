import pytest

from bulkcmp.errors import InputError
from bulkcmp.inputs.template import Template


def test_placeholders_are_filled_in() -> None:
    template = Template("{id}-{number}{{x}}", ["id", "number"])
    assert template.fields == ("id", "number")
    assert template.render({"id": "{number}", "number": "7"}) == "{number}-7{x}"


def test_a_text_without_placeholders_has_no_fields() -> None:
    assert Template("plain }}", []).fields == ()
    assert Template("plain }}", []).render({}) == "plain }"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("{nope}", "{nope}"),
        ("{}", "{}"),
        ("{0}", "{0}"),
        ("{id.upper}", "{id.upper}"),
        ("{id[0]}", "{id[0]}"),
        ("{id!r}", "{id!r}"),
        ("{id:>10}", "{id:>10}"),
    ],
)
def test_unknown_placeholders_are_refused_at_once(text: str, named: str) -> None:
    with pytest.raises(InputError) as caught:
        Template(text, ["id", "ref"])
    assert f"unknown placeholder {named}" in caught.value.what
    assert caught.value.hint is not None
    assert "{id}, {ref}" in caught.value.hint


@pytest.mark.parametrize("text", ["{id", "id}", "{", "{id}}"])
def test_unpaired_braces_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="is not a template"):
        Template(text, ["id"])


def test_a_missing_value_is_named() -> None:
    with pytest.raises(InputError, match="needs column ref, which is empty here"):
        Template("{ref}", ["ref"]).render({"id": "x"})
