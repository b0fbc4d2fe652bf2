"""Reading a file that the user named, with the operating system's no put plainly."""

from pathlib import Path

from bulkcmp.errors import InputError, Where


def read_file(path: Path, *, most: int | None = None) -> bytes:
    """The content of a file that fits in memory: a key, a certificate, a profile.

    Args:
        most: octets that it may have.

    Raises:
        InputError: it can't be read, or is larger.
    """
    try:
        if most is None:
            return path.read_bytes()
        with path.open("rb") as file:
            content = file.read(most + 1)
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from None
    if len(content) > most:
        raise InputError(f"has more than {most:,} octets", where=Where(str(path)))
    return content


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
