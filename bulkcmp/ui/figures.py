"""Figures and texts as a reader wants them: durations with a fitting unit, counts, clean text."""

import datetime as dt

from rich.console import Console
from rich.text import Text

from bulkcmp.outputs.text import visible
from bulkcmp.stats.progress import Held, NewestError


def duration(seconds: float | None) -> str:
    """Three significant digits with a unit: `412 us`, `31.2 ms`, `1.25 s`; `-` for None."""
    if seconds is None:
        return "-"
    # the limits are where rounding to three digits would show a thousand of the smaller unit
    if seconds < 0.0009995:
        return f"{seconds * 1e6:.0f} us"
    if seconds < 0.9995:
        return f"{_three_digits(seconds * 1e3)} ms"
    if seconds < 119.95:
        return f"{_three_digits(seconds)} s"
    return clock(seconds)


def clock(seconds: float) -> str:
    """`h:mm:ss`, for times that pass while one looks on."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}"


def per_second(rate: float, what: str = "") -> str:
    """`12,345.7 rows/s`, or `12,345.7/s` where the line says of what."""
    return f"{rate:,.1f} {what}/s" if what else f"{rate:,.1f}/s"


def share(part: int, whole: int) -> str:
    """Percent, rounded down, so that 100 % means all."""
    return f"{100 * part // whole if whole else 100}%"


def waiting(held: Held) -> str:
    """`circuit open (server busy) until Sat 14:05:09`: what holds new transactions back, and until
    when, in the time zone of the machine."""
    text = str(held)
    if held.until is not None:
        until = dt.datetime.fromtimestamp(held.until, dt.UTC).astimezone()
        text += f" until {until:%a %H:%M:%S}"
    return text


def _three_digits(figure: float) -> str:
    if figure < 9.995:
        return f"{figure:.2f}"
    return f"{figure:.1f}" if figure < 99.95 else f"{figure:.0f}"


def clean(text: str, console: Console) -> str:
    """`text` without control characters or what the terminal's encoding can't show."""
    encoding = console.encoding
    return visible(text).encode(encoding, "backslashreplace").decode(encoding)


def clean_text(text: str, console: Console, style: str = "") -> Text:
    """`clean`, and safe from being read as rich markup."""
    return Text(clean(text, console), style=style)


def describe(error: NewestError) -> str:
    """`dev-7: rejected: badPOP (3 of this kind): <detail>`; texts of the peer are in it."""
    outcome = error.outcome
    kind = ": ".join(part for part in (outcome.outcome.value, outcome.reason) if part)
    # the count stands before what the peer said, which may be cut
    counted = f"{error.row_id}: {kind} ({error.count:,} of this kind)"
    said = outcome.detail or outcome.status_text
    return f"{counted}: {said}" if said else counted
