"""Lists of what a CA issued."""

import base64
import datetime as dt
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from bulkcmp.cmp.algorithms import key_digest
from bulkcmp.errors import InputError
from bulkcmp.inputs.issued import Issued, IssuedList, Standing
from bulkcmp.inputs.name import format_name, parse_name
from bulkcmp.model import RevocationReason

BEGIN = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)
KEY = ec.generate_private_key(ec.SECP256R1())


def certificate(serial: int = 0xAB12) -> x509.Certificate:
    name = x509.Name.from_bytes(parse_name("/CN=dev1/O=Acme"))
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(x509.Name.from_bytes(parse_name("/CN=CA")))
        .public_key(KEY.public_key())
        .serial_number(serial)
        .not_valid_before(BEGIN)
        .not_valid_after(BEGIN + dt.timedelta(days=30))
        .sign(KEY, hashes.SHA256())
    )


def read(path: Path, *lines: str) -> list[Issued]:
    path.write_text("\n".join(lines) + "\n")
    return list(IssuedList(path))


def refused(path: Path, *lines: str) -> str:
    with pytest.raises(InputError) as caught:
        read(path, *lines)
    return f"{caught.value}; {caught.value.hint}"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "issued.csv"


def test_a_list_as_the_embedded_ca_writes_it(path: Path) -> None:
    (one,) = read(
        path,
        "serial,subject,user,transaction_id,status,reason,issued_at,revoked_at,key_identifier",
        'AB12,"CN=dev1,O=Acme",dev1,0a0b,revoked,key_compromise,2026-11-01T00:00:00.000Z,'
        "2026-11-02T00:00:00.000Z," + "0c" * 20,
    )
    assert (one.serial, one.user, one.transaction_id) == (0xAB12, "dev1", b"\x0a\x0b")
    assert (one.standing, one.reason) == (Standing.REVOKED, RevocationReason.KEY_COMPROMISE)
    assert (one.issued_at, one.revoked_at) == (BEGIN, BEGIN + dt.timedelta(days=1))
    assert one.key == b"\x0c" * 20
    assert one.subject is not None
    assert format_name(one.subject) == "CN=dev1,O=Acme"
    assert (one.place.file, one.place.line) == (str(path), 2)


def test_a_query_of_ejbcas_table(path: Path) -> None:
    key_id = base64.b64encode(b"k" * 20).decode()
    rows = read(
        path,
        "serialNumber,subjectDN,issuerDN,username,status,revocationReason,notBefore,revocationDate"
        ",expireDate,subjectKeyId,base64Cert",
        f'43794,"CN=dev1,O=Acme",CN=CA,dev1,20,-1,1793491200000,-1,1796083200000,{key_id},NULL',
        '43795,"CN=dev1,O=Acme",CN=CA,dev1,40,4,,1793577600000,,,',
        "43796,CN=dev2,CN=CA,dev2,60,1,,,,,",
        "43797,?,CN=CA,dev2,60,-1,,,,,",
        "",
    )
    assert [one.serial for one in rows] == [43794, 43795, 43796, 43797]
    assert [one.standing for one in rows] == [
        Standing.VALID, Standing.REVOKED, Standing.REVOKED, Standing.ARCHIVED,
    ]  # fmt: skip
    assert rows[0].key == b"k" * 20
    assert rows[0].issued_at == BEGIN
    assert (rows[0].revoked_at, rows[0].reason, rows[0].certificate) == (None, None, None)
    assert rows[1].reason is RevocationReason.SUPERSEDED
    # a name of its own making; its serial number says who it is
    assert rows[3].subject is None


@pytest.mark.parametrize("form", ["base64", "cell", "pem"])
def test_what_the_certificate_says_counts(path: Path, form: str) -> None:
    made = certificate()
    text = base64.b64encode(made.public_bytes(Encoding.DER)).decode()
    text = {
        "base64": text,
        "cell": f"base64:{text}",
        "pem": f'"{made.public_bytes(Encoding.PEM).decode()}"',
    }[form]
    (one,) = read(path, "serial,subject,certificate", f"1,CN=else,{text}")
    assert one.serial == 0xAB12
    assert one.key == key_digest(KEY.public_key())
    assert one.issuer == parse_name("/CN=CA")
    assert one.subject == parse_name("/CN=dev1/O=Acme")
    assert (one.issued_at, one.not_after) == (BEGIN, BEGIN + dt.timedelta(days=30))
    assert one.standing is Standing.UNTOLD


def test_files_of_certificates(path: Path) -> None:
    ders = [certificate(1), certificate(2)]
    path.write_bytes(b"".join(one.public_bytes(Encoding.PEM) for one in ders))
    assert [one.serial for one in IssuedList(path)] == [1, 2]
    path.write_bytes(ders[1].public_bytes(Encoding.DER))
    listed = IssuedList(path)
    assert [one.serial for one in listed] == [2]
    assert listed.told.keys
    assert not listed.told.standings


@pytest.mark.parametrize(
    ("header", "cells", "what"),
    [
        ("id,subject", "1,CN=x", "needs a column serial"),
        ("serial", "xyz", "is not a serial number in hexadecimal"),
        ("serialNumber", "AB", "name the column serial where it is hexadecimal"),
        ("serial,status", "1,odd", "column status: unknown status 'odd'"),
        ("serial,reason", "1,odd", "unknown reason 'odd'"),
        ("serial,revoked_at", "1,yesterday", "is not a time"),
        ("serial,revoked_at", "1,999999999999999", "is not a time"),
        ("serial,transaction_id", "1,xyz", "is not hexadecimal"),
        ("serial,key_identifier", "1,?", "not base64"),
        ("serial,certificate", "1,MIIB", "neither PEM nor the DER of a certificate"),
        ("serial,status", ",active", "neither a serial number nor a certificate"),
        ("serial", '"1', "a double quote is never closed"),
        ("serial,user", "1", "1 cells, and the header has 2"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(
    path: Path, header: str, cells: str, what: str
) -> None:
    said = refused(path, header, cells)
    assert what in said
    assert str(path) in said


def test_files_that_are_no_lists(tmp_path: Path) -> None:
    for wrong in (tmp_path, tmp_path / "missing"):
        with pytest.raises(InputError, match=str(wrong)):
            IssuedList(wrong)
    (tmp_path / "empty").write_bytes(b"")
    with pytest.raises(InputError, match="the file is empty"):
        IssuedList(tmp_path / "empty")
    (tmp_path / "latin").write_bytes(b"serial,user\n1,\xe9\n")
    with pytest.raises(InputError, match="no characters of its encoding"):
        list(IssuedList(tmp_path / "latin"))


def test_a_ca_that_issued_nothing(path: Path) -> None:
    assert read(path, "serial,subject,user") == []


def test_lists_are_read_as_populations_are(path: Path) -> None:
    path.write_text("serialNumber;subjectDN;username\n17;CN=a,O=b;bo\n", encoding="utf-16")
    (one,) = IssuedList(path)
    assert (one.serial, one.user, one.subject) == (17, "bo", parse_name("CN=a,O=b"))
