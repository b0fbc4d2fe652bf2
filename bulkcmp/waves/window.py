"""The windows of a run: the hours of the day in which transactions may begin.

A window belongs to the day on which it opens. Where the clocks are changed, an hour that comes
twice is meant the first time, and one that does not come is the instant of the change.
"""

import datetime as dt
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Self

from bulkcmp.errors import InputError

_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY: Final = 24 * 60
_WINDOW: Final = re.compile(r"(?:(?P<days>[a-z,\s-]+)\s)?\s*(?P<opens>\S+?)\s*-\s*(?P<closes>\S+)")
_TIME: Final = re.compile(r"(\d{1,2}):(\d\d)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Window:
    """A window of some days of the week.

    Attributes:
        days: on which it opens; 0 is Monday.
        opens, closes: minutes after midnight; closes up to 24:00, and on the next day where that is
            not after it opens.
    """

    days: frozenset[int]
    opens: int
    closes: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """`22:00-05:00`, `Mon-Fri 22:00-05:00`, `Sat,Sun 00:00-24:00`.

        Raises:
            InputError: it is none.
        """
        found = _WINDOW.fullmatch(text.strip().lower())
        if found is None:
            raise _no_window(text)
        opens, closes = _minutes(found["opens"], text), _minutes(found["closes"], text)
        if opens in (closes, _DAY):
            raise _no_window(text)
        if found["days"] is None:
            return cls(frozenset(range(7)), opens, closes)
        days: set[int] = set()
        for part in found["days"].split(","):
            first, _, last = (day.strip() for day in part.partition("-"))
            if first not in _DAYS or (last or first) not in _DAYS:
                raise _no_window(text)
            begin, end = _DAYS.index(first), _DAYS.index(last or first)
            days.update(day % 7 for day in range(begin, end + (7 if end < begin else 0) + 1))
        return cls(frozenset(days), opens, closes)


def _minutes(text: str, whole: str) -> int:
    found = _TIME.fullmatch(text)
    minutes = int(found[1]) * 60 + int(found[2]) if found else _DAY + 1
    if minutes > _DAY or (found and int(found[2]) >= 60):
        raise _no_window(whole)
    return minutes


def _no_window(text: str) -> InputError:
    return InputError(
        f"{text!r} is no window", hint="write it as 22:00-05:00, or Mon-Fri 22:00-05:00"
    )


@dataclass(frozen=True, slots=True)
class Windows:
    """All windows of a run, in one time zone."""

    windows: tuple[Window, ...]
    zone: dt.tzinfo

    def opens_at(self, now: float) -> float | None:
        """When the next window opens; None where one is open at `now`. Both are Unix times."""
        spans = list(self._spans(now))
        if any(opens <= now < closes for opens, closes in spans):
            return None
        return min(opens for opens, closes in spans if now < opens < closes)

    def _spans(self, now: float) -> Iterator[tuple[float, float]]:
        """The windows around an instant: those of yesterday, which may be open, and of the days
        after, so many that one is left where a change of the clocks swallowed another."""
        today = dt.datetime.fromtimestamp(now, self.zone).date()
        for days in range(-1, 16):
            day = today + dt.timedelta(days)
            for window in self.windows:
                if day.weekday() in window.days:
                    late = window.closes if window.closes > window.opens else window.closes + _DAY
                    yield _instant(day, window.opens, self.zone), _instant(day, late, self.zone)


def _instant(day: dt.date, minutes: int, zone: dt.tzinfo) -> float:
    """The Unix time of an hour of the day."""
    local = dt.datetime.combine(day, dt.time(), zone) + dt.timedelta(minutes=minutes)
    instant = local.timestamp()
    if dt.datetime.fromtimestamp(instant, zone).replace(fold=0) == local:
        return instant
    # it does not come: found between the readings by the offset before the change and after it
    after, before = int(instant), int(local.replace(fold=1).timestamp())
    offset = dt.datetime.fromtimestamp(after, zone).utcoffset()
    while after - before > 1:
        middle = (before + after) // 2
        if dt.datetime.fromtimestamp(middle, zone).utcoffset() == offset:
            after = middle
        else:
            before = middle
    return float(after)
