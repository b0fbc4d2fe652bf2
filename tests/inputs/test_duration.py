import datetime as dt

import pytest

from bulkcmp.errors import InputError
from bulkcmp.inputs.duration import parse_duration


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30d", dt.timedelta(days=30)),
        (" 12h ", dt.timedelta(hours=12)),
        ("90m", dt.timedelta(minutes=90)),
        ("5s", dt.timedelta(seconds=5)),
        ("2w", dt.timedelta(weeks=2)),
        ("0d", dt.timedelta()),
    ],
)
def test_lengths_of_time(text: str, expected: dt.timedelta) -> None:
    assert parse_duration(text) == expected


@pytest.mark.parametrize("text", ["", "30", "d", "-1d", "1.5h", "1y", "9999999d", "1d2h"])
def test_what_is_no_length_of_time(text: str) -> None:
    with pytest.raises(InputError, match="is not a length of time") as raised:
        parse_duration(text)
    assert "30d" in (raised.value.hint or "")
