"""Files that are whole or not there."""

import os
from pathlib import Path

import pytest

from bulkcmp.errors import BulkcmpError
from bulkcmp.outputs.files import NewFile, make_private_folder, remove, replace_all, replacing

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


def test_what_is_removed_leaves_nothing_beside_it(tmp_path: Path) -> None:
    for name in ("x", ".x.tmp", "y"):
        (tmp_path / name).touch()
    remove(tmp_path / "x")
    remove(tmp_path / "x")
    assert [one.name for one in tmp_path.iterdir()] == ["y"]
    (tmp_path / "folder").mkdir()
    with pytest.raises(BulkcmpError, match="folder: can't be written"):
        remove(tmp_path / "folder")


def test_a_private_folder_is_for_the_user_alone(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "certs"
    make_private_folder(folder)
    make_private_folder(folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert folder.parent.stat().st_mode & 0o777 == 0o700
    (tmp_path / "file").touch()
    with pytest.raises(BulkcmpError, match="can't be written"):
        make_private_folder(tmp_path / "file")


def test_a_folder_is_on_the_disk_when_it_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    monkeypatch.setattr(
        os, "fsync", lambda fd: synced.append(Path(f"/proc/self/fd/{fd}").readlink().name)
    )
    make_private_folder(tmp_path / "a" / "b")
    make_private_folder(tmp_path / "a" / "b")
    assert synced == [tmp_path.name, "a"]


# --- many files ------------------------------------------------------------------------------


def test_many_files_are_on_the_disk_before_one_takes_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def record(descriptor: int) -> None:
        done.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        fsync(descriptor)

    def rename(path: Path, target: Path) -> Path:
        done.append(f"{path.name} -> {target.name}")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", record)
    monkeypatch.setattr(Path, "replace", rename)
    (tmp_path / "sub").mkdir()
    (tmp_path / "a").write_bytes(b"old")
    paths = [tmp_path / "a", tmp_path / "b", tmp_path / "sub" / "c"]
    replace_all([NewFile(path, 0o600, path.name.encode()) for path in paths])
    assert sorted(done[:3]) == [".a.tmp", ".b.tmp", ".c.tmp"]
    assert done[3:6] == [".a.tmp -> a", ".b.tmp -> b", ".c.tmp -> c"]
    assert done[6:] == [tmp_path.name, "sub"]
    assert [path.read_bytes() for path in paths] == [b"a", b"b", b"c"]
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o600


def test_of_many_files_none_takes_its_place_if_one_can_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    files = [NewFile(tmp_path / name, 0o600, b"new") for name in ("a", "b", "none/c")]
    with pytest.raises(BulkcmpError, match=r"none/c: can't be written: No such file"):
        replace_all(files)
    assert (tmp_path / "a").read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [tmp_path / "a"]


def test_of_many_files_a_refused_rename_is_named(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    with pytest.raises(BulkcmpError, match="b: can't be written"):
        replace_all([NewFile(tmp_path / name, 0o600, b"new") for name in "abc"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]
    replace_all([])
