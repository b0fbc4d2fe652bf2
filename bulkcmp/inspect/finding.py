"""What is to be said of an inspected value besides the value itself."""

from dataclasses import dataclass
from enum import StrEnum


class FindingKind(StrEnum):
    """The kinds of findings, as JSON names them."""

    NOT_DER = "not DER"
    """BER allows it, DER does not."""
    TRAILING = "trailing octets"
    """Octets follow the value."""
    NOT_DECODED = "not decoded"
    """A part is not of the type that its object identifier announces; it is shown as octets."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding.

    Attributes:
        kind: its kind.
        what: the finding in words; it may hold text of the peer.
        offset: octets from the start of the decoded input, if known.
        path: the part of the tree that it is about, as in `body.genm[0].infoValue`, if it was
            found there.
    """

    kind: FindingKind
    what: str
    offset: int | None = None
    path: str = ""

    def __str__(self) -> str:
        where = f" at offset {self.offset}" if self.offset is not None else ""
        return f"{self.what}{where}{f' (in {self.path})' if self.path else ''}"


class Findings:
    """Findings as they come; after the first `limit` of a kind they are only counted."""

    def __init__(self, limit: int = 20) -> None:
        self._limit = limit
        self._kept: list[Finding] = []
        self._seen: dict[FindingKind, int] = {}

    def add(self, kind: FindingKind, what: str, offset: int | None = None, path: str = "") -> None:
        seen = self._seen[kind] = self._seen.get(kind, 0) + 1
        if seen <= self._limit:
            self._kept.append(Finding(kind, what, offset, path))

    def __contains__(self, kind: FindingKind) -> bool:
        return kind in self._seen

    def all(self) -> tuple[Finding, ...]:
        """Those kept, and one that counts the rest of each kind."""
        rest = (
            Finding(kind, f"{count - self._limit:,} more findings of this kind")
            for kind, count in self._seen.items()
            if count > self._limit
        )
        return (*self._kept, *rest)
