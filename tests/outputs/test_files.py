"""Files that are whole or not there."""

import os
from pathlib import Path

import pytest

from bulkcmp.errors import BulkcmpError
from bulkcmp.outputs.files import make_private_folder, replacing

pytestmark = pytest.mark.usefixtures("usual_umask")


def test_the_new_file_takes_the_place_only_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"old")
    with replacing(path, 0o600, durable=True) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
        assert (tmp_path / ".x.csv.tmp").stat().st_mode & 0o777 == 0o600
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [tmp_path / "x.csv"]


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()])
def test_a_failure_leaves_the_old_file_and_no_other(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"old")

    def fail() -> None:
        with replacing(path, 0o600, durable=True) as file:
            file.write(b"new")
            raise error

    with pytest.raises(type(error)):
        fail()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [tmp_path / "x.csv"]


def test_what_a_killed_process_left_is_not_built_upon(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (tmp_path / ".x.csv.tmp").symlink_to(victim)
    with replacing(tmp_path / "x.csv", 0o600, durable=False) as file:
        file.write(b"new")
    assert victim.read_bytes() == b"precious"
    assert (tmp_path / "x.csv").read_bytes() == b"new"
    assert not (tmp_path / "x.csv").is_symlink()


def test_durable_means_that_file_and_folder_are_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    fsync = os.fsync

    def record(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    with replacing(tmp_path / "a", 0o600, durable=False):
        pass
    assert synced == []
    with replacing(tmp_path / "a", 0o600, durable=True):
        pass
    assert synced == [".a.tmp", tmp_path.name]


def test_a_missing_folder_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "none" / "x.csv"
    with (
        pytest.raises(BulkcmpError, match=r"x\.csv: can't be written: No such file") as caught,
        replacing(path, 0o600, durable=True),
    ):
        pytest.fail("not reached")
    assert caught.value.hint


def test_a_refused_rename_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    with (
        pytest.raises(BulkcmpError, match="can't be written"),
        replacing(tmp_path / "x", 0o600, durable=False) as file,
    ):
        file.write(b"new")
    assert list(tmp_path.iterdir()) == [tmp_path / "x"]


def test_a_private_folder_is_for_the_user_alone(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "certs"
    make_private_folder(folder)
    make_private_folder(folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    (tmp_path / "file").touch()
    with pytest.raises(BulkcmpError, match="can't be written"):
        make_private_folder(tmp_path / "file")
