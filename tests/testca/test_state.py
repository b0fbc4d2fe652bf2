import datetime as dt
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography import x509

from bulkcmp.errors import InputError
from bulkcmp.model import KeySpec
from bulkcmp.testca import state
from bulkcmp.testca.identity import CMC_RA
from bulkcmp.testca.store import Store

NOW = dt.datetime(2027, 3, 1, 12, 0, tzinfo=dt.UTC)


def make(path: Path, spec: str = "ec:P-256") -> bool:
    return state.create(path, KeySpec.parse(spec), NOW)


def files(path: Path) -> dict[str, bytes]:
    return {one.name: one.read_bytes() for one in path.iterdir() if one.suffix in (".pem", ".key")}


def test_a_ca_is_made_once(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "ca"
    assert make(folder) is True
    before = files(folder)
    assert sorted(before) == [
        "ca.key",
        "ca.pem",
        "ra.key",
        "ra.pem",
        "vendor-root.pem",
        "vendor.key",
        "vendor.pem",
    ]
    assert make(folder, "rsa:2048") is False
    assert files(folder) == before


def test_a_ca_has_a_key_that_signs(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a CA signs, and ml-kem-768 keys can't"):
        make(tmp_path / "ca", "ml-kem-768")
    assert not (tmp_path / "ca").exists()
    make(tmp_path / "ca")
    with pytest.raises(InputError, match="a CA signs, and ml-kem-1024 keys can't"):
        state.announce_root(tmp_path / "ca", KeySpec.parse("ml-kem-1024"), NOW)


def test_keys_are_their_owners_alone(tmp_path: Path) -> None:
    make(tmp_path / "ca")
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "ca").iterdir()}
    assert modes["ca.key"] == modes["ra.key"] == modes["ca.db"] == 0o600
    assert modes["ca.pem"] == modes["ra.pem"] == 0o644


def test_of_two_starts_one_makes_the_ca(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as threads:
        made = list(threads.map(lambda _: make(tmp_path / "ca"), range(4)))
    assert sorted(made) == [False, False, False, True]
    state.load_identity(tmp_path / "ca")


def test_a_making_that_was_interrupted_is_finished(tmp_path: Path) -> None:
    Store(tmp_path / "ca.db", create=True).close()
    (tmp_path / "ca.key").write_text("half")
    with pytest.raises(InputError, match="never finished"):
        state.open_books(tmp_path)
    assert make(tmp_path) is True
    state.open_books(tmp_path).close()
    state.load_identity(tmp_path)


def test_no_ca(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no CA in this folder"):
        state.open_books(tmp_path / "ca")


def test_the_ra_is_marked_as_such(tmp_path: Path) -> None:
    make(tmp_path)
    folder = state.Folder(tmp_path)
    root = x509.load_pem_x509_certificate(folder.ca_certificate.read_bytes())
    certificate = x509.load_pem_x509_certificate(folder.ra_certificate.read_bytes())
    certificate.verify_directly_issued_by(root)
    usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usages) == [CMC_RA]
    store = state.open_books(tmp_path)
    (issued,) = store.certificates()
    store.close()
    assert issued.is_ra
    assert issued.serial == certificate.serial_number


def test_each_root_has_a_name_of_its_own(tmp_path: Path) -> None:
    names = set()
    for name in "ab":
        make(tmp_path / name)
        names.add(state.load_identity(tmp_path / name).name)
    assert len(names) == 2


@pytest.mark.parametrize("name", ["ca.key", "ca.pem"])
@pytest.mark.parametrize("content", [None, b"-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n"])
def test_a_key_or_a_root_that_is_lost(tmp_path: Path, name: str, content: bytes | None) -> None:
    make(tmp_path)
    if content is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=r"ca\.pem or ca\.key can't be read") as caught:
        state.load_identity(tmp_path)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
