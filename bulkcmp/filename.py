"""Names of files that are made of texts of others: never a path that leads elsewhere."""

import hashlib
from typing import Final

MAX_STEM: Final = 200
"""Longest name, bytes: with suffixes it stays below the 255 of common file systems."""

LITERAL: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
"""Characters that stand for themselves."""

SUFFIXES: Final = (".pem", ".der", ".p12", ".pfx", ".jks", ".p7b", ".p7c")
"""Of files that credentials are written to."""

_DIGEST_DIGITS: Final = 32
_ENDINGS: Final = (".key", ".p7b")
"""What a name must not end in that a suffix comes after: `a.key` + `.pem` is the key of `a`."""

_DEVICES: Final = frozenset(
    ("con", "prn", "aux", "nul", *(f"{name}{n}" for name in ("com", "lpt") for n in range(1, 10)))
)
"""Names that Windows takes for devices, whatever follows their first dot."""


def file_stem(row_id: str) -> str:
    """The name, without suffix, of the files of the row `row_id`: one for each id, never a path.

    An empty id is `~`. Otherwise it is what `component` makes of the encoded id.
    """
    return component(encoded(row_id))


def encoded(text: str) -> str:
    """ASCII letters, digits, `.`, `_` and `-`; all other bytes of the text's UTF-8 as `%XX`."""
    # a lone surrogate has no UTF-8, but an id is an id
    raw = text.encode("utf-8", "surrogatepass")
    return "".join(chr(byte) if chr(byte) in LITERAL else f"%{byte:02X}" for byte in raw)


def component(text: str, *, is_folder: bool = False) -> str:
    """A name of encoded text that can stand in a folder, another one for each text.

    Encoded too are a leading dot, the first letter of a device's name on Windows, and the dot of
    an end that would be taken for another file's: of a last `.key` or `.p7b`; of a folder, of the
    suffix of a file, and a last dot. An empty text is `~`. What is longer than `MAX_STEM` is cut
    and gets `~` and 128 bits of the text's SHA-256; no other name contains a `~`.

    Args:
        is_folder: it is not the last of a path.
    """
    if not text:
        return "~"
    name = text
    if name.startswith(".") or name.partition(".")[0].lower() in _DEVICES:
        name = f"%{ord(name[0]):02X}{name[1:]}"
    endings = SUFFIXES if is_folder else _ENDINGS
    if name.lower().endswith(endings) or (is_folder and name.endswith(".")):
        stem, _, end = name.rpartition(".")
        name = f"{stem}%2E{end}"
    if len(name) > MAX_STEM:
        digest = hashlib.sha256(text.encode()).hexdigest()[:_DIGEST_DIGITS]
        name = f"{name[: MAX_STEM - 1 - _DIGEST_DIGITS]}~{digest}"
    return name
