from pathlib import Path

import pytest

from bulkcmp.inputs.csv import CsvSource
from bulkcmp.inputs.several import SeveralSources, anchored


def test_rows_of_all(tmp_path: Path) -> None:
    for name, content in (("a", "id,csr\nx,c.csr\n"), ("b", "profile,id\np,y\np,z\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "s.csv").write_text(content)
    source = SeveralSources([CsvSource(tmp_path / name / "s.csv") for name in "ab"])
    assert source.attributes == ("id", "profile", "csr")
    first, second, third = source.records()
    assert first.values == {"id": ("x",), "csr": (str(tmp_path / "a" / "c.csr"),)}
    assert str(third.place.where("id")) == f"{tmp_path}/b/s.csv:3 (row 3), column id"
    assert second.place.line is None
    before = source.digest()
    (tmp_path / "b" / "s.csv").write_text("id\ny\n")
    assert source.digest() != before


@pytest.mark.parametrize(
    ("column", "text", "placed"),
    [
        ("id", "a", "a"),
        ("csr", "a.csr", "/s/a.csr"),
        ("csr", "/t/a.csr", "/t/a.csr"),
        ("csr", "base64:MIIB", "base64:MIIB"),
        ("newkey", "ed25519", "ed25519"),
        ("newkey", "k.pem", "/s/k.pem"),
        ("key", "pkcs11:object=a", "pkcs11:object=a"),
        ("key", "k.pem", "/s/k.pem"),
        ("secret", "file:s.txt", "file:/s/s.txt"),
        ("secret", "pass: x ", "pass: x "),
        ("oldcert", "", ""),
    ],
)
def test_anchored(column: str, text: str, placed: str) -> None:
    assert anchored(Path("/s"), column, text) == placed
