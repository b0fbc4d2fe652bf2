import csv
import errno
import os
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest

from bulkcmp.errors import BulkcmpError, InputError
from bulkcmp.load.certified import Certified
from bulkcmp.model import Operation, OutcomeClass
from bulkcmp.outputs.certificates import COLUMNS, CertificateTable, read_certificates
from tests.disk import full

CA = bytes.fromhex("300d310b3009060355040313024341")
DEVICE = bytes.fromhex("3000")
ISSUED = Certified(0, "dev,1", Operation.IR, 1 << 127, OutcomeClass.ISSUED, CA, DEVICE)
REVOKED = replace(ISSUED, cmd=Operation.RR, outcome=OutcomeClass.REVOKED, subject=b"", server="ra")


def test_each_certificate_has_a_line_and_its_revocation_another(tmp_path: Path) -> None:
    path = tmp_path / "certificates.csv"
    with CertificateTable(path) as table:
        table.add(ISSUED)
        table.add(REVOKED)
        table.flush()
        assert path.read_text().count("\n") == 3, "it is there before the end"
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    serial = "8" + 31 * "0"
    assert rows == [
        list(COLUMNS),
        ["0", "dev,1", "ir", serial, "issued", CA.hex(), "3000", ""],
        ["0", "dev,1", "rr", serial, "revoked", CA.hex(), "", "ra"],
    ]
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(read_certificates(path)) == [ISSUED, REVOKED]


def test_a_table_that_a_killed_run_left_is_read_and_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "certificates.csv"
    with CertificateTable(path) as table:
        table.add(ISSUED)
    whole = path.read_bytes()
    with path.open("ab") as file:
        file.write(b'7,"dev')
    assert list(read_certificates(path)) == [ISSUED]
    with CertificateTable(path, again=True) as table:
        table.add(REVOKED)
    assert path.read_bytes().startswith(whole)
    assert list(read_certificates(path)) == [ISSUED, REVOKED]


def test_nobody_else_adds_to_a_table_that_is_being_written(tmp_path: Path) -> None:
    path = tmp_path / "certificates.csv"
    with CertificateTable(path) as table:
        table.add(ISSUED)
        table.flush()
        # what stands there now may end within a line, which is not to be cut off
        with path.open("ab") as file:
            file.write(b"7,")
        kept = path.read_bytes()
        with pytest.raises(InputError, match="another bulkcmp is at work on this run"):
            CertificateTable(path, again=True)
        assert path.read_bytes() == kept
    with CertificateTable(path, again=True) as table:
        table.add(REVOKED)
    assert list(read_certificates(path)) == [ISSUED, REVOKED]


@pytest.mark.parametrize(
    ("content", "line", "what"),
    [
        (b"", 1, "the columns are not arrival, "),
        (b"arrival,id,cmd,serial,outcome\r\n", 1, "the columns are not arrival, "),
        (b"@\r\nx,dev,ir,1,issued,3000,,\r\n", 2, "not a line that bulkcmp wrote"),
        (b"@\r\n0,dev,ir,1,issued,3000,,\r\n0,dev,ir\r\n", 3, "not a line that bulkcmp wrote"),
        (b"@\r\n0,dev,ir,1,pleased,3000,,\r\n", 2, "not a line that bulkcmp wrote"),
        (b"\xff\n", 1, "not valid UTF-8"),
        (b"@\r\n\xff\r\n", 2, "not valid UTF-8"),
        (b"@\r\n" + b"0" * 200_000 + b"\r\n", 2, "not a line that bulkcmp wrote"),
    ],
)
def test_what_is_no_such_table(tmp_path: Path, content: bytes, line: int, what: str) -> None:
    path = tmp_path / "certificates.csv"
    path.write_bytes(content.replace(b"@", ",".join(COLUMNS).encode()))
    with pytest.raises(InputError) as caught:
        list(read_certificates(path))
    assert caught.value.what.startswith(what)
    assert caught.value.where is not None
    assert caught.value.where.line == line


def test_a_full_disk_leaves_whole_lines_and_no_gap(tmp_path: Path) -> None:
    path = tmp_path / "certificates.csv"
    table = CertificateTable(path)
    table.add(ISSUED)
    table.flush()
    with full(path):
        for _ in range(1000):
            table.add(REVOKED)
        with pytest.raises(BulkcmpError, match=os.strerror(errno.ENOSPC)):
            table.flush()
        assert list(read_certificates(path)) == [ISSUED]
    table.close()
    assert list(read_certificates(path)) == [ISSUED, *[REVOKED] * 1000]


def test_a_long_table_is_not_held_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "certificates.csv"
    with CertificateTable(path) as table:
        for arrival in range(20_000):
            table.add(replace(ISSUED, arrival=arrival))
    size = path.stat().st_size
    tracemalloc.start()
    try:
        assert sum(1 for _ in read_certificates(path)) == 20_000
        with CertificateTable(path, again=True):
            _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < size / 4


def test_a_table_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file or directory"):
        list(read_certificates(tmp_path / "certificates.csv"))
    with pytest.raises(BulkcmpError, match="can't be written: No such file"):
        CertificateTable(tmp_path / "certificates.csv", again=True)


def test_an_older_table_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "certificates.csv"
    path.write_text("precious")
    with pytest.raises(BulkcmpError, match=r"can't be written: File exists"):
        CertificateTable(path)
    assert path.read_text() == "precious"
