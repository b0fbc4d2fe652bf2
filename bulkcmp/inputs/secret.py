"""Secrets from where OpenSSL takes them (openssl-passphrase-options(1)).

No error of this module has the text of a source in it, unless the text is known not to be the
secret itself.
"""

import csv
import re
import sys
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final
from urllib.parse import unquote

from bulkcmp.errors import InputError, Where
from bulkcmp.inputs.file import unreadable
from bulkcmp.model import Secret

_LINE_LIMIT: Final = 64 * 1024
"""Octets; a first line that is longer is no secret but a wrong file."""

_URL_COLUMN: Final = re.compile(r"((?:^|//|=)[^/@:=]*):[^/@]*@")

_HINT: Final = (
    "write env:NAME, file:PATH, list:PATH#NAME or pass:TEXT (which others can see in `ps`)"
)

_COLUMN: Final = "password"
_FILE_COLUMN: Final = "key_file"
"""What the columns of passwords and of files are called, where their list has a header."""


def read_secret(
    source: str, environ: Mapping[str, str], folder: Path = Path(), *, stdin: bool = True
) -> Secret:
    """Fetch a secret.

    Args:
        source: `pass:TEXT`, `env:NAME`, `file:PATH` (the first line, without its line end),
            `list:PATH#NAME` (that of a name in a CSV of names and passwords; `%25` for a `%` of it,
            `%23` for a `#`), or `stdin` (its first line, however often it is asked for).
        environ: the environment that `env:` looks in.
        folder: what a relative path is relative to; by default the working directory.
        stdin: whether `stdin` is a source here; it is none in a cell of a population.

    Raises:
        InputError: the source has no known prefix (its text is not shown: it may be the secret),
            or gives nothing, or an empty secret.
    """
    kind, colon, rest = source.partition(":")
    if source == "stdin" and stdin:
        return _secret(_first_line(sys.stdin.buffer), "stdin")
    if colon and kind == "pass":
        return _secret(rest.encode("utf-8", "surrogateescape"), "pass:", whole=True)
    if colon and kind == "env":
        try:
            value = environ[rest]
        except KeyError:
            raise InputError(f"the environment has no variable {rest!r}") from None
        return _secret(value.encode("utf-8", "surrogateescape"), source, whole=True)
    if colon and kind == "file":
        path = folder / rest
        try:
            with path.open("rb") as file:
                return _secret(file.readline(_LINE_LIMIT), f"file:{path}")
        except (OSError, ValueError) as error:
            raise unreadable(path, error) from None
    if colon and kind == "list" and "#" in rest:
        named, _, name = rest.rpartition("#")
        name = unquote(name)
        password = read_passwords(folder / named).get(name)
        if password is None:
            raise InputError(f"list:{folder / named} has no password for {name!r}")
        return password
    raise InputError("not a source of a secret (its text is not shown here)", hint=_HINT)


def list_source(source: str, name: str) -> str:
    """The source of the password that a list (`list:PATH`) has for a name."""
    return f"{source}#{in_list(name)}"


def in_list(name: str) -> str:
    """A name as it stands in `list:PATH#NAME`."""
    return name.replace("%", "%25").replace("#", "%23")


def read_passwords(path: Path) -> Mapping[str, Secret]:
    """A list of passwords: a CSV whose first column has names, and the second one passwords.

    Or the one that is called `password`, as in the passwords.csv of a run. There the files of a
    row are names too, without their suffix, and with or without the first folder of their path:
    that of an id is another one where the id has characters that no file name should have.

    Raises:
        InputError: the file can't be read, or a line of it has no password, or a name stands twice.
    """
    try:
        stand = path.stat()
        return _passwords(path, stand.st_mtime_ns, stand.st_size)
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from None


@lru_cache(4)  # it is asked for each row
def _passwords(path: Path, _changed: int, _size: int) -> Mapping[str, Secret]:
    passwords: dict[str, Secret] = {}
    files: dict[str, Secret] = {}
    column = file_column = None
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        for cells in _rows(reader, path):
            where = Where(str(path), reader.line_num)
            if column is None:
                column = cells.index(_COLUMN) if _COLUMN in cells else 1
                file_column = cells.index(_FILE_COLUMN) if _FILE_COLUMN in cells else None
                if cells[column : column + 1] == [_COLUMN]:
                    continue
            if len(cells) <= column or not cells[column]:
                raise InputError("no password; a line is name,password", where=where)
            name = cells[0].strip()
            if name in passwords:
                raise InputError(f"{name!r} has a password already", where=where)
            passwords[name] = Secret(cells[column].encode())
            if file_column is not None and file_column < len(cells):
                files |= dict.fromkeys(_file_names(cells[file_column]), passwords[name])
    return passwords | files


def _file_names(file: str) -> tuple[str, ...]:
    """What the files of a row are called that are named like its key file."""
    path = PurePosixPath(file)
    if not path.name:
        return ()
    parts = (*path.parent.parts, path.stem.removesuffix(".key"))
    return "/".join(parts), "/".join(parts[1:] or parts)


def _rows(reader: Iterator[list[str]], path: Path) -> Iterator[list[str]]:
    try:
        for cells in reader:
            if cells:
                yield cells
    except csv.Error:
        raise InputError("not a CSV of names and passwords", where=Where(str(path))) from None


@cache
def _first_line(stdin: BinaryIO) -> bytes:
    """Read once, since a load test reads its options for each server, and to clean up."""
    return stdin.readline(_LINE_LIMIT)


def _secret(value: bytes, source: str, *, whole: bool = False) -> Secret:
    if not whole:
        if len(value) == _LINE_LIMIT:
            raise InputError(f"{source}: its first line is longer than {_LINE_LIMIT} octets")
        value = value.rstrip(b"\r\n")
    if not value:
        raise InputError(f"{source} gives an empty secret")
    return Secret(value)


def describe_source(source: str) -> str:
    """The source as the journal may keep it: nothing of it is secret.

    `pass:***` for `pass:`, and `***` for a text without known prefix.
    """
    kind, colon, _ = source.partition(":")
    if source == "stdin" or (colon and kind in ("env", "file", "list")):
        return source
    return "pass:***" if colon and kind == "pass" else "***"


def describe_url(url: str) -> str:
    """The URL as the journal may keep it: `***` in place of a password."""
    return _URL_COLUMN.sub(r"\1:***@", url)
