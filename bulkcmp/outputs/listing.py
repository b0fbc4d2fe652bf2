"""Tables for people and spreadsheets: what a command found, one line for each."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from bulkcmp.outputs.files import replacing
from bulkcmp.outputs.results import cell


def listing(lines: Iterable[Sequence[str]]) -> bytes:
    """A CSV (RFC 4180, UTF-8) of lines; texts of others are made harmless, as in results.csv."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows([cell(one) for one in line] for line in lines)
    return text.getvalue().encode()


def write_listing(path: Path, lines: Iterable[Sequence[str]]) -> None:
    """Write such a CSV (mode 0600), replacing an old one whole and durably.

    Raises:
        BulkcmpError: the file system refused.
    """
    with replacing(path, 0o600, durable=True) as file:
        file.write(listing(lines))
