"""What people write first where a scenario wants it otherwise, such as 5m for 300 seconds.

Nothing of it is taken: what is said twice in two ways is misread by somebody. It is told what would
be right.
"""

import datetime as dt
import json
import re
from math import inf
from typing import Any, Final

_QUANTITY: Final = re.compile(r"\s*([0-9][0-9_]*(?:\.[0-9]+)?)\s*([a-z%/]*)\s*", re.IGNORECASE)

_SECONDS: Final = {
    "": 1.0,
    "ms": 0.001,
    **dict.fromkeys(("s", "sec", "second", "seconds"), 1.0),
    **dict.fromkeys(("m", "min", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hour", "hours"), 3600.0),
    **dict.fromkeys(("d", "day", "days"), 86400.0),
}
_OTHERS: Final = {"": 1.0, "%": 0.01, "/s": 1.0}


def is_number(value: Any) -> bool:
    """Whether it is a finite number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -inf < value < inf


def in_seconds(value: Any) -> str | None:
    """A length of time as a scenario has it; None where none can be made of it."""
    if isinstance(value, dt.time):
        return _written(value.hour * 3600 + value.minute * 60 + value.second)
    return _in_units(value, _SECONDS)


def as_number(value: Any) -> str | None:
    """A rate or a share as a scenario has it; None where none can be made of it."""
    return _in_units(value, _OTHERS)


def as_text(value: Any) -> str | None:
    """A text as a scenario has it, in quotes; None where none can be made of it."""
    match value:
        case bool():
            return '"yes"' if value else '"no"'
        case int() | float() | dt.date():
            return quoted(str(value))
    return None


def quoted(text: str) -> str:
    """A text as TOML writes it."""
    return json.dumps(text, ensure_ascii=False)


def _in_units(value: Any, units: dict[str, float]) -> str | None:
    if is_number(value):
        return _written(value)
    found = _QUANTITY.fullmatch(value) if isinstance(value, str) else None
    if found is None or found[2].lower() not in units:
        return None
    return _written(float(found[1].replace("_", "")) * units[found[2].lower()])


def _written(value: float) -> str | None:
    if not is_number(value):
        return None
    return str(int(value)) if value == int(value) else f"{value:.6g}"
