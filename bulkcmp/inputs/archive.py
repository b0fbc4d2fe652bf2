"""The files of a folder or of an archive (zip, tar), one by one, as far as they can be trusted.

Nothing is unpacked onto the disk: members are read in memory, each within a limit, and an archive
that grows beyond all measure, or leads out of itself, is refused.
"""

import bz2
import gzip
import io
import lzma
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Final, NamedTuple, cast

from bulkcmp.errors import InputError, Where
from bulkcmp.inputs.file import unreadable

MEMBER_LIMIT: Final = 64 * 1024 * 1024
"""Octets of a file; one that is larger is not read."""

GROWTH_LIMIT: Final = 50
"""How many times as large as itself an archive may become; DER hardly shrinks, and the blocks of a
tar and the chains that all files of a folder share make less than 20 of it."""

_GROWTH_FREE: Final = MEMBER_LIMIT
"""Octets that any archive may become."""

_ZIP: Final = (b"PK\x03\x04", b"PK\x05\x06")
_OFFICE: Final = b"[Content_Types].xml"
"""The first member of Office Open XML: a zip, but no archive of certificates."""

_GZIP, _BZIP2, _XZ = b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00"
_TAR_MARK, _TAR_MARK_AT = b"ustar", 257

_JUNK: Final = "__MACOSX"

_DAMAGE: Final = (
    tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError,
    # of zipfile: a password is needed, a method is unknown, a header makes no sense
    RuntimeError, NotImplementedError, ValueError,
)  # fmt: skip
"""What the readers of archives raise on damage."""


class Member(NamedTuple):
    """A file.

    Attributes:
        name: its path within the folder or the archive, with `/`.
        data: what is in it; nothing where there is a problem.
        path: where it is on the disk; None in an archive.
        problem: why it can't be read.
    """

    name: str
    data: bytes = b""
    path: Path | None = None
    problem: InputError | None = None


def is_archive(head: bytes) -> bool:
    """Whether the first octets of a file are those of a zip or of a tar, compressed or not."""
    if head.startswith(_ZIP):
        return _OFFICE not in head
    marked = head[_TAR_MARK_AT : _TAR_MARK_AT + len(_TAR_MARK)] == _TAR_MARK
    return marked or head.startswith((_GZIP, _BZIP2, _XZ))


def members(path: Path) -> Iterator[Member]:
    """The files of a folder (and its folders) or of an archive, or the one file itself.

    Those of a folder are sorted by name, those of an archive stand in its order. Names that begin
    with a dot are passed over; so is what is no file, but for links to what lies elsewhere, which
    have a problem.

    Raises:
        InputError: the folder or the archive can't be read, or is damaged, or becomes too large.
    """
    if path.is_dir():
        found = _of_folder(path)
    else:
        with _open(path) as file:
            head = file.read(_TAR_MARK_AT + len(_TAR_MARK))
        if not is_archive(head):
            yield _read(path, path.name)
            return
        found = _of_zip(path) if head.startswith(_ZIP) else _of_tar(path, head)
    for member in found:
        if not any(part.startswith(".") or part == _JUNK for part in _parts(member.name)):
            yield member


def _parts(name: str) -> list[str]:
    return [part for part in _split(name) if part not in ("", ".", "..")]


def _split(name: str) -> list[str]:
    return name.replace("\\", "/").split("/")


def _of_folder(folder: Path) -> Iterator[Member]:
    def refuse(error: OSError) -> None:
        raise unreadable(Path(error.filename), error) from None

    for root, folders, names in os.walk(folder, onerror=refuse):
        folders.sort()
        here = Path(root)
        for name in folders:
            if (here / name).is_symlink():
                problem = InputError("a link to a folder, and none is followed")
                yield Member((here / name).relative_to(folder).as_posix(), problem=problem)
        for name in sorted(names):
            yield _read(here / name, (here / name).relative_to(folder).as_posix())


def _read(path: Path, name: str) -> Member:
    try:
        if not path.is_file() and path.exists():
            # a pipe would never end
            return Member(name, problem=InputError("not a regular file"))
        with path.open("rb") as file:
            return Member(name, _limited(file), path)
    except (OSError, ValueError) as error:
        return Member(name, problem=InputError(unreadable(path, error).what))
    except InputError as error:
        return Member(name, path=path, problem=error)


def _limited(file: IO[bytes]) -> bytes:
    data = file.read(MEMBER_LIMIT + 1)
    if len(data) > MEMBER_LIMIT:
        raise InputError(
            f"larger than {MEMBER_LIMIT >> 20} MiB: it can't be a certificate, a request or a "
            "PKCS#12"
        )
    return data


def check_zip(path: Path) -> None:
    """Make sure that a zip of another kind of file becomes no larger than an archive may.

    Raises:
        InputError: it does.
        Exception: what `zipfile` raises on damage.
    """
    with zipfile.ZipFile(path) as archive:
        _check_growth(path, sum(info.file_size for info in archive.infolist()))


def _of_zip(path: Path) -> Iterator[Member]:
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
            _check_growth(path, sum(info.file_size for info in infos))
            for info in infos:
                # is_dir() fails on a name that is empty
                if not info.filename.endswith("/"):
                    yield _of_zip_member(archive, info)
    except _DAMAGE as error:
        raise _damaged(path, error) from None


def _of_zip_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Member:
    name = info.filename
    why = "a link" if stat.S_ISLNK(info.external_attr >> 16) else None
    problem = _refusal(name, why)
    if problem is None and info.flag_bits & 1:
        problem = InputError("encrypted in the archive", hint="unpack the archive first")
    if problem is not None:
        return Member(name, problem=problem)
    try:
        with archive.open(info) as file:
            return Member(name, _limited(file))
    except InputError as error:
        return Member(name, problem=error)
    except _DAMAGE as error:
        return Member(name, problem=InputError(f"damaged in the archive: {error}"))


def _of_tar(path: Path, head: bytes) -> Iterator[Member]:
    try:
        with (
            _decompressed(path, head) as plain,
            tarfile.open(fileobj=cast(IO[bytes], _Measured(plain, path)), mode="r|") as archive,
        ):
            while (info := archive.next()) is not None:
                # it would keep them all
                archive.members = []  # type: ignore[attr-defined]  # typeshed does not know it
                if not info.isdir():
                    yield _of_tar_member(archive, info)
    except _DAMAGE as error:
        raise _damaged(path, error) from None


def _of_tar_member(archive: tarfile.TarFile, info: tarfile.TarInfo) -> Member:
    why = "a link" if info.issym() or info.islnk() else None if info.isfile() else "no file"
    problem = _refusal(info.name, why)
    file = archive.extractfile(info) if problem is None else None
    if file is None:
        return Member(info.name, problem=problem)
    try:
        return Member(info.name, _limited(file))
    except InputError as error:
        return Member(info.name, problem=error)


def _refusal(name: str, why: str | None) -> InputError | None:
    if PurePosixPath(name).is_absolute() or ".." in _split(name):
        return InputError("its name leads out of the archive")
    return None if why is None else InputError(f"{why} in the archive, and only files are read")


class _Measured(io.RawIOBase):
    """What an archive becomes, as far as it stays within measure."""

    def __init__(self, file: IO[bytes], path: Path) -> None:
        self._file = file
        self._path = path
        self._size = 0

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._size += len(data)
        _check_growth(self._path, self._size)
        return data


def _check_growth(path: Path, size: int) -> None:
    if size > _GROWTH_FREE + GROWTH_LIMIT * path.stat().st_size:
        raise InputError(
            f"the archive becomes more than {GROWTH_LIMIT} times as large as it is",
            where=Where(str(path)),
            hint="if it is meant so, unpack it and name the folder",
        )


def _decompressed(path: Path, head: bytes) -> IO[bytes]:
    if head.startswith(_GZIP):
        return cast(IO[bytes], gzip.open(path))
    if head.startswith(_BZIP2):
        return cast(IO[bytes], bz2.open(path))
    if head.startswith(_XZ):
        return cast(IO[bytes], lzma.open(path))
    return _open(path)


def _damaged(path: Path, error: Exception) -> InputError:
    if isinstance(error, OSError) and error.errno is not None:
        return unreadable(path, error)
    return InputError(f"no archive, or damaged: {error}", where=Where(str(path)))


def _open(path: Path) -> IO[bytes]:
    try:
        return path.open("rb")
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from None
