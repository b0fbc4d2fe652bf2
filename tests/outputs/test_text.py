"""Hostile text made harmless."""

import datetime as dt
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkcmp.outputs.text import utc, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("badPOP", "badPOP"),
        ("Grüße, 東京 😀", "Grüße, 東京 😀"),
        (r"CN=a\,b", r"CN=a\,b"),
        ("one\r\ntwo\tthree", r"one\r\ntwo\tthree"),
        ("\x1b[2J\x00\x7f", r"\x1b[2J\x00\x7f"),
        ("\x9b31m\x85", r"\x9b31m\x85"),
        ("a\u2028b\u2029", r"a\u2028b\u2029"),
        ("exe\u202etxt\u2066", r"exe\u202etxt\u2066"),
        ("\ud800", r"\ud800"),
    ],
)
def test_what_could_steer_a_reader_is_shown_as_an_escape(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(st.text(st.characters(exclude_categories=())))
def test_the_result_is_one_printable_line_that_utf8_holds(text: str) -> None:
    shown = visible(text)
    shown.encode("utf-8")
    assert len(shown.splitlines()) <= 1
    assert not {unicodedata.category(one) for one in shown} & {"Cc", "Cs", "Zl", "Zp"}
    assert visible(shown) == shown


def test_instants_are_written_in_utc() -> None:
    east = dt.timezone(dt.timedelta(hours=2))
    instant = dt.datetime(2026, 1, 1, 1, 2, 3, 456_789, tzinfo=east)
    assert utc(instant, "seconds") == "2025-12-31T23:02:03Z"
    assert utc(instant, "milliseconds") == "2025-12-31T23:02:03.456Z"
