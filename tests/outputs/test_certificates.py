import csv
from pathlib import Path

import pytest

from bulkcmp.errors import BulkcmpError
from bulkcmp.model import Operation, OutcomeClass
from bulkcmp.outputs.certificates import COLUMNS, CertificateTable


def test_each_certificate_has_a_line_and_its_revocation_another(tmp_path: Path) -> None:
    path = tmp_path / "certificates.csv"
    with CertificateTable(path) as table:
        table.add(0, "dev,1", Operation.IR, 1 << 127, OutcomeClass.ISSUED)
        table.add(0, "dev,1", Operation.RR, 1 << 127, OutcomeClass.REVOKED)
        table.flush()
        assert path.read_text().count("\n") == 3, "it is there before the end"
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    serial = "8" + 31 * "0"
    assert rows == [
        list(COLUMNS),
        ["0", "dev,1", "ir", serial, "issued"],
        ["0", "dev,1", "rr", serial, "revoked"],
    ]
    assert path.stat().st_mode & 0o777 == 0o600


def test_an_older_table_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "certificates.csv"
    path.write_text("precious")
    with pytest.raises(BulkcmpError, match=r"can't be written: File exists"):
        CertificateTable(path)
    assert path.read_text() == "precious"
