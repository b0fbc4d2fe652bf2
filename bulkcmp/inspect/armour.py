"""The text forms of DER: PEM (RFC 7468) and hexadecimal digits."""

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Final

from bulkcmp.errors import InputError, Where

MAX_OCTETS: Final = 10 * 1024 * 1024
"""No message, certificate or CRL above this size is inspected."""

_CONTROLS: Final = re.compile(rb"[\x00-\x08\x0e-\x1f\x7f]")
_HEX: Final = re.compile(rb"(0[xX])?([0-9a-fA-F\s:]+)")
_BEGIN: Final = re.compile(rb"^-----BEGIN ([^-\r\n]*)-----[ \t\r]*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Part:
    """One encoded value of a file.

    Attributes:
        file: the file's name, for people.
        number: which of the file's PEM blocks, from 1; None if it is not one of several.
        label: the label of its PEM block; empty if it came in another form.
        octets: the encoded value.
    """

    file: str
    number: int | None
    label: str
    octets: bytes

    @property
    def where(self) -> Where:
        """The place for error messages."""
        return Where(self.file if self.number is None else f"{self.file}#{self.number}")


def parts_of(data: bytes, file: str) -> list[Part]:
    """The encoded values of a file: itself if it is binary, the octets that its hexadecimal
    digits spell, or each of its PEM blocks; text around PEM blocks is skipped.

    Raises:
        InputError: it is empty, larger than `MAX_OCTETS`, or text of neither form.
    """
    where = Where(file)
    if len(data) > MAX_OCTETS:
        raise InputError(f"larger than {MAX_OCTETS >> 20} MiB, which is the limit", where=where)
    if not data.strip():
        raise InputError("empty", where=where)
    if _CONTROLS.search(data):
        # no text; but any value of ours has some, if only as the tag of a primitive value
        return [Part(file, None, "", data)]
    text = data.removeprefix(b"\xef\xbb\xbf")
    if match := _HEX.fullmatch(text.strip()):
        digits = re.sub(rb"[\s:]", b"", match.group(2))
        if len(digits) % 2:
            raise InputError(
                f"{len(digits)} hexadecimal digits: an odd number",
                where=where,
                hint="a digit was lost in copying",
            )
        if digits:
            return [Part(file, None, "", bytes.fromhex(digits.decode()))]
    blocks = _blocks(text, where)
    if blocks:
        several = len(blocks) > 1
        return [
            Part(file, number if several else None, label, octets)
            for number, (label, octets) in enumerate(blocks, 1)
        ]
    raise InputError(
        "text, but neither PEM nor hexadecimal digits",
        where=where,
        hint="inspect reads DER, PEM, and DER spelled in hexadecimal digits",
    )


def _blocks(text: bytes, where: Where) -> list[tuple[str, bytes]]:
    blocks = []
    at = 0
    while begin := _BEGIN.search(text, at):
        label = begin.group(1).decode("ascii", "replace")
        closing = b"-----END " + begin.group(1) + b"-----"
        end = text.find(closing, begin.end())
        at = end + len(closing)
        wrong = ""
        octets = b""
        if end < 0:
            wrong = f"PEM block {label!r} has no END line"
        elif "PRIVATE KEY" in label:
            wrong = "holds a private key, which inspect does not show"
        else:
            try:
                octets = base64.b64decode(b"".join(text[begin.end() : end].split()), validate=True)
            except binascii.Error as error:
                wrong = f"PEM block {label!r}: bad base64 ({error})"
        if wrong:
            line = text.count(b"\n", 0, begin.start()) + 1
            raise InputError(wrong, where=Where(where.file, line))
        blocks.append((label, octets))
    return blocks
