"""Disks that are full, small or read-only."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_FULL = Path("/dev/full")


@contextmanager
def full(path: Path) -> Iterator[None]:
    """Let this process write nothing to the file that it has open at `path`."""
    (descriptor,) = (number for number, file in _open_files() if file == path)
    kept = os.dup(descriptor)
    device = os.open(_FULL, os.O_WRONLY)
    os.dup2(device, descriptor)
    os.close(device)
    try:
        yield
    finally:
        if (descriptor, _FULL) in _open_files():
            os.dup2(kept, descriptor)
        os.close(kept)


def _open_files() -> Iterator[tuple[int, Path]]:
    for entry in Path("/proc/self/fd").iterdir():
        # the one that lists the folder is gone
        if entry.is_symlink():
            yield int(entry.name), entry.readlink()


class SmallDisk:
    """A file system of its own, which can be filled, emptied and closed to writing.

    Args:
        path: where it is mounted; made where it is missing.
        kib: its size.

    Raises:
        PermissionError: this user may not mount file systems.
    """

    def __init__(self, path: Path, kib: int) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._ballast = path / "ballast"
        try:
            self._mount("-t", "tmpfs", "-o", f"size={kib}k,mode=700", "tmpfs")
        except subprocess.CalledProcessError as error:
            raise PermissionError(error.stderr.decode().strip()) from None

    def fill(self) -> None:
        """Take all of its room."""
        with self._ballast.open("ab", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(1024))

    def make_room(self, kib: int | None = None) -> None:
        """Give back what was taken, or make it larger."""
        if kib is None:
            self._ballast.unlink()
        else:
            self._mount("-o", f"remount,size={kib}k")

    def set_read_only(self, is_read_only: bool) -> None:
        self._mount("-o", f"remount,{'ro' if is_read_only else 'rw'}")

    def close(self) -> None:
        # at once, or as soon as the last file on it is closed
        subprocess.run(["umount", "-l", self.path], check=True)

    def _mount(self, *arguments: str) -> None:
        subprocess.run(["mount", *arguments, self.path], check=True, capture_output=True)
