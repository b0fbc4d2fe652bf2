from pathlib import Path

import pytest

from bulkcmp.errors import BulkcmpError, InputError
from bulkcmp.outputs.messages import make_message_folder, refuse_full_folder, save_message


def test_messages_are_for_the_user_alone(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    make_message_folder(folder)
    save_message(folder, "01-ir", b"\x30\x00")
    # what an ended process left, and a folder that was taken away
    save_message(tmp_path / "c", "01-ir", b"\x30\x01")
    assert (folder / "01-ir.der").read_bytes() == b"\x30\x00"
    assert (folder / "01-ir.der").stat().st_mode & 0o777 == 0o600
    for made in (folder, tmp_path / "c"):
        assert made.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in folder.iterdir()] == ["01-ir.der"]


def test_a_folder_must_be_free(tmp_path: Path) -> None:
    refuse_full_folder(tmp_path)
    refuse_full_folder(tmp_path / "new")
    (tmp_path / "file").touch()
    for used in (tmp_path, tmp_path / "file"):
        for judge in (refuse_full_folder, make_message_folder):
            with pytest.raises(InputError, match="is not an empty folder"):
                judge(used)
    with pytest.raises(InputError, match=r"file/new: can't be written: Not a directory"):
        make_message_folder(tmp_path / "file" / "new")
    with pytest.raises(BulkcmpError, match="can't be written"):
        save_message(tmp_path / "file" / "new", "01-ir", b"")
