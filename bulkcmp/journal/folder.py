"""The folder of a run: made once, held by one process at a time."""

import errno
import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Self

from bulkcmp.errors import InputError, Where
from bulkcmp.journal.failure import JournalError

DISK_FULL: Final = "the disk is full"
DISK_HINT: Final = (
    "what was committed before is safe; make room or mend the disk, then bulkcmp resume"
)


FILE_NAME: Final = "journal.db"
"""Of a journal in the folder."""

_POINTER: Final = "journal.json"


@dataclass(frozen=True, slots=True)
class Pointer:
    """Where a run's journal is that is not in the folder.

    Attributes:
        url: of the database, without a password.
        run: the run's id.
    """

    url: str
    run: str

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """What stands in a folder, if anything.

        Raises:
            InputError: the file that says so can't be read.
        """
        path = folder / _POINTER
        try:
            fields = json.loads(path.read_text())
            return cls(str(fields["url"]), str(fields["run"]))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise InputError(f"can't be read: {error.strerror}", where=Where(str(path))) from None
        except (ValueError, LookupError, TypeError):
            raise InputError(
                "is damaged: it does not say where the journal is",
                where=Where(str(path)),
                hint="give --journal and --run with bulkcmp resume in another folder",
            ) from None


def holds_run(folder: Path) -> bool:
    """Whether a folder has a journal, or knows where it is."""
    return (folder / FILE_NAME).exists() or (folder / _POINTER).exists()


class HeldFolder:
    """A run's folder, which no other process has until it is closed."""

    def __init__(self, path: Path) -> None:
        """
        Raises:
            InputError: there is no such folder, it can't be opened, or another process has it.
            JournalError: the file system knows no locks.
        """
        self.path = path
        self._lock: int | None = _lock(path)
        self._made: tuple[Path, ...] = ()
        self._parents: tuple[Path, ...] = ()

    @classmethod
    def make(cls, path: Path) -> Self:
        """Make the folder, with mode 0700, where it is missing, and hold it.

        Raises:
            InputError, JournalError: as above, or it can't be made.
        """
        made, parents = _make(path)
        folder = cls(path)
        folder._made, folder._parents = made, parents
        return folder

    def point(self, pointer: Pointer) -> None:
        """Write down where the journal is; it is on the disk when this returns.

        Raises:
            InputError, JournalError: the file system refused.
        """
        draft = self.path / f".{_POINTER}.draft"
        with file_errors(self.path):
            try:
                draft.write_text(json.dumps(asdict(pointer), indent=2) + "\n")
                sync(draft)
                draft.rename(self.path / _POINTER)
            finally:
                draft.unlink(missing_ok=True)
            self.sync()

    def sync(self) -> None:
        """Put what was made on the disk: the folder's entries, and the folder itself."""
        for each in (self.path, *self._parents):
            sync(each)

    def discard(self) -> None:
        """Give it back, for it came to nothing: what `make` made goes again, if it is empty."""
        with suppress(OSError):
            for one in self._made:
                one.rmdir()
        self.close()

    def close(self) -> None:
        """Give it back; may be called again."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def no_run(where: Where) -> InputError:
    """What to say of a folder without a journal."""
    return InputError(
        "is not a run folder: it holds no journal",
        where=where,
        hint="give the folder that bulkcmp enroll --out made",
    )


def sync(path: Path) -> None:
    """Put a file or a folder on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def file_errors(folder: Path) -> Iterator[None]:
    """Make errors of the file system errors of ours."""
    where = Where(str(folder))
    try:
        yield
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise not_writable(error, where) from error
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise JournalError(
            DISK_FULL if full else f"the journal failed: {error}", where=where, hint=DISK_HINT
        ) from error


def not_writable(error: Exception, where: Where) -> InputError:
    """What to say where nothing may be written."""
    return InputError(
        f"the journal can't be written: {error}",
        where=where,
        hint="the run folder and what is in it must be writable",
    )


def _make(folder: Path) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """Make a folder and what is missing above it.

    Returns:
        The folders that were made, the innermost first; and those that got a new entry by that, or
        may have got one before a crash.
    """
    folder = folder.absolute()
    try:
        made = tuple(one for one in (folder, *folder.parents) if not one.exists())
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"the run folder can't be made: {error.strerror}", where=Where(str(folder))
        ) from None
    return made, tuple(one.parent for one in made or (folder,))


def _lock(folder: Path) -> int:
    """Take the run for this process; the kernel gives it back when the process ends."""
    where = Where(str(folder))
    try:
        # the folder, not the journal: whoever closes a file gives up SQLite's locks on it
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        raise no_run(where) from None
    except OSError as error:
        raise InputError(f"the run folder can't be opened: {error.strerror}", where=where) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise InputError(
            "another bulkcmp is at work on this run",
            where=where,
            hint="wait for it to end, or stop it",
        ) from None
    except OSError as error:
        os.close(descriptor)
        raise JournalError(
            f"the run folder can't be locked: {error.strerror}",
            where=where,
            hint="choose a folder on a local disk",
        ) from None
    return descriptor
