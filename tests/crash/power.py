"""A disk as the kernel was told about it: what of it outlives a power failure.

POSIX promises little: what was written to a file is there once that was synced, a new, renamed or
removed entry of a folder once the folder was; before, any part of it may be there or not. So a
trace of a program's system calls tells all the disks that a power failure may leave.
"""

import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

_CALLS: Final = (
    "openat,write,pwrite64,ftruncate,fsync,fdatasync,rename,unlink,mkdir,close,sendto,sendmsg"
)


def traced(log: Path, command: Sequence[str]) -> list[str]:
    """A command that writes what `calls` reads, by strace; all octets in it are hex."""
    return [
        "strace", "-f", "--seccomp-bpf", "-y", "-xx", "-s", "1000000", "-qq", "-e", "signal=none",
        "-e", f"trace={_CALLS}", "-o", str(log), *command,
    ]  # fmt: skip


@dataclass(frozen=True)
class Call:
    """A system call that succeeded.

    Attributes:
        path: of the file, the folder or the socket.
        texts: strings among its arguments; for a path, decoded.
        numbers: what follows the last of them.
        flags: all of its arguments, as they stand in the trace.
    """

    name: str
    path: str
    texts: tuple[bytes, ...]
    numbers: tuple[int, ...]
    flags: str


_LINE: Final = re.compile(r"(\w+)\((.*)\)\s+= \d+(?:<((?:\\x..)*)>.*)?$")
_TEXT: Final = re.compile(r'"((?:\\x..)*)"')
_PLACE: Final = re.compile(r"^\d+<((?:\\x..)*)>")
_NUMBER: Final = re.compile(r", (\d+)")


def _octets(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


def calls(log: Path, folder: Path) -> Iterator[Call]:
    """The calls about a folder and what is in it, and those that send requests of HTTP."""
    inside = "".join(f"\\x{octet:02x}" for octet in str(folder).encode())
    post = '"' + "".join(f"\\x{octet:02x}" for octet in b"POST ")
    begun: dict[str, str] = {}
    with log.open(encoding="ascii") as lines:
        for line in lines:
            thread, _, text = line.rstrip("\n").partition(" ")
            text = text.strip()
            if text.endswith("<unfinished ...>"):
                begun[thread] = text.removesuffix("<unfinished ...>").rstrip()
                continue
            if text.startswith("<..."):
                text = begun.pop(thread, "") + text.partition(" resumed>")[2]
            if (inside in text or post in text) and (found := _LINE.match(text)):
                yield _call(found)


def _call(found: re.Match[str]) -> Call:
    name, arguments, opened = found.groups()
    texts = tuple(_octets(one) for one in _TEXT.findall(arguments))
    numbers = tuple(int(one) for one in _NUMBER.findall(arguments.rpartition('"')[2]))
    place = opened if name == "openat" else _place(arguments)
    path = texts[0] if place is None else _octets(place)
    return Call(name, path.decode(), texts, numbers, arguments)


def _place(arguments: str) -> str | None:
    """What the first of them is open at."""
    found = _PLACE.match(arguments)
    return None if found is None else found[1]


@dataclass(frozen=True)
class Change:
    """Octets that were written, or, without any, the length that a file was cut to."""

    offset: int
    octets: bytes | None


@dataclass
class File:
    """What is in a file for certain, and what was changed since."""

    synced: bytes = b""
    pending: list[Change] = field(default_factory=list)

    @property
    def content(self) -> bytes:
        return self.with_changes(self.pending)

    def with_changes(self, changes: Iterable[Change]) -> bytes:
        content = bytearray(self.synced)
        for one in changes:
            if one.octets is None:
                del content[one.offset :]
                content.extend(bytes(one.offset - len(content)))
            else:
                content.extend(bytes(max(0, one.offset - len(content))))
                content[one.offset : one.offset + len(one.octets)] = one.octets
        return bytes(content)

    def torn(self) -> Iterator[bytes]:
        """What it may be after a power failure: changes in their order as far as some octet in the
        middle of one; and all but one of them."""
        for index, one in enumerate(self.pending):
            before = self.pending[:index]
            half = () if one.octets is None else (_half(one.offset, one.octets),)
            yield self.with_changes([*before, *half])
            yield self.with_changes([*before, *self.pending[index + 1 :]])


def _half(offset: int, octets: bytes) -> Change:
    return Change(offset, octets[: len(octets) // 2])


class Disk:
    """The files in a folder.

    Attributes:
        files: as a program sees them; kept: those whose entries are there for certain.
    """

    def __init__(self) -> None:
        self.files: dict[str, File] = {}
        self.kept: dict[str, File] = {}
        self._ends: dict[str, int] = {}

    def take(self, call: Call) -> None:
        """Do what a call does."""
        path = call.path
        match call.name:
            case "openat" if "O_CREAT" in call.flags:
                file = self.files.setdefault(path, File())
                self._ends[path] = 0
                assert "O_TRUNC" not in call.flags or not file.content, "none is written over"
            case "write" if path in self.files:
                # all that is written so is written by one, from its beginning
                self.files[path].pending.append(Change(self._ends[path], call.texts[0]))
                self._ends[path] += len(call.texts[0])
            case "pwrite64" if path in self.files:
                self.files[path].pending.append(Change(call.numbers[-1], call.texts[0]))
            case "ftruncate" if path in self.files:
                length = int(call.flags.rpartition(", ")[2])
                self.files[path].pending.append(Change(length, None))
            case "fsync" | "fdatasync" if path in self.files:
                file = self.files[path]
                file.synced, file.pending = file.content, []
            case "fsync" | "fdatasync":
                self._sync_folder(path)
            case "rename":
                self.files[call.texts[1].decode()] = self.files.pop(path)
            case "unlink":
                del self.files[path]

    def _sync_folder(self, folder: str) -> None:
        for path in {*self.files, *self.kept}:
            if path.rpartition("/")[0] != folder:
                continue
            if path in self.files:
                self.kept[path] = self.files[path]
            else:
                del self.kept[path]

    def survivors(self, instead: Mapping[str, bytes] | None = None) -> dict[str, bytes]:
        """The least that a power failure leaves, with other content in some files."""
        return {path: file.synced for path, file in self.kept.items()} | dict(instead or {})

    def torn(self, path: str) -> Iterator[dict[str, bytes]]:
        """What it may leave where a file was about to be synced."""
        if path in self.kept:
            for content in self.kept[path].torn():
                yield self.survivors({path: content})


def lay_out(files: Mapping[str, bytes], at: Path, names: str) -> None:
    """Write those files whose names begin so, in a folder that is made anew."""
    shutil.rmtree(at, ignore_errors=True)
    at.mkdir()
    for path, content in files.items():
        if Path(path).name.startswith(names):
            (at / Path(path).name).write_bytes(content)
