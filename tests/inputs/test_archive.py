"""Archives as `zip` and `tar` make them, and as nobody should."""

import bz2
import gzip
import io
import lzma
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from bulkcmp.errors import InputError
from bulkcmp.inputs import archive
from bulkcmp.inputs.archive import Member, is_archive, members

FILES = {"b.pem": b"B", "a/c.pem": b"C" * 5000, "a/.hidden": b"x", "__MACOSX/b.pem": b"x"}
KEPT = [("b.pem", b"B"), ("a/c.pem", b"C" * 5000)]


def zipped(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        target.writestr("a/", b"")
        for name, data in FILES.items():
            target.writestr(name, data)


def tarred(path: Path) -> None:
    with tarfile.open(path, "w") as target:
        add(target, "a", type=tarfile.DIRTYPE)
        for name, data in FILES.items():
            add(target, name, data)


def add(target: tarfile.TarFile, name: str, data: bytes = b"", **fields: object) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for field, value in fields.items():
        setattr(info, field, value)
    target.addfile(info, io.BytesIO(data))


def problems(found: list[Member]) -> list[tuple[str, str]]:
    return [(one.name, one.problem.what) for one in found if one.problem is not None]


@pytest.mark.parametrize("name", ["x.zip", "x.tar", "x.tar.gz", "x.tar.bz2", "x.tar.xz"])
def test_archives(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    packers: dict[str, Callable[[bytes], bytes]] = {
        ".gz": lambda data: gzip.compress(data),
        ".bz2": lambda data: bz2.compress(data),
        ".xz": lambda data: lzma.compress(data),
    }
    (zipped if name.endswith("zip") else tarred)(path)
    path.write_bytes(packers.get(path.suffix, bytes)(path.read_bytes()))
    assert is_archive(path.read_bytes()[:4096])
    found = list(members(path))
    assert [(one.name, one.data) for one in found] == KEPT
    assert all(one.path is None and one.problem is None for one in found)


def test_folders(tmp_path: Path) -> None:
    for name, data in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    (tmp_path / "d.pem").symlink_to("b.pem")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "broken.pem").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe.pem")
    found = list(members(tmp_path))
    assert [(one.name, one.data) for one in found if one.problem is None] == [
        ("b.pem", b"B"), ("d.pem", b"B"), ("a/c.pem", b"C" * 5000),
    ]  # fmt: skip
    assert all(one.path == tmp_path / one.name for one in found if one.problem is None)
    assert problems(found) == [
        ("loop", "a link to a folder, and none is followed"),
        ("broken.pem", "no such file"),
        ("pipe.pem", "not a regular file"),
    ]


def test_a_file_is_its_only_member(tmp_path: Path) -> None:
    path = tmp_path / "dev1.pem"
    path.write_bytes(b"x")
    assert list(members(path)) == [Member("dev1.pem", b"x", path)]
    with pytest.raises(InputError, match="no such file"):
        list(members(tmp_path / "nope"))


def test_what_tars_should_not_have(tmp_path: Path) -> None:
    path = tmp_path / "evil.tar"
    with tarfile.open(path, "w") as target:
        add(target, "passwd", type=tarfile.SYMTYPE, linkname="/etc/passwd")
        add(target, "hard", type=tarfile.LNKTYPE, linkname="../../etc/passwd")
        add(target, "../../up.pem", b"x")
        add(target, "/abs.pem", b"x")
        add(target, "null", type=tarfile.CHRTYPE)
        add(target, "good.pem", b"x")
    found = list(members(path))
    assert problems(found) == [
        ("passwd", "a link in the archive, and only files are read"),
        ("hard", "a link in the archive, and only files are read"),
        ("../../up.pem", "its name leads out of the archive"),
        ("/abs.pem", "its name leads out of the archive"),
        ("null", "no file in the archive, and only files are read"),
    ]
    assert found[-1] == Member("good.pem", b"x")
    assert os.listdir(tmp_path) == ["evil.tar"]  # noqa: PTH208  # nothing was unpacked


def test_what_zips_should_not_have(tmp_path: Path) -> None:
    path = tmp_path / "evil.zip"
    with zipfile.ZipFile(path, "w") as target:
        link = zipfile.ZipInfo("passwd")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        target.writestr(link, "/etc/passwd")
        target.writestr("..\\up.pem", b"x")
        target.writestr("cut.pem", b"y" * 99)
        target.writestr("good.pem", b"x")
    path.write_bytes(path.read_bytes().replace(b"y" * 99, b"z" * 99))
    found = list(members(path))
    assert problems(found) == [
        ("passwd", "a link in the archive, and only files are read"),
        ("..\\up.pem", "its name leads out of the archive"),
        ("cut.pem", "damaged in the archive: Bad CRC-32 for file 'cut.pem'"),
    ]
    assert found[-1] == Member("good.pem", b"x")


def test_a_zip_member_without_a_name(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as target:
        target.writestr(zipfile.ZipInfo(""), b"x")
    assert list(members(path)) == [Member("", b"x")]


def test_encrypted_members(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as target:
        target.writestr("a.pem", b"x")
    data = bytearray(path.read_bytes())
    data[6] |= 1  # general purpose bit flag of the local header, and of the central directory
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    assert problems(list(members(path))) == [("a.pem", "encrypted in the archive")]


@pytest.mark.parametrize("kind", ["zip", "tar.gz", "tar.xz"])
def test_bombs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(archive, "_GROWTH_FREE", 10_000)
    path = tmp_path / f"bomb.{kind}"
    data = bytes(3_000_000)
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
            target.writestr("a.pem", data)
    else:
        plain = io.BytesIO()
        with tarfile.open(fileobj=plain, mode="w") as tar:
            add(tar, "a.pem", data)
        path.write_bytes((gzip if kind == "tar.gz" else lzma).compress(plain.getvalue()))
    with pytest.raises(InputError, match="becomes more than 50 times as large as it is"):
        list(members(path))


def test_a_header_that_claims_to_be_huge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tar readers keep an extended header as a whole."""
    monkeypatch.setattr(archive, "_GROWTH_FREE", 10_000)
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 8_000_000
    path = tmp_path / "x.tar.gz"
    path.write_bytes(gzip.compress(info.tobuf() + bytes(8_000_000)))
    with pytest.raises(InputError, match="becomes more than 50 times as large as it is"):
        list(members(path))


def test_large_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MEMBER_LIMIT", 4000)
    for path, pack in ((tmp_path / "x.zip", zipped), (tmp_path / "x.tar", tarred)):
        pack(path)
        ((name, what),) = problems(list(members(path)))
        assert name == "a/c.pem"
        assert what.startswith("larger than 0 MiB")
    path = tmp_path / "x.pem"
    path.write_bytes(bytes(4001))
    assert len(problems(list(members(path)))) == 1


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("x.zip", b"PK\x03\x04garbage"),
        ("x.gz", gzip.compress(b"id,cmd\n" * 100, mtime=0)),
        ("cut.gz", gzip.compress(b"x" * 99, mtime=0)[:20]),
        ("x.bz2", b"BZhgarbage"),
        ("x.xz", b"\xfd7zXZ\x00garbage"),
        ("x.tar", b"a" * 257 + b"ustar" + b"b" * 250),
    ],
    ids=["zip", "no archive", "cut", "bz2", "xz", "tar"],
)
def test_what_is_damaged_as_a_whole(tmp_path: Path, name: str, data: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(InputError, match="no archive, or damaged"):
        list(members(path))


def test_what_is_no_archive(tmp_path: Path) -> None:
    path = tmp_path / "x.xlsx"
    with zipfile.ZipFile(path, "w") as target:
        target.writestr("[Content_Types].xml", b"x")
    assert not is_archive(path.read_bytes())
    assert not is_archive(b"id,cmd\n")
    assert not is_archive(b"")
