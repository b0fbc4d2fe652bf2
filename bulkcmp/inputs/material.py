"""Where a certificate or a request is: in a file, or in the cell itself, as `base64:MII…`."""

import base64
import binascii
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bulkcmp.errors import InputError, Where
from bulkcmp.inputs.file import read_file

PREFIX: Final = "base64:"


@dataclass(frozen=True, slots=True)
class Inline:
    """DER or PEM that stood in a cell; never a private key.

    Attributes:
        data: as it would stand in a file.
    """

    data: bytes

    def __str__(self) -> str:
        return f"{PREFIX}…"


Material = Path | Inline


def parse_material(folder: Path, text: str) -> Material:
    """What a cell names.

    Args:
        folder: what a relative path is relative to.
        text: a path, or `base64:` and the base64 (RFC 4648, 4) of DER or PEM; white space in it
            does not count. A file whose name begins so is `./base64:…`.

    Raises:
        InputError: what follows `base64:` is not base64, or nothing, or holds a private key.
    """
    if not text.startswith(PREFIX):
        return folder / text
    written = "".join(text.removeprefix(PREFIX).split())
    try:
        data = base64.b64decode(written, validate=True)
    except (ValueError, binascii.Error):
        raise InputError(
            "what follows 'base64:' is not base64",
            hint="base64 (RFC 4648, 4) of DER or PEM; a file of that name is ./base64:…",
        ) from None
    if not data:
        raise InputError("nothing follows 'base64:'")
    if b"PRIVATE KEY-----" in data:
        raise InputError(
            "a private key stands in the cell",
            hint="keys stand in files of their own: name it in the column",
        )
    return Inline(data)


def inline(der: bytes) -> str:
    """The cell that carries a certificate or a request."""
    return PREFIX + base64.b64encode(der).decode()


def read_material(material: Material) -> bytes:
    """DER or PEM.

    Raises:
        InputError: the file can't be read.
    """
    return material.data if isinstance(material, Inline) else read_file(material)


def place(material: Material) -> Where | None:
    """The file that an error speaks of; None where it is the cell, which the row knows."""
    return None if isinstance(material, Inline) else Where(str(material))
