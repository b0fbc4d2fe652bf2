"""Figures as they are read."""

from io import BytesIO, TextIOWrapper

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from bulkcmp.model import Outcome, OutcomeClass
from bulkcmp.stats.progress import NewestError
from bulkcmp.ui.figures import clean, clean_text, clock, describe, duration, per_second, share


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0.0, "0 us"),
        (0.000_412, "412 us"),
        (0.000_999_4, "999 us"),
        (0.000_999_6, "1.00 ms"),
        (0.001_25, "1.25 ms"),
        (0.0312, "31.2 ms"),
        (0.009_996, "10.0 ms"),
        (0.099_96, "100 ms"),
        (0.5, "500 ms"),
        (0.999_4, "999 ms"),
        (0.999_6, "1.00 s"),
        (12.34, "12.3 s"),
        (99.97, "100 s"),
        (119.9, "120 s"),
        (120.0, "0:02:00"),
        (3661.0, "1:01:01"),
    ],
)
def test_durations_have_three_digits_and_a_unit(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


@given(st.floats(0, 1e7))
def test_a_duration_is_short_whatever_it_is(seconds: float) -> None:
    assert len(duration(seconds)) <= 10
    if seconds < 119:
        assert len(duration(seconds)) <= 7


def test_clock_rates_and_shares() -> None:
    assert [clock(0.4), clock(59.6), clock(90_000)] == ["0:00:00", "0:01:00", "25:00:00"]
    assert per_second(12345.678, "rows") == "12,345.7 rows/s"
    assert [share(0, 7), share(9_999, 10_000), share(7, 7), share(0, 0)] == [
        "0%",
        "99%",
        "100%",
        "100%",
    ]


def test_text_is_clean_for_the_terminal_it_goes_to() -> None:
    utf8 = Console(file=TextIOWrapper(BytesIO(), "utf-8"))
    ascii_only = Console(file=TextIOWrapper(BytesIO(), "ascii"))
    assert clean("ü [b]\x1b[2J", utf8) == r"ü [b]\x1b[2J"
    assert clean("ü [b]\x1b[2J", ascii_only) == r"\xfc [b]\x1b[2J"
    text = clean_text("[b]x[/b]", utf8, "red")
    assert (text.plain, text.style) == ("[b]x[/b]", "red")


@pytest.mark.parametrize(
    ("outcome", "text"),
    [
        (Outcome(OutcomeClass.STILL_WAITING), "a: still waiting (1,200 of this kind)"),
        (
            Outcome(OutcomeClass.REJECTED, "badPOP", status_text="bad signature"),
            "a: rejected: badPOP (1,200 of this kind): bad signature",
        ),
        (
            Outcome(OutcomeClass.UNKNOWN, "connection lost", detail="reset", status_text="x"),
            "a: unknown outcome: connection lost (1,200 of this kind): reset",
        ),
    ],
)
def test_an_error_has_its_row_its_kind_and_its_count(outcome: Outcome, text: str) -> None:
    assert describe(NewestError("a", outcome, 1.0, 1200)) == text
