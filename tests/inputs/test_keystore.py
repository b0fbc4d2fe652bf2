from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bulkcmp.errors import InputError
from bulkcmp.inputs.credential import PassphraseError
from bulkcmp.inputs.keystore import Stored, holds_credential, stored_in
from bulkcmp.model import Secret

if TYPE_CHECKING:
    from tests.inputs.conftest import Pki

PASSWORD = Secret(b"correct horse")


@pytest.fixture
def put(pki: "Pki", tmp_path: Path) -> "Put":
    return Put(pki.folder, tmp_path)


class Put:
    """Copies files of the PKI into a folder, under other names."""

    def __init__(self, source: Path, folder: Path) -> None:
        self._source = source
        self.folder = folder

    def __call__(self, **names: str) -> None:
        for name, source in names.items():
            path = self.folder / name.replace("__", "/").replace("_dot_", ".")
            path.parent.mkdir(exist_ok=True)
            path.write_bytes((self._source / source).read_bytes())

    def read(self, password: Secret | None = None) -> list[Stored]:
        return list(stored_in(self.folder, password))


def names(stored: list[Stored]) -> dict[str, str | None]:
    return {one.name: None if one.key is None else one.key.name for one in stored}


def test_keys_by_their_names(put: Put) -> None:
    put(a_dot_pem="cert.pem", a_dot_key_dot_pem="key.pem", b_dot_crt="cert.pem")
    put(b_dot_key="sealed.pem", c_dot_der="cert.der", c_dot_key_dot_der="sealed.der")
    put(d_dot_pem="cert.pem", sub__e_dot_pem="cert.pem", sub__e_dot_key="key.pem")
    (put.folder / "d-key.pem").write_bytes((put.folder / "a.key.pem").read_bytes())
    assert names(put.read()) == {
        "a": "a.key.pem", "b": "b.key", "c": "c.key.der", "d": "d-key.pem", "sub/e": "e.key",
    }  # fmt: skip


def test_a_key_by_its_public_key(put: Put, pki: "Pki") -> None:
    put(cert_dot_pem="cert.pem", one_dot_pem="other-key.pem", two_dot_pem="sealed.pem")
    assert names(put.read(PASSWORD)) == {"cert": "two.pem"}
    # which can't be told of one that does not open
    (found,) = put.read()
    assert (found.key, found.certificate) == (None, pki.certificate)


def test_files_that_have_both(put: Put) -> None:
    put(both_dot_pem="both.pem", dev1_dot_p12="dev1.p12", open_dot_pfx="open.p12")
    assert names(put.read(PASSWORD)) == {"both": "both.pem", "dev1": "dev1.p12", "open": "open.pfx"}
    sealed = next(one for one in put.read() if one.name == "dev1")
    assert isinstance(sealed.flaw, PassphraseError)


def test_what_has_no_certificate(put: Put) -> None:
    put(a_dot_pem="damaged.pem", b="garbage", c_dot_csr="csr.pem", d="empty.pem")
    (put.folder / "huge").write_bytes(bytes((1 << 20) + 1))
    stored = {one.name: one for one in put.read()}
    assert stored.keys() == {"a", "b", "c", "d", "huge"}
    assert all(one.certificate is None for one in stored.values())
    assert isinstance(stored["a"].flaw, InputError)
    assert [name for name, one in stored.items() if one.flaw] == ["a"]


def test_names_that_two_would_have(put: Put) -> None:
    put(a_dot_pem="cert.pem", a_dot_crt="cert.pem", a_dot_key="key.pem")
    assert set(names(put.read())) == {"a.pem", "a.crt"}


def test_one_file(put: Put) -> None:
    put(a_dot_pem="both.pem", b="garbage")
    (one,) = stored_in(put.folder / "a.pem", None)
    assert (one.name, one.key) == ("a", put.folder / "a.pem")
    assert holds_credential(put.folder / "a.pem")
    assert not holds_credential(put.folder / "b")
    assert not holds_credential(put.folder / "nope")
