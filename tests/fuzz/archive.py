"""Archives of requests, certificates and keys as a population: zip, tar, compressed or not.

An input is the file.
"""

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import suppress

from bulkcmp.errors import InputError
from bulkcmp.inputs.population import Population
from bulkcmp.inputs.recognition import Reading, open_source
from bulkcmp.inputs.row import Defaults
from tests.fuzz import credential
from tests.fuzz.target import scratch, written

_DEFAULTS = Defaults(cmd="ir", subject="/CN={id}", secret="pass:x", ref="{id}")


def one(data: bytes) -> None:
    """Whatever an archive holds, its members become rows or an InputError, and none becomes a file.

    An octet of an archive is not many in memory.
    """
    path = written("archive", data)
    with suppress(InputError):
        source = open_source(path, Reading(format="files"))
        for _ in Population(source, _DEFAULTS, {}).rows():
            pass
    assert sum(1 for one in scratch().iterdir() if one.name.startswith("archive")) == 1


def _tar(files: Sequence[bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for number, file in enumerate(files):
            info = tarfile.TarInfo(f"a/{number}.pem")
            info.size = len(file)
            archive.addfile(info, io.BytesIO(file))
    return buffer.getvalue()


def _zip(files: Sequence[bytes], method: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for number, file in enumerate(files):
            archive.writestr(f"a/{number}.pem", file)
    return buffer.getvalue()


def seeds() -> Iterator[bytes]:
    """One archive of each kind."""
    files = [file for file in credential.files() if len(file) < 700][:6]
    tar = _tar(files)
    yield tar
    yield gzip.compress(tar, mtime=0)
    yield bz2.compress(tar)
    yield lzma.compress(tar)
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        yield _zip(files, method)
