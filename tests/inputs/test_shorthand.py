import datetime as dt
from math import inf, nan
from typing import Any

import pytest

from bulkcmp.inputs.shorthand import as_number, as_text, in_seconds, is_number


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("5m", "300"),
        ("5 min", "300"),
        ("1.5h", "5400"),
        ("2 days", "172800"),
        ("250ms", "0.25"),
        ("1_000", "1000"),
        ("10S", "10"),
        (8, "8"),
        (2.5, "2.5"),
        (dt.time(0, 5), "300"),
        ("50/s", None),
        ("soon", None),
        ("-5s", None),
        ("9" * 400, None),
        (True, None),
        (nan, None),
        ([1], None),
    ],
)
def test_lengths_of_time_are_read_as_people_write_them(value: Any, seconds: str | None) -> None:
    assert in_seconds(value) == seconds


@pytest.mark.parametrize(
    ("value", "number"),
    [("50/s", "50"), ("33 %", "0.33"), ("7", "7"), (1e3, "1000"), ("5m", None), (False, None)],
)
def test_rates_and_shares_are_read_as_people_write_them(value: Any, number: str | None) -> None:
    assert as_number(value) == number


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (365, '"365"'),
        (1.5, '"1.5"'),
        (True, '"yes"'),
        (False, '"no"'),
        (dt.date(2027, 1, 31), '"2027-01-31"'),
        (["a"], None),
        ({}, None),
    ],
)
def test_texts_want_quotes(value: Any, text: str | None) -> None:
    assert as_text(value) == text


def test_what_is_a_number() -> None:
    assert [is_number(one) for one in (0, 1.5, True, nan, inf, "1")] == [True, True, *[False] * 4]
