"""The little DER (X.690) that names need: one value around another, and object identifiers."""

import re
from collections.abc import Iterator
from typing import Final

_DOTTED: Final = re.compile(r"([01]\.(0|[1-9]|[123][0-9])|2\.(0|[1-9][0-9]*))(\.(0|[1-9][0-9]*))*")


def tlv(tag: int, content: bytes) -> bytes:
    """One DER value: identifier octet, length, content."""
    length = len(content)
    if length < 0x80:
        return bytes((tag, length)) + content
    size = (length.bit_length() + 7) // 8
    return bytes((tag, 0x80 | size)) + length.to_bytes(size, "big") + content


def tlvs(data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Identifier octet, content and whole of each DER value in `data`, low tag numbers only.

    Raises:
        ValueError: `data` is cut short, or not DER.
    """
    at = 0
    while at < len(data):
        if at + 2 > len(data):
            raise ValueError("no length")
        tag, length, begin = data[at], data[at + 1], at + 2
        if tag & 0x1F == 0x1F or length == 0x80:
            raise ValueError("high tag number or indefinite length")
        if length > 0x80:
            begin += length & 0x7F
            length = int.from_bytes(data[at + 2 : begin], "big")
        end = begin + length
        if end > len(data):
            raise ValueError("cut short")
        yield tag, data[begin:end], data[at:end]
        at = end


def oid_tlv(dotted: str) -> bytes:
    """The DER of an OBJECT IDENTIFIER (X.690, 8.19).

    Raises:
        ValueError: `dotted` is no object identifier, or an arc of it has more than 38 digits.
    """
    if not _DOTTED.fullmatch(dotted) or max(map(len, dotted.split("."))) > 38:
        raise ValueError(f"{dotted!r} is not an object identifier")
    first, second, *rest = map(int, dotted.split("."))
    content = b""
    for arc in (first * 40 + second, *rest):
        septets = bytes((arc & 0x7F,))
        while arc := arc >> 7:
            septets = bytes((arc & 0x7F | 0x80,)) + septets
        content += septets
    return tlv(0x06, content)


def oid_text(content: bytes) -> str:
    """The dotted form of an OBJECT IDENTIFIER's content octets.

    Raises:
        ValueError: `content` does not end with the last octet of an arc.
    """
    if not content or content[-1] & 0x80:
        raise ValueError("cut short")
    arcs: list[int] = []
    arc = 0
    for octet in content:
        arc = arc << 7 | octet & 0x7F
        if octet < 0x80:
            arcs.append(arc)
            arc = 0
    first = min(arcs[0] // 40, 2)
    return ".".join(map(str, (first, arcs[0] - 40 * first, *arcs[1:])))
