"""utf8Pairs: RFC 4211, 7.1."""

import re
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkcmp.errors import InputError
from bulkcmp.inputs.reginfo import RegInfoTemplate, parse_reg_info


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("version?1", "version?1%"),
        (
            "version?1%corp_company?Example, Inc.%org_unit?Engineering%",
            "version?1%corp_company?Example, Inc.%org_unit?Engineering%",
        ),
        ("a?%3f%25%be?x", "a?%3f%25%be?x%"),
        ("note?{x}", "note?{x}%"),
        ("empty?%b?1", "empty?%b?1%"),
    ],
)
def test_pairs(text: str, pairs: str) -> None:
    assert parse_reg_info(text) == pairs


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a", "'a' is no pair"),
        ("?b", "'?b' is no pair"),
        ("a?b?c", "'a?b?c' is no pair"),
        ("a?b%1c?d", "'1c?d' is no pair"),
        ("a?b%c", "'c' is no pair"),
        ("a?b%a?c", "the name 'a' stands twice"),
    ],
)
def test_what_is_no_pair_is_named(text: str, why: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_reg_info(text)
    assert why in caught.value.what


@given(st.dictionaries(st.sampled_from(["x", "y"]), st.text(max_size=20)))
def test_what_is_filled_in_comes_out_as_one_value(values: dict[str, str]) -> None:
    values = {"x": "", "y": ""} | values
    template = RegInfoTemplate("first?{x}-%second?{y}", ["x", "y"])
    assert template.fields == ("x", "y")
    first, second, rest = re.split("%(?!25|3f)", template.render(values))
    assert rest == ""
    assert [unquote(pair.partition("?")[2]) for pair in (first, second)] == [
        f"{values['x']}-",
        values["y"],
    ]
