"""manifest.json and SHA256SUMS: what files a run left behind, for whom and by whom they were made.

A manifest that is there is true: it is set aside as a session begins, and written anew, whole, at
its end. What was set aside still tells which files are no longer what they were.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from bulkcmp.errors import BulkcmpError, Where
from bulkcmp.outputs.files import refused, replacing, sync_folder

SCHEMA: Final = "bulkcmp/manifest/1"

MANIFEST_FILE: Final = "manifest.json"
SUMS_FILE: Final = "SHA256SUMS"
_ASIDE: Final = ".SHA256SUMS.aside"


class Listed(NamedTuple):
    """A file that is to be listed.

    Attributes:
        path: relative to the run folder.
        about: whose it is, JSON-able.
    """

    path: str
    about: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Sum:
    digest: str
    size: int


def set_aside(folder: Path) -> None:
    """Begin a session: what it makes is not in the manifest, which is gone for good by then.

    Raises:
        BulkcmpError: the file system refused.
    """
    try:
        if (folder / SUMS_FILE).exists():
            (folder / SUMS_FILE).replace(folder / _ASIDE)
        (folder / MANIFEST_FILE).unlink(missing_ok=True)
        # or after a power failure it might list files that the session has changed
        sync_folder(folder)
    except OSError as error:
        raise refused(folder / SUMS_FILE, error) from error


def remove_damaged(folder: Path, parts: Iterable[str]) -> int:
    """Remove files that are not what the manifest that was set aside says, so that they are made
    again.

    Args:
        parts: folders in the run folder whose files can be made again.

    Returns:
        How many there were.

    Raises:
        BulkcmpError: the file system refused.
    """
    heads = tuple(f"{part}/" for part in parts)
    aside = folder / _ASIDE
    count = 0
    try:
        if not aside.exists():
            return 0
        with aside.open(encoding="ascii") as lines:
            for line in lines:
                digest, _, name = line.rstrip("\n").partition("  ")
                path = folder / name
                # what is not ours to make again is not ours to remove
                if not name.startswith(heads) or ".." in path.parts or path.is_symlink():
                    continue
                found = _sum_of(path)
                if found is not None and found.digest != digest:
                    path.unlink()
                    count += 1
        aside.unlink()
    except (OSError, ValueError) as error:
        what = error if isinstance(error, OSError) else OSError(str(error))
        raise refused(aside, what) from error
    return count


def write_manifest(folder: Path, head: Mapping[str, Any], files: Iterable[Listed]) -> None:
    """Write both, for the user alone (0600), whole and durably; `sha256sum -c` reads SHA256SUMS.

    Args:
        head: what is said of the run, JSON-able.
        files: in their order; those that are not there are left out.

    Raises:
        BulkcmpError: the file system refused.
    """
    with (
        replacing(folder / SUMS_FILE, 0o600, durable=True) as sums,
        replacing(folder / MANIFEST_FILE, 0o600, durable=True) as manifest,
    ):
        whole = hashlib.sha256()

        def write(text: str) -> None:
            octets = text.encode()
            whole.update(octets)
            manifest.write(octets)

        # a line for each file, so that none of them need be in memory
        write(json.dumps({"schema": SCHEMA, **head}, indent=2)[:-2] + ',\n  "files": [')
        separator = "\n"
        for one, found in _sums(folder, files):
            entry = {"path": one.path, "sha256": found.digest, "size": found.size, **one.about}
            write(f"{separator}    {json.dumps(entry)}")
            separator = ",\n"
            sums.write(f"{found.digest}  {one.path}\n".encode("ascii"))
        write("\n  ]\n}\n")
        sums.write(f"{whole.hexdigest()}  {MANIFEST_FILE}\n".encode("ascii"))


def _sums(folder: Path, files: Iterable[Listed]) -> Iterator[tuple[Listed, _Sum]]:
    for one in files:
        try:
            found = _sum_of(folder / one.path)
        except OSError as error:
            raise BulkcmpError(
                f"can't be read: {error.strerror or error}", where=Where(str(folder / one.path))
            ) from error
        if found is not None:
            yield one, found


def _sum_of(path: Path) -> _Sum | None:
    """None where there is no such file."""
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return _Sum(digest, file.tell())
    except FileNotFoundError:
        return None
