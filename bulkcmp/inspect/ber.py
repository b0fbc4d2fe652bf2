"""The encoding below any ASN.1 type: BER (X.690, 8), and what of it is not DER (X.690, 10 and 11).

`scan` walks the octets once, without recursion and within bounds, before any decoder sees them;
`der_of` spells the same values in definite and minimal lengths.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Final

from bulkcmp.errors import InputError
from bulkcmp.inspect.finding import FindingKind, Findings

MAX_VALUES: Final = 100_000
"""How many values a file may hold; more could take more than some 10 seconds."""

MAX_DEPTH: Final = 100
"""How deep values may nest; a PKIMessage within a `nested` message is 3 levels deeper."""

_UNIVERSAL: Final = 0
_BOOLEAN, _INTEGER, _BIT_STRING, _NULL, _OID, _ENUMERATED = 1, 2, 3, 5, 6, 10
_SEQUENCE, _SET, _UTC_TIME, _GENERALIZED_TIME = 16, 17, 23, 24
_CONSTRUCTED_TYPES: Final = frozenset((8, 11, _SEQUENCE, _SET))
_MAX_ARCS_OCTETS: Final = 1000

_NAMES: Final = {
    1: "BOOLEAN", 2: "INTEGER", 3: "BIT STRING", 4: "OCTET STRING", 5: "NULL",
    6: "OBJECT IDENTIFIER", 10: "ENUMERATED", 12: "UTF8String", 16: "SEQUENCE", 17: "SET",
    18: "NumericString", 19: "PrintableString", 20: "TeletexString", 22: "IA5String",
    23: "UTCTime", 24: "GeneralizedTime", 26: "VisibleString", 28: "UniversalString",
    30: "BMPString",
}  # fmt: skip
_DER_TIMES: Final = {
    _UTC_TIME: re.compile(rb"\d{12}Z"),
    _GENERALIZED_TIME: re.compile(rb"\d{14}(\.\d*[1-9])?Z"),
}


@dataclass(frozen=True, slots=True)
class Tag:
    """The identifier octets of a value (X.690, 8.1.2), less whether it is constructed."""

    cls: int
    number: int

    def __str__(self) -> str:
        if self.cls == _UNIVERSAL:
            return _NAMES.get(self.number, f"[UNIVERSAL {self.number}]")
        return f"[{('', 'APPLICATION ', '', 'PRIVATE ')[self.cls]}{self.number}]"


@dataclass(slots=True)
class Element:
    """One encoded value: where its identifier, its contents and it itself end in the octets."""

    tag: Tag
    constructed: bool
    start: int
    contents: int
    end: int
    """Where the contents end."""
    stop: int
    """Where the value ends; after the end-of-contents octets of an indefinite length."""
    children: list["Element"] = field(default_factory=list)


@dataclass(slots=True)
class Budget:
    """How many values may still be scanned."""

    left: int = MAX_VALUES


@dataclass(frozen=True, slots=True)
class Report:
    """Where what is not DER is told.

    Attributes:
        findings: gets it.
        path: where in a larger value the octets stand; their offsets are not told then.
        budget: what one file may cost, however many of its OCTET STRINGs hold values.
    """

    findings: Findings
    path: str = ""
    budget: Budget = field(default_factory=Budget)

    def at(self, path: str) -> "Report":
        """For octets that stand there in the same file."""
        return replace(self, path=path)

    def add(self, what: str, offset: int) -> None:
        """Tell one thing at an offset."""
        self.findings.add(FindingKind.NOT_DER, what, None if self.path else offset, self.path)


@dataclass(slots=True)
class _Open:
    """A constructed value whose end has not come yet."""

    element: Element
    indefinite: bool
    bound: int
    """Where it must have ended at the latest."""


def scan(data: bytes, report: Report) -> Element:
    """Take the first BER value of `data` apart; octets after it are left alone.

    Args:
        data: the octets; offsets count from their start.
        report: gets what DER forbids.

    Raises:
        InputError: it is not BER, cut short, or beyond `MAX_VALUES` or `MAX_DEPTH`; the text
            tells the offset.
    """
    stack: list[_Open] = []
    at = 0
    while True:
        bound = stack[-1].bound if stack else len(data)
        tag, constructed, length, contents = _header(data, at, bound, report)
        if length is None and not constructed:
            raise InputError(f"not BER: primitive value of indefinite length at offset {at}")
        end = bound if length is None else contents + length
        if end > bound:
            missing = end - bound
            raise InputError(
                f"cut short: the {tag} at offset {at} lacks {_octets(missing)}"
                if all(open_.indefinite for open_ in stack)
                else f"not BER: the {tag} at offset {at} ends {_octets(missing)} after the value"
                " that holds it"
            )
        if tag == Tag(_UNIVERSAL, 0):
            if length != 0 or constructed or not (stack and stack[-1].indefinite):
                raise InputError(f"not BER: end-of-contents octets out of place at offset {at}")
            done = stack.pop().element
            done.end, done.stop = at, end
            _check_constructed(data, done, report)
            at = end
        else:
            report.budget.left -= 1
            if report.budget.left < 0:
                raise InputError(f"more than {MAX_VALUES:,} values")
            done = Element(tag, constructed, at, contents, end, end)
            if stack:
                stack[-1].element.children.append(done)
            if constructed:
                if len(stack) == MAX_DEPTH:
                    raise InputError(f"values nest more than {MAX_DEPTH} deep at offset {at}")
                stack.append(_Open(done, length is None, end))
                at = contents
            else:
                if not done.tag.cls:
                    check_contents(data, done, done.tag.number, report)
                at = end
        # every definite value that ends here is complete
        while stack and not stack[-1].indefinite and stack[-1].bound == at:
            done = stack.pop().element
            _check_constructed(data, done, report)
        if not stack:
            return done


def _header(data: bytes, at: int, bound: int, report: Report) -> tuple[Tag, bool, int | None, int]:
    """Tag, constructed, length (None: indefinite) and offset of the contents of the value there."""
    if at >= bound:
        raise InputError(f"cut short: a value should stand at offset {at}")
    first, position = data[at], at + 1
    number = first & 0x1F
    if number == 0x1F:
        number = 0
        while True:
            if position >= bound:
                raise InputError(f"cut short: within the tag at offset {at}")
            octet = data[position]
            if position == at + 1 and octet == 0x80:
                report.add("tag with leading zeros", at)
            number = number << 7 | octet & 0x7F
            position += 1
            if octet < 0x80:
                break
            if position - at > 5:
                raise InputError(f"tag number too large at offset {at}")
        if number < 0x1F:
            report.add("tag not in its shortest form", at)
    tag = Tag(first >> 6, number)
    if position >= bound:
        raise InputError(f"cut short: within the length of the {tag} at offset {at}")
    length, position = data[position], position + 1
    if length == 0x80:
        report.add("indefinite length", at)
        return tag, bool(first & 0x20), None, position
    if length > 0x80:
        octets = data[position : position + (length & 0x7F)]
        if length == 0xFF:
            raise InputError(f"not BER: length octet ff of the {tag} at offset {at}")
        if position + len(octets) > bound or len(octets) < length & 0x7F:
            raise InputError(f"cut short: within the length of the {tag} at offset {at}")
        position += len(octets)
        length = int.from_bytes(octets, "big")
        if octets[0] == 0 or length < 0x80:
            report.add("length not in its shortest form", at)
        if length > 1 << 63:
            raise InputError(f"cut short: the {tag} at offset {at} claims an absurd length")
    return tag, bool(first & 0x20), length, position


def check_contents(data: bytes, element: Element, number: int, report: Report) -> None:
    """Check the contents of a primitive value.

    Args:
        data: the octets.
        element: the value in them.
        number: the universal tag number of its type; behind an implicit tag the type alone
            tells it.
        report: gets what DER forbids.

    Raises:
        InputError: BER forbids it.
    """
    start, size = element.start, element.end - element.contents
    if number in _CONSTRUCTED_TYPES:
        raise InputError(f"not BER: primitive {element.tag} at offset {start}")
    head = data[element.contents : min(element.end, element.contents + 40)]
    if number == _BOOLEAN:
        if size != 1:
            raise InputError(f"not BER: BOOLEAN of {_octets(size)} at offset {start}")
        if head not in (b"\x00", b"\xff"):
            report.add(f"BOOLEAN TRUE as {head.hex()} instead of ff", start)
    elif number in (_INTEGER, _ENUMERATED):
        if not size:
            raise InputError(f"not BER: {element.tag} without contents at offset {start}")
        if size > 1 and (head[0], head[1] >> 7) in ((0, 0), (0xFF, 1)):
            report.add(f"{element.tag} not in its shortest form", start)
    elif number == _BIT_STRING:
        if not size or head[0] > 7 or (size == 1 and head[0]):
            raise InputError(f"not BER: bad BIT STRING at offset {start}")
        if size > 1 and data[element.end - 1] & (1 << head[0]) - 1:
            report.add("BIT STRING with unused bits that are not zero", start)
    elif number == _NULL:
        if size:
            raise InputError(f"not BER: NULL of {_octets(size)} at offset {start}")
    elif number == _OID:
        if size > _MAX_ARCS_OCTETS:
            raise InputError(f"OBJECT IDENTIFIER of {_octets(size)} at offset {start}")
    elif number in _DER_TIMES and not _DER_TIMES[number].fullmatch(head):
        report.add(f"{element.tag} not in the form of DER", start)


def _check_constructed(data: bytes, element: Element, report: Report) -> None:
    if element.tag.cls != _UNIVERSAL:
        return
    if element.tag.number == _SET:
        values = [data[child.start : child.stop] for child in element.children]
        if any(one > next_ for one, next_ in pairwise(values)):
            report.add("SET OF out of order", element.start)
    elif element.tag.number not in _CONSTRUCTED_TYPES:
        report.add(f"{element.tag} in pieces", element.start)


def _octets(count: int) -> str:
    return f"{count:,} octet{'' if count == 1 else 's'}"


def der_of(data: bytes, element: Element) -> bytes:
    """The value of `element` in definite lengths of the shortest form."""
    if element.constructed:
        contents = b"".join(der_of(data, child) for child in element.children)
    else:
        contents = data[element.contents : element.end]
    return bytes(_identifier(element)) + _length(len(contents)) + contents


def _identifier(element: Element) -> Iterator[int]:
    first = element.tag.cls << 6 | (0x20 if element.constructed else 0)
    number = element.tag.number
    if number < 0x1F:
        yield first | number
        return
    yield first | 0x1F
    septets = max(1, (number.bit_length() + 6) // 7)
    for place in range(septets - 1, -1, -1):
        yield number >> 7 * place & 0x7F | (0x80 if place else 0)


def _length(length: int) -> bytes:
    if length < 0x80:
        return bytes((length,))
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((0x80 | len(octets),)) + octets
