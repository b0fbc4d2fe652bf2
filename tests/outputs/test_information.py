"""The files of what a CA told to genms."""

import datetime as dt
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from bulkcmp.cmp import general
from bulkcmp.cmp.asn1 import explicit, wrap
from bulkcmp.cmp.general import RootCaKeyUpdate
from bulkcmp.model import Itav
from bulkcmp.outputs.information import contents, information_files, write_information

NAME = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "ca")])
KEY = ec.generate_private_key(ec.SECP256R1())
WHEN = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def certificate(number: int) -> x509.Certificate:
    return (
        x509.CertificateBuilder()
        .subject_name(NAME)
        .issuer_name(NAME)
        .public_key(KEY.public_key())
        .serial_number(number)
        .not_valid_before(WHEN)
        .not_valid_after(WHEN)
        .sign(KEY, hashes.SHA256())
    )


def der(one: x509.Certificate | x509.CertificateRevocationList) -> bytes:
    return one.public_bytes(Encoding.DER)


def pem(*some: x509.Certificate | x509.CertificateRevocationList) -> bytes:
    return b"".join(one.public_bytes(Encoding.PEM) for one in some)


A, B, C = map(certificate, (1, 2, 3))
CRL = (
    x509.CertificateRevocationListBuilder()
    .issuer_name(NAME)
    .last_update(WHEN)
    .next_update(WHEN)
    .sign(KEY, hashes.SHA256())
)
UPDATE = RootCaKeyUpdate(der(A), der(B), der(C))
TEMPLATE, CONTROLS = wrap(0x30), wrap(0x30, wrap(0x30, b"\x06\x01\x2a", b"\x05\x00"))


@pytest.mark.parametrize(
    ("info", "files"),
    [
        (Itav(general.CA_CERTS, wrap(0x30, der(A), der(B))), {"caCerts.pem": pem(A, B)}),
        (Itav(general.CA_PROT_ENC_CERT, der(A)), {"caProtEncCert.pem": pem(A)}),
        (
            Itav(general.ROOT_CA_KEY_UPDATE, UPDATE.encode()),
            {"newWithNew.pem": pem(A), "newWithOld.pem": pem(B), "oldWithNew.pem": pem(C)},
        ),
        (
            Itav(general.ROOT_CA_KEY_UPDATE, RootCaKeyUpdate(der(A), der(B)).encode()),
            {"newWithNew.pem": pem(A), "newWithOld.pem": pem(B)},
        ),
        (
            Itav(general.CA_KEY_UPDATE_INFO, explicit(0, UPDATE.encode())),
            {"newWithNew.pem": pem(A), "newWithOld.pem": pem(B), "oldWithNew.pem": pem(C)},
        ),
        (Itav(general.CRLS, wrap(0x30, der(CRL), der(CRL))), {"crls.pem": pem(CRL, CRL)}),
        (Itav(general.CURRENT_CRL, der(CRL)), {"currentCRL.pem": pem(CRL)}),
        (Itav(general.CERT_REQ_TEMPLATE, wrap(0x30, TEMPLATE)), {"certTemplate.der": TEMPLATE}),
        (
            Itav(general.CERT_REQ_TEMPLATE, wrap(0x30, TEMPLATE, CONTROLS)),
            {"certTemplate.der": TEMPLATE, "keySpec.der": CONTROLS},
        ),
        (Itav(general.SUPP_LANG_TAGS, b"\x30\x00"), {"suppLangTags.der": b"\x30\x00"}),
        (Itav("1.2.3", b"\x05\x00"), {"1.2.3.der": b"\x05\x00"}),
        (Itav(general.CRLS), {}),
    ],
)
def test_what_is_in_an_answer(info: Itav, files: dict[str, bytes]) -> None:
    assert contents([info]) == files


def test_files_of_a_row(tmp_path: Path) -> None:
    folder = tmp_path / "info"
    infos = (Itav(general.CURRENT_CRL, der(CRL)), Itav("1.2.3"))
    names = information_files("a/b", infos)
    assert names == ("a%2Fb.currentCRL.pem", "a%2Fb.txt")
    write_information(folder, "a/b", infos, "all of it\n")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {one.name: one.read_bytes() for one in folder.iterdir()} == dict(
        zip(names, (pem(CRL), b"all of it\n"), strict=True)
    )


def test_files_are_written_once(tmp_path: Path) -> None:
    infos = (Itav("1.2.3", b"\x05\x00"),)
    write_information(tmp_path, "a", infos, "text\n")
    whole, cut = tmp_path / "a.txt", tmp_path / "a.1.2.3.der"
    before = whole.stat().st_mtime_ns
    cut.write_bytes(b"\x05")
    write_information(tmp_path, "a", infos, "text\n")
    assert whole.stat().st_mtime_ns == before
    assert cut.read_bytes() == b"\x05\x00"
