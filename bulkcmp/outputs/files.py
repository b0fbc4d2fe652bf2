"""Files that are whole or not there, written beside their place and renamed into it; and files that
grow."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from bulkcmp.errors import BulkcmpError, Where

_SYNCERS: Final = 16
"""Threads that sync files at a time: a file system puts what waits into one commit of its own."""


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file that is to take the place of whatever stands there.

    Attributes:
        mode: less the umask.
    """

    path: Path
    mode: int
    content: bytes = field(repr=False)


def replace_all(files: Sequence[NewFile]) -> None:
    """Write files that are on the disk, whole, before any takes its place, and stay there.

    Each is written and synced beside its place, then all are renamed in their order, then their
    folders are synced: what `replacing` does for one, at the cost of a few syncs for many.

    Raises:
        BulkcmpError: the file system refused, naming the file; some may have taken their places.
    """
    try:
        if len(files) == 1:
            _write_beside(files[0])
        else:
            with ThreadPoolExecutor(_SYNCERS) as pool:
                list(pool.map(_write_beside, files))
        for file in files:
            try:
                _beside(file.path).replace(file.path)
            except OSError as error:
                raise refused(file.path, error) from error
    except BaseException:
        for file in files:
            _discard(_beside(file.path))
        raise
    for folder in dict.fromkeys(file.path.parent for file in files):
        try:
            sync_folder(folder)
        except OSError as error:
            raise refused(folder, error) from error


def _write_beside(file: NewFile) -> None:
    try:
        with _new_file(_beside(file.path), file.mode) as beside:
            beside.write(file.content)
            beside.flush()
            os.fsync(beside.fileno())
    except OSError as error:
        raise refused(file.path, error) from error


@contextmanager
def replacing(path: Path, mode: int, *, durable: bool) -> Iterator[IO[bytes]]:
    """Open a new file that takes the place of `path` when the block ends without an exception.

    It has `mode` (less the umask) from its first byte on. Until the rename it is
    `.<name>.tmp` in the same folder; one that a killed process left is removed first.

    Args:
        durable: fsync the file before the rename and the folder after it, so that the new content
            survives a power failure.

    Raises:
        BulkcmpError: the file system refused, naming `path`.
    """
    temporary = _beside(path)
    try:
        file = _new_file(temporary, mode)
    except OSError as error:
        raise refused(path, error) from error
    try:
        with file:
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
        temporary.replace(path)
        if durable:
            sync_folder(path.parent)
    except OSError as error:
        _discard(temporary)
        raise refused(path, error) from error
    except BaseException:
        _discard(temporary)
        raise


def remove(path: Path) -> None:
    """Remove a file, and what a killed process left of one that was to take its place; neither need
    be there.

    Raises:
        BulkcmpError: the file system refused, naming `path`.
    """
    try:
        path.unlink(missing_ok=True)
        _beside(path).unlink(missing_ok=True)
    except OSError as error:
        raise refused(path, error) from error


def _discard(path: Path) -> None:
    # a file system that refuses this too has told what is wrong with it
    with suppress(OSError):
        path.unlink()


def _beside(path: Path) -> Path:
    """Where a file is until it takes its place."""
    return path.with_name(f".{path.name}.tmp")


def _new_file(path: Path, mode: int) -> IO[bytes]:
    """Open a file that did not exist; one that a killed process left is removed first."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        descriptor = os.open(path, flags, mode)
    except FileExistsError:
        path.unlink()
        descriptor = os.open(path, flags, mode)
    return os.fdopen(descriptor, "wb")


class GrowingFile:
    """A file that is added to, as long as a run goes on.

    What the file system refuses is kept and tried again, before all that comes after it: a disk
    that is full for a while makes no gap.

    Args:
        path: must not exist; it is made for the user alone (0600).
        again: it exists, and is added to.

    Attributes:
        descriptor: of the open file.

    Raises:
        BulkcmpError: the file system refused; of every method but `write`.
    """

    def __init__(self, path: Path, *, again: bool = False) -> None:
        self._path = path
        flags = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC
        if not again:
            flags |= os.O_CREAT | os.O_EXCL
        try:
            self.descriptor = os.open(path, flags, 0o600)
        except OSError as error:
            raise refused(path, error) from error
        self._rest = bytearray()

    def write(self, octets: bytes) -> None:
        """Take octets in, for the next `flush`."""
        self._rest += octets

    def flush(self) -> None:
        """Whatever was taken in is safe from the end of this process."""
        try:
            while self._rest:
                del self._rest[: os.write(self.descriptor, self._rest)]
        except OSError as error:
            raise refused(self._path, error) from error

    def close(self) -> None:
        """Flush it for the last time, and close it in any case."""
        try:
            self.flush()
        finally:
            os.close(self.descriptor)


def make_private_folder(folder: Path) -> None:
    """Make `folder` for the user alone (0700), and its parents; one that exists stays as it is.

    What was made stays after a power failure.

    Raises:
        BulkcmpError: the file system refused.
    """
    try:
        missing = [one for one in folder.parents if not one.exists()]
        for one in (*reversed(missing), folder):
            if not one.is_dir():
                one.mkdir(mode=0o700, exist_ok=True)
                sync_folder(one.parent)
    except OSError as error:
        raise refused(folder, error) from error


def sync_folder(folder: Path) -> None:
    """Put a folder's entries on the disk: what was made, renamed or removed in it.

    Raises:
        OSError: the file system refused.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def refused(path: Path, error: OSError) -> BulkcmpError:
    """What is said of a file that can't be written."""
    return BulkcmpError(
        f"can't be written: {error.strerror or error}",
        where=Where(str(path)),
        hint="check the folder's permissions and free space",
    )
