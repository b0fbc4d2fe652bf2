"""Times of requests."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkcmp.cmp.asn1 import any_from, wrap
from bulkcmp.cmp.template import time, time_of

TIMES = st.integers(0, 8_000 * 365 * 86_400).map(
    lambda seconds: dt.datetime(1900, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=seconds)
)


@given(TIMES)
def test_a_time_is_read_as_it_was_written(instant: dt.datetime) -> None:
    assert time_of(any_from(time(instant))) == instant


def test_the_century_of_two_digits_is_that_of_certificates() -> None:
    """RFC 5280, 4.1.2.5.1."""
    for digits, year in ((b"49", 2049), (b"50", 1950), (b"68", 1968), (b"69", 1969)):
        assert time_of(any_from(wrap(0x17, digits + b"0101000000Z"))).year == year


@pytest.mark.parametrize(
    "der",
    [
        b"\x05\x00",
        wrap(0x18, b"20260101000000"),
        wrap(0x17, b"260101000000+0100"),
        wrap(0x17, b"261301000000Z"),
        wrap(0x18, b"\xff0260101000000Z"),
    ],
)
def test_what_is_no_time(der: bytes) -> None:
    with pytest.raises(ValueError):
        time_of(any_from(der))
