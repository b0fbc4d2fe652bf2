import hashlib
from pathlib import Path

import pytest

from bulkcmp.errors import InputError
from bulkcmp.inputs.source import FileSource, Place


def test_places() -> None:
    assert str(Place("a.csv", 7, 5).where("ref")) == "a.csv:7 (row 5), column ref"
    assert str(Place("certs/a.pem", None, 5).where()) == "certs/a.pem (row 5)"
    assert Place("a.csv", 7, 5).row_line == 7
    assert Place("certs/a.pem", None, 5).row_line == 5


def test_the_digest_is_that_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"content")
    assert FileSource(path).digest() == hashlib.sha256(b"content").hexdigest()
    with pytest.raises(InputError, match="no such file"):
        FileSource(tmp_path / "b").digest()
