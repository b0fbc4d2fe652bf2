"""The manifest: true where it is there, and what it says of damaged files."""

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bulkcmp.errors import BulkcmpError
from bulkcmp.outputs.manifest import Listed, remove_damaged, set_aside, write_manifest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "certs" / "a").mkdir(parents=True)
    for name in ("certs/a/1.p12", "certs/2.p12", "results.csv"):
        (tmp_path / name).write_bytes(name.encode())
    return tmp_path


def listed() -> Iterator[Listed]:
    yield Listed("certs/a/1.p12", {"row": 1, "id": "ü", "serial": "0A"})
    yield Listed("certs/2.p12", {"row": 2})
    yield Listed("certs/3.p12", {"row": 3})
    yield Listed("results.csv", {})


def test_it_lists_what_is_there(folder: Path) -> None:
    write_manifest(folder, {"label": "B-17", "rows": 3}, listed())
    manifest = json.loads((folder / "manifest.json").read_text())
    files = manifest.pop("files")
    assert manifest == {"schema": "bulkcmp/manifest/1", "label": "B-17", "rows": 3}
    assert files[0] == {
        "path": "certs/a/1.p12",
        "sha256": hashlib.sha256(b"certs/a/1.p12").hexdigest(),
        "size": 13,
        "row": 1,
        "id": "ü",
        "serial": "0A",
    }
    assert [one["path"] for one in files] == ["certs/a/1.p12", "certs/2.p12", "results.csv"]
    for name in ("manifest.json", "SHA256SUMS"):
        assert (folder / name).stat().st_mode & 0o777 == 0o600


def test_of_nothing_it_is_empty(tmp_path: Path) -> None:
    write_manifest(tmp_path, {}, [])
    assert json.loads((tmp_path / "manifest.json").read_text())["files"] == []


@pytest.mark.peer
@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="no sha256sum in PATH")
def test_sha256sum_checks_it(folder: Path) -> None:
    write_manifest(folder, {}, listed())

    def check() -> subprocess.CompletedProcess[str]:
        command = ["sha256sum", "--strict", "-c", "SHA256SUMS"]
        return subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)

    good = check()
    assert good.returncode == 0
    assert good.stdout.splitlines() == [
        "certs/a/1.p12: OK", "certs/2.p12: OK", "results.csv: OK", "manifest.json: OK",
    ]  # fmt: skip
    (folder / "certs" / "2.p12").write_bytes(b"certs/2.p13")
    assert "certs/2.p12: FAILED" in check().stdout


def test_files_that_are_not_what_it_says_are_removed_to_be_made_again(folder: Path) -> None:
    write_manifest(folder, {}, listed())
    set_aside(folder)
    assert not (folder / "manifest.json").exists()
    assert not (folder / "SHA256SUMS").exists()
    (folder / "certs" / "2.p12").write_bytes(b"certs/2.p13")
    (folder / "results.csv").write_bytes(b"another")
    # a session that was killed: what was set aside is still there
    set_aside(folder)
    assert remove_damaged(folder, ("certs", "info")) == 1
    assert not (folder / "certs" / "2.p12").exists()
    assert (folder / "certs" / "a" / "1.p12").exists()
    assert (folder / "results.csv").read_bytes() == b"another"
    assert remove_damaged(folder, ("certs", "info")) == 0
    assert sorted(path.name for path in folder.iterdir()) == ["certs", "results.csv"]


def test_it_is_gone_for_good_before_the_session_changes_anything(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_manifest(folder, {}, listed())
    there: list[bool] = []

    def record(descriptor: int) -> None:
        assert Path(f"/proc/self/fd/{descriptor}").readlink() == folder
        there.append((folder / "manifest.json").exists() or (folder / "SHA256SUMS").exists())

    monkeypatch.setattr(os, "fsync", record)
    set_aside(folder)
    assert there == [False]


def test_nothing_outside_is_removed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "victim").write_bytes(b"precious")
    (folder / "certs" / "link").symlink_to(tmp_path / "victim")
    sums = "".join(f"{'0' * 64}  {name}\n" for name in ("certs/../victim", "certs/link", "/x"))
    (folder / "SHA256SUMS").write_text(sums)
    set_aside(folder)
    assert remove_damaged(folder, ("certs",)) == 0
    assert (tmp_path / "victim").exists()
    assert (folder / "certs" / "link").is_symlink()


def test_what_can_not_be_read_is_an_error_and_leaves_no_manifest(folder: Path) -> None:
    with pytest.raises(BulkcmpError, match="certs: can't be read"):
        write_manifest(folder, {}, [*listed(), Listed("certs", {})])
    assert sorted(path.name for path in folder.iterdir()) == ["certs", "results.csv"]
    (folder / "SHA256SUMS").write_bytes(b"\xff\n")
    set_aside(folder)
    with pytest.raises(BulkcmpError, match="SHA256SUMS"):
        remove_damaged(folder, ("certs",))
