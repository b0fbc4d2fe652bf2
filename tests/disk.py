"""A disk that is full."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
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
