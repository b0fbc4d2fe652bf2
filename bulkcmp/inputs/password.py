"""Passwords for the files of a row: given as other secrets are, or made."""

import secrets
from collections.abc import Callable, Mapping
from typing import Final

from bulkcmp.model import Secret

MAKE: Final = "make"
"""What stands for a source where the password is to be made."""

MIN_LENGTH: Final = 8
MAX_LENGTH: Final = 64
DEFAULT_LENGTH: Final = 24
"""Characters: 139 bits."""

ALPHABET: Final = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789"
"""What any device and any keyboard takes, without letters and digits that look alike: 0 O 1 l I."""


def make_password(length: int) -> Secret:
    """A password of so many characters, each of them chosen by chance."""
    return Secret("".join(secrets.choice(ALPHABET) for _ in range(length)).encode())


class Made:
    """A default that makes another password for each row."""

    fields = ("number",)

    def __init__(self, length: int) -> None:
        self._length = length

    def render(self, _values: Mapping[str, str], /) -> Secret:
        return make_password(self._length)


def made_or(read: Callable[[str], Secret], length: int, text: str) -> Secret:
    """What a cell says: `make`, or a source that `read` takes."""
    return make_password(length) if text == MAKE else read(text)
