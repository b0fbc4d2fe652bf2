"""Reading a file that the user named, with the operating system's no put plainly."""

from pathlib import Path

from bulkcmp.errors import InputError, Where


def read_file(path: Path) -> bytes:
    """The content of a file that fits in memory: a key, a certificate, a profile.

    Raises:
        InputError: it can't be read.
    """
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from None


def unreadable(path: Path, error: OSError | ValueError) -> InputError:
    """Why `path` can't be opened or read; a ValueError is a NUL in the path."""
    match error:
        case FileNotFoundError():
            what = "no such file"
        case IsADirectoryError():
            what = "is a folder, not a file"
        case OSError(strerror=str() as why):
            what = f"can't be read: {why}"
        case _:
            what = f"can't be read: {error}"
    return InputError(what, where=Where(str(path)))
