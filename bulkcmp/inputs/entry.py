"""Lists in one text, as of `--sans` and `--extensions`: entries between commas and white space."""

import re
from typing import Final

from bulkcmp.errors import InputError

_ENTRY: Final = re.compile(r"(?:\\.|[^\\,\s]|\\$)+", re.DOTALL)
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)

_SPECIAL: Final = re.compile(r"([\\,\s])")

_CRITICAL: Final = "critical"


def split_entries(text: str) -> tuple[bool, list[str]]:
    """Whether `critical` is among the entries of a text, and the others, escapes still in them.

    `\\` keeps the next character, which may be a comma or a space.

    Raises:
        InputError: an entry ends with a lone `\\`.
    """
    entries = _ENTRY.findall(text)
    for entry in entries:
        if (len(entry) - len(entry.rstrip("\\"))) % 2:
            raise InputError(f"{entry!r}: nothing follows the last '\\'")
    others = [entry for entry in entries if entry.lower() != _CRITICAL]
    return len(others) != len(entries), others


def unescape(entry: str) -> str:
    """An entry without its escapes."""
    return _ESCAPE.sub(r"\1", entry)


def escape(text: str) -> str:
    """A text as one entry."""
    return _SPECIAL.sub(r"\\\1", text)
