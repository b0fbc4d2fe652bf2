from pathlib import Path

import pytest

from bulkcmp.errors import EXIT_BAD_INPUT, InputError
from bulkcmp.inputs.file import read_file, unreadable


def test_content(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"\x00a")
    assert read_file(tmp_path / "f") == b"\x00a"


def test_why_a_file_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read_file(tmp_path / "nope.pem")
    assert str(caught.value) == f"{tmp_path}/nope.pem: no such file"
    assert caught.value.exit_code == EXIT_BAD_INPUT
    with pytest.raises(InputError, match="is a folder, not a file"):
        read_file(tmp_path)
    with pytest.raises(InputError, match="can't be read: embedded null byte"):
        read_file(Path("a\0b"))
    assert unreadable(Path("f"), PermissionError(13, "Permission denied")).what == (
        "can't be read: Permission denied"
    )
