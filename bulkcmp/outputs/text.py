"""Texts of output files: those of others made harmless to show and to store, and instants."""

import datetime as dt
import re
from typing import Final

# C0, DEL and C1; line and paragraph separators; bidirectional overrides and isolates, which
# reorder what a reader sees; lone surrogates, which no UTF-8 file can hold, and what no XML can
_UNSAFE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)
_SHORT: Final = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


def visible(text: str) -> str:
    r"""`text` on one line, with whatever could steer a terminal or break a line shown as an escape.

    A line feed becomes the two characters `\n`, ESC becomes `\x1b`, U+202E becomes `\u202e`.
    A backslash stays single, so that names in RFC 4514 form stay as they are: the result is made
    to be read, not to be turned back.
    """
    return _UNSAFE.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    character = match.group()
    code = ord(character)
    return _SHORT.get(character) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")


def utc(instant: dt.datetime, precision: str) -> str:
    """`instant` in UTC as ISO 8601 with a `Z`, to the `precision` of `datetime.isoformat`."""
    return instant.astimezone(dt.UTC).isoformat(timespec=precision).replace("+00:00", "Z")
