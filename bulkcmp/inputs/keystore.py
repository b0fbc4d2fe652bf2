"""Folders of certificates with their private keys: PEM pairs, both in one file, DER, PKCS#12."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from bulkcmp.errors import InputError
from bulkcmp.inputs.credential import (
    Contents,
    certified_public_key,
    public_key_in,
    read_contents,
)
from bulkcmp.inputs.file import unreadable
from bulkcmp.model import Secret

_LARGEST: Final = 1 << 20
"""Octets; what is larger is no certificate and no key."""

_HEAD: Final = 4096
"""Octets that tell what a file is."""

_KEY_ENDINGS: Final = (".key", "-key", "_key")


@dataclass(frozen=True, slots=True)
class Stored:
    """A file of a folder, and what it has.

    Attributes:
        name: its path in the folder, without suffix where no other has that name.
        certificate: DER of its first one; None where there is none.
        key: the file of its private key, where there seems to be one.
        flaw: why the file can't be read.
    """

    path: Path
    name: str
    certificate: bytes | None = None
    key: Path | None = None
    flaw: InputError | None = None


def holds_credential(path: Path) -> bool:
    """Whether a file seems to hold certificates or keys, and no rows."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError:
        return False
    return head[:1] == b"\x30" or b"-----BEGIN " in head


def stored_in(folder: Path, password: Secret | None) -> Iterator[Stored]:
    """The files of a folder and of those in it, or one file, but for those that hold a key only.

    A key belongs to the certificate whose file is named like its own (`a.key`, `a.key.pem` or
    `a-key.pem` to `a.pem`), or else to the one with its public key.

    Args:
        password: of PKCS#12 files, and of keys that are not named like a certificate.

    Raises:
        InputError: the folder can't be read.
    """
    keys: dict[str, Path] = {}
    found: list[Stored] = []
    for path in _files(folder):
        stem = str(_within(folder, path).with_suffix(""))
        try:
            held = read_contents(path, password) if path.stat().st_size <= _LARGEST else Contents()
        except InputError as error:
            found.append(Stored(path, stem, flaw=error))
            continue
        if held.has_key and not held.certificates:
            keys[_owner(stem)] = path
            continue
        certificate = held.certificates[0] if held.certificates else None
        found.append(Stored(path, stem, certificate, path if held.has_key else None))
    names = Counter(one.name for one in found)
    paired = [
        one
        if one.certificate is None or one.key is not None
        else replace(one, key=keys.pop(one.name, None))
        for one in found
    ]
    for one in _paired_by_key(paired, list(keys.values()), password):
        name = one.name if names[one.name] == 1 else str(_within(folder, one.path))
        yield replace(one, name=name)


def _files(folder: Path) -> list[Path]:
    if folder.is_file():
        return [folder]
    try:
        return sorted(path for path in folder.rglob("*") if path.is_file())
    except OSError as error:
        raise unreadable(folder, error) from None


def _within(folder: Path, path: Path) -> Path:
    return Path(path.name) if path == folder else path.relative_to(folder)


def _owner(stem: str) -> str:
    """The name of the certificate that a key is named after."""
    for ending in _KEY_ENDINGS:
        if stem.lower().endswith(ending):
            return stem[: -len(ending)]
    return stem


def _paired_by_key(
    stored: list[Stored], keys: list[Path], password: Secret | None
) -> Iterator[Stored]:
    """Give certificates without a key those among some keys that are theirs."""
    by_key: dict[bytes, Path] = {}
    if any(one.certificate is not None and one.key is None for one in stored):
        for path in keys:
            # one that can't be opened may be that of any certificate, or of none
            public = public_key_in(path, password)
            if public is not None:
                by_key[public] = path
    for one in stored:
        if one.certificate is None or one.key is not None:
            yield one
        else:
            yield replace(one, key=by_key.get(certified_public_key(one.certificate) or b""))
