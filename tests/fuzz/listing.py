"""Tables that others wrote, or a run of ours: lists of certificates, serial numbers, passwords.

An input is an octet for the kind of list, and the file.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from bulkcmp.errors import InputError
from bulkcmp.inputs.issued import IssuedList
from bulkcmp.inputs.secret import read_passwords, read_secret
from bulkcmp.inputs.serials import Base, is_serial_list, read_serials
from bulkcmp.journal.folder import Pointer
from bulkcmp.outputs.certificates import COLUMNS, read_certificates
from bulkcmp.outputs.results import read_row_files
from tests.fuzz.target import written


def _serials(path: Path) -> None:
    text = path.read_bytes().decode("utf-8", "replace")
    is_serial_list(text)
    for base in Base:
        with suppress(InputError):
            read_serials(text, "list", base)


_READERS: Final[tuple[tuple[Callable[[Path], object], bytes], ...]] = (
    (
        lambda path: list(IssuedList(path)),
        b"serialnumber,subjectdn,status,revocationdate,revocationreason,expiredate,base64cert\n"
        b"1F,CN=dev1,20,,-1,1830000000000,\n0x20,CN=dev2,revoked,2027-01-01T00:00:00Z,1,,\n",
    ),
    (_serials, b"serial,reason\n0x1f,keyCompromise\n77,superseded\n"),
    (_serials, b"1F\n20\n# all\n00:AA\n"),
    (read_passwords, b'id,password\ndev1,one\ndev2,"two, ""too"""\n'),
    (lambda path: read_secret(f"file:{path}", {}), b"secret\r\nnot this\n"),
    (
        read_row_files,
        b"row,id,cert_file,key_file\n1,dev1,certs/dev1.pem,keys/dev1.pem\n2,dev2,,\n",
    ),
    (
        lambda path: list(read_certificates(path)),
        f"{','.join(COLUMNS)}\n0,dev1,ir,1f,issued,3000,3000,\n".encode(),
    ),
    (
        lambda path: Pointer.read(path.parent),
        b'{"url": "postgresql://a@b/c", "run": "0123456789abcdef"}',
    ),
)


def one(data: bytes) -> None:
    """Whatever a list holds, it is read to its end, or an InputError says from where on not."""
    if data:
        read, _ = _READERS[data[0] % len(_READERS)]
        path = written("journal.json", data[1:])
        with suppress(InputError):
            read(path)


def seeds() -> Iterator[bytes]:
    """A good list of each kind."""
    for number, (_, example) in enumerate(_READERS):
        yield bytes((number,)) + example
