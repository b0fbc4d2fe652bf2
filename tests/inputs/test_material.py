from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkcmp.errors import InputError
from bulkcmp.inputs.credential import (
    read_certificates,
    read_credential,
    read_csr,
    read_extensions,
)
from bulkcmp.inputs.material import Inline, inline, parse_material, place, read_material
from bulkcmp.model import Secret

if TYPE_CHECKING:
    from tests.inputs.conftest import Pki

FOLDER = Path("campaign")


@given(st.binary(min_size=1).filter(lambda data: b"PRIVATE KEY-----" not in data))
def test_what_is_written_into_a_cell_is_read_from_it(der: bytes) -> None:
    cell = inline(der)
    assert cell.isascii()
    assert parse_material(FOLDER, cell) == Inline(der)
    assert read_material(Inline(der)) == der


def test_anything_else_is_a_path() -> None:
    assert parse_material(FOLDER, "dev1.pem") == FOLDER / "dev1.pem"
    assert parse_material(FOLDER, "./base64:MII") == FOLDER / "base64:MII"
    assert parse_material(FOLDER, "/certs/dev1.pem") == Path("/certs/dev1.pem")


def test_white_space_does_not_count() -> None:
    assert parse_material(FOLDER, "base64: MI\nIB \t") == Inline(b"0\x82\x01")


@pytest.mark.parametrize(
    ("cell", "why"),
    [
        ("base64:", "nothing follows"),
        ("base64: \t", "nothing follows"),
        ("base64:MII", "is not base64"),
        ("base64:MII!MIIB", "is not base64"),
        ("base64:MIIB_-==", "is not base64"),
        ("base64:dev1.pem", "is not base64"),
        ("base64:MIIé", "is not base64"),
    ],
)
def test_what_is_no_base64(cell: str, why: str) -> None:
    with pytest.raises(InputError, match=why):
        parse_material(FOLDER, cell)


@pytest.mark.parametrize("name", ["key.pem", "sealed.pem", "sec1.pem", "both.pem"])
def test_private_keys_are_refused_without_showing_them(pki: "Pki", name: str) -> None:
    cell = inline((pki.folder / name).read_bytes())
    with pytest.raises(InputError, match="a private key stands in the cell") as caught:
        parse_material(FOLDER, cell)
    assert cell[40:60] not in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize("suffix", ["pem", "der"])
def test_certificates_and_requests_in_cells(pki: "Pki", suffix: str) -> None:
    def cell(name: str) -> Inline:
        return Inline((pki.folder / f"{name}.{suffix}").read_bytes())

    assert read_certificates(cell("cert"))[0] == pki.certificate
    assert read_csr(cell("csr")) == pki.csr
    assert [one.oid for one in read_extensions(cell("cert"))] == ["2.5.29.17"]
    assert read_extensions(cell("csr")) == ()


def test_the_key_of_a_certificate_in_a_cell_is_in_a_file(pki: "Pki") -> None:
    cell = Inline(pki.certificate)
    credential = read_credential(cell, pki.folder / "key.pem")
    assert credential == (pki.key, (pki.certificate,))
    with pytest.raises(InputError, match="private key is missing") as caught:
        read_credential(cell)
    assert caught.value.where is None
    with pytest.raises(InputError, match="not that of the certificate in the cell"):
        read_credential(cell, pki.folder / "other-key.pem")


def test_private_keys_in_der_are_no_certificates(pki: "Pki") -> None:
    with pytest.raises(InputError, match="a PKCS#12 stands in the cell"):
        read_credential(Inline((pki.folder / "dev1.p12").read_bytes()), None, Secret(b"x"))
    with pytest.raises(InputError, match="neither PEM nor the DER of a certificate"):
        read_certificates(Inline(pki.key))


def test_an_error_in_a_cell_names_no_file(pki: "Pki") -> None:
    for read in (read_certificates, read_csr, read_extensions):
        with pytest.raises(InputError, match="neither PEM nor the DER of a certificate") as caught:
            read(Inline(b"\x30\x03garbage"))
        assert caught.value.where is None
    signature_broken = pki.csr[:-1] + bytes((pki.csr[-1] ^ 1,))
    with pytest.raises(InputError, match="the request's self-signature is bad") as caught:
        read_csr(Inline(signature_broken))
    assert caught.value.where is None
    assert place(FOLDER) is not None
    assert str(Inline(pki.key)) == "base64:…"
