"""Populations: CSV, LDIF, JSON Lines, workbooks -> rows.

An input is an octet for the kind of file, and the file.
"""

from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO
from typing import Final

import openpyxl

from bulkcmp.errors import InputError
from bulkcmp.inputs.population import Population
from bulkcmp.inputs.recognition import Reading, open_source
from bulkcmp.inputs.row import Defaults
from bulkcmp.model import BadRow, EndEntity
from tests.fuzz.target import written

_READINGS: Final = (
    Reading(format="csv"),
    Reading(format="ldif"),
    Reading(format="jsonl"),
    Reading(format="xlsx"),
    Reading(format="csv", encoding="cp1252"),
    Reading(),
)
_DEFAULTS: Final = Defaults(cmd="ir", subject="/CN={id}", secret="pass:x", ref="{id}")

_MOST: Final = 1000
"""Rows that are looked at."""


def one(data: bytes) -> None:
    """Whatever a population holds, each row is an end entity, or has its reasons why it is none.

    What is wrong with the whole of it is an InputError.
    """
    if not data:
        return
    path = written("population", data[1:])
    with suppress(InputError):
        source = open_source(path, _READINGS[data[0] % len(_READINGS)])
        population = Population(source, _DEFAULTS, {"HOME": "/"})
        for number, row in enumerate(population.rows(), start=1):
            assert row.number == number
            assert isinstance(row, EndEntity) or (isinstance(row, BadRow) and row.problems)
            if number == _MOST:
                break


_CSV: Final = b"""\xef\xbb\xbfid,subject,sans,days,cmd,newkey,keyusage,notbefore
dev1,"/CN=dev1/O=Acme, Inc.",dns:a.test,30,ir,ec:P-256,digitalSignature,2027-01-01
dev2,"CN=dev2\\, the second,O=Acme",email:a@b.test;ip:10.0.0.1,,cr,rsa:2048,,
"""

_LDIF: Final = b"""version: 1
# people
dn: uid=ann,ou=People,dc=example,dc=com
objectClass: person
uid: ann
cn:: QW5uIMOF
mail: ann@example.com
mail: ann@example.org
description: a long
  line

dn:: dWlkPWJvYixkYz1leGFtcGxl
uid: bob
userCertificate;binary:: MAA=
"""

_JSON: Final = b"""{"id": "dev1", "subject": "/CN=dev1", "sans": ["dns:a.test", "dns:b.test"]}

{"id": 7, "days": 30, "subject": null, "cmd": "ir", "a": {"b": true, "c": 1e400}}
"""


def _workbook() -> bytes:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(["id", "subject", "days"])
    sheet.append(["dev1", "/CN=dev1", 30])
    buffer = BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def seeds() -> Iterator[bytes]:
    """A file of each kind, and how they are told apart."""
    files = [_CSV, _LDIF, _JSON, _workbook(), "id;name\nö;x\n".encode("cp1252")]
    for number, file in enumerate(files):
        yield bytes((number,)) + file
        yield bytes((len(files),)) + file
    yield b"\0" + _CSV.decode("utf-8-sig").replace(",", ";").encode("utf-16")
