"""Files that are whole or not there, written beside their place and renamed into it; and files that
grow."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from bulkcmp.errors import BulkcmpError, Where


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
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        try:
            file = _new_file(temporary, mode)
        except FileExistsError:
            temporary.unlink()
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
            _sync_folder(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise refused(path, error) from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _new_file(path: Path, mode: int) -> IO[bytes]:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    return os.fdopen(os.open(path, flags, mode), "wb")


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

    Raises:
        BulkcmpError: the file system refused.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise refused(folder, error) from error


def _sync_folder(folder: Path) -> None:
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
