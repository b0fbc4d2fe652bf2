"""What a run leaves behind and another command reads: journals, key files.

An input is an octet for which of them, and the SQLite file.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from shutil import rmtree
from typing import Final

from bulkcmp.errors import BulkcmpError
from bulkcmp.journal.entry import Advanced
from bulkcmp.journal.folder import FILE_NAME
from bulkcmp.journal.journal import Journal
from bulkcmp.journal.keyfile import KeyFile, take_inventory
from bulkcmp.model import KeySpec
from tests.fuzz.target import scratch
from tests.journal.entries import begun, issued

_SPEC: Final = KeySpec.parse("ec:P-256")


def _read_journal(folder: Path, data: bytes) -> None:
    (folder / FILE_NAME).write_bytes(data)
    with Journal.open(folder) as journal:
        _ = journal.facts, journal.anchor, journal.is_plain, journal.run_id
        journal.unlock(None)
        list(journal.results(with_keys=True))
        journal.states(range(3))
        list(journal.key_ids())
        journal.earlier()
        journal.deliveries()
        list(journal.undelivered())


def _read_keys(folder: Path, data: bytes) -> None:
    path = folder / "keys.db"
    path.write_bytes(data)
    take_inventory(path)
    with KeyFile.open(path, None) as keys:
        keys.count(_SPEC)
        keys.taken_by("a run")
        keys.take(_SPEC, 2, "a run")


_READERS: Final[tuple[Callable[[Path, bytes], None], ...]] = (_read_journal, _read_keys)


def one(data: bytes) -> None:
    """Whatever became of a journal or a key file, it is read, or told to be damaged."""
    if not data:
        return
    folder = _folder()
    with suppress(BulkcmpError):
        _READERS[data[0] % len(_READERS)](folder, data[1:])


def _folder() -> Path:
    folder = scratch() / "run"
    rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    return folder


def seeds() -> Iterator[bytes]:
    """A journal and a key file with something in them."""
    folder = _folder()
    with Journal.create(folder, {"made": "for tests"}, None) as journal:
        journal.hold()
        journal.write([begun(1), begun(2), Advanced(issued(2))])
    yield b"\0" + (folder / FILE_NAME).read_bytes()
    folder = _folder()
    with KeyFile.open_or_create(folder / "keys.db", None) as keys:
        keys.append(_SPEC, [b"a key", b"another"])
    yield b"\1" + (folder / "keys.db").read_bytes()
