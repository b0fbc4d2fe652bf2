"""Lengths of time as options have them: a number and a unit, such as 30d or 12h."""

import datetime as dt
import re
from typing import Final

from bulkcmp.errors import InputError

_DURATION: Final = re.compile(r"([0-9]{1,6})([smhdw])")

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_duration(text: str) -> dt.timedelta:
    """Read a whole number of seconds, minutes, hours, days or weeks.

    Raises:
        InputError: it is something else.
    """
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise InputError(
            f"{text!r} is not a length of time",
            hint="write a whole number and s, m, h, d or w, as in 30d or 12h",
        )
    return dt.timedelta(**{_UNITS[found[2]]: int(found[1])})
