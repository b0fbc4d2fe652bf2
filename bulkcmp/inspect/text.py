"""An inspection as indented lines for people."""

import textwrap
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from bulkcmp.inspect.inspection import Inspection
    from bulkcmp.inspect.tree import Node

_INDENT: Final = "  "
_MIN_WIDTH: Final = 32
"""Columns that a line gets at least, however deep it is indented."""
_WHOLE_OCTETS: Final = 64
"""Octets up to which a value is shown in full: hashes, nonces, MACs and keys of curves."""
_SHOWN_OCTETS: Final = 16
_SHOWN_CHARACTERS: Final = 2000
_ONE_LINE: Final = 60

_TYPED: Final = {
    "algorithm": ("parameters",),
    "attrType": ("attrValues",),
    "contentType": ("content",),
    "infoType": ("infoValue",),
    "oriType": ("oriValue",),
    "policyQualifierId": ("qualifier",),
    "type": ("value", "values"),
    "type-id": ("value",),
}
"""Fields that name a type, and the fields that are of that type."""


def lines_of(
    inspection: "Inspection", width: int | None, clean: Callable[[str], str]
) -> Iterator[str]:
    """The inspection in lines, the heading first, its findings next.

    Args:
        inspection: what to show. Octets of more than 64 and texts of more than 2000 characters
            are cut short; its `json` has them whole.
        width: columns at which longer lines are continued in the next; None: never.
        clean: makes text of the peer harmless to show.
    """
    number = "" if inspection.part.number is None else f"#{inspection.part.number}"
    encoding = "BER, not DER" if inspection.encoding == "BER" else inspection.encoding
    match inspection.value:
        case {"body": dict(body)} if inspection.type == "PKIMessage":
            kind = f"PKIMessage {next(iter(body))}"
        case _:
            kind = inspection.type
    yield clean(f"{inspection.part.file}{number}: {kind}, {encoding}, {inspection.size:,} octets")
    for finding in inspection.findings:
        yield from _continued(f"! {finding.kind}: {clean(str(finding))}", width)
    for line in _Layout(clean).block(inspection.value):
        yield from _continued(_INDENT + line, width)


class _Layout:
    def __init__(self, clean: Callable[[str], str]) -> None:
        self._clean = clean

    def block(self, node: "Node") -> Iterator[str]:
        """The lines of a value that stands for itself."""
        node = _folded(node)
        line = self._line(node)
        if line is not None:
            yield line
        elif isinstance(node, dict):
            for name, child in node.items():
                yield from self._entry(self._clean(name), child)
        elif isinstance(node, list):
            for child in node:
                mark = "- "
                for line in self.block(child):
                    yield mark + line
                    mark = _INDENT

    def _entry(self, label: str, node: "Node") -> Iterator[str]:
        """The lines of a value that has a name."""
        node = _folded(node)
        line = self._line(node)
        if line is not None:
            yield f"{label}: {line}"
        elif isinstance(node, dict) and len(node) == 1:
            ((name, child),) = node.items()
            yield from self._entry(f"{label}: {self._clean(name)}", child)
        else:
            yield f"{label}:"
            for line in self.block(node):
                yield _INDENT + line

    def _line(self, node: "Node") -> str | None:
        """A value that fits on a line; None if it does not."""
        match node:
            case None:
                return "NULL"
            case bool():
                return str(node).upper()
            case int():
                return str(node)
            case bytes():
                return _octets(node)
            case str():
                return self._text(node)
            case list() | dict() if not node:
                return "(empty)"
            case list() if all(isinstance(item, str) for item in node):
                line = ", ".join(self._text(str(item)) for item in node)
                return line if len(line) <= _ONE_LINE or len(node) == 1 else None
        return None

    def _text(self, text: str) -> str:
        if not text:
            return '""'
        rest = len(text) - _SHOWN_CHARACTERS
        return self._clean(text[:_SHOWN_CHARACTERS]) + (f" … ({rest:,} more)" if rest > 0 else "")


def _folded(node: "Node") -> "Node":
    """What names its own type by that name: `sha256` for `{"algorithm": "sha256"}`."""
    if not isinstance(node, dict) or not node:
        return node
    first, *rest = node
    name = node[first]
    if not isinstance(name, str):
        return node
    if first == "extnID":
        label = f"{name} (critical)" if node.get("critical") is True else name
        return {label: node["extnValue"]}
    if first in _TYPED and not rest:
        return name
    if first in _TYPED and len(rest) == 1 and rest[0] in _TYPED[first]:
        return {name: node[rest[0]]}
    return node


def _octets(octets: bytes) -> str:
    if not octets:
        return "(no octets)"
    if len(octets) > _WHOLE_OCTETS:
        return f"{octets[:_SHOWN_OCTETS].hex()} … ({len(octets):,} octets)"
    if all(0x20 <= octet < 0x7F for octet in octets):
        # a reference as senderKID, for one
        return f'{octets.hex()} "{octets.decode("ascii")}"'
    return octets.hex()


def _continued(line: str, width: int | None) -> Iterator[str]:
    if width is None or len(line) <= width:
        yield line
        return
    text = line.lstrip(" ")
    indent = " " * (len(line) - len(text) + 2 * len(_INDENT))
    yield from textwrap.wrap(
        line,
        max(width, len(indent) + _MIN_WIDTH),
        subsequent_indent=indent,
        break_on_hyphens=False,
    )
