"""Cells of a population that are one value: operation, number, answer, time, POPO, key …"""

import datetime as dt
import re
from contextlib import suppress
from enum import Enum
from functools import lru_cache
from pathlib import Path
from typing import Final

from bulkcmp.errors import InputError
from bulkcmp.model import KEY_SPECS, KeySpec, Operation, Popo, RevocationReason
from bulkcmp.token.uri import Pkcs11Uri, is_uri

_KEY_SUFFIXES: Final = (".pem", ".der", ".key", ".p8", ".pk8")


class SameKey(Enum):
    """No new key: the credential's is certified anew, as by `openssl cmp` without -newkey."""

    SAME = "same"


_UTC_TIME: Final = re.compile(r"(?:[0-9]{2})?[0-9]{12}Z")

_ANSWERS: Final = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}

_SERIAL_DIGITS: Final = 64

_REASON_NAMES: Final = {r.name.replace("_", "").lower(): r for r in RevocationReason}
_REASON_NUMBERS: Final = {str(r.value): r for r in RevocationReason}


def read_operation(text: str) -> Operation:
    """An operation by its name, in upper or lower case.

    Raises:
        InputError: it is none.
    """
    try:
        return Operation(text.lower())
    except ValueError:
        raise InputError(
            f"{text!r} is not a CMP operation", hint=f"operations are {', '.join(Operation)}"
        ) from None


def read_whole(text: str, *, low: int, high: int) -> int:
    """A whole number in decimal digits, from `low` to `high`.

    Raises:
        InputError: it is none of these.
    """
    if text.isascii() and text.isdigit() and len(text) <= 9 and low <= int(text) <= high:
        return int(text)
    raise InputError(f"{text!r} is not a whole number from {low} to {high}")


def read_yes(text: str) -> bool:
    """A yes or a no."""
    answer = _ANSWERS.get(text.lower())
    if answer is None:
        raise InputError(f"{text!r} is neither yes nor no")
    return answer


def read_time(text: str) -> dt.datetime:
    """A time as in ISO 8601, UTC where it has no offset, or as OpenSSL writes it."""
    try:
        if _UTC_TIME.fullmatch(text):
            # of two digits, 50 is 1950 (RFC 5280, 4.1.2.5.1)
            century = "" if len(text) == 15 else "19" if text[0] >= "5" else "20"
            time = dt.datetime.strptime(century + text, "%Y%m%d%H%M%S%z")  # %z
        else:
            time = dt.datetime.fromisoformat(text)
        if time.tzinfo is None:
            time = time.replace(tzinfo=dt.UTC)
        if time.microsecond:
            raise ValueError("a fraction of a second")
        return time.astimezone(dt.UTC)
    except (ValueError, OverflowError):
        raise InputError(
            f"{text!r} is not a time",
            hint="write 2027-01-31, 2027-01-31T12:00:00Z or 20270131120000Z",
        ) from None


def read_reason(text: str) -> RevocationReason:
    """A CRLReason (RFC 5280, 5.3.1) by its name or number.

    Raises:
        InputError: it is none.
    """
    name = text.replace("-", "").replace("_", "").lower()
    reason = _REASON_NUMBERS.get(text) or _REASON_NAMES.get(name)
    if reason is None:
        raise InputError(
            f"{text!r} is not a revocation reason",
            hint="reasons are the names of RFC 5280, 5.3.1, such as keyCompromise, or their "
            "numbers: 0 to 6 and 8 to 10",
        )
    return reason


def read_popo(text: str) -> Popo:
    """A way of proving possession of the key (RFC 4211, 4).

    Raises:
        InputError: it is none.
    """
    try:
        return Popo(text)
    except ValueError:
        raise InputError(
            f"{text!r} is no proof of possession", hint=f"methods are {', '.join(Popo)}"
        ) from None


def read_serial(text: str) -> int:
    """A certificate's serial number as `openssl cmp -serial` takes it: decimal, or 0x and hex."""
    hexadecimal = text[:2].lower() == "0x"
    digits, base = (text[2:], 16) if hexadecimal else (text, 10)
    # 20 octets are the most that RFC 5280 allows; some CAs go beyond by a little
    if digits.isascii() and digits.isalnum() and len(digits) <= _SERIAL_DIGITS:
        with suppress(ValueError):
            return int(digits, base)
    raise InputError(
        f"{text!r} is not a serial number",
        hint="decimal digits, or 0x before hexadecimal ones (results.csv has them without)",
    )


_key_spec = lru_cache(64)(KeySpec.parse)


def read_new_key(folder: Path, text: str) -> KeySpec | Path | Pkcs11Uri | SameKey:
    """The key to certify: its type, a file, a PKCS#11 URI, or `same`.

    Args:
        folder: that relative paths are relative to.

    Raises:
        InputError: it is none of these.
    """
    if is_uri(text):
        return Pkcs11Uri.parse(text)
    if text == SameKey.SAME.value:
        return SameKey.SAME
    try:
        return _key_spec(text)
    except InputError:
        path = folder / text
        has_folder = Path(text).name != text
        if has_folder or path.suffix.lower() in _KEY_SUFFIXES or path.is_file():
            return path
    raise InputError(
        f"{text!r} is neither a key spec nor a file",
        hint=f"key specs are {KEY_SPECS}; same is the key of cert",
    )
