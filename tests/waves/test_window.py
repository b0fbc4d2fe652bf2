"""Windows, over changes of the clocks too."""

import datetime as dt
from zoneinfo import ZoneInfo

import pytest

from bulkcmp.errors import InputError
from bulkcmp.waves.window import Window, Windows

STOCKHOLM = ZoneInfo("Europe/Stockholm")
HOUR = 3600.0


def at(text: str, zone: dt.tzinfo = STOCKHOLM, fold: int = 0) -> float:
    return dt.datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold).timestamp()


def windows(*texts: str, zone: dt.tzinfo = STOCKHOLM) -> Windows:
    return Windows(tuple(map(Window.parse, texts)), zone)


@pytest.mark.parametrize(
    ("text", "days", "opens", "closes"),
    [
        ("22:00-05:00", range(7), 1320, 300),
        (" 0:00 - 24:00 ", range(7), 0, 1440),
        ("Mon-Fri 22:00-05:00", range(5), 1320, 300),
        ("sat,SUN 00:00-24:00", (5, 6), 0, 1440),
        ("Fri-Mon, Wed 08:30-09:45", (0, 2, 4, 5, 6), 510, 585),
    ],
)
def test_what_a_window_says(text: str, days: range, opens: int, closes: int) -> None:
    assert Window.parse(text) == Window(frozenset(days), opens, closes)


@pytest.mark.parametrize(
    "text",
    [
        "", "22:00", "22-05", "22:00-25:00", "22:60-23:00", "24:00-05:00", "24:01-05:00",
        "05:00-05:00", "Foo 22:00-05:00", "Mon- 22:00-05:00x", "Mon-Foo 22:00-05:00",
        "22:00-05:00 Mon",
    ],
)  # fmt: skip
def test_what_is_no_window(text: str) -> None:
    with pytest.raises(InputError, match="is no window"):
        Window.parse(text)


@pytest.mark.parametrize(
    ("now", "opens_at"),
    [
        ("2026-11-27T21:59:59", "2026-11-27T22:00"),
        ("2026-11-27T22:00", None),
        ("2026-11-28T04:59:59", None),
        ("2026-11-28T05:00", "2026-11-28T22:00"),
    ],
)
def test_a_night(now: str, opens_at: str | None) -> None:
    night = windows("22:00-05:00")
    assert night.opens_at(at(now)) == (None if opens_at is None else at(opens_at))


def test_a_window_belongs_to_the_day_on_which_it_opens() -> None:
    # the 27th is a Friday
    week = windows("Mon-Fri 22:00-05:00", "Sun 12:00-13:00")
    assert week.opens_at(at("2026-11-28T04:00")) is None
    assert week.opens_at(at("2026-11-28T06:00")) == at("2026-11-29T12:00")
    assert week.opens_at(at("2026-11-29T12:30")) is None
    assert week.opens_at(at("2026-11-29T13:00")) == at("2026-11-30T22:00")
    assert week.opens_at(at("2026-11-30T04:00")) == at("2026-11-30T22:00")


def test_a_day_that_is_open_as_a_whole() -> None:
    whole = windows("00:00-24:00")
    # the night of the change included
    for hours in range(72):
        assert whole.opens_at(at("2026-10-24T00:00") + hours * HOUR) is None


def test_nights_in_which_the_clocks_are_changed() -> None:
    night = windows("22:00-05:00")
    for evening, hours in (
        ("2026-03-28T22:00", 6),
        ("2026-10-24T22:00", 8),
        ("2026-11-27T22:00", 7),
    ):
        begin = at(evening)
        assert night.opens_at(begin - 1) == begin
        assert night.opens_at(begin + hours * HOUR - 1) is None
        assert night.opens_at(begin + hours * HOUR) == begin + (hours + 17) * HOUR


def test_an_hour_that_does_not_come_is_the_instant_of_the_change() -> None:
    change = at("2026-03-29T03:00")
    morning = windows("02:30-04:00")
    assert morning.opens_at(change - 1) == change
    assert morning.opens_at(change) is None
    assert morning.opens_at(at("2026-03-29T04:00")) == at("2026-03-30T02:30")
    # all of it does not come
    lost = windows("02:10-02:50")
    assert lost.opens_at(change - 1) == at("2026-03-30T02:10")
    assert lost.opens_at(change) == at("2026-03-30T02:10")
    assert windows("Sun 02:10-02:50").opens_at(change) == at("2026-04-05T02:10")


def test_an_hour_that_comes_twice_is_meant_the_first_time() -> None:
    early = windows("02:30-03:30")
    first, second = at("2026-10-25T02:30"), at("2026-10-25T02:30", fold=1)
    assert second - first == HOUR
    assert early.opens_at(first - 1) == first
    for instant in (first, second - 1, second, at("2026-10-25T03:29")):
        assert early.opens_at(instant) is None
    late = windows("01:00-02:30")
    assert late.opens_at(first - 1) is None
    assert late.opens_at(second - 60) == at("2026-10-26T01:00")


def test_zones_whose_changes_are_odd() -> None:
    # half an hour, on Lord Howe; a day that was left out, in Apia
    howe, apia = ZoneInfo("Australia/Lord_Howe"), ZoneInfo("Pacific/Apia")
    change = at("2026-10-04T02:30", howe)
    assert windows("02:10-05:00", zone=howe).opens_at(change - 1) == change
    there = windows("12:00-13:00", zone=apia)
    assert there.opens_at(at("2011-12-29T13:00", apia)) == at("2011-12-31T12:00", apia)
